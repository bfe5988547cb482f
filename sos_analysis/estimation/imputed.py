"""Imputation estimator: effects as outcomes less what untreated rows predict.

Borusyak, Jaravel and Spiess 2024 ("Revisiting event-study designs: robust and efficient
estimation"); conventions of Stata's did_imputation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Floats, FrameError, Ints
from .saturated import rows_outside_embedding
from .staggered_rows import Rows, codes


@dataclass(frozen=True)
class Imputed:
    """Averages of imputed effects. Units: the outcome's own.

    Attributes
    ----------
    overall, overall_se : float
        Average over treated individuals, by weight.
    events, event_att, event_se : arrays, E
        By event time from 0 on.
    leads, lead_att, lead_se : arrays, P
        Coefficients of the lead indicators among untreated rows (base: all earlier ones).
    influence : array, G x (E + 1)
        Contributions of clusters, the overall effect last.
    untreated : int
        Rows behind the predictions.
    """

    overall: float
    overall_se: float
    events: Floats
    event_att: Floats
    event_se: Floats
    leads: Floats
    lead_att: Floats
    lead_se: Floats
    influence: Floats
    untreated: int
    notes: tuple[str, ...]


class _Normal:
    """Weighted normal equations with unit effects eliminated (unit block is diagonal)."""

    def __init__(self, unit: Ints, units: int, small: Floats, w: Floats) -> None:
        self.unit, self.small, self.w = unit, small, w
        self.diagonal = np.bincount(unit, w, minlength=units)
        self.cross = np.zeros((units, small.shape[1]))
        np.add.at(self.cross, unit, w[:, None] * small)
        safe = np.where(self.diagonal > 0, self.diagonal, 1.0)
        self.scaled = self.cross / safe[:, None]
        self.safe = safe
        schur = (small * w[:, None]).T @ small - self.cross.T @ self.scaled
        self.inverse = np.linalg.pinv(schur, rcond=1e-10, hermitian=True)
        self.schur = schur

    def solve(self, by_unit: Floats, by_small: Floats) -> tuple[Floats, Floats]:
        """Coefficients for right-hand sides (units x q, columns x q)."""
        small = self.inverse @ (by_small - self.scaled.T @ by_unit)
        return by_unit / self.safe[:, None] - self.scaled @ small, small

    def sums(self, unit: Ints, small: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Z'v for rows of this or another sample, v of shape N x q."""
        out = np.zeros((len(self.diagonal), v.shape[1]))
        np.add.at(out, unit, v)
        return out, small.T @ v

    def reaches(self, unit: Ints, small: Floats) -> np.ndarray:
        """Rows whose prediction is identified: their design lies in the row space."""
        demeaned = small - self.scaled[unit]
        projected = demeaned @ self.inverse @ self.schur
        scale = 1 + np.abs(demeaned).max(axis=1, initial=0)
        return (self.diagonal[unit] > 0) & (
            np.abs(projected - demeaned).max(axis=1, initial=0) < 1e-6 * scale
        )


def imputation(
    y: Any,
    time: Any,
    cohort: Any,
    *,
    unit: Any,
    cluster: Any = None,
    weight: Any = None,
    n: Any = None,
    x: Any = None,
    start: Any = None,
    leads: int = 0,
) -> Imputed:
    """Fit unit and period effects on untreated rows, impute, average what is left.

    Parameters
    ----------
    y, time, cohort, weight, n, x, start
        As in `callaway.callaway_santanna`; embedding periods are left out.
    unit : array-like, N
        Rows may be several a unit and period (cells of n individuals).
    cluster : array-like, N, optional
        Default: units.
    leads : int
        Number of lead indicators for the pre-trend test (their section 4.4).

    Notes
    -----
    Errors: the square root of the sum over clusters of (sum v e)^2 (theorem 3), v the weight of a
    row in the estimator, e its residual; for treated rows the effect less an average within
    cohort and event time, weighted by cluster totals of v (their equation 8, clusters for units).
    No small-sample factor, as in did_imputation.

    Raises
    ------
    FrameError
        Bad rows, or no treated row that can be imputed.
    """
    columns = {"start": start, "unit": unit, "cluster": cluster, "weight": weight, "n": n, "x": x}
    rows, event = rows_outside_embedding(y, time, cohort, columns)
    assert rows.unit is not None
    assert rows.cluster is not None
    unit_code, group = codes(rows.unit), codes(rows.cluster)
    small = np.hstack([rows.time[:, None] == np.unique(rows.time)[None, 1:], rows.x], dtype=float)
    w = rows.w * rows.n
    treated = np.isfinite(event) & (event >= 0)
    bare = ~treated
    units = int(unit_code.max()) + 1
    normal = _Normal(unit_code[bare], units, small[bare], w[bare])
    a_unit, a_small = normal.solve(
        *normal.sums(unit_code[bare], small[bare], (w * rows.y)[bare, None])
    )
    residual = rows.y - a_unit[unit_code, 0] - small @ a_small[:, 0]
    reached = treated & normal.reaches(unit_code, small)
    notes = list(rows.notes)
    if not reached.any():
        raise FrameError("no treated row can be imputed: units are not seen before treatment")
    if (treated & ~reached).any():
        lost = int((treated & ~reached).sum())
        notes.append(f"{lost} treated rows cannot be imputed and are left out")
    events = np.unique(event[reached])
    v = np.stack([*(reached & (event == e) for e in events), reached], axis=1) * w[:, None]
    v = v / v.sum(axis=0)
    effects = v.T @ residual
    back = normal.solve(*normal.sums(unit_code, small, v))
    v[bare] = -w[bare, None] * (back[0][unit_code[bare]] + small[bare] @ back[1])
    influence = _contributions(v, residual, reached, rows, event, group)
    se = np.sqrt(np.einsum("gk,gk->k", influence, influence))
    lead = _leads(rows, event, bare, unit_code, small, w, group, leads)
    return Imputed(
        overall=float(effects[-1]),
        overall_se=float(se[-1]),
        events=events,
        event_att=effects[:-1],
        event_se=se[:-1],
        leads=lead[0],
        lead_att=lead[1],
        lead_se=lead[2],
        influence=influence,
        untreated=int(bare.sum()),
        notes=tuple(notes),
    )


def _contributions(
    v: Floats, residual: Floats, treated: np.ndarray, rows: Rows, event: Floats, group: Ints
) -> Floats:
    """Cluster totals of v times residuals, treated ones about their cohort-by-event mean."""
    clusters = int(group.max()) + 1
    out = np.zeros((clusters, v.shape[1]))
    cell = np.full(len(event), -1)
    pairs = np.stack([rows.cohort[treated], event[treated]], axis=1)
    cell[treated] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    size = int(cell.max()) + 1
    for k in range(v.shape[1]):
        centred = residual.copy()
        mine = cell[treated] * clusters + group[treated]
        total = np.bincount(mine, v[treated, k], size * clusters)[mine]
        top = np.bincount(cell[treated], total * v[treated, k] * residual[treated], size)
        bottom = np.bincount(cell[treated], total * v[treated, k], size)
        mean = np.divide(top, bottom, out=np.zeros(size), where=bottom > 0)
        centred[treated] -= mean[cell[treated]]
        out[:, k] = np.bincount(group, v[:, k] * centred, clusters)
    return out


def _leads(
    rows: Rows,
    event: Floats,
    bare: np.ndarray,
    unit: Ints,
    small: Floats,
    w: Floats,
    group: Ints,
    leads: int,
) -> tuple[Floats, Floats, Floats]:
    """Least squares of untreated outcomes with lead indicators; clustered errors, no factor."""
    names = np.arange(-leads, 0, dtype=float)
    if not leads:
        return names, np.empty(0), np.empty(0)
    flags = (event[bare, None] == names[None, :]).astype(float)
    normal = _Normal(unit[bare], int(unit.max()) + 1, small[bare], w[bare])
    columns = np.hstack([flags, rows.y[bare, None]])
    fitted = normal.solve(*normal.sums(unit[bare], small[bare], w[bare, None] * columns))
    left = columns - fitted[0][unit[bare]] - small[bare] @ fitted[1]
    x, target = left[:, :-1], left[:, -1]
    inverse = np.linalg.pinv((x * w[bare, None]).T @ x, rcond=1e-10, hermitian=True)
    beta = inverse @ (x.T @ (w[bare] * target))
    scores = x * (w[bare] * (target - x @ beta))[:, None]
    total = np.zeros((int(group.max()) + 1, leads))
    np.add.at(total, group[bare], scores)
    influence = total @ inverse
    return names, beta, np.sqrt(np.einsum("gk,gk->k", influence, influence))
