"""Which words are identifiers of children in an extract, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sos_analysis.errors import RecordsError

#: Parts of the names of columns that identify a child or a case.
_NAMES = ("childid", "child_id", "pupilmatching", "upn", "anon", "uniquepupil", "nhs", "child_ref")


def found_in(extract: Path, words: Sequence[str]) -> list[str]:
    """Words that are a value of an identifying column of any Parquet or CSV file of the extract.

    Raises
    ------
    RecordsError
        The extract holds no file that can be looked through.
    """
    import duckdb
    import pyarrow as pa

    files = sorted(p for p in extract.rglob("*") if p.suffix.lower() in (".parquet", ".csv"))
    if not files:
        raise RecordsError(f"{extract.name}: no Parquet or CSV file to take identifiers from")
    found: set[str] = set()
    with duckdb.connect() as engine:
        engine.register("words", pa.table({"word": list(words)}))
        for file in files:
            reader = "read_parquet" if file.suffix.lower() == ".parquet" else "read_csv_auto"
            table = f"{reader}({_quoted(str(file))})"
            columns = [r[0] for r in engine.sql(f"DESCRIBE SELECT * FROM {table}").fetchall()]
            for column in columns:
                if not any(part in column.lower().replace(" ", "") for part in _NAMES):
                    continue
                name = '"' + column.replace('"', '""') + '"'
                query = (
                    f"SELECT word FROM words WHERE word IN "
                    f"(SELECT CAST({name} AS VARCHAR) FROM {table})"
                )
                found |= {row[0] for row in engine.sql(query).fetchall()}
    return sorted(found)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
