"""Specification curves kept beside the cells, so that the pages that show one compute it once.

A curve is named by what it rests on, as cells are: a stale one is never read. JSON keeps every
digit of a number, so a curve read back is the curve computed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sos_analysis.chapters.curve import outcome_curve
from sos_analysis.errors import RecordsError
from sos_analysis.estimation.frames import FrameError
from sos_analysis.estimation.specifications import Curve, JointTest
from sos_analysis.sources import code_hash, digest
from sos_analysis.study import Study, load_study
from sos_analysis.study.universe import CHOICES, Universe, load_universe
from sos_analysis.workspace import CELLS, extract_folder, extract_hash

#: Outcomes whose curves are shown, in the order of the chapters.
OUTCOMES = ("duration", "rereferral", "escalation", "kinship", "icpc")
#: Curves of other studies, records and code that are kept; one has about 1 MB.
_MOST = 40
_ARRAYS = ("estimate", "se", "low", "high", "p")
_TESTS = ("median", "share", "mean_t")


def curve_path(
    study: Study, outcome: str, extract: str | Path | None, universe: Universe, seed: int
) -> Path:
    """File of a curve, named by study, records, declared ways, code and seed."""
    key = digest(
        {
            "study": study.hash,
            "universe": universe.hash,
            "extract": extract_hash(extract_folder(study, extract)),
            "code": code_hash("chapters.kept_curve"),
            "seed": str(seed),
        }
    )
    return CELLS / study.id / f"curve-{outcome}-{key[:16]}.json"


def kept_curve(
    study: Study, outcome: str, extract: str | Path | None, universe: Universe, *, seed: int
) -> Curve:
    """Every declared way to run one outcome, from the store or from its cells.

    Raises
    ------
    RecordsError, FrameError : no way could be computed.
    """
    path = curve_path(study, outcome, extract, universe, seed)
    if path.is_file():
        return _read(path)
    made = outcome_curve(study, outcome, {"extract": extract}, universe, seed=seed)
    _write(made, path)
    return made


def keep_curves(
    study_id: str,
    extract: str,
    outcomes: Sequence[str] = OUTCOMES,
    *,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Make what is missing of a study's curves; gives their files.

    An outcome without a curve is left out: whoever needs it computes it, and says what is wrong.
    """
    study, universe = load_study(study_id), load_universe()
    seed = study.inference.seed
    made = []
    for number, outcome in enumerate(outcomes, 1):
        if progress:
            progress(f"{outcome} ({number} of {len(outcomes)})")
        with contextlib.suppress(RecordsError, FrameError):
            kept_curve(study, outcome, extract, universe, seed=seed)
            made.append(curve_path(study, outcome, extract, universe, seed))
    _forget_old(set(made))
    return made


def _forget_old(kept: set[Path]) -> None:
    for store in {path.parent for path in kept}:
        others = [path for path in store.glob("curve-*.json") if path not in kept]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[_MOST:]:
            path.unlink(missing_ok=True)


def _write(curve: Curve, path: Path) -> None:
    held: dict[str, Any] = {
        "ways": [_answers(way) for way in curve.ways],
        "skipped": [[_answers(way), reason] for way, reason in curve.skipped],
        **{name: getattr(curve, name).tolist() for name in (*_ARRAYS, "clusters")},
        **{name: [getattr(curve, name).value, getattr(curve, name).p] for name in _TESTS},
        "draws": curve.draws,
        "exact": bool(curve.exact),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(held), encoding="utf-8")
    os.replace(scratch, path)


def _read(path: Path) -> Curve:
    held: dict[str, Any] = json.loads(path.read_text("utf-8"))
    held["ways"] = tuple(_way(answers) for answers in held["ways"])
    held["skipped"] = tuple((_way(answers), reason) for answers, reason in held["skipped"])
    held |= {name: np.array(held[name], dtype=float) for name in _ARRAYS}
    held["clusters"] = np.array(held["clusters"], dtype=np.int64)
    held |= {name: JointTest(*held[name]) for name in _TESTS}
    return Curve(**held)


def _answers(way: Mapping[str, str]) -> list[str]:
    return [way[choice] for choice in CHOICES]


def _way(answers: Sequence[str]) -> dict[str, str]:
    return dict(zip(CHOICES, answers, strict=True))
