"""Checks of what would have happened anyway: years before, false dates, other trends."""

from __future__ import annotations

from sos_analysis.checks.types import ALPHA, PRE_TREND_LEVEL, CheckResult, p_words, probability
from sos_analysis.errors import SosError
from sos_analysis.formats import finite, interval, number, quantity


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
    p = probability(p, "pre_trends p")
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
        f"period{'' if periods == 1 else 's'}, {p_words(p)})."
        f"{size}{caution}",
        {"p": p, "periods": periods, **({"largest": abs(largest)} if largest is not None else {})},
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
    p = probability(p, "placebo_date p")
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
        f"{p_words(p)})" + (f".{tail}" if quiet else tail),
        {"value": value, "low": low, "high": high, "p": p, "years": years},
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
    level = probability(level, "breakdown level")
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


def pre_trend_power(
    missed: float, years: float, mid: float, unit: str, decimals: int = 1
) -> CheckResult:
    """Could the test of early differences have missed a drift that matters?

    Roth (2022): the drift a year that the test would miss half the time, carried on until the
    years after embedding, is how far the estimate may be off without anyone noticing.

    Parameters
    ----------
    missed : float
        That drift a year, in the reader's unit.
    years : float
        Mean distance, in years, of the years after embedding from the last one before it.
    mid : float
        Minimum important difference; at most this passes (domain rule).
    """
    if not (finite(missed) and finite(years)) or years <= 0 or not mid > 0:
        raise SosError("pre_trend_power: give a finite drift, and years and mid above zero")
    hidden = abs(missed) * years
    small = hidden <= mid
    least = f"the smallest difference called important ({number(mid, decimals)})"
    tail = f"less than {least}" if small else f"more than {least}, so its pass says little"
    return CheckResult(
        "pre_trend_power",
        "Could a drift have gone unnoticed?",
        "pass" if small else "fail",
        "A steady drift that the test of early differences misses half the time would move the "
        f"result by {quantity(hidden, unit, decimals)}: {tail}.",
        {"missed": abs(missed), "years": years, "hidden": hidden, "mid": mid},
    )
