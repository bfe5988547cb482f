"""The built book as files: links, valid mark-up, numbers; from a file, plain, by keyboard."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from site_visit import NARROW, WIDE, Visit, all_pages, toc_pages

from sos_analysis.chapters import CHAPTERS

#: plotly.js-basic-dist-min 4.1.1, as its publisher gives it (npm).
PLOTLY_SHA256 = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


class _Links(HTMLParser):
    """Addresses a page points to, ids it has, and elements that load something."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "source", "video", "audio") and "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.loads.append(found["href"])


@functools.cache
def _links(path: Path) -> _Links:
    page = _Links()
    page.feed(path.read_text("utf-8"))
    return page


def test_every_page_of_the_contents_is_there_and_says_what_its_numbers_are(built_site):
    for name in toc_pages(built_site.root):
        text = (built_site.site / f"{name}.html").read_text("utf-8")
        assert '<html lang="en-GB"' in text, name
        assert text.count("<h1") == 2, f"{name}: one h1, and the theme's for print"
        banner = re.search(r'<aside class="sos-banner[^>]*data-origin="([^"]*)"', text)
        assert banner, f"{name}: no banner"
        assert banner[1], f"{name}: its banner says nothing of its own"
        chapter = built_site.root / "results" / f"{Path(name).name}.json"
        if name.startswith("book/chapters/"):
            assert banner[1] == json.loads(chapter.read_text("utf-8"))["origin"], name
    for path in all_pages(built_site.site):
        text = path.read_text("utf-8")
        if path.name != "index.html":
            assert "sos-banner" in text, f"{path.name}: no banner"
        assert "<title>" in text, path.name
        assert "lang=" in text, path.name


def test_made_up_numbers_stand_under_a_heading_that_says_so(built_site):
    """On a page of a worked example, no made-up number comes before the heading."""
    for path in (built_site.site / "book" / "chapters").glob("*.html"):
        text = path.read_text("utf-8")
        first = text.find("claim-synthetic")
        if first >= 0:
            heading = text.find("<h2>Worked example on made-up data")
            assert 0 < heading < first, path.name
    for name in ("intro", "findings", "decisions", "certainty"):
        text = (built_site.site / "book" / f"{name}.html").read_text("utf-8")
        assert "claim-synthetic" not in text, name


def test_nothing_is_left_unresolved(built_site):
    verified = built_site.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    pages, numbers = map(int, re.findall(r"(\d+) (?:pages|numbers)", verified.stdout))
    assert pages >= len(toc_pages(built_site.root))
    assert numbers > 50, "the pages hold far fewer numbers than the results"
    for path in all_pages(built_site.site):
        text = re.sub(r"(?s)<(script|style|pre|code).*?</\1>", "", path.read_text("utf-8"))
        for mark in ("{claim}", "{glue", "{cite", "Lorem ipsum", "TODO", "&lt;Figure", "Rendered("):
            assert mark not in text, f"{path.name}: {mark}"
        assert "Share chart" not in text, path.name


def test_a_wrong_number_on_a_page_is_found(built_site, tmp_path):
    """Change one digit of one page of a copy: verify must say which."""
    from sos_analysis.pipeline.verify import verify

    name = "book/chapters/public_statistics.html"
    text = (built_site.site / name).read_text("utf-8")
    wrong = re.sub(r'(data-claim="public\.rereferral\.att"[^>]*>[^<\d]*)(\d)', r"\g<1>7\2", text)
    assert wrong != text
    (tmp_path / "page.html").write_text(wrong + "<p>{claim}`x.y`</p>", encoding="utf-8")
    problems = "\n".join(verify(tmp_path, built_site.root / "results").problems)
    assert "public.rereferral.att shows" in problems
    assert "unresolved {claim}" in problems


def test_links_anchors_and_files_lead_somewhere_and_nothing_loads_from_outside(built_site):
    site = built_site.site
    broken = []
    for path in all_pages(site):
        page = _links(path)
        for address in page.loads:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            if parts.scheme or parts.netloc or not target.is_file():
                broken.append(f"{path.name} loads {address}")
        for address in page.links:
            plain, anchor = urldefrag(address)
            parts = urlsplit(plain)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.name} -> {address}")
            elif anchor and target.suffix == ".html" and anchor not in _links(target).ids:
                broken.append(f"{path.name} -> {address}: no such place on the page")
    assert not broken, "\n".join(broken)


def test_mark_up_is_valid(built_site):
    """Each page is read by a parser of the standard without one error; no id stands twice."""
    import html5lib

    faults = []
    for path in all_pages(built_site.site):
        parser = html5lib.HTMLParser()
        parser.parse(path.read_text("utf-8"))
        faults += [f"{path.name}: {at}: {what} {more}" for at, what, more in parser.errors]
    assert not faults, "\n".join(faults[:20])


def test_the_drawing_library_is_the_published_one_of_the_same_version(built_site, root):
    from plotly.offline import get_plotlyjs_version

    name = "vendor/plotly-basic.min.js"
    held = (root / "book" / "_static" / name).read_bytes()
    assert hashlib.sha256(held).hexdigest() == PLOTLY_SHA256
    assert f"(basic - minified) v{get_plotlyjs_version()}".encode() in held[:200]
    assert (built_site.site / "_static" / name).read_bytes() == held
    assert (built_site.site / "_static" / "vendor" / "plotly-basic.LICENSE.txt").is_file()
    for path in (built_site.site / "_static").rglob("*"):
        assert path.suffix not in (".woff", ".woff2", ".ttf", ".map"), f"{path.name} is not used"


def test_trimming_a_style_sheet_keeps_what_a_page_can_use(root):
    sys.path.insert(0, str(root / "book" / "_ext"))
    try:
        from sos_book.trim import trim
    finally:
        sys.path.pop(0)
    css = (
        '@charset "UTF-8"; a{color:red} .used>b, .gone{top:0} .gone.used, #gone{left:0}'
        "@media print{.gone{top:1px} .used:not(.gone){top:2px}}"
        "@media screen{.gone{top:3px}} @font-face{font-family:x} @keyframes spin{to{top:0}}"
    )
    made = re.sub(r"\s+", "", trim(css, frozenset({"used"})))
    assert made == (
        '@charset"UTF-8";a{color:red}.used>b{top:0}@mediaprint{.used:not(.gone){top:2px}}'
        "@keyframesspin{to{top:0}}"
    )


def test_every_icon_is_drawn_by_our_style_sheet(built_site):
    css = (built_site.site / "_static" / "sos.css").read_text("utf-8")
    used: set[str] = set()
    for path in all_pages(built_site.site):
        for names in re.findall(r'<i class="([^"]*)"', path.read_text("utf-8")):
            used |= {n for n in names.split() if n.startswith("fa-")}
    missing = {n for n in used if f".{n}" not in css} - {"fa-lg"}
    assert used
    assert not missing, missing


def test_from_a_file_and_without_scripts(built_site, browser):
    """Every page opens from a folder, and says everything without a script."""
    site = built_site.site
    with Visit(browser, "file:", viewport=WIDE) as visit:
        page = visit.open((site / "index.html").as_uri())
        page.wait_for_url("**/book/intro.html")
        page = visit.open(next((site / "book" / "chapters").glob("rq4*.html")).as_uri())
        visit.see_all()
        assert page.query_selector(".js-plotly-plot .main-svg"), "charts do not move from a file"
        assert not visit.outside + visit.said, visit.outside + visit.said
        # From a folder the browser refuses the excerpts of the pages found, and says so.
        page = visit.open((site / "search.html").as_uri() + "?q=kinship")
        page.wait_for_selector("#search-results li a", timeout=15_000)
        assert not visit.outside, visit.outside
    with Visit(browser, "file:", viewport=NARROW, java_script_enabled=False) as visit:
        for name in toc_pages(built_site.root):
            page = visit.open((site / f"{name}.html").as_uri())
            lost = page.evaluate(
                """() => [...document.querySelectorAll('figure.sos-figure, aside.sos-banner')]
                  .filter(e => !e.closest('details:not([open])'))
                  .filter(e => ![...e.querySelectorAll('svg.sos-svg, p')].some(
                    s => s.getBoundingClientRect().width > 100)).map(e => e.id || e.className)"""
            )
            assert not lost, f"{name} without scripts loses {lost}"
            assert not visit.outside
        # The colours of one mode are there, and not the browser's own.
        ink, paper = page.evaluate(
            "() => [getComputedStyle(document.querySelector('article p')).color,"
            "getComputedStyle(document.documentElement).getPropertyValue('--sos-paper').trim()]"
        )
        assert ink == "rgb(28, 36, 48)"
        assert paper == "#ffffff"


@pytest.mark.parametrize("name", ["book/intro", "book/data", "book/chapters/rq4_kinship_care"])
def test_by_keyboard_alone(built_site, visit_of, name):
    """Tab reaches everything, shows where it is, and comes round: nothing holds it."""
    visit = visit_of(name)
    visit.see_all()
    page = visit.page
    reach = page.evaluate(
        """() => { const seen = e => e.getClientRects().length &&
             getComputedStyle(e).visibility !== 'hidden';
           return [...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')]
             .filter(e => seen(e) && !e.disabled && e.tabIndex >= 0).length; }"""
    )
    assert reach > 20
    hidden, stops = [], 0
    page.evaluate("document.activeElement.blur()")
    for _ in range(reach + 40):
        page.keyboard.press("Tab")
        what, outline, width, first = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
              const again = e.dataset.seen; e.dataset.seen = '1';
              return [e.tagName + ' ' + e.className + ' ' + (e.innerText || '').slice(0, 30),
                s.outlineStyle, s.outlineWidth, !again]; }"""
        )
        if what.startswith(("BODY", "HTML")):
            break
        if not first:
            pytest.fail(f"the keyboard is held at {what}") if stops < reach * 0.8 else None
            break
        stops += 1
        if outline == "none" or width == "0px":
            hidden.append(what)
    assert not hidden, hidden
    # The groups of buttons on a page may count as one stop; a fifth is leeway for them.
    assert stops >= reach * 0.8, f"{stops} stops, {reach} things to reach"


def test_the_search_box_leads_to_results(built_site, visit_of):
    visit = visit_of("book/findings")
    page = visit.page
    page.keyboard.press("Control+k")
    page.keyboard.type("kinship")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=kinship*")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    titles = page.eval_on_selector_all("#search-results li a", "es => es.map(e => e.innerText)")
    assert any("Kinship care" in title for title in titles)
    assert not visit.said


def test_downloads_say_what_they_are(built_site):
    folder = built_site.site / "downloads"
    chapters = sorted(p.name for p in folder.iterdir() if p.is_dir())
    others = ("made_up_england", "explore_public", "explore_example")
    assert chapters == sorted([*CHAPTERS, *others])
    for path in folder.rglob("*.csv"):
        origin = json.loads(
            (built_site.root / "results" / f"{path.parent.name}.json").read_text("utf-8")
        )["origin"]
        text = path.read_text("utf-8")
        if origin == "synthetic" and "made-up" not in path.name:
            # Parameters are choices of the design, whatever the records are.
            assert "Choice of this study's design" in text, path
        elif origin == "synthetic":
            assert "Made-up data" in text, path
    for name in chapters:
        kinds = {p.suffix for p in (folder / name).iterdir()}
        notebook = {".ipynb"} if name in CHAPTERS else set()
        assert kinds == {".csv", ".json", *notebook}, name


def test_the_picture_for_previews_has_the_size_that_pages_name(built_site):
    """Width and height stand in the head of a PNG (ISO 15948, 11.2.2): 1200 by 630, and light."""
    held = (built_site.site / "_static" / "preview.png").read_bytes()
    assert held[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", held[16:24]) == (1200, 630)
    assert len(held) < 100_000
