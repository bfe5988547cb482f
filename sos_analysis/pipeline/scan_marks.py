"""What must not be read anywhere: numbers without an origin, record-level values, paths, names.

A number may stand in text without being a claim only in the contexts that the list of allowed
numbers (`stray`) names: dates, legal sections, statistical levels, versions and the like. A count
of children is in none of them.
"""

from __future__ import annotations

import getpass
import re
import socket
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from sos_analysis.pipeline.stray import contexts_allowed
from sos_analysis.sources import ROOT

_N = r"\d[\d,]*(?:\.\d+)?"
_NUMBER = re.compile(rf"(?<![\w.#&/\\])[+−-]?(?:{_N}|\.\d+)(?![\w]*[A-Za-z_])%?")
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
    "child|children|people|pupils|cases|events|referrals|assessments|conferences|plans|episodes"
)
_SPELT = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_SAID = re.compile(
    rf"\b(?:only |just )?(?:{_SPELT})[ _-](?:[a-z]+[ _-])?(?:{_PEOPLE})\b"
    rf"|(?<!rq)(?<!\d)\d+[_-](?:{_PEOPLE})\b|\b[IVXL]{{1,6}} (?:{_PEOPLE})\b"
    r"|\b(?:19|20)\d\d (?:children|people|pupils)\b",
    re.IGNORECASE,
)
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


def counts_said(text: str) -> Iterator[str]:
    """Counts of people or cases that are spelt out or glued into a name: 'seven children'."""
    for match in _SAID.finditer(text):
        yield f"a count of children or cases: {match[0]!r}"


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
