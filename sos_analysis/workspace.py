"""Where things lie, and cells kept by what they rest on.

One place knows the folders, and turns a study and an extract into cells: the build does so for
every outcome in one run of the engine; an analyst's own choice is computed when asked for. Cells
are named by the hashes of study, extract, code and choice, so a stale one is never read.
"""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sos_analysis.errors import RecordsError, StudyError
from sos_analysis.sources import ROOT, code_hash, digest, file_hash
from sos_analysis.study import DEFINITIONS, OUTCOMES, Study

if TYPE_CHECKING:
    import ibis
    import pandas as pd

    from sos_analysis.cells import Cells
    from sos_analysis.child_sums import ChildSums
    from sos_analysis.records.tables import Records

    _Made = tuple[Cells | None, Cells | None]

DATA = ROOT / "data"
RESULTS = ROOT / "results"
CELLS = DATA / "cells"
#: Marks results that came with a release, where no records are.
RELEASED_MARK = "FROM-RELEASE"
#: Authority-year covariates beside the records.
LA_YEARS = "la_years.parquet"
#: Choices besides the definitions that chapters show, made in the same run of the engine.
EXTRAS: Mapping[str, Mapping[str, Any]] = {"duration": {"beyond": 45}}
#: Outcomes whose cells are also made of the authorities outside the groups, taken as one.
REST_OUTCOMES = ("duration", "rereferral", "escalation", "kinship", "icpc")
#: Modules whose code decides what is in a cell.
CELL_MODULES = ("records.extract", "outcomes", "cells")
#: Outcomes with sums for child fixed effects: those the original used such a model for.
CHILD_OUTCOMES = ("duration",)
CHILD_MODULES = (*CELL_MODULES, "child_sums")
#: The same for counts of returns.
RETURN_MODULES = ("records.extract", "records.completeness")


def extract_folder(study: Study, extract: str | Path | None = None) -> Path:
    """Folder (or ZIP or file) of the records: the one given, or the study's own.

    Raises
    ------
    RecordsError : the folder does not exist; says how to make or give one.
    """
    folder = Path(extract) if extract else DATA / "extract" / study.id
    if not folder.is_absolute() and not folder.exists():
        # A notebook's working directory is its own folder; a path may be meant from the root.
        folder = ROOT / folder
    if not folder.exists():
        remedy = (
            "run 'python -m sos_analysis synthesise' to make it"
            if study.origin == "synthetic" and not extract
            else "give the folder of the extract with --extract, or the parameter 'extract'"
        )
        raise RecordsError(f"no extract at {_shown(folder)}; {remedy}")
    return folder


def extract_hash(folder: Path) -> str:
    """What identifies an extract.

    The hash of its manifest, which holds the hash of each file; without a manifest, the hash of
    names, sizes and times of its files (reading gigabytes on each build would be too slow).
    """
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return file_hash(manifest)
    if folder.is_file():
        told = folder.stat()
        return digest([(folder.name, f"{told.st_size}:{told.st_mtime_ns}")])
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return digest(
        (p.relative_to(folder).as_posix(), f"{p.stat().st_size}:{p.stat().st_mtime_ns}")
        for p in files
    )


def beside(folder: Path, name: str) -> bytes | None:
    """Content of a small file in an extract's folder or ZIP; none if it is not there."""
    from sos_analysis.records.files.archive import is_archive, member

    if folder.is_file():
        return member(folder, name) if is_archive(folder) else None
    file = folder / name
    return file.read_bytes() if file.is_file() else None


def cells_path(
    study: Study,
    folder: Path,
    outcome: str,
    definition: str,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Folder that holds the cells of one outcome under one definition."""
    key = digest(
        {
            "study": study.hash,
            "extract": extract_hash(folder),
            "code": code_hash(*CELL_MODULES),
            "overrides": json.dumps(dict(overrides or {}), sort_keys=True, default=str),
        }
    )
    return CELLS / study.id / f"{outcome}-{definition}-{key[:16]}"


@dataclass(frozen=True)
class _Set:
    """One set of cells: of an outcome's groups, or (`rest`) of all other authorities as one."""

    outcome: str
    definition: str
    chosen: str = "{}"
    rest: bool = False
    label: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Options of the definition that are replaced; `chosen` holds them as JSON."""
        return dict(json.loads(self.chosen))

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.outcome, self.definition, self.label)))

    def path(self, study: Study, folder: Path) -> Path:
        from sos_analysis.cells import REST

        what = {"authorities": REST} if self.rest else self.options
        return cells_path(study, folder, self.outcome, self.definition, what)


def build_cells(
    study: Study,
    extract: str | Path | None = None,
    *,
    outcomes: tuple[str, ...] = OUTCOMES,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Path]:
    """Cells of every outcome and definition, in one run of the engine.

    Returns
    -------
    Mapping of ``"outcome-definition"`` to the file that says which tables belong together, those
    already there included.

    Raises
    ------
    StudyError : no pilot has a comparator for any of the outcomes.
    """
    folder = extract_folder(study, extract)
    wanted = {one: one.path(study, folder) for one in _sets(study, outcomes)}
    if not wanted:
        raise _without_comparators(study, outcomes)
    missing = {one: path for one, path in wanted.items() if not _complete(path)}
    if any(one.rest for one in missing) and not _rest_authorities(study, folder):
        missing = {one: path for one, path in missing.items() if not one.rest}
    if missing:
        _compute(study, folder, missing, progress)
    _forget_old(set(wanted.values()))
    return {one.name: path / "meta.json" for one, path in wanted.items() if _complete(path)}


def _without_comparators(study: Study, outcomes: Sequence[str]) -> StudyError:
    names = ", ".join(dict.fromkeys(study.outcome(outcome).group for outcome in outcomes))
    return StudyError(
        f"study {study.id!r}: no pilot has a comparator in comparator group {names}; add one under "
        "pilots[].comparators."
    )


def _sets(study: Study, outcomes: Sequence[str]) -> Iterator[_Set]:
    """All sets that chapters show; those that rest on the same events follow each other."""
    from sos_analysis.cells import REST

    for outcome in outcomes:
        if not study.groups(outcome, exclude=False):
            continue
        for definition in DEFINITIONS:
            yield _Set(outcome, definition)
            if outcome in REST_OUTCOMES:
                yield _Set(outcome, definition, rest=True, label=REST)
        if outcome in EXTRAS:
            for definition in DEFINITIONS:
                yield _Set(outcome, definition, json.dumps(EXTRAS[outcome]), label="companion")


def cells_for(
    study: Study,
    extract: str | Path | None,
    outcome: str,
    definition: str,
    overrides: Mapping[str, Any] | None = None,
) -> Cells:
    """Cells of one outcome, from the store where study, extract, code and choice are the same."""
    from sos_analysis import cells

    folder = extract_folder(study, extract)
    one = _Set(outcome, definition, json.dumps(dict(overrides or {}), sort_keys=True))
    path = one.path(study, folder)
    if not _complete(path):
        _compute(study, folder, {one: path}, None)
    return cells.load(path)


def rest_cells_for(
    study: Study, extract: str | Path | None, outcome: str, definition: str
) -> Cells | None:
    """Cells of the authorities outside the study's groups, as one; None if there are none."""
    from sos_analysis import cells

    folder = extract_folder(study, extract)
    one = _Set(outcome, definition, rest=True)
    path = one.path(study, folder)
    if not _complete(path):
        if not _rest_authorities(study, folder):
            return None
        _compute(study, folder, {one: path}, None)
    return cells.load(path)


def _rest_authorities(study: Study, folder: Path) -> list[str]:
    """Authorities beside the records that no group of the study has."""
    held = beside(folder, LA_YEARS)
    if held is None:
        return []
    import pandas as pd

    there = set(pd.read_parquet(io.BytesIO(held), columns=["la"])["la"].astype(str))
    inside = {pilot.la for pilot in study.pilots}
    inside |= {la for outcome in OUTCOMES for la in study.sample(outcome)}
    return sorted(there - inside)


def _compute(
    study: Study,
    folder: Path,
    wanted: Mapping[_Set, Path],
    progress: Callable[[str], None] | None,
) -> None:
    """Read the records once, and count all sets from them."""
    from sos_analysis import cells
    from sos_analysis.records.extract import open_extract

    tell = progress or (lambda text: None)
    of_groups = {
        la
        for one in wanted
        if not one.rest
        for g in study.groups(one.outcome, exclude=False)
        for la in (g.pilot, *g.comparators)
    }
    everything = any(one.rest for one in wanted)
    if not (everything or of_groups):
        raise _without_comparators(study, tuple(one.outcome for one in wanted))
    tell("reading the records of " + ("all" if everything else f"{len(of_groups)} authorities"))
    records = open_extract(folder, authorities=None if everything else sorted(of_groups))
    try:
        if everything:
            _check_there(records, of_groups, folder)
        number = 0
        same = itertools.groupby(wanted, lambda one: (one.outcome, one.definition, one.chosen))
        before: dict[str, _Made] = {}
        for (outcome, definition, _), alike in same:
            sets = list(alike)
            number += len(sets)
            tell(f"{sets[-1].name.replace('-', ', ')} ({number} of {len(wanted)})")
            told = json.dumps(_told(study, sets), sort_keys=True, default=str)
            if told in before and outcome not in CHILD_OUTCOMES:
                # Definitions that are the same in all but name.
                made = _renamed(before[told], definition)
            else:
                made = _collapse_alike(records, study, folder, sets)
            before = {told: made}
            for one in sets:
                cells.save(cast("Cells", made[one.rest]), wanted[one])
            if outcome == "icpc" and not all(one.rest for one in sets):
                _keep_returns(records, study, folder)
    finally:
        records.close()


def _told(study: Study, sets: Sequence[_Set]) -> list[Any]:
    """All that sets rest on, besides the records."""
    one = sets[0]
    options = {**study.outcome(one.outcome).definitions[one.definition], **one.options}
    return [one.outcome, options, bool(one.options), [each.rest for each in sets]]


def _renamed(made: _Made, definition: str) -> _Made:
    first, second = (
        each and replace(each, meta={**each.meta, "definition": definition}) for each in made
    )
    return first, second


def _collapse_alike(records: Records, study: Study, folder: Path, sets: Sequence[_Set]) -> _Made:
    """Sets that rest on the same events: those of the groups and of the rest, and sums by child."""
    from sos_analysis import cells
    from sos_analysis.outcomes import coded_events

    first = sets[0]
    outcome, definition = first.outcome, first.definition
    covariates = study.outcome(outcome).cell_covariates
    if not any(one.rest for one in sets):
        records = replace(records, only=tuple(cells.sample_of(study, outcome)))
    coded = coded_events(records, study, outcome, definition, covariates, **first.options)
    made = cells.collapse_coded(
        coded,
        study,
        outcome,
        covariates=covariates,
        meta={
            "definition": definition,
            "data_hash": extract_hash(folder),
            "code_hash": code_hash(*CELL_MODULES),
        },
        groups=not all(one.rest for one in sets),
        rest=any(one.rest for one in sets),
    )
    if outcome in CHILD_OUTCOMES and not first.options and not first.rest:
        _keep_child_sums(coded.rows, study, folder, outcome, definition)
    return made


def _check_there(records: Records, wanted: set[str], folder: Path) -> None:
    """Refuse an authority of the study that the records lack, as reading it alone would."""
    there = records.tables["referrals"].select("la").distinct().to_pyarrow()["la"].to_pylist()
    absent = sorted(wanted - set(map(str, there)))
    if absent:
        raise RecordsError(
            f"{_shown(folder)}: there is no referral of authority {absent[0]}, which the study "
            "names. Check the codes in the study file, or take the authority out of it."
        )


def _keep_child_sums(
    rows: ibis.Table, study: Study, folder: Path, outcome: str, definition: str
) -> None:
    """Sums for child fixed effects; a pair of files whose second is written last."""
    from sos_analysis.child_sums import child_sums

    path = _child_path(study, folder, outcome, definition)
    if all(file.is_file() for file in path):
        return
    made = child_sums(rows, study, outcome)
    # The number of children stands in a column, so that two tables hold all.
    tables = made.pairs, made.single.assign(children=made.children)
    for file, table in zip(path, tables, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        table.to_parquet(scratch, index=False)
        os.replace(scratch, file)


def _child_path(study: Study, folder: Path, outcome: str, definition: str) -> tuple[Path, Path]:
    key = digest(
        {
            "study": study.hash,
            "extract": extract_hash(folder),
            "code": code_hash(*CHILD_MODULES),
            "of": f"{outcome}-{definition}",
        }
    )
    stem = CELLS / study.id / f"children-{key[:16]}"
    return stem.with_suffix(".pairs.parquet"), stem.with_suffix(".single.parquet")


def child_sums_for(
    study: Study, extract: str | Path | None, outcome: str, definition: str
) -> ChildSums:
    """Sums for child fixed effects, from the store or from the records."""
    import pandas as pd

    from sos_analysis.child_sums import ChildSums
    from sos_analysis.outcomes import events
    from sos_analysis.records.extract import open_extract

    folder = extract_folder(study, extract)
    path = _child_path(study, folder, outcome, definition)
    if not all(file.is_file() for file in path):
        with open_extract(folder, authorities=study.sample(outcome)) as records:
            rows = events(records, study, outcome, definition)
            _keep_child_sums(rows, study, folder, outcome, definition)
    pairs, single = (pd.read_parquet(file) for file in path)
    children = int(single["children"].max()) if len(single) else 0
    return ChildSums(single.drop(columns="children"), pairs, children)


def _keep_returns(records: Records, study: Study, folder: Path) -> None:
    """Counts of returned conferences, beside the cells that rest on them."""
    from sos_analysis.records.completeness import conference_returns

    path = _returns_path(study, folder)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    conference_returns(records, study).to_parquet(scratch, index=False)
    os.replace(scratch, path)


def _returns_path(study: Study, folder: Path) -> Path:
    key = digest(
        {
            "study": study.hash,
            "extract": extract_hash(folder),
            "code": code_hash(*RETURN_MODULES),
        }
    )
    return CELLS / study.id / f"returns-{key[:16]}.parquet"


def conference_returns(study: Study, extract: str | Path | None) -> pd.DataFrame:
    """What each authority returned of conferences by year, from the store or from the records."""
    import pandas as pd

    from sos_analysis.records.extract import open_extract

    folder = extract_folder(study, extract)
    path = _returns_path(study, folder)
    if not path.is_file():
        groups = study.groups("icpc", exclude=False)
        las = sorted({la for g in groups for la in (g.pilot, *g.comparators)})
        with open_extract(folder, authorities=las) as records:
            _keep_returns(records, study, folder)
    return pd.read_parquet(path)


def _complete(path: Path) -> bool:
    return (path / "meta.json").is_file()


def _forget_old(kept: set[Path], most: int = 60) -> None:
    """Remove the oldest cells of other studies, extracts and code, so the store stays small."""
    import shutil

    for store in {path.parent for path in kept}:
        others = [p for p in store.iterdir() if p.is_dir() and p not in kept]
        others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        for path in others[most:]:
            shutil.rmtree(path, ignore_errors=True)


def _shown(path: Path) -> str:
    try:
        return path.relative_to(ROOT).as_posix()
    except ValueError:
        return str(path)


def la_years(study: Study, extract: str | Path | None) -> pd.DataFrame:
    """Authority-year covariates beside the records: `la`, `year` (by its end) and the rest.

    Raises
    ------
    RecordsError : the extract has no ``la_years.parquet``, or it lacks its keys.
    """
    import pandas as pd

    held = beside(extract_folder(study, extract), LA_YEARS)
    if held is None:
        raise RecordsError(
            "la_years.parquet: not in the extract; it holds one row an authority and year with the "
            "columns la, year and the covariates (docs/data_dictionary.md)"
        )
    table = pd.read_parquet(io.BytesIO(held))
    absent = [name for name in ("la", "year") if name not in table.columns]
    if absent:
        raise RecordsError(
            f"la_years.parquet: no column {absent[0]!r}; it has {list(table.columns)}"
        )
    return table.assign(la=table["la"].astype(str))


def truth(study: Study, extract: str | Path | None) -> dict[tuple[str, str], float]:
    """True effect on the treated by outcome and definition, in internal units; made-up data only.

    From the stored potential outcomes where they belong to this extract. Elsewhere only what the
    study file says for sure: the planted effect on the original's definition, and zero on the
    others where nothing was planted.
    """
    if study.truth is None:
        return {}
    known = {
        (name, definition): effect
        for name, effect in study.truth.sizes.items()
        for definition in DEFINITIONS
        if effect == 0 or (definition == "original" and not study.truth.varies)
    }
    stored = DATA / "truth" / study.id / "truth.json"
    manifest = extract_folder(study, extract) / "manifest.json"
    if extract or not (stored.is_file() and manifest.is_file()):
        return known
    found, made = json.loads(stored.read_text("utf-8")), json.loads(manifest.read_text("utf-8"))
    same = ("study_hash", "generator", "seed", "scale", "authorities")
    if any(found.get(key) != made.get(key) for key in same):
        return known
    return known | {
        (e["outcome"], e["definition"]): float(e["att"])
        for e in found["effects"]
        if e["att"] is not None
    }
