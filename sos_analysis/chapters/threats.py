"""Threats to one estimate that are cheap to look at: one authority, a false date, other trends.

Used by the question's own chapter and by the one on robustness. Internal units; what a thin sample
does not allow is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sos_analysis import checks as check
from sos_analysis.checks import CheckResult
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.estimation import did
from sos_analysis.estimation.frames import CellTable, FrameError
from sos_analysis.estimation.grams import Grams, crv3, fit, leave_one_out
from sos_analysis.estimation.inference import t_test
from sos_analysis.estimation.permutation import Series, slot_design, slot_joint
from sos_analysis.estimation.placebos import placebo_table
from sos_analysis.estimation.sensitivity import (
    coefficients,
    pretrend_equivalence,
    relative_magnitudes,
    slope_for_power,
    smoothness,
)

if TYPE_CHECKING:
    from sos_analysis.estimation.estimate import Estimate, Interval
    from sos_analysis.estimation.event_study import EventStudy

T = TypeVar("T")

#: Years before embedding that play the part of 'after' in the placebo date.
PLACEBO_YEARS = 2
#: Draws of the placebos' permutation tests: enough for two decimals.
PLACEBO_DRAWS = 1999
#: Years around the base that the bounds use: further ones are seen in few pilots.
MOST_LEADS, MOST_LAGS = 4, 2
#: Departures, as multiples of the largest change before embedding.
MULTIPLES = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Small:
    """One estimate with its interval by t (pilots - 1), and p where a permutation gave it."""

    label: str
    value: float
    interval: Interval
    p: float
    pilots: int


@dataclass(frozen=True)
class Trends:
    """What the event study can say about parallel trends.

    Attributes
    ----------
    estimate, interval : mean effect of the first years after embedding against the last year
        before it, with trends parallel.
    bounds : (multiple, low, high) for departures so many times the largest change before.
    breakdown : smallest multiple with which 0 is not ruled out (0: not even without departures).
    breakdown_slope : the same for a change of slope a year.
    missed : the drift a year that the test of pre-trends would miss half the time.
    largest : every early difference is shown (5 %) to be below this.
    leads, lags : years used.
    """

    estimate: float
    interval: Interval
    bounds: tuple[tuple[float, float, float], ...]
    breakdown: float
    breakdown_slope: float
    missed: float
    largest: float
    leads: int
    lags: int


@dataclass(frozen=True)
class Threats:
    """Leave-one-out estimates (no names), the placebo date and the bounds of one outcome."""

    grams: Grams
    without_pilot: tuple[float, ...]
    without_comparator: tuple[float, ...]
    placebo: Small | None
    trends: Trends | None


def threats(
    table: CellTable,
    placed: Series,
    study: EventStudy | None,
    *,
    draws: int,
    seed: int,
) -> Threats:
    """Everything that needs the sample's table and its event study alone."""
    grams = did.preferred_grams(table)
    left = leave_one_out(grams)[:, 0]
    pilot = np.isin(grams.clusters, table.treated_las)
    few = min(draws, PLACEBO_DRAWS)
    return Threats(
        grams=grams,
        without_pilot=tuple(float(v) for v in left[pilot] if np.isfinite(v)),
        without_comparator=tuple(float(v) for v in left[~pilot] if np.isfinite(v)),
        placebo=tried(lambda: _placebo_date(table, placed, few, seed)),
        trends=None if study is None else tried(lambda: _trends(study, seed)),
    )


def tried(make: Callable[[], T]) -> T | None:
    """The result, or None where the sample is too thin for this one check."""
    try:
        return make()
    except (FrameError, RecordsError, ParameterError):
        return None


def small(label: str, table: CellTable, placed: Series, draws: int, seed: int) -> Small:
    """The preferred estimate on a placebo's table.

    p is of the slot permutation of 'no effect': there is no own treatment to invert.
    """
    grams = did.preferred_grams(table)
    value, df = float(fit(grams).beta[0]), len(table.treated_las) - 1
    _, ends = t_test(value, float(np.sqrt(crv3(grams)[0, 0])), df)
    design = slot_design(table, placed)
    x = (design.treated * design.post)[:, None]
    p = slot_joint(design, x, tested=1, draws=draws, seed=seed)[1]
    return Small(label, value, ends, p, df + 1)


def _placebo_date(table: CellTable, placed: Series, draws: int, seed: int) -> Small:
    """The last years before embedding as if they were after it."""
    early = placebo_table(table, PLACEBO_YEARS)
    return small("Two years before the true date", early, placed, draws, seed)


def _trends(study: EventStudy, seed: int) -> Trends:
    """Bounds on the mean of the first years after, with as many years as are well seen."""
    known = {
        t
        for t, se, seen in zip(study.times, study.se, study.treated, strict=True)
        if t != study.base and math.isfinite(se) and seen > 1
    }
    leads = next(
        (k for k in range(1, MOST_LEADS + 1) if study.base - k not in known), 1 + MOST_LEADS
    )
    lags = next((k for k in range(1, MOST_LAGS + 1) if study.base + k not in known), 1 + MOST_LAGS)
    pilots = int(study.treated[study.times.index(study.base)])
    if leads < 3 or lags < 2 or pilots < 2:
        raise FrameError("two years before the base and one after it are needed for bounds")
    given = coefficients(study, leads - 1, lags - 1, df=pilots - 1)
    weights = [1 / given.lags] * given.lags
    multiples = relative_magnitudes(given, MULTIPLES, weights=weights, seed=seed)
    return Trends(
        estimate=multiples.estimate,
        interval=multiples.original,
        bounds=tuple((b.m, b.low, b.high) for b in multiples.bounds),
        breakdown=multiples.breakdown,
        breakdown_slope=smoothness(given, weights=weights).breakdown,
        missed=slope_for_power(given, 0.5),
        largest=pretrend_equivalence(given).largest,
        leads=given.leads,
        lags=given.lags,
    )


def threat_checks(
    found: Threats, e: Estimate, *, scale: float, unit: str, decimals: int, mid: float
) -> list[CheckResult]:
    """Each of them as a check, in the reader's unit; `mid`: the minimum important difference."""
    made: list[CheckResult] = []
    if len(found.without_pilot) > 1:
        half = scale * (e.ci[1] - e.ci[0]) / 2
        made.append(
            check.leave_one_out(
                scale * e.att,
                [scale * v for v in found.without_pilot],
                unit,
                decimals,
                half_width=half if math.isfinite(half) else None,
            )
        )
    date = found.placebo
    if date is not None and all(map(math.isfinite, (*date.interval, date.p))):
        low, high = (scale * v for v in date.interval)
        made.append(
            check.placebo_date(scale * date.value, low, high, date.p, unit, decimals, PLACEBO_YEARS)
        )
    trends = found.trends
    if trends is not None:
        # The estimate is a mean over the first years after: so far from the base on average.
        years = (trends.lags + 1) / 2
        made.append(check.pre_trend_power(scale * trends.missed, years, mid, unit, decimals))
        made.append(
            check.breakdown(
                trends.breakdown, scale * trends.missed, unit, decimals, level=e.p_primary
            )
        )
    return made
