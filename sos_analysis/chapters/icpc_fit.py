"""Conferences: the logit beside the linear model, and what incomplete returns can do to both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.cells import PHASES
from sos_analysis.chapters.fit import OutcomeFit, drawn, model_covariates
from sos_analysis.comparison import MatchedSample, matched, series
from sos_analysis.comparison.complete import (
    ORIGIN,
    by_authority_year,
    chances,
    complete_part,
    with_origin,
)
from sos_analysis.errors import RecordsError
from sos_analysis.records.completeness import FAIL, judge
from sos_analysis.workspace import conference_returns

if TYPE_CHECKING:
    import pandas as pd

    from sos_analysis.estimation.binary import BinaryEstimate
    from sos_analysis.estimation.estimate import Estimate
    from sos_analysis.estimation.incomplete import Bounds, Point
    from sos_analysis.study import Study

OUTCOME = "icpc"


@dataclass(frozen=True)
class IncompleteFit:
    """What can be said of one definition where returns may be incomplete.

    Attributes
    ----------
    judged : returns by authority and year with the status of each look.
    kept : events behind the estimate by `treated` and `post`: `events`, `complete`, `las`; `all`
        before matching, and the distinct `children` left, on the safe side.
    complete : the preferred estimate on complete returns alone; None where no group is left.
    lost : matched groups that have no complete role left.
    weighted : the same, weighted by the inverse of the chance of being complete.
    bounds : worst case over what is missing; None where nothing is.
    notes : why something is not there.
    """

    judged: pd.DataFrame
    kept: pd.DataFrame
    complete: Estimate | None
    lost: int
    weighted: Point | None
    bounds: Bounds | None
    notes: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of authority-years that are complete enough."""
        return float(self.judged["complete"].mean())


def logits(found: OutcomeFit) -> dict[str, BinaryEstimate]:
    """The logit of both specifications, on the sample of the linear ones."""
    from sos_analysis.estimation.binary import logit

    tables = {"original": found.with_years, "preferred": found.table}
    return {
        name: logit(table, [*table.categories], [*table.numeric], specification=name)
        for name, table in tables.items()
    }


def incomplete(study: Study, found: OutcomeFit, chosen: Mapping[str, Any]) -> IncompleteFit:
    """Judge the returns by the study's rule, then estimate on the complete part and bound the rest.

    Raises
    ------
    RecordsError : the extract's records cannot be read.
    """
    source = study.outcome(OUTCOME).definitions[found.definition]["source"]
    returns = conference_returns(study, chosen["extract"])
    returns = returns[returns["la"].isin(study.sample(OUTCOME))].reset_index(drop=True)
    judged = judge(returns, study.completeness, source=source)
    covariates = model_covariates(study, OUTCOME, found.cells, chosen)
    marked = matched(
        with_origin(found.cells, judged), study, OUTCOME, cem=chosen["cem"], thin_groups="drop"
    )
    notes: list[str] = []
    complete, weighted, lost = _complete(study, found, judged, covariates, chosen, notes)
    return IncompleteFit(
        judged=judged,
        kept=_kept(marked, found.cells.margins),
        complete=complete,
        lost=lost,
        weighted=weighted,
        bounds=_bounds(marked, judged, covariates, source),
        notes=tuple(notes),
    )


def _kept(sample: MatchedSample, before: pd.DataFrame) -> pd.DataFrame:
    """Distinct events of the sample by role and phase, and those behind complete returns."""
    frame = sample.frame
    events = frame["n"] / frame["copies"]
    known = frame[ORIGIN].astype(str) == ""
    rows = frame.assign(events=events, complete=events * known)
    by = rows.groupby(["treated", "post"], observed=True)
    table = by[["events", "complete"]].sum().round().astype(np.int64)
    rows = table.assign(las=by["la"].nunique()).reset_index()
    places = [
        (("comparator", "treated")[t], PHASES[p])
        for t, p in zip(rows["treated"], rows["post"], strict=True)
    ]
    counted = {
        name: margins[margins["margin"] == "phase"].set_index(["role", "phase"])[column]
        for name, margins, column in (
            ("all", before, "events"),
            ("children", sample.margins, "children"),
        )
    }
    return rows.assign(**{k: found.loc[places].to_numpy(np.int64) for k, found in counted.items()})


def _complete(
    study: Study,
    found: OutcomeFit,
    judged: pd.DataFrame,
    covariates: list[str],
    chosen: Mapping[str, Any],
    notes: list[str],
) -> tuple[Estimate | None, Point | None, int]:
    from sos_analysis.estimation import did
    from sos_analysis.estimation.incomplete import chance_of_complete, point

    cells = complete_part(found.cells, judged)
    try:
        sample = matched(cells, study, OUTCOME, cem=chosen["cem"], thin_groups="drop")
    except RecordsError:
        notes.append("No matched group has complete returns on both sides, before and after.")
        return None, None, len(found.sample.groups)
    draws, seed = drawn(study, chosen)
    estimate = did.estimate(
        sample.frame,
        series(cells, study, OUTCOME, sample=sample, adjust=covariates),
        covariates=covariates,
        draws=draws,
        seed=seed,
    )
    size = judged.groupby("la")["referrals"].transform("mean")
    pilots = {g.pilot for g in study.groups(OUTCOME)}
    chance, why = chance_of_complete(
        judged["complete"],
        {
            "size": np.log(np.maximum(size, 1.0)),
            "year": judged["year"],
            "pilot": judged["la"].isin(pilots),
        },
    )
    weighted = None
    if why:
        notes.append(f"Not weighted: {why}.")
    else:
        by = by_authority_year(judged.assign(chance=chance), "chance")
        own = chances(sample.frame, by, int(judged["year"].max()))
        frame = sample.frame.assign(weight=sample.frame["weight"] / own)
        weighted = point(frame, covariates)
    return estimate, weighted, len(found.sample.groups) - len(sample.groups)


def _bounds(
    marked: MatchedSample, judged: pd.DataFrame, covariates: list[str], source: str
) -> Bounds | None:
    from sos_analysis.estimation.incomplete import worst_case

    if not (marked.frame[ORIGIN].astype(str) != "").any():
        return None
    return worst_case(marked.frame, covariates, origin=ORIGIN, budgets=budgets(judged, source))


def budgets(judged: pd.DataFrame, source: str) -> dict[str, float] | None:
    """Most conferences each authority's incomplete returns can lack: its unanswered enquiries.

    Those of the year before an incomplete one count too, because a conference in April can follow
    an enquiry in March. Where conferences are read from the section 47 module alone, those dated
    elsewhere may be missing there as well. None where enquiries of an incomplete return do not say,
    or where it is thin throughout: then nothing in it tells how much is missing.
    """
    rows = judged.sort_values(["la", "year"])
    failed = ~rows["complete"].to_numpy(bool)
    la = rows["la"].to_numpy()
    next_failed = np.r_[failed[1:] & (la[1:] == la[:-1]), False]
    counted = rows[failed | next_failed]
    if counted["unanswered"].isna().any() or (rows["own_rate"] == FAIL).any():
        return None
    most = counted["unanswered"]
    if source == "s47":
        most = most + counted["conferences"] - counted["conferences_s47"]
    total = most.groupby(counted["la"]).sum()
    return {str(name): float(total.get(name, 0.0)) for name in rows["la"].unique()}
