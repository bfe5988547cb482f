"""One outcome under one definition: from cells to both specifications and the event study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.comparison import MatchedSample, matched, series
from sos_analysis.errors import StudyError
from sos_analysis.workspace import EXTRAS, cells_for, la_years

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sos_analysis.cells import Cells
    from sos_analysis.chapters.threats import Threats
    from sos_analysis.estimation.estimate import Estimate
    from sos_analysis.estimation.event_study import EventStudy
    from sos_analysis.estimation.frames import CellTable
    from sos_analysis.study import Study

#: Authority-year covariates of the original's model (those the extract holds).
LA_COVARIATES = (
    "assessments",
    "ofsted",
    "population_density",
    "fsm_primary",
    "fsm_secondary",
    "innovation_projects",
    "white_british",
    "cpp_reviews_on_time",
)


#: What is computed for matched groups, as a study file declares it.
COMPUTED: Mapping[str, str | float] = {
    "matched_primary": "slot permutation",
    "matched_secondary": "WCR-31",
    "level": 0.95,
}


@dataclass(frozen=True)
class OutcomeFit:
    """Sample, estimates and event study of one outcome under one definition.

    Estimates are in internal units: proportions, or working days. `table` is the sample as the
    preferred specification reads it, `with_years` as the original's does, with authority-year
    covariates. `threats` where asked for.
    """

    outcome: str
    definition: str
    cells: Cells
    sample: MatchedSample
    table: CellTable
    with_years: CellTable
    original: Estimate
    preferred: Estimate
    event_study: EventStudy
    threats: Threats | None = None


@dataclass(frozen=True)
class CompanionFit:
    """An outcome shown beside the main one, so that a change in who is counted is seen."""

    label: str
    scale: int
    unit: str
    estimate: Estimate


#: By outcome: what is shown beside it, as (outcome, overrides, label).
COMPANIONS: Mapping[str, tuple[tuple[str, Mapping[str, Any], str], ...]] = {
    "duration": (("duration", EXTRAS["duration"], "Took longer than 45 working days"),),
    "rereferral": (
        ("nfa_share", {}, "Share of referrals closed with no further action"),
        ("rereferral_all", {}, "Re-referral within six months of any referral"),
    ),
    "escalation": (("nfa_share", {}, "Share of referrals closed with no further action"),),
}


def companions(
    study: Study, outcome: str, definition: str, chosen: Mapping[str, Any]
) -> tuple[CompanionFit, ...]:
    """Preferred estimates of what is shown beside an outcome."""
    from sos_analysis.estimation import did

    made = []
    for name, overrides, label in COMPANIONS.get(outcome, ()):
        cells = cells_for(study, chosen["extract"], name, definition, overrides)
        sample = matched(cells, study, name, cem=chosen["cem"], thin_groups="drop")
        covariates = model_covariates(study, name, cells, chosen)
        draws, seed = drawn(study, chosen)
        found = did.estimate(
            sample.frame,
            series(cells, study, name, sample=sample, adjust=covariates),
            covariates=covariates,
            draws=draws,
            seed=seed,
        )
        made.append(CompanionFit(label, 100, "per 100", found))
    return tuple(made)


def drawn(study: Study, chosen: Mapping[str, Any]) -> tuple[int, int]:
    """Draws and seed: a chapter's own, or those of the study file where it gives 0."""
    return chosen["draws"] or study.inference.draws, chosen["seed"] or study.inference.seed


def _check_declared(study: Study) -> None:
    """Refuse a declaration that would be ignored: readers take it for what was done."""
    rules = study.inference
    declared = {
        "matched_primary": rules.matched_primary,
        "matched_secondary": rules.matched_secondary,
        "level": rules.level,
    }
    for key, value in declared.items():
        if value != COMPUTED[key]:
            raise StudyError(
                f"{study.path.name}: inference.{key} is {value!r}, but the chapters compute "
                f"{COMPUTED[key]!r} for matched groups; set it so."
            )


def model_covariates(
    study: Study, outcome: str, cells: Cells, chosen: Mapping[str, Any]
) -> list[str]:
    """Covariates of the regression that the cells carry, or none where the chapter asks so."""
    wanted = study.outcome(outcome).model_covariates if chosen["covariates"] else ()
    return [name for name in wanted if name in cells.covariates]


def fit(
    study: Study,
    outcome: str,
    definition: str,
    chosen: Mapping[str, Any],
    *,
    with_threats: bool = False,
) -> OutcomeFit:
    """Estimate one outcome under one definition with a chapter's parameters.

    Raises
    ------
    StudyError : the study declares an inference that is not what is computed here.
    """
    from sos_analysis.chapters.threats import threats
    from sos_analysis.estimation import did
    from sos_analysis.estimation.event_study import event_study
    from sos_analysis.estimation.frames import cell_table

    _check_declared(study)
    cells = cells_for(study, chosen["extract"], outcome, definition)
    sample = matched(cells, study, outcome, cem=chosen["cem"], thin_groups="drop")
    covariates = model_covariates(study, outcome, cells, chosen)
    placed = series(cells, study, outcome, sample=sample, adjust=covariates)
    draws, seed = drawn(study, chosen)
    frame, extra = with_la_years(sample.frame, la_years(study, chosen["extract"]))
    extra = extra if chosen["covariates"] else ()
    table = cell_table(sample.frame, covariates)
    with_years = cell_table(frame, covariates, extra)
    years = event_study(table, covariates=covariates, series=placed, draws=draws, seed=seed)
    return OutcomeFit(
        outcome=outcome,
        definition=definition,
        cells=cells,
        sample=sample,
        table=table,
        with_years=with_years,
        original=did.estimate(
            with_years,
            placed,
            specification="original",
            covariates=covariates,
            la_covariates=extra,
            draws=draws,
            seed=seed,
        ),
        preferred=did.estimate(
            table,
            placed,
            specification="preferred",
            covariates=covariates,
            draws=draws,
            seed=seed,
        ),
        event_study=years,
        threats=threats(table, placed, years, draws=draws, seed=seed) if with_threats else None,
    )


def with_la_years(
    frame: pd.DataFrame, by_year: pd.DataFrame
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join authority-year covariates; gaps interpolated within an authority, then standardised.

    As in the original: linear between years, the nearest known value at the ends, mean 0 and
    standard deviation 1 over the rows of the sample. A covariate that does not vary is left out.
    """
    names = [name for name in LA_COVARIATES if name in by_year.columns]
    filled = by_year[["la", "year", *names]].sort_values(["la", "year"]).copy()
    places = list(filled.groupby("la").indices.values())
    for name in names:
        values = filled[name].to_numpy(float, copy=True)
        for rows in places:
            values[rows] = _between(values[rows])
        filled[name] = values
    joined = frame.assign(la=frame["la"].astype(str)).merge(filled, on=["la", "year"], how="left")
    kept = []
    weight = joined["n"].to_numpy(float)
    for name in names:
        values = joined[name].to_numpy(float)
        if np.isnan(values).any():
            continue  # unknown for a whole authority: no honest value to put in
        mean = np.average(values, weights=weight)
        spread = float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))
        if spread > 0:
            joined[name] = (values - mean) / spread
            kept.append(name)
    return joined, tuple(kept)


def _between(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaps filled linearly by place, and with the nearest known value at the ends."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        return values
    return np.asarray(np.interp(np.arange(len(values)), known, values[known]))
