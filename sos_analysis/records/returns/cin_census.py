"""Read CIN Census returns (XML) into rows, in memory that does not grow with the file.

Every shape from 2013 to 2025: `GenderCurrent` or `Sex`, conference dates under the referral and
under section 47, flags as 0/1 or words. Elements are found by name, in any order and namespace.
A referral has a row for each of its protection plans, or one without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sos_analysis.errors import RecordsError
from sos_analysis.records.files.staging import Stage, Told
from sos_analysis.records.files.xml import Groups, Held, parse
from sos_analysis.records.returns import cin_layout as layout

#: Rows held before they are written.
CHUNK = 20_000
NOTHING_IN_IT: tuple[Held, ...] = ({},)

#: Kind of row -> columns of text, and of dates.
SHAPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cin": (
        (
            *("la", "child_id", "return_year", "sex", "ethnicity", "nfa", "need"),
            *("closure_reason", "plan_previous", "disabled"),
        ),
        (
            *("dob", "expected_dob", "referral_date", "closure_date", "icpc_date"),
            *("plan_start", "plan_end"),
        ),
    ),
    "assessments": (("la", "child_id"), ("start_date", "end_date")),
    "section47": (("la", "child_id", "not_required"), ("referral_date", "s47_date", "icpc_date")),
}
_WANTED = {
    "Header": frozenset({"Collection", "Year", "LEA", "ReferenceDate"}),
    "Child": frozenset(
        {
            *("LAchildID", "PersonBirthDate", "ExpectedPersonBirthDate", "GenderCurrent", "Sex"),
            *("Ethnicity", "Disability"),
        }
    ),
    "CINdetails": frozenset(
        {
            *("CINreferralDate", "PrimaryNeedCode", "CINclosureDate", "ReasonForClosure"),
            *("DateOfInitialCPC", "ReferralNFA"),
        }
    ),
    "Assessments": frozenset({"AssessmentActualStartDate", "AssessmentAuthorisationDate"}),
    "Section47": frozenset({"S47ActualStartDate", "DateOfInitialCPC", "ICPCnotRequired"}),
    "ChildProtectionPlans": frozenset({"CPPstartDate", "CPPendDate", "NumberOfPreviousCPP"}),
}
_LISTS = frozenset({"Disability"})
_INNER = ("Assessments", "Section47", "ChildProtectionPlans")


@dataclass
class CinFile:
    """What was read of one file.

    Attributes
    ----------
    staged : kind of row -> Parquet file.
    told : kind of row -> rows and how dates were written.
    years : census years its headers state; authorities : codes they state.
    children : in the file. repeated : element -> times it stood again where it may stand once.
    orphans : groups outside the group they belong in.
    """

    staged: dict[str, Path] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    years: set[int] = field(default_factory=set)
    authorities: set[str] = field(default_factory=set)
    children: int = 0
    orphans: int = 0
    repeated: dict[str, int] = field(default_factory=dict)


def stage_census(
    path: Path,
    number: int,
    scratch: Path,
    *,
    authority: str | None = None,
    year: int | None = None,
    wanted: Sequence[str] | None = None,
) -> CinFile:
    """Read one file into Parquet files.

    Parameters
    ----------
    path : of the XML, or of it under gzip.
    number : of the file, kept with each row.
    scratch : folder to write into.
    authority, year : used where the header states none (the year is that of the census).
    wanted : authorities whose rows are kept; none: all.

    Raises
    ------
    RecordsError : it is no well-formed XML, no return of this kind, or names neither authority
        nor year. The message names the file and the element.
    """
    reader = _Reader(path, number, scratch, authority, year, wanted)
    try:
        target = Groups(_WANTED, _LISTS, reader.closed)
        parse(path, target)
        reader.finish()
    finally:
        reader.release()
    reader.found.repeated = target.repeated
    return reader.found


class _Reader:
    def __init__(
        self,
        path: Path,
        number: int,
        scratch: Path,
        authority: str | None,
        year: int | None,
        wanted: Sequence[str] | None,
    ) -> None:
        self.found = CinFile()
        self._la, self._year, self._wanted = authority, year, wanted
        self._stages: dict[str, Stage] = {}
        self._rows: dict[str, list[tuple[str | None, ...]]] = {}
        self._places: dict[str, list[int]] = {}
        for kind, (texts, dates) in SHAPES.items():
            file = scratch / f"{number}_{kind}.parquet"
            self._stages[kind] = Stage(
                file, texts=texts, dates=dates, source=str(path), number=number
            )
            self._rows[kind], self._places[kind] = [], []
            self.found.staged[kind] = file

    def closed(self, name: str, held: Held, around: Held | None) -> None:
        if name == "Child":
            self._child(held)
        elif name == "Header":
            self._header(held)
        elif around is None:
            self.found.orphans += 1
        else:
            around.setdefault(name, []).append(held)

    def _header(self, held: Held) -> None:
        collection = held.get("Collection", layout.COLLECTION)
        if collection.upper() != layout.COLLECTION:
            raise RecordsError(
                f"Header/Collection is {collection[:20]!r}, not {layout.COLLECTION!r}. "
                "Give the CIN Census return."
            )
        stated = held.get("Year") or held.get("ReferenceDate", "")[:4]
        if stated:
            if not (stated.isascii() and stated.isdigit() and 2008 < int(stated) < 2100):
                raise RecordsError(
                    "Header/Year is no year of a census; write the year in which the period "
                    "ends, such as 2019."
                )
            self._year = int(stated)
        self._la = held.get("LEA", self._la)
        if self._la is not None and not (self._la.isascii() and self._la.isalnum()):
            raise RecordsError(
                "Header/LEA is no code of an authority; write its three figures, such as 801."
            )

    def _child(self, child: Held) -> None:
        if self._la is None or self._year is None:
            what = "LEA" if self._la is None else "Year"
            raise RecordsError(
                f"Header/{what} is missing before the first child. Complete the header, or put "
                f"the {'three-figure code' if what == 'LEA' else 'year'} into the file's name."
            )
        self.found.children += 1
        self.found.years.add(self._year)
        self.found.authorities.add(self._la)
        if self._wanted is not None and self._la not in self._wanted:
            return
        who = (self._la, child.get("LAchildID"))
        known = (
            child.get("Sex") or child.get("GenderCurrent"),
            child.get("Ethnicity"),
            _disabled(child.get("Disability", ())),
        )
        born = (child.get("PersonBirthDate"), child.get("ExpectedPersonBirthDate"))
        # The first year of the return, as in the other sources.
        year = str(self._year - 1)
        for detail in child.get("CINdetails", ()) or NOTHING_IN_IT:
            self._detail(who, year, known, born, detail)
        self.found.orphans += sum(len(child.get(name, ())) for name in _INNER)
        if len(self._rows["cin"]) >= CHUNK or len(self._rows["assessments"]) >= CHUNK:
            self._flush()

    def _detail(
        self,
        who: tuple[str, str | None],
        year: str,
        known: tuple[str | None, ...],
        born: tuple[str | None, ...],
        detail: Held,
    ) -> None:
        get = detail.get
        sex, ethnicity, disabled = known
        referral = get("CINreferralDate")
        for plan in get("ChildProtectionPlans", ()) or NOTHING_IN_IT:
            self._row(
                "cin",
                (
                    *(*who, year, sex, ethnicity, get("ReferralNFA"), get("PrimaryNeedCode")),
                    *(get("ReasonForClosure"), plan.get("NumberOfPreviousCPP"), disabled),
                    *(*born, referral, get("CINclosureDate"), get("DateOfInitialCPC")),
                    *(plan.get("CPPstartDate"), plan.get("CPPendDate")),
                ),
            )
        for one in get("Assessments", ()):
            self._row(
                "assessments",
                (
                    *who,
                    one.get("AssessmentActualStartDate"),
                    one.get("AssessmentAuthorisationDate"),
                ),
            )
        for one in get("Section47", ()):
            self._row(
                "section47",
                (
                    *(*who, one.get("ICPCnotRequired"), referral),
                    *(one.get("S47ActualStartDate"), one.get("DateOfInitialCPC")),
                ),
            )

    def _row(self, kind: str, values: tuple[Any, ...]) -> None:
        self._rows[kind].append(values)
        self._places[kind].append(self.found.children)

    def _flush(self) -> None:
        for kind, rows in self._rows.items():
            if rows:
                texts, dates = SHAPES[kind]
                columns = dict(
                    zip((*texts, *dates), map(list, zip(*rows, strict=True)), strict=True)
                )
                self._stages[kind].add(columns, self._places[kind])
                rows.clear()
                self._places[kind].clear()

    def finish(self) -> None:
        self._flush()
        for kind, stage in self._stages.items():
            self.found.told[kind] = stage.close()

    def release(self) -> None:
        for stage in self._stages.values():
            stage.__exit__(None, None, None)


def _disabled(codes: Sequence[str]) -> str | None:
    """'1' if a disability is stated, '0' if only that there is none, else empty."""
    if not codes:
        return None
    return "1" if any(code.upper() != "NONE" for code in codes) else "0"
