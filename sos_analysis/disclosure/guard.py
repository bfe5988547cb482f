"""Tables that may be shown: every rule applied to exact values, and nothing exact kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_analysis.disclosure.columns import (
    check_counts,
    check_extremes,
    check_origin,
    check_unnamed,
    check_untyped,
    check_words,
    need,
    records,
    roles_of,
)
from sos_analysis.disclosure.people import guard_people
from sos_analysis.disclosure.safe import (
    RECORD_ORIGINS,
    TOKEN,
    Cell,
    Column,
    DisclosureRecord,
    SafeTable,
)
from sos_analysis.disclosure.showing import shown_cell, total_cells
from sos_analysis.disclosure.suppression import (
    BY_SUBTRACTION,
    BY_TOTAL,
    CONFIDENTIAL,
    Rate,
    Rules,
    Sheet,
    carry,
    guard_authorities,
    guard_children,
    guard_dominance,
    guard_estimates,
    linked,
    primary,
    secondary,
)
from sos_analysis.errors import DisclosureError


def safe_table(frame: Any, **given: Any) -> SafeTable:
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

    parts_of : mapping of count to count, or to several
        A count of those with some property, and the count of all they belong to: where nearly all
        have it, the count is hidden. Distinct children are a part of cases in this sense: where
        they are nearly as many, the few cases of the same child again would be found.
    children_column : str
        Column with the distinct children behind each row: below the threshold the row is hidden,
        however many cases they have.
    outcome_children : mapping of count to (column, column)
        For a count of cases with an outcome, the distinct children with it and those without it:
        where either are too few, the count is hidden, however many cases they have.
    dominance : (whole, largest, second)
        Columns with the whole and what the largest two authorities hold of it.
    population : str
        Whose children the counts are of ('rereferral, original definition'); needed where counts
        from records are shown. Tables of one population are attacked together, here if made by
        `safe_tables`, and at release.
    within : str
        Population that this one is a part of (those left after matching). Each count shown, and
        each numerator of a rate, must then say in `parts_of` which count it is a part of, the last
        one by the count of the whole.
    authorities_within : str
        Column with the number of authorities of that whole: where it is larger by fewer than the
        minimum of authorities, the difference would be that of one, and the row is hidden.
    beside : mapping of arguments of `safe_table`
        A table of the same population that is shown elsewhere as it is. This one is protected
        together with it, and hides what both would give away.

    Raises
    ------
    DisclosureError
        A column has no role or two, a text cell is a bare number or an object, a guard or the
        population of counts is missing, or the rules are too weak for the origin.

    Notes
    -----
    Domain rules; threshold, base and minimum of authorities come from `rules`.
    """
    beside = given.pop("beside", None)
    if beside is None:
        return safe_tables({"table": {"frame": frame, **given}})["table"]
    other, made = _prepare(**dict(beside)), _prepare(frame, **given)
    _alike([other, made])
    secondary([other.sheet])
    other.sheet.fixed = other.sheet.counts
    secondary([made.sheet, *([other.sheet] if linked([made.sheet, other.sheet]) else [])])
    return _finish(made)


def safe_tables(requests: Mapping[str, Mapping[str, Any]]) -> dict[str, SafeTable]:
    """Make several tables that are shown together, so that none gives away what another hides.

    Parameters
    ----------
    requests : mapping of name to the arguments of `safe_table` (`frame` among them)
        Tables with the same `population` are protected against differencing: a total and its
        subgroups, or one count in two places.

    Raises
    ------
    DisclosureError
        As `safe_table`; or the tables have different rules.
    """
    pending = {name: _prepare(**dict(request)) for name, request in requests.items()}
    _alike(pending.values())
    secondary([p.sheet for p in pending.values()])
    return {name: _finish(p) for name, p in pending.items()}


def _alike(pending: Iterable[_Pending]) -> None:
    if len({(p.sheet.rules.threshold, p.sheet.rules.rounding_base) for p in pending}) > 1:
        raise DisclosureError("tables made together need one threshold and one rounding base")


@dataclass(frozen=True)
class _Pending:
    """A table between the rules that look at one cell and those that look at all."""

    title: str
    caption: str
    source: str
    origin: str
    specs: list[Column]
    sheet: Sheet
    sums: Mapping[str, tuple[str, ...]]
    authorities_column: str | None
    total_row: str


def _prepare(
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
    parts_of: Mapping[str, Sequence[str] | str] | None = None,
    dominance: tuple[str, str, str] | None = None,
    children_column: str | None = None,
    outcome_children: Mapping[str, tuple[str, str]] | None = None,
    population: str = "",
    within: str = "",
    authorities_within: str | None = None,
) -> _Pending:
    check_origin(origin, rules)
    for name, text in (("title", title), ("source", source)):
        check_words(text, name)
    rows = records(frame)
    rate_map = {k: r if isinstance(r, Rate) else Rate(*r) for k, r in (rates or {}).items()}
    guards = {k: (g,) if isinstance(g, str) else tuple(g) for k, g in (statistics or {}).items()}
    sums = {k: tuple(parts) for k, parts in (totals or {}).items()}
    parts = {k: (w,) if isinstance(w, str) else tuple(w) for k, w in (parts_of or {}).items()}
    people = dict(outcome_children or {})
    specs = roles_of(
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
    if rules.threshold > 0:
        check_counts(specs)
    if origin in RECORD_ORIGINS and not population and any(c.role == "count" for c in specs):
        raise DisclosureError(
            "say whose children or cases the counts are, population='rereferral, original': "
            "tables of one population are attacked together"
        )
    if within:
        loose = [c.key for c in specs if c.role == "count"]
        loose += [r.numerator for r in rate_map.values()]
        loose = [key for key in loose if key not in parts]
        if loose or not population:
            raise DisclosureError(
                f"a population within {within!r} needs a name, and each of its counts the count "
                f"it is a part of: parts_of={{{(loose or ['…'])[0]!r}: 'count of the whole'}}"
            )
        population = f"{within}, {population}"
    counted = {*count_columns, *itertools.chain.from_iterable(sums.values())}
    counted |= {k for r in rate_map.values() for k in (r.numerator, r.denominator)}
    counted |= set(itertools.chain.from_iterable(guards.values()))
    counted |= {k for part, wholes in parts.items() for k in (part, *wholes)}
    counted |= set(people)
    counted -= set(sums)
    guards_of_rows = [authorities_column, residual_dof_column, children_column, authorities_within]
    guards_of_rows += itertools.chain.from_iterable(people.values())
    need(rows, [*counted, *guards_of_rows, *(dominance or ())])
    for key, rate in rate_map.items():
        if rate.numerator == rate.denominator:
            raise DisclosureError(f"rate {key!r}: numerator and denominator are one column")
    for key, guard in guards.items():
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
        parts,
        people,
        dominance,
        population,
        children_column or "",
        tuple(sorted({*itertools.chain.from_iterable(parts.values())} - {c.key for c in specs}))
        if within
        else (),
    )
    check_extremes(specs, rows, origin)
    said: list[object] = [title, caption, total_row, *(c.label for c in specs)]
    said += [row.get(key) for row in rows for key in sheet.labels]
    check_unnamed(said, origin, rules)
    check_untyped(said, origin, rules)
    primary(sheet)
    guard_authorities(sheet, authorities_column, authorities, authorities_within)
    guard_children(sheet, children_column)
    guard_people(sheet)
    guard_dominance(sheet)
    guard_estimates(sheet, residual_dof_column, residual_dof)
    return _Pending(
        title, caption, source, origin, specs, sheet, sums, authorities_column, total_row
    )


def _finish(made: _Pending) -> SafeTable:
    sheet, specs, rules = made.sheet, made.specs, made.sheet.rules
    carry(sheet)
    cells: list[tuple[Cell, ...]] = [
        tuple(shown_cell(sheet, i, c, made.sums, made.authorities_column) for c in specs)
        for i in range(len(sheet.rows))
    ]
    if made.total_row:
        cells.append(total_cells(cells, specs, sheet.rates, made.total_row))
    shown = {c.key for c in specs}
    hidden = {k: why for k, why in sheet.hidden.items() if k[1] in shown}
    later = sum(why in (BY_SUBTRACTION, BY_TOTAL) for why in hidden.values())
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
        threshold=rules.threshold,
        base=rules.rounding_base,
        population=sheet.population,
        parts=tuple(sorted((p, w) for p, w in sheet.pairs if {p, w} <= shown)),
        rates=tuple(
            sorted(
                (key, r.numerator, r.denominator, float(r.scale))
                for key, r in sheet.rates.items()
                if key in shown
            )
        ),
    )
    return SafeTable(
        made.title,
        made.caption,
        made.source,
        made.origin,
        tuple(specs),
        tuple(cells),
        record,
        token=TOKEN,
    )
