"""What happened in one made-up authority, event by event, before it is written as a return.

The same children and cases as in the made-up extract, drawn from the same streams, without the
errors and the incomplete returns planted there: what a faultless authority would send. For years
after the made-up records end, everything is moved later by whole weeks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records.synthetic import Source
from sos_analysis.records.synthetic_arrivals import expected_arrivals
from sos_analysis.records.synthetic_care import Episodes
from sos_analysis.records.synthetic_case import Cases, Children
from sos_analysis.records.synthetic_days import NEVER, calendar, day_number, year_end
from sos_analysis.records.synthetic_facts import Facts
from sos_analysis.records.synthetic_rates import YEARS, authority_codes, draw_plan
from sos_analysis.records.synthetic_tables import Tables, numbered
from sos_analysis.records.writing.faultless import (
    conferences_in_one_place,
    faultless,
    without_return_after_adoption,
)
from sos_analysis.study import Study

LAST_YEAR = 2025
#: Ids of children begin so in every return, so that none can be taken for a real one.
PREFIX = "MU"
#: Columns of cases that hold no day.
_NO_DAYS = frozenset(
    {"child", "kind", "kind_before", "route", "kin", "kin_before", "order", "days_before"}
    | {"days_after"}
    | {f"{o}_{s}" for o in ("returned", "back", "escalated", "icpc") for s in ("before", "after")}
)


@dataclass(frozen=True)
class History:
    """One made-up authority.

    Attributes
    ----------
    la : three-digit code, below those of real authorities.
    tables : its children, cases, care and facts (days since 1 January 1970), and the tables of
        the NPD extract made from them; ids of children begin with `PREFIX`.
    shift : days by which everything was moved later, a whole number of weeks.
    """

    la: str
    tables: Tables
    shift: int

    @property
    def child_id(self) -> list[str]:
        """Id of each child, by its number."""
        return list(self.tables.child_id.to_pylist())


def returned_years(years: Sequence[int], first: int, last: int) -> tuple[int, ...]:
    """Years of return (by their end) asked for, in order; by default all the records cover.

    Raises
    ------
    ParameterError : a year outside `first` to `last`.
    """
    wanted = tuple(sorted(set(years))) or tuple(y for y in YEARS if y >= first)
    wrong = [y for y in wanted if not first <= y <= last]
    if wrong:
        raise ParameterError(
            f"year: found {wrong[0]}; this return can be written for the years that end on 31 "
            f"March {first} to {last}. 2019 is April 2018 to March 2019."
        )
    return wanted


def draw_history(study: Study, la: str, *, scale: float, seed: int | None, last: int) -> History:
    """Draw one made-up authority, faultless.

    Parameters
    ----------
    study : a study on made-up data.
    la : code of one of its authorities.
    scale : share of the authority's cases, above 0, at most 5.
    seed : of the made-up records; the study's own by default.
    last : latest year of return (by its end) to be written.

    Raises
    ------
    RecordsError : the study has real records. ParameterError : unknown authority, wrong scale.
    """
    if study.synthetic is None or study.truth is None:
        raise RecordsError(
            f"study {study.id!r} has origin {study.origin!r}: only a study with origin "
            "'synthetic' has made-up authorities to write."
        )
    known = authority_codes(study.synthetic.authorities)
    if la not in known:
        raise ParameterError(
            f"la: found {la!r}; expected a code from {known[0]!r} to {known[-1]!r}"
        )
    if not 0 < scale <= 5:
        raise ParameterError(f"scale: found {scale!r}; expected a number above 0, at most 5.")
    seed = study.synthetic.seed if seed is None else seed
    switches = replace(study.truth.switches, icpc_incomplete=False)
    whole = replace(study, truth=replace(study.truth, switches=switches))
    plan = draw_plan(whole, seed)
    arrivals = expected_arrivals(plan, seed, scale)
    _, tables = Source(whole, plan, arrivals, seed, scale, dirt=False).records(la)
    tables.cases = faultless(tables.cases, tables.facts)
    tables.facts = conferences_in_one_place(tables.cases, tables.facts)
    tables.facts, tables.care = without_return_after_adoption(
        tables.cases, tables.facts, tables.care
    )
    tables.child_id = numbered(PREFIX, np.arange(1, len(tables.children.born) + 1))
    shift = max(0, -(-(year_end(last) - year_end(YEARS[-1])) // 7) * 7)
    if shift:
        _move(tables, shift)
    return History(la, tables, shift)


def _move(tables: Tables, shift: int) -> None:
    tables.cases = Cases(**_later(tables.cases, shift, _NO_DAYS))
    tables.children = Children(**_later(tables.children, shift, _all_but(Children, {"born"})))
    days = {"period_start", "period_end", "start", "end"}
    tables.care = Episodes(**_later(tables.care, shift, _all_but(Episodes, days)))
    tables.facts = Facts(**_later(tables.facts, shift, _all_but(Facts, {"died"})))


def _all_but(kind: Any, names: set[str]) -> frozenset[str]:
    return frozenset(f.name for f in fields(kind)) - names


def _later(rows: Any, shift: int, kept: frozenset[str]) -> dict[str, Any]:
    """Columns of a table, those that hold days moved; `NEVER` stays."""
    moved: dict[str, Any] = {}
    for column in fields(rows):
        values = getattr(rows, column.name)
        if column.name not in kept:
            values = np.where(values < NEVER, values + shift, values).astype(values.dtype)
        moved[column.name] = values
    return moved


def as_date(day: int) -> date:
    """The date of a day number."""
    return date(1970, 1, 1) + timedelta(int(day))


def after_working_days(day: int, working_days: int) -> int:
    """The day number so many working days later."""
    return int(calendar().add(np.array([day]), np.array([working_days]))[0])


def anniversary_day(born: int, years: int) -> int:
    """The day number of a birthday; of those born on 29 February, 1 March."""
    first = as_date(born)
    try:
        return day_number(first.replace(year=first.year + years))
    except ValueError:
        return day_number(date(first.year + years, 3, 1))
