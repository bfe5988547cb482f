"""Placebo treatment in time and in space, and the estimate without each cluster.

All act on the preferred specification (`did.preferred_grams`). Callers decide which names may be
shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .did import preferred_grams
from .frames import CellTable, Floats, FrameError
from .grams import crv1, crv3, fit, leave_one_out
from .inference import t_test


@dataclass(frozen=True)
class Placebo:
    """An estimate where there can be no effect. Units: the outcome's own.

    Attributes
    ----------
    name : str
    att, se_crv1, se_crv3 : float
        `se_crv3` is NaN with one treated cluster.
    p : float
        From CRV3 and t(treated clusters - 1); NaN with one.
    treated : int
        Treated clusters.
    """

    name: str
    att: float
    se_crv1: float
    se_crv3: float
    p: float
    treated: int


def _placebo(name: str, table: CellTable) -> Placebo:
    grams = preferred_grams(table)
    att, se1 = float(fit(grams).beta[0]), float(np.sqrt(crv1(grams)[0, 0]))
    m = len(table.treated_las)
    se3 = float(np.sqrt(crv3(grams)[0, 0])) if m > 1 else float("nan")
    return Placebo(name, att, se1, se3, t_test(att, se3, m - 1)[0], m)


def _where(table: CellTable, keep: np.ndarray, **changed: Floats) -> CellTable:
    """Some rows of a table, columns replaced; labels and codes without gaps."""
    parts: dict[str, object] = {}
    for field in dataclasses.fields(table):
        value = changed.get(field.name, getattr(table, field.name))
        parts[field.name] = value[keep] if isinstance(value, np.ndarray) else value
    for labels, code in (("las", "la"), ("groups", "group")):
        used, parts[code] = np.unique(np.asarray(parts[code]), return_inverse=True)
        parts[labels] = tuple(getattr(table, labels)[i] for i in used)
    parts["categories"] = {k: (v, c[keep]) for k, (v, c) in table.categories.items()}
    parts["numeric"] = {k: v[keep] for k, v in table.numeric.items()}
    return CellTable(**parts)  # type: ignore[arg-type]


def placebo_table(table: CellTable, shift: int) -> CellTable:
    """Rows before adoption, with adoption moved back by `shift` periods.

    Each treated cluster keeps its rows before its own adoption, of which the last `shift` periods
    count as treated; clusters of its group without treatment keep the periods before the group's
    last adoption.

    Raises
    ------
    FrameError
        No treated cluster has more than `shift` periods before adoption.
    """
    if shift < 1:
        raise FrameError(f"shift must be 1 or more, not {shift}")
    keep, post = np.zeros(len(table.la), dtype=bool), np.zeros(len(table.la))
    for g in range(len(table.groups)):
        group = table.group == g
        last = None
        for la in np.unique(table.la[group & (table.exposure > 0)]):
            mine = group & (table.la == la)
            adopted = int(table.period[mine & (table.exposure > 0)].min())
            before = np.unique(table.period[mine & (table.period < adopted)])
            if len(before) <= shift:
                continue
            last = adopted if last is None else max(last, adopted)
            rows = mine & (table.period < adopted)
            keep |= rows
            post[rows & (table.period >= before[-shift])] = 1.0
        if last is not None:
            ever = np.unique(table.la[group & (table.treated > 0)])
            keep |= group & ~np.isin(table.la, ever) & (table.period < last)
    if not keep.any():
        raise FrameError(f"no treated cluster has more than {shift} periods before adoption")
    return _where(table, keep, post=post)


def placebo_dates(table: CellTable, shifts: Sequence[int]) -> tuple[Placebo, ...]:
    """Effects of adoption moved back, on rows before adoption alone; see `placebo_table`."""
    return tuple(_placebo(f"{k} periods earlier", placebo_table(table, k)) for k in shifts)


def placebo_clusters(table: CellTable) -> tuple[Placebo, ...]:
    """Each comparison cluster in the treated role, the treated ones left out.

    In every group where it serves, the cluster takes the exposure of the group's treated clusters
    (their mean where dates differ) and is compared with the group's other comparison clusters.
    Clusters without such company are skipped. One treated cluster: no error worth showing; what
    counts is where the estimate stands among these, see `position`.

    Raises
    ------
    FrameError
        No cluster can take the role.
    """
    exposure = np.full(len(table.la), np.nan)
    for g in range(len(table.groups)):
        group = table.group == g
        real = group & (table.treated > 0)
        for t in np.unique(table.period[real]):
            at = group & (table.period == t)
            paths = [
                table.exposure[real & at & (table.la == la)].mean()
                for la in np.unique(table.la[real & at])
            ]
            exposure[at] = np.mean(paths)
    company = (table.treated == 0) & np.isfinite(exposure)
    out = []
    for la in np.unique(table.la[company]):
        groups = np.unique(table.group[company & (table.la == la)])
        keep = company & np.isin(table.group, groups)
        chosen = (table.la == la).astype(float)
        if not (keep & (chosen == 0)).any():
            continue
        post = np.where(np.isfinite(exposure), exposure, 0.0)
        try:
            out.append(_placebo(table.las[la], _where(table, keep, treated=chosen, post=post)))
        except FrameError:
            continue
    if not out:
        raise FrameError("no comparison cluster has another one beside it in a group")
    return tuple(out)


def position(att: float, placebos: Sequence[Placebo]) -> float:
    """Share of placebo estimates, with the estimate itself, at least as large in absolute value."""
    larger = sum(abs(p.att) >= abs(att) for p in placebos)
    return (1 + larger) / (1 + len(placebos))


@dataclass(frozen=True)
class LeftOut:
    """The estimate without each cluster in turn, all else as it was.

    Attributes
    ----------
    clusters : tuple of str, G
    treated : boolean array, G
    att : array, G
        NaN where the effect is lost with the cluster.
    full : float
        The estimate with all.
    """

    clusters: tuple[str, ...]
    treated: np.ndarray
    att: Floats
    full: float

    def range(self, treated: bool | None = None) -> tuple[float, float]:
        """Lowest and highest of them, for all clusters or one kind."""
        rows = np.isfinite(self.att)
        if treated is not None:
            rows &= self.treated == treated
        if not rows.any():
            return float("nan"), float("nan")
        return float(self.att[rows].min()), float(self.att[rows].max())

    def most_telling(self) -> tuple[str, float]:
        """The cluster without which the estimate moves most, and the estimate then."""
        i = int(np.nanargmax(np.abs(self.att - self.full)))
        return self.clusters[i], float(self.att[i])


def left_out(table: CellTable) -> LeftOut:
    """The preferred estimate without each treated and each comparison cluster."""
    grams = preferred_grams(table)
    treated = set(table.treated_las)
    return LeftOut(
        clusters=grams.clusters,
        treated=np.array([la in treated for la in grams.clusters]),
        att=leave_one_out(grams)[:, 0],
        full=float(fit(grams).beta[0]),
    )
