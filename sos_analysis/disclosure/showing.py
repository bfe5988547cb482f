"""What a reader may see of a guarded sheet: rounded counts, rates of rounded counts, symbols."""

from __future__ import annotations

from collections.abc import Mapping

from sos_analysis.disclosure.safe import Cell, Column
from sos_analysis.disclosure.suppression import (
    CONFIDENTIAL,
    LOW,
    NOT_APPLICABLE,
    NOT_AVAILABLE,
    SYMBOLS,
    Rate,
    Sheet,
    missing,
    round_count,
    whole,
)
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite, fixed


def shown_cell(
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


def total_cells(
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
