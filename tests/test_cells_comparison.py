"""Cells and matched samples against a twin that walks over rows, one event at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sos_analysis import cells as cells_module
from sos_analysis.cells import Cells, anniversary, calendar, collapse, load, placement, save
from sos_analysis.comparison import balance, matched, series
from sos_analysis.comparison.matching import cem_weights, l1
from sos_analysis.errors import ParameterError, RecordsError, StudyError
from sos_analysis.outcomes import coded_events, events
from sos_analysis.records.extract import open_extract
from sos_analysis.study import (
    DisclosureRules,
    Group,
    InferenceRules,
    Outcome,
    Pilot,
    Study,
    load_study,
)

DAY = timedelta(days=1)
COVARIATES = ("sex", "age_band", "ethnicity", "elevated_risk")
MATCH_ON = ("sex", "age_band", "ethnicity")
EMBEDDING = {
    # Awkward dates: a start on 29 February with a cut on the day after, a start and an end on a
    # fiscal year's first day, overlapping periods.
    "P1": ("001", date(2014, 11, 3), date(2015, 2, 28), ("011", "012")),
    "P2": ("002", date(2016, 2, 29), date(2016, 12, 31), ("012", "013")),
    "P3": ("003", date(2015, 4, 1), date(2017, 4, 1), ("013",)),
}


def _outcome(name: str, window: int, pre_rule: str) -> Outcome:
    return Outcome(
        name=name,
        label=name,
        short_label=name,
        chapter="",
        group="referrals",
        unit="per 100",
        scale=100,
        minimum_important_difference=2.0,
        mid_reason="",
        window_days=window,
        censor_days=window,
        censor_date=date(2019, 3, 31),
        pre_rule=pre_rule,
        first_year=2009,
        excluded_pilots=(),
        exclude_embedded_from=None,
        elevated_risk=True,
        covariates=MATCH_ON,
        definitions={},
    )


def _study(embedding: dict[str, Any] = EMBEDDING) -> Study:
    pilots = tuple(
        Pilot(id, la, (2,), start, end, 0.5, {"referrals": others})
        for id, (la, start, end, others) in embedding.items()
    )
    return Study(
        id="small",
        title="",
        origin="synthetic",
        assumption="",
        data_start=date(2008, 4, 1),
        data_end=date(2019, 3, 31),
        pilots=pilots,
        authorities=(),
        outcomes=(
            _outcome("rereferral", 183, "window_end"),
            _outcome("duration", 0, "event_end"),
        ),
        completeness=load_study().completeness,
        disclosure=DisclosureRules(10, 5, 2, ""),
        inference=InferenceRules(9, 1, 0.95, "", "", "", ""),
        truth=None,
        synthetic=None,
        path=Path("small.toml"),
        hash="abc",
    )


def _events(
    study: Study, per_la: int, seed: int, outcome: str = "rereferral", las: Any = None
) -> pd.DataFrame:
    """Made-up events; children recur, and keep sex and ethnicity, as in the records."""
    rng = np.random.default_rng(seed)
    if las is None:
        las = [*study.sample(outcome), "099"]
    span = (study.data_end - study.data_start).days + 1
    frames = []
    for i, la in enumerate(las):
        size = int(per_la * (0.6 + 0.25 * i % 1.0))
        child = rng.integers(0, max(size // 2, 1), size)
        event = [study.data_start + int(k) * DAY for k in rng.integers(0, span, size)]
        window = rng.integers(0, 300, size) if outcome == "duration" else np.full(size, 183)
        frame = pd.DataFrame(
            {
                "la": la,
                "child_id": [f"c{k}" for k in child],
                "event_date": event,
                "window_end": [e + int(w) * DAY for e, w in zip(event, window, strict=True)],
                "sex": np.array(["female", "male"])[child % 2],
                "age_band": rng.choice(
                    ["0-4", "5-12", "13-17"], size, p=[0.3, 0.4 + i / 50, 0.3 - i / 50]
                ),
                "ethnicity": np.array(["White", "Asian", "missing"])[(child // 2) % 3],
                "elevated_risk": rng.choice(["no", "yes"], size, p=[0.9, 0.1]),
            }
        )
        risk = 0.2 + 0.1 * (frame["age_band"] == "0-4") + 0.05 * (frame["sex"] == "male")
        binary = (rng.random(size) < risk).astype(np.int64)
        frame["y"] = (window if outcome == "duration" else binary).astype(np.int64)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _table(frame: pd.DataFrame) -> Any:
    import ibis
    import pyarrow as pa

    con = ibis.duckdb.connect()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return con.create_table("events", ibis.memtable(table), temp=True)


@pytest.fixture(scope="module")
def study() -> Study:
    return _study()


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return _events(study, 1500, seed=3)


@pytest.fixture(scope="module")
def cells(study: Study, rows: pd.DataFrame) -> Cells:
    return collapse(
        _table(rows), study, "rereferral", covariates=COVARIATES, meta={"definition": "original"}
    )


# ------------------------------------------------------------------------------------------------
# The twin: rows, loops, pandas date arithmetic; shares no code with the package


def _twin(rows: pd.DataFrame, study: Study, outcome: str, cem: bool = True) -> pd.DataFrame:
    """One row a copy of an event, with phase, event time and weights, worked out row by row."""
    year = pd.DateOffset
    pre_rule = study.outcome(outcome).pre_rule
    copies: list[dict[str, Any]] = []
    for group in study.groups(outcome):
        start, end = pd.Timestamp(group.start), pd.Timestamp(group.end)
        for la in (group.pilot, *group.comparators):
            for event in rows[rows["la"] == la].itertuples():
                day, closes = pd.Timestamp(event.event_date), pd.Timestamp(event.window_end)
                if day > end:
                    phase, time = "post", 0
                    while end + pd.Timedelta(days=1) + year(years=time + 1) <= day:
                        time += 1
                elif closes < start:
                    phase, time = "pre", -1
                    dated = closes if pre_rule == "window_end" else day
                    while dated < start - year(years=-time):
                        time -= 1
                else:
                    continue
                copies.append(
                    {
                        "event": event.Index,
                        "group": group.id,
                        "la": la,
                        "treated": int(la == group.pilot),
                        "phase": phase,
                        "event_time": time,
                        "year": day.year + (day.month >= 4),
                        **{name: getattr(event, name) for name in (*COVARIATES, "y", "child_id")},
                    }
                )
    frame = pd.DataFrame(copies)
    frame["cem_weight"] = 1.0
    if cem:
        weights = np.zeros(len(frame))
        for _, part in frame.groupby(["group", "phase"]):
            strata = [s for _, s in part.groupby(list(MATCH_ON))]
            both = [s for s in strata if s["treated"].nunique() == 2]
            pilots = sum(int(s["treated"].sum()) for s in both)
            controls = sum(int((1 - s["treated"]).sum()) for s in both)
            for s in both:
                own = int(s["treated"].sum())
                share = own / (len(s) - own) * controls / pilots
                weights[s.index] = np.where(s["treated"] == 1, 1.0, share)
        frame["cem_weight"] = weights
        frame = frame[frame["cem_weight"] > 0].reset_index(drop=True)
    frame["copies"] = frame.groupby("event")["event"].transform("size")
    frame["weight"] = frame["cem_weight"] / frame["copies"]
    return frame


KEYS = ["group", "la", "treated", "phase", "event_time", "year", *COVARIATES, "copies"]


def _plain(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Comparable form: texts and plain integers as keys, sorted."""
    out = frame.copy()
    for name in keys:
        out[name] = out[name].astype(object)
    return out.sort_values(keys, ignore_index=True)


def _assert_same_sample(found: pd.DataFrame, twin: pd.DataFrame) -> None:
    expected = twin.groupby(KEYS, as_index=False).agg(
        n=("y", "size"),
        y_sum=("y", "sum"),
        y_sq=("y", lambda y: int((y**2).sum())),
        cem_weight=("cem_weight", "first"),
        weight=("weight", "first"),
    )
    found, expected = _plain(found, KEYS), _plain(expected, KEYS)
    whole = [*KEYS, "n", "y_sum", "y_sq"]
    pd.testing.assert_frame_equal(found[whole], expected[whole], check_dtype=False)
    for name in ("cem_weight", "weight"):
        # A ratio of small integers: two orders of multiplication differ by a few ulp.
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)


@pytest.mark.parametrize("cem", [True, False])
@pytest.mark.parametrize("outcome", ["rereferral", "duration"])
def test_sample_equals_row_twin(study: Study, outcome: str, cem: bool) -> None:
    rows = _events(study, 700, seed=11, outcome=outcome)
    # Rare strata, so that some are unmatched in a group and phase.
    rows.loc[rows.index % 97 == 0, "ethnicity"] = "Chinese"
    cells = collapse(_table(rows), study, outcome, covariates=COVARIATES)
    sample = matched(cells, study, outcome, cem=cem)
    twin = _twin(rows, study, outcome, cem)
    _assert_same_sample(sample.frame, twin)
    assert sample.counts["kept"] == len(twin)
    assert sample.counts["kept_events"] == twin["event"].nunique()
    assert (sample.counts["unmatched"] > 0) == cem
    assert set(sample.frame["copies"]) == {1, 2}
    lost = sample.counts["copies"] - sample.counts["donut"] - sample.counts["unmatched"]
    assert lost == sample.counts["kept"] == sample.flow["kept"].sum()
    # Children: exact without matching, never more than the truth with it.
    truth = twin.groupby(["treated", "phase"]).apply(
        lambda part: part[["la", "child_id"]].drop_duplicates().shape[0], include_groups=False
    )
    margins = sample.margins[sample.margins["margin"] == "phase"]
    for row in margins.itertuples():
        part = twin[(twin["treated"] == (row.role == "treated")) & (twin["phase"] == row.phase)]
        known = truth[int(row.role == "treated"), row.phase]
        assert 0.7 * known < row.children <= known
        assert cem or row.children == known
        assert row.events == part["event"].nunique()
        assert (row.copies, row.las) == (len(part), part["la"].nunique())
        assert row.y_sum == part.drop_duplicates("event")["y"].sum()


def test_cells_count_rows(study: Study, rows: pd.DataFrame, cells: Cells) -> None:
    inside = rows[rows["la"].isin(study.sample("rereferral"))]
    first_days = np.array(cells.intervals["first_day"], dtype="datetime64[D]")
    index = {
        name: np.searchsorted(first_days, inside[day].to_numpy("datetime64[D]"), side="right") - 1
        for name, day in (("first", "event_date"), ("last", "window_end"))
    }
    keys = ["la", "first", "last", *COVARIATES]
    expected = (
        inside.assign(**index)
        .groupby(keys, as_index=False)
        .agg(n=("y", "size"), y_sum=("y", "sum"), children=("child_id", "nunique"))
    )
    pd.testing.assert_frame_equal(
        _plain(cells.frame.drop(columns="y_sq"), keys), _plain(expected, keys), check_dtype=False
    )
    assert (cells.frame["y_sq"] == cells.frame["y_sum"]).all()  # the outcome is 0 or 1
    assert cells.meta["events"] == len(inside)
    assert {str(cells.frame[c].dtype) for c in ("n", "y_sum", "children")} == {"int32", "int64"}
    # Every day lies in one interval, and intervals follow on from one another.
    opens, closes = cells.intervals["first_day"], cells.intervals["last_day"]
    assert (opens.iloc[0], closes.iloc[-1]) == (study.data_start, study.data_end + DAY)
    assert all(a + DAY == b for a, b in zip(closes[:-1], opens[1:], strict=True))


def test_margins_count_distinct_children(study: Study, rows: pd.DataFrame, cells: Cells) -> None:
    twin = _twin(rows, study, "rereferral", cem=False)
    twin["role"] = np.where(twin["treated"] == 1, "treated", "comparator")
    looked = 0
    for margin in ("event_time", "year", "phase", *COVARIATES):
        levels = twin["phase"].map({"pre": 0, "post": 1}) if margin == "phase" else twin[margin]
        found = cells.margins[cells.margins["margin"] == margin]
        found = found.set_index(["role", "phase", "level"])
        seen = 0
        for key, part in twin.assign(level=levels.astype(str)).groupby(["role", "phase", "level"]):
            events = part.drop_duplicates("event")
            assert tuple(found.loc[key, ["las", "children", "events", "y_sum"]]) == (
                part["la"].nunique(),
                part[["la", "child_id"]].drop_duplicates().shape[0],
                len(events),
                events["y"].sum(),
            )
            told = found.loc[key, ["children_with", "children_without"]]
            if margin in COVARIATES:
                assert told.isna().all()  # no table shows outcomes by level
            else:
                by_outcome = [part[part["y"] == y][["la", "child_id"]] for y in (1, 0)]
                assert told.tolist() == [len(rows.drop_duplicates()) for rows in by_outcome]
                # A child with several events can have both kinds: no subtraction would do.
                looked += told.sum() > found.loc[key, "children"]
            seen += 1
        assert seen == len(found)
    assert looked >= 10
    calendar_margin = cells.margins[cells.margins["margin"] == "calendar"]
    assert calendar_margin["events"].sum() == cells.meta["events"]


# ------------------------------------------------------------------------------------------------
# Fits on cells are fits on rows


def test_fits_on_cells_equal_fits_on_rows(study: Study, rows: pd.DataFrame, cells: Cells) -> None:
    import statsmodels.api as sm

    sample = matched(cells, study, "rereferral").frame
    twin = _twin(rows, study, "rereferral")

    def design(frame: pd.DataFrame) -> pd.DataFrame:
        post = (frame["phase"].astype(str) == "post").astype(float)
        columns = {"one": 1.0 + 0 * post, "post": post, "treated": frame["treated"].astype(float)}
        columns["effect"] = post * columns["treated"]
        for name in ("year", "sex", "age_band", "ethnicity", "group"):
            texts = frame[name].astype(str)
            columns |= {f"{name} {v}": (texts == v) * 1.0 for v in sorted(set(texts))[1:]}
        return pd.DataFrame(columns)

    def fit(frame: pd.DataFrame, y: Any, weight: Any) -> tuple[Any, Any]:
        model = sm.WLS(np.asarray(y, float), design(frame), weights=np.asarray(weight))
        done = model.fit(
            cov_type="cluster",
            cov_kwds={
                "groups": pd.factorize(frame["la"].astype(str))[0],
                "use_correction": False,
            },
        )
        clusters, k, count = frame["la"].nunique(), len(done.params), len(twin)
        # The small-sample factor counts events, not cells.
        return done.params, done.cov_params() * clusters / (clusters - 1) * (count - 1) / (
            count - k
        )

    on_rows, cov_rows = fit(twin, twin["y"], twin["weight"])
    on_cells, cov_cells = fit(sample, sample["y_sum"] / sample["n"], sample["n"] * sample["weight"])
    assert len(sample) < 0.8 * len(twin)
    assert sample["n"].sum() == len(twin)
    order = list(on_rows.index)
    # Same sums in another order: 1e-9 is some 1e6 ulp, and far below anything printed.
    np.testing.assert_allclose(on_cells[order], on_rows, rtol=1e-9, atol=1e-12)
    scale = np.sqrt(np.outer(np.diag(cov_rows), np.diag(cov_rows)))
    gap = np.abs(cov_cells.loc[order, order].to_numpy() - cov_rows.to_numpy()) / scale
    assert gap.max() < 1e-9
    # y_sq completes the row-level residual sum of squares.
    fitted = design(sample)[order] @ on_cells[order]
    weight = sample["weight"]
    rss = (weight * (sample["y_sq"] - 2 * fitted * sample["y_sum"] + sample["n"] * fitted**2)).sum()
    residual = twin["y"] - design(twin)[order] @ on_rows
    assert rss == pytest.approx((twin["weight"] * residual**2).sum(), rel=1e-10)


# ------------------------------------------------------------------------------------------------
# Properties


def _shuffled_and_split(cells: Cells, rng: np.random.Generator) -> Cells:
    """The same events, cells in another order, some cells in two pieces."""
    frame = cells.frame.astype({"n": np.int64})
    cut = (rng.random(len(frame)) < 0.5) & (frame["n"] > 1)
    left = frame.copy()
    right = frame[cut].copy()
    part = 1 + (rng.random(int(cut.sum())) * (right["n"] - 1)).astype(int)
    y_part = np.minimum(right["y_sum"], part)
    # A 0/1 outcome: y_sq goes with y_sum.
    for name, value in (("n", part), ("y_sum", y_part), ("y_sq", y_part)):
        right[name] = value
        left.loc[cut, name] -= value
    both = pd.concat([left, right]).sample(frac=1.0, random_state=int(rng.integers(1 << 30)))
    return replace(cells, frame=both.reset_index(drop=True))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), rename=st.permutations(["P1", "P2", "P3"]))
def test_weights_do_not_depend_on_bookkeeping(
    study: Study, cells: Cells, seed: int, rename: list[str]
) -> None:
    expected = matched(cells, study, "rereferral")
    again = matched(_shuffled_and_split(cells, np.random.default_rng(seed)), study, "rereferral")
    columns = [c for c in expected.frame.columns if c != "children"]
    pd.testing.assert_frame_equal(again.frame[columns], expected.frame[columns], check_exact=True)
    assert again.counts == expected.counts

    # Other names and another order of the groups: the same rows under the other names.
    names = dict(zip(["P1", "P2", "P3"], rename, strict=True))
    pilots = sorted((replace(p, id=names[p.id]) for p in study.pilots), key=lambda p: p.id)
    other = matched(cells, replace(study, pilots=tuple(pilots)), "rereferral").frame
    wanted = expected.frame.assign(group=expected.frame["group"].astype(str).map(names))
    pd.testing.assert_frame_equal(
        _plain(other, KEYS), _plain(wanted, KEYS), check_dtype=False, check_exact=True
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1), st.integers(0, 9)),
        min_size=1,
        max_size=60,
    )
)
def test_cem_weights_balance_each_block(table: list[tuple[int, int, int, int]]) -> None:
    block, stratum, treated, count = (np.array(c) for c in zip(*table, strict=True))
    weight = cem_weights(block, stratum, treated, count)
    mass = weight * count
    for b in range(3):
        here = block == b
        control = here & (treated == 0) & (weight > 0)
        assert mass[control].sum() == pytest.approx(count[control].sum(), rel=1e-12)
        kept = here & (weight > 0)
        if kept.any():
            # Exact balance on what was matched: rounding alone is left.
            assert l1(stratum[kept], treated[kept], mass[kept]) < 1e-12
        for s in range(5):
            part = here & (stratum == s) & (count > 0)
            assert (weight[part] > 0).all() == (set(treated[part]) == {0, 1} or not part.any())
    assert (weight[count == 0] == 0).all()


def test_cem_weights_of_a_sample(study: Study, cells: Cells) -> None:
    frame = matched(cells, study, "rereferral").frame
    mass = frame.assign(mass=frame["n"] * frame["cem_weight"])
    total = mass.groupby(["group", "phase", "treated"], observed=True)[["n", "mass"]].sum()
    assert len(total) == 12
    # Comparators' weights sum to their own number, pilots' are 1.
    np.testing.assert_allclose(total["mass"], total["n"], rtol=1e-12)
    assert (frame.loc[frame["treated"] == 1, "cem_weight"] == 1).all()


# ------------------------------------------------------------------------------------------------
# By hand


def test_l1_and_weights_by_hand() -> None:
    # Pilots 6 girls, 2 boys, 2 unknown; comparators 10 girls, 30 boys. Shares .6 .2 .2 against
    # .25 .75 0: half of .35 + .55 + .2 is .55. Unknown is unmatched; then nT = 8, nC = 40, so a
    # girl among comparators weighs 6/10 x 40/8 = 3, a boy 2/30 x 40/8 = 1/3.
    stratum = np.array([0, 1, 2, 0, 1])
    treated = np.array([1, 1, 1, 0, 0])
    count = np.array([6, 2, 2, 10, 30])
    assert l1(stratum, treated, count) == pytest.approx(0.55, rel=1e-15)
    weight = cem_weights(np.zeros(5, dtype=int), stratum, treated, count)
    np.testing.assert_allclose(weight, [1, 1, 0, 3, 1 / 3], rtol=1e-15)
    assert l1(stratum, treated, weight * count) == pytest.approx(0, abs=1e-15)
    assert l1(np.array([0, 1]), np.array([1, 0]), np.array([3, 7])) == 1
    assert np.isnan(l1(np.array([0]), np.array([1]), np.array([3])))


def _single(day: date, closes: date, la: str = "001") -> pd.DataFrame:
    fixed = {"sex": "male", "age_band": "0-4", "ethnicity": "White", "elevated_risk": "no"}
    return pd.DataFrame(
        [{"la": la, "child_id": "c", "event_date": day, "window_end": closes, **fixed, "y": 1}]
    )


@pytest.mark.parametrize("outcome", ["rereferral", "duration"])
def test_donut_edges_day_by_day(study: Study, outcome: str) -> None:
    """Every day within a week of each edge and of each anniversary, worked out from the rule."""
    for group in study.groups(outcome):
        place = placement(
            calendar(study, outcome),
            group,
            "window_end" if outcome == "rereferral" else "event_date",
        )
        first_days = list(calendar(study, outcome)["first_day"])

        def interval(day: date, first_days: list[date] = first_days) -> np.ndarray:
            return np.array([sum(d <= day for d in first_days) - 1])

        centres = [anniversary(group.start, -k) for k in range(4)]
        centres += [anniversary(group.end + DAY, k) for k in range(2)]
        window = study.outcome(outcome).window_days * DAY
        for centre in centres:
            for event in (
                centre + k * DAY for shift in (0, 183) for k in range(-7 - shift, 8 - shift)
            ):
                closes = event + (window or 40 * DAY)
                phase, time = (int(v[0]) for v in place.of(interval(event), interval(closes)))
                if event > group.end:
                    assert phase == cells_module.POST
                    assert time == (event >= anniversary(group.end + DAY, 1))
                elif closes < group.start:
                    assert phase == cells_module.PRE
                    dated = closes if outcome == "rereferral" else event
                    years = [k for k in range(1, 9) if dated >= anniversary(group.start, -k)]
                    assert time == -years[0]
                else:
                    assert phase == cells_module.DONUT


def test_edge_days_through_the_engine(study: Study) -> None:
    """Five single events at the edges of the second group, from table to sample."""
    base = _events(study, 300, seed=5)
    group = study.groups("rereferral")[1]
    last_pre = group.start - 184 * DAY
    days = [last_pre, last_pre + DAY, group.start, group.end, group.end + DAY]
    only = replace(study, pilots=(study.pilots[1],))
    for day, kept in zip(days, [True, False, False, False, True], strict=True):
        extra = _single(day, day + 183 * DAY, "002").assign(ethnicity="Chinese")
        cells = collapse(
            _table(pd.concat([base, extra])), only, "rereferral", covariates=COVARIATES
        )
        sample = matched(cells, only, "rereferral", cem=False).frame
        found = sample[sample["ethnicity"] == "Chinese"]
        assert len(found) == kept
        if kept:
            assert int(found["event_time"].iloc[0]) == (-1 if day == last_pre else 0)


def test_leap_day_anniversaries() -> None:
    assert anniversary(date(2016, 2, 29), -1) == date(2015, 2, 28)
    assert anniversary(date(2016, 2, 29), -4) == date(2012, 2, 29)
    assert anniversary(date(2015, 10, 1), 3) == date(2018, 10, 1)


# ------------------------------------------------------------------------------------------------
# Balance and series


def test_balance_equals_row_twin(study: Study, rows: pd.DataFrame, cells: Cells) -> None:
    sample = matched(cells, study, "rereferral")
    found = balance(sample).set_index(["covariate", "level"])
    frames = {"before": _twin(rows, study, "rereferral", cem=False)}
    frames["after"] = _twin(rows, study, "rereferral")
    for covariate, level in [("age_band", "5-12"), ("sex", "male"), ("elevated_risk", "yes")]:
        shares: dict[str, float] = {}
        for when, frame in frames.items():
            top = {0: 0.0, 1: 0.0}
            pilots = frame.loc[frame["treated"] == 1, "weight"].sum()
            for _, part in frame.groupby(["group", "phase"]):
                own = part.loc[part["treated"] == 1, "weight"].sum()
                for role, side in part.groupby("treated"):
                    hit = side.loc[side[covariate] == level, "weight"].sum()
                    top[int(role)] += own / pilots * hit / side["weight"].sum()
            shares |= {f"pilots_{when}": top[1], f"comparators_{when}": top[0]}
        row = found.loc[(covariate, level)]
        for name, value in shares.items():
            assert row[name] == pytest.approx(value, rel=1e-10)
        p, q = shares["pilots_before"], shares["comparators_before"]
        spread = np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
        assert row["difference_before"] == pytest.approx((p - q) / spread, rel=1e-8)
        after = shares["pilots_after"] - shares["comparators_after"]
        assert row["difference_after"] == pytest.approx(after / spread, rel=1e-6, abs=1e-9)
    assert sample.l1_after < 1e-12 < sample.l1_before
    # Nothing is matched on the year of the event, so matching leaves most of that imbalance.
    assert (sample.imbalance["l1_year_after"] > sample.imbalance["l1_after"]).all()


def test_series_places_any_authority_in_any_slot(
    study: Study, rows: pd.DataFrame, cells: Cells
) -> None:
    found = series(cells, study, "rereferral", adjust=())
    groups = study.groups("rereferral")
    assert found.las == ("001", "002", "003", "011", "012", "013")
    assert found.roles["012"] == (("P1", False), ("P2", False))
    assert found.roles["003"] == (("P3", True),)
    assert (found.n > 0).all()
    for s in range(0, len(found.place_time), 4):
        group = groups[found.place_group[s]]
        for row, la in enumerate(found.las):
            # The authority alone, as if it were the group's pilot.
            alone = replace(study.pilots[0], id="X", la=la, embedding_start=group.start)
            alone = replace(alone, embedding_end=group.end, comparators={"referrals": ("099",)})
            twin = _twin(
                rows[rows["la"] == la], replace(study, pilots=(alone,)), "rereferral", cem=False
            )
            here = twin[twin["event_time"] == found.place_time[s]]
            assert found.n[row, s] == len(here)
            assert found.mean[row, s] == pytest.approx(here["y"].mean(), rel=1e-12)
    # In its own slot an authority has its own treatment: none before, all after; others never.
    for g, row, treated in zip(found.slot_group, found.slot_la, found.slot_treated, strict=True):
        own = found.place_group == g
        expected = found.place_post[own] & treated
        if treated or found.las[row].startswith("01"):
            np.testing.assert_array_equal(found.exposure[row, own], expected.astype(float))
    shares = found.exposure[:3]
    assert ((shares > 0) & (shares < 1)).any()  # pilots in others' dates are part treated
    # Slots hold the sample's events and weights.
    sample = matched(cells, study, "rereferral", cem=False).frame
    assert found.slot_n.sum() == sample["n"].sum()
    for k in (0, 4):
        own = found.place_group == found.slot_group[k]
        np.testing.assert_array_equal(found.slot_n[k, own], found.n[found.slot_la[k], own])
        assert (found.slot_n[k, ~own] == 0).all()
    assert found.slot_weight.sum() == pytest.approx((sample["n"] * sample["weight"]).sum())


def test_series_exposure_rises_over_embedding(study: Study) -> None:
    """Pilot 003 (1 April 2015 to 1 April 2017) in the dates of P1, by hand."""
    rows = _events(study, 400, seed=8)
    found = series(
        collapse(_table(rows), study, "rereferral", covariates=COVARIATES),
        study,
        "rereferral",
        adjust=(),
    )
    row = found.las.index("003")
    opens = list(calendar(study, "rereferral")["first_day"])
    length = (date(2017, 4, 1) - date(2015, 4, 1)).days + 1
    own = rows[rows["la"] == "003"]
    for s in range(len(found.place_time)):
        if found.groups[found.place_group[s]] != "P1" or not found.place_post[s]:
            continue
        low = anniversary(date(2015, 3, 1), int(found.place_time[s]))
        high = anniversary(low, 1)
        shares = []
        for day in own["event_date"]:
            if low <= day < high:
                i = sum(d <= day for d in opens) - 1
                middle = (opens[i] - date(2015, 4, 1)).days + (opens[i + 1] - opens[i]).days / 2
                shares.append(min(max(middle / length, 0), 1))
        assert found.exposure[row, s] == pytest.approx(np.mean(shares), rel=1e-12)
        assert 0 <= found.exposure[row, s] <= 1


def test_series_adjustment_equals_regression_on_rows(
    study: Study, rows: pd.DataFrame, cells: Cells
) -> None:
    import statsmodels.api as sm

    adjust = ("sex", "age_band", "elevated_risk")
    found = series(cells, study, "rereferral", adjust=adjust)
    plain = series(cells, study, "rereferral", adjust=())
    inside = rows[rows["la"].isin(found.las)].reset_index(drop=True)
    year = [d.year + (d.month >= 4) for d in inside["event_date"]]
    block = pd.get_dummies(inside["la"] + "/" + pd.Series(year).astype(str), dtype=float)
    x = pd.DataFrame(
        {
            name: (inside[name.split("=")[0]] == name.split("=")[1]).astype(float)
            for name in found.gamma
        }
    )
    fit = sm.OLS(inside["y"].astype(float), pd.concat([x, block], axis=1)).fit()
    # Normal equations against QR, both on a few thousand 0/1 values.
    np.testing.assert_allclose(list(found.gamma.values()), fit.params[x.columns], rtol=1e-8)
    # Each covariate leaves out its commonest level.
    assert len(found.gamma) == 1 + 2 + 1
    group = study.groups("rereferral")[1]
    fitted = x @ fit.params[x.columns]
    post = np.array([group.end < d <= anniversary(group.end, 1) for d in inside["event_date"]])
    here = (inside["la"] == "012").to_numpy() & post
    s = int(np.flatnonzero((found.place_group == 1) & (found.place_time == 0))[0])
    row = found.las.index("012")
    assert plain.mean[row, s] == pytest.approx(inside.loc[here, "y"].mean(), rel=1e-12)
    assert found.mean[row, s] == pytest.approx(
        (inside["y"] - fitted + fitted.mean())[here].mean(), rel=1e-9
    )
    by_default = series(cells, study, "rereferral")
    assert {name.split("=")[0] for name in by_default.gamma} == set(COVARIATES)


# ------------------------------------------------------------------------------------------------
# Files


def test_save_and_load_give_the_same_cells(cells: Cells, tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    save(cells, folder)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    again = load(folder)
    for name in ("frame", "intervals", "margins"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(cells, name))
    assert (again.covariates, dict(again.meta)) == (cells.covariates, dict(cells.meta))
    save(again, folder)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before

    smaller = replace(cells, frame=cells.frame.iloc[:10].reset_index(drop=True))
    save(smaller, folder)
    assert len(load(folder).frame) == 10
    assert len(list(folder.iterdir())) == 4  # nothing stale, nothing half-written


def test_interrupted_save_leaves_the_old_cells(
    cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(cells, tmp_path)
    smaller = replace(cells, frame=cells.frame.iloc[:10].reset_index(drop=True))
    move = os.replace

    def power_cut(source: Path, target: Path) -> None:
        if target.name == "meta.json":
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(os, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        save(smaller, tmp_path)
    monkeypatch.undo()
    assert len(load(tmp_path).frame) == len(cells.frame)


def test_damaged_cells_are_refused(cells: Cells, tmp_path: Path) -> None:
    save(cells, tmp_path)
    damaged = next(tmp_path.glob("frame-*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(RecordsError, match=r"frame-.*Delete the folder"):
        load(tmp_path)
    with pytest.raises(RecordsError, match=r"no complete cells.*build it again"):
        load(tmp_path / "elsewhere")


def test_result_does_not_depend_on_engine_threads_or_row_order(
    study: Study, rows: pd.DataFrame, cells: Cells
) -> None:
    table = _table(rows.sample(frac=1.0, random_state=1))
    table.get_backend().raw_sql("set threads = 1")
    again = collapse(table, study, "rereferral", covariates=COVARIATES)
    pd.testing.assert_frame_equal(again.frame, cells.frame)
    pd.testing.assert_frame_equal(again.margins, cells.margins)


# ------------------------------------------------------------------------------------------------
# Errors


@dataclass(frozen=True)
class Fault:
    change: Any
    message: str


@pytest.mark.parametrize(
    "fault",
    [
        Fault(lambda f: f.assign(window_end=None), "null 'window_end'"),
        Fault(lambda f: f.assign(sex=None), "null 'sex'.*'missing'"),
        Fault(lambda f: f.assign(event_date=date(2008, 3, 31)), "before data_start"),
        Fault(lambda f: f.assign(event_date=date(2019, 4, 1)), "after data_end"),
        Fault(
            lambda f: f.assign(window_end=[d - DAY for d in f["event_date"]]),
            "'window_end' before 'event_date'",
        ),
    ],
    ids=lambda f: f.message[:20],
)
def test_bad_events_are_refused(study: Study, rows: pd.DataFrame, fault: Fault) -> None:
    dates = {"event_date": "datetime64[s]", "window_end": "datetime64[s]"}
    bad = fault.change(rows.head(3)).astype({**dates, "sex": "string"})
    good = rows.iloc[3:200].astype({**dates, "sex": "string"})
    with pytest.raises(RecordsError, match=f"3 of .*{fault.message}"):
        collapse(_table(pd.concat([bad, good])), study, "rereferral", covariates=COVARIATES)


def test_missing_columns_and_strangers_are_refused(study: Study, rows: pd.DataFrame) -> None:
    with pytest.raises(ParameterError, match=r"lack column 'school_phase'.*elevated_risk"):
        collapse(_table(rows), study, "rereferral", covariates=("sex", "school_phase"))
    strangers = rows[rows["la"] == "099"]
    with pytest.raises(RecordsError, match=r"no event in any authority.*LA codes"):
        collapse(_table(strangers), study, "rereferral", covariates=COVARIATES)


def _without(cells: Cells, *las: str) -> Cells:
    frame = cells.frame[~cells.frame["la"].isin(las)].reset_index(drop=True)
    return replace(cells, frame=frame)


def test_empty_authorities_are_named(study: Study, cells: Cells) -> None:
    with pytest.raises(
        RecordsError, match=r"group P2 \(pilot LA 002\): the pilot.*excluded_pilots"
    ):
        matched(_without(cells, "002"), study, "rereferral")
    with pytest.raises(RecordsError, match=r"group P3 .*comparator LA 013 has no events"):
        matched(
            _without(cells, "013", "011"), replace(study, pilots=study.pilots[2:]), "rereferral"
        )
    with pytest.raises(RecordsError, match=r"no pilot present.*001, 002, 003"):
        matched(_without(cells, "001", "002", "003"), study, "rereferral")
    with pytest.raises(RecordsError, match=r"no matched group is left \(P3: comparator LA 013"):
        matched(
            _without(cells, "013"),
            replace(study, pilots=study.pilots[2:]),
            "rereferral",
            thin_groups="drop",
        )


def test_thin_groups_can_be_dropped(study: Study, cells: Cells) -> None:
    found = matched(_without(cells, "002", "011"), study, "rereferral", thin_groups="drop")
    assert [g.id for g in found.groups] == ["P1", "P3"]
    assert [name for name, _ in found.dropped] == ["P1", "P2"]
    assert list(found.frame["group"].cat.categories) == ["P1", "P3"]
    # What is left equals the sample of a study that never had the group.
    fewer = replace(study, pilots=(study.pilots[0], study.pilots[2]))
    alone = matched(_without(cells, "002", "011"), fewer, "rereferral", thin_groups="drop")
    pd.testing.assert_frame_equal(found.frame, alone.frame)

    early = cells.intervals.set_index("interval")["last_day"]
    before = cells.frame["first"].map(early) < date(2015, 1, 1)
    no_post = replace(
        cells, frame=cells.frame[before | (cells.frame["la"] != "001")].reset_index(drop=True)
    )
    with pytest.raises(RecordsError, match=r"group P1 .*the pilot has no event after embedding"):
        matched(no_post, study, "rereferral")
    left = matched(no_post, study, "rereferral", thin_groups="drop")
    assert left.dropped[0][0] == "P1"
    assert [g.id for g in left.groups] == ["P2", "P3"]

    apart = cells.frame.assign(ethnicity=np.where(cells.frame["la"] == "001", "A", "B"))
    with pytest.raises(RecordsError, match=r"that could be matched, the pilot has no event before"):
        matched(replace(cells, frame=apart), study, "rereferral")


def test_groups_of_a_study_are_checked(study: Study, cells: Cells) -> None:
    lonely = Group("P1", "001", (), date(2014, 11, 3), date(2015, 2, 28))
    with pytest.raises(StudyError, match=r"group P1 \(pilot LA 001\) has no comparator"):
        matched(cells, study, "rereferral", groups=[lonely])
    twice = replace(lonely, comparators=("011", "001"))
    with pytest.raises(StudyError, match="names an authority twice"):
        matched(cells, study, "rereferral", groups=[twice])
    with pytest.raises(ParameterError, match=r"'P7' is no matched group.*P1, P2, P3"):
        matched(cells, study, "rereferral", groups=["P7"])
    moved = replace(lonely, comparators=("011",), end=date(2015, 9, 11))
    with pytest.raises(ParameterError, match=r"not cut at .*2015-09-11.*Collapse again"):
        matched(cells, study, "rereferral", groups=[moved])
    with pytest.raises(ParameterError, match=r"do not carry 'school_phase'"):
        matched(cells, study, "rereferral", match_on=["school_phase"])
    with pytest.raises(ParameterError, match="asked for 'duration'"):
        matched(cells, study, "duration")
    nobody = replace(study, pilots=tuple(replace(p, comparators={}) for p in study.pilots))
    with pytest.raises(StudyError, match="has no matched group"):
        matched(cells, nobody, "rereferral")
    assert [g.id for g in matched(cells, study, "rereferral", groups=["P2"]).groups] == ["P2"]


def test_a_study_without_comparators_is_refused_before_records_are_read(small_study, tmp_path):
    from dataclasses import replace

    from sos_analysis.workspace import build_cells, cells_for

    alone = replace(
        small_study,
        pilots=tuple(
            replace(p, comparators=dict.fromkeys(p.comparators, ())) for p in small_study.pilots
        ),
    )
    with pytest.raises(StudyError, match=r"comparator group duration, referrals, kinship, icpc"):
        build_cells(alone, tmp_path)
    with pytest.raises(StudyError, match=r"comparator group kinship; add one under pilots"):
        cells_for(alone, tmp_path, "kinship", "original")


@pytest.mark.parametrize("outcome", ["duration", "rereferral", "kinship", "icpc"])
def test_cells_by_number_are_those_by_words(
    outcome: str, small_study: Study, small_extract: Path
) -> None:
    """Two ways to the same counts: words of the events, and their numbers with the rest beside.

    The outcomes between them have every covariate, in two sets; re-referral has a date of its
    own for elevated risk, duration a length of its own for each window.
    """
    own = small_study.outcome(outcome).cell_covariates
    covariates = tuple(dict.fromkeys((*own, "elevated_risk")))
    with open_extract(small_extract) as records:
        words = events(records, small_study, outcome)
        slow = [
            collapse(words, small_study, outcome, covariates=covariates, rest=rest)
            for rest in (False, True)
        ]
        coded = coded_events(records, small_study, outcome, covariates=covariates)
        fast = cells_module.collapse_coded(
            coded, small_study, outcome, covariates=covariates, rest=True
        )
    for one, other in zip(slow, fast, strict=True):
        assert other is not None
        assert len(one.frame) > 100
        assert one.meta == other.meta
        pd.testing.assert_frame_equal(one.frame, other.frame)
        pd.testing.assert_frame_equal(one.margins, other.margins)
