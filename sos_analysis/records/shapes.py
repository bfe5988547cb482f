"""Bound rows brought to the five shapes that `assemble` puts together, codes read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sos_analysis.records import cleaning, said
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
    return rows.mutate(fault_year=(rows.acadyr != rows.return_year).fill_null(False)).drop("acadyr")


def _as_bound(rows: ibis.Table) -> ibis.Table:
    return rows


def _disability_rows(rows: ibis.Table) -> ibis.Table:
    stated = cleaning.code(rows.disability)
    return rows.filter(stated.notnull(), stated != "NONE").select("la", "child_id").distinct()


_PERSON: Mapping[str, Callable[[Any], Any]] = {
    "sex": cleaning.sex,
    "ethnicity": cleaning.ethnicity,
}
_NUMBERS: Mapping[str, Mapping[str, int]] = {"sex": said.SEX, "ethnicity": said.GROUP}


@dataclass(frozen=True)
class Shape:
    """Columns of a kind of row, how rows are brought to shape, and how their codes are read.

    Words in `numbers` go on as these: they are wide, and rows are many.
    `wide` rows are many, and each of their columns is used about once: they are read anew from
    their files rather than held.
    """

    family: Family
    rows: Callable[[Any], Any] = _as_bound
    codes: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    wide: bool = False


SHAPES: Mapping[str, Shape] = {
    "cin": Shape(
        CIN,
        _cin_rows,
        {"need": cleaning.need, "closure_reason": cleaning.closure_reason, **_PERSON},
        {"need": said.NEED, "closure_reason": said.REASON, **_NUMBERS},
        wide=True,
    ),
    "assessments": Shape(ASSESSMENTS, wide=True),
    "section47": Shape(SECTION47, wide=True),
    "disabilities": Shape(DISABILITIES, _disability_rows),
    "care": Shape(
        CARE,
        _as_bound,
        {
            "rne": cleaning.known("RNE"),
            "legal_status": cleaning.known("LS"),
            "placement": cleaning.known("PLACE"),
            "need": cleaning.known("CIN"),
            "end_reason": cleaning.known("REC"),
            **_PERSON,
        },
        _NUMBERS,
    ),
    "people": Shape(PEOPLE, codes=_PERSON, numbers=_NUMBERS),
}
