"""Fixed effects of units inside clusters, from sums over units: no row of a unit is needed.

Taking out a mean for each unit i with m_i rows leaves X'X - sum_i s_i s_i' / m_i, where s_i adds up
the unit's rows of X. With dummies of the time as regressors s_i are its counts by time, so sums of
products of counts, parted by m, give the Gram matrices exactly (Frisch and Waugh 1933).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import FrameError, independent
from .grams import Grams


def unit_grams(single: pd.DataFrame, pairs: pd.DataFrame, units: int) -> Grams:
    """Gram matrices of treated x post and group x time, unit effects taken out in each group.

    Every row counts the same. Units lie inside clusters (`la`), so clustering is not touched.

    Parameters
    ----------
    single : `group`, `la`, `treated`, `time`, `post`, `m` (rows of a unit), and over units the sums
        of its rows then (`n`), their outcome (`y`) and rows then x its outcome in all (`n_total`).
    pairs : `group`, `la`, `m`, `time`, `other` and the sum of products of rows (`product`).
    units : how many effects are taken out.

    Raises
    ------
    FrameError : treated x post is not identified.
    """
    clusters = tuple(sorted(single["la"].unique()))
    places = sorted(set(zip(single["group"], single["time"], strict=True)))
    # The first time of each group is the base: unit effects hold the sum of its dummies.
    base = {min(p for p in places if p[0] == g) for g in {g for g, _ in places}}
    at = {place: j for j, place in enumerate(p for p in places if p not in base)}
    k = 1 + len(at)
    xx = np.zeros((len(clusters), k, k))
    xy, n = np.zeros((len(clusters), k)), np.zeros(len(clusters))
    for (group, la), own in single.groupby(["group", "la"], sort=True):
        times = sorted(own["time"].unique())
        row = {t: i for i, t in enumerate(times)}
        count, total = np.zeros(len(times)), np.zeros(len(times))
        where = own["time"].map(row).to_numpy()
        np.add.at(count, where, own["n"].to_numpy(float))
        np.add.at(total, where, (own["y"] - own["n_total"] / own["m"]).to_numpy(float))
        mine = pairs[(pairs["group"] == group) & (pairs["la"] == la)]
        means = np.zeros((len(times), len(times)))
        ends = mine["time"].map(row).to_numpy(), mine["other"].map(row).to_numpy()
        np.add.at(means, ends, (mine["product"] / mine["m"]).to_numpy(float))
        design = np.zeros((len(times), k))
        post = own.groupby("time")["post"].first().loc[times].to_numpy()
        design[:, 0] = post * int(own["treated"].iloc[0])
        for t in times:
            if (group, t) in at:
                design[row[t], 1 + at[(group, t)]] = 1.0
        g = clusters.index(la)
        xx[g] += design.T @ (np.diag(count) - means) @ design
        xy[g] += design.T @ total
        n[g] += count.sum()
    order = np.r_[1:k, 0]
    keep = np.zeros(k, dtype=bool)
    whole = xx.sum(axis=0)
    keep[order] = independent(whole[np.ix_(order, order)])
    if not keep[0] or whole[0, 0] <= 0:
        raise FrameError(
            "treated x post is not identified beside unit effects: no unit of a treated cluster "
            "is seen both before and after"
        )
    names = np.array(["effect", *(f"group {g}, time {t}" for g, t in at)], dtype=object)
    return Grams(
        clusters=clusters,
        names=tuple(names[keep]),
        xx=xx[:, keep][:, :, keep],
        xy=xy[:, keep],
        n=n,
        cells=len(single),
        absorbed=units,
        dropped=tuple(names[~keep]),
    )
