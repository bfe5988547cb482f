"""Open records of any form this project knows, as canonical tables.

`open_extract` takes a folder, a ZIP archive, one file, or a database, finds what is in it
(`forms`), reads each form into rows of one shape, and puts them together (`assemble`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError
from sos_analysis.records import cleaning, npd
from sos_analysis.records.assemble import Returns, assemble
from sos_analysis.records.binding import AUTHORITY, Codes, Match, bind, with_keys, write_empty
from sos_analysis.records.calendar import calendar_table
from sos_analysis.records.engine import Engine
from sos_analysis.records.files.archive import is_archive, unpack
from sos_analysis.records.files.mapping import NAME as MAPPING
from sos_analysis.records.files.names import authority_in, near, year_in
from sos_analysis.records.forms import Found, Source, find
from sos_analysis.records.la_years import read_la_years
from sos_analysis.records.notes import Read, notes_of
from sos_analysis.records.npd_layout import LA_YEARS, MANIFEST
from sos_analysis.records.problems import FAULTS
from sos_analysis.records.returns.cin_census import stage_census
from sos_analysis.records.returns.ssda903 import CareFile, stage_table, stage_xml
from sos_analysis.records.returns.ssda903_layout import SHORT_BREAKS, TABLES
from sos_analysis.records.shapes import SHAPES
from sos_analysis.records.tables import Problem, Records, tally, validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis

#: Kinds of row without which something cannot be computed.
TOLD = ("assessments", "section47", "care")


@dataclass
class Reading:
    """Rows as read, before they are put together: for whoever wants to look at them closely.

    Attributes
    ----------
    rows : kind of row -> table, cleaned.
    sources : what was read, in the order of their numbers.
    unread : names of files that were not read, and why.
    """

    rows: Mapping[str, Any]
    sources: Sequence[Read]
    unread: Sequence[tuple[str, str]]


def open_extract(
    path: Path | str,
    *,
    authorities: Sequence[str] | None = None,
    memory_limit: str = "",
    engine: str = "",
    authority: str | None = None,
    look: Callable[[Reading], None] | None = None,
) -> Records:
    """Read records into canonical tables.

    Parameters
    ----------
    path : folder or ZIP archive of records in any mix of forms, one file, or the address of a
        database.
    authorities : codes of the authorities to read; none: all that are there.
    memory_limit : of the embedded engine; beyond it, it spills to a temporary folder.
    engine : 'duckdb', or the address of another Ibis backend.
    authority : code for files that carry none (SSDA903); else from `extract.toml`, the names of
        files and folders, or the CIN Census beside them.
    look : called with the rows as read; rows then carry the place they came from.

    Returns
    -------
    Records, to be closed by the caller.

    Raises
    ------
    RecordsError : nothing known is there, a file or column is missing, has the wrong type or
        cannot be read, or an authority asked for has no rows. The message names file, field and
        remedy.
    """
    wanted = _codes(authorities)
    if authority is not None and not re.search(AUTHORITY, authority):
        raise RecordsError(f"authority {authority[:20]!r} is no code; give one such as '801'.")
    with _folder(path) as (folder, only, label):
        found = find(folder, only)
        held = None
        try:
            npd.check_files(folder, found)
            held = Engine(engine, memory_limit)
            reader = _Reader(held, found, folder, label, wanted, authority, look)
            tables, problems = reader.read()
            manifest, changed = _manifest(folder, found)
            manifest["authorities"] = list(wanted) if wanted is not None else None
            manifest["forms"] = sorted({source.form for source in found.sources})
            records = Records(held, tables, (), manifest)
            return replace(records, problems=(*changed, *problems, *validate(records)))
        except BaseException:
            if held is not None:
                held.close()
            raise
        finally:
            found.close()


@contextmanager
def _folder(path: Path | str) -> Iterator[tuple[Path, Path | None, str]]:
    """Folder to read, the one file of it if one was given, and the name to go by."""
    if isinstance(path, str) and "://" in path:
        with tempfile.TemporaryDirectory(prefix="sos_address_") as made:
            Path(made, MAPPING).write_text(f"database = {json.dumps(path)}\n", encoding="utf-8")
            yield Path(made), None, ""
        return
    path = Path(path)
    if path.is_dir():
        yield path, None, path.resolve().name
    elif is_archive(path) and path.is_file():
        with tempfile.TemporaryDirectory(prefix="sos_archive_") as made:
            unpack(path, Path(made))
            yield _only_folder(Path(made)), None, path.stem
    elif path.is_file():
        yield path.parent, path, path.resolve().parent.name
    else:
        raise RecordsError(
            f"{path}: no such folder or file. Give the folder of an extract, or make one with "
            "`python -m sos_analysis synthesise`."
        )


def _only_folder(path: Path) -> Path:
    """The folder inside, where an archive holds nothing but one."""
    held = [p for p in path.iterdir() if p.name != "__MACOSX"]
    return _only_folder(held[0]) if len(held) == 1 and held[0].is_dir() else path


def _codes(authorities: Sequence[str] | None) -> tuple[str, ...] | None:
    if authorities is None:
        return None
    codes = tuple(sorted({str(code) for code in authorities}))
    if not codes:
        raise RecordsError("no authority to read: give at least one code, or none for all.")
    return codes


def _manifest(path: Path, found: Found) -> tuple[dict[str, Any], list[Problem]]:
    """What the extract says of itself, with the files' hashes as found."""
    told: dict[str, Any] = {}
    source = path / MANIFEST
    if source.is_file():
        try:
            told = _object(source.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise RecordsError(
                f"{source}: is not valid JSON ({error}). Correct or remove it; it is optional."
            ) from error
    used = {s.shown.partition(":")[0]: s.path for s in found.sources}
    used |= {name: path / name for name in (LA_YEARS, MAPPING) if (path / name).is_file()}
    hashes = {name: _sha256(file) for name, file in sorted(used.items()) if file.is_file()}
    stated = told.get("files", {})
    changed = [
        n for n in hashes if isinstance(stated, dict) and stated.get(n, hashes[n]) != hashes[n]
    ]
    problems = [
        Problem(
            "warning",
            "manifest",
            "files",
            f"{name} is not the file the manifest describes",
            1,
            "read as found; if the change was not intended, make or fetch the extract again",
            name,
        )
        for name in changed
    ]
    return {**told, "files": hashes}, problems


def _object(text: str) -> dict[str, Any]:
    told = json.loads(text)
    if not isinstance(told, dict):
        raise TypeError("it holds no object")
    return told


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class _Reader:
    """One reading: from sources to canonical tables."""

    engine: Engine
    found: Found
    folder: Path
    label: str
    wanted: tuple[str, ...] | None
    authority: str | None
    look: Callable[[Reading], None] | None
    parts: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in SHAPES})
    reads: list[Read] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self) -> tuple[dict[str, Any], list[Problem]]:
        scratch = Path(tempfile.mkdtemp(prefix="sos_staged_"))
        try:
            self._sources(scratch)
            files = [read.source.path for read in self.reads]
            with npd.probing(self.engine, files):
                tables, problems = self._assembled(scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._besides(tables, problems)
        return tables, problems

    def _assembled(self, scratch: Path) -> tuple[dict[str, Any], list[Problem]]:
        held, faults, present = self._rows(scratch)
        if self.look is not None:
            self.look(Reading(held, self.reads, self.found.unread))
        problems = [*self.problems, *notes_of(self.reads, self.found, self.wanted)]
        problems += _check_authorities(present, self.wanted, self.folder, self.found)
        problems += _short_breaks(held["care"])
        rows = held
        if self.look is not None:
            rows = {kind: cleaning.numbered(held[kind], SHAPES[kind].numbers) for kind in held}
        tables, more = assemble(
            Returns(**rows),
            self.engine.keep,
            self.engine.drop,
            (self.engine.number, self.engine.words),
            faults=faults,
            files=[read.source.shown for read in self.reads],
            unit={i: read.unit for i, read in enumerate(self.reads)},
        )
        for table in held.values():
            self.engine.drop(table)
        return tables, [*problems, *more]

    def _sources(self, scratch: Path) -> None:
        # CIN Census first: its headers may tell the authority of what lies beside it.
        order = {"cin census": 0, "npd": 1, "ssda903": 2}
        for source in sorted(self.found.sources, key=lambda s: order[s.form]):
            number = len(self.reads)
            if source.form == "npd":
                self._npd(source, number, scratch)
            elif source.form == "cin census":
                self._census(source, number, scratch)
            else:
                self._care(source, number, scratch)

    def _npd(self, source: Source, number: int, scratch: Path) -> None:
        table, told, marks = npd.bound_rows(
            self.engine,
            self.found,
            source,
            number,
            scratch,
            wanted=self.wanted,
            located=self.look is not None,
        )
        kind = "care" if source.kind == "cla_episodes" else source.kind
        self.parts[kind].append(table)
        read = Read(source, {} if marks is None else {kind: marks}, odd=dict(told.odd))
        if marks is None and self.look is not None:
            read.rows = _parquet_rows(source.path)
        self.reads.append(read)

    def _census(self, source: Source, number: int, scratch: Path) -> None:
        name = PurePath(self.label) / source.shown
        made = stage_census(
            source.path,
            number,
            scratch,
            authority=self.authority or self.found.mapping.authority or authority_in(name),
            year=year_in(PurePath(source.shown).name),
            wanted=self.wanted,
        )
        self._staged(source, number, made.staged)
        self.reads.append(
            Read(
                source,
                made.told,
                unit="child",
                rows=made.children,
                repeated=made.repeated,
                orphans=made.orphans,
                years=made.years,
                authorities=made.authorities,
            )
        )

    def _care(self, source: Source, number: int, scratch: Path) -> None:
        code = self._whose(source)
        if source.text is None:
            made = stage_xml(source.path, number, scratch, authority=code)
        else:
            made = stage_table(source.text, TABLES[source.kind], number, scratch, authority=code)
        year = year_in(source.shown) or _last_year(made.staged.get("care"))
        self._staged(source, number, made.staged, year)
        self.reads.append(_care_read(source, made, code))

    def _whose(self, source: Source) -> str:
        """Authority of a file that states none."""
        name = PurePath(self.label) / source.shown
        told = self.authority or self.found.mapping.authority or authority_in(name)
        if told is None:
            beside = {la for read in self.reads for la in read.authorities}
            if len(beside) == 1:
                return beside.pop()
            raise RecordsError(
                f"{source.shown}: SSDA903 files carry no authority, and none can be told from "
                "their names or folders. Put the files into a folder named by the three-figure "
                f'code, or the line authority = "801" into {MAPPING} beside them, or give --la.'
            )
        return told

    def _staged(
        self, source: Source, number: int, staged: Mapping[str, Path], year: int | None = None
    ) -> None:
        import ibis

        for kind, file in staged.items():
            family = SHAPES[kind].family
            table = npd.open_parquet(self.engine.con, file, located=False)
            if kind == "care" and year is not None:
                table = table.mutate(return_year=ibis.literal(str(year)))
            ours = Match(
                {name: name if name in table.columns else None for name in family.fields},
                dict.fromkeys(family.many, ()),
                {},
            )
            self.parts[kind].append(
                bind(
                    table,
                    family,
                    ours,
                    source.shown,
                    wanted=self.wanted,
                    number=number,
                    located=self.look is not None,
                )
            )

    def _rows(
        self, scratch: Path
    ) -> tuple[dict[str, Any], dict[str, dict[str, int]], dict[str, Codes]]:
        """Rows by kind, cleaned; faults counted, where rows lack the marks; authorities there."""
        import ibis

        held: dict[str, Any] = {}
        present: dict[str, Codes] = {}
        faults: dict[str, dict[str, int]] = {}
        for kind, shape in SHAPES.items():
            parts = self.parts[kind]
            if not parts:
                nothing = scratch / f"no_{kind}.parquet"
                write_empty(shape.family, self.look is not None, nothing)
                parts = [npd.open_parquet(self.engine.con, nothing, located=False)]
            stacked = ibis.union(*parts) if parts[1:] else parts[0]
            if self.look is not None:
                # Held as read: else engines would read the files once a cleaned column.
                read = self.engine.keep(stacked)
                rows, present[kind], _ = with_keys(read)
                held[kind] = self.engine.keep(cleaning.with_codes(shape.rows(rows), **shape.codes))
                self.engine.drop(read)
                continue
            rows, present[kind], empty = with_keys(self.engine.view(stacked))
            rows = shape.rows(rows)
            marks = [name for name in rows.columns if name in FAULTS]
            rows, faults[kind] = cleaning.read_codes(rows, shape.codes, marks, shape.numbers)
            faults[kind] |= empty
            held[kind] = self.engine.view(rows) if shape.wide else self.engine.keep(rows)
        return held, faults, present

    def _besides(self, tables: dict[str, Any], problems: list[Problem]) -> None:
        import ibis

        tables["calendar"] = ibis.memtable(calendar_table())
        file = self.folder / LA_YEARS
        if file.is_file():
            tables["la_years"] = read_la_years(self.engine, file, self.wanted)
            return
        remedy = "no covariates of authorities by year"
        problems.append(
            Problem("warning", "la_years", "", f"there is no file {LA_YEARS}", 1, remedy)
        )


def _care_read(source: Source, made: CareFile, code: str) -> Read:
    return Read(
        source,
        made.told,
        unit="row" if made.text is not None else "child",
        rows=made.children or sum(told.rows for told in made.told.values()),
        repeated=made.repeated,
        orphans=made.orphans,
        authorities={code},
    )


def _last_year(file: Path | None) -> int | None:
    """The year of the latest day in staged episodes: tells which of two returns is the later."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if file is None:
        return None
    days = [pc.max(c) for c in pq.read_table(file, columns=["episode_start", "episode_end"])]
    known = [day.as_py() for day in days if day.is_valid]
    return max(known).year if known else None


def _parquet_rows(file: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(file).num_rows)


# --- whole extract --------------------------------------------------------------------------------
def _check_authorities(
    codes: Mapping[str, Codes], wanted: tuple[str, ...] | None, path: Path, found: Found
) -> list[Problem]:
    """Refuse an authority without referrals; note one without rows elsewhere."""
    # Where there are returns of care alone, they are all there is to look for.
    main = "cin" if any(s.kind == "cin" for s in found.sources) else "care"
    files = "cin files" if main == "cin" else "files of episodes"
    present = {kind: found_codes.right for kind, found_codes in codes.items()}
    if not present[main] and codes[main].wrong:
        shapes = " or ".join(repr(w) if w else "nothing" for w in codes[main].wrong[:3])
        raise RecordsError(
            f"{path}: no row of the {files} has the code of an authority. Where it should be "
            f"stands {shapes} (letters shown as a, figures as 9). A code is up to 12 letters or "
            "figures, such as '004' or '801'; correct the column, or map another to it in "
            f"{MAPPING}."
        )
    if not present[main]:
        raise RecordsError(
            f"{path}: the {files} have no rows"
            f"{'' if wanted is None else ' of the authorities asked for'}. Check that authority "
            "codes are written alike in study file and extract (text, e.g. '004' or '801')."
        )
    expected = set(wanted) if wanted is not None else present[main]
    absent = sorted(expected - present[main])
    if absent:
        there = sorted(present[main])
        raise RecordsError(
            f"{path}: the {files} have no rows of {_some(absent)}. Correct the codes in the "
            f"study file, or take the authority out of it.{near(absent[0], there)}"
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
        for name in (*(("cin",) if main != "cin" else ()), *TOLD)
        if (missing := expected - present[name])
    ]


def _short_breaks(care: ibis.Table) -> list[Problem]:
    n = tally(care, {"n": care.legal_status.isin(SHORT_BREAKS).sum()})["n"]
    remedy = "left out of care by the definitions of outcomes, but for the original's escalation"
    message = "is a short break (V3, V4)"
    return [Problem("info", "care", "legal_status", message, n, remedy)] if n else []


def _some(codes: Sequence[str]) -> str:
    shown = ", ".join(repr(code) for code in codes[:5])
    more = f" and {len(codes) - 5} more" if len(codes) > 5 else ""
    return f"{'authority' if len(codes) == 1 else 'authorities'} {shown}{more}"
