"""Look closely at records before anything is computed from them.

What was read, what can be computed from it for which authorities and years, how complete each
field is, and what is wrong, with its place. Nothing here holds a value of a record: counts, names
of files and fields, codes of authorities, and the shape of what could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.records.extract import Reading, open_extract
from sos_analysis.records.tables import Problem, Records, tally

if TYPE_CHECKING:
    import ibis

#: Share of a table's rows that may be left out as wrong: real returns always hold some.
SETTLED = 0.01
SEVERITIES = ("error", "warning", "info")
#: Table -> the day that gives its year.
DATED: Mapping[str, str] = {
    "referrals": "referral_date",
    "assessments": "start_date",
    "s47_icpc": "s47_date",
    "conferences": "icpc_date",
    "cpp": "start_date",
    "care_periods": "period_start",
    "episodes": "episode_start",
}
_UNSHOWN = ("la", "child_id", "file_", "row_", "return_year")
_MARKS = ("fault_", "repaired_", "masked_")
CARE_ORDERS = ("C1", "C2")


@dataclass(frozen=True)
class SourceRead:
    """A file that was read: its form, kind, years, authorities, and rows (or children) in it."""

    file: str
    form: str
    kind: str
    years: str
    authorities: tuple[str, ...]
    rows: int | None
    unit: str


@dataclass(frozen=True)
class Completeness:
    """How many rows of a kind state a field so that it can be read."""

    table: str
    field: str
    rows: int
    stated: int


@dataclass(frozen=True)
class Computable:
    """Whether an outcome can be computed.

    Attributes
    ----------
    outcome : what, in words. needs : what it rests on.
    years : authority -> fiscal years (by their end) that hold what it needs.
    without : authorities that hold none of it.
    """

    outcome: str
    needs: str
    years: Mapping[str, tuple[int, ...]]
    without: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """Everything `check-extract` says of an extract.

    Attributes
    ----------
    rows : table -> fiscal year (by its end; 0 where undated) -> rows.
    """

    path: str
    forms: tuple[str, ...]
    authorities: tuple[str, ...]
    sources: tuple[SourceRead, ...]
    rows: Mapping[str, Mapping[int, int]]
    fields: tuple[Completeness, ...]
    outcomes: tuple[Computable, ...]
    problems: tuple[Problem, ...]

    def of(self, severity: str) -> list[Problem]:
        """Problems of a severity, most frequent first."""
        return sorted((p for p in self.problems if p.severity == severity), key=lambda p: -p.count)

    @property
    def has_errors(self) -> bool:
        """Whether more is wrong than the rules of this project settle.

        Files that are broken or missing, or more than `SETTLED` of the rows of a table left out.
        """
        sizes = {name: sum(by_year.values()) for name, by_year in self.rows.items()}
        sizes |= {f.table: f.rows for f in self.fields}
        return any(p.count > SETTLED * sizes.get(p.table, 0) for p in self.of("error"))


def inspect(
    path: Path | str, *, authority: str | None = None, memory_limit: str = "4GB"
) -> Inspection:
    """Read records and say what they hold.

    Parameters
    ----------
    path : as `open_extract` takes it. authority : of files that carry none.

    Raises
    ------
    RecordsError : nothing can be read; the message says what and where.
    """
    looked: dict[str, Any] = {}

    def look(reading: Reading) -> None:
        looked["fields"] = tuple(_completeness(reading.rows))
        looked["sources"] = tuple(_sources(reading))

    with open_extract(path, authority=authority, memory_limit=memory_limit, look=look) as records:
        las = _authorities(records)
        return Inspection(
            str(path),
            tuple(records.manifest["forms"]),
            las,
            looked["sources"],
            {name: _by_year(records.tables[name], day) for name, day in DATED.items()},
            looked["fields"],
            tuple(_computable(records, las)),
            records.problems,
        )


def _sources(reading: Reading) -> list[SourceRead]:
    made = []
    for read in reading.sources:
        source = read.source
        years = sorted(read.years)
        if source.year is not None:
            shown = f"{source.year}/{(source.year + 1) % 100:02d}"
        else:
            shown = ", ".join(f"{year - 1}/{year % 100:02d}" for year in years)
        rows = read.rows
        if rows is None:
            rows = sum(told.rows for told in read.told.values()) if read.told else None
        las = tuple(sorted(read.authorities))
        made.append(SourceRead(source.shown, source.form, source.kind, shown, las, rows, read.unit))
    return made


def _completeness(rows: Mapping[str, ibis.Table]) -> list[Completeness]:
    made = []
    for kind, table in rows.items():
        columns = [c for c in table.columns if c not in _UNSHOWN and not c.startswith(_MARKS)]
        found = tally(table, {"rows_": table.count(), **{c: table[c].count() for c in columns}})
        if found["rows_"]:
            made += [Completeness(kind, c, found["rows_"], found[c]) for c in columns]
    return made


def _fiscal(day: Any) -> Any:
    return (day.year() + (day.month() >= 4).cast("int32")).cast("int64")


def _by_year(table: ibis.Table, day: str) -> dict[int, int]:
    rows = table.group_by(year=_fiscal(table[day])).agg(n=table.count())
    found = {int(r["year"] or 0): int(r["n"]) for r in rows.to_pyarrow().to_pylist()}
    return dict(sorted(found.items()))


def _authorities(records: Records) -> tuple[str, ...]:
    children = records.tables["children"]
    found = children.select("la").distinct().to_pyarrow()["la"].to_pylist()
    return tuple(sorted(str(la) for la in found if la is not None))


def _computable(records: Records, las: Sequence[str]) -> list[Computable]:
    tables = records.tables
    assessments, referrals = tables["assessments"], tables["referrals"]
    enquiries, episodes = tables["s47_icpc"], tables["episodes"]
    ended = assessments.filter(assessments.end_date.notnull())
    told = referrals.filter(referrals.nfa_flag.notnull() | referrals.closure_reason.notnull())
    dated = enquiries.filter(enquiries.icpc_date.notnull())
    orders = episodes.filter(episodes.legal_status.isin(CARE_ORDERS), episodes.placement.notnull())
    nfa = _years(told, "referral_date")
    plans = _years(tables["cpp"], "start_date")
    care = _years(episodes, "episode_start")
    both = {la: tuple(y for y in years if la in plans and la in care) for la, years in nfa.items()}
    found = (
        ("Duration of assessments", "assessments with both dates", _years(ended, "start_date")),
        ("Re-referral after no further action", "the flag, or a reason for closure", nfa),
        ("Escalation", "the same, with protection plans and episodes of care", both),
        (
            "Kinship care",
            "episodes under a care order, with placement",
            _years(orders, "episode_start"),
        ),
        (
            "Initial conference, from section 47",
            "conference dates under section 47",
            _years(dated, "icpc_date"),
        ),
        (
            "Initial conference, wherever recorded",
            "conference dates",
            _years(tables["conferences"], "icpc_date"),
        ),
    )
    made = []
    for outcome, needs, years in found:
        have = {la: found_years for la, found_years in sorted(years.items()) if found_years}
        made.append(Computable(outcome, needs, have, tuple(la for la in las if la not in have)))
    return made


def _years(table: ibis.Table, day: str) -> dict[str, tuple[int, ...]]:
    rows = table.select("la", year=_fiscal(table[day])).distinct()
    found: dict[str, set[int]] = {}
    for row in rows.to_pyarrow().to_pylist():
        if row["la"] is not None and row["year"] is not None:
            found.setdefault(row["la"], set()).add(int(row["year"]))
    return {la: tuple(sorted(years)) for la, years in found.items()}


def spans(years: Sequence[int]) -> str:
    """Years as spans: `2013 to 2016, 2018`."""
    made: list[list[int]] = []
    for year in years:
        if made and year == made[-1][1] + 1:
            made[-1][1] = year
        else:
            made.append([year, year])
    return ", ".join(f"{a} to {b}" if b > a else f"{a}" for a, b in made)


def coverage(one: Computable, *, most: int = 6) -> list[str]:
    """For which years an outcome can be computed: authorities with the same years together."""
    groups: dict[str, list[str]] = {}
    for la, years in one.years.items():
        groups.setdefault(spans(years), []).append(la)
    lines = []
    ordered = sorted(groups.items(), key=lambda g: -len(g[1]))
    for shown, las in ordered[:most]:
        who = ", ".join(las) if len(las) <= 5 else f"{len(las)} authorities"
        lines.append(f"{shown} ({who})")
    if len(ordered) > most:
        rest = sum(len(las) for _, las in ordered[most:])
        lines.append(f"other years ({rest} authorities)")
    if one.without:
        who = ", ".join(one.without) if len(one.without) <= 5 else f"{len(one.without)} authorities"
        lines.append(f"cannot be computed: {who}")
    return lines
