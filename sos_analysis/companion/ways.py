"""All ways to compare on public statistics, judged as one.

Every way of the grid is two-way fixed effects on authority-years, so its estimate is a fixed linear
map of the authorities' series. One exchange of series between authorities is carried out in every
way at once, and asks how often the middle estimate would lie as far from zero if it did not matter
who the pilots are (Simonsohn, Simmons and Nelson 2020). Treatment, membership of comparison groups,
years and weights stay where they are; the figures move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sos_analysis.companion.types import COMPUTED, JointCurve
from sos_analysis.estimation.frames import Floats, FrameError, Ints
from sos_analysis.estimation.inversion import TIE
from sos_analysis.estimation.permutation import arrangements
from sos_analysis.estimation.specifications import ALPHA, effect_map, fill_places

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Rows:
    """Authority-years of one way, as `specifications.Rows`: each authority is a slot of its own."""

    role: Ints
    place: Ints
    year: Ints
    treated: Floats
    post: Floats
    weight: Floats

    @property
    def slot(self) -> Ints:
        return self.role

    @property
    def block(self) -> Ints:
        return self.place


def joint_curve(
    panels: Sequence[pd.DataFrame], *, outcome: str, wave: int, draws: int, seed: int
) -> JointCurve:
    """Judge several ways to compare the same outcome as one.

    Parameters
    ----------
    panels : sequence of DataFrame
        What `panel` gives for each way, the main one first. The same authority-year has the same
        figure in all of them.
    draws : int
        Exchanges besides the data.

    Raises
    ------
    FrameError
        There is no way, or one in which the effect is not identified.
    """
    if not panels:
        raise FrameError("no way to compare is given")
    given = [p.dropna(subset=["y"]) for p in panels]
    las = sorted({la for p in given for la in p["la"]})
    years = sorted({int(y) for p in given for y in p["year"]})
    held = np.full((len(las), len(years)), np.nan)
    maps = np.zeros((len(given), len(las), len(years)))
    for i, frame in enumerate(given):
        la, year = np.searchsorted(las, frame["la"]), np.searchsorted(years, frame["year"])
        held[la, year] = frame["y"]
        rows = _Rows(
            la,
            year,
            year,
            frame["pilot"].to_numpy(float),
            frame["post"].to_numpy(float),
            frame["weight"].to_numpy(float),
        )
        maps[i, la, year] = effect_map(rows, "slot")
    there = np.isfinite(held)
    # Years an authority has no figure for are filled in; only exchanged series ever use them.
    series = fill_places(np.where(there, held, 0.0)[None], there.astype(float))[0]
    fillings, exact = arrangements(np.zeros(len(las), dtype=np.int64), draws, seed)
    if not exact:
        fillings = np.vstack([np.arange(len(las))[None, :], fillings])
    estimate = exchanged(maps, series, fillings)
    size = np.abs(estimate)
    p = np.mean(size >= size[0] * (1 - TIE), axis=0)
    middle = np.abs(np.median(estimate, axis=1))
    same = np.sign(estimate[0]) == np.sign(estimate[0, 0])
    return JointCurve(
        outcome=outcome,
        wave=wave,
        source=COMPUTED,
        ways=len(given),
        same=int(same.sum()),
        told=int((same & (p <= ALPHA)).sum()),
        low=float(estimate[0].min()),
        median=float(np.median(estimate[0])),
        high=float(estimate[0].max()),
        p=float(np.mean(middle >= middle[0] * (1 - TIE))),
        authorities=len(las),
        draws=len(fillings) - 1,
    )


def exchanged(maps: Floats, series: Floats, fillings: Ints) -> Floats:
    """Estimates of every way under every exchange.

    Parameters
    ----------
    maps : array, W x L x T
        What a way makes of the figure of each authority's place in each year.
    series : array, L x T
    fillings : array, B x L
        Whose series takes each authority's place.

    Returns
    -------
    array, B x W
    """
    places = np.arange(series.shape[0])
    moved = [(one @ series.T)[places, fillings].sum(axis=1) for one in maps]
    return np.stack(moved, axis=1)
