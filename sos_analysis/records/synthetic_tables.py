"""Made-up cases as the tables a researcher receives: one CIN file a year, and the rest apart.

Each file holds what was known on the 31 March that closed its year: a case still open appears
again next year, and a plan or a closure that came later is blank. Columns are those of the NPD
extract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sos_analysis.records.synthetic_care import LEGAL, PLACEMENTS, REASONS, STARTS, Episodes
from sos_analysis.records.synthetic_case import (
    BREAKS,
    END,
    NEED,
    NFA,
    NOT_IN_NEED,
    PASSED_ON,
    Bools,
    Cases,
    Children,
    Ints,
    happened,
)
from sos_analysis.records.synthetic_days import NEVER, calendar, day_number, year_end
from sos_analysis.records.synthetic_facts import CLOSURES, NEEDS, NOT_FOR_CARE, Dirt, Facts
from sos_analysis.records.synthetic_rates import FIRST_RETURN, YEARS, calibration

#: Years (by their end) that have a return; files are named by the year's beginning.
RETURNS = tuple(y for y in YEARS if y >= FIRST_RETURN)
YEARLY: Mapping[str, tuple[int, ...]] = {
    "cin": RETURNS,
    "assessments": tuple(y for y in RETURNS if y >= 2012),
    "section47": RETURNS,
    "disabilities": tuple(y for y in RETURNS if y >= 2010),
}
_PREVIOUS_PLANS = (2009, *range(2013, 2020))  # years whose files count previous plans
_EARLY_YEARS_PREMIUM = 2016  # first year (by its end) in which it was known

_NEED_CODES = (*NEEDS, *(code.lower() for code in NEEDS), "UnmappedNeedCode")
_CLOSURE_CODES = (*CLOSURES, *(f"{c} " for c in CLOSURES), *(f" {c}" for c in CLOSURES))
_GENDERS = ("0", "1", "2", "9", "3")  # the last is no code
_TYPES = ("core", "single")


def file_name(table: str, year: int) -> str:
    """Name of the file of a year (by its end)."""
    return f"{table}_{year - 1}.parquet"


class Tables:
    """The tables of one authority, made on demand.

    Parameters
    ----------
    la : three-character code.
    children, cases, care : what happened.
    facts, dirt : what else is written about it, and what is written wrongly.
    pupils : this authority's stream for pupil references.
    """

    def __init__(
        self,
        la: str,
        children: Children,
        cases: Cases,
        care: Episodes,
        facts: Facts,
        dirt: Dirt,
        pupils: np.random.Generator,
    ) -> None:
        self.la, self.children, self.cases, self.care = la, children, cases, care
        self.facts, self.dirt, self.calendar = facts, dirt, calendar()
        choices = calibration("choices")
        self.ethnicities: Sequence[str] = choices["ethnicity"]["codes"]
        self.categories: Sequence[str] = choices["plan"]["category_codes"]
        self.child_id = numbered("C", np.arange(1, len(children.born) + 1))
        self.pupil = _pupils(la, children, pupils)

    def table(self, name: str, year: int) -> pa.Table:
        """One of `YEARLY` for a year (by its end)."""
        make = {
            "cin": self.cin,
            "assessments": self.assessments,
            "section47": self.section47,
            "disabilities": self.disabilities,
        }
        return make[name](year)

    def cin(self, year: int) -> pa.Table:
        """Referrals open at some time in the year, one row a referral and plan."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        open_then = (c.referral <= ends) & (c.closed >= begins)
        made_then = self.calendar.year(c.referral) == year
        rows = np.flatnonzero(np.where(c.kind == NFA, made_then, open_then))
        first = (c.plan[rows] <= ends) & (c.plan_end[rows] >= begins)
        second = (c.plan_again[rows] <= ends) & (c.plan_again_end[rows] >= begins)
        number = np.select([first, second], [1, 2], 0)
        # A second plan in the same year has a row of its own; so has a copy made in error.
        both = np.flatnonzero(first & second)
        copies = np.flatnonzero(self.dirt.same_day_copy[rows])
        place = np.concatenate([np.arange(len(rows)), both, copies])
        number = np.concatenate([number, np.full(len(both), 2), number[copies]])
        copied = np.arange(len(place)) >= len(rows) + len(both)
        order = np.argsort(place, kind="stable")
        return self._cin_rows(year, rows[place[order]], number[order], copied[order])

    def _cin_rows(self, year: int, row: Ints, number: Ints, copied: Bools) -> pa.Table:
        c, ch, f, d = self.cases, self.children, self.facts, self.dirt
        begins, ends = year_end(year - 1) + 1, year_end(year)
        child, kind, n = c.child[row], c.kind[row], len(row)
        referral, closed = c.referral[row], c.closed[row]
        ended = closed <= ends
        marked = (c.plan[row] <= ends) | (c.conference[row] <= ends)
        no_need = (kind == NFA) | (kind == PASSED_ON) | ((kind == NOT_IN_NEED) & ended & ~marked)

        unborn = ch.born[child] > ends
        born = np.where(unborn, NEVER, ch.born[child] + d.birth_shift[row])
        birth_year, birth_month = _year_and_month(born)
        gender = np.where(ch.male[child], 1, 2) * (ch.sex_recorded[child] & ~unborn)
        gender = np.where(d.odd_gender[row], _GENDERS.index("3"), gender)
        need = f.need[row]
        need = np.where((need >= 0) & d.lower_need[row], need + len(NEEDS), need)
        need = np.where(d.unmapped_need[row], len(_NEED_CODES) - 1, need)
        early = d.closed_early[row]
        closure = np.where(ended, np.where(early > 0, referral - early, closed), NEVER)
        reason = np.where(ended, f.reason[row], -1)
        reason = np.where(reason >= 0, reason + len(CLOSURES) * d.padding[row], -1)

        # A conference stands in the return of the year in which it was held, and in no other.
        meeting = c.conference[row]
        here = f.in_details[row] & (meeting >= begins) & (meeting <= ends)
        start = np.select([number == 1, number == 2], [c.plan[row], c.plan_again[row]], NEVER)
        finish = np.where(number == 1, c.plan_end[row], c.plan_again_end[row])
        planned = start <= ends
        previous = f.previous_plans[row] + (number == 2)
        counted = planned & (year in _PREVIOUS_PLANS)
        age = (ends - ch.born[child]) / 365.25
        pupil = (age >= 5) & (age < 17)
        nursery = (age >= 3.5) & (age < 5) & (year >= _EARLY_YEARS_PREMIUM)
        spring = f"SPR{year % 100:02d}"
        columns: dict[str, Any] = {
            "CIN_LAchildID_Anon": self.child_id.take(pa.array(child)),
            "CIN_LA_LGR" if year == FIRST_RETURN else "CIN_LA": constant(self.la, n),
            "CIN_ACADYR": constant_year(year - 1, n),
            "CIN_PupilMatchingRefAnonymous": self.pupil.take(pa.array(child)),
            "CIN_DOB": dates(born),
            "CIN_ExpectedDOB": dates(np.where(unborn, ch.born[child], NEVER)),
            "CIN_YearOfBirth": whole(birth_year, pa.int16(), unborn),
            "CIN_MonthOfBirth": whole(birth_month, pa.int8(), unborn),
            "CIN_Gender": coded(gender, _GENDERS),
            "CIN_Ethnicity": coded(ch.ethnicity[child], self.ethnicities),
            "CIN_Disability": bits(ch.disabled[child]),
            "CIN_AsylumSeeking": bits(ch.asylum[child]),
            "CIN_ReferralDate": dates(referral),
            "CIN_ReferralNFA": pa.array((kind == NFA) & ~copied, mask=d.flag_missing[row]),
            "CIN_PrimaryNeedCode": coded(need, _NEED_CODES),
            "CIN_CINClosureDate": dates(closure),
            "CIN_ReasonForClosure": coded(reason, _CLOSURE_CODES),
            "CIN_DateOfInitialCPC": dates(np.where(here, meeting, NEVER)),
            "CIN_CPPstartDate": dates(np.where(planned, start, NEVER)),
            "CIN_CPPendDate": dates(np.where(planned & (finish <= ends), finish, NEVER)),
            "CIN_CategoryOfAbuse": coded(np.where(planned, f.category[row], -1), self.categories),
            "CIN_LatestCategoryOfAbuse": coded(
                np.where(planned, f.latest_category[row], -1), self.categories
            ),
            "CIN_NumberOfPreviousCPP": whole(previous, pa.int16(), ~counted),
            "CIN_AnyPoint": bits(~no_need),
            "CIN_Started": bits(~no_need & (referral >= begins)),
            "CIN_Ended": bits(~no_need & ended & (closed >= begins)),
            "CIN_CINAt31March": bits(~no_need & ~ended),
            "CIN_PersonDeathDate": dates(np.where(f.died[row] <= ends, f.died[row], NEVER)),
            f"CIN_EVERFSM_6_{spring}": whole(ch.ever_fsm[child], pa.int8(), ~pupil),
            f"CIN_EYPPE_{spring}": whole(ch.early_years[child], pa.int8(), ~nursery),
        }
        return pa.table(columns)

    def assessments(self, year: int) -> pa.Table:
        """Assessments open at some time in the year, as known at its end."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        own = calibration("choices")["assessment"]
        floor = day_number(own["first_day"])

        def seen(start: Any, end: Any) -> Ints:
            return np.flatnonzero((start <= ends) & (start >= floor) & (end >= begins))

        first, again = seen(c.assessed, c.assessed_end), seen(c.again, c.again_end)
        late = self.dirt.assessed_twice
        twice = first[(late[first] > 0) & (c.assessed_end[first] <= ends - 20)]
        row = np.concatenate([first, again, twice])
        start = np.concatenate([c.assessed[first], c.again[again], c.assessed[twice]])
        finish = np.concatenate(
            [c.assessed_end[first], c.again_end[again], c.assessed_end[twice] + late[twice]]
        )
        order = np.lexsort((finish, start, row))
        row, start, finish = row[order], start[order], finish[order]
        child, n = pa.array(c.child[row]), len(row)
        return pa.table(
            {
                "CIN_PupilMatchingRefAnonymous": self.pupil.take(child),
                "CIN_ACADYR": constant_year(year - 1, n),
                "CIN_LA": constant(self.la, n),
                "CIN_LAchildID_Anon": self.child_id.take(child),
                "AssessmentStartDate": dates(start),
                "AssessmentAuthorisationDate": dates(np.where(finish <= ends, finish, NEVER)),
                "AssessmentType": coded(start > day_number(own["core_until"]), _TYPES),
            }
        )

    def section47(self, year: int) -> pa.Table:
        """Enquiries begun in the year, or begun before with their conference in it."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        meeting = np.where(self.facts.in_enquiry, c.conference, NEVER)
        meeting = np.where((meeting >= begins) & (meeting <= ends), meeting, NEVER)
        began = (c.section47 >= begins) & (c.section47 <= ends)
        first = np.flatnonzero(began | ((c.section47 < begins) & happened(meeting)))
        again = np.flatnonzero((c.section47_again >= begins) & (c.section47_again <= ends))
        row = np.concatenate([first, again])
        start = np.concatenate([c.section47[first], c.section47_again[again]])
        held = np.concatenate([meeting[first], np.full(len(again), NEVER)])
        needless = np.concatenate([~happened(c.conference[first]), np.ones(len(again), bool)])
        order = np.lexsort((start, row))
        row, n = row[order], len(row)
        return pa.table(
            {
                "CIN_LA": constant(self.la, n),
                "CIN_LAchildID_Anon": self.child_id.take(pa.array(c.child[row])),
                "CIN_ACADYR": constant_year(year - 1, n),
                "CIN_ReferralDate": dates(c.referral[row]),
                "S47ActualStartDate": dates(start[order]),
                "DateOfInitialCPC": dates(held[order]),
                "ICPCnotRequired": bits(needless[order]),
            }
        )

    def disabilities(self, year: int) -> pa.Table:
        """Disability codes of disabled children in need at some time in the year."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        present = (c.referral <= ends) & (c.closed >= begins) & (c.kind == NEED)
        child = np.unique(c.child[present & self.children.disabled[c.child]])
        second = self.facts.second_disability[child]
        row = np.concatenate([child, child[second >= 0]])
        code = np.concatenate([self.facts.disability[child], second[second >= 0]])
        order = np.lexsort((code, row))
        n = len(row)
        return pa.table(
            {
                "CIN_LA": constant(self.la, n),
                "CIN_LAchildID_Anon": self.child_id.take(pa.array(row[order])),
                "CIN_ACADYR": constant_year(year - 1, n),
                "Disability": coded(code[order], calibration("choices")["disability"]["codes"]),
            }
        )

    def cla_episodes(self) -> pa.Table:
        """Every episode of care known at the end of the data."""
        e, c, ch = self.care, self.cases, self.children
        child = c.child[e.case]
        n = len(child)
        birth_year, birth_month = _year_and_month(ch.born[child])
        need = self.facts.need[e.case]
        need = np.where(np.isin(need, (-1, *NOT_FOR_CARE)), NEEDS.index("N1"), need)
        need = np.where(c.route[e.case] == BREAKS, NEEDS.index("N2"), need)
        length = e.period_end - e.period_start
        return pa.table(
            {
                "CHILD_LA_CODE_ANON": constant(self.la, n),
                "CHILD_ID_ANON": self.child_id.take(pa.array(child)),
                "CLA_PupilMatchingRefAnonymous": self.pupil.take(pa.array(child)),
                "LA": constant(self.la, n),
                "poc_start": dates(e.period_start),
                "poc_length": whole(length, pa.int32(), ~happened(e.period_end)),
                "date_episode_started": dates(e.start),
                "date_episode_ceased": dates(e.end),
                "RNE": coded(e.begins, STARTS),
                "legal_status": coded(e.legal, LEGAL),
                "cin": coded(need, NEEDS),
                "placement": coded(e.placement, PLACEMENTS),
                "reason_episode_ceased": coded(e.reason, REASONS),
                "ethnic_or": coded(ch.ethnicity[child], self.ethnicities),
                "SEX": coded(np.where(ch.male[child], 0, 1), ("1", "2")),
                "dob_Year": whole(birth_year, pa.int16()),
                "dob_Month": whole(birth_month, pa.int8()),
                "uasc_status": bits(ch.asylum[child]),
            }
        )


def dates(days: npt.NDArray[Any]) -> Any:
    """Arrow dates from day numbers; `NEVER` is blank."""
    values = np.ascontiguousarray(days, dtype=np.int32)
    return pa.array(values, mask=values >= NEVER, type=pa.int32()).view(pa.date32())


def bits(flags: npt.NDArray[Any]) -> Any:
    """0/1 as bytes."""
    return pa.array(flags.astype(np.int8))


def whole(values: npt.NDArray[Any], kind: Any, blank: npt.NDArray[Any] | None = None) -> Any:
    """Whole numbers of an Arrow type, blank where told."""
    return pa.array(values.astype(kind.to_pandas_dtype()), mask=blank, type=kind)


def coded(index: npt.NDArray[Any], codes: Sequence[str]) -> Any:
    """Text from positions in `codes` (dictionary encoded); a negative position is blank."""
    # Room for the codes of all authorities: their rows are written together.
    small = index.astype(np.int16)
    return pa.DictionaryArray.from_arrays(
        pa.array(small, mask=small < 0, type=pa.int16()), pa.array(list(codes), pa.string())
    )


def constant(text: str, n: int) -> Any:
    """The same text n times (dictionary encoded)."""
    return coded(np.zeros(n, dtype=np.int16), (text,))


def constant_year(year: int, n: int) -> Any:
    """The same year n times."""
    return pa.array(np.full(n, year, dtype=np.int16))


def numbered(prefix: str, numbers: npt.NDArray[Any], width: int = 6) -> Any:
    """Texts such as "C000123", built without a loop over rows."""
    head = np.frombuffer(prefix.encode(), dtype=np.uint8)
    text = np.empty((len(numbers), len(head) + width), dtype=np.uint8)
    text[:, : len(head)] = head
    rest = np.asarray(numbers, dtype=np.int64)
    for place in range(width):
        text[:, -1 - place] = ord("0") + rest % 10
        rest = rest // 10
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * text.shape[1]
    return pa.Array.from_buffers(
        pa.string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    )


def _year_and_month(day: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return 1970 + months // 12, months % 12 + 1


def _pupils(la: str, children: Children, rng: np.random.Generator) -> Any:
    """Pupil references; blank for children never matched to a school."""
    n = len(children.born)
    of_age = children.born < END - int(4.5 * 365.25)
    matched = of_age & (rng.random(n) < 0.93) & ~children.asylum
    text = numbered(f"P{la}", rng.permutation(n) + 1)
    return text.take(pa.array(np.arange(n), mask=~matched))
