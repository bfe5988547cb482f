"""The specification curve of one outcome: from cells and the declared universe to a `Curve`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.chapters.fit import with_la_years
from sos_analysis.comparison.variants import Layout, layout, variant
from sos_analysis.errors import RecordsError
from sos_analysis.estimation.specifications import (
    Curve,
    Effects,
    Specification,
    curve,
    fill_places,
)
from sos_analysis.workspace import cells_for, la_years

if TYPE_CHECKING:
    from sos_analysis.cells import Cells
    from sos_analysis.study import Study
    from sos_analysis.study.universe import Universe

_EFFECTS: Mapping[str, Effects] = {"none": "none", "authority": "cluster", "group": "slot"}


def outcome_curve(
    study: Study, outcome: str, chosen: Mapping[str, Any], universe: Universe, *, seed: int
) -> Curve:
    """Every declared way to run one outcome, with its joint test.

    Raises
    ------
    RecordsError, FrameError : no way could be computed.
    """
    found = {
        definition: cells_for(study, chosen["extract"], outcome, definition)
        for definition in universe.answers["definition"]
    }
    present = set.intersection(*(set(c.frame["la"].astype(str)) for c in found.values()))
    las = tuple(sorted(present & set(study.sample(outcome))))
    layouts = {
        definition: _layout(study, outcome, cells, las, chosen)
        for definition, cells in found.items()
    }
    skipped: list[tuple[Mapping[str, str], str]] = []
    made = curve(
        _specifications(study, layouts, universe, skipped),
        len(las),
        draws=universe.draws,
        seed=seed,
        skipped=skipped,
    )
    return made


def _layout(
    study: Study, outcome: str, cells: Cells, las: tuple[str, ...], chosen: Mapping[str, Any]
) -> Layout:
    adjust = [c for c in study.outcome(outcome).model_covariates if c in cells.covariates]
    frame = cells.frame[["la", "n"]].assign(
        la=cells.frame["la"].astype(str),
        year=cells.intervals["year"].to_numpy()[cells.frame["first"].to_numpy()],
    )
    frame = frame[frame["la"].isin(las)].groupby(["la", "year"], as_index=False)["n"].sum()
    joined, names = with_la_years(frame, la_years(study, chosen["extract"]))
    by_year = joined[["la", "year", *names]]
    return layout(cells, study, outcome, las, adjust=adjust, by_year=by_year)


def _specifications(
    study: Study,
    layouts: Mapping[str, Layout],
    universe: Universe,
    skipped: list[tuple[Mapping[str, str], str]],
) -> Iterator[Specification]:
    """Ways that share rows together; what cannot be laid out is noted in `skipped`."""
    shared: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for way in universe.ways():
        key = tuple(
            way[c] for c in ("definition", "comparators", "embedding", "period", "weights")
        )
        shared.setdefault(key, []).append(way)
    filled = {
        definition: dict(
            zip(made.y, fill_places(np.stack(list(made.y.values())), made.n), strict=True)
        )
        for definition, made in layouts.items()
    }
    for (definition, comparators, embedding, period, weights), ways in shared.items():
        try:
            rows = variant(
                layouts[definition],
                study,
                comparators=comparators,
                embedding=embedding,
                period=period,
                weights=weights,
                first_year=universe.first_year,
                years_before=universe.years_before,
            )
        except RecordsError as problem:
            skipped += [(way, str(problem)) for way in ways]
            continue
        for effects in universe.answers["effects"]:
            these = [way for way in ways if way["effects"] == effects]
            series = np.stack([filled[definition][way["covariates"]] for way in these])
            yield Specification(these, rows, _EFFECTS[effects], series)
