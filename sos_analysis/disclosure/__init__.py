"""Only safe tables and figures can be shown or released, and only this module can make them.

`safe_table` and `safe_figure` take a frame in which every column has a declared role, apply the
rules of the study file and keep nothing more exact than what is shown:

==============  ==================================================================================
role            what the guard does
==============  ==================================================================================
text, category  labels; a text cell that is only a number is refused, a category must be declared
count           below the threshold: ``[c]``; else rounded to the base
authorities     number of local authorities behind the row; below the minimum the row is ``[c]``
rate            recomputed from the rounded numerator and denominator; ``[c]`` if either, or their
                difference, is below the threshold
statistic       a mean or a standard deviation: ``[c]`` where a count that guards it is
estimate        a model coefficient: ``[c]`` with too few residual degrees of freedom
==============  ==================================================================================

A total is recomputed from the rounded cells, or is ``[c]`` too where a part is: otherwise the
hidden part could be found by subtraction. Rules follow common UK secure-setting practice and are
declared in the study file. They are a domain rule of this project, not a proof against every
attack.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sos_analysis.disclosure.safe import (
    DIFFERENCES,
    KINDS,
    MOST_SERIES,
    ORIGINS,
    STATIC,
    TOKEN,
    Cell,
    Column,
    DisclosureRecord,
    FigureOptions,
    SafeFigure,
    SafeTable,
)
from sos_analysis.disclosure.suppression import (
    ALREADY_PUBLISHED,
    CONFIDENTIAL,
    LOW,
    NOT_APPLICABLE,
    NOT_AVAILABLE,
    RESIDUAL_DOF,
    SYMBOLS,
    Rate,
    Rules,
    Sheet,
    carry,
    guard_authorities,
    guard_estimates,
    margins,
    missing,
    primary,
    round_count,
    whole,
)
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite, fixed

#: Origins whose numbers come from records of children, or look as if they did.
RECORD_ORIGINS = ("restricted", "synthetic")

#: Units that are counts of people or cases, so never a "statistic".
COUNT_UNITS = (
    *("children", "child", "people", "cases", "events", "referrals", "assessments"),
    *("conferences", "plans", "periods of care", "episodes", "n"),
)
_COUNTED = set(COUNT_UNITS)
_EXTREME = re.compile(r"\b(min|max|minimum|maximum|smallest|largest|lowest|highest)\b", re.I)
_ONLY_A_NUMBER = re.compile(r"^[\s<>=~+\-−£%(]*\d[\d,.\s]*[%)\s]*$")


# --- counts -----------------------------------------------------------------------------------


def safe_count(count: int, rules: Rules) -> int | str:
    """One count for a claim: rounded, or ``[c]`` below the threshold (zero included).

    Raises
    ------
    DisclosureError
        The count is negative or not a whole number.
    """
    exact = whole(count, "count")
    return CONFIDENTIAL if exact < rules.threshold else round_count(exact, rules)


def safe_rate(numerator: int, denominator: int, rules: Rules, scale: float = 100.0) -> float | str:
    """`scale` × numerator / denominator from the rounded counts, or ``[c]``."""
    top, bottom = whole(numerator, "numerator"), whole(denominator, "denominator")
    if top > bottom:
        raise DisclosureError(f"numerator {top} is larger than denominator {bottom}")
    if min(top, bottom, bottom - top) < rules.threshold or bottom == 0:
        return CONFIDENTIAL
    return scale * round_count(top, rules) / round_count(bottom, rules)


# --- the guard --------------------------------------------------------------------------------


def safe_table(
    frame: Any,
    *,
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    title: str,
    source: str,
    origin: str,
    rules: Rules,
    caption: str = "",
    count_columns: Sequence[str] = (),
    authorities_column: str | None = None,
    authorities: int | None = None,
    rates: Mapping[str, Rate | tuple[str, str]] | None = None,
    statistics: Mapping[str, Sequence[str] | str] | None = None,
    estimates: Sequence[str] = (),
    residual_dof_column: str | None = None,
    residual_dof: float | None = None,
    category_columns: Sequence[str] = (),
    totals: Mapping[str, Sequence[str]] | None = None,
    total_row: str = "",
) -> SafeTable:
    """Make a table that may be shown.

    Parameters
    ----------
    frame : DataFrame or sequence of mappings
        Exact values. Columns not in `columns` may serve as guards and are then dropped.
    columns : mapping of key to Column (or mapping of its fields, or label)
        What is shown, in order.
    title, caption, source : str
        Message of the table; how to read it; where the numbers come from.
    origin : str
        One of `ORIGINS`.
    rules : Rules
        `study.disclosure`; `ALREADY_PUBLISHED` for numbers anyone can read.
    count_columns : sequence of str
        Counts of distinct children or of cases.
    authorities_column, authorities : str, int
        Column with the number of local authorities behind each row, or one number for all rows.
        One of them is needed where counts, rates or statistics are shown.
    rates : mapping of key to Rate or (numerator, denominator)
        Recomputed from rounded counts; the counts need not be shown.
    statistics : mapping of key to count column(s)
        Means and the like, and the counts that guard them.
    estimates : sequence of str
        Coefficients, standard errors, interval ends, p-values of a fitted model.
    residual_dof_column, residual_dof : str, float
        Residual degrees of freedom of the fit of each row, or of all.
    category_columns : sequence of str
        Numbers that are labels (years, event time), declared as such.
    totals : mapping of key to count columns
        Row sums, worked out here from the rounded parts.
    total_row : str
        Label of a last row worked out here from the rounded cells ('' for none).

    Raises
    ------
    DisclosureError
        A column has no role or two, a text cell is a bare number or an object, a guard is
        missing, or the rules are too weak for the origin.

    Notes
    -----
    Domain rules; threshold, base and minimum of authorities come from `rules`.
    """
    _check_origin(origin, rules)
    for name, text in (("title", title), ("source", source)):
        _words(text, name)
    rows = _records(frame)
    rate_map = {k: r if isinstance(r, Rate) else Rate(*r) for k, r in (rates or {}).items()}
    guards = {k: (g,) if isinstance(g, str) else tuple(g) for k, g in (statistics or {}).items()}
    sums = {k: tuple(parts) for k, parts in (totals or {}).items()}
    specs = _roles(
        columns,
        rows,
        {
            "count": (*count_columns, *sums),
            "rate": tuple(rate_map),
            "statistic": tuple(guards),
            "estimate": tuple(estimates),
            "category": tuple(category_columns),
            "authorities": [k for k in (authorities_column,) if k is not None and k in columns],
        },
    )
    counted = {*count_columns, *itertools.chain.from_iterable(sums.values())}
    counted |= {k for r in rate_map.values() for k in (r.numerator, r.denominator)}
    counted |= set(itertools.chain.from_iterable(guards.values()))
    counted -= set(sums)
    _need(rows, [*counted, authorities_column, residual_dof_column])
    for key, rate in rate_map.items():
        if rate.numerator == rate.denominator:
            raise DisclosureError(f"rate {key!r}: numerator and denominator are one column")
    for key, guard in guards.items():
        spec = next((c for c in specs if c.key == key), None)
        unit, label = (spec.unit, spec.label) if spec else ("", "")
        if _EXTREME.search(f"{key.replace('_', ' ')} {label}") and rules.threshold > 0:
            raise DisclosureError(f"column {key!r}: a minimum or maximum is one child's value")
        if unit.lower() in COUNT_UNITS:
            raise DisclosureError(
                f"column {key!r} is in {unit!r}, so it is a count: declare it in count_columns"
            )
        if not guard and rules.threshold > 0:
            raise DisclosureError(f"statistic {key!r} names no count that guards it")

    sheet = Sheet(
        rows,
        rules,
        tuple(sorted(counted)),
        rate_map,
        guards,
        tuple(estimates),
        tuple(c.key for c in specs if c.role in ("text", "category")),
    )
    primary(sheet)
    guard_authorities(sheet, authorities_column, authorities)
    guard_estimates(sheet, residual_dof_column, residual_dof)
    first = len(sheet.hidden)
    margins(sheet)
    carry(sheet)
    cells = [
        tuple(_cell(sheet, i, c, sums, authorities_column) for c in specs) for i in range(len(rows))
    ]
    if total_row:
        cells.append(_total(cells, specs, rate_map, total_row))
    return _finish(title, caption, source, origin, specs, cells, sheet, first)


def _finish(
    title: str,
    caption: str,
    source: str,
    origin: str,
    specs: list[Column],
    cells: list[tuple[Cell, ...]],
    sheet: Sheet,
    first: int,
) -> SafeTable:
    rules = sheet.rules
    shown = {c.key for c in specs}
    hidden = {k: why for k, why in sheet.hidden.items() if k[1] in shown}
    later = len([k for i, k in enumerate(sheet.hidden) if i >= first and k in hidden])
    published = rules.threshold <= 0
    record = DisclosureRecord(
        rule=(
            rules.source
            if published
            else f"fewest children {rules.threshold}, rounded to {rules.rounding_base}, "
            f"fewest authorities {rules.minimum_authorities}"
        ),
        status="already published" if published else "pass",
        cells=len(cells) * len(specs),
        suppressed=sum(v == CONFIDENTIAL for row in cells for v in row),
        secondary=later,
        actions=tuple(sorted(set(hidden.values()))),
    )
    return SafeTable(
        title, caption, source, origin, tuple(specs), tuple(cells), record, token=TOKEN
    )


def _check_origin(origin: str, rules: Rules) -> None:
    if origin not in ORIGINS:
        raise DisclosureError(f"origin {origin!r} is unknown; allowed: {', '.join(ORIGINS)}")
    # A cell of two tells each of the two about the other.
    if origin in RECORD_ORIGINS and rules.threshold < 3:
        raise DisclosureError(
            f"rules with threshold {rules.threshold} cannot be used on {origin} data; "
            "use the rules of the study file"
        )


def _words(text: object, name: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise DisclosureError(f"{name} is missing: give it in words")


def _records(frame: Any) -> list[dict[str, Any]]:
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        if len(set(frame.columns)) != len(frame.columns):
            raise DisclosureError("the frame has two columns of one name")
        rows = frame.to_dict("records")
    else:
        rows = [dict(row) for row in frame]
    if not rows:
        raise DisclosureError("the frame has no rows: show a sentence instead of an empty table")
    return [{str(k): _scalar(v) for k, v in row.items()} for row in rows]


def _scalar(value: Any) -> Any:
    """A numpy scalar as Python's own; everything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _need(rows: list[dict[str, Any]], keys: Sequence[str | None]) -> None:
    have = set(rows[0])
    for key in keys:
        if key is not None and any(key not in row for row in rows):
            raise DisclosureError(f"no column {key!r} in the frame; it has: {sorted(have)}")


def _roles(
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    rows: list[dict[str, Any]],
    roles: Mapping[str, Sequence[str]],
) -> list[Column]:
    """Column specs with their role; every numeric column must have exactly one."""
    specs = []
    for key, given in columns.items():
        spec = given if isinstance(given, Column) else None
        if spec is None:
            try:
                spec = Column(given) if isinstance(given, str) else Column(**dict(given))  # type: ignore[arg-type]
            except TypeError as error:
                raise DisclosureError(f"column {key!r}: {error}") from error
        named = [role for role, keys in roles.items() if key in keys]
        if len(named) > 1:
            raise DisclosureError(f"column {key!r} has two roles: {' and '.join(named)}")
        role = named[0] if named else "text"
        if role not in ("rate", "count"):
            _need(rows, [key])
        _words(spec.label, f"label of column {key!r}")
        specs.append(replace(spec, key=key, role=role))
        numbers = any(finite(row.get(key)) for row in rows)
        if role == "category" and numbers and {spec.unit.lower(), spec.label.lower()} & _COUNTED:
            raise DisclosureError(
                f"column {key!r} counts {spec.unit or spec.label.lower()}: declare it in "
                "count_columns, not as a category"
            )
        if role in ("text", "category"):
            for i, row in enumerate(rows):
                _check_label(row[key], i, key, role)
    if not specs:
        raise DisclosureError("name at least one column to show")
    return specs


def _check_label(value: object, row: int, key: str, role: str) -> None:
    where = f"row {row + 1}, column {key!r}"
    if missing(value) or isinstance(value, bool):
        return
    if role == "category":
        if isinstance(value, str) or (finite(value) and float(value) == int(value)):  # type: ignore[arg-type, call-overload]
            return
        raise DisclosureError(f"{where}: a category is a whole number or text, not {value!r}")
    if not isinstance(value, str):
        raise DisclosureError(
            f"{where}: {type(value).__name__} in a column without a role; declare it in "
            "count_columns, rates, statistics, estimates or category_columns"
        )
    if _ONLY_A_NUMBER.match(value):
        raise DisclosureError(
            f"{where}: {value!r} is a number written as text; declare the column's role"
        )


def _cell(
    sheet: Sheet,
    i: int,
    column: Column,
    sums: Mapping[str, tuple[str, ...]],
    authorities_column: str | None,
) -> Cell:
    """What a reader may see of one cell."""
    key, row = column.key, sheet.rows[i]
    if (i, key) in sheet.hidden:
        return CONFIDENTIAL
    if key in sums:
        parts = [_count_cell(sheet, i, part) for part in sums[key]]
        texts = [p for p in parts if isinstance(p, str)]
        if texts:
            return CONFIDENTIAL if CONFIDENTIAL in texts else texts[0]
        return sum(parts)  # type: ignore[arg-type]
    if key in sheet.rates:
        rate = sheet.rates[key]
        top, bottom = sheet.number(i, rate.numerator), sheet.number(i, rate.denominator)
        if top is None or bottom is None or bottom == 0:
            return NOT_AVAILABLE
        ratio = round_count(top, sheet.rules) / round_count(bottom, sheet.rules)
        return _rounded(rate.scale * ratio, column)
    value = row.get(key)
    if missing(value):
        return value if isinstance(value, str) and value in SYMBOLS else NOT_AVAILABLE
    if column.role == "count":
        return _count_cell(sheet, i, key)
    if key == authorities_column:
        return whole(value, f"row {i + 1}, column {key!r}")
    if column.role in ("statistic", "estimate"):
        if not finite(value):
            raise DisclosureError(f"row {i + 1}, column {key!r}: {value!r} is not a finite number")
        return _rounded(float(value), column)  # type: ignore[arg-type]
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) else int(value)  # type: ignore[arg-type]


def _count_cell(sheet: Sheet, i: int, key: str) -> Cell:
    if (i, key) in sheet.hidden:
        return CONFIDENTIAL
    count = sheet.number(i, key)
    return NOT_AVAILABLE if count is None else round_count(count, sheet.rules)


def _rounded(value: float, column: Column) -> Cell:
    kept = float(fixed(value, column.decimals))
    if kept == 0 and value != 0 and column.role in ("rate", "statistic"):
        return LOW
    return int(kept) if column.decimals == 0 else kept


def _total(
    cells: list[tuple[Cell, ...]], specs: list[Column], rates: Mapping[str, Rate], label: str
) -> tuple[Cell, ...]:
    """Last row from the rounded cells; a hidden part hides the total."""
    sums: dict[str, Cell] = {}
    for index, column in enumerate(specs):
        if column.role != "count":
            continue
        values = [row[index] for row in cells]
        texts = [v for v in values if isinstance(v, str)]
        # With a part hidden or unknown no total is known to be safe.
        sums[column.key] = CONFIDENTIAL if texts else sum(values)  # type: ignore[arg-type]
    row: list[Cell] = []
    for index, column in enumerate(specs):
        if index == 0:
            row.append(label)
        elif column.key in sums:
            row.append(sums[column.key])
        elif column.key in rates:
            rate = rates[column.key]
            top, bottom = sums.get(rate.numerator), sums.get(rate.denominator)
            if isinstance(top, (int, float)) and isinstance(bottom, (int, float)) and bottom:
                row.append(_rounded(rate.scale * top / bottom, column))
            else:
                row.append(CONFIDENTIAL if CONFIDENTIAL in (top, bottom) else NOT_APPLICABLE)
        else:
            row.append(NOT_APPLICABLE)
    return tuple(row)


# --- figures ----------------------------------------------------------------------------------


def safe_figure(
    kind: str,
    frame: Any,
    *,
    title: str,
    subtitle: str,
    alt: str,
    source: str,
    origin: str,
    rules: Rules,
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str] | None = None,
    caption: str = "",
    **guards: Any,
) -> SafeFigure:
    """Make a chart that may be shown.

    Parameters
    ----------
    kind : str
        One of `KINDS`, which says the columns of `frame` it reads: label, value, low, high, time,
        region, series. Others (counts, authorities) may be shown in its table through `columns`;
        a curve draws the further text columns as the choices behind each estimate.
    frame : DataFrame or sequence of mappings
        Exact values, as for `safe_table`.
    title, subtitle, alt, source : str
        The message; measure, place and period (on made-up data it begins 'Made-up data'); the
        picture in words; where the numbers come from. All needed.
    options : FigureOptions
        Axis words, unit, minimum important difference, adoption mark.
    columns : mapping, optional
        More columns for the table under the chart, or other labels for the chart's own.
    **guards
        As in `safe_table`: count_columns, authorities, rates, statistics, estimates, residual_dof.
        In charts of `DIFFERENCES`, value, low and high are estimates unless declared otherwise.

    Raises
    ------
    DisclosureError
        As `safe_table`; or the kind is unknown, or a text is missing.
    """
    if kind not in KINDS:
        raise DisclosureError(f"no chart kind {kind!r}; allowed: {', '.join(KINDS)}")
    for name, text in (("title", title), ("subtitle", subtitle), ("alt text", alt)):
        _words(text, name)
    if origin == "synthetic" and not subtitle.startswith(ORIGINS["synthetic"]):
        raise DisclosureError("the subtitle of a chart on made-up data must begin 'Made-up data'")
    if not isinstance(options, FigureOptions):
        raise DisclosureError("options must be a FigureOptions")
    rows = _records(frame)
    _need(rows, [k for k in KINDS[kind] if k not in (guards.get("rates") or {})])
    specs = _figure_columns(kind, rows, options, columns or {}, guards)
    categories = [k for k in ("time",) if k in specs]
    if kind in DIFFERENCES:
        taken = {*(guards.get("rates") or {}), *(guards.get("statistics") or {})}
        mine = [k for k in ("value", "low", "high") if k not in taken]
        guards["estimates"] = tuple(dict.fromkeys([*mine, *guards.get("estimates", ())]))
    guards["category_columns"] = tuple(
        dict.fromkeys([*categories, *guards.get("category_columns", ())])
    )
    names = {str(row["series"]) for row in rows if "series" in row}
    most = MOST_SERIES.get(kind, 4)
    if len(names) > most:
        raise DisclosureError(
            f"{len(names)} series in one {kind} chart; at most {most} can be read"
        )
    if kind == "event_study" and options.base is not None:
        for row in rows:
            # The reference period is zero by construction: it has no interval.
            if row["time"] == options.base:
                row.update({k: NOT_APPLICABLE for k in ("low", "high") if missing(row[k])})
    data = safe_table(
        rows,
        columns=specs,
        title=title,
        caption=caption,
        source=source,
        origin=origin,
        rules=rules,
        **guards,
    )
    return SafeFigure(kind, data, subtitle, alt, options, token=TOKEN)


def _figure_columns(
    kind: str,
    rows: list[dict[str, Any]],
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    guards: Mapping[str, Any],
) -> dict[str, Any]:
    difference = kind in DIFFERENCES
    number = {"unit": options.unit, "decimals": options.decimals, "signed": difference}
    own: dict[str, Any] = {
        "label": Column("What is compared"),
        "time": Column(options.time or "Time"),
        "region": Column("Region"),
        "series": Column("Group"),
        "value": Column(options.measure, **number),  # type: ignore[arg-type]
        "low": Column("Interval from", **number),  # type: ignore[arg-type]
        "high": Column("Interval to", **number),  # type: ignore[arg-type]
    }
    present = {k: v for k, v in own.items() if k in rows[0] or k in (guards.get("rates") or {})}
    return {**present, **columns}


__all__ = [
    "ALREADY_PUBLISHED",
    "CONFIDENTIAL",
    "KINDS",
    "ORIGINS",
    "RESIDUAL_DOF",
    "STATIC",
    "SYMBOLS",
    "Cell",
    "Column",
    "DisclosureRecord",
    "FigureOptions",
    "Rate",
    "Rules",
    "SafeFigure",
    "SafeTable",
    "round_count",
    "safe_count",
    "safe_figure",
    "safe_rate",
    "safe_table",
]
