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
    table: Floats, zeta: float, intercept: bool, tolerance: float, rounds: int, start: Floats | None
) -> Floats:
    """Weights on the simplex: minimise zeta^2 |w|^2 + |A w - b|^2 / rows, (A, b) = table."""
    if intercept:
        table = table - table.mean(axis=0)
    a, b = table[:, :-1], table[:, -1]
    size, rows = a.shape[1], len(a)
    w = np.full(size, 1 / size) if start is None else start
    eta = rows * zeta**2
    fitted = a @ w
    last = np.inf
    for round_ in range(rounds):
        gradient = (fitted - b) @ a + eta * w
        i = int(np.argmin(gradient))
        step = -w
        step[i] += 1.0
        if step.any():
            move = a[:, i] - fitted
            length = -(gradient @ step) / (move @ move + eta * (step @ step))
            w = w + min(1.0, max(0.0, float(length))) * step
            # Afresh each round: rounding must not add up over thousands of rounds.
            fitted = a @ w
        value = zeta**2 * float(w @ w) + float(((fitted - b) ** 2).sum()) / rows
        if round_ > 0 and last - value <= tolerance**2:
            break
        last = value
    return np.asarray(w)


def _weights(
    table: Floats, zeta: float, intercept: bool, tol: float, start: Floats | None
) -> Floats:
    """Two rounds of Frank-Wolfe with weights up to a quarter of the largest set to 0 between."""
    w = _frank_wolfe(table, zeta, intercept, tol, FIRST_ROUNDS, start)
    w = np.where(w <= w.max() / 4, 0.0, w)
    return _frank_wolfe(table, zeta, intercept, tol, ROUNDS, w / w.sum())


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
) -> tuple[float, Floats, Floats]:
    """Effect, donor weights and period weights. `treated`: mean series of treated units."""
    n0 = len(control)
    after = control[:, before:].mean(axis=1)
    target, later = treated[:before], float(treated[before:].mean())
    kind, tol = settings.kind, settings.tolerance
    if kind == "did":
        omega, lam = np.full(n0, 1 / n0), np.full(before, 1 / before)
    else:
        lam = np.zeros(before)
        if kind == "sdid":
            table = np.column_stack([control[:, :before], after])
            lam = _weights(table, settings.zeta_time, True, tol, start[1])
        table = np.column_stack([control[:, :before].T, target])
        omega = _weights(table, settings.zeta_unit, kind == "sdid", tol, start[0])
    gap = later - float(target @ lam)
    return gap - float(omega @ (after - control[:, :before] @ lam)), omega, lam


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
        effect, omega, lam = _estimate(control, group.mean(axis=0), cut[d], settings[d])
        cohorts.append(Cohort(d, effect, len(group), after, omega, lam))
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
    orders = (
        [np.r_[np.delete(np.arange(n0), i), i] for i in range(n0)]
        if m == 1
        else [rng.permutation(n0) for _ in range(draws)]
    )
    out = []
    for order in orders:
        donors, chosen = order[: n0 - m], order[n0 - m :]
        effects, at = [], 0
        for c in cohorts:
            series = control[chosen[at : at + c.treated]].mean(axis=0)
            at += c.treated
            weights = c.unit_weights[donors]
            first = weights / weights.sum() if weights.sum() > 0 else None
            start = (first, c.time_weights if settings[c.date].kind == "sdid" else None)
            done = _estimate(control[donors], series, cut[c.date], settings[c.date], start)
            effects.append(done[0])
        out.append(float(size @ effects / size.sum()))
    return np.array(out), m == 1
