"""A made-up matched design that stays, and worlds drawn on it: for Monte Carlo on slot means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_analysis.estimation.permutation import SlotSeries


@dataclass(frozen=True)
class World:
    """Pilots with two comparators each from a shared pool, staggered dates, one embedding year.

    Attributes
    ----------
    las : clusters, the pilots first. start : first embedding year of each pilot.
    groups : (pilot, comparators) as positions in `las`. n : individuals of a cluster in a year.
    """

    las: tuple[str, ...]
    start: np.ndarray
    groups: tuple[tuple[int, tuple[int, int]], ...]
    n: np.ndarray

    @property
    def pilots(self) -> tuple[str, ...]:
        return self.las[: len(self.groups)]

    def places(self) -> list[tuple[int, int, int]]:
        """(group, event time, year) of every place."""
        out = []
        for g, first in enumerate(self.start):
            for t in range(self.n.shape[1]):
                if t != first:
                    out.append((g, int(t - first - (t > first)), t))
        return out

    def draw(
        self,
        rng: np.random.Generator,
        effect: np.ndarray,
        *,
        use: np.ndarray | None = None,
        since: int | None = None,
        shock_sd: float = 0.02,
        rho: float = 0.7,
        noise: float = 0.45,
    ) -> tuple[pd.DataFrame, SlotSeries]:
        """Cell rows and series of one world.

        Parameters
        ----------
        effect : full effect of each cluster's own exposure (L).
        use, since : comparators' share of it (L), from the embedding of the group each serves on,
            or from a year (2000 is the first) on.
        shock_sd, rho : AR(1) shocks to a cluster in a year. noise : SD of an individual's outcome.
        """
        size, years = self.n.shape
        shock = np.zeros((size, years))
        shock[:, 0] = rng.normal(0, shock_sd, size)
        for t in range(1, years):
            step = rng.normal(0, shock_sd * np.sqrt(1 - rho**2), size)
            shock[:, t] = rho * shock[:, t - 1] + step
        chance = rng.normal(0, noise / np.sqrt(self.n))
        base = rng.normal(0.3, 0.05, (size, 1)) + rng.normal(0, 0.02, (1, years)) + shock + chance
        places = self.places()
        year = np.array([t for _, _, t in places])
        after = np.array([int(t > self.start[g]) for g, _, t in places])
        own = np.zeros((size, len(places)))
        for p, first in enumerate(self.start):
            own[p] = np.where(year < first, 0.0, np.where(year == first, 0.5, 1.0))
        share = np.zeros(size) if use is None else use
        using = after if since is None else (year + 2000 >= since)
        mean = base[:, year] + effect[:, None] * (own + share[:, None] * using)
        copies = np.bincount([la for p, pair in self.groups for la in (p, *pair)], minlength=size)
        rows = []
        for s, (g, time, t) in enumerate(places):
            pilot, pair = self.groups[g]
            for la in (pilot, *pair):
                n = self.n[la, t]
                rows.append(
                    (f"P{g}", self.las[la], int(la == pilot), after[s], time, 2000 + t, n,
                     n * mean[la, s], 1 / copies[la], copies[la])
                )  # fmt: skip
        names = ["group", "la", "treated", "post", "event_time", "year", "n", "y_sum"]
        series = SlotSeries(
            las=self.las,
            groups=[f"P{g}" for g in range(len(self.groups))],
            place_group=np.array([g for g, _, _ in places]),
            place_time=np.array([time for _, time, _ in places]),
            n=self.n[:, year],
            mean=mean,
            exposure=own,
        )
        return pd.DataFrame(rows, columns=[*names, "weight", "copies"]), series


def world(seed: int, *, pilots: int = 9, pool: int = 14, years: int = 11) -> World:
    """A design: every comparator of the pool serves at least one pilot while there are places."""
    rng = np.random.default_rng(seed)
    dealt = list(rng.permutation(np.arange(pilots, pilots + pool)))
    groups = []
    for p in range(pilots):
        pair = [int(dealt.pop()) if dealt else int(rng.integers(pilots, pilots + pool))]
        second = int(dealt.pop()) if dealt else pair[0]
        while second == pair[0]:
            second = int(rng.integers(pilots, pilots + pool))
        groups.append((p, (pair[0], second)))
    size = np.exp(rng.normal(np.log(600), 0.6, pilots + pool))
    return World(
        las=tuple(f"{i:03d}" for i in range(pilots + pool)),
        start=rng.integers(4, years - 3, pilots),
        groups=tuple(groups),
        n=np.maximum(rng.poisson(size[:, None], (pilots + pool, years)), 20),
    )
