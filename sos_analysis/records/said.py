"""What a row of a return says, as bits of one number.

Words are wide, and returns have many rows: here each row becomes narrow once. What several rows
say together is the union of their bits; what they disagree on has more than one bit of its set.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from sos_analysis.records.cleaning import CLOSURE_REASONS, ETHNIC_GROUPS, NEEDS
from sos_analysis.records.tables import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis

SEXES = ("male", "female")
GROUPS = tuple(dict.fromkeys(ETHNIC_GROUPS.values()))
#: A group that only counts where no row states another.
UNCLASSIFIED = "Unclassified"
KNOWN_GROUPS = tuple(name for name in GROUPS if name != UNCLASSIFIED)
#: How a day of birth is stated, worst first: by its month, as expected, itself.
STATED = ("birth_month", "expected_dob", "dob")
#: Yes or no of a child, and of a referral.
_FLAGS = ("disabled", "low_income", "nfa", "in_need")
_SAID = (
    *(*SEXES, *GROUPS, *STATED, "uasc", "plan", "conference"),
    *(f"{no}{flag}" for flag in _FLAGS for no in ("", "not_")),
)
BIT = {name: 1 << i for i, name in enumerate(_SAID)}
#: Words as numbers: bits for what is said of a child, figures for what codes end in (RC8: 8).
SEX = {name: BIT[name] for name in SEXES}
GROUP = {name: BIT[name] for name in GROUPS}
REASON, NEED = ({code: int(code[-1]) for code in codes} for codes in (CLOSURE_REASONS, NEEDS))


def among(said: Any, names: Sequence[str]) -> Any:
    """The bits of these facts alone."""
    return said & sum(BIT[name] for name in names)


def has(said: Any, name: str) -> Any:
    """Whether a fact is among what was said."""
    return (said & BIT[name]) > 0


def several(bits: Any) -> Any:
    """Whether more than one bit is set: then a number has one in common with that below it."""
    return (bits & (bits - 1)) > 0


def flag_of(said: Any, name: str) -> Any:
    """Yes if any row said so, no if one said no, else empty."""
    import ibis

    return ibis.cases((has(said, name), True), (has(said, f"not_{name}"), False))


def narrow(cin: ibis.Table) -> ibis.Table:
    """Rows of children in need: their dates, what is said, and the figures of codes.

    Returns
    -------
    `la`, `child_id`, `return_year`, `day` (of birth, as well as it is stated), `said`, the dates
    of the row, `reason` and `need` (the figure their codes end in) and `plan_previous`.
    """
    import ibis

    plan = ibis.ifelse(cin.plan_start.notnull(), BIT["plan"], 0)
    return cin.select(
        *KEY,
        "return_year",
        day=_day_of_birth(cin),
        said=_union(*_person(cin), *_flags(cin, "nfa", "in_need"), plan),
        referral_date=cin.referral_date,
        closure_date=cin.closure_date,
        icpc_date=cin.icpc_date,
        plan_start=cin.plan_start,
        plan_end=cin.plan_end,
        plan_previous=cin.plan_previous,
        reason=cin.closure_reason.cast("int8"),
        need=cin.need.cast("int8"),
    )


def of_person(rows: ibis.Table) -> ibis.Table:
    """What rows say of a child itself: `la`, `child_id`, `day` of birth and `said`."""
    return rows.select(*KEY, day=_day_of_birth(rows), said=_union(*_person(rows)))


def marked(rows: ibis.Table, name: str) -> ibis.Table:
    """Rows that say one thing of a child."""
    import ibis

    return rows.select(*KEY, day=ibis.null("date"), said=ibis.literal(BIT[name], "int32"))


def _days_stated(rows: ibis.Table) -> dict[str, Any]:
    """Days of birth as they are stated, the best first."""
    return {name: rows[name] for name in reversed(STATED[1:]) if name in rows.columns}


def _by_month(rows: ibis.Table) -> Any:
    """Whether year and month of birth are known."""
    if "birth_year" not in rows.columns:
        return None
    known = rows.birth_year.between(1900, 2100) & rows.birth_month.between(1, 12)
    return known.fill_null(False)


def _day_of_birth(rows: ibis.Table) -> Any:
    """The day as well as it is stated; of a month its 15th: the middle errs least."""
    import ibis

    stated = [(day.notnull(), day) for day in _days_stated(rows).values()]
    known = _by_month(rows)
    if known is not None:
        # The inner values are valid even where the condition is false: engines may compute both.
        year = ibis.ifelse(known, rows.birth_year, 1900)
        month = ibis.ifelse(known, rows.birth_month, 1)
        stated.append((known, ibis.date(year, month, 15)))
    return ibis.cases(*stated)


def _person(rows: ibis.Table) -> list[Any]:
    import ibis

    stated = [(day.notnull(), BIT[name]) for name, day in _days_stated(rows).items()]
    known = _by_month(rows)
    if known is not None:
        stated.append((known, BIT["birth_month"]))
    return [
        ibis.cases(*stated, else_=0),
        rows.sex.fill_null(0),
        rows.ethnicity.fill_null(0),
        ibis.ifelse(rows.uasc.fill_null(False), BIT["uasc"], 0),
        *_flags(rows, "disabled", "low_income"),
    ]


def _flags(rows: ibis.Table, *names: str) -> list[Any]:
    import ibis

    return [
        ibis.cases((rows[name], BIT[name]), (rows[name].notnull(), BIT[f"not_{name}"]), else_=0)
        for name in names
        if name in rows.columns
    ]


def _union(*parts: Any) -> Any:
    return reduce(or_, (part.cast("int32") for part in parts)).cast("int32")
