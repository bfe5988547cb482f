"""Made-up matched designs and panels for the tests of estimation: cell rows and series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sos_analysis.estimation.permutation import SlotSeries

YEARS = 12


@dataclass(frozen=True)
class Design:
    """Cell rows of a matched sample and the series of every cluster in every place."""

    frame: pd.DataFrame
    series: SlotSeries


def matched(
    rng: np.random.Generator,
    *,
    pilots: int = 9,
    pool: int = 12,
    size_sd: float = 0.7,
    shock_sd: float = 0.03,
    rho: float = 0.7,
    effect: float = 0.0,
    drift: float = 0.0,
    years: int = YEARS,
    strata: int = 1,
    mean_size: float = 400.0,
) -> Design:
    """Pilots with two comparators each, drawn from a pool, so comparators are shared.

    LA-by-year AR(1) shocks of standard deviation `shock_sd`, log-normal sizes, staggered dates, one
    or two embedding years left out, binary outcomes. `strata` cells per LA, group and year differ
    in a covariate and in weight. Pilots drift by `drift` a year whatever the programme does.
    """
    las = [f"{i:03d}" for i in range(pilots + pool)]
    start = rng.integers(4, years - 4, pilots)
    end = start + rng.integers(1, 3, pilots)
    groups = [
        (p, rng.choice(np.arange(pilots, pilots + pool), 2, replace=False)) for p in range(pilots)
    ]
    used = sorted({p for p, _ in groups} | {int(c) for _, pair in groups for c in pair})
    shock = np.zeros((len(las), years))
    shock[:, 0] = rng.normal(0, shock_sd, len(las))
    for t in range(1, years):
        step = rng.normal(0, shock_sd * np.sqrt(1 - rho**2), len(las))
        shock[:, t] = rho * shock[:, t - 1] + step
    own = np.zeros((len(las), years))
    for p in range(pilots):
        own[p, end[p] :] = 1.0
        own[p, start[p] : end[p]] = 0.5
    level = 0.3 + rng.normal(0, 0.05, len(las))[:, None] + rng.normal(0, 0.02, years)[None]
    level = level + drift * (np.arange(len(las)) < pilots)[:, None] * np.arange(years)[None]
    size = np.exp(rng.normal(np.log(mean_size), size_sd, len(las)))
    n = np.maximum(rng.poisson(size[:, None, None] / strata, (len(las), years, strata)), 1)
    chance = (level + shock + effect * own)[:, :, None] + 0.05 * np.arange(strata)
    y = rng.binomial(n, np.clip(chance, 0.01, 0.99))
    copies = {la: sum(la in (p, *pair) for p, pair in groups) for la in used}

    rows, places = [], []
    for g, (p, pair) in enumerate(groups):
        for t in range(years):
            if start[p] <= t < end[p]:
                continue
            time = t - start[p] if t < start[p] else t - end[p]
            places.append((g, time, t))
            for la in (p, *pair):
                for s in range(strata):
                    matching = 1.0 if la == p else 0.5 + 0.5 * ((s + la) % 3)
                    rows.append(
                        (
                            f"P{g}",
                            las[la],
                            int(la == p),
                            int(t >= end[p]),
                            int(time),
                            2000 + t,
                            f"s{s}",
                            n[la, t, s],
                            y[la, t, s],
                            matching / copies[la],
                            copies[la],
                        )
                    )
    names = ["group", "la", "treated", "post", "event_time", "year", "stratum"]
    names += ["n", "y_sum", "weight", "copies"]
    frame = pd.DataFrame(rows, columns=names)
    place = np.array(places)
    total, sums = n.sum(axis=2), y.sum(axis=2)
    series = SlotSeries(
        las=[las[la] for la in used],
        groups=[f"P{g}" for g in range(pilots)],
        place_group=place[:, 0],
        place_time=place[:, 1],
        n=total[used][:, place[:, 2]],
        mean=(sums / total)[used][:, place[:, 2]],
        exposure=own[used][:, place[:, 2]],
    )
    return Design(frame, series)


def panel(
    rng: np.random.Generator,
    *,
    clusters: int,
    treated: int,
    periods: int = 8,
    adopt: int = 5,
    effect: float = 0.0,
) -> pd.DataFrame:
    """An unmatched panel with AR(1) errors (rho 0.7) and one adoption date."""
    shock = np.zeros((clusters, periods))
    shock[:, 0] = rng.normal(0, 1, clusters)
    for t in range(1, periods):
        shock[:, t] = 0.7 * shock[:, t - 1] + rng.normal(0, np.sqrt(0.51), clusters)
    time = np.tile(np.arange(periods), clusters)
    la = np.repeat(np.arange(clusters), periods)
    is_treated, post = (la < treated).astype(int), (time >= adopt).astype(int)
    return pd.DataFrame(
        {
            "la": [f"{i:03d}" for i in la],
            "treated": is_treated,
            "post": post,
            "event_time": time - adopt,
            "n": 1,
            "y_sum": shock.reshape(-1) + effect * is_treated * post,
        }
    )
