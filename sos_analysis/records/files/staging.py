"""Rows of text sources, written to Parquet in chunks: memory stays that of a chunk.

Each staged file has the columns asked for (text, or dates read by `days`), and `file_` and `row_`:
where a row came from. What could not be read is counted by authority, with the place of the first
and its shape: never what stood there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sos_analysis.errors import RecordsError
from sos_analysis.records.files.days import read_days

#: More dates than this share that only make sense month first: the column is refused.
MONTH_FIRST_AT_MOST = 0.05
#: More dates than this share that are none, and more than a few: the column is refused. Counted as
#: not stated, they would take their events out unseen.
UNREAD_AT_MOST, FEW = 0.5, 20
LONGEST_MASK = 20
KEYS = ("la", "child_id")
_SMALL, _CAPITAL, _FIGURE = (re.compile(p) for p in (r"[^\W\d_A-Z]", r"[A-Z]", r"\d"))


def mask(text: str) -> str:
    """The shape of a text: letters as `a` and `A`, figures as `9`, the rest as it is; cut short."""
    short = text[:LONGEST_MASK]
    shape = _FIGURE.sub("9", _CAPITAL.sub("A", _SMALL.sub("a", short)))
    return shape + ("…" if len(text) > LONGEST_MASK else "")


@dataclass
class Wrong:
    """Values of one field that could not be read, or were repaired: how many, and the first."""

    count: int = 0
    row: int = 0
    masked: str = ""

    def more(self, count: int, row: int, masked: str) -> None:
        if not self.count:
            self.row, self.masked = row, masked
        self.count += count


@dataclass
class Told:
    """What was found while a file was staged.

    Attributes
    ----------
    rows : written.
    forms : column -> form of date -> how many.
    faults : (column, authority) -> dates that are none.
    keys : (column, authority) -> keys written as decimals (`801.0`) and repaired.
    short_years : column -> dates whose year has two figures.
    """

    rows: int = 0
    forms: dict[str, dict[str, int]] = field(default_factory=dict)
    faults: dict[tuple[str, str | None], Wrong] = field(default_factory=dict)
    keys: dict[tuple[str, str | None], Wrong] = field(default_factory=dict)
    short_years: dict[str, int] = field(default_factory=dict)


class Stage:
    """One Parquet file being written, chunk by chunk.

    Parameters
    ----------
    path : of the file; its folder must be there.
    texts, dates : names of columns; `la` and `child_id` among the first are keys.
    source : the file read, for messages.
    number : of the file, put into `file_`.
    """

    def __init__(
        self, path: Path, *, texts: Sequence[str], dates: Sequence[str], source: str, number: int
    ) -> None:
        self.source, self.number = source, number
        self.texts, self.dates = tuple(texts), tuple(dates)
        self.told = Told(forms={name: {} for name in dates}, short_years=dict.fromkeys(dates, 0))
        self._turned: dict[str, int] = dict.fromkeys(dates, 0)
        self._stated: dict[str, int] = dict.fromkeys(dates, 0)
        self._unread: dict[str, int] = dict.fromkeys(dates, 0)
        self._schema = pa.schema(
            [(name, pa.string()) for name in self.texts]
            + [(name, pa.date32()) for name in self.dates]
            + [("file_", pa.int32()), ("row_", pa.int64())]
        )
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def add(self, columns: Mapping[str, Any], places: Sequence[int] | None = None) -> None:
        """Write a chunk.

        Parameters
        ----------
        columns : name -> text array (or list); a name left out is empty throughout.
        places : where each row stood (a row, a child); none: counted on from the last chunk.
        """
        n = len(next(iter(columns.values())))
        if not n:
            return
        before = self.told.rows
        at = places if places is not None else range(before + 1, before + n + 1)
        made = {
            name: pa.nulls(n, pa.string()) if columns.get(name) is None else _array(columns[name])
            for name in (*self.texts, *self.dates)
        }
        for name in KEYS:
            if name in made:
                made[name] = self._key(name, made, at)
        for name in self.dates:
            made[name] = self._days(name, made, at)
        made["file_"] = pa.repeat(pa.scalar(self.number, pa.int32()), n)
        made["row_"] = pa.array(at, pa.int64())
        self._writer.write_table(
            pa.table([made[name] for name in self._schema.names], schema=self._schema)
        )
        self.told.rows += n

    def _key(self, name: str, made: Mapping[str, pa.Array], at: Sequence[int]) -> pa.Array:
        text = pc.utf8_trim_whitespace(made[name])
        decimal = pc.match_substring_regex(text, r"^\d+\.0+$")
        if pc.any(decimal).as_py():
            self._note(self.told.keys, name, decimal, made, at)
            text = pc.if_else(decimal, pc.replace_substring_regex(text, r"\.0+$", ""), text)
        return text

    def _days(self, name: str, made: Mapping[str, pa.Array], at: Sequence[int]) -> pa.Array:
        text = made[name]
        read = read_days(text)
        for form, n in read.forms.items():
            self.told.forms[name][form] = self.told.forms[name].get(form, 0) + n
        self.told.short_years[name] += read.short_years
        self._turned[name] += read.month_first
        self._stated[name] += len(text) - text.null_count
        if pc.any(read.fault).as_py():
            self._unread[name] += pc.sum(read.fault).as_py()
            self._note(self.told.faults, name, read.fault, made, at)
        return read.days

    def _note(
        self,
        notes: dict[tuple[str, str | None], Wrong],
        name: str,
        which: pa.Array,
        made: Mapping[str, pa.Array],
        at: Sequence[int],
    ) -> None:
        where = pc.indices_nonzero(pc.fill_null(which, False))
        texts, las = made[name].take(where), made.get("la")
        whose = [None] * len(where) if las is None else las.take(where).to_pylist()
        first = {la: i for i, la in reversed(list(enumerate(whose)))}
        for la, n in Counter(whose).items():
            i = first[la]
            row, shape = int(at[where[i].as_py()]), mask(texts[i].as_py())
            notes.setdefault((name, la), Wrong()).more(n, row, shape)

    def close(self) -> Told:
        """Finish the file.

        Raises
        ------
        RecordsError : a column's dates seem to be written month first, or most of them are none.
        """
        self._writer.close()
        for name, unread in self._unread.items():
            if unread > FEW and unread > UNREAD_AT_MOST * self._stated[name]:
                shape = next(w.masked for (n, _), w in self.told.faults.items() if n == name)
                raise RecordsError(
                    f"{self.source}: {unread} of {self._stated[name]} dates of {name!r} cannot be "
                    f"read; the first looks like {shape!r} (letters shown as a, figures as 9). "
                    "Write them day first (31/03/2019) or as 2019-03-31; nothing was read."
                )
        for name, turned in self._turned.items():
            if turned > 1 and turned > MONTH_FIRST_AT_MOST * self._stated[name]:
                raise RecordsError(
                    f"{self.source}: dates of {name!r} seem to be written month first ({turned} of "
                    f"{self._stated[name]} make sense only so). Write them day first "
                    "(31/03/2019) or as 2019-03-31; nothing was read."
                )
        return self.told

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def _array(given: Any) -> pa.Array:
    if isinstance(given, pa.ChunkedArray):
        given = given.combine_chunks()
    return given if isinstance(given, pa.Array) else pa.array(given, pa.string())
