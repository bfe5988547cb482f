"""What the tests of the built site share: a server that compresses, and a page under watch."""

from __future__ import annotations

import functools
import gzip
import http.server
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

# WCAG 2.0 to 2.2, levels A and AA, and best practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: Rules whose answer can change with colours and width; the others judge the mark-up alone.
LOOKS = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
NARROW, WIDE = {"width": 320, "height": 800}, {"width": 1280, "height": 900}
#: A desktop window of 1280 pixels at 200 %.
ZOOMED = {"width": 640, "height": 450}

#: Sums the shifts of layout that no reader caused, as browsers report them.
_WATCH_SHIFTS = """
window.sosShift = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => {
  if (!entry.hadRecentInput) { window.sosShift += entry.value; }
})).observe({type: "layout-shift", buffered: true});
"""


def toc_pages(root: Path) -> list[str]:
    """Pages of the contents, in reading order."""
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


def all_pages(site: Path) -> list[Path]:
    """Every page of the site."""
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


@functools.cache
def _compressed(path: Path, changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), 6, mtime=0)


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """The site on a local address, compressed as a public web server gives it."""

    class Compressing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = (site / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
            if not path.is_relative_to(site.resolve()) or not path.is_file():
                self.send_error(404)
                return
            body = _compressed(path, path.stat().st_mtime_ns)
            self.send_response(200)
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Compressing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Visit:
    """A page with every request beyond the site refused, and everything noteworthy written down."""

    def __init__(self, browser: Any, base: str, **context: Any) -> None:
        # Without motion, so that no colour is judged half-way through a transition.
        self.context = browser.new_context(reduced_motion="reduce", **context)
        self.context.add_init_script(_WATCH_SHIFTS)
        self.page = self.context.new_page()
        self.outside: list[str] = []
        self.said: list[str] = []
        self.sizes: dict[str, int] = {}

        def judge(route: Any) -> None:
            self.outside.append(route.request.url)
            route.abort()

        def weigh(response: Any) -> None:
            if response.status >= 400:
                self.said.append(f"{response.status} {response.url}")
            if response.ok and response.url.startswith("http"):
                size = int(response.headers.get("content-length", 0))
                self.sizes[response.url.partition("#")[0]] = size

        # Only what leaves the site is routed: routing everything would slow each request.
        self.page.route(lambda url: not url.startswith((base, "data:", "blob:", "about:")), judge)
        self.page.on("response", weigh)
        # The theme announces its colour mode; anything else said is a fault.
        self.page.on(
            "console", lambda m: None if m.text.startswith("[PST]") else self.said.append(m.text)
        )
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *args: object) -> None:
        self.context.close()

    def open(self, address: str) -> Any:
        """Open a page; forget what was noted about the one before."""
        self.outside.clear()
        self.said.clear()
        self.sizes.clear()
        self.page.goto(address, wait_until="load")
        return self.page

    def see_all(self) -> None:
        """Open what is folded, bring every chart into view and wait until it is drawn."""
        # Both before the page is measured, as a reader's own click would be.
        self.page.evaluate(
            """async () => {
              // What a click opens pushes the rest down; only the page's own moves count.
              const before = window.sosShift;
              document.querySelectorAll('details.sos-fold').forEach(d => { d.open = true; });
              await new Promise(r => setTimeout(r, 200));
              window.sosShift = before;
              for (const f of document.querySelectorAll('figure.sos-figure')) {
                f.scrollIntoView({block: 'center', behavior: 'instant'});
                await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
              }
            }"""
        )
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('figure.sos-figure')].every(f =>
                 f.dataset.drawn || !f.querySelector('script.sos-plotly') ||
                 getComputedStyle(f.querySelector('svg.sos-svg-wide')).display === 'none')""",
            timeout=30_000,
        )

    def axe(self, *, rules: list[str] | None = None, whole: bool = False) -> list[str]:
        """Violations of the rules, one line each; `whole` looks at every row of every table.

        Shapes within a picture are no content of their own: it has a name and a description.
        """
        # Rows of a table are written by one line of code: the first few speak for the rest, but
        # for the one run that judges everything.
        rows = [] if whole else [".sos-table tbody tr:nth-of-type(n+5)"]
        without = ["svg.sos-svg" if rules else "svg.sos-svg > :not(text)", *rows]
        only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": TAGS}
        if not self.page.evaluate("Boolean(window.axe)"):
            from axe_playwright_python.sync_playwright import Axe

            self.page.evaluate(Axe().axe_script)
        found = self.page.evaluate(
            """async ([only, exclude]) => (await axe.run({exclude},
                 {runOnly: only, resultTypes: ['violations']})).violations.map(v => ({
                   id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map(n =>
                     [String(n.target), n.failureSummary.slice(0, 200)])}))""",
            [only, without],
        )
        return [
            f"axe {v['id']} ({v['impact']}): {where} {why}"
            for v in found
            for where, why in v["nodes"]
        ]

    def overflow(self) -> int:
        """Pixels that the page is wider than its window."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )
