"""Randomisation inference for any estimator of staggered effects.

Whole adoption dates are dealt anew to units, and estimate and error recomputed. The studentised
statistic is the one to read (MacKinnon and Webb 2020; Wu and Ding 2021): the plain one rejects
too often where treated units vary more than others. For the two-way fixed effects coefficient
`permutation.ri_t` does the same a thousand times faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Floats, FrameError, Ints


@dataclass(frozen=True)
class DatePermutation:
    """Where an estimate stands among those with dates dealt anew.

    Attributes
    ----------
    att, se : float
    p_t, p_att : float
        (1 + number at least as extreme) / (1 + draws), by |att / se| and by |att|.
    draws : int
    failed : int
        Draws without an estimate; they count as extreme.
    """

    att: float
    se: float
    p_t: float
    p_att: float
    draws: int
    failed: int


def permute_dates(
    estimate: Callable[[Ints], tuple[float, float]],
    units: int,
    *,
    draws: int = 999,
    seed: int,
    strata: Sequence[Any] | None = None,
) -> DatePermutation:
    """Deal the units' dates anew `draws` times.

    Parameters
    ----------
    estimate : callable
        Takes positions (array, U): unit i gets the dates of unit positions[i]; gives estimate and
        standard error. For instance::

            def estimate(dealt):
                e = callaway_santanna(y, time, first[dealt][unit], unit=unit)
                a = aggregate(e)
                return a.overall, a.overall_se

    units : int
        U.
    strata : sequence, length U, optional
        Deal inside strata only.

    Raises
    ------
    FrameError
        The data themselves give no estimate with an error, or `draws` is below 1.
    """
    if draws < 1:
        raise FrameError(f"draws must be 1 or more, not {draws}")
    att, se = estimate(np.arange(units))
    if not (np.isfinite(att) and se > 0):
        raise FrameError("the data give no estimate with a standard error to permute")
    layers = np.zeros(units) if strata is None else np.unique(strata, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    found = np.full((draws, 2), np.inf)
    failed = 0
    for b in range(draws):
        dealt = np.arange(units)
        for layer in np.unique(layers):
            rows = np.flatnonzero(layers == layer)
            dealt[rows] = rng.permutation(rows)
        try:
            value, error = estimate(dealt)
        except FrameError:
            failed += 1
            continue
        if np.isfinite(value) and error > 0:
            found[b] = abs(value / error), abs(value)
        else:
            failed += 1
    # Equal up to rounding counts as at least as extreme.
    seen: Floats = np.array([abs(att / se), abs(att)]) * (1 - 1e-9)
    p_t, p_att = (1 + (found >= seen).sum(axis=0)) / (1 + draws)
    return DatePermutation(float(att), float(se), float(p_t), float(p_att), draws, failed)
