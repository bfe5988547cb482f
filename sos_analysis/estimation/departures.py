"""Event-study coefficients, and what bounds on departures from parallel trends are made of.

Rambachan and Roth 2023 ("A more credible approach to parallel trends"): departures delta are 0 at
the base and bounded by what was seen before adoption (`relative_magnitudes`) or in how fast their
slope may change (`smoothness`). Conventions as in R's HonestDiD; all acts on coefficients and
their covariance, with normal approximations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .frames import Floats, FrameError

if TYPE_CHECKING:
    from .event_study import EventStudy


@dataclass(frozen=True)
class Coefficients:
    """Event-study coefficients around a base, periods one apart.

    Attributes
    ----------
    beta : array, K + L
        K leads in time order (the last is one period before the base), then L effects (the first
        is one after). The base itself, 0, is left out.
    covariance : array
    leads : int
        K.
    """

    beta: Floats
    covariance: Floats
    leads: int

    def __post_init__(self) -> None:
        size = len(self.beta)
        if self.covariance.shape != (size, size) or not 0 < self.leads < size:
            raise FrameError(
                f"{size} coefficients need a {size} x {size} covariance and leads on both sides of "
                f"the base; there: {self.covariance.shape}, {self.leads} leads"
            )
        if not (np.isfinite(self.beta).all() and np.isfinite(self.covariance).all()):
            raise FrameError("a coefficient or its covariance is missing; choose fewer periods")

    @property
    def lags(self) -> int:
        """Number of effects after the base."""
        return len(self.beta) - self.leads

    def weights(self, weights: Sequence[float] | None) -> Floats:
        """Weights of the effect of interest, by default the first effect."""
        if weights is None:
            return np.eye(self.lags)[0]
        out = np.asarray(weights, float)
        if len(out) != self.lags or not out.any():
            raise FrameError(f"weights must be {self.lags} numbers, not all 0")
        return out


def coefficients_of(
    times: Sequence[float] | Floats,
    att: Floats,
    covariance: Floats,
    leads: int,
    lags: int,
    *,
    base: float = -1.0,
    df: int | None = None,
) -> Coefficients:
    """The `leads` and `lags` next to the base, from any event study with one base for all.

    Parameters
    ----------
    times, att, covariance : arrays, T, T and T x T
        Event times one apart, with or without the base. Of group-time effects, averages by event
        time with a universal base (a varying one bounds something else).
    df : int, optional
        Multiplies the covariance by (t_{0.975, df} / z_{0.975})^2, so that normal 95 % intervals
        are those of t(df). Ours: the methods know normal errors alone, and nine treated clusters
        are few.

    Raises
    ------
    FrameError
        Periods that are not there or without an error.
    """
    from scipy import stats

    there = [float(k) for k in times]
    wanted = [base + k for k in range(-leads, lags + 1) if k != 0]
    lost = [k for k in wanted if k not in there]
    if lost:
        raise FrameError(f"the event study has no coefficient at {lost}; there: {there}")
    rows = [there.index(k) for k in wanted]
    scale = 1.0 if df is None else float((stats.t.ppf(0.975, df) / stats.norm.ppf(0.975)) ** 2)
    return Coefficients(np.asarray(att)[rows], covariance[np.ix_(rows, rows)] * scale, leads)


def coefficients(
    study: EventStudy, leads: int, lags: int, *, df: int | None = None
) -> Coefficients:
    """The `leads` and `lags` next to the base of an event study; see `coefficients_of`."""
    rows = [i for i, k in enumerate(study.times) if k != study.base]
    times = [float(study.times[i]) for i in rows]
    return coefficients_of(
        times, study.att[rows], study.covariance, leads, lags, base=study.base, df=df
    )


@dataclass(frozen=True)
class Bound:
    """A confidence interval that allows for departures of size `m`."""

    m: float
    low: float
    high: float


@dataclass(frozen=True)
class Sensitivity:
    """Intervals for growing departures, and where they first reach 0.

    Attributes
    ----------
    restriction : str
        "relative magnitudes" or "smoothness".
    bounds : tuple of Bound
    breakdown : float
        Smallest departure with which 0 is not ruled out: 0 if it is not ruled out even without
        departures, inf if beyond `limit`.
    limit : float
        The largest departure looked at for the breakdown value.
    estimate, original : float, (float, float)
        Weighted effect and its interval under parallel trends.
    """

    restriction: str
    bounds: tuple[Bound, ...]
    breakdown: float
    limit: float
    estimate: float
    original: tuple[float, float]
    level: float


def normal_interval(given: Coefficients, weights: Floats, level: float) -> tuple[float, float]:
    """The weighted effect's interval under parallel trends."""
    from scipy import stats

    post = slice(given.leads, None)
    estimate = float(weights @ given.beta[post])
    sd = math.sqrt(float(weights @ given.covariance[post, post] @ weights))
    z = float(stats.norm.ppf((1 + level) / 2))
    return estimate - z * sd, estimate + z * sd


def breakdown_value(holds_zero: Callable[[float], bool], limit: float) -> float:
    """Smallest size at which 0 is not ruled out, to a thousandth of `limit`."""
    if holds_zero(0.0):
        return 0.0
    if not holds_zero(limit):
        return math.inf
    low, high = 0.0, limit
    while high - low > limit * 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if holds_zero(middle) else (middle, high)
    return high
