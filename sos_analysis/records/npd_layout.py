"""The files of an extract of the National Pupil Database: their names, columns and types.

As the original evaluation had them (domain rule: the layout in its published code), with the
variants known from it. A column goes by any of its names, in capitals or small letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Need = Literal["must", "may"]
Sort = Literal["key", "date", "flag", "whole", "text"]


@dataclass(frozen=True)
class Field:
    """A column of a file: names it goes by, what it holds, whether it must be there."""

    names: tuple[str, ...]
    sort: Sort
    need: Need = "must"


@dataclass(frozen=True)
class Family:
    """Files of one kind: the stem of their names, one a year or one in all, their columns.

    Attributes
    ----------
    pattern : names of files (without ending, small letters) that are of this kind.
    prefix : columns may carry it before their names.
    """

    stem: str
    yearly: bool
    need: Need
    fields: Mapping[str, Field]
    many: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    checked: tuple[str, ...] = ()  # flags whose unreadable values are counted
    others: tuple[str, ...] = ()  # names of files besides the stem
    prefix: str = ""

    @property
    def pattern(self) -> re.Pattern[str]:
        names = "|".join(re.escape(n) for n in (self.stem, *self.others))
        return re.compile(rf"(?:{names})(?:[-_ ]?\d{{4}}(?:[-_]?\d{{2,4}})?)?")


def _may(name: str, sort: Sort) -> Field:
    return Field((name,), sort, "may")


def _must(name: str, sort: Sort, *others: str) -> Field:
    return Field((name, *others), sort)


# Derived by the department: a child in need at any point, started, ended, open at the end.
_MARKS = re.compile(r"CIN_(AnyPoint|Started|Ended|CINAt31March)", re.IGNORECASE)
# Free school meals (ever in six years, or now) and pupil premium in the early years.
_LOW_INCOME = re.compile(r"CIN_(EVERFSM|FSM|EYPP)\w*_SPR\d\d", re.IGNORECASE)

CIN = Family(
    "cin",
    True,
    "must",
    {
        "la": _must("CIN_LA", "key", "CIN_LA_LGR"),
        "child_id": _must("CIN_LAchildID_Anon", "key"),
        "acadyr": _may("CIN_ACADYR", "whole"),
        "dob": _must("CIN_DOB", "date"),
        "expected_dob": _may("CIN_ExpectedDOB", "date"),
        "birth_year": _may("CIN_YearOfBirth", "whole"),
        "birth_month": _may("CIN_MonthOfBirth", "whole"),
        "sex": _must("CIN_Gender", "text"),
        "ethnicity": _must("CIN_Ethnicity", "text"),
        "disabled": _may("CIN_Disability", "flag"),
        "uasc": _may("CIN_AsylumSeeking", "flag"),
        "referral_date": _must("CIN_ReferralDate", "date"),
        "nfa": _must("CIN_ReferralNFA", "flag"),
        "need": _may("CIN_PrimaryNeedCode", "text"),
        "closure_date": _must("CIN_CINClosureDate", "date"),
        "closure_reason": _must("CIN_ReasonForClosure", "text"),
        "icpc_date": _must("CIN_DateOfInitialCPC", "date"),
        "plan_start": _must("CIN_CPPstartDate", "date"),
        "plan_end": _may("CIN_CPPendDate", "date"),
        "plan_previous": _may("CIN_NumberOfPreviousCPP", "whole"),
    },
    many={"in_need": _MARKS, "low_income": _LOW_INCOME},
    checked=("nfa", "plan_previous"),
)
ASSESSMENTS = Family(
    "assessments",
    True,
    "must",
    {
        "la": _must("CIN_LA", "key", "CIN_LA_LGR"),
        "child_id": _must("CIN_LAchildID_Anon", "key"),
        "start_date": _must("AssessmentStartDate", "date"),
        "end_date": _must("AssessmentAuthorisationDate", "date"),
    },
)
SECTION47 = Family(
    "section47",
    True,
    "must",
    {
        "la": _must("CIN_LA", "key", "CIN_LA_LGR"),
        "child_id": _must("CIN_LAchildID_Anon", "key"),
        "referral_date": _may("CIN_ReferralDate", "date"),
        "s47_date": _must("S47ActualStartDate", "date"),
        "icpc_date": _must("DateOfInitialCPC", "date"),
        "not_required": _may("ICPCnotRequired", "flag"),
    },
)
DISABILITIES = Family(
    "disabilities",
    True,
    "may",
    {
        "la": _must("CIN_LA", "key", "CIN_LA_LGR"),
        "child_id": _must("CIN_LAchildID_Anon", "key"),
        "disability": _must("Disability", "text"),
    },
)
CARE = Family(
    "cla_episodes",
    False,
    "must",
    {
        "la": _must("CHILD_LA_CODE_ANON", "key", "LA"),
        "child_id": _must("CHILD_ID_ANON", "key"),
        "return_year": _may("processing_year", "whole"),
        "stated_start": _may("poc_start", "date"),
        "rne": _may("RNE", "text"),
        "episode_start": _must("date_episode_started", "date"),
        "episode_end": _must("date_episode_ceased", "date"),
        "legal_status": _must("legal_status", "text"),
        "placement": _must("placement", "text"),
        "need": Field(("cin", "cat_need"), "text", "may"),
        "end_reason": _must("reason_episode_ceased", "text"),
        "ethnicity": _may("ethnic_or", "text"),
        "sex": _may("SEX", "text"),
        "birth_year": _may("dob_Year", "whole"),
        "birth_month": _may("dob_Month", "whole"),
        "uasc": _may("uasc_status", "flag"),
    },
    others=("episode_final_cla", "episodes_final_cla", "cla"),
    prefix="cla_",
)
#: People as another return states them, apart from referrals and episodes.
PEOPLE = Family(
    "people",
    False,
    "may",
    {
        "la": _must("la", "key"),
        "child_id": _must("child_id", "key"),
        "dob": _may("dob", "date"),
        "sex": _may("sex", "text"),
        "ethnicity": _may("ethnicity", "text"),
        "uasc": _may("uasc", "flag"),
    },
)
FAMILIES = (CIN, ASSESSMENTS, SECTION47, DISABILITIES, CARE)
LA_YEARS = "la_years.parquet"
MANIFEST = "manifest.json"

# What each sort of column may be in the file.
READABLE: Mapping[Sort, tuple[str, ...]] = {
    "key": ("string", "integer"),
    "date": ("date",),
    "flag": ("boolean", "integer", "number", "string"),
    "whole": ("integer", "number", "string"),
    "text": ("string", "integer"),
}
EMPTY: Mapping[Sort, str] = {
    "key": "string",
    "date": "date",
    "flag": "boolean",
    "whole": "int32",
    "text": "string",
}
