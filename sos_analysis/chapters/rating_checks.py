"""Checks that the rating of a question's result asks for beside those of its estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sos_analysis import checks as check
from sos_analysis.checks import ALPHA, CheckResult
from sos_analysis.evidence import RATED_ORIGINS
from sos_analysis.study.universe import load_universe

if TYPE_CHECKING:
    from sos_analysis.chapters.fit import OutcomeFit
    from sos_analysis.study import Study

#: What is counted where it is not referrals, by outcome, and what that leaves untested.
_OTHER_DENOMINATOR: Mapping[str, str] = {
    "duration": "Assessments are counted here, and not referrals. Which referrals come to be "
    "assessed bears on their length, and the chapter does not test it.",
    "kinship": "Children who enter care are counted here, and not referrals. How referrals are "
    "recorded bears on this only through who enters care, which the chapter does not test.",
    "icpc": "Referrals that became cases of children in need are counted here. Which referrals "
    "become cases bears on this, and the chapter does not test it.",
}


def rating_checks(
    study: Study, found: OutcomeFit, chosen: Mapping[str, Any], origin: str
) -> list[CheckResult]:
    """Design, missing returns, similar approaches elsewhere, and for rated results the curve.

    The specification curve of made-up data is shown in the chapter on robustness alone; a rated
    result needs it for its rating.
    """
    made = [] if origin not in RATED_ORIGINS else [check.design(origin)]
    made += [returned(study, found), elsewhere(study, found)]
    outcome = study.outcome(found.outcome)
    words = _OTHER_DENOMINATOR.get(outcome.name)
    if words is not None:
        made.append(
            CheckResult(
                "denominator_stability", "Did the group that is counted stay the same?", "info",
                words,
            )
        )  # fmt: skip
    if origin in RATED_ORIGINS:
        made += _curve(study, found, chosen)
    return made


def returned(study: Study, found: OutcomeFit) -> CheckResult:
    """Do all authorities of the groups have cases in each year that any of them has?"""
    frame, intervals = found.cells.frame, found.cells.intervals
    year = intervals["year"].to_numpy()[frame["first"].to_numpy()]
    there = frame.loc[frame["n"] > 0, ["la"]].assign(year=year[frame["n"] > 0])
    pairs = there[there["la"].isin(_authorities(found))].drop_duplicates()
    wanted = len(_authorities(found)) * pairs["year"].nunique()
    return check.completeness(len(pairs) / wanted if wanted else 0.0, "yearly returns")


def elsewhere(study: Study, found: OutcomeFit) -> CheckResult:
    """How many comparators the study file says use a like model."""
    model = {a.code: a.practice_model for a in study.authorities}
    others = {la for g in found.sample.groups for la in g.comparators}
    return check.contamination(sum(model[la] != "none" for la in others), len(others))


def _authorities(found: OutcomeFit) -> set[str]:
    return {la for g in found.sample.groups for la in (g.pilot, *g.comparators)}


def _curve(study: Study, found: OutcomeFit, chosen: Mapping[str, Any]) -> list[CheckResult]:
    e = found.preferred
    if not math.isfinite(e.p_primary):
        return []
    # Here, because made-up data, which are not rated, do without it and all it imports.
    from sos_analysis.chapters.kept_curve import kept_curve

    seed = chosen["seed"] or study.inference.seed
    made = kept_curve(study, found.outcome, chosen["extract"], load_universe(), seed=seed)
    same = made.estimate * math.copysign(1.0, e.att) > 0
    told = int((same & (made.p < ALPHA)).sum())
    return [
        check.specification_curve(
            len(made.ways), int(same.sum()), told, made.median.p, e.p_primary, value=e.att
        )
    ]
