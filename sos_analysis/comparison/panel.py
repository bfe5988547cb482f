"""A panel of authorities by fiscal year, for estimators that know no matched groups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sos_analysis.cells import Cells
from sos_analysis.comparison.slots import adjustment
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    from datetime import date

    from sos_analysis.study import Study


def authority_years(
    cells: Cells, study: Study, outcome: str, *, adjust: Sequence[str] = ()
) -> pd.DataFrame:
    """Events and mean outcome by authority and fiscal year of the event.

    Parameters
    ----------
    adjust : covariates of the child whose linear part is taken off the outcome (see `slots`).

    Returns
    -------
    DataFrame sorted by `la` and `year`: `n`, `mean`, `cohort` (first fiscal year wholly after the
    end of embedding; 0 for comparators), `start` (the fiscal year in which a window could first
    reach into embedding; inf for comparators). Years from `start` to the one before `cohort` are
    neither before nor after. Authorities of the outcome's matched groups alone.
    """
    frame = cells.frame[cells.frame["la"].astype(str).isin(study.sample(outcome))]
    names = frame["la"].astype(str).to_numpy()
    las, la = np.unique(names, return_inverse=True)
    year = cells.intervals["year"].to_numpy()[frame["first"].to_numpy()].astype(np.int64)
    n, y = frame["n"].to_numpy(np.int64), frame["y_sum"].to_numpy(float)
    at, number = distinct([la, year])
    fitted, _ = adjustment(frame, adjust, number, n, y)
    count, total = (np.bincount(number, weights=v) for v in (n, y - n * fitted))
    window = timedelta(days=study.outcome(outcome).window_days)
    if study.outcome(outcome).pre_rule == "event_end":
        window = timedelta(0)  # the window is as long as the outcome itself
    cohort = {g.pilot: _fiscal(g.end) + 1 for g in study.groups(outcome)}
    start = {g.pilot: _fiscal(g.start - window) for g in study.groups(outcome)}
    who = las[la[at]]
    return pd.DataFrame(
        {
            "la": who,
            "year": year[at],
            "n": count,
            "mean": total / count,
            "cohort": [float(cohort.get(name, 0)) for name in who],
            "start": [float(start.get(name, np.inf)) for name in who],
        }
    )


def _fiscal(day: date) -> int:
    """Fiscal year of a day, by its end."""
    return day.year + (day.month >= 4)
