"""Randomisation inference for panels without matching: whole adoption-date vectors are permuted.

The statistic is studentised (Wu and Ding 2021; MacKinnon and Webb 2020); intervals come by
inversion under a constant effect. What is needed of the data are cross-products by cluster, so a
permutation costs the same however many individuals there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from .frames import CellTable, Floats, FrameError, Ints, covariate_columns, dummies
from .inversion import InferenceResult, Inversion, report
from .permutation import strata_codes


def adoption(table: CellTable) -> tuple[Ints, Floats]:
    """Exposure of each cluster in each period: (periods (T), array L x T).

    Where a cluster has no row in a period its last known exposure is carried forward, and before
    its first row it is unexposed.
    """
    periods, time = np.unique(table.period, return_inverse=True)
    known = np.full((len(table.las), len(periods)), np.nan)
    known[table.la, time] = table.exposure
    known[np.isnan(known[:, 0]), 0] = 0.0
    for t in range(1, len(periods)):
        known[:, t] = np.where(np.isnan(known[:, t]), known[:, t - 1], known[:, t])
    return periods, known


def _multisets(codes: Ints, groups: list[Ints]) -> Iterator[Ints]:
    """All distinct ways to deal the types held inside each group of positions."""

    def deal(positions: Ints, types: list[int]) -> Iterator[list[tuple[int, int]]]:
        if len(set(types)) == 1:
            yield [(int(p), types[0]) for p in positions]
            return
        rarest = min(set(types), key=lambda t: (types.count(t), t))
        rest = [t for t in types if t != rarest]
        for chosen in itertools.combinations(positions.tolist(), types.count(rarest)):
            left = np.array([p for p in positions.tolist() if p not in chosen], dtype=np.int64)
            for tail in deal(left, rest):
                yield [(p, rarest) for p in chosen] + tail

    for parts in itertools.product(*(list(deal(g, codes[g].tolist())) for g in groups)):
        out = codes.copy()
        for p, t in itertools.chain.from_iterable(parts):
            out[p] = t
        yield out


def _distinct(codes: Ints, groups: list[Ints]) -> int:
    total = 1
    for g in groups:
        counts = np.unique(codes[g], return_counts=True)[1]
        total *= math.factorial(len(g)) // math.prod(math.factorial(int(c)) for c in counts)
    return total


@dataclass(frozen=True)
class PanelMoments:
    """Weighted cross-products of a panel after cluster effects are taken out, by cluster.

    L clusters, T periods, k nuisance columns (period and covariate indicators).

    Attributes
    ----------
    las : tuple of str
    own : array, L x T
        Exposure of each cluster in each period.
    ee, ex, ey : arrays, L x T x T, L x T x k, L x T
        Period indicators with one another, with nuisance columns, with the outcome.
    xx, xy : arrays, L x k x k, L x k
    """

    las: tuple[str, ...]
    own: Floats
    ee: Floats
    ex: Floats
    ey: Floats
    xx: Floats
    xy: Floats


def panel_moments(table: CellTable) -> PanelMoments:
    """Moments of a panel's cell rows.

    Raises
    ------
    FrameError
        The rows are of more than one matched group.
    """
    if len(table.groups) > 1:
        raise FrameError(
            "ri_t permutes adoption dates over clusters of one panel; for matched groups use "
            "slot_permutation"
        )
    periods, own = adoption(table)
    size, time = len(table.las), np.searchsorted(periods, table.period)
    indicator = (time[:, None] == np.arange(len(periods))[None, :]).astype(float)
    _, covariates = covariate_columns(table)
    x = np.hstack([dummies(time, [str(p) for p in periods], "period")[1], covariates])
    k, t = x.shape[1], len(periods)
    ee, ex, ey = np.zeros((size, t, t)), np.zeros((size, t, k)), np.zeros((size, t))
    xx, xy = np.zeros((size, k, k)), np.zeros((size, k))
    for g in range(size):
        rows = table.la == g
        w, block = table.w[rows], np.hstack([indicator[rows], x[rows], table.y[rows][:, None]])
        block = block - (w @ block) / w.sum()
        moments = (block * w[:, None]).T @ block
        ee[g], ex[g], ey[g] = moments[:t, :t], moments[:t, t:-1], moments[:t, -1]
        xx[g], xy[g] = moments[t:-1, t:-1], moments[t:-1, -1]
    return PanelMoments(table.las, own, ee, ex, ey, xx, xy)


def ri_inversion(
    table: CellTable | PanelMoments,
    *,
    draws: int = 9999,
    seed: int,
    strata: Mapping[str, object] | None = None,
    studentised: bool = True,
) -> tuple[Inversion, int]:
    """Randomisation inference for a panel at every hypothesised value.

    Returns the inversion and the number of distinct assignments that exist.
    """
    m = table if isinstance(table, PanelMoments) else panel_moments(table)
    own, ee, ex, xx = m.own, m.ee, m.ex, m.xx
    size, k = len(m.las), xx.shape[1]
    inverse = np.linalg.pinv(xx.sum(axis=0), rcond=1e-10, hermitian=True)

    kinds, code = np.unique(own, axis=0, return_inverse=True)
    code = code.reshape(-1).astype(np.int64)
    f = np.einsum("ltk,jt->ljk", ex, kinds)
    q = np.einsum("jt,lts,js->lj", kinds, ee, kinds, optimize=True)
    # Two outcomes: the data, and each cluster's own exposure (what a unit effect adds to them).
    targets = []
    for e_part, x_part in (
        (m.ey, m.xy),
        (np.einsum("lts,ls->lt", ee, own), np.einsum("ltk,lt->lk", ex, own)),
    ):
        delta = inverse @ x_part.sum(axis=0)
        targets.append((e_part @ kinds.T - f @ delta, x_part - xx @ delta))
    flat = xx.reshape(size, k * k).T

    def five(assigned: Ints) -> tuple[Floats, ...]:
        rows = np.arange(size)[None, :]
        fs, qs = f[rows, assigned], q[rows, assigned]
        gamma = fs.sum(axis=1) @ inverse
        bottom = qs.sum(axis=1) - np.einsum("bk,bk->b", gamma, fs.sum(axis=1))
        square = (gamma[:, :, None] * gamma[:, None, :]).reshape(len(gamma), -1) @ flat
        spread = qs - 2 * np.einsum("bk,blk->bl", gamma, fs) + square
        out, influence = [], []
        for pu, xu in targets:
            chosen = pu[rows, assigned]
            beta = chosen.sum(axis=1) / bottom
            out.append(beta)
            influence.append((chosen - gamma @ xu.T - beta[:, None] * spread) / bottom[:, None])
        first, second = influence
        if not studentised:
            flat_variance = np.full(len(bottom), 1.0)
            return (*out, flat_variance, 0 * flat_variance, 0 * flat_variance)
        dot = "bl,bl->b"
        return (
            *out,
            np.einsum(dot, first, first),
            np.einsum(dot, first, second),
            np.einsum(dot, second, second),
        )

    layers = strata_codes(strata, m.las)
    groups = [np.flatnonzero(layers == layer) for layer in np.unique(layers)]
    total = _distinct(code, groups)
    if total <= draws:
        assigned = np.array(list(_multisets(code, groups)))
    else:
        rng = np.random.default_rng(seed)
        assigned = np.tile(code, (draws, 1))
        for members in groups:
            assigned[:, members] = rng.permuted(np.tile(code[members], (draws, 1)), axis=1)
    # Slices keep the clusters x columns gather below about 50 MB.
    step = max(1, int(6e6 / (size * max(k, 1))))
    parts = [five(assigned[i : i + step]) for i in range(0, len(assigned), step)]
    a, c, v0, v1, v2 = (np.concatenate([p[i] for p in parts]) for i in range(5))
    seen = [float(v[0]) for v in five(code[None, :])]
    inversion = Inversion(
        a, c, v0, v1, v2, (seen[0], seen[1], seen[2], seen[3], seen[4]), total > draws
    )
    return inversion, total


def ri_t(
    table: CellTable | PanelMoments,
    *,
    draws: int = 9999,
    seed: int,
    strata: Mapping[str, object] | None = None,
    studentised: bool = True,
    null: float = 0.0,
    level: float = 0.95,
) -> InferenceResult:
    """Randomisation inference for a panel: permute whole adoption-date vectors over clusters.

    The statistic is the coefficient on exposure with cluster and period effects (and covariates),
    divided by its CRV1 standard error unless `studentised` is False. Weights and covariates stay
    with their cluster. All distinct assignments are enumerated where they number no more than
    `draws`; the smallest attainable p is one over their number, or 1/(1 + draws) if sampled.
    """
    inversion, total = ri_inversion(
        table, draws=draws, seed=seed, strata=strata, studentised=studentised
    )
    return report(
        "RI-t" if studentised else "RI-beta",
        inversion,
        null=null,
        level=level,
        smallest_p=max(1 / total, inversion.smallest),
        notes=(f"{total} distinct assignments exist",),
    )
