"""Point estimates: cells against rows, libraries against the engine, and what must not matter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_designs import matched, panel

from sos_analysis.estimation import columns, did, power
from sos_analysis.estimation import inference as inf
from sos_analysis.estimation.estimate import disagree
from sos_analysis.estimation.event_study import event_study
from sos_analysis.estimation.frames import FrameError, cell_table, independent
from sos_analysis.numbering import distinct


def _individuals(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an individual, for a binary outcome."""
    rows = frame.loc[frame.index.repeat(frame["n"])].reset_index(drop=True)
    rank = rows.groupby(list(frame.columns), sort=False).cumcount()
    return rows.assign(y=(rank < rows["y_sum"]).astype(float))


def _dummies(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return np.hstack([pd.get_dummies(rows[c]).to_numpy(float) for c in columns])


def test_cells_give_the_fit_on_individual_rows() -> None:
    frame = matched(np.random.default_rng(1), pilots=4, pool=4, strata=2, mean_size=60).frame
    frame = frame.drop_duplicates().reset_index(drop=True)
    rows = _individuals(frame)
    rows["gl"], rows["gp"] = (
        rows["group"] + rows["la"],
        rows["group"] + rows["event_time"].astype(str),
    )
    d = (rows["treated"] * rows["post"]).to_numpy(float)
    groups = pd.factorize(rows["la"], sort=True)[0]

    def row_fit(x: np.ndarray) -> tuple[float, float, int]:
        model = sm.WLS(rows["y"], x, weights=rows["weight"])
        result = model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
        return float(result.params.iloc[0]), float(result.bse.iloc[0]), int(result.df_model) + 1

    table = cell_table(frame, ["stratum"])
    assert table.n.sum() == len(rows) > 5_000
    g = len(table.las)
    # 1e-9 relative: rounding of two ways to add up thousands of terms.
    design = np.column_stack([d, _dummies(rows, ["stratum", "gl", "gp"])])
    beta, se, _ = row_fit(design)
    grams = did.preferred_grams(table)
    factor = did.small_sample(grams)
    assert inf.fit(grams).beta[0] == pytest.approx(beta, rel=1e-9)
    assert np.sqrt(inf.crv1(grams)[0, 0] / factor) == pytest.approx(se, rel=1e-9)
    k = len(grams.names) + 1
    assert factor == pytest.approx(g / (g - 1) * (len(rows) - 1) / (len(rows) - k), rel=1e-12)

    years = pd.get_dummies(rows["year"], drop_first=True).to_numpy(float)
    design = np.column_stack(
        [
            d,
            np.ones(len(rows)),
            rows["post"],
            rows["treated"],
            (rows["stratum"] == "s1").to_numpy(float),
            years,
        ]
    )
    beta, se, k = row_fit(design)
    result = did.original_specification(frame, ["stratum"], draws=199, seed=1)
    factor = g / (g - 1) * (len(rows) - 1) / (len(rows) - k)
    assert result.att == pytest.approx(beta, rel=1e-9)
    assert result.se_crv1 == pytest.approx(se * np.sqrt(factor), rel=1e-9)
    assert result.n_rows == len(rows)
    # An event copied into several groups counts once.
    assert result.n_events == round(float((frame["n"] / frame["copies"]).sum()))
    assert (result.primary, result.secondary) == ("CRV1, t(G-1)", "CRV3, t(treated clusters - 1)")


def test_libraries_print_what_the_engine_finds() -> None:
    design = matched(np.random.default_rng(13), strata=3, effect=-0.08)
    frame = design.frame
    result = did.estimate(frame, design.series, covariates=["stratum"], draws=999, seed=1)
    grams = did.preferred_grams(cell_table(frame, ["stratum"]))
    # linearmodels iterates (LSMR at 1e-14).
    assert result.att == pytest.approx(inf.fit(grams).beta[0], abs=1e-9)
    original = did.estimate(
        frame, specification="original", covariates=["stratum"], draws=999, seed=1
    )
    engine = did.original_grams(cell_table(frame, ["stratum"]))
    assert original.att == pytest.approx(inf.fit(engine).beta[0], abs=1e-9)
    assert original.se_crv1 == pytest.approx(np.sqrt(inf.crv1(engine)[0, 0]), rel=1e-9)
    assert (result.primary, result.secondary) == ("slot permutation", "WCR-31")
    # The planted effect is four standard errors from zero; a 95 % interval, so the seed is chosen.
    assert result.ci[0] < -0.08 < result.ci[1] < 0
    assert result.p_primary == pytest.approx(1 / 1000)
    assert not result.inconclusive
    # Counterfactual mean of the treated: what they had, less the effect.
    mine = frame[(frame["treated"] == 1) & (frame["post"] == 1)]
    seen = (mine["y_sum"] * mine["weight"]).sum() / (mine["n"] * mine["weight"]).sum()
    assert result.baseline == pytest.approx(seen - result.att, rel=1e-12)


def test_counted_indicators_are_columns_written_out() -> None:
    rng = np.random.default_rng(17)
    rows, clusters = 600, 5
    cluster = rng.integers(0, clusters, rows)
    # Fixed effects: three in each cluster, numbered without gaps; rows in no order at all.
    within = 3 * cluster + rng.integers(0, 3, rows)
    size = 10.0 ** rng.uniform(0, 6)
    x = columns.Columns(
        (
            columns.Plain(("effect",), (rng.random((rows, 1)) < 0.4).astype(float)),
            columns.Coded(tuple("abcd"), rng.integers(-1, 4, rows)),
            columns.Plain(("size", "twice"), size + rng.random((rows, 1)) * np.array([[1.0, 2.0]])),
            columns.Coded(tuple("vwxyz"), rng.integers(-1, 5, rows)),
            # Constant in every fixed effect: nothing may be left of it.
            columns.Coded(("first", "second"), within % 3 - 1),
        )
    )
    y, w, n = rng.standard_normal(rows), rng.uniform(0.5, 50, rows), np.ones(rows)
    names = [str(i) for i in range(clusters)]
    plain = x.written_out()
    for codes in (None, within):
        found = inf.gram_of_codes(x, y, w, n, cluster, names, within=codes)
        wanted = inf.gram(plain, y, w, n, cluster, names, x.names, within=codes)
        assert (found.names, found.dropped) == (wanted.names, wanted.dropped)
        assert found.absorbed == wanted.absorbed
        # Sums of six hundred rows in another order.
        assert np.allclose(found.xx, wanted.xx, rtol=0, atol=1e-12 * np.abs(wanted.xx).max())
        assert np.allclose(found.xy, wanted.xy, rtol=0, atol=1e-12 * np.abs(wanted.xy).max())
        assert inf.fit(found).beta == pytest.approx(inf.fit(wanted).beta, rel=1e-7, abs=1e-9)
    assert {"first", "twice"} <= {*found.dropped}
    beta = rng.standard_normal(len(x.names))
    assert x.times(beta) == pytest.approx(plain @ beta, rel=1e-12)
    kept = rng.random(len(beta)) < 0.6
    some = rng.permutation(rows)[:100]
    assert (x.only(kept).take(some).written_out() == plain[some][:, kept]).all()
    assert x.only(kept).names == tuple(np.array(x.names)[kept])


def test_one_table_serves_several_estimates() -> None:
    design = matched(np.random.default_rng(5), strata=2)
    options = {"covariates": ["stratum"], "draws": 99, "seed": 1}
    table = cell_table(design.frame, ["stratum"])
    assert did.estimate(table, design.series, **options) == did.estimate(
        design.frame, design.series, **options
    )
    with pytest.raises(FrameError, match=r"made with the covariates stratum, but no covariate"):
        did.estimate(table, design.series, draws=99, seed=1)


@st.composite
def _columns(draw: st.DrawFn) -> list[np.ndarray]:
    rows = draw(st.integers(1, 40))
    kinds = {
        "bool": st.booleans(),
        "int8": st.integers(-1, 5),
        "int64": st.integers(-(2**52), 2**52),  # three of these do not fit one 64-bit key
        "float64": st.floats(-9, 9, allow_nan=False).map(lambda v: round(v, 1) + 0.0),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=4))
    return [
        np.array(draw(st.lists(kinds[name], min_size=rows, max_size=rows)), dtype=name)
        for name in names
    ]


@settings(max_examples=300, deadline=None)
@given(columns=_columns())
def test_combinations_are_numbered_as_pandas_groups_them(columns: list[np.ndarray]) -> None:
    """Few values (by a table), many (by sorting), fractions, and keys too wide for 64 bits."""
    first, number = distinct(columns)
    by_pandas = pd.DataFrame(dict(enumerate(columns))).groupby([*range(len(columns))], sort=True)
    assert number.tolist() == by_pandas.ngroup().tolist()
    assert number[first].tolist() == list(range(len(first)))
    assert all(row == number.tolist().index(i) for i, row in enumerate(first.tolist()))


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.randoms(use_true_random=False), data=st.data())
def test_row_order_and_cutting_of_cells_change_nothing(order: object, data: st.DataObject) -> None:
    design = matched(np.random.default_rng(17), pilots=4, pool=4, strata=2)
    frame = design.frame
    positions = list(range(len(frame)))
    order.shuffle(positions)  # type: ignore[attr-defined]
    mixed = frame.iloc[positions].reset_index(drop=True)
    # Cut some cells in two: individuals and outcomes are dealt to the parts.
    cut = data.draw(
        st.lists(st.sampled_from(range(len(mixed))), min_size=1, max_size=20, unique=True)
    )
    part = mixed.loc[cut].copy()
    part["n"] = part["n"] // 2
    part["y_sum"] = np.minimum(part["y_sum"], part["n"])
    mixed.loc[cut, ["n", "y_sum"]] -= part[["n", "y_sum"]]
    mixed = pd.concat([part, mixed], ignore_index=True)
    first, second = (
        did.estimate(f, design.series, covariates=["stratum"], draws=99, seed=3)
        for f in (frame, mixed)
    )
    assert repr(first) == repr(second)  # to the last bit: sums of integers are exact


def test_event_study_twin_and_bands() -> None:
    design = matched(np.random.default_rng(30), effect=-0.1, strata=2)
    frame = design.frame
    study = event_study(frame, ["stratum"], series=design.series, draws=999, seed=5)
    work = frame.assign(gl=frame["group"] + frame["la"])
    work["gp"] = work["group"] + work["event_time"].astype(str)
    times = [k for k in study.times if k != -1]
    x = np.column_stack(
        [
            *(((work["event_time"] == k) & (work["treated"] == 1)).to_numpy(float) for k in times),
            _dummies(work, ["stratum", "gl", "gp"]),
        ]
    )
    weights = (work["n"] * work["weight"]).to_numpy()
    y = (work["y_sum"] / work["n"]).to_numpy()
    root = np.sqrt(weights)

    def fit(keep: np.ndarray) -> np.ndarray:
        a, b = x[keep] * root[keep, None], y[keep] * root[keep]
        return np.linalg.lstsq(a, b, rcond=1e-10)[0][: len(times)]

    full = fit(np.ones(len(work), bool))
    assert np.delete(study.att, study.times.index(-1)) == pytest.approx(full, abs=1e-9)
    las = sorted(set(work["la"]))
    gap = np.array([fit((work["la"] != la).to_numpy()) for la in las]) - full
    jackknife = (len(las) - 1) / len(las) * gap.T @ gap
    solid = np.isfinite(np.diag(study.covariance))
    assert solid.sum() >= 6
    assert study.covariance[np.ix_(solid, solid)] == pytest.approx(
        jackknife[np.ix_(solid, solid)], rel=1e-6
    )
    base = study.times.index(study.base)
    assert study.base == -1
    assert study.att[base] == study.se[base] == 0.0
    # sup-t lies between one test and Bonferroni over all of them.
    from scipy import stats

    m = 9
    assert stats.t.ppf(0.975, m - 1) < study.critical
    assert study.critical < stats.t.ppf(1 - 0.025 / solid.sum(), m - 1) * 1.02  # drawn: 1 %
    after = [i for i, k in enumerate(study.times) if k >= 0 and np.isfinite(study.se[i])]
    assert all(study.ci_high[i] < 0 for i in after)  # -10 points, standard error about 1
    assert study.test == "slot permutation"
    assert study.p_pretrend == study.p_slots
    assert study.n_pre == sum(k < -1 for k in study.times)


def test_pretrends_are_found_where_there_are_any() -> None:
    drifting = matched(np.random.default_rng([1, 6]), drift=0.03)
    quiet = matched(np.random.default_rng([1, 6]))
    found, nothing = (
        event_study(d.frame, series=d.series, draws=999, seed=5) for d in (drifting, quiet)
    )
    # Three points a year is ten points before adoption, about seven standard errors of a lead.
    assert max(found.p_sup, found.p_wcr, found.p_slots) < 0.05
    assert min(nothing.p_sup, nothing.p_wcr, nothing.p_slots) > 0.05
    without = event_study(drifting.frame, draws=999, seed=5)
    assert without.test == "WCR-31"
    assert without.p_pretrend == found.p_wcr


def test_collinear_columns_are_named_and_an_unidentified_effect_is_an_error() -> None:
    frame = matched(np.random.default_rng(2), pilots=6).frame
    frame["again"] = frame["treated"].map({0: "no", 1: "yes"})
    frame["score"] = frame["treated"] * 2.0
    result = did.original_specification(frame, ["again"], ["score"], draws=99, seed=1)
    assert result.dropped == ("again=yes", "score")
    clean = did.original_specification(frame, draws=99, seed=1)
    assert result.att == pytest.approx(clean.att, rel=1e-12)
    with pytest.raises(FrameError, match="not identified"):
        # Pilots alone, each in its own group: nothing to compare with.
        did.preferred_grams(cell_table(frame[frame["treated"] == 1]))
    gram = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    assert independent(gram).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="la"), "lack the column.s. la"),
        (lambda f: f.assign(post=2), "'post' must be 0 or 1"),
        (lambda f: f.assign(y_sum=np.nan), "'y_sum' has a missing"),
        (lambda f: f.assign(weight=-1.0), "'weight' must not be negative"),
        (lambda f: f.assign(n=0), "no cell row has n > 0"),
    ],
)
def test_wrong_rows_are_named(change: object, message: str) -> None:
    frame = panel(np.random.default_rng(1), clusters=6, treated=2)
    with pytest.raises(FrameError, match=message):
        cell_table(change(frame))  # type: ignore[operator]


def test_few_treated_panels_and_matched_groups_choose_their_procedures() -> None:
    few = panel(np.random.default_rng(3), clusters=30, treated=3)
    result = did.estimate(few, draws=499, seed=1)
    assert (result.primary, result.secondary) == ("RI-t", "CRV3, t(treated clusters - 1)")
    many = panel(np.random.default_rng(3), clusters=30, treated=9, effect=3.0)
    result = did.estimate(many, draws=499, seed=1)
    assert (result.primary, result.secondary) == ("WCR-31", "RI-t")
    assert result.ci[0] < 3.0 < result.ci[1]
    assert result.df == 8
    with pytest.raises(FrameError, match="matched groups need `series`"):
        did.estimate(matched(np.random.default_rng(1)).frame, draws=99, seed=1)
    with pytest.raises(FrameError, match="specification must be"):
        did.estimate(many, specification="other", draws=99, seed=1)  # type: ignore[arg-type]


def test_agreement_rule() -> None:
    assert disagree(0.04, 0.06)
    assert disagree(0.06, 0.05)  # 5 % itself rejects
    assert not disagree(0.01, 0.05)
    assert not disagree(0.5, 0.9)
    assert disagree(0.01, float("nan"))


def test_power_and_equivalence() -> None:
    # Tables of Student's t, 8 df: 2.306 (97.5 %) and 0.889 (80 %).
    found = power.mde(2.0, 8)
    assert found.effect == pytest.approx(2.0 * (2.306 + 0.889), abs=0.002)
    # Large df: the familiar 2.8 standard errors.
    assert power.mde(1.0, 100_000).effect == pytest.approx(2.8016, abs=1e-3)
    assert np.isnan(power.mde(1.0, 0).effect)
    with pytest.raises(FrameError, match="power and alpha"):
        power.mde(1.0, 8, power=1.0)
    inside = power.equivalence((-0.5, 0.8), 1.0)
    assert inside.equivalent
    assert inside.smallest_margin == 0.8
    assert not power.equivalence((-1.2, 0.1), 1.0).equivalent
    assert not power.equivalence((float("nan"), 0.1), 1.0).equivalent
    with pytest.raises(FrameError, match="margin must be above 0"):
        power.equivalence((0.0, 0.1), 0.0)
