"""What can be taken away, and how to cite it.

``{takeaway}`` lists every file with its size; ``{howtocite}`` says how to cite this version.
"""

from __future__ import annotations

import posixpath
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis.disclosure import ORIGINS
from sos_analysis.pipeline import pdf
from sos_analysis.pipeline.metadata import Item
from sos_analysis.pipeline.takeaway import base_address, listing, spoken_size
from sos_book.numbers import DOWNLOADS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_KINDS = {"csv": "Table (CSV)", "json": "Results (JSON)", "ipynb": "Notebook"}


def files(app: Sphinx) -> list[Item]:
    """Every file that can be taken away."""
    return listing(Path(app.srcdir, "book", "_extra", DOWNLOADS))


def citation(app: Sphinx) -> dict[str, Any]:
    """What CITATION.cff says."""
    content = yaml.safe_load(Path(app.srcdir, "CITATION.cff").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


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
        items = files(self.env.app)
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
        cited = citation(self.env.app)
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


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("takeaway", TakeAwayDirective)
    app.add_directive("howtocite", CiteDirective)
