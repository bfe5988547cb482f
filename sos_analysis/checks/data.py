"""Checks of the data: who is counted, whether groups are alike, what is missing or hidden."""

from __future__ import annotations

from sos_analysis.checks.types import (
    COMPLETE_SHARE,
    CONTAMINATED_SHARE,
    DENOMINATOR_POINTS,
    L1_LIMIT,
    CheckResult,
    probability,
)
from sos_analysis.errors import SosError
from sos_analysis.formats import finite, interval, number, quantity


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
        probability(value, f"balance {name}")
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


def completeness(share: float, what: str = "authority returns") -> CheckResult:
    """Is at least 95 per cent of what is needed there (domain rule)?"""
    share = probability(share, "completeness share")
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
    share = probability(share, "complete_returns share")
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


def contamination(
    using: int | None, comparators: int, what: str = "comparison authorities"
) -> CheckResult:
    """How many of those that pilots are compared with use a model like the programme's?

    Use by comparators pulls the difference towards zero. At most one in ten passes (domain rule).

    Parameters
    ----------
    using : int or None
        Comparators known to use it; None where that is not known.
    comparators : int
        All of them.
    """
    title = "Did comparison authorities use a similar approach?"
    if using is None:
        return CheckResult(
            "contamination",
            title,
            "info",
            f"Which {what} used a similar approach, and from when, is not known. Where they did, "
            "the difference is smaller than the effect.",
            {"comparators": comparators},
        )
    if not 0 <= using <= comparators or comparators < 1:
        raise SosError(f"contamination: {using} of {comparators} is not possible")
    few = using <= CONTAMINATED_SHARE * comparators
    tail = (
        "too few to change the result much"
        if few
        else "so the difference shows more against less of it, and may be smaller than the effect"
    )
    return CheckResult(
        "contamination",
        title,
        "pass" if few else "fail",
        f"{number(using)} of {number(comparators)} {what} used a similar approach, {tail}.",
        {"using": using, "comparators": comparators},
    )
