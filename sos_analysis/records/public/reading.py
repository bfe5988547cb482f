"""Read public statistics in the CSV layout of DfE's Explore Education Statistics.

One row per place, year and breakdown; counts and percentages as text in which a letter may stand
for a number that is not given. Columns are bound by name, whatever their order; names and labels
that drifted between releases are read through the layouts and labels of the sources file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from sos_analysis.errors import RecordsError
from sos_analysis.records.public.places import Located
from sos_analysis.records.public.sources import SOURCES, PublicFile
from sos_analysis.study.reading import listed, nearest

if TYPE_CHECKING:
    import pandas as pd

PLACE = (
    "time_period",
    "time_identifier",
    "geographic_level",
    "country_code",
    "country_name",
    "region_code",
    "region_name",
    "old_la_code",
    "new_la_code",
    "la_name",
)
#: Without these a row cannot be placed; the others may be missing.
NEEDED_PLACE = ("time_period", "geographic_level", "old_la_code", "la_name")
LEVELS = ("National", "Regional", "Local authority")

# DfE's codes for a number that is not given (domain rule: DfE statistics guidance). 'k' and 'low'
# say that it rounds to zero; the others say nothing about its size.
NOT_GIVEN = {
    "c": "confidential",
    "z": "not applicable",
    "x": "not available",
    ":": "not available",
    "u": "low reliability",
    "": "blank",
}
ROUNDS_TO_ZERO = {"k": "rounds to zero", "low": "rounds to zero"}


@dataclass(frozen=True)
class Statistics:
    """A published file as read.

    ``values`` has one row per place, year and breakdown with the columns of `PLACE` that the file
    has, ``year`` (the one in which 31 March falls, or mid-year for populations), the breakdowns as
    text and the indicators as floats, NaN where no number is given. ``codes`` has the same rows
    and the indicators alone, holding the code that stood in place of a number and otherwise
    nothing. ``pinned`` tells whether the bytes are those of the pinned release.
    """

    file: PublicFile
    name: str
    sha256: str
    pinned: bool
    values: pd.DataFrame
    codes: pd.DataFrame


def read_statistics(found: Located, file: PublicFile) -> Statistics:
    """Read one file of public statistics, columns bound by name and numbers read as text first.

    Raises
    ------
    RecordsError
        Naming the file and the line or column: a column missing or unknown (with the nearest
        known name), a line cut short, a value that is neither a number nor a code for one not
        given, a year or level not understood, a place that occurs twice in a year.
    """
    import pandas as pd

    header, lines = _lines(found)
    header = bind(found.name, header, file)
    frame = pd.DataFrame([line for _, line in lines], columns=header, dtype=str)
    frame.index = pd.Index([number for number, _ in lines], name="line")
    frame = frame.apply(lambda column: column.str.strip())
    for column, wanted in file.keep.items():
        kept = frame[column].str.lower().isin([w.lower() for w in wanted])
        if not kept.any():
            raise RecordsError(
                f"{found.name}: column {column!r} has none of {listed(wanted)}; it has "
                f"{listed(sorted(set(frame[column]))[:8])}. If the label was changed, add it under "
                f"[tables.keep] in {SOURCES.name}."
            )
        frame = frame[kept]
    _check_values(found.name, frame, "geographic_level", LEVELS)
    if "time_identifier" in frame:
        _check_values(found.name, frame, "time_identifier", ("Reporting year",))
    odd = frame[~frame["time_period"].str.fullmatch(r"20\d\d")]
    if len(odd):
        raise RecordsError(
            f"{found.name}, line {odd.index[0]}: time_period {odd['time_period'].iloc[0]!r} is not "
            "a year such as 2019 (the year ending 31 March 2019)."
        )
    values = frame[[c for c in PLACE if c in frame]].copy()
    values["year"] = frame["time_period"].astype(int)
    for name in file.breakdowns:
        values[name] = frame[name].replace(dict(file.labels))
    codes = pd.DataFrame(index=frame.index)
    for name in file.indicators:
        values[name], codes[name] = numbers(found.name, frame[name])
    _check_unique(found.name, values, file.breakdowns)
    sha256 = found.sha256()
    return Statistics(file, found.name, sha256, sha256 == file.sha256, values, codes)


def _lines(found: Located) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and numbered lines."""
    reader = csv.reader(io.StringIO(found.text(), newline=""))
    header = [name.strip() for name in next(reader, [])]
    lines = [(reader.line_num, line) for line in reader if line]
    for number, line in lines:
        if len(line) != len(header):
            raise RecordsError(
                f"{found.name}, line {number}: {len(line)} values for {len(header)} columns. The "
                "file is cut short or damaged; download it again."
            )
    return header, lines


def bind(name: str, header: Sequence[str], file: PublicFile) -> list[str]:
    """The header in the names used here: by layout, then by near-identical spelling.

    Raises
    ------
    RecordsError
        A column occurs twice, is missing, or is not known; with the nearest name and the remedy.
    """
    found = list(header)
    for layout in file.layouts:
        if all(column in found for column in layout.when):
            found = [layout.names.get(column, column) for column in found]
    needed = [*NEEDED_PLACE, *file.keep, *file.breakdowns, *file.indicators]
    known = {*PLACE, *needed}
    # 'ICPC_percentage' and 'icpc_percent' are one name; two candidates for one would be a guess.
    plain = {_plain(column): column for column in (*PLACE, *needed)}
    for i, column in enumerate(found):
        wanted = plain.get(_plain(column))
        if column not in known and wanted and wanted not in found:
            found[i] = wanted
    remedy = (
        f"If the release renamed it, add a line to [[tables.layouts]] of {file.id!r} in "
        f"{SOURCES.name}."
    )
    twice = sorted({c for c in found if found.count(c) > 1})
    if twice:
        raise RecordsError(f"{name}: column {twice[0]!r} occurs twice.")
    unknown = [c for c in found if c not in known and not any(fnmatch(c, p) for p in file.ignored)]
    missing = [c for c in needed if c not in found]
    if missing:
        near = nearest(missing[0], unknown).replace("Did you mean", "The nearest column there is")
        raise RecordsError(
            f"{name}: column {missing[0]!r} is missing.{near.rstrip('?')}"
            f"{'.' if near else ''} The file has {listed(header)}. {remedy}"
        )
    if unknown:
        raise RecordsError(
            f"{name}: unknown column {unknown[0]!r}.{nearest(unknown[0], needed)} It may be a "
            f"breakdown that repeats every row. Known: {listed(dict.fromkeys(needed))}. {remedy} "
            "If it does not matter, add it to `ignored` there."
        )
    return found


def _plain(column: str) -> str:
    """A column's name without what releases change: case, separators, 'percent' or 'percentage'."""
    joined = re.sub(r"[^a-z0-9]", "", column.lower())
    return joined.replace("percentage", "percent").replace("pct", "percent")


def _check_values(name: str, frame: pd.DataFrame, column: str, allowed: Iterable[str]) -> None:
    odd = frame[~frame[column].isin(list(allowed))]
    if len(odd):
        raise RecordsError(
            f"{name}, line {odd.index[0]}: {column} {odd[column].iloc[0]!r} is not one of "
            f"{listed(allowed)}."
        )


def numbers(name: str, text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Numbers of a column of text, NaN where none is given, and the code that stands there.

    Raises
    ------
    RecordsError
        A value is neither a number nor a known code.
    """
    import pandas as pd

    lower = text.str.lower()
    found = pd.to_numeric(text.where(~lower.isin(list(NOT_GIVEN))), errors="coerce")
    zero = lower.isin(list(ROUNDS_TO_ZERO))
    found = found.mask(zero, 0.0).astype(float)
    coded = zero | lower.isin(list(NOT_GIVEN))
    odd = text[~coded & ~text.str.fullmatch(r"-?\d+(\.\d+)?")]
    if len(odd):
        codes = listed(c for c in (*NOT_GIVEN, *ROUNDS_TO_ZERO) if c)
        raise RecordsError(
            f"{name}, line {odd.index[0]}: column {text.name!r} holds {odd.iloc[0]!r}, neither a "
            f"number nor a code for one not given ({codes})."
        )
    return found, lower.where(coded).where(lower != "", "blank").fillna("")


def _check_unique(name: str, values: pd.DataFrame, breakdowns: Sequence[str]) -> None:
    parts = ("year", "geographic_level", "region_code", "region_name", "old_la_code")
    place = [c for c in (*parts, "new_la_code", "la_name", *breakdowns) if c in values]
    again = values[values.duplicated(place)]
    if len(again):
        row = again.iloc[0]
        where = next((row[c] for c in ("la_name", "region_name") if row.get(c)), "England")
        raise RecordsError(
            f"{name}, line {again.index[0]}: {where!r} occurs twice in {row['year']}. A column may "
            f"be a breakdown; say which of its rows to keep under [tables.keep] in {SOURCES.name}."
        )
