"""The attack on published tables: what can be found out about each ``[c]`` from all of them.

Looks at safe tables alone, as a reader would; nothing exact is needed or known. A rate tells of the
two counts it is made of, shown or not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sos_analysis.disclosure.attack import (
    Bounds,
    Equation,
    Key,
    bounds,
    knowledge,
    rest_of,
    shielded,
)
from sos_analysis.disclosure.relations import Count, by_labels, by_nesting, place_of
from sos_analysis.disclosure.safe import RECORD_ORIGINS, SafeTable
from sos_analysis.disclosure.suppression import (
    CONFIDENTIAL,
    LOW,
    NOT_APPLICABLE,
    NOT_AVAILABLE,
)
from sos_analysis.errors import DisclosureError

_CLOSE = 1e-6


@dataclass(frozen=True)
class Hidden:
    """A hidden count of a published table, and the least and most it can be.

    `protected`: everything from 1 to threshold - 1 stays possible, or it can only be a count
    above the threshold (hidden so that another cannot be found) and stays as uncertain. A count
    that nobody publishes, a whole without its part, is named as 'whole less part'.
    """

    table: str
    row: int
    column: str
    low: float
    high: float
    protected: bool


def attack(tables: Mapping[str, SafeTable]) -> tuple[Hidden, ...]:
    """Bounds of every hidden count over all tables together.

    Parameters
    ----------
    tables : mapping of name to SafeTable
        Tables of one population (`safe_table(population=…)`) are used together; a table without
        one by itself.

    Raises
    ------
    DisclosureError
        Tables that name one population contradict each other.
    """
    known: dict[Key, tuple[float, float]] = {}
    gone: list[Key] = []
    counts: list[Count] = []
    for name, table in tables.items():
        if table.origin in RECORD_ORIGINS and table.record.threshold > 0:
            for count, hidden in _counts(name, table):
                counts.append(count)
                if hidden:
                    gone.append(count.key)
                else:
                    known[count.key] = count.known
    equations = list(by_labels(counts, slack=0.0))
    equations += itertools.chain.from_iterable(_rates(n, t, known) for n, t in tables.items())
    judged: list[Hidden] = []
    rests: list[Key] = []
    # What stands behind a rate, and differences of what is shown: large enough, says the rule.
    ruled = [key for key, (_, most) in known.items() if most == float("inf")]
    for whole, part in _pairs(tables, counts):
        threshold = tables[part.key[0]].record.threshold
        # Named for people and unique: the row of the part, and both columns.
        rest = (*part.key[:2], f"{_column(whole, part)} less {part.key[2]}")
        equations.append(rest_of(whole.key, part.key, rest))
        if {whole.key, part.key} & {*gone}:
            rests.append(rest)
            continue
        known[rest] = (0.0, float("inf"))
        if not (_all_behind(whole, tables) and _all_behind(part, tables)):
            known[rest] = (float(threshold), float("inf"))
            ruled.append(rest)
    try:
        # First without that rule: it must hold by what can be read, or was not kept.
        plain = {**known, **dict.fromkeys(ruled, (0.0, float("inf")))}
        for key, b in bounds(plain, ruled, equations).items():
            threshold = tables[key[0]].record.threshold
            if b.high < threshold - _CLOSE:
                known[key] = (0.0, float("inf"))
                judged.append(_hidden(key, b, b.spans(threshold)))
        found = bounds(known, [*gone, *rests], equations)
    except DisclosureError as error:
        raise DisclosureError(f"attack on {len(tables)} tables: {error}") from error
    for key, b in found.items():
        fine = shielded(b, tables[key[0]].record.threshold, rest=key in rests)
        judged.append(_hidden(key, b, fine))
    return tuple(judged)


def _hidden(key: Key, found: Bounds, protected: bool) -> Hidden:
    table, row, column = key
    return Hidden(table, row, column, found.low, found.high, protected)


def _all_behind(count: Count, tables: Mapping[str, SafeTable]) -> bool:
    """Whether a count is seen in rates alone, as all of whom some have the outcome.

    Nobody shows it, so no rule says how far it is from that of a part.
    """
    name, _, measure = count.key
    table = tables[name]
    return measure not in table.keys and all(top != measure for _, top, _, _ in table.record.rates)


def told(hidden: Hidden, table: SafeTable) -> str:
    """Where a hidden count stands and what it can be, in words; `table` is its own."""
    labels = [c.key for c in table.columns if c.role in ("text", "category")]
    row = ", ".join(table.text(hidden.row, k) for k in labels) or f"row {hidden.row + 1}"
    headings = {c.key: c.label for c in table.columns}
    what = " less ".join(headings.get(k, k) for k in hidden.column.split(" less "))
    most = "any number" if hidden.high == float("inf") else f"{hidden.high:.0f}"
    return f"{what} of {row} can be found to lie from {hidden.low:.0f} to {most}"


def _counts(name: str, table: SafeTable) -> Iterator[tuple[Count, bool]]:
    """The counts of a table as readers see them, and whether each is hidden.

    Those that a rate is made of may not be shown: of these a reader knows that they have passed
    the threshold, where the rate is shown.
    """
    record = table.record
    shown = {c.key for c in table.columns if c.role == "count"}
    labels = [c for c in table.columns if c.role in ("text", "category")]
    population = record.population or f"table {name}"
    for i in range(len(table.rows)):
        place = place_of({c.key: table.text(i, c.key) for c in labels})
        for column in (c for c in table.columns if c.role == "count"):
            value = table.values(column.key)[i]
            key = (name, i, column.key)
            if value == CONFIDENTIAL:
                yield Count(key, population, column.key, place, (0.0, float("inf"))), True
            elif not isinstance(value, str):
                span = knowledge(int(value), record.base, record.threshold)
                yield Count(key, population, column.key, place, span), False
        for measure, rates in _made_of(table).items():
            values = [table.values(rate)[i] for rate in rates]
            if measure in shown or all(v in (NOT_AVAILABLE, NOT_APPLICABLE) for v in values):
                continue
            hidden = all(v == CONFIDENTIAL for v in values)
            range_ = _behind(table, i, measure)
            yield Count((name, i, measure), population, measure, place, range_), hidden


def _behind(table: SafeTable, row: int, measure: str) -> tuple[float, float]:
    """What the rates of a row say of a count that is not shown, by itself.

    Where the whole is shown, the rounded part is one of few numbers.
    """
    record = table.record
    low, high = 0.0, float("inf")
    for rate, top, bottom, scale in record.rates:
        value = table.values(rate)[row]
        if measure not in (top, bottom) or (isinstance(value, str) and value != LOW):
            continue
        low = max(low, float(record.threshold))
        whole = table.values(bottom)[row] if bottom in table.keys else CONFIDENTIAL
        if measure == bottom or isinstance(whole, str):
            continue
        ratio = 0.0 if isinstance(value, str) else float(value)
        half = 0.5 * 10.0 ** -next(c.decimals for c in table.columns if c.key == rate)
        ends = [(ratio + sign * half) * float(whole) / scale for sign in (-1.0, 1.0)]
        first = math.ceil(ends[0] / record.base - _CLOSE) * record.base
        last = math.floor(ends[1] / record.base + _CLOSE) * record.base
        if first <= last:
            low = max(low, knowledge(max(first, 0), record.base, record.threshold)[0])
            high = min(high, knowledge(max(last, 0), record.base, record.threshold)[1])
    return low, high


def _made_of(table: SafeTable) -> dict[str, list[str]]:
    """Counts behind rates, each with its rates."""
    found: dict[str, list[str]] = {}
    for rate, top, bottom, _ in table.record.rates:
        for measure in (top, bottom):
            found.setdefault(measure, []).append(rate)
    return found


def _rates(
    name: str, table: SafeTable, known: Mapping[Key, tuple[float, float]]
) -> Iterator[Equation]:
    """What a shown rate says: it is that of rounded counts, and is itself rounded."""
    record = table.record
    if table.origin not in RECORD_ORIGINS or record.threshold <= 0:
        return
    # A count just above a threshold that is no multiple of the base is put up by more.
    off = record.base / 2 if record.threshold % record.base == 0 else float(record.base)
    decimals = {c.key: c.decimals for c in table.columns}
    for rate, top, bottom, scale in record.rates:
        half = 0.5 * 10.0 ** -decimals[rate]
        for i, value in enumerate(table.values(rate)):
            y, n = (name, i, top), (name, i, bottom)
            if (isinstance(value, str) and value != LOW) or not {y, n} <= known.keys():
                continue
            ratio = 0.0 if isinstance(value, str) else float(value)
            for sign, end in ((1.0, ratio + half), (-1.0, max(ratio - half, 0.0))):
                room = off * (scale + end)
                terms = {y: sign * scale, n: -sign * end}
                yield Equation({k: c for k, c in terms.items() if c}, float("-inf"), room)


def _pairs(
    tables: Mapping[str, SafeTable], counts: Sequence[Count]
) -> Iterator[tuple[Count, Count]]:
    """Every whole and its part: columns of one row, and populations that are part of another."""
    at = {count.key: count for count in counts}
    for count in counts:
        name, row, column = count.key
        for part, whole in tables[name].record.parts:
            if column == part and (name, row, whole) in at:
                yield at[name, row, whole], count
        for _, top, bottom, _ in tables[name].record.rates:
            if column == top and (name, row, bottom) in at:
                yield at[name, row, bottom], count
    yield from by_nesting(counts)


def _column(whole: Count, part: Count) -> str:
    table, _, column = whole.key
    return str(column) if table == part.key[0] else f"{column} of {table}"
