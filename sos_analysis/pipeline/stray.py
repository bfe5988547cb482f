"""Numbers in the text of a page that nothing vouches for, and the short list of those allowed.

A number is a digit, or a result spelt out: a share ('seven in ten'), a rate or a change. Other
numbers in words ('two definitions') are language and not looked at.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sos_analysis.errors import SosError
from sos_analysis.sources import ROOT

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

ALLOWED = ROOT / "data" / "pages" / "allowed_numbers.toml"
#: Stands for a number that was compared and taken out.
CHECKED = "\u25a1"
_DIGITS = re.compile(r"\d[\d,.]*(?<![,.])")
_ONES = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    "|sixteen|seventeen|eighteen|nineteen"
)
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_SPELT = rf"(?:(?:{_TENS})(?:[ -](?:{_ONES}))?|{_ONES}|(?:a|one) hundred)"
_SHARE = (
    r"(?:a half|half|(?:a|one) (?:third|quarter|fifth|tenth)|(?:two|three)[ -](?:thirds|quarters))"
)
#: A result spelt out: a share, a rate or a change in words. Other numbers in words are language.
_WORDS = re.compile(
    rf"\b(?:{_SPELT} (?:in (?:every )?|out of (?:every )?){_SPELT}"
    rf"|(?:{_SPELT}|{_SHARE}|half an?) (?:(?:percentage )?points?|per ?cent)"
    rf"|{_SHARE} of (?:all |the )?(?:children|referrals|cases|families|authorities|pilots)"
    rf"|(?:{_SPELT}) (?:fewer|more) (?:children|referrals|cases|families)"
    r"|(?:more than |nearly |almost )?(?:doubled|halved|trebled|tripled|quadrupled))\b",
    re.IGNORECASE,
)
#: Text inside these runs on; any other element ends a line.
_INLINE = frozenset(
    {
        *("a", "abbr", "b", "bdi", "bdo", "br", "cite", "dfn", "em", "i", "img", "ins", "mark"),
        *("q", "s", "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"),
    }
)
_ATTRIBUTES = (
    *("alt", "title", "aria-label", "aria-description", "aria-valuetext", "placeholder"),
    *("data-bs-title", "data-bs-content", "data-tippy-content", "label", "abbr", "summary"),
)
_NEAR = 40


@dataclass(frozen=True)
class Entry:
    """One line of the list: an element that is not read, a pattern or a context; where, and why."""

    kind: str
    text: str
    reason: str
    pages: str = "*"


@cache
def allowed(path: Path = ALLOWED) -> tuple[Entry, ...]:
    """The list of allowed digits.

    Raises
    ------
    SosError
        The file cannot be read, an entry has no reason, or a pattern is not one.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SosError(f"{path.name}: {error}") from error
    found = []
    names: dict[str, str] = content.get("names", {})
    for key, name in (("elements", "selector"), ("patterns", "pattern"), ("contexts", "pattern")):
        for row in content.get(key, []):
            if not row.get(name) or not str(row.get("reason", "")).strip():
                raise SosError(f"{path.name}: each of [[{key}]] needs a {name} and a reason")
            if set(row) - {name, "reason", "pages"}:
                raise SosError(f"{path.name}: [[{key}]] knows {name}, reason and pages alone")
            text = row[name]
            for short, whole in names.items() if key == "contexts" else ():
                text = text.replace(f"<{short}>", whole)
            try:
                re.compile("" if key == "elements" else text)
            except re.error as error:
                raise SosError(f"{path.name}: {row[name]!r} is no pattern: {error}") from error
            kind = "context" if key == "contexts" else name
            found.append(Entry(kind, text, row["reason"], row.get("pages", "*")))
    return tuple(found)


@cache
def contexts_allowed(path: Path = ALLOWED) -> tuple[re.Pattern[str], ...]:
    """Contexts in which a number is no count of anybody, for texts that are no page.

    Raises
    ------
    SosError
        As `allowed`.
    """
    found = (e for e in allowed(path) if e.kind == "context")
    return tuple(re.compile(entry.text, re.IGNORECASE) for entry in found)


@dataclass(frozen=True)
class Stray:
    """A number without a voucher, and the words around it."""

    number: str
    around: str


def strays(page: BeautifulSoup, name: str, entries: tuple[Entry, ...]) -> Iterator[Stray]:
    """Numbers of a parsed page that no entry allows; the page loses what is not read.

    `page` has had its claims and exhibits taken out. `name` is the page's, without folder and
    ending.
    """
    mine = [e for e in entries if fnmatch(name, e.pages)]
    for entry in mine:
        if entry.kind == "selector":
            for element in page.select(entry.text):
                element.replace_with(CHECKED)
    patterns = [re.compile(e.text) for e in mine if e.kind == "pattern"]
    for text in lines(page):
        covered = [m.span() for p in patterns for m in p.finditer(text)]
        for match in (*_DIGITS.finditer(text), *_WORDS.finditer(text)):
            if not any(a <= match.start() and match.end() <= b for a, b in covered):
                start, end = max(0, match.start() - _NEAR), match.end() + _NEAR
                yield Stray(match[0], f"{text[start:match.start()]}[{match[0]}]"
                            f"{text[match.end():end]}".strip())  # fmt: skip


def lines(page: BeautifulSoup) -> Iterator[str]:
    """Every piece of text a reader, a screen reader or a search engine meets."""
    for script in page.find_all(["script", "style", "template"]):
        if script.get("type") == "application/ld+json":
            yield _plain(script.get_text())
        script.decompose()
    for meta in page.find_all("meta"):
        named = str(meta.get("name") or meta.get("property") or "")
        if re.match(r"(description|keywords|og:|twitter:)", named):
            yield _plain(str(meta.get("content", "")))
    for element in page.find_all(True):
        for attribute in _ATTRIBUTES:
            if element.get(attribute):
                yield _plain(str(element[attribute]))
    for part in _runs(page):
        if part.strip():
            yield _plain(part)


def _runs(page: BeautifulSoup) -> Iterator[str]:
    """Text of the page, one piece for each run of inline text."""
    from bs4 import NavigableString, Tag
    from bs4.element import PreformattedString

    pieces: list[str] = []

    def walk(element: Tag) -> Iterator[str]:
        for child in element.children:
            if isinstance(child, Tag):
                if child.name in _INLINE:
                    yield from walk(child)
                    continue
                yield _taken(pieces)
                yield from walk(child)
                yield _taken(pieces)
            elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
                pieces.append(str(child))

    yield from walk(page)
    yield _taken(pieces)


def _taken(pieces: list[str]) -> str:
    text = "".join(pieces)
    pieces.clear()
    return text


def _plain(text: str) -> str:
    return " ".join(text.split())
