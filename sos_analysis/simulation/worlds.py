"""Designs to draw made-up outcomes in: units by time cells, and the rows estimators see.

Outcomes are drawn once for each cell, a unit's individuals in one stretch of time. Every row of a
regression, and every unit's series in every place of a matched design, is a fixed linear map of
the cells' sums. So a comparison unit that serves several groups brings the same shocks and the
same chance to all of them, and hundreds of data sets go through an estimator in one product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sos_analysis.estimation.frames import Floats, FrameError, Ints, pair_codes
from sos_analysis.estimation.grams import Grams, gram
from sos_analysis.estimation.permutation import SlotDesign
from sos_analysis.sources import digest


@dataclass(frozen=True)
class World:
    """A design without outcomes. L units, T cells, S places, M rows.

    Attributes
    ----------
    units : labels, sorted (L).
    n : L x T individuals.
    year : T, the shock year of a cell, from 0.
    exposure : L x T share of its own treatment a unit has.
    since : L x T whole years since a unit's own treatment began in full, 0 before.
    treated : L booleans.
    place_group, place_time, place_post : S, the places of the design.
    inside : S x T booleans, cells of a place.
    role, place, row_treated, row_weight : M rows, one for each slot (unit in a group) and place;
        the weight is the total regression weight.
    """

    units: tuple[str, ...]
    n: Floats
    year: Ints
    exposure: Floats
    since: Floats
    treated: Ints
    place_group: Ints
    place_time: Ints
    place_post: Ints
    inside: Floats
    role: Ints
    place: Ints
    row_treated: Ints
    row_weight: Floats

    @property
    def place_n(self) -> Floats:
        """L x S individuals of each unit in each place."""
        return self.n @ self.inside.T

    def with_groups(self, groups: Sequence[int]) -> World:
        """The same world with these matched groups, and the units that serve them, alone."""
        places = np.isin(self.place_group, groups)
        rows = places[self.place]
        units = np.unique(self.role[rows])
        return World(
            tuple(self.units[u] for u in units),
            self.n[units],
            self.year,
            self.exposure[units],
            self.since[units],
            self.treated[units],
            self.place_group[places],
            self.place_time[places],
            self.place_post[places],
            self.inside[places],
            np.searchsorted(units, self.role[rows]),
            (np.cumsum(places) - 1)[self.place[rows]],
            self.row_treated[rows],
            self.row_weight[rows],
        )


def world_hash(world: World) -> str:
    """Identity of a world: the same counts, dates and weights give the same hash."""
    parts = {
        name: np.ascontiguousarray(np.asarray(value, dtype=float)).tobytes().hex()
        for name, value in world.__dict__.items()
        if name != "units"
    }
    return digest(parts | {"units": ",".join(world.units)})


@dataclass(frozen=True)
class Linear:
    """A regression whose scores are linear in the cells' sums.

    Attributes
    ----------
    grams : per-unit Gram matrices; their `xy` is zero.
    z : L x T x K; the X'Wy of unit l is ``y_sum[l] @ z[l]``.
    treated : number of treated units.
    """

    name: str
    grams: Grams
    z: Floats
    treated: int


def _linear(
    name: str,
    world: World,
    la: Ints,
    maps: Floats,
    x: Floats,
    w: Floats,
    names: Sequence[str],
    within: Ints | None,
    count: Floats,
) -> Linear:
    """Regression of rows (M) whose mean outcome is ``maps @ y_sum[la]`` (maps: M x T)."""
    made = gram(x, np.zeros(len(la)), w, count, la, world.units, names, within=within)
    kept = x[:, [list(names).index(str(k)) for k in made.names]]
    if within is not None:
        total = np.bincount(within, w)
        means = np.stack([np.bincount(within, w * c) / total for c in kept.T], axis=1)
        kept = kept - means[within]
    z = np.zeros((len(world.units), world.n.shape[1], kept.shape[1]))
    for unit in range(len(world.units)):
        rows = np.flatnonzero(la == unit)
        z[unit] = maps[rows].T @ (w[rows, None] * kept[rows])
    return Linear(name, made, z, int(world.treated.sum()))


def _indicators(codes: Ints, keep_first: bool = False) -> tuple[list[str], Floats]:
    levels = np.unique(codes)[0 if keep_first else 1 :]
    return [str(v) for v in levels], (codes[:, None] == levels[None, :]).astype(float)


def preferred(world: World, *, each: bool = False) -> Linear:
    """Slot-place means on group x unit and group x period effects.

    With `each`, every treated unit has an effect of its own, named after it.
    """
    post = world.place_post[world.place]
    group, time = world.place_group[world.place], world.place_time[world.place]
    blocks = [(world.row_treated * post).astype(float)[:, None]]
    names = ["effect"]
    if each:
        pilots = np.flatnonzero(world.treated)
        names = [world.units[u] for u in pilots]
        blocks = [blocks[0] * (world.role[:, None] == pilots[None, :])]
    for g in np.unique(group):
        for t in np.unique(time[group == g])[1:]:
            blocks.append(((group == g) & (time == t)).astype(float)[:, None])
            names.append(f"{g} at {t}")
    maps = world.inside[world.place] / world.place_n[world.role, world.place][:, None]
    return _linear(
        "preferred",
        world,
        world.role,
        maps,
        np.hstack(blocks),
        world.row_weight,
        names,
        pair_codes(group, world.role),
        world.place_n[world.role, world.place],
    )


def own_effects(world: World) -> Callable[[Floats], Floats]:
    """A function from sums by cell (L x T) to treated units' own effects, in their order."""
    linear = preferred(world, each=True)
    bread = np.linalg.inv(linear.grams.xx.sum(axis=0))
    named = {name: i for i, name in enumerate(linear.grams.names)}
    rows = [named[world.units[u]] for u in np.flatnonzero(world.treated)]
    return lambda y_sum: bread[rows] @ np.einsum("lt,ltk->k", y_sum, linear.z)


def original(world: World) -> Linear:
    """Rows by slot, phase and year on treated, post, their product and year dummies, no effects."""
    per_event = world.row_weight / world.place_n[world.role, world.place]
    rows: dict[tuple[int, int, int, int], Floats] = {}
    for m in range(len(world.role)):
        r, place = int(world.role[m]), int(world.place[m])
        after = int(world.place_post[place])
        for t in np.flatnonzero(world.inside[place] * world.n[r]):
            key = (int(world.place_group[place]), r, after, int(world.year[t]))
            rows.setdefault(key, np.zeros(len(world.year)))[t] += per_event[m]
    order = sorted(rows)
    keys = np.array(order, dtype=np.int64)
    unit, post, year = keys[:, 1], keys[:, 2], keys[:, 3]
    weights = np.stack([rows[key] for key in order])
    w = (weights * world.n[unit]).sum(axis=1)
    of = {
        (int(world.place_group[p]), int(r)): int(t)
        for r, p, t in zip(world.role, world.place, world.row_treated, strict=True)
    }
    treated = np.array([of[(int(g), int(u))] for g, u in keys[:, :2]])
    year_names, years = _indicators(year)
    x = np.column_stack([treated * post, np.ones(len(keys)), post, treated, years])
    names = ["effect", "constant", "post", "treated", *year_names]
    count = ((weights > 0) * world.n[unit]).sum(axis=1)
    return _linear(
        "original", world, unit, weights / w[:, None], x.astype(float), w, names, None, count
    )


def two_way(world: World) -> Linear:
    """Each unit once: unit and year effects on exposure, the years of partial exposure left out."""
    rows: dict[tuple[int, int, int], Floats] = {}
    for u in range(len(world.units)):
        whole = (world.exposure[u] == 0) | (world.exposure[u] == 1)
        for t in np.flatnonzero(whole & (world.n[u] > 0)):
            key = (u, int(world.year[t]), int(world.exposure[u, t]))
            rows.setdefault(key, np.zeros(len(world.year)))[t] = 1.0
    order = sorted(rows)
    unit, year, on = np.array(order, dtype=np.int64).T
    which = np.stack([rows[key] for key in order])
    n = (which * world.n[unit]).sum(axis=1)
    names, years = _indicators(year)
    x = np.hstack([on[:, None].astype(float), years])
    return _linear("two_way", world, unit, which / n[:, None], x, n, ["effect", *names], unit, n)


def slots(world: World) -> SlotDesign:
    """The matched design for the slot permutation; its series are filled in later."""
    group = world.place_group[world.place]
    period = world.place_time[world.place]
    blank = np.zeros((len(world.units), len(world.place_group)))
    n = world.place_n
    exposure = (world.n * world.exposure) @ world.inside.T / np.where(n > 0, n, 1.0)
    return SlotDesign(
        las=world.units,
        role=world.role,
        window=world.place,
        slot=pair_codes(group, world.role),
        group_period=pair_codes(group, period),
        treated=world.row_treated.astype(float),
        post=world.place_post[world.place].astype(float),
        period=period,
        weight=world.row_weight,
        y=blank,
        exposure=exposure,
        swing=np.ones(len(world.units)),
        filled=int((n <= 0).sum()),
    )


def made_up(
    rng: np.random.Generator,
    *,
    pilots: int = 9,
    units: int = 27,
    matched: bool = True,
    shared: bool = True,
    comparators: int = 2,
    years: int = 11,
    size_sd: float = 0.7,
    mean_size: float = 400.0,
    sizes: str = "random",
    staggered: bool = True,
) -> World:
    """A made-up design: matched groups with shared comparators, or one panel of all units.

    Parameters
    ----------
    matched : each pilot with `comparators` others; else one group that holds everybody, with
        periods counted by calendar.
    shared : comparators are drawn for each pilot from all others, so some serve several pilots and
        some none (those are left out); else each serves one.
    sizes : {"random", "small", "large"}
        Which units are treated, by size.
    """
    if sizes not in ("random", "small", "large"):
        raise FrameError(f"sizes must be 'random', 'small' or 'large', not {sizes!r}")
    size = np.exp(rng.normal(np.log(mean_size), size_sd, units))
    order = {"random": np.arange(units), "small": np.argsort(size), "large": np.argsort(-size)}
    if sizes != "random":
        # Pilots are drawn from the smaller, or larger, half.
        half = order[sizes][: max(units // 2, pilots)]
        chosen = rng.permutation(half)[:pilots]
        size = np.r_[size[chosen], np.delete(size, chosen)]
    n = np.maximum(np.rint(np.repeat(size[:, None], years, axis=1)), 3.0)
    labels = tuple(f"{i:03d}" for i in range(units))
    first, last = max(3, years // 3), years - 3
    start = rng.integers(first, last, pilots) if staggered else np.full(pilots, years // 2)
    end = start + (rng.integers(1, 3, pilots) if matched else 0)
    exposure, since = np.zeros((units, years)), np.zeros((units, years))
    for p in range(pilots):
        exposure[p, end[p] :] = 1.0
        exposure[p, start[p] : end[p]] = 0.5
        since[p, end[p] :] = np.arange(years - end[p])
    treated = (np.arange(units) < pilots).astype(np.int64)
    places: list[tuple[int, int, int, int]] = []
    rows: list[tuple[int, int, int]] = []
    if matched:
        pool = np.arange(pilots, units)
        whole = rng.permutation(pool)
        for p in range(pilots):
            pair = (
                rng.choice(pool, comparators, replace=False)
                if shared
                else whole[p * comparators : (p + 1) * comparators]
            )
            for t in range(years):
                if start[p] <= t < end[p]:
                    continue
                time = t - start[p] if t < start[p] else t - end[p]
                for unit in (p, *pair):
                    rows.append((unit, len(places), int(unit == p)))
                places.append((p, time, int(t >= end[p]), t))
    else:
        places = [(0, t, 1, t) for t in range(years)]
        rows = [(u, t, int(exposure[u, t] == 1)) for u in range(units) for t in range(years)]
    place, row = np.array(places), np.array(rows)
    inside = (place[:, 3][:, None] == np.arange(years)[None, :]).astype(float)
    weight = n[row[:, 0], place[row[:, 1], 3]]
    if matched:
        served = np.bincount(
            np.unique(np.stack([row[:, 0], place[row[:, 1], 0]], 1), axis=0)[:, 0],
            minlength=units,
        )
        weight = weight / served[row[:, 0]]
        used = np.flatnonzero(served)
        row[:, 0] = np.searchsorted(used, row[:, 0])
        labels = tuple(labels[u] for u in used)
        n, exposure, since, treated = n[used], exposure[used], since[used], treated[used]
    return World(
        labels,
        n,
        np.arange(years),
        exposure,
        since,
        treated,
        place[:, 0],
        place[:, 1],
        place[:, 2],
        inside,
        row[:, 0],
        row[:, 1],
        row[:, 2],
        weight,
    )
