"""Who the children are: what the rows of all returns say of each, put together.

Most children are told of alike by all their rows. They are settled in one pass over the rows, by
the union of what is said of them, as bits; rows are counted for the others alone, who are few.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from sos_analysis.records.calendar import date_of, ymd
from sos_analysis.records.cleaning import ETHNIC_GROUPS
from sos_analysis.records.engine import union_of_bits
from sos_analysis.records.tables import KEY

if TYPE_CHECKING:
    import ibis

_DAY = 10**8  # above any yyyymmdd
_ROOM = 20  # bits of a count: no child has a million rows
_SEXES = ("male", "female")
_GROUPS = tuple(dict.fromkeys(ETHNIC_GROUPS.values()))
_KNOWN = tuple(name for name in _GROUPS if name != "Unclassified")
_SAID = (*_SEXES, *_GROUPS, "disabled", "not_disabled", "low_income", "not_low_income", "uasc")
_BIT = {name: 1 << i for i, name in enumerate(_SAID)}
_BORN = ("dob", "expected_dob", "birth_month")
_TOLD = ("sex", "ethnicity", "disabled", "low_income", "uasc")


def people_of(
    cin: ibis.Table,
    care: ibis.Table,
    disabilities: ibis.Table,
    people: ibis.Table,
    keep: Callable[[ibis.Table], ibis.Table],
) -> tuple[ibis.Table, ibis.Table, list[ibis.Table]]:
    """All children, and votes on dates of birth where rows differ.

    Parameters
    ----------
    keep : materialises a table in the engine.

    Returns
    -------
    Children, votes, and what was materialised for them: to be dropped once they are held.
    """
    seen = keep(_said(cin, care, disabilities, people))
    sex, group = _of(seen, _SEXES), _of(seen, _KNOWN)
    # More than one bit of a number is set where it has a bit in common with the number below it.
    differs = ((sex & (sex - 1)) > 0) | ((group & (group - 1)) > 0)
    for low, high in (("rank_low", "rank_high"), ("day_low", "day_high")):
        differs = differs | (seen[low] != seen[high]).fill_null(False)
    several = keep(seen.filter(differs).select(*KEY))
    few = [
        keep(rows.select(*KEY, *names).semi_join(several, KEY))
        for rows, names in (
            (cin, (*_BORN, *_TOLD)),
            (care, ("birth_month", "sex", "ethnicity", "uasc")),
            (people, ("dob", "sex", "ethnicity", "uasc")),
        )
    ]
    votes = keep(_dob_votes(*few))
    marked = disabilities.select(*KEY).semi_join(several, KEY)
    counted = _children(few[0], few[1], marked, few[2], votes)
    children = _settled(seen.filter(~differs)).union(counted.select(*KEY, "dob", *_TOLD))
    return children, votes, [seen, several, *few, votes]


def _of(seen: ibis.Table, names: tuple[str, ...]) -> Any:
    return seen.said & sum(_BIT[name] for name in names)


def _said(
    cin: ibis.Table, care: ibis.Table, disabilities: ibis.Table, people: ibis.Table
) -> ibis.Table:
    """What all rows of a child say, and the first and last of its days of birth and their ranks."""
    import ibis

    def told(rows: ibis.Table, *born: str) -> ibis.Table:
        """How well a date of birth is stated: 3 itself, 2 expected, 1 by its month."""
        days = [rows[name] for name in born]
        ranks = [(rows[name].notnull(), 3 - _BORN.index(name)) for name in born]
        return rows.select(
            *KEY,
            day=ibis.coalesce(*days),
            rank=ibis.cases(*ranks).cast("int32"),
            said=_facts(rows),
        )

    marked = disabilities.select(
        *KEY,
        day=ibis.null("date"),
        rank=ibis.null("int32"),
        said=ibis.literal(_BIT["disabled"], "int32"),
    )
    rows = told(cin, *_BORN).union(told(care, "birth_month"), told(people, "dob"), marked)
    return rows.group_by(*KEY).agg(
        said=union_of_bits(rows.said),
        rank_low=rows["rank"].min(),
        rank_high=rows["rank"].max(),
        day_low=rows.day.min(),
        day_high=rows.day.max(),
    )


def _facts(rows: ibis.Table) -> Any:
    import ibis

    parts = [
        rows.sex.cases(*((name, _BIT[name]) for name in _SEXES), else_=0),
        rows.ethnicity.cases(*((name, _BIT[name]) for name in _GROUPS), else_=0),
        ibis.ifelse(rows.uasc.fill_null(False), _BIT["uasc"], 0),
    ]
    for name in ("disabled", "low_income"):
        if name in rows.columns:
            yes, no = _BIT[name], _BIT[f"not_{name}"]
            parts.append(ibis.cases((rows[name], yes), (rows[name].notnull(), no), else_=0))
    return reduce(or_, (part.cast("int32") for part in parts)).cast("int32")


def _settled(seen: ibis.Table) -> ibis.Table:
    """Children of whom no two rows say different things."""
    import ibis

    has = {name: (seen.said & bit) > 0 for name, bit in _BIT.items()}
    return seen.select(
        *KEY,
        dob=seen.day_low,
        sex=ibis.cases(*((has[name], name) for name in _SEXES), else_="unknown"),
        ethnicity=ibis.cases(*((has[name], name) for name in (*_KNOWN, "Unclassified"))),
        **{
            name: ibis.cases((has[name], True), (has[f"not_{name}"], False))
            for name in ("disabled", "low_income")
        },
        uasc=has["uasc"],
    )


def _dob_votes(cin: ibis.Table, care: ibis.Table, people: ibis.Table) -> ibis.Table:
    """How often each date of birth is stated for a child, and how well (3 best)."""
    import ibis

    seen = cin.select(
        *KEY,
        day=ibis.coalesce(cin.dob, cin.expected_dob, cin.birth_month),
        rank=ibis.cases((cin.dob.notnull(), 3), (cin.expected_dob.notnull(), 2), else_=1).cast(
            "int64"
        ),
    ).union(
        care.select(*KEY, day=care.birth_month, rank=ibis.literal(1, "int64")),
        people.select(*KEY, day=people.dob, rank=ibis.literal(3, "int64")),
    )
    seen = seen.filter(seen.day.notnull())
    return seen.group_by(*KEY, "day", "rank").agg(n=seen.count())


def _children(
    cin: ibis.Table,
    care: ibis.Table,
    disabilities: ibis.Table,
    stated: ibis.Table,
    votes: ibis.Table,
) -> ibis.Table:
    import ibis

    # Best stated, most frequent, earliest: one whole number whose maximum is that date.
    best = votes.rank * 10**16 + votes.n * 10**9 + (_DAY - ymd(votes.day))
    born = votes.group_by(*KEY).agg(_best=best.max())
    born = born.select(*KEY, dob=date_of(_DAY - born["_best"] % 10**9))
    told = ("sex", "ethnicity", "disabled", "low_income", "uasc")
    nothing = {name: ibis.null("boolean") for name in ("disabled", "low_income")}
    people = (
        cin.select(*KEY, *told)
        .union(
            *(
                rows.select(*KEY, "sex", "ethnicity", "uasc", **nothing).select(*KEY, *told)
                for rows in (care, stated)
            )
        )
        .union(
            disabilities.select(
                *KEY,
                sex=ibis.null("string"),
                ethnicity=ibis.null("string"),
                disabled=ibis.literal(True),
                low_income=ibis.null("boolean"),
                uasc=ibis.null("boolean"),
            )
        )
    )
    stated = {
        "male": people.sex == "male",
        "female": people.sex == "female",
        **{group: people.ethnicity == group for group in dict.fromkeys(ETHNIC_GROUPS.values())},
    }
    # Three counts in one sum: a sum for each of nine would be most of the engine's work here.
    packs = [list(stated)[i : i + 3] for i in range(0, len(stated), 3)]
    seen = people.group_by(*KEY).agg(
        disabled=people.disabled.any(),
        low_income=people.low_income.any(),
        uasc=people.uasc.any(),
        **{
            f"pack_{i}": sum(
                ibis.ifelse(stated[name], 1 << (_ROOM * j), 0).cast("int64")
                for j, name in enumerate(names)
            ).sum()
            for i, names in enumerate(packs)
        },
    )
    counts = {
        name: (seen[f"pack_{i}"].cast("int64") >> (_ROOM * j)) & ((1 << _ROOM) - 1)
        for i, names in enumerate(packs)
        for j, name in enumerate(names)
    }
    seen = seen.select(
        *KEY,
        "disabled",
        "low_income",
        "uasc",
        sex=ibis.cases(
            (counts["male"] > counts["female"], "male"),
            (counts["female"] > counts["male"], "female"),
            else_="unknown",
        ),
        ethnicity=_most({k: n for k, n in counts.items() if k not in ("male", "female")}),
    )
    seen = seen.left_join(born, KEY)
    return seen.select(
        *KEY,
        "dob",
        "sex",
        "ethnicity",
        "disabled",
        "low_income",
        uasc=seen.uasc.fill_null(False),
    )


def _most(counts: dict[str, Any]) -> Any:
    """The ethnic group most rows state; 'Unclassified' only if no row states another."""
    import ibis

    unclassified = counts.pop("Unclassified")
    most = ibis.greatest(*counts.values())
    return ibis.cases(
        *(((n == most) & (most > 0), group) for group, n in counts.items()),
        (unclassified > 0, "Unclassified"),
    )
