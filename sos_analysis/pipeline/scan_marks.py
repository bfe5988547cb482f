"""What must not be read anywhere: numbers without an origin, record-level values, paths, names.

A number may stand in text without being a claim only in the contexts that the list of allowed
numbers (`stray`) names: dates, legal sections, statistical levels, versions and the like. A count
of children is in none of them.
"""

from __future__ import annotations

import base64
import getpass
import re
import socket
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from sos_analysis.pipeline.stray import contexts_allowed
from sos_analysis.sources import ROOT

_N = r"\d[\d,]*(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.#&/\\])[+−-]?(?:{_N}|\.\d+)(?![\w]*[A-Za-z_])%?")
#: A file in an address or a style, and text packed as base64.
_EMBEDDED = re.compile(r"(?i)\bdata:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w=.-]+)*,")
_PACKED = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{8,}={0,2}(?![\w+/=-])")
_COUNTED = re.compile(r"(?<!\w)\d+[ ,;:=]+[A-Za-z]{3,}|[A-Za-z]{3,}[ ,;:=]+\d+(?!\w)")
#: A figure written as a code, in an address or a script: nothing that is written asks for it.
_ESCAPED = re.compile(r"%3[0-9]|\\u003[0-9]|\\x3[0-9]")
#: Shorter text that happens to be printable is chance; longer data that is no text is a file.
_LONG, _MOST_PACKED = 18, 400
_SPACE = re.compile(r"\s+")

_DATE = re.compile(
    r"\b(?:(?:19|20)\d\d-(?:0\d|1[0-2])-[0-3]\d(?:[T ]\d\d:\d\d)?"
    r"|[0-3]?\d/(?:0?\d|1[0-2])/(?:19|20)\d\d)\b"
)
#: Shapes of identifiers in returns: the anonymised and the local ones, unique pupil numbers, and
#: any long run of digits.
_IDENTIFIERS = re.compile(
    r"\b(?:[CP]\d{6,12}|[A-HJ-NP-RT-Z]\d{11}[\dA-HJ-NP-RT-Z]|[A-HJ-NP-RT-Z]\d{12}|UPN\s?[:=]\s?\w+"
    r"|CIN_(?:LAchildID|PupilMatchingRef)\w*\s*[:=]\s*\S+|(?<![\d.,/-])\d{9,13}(?![\d.,/-]))\b"
)
_PEOPLE = (
    "child|children|people|persons?|pupils?|boys?|girls?|bab(?:y|ies)|infants?|siblings?|teenagers?"
    "|famil(?:y|ies)|carers?|parents?|mothers?|fathers?|cases?|events?|(?:re-?)?referrals?"
    "|assessments?|conferences?|plans?|episodes?|placements?|enquiries"
)
_GLUED = (
    "child|children|people|pupils|cases|events|referrals|assessments|conferences|plans|episodes"
)
_AREAS = "authorit(?:y|ies)|councils?|boroughs?|LAs?|pilots?|comparators?|them"
_ONES = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    "|sixteen|seventeen|eighteen|nineteen"
)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_CARDINAL = (
    rf"(?:(?:{_TENS})(?:[ _-](?:{_ONES}))?|{_ONES}|hundred|(?:half )?a dozen|a (?:couple|pair) of"
    r"|a handful of|nought|zero)"
)
_BETWEEN = r"[ _-](?:of[ _-])?(?:[a-z]+[ _-]){0,2}?"
_SAID = re.compile(
    rf"\b{_CARDINAL}{_BETWEEN}(?:{_PEOPLE})\b"
    rf"|(?<!rq)(?<!\d)\d+[_-](?:{_GLUED})\b|\b[IVXL]{{1,6}} (?:{_PEOPLE})\b"
    r"|\b(?:19|20)\d\d (?:children|people|pupils)\b",
    re.IGNORECASE,
)
_AREAS_SAID = re.compile(rf"\b{_CARDINAL}{_BETWEEN}(?:{_AREAS})\b", re.IGNORECASE)
_DIGITS_OF = re.compile(rf"(?<![\w.])\d[\d,]*\s+(?:\w+\s+)?(?:{_PEOPLE})\b", re.IGNORECASE)
_PATH = re.compile(
    r"(?:(?<![\w/.:<])/(?:home|Users|root|mnt|srv|work|workspace|data/secure|var/folders|private"
    r"|tmp|media|Volumes)/[^\s\"'<>&)\\]+|\b[A-Za-z]:\\{1,2}[A-Za-z][^\s\"'<>]+"
    r"|\\\\{1,2}[A-Za-z][\w.-]+\\{1,2}\w+|file://[^\s\"'<>]+)"
)
_COMMON_NAMES = {
    *("root", "user", "users", "runner", "jovyan", "ubuntu", "admin", "debian", "analyst", "app"),
    *("localhost", "docker", "guest", "nobody", "home", "test", "data", "build", "work"),
}


#: Numbers that are no digits: raised, circled, fractions, Roman numerals as one sign.
_PLAINER = re.compile(
    "[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2079\u2080-\u2089\u2150-\u218b"
    "\u2460-\u249b\u24ea-\u24ff\u2776-\u2793\u3220-\u3229\u3280-\u3289]"
)


def _digits(sign: str) -> str:
    value = unicodedata.numeric(sign, None)
    return sign if value is None else f"{value:g}"


def numbers(text: str, *, contexts: bool = True) -> Iterator[str]:
    """Numbers of a text that stand in none of the allowed contexts, each with words around it.

    Without `contexts` every number is one: where nobody writes, no year or duration is typed.
    """
    plain = _SPACE.sub(" ", _PLAINER.sub(lambda m: _digits(m[0]), text))
    rest = plain
    for pattern in contexts_allowed() if contexts else ():
        rest = pattern.sub(lambda m: " " * len(m[0]), rest)
    for match in _NUMBER.finditer(rest):
        yield plain[max(0, match.start() - 30) : match.end() + 30].strip()


def record_level(
    text: str,
    dates: frozenset[str] = frozenset(),
    hashes: frozenset[str] = frozenset(),
    *,
    digits: bool = True,
) -> Iterator[str]:
    """What looks like the value of one record: an identifier, or a full date that is not `dates`.

    `hashes` are known: one in some hundreds has no letter, and looks like an identifier.
    Without `digits`, a long run of digits alone is none: a search index glues numbers together.
    """
    for match in _DATE.finditer(text):
        if match[0][:10] not in dates:
            yield f"a date as in a record: {match[0]!r}"
    for match in _IDENTIFIERS.finditer(text):
        if match[0] not in hashes and (digits or not match[0].isdigit()):
            yield f"an identifier as in a record: {match[0]!r}"


def counts_said(text: str, vouched: Vouched | None = None) -> Iterator[str]:
    """Counts that are spelt out or glued into a name ('seven children'), and no result says so."""
    vouched = vouched or Vouched()
    for pattern, known in ((_SAID, vouched.results), (_AREAS_SAID, vouched.all)):
        for match in pattern.finditer(text):
            if plainly(match[0]) not in known:
                yield f"a count of children or cases: {' '.join(match[0].split())!r}"


@dataclass(frozen=True)
class Vouched:
    """Words of the results, and those that are committed as sources of pages.

    A count of children or cases in words has to stand in the results; one of authorities and
    pilots, which is of the study's design, may be written on a page.
    """

    results: str = ""
    pages: str = ""

    @cached_property
    def all(self) -> str:
        return f"{self.results} | {self.pages}"


def plainly(text: str) -> str:
    """Words in small letters, without marks and breaks."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def encoded(text: str) -> Iterator[str]:
    """Text or a file packed into letters, as base64 does."""
    for match in _EMBEDDED.finditer(text):
        yield f"a file within the text: {match[0][:40]!r}"
    for match in _ESCAPED.finditer(text):
        yield f"a figure written as a code: {match[0]!r}"
    for token in dict.fromkeys(_PACKED.findall(text)):
        said = _unpacked(token)
        if said and (_COUNTED.search(said) or (len(said) >= _LONG and re.search(r"\d", said))):
            yield f"packed text: {token[:40]!r} says {said[:40]!r}"
        elif len(token) >= _MOST_PACKED and not token.isalpha() and not said:
            yield f"packed data: {token[:40]!r}"


def _base64(token: str) -> bytes:
    return base64.b64decode(token + "=" * (-len(token) % 4), validate=True)


def _unpacked(token: str) -> str:
    """What a token says that was packed as hexadecimal figures or as base64; '' if nothing."""
    bare = token.rstrip("=").replace("-", "+").replace("_", "/")
    for unpack in (bytes.fromhex, _base64):
        try:
            said = unpack(bare).decode("utf-8")
        except ValueError:
            continue
        if said.replace("\n", " ").replace("\t", " ").isprintable():
            return said
    return ""


def typed_people(text: str) -> Iterator[str]:
    """Counts of people or cases in digits, where other numbers may stand."""
    for match in _DIGITS_OF.finditer(text):
        yield f"a count of children or cases: {' '.join(match[0].split())!r}"


def traces(text: str, names: Iterable[str] = ()) -> Iterator[str]:
    """Paths of a machine and names of its user."""
    for match in _PATH.finditer(text):
        yield f"a path: {match[0][:80]!r}"
    for name in names:
        if name in text and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            yield f"a name of this machine or its user: {name!r}"


@cache
def machine_names() -> tuple[str, ...]:
    """User, home folder, host and place of this copy; common words are left out."""
    found = set()
    for get in (getpass.getuser, lambda: Path.home().name, socket.gethostname):
        try:
            found.add(get())
        except (OSError, KeyError, RuntimeError):
            continue
    names = {n for n in found if len(n) >= 4 and n.lower() not in _COMMON_NAMES}
    return (*sorted(names), str(ROOT))


@cache
def known_dates() -> frozenset[str]:
    """Dates of the design and of its sources, which are no dates of records."""
    found: set[str] = set()
    for path in [*(ROOT / "data").glob("*/*.toml"), ROOT / "CITATION.cff", ROOT / "CHANGELOG.md"]:
        if path.is_file():
            found |= set(re.findall(r"\b(?:19|20)\d\d-\d\d-\d\d\b", path.read_text("utf-8")))
    return frozenset(found)
