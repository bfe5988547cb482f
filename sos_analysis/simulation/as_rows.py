"""A made-up data set as an analyst has it: cell rows, and the series of a matched design."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sos_analysis.estimation.frames import Floats, Ints
from sos_analysis.estimation.permutation import SlotSeries

from .worlds import World

#: The shock year 0 of a world, as the fiscal year of its rows.
FIRST_YEAR = 2000


class Rows:
    """Rows of a world by unit, place and year; only their outcomes differ between data sets."""

    def __init__(self, world: World) -> None:
        self.world = world
        years = np.arange(int(world.year.max()) + 1)
        unit: list[int] = []
        at: list[int] = []
        year: list[int] = []
        row: list[int] = []
        for m, (u, place) in enumerate(zip(world.role, world.place, strict=True)):
            mine = world.inside[place] * world.n[u]
            for t in years[np.bincount(world.year, mine, len(years)) > 0]:
                unit.append(int(u))
                at.append(int(place))
                year.append(int(t))
                row.append(m)
        self.unit: Ints = np.array(unit, dtype=np.int64)
        place_of, rows = np.array(at, dtype=np.int64), np.array(row, dtype=np.int64)
        #: M x T: which cells a row holds.
        self.cells: Floats = world.inside[place_of] * (world.year == np.array(year)[:, None])
        self.n: Floats = (self.cells * world.n[self.unit]).sum(axis=1)
        self._frame = pd.DataFrame(
            {
                "group": [f"{g:02d}" for g in world.place_group[place_of]],
                "la": [world.units[u] for u in unit],
                "treated": world.row_treated[rows],
                "post": world.place_post[place_of],
                "event_time": world.place_time[place_of],
                "year": FIRST_YEAR + np.array(year),
                "n": self.n,
                "weight": world.row_weight[rows] / world.place_n[self.unit, place_of],
            }
        )

    def frame(self, y_sum: Floats) -> pd.DataFrame:
        """Cell rows (see `frames.cell_table`) of sums by cell, L x T."""
        return self._frame.assign(y_sum=(self.cells * y_sum[self.unit]).sum(axis=1))

    def series(self, y_sum: Floats) -> SlotSeries:
        """Means of every unit in every place; 0 where it has no individuals."""
        world, n = self.world, self.world.place_n
        safe = np.where(n > 0, n, 1.0)
        return SlotSeries(
            las=list(world.units),
            groups=[f"{g:02d}" for g in range(int(world.place_group.max()) + 1)],
            place_group=world.place_group,
            place_time=world.place_time,
            n=n,
            mean=y_sum @ world.inside.T / safe,
            exposure=(world.n * world.exposure) @ world.inside.T / safe,
        )
