"""Outcomes that start from a referral: what became of it, and whether the child came back.

A referral is a case of no further action ('nfa'), of a child in need ('cin'), or neither. Marks
of a child in need are a plan, a conference, and the extract's own derived marks; not a section 47
enquiry or an assessment alone. As the original read it (option ``nfa = 'wide'``):

* nfa: no mark, and flagged NFA at referral or closed after assessment (RC8); the flag outweighs
  other reasons for closure;
* cin: any mark; or neither flag nor RC8, and open or closed for another stated reason;
* neither: closed without a stated reason, no flag, no mark.

Strict (``'flag'``): flagged NFA at referral, whatever else. Copies over years are one referral in
its final state; where a source has derived marks, a referral once a child in need stays one.
All rules here are domain rules (`docs/methods_registry.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import ParameterError
from sos_analysis.outcomes.common import (
    censored,
    days_after,
    in_data,
    with_child,
    with_risk,
)
from sos_analysis.records.calendar import ymd
from sos_analysis.records.tables import CHILD

if TYPE_CHECKING:
    import ibis

    from sos_analysis.records.tables import Records
    from sos_analysis.study import Outcome, Study

CLOSED_AFTER_ASSESSMENT = "RC8"
CLOSED_IN_NEED = ("RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7")
SHORT_BREAKS = ("V3", "V4")
READINGS = ("wide", "flag")  # of no further action, see `is_nfa`
ESCALATES_WITHIN = 180  # days of the second referral

Options = Mapping[str, Any]


def is_nfa(referrals: ibis.Table, reading: str) -> Any:
    """Whether each referral is a case of no further action, 'wide' or by 'flag' alone."""
    flagged = referrals.nfa_flag.fill_null(False)
    if reading == "flag":
        return flagged
    if reading == "wide":
        assessed_out = (referrals.closure_reason == CLOSED_AFTER_ASSESSMENT).fill_null(False)
        return (flagged | assessed_out) & ~_marked(referrals)
    raise ParameterError(f"option 'nfa' is {reading!r}; it must be 'wide' or 'flag'.")


def became_cin(referrals: ibis.Table) -> Any:
    """Whether each referral became a case of a child in need."""
    closed_so = referrals.closure_reason.isin(CLOSED_IN_NEED).fill_null(False)
    unresolved = referrals.closure_date.isnull() | closed_so
    return _marked(referrals) | (unresolved & ~is_nfa(referrals, "wide"))


def _marked(referrals: ibis.Table) -> Any:
    return referrals.has_plan | referrals.has_icpc | referrals.cin_any.fill_null(False)


def _possible(records: Records, study: Study) -> ibis.Table:
    """Referrals that may be events: in the data, not closed before they were made."""
    referrals = records.tables["referrals"]
    return referrals.filter(
        ~referrals.closed_before_referral,
        referrals.referral_date.between(study.data_start, study.data_end),
    )


def _read(table: ibis.Table, reading: str) -> Any:
    """The column of a reading of no further action."""
    if reading not in READINGS:
        raise ParameterError(f"option 'nfa' is {reading!r}; it must be 'wide' or 'flag'.")
    return table[reading]


def _cases(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """One row a child and NFA date: the closure date, else the referral date; who came back when.

    Two outcomes look at the same cases by two readings, so that all are worked out once.
    """
    possible = _possible(records, study)
    cases = possible.select(
        "la",
        CHILD,
        event_date=possible.closure_date.coalesce(possible.referral_date),
        came=ymd(possible.referral_date).cast("int32"),
        risk_date=possible.referral_date,
        **{reading: is_nfa(possible, reading) for reading in READINGS},
    )
    cases = in_data(cases.filter(reduce(or_, (cases[reading] for reading in READINGS))), study)
    cases = with_risk(cases, records)
    # Of several referrals the first tells: its day and its risk are one number, the least.
    came = cases.came * 2 + cases.risky.cast("int32")
    cases = cases.group_by("la", CHILD, "event_date").agg(
        **{reading: cases[reading].any() for reading in READINGS},
        **{f"risky_{r}": (came.min(where=cases[r]) % 2) == 1 for r in READINGS},
    )
    within = study.outcome("rereferral").window_days
    held = records.once(with_child(_came_back(records, cases, within), records))
    held = records.within(held.filter(_read(held, options["nfa"])))
    held = held.mutate(risky=held[f"risky_{options['nfa']}"])
    return censored(held, rule.censor_days, rule.censor_date)


def _each(records: Records, study: Study) -> ibis.Table:
    """Referrals, each an event; five sets of counts rest on them."""
    possible = _possible(records, study)
    found = possible.select(
        "la",
        CHILD,
        event_date=possible.referral_date,
        risk_date=possible.referral_date,
        in_need=became_cin(possible),
        **{reading: is_nfa(possible, reading) for reading in READINGS},
    )
    return records.within(records.once(with_child(with_risk(found, records), records)))


def _came_back(records: Records, found: ibis.Table, days: int) -> ibis.Table:
    """Add `first` and `last` day of a new referral from 1 to `days` days after the event.

    Any distinct later day of referral of the child in the authority counts, whatever became of
    it. A child has few distinct days, so the join stays small.
    """
    again = records.within(records.tables["referrals"])
    again = again.select(CHILD, again=again.referral_date)
    pairs = found.select(CHILD, "event_date").inner_join(again, CHILD)
    gap = days_after(pairs.again, pairs.event_date)
    pairs = pairs.filter(gap >= 1, gap <= days)
    found_again = pairs.group_by(CHILD, "event_date").agg(
        first=pairs.again.min(), last=pairs.again.max()
    )
    joined = found.left_join(found_again, [CHILD, "event_date"])
    return joined.select(*found.columns, "first", "last")


def rereferral(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """Cases of no further action; a new referral within the window of the NFA date."""
    found = _cases(records, study, rule, options)
    return found.mutate(y=found["first"].notnull().cast("int64"))


def escalation(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """The same cases; a re-referral, and a plan or care begun within 180 days of it.

    Options: which second referral counts if several fall in the six months ('last' or 'first');
    whether a start of a plan or care after the NFA but before it drops the case; whether short
    breaks are a start of care.
    """
    found = _cases(records, study, rule, options)
    which = options["second_referral"]
    if which not in ("first", "last"):
        raise ParameterError(f"option 'second_referral' is {which!r}; allowed: first, last.")
    found = found.rename(second=which).drop("last" if which == "first" else "first")
    back = found.filter(found.second.notnull()).select(CHILD, "event_date", "second")
    pairs = back.inner_join(_starts(records, short_breaks=options["short_breaks"]), CHILD)
    after = days_after(pairs.start, pairs.second)
    pairs = pairs.mutate(
        soon=(after >= 0) & (after <= ESCALATES_WITHIN),
        between=(pairs.start > pairs.event_date) & (after < 0),
    )
    told = pairs.group_by(CHILD, "event_date").agg(
        soon=pairs.soon.any(), between=pairs.between.any()
    )
    joined = found.left_join(told, [CHILD, "event_date"])
    joined = joined.select(*found.columns, "soon", "between")
    if options["prior_start"] == "drop":
        joined = joined.filter(~joined.between.fill_null(False))
    return joined.mutate(y=joined.soon.fill_null(False).cast("int64"))


def _starts(records: Records, *, short_breaks: bool) -> ibis.Table:
    """Days a plan or a period of care began, under whichever referral."""
    plans, periods = records.tables["cpp"], records.tables["care_periods"]
    if not short_breaks:
        periods = periods.filter(periods.first_legal_status.notin(SHORT_BREAKS).fill_null(True))
    return plans.select(CHILD, start=plans.start_date).union(
        periods.select(CHILD, start=periods.period_start)
    )


def nfa_share(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """All referrals; was it a case of no further action?"""
    found = _each(records, study)
    found = found.mutate(y=_read(found, options["nfa"]).cast("int64"))
    return censored(found, rule.censor_days, rule.censor_date)


def rereferral_all(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """All referrals; a new one within the window, whatever became of the first."""
    found = censored(_each(records, study), rule.censor_days, rule.censor_date)
    found = _came_back(records, found, rule.window_days)
    return found.mutate(y=found["first"].notnull().cast("int64"))


def icpc(records: Records, study: Study, rule: Outcome, options: Options) -> ibis.Table:
    """Referrals of children in need; a conference after the referral day, within the window.

    Options: 'fewer_than' the window's days or 'at_most'; the date from the section 47 module
    ('s47') or 'either' place; whether events too near the end of the data are left out.
    """
    found = _each(records, study)
    found = found.filter(found.in_need)
    if options["censor"]:
        found = censored(found, rule.censor_days, rule.censor_date)
    held = records.tables["conferences"]
    if options["source"] == "s47":
        held = held.filter(held["source"] == "s47")
    held = held.select(CHILD, "icpc_date").distinct()
    longest = rule.window_days - (options["within"] == "fewer_than")
    pairs = found.select(CHILD, "event_date").inner_join(held, CHILD)
    gap = days_after(pairs.icpc_date, pairs.event_date)
    pairs = pairs.filter(gap >= 1, gap <= longest)
    told = pairs.group_by(CHILD, "event_date").agg(n=pairs.count())
    joined = found.left_join(told, [CHILD, "event_date"]).select(*found.columns, "n")
    return joined.mutate(y=joined.n.notnull().cast("int64"))
