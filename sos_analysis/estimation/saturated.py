"""Regressions with one effect for every cohort and period, averaged afterwards.

Sun and Abraham 2021 (interaction-weighted event study; conventions of fixest's sunab) and
Wooldridge 2021 (extended two-way fixed effects; conventions of R's etwfe). Both act on Gram
matrices by cluster, so cells give the numbers of individual rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Floats, FrameError, Ints
from .grams import Grams, crv1, fit, gram
from .staggered_rows import Rows, checked_rows, codes


@dataclass(frozen=True)
class Saturated:
    """Cohort-by-period effects and their averages.

    Attributes
    ----------
    cohort, event, att, se, share : arrays, K
        First treated period, time since then (before embedding: since its start), effect, CRV1
        error and weight of its cell (individuals).
    covariance : array, K x K
    events, event_att, event_se : arrays
        Averages by event time, cohorts by their weight in it.
    event_covariance : array
    overall, overall_se : float
        Average of all effects from treatment on, by weight. Weights are taken as fixed.
    covariates, covariates_se : arrays
        Coefficients on x.
    """

    cohort: Floats
    event: Floats
    att: Floats
    se: Floats
    share: Floats
    covariance: Floats
    events: Floats
    event_att: Floats
    event_se: Floats
    event_covariance: Floats
    overall: float
    overall_se: float
    covariates: Floats
    covariates_se: Floats
    notes: tuple[str, ...]


def event_time(rows: Rows) -> tuple[Floats, np.ndarray]:
    """Time since treatment, before embedding since its start; and which rows are embedding.

    The last period before embedding is -1 for every cohort where periods are one apart. NaN for
    never-treated rows.
    """
    never = np.isinf(rows.cohort)
    during = ~never & (rows.time >= rows.start) & (rows.time < rows.cohort)
    zero = np.where(rows.time < rows.start, rows.start, rows.cohort)
    event = np.where(never, np.nan, rows.time - np.where(never, 0.0, zero))
    return event, during


def rows_outside_embedding(
    y: Any, time: Any, cohort: Any, columns: dict[str, Any]
) -> tuple[Rows, Floats]:
    """Checked rows (`checked_rows`) outside embedding, their event times; clusters may be units."""
    if columns["cluster"] is None:
        columns = {**columns, "cluster": columns["unit"]}
    rows = checked_rows(y, time, cohort, **columns)
    event, during = event_time(rows)
    return rows.where(~during), event[~during]


def sun_abraham(
    y: Any,
    time: Any,
    cohort: Any,
    *,
    unit: Any,
    cluster: Any = None,
    weight: Any = None,
    n: Any = None,
    x: Any = None,
    start: Any = None,
    reference: float = -1.0,
) -> Saturated:
    """Interaction-weighted event study with unit and period effects.

    Parameters
    ----------
    y, time, cohort, weight, n, x, start
        As in `callaway.callaway_santanna`; embedding periods are left out.
    unit : array-like, N
        Unit effects. Rows may be several a unit and period (cells).
    cluster : array-like, N, optional
        Default: units.
    reference : float
        Event time left out.

    Notes
    -----
    Never-treated units are the reference; without any, the cohort treated last, up to its
    treatment. Always-treated units are left out. CRV1 with G/(G-1) (N-1)/(N-K), unit effects not
    counted (fixest's nested rule).

    Raises
    ------
    FrameError
        Bad rows, or nothing identified.
    """
    columns = {"start": start, "unit": unit, "cluster": cluster, "weight": weight, "n": n, "x": x}
    rows, event = rows_outside_embedding(y, time, cohort, columns)
    pairs = np.unique(
        np.stack([rows.cohort, event], axis=1)[np.isfinite(event) & (event != reference)], axis=0
    )
    effects = (rows.cohort[:, None] == pairs[None, :, 0]) & (event[:, None] == pairs[None, :, 1])
    times = np.unique(rows.time)
    design = np.hstack(
        [effects, rows.x, rows.time[:, None] == times[None, 1:]], dtype=float, casting="unsafe"
    )
    names = [*_names(pairs), *_covariates(rows), *(f"period {t:g}" for t in times[1:])]
    assert rows.unit is not None
    grams = _grams(rows, design, names, codes(rows.unit), len(pairs))
    return _summarise(rows, grams, pairs, effects)


def extended_twfe(
    y: Any,
    time: Any,
    cohort: Any,
    *,
    cluster: Any,
    weight: Any = None,
    n: Any = None,
    x: Any = None,
    start: Any = None,
) -> Saturated:
    """Extended two-way fixed effects: cohort and period effects, effects from treatment on.

    Parameters
    ----------
    y, time, cohort, cluster, weight, n, start
        As in `sun_abraham`; comparison is with the not yet treated.
    x : array-like, N x p, optional
        Covariates; they enter alone by cohort and by period, and with the effects as deviations
        from the cohort's mean, so that effects are those at the cohort's means.

    Notes
    -----
    CRV1 with all columns counted (cohort effects do not lie inside clusters).

    Raises
    ------
    FrameError
        Bad rows, or nothing identified.
    """
    columns = {"start": start, "cluster": cluster, "weight": weight, "n": n, "x": x}
    rows, event = rows_outside_embedding(y, time, cohort, columns)
    treated = np.isfinite(event) & (event >= 0)
    pairs = np.unique(np.stack([rows.cohort, event], axis=1)[treated], axis=0)
    effects = (rows.cohort[:, None] == pairs[None, :, 0]) & (event[:, None] == pairs[None, :, 1])
    cohorts, group = np.unique(rows.cohort, return_inverse=True)
    w = rows.w * rows.n
    means = np.stack(
        [np.average(rows.x[group == j], axis=0, weights=w[group == j]) for j in range(len(cohorts))]
    )
    centred = rows.x - means[group]
    by_cohort = (group[:, None] == np.arange(len(cohorts))[None, :]).astype(float)
    by_period = (rows.time[:, None] == np.unique(rows.time)[None, 1:]).astype(float)
    blocks = [effects.astype(float), by_cohort, by_period]
    for c, d in zip(rows.x.T, centred.T, strict=True):
        blocks += [by_cohort * c[:, None], by_period * c[:, None], effects * d[:, None]]
    design = np.hstack(blocks)
    names = [*_names(pairs), *(f"column {i}" for i in range(design.shape[1] - len(pairs)))]
    grams = _grams(rows, design, names, None, len(pairs))
    return _summarise(rows, grams, pairs, effects)


def _names(pairs: Floats) -> list[str]:
    return [f"cohort {g:g} at {e:g}" for g, e in pairs]


def _covariates(rows: Rows) -> list[str]:
    return [f"x{i}" for i in range(rows.x.shape[1])]


def _grams(
    rows: Rows,
    design: Floats,
    names: list[str],
    within: Ints | None,
    effects: int,
) -> Grams:
    assert rows.cluster is not None
    cluster = codes(rows.cluster)
    labels = [str(i) for i in range(int(cluster.max()) + 1)]
    return gram(
        design,
        rows.y,
        rows.w * rows.n,
        rows.n,
        cluster,
        labels,
        names,
        within=within,
        effects=effects,
    )


def _summarise(rows: Rows, grams: Grams, pairs: Floats, effects: np.ndarray) -> Saturated:
    named = _names(pairs)
    kept = [i for i, name in enumerate(named) if name in grams.names]
    q = len(kept)
    beta, v = fit(grams).beta, crv1(grams, len(grams.names))
    share = (rows.w * rows.n) @ effects[:, kept]
    cohort, event = pairs[kept].T
    events = np.unique(event)
    mix = np.stack([np.where(event == e, share, 0.0) / share[event == e].sum() for e in events])
    post = np.where(event >= 0, share, 0.0)
    if not post.any():
        raise FrameError("no effect from treatment on is identified")
    post = post / post.sum()
    own = v[:q, :q]
    by_event = mix @ own @ mix.T
    x = [grams.names.index(name) for name in _covariates(rows) if name in grams.names]
    lost = tuple(f"{named[i]} not identified" for i in range(len(named)) if i not in kept)
    return Saturated(
        cohort=cohort,
        event=event,
        att=beta[:q],
        se=np.sqrt(np.diag(own)),
        share=share,
        covariance=own,
        events=events,
        event_att=mix @ beta[:q],
        event_se=np.sqrt(np.diag(by_event)),
        event_covariance=by_event,
        overall=float(post @ beta[:q]),
        overall_se=float(np.sqrt(post @ own @ post)),
        covariates=beta[x],
        covariates_se=np.sqrt(np.diag(v)[x]),
        notes=(*rows.notes, *lost),
    )
