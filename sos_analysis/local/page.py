"""The page of one authority: self-contained HTML, readable on a phone and in print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sos_analysis import charts, tables
from sos_analysis.disclosure import FigureOptions, safe_figure, safe_table
from sos_analysis.disclosure.suppression import ALREADY_PUBLISHED, Rate
from sos_analysis.formats import escape

if TYPE_CHECKING:
    from sos_analysis.local.profile import Yearly

_STYLE = """
:root{--sos-paper:#fff;--sos-ink:#0b0c0c;--sos-muted:#505a5f;color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:50rem;font:1.05rem/1.55 system-ui,sans-serif;
background:#fff;color:#0b0c0c;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2}h2{font-size:1.3rem;margin-top:2.5rem}
.note{border-left:.4rem solid #1d70b8;padding:.6rem 1rem;background:#f3f2f1}
.made-up{border-color:#d4351c}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid #b1b4b6;text-align:left}
caption{text-align:left;padding:.4rem 0}.sos-table-title{font-weight:700;display:block}
a{color:#1d70b8}:focus-visible{outline:3px solid #0b0c0c;outline-offset:2px}
@media print{body{max-width:none;font-size:10pt}h2,figure,.sos-table-block{break-inside:avoid}
details>*{display:block!important}}
"""


def page(
    la: str, yearly: Sequence[Yearly], rules: Any, notes: Sequence[str], *, made_up: bool
) -> str:
    """The page as text.

    Parameters
    ----------
    la : code of the authority.
    yearly : its outcomes; passed through the guard here.
    rules : of disclosure.
    notes : problems of the records, in words without any value.
    made_up : whether the authority is invented.
    """
    origin = "synthetic" if made_up else "restricted"
    parts = [_outcome(la, y, rules, origin) for y in yearly]
    warning = (
        '<p class="note made-up"><strong>Made-up data.</strong> This authority does not exist. No '
        "figure of its own on this page is a finding.</p>"
        if made_up
        else ""
    )
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    problems = f"<h2>What was wrong with the records</h2><ul>{told}</ul>" if told else ""
    return f"""<!DOCTYPE html>
<html lang="en-GB" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Local profile of authority {escape(la)}: descriptive, not causal</title>
<style>{charts.css()}{_STYLE}</style>
</head>
<body>
<main>
<h1>Outcomes over time in authority {escape(la)}</h1>
<p class="note"><strong>Descriptive, not causal.</strong> These figures say what was recorded. They
do not say what caused it. A change may come from who was referred, from how cases were recorded,
or from chance. There is no comparison here with authorities that did something else.</p>
{warning}
<p>Years end on 31 March. Outcomes are defined as in the study (the original's definitions). Events
too late to be followed for their whole window are left out, so the last year can be thin. Counts
under {rules.threshold} are not shown, and counts are rounded to {rules.rounding_base}.</p>
{"".join(parts)}
{problems}
</main>
</body>
</html>
"""


def _outcome(la: str, y: Yearly, rules: Any, origin: str) -> str:
    name = y.outcome.replace("_", "-")
    prefix = "Made-up data: " if origin == "synthetic" else ""
    unit = y.unit if y.scale == 1 else f"{y.unit} cases"
    source = f"Records of authority {la}"
    rows = [
        {
            "series": f"Authority {la}",
            "time": row["time"],
            "events": row["events"],
            "children": row["children"],
            **{k: row[k] for k in ("y_sum", "children_with", "children_without")},
            "value": y.scale * row["y_sum"] / row["events"] if row["events"] else None,
        }
        for row in y.rows
    ]
    counts = ("events", "children") if y.scale == 1 else ("events", "children", "y_sum")
    guard: dict[str, Any] = (
        {"statistics": {"value": ("children", "events")}}
        if y.scale == 1
        else {
            "rates": {"value": Rate("y_sum", "events", float(y.scale))},
            "outcome_children": {"y_sum": ("children_with", "children_without")},
        }
    )
    columns: dict[str, Any] = {"events": "Cases", "children": "Children"}
    if y.scale != 1:
        columns["y_sum"] = "With the outcome"
    figure = safe_figure(
        "trend",
        rows,
        title=y.label,
        subtitle=f"{prefix}{unit}, authority {la}, years ending 31 March",
        alt=f"{y.label} by year in authority {la}; the table below has every value shown.",
        source=source,
        origin=origin,
        rules=rules,
        options=FigureOptions(measure=y.label, unit=unit, time="Year ending 31 March"),
        columns=columns,
        count_columns=counts,
        parts_of={"children": "events"},
        children_column="children",
        authorities=1,
        population=f"{y.label}, authority {la}",
        **guard,
    )
    html = charts.render(figure, name).html
    return f"<section><h2>{escape(y.label)}</h2>{_flat(html)}{_context(y, name)}</section>"


def _flat(html: str) -> str:
    """A figure without what only a script would draw."""
    import re

    html = re.sub(r'<script type="application/json".*?</script>', "", html, flags=re.DOTALL)
    return re.sub(r'<div class="sos-plot"[^>]*></div>', "", html)


def _context(y: Yearly, name: str) -> str:
    """The published national figure, apart from the authority's own."""
    if not y.national:
        return ""
    table = safe_table(
        [{"time": year, "england": value} for year, value in sorted(y.national.items())],
        columns={
            "time": "Year ending 31 March",
            "england": {"label": "England, per 100", "decimals": 1},
        },
        title="For context: England, as published",
        caption=y.national_note,
        source=y.national_source,
        origin="public",
        rules=ALREADY_PUBLISHED,
        category_columns=("time",),
        statistics={"england": ()},
    )
    return tables.render(table, f"{name}-england").html
