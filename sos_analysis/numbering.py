"""Distinct combinations of the values of several columns, numbered: what is grouped, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(columns: Sequence[NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row, and number, of each distinct combination.

    Parameters
    ----------
    columns : at least one, all of a length N; whole numbers, booleans, or fractions.

    Returns
    -------
    Row at which each combination first stands (length K), and the number of each row's combination
    (length N). Numbers run from 0 to K - 1 in the order of the columns' values, whatever the order
    of the rows.
    """
    key, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        values, width = _codes(np.asarray(column))
        if size * width > 2**62:  # int64 would overflow: number only what is there
            key, size = _dense(key)
            values, width = _dense(values)
        key, size = key * width + values, size * width
    if size > 4 * len(key) + 1_000_000:
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        return first.astype(np.int64), number.astype(np.int64)
    # Few possible values: number them by a table and skip the sort.
    at = np.full(size, -1, dtype=np.int64)
    at[key[::-1]] = np.arange(len(key))[::-1]
    there = np.flatnonzero(at >= 0)
    first = at[there]
    at[there] = np.arange(len(there))
    return first, at[key]


def _codes(column: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Values as whole numbers from zero, in their order, and how many there can be."""
    if column.dtype.kind == "f" and not _whole(column):
        return _dense(column)
    values = column.astype(np.int64)
    values = values - int(values.min(initial=0))
    return values, int(values.max(initial=0)) + 1


def _dense(column: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    values = np.unique(column, return_inverse=True)[1].astype(np.int64)
    return values, int(values.max(initial=0)) + 1


def _whole(values: NDArray[Any]) -> bool:
    return bool((values == np.rint(values)).all() and np.abs(values).max(initial=0) < 2**53)
