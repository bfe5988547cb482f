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
from .frames import COLLINEAR, Floats, FrameError, cell_table, pair_codes
from .grams import Grams, crv3, fit
from .heterogeneity import recombined
from .inference import t_test
from .inversion import InferenceResult, Inversion, report
from .permutation import Series, SlotDesign, slot_design, slot_inversion
from .power import mde

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ExposureEstimate:
    """The effect of a full exposure. Units: the outcome's own.

    Attributes
    ----------
    strength : float
        What the shares were multiplied with; 0 is the usual estimate, which ignores them.
    att, se_crv3 : float
        Coefficient on exposure in the regression on cells; CRV3.
    test : InferenceResult or None
        Slot permutation, every series losing tau times its own exposure (matched designs).
    p_crv3, ci_crv3
        CRV3 with t(treated - 1).
    kept : float
        Share of a full effect that the usual estimate keeps if the model holds, so `kept * att` is
        what it predicts for the usual estimate.
    mde : float
        Minimum detectable effect at 80 % power.
    """

    strength: float
    att: float
    se_crv3: float
    test: InferenceResult | None
    p_crv3: float
    ci_crv3: Interval
    kept: float
    mde: float


@dataclass(frozen=True)
class UseEstimate:
    """The coefficient on comparison clusters' exposure when it has one of its own.

    The exposure model says that it equals the effect. `ci` by CRV3 with t(users - 1), `users` the
    clusters that have any; NaN where no group has comparison clusters that differ in it.
    """

    estimate: float
    ci: Interval
    users: int


def exposure_model(
    frame: pd.DataFrame,
    share: Mapping[str, float],
    covariates: Sequence[str] = (),
    *,
    strengths: Sequence[float] = (1.0,),
    series: Series | None = None,
    counts_from_year: int | None = None,
    period: str = "event_time",
    draws: int = 9999,
    seed: int,
    level: float = 0.95,
) -> tuple[tuple[ExposureEstimate, ...], UseEstimate]:
    """The preferred specification with exposure in the place of treated x post.

    Parameters
    ----------
    frame : DataFrame
        Cell rows, see `frames.cell_table`.
    share : mapping of comparison cluster to number from 0 to 1
        Its exposure where it counts; 0 for those left out.
    strengths : sequence of float
        What to multiply all shares with, from 0 to 1: an estimate for each.
    series : Series, optional
        Of a matched design, for the slot permutation.
    counts_from_year : int, optional
        First (fiscal) year in which comparison clusters are exposed; by default they are from the
        adoption of the group they serve in. In whole years: a period that straddles it counts by
        its individuals.

    Raises
    ------
    FrameError
        A share or strength outside 0 to 1, or an exposure that is the same for treated and
        comparison clusters in every group, so that no effect is identified.
    """
    for what, value in [*share.items(), *(("all, strength", s) for s in strengths)]:
        if not 0 <= value <= 1:
            raise FrameError(f"the exposure of {what} is {value}; it must lie between 0 and 1")
    table = cell_table(frame, covariates, period=period)
    by_la = np.array([float(share.get(la, 0.0)) for la in table.las])
    when = table.post
    if counts_from_year is not None:
        when = (table.year >= counts_from_year).astype(np.float64)
    used = (1 - table.treated) * by_la[table.la] * when
    users, m = len(np.unique(table.la[used > 0])), len(table.treated_las)
    grams = preferred_grams(
        table, effects=(["effect", "use"], np.stack([table.exposure, used], axis=1))
    )
    if grams.names[:2] == ("effect", "use"):
        total = grams.xx.sum(axis=0)
        others = np.r_[0, 2 : len(total)]
        hidden = float(np.linalg.solve(total[np.ix_(others, others)], total[others, 1])[0])
        use = _use(grams, users, level)
    else:
        # Use is treated x post again, but for its size (the same in every group), or absent.
        of_use = replace(table, y_sum=used * table.n)
        hidden = float(fit(preferred_grams(of_use)).beta[0])
        use = UseEstimate(float("nan"), (float("nan"), float("nan")), users)
    design = None if series is None else slot_design(table, series)
    # The part of each group and period that counts, by its individuals, whoever they are.
    number = pair_codes(table.group, table.period)
    counts = np.bincount(number, table.n * when) / np.bincount(number, table.n)
    made = []
    for strength in strengths:
        kept = 1 + strength * hidden
        if kept < COLLINEAR:
            raise FrameError(
                "treated and comparison clusters are exposed alike in every group, so no effect is "
                "identified; count less of the comparison clusters' use, or leave some out"
            )
        att, se = _on_exposure(grams, strength, kept)
        p, ci = t_test(att, se, m - 1, level)
        test = None
        if design is not None:
            inversion = _permuted(design, strength * by_la, counts, draws=draws, seed=seed)
            test = report("slot permutation", inversion, level=level)
        made.append(ExposureEstimate(strength, att, se, test, p, ci, kept, mde(se, m - 1).effect))
    return tuple(made), use


def _on_exposure(grams: Grams, strength: float, kept: float) -> tuple[float, float]:
    """Coefficient on treated x post + strength x use, and its CRV3 standard error."""
    if grams.names[:2] == ("effect", "use"):
        turned = recombined(grams, np.array([[1.0], [strength]]), ("exposure",))
        return float(fit(turned).beta[0]), float(np.sqrt(crv3(turned)[0, 0]))
    return float(fit(grams).beta[0]) / kept, float(np.sqrt(crv3(grams)[0, 0])) / kept


def _use(grams: Grams, users: int, level: float) -> UseEstimate:
    use, se = float(fit(grams).beta[1]), float(np.sqrt(crv3(grams, 2)[1, 1]))
    return UseEstimate(use, t_test(use, se, users - 1, level)[1], users)


def _permuted(
    design: SlotDesign, by_role: Floats, counts: Floats, *, draws: int, seed: int
) -> Inversion:
    """Slot permutation of the coefficient on exposure.

    Parameters
    ----------
    by_role : array, R
        Share of each role's cluster.
    counts : array
        Part of each group and period in which shares count, in the design's numbering.
    """
    rows = counts[design.group_period]
    window = np.zeros(design.y.shape[1])
    window[design.window] = rows
    x = design.treated * design.post + (1 - design.treated) * by_role[design.role] * rows
    under = replace(design, exposure=design.exposure + by_role[:, None] * window[None, :])
    return slot_inversion(under, draws=draws, seed=seed, x=x[:, None])
