"""The CIN Census return (XML): elements, code lists, and what changed from 2013 to 2025.

Pure data, for readers and writers alike. The order of elements, their names and codes follow the
Department for Education's schemas as the sector keeps them (domain rule:
liia-tools-pipeline, `CIN_schema_2017.xsd` to `CIN_schema_2025.xsd`); the shapes before 2017 are
taken to be that of 2017. Dates are ISO (`2019-03-31`); years are those of the census, which is the
year in which the period ends (2019 is April 2018 to March 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Sort = Literal["text", "date", "flag", "whole", "code"]

FIRST_YEAR, LAST_YEAR = 2013, 2025
YEARS = range(FIRST_YEAR, LAST_YEAR + 1)
#: Census year from which an element or code is there.
SEX_SINCE = 2025
PLAN_DATES_SINCE = 2022
EARLY_HELP_SINCE = 2023  # closure reason RC9
SPLIT_ABUSE_SINCE = 2022  # factors 18B, 18C, 19B, 19C in place of 18A, 19A; 24A

ROOT, HEADER, CHILDREN, CHILD = "Message", "Header", "Children", "Child"
COLLECTION = "CIN"
SOURCE_LEVEL = "L"


@dataclass(frozen=True)
class Element:
    """An element with text: what it holds, its code list, whether the schema needs it.

    Attributes
    ----------
    name : its tag.
    sort : what its text is.
    codes : name of its list in `CODES`, or empty.
    needed : the schema wants it in every parent.
    many : it may be repeated.
    since, until : first and last census year that has it (inclusive).
    within : tag of an element that wraps it and nothing else (`Disabilities`), or empty.
    """

    name: str
    sort: Sort
    codes: str = ""
    needed: bool = False
    many: bool = False
    since: int = FIRST_YEAR
    until: int = 9999
    within: str = ""


@dataclass(frozen=True)
class Group:
    """An element that holds others, in the schema's order."""

    name: str
    parts: tuple[Element | Group, ...]
    needed: bool = False
    many: bool = False
    since: int = FIRST_YEAR
    until: int = 9999


def _text(name: str, **more: object) -> Element:
    return Element(name, "text", **more)  # type: ignore[arg-type]


def _date(name: str, **more: object) -> Element:
    return Element(name, "date", **more)  # type: ignore[arg-type]


def _code(name: str, codes: str, **more: object) -> Element:
    return Element(name, "code", codes, **more)  # type: ignore[arg-type]


HEADER_GROUP = Group(
    HEADER,
    (
        Group(
            "CollectionDetails",
            (_text("Collection"), Element("Year", "whole"), _date("ReferenceDate")),
        ),
        Group(
            "Source",
            (
                _text("SourceLevel"),
                _text("LEA", needed=True),  # three digits
                _text("SoftwareCode"),
                _text("Release"),
                _text("SerialNo"),  # three digits or more
                _text("DateTime"),
            ),
        ),
    ),
)
IDENTIFIERS = Group(
    "ChildIdentifiers",
    (
        _text("LAchildID", needed=True),
        _text("UPN"),
        _text("FormerUPN"),
        _code("UPNunknown", "upn_unknown"),
        _date("PersonBirthDate"),
        _date("ExpectedPersonBirthDate"),
        _code("GenderCurrent", "gender", needed=True, until=SEX_SINCE - 1),
        _code("Sex", "sex", needed=True, since=SEX_SINCE),
        _date("PersonDeathDate"),
    ),
    needed=True,
)
CHARACTERISTICS = Group(
    "ChildCharacteristics",
    (
        _code("Ethnicity", "ethnicity", needed=True),
        _code("Disability", "disability", many=True, within="Disabilities"),
    ),
    needed=True,
)
ASSESSMENT = Group(
    "Assessments",
    (
        _date("AssessmentActualStartDate", needed=True),
        _date("AssessmentInternalReviewDate"),
        _date("AssessmentAuthorisationDate"),
        _code("AssessmentFactors", "factors", many=True, within="FactorsIdentifiedAtAssessment"),
    ),
    many=True,
)
PLAN_DATES = Group(
    "CINPlanDates",
    (_date("CINPlanStartDate", needed=True), _date("CINPlanEndDate")),
    many=True,
    since=PLAN_DATES_SINCE,
)
SECTION47 = Group(
    "Section47",
    (
        _date("S47ActualStartDate", needed=True),
        _date("InitialCPCtarget"),
        _date("DateOfInitialCPC"),
        Element("ICPCnotRequired", "flag", "yes_no", needed=True),
    ),
    many=True,
)
PROTECTION_PLAN = Group(
    "ChildProtectionPlans",
    (
        _date("CPPstartDate", needed=True),
        _date("CPPendDate"),
        _code("InitialCategoryOfAbuse", "abuse", needed=True),
        _code("LatestCategoryOfAbuse", "abuse", needed=True),
        Element("NumberOfPreviousCPP", "whole", needed=True),
        _date("CPPreviewDate", many=True, within="Reviews"),
    ),
    many=True,
)
DETAILS = Group(
    "CINdetails",
    (
        _date("CINreferralDate", needed=True),
        _code("ReferralSource", "referral_source", needed=True),
        _code("PrimaryNeedCode", "need"),
        _date("CINclosureDate"),
        _code("ReasonForClosure", "closure"),
        _date("DateOfInitialCPC"),
        ASSESSMENT,
        PLAN_DATES,
        SECTION47,
        Element("ReferralNFA", "flag", "yes_no", needed=True),
        PROTECTION_PLAN,
    ),
    needed=True,
    many=True,
)
CHILD_GROUP = Group(CHILD, (IDENTIFIERS, CHARACTERISTICS, DETAILS), needed=True, many=True)


def parts(group: Group, year: int) -> tuple[Element | Group, ...]:
    """Parts of a group that the census of a year has, in order."""
    return tuple(part for part in group.parts if part.since <= year <= part.until)


ETHNICITY = (
    *("WBRI", "WIRI", "WIRT", "WOTH", "WROM", "MWBC", "MWBA", "MWAS", "MOTH", "AIND", "APKN"),
    *("ABAN", "AOTH", "BCRB", "BAFR", "BOTH", "CHNE", "OOTH", "REFU", "NOBT"),
)
_FACTORS = (
    *(f"{number}{letter}" for number in range(1, 7) for letter in "ABC"),
    *("7A", "8B", "8C", "8D", "8E", "8F", "9A", "10A", "11A", "12A", "13A", "14A", "15A"),
    *("16A", "17A", "20", "21", "22A", "23A"),
)
#: What a reader accepts; `codes` gives what a writer may use in a year.
CODES: Mapping[str, tuple[str, ...]] = {
    "yes_no": ("0", "1"),  # `true` and `false` are met in real files; readers take both
    "upn_unknown": tuple(f"UN{n}" for n in range(1, 8)),
    "gender": ("1", "2", "0", "9"),  # male, female, not recorded or unborn, indeterminate
    "sex": ("M", "F", "U"),
    "ethnicity": ETHNICITY,
    "disability": (
        *("NONE", "MOB", "HAND", "PC", "INC", "COMM", "LD", "HEAR", "VIS", "BEH", "CON", "AUT"),
        "DDA",
    ),
    "referral_source": (
        *("1A", "1B", "1C", "1D", "2A", "2B", "3A", "3B", "3C", "3D", "3E", "3F", "4"),
        *("5A", "5B", "5C", "6", "7", "8", "9", "10"),
    ),
    "need": ("N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N9", "N0"),
    "closure": tuple(f"RC{n}" for n in range(1, 10)),
    "abuse": ("NEG", "PHY", "SAB", "EMO", "MUL"),
    "factors": (*_FACTORS, "18A", "19A", "18B", "18C", "19B", "19C", "24A"),
}


def codes(name: str, year: int) -> tuple[str, ...]:
    """Codes of a list that the census of a year has."""
    listed = CODES[name]
    if name == "closure" and year < EARLY_HELP_SINCE:
        return listed[:-1]
    if name == "factors":
        split = year >= SPLIT_ABUSE_SINCE
        return (*_FACTORS, *(("18B", "18C", "19B", "19C", "24A") if split else ("18A", "19A")))
    return listed
