"""Tables typed in pages of prose get what tables of results have: a caption and row headings.

On a phone a table with much to read becomes a list of its rows. Each cell then shows the heading
of its column, which stands in the cell but is hidden elsewhere.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Columns and characters in a cell from which a table is too wide for a phone.
_COLUMNS, _LONG = 3, 24


class TableTransform(SphinxPostTransform):
    """Caption from the heading above, first column as row headings, cells that name themselves."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for table in self.document.findall(nodes.table):
            group = table.next_node(nodes.tgroup)
            head = group.next_node(nodes.thead) if group else None
            body = group.next_node(nodes.tbody) if group else None
            if group is None or head is None or body is None:
                continue
            group.next_node(nodes.colspec)["stub"] = 1
            if not isinstance(table[0], nodes.title) and (title := _heading(table)):
                caption = f'<caption class="visually-hidden">{escape(title)}</caption>'
                table.insert(0, nodes.raw("", caption, format="html"))
            names = [entry.astext() for entry in head.findall(nodes.entry)]
            cells = [[*row.findall(nodes.entry)] for row in body.findall(nodes.row)]
            longest = max((len(e.astext()) for row in cells for e in row), default=0)
            if len(names) < _COLUMNS or longest < _LONG:
                continue
            table["classes"].append("sos-stack")
            for row in cells:
                for name, entry in list(zip(names, row, strict=True))[1:]:
                    if not entry.astext().strip():
                        # Nothing to name: left out of the list.
                        entry["classes"].append("sos-empty")
                        continue
                    label = f'<span class="sos-cell-head">{escape(name)}</span>'
                    entry.insert(0, nodes.raw("", label, format="html"))


def _heading(table: nodes.table) -> str:
    """The heading that the table stands under; '' where there is none."""
    section = table.parent
    while section is not None and not isinstance(section, nodes.section):
        section = section.parent
    title = section.next_node(nodes.title) if section is not None else None
    return title.astext() if title is not None else ""


def setup(app: Sphinx) -> None:
    """Register the transform."""
    app.add_post_transform(TableTransform)
