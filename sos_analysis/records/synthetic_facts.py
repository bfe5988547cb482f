"""What is written down about made-up cases beyond their dates: needs, reasons, and the errors.

The errors are of the kinds met in the cleaning of real extracts, at low rates, from a stream of
their own: without them every other value stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_analysis.records.synthetic_care import REASONS, Episodes
from sos_analysis.records.synthetic_case import (
    ADULT,
    END,
    NFA,
    NOT_IN_NEED,
    PASSED_ON,
    Bools,
    Cases,
    Children,
    Ints,
    happened,
    pick,
)
from sos_analysis.records.synthetic_days import NEVER, calendar
from sos_analysis.records.synthetic_rates import YEARS, Floats, calibration
from sos_analysis.study import IncompleteReturns

NEEDS = ("N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N0")
CLOSURES = ("RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7", "RC8")
#: Positions in NEEDS of codes that a child in care cannot have.
NOT_FOR_CARE = (8, 9)

_CARE_TO_CLOSURE = {
    "RC1": ("E11", "E12"),
    "RC2": ("E2",),
    "RC3": ("E41",),
    "RC4": ("E43", "E44", "E45", "E46", "E47", "E48"),
    "RC5": ("E3",),
}


@dataclass(frozen=True)
class Facts:
    """One row a case; codes are positions in the tuples above, -1 where blank.

    ``in_enquiry`` and ``in_details`` say where a conference's date is recorded; the disability
    columns have one row a child.
    """

    need: Ints
    reason: Ints
    died: Ints
    category: Ints
    latest_category: Ints
    previous_plans: Ints
    in_enquiry: Bools
    in_details: Bools
    disability: Ints
    second_disability: Ints  # -1 for none


@dataclass(frozen=True)
class Dirt:
    """Which cases carry which error; chosen once, so that copies in later years agree."""

    lower_need: Bools
    unmapped_need: Bools
    padding: Ints  # 0 none, 1 after, 2 before the code
    closed_early: Ints  # days before the referral, 0 for none
    odd_gender: Bools
    birth_shift: Ints  # days
    same_day_copy: Bools
    flag_missing: Bools
    assessed_twice: Ints  # days later, 0 for none


def facts(
    children: Children,
    cases: Cases,
    care: Episodes,
    second_plan: Floats,
    rng: np.random.Generator,
    lost: Bools | None = None,
) -> Facts:
    """Draw the facts of one authority's cases.

    Parameters
    ----------
    children, cases, care : what happened.
    second_plan : England's share of plans that are a second or later one, by year of `YEARS`.
    rng : this authority's stream for facts.
    lost : cases whose conference the return leaves out; none by default.
    """
    choices, n, count = calibration("choices"), len(cases.child), len(children.born)
    plan, disability = choices["plan"], choices["disability"]
    category = pick(rng, plan["category_shares"], n)
    changed = rng.random(n) < 0.15
    reason = _closure_reasons(children, cases, care, rng)
    place = pick(rng, choices["conference"]["recorded"], n)
    first = pick(rng, disability["shares"], count)
    second = pick(rng, disability["shares"], count)
    has_second = (rng.random(count) < 0.4) & (second != first)
    returned = np.ones(n, dtype=bool) if lost is None else ~lost
    return Facts(
        need=_needs(children, cases, rng),
        reason=reason,
        died=np.where(reason == CLOSURES.index("RC2"), cases.closed, NEVER),
        category=category,
        latest_category=np.where(changed, pick(rng, plan["category_shares"], n), category),
        previous_plans=_previous_plans(cases, count, second_plan, rng),
        in_enquiry=(place != 2) & returned,
        in_details=(place != 1) & returned,
        disability=first,
        second_disability=np.where(has_second, second, -1),
    )


def _needs(children: Children, cases: Cases, rng: np.random.Generator) -> Ints:
    own, n = calibration("choices")["need"], len(cases.child)
    code = np.where(
        happened(cases.care), pick(rng, own["care_shares"], n), pick(rng, own["shares"], n)
    )
    disabled = children.disabled[cases.child] & (rng.random(n) < 0.45)
    code = np.where(disabled, NEEDS.index("N2"), code)
    met = happened(cases.conference) & (rng.random(n) < 0.6)
    code = np.where(met, NEEDS.index("N1"), code)
    code = np.where(children.asylum[cases.child], NEEDS.index("N8"), code)
    blank = np.isin(cases.kind, (NFA, PASSED_ON)) & (rng.random(n) < own["missing_if_nfa"])
    return np.where(blank, -1, code)


def last_of_child(cases: Cases) -> Bools:
    """True for each child's last case."""
    last = np.ones(len(cases.child), dtype=bool)
    last[:-1] = cases.child[1:] != cases.child[:-1]
    return last


def _closure_reasons(
    children: Children, cases: Cases, care: Episodes, rng: np.random.Generator
) -> Ints:
    n, choices = len(cases.child), calibration("choices")
    u = rng.random(n)
    place = {code: i for i, code in enumerate(CLOSURES)}
    grown = cases.closed > children.born[cases.child] + ADULT - 60
    final = last_of_child(cases)
    reason = np.select(
        [u < 0.045, (u < 0.047) & final, (u < 0.055) & (u >= 0.047), grown & (u < 0.5)],
        [place["RC5"], place["RC2"], place["RC3"], place["RC6"]],
        place["RC7"],
    )
    ended = np.flatnonzero(care.reason > 0)
    why = np.array(REASONS)[care.reason[ended]]
    for closure, exits in _CARE_TO_CLOSURE.items():
        reason[care.case[ended][np.isin(why, exits)]] = place[closure]
    reason = np.where(cases.kind == NOT_IN_NEED, place["RC8"], reason)
    elsewhere = np.where(u < choices["referral"]["passed_on_moved"], place["RC5"], place["RC7"])
    reason = np.where(cases.kind == PASSED_ON, elsewhere, reason)
    # Where a case flagged NFA is closed at all, RC8 is the reason.
    return np.where(cases.kind == NFA, place["RC8"], reason)


def _previous_plans(
    cases: Cases, count: int, second_plan: Floats, rng: np.random.Generator
) -> Ints:
    """Plans a child had before each case's plan: those in the records, some from before them."""
    if not len(cases.child):
        return np.empty(0, dtype=np.int64)
    own = happened(cases.plan).astype(np.int64) + happened(cases.plan_again)
    total = np.cumsum(own) - own
    first = np.concatenate([[True], cases.child[1:] != cases.child[:-1]])
    before = total - np.maximum.accumulate(np.where(first, total, 0))
    # The records show some earlier plans; the rest of England's share lies before them.
    low, high = calibration("choices")["plan"]["in_records"]
    shown = np.linspace(low, high, len(YEARS))
    share = np.clip((second_plan - shown) / (1 - shown), 0, 1)
    at = np.clip(calendar().year(cases.plan) - YEARS[0], 0, len(YEARS) - 1)
    earlier = rng.random(count)[cases.child] < share[at]
    several = rng.random(count)[cases.child] < 0.15
    return np.asarray(before + earlier * (1 + several))


def incomplete(cases: Cases, returns: IncompleteReturns, rng: np.random.Generator) -> Bools:
    """Cases whose conference is missing from the return of an authority's bad years."""
    bad = rng.random(len(YEARS)) < returns.authority_years
    share = rng.uniform(returns.least, returns.most, len(YEARS)) * bad
    at = np.clip(calendar().year(cases.conference) - YEARS[0], 0, len(YEARS) - 1)
    return np.asarray(happened(cases.conference) & (rng.random(len(at)) < share[at]))


def dirt(cases: Cases, rng: np.random.Generator | None) -> Dirt:
    """Choose the errors; none with `rng` None."""
    n = len(cases.child)
    rate = calibration("choices")["dirt"]

    def hit(name: str) -> Bools:
        return np.zeros(n, dtype=bool) if rng is None else rng.random(n) < rate[name]

    def amount(low: int, high: int) -> Ints:
        return np.zeros(n, dtype=np.int64) if rng is None else rng.integers(low, high, n)

    shift = hit("other_birth_date") * np.where(amount(0, 2) == 0, -1, 1) * amount(1, 400)
    return Dirt(
        lower_need=hit("lower_case_need"),
        unmapped_need=hit("unmapped_need"),
        padding=hit("padded_reason") * amount(1, 3),
        closed_early=(hit("closure_before_referral") & (cases.closed <= END)) * amount(1, 400),
        odd_gender=hit("gender_code"),
        birth_shift=np.where(hit("impossible_age"), 36525, shift),  # a century too late
        same_day_copy=hit("same_day_copy") & (cases.kind == NFA),
        flag_missing=hit("flag_missing") & (cases.kind != NFA),
        assessed_twice=hit("duplicate_assessment") * amount(1, 15),
    )
