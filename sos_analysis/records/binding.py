"""Columns of a source under our names: found by name, brought to one type, filtered.

A column goes by any of its known names, in capitals or small letters, with the prefix of its
family, or with the year as suffix; a mapping file goes before all of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError
from sos_analysis.records import cleaning
from sos_analysis.records.files.mapping import NAME as MAPPING
from sos_analysis.records.files.mapping import Mapped
from sos_analysis.records.files.names import near
from sos_analysis.records.files.staging import mask
from sos_analysis.records.npd_layout import EMPTY, READABLE, Family, Field, Sort
from sos_analysis.records.tables import kind_of, tally

if TYPE_CHECKING:
    import ibis

PROVENANCE = ("file_", "row_")
#: Codes of authorities: anything else would be no code, and might be harmful in a spreadsheet.
AUTHORITY = r"^[A-Za-z0-9]{1,12}$"
_SUFFIX = re.compile(r"_(?:\d{2}|\d{4})$")


@dataclass(frozen=True)
class Match:
    """Which column of a file holds which field.

    Attributes
    ----------
    fields : our name -> column; none where the file has no such column.
    many : our name -> columns put together.
    odd : our name -> column, where it was found by prefix, suffix or mapping.
    """

    fields: Mapping[str, str | None]
    many: Mapping[str, tuple[str, ...]]
    odd: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        several = [c for found in self.many.values() for c in found]
        return tuple(dict.fromkeys([*(c for c in self.fields.values() if c), *several]))


def match(columns: Sequence[str], family: Family, mapping: Mapped, shown: str) -> Match:
    """Find the columns of a family among those of a file.

    Raises
    ------
    RecordsError : a needed column is missing, or two columns claim one field. The message names
        the nearest column and how to map it.
    """
    exact = _by_small(columns, shown, family)
    stemmed: dict[str, str] = {}
    for column in columns:
        stemmed.setdefault(_SUFFIX.sub("", column.lower()), column)
    fields: dict[str, str | None] = {}
    odd: dict[str, str] = {}
    for name, told in family.fields.items():
        given = mapping.columns.get(told.names[0].lower(), "").lower()
        tries = [n.lower() for n in told.names]
        found = next((exact[n] for n in tries if n in exact), None)
        if given in exact:
            found = odd[name] = exact[given]
        elif found is None:
            wider = [family.prefix + n for n in tries] if family.prefix else []
            found = next((exact[n] for n in wider if n in exact), None)
            found = found or next((stemmed[n] for n in (*tries, *wider) if n in stemmed), None)
            if found is not None:
                odd[name] = found
        if found is None and told.need == "must":
            raise RecordsError(_missing(shown, told.names[0], columns))
        fields[name] = found
    many = {
        name: tuple(c for c in columns if pattern.fullmatch(c))
        for name, pattern in family.many.items()
    }
    return Match(fields, many, odd)


def _by_small(columns: Iterable[str], shown: str, family: Family) -> dict[str, str]:
    known = {n.lower() for told in family.fields.values() for n in told.names}
    found: dict[str, str] = {}
    for column in columns:
        small = column.lower()
        if small in found and small in known:
            raise RecordsError(
                f"{shown}: column {column!r} stands twice (capitals do not tell columns apart). "
                "Keep one."
            )
        found.setdefault(small, column)
    return found


def _missing(shown: str, name: str, columns: Sequence[str]) -> str:
    hint = near(name, columns)
    line = f'{name} = "{hint.split(chr(39))[1]}"' if hint else f'{name} = "its name"'
    return (
        f"{shown}: column {name!r} is missing.{hint} Rename the column, or put the line "
        f"{line} under [columns] into {MAPPING} beside the records; the file has "
        f"{', '.join(columns)[:600]}."
    )


def bind(
    table: ibis.Table,
    family: Family,
    found: Match,
    shown: str,
    *,
    wanted: tuple[str, ...] | None,
    year: int | None = None,
    number: int = 0,
    located: bool = False,
) -> ibis.Table:
    """Columns of a file under our names and types, rows of the authorities wanted.

    Parameters
    ----------
    table : the file. found : which column holds what. shown : its name, for messages.
    wanted : codes of authorities; none: all.
    year : of the return; none where the table has `return_year` or is not of a year.
    number, located : number of the file; whether to keep where each row stood.

    Raises
    ------
    RecordsError : a column is of a type that cannot be read.
    """
    import ibis

    stated = {
        name: typed(table, source, family.fields[name].sort, shown)
        for name, source in found.fields.items()
    }
    bound = {name: _alike(column, family.fields[name]) for name, column in stated.items()}
    for name, several in found.many.items():
        flags = [cleaning.flag(typed(table, c, "flag", shown)) for c in several]
        bound[name] = cleaning.any_true(flags)
    for name in family.checked:
        bound[f"fault_{name}"] = cleaning.unread(stated[name], bound[name]).fill_null(False)
    if family.yearly:
        given = "return_year" in table.columns
        bound["return_year"] = (
            cleaning.whole(table["return_year"]) if given else ibis.literal(year, "int32")
        )
    if located:
        bound["file_"] = ibis.literal(number, "int32")
        at = next((c for c in ("row_", "file_row_number") if c in table.columns), None)
        row = ibis.null("int64") if at is None else table[at].cast("int64")
        # Rows of Parquet files are numbered from 0 by the engine, from 1 by people.
        bound["row_"] = row + 1 if at == "file_row_number" else row
    if wanted is not None:
        # The bare column: a filter on it lets the engine skip what need not be read.
        return table.filter(stated["la"].cast("string").isin(wanted)).select(**bound)
    return table.select(**bound)


@dataclass(frozen=True)
class Codes:
    """Codes of authorities in a table, and the shapes of what stood in their place."""

    right: frozenset[str] = frozenset()
    wrong: tuple[str, ...] = ()


def with_keys(table: ibis.Table) -> tuple[ibis.Table, Codes, dict[str, int]]:
    """Keys as text without surrounding space, empty where blank or no code of an authority.

    What stands there is looked at first, once: most often it is fit as it stands.

    Returns
    -------
    The table, the codes of authorities in it, and rows without a key by its name (nothing where
    ids had to be tidied: some may have become empty).
    """
    import ibis

    child = table.child_id
    # Space at either end sorts before '!'; so does what else nobody sees, which tidying leaves be.
    odd = (child < "!") | (child.right(1) < "!")
    by_la = table.group_by("la").agg(odd=odd.any(), n=table.count(), none=child.isnull().sum())
    found = by_la.to_pyarrow().to_pylist()
    codes = {row["la"]: (row["la"] or "").strip(" \t\n\r\v\f") for row in found}
    right = {stated: code if re.search(AUTHORITY, code) else None for stated, code in codes.items()}
    changed = {stated: code for stated, code in right.items() if stated != code}
    if changed:
        told = [(stated, ibis.literal(code, "string")) for stated, code in changed.items()]
        table = table.mutate(la=table.la.cases(*told, else_=table.la))
    empty = {
        "la": sum(row["n"] for row in found if right[row["la"]] is None),
        "child_id": sum(row["none"] for row in found),
    }
    if any(row["odd"] for row in found):
        table = table.mutate(child_id=cleaning.text(table.child_id))
        empty = {}
    wrong = sorted({mask(codes[stated]) for stated, code in right.items() if code is None})
    found_codes = Codes(frozenset(c for c in right.values() if c is not None), tuple(wrong))
    return table, found_codes, empty


def _alike(column: Any, told: Field) -> Any:
    """The same type in every file of a family, so that they can be stacked."""
    if told.sort == "date":
        return column
    if told.sort == "flag":
        return cleaning.flag(column)
    if told.sort == "whole":
        return cleaning.whole(column)
    return column.cast("string")  # keys are tidied by `with_keys`, once for all files


def is_text_date(table: ibis.Table, found: Match, family: Family) -> bool:
    """Whether a date of the file is held as text, so that it must be read first."""
    return any(
        told.sort == "date"
        and (column := found.fields[name]) is not None
        and table[column].type().is_string()
        for name, told in family.fields.items()
    )


def check_types(table: ibis.Table, found: Match, family: Family, shown: str) -> None:
    """Refuse columns of types that cannot be read; dates held as text can."""
    for name, told in family.fields.items():
        column = found.fields[name]
        if told.sort != "date" or column is None or not table[column].type().is_string():
            typed(table, column, told.sort, shown)
    for several in found.many.values():
        for column in several:
            typed(table, column, "flag", shown)


def typed(table: ibis.Table, source: str | None, sort: Sort, shown: str) -> Any:
    """A column of the file, or an empty one; timestamps as dates."""
    import ibis

    if source is None:
        return ibis.null(EMPTY[sort])
    column = table[source]
    dtype = column.type()
    if sort == "date" and dtype.is_timestamp() and dtype.timezone is None:
        return column.date()
    if kind_of(dtype) in READABLE[sort]:
        return column
    # A column without one value may have been written with any type.
    if not tally(table, {"n": column.count()})["n"]:
        return ibis.null(EMPTY[sort])
    allowed = " or ".join(READABLE[sort])
    if dtype.is_timestamp():  # midnight in one zone is another day in the next
        allowed = "date, or a time without a zone"
    raise RecordsError(
        f"{shown}: column {source!r} is of type {dtype}; it must be {allowed}. "
        "Convert the column and write the file again."
    )


def write_empty(family: Family, located: bool, path: Path) -> None:
    """Write a Parquet file of no rows with the columns `bind` gives."""
    import ibis
    import pyarrow.parquet as pq

    types = {name: EMPTY[told.sort] for name, told in family.fields.items()}
    types |= dict.fromkeys(family.many, "boolean")
    types |= {f"fault_{name}": "boolean" for name in family.checked}
    if family.yearly:
        types["return_year"] = "int32"
    if located:
        types |= {"file_": "int32", "row_": "int64"}
    pq.write_table(ibis.schema(types).to_pyarrow().empty_table(), path)
