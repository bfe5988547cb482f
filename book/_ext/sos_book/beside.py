"""Files that stand beside the pages: the page for lost readers, the site map, no stale PDF.

``404.html`` is always written, ``sitemap.xml`` only where the address of the site is known
(``SOS_BASE_URL``), since a site map must hold whole addresses.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.pipeline import pdf
from sos_analysis.pipeline.takeaway import base_address
from sos_book.numbers import DOWNLOADS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LOST = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<title>Page not found: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.0625rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto;
padding: 0 1rem; }}
aside {{ border-left: 0.4rem solid #4f81a8; padding-left: 1rem; }}
h1 {{ font-size: 2.2rem; line-height: 1.15; letter-spacing: -0.018em; }}
li {{ margin: 0.5rem 0; }}
</style>
</head>
<body>
<main>
<aside class="sos-banner sos-banner-none" aria-label="What kind of numbers" data-origin="">
<p>This page holds no numbers.</p></aside>
<h1>Page not found</h1>
<p>The address may be mistyped, or the page may have a new one.</p>
<ul>
{links}
</ul>
</main>
</body>
</html>
"""


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out, base = Path(app.outdir), base_address()
    start = app.builder.get_target_uri(app.config.root_doc)
    ways = (
        (start, "Start page of the report"),
        ("book/findings.html", "Summary of findings"),
        ("search.html", "Search the report"),
    )
    # Shown under any address, so only whole addresses are sure to lead back.
    links = "\n".join(f'<li><a href="{base}{way}">{words}</a></li>' for way, words in ways)
    page = _LOST.format(lang=app.config.language, title=escape(app.config.html_title), links=links)
    (out / "404.html").write_text(page, encoding="utf-8", newline="\n")
    (out / DOWNLOADS / "listing.json").unlink(missing_ok=True)
    made = pdf.present(Path(app.srcdir))
    folder = out / pdf.FOLDER
    if folder.is_dir():
        (folder / pdf.STAMP).unlink(missing_ok=True)
        if made is None:
            # It shows other numbers than these pages do.
            for path in folder.glob("*.pdf"):
                path.unlink()
            folder.rmdir()
    if base:
        _site_map(app, out, base)


def _site_map(app: Sphinx, out: Path, base: str) -> None:
    pages = sorted(app.env.found_docs)
    urls = "".join(
        f"<url><loc>{escape(base + app.builder.get_target_uri(page))}</loc></url>\n"
        for page in pages
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    )
    (out / "sitemap.xml").write_text(text, encoding="utf-8", newline="\n")
    robots = out / "robots.txt"
    said = robots.read_text("utf-8").rstrip() if robots.is_file() else "User-agent: *\nAllow: /"
    robots.write_text(f"{said}\nSitemap: {base}sitemap.xml\n", encoding="utf-8", newline="\n")


def _address(app: Sphinx, config: Any) -> None:
    """Pages name their own address where it is known."""
    if base_address() and not config.html_baseurl:
        config.html_baseurl = base_address()


def setup(app: Sphinx) -> None:
    """Register what is written once the pages are."""
    app.connect("config-inited", _address)
    app.connect("build-finished", _finish, priority=950)
