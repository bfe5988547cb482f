"""Bounds that let departures change by a multiple of the largest change before adoption.

Rambachan and Roth 2023, restriction on relative magnitudes. The test is the hybrid of the
conditional and the least-favourable test for moment inequalities with nuisance parameters
(Andrews, Roth and Pakes 2023). Its linear programme has so few vertices here (see `_vertices`)
that none needs to be solved: the test is a maximum over them, for all hypotheses at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .departures import Bound, Coefficients, Sensitivity, breakdown_value, normal_interval
from .frames import Floats, FrameError

#: Draws for the least-favourable critical value (HonestDiD: 1,000).
DRAWS = 20_000
#: Points of the first grid, whose ends are then refined (HonestDiD: 1,000, not refined).
GRID = 400


def _inequalities(given: Coefficients, m: float, at: int, sign: float) -> Floats:
    """Rows of the restriction after adoption, 2 x L x (K + L): row @ delta must not be above 0.

    With D the `at`-th change before adoption times `sign`, every change after adoption is at most
    m D in absolute value.
    """
    leads, lags = given.leads, given.lags
    changes = np.zeros((lags, leads + lags))  # delta_t - delta_{t-1}
    changes[:, leads:] = np.eye(lags) - np.eye(lags, k=-1)
    bound = m * _change_before(leads, lags, at, sign)
    return np.stack([changes - bound, -changes - bound])


def _vertices(given: Coefficients, weights: Floats, rows: Floats) -> Floats:
    """Vertices of the dual programme as combinations of coefficients, (L + 2) x (K + L).

    Multipliers a+, a- of the two rows of each change must cancel all effects but their weighted
    sum, so a+ - a- is a multiple of the weights summed from the end. That leaves two vertices
    with the sum (either sign) and one for each pair a+ = a-, each scaled by its rows' errors.
    """
    sd = np.sqrt(np.einsum("stj,jk,stk->st", rows, given.covariance, rows))
    later = np.cumsum(weights[::-1])[::-1]
    out = []
    for part in (later, -later):
        gamma = np.stack([np.maximum(part, 0), np.maximum(-part, 0)])
        out.append(np.einsum("st,stk->k", gamma, rows) / float((gamma * sd).sum()))
    out += [(rows[0, t] + rows[1, t]) / float(sd[:, t].sum()) for t in range(len(weights))]
    return np.stack(out)


def _change_before(leads: int, lags: int, at: int, sign: float) -> Floats:
    """The `at`-th change before adoption, delta_{at+1} - delta_at, the base being 0."""
    row = np.zeros(leads + lags)
    row[at] = -sign
    if at + 1 < leads:
        row[at + 1] = sign
    return row


def _single_moments(leads: int, m: float, at: int, sign: float) -> Floats:
    """All inequalities, those before adoption too, where one effect leaves no nuisance."""
    steps = np.zeros((leads + 1, leads + 1))
    for t in range(leads):
        steps[t] = _change_before(leads, 1, t, 1.0)
    steps[leads, leads] = 1.0
    bound = np.outer(np.r_[np.ones(leads), m], _change_before(leads, 1, at, sign))
    rows = np.vstack([steps - bound, -steps - bound])
    return rows[(rows**2).sum(axis=1) > 1e-10]


@dataclass(frozen=True)
class _Test:
    """One of the tests whose acceptance regions are joined; g(theta) = value - theta x slope."""

    value: Floats
    slope: Floats
    covariance: Floats
    critical: float

    def rejects(self, theta: Floats, size: float) -> np.ndarray:
        """Whether the hybrid (or, without critical value, conditional) test rejects each theta."""
        g = self.value[None, :] - theta[:, None] * self.slope[None, :]
        best = g.argmax(axis=1)
        top = g[np.arange(len(theta)), best]
        variance = np.diag(self.covariance)[best]
        safe = np.where(variance > 0, variance, 1.0)
        share = self.covariance[best] / safe[:, None]
        # Where the winning vertex stays the winner, the rest of the data held fixed.
        rest = g - share * top[:, None]
        slack = 1.0 - share
        edge = np.divide(rest, slack, out=np.zeros_like(rest), where=np.abs(slack) > 1e-12)
        low = np.where(slack > 1e-12, edge, -np.inf).max(axis=1)
        high = np.where(slack < -1e-12, edge, np.inf).min(axis=1)
        high = np.minimum(high, self.critical)
        sd = np.sqrt(safe)
        tail = _upper_share(top / sd, low / sd, high / sd)
        inside = (low <= top) & (top <= high)
        conditional = np.where(variance > 1e-20, inside & (tail < size), True) & (top > 0)
        return (top > self.critical) | conditional


def _upper_share(x: Floats, low: Floats, high: Floats) -> Floats:
    """P(Z > x | low < Z < high) for a standard normal, in logarithms: tails lie far out."""
    from scipy.special import log_ndtr

    # Mirrored where the interval lies above 0, so that logarithms of small numbers are exact.
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    c = np.where(flip, -x, x)

    def between(left: Floats, right: Floats) -> Floats:
        first, second = log_ndtr(left), log_ndtr(right)
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.where(np.isneginf(first), -np.inf, first - second)
            return np.asarray(second + np.log1p(-np.exp(np.minimum(gap, 0.0))))

    part = np.where(flip, between(a, c), between(c, b))
    with np.errstate(invalid="ignore"):
        share = np.exp(part - between(a, b))
    return np.where(np.isnan(share), 1.0, share)


def _tests(
    given: Coefficients, weights: Floats, m: float, kappa: float, noise: Floats
) -> list[_Test]:
    leads, lags = given.leads, given.lags
    out = []
    for at in range(leads):
        for sign in (1.0, -1.0):
            if lags == 1:
                rows = _single_moments(leads, m, at, sign)
                rows = (
                    rows / np.sqrt(np.einsum("ij,jk,ik->i", rows, given.covariance, rows))[:, None]
                )
                slope = rows[:, leads] / weights[0]
            else:
                rows = _vertices(given, weights, _inequalities(given, m, at, sign))
                slope = np.zeros(len(rows))
                slope[:2] = rows[:2, leads:] @ weights / (weights @ weights)
            covariance = rows @ given.covariance @ rows.T
            critical = math.inf
            if kappa > 0:
                critical = float(np.quantile((noise @ rows.T).max(axis=1), 1 - kappa))
            out.append(_Test(rows @ given.beta, slope, covariance, critical))
    return out


def _noise(given: Coefficients, seed: int) -> Floats:
    values, vectors = np.linalg.eigh(given.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(np.random.default_rng(seed).standard_normal((DRAWS, len(values))) @ root.T)


def relative_magnitudes(
    given: Coefficients,
    m: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0),
    *,
    weights: Sequence[float] | None = None,
    level: float = 0.95,
    method: Literal["hybrid", "conditional"] = "hybrid",
    limit: float = 10.0,
    seed: int = 0,
) -> Sensitivity:
    """Bounds where changes after adoption are at most `m` times the largest one before.

    Parameters
    ----------
    m : sequence of float
        Multiples; 1 allows departures as bad, from one period to the next, as any before.
    weights : sequence of float, optional
        Of the effects after the base; default the first alone.
    method : {"hybrid", "conditional"}
        HonestDiD's C-LF (the first stage takes a tenth of alpha) and Conditional.
    limit : float
        Where to stop looking for the breakdown value.
    seed : int
        For the least-favourable critical value.

    Notes
    -----
    Interval: from the lowest to the highest value not rejected by every one of the 2K tests
    (which change before adoption is the largest, and its sign). With one effect after the base
    all inequalities are used, with more only those after adoption, as HonestDiD does.

    Raises
    ------
    FrameError
        A negative `m` or an unknown method.
    """
    if min(m, default=0.0) < 0 or method not in ("hybrid", "conditional"):
        raise FrameError(
            f"m must not be negative and method hybrid or conditional: {m}, {method!r}"
        )
    chosen = given.weights(weights)
    alpha = 1 - level
    kappa = alpha / 10 if method == "hybrid" else 0.0
    size = (alpha - kappa) / (1 - kappa)
    noise = _noise(given, seed)

    def accepts(multiple: float) -> Callable[[Floats], np.ndarray]:
        tests = _tests(given, chosen, multiple, kappa, noise)

        def kept(theta: Floats) -> np.ndarray:
            rejected = np.ones(len(theta), dtype=bool)
            for test in tests:
                rejected &= test.rejects(theta, size)
                if not rejected.any():
                    break  # one test that does not reject is enough
            return ~rejected

        return kept

    original = normal_interval(given, chosen, level)
    bounds = tuple(Bound(float(v), *_ends(accepts(float(v)), given, chosen, float(v))) for v in m)
    zero = np.zeros(1)
    breakdown = breakdown_value(lambda v: bool(accepts(v)(zero)[0]), limit)
    estimate = float(chosen @ given.beta[given.leads :])
    return Sensitivity("relative magnitudes", bounds, breakdown, limit, estimate, original, level)


def _ends(
    accepts: Callable[[Floats], np.ndarray], given: Coefficients, weights: Floats, m: float
) -> tuple[float, float]:
    """Lowest and highest accepted value: a grid wide enough, then halving at both ends."""
    post = slice(given.leads, None)
    centre = float(weights @ given.beta[post])
    sd = math.sqrt(float(weights @ given.covariance[post, post] @ weights))
    before = np.diff(np.r_[given.beta[: given.leads], 0.0])
    reach = m * float(np.abs(np.cumsum(weights[::-1])).sum())
    spread = np.sqrt(np.diag(given.covariance)[: given.leads].max()) * 2
    half = 8 * sd + reach * (np.abs(before).max() + 6 * spread)
    grid = np.linspace(centre - half, centre + half, GRID + 1)
    kept = np.flatnonzero(accepts(grid))
    if not len(kept):
        return math.nan, math.nan

    def refine(inside: float, outside: float) -> float:
        for _ in range(40):
            middle = (inside + outside) / 2
            if accepts(np.array([middle]))[0]:
                inside = middle
            else:
                outside = middle
        return inside

    step = float(grid[1] - grid[0])
    first, last = float(grid[kept[0]]), float(grid[kept[-1]])
    return refine(first, first - step), refine(last, last + step)
