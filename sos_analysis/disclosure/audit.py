"""The attack on published tables: what can be found out about each ``[c]`` from all of them.

Looks at safe tables alone, as a reader would; nothing exact is needed or known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sos_analysis.disclosure.attack import Key, bounds, knowledge
from sos_analysis.disclosure.relations import Count, by_labels, place_of
from sos_analysis.disclosure.safe import RECORD_ORIGINS, SafeTable
from sos_analysis.disclosure.suppression import CONFIDENTIAL
from sos_analysis.errors import DisclosureError


@dataclass(frozen=True)
class Hidden:
    """A hidden count of a published table, and the least and most it can be.

    `protected`: everything from 1 to threshold - 1 stays possible, or it can only be a count
    above the threshold (hidden so that another cannot be found) and stays as uncertain.
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
        record = table.record
        if table.origin not in RECORD_ORIGINS or record.threshold <= 0:
            continue
        labels = [c for c in table.columns if c.role in ("text", "category")]
        for i in range(len(table.rows)):
            place = place_of({c.key: table.text(i, c.key) for c in labels})
            for column in (c for c in table.columns if c.role == "count"):
                value = table.values(column.key)[i]
                key = (name, i, column.key)
                span = (0.0, float("inf"))
                if value == CONFIDENTIAL:
                    gone.append(key)
                elif isinstance(value, str):
                    continue
                else:
                    span = knowledge(int(value), record.base, record.threshold)
                    known[key] = span
                population = record.population or f"table {name}"
                counts.append(Count(key, population, column.key, place, span))
    if not gone:
        return ()
    try:
        found = bounds(known, gone, list(by_labels(counts, slack=0.0)))
    except DisclosureError as error:
        raise DisclosureError(f"attack on {len(tables)} tables: {error}") from error
    judged = []
    for key in gone:
        threshold = tables[key[0]].record.threshold
        b = found[key]
        fine = b.spans(threshold) or (b.low >= threshold and b.wide(threshold))
        judged.append(Hidden(key[0], key[1], key[2], b.low, b.high, fine))
    return tuple(judged)
