"""Records and outcomes on small hand-made extracts whose answers were worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.outcomes import OUTCOME_COLUMNS, events
from sos_analysis.records import calendar
from sos_analysis.records.extract import open_extract
from sos_analysis.records.tables import CANONICAL, Records
from sos_analysis.study import Study, load_study

D = date

# Columns and types of the extract as the contract of the extract has them (docs/data_dictionary).
CIN = {
    "CIN_LAchildID_Anon": pa.string(),
    "CIN_LA": pa.string(),
    "CIN_ACADYR": pa.int16(),
    "CIN_DOB": pa.date32(),
    "CIN_ExpectedDOB": pa.date32(),
    "CIN_YearOfBirth": pa.int16(),
    "CIN_MonthOfBirth": pa.int16(),
    "CIN_Gender": pa.string(),
    "CIN_Ethnicity": pa.string(),
    "CIN_Disability": pa.int8(),
    "CIN_AsylumSeeking": pa.int8(),
    "CIN_ReferralDate": pa.date32(),
    "CIN_ReferralNFA": pa.bool_(),
    "CIN_PrimaryNeedCode": pa.string(),
    "CIN_CINClosureDate": pa.date32(),
    "CIN_ReasonForClosure": pa.string(),
    "CIN_DateOfInitialCPC": pa.date32(),
    "CIN_CPPstartDate": pa.date32(),
    "CIN_CPPendDate": pa.date32(),
    "CIN_NumberOfPreviousCPP": pa.int16(),
    "CIN_AnyPoint": pa.int8(),
    "CIN_EVERFSM_6_SPR": pa.int8(),
}
ASSESSMENTS = {
    "CIN_LA": pa.string(),
    "CIN_LAchildID_Anon": pa.string(),
    "AssessmentStartDate": pa.date32(),
    "AssessmentAuthorisationDate": pa.date32(),
}
S47 = {
    "CIN_LA": pa.string(),
    "CIN_LAchildID_Anon": pa.string(),
    "CIN_ReferralDate": pa.date32(),
    "S47ActualStartDate": pa.date32(),
    "DateOfInitialCPC": pa.date32(),
}
CARE = {
    "CHILD_LA_CODE_ANON": pa.string(),
    "CHILD_ID_ANON": pa.string(),
    "LA": pa.string(),
    "poc_start": pa.date32(),
    "date_episode_started": pa.date32(),
    "date_episode_ceased": pa.date32(),
    "RNE": pa.string(),
    "legal_status": pa.string(),
    "cin": pa.string(),
    "placement": pa.string(),
    "reason_episode_ceased": pa.string(),
    "SEX": pa.string(),
    "ethnic_or": pa.string(),
    "dob_Year": pa.int16(),
    "dob_Month": pa.int16(),
    "uasc_status": pa.int8(),
}
SHORT = {
    "child": "CIN_LAchildID_Anon",
    "la": "CIN_LA",
    "ref": "CIN_ReferralDate",
    "nfa": "CIN_ReferralNFA",
    "closed": "CIN_CINClosureDate",
    "why": "CIN_ReasonForClosure",
    "icpc": "CIN_DateOfInitialCPC",
    "plan": "CIN_CPPstartDate",
    "previous": "CIN_NumberOfPreviousCPP",
    "dob": "CIN_DOB",
    "sex": "CIN_Gender",
    "ethnicity": "CIN_Ethnicity",
    "need": "CIN_PrimaryNeedCode",
    "marked": "CIN_AnyPoint",
    "fsm": "CIN_EVERFSM_6_SPR",
    "start": "AssessmentStartDate",
    "end": "AssessmentAuthorisationDate",
    "s47": "S47ActualStartDate",
    "conference": "DateOfInitialCPC",
}
LA = "004"
BORN = D(2005, 6, 10)


def write(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, pa.DataType]
) -> None:
    data = {name: pa.array([r.get(name) for r in rows], t) for name, t in columns.items()}
    pq.write_table(pa.table(data), path)


def full(rows: Sequence[Mapping[str, Any]], **given: Any) -> list[dict[str, Any]]:
    return [{**given, **{SHORT.get(k, k): v for k, v in row.items()}} for row in rows]


def extract(
    folder: Path,
    cin: Mapping[int, Sequence[Mapping[str, Any]]],
    *,
    assessments: Sequence[Mapping[str, Any]] = (),
    s47: Sequence[Mapping[str, Any]] = (),
    care: Sequence[Mapping[str, Any]] = (),
    columns: Mapping[str, pa.DataType] = CIN,
) -> Path:
    """An extract of few rows; `cin` by year of return, in the short names above."""
    folder.mkdir(parents=True, exist_ok=True)
    for year in range(min(cin), max(cin) + 1):
        given = {"CIN_LA": LA, "CIN_ACADYR": year, "CIN_DOB": BORN}
        rows = full(cin.get(year, ()), **given)
        names = dict(columns)
        if year == 2008:
            names = {("CIN_LA_LGR" if n == "CIN_LA" else n): t for n, t in names.items()}
            rows = [{("CIN_LA_LGR" if n == "CIN_LA" else n): v for n, v in r.items()} for r in rows]
        if "CIN_EVERFSM_6_SPR" in names:
            suffix = f"CIN_EVERFSM_6_SPR{(year + 1) % 100:02d}"
            names = {(suffix if n == "CIN_EVERFSM_6_SPR" else n): t for n, t in names.items()}
            rows = [
                {(suffix if n == "CIN_EVERFSM_6_SPR" else n): v for n, v in r.items()} for r in rows
            ]
        write(folder / f"cin_{year}.parquet", rows, names)
    write(folder / "assessments_2011.parquet", full(assessments, CIN_LA=LA), ASSESSMENTS)
    write(folder / "section47_2008.parquet", full(s47, CIN_LA=LA), S47)
    write(folder / "cla_episodes.parquet", [{"CHILD_LA_CODE_ANON": LA, **r} for r in care], CARE)
    return folder


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("synthetic")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """Opens a hand-made extract; closes it at the end."""
    held: list[Records] = []

    def make(*args: Any, authorities: Sequence[str] | None = None, **kwargs: Any) -> Records:
        folder = extract(tmp_path / f"x{len(held)}", *args, **kwargs)
        held.append(open_extract(folder, authorities=authorities))
        return held[-1]

    yield make
    for records in held:
        records.close()


def rows(records: Records, name: str) -> list[dict[str, Any]]:
    return records.tables[name].to_pyarrow().to_pylist()


def found(
    records: Records, study: Study, outcome: str, definition: str = "original", **options: Any
):
    """{(child, event date): y}; fails on an event that stands twice."""
    table = events(records, study, outcome, definition, **options).to_pyarrow()
    assert tuple(table.column_names) == OUTCOME_COLUMNS
    listed = table.to_pylist()
    by_key = {(r["child_id"], r["event_date"]): r["y"] for r in listed}
    assert len(by_key) == len(listed)
    return by_key


def noted(records: Records) -> dict[tuple[str, str], int]:
    return {(p.table, p.field): p.count for p in records.problems}


# --- calendar -------------------------------------------------------------------------------------
def test_working_days_and_days_of_elevated_risk() -> None:
    table = calendar.calendar_table().to_pylist()
    before = {r["day"]: r["working_before"] for r in table}

    def days(start: date, end: date) -> int:
        return before[end] - before[start]

    assert days(D(2018, 6, 1), D(2018, 6, 4)) == 1  # Friday to Monday
    assert days(D(2018, 6, 2), D(2018, 6, 4)) == 0  # Saturday to Monday
    assert days(D(2018, 5, 4), D(2018, 5, 8)) == 1  # over the early May bank holiday
    assert days(D(2011, 4, 21), D(2011, 5, 3)) == 4  # Easter, royal wedding, early May
    assert days(D(2012, 6, 1), D(2012, 6, 6)) == 1  # two days of the Diamond Jubilee
    assert days(D(2010, 12, 24), D(2010, 12, 31)) == 3  # Christmas on a Saturday: 27th, 28th off
    assert days(D(2017, 12, 22), D(2018, 1, 2)) == 4
    # A year of 365 days from a Monday: 261 weekdays less eight bank holidays.
    assert days(D(2018, 1, 1), D(2019, 1, 1)) == 253

    risky = {r["day"] for r in table if r["elevated_risk"]}
    assert {D(2018, 5, 8), D(2019, 1, 2), D(2018, 12, 27)} <= risky  # the day after
    assert {D(2018, 12, 17) + timedelta(n) for n in range(5)} <= risky  # Monday to Friday before
    assert {D(2018, 7, 16), D(2018, 7, 20), D(2018, 10, 19), D(2019, 4, 5)} <= risky
    assert not {D(2018, 7, 23), D(2018, 9, 12), D(2018, 11, 14), D(2019, 3, 6)} & risky


# --- records --------------------------------------------------------------------------------------
def test_copies_of_a_referral_become_one(opened: Any) -> None:
    records = opened(
        {
            2008: [
                # Open on 31 March, closed in the next return; conference stated in the first only.
                {"child": "a", "ref": D(2009, 1, 5), "icpc": D(2009, 2, 1), "need": "n1 "},
                # Same day twice, one flagged.
                {"child": "b", "ref": D(2008, 5, 1), "nfa": True, "closed": D(2008, 5, 1)},
                {"child": "b", "ref": D(2008, 5, 1), "nfa": False, "plan": D(2008, 6, 2)},
                # Flag stated once, and yes.
                {"child": "c", "ref": D(2008, 5, 1), "nfa": True},
                {"child": "d", "ref": D(2009, 3, 2), "closed": D(2009, 3, 30), "why": "RC7"},
            ],
            2009: [
                {"child": "a", "ref": D(2009, 1, 5), "closed": D(2009, 6, 1), "why": " rc8"},
                {"child": "c", "ref": D(2008, 5, 1)},
                # A later return corrects the closure and states no reason.
                {"child": "d", "ref": D(2009, 3, 2), "closed": D(2009, 4, 9)},
                {"child": "e", "ref": D(2009, 9, 9), "closed": D(2009, 9, 1), "why": "XX"},
            ],
        },
        s47=[
            {"child": "d", "ref": D(2009, 3, 2), "s47": D(2009, 3, 3), "conference": D(2009, 3, 9)}
        ],
    )
    by_child = {r["child_id"]: r for r in rows(records, "referrals")}
    assert len(by_child) == 5
    a, b, c, d, e = (by_child[x] for x in "abcde")
    assert (a["closure_date"], a["closure_reason"], a["primary_need"]) == (
        D(2009, 6, 1),
        "RC8",
        "N1",
    )
    assert (a["icpc_date"], a["has_icpc"], a["has_plan"]) == (D(2009, 2, 1), True, False)
    assert (a["first_return"], a["last_return"], a["nfa_flag"], a["cin_any"]) == (
        2008,
        2009,
        None,
        None,
    )
    assert (b["nfa_flag"], b["has_plan"]) == (False, True)
    assert c["nfa_flag"] is True
    assert (d["closure_date"], d["closure_reason"]) == (D(2009, 4, 9), "RC7")
    assert (d["has_icpc"], d["icpc_date"]) == (True, None)
    assert e["closed_before_referral"] is True
    assert e["closure_reason"] is None
    told = {(p.table, p.field, p.message): p.count for p in records.problems}
    assert told["referrals", "closure_date", "is before the referral"] == 1
    assert told["referrals", "nfa_flag", "differs between copies of a referral"] == 1
    assert told["cin", "closure_reason", "is no reason for closure (RC1 to RC9)"] == 1
    assert told["cin", "closure_reason", "was padded or misspelt"] == 1
    assert told["cin", "primary_need", "was padded or in small letters"] == 1


def test_codes_are_cleaned_and_counted(opened: Any) -> None:
    records = opened(
        {
            2012: [
                {"child": "a", "ref": D(2012, 5, 1), "sex": "1", "ethnicity": "wbri", "fsm": 1},
                {
                    "child": "a",
                    "ref": D(2012, 6, 1),
                    "sex": "7",
                    "ethnicity": "XXXX",
                    "dob": D(2006, 1, 1),
                },
                {
                    "child": "a",
                    "ref": D(2012, 7, 1),
                    "sex": "1",
                    "dob": BORN,
                    "need": "UnmappedNeedCode",
                },
                {
                    "child": "b",
                    "ref": D(2012, 5, 1),
                    "dob": D(2006, 1, 2),
                    "sex": "0",
                    "ethnicity": "NOBT",
                },
                {
                    "child": "b",
                    "ref": D(2012, 6, 1),
                    "dob": D(2006, 1, 1),
                    "sex": "2",
                    "ethnicity": "ABAN",
                },
                {"child": "c", "ref": D(2012, 6, 1), "dob": None, "CIN_ExpectedDOB": D(2012, 9, 1)},
                {
                    "child": "d",
                    "ref": D(2012, 6, 1),
                    "dob": None,
                    "CIN_YearOfBirth": 2003,
                    "CIN_MonthOfBirth": 2,
                },
                {
                    "child": "e",
                    "ref": D(2012, 6, 1),
                    "dob": D(1980, 1, 1),
                    "CIN_Disability": 0,
                    "fsm": 0,
                },
                {"child": None, "ref": D(2012, 6, 1)},
                {"child": "f", "ref": None},
            ]
        }
    )
    children = {r["child_id"]: r for r in rows(records, "children")}
    assert {x: c["dob"] for x, c in children.items()} == {
        "a": BORN,  # two rows against one
        "b": D(2006, 1, 1),  # one against one: the earlier
        "c": D(2012, 9, 1),
        "d": D(2003, 2, 15),
        "e": D(1980, 1, 1),
        "f": BORN,
    }
    assert [children[x]["sex"] for x in "abc"] == ["male", "female", "unknown"]
    assert [children[x]["ethnicity"] for x in "abc"] == ["White", "Asian", None]
    assert [children[x]["low_income"] for x in "abe"] == [True, None, False]
    assert [children[x]["disabled"] for x in "ae"] == [None, False]
    assert len(rows(records, "referrals")) == 8
    assert noted(records) == {
        ("cin", "sex"): 1,
        ("cin", "primary_need"): 1,
        ("cin", "ethnicity"): 1,
        ("cin", "child_id"): 1,
        ("children", "dob"): 2,
        ("referrals", "referral_date"): 1,
        ("referrals", "dob"): 1,
        ("assessments", "la"): 1,
        ("section47", "la"): 1,
        ("care", "la"): 1,
        ("la_years", ""): 1,
    }


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int8(), pa.float64(), pa.string()])
def test_flags_may_be_written_in_many_ways(opened: Any, kind: pa.DataType) -> None:
    yes, no = ("true", " FALSE") if pa.types.is_string(kind) else (True, False)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        yes, no = 1, 0
    records = opened(
        {
            2010: [
                {"child": "a", "ref": D(2010, 5, 1), "nfa": yes},
                {"child": "b", "ref": D(2010, 5, 1), "nfa": no},
                {"child": "c", "ref": D(2010, 5, 1), "nfa": None},
            ]
        },
        columns={**CIN, "CIN_ReferralNFA": kind},
    )
    assert {r["child_id"]: r["nfa_flag"] for r in rows(records, "referrals")} == {
        "a": True,
        "b": False,
        "c": None,
    }


def episode(child: str, start: date, end: date | None, **more: Any) -> dict[str, Any]:
    named = {
        "rne": "RNE",
        "ls": "legal_status",
        "place": "placement",
        "rec": "reason_episode_ceased",
    }
    return {
        "CHILD_ID_ANON": child,
        "date_episode_started": start,
        "date_episode_ceased": end,
        "legal_status": "C1",
        "placement": "U4",
        **{named.get(k, k): v for k, v in more.items()},
    }


def test_periods_of_care_from_episodes(opened: Any) -> None:
    one = [
        episode("a", D(2012, 1, 10), D(2012, 3, 1), rne="S", ls="V2", place="R1", rec="X1"),
        episode("a", D(2012, 3, 1), D(2012, 6, 1), rne="L", rec="E4A"),
        # Back the day he left: not X1, so a new period though not marked S.
        episode("a", D(2012, 6, 1), D(2012, 7, 1), rne="P", rec="X1"),
        # Goes on, but a day late: a new period.
        episode("a", D(2012, 7, 2), None, rne="P"),
        # Marked as a start though the earlier one went on.
        episode("b", D(2012, 1, 1), D(2012, 2, 1), rne="S", rec="X1"),
        episode("b", D(2012, 2, 1), D(2012, 5, 1), rne="S", rec="E11"),
    ]
    again = episode("b", D(2012, 2, 1), None, rne="S", poc_start=D(2012, 1, 1))  # copy, still open
    records = opened({2012: [{"child": "a", "ref": D(2012, 1, 1)}]}, care=[*one, again])
    got = sorted(
        (
            r["child_id"],
            r["period_start"],
            r["period_end"],
            r["period_end_reason"],
            r["first_placement"],
        )
        for r in rows(records, "care_periods")
    )
    assert got == [
        ("a", D(2012, 1, 10), D(2012, 6, 1), "E4A", "R1"),
        ("a", D(2012, 6, 1), None, None, "U4"),
        ("a", D(2012, 7, 2), None, None, "U4"),
        ("b", D(2012, 1, 1), None, None, "U4"),
        ("b", D(2012, 2, 1), D(2012, 5, 1), "E11", "U4"),
    ]
    assert len(rows(records, "episodes")) == 6
    assert noted(records)["care_periods", "period_start"] == 1


# --- outcomes -------------------------------------------------------------------------------------
def test_duration(opened: Any, study: Study) -> None:
    starts = {
        "a": D(2015, 6, 5),
        "b": D(2015, 6, 6),
        "c": D(2015, 6, 8),
        "e": D(2019, 2, 4),
        "g": D(2019, 2, 3),
    }
    # 110 working days from Monday 8 June 2015: 22 weeks and the August bank holiday.
    at_fence = D(2015, 6, 8) + timedelta(weeks=22, days=1)
    listed = [
        {"child": "a", "start": starts["a"], "end": D(2015, 6, 8)},
        {"child": "b", "start": starts["b"], "end": D(2015, 6, 8)},
        {"child": "c", "start": starts["c"], "end": D(2015, 6, 20)},  # earlier copy
        {"child": "c", "start": starts["c"], "end": at_fence},
        {"child": "c", "start": D(2015, 6, 1), "end": at_fence},  # 115 days: above it
        {"child": "d", "start": D(2015, 6, 8), "end": None},
        {"child": "d", "start": D(2015, 6, 9), "end": D(2015, 6, 8)},
        {"child": "e", "start": starts["e"], "end": D(2019, 2, 5)},  # start + 53 = 29 March: out
        {"child": "g", "start": starts["g"], "end": D(2019, 2, 5)},
        {"child": "h", "start": D(2023, 6, 10), "end": D(2023, 6, 12)},  # after the data
        {"child": "k", "start": D(2007, 6, 11), "end": D(2007, 6, 12)},  # before the data
        {"child": "m", "start": D(2015, 6, 8), "end": D(2015, 6, 9)},  # aged 18 today
        {"child": "n", "start": D(2015, 6, 7), "end": D(2015, 6, 9)},  # aged 17
        {"child": "o", "start": D(2015, 6, 8), "end": D(2015, 6, 10)},  # unknown to the census
        {"child": "p", "start": D(2015, 6, 8), "end": D(2015, 6, 10)},  # unborn
        {"child": "q", "start": D(2015, 6, 8), "end": D(2015, 6, 10)},  # two years to birth
    ]
    born = dict.fromkeys("abcdeghk", BORN) | {
        "m": D(1997, 6, 8),
        "n": D(1997, 6, 8),
        "p": D(2016, 6, 8),
        "q": D(2017, 6, 9),
    }
    records = opened(
        {2015: [{"child": c, "ref": D(2015, 6, 5), "dob": b} for c, b in born.items()]},
        assessments=listed,
    )
    expected = {
        ("a", starts["a"]): 1,
        ("b", starts["b"]): 0,
        ("c", starts["c"]): 110,
        ("g", starts["g"]): 1,
        ("n", D(2015, 6, 7)): 1,
        ("o", D(2015, 6, 8)): 2,
        ("p", D(2015, 6, 8)): 2,
    }
    assert found(records, study, "duration") == expected
    long = {("c", D(2015, 6, 1)): 115}
    assert found(records, study, "duration", "strict") == expected | long
    # Sorted: 0 1 1 1 2 2 110 115; quartiles at ranks 1.75 and 5.25 are 1 and 29; fence 71.
    fenced = {k: y for k, y in expected.items() if y < 71}
    assert found(records, study, "duration", trim="fence") == fenced
    assert found(records, study, "duration", trim=115) == expected | long
    table = {r["child_id"]: r for r in events(records, study, "duration").to_pyarrow().to_pylist()}
    assert table["a"]["window_end"] == D(2015, 6, 8)
    assert [table[c]["age_band"] for c in "anop"] == ["5-12", "13-17", "missing", "0-4"]
    told = {(p.table, p.message): p.count for p in records.problems}
    assert told["assessments", "is before the start"] == 1
    assert told["assessments", "stands more than once for a child"] == 1


NFA = D(2014, 5, 1)


def after(days: int) -> date:
    return NFA + timedelta(days)


def test_who_is_no_further_action(opened: Any, study: Study) -> None:
    def case(child: str, **more: Any) -> dict[str, Any]:
        return {"child": child, "ref": NFA, **more}

    records = opened(
        {
            2013: [case("open-then-rc8", ref=D(2014, 3, 1))],
            2014: [
                case("flag", nfa=True),
                case("flag-rc7", nfa=True, closed=after(20), why="RC7"),
                case("flag-plan", nfa=True, plan=after(20)),
                case("rc8", closed=after(40), why="RC8"),
                case("rc8-icpc", closed=after(40), why="RC8", icpc=after(9)),
                case("rc8-s47-icpc", closed=after(40), why="RC8"),
                case("rc8-s47", closed=after(40), why="RC8"),
                case("rc8-marked", closed=after(40), why="RC8", marked=1),
                case("rc8-unmarked", closed=after(40), why="RC8", marked=0),
                case("open"),
                case("rc3", closed=after(300), why="RC3"),
                case("no-reason", closed=after(30)),
                case("no-reason-marked", closed=after(30), marked=1),
                case("backward", nfa=True, closed=after(-1)),
                case("open-then-rc8", ref=D(2014, 3, 1), closed=after(0), why="RC8"),
            ],
        },
        s47=[
            {"child": "rc8-s47-icpc", "ref": NFA, "s47": after(3), "conference": after(12)},
            {"child": "rc8-s47", "ref": NFA, "s47": after(3)},
        ],
    )
    wide = {c for (c, _), y in found(records, study, "nfa_share").items() if y}
    assert wide == {"flag", "flag-rc7", "rc8", "rc8-s47", "rc8-unmarked", "open-then-rc8"}
    flag = {c for (c, _), y in found(records, study, "nfa_share", "strict").items() if y}
    assert flag == {"flag", "flag-rc7", "flag-plan"}
    everyone = {c for c, _ in found(records, study, "nfa_share")}
    assert "backward" not in everyone
    assert len(everyone) == 14
    in_need = {c for c, _ in found(records, study, "icpc")}
    assert in_need == everyone - wide - {"no-reason"}
    dates = dict(found(records, study, "rereferral").keys())
    assert dates["flag"] == NFA
    assert dates["flag-rc7"] == after(20)
    assert dates["rc8"] == after(40)


def test_rereferral(opened: Any, study: Study) -> None:
    records = opened(
        {
            2014: [
                {"child": "none", "ref": NFA, "nfa": True},
                {"child": "d183", "ref": NFA, "nfa": True},
                {"child": "d183", "ref": after(183)},
                {"child": "d184", "ref": NFA, "nfa": True},
                {"child": "d184", "ref": after(184)},
                # On the NFA date, and between referral and NFA date: neither is new.
                {"child": "same", "ref": NFA, "closed": after(30), "why": "RC8"},
                {"child": "same", "ref": after(10)},
                {"child": "same", "ref": after(30)},
                # A referral closed before it was made still brings the child back.
                {"child": "error", "ref": NFA, "nfa": True},
                {"child": "error", "ref": after(60), "closed": after(50), "nfa": True},
                # Two cases that close on one day are one event.
                {"child": "twice", "ref": NFA, "closed": after(9), "why": "RC8"},
                {"child": "twice", "ref": after(4), "closed": after(9), "why": "RC8"},
                # The same child id elsewhere is another child.
                {"child": "moved", "ref": NFA, "nfa": True},
                {"child": "moved", "ref": after(5), "la": "037"},
                # Referred before the data begin.
                {"child": "early", "ref": D(2008, 3, 31), "nfa": True},
            ],
            2018: [
                {"child": "last", "ref": D(2018, 9, 28), "nfa": True},  # + 183 = 30 March 2019
                {"child": "cut", "ref": D(2018, 9, 29), "nfa": True},
            ],
        }
    )
    assert found(records, study, "rereferral") == {
        ("none", NFA): 0,
        ("d183", NFA): 1,
        ("d184", NFA): 0,
        ("same", after(30)): 0,
        ("error", NFA): 1,
        ("twice", after(9)): 0,
        ("moved", NFA): 0,
        ("last", D(2018, 9, 28)): 0,
    }
    assert set(found(records, study, "rereferral", "strict")) == {
        (c, NFA) for c in ("none", "d183", "d184", "error", "moved")
    } | {("last", D(2018, 9, 28))}
    whole = found(records, study, "rereferral_all")
    assert (whole["same", NFA], whole["same", after(10)], whole["same", after(30)]) == (1, 1, 0)
    assert whole["twice", NFA] == 1
    row = events(records, study, "rereferral").to_pyarrow().to_pylist()[0]
    assert row["window_end"] - row["event_date"] == timedelta(183)


def test_escalation(opened: Any, study: Study) -> None:
    first, last = after(30), after(120)

    def child(name: str, *starts: int) -> list[dict[str, Any]]:
        """NFA, then new referrals on days 30 and 120; plans on the days given."""
        return [
            {"child": name, "ref": NFA, "nfa": True},
            {"child": name, "ref": first},
            {"child": name, "ref": last},
            *({"child": name, "ref": last, "plan": after(day)} for day in starts),
        ]

    records = opened(
        {
            2014: [
                {"child": "never-back", "ref": NFA, "nfa": True},
                {"child": "never-back", "ref": after(200), "plan": after(210)},
                *child("quiet"),
                *child("last-0", 120),
                *child("last-180", 300),
                *child("last-181", 301),
                *child("between", 60),  # after the first, before the last
                *child("between-first", 20, 150),  # before either
                *child("on-first", 30),
                *child("on-nfa", 0, 130),  # the NFA day itself is not after it
                *child("care"),
                *child("break"),
            ]
        },
        care=[
            episode("care", after(140), after(150), rne="S", ls="V2", rec="E8"),
            episode("break", after(140), after(141), rne="S", ls="V4", rec="E8"),
        ],
    )
    original = found(records, study, "escalation")
    assert {c: y for (c, _), y in original.items()} == {
        "never-back": 0,
        "quiet": 0,
        "last-0": 1,
        "last-180": 1,
        "last-181": 0,
        "on-nfa": 1,
        "care": 1,
        "break": 1,
    }
    strict = {c: y for (c, _), y in found(records, study, "escalation", "strict").items()}
    assert strict == {
        "never-back": 0,
        "quiet": 0,
        "last-0": 1,
        "last-180": 0,  # 270 days after the first
        "last-181": 0,
        "between": 1,
        "between-first": 1,
        "on-first": 1,
        "on-nfa": 1,
        "care": 1,
        "break": 0,
    }


def test_kinship(opened: Any, study: Study) -> None:
    start = D(2013, 2, 4)

    def on(days: int) -> date:
        return start + timedelta(days)

    def period(child: str, *stages: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Stages (first day, last day, status, placement, reason) of one period."""
        return [
            episode(
                child,
                on(a),
                None if b is None else on(b),
                ls=ls,
                place=p,
                rec=rec,
                rne="L" if a else "S",
            )
            for a, b, ls, p, rec in stages
        ]

    records = opened(
        {
            2012: [
                {"child": c, "ref": start}
                for c in (
                    "foster",
                    "u1",
                    "f1",
                    "p1",
                    "v2-u1",
                    "late",
                    "day365",
                    "day366",
                    "home",
                    "home-late",
                    "sgo",
                    "e45-u4",
                    "no-order",
                    "break",
                )
            ]
            + [{"child": "18", "ref": start, "dob": D(1995, 2, 4)}]
        },
        care=[
            *period("foster", (0, None, "C2", "U4", None)),
            *period("u1", (0, 20, "C1", "U4", "X1"), (20, None, "C1", "U1", None)),
            *period("f1", (0, None, "C1", "F1", None)),
            *period("p1", (0, None, "C2", "P1", None)),
            # With relatives, but under another status; the order comes later.
            *period("v2-u1", (0, 50, "V2", "U1", "X1"), (50, None, "C2", "U4", None)),
            *period("late", (0, 366, "V2", "U4", "X1"), (366, None, "C2", "U1", None)),
            *period("day365", (0, 365, "C1", "U4", "X1"), (365, None, "C2", "Q1", None)),
            *period("day366", (0, 366, "C1", "U4", "X1"), (366, None, "C2", "Q1", None)),
            *period("home", (0, 365, "C1", "U4", "E4A")),
            *period("home-late", (0, 366, "C1", "U4", "E4A")),
            *period("sgo", (0, 100, "C2", "U4", "X1"), (100, 200, "E1", "U4", "E43")),
            *period("e45-u4", (0, 100, "C2", "U4", "E45")),
            *period("no-order", (0, None, "V2", "U1", None)),
            *period("break", (0, 2, "V4", "U1", "E8")),
            *period("18", (0, None, "C2", "U1", None)),
            *period("unknown-age", (0, None, "C2", "U1", None)),
            {
                **period("by-month", (0, None, "C2", "U1", None))[0],
                "dob_Year": 2010,
                "dob_Month": 2,
            },
        ],
    )
    original = {c: y for (c, _), y in found(records, study, "kinship").items()}
    assert original == {
        "foster": 0,
        "u1": 1,
        "f1": 1,
        "p1": 1,
        "v2-u1": 0,
        "day365": 1,
        "day366": 0,
        "home": 1,
        "home-late": 0,
        "sgo": 1,
        "e45-u4": 1,
        "by-month": 1,
    }
    strict = {c: y for (c, _), y in found(records, study, "kinship", "strict").items()}
    assert strict == {c: int(c in ("u1", "f1", "day365", "by-month")) for c in original}
    before = found(records, study, "kinship", "strict", legacy_until=start)
    assert before["f1", start] == 0
    whole = {c: y for (c, _), y in found(records, study, "kinship", legal="all").items()}
    assert whole == original | {"v2-u1": 1, "no-order": 1, "late": 0}


def test_icpc(opened: Any, study: Study) -> None:
    def held(child: str, day: int) -> dict[str, Any]:
        return {"child": child, "ref": NFA, "s47": NFA, "conference": after(day)}

    names = ("none", "d0", "d1", "d89", "d90", "d91", "cin")
    records = opened(
        {
            2014: [
                *({"child": c, "ref": NFA} for c in names if c != "cin"),
                {"child": "cin", "ref": NFA, "icpc": after(20)},
                # A conference under another referral of the child counts.
                {"child": "none-own", "ref": NFA},
                {"child": "none-own", "ref": after(50)},
            ],
            2018: [
                {"child": "late", "ref": D(2018, 12, 31)},
                {"child": "in", "ref": D(2018, 12, 30)},
            ],
        },
        s47=[
            *(held(c, int(c[1:])) for c in names if c.startswith("d")),
            {"child": "none-own", "ref": after(50), "s47": after(50), "conference": after(60)},
        ],
    )
    ys = {c: y for (c, day), y in found(records, study, "icpc").items() if day != after(50)}
    assert ys == {
        "none": 0,
        "d0": 0,
        "d1": 1,
        "d89": 1,
        "d90": 0,
        "d91": 0,
        "cin": 0,
        "none-own": 1,
        "late": 0,
        "in": 0,
    }
    strict = found(records, study, "icpc", "strict")
    assert (strict["d90", NFA], strict["d91", NFA], strict["cin", NFA]) == (1, 0, 1)
    assert {"in"} == {c for c, day in strict if day.year == 2018}


def test_covariates(opened: Any, study: Study) -> None:
    tuesday = D(2018, 5, 8)  # the day after the early May bank holiday
    records = opened(
        {
            2017: [
                {"child": "a", "ref": D(2017, 5, 3), "plan": D(2017, 5, 20), "fsm": 1, "sex": "2"},
            ],
            2018: [
                {"child": "a", "ref": tuesday, "ethnicity": "CHNE", "nfa": True},
                {
                    "child": "b",
                    "ref": tuesday,
                    "closed": D(2018, 6, 12),
                    "why": "RC8",
                    "dob": D(2014, 5, 1),
                    "fsm": 1,
                    "CIN_Disability": 1,
                    "CIN_AsylumSeeking": 1,
                },
                {
                    "child": "c",
                    "ref": D(2018, 6, 12),
                    "nfa": True,
                    "dob": D(2005, 6, 13),
                    "plan": D(2018, 6, 12),
                    "previous": 2,
                },
                {
                    "child": "d",
                    "ref": D(2018, 6, 12),
                    "nfa": True,
                    "dob": D(2005, 6, 12),
                    "plan": D(2018, 6, 12),
                    "previous": 0,
                },
                {"child": "e", "ref": D(2018, 6, 12), "nfa": True, "dob": D(2006, 6, 12), "fsm": 0},
            ],
        }
    )
    got = {
        r["child_id"]: r
        for r in events(records, study, "rereferral_all").to_pyarrow().to_pylist()
        if r["year"] == 2019
    }
    assert {k: got["a"][k] for k in OUTCOME_COLUMNS[5:]} == {
        "year": 2019,
        "sex": "female",
        "age_band": "5-12",
        "ethnicity": "Chinese",
        "school_phase": "secondary",
        "disabled": "missing",
        "low_income": "yes",
        "previous_cpp": "yes",
        "uasc": "no",
        "elevated_risk": "yes",
    }
    b = got["b"]
    assert (b["school_phase"], b["low_income"], b["age_band"]) == (
        "none",
        "under school age",
        "0-4",
    )
    assert (b["disabled"], b["uasc"], b["sex"], b["ethnicity"]) == (
        "yes",
        "yes",
        "unknown",
        "missing",
    )
    assert [got[c]["age_band"] for c in "cd"] == ["5-12", "13-17"]
    assert [got[c]["previous_cpp"] for c in "cde"] == ["yes", "no", "no"]
    assert [got[c]["low_income"] for c in "cde"] == ["missing", "missing", "no"]
    assert [got[c]["school_phase"] for c in "cde"] == ["secondary", "secondary", "secondary"]
    assert got["c"]["elevated_risk"] == "no"
    # After NFA, risk is judged by the day of referral, not of closure.
    closed = {
        r["child_id"]: r for r in events(records, study, "rereferral").to_pyarrow().to_pylist()
    }
    assert (closed["b"]["event_date"], closed["b"]["elevated_risk"]) == (D(2018, 6, 12), "yes")


def test_unknown_options_are_refused(opened: Any, study: Study) -> None:
    records = opened({2014: [{"child": "a", "ref": NFA}]})
    with pytest.raises(ParameterError, match=r"no option 'trimm'.*Did you mean 'trim'"):
        events(records, study, "duration", trimm=3)
    with pytest.raises(ParameterError, match=r"'loose'.*original, strict"):
        events(records, study, "duration", "loose")
    with pytest.raises(ParameterError, match=r"'trim'.*'fence' or 'none'"):
        events(records, study, "duration", trim=-1)
    with pytest.raises(ParameterError, match=r"'nfa' is 'narrow'.*'wide' or 'flag'"):
        events(records, study, "rereferral", nfa="narrow")


# --- what cannot be read --------------------------------------------------------------------------
ONE = {2014: [{"child": "a", "ref": NFA}]}


def refused(folder: Path, *words: str, **options: Any) -> None:
    with pytest.raises(RecordsError) as caught:
        open_extract(folder, **options).close()
    for word in words:
        assert word in str(caught.value)


def test_unreadable_extracts_are_refused_with_file_field_and_remedy(tmp_path: Path) -> None:
    folder = extract(tmp_path / "good", ONE)
    refused(tmp_path / "nowhere", "no such folder", "synthesise")
    refused(folder, "'001'", "Correct the codes", authorities=["001", "004"])
    refused(folder, "at least one", authorities=[])
    refused(folder, "engine 'sparkle'", engine="sparkle")

    gap = extract(tmp_path / "gap", {2013: [], **ONE, 2015: []})
    (gap / "cin_2014.parquet").rename(gap / "cin_2014.parq")
    refused(gap, "cin_2014.parquet is missing between", "Did you mean 'cin_2014.parq'")
    none = extract(tmp_path / "none", ONE)
    (none / "cla_episodes.parquet").unlink()
    refused(none, "no file cla_episodes.parquet", "or .csv")

    renamed = {("CIN_DateOfBirth" if n == "CIN_DOB" else n): t for n, t in CIN.items()}
    renamed["CIN_ReferalDate"] = renamed.pop("CIN_ReferralDate")
    column = extract(tmp_path / "column", ONE, columns=renamed)
    refused(column, "cin_2014.parquet", "'CIN_DOB' is missing")
    renamed["CIN_DOB"] = renamed.pop("CIN_DateOfBirth")
    column = extract(tmp_path / "column", ONE, columns=renamed)
    refused(column, "'CIN_ReferralDate' is missing", "Did you mean 'CIN_ReferalDate'")

    typed = extract(tmp_path / "typed", ONE)
    write(
        typed / "cin_2014.parquet",
        full([{"child": "a", "ref": "1/5/2014"}], CIN_LA=LA),
        {**CIN, "CIN_ReferralDate": pa.string()},
    )
    with open_extract(typed) as records:  # text is read as dates, day first
        assert [r["referral_date"] for r in rows(records, "referrals")] == [D(2014, 5, 1)]
    write(
        typed / "cin_2014.parquet",
        full([{"child": "a", "ref": 20140501}], CIN_LA=LA),
        {**CIN, "CIN_ReferralDate": pa.int64()},
    )
    refused(typed, "cin_2014.parquet", "'CIN_ReferralDate' is of type int64", "must be date")

    for name, content in {"cut": b"", "text": b"la,child\n"}.items():
        bad = extract(tmp_path / name, ONE)
        whole = (bad / "cin_2014.parquet").read_bytes()
        (bad / "cin_2014.parquet").write_bytes(content or whole[: len(whole) // 2])
        refused(bad, "cin_2014.parquet", "no readable Parquet", "restore")
    # Damaged inside, with a whole footer.
    bad = extract(
        tmp_path / "inside", {2014: [{"child": f"c{i}", "ref": after(i % 99)} for i in range(5000)]}
    )
    whole = bytearray((bad / "cin_2014.parquet").read_bytes())
    whole[4:2000] = b"\xff" * 1996
    (bad / "cin_2014.parquet").write_bytes(bytes(whole))
    refused(bad, "cin_2014.parquet", "damaged", "Restore")
    stated = extract(tmp_path / "stated", ONE)
    (stated / "manifest.json").write_text("{")
    refused(stated, "manifest.json", "not valid JSON")


def test_only_the_authorities_asked_for_are_read(opened: Any, study: Study) -> None:
    cin = {
        2014: [
            {"child": "a", "ref": NFA, "nfa": True},
            {"child": "a", "ref": NFA, "la": "037", "nfa": True},
        ]
    }
    some, whole = opened(cin, authorities=["037"]), opened(cin)
    assert {r["la"] for r in rows(some, "referrals")} == {"037"}
    assert {r["la"] for r in rows(whole, "referrals")} == {"004", "037"}
    assert some.data_hash != whole.data_hash
    assert some.manifest["authorities"] == ["037"]
    for name, columns in CANONICAL.items():
        assert set(columns) <= set(some.tables[name].columns)
    assert len(found(some, study, "rereferral")) == 1


def test_a_file_that_is_not_the_manifest_s_is_noted(tmp_path: Path) -> None:
    folder = extract(tmp_path / "x", ONE)
    with open_extract(folder) as records:
        hashes = dict(records.manifest["files"])
    told = {"schema": "npd", "files": {**hashes, "cin_2014.parquet": "0" * 64}}
    (folder / "manifest.json").write_text(json.dumps(told))
    with open_extract(folder) as records:
        noted = [p for p in records.problems if p.table == "manifest"]
        assert [p.message for p in noted] == [
            "cin_2014.parquet is not the file the manifest describes"
        ]
        assert records.manifest["files"] == hashes
