"""A null result comes with a ruler: what could have been seen, and what is ruled out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .estimate import Interval
from .frames import FrameError


@dataclass(frozen=True)
class MinimumDetectable:
    """Smallest true effect found with the given power. Units: the outcome's own."""

    effect: float
    se: float
    df: int
    power: float
    alpha: float


def mde(se: float, df: int, power: float = 0.8, alpha: float = 0.05) -> MinimumDetectable:
    """Minimum detectable effect (t_{1-alpha/2} + t_{power}) x SE, Bloom 1995 with t(df).

    Parameters
    ----------
    se : float
        CRV3 standard error. NaN gives NaN.
    df : int
        Treated clusters less one; below 1 gives NaN.

    Raises
    ------
    FrameError
        `power` or `alpha` is not between 0 and 1.
    """
    from scipy import stats

    if not (0 < power < 1 and 0 < alpha < 1):
        raise FrameError(f"power and alpha must lie between 0 and 1, not {power} and {alpha}")
    if df < 1 or not math.isfinite(se):
        return MinimumDetectable(float("nan"), se, df, power, alpha)
    multiple = float(stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df))
    return MinimumDetectable(multiple * se, se, df, power, alpha)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests at 5 % through the 90 % interval.

    Attributes
    ----------
    equivalent : bool
        The whole interval lies inside (-margin, margin).
    margin : float
    smallest_margin : float
        The smallest margin for which the data would show equivalence.
    """

    equivalent: bool
    interval: Interval
    margin: float
    smallest_margin: float


def equivalence(ci90: Interval, margin: float) -> Equivalence:
    """Equivalence test of an effect against a margin declared beforehand (Schuirmann 1987).

    Raises
    ------
    FrameError
        The margin is not positive.
    """
    if not margin > 0:
        raise FrameError(f"the margin must be above 0, not {margin}")
    low, high = ci90
    if math.isnan(low) or math.isnan(high):
        return Equivalence(False, ci90, margin, float("nan"))
    return Equivalence(-margin < low and high < margin, ci90, margin, max(abs(low), abs(high)))
