"""Each threat to validity as a typed check with one tested sentence.

A builder takes numbers and returns a `CheckResult`; it fits nothing. Status is 'pass', 'fail' or
'info'. A pass says the threat was not seen, never that it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sos_analysis.errors import SosError
from sos_analysis.formats import finite, interval, number, quantity

STATUSES = {"pass": "Pass", "fail": "Fail", "info": "For information"}

#: Conventional level of the tests.
ALPHA = 0.05
#: Pre-trend tests have little power, so they pass only well above `ALPHA` (domain rule).
PRE_TREND_LEVEL = 0.10
#: Fewest treated clusters for which the bootstrap held its size in published simulations
#: (MacKinnon and Webb 2017; below six, randomisation inference alone).
FEW_TREATED = 6
#: Largest tolerated change of a denominator's share, pilots against comparators, in points.
DENOMINATOR_POINTS = 5.0
#: Largest tolerated imbalance after matching (L1 of Iacus, King and Porro 2012, 0 to 1).
L1_LIMIT = 0.10
#: Smallest share of returns or fields that must be there.
COMPLETE_SHARE = 0.95


@dataclass(frozen=True)
class CheckResult:
    """One check: what was asked, how it came out, one sentence, the numbers behind it.

    Attributes
    ----------
    id : str
        Short name the evidence rules use ('pre_trends').
    title : str
        The question in a few words.
    status : str
        'pass', 'fail' or 'info'.
    sentence : str
        Plain words for readers.
    figures : mapping of str to float
        Numbers in the sentence and behind it, already safe to show.
    """

    id: str
    title: str
    status: str
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise SosError(
                f"check {self.id!r}: status {self.status!r} is unknown; "
                f"allowed: {', '.join(STATUSES)}"
            )
        if not self.sentence.strip() or not self.title.strip():
            raise SosError(f"check {self.id!r} needs a title and a sentence")
        bad = [k for k, v in self.figures.items() if not finite(v)]
        if bad:
            raise SosError(f"check {self.id!r}: not finite numbers: {', '.join(bad)}")
        frozen = {k: float(v) for k, v in self.figures.items()}
        object.__setattr__(self, "figures", MappingProxyType(frozen))

    @property
    def word(self) -> str:
        """Status for readers."""
        return STATUSES[self.status]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "sentence": self.sentence,
            "figures": dict(self.figures),
        }


def _probability(p: float, what: str) -> float:
    if not finite(p) or not 0 <= p <= 1:
        raise SosError(f"{what}: {p!r} is not a probability between 0 and 1")
    return float(p)


def _p(p: float) -> str:
    return f"p {quantity(p, 'p', 3)}" if p < 0.001 else f"p = {number(p, 3)}"


def pre_trends(
    p: float, periods: int, *, largest: float | None = None, unit: str = ""
) -> CheckResult:
    """Joint test that pilots and comparators moved alike before adoption.

    Parameters
    ----------
    p : float
        Joint p-value over the pre-adoption periods.
    periods : int
        Number of periods tested.
    largest : float, optional
        Largest absolute pre-adoption difference in `unit`, one decimal shown.
    """
    p = _probability(p, "pre_trends p")
    size = (
        f" The largest early difference was {quantity(abs(largest), unit, 1)}."
        if largest is not None
        else ""
    )
    if p < ALPHA:
        status, words = "fail", "were already moving apart before adoption"
    elif p < PRE_TREND_LEVEL:
        status, words = "info", "may have been moving apart before adoption"
    else:
        status, words = "pass", "showed no clear sign of moving apart before adoption"
    caution = " This test can miss a real difference." if status != "fail" else ""
    return CheckResult(
        "pre_trends",
        "Did pilots and comparators move alike before adoption?",
        status,
        f"Pilots and comparators {words} (joint test over {periods} "
        f"period{'' if periods == 1 else 's'}, {_p(p)})."
        f"{size}{caution}",
        {"p": p, "periods": periods, **({"largest": abs(largest)} if largest is not None else {})},
    )


def agreement(p_primary: float, p_secondary: float, primary: str, secondary: str) -> CheckResult:
    """Do the two declared procedures for few clusters fall on the same side of 0.05?"""
    first, second = (
        _probability(p_primary, "agreement p_primary"),
        _probability(p_secondary, "agreement p_secondary"),
    )
    same = (first < ALPHA) == (second < ALPHA)
    words = (
        "lead to the same reading"
        if same
        else "lead to different readings, so the result is called inconclusive"
    )
    return CheckResult(
        "agreement",
        "Do the two methods of inference agree?",
        "pass" if same else "fail",
        f"The two methods declared in advance {words} ({primary}: {_p(first)}; "
        f"{secondary}: {_p(second)}).",
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


def denominator_stability(
    pilots: float, comparators: float, what: str = "recorded as needing no further action"
) -> CheckResult:
    """Did the share of cases that enters the denominator move differently in the pilots?

    Parameters
    ----------
    pilots, comparators : float
        Change of the share from before to after, in percentage points.
    what : str
        The share, as 'referrals {what}'.
    """
    gap = float(pilots) - float(comparators)
    stable = abs(gap) <= DENOMINATOR_POINTS
    tail = (
        "so a change in who is counted is unlikely to explain the result."
        if stable
        else "so part of the result may come from a change in who is counted."
    )
    return CheckResult(
        "denominator_stability",
        "Did the group that is counted stay the same?",
        "pass" if stable else "fail",
        f"The share of referrals {what} changed by {quantity(pilots, 'percentage points', 1)} in "
        f"pilots and {quantity(comparators, 'percentage points', 1)} in comparators, {tail}",
        {"pilots": pilots, "comparators": comparators, "gap": gap},
    )


def balance(before: float, after: float) -> CheckResult:
    """Overall imbalance of the matched children before and after matching (L1, 0 to 1)."""
    for name, value in (("before", before), ("after", after)):
        _probability(value, f"balance {name}")
    good = after <= L1_LIMIT and after <= before
    words = "are alike" if good else "still differ"
    return CheckResult(
        "balance",
        "Are the matched children alike?",
        "pass" if good else "fail",
        f"After matching, children in pilots and comparators {words} on what was recorded "
        f"(imbalance {number(before, 2)} before, {number(after, 2)} after; 0 is alike, 1 is "
        "wholly different).",
        {"before": before, "after": after},
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


def completeness(share: float, what: str = "authority returns") -> CheckResult:
    """Is at least 95 per cent of what is needed there (domain rule)?"""
    share = _probability(share, "completeness share")
    good = share >= COMPLETE_SHARE
    tail = "." if good else ", so missing data may have shaped the result."
    return CheckResult(
        "completeness",
        "Is the data complete?",
        "pass" if good else "fail",
        f"{number(100 * share, 1)}% of the {what} needed are there{tail}",
        {"share": share},
    )


def complete_returns(
    share: float, pilots: float, comparators: float, what: str = "conferences"
) -> CheckResult:
    """Are authorities' yearly returns complete enough, and as much so in pilots as elsewhere?

    Parameters
    ----------
    share : float
        Share of authority-years that pass the rule declared beforehand, 0 to 1.
    pilots, comparators : float
        Change of the share of cases that rest on complete returns, before to after, in percentage
        points.

    Notes
    -----
    Domain rule: at least 95 per cent complete, and a gap between the two changes of at most 5
    points, because a loss that both sides share before and after does not move the difference.
    """
    share = _probability(share, "complete_returns share")
    gap = float(pilots) - float(comparators)
    enough, even = share >= COMPLETE_SHARE, abs(gap) <= DENOMINATOR_POINTS
    if enough and even:
        tail = "so gaps in the returns are unlikely to explain the result."
    elif even:
        tail = "so much is missing, though about as much in pilots as in comparators."
    else:
        tail = "so missing returns may have shaped the result."
    return CheckResult(
        "completeness",
        "Are the returns complete?",
        "pass" if enough and even else "fail",
        f"By the rule declared beforehand, {number(100 * share, 1)}% of authorities' yearly "
        f"returns of {what} are complete enough; the share of cases behind them changed by "
        f"{quantity(pilots, 'percentage points', 1)} in pilots and "
        f"{quantity(comparators, 'percentage points', 1)} in comparators, {tail}",
        {"share": share, "pilots": pilots, "comparators": comparators, "gap": gap},
    )


def bounds_width(low: float, high: float, mid: float, unit: str, decimals: int = 1) -> CheckResult:
    """How far could missing outcomes alone move the estimate (worst-case bounds)?

    Passes where the range is no wider than the minimum important difference: then what is missing
    cannot make a difference worth knowing (domain rule).
    """
    if not (finite(low) and finite(high)) or low > high:
        raise SosError(f"bounds_width: the bounds run from {low} to {high}; give finite ends")
    if not mid > 0:
        raise SosError(f"bounds_width: mid is {mid}; it must be above zero")
    narrow = high - low <= mid
    size = "no more" if narrow else "more"
    tail = "" if narrow else ", so the answer leans on the records that are there"
    return CheckResult(
        "bounds_width",
        "How much could missing records change?",
        "pass" if narrow else "fail",
        f"Whatever happened in the missing records, the estimate lies within "
        f"{interval(low, high, decimals)} {unit}, a range of "
        f"{number(high - low, decimals)}: {size} than the smallest difference called important "
        f"({number(mid, decimals)}){tail}.",
        {"low": low, "high": high, "width": high - low, "mid": mid},
    )


def small_cells(suppressed: int, cells: int) -> CheckResult:
    """How much of what is shown was hidden to protect children."""
    if not 0 <= suppressed <= cells:
        raise SosError(f"small_cells: {suppressed} of {cells} is not possible")
    words = (
        "No cell had to be hidden"
        if suppressed == 0
        else f"{number(suppressed)} of {number(cells)} cells are hidden"
    )
    return CheckResult(
        "small_cells",
        "Was anything hidden to protect children?",
        "info",
        f"{words} in the tables and charts of this chapter; counts are rounded.",
        {"suppressed": suppressed, "cells": cells},
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


def placebo_date(
    value: float, low: float, high: float, p: float, unit: str, decimals: int = 1, years: int = 2
) -> CheckResult:
    """Nothing happened `years` before the true date: does the method find a difference there?

    Parameters
    ----------
    value, low, high : float
        The difference at the false date, and its interval.
    p : float
        By permutation.
    """
    p = _probability(p, "placebo_date p")
    quiet = p >= ALPHA
    words = "no clear difference" if quiet else "a difference"
    tail = (
        " This test can miss a real difference."
        if quiet
        else ", so pilots and comparators may have been moving apart already."
    )
    return CheckResult(
        "placebo",
        "Is anything found where nothing happened?",
        "pass" if quiet else "fail",
        f"Taking a date {years} years before the true one, the method finds {words} "
        f"({number(value, decimals)} {unit}, 95% interval {interval(low, high, decimals)}, "
        f"{_p(p)})" + (f".{tail}" if quiet else tail),
        {"value": value, "low": low, "high": high, "p": p, "years": years},
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
    p, p_main = _probability(p, "specification_curve p"), _probability(p_main, "p_main")
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


def breakdown(
    multiple: float, missed: float, unit: str, decimals: int = 1, *, level: float
) -> CheckResult:
    """How far may pilots have drifted apart by themselves before the result no longer stands?

    Rambachan and Roth's breakdown value: departures after embedding as multiples of the largest
    change from year to year before it. 1 and more passes (domain rule). A main analysis that tells
    no difference has nothing that could break down: then it is for information.

    Parameters
    ----------
    multiple : float
        Breakdown value; inf if beyond what was looked at.
    missed : float
        The drift a year that the test of early differences would miss half the time.
    level : float
        p of the main analysis.
    """
    level = _probability(level, "breakdown level")
    if not multiple >= 0 or not finite(missed):
        raise SosError(f"breakdown: {multiple!r} is no breakdown value of 0 or more")
    far = "more than ten" if multiple > 10 else number(multiple, 1)
    if level >= ALPHA:
        status, words = "info", "The main analysis tells no difference, so none can break down."
    elif multiple == 0:
        status = "fail"
        words = (
            "Against the last year before embedding alone, the years after it cannot be told from "
            "no difference, even with trends taken as parallel."
        )
    else:
        status = "pass" if multiple >= 1 else "fail"
        words = (
            "The result stands until pilots depart from comparators, after embedding, by "
            f"{far} times the largest change seen before it."
        )
    figures = {"missed": abs(missed), "p": level}
    return CheckResult(
        "breakdown",
        "How much would other trends have to explain?",
        status,
        f"{words} The test of early differences would miss a steady drift of "
        f"{quantity(abs(missed), unit, decimals)} a year half the time.",
        {**figures, "multiple": multiple} if finite(multiple) else figures,
    )
