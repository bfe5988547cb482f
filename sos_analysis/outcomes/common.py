"""What all outcomes share: the span of the data, censoring, ages, and covariates as words.

Events on their way carry `la`, `child_id`, `event_date`, `window_end`, `y` and `risk_date` (the
day by which elevated risk is judged: the referral's where the event follows from a referral).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sos_analysis.errors import ParameterError
from sos_analysis.records.calendar import age_at
from sos_analysis.records.tables import ETHNICITIES, KEY, OLDEST, YOUNGEST
from sos_analysis.strata import Choice, Coded, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import ibis

    from sos_analysis.records.tables import Records
    from sos_analysis.study import Study

COVARIATES = (
    "sex",
    "age_band",
    "ethnicity",
    "school_phase",
    "disabled",
    "low_income",
    "previous_cpp",
    "uasc",
    "elevated_risk",
)

# Completed years. The original's cuts (4.5, 12.5; school phase 4.5, 11.5) lie between whole years.
LAST_BEFORE_SCHOOL, LAST_OF_PRIMARY, LAST_OF_MIDDLE_BAND = 4, 11, 12

_CHILD = ("dob", "sex", "ethnicity", "disabled", "low_income", "uasc")
_EVENT = (*KEY, "event_date", "window_end", "y", "risk_date")


def days_after(later: Any, earlier: Any) -> Any:
    """Days from `earlier` to `later` (int)."""
    return later.delta(earlier, unit="day")


def plus(day: Any, days: int) -> Any:
    """The date `days` later."""
    import ibis

    return (day + ibis.interval(days=days)).cast("date")


def in_data(found: ibis.Table, study: Study) -> ibis.Table:
    """Events between the first and the last day of the data, both included."""
    return found.filter(found.event_date.between(study.data_start, study.data_end))


def censored(found: ibis.Table, days: int, last: date) -> ibis.Table:
    """Events whose window ends before the censoring date: event + `days` < `last`."""
    return found.filter(days_after(_day(last), found.event_date) > days)


def _day(day: date) -> Any:
    import ibis

    return ibis.date(day.isoformat())


def with_window(found: ibis.Table, days: int) -> ibis.Table:
    """Add `window_end`, `days` after the event."""
    return found.mutate(window_end=plus(found.event_date, days))


def with_child(found: ibis.Table, records: Records, *, unknown: bool = True) -> ibis.Table:
    """Add what is known of the child and keep ages -1 to 17 at the event (domain rule).

    Parameters
    ----------
    unknown : whether events of unknown age stay.
    """
    children = records.tables["children"].select(*KEY, *_CHILD)
    found = found.select(*_EVENT).left_join(children, KEY)
    found = found.select(*_EVENT, *_CHILD)
    found = found.mutate(age=age_at(found.dob, found.event_date))
    return found.filter(found.age.between(YOUNGEST, OLDEST).fill_null(unknown))


def complete(found: ibis.Table, records: Records) -> ibis.Table:
    """Add the fiscal year and the covariates as words."""
    found, choices = _choices(found, records)
    event = found.event_date
    return found.select(
        *KEY,
        "event_date",
        "window_end",
        "y",
        year=(event.year() + (event.month() >= 4).cast("int32")).cast("int32"),
        **{name: choice.word() for name, choice in choices.items()},
    )


def coded(found: ibis.Table, records: Records, covariates: Sequence[str]) -> Coded:
    """Add the covariates as one number."""
    found, choices = _choices(found, records)
    absent = [name for name in covariates if name not in choices]
    if absent:
        raise ParameterError(
            f"events have no covariate {absent[0]!r}; they have {', '.join(choices)}."
        )
    stratum, strata = numbered({name: choices[name] for name in covariates})
    return Coded(found.select(*KEY, "event_date", "window_end", "y", stratum=stratum), strata)


def _choices(found: ibis.Table, records: Records) -> tuple[ibis.Table, dict[str, Choice]]:
    """What the covariates rest on, and the words they can be.

    What is not stated is 'missing', never 'no'. Low income comes from the School Census, so it is
    'under school age' for all children below it: what a later census says of them is only known
    for those who came back, and would carry the outcome into the covariate. Previous plan: one
    that began before the event, or one begun by then that tells of an earlier one.
    """
    import ibis

    plans = records.tables["cpp"]
    plans = plans.group_by(*KEY).agg(
        first_plan=plans.start_date.min(),
        first_counted=plans.start_date.min(where=plans.n_previous > 0),
    )
    days = records.tables["calendar"]
    risky = days.filter(days.elevated_risk).select(risk_date=days.day, risky=ibis.literal(True))
    found = found.left_join(plans, KEY).drop("la_right", "child_id_right")
    found = found.left_join(risky, "risk_date")
    age, event = found.age, found.event_date
    below_school = (age <= LAST_BEFORE_SCHOOL).fill_null(False)
    before = (found.first_plan < event) | (found.first_counted <= event)
    under = (below_school, "under school age")
    return found, {
        "sex": Choice([(found.sex == word, word) for word in ("male", "female")], "unknown"),
        "age_band": Choice(
            [
                (age <= LAST_BEFORE_SCHOOL, "0-4"),
                (age <= LAST_OF_MIDDLE_BAND, "5-12"),
                (age.notnull(), "13-17"),
            ],
            "missing",
        ),
        "ethnicity": Choice([(found.ethnicity == w, w) for w in ETHNICITIES], "missing"),
        "school_phase": Choice(
            [
                (age <= LAST_BEFORE_SCHOOL, "none"),
                (age <= LAST_OF_PRIMARY, "primary"),
                (age.notnull(), "secondary"),
            ],
            "missing",
        ),
        "disabled": Choice(_yes_no(found.disabled), "missing"),
        "low_income": Choice([under, *_yes_no(found.low_income)], "missing"),
        "previous_cpp": Choice(_yes_no(before), "no"),
        "uasc": Choice(_yes_no(found.uasc), "no"),
        "elevated_risk": Choice(_yes_no(found.risky), "no"),
    }


def _yes_no(flag: Any) -> list[tuple[Any, str]]:
    return [(flag, "yes"), (flag.notnull(), "no")]
