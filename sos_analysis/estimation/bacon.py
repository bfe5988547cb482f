"""What a two-way fixed effects estimate with staggered dates is an average of.

The decomposition into two-by-two comparisons (Goodman-Bacon 2021) and the weights on the effects
of single treated cells (de Chaisemartin and D'Haultfoeuille 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Floats, FrameError

#: Kinds of two-by-two comparison, in bacondecomp's sense.
CLEAN, EARLIER, LATER, ALWAYS = (
    "treated v untreated",
    "earlier v later treated",
    "later v earlier treated",
    "later v always treated",
)


@dataclass(frozen=True)
class Bacon:
    """Two-by-two comparisons; weights sum to 1 and weighted estimates to `twfe`.

    Attributes
    ----------
    twfe : float
        Coefficient on treatment with unit and period effects.
    treated, control : arrays, P
        Dates of the treated and of the comparison cohort (inf: never; the first period or
        before: always).
    kind : tuple of str, P
    weight, estimate : arrays, P
    """

    twfe: float
    treated: Floats
    control: Floats
    kind: tuple[str, ...]
    weight: Floats
    estimate: Floats

    def by_kind(self) -> dict[str, tuple[float, float]]:
        """Total weight and weighted mean estimate of each kind that occurs."""
        out = {}
        for name in dict.fromkeys(self.kind):
            rows = np.array([k == name for k in self.kind])
            total = float(self.weight[rows].sum())
            out[name] = (total, float(self.weight[rows] @ self.estimate[rows]) / total)
        return out

    @property
    def forbidden(self) -> float:
        """Weight of comparisons with units that were treated already."""
        return float(sum(self.by_kind().get(k, (0.0, 0.0))[0] for k in (LATER, ALWAYS)))


def balanced(
    y: Any, time: Any, cohort: Any, unit: Any, weight: Any
) -> tuple[Floats, Floats, Floats, Floats, np.ndarray]:
    """Outcomes (units x periods), periods, dates, weights and labels of a balanced panel.

    Raises
    ------
    FrameError
        Gaps, repeated or missing values, or a date or weight that changes within a unit.
    """
    times, t = np.unique(np.asarray(time, float), return_inverse=True)
    units, u = np.unique(np.asarray(unit), return_inverse=True)
    t, u = t.reshape(-1), u.reshape(-1)
    shape = (len(units), len(times))
    if len(t) != shape[0] * shape[1] or len(np.unique(u * shape[1] + t)) != len(t):
        raise FrameError(
            "the panel is not balanced: each unit must occur once in every period; leave out units "
            "or periods with gaps"
        )
    outcome, dates, w = np.empty(shape), np.empty(shape), np.ones(shape)
    outcome[u, t] = np.asarray(y, float)
    dates[u, t] = np.asarray(cohort, float)
    if weight is not None:
        w[u, t] = np.asarray(weight, float)
    if not np.isfinite(outcome).all():
        raise FrameError("y has a missing or infinite value; drop the unit or fill it first")
    if np.isnan(dates).any():
        raise FrameError("a cohort is missing; the never-treated have 0 or inf")
    if (dates != dates[:, :1]).any() or (w != w[:, :1]).any() or not (w > 0).all():
        raise FrameError("date and (positive) weight must be constant within a unit")
    date = np.where(dates[:, 0] <= 0, np.inf, dates[:, 0])
    return outcome, times, date, w[:, 0], units


def goodman_bacon(y: Any, time: Any, cohort: Any, unit: Any, *, weight: Any = None) -> Bacon:
    """Decompose the two-way fixed effects estimate of a balanced panel without covariates.

    Parameters
    ----------
    y, time, unit : array-like, N
    cohort : array-like, N
        First treated period; 0 or inf: never. A date after the last period counts as never, one
        up to the first as always.
    weight : array-like, N, optional
        Positive and constant within units.

    Notes
    -----
    With cohort shares s (of total weight) and treated shares of periods d, the unnormalised
    weights are, for cohort k against never or always treated u, s_k s_u d_k (1 - d_k); for an
    earlier cohort k and a later l, s_k s_l (d_k - d_l)(1 - d_k) (k treated) and
    s_k s_l d_l (d_k - d_l) (l treated): Goodman-Bacon's equation 10.

    Raises
    ------
    FrameError
        The panel is not balanced, or nothing varies.
    """
    outcome, times, date, w, _ = balanced(y, time, cohort, unit, weight)
    date = np.where(date > times[-1], np.inf, date)
    date = np.where(date <= times[0], -np.inf, date)
    cohorts = np.unique(date)
    share = np.array([w[date == c].sum() for c in cohorts]) / w.sum()
    means = np.stack(
        [np.average(outcome[date == c], axis=0, weights=w[date == c]) for c in cohorts]
    )
    exposed = times[None, :] >= cohorts[:, None]
    d = exposed.mean(axis=1)
    rows: list[tuple[float, float, str, float, float]] = []

    def compare(k: int, u: int, before: np.ndarray, after: np.ndarray) -> float:
        gap = means[k] - means[u]
        return float(gap[after].mean() - gap[before].mean())

    for k in np.flatnonzero(np.isfinite(cohorts)).tolist():
        for u in range(len(cohorts)):
            if u == k:
                continue
            pair = share[k] * share[u]
            own = exposed[k]
            if not np.isfinite(cohorts[u]):
                kind = CLEAN if cohorts[u] > 0 else ALWAYS
                rows.append(
                    (
                        cohorts[k],
                        cohorts[u],
                        kind,
                        pair * d[k] * (1 - d[k]),
                        compare(k, u, ~own, own),
                    )
                )
            elif cohorts[k] < cohorts[u]:
                window = ~exposed[u]
                size = pair * (d[k] - d[u]) * (1 - d[k])
                value = compare(k, u, window & ~own, window & own)
                rows.append((cohorts[k], cohorts[u], EARLIER, size, value))
            else:
                window = exposed[u]
                value = compare(k, u, window & ~own, window & own)
                rows.append((cohorts[k], cohorts[u], LATER, pair * d[k] * (d[u] - d[k]), value))
    if not rows:
        raise FrameError("no two cohorts differ in treatment within the panel")
    size = np.array([r[3] for r in rows])
    estimate = np.array([r[4] for r in rows])
    if not size.sum() > 0:
        raise FrameError("treatment does not vary between cohorts and periods")
    residual = _residual((times[None, :] >= date[:, None]).astype(float), w)
    twfe = float((w[:, None] * residual * outcome).sum() / (w[:, None] * residual**2).sum())
    return Bacon(
        twfe=twfe,
        treated=np.array([r[0] for r in rows]),
        control=np.array([times[0] if r[1] == -np.inf else r[1] for r in rows]),
        kind=tuple(r[2] for r in rows),
        weight=size / size.sum(),
        estimate=estimate,
    )


def _residual(values: Floats, w: Floats) -> Floats:
    """Values less unit and period means: exact in a balanced panel with unit weights."""
    by_period = np.average(values, axis=0, weights=w)
    return values - values.mean(axis=1)[:, None] - by_period + float(by_period.mean())


@dataclass(frozen=True)
class CellWeights:
    """Weights of treated cells in a two-way fixed effects coefficient.

    Attributes
    ----------
    unit, time : arrays, C
        Treated cells.
    weight : array, C
        Sums to 1; the coefficient's expectation is the weighted sum of the cells' effects.
    negative : int
        Cells with a negative weight.
    negative_sum : float
        Their sum.
    negative_share : float
        Their sum in absolute value over the sum of all absolute weights.
    sigma : float
        Smallest standard deviation of effects over treated cells with which the coefficient found
        is compatible with an average effect of 0; NaN without outcomes.
    """

    unit: np.ndarray
    time: Floats
    weight: Floats
    negative: int
    negative_sum: float
    negative_share: float
    sigma: float


def twfe_weights(
    treatment: Any, time: Any, unit: Any, *, weight: Any = None, y: Any = None
) -> CellWeights:
    """De Chaisemartin and D'Haultfoeuille's weights (2020, theorem 1), any panel.

    Parameters
    ----------
    treatment : array-like, N
        0 or 1, one row a unit and period.
    weight : array-like, N, optional
        Individuals in the cell.
    y : array-like, N, optional
        Mean outcomes, for the coefficient and `sigma` (their corollary 1).

    Raises
    ------
    FrameError
        Treatment is not 0/1, or does not vary beyond unit and period effects.
    """
    d = np.asarray(treatment, float)
    if not np.isin(d, (0.0, 1.0)).all():
        raise FrameError("treatment must be 0 or 1 in every row")
    labels, u = np.unique(np.asarray(unit), return_inverse=True)
    times, t = np.unique(np.asarray(time, float), return_inverse=True)
    u, t = u.reshape(-1), t.reshape(-1)
    w = np.ones(len(d)) if weight is None else np.asarray(weight, float)
    residual = partial_out(d, u, t, w)
    scale = float((w * d * residual).sum())
    if not scale > 1e-12 * float(w.sum()):
        raise FrameError("treatment does not vary beyond unit and period effects")
    cells = d == 1
    parts = w[cells] * residual[cells] / scale
    low = parts < -1e-12
    sigma = float("nan")
    if y is not None:
        beta = float((w * residual * np.asarray(y, float)).sum() / scale)
        size = w[cells] / w[cells].sum()
        spread = float(np.sqrt(size @ (parts / size - 1) ** 2))
        sigma = abs(beta) / spread if spread > 0 else float("inf")
    return CellWeights(
        unit=labels[u[cells]],
        time=times[t[cells]],
        weight=parts,
        negative=int(low.sum()),
        negative_sum=float(parts[low].sum()),
        negative_share=float(-parts[low].sum() / np.abs(parts).sum()),
        sigma=sigma,
    )


def partial_out(values: Floats, unit: Any, time: Any, w: Floats) -> Floats:
    """Weighted residuals of `values` (N or N x q) on unit and period effects, exact.

    Unit effects are taken out by demeaning, period effects by least squares on demeaned dummies.
    """
    table = values[:, None] if values.ndim == 1 else values
    periods = (time[:, None] == np.arange(int(time.max()) + 1)[None, 1:]).astype(float)
    total = np.bincount(unit, w)

    def demean(block: Floats) -> Floats:
        sums = np.zeros((len(total), block.shape[1]))
        np.add.at(sums, unit, w[:, None] * block)
        return np.asarray(block - (sums / total[:, None])[unit])

    inner, outer = demean(table), demean(periods)
    gram = (outer * w[:, None]).T @ outer
    fitted = outer @ (np.linalg.pinv(gram, hermitian=True) @ (outer.T @ (w[:, None] * inner)))
    residual = inner - fitted
    return np.asarray(residual[:, 0] if values.ndim == 1 else residual)
