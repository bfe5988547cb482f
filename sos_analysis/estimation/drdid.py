"""Two groups, two periods: doubly robust, outcome-regression and weighting estimators.

Sant'Anna and Zhao 2020 ("Doubly robust difference-in-differences estimators"); conventions as in
R's DRDID. Every estimator is a signed sum of weighted means of (residual) outcomes,
sum_k s_k (sum_i u_ki r_ki) / (sum_i u_ki), so one routine gives all influence functions: the
means' own, that of the propensity score (where u holds the odds) and those of the regressions
(where r holds a prediction). Abadie's weighting (2005) divides by shares of the sample instead of
by the sum of its own weights; it stands apart in `_abadie`.

Rows may stand for n individuals with mean outcome y. Contributions are linear in the outcome, so
the contribution at the mean and its slope are all that sums over individuals need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .frames import Floats, FrameError, independent

Method = Literal["dr", "dr-traditional", "dr-improved", "reg", "ipw", "ipw-abadie"]
METHODS = ("dr", "dr-traditional", "dr-improved", "reg", "ipw", "ipw-abadie")

#: Comparison rows with a propensity score from here on are left out (DRDID's default).
TRIM = 0.995


@dataclass(frozen=True)
class TwoByTwo:
    """An effect and what each row adds to it.

    Attributes
    ----------
    att : float
    influence : array, N
        Contribution of one individual of the row to the estimator's deviation, at the row's mean
        outcome: the sum of n x influence is 0, the sum of n x influence squared the variance (no
        n/(n-1)).
    slope : array, N
        Change of that contribution for a unit of outcome; the variance adds slope squared times
        the sum of squares inside the row.
    """

    att: float
    influence: Floats
    slope: Floats


@dataclass(frozen=True)
class _Nuisance:
    """A fitted nuisance model: prediction (or odds), contributions to coefficients, slopes."""

    value: Floats
    linear: Floats
    slope: Floats


@dataclass(frozen=True)
class _Term:
    """One weighted mean: sign, weights, whether they hold the odds, outcome, loadings."""

    sign: float
    u: Floats
    odds: bool
    r: Floats
    has_y: bool
    loads: tuple[tuple[int, float], ...] = ()


def _inverse(gram: Floats, what: str) -> Floats:
    if not independent(gram.copy()).all():
        raise FrameError(f"{what} is not identified: too few rows or no variation in a covariate")
    inverse = np.linalg.inv(gram)
    return np.asarray((inverse + inverse.T) / 2)


def _regression(y: Floats, x: Floats, w: Floats, n: Floats) -> _Nuisance:
    inverse = _inverse((x * (n * w)[:, None]).T @ x, "the outcome regression")
    beta = inverse @ (x.T @ (n * w * y))
    slope = (x * w[:, None]) @ inverse
    fitted = x @ beta
    return _Nuisance(fitted, slope * (y - fitted)[:, None], slope)


def _fixed(model: _Nuisance) -> _Nuisance:
    """The model without its contributions, where its derivative is 0 in large samples."""
    return _Nuisance(model.value, 0 * model.linear, 0 * model.slope)


def _propensity(d: Floats, x: Floats, w: Floats, n: Floats) -> _Nuisance:
    """Logit by Newton's method, steps halved until the likelihood rises; the value is the odds."""
    gamma = np.zeros(x.shape[1])
    # Starting at the treated share, the first steps stay small.
    share = float((n * w) @ d / (n * w).sum())
    gamma[0] = np.log(share / (1 - share))
    count = n * w

    def loss(g: Floats) -> float:
        return float(count @ (np.logaddexp(0.0, x @ g) - d * (x @ g)))

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ gamma, -500, 500)))
        hessian = (x * (n * w * p * (1 - p))[:, None]).T @ x
        inverse = _inverse(hessian, "the propensity score")
        step = inverse @ (x.T @ (n * w * (d - p)))
        before, size = loss(gamma), 1.0
        # Up to rounding: at the maximum a step can no longer lower the loss.
        while size > 1e-8 and not loss(gamma + size * step) <= before + 1e-9 * abs(before):
            size /= 2
        gamma = gamma + size * step
        if np.abs(x @ step).max() < 1e-10:
            break
    else:
        raise FrameError("the propensity score separates treated from comparison rows")
    p = np.minimum(1 / (1 + np.exp(-(x @ gamma))), 1 - 1e-6)
    if p[d == 1].max(initial=0) >= 0.999:
        raise FrameError("no overlap: a propensity score reaches 0.999")
    inverse = _inverse((x * (n * w * p * (1 - p))[:, None]).T @ x, "the propensity score")
    return _Nuisance(p / (1 - p), (x * (w * (d - p))[:, None]) @ inverse, np.zeros_like(x))


def _tilting(d: Floats, x: Floats, w: Floats, n: Floats) -> _Nuisance:
    """Inverse-probability tilting: odds exp(x'gamma) that balance x exactly (Graham et al. 2012).

    No contribution of gamma: with the matching weighted regression its derivative is 0.
    """
    treated = x.T @ (n * w * d)
    gamma = np.zeros(x.shape[1])
    control = n * w * (1 - d)
    gamma[0] = np.log((n * w * d).sum() / control.sum())

    def loss(g: Floats) -> float:
        return float(control @ np.exp(np.minimum(x @ g, 500)) - treated @ g)

    for _ in range(200):
        odds = control * np.exp(x @ gamma)
        gradient = x.T @ odds - treated
        step = _inverse((x * odds[:, None]).T @ x, "the tilted propensity score") @ gradient
        size = 1.0
        while size > 1e-8 and not loss(gamma - size * step) <= loss(gamma):
            size /= 2
        gamma = gamma - size * step
        if np.abs(x @ step).max() < 1e-10:
            break
    else:
        raise FrameError("no weights balance the covariates: comparison rows lie elsewhere")
    zero = np.zeros_like(x)
    return _Nuisance(np.exp(x @ gamma), zero, zero)


def _evaluate(
    terms: list[_Term],
    regressions: list[_Nuisance],
    propensity: _Nuisance | None,
    x: Floats,
    n: Floats,
) -> TwoByTwo:
    att = 0.0
    influence, slope = np.zeros(len(n)), np.zeros(len(n))
    m_odds = np.zeros(x.shape[1])
    m_reg = np.zeros((len(regressions), x.shape[1]))
    for term in terms:
        total = float(n @ term.u)
        if not total > 0:
            raise FrameError("no rows on one side of a two-by-two comparison")
        mean = float(n @ (term.u * term.r)) / total
        att += term.sign * mean
        influence += term.sign * term.u * (term.r - mean) / total
        if term.has_y:
            slope += term.sign * term.u / total
        if term.odds:
            m_odds += term.sign * (x.T @ (n * term.u * (term.r - mean))) / total
        for k, load in term.loads:
            m_reg[k] += term.sign * load * (x.T @ (n * term.u)) / total
    if propensity is not None:
        influence += propensity.linear @ m_odds
    for model, m in zip(regressions, m_reg, strict=True):
        influence += model.linear @ m
        slope += model.slope @ m
    return TwoByTwo(att, influence, slope)


def _odds(
    method: Method, d: Floats, x: Floats, w: Floats, n: Floats, trim: float
) -> tuple[_Nuisance | None, Floats]:
    """Propensity model, and the odds weight of comparison rows (0 for treated, trimmed)."""
    if method == "reg":
        return None, np.zeros(len(d))
    model = (_tilting if method == "dr-improved" else _propensity)(d, x, w, n)
    keep = model.value / (1 + model.value) < trim
    return model, np.where((d == 0) & keep, model.value, 0.0)


def _abadie(
    y: Floats,
    d: Floats,
    phases: list[tuple[float, Floats]],
    odds: Floats,
    propensity: _Nuisance | None,
    x: Floats,
    w: Floats,
    n: Floats,
) -> TwoByTwo:
    """Weights that need not sum to one: E[(D - odds (1 - D)) 1(phase) Y] / (E[D] P(phase)).

    Sant'Anna and Zhao 2020, section 2.2 (after Abadie 2005). In a panel the one phase is all rows.
    """
    total, treated = float(n @ w), float(n @ (w * d))
    net = w * (d - odds)
    att = 0.0
    influence, slope = np.zeros(len(n)), np.zeros(len(n))
    moved = np.zeros(x.shape[1])
    for sign, phase in phases:
        within = float(n @ (w * phase))
        if not (treated > 0 and within > 0):
            raise FrameError("no rows on one side of a two-by-two comparison")
        scale = sign * total / (treated * within)
        value = scale * float(n @ (net * phase * y))
        att += value
        influence += scale * net * phase * y
        influence += value * w * (1 / total - d / treated - phase / within)
        slope += scale * net * phase
        moved -= scale * (x.T @ (n * w * odds * phase * y))
    if propensity is not None:
        influence += propensity.linear @ moved
    return TwoByTwo(att, influence, slope)


def _prepare(x: Floats | None, size: int, n: Floats | None) -> tuple[Floats, Floats]:
    count = np.ones(size) if n is None else np.asarray(n, float)
    one = np.ones((size, 1))
    if x is None or not np.size(x):
        return one, count
    full = np.hstack([one, np.asarray(x, float).reshape(size, -1)])
    # Levels that do not occur here are dropped, as R drops unused levels.
    return full[:, independent((full * count[:, None]).T @ full)], count


def panel_2x2(
    change: Floats,
    treated: Floats,
    x: Floats | None = None,
    w: Floats | None = None,
    *,
    method: Method = "dr",
    n: Floats | None = None,
    trim: float = TRIM,
) -> TwoByTwo:
    """Effect on the treated from the change of each unit's outcome.

    Parameters
    ----------
    change : array, N
        Later less earlier outcome.
    treated : array of 0/1, N
    x : array, N x p, optional
        Covariates without the constant.
    w : array, N, optional
        Weights of individuals.
    method : {"dr", "dr-improved", "reg", "ipw", "ipw-abadie"}
        DRDID's drdid_panel, drdid_imp_panel, reg_did_panel, std_ipw_did_panel (weights that sum
        to one) and ipw_did_panel (they need not); "dr-traditional" equals "dr" in a panel.
    n : array, N, optional
        Individuals in each row.
    trim : float
        Comparison rows with a propensity score of `trim` or more are left out.

    Raises
    ------
    FrameError
        A side without rows, no overlap, or a nuisance model that is not identified.
    """
    d = np.asarray(treated, float)
    x, n = _prepare(x, len(d), n)
    w = np.ones(len(d)) if w is None else np.asarray(w, float)
    y = np.asarray(change, float)
    if x.shape[1] == 1:  # no covariates: all methods are the difference of means
        sides = [_Term(1.0, w * d, False, y, True), _Term(-1.0, w * (1 - d), False, y, True)]
        return _evaluate(sides, [], None, x, n)
    propensity, odds = _odds(method, d, x, w, n, trim)
    if method == "ipw-abadie":
        return _abadie(y, d, [(1.0, np.ones(len(d)))], odds, propensity, x, w, n)
    regressions: list[_Nuisance] = []
    r: Floats = y
    loads: tuple[tuple[int, float], ...] = ()
    if method != "ipw":
        fit_w = w * (odds if method == "dr-improved" else 1 - d)
        regressions = [_regression(y, x, fit_w, n)]
        if method == "dr-improved":
            regressions = [_fixed(regressions[0])]
        r, loads = y - regressions[0].value, ((0, -1.0),)
    terms = [_Term(1.0, w * d, False, r, True, loads)]
    if method != "reg":
        terms.append(_Term(-1.0, w * odds, True, r, True, loads))
    return _evaluate(terms, regressions, propensity, x, n)


def cross_section_2x2(
    y: Floats,
    post: Floats,
    treated: Floats,
    x: Floats | None = None,
    w: Floats | None = None,
    *,
    method: Method = "dr",
    n: Floats | None = None,
    trim: float = TRIM,
) -> TwoByTwo:
    """Effect on the treated from repeated cross-sections, rows or cells.

    Parameters
    ----------
    y : array, N
        (Mean) outcome.
    post, treated : arrays of 0/1, N
    x, w, n, trim
        As in `panel_2x2`.
    method : {"dr", "dr-traditional", "dr-improved", "reg", "ipw", "ipw-abadie"}
        DRDID's drdid_rc (locally efficient), drdid_rc1, drdid_imp_rc, reg_did_rc, std_ipw_did_rc,
        ipw_did_rc. The last divides by shares of all rows: adding a constant to every outcome can
        change it, which is why none of the package's defaults uses it.

    Raises
    ------
    FrameError
        As in `panel_2x2`.
    """
    d, t = np.asarray(treated, float), np.asarray(post, float)
    x, n = _prepare(x, len(d), n)
    w = np.ones(len(d)) if w is None else np.asarray(w, float)
    y = np.asarray(y, float)
    propensity, odds = _odds(method, d, x, w, n, trim)
    phases = [(1.0, t), (-1.0, 1 - t)]
    if method == "ipw-abadie":
        return _abadie(y, d, phases, odds, propensity, x, w, n)
    models: list[_Nuisance] = []
    terms: list[_Term] = []
    if method == "ipw":
        for sign, phase in phases:
            terms.append(_Term(sign, w * d * phase, False, y, True))
            terms.append(_Term(-sign, w * odds * phase, True, y, True))
        return _evaluate(terms, models, propensity, x, n)
    control = w * (odds if method == "dr-improved" else 1 - d)
    models = [_regression(y, x, control * phase, n) for _, phase in phases]
    if method == "reg":
        for k, (sign, phase) in enumerate(phases):
            terms.append(_Term(sign, w * d * phase, False, y, True))
            terms.append(_Term(-sign, w * d, False, models[k].value, False, ((k, 1.0),)))
        return _evaluate(terms, models, propensity, x, n)
    for k, (sign, phase) in enumerate(phases):
        r = y - models[k].value
        terms.append(_Term(sign, w * d * phase, False, r, True, ((k, -1.0),)))
        terms.append(_Term(-sign, w * odds * phase, True, r, True, ((k, -1.0),)))
    if method in ("dr", "dr-improved"):
        models += [_regression(y, x, w * d * phase, n) for _, phase in phases]
        for k, (sign, phase) in enumerate(phases):
            gap = models[k + 2].value - models[k].value
            loads = ((k + 2, 1.0), (k, -1.0))
            terms.append(_Term(sign, w * d, False, gap, False, loads))
            terms.append(_Term(-sign, w * d * phase, False, gap, False, loads))
    if method == "dr-improved":
        models = [_fixed(model) for model in models]
    return _evaluate(terms, models, propensity, x, n)
