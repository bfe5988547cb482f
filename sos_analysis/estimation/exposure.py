"""Comparison clusters that are partly treated: what it does to the estimate, and taking it out.

A comparison cluster that does part of what treated ones do moves with them, so the difference
between them shrinks. If exposure E (1 in treated clusters after adoption, a share in comparison
clusters that use something like it) acts alike everywhere, then y = fixed effects + tau E + error,
and the usual estimate tends to tau times the coefficient of treated x post in a regression of E on
it: a number known beforehand (the omitted-variable formula with E in the place of the outcome).
Where comparison clusters of one group differ in E the assumption itself can be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .did import preferred_grams
from .estimate import Interval
from .frames import CellTable, Floats, FrameError, cell_table
from .grams import crv3, fit
from .inference import t_test
from .inversion import InferenceResult, report
from .permutation import Series, slot_design, slot_inversion
from .power import mde

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ExposureEstimate:
    """The effect of a full exposure. Units: the outcome's own.

    Attributes
    ----------
    att, se_crv3 : float
        Coefficient on exposure in the regression on cells; CRV3.
    test : InferenceResult or None
        Slot permutation, every series losing tau times its own exposure (matched designs).
    p_crv3, ci_crv3
        CRV3 with t(treated - 1).
    naive : float
        Coefficient on treated x post in the same rows.
    kept : float
        Share of a full effect that `naive` keeps if the model holds; so `kept * att` is what it
        predicts for `naive`.
    use, use_ci, users
        Coefficient on the comparison clusters' exposure when it has one of its own (the model says
        it equals `att`), its interval by CRV3 with t(users - 1), and the clusters that have any.
        NaN where no group has comparison clusters with different exposure.
    mde : float
    """

    att: float
    se_crv3: float
    test: InferenceResult | None
    p_crv3: float
    ci_crv3: Interval
    naive: float
    kept: float
    use: float
    use_ci: Interval
    users: int
    mde: float


def exposure_model(
    frame: pd.DataFrame,
    share: Mapping[str, float],
    covariates: Sequence[str] = (),
    *,
    series: Series | None = None,
    counts_from_year: int | None = None,
    period: str = "event_time",
    draws: int = 9999,
    seed: int,
    level: float = 0.95,
) -> ExposureEstimate:
    """The preferred specification with exposure in the place of treated x post.

    Parameters
    ----------
    frame : DataFrame
        Cell rows, see `frames.cell_table`.
    share : mapping of comparison cluster to number from 0 to 1
        Its exposure where it counts; 0 for those left out.
    series : Series, optional
        Of a matched design, for the slot permutation.
    counts_from_year : int, optional
        First (fiscal) year in which comparison clusters are exposed; by default they are from the
        adoption of the group they serve in. In whole years: a period that straddles it counts by
        its individuals.

    Raises
    ------
    FrameError
        A share outside 0 to 1, or an exposure that is the same for treated and comparison clusters
        in every group, so that no effect is identified.
    """
    table = cell_table(frame, covariates, period=period)
    wrong = {la: s for la, s in share.items() if not 0 <= s <= 1}
    if wrong:
        la, value = next(iter(wrong.items()))
        raise FrameError(f"the exposure of cluster {la!r} is {value}; it must lie between 0 and 1")
    by_la = np.array([float(share.get(la, 0.0)) for la in table.las])
    when = table.post if counts_from_year is None else (table.year >= counts_from_year) * 1.0
    used = (1 - table.treated) * by_la[table.la] * when
    exposed = table.exposure + used
    grams = preferred_grams(table, effects=(["exposure"], exposed[:, None]))
    att, se = float(fit(grams).beta[0]), float(np.sqrt(crv3(grams)[0, 0]))
    m = len({table.las[i] for i in np.unique(table.la[table.exposure > 0])})
    p, ci = t_test(att, se, m - 1, level)
    users = len(np.unique(table.la[used > 0]))
    use, use_ci = _own_coefficient(table, used, users, level)
    test = None
    if series is not None:
        test = _permuted(table, series, share, when, draws=draws, seed=seed, level=level)
    of_exposure = replace(table, y_sum=exposed * table.n)
    return ExposureEstimate(
        att=att,
        se_crv3=se,
        test=test,
        p_crv3=p,
        ci_crv3=ci,
        naive=float(fit(preferred_grams(table)).beta[0]),
        kept=float(fit(preferred_grams(of_exposure)).beta[0]),
        use=use,
        use_ci=use_ci,
        users=users,
        mde=mde(se, m - 1).effect,
    )


def _own_coefficient(
    table: CellTable, used: Floats, users: int, level: float
) -> tuple[float, Interval]:
    unknown = float("nan"), (float("nan"), float("nan"))
    if users < 2:
        return unknown
    columns = np.stack([table.exposure, used], axis=1)
    grams = preferred_grams(table, effects=(["effect", "use"], columns))
    if tuple(grams.names[:2]) != ("effect", "use"):
        return unknown
    use, se = float(fit(grams).beta[1]), float(np.sqrt(crv3(grams, 2)[1, 1]))
    return use, t_test(use, se, users - 1, level)[1]


def _permuted(
    table: CellTable,
    series: Series,
    share: Mapping[str, float],
    when: Floats,
    *,
    draws: int,
    seed: int,
    level: float,
) -> InferenceResult:
    """Slot permutation of the coefficient on exposure."""
    design = slot_design(table, series)
    by_role = np.array([float(share.get(la, 0.0)) for la in design.las])
    # The part of each group and period that counts, by its individuals, whoever they are.
    keys = np.stack([table.group, table.period], axis=1)
    number = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    part = np.bincount(number, table.n * when) / np.bincount(number, table.n)
    rows = part[design.group_period]
    window = np.zeros(design.y.shape[1])
    window[design.window] = rows
    x = design.treated * design.post + (1 - design.treated) * by_role[design.role] * rows
    under = replace(design, exposure=design.exposure + by_role[:, None] * window[None, :])
    inversion = slot_inversion(under, draws=draws, seed=seed, x=x[:, None])
    return report("slot permutation", inversion, level=level)
