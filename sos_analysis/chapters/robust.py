"""One outcome, pushed from many sides: the numbers behind the chapter on robustness.

All act on the same cells and, unless said otherwise, on the preferred specification. Internal
units. What a thin sample does not allow is None, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.chapters.children import ChildFit, within_children
from sos_analysis.chapters.fit import drawn, model_covariates
from sos_analysis.chapters.kept_curve import kept_curve
from sos_analysis.chapters.missing import MissingFit, imputed
from sos_analysis.chapters.threats import PLACEBO_DRAWS, Small, Threats, small, threats, tried
from sos_analysis.comparison import matched, series
from sos_analysis.comparison.panel import authority_years
from sos_analysis.errors import ParameterError
from sos_analysis.estimation import did
from sos_analysis.estimation.event_study import event_study
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.grams import crv3, fit
from sos_analysis.estimation.inference import t_test
from sos_analysis.workspace import cells_for

if TYPE_CHECKING:
    import pandas as pd

    from sos_analysis.cells import Cells
    from sos_analysis.estimation.estimate import Estimate
    from sos_analysis.estimation.frames import Ints
    from sos_analysis.estimation.specifications import Curve
    from sos_analysis.study import Study
    from sos_analysis.study.universe import Universe

#: Fixed before the referral, so that no way of working can change them: (covariate, level, words).
PLACEBO_OUTCOMES = (
    ("sex", "male", "Share of boys"),
    ("ethnicity", "White", "Share of White children"),
)


#: Dates dealt anew for each estimator: it is fitted again every time, so p has two decimals only.
DATE_DRAWS = 99


@dataclass(frozen=True)
class Staggered:
    """Estimators that know staggered dates, on authorities by fiscal year."""

    estimates: tuple[Small, ...]
    forbidden: float
    negative: float
    cells: int


@dataclass(frozen=True)
class RobustFit:
    """All checks of one outcome under one definition."""

    outcome: str
    definition: str
    preferred: Estimate
    threats: Threats
    placebos: tuple[Small, ...]
    staggered: Staggered | None
    missing: MissingFit | None
    children: ChildFit | None
    curve: Curve


def robust_fit(
    study: Study, outcome: str, chosen: Mapping[str, Any], universe: Universe
) -> RobustFit:
    """Run every check of one outcome.

    Raises
    ------
    RecordsError, FrameError : the preferred specification or the curve cannot be computed.
    """
    definition = chosen["definition"]
    draws, seed = drawn(study, chosen)
    cells = cells_for(study, chosen["extract"], outcome, definition)
    sample = matched(cells, study, outcome, cem=chosen["cem"], thin_groups="drop")
    covariates = model_covariates(study, outcome, cells, chosen)
    placed = series(cells, study, outcome, sample=sample, adjust=covariates)
    table = cell_table(sample.frame, covariates)
    preferred = did.estimate(table, placed, covariates=covariates, draws=draws, seed=seed)
    years = tried(lambda: event_study(table, covariates, draws=99, seed=seed))
    own = threats(table, placed, years, draws=draws, seed=seed)
    few = min(draws, PLACEBO_DRAWS)
    placebos = (
        own.placebo,
        tried(lambda: _placebo_pilots(cells, study, outcome, covariates, chosen, few, seed)),
        *(
            tried(partial(_placebo_outcome, cells, study, outcome, few, seed, *what))
            for what in PLACEBO_OUTCOMES
        ),
    )
    return RobustFit(
        outcome=outcome,
        definition=definition,
        preferred=preferred,
        threats=own,
        placebos=tuple(found for found in placebos if found is not None),
        staggered=tried(lambda: staggered(cells, study, outcome, covariates, seed)),
        missing=tried(lambda: imputed(study, outcome, cells, chosen, seed=seed)),
        children=tried(lambda: within_children(study, outcome, definition, chosen)),
        curve=kept_curve(study, outcome, chosen["extract"], universe, seed=seed),
    )


def _placebo_pilots(
    cells: Cells, study: Study, outcome: str, covariates: list[str], chosen: Mapping[str, Any],
    draws: int, seed: int,
) -> Small:  # fmt: skip
    """The first comparator of each group as its pilot, the second as comparator."""
    from sos_analysis.study import Group

    groups = [
        Group(g.id, g.comparators[0], g.comparators[1:], g.start, g.end)
        for g in study.groups(outcome)
        if len(g.comparators) > 1
    ]
    sample = matched(cells, study, outcome, cem=chosen["cem"], groups=groups, thin_groups="drop")
    placed = series(cells, study, outcome, sample=sample, adjust=covariates)
    table = cell_table(sample.frame, covariates)
    return small("Comparators as pilots", table, placed, draws, seed)


def _placebo_outcome(
    cells: Cells, study: Study, outcome: str, draws: int, seed: int,
    covariate: str, level: str, label: str,
) -> Small:  # fmt: skip
    """A characteristic that nothing after the referral can change, as the outcome."""
    if covariate not in cells.covariates:
        raise ParameterError(f"the cells do not carry {covariate!r}")
    hit = (cells.frame[covariate] == level).to_numpy(np.int64) * cells.frame["n"].to_numpy()
    turned = replace(cells, frame=cells.frame.assign(y_sum=hit, y_sq=hit))
    sample = matched(turned, study, outcome, cem=False, thin_groups="drop")
    placed = series(turned, study, outcome, sample=sample, adjust=())
    table = cell_table(sample.frame)
    return small(label, table, placed, draws, seed)


# --- staggered dates --------------------------------------------------------------------------


def staggered(
    cells: Cells, study: Study, outcome: str, covariates: list[str], seed: int
) -> Staggered:
    """Two-way fixed effects, and the estimators made for staggered dates, side by side."""
    from sos_analysis.estimation.staggered import (
        aggregate,
        callaway_santanna,
        imputation,
        permute_dates,
        sun_abraham,
        twfe_weights,
    )

    panel = authority_years(cells, study, outcome, adjust=covariates)
    pilots = int(panel.loc[panel["cohort"] > 0, "la"].nunique())
    y, time, n, unit = (panel[c].to_numpy() for c in ("mean", "year", "n", "la"))
    names, row = np.unique(unit, return_inverse=True)
    dates = panel.groupby("la", sort=True)[["cohort", "start"]].first().to_numpy()

    def group_time(dealt: Ints) -> tuple[float, float]:
        first, begin = dates[dealt][row].T
        # Without covariates every method is the same; 'reg' takes the least time.
        effects = callaway_santanna(y, time, first, cluster=unit, n=n, start=begin, method="reg")
        found = aggregate(effects, leads_from="start")
        return found.overall, found.overall_se

    def imputing(dealt: Ints) -> tuple[float, float]:
        first, begin = dates[dealt][row].T
        found = imputation(y, time, first, unit=unit, weight=n, n=n, start=begin)
        return found.overall, found.overall_se

    def interacted(dealt: Ints) -> tuple[float, float]:
        first, begin = dates[dealt][row].T
        found = sun_abraham(y, time, first, unit=unit, weight=n, n=n, start=begin)
        return found.overall, found.overall_se

    outside = panel[(panel["year"] < panel["start"]) | (panel["year"] >= panel["cohort"])]
    outside = outside.assign(
        treated=(outside["cohort"] > 0).astype(int),
        post=((outside["cohort"] > 0) & (outside["year"] >= outside["cohort"])).astype(int),
        y_sum=outside["mean"] * outside["n"],
        event_time=outside["year"],
    )
    grams = did.preferred_grams(cell_table(outside))
    weights = twfe_weights(outside["post"], outside["year"], outside["la"], weight=outside["n"])
    value, se = float(fit(grams).beta[0]), float(np.sqrt(crv3(grams)[0, 0]))
    ends = t_test(value, se, pilots - 1)[1]
    estimates = [Small("Two-way fixed effects", value, ends, float("nan"), pilots)]
    for label, one in (
        ("Callaway and Sant'Anna", group_time),
        ("Imputation", imputing),
        ("Sun and Abraham", interacted),
    ):
        dealt = permute_dates(one, len(names), draws=DATE_DRAWS, seed=seed)
        ends = t_test(dealt.att, dealt.se, pilots - 1)[1]
        estimates.append(Small(label, dealt.att, ends, dealt.p_t, pilots))
    synthetic = tried(lambda: _synthetic(panel))
    return Staggered(
        estimates=(*estimates, *([synthetic] if synthetic else ())),
        forbidden=_forbidden(panel),
        negative=weights.negative_share,
        cells=weights.negative,
    )


def _forbidden(panel: pd.DataFrame) -> float:
    """Weight of comparisons with pilots treated already; NaN if the panel is not balanced."""
    from sos_analysis.estimation.staggered import goodman_bacon

    try:
        found = goodman_bacon(panel["mean"], panel["year"], panel["cohort"], panel["la"])
    except FrameError:
        return float("nan")
    return found.forbidden


def _synthetic(panel: pd.DataFrame) -> Small:
    """Synthetic difference-in-differences, pilot by pilot without its embedding years.

    The average goes by years after embedding; the error is the jackknife over authorities with
    weights held fixed (Arkhangelsky et al. 2021, algorithm 3).
    """
    from sos_analysis.estimation.staggered import synthetic_did

    donors = panel[panel["cohort"] == 0]
    names = sorted(donors["la"].unique())
    own_change, donor_change, weights, sizes = [], [], [], []
    for la, own in panel[panel["cohort"] > 0].groupby("la", sort=True):
        cohort, start = own["cohort"].iloc[0], own["start"].iloc[0]
        both = panel.loc[donors.index.union(own.index)]
        kept = both[(both["year"] < start) | (both["year"] >= cohort)]
        years = np.unique(kept["year"])
        before = years < start
        if before.all() or before.sum() < 2:
            continue
        found = synthetic_did(kept["mean"], kept["year"], kept["cohort"], kept["la"])
        wide = kept.pivot_table(index="la", columns="year", values="mean")
        change = wide.loc[:, ~before].mean(axis=1) - (
            wide.loc[:, before].to_numpy() @ found.cohorts[0].time_weights
        )
        order = [found.donors.index(name) for name in names]
        own_change.append(float(change[la]))
        donor_change.append(change[names].to_numpy())
        weights.append(found.cohorts[0].unit_weights[order])
        sizes.append(int((~before).sum()))
    if len(sizes) < 2:
        raise FrameError("fewer than two pilots have years enough for synthetic weights")
    mine, others, omega = np.array(own_change), np.stack(donor_change), np.stack(weights)
    size = np.array(sizes, float)

    def average(pilots: np.ndarray, donor: np.ndarray) -> float:
        total = (omega * donor).sum(axis=1)
        if (total <= 0).any():
            raise FrameError("one comparator carries the whole weight of a pilot")
        gap = mine - (omega * donor * others).sum(axis=1) / total
        return float(np.average(gap, weights=size * pilots))

    every, all_donors = np.ones(len(mine)), np.ones(len(names))
    value = average(every, all_donors)
    left = [average(np.where(np.arange(len(mine)) == i, 0.0, 1.0), all_donors)
            for i in range(len(mine))]  # fmt: skip
    left += [average(every, np.where(np.arange(len(names)) == j, 0.0, 1.0))
             for j in range(len(names))]  # fmt: skip
    count = len(left)
    se = float(np.sqrt((count - 1) / count * np.sum((np.array(left) - value) ** 2)))
    ends = t_test(value, se, len(mine) - 1)[1]
    return Small("Synthetic difference-in-differences", value, ends, float("nan"), len(mine))
