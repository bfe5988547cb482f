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
    from sos_analysis.estimation.frames import Floats
    from sos_analysis.study import Study
    from sos_analysis.study.universe import Universe

_EFFECTS: Mapping[str, Effects] = {"none": "none", "authority": "cluster", "group": "slot"}
#: Outcome series behind each answer; authority-year covariates are regressors, the child's are
#: taken off the outcome beforehand.
_SERIES = {"none": "none", "child": "child", "child_authority": "child"}


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
        definition: _layout(study, outcome, cells, las) for definition, cells in found.items()
    }
    by_year = {
        definition: _authority_years(study, cells, las, chosen)
        for definition, cells in found.items()
    }
    skipped: list[tuple[Mapping[str, str], str]] = []
    made = curve(
        _specifications(study, layouts, by_year, universe, skipped),
        len(las),
        draws=universe.draws,
        seed=seed,
        skipped=skipped,
    )
    return made


def _layout(study: Study, outcome: str, cells: Cells, las: tuple[str, ...]) -> Layout:
    adjust = [c for c in study.outcome(outcome).model_covariates if c in cells.covariates]
    return layout(cells, study, outcome, las, adjust=adjust)


def _authority_years(
    study: Study, cells: Cells, las: tuple[str, ...], chosen: Mapping[str, Any]
) -> tuple[int, Floats]:
    """First year, and standardised authority-year covariates (authorities x years x covariates)."""
    year = cells.intervals["year"].to_numpy()
    frame = cells.frame[["la", "n"]].assign(
        la=cells.frame["la"].astype(str), year=year[cells.frame["first"].to_numpy()]
    )
    here = frame[frame["la"].isin(las)]
    counted = here.groupby(["la", "year"])[["n"]].sum().reset_index()
    joined, names = with_la_years(counted, la_years(study, chosen["extract"]))
    first = int(year.min())
    out = np.zeros((len(las), int(year.max()) - first + 1, len(names)))
    row = [las.index(la) for la in joined["la"]]
    out[row, joined["year"].to_numpy() - first] = joined[list(names)].to_numpy(float)
    return first, out


def _specifications(
    study: Study,
    layouts: Mapping[str, Layout],
    by_year: Mapping[str, tuple[int, Floats]],
    universe: Universe,
    skipped: list[tuple[Mapping[str, str], str]],
) -> Iterator[Specification]:
    """Ways that share rows together; what cannot be laid out is noted in `skipped`."""
    shared: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for way in universe.ways():
        key = tuple(way[c] for c in ("definition", "comparators", "embedding", "period", "weights"))
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
                fewest_groups=universe.fewest_groups,
            )
        except RecordsError as problem:
            skipped += [(way, str(problem)) for way in ways]
            continue
        first, z = by_year[definition]
        extra = z[rows.role, rows.year - first]
        for effects in universe.answers["effects"]:
            for with_authority in (False, True):
                these = [
                    way
                    for way in ways
                    if way["effects"] == effects
                    and (way["covariates"] == "child_authority") == with_authority
                ]
                if not these:
                    continue
                series = np.stack([filled[definition][_SERIES[w["covariates"]]] for w in these])
                yield Specification(
                    these, rows, _EFFECTS[effects], series, extra if with_authority else None
                )
