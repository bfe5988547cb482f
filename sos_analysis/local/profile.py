"""One authority's outcomes over time, as a page of its own: descriptive, not causal.

The same definitions as the study, counted by the year of the event. Nothing is compared and
nothing estimated, so nothing on the page says what caused a change. Every count passes the
disclosure guard of the study; only the smallest number of authorities is waived, since the page is
for that authority itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sos_analysis.errors import RecordsError
from sos_analysis.local.page import page
from sos_analysis.study import OUTCOMES, Study
from sos_analysis.whole_files import check_target, replace_text

#: Outcome -> table and name of the nearest national series in data/calibration, and how it differs.
NATIONAL = {
    "rereferral_all": (
        "rereferral",
        "England, published: referrals within twelve months of an earlier one, per 100 referrals. "
        "The chart counts six months forward from each referral, so the levels differ.",
    ),
    "nfa_share": (
        "nfa",
        "England, published: no further action at referral, per 100 referrals. This is the strict "
        "definition alone; the chart follows the original, which adds cases closed after an "
        "assessment.",
    ),
}


@dataclass(frozen=True)
class Yearly:
    """An outcome of one authority: exact counts by fiscal year (by its end), never shown as such.

    Attributes
    ----------
    outcome, label, unit, scale : as in the study.
    rows : a mapping a year: `time`, `events`, `children`, `y_sum`, and the distinct children with
        an outcome above zero and at zero.
    national : year -> published figure of England; empty where there is none.
    national_note, national_source : what it is, how it differs, where it is from.
    """

    outcome: str
    label: str
    unit: str
    scale: int
    rows: tuple[dict[str, Any], ...]
    national: dict[int, float]
    national_note: str
    national_source: str


def local_profile(path: Path, out: Path, study: Study, *, la: str = "") -> Path:
    """Write the page of one authority.

    Parameters
    ----------
    path : folder (or archive, or file) of its records, in any form `open_extract` reads.
    out : HTML file; replaced as a whole.
    study : outcome definitions and disclosure rules.
    la : code of the authority; needed where the records hold several or carry none.

    Raises
    ------
    RecordsError : no records, several authorities, or an unknown one.
    """
    from sos_analysis.records.extract import open_extract

    out = Path(out)
    check_target(out)
    records = open_extract(path, authority=la or None, authorities=[la] if la else None)
    with records:
        found = records.tables["referrals"].select("la").distinct().to_pyarrow()["la"].to_pylist()
        if not found:
            raise RecordsError(
                f"{path}: no referral with a date is there, and the page takes its years from "
                "referrals. Put the CIN Census (or the extract's cin files) beside these records; "
                "check-extract says what was read."
            )
        if len(found) != 1:
            raise RecordsError(
                f"{path}: holds {len(found)} authorities ({', '.join(sorted(found)[:5])}); a local "
                "profile is of one. Name it with --la CODE."
            )
        study = _within(study, records)
        yearly = [y for name in OUTCOMES if (y := _count(records, study, name)) is not None]
        notes = [
            f"{p.table}: {p.message} ({p.remedy})" for p in records.problems if p.severity != "info"
        ]
    if not yearly:
        raise RecordsError(f"{path}: no outcome can be computed; check-extract says why.")
    rules = replace(
        study.disclosure,
        minimum_authorities=1,
        source=f"{study.disclosure.source} Minimum of authorities waived: its own page.",
    )
    text = page(found[0], yearly, rules, notes, made_up=_made_up(found[0]))
    replace_text(out, text)
    return out


def _made_up(la: str) -> bool:
    """Codes of made-up authorities are below 201, where real ones begin; not every code counts."""
    return la.isdecimal() and int(la) < 201


def _within(study: Study, records: Any) -> Study:
    """The study's rules over the years the records cover, censored at their end."""
    from datetime import date

    t = records.tables["referrals"]
    span = t.aggregate(low=t.first_return.min(), high=t.last_return.max()).to_pyarrow()
    low, high = span["low"][0].as_py(), span["high"][0].as_py()
    start, end = date(low, 4, 1), date(high + 1, 3, 31)
    outcomes = tuple(replace(o, censor_date=end) for o in study.outcomes)
    return replace(study, data_start=start, data_end=end, outcomes=outcomes)


def _count(records: Any, study: Study, name: str) -> Yearly | None:
    """Events, children and outcomes by year, in the engine."""
    from sos_analysis.outcomes import events

    rows = events(records, study, name)
    by_year = rows.group_by("year").agg(
        events=rows.count(),
        children=rows.child_id.nunique(),
        y_sum=rows.y.sum(),
        children_with=rows.child_id.nunique(where=rows.y > 0),
        children_without=rows.child_id.nunique(where=rows.y == 0),
    )
    found = by_year.order_by("year").to_pyarrow().to_pylist()
    if not found:
        return None
    rule = study.outcome(name)
    years = range(found[0]["year"], found[-1]["year"] + 1)
    blank = dict.fromkeys(("events", "children", "y_sum", "children_with", "children_without"), 0)
    known = {row["year"]: row for row in found}
    national, note, source = _national(name)
    return Yearly(
        name,
        rule.label,
        rule.unit,
        rule.scale,
        tuple({"time": year, **blank, **known.get(year, {})} for year in years),
        {year: value for year, value in national.items() if year in years},
        note,
        source,
    )


def _national(name: str) -> tuple[dict[int, float], str, str]:
    import tomllib

    from sos_analysis.sources import ROOT

    if name not in NATIONAL:
        return {}, "", ""
    table, note = NATIONAL[name]
    path = ROOT / "data" / "calibration" / "england.toml"
    told = tomllib.loads(path.read_text("utf-8"))[table]
    values: Sequence[float] = told["values"]
    return dict(zip(told["years"], values, strict=True)), note, str(told["source"])
