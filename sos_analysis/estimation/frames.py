"""Cell rows in one canonical order, and the columns of a regression on them.

All regressors are constant inside a cell, so weighted least squares on cells, with weight
``n * weight`` and outcome ``y_sum / n``, gives the coefficients and the cluster-robust covariance
of the same regression on individual rows. Rows that agree on every key are added up first: the
sums are sums of integers, hence exact, so no result depends on row order or on how cells were cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sos_analysis.errors import SosError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A regressor whose residual variance, after the regressors before it, is below this share of its
#: own is called collinear. Rounding leaves about 1e-14; real regressors leave more than 1e-6.
COLLINEAR = 1e-9


class FrameError(SosError):
    """Rows handed to an estimator lack a column or hold a value no regression can use."""


@dataclass(frozen=True)
class CellTable:
    """Cell rows as arrays, sorted, one row for each distinct combination of keys.

    Attributes
    ----------
    las, groups : tuple of str
        Sorted labels; `la` and `group` hold positions in them.
    la, group, period, year : integer arrays, length N
        Cluster, matched group, event time and calendar (fiscal) year.
    treated, post : float arrays of 0/1, length N
    n, y_sum, y_sq : float arrays, length N
        Individuals in the cell, the sum of their outcomes and of squared outcomes.
    weight : float array, length N
        Analytic weight of one individual; the regression weight of a cell is ``n * weight``.
    copies : float array, length N
        How many times the individual's row is repeated over groups (1 if not given).
    categories : mapping of str to (levels, codes)
        Categorical covariates.
    numeric : mapping of str to float array
        Numeric covariates (for instance LA by year).
    """

    las: tuple[str, ...]
    groups: tuple[str, ...]
    la: Ints
    group: Ints
    period: Ints
    year: Ints
    treated: Floats
    post: Floats
    n: Floats
    y_sum: Floats
    y_sq: Floats
    weight: Floats
    copies: Floats
    categories: Mapping[str, tuple[tuple[str, ...], Ints]]
    numeric: Mapping[str, Floats]

    @property
    def w(self) -> Floats:
        """Regression weights, length N."""
        return self.n * self.weight

    @property
    def y(self) -> Floats:
        """Mean outcome of each cell, length N."""
        return self.y_sum / self.n

    @property
    def exposure(self) -> Floats:
        """Treatment indicator treated x post, length N."""
        return self.treated * self.post

    @property
    def treated_las(self) -> tuple[str, ...]:
        """LAs that are exposed in at least one row."""
        return tuple(self.las[i] for i in np.unique(self.la[self.exposure > 0]))


def cell_table(
    frame: pd.DataFrame,
    covariates: Sequence[str] = (),
    numeric: Sequence[str] = (),
    *,
    period: str = "event_time",
) -> CellTable:
    """Check cell rows, add up identical ones and put them in canonical order.

    Parameters
    ----------
    frame : DataFrame
        Columns ``la, treated, post, n, y_sum`` and `period`; optionally ``group`` (default: one
        group), ``year``, ``y_sq``, ``weight`` and ``copies`` (default 1), and the covariates.
    covariates, numeric : sequence of str
        Categorical and numeric covariate columns.
    period : str
        Name of the column with (event) time.

    Raises
    ------
    FrameError
        A column is missing, a value is missing or negative, or treated/post is not 0/1.
    """
    import pandas as pd

    needed = ["la", "treated", "post", "n", "y_sum", period, *covariates, *numeric]
    missing = [c for c in needed if c not in frame.columns]
    if missing:
        raise FrameError(
            f"cell rows lack the column(s) {', '.join(missing)}; "
            f"needed: {', '.join(needed)}; there: {', '.join(map(str, frame.columns))}"
        )
    kept = frame.loc[frame["n"].to_numpy() > 0]
    if kept.empty:
        raise FrameError("no cell row has n > 0; nothing can be estimated: widen the sample")
    words: dict[str, NDArray[np.str_]] = {}

    def spell(name: str, column: pd.Series) -> Ints:
        words[name], codes = _spelt(column)
        return codes

    work: dict[str, Any] = {
        "la": spell("la", kept["la"]),
        "group": (
            spell("group", kept["group"])
            if "group" in kept
            else spell("group", pd.Series("all", index=kept.index))
        ),
        "period": kept[period].to_numpy(dtype=np.int64),
        "year": kept["year" if "year" in kept else period].to_numpy(dtype=np.int64),
    }
    for name in ("treated", "post"):
        values = kept[name].to_numpy(dtype=float)
        if not np.isin(values, (0.0, 1.0)).all():
            raise FrameError(f"column {name!r} must be 0 or 1 in every row")
        work[name] = values
    for name in ("weight", "copies"):
        work[name] = kept[name].to_numpy(dtype=float) if name in kept else np.ones(len(kept))
    for name in covariates:
        work["c:" + name] = spell("c:" + name, kept[name])
    for name in numeric:
        work["x:" + name] = kept[name].to_numpy(dtype=float)
    keys = list(work)
    sums = {"n": kept["n"].to_numpy(dtype=float), "y_sum": kept["y_sum"].to_numpy(dtype=float)}
    sums["y_sq"] = (
        kept["y_sq"].to_numpy(dtype=float) if "y_sq" in kept else np.full(len(kept), np.nan)
    )
    for name, values in {**work, **sums}.items():
        if name != "y_sq" and not np.isfinite(values).all():
            raise FrameError(f"column {name.split(':')[-1]!r} has a missing or infinite value")
    if (work["weight"] < 0).any() or (work["copies"] <= 0).any():
        raise FrameError("column 'weight' must not be negative and 'copies' must be above 0")
    # Sorting by the sums too fixes the order of addition even where sums are not integers.
    rows = pd.DataFrame({**work, **sums}).sort_values([*keys, "n", "y_sum"], kind="stable")
    grouped = rows.groupby(keys, sort=True, observed=True)[["n", "y_sum", "y_sq"]]
    table = grouped.sum(min_count=1).reset_index()
    table = table.loc[table["weight"].to_numpy() > 0]

    def coded(name: str) -> tuple[tuple[str, ...], Ints]:
        there, codes = np.unique(table[name].to_numpy(), return_inverse=True)
        return tuple(str(v) for v in words[name][there]), codes.astype(np.int64)

    las, la = coded("la")
    groups, group = coded("group")
    return CellTable(
        las=las,
        groups=groups,
        la=la,
        group=group,
        period=table["period"].to_numpy(dtype=np.int64),
        year=table["year"].to_numpy(dtype=np.int64),
        treated=table["treated"].to_numpy(dtype=float),
        post=table["post"].to_numpy(dtype=float),
        n=table["n"].to_numpy(dtype=float),
        y_sum=table["y_sum"].to_numpy(dtype=float),
        y_sq=table["y_sq"].to_numpy(dtype=float),
        weight=table["weight"].to_numpy(dtype=float),
        copies=table["copies"].to_numpy(dtype=float),
        categories={name: coded("c:" + name) for name in covariates},
        numeric={name: table["x:" + name].to_numpy(dtype=float) for name in numeric},
    )


def _spelt(column: pd.Series) -> tuple[NDArray[np.str_], Ints]:
    """Values as words in the order of the words, and each row's number among them."""
    import pandas as pd

    found = pd.Categorical(column)
    # Told apart as values, but perhaps not as words.
    spelt = [*(str(value) for value in found.categories), "missing"]
    levels, number = np.unique(np.array(spelt, dtype=str), return_inverse=True)
    return levels, number[found.codes].astype(np.int64)


def dummies(codes: Ints, labels: Sequence[str], prefix: str) -> tuple[list[str], Floats]:
    """Indicator columns for each label but the first, as (names, N x (labels-1) array)."""
    names = [f"{prefix}={label}" for label in labels[1:]]
    return names, (codes[:, None] == np.arange(1, len(labels))[None, :]).astype(float)


def covariate_columns(table: CellTable) -> tuple[list[str], Floats]:
    """Columns for all covariates of a table: dummies for categories, numbers as they are."""
    names: list[str] = []
    blocks: list[Floats] = [np.empty((len(table.la), 0))]
    for name, (levels, codes) in table.categories.items():
        new, block = dummies(codes, levels, name)
        names += new
        blocks.append(block)
    for name, values in table.numeric.items():
        names.append(name)
        blocks.append(values[:, None])
    return names, np.hstack(blocks)


def pair_codes(first: Ints, second: Ints) -> Ints:
    """One code for each distinct pair of two codes, numbered in sorted order."""
    if not len(first):
        return np.zeros(0, dtype=np.int64)
    low = int(second.min())
    wide = first.astype(np.int64) * (int(second.max()) - low + 1) + (second - low)
    return np.unique(wide, return_inverse=True)[1].astype(np.int64)


def independent(gram: Floats) -> NDArray[np.bool_]:
    """Which columns are linearly independent of those before them.

    Parameters
    ----------
    gram : array, K x K
        X'WX. Columns are taken in order, so put the ones to keep first.

    Returns
    -------
    boolean array, length K
    """
    scale = np.sqrt(np.diag(gram))
    keep = scale > 0
    safe = np.where(keep, scale, 1.0)
    work = gram / np.outer(safe, safe)
    # The squared pivots of Cholesky are the same residual variances: where all are well above the
    # limit, as they mostly are, one factorisation answers for all columns.
    seen = work[np.ix_(keep, keep)]
    try:
        if (np.square(np.diag(np.linalg.cholesky(seen))) > 10 * COLLINEAR).all():
            return keep
    except np.linalg.LinAlgError:
        pass
    for j in range(len(scale)):
        if not keep[j] or work[j, j] < COLLINEAR:
            keep[j] = False
            continue
        tail = slice(j + 1, None)
        work[tail, tail] -= np.outer(work[tail, j], work[j, tail]) / work[j, j]
    return keep
