"""What surrounds the pages: words for previews and machines, site map, page for lost readers.

- ``{takeaway}`` lists every file to take away, with its size; ``{howtocite}`` says how to cite.
- Open Graph tags and schema.org descriptions stand in the head of each page.
- ``404.html`` always; ``sitemap.xml`` only where the address of the site is known
  (``SOS_BASE_URL``), since a site map must hold whole addresses.
"""

from __future__ import annotations

import json
import posixpath
import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis.disclosure import ORIGINS
from sos_analysis.pipeline import pdf
from sos_analysis.pipeline.metadata import Item, linked_page
from sos_analysis.pipeline.takeaway import base_address, listing, spoken_size

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOWNLOADS = "downloads"
CHAPTERS = "book/chapters/"
TAKE_AWAY = "book/take_away"
_KINDS = {"csv": "Table (CSV)", "json": "Results (JSON)", "ipynb": "Notebook"}
#: Picture for previews, 1200 by 630: a title and nothing that could be taken for a result.
_PREVIEW = "_static/preview.png"
#: Longest description: previews cut longer ones.
_DESCRIPTION = 200


def _items(app: Sphinx) -> list[Item]:
    return listing(Path(app.srcdir, "book", "_extra", DOWNLOADS))


def _citation(app: Sphinx) -> dict[str, Any]:
    content = yaml.safe_load(Path(app.srcdir, "CITATION.cff").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


# --- directives -------------------------------------------------------------------------------


class TakeAwayDirective(SphinxDirective):
    """``chapters``: their files. ``report``: the PDF, where it fits, and what describes all."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        part = self.arguments[0]
        if part not in ("report", "chapters"):
            raise self.error(f"part {part!r} is unknown; allowed: report, chapters")
        folder = Path(self.env.srcdir, "book", "_extra", DOWNLOADS)
        if (folder / "listing.json").is_file():
            self.env.note_dependency(str(folder / "listing.json"))
        root = posixpath.relpath(".", posixpath.dirname(self.env.docname) or ".")
        items = _items(self.env.app)
        if part == "report":
            stamp = Path(self.env.srcdir, "book", "_extra", pdf.FOLDER, pdf.STAMP)
            if stamp.is_file():
                self.env.note_dependency(str(stamp))
            return [nodes.raw("", self._report(root, items), format="html")]
        return self._chapters(root, items)

    def _report(self, root: str, items: list[Item]) -> str:
        points = []
        made = pdf.present(Path(self.env.srcdir))
        if made:
            size = spoken_size(made["bytes"])
            href = f"{root}/{pdf.FOLDER}/{made['file']}"
            points.append(
                f"<li>{_link(href, made['file'], 'The whole report as one PDF')}, {size}, "
                f"{made['pages']} pages: tagged, with an outline.</li>"
            )
        points += [
            f"<li>{_link(f'{root}/{DOWNLOADS}/{i.path}', i.path, i.title)}, "
            f"{spoken_size(i.bytes)}. {escape(i.description)}</li>"
            for i in items
            if not i.chapter
        ]
        return f'<ul class="sos-files">{"".join(points)}</ul>'

    def _chapters(self, root: str, items: list[Item]) -> list[nodes.Node]:
        made: list[nodes.Node] = []
        for name in dict.fromkeys(i.chapter for i in items if i.chapter):
            own = [i for i in items if i.chapter == name]
            made.append(nodes.raw("", _chapter_files(root, name, own), format="html"))
        return made


def _link(href: str, file: str, words: str) -> str:
    name = file.rpartition("/")[2]
    return (
        f'<a class="sos-download" href="{escape(href)}" download="{escape(name)}">'
        f"{escape(words)} ({escape(name)})</a>"
    )


def _chapter_files(root: str, name: str, items: list[Item]) -> str:
    """Files of one chapter behind its title: notebook and results first."""
    ranked = sorted(items, key=lambda i: ("ipynb", "json", "csv").index(i.kind))
    rows = "".join(
        f'<tr><th scope="row">{escape(i.title)}</th><td>{_KINDS[i.kind]}</td>'
        f"<td>{escape(ORIGINS[i.origin])}</td>"
        f'<td class="sos-num">{spoken_size(i.bytes)}</td>'
        f'<td><a class="sos-download" href="{root}/{DOWNLOADS}/{escape(i.path)}" '
        f'download="{escape(i.path.rpartition("/")[2])}">'
        f"{escape(i.path.rpartition('/')[2])}</a></td></tr>"
        for i in ranked
    )
    heads = "".join(
        f'<th scope="col"{css}>{text}</th>'
        for text, css in (
            *(("What it is", ""), ("Kind", ""), ("Data behind it", "")),
            *(("Size", ' class="sos-num"'), ("File", "")),
        )
    )
    key = f"files-{name.replace('_', '-')}"
    title = escape(items[0].chapter_title)
    return (
        f'<details class="sos-fold sos-not-printed" id="{key}">'
        f"<summary>{title} ({len(items)} files)</summary>"
        f'<div class="sos-table" role="region" tabindex="0" aria-labelledby="{key}-caption">'
        f'<table><caption id="{key}-caption">Files of: {title}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


class CiteDirective(SphinxDirective):
    """How to cite this version, from CITATION.cff."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(Path(self.env.srcdir, "CITATION.cff")))
        cited = _citation(self.env.app)
        authors = "; ".join(_author(a) for a in cited["authors"])
        address = base_address() or str(cited.get("url", ""))
        words = f"{authors}. {cited['title']}. Version {cited['version']}."
        bibtex = [
            f"  author  = {{{{{authors}}}}}",
            f"  title   = {{{cited['title']}}}",
            f"  version = {{{cited['version']}}}",
            *([f"  url     = {{{address}}}"] if address else []),
        ]
        block = "@software{signs_of_safety_evaluated_again,\n" + ",\n".join(bibtex) + "\n}"
        shown = nodes.literal_block(block, block, language="bibtex")
        return [nodes.paragraph("", f"{words}{f' {address}' if address else ''}"), shown]


def _author(author: dict[str, Any]) -> str:
    return str(author.get("name") or f"{author['family-names']}, {author['given-names']}")


# --- the head of a page -----------------------------------------------------------------------


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"(?s)<[^>]+>", "", html)).split())


def _short(text: str) -> str:
    """At most `_DESCRIPTION` characters, cut between words."""
    if len(text) <= _DESCRIPTION:
        return text
    return text[: _DESCRIPTION - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def _described(meta: dict[str, Any], body: str, origin: str) -> str:
    """The page's own description, else its first paragraph; made-up pages say so first."""
    given = str(meta.get("description", ""))
    if not given:
        first = re.search(r"(?s)<p>(.*?)</p>", body)
        given = _plain(first[1]) if first else ""
    # A page that also holds real numbers says what is made up in its banner.
    lead = "Worked example on made-up data. " if origin == "synthetic" and given else ""
    return _short(lead + given)


def _head(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if doctree is None:
        return
    found = re.search(r'data-origin="([^"]*)"', context.get("sos_banner", ""))
    origin = found[1] if found else ""
    meta = app.env.metadata.get(pagename, {})
    described = _described(meta, context.get("body", ""), origin)
    context["sos_description"] = context.get("sos_description") or described
    base = base_address()
    title = _plain(str(context.get("title", "")))
    address = f"{base}{app.builder.get_target_uri(pagename)}" if base else ""
    tags = {
        "og:title": title,
        "og:type": "article",
        "og:site_name": app.config.project,
        "og:locale": str(app.config.language).replace("-", "_"),
        "og:description": described,
        "og:url": address,
        # Only a whole address finds the picture from elsewhere.
        "og:image": f"{base}{_PREVIEW}" if base else "",
        "og:image:width": "1200" if base else "",
        "og:image:height": "630" if base else "",
        "og:image:alt": app.config.project if base else "",
    }
    metatags = "".join(
        f'<meta property="{name}" content="{escape(value)}">'
        for name, value in tags.items()
        if value
    )
    linked = json.dumps(
        _linked(app, pagename, title, described, address, base), ensure_ascii=False
    ).replace("<", "\\u003c")
    context["metatags"] = (
        f"{context.get('metatags', '')}{metatags}"
        f'<meta name="twitter:card" content="{"summary_large_image" if base else "summary"}">'
        f'<script id="sos-linked" type="application/ld+json">{linked}</script>'
    )


def _linked(
    app: Sphinx, pagename: str, title: str, described: str, address: str, base: str
) -> dict[str, Any]:
    chapter = pagename.removeprefix(CHAPTERS)
    items = [i for i in _items(app) if i.chapter == chapter] if chapter != pagename else []
    kind = "ScholarlyArticle" if chapter != pagename else "Article"
    if pagename == app.config.root_doc:
        kind = "Report"
    if pagename == TAKE_AWAY:
        kind, items = "Dataset", [i for i in _items(app) if i.kind == "csv"]
    up = posixpath.relpath(DOWNLOADS, posixpath.dirname(pagename) or ".")
    return linked_page(
        name=app.config.project if kind == "Report" else title,
        description=described or title,
        kind=kind,
        citation=_citation(app),
        address=address,
        start=f"{base}{app.builder.get_target_uri(app.config.root_doc)}" if base else "",
        items=items,
        downloads=f"{base}{DOWNLOADS}" if base else up,
    )


# --- files beside the pages -------------------------------------------------------------------

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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directives and hooks; after `sos_book`, whose banner says what a page holds."""
    app.setup_extension("sos_book")
    app.add_directive("takeaway", TakeAwayDirective)
    app.add_directive("howtocite", CiteDirective)
    app.connect("config-inited", _address)
    app.connect("html-page-context", _head, priority=950)
    app.connect("build-finished", _finish, priority=950)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
