"""Numbers in sentences: the ``{claim}`` role, and the bundle of results behind it."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from sos_analysis.errors import ClaimError, SosError
from sos_analysis.results import Bundle, load_bundle

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)

RESULTS = "results"
CHAPTERS = "book/chapters"


class claim_node(nodes.Inline, nodes.Element):
    """A number; its text is there for search and for builders other than HTML."""


class ClaimRole(SphinxRole):
    """A claim's id, with a colon and a form of `Claim.forms` if it is not the usual one."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        claim_id, _, form = self.text.strip().partition(":")
        form = form or "text"
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        try:
            claim = bundle.claim(claim_id)
            shown = claim.render(form)
        except ClaimError as error:
            # The page is read again once the results have changed.
            for path in sorted(Path(self.env.srcdir, RESULTS).glob("*.json")):
                self.env.note_dependency(str(path))
            logger.warning(str(error), location=self.get_location(), type="sos", subtype="claim")
            return [nodes.problematic(self.rawtext, self.rawtext)], []
        holder = next(name for name, c in bundle.chapters.items() if claim_id in c.claims)
        self.env.note_dependency(str(Path(self.env.srcdir, RESULTS, f"{holder}.json")))
        made_by = f"{CHAPTERS}/{holder}"
        is_number = not isinstance(claim.value, str)
        href = ""
        if is_number and made_by in self.env.found_docs and made_by != self.env.docname:
            here = posixpath.dirname(self.env.docname)
            href = posixpath.relpath(f"{made_by}.html", here or ".")
        node = claim_node("", nodes.Text(shown), html=claim.to_html(form, href))
        return [node], []


def _html_claim(translator: Any, node: nodes.Element) -> None:
    translator.body.append(node["html"])
    raise nodes.SkipNode


def _plain_claim(translator: Any, node: nodes.Element) -> None:
    """Elsewhere the number is text."""


def _load(app: Sphinx) -> None:
    try:
        app.sos_bundle = load_bundle(Path(app.srcdir, RESULTS))  # type: ignore[attr-defined]
    except SosError as error:
        raise ExtensionError(str(error)) from error


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    """A chapter is read again when its results change: the banner tells their origin."""
    path = Path(app.srcdir, RESULTS, f"{docname.removeprefix(f'{CHAPTERS}/')}.json")
    if path.is_file():
        app.env.note_dependency(str(path))


def setup(app: Sphinx) -> None:
    """Register the role, its node, and the bundle."""
    app.add_role("claim", ClaimRole())
    plain = (_plain_claim, _plain_claim)
    app.add_node(claim_node, html=(_html_claim, None), text=plain, latex=plain)
    app.connect("builder-inited", _load)
    app.connect("source-read", _read)
