"""What a test of pre-trends could have seen, and what it rules out.

Power, and what passing the test says: Roth 2022 ("Pretest with caution"); conventions of R's
pretrends: the test looks at each lead alone (normal, two-sided) and passes if none stands out.
Equivalence of pre-trends: Dette and Schumann 2024 ("Testing for equivalence of pre-trends in
difference-in-differences estimation").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .departures import Coefficients
from .frames import Floats, FrameError


@dataclass(frozen=True)
class PretrendPower:
    """A hypothesised departure, and the test of pre-trends against it.

    Attributes
    ----------
    departure : array, K + L
        Leads first; the base is 0.
    slope : float
        If the departure is linear, per period; else NaN.
    power : float
        Probability that some lead stands out.
    bayes_factor : float
        Probability of passing with the departure over that under parallel trends: how far
        passing should move a reader between the two.
    likelihood_ratio : float
        Density of the leads found with the departure over that under parallel trends.
    mean_if_passed : array, K + L
        Expected coefficients, given that the test is passed, if there is no effect.
    bias, bias_if_passed : float
        What the departure adds to the weighted effect; the same given that the test is passed.
    """

    departure: Floats
    slope: float
    power: float
    bayes_factor: float
    likelihood_ratio: float
    mean_if_passed: Floats
    bias: float
    bias_if_passed: float


#: Fixed points for the integrals over boxes; their error is about 1e-5.
_SEED, _POINTS = 20, 50_000


def _box(mean: Floats, covariance: Floats, edge: Floats) -> float:
    """P(|x| <= edge) for a normal vector."""
    from scipy.stats import multivariate_normal

    if not len(mean):
        return 1.0
    value = multivariate_normal.cdf(
        edge,
        mean=mean,
        cov=covariance,
        lower_limit=-edge,
        allow_singular=True,
        maxpts=_POINTS,
        abseps=1e-7,
        releps=1e-7,
        rng=np.random.default_rng(_SEED),
    )
    return float(value)


def _edge(covariance: Floats, alpha: float) -> Floats:
    from scipy.stats import norm

    return np.asarray(norm.ppf(1 - alpha / 2) * np.sqrt(np.diag(covariance)))


def _passed_mean(mean: Floats, covariance: Floats, edge: Floats, chance: float) -> Floats:
    """E[x given |x| <= edge]: Tallis 1961, by densities at the faces of the box."""
    from scipy.stats import norm

    pull = np.zeros(len(mean))
    for j in range(len(mean)):
        rest = np.arange(len(mean)) != j
        variance = covariance[j, j]
        slope = covariance[rest, j] / variance
        inner = covariance[np.ix_(rest, rest)] - np.outer(slope, slope) * variance
        for face, sign in ((-edge[j], 1.0), (edge[j], -1.0)):
            there = mean[rest] + slope * (face - mean[j])
            density = norm.pdf(face, mean[j], math.sqrt(variance))
            pull[j] += sign * density * _box(there, inner, edge[rest])
    return np.asarray(mean + covariance @ pull / chance)


def pretrend_power(
    given: Coefficients,
    departure: Sequence[float] | Floats | float,
    *,
    weights: Sequence[float] | None = None,
    alpha: float = 0.05,
) -> PretrendPower:
    """Power against a departure, and what the effect would look like if it were missed.

    Parameters
    ----------
    departure : float or array, K + L
        A slope per period (through 0 at the base), or values at leads and effects.
    weights : sequence of float, optional
        Of the effects; default the first alone.

    Raises
    ------
    FrameError
        A departure of another length.
    """
    slope = float("nan")
    time = np.r_[np.arange(-given.leads, 0), np.arange(1, given.lags + 1)].astype(float)
    if np.ndim(departure) == 0:
        slope = float(np.asarray(departure))
        shape = slope * time
    else:
        shape = np.asarray(departure, float)
    if len(shape) != len(given.beta):
        raise FrameError(f"a departure needs {len(given.beta)} values, not {len(shape)}")
    chosen = given.weights(weights)
    pre, post = slice(0, given.leads), slice(given.leads, None)
    sigma = given.covariance[pre, pre]
    edge = _edge(sigma, alpha)
    passed = _box(shape[pre], sigma, edge)
    flat = _box(np.zeros(given.leads), sigma, edge)
    inverse = np.linalg.pinv(sigma, hermitian=True)
    beta = given.beta[pre]
    distance = (beta - shape[pre]) @ inverse @ (beta - shape[pre]) - beta @ inverse @ beta
    mean = np.full(len(shape), np.nan)
    if passed > 1e-12:
        mean[pre] = _passed_mean(shape[pre], sigma, edge, passed)
        moved = given.covariance[post, pre] @ inverse @ (mean[pre] - shape[pre])
        mean[post] = shape[post] + moved
    return PretrendPower(
        departure=shape,
        slope=slope,
        power=1 - passed,
        bayes_factor=passed / flat,
        likelihood_ratio=math.exp(-float(distance) / 2),
        mean_if_passed=mean,
        bias=float(chosen @ shape[post]),
        bias_if_passed=float(chosen @ mean[post]),
    )


def slope_for_power(given: Coefficients, power: float, *, alpha: float = 0.05) -> float:
    """The linear departure per period that the test finds with probability `power`.

    Raises
    ------
    FrameError
        `power` is not above what the test finds under parallel trends, or not below 1.
    """
    from scipy.optimize import brentq

    sigma = given.covariance[: given.leads, : given.leads]
    edge = _edge(sigma, alpha)
    time = np.arange(-given.leads, 0).astype(float)

    def gap(slope: float) -> float:
        return 1 - _box(slope * time, sigma, edge) - power

    if not (gap(0.0) < 0 and power < 1):
        raise FrameError(
            f"power must lie between {1 - _box(0 * time, sigma, edge):.3f} (the test's size) and "
            f"1, not {power}"
        )
    high = float(np.sqrt(sigma[-1, -1]))
    while gap(high) < 0:
        high *= 2
    return float(brentq(gap, 0.0, high, xtol=1e-9 * high, rtol=1e-8))


@dataclass(frozen=True)
class PretrendEquivalence:
    """The smallest bounds on pre-trends that the data support. Units: the outcome's own.

    Attributes
    ----------
    largest : float
        Every lead is below this in absolute value (intersection-union test of all leads).
    mean : float
        The leads' mean is.
    leads : array, K
        Each lead is, alone.
    alpha : float
    """

    largest: float
    mean: float
    leads: Floats
    alpha: float


def smallest_bound(estimate: float, se: float, alpha: float = 0.05) -> float:
    """Smallest bound for which equivalence is shown: P(|N(bound, se^2)| <= |estimate|) = alpha."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    size = abs(estimate) / se

    def gap(bound: float) -> float:
        return float(norm.cdf(size - bound) - norm.cdf(-size - bound)) - alpha

    if gap(0.0) <= 0:
        return 0.0
    return float(brentq(gap, 0.0, size + 40, xtol=1e-12)) * se


def pretrend_equivalence(given: Coefficients, *, alpha: float = 0.05) -> PretrendEquivalence:
    """Equivalence of pre-trends, read backwards: which bounds the data support at `alpha`.

    Notes
    -----
    A lead's bound is the smallest one whose folded normal has its `alpha` quantile at the
    estimate. All leads are below the largest such bound (no correction is needed, since every
    test must reject); the mean uses the leads' covariance.
    """
    k = given.leads
    beta, sigma = given.beta[:k], given.covariance[:k, :k]
    each = np.array(
        [smallest_bound(b, s, alpha) for b, s in zip(beta, np.sqrt(np.diag(sigma)), strict=True)]
    )
    mean = smallest_bound(float(beta.mean()), math.sqrt(float(sigma.mean())), alpha)
    return PretrendEquivalence(float(each.max()), mean, each, alpha)
