"""The public companion: designs, panels, estimates, and what is released.

The published files are not in this repository. Tests that need them look in `SOS_PUBLIC_DATA`, in
`data/public` (where `fetch-public` puts them) and beside the repository, and say so when they are
in none of these; everything else runs on small made-up files in the same layout.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from public_files import SOURCES, line, published, write

from sos_analysis import chapters, companion
from sos_analysis.chapters import public as chapter_of
from sos_analysis.companion import MAIN, Design, ratings
from sos_analysis.companion.estimates import FEWER, estimate_on, jumps
from sos_analysis.companion.panel import Figures
from sos_analysis.companion.panel import panel as rows_of
from sos_analysis.companion.ways import joint_curve
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.estimation.frames import FrameError
from sos_analysis.facts import programme
from sos_analysis.records import public

PILOTS = {w: [p.dfe_code for p in programme().in_wave(w)] for w in (1, 2)}
FUNDED = {*PILOTS[1], *PILOTS[2]}
QUICK = {"draws": 199, "seed": 1}


# --- the design ----------------------------------------------------------------------------------
def test_a_wave_brings_its_own_years() -> None:
    first, second = Design(wave=1), Design()
    assert (first.first_year, first.last_year, first.post_from, first.base) == (
        *(2013, 2017, 2015),
        2014,
    )
    assert (second.first_year, second.last_year, second.post_from) == (2013, 2020, 2018)
    assert Design(leave_out_years=(2018,)).years == (2013, 2014, 2015, 2016, 2017, 2019, 2020)
    assert second.with_(weights="denominator").weights == "denominator"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wave": 3}, "wave is 3; allowed: 1, 2"),
        ({"wave": True}, "wave is True"),
        ({"comparators": "statistical neighbour"}, r"allowed:.*Did you mean 'statistical neigh"),
        ({"weights": "referrals"}, "weights is 'referrals'; allowed: 'equal', 'denominator'"),
        ({"boundaries": "join"}, "Did you mean 'joined'"),
        ({"confidential": "0"}, "allowed: 'left out', 'zero'"),
        ({"pilots": "one"}, "allowed: 'all', 'both waves'"),
        ({"post_from": "2018"}, "post_from must be a whole number, not '2018'"),
        ({"first_year": 2017}, "two or more years before"),
        ({"last_year": 2017}, "one or more from it"),
        ({"leave_out_years": (2018, 2019, 2020)}, "years do not fit"),
        ({"leave_out_years": 2018}, "must be a list of years"),
        ({"leave_out": "201"}, "leave_out must be a list of codes"),
        ({"leave_out": tuple(PILOTS[2][1:])}, "fewer than two pilots"),
    ],
)
def test_a_wrong_word_says_what_is_allowed(given: dict[str, object], message: str) -> None:
    with pytest.raises((ParameterError, TypeError), match=message):
        Design(**given)  # type: ignore[arg-type]


def test_the_transition_years_are_those_of_the_programme() -> None:
    launch = programme().fact("wave2.launch").value
    assert isinstance(launch, dt.date)
    assert launch.year + (launch.month > 3) == companion.TRANSITION[2]
    # The leaders' first workshop, November 2014, lies in the year ending March 2015.
    assert str(programme().fact("wave1.workshop").value).endswith("2014")
    assert companion.TRANSITION[1] == 2015


def test_variants_change_one_choice_and_none_repeats_the_main_one() -> None:
    for main in (Design(), Design(wave=1), Design(comparators="never funded", weights="equal")):
        made = companion.variants(main, 2025)
        assert made[MAIN] == main
        assert len(set(made.values())) == len(made)
        assert ("long" in made, "bexley_out" in made) == (main.wave == 2, main.wave == 1)
    assert "never_funded" not in companion.variants(Design(comparators="never funded"), 2025)
    assert "transition_out" not in companion.variants(Design(last_year=2018), 2018)


# --- made-up files with known answers ------------------------------------------------------------
OTHERS = ["211", *(str(c) for c in range(960, 981))]  # 211 was funded in the first wave alone
YEARS = range(2013, 2021)


def made_up(folder: Path, value: Callable[[str, int], float], weight: Callable[[str], int]) -> Path:
    rows = [
        line(
            year,
            code,
            referral_count=weight(code),
            rereferral_percent=value(code, year),
            no_further_action_percent="c" if code == "965" and year > 2016 else value(code, year),
            not_in_need_percent=50,
        )
        for year in YEARS
        for code in (*PILOTS[2], *OTHERS)
    ]
    write(folder / SOURCES.file("referrals").name, rows)
    return folder


def smooth(code: str, year: int) -> float:
    """Authority and year effects, a trend in pilots and a jump of 4 from 2018."""
    pilot = code in PILOTS[2]
    return (
        int(code) / 100
        + (year - 2013) ** 2 / 10
        + pilot * (0.5 * (year - 2013) + 4 * (year >= 2018))
    )


def noisy(code: str, year: int) -> float:
    rng = np.random.default_rng([int(code), year])
    return float(np.round(20 + int(code) % 7 + rng.normal(0, 2) + 3 * (code in PILOTS[2]), 1))


def size(code: str) -> int:
    return 500 + 37 * (int(code) % 50)


def test_event_years_and_trend_without_noise(tmp_path: Path) -> None:
    """With no noise the numbers follow from the formula above: exact but for rounding."""
    folder = made_up(tmp_path, smooth, size)
    wanted = ("rereferral_percent", "not_in_need_percent")
    result = companion.run(folder, designs=(Design(),), outcomes=wanted, only_main=True, **QUICK)
    events = result.events("rereferral_percent")
    assert events.base == 2017
    assert events.joint_years == (2013, 2014, 2015, 2016)
    for found in events.years:
        expected = 0.5 * (found.year - 2017) + 4 * (found.year >= 2018)
        assert found.att == pytest.approx(expected, abs=1e-9)
    assert events.trend == pytest.approx(0.5, abs=1e-9)
    # Two-way fixed effects: mean after less mean before, trend included (2019 less 2015).
    assert result.estimate("rereferral_percent").att == pytest.approx(4 + 0.5 * 4, abs=1e-9)
    pilots = result.means_of("rereferral_percent", "pilots")
    assert [m.year for m in pilots] == list(YEARS)
    assert pilots[0].mean == pytest.approx(np.mean([int(c) / 100 for c in PILOTS[2]]), abs=1e-9)
    assert result.estimate("not_in_need_percent").att == pytest.approx(0, abs=1e-9)
    # No figure moves by 10; in 2018 the smooth one moves by 4.5 and its curve's step, 0.9.
    found = result.jumps_of("rereferral_percent")
    assert (found.pilots_jumped, found.others_jumped) == (0, 0)
    assert found.largest == pytest.approx(4.5 + 0.9, abs=1e-9)


def test_estimates_agree_with_dummy_regressions(tmp_path: Path) -> None:
    """Each variant against statsmodels and linearmodels with every authority and year."""
    from linearmodels.panel import PanelOLS

    folder = made_up(tmp_path, noisy, size)
    result = companion.run(
        folder,
        designs=(Design(),),
        outcomes=("rereferral_percent", "no_further_action_percent"),
        **QUICK,
    )
    rows = pd.DataFrame(
        [
            {"la": c, "year": y, "y": noisy(c, y), "w": size(c), "pilot": c in PILOTS[2]}
            for c in (*PILOTS[2], *OTHERS)
            for y in YEARS
        ]
    )
    rows["effect"] = (rows["pilot"] & (rows["year"] >= 2018)).astype(int)
    samples = {
        "main": rows.assign(w=1),
        "transition_out": rows[rows["year"] != 2018].assign(w=1),
        "weighted": rows,
        "never_funded": rows[rows["la"] != "211"].assign(w=1),
        "both_waves": rows[rows["la"] != "303"].assign(w=1),
    }
    for variant, sample in samples.items():
        fitted = smf.wls("y ~ effect + C(la) + C(year)", sample, weights=sample["w"]).fit()
        found = result.estimate("rereferral_percent", variant)
        g, n = sample["la"].nunique(), len(sample)
        assert (found.authorities, found.authority_years, found.not_given) == (g, n, 0)
        # Exact algebra on about 250 rows: only rounding is left.
        assert found.att == pytest.approx(fitted.params["effect"], abs=1e-9)
        panel = sample.set_index(["la", "year"])
        clustered = PanelOLS(
            panel["y"], panel[["effect"]], weights=panel["w"], entity_effects=True,
            time_effects=True,
        ).fit(cov_type="clustered", cluster_entity=True)  # fmt: skip
        assert found.se_crv1 == pytest.approx(clustered.std_errors["effect"], rel=1e-8)
        assert found.ci[0] < found.att < found.ci[1]
        assert found.ci[0] < found.ci90[0] < found.ci90[1] < found.ci[1]
        assert len(found.left_out) == found.pilots == 10 - (variant == "both_waves")
    withheld = result.estimate("no_further_action_percent")
    assert withheld.not_given == 4
    # Four of 256 are fewer than one in fifty: no variant that reads them as zero.
    assert not result.has("no_further_action_percent", "confidential_as_zero")
    zero = companion.panel(
        "nfa", Design(confidential="zero"), data_dir=folder
    ).query("la == '965' and year > 2016")  # fmt: skip
    assert zero["y"].tolist() == [0.0] * 4


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-50, 50),
    scale=st.floats(0.1, 10),
    weighted=st.booleans(),
)
def test_effects_of_places_and_years_and_the_scale_do_not_matter(
    seed: int, shift: float, scale: float, weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    las, years = [f"{i:03d}" for i in range(12)], list(range(2013, 2019))
    frame = pd.DataFrame([(la, year) for la in las for year in years], columns=["la", "year"])
    frame["pilot"] = frame["la"].isin(las[:4]).astype(int)
    frame["post"] = (frame["year"] >= 2016).astype(int)
    frame["y"] = rng.normal(size=len(frame))
    frame["weight"] = rng.uniform(0.5, 2, size=len(frame)) if weighted else 1.0
    moved = frame.assign(
        y=scale * frame["y"] + shift * frame["la"].astype(float) + frame["year"] ** 2 / 100
    )
    args = {"outcome": "x", "wave": 2, "variant": MAIN, **QUICK}
    first = estimate_on(frame, **args)  # type: ignore[arg-type]
    second = estimate_on(moved.sample(frac=1, random_state=seed), **args)  # type: ignore[arg-type]
    # Shifts of up to 600 leave about 1e-13 x 600 of rounding.
    assert second.att == pytest.approx(scale * first.att, abs=1e-8)
    assert second.se_crv3 == pytest.approx(scale * first.se_crv3, abs=1e-8)
    assert second.p_secondary == pytest.approx(first.p_secondary, abs=0.011)  # a tie may turn


def _ways(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Four ways to compare: main, by size, without a comparator, without a year."""
    size = 1.0 + frame["la"].astype(float) / 3
    return [
        frame,
        frame.assign(weight=size),
        frame[frame["la"] != "5"],
        frame[frame["year"] != 2016].assign(weight=size),
    ]


def _refitted(way: pd.DataFrame) -> float:
    """The effect by least squares with an indicator for each authority and year."""
    rows = way.dropna(subset=["y"])
    effect = (rows["pilot"] * rows["post"]).to_numpy(float)
    places, years = (pd.get_dummies(rows[c]).to_numpy(float) for c in ("la", "year"))
    root = np.sqrt(rows["weight"].to_numpy(float))[:, None]
    design = np.column_stack([effect, places, years])
    found = np.linalg.lstsq(design * root, rows["y"].to_numpy(float) * root[:, 0], rcond=None)[0]
    return float(found[0])


@pytest.mark.parametrize("effect", [0.0, 6.0])
def test_all_ways_judged_as_one_are_every_exchange_refitted(effect: float) -> None:
    rng = np.random.default_rng(8)
    las, years = [str(i) for i in range(6)], list(range(2013, 2018))
    frame = pd.DataFrame([(la, y) for la in las for y in years], columns=["la", "year"])
    frame["pilot"] = frame["la"].isin(["0", "3"]).astype(int)
    frame["post"] = (frame["year"] >= 2015).astype(int)
    frame["weight"] = 1.0
    frame["y"] = rng.normal(size=len(frame)) + effect * frame["pilot"] * frame["post"]
    found = joint_curve(_ways(frame), outcome="x", wave=2, draws=720, seed=1)
    held = frame["y"].to_numpy().reshape(len(las), len(years))
    refitted = np.array(
        [
            [_refitted(way) for way in _ways(frame.assign(y=held[list(order)].ravel()))]
            for order in itertools.permutations(range(len(las)))
        ]
    )
    assert found.draws == len(refitted) - 1 == 719
    seen = refitted[0]
    # The same least squares by other algebra: rounding alone.
    assert (found.low, found.high) == pytest.approx((seen.min(), seen.max()), abs=1e-9)
    middle = np.abs(np.median(refitted, axis=1))
    assert found.median == pytest.approx(np.median(seen), abs=1e-9)
    assert found.p == np.mean(middle >= middle[0] - 1e-9)
    alone = np.mean(np.abs(refitted) >= np.abs(seen) - 1e-9, axis=0)
    same = np.sign(seen) == np.sign(seen[0])
    assert (found.ways, found.same) == (4, same.sum())
    assert found.told == (same & (alone <= 0.05 + 1e-12)).sum()
    # Two pilots of six: the smallest share there can be is about one pair of fifteen.
    assert (found.p < 0.1) == (effect > 0)

    gap = frame.assign(y=frame["y"].where((frame["la"] != "4") | (frame["year"] != 2017)))
    filled = joint_curve(_ways(gap), outcome="x", wave=2, draws=720, seed=1)
    assert filled.median == pytest.approx(np.median([_refitted(w) for w in _ways(gap)]), abs=1e-9)
    with pytest.raises(FrameError, match="no way to compare"):
        joint_curve([], outcome="x", wave=2, draws=99, seed=1)


def test_jumps_need_two_years_that_follow_each_other() -> None:
    frame = pd.DataFrame(
        {
            "la": ["1"] * 3 + ["2"] * 3,
            "year": [2013, 2014, 2016, 2013, 2014, 2015],
            "y": [5, 14.9, 40, 10, 20, np.nan],
            "pilot": [1] * 3 + [0] * 3,
        }
    )
    found = jumps(frame, outcome="x", wave=2, by=10)
    assert (found.pilots_jumped, found.others_jumped) == (0, 1)
    assert found.largest == pytest.approx(9.9)


def test_results_survive_json_and_only_pinned_ones_are_released(tmp_path: Path) -> None:
    folder = made_up(tmp_path / "data", noisy, size)
    one = {"outcomes": ("not_in_need_percent",), "designs": (Design(),)}
    result = companion.run(folder, **one, **QUICK)  # type: ignore[arg-type]
    path = public.release_public(result.to_dict(), tmp_path / "out" / "released.json")
    again = companion.released(path)
    # As content, since a constant outcome gives NaN, which equals nothing.
    mine = result.to_dict() | {"source": "released"}
    for part in ("estimates", "event_years", "histories"):
        mine[part] = [item | {"source": "released"} for item in mine[part]]
    assert again.to_dict() == mine
    before = path.read_bytes()
    with pytest.raises(public.AbsentError, match="is not there"):
        companion.release(folder, path, **QUICK)
    with pytest.raises(ValueError, match="JSON"):
        public.release_public({"a": float("nan")}, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["released.json"]
    path.write_text(path.read_text(encoding="utf-8").replace('"att"', '"effect"'), encoding="utf-8")
    with pytest.raises(RecordsError, match="do not fit this version"):
        companion.released(path)


def test_what_cannot_be_computed_here_is_taken_from_released_results_or_named(
    tmp_path: Path,
) -> None:
    """Referrals alone are at hand, as for somebody whose other downloads failed."""
    folder = made_up(tmp_path, noisy, size)
    wanted = ("rereferral_percent", "looked_after_rate")
    result = companion.run(folder, outcomes=wanted, designs=(Design(),), **QUICK)
    kept = companion.released()
    assert result.estimate("rereferral_percent").source == "computed"
    # Statistical neighbours and Ofsted reports are not here: that variant is the released one.
    for outcome, variant in (("rereferral_percent", "not_named"), ("looked_after_rate", MAIN)):
        found = result.estimate(outcome, variant)
        assert found == kept.estimate(outcome, variant)
        assert found.source == "released"
    assert result.means_of("looked_after_rate", "pilots")
    assert {"lait", "ofsted", "referrals"} <= {f.id for f in result.files}
    own = Design(weights="denominator")
    result = companion.run(folder, outcomes=wanted, designs=(own,), **QUICK)
    assert not result.has("looked_after_rate")
    assert any("Children looked after" in text for text in result.absent)


def test_parameters_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_up(tmp_path, noisy, size)
    later = Design(last_year=2024)
    with pytest.raises(ParameterError, match="holds the years 2013 to 2020"):
        companion.estimate("rereferral_percent", later, data_dir=folder)
    with pytest.raises(ParameterError, match=r"outcome is 'icpc_rates'.*Did you mean 'icpc_rate'"):
        companion.estimate("icpc_rates", data_dir=folder)
    with pytest.raises(public.AbsentError, match="no such folder"):
        companion.panel("icpc_rate", data_dir=tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="draws is 9"):
        companion.run(folder, draws=9)
    with pytest.raises(ParameterError, match="one design a wave"):
        companion.run(folder, designs=(Design(), Design(weights="denominator")))
    # Without files: the released results, for their own designs alone.
    from sos_analysis.companion import running

    monkeypatch.setattr(running, "ROOT", tmp_path / "nowhere")
    assert companion.run(draws=999).source == "released"
    with pytest.raises(ParameterError, match="fetch-public"):
        companion.run(designs=(Design(last_year=2019),))


# --- the published files, where they are ---------------------------------------------------------
#: Unweighted two-way fixed effects, all authorities as coded each year, after from the year ending
#: March 2018, clustered on authorities: computed by others from the same files, to two decimals.
KNOWN = {
    "rereferral_percent": (-0.40, 1.80),
    "no_further_action_percent": (-2.80, 3.04),
    "not_in_need_percent": (5.19, 3.06),
}
ROUNDING = 0.01  # the known values are rounded to two decimals


@pytest.fixture(scope="module")
def computed() -> companion.CompanionResult:
    return companion.run(published(), draws=199)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return Figures(published(), SOURCES)


def check_known(result: companion.CompanionResult) -> None:
    for outcome, (att, se) in KNOWN.items():
        found = result.estimate(outcome)
        assert found.att == pytest.approx(att, abs=ROUNDING)
        assert found.se_crv1 == pytest.approx(se, abs=ROUNDING)
        assert found.pilots == 10
        # England had 152 authorities; two were merged into others as of 2019/20, and those codes
        # count too, as do authorities without a published number in some years.
        assert 150 <= found.authorities <= 155


def test_released_results_hold_the_known_values() -> None:
    result = companion.released()
    check_known(result)
    assert result.source == "released"
    assert {f.id: f.sha256 for f in result.files} == {f.id: f.sha256 for f in SOURCES.pinned}
    assert {f.id for f in result.files if f.derived} == {"lait", "ofsted"}
    assert all(f.pinned for f in result.files)
    assert result.attribution == SOURCES.attribution
    mains = [e for e in result.estimates if e.variant == MAIN]
    assert {(e.outcome, e.wave) for e in mains} == {
        *((o.id, 2) for o in SOURCES.outcomes),
        *((o.id, 1) for o in SOURCES.outcomes if "lait" not in o.tables),
    }
    assert {e.draws for e in mains} == {companion.DRAWS}
    assert {e.draws for e in result.estimates if e.variant != MAIN} == {FEWER}
    # Nothing in it is a row of the files: no authority but the pilots is named.
    text = public.RELEASED.read_text(encoding="utf-8")
    assert "Hartlepool" not in text
    assert "E06000001" not in text


def test_published_files_give_the_known_and_the_released_values(
    computed: companion.CompanionResult,
) -> None:
    check_known(computed)
    released = companion.released()
    assert computed.data_hash == released.data_hash
    assert computed.jumps == released.jumps
    for mine, theirs in zip(computed.means, released.means, strict=True):
        assert mine == replace(theirs, mean=mine.mean, weighted=mine.weighted)
        assert mine.mean == pytest.approx(theirs.mean, rel=1e-12)
    for mine, theirs in zip(computed.estimates, released.estimates, strict=True):
        # Linear algebra differs between machines in the last digits.
        assert mine.att == pytest.approx(theirs.att, abs=1e-8)
        assert mine.se_crv3 == pytest.approx(theirs.se_crv3, abs=1e-8)
        # 199 draws against 1,999 or 9,999: three standard errors of a p-value near one half.
        assert mine.p_secondary == pytest.approx(theirs.p_secondary, abs=0.11)
    for mine, theirs in zip(computed.histories, released.histories, strict=True):
        assert mine.att == pytest.approx(theirs.att, abs=1e-8)
        assert sum(w.weight for w in mine.weights) == pytest.approx(1, abs=1e-9)
        # Goodman-Bacon's parts add up to plain two-way fixed effects.
        total = sum(w.weight * w.estimate for w in mine.weights)
        assert total == pytest.approx(mine.two_way, abs=1e-8)
    again = companion.estimate("rereferral_percent", data_dir=published())
    theirs = released.estimate("rereferral_percent")
    # A draw may tie or not.
    assert again.p_primary == pytest.approx(theirs.p_primary, abs=2e-4)
    assert again.p_secondary == pytest.approx(theirs.p_secondary, abs=2e-4)
    assert again.ci == pytest.approx(theirs.ci, abs=0.01)


def test_national_rows_are_what_the_release_says(figures: Figures) -> None:
    """England totals of the release (rounded to 10), so the right rows and years are read."""
    values = figures.statistics("referrals").values
    england = values[values["geographic_level"] == "National"].set_index("year")
    assert england.loc[2014, "referral_count"] == pytest.approx(657_800, abs=50)
    assert england.loc[2019, "no_further_action_percent"] == 8.1
    local = values[values["geographic_level"] == "Local authority"]
    # Totals are rounded to 10 and some authorities' counts are not given: within half a per cent.
    total = local[local["year"] == 2019]["referral_count"].sum()
    assert total == pytest.approx(england.loc[2019, "referral_count"], rel=0.005)
    assert local.groupby("year")["old_la_code"].nunique().loc[2013:2021].tolist() == [
        *[152] * 7,
        151,
        151,
    ]


def test_rates_are_the_published_ones(figures: Figures) -> None:
    """Mid-year Y-1 for the year ending March Y, as the Department divides."""
    cla = figures.statistics("looked_after").values
    cla = cla[cla["geographic_level"] == "Local authority"]
    made = figures.figure(SOURCES.outcome("looked_after_rate")).set_index(["la", "year"])["y"]
    latest = cla[cla["year"] == 2025].set_index("old_la_code")["rate_per_10000"].dropna()
    mine = made.xs(2025, level="year").reindex(latest.index)
    # Published to whole numbers, from the same estimates of the population.
    assert (mine - latest).abs().max() <= 0.5 + 1e-9
    assert len(latest) > 140
    # Earlier years were published with populations that have been revised since.
    england = figures.lait[figures.lait["old_la_code"] == "970"]
    totals = {
        name: figures.statistics(table).values.query("geographic_level == 'National'")
        for name, table in (
            ("Section47", "conferences"), ("ICPC", "conferences"), ("CPP_start", "plans"),
        )
    }  # fmt: skip
    people = figures.population.values.query("geographic_level == 'National'")
    people = people.set_index("year")["population_estimate"]
    for measure, name in (
        ("Section_47", "Section47"), ("ISCP_Conf", "ICPC"), ("CPP_Abuse_Rate", "CPP_start"),
    ):  # fmt: skip
        rate = 10_000 * totals[name].set_index("year")[name] / people
        told = england[england["measure"] == measure].set_index("year")["value"]
        assert rate[2025] == pytest.approx(told[2025], abs=0.06)  # one decimal, counts to 10
        for year in range(2015, 2021):
            # Rebasing on the census of 2021 moved England's children by up to 1 per cent.
            assert rate[year] == pytest.approx(told[year], rel=0.011)


def test_smallest_important_differences_follow_their_rule(figures: Figures) -> None:
    def england(table: str, column: str) -> float:
        values = figures.statistics(table).values if table != "population" else (
            figures.population.values
        )  # fmt: skip
        rows = values.query("geographic_level == 'National' and year == 2017")
        return float(rows[column].iloc[0])

    lait = figures.lait.query("old_la_code == '970' and year == 2017").set_index("measure")["value"]
    people, referrals = england("population", "population_estimate"), england(
        "referrals", "referral_count"
    )  # fmt: skip
    levels = {
        "rereferral": england("referrals", "rereferral_percent"),
        "nfa": england("referrals", "no_further_action_percent"),
        "not_in_need": england("referrals", "not_in_need_percent"),
        "within_45": lait["Continue_Assess_Comp"],
        "s47": 1e4 * england("conferences", "Section47") / people,
        "icpc": 1e4 * england("conferences", "ICPC") / people,
        "icpc_per_referral": 100 * england("conferences", "ICPC") / referrals,
        "cpp": 1e4 * england("plans", "CPP_start") / people,
        "looked_after": lait["LAC"],
    }
    for outcome in SOURCES.outcomes:
        assert outcome.minimum_important_difference == round(levels[outcome.short] / 10)


def test_joined_authorities_keep_the_totals_of_england(figures: Figures) -> None:
    outcome = SOURCES.outcome("icpc_rate")
    coded, joined = figures.figure(outcome), figures.joined(outcome)
    places = {b.id for b in SOURCES.boundaries}
    parts = {c for b in SOURCES.boundaries for c in b.codes}
    assert places <= set(joined["la"])
    assert not parts & set(joined["la"])
    assert set(joined.groupby("year")["la"].size()) == {150}
    for column in ("numerator", "denominator"):
        before = coded.groupby("year")[column].sum()
        after = joined.groupby("year")[column].sum()
        if column == "numerator":
            # A part that is withheld withholds its place: nothing else may be lost.
            gap = before - after
            lost = joined[joined["la"].isin(places) & joined["numerator"].isna()]["year"]
            assert gap[~gap.index.isin(lost)].abs().max() == 0
        else:
            # The place's children are those of the region outside its other authorities, so with
            # them England's rows add up to the whole, whether or not its parts are given.
            england = figures.population.values.query("geographic_level == 'National'")
            whole = england.set_index("year")["population_estimate"].reindex(after.index)
            assert (after - whole).abs().max() == 0
    assert joined[joined["la"] == "dorset"]["y"].notna().all()
    rates = figures.joined(SOURCES.outcome("rereferral_percent"))
    kept = rates[~rates["la"].isin(places)]
    theirs = figures.figure(SOURCES.outcome("rereferral_percent"))
    theirs = theirs[~theirs["la"].isin(parts)]
    assert kept["y"].reset_index(drop=True).equals(theirs["y"].reset_index(drop=True))


def _raw(name: str) -> pd.DataFrame:
    """A published file by an independent road: the csv module, and numbers where they are."""
    path = next(p for p in published().rglob("*") if p.name == name)
    data = path.read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8-sig")
    return pd.DataFrame(list(csv.DictReader(io.StringIO(text))))


def _local(name: str, column: str, shift: int = 0) -> pd.Series:
    raw = _raw(name)
    raw = raw[raw["geographic_level"] == "Local authority"]
    index = [raw["old_la_code"], raw["time_period"].astype(int) + shift]
    return pd.Series(pd.to_numeric(raw[column], errors="coerce").to_numpy(), index=index)


def _neighbours(year: int) -> set[str]:
    name = {2021: "statistical_neighbours_april_2021.csv"}[year]
    path = next(p for p in published().rglob("*") if p.name == name)
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
    return {cell for row in rows[1:] if row[0] in PILOTS[1] for cell in row[5::2] if cell}


def test_new_figures_and_designs_agree_with_dummy_regressions() -> None:
    """Panels built from the raw files here, estimates by statsmodels: another road throughout."""
    c1 = "c1_children_in_need_referrals_and_rereferrals_2013_to_2025.csv"
    c4 = "c4_children_in_need_section_47s_and_icpcs_2013_to_2025.csv"
    d3 = "d3_cpps_subsequent_plan_2013_to_2025.csv"
    people = _local(
        "ons_mid-year_population_estimates_0_17_2012_2024.csv", "population_estimate", 1
    )
    lait = _raw("lait_csc_measures_2015_2025.csv.gz")
    lait = lait[lait["measure_code"] == "Continue_Assess_Comp"]
    in_time = pd.Series(
        pd.to_numeric(lait["value"], errors="coerce").to_numpy(),
        index=[lait["old_la_code"], lait["year"].astype(int)],
    )
    referrals = _local(c1, "referral_count")
    in_time = in_time[in_time.index.isin(referrals.index)]
    cases = [
        (
            "icpc_rate",
            1e4 * _local(c4, "ICPC") / people,
            people,
            Design(wave=1, comparators="never funded", weights="denominator",
                   leave_out_years=(2015,)),
            lambda la: la not in FUNDED,
        ),
        (
            "cpp",
            1e4 * _local(d3, "CPP_start") / people,
            None,
            Design(wave=1, comparators="statistical neighbours", pilots="both waves"),
            # The neighbours of Tower Hamlets, which this design leaves out, may be others' too.
            None,
        ),
        ("s47", 1e4 * _local(c4, "Section47") / people, None, Design(last_year=2025), None),
        ("within_45", in_time, None, Design(leave_out=("201", "420")), None),
        (
            "icpc_per_referral",
            100 * _local(c4, "ICPC") / referrals,
            referrals,
            Design(weights="denominator"),
            None,
        ),
    ]  # fmt: skip
    for outcome, y, weight, design, rule in cases:
        rows = y.rename("y").reset_index().set_axis(["la", "year", "y"], axis=1)
        rows["w"] = 1.0 if weight is None else weight.reindex(y.index).to_numpy()
        rows = rows[rows["year"].isin(design.years) & ~rows["la"].isin(design.leave_out)].dropna()
        mine = set(PILOTS[design.wave])
        if design.pilots == "both waves":
            mine &= set(PILOTS[1]) & set(PILOTS[2])
        allowed = rule or (lambda la: True)
        if design.comparators == "statistical neighbours":
            path = next(
                p for p in published().rglob("*") if "neighbours_april_2021" in p.name.lower()
            )
            sheet = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))
            near = {cell for row in sheet[1:] if row[0] in mine for cell in row[5:25:2]}
            for boundary in SOURCES.boundaries:
                if near & set(boundary.codes):
                    near |= set(boundary.codes)
            allowed = near.__contains__
        keep = rows["la"].map(
            lambda la, mine=mine, d=design, allowed=allowed: (
                la in mine or (la not in PILOTS[d.wave] and allowed(la))
            )
        )
        rows = rows[keep]
        rows["effect"] = (rows["la"].isin(mine) & (rows["year"] >= design.post_from)).astype(int)
        fitted = smf.wls("y ~ effect + C(la) + C(year)", rows, weights=rows["w"]).fit()
        found = companion.estimate(outcome, design, data_dir=published(), **QUICK)
        assert (found.authority_years, found.authorities) == (len(rows), rows["la"].nunique())
        # Weights reach 400,000 and K about 170: rounding of the normal equations.
        assert found.att == pytest.approx(fitted.params["effect"], abs=1e-6)


def test_history_is_the_plain_difference_where_one_cohort_is_alone(figures: Figures) -> None:
    """Without Bexley all effects are against 2014: means after less 2014, pilots less others."""
    from sos_analysis.companion.history import history

    outcome = SOURCES.outcome("icpc_per_referral")
    found = history(figures, outcome)
    assert found is not None
    frame = figures.figure(outcome).query("2013 <= year <= 2020").dropna(subset=["y"])
    frame = frame[frame.groupby("la")["year"].transform("size") == 8]
    wide = frame.pivot_table(index="la", columns="year", values="y")
    never = wide[~wide.index.isin(list(FUNDED))].mean()
    parts, weight = 0.0, 0
    for begun, codes in ((2015, PILOTS[1]), (2018, ["303"])):
        mine = wide[wide.index.isin(codes)]
        for year in range(begun, 2021):
            change = (mine[year] - mine[begun - 1]).mean() - (never[year] - never[begun - 1])
            parts, weight = parts + len(mine) * change, weight + len(mine)
    assert found.att == pytest.approx(parts / weight, abs=1e-9)
    assert history(figures, SOURCES.outcome("looked_after_rate")) is None


def test_map_rows_come_from_files_or_say_why_not(tmp_path: Path) -> None:
    found = companion.map_rows("nfa", 2017, published())
    assert len(found) == 152
    assert found.reason == ""
    by_code = {row.code: row for row in found}
    assert by_code["303"].waves == (2,)
    assert by_code["303"].region
    assert {row.value for row in found if isinstance(row.value, str)} == {"confidential"}
    none = companion.map_rows("nfa", 2017, tmp_path / "nowhere")
    assert (len(none), "not at hand" in none.reason) == (0, True)
    with pytest.raises(ParameterError, match="has the years 2013 to 2025, not 2031"):
        companion.map_rows("nfa", 2031, published())


def test_a_panel_names_its_roles(figures: Figures) -> None:
    outcome = SOURCES.outcome("icpc_rate")
    near = rows_of(figures, outcome, Design(comparators="statistical neighbours"))
    assert set(near[near["pilot"] == 1]["la"]) == set(PILOTS[2])
    # Today's Dorset is a neighbour of a pilot: the places it was made of stand for it before 2020.
    assert {"835", "836", "837", "838", "839"} <= set(near["la"])
    never = rows_of(figures, outcome, Design(wave=1, comparators="never funded"))
    assert not {"303"} & set(never["la"])
    assert "303" in set(rows_of(figures, outcome, Design(wave=1))["la"])
    named = public.read_reports(figures.locate("ofsted"))
    assert sum(named.values()) == 52
    plain = rows_of(figures, outcome, Design(comparators="Signs of Safety not named"))
    others = set(plain[plain["pilot"] == 0]["la"])
    assert not others & {la for la, found in named.items() if found}


# --- the chapter by both roads -------------------------------------------------------------------
def _chosen(**given: object) -> tuple[chapters.ChapterSpec, dict[str, object]]:
    spec = chapters.CHAPTERS["public_statistics"]
    return spec, chapters.checked(spec, given)


def test_chapter_makes_what_its_parameters_say() -> None:
    """What an analyst runs: the first wave against statistical neighbours; two figures of nine."""
    spec, chosen = _chosen(
        public_data=str(published()), wave=1, comparators="statistical neighbours",
        outcome="icpc_rate", draws=99,
    )  # fmt: skip
    designs = chapter_of.designs(chosen)
    assert designs == tuple(Design(wave=w, comparators="statistical neighbours") for w in (2, 1))
    found = companion.run(
        published(), designs=designs, outcomes=("cpp", "icpc"), only_main=True, draws=99
    )
    made = chapter_of.build(spec, chosen, found)
    for short in ("cpp", "icpc"):
        alone = companion.estimate(short, designs[1], data_dir=published(), **QUICK)
        assert made.claim(f"public.wave1.{short}.att").value == pytest.approx(alone.att, abs=0.051)
    assert made.verdict is not None
    assert "first wave" in made.verdict.sentence
    assert "conferences" in made.verdict.sentence
    assert "computed" in made.say("provenance").text
    years = _chosen(wave=1, first_year=2013, last_year=2016, transition="left out")[1]
    assert chapter_of.designs(years) == (
        Design(leave_out_years=(2018,)),
        Design(wave=1, last_year=2016, leave_out_years=(2015,)),
    )


@pytest.mark.full
def test_whole_chapter_from_files_with_other_choices() -> None:
    made = chapters.chapter(
        "public_statistics", public_data=str(published()), wave=1, weights="denominator", draws=99
    )
    design = Design(wave=1, weights="denominator")
    found = companion.estimate("cpp", design, data_dir=published(), **QUICK)
    assert made.claim("public.wave1.cpp.att").value == pytest.approx(found.att, abs=0.051)


def test_chapter_from_released_results_says_so_and_holds_every_claim() -> None:
    made = chapters.chapter("public_statistics")
    for outcome in SOURCES.outcomes:
        for start in (outcome.short, f"wave1.{outcome.short}"):
            if start == "wave1.within_45" or start == "wave1.looked_after":
                continue
            for part in ("sentence", "certainty", "caution", "att", "weighted", "pretrend"):
                assert f"public.{start}.{part}" in made.claims
    # Where the years before differ, certainty falls and the page says what follows.
    caution = str(made.claim("public.cpp.caution").value)
    assert "cannot carry a conclusion" in caution
    assert made.claim("public.cpp.certainty").value == "Very low"
    failed = [c for c in made.checks if c.id.endswith("pre_trends") and c.status == "fail"]
    assert made.claim("public.pretrends_failed").value == len(failed) > 0
    # Two differences between three years are needed before a path can be seen.
    assert all(c.status != "pass" for c in made.checks if c.id.endswith("wave1_pre_trends"))
    assert "kinship" in made.say("kinship").text
    assert (
        chapters.public.sentence("rereferral", "")
        == made.claim(  # type: ignore[attr-defined]
            "public.rereferral.sentence"
        ).value
    )


# --- by Ofsted rating ----------------------------------------------------------------------------
def test_ratings_are_the_latest_published_before_the_launch(figures: Figures) -> None:
    """Against the judgements of pilots typed, with their source, among the programme's facts."""
    launch = ratings.launch()
    found = figures.ratings(launch)
    for pilot in programme().pilots:
        before = pilot.ofsted_at(launch - dt.timedelta(days=1))
        assert before is None or found[pilot.dfe_code] == before
    assert sum(p.ofsted_at(launch - dt.timedelta(days=1)) is not None
               for p in programme().pilots) == 11  # fmt: skip
    # A report of the day itself does not count.
    assert figures.ratings(dt.date(2016, 1, 20)).get("938") is None
    assert figures.ratings(dt.date(2016, 1, 21))["938"] == "requires improvement"
    # The first workshop of the first wave was in November 2014: nothing to group its pilots by.
    assert not set(figures.ratings(dt.date(2014, 11, 1))) & set(PILOTS[1])


def test_a_split_by_rating_is_that_of_dummy_regressions(figures: Figures) -> None:
    outcome = SOURCES.outcome("within_45")
    split = ratings.rating_split(figures, outcome, Design(), draws=199, seed=1)
    judged = figures.ratings(ratings.launch())
    rows = rows_of(figures, outcome, Design()).dropna(subset=["y"])
    rows = rows.assign(
        upper=rows["la"].map(lambda la: ratings.GROUP.get(judged.get(la, "")) == ratings.UPPER)
    )
    d = rows["pilot"] * rows["post"]
    rows = rows.assign(low=d * ~rows["upper"], high=d * rows["upper"])
    fit = smf.ols("y ~ low + high + C(la) + C(year)", rows).fit()
    group = next(g for g in split.groups if g.comparators == ratings.ALL)
    assert group.att == pytest.approx(fit.params["low"], abs=1e-8)
    assert split.difference == pytest.approx(fit.params["high"] - fit.params["low"], abs=1e-8)
    alike = rows[rows["la"].map(lambda la: ratings.GROUP.get(judged.get(la, "")) == ratings.LOWER)]
    fit = smf.ols("y ~ low + C(la) + C(year)", alike).fit()
    group = next(g for g in split.groups if g.comparators == ratings.ALIKE)
    assert group.att == pytest.approx(fit.params["low"], abs=1e-8)
    # Two pilots of ten were rated higher: no effect of their own, and 45 ways to deal them.
    assert {g.label for g in split.groups} == {ratings.LOWER}
    assert (split.pilots_lower, split.pilots_upper) == (8, 2)
    assert split.difference_smallest_p == pytest.approx(1 / 45)
    kept = companion.released().split(outcome.id)
    assert kept is not None
    assert kept.difference_p == pytest.approx(split.difference_p, abs=1e-9)  # all 45 ways
    assert kept.groups[0].att == pytest.approx(split.groups[0].att, abs=1e-8)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("901,2015-01-01,fair,0", "line 2: overall_judgement 'fair' is not one of 'inadequate'"),
        ("901,1 May 2015,good,0", "line 2: published '1 May 2015' is not a day"),
    ],
)
def test_a_report_with_an_odd_judgement_is_refused(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / SOURCES.file("ofsted").name
    head = "old_la_code,published,overall_judgement,n_signs_of_safety"
    path.write_text(f"{head}\n{row}\n", encoding="utf-8")
    with pytest.raises(RecordsError, match=message):
        public.read_ratings(public.locate(path), dt.date(2017, 9, 29))
