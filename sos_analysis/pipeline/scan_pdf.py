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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis import __version__
from sos_analysis.pipeline import pdf
from sos_analysis.sources import ROOT

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from pypdf import PdfReader

#: (where, what to do with the text, the text): 'fault' reports it, 'mark' looks at it.
Finding = tuple[str, str, str]

#: So many letters and figures in a row are the words of a page, and no chance.
_RUN = 12
#: Read out by a screen, but not printed; and what a narrow screen alone shows.
_UNPRINTED = ".sos-how, .sos-cell-head, .visually-hidden, .headerlink"
_SAID = ("alt", "aria-label", "title")

_DATE = re.compile(r"D:(\d{14})(?:Z|[+-]\d\d'\d\d'?)?")
_SYSTEMS = (
    r"(?:X11; Linux (?:x86_64|aarch64)|Windows NT 10\.0; Win64; x64"
    r"|Macintosh; Intel Mac OS X 10_15_7)"
)
_PROPERTIES = {
    "/Creator": re.compile(
        rf"Mozilla/5\.0 \({_SYSTEMS}\) AppleWebKit/537\.36 \(KHTML, like Gecko\) "
        r"(?:Headless)?Chrome/\d{3}\.0\.0\.0 Safari/537\.36(?: Edg/\d{3}\.0\.0\.0)?|Chromium"
    ),
    "/Producer": re.compile(r"Skia/PDF m\d{3}"),
}
#: Where text may stand in a PDF, and of what kind it is.
_TEXTS = {
    ("/StructElem", "/Alt"): "phrase",
    ("", "/Title"): "phrase",  # of the outline
    ("/Action", "/URI"): "address",
    ("/StructElem", "/ID"): "node",
    ("", "/Headers"): "node",
    ("", "/Names"): "node",
    ("", "/Limits"): "node",
    ("/StructElem", "/Lang"): "language",
    ("/Catalog", "/Lang"): "language",
    ("", "/Registry"): "font",
    ("", "/Ordering"): "font",
}
_FORMS = {
    # What the browser counts: the cells that head others.
    "node": re.compile(r"node\d{8}"),
    "language": re.compile(r"[a-z]{2}(?:-[A-Z]{2})?"),
    "font": re.compile(r"Adobe|Identity|UCS"),
}
#: Parts of a PDF that printing writes: of documents, sheets, links, tags, fonts and drawings.
_PARTS = frozenset(
    "/" + name
    for name in re.findall(
        r"\S+",
        """
        Type Subtype S Size Root Info Title Creator Producer CreationDate ModDate Pages Dests
        MarkInfo Marked StructTreeRoot Outlines ViewerPreferences DisplayDocTitle Lang Count Kids
        Parent Resources MediaBox Contents StructParents Tabs Annots F Border Rect StructParent
        Dest A URI
        K ParentTreeNextKey ParentTree IDTree Nums Names Limits P Pg ID Alt Obj MCID O ColSpan
        RowSpan Headers Scope ListNumbering BBox Placement SE Next Prev First Last
        ProcSet ExtGState Font XObject Pattern Shading ColorSpace Filter Length Length1 Length2
        Length3 ca CA BM LC LJ LW ML SA SMask Group CS I G TR N Matrix FormType PatternType
        PaintType TilingType XStep YStep ShadingType Coords Domain Extend Function FunctionType
        Functions Bounds Encode Decode Range C0 C1
        BaseFont Encoding DescendantFonts ToUnicode FontDescriptor CIDToGIDMap CIDSystemInfo W DW
        FontName Flags Ascent Descent StemV CapHeight ItalicAngle FontBBox FontFile FontFile2
        FontFile3 Registry Ordering Supplement FirstChar LastChar Widths CharProcs FontMatrix
        Differences
        """,
    )
)
#: Names that a browser gives fonts, states and drawings of a sheet.
_COUNTED = re.compile(r"/[A-Z][a-z]?\d{1,6}")
_SHEETS = ("/Font", "/ExtGState", "/XObject", "/Pattern", "/Shading", "/ColorSpace")
#: Names with a figure that are the format's own.
_OWN = re.compile(r"/(?:H[1-6]|Type[013]|CIDFontType[02](?:C)?|[A-Z]{6}\+[A-Za-z-]+)")
#: Fonts within others, which have the table of letters.
_INNER = ("/CIDFontType0", "/CIDFontType2")
#: What a drawing says of its letters: which tag they belong to, and what a ligature stands for.
_WITHIN = re.compile(
    rb"\s*/MCID\s+\d+\s*|\s*/ActualText\s*\(f[fil]{1,2}\)\s*|\s*/Type\s*/[A-Za-z]+\s*"
)
_STREAM = re.compile(rb"stream\r?\n.*?endstream", re.DOTALL)
_STRING = re.compile(rb"\((?:\\.|[^\\()])*\)", re.DOTALL)


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

    def inside(self, text: str, number: int) -> str:
        """Text of a sheet without its head and foot, which carry its own number and no other."""
        title, warning = f"{self.title}, version {__version__}", pdf.MADE_UP
        for parts in ((warning, str(number), title), (str(number), title)):
            for order in itertools.permutations(parts):
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
            kind = "a number that no page shows so" if _digit(said[a:b]) else "text no page has"
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


def _digit(text: str) -> bool:
    return any(sign.isdigit() for sign in text)


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
        yield from _properties(reader, can)
        # First, because reading its letters changes what is held of a font.
        yield from _structure(reader, can)
        for number, sheet in enumerate(reader.pages, start=1):
            text = sheet.extract_text()
            where = f"page {number}"
            yield where, "mark", text
            for said in can.strange(can.inside(text, number)):
                yield where, "fault", said
    except (PyPdfError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    yield from _raw(path.read_bytes())


def _properties(reader: PdfReader, can: Printed) -> Iterator[Finding]:
    found = {name: str(value) for name, value in (reader.metadata or {}).items()}
    for name, value in found.items():
        where = f"property {name}"
        yield where, "mark", value
        if name in ("/CreationDate", "/ModDate"):
            if not _a_day(value) or value != found.get("/CreationDate"):
                yield where, "fault", f"no day and time of printing: {value[:60]!r}"
        elif name in _PROPERTIES:
            if not _PROPERTIES[name].fullmatch(value):
                yield where, "fault", f"not the name of a browser that prints: {value[:60]!r}"
        elif name != "/Title" or value != can.title:
            yield where, "fault", f"a property that printing does not write: {value[:60]!r}"


def _a_day(value: str) -> bool:
    """Whether a text is a day and time at which this project can have printed."""
    match = _DATE.fullmatch(value)
    try:
        day = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        return False
    return day is not None and day.year >= 2020 and day < datetime.now(UTC) + timedelta(days=1)


def _structure(reader: PdfReader, can: Printed) -> Iterator[Finding]:
    """Every object of the file, reached from its root or not."""
    from pypdf.generic import IndirectObject

    look = _Objects(reader, can)
    yield from look.walk("trailer", "", "", reader.trailer)
    numbers = {i for there in reader.xref.values() for i in there} | {*reader.xref_objStm}
    for i in sorted(numbers - look.seen - {0}):
        where = f"object {i}"
        yield where, "fault", "a part that nothing leads to"
        yield from look.walk(where, "", "", IndirectObject(i, 0, reader))
    if look.led - look.heads:
        yield "tags", "fault", f"a cell that no tag is: {min(look.led - look.heads)!r}"


class _Objects:
    """The objects of a file, each looked at once."""

    def __init__(self, reader: PdfReader, can: Printed) -> None:
        self.reader, self.can = reader, can
        self.seen: set[int] = set()
        self.heads: set[str] = set()
        self.led: set[str] = set()

    def walk(self, where: str, kind: str, key: str, one: Any) -> Iterator[Finding]:
        """Texts, names and parts of what a part `key` of an object of one kind holds."""
        from pypdf.generic import (
            ByteStringObject,
            IndirectObject,
            NameObject,
            StreamObject,
            TextStringObject,
        )

        left = [(where, kind, key, one)]
        while left:
            where, kind, key, one = left.pop()
            if isinstance(one, IndirectObject):
                if one.idnum in self.seen:
                    continue
                self.seen.add(one.idnum)
                where, one = f"object {one.idnum}", self.reader.get_object(one)
            if isinstance(one, dict):
                if isinstance(one, StreamObject):
                    yield from _stream(where, one)
                for text in _odd(one):
                    yield where, "fault", text
                own = str(one.get("/Type", ""))
                for name in one:
                    value = one.raw_get(name)  # type: ignore[attr-defined]
                    if not _expected(str(name), key, self.can):
                        said = f"a part that printing does not write: {str(name)[:60]!r}"
                        yield where, "fault", said
                    if where == "trailer" and name == "/Info":  # looked at as properties
                        self.seen.add(getattr(value, "idnum", 0))
                    else:
                        left.append((where, own, str(name), value))
            elif isinstance(one, list):
                left += [(where, kind, key, value) for value in one]
            elif isinstance(one, (TextStringObject, ByteStringObject)):
                text = one if isinstance(one, str) else one.decode("utf-8", "replace")
                yield where, "mark", text
                if not self._said(kind, key, text):
                    said = f"text that no page has, in {key or 'the file'}: {_plain(text)!r}"
                    yield where, "fault", said
            elif isinstance(one, NameObject) and not self._named(key, str(one)):
                yield where, "fault", f"a number in a name: {str(one)[:60]!r}"

    def _named(self, key: str, name: str) -> bool:
        known = key == "/Dest" and name[1:] in self.can.anchors
        return known or not _digit(name) or bool(_OWN.fullmatch(name))

    def _said(self, kind: str, key: str, text: str) -> bool:
        sort = _TEXTS.get((kind, key)) or _TEXTS.get(("", key), "")
        if sort == "node":
            (self.heads if key == "/ID" else self.led).add(text)
        if sort == "phrase":
            return _letters(text)[0] in self.can.phrases
        if sort == "address":
            return text in self.can.addresses
        return sort in _FORMS and bool(_FORMS[sort].fullmatch(text))


def _odd(one: Any) -> Iterator[str]:
    """Objects of a kind that printing does not write, or that cannot be read."""
    own, sort = one.get("/Type"), one.get("/Subtype")
    if own == "/Font" and "/ToUnicode" not in one and sort not in _INNER:
        yield "a font whose letters cannot be read"
    if own == "/Annot" and sort != "/Link":
        yield f"a note of the kind {sort}"
    if sort == "/Image":
        yield "a picture, which cannot be read"


def _expected(name: str, inside: str, can: Printed) -> bool:
    """Whether printing writes a part of this name there."""
    if inside == "/Dests":
        return name[1:] in can.anchors
    return name in _PARTS or (inside in _SHEETS and bool(_COUNTED.fullmatch(name)))


def _stream(where: str, one: Any) -> Iterator[Finding]:
    """Drawing instructions hold no properties, pictures or comments of their own."""
    data = b"" if "/Length1" in one else one.get_data()  # that is a font
    if b"begincmap" in data or not re.search(rb"\b(?:BT|re|cm|gs|BDC)\b", data):
        return
    for found in re.findall(rb"<<(.*?)>>\s*BDC", data, re.DOTALL):
        if not _WITHIN.fullmatch(found):
            yield where, "fault", f"a property within a drawing: {found[:60]!r}"
    bare = _STRING.sub(b"()", data)
    if re.search(rb"(?:^|\s)BI\s", bare):
        yield where, "fault", "a picture, which cannot be read"
    if b"%" in bare:
        yield where, "fault", "a comment within a drawing"


def _raw(data: bytes) -> Iterator[Finding]:
    """What stands between the objects of a file."""
    rest = _STRING.sub(b"()", _STREAM.sub(b"stream", data))
    if rest.count(b"%%EOF") != 1 or data.rstrip().rpartition(b"%%EOF")[2]:
        yield "file", "fault", "written to after it was printed"
    comments = [c for c in re.findall(rb"%[^\r\n]*", rest) if c != b"%%EOF"]
    head = [c for c in comments if re.fullmatch(rb"%PDF-\d\.\d|%[\x80-\xff]{4}", c)]
    if len(head) != len(comments) or len(head) > 2:
        yield "file", "fault", "a comment between its parts"
    for gap in re.findall(rb"endobj(.*?)(?:\d+ \d+ obj\b|xref)", rest, re.DOTALL):
        if gap.strip():
            yield "file", "fault", f"text between its parts: {gap.strip()[:60]!r}"
