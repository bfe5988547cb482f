"""Do effects differ between treated clusters? Groups of them, and a dose, with few clusters.

With one modifier z a treated cluster (0/1 for two groups, or a dose) the model is
y = fixed effects + tau D + s D z. Its slope s is the generalised least squares slope of the treated
clusters' own effects on z, weighted by their information; so one small set of numbers, effects and
information, serves the estimate and its test.

Two tests, declared in this order. *Label permutation*: which treated cluster has which value of z is
permuted, effects and information staying where they are. It asks only that z was dealt without
regard to the effects, so effects may differ for other reasons. *Slot permutation* of the
interaction, as in `permutation`, under one effect for all (estimated under the hypothesis, so it is
exact only up to that estimate). Both are studentised (Wu and Ding 2021; for a slope DiCiccio and
Romano 2017) and both give intervals by inversion.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .did import preferred_grams
from .estimate import Interval
from .frames import CellTable, Floats, FrameError, Ints, cell_table
from .grams import crv3, fit
from .inference import t_test
from .inversion import InferenceResult, Inversion, report
from .permutation import (
    Series,
    SlotDesign,
    arrangements,
    ri_t,
    slot_design,
    slot_inversion,
    slot_permutation,
)
from .power import mde

if TYPE_CHECKING:
    import pandas as pd

#: Fewest treated clusters of a group whose effect is given at all: with two, either is found from
#: the other. Three is a judgement.
FEWEST = 3


@dataclass(frozen=True)
class ClusterEffects:
    """Each treated cluster's own effect (m) and their joint information (m x m).

    ``(1'Sd) / (1'S1)`` is the pooled effect, S the information: the inverse of the effects' block
    of (X'WX)^-1, so covariates and shared comparison clusters are allowed for.
    """

    las: tuple[str, ...]
    effect: Floats
    information: Floats


@dataclass(frozen=True)
class GroupEffect:
    """The effect in one group of treated clusters. Units: the outcome's own.

    Attributes
    ----------
    label : str
    treated, clusters : int
        Treated clusters of the group, and all clusters its estimate compares.
    att, se_crv3 : float
        From one regression with all groups; CRV3 is NaN where leaving out a cluster loses it.
    test : InferenceResult
        Studentised permutation inside the group's own matched groups (a panel: its treated
        clusters and all never treated ones).
    p_crv3, ci_crv3
        Secondary: CRV3 with t(treated - 1).
    mde : float
        Minimum detectable effect at 80 % power.
    """

    label: str
    treated: int
    clusters: int
    att: float
    se_crv3: float
    test: InferenceResult
    p_crv3: float
    ci_crv3: Interval
    mde: float


@dataclass(frozen=True)
class Moderation:
    """How the effect changes with a modifier of the treated clusters, a unit of it.

    Attributes
    ----------
    estimate, se_crv3 : float
        Slope in the regression on cells; CRV3.
    labels : InferenceResult
        Primary: label permutation.
    slots : InferenceResult or None
        Secondary in matched designs: slot permutation of the interaction.
    treated : int
    mde : float
        Smallest slope found four times in five, from CRV3 and t(treated - 2).
    """

    estimate: float
    se_crv3: float
    labels: InferenceResult
    slots: InferenceResult | None
    treated: int
    mde: float


def cluster_effects(table: CellTable) -> ClusterEffects:
    """One effect a treated cluster, from one regression (preferred specification).

    Raises
    ------
    FrameError : no effect is identified.
    """
    las = table.treated_las
    own = [table.exposure * (table.la == table.las.index(la)) for la in las]
    grams = preferred_grams(table, effects=(las, np.stack(own, axis=1)))
    m = sum(name in las for name in grams.names)
    found = fit(grams)
    information = np.linalg.inv(found.bread[:m, :m])
    return ClusterEffects(tuple(map(str, grams.names[:m])), found.beta[:m], information)


def label_inversion(
    effects: ClusterEffects, z: Floats, *, draws: int, seed: int
) -> tuple[Inversion, float]:
    """Label permutation of the slope of effects on z at every hypothesised slope.

    With Z = [1, z], r the slope row of (Z'SZ)^-1 Z'S and e the residuals, the squared standard
    error is the sum of (r_i e_i)^2. Under slope s0 the effects less s0 z are permuted against z.

    Returns
    -------
    The inversion, and the smallest p-value it can give: the share of arrangements that are z again,
    up to origin and scale (two equal groups with their names exchanged give the same |t|).

    Raises
    ------
    FrameError : fewer than three clusters, or z does not vary or is not known for all.
    """
    m = len(z)
    if m != len(effects.las) or m < 3:
        raise FrameError(f"a modifier needs three or more treated clusters, one value each: {m}")
    if not np.isfinite(z).all() or np.ptp(z) == 0:
        raise FrameError("the modifier is missing for a treated cluster, or is the same for all")
    order, exact = _orders(z, draws, seed)
    seen = _slopes(effects.information, effects.effect, z, z[None, :])
    drawn = _slopes(effects.information, effects.effect, z, z[order])
    observed = tuple(float(part[0]) for part in seen)
    inversion = Inversion(*drawn, (observed[0], observed[1], observed[2], observed[3], observed[4]),
                          not exact)  # fmt: skip
    centred = z[order] - z.mean()
    alike = np.abs(centred @ (z - z.mean())) >= (1 - 1e-12) * np.sum((z - z.mean()) ** 2)
    count = int(np.count_nonzero(alike))
    smallest = count / len(order) if exact else (1 + count) / (1 + len(order))
    return inversion, smallest


def _orders(z: Floats, draws: int, seed: int) -> tuple[Ints, bool]:
    """Ways to deal the values of z: all distinct ones of two values where few enough."""
    m, high = len(z), int(np.count_nonzero(z == z.max()))
    if len(np.unique(z)) == 2 and math.comb(m, high) <= draws:
        highs, lows = np.flatnonzero(z == z.max()), np.flatnonzero(z != z.max())
        order = np.empty((math.comb(m, high), m), dtype=np.int64)
        for row, places in enumerate(itertools.combinations(range(m), high)):
            rest = [i for i in range(m) if i not in places]
            order[row, list(places)], order[row, rest] = highs, lows
        return order, True
    return arrangements(np.zeros(m, dtype=np.int64), draws, seed)


def _slopes(
    s: Floats, d: Floats, z: Floats, dealt: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Slope of d, slope of z, and their three cross-products of influences, a row of `dealt`."""
    ones = np.ones_like(dealt)
    zs, os = dealt @ s, ones @ s  # S is symmetric
    zz, oz, oo = (np.einsum("bi,bi->b", a, b) for a, b in ((zs, dealt), (os, dealt), (os, ones)))
    bottom = oo * zz - oz**2
    slope_row = (oo[:, None] * zs - oz[:, None] * os) / bottom[:, None]
    level_row = (zz[:, None] * os - oz[:, None] * zs) / bottom[:, None]
    slopes, influence = [], []
    for y in (d, z):
        slope, level = slope_row @ y, level_row @ y
        slopes.append(slope)
        influence.append(slope_row * (y[None, :] - level[:, None] - slope[:, None] * dealt))
    dot = "bi,bi->b"
    first, second = influence
    return (
        slopes[0],
        slopes[1],
        np.einsum(dot, first, first),
        np.einsum(dot, first, second),
        np.einsum(dot, second, second),
    )


def slot_interaction(
    design: SlotDesign, z: Mapping[str, float], *, draws: int, seed: int
) -> Inversion:
    """Slot permutation of the coefficient on treated x post x z at every hypothesised value.

    Under the hypothesis s0 every series loses (tau + s0 z) times its own exposure, tau being the
    effect estimated given s0: it is linear in s0, so five numbers a draw still suffice.
    """
    values = np.array([float(z.get(la, 0.0)) for la in design.las])
    own = design.treated * design.post
    base = _coefficient(design, own)
    rows = np.arange(len(design.role))

    def level(series: Floats) -> float:
        return float(base @ series[design.role, design.window][rows])

    dosed = design.exposure * values[:, None]
    unit = level(design.exposure)
    under = replace(
        design,
        y=design.y - level(design.y) / unit * design.exposure,
        exposure=dosed - level(dosed) / unit * design.exposure,
    )
    x = np.stack([own * values[design.role], own], axis=1)
    return slot_inversion(under, draws=draws, seed=seed, x=x)


def _coefficient(design: SlotDesign, x: Floats) -> Floats:
    """The linear map from slot-period outcomes to the coefficient on x."""
    effects = np.hstack(
        [
            (codes[:, None] == np.unique(codes)[None, :]).astype(float)
            for codes in (design.slot, design.group_period)
        ]
    )
    root = np.sqrt(design.weight)
    fitted = np.linalg.lstsq(effects * root[:, None], x * root, rcond=1e-10)[0]
    left = (x - effects @ fitted) * design.weight
    return np.asarray(left / (left @ x))


def moderation(
    frame: pd.DataFrame,
    z: Mapping[str, float],
    covariates: Sequence[str] = (),
    *,
    series: Series | None = None,
    period: str = "event_time",
    draws: int = 9999,
    seed: int,
    level: float = 0.95,
) -> Moderation:
    """The change of the effect with a modifier of the treated clusters, tested two ways.

    Parameters
    ----------
    frame : DataFrame
        Cell rows, see `frames.cell_table`.
    z : mapping of treated cluster to number
        0/1 for two groups (the estimate is then their difference), or a dose.
    series : Series, optional
        Of a matched design; without it only labels are permuted.

    Raises
    ------
    FrameError
        See `label_inversion` and `frames.cell_table`; or a treated cluster has no value.
    """
    table = cell_table(frame, covariates, period=period)
    effects = cluster_effects(table)
    lost = [la for la in effects.las if la not in z]
    if lost:
        raise FrameError(f"no value of the modifier for the treated cluster(s) {', '.join(lost)}")
    values = np.array([float(z[la]) for la in effects.las])
    inversion, smallest = label_inversion(effects, values, draws=draws, seed=seed)
    by_la = np.array([float(z.get(la, 0.0)) for la in table.las])[table.la]
    grams = preferred_grams(
        table,
        effects=(["slope", "effect"], np.stack([table.exposure * by_la, table.exposure], axis=1)),
    )
    se = float(np.sqrt(crv3(grams)[0, 0]))
    slots = None
    if series is not None:
        interaction = slot_interaction(slot_design(table, series), z, draws=draws, seed=seed)
        slots = report("slot permutation of the interaction", interaction, level=level)
    m = len(values)
    return Moderation(
        estimate=float(fit(grams).beta[0]),
        se_crv3=se,
        labels=report("label permutation", inversion, level=level, smallest_p=smallest),
        slots=slots,
        treated=m,
        mde=mde(se, m - 2).effect,
    )


def group_effects(
    frame: pd.DataFrame,
    labels: Mapping[str, str],
    covariates: Sequence[str] = (),
    *,
    series: Series | None = None,
    period: str = "event_time",
    draws: int = 9999,
    seed: int,
    level: float = 0.95,
) -> tuple[GroupEffect, ...]:
    """The effect in each group of treated clusters, by label, from one regression.

    Studentised permutation is primary in every group, as in matched designs at large. The
    restricted bootstrap is never given: with the few treated clusters of a group it hardly rejects
    (MacKinnon and Webb 2017). Groups with fewer than `FEWEST` treated clusters are left out.

    Parameters
    ----------
    labels : mapping of treated cluster to group
    series : Series, optional
        Of a matched design; without it adoption dates are permuted (`permutation.ri_t`).

    Raises
    ------
    FrameError
        A treated cluster has no label, or no group is large enough.
    """
    table = cell_table(frame, covariates, period=period)
    lost = [la for la in table.treated_las if la not in labels]
    if lost:
        raise FrameError(f"no group for the treated cluster(s) {', '.join(lost)}")
    members: dict[str, list[str]] = {}
    for la in table.treated_las:
        members.setdefault(labels[la], []).append(la)
    names = sorted(members)
    columns = [
        table.exposure * np.isin(np.array(table.las, dtype=object), members[name])[table.la]
        for name in names
    ]
    grams = preferred_grams(table, effects=(names, np.stack(columns, axis=1)))
    kept = [name for name in grams.names if name in members]
    beta, variance = fit(grams).beta, crv3(grams, len(kept))
    made = []
    for k, name in enumerate(kept):
        m = len(members[name])
        if m < FEWEST:
            continue
        # Only clusters, dates and weights enter the permutation; covariates are in the series.
        part = cell_table(_rows_of(frame, members[name], table), period=period)
        test = (
            ri_t(part, draws=draws, seed=seed, level=level)
            if series is None
            else slot_permutation(part, series, draws=draws, seed=seed, level=level)
        )
        se = float(np.sqrt(variance[k, k]))
        p, ci = t_test(float(beta[k]), se, m - 1, level)
        made.append(
            GroupEffect(name, m, len(part.las), float(beta[k]), se, test, p, ci,
                        mde(se, m - 1).effect)  # fmt: skip
        )
    if not made:
        raise FrameError(f"no group has {FEWEST} or more treated clusters")
    return tuple(made)


def _rows_of(frame: pd.DataFrame, las: Sequence[str], table: CellTable) -> pd.DataFrame:
    """Rows of a group of treated clusters: their matched groups, or they and the never treated."""
    if len(table.groups) > 1:
        treated = np.isin(np.array(table.las, dtype=object), las)[table.la] & (table.treated > 0)
        groups = [table.groups[g] for g in np.unique(table.group[treated])]
        return frame[frame["group"].astype(str).isin(groups)]
    others = [la for la in table.treated_las if la not in las]
    return frame[~frame["la"].astype(str).isin(others)]


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for their number by Holm's step-down rule; NaN stays and is not counted."""
    from statsmodels.stats.multitest import multipletests

    values = np.array(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = multipletests(values[known], method="holm")[1]
    return tuple(float(v) for v in values)
