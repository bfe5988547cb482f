"""A made-up England in the shape of the NPD extract: no child and no authority in it is real.

`generate` writes 152 made-up authorities' children in need and looked after, 2008/09 to 2018/19,
calibrated to England's published totals and spread, with known effects planted in the pilots. The
truth is stored apart. Every authority has random streams of its own: its rows depend neither on
which others are written nor in what order.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records import synthetic_context as context
from sos_analysis.records.synthetic_arrivals import expected_arrivals
from sos_analysis.records.synthetic_care import episodes
from sos_analysis.records.synthetic_case import Cases
from sos_analysis.records.synthetic_days import year_end
from sos_analysis.records.synthetic_effects import effects_of
from sos_analysis.records.synthetic_facts import dirt as draw_dirt
from sos_analysis.records.synthetic_facts import facts as draw_facts
from sos_analysis.records.synthetic_facts import incomplete
from sos_analysis.records.synthetic_life import simulate
from sos_analysis.records.synthetic_rates import (
    CALIBRATION,
    FIRST_RETURN,
    Floats,
    Plan,
    authority_codes,
    draw_plan,
)
from sos_analysis.records.synthetic_standing import join, stand
from sos_analysis.records.synthetic_tables import YEARLY, Tables, file_name
from sos_analysis.records.synthetic_truth import Truth
from sos_analysis.sources import code_hash, file_hash
from sos_analysis.study import Study

Progress = Callable[[str], None]

# Each authority's random streams, one a purpose.
_LIFE, _CARE, _FACTS, _DIRT, _CONTEXT, _PUPILS, _RETURNS, _STANDING = range(1, 9)
# Identifiers hardly repeat: a dictionary would only cost time and space.
_IDENTIFIERS = {
    "CIN_LAchildID_Anon",
    "CHILD_ID_ANON",
    "CIN_PupilMatchingRefAnonymous",
    "CLA_PupilMatchingRefAnonymous",
}
_REPORT_EVERY = 16
# Rows of a group of a file: readers open each group anew, which with a group an authority took
# them a tenth of their time; from here on larger groups gain nothing.
_GROUP_ROWS = 61_440


@dataclass(frozen=True)
class Manifest:
    """What an extract is and how it was made; the same for the same seed."""

    schema: str
    study: str
    study_hash: str
    seed: int
    scale: float
    authorities: tuple[str, ...]
    generator: str
    rows: Mapping[str, int]
    files: Mapping[str, str]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no time stamp."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def generate(
    study: Study,
    out: Path,
    truth_out: Path,
    *,
    scale: float = 1.0,
    seed: int | None = None,
    authorities: Sequence[str] | None = None,
    progress: Progress | None = None,
    dirt: bool = True,
) -> Manifest:
    """Write a made-up extract and, apart from it, the truth planted in it.

    Parameters
    ----------
    study : a study on made-up data (origin 'synthetic').
    out : folder of the extract; one made here before is replaced as a whole once everything is
        written, any other is refused.
    truth_out : folder of the potential outcomes, never inside `out`.
    scale : share of England's number of cases, above 0, at most 5; rates stay as they are.
    seed : same seed, same bytes; the study's own by default.
    authorities : codes to write, all by default.
    progress : called with one line at a time.
    dirt : plant the errors that real extracts have, at low rates.

    Returns
    -------
    Manifest : as stored in ``manifest.json``. ``rows["referrals"]`` counts referrals of the eleven
        years, each once.

    Raises
    ------
    RecordsError, ParameterError : naming the parameter, what was found and what is allowed.
    """
    if study.synthetic is None or study.truth is None:
        raise RecordsError(
            f"study {study.id!r} has origin {study.origin!r}: only a study with origin 'synthetic' "
            "has made-up records. Read a real extract with open_extract instead."
        )
    out, truth_out = _folders(Path(out), Path(truth_out))
    if not 0 < scale <= 5:
        raise ParameterError(f"scale: found {scale!r}; expected a number above 0, at most 5.")
    chosen = _chosen(study, authorities)
    seed = study.synthetic.seed if seed is None else seed
    say = progress or (lambda line: None)
    say(f"rates of {study.synthetic.authorities} made-up authorities")
    plan = draw_plan(study, seed)
    source = Source(study, plan, expected_arrivals(plan, seed, scale), seed, scale, dirt)

    parts = [folder.with_name(f".{folder.name}.part-{os.getpid()}") for folder in (out, truth_out)]
    try:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        truth = Truth(study)
        rows = _write_all(source, chosen, parts[0], truth, say)
        manifest = Manifest(
            schema="npd",
            study=study.id,
            study_hash=study.hash,
            seed=seed,
            scale=float(scale),
            authorities=chosen,
            generator=generator_hash(),
            rows=rows,
            files={p.name: file_hash(p) for p in sorted(parts[0].glob("*.parquet"))},
        )
        (parts[0] / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
        shared = ("study", "study_hash", "seed", "scale", "authorities", "generator")
        truth.write(parts[1], {name: getattr(manifest, name) for name in shared})
        _replace(parts[1], truth_out)
        _replace(parts[0], out)
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
    say(f"{rows['referrals']:,} referrals of {len(chosen)} made-up authorities")
    return manifest


def generator_hash() -> str:
    """Hash of the generator's source and of the calibration files it reads."""
    digest = hashlib.sha256(code_hash("records.synthetic").encode())
    for path in sorted(CALIBRATION.glob("*.toml")):
        digest.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """Everything that one authority's records are drawn from."""

    study: Study
    plan: Plan
    arrivals: Floats
    seed: int
    scale: float
    dirt: bool

    def stream(self, la: str, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, int(la), purpose])

    def records(self, la: str) -> tuple[Cases, Tables]:
        at, stream, truth = self.plan.codes.index(la), self.stream, self.study.truth
        effects = effects_of(self.study, la)
        children, cases = simulate(self.plan, at, self.arrivals[at], effects, stream(la, _LIFE))
        standing = stand(self.plan, at, self.scale, stream(la, _STANDING))
        children, cases = join(children, cases, *standing)
        care = episodes(children, cases, stream(la, _CARE))
        lost = None
        if truth is not None and truth.switches.icpc_incomplete:
            lost = incomplete(cases, truth.icpc_incomplete, stream(la, _RETURNS))
        found = draw_facts(children, cases, care, self.plan.second_plan, stream(la, _FACTS), lost)
        wrong = draw_dirt(cases, stream(la, _DIRT) if self.dirt else None)
        return cases, Tables(la, children, cases, care, found, wrong, stream(la, _PUPILS))


class _Writers:
    """Open Parquet files, written in groups of rows of several authorities."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.open: dict[str, pq.ParquetWriter] = {}
        self.waiting: dict[str, list[pa.Table]] = {}

    def put(self, file: str, content: pa.Table) -> None:
        """Append a table."""
        if file not in self.open:
            names = content.column_names
            self.open[file] = self.stack.enter_context(
                pq.ParquetWriter(
                    self.folder / file,
                    content.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=[name for name in names if name not in _IDENTIFIERS],
                    store_schema=False,  # text columns are plain text to readers
                )
            )
        self.waiting.setdefault(file, []).append(content)
        if sum(map(len, self.waiting[file])) >= _GROUP_ROWS:
            self._write(file)

    def finish(self) -> None:
        """Write what waits for its group to be full."""
        for file in list(self.waiting):
            self._write(file)

    def _write(self, file: str) -> None:
        # One dictionary for the group: a second one would make the writer spell out every row.
        group = pa.concat_tables(self.waiting.pop(file)).unify_dictionaries()
        self.open[file].write_table(group, row_group_size=max(len(group), 1))


def _write_all(
    source: Source, chosen: tuple[str, ...], folder: Path, truth: Truth, say: Progress
) -> dict[str, int]:
    """Write every table; rows by table."""
    rows = dict.fromkeys([*YEARLY, "cla_episodes", "authorities", "la_years", "referrals"], 0)
    study = source.study
    # One hand writes an authority while the next is drawn; the order of rows stays the same. It
    # puts down its pen before the files are closed, whatever happens.
    with ExitStack() as files, ThreadPoolExecutor(max_workers=1) as hand:
        writers = _Writers(folder, files)
        names = context.authorities(study, chosen)
        rows["authorities"] = len(names)
        writers.put("authorities.parquet", names)
        writing: list[Future[None]] = []
        for done, la in enumerate(chosen, start=1):
            made: list[tuple[str, pa.Table]] = []
            cases, tables = source.records(la)
            counted = context.Counted()
            for name, years in YEARLY.items():
                for year in years:
                    content = tables.table(name, year)
                    counted.add(name, year, content)
                    rows[name] += len(content)
                    made.append((file_name(name, year), content))
            yearly = context.la_years(study, source.plan, la, source.stream(la, _CONTEXT), counted)
            for name, content in (("cla_episodes", tables.cla_episodes()), ("la_years", yearly)):
                rows[name] += len(content)
                made.append((f"{name}.parquet", content))
            for written in writing:
                written.result()
            writing = [hand.submit(writers.put, file, content) for file, content in made]
            rows["referrals"] += int((cases.referral > year_end(FIRST_RETURN - 1)).sum())
            truth.add(la, cases, effects_of(study, la), tables.child_id)
            if done % _REPORT_EVERY == 0 or done == len(chosen):
                say(f"{done} of {len(chosen)} made-up authorities")
        for written in writing:
            written.result()
        writers.finish()
    return rows


def _chosen(study: Study, authorities: Sequence[str] | None) -> tuple[str, ...]:
    """The codes to write, in order; ParameterError if one is unknown or none is given."""
    known = authority_codes(study.synthetic.authorities if study.synthetic else 0)
    if authorities is None:
        return known
    unknown = sorted(set(authorities) - set(known))
    if unknown or not authorities:
        raise ParameterError(
            f"authorities: found {unknown or list(authorities)}; expected codes from "
            f"{known[0]!r} to {known[-1]!r}."
        )
    return tuple(code for code in known if code in set(authorities))


def _folders(out: Path, truth_out: Path) -> tuple[Path, Path]:
    """Both folders, made sure to lie apart, so that no one reads the truth by accident."""
    first, second = out.resolve(), truth_out.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise ParameterError(
            f"truth_out: found {truth_out}; the truth and the extract ({out}) must lie apart: "
            "give folders of which neither contains the other."
        )
    for folder, mark in ((out, "manifest.json"), (truth_out, "truth.json")):
        if not _is_ours(folder, mark):
            raise ParameterError(
                f"out: {folder} holds something else than a made-up extract, and would be "
                "replaced; give a new or empty folder."
            )
    return out, truth_out


def _is_ours(folder: Path, mark: str) -> bool:
    """Whether a folder may be replaced: new, empty, or made here, as its own file says."""
    if not folder.exists() and not folder.is_symlink():
        return True
    if not folder.is_dir():
        return False
    if not any(folder.iterdir()):
        return True
    try:
        told = json.loads((folder / mark).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and "generator" in told


def _replace(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; the old one stays until the new one stands."""
    old: Any = target.with_name(f".{target.name}.old-{os.getpid()}")
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
