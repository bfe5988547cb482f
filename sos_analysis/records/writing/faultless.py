"""Make a made-up authority's cases agree with the rules that returns are checked by.

The made-up extract is as untidy as real ones: an enquiry in a case that ends without further
action, a case closed after an assessment that stands in the year before. Returns with these are
queried by the sector's validators. Here such cases are put in order, before any return is written,
so that the CIN Census, the SSDA903 and the NPD files of an authority still tell one story.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sos_analysis.records.synthetic_care import REASONS, Episodes
from sos_analysis.records.synthetic_case import END, NFA, NOT_IN_NEED, Bools, Cases, happened
from sos_analysis.records.synthetic_days import NEVER, Days, calendar
from sos_analysis.records.synthetic_facts import CLOSURES, Facts

_NO_ACTION = CLOSURES.index("RC8")
_ADOPTED, _NO_LONGER_IN_NEED = CLOSURES.index("RC1"), CLOSURES.index("RC7")
_ADOPTIONS, _OTHERWISE = [REASONS.index(code) for code in ("E11", "E12")], REASONS.index("E8")
_SOON = 20  # working days that an assessment added here takes


def faultless(cases: Cases, facts: Facts) -> Cases:
    """Cases as an authority would return them that has checked its records.

    * a case has one protection plan, since each begins with a conference of its own;
    * no enquiry where the case is closed after assessment without further action (RC8), and the
      assessment ends in the year of the closure (if need be, the case is closed on that day);
    * a referral flagged as one without further action has no closure of its own;
    * an enquiry goes with an assessment in the same year (if need be, one that begins with it).
    """
    cases = _one_plan(cases)
    out = (facts.reason == _NO_ACTION) & (cases.kind == NOT_IN_NEED)
    cases = replace(
        cases,
        closed=_never(cases.closed, cases.kind == NFA),
        section47=_never(cases.section47, out),
        section47_again=_never(cases.section47_again, out),
    )
    return _assessed_with_enquiry(_closed_with_assessment(cases, out))


def _never(days: Days, where: Bools) -> Days:
    return np.where(where, NEVER, days).astype(np.int32)


def _one_plan(cases: Cases) -> Cases:
    every = np.ones(len(cases.child), dtype=bool)
    return replace(
        cases,
        plan_again=_never(cases.plan_again, every),
        plan_again_end=_never(cases.plan_again_end, every),
    )


def _closed_with_assessment(cases: Cases, out: Bools) -> Cases:
    """The assessment of a case closed after it, and the closure, in one year."""
    year = calendar().year
    closed, start, end = cases.closed, cases.assessed, cases.assessed_end
    lacks = out & happened(closed) & (~happened(end) | (end > closed))
    start = np.where(lacks, np.maximum(cases.referral, closed - 28), start)
    end = np.where(lacks, closed, end)
    late = out & happened(closed) & happened(end) & (year(end) != year(closed))
    closed = np.where(late, end, closed).astype(np.int32)
    beyond = out & (cases.again_end > closed) & happened(cases.again)
    return replace(
        cases,
        closed=closed,
        assessed=start.astype(np.int32),
        assessed_end=end.astype(np.int32),
        again=_never(cases.again, beyond),
        again_end=_never(cases.again_end, beyond),
    )


def _assessed_with_enquiry(cases: Cases) -> Cases:
    """A second assessment from the day of an enquiry whose year has none."""
    year, again, again_end = calendar().year, cases.again, cases.again_end
    for enquiry in (cases.section47, cases.section47_again):
        at = year(enquiry)
        # Later returns repeat an enquiry only in the year of its conference.
        held = np.where(happened(cases.conference), year(cases.conference), at)
        wanted = np.maximum(at, np.where(enquiry <= cases.conference, held, at))
        alone = happened(enquiry)
        for done in (cases.assessed_end, again_end):
            alone &= ~(happened(done) & (year(done) == wanted))
        start = np.where(wanted > at, cases.conference, enquiry)
        during = (cases.assessed <= start) & (start <= cases.assessed_end)
        start = np.where(during, cases.assessed_end + 1, start)
        end = np.minimum(calendar().add(start, np.full(len(start), _SOON)), cases.closed)
        end = np.where(cases.assessed > start, np.minimum(end, cases.assessed - 1), end)
        alone &= (start <= end) & (start <= END)
        again = np.where(alone, start, again).astype(np.int32)
        again_end = np.where(alone, end, again_end).astype(np.int32)
    return replace(cases, again=again, again_end=again_end)


def conferences_in_one_place(cases: Cases, facts: Facts) -> Facts:
    """The date of a conference under the enquiry it follows, else under the referral: never both.

    An authority that has checked its records leaves no conference without an entry, and the
    returns may hold it in one place alone (rule 2884 of the sector's validators).
    """
    held = happened(cases.conference)
    follows = held & (cases.section47 <= cases.conference)
    return replace(facts, in_enquiry=follows, in_details=held & ~follows)


def without_return_after_adoption(
    cases: Cases, facts: Facts, care: Episodes
) -> tuple[Facts, Episodes]:
    """A child looked after again under the same id was not adopted (rule 199 of the validators).

    Those periods of care ended for another reason, which is none of the outcomes' exits.
    """
    child = cases.child[care.case]
    last = np.full(int(cases.child.max(initial=-1)) + 1, -1, dtype=np.int64)
    np.maximum.at(last, child, care.start)
    undone = np.isin(care.reason, _ADOPTIONS) & (last[child] > care.start)
    case = np.zeros(len(cases.child), dtype=bool)
    case[care.case[undone]] = True
    closed = np.where(case & (facts.reason == _ADOPTED), _NO_LONGER_IN_NEED, facts.reason)
    reason = np.where(undone, _OTHERWISE, care.reason).astype(care.reason.dtype)
    return (
        replace(facts, reason=closed.astype(facts.reason.dtype)),
        replace(care, reason=reason),
    )
