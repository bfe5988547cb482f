"""A PDF of the site: it says what the site's own pages say, and is built as a browser prints.

The pages are looked through by themselves, so a PDF has to answer for two things alone. Its text,
letter by letter, is that of the pages in one document (`pdf.one_document`), and the head and foot
of each sheet. And it has no part that printing does not write: no attached file, note, field,
script, picture, property or second version, where something else could stand.

Signs, spaces, hyphens and line ends are left out of the comparison, and ligatures are taken apart,
because printing moves them.

What it cannot see: shapes, and a font whose table of letters lies about what its shapes look like.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis import __version__
from sos_analysis.pipeline import pdf
from sos_analysis.pipeline import scan_pdf_parts as parts
from sos_analysis.sources import ROOT

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

#: (where, what to do with the text, the text): 'fault' reports it, 'mark' looks at it.
Finding = tuple[str, str, str]

#: So many letters and figures in a row are the words of a page, and no chance.
_RUN = 12
#: Read out by a screen, but not printed; and what a narrow screen alone shows.
_UNPRINTED = ".sos-how, .sos-cell-head, .visually-hidden, .headerlink"
_SAID = ("alt", "aria-label", "title")


@dataclass(frozen=True)
class Printed:
    """What a printed document can say.

    Attributes
    ----------
    runs : all runs of so many letters and figures of the document, with and without what is only
        read out; '|' before or after one says that a number begins or ends there.
    phrases : whole headings, descriptions of pictures and the title, as letters and figures.
    anchors, addresses : places in it, and where its links lead.
    title : of the report.
    """

    runs: frozenset[str]
    phrases: frozenset[str]
    anchors: frozenset[str]
    addresses: frozenset[str]
    title: str

    def is_phrase(self, text: str) -> bool:
        """Whether a whole text is a heading, a description or the title."""
        return _letters(text)[0] in self.phrases

    def inside(self, text: str, number: int) -> str:
        """Text of a sheet without its head and foot, which carry its own number and no other."""
        title, warning = f"{self.title}, version {__version__}", pdf.MADE_UP
        for pieces in ((warning, str(number), title), (str(number), title)):
            for order in itertools.permutations(pieces):
                edge = r"\s*".join(r"\s*".join(map(re.escape, part.split())) for part in order)
                for pattern in (rf"\A\s*{edge}", rf"{edge}\s*\Z"):
                    found = re.sub(pattern, "", text, count=1)
                    if found != text:
                        return found
        return text

    def strange(self, text: str) -> Iterator[str]:
        """What no page says so, with the words around it."""
        said, places = _letters(text)
        size = len(said)
        if size < _RUN:
            if said and said not in self.phrases:
                yield f"text that no page has: {_plain(text)!r}"
            return
        runs, covered, known = self.runs, bytearray(size), set()
        for i in range(size - _RUN + 1):
            if said[i : i + _RUN] in runs:
                known.add(i)
                covered[i : i + _RUN] = b"\1" * _RUN
        for match in re.finditer(r"\d+", said):
            a, b = match.span()
            cuts = [i for i in range(a + 1, b) if _apart(text, places, i)]
            if not (
                self._whole(said, a, b, known)
                # Two rows of numbers, with something between them that is not printed there.
                or any(self._ends(said, cut) and self._begins(said, cut) for cut in cuts)
            ):
                covered[a:b] = bytes(b - a)
        for gap in re.finditer(rb"\0+", covered):
            a, b = gap.span()
            kind = (
                "a number that no page shows so"
                if parts.has_figure(said[a:b])
                else "text no page has"
            )
            around = text[places[max(0, a - 20)] : places[min(size - 1, b + 20)] + 1]
            yield f"{kind}: {_plain(around)!r}"

    def _whole(self, said: str, a: int, b: int, known: set[int]) -> bool:
        """Whether figures stand so on a page, and are not part of a longer number there."""
        first, last = max(0, b + 1 - _RUN), min(a - 1, len(said) - _RUN)
        if any(i in known for i in range(max(first, 0), last + 1)):
            return True  # within a run that goes on at both ends
        if b - a > _RUN:
            return self._ends(said, b) and self._begins(said, a)
        return self._ends(said, b) or self._begins(said, a)

    def _ends(self, said: str, b: int) -> bool:
        """Whether the number that ends at `b` ends so on a page, after the same words."""
        before = said[max(0, b - _RUN) : b]
        return len(before) == _RUN and f"{before}|" in self.runs

    def _begins(self, said: str, a: int) -> bool:
        after = said[a : a + _RUN]
        return len(after) == _RUN and f"|{after}" in self.runs


def _apart(text: str, places: list[int], i: int) -> bool:
    """Whether two figures side by side are of two numbers."""
    return text[places[i - 1] + 1 : places[i]] not in ("", ".", ",")


def _plain(text: str) -> str:
    return " ".join(text.split())[:90]


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and figures alone, and where each stands in the text."""
    found: list[str] = []
    places: list[int] = []
    for place, sign in enumerate(text):
        for part in unicodedata.normalize("NFKD", sign).casefold():
            if part.isalnum():
                found.append(part)
                places.append(place)
    return "".join(found), places


def printed(site: Path) -> Printed:
    """What a PDF of these pages can say."""
    import yaml
    from bs4 import BeautifulSoup

    title = str(yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["title"])
    wanted = pdf.pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8")))
    names = [name for name in wanted if (site / f"{name}.html").is_file()]
    page = BeautifulSoup(pdf.one_document(site, names, title), "html.parser")
    for element in page.select("head, style, script"):
        element.decompose()
    phrases = {title, *(h.get_text() for h in _headings(page))}
    texts = {str(e["id"]): e.get_text() for e in page.select("[id]")}
    for element in page.find_all(True):
        phrases |= {str(element[name]) for name in _SAID if element.get(name)}
    for element in page.select("[aria-labelledby], [aria-describedby]"):
        named = [str(element.get(a, "")).split() for a in ("aria-labelledby", "aria-describedby")]
        for ids in (named[0], named[1], [*named[0], *named[1]]):
            phrases.add(" ".join(texts.get(id, "") for id in ids))
    addresses = {str(a["href"]) for a in page.select("a[href]")}
    _count(page)
    whole = page.get_text(" ")
    for element in page.select(_UNPRINTED):
        element.decompose()
    phrases |= {h.get_text() for h in _headings(page)}
    for link in page.select('a[href^="http"]'):
        link.append(f" ({link['href']})")  # as the style sheet for print does
    runs = _runs(whole) | _runs(page.get_text(" "))
    return Printed(
        frozenset(runs),
        frozenset(_letters(phrase)[0] for phrase in phrases),
        frozenset(texts),
        frozenset(addresses),
        title,
    )


def _runs(text: str) -> set[str]:
    said, places = _letters(text)

    def apart(i: int) -> bool:
        """Whether no number goes on from one sign to the next."""
        if not 0 < i < len(said) or not (said[i - 1].isdigit() and said[i].isdigit()):
            return True
        return _apart(text, places, i)

    found = set()
    for i in range(len(said) - _RUN + 1):
        run = said[i : i + _RUN]
        found.add(run)
        if apart(i):
            found.add(f"|{run}")
        if apart(i + _RUN):
            found.add(f"{run}|")
    return found


def _headings(page: BeautifulSoup) -> list[Any]:
    return page.select("h1, h2, h3, h4, h5, h6")


def _count(page: BeautifulSoup) -> None:
    """Put the numbers of lists where a browser prints them."""
    for items in page.select("ol"):
        first = int(str(items.get("start") or 1))
        for number, item in enumerate(items.find_all("li", recursive=False), start=first):
            item.insert(0, f"{number}. ")


def findings(path: Path, can: Printed) -> Iterator[Finding]:
    """Everything in a PDF that printing these pages does not explain.

    Raises
    ------
    ValueError
        The file cannot be read as a PDF.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(path)
        yield from parts.properties(reader, can)
        # First, because reading its letters changes what is held of a font.
        yield from parts.structure(reader, can)
        for number, sheet in enumerate(reader.pages, start=1):
            text = sheet.extract_text()
            where = f"page {number}"
            yield where, "mark", text
            for said in can.strange(can.inside(text, number)):
                yield where, "fault", said
    except (PyPdfError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    yield from parts.raw(path.read_bytes())
