"""How many children are referred for the first time, so that all referrals add up to England's.

A referral is either a child's first or follows an earlier one. The expected number of new children
is what is left of an authority's expected referrals once the returns of children referred before
are taken off: a renewal equation, month by month. How many return after how long is measured on
one made-up average authority.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from sos_analysis.records.synthetic_case import END, KINDS, START, Cases, Ints
from sos_analysis.records.synthetic_days import calendar
from sos_analysis.records.synthetic_effects import Effects
from sos_analysis.records.synthetic_life import simulate
from sos_analysis.records.synthetic_rates import YEARS, Floats, Plan

_MONTHS = 12 * len(YEARS)
_MONTH_DAYS = 365.25 / 12
#: Cases of the average authority: enough that the returns of a year are known to about 1 per cent.
_CASES_A_YEAR = 20_000.0
_SEASON = {7: 0.90, 11: 0.94}  # August, December (0 is January): ours
_DAY_OFF = 0.10  # referrals on a day off, relative to a working day: ours


def expected_arrivals(plan: Plan, seed: int, scale: float) -> Floats:
    """Expected new children of each authority on each day.

    Parameters
    ----------
    plan : rates of all authorities.
    seed : of the average authority.
    scale : share of England's number of cases.

    Returns
    -------
    array of shape (authorities, days from `START` to `END`).
    """
    average = _average(plan)
    guess = np.full((KINDS, _MONTHS), 0.0)
    guess[:, 1:30] = 0.30 / 29
    correction = np.ones(len(YEARS))
    for step in range(3):  # the mix of ages and of first and later referrals settles
        arrivals = _daily(_new_children(average, guess, correction))
        rng = np.random.default_rng([seed, 0, 1 + step])
        _, cases = simulate(average, 0, arrivals[0], Effects(), rng)
        guess = _returns(cases)
        correction = _correction(average, cases, guess)
    return scale * _daily(_new_children(plan, guess, correction))


def _average(plan: Plan) -> Plan:
    """One authority at England's rates."""
    weight = plan.referrals / plan.referrals.sum(axis=0)
    arrays = {
        f.name: (getattr(plan, f.name) * weight).sum(axis=0, keepdims=True)
        for f in fields(plan)
        if getattr(getattr(plan, f.name), "shape", ()) == plan.referrals.shape
    }
    total = plan.referrals.sum(axis=0, keepdims=True)
    arrays["referrals"] = total * _CASES_A_YEAR / total.mean()
    return replace(plan, codes=("000",), **arrays)


def _returns(cases: Cases) -> Floats:
    """Returns by kind of case and months since the referral, per case seen that long."""
    lag, kind = _lags(cases), cases.kind
    possible = ((END - cases.referral) / _MONTH_DAYS).astype(np.int64)
    found = np.zeros((KINDS, _MONTHS))
    for k in range(KINDS):
        mine = kind == k
        counts = np.bincount(lag[mine & (lag < _MONTHS)], minlength=_MONTHS)[:_MONTHS]
        seen = np.bincount(possible[mine], minlength=_MONTHS)[:_MONTHS]
        exposed = seen[::-1].cumsum()[::-1]
        found[k] = counts / np.maximum(exposed, 1)
    return found


def _lags(cases: Cases) -> Ints:
    """Months from each referral to the child's next one; `_MONTHS` where there is none."""
    lag = np.full(len(cases.child), _MONTHS, dtype=np.int64)
    same = cases.child[1:] == cases.child[:-1]
    gap = (cases.referral[1:] - cases.referral[:-1]) / _MONTH_DAYS
    lag[:-1][same] = gap[same].astype(np.int64)
    return lag


def _correction(plan: Plan, cases: Cases, returns: Floats) -> Floats:
    """Returns that came in each year, relative to those expected of the cases that were."""
    year = np.clip(calendar().year(cases.referral) - YEARS[0], 0, len(YEARS) - 1)
    month = np.minimum(((cases.referral - START) / _MONTH_DAYS).astype(np.int64), _MONTHS - 1)
    first = np.concatenate([[True], cases.child[1:] != cases.child[:-1]])
    came = np.bincount(year[~first], minlength=len(YEARS)).astype(np.float64)
    expected = np.zeros(_MONTHS)
    for k in range(KINDS):
        weight = plan.rereferral[0][year] * (cases.kind == k)
        per_month = np.bincount(month, weights=weight, minlength=_MONTHS)
        expected += np.convolve(per_month, returns[k])[:_MONTHS]
    by_year = expected.reshape(len(YEARS), 12).sum(axis=1)
    return came / np.maximum(by_year, 1.0)


def _calendar_weights() -> tuple[Any, Floats, Floats, Floats]:
    """Month number and weight of every day; summed weights of months and of years."""
    days = np.arange(START, END + 1)
    cal = calendar()
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    month -= month[0]
    weight = np.where(cal.is_working[days - cal.first], 1.0, _DAY_OFF)
    for name, factor in _SEASON.items():
        weight = np.where((month + 3) % 12 == name, factor * weight, weight)
    of_month = np.bincount(month, weights=weight).astype(np.float64)
    return month, weight, of_month, of_month.reshape(len(YEARS), 12).sum(axis=1)


def _new_children(plan: Plan, returns: Floats, correction: Floats) -> Floats:
    """Expected new children by month, shape (authorities, months)."""
    _, _, of_month, of_year = _calendar_weights()
    year = np.arange(_MONTHS) // 12
    total = plan.referrals[:, year] * (of_month / of_year[year])
    at_once = np.full_like(plan.nfa, plan.choices["referral"]["passed_on"])
    need = 1 - plan.nfa - plan.not_in_need - at_once
    kinds = np.stack([plan.nfa, plan.not_in_need, need, at_once], axis=2)  # as numbered
    back = kinds[:, year] @ returns * plan.rereferral[:, year][:, :, None]
    new = np.empty_like(total)
    returning = np.zeros_like(total)
    for t in range(_MONTHS):
        # A return within the month itself follows one of the month's own referrals.
        within = 1 - back[:, t, 0] * correction[year[t]]
        earlier = returning[:, t] * correction[year[t]]
        new[:, t] = np.maximum(total[:, t] * within - earlier, 0.05 * total[:, t])
        referred = (new[:, t] + earlier) / within
        returning[:, t + 1 :] += referred[:, None] * back[:, t, 1 : _MONTHS - t]
    return new


def _daily(by_month: Floats) -> Floats:
    month, weight, of_month, _ = _calendar_weights()
    return np.asarray(by_month[:, month] * (weight / of_month[month]))
