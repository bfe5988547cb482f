"""Read SSDA903 returns (CSV files or XML) into rows: people, and episodes of care.

`Header` and `Episodes` are read, `UASC` where it is there; the other files are noted and left.
Dates are day first. Nothing here decides what care is: short breaks keep their legal status, and
the definitions of outcomes leave them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sos_analysis.errors import RecordsError
from sos_analysis.records.files.names import near
from sos_analysis.records.files.staging import Stage, Told
from sos_analysis.records.files.text import TextFile, chunks, read_header
from sos_analysis.records.files.xml import Groups, Held, parse
from sos_analysis.records.returns import ssda903_layout as layout

CHUNK = 20_000
NOTHING_IN_IT: tuple[Held, ...] = ({},)

#: Kind of row -> columns of text, and of dates.
SHAPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "people": (("la", "child_id", "sex", "ethnicity", "uasc"), ("dob",)),
    "care": (
        (*("la", "child_id", "rne", "legal_status", "need", "placement", "end_reason"),),
        ("episode_start", "episode_end"),
    ),
}
#: File of the return -> kind of row, and its columns under our names; the first must be there.
_READ: Mapping[str, tuple[str, Mapping[str, str], tuple[str, ...]]] = {
    "Header": (
        "people",
        {"CHILD": "child_id", "SEX": "sex", "DOB": "dob", "ETHNIC": "ethnicity"},
        ("CHILD", "SEX", "DOB"),
    ),
    "UASC": ("people", {"CHILD": "child_id", "SEX": "sex", "DOB": "dob"}, ("CHILD",)),
    "Episodes": (
        "care",
        {
            **{"CHILD": "child_id", "DECOM": "episode_start", "RNE": "rne", "LS": "legal_status"},
            **{"CIN": "need", "PLACE": "placement", "DEC": "episode_end", "REC": "end_reason"},
        },
        ("CHILD", "DECOM", "RNE", "LS", "PLACE", "DEC", "REC"),
    ),
}


@dataclass
class CareFile:
    """What was read of one file.

    Attributes
    ----------
    staged : kind of row -> Parquet file; told : rows and how dates were written.
    text : of a CSV file, what its reading found.
    children : of an XML file; repeated : tag -> times it stood again; orphans : episodes outside
        a child.
    """

    staged: dict[str, Path] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    text: TextFile | None = None
    children: int = 0
    orphans: int = 0
    repeated: dict[str, int] = field(default_factory=dict)


def table_of(columns: tuple[str, ...]) -> layout.Table | None:
    """Which file of the return has these columns: the one most of whose own columns are there."""
    have = {c.upper() for c in columns}
    fitting = [t for t in layout.TABLES.values() if have.issuperset(t.key)]
    return max(fitting, key=lambda t: (len(have & set(t.columns)), len(t.key)), default=None)


def stage_table(
    file: TextFile, table: layout.Table, number: int, scratch: Path, *, authority: str
) -> CareFile:
    """Read one CSV file of the return.

    Raises
    ------
    RecordsError : a column is missing or stands twice, or the file cannot be read to its end.
    """
    kind, names, needed = _READ[table.name]
    columns = _bind(file, names, needed)
    texts, dates = SHAPES[kind]
    target = scratch / f"{number}_{kind}.parquet"
    found = CareFile({kind: target}, text=file)
    with Stage(target, texts=texts, dates=dates, source=str(file.path), number=number) as stage:
        for batch, places in chunks(file, list(columns.values())):
            rows = {names[ours]: batch[theirs] for ours, theirs in columns.items()}
            n = len(places)
            rows["la"] = [authority] * n  # type: ignore[assignment]
            if table.name == "UASC":
                rows["uasc"] = ["1"] * n  # type: ignore[assignment]
            stage.add(rows, places)
        found.told[kind] = stage.close()
    return found


def _bind(file: TextFile, names: Mapping[str, str], needed: tuple[str, ...]) -> dict[str, str]:
    by_capital: dict[str, str] = {}
    for column in file.columns:
        if column.upper() in by_capital and column.upper() in names:
            raise RecordsError(f"{file.path}: column {column!r} stands twice; keep one.")
        by_capital[column.upper()] = column
    for name in needed:
        if name not in by_capital:
            raise RecordsError(
                f"{file.path}: column {name!r} is missing.{near(name, file.columns)} It has "
                f"{', '.join(file.columns)[:300]}."
            )
    return {name: by_capital[name] for name in names if name in by_capital}


def read_table(path: Path) -> tuple[TextFile, layout.Table | None]:
    """Header of a CSV file, and which file of the return it is (none: no file of it)."""
    file = read_header(path)
    return file, table_of(file.columns)


_WANTED = {
    layout.CHILD: frozenset[str](),
    layout.HEADER: frozenset({"CHILDID", "SEX", "DOB", "ETHNIC", "UASC"}),
    layout.EPISODE: frozenset({"DECOM", "RNE", "LS", "CIN", "PL", "DEC", "REC"}),
}


def stage_xml(path: Path, number: int, scratch: Path, *, authority: str) -> CareFile:
    """Read one XML file of the return.

    Raises
    ------
    RecordsError : it is no well-formed XML, or holds no child.
    """
    found = CareFile()
    stages: dict[str, Stage] = {}
    rows: dict[str, list[tuple[str | None, ...]]] = {kind: [] for kind in SHAPES}
    places: dict[str, list[int]] = {kind: [] for kind in SHAPES}
    for kind, (texts, dates) in SHAPES.items():
        found.staged[kind] = scratch / f"{number}_{kind}.parquet"
        stages[kind] = Stage(
            found.staged[kind], texts=texts, dates=dates, source=str(path), number=number
        )

    def flush() -> None:
        for kind, held in rows.items():
            if held:
                columns = map(list, zip(*held, strict=True))
                names = (*SHAPES[kind][0], *SHAPES[kind][1])
                stages[kind].add(dict(zip(names, columns, strict=True)), places[kind])
                held.clear()
                places[kind].clear()

    def closed(name: str, held: Held, around: Held | None) -> None:
        if name != layout.CHILD:
            if around is None:
                found.orphans += 1
            else:
                around.setdefault(name, []).append(held)
            return
        found.children += 1
        headers = held.get(layout.HEADER, [])
        header = headers[0] if headers else {}
        who = (authority, header.get("CHILDID"))
        for one in headers or NOTHING_IN_IT:
            uasc = one.get("UASC")
            if uasc not in (None, "0", "1"):
                uasc = "1"  # a day: that on which the child ceased to be one
            rows["people"].append((*who, one.get("SEX"), one.get("ETHNIC"), uasc, one.get("DOB")))
            places["people"].append(found.children)
        for one in held.get(layout.EPISODE, ()):
            get = one.get
            rows["care"].append(
                (
                    *(*who, get("RNE"), get("LS"), get("CIN"), get("PL") or get("PLACE")),
                    *(get("REC"), get("DECOM"), get("DEC")),
                )
            )
            places["care"].append(found.children)
        if len(rows["care"]) >= CHUNK or len(rows["people"]) >= CHUNK:
            flush()

    wanted = {**_WANTED, layout.EPISODE: _WANTED[layout.EPISODE] | {"PLACE"}}
    target = Groups(wanted, frozenset(), closed)
    try:
        parse(path, target)
        flush()
        for kind, stage in stages.items():
            found.told[kind] = stage.close()
    finally:
        for stage in stages.values():
            stage.__exit__(None, None, None)
    found.repeated = target.repeated
    return found
