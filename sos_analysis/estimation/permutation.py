"""Randomisation inference for matched groups whose comparators may serve several treated clusters.

Each distinct cluster of the design is a role: its slots (group, treated or not), their dates and
their weights. Roles stay as they are; which cluster's series fills which role is permuted. Shared
comparators, unequal weights and staggered dates are therefore the same in every draw.

Where treated clusters swung more or less than others before treatment, a series takes on the swing
usual in the role it fills (see `swings`). Statistics are studentised (Janssen 1997; Wu and Ding
2021; MacKinnon and Webb 2020). Intervals come by inversion under a constant effect, taking out of
every series its own hypothesised effect through its own exposure. Panels without matching: see
`assignment`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sos_analysis.numbering import distinct

from .frames import CellTable, Floats, FrameError, Ints, pair_codes
from .inversion import TIE, InferenceResult, Inversion, report, wald
from .slot_maps import LostEffect, Studentise, maps_of
from .swings import in_role, swings


class Series(Protocol):
    """Every cluster's series in every place of a design: what `comparison.series` gives.

    L clusters `las`; S places, each a position in `groups` (`place_group`) and an event time
    (`place_time`). `n` (individuals), `mean` (their mean outcome) and `exposure` (their mean share
    of the cluster's own treatment) are L x S; the last two are NaN where n is 0.
    """

    @property
    def las(self) -> Sequence[str]: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def place_group(self) -> Ints: ...
    @property
    def place_time(self) -> Ints: ...
    @property
    def n(self) -> NDArray[Any]: ...
    @property
    def mean(self) -> Floats: ...
    @property
    def exposure(self) -> Floats: ...


@dataclass(frozen=True)
class SlotSeries:
    """A plain `Series`."""

    las: Sequence[str]
    groups: Sequence[str]
    place_group: Ints
    place_time: Ints
    n: NDArray[Any]
    mean: Floats
    exposure: Floats


@dataclass(frozen=True)
class SlotDesign:
    """Slot-period rows of a design (M rows) with fixed weights, and the series laid over them.

    Attributes
    ----------
    las : tuple of str
        Roles, each named after the cluster that really holds it, sorted (R).
    role, window, slot, group_period : integer arrays, length M
        Role of the row, its window in the series, and its fixed effects.
    treated, post : float arrays, length M
    period : integer array, length M
    weight : float array, length M
        Sum of n x weight of the cells of that slot and period.
    y, exposure : arrays, R x S
        Filled series (see `fill`), rows in the order of `las`.
    swing : array, R
        Swing before treatment usual among clusters of the same kind (see `swings`).
    filled : int
        Cluster-windows without individuals that had to be filled in.
    """

    las: tuple[str, ...]
    role: Ints
    window: Ints
    slot: Ints
    group_period: Ints
    treated: Floats
    post: Floats
    period: Ints
    weight: Floats
    y: Floats
    exposure: Floats
    swing: Floats
    filled: int

    def where(self, rows: np.ndarray) -> SlotDesign:
        """The same design on some of its rows (boolean array, length M)."""
        return SlotDesign(
            self.las,
            self.role[rows],
            self.window[rows],
            self.slot[rows],
            self.group_period[rows],
            self.treated[rows],
            self.post[rows],
            self.period[rows],
            self.weight[rows],
            self.y,
            self.exposure,
            self.swing,
            self.filled,
        )


def fill(values: Floats, n: Floats) -> Floats:
    """Replace cluster-windows without individuals by cluster mean plus window mean.

    The additive fit is by least squares over the windows with individuals, weighted by n. It
    treats all clusters alike, so series that were exchangeable remain so, and the data's own
    statistic never uses a filled value: its slots have individuals wherever they have weight. It
    is linear in `values`, so filling y - tau D equals filling y and D apart.

    Parameters
    ----------
    values, n : arrays, L x S
    """
    missing = n <= 0
    if not missing.any():
        return values
    if missing.all(axis=1).any():
        raise FrameError("a cluster has no individuals in any window; leave it out of the design")
    rows, columns = values.shape
    la, window = (index.reshape(-1) for index in np.indices(values.shape))
    seen = ~missing.reshape(-1)
    design = np.zeros((rows * columns, rows + columns))
    design[np.arange(rows * columns), la] = 1.0
    design[np.arange(rows * columns), rows + window] = 1.0
    root = np.sqrt(n.reshape(-1)[seen])
    target = np.where(missing, 0.0, values).reshape(-1)[seen]
    fitted = design @ np.linalg.lstsq(design[seen] * root[:, None], target * root, rcond=None)[0]
    return np.where(missing, fitted.reshape(values.shape), values)


def slot_design(table: CellTable, series: Series) -> SlotDesign:
    """Lay all series over the slots of a matched design.

    Raises
    ------
    FrameError
        A cluster or a window of the design is not in the series.
    """
    position = {str(la): i for i, la in enumerate(series.las)}
    absent = [la for la in table.las if la not in position]
    if absent:
        raise FrameError(f"no series for the cluster(s) {', '.join(absent)} of the design")
    places = zip(series.place_group, series.place_time, strict=True)
    windows = {(str(series.groups[int(g)]), int(k)): s for s, (g, k) in enumerate(places)}
    first, index = distinct([table.group, table.la, table.period, table.treated, table.post])
    weight = np.bincount(index, table.w, minlength=len(first)).astype(np.float64)
    group, role, period = table.group[first], table.la[first], table.period[first]
    treated, post = table.treated[first], table.post[first]
    wanted = [(table.groups[g], int(k)) for g, k in zip(group, period, strict=True)]
    lost = sorted({f"{g} at {k}" for g, k in wanted if (g, k) not in windows})
    if lost:
        raise FrameError(f"no series for the window(s) {', '.join(lost)} of the design")
    order = np.array([position[la] for la in table.las])
    used = np.array(sorted({windows[key] for key in wanted}))
    renumber = {int(s): i for i, s in enumerate(used)}
    n = np.asarray(series.n, dtype=float)[np.ix_(order, used)]
    y = np.asarray(series.mean, dtype=float)[np.ix_(order, used)]
    exposure = np.asarray(series.exposure, dtype=float)[np.ix_(order, used)]
    window = np.array([renumber[windows[key]] for key in wanted])
    y, exposure = fill(y, n), fill(exposure, n)
    return SlotDesign(
        las=table.las,
        role=role,
        window=window,
        slot=pair_codes(group, role),
        group_period=pair_codes(group, period),
        treated=treated,
        post=post,
        period=period,
        weight=weight,
        y=y,
        exposure=exposure,
        swing=swings(
            y,
            exposure,
            n > 0,
            np.asarray(series.place_group)[used],
            np.bincount(window, post, len(used)) == 0,
            (np.bincount(role, treated, len(order)) > 0).astype(float),
        ),
        filled=int((n <= 0).sum()),
    )


def _over_roles(
    design: SlotDesign, maps: Floats, values: Floats, swing: Floats | None = None
) -> Floats:
    """What each cluster's series adds to each statistic when it fills each role: R x R x stats."""
    roles = len(design.las)
    out = np.zeros((roles, roles, len(maps)))
    for r in range(roles):
        mine = np.flatnonzero(design.role == r)
        series = values if swing is None else in_role(values, swing, r)
        out[r] = series[:, design.window[mine]] @ maps[:, mine].T
    return out


def _apply(table: Floats, fillings: Ints) -> Floats:
    """Sum a roles x clusters x stats table along each filling (B x R): B x stats."""
    out = np.zeros((len(fillings), table.shape[2]))
    for r in range(table.shape[0]):
        out += table[r].take(fillings[:, r], axis=0)
    return out


def count_arrangements(strata: Ints) -> int:
    """How many permutations of positions keep strata."""
    sizes = np.bincount(np.unique(strata, return_inverse=True)[1])
    return math.prod(math.factorial(int(s)) for s in sizes)


def arrangements(strata: Ints, draws: int, seed: int) -> tuple[Ints, bool]:
    """Permutations of positions that keep strata, B x R, and whether they are all that exist.

    All of them (the identity first) where there are no more than `draws`; otherwise `draws` random
    ones, to which the identity is added by the p-value's 1 + count rule.
    """
    total = count_arrangements(strata)
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    if total <= draws:
        out = np.empty((total, len(strata)), dtype=np.int64)
        every = itertools.product(*(itertools.permutations(m) for m in members))
        for row, parts in enumerate(every):
            for m, part in zip(members, parts, strict=True):
                out[row, m] = part
        return out, True
    rng = np.random.default_rng(seed)
    out = np.tile(np.arange(len(strata)), (draws, 1))
    for m in members:
        out[:, m] = rng.permuted(np.tile(m, (draws, 1)), axis=1)
    return out, False


def strata_codes(strata: Mapping[str, object] | None, las: Sequence[str]) -> Ints:
    if strata is None:
        return np.zeros(len(las), dtype=np.int64)
    lost = [la for la in las if la not in strata]
    if lost:
        raise FrameError(f"no stratum for the cluster(s) {', '.join(lost)}")
    return np.unique([str(strata[la]) for la in las], return_inverse=True)[1].astype(np.int64)


def size_strata(sizes: Mapping[str, float], strata: int = 2) -> dict[str, int]:
    """Clusters in `strata` groups of (nearly) equal number by size, ties by name.

    Permuting inside them compares like with like where noise depends on size.
    """
    order = sorted(sizes, key=lambda name: (sizes[name], name))
    return {name: i * strata // len(order) for i, name in enumerate(order)}


def slot_inversion(
    design: SlotDesign,
    *,
    draws: int = 9999,
    seed: int,
    studentise: Studentise = "crv3",
    strata: Mapping[str, object] | None = None,
    x: Floats | None = None,
) -> Inversion:
    """The slot permutation of one effect at every hypothesised value.

    With `studentise` "none" the coefficient itself is compared and series stay as they are:
    RI-beta, a test of the sharp hypothesis that takes all clusters' errors as alike.

    Parameters
    ----------
    x : array, M x q, optional
        Regressors of slot-period rows, the one whose effect is tested first; treated x post by
        default. `design.exposure` must then be what a unit of that effect adds to each series.
    """
    maps = maps_of(
        design, (design.treated * design.post)[:, None] if x is None else x, studentise, 1
    )
    fillings, exact = arrangements(strata_codes(strata, design.las), draws, seed)
    swing = None if studentise == "none" else design.swing
    together = np.concatenate(
        [_over_roles(design, maps, values, swing) for values in (design.y, design.exposure)], axis=2
    )
    identity = np.arange(len(design.las))[None, :]

    def five(rows: Ints) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        stats = _apply(together, rows)
        k = len(maps)
        iy, id_ = stats[:, 1:k], stats[:, k + 1 :]
        if studentise == "none":
            flat = np.ones(len(stats))
            return stats[:, 0], stats[:, k], flat, 0 * flat, 0 * flat
        dot = "bg,bg->b"
        return (
            stats[:, 0],
            stats[:, k],
            np.einsum(dot, iy, iy),
            np.einsum(dot, iy, id_),
            np.einsum(dot, id_, id_),
        )

    a, c, v0, v1, v2 = five(fillings)
    seen = tuple(float(part[0]) for part in five(identity))
    return Inversion(a, c, v0, v1, v2, (seen[0], seen[1], seen[2], seen[3], seen[4]), not exact)


def slot_permutation(
    table: CellTable,
    series: Series,
    *,
    draws: int = 9999,
    seed: int,
    studentise: Studentise = "crv3",
    strata: Mapping[str, object] | None = None,
    null: float = 0.0,
    level: float = 0.95,
) -> InferenceResult:
    """Permute which cluster's series fills each role of a matched design.

    The statistic is the coefficient on treated x post in weighted least squares of slot-period
    means on group x cluster and group x period effects, with the design's fixed weights, divided
    by its standard error over roles.

    Parameters
    ----------
    table : CellTable
        The matched sample: it fixes roles, dates and weights.
    series : Series
        Outcome, individuals and own exposure of every cluster in every window.
    draws, seed
        Random permutations, unless all there are number no more than `draws`.
    studentise : {"crv3", "crv1", "none"}
        What divides the coefficient. The jackknife (CRV3) keeps the size of the test where treated
        clusters vary more than others, or are small. Where leaving out one role removes the effect
        it is not defined: CRV1 takes its place and a note says so. "none" is RI-beta.
    strata : mapping of cluster to stratum, optional
        Permute inside strata only (see `size_strata`).
    null : float
        Hypothesised constant effect for the reported p-value.

    Raises
    ------
    FrameError
        See `slot_design`.
    """
    design = slot_design(table, series)
    notes: tuple[str, ...] = ()
    options: dict[str, Any] = {"draws": draws, "seed": seed, "strata": strata}
    try:
        inversion = slot_inversion(design, studentise=studentise, **options)
    except LostEffect:
        inversion = slot_inversion(design, studentise="crv1", **options)
        notes += (
            "leaving out one authority removes the effect, so the permutation is studentised by "
            "CRV1 and not by the jackknife",
        )
    if design.filled:
        share = design.filled / design.y.size
        notes += (
            f"{design.filled} of {design.y.size} cluster-windows ({100 * share:.1f} %) had no "
            "individuals and were filled by cluster mean plus window mean in permuted draws",
        )
    ratio = float(design.swing.max() * design.swing.min())
    if studentise != "none" and ratio != 1:
        notes += (
            f"before treatment, treated authorities swung {ratio:.2f} times as much as others; "
            "series are brought to the swing of the places they take",
        )
    total = count_arrangements(strata_codes(strata, design.las))
    notes += (
        f"{len(inversion.a)} of about {total:.1e} arrangements, drawn at random"
        if inversion.sampled
        else f"all {total} arrangements",
    )
    name = "slot permutation" if studentise != "none" else "slot permutation, unstudentised"
    return report(name, inversion, null=null, level=level, notes=notes)


def slot_joint(
    design: SlotDesign,
    x: Floats,
    *,
    tested: int,
    draws: int = 9999,
    seed: int,
    strata: Mapping[str, object] | None = None,
) -> tuple[float, float, bool]:
    """Slot permutation of the hypothesis that the first `tested` coefficients on x are zero.

    Parameters
    ----------
    x : array, M x q
        Regressors of slot-period rows.

    Returns
    -------
    (Wald statistic with CRV1 and no factor, p-value, whether draws are exhaustive)
    """
    maps = maps_of(design, x, "crv1", tested)
    fillings, exact = arrangements(strata_codes(strata, design.las), draws, seed)
    over = _over_roles(design, maps, design.y)

    def statistic(rows: Ints) -> Floats:
        stats = _apply(over, rows)
        return wald(stats[:, :tested], stats[:, tested:].reshape(len(rows), -1, tested))

    seen = float(statistic(np.arange(len(design.las))[None, :])[0])
    drawn = statistic(fillings)
    count = int(np.count_nonzero(drawn >= seen * (1 - TIE)))
    return seen, count / len(drawn) if exact else (1 + count) / (1 + len(drawn)), exact
