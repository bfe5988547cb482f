"""The specification curve of one outcome: from cells and the declared universe to a `Curve`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.cells import REST
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
from sos_analysis.workspace import cells_for, la_years, rest_cells_for

if TYPE_CHECKING:
    from sos_analysis.cells import Cells
    from sos_analysis.estimation.frames import Floats
    from sos_analysis.study import Study
    from sos_analysis.study.universe import Universe

_EFFECTS: Mapping[str, Effects] = {"none": "none", "authority": "cluster", "group": "slot"}
#: Choices that decide which rows there are and what they weigh.
_ROWS = ("comparators", "embedding", "window", "period", "weights")
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
    others: dict[str, Cells | None] = dict.fromkeys(found)
    if "england" in universe.answers["comparators"]:
        made = {d: rest_cells_for(study, chosen["extract"], outcome, d) for d in found}
        # Without a rest in one definition the curve goes without it, and says so.
        others = made if all(c is not None for c in made.values()) else others
    layouts = {
        definition: _layout(study, outcome, cells, las, others[definition])
        for definition, cells in found.items()
    }
    by_year = {
        definition: _authority_years(study, cells, layouts[definition], chosen)
        for definition, cells in found.items()
    }
    skipped: list[tuple[Mapping[str, str], str]] = []
    fixed = int(any(c is not None for c in others.values()))
    return curve(
        _specifications(study, layouts, by_year, universe, skipped),
        len(las) + fixed,
        draws=universe.draws,
        seed=seed,
        fixed=fixed,
        skipped=skipped,
    )


def _layout(
    study: Study, outcome: str, cells: Cells, las: tuple[str, ...], rest: Cells | None
) -> Layout:
    adjust = [c for c in study.outcome(outcome).model_covariates if c in cells.covariates]
    return layout(cells, study, outcome, las, adjust=adjust, rest=rest)


def _authority_years(
    study: Study, cells: Cells, made: Layout, chosen: Mapping[str, Any]
) -> tuple[int, Floats]:
    """First year, and standardised authority-year covariates (authorities x years x covariates).

    The rest of the country has the mean of its authorities, on the scale of the sample.
    """
    las = [la for la in made.las if la != REST]
    year = cells.intervals["year"].to_numpy()
    frame = cells.frame[["la", "n"]].assign(
        la=cells.frame["la"].astype(str), year=year[cells.frame["first"].to_numpy()]
    )
    counted = frame[frame["la"].isin(las)].groupby(["la", "year"])[["n"]].sum().reset_index()
    by_year = la_years(study, chosen["extract"])
    if made.rest:
        inside = {*las, *(pilot.la for pilot in study.pilots)}
        mean = by_year[~by_year["la"].isin(inside)].groupby("year").mean(numeric_only=True)
        by_year = pd.concat([by_year, mean.reset_index().assign(la=REST)], ignore_index=True)
        # No weight: the scale stays that of the sample.
        years = pd.DataFrame({"la": REST, "year": sorted(counted["year"].unique()), "n": 0})
        counted = pd.concat([counted, years], ignore_index=True)
    joined, names = with_la_years(counted, by_year)
    first = int(year.min())
    out = np.zeros((len(made.las), int(year.max()) - first + 1, len(names)))
    row = [made.las.index(la) for la in joined["la"]]
    out[row, joined["year"].to_numpy() - first] = joined[list(names)].to_numpy(float)
    return first, out


def _means(made: Layout) -> dict[str, Floats]:
    """Mean outcomes of every authority in every place, nothing left empty.

    The rest of the country stays out of the fit that fills the places of others.
    """
    total = np.stack(list(made.y.values()))
    filled = fill_places(total, made.n)
    if made.rest:
        filled[:, :-1] = fill_places(total[:, :-1], made.n[:-1])
    return dict(zip(made.y, filled, strict=True))


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
        key = tuple(way[c] for c in ("definition", *_ROWS))
        shared.setdefault(key, []).append(way)
    filled = {definition: _means(made) for definition, made in layouts.items()}
    for (definition, *answers), ways in shared.items():
        try:
            rows = variant(
                layouts[definition],
                study,
                **dict(zip(_ROWS, answers, strict=True)),
                first_year=universe.first_year,
                years_before=universe.years_before,
                years_after=universe.years_after,
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
