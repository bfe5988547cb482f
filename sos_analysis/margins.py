"""Distinct children and authorities by role, phase and level: exact, in one pass of the engine.

A place is a margin, a role, a phase and a level, such as comparators' events of year 2013 before
embedding. An event can lie in several. Each place is a bit: the engine joins an event to the bits
of its dates, takes for each child the union of the bits of its events, and counts by authority how
many children have each bit. Events and sums of the outcome by place follow from the cells.

Children with an outcome that is 0 or 1, and those without it, are counted in the same pass: by the
bits of those events alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.placing import DONUT, PHASES, clock_of, placement
from sos_analysis.records.engine import union_of_bits

if TYPE_CHECKING:
    import ibis
    from numpy.typing import NDArray

    from sos_analysis.study import Study

#: Columns that every table of margins has.
COLUMNS = (
    *("margin", "role", "phase", "level", "las", "children", "events", "y_sum"),
    *("children_with", "children_without"),
)
#: Distinct children by what became of their events; a child can be in the last two.
_KINDS = ("children", "children_with", "children_without")
_KEYS = list(COLUMNS[:4])
_BASE = ("phase", "event_time", "year", "calendar")
_PHASE = 0  # index in _BASE
_ROLES = ("treated", "comparator")
_ALL = 2  # phase of the margin 'calendar', which the donut is part of
_BITS = 62  # bits of a signed 64-bit number that are safe to shift into


def memtable(columns: Mapping[str, Any]) -> ibis.Table:
    """A small table for the engine."""
    import ibis
    import pyarrow as pa

    return ibis.memtable(pa.table(dict(columns)))


@dataclass(frozen=True)
class _Slots:
    """Which places the events of a pair of intervals lie in.

    Attributes
    ----------
    las : authorities, by the number that stands for them.
    pairs : distinct `la`, `first`, `last` of the cells, by number (the index).
    of_cell : number of the pair of each cell.
    slots : `pair`, `place`; each once.
    places : `margin`, `role`, `phase` (numbers), `level`; by number.
    """

    las: list[str]
    pairs: pd.DataFrame
    of_cell: NDArray[Any]
    slots: pd.DataFrame
    places: pd.DataFrame

    @property
    def phases(self) -> NDArray[np.intp]:
        """Places that are a role and a phase alone."""
        return np.flatnonzero(self.places["margin"].to_numpy() == _PHASE)


def margins_of(
    placed: ibis.Table,
    frame: pd.DataFrame,
    study: Study,
    outcome: str,
    intervals: pd.DataFrame,
    strata: pd.DataFrame,
    las: Sequence[str],
) -> pd.DataFrame:
    """Distinct children and authorities by role, phase and level.

    Parameters
    ----------
    placed : events with `child_id`, `y` and `cell` (see `cells`).
    frame : the cells counted from them.
    strata : covariates of each stratum in words. las : authorities by their place in `cell`.

    Returns
    -------
    DataFrame sorted by its key: `COLUMNS`, `largest`, `second` (see `cells.Cells.margins`).
    """
    where = _slots(frame, study, outcome, intervals)
    covariates = [str(name) for name in strata]
    size = len(intervals)
    place = np.array([las.index(la) for la in where.las], dtype=np.int64)[where.pairs["la"]]
    slot = (place * size + where.pairs["first"].to_numpy()) * size + where.pairs["last"].to_numpy()
    children = _children(placed, frame, where, slot, strata)
    counts = frame[["n", "y_sum"]].astype(np.int64).assign(pair=where.of_cell)
    found = [_named(_by_place(counts, where.slots, where, []), where, None)]
    phases = where.slots[where.slots["place"].isin(where.phases)]
    for name in covariates:
        levels = frame[name].cat
        of_level = counts.assign(level=levels.codes.to_numpy())
        made = _by_place(of_level, phases, where, ["level"])
        found.append(_named(made, where, (name, levels.categories)))
    table = pd.concat(found, ignore_index=True)
    held = children.set_index("la")
    row = held.index.get_indexer(pd.Index(table["la"]))
    for kind in _kinds(frame):
        bit = held.columns.get_indexer(pd.Index(_of_kind(kind, table["bit"])))
        number = pd.Series(held.to_numpy(np.int64)[row, bit], table.index, "Int64")
        table[kind] = number.where(bit >= 0)  # not counted by level of a covariate
    return _totals(table)


def _kinds(frame: pd.DataFrame) -> tuple[str, ...]:
    """What is counted of children: by outcome only where it is 0 or 1, so equal to its square."""
    return _KINDS if (frame["y_sq"] == frame["y_sum"]).all() else _KINDS[:1]


def _of_kind(kind: str, bits: Iterable[str]) -> list[str]:
    return [f"{kind}_{bit}" for bit in bits]


def _totals(found: pd.DataFrame) -> pd.DataFrame:
    grouped = found.groupby(_KEYS)
    counted = [kind for kind in _KINDS if kind in found]
    total = grouped[["children", "events", "y_sum", *counted[1:]]].sum(min_count=1)
    # Days have no children with and without them.
    total = total.reindex(columns=["children", "events", "y_sum", *_KINDS[1:]])
    total = total.astype({"children": np.int64, **dict.fromkeys(_KINDS[1:], "Int64")})
    total.insert(0, "las", grouped["la"].nunique())
    # What the largest two authorities hold, for the rule that none may dominate.
    rank = grouped["events"].rank(method="first", ascending=False)
    for name, place in (("largest", 1), ("second", 2)):
        held = found[rank == place].set_index(_KEYS)["events"]
        total[name] = held.reindex(total.index, fill_value=0)
    return total.reset_index().sort_values(_KEYS, ignore_index=True)


def _by_place(
    counts: pd.DataFrame, slots: pd.DataFrame, where: _Slots, more: list[str]
) -> pd.DataFrame:
    """Events and sums by authority and place (and level of a covariate)."""
    pair, place = (slots[name].to_numpy() for name in ("pair", "place"))
    level = counts[more[0]].to_numpy(np.int64) if more else np.zeros(len(counts), dtype=np.int64)
    pairs, places, levels = len(where.pairs), len(where.places), int(level.max(initial=0)) + 1
    key = where.pairs["la"].to_numpy(np.int64)[pair] * places + place
    found: dict[str, NDArray[np.int64]] = {}
    for name in ("n", "y_sum"):
        # Sums of whole numbers far below 2^53, so that doubles hold them exactly.
        held = np.bincount(
            counts["pair"].to_numpy(np.int64) * levels + level,
            counts[name].to_numpy(),
            pairs * levels,
        ).reshape(pairs, levels)
        size = len(where.las) * places
        by_level = [np.bincount(key, held[pair, i], size) for i in range(levels)]
        found[name] = np.stack(by_level, axis=1).astype(np.int64)
    there = np.nonzero(found["n"])
    la, at = np.divmod(there[0], places)
    made = pd.DataFrame({"la": la, "place": at, **({more[0]: there[1]} if more else {})})
    return made.assign(events=found["n"][there], y_sum=found["y_sum"][there])


def _named(
    made: pd.DataFrame, where: _Slots, covariate: tuple[str, pd.Index[Any]] | None
) -> pd.DataFrame:
    """Places in words, and the name of the bit that stands for each."""
    place = where.places.iloc[made["place"]]
    phase = [{**PHASES, _ALL: "all"}[int(p)] for p in place["phase"]]
    role = [_ROLES[int(r)] for r in place["role"]]
    if covariate is None:
        margin = [_BASE[int(m)] for m in place["margin"]]
        level = place["level"].astype(str).to_list()
        bit = [f"place_{p}" for p in made["place"]]
    else:
        name, levels = covariate
        margin = [name] * len(made)
        level = [str(levels[i]) for i in made["level"]]
        bit = [f"{name}_{i}_{p}" for i, p in zip(made["level"], made["place"], strict=True)]
    return pd.DataFrame(
        {
            "la": made["la"].to_numpy(),
            **{"margin": margin, "role": role, "phase": phase, "level": level, "bit": bit},
            "events": made["events"].to_numpy(),
            "y_sum": made["y_sum"].to_numpy(),
        }
    )


def _slots(frame: pd.DataFrame, study: Study, outcome: str, intervals: pd.DataFrame) -> _Slots:
    las = [str(la) for la in frame["la"].cat.categories]
    keys = pd.DataFrame(
        {
            "la": frame["la"].cat.codes.to_numpy(),
            "first": frame["first"].to_numpy(),
            "last": frame["last"].to_numpy(),
        }
    )
    of_cell = keys.groupby(["la", "first", "last"], sort=True).ngroup().to_numpy()
    pairs = keys.drop_duplicates().sort_values(["la", "first", "last"], ignore_index=True)
    la, first, last = (pairs[name].to_numpy() for name in pairs.columns)
    year = intervals["year"].to_numpy()
    clock = clock_of(study.outcome(outcome))
    parts: list[NDArray[np.int64]] = []
    for group in study.groups(outcome):
        place = placement(intervals, group, clock)
        inside = np.isin(la, [las.index(x) for x in (group.pilot, *group.comparators) if x in las])
        own = np.flatnonzero(inside)
        role = np.array([las[code] != group.pilot for code in la[own]], dtype=np.int64)
        phase, time = place.of(first[own], last[own])
        kept = phase != DONUT
        for margin, level in enumerate((phase, time, year[first[own]])):
            part = np.column_stack((own, np.full(len(own), margin), role, phase, level))
            parts.append(part[kept].astype(np.int64))
        every = np.full(len(own), _ALL)
        calendar = np.full(len(own), _BASE.index("calendar"))
        parts.append(np.column_stack((own, calendar, role, every, year[first[own]])))
    rows = pd.DataFrame(np.concatenate(parts), columns=["pair", "margin", "role", "phase", "level"])
    rows = rows.drop_duplicates(ignore_index=True)
    what = ["margin", "role", "phase", "level"]
    rows["place"] = rows.groupby(what, sort=True).ngroup()
    places = rows[what].drop_duplicates().sort_values(what, ignore_index=True)
    return _Slots(las, pairs, of_cell, rows[["pair", "place"]], places)


def _children(
    placed: ibis.Table,
    frame: pd.DataFrame,
    where: _Slots,
    slot: NDArray[np.int64],
    strata: pd.DataFrame,
) -> pd.DataFrame:
    """Distinct children by authority (its number), a column for each bit and kind."""
    words = -(-len(where.places) // _BITS)
    pair, place = (where.slots[name].to_numpy() for name in ("pair", "place"))
    masks = np.zeros((words + 1, len(where.pairs)), dtype=np.int64)
    np.bitwise_or.at(masks, (place // _BITS, pair), np.int64(1) << (place % _BITS))
    phases = list(where.phases)
    for i, number in enumerate(phases):
        masks[words, pair[place == number]] |= 1 << i
    named = {f"word_{i}": mask for i, mask in enumerate(masks[:words])}
    bits: dict[str, tuple[str, int]] = {
        f"place_{p}": (f"word_{p // _BITS}", p % _BITS) for p in range(len(where.places))
    }
    # Of a covariate: the bits of the phases, moved up by as much as the level asks for.
    room = _BITS // len(phases)
    moves: dict[str, NDArray[np.int64]] = {}
    for covariate in strata:
        levels = [str(level) for level in frame[covariate].cat.categories]
        told = strata[covariate].cat
        at = pd.Index(levels).get_indexer(told.categories.astype(str))[told.codes]
        for start in range(0, len(levels), room):
            word = f"{covariate}_word_{start}"
            here = (at >= start) & (at < start + room)
            moves[word] = np.where(here, 1 << (np.where(here, at - start, 0) * len(phases)), 0)
            for i in range(len(levels[start : start + room])):
                for j, number in enumerate(phases):
                    bits[f"{covariate}_{start + i}_{number}"] = (word, i * len(phases) + j)
    la = where.pairs["la"].to_numpy(np.int64)
    by_slot = memtable({"slot": slot, "la": la, **named, "phases": masks[words]})
    by_stratum = memtable({"stratum": np.arange(len(strata), dtype=np.int64), **moves})
    keyed = placed.select(
        "child_id",
        "y",
        slot=(placed["cell"] // len(strata)).cast("int64"),
        stratum=(placed["cell"] % len(strata)).cast("int64"),
    )
    mapped = keyed.join(by_slot, "slot").join(by_stratum, "stratum")
    masked = {name: mapped[name] for name in named}
    masked |= {name: mapped["phases"] * mapped[name] for name in moves}
    by_outcome = dict(zip(_KINDS, (1, mapped["y"], 1 - mapped["y"]), strict=True))
    unions, kept = {}, {}
    for kind in _kinds(frame):
        # By level of a covariate no table shows outcomes: those words would cost most.
        wanted = [name for name in masked if kind == _KINDS[0] or name in named]
        for name in wanted:
            unions[f"{kind}_{name}"] = union_of_bits(masked[name] * by_outcome[kind])
        own = {bit: (word, shift) for bit, (word, shift) in bits.items() if word in wanted}
        for bit, (word, shift) in zip(_of_kind(kind, own), own.values(), strict=True):
            kept[bit] = (f"{kind}_{word}", shift)
    return _decoded(mapped.group_by(["la", "child_id"]).aggregate(**unions), list(unions), kept)


def _decoded(
    by_child: ibis.Table, words: Sequence[str], bits: Mapping[str, tuple[str, int]]
) -> pd.DataFrame:
    """Children of each authority that have a bit: the engine counts those alike in a word."""
    import ibis

    with by_child.cache() as held:
        parts = [
            held.select("la", which=ibis.literal(i, "int64"), word=held[name])
            for i, name in enumerate(words)
        ]
        stacked = ibis.union(*parts) if parts[1:] else parts[0]
        alike = stacked.group_by(["la", "which", "word"]).aggregate(n=stacked.count().cast("int64"))
        found = alike.to_pyarrow().to_pandas()
    las, la = np.unique(found["la"].to_numpy(np.int64), return_inverse=True)
    which, word, n = (found[name].to_numpy(np.int64) for name in ("which", "word", "n"))
    made: dict[str, NDArray[np.int64]] = {}
    for i, name in enumerate(words):
        own = which == i
        for bit, (of, shift) in bits.items():
            if of == name:
                held_bit = ((word[own] >> shift) & 1) * n[own]
                made[bit] = np.bincount(la[own], held_bit, len(las)).astype(np.int64)
    return pd.DataFrame({"la": las, **made})
