"""Dates as people write them, read without guessing.

Day comes before month wherever both are numbers, as in English returns. What only makes sense the
other way round is not read, and a column with many such dates is refused as a whole: its other
dates would be read wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

#: Two-figure years from this one on are in the 1900s.
PIVOT = 70
#: Other years are no dates. A birth typed a century late is one: its age takes the event out.
EARLIEST, LATEST = 1900, 2199
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_TIME = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:[.:]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?|Z|[+-]\d{2}:\d{2})?"
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _TIME, re.ASCII)
_DAY_FIRST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4}|\d{2})" + _TIME, re.ASCII)
_NAMED = re.compile(r"(\d{1,2})[- /]?([A-Za-z]{3})[a-z]*[- /]?(\d{4}|\d{2})(?::\S*)?", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """What was read from a text.

    Attributes
    ----------
    day : none if it is no date.
    form : 'iso', 'day first', 'named month', or empty.
    short_year : the year had two figures.
    month_first : no date as it stands, but one if month came before day.
    """

    day: date | None
    form: str = ""
    short_year: bool = False
    month_first: bool = False


@lru_cache(maxsize=200_000)
def read_day(text: str) -> Reading:
    """Read one date.

    Parameters
    ----------
    text : `2019-03-31`, `31/03/2019`, `31-Mar-2019`, `31MAR2019`, with or without a time of day.

    Returns
    -------
    Reading; its day is none where the text is no date between 1900 and 2199.
    """
    text = text.strip()
    if len(text) > 40:
        return Reading(None)
    if m := _ISO.fullmatch(text):
        return Reading(_valid(int(m[1]), int(m[3]), int(m[4])), "iso")
    if m := _DAY_FIRST.fullmatch(text):
        year, short = _year(m[4])
        found = _valid(year, int(m[3]), int(m[1]))
        turned = found is None and _valid(year, int(m[1]), int(m[3])) is not None
        return Reading(found, "day first", short, turned)
    if (m := _NAMED.fullmatch(text)) and m[2].lower() in _MONTHS:
        year, short = _year(m[3])
        return Reading(_valid(year, _MONTHS[m[2].lower()], int(m[1])), "named month", short)
    return Reading(None)


def _year(figures: str) -> tuple[int, bool]:
    year = int(figures)
    if len(figures) == 4:
        return year, False
    return year + (1900 if year >= PIVOT else 2000), True


def _valid(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day) if EARLIEST <= year <= LATEST else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Days:
    """A column of dates read from text.

    Attributes
    ----------
    days : date32 array; empty where nothing was stated or read.
    fault : boolean array; stated, but no date.
    forms : form -> how many were written so.
    short_years, month_first : how many.
    """

    days: pa.Array
    fault: pa.Array
    forms: dict[str, int]
    short_years: int
    month_first: int


def read_days(column: pa.Array) -> Days:
    """Read a text column; each distinct text once."""
    coded = column.dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    readings = [read_day(text) for text in coded.dictionary.to_pylist()]
    blank = [not text.strip() for text in coded.dictionary.to_pylist()]
    days = pa.array([r.day for r in readings], pa.date32())
    wrong = pa.array(
        [r.day is None and not b for r, b in zip(readings, blank, strict=True)], pa.bool_()
    )
    counts = [0] * len(readings)
    for pair in pc.value_counts(coded.indices).to_pylist():
        if pair["values"] is not None:
            counts[pair["values"]] = pair["counts"]
    forms: dict[str, int] = {}
    for reading, n in zip(readings, counts, strict=True):
        if reading.day is not None:
            forms[reading.form] = forms.get(reading.form, 0) + n

    def total(wanted: Callable[[Reading], Any]) -> int:
        return sum(n for r, n in zip(readings, counts, strict=True) if wanted(r))

    return Days(
        days.take(coded.indices),
        pc.fill_null(wrong.take(coded.indices), False),
        forms,
        total(lambda r: r.short_year and r.day is not None),
        total(lambda r: r.month_first),
    )
