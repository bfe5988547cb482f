"""Several outcomes at once: Holm and Romano-Wolf stepdown.

Holm needs p-values alone and holds under any dependence, so it takes the primary procedure's.
Romano-Wolf needs the outcomes' statistics in one and the same draw. Slots and authorities differ
from outcome to outcome (each has comparators of its own), so one permutation cannot be applied to
all; the restricted wild cluster bootstrap can: a cluster's sign is the same in every outcome, which
carries over how its errors in different outcomes hang together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .bootstrap import Kind, _influence, _restricted_scores, wild_weights
from .frames import Floats, FrameError
from .grams import Grams, fit
from .inversion import TIE


@dataclass(frozen=True)
class Adjusted:
    """p-values of a family of outcomes. Mappings go by outcome.

    Attributes
    ----------
    p : as given, each outcome alone (the primary procedure's).
    holm : `p` after Holm.
    p_wild : each outcome alone by the wild bootstrap with the signs that all outcomes share.
    romano_wolf : `p_wild` after stepdown.
    statistic : observed CRV1 t (no factor).
    draws : sign vectors. exact : they are all that exist.
    """

    p: Mapping[str, float]
    holm: Mapping[str, float]
    p_wild: Mapping[str, float]
    romano_wolf: Mapping[str, float]
    statistic: Mapping[str, float]
    draws: int
    exact: bool


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for their number by Holm's step-down rule; NaN stays and is not counted."""
    from statsmodels.stats.multitest import multipletests

    values = np.array(p, dtype=float)
    known = np.isfinite(values)
    if known.any():
        values[known] = multipletests(values[known], method="holm")[1]
    return tuple(float(v) for v in values)


def adjusted(
    grams: Mapping[str, Grams],
    p: Mapping[str, float],
    *,
    kind: Kind = "31",
    draws: int = 9999,
    seed: int,
) -> Adjusted:
    """Adjust the effects of a family of outcomes for being several.

    Parameters
    ----------
    grams : outcome -> Gram matrices, the effect first; clusters may differ between outcomes.
    p : outcome -> p-value of the primary procedure.
    draws, seed
        Rademacher signs over the clusters of all outcomes together.

    Raises
    ------
    FrameError
        The two mappings do not name the same outcomes, or a p-value is missing.
    """
    names = list(grams)
    if set(names) != set(p) or not all(np.isfinite(p[name]) for name in names):
        raise FrameError(
            f"Gram matrices are of {', '.join(names)}; finite p-values are needed for the same"
        )
    seen, drawn, exact = joint_statistics(grams, kind=kind, draws=draws, seed=seed)
    alone = [_p(seen[j : j + 1], drawn[:, j : j + 1], exact) for j in range(len(names))]
    stepped = stepdown(seen, drawn, exact)
    return Adjusted(
        p={name: float(p[name]) for name in names},
        holm=dict(zip(names, holm([p[name] for name in names]), strict=True)),
        p_wild=dict(zip(names, alone, strict=True)),
        romano_wolf=dict(zip(names, map(float, stepped), strict=True)),
        statistic=dict(zip(names, map(float, seen), strict=True)),
        draws=len(drawn),
        exact=exact,
    )


def joint_statistics(
    grams: Mapping[str, Grams], *, kind: Kind = "31", draws: int = 9999, seed: int
) -> tuple[Floats, Floats, bool]:
    """Observed t and bootstrap t under no effect, of J outcomes in the same draws.

    Returns
    -------
    (t, length J; t*, B x J; whether draws are exhaustive). CRV1 without a factor, which is the same
    in every draw of one outcome and cancels.
    """
    clusters = sorted(set().union(*(g.clusters for g in grams.values())))
    signs, exact = wild_weights(len(clusters), draws, "rademacher", seed)
    seen, drawn = [], []
    for g in grams.values():
        v = signs[:, [clusters.index(c) for c in g.clusters]]
        result = fit(g)
        scores, _ = _restricted_scores(g, 1, kind)
        z, h = _influence(g, result, scores, 1)
        residual = v * z[:, 0] - v @ h[:, :, 0].T
        spread = np.sqrt(np.einsum("bg,bg->b", residual, residual))
        top = v @ z[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(np.where(top == 0.0, 0.0, top / spread))
        own = result.scores @ result.bread[:, 0]
        seen.append(float(result.beta[0] / np.sqrt(own @ own)))
    return np.array(seen), np.stack(drawn, axis=1), exact


def stepdown(seen: Floats, drawn: Floats, exact: bool) -> Floats:
    """Romano-Wolf stepdown p-values (Romano and Wolf 2005, 2016), largest |t| first.

    Parameters
    ----------
    seen : array, J
    drawn : array, B x J
        Statistics under all null hypotheses.
    exact : bool
        Draws are all that exist: p is count / B, else (1 + count) / (1 + B).
    """
    order = np.argsort(-np.abs(seen), kind="stable")
    out = np.empty(len(seen))
    floor = 0.0
    for step, j in enumerate(order):
        # The largest among the hypotheses not yet taken out; p never falls from one to the next.
        floor = max(floor, _p(np.abs(seen[j : j + 1]), drawn[:, order[step:]], exact))
        out[j] = floor
    return out


def _p(seen: Floats, drawn: Floats, exact: bool) -> float:
    largest = np.abs(drawn).max(axis=1)
    count = int(np.count_nonzero(largest >= abs(float(seen[0])) * (1 - TIE)))
    return max(count, 1) / len(drawn) if exact else (1 + count) / (1 + len(drawn))
