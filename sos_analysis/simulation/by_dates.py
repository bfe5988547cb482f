"""Estimators for staggered dates on many made-up data sets.

Callaway and Sant'Anna's and the imputation estimator are linear in outcomes where no covariate is
used, and so are their clusters' contributions to the error. So each is run once for every row of
the panel with a one in it, and from then on is a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sos_analysis.estimation.frames import Floats, Ints
from sos_analysis.estimation.staggered import aggregate, callaway_santanna, imputation

from .worlds import World


@dataclass(frozen=True)
class Panel:
    """Unit-year means: the rows estimators for staggered dates take (N).

    `maps` (N x T) turns a unit's sums by cell into the row's mean. `cohort` is the first year of
    full treatment all through, `start` the first with any, counted from 1; 0 and inf if never.
    """

    unit: Ints
    year: Ints
    cohort: Floats
    start: Floats
    n: Floats
    maps: Floats


def panel_of(world: World) -> Panel:
    """A world's unit-years with individuals."""
    years = int(world.year.max()) + 1
    which = (world.year[:, None] == np.arange(years)[None, :]).astype(float)
    n = world.n @ which
    full = (world.n * (world.exposure == 1)) @ which == n
    some = (world.n * (world.exposure > 0)) @ which > 0
    # Treated all through, from that year to the last.
    lasting = np.flip(np.logical_and.accumulate(np.flip(full, axis=1), axis=1), axis=1)
    cohort = np.where(lasting.any(axis=1), lasting.argmax(axis=1) + 1.0, 0.0)
    start = np.where(some.any(axis=1), some.argmax(axis=1) + 1.0, np.inf)
    # Some exposure but no whole year of it: neither treated nor untreated, so left out.
    clear = (cohort > 0) | np.isinf(start)
    unit, year = np.nonzero((n > 0) & clear[:, None])
    return Panel(
        unit,
        year + 1,
        cohort[unit],
        start[unit],
        n[unit, year],
        which.T[year] / n[unit, year][:, None],
    )


def _callaway(panel: Panel, y: Floats) -> tuple[float, Floats]:
    found = callaway_santanna(
        y,
        panel.year,
        panel.cohort,
        unit=panel.unit,
        start=panel.start,
        weight=panel.n,
        control="not-yet",
    )
    made = aggregate(found, "simple")
    return made.overall, made.influence[:, -1]


def _imputation(panel: Panel, y: Floats) -> tuple[float, Floats]:
    made = imputation(
        y,
        panel.year,
        panel.cohort,
        unit=panel.unit,
        start=panel.start,
        n=panel.n,
        weight=panel.n,
    )
    return made.overall, made.influence[:, -1]


ESTIMATORS: Mapping[str, Callable[[Panel, Floats], tuple[float, Floats]]] = {
    "callaway": _callaway,
    "imputation": _imputation,
}


class ByDates:
    """One of `ESTIMATORS` as a matrix on cells' sums."""

    def __init__(self, world: World, name: str) -> None:
        panel = panel_of(world)
        probes = [ESTIMATORS[name](panel, one) for one in np.eye(len(panel.unit))]
        rows = np.array([np.r_[estimate, influence] for estimate, influence in probes])
        # L x T x (1 + clusters): what a sum of one in a cell does.
        self.maps = np.zeros((*world.n.shape, rows.shape[1]))
        for row, unit in enumerate(panel.unit):
            self.maps[unit] += np.outer(panel.maps[row], rows[row])

    def run(self, y_sum: Floats) -> tuple[Floats, Floats]:
        """Estimates and standard errors (both R)."""
        found = np.einsum("rlt,ltk->rk", y_sum, self.maps, optimize=True)
        return found[:, 0], np.sqrt(np.square(found[:, 1:]).sum(axis=1))
