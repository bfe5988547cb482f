"""How much series of treated clusters swing against those of others, before any treatment.

Exchanging series between roles is exact only where all swing alike. Where treated clusters swing
more, a series is first brought to the swing usual in the role it takes, measured where nothing
depends on treatment: Ferman and Pinto (2019) rescale residuals so where noise depends on size.
"""

from __future__ import annotations

import numpy as np

from .frames import Floats, Ints

#: Own treatment below this is none: exposures are shares added up in floating point.
UNTREATED = 1e-12


def swings(
    y: Floats, exposure: Floats, seen: np.ndarray, group: Ints, before: np.ndarray, treated: Floats
) -> Floats:
    """Swing usual among clusters of the same kind, L numbers: 1 for those never treated.

    The square root of the mean square of what is left of a series before treatment once its own
    mean and that of the window are taken out, by matched group; means over windows, then over
    clusters. Only clusters seen and themselves untreated in all those windows of a group count.
    All ones where it cannot be told: one window before, no cluster of a kind, or no variation.

    Parameters
    ----------
    y, exposure : arrays, L x S
        Outcome and own exposure of each cluster in each window.
    seen : array of bool, L x S
        Where there were individuals.
    group, before : arrays, S
        Matched group of the window, and whether it lies before treatment.
    treated : array, L
        1 for clusters that are treated in the design.
    """
    clean = seen & (exposure <= UNTREATED)
    total, count = np.zeros(len(y)), np.zeros(len(y))
    for g in np.unique(group[before]):
        windows = np.flatnonzero(before & (group == g))
        whole = clean[:, windows].all(axis=1)
        if len(windows) < 2 or whole.sum() < 2:
            continue
        part = y[np.ix_(whole, windows)]
        part = part - part.mean(axis=1, keepdims=True)
        part = part - part.mean(axis=0, keepdims=True)
        total[whole] += np.einsum("lt,lt->l", part, part)
        count[whole] += len(windows)
    mean = np.divide(total, count, out=np.full(len(y), np.nan), where=count > 0)
    kinds = [mean[(treated == kind) & (count > 0)] for kind in (1, 0)]
    if any(len(kind) == 0 or not kind.mean() > 0 for kind in kinds):
        return np.ones(len(y))
    return np.where(treated == 1, np.sqrt(kinds[0].mean() / kinds[1].mean()), 1.0)


def in_role(values: Floats, swing: Floats, role: int) -> Floats:
    """Series as they would swing in a role: deviations from the window's mean, scaled (L x S).

    The mean of a window is common to all clusters of a group, so taking it out changes no
    statistic of the data as they are.
    """
    if (swing == 1).all():
        return values
    return np.asarray((values - values.mean(axis=0)) * (swing[role] / swing)[:, None])
