"""Departures from parallel trends, pre-trend power, placebos: published values and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import reference
from scipy import optimize, stats
from simulated_designs import matched, panel

from sos_analysis.estimation import did
from sos_analysis.estimation import relative_magnitudes as relative_module
from sos_analysis.estimation.event_study import event_study
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.grams import crv1, fit, gram
from sos_analysis.estimation.placebos import placebo_table
from sos_analysis.estimation.relative_magnitudes import _inequalities, _noise, _tests, _vertices
from sos_analysis.estimation.sensitivity import (
    Coefficients,
    coefficients,
    coefficients_of,
    folded_quantile,
    pretrend_equivalence,
    pretrend_power,
    relative_magnitudes,
    slope_for_power,
    smoothness,
)
from sos_analysis.estimation.smoothness import _fixed_length, _second_differences
from sos_analysis.estimation.staggered import aggregate, callaway_santanna

#: Written out in HonestDiD's tests by StatsPAI (tests/r_parity, R HonestDiD 0.2.8).
LITERAL = Coefficients(
    np.array([0.01, -0.02, 0.0, 0.5, 0.4, 0.3]), np.diag([0.05**2] * 3 + [0.1**2] * 3), 3
)
#: He and Wang 2017, event study of figure 2C, as the Stata package pretrends holds it.
HE_WANG = Coefficients(
    np.array(
        [
            *(0.0667031482, -0.0077017923, -0.0307690538),
            *(0.084030658, 0.2424418181, 0.2198789865, 0.1910925359),
        ]
    ),
    # Lower triangle; times 1e10.
    np.array(
        [
            [89065712, 0, 0, 0, 0, 0, 0],
            [44883136, 59369169, 0, 0, 0, 0, 0],
            [14587025, 27500791, 30386248, 0, 0, 0, 0],
            [12157689, 13505858, 9056166, 39247409, 0, 0, 0],
            [20327645, 14315459, 6791299, 25961180, 80658970, 0, 0],
            [13225015, 12067792, 10167636, 17326149, 58753751, 78815790, 0],
            [19617728, 13847158, 7090144, 22345525, 37414359, 36507095, 97884266],
        ]
    )
    / 1e10,
    3,
)
lower = HE_WANG.covariance
HE_WANG = Coefficients(HE_WANG.beta, lower + np.tril(lower, -1).T, 3)


def _medicaid() -> Coefficients:
    """HonestDiD's README: states expanding in 2014 or never, 2008 to 2015, base 2013, CRV1."""
    data = pd.read_csv(reference("ehec_data.csv"))
    data = data[(data["year"] < 2016) & (data["yexp2"] != 2015)]
    treated = (data["yexp2"] == 2014).astype(int)
    frame = pd.DataFrame(
        {
            "la": data["stfips"],
            "treated": treated,
            "post": (data["year"] >= 2014).astype(int),
            "event_time": data["year"],
            "n": 1,
            "y_sum": data["dins"],
        }
    )
    table = cell_table(frame)
    years = [y for y in range(2008, 2016) if y != 2013]
    columns = np.stack([table.treated * (table.period == y) for y in years], axis=1)
    grams = did.preferred_grams(table, ([str(y) for y in years], columns))
    return Coefficients(fit(grams).beta[:7], crv1(grams, 7), 5)


# ---------------------------------------------------------------------------------------------
# Published values


def test_relative_magnitudes_as_published() -> None:
    # HonestDiD's README in full precision. R keeps the outermost accepted points of a grid of
    # 1,000 over 20 standard errors either side of 0, and simulates critical values with 1,000
    # draws: one grid step (3.7e-4, 3.5e-4) inside, and one more for the draws.
    data = _medicaid()
    first = {
        0.0: (0.02876563121251613, 0.06431042392097558),
        1.0: (0.017039514030343955, 0.07200568832177609),
        2.0: (-0.0009161029048571911, 0.08812909944726285),
    }
    mean = {
        0.0: (0.04053046714881314, 0.07512256249015431),
        1.0: (0.01938431730559176, 0.09014856148539291),
        2.0: (-0.008538374094930495, 0.11724861535515924),
    }
    for published, weights in ((first, (1.0, 0.0)), (mean, (0.5, 0.5))):
        result = relative_magnitudes(data, tuple(published), weights=weights)
        w = np.asarray(weights)
        step = 40 * math.sqrt(w @ data.covariance[5:, 5:] @ w) / 999
        for bound in result.bounds:
            low, high = published[bound.m]
            assert -step < low - bound.low < 2 * step
            assert -step < bound.high - high < 2 * step
            assert (bound.low, bound.high) == pytest.approx((low, high), abs=6e-4)
    # Where the interval first holds 0: between the two R prints (1 and 2), near the second.
    assert 1.9 < relative_magnitudes(data, (1.0,)).breakdown < 2.0


def test_relative_magnitudes_conditional_as_published() -> None:
    # R HonestDiD 0.2.8, method Conditional, on a grid of step 4/999: equal once put on that grid.
    published = {
        0.0: (0.306306306306306, 0.694694694694695),
        1.0: (0.258258258258258, 0.742742742742743),
        2.0: (0.158158158158158, 0.842842842842843),
    }
    step = 4 / 999
    result = relative_magnitudes(LITERAL, tuple(published), method="conditional")
    for bound in result.bounds:
        inner = -2 + step * math.ceil((bound.low + 2) / step)
        outer = -2 + step * math.floor((bound.high + 2) / step)
        assert (inner, outer) == pytest.approx(published[bound.m], abs=1e-9)


def test_smoothness_as_published() -> None:
    # HonestDiD simulates folded normal quantiles with a million draws: 3e-5 of half-length here.
    data = _medicaid()
    published = {
        0.0: (0.02594147902742559, 0.06072578637633297),
        0.01: (0.013197025151447349, 0.0786707425358153),
        0.02: (0.002856995951433544, 0.09071603940652409),
        0.03: (-0.007142576403053387, 0.10071561176101101),
        0.04: (-0.017142576402225745, 0.11071561176018338),
    }
    result = smoothness(data, tuple(published))
    for bound in result.bounds:
        assert (bound.low, bound.high) == pytest.approx(published[bound.m], abs=5e-5)
    assert 0.02 < result.breakdown < 0.03
    edge = smoothness(data, (result.breakdown,)).bounds[0]
    assert edge.low == pytest.approx(0, abs=1e-4)
    # StatsPAI's R run; errors of 0.1: draws matter ten times as much.
    literal = smoothness(LITERAL, (0.0, 0.2)).bounds
    values = (0.301311891092521, 0.697248117210922), (0.116270632102176, 0.883729367896676)
    for bound, value in zip(literal, values, strict=True):
        assert (bound.low, bound.high) == pytest.approx(value, abs=5e-4)


def test_pretrend_power_as_published() -> None:
    # R pretrends (README) and the Stata package, which prints more digits; covariances are given
    # to ten places.
    slope = slope_for_power(HE_WANG, 0.5)
    assert slope == pytest.approx(0.0520662478209672, abs=1e-6)
    assert slope == pytest.approx(0.05205871, abs=2e-5)
    result = pretrend_power(HE_WANG, slope)
    assert result.power == pytest.approx(0.5, abs=1e-5)
    assert result.bayes_factor == pytest.approx(0.5690176871738699, abs=1e-5)
    assert result.likelihood_ratio == pytest.approx(0.1057053243787036, abs=1e-5)
    passed = [-0.0923171, -0.0555576, -0.0279117, 0.0649147, 0.1208691, 0.1694932, 0.2245753]
    assert result.mean_if_passed == pytest.approx(passed, abs=1e-5)
    assert (result.slope, result.bias) == pytest.approx((slope, slope))
    assert result.bias_if_passed == pytest.approx(0.0649147, abs=1e-5)
    quadratic = pretrend_power(HE_WANG, 0.024 * np.array([9, 4, 1, 1, 4, 9, 16]))
    found = (quadratic.power, quadratic.bayes_factor, quadratic.likelihood_ratio)
    published = (0.6624492444726371, 0.3841447004284795, 0.4332635208743188)
    assert found == pytest.approx(published, abs=2e-5)
    assert slope_for_power(HE_WANG, 0.8) > slope
    with pytest.raises(FrameError, match="power must lie"):
        slope_for_power(HE_WANG, 0.01)


def test_event_study_coefficients_as_published() -> None:
    # fixest's base_did, y ~ x1 + i(period, treat, 5) | id + period, clustered on id: known output
    # in ggfixest's tests (15 digits; intervals of t with 107 degrees of freedom).
    data = pd.read_csv(reference("base_did.csv"))
    periods = [k for k in range(1, 11) if k != 5]
    columns = [((data["period"] == k) & (data["treat"] == 1)).astype(float) for k in periods]
    columns += [data["x1"], *((data["period"] == k).astype(float) for k in range(2, 11))]
    x, (ids, code) = np.column_stack(columns), np.unique(data["id"], return_inverse=True)
    one = np.ones(len(data))
    grams = gram(
        x,
        data["y"].to_numpy(),
        one,
        one,
        code,
        [str(i) for i in ids],
        [str(i) for i in range(x.shape[1])],
        within=code,
        effects=9,
    )
    effects = [-1.40304548628387, -1.24751078444385, -0.273205962244887, -1.79572056399201]
    effects += [0.784452028314083, 3.59889733159794, 3.81176621201594, 4.73142620090947]
    effects += [6.60622884191604]
    assert fit(grams).beta[:9] == pytest.approx(effects, abs=1e-10)
    highest = [0.79792860342463, 0.919520819273338, 1.92116368812491, 0.361060535658718]
    se = np.sqrt(np.diag(crv1(grams, 9)))[:4]
    found = np.array(effects[:4]) + stats.t.ppf(0.975, 107) * se
    assert found == pytest.approx(highest, abs=1e-8)


# ---------------------------------------------------------------------------------------------
# Brute force


def _programme(rows: np.ndarray, data: Coefficients, weights: np.ndarray, theta: float) -> float:
    """min eta: the inequalities hold up to eta errors for some effects with weighted sum theta."""
    a = rows.reshape(-1, rows.shape[2])
    sd = np.sqrt(np.einsum("ij,jk,ik->i", a, data.covariance, a))
    lags = data.lags
    found = optimize.linprog(
        np.r_[1.0, np.zeros(lags)],
        A_ub=np.hstack([-sd[:, None], -a[:, data.leads :]]),
        b_ub=-(a @ data.beta),
        A_eq=np.r_[0.0, weights][None, :],
        b_eq=[theta],
        bounds=[(None, None)] * (lags + 1),
    )
    assert found.success
    return float(found.fun)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9999), leads=st.integers(1, 4), lags=st.integers(2, 4))
def test_vertices_solve_the_linear_programme(seed: int, leads: int, lags: int) -> None:
    rng = np.random.default_rng(seed)
    size = leads + lags
    root = rng.normal(size=(size, size))
    data = Coefficients(rng.normal(size=size), root @ root.T + 0.1 * np.eye(size), leads)
    weights = rng.normal(size=lags) * rng.integers(0, 2, lags)
    weights[0] = 1.0
    m, at, sign = float(rng.uniform(0, 2)), int(rng.integers(leads)), float(rng.choice([-1, 1]))
    rows = _inequalities(data, m, at, sign)
    vertices = _vertices(data, weights, rows)
    test = _tests(data, weights, m, 0.0, np.empty((0, size)))[2 * at + (sign < 0)]
    for theta in rng.normal(size=3):
        g = test.value - theta * test.slope
        assert g.max() == pytest.approx(_programme(rows, data, weights, theta), abs=1e-7)
    # The two with the sum move with theta, the others do not.
    assert np.count_nonzero(vertices[:, leads:].any(axis=1)) == 2
    # What the truncation points mean: the winner stays the winner inside, not outside.
    g = test.value - 0.3 * test.slope
    best = int(g.argmax())
    share = test.covariance[best] / test.covariance[best, best]
    for value in rng.normal(0, 3, 40):
        moved = g + share * (value - g[best])
        low, high = -np.inf, np.inf
        for j in range(len(g)):
            slack, rest = 1 - share[j], g[j] - share[j] * g[best]
            if j != best and abs(slack) > 1e-9:
                low, high = (
                    (max(low, rest / slack), high) if slack > 0 else (low, min(high, rest / slack))
                )
        assert (low <= value <= high) == (moved.argmax() == best)


def test_relative_magnitudes_cover_what_they_allow() -> None:
    # Departures exactly at the bound (each change after as large as the largest before, M = 1).
    rng = np.random.default_rng(2)
    departure = np.array([-0.6, -1.0, 0.4, 0.8, 1.2]) * 0.5  # changes .4, -1.0 (largest), then up
    departure[2:] = np.cumsum([0.5, 0.5, 0.5])
    root = np.linalg.cholesky(0.04 * (np.eye(5) + 0.5))
    size = (0.05 - 0.005) / (1 - 0.005)
    weights, missed, runs = np.array([1.0, 0.0, 0.0]), 0, 400
    base = Coefficients(departure, root @ root.T, 2)
    noise = _noise(base, 0)
    for _ in range(runs):
        drawn = Coefficients(departure + root @ rng.normal(size=5), base.covariance, 2)
        tests = _tests(drawn, weights, 1.0, 0.005, noise)
        missed += all(t.rejects(np.zeros(1), size)[0] for t in tests)
    # Three Monte Carlo errors above 5 %.
    assert missed / runs < 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    wide = relative_magnitudes(base, (0.0, 0.5, 1.0, 2.0))
    ends = [(b.low, b.high) for b in wide.bounds]
    assert all(a[0] >= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(ends))
    assert wide.bounds[-1].m == 2.0
    # One effect after the base: no nuisance, all inequalities.
    single = Coefficients(departure[:3], base.covariance[:3, :3], 2)
    low, high = relative_magnitudes(single, (1.0,)).bounds[0].low, 1.0
    assert low < 0 < high


def test_smoothness_interval_is_the_shortest() -> None:
    # Worst-case bias by linear programming; the best lead weights by search over a line.
    data = Coefficients(np.zeros(4), 0.01 * (np.eye(4) + 0.3), 2)
    weights = np.array([0.5, 0.5])
    bend = _second_differences(2, 2)
    time = np.array([-2.0, -1.0, 1.0, 2.0])

    def half(lead: float, m: float) -> float:
        # v1 (-2) + v2 (-1) + 1.5 = 0 keeps linear departures out.
        v = np.array([lead, 1.5 - 2 * lead, *weights])
        assert v @ time == pytest.approx(0)
        worst = -optimize.linprog(-(bend.T @ v), bounds=[(-m, m)] * bend.shape[1]).fun
        sd = math.sqrt(v @ data.covariance @ v)
        return sd * folded_quantile(0.95, worst / sd)

    for m in (0.0, 0.01, 0.05, 0.3, 2.0):
        best = optimize.minimize_scalar(lambda v, m=m: half(v, m), bounds=(-4, 4), method="bounded")
        assert _fixed_length(data, weights, m, 0.95)[1] == pytest.approx(best.fun, rel=1e-5)
    # Departures built from bends have these second differences around the base.
    full = np.insert(bend @ np.eye(3)[1], 2, 0.0)
    assert np.diff(full, 2).tolist() == [0.0, 1.0, 0.0]
    for mean in (0.0, 0.3, 5.0, 60.0):
        c = folded_quantile(0.95, mean)
        assert stats.norm.cdf(c - mean) - stats.norm.cdf(-c - mean) == pytest.approx(
            0.95, abs=1e-12
        )


def test_pretrend_power_and_equivalence_by_simulation_and_inversion() -> None:
    rng = np.random.default_rng(4)
    result = pretrend_power(HE_WANG, 0.04, weights=(0.25, 0.25, 0.25, 0.25))
    drawn = rng.multivariate_normal(result.departure, HE_WANG.covariance, 400_000)
    edge = stats.norm.ppf(0.975) * np.sqrt(np.diag(HE_WANG.covariance))
    passed = (np.abs(drawn) <= edge)[:, :3].all(axis=1)
    # Three Monte Carlo errors of a share and of means with errors up to 0.1.
    assert result.power == pytest.approx(1 - passed.mean(), abs=3 * 0.5 / math.sqrt(4e5))
    assert result.mean_if_passed == pytest.approx(drawn[passed].mean(axis=0), abs=1e-3)
    assert result.bias == pytest.approx(0.04 * 2.5)
    bounds = pretrend_equivalence(HE_WANG)
    se = np.sqrt(np.diag(HE_WANG.covariance))[:3]
    for bound, b, s in zip(bounds.leads, HE_WANG.beta, se, strict=False):
        if bound > 0:
            below = stats.foldnorm.cdf(abs(b) / s, bound / s)
            assert below == pytest.approx(0.05, abs=1e-9)
    assert bounds.largest == bounds.leads.max()
    assert bounds.mean < bounds.largest
    # A lead far from 0 is shown to lie below itself and 1.64 errors.
    far = Coefficients(np.array([1.0, 0.0]), np.diag([0.01, 0.01]), 1)
    assert pretrend_equivalence(far).largest == pytest.approx(1 + 0.1 * stats.norm.ppf(0.95))


# ---------------------------------------------------------------------------------------------
# Event studies and placebos of a matched design


def test_event_study_feeds_the_bounds() -> None:
    design = matched(np.random.default_rng(30), effect=-0.1)
    study = event_study(design.frame, draws=99, seed=5)
    chosen = coefficients(study, 3, 2)
    assert (chosen.leads, chosen.lags) == (3, 2)
    at = [study.times.index(k) for k in (-4, -3, -2, 0, 1)]
    assert chosen.beta.tolist() == study.att[at].tolist()
    assert np.sqrt(np.diag(chosen.covariance)) == pytest.approx(study.se[at])
    wider = coefficients(study, 3, 2, df=8)
    ratio = (stats.t.ppf(0.975, 8) / stats.norm.ppf(0.975)) ** 2
    assert wider.covariance == pytest.approx(chosen.covariance * ratio)
    result = relative_magnitudes(chosen, (0.0, 1.0))
    assert result.estimate == chosen.beta[3]
    assert result.bounds[1].low < result.bounds[0].low < result.estimate < result.bounds[0].high
    assert smoothness(chosen).bounds[0].low < result.estimate
    with pytest.raises(FrameError, match="no coefficient"):
        coefficients(study, 30, 2)
    # Group-time effects by event time, base in or out of the arrays.
    data = pd.read_csv(reference("mpdta.csv"))
    effects = callaway_santanna(
        data["lemp"],
        data["year"],
        data["first.treat"],
        unit=data["countyreal"],
        base="universal",
    )
    means = aggregate(effects, "dynamic")
    near = coefficients_of(means.label, means.att, means.covariance, 2, 3)
    assert near.beta.tolist() == means.att[[1, 2, 4, 5, 6]].tolist()
    assert relative_magnitudes(near, (0.0,)).bounds[0].high > near.beta[2]
    for bad in (
        lambda: relative_magnitudes(chosen, (-1.0,)),
        lambda: smoothness(chosen, (-1.0,)),
        lambda: relative_magnitudes(chosen, weights=(1.0,)),
        lambda: pretrend_power(chosen, [1.0, 2.0]),
        lambda: Coefficients(np.zeros(3), np.eye(2), 1),
        lambda: Coefficients(np.array([0.0, np.nan]), np.eye(2), 1),
    ):
        with pytest.raises(FrameError):
            bad()


def test_placebo_dates_by_refitting() -> None:
    design = matched(np.random.default_rng(31), pilots=6, pool=5, effect=-0.15)
    frame = design.frame
    table = cell_table(frame)
    effect = float(fit(did.preferred_grams(table)).beta[0])
    # Rows before adoption, the last two periods called after.
    before = frame[frame["post"] == 0].assign(post=lambda f: (f["event_time"] >= -2).astype(int))
    twin = float(fit(did.preferred_grams(cell_table(before))).beta[0])
    moved = placebo_table(table, 2)
    found = float(fit(did.preferred_grams(moved)).beta[0])
    assert found == pytest.approx(twin, abs=1e-9)
    assert abs(found) < abs(effect) / 2
    assert len(moved.treated_las) == 6
    assert (moved.period < 0).all()
    with pytest.raises(FrameError, match="periods before adoption"):
        placebo_table(table, 40)


def test_ends_do_not_depend_on_the_first_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    # Accepted values that lie apart would be missed by a coarse grid. Halving ends at rounding.
    rng = np.random.default_rng(1)
    for leads, lags in ((1, 1), (3, 1), (2, 2), (4, 3), (5, 2)):
        a = rng.normal(size=(leads + lags, leads + lags + 2)) * 0.05
        beta = rng.normal(0, 0.1, leads + lags)
        made = Coefficients(beta, a @ a.T + 0.002 * np.eye(leads + lags), leads)
        ends = []
        for points in (relative_module.GRID, 20 * relative_module.GRID):
            monkeypatch.setattr(relative_module, "GRID", points)
            bounds = relative_magnitudes(
                made, (0.0, 1.0), weights=[1 / lags] * lags, limit=0.1
            ).bounds
            ends.append([end for bound in bounds for end in (bound.low, bound.high)])
            monkeypatch.undo()
        assert ends[0] == pytest.approx(ends[1], abs=1e-10)


def test_placebos_of_a_staggered_panel() -> None:
    frame = panel(np.random.default_rng(32), clusters=14, treated=5)
    early = frame["la"].isin(sorted(frame.loc[frame["treated"] == 1, "la"].unique())[:2])
    frame.loc[early, "post"] = (frame.loc[early, "event_time"] >= -2).astype(int)
    table = cell_table(frame)
    moved = placebo_table(table, 1)
    assert set(moved.treated_las) <= set(table.treated_las)
    for la in table.treated_las:
        mine = table.la == table.las.index(la)
        adopted = table.period[mine & (table.exposure > 0)].min()
        new = moved.la == moved.las.index(la)
        assert moved.period[new].max() < adopted
        assert moved.period[new & (moved.exposure > 0)].tolist() == [moved.period[new].max()]
