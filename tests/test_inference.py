"""Inference against published values, against other packages, and against brute force."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from published import reference
from simulated_designs import matched, panel

from sos_analysis.estimation import did
from sos_analysis.estimation import inference as inf
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.permutation import (
    SlotSeries,
    arrangements,
    fill,
    slot_design,
    slot_inversion,
)
from sos_analysis.estimation.swings import in_role, swings

ROOT = Path(__file__).resolve().parents[1]


# ---------------------------------------------------------------------------------------------
# Published values (sources beside each)


def test_ehec_two_way_fixed_effects() -> None:
    # Mixtape Sessions, Advanced-DID, R solution: 0.070321 (0.007401), fixest's convention.
    data = pd.read_csv(reference("ehec_data.csv"))
    first = data["yexp2"].fillna(9999)
    frame = pd.DataFrame(
        {
            "la": data["stfips"],
            "treated": (first < 9999).astype(int),
            "post": (data["year"] >= first).astype(int),
            "event_time": data["year"],
            "n": 1,
            "y_sum": data["dins"],
        }
    )
    grams = did.preferred_grams(cell_table(frame))
    assert inf.fit(grams).beta[0] == pytest.approx(0.070321, abs=5e-7)  # printed to six places
    assert np.sqrt(inf.crv1(grams)[0, 0]) == pytest.approx(0.007401, abs=5e-7)
    # The same with all fixed effects counted, statsmodels' convention (did.md: 0.007731).
    every = np.sqrt(inf.crv1(grams, count_absorbed=True)[0, 0])
    assert every == pytest.approx(0.007731, abs=5e-7)
    never_dropped = frame[frame["treated"] == 1]
    grams = did.preferred_grams(cell_table(never_dropped))
    assert inf.fit(grams).beta[0] == pytest.approx(0.062817, abs=5e-7)
    assert np.sqrt(inf.crv1(grams)[0, 0]) == pytest.approx(0.007653, abs=5e-7)


def test_nlswork_cluster_jackknife() -> None:
    # Stata's and R's summclust: CRV3 0.014064; leave-one-out estimates as printed there.
    columns = ["ln_wage", "grade", "age", "birth_yr", "union", "race", "msp", "ind_code"]
    data = pd.read_stata(reference("nlswork.dta"), convert_categoricals=False)[columns].dropna()
    assert len(data) == 19_130
    blocks = [data[["msp", "union", "race"]].to_numpy(float), np.ones((len(data), 1))]
    for name in ("grade", "age", "birth_yr"):
        blocks.append(pd.get_dummies(data[name], drop_first=True).to_numpy(float))
    x = np.hstack(blocks)
    labels, code = np.unique(data["ind_code"], return_inverse=True)
    one = np.ones(len(data))
    grams = inf.gram(
        x,
        data["ln_wage"].to_numpy(float),
        one,
        one,
        code,
        [str(v) for v in labels],
        [str(i) for i in range(x.shape[1])],
    )
    beta, se = inf.fit(grams).beta[0], np.sqrt(inf.crv3(grams)[0, 0])
    assert beta == pytest.approx(-0.027515, abs=5e-7)
    assert se == pytest.approx(0.014064, abs=5e-7)
    p, (low, high) = inf.t_test(beta, se, 11)
    assert (p, low, high) == pytest.approx((0.0763, -0.05847, 0.00344), abs=5e-5)
    left = inf.leave_one_out(grams)[:, 0]
    found = (left.min(), left.max(), np.median(left), left.mean())
    # Printed to six places at most.
    assert found == pytest.approx((-0.0332, -0.015835, -0.027765, -0.02692), abs=1e-6)
    # R's summclust (its README): quantiles of leverage, CRV1 of msp by sandwich::vcovCL.
    leverage = inf.cluster_summary(grams).total_leverage
    quantiles = np.quantile(leverage, [0, 0.25, 0.5, 0.75, 1])
    assert quantiles == pytest.approx(
        (0.09332052, 0.70440923, 3.51549151, 6.41132962, 20.28918187), abs=5e-9
    )
    assert leverage.mean() == pytest.approx(5.41666667, abs=5e-9)
    assert np.sqrt(inf.crv1(grams)[0, 0]) == pytest.approx(0.009293046, abs=5e-10)
    for first, (value, crv1, crv3) in {
        1: (0.20395972, 0.061167499, 0.08358587),  # union
        2: (-0.08619813, 0.016150418, 0.01904684),  # race
    }.items():
        order = [first, *(i for i in range(x.shape[1]) if i != first)]
        other = inf.gram(
            x[:, order],
            data["ln_wage"].to_numpy(float),
            one,
            one,
            code,
            [str(v) for v in labels],
            [str(i) for i in order],
        )
        assert inf.fit(other).beta[0] == pytest.approx(value, abs=5e-9)
        assert np.sqrt(inf.crv1(other)[0, 0]) == pytest.approx(crv1, abs=5e-10)
        assert np.sqrt(inf.crv3(other)[0, 0]) == pytest.approx(crv3, abs=5e-9)


def _collapsed(order: list[int]) -> inf.Grams:
    data = pd.read_stata(reference("collapsed.dta")).dropna()
    x = np.column_stack(
        [data["post_self"], data["selfemployed"], data["post"], np.ones(len(data))]
    ).astype(float)
    years, code = np.unique(data["year"], return_inverse=True)
    one, names = np.ones(len(data)), ["post_self", "selfemployed", "post", "constant"]
    y = data["hasinsurance"].to_numpy(float)
    labels = [str(v) for v in years]
    return inf.gram(x[:, order], y, one, one, code, labels, [names[i] for i in order])


def test_boottest_collapsed_full_enumeration() -> None:
    # Stata boottest's test log: t 2.0194, p .0742 = 19/256, interval [.03874, .07098]. Enumerated
    # draws come in mirror pairs, and the data are one of them: 20 at least as extreme with ties,
    # 18 without. Stata counts one of the two tied, so two draws of 256 (.004 each) is the most
    # any of these can differ by; the interval's ends move by one step of p, 0.0008.
    result = inf.wcr(_collapsed([0, 1, 2, 3]), kind="11", seed=1, null=0.04)
    assert result.exact
    assert result.draws == 256
    assert result.statistic == pytest.approx(2.0194, abs=5e-5)
    assert result.p == pytest.approx(0.0742, abs=0.00400625)
    # 18 draws beyond the data, and two that tie with them: the data and their mirror image.
    assert (round(result.p * 256), result.ties) == (20, 2)
    assert result.ci == pytest.approx((0.03874, 0.07098), abs=0.0008)
    post = inf.wcr(_collapsed([2, 1, 0, 3]), kind="11", seed=1)
    assert post.p == pytest.approx(0.0, abs=2 / 256)  # nothing beyond the data and its mirror
    assert post.ci == pytest.approx((-0.02978, -0.01306), abs=0.0008)


def _merit_rows() -> pd.DataFrame:
    names = ["coll", "merit", "male", "black", "asian", "year", "state", "chst"]
    path = reference("merit_aid_regm.raw.gz")
    data = pd.read_csv(path, sep=r"\s+", header=None, names=names, compression="gzip")
    assert len(data) == 42_161
    return data


def _merit() -> pd.DataFrame:
    data = _merit_rows()
    data["treated"] = data.groupby("state")["merit"].transform("max")
    frame = data.assign(
        la=data["state"].map("{:02.0f}".format), post=data["merit"], event_time=data["year"], n=1
    ).rename(columns={"coll": "y_sum"})
    keys = ["la", "treated", "post", "event_time", "male", "black", "asian"]
    return frame.groupby(keys, as_index=False)[["n", "y_sum"]].sum()


MERIT_COVARIATES = ["male", "black", "asian"]


def test_merit_aid_ten_treated_states() -> None:
    # Conley-Taber data as in boottest's tests; values of did_reference_values.csv and did.md s.2.
    frame = _merit()
    table = cell_table(frame, MERIT_COVARIATES)
    grams = did.preferred_grams(table)
    assert inf.fit(grams).beta[0] == pytest.approx(0.03374649485631403, abs=1e-9)
    # Stata's regress counts every dummy; cells must carry the 42,161 individuals into the factor.
    crv1 = np.sqrt(inf.crv1(grams, count_absorbed=True)[0, 0])
    assert crv1 == pytest.approx(0.0126646293845046, abs=1e-9)
    assert np.sqrt(inf.crv3(grams)[0, 0]) == pytest.approx(0.014456, abs=5e-7)
    # Random draws: 3 Monte Carlo standard errors, sqrt(p(1-p)/9999) = 0.0015 and 0.0018.
    assert inf.wcr(grams, kind="11", seed=4).p == pytest.approx(0.0223, abs=0.0045)
    assert inf.wcr(grams, kind="31", seed=4).p == pytest.approx(0.0218, abs=0.0045)
    assert inf.ri_t(table, seed=4).p == pytest.approx(0.0342, abs=0.0055)
    beta = inf.ri_t(table, seed=4, studentised=False)
    assert beta.p == pytest.approx(0.1125, abs=0.0095)
    result = did.estimate(frame, covariates=MERIT_COVARIATES, seed=4)
    assert (result.primary, result.secondary) == ("WCR-31", "RI-t")
    assert not result.inconclusive
    assert (result.n_rows, result.n_clusters, result.n_treated_clusters) == (42_161, 51, 10)


def test_merit_aid_in_two_steps() -> None:
    # Their do-file: state-year effects of a regression on covariates, then those on merit,
    # unweighted. The reference value rests on pyfixest's effects, which it finds to 6e-5 only.
    import pyfixest as pf

    rows = _merit_rows()
    rows = rows.assign(at=rows["state"].astype(str) + "_" + rows["year"].astype(str))
    values = rows[["coll", *MERIT_COVARIATES]].to_numpy(float)
    left = values - pd.DataFrame(values).groupby(rows["at"].to_numpy()).transform("mean").to_numpy()
    gamma = np.linalg.lstsq(left[:, 1:], left[:, 0], rcond=None)[0]
    exact = pd.Series(values[:, 0] - values[:, 1:] @ gamma).groupby(rows["at"].to_numpy()).mean()
    iterated = next(iter(pf.feols("coll ~ male + black + asian | at", rows).fixef().values()))
    first = rows.drop_duplicates("at")
    treated = rows.groupby("state")["merit"].max()
    found = []
    for effects in (exact.to_dict(), iterated):
        frame = pd.DataFrame(
            {
                "la": first["state"].map("{:02.0f}".format),
                "treated": first["state"].map(treated),
                "post": first["merit"],
                "event_time": first["year"],
                "n": 1,
                "y_sum": first["at"].map(effects).astype(float),
            }
        )
        grams = did.preferred_grams(cell_table(frame))
        se = np.sqrt(inf.crv1(grams, count_absorbed=True)[0, 0])
        found.append((inf.fit(grams).beta[0], se))
    assert found[0] == pytest.approx((0.051208995242, 0.011304545175), abs=1e-9)
    # Half the row's tolerance (1e-7): what the iteration stops at may move with its version.
    assert found[1] == pytest.approx((0.051208122671, 0.011304668546840662), abs=5e-8)


def free_se(grams: inf.Grams) -> float:
    return float(np.sqrt(inf.crv1(grams)[0, 0]))


def test_merit_aid_one_treated_state_is_reported_as_a_failure() -> None:
    # boottest's log: t 6.7127, WCR p .5195 (random, theirs 999 draws). One treated cluster.
    frame = _merit()
    others = ["34", "57", "59", "61", "64", "71", "72", "85", "88"]
    frame = frame[~frame["la"].isin(others)]
    grams = did.preferred_grams(cell_table(frame, MERIT_COVARIATES))
    beta = inf.fit(grams).beta[0]
    assert beta == pytest.approx(0.07216745891946999, abs=1e-10)
    crv1 = np.sqrt(inf.crv1(grams, count_absorbed=True)[0, 0])
    assert beta / crv1 == pytest.approx(6.7127, abs=5e-5)
    assert inf.wcr(grams, kind="11", seed=4).p == pytest.approx(0.5195, abs=0.04)
    # The unrestricted bootstrap fails the other way: p .000, interval [.0488, .0955] in that log
    # (999 random draws there: the ends of a 95 % interval move by about .002 from seed to seed).
    free = inf.wcr(grams, kind="11", restricted=False, seed=4)
    assert (free.name, free.statistic) == ("WCU-11", pytest.approx(beta / free_se(grams)))
    assert free.p == pytest.approx(0.0, abs=0.005)
    assert free.ci == pytest.approx((0.0488, 0.09553), abs=0.003)
    assert np.isnan(inf.crv3(grams)[0, 0])
    result = did.estimate(frame, covariates=MERIT_COVARIATES, seed=4)
    # So the orchestrator prints no bootstrap: all 42 assignments, no conclusion.
    assert (result.primary, result.draws, result.exact) == ("RI-t", 42, True)
    assert result.inconclusive
    assert any("too few for the wild cluster bootstrap" in note for note in result.notes)
    assert np.isnan(result.mde)


# ---------------------------------------------------------------------------------------------
# Twins


@pytest.mark.parametrize("kind", ["11", "31"])
def test_wild_bootstrap_twin_wildboottest(kind: str) -> None:
    from wildboottest.wildboottest import wildboottest

    rng = np.random.default_rng(11)
    clusters, size = 8, 12
    code = np.repeat(np.arange(clusters), size)
    x = np.column_stack(
        [(code < 3) * rng.normal(1, 1, code.size), np.ones(code.size), rng.normal(0, 1, code.size)]
    )
    y = x @ [0.35, 1.0, 0.5] + rng.normal(0, 1, clusters)[code] + rng.normal(0, 1, code.size)
    one, names = np.ones(code.size), ["d", "constant", "x"]
    grams = inf.gram(x, y, one, one, code, [str(g) for g in range(clusters)], names)
    mine = inf.wcr(grams, kind=kind, seed=1)
    assert mine.exact
    model = sm.OLS(pd.Series(y), pd.DataFrame(x, columns=names))
    options = {"param": "d", "cluster": pd.Series(code), "B": 999, "show": False}
    theirs = wildboottest(model, bootstrap_type=kind, **options)
    free = inf.wcr(grams, kind=kind, restricted=False, seed=1)
    unrestricted = wildboottest(model, bootstrap_type=kind, impose_null=False, **options)
    assert free.name == f"WCU-{kind}"
    # Both enumerate 256 sign vectors. Restricted kind 11 holds the data and their mirror image,
    # which tie: here they count, there rounding decides. Nothing else ties.
    assert mine.statistic == pytest.approx(float(theirs["statistic"].iloc[0]), rel=1e-9)
    assert mine.ties == (2 if kind == "11" else 0)
    for ours, found in ((mine, theirs), (free, unrestricted)):
        gap = ours.p * 256 - float(found["p-value"].iloc[0]) * 256
        assert round(gap, 6) in {0, ours.ties}
    assert 0.01 < mine.p < 0.99  # else the comparison would be empty


def test_crv_twins_pyfixest_and_refits() -> None:
    import pyfixest as pf

    frame = matched(np.random.default_rng(3), pilots=5, pool=6, strata=3).frame
    table = cell_table(frame, ["stratum"])
    grams = did.preferred_grams(table)
    work = frame.assign(
        y=frame["y_sum"] / frame["n"],
        w=frame["n"] * frame["weight"],
        d=frame["treated"] * frame["post"],
        gl=frame["group"] + frame["la"],
        gp=frame["group"] + frame["event_time"].astype(str),
    )

    def refit(rows: pd.DataFrame) -> pf.Feols:
        # All small-sample factors off: the comparison is of the sandwich itself.
        plain = pf.ssc(k_adj=False, G_adj=False)
        return pf.feols(
            "y ~ d + C(stratum) | gl + gp", rows, vcov={"CRV1": "la"}, weights="w", ssc=plain
        )

    full = refit(work)
    # 1e-9: pyfixest demeans iteratively.
    assert inf.fit(grams).beta[0] == pytest.approx(full.coef()["d"], rel=1e-9, abs=1e-11)
    bare = np.sqrt(inf.crv1(grams)[0, 0] / did.small_sample(grams))
    assert bare == pytest.approx(full.se()["d"], rel=1e-8)
    left = np.array([refit(work[work["la"] != la]).coef()["d"] for la in table.las])
    assert inf.leave_one_out(grams)[:, 0] == pytest.approx(left, rel=1e-8, abs=1e-10)
    g = len(left)
    jackknife = np.sqrt((g - 1) / g * ((left - full.coef()["d"]) ** 2).sum())
    assert np.sqrt(inf.crv3(grams)[0, 0]) == pytest.approx(jackknife, rel=1e-8)


def _slot_rows(frame: pd.DataFrame, series: SlotSeries) -> pd.DataFrame:
    rows = frame.assign(w=frame["n"] * frame["weight"])
    keys = ["group", "la", "treated", "post", "event_time"]
    rows = rows.groupby(keys, as_index=False)["w"].sum()
    places = {
        (series.groups[g], t): i
        for i, (g, t) in enumerate(zip(series.place_group, series.place_time, strict=True))
    }
    rows["place"] = [places[key] for key in zip(rows["group"], rows["event_time"], strict=True)]
    return rows


def _brute_t(rows: pd.DataFrame, y: np.ndarray, roles: list[str], studentise: str) -> float:
    """Dummy regression of slot rows; CRV1 over roles, or the jackknife by leaving roles out."""
    x = np.hstack(
        [
            (rows["treated"] * rows["post"]).to_numpy(float)[:, None],
            pd.get_dummies(rows["group"] + rows["la"]).to_numpy(float),
            pd.get_dummies(rows["group"] + rows["event_time"].astype(str)).to_numpy(float),
        ]
    )
    role = rows["la"].to_numpy()

    def coefficients(keep: np.ndarray) -> np.ndarray:
        root = np.sqrt(rows["w"].to_numpy()[keep])
        return np.linalg.lstsq(x[keep] * root[:, None], y[keep] * root, rcond=1e-10)[0]

    everything = np.ones(len(rows), bool)
    beta = coefficients(everything)
    if studentise == "none":
        return float(beta[0])
    if studentise == "crv3":
        left = np.array([coefficients(role != r)[0] for r in roles])
        g = len(roles)
        return float(beta[0] / np.sqrt((g - 1) / g * ((left - beta[0]) ** 2).sum()))
    w = rows["w"].to_numpy()
    bread = np.linalg.pinv(x.T @ (w[:, None] * x), rcond=1e-10, hermitian=True)[0]
    residual = y - x @ beta
    scores = [float(bread @ (x[role == r].T @ (w * residual)[role == r])) for r in roles]
    return float(beta[0] / np.sqrt(np.square(scores).sum()))


def _brute_swing(rows: pd.DataFrame, series: SlotSeries, roles: list[str]) -> dict[str, float]:
    """Each cluster's swing before treatment from long rows, then the usual one of its kind."""
    pilots = set(rows.loc[rows["treated"] == 1, "la"])
    places = rows.loc[rows["post"] == 0, ["group", "place"]].drop_duplicates()
    squares: dict[str, list[float]] = {la: [] for la in roles}
    for _, mine in places.groupby("group")["place"]:
        at = {la: series.las.index(la) for la in roles}
        clean = [la for la in roles if (np.asarray(series.exposure)[at[la], list(mine)] == 0).all()]
        part = pd.DataFrame({la: np.asarray(series.mean)[at[la], list(mine)] for la in clean})
        for la, left in (part - part.mean()).sub((part - part.mean()).mean(axis=1), axis=0).items():
            squares[str(la)] += list(left**2)
    own = {la: float(np.mean(v)) for la, v in squares.items() if v}
    kinds = [np.mean([v for la, v in own.items() if (la in pilots) == kind]) for kind in (1, 0)]
    return {la: float(np.sqrt(kinds[0] / kinds[1])) if la in pilots else 1.0 for la in roles}


@pytest.mark.parametrize("studentise", ["crv1", "crv3", "none"])
def test_slot_permutation_twin_by_refitting_every_permutation(studentise: str) -> None:
    design = matched(np.random.default_rng(8), pilots=3, pool=2, effect=-0.05, years=9)
    frame, series = design.frame, design.series
    table = cell_table(frame)
    roles = list(table.las)
    assert len(roles) == 5  # two comparators, each shared by three pilots
    rows = _slot_rows(frame, series)
    index = {la: i for i, la in enumerate(series.las)}
    swing = _brute_swing(rows, series, roles) if studentise != "none" else dict.fromkeys(roles, 1.0)
    assert studentise == "none" or max(swing.values()) > min(swing.values())

    def brute(tau: float) -> tuple[float, float]:
        clean = np.asarray(series.mean) - tau * np.asarray(series.exposure)
        usual = clean[[index[la] for la in roles]].mean(axis=0)[rows["place"]]
        values = []
        for order in itertools.permutations(roles):
            filler = dict(zip(roles, order, strict=True))
            who = [index[filler[la]] for la in rows["la"]]
            scale = np.array([swing[la] / swing[filler[la]] for la in rows["la"]])
            y = usual + scale * (clean[who, rows["place"]] - usual)
            values.append(_brute_t(rows, y, roles, studentise))
        seen = abs(values[0])
        return values[0], float(np.mean(np.abs(values) >= seen * (1 - 1e-9)))

    result = inf.slot_permutation(table, series, seed=1, studentise=studentise)
    assert result.exact
    assert result.draws == 120  # 5!, printed
    statistic, p = brute(0.0)
    assert result.statistic == pytest.approx(statistic, rel=1e-8)
    assert result.p == pytest.approx(p, abs=1e-12)  # a count over 120
    # The interval: just inside its 90 % ends brute force does not reject, just outside it does.
    for end, outward in zip(result.ci90, (-1, 1), strict=True):
        if np.isfinite(end):
            assert brute(end - outward * 1e-6)[1] > 0.10
            assert brute(end + outward * 1e-6)[1] <= 0.10
    assert any(np.isfinite(result.ci90))


def test_slot_estimate_is_the_regression_on_cells() -> None:
    # Without covariates and matching inside years, slot means carry the same coefficient.
    design = matched(np.random.default_rng(2))
    result = did.preferred(design.frame, series=design.series, draws=99, seed=1)
    assert result.att_primary == pytest.approx(result.att, rel=1e-9)
    assert result.ci[0] <= result.att <= result.ci[1]


def test_slot_permutation_inside_strata() -> None:
    design = matched(np.random.default_rng(5), pilots=3, pool=2, years=9)
    table = cell_table(design.frame)
    # Strata of two and three clusters: 2! x 3! = 12 arrangements, the identity among them.
    strata = {la: int(i < 3) for i, la in enumerate(table.las)}
    result = inf.slot_permutation(table, design.series, seed=1, strata=strata)
    assert (result.draws, result.exact) == (12, True)
    assert result.notes[-1] == "all 12 arrangements"
    assert result.p >= 1 / 12
    rows, exact = arrangements(np.array([0, 0, 1, 1, 1]), 10, 3)
    assert not exact
    assert {tuple(sorted(r[:2])) for r in rows} == {(0, 1)}
    with pytest.raises(FrameError, match="no stratum"):
        inf.slot_permutation(table, design.series, seed=1, strata={"000": 1})


def test_windows_without_individuals_are_filled_and_counted() -> None:
    # On an exactly additive table the fill is exact; the data's own statistic never uses one.
    n = np.array([[5, 0, 3], [4, 2, 2], [1, 1, 0]])
    additive = np.array([[1.0], [2.0], [5.0]]) + np.array([[0.0, 0.5, -1.0]])
    holes = np.where(n > 0, additive, np.nan)
    assert fill(holes, n) == pytest.approx(additive, abs=1e-12)
    with pytest.raises(FrameError, match="no individuals in any window"):
        fill(holes, np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1]]))

    design = matched(np.random.default_rng(21))
    table, whole = cell_table(design.frame), design.series
    rows = _slot_rows(design.frame, whole)
    used = {
        (whole.las.index(la), place) for la, place in zip(rows["la"], rows["place"], strict=True)
    }
    spare = [(i, s) for i in range(len(whole.las)) for s in range(whole.n.shape[1])]
    spare = [cell for cell in spare if cell not in used][::7]
    empty_n, empty_mean, empty_exposure = whole.n.copy(), whole.mean.copy(), whole.exposure.copy()
    for cell in spare:
        empty_n[cell], empty_mean[cell], empty_exposure[cell] = 0, np.nan, np.nan
    holed = SlotSeries(
        whole.las,
        whole.groups,
        whole.place_group,
        whole.place_time,
        empty_n,
        empty_mean,
        empty_exposure,
    )
    full = inf.slot_permutation(table, whole, seed=1, draws=999)
    part = inf.slot_permutation(table, holed, seed=1, draws=999)
    assert part.statistic == pytest.approx(full.statistic, rel=1e-9)
    assert f"{len(spare)} of " in part.notes[0]
    assert part.p == pytest.approx(full.p, abs=0.1)  # a tenth of windows filled: same conclusion


def test_ri_t_twin_by_refitting() -> None:
    frame = panel(np.random.default_rng(6), clusters=7, treated=2, effect=0.8)
    frame["weight"] = 1.0 + (frame["la"].astype(int) % 3)
    frame = frame.drop(index=[3, 17])  # unbalanced
    table = cell_table(frame)
    result = inf.ri_t(table, seed=1)
    assert (result.draws, result.exact) == (21, True)  # 7 choose 2
    work = frame.assign(y=frame["y_sum"])
    la, y, w = work["la"].to_numpy(), work["y"].to_numpy(), work["weight"].to_numpy()
    effects = np.hstack([pd.get_dummies(work[c]).to_numpy(float) for c in ("la", "event_time")])
    names = sorted(set(la))

    def t(chosen: tuple[str, ...], y: np.ndarray) -> float:
        d = (np.isin(la, chosen) & (work["post"] == 1)).to_numpy(float)
        x = np.column_stack([d, effects])
        root = np.sqrt(w)
        beta = np.linalg.lstsq(x * root[:, None], y * root, rcond=1e-10)[0]
        bread = np.linalg.pinv(x.T @ (w[:, None] * x), rcond=1e-10, hermitian=True)[0]
        score = x * (w * (y - x @ beta))[:, None]
        return beta[0] / np.sqrt(sum((bread @ score[la == g].sum(0)) ** 2 for g in names))

    def p(tau: float) -> float:
        own = (work["treated"] * work["post"]).to_numpy()
        values = [abs(t(pair, y - tau * own)) for pair in itertools.combinations(names, 2)]
        return float(np.mean(np.array(values) >= values[0] * (1 - 1e-9)))

    assert result.statistic == pytest.approx(t(("000", "001"), y), rel=1e-8)
    assert result.p == pytest.approx(p(0.0), abs=1e-12)
    tight = inf.ri_t(table, seed=1, level=0.80)
    assert np.isfinite(tight.ci).all()
    for end, outward in zip(tight.ci, (-1, 1), strict=True):
        assert p(end - outward * 1e-6) > 0.2
        assert p(end + outward * 1e-6) <= 0.2
    with pytest.raises(FrameError, match="slot_permutation"):
        inf.ri_t(cell_table(matched(np.random.default_rng(1)).frame), seed=1)


def test_wcr_interval_inverts_the_test() -> None:
    grams = did.preferred_grams(cell_table(matched(np.random.default_rng(9), effect=-0.06).frame))
    inversion = inf.wcr_inversion(grams, seed=2)
    low, high = inversion.interval(0.95)
    assert low < inversion.estimate < high
    for inside, outside in ((low + 1e-9, low - 1e-6), (high - 1e-9, high + 1e-6)):
        assert inversion.p(inside) > 0.05 >= inversion.p(outside)
    # The hypothesis shifts with the outcome: p at tau is p at zero of y - tau d.
    design = matched(np.random.default_rng(9), effect=-0.06).frame
    moved = design.assign(
        y_sum=design["y_sum"] + 0.03 * design["n"] * design["treated"] * design["post"]
    )
    shifted = inf.wcr_inversion(did.preferred_grams(cell_table(moved)), seed=2)
    assert shifted.p(0.0) == inversion.p(-0.03)
    # One hypothesis alone is the same count of the same draws.
    assert inf.wcr_p(grams, seed=2) == inversion.p(0.0)
    assert inf.wcr_p(grams, seed=2, null=-0.03) == inversion.p(-0.03)
    webb = inf.wcr(grams, weights="webb", seed=2)
    assert abs(webb.p - inversion.p(0.0)) < 0.05  # another distribution, not another answer
    with pytest.raises(FrameError, match="kind must be"):
        inf.wcr(grams, kind="33", seed=1)  # type: ignore[arg-type]


def test_crv2_against_matrices_on_rows() -> None:
    # Bell and McCaffrey by N x N matrices: hat matrix, symmetric inverse roots, moments of the
    # quadratic form. Weighted, with cluster effects as dummies here and taken out in the engine.
    rng = np.random.default_rng(12)
    code = np.repeat(np.arange(7), [3, 5, 4, 6, 5, 4, 7])
    n, w = len(code), rng.uniform(0.5, 2.0, len(code))
    d = ((code < 3) & (rng.random(n) < 0.6)).astype(float)
    x = np.column_stack([d, rng.normal(size=n), rng.normal(size=n)])
    y = 0.4 * d + rng.normal(size=7)[code] + rng.normal(size=n)
    labels, one = [str(g) for g in range(7)], np.ones(n)
    grams = inf.gram(x, y, w, one, code, labels, ["d", "a", "b"], within=code)
    variance, df = inf.crv2(grams)
    full = np.hstack([x, (code[:, None] == np.arange(7)).astype(float)]) * np.sqrt(w)[:, None]
    bread = np.linalg.inv(full.T @ full)
    annihilator = np.eye(n) - full @ bread @ full.T
    residual = annihilator @ (y * np.sqrt(w))
    scores, carried = [], []
    for g in range(7):
        rows = code == g
        value, vector = np.linalg.eigh(annihilator[np.ix_(rows, rows)])
        # The generalised inverse root: a cluster's own dummy gives an eigenvalue of zero.
        root = np.where(value > 1e-9, np.maximum(value, 1e-9) ** -0.5, 0.0)
        weight = vector @ np.diag(root) @ vector.T @ full[rows] @ bread[0]
        scores.append(weight @ residual[rows])
        carried.append(annihilator[:, rows] @ weight)
    inner = np.array(carried) @ np.array(carried).T
    assert variance == pytest.approx(float(np.square(scores).sum()), rel=1e-9)
    assert df == pytest.approx(np.trace(inner) ** 2 / np.square(inner).sum(), rel=1e-9)
    assert 1 < df < 6


def test_effective_clusters_and_leverage() -> None:
    frame = panel(np.random.default_rng(1), clusters=20, treated=10)
    even = inf.cluster_summary(did.preferred_grams(cell_table(frame)))
    # Half treated, all equal: every cluster has the same leverage, so G* = G.
    assert even.leverage == pytest.approx(np.full(20, 1 / 20), abs=1e-12)
    assert even.effective == pytest.approx(20, rel=1e-9)
    frame = panel(np.random.default_rng(1), clusters=20, treated=1)
    one = inf.cluster_summary(did.preferred_grams(cell_table(frame)))
    # One of 20 treated: leverage 0.95 against 0.05/19, by hand.
    assert one.leverage[0] == pytest.approx(0.95, rel=1e-9)
    spread = ((0.95 * 20 - 1) ** 2 + 19 * (0.05 / 19 * 20 - 1) ** 2) / 20
    assert one.effective == pytest.approx(20 / (1 + spread), rel=1e-9)


def test_counting_rows_of_a_file_gives_the_panels_moments(tmp_path: Path) -> None:
    from sos_analysis.estimation import counts
    from sos_analysis.estimation.assignment import panel_moments, ri_inversion

    rng = np.random.default_rng(15)
    n = 6_000
    rows = pd.DataFrame(
        {
            "la": rng.integers(3, 15, n),
            "time": rng.integers(0, 9, n),
            "sex": rng.integers(1, 3, n),
            "age": rng.integers(0, 4, n),
            "days": rng.integers(-1, 6, n),
        }
    )
    rows = rows[rows["la"] != 9]  # a code that does not occur
    treated = (rows["la"] < 6).astype(int)
    rows["post"] = (rows["time"] >= rows["la"]).astype(int) * treated
    path = tmp_path / "rows.parquet"
    rows.astype({"la": "int16", "sex": "int8"}).to_parquet(path)
    made = counts.count_rows(
        path, cluster="la", period="time", outcome="days", covariates=["sex", "age"]
    )
    assert int(made.n.sum()) == len(rows)
    exposure = np.array([[float(la < 6 and t >= la) for t in range(9)] for la in range(3, 15)])
    moments = counts.moments(made, exposure)
    grams = counts.panel_grams(made, moments)
    frame = rows.rename(columns={"time": "event_time", "days": "y_sum"}).assign(
        n=1, treated=treated, la=rows["la"].map("{:02d}".format)
    )
    table = cell_table(frame, ["sex", "age"])
    other = did.preferred_grams(table)
    assert grams.n.sum() == other.n.sum()
    # Whole numbers on both sides until the cluster means are taken out: rounding alone.
    assert inf.fit(grams).beta[0] == pytest.approx(inf.fit(other).beta[0], rel=1e-9)
    assert inf.crv1(grams)[0, 0] == pytest.approx(inf.crv1(other)[0, 0], rel=1e-9)
    assert inf.crv3(grams)[0, 0] == pytest.approx(inf.crv3(other)[0, 0], rel=1e-9)
    fast, total = ri_inversion(moments, draws=199, seed=1)
    slow, again = ri_inversion(panel_moments(table), draws=199, seed=1)
    assert fast.statistic(0.0) == pytest.approx(slow.statistic(0.0), rel=1e-8)
    assert again == total == 11 * 10 * 9  # three dates over eleven clusters
    assert fast.p(0.0) == slow.p(0.0)
    with pytest.raises(FrameError, match="no column 'age2'"):
        counts.count_rows(path, cluster="la", period="time", outcome="days", covariates=["age2"])
    names = {"cluster": "la", "period": "time", "outcome": "days"}
    rows.assign(la="a").to_parquet(tmp_path / "text.parquet")
    with pytest.raises(FrameError, match="code it as whole"):
        counts.count_rows(tmp_path / "text.parquet", **names)
    rows.assign(age=rows["age"] * 10_000_000).to_parquet(tmp_path / "wide.parquet")
    with pytest.raises(FrameError, match="combinations"):
        counts.count_rows(tmp_path / "wide.parquet", **names, covariates=["age"])


SCRIPT = """
import numpy as np
from simulated_designs import matched
from sos_analysis.estimation import did
from sos_analysis.estimation.event_study import event_study
design = matched(np.random.default_rng(4), strata=2)
frame = design.frame.sample(frac=1.0, random_state={order}).reset_index(drop=True)
print(repr(did.estimate(frame, design.series, covariates=["stratum"], draws=499, seed=7)))
study = event_study(frame, ["stratum"], series=design.series, draws=199, seed=7)
print([v.hex() for v in study.att], [v.hex() for v in study.se], study.p_wcr, study.p_slots)
"""


def test_same_bytes_whatever_the_row_order_hash_seed_or_threads() -> None:
    outputs = []
    for order, threads in ((1, "1"), (2, "2")):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(order),
            "PYTHONPATH": str(Path(__file__).parent),
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(order=order)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert "slot permutation" in outputs[0]
    assert outputs[0] == outputs[1]


def test_9999_draws_take_well_under_a_second() -> None:
    design = matched(np.random.default_rng(4), pool=18, years=14)
    table = cell_table(design.frame)
    grams = did.preferred_grams(table)
    took = []
    for _ in range(3):
        began = time.perf_counter()
        inf.slot_permutation(table, design.series, seed=1)
        inf.wcr(grams, seed=1)
        took.append(time.perf_counter() - began)
    # About 0.2 s for both with both intervals; the best of three, with room for a busy machine.
    assert min(took) < 2.0


# ---------------------------------------------------------------------------------------------
# Size (make test-full)

RUNS = 800


@pytest.mark.full
@pytest.mark.parametrize(("pool", "size_sd"), [(18, 0.0), (12, 0.7), (8, 0.7)])
def test_slot_permutation_holds_its_size_with_shared_comparators(pool: int, size_sd: float) -> None:
    rejected = []
    for run in range(RUNS):
        design = matched(np.random.default_rng([run, pool]), pool=pool, size_sd=size_sd)
        table = cell_table(design.frame)
        slots = slot_inversion(slot_design(table, design.series), draws=399, seed=run).p(0.0)
        grams = did.preferred_grams(table)
        naive, _ = inf.t_test(
            inf.fit(grams).beta[0], np.sqrt(inf.crv1(grams)[0, 0]), len(table.las) - 1
        )
        rejected.append((slots <= 0.05, naive <= 0.05))
    slots_size, naive_size = np.mean(rejected, axis=0)
    # Monte Carlo standard error 0.77 points; three of them either side of 5 %.
    assert 0.027 < slots_size < 0.073
    # The procedure it replaces rejects a true null too often, which is why it is here.
    assert naive_size > 0.073


def test_swings_are_measured_before_treatment_and_among_the_untreated() -> None:
    """By hand: pilots move by 2 about their means, others by 1, and nothing later counts."""
    before = np.array([True, True, False])
    y = np.array([[5.0, 1, 900], [0, 4, -900], [3, 1, 7], [1, 3, 7], [40, -60, 0]])
    exposure = np.zeros(y.shape)
    exposure[:2, 2] = 1
    exposure[4, 1] = 0.5  # a pilot of another group, itself begun: not looked at
    treated = np.array([1.0, 1, 0, 0, 1])
    seen, one = np.ones(y.shape, bool), np.zeros(3, int)
    assert swings(y, exposure, seen, one, before, treated).tolist() == [2, 2, 1, 1, 2]
    # The mean of each window is common to all, and a shift in time moves nothing.
    moved = y + np.array([3.0, -8.0, 1.0])
    assert swings(moved, exposure, seen, one, before, treated) == pytest.approx([2, 2, 1, 1, 2])
    # One window before tells nothing; nor does a kind that is not there.
    alone = np.array([True, False, False])
    assert (swings(y, exposure, seen, one, alone, treated) == 1).all()
    assert (swings(y, exposure, seen, one, before, np.ones(5)) == 1).all()
    # In a comparator's role a pilot's deviation from the window is halved; in its own it stays.
    found = swings(y, exposure, seen, one, before, treated)
    there, own = (in_role(y, found, role) for role in (2, 0))
    assert there[0] == pytest.approx((y[0] - y.mean(axis=0)) / 2)
    assert own[0] == pytest.approx(y[0] - y.mean(axis=0))
