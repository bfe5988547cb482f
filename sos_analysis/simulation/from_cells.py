"""The design and the counts of a study as a world to draw outcomes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sos_analysis.cells import DONUT, placement
from sos_analysis.comparison.slots import exposure_by_interval
from sos_analysis.numbering import distinct

from .worlds import World

if TYPE_CHECKING:
    from sos_analysis.cells import Cells
    from sos_analysis.comparison import MatchedSample
    from sos_analysis.study import Study


def world_of(cells: Cells, study: Study, sample: MatchedSample) -> World:
    """Pilots, comparators, dates, weights and counts of a matched sample, without its outcomes.

    A cell is an authority's events in one pair of calendar intervals (event, end of window), over
    all strata of covariates. Counts are the study's own; nothing of the outcomes is kept.
    """
    frame = sample.frame
    las = tuple(sorted(frame["la"].astype(str).unique()))
    code = pd.Categorical(cells.frame["la"].astype(str)).set_categories(list(las)).codes
    rows = cells.frame[code >= 0]
    la = code[code >= 0].astype(np.int64)
    first, last = (rows[name].to_numpy(np.int64) for name in ("first", "last"))
    at, cell = distinct([first, last])
    first, last = first[at], last[at]
    n = np.zeros((len(las), len(at)))
    np.add.at(n, (la, cell), rows["n"].to_numpy(float))
    year = cells.intervals["year"].to_numpy(np.int64)[first]

    keys = (
        frame.assign(
            la=frame["la"].astype(str),
            group=frame["group"].astype(str),
            w=frame["n"] * frame["weight"],
        )
        .groupby(["group", "event_time", "post", "la", "treated"], observed=True)["w"]
        .sum()
    )
    table = keys.reset_index()
    table = table[table["w"] > 0]
    places = table[["group", "event_time", "post"]].drop_duplicates().reset_index(drop=True)
    order = {tuple(key): i for i, key in enumerate(places.itertuples(index=False))}
    inside = np.zeros((len(places), len(at)))
    numbers = {g.id: i for i, g in enumerate(sample.groups)}
    exposure = exposure_by_interval(cells.intervals, study, sample.outcome, las)[:, first]
    since = np.zeros_like(exposure)
    for group in sample.groups:
        place = placement(cells.intervals, group, sample.clock)
        phase, time = place.of(first, last)
        for (name, event_time, post), i in order.items():
            if name == group.id:
                inside[i] = (phase != DONUT) & (time == event_time) & ((phase == 1) == bool(post))
        since[las.index(group.pilot)] = np.where(phase == 1, place.since[first], 0)
    pilots = {g.pilot for g in sample.groups}
    place_of = [
        order[key] for key in zip(table["group"], table["event_time"], table["post"], strict=True)
    ]
    return World(
        units=las,
        n=n,
        year=year - year.min(),
        exposure=exposure,
        since=since,
        treated=np.array([int(name in pilots) for name in las]),
        place_group=np.array([numbers[str(g)] for g in places["group"]], dtype=np.int64),
        place_time=places["event_time"].to_numpy(np.int64),
        place_post=places["post"].to_numpy(np.int64),
        inside=inside,
        role=table["la"].map({name: i for i, name in enumerate(las)}).to_numpy(np.int64),
        place=np.array(place_of, dtype=np.int64),
        row_treated=table["treated"].to_numpy(np.int64),
        row_weight=table["w"].to_numpy(float),
    )
