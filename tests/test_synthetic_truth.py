"""The planted truth: it is in the records, it can be found again, and every switch moves it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from synthetic_records import fiscal, read, referrals_of, working_days

from sos_analysis.errors import StudyError
from sos_analysis.records import synthetic
from sos_analysis.records.synthetic_effects import baseline_rating
from sos_analysis.sources import ROOT
from sos_analysis.study import Switches, Truth, load_study


@pytest.fixture(scope="session")
def study():
    return load_study("synthetic")


@pytest.fixture(scope="session")
def pilots(study, tmp_path_factory):
    """The nine pilots with the study's own effects and nothing else switched on."""
    return planted(study, tmp_path_factory.mktemp("pilots"), dict(study.truth.effects))


def planted(study, folder: Path, effects: dict[str, float]) -> Path:
    """Records of the pilots with these effects planted."""
    return world(study, folder, Truth(effects=effects, note="test"), scale=0.5)


def world(study, folder: Path, truth: Truth, scale: float, others: bool = False) -> Path:
    """Records of the pilots, and of the authorities they are compared with, under this truth."""
    changed = dataclasses.replace(study, truth=truth)
    las = [a.code for a in study.authorities] if others else [p.la for p in study.pilots]
    synthetic.generate(
        changed, folder / "extract", folder / "truth", scale=scale, authorities=las, dirt=False
    )
    return folder


def switched(study, effects: dict[str, float], **switches: bool) -> Truth:
    """The study's own truth with these effects, and these switches alone."""
    return dataclasses.replace(
        study.truth,
        effects=dict.fromkeys(study.truth.effects, 0.0) | effects,
        switches=Switches(**switches),
    )


def summary(folder: Path) -> dict[tuple[str, str], dict]:
    """The stored true effects by outcome and definition."""
    stored = json.loads((folder / "truth" / "truth.json").read_text("utf-8"))
    return {(e["outcome"], e["definition"]): e for e in stored["effects"]}


def kinship_from_records(extract: Path) -> pd.DataFrame:
    """Both kinship outcomes of each period under care orders, straight from the episodes."""
    care = pq.read_table(extract / "cla_episodes.parquet").to_pandas(date_as_object=False)
    start = care["poc_start"]
    under = care["legal_status"].isin(["C1", "C2"])
    under &= (care["date_episode_started"] - start).dt.days <= 365
    kin = care["placement"].isin(["Q1", "U1", "U2", "U3"]) | (
        care["placement"].isin(["F1", "F4"]) & (care["date_episode_started"] < "2015-04-01")
    )
    wide = care["placement"].isin(["Q1", "U1", "U2", "U3", "F1", "F4", "P1"])
    left = care["reason_episode_ceased"].isin(["E43", "E44", "E45", "E47", "E13", "E4A", "E4"])
    left &= (care["date_episode_ceased"] - start).dt.days <= 365
    frame = care.assign(under=under, strict=under & kin, original=(under & wide) | left)
    frame = frame.groupby(["LA", "CHILD_ID_ANON", "poc_start"])[
        ["under", "strict", "original"]
    ].max()
    frame = frame[frame["under"]].reset_index()
    return frame.rename(columns={"LA": "la", "CHILD_ID_ANON": "child_id", "poc_start": "date"})


def truth_rows(folder: Path) -> pd.DataFrame:
    table = pq.read_table(folder / "truth" / "potential_outcomes.parquet")
    return table.to_pandas(date_as_object=False)


def test_planted_kinship_effect_is_in_the_truth_and_in_the_records(study, pilots):
    rows = truth_rows(pilots)
    found = kinship_from_records(pilots / "extract")
    ends = {p.la: pd.Timestamp(p.embedding_end) for p in study.pilots}
    found = found[found["date"] > found["la"].map(ends)]
    found = found[found["date"] + pd.Timedelta(days=365) < pd.Timestamp("2019-03-31")]
    for definition in ("original", "strict"):
        mine = rows[(rows["outcome"] == "kinship") & (rows["definition"] == definition)]
        both = mine.merge(found, on=["la", "child_id", "date"], how="outer", indicator=True)
        assert (both["_merge"] == "both").all()
        assert (both["y1"] == both[definition].astype(int)).all()
        assert (mine["y1"] <= mine["y0"]).all()  # the effect is negative for every child
    mine = rows[rows["definition"] == "original"]
    effect = (mine["y1"] - mine["y0"]).mean()
    # Events are turned by count, each pilot and year apart: some 25 of them, each off by the
    # rounding of its ends (variance 1/6 of an event); four standard errors.
    allowed = 4 * np.sqrt(25 / 6) / len(mine)
    assert effect == pytest.approx(study.truth.effects["kinship"], abs=allowed)
    assert allowed < 0.02
    summary = json.loads((pilots / "truth" / "truth.json").read_text())
    stored = {(e["outcome"], e["definition"]): e for e in summary["effects"]}
    assert stored["kinship", "original"]["att_all_pilots"] == pytest.approx(effect)
    sample = {g.pilot for g in study.groups("kinship")}
    inside = mine[mine["la"].isin(sample)]
    assert stored["kinship", "original"]["att"] == pytest.approx(
        (inside["y1"] - inside["y0"]).mean()
    )
    assert stored["rereferral", "original"]["att"] == 0.0
    assert set(rows["outcome"]) == {"kinship"}


def test_without_an_effect_the_records_are_the_untreated_ones(study, pilots, tmp_path):
    """Two worlds, one truth: what is recorded without the effect is the stored y0 with it."""
    none = planted(study, tmp_path, dict.fromkeys(study.truth.effects, 0.0))
    rows = truth_rows(none)
    assert (rows["y0"] == rows["y1"]).all()
    with_effect = truth_rows(pilots)
    key = ["definition", "la", "child_id", "date"]
    both = rows.merge(with_effect, on=key, suffixes=("_none", "_planted"))
    # Placements alone change, never who is in care or for how long.
    assert len(both) == len(rows) == len(with_effect)
    assert (both["y1_none"] == both["y0_planted"]).all()
    for table in ("cin_2018", "section47_2016", "assessments_2015"):
        one, other = (pq.read_table(f / "extract" / f"{table}.parquet") for f in (none, pilots))
        same = [c for c in one.column_names if c != "CIN_ReasonForClosure"]
        assert one.select(same).equals(other.select(same)), table


def comes_back(folder: Path) -> None:
    """What is stored about returns within six months of any referral is what the records hold."""
    cases = referrals_of(read(folder / "extract", "cin"))
    cases = cases.sort_values(["la", "child_id", "referral"])
    following = cases.groupby(["la", "child_id"])["referral"].shift(-1)
    cases["again"] = (following - cases["referral"]).dt.days <= 183
    rows = truth_rows(folder).query("outcome == 'rereferral_all' and definition == 'strict'")
    both = rows.merge(cases.rename(columns={"referral": "date"}), on=["la", "child_id", "date"])
    assert len(both) == len(rows) > 1000
    assert (both["y1"] == both["again"]).all()


def test_effects_can_be_planted_on_every_outcome_and_found_in_the_records(study, tmp_path):
    effects = dict.fromkeys(study.truth.effects, 0.0)
    # Escalation brings conferences of its own and is planted apart.
    folder = planted(study, tmp_path / "escalation", effects | {"escalation": 0.02})
    # By way of the re-referral and the case that follows it, so that its size is approximate.
    found = summary(folder)["escalation", "strict"]["att_all_pilots"]
    assert found == pytest.approx(0.02, abs=0.01)
    # Every re-referral, those after NFA among them.
    folder = planted(study, tmp_path / "all", effects | {"rereferral_all": 0.03})
    found = summary(folder)["rereferral_all", "strict"]["att_all_pilots"]
    assert found == pytest.approx(0.03, abs=0.005)
    comes_back(folder)
    effects |= {"duration": -3.0, "rereferral": -0.05, "icpc": -0.03}
    effects |= {"nfa_share": 0.04}
    folder = planted(study, tmp_path, effects)
    stored = summary(folder)
    rows = truth_rows(folder).assign(change=lambda r: r["y1"] - r["y0"])
    ends = {p.la: pd.Timestamp(p.embedding_end) for p in study.pilots}
    wide = {"nfa_share": "original"}
    for outcome in effects:
        for definition in ("original", "strict"):
            mine = rows[(rows["outcome"] == outcome) & (rows["definition"] == definition)]
            row = stored[outcome, definition]
            if mine.empty:
                assert effects[outcome] == row["att"] == 0.0
                continue
            assert row["att_all_pilots"] == pytest.approx(mine["change"].mean()), outcome
            each = mine.groupby("la")["change"].mean()
            for pilot in study.pilots:
                if pilot.id in row["by_pilot"]:
                    found = row["by_pilot"][pilot.id]["effect"]
                    assert found == pytest.approx(each[pilot.la]), outcome
            inside = [study.pilot(g.id) for g in study.groups(outcome)]
            equal = np.mean([each[p.la] for p in inside if p.la in each.index])
            assert row["att_equal_pilots"] == pytest.approx(equal)
            assert row["predicted_naive"] == row["att"]  # nothing else is switched on
            if outcome == "kinship" or definition != wide.get(outcome, "strict"):
                continue
            # Four standard errors of a share of events that change; durations cannot fall below 0.
            allowed = 0.25 if outcome == "duration" else 4 * np.sqrt(0.05 / len(mine))
            assert len(mine) > 1000
            assert row["att_all_pilots"] == pytest.approx(effects[outcome], abs=allowed), outcome

    def joined(outcome: str, definition: str, found: pd.DataFrame) -> pd.DataFrame:
        mine = rows[(rows["outcome"] == outcome) & (rows["definition"] == definition)]
        both = mine.merge(found, on=["la", "child_id", "date"])
        assert len(both) > 0.97 * len(mine), outcome
        return both

    cases = referrals_of(read(folder / "extract", "cin"))
    cases = cases.sort_values(["la", "child_id", "referral"])
    cases["following"] = cases.groupby(["la", "child_id"])["referral"].shift(-1)
    named = cases.rename(columns={"referral": "date"})
    both = joined("nfa_share", "strict", named)
    assert (both["y1"] == both["nfa"]).all()
    closed = cases[cases["nfa"]].copy()
    closed["date"] = closed["closed"].fillna(closed["referral"])
    closed["again"] = (closed["following"] - closed["date"]).dt.days <= 183
    both = joined("rereferral", "strict", closed[closed["date"] > closed["la"].map(ends)])
    assert (both["y1"] == both["again"]).all()
    enquiries = read(folder / "extract", "section47").dropna(subset=["DateOfInitialCPC"])
    details = read(folder / "extract", "cin").dropna(subset=["CIN_DateOfInitialCPC"])
    key = ["CIN_LA", "CIN_LAchildID_Anon", "CIN_ReferralDate"]
    meetings = pd.concat(
        [
            enquiries[[*key, "DateOfInitialCPC"]].set_axis([*key, "held"], axis=1),
            details[[*key, "CIN_DateOfInitialCPC"]].set_axis([*key, "held"], axis=1),
        ]
    )
    first = meetings.groupby(key)["held"].min().reset_index()
    first.columns = ["la", "child_id", "date", "held"]
    both = joined("icpc", "strict", named.merge(first, how="left"))
    near = (both["held"] - both["date"]).dt.days <= 90
    assert (both["y1"] == near).mean() > 0.995  # some conferences are moved off a weekend
    single = read(folder / "extract", "assessments").sort_values("year")
    key = ["CIN_LA", "CIN_LAchildID_Anon", "AssessmentStartDate"]
    single = single.drop_duplicates(key, keep="last").dropna(subset=["AssessmentAuthorisationDate"])
    single = single.rename(columns=dict(zip(key, ["la", "child_id", "date"], strict=True)))
    mine = rows[(rows["outcome"] == "duration") & (rows["definition"] == "strict")]
    both = mine.merge(single)
    assert len(both) > 0.9 * len(mine)
    days = working_days(both["date"], both["AssessmentAuthorisationDate"])
    assert (days == both["y1"]).all()


# --- Switches -----------------------------------------------------------------------------------


def test_nothing_has_an_effect_in_a_null_world(study, tmp_path):
    truth = switched(study, {"kinship": -0.08, "icpc": -0.03}, planted=False)
    folder = world(study, tmp_path, truth, scale=0.1)
    assert (truth_rows(folder).eval("y1 - y0") == 0).all()
    for row in summary(folder).values():
        assert row["planted"] == row["att"] == row["predicted_naive"] == 0.0


def test_effects_differ_by_rating_and_by_delivery(study, tmp_path):
    for switch in ("by_rating", "by_delivery"):
        truth = switched(study, {"icpc": -0.06}, **{switch: True})
        row = summary(world(study, tmp_path / switch, truth, scale=0.5))["icpc", "strict"]
        assert len(row["by_pilot"]) == 9
        for pilot in study.pilots:
            size = truth.size("icpc", baseline_rating(study, pilot), pilot.delivery_score)
            found = row["by_pilot"][pilot.id]
            # Four standard errors of the share of events that change.
            allowed = 4 * np.sqrt(0.06 / found["events"])
            assert found["effect"] == pytest.approx(size, abs=allowed), pilot.id
        assert row["by_delivery"]["high"] < row["by_delivery"]["low"] or switch == "by_rating"
        assert set(row["by_rating"]) <= {"inadequate", "requires improvement", "good"}
        assert row["att_equal_pilots"] != row["att"]
    assert truth.varies
    assert not study.truth.varies


def test_contaminated_comparators_have_a_share_and_the_naive_estimate_is_known(study, tmp_path):
    truth = switched(study, {"icpc": -0.06}, contaminated=True)
    folder = world(study, tmp_path, truth, scale=0.3, others=True)
    rows = truth_rows(folder).query("outcome == 'icpc' and definition == 'strict'")
    effect = rows.assign(change=rows["y1"] - rows["y0"]).groupby(["role", "la"])["change"].mean()
    model = {a.code: a.practice_model for a in study.authorities}
    share = {"same": truth.contamination.same, "partial": truth.contamination.partial}
    theirs = effect["comparator"]
    assert {model[la] for la in theirs.index} == {"same", "partial"}
    for kind, size in share.items():
        mine = theirs[[la for la in theirs.index if model[la] == kind]]
        assert mine.mean() == pytest.approx(-0.06 * size, abs=0.01), kind
    comparators = rows[rows["role"] == "comparator"]
    assert comparators["date"].min() > pd.Timestamp(truth.contamination.start)
    row = summary(folder)["icpc", "strict"]
    # By hand: in each group the comparators' effect after embedding less that before, the latter
    # over all their events, of which only those since the contamination began are changed.
    rule = study.outcome("icpc")
    cin = read(folder / "extract", "cin")
    cases = referrals_of(cin)
    cases = cases[~cases["nfa"] & (cases["reason"] != "RC8") & (cases["referral"] >= "2008-04-01")]
    changes = comparators.assign(change=comparators["y1"] - comparators["y0"])
    others, weights = [], []
    for group in study.groups("icpc"):
        start, end = pd.Timestamp(group.start), pd.Timestamp(group.end)
        differences = []
        for la in group.comparators:
            moved = changes[changes["la"] == la].set_index("date")["change"]
            before = cases[(cases["la"] == la)]["referral"]
            n = (before + pd.Timedelta(days=rule.window_days) < start).sum()
            pre = moved[moved.index + pd.Timedelta(days=rule.window_days) < start].sum() / n
            post = moved[moved.index > end]
            differences.append((post.mean() if len(post) else 0.0) - pre)
        others.append(np.mean(differences))
        weights.append(row["by_pilot"][group.id]["events"])
    by_hand = np.average(others, weights=weights)
    assert row["comparators"] == pytest.approx(by_hand, abs=0.002)
    assert row["comparators"] < -0.005
    assert row["predicted_naive"] == pytest.approx(row["att"] - row["comparators"])


def test_drift_is_no_effect_but_biases_the_naive_estimate(study, tmp_path):
    truth = switched(study, {}, drifting=True)
    truth = dataclasses.replace(truth, drift=dict(truth.drift) | {"icpc": 0.02})
    still = world(study, tmp_path / "still", switched(study, {}), scale=0.3)
    folder = world(study, tmp_path / "drifting", truth, scale=0.3)
    row = summary(folder)["icpc", "strict"]
    assert row["att"] == 0.0
    assert 0.08 < row["drift"] < 0.18  # four to nine years between the windows' middles
    assert row["predicted_naive"] == row["drift"]

    def change(place: Path) -> float:
        """Conferences per case, the last three years less the first three."""
        cin = read(place / "extract", "cin")
        cases = referrals_of(cin)
        cases = cases[~cases["nfa"] & (cases["reason"] != "RC8")]
        met = cin.dropna(subset=["CIN_DateOfInitialCPC"])
        met = met[met["CIN_DateOfInitialCPC"] - met["CIN_ReferralDate"] <= pd.Timedelta(days=90)]
        met = fiscal(met["CIN_ReferralDate"]).value_counts()
        share = met / fiscal(cases["referral"]).value_counts()
        share = share.sort_index()
        return float(share.loc[2016:2018].mean() - share.loc[2009:2011].mean())

    # Seven years apart; dates in the details are recorded for 95 of 100 conferences.
    assert change(folder) - change(still) == pytest.approx(7 * 0.02 * 0.95, abs=0.04)


def test_recording_of_nfa_shifts_in_some_pilots_and_conferences_are_missing(study, tmp_path):
    las = [study.pilot(id).la for id in study.truth.nfa_recording]
    shares = {}
    for name, on in (("off", False), ("on", True)):
        truth = switched(study, {}, nfa_recording_shift=on, icpc_incomplete=on)
        gaps = dataclasses.replace(truth.icpc_incomplete, authority_years=0.25)
        folder = world(
            study, tmp_path / name, dataclasses.replace(truth, icpc_incomplete=gaps), scale=0.3
        )
        cin = read(folder / "extract", "cin")
        cases = referrals_of(cin).assign(year=lambda c: fiscal(c["referral"]))
        flagged = cases.groupby(["la", "year"])["nfa"].mean()
        cases["none"] = cases["nfa"] | (cases["reason"] == "RC8")
        without_need = cases.groupby(["la", "year"])["none"].mean()
        met = read(folder / "extract", "section47")["DateOfInitialCPC"].notna().sum()
        plans = cin.dropna(subset=["CIN_CPPstartDate"])
        begun = len(plans.groupby(["CIN_LA", "CIN_LAchildID_Anon", "CIN_CPPstartDate"]))
        shares[name] = (flagged, without_need, met / begun)
    flagged, without_need, _ = shares["on"]
    for la, shift in zip(las, study.truth.nfa_recording.values(), strict=True):
        # Shares of a few hundred to thousand referrals; age moves them by another point.
        assert flagged[la, shift.from_year] == pytest.approx(shift.before, abs=0.04)
        assert flagged[la, shift.to_year] == pytest.approx(shift.after, abs=0.04)
        fall = without_need[la, shift.from_year] - without_need[la, shift.to_year - 1]
        assert fall < 0.6 * (shift.before - shift.after)  # most turn up as not in need
    # A quarter of authority-years lack half of their conferences, plans stay.
    lost = 1 - shares["on"][2] / shares["off"][2]
    assert lost == pytest.approx(0.25 * 0.5, abs=0.05)


def test_a_wrong_switch_or_size_is_named(tmp_path):
    text = (ROOT / "data" / "study" / "synthetic.toml").read_text("utf-8")
    for old, new, message in (
        ("contaminated = false", "contaminatd = false", "truth.switches.contaminatd.*unknown key"),
        ("drifting = false", "drifting = 0", r"truth.switches.drifting: found 0 \(int\)"),
        ("same = 1.0", "same = 1.5", r"truth.contamination.same: found 1.5"),
        ("[truth.nfa_recording.P3]", "[truth.nfa_recording.P33]", "nfa_recording.P33: unknown key"),
        ("most = 0.8", "most = 0.1", r"truth.icpc_incomplete.most.*at least `least`"),
        ("planted = true", "", "truth.switches.planted: missing; write true or false"),
    ):
        assert old in text
        path = tmp_path / "study.toml"
        path.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(StudyError, match=message):
            load_study(path)
    changed = tmp_path / "study.toml"
    changed.write_text(text.replace("drifting = false", "drifting = true"), "utf-8")
    assert load_study(changed).hash != load_study("synthetic").hash
