"""Several outcomes at once, missing covariates, panels of authorities, sentences of checks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_designs import matched as simulated

from sos_analysis import checks, workspace
from sos_analysis.chapters.missing import MISSING, imputed
from sos_analysis.comparison.panel import authority_years
from sos_analysis.errors import SosError
from sos_analysis.estimation import imputation
from sos_analysis.estimation.bootstrap import wcr
from sos_analysis.estimation.did import preferred_grams
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.grams import Grams
from sos_analysis.estimation.imputation import impute, level_model, logit, rubin
from sos_analysis.estimation.multiplicity import adjusted, joint_statistics, stepdown
from sos_analysis.study import Study


def _grams(seed: int, effect: float = 0.0, years: int = 8) -> Grams:
    made = simulated(np.random.default_rng(seed), pilots=6, pool=6, years=9, effect=effect)
    return preferred_grams(cell_table(made.frame))


# --- several outcomes -------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=2, max_size=5, unique=True), st.integers(0, 2**16))
def test_stepdown_twin_and_pyfixest(seen: list[float], seed: int) -> None:
    """By the definition, written as loops; and pyfixest's arithmetic on the same draws."""
    from pyfixest.estimation.post_estimation.multcomp import _get_rwolf_pval

    t = np.array(seen)
    drawn = np.random.default_rng(seed).standard_t(4, size=(200, len(t)))
    left, floor, expected = list(range(len(t))), 0.0, np.zeros(len(t))
    while left:
        j = max(left, key=lambda i: abs(t[i]))
        count = sum(max(abs(row[i]) for i in left) >= abs(t[j]) for row in drawn)
        floor = max(floor, (1 + count) / 201)
        expected[j] = floor
        left.remove(j)
    found = stepdown(t, drawn, exact=False)
    assert found == pytest.approx(expected, abs=1e-12)
    if len(set(np.abs(t))) == len(t):  # pyfixest orders ties otherwise
        assert found == pytest.approx(_get_rwolf_pval(t, drawn), abs=1e-12)


def test_one_outcome_alone_is_the_wild_bootstrap() -> None:
    grams = _grams(1, 0.03)
    made = adjusted({"a": grams}, {"a": 0.04}, draws=499, seed=7)
    alone = wcr(grams, draws=499, seed=7)
    assert made.p_wild["a"] == alone.p
    assert made.romano_wolf["a"] == alone.p
    assert made.holm["a"] == 0.04


def test_outcomes_that_move_together_pay_no_price_and_none_gains() -> None:
    first, second = _grams(1, 0.04), _grams(2)
    twice = adjusted({"a": first, "b": first}, {"a": 0.01, "b": 0.01}, draws=999, seed=7)
    assert twice.romano_wolf["a"] == twice.p_wild["a"] == twice.romano_wolf["b"]
    assert twice.holm == {"a": pytest.approx(0.02), "b": pytest.approx(0.02)}
    both = adjusted({"a": first, "b": second}, {"a": 0.01, "b": 0.5}, draws=999, seed=7)
    for name in "ab":
        # Every |t| of one outcome is at most the larger of two: never below its own p.
        assert both.p_wild[name] <= both.romano_wolf[name]


def test_signs_are_shared_by_clusters_not_by_position() -> None:
    """An outcome without some clusters takes the signs of those it has."""
    full = _grams(3)
    las = full.clusters
    kept = [i for i in range(len(las)) if i != 2]
    part = replace(
        full, clusters=tuple(las[i] for i in kept), xx=full.xx[kept], xy=full.xy[kept],
        n=full.n[kept],
    )  # fmt: skip
    _, both, exact = joint_statistics({"full": full, "part": part}, draws=4096, seed=1)
    assert exact  # 2^12 sign vectors
    # Cluster 2's sign does not matter to the part: rows that differ in it alone give one statistic.
    flip = np.arange(4096) ^ (1 << 2)
    assert both[:, 1] == pytest.approx(both[flip, 1], abs=1e-9)
    assert np.abs(both[:, 0] - both[flip, 0]).max() > 1e-3


def test_a_family_needs_a_p_for_each_outcome() -> None:
    with pytest.raises(FrameError, match="finite p-values are needed"):
        adjusted({"a": _grams(1)}, {"b": 0.1}, draws=99, seed=1)
    with pytest.raises(FrameError, match="finite p-values are needed"):
        adjusted({"a": _grams(1)}, {"a": float("nan")}, draws=99, seed=1)


# --- Rubin's rules ----------------------------------------------------------------------------


def test_rubins_rules_by_hand() -> None:
    found = rubin([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], df_complete=8)
    # W = 0.5, B = 1, T = 0.5 + 4/3; lambda = (4/3)/T.
    total = 0.5 + 4 / 3
    share = (4 / 3) / total
    observed = 9 / 11 * 8 * (1 - share)
    assert found.estimate == 2
    assert found.se == pytest.approx(np.sqrt(total))
    assert found.share == pytest.approx(share)
    assert found.df == pytest.approx(1 / (share**2 / 2 + 1 / observed))
    # Nothing missing: Barnard and Rubin's df is (v + 1)/(v + 3) v.
    assert rubin([1.0, 1.0], [0.5, 0.5], df_complete=8).df == pytest.approx(9 / 11 * 8)
    # Many complete degrees of freedom: Rubin's own (m - 1)/lambda^2.
    assert rubin([1.0, 2.0, 3.0], [0.5] * 3, 1e9).df == pytest.approx(2 / share**2, rel=1e-6)


@pytest.mark.parametrize(
    ("q", "u", "df"),
    [([1.0], [1.0], 5), ([1.0, np.nan], [1.0, 1.0], 5), ([1.0, 2.0], [1.0, 0.0], 5)],
)
def test_rubins_rules_refuse_what_they_cannot_pool(q: list[float], u: list[float], df: int) -> None:
    with pytest.raises(FrameError, match="Rubin's rules need"):
        rubin(q, u, df)


# --- imputation -------------------------------------------------------------------------------


def test_logit_is_statsmodels_where_the_prior_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import statsmodels.api as sm

    monkeypatch.setattr(imputation, "PRIOR_SD", 1e5)
    rng = np.random.default_rng(1)
    x = np.hstack([np.ones((300, 1)), rng.normal(size=(300, 3))])
    trials = rng.integers(0, 9, 300).astype(float)
    hits = rng.binomial(trials.astype(int), 1 / (1 + np.exp(-x @ [0.2, 1.0, -0.5, 0.0])))
    beta, root = logit(x, hits.astype(float), trials)
    there = trials > 0
    glm = sm.GLM(
        np.c_[hits, trials - hits][there], x[there], family=sm.families.Binomial()
    ).fit(tol=1e-12)  # fmt: skip
    assert beta == pytest.approx(glm.params, abs=1e-6)
    assert root @ root.T == pytest.approx(glm.cov_params(), rel=1e-4, abs=1e-8)


def test_logit_holds_where_a_level_occurs_in_one_answer_alone() -> None:
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    beta, root = logit(x, np.array([50.0, 30.0]), np.array([100.0, 30.0]))
    assert 2 < beta[1] < 15
    assert np.isfinite(root).all()


def _patterns(rng: np.random.Generator, size: int = 4000) -> pd.DataFrame:
    """Cases whose missing answer depends on what is known, on the outcome too."""
    la = rng.integers(0, 4, size)
    y = rng.binomial(1, 0.2 + 0.1 * la)
    yes = rng.binomial(1, 1 / (1 + np.exp(-(-1.0 + 0.4 * la + 1.5 * y))))
    gone = rng.binomial(1, 0.05 + 0.5 * y)
    answer = np.where(gone == 1, "missing", np.where(yes == 1, "yes", "no"))
    answer = np.where(la == 3, "not asked", answer)
    frame = pd.DataFrame({"la": la.astype(str), "y": y, "answer": answer, "true": yes})
    counted = frame.groupby(["la", "y", "answer"]).agg(n=("true", "size"), true=("true", "sum"))
    return counted.reset_index().astype({"answer": "category", "la": "category"})


def test_imputation_keeps_what_is_known_and_finds_what_is_missing() -> None:
    frame = _patterns(np.random.default_rng(2), 40_000)
    model = level_model(
        frame, "answer", predictors=["la"], numeric=["y"], missing=MISSING,
        structural=("not asked",),
    )  # fmt: skip
    assert set(model.levels) == {"yes", "no"}
    shares = []
    for k in range(20):
        made = impute(frame, model, np.random.default_rng(k))
        assert made["n"].sum() == frame["n"].sum()
        by = made.groupby("answer", observed=True)["n"].sum()
        known = frame.groupby("answer", observed=True)["n"].sum()
        assert "missing" not in by.index
        assert by["not asked"] == known["not asked"]
        assert all(by[answer] >= known[answer] for answer in ("yes", "no"))
        shares.append(by["yes"] / by[["yes", "no"]].sum())
    asked = frame[frame["answer"] != "not asked"]
    truth = asked["true"].sum() / asked["n"].sum()
    seen = asked[asked["answer"] != "missing"]
    naive = seen["true"].sum() / seen["n"].sum()
    # Answers are missing more often where the outcome is 1, so what is seen is too low by far.
    assert naive < truth - 0.03
    # Standard error of the share about 0.5 / sqrt(30,000) x the root of what is missing: 0.005.
    assert np.mean(shares) == pytest.approx(truth, abs=0.015)
    assert np.std(shares) > 0
    one, two = (impute(frame, model, np.random.default_rng(5)) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_sums_are_shared_out_and_a_covariate_never_known_is_an_error() -> None:
    frame = _patterns(np.random.default_rng(3)).assign(y_sum=lambda f: 7.0 * f["n"])
    model = level_model(frame, "answer", predictors=["la"], missing=MISSING)
    made = impute(frame, model, np.random.default_rng(1), ["y_sum"])
    assert made["y_sum"].sum() == pytest.approx(frame["y_sum"].sum())
    assert (made["y_sum"] / made["n"]).to_numpy() == pytest.approx(7.0)
    with pytest.raises(FrameError, match="'answer' is never known"):
        level_model(
            frame[frame["answer"] == "missing"], "answer", predictors=["la"], missing=MISSING
        )


def test_imputed_cells_keep_every_event(small_study: Study, small_extract: Path) -> None:
    from sos_analysis.chapters import missing

    cells = workspace.cells_for(small_study, str(small_extract), "rereferral", "original")
    # Age unknown for some: age and school phase are drawn together, low income follows.
    frame = cells.frame.copy()
    for name in ("age_band", "school_phase", "low_income"):
        values = frame[name].astype(str).to_numpy(dtype=object)
        values[::17] = "missing"
        frame[name] = pd.Categorical(values)
    holed = replace(cells, frame=frame)
    gaps = ["age_band", "school_phase", "low_income", "sex"]
    frames = list(missing._frames(small_study, "rereferral", holed, gaps, 1))
    assert len(frames) == missing.IMPUTATIONS
    for made in frames:
        assert made[["n", "y_sum", "y_sq"]].sum().tolist() == [
            frame["n"].sum(), frame["y_sum"].sum(), frame["y_sum"].sum()
        ]  # fmt: skip
        assert not made[["age_band", "school_phase", "low_income", "sex"]].isin(MISSING).any().any()
        young = made["school_phase"].astype(str) == "none"
        assert (young == (made["low_income"].astype(str) == "under school age")).all()
        assert (young == (made["age_band"].astype(str) == "0-4")).all()
    totals = [made.loc[made["low_income"] == "yes", "n"].sum() for made in frames]
    assert len(set(totals)) > 1
    chosen = {"cem": True, "covariates": True}
    found = imputed(small_study, "rereferral", cells, chosen, seed=1)
    assert found is not None
    assert found.pooled.imputations == missing.IMPUTATIONS
    assert 0 < max(found.gaps.values()) < 0.2 * found.cases


# --- panels -----------------------------------------------------------------------------------


def test_a_panel_counts_every_event_once_and_dates_pilots(
    small_study: Study, small_extract: Path
) -> None:
    cells = workspace.cells_for(small_study, str(small_extract), "kinship", "original")
    panel = authority_years(cells, small_study, "kinship")
    sample = cells.frame["la"].astype(str).isin(small_study.sample("kinship"))
    assert panel["n"].sum() == cells.frame.loc[sample, "n"].sum()
    assert (panel["n"] * panel["mean"]).sum() == pytest.approx(
        cells.frame.loc[sample, "y_sum"].sum()
    )
    dated = panel[panel["cohort"] > 0].groupby("la")[["cohort", "start"]].first()
    groups = {g.pilot: g for g in small_study.groups("kinship")}
    assert set(dated.index) <= set(groups)
    for la, (cohort, start) in dated.iterrows():
        g = groups[la]
        # The first fiscal year wholly after embedding; a year of follow-up reaches back a year.
        assert pd.Timestamp(int(cohort) - 1, 4, 1).date() > g.end
        assert pd.Timestamp(int(cohort) - 2, 4, 1).date() <= g.end
        last_before = pd.Timestamp(int(start) - 1, 3, 31)
        assert (last_before + pd.Timedelta(days=365)).date() < g.start
    assert set(panel.loc[panel["cohort"] == 0, "start"]) == {np.inf}


# --- sentences --------------------------------------------------------------------------------


def test_sentence_of_the_curve() -> None:
    made = checks.specification_curve(1458, 1394, 443, 0.029, 0.003, value=-10.9)
    assert made.status == "pass"
    assert made.sentence == (
        "The reading does not change with the way: of 1,458 ways to run this analysis, 1,394 gave "
        "a lower figure in pilots, as the main one does, and 443 of these could tell it from no "
        "difference by themselves. Were authorities put in the pilots' places at random, the "
        "middle estimate would lie as far from zero in 2.9% of draws."
    )
    assert checks.specification_curve(10, 9, 0, 0.2, 0.01, value=1).status == "fail"
    assert checks.specification_curve(10, 9, 0, 0.2, 0.5, value=1).status == "pass"
    with pytest.raises(SosError, match="not possible"):
        checks.specification_curve(10, 11, 0, 0.2, 0.5, value=1)


def test_sentence_of_the_placebo_date() -> None:
    made = checks.placebo_date(-0.6, -10.8, 9.5, 0.61, "per 100")
    assert made.id == "placebo"
    assert made.status == "pass"
    assert made.sentence == (
        "Taking a date 2 years before the true one, the method finds no clear difference "
        "(\u22120.6 per 100, 95% interval \u221210.8 to 9.5, p = 0.610). This test can miss a real "
        "difference."
    )
    found = checks.placebo_date(3.0, 1.0, 5.0, 0.01, "per 100")
    assert found.status == "fail"
    assert found.sentence.endswith("may have been moving apart already.")


@pytest.mark.parametrize(
    ("multiple", "level", "status", "words"),
    [
        (1.4, 0.01, "pass", "by 1.4 times the largest change seen before it"),
        (np.inf, 0.01, "pass", "by more than ten times"),
        (0.4, 0.01, "fail", "by 0.4 times"),
        (0.0, 0.01, "fail", "even with trends taken as parallel"),
        (0.0, 0.60, "info", "none can break down"),
    ],
)
def test_sentence_of_the_breakdown(multiple: float, level: float, status: str, words: str) -> None:
    made = checks.breakdown(multiple, -2.5, "per 100", level=level)
    assert (made.id, made.status) == ("breakdown", status)
    assert words in made.sentence
    assert made.sentence.endswith("would miss a steady drift of 2.5 per 100 a year half the time.")
    with pytest.raises(SosError, match="no breakdown value"):
        checks.breakdown(-1.0, 1.0, "per 100", level=0.5)


def test_every_combination_of_statuses_is_known() -> None:
    for p, main in itertools.product((0.01, 0.2), repeat=2):
        made = checks.specification_curve(5, 5, 0, p, main, value=1.0)
        assert (made.status == "pass") == ((p < 0.05) == (main < 0.05))
