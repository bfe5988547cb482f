"""Cases that were open before the made-up records begin.

The simulation starts two years before the extract; a child in need or in care for longer than that
was referred before it. These cases are drawn as they stand at the beginning of the extract: open,
with the time they still have to run. Nothing else of theirs is recorded, and they do not return.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date

import numpy as np

from sos_analysis.records.synthetic_case import (
    ADULT,
    FULL,
    NEED,
    NO_KIN,
    VOLUNTARY,
    WITH_KIN,
    Cases,
    Children,
    blank_rows,
    pick,
)
from sos_analysis.records.synthetic_days import day_number
from sos_analysis.records.synthetic_life import draw_children
from sos_analysis.records.synthetic_rates import FIRST_RETURN, YEARS, Plan

_OPENING = day_number(date(FIRST_RETURN - 1, 4, 1))
_FIRST = YEARS.index(FIRST_RETURN)
_LAST_DAY_BEFORE = day_number(date(YEARS[0] - 1, 3, 31))


def stand(
    plan: Plan, position: int, scale: float, rng: np.random.Generator
) -> tuple[Children, Cases]:
    """Children and cases of one authority that have been open for two years or more.

    Parameters
    ----------
    plan, position : the rates, and which authority's.
    scale : share of England's number of cases.
    rng : this authority's own stream.
    """
    own = plan.choices["standing"]
    need = (plan.referrals * (1 - plan.nfa - plan.not_in_need))[:, _FIRST]
    entering = plan.care[:, _FIRST] * need
    open_cases = rng.poisson(scale * 1e3 * own["in_need"] * need[position] / need.sum())
    in_care = rng.poisson(scale * 1e3 * own["in_care"] * entering[position] / entering.sum())
    n = open_cases + in_care
    cared = np.arange(n) >= open_cases
    age = 365.25 * (own["youngest_years"] + rng.random(n) * (17.9 - own["youngest_years"]))
    # Referred before the simulation starts, after birth; in care for long enough not to be adopted.
    # Rounded down to whole days.
    latest = np.minimum(age, own["longest_years"] * 365.25)
    least = _OPENING - _LAST_DAY_BEFORE + np.where(cared, 350, 0)
    since = (least + rng.random(n) ** 2 * np.maximum(latest - least, 1)).astype(np.int64)
    referral = (_OPENING - since).astype(np.int32)
    children = draw_children(plan, position, referral, rng, _OPENING - age.astype(np.int64))
    adult = children.born + np.int64(ADULT)
    mean = np.where(cared, own["care_mean_days"], own["need_mean_days"])
    ends = _OPENING + 1 + np.floor(-mean * np.log1p(-rng.random(n))).astype(np.int64)
    ends = np.minimum(ends, adult - 1)
    rows = blank_rows(np.arange(n, dtype=np.int64), referral)
    rows["kind"] = rows["kind_before"] = np.full(n, NEED, np.int8)
    rows["closed"] = np.where(cared, np.minimum(ends + pick(rng, np.ones(30), n), adult + 20), ends)
    rows["closed"] = rows["closed"].astype(np.int32)
    rows["care"] = np.where(cared, referral + 14, rows["care"]).astype(np.int32)
    rows["care_end"] = np.where(cared, ends, rows["care_end"]).astype(np.int32)
    ordered = cared & (rng.random(n) < own["under_orders"])
    rows["order"] = np.where(ordered, 0, rows["order"]).astype(np.int32)
    rows["route"] = np.where(cared, np.where(ordered, FULL, VOLUNTARY), -1).astype(np.int8)
    kin = np.where(rng.random(n) < own["with_kin"], WITH_KIN, NO_KIN)
    rows["kin"] = rows["kin_before"] = np.where(cared, kin, -1).astype(np.int8)
    for name in ("back_before", "back_after"):
        rows[name] = np.zeros(n, np.int8)
    return children, Cases(**rows)


def join(
    children: Children, cases: Cases, more_children: Children, more_cases: Cases
) -> tuple[Children, Cases]:
    """Both sets of children and cases as one; the second set's children come last."""
    shift = len(children.born)
    every = {
        f.name: np.concatenate([getattr(children, f.name), getattr(more_children, f.name)])
        for f in fields(Children)
    }
    both = {
        f.name: np.concatenate([getattr(cases, f.name), getattr(more_cases, f.name)])
        for f in fields(Cases)
        if f.name != "child"
    }
    return Children(**every), Cases(
        child=np.concatenate([cases.child, more_cases.child + shift]), **both
    )
