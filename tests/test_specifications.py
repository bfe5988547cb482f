"""The specification curve: its universe, its variants and its joint test, against refits."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from sos_analysis import workspace
from sos_analysis.cells import Cells
from sos_analysis.chapters import kept_curve
from sos_analysis.comparison import matched
from sos_analysis.comparison.variants import EMBEDDING, Layout, layout, merged, variant
from sos_analysis.errors import RecordsError, StudyError
from sos_analysis.estimation.frames import FrameError
from sos_analysis.estimation.permutation import fill
from sos_analysis.estimation.specifications import (
    Curve,
    Specification,
    curve,
    effect_maps,
    fill_places,
    statistics,
)
from sos_analysis.study import Study
from sos_analysis.study.universe import CHOICES, UNIVERSE, load_universe

# Two exact computations of one number.
EXACT = 1e-8


# --- the universe -----------------------------------------------------------------------------


def test_the_universe_is_the_full_cross_and_holds_what_was_named() -> None:
    universe = load_universe()
    ways = universe.ways()
    assert len(ways) == len(set(ways)) == np.prod([len(a) for a in universe.answers.values()])
    assert len(ways) >= 300
    assert set(universe.named.values()) <= set(ways)
    assert universe.named["original"]["effects"] == "none"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'effects = ["none", "authority", "group"]',
            'effects = ["authorty"]',
            "Did you mean 'authority'",
        ),
        ('period = ["all", "recent"]', "period = []", "period: found an empty list"),
        ("draws = 999", "draws = 10", r"curve\.draws: found 10"),
        ("[named.preferred]", "[named.prefered]", "Did you mean 'preferred'"),
        ('["original", "strict"]', '["strict"]', r"named\.original\.definition.*'original'"),
        ("fewest_groups = 5", "fewest = 5", "unknown key"),
    ],
)
def test_a_wrong_universe_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = UNIVERSE.read_text("utf-8")
    assert old in text
    path = tmp_path / "curve.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_universe(path)


# --- one specification ------------------------------------------------------------------------


def _rows(rng: np.random.Generator, roles: int = 6) -> SimpleNamespace:
    """Three groups of a pilot and one or two comparators, one comparator in two of them."""
    slots = [(0, 0, 1), (0, 3, 0), (0, 4, 0), (1, 1, 1), (1, 4, 0), (2, 2, 1), (2, 5, 0)]
    rows = []
    for slot, (group, role, treated) in enumerate(slots):
        for time in range(6):
            adopted = 2 + group
            rows.append((role, group * 6 + time, slot, group * 6 + time, 2010 + time + group % 2,
                         treated, int(time >= adopted)))  # fmt: skip
    columns = np.array(rows).T
    assert roles == columns[0].max() + 1
    return SimpleNamespace(
        role=columns[0], place=columns[1], slot=columns[2], block=columns[3], year=columns[4],
        treated=columns[5].astype(float), post=columns[6].astype(float),
        weight=rng.uniform(0.5, 3.0, len(rows)),
    )  # fmt: skip


def _refit(
    rows: SimpleNamespace, y: np.ndarray, effects: str, extra: np.ndarray | None
) -> tuple[float, float]:
    """The same regression with dummies, by statsmodels; CRV1 without a factor."""

    def dummies(codes: np.ndarray) -> np.ndarray:
        return (codes[:, None] == np.unique(codes)[None, :]).astype(float)

    fixed = {
        "none": [rows.treated[:, None], rows.post[:, None], dummies(rows.year)],
        "cluster": [dummies(rows.role), rows.post[:, None], dummies(rows.year)],
        "slot": [dummies(rows.slot), dummies(rows.block)],
    }[effects]
    x = np.hstack(
        [(rows.treated * rows.post)[:, None], *fixed, *([] if extra is None else [extra])]
    )
    kept = [0]
    for j in range(1, x.shape[1]):  # of collinear columns the first stays
        if np.linalg.matrix_rank(x[:, [*kept, j]]) == len(kept) + 1:
            kept.append(j)
    found = sm.WLS(y, x[:, kept], weights=rows.weight).fit(
        cov_type="cluster", cov_kwds={"groups": rows.role, "use_correction": False}
    )
    return float(found.params[0]), float(found.bse[0])


@pytest.mark.parametrize("effects", ["none", "cluster", "slot"])
@pytest.mark.parametrize("with_extra", [False, True])
def test_every_permutation_equals_a_refit(effects: str, with_extra: bool) -> None:
    rng = np.random.default_rng(3)
    rows = _rows(rng)
    series = rng.normal(size=(2, 6, 18))
    extra = rng.normal(size=(len(rows.role), 2)) if with_extra else None
    fillings = np.vstack([np.arange(6), *(rng.permutation(6) for _ in range(4))])
    estimate, se = statistics(rows, effect_maps(rows, effects, extra), series, fillings)
    for b, filling in enumerate(fillings):
        for k in range(2):
            y = series[k, filling[rows.role], rows.place]
            value, error = _refit(rows, y, effects, extra)
            assert estimate[b, k] == pytest.approx(value, rel=EXACT, abs=EXACT)
            assert se[b, k] == pytest.approx(error, rel=1e-6)


def test_an_effect_that_is_not_identified_is_an_error() -> None:
    rows = _rows(np.random.default_rng(1))
    rows.post = np.ones_like(rows.post)
    with pytest.raises(FrameError, match="not identified"):
        effect_maps(rows, "slot")
    with pytest.raises(FrameError, match="'none', 'cluster' or 'slot'"):
        effect_maps(rows, "both")  # type: ignore[arg-type]


# --- the curve --------------------------------------------------------------------------------


def _specifications(series: np.ndarray, seed: int = 5) -> list[Specification]:
    rows = _rows(np.random.default_rng(seed))
    return [
        Specification(
            [{"effects": effects, "series": str(k)} for k in range(len(series))],
            rows,
            effects,  # type: ignore[arg-type]
            series,
        )
        for effects in ("none", "cluster", "slot")
    ]


def test_the_curve_and_its_tests_by_counting() -> None:
    rng = np.random.default_rng(11)
    series = rng.normal(size=(2, 6, 18))
    made = curve(_specifications(series), 6, draws=720, seed=1)
    assert made.exact  # 6! arrangements
    assert made.draws == 719
    every = np.array(list(itertools.permutations(range(6))))
    estimates, ts = [], []
    for one in _specifications(series):
        estimate, se = statistics(one.rows, effect_maps(one.rows, one.effects), series, every)
        estimates.append(estimate)
        ts.append(estimate / se)
    estimate, t = np.hstack(estimates), np.hstack(ts)
    assert made.estimate == pytest.approx(estimate[0], abs=EXACT)
    # p of one way: arrangements with a |t| at least as large, the data among them.
    p = np.array(
        [[(np.abs(t[:, s]) >= abs(v) * (1 - 1e-9)).mean() for v in t[:, s]] for s in range(6)]
    ).T
    assert made.p == pytest.approx(p[0], abs=1e-12)
    told = p <= 0.05
    for joint, values in (
        (made.median, np.median(estimate, axis=1)),
        (made.mean_t, t.mean(axis=1)),
        (
            made.share,
            (told & (np.sign(estimate) == np.sign(np.median(estimate, axis=1))[:, None])).mean(
                axis=1
            ),
        ),
    ):
        assert joint.value == pytest.approx(values[0], abs=EXACT)
        assert joint.p == pytest.approx(np.mean(np.abs(values) >= abs(values[0]) * (1 - 1e-9)))
    out = (made.low > 0) | (made.high < 0)
    assert (out == (made.p <= 0.05)).all()
    assert made.where(effects="slot").sum() == 2
    assert made.clusters.tolist() == [6] * 6


def test_the_joint_test_is_exact_over_all_arrangements() -> None:
    """Whatever the series: taking each arrangement as the data, p <= a in at most a of them."""
    series = np.random.default_rng(2).standard_t(2, size=(1, 6, 18))
    every = list(itertools.permutations(range(6)))
    found = np.array(
        [
            [c.median.p, c.share.p, c.mean_t.p]
            for c in (
                curve(_specifications(series[:, list(one)]), 6, draws=720, seed=1)
                for one in every[::24]
            )
        ]
    )
    # 30 of the 720: at most 5 % of all; 3 binomial errors beside it for the sample of them.
    assert (np.mean(found <= 0.05, axis=0) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 30)).all()
    assert (found.min(axis=0) >= 1 / 720).all()


def test_a_planted_effect_moves_the_whole_curve() -> None:
    rng = np.random.default_rng(8)
    rows = _rows(rng)
    series = 0.3 * rng.normal(size=(1, 6, 18))
    for r, place, treated, post in zip(rows.role, rows.place, rows.treated, rows.post, strict=True):
        series[0, r, place] += 2.0 * treated * post
    made = curve(_specifications(series), 6, draws=720, seed=1)
    assert made.median.p < 0.05
    assert (made.estimate > 1).all()


def test_ways_that_cannot_be_computed_are_named() -> None:
    series = np.random.default_rng(0).normal(size=(1, 6, 18))
    good, bad = _specifications(series)[0], _specifications(series, seed=6)[1]
    bad.rows.post = np.ones_like(bad.rows.post)
    made = curve([good, bad], 6, draws=99, seed=1, skipped=[({"effects": "early"}, "no rows")])
    assert made.skipped[0][1] == "no rows"
    assert "not identified" in made.skipped[1][1]
    assert len(made.ways) == 1
    with pytest.raises(FrameError, match="no specification"):
        curve([bad], 6, draws=99, seed=1)


def test_empty_places_are_filled_as_in_the_slot_permutation() -> None:
    rng = np.random.default_rng(4)
    n = rng.integers(0, 4, (5, 7)).astype(float)
    n[:, 0] = n[0] = 1
    total = rng.normal(size=(2, 5, 7)) * n
    found = fill_places(total, n)
    for k in range(2):
        mean = np.where(n > 0, total[k] / np.maximum(n, 1), np.nan)
        assert found[k] == pytest.approx(fill(mean, n), abs=1e-9)
    with pytest.raises(FrameError, match="no individuals"):
        fill_places(np.zeros((1, 2, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]))


# --- variants ---------------------------------------------------------------------------------

PLAIN = {
    "comparators": "all",
    "embedding": "left_out",
    "window": "all",
    "period": "all",
    "first_year": 2013,
    "years_before": 2,
    "years_after": 2,
}


@pytest.fixture(scope="module")
def laid(small_study: Study, small_extract: Path) -> tuple[Cells, Layout]:
    """Re-referral in a hundredth of England."""
    cells = workspace.cells_for(small_study, str(small_extract), "rereferral", "original")
    las = sorted(set(cells.frame["la"].astype(str)) & set(small_study.sample("rereferral")))
    return cells, layout(cells, small_study, "rereferral", las, adjust=())


@pytest.mark.parametrize("weights", ["matched", "cases"])
@pytest.mark.parametrize("comparators", ["all", "first"])
def test_a_variant_has_the_weights_of_the_matched_sample(
    small_study: Study, laid: tuple[Cells, Layout], weights: str, comparators: str
) -> None:
    from dataclasses import replace

    cells, made = laid
    groups = [
        replace(g, comparators=g.comparators[:1]) if comparators == "first" else g
        for g in small_study.groups("rereferral")
    ]
    frame = matched(
        cells, small_study, "rereferral", cem=weights == "matched", groups=groups,
        thin_groups="drop",
    ).frame  # fmt: skip
    mass = (frame["n"] * frame["weight"]).groupby(
        [frame["group"].astype(str), frame["la"].astype(str), frame["event_time"], frame["year"]]
    ).sum()  # fmt: skip
    rows = variant(made, small_study, **{**PLAIN, "comparators": comparators}, weights=weights)
    ids = np.array([g.id for g in made.groups])
    found = pd.Series(
        rows.weight,
        index=pd.MultiIndex.from_arrays(
            [
                ids[made.place_group[rows.place]],
                np.array(made.las)[rows.role],
                made.place_time[rows.place],
                made.place_year[rows.place],
            ]
        ),
    ).sort_index()
    mass = mass[mass > 0].sort_index()
    assert list(found.index) == list(mass.index)
    assert found.to_numpy() == pytest.approx(mass.to_numpy(), rel=1e-9)


def test_authorities_weigh_alike_and_embedding_and_period_do_what_they_say(
    small_study: Study, laid: tuple[Cells, Layout]
) -> None:
    _, made = laid
    alike = variant(made, small_study, **PLAIN, weights="authorities")
    part = pd.Series(alike.weight).groupby([alike.slot, alike.post]).sum()
    assert part.to_numpy() == pytest.approx(1.0, abs=1e-12)

    def times(**change: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = variant(made, small_study, **{**PLAIN, **change}, weights="cases")
        return made.place_time[rows.place], made.place_year[rows.place], rows.post

    time, _, post = times(embedding="counted")
    assert post[time == EMBEDDING].all()
    assert (time == EMBEDDING).any()
    time, _, _ = times()
    assert EMBEDDING not in time
    assert {-1, 0} <= set(time)
    assert -1 not in times(embedding="widened")[0]
    time, _, post = times(window="close")
    assert time[post == 0].min() == -2
    assert times(window="close", embedding="widened")[0].min() == -3
    time, _, post = times(window="first")
    assert time[post == 1].max() == 1
    assert times(period="recent")[1].min() >= 2013
    same = {a.code for a in small_study.authorities if a.practice_model == "same"}
    rows = variant(made, small_study, **{**PLAIN, "comparators": "other_models"}, weights="cases")
    used = {made.las[r] for r, t in zip(rows.role, rows.treated, strict=True) if not t}
    assert used
    assert not used & same
    with pytest.raises(RecordsError, match="at least 99 needed"):
        variant(made, small_study, **PLAIN, weights="cases", fewest_groups=99)


def test_the_rest_of_england_joins_every_group_as_one_and_keeps_its_place(
    small_study: Study, small_extract: Path, laid: tuple[Cells, Layout]
) -> None:
    from sos_analysis.estimation.permutation import arrangements
    from sos_analysis.outcomes import events
    from sos_analysis.records.extract import open_extract

    cells, plain = laid
    rest = workspace.rest_cells_for(small_study, str(small_extract), "rereferral", "original")
    assert rest is not None
    with open_extract(small_extract) as records:
        rows = events(records, small_study, "rereferral").to_pandas()
    inside = {p.la for p in small_study.pilots} | set(small_study.sample("rereferral"))
    rows = rows[~rows["la"].isin(inside)]
    assert int(rest.frame["n"].sum()) == len(rows) > 0
    assert int(rest.frame["y_sum"].sum()) == rows["y"].sum()
    assert rest.meta["authorities"] == rows["la"].nunique()

    made = layout(cells, small_study, "rereferral", plain.las, adjust=("sex",), rest=rest)
    alone = layout(cells, small_study, "rereferral", plain.las, adjust=("sex",))
    assert made.las == (*plain.las, "rest")
    # Others do not feel the rest: the same rows, weights and adjusted outcomes.
    assert variant(made, small_study, **PLAIN, weights="matched").weight == pytest.approx(
        variant(alone, small_study, **PLAIN, weights="matched").weight, rel=1e-12
    )
    shared = [
        int(np.flatnonzero(
            (made.place_group == g) & (made.place_time == t) & (made.place_year == y)
        )[0])
        for g, t, y in zip(alone.place_group, alone.place_time, alone.place_year, strict=True)
    ]  # fmt: skip
    assert made.y["child"][:-1, shared] == pytest.approx(alone.y["child"], abs=1e-9)

    wide = {**PLAIN, "comparators": "england"}
    found = variant(made, small_study, **wide, weights="authorities")
    of_rest = found.role == len(plain.las)
    total = pd.Series(found.weight[of_rest]).groupby([found.slot[of_rest], found.post[of_rest]])
    assert total.sum().to_numpy() == pytest.approx(rest.meta["authorities"], rel=1e-12)
    # Cases after embedding, each shared by the groups that keep it: never more than there are.
    cases = variant(made, small_study, **wide, weights="cases")
    after = (cases.role == len(plain.las)) & (cases.post == 1)
    first = min(g.end for g in made.groups)
    assert 0 < cases.weight[after].sum() <= (rows["event_date"] > pd.Timestamp(first)).sum()
    with pytest.raises(RecordsError, match="no authority outside"):
        variant(plain, small_study, **wide, weights="cases")

    fillings, _ = arrangements(np.array([0, 0, 0, 0, 0, 0, 1]), 99, seed=1)
    assert (fillings[:, -1] == 6).all()
    series = np.random.default_rng(3).normal(size=(1, 6, 18))
    kept = curve(_specifications(series), 6, draws=720, seed=1, fixed=3)
    assert (kept.draws, kept.exact) == (5, True)


def test_cells_put_together_give_the_same_sample(
    small_study: Study, laid: tuple[Cells, Layout]
) -> None:
    cells, _ = laid
    fewer = merged(cells, small_study, "rereferral")
    assert len(fewer.frame) < len(cells.frame)
    one, two = (
        matched(c, small_study, "rereferral", thin_groups="drop").frame for c in (cells, fewer)
    )
    keys = [c for c in one.columns if c not in ("n", "y_sum", "y_sq", "children")]
    first, second = (
        f.astype({k: str for k in keys if f[k].dtype == "category"})
        .groupby([k for k in keys if "weight" not in k])[["n", "y_sum", "y_sq"]]
        .sum()
        for f in (one, two)
    )
    pd.testing.assert_frame_equal(first, second)


def test_a_curve_is_computed_once_and_read_back_to_the_last_digit(
    small_study: Study, small_extract: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    universe, calls = load_universe(), []

    def compute(study: Study, outcome: str, chosen: dict, universe: object, *, seed: int) -> Curve:
        calls.append((outcome, seed))
        if outcome == "kinship":
            raise FrameError("too few cases")
        ways = universe.ways()[:6]
        made = curve(
            [replace(one, ways=ways[2 * i : 2 * i + 2]) for i, one in enumerate(some)],
            6, draws=99, seed=seed, skipped=[(universe.ways()[9], "no rows")],
        )  # fmt: skip
        return replace(made, low=np.where(np.arange(6) == 3, -np.inf, made.low))

    some = _specifications(np.random.default_rng(3).normal(size=(2, 6, 18)))
    monkeypatch.setattr(kept_curve, "CELLS", tmp_path)
    monkeypatch.setattr(kept_curve, "outcome_curve", compute)
    here = (small_study, small_extract, universe)
    seed = small_study.inference.seed
    kept = kept_curve.keep_curves("synthetic", str(small_extract), ("icpc", "kinship"))
    # An outcome that cannot be computed is not kept; whoever shows it says why.
    assert [path.is_file() for path in kept] == [True]
    calls.clear()
    first = kept_curve.kept_curve(small_study, "icpc", *here[1:], seed=seed)
    assert calls == []
    fresh = compute(small_study, "icpc", {}, universe, seed=seed)
    for name in ("estimate", "se", "low", "high", "p"):
        assert np.array_equal(getattr(first, name), getattr(fresh, name)), name
    for name in ("ways", "skipped", "median", "share", "mean_t", "draws", "exact"):
        assert getattr(first, name) == getattr(fresh, name), name
    calls.clear()
    kept_curve.kept_curve(small_study, "icpc", *here[1:], seed=seed + 1)
    kept_curve.kept_curve(small_study, "duration", *here[1:], seed=seed)
    assert calls == [("icpc", seed + 1), ("duration", seed)]


def test_choices_have_words_for_readers() -> None:
    from sos_analysis.chapters.curve_figure import CHOICE_WORDS

    assert {c: set(a) for c, (_, a) in CHOICE_WORDS.items()} == {
        c: set(a) for c, a in CHOICES.items()
    }
