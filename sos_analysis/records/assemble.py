"""From returns as they were sent to the canonical tables: the rules every source shares.

A reader (`npd`, and those of statutory returns) brings its source into the five shapes below, one
row a row of the return. Here copies are put together, by the settled rules of this project
(domain rule, `docs/methods_registry.md`):

* a child is an authority and its child id; a referral is a child and a day;
* a referral that recurs in the next year's return, or is written twice for a day, is one: closure
  date and reason each from the last return that states it, no further action only if every copy
  that states the flag says so, conferences and plans pooled;
* closure before referral marks the referral as an error; its day still counts as a referral;
* assessments of a child that began on one day are one, with the later end;
* episodes of a child that began on one day are one, as the last return that has it states it: a
  copy with other codes, or one that was still open, is superseded;
* a period of care begins where an episode starts care (S), or the episode before it did not end
  by going on (X1) on the same day;
* of several dates of birth the most frequent counts, among equals the earliest; a stated date
  goes before an expected one, that before a month of birth (taken as its 15th);
* sex and ethnicity: what most rows state; disability, low income and arriving alone to seek
  asylum: if any row says so.

Dates are put together as whole numbers (year of return, then yyyymmdd), whose maximum is the same
in every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sos_analysis.records.calendar import date_of, ymd
from sos_analysis.records.engine import union_of_bits
from sos_analysis.records.people import people_of
from sos_analysis.records.problems import (
    count_faults,
    date_problems,
    episode_problems,
    referral_problems,
    several_dobs,
    stated_starts,
)
from sos_analysis.records.said import BIT, among, flag_of, has, marked, narrow, of_person, several
from sos_analysis.records.tables import CHILD, KEY, Problem, tally

if TYPE_CHECKING:
    import ibis

CONTINUES = "X1"
STARTS_CARE = "S"

_DAY = 10**8  # above any yyyymmdd
_SPAN = 10**7  # above any number of days


@dataclass(frozen=True)
class Returns:
    """Rows of returns in one shape, cleaned, not yet put together.

    Columns besides `la` and `child_id` (text, the second may be empty and is then left out); `sex`
    and `ethnicity`, and in `cin` `closure_reason` and `need`, are numbers (see `said`):

    cin : `return_year` (int), `referral_date`, `nfa`, `closure_date`, `closure_reason`, `need`,
        `icpc_date`, `plan_start`, `plan_end`, `plan_previous`, `dob`, `expected_dob`,
        `birth_year`, `birth_month`, `sex`, `ethnicity`, `disabled`, `low_income`, `uasc`, `in_need`
        (derived mark of the source; empty if it has none).
    assessments : `start_date`, `end_date`.
    section47 : `referral_date`, `s47_date`, `icpc_date`, and `not_required` (no conference needed)
        where the source states it.
    disabilities : a row each child and disability.
    care : `return_year` (int, larger is later; empty if the source does not tell), `rne`,
        `episode_start`, `episode_end`, `legal_status`, `placement`, `need`, `end_reason`,
        `stated_start` (of the period, if the source states it), `birth_year`, `birth_month`, `sex`,
        `ethnicity`, `uasc`.
    people : `dob`, `sex`, `ethnicity`, `uasc`, as a return states them of a child itself.

    Any table may carry the boolean columns of `FAULTS`; those true are counted.
    """

    cin: ibis.Table
    assessments: ibis.Table
    section47: ibis.Table
    disabilities: ibis.Table
    care: ibis.Table
    people: ibis.Table


def assemble(
    returns: Returns,
    keep: Callable[[ibis.Table], ibis.Table],
    drop: Callable[[ibis.Table], None],
    number: tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]],
    *,
    faults: Mapping[str, Mapping[str, int]] | None = None,
    files: Sequence[str] = (),
    unit: Mapping[int, str] | None = None,
) -> tuple[dict[str, ibis.Table], list[Problem]]:
    """Put copies together and count what was wrong.

    Parameters
    ----------
    returns : rows, held or read anew from their files.
    keep, drop : materialise a table in the engine; drop it.
    number : of a child, from authority and id: what to try, and what never gives two the same.
    faults : table -> rows at fault by name, where its rows do not carry the marks.
    files, unit : names of files by number and what is counted in them, where rows carry a place.

    Returns
    -------
    Canonical tables by name (without `calendar` and `la_years`), and problems.
    """
    import ibis

    problems = [
        problem
        for name in ("cin", "assessments", "section47", "disabilities", "care", "people")
        for problem in count_faults(
            name, getattr(returns, name), files, unit, (faults or {}).get(name)
        )
    ]
    # Held without words: most of what follows rests on these rows.
    cin = keep(narrow(_known(returns.cin)))
    s47, care, people = (_known(t) for t in (returns.section47, returns.care, returns.people))
    told = [cin.select(*KEY, "day", "said"), of_person(care), of_person(people)]
    told.append(marked(_known(returns.disabilities), "disabled"))
    tables: dict[str, ibis.Table] = {}
    made, votes, scratch = people_of(ibis.union(*told), keep)
    tables["children"] = children = keep(_numbered(made, number[0]))
    exact = tally(children, {"numbers": children[CHILD].nunique(), "rows": children.count()})
    if exact["numbers"] != exact["rows"]:
        number = (number[1], number[1])
        tables["children"] = keep(_numbered(children.drop(CHILD), number[0]))
        drop(children)
    problems += several_dobs(votes)
    for held in scratch:
        drop(held)

    def numbered(table: ibis.Table) -> ibis.Table:
        return keep(_numbered(table, number[0]))

    tables["referrals"] = numbered(_referrals(cin, s47))
    tables["assessments"] = numbered(_assessments(_known(returns.assessments)))
    tables["s47_icpc"] = keep(_enquiries(s47))
    tables["conferences"] = numbered(_conferences(cin, s47))
    tables["cpp"] = numbered(_plans(cin))
    tables["episodes"] = numbered(_episodes(care))
    tables["care_periods"] = numbered(_periods(tables["episodes"]))
    problems += referral_problems(tables["referrals"], tables["children"], cin)
    problems += date_problems(_known(returns.assessments), tables["assessments"], care)
    problems += stated_starts(care, tables["episodes"])
    problems += episode_problems(care, tables["episodes"])
    drop(cin)
    return tables, problems


def _numbered(table: ibis.Table, number: Callable[[Any, Any], Any]) -> ibis.Table:
    return table.mutate(**{CHILD: number(table["la"], table["child_id"])})


def _known(table: ibis.Table) -> ibis.Table:
    return table.filter(table.la.notnull(), table.child_id.notnull())


def _last_stated(year: Any, day: Any) -> Any:
    """The date in the last return that states it; of several there, the latest (aggregate)."""
    return date_of((year.cast("int64") * _DAY + ymd(day)).max())


# --- tables ---------------------------------------------------------------------------------------
def _referrals(cin: ibis.Table, s47: ibis.Table) -> ibis.Table:
    import ibis

    rows = cin.filter(cin.referral_date.notnull())
    year, closed = rows.return_year.cast("int64") * _SPAN, _days(rows.closure_date)
    stated = rows.select(
        *KEY,
        "referral_date",
        "icpc_date",
        "said",
        "return_year",
        # The last return that states it, of several there the latest day: their maximum.
        closed=year + closed,
        reason=(year + closed.fill_null(-1)) * 10 + rows.reason,
        need=rows.return_year.cast("int64") * 10 + rows.need,
    )
    # Conferences of enquiries come as rows of the same referrals: a join would cost more.
    held = s47.filter(s47.icpc_date.notnull(), s47.referral_date.notnull())
    held = held.select(
        *KEY,
        "referral_date",
        icpc_date=ibis.null("date"),
        said=ibis.literal(BIT["conference"], "int32"),
        return_year=ibis.null("int32"),
        **{name: ibis.null("int64") for name in ("closed", "reason", "need")},
    )
    both = stated.union(held)
    one = both.group_by(*KEY, "referral_date").agg(
        said=union_of_bits(both.said),
        closed=both.closed.max(),
        reason=both.reason.max(),
        need=both.need.max(),
        icpc_date=both.icpc_date.min(),
        first_return=both.return_year.min(),
        last_return=both.return_year.max(),
    )
    one = one.filter(one.first_return.notnull())
    one = one.mutate(closure_date=_day(one.closed % _SPAN))
    return one.select(
        *KEY,
        "referral_date",
        nfa_flag=ibis.cases((has(one.said, "not_nfa"), False), (has(one.said, "nfa"), True)),
        closure_date=one.closure_date,
        closure_reason=_code("RC", one.reason % 10),
        primary_need=_code("N", one.need % 10),
        icpc_date=one.icpc_date,
        has_icpc=one.icpc_date.notnull() | has(one.said, "conference"),
        has_plan=has(one.said, "plan"),
        cin_any=flag_of(one.said, "in_need"),
        closed_before_referral=(one.closure_date < one.referral_date).fill_null(False),
        first_return=one.first_return,
        last_return=one.last_return,
        nfa_differs=several(among(one.said, ("nfa", "not_nfa"))),
    )


def _days(day: Any) -> Any:
    """Days since the first day there is."""
    import ibis

    return day.delta(ibis.date(1, 1, 1), unit="day").cast("int64")


def _day(days: Any) -> Any:
    """The day so many days after the first there is."""
    import ibis

    return (ibis.date(1, 1, 1) + days.cast("int32").as_interval("D")).cast("date")


def _code(letters: str, figure: Any) -> Any:
    """The code that ends in a figure."""
    import ibis

    return ibis.literal(letters) + figure.cast("string")


def _assessments(rows: ibis.Table) -> ibis.Table:
    rows = rows.filter(rows.start_date.notnull())
    return rows.group_by(*KEY, "start_date").agg(end_date=rows.end_date.max())


def _enquiries(s47: ibis.Table) -> ibis.Table:
    import ibis

    if "not_required" not in s47.columns:
        s47 = s47.mutate(not_required=ibis.null("boolean"))
    return s47.select(*KEY, "s47_date", "icpc_date", "not_required").distinct()


def _conferences(cin: ibis.Table, s47: ibis.Table) -> ibis.Table:
    import ibis

    both = cin.select(*KEY, "icpc_date", source=ibis.literal("cin")).union(
        s47.select(*KEY, "icpc_date", source=ibis.literal("s47"))
    )
    return both.filter(both.icpc_date.notnull()).distinct()


def _plans(cin: ibis.Table) -> ibis.Table:
    rows = cin.filter(cin.plan_start.notnull())
    year = rows.return_year.cast("int64")
    return rows.group_by(*KEY, start_date=rows.plan_start).agg(
        end_date=_last_stated(year, rows.plan_end),
        n_previous=((year * 10_000 + rows.plan_previous).max() % 10_000).cast("int32"),
    )


def _episodes(care: ibis.Table) -> ibis.Table:
    """Episodes, each once, with the start of the period of care they belong to."""
    import ibis

    rows = _one_copy(care)
    one_by_one = ibis.window(group_by=list(KEY), order_by=_in_order(rows))
    rows = rows.mutate(
        before_end=rows.episode_end.lag().over(one_by_one),
        before_reason=rows.end_reason.lag().over(one_by_one),
    )
    follows = (rows.before_reason == CONTINUES) & (rows.before_end == rows.episode_start)
    starts = (rows.rne == STARTS_CARE).fill_null(False) | ~follows.fill_null(False)
    rows = rows.mutate(began=ibis.cases((starts, rows.episode_start)))
    so_far = ibis.cumulative_window(group_by=list(KEY), order_by=_in_order(rows))
    rows = rows.mutate(period_start=rows.began.max().over(so_far))
    return rows.select(
        *KEY,
        "period_start",
        "episode_start",
        "episode_end",
        "legal_status",
        "placement",
        "need",
        "end_reason",
    )


def _one_copy(care: ibis.Table) -> ibis.Table:
    """One row a child and day on which an episode began: that of the last return that has it.

    Within a return (or where none is told) the one with the latest stated end. An episode that
    ended on its own day is another than the one that follows on that day; unless it goes on by X1
    it falls away where a later return has the day without it.
    """
    import ibis

    rows = care.filter(care.episode_start.notnull())
    rows = rows.mutate(
        told=rows.return_year.fill_null(0),
        order=ymd(rows.episode_end).fill_null(_DAY),
        passing=(rows.episode_end == rows.episode_start).fill_null(False),
        goes_on=(rows.end_reason == CONTINUES).fill_null(False),
    )
    rows = rows.mutate(
        last=rows.told.max().over(group_by=[*KEY, "episode_start"]),
        own=ibis.cases(
            (
                rows.passing,
                rows.legal_status.fill_null("~") + "|" + rows.placement.fill_null("~"),
            ),
            else_="",
        ),
    )
    rows = rows.filter(~rows.passing | rows.goes_on | (rows.told == rows["last"]))
    same = ibis.window(
        group_by=[*KEY, "episode_start", "own"],
        order_by=[
            ibis.desc(rows.told),
            ibis.desc(rows.order % _DAY),
            *(
                rows[name].fill_null("~")
                for name in ("end_reason", "rne", "legal_status", "placement", "need")
            ),
        ],
    )
    rows = rows.mutate(copy=ibis.row_number().over(same))
    return rows.filter(rows["copy"] == 0)


def _in_order(rows: ibis.Table) -> list[Any]:
    """Episodes in time; the rest of the key makes the order the same on every run."""
    order = ymd(rows.episode_end).fill_null(_DAY)
    return [
        rows.episode_start,
        order,
        rows.legal_status.fill_null("~"),
        rows.placement.fill_null("~"),
    ]


def _periods(episodes: ibis.Table) -> ibis.Table:
    import ibis

    group = [*KEY, "period_start"]
    order = _in_order(episodes)
    rows = episodes.mutate(
        place=ibis.row_number().over(group_by=group, order_by=order),
        size=episodes.count().over(group_by=group),
    )
    first, last = rows.place == 0, rows.place == rows["size"] - 1
    ended = last & (rows.end_reason != CONTINUES).fill_null(True) & rows.episode_end.notnull()
    return rows.group_by(*group).agg(
        period_end=rows.episode_end.max(where=ended),
        period_end_reason=rows.end_reason.max(where=ended),
        first_legal_status=rows.legal_status.max(where=first),
        first_placement=rows.placement.max(where=first),
    )
