"""Monte Carlo: twins of the estimators it stands for, moments of what it draws, what it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sos_analysis import validation
from sos_analysis.estimation import did
from sos_analysis.estimation import inference as inf
from sos_analysis.estimation.assignment import ri_inversion
from sos_analysis.estimation.exposure import exposure_model
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.heterogeneity import treated_effects
from sos_analysis.estimation.permutation import slot_design, slot_inversion
from sos_analysis.simulation import worlds
from sos_analysis.simulation.as_rows import FIRST_YEAR, Rows
from sos_analysis.simulation.batch import LeadTests, PanelTests, Regression, SlotTests
from sos_analysis.simulation.by_dates import ESTIMATORS, ByDates, panel_of
from sos_analysis.simulation.differences import DIFFERENCES, cases, rates, used
from sos_analysis.simulation.montecarlo import Setting, monte_carlo, share_error
from sos_analysis.simulation.ratings import rate
from sos_analysis.simulation.regimes import Regime, draw

REGIME = Regime(level=0.25, shock_sd=0.04, rho=0.65, effect=-0.03)


@pytest.mark.parametrize("seed", [3, 4])
def test_batches_agree_with_the_estimators_they_stand_for(seed: int) -> None:
    world = worlds.made_up(np.random.default_rng(seed), units=20, mean_size=200.0)
    made = draw(world, REGIME, np.random.default_rng(seed))
    y, truth = made.y_sum[None], np.array([made.truth])
    rows = Rows(world)
    frame, series = rows.frame(made.y_sum), rows.series(made.y_sum)
    table = cell_table(frame)
    m = int(world.treated.sum())

    for linear, grams in (
        (worlds.preferred(world), did.preferred_grams(table)),
        (worlds.original(world), did.original_grams(table)),
    ):
        regression = Regression(linear)
        xy = regression.cross_products(y)
        tests = regression.t_tests(xy, truth)
        beta = inf.fit(grams).beta[0]
        g = len(grams.clusters)
        # Two exact computations: 1e-8 relative.
        assert tests.estimate[0] == pytest.approx(beta, rel=1e-8)
        for name, variance, df in (
            ("CRV1", inf.crv1(grams), g - 1),
            ("CRV3", inf.crv3(grams), m - 1),
        ):
            for found, null in ((tests.p_zero, 0.0), (tests.p_true, made.truth)):
                p, _ = inf.t_test(beta, float(np.sqrt(variance[0, 0])), df, null=null)
                assert found[name][0] == pytest.approx(p, rel=1e-6)
        # The same seed gives the same signs, so p is the same count of the same draws.
        boot = regression.wcr(xy, truth, 199, [11])
        inversion = inf.wcr_inversion(grams, draws=199, seed=11)
        assert boot.p_zero["WCR-31"][0] == inversion.p(0.0)
        assert boot.p_true["WCR-31"][0] == inversion.p(made.truth)

    permuted = SlotTests(world).run(y, truth, 199, [11])
    design = slot_design(table, series)
    for name, kind in (("slots", "crv3"), ("slots, plain", "none")):
        inversion = slot_inversion(design, draws=199, seed=11, studentise=kind)
        assert permuted.p_zero[name][0] == inversion.p(0.0)
        assert permuted.p_true[name][0] == inversion.p(made.truth)
    from sos_analysis.estimation.event_study import event_study

    study = event_study(frame, (), series=series, draws=199, seed=11)
    # As there, series lose the estimated effect where they had their own treatment by then.
    machine = SlotTests(world)
    clean = machine.means(y)[0] - permuted.estimate[0] * machine.design.exposure
    assert LeadTests(world).p(clean, 199, 11) == pytest.approx(study.p_slots, abs=1e-12)


@pytest.mark.parametrize("seed", [3, 4])
def test_differences_and_exposure_agree_with_the_estimators_they_stand_for(seed: int) -> None:
    world = worlds.made_up(np.random.default_rng(seed), units=20, mean_size=200.0)
    by_unit = np.where(world.treated == 1, 0.0, np.arange(len(world.units)) % 3 / 2)
    since = 6
    taken = by_unit[:, None] * (world.year >= since)
    y_sum = draw(world, REGIME, np.random.default_rng(seed), taken=taken).y_sum
    rows = Rows(world)
    frame = rows.frame(y_sum)
    own = treated_effects(frame)
    assert own.las == tuple(np.array(world.units)[world.treated == 1])
    assert worlds.own_effects(world)(y_sum) == pytest.approx(own.effect, abs=1e-9)

    (full,), _ = exposure_model(
        frame,
        dict(zip(world.units, by_unit, strict=True)),
        series=rows.series(y_sum),
        counts_from_year=FIRST_YEAR + since,
        draws=199,
        seed=11,
    )
    tests = SlotTests(world, used(world, by_unit, (world.year >= since).astype(float)))
    inversion = tests.inversion(tests.means(y_sum[None])[0], 199, 11)
    assert full.test is not None
    assert inversion.estimate == pytest.approx(full.att, abs=1e-9)
    assert inversion.p(0.0) == full.test.p

    panel = worlds.made_up(np.random.default_rng(seed), units=14, pilots=5, matched=False)
    made = draw(panel, REGIME, np.random.default_rng(seed))
    found = PanelTests(panel).run(made.y_sum[None], np.array([made.truth]), 199, [11])
    table = cell_table(Rows(panel).frame(made.y_sum))
    for name, studentised in (("RI-t", True), ("RI-t, plain", False)):
        inversion, _ = ri_inversion(table, draws=199, seed=11, studentised=studentised)
        assert found.estimate[0] == pytest.approx(inversion.estimate, rel=1e-8)
        assert found.p_zero[name][0] == inversion.p(0.0)
        assert found.p_true[name][0] == inversion.p(made.truth)


def test_differences_are_found_where_planted_and_the_exposure_model_removes_the_bias() -> None:
    """The rates of the methods chapter, on its design with many cases and small swings."""
    regime = Regime(0.44, 0.04, 0.7, between=0.1, effect=-0.08)
    world = worlds.made_up(np.random.default_rng(5), units=22)
    made = [c for c in cases(world, regime, 20190331) if c.name.endswith("calm")]
    runs, few = 250, 50
    found = {
        (t.setting, t.test): t for t in rates(made, runs=runs, taken_up=few, draws=199, seed=1)
    }
    labels = {name: found[f"{name}_calm", "labels"] for name in DIFFERENCES}
    # Three Monte Carlo errors round a nominal 5 %.
    band = 3 * share_error(0.05, runs)
    for name in ("rating_none", "rating_other", "dose_none"):
        assert abs(labels[name].rejected - 0.05) < band, name
    for name in ("rating_planted", "dose_planted"):
        assert labels[name].rejected > 0.6, name
        assert abs(labels[name].bias) < 4 * labels[name].bias_error, name
    usual, predicted, model = (
        found["taken_up_calm", test] for test in ("usual", "as predicted", "exposure model")
    )
    assert usual.bias > 4 * usual.bias_error, "estimates shrink towards zero"
    for tally in (predicted, model):
        assert abs(tally.bias) < 4 * tally.bias_error, tally
        assert tally.covered > 0.95 - 3 * share_error(0.95, few), tally


def test_two_way_effects_and_staggered_estimators_are_the_packages_own() -> None:
    world = worlds.made_up(np.random.default_rng(8), units=14, pilots=5)
    y = draw(world, REGIME, np.random.default_rng(8)).y_sum
    regression = Regression(worlds.two_way(world))
    unit, year = np.nonzero((world.exposure == 0) | (world.exposure == 1))
    n = world.n[unit, year]
    d = (world.exposure[unit, year] == 1).astype(float)
    x = np.column_stack([d, np.eye(len(world.units))[unit], np.eye(world.n.shape[1])[year]])
    root = np.sqrt(n)[:, None]
    beta = np.linalg.lstsq(x * root, y[unit, year] / n * root[:, 0], rcond=1e-10)[0][0]
    found = regression.t_tests(regression.cross_products(y[None]), np.zeros(1))
    assert found.estimate[0] == pytest.approx(beta, rel=1e-9)
    panel = panel_of(world)
    means = (panel.maps * y[panel.unit]).sum(axis=1)
    for name, estimator in ESTIMATORS.items():
        estimate, influence = estimator(panel, means)
        fast, se = ByDates(world, name).run(y[None])
        assert fast[0] == pytest.approx(estimate, rel=1e-8)
        assert se[0] == pytest.approx(float(np.sqrt(np.square(influence).sum())), rel=1e-8)


def test_draws_have_the_moments_they_claim() -> None:
    world = worlds.made_up(
        np.random.default_rng(1), units=150, matched=False, mean_size=5e6, years=9
    )
    regime = Regime(level=0.4, shock_sd=0.03, rho=0.7, between=0.0)
    rates = draw(world, regime, np.random.default_rng(2)).y_sum / world.n
    rates = rates - rates.mean(axis=0)
    # 150 units of nine correlated years: the standard deviation is known to about 4 %.
    assert rates.std() == pytest.approx(0.03, rel=0.12)
    assert np.corrcoef(rates[:, :-1].ravel(), rates[:, 1:].ravel())[0, 1] == pytest.approx(
        0.7, abs=0.07
    )
    swing = validation.stationary(0.03, 0.7)
    rng, shocks = np.random.default_rng(3), np.empty((20_000, 6))
    shocks[:, 0] = rng.standard_normal(20_000)
    for t in range(1, 6):
        shocks[:, t] = 0.7 * shocks[:, t - 1] + np.sqrt(0.51) * rng.standard_normal(20_000)
    within = np.sqrt((swing * shocks).var(axis=1, ddof=1).mean())
    assert within == pytest.approx(0.03, rel=0.01)  # 20,000 units
    assert validation.stationary(0.03, 0.0) == pytest.approx(0.03)
    grown = draw(world, Regime(0.4, 0.0, 0.0, effect=-0.02, growth=-0.01), np.random.default_rng(2))
    after = (world.exposure == 1) & (world.treated[:, None] == 1)
    by_hand = np.average(-0.02 - 0.01 * world.since[after], weights=world.n[after])
    assert grown.truth == pytest.approx(by_hand)


def test_what_is_planted_is_found_and_usual_errors_are_too_small() -> None:
    world = worlds.made_up(np.random.default_rng(5), units=22)
    runs = 300
    result = monte_carlo(
        [Setting("planted", world, REGIME, 1), Setting("null", world, Regime(0.25, 0.04, 0.65), 2)],
        runs=runs,
        draws=199,
        seed=1,
    )
    for tally in result.tallies:
        # Four Monte Carlo errors: ten comparisons, none should fail by chance.
        assert abs(tally.bias) < 4 * tally.bias_error, tally
    slots, usual = (result.of("null", "preferred", t) for t in ("slots", "CRV1"))
    assert abs(slots.rejected - 0.05) < 4 * share_error(0.05, runs)
    assert slots.covered == 1 - slots.rejected  # the truth is zero there
    assert usual.rejected > 0.10
    assert result.of("planted", "preferred", "slots").rejected > 0.2
    with pytest.raises(FrameError, match="no Monte Carlo result"):
        result.of("null", "preferred", "magic")
    with pytest.raises(FrameError, match="at least 2"):
        monte_carlo([], runs=1, seed=1)


SCRIPT = """
import numpy as np
from sos_analysis.simulation import worlds
from sos_analysis.simulation.differences import DIFFERENCES, cases, rates, used
from sos_analysis.simulation.montecarlo import Setting, monte_carlo
from sos_analysis.simulation.regimes import Regime
world = worlds.made_up(np.random.default_rng(5), units=16, pilots=6)
setting = Setting("a", world, Regime(0.25, 0.04, 0.65), 1)
print(monte_carlo([setting], runs=120, draws=99, seed=4, jobs={jobs}).to_list())
"""


def test_same_numbers_whatever_the_number_of_processes_or_the_hash_seed() -> None:
    outputs = []
    for jobs in (1, 2):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(jobs),
            "OMP_NUM_THREADS": str(jobs),
            "OPENBLAS_NUM_THREADS": str(jobs),
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(jobs=jobs)],
            env=environment,
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(done.stdout)
    assert "WCR-31" in outputs[0]
    assert outputs[0] == outputs[1]


def test_worse_data_get_worse_ratings() -> None:
    world = worlds.made_up(np.random.default_rng(6), units=22, mean_size=800.0)
    base = Setting("planted", world, Regime(0.45, 0.02, 0.65, effect=-0.08), 2)
    steps = {s.name: s for s in validation.ladder([base])}
    options = {"runs": 30, "draws": 99, "seed": 1, "mid": 0.05}
    good = {name: rate(steps[name], **options).certainty["moderate"] for name in steps}
    assert good["clean"] > 0.8
    # Faults that a check always sees.
    assert max(good[k] for k in ("few_pilots", "incomplete", "recoded", "together")) < 0.1
    # Faults that show in some data sets: a planted trend, comparators that take it up, swings.
    assert max(good[k] for k in ("diverging", "contaminated_too", "swings")) < good["clean"]
    assert rate(steps["together"], **options).certainty["very low"] > 0.9
    # A drift as large as the effect: the verdict is wrong more often, and only at times seen.
    assert rate(steps["diverging"], **options).wrong > rate(steps["clean"], **options).wrong


def test_released_results_are_read_only_where_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_study
) -> None:
    world = worlds.made_up(np.random.default_rng(6), units=16, pilots=7, years=8)
    plain = Regime(0.3, 0.03, 0.6)
    made = tuple(Setting(name, world, plain, 1) for name in validation.KINDS)
    monkeypatch.setattr(validation, "settings", lambda study, extract: made)
    monkeypatch.setattr(
        validation, "SIZE_DESIGNS", {"Panel": ({"units": 12, "matched": False}, "WCR-31")}
    )
    monkeypatch.setattr(validation, "SIZE_RUNS", 80)
    monkeypatch.setattr(validation, "SHORT", 20)
    path = tmp_path / "released.json"
    validation.release(small_study, path=path, runs=20, rated=4)
    kept = validation.released(path)
    assert kept is not None
    assert kept.of("null", "callaway", "own").runs == 20
    assert kept.differing("taken_up_own", "exposure model").runs == 20
    assert set(json.loads(path.read_text("utf-8"))["hashes"]) == {"settings", "code"}
    monkeypatch.setattr(validation, "RELEASED", path)
    monkeypatch.setattr(validation.released, "__defaults__", (path,))
    assert validation.found_or_run(small_study, "", 0, 0, 0).source == "released"
    assert validation.found_or_run(small_study, "", 20, 0, 0).source == "computed"
    other = tuple(Setting(s.name, s.world, Regime(0.31, 0.03, 0.6), 1) for s in made)
    monkeypatch.setattr(validation, "settings", lambda study, extract: other)
    assert validation.found_or_run(small_study, "", 0, 0, 0).source == "computed"
    path.write_text("{}", encoding="utf-8")
    assert validation.released(path) is None


@pytest.mark.full
def test_first_methods_hold_their_size_with_9_of_27_40_and_150() -> None:
    found = validation.size_table(7, 399, 4000)
    for label, (_, primary) in validation.SIZE_DESIGNS.items():
        share = next(t.rejected for t in found if (t.setting, t.test) == (label, primary))
        # The band we declare, and two Monte Carlo errors of 0.35 points.
        assert 0.035 - 0.007 < share < 0.065 + 0.007, label
    usual = [t.rejected for t in found if t.test == "CRV1"]
    assert min(usual) > 0.065  # which is why they are not first
