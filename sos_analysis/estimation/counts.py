"""From rows to Gram matrices of a panel in one pass: count, then only small arrays.

A regression on cluster, period and categorical covariates needs no more of millions of rows than
how often each combination occurs and the sum of outcomes there. The engine reads the columns and
makes one whole number of each row; one histogram counts them. Everything after is sums of whole
numbers over axes of that table, so nothing depends on the order of rows or the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .assignment import PanelMoments
from .frames import Floats, FrameError, independent
from .grams import Grams

#: Entries the table of counts may have (times the values of the outcome): 4 GB at most.
LARGEST = 2**28


@dataclass(frozen=True)
class Counts:
    """How many rows, and the sum of their outcomes, in each combination of levels.

    Attributes
    ----------
    names : names of the axes: cluster, period, covariates.
    levels : by axis, the whole numbers its positions stand for.
    n, y_sum : integer arrays, one axis a name.
    """

    names: tuple[str, ...]
    levels: tuple[NDArray[np.int64], ...]
    n: NDArray[np.int64]
    y_sum: NDArray[np.int64]


def count_rows(
    path: Path | str,
    *,
    cluster: str,
    period: str,
    outcome: str,
    covariates: Sequence[str] = (),
    threads: int | None = None,
) -> Counts:
    """Count the rows of a Parquet file.

    Parameters
    ----------
    path : Parquet file; columns are whole numbers without gaps in their meaning (codes).
    outcome : whole numbers (0 and 1, days).
    threads : of the engine; None for all.

    Raises
    ------
    FrameError
        A column is missing, is not of whole numbers or has missing values, or the table would be
        too large.
    """
    import duckdb

    names = (cluster, period, *covariates)
    ranges = _ranges(Path(path), (*names, outcome))
    sizes = [high - low + 1 for low, high in ranges]
    entries = int(np.prod(sizes, dtype=object))
    if entries > LARGEST:
        raise FrameError(
            f"{Path(path).name}: {entries:,} combinations of {', '.join((*names, outcome))}, more "
            f"than {LARGEST:,}; put levels together, or leave out a covariate"
        )
    terms, weight = [], 1
    for name, (low, _), size in reversed(list(zip((*names, outcome), ranges, sizes, strict=True))):
        terms.append(f'(CAST("{name}" AS INTEGER) - {low}) * {weight}')
        weight *= size
    config: dict[str, str | bool | int | float | list[str]] = (
        {} if threads is None else {"threads": threads}
    )
    with duckdb.connect(config=config) as engine:
        rows = engine.execute(
            f"SELECT {' + '.join(terms)} AS code FROM read_parquet(?)", [str(path)]
        ).fetchnumpy()["code"]
    if np.ma.isMaskedArray(rows) and np.ma.getmaskarray(rows).any():
        raise FrameError(f"{Path(path).name}: a column has missing values; give them a code")
    table = np.bincount(np.asarray(rows), minlength=entries).reshape(sizes)
    values = np.arange(ranges[-1][0], ranges[-1][1] + 1)
    return Counts(
        names,
        tuple(np.arange(low, high + 1) for low, high in ranges[:-1]),
        table.sum(axis=-1),
        table @ values,
    )


def _ranges(path: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """Lowest and highest value of columns, from the file's own statistics or by a scan."""
    import duckdb
    import pyarrow.parquet as pq
    import pyarrow.types as kinds

    if not path.is_file():
        raise FrameError(f"{path.name}: no such file; give a Parquet file")
    schema = pq.read_schema(path)
    for name in names:
        if name not in schema.names:
            raise FrameError(f"{path.name}: no column {name!r}; it has {', '.join(schema.names)}")
        if not kinds.is_integer(schema.field(name).type):
            raise FrameError(
                f"{path.name}: column {name!r} is {schema.field(name).type}; code it as whole "
                "numbers first"
            )
    columns = ", ".join(f'min("{name}"), max("{name}")' for name in names)
    with duckdb.connect() as engine:
        found = engine.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchone()
    if found is None or any(value is None for value in found):
        raise FrameError(f"{path.name}: no rows, or a column without any value")
    return [(int(found[i]), int(found[i + 1])) for i in range(0, len(found), 2)]


def moments(counts: Counts, exposure: Floats) -> PanelMoments:
    """Cross-products by cluster, cluster effects taken out.

    Parameters
    ----------
    exposure : array, clusters x periods (axes 0 and 1 of the counts), share of treatment.
    """
    # Indicators of every period, then of every level of each covariate; firsts are dropped below.
    covariates = range(2, counts.n.ndim)
    size, periods = counts.n.shape[:2]
    start = np.cumsum([0, periods, *(counts.n.shape[a] for a in covariates)])
    width = int(start[-1])
    part = [slice(start[i], start[i + 1]) for i in range(len(start) - 1)]
    gram, score = np.zeros((size, width, width)), np.zeros((size, width))
    # Periods are summed out first: all pairs of covariates then come from a far smaller table.
    n, y = counts.n.sum(axis=1), counts.y_sum.sum(axis=1)
    for i, table in enumerate([_keep(counts.n, 1), *(_keep(n, a - 1) for a in covariates)]):
        gram[:, part[i], part[i]] = table[:, :, None] * np.eye(table.shape[1])
    score[:, part[0]] = _keep(counts.y_sum, 1)
    for i, a in enumerate(covariates, start=1):
        score[:, part[i]] = _keep(y, a - 1)
        pairs = [_keep(counts.n, 1, a), *(_keep(n, b - 1, a - 1) for b in range(2, a))]
        for other, pair in zip(part, pairs, strict=False):
            gram[:, other, part[i]] = pair
            gram[:, part[i], other] = pair.transpose(0, 2, 1)
    count = n.reshape(size, -1).sum(axis=1).astype(float)
    there = count > 0  # a code between others that no row has is no cluster
    count, score, gram = count[there], score[there], gram[there]
    total = np.einsum("gkk->gk", gram).copy()
    score -= total * (y.reshape(size, -1).sum(axis=1)[there] / count)[:, None]
    gram -= total[:, :, None] * total[:, None, :] / count[:, None, None]
    kept = np.concatenate([np.arange(p.start + 1, p.stop) for p in part])
    return PanelMoments(
        las=tuple(str(v) for v in counts.levels[0][there]),
        own=np.asarray(exposure, dtype=float)[there],
        ee=gram[:, :periods, :periods],
        ex=gram[:, :periods][:, :, kept],
        ey=score[:, :periods],
        xx=gram[:, kept][:, :, kept],
        xy=score[:, kept],
    )


def _keep(table: NDArray[np.int64], *axes: int) -> NDArray[np.int64]:
    """Sum over all axes but the first and these."""
    return np.asarray(table.sum(axis=tuple(a for a in range(1, table.ndim) if a not in axes)))


def panel_grams(counts: Counts, made: PanelMoments) -> Grams:
    """Gram matrices of two-way effects with covariates: exposure first, clusters taken out.

    Raises
    ------
    FrameError
        Exposure is determined by clusters, periods and covariates.
    """
    size, k = made.xy.shape
    xx, xy = np.zeros((size, k + 1, k + 1)), np.zeros((size, k + 1))
    xx[:, 0, 0] = np.einsum("gt,gts,gs->g", made.own, made.ee, made.own)
    xx[:, 0, 1:] = xx[:, 1:, 0] = np.einsum("gt,gtk->gk", made.own, made.ex)
    xx[:, 1:, 1:] = made.xx
    xy[:, 0], xy[:, 1:] = np.einsum("gt,gt->g", made.own, made.ey), made.xy
    order = np.r_[1 : k + 1, 0]
    total = xx.sum(axis=0)
    keep = np.zeros(k + 1, dtype=bool)
    keep[order] = independent(total[np.ix_(order, order)])
    if not keep[0]:
        raise FrameError(
            "the effect is not identified: exposure is collinear with the fixed effects; check "
            "that some clusters are treated and others not in the same periods"
        )
    names = ["effect"]
    for name, levels in zip(counts.names[1:], counts.levels[1:], strict=True):
        names += [f"{name}={level}" for level in levels[1:]]
    seen = counts.n.reshape(len(counts.n), -1).sum(axis=1)
    return Grams(
        clusters=made.las,
        names=tuple(n for n, s in zip(names, keep, strict=True) if s),
        xx=xx[:, keep][:, :, keep],
        xy=xy[:, keep],
        n=seen[seen > 0].astype(float),
        cells=int((counts.n > 0).sum()),
        absorbed=size,
        dropped=tuple(n for n, s in zip(names, keep, strict=True) if not s),
    )
