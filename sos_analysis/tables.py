"""Accessible HTML tables from safe tables: caption, scopes, units in headings, no index.

The HTML a page gets (styled by the site's style sheet, readable without it)::

    <div class="sos-table" role="region" tabindex="0" aria-labelledby="ID-caption" data-table="ID">
      <table>
        <caption id="ID-caption"><span class="sos-table-title">…</span>
                                 <span class="sos-table-note">…</span></caption>
        <thead><tr><th scope="col">Label <span class="sos-unit">(unit)</span></th>…</tr></thead>
        <tbody><tr><th scope="row">…</th><td class="sos-num">…</td>…</tr></tbody>
      </table>
    </div>
    <p class="sos-key">…</p><p class="sos-source">…</p>
"""

from __future__ import annotations

from itertools import pairwise

from sos_analysis.disclosure.safe import ORIGINS, Cell, Column, SafeTable, cell_text
from sos_analysis.disclosure.suppression import SYMBOLS
from sos_analysis.formats import Rendered, escape

#: Inline, so that numbers line up even where the style sheet is absent (JupyterLab).
_NUMERIC = ' class="sos-num" style="text-align:right;font-variant-numeric:tabular-nums"'

#: Characters from which a text cell is a sentence, and its column is kept wide.
_SENTENCE = 60
#: Columns from which a table of numbers is a list of its rows on a phone, if it has few rows.
_PHONE_COLUMNS, _PHONE_ROWS = 5, 16
#: Columns from which type and gaps are smaller, so that the table fits beside the contents.
_DENSE_COLUMNS = 7


def body(table: SafeTable, name: str, *, quiet: bool = False) -> str:
    """The scrollable table alone.

    Parameters
    ----------
    table : SafeTable
    name : str
        Unique on the page; used for ids.
    quiet : bool
        Short caption, for the table under a chart whose title stands above it already.
    """
    key = escape(name)
    tag = f"{ORIGINS[table.origin]}. " if table.origin == "synthetic" else ""
    note = f"{tag}{table.caption}".strip()
    title = f"Data of the chart: {table.title}" if quiet else table.title
    caption = f'<span class="sos-table-title">{escape(title)}</span>'
    if note:
        caption += f' <span class="sos-table-note">{escape(note)}</span>'
    right = [_right(c) or _counted(table, i) for i, c in enumerate(table.columns)]
    head = "".join(_heading(c, right=r) for c, r in zip(table.columns, right, strict=True))
    # A table of sentences becomes a list of its rows on a phone; cells then name their column.
    texts = [cell_text(v, c) for row in table.rows for v, c in zip(row, table.columns, strict=True)]
    told = any(len(text) > _SENTENCE for text in texts) and len(table.columns) > 2
    few = len(table.rows) <= _PHONE_ROWS and not quiet
    pairs = not told and few and len(table.columns) >= _PHONE_COLUMNS
    named = told or pairs
    dense = len(table.columns) >= _DENSE_COLUMNS
    kinds = {"sos-stack": named, "sos-pairs": pairs, "sos-dense": dense}
    classes = " ".join(kind for kind, holds in kinds.items() if holds)
    css = f' class="{classes}"' if classes else ""
    # Said again for each row, but shown once: the eye finds the groups, and rows stay short.
    again = [False, *(one[0] == two[0] for one, two in pairwise(table.rows))]
    rows = "".join(
        "<tr>"
        + _row_heading(row[0], table.columns[0], again=same)
        + "".join(
            _cell(value, column, right=r, named=named)
            for value, column, r in zip(row[1:], table.columns[1:], right[1:], strict=True)
        )
        + "</tr>"
        for row, same in zip(table.rows, again, strict=False)
    )
    return (
        f'<div class="sos-table" role="region" tabindex="0" aria-labelledby="{key}-caption" '
        f'data-table="{key}" data-origin="{table.origin}" style="overflow-x:auto">'
        f'<table{css}><caption id="{key}-caption">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def key_line(table: SafeTable) -> str:
    """The meaning of the symbols in use; '' where there are none."""
    if not table.symbols:
        return ""
    words = "; ".join(f"<strong>{escape(s)}</strong> {SYMBOLS[s]}" for s in table.symbols)
    return f'<p class="sos-key">{words}.</p>'


def download(href: str, what: str = "table") -> str:
    """Link to the CSV; '' without an address."""
    if not href:
        return ""
    name = href.rsplit("/", 1)[-1]
    return (
        f'<a class="sos-download" href="{escape(href)}" download="{escape(name)}">'
        f"Download this {what} as CSV ({escape(name)})</a>"
    )


def source_line(source: str, origin: str) -> str:
    """Where the numbers come from and what kind they are."""
    return (
        f'<p class="sos-source"><strong>Source:</strong> {escape(source)}. '
        f'<span class="sos-origin">{escape(ORIGINS[origin])}.</span></p>'
    )


def render(table: SafeTable, name: str, *, href: str = "") -> Rendered:
    """Table with key, source and download link, for a page."""
    link = download(href)
    html = (
        f'<div class="sos-table-block">{body(table, name)}{key_line(table)}'
        f"{source_line(table.source, table.origin)}"
        + (f'<p class="sos-take-away">{link}</p>' if link else "")
        + "</div>"
    )
    return Rendered(html, plain(table))


def plain(table: SafeTable) -> str:
    """Table in plain text, columns lined up."""
    lines = [[c.heading for c in table.columns]]
    lines += [
        [cell_text(v, c) for v, c in zip(row, table.columns, strict=True)] for row in table.rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    body_text = "\n".join(
        "  ".join(
            text.rjust(w) if c.numeric else text.ljust(w)
            for text, w, c in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in lines
    )
    key = "".join(f"\n{s} {SYMBOLS[s]}" for s in table.symbols)
    return f"{table.title}\n{ORIGINS[table.origin]}\n{body_text}{key}\nSource: {table.source}"


def _right(column: Column) -> bool:
    return column.align == "right" or (column.align == "auto" and column.numeric)


def _counted(table: SafeTable, place: int) -> bool:
    """Does a column of categories, other than the row headings, hold nothing but numbers?"""
    return (
        place > 0
        and table.columns[place].align == "auto"
        and bool(table.rows)
        and all(not isinstance(row[place], str) for row in table.rows)
    )


def _heading(column: Column, *, right: bool) -> str:
    unit = (
        f' <span class="sos-unit">({escape(column.unit)})</span>'
        if column.unit not in ("", "p")
        else ""
    )
    attributes = _NUMERIC if right else ""
    return f'<th scope="col"{attributes}>{escape(column.label)}{unit}</th>'


def _row_heading(value: Cell, column: Column, *, again: bool) -> str:
    css = ' class="sos-again"' if again else ""
    text = escape(cell_text(value, column))
    return f'<th scope="row"{css} style="text-align:left">{text}</th>'


def _cell(value: Cell, column: Column, *, right: bool, named: bool) -> str:
    text = escape(cell_text(value, column))
    name = f' data-label="{escape(column.heading)}"' if named else ""
    if right:
        return f"<td{_NUMERIC}{name}>{text}</td>"
    # A sentence squeezed into a narrow column makes a row as tall as a screen.
    words = ' class="sos-words"' if len(text) > _SENTENCE else ""
    return f"<td{words}{name}>{text}</td>"
