"""Estimators and p-values of many made-up data sets at once.

The design is fixed, so whatever does not depend on outcomes is worked out once. Every function
here has a twin in `sos_analysis.estimation` that takes one data set, and must agree with it.
R data sets, L clusters, K columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats as distributions

from sos_analysis.estimation.assignment import panel_moments, ri_inversion
from sos_analysis.estimation.bootstrap import wild_weights
from sos_analysis.estimation.event_study import residual_gram
from sos_analysis.estimation.frames import COLLINEAR, Floats, cell_table, independent
from sos_analysis.estimation.grams import small_sample
from sos_analysis.estimation.inversion import TIE, Inversion
from sos_analysis.estimation.permutation import (
    LostEffect,
    _apply,
    _over_roles,
    arrangements,
    fill,
)
from sos_analysis.estimation.slot_maps import maps_of
from sos_analysis.estimation.swings import swings

from .as_rows import Rows
from .worlds import Linear, World, slots


@dataclass(frozen=True)
class Tests:
    """Estimates (R) and, by method, p-values of zero and of the true effect (each R)."""

    estimate: Floats
    p_zero: dict[str, Floats]
    p_true: dict[str, Floats]


def normal_tests(estimate: Floats, se: Floats, truth: Floats) -> Tests:
    """Tests by an estimator's own error and the normal distribution, as packages print them."""
    made = Tests(estimate, {}, {})
    for found, value in ((made.p_zero, 0.0), (made.p_true, truth)):
        found["own"] = 2 * distributions.norm.sf(np.abs(estimate - value) / se)
    return made


class Regression:
    """A linear regression on many data sets: CRV1, CRV3, the restricted wild bootstrap."""

    def __init__(self, linear: Linear) -> None:
        self.linear = linear
        grams = linear.grams
        self.xx, self.total = grams.xx, grams.xx.sum(axis=0)
        self.bread = np.linalg.inv(self.total)
        self.direction = self.bread[:, 0]
        clusters, k = len(grams.clusters), len(grams.names)
        self.left = np.zeros((clusters, k))  # the effect without cluster g is left[g] @ X'y
        self.restricted = np.zeros((clusters, k, k))
        nuisance = np.arange(1, k)
        for g in range(clusters):
            without = self.total - self.xx[g]
            limit = COLLINEAR * np.sqrt(np.outer(*[np.diag(self.total)] * 2))
            without = without * (np.abs(without) > limit)
            order = np.r_[nuisance, 0]
            kept = order[independent(without[np.ix_(order, order)])]
            inverse = np.linalg.inv(without[np.ix_(kept, kept)])
            if 0 not in kept:
                self.left[g] = np.nan
            else:
                self.left[g, kept] = inverse[list(kept).index(0)]
            kept = nuisance[independent(without[np.ix_(nuisance, nuisance)])]
            self.restricted[g][np.ix_(kept, kept)] = np.linalg.inv(without[np.ix_(kept, kept)])
        # What a unit effect adds to the scores of the restricted bootstrap.
        self.unit = self._cluster_scores(self.xx[None, :, :, 0])
        self.factor = small_sample(grams)

    def _cluster_scores(self, xy: Floats) -> Floats:
        """Scores of the restricted fits without each cluster, R x G x K."""
        others = xy.sum(axis=1, keepdims=True) - xy
        gamma = np.einsum("gjk,rgk->rgj", self.restricted, others, optimize=True)
        return np.asarray(xy - np.einsum("gjk,rgk->rgj", self.xx, gamma, optimize=True))

    def cross_products(self, y_sum: Floats) -> Floats:
        """X'Wy by cluster, R x G x K, from cells' sums R x L x T."""
        return np.einsum("rlt,ltk->rlk", y_sum, self.linear.z, optimize=True)

    def t_tests(self, xy: Floats, truth: Floats) -> Tests:
        """Estimates with CRV1, t(G-1), and CRV3, t(treated - 1)."""
        total = xy.sum(axis=1)
        beta = total @ self.bread
        carried = np.einsum("j,gjk->gk", self.direction, self.xx)
        influence = xy @ self.direction - beta @ carried.T
        clusters = xy.shape[1]
        crv1 = np.sqrt(self.factor * np.einsum("rg,rg->r", influence, influence))
        gap = np.einsum("gk,rgk->rg", self.left, total[:, None] - xy) - beta[:, :1]
        crv3 = np.sqrt((clusters - 1) / clusters * np.einsum("rg,rg->r", gap, gap))
        made = Tests(beta[:, 0], {}, {})
        for name, se, df in (
            ("CRV1", crv1, clusters - 1),
            ("CRV3", crv3, self.linear.treated - 1),
        ):
            for found, value in ((made.p_zero, 0.0), (made.p_true, truth)):
                found[name] = 2 * distributions.t.sf(np.abs(beta[:, 0] - value) / se, df)
        return made

    def wcr(self, xy: Floats, truth: Floats, draws: int, seeds: list[int]) -> Tests:
        """WCR-31 at zero and at the truth; a seed for each data set."""
        scores = self._cluster_scores(xy)
        total = xy.sum(axis=1)
        beta = total @ self.bread
        carried = np.einsum("j,gjk->gk", self.direction, self.xx)
        influence = xy @ self.direction - beta @ carried.T
        z1, h1 = self._influence(self.unit)
        made = Tests(beta[:, 0], {"WCR-31": np.empty(len(xy))}, {"WCR-31": np.empty(len(xy))})
        for r, seed in enumerate(seeds):
            v, exact = wild_weights(xy.shape[1], draws, "rademacher", seed)
            z0, h0 = self._influence(scores[r : r + 1])
            parts = []
            for z, h in ((z0[0], h0[0]), (z1[0], h1[0])):
                parts.append((v @ z, v @ (np.diag(z) - h).T))
            (a, r0), (c, r1) = parts
            inversion = Inversion(
                a,
                c,
                np.einsum("bg,bg->b", r0, r0),
                np.einsum("bg,bg->b", r0, r1),
                np.einsum("bg,bg->b", r1, r1),
                (float(beta[r, 0]), 1.0, float(influence[r] @ influence[r]), 0.0, 0.0),
                not exact,
            )
            made.p_zero["WCR-31"][r] = inversion.p(0.0)
            made.p_true["WCR-31"][r] = inversion.p(float(truth[r]))
        return made

    def _influence(self, scores: Floats) -> tuple[Floats, Floats]:
        carried = np.einsum("j,gjk->gk", self.direction, self.xx)
        return scores @ self.direction, np.einsum(
            "gk,rhk->rgh", carried, scores @ self.bread, optimize=True
        )


class SlotTests:
    """The slot permutation on many data sets, studentised and not.

    Parameters
    ----------
    use : array, L x S
        Exposure of each unit as a comparator in each place (0 for treated units). Then the
        coefficient is that on exposure, as in `exposure.exposure_model`.
    """

    def __init__(self, world: World, use: Floats | None = None) -> None:
        self.world, self.design = world, slots(world)
        self.own = self.design.exposure
        x = (self.design.treated * self.design.post)[:, None]
        if use is not None:
            mine = use[self.design.role, self.design.window]
            x = x + ((1 - self.design.treated) * mine)[:, None]
            self.design = replace(self.design, exposure=self.design.exposure + use)
        try:
            self.maps = maps_of(self.design, x, "crv3", 1)
        except LostEffect:
            self.maps = maps_of(self.design, x, "crv1", 1)
        self.exposed = fill(self.design.exposure, world.place_n)

    def means(self, y_sum: Floats) -> Floats:
        """Mean outcome of each unit in each place, R x L x S, empty places filled."""
        n = self.world.place_n
        means = (y_sum @ self.world.inside.T) / np.where(n > 0, n, 1.0)
        return np.stack([fill(m, n) for m in means]) if (n <= 0).any() else means

    def inversion(
        self, means: Floats, draws: int, seed: int, *, studentised: bool = True
    ) -> Inversion:
        """Permutation of one data set (its means, L x S), studentised and scaled, or plain."""
        roles, k = len(self.design.las), len(self.maps)
        fillings, exact = arrangements(np.zeros(roles, dtype=np.int64), draws, seed)
        orders = np.vstack([np.arange(roles)[None, :], fillings])
        swing = self._swing(means) if studentised else None
        parts = [_over_roles(self.design, self.maps, v, swing) for v in (means, self.exposed)]
        rows = _apply(np.concatenate(parts, axis=2), orders)
        a, c, i0, i1 = rows[:, 0], rows[:, k], rows[:, 1:k], rows[:, k + 1 :]
        v = (
            [np.einsum("bg,bg->b", p, q) for p, q in ((i0, i0), (i0, i1), (i1, i1))]
            if studentised
            else [np.ones(len(a)), np.zeros(len(a)), np.zeros(len(a))]
        )
        seen = (float(a[0]), float(c[0]), float(v[0][0]), float(v[1][0]), float(v[2][0]))
        return Inversion(a[1:], c[1:], v[0][1:], v[1][1:], v[2][1:], seen, not exact)

    def _swing(self, means: Floats) -> Floats:
        world = self.world
        return swings(
            means,
            self.own,
            world.place_n > 0,
            world.place_group,
            world.place_post == 0,
            world.treated.astype(float),
        )

    def run(self, y_sum: Floats, truth: Floats, draws: int, seeds: list[int]) -> Tests:
        """Both permutation tests at zero and at the truth; a seed for each data set."""
        names = ("slots", "slots, plain")
        made = Tests(
            np.empty(len(y_sum)),
            {name: np.empty(len(y_sum)) for name in names},
            {name: np.empty(len(y_sum)) for name in names},
        )
        for r, (means, seed) in enumerate(zip(self.means(y_sum), seeds, strict=True)):
            for name in names:
                inversion = self.inversion(means, draws, seed, studentised=name == "slots")
                made.estimate[r] = inversion.estimate
                made.p_zero[name][r] = inversion.p(0.0)
                made.p_true[name][r] = inversion.p(float(truth[r]))
        return made


def _plain(made: Inversion) -> Inversion:
    """The same draws without their standard errors."""
    one, none = np.ones_like(made.a), np.zeros_like(made.a)
    observed = (*made.observed[:2], 1.0, 0.0, 0.0)
    return replace(made, v0=one, v1=none, v2=none, observed=observed)


class PanelTests:
    """Randomisation inference for a panel of all units, studentised (RI-t) and not.

    The design's moments are worked out once; those of outcomes are weighted deviations from a
    unit's own mean. Every unit has one cell in each period.
    """

    def __init__(self, world: World) -> None:
        rows = Rows(world)
        self.moments = panel_moments(cell_table(rows.frame(np.zeros_like(world.n))))
        self.n = world.n

    def run(self, y_sum: Floats, truth: Floats, draws: int, seeds: list[int]) -> Tests:
        """Both tests at zero and at the truth; a seed for each data set."""
        names = ("RI-t", "RI-t, plain")
        made = Tests(
            np.empty(len(y_sum)),
            {name: np.empty(len(y_sum)) for name in names},
            {name: np.empty(len(y_sum)) for name in names},
        )
        nuisance = self.moments.xx.shape[1]
        for r, seed in enumerate(seeds):
            share = y_sum[r].sum(axis=1, keepdims=True) / self.n.sum(axis=1, keepdims=True)
            ey = y_sum[r] - self.n * share
            # The nuisance columns are the indicators of all periods but the first.
            moments = replace(self.moments, ey=ey, xy=ey[:, ey.shape[1] - nuisance :])
            studentised, _ = ri_inversion(moments, draws=draws, seed=seed)
            made.estimate[r] = studentised.estimate
            for name, inversion in zip(names, (studentised, _plain(studentised)), strict=True):
                made.p_zero[name][r] = inversion.p(0.0)
                made.p_true[name][r] = inversion.p(float(truth[r]))
        return made


class LeadTests:
    """Joint slot permutation of differences before treatment, on many data sets."""

    def __init__(self, world: World) -> None:
        design = slots(world)
        self.design = design.where(design.post == 0)
        base = self.design.period.max()
        times = [k for k in np.unique(self.design.period) if k != base]
        self.tested = 0
        if not times:
            return
        x = np.stack([self.design.treated * (self.design.period == k) for k in times], axis=1)
        keep = independent(
            residual_gram(self.design.slot, self.design.group_period, self.design.weight, x)
        )
        self.tested = int(keep.sum())
        if self.tested:
            self.maps = maps_of(self.design, x[:, keep], "crv1", self.tested)

    def p(self, means: Floats, draws: int, seed: int) -> float:
        """p-value of one data set (its means, L x S); NaN where no lead can be told apart."""
        if not self.tested:
            return float("nan")
        roles = len(self.design.las)
        over = _over_roles(self.design, self.maps, means)
        fillings, exact = arrangements(np.zeros(roles, dtype=np.int64), draws, seed)
        stats = _apply(over, np.vstack([np.arange(roles)[None, :], fillings]))
        beta = stats[:, : self.tested]
        influence = stats[:, self.tested :].reshape(len(stats), -1, self.tested)
        variance = np.einsum("bgi,bgj->bij", influence, influence, optimize=True)
        inverse = np.linalg.pinv(variance, rcond=1e-10, hermitian=True)
        wald = np.einsum("bi,bij,bj->b", beta, inverse, beta)
        count = int(np.count_nonzero(wald[1:] >= wald[0] * (1 - TIE)))
        return count / len(fillings) if exact else (1 + count) / (1 + len(fillings))
