"""Rows of a staggered design: checks, cohorts without a base, balanced or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Floats, FrameError, Ints


@dataclass(frozen=True)
class Rows:
    """Rows of a staggered design, checked. Arrays have length N; their order does not matter.

    `inside` is the sum of squares within a cell; `cohort` and `start` are inf if never treated.
    """

    y: Floats
    time: Floats
    cohort: Floats
    start: Floats
    w: Floats
    n: Floats
    inside: Floats
    x: Floats
    unit: Ints | None
    cluster: Ints | None
    notes: tuple[str, ...]

    def where(self, keep: np.ndarray) -> Rows:
        """Some of the rows."""
        parts: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[keep]
            for name in self.__dataclass_fields__
            if name != "notes"
        }
        return Rows(**parts, notes=self.notes)

    def noted(self, note: str) -> Rows:
        """The same rows with one more note."""
        return Rows(**{**self.__dict__, "notes": (*self.notes, note)})


def codes(values: Any) -> Ints:
    """Labels as integers from 0 on, numbered in sorted order."""
    return np.unique(np.asarray(values), return_inverse=True)[1].reshape(-1).astype(np.int64)


def checked_rows(
    y: Any,
    time: Any,
    cohort: Any,
    *,
    start: Any = None,
    unit: Any = None,
    cluster: Any = None,
    weight: Any = None,
    n: Any = None,
    y_sq: Any = None,
    x: Any = None,
    anticipation: float = 0.0,
    control: str = "not-yet",
) -> Rows:
    """Check and convert the arguments of `callaway.callaway_santanna`; see there.

    Raises
    ------
    FrameError
        Missing or unequal columns, or no cohort that can be judged.
    """
    y, time = np.asarray(y, float), np.asarray(time, float)
    size = len(y)
    cohort = np.asarray(cohort, float).copy()
    if np.isnan(cohort).any():
        raise FrameError("a cohort is missing; the never-treated have 0 or inf")
    cohort[cohort <= 0] = np.inf
    begins = cohort - anticipation if start is None else np.asarray(start, float).copy()
    begins = np.where(np.isinf(cohort), np.inf, begins)
    w = np.ones(size) if weight is None else np.asarray(weight, float)
    count = np.ones(size) if n is None else np.asarray(n, float)
    inside = np.zeros(size) if y_sq is None else np.asarray(y_sq, float) - count * y * y
    covariates = np.empty((size, 0)) if x is None else np.asarray(x, float).reshape(size, -1)
    for name, values in (("y", y), ("time", time), ("weight", w), ("n", count), ("x", covariates)):
        if len(values) != size or not np.isfinite(values).all():
            raise FrameError(f"{name} must have {size} finite values, as y has; drop or fill rows")
    if (begins > cohort).any() or np.isnan(begins).any():
        raise FrameError("start of embedding must not be missing or after the first treated period")
    if (w < 0).any():
        raise FrameError("weight must not be negative")
    unit, cluster = (None if v is None else codes(v) for v in (unit, cluster))
    rows = Rows(y, time, cohort, begins, w, count, inside, covariates, unit, cluster, ())
    return _usable(rows.where((w > 0) & (count > 0)), control)


def _usable(rows: Rows, control: str) -> Rows:
    """Cohorts without a period before embedding go; without never-treated the last one serves."""
    if not np.isinf(rows.start).any():
        if control == "never":
            raise FrameError("no never-treated unit; use control='not-yet'")
        last = rows.start.max()
        rows = rows.where(rows.time < last).noted(
            f"no unit is never treated: periods from {last:g} on are left out and the cohort "
            "treated last serves as comparison"
        )
        serves = rows.start == last
        rows = Rows(
            **{
                **rows.__dict__,
                "start": np.where(serves, np.inf, rows.start),
                "cohort": np.where(serves, np.inf, rows.cohort),
            }
        )
    if not len(rows.y):
        raise FrameError("no rows are left before the last cohort's treatment")
    early = rows.start <= rows.time.min()
    if early.any():
        gone = len(np.unique(rows.unit[early])) if rows.unit is not None else int(early.sum())
        rows = rows.where(~early).noted(
            f"{gone} units or rows of cohorts treated from the first period on are left out"
        )
    beyond = rows.start > rows.time.max()
    cohort = np.where(beyond, np.inf, rows.cohort)
    rows = Rows(
        **{**rows.__dict__, "cohort": cohort, "start": np.where(beyond, np.inf, rows.start)}
    )
    if np.isinf(rows.cohort).all():
        raise FrameError("no treated cohort has a period before its treatment")
    return rows


def as_panel(rows: Rows, at: Ints, periods: int, unbalanced: str) -> tuple[Rows, Ints, str]:
    """Sort a panel by unit and period, or say that it must be used as cross-sections."""
    assert rows.unit is not None
    order = np.lexsort((at, rows.unit))
    rows, at = rows.where(order), at[order]
    assert rows.unit is not None
    same = (np.diff(rows.unit) == 0) & (np.diff(at) == 0)
    if same.any():
        raise FrameError("a unit occurs twice in a period; leave out `unit` for cross-sections")
    first = np.r_[True, np.diff(rows.unit) != 0]
    for name in ("cohort", "start", "cluster"):
        values = getattr(rows, name)
        if values is not None and (values != values[first][np.cumsum(first) - 1]).any():
            raise FrameError(f"{name} must be the same in all periods of a unit")
    seen = np.bincount(np.cumsum(first) - 1)
    if (seen == periods).all():
        return rows, at, "panel"
    if unbalanced == "drop":
        keep = (seen == periods)[np.cumsum(first) - 1]
        if not keep.any():
            raise FrameError("no unit is seen in every period; use unbalanced='cross-sections'")
        dropped = int((seen != periods).sum())
        rows = rows.where(keep).noted(f"{dropped} units not seen in every period are left out")
        return rows, at[keep], "panel"
    return rows, at, "unbalanced panel as repeated cross-sections"
