"""Any authority's events in any matched group's dates: what permuting slots needs.

A slot is an authority's place in a matched group. The permutation holds slots, dates, sharing and
weights fixed and changes which authority's series fills each; so every authority must be placed in
every group's dates, with the same donut and event time. Cells make that exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sos_analysis.cells import DONUT, Cells, placement
from sos_analysis.comparison.matching import Array
from sos_analysis.errors import ParameterError
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.comparison import MatchedSample
    from sos_analysis.study import Study


@dataclass(frozen=True)
class Series:
    """L authorities, S places (group x event time of the design), K slots (group x authority).

    Attributes
    ----------
    las : authority of each row. groups : ids, indexed by `place_group` and `slot_group`.
    place_group, place_time, place_post : (S) group, event time, phase of each place.
    n : (L, S) events of the authority that fall there, under the group's dates and donut.
    mean : (L, S) their mean outcome, less x'gamma if adjusted; NaN where n is 0.
    exposure : (L, S) mean share of its own treatment the authority had there: 0 before it began
        to embed, rising in line over its embedding period, 1 after; comparators 0; NaN where n
        is 0.
    slot_group, slot_la, slot_treated : (K) each slot's group, authority (row), and role.
    slot_n, slot_weight : (K, S) events and total regression weight of the slot in the sample,
        0 outside its own group.
    roles : authority -> its slots as (group id, treated).
    gamma : coefficients of the adjustment, 'covariate=level' (the commonest level is the base).
    """

    outcome: str
    las: tuple[str, ...]
    groups: tuple[str, ...]
    place_group: NDArray[np.int64]
    place_time: NDArray[np.int64]
    place_post: NDArray[np.bool_]
    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    exposure: NDArray[np.float64]
    slot_group: NDArray[np.int64]
    slot_la: NDArray[np.int64]
    slot_treated: NDArray[np.bool_]
    slot_n: NDArray[np.int64]
    slot_weight: NDArray[np.float64]
    roles: Mapping[str, tuple[tuple[str, bool], ...]]
    gamma: Mapping[str, float]


def place_all(
    cells: Cells, study: Study, outcome: str, sample: MatchedSample, adjust: Sequence[str]
) -> Series:
    """Place every authority of a sample in every place of its design (domain rule).

    Parameters
    ----------
    adjust : covariates whose linear part x'gamma is taken off the outcome, centred; gamma comes
        from one regression on their dummies with LA x year effects over all events, each once.

    Raises
    ------
    ParameterError : the cells do not carry a covariate of `adjust`.
    """
    present = set(pd.Categorical(cells.frame["la"]).remove_unused_categories().categories)
    las = tuple(sorted({la for g in sample.groups for la in (g.pilot, *g.comparators)} & present))
    code = pd.Categorical(cells.frame["la"]).set_categories(list(las)).codes
    frame = cells.frame[code >= 0]
    la = code[code >= 0].astype(np.int64)
    first, last = frame["first"].to_numpy(), frame["last"].to_numpy()
    n, y = frame["n"].to_numpy(np.int64), frame["y_sum"].to_numpy(float)
    year = cells.intervals["year"].to_numpy()[first]
    fitted, gamma = adjustment(frame, adjust, distinct([la, year])[1], n, y)

    at, number = distinct([la, first, last])
    count, total = (np.bincount(number, weights=v) for v in (n, y - n * fitted))
    la, first, last = la[at], first[at], last[at]
    exposed = count * exposure_by_interval(cells.intervals, study, outcome, las)[la, first]

    places = sample.frame[["group", "event_time", "post"]].drop_duplicates()
    places = places.sort_values(["group", "post", "event_time"])
    place_group = places["group"].cat.codes.to_numpy().astype(np.int64)
    place_time = places["event_time"].to_numpy().astype(np.int64)
    out = np.zeros((3, len(las), len(places)))
    for i, group in enumerate(sample.groups):
        phase, time = placement(cells.intervals, group, sample.clock).of(first, last)
        for s in np.flatnonzero(place_group == i):
            here = (phase != DONUT) & (time == place_time[s])
            for k, value in enumerate((count, total, exposed)):
                out[k, :, s] = np.bincount(la[here], value[here], minlength=len(las))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, exposure = out[1] / out[0], out[2] / out[0]

    slots = [
        (i, las.index(name), name == group.pilot)
        for i, group in enumerate(sample.groups)
        for name in (group.pilot, *group.comparators)
        if name in las
    ]
    slot_n, slot_weight = _slot_sums(sample, slots, las, place_group, place_time)
    return Series(
        outcome=outcome,
        las=las,
        groups=tuple(g.id for g in sample.groups),
        place_group=place_group,
        place_time=place_time,
        place_post=places["post"].to_numpy() == 1,
        n=np.rint(out[0]).astype(np.int64),
        mean=mean,
        exposure=exposure,
        slot_group=np.array([s[0] for s in slots], dtype=np.int64),
        slot_la=np.array([s[1] for s in slots], dtype=np.int64),
        slot_treated=np.array([s[2] for s in slots], dtype=bool),
        slot_n=np.rint(slot_n).astype(np.int64),
        slot_weight=slot_weight,
        roles={
            name: tuple((sample.groups[g].id, t) for g, row, t in slots if row == i)
            for i, name in enumerate(las)
        },
        gamma=gamma,
    )


def adjustment(
    frame: pd.DataFrame, adjust: Sequence[str], block: Array, n: Array, y: Array
) -> tuple[Array, dict[str, float]]:
    """Centred x'gamma of each cell, gamma from events within blocks (normal equations on counts).

    Cross-products of dummies are counts of pairs of levels, so nothing of the size of cells x
    dummies is ever held. Levels that the blocks or one another determine get the least-norm
    coefficient.
    """
    absent = [name for name in adjust if name not in frame.columns]
    if absent:
        raise ParameterError(
            f"adjust: the cells do not carry {absent[0]!r}. Collapse with it, or leave it out."
        )
    if not adjust:
        return np.zeros(len(frame)), {}
    columns = [pd.Categorical(frame[name]) for name in adjust]
    names = [f"{a}={level}" for a, c in zip(adjust, columns, strict=True) for level in c.categories]
    sizes = [len(c.categories) for c in columns]
    codes = [c.codes.astype(np.int64) for c in columns]
    offset = np.cumsum([0, *sizes])
    part = [slice(offset[i], offset[i + 1]) for i in range(len(codes))]
    blocks = int(block.max()) + 1
    total = np.bincount(block, weights=n)
    xx, xy = np.zeros((offset[-1], offset[-1])), np.zeros(offset[-1])
    share = np.zeros((blocks, offset[-1]))
    for i, a in enumerate(codes):
        levels = np.bincount(block * sizes[i] + a, weights=n, minlength=blocks * sizes[i])
        share[:, part[i]] = levels.reshape(blocks, sizes[i]) / total[:, None]
        xy[part[i]] = np.bincount(a, weights=y, minlength=sizes[i])
        for j, b in enumerate(codes[: i + 1]):
            pairs = np.bincount(a * sizes[j] + b, weights=n, minlength=sizes[i] * sizes[j])
            xx[part[i], part[j]] = pairs.reshape(sizes[i], sizes[j])
            xx[part[j], part[i]] = xx[part[i], part[j]].T
    within = xx - (share * total[:, None]).T @ share
    outcome = xy - share.T @ np.bincount(block, weights=y)
    free = np.ones(offset[-1], dtype=bool)
    for p in part:
        free[p.start + int(np.argmax(np.diag(xx)[p]))] = False
    gamma = np.zeros(offset[-1])
    # The cut-off is far above the rounding of counts and far below any level that varies.
    gamma[free] = np.linalg.lstsq(within[np.ix_(free, free)], outcome[free], rcond=1e-10)[0]
    fitted = np.sum([gamma[p][a] for p, a in zip(part, codes, strict=True)], axis=0)
    fitted -= np.average(fitted, weights=n)
    return fitted, {name: float(g) for name, g, f in zip(names, gamma, free, strict=True) if f}


def exposure_by_interval(
    intervals: pd.DataFrame, study: Study, outcome: str, las: tuple[str, ...]
) -> NDArray[np.float64]:
    """(L, intervals) share of its own treatment an authority has at an interval's mid-day."""
    opens: list[date] = list(intervals["first_day"])
    closes: list[date] = list(intervals["last_day"])
    dates = {g.pilot: (g.start, g.end) for g in study.groups(outcome, exclude=False)}
    share = np.zeros((len(las), len(opens)))
    for i, la in enumerate(las):
        if la not in dates:
            continue
        start, end = dates[la]
        for j, (opened, closed) in enumerate(zip(opens, closes, strict=True)):
            middle = (opened - start).days + ((closed - opened).days + 1) / 2
            share[i, j] = min(max(middle / ((end - start).days + 1), 0.0), 1.0)
    return share


def _slot_sums(
    sample: MatchedSample,
    slots: list[tuple[int, int, bool]],
    las: tuple[str, ...],
    place_group: Array,
    place_time: Array,
) -> tuple[Array, Array]:
    frame = sample.frame
    group = frame["group"].cat.codes.to_numpy().astype(np.int64)
    la = frame["la"].cat.set_categories(list(las)).cat.codes.to_numpy().astype(np.int64)
    slot_at = np.full((len(sample.groups), len(las)), -1)
    for k, (g, a, _) in enumerate(slots):
        slot_at[g, a] = k
    time = frame["event_time"].to_numpy().astype(np.int64)
    low = int(min(time.min(), place_time.min()))
    place_at = np.full((len(sample.groups), int(time.max()) - low + 1), -1)
    place_at[place_group, place_time - low] = np.arange(len(place_group))
    cell = slot_at[group, la] * len(place_group) + place_at[group, time - low]
    n = frame["n"].to_numpy(float)
    shape = (len(slots), len(place_group))
    size = shape[0] * shape[1]
    count, mass = (
        np.bincount(cell, weights=w, minlength=size).reshape(shape)
        for w in (n, n * frame["weight"].to_numpy())
    )
    return count, mass
