"""Cells split by whether the returns they rest on are complete enough.

An event's outcome is read from the returns of every fiscal year its window touches, so it counts
as complete only if each of those authority-years is. Whatever decides is constant in a cell: the
calendar is cut at 1 April.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def known(key: tuple[str, int]) -> bool:
        if key not in status:
            raise ParameterError(
                f"no judgement of the return of authority {key[0]} for the year ending March "
                f"{key[1]}; judge the returns of every authority and year of the cells."
            )
        return bool(status[key])

    first, last = (
        _looked_up(cells.frame["la"], np.minimum(year, latest), known) for year in years_of(cells)
    )
    return first & last


def _looked_up(
    la: pd.Series, year: NDArray[np.int64], find: Callable[[tuple[str, int]], Any]
) -> NDArray[Any]:
    """What is known of each row's authority and year, asked once for each pair."""
    names = pd.Categorical(la.astype(str))
    number = names.codes.astype(np.int64) * (1 + int(year.max(initial=0))) + year
    _, one, place = np.unique(number, return_index=True, return_inverse=True)
    found = [find((str(names[i]), int(year[i]))) for i in one]
    return np.array(found, dtype=type(found[0]) if found else bool)[place]


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
    year = frame["year"].to_numpy(np.int64)
    last = np.minimum(frame[LAST_YEAR].astype(str).to_numpy().astype(np.int64), latest)
    first, end = (_looked_up(frame["la"], one, chance.__getitem__) for one in (year, last))
    return np.where(last == year, first, first * end)
