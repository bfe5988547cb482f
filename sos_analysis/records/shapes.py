"""Bound rows brought to the five shapes that `assemble` puts together, codes read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    rows = rows.mutate(
        birth_month=_middle_of_month(rows),
        fault_year=(rows.acadyr != rows.return_year).fill_null(False),
    ).drop("acadyr", "birth_year")
    return cleaning.with_codes(
        rows,
        need=cleaning.need,
        closure_reason=cleaning.closure_reason,
        sex=cleaning.sex,
        ethnicity=cleaning.ethnicity,
    )


def _as_bound(rows: ibis.Table) -> ibis.Table:
    return rows


def _disability_rows(rows: ibis.Table) -> ibis.Table:
    stated = cleaning.code(rows.disability)
    return rows.filter(stated.notnull(), stated != "NONE").select("la", "child_id").distinct()


def _care_rows(rows: ibis.Table) -> ibis.Table:
    rows = rows.mutate(birth_month=_middle_of_month(rows)).drop("birth_year")
    return cleaning.with_codes(
        rows,
        rne=cleaning.known("RNE"),
        legal_status=cleaning.known("LS"),
        placement=cleaning.known("PLACE"),
        need=cleaning.known("CIN"),
        end_reason=cleaning.known("REC"),
        sex=cleaning.sex,
        ethnicity=cleaning.ethnicity,
    )


def _people_rows(rows: ibis.Table) -> ibis.Table:
    return cleaning.with_codes(rows, sex=cleaning.sex, ethnicity=cleaning.ethnicity)


def _middle_of_month(rows: ibis.Table) -> Any:
    """The 15th of the month of birth: where no day is given, the middle errs least."""
    import ibis

    year, month = rows.birth_year, rows.birth_month
    known = (year.between(1900, 2100) & month.between(1, 12)).fill_null(False)
    # The inner values are valid even where the outer condition is false: engines may compute both.
    day = ibis.date(ibis.ifelse(known, year, 1900), ibis.ifelse(known, month, 1), 15)
    return ibis.cases((known, day))


#: Kind of row -> its columns, and how rows are cleaned.
SHAPES: Mapping[str, tuple[Family, Callable[[Any], Any]]] = {
    "cin": (CIN, _cin_rows),
    "assessments": (ASSESSMENTS, _as_bound),
    "section47": (SECTION47, _as_bound),
    "disabilities": (DISABILITIES, _disability_rows),
    "care": (CARE, _care_rows),
    "people": (PEOPLE, _people_rows),
}
