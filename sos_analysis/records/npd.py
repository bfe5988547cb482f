"""Read an extract in the shape of the National Pupil Database, as the original evaluation had it.

One file (or database table) a year and kind, named by the first year of the return, and one of
episodes of care (domain rule: the layout in the original's published code). Columns are bound by
name, in any order and in capitals or small letters. Known variants: `CIN_LA_LGR` for `CIN_LA` in
2008, School Census columns with the census as suffix (`CIN_EVERFSM_6_SPR19`), no
`CIN_NumberOfPreviousCPP` in some years, flags as booleans, 1/0 or words, columns with the year as
suffix, and the prefix `cla_`. The year of a return is that of its file's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sos_analysis.errors import RecordsError, SosError
from sos_analysis.records.binding import Match, bind, check_types, is_text_date, match
from sos_analysis.records.engine import Engine
from sos_analysis.records.files.days import EARLIEST, LATEST
from sos_analysis.records.files.names import near
from sos_analysis.records.files.staging import Stage, Told
from sos_analysis.records.files.text import chunks
from sos_analysis.records.forms import Found, Source, parquet_columns
from sos_analysis.records.npd_layout import FAMILIES, Family

if TYPE_CHECKING:
    import ibis

_BATCH = 100_000
#: Name the engine gives to the number of a row in its file.
ROW_NUMBER = "file_row_number"
#: Kinds another form of records can stand in for.
STAND_INS = {
    "cin": "cin census",
    "assessments": "cin census",
    "section47": "cin census",
    "cla_episodes": "ssda903",
}


def check_files(path: Path, found: Found) -> None:
    """Refuse an extract that lacks a kind of file, or a year between others.

    Raises
    ------
    RecordsError : the message names the file and the nearest that is there.
    """
    if not found.of("npd"):
        return
    unread = [shown for shown, _ in found.unread]
    names = [s.shown for s in found.sources] + unread
    for family in FAMILIES:
        there = found.of("npd", family.stem)
        shown = f"{family.stem}_<year>" if family.yearly else family.stem
        other = STAND_INS.get(family.stem)
        if not there and family.need == "must" and not any(s.form == other for s in found.sources):
            raise RecordsError(
                f"{path}: no file {shown}.parquet (or .csv, or table).{near(shown, names)}"
            )
        years = sorted(s.year for s in there if s.year is not None)
        gaps = sorted(set(range(years[0], years[-1] + 1)) - set(years)) if years else []
        if gaps:
            wanted = f"{family.stem}_{gaps[0]}.parquet"
            raise RecordsError(
                f"{path}: file {wanted} is missing between {years[0]} and {years[-1]}. Add it: a "
                f"year left out would look like a year without records.{near(wanted, unread)}"
            )


def bound_rows(
    engine: Engine,
    found: Found,
    source: Source,
    number: int,
    scratch: Path,
    *,
    wanted: tuple[str, ...] | None,
    located: bool,
) -> tuple[ibis.Table, Match, Told | None]:
    """Rows of one source under our names.

    Parameters
    ----------
    engine : reads Parquet. scratch : folder for what must be staged first (CSV, tables, dates
        held as text).
    number : of the source, kept with its rows where `located`.

    Returns
    -------
    Rows not yet materialised, which column holds what, and what staging found (none: not staged).
    """
    family = next(f for f in FAMILIES if f.stem == source.kind)
    given: Any = {"wanted": wanted, "number": number, "located": located, "year": source.year}
    parquet = source.text is None and source.table is None
    # Not the engine's names: it renames a column that stands twice.
    columns = source.columns or parquet_columns(source.path)
    told = match(columns, family, found.mapping, source.shown)
    if parquet:
        numbered = located and ROW_NUMBER not in columns
        table = open_parquet(engine.con, source.path, numbered)
        kept = [ROW_NUMBER] if ROW_NUMBER in table.columns and numbered else []
        table = table.select(*told.columns, *kept)  # other columns may have names of ours
        text = is_text_date(table, told, family) or (located and not numbered)
        if not (text or far_dates(source.path, told, family)):
            return bind(table, family, told, source.shown, **given), told, None
        check_types(table, told, family, source.shown)
    staged = scratch / f"{number}_{family.stem}.parquet"
    marks = _stage(found, source, number, staged, family, told)
    ours = Match({n: n if c else None for n, c in told.fields.items()}, dict(told.many), {})
    table = open_parquet(engine.con, staged, located=False)
    return bind(table, family, ours, source.shown, **given), told, marks


def _stage(
    found: Found, source: Source, number: int, path: Path, family: Family, told: Match
) -> Told:
    """Bring text to Parquet under our names; dates become dates."""
    names = {name: column for name, column in told.fields.items() if column is not None}
    several = {c: c for columns in told.many.values() for c in columns}
    dates = [n for n in names if family.fields[n].sort == "date"]
    texts = [n for n in names if n not in dates] + list(several)
    with Stage(path, texts=texts, dates=dates, source=source.shown, number=number) as stage:
        for batch, places in _text_rows(found, source, told):
            stage.add({ours: batch[theirs] for ours, theirs in (names | several).items()}, places)
        return stage.close()


def _text_rows(
    found: Found, source: Source, told: Match
) -> Iterator[tuple[dict[str, Any], Sequence[int] | None]]:
    if source.text is not None:
        yield from chunks(source.text, told.columns)
    elif source.table is not None:
        for batch in found.databases[source.path].chunks(source.table, told.columns):
            yield batch, None
    else:
        import pyarrow.parquet as pq

        try:
            for rows in pq.ParquetFile(source.path).iter_batches(_BATCH, columns=told.columns):
                yield {n: rows.column(n).cast(pa.string()) for n in told.columns}, None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise RecordsError(
                f"{source.path}: is damaged and cannot be read to its end "
                f"({type(error).__name__}). Restore it from its source."
            ) from error


def far_dates(path: Path, told: Match, family: Family) -> bool:
    """Whether a Parquet file may hold dates outside 1900 to 2199, by what it says of its columns.

    Such a date is none. Engines read it all the same, and fail far from here or count with it.
    """
    import pyarrow.parquet as pq

    dates = {told.fields[n] for n, f in family.fields.items() if f.sort == "date"}
    try:
        held = pq.read_metadata(path)
        for i in range(held.num_row_groups):
            group = held.row_group(i)
            for j in range(group.num_columns):
                column = group.column(j)
                if column.path_in_schema in dates and _is_far(column.statistics):
                    return True
    except (OSError, ValueError):
        return False  # reading says what is wrong with the file
    return False


def _is_far(statistics: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return statistics is None or bool(statistics.num_values)
    try:
        return bool(statistics.min.year < EARLIEST or statistics.max.year > LATEST)
    except (OverflowError, ValueError):
        return True
    except AttributeError:
        return False  # no date: its type is refused elsewhere


# --- Parquet in the engine ------------------------------------------------------------------------
def open_parquet(con: Any, file: Path, located: bool) -> ibis.Table:
    """A Parquet file as a table; `located` adds the number of each row where the engine can.

    Raises
    ------
    RecordsError : it is no readable Parquet file.
    """
    more = {ROW_NUMBER: True} if located and con.name == "duckdb" else {}
    try:
        return con.read_parquet(str(file), **more)
    except Exception as error:
        raise RecordsError(
            f"{file}: is no readable Parquet file ({_brief(error)}). It may be cut short or of "
            "another format; restore it from its source."
        ) from error


def keep(engine: Engine, files: Sequence[Path], table: ibis.Table) -> ibis.Table:
    """Materialise; if that fails, find the file that cannot be read."""
    with probing(engine, files):
        return engine.keep(table)


@contextmanager
def probing(engine: Engine, files: Sequence[Path]) -> Iterator[None]:
    """If the engine fails in what is done here, find the file that cannot be read."""
    try:
        yield
    except (SosError, AttributeError, LookupError, NameError, TypeError):
        raise  # not the engine's
    except Exception as error:
        for file in files:
            if file.suffix == ".parquet":
                _probe(engine.con, file)
        raise RecordsError(
            f"{', '.join(f.name for f in files[:5])}: the engine failed ({_brief(error)})."
        ) from error


def _probe(con: Any, file: Path) -> None:
    table = open_parquet(con, file, located=False)
    # Lengths as text: counts alone would be answered from the file's footer.
    longest = {c: table[c].cast("string").length().max() for c in table.columns}
    try:
        table.aggregate(**longest).to_pyarrow()
    except Exception as error:
        raise RecordsError(
            f"{file}: is damaged and cannot be read to its end ({_brief(error)}). "
            "Restore it from its source."
        ) from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
