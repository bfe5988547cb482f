"""The made-up England: reproducible, calibrated, coherent, with a truth that can be found again."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from synthetic_records import read, working_days

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records import synthetic, synthetic_context
from sos_analysis.records.synthetic_care import LEGAL, PLACEMENTS, REASONS, STARTS
from sos_analysis.records.synthetic_facts import CLOSURES, NEEDS
from sos_analysis.records.synthetic_rates import calibration
from sos_analysis.sources import ROOT
from sos_analysis.study import FIRST_REAL_CODE, load_study

SCALE = 0.02  # of England: about 135,000 referrals, a few seconds
THREE = ["004", "017", "090"]

CIN_COLUMNS = (
    "CIN_LAchildID_Anon",
    "CIN_LA",
    "CIN_ACADYR",
    "CIN_PupilMatchingRefAnonymous",
    "CIN_DOB",
    "CIN_ExpectedDOB",
    "CIN_YearOfBirth",
    "CIN_MonthOfBirth",
    "CIN_Gender",
    "CIN_Ethnicity",
    "CIN_Disability",
    "CIN_AsylumSeeking",
    "CIN_ReferralDate",
    "CIN_ReferralNFA",
    "CIN_PrimaryNeedCode",
    "CIN_CINClosureDate",
    "CIN_ReasonForClosure",
    "CIN_DateOfInitialCPC",
    "CIN_CPPstartDate",
    "CIN_CPPendDate",
    "CIN_CategoryOfAbuse",
    "CIN_LatestCategoryOfAbuse",
    "CIN_NumberOfPreviousCPP",
    "CIN_AnyPoint",
    "CIN_Started",
    "CIN_Ended",
    "CIN_CINAt31March",
    "CIN_PersonDeathDate",
)


def reference_data() -> Path:
    """Folder of public code lists; the tests that need it say so when it is missing."""
    place = os.environ.get("SOS_REFERENCE_DATA") or ROOT.parent / "shared" / "reference-data"
    if not Path(place).is_dir():
        pytest.skip("no public reference data here: set SOS_REFERENCE_DATA to its folder")
    return Path(place)


@pytest.fixture(scope="session")
def study():
    return load_study("synthetic")


@pytest.fixture(scope="session")
def england(study, tmp_path_factory):
    """All authorities, small, with dirt."""
    folder = tmp_path_factory.mktemp("england")
    said: list[str] = []
    manifest = synthetic.generate(
        study, folder / "extract", folder / "truth", scale=SCALE, progress=said.append
    )
    return folder, manifest, said


@pytest.fixture(scope="session")
def clean(study, tmp_path_factory):
    """Six authorities without dirt."""
    folder = tmp_path_factory.mktemp("clean")
    chosen = [*THREE, "013", "049", "120"]
    synthetic.generate(
        study, folder / "extract", folder / "truth", scale=0.1, authorities=chosen, dirt=False
    )
    return folder / "extract"


# --- Reproducible -------------------------------------------------------------------------------


def test_same_seed_same_bytes_other_seed_other_bytes(study, tmp_path):
    made = {}
    for name, seed in (("a", None), ("b", None), ("c", 7)):
        out = tmp_path / name
        made[name] = synthetic.generate(
            study, out / "x", out / "t", scale=SCALE, seed=seed, authorities=["004", "090"]
        )
    for folder in ("x", "t"):
        first = {p.name: p.read_bytes() for p in (tmp_path / "a" / folder).iterdir()}
        again = {p.name: p.read_bytes() for p in (tmp_path / "b" / folder).iterdir()}
        assert first == again
    assert made["a"] == made["b"]
    same = {n for n, h in made["a"].files.items() if made["c"].files[n] == h}
    assert same == {"authorities.parquet"}  # names alone do not depend on the seed
    stored = json.loads((tmp_path / "a" / "x" / "manifest.json").read_text())
    assert stored["files"] == dict(made["a"].files)
    assert stored["schema"] == "npd"
    assert stored["seed"] == study.synthetic.seed


def test_an_authority_does_not_depend_on_the_others(study, tmp_path):
    for name, chosen in (("one", ["017"]), ("three", THREE)):
        synthetic.generate(
            study, tmp_path / name, tmp_path / f"{name}-t", scale=SCALE, authorities=chosen
        )
    files = sorted(p.name for p in (tmp_path / "one").glob("*.parquet"))
    assert len(files) == 11 + 8 + 11 + 10 + 3
    for file in files:
        one, three = (pq.read_table(tmp_path / n / file) for n in ("one", "three"))
        names = one.column_names
        place = next(c for c in ("CIN_LA", "CIN_LA_LGR", "LA", "la") if c in names)
        assert len(one) < len(three)
        assert one.equals(three.filter(pc.equal(three[place], "017"))), file


def test_a_crash_leaves_the_earlier_extract_and_nothing_else(study, tmp_path, monkeypatch):
    def make() -> None:
        synthetic.generate(study, tmp_path / "x", tmp_path / "t", scale=SCALE, authorities=THREE)

    make()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError("the disk is full")
        return synthetic_context_la_years(*args)

    synthetic_context_la_years = synthetic_context.la_years
    monkeypatch.setattr(synthetic_context, "la_years", fail)
    with pytest.raises(OSError, match="disk is full"):
        make()
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert after == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "x"]


# --- Shape and codes ----------------------------------------------------------------------------


def test_files_and_columns_are_those_of_the_npd_extract(england):
    folder, manifest, said = england
    extract = folder / "extract"
    first = pq.read_schema(extract / "cin_2008.parquet").names
    last = pq.read_schema(extract / "cin_2018.parquet").names
    assert first == [
        *("CIN_LA_LGR" if c == "CIN_LA" else c for c in CIN_COLUMNS),
        "CIN_EVERFSM_6_SPR09",
        "CIN_EYPPE_SPR09",
    ]
    assert last == [*CIN_COLUMNS, "CIN_EVERFSM_6_SPR19", "CIN_EYPPE_SPR19"]
    assert set(manifest.files) == {p.name for p in extract.glob("*.parquet")}
    assert len(manifest.authorities) == 152
    assert said[-1].startswith(f"{manifest.rows['referrals']:,} referrals")
    years = pd.read_parquet(extract / "la_years.parquet")
    assert len(years) == 152 * 11
    assert years.drop(columns="assessments").notna().all().all()
    # Counted from the files themselves, which begin with the year ending March 2012.
    assert years["assessments"].isna().eq(years["year"] < 2012).all()
    assert years["assessments"].sum() == manifest.rows["assessments"]
    assert set(years["ofsted"]) == {1, 2, 3, 4}
    counted = read(extract, "cin").groupby("year")["CIN_NumberOfPreviousCPP"].count()
    assert set(counted[counted > 0].index) == {2009, *range(2013, 2020)}


def test_codes_stay_within_the_published_code_sets(england):
    folder, _, _ = england
    sets = pd.read_csv(reference_data() / "codesets" / "ssda903_codesets.csv")
    known = sets.groupby("field")["code"].agg(set)
    assert set(LEGAL) <= known["LS"]
    assert set(PLACEMENTS) <= known["PLACE"]
    assert set(REASONS) <= known["REC"]
    assert set(STARTS) <= known["RNE"]
    cin = pd.read_csv(reference_data() / "codesets" / "cin_census_codesets_2017_2020.csv")
    known = cin.groupby("xsd_type")["code"].agg(set)
    assert set(NEEDS) == known["primaryneedcodetype"]
    assert set(CLOSURES) == known["reasonforclosuretype"]
    assert set(calibration("choices")["ethnicity"]["codes"]) == known["ethnicitytype"]
    assert set(calibration("choices")["disability"]["codes"]) < known["disabilitytype"]
    assert set(calibration("choices")["plan"]["category_codes"]) == known["categoryofabusetype"]
    care = pd.read_parquet(folder / "extract" / "cla_episodes.parquet")
    # Every code that can be written is, but for the rarest.
    assert len(set(LEGAL) - set(care["legal_status"])) == 0
    assert len(set(PLACEMENTS) - set(care["placement"])) <= 3


def test_no_made_up_authority_can_pass_for_a_real_one(study, england):
    folder, manifest, _ = england
    names = pd.read_parquet(folder / "extract" / "authorities.parquet")
    assert names["la"].astype(int).between(1, FIRST_REAL_CODE - 1).all()
    assert set(names["la"]) == set(manifest.authorities)
    assert names["name"].str.contains("made up|made-up", case=False).all()
    # No place name, and no other table, holds anything else about where a child lives.
    assert not {a.name for a in study.authorities} - set(names["name"])
    for path in (folder / "extract").glob("*.parquet"):
        columns = {c.lower() for c in pq.read_schema(path).names}
        assert not {c for c in columns if "postcode" in c or "upn" in c or "surname" in c}, path


def test_made_up_names_and_codes_are_on_no_published_list(study):
    real: set[str] = set()
    codes: set[str] = set()
    for path in sorted((reference_data() / "geography").glob("*.csv")):
        table = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
        real |= {str(value).strip().lower() for column in table for value in table[column]}
        for column in {"old_la_code", "la_code", "LA Number", "LA num"} & set(table.columns):
            codes |= set(table[column].dropna())
    assert "hartlepool" in real  # the lists were read
    assert {"301", "805", "926"} <= codes
    assert min(int(code) for code in codes if code.isdigit()) >= FIRST_REAL_CODE
    words = {word for value in real for word in value.replace("-", " ").split()}
    for authority in study.authorities:
        assert authority.code not in codes
        stem = authority.name.removesuffix(" (made up)").lower()
        assert stem not in real
        assert stem not in words, authority.name


# --- Plausible ----------------------------------------------------------------------------------


def test_assessments_pile_up_below_45_working_days(england):
    folder, _, _ = england
    frame = read(folder / "extract", "assessments")
    assert (
        frame.loc[frame["AssessmentStartDate"] < "2013-04-01", "AssessmentType"] == "core"
    ).all()
    single = frame[frame["AssessmentType"] == "single"].dropna(
        subset=["AssessmentAuthorisationDate"]
    )
    assert single["AssessmentStartDate"].min() >= pd.Timestamp("2013-04-01")
    days = working_days(single["AssessmentStartDate"], single["AssessmentAuthorisationDate"])
    assert days.mean() == pytest.approx(31, abs=2)  # published: 28 to 32
    assert (days <= 45).mean() == pytest.approx(0.83, abs=0.015)  # published: 82.7 to 83.8
    last_week, week_before = ((days > 40) & (days <= 45)).sum(), ((days > 35) & (days <= 40)).sum()
    week_after = ((days > 45) & (days <= 50)).sum()
    assert last_week > 1.3 * week_before
    assert last_week > 2 * week_after
    assert 0.001 < (days > 110).mean() < 0.01


def test_dirt_is_of_the_known_kinds_and_rare(england, clean):
    folder, _, _ = england
    rate = calibration("choices")["dirt"]
    cin = read(folder / "extract", "cin")
    need, reason = cin["CIN_PrimaryNeedCode"], cin["CIN_ReasonForClosure"]
    referral = cin["CIN_ReferralDate"]
    key = ["CIN_LA", "CIN_LAchildID_Anon"]
    found = {
        "lower_case_need": need.str.match(r"n\d").mean(),
        "unmapped_need": (need == "UnmappedNeedCode").mean(),
        "padded_reason": (reason.dropna() != reason.dropna().str.strip()).mean(),
        "closure_before_referral": (cin["CIN_CINClosureDate"] < referral).mean(),
        "gender_code": (~cin["CIN_Gender"].isin(["0", "1", "2", "9"])).mean(),
        "flag_missing": cin["CIN_ReferralNFA"].isna().mean(),
        "impossible_age": (cin["CIN_DOB"] > referral + pd.Timedelta(days=366)).mean(),
    }
    copies = cin.duplicated([*key, "CIN_ReferralDate", "year", "CIN_CPPstartDate"])
    found["same_day_copy"] = copies.sum() / cin["CIN_ReferralNFA"].eq(True).sum()
    for name, share in found.items():
        # Within a factor of three: few rows, and some kinds can hit only some rows.
        assert rate[name] / 3 < share < rate[name] * 3, name
    births = cin.dropna(subset=["CIN_DOB"]).groupby(key)["CIN_DOB"].nunique()
    assert 0 < (births > 1).mean() < 0.01
    assessed = read(folder / "extract", "assessments").dropna(
        subset=["AssessmentAuthorisationDate"]
    )
    twice = assessed.duplicated([*key, "AssessmentStartDate", "year"]).mean()
    assert rate["duplicate_assessment"] / 3 < twice < rate["duplicate_assessment"] * 3
    tidy = read(clean, "cin")
    assert set(tidy["CIN_PrimaryNeedCode"].dropna()) == set(NEEDS)
    assert set(tidy["CIN_ReasonForClosure"].dropna()) <= set(CLOSURES)
    assert set(tidy["CIN_Gender"]) == {"0", "1", "2"}


# --- Kept apart ---------------------------------------------------------------------------------


def test_truth_never_lies_in_the_extract(study, england, tmp_path):
    folder, _, _ = england
    names = {p.name for p in (folder / "extract").iterdir()}
    assert not {n for n in names if "truth" in n or "potential" in n}
    for path in (folder / "extract").glob("*.parquet"):
        assert not {"y0", "y1", "treated"} & set(pq.read_schema(path).names)
    for out, truth in (("x", "x"), ("x", "x/truth"), ("t/x", "t")):
        with pytest.raises(ParameterError, match="truth_out"):
            synthetic.generate(study, tmp_path / out, tmp_path / truth, scale=SCALE)


# --- Refusals -----------------------------------------------------------------------------------


def test_wrong_parameters_are_named(study, tmp_path):
    places = (tmp_path / "x", tmp_path / "t")
    with pytest.raises(ParameterError, match=r"scale: found 0"):
        synthetic.generate(study, *places, scale=0)
    with pytest.raises(ParameterError, match=r"authorities: found \['926'\]; expected codes from"):
        synthetic.generate(study, *places, authorities=["004", "926"])
    real = dataclasses.replace(study, origin="restricted", synthetic=None, truth=None)
    with pytest.raises(RecordsError, match="only a study with origin 'synthetic'"):
        synthetic.generate(real, *places)
    assert not any(tmp_path.iterdir())
