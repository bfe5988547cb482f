"""Staggered dates: published values, brute force, rows against cells, properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from published import (
    EHEC,
    MODERNDID,
    MPDTA,
    NOT_TO_THE_LAST_DIGIT,
    NSW,
    OPTIONS,
    ROOT,
    packaged,
    reference,
)

from sos_analysis.estimation import did
from sos_analysis.estimation.drdid import METHODS
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.grams import crv1, fit, gram, small_sample
from sos_analysis.estimation.inference import t_test
from sos_analysis.estimation.staggered import (
    aggregate,
    callaway_santanna,
    cross_section_2x2,
    extended_twfe,
    goodman_bacon,
    imputation,
    panel_2x2,
    permute_dates,
    pretest,
    simultaneous,
    sun_abraham,
    synthetic_did,
    twfe_weights,
)

# ---------------------------------------------------------------------------------------------
# Published values (sources beside each)


def _mpdta() -> pd.DataFrame:
    return pd.read_csv(reference("mpdta.csv")).rename(columns={"first.treat": "first"})


def _effects(data: pd.DataFrame, **options: object):
    return callaway_santanna(data["lemp"], data["year"], data["first"], **options)


def _named(effects) -> dict[str, tuple[float, float]]:
    found = {
        f"{g:.0f}_{t:.0f}": (a, s)
        for g, t, a, s in zip(effects.cohort, effects.time, effects.att, effects.se, strict=True)
    }
    for kind in ("simple", "group", "dynamic", "calendar"):
        mean = aggregate(effects, kind)
        found[f"{kind}_overall"] = (mean.overall, mean.overall_se)
        for label, a, s in zip(mean.label, mean.att, mean.se, strict=True):
            found[f"{kind}_{label:.0f}"] = (a, s)
    return found


@pytest.mark.parametrize(
    ("published", "options", "wald"),
    [
        ("no covariates", {}, 7.79123662720035),
        # Without covariates the three methods are one.
        ("no covariates", {"method": "ipw"}, 7.79123662720035),
        ("no covariates", {"method": "reg"}, 7.79123662720035),
        ("regression on lpop", {"method": "reg", "x": "lpop"}, 6.8612749537136),
    ],
)
def test_callaway_santanna_as_published(
    published: str, options: dict[str, str], wald: float
) -> None:
    # R did 2.5.0; printed to 15 digits, so rounding alone is left.
    data = _mpdta()
    if "x" in options:
        options = {**options, "x": data["lpop"]}
    effects = _effects(data, unit=data["countyreal"], **options)
    found = _named(effects)
    assert found.keys() == MPDTA[published].keys()
    for name, value in MPDTA[published].items():
        assert found[name] == pytest.approx(value, abs=1e-10), name
    statistic, q, p = pretest(effects)
    assert (statistic, q) == (pytest.approx(wald, abs=1e-6), 5)
    assert p == pytest.approx({7: 0.16812, 6: 0.23116}[int(wald)], abs=5e-6)


def test_callaway_santanna_options_as_published() -> None:
    data = _mpdta()
    unit, state = data["countyreal"], data["countyreal"] // 1000
    options = {
        "universal": {"unit": unit, "base": "universal"},
        "anticipation1": {"unit": unit, "anticipation": 1},
        "weighted": {"unit": unit, "weight": 1 + (data["countyreal"] % 13) / 10},
        "clustered": {"unit": unit, "cluster": state},
        "rows": {},
    }
    for name, chosen in options.items():
        found = _named(_effects(data, method="reg", **chosen))
        for (g, t), value in OPTIONS[name].items():
            assert found[f"{g}_{t}"] == pytest.approx(value, abs=1e-10), (name, g, t)
    universal = _named(_effects(data, unit=unit, base="universal"))
    assert universal["2006_2005"][0] == 0.0
    assert np.isnan(universal["2006_2005"][1])
    # Doubly robust with lpop: csdid for Stata, README: seven places.
    effects = _effects(data, unit=unit, x=data["lpop"])
    mean = aggregate(effects)
    assert (mean.overall, mean.overall_se) == pytest.approx((-0.0417518, 0.0115028), abs=5e-8)
    year = aggregate(effects, "calendar")
    assert year.att[:2] == pytest.approx([-0.0145297, -0.0764219], abs=5e-8)
    assert year.se[:2] == pytest.approx([0.0221292, 0.0286713], abs=5e-8)
    assert pretest(effects)[0] == pytest.approx(6.841824981670454, abs=1e-6)


def test_other_designs_as_csdid_gives() -> None:
    # csdid 0.4.3 for Python, run once on these data (it agrees with R did to 1e-14): simple,
    # dynamic, and dynamic balanced at 1. Logit fits are iterated, hence 1e-9.
    data = _mpdta()
    gone = data.drop(data.index[[3, 40, 1200, 77, 78, 2001]])
    x, unit = data["lpop"], data["countyreal"]
    weight = 1 + (unit % 13) / 10
    runs = {
        "unbalanced": _effects(gone, unit=gone["countyreal"]),
        "not yet, universal": _effects(data, unit=unit, x=x, control="not-yet", base="universal"),
        "anticipation": _effects(
            data, unit=unit, control="not-yet", base="universal", anticipation=1
        ),
        "weighted": _effects(data, unit=unit, weight=weight, x=x, method="ipw"),
        "cross-sections": _effects(data, weight=weight, x=x),
    }
    given_by_csdid = {
        "unbalanced": (
            (-0.022389536712835587, 0.01771845941394747),
            (-0.06333084759007644, 0.02293044690662492),
            (-0.007623069525602941, 0.025407543943541788),
        ),
        "not yet, universal": (
            (-0.041351629299237365, 0.011427839082186106),
            (-0.07999262095930833, 0.018494002078741408),
            (-0.02800876179589566, 0.013252577826734481),
        ),
        "anticipation": (
            (-0.045205540683737944, 0.01668313127214188),
            (-0.044734304424389484, 0.01861170760409479),
            (-0.025660358000059013, 0.023090490553769806),
        ),
        "weighted": (
            (-0.03868595804849831, 0.011008963627751722),
            (-0.07648356831869063, 0.018973881313023456),
            (-0.0264600388509204, 0.014348875734596684),
        ),
        "cross-sections": (
            (-0.03863495861702608, 0.046496822770898824),
            (-0.07645852564903916, 0.05299745400893492),
            (-0.026567270238269082, 0.06268613146325433),
        ),
    }
    for name, effects in runs.items():
        means = (
            aggregate(effects),
            aggregate(effects, "dynamic"),
            aggregate(effects, "dynamic", balance_event=1),
        )
        for mean, value in zip(means, given_by_csdid[name], strict=True):
            assert (mean.overall, mean.overall_se) == pytest.approx(value, abs=1e-9), name
    dynamic = aggregate(runs["weighted"], "dynamic")
    low, high, critical = simultaneous(dynamic, seed=1)
    # Between one normal test and seven.
    assert 1.96 < critical < 2.69
    assert high - low == pytest.approx(2 * critical * dynamic.se)


#: DRDID's simulated repeated cross-sections: att and error as Stata's drdid prints them, all
#: digits (friosavila/playingwithstata, drdid page); R's reference pages print the same to four
#: places. Their errors divide by n - 1. Errors of the first two: the slip of the next test.
SIM_RC = {
    "dr": (-0.1677954, 0.2008992),
    "dr-traditional": (-3.633433, 3.107123),
    "dr-improved": (-0.2088586, 0.2003375),
    "reg": (-8.790978, 7.778475),
    "ipw": (-15.80331, 9.08793),
    "ipw-abadie": (-19.8933, 53.86822),
}
#: Lalonde, experimental controls against the population survey: Stata's drdid 1.x, `all`, errors
#: by n, as a panel and as repeated cross-sections (same source).
NSW_PANEL = {
    "dr": (-871.3271, 396.0211),
    "dr-improved": (-901.2703, 393.6127),
    "reg": (-1300.645, 349.8259),
    "ipw": (-1021.609, 397.5201),
    "ipw-abadie": (-1107.872, 408.6127),
}
NSW_ROWS = {
    "dr": (-871.3272, 410.2751),
    "dr-traditional": (-871.3272, 435.0661),
    "dr-improved": (-901.2703, 408.3107),
    "reg": (-1300.645, 418.5023),
    "ipw": (-1021.609, 495.464),
    "ipw-abadie": (-1107.872, 619.4393),
}
SLIPPED = ("dr", "dr-traditional")


def _sim_rc() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = pd.read_csv(reference("sim_rc.csv"))
    names = ["x1", "x2", "x3", "x4"]
    return (*(data[k].to_numpy(float) for k in ("y", "post", "d")), data[names].to_numpy())


def _nsw() -> pd.DataFrame:
    data = pd.read_pickle(packaged(MODERNDID, *NSW))
    return data[(data["treated"] == 0) | (data["sample"] == 2)].sort_values(["id", "year"])


NSW_COVARIATES = ["age", "educ", "black", "married", "nodegree", "hisp", "re74"]


def _turned(y: np.ndarray, post: np.ndarray, d: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Twice what the early regression of comparison rows adds to each row's contribution."""
    full = sm.add_constant(x)
    chance = sm.GLM(d, full, family=sm.families.Binomial()).fit(tol=1e-12).predict(full)
    early, odds = (d == 0) & (post == 0), chance / (1 - chance)
    fitted = sm.OLS(y[early], full[early]).fit()
    linear = np.zeros_like(full)
    linear[early] = (full[early] * fitted.resid[:, None]) @ np.linalg.inv(
        full[early].T @ full[early]
    )
    pilots = full[(d == 1) & (post == 0)].mean(axis=0)
    return 2 * linear @ (pilots - np.average(full[early], axis=0, weights=odds[early]))


def test_two_by_two_estimators_as_published() -> None:
    y, post, d, x = _sim_rc()
    n = len(y)
    assert set(SIM_RC) == set(METHODS)
    for method, (value, error) in SIM_RC.items():
        part = cross_section_2x2(y, post, d, x, method=method)
        assert part.att == pytest.approx(value, rel=5e-7), method
        if method not in SLIPPED:
            se = np.sqrt((part.influence**2).sum() * n / (n - 1))
            assert se == pytest.approx(error, rel=5e-7), method
    # twfe_did_rc: the regression, errors by row.
    design = np.column_stack([d * post, d, post, x, np.ones(n)])
    rows, one = np.arange(n), np.ones(n)
    labels = [str(i) for i in rows]
    grams = gram(design, y, one, one, rows, labels, list("abcdefgh"))
    se = np.sqrt(crv1(grams)[0, 0] / small_sample(grams) * n / (n - 1))
    assert (fit(grams).beta[0], se) == pytest.approx((-25.43961, 3.710505), abs=5e-6)


def test_lalonde_as_published() -> None:
    # Seven printed digits: half the last one is at most 5e-7 of the number. With re74 in dollars
    # beside 0/1 columns and 3 % treated, full Newton steps of the propensity score run away.
    data = _nsw()
    units = data.iloc[::2]
    change = data["re"].to_numpy()[1::2] - units["re"].to_numpy()
    x, d = units[NSW_COVARIATES].to_numpy(float), units["experimental"].to_numpy(float)
    for method, (value, error) in NSW_PANEL.items():
        part = panel_2x2(change, d, x, method=method)
        found = (part.att, np.sqrt((part.influence**2).sum()))
        assert found == pytest.approx((value, error), rel=5e-7), method
    y, post = data["re"].to_numpy(), (data["year"] == 1978).to_numpy(float)
    x, d = data[NSW_COVARIATES].to_numpy(float), data["experimental"].to_numpy(float)
    for method, (value, error) in NSW_ROWS.items():
        part = cross_section_2x2(y, post, d, x, method=method)
        slip = _turned(y, post, d, x) if method in SLIPPED else 0.0
        found = (part.att, np.sqrt(((part.influence - slip) ** 2).sum()))
        assert found == pytest.approx((value, error), rel=5e-7), method


def test_a_sign_explains_the_older_errors() -> None:
    # Ours are derivatives (test below). The published 0.2009 and 3.1071 are ours with the early
    # regression's contribution turned round; DRDID now prints 0.2026 for the first.
    y, post, d, x = _sim_rc()
    n = len(y)
    for method, own in zip(SLIPPED, (0.2026593, 3.1072466), strict=True):
        influence = cross_section_2x2(y, post, d, x, method=method).influence
        right, turned = (
            np.sqrt((v**2).sum() * n / (n - 1))
            for v in (influence, influence - _turned(y, post, d, x))
        )
        assert right == pytest.approx(own, rel=5e-7)
        assert turned == pytest.approx(SIM_RC[method][1], rel=5e-7)


def test_reasons_are_held_by_tests() -> None:
    registry = (ROOT / "docs" / "methods_registry.md").read_text("utf-8")
    for value, (_, test) in NOT_TO_THE_LAST_DIGIT.items():
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), value
        assert f"`tests/{test}`" in registry.split("### B1. ")[0], value


def test_imputation_as_published() -> None:
    # did2s's README on df_het: 2.152 with state and year effects; its point estimate is the
    # imputation's. The data come with pyfixest.
    import pyfixest

    path = Path(pyfixest.__file__).parent / "did" / "data" / "df_het.csv"
    data = pd.read_csv(path)
    assert len(data) == 46_500
    result = imputation(data["dep_var"], data["year"], data["g"].fillna(0), unit=data["state"])
    assert result.overall == pytest.approx(2.152, abs=5e-4)


def _ehec() -> pd.DataFrame:
    data = pd.read_csv(reference("ehec_data.csv"))
    return data.assign(first=data["yexp2"].fillna(0))


def test_medicaid_expansion_as_published() -> None:
    # Mixtape Sessions, Advanced-DID, R solution.
    data = _ehec()
    args = (data["dins"], data["year"], data["first"])
    effects = callaway_santanna(*args, unit=data["stfips"], control="not-yet")
    first = (effects.cohort == 2014) & (effects.time == 2014)
    # The file has seven digits of Stata's single precision; with the latter (below) all eight fit.
    assert effects.att[first] == pytest.approx(0.04670243, abs=2e-8)
    # Bootstrap errors there (0.0086, 0.0077): Monte Carlo error about 3 %.
    assert effects.se[first] == pytest.approx(0.0086, rel=0.05)
    mean = aggregate(effects)
    assert mean.overall == pytest.approx(0.068, abs=5e-5)
    assert mean.overall_se == pytest.approx(0.0077, rel=0.05)
    parts = goodman_bacon(*args, data["stfips"])
    assert parts.twfe == pytest.approx(0.070321, abs=5e-7)
    published = {
        "earlier v later treated": (0.14911, 0.06983),
        "later v earlier treated": (0.05827, 0.04486),
        "treated v untreated": (0.79262, 0.07228),
    }
    for kind, value in parts.by_kind().items():
        assert value == pytest.approx(published[kind], abs=5e-6)
    assert parts.forbidden == pytest.approx(0.05827, abs=5e-6)


def test_medicaid_expansion_in_single_precision() -> None:
    data = pd.read_pickle(packaged(MODERNDID, *EHEC))
    first = data["yexp2"].fillna(0)
    effects = callaway_santanna(
        data["dins"], data["year"], first, unit=data["stfips"], control="not-yet"
    )
    found = effects.att[(effects.cohort == 2014) & (effects.time == 2014)]
    assert found == pytest.approx(0.04670243, abs=5e-9)


def test_bacon_decomposition_as_published() -> None:
    # bacondecomp's README on the mathematics reform data.
    data = pd.read_csv(reference("math_reform.csv"))
    first = data["reformyr_math"].fillna(0)
    parts = goodman_bacon(data["incearn_ln"], data["class"], first, data["state"])
    published = {
        "earlier v later treated": (0.06353, 0.02868),
        "later v earlier treated": (0.05265, 0.03375),
        "treated v untreated": (0.88382, -0.00129),
    }
    for kind, value in parts.by_kind().items():
        assert value == pytest.approx(published[kind], abs=5e-6)
    pair = (parts.treated == 1987) & (parts.control == 1985)
    assert parts.estimate[pair] == pytest.approx(0.04575585, abs=5e-9)
    assert parts.weight[pair] == pytest.approx(0.031655309, abs=5e-10)


def test_sun_abraham_as_published() -> None:
    # fixest, walkthrough vignette: agg = "att", errors clustered on id.
    data = pd.read_csv(reference("base_stagg.csv"))
    args = (data["y"], data["year"], data["year_treated"])
    result = sun_abraham(*args, unit=data["id"], x=data["x1"])
    assert (result.overall, result.overall_se) == pytest.approx((-1.133749, 0.205070), abs=5e-7)
    p, _ = t_test(result.overall, result.overall_se, data["id"].nunique() - 1)
    assert p == pytest.approx(2.882e-07, abs=5e-11)
    assert result.covariates == pytest.approx([0.994678], abs=5e-7)
    assert result.covariates_se == pytest.approx([0.018378], abs=5e-7)
    # Without covariates the effects are Callaway and Sant'Anna's with a universal base.
    plain = sun_abraham(*args, unit=data["id"])
    late = np.where(data["year_treated"] > data["year"].max(), 0, data["year_treated"])
    twin = callaway_santanna(*args[:2], late, unit=data["id"], base="universal")
    other = {
        (g, t - g): a
        for g, t, a in zip(twin.cohort, twin.time, twin.att, strict=True)
        if t != g - 1
    }
    assert dict(
        zip(zip(plain.cohort, plain.event, strict=True), plain.att, strict=True)
    ) == pytest.approx(other, abs=1e-9)


def test_extended_twfe_as_published() -> None:
    # R etwfe's tests and README: lemp ~ lpop, not yet treated, clustered on county.
    data = _mpdta()
    result = extended_twfe(
        data["lemp"], data["year"], data["first"], cluster=data["countyreal"], x=data["lpop"]
    )
    published = (-0.0506270331228907, 0.0124972546529842)
    assert (result.overall, result.overall_se) == pytest.approx(published, abs=1e-8)
    p, interval = t_test(result.overall, result.overall_se, 10**9)
    assert (p, *interval) == pytest.approx((5.0988e-05, -0.0751212, -0.0261329), abs=1e-7)
    assert result.events.tolist() == [0, 1, 2, 3]
    assert result.event_att == pytest.approx([-0.0332, -0.0573, -0.1379, -0.1095], abs=5e-5)
    assert result.event_se == pytest.approx([0.0134, 0.0171, 0.0308, 0.0323], abs=5e-5)


def test_synthetic_did_as_published() -> None:
    # R synthdid on California's Proposition 99: five places.
    data = pd.read_csv(reference("california_prop99.csv"), sep=";")
    first = np.where(data["State"] == "California", 1989, 0)
    args = (data["PacksPerCapita"], data["Year"], first, data["State"])
    for kind, value in (("sdid", -15.60383), ("sc", -19.61966), ("did", -27.34911)):
        result = synthetic_did(*args, kind=kind, placebos=1 if kind == "did" else 0)
        assert result.att == pytest.approx(value, abs=5e-6)
        cohort = result.cohorts[0]
        assert cohort.unit_weights.sum() == pytest.approx(1, abs=1e-12)
        assert (cohort.unit_weights >= 0).all()
    # Placebo errors elsewhere are of 50 to 200 random donors: 8.37 in the paper, 9.88 in Stata.
    # All 38 donors in turn give 9.37; an error of 50 draws of them is within 2.4 of it.
    every = synthetic_did(*args, placebos=1)
    assert every.se == pytest.approx(9.370998652681692, rel=1e-5)
    assert max(abs(every.se - 8.37), abs(every.se - 9.88)) < 2.4
    # One treated unit: each of 38 donors takes its turn; plain DiD against means by hand.
    assert (len(result.placebos), result.exact) == (38, True)
    wide = data.pivot_table(index="State", columns="Year", values="PacksPerCapita")
    change = wide.loc[:, 1989:].mean(axis=1) - wide.loc[:, :1988].mean(axis=1)
    donors = change.drop("California")
    by_hand = [donors[s] - donors.drop(s).mean() for s in donors.index]
    assert result.placebos == pytest.approx(by_hand, abs=1e-9)
    assert result.p == (1 + sum(abs(v) >= abs(result.att) for v in by_hand)) / 39


# ---------------------------------------------------------------------------------------------
# Twins by brute force


@pytest.mark.parametrize("method", ["dr", "dr-traditional", "reg", "ipw", "ipw-abadie"])
@pytest.mark.parametrize("panel", [True, False])
def test_contributions_are_derivatives(method: str, panel: bool) -> None:
    # What one individual adds is the derivative of the estimate in their number.
    rng = np.random.default_rng(3)
    size = 80
    x, w = rng.normal(size=(size, 2)), rng.uniform(0.5, 2, size)
    d = (x[:, 0] + rng.normal(size=size) > 0).astype(float)
    post = rng.integers(0, 2, size).astype(float)
    y = x @ [1.0, -0.5] + d * post + rng.normal(size=size)

    def estimate(n: np.ndarray):
        if panel:
            return panel_2x2(y, d, x, w, method=method, n=n)
        return cross_section_2x2(y, post, d, x, w, method=method, n=n)

    full = estimate(np.ones(size))
    assert abs(full.influence.sum()) < 1e-10
    step = 1e-4
    for i in (0, 17, 41):
        up, down = np.ones(size), np.ones(size)
        up[i], down[i] = 1 + step, 1 - step
        slope = (estimate(up).att - estimate(down).att) / (2 * step)
        assert full.influence[i] == pytest.approx(slope, abs=1e-7)  # step squared


def _individuals(rng: np.random.Generator, size: int = 6000) -> pd.DataFrame:
    """Binary outcomes in twelve clusters and six years; dates 3 and 5, cluster shocks."""
    la = rng.integers(0, 12, size)
    year = rng.integers(0, 6, size)
    cohort = np.array([3, 3, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0])[la]
    z, v = rng.integers(0, 2, size), rng.integers(0, 2, size)
    chance = 0.3 + 0.02 * (la % 4) + 0.01 * year + 0.1 * z + 0.05 * v * (cohort > 0)
    chance = chance + rng.normal(0, 0.03, (12, 6))[la, year]
    chance = chance + 0.1 * ((cohort > 0) & (year >= cohort))
    y = (rng.uniform(size=size) < chance).astype(float)
    weight = np.array([1.0, 1.7])[v]
    return pd.DataFrame(
        {"la": la, "year": year, "cohort": cohort, "z": z, "v": v, "y": y, "weight": weight}
    )


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["la", "year", "cohort", "z", "v", "weight"]
    cells = rows.assign(n=1, y_sq=rows["y"] ** 2).groupby(keys)[["n", "y", "y_sq"]].sum()
    cells = cells.reset_index()
    return cells.assign(y=cells["y"] / cells["n"])


@pytest.mark.parametrize("clustered", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_cells_are_the_rows(method: str, clustered: bool) -> None:
    rows = _individuals(np.random.default_rng(5))
    cells = _cells(rows)
    assert len(cells) < len(rows) / 10
    found = []
    for table in (rows, cells):
        effects = callaway_santanna(
            table["y"],
            table["year"],
            table["cohort"],
            cluster=table["la"] if clustered else None,
            weight=table["weight"],
            n=table.get("n"),
            y_sq=table.get("y_sq"),
            x=table[["z", "v"]],
            method=method,
        )
        found.append(effects)
    first, second = found
    assert second.att == pytest.approx(first.att, abs=1e-10)
    assert second.covariance == pytest.approx(first.covariance, abs=1e-12)
    for kind in ("simple", "dynamic", "group", "calendar"):
        a, b = (aggregate(effects, kind) for effects in found)
        assert (b.overall, b.overall_se) == pytest.approx((a.overall, a.overall_se), abs=1e-10)
        assert b.se == pytest.approx(a.se, abs=1e-10)


def test_regressions_and_imputation_on_cells_are_those_on_rows() -> None:
    rows = _individuals(np.random.default_rng(6))
    cells = _cells(rows)

    def run(table: pd.DataFrame) -> list[float]:
        args = (table["y"], table["year"], table["cohort"])
        options = {"weight": table["weight"], "n": table.get("n"), "x": table[["z", "v"]]}
        sa = sun_abraham(*args, unit=table["la"], **options)
        et = extended_twfe(*args, cluster=table["la"], **options)
        im = imputation(*args, unit=table["la"], leads=2, **options)
        parts = [sa.overall, sa.overall_se, et.overall, et.overall_se, im.overall, im.overall_se]
        return [*parts, *sa.event_se, *et.event_se, *im.event_se, *im.lead_att, *im.lead_se]

    assert run(cells) == pytest.approx(run(rows), abs=1e-9)


def test_imputation_by_brute_force() -> None:
    # Dummy regression on untreated rows; weights of every row by matrix algebra; theorem 3.
    data = _mpdta()
    result = imputation(data["lemp"], data["year"], data["first"], unit=data["countyreal"], leads=2)
    # As diff-diff 3.13's ImputationDiD prints them (10 digits).
    assert result.overall == pytest.approx(-0.0477099183, abs=5e-10)
    assert result.overall_se == pytest.approx(0.0132224887, abs=5e-10)
    small = data[data["countyreal"] % 5 == 0]
    args = (small["lemp"], small["year"], small["first"])
    result = imputation(*args, unit=small["countyreal"], leads=2)
    z = np.hstack(
        [pd.get_dummies(small[c], dtype=float).to_numpy() for c in ("countyreal", "year")]
    )
    y = small["lemp"].to_numpy()
    treated = ((small["first"] > 0) & (small["year"] >= small["first"])).to_numpy()
    z0 = z[~treated]
    beta = np.linalg.lstsq(z0, y[~treated], rcond=None)[0]
    gap = y - z @ beta
    v = treated / treated.sum()
    v[~treated] = -z0 @ np.linalg.pinv(z0.T @ z0) @ z[treated].T @ v[treated]
    assert result.overall == pytest.approx(v @ y, abs=1e-10)
    assert result.overall == pytest.approx(gap[treated].mean(), abs=1e-10)
    table = small.assign(gap=gap, cell=small["first"] * 10_000 + small["year"])
    means = table[treated].groupby("cell")["gap"].transform("mean")
    table.loc[treated, "gap"] -= means
    per_unit = (v * table["gap"]).groupby(table["countyreal"]).sum()
    assert result.overall_se == pytest.approx(np.sqrt((per_unit**2).sum()), abs=1e-10)
    lead = np.stack(
        [(small["year"] - small["first"] == k).to_numpy(float) for k in (-2, -1)], axis=1
    )
    twin = np.linalg.lstsq(np.hstack([lead, z])[~treated], y[~treated], rcond=None)[0][:2]
    assert result.lead_att == pytest.approx(twin, abs=1e-9)


def test_synthetic_did_with_several_dates_is_the_average_over_dates() -> None:
    rng = np.random.default_rng(8)
    units, years = 24, 12
    y = rng.normal(size=(units, 1)) + np.cumsum(rng.normal(size=years))[None] * 0.3
    y = y + rng.normal(0, 0.3, (units, years))
    date = np.zeros(units)
    date[:2], date[2:5] = 6, 9
    y[:2, 6:] += 1.0
    y[2:5, 9:] += 2.0
    unit, time = (m.ravel() for m in np.indices((units, years)))
    args = (y.ravel(), time, date[unit], unit)
    result = synthetic_did(*args, placebos=12, seed=4)
    single = []
    for d in (6, 9):
        keep = np.isin(date[unit], (0, d))
        single.append(synthetic_did(*(a[keep] for a in args)).att)
    share = np.array([2 * 6, 3 * 3]) / 21
    assert result.att == pytest.approx(share @ single, abs=1e-12)
    # Planted: 12/21 of 1 and 9/21 of 2; three placebo errors.
    assert result.att == pytest.approx(30 / 21, abs=3 * result.se)
    assert 0 < result.se < 0.5
    again = synthetic_did(*args, placebos=12, seed=4)
    assert again.placebos.tolist() == result.placebos.tolist()
    assert all(c.unit_weights.sum() == pytest.approx(1, abs=1e-12) for c in result.cohorts)
    keep = (date[unit] > 0) | (unit > 20)
    with pytest.raises(FrameError, match="more donors"):
        synthetic_did(*(a[keep] for a in args), placebos=5)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_decompositions_of_any_balanced_panel(data: st.DataObject) -> None:
    # Dates may be never (0), always (up to the first period) or in between.
    dates = data.draw(
        st.lists(st.sampled_from([0, 1, 3, 4, 6]), min_size=4, max_size=9).filter(
            lambda v: len({d for d in v if d > 1}) >= 1 and len(set(v)) >= 2
        )
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    units, years = len(dates), 7
    unit, time = (m.ravel() for m in np.indices((units, years)))
    time = time + 1
    cohort = np.array(dates)[unit]
    treatment = ((cohort > 0) & (time >= cohort)).astype(int)
    weight = rng.uniform(0.5, 2.0, units)[unit]
    effect = rng.normal(size=units * years) * treatment
    y = unit + np.sin(time) + effect
    frame = pd.DataFrame(
        {
            "la": [f"{u:02d}" for u in unit],
            "event_time": time,
            "treated": (cohort > 0).astype(int),
            "post": treatment,
            "n": 1,
            "y_sum": y,
            "weight": weight,
        }
    )
    twfe = float(fit(did.preferred_grams(cell_table(frame))).beta[0])
    parts = goodman_bacon(y, time, cohort, unit, weight=weight)
    assert parts.twfe == pytest.approx(twfe, abs=1e-9)
    assert parts.weight.sum() == pytest.approx(1, abs=1e-12)
    assert parts.weight @ parts.estimate == pytest.approx(twfe, abs=1e-9)
    weights = twfe_weights(treatment, time, unit, weight=weight, y=y)
    assert weights.weight.sum() == pytest.approx(1, abs=1e-9)
    assert weights.weight @ effect[treatment == 1] == pytest.approx(twfe, abs=1e-9)
    assert 0 <= weights.negative_share < 0.5


# ---------------------------------------------------------------------------------------------
# Properties, embedding, bad input


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999), shift=st.integers(-2000, 2000), scale=st.floats(0.1, 10))
def test_labels_order_and_units_of_measurement_do_not_matter(
    seed: int, shift: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    units, years = 20, 6
    unit, time = (m.ravel() for m in np.indices((units, years)))
    cohort = rng.choice([0, 0, 2, 4], units)
    cohort[:4] = [0, 0, 2, 4]
    y = rng.normal(size=units)[unit] + rng.normal(size=unit.size)
    w, x = rng.uniform(1, 2, units)[unit], rng.normal(size=units)[unit]

    def run(order: np.ndarray, labels: np.ndarray, offset: float, factor: float) -> list[float]:
        u, t, g = labels[unit[order]], time[order] + offset, cohort[unit[order]]
        g = np.where(g > 0, g + offset, np.inf)
        args = (factor * y[order], t, g)
        more = {"weight": factor * w[order], "x": x[order]}
        effects = callaway_santanna(*args, unit=u, method="reg", control="not-yet", **more)
        means = [aggregate(effects, k) for k in ("simple", "dynamic", "group", "calendar")]
        sa, im = sun_abraham(*args, unit=u), imputation(*args, unit=u, **more)
        out = [v for m in means for v in (m.overall, m.overall_se)]
        out += [sa.overall, sa.overall_se, im.overall, im.overall_se]
        return [v / factor for v in out]

    plain = run(np.arange(unit.size), np.arange(units), 5, 1.0)
    mixed = run(rng.permutation(unit.size), rng.permutation(units) + 100, 5000 + shift, scale)
    assert mixed == pytest.approx(plain, rel=1e-7, abs=1e-9)


def test_embedding_periods_are_left_out() -> None:
    # Two pilots embed from 3 to 4, two from 4 to 6; outcomes are wild while embedding.
    rng = np.random.default_rng(11)
    units, years = 12, 9
    unit, time = (m.ravel() for m in np.indices((units, years)))
    start, first = np.full(units, np.inf), np.zeros(units)
    start[:4], first[:4] = [3, 3, 4, 4], [5, 5, 7, 7]
    y = rng.normal(size=units)[unit] + 0.2 * time + rng.normal(0, 1e-3, unit.size)
    y = y + 1.5 * ((first[unit] > 0) & (time >= first[unit]))
    wild = y + 50 * ((time >= start[unit]) & (time < first[unit]) & (first[unit] > 0))
    found = []
    for outcome in (y, wild):
        args = (outcome, time, first[unit])
        more = {"unit": unit, "start": start[unit]}
        effects = callaway_santanna(*args, **more, control="not-yet", base="universal")
        mean = aggregate(effects, "dynamic", leads_from="start")
        sa, im = sun_abraham(*args, **more), imputation(*args, **more)
        found.append([aggregate(effects).overall, *mean.att, sa.overall, im.overall])
        assert effects.base[effects.cohort == 7].tolist() == [3] * years
        assert mean.label.tolist() == [-4, -3, -2, -1, 0, 1, 2, 3]
    assert found[1] == pytest.approx(found[0], abs=1e-9)
    assert found[0][0] == pytest.approx(1.5, abs=0.01)
    # A constant window is anticipation; cohorts named by the end of embedding.
    same = np.where(first > 0, first - 2, np.inf)
    one = callaway_santanna(y, time, first[unit], unit=unit, start=same[unit])
    two = callaway_santanna(y, time, first[unit], unit=unit, anticipation=2)
    assert one.att == pytest.approx(two.att, abs=1e-12)


def test_staggered_estimators_recover_effects_that_differ_by_date() -> None:
    # Early adopters gain 4, growing by 1 a year; late ones gain 1: two-way fixed effects miss it.
    rng = np.random.default_rng(12)
    units, years = 300, 10
    unit, time = (m.ravel() for m in np.indices((units, years)))
    cohort = np.repeat([3, 7, 0], 100)
    g = cohort[unit]
    post = (g > 0) & (time >= g)
    effect = np.where(g == 3, 4.0 + (time - g), 1.0) * post
    y = rng.normal(size=units)[unit] + rng.normal(0, 0.5, unit.size) + effect
    truth = effect[post].mean()
    args = (y, time, g)
    effects = callaway_santanna(*args, unit=unit)
    simple = aggregate(effects)
    answers = [
        simple,
        sun_abraham(*args, unit=unit),
        extended_twfe(*args, cluster=unit),
        imputation(*args, unit=unit),
    ]
    for answer in answers:
        # did's error holds the sampling of cohorts too, whose effects differ by six.
        assert 0 < answer.overall_se < (0.3 if answer is simple else 0.1)
        assert answer.overall == pytest.approx(truth, abs=0.4)  # four of the largest errors
    assert abs(goodman_bacon(*args, unit).twfe - truth) > 0.5
    assert pretest(effects)[2] > 0.001


def test_unbalanced_panels_and_bad_input() -> None:
    data = _mpdta()
    gone = data.drop(data.index[[3, 40, 1200]])
    dropped = _effects(gone, unit=gone["countyreal"], unbalanced="drop")
    lost = data.loc[[data.index[i] for i in (3, 40, 1200)], "countyreal"]
    kept = data[~data["countyreal"].isin(lost)]
    whole = _effects(kept, unit=kept["countyreal"])
    assert dropped.att == pytest.approx(whole.att, abs=1e-12)
    assert "3 units" in dropped.notes[0]
    loose = _effects(gone, unit=gone["countyreal"])
    assert loose.kind != "panel"
    # As cross-sections clustered on units: near the panel's, whose errors ignore no one.
    assert aggregate(loose).overall_se == pytest.approx(aggregate(whole).overall_se, rel=0.3)
    # A balanced panel used as cross-sections of its units gives the same effects and errors.
    rows = _effects(data, cluster=data["countyreal"])
    panel = _effects(data, unit=data["countyreal"])
    assert rows.att == pytest.approx(panel.att, abs=1e-10)
    assert rows.se == pytest.approx(panel.se, rel=1e-9)
    # Nobody never treated: the last cohort serves, its periods go.
    treated = data[data["first"] > 0]
    with pytest.raises(FrameError, match="not-yet"):
        _effects(treated, unit=treated["countyreal"])
    only = _effects(treated, unit=treated["countyreal"], control="not-yet")
    assert only.periods.max() == 2006
    assert sorted(set(only.cohort)) == [2004, 2006]
    bad = data["lemp"].copy()
    bad.iloc[5] = np.nan
    for match, call in (
        ("method must be", lambda: _effects(data, method="magic")),
        ("y must have", lambda: callaway_santanna(bad, data["year"], data["first"])),
        ("0 or inf", lambda: callaway_santanna(data["lemp"], data["year"], bad)),
        ("twice", lambda: _effects(pd.concat([data, data]), unit=[*data["countyreal"]] * 2)),
        ("y_sq", lambda: _effects(data, n=np.full(len(data), 2))),
        ("leave out n", lambda: _effects(data, unit=data["countyreal"], n=[2] * len(data))),
        ("kind must be", lambda: aggregate(panel, "best")),
        (
            "balanced",
            lambda: goodman_bacon(gone["lemp"], gone["year"], gone["first"], gone["countyreal"]),
        ),
        ("0 or 1", lambda: twfe_weights(data["lemp"], data["year"], data["countyreal"])),
        (
            "donors",
            lambda: synthetic_did(
                treated["lemp"], treated["year"], treated["first"], treated["countyreal"]
            ),
        ),
    ):
        with pytest.raises(FrameError, match=match):
            call()


def test_dates_dealt_anew() -> None:
    rng = np.random.default_rng(14)
    units, years = 24, 6
    unit, time = (m.ravel() for m in np.indices((units, years)))
    first = np.array([3, 3, 4, 4, 4] + [0] * 19)
    noise = rng.normal(size=unit.size)
    strata = np.arange(units) % 2

    def run(effect: float, **options: object):
        exposed = (first[unit] > 0) & (time >= first[unit])
        y = noise + effect * exposed

        def estimate(dealt: np.ndarray) -> tuple[float, float]:
            # Without strata any unit may hold any date, and every date is held as often as before.
            assert sorted(dealt) == list(range(units))
            if options.get("strata") is not None:
                assert (strata[dealt] == strata).all()
            mean = aggregate(callaway_santanna(y, time, first[dealt][unit], unit=unit))
            return mean.overall, mean.overall_se

        return permute_dates(estimate, units, draws=99, seed=3, **options)

    strong = run(3.0)
    assert (strong.p_t, strong.p_att) == (0.01, 0.01)
    assert strong.failed == 0
    none = run(0.0, strata=strata)
    assert none.p_t > 0.05
    assert none == run(0.0, strata=strata)
    with pytest.raises(FrameError, match="no estimate"):
        permute_dates(lambda dealt: (0.0, 0.0), 5, seed=1)
