"""A made-up England in the shape of the NPD extract: no child and no authority in it is real.

`generate` writes 152 made-up authorities' children in need and looked after, 2008/09 to 2018/19,
calibrated to England's published totals and spread, with known effects planted in the pilots. The
truth is stored apart. Every authority has random streams of its own: its rows depend neither on
which others are written nor in what order.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records.synthetic_arrivals import expected_arrivals
from sos_analysis.records.synthetic_care import episodes, kinship_outcomes
from sos_analysis.records.synthetic_days import NEVER, day_number
from sos_analysis.records.synthetic_life import (
    END,
    NEED,
    NFA,
    Cases,
    Children,
    Effects,
    simulate,
)
from sos_analysis.records.synthetic_rates import (
    YEARS,
    Floats,
    Plan,
    authority_codes,
    draw_plan,
)
from sos_analysis.records.synthetic_tables import (
    RETURNS,
    YEARLY,
    Tables,
    constant,
    dates,
    file_name,
)
from sos_analysis.sources import code_hash, file_hash
from sos_analysis.study import Study

_LIFE, _CARE, _FACTS, _DIRT, _CONTEXT = 1, 2, 3, 4, 5
_CALIBRATION = ("england", "spread", "choices")
Progress = Callable[[str], None]


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
    out : folder of the extract; replaced as a whole once everything is written.
    truth_out : folder of the potential outcomes, never inside `out`.
    scale : share of England's number of cases, above 0; rates stay as they are.
    seed : same seed, same bytes; the study's own by default.
    authorities : codes to write, all by default.
    progress : called with one line at a time.
    dirt : plant the errors that real extracts have, at low rates.

    Returns
    -------
    Manifest : as stored in ``manifest.json``.

    Raises
    ------
    RecordsError, ParameterError : naming the parameter, what was found and what is allowed.
    """
    if study.synthetic is None or study.truth is None:
        raise RecordsError(
            f"study {study.id!r} has origin {study.origin!r}: only a study with origin 'synthetic' "
            "has made-up records. Read a real extract with open_extract instead."
        )
    if not 0 < scale <= 5:
        raise ParameterError(f"scale: found {scale!r}; expected a number above 0, at most 5.")
    out, truth_out = Path(out), Path(truth_out)
    if truth_out.resolve() == out.resolve() or out.resolve() in truth_out.resolve().parents:
        raise ParameterError(
            f"truth_out: found {truth_out}; the truth must lie outside the extract {out}."
        )
    chosen = _chosen(study, authorities)
    seed = study.synthetic.seed if seed is None else seed
    say = progress or (lambda line: None)
    say(f"rates of {study.synthetic.authorities} authorities")
    plan = draw_plan(study, seed)
    arrivals = expected_arrivals(plan, seed, scale)

    temporary = out.with_name(f".{out.name}.part-{os.getpid()}")
    truth_temporary = truth_out.with_name(f".{truth_out.name}.part-{os.getpid()}")
    try:
        for folder in (temporary, truth_temporary):
            folder.mkdir(parents=True, exist_ok=False)
        truth = _TruthRows()
        rows = _write_all(study, plan, arrivals, chosen, seed, dirt, temporary, truth, say)
        manifest = Manifest(
            schema="npd",
            study=study.id,
            study_hash=study.hash,
            seed=seed,
            scale=float(scale),
            authorities=chosen,
            generator=generator_hash(),
            rows=rows,
            files={p.name: file_hash(p) for p in sorted(temporary.glob("*.parquet"))},
        )
        (temporary / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
        truth.write(truth_temporary, study, manifest)
        _replace(truth_temporary, truth_out)
        _replace(temporary, out)
    finally:
        for folder in (temporary, truth_temporary):
            shutil.rmtree(folder, ignore_errors=True)
    say(f"{rows['referrals']:,} referrals of {len(chosen)} authorities written")
    return manifest


def generator_hash() -> str:
    """Hash of the generator's source and of the calibration it reads."""
    import hashlib

    from sos_analysis.records.synthetic_rates import CALIBRATION

    digest = hashlib.sha256(code_hash("records.synthetic").encode())
    for name in _CALIBRATION:
        digest.update((CALIBRATION / f"{name}.toml").read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _chosen(study: Study, authorities: Sequence[str] | None) -> tuple[str, ...]:
    assert study.synthetic is not None
    known = authority_codes(study.synthetic.authorities)
    if authorities is None:
        return known
    unknown = sorted(set(authorities) - set(known))
    if unknown or not authorities:
        raise ParameterError(
            f"authorities: found {unknown or list(authorities)}; expected codes from "
            f"{known[0]!r} to {known[-1]!r}."
        )
    return tuple(code for code in known if code in set(authorities))


def effects_of(study: Study, la: str) -> Effects:
    """The planted effects of one authority: none unless it is a pilot."""
    assert study.truth is not None
    for pilot in study.pilots:
        if pilot.la == la:
            start, end = day_number(pilot.embedding_start), day_number(pilot.embedding_end)
            return Effects(dict(study.truth.effects), start, end)
    return Effects()


def authority_records(
    study: Study, plan: Plan, arrivals: Floats, la: str, seed: int, dirt: bool = True
) -> tuple[Children, Cases, Tables]:
    """Children, cases and tables of one authority, from its own streams."""
    position = plan.codes.index(la)
    number = int(la)

    def stream(part: int) -> np.random.Generator:
        return np.random.default_rng([seed, number, part])

    effects = effects_of(study, la)
    children, cases = simulate(plan, position, arrivals[position], effects, stream(_LIFE))
    care = episodes(children, cases, stream(_CARE))
    tables = Tables(
        la,
        children,
        cases,
        care,
        plan.second_plan,
        stream(_FACTS),
        stream(_DIRT) if dirt else None,
    )
    return children, cases, tables


def _write_all(
    study: Study,
    plan: Plan,
    arrivals: Floats,
    chosen: tuple[str, ...],
    seed: int,
    dirt: bool,
    folder: Path,
    truth: _TruthRows,
    say: Progress,
) -> dict[str, int]:
    rows: dict[str, int] = {}
    names = {a.code: a.name for a in study.authorities}
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}

        def put(file: str, table: str, content: pa.Table) -> None:
            if file not in writers:
                plain = {"CIN_LAchildID_Anon", "CHILD_ID_ANON"}
                plain |= {"CIN_PupilMatchingRefAnonymous", "CLA_PupilMatchingRefAnonymous"}
                writers[file] = stack.enter_context(
                    pq.ParquetWriter(
                        folder / file,
                        content.schema,
                        compression="zstd",
                        compression_level=1,
                        use_dictionary=[c for c in content.column_names if c not in plain],
                        write_statistics=True,
                        store_schema=False,
                    )
                )
            writers[file].write_table(content, row_group_size=max(len(content), 1))
            rows[table] = rows.get(table, 0) + len(content)

        for done, la in enumerate(chosen, start=1):
            children, cases, tables = authority_records(study, plan, arrivals, la, seed, dirt)
            for table, years in YEARLY.items():
                for year in years:
                    put(file_name(table, year), table, getattr(tables, table)(year))
            put("cla_episodes.parquet", "cla_episodes", tables.cla_episodes())
            inside = cases.referral > day_number(date(RETURNS[0] - 1, 3, 31))
            rows["referrals"] = rows.get("referrals", 0) + int(inside.sum())
            truth.add(study, la, children, cases, tables)
            if done % 16 == 0 or done == len(chosen):
                say(f"{done} of {len(chosen)} authorities")
    _write_context(study, plan, chosen, names, seed, folder, rows)
    return rows


def _write_context(
    study: Study,
    plan: Plan,
    chosen: tuple[str, ...],
    names: Mapping[str, str],
    seed: int,
    folder: Path,
    rows: dict[str, int],
) -> None:
    """Names and yearly facts of the authorities."""
    label = [names.get(la, f"Made-up authority {la}") for la in chosen]
    pq.write_table(
        pa.table({"la": pa.array(chosen, pa.string()), "name": pa.array(label, pa.string())}),
        folder / "authorities.parquet",
    )
    parts = [_context(study, plan, la, seed) for la in chosen]
    table = pa.concat_tables(parts)
    pq.write_table(table, folder / "la_years.parquet")
    rows["authorities"], rows["la_years"] = len(chosen), len(table)


def _context(study: Study, plan: Plan, la: str, seed: int) -> pa.Table:
    """Made-up yearly facts of one authority: they drift slowly, as real ones do."""
    rng = np.random.default_rng([seed, int(la), _CONTEXT])
    years = np.array(RETURNS)
    n, keep = len(years), [YEARS.index(y) for y in RETURNS]
    population = plan.population[plan.codes.index(la)][keep]
    density = np.exp(6.6 + 1.3 * rng.standard_normal()) * population / population.mean()
    level = 17.0 * np.exp(0.35 * rng.standard_normal())
    drift = np.cumsum(0.3 * rng.standard_normal(n))
    primary = np.clip(level + drift - 0.25 * np.arange(n), 2, 55)
    secondary = np.clip(0.88 * level + 0.8 * drift - 0.2 * np.arange(n), 2, 50)
    reviews = np.clip(96 + 2.5 * rng.standard_normal() + 2.0 * rng.standard_normal(n), 60, 100)
    waves = next((p.waves for p in study.pilots if p.la == la), ())
    projects = np.zeros(n, dtype=np.int64)
    for begins, funded in ((2015, 1 in waves), (2018, 2 in waves)):
        other = not waves and rng.random() < 0.12
        projects += ((years >= begins) & (funded or other)).astype(np.int64)
    return pa.table(
        {
            "la": pa.array([la] * n, pa.string()),
            "year": pa.array(years.astype(np.int16)),
            "population_0_17": pa.array(population.astype(np.int32)),
            "population_density": pa.array(np.round(density, 1)),
            "fsm_primary": pa.array(np.round(primary, 1)),
            "fsm_secondary": pa.array(np.round(secondary, 1)),
            "innovation_projects": pa.array(projects.astype(np.int16)),
            "cpp_reviews_on_time": pa.array(np.round(reviews, 1)),
            "ofsted": pa.array(_ratings(study, la, years, rng).astype(np.int16)),
        }
    )


def _ratings(
    study: Study, la: str, years: np.ndarray[Any, Any], rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Rating at each year's end, 1 inadequate to 4 outstanding; the first is carried back."""
    scale = {"inadequate": 1, "requires improvement": 2, "good": 3, "outstanding": 4}
    random = [int(rng.choice([1, 2, 3, 4], p=[0.15, 0.45, 0.33, 0.07]))]
    for _ in years[1:]:
        new = rng.choice([1, 2, 3, 4], p=[0.15, 0.45, 0.33, 0.07])
        random.append(int(new) if rng.random() < 0.22 else random[-1])
    listed = {a.code: a for a in study.authorities}
    if la not in listed or not listed[la].ofsted:
        return np.array(random)
    first = listed[la].ofsted[0][1]
    found = [listed[la].ofsted_at(date(int(y), 3, 31)) or first for y in years]
    return np.array([scale[rating] for rating in found])


class _TruthRows:
    """Potential outcomes of the pilots' events after embedding, and the effects they imply."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []

    def add(self, study: Study, la: str, children: Children, cases: Cases, tables: Tables) -> None:
        """Potential outcomes of one authority; nothing unless it is a pilot."""
        assert study.truth is not None
        effects = effects_of(study, la)
        if effects.start >= NEVER:
            return
        care = kinship_outcomes(children, cases)
        for definition in ("original", "strict"):
            self._put(
                "kinship", definition, la, tables, cases.child[care["case"]], care["date"],
                care[f"{definition}_before"], care[f"{definition}_after"], effects,
            )  # fmt: skip
        for outcome, size in study.truth.effects.items():
            if outcome == "kinship" or not size:
                continue
            for definition in ("original", "strict"):
                found = _other_outcomes(cases, outcome, definition)
                if found is not None:
                    case, day, before, after = found
                    self._put(
                        outcome, definition, la, tables, cases.child[case], day, before, after,
                        effects,
                    )  # fmt: skip

    def _put(
        self, outcome: str, definition: str, la: str, tables: Tables, child: Any, day: Any,
        before: Any, after: Any, effects: Effects,
    ) -> None:  # fmt: skip
        keep = (day > effects.end) & (day <= END)
        n = int(keep.sum())
        self._tables.append(
            pa.table(
                {
                    "outcome": constant(outcome, n).cast(pa.string()),
                    "definition": constant(definition, n).cast(pa.string()),
                    "la": constant(la, n).cast(pa.string()),
                    "child_id": tables.child_id.take(pa.array(child[keep])),
                    "date": dates(day[keep]),
                    "y0": pa.array(before[keep].astype(np.int32)),
                    "y1": pa.array(after[keep].astype(np.int32)),
                    "treated": pa.array(np.ones(n, dtype=bool)),
                }
            )
        )

    def write(self, folder: Path, study: Study, manifest: Manifest) -> None:
        """Write the rows and their summary."""
        assert study.truth is not None
        table = pa.concat_tables(self._tables) if self._tables else _no_rows()
        pq.write_table(table, folder / "potential_outcomes.parquet", compression="zstd")
        effects: list[dict[str, Any]] = []
        outcome = np.asarray(table["outcome"].to_pylist())
        definition = np.asarray(table["definition"].to_pylist())
        la = np.asarray(table["la"].to_pylist())
        before, after = table["y0"].to_numpy(), table["y1"].to_numpy()
        for name in (o.name for o in study.outcomes):
            mine = {g.pilot for g in study.groups(name)}
            for which in ("original", "strict"):
                rows = (outcome == name) & (definition == which)
                sample = rows & np.isin(la, sorted(mine))
                planted = float(study.truth.effects.get(name, 0.0))
                effects.append(
                    {
                        "outcome": name,
                        "definition": which,
                        "planted": planted,
                        "att": _mean(after, before, sample, planted),
                        "att_all_pilots": _mean(after, before, rows, planted),
                        "events": int(sample.sum()),
                        "pilots": sorted(mine),
                    }
                )
        content = {
            "study": study.id,
            "study_hash": study.hash,
            "seed": manifest.seed,
            "scale": manifest.scale,
            "generator": manifest.generator,
            "estimand": "Mean of y1 - y0 over events of pilots after the end of embedding, each "
            "event once: the effect on the treated. `att` covers the pilots in the outcome's "
            "matched groups, `att_all_pilots` all pilots. Where nothing was planted both potential "
            "outcomes are the same and no rows are stored.",
            "effects": effects,
        }
        (folder / "truth.json").write_text(
            json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )


def _no_rows() -> pa.Table:
    return pa.table(
        {
            "outcome": pa.array([], pa.string()),
            "definition": pa.array([], pa.string()),
            "la": pa.array([], pa.string()),
            "child_id": pa.array([], pa.string()),
            "date": pa.array([], pa.date32()),
            "y0": pa.array([], pa.int32()),
            "y1": pa.array([], pa.int32()),
            "treated": pa.array([], pa.bool_()),
        }
    )


def _mean(after: Any, before: Any, rows: Any, planted: float) -> float | None:
    """Mean difference over `rows`; 0 where nothing was planted, None where nothing is known."""
    if rows.any():
        return float((after[rows] - before[rows]).mean())
    return None if planted else 0.0


def _other_outcomes(
    cases: Cases, outcome: str, definition: str
) -> tuple[Any, Any, Any, Any] | None:
    """Case, date and both potential outcomes of an outcome other than kinship."""
    if outcome == "duration":
        case = np.flatnonzero(cases.days_before >= 0)
        if definition == "original":
            case = case[(cases.days_before[case] <= 110) & (cases.days_after[case] <= 110)]
        return case, cases.assessed[case], cases.days_before[case], cases.days_after[case]
    if outcome == "icpc":
        case = np.flatnonzero(cases.kind == NEED)
        return case, cases.referral[case], cases.icpc_before[case], cases.icpc_after[case]
    if outcome in ("rereferral", "escalation"):
        wanted = cases.kind == NFA if definition == "strict" else cases.kind != NEED
        case = np.flatnonzero(wanted & (cases.returned_before >= 0))
        stated = (cases.kind[case] == NFA) & (cases.closed[case] >= NEVER)
        day = np.where(stated, cases.referral[case], cases.closed[case])
        if outcome == "rereferral":
            return case, day, cases.returned_before[case], cases.returned_after[case]
        following = np.minimum(case + 1, len(cases.child) - 1)
        same = (cases.child[following] == cases.child[case]) & (following > case)
        came = same & (cases.returned_after[case] == 1)
        before = np.where(came & (cases.escalated_before[following] == 1), 1, 0)
        after = np.where(came & (cases.escalated_after[following] == 1), 1, 0)
        return case, day, before, after
    return None


def _replace(new: Path, target: Path) -> None:
    """Put `new` in the place of `target`; the old one survives until the new one stands."""
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
