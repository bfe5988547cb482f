"""A second, brute-force reading of the outcome definitions: one child at a time, plain Python.

Written from the definitions alone (docs/methods_registry.md), sharing no code with the package:
files are read row by row into dictionaries, events are found by loops over dates. It is slow and
meant to be: where it and `sos_analysis.outcomes` disagree, one of them misreads the definitions.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Day = dt.date
Key = tuple[str, str]  # (LA, LA child id)

RECORDS_FROM = Day(2008, 4, 1)
RECORDS_TO = Day(2019, 3, 31)
ASSESSMENTS_TO = Day(2019, 3, 29)

SIX_MONTHS, ESCALATION, HALF_YEAR, YEAR, CONFERENCE = 183, 360, 180, 365, 90
DURATION_GAP, LONGEST = 53, 110

KIN = {"Q1", "U1", "U2", "U3"}
LEGACY_KIN = {"F1", "F4"}
KIN_EXITS = {"E43", "E44", "E45", "E47", "E13", "E4A", "E4"}
SHORT_BREAKS = {"V3", "V4"}
IN_NEED = {"RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7"}

ETHNIC = {
    **dict.fromkeys(["WBRI", "WIRI", "WOTH", "WIRT", "WROM"], "White"),
    **dict.fromkeys(["MWBC", "MWBA", "MWAS", "MOTH"], "Mixed"),
    **dict.fromkeys(["AIND", "APKN", "ABAN", "AOTH"], "Asian"),
    **dict.fromkeys(["BCRB", "BAFR", "BOTH"], "Black"),
    "CHNE": "Chinese",
    "OOTH": "Other",
    "REFU": "Unclassified",
    "NOBT": "Unclassified",
}


COVARIATES = (
    "sex",
    "age_band",
    "ethnicity",
    "school_phase",
    "disabled",
    "low_income",
    "previous_cpp",
    "uasc",
    "elevated_risk",
)


# --- bank holidays and working days, from the rules and not from a library -----------------------
def easter(year: int) -> Day:
    """Easter Sunday by the Gregorian computus."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return Day(year, month, day + 1)


def bank_holidays(year: int) -> set[Day]:
    """English bank holidays of 2008 to 2020, substitutes and one-off days included."""

    def monday(month: int, *, last: bool = False) -> Day:
        days = [Day(year, month, d) for d in range(1, 32 if month in (5, 8) else 31)]
        mondays = [d for d in days if d.weekday() == 0]
        return mondays[-1] if last else mondays[0]

    found = {easter(year) - dt.timedelta(2), easter(year) + dt.timedelta(1)}
    found |= {monday(5), monday(5, last=True), monday(8, last=True)}
    if year == 2012:  # moved for the Diamond Jubilee, with a day more
        found -= {Day(2012, 5, 28)}
        found |= {Day(2012, 6, 4), Day(2012, 6, 5)}
    if year == 2011:
        found.add(Day(2011, 4, 29))
    if year == 2020:  # moved to VE day
        found -= {Day(2020, 5, 4)}
        found.add(Day(2020, 5, 8))
    for fixed in (Day(year, 1, 1), Day(year, 12, 25), Day(year, 12, 26)):
        day = fixed
        while day.weekday() >= 5 or day in found:
            day += dt.timedelta(1)
        found.add(day)
    return found


HOLIDAYS = frozenset().union(*(bank_holidays(year) for year in range(2007, 2022)))


def working_days(start: Day, end: Day) -> int:
    """Days from `start` (counted) up to `end` (not counted) that are not weekend or holiday."""
    days = (start + dt.timedelta(i) for i in range((end - start).days))
    return sum(1 for day in days if day.weekday() < 5 and day not in HOLIDAYS)


def nearest(weekday: int, to: Day) -> Day:
    return next(
        to + dt.timedelta(n)
        for n in (0, 1, -1, 2, -2, 3, -3)
        if (to + dt.timedelta(n)).weekday() == weekday
    )


def school_holidays(year: int) -> list[Day]:
    """Saturdays on which school holidays begin, by the approximation the documents state."""
    easters = [easter(year) - dt.timedelta(n) for n in (1, 8, 15)]
    whitsun = min(day for day in bank_holidays(year) if day >= Day(year, 5, 25))
    weeks = [nearest(0, Day(year, 2, 15)), nearest(0, Day(year, 10, 25))]
    return [
        *(monday - dt.timedelta(2) for monday in weeks),
        min(easters, key=lambda day: abs((day - Day(year, 3, 31)).days)),
        max(day for n in range(7) if (day := whitsun - dt.timedelta(n)).weekday() == 5),
        nearest(5, Day(year, 7, 23)),
        max(day for n in range(7) if (day := Day(year, 12, 23) - dt.timedelta(n)).weekday() == 5),
    ]


def risky() -> frozenset[Day]:
    """The day after a bank holiday (on its own date too, if that is a weekend), and the five
    days before a school holiday."""
    found = {day + dt.timedelta(1) for day in HOLIDAYS}
    for year in range(2007, 2021):
        found |= {Day(year, *md) + dt.timedelta(1) for md in ((1, 1), (12, 25), (12, 26))}
        for start in school_holidays(year):
            found |= {start - dt.timedelta(n) for n in range(1, 6)}
    return frozenset(found)


RISKY = risky()


# --- reading -------------------------------------------------------------------------------------
def rows_of(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dt.datetime):
                row[name] = value.date()
            elif isinstance(value, str):
                row[name] = value.strip() or None
    return rows


def yearly(folder: Path, stem: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for path in sorted(folder.glob(f"{stem}_*.parquet")):
        year = int(path.stem.rsplit("_", 1)[1])
        for row in rows_of(path):
            yield year, row


def truth(value: Any) -> bool | None:
    """A flag however it was written."""
    if value is None:
        return None
    text = str(value).strip().lower()
    if text in {"1", "1.0", "true"}:
        return True
    return False if text in {"0", "0.0", "false"} else None


@dataclass
class Child:
    dobs: list[Day] = field(default_factory=list)
    expected: list[Day] = field(default_factory=list)
    months: list[Day] = field(default_factory=list)  # only year and month are stated
    sexes: list[str] = field(default_factory=list)
    ethnicities: list[str] = field(default_factory=list)
    disabled: list[bool] = field(default_factory=list)
    poor: list[bool] = field(default_factory=list)
    asylum: list[bool] = field(default_factory=list)

    @property
    def dob(self) -> Day | None:
        """What most rows state (the definitions leave this open); of equals the earliest."""
        for stated in (self.dobs, self.expected, self.months):
            if stated:
                return min(stated, key=lambda day: (-stated.count(day), day))
        return None

    @property
    def sex(self) -> str:
        male, female = self.sexes.count("male"), self.sexes.count("female")
        return "unknown" if male == female else "male" if male > female else "female"

    @property
    def ethnicity(self) -> str:
        """What most rows state; 'Unclassified' only where no row states a group."""
        groups = list(dict.fromkeys(ETHNIC.values()))
        stated = [e for e in self.ethnicities if e != "Unclassified"] or self.ethnicities
        if not stated:
            return "missing"
        return min(stated, key=lambda e: (-stated.count(e), groups.index(e)))


@dataclass
class Referral:
    flags: list[bool] = field(default_factory=list)
    closures: list[tuple[int, Day]] = field(default_factory=list)  # (return, date)
    reasons: list[tuple[int, Day, str]] = field(default_factory=list)  # return, date, reason
    marks: list[bool] = field(default_factory=list)
    plan: bool = False
    icpc: bool = False
    icpc_dates: list[Day] = field(default_factory=list)  # as the referral itself states them

    @property
    def flag(self) -> bool | None:
        return all(self.flags) if self.flags else None

    @property
    def closure(self) -> Day | None:
        return max(self.closures)[1] if self.closures else None

    @property
    def reason(self) -> str | None:
        return max(self.reasons)[2] if self.reasons else None


@dataclass
class Period:
    start: Day
    end: Day | None
    reason: str | None
    first_legal_status: str | None
    episodes: list[tuple[Day, str | None, str | None]]  # start, legal status, placement


@dataclass
class Extract:
    children: dict[Key, Child]
    referrals: dict[Key, dict[Day, Referral]]
    assessments: dict[Key, dict[Day, Day | None]]
    section47_icpcs: dict[Key, set[Day]]
    plans: dict[Key, set[Day]]
    earlier_plans: dict[Key, list[tuple[Day, int]]]
    periods: dict[Key, list[Period]]


def read(folder: Path, authorities: Iterable[str] | None = None) -> Extract:
    """Every table of the extract, child by child."""
    keep = None if authorities is None else set(authorities)
    children: dict[Key, Child] = defaultdict(Child)
    referrals: dict[Key, dict[Day, Referral]] = defaultdict(lambda: defaultdict(Referral))
    plans: dict[Key, set[Day]] = defaultdict(set)
    earlier: dict[Key, list[tuple[Day, int]]] = defaultdict(list)
    for year, row in yearly(folder, "cin"):
        la = row["CIN_LA"] if "CIN_LA" in row else row["CIN_LA_LGR"]
        if keep is not None and la not in keep:
            continue
        key = (la, row["CIN_LAchildID_Anon"])
        _child(children[key], row)
        day = row["CIN_ReferralDate"]
        if row.get("CIN_CPPstartDate"):
            plans[key].add(row["CIN_CPPstartDate"])
            if row.get("CIN_NumberOfPreviousCPP") is not None:
                earlier[key].append((row["CIN_CPPstartDate"], int(row["CIN_NumberOfPreviousCPP"])))
        if day is None:
            continue
        referral = referrals[key][day]
        flag = truth(row.get("CIN_ReferralNFA"))
        if flag is not None:
            referral.flags.append(flag)
        if row.get("CIN_CINClosureDate"):
            referral.closures.append((year, row["CIN_CINClosureDate"]))
        if row.get("CIN_ReasonForClosure"):
            closed = row.get("CIN_CINClosureDate") or Day.min
            referral.reasons.append((year, closed, row["CIN_ReasonForClosure"].upper()))
        for name in ("CIN_AnyPoint", "CIN_Started", "CIN_Ended", "CIN_CINAt31March"):
            mark = truth(row.get(name))
            if mark is not None:
                referral.marks.append(mark)
        if row.get("CIN_CPPstartDate"):
            referral.plan = True
        if row.get("CIN_DateOfInitialCPC"):
            referral.icpc = True
            referral.icpc_dates.append(row["CIN_DateOfInitialCPC"])

    icpcs: dict[Key, set[Day]] = defaultdict(set)
    for _, row in yearly(folder, "section47"):
        key = (row["CIN_LA"], row["CIN_LAchildID_Anon"])
        if (keep is not None and key[0] not in keep) or not row.get("DateOfInitialCPC"):
            continue
        icpcs[key].add(row["DateOfInitialCPC"])
        if row.get("CIN_ReferralDate") in referrals[key]:
            referrals[key][row["CIN_ReferralDate"]].icpc = True

    assessments: dict[Key, dict[Day, Day | None]] = defaultdict(dict)
    for _, row in yearly(folder, "assessments"):
        key = (row["CIN_LA"], row["CIN_LAchildID_Anon"])
        start, end = row["AssessmentStartDate"], row["AssessmentAuthorisationDate"]
        if (keep is not None and key[0] not in keep) or start is None:
            continue
        known = assessments[key].get(start)
        assessments[key][start] = max(d for d in (known, end) if d) if known or end else None

    for _, row in yearly(folder, "disabilities"):
        key = (row["CIN_LA"], row["CIN_LAchildID_Anon"])
        if (keep is None or key[0] in keep) and row.get("Disability") not in (None, "NONE"):
            children[key].disabled.append(True)

    care = defaultdict(list)
    for row in rows_of(folder / "cla_episodes.parquet"):
        la = row.get("CHILD_LA_CODE_ANON") or row["LA"]
        if keep is None or la in keep:
            care[(la, row["CHILD_ID_ANON"])].append(row)
    periods = {}
    for key, episodes in care.items():
        periods[key] = _periods(episodes)
        for row in episodes:
            _care_child(children[key], row)
    return Extract(
        dict(children), dict(referrals), dict(assessments), icpcs, plans, earlier, periods
    )


def _child(child: Child, row: Mapping[str, Any]) -> None:
    if row.get("CIN_DOB"):
        child.dobs.append(row["CIN_DOB"])
    elif row.get("CIN_ExpectedDOB"):
        child.expected.append(row["CIN_ExpectedDOB"])
    elif row.get("CIN_YearOfBirth") and row.get("CIN_MonthOfBirth"):
        child.months.append(Day(int(row["CIN_YearOfBirth"]), int(row["CIN_MonthOfBirth"]), 15))
    sex = {"1": "male", "2": "female"}.get(str(row.get("CIN_Gender")))
    if sex:
        child.sexes.append(sex)
    ethnicity = ETHNIC.get(str(row.get("CIN_Ethnicity") or "").upper())
    if ethnicity:
        child.ethnicities.append(ethnicity)
    for values, name in ((child.disabled, "CIN_Disability"), (child.asylum, "CIN_AsylumSeeking")):
        stated = truth(row.get(name))
        if stated is not None:
            values.append(stated)
    for name, value in row.items():
        if name.startswith(("CIN_EVERFSM", "CIN_EYPP")) and truth(value) is not None:
            child.poor.append(bool(truth(value)))


def _care_child(child: Child, row: Mapping[str, Any]) -> None:
    if row.get("dob_Year") and row.get("dob_Month"):
        child.months.append(Day(int(row["dob_Year"]), int(row["dob_Month"]), 15))
    sex = {"1": "male", "2": "female"}.get(str(row.get("SEX")))
    if sex:
        child.sexes.append(sex)
    ethnicity = ETHNIC.get(str(row.get("ethnic_or") or "").upper())
    if ethnicity:
        child.ethnicities.append(ethnicity)
    if truth(row.get("uasc_status")) is not None:
        child.asylum.append(bool(truth(row["uasc_status"])))


def _periods(rows: list[dict[str, Any]]) -> list[Period]:
    """Periods of care: from an episode that starts (S), or does not follow on from the last."""
    rows = [row for row in rows if row["date_episode_started"]]
    rows.sort(key=lambda r: (r["date_episode_started"], r["date_episode_ceased"] or Day.max))
    groups: list[list[dict[str, Any]]] = []
    for row in rows:
        last = groups[-1][-1] if groups else None
        follows = (
            last is not None
            and row["RNE"] != "S"
            and last["reason_episode_ceased"] == "X1"
            and last["date_episode_ceased"] == row["date_episode_started"]
        )
        if follows:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [
        Period(
            start=group[0]["date_episode_started"],
            end=group[-1]["date_episode_ceased"],
            reason=group[-1]["reason_episode_ceased"],
            first_legal_status=group[0]["legal_status"],
            episodes=[
                (r["date_episode_started"], r["legal_status"], r["placement"]) for r in group
            ],
        )
        for group in groups
    ]


# --- outcomes ------------------------------------------------------------------------------------
def age_at(dob: Day | None, day: Day) -> int | None:
    """Completed years; an unborn child within a year of birth is -1."""
    if dob is None:
        return None
    return day.year - dob.year - ((day.month, day.day) < (dob.month, dob.day))


def in_age(dob: Day | None, day: Day, *, unknown: bool = True) -> bool:
    age = age_at(dob, day)
    return unknown if age is None else -1 <= age <= 17


def state(referral: Referral) -> str:
    """'nfa', 'cin' or 'neither', as the original read it."""
    marked = referral.plan or referral.icpc or any(referral.marks)
    if marked:
        return "cin"
    if referral.flag or referral.reason == "RC8":
        return "nfa"
    if referral.closure is None or referral.reason in IN_NEED:
        return "cin"
    return "neither"


Options = Mapping[str, Any]
_NO_CHOICE: Options = {}
CHOICES: Mapping[str, Mapping[str, Options]] = {
    "duration": {
        "original": {"trim": LONGEST, "beyond": 0},
        "strict": {"trim": "none", "beyond": 0},
    },
    "rereferral": {"original": {"nfa": "wide"}, "strict": {"nfa": "flag"}},
    "nfa_share": {"original": {"nfa": "wide"}, "strict": {"nfa": "flag"}},
    "escalation": {
        "original": {
            "nfa": "wide",
            "second_referral": "last",
            "prior_start": "drop",
            "short_breaks": True,
        },
        "strict": {
            "nfa": "flag",
            "second_referral": "first",
            "prior_start": "keep",
            "short_breaks": False,
        },
    },
    "kinship": {
        "original": {"strict": False, "legal": "care_orders"},
        "strict": {"strict": True, "legal": "care_orders"},
    },
    "icpc": {
        "original": {"within": "fewer_than", "source": "s47", "censor": False},
        "strict": {"within": "at_most", "source": "either", "censor": True},
    },
    "rereferral_all": {"original": _NO_CHOICE, "strict": _NO_CHOICE},
}


def is_nfa(referral: Referral, options: Options) -> bool:
    return bool(referral.flag) if options["nfa"] == "flag" else state(referral) == "nfa"


def events(
    extract: Extract, outcome: str, definition: str = "original", **overrides: Any
) -> list[dict[str, Any]]:
    """Every eligible event of one outcome, as dictionaries, with its covariates."""
    options = {**CHOICES[outcome][definition], **overrides}
    found = {
        "duration": _duration,
        "rereferral": _after_nfa,
        "escalation": _after_nfa,
        "kinship": _kinship,
        "icpc": _icpc,
        "nfa_share": _every_referral,
        "rereferral_all": _every_referral,
    }[outcome](extract, outcome, options)
    for event in found:
        key, day = (event["la"], event["child_id"]), event["event_date"]
        event.update(covariates(extract, key, day))
        # Judged by the day of the referral where the event follows from one.
        event["elevated_risk"] = "yes" if event.pop("risk_date", day) in RISKY else "no"
    return found


def _event(key: Key, day: Day, window_end: Day, y: int) -> dict[str, Any]:
    return {
        "la": key[0],
        "child_id": key[1],
        "event_date": day,
        "window_end": window_end,
        "y": y,
        "year": day.year + (day.month >= 4),
    }


def _valid(referrals: Mapping[Day, Referral]) -> Iterator[tuple[Day, Referral]]:
    """Referrals that may be events: inside the records, not closed before they were made."""
    for day, referral in referrals.items():
        if day < RECORDS_FROM or day > RECORDS_TO:
            continue
        if referral.closure is not None and referral.closure < day:
            continue
        yield day, referral


def _dob(extract: Extract, key: Key) -> Day | None:
    child = extract.children.get(key)
    return child.dob if child else None


def _duration(extract: Extract, outcome: str, options: Options) -> list[dict[str, Any]]:
    found = []
    for key, assessments in extract.assessments.items():
        for start, end in assessments.items():
            if end is None or end < start or start < RECORDS_FROM:
                continue
            if not in_age(_dob(extract, key), start):
                continue
            if start + dt.timedelta(DURATION_GAP) >= ASSESSMENTS_TO:
                continue
            found.append(_event(key, start, end, working_days(start, end)))
    longest, limit = options["trim"], options["beyond"]
    if longest == "none":
        longest = float("inf")
    if longest == "fence":
        lower, upper = (quantile([e["y"] for e in found], q) for q in (0.25, 0.75))
        longest = upper + 1.5 * (upper - lower)
    kept = [event for event in found if event["y"] <= longest]
    if limit:
        kept = [{**event, "y": 1 if event["y"] > limit else 0} for event in kept]
    return kept


def quantile(values: list[int], q: float) -> float:
    """Sample quantile by linear interpolation between order statistics."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def _after_nfa(extract: Extract, outcome: str, options: Options) -> list[dict[str, Any]]:
    window = SIX_MONTHS if outcome == "rereferral" else ESCALATION
    found = []
    for key, referrals in extract.referrals.items():
        nfa_dates: dict[Day, list[Day]] = defaultdict(list)
        for referred, referral in _valid(referrals):
            if is_nfa(referral, options):
                nfa_dates[referral.closure or referred].append(referred)
        for day in nfa_dates:
            last = day + dt.timedelta(window)
            if last >= RECORDS_TO or not in_age(_dob(extract, key), day):
                continue
            later = sorted(d for d in referrals if 0 < (d - day).days <= SIX_MONTHS)
            event = _event(key, day, last, int(bool(later)))
            event["risk_date"] = min(nfa_dates[day])
            if outcome == "rereferral" or not later:
                found.append(event)
                continue
            second = later[0] if options["second_referral"] == "first" else later[-1]
            starts = set(extract.plans.get(key, ()))
            for period in extract.periods.get(key, ()):
                short = period.first_legal_status in SHORT_BREAKS
                if options["short_breaks"] or not short:
                    starts.add(period.start)
            if options["prior_start"] == "drop" and any(day < s < second for s in starts):
                continue
            event["y"] = int(any(0 <= (s - second).days <= HALF_YEAR for s in starts))
            found.append(event)
    return found


def _kinship(extract: Extract, outcome: str, options: Options) -> list[dict[str, Any]]:
    found = []
    for key, periods in extract.periods.items():
        for period in periods:
            last = period.start + dt.timedelta(YEAR)
            if period.start < RECORDS_FROM or last >= RECORDS_TO:
                continue
            if not in_age(_dob(extract, key), period.start, unknown=False):
                continue
            episodes = [
                (start, placement)
                for start, status, placement in period.episodes
                if (start - period.start).days <= YEAR
                and (
                    status in {"C1", "C2"}
                    if options["legal"] == "care_orders"
                    else status not in SHORT_BREAKS
                )
            ]
            if not episodes:
                continue
            if options["strict"]:
                y = any(
                    p in KIN or (p in LEGACY_KIN and start < Day(2015, 4, 1))
                    for start, p in episodes
                )
            else:
                y = any(p in KIN | LEGACY_KIN | {"P1"} for _, p in episodes)
                if period.end is not None and (period.end - period.start).days <= YEAR:
                    y = y or period.reason in KIN_EXITS
            found.append(_event(key, period.start, last, int(y)))
    return found


def _icpc(extract: Extract, outcome: str, options: Options) -> list[dict[str, Any]]:
    found = []
    for key, referrals in extract.referrals.items():
        dates = set(extract.section47_icpcs.get(key, ()))
        if options["source"] == "either":
            dates |= {d for r in referrals.values() for d in r.icpc_dates}
        for day, referral in _valid(referrals):
            # Children in need as the original tells them from NFA, under both definitions.
            if state(referral) != "cin" or not in_age(_dob(extract, key), day):
                continue
            last = day + dt.timedelta(CONFERENCE)
            if options["censor"] and last >= RECORDS_TO:
                continue
            longest = CONFERENCE - (options["within"] == "fewer_than")
            y = any(0 < (d - day).days <= longest for d in dates)
            found.append(_event(key, day, last, int(y)))
    return found


def _every_referral(extract: Extract, outcome: str, options: Options) -> list[dict[str, Any]]:
    window = SIX_MONTHS if outcome == "rereferral_all" else CONFERENCE  # time to assess and close
    found = []
    for key, referrals in extract.referrals.items():
        for day, referral in _valid(referrals):
            last = day + dt.timedelta(window)
            if last >= RECORDS_TO or not in_age(_dob(extract, key), day):
                continue
            if outcome == "nfa_share":
                y = is_nfa(referral, options)
            else:
                y = any(0 < (d - day).days <= SIX_MONTHS for d in referrals)
            found.append(_event(key, day, last, int(y)))
    return found


# --- covariates ----------------------------------------------------------------------------------
def covariates(extract: Extract, key: Key, day: Day) -> dict[str, Any]:
    child = extract.children.get(key, Child())
    age = age_at(child.dob, day)
    if age is None:
        band, phase = "missing", "missing"
    else:
        band = "0-4" if age <= 4 else "5-12" if age <= 12 else "13-17"
        phase = "none" if age <= 4 else "primary" if age <= 11 else "secondary"

    if phase == "none":
        low_income = "under school age"
    else:
        low_income = "missing" if not child.poor else "yes" if any(child.poor) else "no"
    before = any(start < day for start in extract.plans.get(key, ()))
    counted = any(n > 0 and start <= day for start, n in extract.earlier_plans.get(key, ()))
    return {
        "sex": child.sex,
        "age_band": band,
        "ethnicity": child.ethnicity,
        "school_phase": phase,
        "disabled": "missing" if not child.disabled else "yes" if any(child.disabled) else "no",
        "low_income": low_income,
        "previous_cpp": "yes" if before or counted else "no",
        "uasc": "yes" if any(child.asylum) else "no",
    }
