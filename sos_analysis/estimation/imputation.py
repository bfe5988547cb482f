"""Multiple imputation of categorical covariates on covariate-pattern counts, and Rubin's rules.

A cell with a missing category is many children who look alike. Each is given a category of its own
by a draw from a logistic model of that category on all others; a cell is then split by a
multinomial draw of its counts. So no row of a child is needed. Sources: Rubin 1987; small-sample
degrees of freedom: Barnard and Rubin 1999; draws of the parameters before the values: van Buuren
2018 (normal approximation, method 'logreg').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .frames import Floats, FrameError, Ints
from .inference import t_test

if TYPE_CHECKING:
    import pandas as pd

#: Standard deviation of the normal prior of every coefficient but the constants: so wide that it
#: only acts where a category occurs in one answer alone and no finite estimate exists.
PRIOR_SD = 5.0
_STEPS = 50


@dataclass(frozen=True)
class Pooled:
    """An estimate over m imputations by Rubin's rules.

    Attributes
    ----------
    estimate, se : mean estimate; square root of within + (1 + 1/m) between.
    within, between : mean variance, and variance of the estimates.
    df : Barnard and Rubin's degrees of freedom.
    share : share of the total variance that is due to what is missing (lambda).
    p, ci : from t(df). imputations : m.
    """

    estimate: float
    se: float
    within: float
    between: float
    df: float
    share: float
    p: float
    ci: tuple[float, float]
    imputations: int


def rubin(
    estimates: Sequence[float], variances: Sequence[float], df_complete: float, level: float = 0.95
) -> Pooled:
    """Pool estimates of m imputed data sets.

    Parameters
    ----------
    df_complete : float
        Degrees of freedom if nothing were missing (with few clusters: of the cluster covariance).

    Raises
    ------
    FrameError
        Fewer than two imputations, or a number is missing or negative.
    """
    q, u = np.asarray(estimates, float), np.asarray(variances, float)
    m = len(q)
    if m < 2 or len(u) != m or not (np.isfinite(q).all() and np.isfinite(u).all()):
        raise FrameError("Rubin's rules need two or more finite estimates, each with its variance")
    if (u <= 0).any() or df_complete <= 0:
        raise FrameError("Rubin's rules need variances and degrees of freedom above 0")
    within, between = float(u.mean()), float(q.var(ddof=1))
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    observed = (df_complete + 1) / (df_complete + 3) * df_complete * (1 - share)
    df = observed if share == 0 else 1 / (share**2 / (m - 1) + 1 / observed)
    se = float(np.sqrt(total))
    p, ci = t_test(float(q.mean()), se, df, level)
    return Pooled(float(q.mean()), se, within, between, float(df), float(share), p, ci, m)


@dataclass(frozen=True)
class LevelModel:
    """Nested logistic models of one covariate: level 1 or later, then level 2 or later, ...

    `levels` are the answers that may be drawn; `coding` says which columns and levels the
    regressors are; `beta` and `root` (a square root of the covariance) belong to each step.
    """

    target: str
    missing: tuple[str, ...]
    levels: tuple[str, ...]
    coding: tuple[tuple[str, tuple[str, ...]], ...]
    numeric: tuple[str, ...]
    beta: tuple[Floats, ...]
    root: tuple[Floats, ...]


def level_model(
    frame: pd.DataFrame,
    target: str,
    *,
    predictors: Sequence[str],
    numeric: Sequence[str] = (),
    missing: Sequence[str],
    structural: Sequence[str] = (),
) -> LevelModel:
    """Fit the model of a covariate on rows where it is known, weighted by their counts `n`.

    Parameters
    ----------
    frame : DataFrame
        Columns `target` (categorical), `predictors` (of few values, a missing level being one
        more), `numeric` and `n`.
    missing : levels of the target that stand for 'not known'.
    structural : levels of the target that are no answer (the question does not arise); rows that
        hold one take no part, and none is drawn.

    Raises
    ------
    FrameError
        No known answer to learn from.
    """
    known = frame[~frame[target].isin([*missing, *structural])]
    total = known.groupby(target, observed=True)["n"].sum()
    total = total[total > 0]
    if total.empty:
        raise FrameError(f"covariate {target!r} is never known; nothing to impute it from")
    # The commonest first, so that each step has many on either side.
    levels = tuple(str(v) for v in total.sort_values(ascending=False, kind="stable").index)
    keys = [*predictors, *numeric]
    answer = known[target].to_numpy()
    wide = known[keys].assign(
        **{f"level {j}": known["n"].to_numpy() * (answer == v) for j, v in enumerate(levels)}
    )
    counted = wide.groupby(keys, observed=True, sort=True).sum().reset_index()
    counts = counted[[f"level {j}" for j in range(len(levels))]].to_numpy(float)
    coding = tuple((name, tuple(sorted(map(str, counted[name].unique())))) for name in predictors)
    x = _regressors(counted, coding, tuple(numeric))
    betas, roots = [], []
    for j in range(len(levels) - 1):
        beta, root = logit(x, counts[:, j], counts[:, j:].sum(axis=1))
        betas.append(beta)
        roots.append(root)
    return LevelModel(
        target, tuple(missing), levels, coding, tuple(numeric), tuple(betas), tuple(roots)
    )


def logit(x: Floats, successes: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """Penalised logistic regression on counts by Newton's method.

    Parameters
    ----------
    x : array, N x K
        The first column is the constant, which has no prior.

    Returns
    -------
    (coefficients, K; a square root of their covariance, K x K)

    Raises
    ------
    FrameError
        It does not settle in 50 steps.
    """
    there = trials > 0
    x, successes, trials = x[there], successes[there], trials[there]
    penalty = np.full(x.shape[1], PRIOR_SD**-2)
    penalty[0] = 1e-8
    beta = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        score = x.T @ (successes - trials * chance) - penalty * beta
        information = x.T @ ((trials * chance * (1 - chance))[:, None] * x) + np.diag(penalty)
        step = np.linalg.solve(information, score)
        # Steps are held short: from zero, a rare level would overshoot.
        beta = beta + step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-300))
        if float(np.abs(step).max()) < 1e-9:
            root = np.linalg.cholesky(np.linalg.inv(information))
            return beta, np.asarray(root)
    raise FrameError("a model of a missing covariate does not settle; use fewer predictors")


def _regressors(
    frame: pd.DataFrame,
    coding: tuple[tuple[str, tuple[str, ...]], ...],
    numeric: tuple[str, ...],
) -> Floats:
    import pandas as pd

    blocks: list[Any] = [np.ones((len(frame), 1))]
    for name, levels in coding:
        code = pd.Categorical(frame[name].astype(str), categories=list(levels)).codes
        # A level that the model has not seen counts as the first.
        blocks.append((code[:, None] == np.arange(1, len(levels))[None, :]).astype(float))
    blocks += [frame[name].to_numpy(float)[:, None] for name in numeric]
    return np.hstack(blocks)


def impute(
    frame: pd.DataFrame, model: LevelModel, rng: np.random.Generator, split: Sequence[str] = ()
) -> pd.DataFrame:
    """One imputation: rows whose target is missing are split over its levels.

    Parameters of the model are drawn first, then the counts. Rows stay in order, those imputed
    come last, level by level; the same generator state gives the same rows.

    Parameters
    ----------
    split : sums (besides `n`) that are shared out in proportion to the counts.
    """
    import pandas as pd

    gone = frame[model.target].isin(model.missing).to_numpy()
    if not gone.any():
        return frame

    here = frame[gone]
    x = _regressors(here, model.coding, model.numeric)
    left = here["n"].to_numpy(np.int64)
    counts: list[Ints] = []
    for beta, root in zip(model.beta, model.root, strict=True):
        drawn = beta + root @ rng.standard_normal(len(beta))
        taken = rng.binomial(left, 1 / (1 + np.exp(-np.clip(x @ drawn, -30, 30))))
        counts.append(taken.astype(np.int64))
        left = left - taken
    counts.append(left)
    n = here["n"].to_numpy(float)
    known = [v for v in frame[model.target].cat.categories if v not in model.missing]
    kind = pd.CategoricalDtype(known)
    parts = [frame[~gone].astype({model.target: kind})]
    for level, count in zip(model.levels, counts, strict=True):
        shared = {name: here[name].to_numpy(float) * count / n for name in split}
        same = pd.Categorical([level], dtype=kind).repeat(len(here))
        part = here.assign(**{model.target: same, "n": count, **shared})
        parts.append(part[count > 0])
    return pd.concat(parts, ignore_index=True)
