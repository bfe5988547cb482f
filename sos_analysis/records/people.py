"""Who the children are: what the rows of all returns say of each, put together.

Most children are told of alike by all their rows. They are settled in one pass over the rows, by
the union of what is said of them, as bits; rows are counted for the others alone, who are few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sos_analysis.records.calendar import date_of, ymd
from sos_analysis.records.engine import union_of_bits
from sos_analysis.records.said import (
    GROUPS,
    KNOWN_GROUPS,
    SEXES,
    STATED,
    UNCLASSIFIED,
    among,
    flag_of,
    has,
    several,
)
from sos_analysis.records.tables import KEY

if TYPE_CHECKING:
    import ibis

_DAY = 10**8  # above any yyyymmdd
_ROOM = 20  # bits of a count: no child has a million rows
_COUNTED = (*SEXES, *GROUPS)


def people_of(
    told: ibis.Table, keep: Callable[[ibis.Table], ibis.Table]
) -> tuple[ibis.Table, ibis.Table, list[ibis.Table]]:
    """All children, and votes on dates of birth where rows differ.

    Parameters
    ----------
    told : `la`, `child_id`, `day` of birth and what is `said` (see `said`), a row each row.
    keep : materialises a table in the engine.

    Returns
    -------
    Children, votes (`day`, `rank`: 3 stated itself, 2 as expected, 1 by its month; `n`), and what
    was materialised for them: to be dropped once they are held.
    """
    seen = keep(
        told.group_by(*KEY).agg(
            said=union_of_bits(told.said), low=told.day.min(), high=told.day.max()
        )
    )
    differs = (seen.low != seen.high).fill_null(False)
    for names in (SEXES, KNOWN_GROUPS, STATED):
        differs = differs | several(among(seen.said, names))
    few = keep(seen.filter(differs))
    rows = keep(told.semi_join(few, KEY))
    votes = keep(_votes(rows))
    sure = seen.filter(~differs)
    alike = _child(
        sure,
        sure.low,
        {name: has(sure.said, name).cast("int64") for name in _COUNTED},
    )
    return alike.union(_counted(few, rows, votes)), votes, [seen, few, rows, votes]


def _votes(rows: ibis.Table) -> ibis.Table:
    """How often each date of birth is stated for a child, and how well."""
    import ibis

    dated = rows.filter(rows.day.notnull())
    ranks = [(has(dated.said, name), i + 1) for i, name in enumerate(STATED)]
    dated = dated.mutate(rank=ibis.cases(*ranks).cast("int64"))
    return dated.group_by(*KEY, "day", "rank").agg(n=dated.count())


def _counted(few: ibis.Table, rows: ibis.Table, votes: ibis.Table) -> ibis.Table:
    """Children of whom rows say different things: by what most of them say."""
    # Best stated, most frequent, earliest: one whole number whose maximum is that date.
    best = votes.rank * 10**16 + votes.n * 10**9 + (_DAY - ymd(votes.day))
    born = votes.group_by(*KEY).agg(_best=best.max())
    born = born.select(*KEY, dob=date_of(_DAY - born["_best"] % 10**9))
    # Three counts in one sum: a sum for each of nine would be most of the engine's work here.
    packs = [_COUNTED[i : i + 3] for i in range(0, len(_COUNTED), 3)]
    counted = rows.group_by(*KEY).agg(
        **{
            f"pack_{i}": sum(
                has(rows.said, name).cast("int64") * (1 << (_ROOM * j))
                for j, name in enumerate(names)
            ).sum()
            for i, names in enumerate(packs)
        }
    )
    both = few.inner_join(counted, KEY).left_join(born, KEY)
    counts = {
        name: (both[f"pack_{i}"].cast("int64") >> (_ROOM * j)) & ((1 << _ROOM) - 1)
        for i, names in enumerate(packs)
        for j, name in enumerate(names)
    }
    return _child(both, both.dob, counts)


def _child(table: ibis.Table, dob: Any, rows: dict[str, Any]) -> ibis.Table:
    """Children in words, by how many rows state a sex or an ethnic group."""
    import ibis

    most = ibis.greatest(*(rows[name] for name in KNOWN_GROUPS))
    groups = [((rows[name] == most) & (most > 0), name) for name in KNOWN_GROUPS]
    return table.select(
        *KEY,
        dob=dob,
        sex=ibis.cases(
            (rows["male"] > rows["female"], "male"),
            (rows["female"] > rows["male"], "female"),
            else_="unknown",
        ),
        ethnicity=ibis.cases(*groups, (rows[UNCLASSIFIED] > 0, UNCLASSIFIED)),
        disabled=flag_of(table.said, "disabled"),
        low_income=flag_of(table.said, "low_income"),
        uasc=has(table.said, "uasc"),
    )
