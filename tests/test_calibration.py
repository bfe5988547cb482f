"""A full made-up England against every published figure it is calibrated to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_records import fiscal, read, referrals_of

from sos_analysis.errors import RecordsError
from sos_analysis.records import synthetic
from sos_analysis.records.calibration import measure, targets
from sos_analysis.records.calibration_sql import figures
from sos_analysis.records.synthetic_rates import YEARS, calibration
from sos_analysis.study import load_study


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """All of England: half a minute. Spread over authorities cannot be measured on less, because
    the chance of single children would add to it what England's own figures hardly hold."""
    folder = tmp_path_factory.mktemp("full")
    synthetic.generate(load_study("synthetic"), folder / "x", folder / "t")
    return folder / "x"


def test_every_published_figure_is_met(full):
    compared = measure(full)
    assert len(compared) == len(targets()) > 250
    off = [
        (c.target.id, c.target.year, c.target.statistic, c.target.value, round(c.measured, 2))
        for c in compared
        if not c.within
    ]
    assert not off


def test_targets_are_whole_and_unique():
    every = targets()
    assert len({(t.id, t.year, t.statistic) for t in every}) == len(every)
    published = [t for t in every if not t.ours]
    assert {t.group for t in published} == {"year", "spread", "quantile", "share"}
    for t in every:
        assert t.source, t
        assert t.tolerance_reason, t
        assert t.allowed > 0, t
        assert t.ours == (t.source == "no published figure: ours")
    # Every row of the yearly table in every year, and the nine rates of authorities.
    yearly = {(t.id, t.year) for t in published if t.group == "year"}
    for id in ("referrals", "children", "rereferral", "nfa", "not_in_need", "cin_any", "cin_open",
               "section47", "icpc", "plan", "second_plan", "plan_open", "population"):  # fmt: skip
        assert {(id, year) for year in range(2013, 2020)} <= yearly, id
    assert sum(t.group == "spread" for t in every) == 9 * 4


def test_tolerances_are_tight():
    """A tenth off in a total, or two points in a share, is found."""
    for t in targets():
        if t.group == "year" and not t.ours:
            assert t.allowed <= (0.05 * t.value if t.relative else 1.0), t
        if t.group == "spread":
            assert t.allowed <= (0.15 * t.value if t.relative else 0.1), t


def test_figures_agree_with_a_plain_count(tmp_path):
    """The SQL against pandas on two authorities."""
    out = tmp_path / "x"
    synthetic.generate(
        load_study("synthetic"), out, tmp_path / "t", scale=0.1, authorities=["004", "017"]
    )
    found = figures(out, 0.1)
    cin = read(out, "cin")
    cases = referrals_of(cin).sort_values(["la", "child_id", "referral"])
    previous = cases.groupby(["la", "child_id"])["referral"].shift()
    cases = cases.assign(
        year=fiscal(cases["referral"]), again=(cases["referral"] - previous).dt.days <= 365
    )
    for year in (2013, 2018):
        mine = cases[cases["year"] == year]
        assert found["referrals", year, ""] == pytest.approx(len(mine) / 100)
        assert found["rereferral", year, ""] == pytest.approx(100 * mine["again"].mean())
        assert found["nfa", year, ""] == pytest.approx(100 * mine["nfa"].mean())
        none = ~mine["nfa"] & (mine["reason"].str.strip() == "RC8")
        assert found["not_in_need", year, ""] == pytest.approx(100 * none.mean())
        here = cin[(cin["year"] == year) & (cin["CIN_CINAt31March"] == 1)]
        key = ["CIN_LA", "CIN_LAchildID_Anon", "CIN_ReferralDate"]
        assert found["cin_open", year, ""] == pytest.approx(len(here[key].drop_duplicates()) / 100)
        care = pd.read_parquet(out / "cla_episodes.parquet")
        day = pd.Timestamp(year, 3, 31)
        start, finish = (
            pd.to_datetime(care[c]) for c in ("date_episode_started", "date_episode_ceased")
        )
        stays = care[~care["legal_status"].isin(["V3", "V4"])]
        there = (start <= day) & ((finish > day) | finish.isna())
        assert found["care_open", year, ""] == pytest.approx(
            len(stays[there[stays.index]][["LA", "CHILD_ID_ANON"]].drop_duplicates()) / 100
        )
    assert np.isfinite(list(found.values())).all()
    with pytest.raises(RecordsError, match=r"no cin_\*\.parquet"):
        figures(tmp_path / "t")


def test_every_rate_names_its_source_or_says_it_is_ours():
    for file in ("england", "spread", "choices", "fitted"):
        for name, row in calibration(file).items():
            said = row.get("source") or row.get("measured")
            assert said or row.get("ours") is True, f"{file}.toml [{name}]"
    for name, row in calibration("england").items():
        assert set(row["years"]).isdisjoint(row.get("ours", {}).get("years", ())), name
    for name, row in calibration("fitted").items():
        assert len(row["values"]) == len(YEARS), name
