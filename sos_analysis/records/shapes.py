"""Bound rows brought to the five shapes that `assemble` puts together, codes read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sos_analysis.records import cleaning
from sos_analysis.records.npd_layout import (
    ASSESSMENTS,
    CARE,
    CIN,
    DISABILITIES,
    PEOPLE,
    SECTION47,
    Family,
)

if TYPE_CHECKING:
    import ibis


def _cin_rows(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(
        birth_month=_middle_of_month(rows),
        fault_year=(rows.acadyr != rows.return_year).fill_null(False),
    ).drop("acadyr", "birth_year")


def _as_bound(rows: ibis.Table) -> ibis.Table:
    return rows


def _disability_rows(rows: ibis.Table) -> ibis.Table:
    stated = cleaning.code(rows.disability)
    return rows.filter(stated.notnull(), stated != "NONE").select("la", "child_id").distinct()


def _care_rows(rows: ibis.Table) -> ibis.Table:
    return rows.mutate(birth_month=_middle_of_month(rows)).drop("birth_year")


def _middle_of_month(rows: ibis.Table) -> Any:
    """The 15th of the month of birth: where no day is given, the middle errs least."""
    import ibis

    year, month = rows.birth_year, rows.birth_month
    known = (year.between(1900, 2100) & month.between(1, 12)).fill_null(False)
    # The inner values are valid even where the outer condition is false: engines may compute both.
    day = ibis.date(ibis.ifelse(known, year, 1900), ibis.ifelse(known, month, 1), 15)
    return ibis.cases((known, day))


_PERSON: Mapping[str, Callable[[Any], Any]] = {
    "sex": cleaning.sex,
    "ethnicity": cleaning.ethnicity,
}


@dataclass(frozen=True)
class Shape:
    """Columns of a kind of row, how rows are brought to shape, and how their codes are read.

    `wide` rows are many, and each of their columns is used about once: they are read anew from
    their files rather than held.
    """

    family: Family
    rows: Callable[[Any], Any] = _as_bound
    codes: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    wide: bool = False


SHAPES: Mapping[str, Shape] = {
    "cin": Shape(
        CIN,
        _cin_rows,
        {"need": cleaning.need, "closure_reason": cleaning.closure_reason, **_PERSON},
        wide=True,
    ),
    "assessments": Shape(ASSESSMENTS, wide=True),
    "section47": Shape(SECTION47, wide=True),
    "disabilities": Shape(DISABILITIES, _disability_rows),
    "care": Shape(
        CARE,
        _care_rows,
        {
            "rne": cleaning.known("RNE"),
            "legal_status": cleaning.known("LS"),
            "placement": cleaning.known("PLACE"),
            "need": cleaning.known("CIN"),
            "end_reason": cleaning.known("REC"),
            **_PERSON,
        },
    ),
    "people": Shape(PEOPLE, codes=_PERSON),
}
