"""Wild cluster bootstrap on Gram matrices.

Kinds after MacKinnon, Nielsen and Webb 2023 ("Fast and reliable jackknife and bootstrap methods
for cluster-robust inference"): the first figure says whose scores are resampled (1: residuals of
the fit; 3: residuals of the fit without the cluster), the second the covariance that studentises
(1: CRV1). WCR resamples residuals under the hypothesis, WCU those of the unrestricted fit.
Original idea: Cameron, Gelbach and Miller 2008.

Conventions. p is two-sided and symmetric: draws with |t*| >= |t|. Ties count, so where all sign
vectors are enumerated the data and their mirror image are among those counted (`wildboottest` and
`boottest` count neither or one of them). Random draws: (1 + count) / (1 + B).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from .frames import COLLINEAR, Floats, FrameError, independent
from .grams import Fit, Grams, fit, small_sample
from .inversion import TIE, InferenceResult, Inversion, report, wald

Kind = Literal["11", "31"]
Weights = Literal["rademacher", "webb", "mammen", "normal"]


def wild_weights(clusters: int, draws: int, weights: Weights, seed: int) -> tuple[Floats, bool]:
    """Wild weights, B x G, and whether they are all that exist.

    Rademacher weights are enumerated where 2^G <= `draws`; Webb's six-point, Mammen's two-point
    and standard normal weights are sampled.

    Raises
    ------
    FrameError
        Unknown `weights`.
    """
    if weights not in get_args(Weights):
        raise FrameError(f"weights must be one of {', '.join(get_args(Weights))}, not {weights!r}")
    if weights == "rademacher" and 2.0**clusters <= draws:
        index = np.arange(2**clusters)
        bits = (index[:, None] >> np.arange(clusters)[None, :]) & 1
        return 1.0 - 2.0 * bits.astype(float), True
    rng = np.random.default_rng(seed)
    if weights == "rademacher":
        return rng.integers(0, 2, size=(draws, clusters)).astype(np.float64) * 2.0 - 1.0, False
    if weights == "normal":
        return rng.standard_normal((draws, clusters)), False
    if weights == "mammen":
        root = np.sqrt(5.0)
        upper = rng.random((draws, clusters)) >= (root + 1) / (2 * root)
        return np.where(upper, (1 + root) / 2, (1 - root) / 2), False
    points = np.sqrt([0.5, 1.0, 1.5])
    return np.asarray(rng.choice(np.r_[-points, points], size=(draws, clusters)), float), False


def _restricted_scores(grams: Grams, q: int, kind: Kind) -> tuple[Floats, Floats]:
    """Restricted scores as s0 - tau s1 for the hypothesis beta_1 = tau (q = 1).

    For q > 1 the hypothesis is that the first q coefficients are zero and s1 is zero. q = 0 puts
    no restriction: s0 are the scores of the full fit (kind 11) or without the cluster (31).
    """
    if kind not in ("11", "31"):
        raise FrameError(f"kind must be '11' or '31', not {kind!r}")
    xx, xy = grams.xx.sum(axis=0), grams.xy.sum(axis=0)
    k = xx.shape[0]
    targets = np.stack([xy, xx[:, 0]], axis=1)  # K x 2: data, and the column of the effect
    cluster_targets = np.stack([grams.xy, grams.xx[:, :, 0]], axis=2)  # G x K x 2
    scores = np.empty_like(cluster_targets)
    nuisance = np.arange(q, k)
    for g in range(len(grams.clusters)):
        if g == 0 or kind == "31":
            left = xx - grams.xx[g] if kind == "31" else xx
            right = targets - cluster_targets[g] if kind == "31" else targets
            left = left * (np.abs(left) > COLLINEAR * np.sqrt(np.outer(*[np.diag(xx)] * 2)))
            kept = nuisance[independent(left[np.ix_(nuisance, nuisance)])]
            gamma = np.zeros((k, 2))
            if len(kept):
                gamma[kept] = np.linalg.solve(left[np.ix_(kept, kept)], right[kept])
        scores[g] = cluster_targets[g] - grams.xx[g] @ gamma
    if q != 1:
        scores[:, :, 1] = 0.0
    return scores[:, :, 0], scores[:, :, 1]


def _influence(grams: Grams, result: Fit, scores: Floats, q: int) -> tuple[Floats, Floats]:
    """How cluster scores move the first q coefficients, and the bootstrap residual scores.

    Returns z (G x q), with beta* - beta = sum_g v_g z_g, and h (G x G x q): the score of cluster g
    in the bootstrap sample is v_g z_g - sum_h v_h h[g, h].
    """
    direction = result.bread[:, :q]
    moved = scores @ result.bread  # G x K: how each cluster's score moves all coefficients
    return scores @ direction, np.einsum(
        "jq,gjk,hk->ghq", direction, grams.xx, moved, optimize=True
    )


def wcr_inversion(
    grams: Grams,
    *,
    kind: Kind = "31",
    draws: int = 9999,
    weights: Weights = "rademacher",
    restricted: bool = True,
    seed: int,
) -> Inversion:
    """The wild cluster bootstrap of the first coefficient at every hypothesised value.

    The restricted bootstrap's world is rebuilt for each hypothesis, since its residuals are
    restricted; scores are linear in the hypothesis, so this costs nothing. Unrestricted draws are
    the same for every hypothesis. The CRV1 factor is the same in every draw and in the data and
    cancels from p; it is there so that the statistic is the one tables show.
    """
    result = fit(grams)
    v, exact = wild_weights(len(grams.clusters), draws, weights, seed)
    s0, s1 = _restricted_scores(grams, int(restricted), kind)
    parts = []
    for scores in (s0, s1):
        z, h = _influence(grams, result, scores, 1)
        parts.append((v @ z[:, 0], v @ (np.diag(z[:, 0]) - h[:, :, 0]).T))
    (a, r0), (c, r1) = parts
    factor = small_sample(grams)
    se2 = factor * float(((result.scores @ result.bread[:, 0]) ** 2).sum())
    return Inversion(
        a=a,
        c=c,
        v0=factor * np.einsum("bg,bg->b", r0, r0),
        v1=factor * np.einsum("bg,bg->b", r0, r1),
        v2=factor * np.einsum("bg,bg->b", r1, r1),
        observed=(float(result.beta[0]), 1.0, se2, 0.0, 0.0),
        sampled=not exact,
    )


def wcr_p(
    grams: Grams,
    *,
    kind: Kind = "31",
    draws: int = 9999,
    seed: int,
    null: float = 0.0,
) -> float:
    """The p-value of one hypothesis alone, with the same draws as `wcr`: half the work."""
    result = fit(grams)
    v, exact = wild_weights(len(grams.clusters), draws, "rademacher", seed)
    s0, s1 = _restricted_scores(grams, 1, kind)
    z, h = _influence(grams, result, s0 - null * s1, 1)
    a, r = v @ z[:, 0], v @ (np.diag(z[:, 0]) - h[:, :, 0]).T
    nothing = np.zeros_like(a)
    own = float(np.square(result.scores @ result.bread[:, 0]).sum())
    seen = (float(result.beta[0]) - null, 0.0, own, 0.0, 0.0)
    inversion = Inversion(
        a, nothing, np.einsum("bg,bg->b", r, r), nothing, nothing, seen, not exact
    )
    return inversion.p(0.0)


def wcr(
    grams: Grams,
    *,
    kind: Kind = "31",
    draws: int = 9999,
    weights: Weights = "rademacher",
    restricted: bool = True,
    seed: int,
    null: float = 0.0,
    level: float = 0.95,
) -> InferenceResult:
    """Wild cluster bootstrap of the first coefficient, interval by test inversion.

    Parameters
    ----------
    kind : {"31", "11"}
        "31" resamples jackknifed restricted scores (recommended with few or uneven clusters).
    draws : int
        Number of draws; all 2^G sign vectors are used instead if they are no more than this.
    weights : {"rademacher", "webb", "mammen", "normal"}
    restricted : bool
        False resamples residuals of the unrestricted fit (WCU): for comparison with others' tables
        alone, since it rejects far too often with few treated clusters.
    seed : int
    null : float
        Hypothesis for the reported p-value.

    Notes
    -----
    With very few treated clusters a restricted bootstrap hardly ever rejects: with one, p tends to
    one half whatever the data (MacKinnon and Webb 2017). `did.estimate` does not print it then.
    """
    inversion = wcr_inversion(
        grams, kind=kind, draws=draws, weights=weights, restricted=restricted, seed=seed
    )
    name = f"{'WCR' if restricted else 'WCU'}-{kind}"
    return report(name, inversion, null=null, level=level)


def wcr_joint(
    grams: Grams, q: int, *, kind: Kind = "31", draws: int = 9999, seed: int
) -> tuple[float, float, bool]:
    """Restricted wild cluster bootstrap of the hypothesis that the first q coefficients are zero.

    Returns
    -------
    (Wald statistic with CRV1 and no factor, p-value, whether draws are exhaustive)
    """
    result = fit(grams)
    v, exact = wild_weights(len(grams.clusters), draws, "rademacher", seed)
    scores, _ = _restricted_scores(grams, q, kind)
    z, h = _influence(grams, result, scores, q)
    moved = v @ z
    residual = v[:, :, None] * z[None] - np.einsum("bh,ghq->bgq", v, h, optimize=True)
    drawn = wald(moved, residual)
    seen = wald(result.beta[None, :q], (result.scores @ result.bread[:, :q])[None])[0]
    count = int(np.count_nonzero(drawn >= seen * (1 - TIE)))
    p = max(count, 1) / len(drawn) if exact else (1 + count) / (1 + len(drawn))
    return float(seen), p, exact
