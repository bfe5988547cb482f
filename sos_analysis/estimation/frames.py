"""Cell rows in one canonical order, and the columns of a regression on them.

All regressors are constant inside a cell, so weighted least squares on cells, with weight
``n * weight`` and outcome ``y_sum / n``, gives the coefficients and the cluster-robust covariance
of the same regression on individual rows. Rows that agree on every key are added up first: the
sums are sums of integers, hence exact, so no result depends on row order or on how cells were cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sos_analysis.errors import SosError
from sos_analysis.numbering import distinct

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
    frame: pd.DataFrame | CellTable,
    covariates: Sequence[str] = (),
    numeric: Sequence[str] = (),
    *,
    period: str = "event_time",
) -> CellTable:
    """Check cell rows, add up identical ones and put them in canonical order.

    Parameters
    ----------
    frame : DataFrame or CellTable
        A table made before is given back, so that one serves several estimates; it must carry
        these covariates and no others. A frame has the
        columns ``la, treated, post, n, y_sum`` and `period`; optionally ``group`` (default: one
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
    if isinstance(frame, CellTable):
        if [*frame.categories, *frame.numeric] != [*covariates, *numeric]:
            raise FrameError(
                f"the table was made with {_listed([*frame.categories, *frame.numeric])}, "
                f"but {_listed([*covariates, *numeric])} are asked for; make it anew"
            )
        return frame
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
    sums = {name: kept[name].to_numpy(dtype=float) for name in ("n", "y_sum")}
    squares = kept["y_sq"].to_numpy(dtype=float) if "y_sq" in kept else None
    for name, values in {**work, **sums}.items():
        if not np.isfinite(values).all():
            raise FrameError(f"column {name.split(':')[-1]!r} has a missing or infinite value")
    if (work["weight"] < 0).any() or (work["copies"] <= 0).any():
        raise FrameError("column 'weight' must not be negative and 'copies' must be above 0")
    first, number = distinct([*work.values()])
    # Sums of integers are exact; others are added up in an order of their own.
    order = slice(None) if _whole(*sums.values()) else np.lexsort([*sums.values()])
    table = {name: values[first] for name, values in work.items()}
    for name, values in sums.items():
        table[name] = np.bincount(number[order], values[order])
    table["y_sq"] = _known_sums(number[order], None if squares is None else squares[order])
    taken = table["weight"] > 0
    table = {name: values[taken] for name, values in table.items()}

    def coded(name: str) -> tuple[tuple[str, ...], Ints]:
        there, codes = _from_zero(table[name])
        return tuple(str(v) for v in words[name][there]), codes

    las, la = coded("la")
    groups, group = coded("group")
    return CellTable(
        las=las,
        groups=groups,
        la=la,
        group=group,
        period=table["period"],
        year=table["year"],
        treated=table["treated"],
        post=table["post"],
        n=table["n"],
        y_sum=table["y_sum"],
        y_sq=table["y_sq"],
        weight=table["weight"],
        copies=table["copies"],
        categories={name: coded("c:" + name) for name in covariates},
        numeric={name: table["x:" + name] for name in numeric},
    )


def merged(table: CellTable, *, groups: bool, calendar: bool) -> tuple[CellTable, Floats]:
    """Cells that a model cannot tell apart as one: weights in `n`, weighted sums in `y_sum`.

    Coefficients and scores by cluster are the same on far fewer rows.

    Parameters
    ----------
    groups : whether the model knows matched groups.
    calendar : whether time is the calendar year, not the event time.

    Returns
    -------
    The table, and the individuals behind each of its rows.
    """
    keys = [table.la, table.treated, table.post, table.year if calendar else table.period]
    keys += [table.group] if groups else []
    keys += [codes for _, codes in table.categories.values()]
    first, number = distinct([*keys, *table.numeric.values()])
    n, y_sum, individuals = (
        np.bincount(number, values).astype(np.float64)
        for values in (table.w, table.weight * table.y_sum, table.n)
    )
    ones = np.ones(len(first))
    found = replace(rows_of(table, first), n=n, y_sum=y_sum, weight=ones, copies=ones)
    return found, individuals


def rows_of(table: CellTable, index: Any) -> CellTable:
    """Some rows of a table, in the order given."""
    names = ("la", "group", "period", "year", "treated", "post", "n", "y_sum", "y_sq")
    return replace(
        table,
        **{name: getattr(table, name)[index] for name in (*names, "weight", "copies")},
        categories={k: (levels, codes[index]) for k, (levels, codes) in table.categories.items()},
        numeric={k: values[index] for k, values in table.numeric.items()},
    )


def _from_zero(codes: Ints) -> tuple[Ints, Ints]:
    """Codes that occur, none negative, and each row's number among them."""
    there = np.flatnonzero(np.bincount(codes))
    place = np.zeros(int(there[-1]) + 1 if len(there) else 0, dtype=np.int64)
    place[there] = np.arange(len(there))
    return there, place[codes]


def _whole(*values: Floats) -> bool:
    """Whether all are integers whose sums are exact."""
    return all((v == np.rint(v)).all() and np.abs(v).sum() < 2**53 for v in values)


def _known_sums(number: Ints, values: Floats | None) -> Floats:
    """Sums of what is not missing; NaN where all is."""
    if values is None:
        return np.full(int(number.max(initial=-1)) + 1, np.nan)
    known = ~np.isnan(values)
    found = np.bincount(number, np.where(known, values, 0.0))
    return np.where(np.bincount(number, known) > 0, found, np.nan)


def _listed(names: Sequence[str]) -> str:
    return f"the covariates {', '.join(names)}" if names else "no covariate"


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
    if np.count_nonzero(keep) <= 1:
        return keep
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
