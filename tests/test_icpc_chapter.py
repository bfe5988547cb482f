"""Conferences: logit and its twin, completeness by hand, bounds by brute force, the page."""

from __future__ import annotations

import itertools
import shutil
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.optimize import linprog
from scipy.special import expit
from scipy.special import logit as log_odds
from simulated_designs import matched as simulated

from sos_analysis import checks, workspace
from sos_analysis.chapters import CHAPTERS, chapter, checked
from sos_analysis.chapters.fit import fit
from sos_analysis.chapters.icpc_fit import budgets
from sos_analysis.comparison.complete import LAST_YEAR, chances, complete_cells, complete_part
from sos_analysis.errors import ParameterError, SosError, StudyError
from sos_analysis.estimation import did
from sos_analysis.estimation.binary import logit
from sos_analysis.estimation.frames import FrameError, cell_table
from sos_analysis.estimation.incomplete import (
    chance_of_complete,
    outcome_weights,
    point,
    worst_case,
)
from sos_analysis.records.completeness import LOOKS, conference_returns, judge
from sos_analysis.study import load_study

pytestmark = pytest.mark.xdist_group("icpc")

# --- the logit --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def design() -> pd.DataFrame:
    """A small matched design: 4 pilots, shared comparators, a covariate, uneven weights."""
    rng = np.random.default_rng(5)
    return simulated(rng, pilots=4, pool=6, strata=2, mean_size=60, effect=0.05).frame


def _individual(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an individual."""
    rows = frame.loc[frame.index.repeat(frame["n"])].copy()
    place = rows.groupby(level=0).cumcount()
    return rows.assign(y=(place < rows["y_sum"]).astype(float)).reset_index(drop=True)


def _row_design(rows: pd.DataFrame, specification: str) -> np.ndarray:
    """Dummies by pandas, the effect first."""
    exposed = rows["treated"] * rows["post"]
    if specification == "original":
        parts = [rows["post"], rows["treated"], pd.get_dummies(rows["year"], drop_first=True)]
    else:
        pair = rows["group"].astype(str) + rows["la"].astype(str)
        time = rows["group"].astype(str) + ":" + rows["event_time"].astype(str)
        parts = [pd.get_dummies(pair, drop_first=True), pd.get_dummies(time)]
    parts.append(pd.get_dummies(rows["stratum"], drop_first=True))
    x = np.column_stack([exposed, np.ones(len(rows)), *(p.to_numpy(float) for p in parts)])
    kept: list[int] = []
    for j in [*range(1, x.shape[1]), 0]:  # the effect last: it is judged given the others
        if np.linalg.matrix_rank(x[:, [*kept, j]]) > len(kept):
            kept.append(j)
    assert kept[-1] == 0
    return x[:, [0, *kept[:-1]]]


@pytest.mark.parametrize("specification", ["original", "preferred"])
def test_logit_on_cells_is_statsmodels_on_rows(design: pd.DataFrame, specification: str) -> None:
    rows = _individual(design)
    x = _row_design(rows, specification)
    las = np.unique(rows["la"].to_numpy().astype(str), return_inverse=True)[1]
    model = sm.GLM(
        rows["y"].to_numpy(), x, family=sm.families.Binomial(), var_weights=rows["weight"]
    )
    options = {"cov_type": "cluster", "cov_kwds": {"groups": las, "use_correction": False}}
    result = model.fit(tol=1e-12, **options)
    on = x[x[:, 0] == 1]
    off = on.copy()
    off[:, 0] = 0
    w = rows["weight"].to_numpy()[x[:, 0] == 1]

    def effect(beta: np.ndarray) -> float:
        return float(np.average(expit(on @ beta) - expit(off @ beta), weights=w))

    beta = result.params
    step = 1e-6
    gradient = [
        (effect(beta + step * unit) - effect(beta - step * unit)) / (2 * step)
        for unit in np.eye(len(beta))
    ]
    g = len(np.unique(las))
    delta = np.sqrt(g / (g - 1) * (gradient @ result.cov_params() @ gradient))
    found = logit(design, ["stratum"], specification=specification)
    # Two convergent fits of one likelihood; the gradient here is numerical.
    assert found.coefficient == pytest.approx(beta[0], abs=1e-7)
    assert found.ame == pytest.approx(effect(beta), abs=1e-8)
    assert found.se_delta == pytest.approx(delta, rel=1e-5)
    assert found.baseline == pytest.approx(np.average(expit(off @ beta), weights=w), abs=1e-8)
    assert found.n_rows == len(rows)


def test_jackknife_is_near_the_one_of_complete_refits(design: pd.DataFrame) -> None:
    found = logit(design, ["stratum"], specification="preferred")
    las = sorted(design["la"].unique())
    left = [logit(design[design["la"] != la], ["stratum"]).ame for la in las]
    g = len(las)
    se = np.sqrt((g - 1) / g * np.sum((np.array(left) - found.ame) ** 2))
    # One Newton step instead of convergence: MacKinnon, Nielsen and Webb call the two very close.
    assert found.se_jackknife == pytest.approx(se, rel=0.05)
    assert found.df == 3


def _two_by_two(rates: dict[tuple[int, int], float]) -> pd.DataFrame:
    """Two authorities, pilot and comparator, before and after, 1,000 cases each."""
    return pd.DataFrame(
        [
            {
                "la": f"{name}{k}",
                "treated": treated,
                "post": post,
                "event_time": post - 1,
                "n": 1000,
                "y_sum": round(1000 * rates[treated, post]),
            }
            for treated, name in ((1, "p"), (0, "c"))
            for k in (1, 2)
            for post in (0, 1)
        ]
    )


def test_effect_of_a_saturated_logit_by_hand() -> None:
    """Equal levels before: the linear difference exactly. Else: the trend is on log odds."""
    equal = {(1, 0): 0.10, (1, 1): 0.07, (0, 0): 0.10, (0, 1): 0.12}
    found = logit(_two_by_two(equal), specification="original")
    linear = did.estimate(_two_by_two(equal), specification="original", draws=99, seed=1)
    assert found.ame == pytest.approx(-0.05, abs=1e-9)
    assert linear.att == pytest.approx(-0.05, abs=1e-9)
    uneven = {**equal, (1, 0): 0.20, (1, 1): 0.18}
    trend = log_odds(0.12) - log_odds(0.10)
    counterfactual = expit(log_odds(0.20) + trend)
    found = logit(_two_by_two(uneven), specification="original")
    assert found.ame == pytest.approx(0.18 - counterfactual, abs=1e-9)
    assert found.baseline == pytest.approx(counterfactual, abs=1e-9)
    assert found.coefficient == pytest.approx(log_odds(0.18) - log_odds(0.20) - trend, abs=1e-7)


def test_what_a_logit_cannot_fit_is_a_note_and_not_a_number(design: pd.DataFrame) -> None:
    frame = design.copy()
    after = (frame["treated"] * frame["post"]) == 1
    frame.loc[after, "y_sum"] = 0
    none = logit(frame, ["stratum"])
    assert np.isnan([none.ame, none.p, none.se_jackknife]).all()
    assert "none had" in none.notes[0]
    # A category without a single conference is set aside with its rows; the rest is fitted.
    frame = design.assign(kind=np.where(design["year"] % 3 == 0, "rare", "usual"))
    rare = frame["kind"] == "rare"
    frame.loc[rare, "y_sum"] = 0
    found = logit(frame, ["kind"], specification="original")
    assert found.omitted >= 1
    usual = logit(frame[~rare], specification="original")
    assert found.ame == pytest.approx(usual.ame, abs=1e-9)
    assert found.n_rows == usual.n_rows
    # Perfect prediction by a combination that no single category shows.
    frame = design.copy()
    pilots = frame["treated"] == 1
    frame["z"] = np.where(pilots, 1.0, -1.0) * (1 + frame["year"] / 1e4)
    frame["y_sum"] = np.where(pilots & ~after.to_numpy(), frame["n"], 0)
    frame.loc[after, "y_sum"] = frame.loc[after, "n"] // 2
    apart = logit(frame, [], ["z"], specification="original")
    assert np.isnan(apart.ame)
    assert "the logit gives no number" in apart.notes[0]
    with pytest.raises(FrameError, match="must be one of original, preferred"):
        logit(design, specification="probit")
    with pytest.raises(FrameError, match="outcome of 0 or 1"):
        logit(design.assign(y_sum=design["n"] + 1))
    with pytest.raises(FrameError, match="not identified"):
        logit(design[design["treated"] == 0])


# --- completeness -----------------------------------------------------------------------------


def _records(referrals: list, enquiries: list, conferences: list) -> SimpleNamespace:
    """Canonical tables from rows written by hand."""

    def table(rows: list, names: list[str]) -> ibis.Table:
        frame = pd.DataFrame(rows, columns=["la", "child_id", *names])
        for name in names:
            if name.endswith("date"):
                frame[name] = pd.to_datetime(frame[name]).dt.date
        made = ibis.memtable(frame)
        days = {name: made[name].cast("date") for name in names if name.endswith("date")}
        flags = {n: made[n].cast("boolean") for n in names if n == "not_required"}
        return made.mutate(**days, **flags)

    return SimpleNamespace(
        tables={
            "referrals": table(referrals, ["referral_date"]),
            "s47_icpc": table(enquiries, ["s47_date", "icpc_date", "not_required"]),
            "conferences": table(conferences, ["icpc_date", "source"]),
        }
    )


def test_returns_are_counted_as_by_hand() -> None:
    study = load_study()
    la, other = study.sample("icpc")[:2]
    outside = next(a.code for a in study.authorities if a.code not in study.sample("icpc"))
    records = _records(
        [(la, "a", "2015-03-31"), (la, "b", "2015-04-01"), (outside, "a", "2015-05-01")],
        [
            (la, "a", "2015-03-20", None, False),  # answered by its copy in the next return
            (la, "a", "2015-03-20", "2015-04-02", False),
            (la, "b", "2015-06-01", None, True),  # none needed
            (la, "c", "2015-06-01", None, False),  # a conference held 90 days after, elsewhere
            (la, "d", "2015-06-01", None, False),  # 91 days after: no answer
            (la, "e", "2015-06-01", None, None),  # says nothing
            (other, "a", "2015-06-01", None, None),  # a return that never states the mark
        ],
        [
            (la, "a", "2015-04-02", "s47"),
            (la, "a", "2015-04-02", "cin"),  # the same conference in both places
            (la, "c", "2015-08-30", "cin"),
            (la, "d", "2015-08-31", "s47"),
            (other, "z", "2016-04-01", "cin"),
        ],
    )
    found = conference_returns(records, study).set_index(["la", "year"])
    assert set(found.index.get_level_values("la")) == set(study.sample("icpc"))
    assert list(found.loc[(la, 2015)]) == [1, 0, 0, 1, 1]
    assert list(found.loc[(la, 2016)]) == [1, 3, 2, 4, 2]
    assert list(found.loc[(la, 2012)]) == [0, 0, 0, 0, 0]
    assert np.isnan(found.loc[(other, 2016), "answered"])
    assert found.loc[(other, 2017), "conferences"] == 1


def _returns(**changes: tuple[str, int, float]) -> pd.DataFrame:
    """Three authorities, five years; all year 2015 lies a third lower for everybody."""
    rows = [
        {
            "la": la,
            "year": year,
            "referrals": 1000,
            "conferences": 80 if year == 2015 else 120,
            "conferences_s47": 76 if year == 2015 else 114,
            "enquiries": 300,
            "answered": 300.0,
        }
        for la in ("001", "002", "003")
        for year in range(2013, 2018)
    ]
    frame = pd.DataFrame(rows)
    for name, (la, year, value) in changes.items():
        frame.loc[(frame["la"] == la) & (frame["year"] == year), name] = value
    return frame


FEW = {"conferences": ("003", 2013, 40)}


@pytest.mark.parametrize(
    ("changes", "source", "failed"),
    [
        ({}, "s47", ()),  # a movement that all share fails nobody
        ({"answered": ("001", 2014, 285.0)}, "s47", ()),  # exactly at 95 in 100
        ({"answered": ("001", 2014, 284.0)}, "s47", ("enquiries_answered",)),
        ({"answered": ("001", 2014, np.nan)}, "s47", ()),  # cannot be judged
        ({"conferences_s47": ("002", 2016, 89)}, "s47", ("recorded_in_section47",)),
        ({"conferences_s47": ("002", 2016, 89)}, "either", ()),  # then the place does not matter
        # Few conferences beside as many answered enquiries as ever are a fall, not a gap ...
        ({**FEW, "conferences_s47": ("003", 2013, 40)}, "s47", ()),
        # ... and a gap where enquiries are few too, or do not say what came of them.
        ({**FEW, "enquiries": ("003", 2013, 90), "answered": ("003", 2013, 90.0)}, "either",
         ("own_rate",)),
        ({**FEW, "answered": ("003", 2013, np.nan)}, "either", ("own_rate",)),
    ],
)  # fmt: skip
def test_a_return_is_judged_by_the_declared_rule(
    changes: dict[str, tuple[str, int, float]], source: str, failed: tuple[str, ...]
) -> None:
    rules = load_study().completeness
    assert (rules.enquiries_answered, rules.recorded_in_section47, rules.own_rate) == (
        *(0.95, 0.75, 0.5),
    )
    judged = judge(_returns(**changes), rules, source=source)
    assert tuple(n for n in LOOKS if (judged[n] == "fail").any()) == failed
    assert (~judged["complete"]).sum() == len(failed)
    if failed:
        (la, year, _) = next(iter(changes.values()))
        row = judged[~judged["complete"]].iloc[0]
        assert (row["la"], row["year"]) == (la, year)
    off = replace(rules, enquiries_answered=0.0, recorded_in_section47=0.0, own_rate=0.0)
    assert judge(_returns(**changes), off, source=source)["complete"].all()
    strict = replace(rules, fewest=301)
    assert (judge(_returns(**changes), strict, source=source)[list(LOOKS)] == "not judged").all(
        axis=None
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("own_rate = 0.5", "own_rate = 1.5", r"completeness\.own_rate: found 1\.5"),
        ("own_rate = 0.5", "own_ratio = 0.5", r"completeness\.own_ratio: unknown key.*own_rate"),
        ("fewest = 20", "fewest = 0", r"completeness\.fewest: found 0.*from 1 to 10000"),
        ("[completeness]", "[complete]", r"complete: unknown key.*'completeness'"),
    ],
)
def test_a_wrong_rule_is_told_by_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = load_study().path.read_text("utf-8")
    assert old in text
    path = tmp_path / "rule.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_study(path)


# --- cells, bounds, weights -------------------------------------------------------------------


def test_a_case_rests_on_every_year_its_window_touches() -> None:
    intervals = pd.DataFrame(
        {
            "interval": [0, 1, 2],
            "first_day": [date(2014, 4, 1), date(2015, 4, 1), date(2016, 4, 1)],
            "last_day": [date(2015, 3, 31), date(2016, 3, 31), date(2016, 4, 1)],
            "year": [2015, 2016, 2017],
        }
    )
    frame = pd.DataFrame(
        {"la": pd.Categorical(["001"] * 4), "first": [0, 0, 1, 1], "last": [0, 1, 1, 2], "n": 5}
    )
    from sos_analysis.cells import Cells

    cells = Cells(frame, intervals, pd.DataFrame({"margin": ["phase"]}), (), {"groups": ["P1"]})
    judged = pd.DataFrame({"la": "001", "year": [2015, 2016], "complete": [False, True]})
    # The window of the last ends after the last return: censoring's business, not completeness's.
    assert complete_cells(cells, judged).tolist() == [False, False, True, True]
    part = complete_part(cells, judged)
    assert part.frame["first"].tolist() == [1, 1]
    assert part.frame[LAST_YEAR].tolist() == ["2016", "2017"]
    assert part.margins.empty  # counts of the whole are not those of a part
    sample = part.frame.assign(year=2016)
    sample.loc[1, "year"] = 2015
    chance = {("001", 2015): 0.5, ("001", 2016): 0.8}
    assert chances(sample, chance, 2016) == pytest.approx([0.8, 0.4])
    with pytest.raises(ParameterError, match="authority 001 for the year ending March 2015"):
        complete_cells(cells, judged[judged["year"] == 2016])


@pytest.fixture(scope="module")
def gaps(design: pd.DataFrame) -> pd.DataFrame:
    """The design with two authority-years marked: a pilot's and a shared comparator's."""
    shared = design[design["copies"] > 1]["la"].iloc[0]
    pilot = design[design["treated"] == 1]["la"].iloc[0]
    after = design[(design["la"] == pilot) & (design["post"] == 1)]["year"].min()
    last = design[design["la"] == shared]["year"].max()
    mark = ((design["la"] == shared) & (design["year"] == last)) | (
        (design["la"] == pilot) & (design["year"] == after)
    )
    name = design["year"].astype(str) + design["stratum"]
    return design.assign(origin=np.where(mark, name, ""))


def _entries(frame: pd.DataFrame) -> pd.DataFrame:
    unsure = frame[frame["origin"] != ""]
    return unsure.drop_duplicates(["la", "origin"])[["la", "origin", "n", "y_sum"]]


def _filled(frame: pd.DataFrame, entries: pd.DataFrame, extra: np.ndarray) -> float:
    added = entries.assign(extra=extra)[["la", "origin", "extra"]]
    joined = frame.merge(added, on=["la", "origin"], how="left")
    return point(joined.assign(y_sum=joined["y_sum"] + joined["extra"].fillna(0)), ["stratum"]).att


def test_worst_case_is_the_extreme_of_every_pattern(gaps: pd.DataFrame) -> None:
    entries = _entries(gaps)
    assert len(entries) == 4
    assert (gaps["origin"] != "").sum() > 4  # copies over groups
    room = (entries["n"] - entries["y_sum"]).to_numpy(float)
    every = [
        _filled(gaps, entries, room * pattern) for pattern in itertools.product((0, 1), repeat=4)
    ]
    found = worst_case(gaps, ["stratum"], origin="origin")
    # All are exact solutions of one linear system.
    assert found.low == pytest.approx(min(every), abs=1e-10)
    assert found.high == pytest.approx(max(every), abs=1e-10)
    assert found.recorded == pytest.approx(every[0], abs=1e-10)
    assert found.all_had == pytest.approx(every[-1], abs=1e-10)
    # Missing outcomes of the pilot after adoption raise it, of the comparator they lower it.
    assert found.ci[0] < found.low < found.recorded < found.high < found.ci[1]
    assert np.isnan(found.capped_low)


def test_budgets_bound_as_a_linear_programme_does(gaps: pd.DataFrame) -> None:
    entries = _entries(gaps)
    room = (entries["n"] - entries["y_sum"]).to_numpy(float)
    none = _filled(gaps, entries, np.zeros(4))
    gain = [_filled(gaps, entries, unit) - none for unit in np.eye(4)]
    las = sorted(gaps["la"].unique())
    for most in (0.0, 7.0, 1e6):
        member = np.array([(entries["la"] == la).to_numpy(float) for la in las])
        ends = [
            none
            + sign
            * linprog(
                sign * np.array(gain),
                A_ub=member,
                b_ub=np.full(len(las), most),
                bounds=list(zip(np.zeros(4), room, strict=True)),
            ).fun
            for sign in (1, -1)
        ]
        found = worst_case(gaps, ["stratum"], origin="origin", budgets=dict.fromkeys(las, most))
        assert (found.capped_low, found.capped_high) == pytest.approx(ends, abs=1e-9)
    wide = worst_case(gaps, ["stratum"], origin="origin", budgets=dict.fromkeys(las, 1e6))
    assert (wide.capped_low, wide.capped_high) == pytest.approx((wide.low, wide.high), abs=1e-10)


def test_a_budget_counts_what_a_return_leaves_open() -> None:
    rules = load_study().completeness
    gap = judge(_returns(answered=("002", 2015, 200.0)), rules, source="s47")
    # 100 unanswered enquiries of the year; outside the module 4 of its conferences and 6 of the
    # year before, whose conferences may fall in it.
    assert budgets(gap, "s47") == {"001": 0.0, "002": 110.0, "003": 0.0}
    assert budgets(gap, "either") == {"001": 0.0, "002": 100.0, "003": 0.0}
    silent = judge(_returns(answered=("002", 2015, np.nan)), rules, source="s47")
    assert budgets(silent, "s47") == dict.fromkeys(("001", "002", "003"), 0.0)  # none fails
    thin = judge(_returns(**FEW, answered=("003", 2013, np.nan)), rules, source="either")
    assert budgets(thin, "either") is None


def test_the_estimate_is_a_sum_of_outcomes(design: pd.DataFrame) -> None:
    table = cell_table(design, ["stratum"])
    each = outcome_weights(table)
    found = point(design, ["stratum"])
    assert each @ table.y_sum == pytest.approx(found.att, abs=1e-12)
    # A constant more for everybody changes nothing: weights sum to zero over individuals.
    assert each @ table.n == pytest.approx(0, abs=1e-12)


def test_chance_of_a_complete_return() -> None:
    rng = np.random.default_rng(2)
    size, pilot = rng.normal(8, 1, 4000), rng.integers(0, 2, 4000)
    true = expit(1.5 + 0.8 * (size - 8) - 0.7 * pilot)
    complete = rng.random(4000) < true
    known = {"size": size, "pilot": pilot, "flat": np.ones(4000)}
    chance, why = chance_of_complete(complete, known)
    assert why == ""
    # Three coefficients from 4,000 returns: chances within a few points.
    assert np.abs(chance - true).max() < 0.08
    # A logit with a constant predicts as many as there are.
    assert chance.sum() == pytest.approx(complete.sum(), rel=1e-6)
    assert chance_of_complete(np.ones(5, bool), {"size": size[:5]})[1] == "all are complete"
    apart, why = chance_of_complete(pilot == 0, {"pilot": pilot})
    assert "separates" in why
    assert (apart == 1).all()


# --- checks -----------------------------------------------------------------------------------


def test_sentences_of_the_checks() -> None:
    good = checks.complete_returns(0.98, -0.4, 0.2)
    assert (good.id, good.status) == ("completeness", "pass")
    assert good.sentence == (
        "By the rule declared beforehand, 98.0% of authorities' yearly returns of conferences are "
        "complete enough; the share of cases behind them changed by \u22120.4 percentage points in "
        "pilots and 0.2 percentage points in comparators, so gaps in the returns are unlikely to "
        "explain the result."
    )
    uneven = checks.complete_returns(0.98, -8, 0)
    assert uneven.status == "fail"
    assert uneven.sentence.endswith("so missing returns may have shaped the result.")
    even = checks.complete_returns(0.8, -1, 0)
    assert even.status == "fail"
    assert "as much in pilots as in comparators" in even.sentence
    narrow = checks.bounds_width(-0.2, 0.3, 1, "per 100")
    assert narrow.status == "pass"
    assert narrow.sentence == (
        "Whatever happened in the missing records, the estimate lies within \u22120.2 to 0.3 "
        "per 100, a range of 0.5: no more than the smallest difference called important (1.0)."
    )
    wide = checks.bounds_width(-2, 3, 1, "per 100")
    assert wide.status == "fail"
    assert wide.sentence.endswith("so the answer leans on the records that are there.")
    with pytest.raises(SosError, match="bounds run from 3 to 2"):
        checks.bounds_width(3, 2, 1, "per 100")
    with pytest.raises(SosError, match="above zero"):
        checks.bounds_width(1, 2, 0, "per 100")


# --- the page ---------------------------------------------------------------------------------

#: Authority-years that lose conferences, and the share they lose: pilots 013 and 058.
LOST = {("013", 2018): 0.6, ("025", 2016): 0.8, ("058", 2019): 0.5, ("041", 2015): 0.4}


def lose_conferences(source: Path, target: Path, lost: dict[tuple[str, int], float]) -> None:
    """A copy of an extract whose returns lack dates of conferences, in both places."""
    shutil.copytree(source, target)
    for stem, column in (("cin", "CIN_DateOfInitialCPC"), ("section47", "DateOfInitialCPC")):
        for file in target.glob(f"{stem}_*.parquet"):
            table = pd.read_parquet(file)
            la = table["CIN_LA" if "CIN_LA" in table else "CIN_LA_LGR"].astype(str)
            day = pd.to_datetime(table[column])
            year = day.dt.year + (day.dt.month >= 4)
            child = table["CIN_LAchildID_Anon"].astype(str)
            draw = pd.util.hash_pandas_object(child, index=False).to_numpy() % 1009 / 1009
            for (code, when), share in lost.items():
                here = (la == code).to_numpy() & (year == when).to_numpy() & (draw < share)
                table.loc[here, column] = None
            table.to_parquet(file, index=False)
    (target / "manifest.json").unlink()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made-up extract with every date, and its copy with gaps."""
    from sos_analysis.records.synthetic import generate

    study = load_study()
    place = tmp_path_factory.mktemp("conferences")
    generate(
        study, place / "npd", place / "truth", scale=0.15, authorities=list(study.sample("icpc"))
    )
    lose_conferences(place / "npd", place / "gaps", LOST)
    return place / "npd", place / "gaps"


def test_gaps_are_found_bounded_and_nobody_is_named(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    from test_chapters import DRAWS, _restricted

    study = load_study()
    whole, gapped = folders
    chosen = checked(CHAPTERS["addendum_icpc"], {"extract": str(whole), "draws": DRAWS})
    full = fit(study, "icpc", "original", chosen).preferred
    returns = judge(workspace.conference_returns(study, whole), study.completeness, source="s47")
    path = _restricted(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = chapter("addendum_icpc", study=str(path), extract=str(gapped), draws=DRAWS)
    before = int((~returns["complete"]).sum())
    assert int(found.claim("icpc.returns.failed").value) == before + len(LOST)
    # The estimate with every date lies in the range that the gaps allow.
    worst = found.claim("icpc.bounds.worst")
    assert worst.low is not None
    assert worst.high is not None
    assert worst.low <= 100 * full.att <= worst.high
    assert worst.low <= float(worst.value) <= worst.high
    capped = found.claim("icpc.bounds.capped")
    assert worst.low <= float(capped.low or 0) <= float(capped.high or 0) <= worst.high
    assert {c.id: c.status for c in found.checks}["bounds_width"] == "fail"
    assert {"completeness", "few_clusters", "pre_trends"} <= {c.id for c in found.checks}
    for name in ("logit", "completeness", "kept", "missing"):
        assert found.tables[name].rows, name
    for key in ("published", "logit", "completeness", "complete", "bounds", "rule_out"):
        assert found.say(key).text
    assert "not in the papers open to this project" in found.say("published").text
    everything = found.to_json()
    assert "ade-up" not in "".join(found.say(k).text for k in found.prose)
    for authority in study.authorities:
        assert authority.name.removesuffix(" (made up)") not in everything
    # Codes of authorities stand nowhere: three digits alone in a cell or a label.
    for table in found.tables.values():
        for row in table.rows:
            assert not [v for v in row if isinstance(v, str) and v in study.sample("icpc")]


def test_the_companion_stands_beside_the_outcome_where_it_holds_it(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sos_analysis.chapters import icpc, public
    from sos_analysis.errors import ClaimError

    def some(short: str, public_data: str) -> str:
        if short != "icpc":
            raise ClaimError(short)
        return "What the public figures say."

    monkeypatch.setattr(public, "sentence", some)
    page = object.__new__(icpc._Conferences)
    made: dict[str, str | float] = {}
    page.chosen = {"public_data": ""}

    def claim(name: str, value: str | float, unit: str = "", **_: object) -> str:
        made[name] = value
        return f"icpc.{name}"

    page.claim = claim
    said = page._companion()
    first = {f"companion_{s}_wave1": public.quoted(s, 1) for s in ("icpc", "icpc_per_referral")}
    assert all(e is not None and e.wave == 1 for e in first.values())
    assert made == {
        "companion_icpc": "What the public figures say.",
        **{name: e.att for name, e in first.items() if e is not None},
    }
    assert "{icpc.companion_icpc_wave1:full}" in said
    assert "{icpc.companion_icpc}" in said
    assert "not the outcome of this chapter" in said
