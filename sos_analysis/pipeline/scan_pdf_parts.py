"""The parts of a PDF: those that a browser writes when it prints, and no others.

No attached file, note, field, script, picture, property or earlier version, and nothing between the
parts, where something else could stand. Text stands where the tags, the outline and the links have
it, and is that of the pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PdfReader

    from sos_analysis.pipeline.scan_pdf import Finding, Printed

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


def has_figure(text: str) -> bool:
    """Whether a text has a figure of any script."""
    return any(sign.isdigit() for sign in text)


def properties(reader: PdfReader, can: Printed) -> Iterator[Finding]:
    """What the file says of itself: its title, the browser, the day of printing."""
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


def structure(reader: PdfReader, can: Printed) -> Iterator[Finding]:
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
                    said = f"text that no page has, in {key or 'the file'}: {text[:90]!r}"
                    yield where, "fault", said
            elif isinstance(one, NameObject) and not self._named(key, str(one)):
                yield where, "fault", f"a number in a name: {str(one)[:60]!r}"

    def _named(self, key: str, name: str) -> bool:
        known = key == "/Dest" and name[1:] in self.can.anchors
        return known or not has_figure(name) or bool(_OWN.fullmatch(name))

    def _said(self, kind: str, key: str, text: str) -> bool:
        sort = _TEXTS.get((kind, key)) or _TEXTS.get(("", key), "")
        if sort == "node":
            (self.heads if key == "/ID" else self.led).add(text)
        if sort == "phrase":
            return self.can.is_phrase(text)
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


def raw(data: bytes) -> Iterator[Finding]:
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
