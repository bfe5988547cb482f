"""Logit for a 0/1 outcome, read as a difference in probability: the average marginal effect.

The effect of an interaction in a logit is not its coefficient and not a cross difference of
probabilities: it is, over the treated after adoption, the mean of the fitted probability less the
one with the interaction taken out (Puhani 2012; why the coefficient will not do: Ai and Norton
2003). Errors are clustered on the authority; the jackknife leaves out one cluster at a time by one
Newton step from the full fit (MacKinnon, Nielsen and Webb 2024), so it costs one fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .did import original_columns, period_effects
from .estimate import Interval
from .frames import (
    CellTable,
    Floats,
    FrameError,
    Ints,
    cell_table,
    covariate_columns,
    dummies,
    independent,
    pair_codes,
)
from .inference import t_test

if TYPE_CHECKING:
    import pandas as pd

SPECIFICATIONS = ("original", "preferred")
#: Fitted log odds beyond this leave a probability within 1e-9 of 0 or 1: separation.
EXTREME = 20.0
#: Largest score of a converged fit, relative to the sum of weights.
SCORE = 1e-6
#: Newton steps before the fit proper; from a sensible start it takes about seven.
_STEPS = 12
NAN = float("nan")


@dataclass(frozen=True)
class BinaryEstimate:
    """Average marginal effect of treated x post from a logit, in proportions.

    Attributes
    ----------
    ame : float
        Mean over exposed individuals of fitted probability less the one without the effect; NaN
        where the model could not be fitted, and then `notes` says why.
    se_delta, se_jackknife : float
        Clustered delta method with G/(G-1), for comparison; linearised cluster jackknife.
    p, ci : from the jackknife and t(`df`), treated clusters less one.
    coefficient : float
        Log odds ratio of treated x post.
    baseline : float
        Mean fitted probability of the exposed without the effect.
    n_rows, n_clusters, n_treated_clusters : int
        Individual rows (copies counted each time) and clusters of the fit.
    omitted : int
        Columns without variation in the outcome, left out with their rows.
    """

    specification: str
    ame: float
    se_delta: float
    se_jackknife: float
    df: int
    p: float
    ci: Interval
    coefficient: float
    baseline: float
    n_rows: int
    n_clusters: int
    n_treated_clusters: int
    omitted: int = 0
    notes: tuple[str, ...] = ()


def logit(
    frame: pd.DataFrame,
    covariates: Sequence[str] = (),
    la_covariates: Sequence[str] = (),
    *,
    specification: str = "preferred",
    period: str = "event_time",
    level: float = 0.95,
) -> BinaryEstimate:
    """Logit on cells with the columns of either linear specification.

    Parameters
    ----------
    frame : DataFrame
        Cell rows, see `frames.cell_table`; outcomes 0 or 1.
    covariates, la_covariates : sequence of str
        Categorical columns, and numeric LA-by-year columns.
    specification : str
        'original': no LA effects; 'preferred': group x LA and group x period effects.

    Raises
    ------
    FrameError
        Missing columns or values, an outcome that is not 0/1, an unknown specification, or an
        effect that no outcome could identify. Separation and failure to converge are no error:
        they give a note instead of a number.
    """
    if specification not in SPECIFICATIONS:
        raise FrameError(
            f"specification must be one of {', '.join(SPECIFICATIONS)}, not {specification!r}"
        )
    table = cell_table(frame, covariates, la_covariates, period=period)
    if (table.y_sum < 0).any() or (table.y_sum > table.n).any():
        raise FrameError("a logit needs an outcome of 0 or 1, summed over each cell (y_sum <= n)")
    merged, rows = _merged(table, specification)
    x = _design(merged, specification)
    if not _identified(x, merged.n)[0]:
        raise FrameError(
            "the effect is not identified in the logit: it is collinear with the other columns; "
            "check that a treated cluster is seen before and after, beside a comparator"
        )
    kept, omitted = _informative(x, merged.y_sum, merged.n)
    merged, x, rows = _rows(merged, kept), x[kept], rows[kept]
    m = len(merged.treated_las)
    blank = BinaryEstimate(
        specification=specification,
        ame=NAN,
        se_delta=NAN,
        se_jackknife=NAN,
        df=m - 1,
        p=NAN,
        ci=(NAN, NAN),
        coefficient=NAN,
        baseline=NAN,
        n_rows=round(float(rows.sum())),
        n_clusters=len(np.unique(merged.la)),
        n_treated_clusters=m,
        omitted=omitted,
    )
    exposed = merged.exposure > 0
    columns = _identified(x, merged.n)
    if not exposed.any() or not columns[0]:
        return _without(blank, "where the outcome varies, the effect is not identified")
    x = x[:, columns]
    if merged.y_sum[exposed].sum() in (0.0, merged.n[exposed].sum()):
        return _without(blank, "after adoption all treated had the outcome, or none had")
    beta, trouble = _fit(x, merged)
    if trouble:
        return _without(blank, trouble)
    return _assemble(blank, x, merged, beta, level)


def _without(blank: BinaryEstimate, why: str) -> BinaryEstimate:
    return replace(blank, notes=(f"the logit gives no number: {why}",))


def _merged(table: CellTable, specification: str) -> tuple[CellTable, Floats]:
    """Cells that the model cannot tell apart as one: weights in `n`, weighted sums in `y_sum`."""
    keys = [table.la, table.group, table.treated.astype(np.int64), table.post.astype(np.int64)]
    keys.append(table.year if specification == "original" else table.period)
    keys += [codes for _, codes in table.categories.values()]
    keys += [np.unique(v, return_inverse=True)[1] for v in table.numeric.values()]
    code = keys[0]
    for key in keys[1:]:
        code = pair_codes(code, key)
    _, first = np.unique(code, return_index=True)
    weight = np.bincount(code, table.w).astype(float)
    merged = replace(
        _rows(table, first),
        n=weight,
        y_sum=np.bincount(code, table.weight * table.y_sum).astype(float),
        weight=np.ones(len(first)),
        copies=np.ones(len(first)),
    )
    return merged, np.bincount(code, table.n).astype(float)


def _rows(table: CellTable, index: Ints | Any) -> CellTable:
    """Some rows of a table, in the order given."""
    names = ("la", "group", "period", "year", "treated", "post", "n", "y_sum", "y_sq")
    return replace(
        table,
        **{name: getattr(table, name)[index] for name in (*names, "weight", "copies")},
        categories={k: (levels, codes[index]) for k, (levels, codes) in table.categories.items()},
        numeric={k: values[index] for k, values in table.numeric.items()},
    )


def _design(table: CellTable, specification: str) -> Floats:
    """Columns of the model, the effect first."""
    if specification == "original":
        return original_columns(table)[1]
    code = pair_codes(table.group, table.la)
    within = dummies(code, [str(k) for k in range(int(code.max()) + 1)], "pair")[1]
    ones = np.ones((len(code), 1))
    c = covariate_columns(table)[1]
    return np.hstack([table.exposure[:, None], ones, within, period_effects(table)[1], c])


def _informative(x: Floats, y: Floats, w: Floats) -> tuple[Any, int]:
    """Rows left once categories whose outcome is all 0 or all 1 are set aside, and their number.

    Their own coefficient has no finite estimate and they say nothing on the others, so columns and
    rows are left out together, as common packages do. The effect's own column is not judged here.
    """
    kept = np.ones(len(y), dtype=bool)
    gone: set[int] = set()
    flags = [j for j in range(1, x.shape[1]) if np.isin(x[:, j], (0.0, 1.0)).all()]
    while True:
        found = []
        for j in flags:
            here = kept & (x[:, j] == 1)
            if j in gone or not here.any():
                continue
            total, hits = w[here].sum(), y[here].sum()
            if hits <= 1e-12 * total or hits >= (1 - 1e-12) * total:
                found.append(j)
                kept &= x[:, j] != 1
        if not found:
            return kept, len(gone)
        gone.update(found)


def _identified(x: Floats, w: Floats) -> Any:
    """Columns to keep: nuisance columns first, so that the effect is judged given all others."""
    if not len(x):
        return np.zeros(x.shape[1], dtype=bool)
    order = np.r_[1 : x.shape[1], 0]
    keep = np.zeros(x.shape[1], dtype=bool)
    keep[order] = independent((x[:, order] * w[:, None]).T @ x[:, order])
    return keep


def _fit(x: Floats, table: CellTable) -> tuple[Floats, str]:
    """Coefficients by statsmodels' GLM, or why there are none."""
    import statsmodels.api as sm

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # separation and convergence are judged below
        model = sm.GLM(table.y, x, family=sm.families.Binomial(), var_weights=table.n)
        try:
            result = model.fit(
                _near(x, table), maxiter=50, tol=1e-12, tol_criterion="deviance", wls_method="qr"
            )
        except (np.linalg.LinAlgError, ValueError) as error:
            return np.empty(0), f"the fit failed ({type(error).__name__})"
    beta = np.asarray(result.params, dtype=float)
    if not np.isfinite(beta).all():
        return beta, "the fit did not converge"
    if np.abs(x @ beta).max() > EXTREME:
        return beta, "some combination of characteristics predicts the outcome perfectly"
    score = x.T @ (table.n * (table.y - _p(x @ beta)))
    if np.abs(score).max() > SCORE * table.n.sum():
        return beta, "the fit did not converge"
    return beta, ""


def _near(x: Floats, table: CellTable) -> Floats | None:
    """Where to begin: Newton's steps on sums of squares, each a fraction of a step on rows.

    None where they do not settle; then the fit begins where it always would.
    """
    beta = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = _p(x @ beta)
        weight = table.n * p * (1 - p)
        try:
            step = np.linalg.solve((x * weight[:, None]).T @ x, x.T @ (table.n * (table.y - p)))
        except np.linalg.LinAlgError:
            return None
        beta = beta + step
        moved = np.abs(x @ step).max()
        if not moved < EXTREME:
            return None
        if moved < 1e-9:
            return beta
    return None


def _p(eta: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(eta))


def _effect(on: Floats, w: Floats, beta: Floats) -> tuple[float, Floats, float]:
    """Average marginal effect over exposed rows, its gradient and the mean without the effect."""
    weight = w / w.sum()
    off = on.copy()
    off[:, 0] = 0.0
    with_it, without = _p(on @ beta), _p(off @ beta)
    gradient = (weight * with_it * (1 - with_it)) @ on - (weight * without * (1 - without)) @ off
    return float(weight @ (with_it - without)), gradient, float(weight @ without)


def _assemble(
    blank: BinaryEstimate, x: Floats, table: CellTable, beta: Floats, level: float
) -> BinaryEstimate:
    w, exposed = table.n, table.exposure > 0
    on = x[exposed]
    ame, gradient, baseline = _effect(on, w[exposed], beta)
    fitted = _p(x @ beta)
    clusters = np.unique(table.la)
    g = len(clusters)
    scores = np.stack([x[r].T @ (w[r] * (table.y[r] - fitted[r])) for r in _each(table, clusters)])
    curve = w * fitted * (1 - fitted)
    hessians = np.stack([(x[r] * curve[r, None]).T @ x[r] for r in _each(table, clusters)])
    total = hessians.sum(axis=0)
    influence = scores @ np.linalg.solve(total, gradient)
    se_delta = float(np.sqrt(g / (g - 1) * (influence @ influence)))
    left = np.full(g, NAN)
    for i, cluster in enumerate(clusters):
        rest = table.la[exposed] != cluster
        if not rest.any() or not _still_identified(total - hessians[i]):
            continue
        # Columns of the cluster alone vanish with it: the pseudo-inverse leaves them where they
        # were, and no other row's probability depends on them.
        step = np.linalg.pinv(total - hessians[i], rcond=1e-10, hermitian=True) @ scores[i]
        left[i] = _effect(on[rest], w[exposed][rest], beta - step)[0]
    se = float(np.sqrt((g - 1) / g * np.sum((left - ame) ** 2)))
    p, ci = t_test(ame, se, blank.df, level)
    notes: tuple[str, ...] = ()
    if np.isnan(se):
        notes = ("the jackknife is not defined: leaving out one cluster removes the effect",)
    return replace(
        blank,
        ame=ame,
        se_delta=se_delta,
        se_jackknife=se,
        p=p,
        ci=ci,
        coefficient=float(beta[0]),
        baseline=baseline,
        notes=notes,
    )


def _each(table: CellTable, clusters: Ints) -> list[Any]:
    return [np.flatnonzero(table.la == c) for c in clusters]


def _still_identified(hessian: Floats) -> bool:
    """Whether the effect is more than a combination of the other columns."""
    order = np.r_[1 : len(hessian), 0]
    return bool(independent(hessian[np.ix_(order, order)])[-1])
