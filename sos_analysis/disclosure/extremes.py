"""Columns, rows and names that speak of a lowest or highest value from records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sos_analysis.formats import finite

if TYPE_CHECKING:
    from sos_analysis.disclosure.safe import Column

_EXTREME = re.compile(
    r"\b(?:min|max|minim(?:a|um|al)|maxim(?:a|um|al)|extremes?|peak|range|outliers?"
    r"|(?:small|larg|low|high|few|short|long|earli|late|young|old|bigg|great)est"
    r"|(?:0|1|99|100)(?:th|st) percentile)\b",
    re.IGNORECASE,
)


def says_extreme(words: str) -> bool:
    """Whether words speak of a lowest or highest value."""
    return bool(_EXTREME.search(words))


def extremes(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Columns and rows that say they hold a lowest or highest value, a sentence each.

    Model results (estimates) and numbers of authorities are none; text alone is none.
    """
    values = [c for c in columns if c.role in ("count", "rate", "statistic")]
    for column in columns:
        numbers = column.role == "category" and any(finite(row.get(column.key)) for row in rows)
        words = f"{column.key.replace('_', ' ')} {column.label}"
        if (column in values or numbers) and says_extreme(words):
            yield f"column {column.key!r}: a minimum or maximum is one child's value"
    for i, row in enumerate(rows if values else ()):
        for column in columns:
            label = row.get(column.key)
            if not column.numeric and isinstance(label, str) and says_extreme(label):
                yield f"row {i + 1}, {label!r}: a minimum or maximum is one child's value"
