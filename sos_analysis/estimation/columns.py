"""Columns of a regression kept as codes: indicators are counted, never written out.

Most columns of these models are indicators of a few codes (group and period, category). Their
products with one another are then sums of weights by pairs of codes, so a design of fifty thousand
rows and a hundred columns costs a few passes over the rows, and is never in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from .frames import CellTable, Floats, Ints


@dataclass(frozen=True)
class Coded:
    """Indicators: row i is 1 in column `code[i]`, and 0 throughout where that is -1."""

    names: tuple[str, ...]
    code: Ints


@dataclass(frozen=True)
class Plain:
    """Columns written out, N x len(names)."""

    names: tuple[str, ...]
    values: Floats


Block = Coded | Plain


@dataclass(frozen=True)
class Columns:
    """Blocks of columns side by side."""

    blocks: tuple[Block, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for block in self.blocks for name in block.names)

    @cached_property
    def rows(self) -> int:
        block = self.blocks[0]
        return len(block.code if isinstance(block, Coded) else block.values)

    @cached_property
    def plain(self) -> tuple[Ints, Floats]:
        """Places of the columns that are written out, and these."""
        places, values = [], []
        for place, block in self._placed():
            if isinstance(block, Plain):
                places.append(np.arange(place, place + len(block.names)))
                values.append(block.values)
        if not places:
            return np.empty(0, dtype=np.int64), np.empty((self.rows, 0))
        return np.concatenate(places), np.hstack(values)

    @cached_property
    def coded(self) -> tuple[tuple[int, Coded], ...]:
        """Indicators, each block with the place of its first column."""
        return tuple((p, b) for p, b in self._placed() if isinstance(b, Coded) and b.names)

    def _placed(self) -> list[tuple[int, Block]]:
        ends = np.cumsum([0, *(len(block.names) for block in self.blocks)])
        return [(int(end), block) for end, block in zip(ends, self.blocks, strict=False)]

    def take(self, rows: Any) -> Columns:
        """The same columns on some of their rows."""
        return Columns(
            tuple(
                Coded(b.names, b.code[rows])
                if isinstance(b, Coded)
                else Plain(b.names, b.values[rows])
                for b in self.blocks
            )
        )

    def only(self, kept: Any) -> Columns:
        """Some of the columns (boolean array, length K), in the same order."""
        blocks: list[Block] = []
        for place, block in self._placed():
            mine = np.asarray(kept[place : place + len(block.names)], dtype=bool)
            names = tuple(name for name, keep in zip(block.names, mine, strict=True) if keep)
            if isinstance(block, Plain):
                blocks.append(Plain(names, block.values[:, mine]))
            else:
                anew = np.append(np.where(mine, np.cumsum(mine) - 1, -1), -1)
                blocks.append(Coded(names, anew[block.code]))
        return Columns(tuple(blocks))

    def written_out(self) -> Floats:
        """All of them, N x K."""
        out = np.zeros((self.rows, len(self.names)))
        places, values = self.plain
        out[:, places] = values
        for place, block in self.coded:
            there = np.flatnonzero(block.code >= 0)
            out[there, place + block.code[there]] = 1.0
        return out

    def times(self, beta: Floats) -> Floats:
        """X beta, length N."""
        places, values = self.plain
        out = values @ beta[places]
        for place, block in self.coded:
            # The last entry stands for code -1.
            out = out + np.append(beta[place : place + len(block.names)], 0.0)[block.code]
        return np.asarray(out)

    def sums(self, values: Floats, cluster: Ints, count: int) -> Floats:
        """X_g' values by cluster, `count` x K."""
        return self._sums(values, self.plain[1], cluster, count)

    def _sums(self, values: Floats, plain: Floats, cluster: Ints, count: int) -> Floats:
        out = np.zeros((count, len(self.names)))
        for j, place in enumerate(self.plain[0]):
            out[:, place] = np.bincount(cluster, values * plain[:, j], minlength=count)
        for place, block in self.coded:
            k = len(block.names)
            found = np.bincount(_in(cluster, block), values, minlength=count * (k + 1))
            out[:, place : place + k] = found.reshape(count, k + 1)[:, 1:]
        return out

    def squares(self, w: Floats) -> Floats:
        """Weighted sum of squares of each column, length K."""
        whole = np.zeros(self.rows, dtype=np.int64)
        return np.asarray(self._sums(w, self.plain[1] ** 2, whole, 1)[0])

    def products(self, w: Floats, cluster: Ints, count: int) -> Floats:
        """X_g'W_gX_g by cluster, `count` x K x K."""
        return self._products(w, self.plain[1], Crossed(self, cluster, count))

    def _products(self, w: Floats, plain: Floats, crossed: Crossed) -> Floats:
        k, count = len(self.names), crossed.count
        out = np.zeros((count, k, k))
        places = self.plain[0]
        weighted = w[:, None] * plain
        if len(places):
            inner = np.ix_(places, places)
            for g, rows in enumerate(_rows_of(crossed.cluster, count)):
                out[g][inner] = weighted[rows].T @ plain[rows]
        # Code 0 stands for rows without an indicator; what it collects is left out.
        for place, size, key in crossed.single:
            span = np.arange(place, place + size)
            bins = count * (size + 1)
            found = np.bincount(key, w, minlength=bins).reshape(count, size + 1)[:, 1:]
            out[:, span, span] = found
            for j, other in enumerate(places):
                found = np.bincount(key, weighted[:, j], minlength=bins)
                both = found.reshape(count, size + 1)[:, 1:]
                out[:, span, other] = both
                out[:, other, span] = both
        for p, m, q, n, key in crossed.pairs:
            found = np.bincount(key, w, minlength=count * (m + 1) * (n + 1))
            both = found.reshape(count, m + 1, n + 1)[:, 1:, 1:]
            out[:, p : p + m, q : q + n] = both
            out[:, q : q + n, p : p + m] = both.transpose(0, 2, 1)
        return out

    def demeaned(
        self, y: Floats, w: Floats, within: Ints, cluster: Ints, count: int
    ) -> tuple[Floats, Floats]:
        """X_g'W_gX_g and X_g'W_gy_g after taking out the means of each code of `within`.

        Columns written out lose their means row by row; of indicators the sums of squares and
        products of means are taken off, which is the same and leaves rounding of 1e-16 of what
        was there.

        Parameters
        ----------
        within : integer array, length N
            0, 1, ... without gaps, each code in one cluster only.
        """
        total = np.bincount(within, w)
        owner = np.zeros(len(total), dtype=np.int64)
        owner[within] = cluster
        plain = self.plain[1].copy()
        for j in range(plain.shape[1]):
            plain[:, j] -= (np.bincount(within, w * plain[:, j]) / total)[within]
        y = y - (np.bincount(within, w * y) / total)[within]
        xx = self._products(w, plain, Crossed(self, cluster, count))
        # Of indicators alone: what is written out has no means left.
        nothing = np.zeros_like(plain)
        sums = self._sums(w, nothing, within, len(total))
        for g, rows in enumerate(_rows_of(owner, count)):
            xx[g] -= (sums[rows] / total[rows, None]).T @ sums[rows]
        return xx, self._sums(w * y, plain, cluster, count)


@dataclass(frozen=True)
class Crossed:
    """Codes of clusters and indicators, alone and in pairs, numbered for counting.

    For models that weight the same rows anew many times: `products` numbers nothing then.
    """

    columns: Columns
    cluster: Ints
    count: int

    @cached_property
    def single(self) -> list[tuple[int, int, Ints]]:
        """Of each block: its place and size, and each row's bin of cluster and code."""
        return [(p, len(b.names), _in(self.cluster, b)) for p, b in self.columns.coded]

    @cached_property
    def pairs(self) -> list[tuple[int, int, int, int, Ints]]:
        """Of each two blocks: places and sizes, and each row's bin of cluster and both codes."""
        codes = [(p, len(b.names), b.code + 1) for p, b in self.columns.coded]
        return [
            (*first[:2], q, n, first[2] * (n + 1) + code)
            for i, first in enumerate(self.single)
            for q, n, code in codes[i + 1 :]
        ]

    def products(self, w: Floats) -> Floats:
        """X_g'W_gX_g by cluster, see `Columns.products`."""
        return self.columns._products(w, self.columns.plain[1], self)


def _in(cluster: Ints, block: Coded) -> Ints:
    return np.asarray(cluster * (len(block.names) + 1) + block.code + 1, dtype=np.int64)


def _rows_of(cluster: Ints, count: int) -> list[Any]:
    """Rows of each cluster: slices where they lie side by side, as in a sorted table."""
    if (np.diff(cluster) < 0).any():
        return [np.flatnonzero(cluster == g) for g in range(count)]
    ends = np.searchsorted(cluster, np.arange(count + 1))
    return [slice(a, b) for a, b in pairwise(ends)]


def period_block(table: CellTable) -> Coded:
    """Group x period indicators, one period of each group left out (group x LA effects follow)."""
    names: list[str] = []
    code = np.full(len(table.la), -1, dtype=np.int64)
    low = int(table.period.min())
    for g, label in enumerate(table.groups):
        mine = np.flatnonzero(table.group == g)
        there = np.flatnonzero(np.bincount(table.period[mine] - low))[1:] + low
        at = np.full(int(table.period.max()) - low + 1, -1, dtype=np.int64)
        at[there - low] = len(names) + np.arange(len(there))
        code[mine] = at[table.period[mine] - low]
        names += [f"{label} at {k}" for k in there]
    return Coded(tuple(names), code)


def indicators(code: Ints, labels: Sequence[str], prefix: str) -> Coded:
    """Indicators of each label but the first."""
    return Coded(tuple(f"{prefix}={label}" for label in labels[1:]), code - 1)


def covariate_blocks(table: CellTable) -> tuple[Block, ...]:
    """All covariates of a table: indicators of categories, numbers as they are."""
    blocks: list[Block] = [
        indicators(codes, levels, name) for name, (levels, codes) in table.categories.items()
    ]
    if table.numeric:
        blocks.append(Plain(tuple(table.numeric), np.stack([*table.numeric.values()], axis=1)))
    return tuple(blocks)
