"""What a folder of records holds: each file's form, found by its content and not by trust.

An extract of the National Pupil Database (Parquet, CSV or database tables), CIN Census XML and
SSDA903 CSV or XML may lie beside each other, in folders inside folders. What is no form this
project knows is named, never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sos_analysis.errors import RecordsError
from sos_analysis.records.files import mapping as mapped
from sos_analysis.records.files.archive import is_archive
from sos_analysis.records.files.database import SUFFIXES as DATABASES
from sos_analysis.records.files.database import Database
from sos_analysis.records.files.mapping import Mapped
from sos_analysis.records.files.names import near, year_in
from sos_analysis.records.files.text import TextFile, read_header
from sos_analysis.records.files.xml import root_of
from sos_analysis.records.npd_layout import FAMILIES, LA_YEARS, MANIFEST, Family
from sos_analysis.records.returns import cin_layout, ssda903_layout
from sos_analysis.records.returns.ssda903 import table_of

Form = Literal["npd", "cin census", "ssda903"]

#: Beside the records, not of them.
BESIDE = (MANIFEST, LA_YEARS, "authorities.parquet", mapped.NAME)
#: Share of a family's needed columns that must be there for a file of another name to be one.
ALIKE = 0.6
WANTED = (
    "an extract of the National Pupil Database (cin_<year>, assessments_<year>, section47_<year>, "
    "cla_episodes, as Parquet, CSV or database tables), CIN Census XML, or SSDA903 files (CSV or "
    "XML)"
)


@dataclass(frozen=True)
class Source:
    """One file (or table of a database) that is read.

    Attributes
    ----------
    path : of the file. shown : its name inside the folder.
    form : which kind of source; kind : family of the extract, or file of the return.
    year : of the extract, from its name (first year of the return); none where it has no year.
    text : header of a CSV file. table : of a database. columns : names, where known.
    """

    path: Path
    shown: str
    form: Form
    kind: str
    year: int | None = None
    text: TextFile | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()


@dataclass
class Found:
    """What was found, what was not read and why, and what the mapping file says."""

    sources: list[Source] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    mapping: Mapped = field(default_factory=Mapped)
    databases: dict[Path, Database] = field(default_factory=dict)

    def of(self, form: Form, kind: str | None = None) -> list[Source]:
        """Sources of a form, and of a kind."""
        return [s for s in self.sources if s.form == form and kind in (None, s.kind)]

    def close(self) -> None:
        """Leave the databases."""
        for database in self.databases.values():
            database.close()


def known_columns() -> dict[str, str]:
    """Columns of the extract a mapping file may name: small letters -> as written."""
    return {
        told.names[0].lower(): told.names[0]
        for family in FAMILIES
        for told in family.fields.values()
    }


def find(path: Path, only: Path | None = None) -> Found:
    """Find what a folder holds.

    Parameters
    ----------
    path : folder.
    only : a single file in it to look at.

    Raises
    ------
    RecordsError : nothing in it is of a form this project knows; two files claim the same year;
        a mapping file is wrong.
    """
    kinds = tuple(family.stem for family in FAMILIES)
    found = Found(
        mapping=mapped.read_mapping(path / mapped.NAME, kinds=kinds, known=known_columns())
    )
    try:
        for file in [only] if only else _files(path):
            _look(file, file.relative_to(path).as_posix(), found)
        if found.mapping.database:
            _tables(Path(mapped.NAME), found.mapping.database, found)
        if not found.sources:
            raise RecordsError(_nothing(only or path, found))
        _refuse_twins(path, found)
    except BaseException:
        found.close()
        raise
    found.sources.sort(key=lambda s: (s.form, s.kind, s.year or 0, s.shown))
    return found


def _files(path: Path) -> list[Path]:
    def shown(file: Path) -> bool:
        parts = file.relative_to(path).parts
        return not any(p.startswith((".", "~$")) or p == "__MACOSX" for p in parts)

    return sorted(f for f in path.rglob("*") if f.is_file() and shown(f))


def _look(file: Path, shown: str, found: Found) -> None:
    name = file.name.lower()
    bare = name.removesuffix(".gz")
    if file.name in BESIDE:
        return
    if bare.endswith(".xml"):
        _look_xml(file, shown, found)
    elif bare.endswith((".csv", ".txt", ".tsv")):
        _look_csv(file, shown, found)
    elif name.endswith(".parquet"):
        family = _by_name(name, found.mapping) or _by_columns(parquet_columns(file))
        _add_extract(Source(file, shown, "npd", "", None), family, name, found)
    elif name.endswith(DATABASES):
        _tables(file, str(file), found)
    elif is_archive(file):
        found.unread.append((shown, "an archive inside the folder; unpack it, or give it alone"))
    else:
        found.unread.append((shown, "no file of records by its name"))


def _look_xml(file: Path, shown: str, found: Found) -> None:
    root = root_of(file)
    if root == cin_layout.ROOT:
        found.sources.append(Source(file, shown, "cin census", "cin"))
    elif root == ssda903_layout.ROOT:
        found.sources.append(Source(file, shown, "ssda903", "xml"))
    elif root is None:
        raise RecordsError(
            f"{file}: is no XML: it shows no element in its first lines. Export it again, or take "
            "it out of the folder."
        )
    else:
        known = (cin_layout.ROOT, ssda903_layout.ROOT)
        found.unread.append(
            (shown, f"XML of another kind: its root is {root[:40]!r}.{near(root, known)}")
        )


def _look_csv(file: Path, shown: str, found: Found) -> None:
    text = read_header(file)
    family = _by_name(file.name.lower(), found.mapping)
    table = None if family else table_of(text.columns)
    if table is None and family is None:
        family = _by_columns(text.columns)
    if table is None and family is None:
        table = _return_by_name(file.name.lower())
    if table is not None:
        source = Source(file, shown, "ssda903", table.name, text=text)
        if table.use == "ignored":
            found.unread.append((shown, f"{table.name} of the SSDA903 return is not needed here"))
        else:
            found.sources.append(source)
        return
    source = Source(file, shown, "npd", "", text=text, columns=text.columns)
    _add_extract(source, family, file.name.lower(), found)


def _tables(file: Path, address: str, found: Found) -> None:
    database = Database(address)
    found.databases[file] = database
    for table in database.tables:
        columns = database.columns(table)
        family = _by_name(table.lower(), found.mapping) or _by_columns(columns)
        shown = f"{file.name}:{table}"
        source = Source(file, shown, "npd", "", table=table, columns=columns)
        _add_extract(source, family, table.lower(), found)


def _add_extract(
    source: Source, family: tuple[Family, int | None] | None, name: str, found: Found
) -> None:
    if family is None:
        stems = tuple(f.stem for f in FAMILIES)
        hint = near(name.rsplit(".", 1)[0].rstrip("_0123456789"), stems)
        found.unread.append(
            (source.shown, f"neither its name nor its columns are of a kind known.{hint}")
        )
        return
    told, year = family
    if told.yearly and year is None:
        year = year_in(name)
        if year is None:
            raise RecordsError(
                f"{source.shown}: holds {told.stem} rows, but its name has no one year. Name it "
                f"{told.stem}_<year> by the first year of the return, or name it in "
                f"{mapped.NAME} under [files]."
            )
    found.sources.append(
        Source(
            source.path,
            source.shown,
            "npd",
            told.stem,
            year if told.yearly else None,
            source.text,
            source.table,
            source.columns,
        )
    )


def _by_name(name: str, mapping: Mapped) -> tuple[Family, int | None] | None:
    if told := mapping.kind_of(name):
        return next(f for f in FAMILIES if f.stem == told[0]), told[1]
    bare = name
    for ending in (".gz", ".parquet", ".csv", ".txt", ".tsv"):
        bare = bare.removesuffix(ending)
    for family in FAMILIES:
        if family.pattern.fullmatch(bare):
            return family, year_in(bare) if family.yearly else None
    return None


def _by_columns(columns: Iterable[str]) -> tuple[Family, int | None] | None:
    have = {c.lower() for c in columns}

    def share(family: Family) -> float:
        needed = [t for t in family.fields.values() if t.need == "must"]
        there = [t for t in needed if any(n.lower() in have for n in t.names)]
        # The columns all families have do not tell one from the other.
        return len(there) / len(needed) if len(there) > 2 else 0.0

    best = max(FAMILIES, key=share)
    return (best, None) if share(best) >= ALIKE else None


def _return_by_name(name: str) -> ssda903_layout.Table | None:
    words: Mapping[str, ssda903_layout.Table] = {
        t.name.lower(): t for t in ssda903_layout.TABLES.values() if t.use != "ignored"
    }
    return next((t for word, t in words.items() if word.rstrip("s") in name), None)


def parquet_columns(file: Path) -> tuple[str, ...]:
    """Names of the columns of a Parquet file, as written.

    Raises
    ------
    RecordsError : it is no readable Parquet file.
    """
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_schema(file).names)
    except (OSError, ValueError) as error:
        raise RecordsError(
            f"{file}: is no readable Parquet file ({type(error).__name__}). It may be cut short or "
            "of another format; restore it from its source."
        ) from error


def _refuse_twins(path: Path, found: Found) -> None:
    seen: dict[tuple[str, int | None], str] = {}
    for source in found.of("npd"):
        key = (source.kind, source.year)
        if key in seen:
            when = "" if source.year is None else f" for {source.year}"
            raise RecordsError(
                f"{path}: {seen[key]!r} and {source.shown!r} both hold {source.kind} rows{when}. "
                "Leave one; rows in both would count twice."
            )
        seen[key] = source.shown


def _nothing(path: Path, found: Found) -> str:
    what = "; ".join(f"{shown}: {why}" for shown, why in found.unread[:3])
    more = f" and {len(found.unread) - 3} more" if len(found.unread) > 3 else ""
    held = f" It holds {what}{more}." if what else " It is empty."
    return f"{path}: holds no records this project knows.{held} Give {WANTED}."
