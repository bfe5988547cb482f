"""The rules by which a cell is hidden: counts, authorities, degrees of freedom, totals.

Works on a `Sheet`, the exact copy of a table inside the guard. Nothing here is shown; `disclosure`
turns a sheet into a safe table.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite

SYMBOLS = {
    "[c]": "not shown, to protect confidentiality",
    "[low]": "rounds to zero, but is not zero",
    "[x]": "not available",
    "[z]": "not applicable",
}
CONFIDENTIAL, LOW, NOT_AVAILABLE, NOT_APPLICABLE = SYMBOLS

#: Fewest residual degrees of freedom of a fit whose coefficients may be shown (SRS and ACRO: 10).
RESIDUAL_DOF = 10
#: First words of a row that sums others up.
_MARGIN = re.compile(r"^\W*(total|all|overall|both|any|england|sum|everyone)\b", re.IGNORECASE)


class Rules(Protocol):
    """What the guard needs of `study.DisclosureRules`."""

    @property
    def threshold(self) -> int: ...
    @property
    def rounding_base(self) -> int: ...
    @property
    def minimum_authorities(self) -> int: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class _Published:
    threshold: int = 0
    rounding_base: int = 1
    minimum_authorities: int = 0
    source: str = "already published by its owner, who applied their own disclosure control"


#: Rules for numbers anyone can already read (refused for `RECORD_ORIGINS`).
ALREADY_PUBLISHED = _Published()


@dataclass(frozen=True)
class Rate:
    """A rate the guard works out itself: `scale` × numerator / denominator."""

    numerator: str
    denominator: str
    scale: float = 100.0


def round_count(count: int, rules: Rules) -> int:
    """Count rounded to the base; never shown below the threshold it has passed."""
    base = max(int(rules.rounding_base), 1)
    rounded = (2 * int(count) + base) // (2 * base) * base
    # A threshold that is no multiple of the base must not let 7 appear as 5.
    return rounded if rounded >= rules.threshold else rounded + base


def whole(value: object, what: str) -> int:
    if not finite(value) or float(value) != int(value) or int(value) < 0:  # type: ignore[arg-type, call-overload]
        raise DisclosureError(f"{what}: {value!r} is not a whole number of 0 or more")
    return int(value)  # type: ignore[call-overload]


def missing(value: object) -> bool:
    if value is None or isinstance(value, str):
        return value is None or value in SYMBOLS
    # NaN and pandas' NA and NaT are the values that differ from themselves or cannot say.
    try:
        return bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array: no missing value, and refused further on
        return False


@dataclass
class Sheet:
    """Working copy of a table inside the guard."""

    rows: list[dict[str, Any]]
    rules: Rules
    counts: tuple[str, ...]
    rates: dict[str, Rate]
    statistics: dict[str, tuple[str, ...]]
    estimates: tuple[str, ...]
    labels: tuple[str, ...]
    hidden: dict[tuple[int, str], str] = field(default_factory=dict)

    def hide(self, row: int, key: str, why: str) -> None:
        self.hidden.setdefault((row, key), why)

    def number(self, row: int, key: str) -> int | None:
        """Exact count of a cell; None where it is missing or given as a symbol."""
        value = self.rows[row].get(key)
        return whole(value, f"row {row + 1}, column {key!r}") if not missing(value) else None


def primary(sheet: Sheet) -> None:
    threshold = sheet.rules.threshold
    for i in range(len(sheet.rows)):
        for key in sheet.counts:
            count = sheet.number(i, key)
            if count is not None and count < threshold:
                sheet.hide(i, key, "count below the threshold")
        for key, rate in sheet.rates.items():
            top, bottom = sheet.number(i, rate.numerator), sheet.number(i, rate.denominator)
            if top is None or bottom is None:
                continue
            if top > bottom:
                raise DisclosureError(
                    f"row {i + 1}, rate {key!r}: numerator {top} exceeds denominator {bottom}"
                )
            if bottom - top < threshold:
                # Nearly all have the outcome: the few who have not are as exposed.
                sheet.hide(i, rate.numerator, "nearly all of the group")


def guard_authorities(sheet: Sheet, column: str | None, constant: int | None) -> None:
    minimum = sheet.rules.minimum_authorities
    guarded = [*sheet.counts, *sheet.rates, *sheet.statistics]
    told = column is not None or constant is not None
    if minimum <= 1 or not (guarded or told):
        return
    if not told:
        raise DisclosureError(
            "say how many local authorities are behind each row: authorities_column=… or "
            f"authorities=… (the rules ask for {minimum})"
        )
    for i in range(len(sheet.rows)):
        number = sheet.number(i, column) if column is not None else whole(constant, "authorities")
        if number is None or number < minimum:
            for key in [*guarded, *sheet.estimates, *([column] if column else [])]:
                sheet.hide(i, key, "too few authorities")


def guard_estimates(sheet: Sheet, column: str | None, constant: float | None) -> None:
    if not sheet.estimates or sheet.rules.threshold <= 0:
        return
    if column is None and constant is None:
        raise DisclosureError(
            "say how many residual degrees of freedom the fit has: residual_dof_column=… or "
            f"residual_dof=… (at least {RESIDUAL_DOF})"
        )
    for i, row in enumerate(sheet.rows):
        dof = row[column] if column is not None else constant
        thin = any((i, key) in sheet.hidden for key in sheet.counts)
        if not finite(dof) or float(dof) < RESIDUAL_DOF or thin:  # type: ignore[arg-type]
            why = "behind a count below the threshold" if thin else "too few degrees of freedom"
            for key in sheet.estimates:
                sheet.hide(i, key, why)


def margins(sheet: Sheet) -> None:
    """Hide any total from which a hidden part could be found by subtraction."""
    size, slack = len(sheet.rows), max(sheet.rules.threshold, 1)
    label = sheet.labels[0] if sheet.labels else None
    for key in sheet.counts:
        if not any((i, key) in sheet.hidden for i in range(size)):
            continue
        values = [sheet.number(i, key) or 0 for i in range(size)]
        for i in range(size):
            named = label is not None and bool(_MARGIN.match(str(sheet.rows[i].get(label, ""))))
            # Distinct children of the parts may add to a little more than those of the whole.
            adds_up = size > 2 and abs(2 * values[i] - sum(values)) < slack
            if named or adds_up:
                sheet.hide(i, key, "a total that would reveal a part")
    for whole, parts in _column_sums(sheet, slack):
        for i in range(size):
            if any((i, part) in sheet.hidden for part in parts):
                sheet.hide(i, whole, "a total that would reveal a part")


def _column_sums(sheet: Sheet, slack: int) -> list[tuple[str, tuple[str, ...]]]:
    """Count columns that are, row by row, (nearly) the sum of two or more others."""
    if len(sheet.counts) < 3 or len(sheet.counts) > 8:
        return []
    found = []
    table = {k: [sheet.number(i, k) for i in range(len(sheet.rows))] for k in sheet.counts}
    for whole in sheet.counts:
        others = [k for k in sheet.counts if k != whole]
        for size in range(2, len(others) + 1):
            for parts in itertools.combinations(others, size):
                rows = zip(table[whole], zip(*(table[p] for p in parts), strict=True), strict=True)
                gaps = [
                    abs(w - sum(v or 0 for v in ps))
                    for w, ps in rows
                    if w is not None and not all(v is None for v in ps)
                ]
                if gaps and max(gaps) < slack:
                    found.append((whole, parts))
    return found


def carry(sheet: Sheet) -> None:
    """A rate or statistic whose counts are hidden is hidden as well."""
    for i in range(len(sheet.rows)):
        for key, rate in sheet.rates.items():
            for part in (rate.numerator, rate.denominator):
                if (i, part) in sheet.hidden:
                    sheet.hide(i, key, sheet.hidden[(i, part)])
        for key, guard in sheet.statistics.items():
            for part in guard:
                if (i, part) in sheet.hidden or (
                    sheet.rules.threshold > 0 and sheet.number(i, part) is None
                ):
                    sheet.hide(i, key, "behind a count below the threshold")
