"""Estimators and p-values of many made-up data sets at once.

The design is fixed, so whatever does not depend on outcomes is worked out once. Every function
here has a twin in `sos_analysis.estimation` that takes one data set, and must agree with it.
R data sets, L clusters, K columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from sos_analysis.estimation.bootstrap import wild_weights
from sos_analysis.estimation.frames import COLLINEAR, Floats, FrameError, independent
from sos_analysis.estimation.grams import small_sample
from sos_analysis.estimation.inversion import Inversion
from sos_analysis.estimation.permutation import (
    LostEffect,
    SlotDesign,
    _apply,
    _maps,
    _over_roles,
    arrangements,
    fill,
)

from .worlds import Linear, World


@dataclass(frozen=True)
class Tests:
    """Estimates (R) and, by method, p-values of zero and of the true effect (each R)."""

    estimate: Floats
    p_zero: dict[str, Floats]
    p_true: dict[str, Floats]


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
                found[name] = 2 * stats.t.sf(np.abs(beta[:, 0] - value) / se, df)
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
                parts.append((v @ z, v * z - v @ h.T))
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
    """The slot permutation on many data sets, studentised and not."""

    def __init__(self, world: World, design: SlotDesign) -> None:
        self.world, self.design = world, design
        x = (design.treated * design.post)[:, None]
        try:
            self.maps = _maps(design, x, "crv3", 1)
        except LostEffect:
            self.maps = _maps(design, x, "crv1", 1)
        self.exposed = _over_roles(design, self.maps, fill(design.exposure, world.place_n))

    def run(self, y_sum: Floats, truth: Floats, draws: int, seeds: list[int]) -> Tests:
        """Both permutation tests at zero and at the truth; a seed for each data set."""
        n = self.world.place_n
        sums = y_sum @ self.world.inside.T
        names = ("slots", "slots, plain")
        made = Tests(
            np.empty(len(y_sum)),
            {name: np.empty(len(y_sum)) for name in names},
            {name: np.empty(len(y_sum)) for name in names},
        )
        roles = len(self.design.las)
        identity = np.arange(roles)[None, :]
        k = len(self.maps)
        for r, seed in enumerate(seeds):
            mean = np.where(n > 0, sums[r] / np.where(n > 0, n, 1.0), 0.0)
            together = np.concatenate(
                [_over_roles(self.design, self.maps, fill(mean, n)), self.exposed], axis=2
            )
            fillings, exact = arrangements(np.zeros(roles, dtype=np.int64), draws, seed)
            rows = _apply(together, np.vstack([identity, fillings]))
            a, c, i0, i1 = rows[:, 0], rows[:, k], rows[:, 1:k], rows[:, k + 1 :]
            v = [np.einsum("bg,bg->b", p, q) for p, q in ((i0, i0), (i0, i1), (i1, i1))]
            flat = [np.ones(len(a)), np.zeros(len(a)), np.zeros(len(a))]
            made.estimate[r] = a[0]
            for name, spread in (("slots", v), ("slots, plain", flat)):
                seen = [float(part[0]) for part in (a, c, *spread)]
                inversion = Inversion(
                    a[1:], c[1:], spread[0][1:], spread[1][1:], spread[2][1:],
                    (seen[0], seen[1], seen[2], seen[3], seen[4]), not exact,
                )
                made.p_zero[name][r] = inversion.p(0.0)
                made.p_true[name][r] = inversion.p(float(truth[r]))
        return made


def check_identified(regression: Regression) -> None:
    """Refuse a design in which some cluster alone carries the effect."""
    if np.isnan(regression.left).any():
        raise FrameError("leaving out one cluster removes the effect; give more treated units")
