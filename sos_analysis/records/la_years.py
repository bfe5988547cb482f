"""Covariates of authorities by year, beside the records: one row an authority and year.

They are joined to cells and enter models, so what cannot be right is refused here, before anything
is counted: a second row for a year would count its cases twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError
from sos_analysis.records import cleaning, npd
from sos_analysis.records.engine import Engine
from sos_analysis.records.files.names import near
from sos_analysis.records.tables import kind_of, tally

if TYPE_CHECKING:
    import ibis

KEYS = ("la", "year")
#: Columns that enter models; others may be of any kind.
NUMBERS = (
    *("population_0_17", "population_density", "fsm_primary", "fsm_secondary", "ofsted"),
    *("innovation_projects", "cpp_reviews_on_time", "assessments", "white_british"),
)


def read_la_years(engine: Engine, file: Path, wanted: tuple[str, ...] | None) -> ibis.Table:
    """Read the file into the engine.

    Raises
    ------
    RecordsError : it cannot be read, lacks a key, holds an authority and year twice, or a number
        that is none.
    """
    table = npd.open_parquet(engine.con, file, located=False)
    for column in KEYS:
        if column not in table.columns:
            raise RecordsError(
                f"{file}: column {column!r} is missing.{near(column, table.columns)}"
            )
    _check_types(file, table)
    table = table.mutate(la=cleaning.text(table.la))
    if wanted is not None:
        table = table.filter(table.la.isin(wanted))
    held = npd.keep(engine, [file], table)
    _check_values(file, held)
    return held


def _check_types(file: Path, table: ibis.Table) -> None:
    for column in ("year", *NUMBERS):
        if column not in table.columns:
            continue
        dtype = table[column].type()
        allowed = ("integer",) if column == "year" else ("integer", "number")
        if kind_of(dtype) not in allowed and tally(table, {"n": table[column].count()})["n"]:
            raise RecordsError(
                f"{file}: column {column!r} is of type {dtype}; it must be "
                f"{' or '.join(allowed)}. Convert the column and write the file again."
            )


def _check_values(file: Path, table: ibis.Table) -> None:
    counts: dict[str, Any] = {
        column: table[column].isinf().sum()
        for column in NUMBERS
        if column in table.columns and table[column].type().is_floating()
    }
    found = tally(table, counts)
    for column, n in found.items():
        if n:
            raise RecordsError(
                f"{file}: column {column!r} is infinite in {n} rows. Leave the value empty where "
                "it is not known."
            )
    twice = table.group_by(*KEYS).agg(n=table.count())
    several = tally(twice, {"n": (twice.n > 1).sum()})["n"]
    if several:
        raise RecordsError(
            f"{file}: {several} authorities and years (la, year) stand in more than one row. Keep "
            "one row each; else cases of that year would count more than once."
        )
