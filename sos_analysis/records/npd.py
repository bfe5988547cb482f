"""Read an extract in the shape of the National Pupil Database, as the original evaluation had it.

One Parquet file a year and kind, named by the first year of the return, and one of episodes of
care (domain rule: the layout in the original's published code). Columns are bound by name, in any
order and in capitals or small letters. Known variants: `CIN_LA_LGR` for `CIN_LA` in 2008, School
Census columns with the census as suffix (`CIN_EVERFSM_6_SPR19`), no `CIN_NumberOfPreviousCPP` in
some years, flags as booleans, 1/0 or words. The year of a return is that of its file's name.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError
from sos_analysis.records import cleaning
from sos_analysis.records.assemble import Returns, assemble
from sos_analysis.records.calendar import calendar_table
from sos_analysis.records.engine import Engine
from sos_analysis.records.npd_layout import (
    ASSESSMENTS,
    CARE,
    CIN,
    DISABILITIES,
    EMPTY,
    FAMILIES,
    LA_YEARS,
    MANIFEST,
    READABLE,
    SECTION47,
    Family,
    Sort,
)
from sos_analysis.records.tables import Problem, Records, kind_of, tally, validate

if TYPE_CHECKING:
    import ibis


def open_extract(
    path: Path,
    *,
    authorities: Sequence[str] | None = None,
    memory_limit: str = "",
    engine: str = "",
) -> Records:
    """Read an extract into canonical tables.

    Parameters
    ----------
    path : folder of the extract.
    authorities : codes of the authorities to read; none: all in the extract.
    memory_limit : of the embedded engine; beyond it, it spills to a temporary folder.
    engine : 'duckdb', or the address of another Ibis backend.

    Returns
    -------
    Records, to be closed by the caller.

    Raises
    ------
    RecordsError : a file or column is missing, has the wrong type or cannot be read, or an
        authority asked for has no rows. The message names file, field and remedy.
    """
    path = Path(path)
    files = _locate(path)
    wanted = _codes(authorities)
    held = Engine(engine, memory_limit)
    try:
        tables, problems = _read(held, path, files, wanted)
        manifest, changed = _manifest(path, [f for found in files.values() for f in found])
        manifest["authorities"] = list(wanted) if wanted is not None else None
        records = Records(held, tables, (), manifest)
        return replace(records, problems=(*changed, *problems, *validate(records)))
    except BaseException:
        held.close()
        raise


# --- files ----------------------------------------------------------------------------------------
def _locate(path: Path) -> dict[str, list[Path]]:
    """Files of each family, in order of year."""
    if not path.is_dir():
        raise RecordsError(
            f"{path}: no such folder. Give the folder of an extract, or make one with "
            "`python -m sos_analysis synthesise`."
        )
    names = sorted(p.name for p in path.iterdir())
    return {family.stem: _files(path, family, names) for family in FAMILIES}


def _files(path: Path, family: Family, names: Sequence[str]) -> list[Path]:
    pattern = rf"{family.stem}_(\d{{4}})\.parquet" if family.yearly else rf"{family.stem}\.parquet"
    shown = f"{family.stem}_<year>.parquet" if family.yearly else f"{family.stem}.parquet"
    found = {name: m for name in names if (m := re.fullmatch(pattern, name))}
    if not found:
        if family.need == "may":
            return []
        raise RecordsError(f"{path}: no file {shown}.{_near(shown, names)}")
    if family.yearly:
        years = sorted(int(m.group(1)) for m in found.values())
        gaps = sorted(set(range(years[0], years[-1] + 1)) - set(years))
        if gaps:
            raise RecordsError(
                f"{path}: file {family.stem}_{gaps[0]}.parquet is missing between "
                f"{years[0]} and {years[-1]}. Add it: a year left out would look like a year "
                f"without records.{_near(f'{family.stem}_{gaps[0]}.parquet', names)}"
            )
    return [path / name for name in sorted(found)]


def _near(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' where a known name is near, else nothing."""
    by_small = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(by_small), n=1, cutoff=0.7)
    return f" Did you mean {by_small[close[0]]!r}?" if close else ""


def _codes(authorities: Sequence[str] | None) -> tuple[str, ...] | None:
    if authorities is None:
        return None
    codes = tuple(sorted({str(code) for code in authorities}))
    if not codes:
        raise RecordsError("no authority to read: give at least one code, or none for all.")
    return codes


def _manifest(path: Path, files: Sequence[Path]) -> tuple[dict[str, Any], list[Problem]]:
    """What the extract says of itself, with the files' hashes as found."""
    told: dict[str, Any] = {}
    source = path / MANIFEST
    if source.is_file():
        try:
            told = dict(json.loads(source.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise RecordsError(
                f"{source}: is not valid JSON ({error}). Correct or remove it; it is optional."
            ) from error
    used = [*files, *(p for p in (path / LA_YEARS,) if p.is_file())]
    found = {file.name: _sha256(file) for file in sorted(used)}
    stated = told.get("files", {})
    changed = [n for n in found if isinstance(stated, dict) and stated.get(n, found[n]) != found[n]]
    problems = [
        Problem(
            "warning",
            "manifest",
            "files",
            f"{name} is not the file the manifest describes",
            1,
            "read as found; if the change was not intended, make or fetch the extract again",
        )
        for name in changed
    ]
    return {**told, "files": found}, problems


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- engine ---------------------------------------------------------------------------------------
def _keep(engine: Engine, files: Sequence[Path], table: ibis.Table) -> ibis.Table:
    """Materialise; if that fails, find the file that cannot be read."""
    try:
        return engine.keep(table)
    except Exception as error:
        for file in files:
            _probe(engine.con, file)
        raise RecordsError(
            f"{', '.join(f.name for f in files)}: the engine failed ({_brief(error)})."
        ) from error


def _probe(con: Any, file: Path) -> None:
    table = _open(con, file)
    # Lengths as text: counts alone would be answered from the file's footer.
    longest = {c: table[c].cast("string").length().max() for c in table.columns}
    try:
        table.aggregate(**longest).to_pyarrow()
    except Exception as error:
        raise RecordsError(
            f"{file}: is damaged and cannot be read to its end ({_brief(error)}). "
            "Restore it from its source."
        ) from error


def _open(con: Any, file: Path) -> ibis.Table:
    try:
        return con.read_parquet(str(file))
    except Exception as error:
        raise RecordsError(
            f"{file}: is no readable Parquet file ({_brief(error)}). It may be cut short or of "
            "another format; restore it from its source."
        ) from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


# --- rows -----------------------------------------------------------------------------------------
def _read(
    engine: Engine, path: Path, files: Mapping[str, list[Path]], wanted: tuple[str, ...] | None
) -> tuple[dict[str, ibis.Table], list[Problem]]:
    import ibis

    held: dict[str, Any] = {}
    for name, (family, shape) in _SHAPES.items():
        found = files[family.stem]
        if not found:
            held[name] = engine.keep(held["cin"].select("la", "child_id").limit(0))
            continue
        rows = [_bind(engine.con, file, family, wanted) for file in found]
        # Held as read, then cleaned: else engines would read the files once a cleaned column.
        read = _keep(engine, found, ibis.union(*rows) if rows[1:] else rows[0])
        held[name] = engine.keep(shape(read))
        engine.drop(read)
    problems = _check_authorities(held, wanted, path)
    every = [file for found in files.values() for file in found]
    tables, more = assemble(Returns(**held), partial(_keep, engine, every), engine.drop)
    for table in held.values():
        engine.drop(table)
    tables["calendar"] = ibis.memtable(calendar_table())
    if (path / LA_YEARS).is_file():
        tables["la_years"] = _la_years(engine, path / LA_YEARS, wanted)
    else:
        remedy = "no covariates of authorities by year"
        problems.append(
            Problem("warning", "la_years", "", f"there is no file {LA_YEARS}", 1, remedy)
        )
    return tables, [*problems, *more]


def _bind(con: Any, file: Path, family: Family, wanted: tuple[str, ...] | None) -> ibis.Table:
    """Columns of a file under our names, rows of the authorities wanted."""
    import ibis

    table = _open(con, file)
    by_small = {column.lower(): column for column in table.columns}
    bound: dict[str, Any] = {}
    for name, told in family.fields.items():
        source = next((by_small[n.lower()] for n in told.names if n.lower() in by_small), None)
        if source is None and told.need == "must":
            raise RecordsError(
                f"{file}: column {told.names[0]!r} is missing."
                f"{_near(told.names[0], table.columns)} "
                f"Rename the column, or ask for it; the file has {', '.join(table.columns)}."
            )
        bound[name] = _typed(table, source, told.sort, file)
    for name, pattern in family.many.items():
        several = [column for column in table.columns if pattern.fullmatch(column)]
        bound[name] = cleaning.any_true(
            [cleaning.flag(_typed(table, c, "flag", file)) for c in several]
        )
    # The bare column: a filter on it lets the engine skip what need not be read.
    rows = table if wanted is None else table.filter(bound["la"].cast("string").isin(wanted))
    for name in family.checked:
        bound[f"fault_{name}"] = cleaning.unread(bound[name], cleaning.flag(bound[name]))
    return rows.select(
        **{name: _alike(column, family, name) for name, column in bound.items()},
        return_year=ibis.literal(_year(file), "int32"),
    )


def _alike(column: Any, family: Family, name: str) -> Any:
    """The same type in every file of a family, so that they can be stacked."""
    told = family.fields.get(name)
    if told is None or told.sort == "date":
        return column
    if told.sort == "flag":
        return cleaning.flag(column)
    if told.sort == "whole":
        return cleaning.whole(column)
    return cleaning.text(column) if told.sort == "key" else column.cast("string")


def _typed(table: ibis.Table, source: str | None, sort: Sort, file: Path) -> Any:
    """A column of the file, or an empty one; timestamps as dates."""
    import ibis

    if source is None:
        return ibis.null(EMPTY[sort])
    column = table[source]
    dtype = column.type()
    if sort == "date" and dtype.is_timestamp():
        return column.date()
    if kind_of(dtype) in READABLE[sort]:
        return column
    # A column without one value may have been written with any type.
    if not tally(table, {"n": column.count()})["n"]:
        return ibis.null(EMPTY[sort])
    allowed = " or ".join(READABLE[sort])
    raise RecordsError(
        f"{file}: column {source!r} is of type {dtype}; it must be {allowed}. "
        "Convert the column and write the file again."
    )


def _year(file: Path) -> int:
    digits = re.search(r"_(\d{4})$", file.stem)
    return int(digits.group(1)) if digits else 0


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


def _assessment_rows(rows: ibis.Table) -> ibis.Table:
    return rows.select("la", "child_id", "start_date", "end_date")


def _section47_rows(rows: ibis.Table) -> ibis.Table:
    return rows.select("la", "child_id", "referral_date", "s47_date", "icpc_date", "not_required")


def _disability_rows(rows: ibis.Table) -> ibis.Table:
    stated = cleaning.code(rows.disability)
    return rows.filter(stated.notnull(), stated != "NONE").select("la", "child_id").distinct()


def _care_rows(rows: ibis.Table) -> ibis.Table:
    codes = ("rne", "legal_status", "placement", "need", "end_reason")
    rows = rows.mutate(
        birth_month=_middle_of_month(rows),
        **{name: cleaning.code(rows[name]) for name in codes},
    ).drop("birth_year")
    return cleaning.with_codes(rows, sex=cleaning.sex, ethnicity=cleaning.ethnicity)


_SHAPES: Mapping[str, tuple[Family, Callable[[Any], Any]]] = {
    "cin": (CIN, _cin_rows),
    "assessments": (ASSESSMENTS, _assessment_rows),
    "section47": (SECTION47, _section47_rows),
    "disabilities": (DISABILITIES, _disability_rows),
    "care": (CARE, _care_rows),
}


def _middle_of_month(rows: ibis.Table) -> Any:
    """The 15th of the month of birth: where no day is given, the middle errs least."""
    import ibis

    year, month = rows.birth_year, rows.birth_month
    known = (year.between(1900, 2100) & month.between(1, 12)).fill_null(False)
    # The inner values are valid even where the outer condition is false: engines may compute both.
    day = ibis.date(ibis.ifelse(known, year, 1900), ibis.ifelse(known, month, 1), 15)
    return ibis.cases((known, day))


# --- whole extract --------------------------------------------------------------------------------
def _check_authorities(
    held: Mapping[str, ibis.Table], wanted: tuple[str, ...] | None, path: Path
) -> list[Problem]:
    """Refuse an authority without referrals; note one without rows elsewhere."""
    present = {
        name: set(table.select("la").distinct().to_pyarrow()["la"].to_pylist())
        for name, table in held.items()
    }
    if not present["cin"] - {None}:
        raise RecordsError(
            f"{path}: the cin files have no rows"
            f"{'' if wanted is None else ' of the authorities asked for'}. Check that authority "
            "codes are written alike in study file and extract (text, e.g. '004' or '801')."
        )
    expected = set(wanted) if wanted is not None else present["cin"]
    absent = sorted(expected - present["cin"])
    if absent:
        raise RecordsError(
            f"{path}: the cin files have no rows of {_some(absent)}. Correct the codes in the "
            "study file, or take the authority out of it."
        )
    return [
        Problem(
            "warning",
            name,
            "la",
            f"no rows of {_some(sorted(missing))}",
            len(missing),
            "what rests on these rows cannot be computed there",
        )
        for name in ("assessments", "section47", "care")
        if (missing := expected - present[name])
    ]


def _some(codes: Sequence[str]) -> str:
    shown = ", ".join(repr(code) for code in codes[:5])
    more = f" and {len(codes) - 5} more" if len(codes) > 5 else ""
    return f"{'authority' if len(codes) == 1 else 'authorities'} {shown}{more}"


def _la_years(engine: Engine, file: Path, wanted: tuple[str, ...] | None) -> ibis.Table:
    table = _open(engine.con, file)
    for column in ("la", "year"):
        if column not in table.columns:
            raise RecordsError(
                f"{file}: column {column!r} is missing.{_near(column, table.columns)}"
            )
    table = table.mutate(la=cleaning.text(table.la))
    if wanted is not None:
        table = table.filter(table.la.isin(wanted))
    return _keep(engine, [file], table)
