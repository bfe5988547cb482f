"""The tables and charts of an outcome's chapter, each through the guard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sos_analysis import checks as check
from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.fit import OutcomeFit, companions
from sos_analysis.chapters.shared_cases import PART_OF, beside_whole, margins_of_whole
from sos_analysis.chapters.trend_title import Phase, trend_title
from sos_analysis.chapters.words import OUTCOME_WORDS, OutcomeWords
from sos_analysis.disclosure import (
    NOT_AVAILABLE,
    ORIGINS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.estimation.estimate import Estimate
from sos_analysis.formats import interval, quantity
from sos_analysis.study import Outcome, Study
from sos_analysis.workspace import truth

if TYPE_CHECKING:
    import pandas as pd

DEFINED = {"original": "the original's definition", "strict": "the strict definition"}


_WHO = {"treated": "Pilots", "comparator": "Comparators"}
_WHEN = {"pre": "Before", "post": "After"}
#: The whole, and what the largest two authorities hold of it.
_DOMINANCE = ("events", "largest", "second")
#: Distinct children with an outcome of 0 or 1, and without it.
_PEOPLE = {"y_sum": ("children_with", "children_without")}
_TREND = (
    *("series", "time", "value", "y_sum", "events", "las", "children", "largest", "second"),
    *(*_PEOPLE["y_sum"], "y_sum_whole", "las_whole"),
)


class Exhibits:
    """What a chapter shows of its fits, in the reader's unit."""

    def __init__(
        self,
        spec: ChapterSpec,
        chosen: Mapping[str, Any],
        study: Study,
        outcome: Outcome,
        fits: Mapping[str, OutcomeFit],
    ) -> None:
        self.spec, self.chosen, self.study, self.outcome, self.fits = (
            spec,
            chosen,
            study,
            outcome,
            fits,
        )
        self.lead = fits[chosen["definition"]]
        self.whole = margins_of_whole(study, chosen["extract"], outcome.name, self.lead.definition)
        self.words: OutcomeWords = OUTCOME_WORDS[outcome.name]
        self.origin = study.origin
        self.truth = truth(study, chosen["extract"])
        self.made_up = study.origin == "synthetic"
        days = outcome.unit == "working days"
        self.unit = outcome.unit
        self.decimals = 1 if days or outcome.minimum_important_difference >= 2 else 2
        self.source = (
            "Synthetic extract of this project"
            if self.made_up
            else "Individual records held by the Department for Education"
        )
        self.place = (
            f"{ORIGINS['synthetic']}, {len(self.lead.sample.groups)} matched groups"
            if self.made_up
            else f"England, {len(self.lead.sample.groups)} matched groups"
        )

    @property
    def population(self) -> str:
        """Whose cases are counted before matching: as part of those of another chapter, if so."""
        within = self._within.get("within", "")
        return ", ".join(filter(None, (within, self._within["population"])))

    @property
    def _within(self) -> dict[str, str]:
        """Population for the guard, and that of another chapter which it is part of."""
        name, definition = self.outcome.name, self.lead.definition
        if self.whole is None:
            return {"population": f"{name}, {definition}"}
        within = f"{PART_OF[name]}, {definition}"
        return {"population": name, "within": within, "authorities_within": "las_whole"}

    def _margins(self, margin: str) -> pd.DataFrame:
        margins = self.lead.cells.margins
        here: pd.DataFrame = margins[margins["margin"] == margin].copy()
        return here if self.whole is None else beside_whole(here, self.whole)

    def shown(self, value: float) -> float:
        """Internal unit to display unit."""
        return value * self.outcome.scale

    def pair(self, ends: tuple[float, float]) -> tuple[float, float]:
        return self.shown(ends[0]), self.shown(ends[1])

    # --- tables ------------------------------------------------------------------------------

    def counts(self) -> SafeTable:
        """Who was counted: authorities, children and events by role and phase."""
        return self._counted

    @cached_property
    def _counted(self) -> SafeTable:
        return safe_table(**self._counting)

    @property
    def _counting(self) -> dict[str, Any]:
        """What the guard is asked for: the trend by year is protected together with it."""
        here = self._margins("phase")
        parts = {"children": ["events"]}
        if self.whole is not None:
            parts["children"].append("children_whole")
            parts |= {"events": ["events_whole"], "y_sum": ["y_sum_whole"]}
        here["when"] = here["phase"].map(_WHEN).astype(str)
        here["who"] = here["role"].map(_WHO).astype(str)
        here = here.sort_values(["who", "when"], ascending=False)
        columns: dict[str, Column] = {
            "who": Column("Group"),
            "when": Column("Time"),
            "las": Column("Authorities"),
            "children": Column("Children"),
            "events": Column(self.words.events.capitalize()),
        }
        level: dict[str, Any] = {}
        if self.outcome.scale == 100:
            columns["rate"] = Column("Outcome", "per 100", 1)
            level = {"rates": {"rate": ("y_sum", "events")}, "outcome_children": _PEOPLE}
        else:
            here["rate"] = here["y_sum"] / here["events"]
            columns["rate"] = Column("Mean", self.unit, 1)
            level = {"statistics": {"rate": "events"}}
        return dict(
            frame=here,
            columns=columns,
            count_columns=("children", "events"),
            # Where nearly every case is another child, the few with two would be found.
            parts_of=parts,
            children_column="children",
            authorities_column="las",
            dominance=_DOMINANCE,
            title=f"Who was counted, by {DEFINED[self.lead.definition]}",
            caption="Before matching. Cases in the embedding period are left out. An authority "
            "that serves several pilots counts once. Where nearly every case is another child, the "
            "number of children is not shown. Rates are raw: they are not the estimate.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            **self._within,
            **level,
        )

    def estimates(self) -> SafeTable:
        """Both specifications under both definitions."""
        rows = []
        for definition, found in self.fits.items():
            for name, e in (("Original's", found.original), ("Preferred", found.preferred)):
                low, high = self.pair(interval_of(e))
                crv1, crv3 = self.shown(e.se_crv1), self.shown(e.se_crv3)
                rows.append(
                    {
                        "definition": definition.capitalize(),
                        "specification": name,
                        "value": self.shown(e.att),
                        "low": low,
                        "high": high,
                        "p1": e.p_secondary if name == "Original's" else e.p_primary,
                        "p2": e.p_crv1 if name == "Original's" else e.p_secondary,
                        "crv3": crv3,
                        "crv1": crv1,
                        "dof": e.n_clusters - 1,
                        "truth": self._true(definition),
                    }
                )
        d = self.decimals
        preferred, original = self.lead.preferred, self.lead.original
        known = any(isinstance(row["truth"], float) for row in rows)
        return safe_table(
            [_known(row) for row in rows],
            columns={
                "definition": Column("Definition"),
                "specification": Column("Specification"),
                "value": Column("Difference", "", d, signed=True),
                "low": Column("95% from", "", d, signed=True),
                "high": Column("95% to", "", d, signed=True),
                "p1": Column("p, first", "p", 3),
                "p2": Column("p, second", "p", 3),
                "crv3": Column("SE, CRV3", "", d + 1),
                "crv1": Column("SE, CRV1", "", d + 1),
                **({"truth": Column("True value", "", d, signed=True)} if known else {}),
            },
            estimates=(
                *("value", "low", "high", "p1", "p2", "crv3", "crv1"),
                *(("truth",) if known else ()),
            ),
            residual_dof_column="dof",
            title=f"The difference between pilots and comparators, {self.unit}",
            caption=(
                f"Preferred specification: interval and first p by {preferred.primary}, second p "
                f"by {preferred.secondary}. Original's: interval and first p by "
                f"{method_of(original)}, second p by {original.primary}, as it was reported. SE: "
                "standard error. CRV1, which the original reports, is too small with few pilots "
                "and stands here for comparison only. Corrections for small samples: see 'For "
                "analysts'."
            ),
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
        )

    def companions(self) -> SafeTable | None:
        """What is shown beside the outcome, by the preferred specification."""
        found = companions(self.study, self.outcome.name, self.lead.definition, self.chosen)
        if not found:
            return None
        rows = [
            {
                "label": c.label,
                "baseline": c.estimate.baseline * c.scale,
                "value": c.estimate.att * c.scale,
                "low": c.estimate.ci[0] * c.scale,
                "high": c.estimate.ci[1] * c.scale,
                "p1": c.estimate.p_primary,
                "p2": c.estimate.p_secondary,
                "dof": c.estimate.n_clusters - 1,
            }
            for c in found
        ]
        return safe_table(
            [_known(row) for row in rows],
            columns={
                "label": Column("Beside it"),
                "baseline": Column("Expected without", "", 1),
                "value": Column("Difference", "", 1, signed=True),
                "low": Column("95% from", "", 1, signed=True),
                "high": Column("95% to", "", 1, signed=True),
                "p1": Column("p, first", "p", 3),
                "p2": Column("p, second", "p", 3),
            },
            estimates=("baseline", "value", "low", "high", "p1", "p2"),
            residual_dof_column="dof",
            title="Companions that show a change in who is counted, per 100"
            if self.outcome.group == "referrals"
            else "A companion: the share beyond the time the law expects, per 100",
            caption="Preferred specification and the same two methods as above.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
        )

    def _true(self, definition: str) -> float | str:
        value = self.truth.get((self.outcome.name, definition))
        return NOT_AVAILABLE if value is None else self.shown(value)

    def event_times(self) -> SafeTable:
        """The event study as numbers."""
        return safe_table(
            self._event_rows(),
            columns={
                "time": Column("Year from embedding"),
                "value": Column("Difference", "", self.decimals, signed=True),
                "low": Column("95% from", "", self.decimals, signed=True),
                "high": Column("95% to", "", self.decimals, signed=True),
                "band_low": Column("Band from", "", self.decimals, signed=True),
                "band_high": Column("Band to", "", self.decimals, signed=True),
                "treated": Column("Pilots seen"),
            },
            category_columns=("time",),
            estimates=("value", "low", "high", "band_low", "band_high"),
            authorities_column="treated",
            residual_dof=self.lead.preferred.n_clusters - 1,
            title=f"Differences year by year, {self.unit}",
            caption="Year -1 is the last before embedding and the base. Intervals hold at "
            "95% for one year at a time, the band for all years at once.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
        )

    def _event_rows(self) -> list[dict[str, Any]]:
        e = self.lead.event_study
        rows = []
        for i, time in enumerate(e.times):
            base = time == e.base
            ends = [e.ci_low[i], e.ci_high[i], e.band_low[i], e.band_high[i]]
            known = all(map(math.isfinite, ends)) and math.isfinite(e.att[i])
            if not (base or known):
                continue  # seen in one pilot: no error can be given, and it would point at it
            shown = ["[z]"] * 4 if base else [self.shown(float(v)) for v in ends]
            rows.append(
                {
                    "time": int(time),
                    "value": self.shown(float(e.att[i])),
                    **dict(zip(("low", "high", "band_low", "band_high"), shown, strict=True)),
                    "treated": int(e.treated[i]),
                }
            )
        return rows

    # --- figures -----------------------------------------------------------------------------

    def effect(self) -> SafeFigure:
        """Estimates with intervals; on made-up data beside the planted effect."""
        rows = []
        for definition, found in self.fits.items():
            for name, e in (("preferred", found.preferred), ("original's", found.original)):
                low, high = self.pair(interval_of(e))
                rows.append(
                    {
                        "label": f"{definition.capitalize()} definition, {name} specification",
                        "value": self.shown(e.att),
                        "low": low,
                        "high": high,
                    }
                )
        e = self.lead.preferred
        size = quantity(self.shown(e.att), self.unit, self.decimals)
        if all(map(math.isfinite, e.ci)):
            size += f" (95% interval {interval(*self.pair(e.ci), self.decimals)})"
        title = f"{self._example()}The estimate is {size}"
        return safe_figure(
            "estimates",
            [_known(row) for row in rows],
            title=title,
            subtitle=f"{self.place}. Difference in {self.words.noun}, {self.unit}, with 95% "
            "intervals. The band is the smallest difference called important",
            alt=f"Four estimates of the difference in {self.words.noun} with their intervals, by "
            "definition and specification. The same numbers stand in the table below the chart.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            options=FigureOptions(
                measure=f"Difference in {self.words.noun}",
                unit=self.unit,
                decimals=self.decimals,
                mid=self.outcome.minimum_important_difference,
                lower="lower in pilots",
                higher="higher in pilots",
            ),
            residual_dof=self.lead.preferred.n_clusters - 1,
        )

    def event_study(self) -> SafeFigure:
        """Differences by year from embedding."""
        e = self.lead.event_study
        quiet = e.p_pretrend >= check.PRE_TREND_LEVEL
        message = (
            "No clear sign that pilots and comparators moved apart before embedding"
            if quiet
            else "Pilots and comparators may have moved apart before embedding"
        )
        return safe_figure(
            "event_study",
            [
                {k: r[k] for k in ("time", "value", "low", "high", "treated")}
                for r in self._event_rows()
            ],
            title=self._example() + message,
            subtitle=f"{self.place}. Difference in {self.words.noun} against the last year before "
            f"embedding, {self.unit}, with 95% intervals",
            alt=f"Differences in {self.words.noun} by year from embedding, with intervals. Points "
            "left of the embedding period should lie near zero. The numbers stand in the table "
            "below the chart.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            options=FigureOptions(
                measure=f"Difference in {self.words.noun}",
                unit=self.unit,
                decimals=self.decimals,
                adopted_from=-1,
                adopted_to=0,
                adoption="Embedding",
                base=float(e.base),
                time="Years from embedding",
            ),
            columns={"treated": Column("Pilots seen")},
            authorities_column="treated",
            residual_dof=self.lead.preferred.n_clusters - 1,
        )

    def trend(self) -> SafeFigure:
        """Raw rates of pilots and comparators by year."""
        here = self._margins("calendar")
        here["series"] = here["role"].map(_WHO).astype(str)
        here["time"] = here["level"].astype(int)
        here = here.sort_values(["series", "time"])
        guards: dict[str, Any]
        if self.outcome.scale == 100:
            guards = {"rates": {"value": ("y_sum", "events")}, "outcome_children": _PEOPLE}
            if self.whole is not None:
                guards["parts_of"] = {"y_sum": "y_sum_whole"}
        else:
            here["value"] = here["y_sum"] / here["events"]
            guards = {"statistics": {"value": "events"}}
        groups = self.lead.sample.groups
        return safe_figure(
            "trend",
            here[[c for c in _TREND if c in here]],
            title=self._example() + trend_title(self._phase("pre"), self._phase("post")),
            subtitle=f"{self.place}. {_first_upper(self.words.noun)}, {self.unit}, by year ending "
            "31 March, all cases, before matching",
            alt=f"Two lines, pilots and comparators, of {self.words.noun} by year. The numbers "
            "stand in the table below the chart.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            options=FigureOptions(
                measure=_first_upper(self.words.noun),
                unit=self.unit,
                decimals=1,
                adopted_from=float(min(_fiscal(g.start) for g in groups)),
                adopted_to=float(max(_fiscal(g.end) for g in groups)),
                adoption="Embedding, first to last pilot",
                time="Year ending 31 March",
            ),
            columns={"las": Column("Authorities")},
            authorities_column="las",
            children_column="children",
            dominance=_DOMINANCE,
            beside=self._counting,
            **self._within,
            **guards,
        )

    def _phase(self, phase: str) -> Phase | None:
        """Means over a phase, as the table of counts shows them; None if it hides one."""
        table, when = self.counts(), _WHEN[phase]
        shown = {
            who: rate
            for who, at, rate in zip(
                *(table.values(key) for key in ("who", "when", "rate")), strict=True
            )
            if at == when and not isinstance(rate, str)
        }
        if set(shown) != set(_WHO.values()):
            return None
        return Phase(float(shown[_WHO["treated"]]), float(shown[_WHO["comparator"]]))

    def _example(self) -> str:
        return "Worked example: " if self.made_up else ""


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which a number that could not be computed is marked 'not available'."""
    return {
        key: NOT_AVAILABLE if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def _bootstrapped(e: Estimate) -> bool:
    """The original's specification reports CRV1; a bare CRV1 interval is never shown."""
    return e.specification == "original" and all(map(math.isfinite, e.ci_secondary))


def interval_of(e: Estimate) -> tuple[float, float]:
    return e.ci_secondary if _bootstrapped(e) else e.ci


def method_of(e: Estimate) -> str:
    return e.secondary if _bootstrapped(e) else e.primary


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fiscal(day: Any) -> int:
    return int(day.year + (day.month >= 4))
