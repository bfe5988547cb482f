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

from .columns import Coded, Columns, Crossed, Plain, covariate_blocks, indicators, period_block
from .did import EFFECT, original_columns
from .estimate import Interval
from .frames import (
    CellTable,
    Floats,
    FrameError,
    Ints,
    cell_table,
    independent,
    merged,
    pair_codes,
    rows_of,
)
from .inference import t_test

if TYPE_CHECKING:
    import pandas as pd

SPECIFICATIONS = ("original", "preferred")
#: Fitted log odds beyond this leave a probability within 1e-9 of 0 or 1: separation.
EXTREME = 20.0
#: Largest score of a converged fit, relative to the sum of weights.
SCORE = 1e-6
#: Newton's steps at most; about seven are needed.
_STEPS = 12
#: Largest change of a fitted log odds by the last step: the error left is about its square.
_SETTLED = 1e-9
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
    frame: pd.DataFrame | CellTable,
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
    frame : DataFrame or CellTable
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
    original = specification == "original"
    cells, rows = merged(table, groups=not original, calendar=original)
    x = _design(cells, specification)
    if not _identified(x, cells.n)[0]:
        raise FrameError(
            "the effect is not identified in the logit: it is collinear with the other columns; "
            "check that a treated cluster is seen before and after, beside a comparator"
        )
    kept, omitted = _informative(x, cells.y_sum, cells.n)
    cells, x, rows = rows_of(cells, kept), x.take(kept), rows[kept]
    m = len(cells.treated_las)
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
        n_clusters=len(np.unique(cells.la)),
        n_treated_clusters=m,
        omitted=omitted,
    )
    exposed = cells.exposure > 0
    columns = _identified(x, cells.n)
    if not exposed.any() or not columns[0]:
        return _without(blank, "where the outcome varies, the effect is not identified")
    x = x.only(columns)
    if cells.y_sum[exposed].sum() in (0.0, cells.n[exposed].sum()):
        return _without(blank, "after adoption all treated had the outcome, or none had")
    beta, trouble = _fit(x, cells)
    if trouble:
        return _without(blank, trouble)
    return _assemble(blank, x, cells, beta, level)


def _without(blank: BinaryEstimate, why: str) -> BinaryEstimate:
    return replace(blank, notes=(f"the logit gives no number: {why}",))


def _design(table: CellTable, specification: str) -> Columns:
    """Columns of the model, the effect first."""
    if specification == "original":
        return original_columns(table)
    code = pair_codes(table.group, table.la)
    first = np.stack([table.exposure, np.ones(len(code))], axis=1)
    return Columns(
        (
            Plain((EFFECT, "constant"), first),
            indicators(code, [str(k) for k in range(int(code.max()) + 1)], "pair"),
            period_block(table),
            *covariate_blocks(table),
        )
    )


def _informative(x: Columns, y: Floats, w: Floats) -> tuple[Any, int]:
    """Rows left once categories whose outcome is all 0 or all 1 are set aside, and their number.

    Their own coefficient has no finite estimate and they say nothing on the others, so columns and
    rows are left out together, as common packages do. The effect's own column is not judged here.
    """
    kept = np.ones(len(y), dtype=bool)
    flags: list[Ints] = []
    for block in x.blocks:
        if isinstance(block, Coded):
            flags.append(block.code)
            continue
        for name, values in zip(block.names, block.values.T, strict=True):
            if name != x.names[0] and np.isin(values, (0.0, 1.0)).all():
                flags.append(np.where(values == 1, 0, -1))
    gone = 0
    while True:
        before = gone
        for code in flags:
            of = code[kept] + 1
            rows, total, hits = (
                np.bincount(of, weights)[1:] for weights in (None, w[kept], y[kept])
            )
            flat = (hits <= 1e-12 * total) | (hits >= (1 - 1e-12) * total)
            flat &= rows > 0
            gone += int(flat.sum())
            kept &= ~np.append(flat, False)[np.where(code < len(flat), code, -1)]
        if gone == before:
            return kept, gone


def _identified(x: Columns, w: Floats) -> Any:
    """Columns to keep: nuisance columns first, so that the effect is judged given all others."""
    keep = np.zeros(len(x.names), dtype=bool)
    if x.rows:
        order = np.r_[1 : len(keep), 0]
        keep[order] = independent(_whole(x).products(w)[0][np.ix_(order, order)])
    return keep


def _whole(x: Columns) -> Crossed:
    """All rows as one cluster."""
    return Crossed(x, np.zeros(x.rows, dtype=np.int64), 1)


def _score(x: Columns, values: Floats) -> Floats:
    return x.sums(values, np.zeros(len(values), dtype=np.int64), 1)[0]


def _fit(x: Columns, table: CellTable) -> tuple[Floats, str]:
    """Coefficients of greatest likelihood, or why there are none.

    Newton's steps on sums; where they do not settle, statsmodels' GLM decides.
    """
    found = _newton(x, table)
    if found is None:
        found, trouble = _by_statsmodels(x, table)
        if trouble:
            return found, trouble
    if not np.isfinite(found).all():
        return found, "the fit did not converge"
    eta = x.times(found)
    if np.abs(eta).max() > EXTREME:
        return found, "some combination of characteristics predicts the outcome perfectly"
    if np.abs(_score(x, table.n * (table.y - _p(eta)))).max() > SCORE * table.n.sum():
        return found, "the fit did not converge"
    return found, ""


def _by_statsmodels(x: Columns, table: CellTable) -> tuple[Floats, str]:
    import statsmodels.api as sm

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # separation and convergence are judged afterwards
        family = sm.families.Binomial()
        model = sm.GLM(table.y, x.written_out(), family=family, var_weights=table.n)
        try:
            result = model.fit(maxiter=50, tol=1e-12, tol_criterion="deviance", wls_method="qr")
        except (np.linalg.LinAlgError, ValueError) as error:
            return np.empty(0), f"the fit failed ({type(error).__name__})"
    return np.asarray(result.params, dtype=float), ""


def _newton(x: Columns, table: CellTable) -> Floats | None:
    """Newton's steps from zero; None where they do not settle."""
    beta, crossed = np.zeros(len(x.names)), _whole(x)
    for _ in range(_STEPS):
        p = _p(x.times(beta))
        try:
            step = np.linalg.solve(
                crossed.products(table.n * p * (1 - p))[0], _score(x, table.n * (table.y - p))
            )
        except np.linalg.LinAlgError:
            return None
        beta = np.asarray(beta + step)
        moved = np.abs(x.times(np.asarray(step, dtype=np.float64))).max()
        if not moved < EXTREME:
            return None
        if moved < _SETTLED:
            return beta
    return None


def _p(eta: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(eta))


def _effect(on: Columns, weight: Floats, beta: Floats) -> tuple[float, float, Floats]:
    """Average marginal effect over exposed rows, the mean without the effect, and the gradient."""
    eta, first = on.times(beta), on.plain[1][:, 0]
    with_it, without = _p(eta), _p(eta - beta[0] * first)
    moves = weight * with_it * (1 - with_it)
    gradient = _score(on, moves - weight * without * (1 - without))
    gradient[0] = moves @ first
    return float(weight @ (with_it - without)), float(weight @ without), gradient


def _assemble(
    blank: BinaryEstimate, x: Columns, table: CellTable, beta: Floats, level: float
) -> BinaryEstimate:
    exposed = np.flatnonzero(table.exposure > 0)
    clusters, la = np.unique(table.la, return_inverse=True)
    g = len(clusters)
    fitted = _p(x.times(beta))
    scores = x.sums(table.n * (table.y - fitted), la, g)
    hessians = x.products(table.n * fitted * (1 - fitted), la, g)
    total = hessians.sum(axis=0)
    on, w = x.take(exposed), table.n[exposed]
    ame, baseline, gradient = _effect(on, w / w.sum(), beta)
    influence = scores @ np.linalg.solve(total, gradient)
    se_delta = float(np.sqrt(g / (g - 1) * (influence @ influence)))
    left = np.full(g, NAN)
    for i in range(g):
        rest = np.where(la[exposed] == i, 0.0, w)
        if not rest.any() or not _still_identified(total - hessians[i]):
            continue
        # Columns of the cluster alone vanish with it: the pseudo-inverse leaves them where they
        # were, and no other row's probability depends on them.
        step = np.linalg.pinv(total - hessians[i], rcond=1e-10, hermitian=True) @ scores[i]
        left[i] = _effect(on, rest / rest.sum(), beta - step)[0]
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


def _still_identified(hessian: Floats) -> bool:
    """Whether the effect is more than a combination of the other columns."""
    order = np.r_[1 : len(hessian), 0]
    return bool(independent(hessian[np.ix_(order, order)])[-1])
