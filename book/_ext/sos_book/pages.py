"""What each page gets, and mark-up mended where it would shut readers out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sos_book.banner import banner, page_origin

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _mend(body: str) -> str:
    """Mark-up of other extensions that assistive technology stumbles over."""
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = re.sub(r'(<summary[^>]*?) aria-label="[^"]*"', r"\1", body)
    return body


def _page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    context["sos_banner"] = banner(page_origin(app, pagename))
    if context.get("body"):
        context["body"] = _mend(context["body"])
    meta = app.env.metadata.get(pagename, {})
    context["sos_description"] = str(meta.get("description", ""))


def setup(app: Sphinx) -> None:
    """Register what each page gets."""
    app.connect("html-page-context", _page, priority=600)
