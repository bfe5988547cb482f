"""Made-up yearly facts of authorities: population, schools, projects, reviews, Ofsted ratings."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sos_analysis.records.synthetic_case import Ints
from sos_analysis.records.synthetic_rates import FIRST_RETURN, YEARS, Plan
from sos_analysis.study import Study

_RATINGS = {"inadequate": 1, "requires improvement": 2, "good": 3, "outstanding": 4}
_RATING_SHARES = (0.15, 0.45, 0.33, 0.07)  # ours
_PROJECT_YEARS = {1: 2015, 2: 2018}  # first year (by its end) of each wave's funding


def authorities(study: Study, chosen: tuple[str, ...]) -> pa.Table:
    """Codes and names: the study's where it names them."""
    names = {a.code: a.name for a in study.authorities}
    label = [names.get(la, f"Made-up authority {la}") for la in chosen]
    return pa.table({"la": pa.array(chosen, pa.string()), "name": pa.array(label, pa.string())})


class Counted:
    """What the original took from the records themselves, by year (named by its end)."""

    def __init__(self) -> None:
        self.assessments: dict[int, int] = {}
        self.white_british: dict[int, float] = {}

    def add(self, name: str, year: int, table: pa.Table) -> None:
        """Count a yearly file: assessments, or White British children per 100 referrals."""
        if name == "assessments":
            self.assessments[year] = table.num_rows
        elif name == "cin" and table.num_rows:
            share = pc.mean(pc.equal(table["CIN_Ethnicity"], "WBRI").cast("float64")).as_py()
            if share is not None:
                self.white_british[year] = round(100 * share, 1)


def la_years(
    study: Study, plan: Plan, la: str, rng: np.random.Generator, counted: Counted
) -> pa.Table:
    """One row a year (by its end); everything drifts slowly, as real measures do.

    Parameters
    ----------
    study : Ofsted histories of the authorities it lists, waves of its pilots.
    plan : populations.
    la, rng : the authority and its stream.
    counted : from its yearly files; null where there is no file.
    """
    years = np.array([year for year in YEARS if year >= FIRST_RETURN])
    n = len(years)
    population = plan.population[plan.codes.index(la)][-n:]
    density = np.exp(6.6 + 1.3 * rng.standard_normal()) * population / population.mean()
    level = 17.0 * np.exp(0.35 * rng.standard_normal())
    drift = np.cumsum(0.3 * rng.standard_normal(n))
    primary = np.clip(level + drift - 0.25 * np.arange(n), 2, 55)
    secondary = np.clip(0.88 * level + 0.8 * drift - 0.2 * np.arange(n), 2, 50)
    reviews = np.clip(96 + 2.5 * rng.standard_normal() + 2 * rng.standard_normal(n), 60, 100)
    return pa.table(
        {
            "la": pa.array([la] * n, pa.string()),
            "year": pa.array(years.astype(np.int16)),
            "population_0_17": pa.array(population.astype(np.int32)),
            "population_density": pa.array(np.round(density, 1)),
            "fsm_primary": pa.array(np.round(primary, 1)),
            "fsm_secondary": pa.array(np.round(secondary, 1)),
            "innovation_projects": pa.array(_projects(study, la, years, rng).astype(np.int16)),
            "cpp_reviews_on_time": pa.array(np.round(reviews, 1)),
            "ofsted": pa.array(_ratings(study, la, years, rng).astype(np.int16)),
            "assessments": pa.array(
                [counted.assessments.get(int(year)) for year in years], pa.int32()
            ),
            "white_british": pa.array(
                [counted.white_british.get(int(year)) for year in years], pa.float64()
            ),
        }
    )


def _projects(study: Study, la: str, years: Any, rng: np.random.Generator) -> Ints:
    """Projects funded so far: the pilots' own waves, and a few elsewhere."""
    waves = next((p.waves for p in study.pilots if p.la == la), None)
    funded = np.zeros(len(years), dtype=np.int64)
    for wave, first in _PROJECT_YEARS.items():
        other = rng.random() < 0.12
        funded += (years >= first) & (other if waves is None else wave in waves)
    return funded


def _ratings(study: Study, la: str, years: Any, rng: np.random.Generator) -> Ints:
    """Rating at each year's end; the first known one is carried back."""
    made_up = rng.choice(4, size=len(years), p=_RATING_SHARES) + 1
    inspected = rng.random(len(years)) < 0.22
    inspected[0] = True
    listed = {a.code: a for a in study.authorities}
    if la in listed and listed[la].ofsted:
        first = listed[la].ofsted[0][1]
        return np.array(
            [_RATINGS[listed[la].ofsted_at(date(int(y), 3, 31)) or first] for y in years]
        )
    latest = np.maximum.accumulate(np.where(inspected, np.arange(len(years)), 0))
    return np.asarray(made_up[latest], dtype=np.int64)
