"""Cells split by whether the returns they rest on are complete enough.

An event's outcome is read from the returns of every fiscal year its window touches, so it counts
as complete only if each of those authority-years is. Whatever decides is constant in a cell: the
calendar is cut at 1 April.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.cells import Cells

#: Added to cells: which returns an event rests on, and which cell it came from.
LAST_YEAR, ORIGIN = "last_year", "origin"


def by_authority_year(judged: pd.DataFrame, column: str) -> dict[tuple[str, int], Any]:
    """One column of judged returns by (authority, fiscal year)."""
    keys = zip(judged["la"].astype(str), judged["year"].astype(int), strict=True)
    return dict(zip(keys, judged[column].tolist(), strict=True))


def years_of(cells: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fiscal years of the event and of the end of its window, by row of the cells' frame."""
    year = cells.intervals["year"].to_numpy(np.int64)
    return year[cells.frame["first"].to_numpy()], year[cells.frame["last"].to_numpy()]


def complete_cells(cells: Cells, judged: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each cell rests on complete returns alone.

    Parameters
    ----------
    judged : `la`, `year`, `complete`. A window that ends after its last year rests on what there
        is: whether such events stay is a matter of censoring.

    Raises
    ------
    ParameterError : an authority-year of an event is not judged.
    """
    status = by_authority_year(judged, "complete")
    latest = int(judged["year"].max())
    la = cells.frame["la"].astype(str).to_numpy()
    known = np.ones(len(la), dtype=bool)
    for year in years_of(cells):
        for i, key in enumerate(zip(la, np.minimum(year, latest).tolist(), strict=True)):
            if key not in status:
                raise ParameterError(
                    f"no judgement of the return of authority {key[0]} for the year ending March "
                    f"{key[1]}; judge the returns of every authority and year of the cells."
                )
            known[i] &= bool(status[key])
    return known


def complete_part(cells: Cells, judged: pd.DataFrame) -> Cells:
    """The cells that rest on complete returns, each with the last year it rests on."""
    keep = complete_cells(cells, judged)
    last = pd.Categorical(years_of(cells)[1].astype(str))
    frame = cells.frame.assign(**{LAST_YEAR: last})[keep].reset_index(drop=True)
    # Distinct counts of the whole are not those of a part: without them none can be shown.
    return replace(
        cells,
        frame=frame,
        margins=cells.margins.iloc[:0],
        covariates=(*cells.covariates, LAST_YEAR),
        meta={**cells.meta, "groups": ()},
    )


def with_origin(cells: Cells, judged: pd.DataFrame) -> Cells:
    """The cells, each incomplete one marked so that its copies in a sample can be told.

    Complete cells have the mark '', which leaves them as they were.
    """
    unsure = ~complete_cells(cells, judged)
    mark = np.where(unsure, np.arange(len(unsure)).astype(str), "")
    return replace(
        cells,
        frame=cells.frame.assign(**{ORIGIN: pd.Categorical(mark)}),
        covariates=(*cells.covariates, ORIGIN),
    )


def chances(
    frame: pd.DataFrame, chance: Mapping[tuple[str, int], float], latest: int
) -> NDArray[np.float64]:
    """Chance that all returns behind each row of a sample are complete, years independent."""
    out = np.ones(len(frame))
    la, year = frame["la"].astype(str).to_numpy(), frame["year"].to_numpy(np.int64)
    last = np.minimum(frame[LAST_YEAR].astype(str).to_numpy().astype(np.int64), latest)
    for i in range(len(out)):
        here = (la[i], int(year[i]))
        out[i] = chance[here]
        if last[i] != year[i]:
            out[i] *= chance[(la[i], int(last[i]))]
    return out
