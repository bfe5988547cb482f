"""Synthetic difference-in-differences, synthetic control and plain DiD for a balanced panel.

Arkhangelsky, Athey, Hirshberg, Imbens and Wager 2021 ("Synthetic difference-in-differences");
weights, penalties, sparsification and stopping rule as in R's synthdid, since its Frank-Wolfe
solver stops early by design and estimates depend on where. Staggered dates: one estimate for each
date, with never-treated units as donors, averaged by treated unit-periods (Clarke et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .bacon import balanced
from .frames import Floats, FrameError

Kind = Literal["sdid", "sc", "did"]

#: synthdid's defaults: rounds before and after small weights are set to 0.
FIRST_ROUNDS, ROUNDS = 100, 10_000


@dataclass(frozen=True)
class Cohort:
    """One treatment date: estimate, donor weights (by unit) and period weights (before it)."""

    date: float
    effect: float
    treated: int
    periods: int
    unit_weights: Floats
    time_weights: Floats


@dataclass(frozen=True)
class SyntheticDiD:
    """Average effect on the treated, and its placebo distribution.

    Attributes
    ----------
    att : float
    se : float
        Standard deviation of placebo effects (their algorithm 4); NaN without placebos.
    p : float
        Share of placebo effects, with the estimate, at least as large in absolute value.
    placebos : array
        Effects of made-up treatment of donors at the same dates.
    donors : tuple
        Labels behind `unit_weights`, in order.
    exact : bool
        Placebos are all that exist (one treated unit).
    """

    att: float
    se: float
    p: float
    placebos: Floats
    cohorts: tuple[Cohort, ...]
    donors: tuple[object, ...]
    exact: bool
    kind: str


def _frank_wolfe(
    tables: Floats, zeta: float, intercept: bool, tolerance: float, rounds: int, start: Floats
) -> Floats:
    """Weights on the simplex for many problems at once.

    Each table (A, b), rows x (S + 1), gives the w that minimises
    zeta^2 |w|^2 + |A w - b|^2 / rows, from `start` until a round gains no more than tolerance^2.
    """
    if intercept:
        tables = tables - tables.mean(axis=1, keepdims=True)
    a, b = tables[:, :, :-1], tables[:, :, -1]
    rows, out, w = a.shape[1], start.copy(), start.copy()
    eta, place = rows * zeta**2, np.arange(len(a))
    fitted, last = (a @ w[:, :, None])[:, :, 0], np.full(len(a), np.inf)
    for round_ in range(rounds):
        gradient = ((fitted - b)[:, None, :] @ a)[:, 0, :] + eta * w
        each, best = np.arange(len(a)), gradient.argmin(axis=1)
        step = -w
        step[each, best] += 1.0
        move = a[each, :, best] - fitted
        bottom = np.einsum("br,br->b", move, move) + eta * np.einsum("bs,bs->b", step, step)
        top = -np.einsum("bs,bs->b", gradient, step)
        length = np.divide(top, bottom, out=np.zeros(len(a)), where=bottom > 0)
        w = w + np.clip(length, 0.0, 1.0)[:, None] * step
        # Afresh each round: rounding must not add up over thousands of rounds.
        fitted = (a @ w[:, :, None])[:, :, 0]
        value = zeta**2 * np.einsum("bs,bs->b", w, w) + ((fitted - b) ** 2).sum(axis=1) / rows
        going = (last - value > tolerance**2) | (round_ == 0)
        last = value
        if not going.all():
            out[place[~going]] = w[~going]
            a, b, w, fitted, last = a[going], b[going], w[going], fitted[going], last[going]
            place = place[going]
            if not len(place):
                break
    out[place] = w
    return out


def _weights(
    tables: Floats, zeta: float, intercept: bool, tol: float, start: Floats | None
) -> Floats:
    """Two rounds of Frank-Wolfe with weights up to a quarter of the largest set to 0 between."""
    shape = (len(tables), tables.shape[2] - 1)
    w = np.full(shape, 1 / shape[1]) if start is None else start
    w = _frank_wolfe(tables, zeta, intercept, tol, FIRST_ROUNDS, w)
    w = np.where(w <= w.max(axis=1, keepdims=True) / 4, 0.0, w)
    return _frank_wolfe(tables, zeta, intercept, tol, ROUNDS, w / w.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class _Settings:
    kind: str
    zeta_unit: float
    zeta_time: float
    tolerance: float


def _settings(control: Floats, before: int, treated: int, after: int, kind: str) -> _Settings:
    changes = np.diff(control[:, :before], axis=1)
    noise = float(changes.std(ddof=1)) if changes.size > 1 else 0.0
    eta = (treated * after) ** 0.25 if kind == "sdid" else 1e-6
    return _Settings(kind, eta * noise, 1e-6 * noise, 1e-5 * noise)


def _estimate(
    control: Floats,
    treated: Floats,
    before: int,
    settings: _Settings,
    start: tuple[Floats | None, Floats | None] = (None, None),
) -> tuple[Floats, Floats, Floats]:
    """Effects, donor weights and period weights of B problems of one shape.

    `control` is B x donors x periods, `treated` the treated units' mean series, B x periods.
    """
    size, n0, _ = control.shape
    after = control[:, :, before:].mean(axis=2)
    target, later = treated[:, :before], treated[:, before:].mean(axis=1)
    early = control[:, :, :before]
    kind, tol = settings.kind, settings.tolerance
    omega, lam = np.full((size, n0), 1 / n0), np.full((size, before), 1 / before)
    if kind != "did":
        lam = np.zeros((size, before))
        if kind == "sdid":
            tables = np.concatenate([early, after[:, :, None]], axis=2)
            lam = _weights(tables, settings.zeta_time, True, tol, start[1])
        tables = np.concatenate([early.transpose(0, 2, 1), target[:, :, None]], axis=2)
        omega = _weights(tables, settings.zeta_unit, kind == "sdid", tol, start[0])
    gap = later - np.einsum("bt,bt->b", target, lam)
    donors = after - np.einsum("bnt,bt->bn", early, lam)
    return gap - np.einsum("bn,bn->b", omega, donors), omega, lam


def synthetic_did(
    y: Any,
    time: Any,
    cohort: Any,
    unit: Any,
    *,
    kind: Kind = "sdid",
    placebos: int = 0,
    seed: int = 0,
) -> SyntheticDiD:
    """Estimate and judge by placebo treatment of donors.

    Parameters
    ----------
    y, time, cohort, unit : array-like, N
        A balanced panel; cohort: first treated period, 0 or inf for donors.
    kind : {"sdid", "sc", "did"}
        Synthetic DiD; synthetic control (weights without intercept, hardly penalised, no period
        weights); plain DiD of means.
    placebos : int
        Draws of as many donors as there are treated units, given the treated units' dates. With
        one treated unit every donor takes its turn once instead. Needs more donors than treated.
    seed : int

    Raises
    ------
    FrameError
        An unbalanced panel, no donor, a date without a period before it or (for weights) fewer
        than two, or too few donors for placebos.
    """
    if kind not in ("sdid", "sc", "did"):
        raise FrameError(f"kind must be sdid, sc or did, not {kind!r}")
    outcome, times, date, _, labels = balanced(y, time, cohort, unit, None)
    date = np.where(date > times[-1], np.inf, date)
    pool, mine = np.isinf(date), np.isfinite(date)
    if not (pool.any() and mine.any()):
        raise FrameError("synthetic weights need never-treated donors and a treated unit")
    dates = np.unique(date[mine])
    cut = {float(d): int(np.searchsorted(times, d)) for d in dates}
    least = 1 if kind == "did" else 2
    if min(cut.values()) < least:
        raise FrameError(f"a unit is treated from {dates[0]:g}: {least} periods before are needed")
    control = outcome[pool]
    settings, cohorts = {}, []
    for d in dates.tolist():
        group = outcome[date == d]
        after = len(times) - cut[d]
        settings[d] = _settings(control, cut[d], len(group), after, kind)
        mean = group.mean(axis=0)
        effect, omega, lam = _estimate(control[None], mean[None], cut[d], settings[d])
        cohorts.append(Cohort(d, float(effect[0]), len(group), after, omega[0], lam[0]))
    size = np.array([c.treated * c.periods for c in cohorts], float)
    att = float(size @ [c.effect for c in cohorts] / size.sum())
    drawn, exact = _placebos(control, cohorts, cut, settings, size, placebos, seed)
    se = p = float("nan")
    if len(drawn):
        se = float(drawn.std())
        p = float((1 + np.count_nonzero(np.abs(drawn) >= abs(att))) / (1 + len(drawn)))
    donors = tuple(labels[pool].tolist())
    return SyntheticDiD(att, se, p, drawn, tuple(cohorts), donors, exact, kind)


def _placebos(
    control: Floats,
    cohorts: list[Cohort],
    cut: dict[float, int],
    settings: dict[float, _Settings],
    size: Floats,
    draws: int,
    seed: int,
) -> tuple[Floats, bool]:
    """Effects of donors treated in name only; penalties and starting weights are the data's."""
    if draws < 1:
        return np.empty(0), False
    n0, m = len(control), sum(c.treated for c in cohorts)
    if m >= n0:
        raise FrameError(f"placebos need more donors ({n0}) than treated units ({m})")
    rng = np.random.default_rng(seed)
    orders = np.stack(
        [np.r_[np.delete(np.arange(n0), i), i] for i in range(n0)]
        if m == 1
        else [rng.permutation(n0) for _ in range(draws)]
    )
    total, at = np.zeros(len(orders)), n0 - m
    donors = orders[:, :at]
    for c, share in zip(cohorts, size / size.sum(), strict=True):
        series = control[orders[:, at : at + c.treated]].mean(axis=1)
        at += c.treated
        first = c.unit_weights[donors]
        sums = first.sum(axis=1, keepdims=True)
        first = np.where(sums > 0, first / np.where(sums > 0, sums, 1.0), 1 / donors.shape[1])
        second = np.tile(c.time_weights, (len(orders), 1))
        start = (first, second if settings[c.date].kind == "sdid" else None)
        total += share * _estimate(control[donors], series, cut[c.date], settings[c.date], start)[0]
    return total, m == 1
