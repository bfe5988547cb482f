"""What a made-up case is: children, referrals and all that follows, as columns of one length.

Shared by the modules that draw cases (`synthetic_life`, `synthetic_need`), turn them into episodes
of care (`synthetic_care`) and write them (`synthetic_tables`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_analysis.records.synthetic_days import NEVER, Days, day_number, year_end
from sos_analysis.records.synthetic_rates import YEARS, Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Small = npt.NDArray[np.int8]

START = day_number(date(YEARS[0] - 1, 4, 1))
END = year_end(YEARS[-1])
ADULT = 6574  # days to the 18th birthday

# What a referral comes to; PASSED_ON: closed at once, neither flagged nor assessed.
NFA, NOT_IN_NEED, NEED, PASSED_ON = range(4)
KINDS = 4
# How a period of care begins.
VOLUNTARY, INTERIM, POLICE, FULL, EMERGENCY, JUSTICE, BREAKS = range(7)
# What family arrangement its first year brings: the original's kinship outcome, by its parts.
NO_KIN, WITH_KIN, WITH_PARENTS, LEFT_TO_FAMILY = range(4)
#: Shortest and longest care, in days, of children who are adopted.
ADOPTION = (480, 1000)


@dataclass(frozen=True)
class Children:
    """Fixed facts of each child; the position is the child's number."""

    born: Days
    male: Bools
    sex_recorded: Bools
    ethnicity: Small
    disabled: Bools
    ever_fsm: Bools
    early_years: Bools
    asylum: Bools


@dataclass(frozen=True)
class Cases:
    """One row a referral, by child and date; days are `NEVER` where nothing happened.

    ``again`` is a second assessment, ``*_again`` a second enquiry or plan. ``route``, ``order``
    (day in care on which a care order was made) and ``kin`` describe care, -1 where there is none.
    Columns in ``_before`` and ``_after`` are potential outcomes without and with the planted
    effect: working days, or 0/1 with -1 where the outcome does not apply; ``kin`` and ``kind`` are
    with it. ``returned`` counts from the closure of a case without need, ``back`` from any
    referral.
    """

    child: Ints
    referral: Days
    kind: Small
    kind_before: Small
    closed: Days
    assessed: Days
    assessed_end: Days
    again: Days
    again_end: Days
    section47: Days
    section47_again: Days
    conference: Days
    plan: Days
    plan_end: Days
    plan_again: Days
    plan_again_end: Days
    care: Days
    care_end: Days
    order: Days
    route: Small
    kin: Small
    kin_before: Small
    days_before: Days
    days_after: Days
    returned_before: Small
    returned_after: Small
    back_before: Small
    back_after: Small
    escalated_before: Small
    escalated_after: Small
    icpc_before: Small
    icpc_after: Small


_FLAGS = {"kind", "kind_before", "route", "kin", "kin_before"} | {
    f"{outcome}_{side}"
    for outcome in ("returned", "back", "escalated", "icpc")
    for side in ("before", "after")
}


def blank_rows(child: Ints, referral: Days) -> dict[str, Any]:
    """Columns of new referrals to which nothing has happened yet."""
    n = len(child)
    rows: dict[str, Any] = {
        f.name: np.full(n, -1, np.int8) if f.name in _FLAGS else np.full(n, NEVER, np.int32)
        for f in fields(Cases)
    }
    rows["child"], rows["referral"] = child, referral
    for name in ("days_before", "days_after"):
        rows[name] = np.full(n, -1, np.int32)
    return rows


def gather(found: list[dict[str, Any]]) -> Cases:
    """All generations of referrals, in order of child and date."""
    if not found:
        found = [blank_rows(np.empty(0, np.int64), np.empty(0, np.int32))]
    joined = {f.name: np.concatenate([rows[f.name] for rows in found]) for f in fields(Cases)}
    order = np.lexsort((joined["referral"], joined["child"]))
    return Cases(**{name: values[order] for name, values in joined.items()})


def pick(rng: np.random.Generator, shares: Any, n: int) -> Ints:
    """Category numbers, drawn with these shares."""
    return category(rng.random(n), shares)


def category(u: Floats, shares: Any) -> Ints:
    """Category number of each uniform number."""
    edges = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.minimum(np.searchsorted(edges / edges[-1], u, "right"), len(edges) - 1)


def happened(days: Any) -> Bools:
    """True where there is a date."""
    return np.asarray(days < NEVER)


def latest(*days: Any) -> Ints:
    """Latest of the dates that there are; 0 where there is none."""
    last = np.zeros(len(days[0]), dtype=np.int64)
    for day in days:
        last = np.maximum(last, np.where(day < NEVER, day, 0))
    return last
