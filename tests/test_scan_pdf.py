"""A PDF says what its site says: printed by a browser, then with something planted in each part."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    NameObject,
    NumberObject,
    TextStringObject,
)

from sos_analysis.pipeline import pdf
from sos_analysis.pipeline.scan_pdf import Printed, findings, printed
from sos_analysis.sources import ROOT

TITLE = "Signs of Safety, evaluated again"
DOI = "https://doi.org/10.1177/13556084507184537621355608450718453762135560845071845376213556084"
ROWS = "".join(
    f"<tr><th scope='row'>{2010 + i}</th><td>{1234 + 35 * i}</td><td>{4.5 + i / 10:.1f}</td>"
    "<td>[c]</td></tr>"
    for i in range(70)
)
PAGES = {
    "book/findings": f"""
<h1>Summary of findings</h1>
<p>Of the first 1,205 differences that official statistics affect, 3.5 in 100 are sufficient.</p>
<ol><li>Efficient offices reflect.</li><li>Different findings <b>31</b> times.</li></ol>
<p>CRV1 and WCR-31 with G<sub>1</sub> clusters. See
<a href="glossary.html#term-pilot">the glossary</a>.</p>
<p style="width: 9em"><a href="{DOI}">The first article</a>.</p>
<h2>Numbers by year</h2>
<div class="sos-table"><table><caption>Counted by year</caption>
<thead><tr><th>Year</th><th>Children</th><th>Per 100</th><th>Rest</th></tr></thead>
<tbody>{ROWS}</tbody></table></div>
<figure><svg role="img" width="200" height="90" aria-labelledby="t1 d1"><title id="t1">Chart: a
fall of 4.5</title><desc id="d1">Two lines, 1,205 cases.</desc><text x="9" y="20">4.5</text>
<text x="9" y="60">0</text><text x="99" y="60">10</text></svg></figure>
<details class="sos-data"><summary>Data of the chart</summary><table><tbody>{ROWS}</tbody></table>
</details><p>Finally 12 offices.</p>""",
    "book/glossary": "<h1>Glossary</h1><dl><dt id='term-pilot'>Pilot</dt><dd>One of 9.</dd></dl>",
}


def _page(body: str, origin: str) -> str:
    return (
        f'<!DOCTYPE html><html lang="en-GB"><body><aside class="sos-banner" data-origin="{origin}">'
        f'Numbers of the report.</aside><article class="bd-article">{body}</article></body></html>'
    )


def _write(site: Path, change: Callable[[str], str] = lambda body: body) -> str:
    (site / "_static").mkdir(parents=True, exist_ok=True)
    for sheet in (ROOT / "book" / "_static").glob("sos*.css"):
        shutil.copyfile(sheet, site / "_static" / sheet.name)
    for name, body in PAGES.items():
        path = site / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        origin = "synthetic" if "findings" in name else "published"
        path.write_text(_page(change(body), origin), "utf-8")
    return pdf.one_document(site, list(PAGES), TITLE)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("pdf") / "html"
    pdf.print_document(_write(place), place / "report.pdf")
    return place


@pytest.fixture(scope="module")
def can(site: Path) -> Printed:
    return printed(site)


def faults(path: Path, can: Printed) -> list[str]:
    return [f"{where}: {text}" for where, kind, text in findings(path, can) if kind == "fault"]


def test_a_printed_report_of_several_sheets_gives_no_false_alarm(site: Path, can: Printed) -> None:
    path = site / "report.pdf"
    reader = PdfReader(path)
    assert len(reader.pages) >= 4
    texts = [sheet.extract_text() for sheet in reader.pages]
    whole = "".join(texts)
    # What printing moves is there: ligatures, numbers of sheets and of lists, addresses broken
    # across lines, a table that goes on with its head, a sentence in place of long data.
    assert any(sign in whole for sign in "ﬁﬀﬃ")
    assert "70 rows behind this chart" in whole
    assert DOI not in whole
    assert DOI in "".join(whole.split())
    assert sum("Per 100" in text for text in texts) >= 2
    assert faults(path, can) == []


#: Put into the pages before they are printed: each with words by which the problem is known.
PRINTED = {
    "a hidden cell": ("[c]</td></tr>", "7</td></tr>", "a number that no page shows"),
    "a changed number": ("1,205 differences", "1,206 differences", "1,206 diﬀerences"),
    "a number cut short": ("Finally 12", "Finally 1", "Finally 1 "),
    "a number in words": ("<h2>", "<p>Only seven moved away.</p><h2>", "seven moved"),
    "letters that nobody sees": (
        "One of 9.",
        'One of 9. <span style="color:#fff;font-size:1px">There were 8 unseen.</span>',
        "8 unseen",
    ),
    "a bookmark": ("<h2>", "<h2>North 7</h2><h2>", "in /Title: 'North 7'"),
    "the address of a link": (
        f'href="{DOI}"',
        'href="https://example.org/?north=7"',
        "in /URI: 'https://example.org/?north=7'",
    ),
    "a place that a link leads to": (
        "<h2>",
        '<p id="north-7"></p><p><a href="#north-7">Glossary</a></p><h2>',
        "north-7",
    ),
    "alternative text": ("Two lines, 1,205", "Two lines, 7", "in /Alt: 'Chart: a fall of 4.5 Two"),
}


def test_what_is_planted_before_printing_is_caught(can: Printed, tmp_path: Path) -> None:
    def change(body: str) -> str:
        for old, new, _ in PRINTED.values():
            body = body.replace(old, new, 1)
        return body

    out = tmp_path / "report.pdf"
    pdf.print_document(_write(tmp_path / "other", change), out)
    found = faults(out, can)
    for what, (_, _, said) in PRINTED.items():
        assert any(said in problem for problem in found), (what, found)


# --- planted in the file -------------------------------------------------------------------------

Plant = Callable[[PdfWriter], None]


def _property(name: str, value: str) -> Plant:
    return lambda w: w.add_metadata({f"/{name}": value})


def _root(name: str, value: object) -> Plant:
    def plant(writer: PdfWriter) -> None:
        writer.root_object[NameObject(f"/{name}")] = value

    return plant


def _tag(name: str) -> Plant:
    def plant(writer: PdfWriter) -> None:
        tags = writer.root_object["/StructTreeRoot"].get_object()
        first = tags["/K"][0] if isinstance(tags["/K"], list) else tags["/K"]
        first.get_object()[NameObject(f"/{name}")] = TextStringObject("7 children")

    return plant


def _note(**parts: object) -> Plant:
    def plant(writer: PdfWriter) -> None:
        note = DictionaryObject({NameObject("/Type"): NameObject("/Annot")})
        note |= {NameObject(f"/{name}"): value for name, value in parts.items()}
        note[NameObject("/Rect")] = ArrayObject([NumberObject(n) for n in (9, 9, 99, 99)])
        writer.pages[0][NameObject("/Annots")] = ArrayObject([writer._add_object(note)])

    return plant


def _stream(data: bytes, **parts: object) -> DecodedStreamObject:
    made = DecodedStreamObject()
    made.set_data(data)
    made.update({NameObject(f"/{name}"): value for name, value in parts.items()})
    return made


def _resource(kind: str, name: str, value: DictionaryObject) -> Plant:
    def plant(writer: PdfWriter) -> None:
        here = writer.pages[0]["/Resources"].get_object()
        held = here.get(kind, DictionaryObject()).get_object()
        held[NameObject(name)] = writer._add_object(value)
        here[NameObject(kind)] = held

    return plant


def _drawn(data: bytes) -> Plant:
    def plant(writer: PdfWriter) -> None:
        sheet = writer.pages[0]
        old = sheet.get_contents().get_data()
        sheet[NameObject("/Contents")] = writer._add_object(_stream(old + data))

    return plant


TEXT, NAME = TextStringObject, NameObject
FONT = {"Type": NAME("/Font"), "Subtype": NAME("/Type1"), "BaseFont": NAME("/Helvetica")}
XMP = b"<x:xmpmeta><rdf:li>7 children in Leeds</rdf:li></x:xmpmeta>"
PLANTS: dict[str, Plant] = {
    "title": _property("Title", "7 children"),
    "author": _property("Author", "North 7"),
    "subject": _property("Subject", "Only words"),
    "keywords": _property("Keywords", "7"),
    "property of its own": _property("North", "7"),
    "day that is a number": _property("CreationDate", "D:7"),
    "day that is none": _property("ModDate", "D:20260732000007"),
    "day long past": _property("ModDate", "D:00070101000000"),
    "day that is another": _property("ModDate", "D:20250101000000"),
    "name of the browser": _property("Creator", "Mozilla/5.0 (X11; 7 children)"),
    "name of the printer": _property("Producer", "Skia/PDF m7"),
    "attachment": lambda w: w.add_attachment("a.csv", b"la,n\nP3,7\n"),
    "bookmark": lambda w: w.add_outline_item(title="North 7", page_number=0),
    "note": _note(Subtype=NAME("/Text"), Contents=TEXT("7 children")),
    "words of a link": _note(Subtype=NAME("/Link"), Contents=TEXT("7 children")),
    "field": _note(Subtype=NAME("/Widget"), FT=NAME("/Tx"), T=TEXT("n"), V=TEXT("7")),
    "form": _root("AcroForm", DictionaryObject({NAME("/Fields"): ArrayObject()})),
    "script": _root(
        "OpenAction",
        DictionaryObject({NAME("/S"): NAME("/JavaScript"), NAME("/JS"): TEXT("var n = 7;")}),
    ),
    "metadata": lambda w: _root("Metadata", w._add_object(_stream(XMP)))(w),
    "labels of sheets": lambda w: w.set_page_label(0, 0, prefix="North 7 ", start=1),
    "alternative text": _tag("Alt"),
    "text in place of letters": _tag("ActualText"),
    "expansion": _tag("E"),
    "title of a tag": _tag("T"),
    "language": _root("Lang", TEXT("7")),
    "part of its own": _root("North", NumberObject(7)),
    "picture": _resource("/XObject", "/X1", _stream(b"\x07", Subtype=NAME("/Image"))),
    "font without letters": _resource(
        "/Font", "/F9", DictionaryObject({NAME(f"/{k}"): v for k, v in FONT.items()})
    ),
    "name of a font": _resource(
        "/Font",
        "/F9",
        DictionaryObject({NAME("/Type"): NAME("/Font"), NAME("/BaseFont"): NAME("/North7")}),
    ),
    "name within a sheet": _resource("/ExtGState", "/North7", DictionaryObject()),
    "text in place of drawn letters": _drawn(b"\n/Span <</ActualText (7)>> BDC EMC\n"),
    "picture in a drawing": _drawn(b"\nBI /W 1 /H 1 ID 7 EI\n"),
    "comment in a drawing": _drawn(b"\n% 7 children\n"),
}


def _rewritten(site: Path, out: Path, plant: Plant) -> Path:
    """As another program writes the file; days, names and title stay the browser's."""
    reader = PdfReader(site / "report.pdf")
    writer = PdfWriter(clone_from=reader)
    writer.metadata = None
    writer.add_metadata({k: str(v) for k, v in reader.metadata.items()})
    plant(writer)
    writer.write(out)
    return out


def test_a_file_written_anew_is_no_fault_in_itself(site: Path, can: Printed, tmp_path) -> None:
    assert faults(_rewritten(site, tmp_path / "a.pdf", lambda _: None), can) == []


@pytest.mark.parametrize("where", PLANTS)
def test_what_is_planted_in_the_file_is_caught(where, site, can, tmp_path) -> None:
    assert faults(_rewritten(site, tmp_path / "a.pdf", PLANTS[where]), can), where


def _without_outline(data: bytes) -> bytes:
    return re.sub(rb"/Outlines\s+\d+ 0 R", lambda m: b" " * len(m[0]), data, count=1)


#: What is done to the bytes of the file, and words by which the problem is known.
RAW: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "after its end": (lambda d: d + b"\n7 children\n", "after it was printed"),
    "between objects": (
        lambda d: d.replace(b"endobj\n", b"endobj\n7 children\n", 1),
        "text between its parts",
    ),
    "a comment": (lambda d: d.replace(b"endobj\n", b"endobj\n% seven\n", 1), "a comment"),
    "a part that nothing leads to": (_without_outline, "nothing leads to"),
}


@pytest.mark.parametrize("where", RAW)
def test_what_is_written_between_the_parts_is_caught(where, site, can, tmp_path) -> None:
    out, (change, said) = tmp_path / "a.pdf", RAW[where]
    out.write_bytes(change((site / "report.pdf").read_bytes()))
    assert any(said in problem for problem in faults(out, can)), where


def test_a_later_version_within_the_file_is_caught(site, can, tmp_path) -> None:
    """What was replaced is still there to be read."""
    writer = PdfWriter(site / "report.pdf", incremental=True)
    writer.pages[0][NameObject("/Rotate")] = NumberObject(0)
    writer.write(tmp_path / "a.pdf")
    assert any("after it was printed" in said for said in faults(tmp_path / "a.pdf", can))
