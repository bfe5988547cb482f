"""The scan before publication: the book is clean, and a small cell is caught in every channel."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sos_analysis import tables
from sos_analysis.disclosure import SafeTable
from sos_analysis.pipeline.scan import look_through, scan
from sos_analysis.pipeline.scan_known import Known, known
from sos_analysis.pipeline.scan_marks import numbers, record_level, traces
from sos_analysis.pipeline.scan_pages import read
from sos_analysis.results import load_bundle

CHAPTER = "rq4_kinship_care"
PAGE = f"book/chapters/{CHAPTER}.html"
SOURCE = f"_sources/book/chapters/{CHAPTER}.ipynb"
DOWNLOADS = f"downloads/{CHAPTER}"
SMALL = "Only 7 children in one authority"


@pytest.fixture(scope="module")
def can(built_site) -> Known:
    return known(load_bundle(built_site.root / "results"))


@pytest.fixture(scope="module")
def few_pages(built_site, tmp_path_factory) -> Path:
    """A site of one chapter and one page of prose, with all that belongs to them."""
    site = tmp_path_factory.mktemp("few") / "html"
    for name in (PAGE, SOURCE, "book/glossary.html", "_sources/book/glossary.md", "objects.inv"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built_site.site / name, site / name)
    shutil.copytree(built_site.site / DOWNLOADS, site / DOWNLOADS)
    (site / "_static").mkdir()
    for name in ("basic.css", "sos.js", "favicon.svg"):
        shutil.copyfile(built_site.site / "_static" / name, site / "_static" / name)
    index = _index(built_site.site / "searchindex.js")
    kept = {i for i, n in enumerate(index["docnames"]) if (site / f"{n}.html").is_file()}
    for part in ("terms", "titleterms"):
        here = {}
        for term, at in index[part].items():
            found = [n for n in (at if isinstance(at, list) else [at]) if n in kept]
            if found:
                here[term] = found
        index[part] = here
    index["titles"] = [t for i, t in enumerate(index["titles"]) if i in kept]
    index["alltitles"] = {
        t: at for t, at in index["alltitles"].items() if {n for n, _ in at} & kept
    }
    (site / "searchindex.js").write_text(f"Search.setIndex({json.dumps(index)})", "utf-8")
    return site


def _index(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8")[len("Search.setIndex(") : -1])
    return found


def test_the_whole_book_is_clean(built_site, can) -> None:
    found = look_through(built_site.site, can)
    assert found.problems == ()
    wanted = {"page", "notebook", "table", "results", "page source", "search index", "theme"}
    assert wanted <= set(found.channels)
    assert found.files == sum(1 for p in built_site.site.rglob("*") if p.is_file())


def test_no_identifier_of_the_records_is_in_the_book(built_site, can, few_pages, tmp_path) -> None:
    extract = built_site.root / "data" / "extract" / "synthetic"
    assert look_through(few_pages, can, extract=extract).problems == ()
    import duckdb

    file = next(extract.glob("cin_2015.parquet"))
    child = duckdb.sql(f"SELECT CIN_LAchildID_Anon FROM '{file}' LIMIT 1").fetchall()[0][0]
    site = tmp_path / "site"
    shutil.copytree(few_pages, site)
    page = site / "book" / "glossary.html"
    # Glued into a word that no pattern would find.
    page.write_text(page.read_text("utf-8").replace("</h1>", f"</h1><b>{child}</b>", 1), "utf-8")
    found = look_through(site, can, extract=extract)
    assert any("identifier of the records" in p and child in p for p in found.problems)


# --- a small cell in every channel -------------------------------------------------------------

Plant = Callable[[Path], None]


def replace(name: str, old: str, new: str, *, count: int = 1) -> Plant:
    def plant(site: Path) -> None:
        path = site / name
        text = path.read_text("utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, count), "utf-8")

    return plant


def pattern(name: str, old: str, new: str) -> Plant:
    def plant(site: Path) -> None:
        path = site / name
        text, times = re.subn(old, new, path.read_text("utf-8"), count=1, flags=re.DOTALL)
        assert times == 1, f"{old!r} is not in {name}"
        path.write_text(text, "utf-8")

    return plant


def write(name: str, content: str | bytes) -> Plant:
    def plant(site: Path) -> None:
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return plant


def notebook(name: str, change: Callable[[dict[str, Any]], None]) -> Plant:
    def plant(site: Path) -> None:
        path = site / name
        content = json.loads(path.read_text("utf-8"))
        change(content)
        path.write_text(json.dumps(content), "utf-8")

    return plant


def output(**content: Any) -> Callable[[dict[str, Any]], None]:
    def change(book: dict[str, Any]) -> None:
        cell = next(c for c in book["cells"] if c["cell_type"] == "code")
        cell["outputs"].append(content)

    return change


def shown(mime: str, text: Any) -> Callable[[dict[str, Any]], None]:
    return output(output_type="display_data", metadata={}, data={mime: text})


def index(change: Callable[[dict[str, Any]], None]) -> Plant:
    def plant(site: Path) -> None:
        path = site / "searchindex.js"
        content = _index(path)
        change(content)
        path.write_text(f"Search.setIndex({json.dumps(content)})", "utf-8")

    return plant


def pdf(text: str, properties: str = "") -> bytes:
    """A PDF of one page, written by hand."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< {properties} >>".encode(),
    ]
    made, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(parts) + 1)
    return made + b"startxref\n%d\n%%%%EOF\n" % start


def _cells(book: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = book["cells"]
    return found


TRACEBACK = ["Traceback (most recent call last)", "KeyError: 'C000431'", "   la  n", "0  P3  7"]
PLANTS: dict[str, tuple[str, Plant]] = {
    "text of a page": ("page", replace(PAGE, "</h1>", f"</h1><p>{SMALL}.</p>")),
    "text of a page of prose": (
        "page",
        replace("book/glossary.html", "</h1>", "</h1><p>In the north it was 7.</p>"),
    ),
    "a cell of a table": (
        "page",
        pattern(PAGE, r'(data-table="rq4-kinship-care-counts".*?<td[^>]*>)[\d,]+', r"\g<1>7"),
    ),
    "a number that says it is a claim": (
        "page",
        pattern(PAGE, r'(data-claim="rq4\.events"[^>]*>)[\d,]+', r"\g<1>7"),
    ),
    "a claim of days": (
        "page",
        replace(
            PAGE,
            "</h1>",
            '</h1><span class="claim claim-design" data-claim="design.window.kinship">7 days'
            "</span>",
        ),
    ),
    "a claim that does not exist": (
        "page",
        replace(
            PAGE,
            "</h1>",
            '</h1><span class="claim claim-public" data-claim="no.such">7</span>',
        ),
    ),
    "a title that is shown on hover": (
        "page",
        replace(PAGE, "<h1>", f'<h1 title="{SMALL}">'),
    ),
    "alternative text": (
        "page",
        replace(PAGE, "</h1>", f'</h1><img src="x.png" alt="{SMALL}">'),
    ),
    "a label for screen readers": (
        "page",
        replace(PAGE, "<h1>", f'<h1 aria-label="{SMALL}">'),
    ),
    "an attribute with data": ("page", replace(PAGE, "<h1>", '<h1 data-n="7">')),
    "a comment": ("page", replace(PAGE, "</h1>", f"</h1><!-- {SMALL} -->")),
    "a description for search engines": (
        "page",
        replace(PAGE, "</head>", f'<meta name="description" content="{SMALL}"></head>'),
    ),
    "a preformatted block": (
        "page",
        replace(PAGE, "</h1>", "</h1><pre>   la      n\n0  North   7\n1  South  90</pre>"),
    ),
    "values of a Plotly chart": (
        "page",
        pattern(PAGE, r'(class="sos-plotly">.*?"y": \[)[^\]]*', r"\g<1>7"),
    ),
    "hover data of a Plotly chart": (
        "page",
        pattern(PAGE, r'(class="sos-plotly">\{)', r'\g<1>"customdata": [[7]], '),
    ),
    "data in another script": (
        "page",
        replace(PAGE, "</body>", '<script type="application/json">{"n": 7}</script></body>'),
    ),
    "a variable of a script": (
        "page",
        replace(PAGE, "</body>", "<script>var children = 7;</script></body>"),
    ),
    "title of an SVG": ("page", pattern(PAGE, r"(<svg.*?<title[^>]*>)", rf"\g<1>{SMALL}")),
    "tooltip in an SVG": (
        "page",
        pattern(PAGE, r"(<svg[^>]*>)", r"\g<1><circle><title>n = 7</title></circle>"),
    ),
    "text of an SVG": ("page", pattern(PAGE, r"(<svg[^>]*>)", r"\g<1><text>7</text>")),
    "an SVG file": ("picture", write("book/a.svg", "<svg><title>n = 7</title></svg>")),
    "a picture among the theme's": (
        "theme",
        write("_static/a.svg", "<svg><title>n = 7</title></svg>"),
    ),
    "a table among the theme's files": ("theme", write("_static/a.csv", "la,n\nP3,7\n")),
    "a comment in the theme's code": (
        "theme",
        replace("_static/sos.js", '"use strict";', f'"use strict"; // {SMALL}'),
    ),
    "a cell of a CSV": (
        "table",
        pattern(f"{DOWNLOADS}/made-up-counts.csv", r",(\d+),", ",7,"),
    ),
    "another CSV": ("table", write(f"{DOWNLOADS}/made-up-raw.csv", "la,n\nP3,7\n")),
    "a value of the JSON": (
        "results",
        pattern(f"{DOWNLOADS}/made-up-{CHAPTER}.json", r'("value": )\d+', r"\g<1>7"),
    ),
    "another JSON": ("results", write("downloads/all.json", '{"n": 7}')),
    "a file of another kind": ("unknown", write("downloads/cells.parquet", b"PAR1\x07")),
    "a spreadsheet": ("unknown", write("downloads/a.xlsx", b"PK\x03\x04")),
    "an output of a notebook": ("notebook", notebook(SOURCE, shown("text/html", f"<p>{SMALL}"))),
    "a text output of a notebook": (
        "notebook",
        notebook(SOURCE, shown("text/plain", "   la  n\n0  P3  7")),
    ),
    "a duration put out by a notebook": (
        "notebook",
        notebook(SOURCE, shown("text/html", "<p>It took them 7 days.</p>")),
    ),
    "a year put out by a notebook as text": (
        "notebook",
        notebook(SOURCE, shown("text/plain", "all since 2007")),
    ),
    "a picture in a notebook": ("notebook", notebook(SOURCE, shown("image/png", "iVBORw0"))),
    "a chart in a notebook": (
        "notebook",
        notebook(SOURCE, shown("application/vnd.plotly.v1+json", {"data": [{"y": [7]}]})),
    ),
    "a style put out by a notebook": (
        "notebook",
        notebook(SOURCE, shown("text/html", '<p style="width:7px">x</p>')),
    ),
    "an id put out by a notebook": (
        "notebook",
        notebook(SOURCE, shown("text/html", '<p id="north-7">x</p>')),
    ),
    "packed text in a notebook": (
        "notebook",
        notebook(SOURCE, shown("text/plain", "NyBjaGlsZHJlbg==")),
    ),
    "packed text in the source of a page": (
        "page source",
        replace("_sources/book/glossary.md", "\n# ", "\nNyBjaGlsZHJlbg==\n\n# "),
    ),
    "packed text in a file of tools": ("tool", write("robots.txt", "# NyBjaGlsZHJlbg==\n")),
    "packed text in a comment of the theme": (
        "theme",
        replace("_static/sos.js", '"use strict";', '"use strict"; // NyBjaGlsZHJlbg=='),
    ),
    "a picture in a style sheet": (
        "theme",
        replace("_static/basic.css", "\n", "\np{background:url(data:,la%2C7)}\n"),
    ),
    "words for children in a comment of the theme": (
        "theme",
        replace("_static/sos.js", '"use strict";', '"use strict"; // nineteen children'),
    ),
    "printed text of a notebook": (
        "notebook",
        notebook(SOURCE, output(output_type="stream", name="stdout", text=["North 7\n"])),
    ),
    "a traceback of a notebook": (
        "notebook",
        notebook(
            SOURCE,
            output(output_type="error", ename="KeyError", evalue="7", traceback=TRACEBACK),
        ),
    ),
    "code of a notebook": (
        "notebook",
        notebook(SOURCE, lambda b: _cells(b)[2].update(source="small = 7")),
    ),
    "words of a notebook": (
        "notebook",
        notebook(SOURCE, lambda b: _cells(b)[0].update(source=f"# Kinship care\n\n{SMALL}.")),
    ),
    "metadata of a notebook": (
        "notebook",
        notebook(SOURCE, lambda b: b["metadata"].update(note=SMALL)),
    ),
    "metadata of a cell": (
        "notebook",
        notebook(SOURCE, lambda b: _cells(b)[3]["metadata"].update(n=7)),
    ),
    "an attachment of a cell": (
        "notebook",
        notebook(
            SOURCE,
            lambda b: _cells(b)[0].update(attachments={"a.txt": {"text/plain": "n 7"}}),
        ),
    ),
    "the notebook to take away": (
        "notebook",
        notebook(f"{DOWNLOADS}/made-up-{CHAPTER}.ipynb", shown("text/plain", SMALL)),
    ),
    "a title in the search index": (
        "search index",
        index(lambda i: i["titles"].append(SMALL)),
    ),
    "a heading in the search index": (
        "search index",
        index(lambda i: i["alltitles"].update({SMALL: [[0, "x"]]})),
    ),
    "a word in the search index": (
        "search index",
        index(lambda i: i["terms"].update({"7children": i["terms"]["kinship"]})),
    ),
    "a word that ends in a number in the search index": (
        "search index",
        index(lambda i: i["terms"].update({"kinship7": i["terms"]["kinship"]})),
    ),
    "something beside the search index": (
        "search index",
        replace("searchindex.js", "Search.setIndex(", "var n = 7; Search.setIndex("),
    ),
    "the source of a page": (
        "page source",
        replace("_sources/book/glossary.md", "\n# ", f"\n{SMALL}.\n\n# "),
    ),
    "the source of another page": ("page source", write("_sources/book/x.md", f"{SMALL}.\n")),
    "text of a PDF": ("PDF", write("report.pdf", pdf(f"{SMALL}."))),
    "properties of a PDF": ("PDF", write("report.pdf", pdf("Report", f"/Subject ({SMALL})"))),
}


#: In places that are not read out, or not as digits: each stands before the end of an article.
ODD = {
    "a tooltip": '<p data-tippy-content="7 children">x</p>',
    "a popover": '<p data-bs-content="7 children">x</p>',
    "a title moved by a script": '<p data-bs-original-title="7 children">x</p>',
    "the name of a class": '<p class="n-7">x</p>',
    "the name of a class, glued": '<p class="sos-wide g7q">x</p>',
    "an id": '<p id="n7-children">x</p>',
    "an id that is a number": '<p id="7">x</p>',
    "an id with a number": '<p id="north-n7">x</p>',
    "an id beside the name of a result": '<p id="rq4-kinship-care-counts-7">x</p>',
    "an id as the builder makes them, elsewhere": '<p id="id7">x</p>',
    "an id as the builder makes them, of which there are not so many": '<div id="id743">x</div>',
    "an id as the builder makes them, for a thing it does not count": '<p id="id1">x</p>',
    "an id as the builder makes them, to which nothing leads": '<div id="id7">x</div>',
    "an id of a reference out of turn": '<span id="id7">x</span>',
    "the name of a class of the theme": '<p class="col-7 p-5">x</p>',
    "a width in a style": '<p style="width: 7%">x</p>',
    "a colour in a style": '<p style="color:#000007">x</p>',
    "a style in the page": "<style>p { margin-left: 7px; }</style>",
    "packed text": "<p>NyBjaGlsZHJlbg==</p>",
    "packed text, short and without an end": "<p>NyBib3lz</p>",
    "packed text in an attribute": '<a href="x.html" class="bj03IGluIExlZWRz">x</a>',
    "packed text in code": "<pre>Tm9ydGg6IDcgY2hpbGRyZW4gaW4gY2FyZQ==</pre>",
    "packed in figures": "<p>37206368696c6472656e</p>",
    "a figure as a code of an address": '<a href="x.html#north-%37">x</a>',
    "a figure as a code of a script": '<script>var n = "\\u0037";</script>',
    "a size of a preview": '<meta property="og:image:width" content="7">',
    "a value of a description": '<meta value="7">',
    "packed data": f"<p>{'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ' * 20}</p>",
    "a file in the text": "<p>data:text/csv;base64,bGEsbgpQMyw3Cg==</p>",
    "a file in code": "<pre>url = data:,la%2Cn%0AP3%2C7</pre>",
    "a declaration with a figure": "<!DOCTYPE html7>",
    "a declaration of its own": "<!ELEMENT north (seven)>",
    "a comment in words": "<!-- seven in the north -->",
    "words for children": "<p>Thirteen very young boys moved.</p>",
    "a word for one child": "<p>It was one girl.</p>",
    "words for many": "<p>Of these, twenty-two children.</p>",
    "words for a dozen": "<p>Half a dozen families came back.</p>",
    "words for authorities": "<p>All in three neighbouring councils.</p>",
    "words for some of them": "<p>Seven of them moved.</p>",
    "an address within the page": '<a href="#north-7">x</a>',
    "an address within another page": '<a href="x.html#id743">x</a>',
    "the name of an anchor": '<a name="north7">x</a>',
    "the label of a field": '<label for="n7">x</label>',
    "a heading of cells": '<table><tr><td headers="a7 b">x</td></tr></table>',
    "what describes it": '<p aria-describedby="north-7">x</p>',
    "the name of a table": '<div data-table="north-7">x</div>',
    "an attribute that no page has": '<p about="north 7">x</p>',
    "a width that is none": '<table width="7"><tr><td>x</td></tr></table>',
    "an attribute of a drawing": '<svg><circle north="7"/></svg>',
    "the query of an address": '<a href="x.html?n=7&amp;g=a">x</a>',
    "a file in an address": '<a href="data:text/csv,group,children%0Aa,7">x</a>',
    "a drawing in an address": '<img alt="x" src="data:image/svg+xml;base64,PHN2Zz43PC9zdmc+">',
    "what a style puts on the page": "<style>p::after{content:'7 children'}</style>",
    "a style's own value": '<p style="--n:7">x</p>',
    "a formula": "<math><mn>7</mn><mi>children</mi></math>",
    "columns in code": "<pre>group  a  b\nNorth  7  12\n</pre>",
    "a short heading of a cell": '<table><tr><td abbr="7 children">x</td></tr></table>',
    "a full-width figure": "<p>North \uff17</p>",
    "a raised figure": "<p>North \u2077</p>",
    "a circled figure": "<p>North \u2466</p>",
    "a Roman numeral": "<p>North VII children</p>",
    "a fraction as one sign": "<p>\u00be of the north</p>",
    "a count that looks like a year": "<p>North 2007 children</p>",
    "an index": "<p>n<sub>7</sub></p>",
    "a name of a picture": '<img alt="x" src="north-7.png">',
    "a name of a page": '<a href="north-7.html">x</a>',
    "the subject of a letter": '<a href="mailto:a@b?subject=7">x</a>',
    "the query of an address elsewhere": '<a href="https://x.org/?n=7">x</a>',
    "a counter of a style": "<style>p{counter-reset:n 7}</style>",
    "a value of its own in a style sheet": "<style>:root{--n:7}</style>",
    "an instruction": "<?north 7?>",
    "a section that no parser reads": "<svg><![CDATA[North 7]]></svg>",
    "words": "<p>Only seven of the children: seven children moved.</p>",
}
PLANTS |= {
    f"page, {what}": (
        "page",
        replace("book/glossary.html", "</article>", f"{html}</article>"),
    )
    for what, html in ODD.items()
}


def _inventory(site: Path) -> None:
    path = site / "objects.inv"
    head, body = path.read_bytes().split(b"zlib.\n", 1)
    more = b"x std:label -1 book/x.html#x 7 children in one place\n"
    path.write_bytes(head + b"zlib.\n" + zlib.compress(zlib.decompress(body) + more))


def _anchor(site: Path) -> None:
    path = site / "objects.inv"
    head, body = path.read_bytes().split(b"zlib.\n", 1)
    more = b"x std:label -1 book/glossary.html#north-7 -\n"
    path.write_bytes(head + b"zlib.\n" + zlib.compress(zlib.decompress(body) + more))


def _first(book: dict[str, Any]) -> dict[str, Any]:
    return next(cell for cell in _cells(book) if cell["cell_type"] == "code")


PLANTS |= {
    "runs of a cell": (
        "notebook",
        notebook(SOURCE, lambda b: _first(b).update(execution_count=777)),
    ),
    "the name of a cell": ("notebook", notebook(SOURCE, lambda b: _first(b).update(id="north-7"))),
    "a tag of a cell": (
        "notebook",
        notebook(SOURCE, lambda b: _first(b)["metadata"].update(tags=["north-7"])),
    ),
    "a part of a notebook": ("notebook", notebook(SOURCE, lambda b: b.update(north=7))),
    "a parameter that there is not": (
        "notebook",
        notebook(
            SOURCE,
            lambda b: _cells(b).insert(
                0,
                {
                    "cell_type": "code",
                    "metadata": {"tags": ["injected-parameters"]},
                    "source": "# Parameters\nnorth = 7\n",
                    "outputs": [],
                },
            ),
        ),
    ),
    "the name of the site": ("tool", write("CNAME", "north7.org")),
    "a query in the site map": (
        "tool",
        write("sitemap.xml", "<urlset><url><loc>https://x.org/a?n=7</loc></url></urlset>"),
    ),
    "a label of a picture": ("picture", write("a.svg", '<svg aria-label="North 7"></svg>')),
    "an id of a picture": ("picture", write("a.svg", '<svg id="north-7"></svg>')),
    "data of a picture": ("picture", write("a.svg", '<svg data-n="7"></svg>')),
    "the name of a file": ("page", write("north-7.html", "<p>x</p>")),
    "the name of a folder": ("page", write("north-7/x.html", "<p>x</p>")),
    "a page of the search index": (
        "search index",
        index(lambda i: i["docnames"].append("north-7")),
    ),
    "a version in the search index": (
        "search index",
        index(lambda i: i["envversion"].update(north=7)),
    ),
    "a place in the search index": (
        "search index",
        index(lambda i: i["terms"].update({"north": [777]})),
    ),
    "the name of a claim in a source": (
        "page source",
        replace("_sources/book/glossary.md", "\n# ", "\n{claim}`north.7`\n\n# "),
    ),
    "inventory of anchors": ("tool", _inventory),
    "an anchor of the inventory": ("tool", _anchor),
    "an anchor in the search index": (
        "search index",
        index(lambda i: i["alltitles"].update({next(iter(i["alltitles"])): [[0, "north-7"]]})),
    ),
    "file for robots": ("tool", write("robots.txt", "User-agent: *\n# 7 in Leeds\n")),
    "site map": ("tool", write("sitemap.xml", "<urlset><!-- 7 children --></urlset>")),
    "stamp of the builder": ("tool", write(".buildinfo", "# 7 children")),
    "packed file": ("unknown", write("downloads/x.csv.gz", gzip.compress(b"a,7"))),
}


@pytest.mark.parametrize("where", PLANTS)
def test_a_small_cell_is_caught(where: str, few_pages: Path, can: Known, tmp_path: Path) -> None:
    channel, plant = PLANTS[where]
    site = tmp_path / "site"
    shutil.copytree(few_pages, site)
    plant(site)
    found = look_through(site, can)
    assert found.channels[channel] >= 1
    assert found.problems, f"{where}: not caught"


_CELL = re.compile(r"<t[dh][^>]*>.*?</t[dh]>", re.DOTALL)
_SHOWN = re.compile(r"(?<=>)[^<>]*?(?<![\w.,#&])(\d[\d,]*(?:\.\d+)?)(?![\w.])(?=[^<>]*<)")


def test_a_changed_cell_is_caught_in_every_table_and_chart(can: Known) -> None:
    """Of all results, whatever their kind: the first number of each role that columns have."""
    tried = 0
    for result in can.bundle:
        for name, item in {**result.tables, **result.figures}.items():
            table = item if isinstance(item, SafeTable) else item.data
            if len(table.rows) > 500:
                continue  # a grid of the explore page stands on no page
            quiet = not isinstance(item, SafeTable)
            body = tables.body(table, f"{result.slug}-{name}{'-data' * quiet}", quiet=quiet)
            done: set[str] = set()
            for place, cell in enumerate(_CELL.finditer(body)):
                role = table.columns[place % len(table.columns)].role
                number = _SHOWN.search(cell[0])
                if role in done or number is None:
                    continue
                done.add(role)
                at, end = (cell.start() + n for n in number.span(1))
                changed = f"{body[:at]}{'7' if number[1] != '7' else '8'}{body[end:]}"
                left = read(can.strip(changed)).text
                assert any(numbers(can.unsaid(left))), (result.name, name, cell[0])
                tried += 1
    assert tried > 200


def test_a_changed_figure_is_caught_in_every_file_and_script_of_results(
    can: Known, few_pages: Path, tmp_path: Path
) -> None:
    """Tables and results to take away, and what the explore page reads."""
    site = tmp_path / "site"
    shutil.copytree(few_pages, site)
    files = {f"downloads/{name}": text for name, text in can.files.items()}
    files |= {f"_static/{name}": text for name, text in can.scripts.items()}
    assert any("explore" in name for name in files)
    changed: list[str] = []
    for name, text in files.items():
        digit = max((i for i, c in enumerate(text) if c.isdigit()), default=-1)
        if digit < 0:
            continue  # words alone
        changed.append(name)
        write(name, f"{text[:digit]}{'7' if text[digit] != '7' else '8'}{text[digit + 1 :]}")(site)
    found = look_through(site, can).problems
    assert len(changed) > len(files) - 20
    for name in changed:
        assert any(p.startswith(f"{name}: differs from the result") for p in found), name


def test_without_a_plant_nothing_is_caught(few_pages: Path, can: Known) -> None:
    assert look_through(few_pages, can).problems == ()


# --- values of records, paths, names -----------------------------------------------------------

WHERE: dict[str, Callable[[str], Plant]] = {
    "page": lambda s: replace("book/glossary.html", "</h1>", f"</h1><p>{s}</p>"),
    "attribute": lambda s: replace("book/glossary.html", "<h1>", f'<h1 title="{s}">'),
    "comment": lambda s: replace("book/glossary.html", "</h1>", f"</h1><!-- {s} -->"),
    "code": lambda s: replace("book/glossary.html", "</h1>", f"</h1><pre>{s}</pre>"),
    "source": lambda s: replace("_sources/book/glossary.md", "\n# ", f"\n{s}\n\n# "),
    "notebook": lambda s: notebook(SOURCE, shown("text/plain", s)),
    "parameters": lambda s: notebook(
        SOURCE,
        lambda b: _cells(b).insert(
            2,
            {
                "cell_type": "code",
                "metadata": {"tags": ["injected-parameters"]},
                "outputs": [],
                "source": f'extract = "{s}"',
            },
        ),
    ),
    "traceback": lambda s: notebook(
        SOURCE, output(output_type="error", ename="E", evalue=s, traceback=[s])
    ),
    "theme": lambda s: replace("_static/basic.css", "\n", f"\n/* {s} */\n"),
    "inventory": lambda s: write(
        "objects.inv",
        b"# Sphinx inventory\n# zlib.\n" + zlib.compress(f"{s} std:doc 1 x -".encode()),
    ),
    "PDF": lambda s: write("a.pdf", pdf("Report", f"/Author ({s})")),
    "other": lambda s: write("downloads/notes.bin", s),
}
SECRETS = {
    "identifier": "C000431",
    "pupil number": "H801200001001",
    "date of birth": "2011-03-14",
    "path": "/home/jsmith/secure/extract",
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("secret", SECRETS)
def test_record_values_and_paths_are_caught(
    where: str, secret: str, few_pages: Path, can: Known, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(few_pages, site)
    WHERE[where](SECRETS[secret])(site)
    found = look_through(site, can)
    assert any(SECRETS[secret][:12] in p for p in found.problems), found.problems


def test_names_of_the_machine_and_its_user_are_caught() -> None:
    names = ("jsmith", "secure-vm-04", "C:/projects/sos")
    text = "made by jsmith on secure-vm-04"
    assert len(list(traces(text, names))) == 2
    assert not list(traces("made by a jsmithson", names))
    for path in (
        "C:\\\\Users\\\\ann\\\\x",
        "\\\\\\\\nas01\\\\share\\\\x",
        "file:///etc/x",
        "/Users/ann/x",
    ):
        assert list(traces(f"see {path}")), path
    assert not list(traces("https://example.org/home/page and book/chapters/x.html"))


@pytest.mark.parametrize(
    "text",
    [
        "There were 7 children.",
        "7",
        "n = 7",
        "It rose by 3.5 in the north",
        "two in 8 cases",
        "£12",
        "In 2019, 7 children were placed",
        "from 3 to 9",
        "of 12 boys",
        "7 of 100 children",
        "(7)",
        "−7",
    ],
)
def test_a_number_without_an_origin_is_seen(text: str) -> None:
    assert list(numbers(text)), text


@pytest.mark.parametrize(
    "text",
    [
        "in the year ending 31 March 2019",
        "2018/19",
        "per 100 children",
        "a 95% interval",
        "section 47",
        "WCAG 2.2",
        "Python 3.11, 3.12 or 3.13",
        "within 45 working days",
        "CRV3, WCR-31, RQ4, E43",
        "Political Analysis, 20(1):1–24, 2012. doi:10.1093/pan/mpr013",
        "aged 0 to 17",
    ],
)
def test_a_number_of_law_time_or_method_is_not(text: str) -> None:
    assert not list(numbers(text)), text
    assert not list(record_level(text))


def test_a_hash_without_letters_is_not_a_child(can) -> None:
    """Twelve hex digits are all decimal in one of some 280 hashes."""
    seals = set(can.bundle.seals.values())
    assert len(seals) > 10
    assert seals <= can.hashes
    assert list(record_level("seal 448295867504"))
    assert not list(record_level("seal 448295867504", hashes=frozenset({"448295867504"})))


def test_a_site_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    from sos_analysis.errors import SosError

    with pytest.raises(SosError, match="no pages in"):
        scan(tmp_path, tmp_path)
