"""What all outcomes share: the span of the data, censoring, ages, and covariates as words.

Events on their way carry `la`, `child` (the child as one number; its id is joined back where rows
are asked for), `event_date`, `window_end` (where windows differ in length), `y`, `risky` (whether
the day by which that is judged is one of elevated risk: the referral's where the event follows from
a referral) and `traits` (the other covariates as bits of one number).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import ParameterError
from sos_analysis.records.calendar import ymd
from sos_analysis.records.tables import CHILD, ETHNICITIES, KEY, OLDEST, YOUNGEST
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

# Completed years times 10,000, which is what two dates written as yyyymmdd differ by.
_YEAR = 10_000

#: Covariate -> the words it can be. Kept together as bits of one number (`traits`), each as the
#: place of its word, but for elevated risk, which is of the day and not of the child.
WORDS: Mapping[str, tuple[str, ...]] = {
    "sex": ("male", "female", "unknown"),
    "age_band": ("0-4", "5-12", "13-17", "missing"),
    "ethnicity": (*ETHNICITIES, "missing"),
    "school_phase": ("none", "primary", "secondary", "missing"),
    "disabled": ("yes", "no", "missing"),
    "low_income": ("under school age", "yes", "no", "missing"),
    "previous_cpp": ("yes", "no"),
    "uasc": ("yes", "no"),
}
RISK = ("yes", "no")


def _bits(name: str) -> tuple[int, int]:
    """Where a covariate begins in `traits`, and the bits it has there."""
    sizes = {each: (len(words) - 1).bit_length() for each, words in WORDS.items()}
    names = list(sizes)
    return sum(sizes[each] for each in names[: names.index(name)]), sizes[name]


def _put(**places: Any) -> Any:
    """Places of words, put together."""
    parts = [(place << _bits(name)[0]) for name, place in places.items()]
    return reduce(or_, parts).cast("int32")


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


def with_risk(found: ibis.Table, records: Records) -> ibis.Table:
    """Add whether `risk_date` is a day of elevated risk (`risky`), in place of it."""
    days = records.tables["calendar"]
    days = days.select(risk_date=days.day, risky=days.elevated_risk)
    both = found.left_join(days, "risk_date")
    others = [name for name in found.columns if name != "risk_date"]
    return both.select(*others, risky=both.risky.fill_null(False))


def with_child(found: ibis.Table, records: Records, *, unknown: bool = True) -> ibis.Table:
    """Add what is known of the child (`traits`) and keep ages -1 to 17 (domain rule).

    What is not stated is 'missing', never 'no'. Low income comes from the School Census, so it is
    'under school age' for all children below it: what a later census says of them is only known
    for those who came back, and would carry the outcome into the covariate. Previous plan: one
    that began before the event, or one begun by then that tells of an earlier one.

    Parameters
    ----------
    found : events with `child` and `event_date`.
    unknown : whether events of unknown age stay.
    """
    import ibis

    people = _people(records)
    both = found.left_join(people, CHILD)
    age = ymd(both.event_date) - both.born
    # Thresholds by null-safe comparison: an unknown age is under none.
    young, primary, middle = (
        (age < (last + 1) * _YEAR).fill_null(False)
        for last in (LAST_BEFORE_SCHOOL, LAST_OF_PRIMARY, LAST_OF_MIDDLE_BAND)
    )
    told = both.told.fill_null(_NOTHING)
    start, size = _bits("low_income")
    told = ibis.ifelse(young, told & ~(((1 << size) - 1) << start), told)
    aged = _put(
        age_band=ibis.cases((young, 0), (middle, 1), (age.notnull(), 2), else_=3),
        school_phase=ibis.cases((young, 0), (primary, 1), (age.notnull(), 2), else_=3),
        previous_cpp=ibis.ifelse((both.event_date >= both.planned).fill_null(False), 0, 1),
    )
    kept = (age >= YOUNGEST * _YEAR) & (age < (OLDEST + 1) * _YEAR)
    both = both.filter(kept.fill_null(unknown))
    return both.select(*found.columns, traits=(told | aged).cast("int32"))


#: Of a child of whom nothing is told, in the places `_people` fills.
_NOTHING = sum(
    WORDS[name].index(word) << _bits(name)[0]
    for name, word in {
        "sex": "unknown",
        "ethnicity": "missing",
        "disabled": "missing",
        "low_income": "missing",
        "uasc": "no",
    }.items()
)


def _people(records: Records) -> ibis.Table:
    """What covariates need of each child, narrow: `born` (yyyymmdd), `told` (bits), `planned`.

    `planned` is the first day on which a plan counts as a previous one.
    """
    import ibis

    plans = records.tables["cpp"]
    plans = plans.group_by(CHILD).agg(
        first=plans.start_date.min(),
        counted=plans.start_date.min(where=plans.n_previous > 0),
    )
    planned = ibis.cases((plans.counted == plans["first"], plans["first"]))
    plans = plans.select(CHILD, planned=planned.coalesce(plus(plans["first"], 1)))
    t = records.tables["children"]
    told = _put(
        sex=_place(t.sex, "sex", "unknown"),
        ethnicity=_place(t.ethnicity, "ethnicity", "missing"),
        disabled=_yes_no(t.disabled, 0),
        low_income=_yes_no(t.low_income, 1),
        uasc=ibis.ifelse(t.uasc.fill_null(False), 0, 1),
    )
    people = t.select(CHILD, born=ymd(t.dob).cast("int32"), told=told)
    return records.once(people.left_join(plans, CHILD).drop("child_right"))


def _place(column: Any, name: str, otherwise: str) -> Any:
    places = [(word, i) for i, word in enumerate(WORDS[name]) if word != otherwise]
    return column.cases(*places, else_=WORDS[name].index(otherwise))


def _yes_no(flag: Any, yes: int) -> Any:
    """Place of yes, no and missing, the first of them given."""
    import ibis

    return ibis.cases((flag, yes), (flag.notnull(), yes + 1), else_=yes + 2)


def complete(found: ibis.Table, records: Records, window: int | None) -> ibis.Table:
    """Add the fiscal year, the end of the window and the covariates as words."""
    if "child_id" not in found.columns:
        # Those of referrals are all among the children; assessments may name others.
        found = found.inner_join(records.tables["children"].select(CHILD, "child_id"), CHILD)
    found = _windowed(found, window)
    choices, event = _choices(found, COVARIATES), found.event_date
    return found.select(
        *KEY,
        "event_date",
        "window_end",
        "y",
        year=(event.year() + (event.month() >= 4).cast("int32")).cast("int32"),
        **{name: choice.word() for name, choice in choices.items()},
    )


def coded(found: ibis.Table, covariates: Sequence[str], window: int | None) -> Coded:
    """Add the covariates as one number; children go by their number alone."""
    absent = [name for name in covariates if name not in COVARIATES]
    if absent:
        raise ParameterError(
            f"events have no covariate {absent[0]!r}; they have {', '.join(COVARIATES)}."
        )
    found = _windowed(found, window)
    stratum, strata = numbered(_choices(found, covariates))
    rows = found.select(
        "la", "event_date", "window_end", "y", child_id=found[CHILD], stratum=stratum
    )
    return Coded(rows, strata, child=("child_id",), window=window)


def _windowed(found: ibis.Table, days: int | None) -> ibis.Table:
    """Add the end of the window, so many days after the event."""
    return found if days is None else found.mutate(window_end=plus(found.event_date, days))


def _choices(found: ibis.Table, covariates: Sequence[str]) -> dict[str, Choice]:
    """The covariates named, each as the place of its word."""
    import ibis

    choices = {}
    for name in covariates:
        if name == "elevated_risk":
            choices[name] = Choice(RISK, ibis.ifelse(found.risky, 0, 1))
            continue
        start, size = _bits(name)
        choices[name] = Choice(WORDS[name], (found.traits >> start) & ((1 << size) - 1))
    return choices
