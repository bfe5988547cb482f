"""Every variant of a matched design as slot rows: who fills which place, with what weight.

A layout holds, for one definition of an outcome, the sums of every authority in every place
(matched group x event time x fiscal year, the embedding period as a time of its own) and the cells
of each group. A variant picks comparators, period and embedding rule, weighs the cases anew and
adds the weights up by slot and place. The layout is made once; a variant takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sos_analysis.cells import DONUT, POST, Cells, clock_of, placement
from sos_analysis.comparison.matching import Array, cem_weights, fold, strata
from sos_analysis.comparison.slots import adjustment
from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.study import Group, Study

#: Event time of the embedding period, beyond any year after it.
EMBEDDING = 1000


@dataclass(frozen=True)
class LayoutRows:
    """Cells of each group: cell, group, authority, role, phase (2: embedding), time, year, place."""

    cell: Array
    group: Array
    la: Array
    treated: Array
    phase: Array
    time: Array
    year: Array
    place: Array
    n: Array
    stratum: Array


@dataclass(frozen=True)
class Layout:
    """One definition of an outcome, ready for every variant.

    L authorities, S places.

    Attributes
    ----------
    las : authorities, sorted. groups : matched groups.
    place_group, place_time, place_year : (S).
    n : (L, S) events. y : name -> (L, S) sum of the outcome, as it is ('none') or less x'gamma of
        the child ('child').
    rows : cells of the groups' own authorities.
    """

    las: tuple[str, ...]
    groups: tuple[Group, ...]
    place_group: NDArray[np.int64]
    place_time: NDArray[np.int64]
    place_year: NDArray[np.int64]
    n: NDArray[np.float64]
    y: Mapping[str, NDArray[np.float64]]
    rows: LayoutRows


@dataclass(frozen=True)
class SlotRows:
    """Rows of one variant (M): role (authority), place, slot, group x time, year, exposure, weight.

    `weight` is the sum of the weights of the slot's cases in that place.
    """

    role: NDArray[np.int64]
    place: NDArray[np.int64]
    slot: NDArray[np.int64]
    block: NDArray[np.int64]
    year: NDArray[np.int64]
    treated: NDArray[np.float64]
    post: NDArray[np.float64]
    weight: NDArray[np.float64]
    groups: int


def layout(
    cells: Cells,
    study: Study,
    outcome: str,
    las: Sequence[str],
    *,
    adjust: Sequence[str],
) -> Layout:
    """Lay one definition's cells out over the places of all its matched groups.

    Parameters
    ----------
    las : authorities that take part; each must have events.
    adjust : covariates of the child whose linear part is taken off the outcome.

    Raises
    ------
    RecordsError : an authority of `las` has no events.
    """
    las = tuple(sorted(las))
    code = pd.Categorical(cells.frame["la"]).set_categories(list(las)).codes
    frame = cells.frame[code >= 0]
    la = code[code >= 0].astype(np.int64)
    empty = [name for i, name in enumerate(las) if not (la == i).any()]
    if empty:
        raise RecordsError(
            f"outcome {outcome!r}: authority {empty[0]} has no events; leave it out of the "
            "specification curve"
        )
    first, last = frame["first"].to_numpy(), frame["last"].to_numpy()
    n, y = frame["n"].to_numpy(np.int64), frame["y_sum"].to_numpy(float)
    year = cells.intervals["year"].to_numpy()[first].astype(np.int64)
    child, _ = adjustment(frame, adjust, fold([la, year])[1], n, y)
    sums = {"none": y, "child": y - n * child}

    stratum = strata(frame, study.outcome(outcome).covariates)
    at, number = fold([la, stratum, first, last])
    count = np.bincount(number, weights=n)
    cell_la, cell_stratum = la[at], stratum[at]
    cell_first, cell_last, cell_year = first[at], last[at], year[at]
    totals = [count, *(np.bincount(number, weights=v) for v in sums.values())]

    groups = tuple(
        g
        for g in study.groups(outcome)
        if g.pilot in las and any(name in las for name in g.comparators)
    )
    clock = clock_of(study.outcome(outcome))
    opens = cells.intervals["first_day"].to_numpy()
    parts: list[tuple[Array, ...]] = []
    placed: list[tuple[Array, Array, Array, Array]] = []
    for i, group in enumerate(groups):
        phase, time = placement(cells.intervals, group, clock).of(cell_first, cell_last)
        phase, time = phase.astype(np.int64), time.astype(np.int64)
        since = opens[cell_first]
        embedding = (phase == DONUT) & (since >= group.start) & (since <= group.end)
        phase, time = np.where(embedding, 2, phase), np.where(embedding, EMBEDDING, time)
        inside = np.flatnonzero(phase != DONUT)
        placed.append((inside, np.full(len(inside), i), time[inside], cell_year[inside]))
        members = [las.index(name) for name in (group.pilot, *group.comparators) if name in las]
        own_rows = inside[np.isin(cell_la[inside], members)]
        parts.append(
            (
                own_rows,
                np.full(len(own_rows), i),
                (cell_la[own_rows] == members[0]).astype(np.int64),
                phase[own_rows],
                time[own_rows],
            )
        )
    all_rows, all_group, all_time, all_year = (
        np.concatenate(c) for c in zip(*placed, strict=True)
    )
    key, place = fold([all_group, all_time, all_year])
    shape = (len(las), len(key))
    cube = [
        np.bincount(
            cell_la[all_rows] * shape[1] + place, weights=t[all_rows], minlength=shape[0] * shape[1]
        ).reshape(shape)
        for t in totals
    ]
    cell, group_of, treated, phase, time = (np.concatenate(c) for c in zip(*parts, strict=True))
    # The place of a group's own cell, found again among the places of all authorities.
    size = len(cell_la)
    place_of = np.full(len(groups) * size, -1, dtype=np.int64)
    place_of[all_group * size + all_rows] = place
    return Layout(
        las=las,
        groups=groups,
        place_group=all_group[key],
        place_time=all_time[key],
        place_year=all_year[key],
        n=cube[0],
        y=dict(zip(sums, cube[1:], strict=True)),
        rows=LayoutRows(
            cell=cell,
            group=group_of,
            la=cell_la[cell],
            treated=treated,
            phase=phase,
            time=time,
            year=cell_year[cell],
            place=place_of[group_of * size + cell],
            n=count[cell],
            stratum=cell_stratum[cell],
        ),
    )


def variant(
    made: Layout,
    study: Study,
    *,
    comparators: str,
    embedding: str,
    period: str,
    weights: str,
    first_year: int,
    years_before: int,
    fewest_groups: int = 1,
) -> SlotRows:
    """Slot rows of one variant; groups with an empty part (role x phase) are left out.

    Raises
    ------
    RecordsError : fewer matched groups than `fewest_groups` are left.
    """
    rows = made.rows
    active = _chosen(made, study, comparators)[rows.group, rows.la] & (rows.n > 0)
    if embedding == "widened":
        active &= rows.time != -1  # the year in which what was to come may have shown already
    if embedding != "counted":
        active &= rows.phase != 2
    if period == "recent":
        active &= rows.year >= first_year
    if period == "close":
        reach = years_before + (embedding == "widened")
        active &= (rows.phase != 0) | (rows.time >= -reach)
    post = (rows.phase >= POST).astype(np.int64)
    active &= _filled(made, rows, post, rows.n * active)
    count = np.where(active, rows.n, 0.0)
    if weights == "matched":
        matched = cem_weights(rows.group * 2 + post, rows.stratum, rows.treated, count)
        matched = np.where(_filled(made, rows, post, count * (matched > 0)), matched, 0.0)
    else:
        matched = np.where(active, 1.0, 0.0)
    kept = (matched > 0) & (count > 0)
    left = len(np.unique(rows.group[kept]))
    if left < max(fewest_groups, 1):
        raise RecordsError(
            f"{left} matched groups have cases in all four parts; at least {fewest_groups} needed"
        )
    if weights == "authorities":
        part = (rows.group * len(made.las) + rows.la) * 2 + post
        weight = 1.0 / np.maximum(np.bincount(part, weights=count)[part], 1.0)
    else:
        copies = np.bincount(rows.cell[kept], minlength=int(rows.cell.max()) + 1)
        weight = matched / np.maximum(copies[rows.cell], 1)
    at, number = fold([rows.group[kept], rows.la[kept], rows.place[kept]])
    mass = np.bincount(number, weights=(count * weight)[kept])
    at = np.flatnonzero(kept)[at]
    return SlotRows(
        role=rows.la[at].astype(np.int64),
        place=rows.place[at],
        slot=fold([rows.group[at], rows.la[at]])[1].astype(np.int64),
        block=fold([rows.group[at], rows.time[at]])[1].astype(np.int64),
        year=rows.year[at].astype(np.int64),
        treated=rows.treated[at].astype(float),
        post=post[at].astype(float),
        weight=mass,
        groups=left,
    )


def _chosen(made: Layout, study: Study, comparators: str) -> NDArray[np.bool_]:
    """(groups, authorities) that take part."""
    same = {a.code for a in study.authorities if a.practice_model == "same"}
    out = np.zeros((len(made.groups), len(made.las)), dtype=bool)
    for i, group in enumerate(made.groups):
        others = [name for name in group.comparators if name in made.las]
        if comparators == "first":
            others = others[:1]
        elif comparators == "other_models":
            others = [name for name in others if name not in same]
        for name in (group.pilot, *others):
            out[i, made.las.index(name)] = True
    return out


def _filled(made: Layout, rows: LayoutRows, post: Array, n: Array) -> NDArray[np.bool_]:
    """Rows of groups with cases in all four parts."""
    part = rows.group * 4 + rows.treated * 2 + post
    total = np.bincount(part, weights=n, minlength=4 * len(made.groups)).reshape(-1, 4)
    return np.asarray((total > 0).all(axis=1)[rows.group])

