"""The head of each page: its description, Open Graph tags for previews, schema.org for machines."""

from __future__ import annotations

import json
import posixpath
import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from sos_analysis.pipeline.metadata import linked_page
from sos_analysis.pipeline.takeaway import base_address
from sos_book.numbers import CHAPTERS, DOWNLOADS
from sos_book.takeaway import citation, files

if TYPE_CHECKING:
    from sphinx.application import Sphinx

TAKE_AWAY = "book/take_away"
#: Picture for previews, 1200 by 630: a title and nothing that could be taken for a result.
_PREVIEW = "_static/preview.png"
#: Longest description: previews cut longer ones.
_DESCRIPTION = 200


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"(?s)<[^>]+>", "", html)).split())


def _short(text: str) -> str:
    """At most `_DESCRIPTION` characters, cut between words."""
    if len(text) <= _DESCRIPTION:
        return text
    return text[: _DESCRIPTION - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def _opening(body: str) -> str:
    """First paragraph of a page as plain text: what search engines show of it."""
    found = re.search(r"(?s)<h1.*?<p>(.*?)</p>", body)
    return _plain(found[1]) if found else ""


def _described(given: str, origin: str) -> str:
    """What a page says of itself; made-up pages say that first."""
    # A page that also holds real numbers says what is made up in its banner.
    lead = "Worked example on made-up data. " if origin == "synthetic" and given else ""
    return _short(lead + given)


def _head(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    meta = app.env.metadata.get(pagename, {})
    said = str(meta.get("description", "")) or _opening(context.get("body") or "")
    context["sos_description"] = said
    if doctree is None:
        return
    found = re.search(r'data-origin="([^"]*)"', context.get("sos_banner", ""))
    described = _described(said, found[1] if found else "")
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
    chapter = pagename.removeprefix(f"{CHAPTERS}/")
    items = [i for i in files(app) if i.chapter == chapter] if chapter != pagename else []
    kind = "ScholarlyArticle" if chapter != pagename else "Article"
    if pagename == app.config.root_doc:
        kind = "Report"
    if pagename == TAKE_AWAY:
        kind, items = "Dataset", [i for i in files(app) if i.kind == "csv"]
    up = posixpath.relpath(DOWNLOADS, posixpath.dirname(pagename) or ".")
    return linked_page(
        name=app.config.project if kind == "Report" else title,
        description=described or title,
        kind=kind,
        citation=citation(app),
        address=address,
        start=f"{base}{app.builder.get_target_uri(app.config.root_doc)}" if base else "",
        items=items,
        downloads=f"{base}{DOWNLOADS}" if base else up,
    )


def setup(app: Sphinx) -> None:
    """Register what fills the head; after the page has its banner."""
    app.connect("html-page-context", _head, priority=950)
