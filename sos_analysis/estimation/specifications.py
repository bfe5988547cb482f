"""The specification curve: every declared way to run an analysis, and one test of all of them.

Each specification is weighted least squares on slot-place means with fixed weights, so its
estimate and cluster influences are linear in the series that fill the slots. One permutation of
clusters over roles is applied to every specification at once: what is compared is the whole curve
(Simonsohn, Simmons and Nelson 2020, with the slot permutation in place of shuffled rows).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .frames import COLLINEAR, Floats, FrameError, Ints
from .inversion import TIE
from .permutation import arrangements
from .slot_maps import parts_of

Effects = Literal["none", "cluster", "slot"]
#: Level at which a specification counts as telling a difference.
ALPHA = 0.05


class Rows(Protocol):
    """Slot rows of one design (M): what `comparison.variants.variant` gives."""

    @property
    def role(self) -> Ints: ...
    @property
    def place(self) -> Ints: ...
    @property
    def slot(self) -> Ints: ...
    @property
    def block(self) -> Ints: ...
    @property
    def year(self) -> Ints: ...
    @property
    def treated(self) -> Floats: ...
    @property
    def post(self) -> Floats: ...
    @property
    def weight(self) -> Floats: ...


@dataclass(frozen=True)
class Maps:
    """Linear maps from the outcomes of M rows: the estimate, then each role's influence.

    `roles` (R) are the clusters seen; `maps` is (1 + R) x M.
    """

    roles: Ints
    maps: Floats


def effect_maps(
    rows: Rows, effects: Effects, extra: Floats | None = None, *, fixed: Floats | None = None
) -> Maps:
    """The effect of treated x post as a linear map, with the CRV1 influence of every role.

    Effects: 'none' is constant, treated, post and year; 'cluster' is role, post and year; 'slot'
    is slot and group x time.

    Parameters
    ----------
    extra : array, M x q, optional
        Further regressors. Like weights and dates they stay with the role when series move.
    fixed : array, M x k, optional
        `fixed_basis` of the same rows and effects, where it is at hand.

    Raises
    ------
    FrameError
        The effect is not identified beside the fixed effects.
    """
    root = np.sqrt(rows.weight)
    basis = fixed_basis(rows, effects) if fixed is None else fixed
    if extra is not None:
        more = extra * root[:, None]
        size = np.sqrt(np.einsum("mk,mk->k", more, more))
        left = more - basis @ (basis.T @ more)
        # A column that the fixed effects determine leaves rounding alone, which is no regressor.
        own = np.einsum("mk,mk->k", left, left) > COLLINEAR * size**2
        basis = np.hstack([basis, _basis(left[:, own])])
    residual, size = _alone(rows, basis)
    roles = np.unique(rows.role)
    own = np.where(rows.role[None, :] == roles[:, None], residual, 0.0)
    influence = own - (own @ basis) @ basis.T - np.outer((own**2).sum(axis=1), residual) / size
    return Maps(roles, np.vstack([residual, influence]) * root / size)


def effect_map(rows: Rows, effects: Effects) -> Floats:
    """The first row of `effect_maps` alone: the estimate (M), without influences."""
    residual, size = _alone(rows, fixed_basis(rows, effects))
    return np.asarray(residual * np.sqrt(rows.weight) / size)


def _alone(rows: Rows, basis: Floats) -> tuple[Floats, float]:
    """What of treated x post the other columns leave over, and its square."""
    raw = rows.treated * rows.post * np.sqrt(rows.weight)
    residual = raw - basis @ (basis.T @ raw)
    size = float(residual @ residual)
    if size < COLLINEAR * float(raw @ raw) or size == 0.0:
        raise FrameError("the effect is not identified beside the fixed effects")
    return residual, size


def fixed_basis(rows: Rows, effects: Effects) -> Floats:
    """Orthonormal columns of the weighted fixed effects.

    Slots and their places fall into parts that share neither (the matched groups), so their
    effects are orthogonal and each part is taken by itself.
    """
    root = np.sqrt(rows.weight)
    if effects == "slot":
        bases = []
        for mine in parts_of(rows.slot, rows.block):
            own = np.hstack([_indicators(rows.slot[mine]), _indicators(rows.block[mine])])
            found = _basis(own * root[mine, None])
            wide = np.zeros((len(root), found.shape[1]))
            wide[mine] = found
            bases.append(wide)
        return np.hstack(bases)
    if effects == "cluster":
        design = [_indicators(rows.role), rows.post[:, None], _indicators(rows.year)]
    elif effects == "none":
        design = [rows.treated[:, None], rows.post[:, None], _indicators(rows.year)]
    else:
        raise FrameError(f"effects must be 'none', 'cluster' or 'slot', not {effects!r}")
    return _basis(np.hstack(design) * root[:, None])


def _indicators(codes: Ints) -> Floats:
    return (codes[:, None] == np.unique(codes)[None, :]).astype(float)


def _basis(design: Floats) -> Floats:
    """Orthonormal columns that span those of a design."""
    size = np.sqrt(np.einsum("mk,mk->k", design, design))
    design = design[:, size > 0] / size[size > 0]
    if not design.shape[1]:
        return design
    values, vectors = np.linalg.eigh(design.T @ design)
    keep = values > 1e-10 * values[-1]
    return np.asarray((design @ vectors[:, keep]) / np.sqrt(values[keep]))


def _spread(rows: Rows, made: Maps, series: Floats) -> Floats:
    """What each cluster's series adds to each statistic in each role.

    Parameters
    ----------
    series : array, K x L x S
        K outcomes.

    Returns
    -------
    array, R x L x (K (1 + R))
    """
    k, clusters, _ = series.shape
    out = np.empty((len(made.roles), clusters, k * len(made.maps)))
    for i, role in enumerate(made.roles):
        mine = np.flatnonzero(rows.role == role)
        part = series[:, :, rows.place[mine]] @ made.maps[:, mine].T
        out[i] = part.transpose(1, 0, 2).reshape(clusters, -1)
    return out


def statistics(
    rows: Rows, made: Maps, series: Floats, fillings: Ints
) -> tuple[Floats, Floats]:  # fmt: skip
    """Estimates and CRV1 standard errors (no factor) of K outcomes under B fillings: B x K each.

    Parameters
    ----------
    fillings : array, B x L
        Which cluster's series fills each role.
    """
    table = _spread(rows, made, series)
    total = np.zeros((len(fillings), table.shape[2]))
    for i, role in enumerate(made.roles):
        total += table[i].take(fillings[:, role], axis=0)
    parts = total.reshape(len(fillings), len(series), -1)
    influence = parts[:, :, 1:]
    return parts[:, :, 0], np.sqrt(np.einsum("bkr,bkr->bk", influence, influence))


@dataclass(frozen=True)
class Specification:
    """One or more ways that share rows and regressors and differ in the outcome series.

    `ways` names each (K of them), `series` is K x L x S without a missing value; `extra` as in
    `effect_maps`.
    """

    ways: Sequence[Mapping[str, str]]
    rows: Rows
    effects: Effects
    series: Floats
    extra: Floats | None = None


@dataclass(frozen=True)
class JointTest:
    """A summary of the curve and its p-value under joint permutation."""

    value: float
    p: float


@dataclass(frozen=True)
class Curve:
    """All specifications of one outcome (S). Units: the outcome's own.

    Attributes
    ----------
    ways : what was chosen in each.
    estimate, se, low, high, p : arrays, length S
        `se` is CRV1 without a factor. p is the share of permutations (the data among them) whose
        |t| is at least as large; `low` and `high` add and take away the |t| at which p passes 5 %,
        so they leave out zero exactly where p is at most 5 %.
    clusters : int array, length S
        Clusters behind each way, which may leave some out.
    skipped : ways that could not be computed, with the reason.
    median : the median estimate.
    share : share of specifications with the sign of the median and p of at most 5 %.
    mean_t : the average t statistic.
    draws : permutations besides the data. exact : they are all that exist.
    """

    ways: tuple[Mapping[str, str], ...]
    estimate: Floats
    se: Floats
    low: Floats
    high: Floats
    p: Floats
    clusters: Ints
    skipped: tuple[tuple[Mapping[str, str], str], ...]
    median: JointTest
    share: JointTest
    mean_t: JointTest
    draws: int
    exact: bool

    def where(self, **chosen: str) -> NDArray[np.bool_]:
        """Specifications that made these choices."""
        found = np.ones(len(self.ways), dtype=bool)
        for name, value in chosen.items():
            found &= self._chosen[name] == value
        return found

    @cached_property
    def _chosen(self) -> Mapping[str, NDArray[np.str_]]:
        """What every way chose, by name; exhibits ask a hundred times."""
        return {name: np.array([way[name] for way in self.ways]) for name in self.ways[0]}


def curve(
    specifications: Iterable[Specification],
    clusters: int,
    *,
    draws: int,
    seed: int,
    fixed: int = 0,
    skipped: Sequence[tuple[Mapping[str, str], str]] = (),
) -> Curve:
    """Run every specification on the data and on the same permutations of clusters.

    Parameters
    ----------
    specifications : iterable, taken one at a time so that their rows need not all be held.
    clusters : int
        L, the clusters of every series; all are permuted, also those a specification leaves out.
    draws, seed
        Random permutations, unless all there are number no more than `draws`.
    fixed : int
        So many of the clusters, the last, keep their place. Permuting the others alone is a test
        of the same hypothesis, given the series that stay.
    skipped : sequence
        Ways that have no rows; it may grow while `specifications` is taken.

    Raises
    ------
    FrameError
        No specification could be computed.
    """
    # A stratum of its own keeps a cluster where it is.
    strata = np.maximum(np.arange(clusters) - (clusters - fixed) + 1, 0)
    fillings, exact = arrangements(strata, draws, seed)
    if not exact:
        fillings = np.vstack([np.arange(clusters)[None, :], fillings])
    ways: list[Mapping[str, str]] = []
    lost: list[tuple[Mapping[str, str], str]] = []
    estimates: list[Floats] = []
    errors: list[Floats] = []
    last: tuple[Rows, Effects, Floats] | None = None
    seen: list[int] = []
    for one in specifications:
        try:
            # With and without further regressors follow each other, on the same fixed effects.
            if last is None or last[0] is not one.rows or last[1] != one.effects:
                last = one.rows, one.effects, fixed_basis(one.rows, one.effects)
            made = effect_maps(one.rows, one.effects, one.extra, fixed=last[2])
        except FrameError as problem:
            lost += [(way, str(problem)) for way in one.ways]
            continue
        estimate, se = statistics(one.rows, made, one.series, fillings)
        ways += one.ways
        seen += [len(made.roles)] * len(one.ways)
        estimates.append(estimate)
        errors.append(se)
    if not ways:
        reasons = [*skipped, *lost]
        first = f"; the first reason: {reasons[0][1]}" if reasons else ""
        raise FrameError(f"no specification of the curve could be computed{first}")
    estimate, se = np.hstack(estimates), np.hstack(errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(estimate == 0.0, 0.0, estimate / se)
    size = np.ascontiguousarray(np.abs(t).T)  # a way a row: sorting goes along memory
    order = np.sort(size, axis=1)
    p = np.stack([_ranked(*pair) for pair in zip(size, order, strict=True)], axis=1)
    # The largest |t| that is not told from zero: rank k + 1 of the draws, k = 5 % of them.
    rejected = int(np.floor(ALPHA * len(t) + 1e-9))
    critical = order[:, len(t) - 1 - min(rejected, len(t) - 1)]
    median = np.median(estimate, axis=1)
    told = (p <= ALPHA + 1e-12) & (np.sign(estimate) == np.sign(median)[:, None])
    return Curve(
        ways=tuple(ways),
        estimate=estimate[0],
        se=se[0],
        low=estimate[0] - critical * se[0],
        high=estimate[0] + critical * se[0],
        p=p[0],
        clusters=np.array(seen, dtype=np.int64),
        skipped=(*skipped, *lost),
        median=_joint(median),
        share=_joint(told.mean(axis=1)),
        mean_t=_joint(t.mean(axis=1)),
        draws=len(fillings) - 1,
        exact=exact,
    )


def _ranked(size: Floats, order: Floats) -> Floats:
    """For each value the share of values at least as large (`order`: sorted), ties counted."""
    return (len(size) - np.searchsorted(order, size * (1 - TIE), side="left")) / len(size)


def _joint(values: Floats) -> JointTest:
    size = np.abs(values)
    return JointTest(float(values[0]), float(np.mean(size >= size[0] * (1 - TIE))))


def fill_places(total: Floats, n: Floats) -> Floats:
    """Means of K outcomes in every place, empty cluster-places filled in.

    As `permutation.fill`: cluster mean plus place mean by weighted least squares; only permuted
    draws ever use a filled value.

    Parameters
    ----------
    total : array, K x L x S
    n : array, L x S
    """
    there = n > 0
    mean = np.where(there, total / np.where(there, n, 1.0), 0.0)
    if there.all():
        return np.asarray(mean)
    if not there.any(axis=1).all():
        raise FrameError("a cluster has no individuals in any place; leave it out of the design")
    clusters, places = n.shape
    # Normal equations of the two-way fit; the null space (a constant) is left to the least norm.
    gram = np.zeros((clusters + places, clusters + places))
    gram[:clusters, :clusters] = np.diag(n.sum(axis=1))
    gram[clusters:, clusters:] = np.diag(n.sum(axis=0))
    gram[:clusters, clusters:] = n
    gram[clusters:, :clusters] = n.T
    right = np.hstack([(mean * n).sum(axis=2), (mean * n).sum(axis=1)])
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    inverse = np.linalg.pinv(gram / np.outer(scale, scale), rcond=1e-11, hermitian=True)
    effects = (right / scale) @ inverse / scale
    fitted = effects[:, :clusters, None] + effects[:, None, clusters:]
    return np.asarray(np.where(there, mean, fitted))
