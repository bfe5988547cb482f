"""Outcomes that may be missing: bounds through a linear estimator, and weights for what is there.

The estimator is a weighted sum of outcomes, so its largest and smallest value over all ways in
which unrecorded outcomes may have happened follow without search (worst-case bounds after Manski
1990; interval for the bounded quantity as the union of the intervals at both ends, which is never
too short; Imbens and Manski 2004 narrow it). Weighting by the inverse of the chance of being
complete (Horvitz and Thompson 1952) needs the chance to depend on what is modelled alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.numbering import distinct

from .did import preferred_columns, preferred_grams, treated_mean
from .estimate import Interval
from .frames import CellTable, Floats, FrameError, cell_table, pair_codes
from .grams import crv3, fit
from .inference import t_test

if TYPE_CHECKING:
    import pandas as pd

NAN = float("nan")


@dataclass(frozen=True)
class Point:
    """An estimate of the preferred specification with CRV3 and t(treated clusters - 1)."""

    att: float
    se: float
    p: float
    ci: Interval
    baseline: float
    n_clusters: int
    n_treated_clusters: int
    rows: int


@dataclass(frozen=True)
class Bounds:
    """What missing outcomes could do to an estimate. Units: the outcome's own.

    Attributes
    ----------
    recorded, all_had : float
        The estimate if nothing is missing, and if every incomplete case without the outcome had it.
    low, high : float
        Smallest and largest estimate over every pattern of missing outcomes.
    ci : interval
        From the lower end of the interval at `low` to the upper end of the one at `high`.
    capped_low, capped_high : float
        The same where each cluster can miss no more than its budget; NaN without budgets.
    share_unsure : float
        Share of individuals (copies counted each time) whose outcome may be missing.
    """

    recorded: float
    all_had: float
    low: float
    high: float
    ci: Interval
    capped_low: float
    capped_high: float
    share_unsure: float


def point(
    frame: pd.DataFrame | CellTable,
    covariates: Sequence[str] = (),
    *,
    period: str = "event_time",
    level: float = 0.95,
) -> Point:
    """The preferred specification on any weights, with the cluster jackknife.

    Raises
    ------
    FrameError : missing columns or values, or an effect that is not identified.
    """
    return _point(cell_table(frame, covariates, period=period), level)


def _point(table: CellTable, level: float) -> Point:
    grams = preferred_grams(table)
    att, se = float(fit(grams).beta[0]), float(np.sqrt(crv3(grams)[0, 0]))
    m = len(table.treated_las)
    p, ci = t_test(att, se, m - 1, level)
    return Point(
        att, se, p, ci, treated_mean(table) - att, len(table.las), m, round(float(table.n.sum()))
    )


def outcome_weights(table: CellTable) -> Floats:
    """Weight of one more outcome in each row: the estimate is their sum times `y_sum`.

    By Frisch and Waugh, the exposure's residual after all other columns, times the regression
    weight, over its weighted sum of squares.
    """
    grams = preferred_grams(table)
    columns = preferred_columns(table)
    at = {name: j for j, name in enumerate(columns.names)}
    direction = np.zeros(len(at))
    direction[[at[str(name)] for name in grams.names]] = fit(grams).bread[:, 0]
    code, w = pair_codes(table.group, table.la), table.w
    along = columns.times(direction)
    means = np.bincount(code, w * along) / np.bincount(code, w)
    return np.asarray(table.weight * (along - means[code]))


def worst_case(
    frame: pd.DataFrame,
    covariates: Sequence[str] = (),
    *,
    origin: str,
    budgets: Mapping[str, float] | None = None,
    period: str = "event_time",
    level: float = 0.95,
) -> Bounds:
    """Bounds on the preferred estimate where recorded outcomes are right and others may be missing.

    Parameters
    ----------
    frame : DataFrame
        Cell rows of a 0/1 outcome, see `frames.cell_table`.
    origin : str
        Column that is '' where the outcome is complete, and otherwise names the individuals of the
        row; copies of them over groups carry the same name and are filled alike.
    budgets : mapping of cluster to the most outcomes it can miss, optional.

    Raises
    ------
    FrameError
        Copies of the same individuals differ in number, or as in `point`.
    """
    table = cell_table(frame, [*covariates, origin], period=period)
    levels, codes = table.categories[origin]
    model = {k: v for k, v in table.categories.items() if k != origin}
    table = replace(table, categories=model)
    unsure = np.array([bool(name) for name in levels])[codes]
    room = np.where(unsure, table.n - table.y_sum, 0.0)
    each = outcome_weights(table)
    recorded = float(each @ table.y_sum)
    # One entry for each set of individuals, whatever the number of its copies.
    first, key = distinct([table.la[unsure], codes[unsure]])
    size = room[unsure][first]
    if not np.allclose(size[key], room[unsure]):
        raise FrameError(f"rows with one {origin!r} differ in what is missing; mark cells uniquely")
    weight = np.bincount(key, each[unsure]).astype(float)
    la = table.la[unsure][first]

    def filled(share: Floats) -> CellTable:
        extra = np.zeros(len(room))
        extra[unsure] = (share * size)[key]
        return replace(table, y_sum=table.y_sum + extra)

    low, high = ((weight * sign > 0).astype(float) for sign in (-1, 1))
    ends = [_point(filled(share), level) for share in (low, high)]
    capped = (NAN, NAN)
    if budgets is not None:
        most = np.array([budgets[name] for name in table.las])
        capped = (
            recorded - _greedy(-weight, size, la, most),
            recorded + _greedy(weight, size, la, most),
        )
    total = float(table.n.sum())
    return Bounds(
        recorded=recorded,
        all_had=float(recorded + weight @ size),
        low=min(ends[0].att, recorded),  # rounding must not put what was recorded outside
        high=max(ends[1].att, recorded),
        ci=(ends[0].ci[0], ends[1].ci[1]),
        capped_low=capped[0],
        capped_high=capped[1],
        share_unsure=float(table.n[unsure].sum() / total),
    )


def _greedy(gain: Floats, size: Floats, cluster: Any, most: Floats) -> float:
    """Largest sum of gains with at most `size` of each entry and `most` of each cluster.

    Every unit costs one of the budget, so the best are taken first.
    """
    reached, left = 0.0, most.astype(float).copy()
    for i in np.argsort(-gain, kind="stable"):
        if gain[i] <= 0:
            break
        taken = min(size[i], left[cluster[i]])
        left[cluster[i]] -= taken
        reached += gain[i] * taken
    return float(reached)


def chance_of_complete(
    complete: Any, predictors: Mapping[str, Any], *, floor: float = 0.05
) -> tuple[Floats, str]:
    """Chance of each unit (an authority-year) to be complete, by a logit on what is known of it.

    Parameters
    ----------
    complete : booleans. predictors : numeric columns; scaled here.
    floor : smallest chance used, so that no unit weighs more than its inverse.

    Returns
    -------
    Chances, and '' or why there are none (then all are 1).
    """
    import statsmodels.api as sm

    y = np.asarray(complete, dtype=float)
    ones = np.ones(len(y))
    if y.all():
        return ones, "all are complete"
    if not y.any():
        return ones, "none is complete"
    columns = []
    for values in predictors.values():
        v = np.asarray(values, dtype=float)
        if v.std() > 0:
            columns.append((v - v.mean()) / v.std())
    x = np.column_stack([ones, *columns])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = sm.GLM(y, x, family=sm.families.Binomial()).fit(maxiter=50)
        except (np.linalg.LinAlgError, ValueError):
            return ones, "the chance of being complete could not be estimated"
    beta = np.asarray(result.params, dtype=float)
    # In units of a standard deviation a log odds ratio beyond this is separation.
    if not result.converged or not np.isfinite(beta).all() or np.abs(beta[1:]).max(initial=0) > 8:
        return ones, (
            "what is known of the returns separates complete from incomplete ones, so the chance "
            "of being complete cannot be estimated"
        )
    chance = np.asarray(result.fittedvalues, dtype=float)
    if not math.isfinite(chance.sum()):
        return ones, "the chance of being complete could not be estimated"
    return np.clip(chance, floor, 1.0), ""
