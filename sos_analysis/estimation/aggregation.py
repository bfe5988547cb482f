"""Averages of group-time effects: simple, by event time, by cohort, by calendar period.

Callaway and Sant'Anna 2021, section 3; weights and influence functions as in R's did (aggte):
cohort shares are estimated, and their contributions enter the errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .callaway import GroupTime
from .event_study import sup_t
from .frames import Floats, FrameError, Ints

Kind = Literal["simple", "dynamic", "group", "calendar"]


@dataclass(frozen=True)
class Aggregate:
    """Averages of group-time effects.

    Attributes
    ----------
    kind : {"simple", "dynamic", "group", "calendar"}
    label : array, L
        Event time, cohort or calendar period (empty for "simple").
    att, se : array, L
    covariance : array, L x L
    overall, overall_se : float
    influence : array, O x (L + 1)
        Contributions of units or clusters; the overall effect last.
    """

    kind: str
    label: Floats
    att: Floats
    se: Floats
    covariance: Floats
    overall: float
    overall_se: float
    influence: Floats


def aggregate(
    effects: GroupTime,
    kind: Kind = "simple",
    *,
    min_event: float = -np.inf,
    max_event: float = np.inf,
    balance_event: float | None = None,
    leads_from: Literal["cohort", "start"] = "cohort",
) -> Aggregate:
    """Average group-time effects; those not identified are left out.

    Parameters
    ----------
    kind : {"simple", "dynamic", "group", "calendar"}
        Simple: all effects from treatment on, by cohort share. Dynamic: by event time, cohorts by
        share; overall, event times from 0 equally. Group: a cohort's effects equally; overall, by
        share. Calendar: cohorts treated by then, by share; overall, periods equally.
    min_event, max_event : float
        Event times used (dynamic: both; else `max_event` alone).
    balance_event : float, optional
        Dynamic only: cohorts seen at least that long after treatment, and the event times all of
        them share.
    leads_from : {"cohort", "start"}
        "start" counts periods before embedding back from its start, so that the last one is -1
        for every cohort, and leaves embedding periods out of averages by event time.

    Raises
    ------
    FrameError
        An unknown `kind`, or no effect left.
    """
    event = effects.time - effects.cohort
    if leads_from == "start":
        early = effects.time < effects.start
        event = np.where(early, effects.time - effects.start, event)
        event = np.where(~early & (event < 0), np.nan, event)
    known = np.isfinite(effects.att)
    post = known & (event >= 0) & (event <= max_event)
    place = _cohort_places(effects)
    if kind == "simple":
        groups: list[tuple[float, Ints]] = []
        overall = _weighted(effects, np.flatnonzero(post), place)
        return _assemble(effects, kind, groups, [], overall)
    if kind == "dynamic":
        keep = known & (event >= min_event) & (event <= max_event)
        if balance_event is not None:
            last, span = effects.periods[-1], effects.periods[-1] - effects.periods[0]
            keep &= (last - effects.cohort >= balance_event) & (event <= balance_event)
            keep &= event >= balance_event - span
        labels, by = np.unique(event[keep]), event
    elif kind == "group":
        labels, by, keep = np.unique(effects.cohort[post]), effects.cohort, post
    elif kind == "calendar":
        labels, by, keep = np.unique(effects.time[post]), effects.time, post
    else:
        raise FrameError(f"kind must be simple, dynamic, group or calendar, not {kind!r}")
    groups = [(float(v), np.flatnonzero(keep & (by == v))) for v in labels]
    columns = [_weighted(effects, rows, place, equal=kind == "group") for _, rows in groups]
    if kind == "group":
        shares = np.array(
            [effects.share[np.flatnonzero(effects.cohorts[:, 0] == v)].sum() for v in labels]
        )
        member = (
            np.stack(
                [effects.member[:, effects.cohorts[:, 0] == v].sum(axis=1) for v in labels], axis=1
            )
            if len(labels)
            else np.empty((len(effects.member), 0))
        )
        overall = _combine(columns, shares, member)
    else:
        rows = [c for c, (v, _) in zip(columns, groups, strict=True) if kind != "dynamic" or v >= 0]
        overall = _combine(rows, np.ones(len(rows)), None)
    return _assemble(effects, kind, groups, columns, overall)


#: Value, weights on group-time effects (K), contributions through estimated shares (O).
_Column = tuple[float, Floats, Floats]


def _cohort_places(effects: GroupTime) -> Ints:
    pairs = np.stack([effects.cohort, effects.start], axis=1)
    match = (pairs[:, None, :] == effects.cohorts[None, :, :]).all(axis=2)
    return match.argmax(axis=1).astype(np.int64)


def _weighted(effects: GroupTime, rows: Ints, place: Ints, equal: bool = False) -> _Column:
    """Average of some effects by cohort share (or equally, cohorts with one date by share)."""
    if not len(rows):
        raise FrameError("no group-time effect from treatment on is identified")
    share, member = effects.share[place[rows]], effects.member[:, place[rows]]
    if equal and len(np.unique(place[rows])) == 1:
        share, member = np.ones(len(rows)), np.zeros_like(member)
    weight = np.zeros(len(effects.att))
    total = share.sum()
    weight[rows] = share / total
    value = float(weight[rows] @ effects.att[rows])
    extra = member @ (effects.att[rows] - value) / total
    return value, weight, extra


def _combine(columns: list[_Column], share: Floats, member: Floats | None) -> _Column:
    if not columns:
        raise FrameError("no average from treatment on is identified")
    values = np.array([c[0] for c in columns])
    part = share / share.sum()
    value = float(part @ values)
    weight = np.einsum("l,lk->k", part, np.stack([c[1] for c in columns]))
    extra = np.einsum("l,lo->o", part, np.stack([c[2] for c in columns]))
    if member is not None:
        extra = extra + member @ (values - value) / share.sum()
    return value, weight, extra


def _assemble(
    effects: GroupTime,
    kind: str,
    groups: list[tuple[float, Ints]],
    columns: list[_Column],
    overall: _Column,
) -> Aggregate:
    every = [*columns, overall]
    weights = np.stack([c[1] for c in every], axis=1)
    influence = np.nan_to_num(effects.influence) @ weights + np.stack([c[2] for c in every], axis=1)
    covariance = influence.T @ influence + weights.T @ effects.within @ weights
    se = np.sqrt(np.diag(covariance))
    return Aggregate(
        kind=kind,
        label=np.array([v for v, _ in groups]),
        att=np.array([c[0] for c in columns]),
        se=np.where(se[:-1] > 0, se[:-1], np.nan),
        covariance=covariance[:-1, :-1],
        overall=overall[0],
        overall_se=float(se[-1]),
        influence=influence,
    )


def simultaneous(
    means: Aggregate, *, df: int | None = None, level: float = 0.95, seed: int
) -> tuple[Floats, Floats, float]:
    """Band over all labels at once: (low, high, critical value), by sup-t.

    The multivariate t with the averages' correlations and `df` degrees of freedom (None: normal);
    did's multiplier bootstrap estimates the normal one's critical value.
    """
    critical = sup_t(means.covariance, 10**9 if df is None else df, level, seed)[0]
    half = critical * means.se
    return means.att - half, means.att + half, critical


def pretest(effects: GroupTime) -> tuple[float, int, float]:
    """Wald test that all effects before embedding are 0: (statistic, degrees of freedom, p).

    Chi-squared with the plain covariance, as in R's did; with few clusters it rejects too often,
    and with fewer clusters than effects it is NaN.
    """
    from scipy import stats

    keep = (
        (effects.time < effects.start) & np.isfinite(effects.att) & (effects.time != effects.base)
    )
    rows = np.flatnonzero(keep)
    v = effects.covariance[np.ix_(rows, rows)]
    q = len(rows)
    if q == 0 or np.linalg.matrix_rank(v, hermitian=True) < q:
        return float("nan"), q, float("nan")
    wald = float(effects.att[rows] @ np.linalg.solve(v, effects.att[rows]))
    return wald, q, float(stats.chi2.sf(wald, q))
