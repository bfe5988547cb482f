"""Exact counting, coarsened exact matching weights and imbalance, on plain integer arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sos_analysis.numbering import distinct

Array = Any  # numpy arrays of whatever width; numpy's own generics say no more here


@dataclass(frozen=True)
class Copies:
    """Copies of cells: row of the cell, index of the group, role, phase, event time."""

    row: Array
    group: Array
    treated: Array
    phase: Array
    time: Array

    def where(self, mask: Array) -> Copies:
        return Copies(
            self.row[mask], self.group[mask], self.treated[mask], self.phase[mask], self.time[mask]
        )


def strata(frame: pd.DataFrame, columns: Sequence[str]) -> Array:
    """Number of each row's combination of categories, in the order of the categories."""
    if not columns:
        return np.zeros(len(frame), dtype=np.int64)
    return distinct([pd.Categorical(frame[name]).codes for name in columns])[1]


def sums(number: Array, *values: Array) -> list[Array]:
    """Exact integer sums of values, none negative, by number (0, 1, ..., each present)."""
    found: list[Array] = []
    for value in values:
        if int(value.sum()) >= 2**53:
            raise OverflowError("sums of 2^53 and more are not exact; use smaller units")
        found.append(np.bincount(number, weights=value).astype(np.int64))
    return found


def cem_weights(block: Array, stratum: Array, treated: Array, count: Array) -> Array:
    """Weights of coarsened exact matching within blocks (Iacus, King and Porro 2012).

    Parameters
    ----------
    block, stratum : whole numbers from 0; strata are matched inside a block.
    treated : 0/1. count : events a row stands for, 0 where a row takes no part.

    Returns
    -------
    Weight of one event of each row: 0 in a stratum without events of both kinds; else 1 if
    treated, and (nT_s / nC_s) x (nC / nT) if not, with nT, nC the block's matched events.
    """
    if not len(block):
        return np.zeros(0)
    size = int(stratum.max()) + 1
    blocks = int(block.max()) + 1
    cell = block * size + stratum
    control, of_treated = (
        np.bincount(cell, weights=count * (treated == kind), minlength=blocks * size)
        for kind in (0, 1)
    )
    matched = (control > 0) & (of_treated > 0)
    control, of_treated = np.where(matched, control, 0.0), np.where(matched, of_treated, 0.0)
    all_control = control.reshape(-1, size).sum(axis=1)[block]
    all_treated = of_treated.reshape(-1, size).sum(axis=1)[block]
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = (of_treated[cell] / control[cell]) * (all_control / all_treated)
    taken = matched[cell] & (count > 0)
    return np.where(taken, np.where(treated == 1, 1.0, shared), 0.0)


def l1(stratum: Array, treated: Array, weight: Array) -> float:
    """Multivariate imbalance L1 of two groups over strata (Iacus, King and Porro 2011).

    Half the sum, over the full cross-classification, of the absolute differences of the two
    groups' relative (weighted) frequencies: 0 is balance, 1 complete separation; NaN if either
    group is empty.
    """
    size = int(np.max(stratum, initial=0)) + 1
    shares: list[Any] = []
    for kind in (0, 1):
        total = np.bincount(stratum, weights=weight * (treated == kind), minlength=size)
        if not total.sum():
            return float("nan")
        shares.append(total / total.sum())
    return float(np.abs(shares[1] - shares[0]).sum() / 2)
