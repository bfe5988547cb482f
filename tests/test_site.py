"""The built book as a reader meets it: in a real browser, offline, narrow, dark, printed, plain."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
import yaml

from sos_analysis.chapters import CHAPTERS

# WCAG 2.0 to 2.2, levels A and AA. Best-practice rules are looked at too, apart.
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
NARROW, WIDE = {"width": 320, "height": 800}, {"width": 1280, "height": 900}
# Gzip sizes of what a page makes a browser fetch would need a server that compresses; these are
# plain sizes. The chart library is 4.8 MB and comes only where a chart is seen.
PAGE_BYTES = 1_600_000


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


def _toc_pages(root: Path) -> list[str]:
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [toc["root"], *chapters]


def _pages(site: Path) -> list[Path]:
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


@pytest.fixture(scope="module")
def served(built_site) -> Iterator[str]:
    """The site on a local address, as a web server gives it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(built_site.site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Visit:
    """A page opened with every request beyond the site refused and written down."""

    def __init__(self, browser, base: str, **context) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.outside: list[str] = []
        self.said: list[str] = []
        self.fetched: list[str] = []
        self.bytes = 0

        def judge(route) -> None:
            address = route.request.url
            if address.startswith((base, "data:", "blob:", "about:")):
                route.continue_()
            else:
                self.outside.append(address)
                route.abort()

        def weigh(response) -> None:
            self.fetched.append(response.url)
            if response.ok and response.url.startswith("http"):
                self.bytes += int(response.headers.get("content-length", 0))

        self.page.route("**/*", judge)
        self.page.on("response", weigh)
        # The theme announces its colour mode; anything else said is a fault.
        self.page.on(
            "console", lambda m: None if m.text.startswith("[PST]") else self.said.append(m.text)
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def __enter__(self) -> _Visit:
        return self

    def __exit__(self, *args: object) -> None:
        self.context.close()

    def forget(self) -> None:
        self.outside.clear()
        self.said.clear()

    def open(self, address: str):
        self.page.goto(address, wait_until="load")
        return self.page

    def see_all(self) -> None:
        """Open what is folded, bring every chart into view and wait until it is drawn."""
        self.page.evaluate(
            "document.querySelectorAll('details.sos-fold').forEach(d => { d.open = true; })"
        )
        for figure in self.page.query_selector_all("figure.sos-figure"):
            figure.scroll_into_view_if_needed()
            moving = figure.query_selector("script.sos-plotly")
            if moving and figure.query_selector("svg.sos-svg-wide").is_visible():
                self.page.wait_for_function("f => f.dataset.drawn", arg=figure, timeout=15_000)


def test_every_page_of_the_contents_is_there_and_says_what_its_numbers_are(built_site):
    for name in _toc_pages(built_site.root):
        text = (built_site.site / f"{name}.html").read_text("utf-8")
        assert '<html lang="en-GB"' in text, name
        assert text.count("<h1") == 2, f"{name}: one h1, and the theme's for print"
        banner = re.search(r'<aside class="sos-banner[^>]*data-origin="([^"]*)"', text)
        assert banner, f"{name}: no banner"
        assert banner[1], f"{name}: its banner says nothing of its own"
        chapter = built_site.root / "results" / f"{Path(name).name}.json"
        if name.startswith("book/chapters/"):
            assert banner[1] == json.loads(chapter.read_text("utf-8"))["origin"], name
    for path in _pages(built_site.site):
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
    assert pages >= len(_toc_pages(built_site.root))
    assert numbers > 50, "the pages hold far fewer numbers than the results"
    for path in _pages(built_site.site):
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
    for path in _pages(site):
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_every_page_in_a_browser(built_site, served, browser, scheme, size):
    """Loads, stays on the site, says nothing, draws its charts, fits, and passes axe."""
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    faults = []
    with _Visit(browser, served, viewport=size, color_scheme=scheme) as visit:
        for name in ["index", "search", *_toc_pages(built_site.root)]:
            visit.forget()
            page = visit.open(f"{served}/{name}.html")
            if name == "index":
                page.wait_for_url(f"{served}/book/intro.html")
            visit.see_all()
            faults += [f"{name}: asked for {address}" for address in visit.outside]
            faults += [f"{name}: console: {text}" for text in visit.said]
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if overflow > 1:
                faults.append(f"{name}: {overflow} px wider than the window")
            found = axe.run(page, options=AXE).response["violations"]
            faults += [
                f"{name}: {v['id']} ({v['impact']}): {n['target']} {n['failureSummary'][:160]}"
                for v in found
                for n in v["nodes"][:3]
            ]
    assert not faults, "\n".join(faults)


def test_policy_pages_are_light(built_site, served, browser):
    """A first visit to the start page fetches little, and not the chart library."""
    with _Visit(browser, served, viewport=WIDE) as visit:
        visit.open(f"{served}/book/intro.html")
        assert visit.bytes < PAGE_BYTES
        assert not any("plotly" in address for address in visit.fetched)


def test_charts_are_drawn_with_the_numbers_of_their_table(built_site, served, browser):
    """What Plotly holds is what the CSV beside the chart holds; nothing offers to share it."""
    drawn = 0
    for path in sorted((built_site.site / "book" / "chapters").glob("*.html")):
        with _Visit(browser, served, viewport=WIDE) as visit:
            page = visit.open(f"{served}/book/chapters/{path.name}")
            visit.see_all()
            for figure in page.query_selector_all("figure.sos-figure"):
                if not figure.query_selector("script.sos-plotly"):
                    continue  # a picture alone
                drawn += 1
                assert figure.query_selector(".js-plotly-plot .main-svg"), path.name
                held = figure.evaluate(
                    "f => f.querySelector('.sos-plot').data.flatMap(t => [...t.x, ...t.y])"
                )
                table = page.request.get(
                    f"{served}/book/chapters/"
                    + figure.query_selector("a.sos-download").get_attribute("href")
                ).text()
                known = {round(float(n), 6) for n in re.findall(r"-?\d+(?:\.\d+)?", table)}
                numbers = [v for v in held if isinstance(v, int | float)]
                assert numbers, figure.get_attribute("id")
                # Rows are placed by their rank, which is no number of the table.
                rank = set(range(len(table.splitlines())))
                strange = [v for v in numbers if round(v, 6) not in known and v not in rank]
                assert not strange, (figure.get_attribute("id"), strange[:5])
                tabs = figure.eval_on_selector_all(
                    ".sos-plot a, .sos-plot button, .sos-plot [tabindex='0']", "e => e.length"
                )
                assert tabs == 0, "the drawn layer holds a tab stop"
                assert figure.query_selector("svg.sos-svg[role=img]"), "no picture for all"
                assert "Share" not in figure.query_selector(".sos-plot").inner_text()
    assert drawn >= 6


def test_from_a_file_without_scripts_and_in_print(built_site, browser):
    chapter = next((built_site.site / "book" / "chapters").glob("rq4*.html")).as_uri()
    intro = (built_site.site / "book" / "intro.html").as_uri()
    with _Visit(browser, "file:", viewport=WIDE) as visit:
        page = visit.open((built_site.site / "index.html").as_uri())
        page.wait_for_url(intro)
        visit.open(chapter)
        visit.see_all()
        assert not visit.outside
        assert not visit.said
        page.emulate_media(media="print")
        figure = page.query_selector("figure.sos-figure")
        assert not figure.query_selector(".sos-plot").is_visible()
        box = figure.query_selector("svg.sos-svg-wide").bounding_box()
        assert box["width"] > 300, "the picture is not printed"
    with _Visit(browser, "file:", viewport=NARROW, java_script_enabled=False) as visit:
        page = visit.open(chapter)
        shown = [s for s in page.query_selector_all("svg.sos-svg") if s.is_visible()]
        folded = page.query_selector_all("details.sos-fold figure.sos-figure")
        assert len(shown) == len(page.query_selector_all("figure.sos-figure")) - len(folded)
        assert page.query_selector("aside.sos-banner").is_visible()


def test_keyboard_focus_is_visible_and_search_works(built_site, served, browser):
    with _Visit(browser, served, viewport=WIDE) as visit:
        page = visit.open(f"{served}/book/findings.html")
        seen, hidden = set(), []
        for _ in range(60):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "() => { const e = document.activeElement, s = getComputedStyle(e);"
                "return [e.tagName + ' ' + (e.className || '') + (e.innerText || '').slice(0, 30),"
                "s.outlineStyle + s.outlineWidth] }"
            )
            if name.startswith("BODY"):
                break
            seen.add(name)
            if outline.startswith("none") or outline.endswith("0px"):
                hidden.append(name)
        assert len(seen) > 10, "the keyboard reaches too little"
        assert not hidden, hidden
        page = visit.open(f"{served}/search.html?q=kinship")
        page.wait_for_selector("#search-results li a", timeout=15_000)


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
