"""Effects of single children: sums from the engine against a regression on rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sos_analysis.cells import DONUT, POST, calendar, clock_of, placement
from sos_analysis.child_sums import child_sums
from sos_analysis.estimation.frames import FrameError
from sos_analysis.estimation.grams import crv1, crv3, fit, leave_one_out
from sos_analysis.estimation.within_unit import unit_grams
from sos_analysis.outcomes import events
from sos_analysis.records.extract import open_extract
from sos_analysis.study import Study


def _rows(found: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Copies of single assessments with event time, in plain pandas."""
    opens = list(calendar(study, "duration")["first_day"])
    parts = []
    for i, group in enumerate(study.groups("duration")):
        own = found[found["la"].isin([group.pilot, *group.comparators])]
        first, last = (
            np.searchsorted(pd.DatetimeIndex(opens), pd.DatetimeIndex(own[c]), side="right") - 1
            for c in ("event_date", "window_end")
        )
        place = placement(calendar(study, "duration"), group, clock_of(study.outcome("duration")))
        phase, time = place.of(first, last)
        own = own.assign(group=i, time=time, post=(phase == POST) * 1, phase=phase)
        own["x"] = own["post"] * (own["la"] == group.pilot)
        parts.append(own[phase != DONUT])
    return pd.concat(parts, ignore_index=True)


def test_child_effects_from_sums_equal_a_regression_on_rows(
    small_study: Study, small_extract: Path
) -> None:
    """The dummies of children are taken out row by row, the rest is statsmodels' own."""
    with open_extract(small_extract, authorities=small_study.sample("duration")) as records:
        rows = events(records, small_study, "duration", "strict")
        sums = child_sums(rows, small_study, "duration")
        copies = _rows(rows.to_pandas(), small_study)
    grams = unit_grams(sums.single, sums.pairs, sums.children)
    child = copies.groupby(["group", "la", "child_id"])
    copies = copies[child["time"].transform("nunique") > 1].reset_index(drop=True)
    child = copies.groupby(["group", "la", "child_id"])
    assert child.ngroups == sums.children > 10
    assert grams.n.sum() == len(copies)
    place = copies["group"].astype(str) + "|" + copies["time"].astype(str)
    x = pd.concat([copies[["x"]], pd.get_dummies(place)], axis=1).astype(float)
    keys = [copies[c] for c in ("group", "la", "child_id")]
    x = x - x.groupby(keys).transform("mean")
    y = copies["y"] - copies["y"].astype(float).groupby(keys).transform("mean")
    la = copies["la"].to_numpy()
    found = sm.OLS(y, x).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(la)[0], "use_correction": False}
    )
    # Two exact computations of one number; statsmodels inverts by singular values.
    assert fit(grams).beta[0] == pytest.approx(found.params["x"], rel=1e-7)
    g, n, k = len(grams.clusters), len(copies), len(grams.names) + 1
    plain = crv1(grams)[0, 0] * (g - 1) / g * (n - k) / (n - 1)
    assert np.sqrt(plain) == pytest.approx(found.bse["x"], rel=1e-6)
    left = [float(sm.OLS(y[la != one], x[la != one]).fit().params["x"]) for one in grams.clusters]
    assert leave_one_out(grams)[:, 0] == pytest.approx(left, rel=1e-6, nan_ok=False)
    assert np.isfinite(crv3(grams)[0, 0])


def test_children_seen_on_one_side_alone_identify_nothing() -> None:
    single = pd.DataFrame(
        {"group": 0, "la": ["a", "a", "b", "b"], "treated": [1, 1, 0, 0], "time": [-2, -1, -2, -1],
         "post": 0, "m": 2, "n": 3, "y": [5, 4, 6, 2], "n_total": [9, 9, 8, 8]}
    )  # fmt: skip
    pairs = pd.DataFrame(
        [{"group": 0, "la": la, "m": 2, "time": t, "other": o, "product": 3}
         for la in "ab" for t in (-2, -1) for o in (-2, -1)]
    )  # fmt: skip
    with pytest.raises(FrameError, match="both before and after"):
        unit_grams(single, pairs, 6)
