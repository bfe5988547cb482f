"""Checks of the analysis itself: few authorities, choices, and whether it finds what is known."""

from __future__ import annotations

from collections.abc import Sequence

from sos_analysis.checks.types import ALPHA, FEW_TREATED, CheckResult, p_words, probability
from sos_analysis.errors import SosError
from sos_analysis.formats import finite, interval, number

#: What each design can claim: how it reads, by kind of data.
DESIGNS = {
    "restricted": "Children in pilots are compared with like children elsewhere, before and after. "
    "Pilots were not chosen by lot.",
    "public": "Yearly totals of pilots are compared with those of other authorities. Pilots were "
    "not chosen by lot, and single children cannot be followed.",
}


def agreement(p_primary: float, p_secondary: float, primary: str, secondary: str) -> CheckResult:
    """Do the two declared procedures for few clusters fall on the same side of 0.05?"""
    first, second = (
        probability(p_primary, "agreement p_primary"),
        probability(p_secondary, "agreement p_secondary"),
    )
    same = (first < ALPHA) == (second < ALPHA)
    words = (
        "lead to the same reading"
        if same
        else "lead to different readings, so the result cannot tell"
    )
    return CheckResult(
        "agreement",
        "Do the two methods of inference agree?",
        "pass" if same else "fail",
        f"The two methods declared in advance {words} ({primary}: {p_words(first)}; "
        f"{secondary}: {p_words(second)}).",
        {"p_primary": first, "p_secondary": second},
    )


def few_clusters(clusters: int, treated: int) -> CheckResult:
    """Are there enough treated authorities for the declared inference (domain rule: six)?"""
    if not 0 < treated < clusters:
        raise SosError(f"few_clusters: need 0 < treated < clusters, got {treated} and {clusters}")
    enough = treated >= FEW_TREATED
    words = (
        "The inference used here is built for that few; ordinary clustered errors are not."
        if enough
        else "That is too few for the main method, so read the interval with great care."
    )
    return CheckResult(
        "few_clusters",
        "Are there enough authorities?",
        "pass" if enough else "fail",
        f"The comparison rests on {treated} pilot authorities among {clusters}. {words}",
        {"clusters": clusters, "treated": treated},
    )


def leave_one_out(
    estimate: float,
    estimates: Sequence[float],
    unit: str,
    decimals: int = 1,
    *,
    half_width: float | None = None,
) -> CheckResult:
    """Does the estimate keep its sign and half its size when any one pilot is left out?

    An estimate near zero changes sign at the slightest push. So a result is steady too where no
    pilot moves it by more than half of `half_width`, half the length of its 95 % interval
    (domain rule).

    No pilot is named: a leave-one-out estimate can point at the authority that was left out.
    """
    values = [float(v) for v in estimates]
    if len(values) < 2 or not all(finite(v) for v in values):
        raise SosError("leave_one_out: give two or more finite estimates")
    low, high = min(values), max(values)
    # A swing of more than half the estimate, or a change of sign, hangs on one authority.
    kept = all(v * estimate > 0 and abs(v) >= abs(estimate) / 2 for v in values)
    moved = max(abs(v - estimate) for v in values)
    steady = kept or (half_width is not None and moved <= half_width / 2)
    if kept:
        words = "keeps its direction and at least half its size"
    elif steady:
        words = "moves by less than a quarter of the length of its interval"
    else:
        words = "changes direction or loses more than half its size"
    return CheckResult(
        "leave_one_out",
        "Does the result hang on one authority?",
        "pass" if steady else "fail",
        f"Leaving out one pilot at a time, the estimate {words} "
        f"(from {interval(low, high, decimals)} {unit}; {number(estimate, decimals)} with all).",
        {"estimate": estimate, "low": low, "high": high, "fits": len(values)},
    )


def specification_curve(
    ways: int, same: int, told: int, p: float, p_main: float, *, value: float
) -> CheckResult:
    """Does the reading of the main analysis hang on how the analysis was run?

    Passes where the whole curve, judged as one, falls on the side of 0.05 on which the main
    analysis does (domain rule).

    Parameters
    ----------
    ways, same, told : int
        Ways run; those in the direction of the main estimate; those of `same` with p below 0.05.
    p : float
        Joint p of the median estimate, by permuting authorities in all ways at once.
    p_main : float
        Of the main analysis.
    value : float
        The main estimate; its sign is the direction.
    """
    p, p_main = probability(p, "specification_curve p"), probability(p_main, "p_main")
    if ways < 1 or not 0 <= told <= same <= ways:
        raise SosError(
            f"specification_curve: {told} of {same} of {ways} ways is not possible; "
            "told is part of same, same of ways"
        )
    agrees = (p < ALPHA) == (p_main < ALPHA)
    side = "lower" if value < 0 else "higher"
    lead = "The reading does not change with the way" if agrees else "The reading hangs on the way"
    return CheckResult(
        "specification_curve",
        "Does the reading hang on choices of the analyst?",
        "pass" if agrees else "fail",
        f"{lead}: of {number(ways)} ways to run this analysis, {number(same)} gave a {side} figure "
        f"in pilots, as the main one does, and {number(told)} of these could tell it from no "
        f"difference by themselves. Were authorities put in the pilots' places at random, the "
        f"middle estimate would lie as far from zero in {number(100 * p, 1)}% of draws.",
        {"ways": ways, "same": same, "told": told, "p": p, "p_main": p_main, "value": value},
    )


def covers_truth(
    low: float, high: float, truth: float, unit: str, decimals: int = 1
) -> CheckResult:
    """Made-up data alone: does the interval hold the effect that was planted?"""
    if low > high:
        raise SosError(f"covers_truth: interval runs from {low} to {high}")
    inside = low <= truth <= high
    verb = "holds" if inside else "misses"
    caution = (
        ""
        if inside
        else " One interval in twenty does so by chance; see the chapter on method validation."
    )
    return CheckResult(
        "covers_truth",
        "Does the method find the planted effect?",
        "pass" if inside else "fail",
        f"The interval ({interval(low, high, decimals)} {unit}) {verb} the effect planted in the "
        f"made-up data ({number(truth, decimals)}).{caution}",
        {"low": low, "high": high, "truth": truth},
    )


def design(origin: str) -> CheckResult:
    """What kind of comparison it is: where the rating starts.

    Raises
    ------
    SosError
        The kind of data has no design of its own.
    """
    if origin not in DESIGNS:
        raise SosError(f"design: no design of {origin!r} data; allowed: {', '.join(DESIGNS)}")
    return CheckResult("design", "What kind of comparison is it?", "info", DESIGNS[origin])
