"""Show an inspection: in the terminal, and as one HTML page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sos_analysis.records.inspection import SEVERITIES, Inspection, coverage
from sos_analysis.whole_files import replace_text

if TYPE_CHECKING:
    from rich.console import Console

    from sos_analysis.records.tables import Problem

TITLES = {
    "error": "Errors: left out",
    "warning": "Warnings: repaired or doubtful",
    "info": "Notes",
}
_STYLE = {"error": "bold red", "warning": "yellow", "info": "dim"}
_MOST_FILES = 40
_NUMBERS = ("Count", "Rows", "Holds", "Stated and readable")
PRIVACY = (
    "Counts, names of files and fields, and shapes of what could not be read (letters as a and A, "
    "figures as 9). No value of a record is shown, but counts are not suppressed: keep this where "
    "the records are."
)


def spaced(count: int) -> str:
    """A whole number with thin groups of three."""
    return f"{count:,}".replace(",", "\u202f")


def verdict(seen: Inspection) -> str:
    """One line: whether the records can be used."""
    counts = {s: len(seen.of(s)) for s in SEVERITIES}
    kinds = ", ".join(
        f"{n} kind{'' if n == 1 else 's'} of {word}"
        for word, n in (
            ("error", counts["error"]),
            ("warning", counts["warning"]),
            ("note", counts["info"]),
        )
        if n
    )
    how = "Not usable as it is" if seen.has_errors else "Usable"
    return f"{how}; {kinds}." if kinds else f"{how}; nothing to report."


def _tables(seen: Inspection) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Title, header and rows of each table shown."""
    files: list[tuple[str, ...]] = [
        (
            s.file,
            s.form,
            s.kind,
            s.years,
            ", ".join(s.authorities),
            ""
            if s.rows is None
            else f"{spaced(s.rows)} {'children' if s.unit == 'child' else 'rows'}",
        )
        for s in seen.sources
    ]
    yield ("Files read", ("File", "Form", "Kind", "Years", "Authority", "Holds"), files)
    years = sorted({y for by_year in seen.rows.values() for y in by_year})
    rows: list[tuple[str, ...]] = [
        ("no date" if y == 0 else str(y), *(spaced(t.get(y, 0)) for t in seen.rows.values()))
        for y in years
    ]
    rows.append(("all", *(spaced(sum(t.values())) for t in seen.rows.values())))
    yield ("Rows of each table", ("Year ending 31 March", *seen.rows), rows)
    yield (
        "What can be computed",
        ("Outcome", "Rests on", "Years ending 31 March"),
        [(o.outcome, o.needs, "; ".join(coverage(o))) for o in seen.outcomes],
    )
    for severity in SEVERITIES:
        if found := seen.of(severity):
            yield (TITLES[severity], _PROBLEM, [_problem(p) for p in found])
    yield (
        "How complete each field is",
        ("Rows of", "Field", "Rows", "Stated and readable"),
        [
            (f.table, f.field, spaced(f.rows), f"{100 * f.stated / f.rows:.1f}%")
            for f in seen.fields
        ],
    )


_PROBLEM = ("Where", "What", "Count", "First", "Shape", "Remedy")


def _problem(problem: Problem) -> tuple[str, ...]:
    where = f"{problem.table}.{problem.field}" if problem.field else problem.table
    first = ", ".join(p for p in (problem.file, problem.place) if p)
    return (
        where,
        problem.message,
        spaced(problem.count),
        first,
        problem.sample,
        problem.remedy,
    )


def show(seen: Inspection, console: Console) -> None:
    """Print an inspection."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"{seen.path}: {', '.join(seen.forms)}", style="bold"))
    console.print(Text(f"{len(seen.authorities)} authorities. {PRIVACY}", style="dim"))
    styles = {TITLES[s]: _STYLE[s] for s in SEVERITIES}
    for title, header, rows in _tables(seen):
        table = Table(
            title=Text(title, style=styles.get(title, "bold")),
            title_justify="left",
            header_style="bold",
        )
        for i, name in enumerate(header):
            number = name in _NUMBERS or (title == "Rows of each table" and i > 0)
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in _cut(title, rows):
            # Text, not markup: names of files may hold brackets.
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    console.print(Text(verdict(seen), style="bold"))


def _cut(title: str, rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    if title != "Files read" or len(rows) <= _MOST_FILES:
        return rows
    rest = f"and {len(rows) - _MOST_FILES} more files"
    return [*rows[:_MOST_FILES], (rest, "", "", "", "", "")]


def write_html(seen: Inspection, path: Path) -> None:
    """Write an inspection as one page, whole or not at all."""
    parts = [
        "<!doctype html><html lang='en-GB'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        "<title>Check of records</title>",
        f"<style>{_CSS}</style></head><body><main>",
        f"<h1>Check of records</h1><p>{_escaped(seen.path)}: "
        f"{_escaped(', '.join(seen.forms))}; {len(seen.authorities)} authorities.</p>",
        f"<p><strong>{_escaped(verdict(seen))}</strong></p><p>{_escaped(PRIVACY)}</p>",
    ]
    for title, header, rows in _tables(seen):
        heads = "".join(f"<th scope='col'>{_escaped(h)}</th>" for h in header)
        body = "".join(
            "<tr>" + "".join(_cell(i, c) for i, c in enumerate(row)) + "</tr>" for row in rows
        )
        parts.append(
            f"<section><h2>{_escaped(title)}</h2><div class='wide' tabindex='0' role='region' "
            f"aria-label='{_escaped(title)}'><table><thead><tr>{heads}</tr></thead>"
            f"<tbody>{body}</tbody></table></div></section>"
        )
    parts.append("</main></body></html>\n")
    replace_text(path, "".join(parts))


def _cell(i: int, text: str) -> str:
    number = (
        text[:1].isdigit() and text.replace("\u202f", "").replace(".", "").rstrip("%").isdigit()
    )
    kind = " class='n'" if number else ""
    return (
        f"<th scope='row'>{_escaped(text)}</th>" if i == 0 else f"<td{kind}>{_escaped(text)}</td>"
    )


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)


_CSS = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}"
    "main{max-width:72rem;margin:0 auto;padding:1rem}"
    "table{border-collapse:collapse;font-size:.9rem}"
    "th,td{border:1px solid #bbb;padding:.25rem .5rem;text-align:left;vertical-align:top}"
    "thead th{background:#eee}tbody th{font-weight:600}.n{text-align:right;white-space:nowrap}"
    ".wide{overflow-x:auto}"
)
