"""Linear maps from slot-period outcomes to a coefficient and to what each role does to it.

A permutation recomputes neither: it lays other series over the same maps. Slots and periods of one
matched group are tied together and to no others, so each group is solved on its own, and leaving
out a role solves anew the groups in which it serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from .frames import Floats, FrameError, Ints

if TYPE_CHECKING:
    from .permutation import SlotDesign

Studentise = Literal["crv3", "crv1", "none"]


class LostEffect(FrameError):
    """Leaving out one role of a design leaves its effect unidentified."""


def maps_of(design: SlotDesign, x: Floats, studentise: Studentise, tested: int) -> Floats:
    """Linear maps from slot-period outcomes to coefficients and their cluster influences.

    Returns an array ((1 + R) q) x M: q coefficients, then for each role its influence on them
    (CRV1: score times bread; CRV3: change when the role is left out), q = `tested`.
    """
    w, roles = design.weight, np.arange(len(design.las))
    parts = parts_of(design.slot, design.group_period)
    residual = _residual(design, parts, x, w)
    coefficient = _coefficient(residual, w)
    if coefficient is None:
        raise FrameError("the effect is not identified in the slots of this design")
    first = coefficient[:tested]
    if studentise != "crv3":
        own = np.where(design.role == roles[:, None, None], first, 0.0).reshape(-1, len(w))
        each = np.divide(own, w, out=np.zeros_like(own), where=w > 0)
        score = _residual(design, parts, each.T, w).T * w
        return np.vstack([first, score - (own @ residual) @ coefficient])
    blocks = [first]
    for r in roles:
        left = np.where(design.role == r, 0.0, w)
        without = residual.copy()
        # Other parts are as they were.
        touched = [rows for rows in parts if (design.role[rows] == r).any()]
        moved = _coefficient(_residual(design, touched, x, left, out=without), left)
        if moved is None:
            raise LostEffect(
                f"leaving out {design.las[r]!r} leaves the effect unidentified; "
                "use studentise='crv1'"
            )
        blocks.append(np.sqrt((len(roles) - 1) / len(roles)) * (moved[:tested] - first))
    return np.vstack(blocks)


def parts_of(slot: Ints, place: Ints) -> list[Ints]:
    """Rows that slots and their places tie together: the matched groups, each by itself."""
    (_, slots), (_, places) = (np.unique(code, return_inverse=True) for code in (slot, place))
    # Every row takes the lowest number among rows of its slot and of its place, until none moves.
    label = slots
    while True:
        lowest = np.full(int(places.max(initial=-1)) + 1, len(slots))
        np.minimum.at(lowest, places, label)
        of_slot = np.full(int(slots.max(initial=-1)) + 1, len(slots))
        np.minimum.at(of_slot, slots, lowest[places])
        if (of_slot[slots] == label).all():
            return [np.flatnonzero(label == part) for part in np.unique(label)]
        label = of_slot[slots]


def _residual(
    design: SlotDesign, parts: Sequence[Ints], x: Floats, w: Floats, out: Floats | None = None
) -> Floats:
    """Columns less their weighted fit on slot and period effects, in `out` where that is given."""
    found = np.empty(x.shape) if out is None else out
    root = np.sqrt(w)[:, None]
    for rows in parts:
        effects = np.hstack(
            [_indicators(design.slot[rows]), _indicators(design.group_period[rows])]
        )
        right = x[rows] * root[rows]
        fitted = effects @ np.linalg.lstsq(effects * root[rows], right, rcond=1e-10)[0]
        found[rows] = x[rows] - fitted
    return found


def _coefficient(residual: Floats, w: Floats) -> Floats | None:
    """Map from outcomes to coefficients, q x M; None where they are not identified."""
    gram = residual.T @ (w[:, None] * residual)
    rank = np.linalg.matrix_rank(gram, tol=1e-9 * max(gram.max(), 1e-300), hermitian=True)
    if rank < len(gram):
        return None
    return np.asarray(np.linalg.solve(gram, residual.T * w), dtype=np.float64)


def _indicators(codes: Ints) -> Floats:
    return (codes[:, None] == np.unique(codes)[None, :]).astype(float)
