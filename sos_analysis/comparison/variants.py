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

from sos_analysis.cells import DONUT, POST, REST, Cells, clock_of, placement
from sos_analysis.comparison.matching import Array, cem_weights, strata
from sos_analysis.comparison.slots import adjustment
from sos_analysis.errors import RecordsError
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.study import Group, Study

#: Event time of the embedding period, beyond any year after it.
EMBEDDING = 1000


@dataclass(frozen=True)
class Slots:
    """Every matched group x authority x place that has cells (K), and what a variant asks of it.

    `place` is a column of the layout; `phase` 2 is the embedding period; `n` counts events.
    """

    group: Array
    la: Array
    place: Array
    treated: Array
    phase: Array
    time: Array
    year: Array
    n: Array

    @property
    def post(self) -> Array:
        """1 after embedding, which has begun but may not have ended."""
        return (self.phase >= POST).astype(np.int64)


@dataclass(frozen=True)
class Parts:
    """Events of a cell in one of the slots (`number`); a cell may lie in several."""

    number: Array
    cell: Array
    n: Array
    stratum: Array


@dataclass(frozen=True)
class LayoutRows:
    """Slots, and what fills them: by strata of the child, and as if there were none."""

    slots: Slots
    matching: Parts
    plain: Parts


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
    wide : the same and those of the rest of the country, in every group; None without the rest.
        The rest is then the last of `las`, taken as one.
    rest : how many authorities the rest stands for.
    """

    las: tuple[str, ...]
    groups: tuple[Group, ...]
    place_group: NDArray[np.int64]
    place_time: NDArray[np.int64]
    place_year: NDArray[np.int64]
    n: NDArray[np.float64]
    y: Mapping[str, NDArray[np.float64]]
    rows: LayoutRows
    wide: LayoutRows | None = None
    rest: int = 0


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
    rest: Cells | None = None,
) -> Layout:
    """Lay one definition's cells out over the places of all its matched groups.

    Parameters
    ----------
    las : authorities that take part; each must have events.
    adjust : covariates of the child whose linear part is taken off the outcome, as it is in `las`.
    rest : cells of the authorities outside the groups (`cells.collapse` with `rest`).

    Raises
    ------
    RecordsError : an authority of `las` has no events.
    """
    las = tuple(sorted(las))
    frame = cells.frame[cells.frame["la"].isin(las)]
    every = las
    if rest is not None:
        frame = _with_rest(frame, rest.frame, cells.covariates)
        every = (*las, REST)
    la = pd.Categorical(frame["la"]).set_categories(list(every)).codes.astype(np.int64)
    empty = [name for i, name in enumerate(every) if not (la == i).any()]
    if empty:
        raise RecordsError(
            f"outcome {outcome!r}: authority {empty[0]} has no events; leave it out of the "
            "specification curve"
        )
    first, last = frame["first"].to_numpy(), frame["last"].to_numpy()
    n, y = frame["n"].to_numpy(np.int64), frame["y_sum"].to_numpy(float)
    year = cells.intervals["year"].to_numpy()[first].astype(np.int64)
    # The rest takes the adjustment of the sample, so that no other variant hangs on it.
    own = la < len(las)
    block = np.where(own, distinct([la, year])[1], 0)
    child, _ = adjustment(frame, adjust, block, n * own, y * own)
    sums = {"none": y, "child": y - n * child}

    groups = tuple(
        g
        for g in study.groups(outcome)
        if g.pilot in las and any(name in las for name in g.comparators)
    )
    group, time, phase = _times(cells, study, outcome, groups, first, last)
    inside = phase != DONUT
    row = np.broadcast_to(np.arange(len(la)), inside.shape)[inside]
    at, number = distinct([group[inside], time[inside], year[row]])
    place = np.full(inside.shape, -1, dtype=np.int64)
    place[inside] = number
    size = len(every) * len(at)
    cube: dict[str, Array] = {
        name: np.bincount(la[row] * len(at) + number, weights=values[row], minlength=size).reshape(
            len(every), -1
        )
        for name, values in {"n": n, **sums}.items()
    }
    stratum = strata(frame, study.outcome(outcome).covariates)
    columns = (la, n, stratum, year, place, time, phase)
    of_groups = (la[own], n[own], stratum[own], year[own], *(c[:, own] for c in columns[4:]))
    return Layout(
        las=every,
        groups=groups,
        place_group=group[inside][at],
        place_time=time[inside][at],
        place_year=year[row][at],
        n=cube.pop("n"),
        y=cube,
        rows=_member_rows(groups, every, *of_groups),
        wide=None if rest is None else _member_rows(groups, every, *columns, everywhere=REST),
        rest=0 if rest is None else int(rest.meta["authorities"]),
    )


def _with_rest(frame: pd.DataFrame, rest: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    """Cells of both, with the categories of both."""
    counted = [name for name in frame.columns if name not in ("la", *covariates)]
    both = pd.concat([frame[counted], rest[counted]], ignore_index=True)
    for name in ("la", *covariates):
        parts = [pd.Categorical(f[name]).remove_unused_categories() for f in (frame, rest)]
        both[name] = pd.api.types.union_categoricals(parts, sort_categories=True)
    return both


def _times(
    cells: Cells, study: Study, outcome: str, groups: tuple[Group, ...], first: Array, last: Array
) -> tuple[Array, Array, Array]:
    """Group, event time and phase (2: embedding) of every cell in every group: groups x cells."""
    clock = clock_of(study.outcome(outcome))
    opens = cells.intervals["first_day"].to_numpy()
    times, phases = [], []
    for g in groups:
        phase, time = placement(cells.intervals, g, clock).of(first, last)
        since = ((opens >= g.start) & (opens <= g.end))[first]
        embedding = (phase == DONUT) & since
        phases.append(np.where(embedding, 2, phase))
        times.append(np.where(embedding, EMBEDDING, time))
    time, phase = np.stack(times).astype(np.int64), np.stack(phases).astype(np.int64)
    return np.broadcast_to(np.arange(len(groups))[:, None], time.shape), time, phase


def _member_rows(
    groups: tuple[Group, ...], las: tuple[str, ...], la: Array, n: Array, stratum: Array,
    year: Array, place: Array, time: Array, phase: Array, everywhere: str = "",
) -> LayoutRows:  # fmt: skip
    """Cells of the groups' own authorities; cells that no variant can tell apart are put together.

    Which groups keep a case decides how its weight is shared, so cells stay apart unless they lie
    in the same place of each group that their authority belongs to. `everywhere` names an
    authority that belongs to all groups.
    """
    member = np.array(
        [[name in (g.pilot, *g.comparators, everywhere) for name in las] for g in groups],
        dtype=bool,
    )
    own = np.where(member[:, la], place, -1)
    at, alike = distinct([la, *own])
    group, cell = np.nonzero(own[:, at] >= 0)
    row = at[cell]
    # The cells of a slot lie in one place, so they have its phase, time and year.
    first, number = distinct([group, la[row], place[group, row]])
    pilot = np.array([las.index(g.pilot) for g in groups])
    of, here = group[first], row[first]
    count = np.bincount(alike, weights=n)[cell]
    slots = Slots(
        group=of,
        la=la[here],
        place=place[of, here],
        treated=(la[here] == pilot[of]).astype(np.int64),
        phase=phase[of, here],
        time=time[of, here],
        year=year[here],
        n=np.bincount(number, weights=count),
    )
    plain = Parts(number, cell, count, np.zeros_like(cell))
    # The slot of each of the cells put together, in each group; -1 where it is in none.
    slot_of = np.full((len(groups), len(at)), -1, dtype=np.int64)
    slot_of[group, cell] = number
    at, split = distinct([alike, stratum])
    own = slot_of[:, alike[at]]
    group, cell = np.nonzero(own >= 0)
    matching = Parts(own[group, cell], cell, np.bincount(split, weights=n)[cell], stratum[at[cell]])
    return LayoutRows(slots, matching, plain)


def variant(
    made: Layout,
    study: Study,
    *,
    comparators: str,
    embedding: str,
    window: str,
    period: str,
    weights: str,
    first_year: int,
    years_before: int,
    years_after: int,
    fewest_groups: int = 1,
) -> SlotRows:
    """Slot rows of one variant; groups with an empty part (role x phase) are left out.

    Raises
    ------
    RecordsError : fewer matched groups than `fewest_groups` are left, or the rest of the country
        is asked for and there is none.
    """
    rows = made.rows
    if comparators == "england":
        if made.wide is None:
            raise RecordsError("the extract holds no authority outside the matched groups")
        rows = made.wide
    slots, post = rows.slots, rows.slots.post
    active = _chosen(made, study, comparators)[slots.group, slots.la] & (slots.n > 0)
    if embedding == "widened":
        active &= slots.time != -1  # the year in which what was to come may have shown already
    if embedding != "counted":
        active &= slots.phase != 2
    if period == "recent":
        active &= slots.year >= first_year
    if window == "close":
        reach = years_before + (embedding == "widened")
        active &= (slots.phase != 0) | (slots.time >= -reach)
    if window == "first":
        active &= (slots.phase != POST) | (slots.time < years_after)
    active &= _filled(made, slots, post, slots.n * active)
    if weights == "authorities":
        count = np.where(active, slots.n, 0.0)
        part = (slots.group * len(made.las) + slots.la) * 2 + post
        mass = count / np.maximum(np.bincount(part, weights=count)[part], 1.0)
        # The rest counts as the authorities that it stands for.
        mass = np.where(np.array(made.las)[slots.la] == REST, made.rest * mass, mass)
    else:
        active, mass = _case_weights(made, rows, active, weights)
    left = len(np.unique(slots.group[active]))
    if left < max(fewest_groups, 1):
        raise RecordsError(
            f"{left} matched groups have cases in all four parts; at least {fewest_groups} needed"
        )
    group, role, time = slots.group[active], slots.la[active], slots.time[active]
    return SlotRows(
        role=role.astype(np.int64),
        place=slots.place[active],
        slot=distinct([group, role])[1].astype(np.int64),
        block=distinct([group, time])[1].astype(np.int64),
        year=slots.year[active].astype(np.int64),
        treated=slots.treated[active].astype(float),
        post=post[active].astype(float),
        weight=mass[active],
        groups=left,
    )


def _case_weights(
    made: Layout, rows: LayoutRows, active: NDArray[np.bool_], weights: str
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Slots that keep cases, and their summed weights; a case in several groups is shared."""
    slots, parts = rows.slots, rows.matching if weights == "matched" else rows.plain
    mine = np.flatnonzero(active[parts.number])
    number, cell, n = parts.number[mine], parts.cell[mine], parts.n[mine]
    weight = np.ones(len(mine))
    if weights == "matched":
        post, treated = slots.post, slots.treated[number]
        block = (slots.group * 2 + post)[number]
        weight = cem_weights(block, parts.stratum[mine], treated, n)
        found = np.bincount(number, weights=n * (weight > 0), minlength=len(active))
        kept = (weight > 0) & _filled(made, slots, post, found)[number]
        number, cell, n, weight = number[kept], cell[kept], n[kept], weight[kept]
    copies = np.bincount(cell)
    mass: Array = np.bincount(number, weights=n * weight / copies[cell], minlength=len(active))
    return mass > 0, mass


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
        if comparators == "england":
            others.append(REST)
        for name in (group.pilot, *others):
            out[i, made.las.index(name)] = True
    return out


def _filled(made: Layout, slots: Slots, post: Array, n: Array) -> NDArray[np.bool_]:
    """Slots of groups with cases in all four parts."""
    part = slots.group * 4 + slots.treated * 2 + post
    total = np.bincount(part, weights=n, minlength=4 * len(made.groups)).reshape(-1, 4)
    ok: Array = (total > 0).all(axis=1)
    return np.asarray(ok[slots.group])


def merged(cells: Cells, study: Study, outcome: str) -> Cells:
    """Cells of the matched sample alone, those put together that its groups cannot tell apart.

    A third of the rows. `matched` gives the same sample from them; `series` does not, because it
    places authorities in groups that are not their own.
    """
    groups = study.groups(outcome)
    frame = cells.frame
    la = pd.Categorical(frame["la"])
    first, last = frame["first"].to_numpy(), frame["last"].to_numpy()
    _, time, phase = _times(cells, study, outcome, groups, first, last)
    member = np.array(
        [[name in (g.pilot, *g.comparators) for name in la.categories] for g in groups], dtype=bool
    )[:, la.codes]
    inside = (member & (phase >= 0) & (phase != 2)).any(axis=0)
    # Phase and time in one number; nothing where the authority is not of the group.
    place = np.where(member, phase * 4 * EMBEDDING + time, -8 * EMBEDDING)[:, inside]
    kept = frame[inside]
    year = cells.intervals["year"].to_numpy()[first[inside]]
    at, number = distinct(
        [la.codes[inside], year, strata(kept, cells.covariates), *place.astype(np.int64)]
    )
    sums = {
        name: np.bincount(number, weights=kept[name]).astype(np.int64)
        for name in ("n", "y_sum", "y_sq")
    }
    children = np.zeros(len(at), dtype=np.int64)
    np.maximum.at(children, number, kept["children"].to_numpy(np.int64))
    made = kept.iloc[at].assign(**sums, children=children).reset_index(drop=True)
    return Cells(made, cells.intervals, cells.margins, cells.covariates, cells.meta)
