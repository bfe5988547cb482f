"""What each page gets: banner, breadcrumbs, only the scripts it needs, mark-up mended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sphinx import addnodes

from sos_book import numbers
from sos_book.banner import banner, page_origin

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Script or style sheet of an extension to the mark of its use on a page.
_NEEDS = {
    "clipboard.min.js": 'class="highlight',
    "copybutton.js": 'class="highlight',
    "copybutton.css": 'class="highlight',
    "pygments.css": 'class="highlight',
    "design-tabs.js": "sd-tab-set",
    "sphinx-design.min.css": 'class="sd-',
    "mystnb": 'class="cell',
}


def _mend(body: str) -> str:
    """Mark-up of other extensions that assistive technology stumbles over."""
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = re.sub(r'(<summary[^>]*?) aria-label="[^"]*"', r"\1", body)
    body = re.sub(r'<th class="head', '<th scope="col" class="head', body)
    return re.sub(r'<th class="stub', '<th scope="row" class="stub', body)


def _part_of(env: BuildEnvironment) -> dict[str, str]:
    """Page to the caption of its part of the contents."""
    root = env.config.root_doc
    return {
        page: str(tree["caption"])
        for tree in env.get_doctree(root).findall(addnodes.toctree)
        if tree.get("caption")
        for page in tree["includefiles"]
    }


def _needed(files: list[Any], body: str) -> list[Any]:
    """Files that the page uses."""

    def unused(file: Any) -> bool:
        name = str(getattr(file, "filename", file) or "").rsplit("/", 1)[-1]
        return any(name.startswith(key) and mark not in body for key, mark in _NEEDS.items())

    return [file for file in files if not unused(file)]


def _deferred(files: list[Any]) -> list[Any]:
    """The same scripts, run in their order once the page is read, so that none holds it up.

    The first tells others where the site is, and code within the page relies on it.
    """
    made = []
    for file in files:
        name = str(getattr(file, "filename", "") or "")
        if name and not name.endswith("documentation_options.js"):
            # A copy: Sphinx shares these between pages.
            file = type(file)(
                file.filename, priority=file.priority, **{**file.attributes, "defer": "defer"}
            )
        made.append(file)
    return made


def _page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    context["sos_banner"] = banner(page_origin(app, pagename))
    context["sos_part"] = _parts(app).get(pagename, "")
    body = context.get("body") or ""
    if body:
        context["body"] = _mend(body)
        numbers.page(app, pagename, context)
        body = context["body"]
    for kind in ("script_files", "css_files"):
        context[kind] = _needed(list(context.get(kind, [])), body)
    # The search page calls its scripts while it is read.
    if pagename != "search":
        context["script_files"] = _deferred(context["script_files"])


def _parts(app: Sphinx) -> Mapping[str, str]:
    """The part of each page, once all are read; also where none had to be read anew."""
    if not hasattr(app, "sos_parts"):
        app.sos_parts = _part_of(app.env)  # type: ignore[attr-defined]
    parts: Mapping[str, str] = app.sos_parts
    return parts


def setup(app: Sphinx) -> None:
    """Register what each page gets."""
    app.connect("html-page-context", _page, priority=900)
