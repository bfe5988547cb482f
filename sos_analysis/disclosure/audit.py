"""The attack on published tables: what can be found out about each ``[c]`` from all of them.

Looks at safe tables alone, as a reader would; nothing exact is needed or known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sos_analysis.disclosure.attack import (
    Bounds,
    Key,
    bounds,
    knowledge,
    rest_of,
    shielded,
)
from sos_analysis.disclosure.relations import Count, by_labels, by_nesting, place_of
from sos_analysis.disclosure.safe import RECORD_ORIGINS, SafeTable
from sos_analysis.disclosure.suppression import CONFIDENTIAL
from sos_analysis.errors import DisclosureError


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
    judged: list[Hidden] = []
    rests: list[Key] = []
    for whole, part in _pairs(tables, counts):
        threshold = tables[part.key[0]].record.threshold
        # Named for people and unique: the row of the part, and both columns.
        rest = (*part.key[:2], f"{_column(whole, part)} less {part.key[2]}")
        equations.append(rest_of(whole.key, part.key, rest))
        if {whole.key, part.key} & {*gone}:
            rests.append(rest)
            continue
        span = Bounds(max(whole.known[0] - part.known[1], 0.0), whole.known[1] - part.known[0])
        # Both are shown, so by the rule they differ by the threshold at least.
        known[rest] = (float(threshold), float("inf"))
        if span.high < threshold:
            known[rest] = (0.0, float("inf"))
            judged.append(
                Hidden(rest[0], rest[1], rest[2], span.low, span.high, span.spans(threshold))
            )
    if not gone:
        return tuple(judged)
    try:
        found = bounds(known, [*gone, *rests], equations)
    except DisclosureError as error:
        raise DisclosureError(f"attack on {len(tables)} tables: {error}") from error
    for key, b in found.items():
        fine = shielded(b, tables[key[0]].record.threshold, rest=key in rests)
        judged.append(Hidden(key[0], key[1], key[2], b.low, b.high, fine))
    return tuple(judged)


def told(hidden: Hidden, table: SafeTable) -> str:
    """Where a hidden count stands and what it can be, in words; `table` is its own."""
    labels = [c.key for c in table.columns if c.role in ("text", "category")]
    row = ", ".join(table.text(hidden.row, k) for k in labels) or f"row {hidden.row + 1}"
    headings = {c.key: c.label for c in table.columns}
    what = " less ".join(headings.get(k, k) for k in hidden.column.split(" less "))
    most = "any number" if hidden.high == float("inf") else f"{hidden.high:.0f}"
    return f"{what} of {row} can be found to lie from {hidden.low:.0f} to {most}"


def _counts(name: str, table: SafeTable) -> Iterator[tuple[Count, bool]]:
    """The counts of a table as readers see them, and whether each is hidden."""
    record = table.record
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
    yield from by_nesting(counts)


def _column(whole: Count, part: Count) -> str:
    table, _, column = whole.key
    return str(column) if table == part.key[0] else f"{column} of {table}"
