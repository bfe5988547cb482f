"""Sums over children seen at several times from embedding: all that child fixed effects need.

With an effect for each child (in a matched group) a regression needs, beside plain counts, sums
over children of products of their own counts, parted by how many events a child has. The engine
adds these up as whole numbers; no child leaves it. A child seen at one time alone says nothing
about change and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sos_analysis.cells import DONUT, calendar, clock_of, place_events, placement, select

if TYPE_CHECKING:
    import ibis

    from sos_analysis.study import Study


@dataclass(frozen=True)
class ChildSums:
    """Whole-number sums by matched group, authority, events a child has (`m`) and event time.

    Attributes
    ----------
    single : `group`, `la`, `treated`, `time`, `post`, `m`; sums over children of their events at
        that time (`n`), the outcome of these (`y`) and events there x outcome in all (`n_total`).
    pairs : `group`, `la`, `m`, `time`, `other`; sum over children of events at one time x at the
        other (`product`).
    children : children in authorities, counted once for each group that has them.
    """

    single: pd.DataFrame
    pairs: pd.DataFrame
    children: int


def child_sums(events: ibis.Table, study: Study, outcome: str) -> ChildSums:
    """Add up in the engine (see module).

    Parameters
    ----------
    events : as in `cells.collapse`; covariates are not used.
    """
    import ibis
    import pyarrow as pa

    groups = study.groups(outcome)
    intervals = calendar(study, outcome)
    sample = sorted({la for g in groups for la in (g.pilot, *g.comparators)})
    child = ["group", "la", "child_id"]
    with place_events(select(events, outcome, (), sample), intervals).cache() as placed:
        there = placed.select("la", "first", "last").distinct().to_pyarrow().to_pandas()
        table = ibis.memtable(pa.Table.from_pandas(_map(study, outcome, intervals, there)))
        mapped = placed.join(table, ["la", "first", "last"])
        by_time = mapped.group_by([*child, "time"]).aggregate(
            n=mapped.count().cast("int64"), y=mapped["y"].sum().cast("int64")
        )
        with by_time.cache() as counted:
            return _sums(counted, [g.pilot for g in groups], child)


def _sums(by_time: ibis.Table, pilots: list[str], child: list[str]) -> ChildSums:
    total = by_time.group_by(child).aggregate(
        m=by_time["n"].sum().cast("int64"),
        y_all=by_time["y"].sum().cast("int64"),
        times=by_time.count(),
    )
    kept = by_time.join(total.filter(total["times"] > 1).drop("times"), child)
    with kept.select(*child, "time", "n", "y", "m", "y_all").cache() as held:
        single = held.group_by(["group", "la", "m", "time"]).aggregate(
            n=held["n"].sum().cast("int64"),
            y=held["y"].sum().cast("int64"),
            n_total=(held["n"] * held["y_all"]).sum().cast("int64"),
        )
        second = held.select(*child, other="time", also="n")
        both = held.join(second, child)
        pairs = both.group_by(["group", "la", "m", "time", "other"]).aggregate(
            product=(both["n"] * both["also"]).sum().cast("int64")
        )
        children = held.select(*child).distinct().count().to_pyarrow().as_py()
        one, two = (t.to_pyarrow().to_pandas() for t in (single, pairs))
    one["treated"] = (np.array(pilots)[one["group"].to_numpy()] == one["la"].to_numpy()).astype(int)
    # Years since embedding are 0 and more, years before it negative: time tells the phase.
    one["post"] = (one["time"] >= 0).astype(int)
    return ChildSums(
        single=one.sort_values(["group", "la", "m", "time"], ignore_index=True),
        pairs=two.sort_values(["group", "la", "m", "time", "other"], ignore_index=True),
        children=int(children),
    )


def _map(study: Study, outcome: str, intervals: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Event time in every group of its own of each authority's pairs of intervals that are there.

    Of these alone: all pairs there could be are millions, and they would be the largest table.
    """
    first, last = there["first"].to_numpy(), there["last"].to_numpy()
    parts = []
    for i, group in enumerate(study.groups(outcome)):
        phase, time = placement(intervals, group, clock_of(study.outcome(outcome))).of(first, last)
        inside = (phase != DONUT) & there["la"].isin([group.pilot, *group.comparators]).to_numpy()
        part = there[inside].assign(group=np.int64(i), time=time[inside].astype(np.int64))
        parts.append(part[["group", "la", "first", "last", "time"]])
    return pd.concat(parts, ignore_index=True)
