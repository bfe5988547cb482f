"""Write a made-up authority's CIN Census return (XML) of one year.

What is in a return: cases open at some time in the year, as known at its end; assessments,
enquiries, conferences and plans of the year. The rules that parts keep among themselves are those
the sector's validators check (domain rule: csc-validator-be-cin): conferences inside the year and
in one place alone, a plan starts on the day of its conference, factors on completed assessments
alone, nothing but the flag on a referral without further action.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, TextIO
from xml.sax.saxutils import escape

import numpy as np

from sos_analysis.records.returns import cin_layout as layout
from sos_analysis.records.synthetic_case import NEED, NFA, NOT_IN_NEED
from sos_analysis.records.synthetic_days import NEVER, calendar, year_end
from sos_analysis.records.synthetic_facts import CLOSURES, NEEDS
from sos_analysis.records.synthetic_rates import calibration
from sos_analysis.records.writing.history import History, after_working_days, as_date

#: Said at the top of each file.
NOTE = (
    "MADE-UP RECORDS. No child, case or authority in this file is real. Authority codes are below "
    "201, where real ones begin; ids of children begin with MU."
)
_LIMIT = 42  # working days open at the year's end: 45 are allowed, less what calendars differ by
_ENQUIRY_DAYS = 15  # working days from a section 47 enquiry's start to the target of its conference
_REVIEW_FIRST, _REVIEW_NEXT = 84, 168  # days from a plan's start, and from review to review
_PLAN_AFTER = 7  # days from the end of the first assessment to a plan of a child in need
# Shares of who refers (domain rule: DfE 2019, police 29.2, schools 18.2, health 14.6 per cent;
# the rest is ours).
_SOURCES = (
    *(("6", 292), ("2A", 182), ("3A", 30), ("3B", 36), ("3C", 20), ("3D", 10), ("3E", 40)),
    *(("3F", 10), ("5B", 60), ("5A", 40), ("1A", 80), ("1C", 10), ("1D", 20), ("2B", 30)),
    *(("4", 15), ("7", 45), ("8", 50), ("9", 20), ("10", 10)),
)
# Factors found at an assessment (ours), where something was found.
_FACTORS = ("3B", "4B", "2B", "1B", "16A", "17A", "4A", "3A", "14A", "18", "5A", "6A", "20")

Node = dict[str, Any]


def write_census(history: History, year: int, out: TextIO) -> dict[str, int]:
    """Write the return of a year, child by child.

    Parameters
    ----------
    history : the made-up authority.
    year : census year (by its end), which also settles the shape of the file.
    out : text file, written in UTF-8.

    Returns
    -------
    Counts of children and of referrals.
    """
    counts = {"children": 0, "referrals": 0}
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    out.write(f"<!-- {NOTE} -->\n<{layout.ROOT}>\n")
    _group(out, layout.HEADER_GROUP, _header(history.la, year), year, 1)
    out.write(f"  <{layout.CHILDREN}>\n")
    for child in _Year(history, year).children():
        counts["children"] += 1
        counts["referrals"] += len(child[layout.DETAILS.name])
        _group(out, layout.CHILD_GROUP, child, year, 2)
    out.write(f"  </{layout.CHILDREN}>\n</{layout.ROOT}>\n")
    return counts


def _header(la: str, year: int) -> Node:
    return {
        "CollectionDetails": [
            {"Collection": layout.COLLECTION, "Year": year, "ReferenceDate": date(year, 3, 31)}
        ],
        "Source": [
            {
                "SourceLevel": layout.SOURCE_LEVEL,
                "LEA": la,
                "SoftwareCode": "MADE UP",
                "Release": "1",
                "SerialNo": "001",
                "DateTime": f"{year}-04-30T12:00:00",
            }
        ],
    }


def _group(out: TextIO, group: layout.Group, node: Node, year: int, depth: int) -> None:
    """An element and what is in it, in the layout's order for the year."""
    pad = "  " * depth
    out.write(f"{pad}<{group.name}>\n")
    for part in layout.parts(group, year):
        found = node.get(part.name)
        if found is None:
            continue
        if isinstance(part, layout.Group):
            for each in found:
                _group(out, part, each, year, depth + 1)
            continue
        values = found if part.many else [found]
        if not values:
            continue
        wrapped = part.within and part.name != "CPPreviewDate"
        if wrapped:
            out.write(f"{pad}  <{part.within}>\n")
        for value in values:
            text = f"<{part.name}>{escape(str(value))}</{part.name}>"
            # Each review has a wrapper of its own; disabilities and factors share one.
            text = f"<{part.within}>{text}</{part.within}>" if part.within and not wrapped else text
            out.write(f"{pad}  {'  ' if wrapped else ''}{text}\n")
        if wrapped:
            out.write(f"{pad}  </{part.within}>\n")
    out.write(f"{pad}</{group.name}>\n")


class _Year:
    """What the return of a year says of each child."""

    def __init__(self, history: History, year: int) -> None:
        self.tables, self.year = history.tables, year
        self.child_id = history.child_id
        self.begins, self.ends = year_end(year - 1) + 1, year_end(year)
        c, n = self.tables.cases, len(self.tables.cases.child)
        # What the made-up records leave open is drawn from the number of the case alone, so that
        # a case says the same in every year.
        rng = np.random.default_rng([int(history.la), 47])
        shares = np.array([share for _, share in _SOURCES])
        self.source = rng.choice(len(_SOURCES), size=n, p=shares / shares.sum())
        self.factor = rng.integers(0, 10**9, n)
        made_then = (c.referral >= self.begins) & (c.referral <= self.ends)
        open_then = (c.referral <= self.ends) & (c.closed >= self.begins)
        self.rows = np.flatnonzero(np.where(c.kind == NFA, made_then, open_then))
        choices = calibration("choices")
        self.disabilities = choices["disability"]["codes"]
        self.last_row = {int(c.child[row]): int(row) for row in self.rows}

    def children(self) -> Iterator[Node]:
        """Every child with a case in the return."""
        child = -1
        found: list[Node] = []
        for row in self.rows:
            if (now := int(self.tables.cases.child[row])) != child:
                if found:
                    yield self._child(child, found)
                child, found = now, []
            found.append(self._details(int(row)))
        if found:
            yield self._child(child, found)

    def _known(self, day: Any) -> date | None:
        """A day, if it was known at the end of the year."""
        return as_date(day) if day <= self.ends else None

    def _in_year(self, day: Any) -> bool:
        return bool(self.begins <= day <= self.ends)

    def _child(self, child: int, details: list[Node]) -> Node:
        ch = self.tables.children
        born = int(ch.born[child])
        unborn = born > self.ends
        known = bool(ch.sex_recorded[child]) and not unborn
        male = bool(ch.male[child])
        died = self.tables.facts.died[self.last_row[child]]
        identifiers: Node = {
            "LAchildID": self.child_id[child],
            # A unique pupil number begins with a real authority's code, so none is made up.
            "UPNunknown": "UN1" if self.ends - born < 5 * 366 else "UN5",
            "ExpectedPersonBirthDate" if unborn else "PersonBirthDate": as_date(born),
            "GenderCurrent": ("1" if male else "2") if known else "0",
            "Sex": ("M" if male else "F") if known else "U",
            "PersonDeathDate": as_date(died) if self._in_year(died) else None,
        }
        own: list[str] = ["NONE"]
        if ch.disabled[child]:
            place, second = self.tables.facts.disability, self.tables.facts.second_disability
            own = [self.disabilities[int(place[child])]]
            own += [self.disabilities[int(second[child])]] if second[child] >= 0 else []
        return {
            "ChildIdentifiers": [identifiers],
            "ChildCharacteristics": [
                {"Ethnicity": self.tables.ethnicities[int(ch.ethnicity[child])], "Disability": own}
            ],
            "CINdetails": details,
        }

    def _details(self, row: int) -> Node:
        c, f = self.tables.cases, self.tables.facts
        kind, closed = int(c.kind[row]), self._known(c.closed[row])
        need = NEEDS[int(f.need[row])] if f.need[row] >= 0 else None
        node: Node = {
            "CINreferralDate": as_date(c.referral[row]),
            "ReferralSource": _SOURCES[int(self.source[row])][0],
            "PrimaryNeedCode": need,
            "CINclosureDate": closed,
            "ReasonForClosure": CLOSURES[int(f.reason[row])] if closed else None,
            "ReferralNFA": "1" if kind == NFA else "0",
        }
        if kind == NFA:
            return node
        node["PrimaryNeedCode"] = need or "N0"
        node["Assessments"] = list(self._assessments(row))
        node["Section47"], alone = self._enquiries(row)
        node["DateOfInitialCPC"] = alone
        node["ChildProtectionPlans"] = list(self._plans(row))
        node["CINPlanDates"] = list(self._need_plans(row, node))
        return node

    def _assessments(self, row: int) -> Iterator[Node]:
        c = self.tables.cases
        spans = ((c.assessed[row], c.assessed_end[row]), (c.again[row], c.again_end[row]))
        for number, (start, end) in enumerate(spans):
            done = end <= self.ends
            # One that has run past the limit at the year's end waits for the return in which it
            # is done, as one begun in an earlier year must.
            overdue = after_working_days(int(start), _LIMIT) <= self.ends
            if start > self.ends or end < self.begins:
                continue
            if not done and (start < self.begins or overdue):
                continue
            node: Node = {
                "AssessmentActualStartDate": as_date(start),
                "AssessmentInternalReviewDate": as_date(min(start + 14, end)) if done else None,
                "AssessmentAuthorisationDate": as_date(end) if done else None,
            }
            if done:
                node["AssessmentFactors"] = self._factors(row, number)
            yield node

    def _factors(self, row: int, number: int) -> list[str]:
        draw = int(self.factor[row]) // (number + 1)
        c = self.tables.cases
        only = number == 0 and c.again[row] >= NEVER and c.closed[row] <= self.ends
        if c.kind[row] == NOT_IN_NEED and only and draw % 5 == 0:
            return ["21"]  # nothing found: the case is closed after assessment
        split = self.year >= layout.SPLIT_ABUSE_SINCE
        found = {_FACTORS[draw % len(_FACTORS)], _FACTORS[(draw // 13) % len(_FACTORS)]}
        return sorted(("18B" if split else "18A") if code == "18" else code for code in found)

    def _enquiries(self, row: int) -> tuple[list[Node], date | None]:
        """Section 47 modules, and the conference's date where none of them can hold it."""
        c = self.tables.cases
        meeting = int(c.conference[row])
        held = self._in_year(meeting)
        found: list[Node] = []
        placed = False
        for number, start in enumerate((int(c.section47[row]), int(c.section47_again[row]))):
            here = number == 0 and held and start <= meeting
            began = self._in_year(start)
            if not (began or here):
                continue
            placed |= here
            # Marked as needing no conference unless one was held or is to come.
            awaited = number == 0 and self.ends < meeting < NEVER
            target = after_working_days(start, _ENQUIRY_DAYS)
            if awaited and target <= self.ends:
                continue  # overdue: it stands in the return in which the conference is held
            found.append(
                {
                    "S47ActualStartDate": as_date(start),
                    "InitialCPCtarget": as_date(target),
                    "DateOfInitialCPC": as_date(meeting) if here else None,
                    "ICPCnotRequired": "0" if here or awaited else "1",
                }
            )
        return found, as_date(meeting) if held and not placed else None

    def _plans(self, row: int) -> Iterator[Node]:
        c, f = self.tables.cases, self.tables.facts
        spans = ((c.plan[row], c.plan_end[row]), (c.plan_again[row], c.plan_again_end[row]))
        for number, (start, end) in enumerate(spans):
            if start > self.ends or end < self.begins:
                continue
            category = self.tables.categories[int(f.category[row])]
            latest = self.tables.categories[int(f.latest_category[row])]
            until = min(int(end), self.ends)
            reviews = range(int(start) + _REVIEW_FIRST, until + 1, _REVIEW_NEXT)
            yield {
                "CPPstartDate": as_date(start),
                "CPPendDate": self._known(end),
                "InitialCategoryOfAbuse": category,
                "LatestCategoryOfAbuse": latest,
                "NumberOfPreviousCPP": int(f.previous_plans[row]) + number,
                "CPPreviewDate": [as_date(self._working(d)) for d in reviews if d >= self.begins],
            }

    @staticmethod
    def _working(day: int) -> int:
        return int(calendar().on_or_after(np.array([day]))[0])

    def _need_plans(self, row: int, node: Node) -> Iterator[Node]:
        """A plan of a child in need, from 2022: after the assessment, where no other plan is."""
        c = self.tables.cases
        start = int(c.assessed_end[row]) + _PLAN_AFTER
        end = min(int(c.closed[row]), NEVER)
        protected = c.plan[row] < NEVER
        if self.year < layout.PLAN_DATES_SINCE or c.kind[row] != NEED or protected:
            return
        if start <= self.ends and start < end and end >= self.begins:
            yield {"CINPlanStartDate": as_date(start), "CINPlanEndDate": self._known(end)}
