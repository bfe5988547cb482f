"""Days that matter: working days in England, and days of elevated risk.

Durations are counted in working days, as the statutory limits for assessments are: Monday to
Friday less the bank holidays of England. Days of elevated risk follow the original's covariate
(domain rule): the day after a bank holiday, and the five days before a school holiday.

School holidays are an approximation, because each authority and many schools set their own. A
holiday starts on a Saturday; which one follows the pattern most English authorities keep:

* autumn half term: the week whose Monday is nearest to 25 October;
* Christmas: from the last Saturday on or before 23 December;
* spring half term: the week whose Monday is nearest to 15 February;
* Easter: of the Saturdays one, eight and fifteen days before Easter Sunday, the one nearest to
  31 March;
* summer half term: the week of the first bank holiday from 25 May;
* summer: from the Saturday nearest to 23 July.

So the five days before a school holiday are the last Monday to Friday of a half term.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

FIRST_DAY = date(2000, 1, 1)
LAST_DAY = date(2030, 12, 31)

_MONDAY, _SATURDAY = 0, 5
_RISK_BEFORE_SCHOOL_HOLIDAY = 5


def bank_holidays(first_year: int, last_year: int) -> frozenset[date]:
    """Bank holidays of England, substitute and one-off days included.

    Parameters
    ----------
    first_year, last_year : calendar years, both included.
    """
    import holidays

    found = holidays.country_holidays(
        "GB", subdiv="ENG", years=range(first_year, last_year + 1), observed=True
    )
    return frozenset(found)


def school_holiday_starts(year: int, free: Iterable[date], easter: date) -> tuple[date, ...]:
    """Approximate Saturdays on which school holidays begin in a calendar year (domain rule).

    Parameters
    ----------
    year : calendar year.
    free : bank holidays; only those of the year matter.
    easter : Easter Sunday of the year.
    """
    spring_bank_holiday = min(day for day in free if date(year, 5, 25) <= day <= date(year, 6, 30))
    christmas = date(year, 12, 23)
    easter_saturdays = (easter - timedelta(days=n) for n in (1, 8, 15))
    return (
        _nearest(_MONDAY, date(year, 2, 15)) - timedelta(days=2),
        min(easter_saturdays, key=lambda day: abs((day - date(year, 3, 31)).days)),
        _on_or_before(_SATURDAY, spring_bank_holiday),
        _nearest(_SATURDAY, date(year, 7, 23)),
        _nearest(_MONDAY, date(year, 10, 25)) - timedelta(days=2),
        _on_or_before(_SATURDAY, christmas),
    )


def elevated_risk_days(first_year: int, last_year: int) -> frozenset[date]:
    """The day after each bank holiday and the five days before each school holiday."""
    from dateutil.easter import easter

    free = bank_holidays(first_year - 1, last_year)
    found = {day + timedelta(days=1) for day in free}
    for year in range(first_year, last_year + 1):
        for start in school_holiday_starts(year, free, easter(year)):
            found.update(
                start - timedelta(days=n) for n in range(1, _RISK_BEFORE_SCHOOL_HOLIDAY + 1)
            )
    return frozenset(found)


def calendar_table(first: date = FIRST_DAY, last: date = LAST_DAY) -> pa.Table:
    """One row a day, to be joined to dates in the engine.

    The working days from a start (counted) up to an end (not counted) are the difference of
    `working_before` at the two: Friday to Monday is 1, Saturday to Monday 0.

    Returns
    -------
    Arrow table: `day` (date), `working_before` (int32: working days from `first` up to, not
    including, the day), `elevated_risk` (bool).
    """
    import pyarrow as pa

    free = bank_holidays(first.year, last.year)
    risky = elevated_risk_days(first.year, last.year)
    days: list[date] = []
    before: list[int] = []
    count = 0
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        days.append(day)
        before.append(count)
        count += day.weekday() < _SATURDAY and day not in free
    return pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "working_before": pa.array(before, pa.int32()),
            "elevated_risk": pa.array([day in risky for day in days], pa.bool_()),
        }
    )


def age_at(dob: Any, day: Any) -> Any:
    """Completed years at a day (int); -1 in the year before birth; empty if either is."""
    before_birthday = (day.month() * 100 + day.day()) < (dob.month() * 100 + dob.day())
    return day.year() - dob.year() - before_birthday.cast("int32")


def ymd(day: Any) -> Any:
    """A day as the number yyyymmdd."""
    return (day.year().cast("int64") * 10_000 + day.month().cast("int64") * 100 + day.day()).cast(
        "int64"
    )


def date_of(number: Any) -> Any:
    """The date that the last eight figures of a number stand for, as yyyymmdd."""
    import ibis

    number = number % 10**8
    return ibis.date(
        (number // 10_000).cast("int32"),
        ((number // 100) % 100).cast("int32"),
        (number % 100).cast("int32"),
    )


def _on_or_before(weekday: int, day: date) -> date:
    return day - timedelta(days=(day.weekday() - weekday) % 7)


def _nearest(weekday: int, day: date) -> date:
    return _on_or_before(weekday, day + timedelta(days=3))
