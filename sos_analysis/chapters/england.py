"""How closely the made-up England follows the published one: measured, not promised.

Not a chapter with a notebook: the page on data shows its charts and tables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sos_analysis.chapters.ledger import Ledger
from sos_analysis.disclosure import (
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_count,
    safe_figure,
)
from sos_analysis.disclosure import safe_table as guard
from sos_analysis.errors import RecordsError
from sos_analysis.records.calibration import Comparison, measure
from sos_analysis.results import ChapterResult, code_hash
from sos_analysis.study import Study, load_study
from sos_analysis.workspace import extract_folder, extract_hash

NAME = "made_up_england"
PUBLISHED, MADE_UP = "Published for England", "Made-up extract"
_SOURCE = "Published figures (each named in data/calibration) against the made-up extract"
_PLACES = {"p5": "5%", "p25": "25%", "median": "middle", "p75": "75%", "p95": "95%"}
_STATISTICS = {
    "": "England",
    "mean": "Mean of authorities",
    "p25": "A quarter below",
    "median": "Half below",
    "p75": "Three quarters below",
    "between": "Lasting differences between authorities (SD)",
    "within": "Swing within an authority, year to year (SD)",
    "lag1": "Correlation with the year before",
}


def england(study_id: str = "synthetic", extract: str = "") -> ChapterResult:
    """Targets and measured values of a made-up extract.

    Raises
    ------
    RecordsError : the extract was not made by this project, so it has no manifest.
    """
    study = load_study(study_id)
    folder = extract_folder(study, extract or None)
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        scale, rows = float(manifest["scale"]), int(manifest["rows"]["referrals"])
    except (OSError, ValueError, KeyError) as cause:
        raise RecordsError(
            f"{folder.name}: no manifest of a made-up extract; make one with "
            "`python -m sos_analysis synthesise`"
        ) from cause
    chosen = {"study": study_id, "extract": extract}
    made = _England(study, measure(folder, scale=scale), scale, rows, hashes(chosen)).result()
    return replace(made, parameters=chosen)


def hashes(chosen: Mapping[str, Any]) -> dict[str, str]:
    """What it rests on: study, records, code."""
    study = load_study(chosen["study"])
    return {
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, chosen["extract"] or None))[:12],
        "code": code_hash("england"),
    }


class _England:
    def __init__(
        self,
        study: Study,
        compared: Sequence[Comparison],
        scale: float,
        rows: int,
        hashes: dict[str, str],
    ) -> None:
        self.rules = study.disclosure
        self.compared, self.scale, self.rows, self.hashes = tuple(compared), scale, rows, hashes
        self.authorities = study.synthetic.authorities if study.synthetic else 0
        ledger = Ledger(
            "england",
            NAME,
            origin="synthetic",
            source="sos_analysis.records.calibration.measure",
            hashes=hashes,
        )
        self.claims, self.claim = ledger.claims, ledger.claim

    def _of(self, *groups: str, ours: bool = False) -> list[Comparison]:
        return [c for c in self.compared if c.target.group in groups and c.target.ours == ours]

    def _rows(self, found: Sequence[Comparison]) -> list[dict[str, Any]]:
        return [
            {
                "label": c.target.label,
                "unit": c.target.unit,
                "year": "" if c.target.year is None else f"Year ending March {c.target.year}",
                "statistic": _STATISTICS.get(c.target.statistic, c.target.statistic),
                "value": c.target.value,
                "measured": c.measured,
                "allowed": _allowed(c),
                "within": "yes" if c.within else "no",
                "n": self.rows,
            }
            for c in found
        ]

    def _table(self, found: Sequence[Comparison], columns: Sequence[str], title: str,
               caption: str = "") -> SafeTable:  # fmt: skip
        known = {
            "label": Column("Figure"),
            "unit": Column("Unit"),
            "year": Column("Year"),
            "statistic": Column("What of it"),
            "value": Column("Published", "", 2),
            "measured": Column("Made up", "", 2),
            "allowed": Column("Allowed difference"),
            "within": Column("Within it"),
        }
        return guard(
            self._rows(found),
            columns={k: known[k] for k in columns},
            title=title,
            caption=caption,
            source=_SOURCE,
            origin="synthetic",
            rules=self.rules,
            authorities=self.authorities,
            statistics={"value": ("n",), "measured": ("n",)},
            category_columns=("allowed",),
        )

    def _panels(self, found: Sequence[Comparison], time: str, *, title: str, subtitle: str,
                alt: str) -> SafeFigure:  # fmt: skip
        rows = []
        for c in found:
            unit = f" ({c.target.unit})" if c.target.unit else ""
            at = c.target.year if time == "Year" else _PLACES[c.target.statistic]
            for series, value in ((PUBLISHED, c.target.value), (MADE_UP, c.measured)):
                rows.append(
                    {"label": f"{c.target.label}{unit}", "time": at, "value": value,
                     "series": series, "allowed": _allowed(c), "n": self.rows}
                )  # fmt: skip
        return safe_figure(
            "panels",
            rows,
            title=title,
            subtitle=f"Made-up data. {subtitle}",
            alt=alt,
            source=_SOURCE,
            origin="synthetic",
            rules=self.rules,
            options=FigureOptions("Value", "", 2, time=time),
            columns={"allowed": Column("Allowed difference")},
            category_columns=("allowed",),
            statistics={"value": ("n",)},
            authorities=self.authorities,
        )

    def result(self) -> ChapterResult:
        """Claims, charts and tables."""
        published = [c for c in self.compared if not c.target.ours]
        yearly, cut = self._several(self._of("year")), self._of("quantile")
        good = sum(c.within for c in published)
        self.claim("targets", len(published), "figures", origin="design")
        self.claim("within", good, "figures")
        self.claim("outside", len(published) - good, "figures")
        self.claim(
            "referrals",
            safe_count(self.rows, self.rules),
            "referrals",
            source="manifest of the extract",
        )
        self.claim("scale", 100 * self.scale, "%", origin="design", source="the build")
        every = good == len(published)
        title = (
            "The made-up England keeps to the published figures"
            if every
            else "The made-up England keeps to most of the published figures"
        )
        figures = {
            "years": self._panels(
                yearly,
                "Year",
                title=title,
                subtitle="Yearly figures for England, years ending 31 March",
                alt="Small line charts, one a figure, each with a line of published values and one "
                "of values counted in the made-up extract. The lines lie close together. The same "
                "numbers stand in the table below the chart.",
            ),
            "quantiles": self._panels(
                cut,
                "Place among authorities",
                title="Authorities differ about as much as real ones do",
                subtitle="From the authority at 5% of the order to the one at 95%, year ending "
                "March 2019",
                alt="Small line charts, one a figure, from low to high authorities; a line of "
                "published values and one of made-up values. The same numbers stand in the table "
                "below the chart.",
            ),
        }
        spread, shares = self._of("spread"), self._of("share")
        tables = {
            "spread_targets": self._table(
                spread,
                ("label", "unit", "statistic", "value", "measured", "allowed", "within"),
                "How authorities differ and swing, against the made-up extract",
                "Standard deviations over the years 2014 to 2019 (from 2016 where earlier years "
                "are not published), authorities with more than 200 referrals, each year's mean "
                "taken out.",
            ),
            "share_targets": self._table(
                shares,
                ("label", "unit", "year", "statistic", "value", "measured", "allowed", "within"),
                "Who the children are and what becomes of cases, against the made-up extract",
            ),
        }  # fmt: skip
        missed = [c for c in published if not c.within]
        if missed:
            tables["missed"] = self._table(
                missed,
                ("label", "year", "statistic", "value", "measured", "allowed"),
                "Figures that the made-up extract misses",
            )
        ours = [c for c in self.compared if c.target.ours]
        if ours:
            tables["our_choices"] = self._table(
                ours,
                ("label", "unit", "year", "value", "measured"),
                "Choices of ours, where no figure is published",
                "The column 'Published' holds our choice here: it is not a figure about England.",
            )
        return ChapterResult(
            name=NAME,
            title="The made-up England against the published one",
            origin="synthetic",
            parameters={},
            claims=self.claims,
            tables=tables,
            figures=figures,
            hashes=self.hashes,
        )

    def _several(self, found: Sequence[Comparison]) -> list[Comparison]:
        """Figures with more than one year: a line needs two points."""
        years: dict[str, set[int | None]] = {}
        for c in found:
            years.setdefault(c.target.label, set()).add(c.target.year)
        return [c for c in found if len(years[c.target.label]) > 1]


def _allowed(c: Comparison) -> str:
    size = 100 * c.target.tolerance if c.target.relative else c.target.tolerance
    words = f"{size:.3g}"
    return f"{words}% either way" if c.target.relative else f"{words} either way"
