"""Made-up cases as the tables a researcher receives: one CIN file a year, and the rest apart.

Each file holds what was known on the 31 March that closed its year: a case still open appears
again next year, a plan or closure that came later is blank. The columns are those of the NPD
extract; the deliberate dirt is of the kinds met in real extracts, at low rates, from a stream of
its own, so that it changes no clean row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sos_analysis.records.synthetic_care import (
    LEGAL,
    PLACEMENTS,
    REASONS,
    STARTS,
    Episodes,
)
from sos_analysis.records.synthetic_days import NEVER, Days, calendar, day_number, year_end
from sos_analysis.records.synthetic_life import (
    ADULT,
    BREAKS,
    END,
    NEED,
    NFA,
    NOT_IN_NEED,
    Bools,
    Cases,
    Children,
    Ints,
)
from sos_analysis.records.synthetic_rates import FIRST_RETURN, YEARS, calibration

RETURNS = tuple(y for y in YEARS if y >= FIRST_RETURN)
NEEDS = tuple(f"N{i}" for i in range(1, 10)) + ("N0",)
CLOSURES = ("RC1", "RC2", "RC3", "RC4", "RC5", "RC6", "RC7", "RC8")
_NEED_CODES = (*NEEDS, *(n.lower() for n in NEEDS), "UnmappedNeedCode")
_CLOSURE_CODES = (*CLOSURES, *(f"{c} " for c in CLOSURES), *(f" {c}" for c in CLOSURES))
_GENDERS = ("0", "1", "2", "9", "3")
_CORE = ("core", "single")
FIRST_ASSESSMENTS = 2012  # year (by its end) of the first assessment file
PREVIOUS_PLANS = (2009, *range(2013, 2020))  # years whose files count previous plans


def file_name(table: str, year: int) -> str:
    """Name of a yearly file; files are named by the year's beginning."""
    return f"{table}_{year - 1}.parquet"


class Tables:
    """The tables of one authority, made on demand from its cases.

    Parameters
    ----------
    la : three-character code.
    children, cases, care : what happened.
    second_plan : England's share of plans that are a second or later one, by year of `YEARS`.
    facts : this authority's stream for facts that shape no case (needs, categories, references).
    dirt : its stream for dirt; None for clean records.
    """

    def __init__(
        self,
        la: str,
        children: Children,
        cases: Cases,
        care: Episodes,
        second_plan: npt.NDArray[np.float64],
        facts: np.random.Generator,
        dirt: np.random.Generator | None,
    ) -> None:
        self.la, self.children, self.cases, self.care = la, children, cases, care
        self.dirt = dirt
        self.calendar = calendar()
        n = len(children.born)
        self.child_id = numbered("C", np.arange(1, n + 1))
        self.pupil = _pupils(la, children, facts)
        self._facts(facts, second_plan)
        self._dirt()

    def _facts(self, rng: np.random.Generator, second_plan: npt.NDArray[np.float64]) -> None:
        c, choices = self.cases, calibration("choices")
        n = len(c.child)
        need = choices["need"]
        plain = _draw(rng, need["shares"], n)
        cared = _draw(rng, need["care_shares"], n)
        in_care = c.care < NEVER
        code = np.where(in_care, cared, plain)
        disabled = self.children.disabled[c.child]
        code = np.where(disabled & (rng.random(n) < 0.45), need["codes"].index("N2"), code)
        met = c.conference < NEVER
        code = np.where(met & (rng.random(n) < 0.6), need["codes"].index("N1"), code)
        asylum = self.children.asylum[c.child]
        code = np.where(asylum, need["codes"].index("N8"), code)
        blank = (c.kind == NFA) & (rng.random(n) < need["missing_if_nfa"])
        # The ten codes in the file's order are those of NEEDS.
        self.need = np.where(blank, -1, code)
        self.reason = self._closure_reasons(rng)
        plan = choices["plan"]
        self.category = _draw(rng, plan["category_shares"], n)
        changed = _draw(rng, plan["category_shares"], n)
        self.latest = np.where(rng.random(n) < 0.15, changed, self.category)
        self.previous, self.previous_again = self._previous_plans(rng, second_plan)
        held = choices["conference"]["recorded"]
        place = _draw(rng, held, n)
        self.in_enquiry, self.in_details = place != 2, place != 1
        self.flag_missing = np.zeros(n, dtype=bool)
        self.disability_first = _draw(rng, choices["disability"]["shares"], len(self.children.born))
        self.disability_second = _draw(
            rng, choices["disability"]["shares"], len(self.children.born)
        )
        self.two_disabilities = rng.random(len(self.children.born)) < 0.4
        self.died = np.where(self.reason == CLOSURES.index("RC2"), c.closed, NEVER)

    def _closure_reasons(self, rng: np.random.Generator) -> Ints:
        c = self.cases
        n = len(c.child)
        u = rng.random(n)
        reason = np.select(
            [u < 0.045, u < 0.047, u < 0.055, u < 0.065],
            [CLOSURES.index(r) for r in ("RC5", "RC2", "RC3", "RC6")],
            CLOSURES.index("RC7"),
        )
        old = self.children.born[c.child] + ADULT - 60 < c.closed
        adult = CLOSURES.index("RC6")
        reason = np.where((reason == adult) & ~old, CLOSURES.index("RC7"), reason)
        if len(self.care.case):
            ends = np.flatnonzero(self.care.reason > 0)
            case, why = self.care.case[ends], self.care.reason[ends]
            names = np.array(REASONS)[why]
            for codes, closure in (
                (("E11", "E12"), "RC1"),
                (("E41",), "RC3"),
                (("E43", "E44", "E45", "E46", "E47", "E48"), "RC4"),
                (("E2",), "RC2"),
                (("E3",), "RC5"),
            ):
                mine = case[np.isin(names, codes)]
                reason[mine] = CLOSURES.index(closure)
        reason = np.where(c.kind == NOT_IN_NEED, CLOSURES.index("RC8"), reason)
        # Cases flagged NFA have at most RC8 as their reason.
        flagged = np.where(rng.random(n) < 0.5, CLOSURES.index("RC8"), -1)
        return np.where(c.kind == NFA, flagged, reason)

    def _previous_plans(
        self, rng: np.random.Generator, second_plan: npt.NDArray[np.float64]
    ) -> tuple[Ints, Ints]:
        """Number of plans before each plan: those in the records and a few from before them."""
        c = self.cases
        n = len(c.child)
        own = (c.plan < NEVER).astype(np.int64) + (c.plan_again < NEVER)
        before = np.cumsum(own) - own
        first = np.concatenate([[True], c.child[1:] != c.child[:-1]]) if n else np.empty(0, bool)
        at_first = np.maximum.accumulate(np.where(first, before, 0)) if n else before
        before = before - at_first
        at = np.clip(self.calendar.year(c.plan) - YEARS[0], 0, len(YEARS) - 1)
        # The records show some earlier plans; the rest of England's share lies before them.
        shown = np.linspace(*calibration("choices")["plan"]["in_records"], len(YEARS))
        share = np.clip((second_plan - shown) / (1 - shown), 0, 1)
        earlier = rng.random(n) < share[at]
        previous = before + np.where(earlier, 1 + (rng.random(n) < 0.15), 0)
        return previous, previous + 1

    def _dirt(self) -> None:
        """Choose the dirty rows once, so that copies of a case in later years agree."""
        c = self.cases
        n = len(c.child)
        self.lower_need = np.zeros(n, dtype=bool)
        self.unmapped = np.zeros(n, dtype=bool)
        self.padded = np.zeros(n, dtype=np.int64)
        self.early_closure = np.zeros(n, dtype=np.int64)
        self.odd_gender = np.zeros(n, dtype=bool)
        self.odd_birth = np.zeros(n, dtype=np.int64)
        self.same_day = np.zeros(n, dtype=bool)
        self.duplicate = np.zeros(n, dtype=np.int64)
        rng = self.dirt
        if rng is None:
            return
        rate = calibration("choices")["dirt"]
        self.lower_need = rng.random(n) < rate["lower_case_need"]
        self.unmapped = rng.random(n) < rate["unmapped_need"]
        self.padded = (rng.random(n) < rate["padded_reason"]) * rng.integers(1, 3, n)
        wrong = (rng.random(n) < rate["closure_before_referral"]) & (c.closed <= END)
        self.early_closure = wrong * rng.integers(1, 400, n)
        self.odd_gender = rng.random(n) < rate["gender_code"]
        moved = rng.random(n) < rate["other_birth_date"]
        far = rng.random(n) < rate["impossible_age"]
        self.odd_birth = np.where(far, 36525, moved * rng.choice([-365, -31, -1, 1, 31, 365], n))
        self.flag_missing = (rng.random(n) < rate["flag_missing"]) & (c.kind != NFA)
        self.same_day = (rng.random(n) < rate["same_day_copy"]) & (c.kind == NFA)
        self.duplicate = (rng.random(n) < rate["duplicate_assessment"]) * rng.integers(1, 15, n)

    def cin(self, year: int) -> pa.Table:
        """The CIN file of one year (by its end)."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        open_now = (c.referral <= ends) & (c.closed >= begins) & (c.referral < NEVER)
        only_year = self.calendar.year(c.referral) == year
        present = np.where(c.kind == NFA, only_year, open_now)
        rows = np.flatnonzero(present)
        first = (c.plan[rows] <= ends) & (c.plan_end[rows] >= begins)
        second = (c.plan_again[rows] <= ends) & (c.plan_again_end[rows] >= begins)
        both = np.flatnonzero(first & second)
        copies = np.flatnonzero(self.same_day[rows])
        which = np.where(~first & second, 2, np.where(first, 1, 0))
        order = np.argsort(np.concatenate([np.arange(len(rows)), both, copies]), kind="stable")
        row = np.concatenate([rows, rows[both], rows[copies]])[order]
        plan_no = np.concatenate([which, np.full(len(both), 2), which[copies]])[order]
        copied = np.concatenate(
            [np.zeros(len(rows) + len(both), bool), np.ones(len(copies), bool)]
        )[order]
        return self._cin_rows(year, row, plan_no, copied)

    def _cin_rows(self, year: int, row: Ints, plan_no: Ints, copied: Bools) -> pa.Table:
        c, ch = self.cases, self.children
        begins, ends = year_end(year - 1) + 1, year_end(year)
        child, kind = c.child[row], c.kind[row]
        n = len(row)
        born = ch.born[child]
        unborn = born > ends
        odd = self.odd_birth[row]
        shown = np.where(unborn, NEVER, born + odd)
        months = (shown.astype("datetime64[D]")).astype("datetime64[M]").astype(np.int64)
        closed = c.closed[row]
        closed_by = closed <= ends
        early = self.early_closure[row]
        closed_shown = np.where((early > 0) & closed_by, c.referral[row] - early, closed)
        closed_shown = np.where(closed_by, closed_shown, NEVER)
        reason = np.where(closed_by, self.reason[row], -1)
        padded = self.padded[row]
        reason = np.where(reason >= 0, reason + len(CLOSURES) * padded, -1)
        need = self.need[row]
        lower, unmapped = self.lower_need[row], self.unmapped[row]
        need = np.where((need >= 0) & lower, need + len(NEEDS), need)
        need = np.where(unmapped, len(_NEED_CODES) - 1, need)
        meeting = c.conference[row]
        meeting = np.where(
            self.in_details[row] & (meeting >= begins) & (meeting <= ends), meeting, NEVER
        )
        start = np.select([plan_no == 1, plan_no == 2], [c.plan[row], c.plan_again[row]], NEVER)
        finish = np.select(
            [plan_no == 1, plan_no == 2], [c.plan_end[row], c.plan_again_end[row]], NEVER
        )
        planned = start <= ends
        finish = np.where(planned & (finish <= ends), finish, NEVER)
        previous = np.where(plan_no == 2, self.previous_again[row], self.previous[row])
        counted = planned & (year in PREVIOUS_PLANS)
        marked = (c.plan[row] <= ends) | (c.conference[row] <= ends)
        flagged = (kind == NFA) & ~copied
        no_need = (kind == NFA) | ((kind == NOT_IN_NEED) & closed_by & ~marked)
        point = ~no_need
        gender = np.where(ch.male[child], 1, 2)
        gender = np.where(ch.sex_recorded[child] & ~unborn, gender, 0)
        gender = np.where(self.odd_gender[row], 4, gender)
        flag = pa.array(flagged, mask=self.flag_missing[row])
        years_old = (ends - born) / 365.25
        school = (years_old >= 5) & (years_old < 17)
        nursery = (years_old >= 3.5) & (years_old < 5)
        spring = year % 100
        died = self.died[row]
        columns: dict[str, pa.Array] = {
            "CIN_LAchildID_Anon": self.child_id.take(pa.array(child)),
            "CIN_LA_LGR" if year == FIRST_RETURN else "CIN_LA": constant(self.la, n),
            "CIN_ACADYR": pa.array(np.full(n, year - 1, dtype=np.int16)),
            "CIN_PupilMatchingRefAnonymous": self.pupil.take(pa.array(child)),
            "CIN_DOB": dates(shown),
            "CIN_ExpectedDOB": dates(np.where(unborn, born, NEVER)),
            "CIN_YearOfBirth": pa.array(
                (1970 + months // 12).astype(np.int16), mask=unborn, type=pa.int16()
            ),
            "CIN_MonthOfBirth": pa.array(
                (months % 12 + 1).astype(np.int8), mask=unborn, type=pa.int8()
            ),
            "CIN_Gender": coded(gender, _GENDERS),
            "CIN_Ethnicity": coded(
                ch.ethnicity[child], calibration("choices")["ethnicity"]["codes"]
            ),
            "CIN_Disability": bits(ch.disabled[child]),
            "CIN_AsylumSeeking": bits(ch.asylum[child]),
            "CIN_ReferralDate": dates(c.referral[row]),
            "CIN_ReferralNFA": flag,
            "CIN_PrimaryNeedCode": coded(need, _NEED_CODES),
            "CIN_CINClosureDate": dates(closed_shown),
            "CIN_ReasonForClosure": coded(reason, _CLOSURE_CODES),
            "CIN_DateOfInitialCPC": dates(meeting),
            "CIN_CPPstartDate": dates(np.where(planned, start, NEVER)),
            "CIN_CPPendDate": dates(finish),
            "CIN_CategoryOfAbuse": coded(np.where(planned, self.category[row], -1), _categories()),
            "CIN_LatestCategoryOfAbuse": coded(
                np.where(planned, self.latest[row], -1), _categories()
            ),
            "CIN_NumberOfPreviousCPP": pa.array(
                previous.astype(np.int16), mask=~counted, type=pa.int16()
            ),
            "CIN_AnyPoint": bits(point),
            "CIN_Started": bits(point & (c.referral[row] >= begins)),
            "CIN_Ended": bits(point & closed_by & (closed >= begins)),
            "CIN_CINAt31March": bits(point & ~closed_by),
            "CIN_PersonDeathDate": dates(np.where(died <= ends, died, NEVER)),
            f"CIN_EVERFSM_6_SPR{spring:02d}": pa.array(
                ch.ever_fsm[child].astype(np.int8), mask=~school, type=pa.int8()
            ),
            f"CIN_EYPPE_SPR{spring:02d}": pa.array(
                ch.early_years[child].astype(np.int8),
                mask=~(nursery & (year >= 2016)),
                type=pa.int8(),
            ),
        }
        return pa.table(columns)

    def assessments(self, year: int) -> pa.Table:
        """Assessments open at some time in the year, as known at its end."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        floor = day_number(calibration("choices")["assessment"]["first_day"])
        first = np.flatnonzero((c.assessed <= ends) & (c.assessed_end >= begins))
        first = first[c.assessed[first] >= floor]
        again = np.flatnonzero((c.again <= ends) & (c.again_end >= begins))
        again = again[c.again[again] >= floor]
        dirty = first[(self.duplicate[first] > 0) & (c.assessed_end[first] <= ends - 20)]
        row = np.concatenate([first, again, dirty])
        start = np.concatenate([c.assessed[first], c.again[again], c.assessed[dirty]])
        finish = np.concatenate(
            [
                c.assessed_end[first],
                c.again_end[again],
                c.assessed_end[dirty] + self.duplicate[dirty],
            ]
        )
        order = np.lexsort((finish, start, row))
        row, start, finish = row[order], start[order], finish[order]
        core = start <= day_number(calibration("choices")["assessment"]["core_until"])
        child = pa.array(c.child[row])
        return pa.table(
            {
                "CIN_PupilMatchingRefAnonymous": self.pupil.take(child),
                "CIN_ACADYR": pa.array(np.full(len(row), year - 1, dtype=np.int16)),
                "CIN_LA": constant(self.la, len(row)),
                "CIN_LAchildID_Anon": self.child_id.take(child),
                "AssessmentStartDate": dates(start),
                "AssessmentAuthorisationDate": dates(np.where(finish <= ends, finish, NEVER)),
                "AssessmentType": coded(np.where(core, 0, 1), _CORE),
            }
        )

    def section47(self, year: int) -> pa.Table:
        """Section 47 enquiries begun in the year, or begun before with a conference in it."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        recorded = np.where(self.in_enquiry, c.conference, NEVER)
        held = (recorded >= begins) & (recorded <= ends)
        here = (c.section47 >= begins) & (c.section47 <= ends)
        first = np.flatnonzero(here | (held & (c.section47 < begins)))
        again = np.flatnonzero((c.section47_again >= begins) & (c.section47_again <= ends))
        row = np.concatenate([first, again])
        start = np.concatenate([c.section47[first], c.section47_again[again]])
        meeting = np.concatenate(
            [np.where(held, recorded, NEVER)[first], np.full(len(again), NEVER)]
        )
        needless = np.concatenate([c.conference[first] >= NEVER, np.ones(len(again), dtype=bool)])
        order = np.lexsort((start, row))
        row, start, meeting, needless = row[order], start[order], meeting[order], needless[order]
        return pa.table(
            {
                "CIN_LA": constant(self.la, len(row)),
                "CIN_LAchildID_Anon": self.child_id.take(pa.array(c.child[row])),
                "CIN_ACADYR": pa.array(np.full(len(row), year - 1, dtype=np.int16)),
                "CIN_ReferralDate": dates(c.referral[row]),
                "S47ActualStartDate": dates(start),
                "DateOfInitialCPC": dates(meeting),
                "ICPCnotRequired": bits(needless),
            }
        )

    def disabilities(self, year: int) -> pa.Table:
        """Disability codes of disabled children with a case in the year."""
        c, begins, ends = self.cases, year_end(year - 1) + 1, year_end(year)
        present = (c.referral <= ends) & (c.closed >= begins) & (c.kind == NEED)
        child = np.unique(c.child[present & self.children.disabled[c.child]])
        codes = calibration("choices")["disability"]["codes"]
        one, two = self.disability_first[child], self.disability_second[child]
        extra = self.two_disabilities[child] & (one != two)
        row = np.concatenate([child, child[extra]])
        code = np.concatenate([one, two[extra]])
        order = np.lexsort((code, row))
        row, code = row[order], code[order]
        return pa.table(
            {
                "CIN_LA": constant(self.la, len(row)),
                "CIN_LAchildID_Anon": self.child_id.take(pa.array(row)),
                "CIN_ACADYR": pa.array(np.full(len(row), year - 1, dtype=np.int16)),
                "Disability": coded(code, codes),
            }
        )

    def cla_episodes(self) -> pa.Table:
        """Every episode of care known at the end of the data."""
        e, c, ch = self.care, self.cases, self.children
        child = c.child[e.case]
        n = len(child)
        months = ch.born[child].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        ended = e.period_end < NEVER
        need = np.maximum(self.need[e.case], 0)
        # Care is not entered for 'cases other than children in need' or a need not stated.
        need = np.where(need >= 8, 0, need)
        need = np.where(c.route[e.case] == BREAKS, NEEDS.index("N2"), need)
        return pa.table(
            {
                "CHILD_LA_CODE_ANON": constant(self.la, n),
                "CHILD_ID_ANON": self.child_id.take(pa.array(child)),
                "CLA_PupilMatchingRefAnonymous": self.pupil.take(pa.array(child)),
                "LA": constant(self.la, n),
                "poc_start": dates(e.period_start),
                "poc_length": pa.array(
                    (e.period_end - e.period_start).astype(np.int32), mask=~ended, type=pa.int32()
                ),
                "date_episode_started": dates(e.start),
                "date_episode_ceased": dates(e.end),
                "RNE": coded(e.begins, STARTS),
                "legal_status": coded(e.legal, LEGAL),
                "cin": coded(need, NEEDS),
                "placement": coded(e.placement, PLACEMENTS),
                "reason_episode_ceased": coded(e.reason, REASONS),
                "ethnic_or": coded(
                    ch.ethnicity[child], calibration("choices")["ethnicity"]["codes"]
                ),
                "SEX": coded(np.where(ch.male[child], 0, 1), ("1", "2")),
                "dob_Year": pa.array((1970 + months // 12).astype(np.int16)),
                "dob_Month": pa.array((months % 12 + 1).astype(np.int8)),
                "uasc_status": bits(ch.asylum[child]),
            }
        )


def _categories() -> Sequence[str]:
    codes: Sequence[str] = calibration("choices")["plan"]["category_codes"]
    return codes


def _draw(rng: np.random.Generator, shares: Sequence[float], n: int) -> Ints:
    edges = np.cumsum(shares)
    return np.minimum(np.searchsorted(edges / edges[-1], rng.random(n), "right"), len(edges) - 1)


def dates(days: Days | Ints) -> pa.Array:
    """Arrow dates from day numbers; `NEVER` is blank."""
    values = np.ascontiguousarray(days, dtype=np.int32)
    return pa.array(values, mask=values >= NEVER, type=pa.int32()).view(pa.date32())


def bits(flags: Bools) -> pa.Array:
    """0/1 as bytes."""
    return pa.array(flags.astype(np.int8))


def coded(index: npt.NDArray[Any], codes: Sequence[str]) -> pa.Array:
    """Text from code numbers (dictionary encoded); a negative number is blank."""
    small = index.astype(np.int8)
    return pa.DictionaryArray.from_arrays(
        pa.array(small, mask=small < 0, type=pa.int8()), pa.array(list(codes), pa.string())
    )


def constant(text: str, n: int) -> pa.Array:
    """The same text n times (dictionary encoded)."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(n, dtype=np.int8)), pa.array([text], pa.string())
    )


def numbered(prefix: str, numbers: Ints, width: int = 6) -> pa.Array:
    """Texts such as "C000123", built without a Python loop over rows."""
    head = np.frombuffer(prefix.encode(), dtype=np.uint8)
    text = np.empty((len(numbers), len(head) + width), dtype=np.uint8)
    text[:, : len(head)] = head
    rest = np.asarray(numbers, dtype=np.int64)
    for place in range(width):
        text[:, -1 - place] = 48 + rest % 10
        rest = rest // 10
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * text.shape[1]
    return pa.Array.from_buffers(
        pa.string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    )


def _pupils(la: str, children: Children, rng: np.random.Generator) -> pa.Array:
    """Pupil references; blank for children never matched to a school."""
    n = len(children.born)
    matched = (children.born < END - 1650) & (rng.random(n) < 0.93) & ~children.asylum
    text = numbered(f"P{la}", rng.permutation(n) + 1)
    blank = pa.array(np.where(matched, np.arange(n), -1), mask=~matched, type=pa.int64())
    return text.take(blank)


Yearly = Mapping[str, tuple[int, ...]]
YEARLY: Yearly = {
    "cin": RETURNS,
    "assessments": tuple(y for y in RETURNS if y >= FIRST_ASSESSMENTS),
    "section47": RETURNS,
    "disabilities": tuple(y for y in RETURNS if y >= 2010),
}
