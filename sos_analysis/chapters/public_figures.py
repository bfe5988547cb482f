"""Figures of the chapter on public statistics."""

from __future__ import annotations

from typing import Any

from sos_analysis import companion
from sos_analysis.chapters.headlines import side_by_side
from sos_analysis.chapters.public_tables import DOF, SOURCE, WAVES, Tables, heading, status_of
from sos_analysis.disclosure import ALREADY_PUBLISHED, FigureOptions, SafeFigure, safe_figure
from sos_analysis.records.public import PublicOutcome

#: The years ending March 2021 and 2022 were unlike others (ours): shaded in charts.
PANDEMIC = (2020.5, 2022.5)


#: What the map shows: how differently authorities recorded before the second wave.
MAPPED, MAPPED_YEAR = "nfa", 2017
_IN_WAVES = {
    (): "Not in the programme",
    (1, 2): "Pilot in both waves",
    (1,): "Pilot in the first wave alone",
    (2,): "Pilot in the second wave alone",
}


class Exhibits(Tables):
    """Tables, and figures drawn from the same results."""

    def england(self, data_dir: str | None) -> SafeFigure | None:
        """Authorities of England with the pilots marked; none where the files are absent."""
        outcome = next((o for o in self.found.outcomes if o.short == MAPPED), None)
        if outcome is None:
            return None
        found = companion.map_rows(outcome.id, MAPPED_YEAR, data_dir)
        if not found:
            return None
        rows: list[dict[str, Any]] = [
            {
                "label": row.name,
                "region": row.region,
                "value": None if isinstance(row.value, str) else row.value,
                "series": _IN_WAVES[tuple(row.waves)],
            }
            for row in found
        ]
        order = list(_IN_WAVES.values())
        rows.sort(key=lambda row: (order.index(row["series"]), row["label"]))
        return safe_figure(
            "tiles",
            rows,
            title="Pilots lay in most regions, and authorities differed widely before the second "
            "wave",
            subtitle=f"{outcome.label}, {outcome.unit} {outcome.of}, year ending March "
            f"{MAPPED_YEAR}",
            alt="A map of England in tiles, one for each authority, in blocks by region; darker "
            "tiles have higher figures, pilots are framed and lettered. The same numbers stand in "
            "the table below the map.",
            caption="Blocks lie roughly where the regions are; within a block authorities go by "
            "name.",
            source=SOURCE,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(outcome.short_label, f"{outcome.unit} {outcome.of}", 1),
            statistics={"value": ()},
        )

    def effect(self) -> SafeFigure:
        """All differences on one scale: multiples of the smallest important difference."""
        rows: list[dict[str, Any]] = []
        for o, wave in sorted(self.keys, key=lambda k: self.found.outcomes.index(k[0])):
            e, mid = self.main(o, wave), o.minimum_important_difference
            rows.append(
                {
                    "label": o.short_label,
                    "value": e.att / mid,
                    "low": e.ci[0] / mid,
                    "high": e.ci[1] / mid,
                    "series": heading(WAVES[wave]),
                }
            )
        crossing = sum(r["low"] < 0 < r["high"] for r in rows)
        title = (
            "Every interval takes in both falls and rises"
            if crossing == len(rows)
            else "Most intervals take in both falls and rises"
            if crossing > len(rows) / 2
            else "Some intervals take in both falls and rises"
        )
        return safe_figure(
            "estimates",
            rows,
            title=title,
            subtitle="Difference between pilots and all other authorities in multiples of the "
            "smallest difference we call important, with 95% intervals. England",
            alt="Differences with their intervals, one for each public figure and wave. The same "
            "numbers stand in the table below the chart.",
            source=SOURCE,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure="Difference",
                unit="times the smallest important",
                decimals=1,
                mid=1.0,
                lower="lower in pilots",
                higher="higher in pilots",
            ),
            residual_dof=DOF,
        )

    def event_study(self, outcome: PublicOutcome, wave: int) -> SafeFigure:
        """Differences by year, against the last year before the wave."""
        events = self.found.events(outcome.id, wave)
        rows: list[dict[str, Any]] = [
            {"time": y.year, "value": y.att, "low": y.ci[0], "high": y.ci[1]} for y in events.years
        ]
        rows.append({"time": events.base, "value": 0.0, "low": None, "high": None})
        rows.sort(key=lambda r: r["time"])
        status = status_of(self.checks[outcome.id, wave], "pre_trends")
        path = {"fail": "different paths", "info": "perhaps different paths"}.get(
            status, "no clear sign of different paths"
        )
        name = WAVES[wave]
        return safe_figure(
            "event_study",
            rows,
            title=f"{outcome.short_label}: {path} before the {name}",
            subtitle=f"Pilots less other authorities, against the year ending March {events.base}, "
            f"{outcome.unit} {outcome.of}, with 95% intervals. England",
            alt=f"Differences by year for: {outcome.label}. Points before the {name} should lie "
            "near zero. The same numbers stand in the table below the chart.",
            source=SOURCE,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure="Difference",
                unit=outcome.unit,
                decimals=1,
                adopted_from=events.base + 0.5,
                adopted_to=events.base + 0.5,
                adoption=heading(name),
                base=float(events.base),
                time="Year ending 31 March",
            ),
            residual_dof=DOF,
        )

    def trend(self, outcome: PublicOutcome) -> SafeFigure:
        """Means of second-wave pilots and others by year, to the latest."""
        rows = [
            {
                "time": m.year,
                "value": m.mean,
                "series": "Pilots" if role == "pilots" else "Other authorities",
                "n": m.authorities,
            }
            for role in companion.ROLES
            for m in self.found.means_of(outcome.id, role)
        ]
        last = float(max(m.year for m in self.found.means_of(outcome.id, "pilots")))
        pilots, others = (
            {m.year: m.mean for m in self.found.means_of(outcome.id, role)}
            for role in ("pilots", "others")
        )
        lie = side_by_side(pilots, others, ("pilots", "other authorities"))
        shaded = last > PANDEMIC[0]
        return safe_figure(
            "trend",
            rows,
            title=f"{outcome.short_label}: {lie}",
            subtitle=f"{outcome.label}, {outcome.unit} {outcome.of}, mean of authorities. England",
            alt=f"Two lines, second-wave pilots and other authorities, for: {outcome.label}. The "
            "same numbers stand in the table below the chart.",
            source=SOURCE,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure=outcome.short_label,
                unit=outcome.unit,
                decimals=1,
                adopted_from=self.found.events(outcome.id).base + 0.5,
                adopted_to=self.found.events(outcome.id).base + 0.5,
                adoption="Second wave",
                time="Year ending 31 March",
                shaded_from=PANDEMIC[0] if shaded else None,
                shaded_to=min(PANDEMIC[1], last + 0.25) if shaded else None,
                shaded="Pandemic" if shaded else "",
            ),
            statistics={"value": "n"},
        )
