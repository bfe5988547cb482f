"""Group-time effects with staggered dates, and their averages.

Callaway and Sant'Anna 2021 ("Difference-in-differences with multiple time periods"); conventions
as in R's did 2: panels by changes, repeated cross-sections (rows or cells) and unbalanced panels
by DRDID's estimators for repeated cross-sections, analytic errors from influence functions with
no small-sample factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .drdid import METHODS, TRIM, Method, TwoByTwo, cross_section_2x2, panel_2x2
from .frames import Floats, FrameError, Ints
from .staggered_rows import Rows, as_panel, checked_rows, codes

Control = Literal["never", "not-yet"]
Base = Literal["varying", "universal"]


@dataclass(frozen=True)
class GroupTime:
    """Effects of each cohort in each period. Arrays have length K, one entry an effect.

    Attributes
    ----------
    cohort, start, time, base : array
        First treated period, first period of embedding (equal to `cohort` unless given), the
        period judged and the period compared with.
    att, se : array
        NaN where an effect is not identified (`notes` say why).
    influence : array, O x K
        Contributions of units or clusters; the covariance is their cross-product plus `within`.
        Rows of n individuals without clusters are multiplied by the root of n.
    within : array, K x K
        What variation inside cells adds; 0 with clusters and with panels.
    cohorts : array, J x 2
        Distinct (cohort, start).
    share, member : arrays, J and O x J
        Weight of each cohort, and contributions to it.
    periods : array
    kind : str
        How rows were used.
    """

    cohort: Floats
    start: Floats
    time: Floats
    base: Floats
    att: Floats
    se: Floats
    influence: Floats
    within: Floats
    cohorts: Floats
    share: Floats
    member: Floats
    periods: Floats
    kind: str
    clusters: int
    notes: tuple[str, ...]

    @property
    def covariance(self) -> Floats:
        """Covariance of the effects, K x K."""
        return np.asarray(self.influence.T @ self.influence + self.within)


def callaway_santanna(
    y: Any,
    time: Any,
    cohort: Any,
    *,
    unit: Any = None,
    cluster: Any = None,
    weight: Any = None,
    n: Any = None,
    y_sq: Any = None,
    x: Any = None,
    start: Any = None,
    anticipation: float = 0.0,
    method: Method = "dr",
    control: Control = "never",
    base: Base = "varying",
    unbalanced: Literal["cross-sections", "drop"] = "cross-sections",
    trim: float = TRIM,
) -> GroupTime:
    """Group-time average effects on the treated.

    Parameters
    ----------
    y, time, cohort : array-like, N
        Outcome (of a cell: its mean), period, first treated period (0 or inf: never).
    unit : array-like, N, optional
        With it rows are a panel. A unit not seen in every period makes it unbalanced: then
        `unbalanced` says whether rows are used as repeated cross-sections with errors clustered
        on units (did's allow_unbalanced_panel) or such units dropped (did's default).
    cluster : array-like, N, optional
        Coarser clusters, constant inside units. The variance is the sum of squared cluster
        totals, with no G/(G-1).
    weight : array-like, N, optional
        Weight of an individual. Panels take it, and covariates, from the earlier of the two
        periods compared; cohort shares from the first.
    n, y_sq : array-like, N, optional
        Individuals in a cell and their sum of squared outcomes (needed without clusters). Results
        are those of the individual rows.
    x : array-like, N x p, optional
        Covariates.
    start : array-like, N, optional
        First period of embedding: the base is the last period before it, and units serve as
        not-yet-treated comparison only before it. Cohorts are distinct (cohort, start).
    anticipation : float
        The same, as a number of periods for all cohorts.
    method : {"dr", "reg", "ipw", "dr-traditional", "dr-improved"}
    control : {"never", "not-yet"}
        Not-yet: never treated or not begun by the later of the two periods.
    base : {"varying", "universal"}
        Varying compares a period before treatment with the one before it.

    Raises
    ------
    FrameError
        Bad options, missing values, a panel with a unit twice in a period, no comparison, or no
        effect identified.
    """
    for name, value, allowed in (
        ("method", method, METHODS),
        ("control", control, ("never", "not-yet")),
        ("base", base, ("varying", "universal")),
        ("unbalanced", unbalanced, ("cross-sections", "drop")),
    ):
        if value not in allowed:
            raise FrameError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
    several = n is not None and (np.asarray(n, float) != 1).any()
    if several and unit is not None:
        raise FrameError("rows of a panel are single units: leave out n, or leave out unit")
    if several and cluster is None and y_sq is None:
        raise FrameError("cells without clusters need y_sq, their sum of squared outcomes")
    rows = checked_rows(
        y,
        time,
        cohort,
        start=start,
        unit=unit,
        cluster=cluster,
        weight=weight,
        n=n,
        y_sq=y_sq,
        x=x,
        anticipation=anticipation,
        control=control,
    )
    periods, at = np.unique(rows.time, return_inverse=True)
    kind = "repeated cross-sections"
    if rows.unit is not None:
        rows, at, kind = as_panel(rows, at, len(periods), unbalanced)
    keys, code = np.unique(np.stack([rows.cohort, rows.start], axis=1), axis=0, return_inverse=True)
    code = code.reshape(-1)
    treated = np.flatnonzero(np.isfinite(keys[:, 0]))
    cells = [
        (j, t, b)
        for j in treated.tolist()
        for t, b in _comparisons(periods, keys[j, 0], keys[j, 1], base)
    ]
    estimate = _changes if kind == "panel" else _levels
    result = estimate(rows, at, code, keys, cells, periods, control, method, trim)
    return _collect(rows, kind, periods, keys, code, treated, cells, result)


def _comparisons(periods: Floats, cohort: float, start: float, base: Base) -> list[tuple[int, int]]:
    """Positions (period, base period) for one cohort."""
    before = int(np.searchsorted(periods, start)) - 1
    if base == "universal":
        return [(t, before) for t in range(len(periods))]
    return [(t, before if periods[t] >= cohort else t - 1) for t in range(1, len(periods))]


def _sides(keys: Floats, j: int, later: float, control: Control) -> np.ndarray:
    """Which cohorts serve as comparison for cohort j up to the period `later`."""
    if control == "never":
        return np.isinf(keys[:, 1])
    serves = keys[:, 1] > later
    serves[j] = False
    return np.asarray(serves)


Result = tuple[list[float], Floats, Floats, list[str]]


def _estimates(
    pair: Callable[[int, int, int], tuple[np.ndarray, TwoByTwo]],
    size: int,
    cells: list[tuple[int, int, int]],
    keys: Floats,
    periods: Floats,
) -> Result:
    """All effects; `pair` gives one, with the units or rows it uses of `size`."""
    att, notes = [], []
    influence, slope = np.zeros((size, len(cells))), np.zeros((size, len(cells)))
    for k, (j, t, b) in enumerate(cells):
        if t == b:
            att.append(0.0)
            continue
        try:
            used, part = pair(j, t, b)
        except FrameError as problem:
            notes.append(f"cohort {keys[j][0]:g} in {periods[t]:g} not identified: {problem}")
            att.append(np.nan)
            continue
        att.append(part.att)
        influence[used, k], slope[used, k] = part.influence, part.slope
    return att, influence, slope, notes


def _changes(
    rows: Rows,
    at: Ints,
    code: Ints,
    keys: Floats,
    cells: list[tuple[int, int, int]],
    periods: Floats,
    control: Control,
    method: Method,
    trim: float,
) -> Result:
    """All effects of a balanced panel; contributions are by unit."""
    t_count = len(periods)
    shape = (len(rows.y) // t_count, t_count)
    y, w = rows.y.reshape(shape), rows.w.reshape(shape)
    x = rows.x.reshape(*shape, -1)
    group = code.reshape(shape)[:, 0]

    def pair(j: int, t: int, b: int) -> tuple[np.ndarray, TwoByTwo]:
        early = min(t, b)
        serves = _sides(keys, j, periods[max(t, b)], control)
        if not serves[group].any():
            raise FrameError("no comparison unit")
        used = (group == j) | serves[group]
        change, d = y[used, t] - y[used, b], group[used] == j
        return used, panel_2x2(change, d, x[used, early], w[used, early], method=method, trim=trim)

    att, influence, _, notes = _estimates(pair, shape[0], cells, keys, periods)
    return att, influence, np.zeros((0, len(cells))), notes


def _levels(
    rows: Rows,
    at: Ints,
    code: Ints,
    keys: Floats,
    cells: list[tuple[int, int, int]],
    periods: Floats,
    control: Control,
    method: Method,
    trim: float,
) -> Result:
    """All effects of repeated cross-sections; contributions and slopes are by row."""

    def pair(j: int, t: int, b: int) -> tuple[np.ndarray, TwoByTwo]:
        serves = _sides(keys, j, periods[max(t, b)], control)
        used = np.flatnonzero(((code == j) | serves[code]) & ((at == t) | (at == b)))
        d, post = (code[used] == j).astype(float), (at[used] == t).astype(float)
        if len(np.unique(2 * d + post)) < 4:
            raise FrameError("no rows on one side of the comparison")
        x, w, n = rows.x[used], rows.w[used], rows.n[used]
        return used, cross_section_2x2(rows.y[used], post, d, x, w, n=n, method=method, trim=trim)

    return _estimates(pair, len(rows.y), cells, keys, periods)


def _totals(values: Floats, code: Ints) -> Floats:
    out = np.zeros((int(code.max()) + 1, values.shape[1]))
    np.add.at(out, code, values)
    return out


def _collect(
    rows: Rows,
    kind: str,
    periods: Floats,
    keys: Floats,
    code: Ints,
    treated: Ints,
    cells: list[tuple[int, int, int]],
    result: Result,
) -> GroupTime:
    att, influence, slope, notes = result
    k = len(cells)
    within = np.zeros((k, k))
    if kind == "panel":
        first = slice(None, None, len(periods))
        w, group, n = rows.w[first], code[first], np.ones(len(rows.y[first]))
        cluster = None if rows.cluster is None else rows.cluster[first]
    else:
        w, group, n = rows.w, code, rows.n
        cluster = rows.unit if rows.cluster is None else rows.cluster
        if rows.unit is not None:
            # As did does: cohort shares count each unit once, with its mean weight.
            unit = codes(rows.unit)
            w = w / np.bincount(unit, rows.n)[unit]
    member = w[:, None] * (group[:, None] == treated[None, :])
    share = n @ member
    if cluster is None:
        root = np.sqrt(n)[:, None]
        influence, member = influence * root, member * root
        if len(slope) and rows.inside.any():
            within = slope.T @ (np.maximum(rows.inside, 0.0)[:, None] * slope)
    else:
        compact = codes(cluster)
        influence = _totals(influence * n[:, None], compact)
        member = _totals(member * n[:, None], compact)
    att_array = np.asarray(att, float)
    if not np.isfinite(att_array).any():
        raise FrameError("no group-time effect is identified: " + "; ".join(notes[:3]))
    se = np.sqrt(np.einsum("ok,ok->k", influence, influence) + np.diag(within))
    return GroupTime(
        cohort=keys[[j for j, _, _ in cells], 0],
        start=keys[[j for j, _, _ in cells], 1],
        time=periods[[t for _, t, _ in cells]],
        base=periods[[b for _, _, b in cells]],
        att=att_array,
        se=np.where(np.isfinite(att_array) & (se > 0), se, np.nan),
        influence=influence,
        within=within,
        cohorts=keys[treated],
        share=share,
        member=member,
        periods=periods,
        kind=kind,
        clusters=len(influence) if cluster is not None or kind == "panel" else 0,
        notes=(*rows.notes, *notes),
    )
