"""Effects that differ between pilots, and comparators that are partly treated.

Rates come from worlds drawn on one kind of design (`simulated_worlds`): a true null is rejected
about 5 times in 100, a planted difference is found, planted contamination does what is predicted.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from simulated_designs import panel
from simulated_worlds import World, world

from sos_analysis.estimation.exposure import exposure_model
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.heterogeneity import (
    TreatedEffects,
    group_effects,
    label_inversion,
    moderation,
    slope,
    slot_interaction,
    treated_effects,
)
from sos_analysis.estimation.multiplicity import holm
from sos_analysis.estimation.permutation import slot_design, slot_permutation

TAU = -0.08  # the planted kinship effect of the worked example, in proportions


def _effects(w: World, pilots: np.ndarray) -> np.ndarray:
    return np.r_[pilots, np.zeros(len(w.las) - len(pilots))]


def _dummies(*codes: pd.Series) -> np.ndarray:
    return np.hstack([pd.get_dummies(c, dtype=float).to_numpy() for c in codes])


def _explicit(frame: pd.DataFrame, *columns: np.ndarray) -> np.ndarray:
    """Coefficients on columns in weighted least squares with all dummies written out."""
    fixed = _dummies(
        frame["group"].astype(str) + frame["la"].astype(str),
        frame["group"].astype(str) + frame["event_time"].astype(str),
    )
    y = (frame["y_sum"] / frame["n"]).to_numpy(float)
    x = np.hstack([np.stack(columns, axis=1), fixed])
    fitted = sm.WLS(y, x, weights=(frame["n"] * frame["weight"]).to_numpy(float)).fit(method="pinv")
    return np.asarray(fitted.params[: len(columns)])


def test_one_set_of_effects_gives_every_regression() -> None:
    """Own effects, group effects, slopes and the exposure model against dummies written out."""
    rng = np.random.default_rng(1)
    w = world(1)
    score = rng.uniform(0, 1, 9)
    frame, series = w.draw(rng, _effects(w, TAU * score))
    found = treated_effects(frame)
    d = (frame["treated"] * frame["post"]).to_numpy(float)
    own = [d * (frame["la"] == la) for la in found.las]
    # Rounding of two exact computations.
    assert found.effect == pytest.approx(_explicit(frame, *own), abs=1e-9)
    pooled = found.information @ np.ones(9)
    assert pooled @ found.effect / pooled.sum() == pytest.approx(_explicit(frame, d)[0], abs=1e-9)

    z = dict(zip(w.las, score, strict=False))
    by_row = frame["la"].map(z).fillna(0).to_numpy(float)
    made = moderation(found, z, series=series, draws=99, seed=1)
    assert made.estimate == pytest.approx(_explicit(frame, d * by_row, d)[0], abs=1e-9)
    assert made.labels.estimate == pytest.approx(made.estimate, abs=1e-9)
    without = frame[frame["group"] != "P3"]
    mine = by_row[frame["group"] != "P3"]
    d_left = (without["treated"] * without["post"]).to_numpy(float)
    left = slope(found, z, without=(w.las[3],))
    assert left == pytest.approx(_explicit(without, d_left * mine, d_left)[0], abs=1e-9)
    assert made.slots is not None
    # On cells without covariates, slots hold all there is.
    assert made.slots.estimate == pytest.approx(made.estimate, abs=1e-9)

    labels = {la: "high" if s > np.median(score) else "low" for la, s in z.items()}
    high, low = group_effects(found, labels, series=series, draws=99, seed=1)
    is_high = frame["la"].map(labels).eq("high").to_numpy(float)
    both = _explicit(frame, d * is_high, d * (1 - is_high))
    assert (high.att, low.att) == pytest.approx(tuple(both), abs=1e-9)
    alone = frame[frame["group"].isin([f"P{p}" for p in range(9) if labels[w.las[p]] == "high"])]
    again = slot_permutation(cell_table(alone), series, draws=99, seed=1)
    assert high.test == again

    share = dict(zip(w.las[9:], itertools.cycle((0.0, 0.5, 1.0)), strict=False))
    used = frame["la"].map(share).fillna(0).to_numpy(float) * (1 - frame["treated"]) * frame["post"]
    (usual, full), use = exposure_model(frame, share, strengths=(0.0, 1.0), seed=1)
    assert usual.att == pytest.approx(_explicit(frame, d)[0], abs=1e-9)
    assert full.att == pytest.approx(_explicit(frame, d + used)[0], abs=1e-9)
    assert use.estimate == pytest.approx(_explicit(frame, d, used)[1], abs=1e-9)
    of_exposure = frame.assign(y_sum=frame["n"] * (d + used))
    assert full.kept == pytest.approx(_explicit(of_exposure, d)[0], abs=1e-9)


def test_label_permutation_twin_by_refitting_every_arrangement() -> None:
    rng = np.random.default_rng(2)
    w = world(2)
    frame, _ = w.draw(rng, _effects(w, rng.normal(TAU, 0.03, 9)))
    found = treated_effects(frame)
    z = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0])
    inversion, smallest = label_inversion(found, z, draws=999, seed=1)
    assert smallest == pytest.approx(1 / 126)  # 9 choose 4, and no mirror image

    root = np.linalg.cholesky(found.information).T

    def t(dealt: np.ndarray, null: float) -> float:
        """Generalised least squares by a transformed regression, and the sum of (r e)^2."""
        x = np.stack([np.ones(9), dealt], axis=1)
        y = found.effect - null * z
        fitted = sm.OLS(root @ y, root @ x).fit()
        rows = np.linalg.pinv(root @ x) @ root
        spread = np.sqrt(np.sum((rows[1] * (y - x @ fitted.params)) ** 2))
        return float(fitted.params[1] / spread)

    for null in (0.0, 0.02):
        drawn = []
        for chosen in itertools.combinations(range(9), 4):
            dealt = np.zeros(9)
            dealt[list(chosen)] = 1
            drawn.append(abs(t(dealt, null)))
        seen = abs(t(z, null))
        # 1e-9: ties differ by rounding alone.
        expected = np.mean(np.array(drawn) >= seen * (1 - 1e-9))
        assert inversion.p(null) == pytest.approx(float(expected))
    low, high = inversion.interval()
    assert inversion.p(low + 1e-9) > 0.05 >= inversion.p(low - 1e-9)
    assert inversion.p(high - 1e-9) > 0.05 >= inversion.p(high + 1e-9)


@pytest.mark.parametrize(
    ("z", "draws", "smallest"),
    [
        ([1, 1, 1, 1, 0, 0, 0, 0], 999, 2 / 70),  # names exchanged give the same difference
        ([1, 1, 1, 0, 0, 0, 0, 0], 999, 1 / 56),
        ([1, 2, 3, 4.5], 999, 1 / 24),  # all 24 orders, only itself alike
        ([1, 2, 3, 4], 999, 2 / 24),  # reversed, an even spacing gives the same |t|
        (np.arange(9.0) ** 2, 999, 1 / 1000),  # 9! orders: sampled
    ],
)
def test_smallest_attainable_p(z: list[float], draws: int, smallest: float) -> None:
    m = len(z)
    rng = np.random.default_rng(3)
    made = TreatedEffects(
        cell_table(panel(rng, clusters=4, treated=2)),
        tuple(map(str, range(m))),
        rng.normal(size=m),
        np.eye(m),
        None,  # type: ignore[arg-type]
    )
    inversion, found = label_inversion(made, np.array(z, dtype=float), draws=draws, seed=1)
    assert found == pytest.approx(smallest)
    # Effects in line with z are as extreme as can be: the smallest p is attained.
    line = replace(made, effect=np.array(z, dtype=float) + 1e-6 * rng.normal(size=m))
    best, _ = label_inversion(line, np.array(z, dtype=float), draws=draws, seed=1)
    assert best.p(0.0) == pytest.approx(smallest)
    assert inversion.p(0.0) >= smallest


def _placed(y: np.ndarray, swing: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Series of `order` in the roles, at the swing usual there."""
    usual = y.mean(axis=0)
    return usual + (swing / swing[order])[:, None] * (y[order] - usual)


def test_slot_interaction_twin_by_refitting_every_permutation() -> None:
    """All 120 ways to place five series, each refitted with dummies and clustered errors."""
    rng = np.random.default_rng(4)
    w = world(4, pilots=3, pool=2, years=9)
    frame, series = w.draw(rng, _effects(w, np.array([-0.1, -0.05, 0.0])))
    z = dict(zip(w.las, (0.2, 0.9, 0.5), strict=False))
    design = slot_design(cell_table(frame), series)
    inversion = slot_interaction(design, z, draws=999, seed=1)
    assert not inversion.sampled
    values = np.array([z.get(la, 0.0) for la in design.las])
    own = design.treated * design.post
    fixed = _dummies(pd.Series(design.slot), pd.Series(design.group_period))
    x = np.hstack([np.stack([own * values[design.role], own], axis=1), fixed])
    root = np.sqrt(design.weight)
    pinv = np.linalg.pinv(x * root[:, None]) * root

    def t(y: np.ndarray) -> float:
        beta = pinv @ y
        score = pinv[0] * (y - x @ beta)
        return float(beta[0] / np.sqrt(np.sum(np.bincount(design.role, score) ** 2)))

    for null in (0.0, 0.06):
        dosed = design.y - null * values[:, None] * design.exposure
        base = np.hstack([own[:, None], fixed])
        level = np.linalg.pinv(base * root[:, None]) * root
        tau, unit = (
            float(level[0] @ part[design.role, design.window]) for part in (dosed, design.exposure)
        )
        free = dosed - tau / unit * design.exposure
        seen = abs(t(free[design.role, design.window]))
        drawn = [
            abs(t(_placed(free, design.swing, np.array(order))[design.role, design.window]))
            for order in itertools.permutations(range(5))
        ]
        expected = np.mean(np.array(drawn) >= seen * (1 - 1e-8))
        assert inversion.p(null) == pytest.approx(float(expected))


def test_one_effect_for_all_leaves_the_tests_of_differences_alone() -> None:
    """Adding the same effect to every pilot changes no test; a planted slope moves the interval."""
    w, rng = world(5), np.random.default_rng(5)
    score = rng.uniform(0, 1, 9)
    z = dict(zip(w.las, score, strict=False))
    made = []
    for effect in (np.zeros(9), np.full(9, TAU), TAU + 0.1 * score):
        frame, series = w.draw(np.random.default_rng(6), _effects(w, effect))
        made.append(moderation(treated_effects(frame), z, series=series, draws=499, seed=1))
    none, same, sloped = made
    assert none.slots is not None
    assert same.slots is not None
    assert sloped.slots is not None
    for a, b, c in (
        (none.labels, same.labels, sloped.labels),
        (none.slots, same.slots, sloped.slots),
    ):
        assert a.p == b.p
        assert a.ci == pytest.approx(b.ci, abs=1e-8)
        assert c.ci == pytest.approx((a.ci[0] + 0.1, a.ci[1] + 0.1), abs=1e-8)


def _rate(
    reps: int, gap: float, *, spread: float = 0.0, dose: bool = False, slots: bool = False
) -> float:
    """Share of worlds in which a difference between pilots is found at 5 %."""
    found = 0
    for r in range(reps):
        rng, w = np.random.default_rng([7, r]), world(r)
        z = rng.uniform(0, 1, 9) if dose else rng.permutation([1.0] * 4 + [0.0] * 5)
        effect = TAU + gap * (z - z.mean()) + spread * rng.normal(size=9)
        frame, series = w.draw(rng, _effects(w, effect))
        named = dict(zip(w.las, z, strict=False))
        if slots:
            design = slot_design(cell_table(frame), series)
            p = slot_interaction(design, named, draws=199, seed=r).p(0.0)
        else:
            made = treated_effects(frame)
            values = np.array([named[la] for la in made.las])
            p = label_inversion(made, values, draws=299, seed=r)[0].p(0.0)
        found += p <= 0.05
    return found / reps


@pytest.mark.parametrize(
    ("gap", "spread", "dose", "low", "high"),
    [
        # Bands: nominal 5 % with three Monte Carlo errors of 200 runs (1.5 points each).
        (0.0, 0.0, False, 0.005, 0.096),
        # Effects that differ for other reasons are no difference by group.
        (0.0, 0.03, False, 0.005, 0.096),
        (0.0, 0.0, True, 0.005, 0.096),
        # Found 98 and 85 times in 100 over 300 other worlds; three Monte Carlo errors below.
        (0.10, 0.0, False, 0.93, 1.0),
        (0.15, 0.0, True, 0.77, 0.94),
    ],
)
def test_differences_are_found_where_planted_and_not_elsewhere(
    gap: float, spread: float, dose: bool, low: float, high: float
) -> None:
    assert low <= _rate(200, gap, spread=spread, dose=dose) <= high


@pytest.mark.full
@pytest.mark.parametrize(
    ("gap", "spread", "low", "high"),
    [
        (0.0, 0.0, 0.018, 0.082),  # 5 % with three Monte Carlo errors of 400 runs
        (0.10, 0.0, 0.95, 1.0),
        # Why it comes second: its null is one effect for all, and it rejects others too.
        (0.0, 0.06, 0.07, 0.40),
    ],
)
def test_slot_permutation_of_the_interaction_rates(
    gap: float, spread: float, low: float, high: float
) -> None:
    assert low <= _rate(400, gap, spread=spread, slots=True) <= high


def _use(w: World, rng: np.random.Generator) -> dict[str, float]:
    """Shares of comparators: none, partial, same."""
    dealt = rng.permutation([0.0] * 6 + [0.5] * 5 + [1.0] * 3)
    return dict(zip(w.las[9:], dealt, strict=True))


def test_contamination_biases_as_predicted_and_the_exposure_model_removes_it() -> None:
    """Same chance with and without: differences are exact, whatever the noise."""
    w = world(8)
    share = _use(w, np.random.default_rng(8))
    use = np.array([share.get(la, 0.0) for la in w.las])
    for since in (None, 2007):
        clean, touched = (
            exposure_model(
                w.draw(np.random.default_rng(9), np.full(len(w.las), tau), use=use, since=since)[0],
                share,
                strengths=(0.0, 1.0),
                counts_from_year=since,
                seed=1,
            )
            for tau in (0.0, TAU)
        )
        (usual, full), own = touched
        (no_usual, no_full), no_own = clean
        # Rounding of two exact computations.
        assert usual.att - no_usual.att == pytest.approx(full.kept * TAU, abs=1e-10)
        assert full.att - no_full.att == pytest.approx(TAU, abs=1e-10)
        assert own.estimate - no_own.estimate == pytest.approx(TAU, abs=1e-10)
        assert 0.3 < full.kept < 0.9
        assert abs(full.kept * TAU) < abs(TAU), "magnitudes grow once use is counted"


def test_exposure_model_over_worlds() -> None:
    """Bias and coverage over 100 worlds on one design.

    Coverage is size too: tests at a planted effect and at none differ by an exact shift.
    """
    w, reps = world(10), 100
    share = _use(w, np.random.default_rng(10))
    use = np.array([share.get(la, 0.0) for la in w.las])
    rows = []
    for r in range(reps):
        rng = np.random.default_rng([11, r])
        frame, series = w.draw(rng, np.full(len(w.las), TAU), use=use)
        (full,), own = exposure_model(frame, share, series=series, draws=199, seed=r)
        usual = _usual(frame)
        assert full.test is not None
        rows.append(
            (
                usual - full.kept * TAU,
                full.att - TAU,
                full.test.p <= 0.05,
                full.test.ci[0] <= TAU <= full.test.ci[1],
                own.ci[0] <= TAU <= own.ci[1],
            )
        )
    made = np.array(rows, dtype=float)
    for error in made[:, :2].T:
        # 3.5 Monte Carlo errors: beyond them 1 time in 2,000.
        assert abs(error.mean()) < 3.5 * error.std() / np.sqrt(reps)
    found, covers, own_covers = made[:, 2:].mean(axis=0)
    # 95 % less three Monte Carlo errors of 100 runs (2.2 points each).
    assert covers >= 0.885
    assert own_covers >= 0.885
    assert found >= 0.8


def _usual(frame: pd.DataFrame) -> float:
    """The usual estimate, which knows nothing of use."""
    (usual,), _ = exposure_model(frame, {}, strengths=(0.0,), seed=1)
    return usual.att


def test_a_panel_without_matched_groups_has_the_same_doors() -> None:
    """Public figures: one group and no series; inside a group of pilots dates are permuted."""
    rng = np.random.default_rng(12)
    frame = panel(rng, clusters=40, treated=9)
    named = {f"{i:03d}": float(i % 2) for i in range(9)}
    frame["y_sum"] += 4 * frame["la"].map(named).fillna(0) * frame["treated"] * frame["post"]
    found = treated_effects(frame)
    # With shared control clusters the information is not diagonal.
    assert abs(found.information[0, 1]) > 0
    gap = moderation(found, named, draws=999, seed=1)
    assert gap.slots is None
    assert gap.labels.p <= 0.05
    assert gap.labels.ci[0] < 4 < gap.labels.ci[1]
    labels = {la: "odd" if v else "even" for la, v in named.items()}
    even, odd = group_effects(found, labels, draws=499, seed=1)
    assert (even.treated, even.clusters, odd.treated, odd.clusters) == (5, 36, 4, 35)
    assert odd.att - even.att == pytest.approx(gap.estimate, abs=1e-9)
    assert odd.test.name == "RI-t"
    assert odd.test.p <= 0.05 < even.test.p


def test_what_cannot_be_estimated_is_one_clear_error() -> None:
    w, rng = world(13), np.random.default_rng(13)
    frame, _ = w.draw(rng, _effects(w, np.full(9, TAU)))
    found = treated_effects(frame)
    known = dict.fromkeys(w.pilots, 1.0)
    for given, message in (
        ({}, "no value of the modifier for the treated cluster(s) 000, 001"),
        (known, "the same for all"),
        (known | {"000": float("nan")}, "missing for a treated cluster"),
    ):
        with pytest.raises(FrameError, match=re.escape(message)):
            moderation(found, given, draws=99, seed=1)
    with pytest.raises(FrameError, match=r"no group has 3 or more treated clusters"):
        group_effects(found, {la: la for la in w.pilots}, draws=99, seed=1)
    with pytest.raises(FrameError, match=r"exposure of 012 is 1\.5; it must lie between 0 and 1"):
        exposure_model(frame, {"012": 1.5}, seed=1)
    with pytest.raises(FrameError, match=r"exposed alike in every group.*leave some out"):
        exposure_model(frame, dict.fromkeys(w.las[9:], 1.0), seed=1)
    # All comparators alike and partly exposed: the effect is known, their own coefficient is not.
    (usual, full), use = exposure_model(
        frame, dict.fromkeys(w.las[9:], 0.5), strengths=(0.0, 1.0), seed=1
    )
    assert full.att == pytest.approx(2 * usual.att, abs=1e-9)
    assert full.kept == pytest.approx(0.5, abs=1e-9)
    assert np.isnan(use.estimate)


def test_holm_is_the_step_down_rule() -> None:
    # By hand: 0.01 x 3, then the larger of that and 0.02 x 2, then 0.04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx((0.04, 0.03, 0.04))
    one, two = holm([float("nan"), 0.03])
    assert np.isnan(one)
    assert two == pytest.approx(0.03)
