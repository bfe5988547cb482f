"""The outcomes of the package against a second implementation that shares no code with it.

First on children made by hand, one for each fine point of the definitions, where the right answer
is written down too; then row by row on a small synthetic extract with its planted dirt.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import twin_outcomes as twin

from sos_analysis.outcomes import events
from sos_analysis.records.extract import open_extract
from sos_analysis.records.synthetic import generate
from sos_analysis.records.tables import Records
from sos_analysis.study import Study, load_study

D = dt.date
LA = "001"
OUTCOMES = (
    "duration",
    "rereferral",
    "escalation",
    "kinship",
    "icpc",
    "nfa_share",
    "rereferral_all",
)
DEFINITIONS = ("original", "strict")
COLUMNS = ("window_end", "y", "year", *twin.COVARIATES)


# --- an extract written by hand ------------------------------------------------------------------
def schemas() -> dict[str, Any]:
    """Column names and types of the extract's tables."""
    import pyarrow as pa

    day, text, flag, small = pa.date32(), pa.string(), pa.bool_(), pa.int16()
    cin = {
        "CIN_LAchildID_Anon": text,
        "CIN_LA": text,
        "CIN_ACADYR": small,
        "CIN_PupilMatchingRefAnonymous": text,
        "CIN_DOB": day,
        "CIN_ExpectedDOB": day,
        "CIN_YearOfBirth": small,
        "CIN_MonthOfBirth": small,
        "CIN_Gender": text,
        "CIN_Ethnicity": text,
        "CIN_Disability": small,
        "CIN_AsylumSeeking": small,
        "CIN_ReferralDate": day,
        "CIN_ReferralNFA": flag,
        "CIN_PrimaryNeedCode": text,
        "CIN_CINClosureDate": day,
        "CIN_ReasonForClosure": text,
        "CIN_DateOfInitialCPC": day,
        "CIN_CPPstartDate": day,
        "CIN_CPPendDate": day,
        "CIN_CategoryOfAbuse": text,
        "CIN_LatestCategoryOfAbuse": text,
        "CIN_NumberOfPreviousCPP": small,
        "CIN_AnyPoint": small,
        "CIN_Started": small,
        "CIN_Ended": small,
        "CIN_CINAt31March": small,
        "CIN_PersonDeathDate": day,
    }
    assessments = {
        "CIN_PupilMatchingRefAnonymous": text,
        "CIN_ACADYR": small,
        "CIN_LA": text,
        "CIN_LAchildID_Anon": text,
        "AssessmentStartDate": day,
        "AssessmentAuthorisationDate": day,
        "AssessmentType": text,
    }
    section47 = {
        "CIN_LA": text,
        "CIN_LAchildID_Anon": text,
        "CIN_ACADYR": small,
        "CIN_ReferralDate": day,
        "S47ActualStartDate": day,
        "DateOfInitialCPC": day,
        "ICPCnotRequired": small,
    }
    disabilities = {
        "CIN_LA": text,
        "CIN_LAchildID_Anon": text,
        "CIN_ACADYR": small,
        "Disability": text,
    }
    care = {
        "CHILD_LA_CODE_ANON": text,
        "CHILD_ID_ANON": text,
        "CLA_PupilMatchingRefAnonymous": text,
        "LA": text,
        "poc_start": day,
        "poc_length": pa.int32(),
        "date_episode_started": day,
        "date_episode_ceased": day,
        "RNE": text,
        "legal_status": text,
        "cin": text,
        "placement": text,
        "reason_episode_ceased": text,
        "ethnic_or": text,
        "SEX": text,
        "dob_Year": small,
        "dob_Month": small,
        "uasc_status": small,
    }
    authorities = {"la": text, "name": text}
    la_years = {"la": text, "year": small, "population_0_17": pa.int32()}
    la_years |= dict.fromkeys(
        ("population_density", "fsm_primary", "fsm_secondary", "cpp_reviews_on_time"), pa.float64()
    )
    la_years |= {"innovation_projects": small, "ofsted": small}
    return {
        "cin": cin,
        "assessments": assessments,
        "section47": section47,
        "disabilities": disabilities,
        "cla_episodes": care,
        "authorities": authorities,
        "la_years": la_years,
    }


def first_year(day: dt.date) -> int:
    """The return a date falls into, by its first calendar year."""
    return day.year - (day.month < 4)


class Hand:
    """Collects rows of children written by hand, then writes them as an extract."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas()}
        self.expected: dict[tuple[str, str, str, dt.date], int | None] = {}
        self.children = 0

    def child(self, name: str, **about: Any) -> Child:
        self.children += 1
        return Child(self, f"{self.children:03d} {name}", about)

    def write(self, folder: Path) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir()
        yearly = {"cin": 2008, "assessments": 2011, "section47": 2008, "disabilities": 2009}
        for table, columns in schemas().items():
            rows = self.rows[table]
            years = range(yearly[table], 2019) if table in yearly else [None]
            for year in years:
                names = dict(columns)
                chosen = rows
                if year is not None:
                    chosen = [r for r in rows if r["CIN_ACADYR"] == year]
                if table == "cin":
                    for stem in ("CIN_EVERFSM_6", "CIN_EYPPE"):
                        names[f"{stem}_SPR{(year + 1) % 100:02d}"] = pa.int16()
                data = {
                    column: pa.array([_value(row, column) for row in chosen], kind)
                    for column, kind in names.items()
                }
                if table == "cin" and year == 2008:
                    data["CIN_LA_LGR"] = data.pop("CIN_LA")
                name = table if year is None else f"{table}_{year}"
                pq.write_table(pa.table(data), folder / f"{name}.parquet")
        manifest = {
            "schema": "npd",
            "study": "hand",
            "study_hash": "",
            "seed": 0,
            "scale": 1.0,
            "authorities": [LA],
            "generator": "",
            "rows": {},
            "files": {},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return folder


def _value(row: Mapping[str, Any], column: str) -> Any:
    for stem in ("CIN_EVERFSM_6", "CIN_EYPPE"):
        if column.startswith(f"{stem}_SPR"):
            return row.get(stem)
    return row.get(column)


class Child:
    """One child; each call adds a record. `expect` writes down the right answer."""

    def __init__(self, hand: Hand, id: str, about: Mapping[str, Any]) -> None:
        self.hand, self.id = hand, id
        self.about = {"CIN_DOB": D(2005, 6, 15), "CIN_Gender": "1", "CIN_Ethnicity": "WBRI"}
        self.about |= about

    def referral(
        self, day: dt.date, nfa: bool | None = None, closed: dt.date | None = None, **more: Any
    ) -> Child:
        row = {
            "CIN_LA": LA,
            "CIN_LAchildID_Anon": self.id,
            "CIN_ACADYR": first_year(day),
            "CIN_ReferralDate": day,
            "CIN_ReferralNFA": nfa,
            "CIN_CINClosureDate": closed,
            "CIN_PrimaryNeedCode": "N1",
        }
        renamed = {"reason": "CIN_ReasonForClosure", "plan": "CIN_CPPstartDate"}
        renamed |= {"icpc": "CIN_DateOfInitialCPC", "year": "CIN_ACADYR", "mark": "CIN_AnyPoint"}
        row |= self.about | {renamed.get(k, k): v for k, v in more.items()}
        self.hand.rows["cin"].append(row)
        return self

    def assessment(self, start: dt.date, end: dt.date | None, **more: Any) -> Child:
        row = {"CIN_LA": LA, "CIN_LAchildID_Anon": self.id, "CIN_ACADYR": first_year(start)}
        row |= {"AssessmentStartDate": start, "AssessmentAuthorisationDate": end}
        self.hand.rows["assessments"].append(row | {"AssessmentType": "single"} | more)
        return self

    def section47(self, referral: dt.date, icpc: dt.date | None) -> Child:
        row = {"CIN_LA": LA, "CIN_LAchildID_Anon": self.id, "CIN_ACADYR": first_year(referral)}
        row |= {"CIN_ReferralDate": referral, "S47ActualStartDate": referral}
        self.hand.rows["section47"].append(row | {"DateOfInitialCPC": icpc, "ICPCnotRequired": 0})
        return self

    def care(
        self,
        start: dt.date,
        end: dt.date | None,
        legal: str = "C2",
        placement: str = "U6",
        rne: str = "S",
        rec: str | None = None,
        **more: Any,
    ) -> Child:
        dob = self.about["CIN_DOB"]
        row = {
            "CHILD_LA_CODE_ANON": LA,
            "LA": LA,
            "CHILD_ID_ANON": self.id,
            "poc_start": start,
            "date_episode_started": start,
            "date_episode_ceased": end,
            "RNE": rne,
            "legal_status": legal,
            "cin": "N1",
            "placement": placement,
            "reason_episode_ceased": rec,
            "ethnic_or": "WBRI",
            "SEX": "1",
            "dob_Year": dob.year if dob else None,
            "dob_Month": dob.month if dob else None,
            "uasc_status": 0,
        }
        self.hand.rows["cla_episodes"].append(row | more)
        return self

    def expect(self, outcome: str, day: dt.date, original: int | None, strict: int | None) -> Child:
        """The right y under both definitions; None where there must be no such event."""
        for definition, y in (("original", original), ("strict", strict)):
            self.hand.expected[outcome, definition, self.id, day] = y
        return self


def days(day: dt.date, n: int) -> dt.date:
    return day + dt.timedelta(n)


def by_hand() -> Hand:
    """A child for each fine point of the definitions, with the answers."""
    hand = Hand()
    day = D(2014, 5, 6)

    # Re-referral: the window's last day counts, the day after does not, nor the NFA date itself.
    a = hand.child("again on day 183").referral(day, True).referral(days(day, 183))
    a.expect("rereferral", day, 1, 1).expect("rereferral_all", day, 1, 1)
    a = hand.child("again on day 184").referral(day, True).referral(days(day, 184))
    a.expect("rereferral", day, 0, 0).expect("rereferral_all", day, 0, 0)
    closed = days(day, 20)
    a = hand.child("again on the day of closure").referral(day, True, closed).referral(closed)
    a.expect("rereferral", closed, 0, 0).expect("rereferral", day, None, None)
    a.expect("rereferral_all", day, 1, 1)
    a = hand.child("between referral and closure").referral(day, True, closed)
    a.referral(days(day, 10)).expect("rereferral", closed, 0, 0)
    # Two referrals closed on one day are one event.
    a = hand.child("two closed at once").referral(day, True, closed)
    a.referral(days(day, 5), True, closed).expect("rereferral", closed, 0, 0)

    # NFA: flag or RC8, and no mark of a child in need; strict: the flag alone.
    for name, referral, original, strict in (
        ("flag, RC7", {"nfa": True, "closed": closed, "reason": "RC7"}, 1, 1),
        ("flag, RC8", {"nfa": True, "closed": closed, "reason": "RC8"}, 1, 1),
        ("no flag, RC8", {"nfa": False, "closed": closed, "reason": "RC8"}, 1, 0),
        ("flag unknown, RC8", {"nfa": None, "closed": closed, "reason": "RC8"}, 1, 0),
        ("flag, plan", {"nfa": True, "closed": closed, "plan": days(day, 15)}, 0, 1),
        ("flag, conference", {"nfa": True, "closed": closed, "icpc": days(day, 15)}, 0, 1),
        ("flag, derived mark", {"nfa": True, "closed": closed, "mark": 1}, 0, 1),
        ("flag, derived mark off", {"nfa": True, "closed": closed, "mark": 0}, 1, 1),
        ("RC8, plan", {"nfa": False, "closed": closed, "reason": "RC8", "plan": day}, 0, 0),
        ("open", {"nfa": False}, 0, 0),
        ("RC7", {"nfa": False, "closed": closed, "reason": "RC7"}, 0, 0),
        ("closed without reason", {"nfa": False, "closed": closed}, 0, 0),
    ):
        a = hand.child(name).referral(day, **referral)
        a.expect("nfa_share", day, original, strict)
        date = referral.get("closed") or day
        a.expect("rereferral", date, 0 if original else None, 0 if strict else None)
        in_need = None if original or name == "closed without reason" else 0
        # The strict definition reads the conference date stated with the referral.
        a.expect("icpc", day, in_need, 1 if name == "flag, conference" else in_need)
    # A section 47 enquiry alone is no mark; its conference is.
    a = hand.child("enquiry alone").referral(day, False, closed, reason="RC8")
    a.section47(day, None).expect("nfa_share", day, 1, 0)
    a = hand.child("enquiry with conference").referral(day, False, closed, reason="RC8")
    a.section47(day, days(day, 10)).expect("nfa_share", day, 0, 0)

    # Copies of one referral in later returns: the last that states it decides.
    late, ended = D(2014, 3, 10), D(2014, 4, 22)
    a = hand.child("open in March, RC8 in April").referral(late, False)
    a.referral(late, False, ended, reason="RC8", year=2014)
    a.expect("nfa_share", late, 1, 0).expect("rereferral", ended, 0, None)
    a.expect("rereferral_all", late, 0, 0)
    a = hand.child("the same with derived flags").referral(late, False, mark=1)
    a.referral(late, False, ended, reason="RC8", year=2014, mark=0)
    a.expect("nfa_share", late, 0, 0).expect("icpc", late, 0, 0)
    a = hand.child("closure corrected").referral(late, True, days(late, 5), reason="RC7")
    a.referral(late, True, ended, reason="RC8", year=2014)
    a.expect("rereferral", ended, 0, 0).expect("rereferral", days(late, 5), None, None)
    a = hand.child("closure stated once").referral(late, True, days(late, 5), reason="RC7")
    a.referral(late, None, year=2014).expect("rereferral", days(late, 5), 0, 0)

    # Same-day referrals: NFA only if every copy that states the flag says so.
    a = hand.child("flags differ").referral(day, True).referral(day, False)
    a.expect("nfa_share", day, 0, 0)
    a = hand.child("one flag silent").referral(day, True).referral(day, None)
    a.expect("nfa_share", day, 1, 1)

    # Two same-day referrals closed apart: the later closure, with its own reason.
    a = hand.child("closed twice").referral(day, False, days(day, 5), reason="RC8")
    a.referral(day, False, days(day, 10), reason="RC7").expect("nfa_share", day, 0, 0)

    # Closure before referral: no event, but its date is a referral.
    second = days(day, 100)
    a = hand.child("closed before referred").referral(day, True)
    a.referral(second, True, days(second, -1))
    a.expect("rereferral", day, 1, 1).expect("rereferral", days(second, -1), None, None)
    a.expect("nfa_share", second, None, None).expect("rereferral_all", second, None, None)

    # Ends of the data.
    a = hand.child("before the data").referral(D(2008, 3, 31), True, year=2008)
    a.expect("rereferral", D(2008, 3, 31), None, None)
    last = D(2019, 3, 31)
    a = hand.child("window ends on the last day").referral(days(last, -183), True)
    a.expect("rereferral", days(last, -183), None, None)
    a = hand.child("window ends the day before").referral(days(last, -184), True)
    a.expect("rereferral", days(last, -184), 0, 0)
    a = hand.child("full year of escalation").referral(days(last, -361), True)
    a.expect("escalation", days(last, -361), 0, 0)
    a = hand.child("no full year").referral(days(last, -360), True)
    a.expect("escalation", days(last, -360), None, None)

    # Ages -1 to 17; unknown stays, except for kinship.
    a = hand.child("unborn", CIN_DOB=None, CIN_ExpectedDOB=days(day, 120), CIN_Gender="0")
    a.referral(day, True).expect("rereferral", day, 0, 0)
    a = hand.child("not born for a year yet", CIN_DOB=None, CIN_ExpectedDOB=days(day, 400))
    a.referral(day, True).expect("rereferral", day, None, None)
    a = hand.child("day before 18", CIN_DOB=D(1996, 5, 7)).referral(day, True)
    a.expect("rereferral", day, 0, 0)
    a = hand.child("on turning 18", CIN_DOB=D(1996, 5, 6)).referral(day, True)
    a.expect("rereferral", day, None, None)
    a = hand.child("age unknown", CIN_DOB=None).referral(day, True).care(day, None, placement="U1")
    a.expect("rereferral", day, 0, 0).expect("kinship", day, None, None)

    # Escalation: which second referral, from when, within how long.
    again, later = days(day, 60), days(day, 150)
    a = hand.child("plan on day 180").referral(day, True).referral(again)
    a.referral(days(again, 170), plan=days(again, 180)).expect("escalation", day, 1, 1)
    a = hand.child("plan on day 181").referral(day, True).referral(again)
    a.referral(days(again, 179), plan=days(again, 181)).expect("escalation", day, 0, 0)
    a = hand.child("plan on the day itself").referral(day, True).referral(again, plan=again)
    a.expect("escalation", day, 1, 1)
    # 200 days after the first of the two: within 180 of the last alone.
    a = hand.child("first or last").referral(day, True).referral(again).referral(later)
    a.care(days(again, 200), None).expect("escalation", day, 1, 0)
    a = hand.child("plan between the two").referral(day, True)
    a.referral(again, plan=days(again, 5)).referral(later).expect("escalation", day, None, 1)
    a = hand.child("care before the second").referral(day, True).care(days(day, 30), None)
    a.referral(again).expect("escalation", day, None, 0).expect("rereferral", day, 1, 1)
    a = hand.child("care before, and again after").referral(day, True)
    a.care(days(day, 30), days(day, 40), rec="E4A").referral(again)
    a.care(days(again, 9), None).expect("escalation", day, None, 1)
    a = hand.child("care on the day of NFA").referral(day, True).care(day, None)
    a.referral(again).expect("escalation", day, 0, 0)
    a = hand.child("care, not re-referred").referral(day, True).care(days(day, 30), None)
    a.expect("escalation", day, 0, 0)
    a = hand.child("short break").referral(day, True).referral(again)
    a.care(days(again, 9), days(again, 12), legal="V3", rec="E8").expect("escalation", day, 1, 0)
    a = hand.child("short breaks in series").referral(day, True).referral(again)
    a.care(days(again, 9), days(again, 12), legal="V4", rec="E8").expect("escalation", day, 1, 0)
    # A change of placement is no new start of care.
    a = hand.child("moved, not started").referral(day, True).referral(again)
    a.care(days(day, -300), days(again, 9), rec="X1").care(days(again, 9), None, rne="P")
    a.expect("escalation", day, 0, 0)

    # Conferences.
    for name, gap, original, strict in (
        ("on the day", 0, 0, 0),
        ("day after", 1, 1, 1),
        ("day 89", 89, 1, 1),
        ("day 90", 90, 0, 1),
        ("day 91", 91, 0, 0),
    ):
        a = hand.child(f"conference {name}").referral(day).section47(day, days(day, gap))
        a.expect("icpc", day, original, strict)
    a = hand.child("conference in details alone").referral(day, icpc=days(day, 20))
    a.expect("icpc", day, 0, 1)
    a = hand.child("conference under the next referral").referral(day).referral(days(day, 30))
    a.section47(days(day, 30), days(day, 45)).expect("icpc", day, 1, 1)
    a = (
        hand.child("conference window cut")
        .referral(D(2019, 2, 1))
        .section47(D(2019, 2, 1), D(2019, 2, 20))
    )
    a.expect("icpc", D(2019, 2, 1), 1, None)

    # Periods of care and kinship.
    start = D(2013, 9, 3)

    def kin(name: str, **about: Any) -> Child:
        return hand.child(name, **about)

    kin("own parents").care(start, None, placement="P1").expect("kinship", start, 1, 0)
    kin("relative").care(start, None, placement="U3").expect("kinship", start, 1, 1)
    a = kin("relative later").care(start, days(start, 365), rec="X1")
    a.care(days(start, 365), None, rne="P", placement="U1").expect("kinship", start, 1, 1)
    a = kin("relative too late").care(start, days(start, 366), rec="X1")
    a.care(days(start, 366), None, rne="P", placement="U1").expect("kinship", start, 0, 0)
    a = kin("relative under section 20").care(start, days(start, 50), "V2", "U1", rec="X1")
    a.care(days(start, 50), None, "C1", "U6", rne="B").expect("kinship", start, 0, 0)
    kin("section 20 alone").care(start, None, "V2", "U1").expect("kinship", start, None, None)
    a = kin("order too late").care(start, days(start, 366), "V2", rec="X1")
    a.care(days(start, 366), None, "C2", "U1", rne="L").expect("kinship", start, None, None)
    a = kin("order on day 365").care(start, days(start, 365), "V2", rec="X1")
    a.care(days(start, 365), None, "C2", "U1", rne="L").expect("kinship", start, 1, 1)
    a = kin("guardian on day 365").care(start, days(start, 365), rec="E45")
    a.expect("kinship", start, 1, 0)
    kin("guardian on day 366").care(start, days(start, 366), rec="E45").expect(
        "kinship", start, 0, 0
    )
    kin("not kin").care(start, days(start, 100), rec="E46").expect("kinship", start, 0, 0)
    kin("arrangements order").care(start, days(start, 90), rec="E41").expect("kinship", start, 0, 0)
    kin("older code, 2013").care(start, None, placement="F1").expect("kinship", start, 1, 1)
    new = D(2016, 9, 6)
    kin("older code, 2016").care(new, None, placement="F1").expect("kinship", new, 1, 0)
    # An X1 on the same day goes on; a day's gap, another end or an S starts anew.
    a = kin("a day's gap").care(start, days(start, 40), rec="X1")
    a.care(days(start, 41), None, rne="P", placement="Q1")
    a.expect("kinship", start, 0, 0).expect("kinship", days(start, 41), 1, 1)
    a = kin("started the day it ended").care(start, days(start, 40), rec="X1")
    a.care(days(start, 40), None, rne="S", placement="Q1")
    a.expect("kinship", start, 0, 0).expect("kinship", days(start, 40), 1, 1)
    a = kin("ended, then on the same day").care(start, days(start, 40), rec="E4A")
    a.care(days(start, 40), None, rne="P", placement="Q1")
    a.expect("kinship", start, 1, 0).expect("kinship", days(start, 40), 1, 1)
    kin("seventeen", CIN_DOB=D(1996, 1, 10)).care(start, None).expect("kinship", start, 0, 0)
    kin("eighteen", CIN_DOB=D(1995, 1, 10)).care(start, None).expect("kinship", start, None, None)
    last_start = days(last, -365)
    kin("cut").care(last_start, None).expect("kinship", last_start, None, None)
    kin("just in").care(days(last_start, -1), None).expect("kinship", days(last_start, -1), 0, 0)
    kin("before 2008").care(D(2008, 3, 31), None).expect("kinship", D(2008, 3, 31), None, None)

    # Assessments: working days, duplicates, the trim, censoring.
    friday = D(2014, 6, 6)
    for name, from_, to, y in (
        ("Friday to Monday", friday, days(friday, 3), 1),
        ("Saturday to Monday", days(friday, 1), days(friday, 3), 0),
        ("same day", friday, friday, 0),
        ("over Easter 2015", D(2015, 4, 2), D(2015, 4, 7), 1),
        ("over the jubilee", D(2012, 6, 1), D(2012, 6, 6), 1),
        ("over Christmas 2016", D(2016, 12, 23), D(2017, 1, 3), 4),
    ):
        hand.child(name).assessment(from_, to).expect("duration", from_, y, y)
    hand.child("two ends").assessment(friday, days(friday, 7)).assessment(
        friday, days(friday, 14)
    ).expect("duration", friday, 10, 10)
    hand.child("one end unknown").assessment(friday, days(friday, 7)).assessment(
        friday, None
    ).expect("duration", friday, 5, 5)
    hand.child("no end").assessment(friday, None).expect("duration", friday, None, None)
    # 110 working days from 2 June 2014 end on 4 November (22 weeks less one bank holiday).
    monday = D(2014, 6, 2)
    hand.child("110 days").assessment(monday, D(2014, 11, 4)).expect("duration", monday, 110, 110)
    hand.child("111 days").assessment(monday, D(2014, 11, 5)).expect("duration", monday, None, 111)
    hand.child("53 days left").assessment(D(2019, 2, 4), D(2019, 2, 5)).expect(
        "duration", D(2019, 2, 4), None, None
    )
    hand.child("54 days left").assessment(D(2019, 2, 3), D(2019, 2, 5)).expect(
        "duration", D(2019, 2, 3), 1, 1
    )
    # The assessments of these children have no referral row, so no age.
    a = hand.child("assessed at 18", CIN_DOB=D(1996, 6, 6)).referral(days(friday, -9))
    a.assessment(friday, days(friday, 3)).expect("duration", friday, None, None)

    # Covariates that take more than one record to know.
    a = hand.child("had a plan", CIN_Disability=0, CIN_EVERFSM_6=0, CIN_AsylumSeeking=0)
    a.referral(D(2012, 5, 1), plan=D(2012, 6, 1)).referral(day, True)
    hand.rows["disabilities"].append(
        {"CIN_LA": LA, "CIN_LAchildID_Anon": a.id, "CIN_ACADYR": 2014, "Disability": "LD"}
    )
    a = hand.child("counted plans", CIN_EVERFSM_6=1, CIN_Ethnicity="MWAS", CIN_Gender="2")
    a.referral(day, True, plan=days(day, 9), CIN_NumberOfPreviousCPP=1)
    # A child stated differently from row to row is what most rows say.
    a = hand.child("stated differently", CIN_Ethnicity="BCRB")
    a.referral(day, True).referral(days(day, 250), True)
    a.about |= {"CIN_DOB": D(1996, 5, 6), "CIN_Gender": "2", "CIN_Ethnicity": "WIRI"}
    a.referral(days(day, 400), True).expect("rereferral", day, 0, 0)
    a = hand.child("month of birth alone", CIN_DOB=None, CIN_YearOfBirth=1996, CIN_MonthOfBirth=5)
    a.referral(days(day, -10), True).expect("rereferral", days(day, -10), 1, 1)
    a.referral(days(day, 30), True).expect("rereferral", days(day, 30), None, None)
    hand.child("under five", CIN_DOB=D(2011, 1, 5), CIN_Ethnicity="NOBT").referral(day, True)
    hand.child("nothing known", CIN_DOB=None, CIN_Gender="9", CIN_Ethnicity=None).referral(
        day, True
    )
    hand.rows["authorities"].append({"la": LA, "name": "Made-up place"})
    hand.rows["la_years"] += [{"la": LA, "year": y, "ofsted": 3} for y in range(2009, 2020)]
    return hand


@pytest.fixture(scope="module")
def hand() -> Hand:
    return by_hand()


@pytest.fixture(scope="module")
def hand_folder(hand: Hand, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand.write(tmp_path_factory.mktemp("hand") / "extract")


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("synthetic")


@pytest.fixture(scope="module")
def hand_twin(hand_folder: Path) -> twin.Extract:
    return twin.read(hand_folder)


@pytest.fixture(scope="module")
def hand_records(hand_folder: Path) -> Records:
    return open_extract(hand_folder)


@pytest.fixture(scope="module")
def small(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pilots and a comparator, with the planted dirt."""
    folder = tmp_path_factory.mktemp("small")
    generate(
        study,
        folder / "extract",
        folder / "truth",
        scale=0.12,
        seed=11,
        authorities=["002", "004", "104"],
    )
    return folder / "extract"


@pytest.fixture(scope="module")
def small_twin(small: Path) -> twin.Extract:
    return twin.read(small)


@pytest.fixture(scope="module")
def small_records(small: Path) -> Records:
    return open_extract(small)


# --- comparing -----------------------------------------------------------------------------------
Table = dict[tuple[str, str, dt.date], dict[str, Any]]


def keyed(rows: Iterable[Mapping[str, Any]]) -> Table:
    found: Table = {}
    for row in rows:
        key = (row["la"], row["child_id"], row["event_date"])
        assert key not in found, f"two events for {key}"
        found[key] = {name: row[name] for name in COLUMNS}
    return found


def twin_table(extract: twin.Extract, outcome: str, definition: str) -> Table:
    return keyed(twin.events(extract, outcome, definition))


def test_twin_agrees_with_answers_written_by_hand(hand: Hand, hand_twin: twin.Extract) -> None:
    tables = {(o, d): twin_table(hand_twin, o, d) for o in OUTCOMES for d in DEFINITIONS}
    wrong = []
    for (outcome, definition, child, day), y in hand.expected.items():
        row = tables[outcome, definition].get((LA, child, day))
        got = None if row is None else row["y"]
        if got != y:
            wrong.append((outcome, definition, child, day, f"expected {y}, got {got}"))
    assert not wrong


def package_table(
    records: Records, study: Study, outcome: str, definition: str, **options: Any
) -> Table:
    frame = events(records, study, outcome, definition, **options).to_pyarrow()
    return keyed(frame.to_pylist())


def differences(mine: Table, theirs: Table) -> list[str]:
    """What the twin and the package see differently, in words."""
    found = [f"only the twin has {key}: {mine[key]}" for key in mine.keys() - theirs.keys()]
    found += [f"only the package has {key}: {theirs[key]}" for key in theirs.keys() - mine.keys()]
    for key in mine.keys() & theirs.keys():
        for name in COLUMNS:
            if mine[key][name] != theirs[key][name]:
                found.append(
                    f"{key} {name}: twin {mine[key][name]!r}, package {theirs[key][name]!r}"
                )
    return sorted(found)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_package_agrees_on_children_made_by_hand(
    hand: Hand,
    hand_twin: twin.Extract,
    hand_records: Records,
    study: Study,
    outcome: str,
    definition: str,
) -> None:
    with_answers = package_table(hand_records, study, outcome, definition)
    wrong = []
    for (name, kind, child, day), y in hand.expected.items():
        if (name, kind) == (outcome, definition):
            row = with_answers.get((LA, child, day))
            got = None if row is None else row["y"]
            if got != y:
                wrong.append(f"{child} {day}: expected {y}, got {got}")
    assert not wrong
    assert not differences(twin_table(hand_twin, outcome, definition), with_answers)


#: Each option on its own, so that no two of them hang together.
ONE_BY_ONE: list[tuple[str, dict[str, Any]]] = [
    ("duration", {"trim": "fence"}),
    ("duration", {"trim": 10}),
    ("duration", {"beyond": 45}),
    ("rereferral", {"nfa": "flag"}),
    ("escalation", {"nfa": "flag"}),
    ("escalation", {"second_referral": "first"}),
    ("escalation", {"prior_start": "keep"}),
    ("escalation", {"short_breaks": False}),
    ("kinship", {"legal": "all"}),
    ("icpc", {"within": "at_most"}),
    ("icpc", {"source": "either"}),
    ("icpc", {"censor": True}),
]


@pytest.mark.parametrize(("outcome", "option"), ONE_BY_ONE, ids=str)
def test_each_option_alone(
    hand_twin: twin.Extract,
    hand_records: Records,
    study: Study,
    outcome: str,
    option: dict[str, Any],
) -> None:
    mine = keyed(twin.events(hand_twin, outcome, "original", **option))
    theirs = package_table(hand_records, study, outcome, "original", **option)
    assert not differences(mine, theirs)
    # The option does something on these children, or this test would show nothing.
    assert mine != twin_table(hand_twin, outcome, "original")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_package_agrees_row_by_row_on_a_small_extract(
    small_twin: twin.Extract, small_records: Records, study: Study, outcome: str
) -> None:
    for definition in DEFINITIONS:
        mine = twin_table(small_twin, outcome, definition)
        theirs = package_table(small_records, study, outcome, definition)
        assert not differences(mine, theirs)
        # About 20,000 referrals and 350 periods of care under an order; both answers occur.
        assert len(mine) > (200 if outcome == "kinship" else 1000)
        assert len({row["y"] for row in mine.values()}) > 1


def test_the_small_extract_holds_the_dirt_the_rules_are_for(small_twin: twin.Extract) -> None:
    """Else the agreement above would not show that the rules are applied."""
    referrals = [(day, r) for by_day in small_twin.referrals.values() for day, r in by_day.items()]
    assert any(r.closure and r.closure < day for day, r in referrals)
    assert any(len(r.flags) > 1 for _, r in referrals)  # copies over returns
    children = small_twin.children.values()
    assert any(len(set(child.dobs)) > 1 for child in children)
    assert any(key not in small_twin.periods for key in small_twin.referrals)
    statuses = {p.first_legal_status for ps in small_twin.periods.values() for p in ps}
    assert statuses & twin.SHORT_BREAKS
