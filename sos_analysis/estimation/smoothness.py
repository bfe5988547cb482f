"""Bounds that let the slope of departures change by so much from period to period.

Rambachan and Roth 2023, smoothness restriction: the shortest interval of fixed length around an
affine estimator (Armstrong and Kolesar 2018), by convex optimisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .departures import Bound, Coefficients, Sensitivity, breakdown_value, normal_interval
from .frames import Floats, FrameError


def folded_quantile(level: float, mean: float) -> float:
    """The `level` quantile of |N(mean, 1)|, by Newton's method."""
    from scipy.special import ndtri

    mean = abs(mean)
    c = max(mean + float(ndtri(level)), float(ndtri((1 + level) / 2)))
    for _ in range(100):
        gap = _phi(c - mean) - _phi(-c - mean) - level
        step = gap / (_density(c - mean) + _density(c + mean))
        c -= step
        if abs(step) < 1e-14 * c:
            break
    return c


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _second_differences(leads: int, lags: int) -> Floats:
    """Coefficients of changes of slope: delta = slope x time + this @ changes, (K + L) x (K+L-1).

    The slope is that from the base to the first effect. A change of slope at the base or before
    it moves leads, one after the base effects.
    """
    time = np.r_[np.arange(-leads, 0), np.arange(1, lags + 1)].astype(float)
    knots = np.arange(-leads + 1, lags)
    before = np.maximum(knots[None, :] - time[:, None], 0) * (knots <= 0)[None, :]
    after = np.maximum(time[:, None] - knots[None, :], 0) * (knots > 0)[None, :]
    return np.asarray(before + after)


def smoothness(
    given: Coefficients,
    m: Sequence[float] = (0.0,),
    *,
    weights: Sequence[float] | None = None,
    level: float = 0.95,
    limit: float | None = None,
) -> Sensitivity:
    """Bounds where the slope of departures changes by at most `m` from period to period.

    The optimal fixed-length interval around an affine estimator that is right for linear
    departures (Armstrong and Kolesar 2018); at m = 0 departures are linear.

    Parameters
    ----------
    m : sequence of float
        In units of the outcome per period squared.
    weights, level
        As in `relative_magnitudes`.
    limit : float, optional
        Where to stop looking for the breakdown value; default 20 standard errors.

    Notes
    -----
    Folded normal quantiles are exact (HonestDiD simulates them, hence differences up to 3e-5).

    Raises
    ------
    FrameError
        A negative `m`.
    """
    if min(m, default=0.0) < 0:
        raise FrameError(f"m must not be negative: {m}")
    chosen = given.weights(weights)
    original = normal_interval(given, chosen, level)
    if limit is None:
        limit = 20 * float(np.sqrt(np.diag(given.covariance)).max())

    def interval(size: float) -> tuple[float, float]:
        centre, half = _fixed_length(given, chosen, size, level)
        return centre - half, centre + half

    bounds = tuple(Bound(float(v), *interval(float(v))) for v in m)

    def holds_zero(size: float) -> bool:
        low, high = interval(size)
        return low <= 0 <= high

    breakdown = breakdown_value(holds_zero, limit)
    estimate = float(chosen @ given.beta[given.leads :])
    return Sensitivity("smoothness", bounds, breakdown, limit, estimate, original, level)


def _fixed_length(
    given: Coefficients, weights: Floats, m: float, level: float
) -> tuple[float, float]:
    """Centre and half-length of the shortest interval, by convex optimisation over lead weights."""
    from scipy.optimize import minimize

    leads, lags = given.leads, given.lags
    time = np.r_[np.arange(-leads, 0), np.arange(1, lags + 1)].astype(float)
    sigma = given.covariance
    post = slice(leads, None)
    unit = math.sqrt(float(weights @ sigma[post, post] @ weights))
    sigma = sigma / unit**2
    # Lead weights v = v0 + N z keep the estimator free of linear departures.
    need = -float(weights @ time[post]) / float(time[:leads] @ time[:leads])
    v0 = time[:leads] * need
    basis = np.linalg.svd(time[None, :leads])[2][1:].T if leads > 1 else np.empty((1, 0))
    bend = _second_differences(leads, lags)
    linear, constant = bend[:leads].T @ basis, bend[:leads].T @ v0 + bend[post].T @ weights

    def half(bias: float, sd: float) -> float:
        return sd * folded_quantile(level, m * bias / unit / sd)

    def spread(z: Floats) -> tuple[float, Floats]:
        full = np.r_[v0 + basis @ z, weights]
        moved = sigma @ full
        sd = math.sqrt(float(full @ moved))
        return sd, (basis.T @ moved[:leads]) / sd

    q = basis.shape[1]
    top = basis.T @ sigma[:leads, :leads] @ basis
    z = np.linalg.solve(
        top, -basis.T @ (sigma[:leads, :leads] @ v0 + sigma[:leads, post] @ weights)
    )
    best = np.r_[v0 + basis @ z, weights]
    size = half(float(np.abs(constant + linear @ z).sum()), spread(z)[0])
    if m > 0 and q:
        rows = len(constant)

        def objective(point: Floats) -> tuple[float, Floats]:
            sd, slope = spread(point[:q])
            bias = float(point[q:].sum())
            t = m * bias / unit / sd
            c = folded_quantile(level, t)
            high, low = _density(c - t), _density(c + t)
            rate = (high - low) / (high + low)
            by_sd = (c - rate * t) * slope
            return sd * c, np.r_[by_sd, np.full(rows, rate * m / unit)]

        sides = np.vstack([np.hstack([-linear, np.eye(rows)]), np.hstack([linear, np.eye(rows)])])
        offset = np.r_[-constant, constant]
        least = np.zeros(leads)
        least[-1] = float(
            weights @ time[post]
        )  # the change next to the base carries on: least bias
        for start in (z, basis.T @ (least - v0)):
            point = np.r_[start, np.abs(constant + linear @ start)]
            found = minimize(
                objective,
                point,
                jac=True,
                method="SLSQP",
                constraints=[
                    {
                        "type": "ineq",
                        "fun": lambda p: sides @ p + offset,
                        "jac": lambda p: sides,
                    }
                ],
                options={"maxiter": 500, "ftol": 1e-13},
            )
            for candidate in (start, found.x[:q]):
                length = half(
                    float(np.abs(constant + linear @ candidate).sum()), spread(candidate)[0]
                )
                if length < size:
                    size, best = length, np.r_[v0 + basis @ candidate, weights]
    return float(best @ given.beta), size * unit
