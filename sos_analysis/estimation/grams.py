"""Per-cluster Gram matrices: all that linear models with one level of clustering need.

For cluster g the engine keeps the number of individuals, X_g'W_gX_g and X_g'W_gy_g, after taking
out fixed effects that lie inside clusters (exact: Frisch-Waugh-Lovell cluster by cluster). Fits,
cluster-robust and jackknife covariances and wild bootstraps follow from them in O(G K^2).
Sources: Liang and Zeger 1986 (CRV1); Bell and McCaffrey 2002, MacKinnon, Nielsen and Webb 2023
(CRV3 as the cluster jackknife; CRV2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .columns import Columns
from .frames import COLLINEAR, Floats, FrameError, Ints, independent


@dataclass(frozen=True)
class Grams:
    """Sufficient statistics by cluster.

    Attributes
    ----------
    clusters : tuple of str
        Labels, sorted (G).
    names : tuple of str
        Columns kept (K); the columns of interest come first.
    xx : array, G x K x K
    xy : array, G x K
    n : array, G
        Individuals (rows of the individual-level regression).
    cells : int
        Cell rows behind it.
    absorbed : int
        Fixed effects taken out beforehand, all inside clusters.
    dropped : tuple of str
        Columns left out as collinear with those before them.
    """

    clusters: tuple[str, ...]
    names: tuple[str, ...]
    xx: Floats
    xy: Floats
    n: Floats
    cells: int
    absorbed: int
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """Coefficients (K), the inverse of X'WX (K x K) and cluster scores X_g'W_gu_g (G x K)."""

    beta: Floats
    bread: Floats
    scores: Floats


def gram(
    x: Floats,
    y: Floats,
    w: Floats,
    n: Floats,
    cluster: Ints,
    clusters: Sequence[str],
    names: Sequence[str],
    within: Ints | None = None,
    effects: int = 1,
) -> Grams:
    """Build Gram matrices from design columns.

    Parameters
    ----------
    x : array, N x K
        The columns of interest first, then the others by priority: of collinear columns the
        later one is dropped, and a column of interest is dropped before any other.
    y, w, n : arrays, length N
        Mean outcome, regression weight and number of individuals of each cell.
    cluster : integer array, length N
        Position of each row's cluster in `clusters`.
    within : integer array, length N, optional
        Fixed effects inside clusters (each code in one cluster only), taken out by demeaning.
    effects : int
        Number of columns of interest.

    Raises
    ------
    FrameError
        A value is missing, a code of `within` occurs in two clusters, or no column of interest is
        identified.
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(w).all()):
        raise FrameError("the design has a missing or infinite value; drop or fill such rows first")
    g_count, k = len(clusters), x.shape[1]
    xx, xy, count = np.zeros((g_count, k, k)), np.zeros((g_count, k)), np.zeros(g_count)
    absorbed = 0
    if within is not None:
        absorbed = len(np.unique(within))
        _check_inside(within, cluster)
    scale = np.einsum("n,nk->k", w, x * x)
    for g in range(g_count):
        rows = np.flatnonzero(cluster == g)
        xg, yg, wg = x[rows], y[rows], w[rows]
        if within is not None:
            _, code = np.unique(within[rows], return_inverse=True)
            total = np.bincount(code, wg)
            yg = yg - (np.bincount(code, wg * yg) / total)[code]
            # Rows of a code side by side: sums along memory, many times faster than `add.at`.
            order = np.argsort(code, kind="stable")
            starts = np.searchsorted(code[order], np.arange(len(total)))
            means = np.add.reduceat((wg[:, None] * xg)[order], starts, axis=0)
            xg = xg - (means / total[:, None])[code]
        weighted = xg * wg[:, None]
        xx[g], xy[g], count[g] = weighted.T @ xg, weighted.T @ yg, n[rows].sum()
    return _kept(xx, xy, count, scale, clusters, names, effects, len(y), absorbed)


def gram_of_codes(
    x: Columns,
    y: Floats,
    w: Floats,
    n: Floats,
    cluster: Ints,
    clusters: Sequence[str],
    within: Ints | None = None,
    effects: int = 1,
) -> Grams:
    """The same from columns that are kept as codes; `within` numbered from 0 without gaps."""
    if not (np.isfinite(x.plain[1]).all() and np.isfinite(y).all() and np.isfinite(w).all()):
        raise FrameError("the design has a missing or infinite value; drop or fill such rows first")
    count, absorbed = len(clusters), 0
    if within is None:
        xx, xy = x.products(w, cluster, count), x.sums(w * y, cluster, count)
    else:
        absorbed = int(within.max()) + 1
        _check_inside(within, cluster)
        xx, xy = x.demeaned(y, w, within, cluster, count)
    size = np.bincount(cluster, n, minlength=count).astype(np.float64)
    return _kept(xx, xy, size, x.squares(w), clusters, x.names, effects, len(y), absorbed)


def _check_inside(within: Ints, cluster: Ints) -> None:
    owner = np.zeros(int(within.max()) + 1, dtype=np.int64)
    owner[within] = cluster
    if (owner[within] != cluster).any():
        raise FrameError("fixed effects to be taken out must lie inside clusters")


def _kept(
    xx: Floats,
    xy: Floats,
    n: Floats,
    scale: Floats,
    clusters: Sequence[str],
    names: Sequence[str],
    effects: int,
    cells: int,
    absorbed: int,
) -> Grams:
    """Leave out columns that are collinear with those before them."""
    k = len(names)
    total_xx = xx.sum(axis=0)
    # A column that was constant inside every fixed effect leaves only rounding noise behind.
    noise = np.diag(total_xx) < COLLINEAR * np.where(scale > 0, scale, 1.0)
    total_xx[noise, :] = 0.0
    total_xx[:, noise] = 0.0
    order = np.r_[effects:k, 0:effects]
    keep = np.zeros(k, dtype=bool)
    keep[order] = independent(total_xx[np.ix_(order, order)])
    if not keep[:effects].any():
        raise FrameError(
            f"the effect {names[0]!r} is not identified: it is collinear with the fixed effects; "
            "check that a treated cluster is seen before and after, beside a comparator"
        )
    return Grams(
        clusters=tuple(clusters),
        names=tuple(np.asarray(names, dtype=object)[keep]),
        xx=xx[:, keep][:, :, keep],
        xy=xy[:, keep],
        n=n,
        cells=cells,
        absorbed=absorbed,
        dropped=tuple(np.asarray(names, dtype=object)[~keep]),
    )


def fit(grams: Grams) -> Fit:
    """Weighted least squares from Gram matrices."""
    bread = np.linalg.inv(grams.xx.sum(axis=0))
    bread = (bread + bread.T) / 2
    beta = np.linalg.solve(grams.xx.sum(axis=0), grams.xy.sum(axis=0))
    return Fit(beta, bread, grams.xy - grams.xx @ beta)


def small_sample(grams: Grams, count_absorbed: bool = False) -> float:
    """CRV1 factor G/(G-1) x (N-1)/(N-K), N individuals.

    K leaves out fixed effects inside clusters (the convention of fixest and reghdfe) unless
    `count_absorbed` (Stata's areg and regress with dummies).
    """
    g, n = len(grams.clusters), float(grams.n.sum())
    k = len(grams.names) + (grams.absorbed if count_absorbed else int(grams.absorbed > 0))
    return g / (g - 1) * (n - 1) / (n - k)


def crv1(grams: Grams, columns: int = 1, *, count_absorbed: bool = False) -> Floats:
    """Cluster-robust covariance of the first `columns` coefficients (Liang-Zeger, with factor)."""
    result = fit(grams)
    influence = result.scores @ result.bread[:, :columns]
    return small_sample(grams, count_absorbed) * (influence.T @ influence)


def leave_one_out(grams: Grams, columns: int = 1) -> Floats:
    """First `columns` coefficients with each cluster left out in turn, G x columns.

    NaN where leaving the cluster out leaves the coefficient unidentified.
    """
    total_xx, total_xy = grams.xx.sum(axis=0), grams.xy.sum(axis=0)
    out = np.full((len(grams.clusters), columns), np.nan)
    for g in range(len(grams.clusters)):
        xx = total_xx - grams.xx[g]
        xx = xx * (np.abs(xx) > COLLINEAR * np.sqrt(np.outer(*[np.diag(total_xx)] * 2)))
        # Nuisance columns first, so that a column of interest is judged given all the others.
        order = np.r_[columns : xx.shape[0], 0:columns]
        keep = independent(xx[np.ix_(order, order)])
        kept = order[keep]
        beta = np.linalg.solve(xx[np.ix_(kept, kept)], (total_xy - grams.xy[g])[kept])
        found = {int(j): float(b) for j, b in zip(kept, beta, strict=True)}
        out[g] = [found.get(j, np.nan) for j in range(columns)]
    return out


def crv3(grams: Grams, columns: int = 1) -> Floats:
    """Cluster-jackknife covariance of the first `columns` coefficients.

    (G-1)/G times the sum of squared deviations of the leave-one-cluster-out coefficients from the
    full-sample ones, with no further factor (MacKinnon, Nielsen and Webb 2023, as in Stata's and
    R's summclust). NaN where a coefficient is lost with some cluster.
    """
    gap = leave_one_out(grams, columns) - fit(grams).beta[:columns]
    g = len(grams.clusters)
    return np.asarray((g - 1) / g * (gap.T @ gap))


@dataclass(frozen=True)
class ClusterSummary:
    """How evenly clusters carry an estimate.

    Attributes
    ----------
    leverage : array, G
        Share of each cluster in the residual variation of the first column (partial leverage);
        sums to one.
    total_leverage : array, G
        Trace of each cluster's block of the hat matrix; sums to the number of coefficients.
        Effects taken out inside clusters are not counted.
    effective : float
        Effective number of clusters G* (Carter, Schnepel and Steigerwald 2017), for errors
        independent inside clusters.
    left_out : array, G
        The estimate with each cluster left out.
    """

    clusters: tuple[str, ...]
    leverage: Floats
    total_leverage: Floats
    effective: float
    left_out: Floats


def cluster_summary(grams: Grams) -> ClusterSummary:
    """Partial leverage, effective number of clusters and leave-one-out estimates."""
    bread = fit(grams).bread
    share = np.einsum("j,gjk,k->g", bread[:, 0], grams.xx, bread[:, 0])
    share = share / share.sum()
    total = np.einsum("gjk,jk->g", grams.xx, bread)
    g = len(grams.clusters)
    spread = float(np.mean((share * g - 1.0) ** 2))
    left = leave_one_out(grams)[:, 0]
    return ClusterSummary(grams.clusters, share, total, g / (1.0 + spread), left)


def crv2(grams: Grams) -> tuple[float, float]:
    """Variance of the first coefficient with scores corrected for leverage, and its own df.

    Bell and McCaffrey 2002: residuals of cluster g are multiplied by (I - H_gg)^(-1/2), the
    degrees of freedom are those of the chi-squared with the same first two moments when errors are
    independent and alike. Both need only Gram matrices: with B = LL' the eigenvectors of
    L'X_g'W_gX_gL hold all that H_gg does, and effects inside clusters change nothing (Pustejovsky
    and Tipton 2018). Directions that a cluster alone determines (eigenvalue one) are left
    uncorrected. Weights are taken as inverse variances.

    Returns
    -------
    (variance, degrees of freedom)
    """
    result = fit(grams)
    root = np.linalg.cholesky(result.bread)
    value, vector = np.linalg.eigh(np.einsum("ji,gjk,kl->gil", root, grams.xx, root, optimize=True))
    value = np.clip(value, 0.0, 1.0)
    inside = value < 1 - 1e-9
    # (1 - v)^(-1/2) - 1 over v is 1/2 in the limit of v = 0.
    safe = np.where(inside & (value > 1e-12), value, 0.5)
    lift = np.where(value > 1e-12, ((1 - safe) ** -0.5 - 1) / safe, 0.5)
    lift = np.where(inside, lift, 0.0)
    # X_g'A_g r = (I + X_g'X_g L V lift V'L') X_g'r for any r in the space of scores.
    turned = root @ vector
    correction = np.einsum("gji,gi,gki->gjk", turned, lift, turned, optimize=True)
    direction = result.bread[:, 0]
    corrected = result.scores + np.einsum(
        "gij,gjk,gk->gi", grams.xx, correction, result.scores, optimize=True
    )
    variance = float(np.square(corrected @ direction).sum())
    # a_g = A_g X_g b. Its own length uses A_g squared, its products with others X_g'A_g X_g b.
    lifted = np.where(inside, 1 / np.where(inside, 1 - value, 1.0), 1.0)
    along = np.einsum("gji,j->gi", vector, np.linalg.solve(root, direction))
    own = (np.square(along) * value * lifted).sum(axis=1)
    once = np.einsum("gij,j->gi", grams.xx, direction)
    once = once + np.einsum("gij,gjk,gk->gi", grams.xx, correction, once, optimize=True)
    inner = np.diag(own) - once @ result.bread @ once.T
    return variance, float(np.trace(inner) ** 2 / np.square(inner).sum())
