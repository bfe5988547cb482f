"""The page on which readers choose: the ``{explore}`` directive and the scripts with the grids.

The grids are written as classic scripts beside the page, from the results bundle alone, so that
the page works from a file and without a server.
"""

from __future__ import annotations

import posixpath
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis.chapters.explore import EXAMPLE, PUBLIC

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FILES = {PUBLIC: "explore-public.js", EXAMPLE: "explore-example.js"}
#: What the reader is told of each source: (label of the choice, title, words).
WORDS = {
    "public": (
        "Public statistics (real)",
        "Real public statistics.",
        "These numbers are computed from statistics of the Department for Education.",
    ),
    "synthetic": (
        "Worked example (made-up data)",
        "Worked example on made-up data.",
        "These numbers are computed on made-up records. They say nothing about Signs of Safety.",
    ),
    "restricted": (
        "Individual records (restricted)",
        "Restricted records.",
        "These numbers are computed on records that are not public, and passed disclosure control.",
    ),
}


class ExploreDirective(SphinxDirective):
    """Where the script builds the controls; its content stands there without JavaScript."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        for name in FILES:
            path = Path(self.env.srcdir, "results", f"{name}.json")
            if path.is_file():
                self.env.note_dependency(str(path))
        if PUBLIC not in bundle.chapters:
            return self.parse_content_to_nodes()
        static = posixpath.relpath("_static", posixpath.dirname(self.env.docname) or ".")
        attributes = _words("Public", WORDS["public"])
        if EXAMPLE in bundle.chapters:
            words = WORDS[bundle.chapters[EXAMPLE].origin]
            attributes |= _words("Example", words)
            attributes |= {
                "data-example": f"{static}/{FILES[EXAMPLE]}",
                "data-example-label": words[0],
            }
        spelled = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
        html = (
            f'<link rel="stylesheet" href="{static}/explore.css">'
            f'<div class="sos-explore" id="sos-explore" hidden {spelled}></div>'
            f'<script src="{static}/{FILES[PUBLIC]}" defer></script>'
            f'<script src="{static}/explore.js" defer></script>'
        )
        without = nodes.raw("", "<noscript>", format="html")
        end = nodes.raw("", "</noscript>", format="html")
        return [nodes.raw("", html, format="html"), without, *self.parse_content_to_nodes(), end]


def _words(source: str, words: tuple[str, str, str]) -> dict[str, str]:
    return {f"data-title-{source.lower()}": words[1], f"data-words-{source.lower()}": words[2]}


def _write(app: Sphinx) -> None:
    """The grids as scripts; before pages are written, so that a page never lacks them."""
    if app.builder.format != "html":
        return
    from sos_analysis.pipeline.explore_payload import payload, script

    bundle = app.sos_bundle  # type: ignore[attr-defined]
    folder = Path(app.outdir, "_static")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        if name in bundle.chapters:
            text = script(payload(bundle, name))
            (folder / file).write_text(text, encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("explore", ExploreDirective)
    app.connect("builder-inited", _write, priority=700)
