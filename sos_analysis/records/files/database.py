"""Tables of a database that Ibis reaches: a DuckDB or SQLite file, or an address."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sos_analysis.errors import RecordsError

DUCKDB = (".duckdb", ".ddb")
SQLITE = (".sqlite", ".sqlite3", ".db3")
SUFFIXES = (*DUCKDB, *SQLITE, ".db")
_BATCH = 100_000


class Database:
    """A connection that only reads.

    Parameters
    ----------
    address : path of a file, or the address of an Ibis backend (`postgres://...`).

    Raises
    ------
    RecordsError : it cannot be reached. The message holds no password.
    """

    def __init__(self, address: str) -> None:
        import ibis

        self.shown = re.sub(r"//[^/@]*@", "//…@", address)
        try:
            if "://" in address:
                self._con: Any = ibis.connect(address)
            elif _is_sqlite(Path(address)):
                # Not through Ibis: values of a column may be of any type, and need not be declared.
                self._con = _Sqlite(address)
            else:
                self._con = ibis.duckdb.connect(address, read_only=True)
            self.tables: tuple[str, ...] = tuple(sorted(self._names()))
        except Exception as error:
            raise RecordsError(
                f"{self.shown}: cannot be read as a database ({type(error).__name__}). Check that "
                "it is a DuckDB or SQLite file or an address Ibis knows, that its package is "
                "installed, and that no other program holds it."
            ) from error

    def _names(self) -> list[str]:
        if self._con.name != "duckdb":
            return list(self._con.list_tables())
        # Asked directly: Ibis's own listing rests on a call that DuckDB 2 no longer has.
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'"
        return [row[0] for row in self._con.con.execute(names).fetchall()]

    def columns(self, table: str) -> tuple[str, ...]:
        """Names of a table's columns."""
        try:
            return tuple(self._con.table(table).columns)
        except Exception as error:
            raise RecordsError(
                f"{self.shown}: table {table!r} cannot be read ({type(error).__name__}). "
                "Check the table, or export it as Parquet."
            ) from error

    def chunks(self, table: str, wanted: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
        """Rows of a table as text, in chunks.

        Raises
        ------
        RecordsError : a row cannot be read.
        """
        try:
            for batch in self._batches(table, wanted):
                yield {name: batch.column(name) for name in wanted}
        except Exception as error:
            raise RecordsError(
                f"{self.shown}: table {table!r} cannot be read to its end "
                f"({type(error).__name__}). Check the table, or export it as Parquet."
            ) from error

    def _batches(self, table: str, wanted: Sequence[str]) -> Any:
        if isinstance(self._con, _Sqlite):
            return self._con.batches(table, wanted)
        rows = self._con.table(table)
        rows = rows.select(**{name: rows[name].cast("string") for name in wanted})
        if self._con.name != "duckdb":
            return rows.to_pyarrow_batches(chunk_size=_BATCH)
        # As for the listing: Ibis streams by a call that DuckDB 2 has under another name.
        held = self._con.con.sql(self._con.compile(rows))
        reader = getattr(held, "to_arrow_reader", None) or held.fetch_arrow_reader
        return reader(_BATCH)

    def close(self) -> None:
        self._con.disconnect()


@dataclass(frozen=True)
class _SqliteTable:
    columns: tuple[str, ...]


class _Sqlite:
    """A SQLite file, opened for reading alone; every value as text."""

    name = "sqlite"

    def __init__(self, path: str) -> None:
        self._held = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)

    def list_tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        return [row[0] for row in self._held.execute(query)]

    def table(self, name: str) -> _SqliteTable:
        found = self._held.execute(f"SELECT * FROM {_quoted(name)} LIMIT 0").description
        return _SqliteTable(tuple(column[0] for column in found))

    def batches(self, table: str, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        columns = ", ".join(f"CAST({_quoted(name)} AS TEXT)" for name in wanted)
        held = self._held.execute(f"SELECT {columns} FROM {_quoted(table)}")
        schema = pa.schema([(name, pa.string()) for name in wanted])
        while rows := held.fetchmany(_BATCH):
            arrays = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
            yield pa.record_batch(arrays, schema=schema)

    def disconnect(self) -> None:
        self._held.close()


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError as error:
        raise RecordsError(f"{path}: cannot be opened ({error.strerror}).") from error
