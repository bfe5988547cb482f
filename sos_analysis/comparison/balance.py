"""What a matched sample is made of: imbalance, who was dropped, counts for disclosure, balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.cells import PHASES, POST, PRE, Cells
from sos_analysis.comparison.matching import Array, Copies, l1, strata, sums
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.comparison import MatchedSample
    from sos_analysis.study import Group

# One value a child in the canonical tables, so strata that differ in them share no child.
FIXED_PER_CHILD = ("sex", "ethnicity")


def imbalance_table(
    groups: tuple[Group, ...],
    long: Copies,
    inside: NDArray[np.bool_],
    stratum: Array,
    year: Array,
    n: Array,
    cem_weight: Array,
) -> pd.DataFrame:
    # Cells of other authorities would only be numbered for nothing.
    seen = np.zeros(len(stratum), dtype=bool)
    seen[long.row] = True
    used = np.flatnonzero(seen)
    dated = np.zeros(len(stratum), dtype=np.int64)
    dated[used] = distinct([stratum[used], year[used]])[1]
    rows: list[dict[str, Any]] = []
    for i, group in enumerate(groups):
        for phase in (0, 1):
            at = np.flatnonzero(inside & (long.group == i) & (long.phase == phase))
            row, treated = long.row[at], long.treated[at]
            before, after = n[row].astype(float), n[row] * cem_weight[at]
            kept = n[row] * (cem_weight[at] > 0)
            rows.append(
                {
                    "group": group.id,
                    "phase": PHASES[phase],
                    "pilots": int(n[row] @ treated),
                    "comparators": int(n[row] @ (1 - treated)),
                    "pilots_matched": int(kept @ treated),
                    "comparators_matched": int(kept @ (1 - treated)),
                    "l1_before": l1(stratum[row], treated, before),
                    "l1_after": l1(stratum[row], treated, after),
                    "l1_year_before": l1(dated[row], treated, before),
                    "l1_year_after": l1(dated[row], treated, after),
                }
            )
    return pd.DataFrame(rows)


def count_events(
    long: Copies, inside: NDArray[np.bool_], kept: NDArray[np.bool_], n: Array
) -> dict[str, int]:
    count = n[long.row]
    return {
        "events": _distinct(long.row, n),
        "copies": int(count.sum()),
        "donut": int(count[~inside].sum()),
        "unmatched": int(count[inside & ~kept].sum()),
        "kept": int(count[kept].sum()),
        "kept_events": _distinct(long.row[kept], n),
    }


def _distinct(row: Array, n: Array) -> int:
    seen = np.zeros(len(n), dtype=bool)
    seen[row] = True
    return int(n[seen].sum())


def flow_table(
    groups: tuple[Group, ...],
    long: Copies,
    inside: NDArray[np.bool_],
    kept: NDArray[np.bool_],
    n: Array,
) -> pd.DataFrame:
    part = long.group * 2 + (1 - long.treated)
    count = n[long.row]
    total = {
        name: np.bincount(part, weights=count * mask, minlength=2 * len(groups)).astype(np.int64)
        for name, mask in (
            ("copies", np.ones_like(inside)),
            ("donut", ~inside),
            ("unmatched", inside & ~kept),
            ("kept", kept),
        )
    }
    keys = [(g.id, role) for g in groups for role in ("treated", "comparator")]
    return pd.DataFrame(
        {"group": [k[0] for k in keys], "role": [k[1] for k in keys], **total},
    )


def margin_table(
    cells: Cells, kept: Copies, year: Array, exact: pd.DataFrame | None
) -> pd.DataFrame:
    """Counts of the kept events by role, phase and level; children on the safe side.

    Each event that matching drops takes away one child at most, so the exact count before matching
    less the dropped events is a lower bound. Another is the largest count in any one cell, summed
    over what shares no child. The larger of the two is taken.
    """
    frame = cells.frame
    n, y, children = (frame[c].to_numpy(np.int64) for c in ("n", "y_sum", "children"))
    la = pd.Categorical(frame["la"])
    apart = strata(frame, ["la", *(c for c in FIXED_PER_CHILD if c in cells.covariates)])
    low, early = int(kept.time.min()), int(year.min())
    of_time, of_year = kept.time.astype(np.int64) - low, year[kept.row].astype(np.int64) - early
    # An event that several groups keep in the same place counts once.
    once = distinct([kept.row, kept.treated, kept.phase])[0]
    once_a_time = distinct([kept.row, kept.treated, kept.phase, kept.time])[0]
    levels: list[tuple[str, Array, list[str], Array]] = [
        ("phase", kept.phase, ["0", "1"], once),
        ("event_time", of_time, [str(low + k) for k in range(of_time.max() + 1)], once_a_time),
        ("year", of_year, [str(early + k) for k in range(of_year.max() + 1)], once),
    ]
    for name in cells.covariates:
        column = pd.Categorical(frame[name])
        levels.append((name, column.codes[kept.row], [str(c) for c in column.categories], once))
    tables: list[dict[str, Any]] = []
    for name, code, words, at in levels:
        row = kept.row[at]
        place, number = distinct([kept.treated[at], kept.phase[at], code[at]])
        most_at, most_number = distinct([number, apart[row]])
        most = np.zeros(len(most_at), dtype=np.int64)
        np.maximum.at(most, most_number, children[row])
        las_at = distinct([number, la.codes[row]])[0]
        events, y_sum = sums(number, n[row], y[row])
        every = distinct([kept.treated, kept.phase, code])[1]
        first = at[place]
        tables.append(
            {
                "margin": [name] * len(first),
                "role": np.where(kept.treated[first] == 1, "treated", "comparator"),
                "phase": np.where(kept.phase[first] == POST, PHASES[POST], PHASES[PRE]),
                "level": [words[int(c)] for c in code[first]],
                "las": np.bincount(number[las_at]),
                "events": events,
                "copies": sums(every, n[kept.row])[0],
                "y_sum": y_sum,
                "children": np.bincount(number[most_at], weights=most).astype(np.int64),
            }
        )
    table = pd.DataFrame({key: np.concatenate([t[key] for t in tables]) for key in tables[0]})
    if exact is not None:
        key = ["margin", "role", "phase", "level"]
        before = table[key].merge(exact, on=key, how="left", validate="one_to_one")
        left = before["children"] - (before["events"] - table["events"])
        table["children"] = np.maximum(table["children"], left.to_numpy())
    return table


def balance(sample: MatchedSample) -> pd.DataFrame:
    """Composition of pilots and comparators, before and after matching.

    Shares are taken within each group and phase and averaged with the pilots' events as weights,
    so that they compare children who are compared in the estimate. 'Before' weights an event
    1 / copies, 'after' as the regression does. The standardised difference divides by
    sqrt((p1 (1 - p1) + p0 (1 - p0)) / 2) of before matching, both times (Stuart 2010).

    Returns
    -------
    DataFrame with `covariate`, `level`, `pilots_before`, `comparators_before`, `pilots_after`,
    `comparators_after` (proportions), `difference_before`, `difference_after` (in standard
    deviations; 0 where the level does not vary).
    """
    before = sample.eligible.assign(mass=sample.eligible["n"] / sample.eligible["copies"])
    after = sample.frame.assign(mass=sample.frame["n"] * sample.frame["weight"])
    tables: list[pd.DataFrame] = []
    for name in sample.covariates:
        shares: dict[str, Any] = {}
        for when, frame in (("before", before), ("after", after)):
            comparators, pilots = _shares(frame, name)
            shares[f"pilots_{when}"], shares[f"comparators_{when}"] = pilots, comparators
        p1, p0 = shares["pilots_before"], shares["comparators_before"]
        spread = np.sqrt((p1 * (1 - p1) + p0 * (1 - p0)) / 2)
        for when in ("before", "after"):
            gap = shares[f"pilots_{when}"] - shares[f"comparators_{when}"]
            shares[f"difference_{when}"] = np.divide(
                gap, spread, out=np.zeros_like(gap), where=spread > 0
            )
        levels = before[name].cat.categories
        tables.append(pd.DataFrame({"covariate": name, "level": levels, **shares}))
    return pd.concat(tables, ignore_index=True)


def _shares(frame: pd.DataFrame, name: str) -> tuple[Array, Array]:
    """Level shares of comparators and pilots, averaged over group x phase by the pilots' mass."""
    part = strata(frame, ["group", "phase"])
    level = frame[name].cat.codes.to_numpy()
    size = len(frame[name].cat.categories)
    mass = frame["mass"].to_numpy()
    treated = frame["treated"].to_numpy()
    tables = [
        np.bincount(
            part * size + level, weights=mass * (treated == role), minlength=(part.max() + 1) * size
        ).reshape(-1, size)
        for role in (0, 1)
    ]
    weight = tables[1].sum(axis=1) / tables[1].sum()
    means = [weight @ (t / t.sum(axis=1, keepdims=True)) for t in tables]
    return means[0], means[1]
