"""Do effects differ between treated clusters? Groups of them, and a dose, with few clusters.

With one modifier z a treated cluster (0/1 for two groups, or a dose) the model is
y = fixed effects + tau D + s D z. Its slope s is the generalised least squares slope of the treated
clusters' own effects on z, weighted by their information; so one small set of numbers, effects and
information, serves the estimate and its test.

Two tests, declared in this order. *Label permutation*: which treated cluster has which value of z
is permuted, effects and information staying where they are. It asks only that z was dealt without
regard to the effects, so effects may differ for other reasons. *Slot permutation* of the
interaction, as in `permutation`, under one effect for all (estimated under the hypothesis, so it
is exact only up to that estimate). Both are studentised (Wu and Ding 2021; for a slope DiCiccio and
Romano 2017) and both give intervals by inversion.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .assignment import ri_t
from .did import preferred_grams
from .estimate import Interval
from .frames import CellTable, Floats, FrameError, Ints, cell_table
from .grams import Grams, crv3, fit
from .inference import t_test
from .inversion import InferenceResult, Inversion, report
from .permutation import (
    Series,
    SlotDesign,
    arrangements,
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
class TreatedEffects:
    """Each treated cluster's own effect (m), and what everything here follows from.

    Attributes
    ----------
    table : CellTable
    las : tuple of str
    effect : array, m
    information : array, m x m
        ``(1'Sd) / (1'S1)`` is the pooled effect of effects d: S is the inverse of their block of
        (X'WX)^-1, so covariates and shared comparison clusters are allowed for.
    grams : Grams
        One column for each treated cluster's exposure, then the others.
    """

    table: CellTable
    las: tuple[str, ...]
    effect: Floats
    information: Floats
    grams: Grams

    def combined(self, z: Floats, names: Sequence[str]) -> Grams:
        """Grams of exposure times each column of z (m x q) in the place of the m columns."""
        return recombined(self.grams, np.asarray(z, dtype=float), names)


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


def treated_effects(
    frame: pd.DataFrame, covariates: Sequence[str] = (), *, period: str = "event_time"
) -> TreatedEffects:
    """One effect a treated cluster, from one regression (preferred specification).

    Parameters
    ----------
    frame : DataFrame
        Cell rows, see `frames.cell_table`: matched groups, or a panel of one group.

    Raises
    ------
    FrameError : no effect is identified, or the rows cannot be used.
    """
    table = cell_table(frame, covariates, period=period)
    las = table.treated_las
    own = [table.exposure * (table.la == table.las.index(la)) for la in las]
    grams = preferred_grams(table, effects=(las, np.stack(own, axis=1)))
    m = sum(name in las for name in grams.names)
    found = fit(grams)
    information = np.asarray(np.linalg.inv(found.bread[:m, :m]), dtype=np.float64)
    return TreatedEffects(table, tuple(map(str, grams.names[:m])), found.beta[:m], information,
                          grams)  # fmt: skip


def recombined(grams: Grams, z: Floats, names: Sequence[str]) -> Grams:
    """Grams in which the first columns are replaced by linear combinations of them.

    Parameters
    ----------
    z : array, m x q
        The first m columns X become X z; the others stay.
    """
    m, k = z.shape[0], grams.xx.shape[1]
    turn = np.zeros((k, z.shape[1] + k - m))
    turn[:m, : z.shape[1]] = z
    turn[m:, z.shape[1] :] = np.eye(k - m)
    return replace(
        grams,
        names=(*names, *grams.names[m:]),
        xx=np.asarray(turn.T @ grams.xx @ turn),
        xy=np.asarray(grams.xy @ turn),
    )


def label_inversion(
    effects: TreatedEffects, z: Floats, *, draws: int, seed: int
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


def slope(effects: TreatedEffects, z: Mapping[str, float], without: Sequence[str] = ()) -> float:
    """Generalised least squares slope of effects on z, some treated clusters left out.

    With none left out it is the regression's. With some it is that of the regression without their
    matched groups, up to what covariates and shared weights carry over; NaN where z no longer
    varies.
    """
    kept = [i for i, la in enumerate(effects.las) if la not in without]
    values = np.array([float(z[effects.las[i]]) for i in kept])
    if len(kept) < 2 or np.ptp(values) == 0:
        return float("nan")
    x = np.stack([np.ones(len(kept)), values], axis=1)
    part = x.T @ effects.information[np.ix_(kept, kept)]
    return float(np.linalg.solve(part @ x, part @ effects.effect[kept])[1])


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
    # CRV1: with one authority's role left out a slope over so few pilots can be lost.
    return slot_inversion(under, draws=draws, seed=seed, studentise="crv1", x=x)


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
    effects: TreatedEffects,
    z: Mapping[str, float],
    *,
    series: Series | None = None,
    draws: int = 9999,
    seed: int,
    level: float = 0.95,
) -> Moderation:
    """The change of the effect with a modifier of the treated clusters, tested two ways.

    Parameters
    ----------
    z : mapping of treated cluster to number
        0/1 for two groups (the estimate is then their difference), or a dose.
    series : Series, optional
        Of a matched design; without it only labels are permuted.

    Raises
    ------
    FrameError
        See `label_inversion`; or a treated cluster has no value.
    """
    values = np.array([float(v) for v in _values(effects.las, z, "value of the modifier")])
    inversion, smallest = label_inversion(effects, values, draws=draws, seed=seed)
    both = np.stack([values, np.ones(len(values))], axis=1)
    grams = effects.combined(both, ("slope", "effect"))
    se = float(np.sqrt(crv3(grams)[0, 0]))
    slots = None
    if series is not None:
        design = slot_design(effects.table, series)
        interaction = slot_interaction(design, z, draws=draws, seed=seed)
        slots = report("slot permutation of the interaction", interaction, level=level)
    return Moderation(
        estimate=float(fit(grams).beta[0]),
        se_crv3=se,
        labels=report("label permutation", inversion, level=level, smallest_p=smallest),
        slots=slots,
        treated=len(values),
        mde=mde(se, len(values) - 2).effect,
    )


def group_effects(
    effects: TreatedEffects,
    labels: Mapping[str, str],
    *,
    series: Series | None = None,
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
    own = np.array(_values(effects.las, labels, "group"), dtype=object)
    names = sorted({str(name) for name in own})
    grams = effects.combined((own[:, None] == np.array(names, dtype=object)[None, :]) * 1.0, names)
    beta, variance = fit(grams).beta, crv3(grams, len(names))
    made = []
    for k, name in enumerate(names):
        members = [la for la, label in zip(effects.las, own, strict=True) if label == name]
        m = len(members)
        if m < FEWEST:
            continue
        part = _part(effects.table, members)
        test = (
            ri_t(part, draws=draws, seed=seed, level=level)
            if series is None
            else slot_permutation(part, series, draws=draws, seed=seed, level=level)
        )
        se = float(np.sqrt(variance[k, k]))
        p, ci = t_test(float(beta[k]), se, m - 1, level)
        least = mde(se, m - 1).effect
        made.append(GroupEffect(name, m, len(part.las), float(beta[k]), se, test, p, ci, least))
    if not made:
        raise FrameError(f"no group has {FEWEST} or more treated clusters")
    return tuple(made)


def _values(las: Sequence[str], known: Mapping[str, Any], what: str) -> list[Any]:
    lost = [la for la in las if la not in known]
    if lost:
        raise FrameError(f"no {what} for the treated cluster(s) {', '.join(lost)}")
    return [known[la] for la in las]


def _part(table: CellTable, members: Sequence[str]) -> CellTable:
    """Rows of some treated clusters: their matched groups, or they and the never treated.

    Covariates are left behind where the series already hold them (matched groups).
    """
    mine = np.isin(np.array(table.las, dtype=object), members)[table.la]
    matched = len(table.groups) > 1
    if matched:
        rows = np.isin(table.group, np.unique(table.group[mine & (table.treated > 0)]))
    else:
        rows = mine | ~np.isin(np.array(table.las, dtype=object), table.treated_las)[table.la]
    cut = {
        name: getattr(table, name)[rows]
        for name in ("period", "year", "treated", "post", "n", "y_sum", "y_sq", "weight", "copies")
    }
    la, group = (np.unique(codes[rows], return_inverse=True) for codes in (table.la, table.group))
    return CellTable(
        las=tuple(table.las[i] for i in la[0]),
        groups=tuple(table.groups[i] for i in group[0]),
        la=la[1].astype(np.int64),
        group=group[1].astype(np.int64),
        categories={}
        if matched
        else {k: (levels, codes[rows]) for k, (levels, codes) in table.categories.items()},
        numeric={} if matched else {k: values[rows] for k, values in table.numeric.items()},
        **cut,
    )
