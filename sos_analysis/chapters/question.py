"""A question's chapter: answer, who was counted, estimates, event study, checks, what it rules out.

Numbers come from `fit`; this module names them as claims, passes tables and charts through the
guard, and fills the sentences. On made-up data it speaks of the worked example alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sos_analysis import checks as check
from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.fit import OutcomeFit, companions, fit
from sos_analysis.chapters.reference import finding_claims
from sos_analysis.chapters.words import OUTCOME_WORDS, OutcomeWords
from sos_analysis.checks import CheckResult
from sos_analysis.disclosure import (
    NOT_AVAILABLE,
    ORIGINS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_count,
    safe_figure,
    safe_table,
)
from sos_analysis.estimation.estimate import Estimate
from sos_analysis.estimation.power import equivalence
from sos_analysis.evidence import Verdict, verdict
from sos_analysis.facts import published
from sos_analysis.results import ChapterResult, Claim, code_hash, content_hash
from sos_analysis.study import DEFINITIONS, Outcome, Study, load_study
from sos_analysis.workspace import extract_folder, extract_hash, truth

PREFIX = {
    "duration": "rq1",
    "rereferral": "rq2",
    "escalation": "rq3",
    "kinship": "rq4",
    "icpc": "icpc",
}
_DEFINED = {"original": "the original's definition", "strict": "the strict definition"}


def hashes(chosen: Mapping[str, Any]) -> dict[str, str]:
    """What a question's result rests on: study, records, public figures, code, parameters."""
    from sos_analysis.chapters import public

    study = load_study(chosen["study"])
    return {
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, chosen["extract"]))[:12],
        "public": public.data_hash(chosen["public_data"]),
        "code": code_hash(),
        "parameters": content_hash(dict(chosen)),
    }


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter of one research question."""
    study = load_study(chosen["study"])
    outcome = study.outcome(spec.outcomes[0])
    fits = {d: fit(study, outcome.name, d, chosen) for d in DEFINITIONS}
    return _Chapter(spec, chosen, study, outcome, fits).result()


class _Chapter:
    """Collects what one chapter says."""

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
        self.words: OutcomeWords = OUTCOME_WORDS[outcome.name]
        self.prefix = PREFIX[outcome.name]
        self.origin = study.origin
        self.hashes = hashes(chosen)
        self.claims: dict[str, Claim] = {}
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

    # --- claims ------------------------------------------------------------------------------

    def claim(
        self,
        name: str,
        value: float | str,
        unit: str = "",
        *,
        ends: tuple[float, float] | None = None,
        decimals: int = 0,
        origin: str = "",
        source: str = "sos_analysis.chapters.question",
        note: str = "",
    ) -> str:
        """Make a claim and give its id."""
        low, high = ends or (None, None)
        made = Claim(
            f"{self.prefix}.{name}",
            value,
            unit,
            low,
            high,
            decimals,
            origin=origin or self.origin,
            chapter=self.spec.name,
            source=source,
            note=note,
            hashes=self.hashes,
        )
        self.claims[made.id] = made
        return made.id

    def shown(self, value: float) -> float:
        """Internal unit to display unit."""
        return value * self.outcome.scale

    def pair(self, ends: tuple[float, float]) -> tuple[float, float]:
        return self.shown(ends[0]), self.shown(ends[1])

    def _estimate_claims(self) -> None:
        for definition, found in self.fits.items():
            for name, e in (("original", found.original), ("preferred", found.preferred)):
                key = f"{definition}.{name}"
                where = f"sos_analysis.estimation.did.{name}"
                note = f"Interval: {_method(e)}; {e.ssc}"
                ends = _interval(e)
                finite_ends = all(map(math.isfinite, ends))
                self.claim(
                    f"{key}.att",
                    self.shown(e.att),
                    self.unit,
                    ends=self.pair(ends) if finite_ends else None,
                    decimals=self.decimals,
                    source=where,
                    note=note,
                )
                for label, p in (("p_primary", e.p_primary), ("p_secondary", e.p_secondary)):
                    if math.isfinite(p):
                        self.claim(f"{key}.{label}", p, "p", decimals=3, source=where)
        e = self.lead.preferred
        self.claim("baseline", self.shown(e.baseline), self.unit, decimals=1)
        if math.isfinite(e.mde):
            self.claim("mde", self.shown(e.mde), self.unit, decimals=self.decimals)
        mid = self.outcome.minimum_important_difference
        self.claim(
            "mid", mid, self.unit, decimals=0 if float(mid).is_integer() else 1, origin="design"
        )
        rules = self.study.disclosure
        self.claim("events", safe_count(e.n_events, rules))
        self.claim("clusters", e.n_clusters, "authorities", origin="design")
        self.claim("pilots", e.n_treated_clusters, "pilots", origin="design")
        self.claim("draws", e.draws)
        true = self.truth.get((self.outcome.name, self.lead.definition))
        if true is not None:
            self.claim(
                "truth",
                self.shown(true),
                self.unit,
                decimals=0 if float(self.shown(true)).is_integer() else self.decimals,
                source="stored potential outcomes of the made-up records",
                note=f"True effect on the treated, by {_DEFINED[self.lead.definition]}.",
            )

    # --- tables ------------------------------------------------------------------------------

    def counts(self) -> SafeTable:
        """Who was counted: authorities, children and events by role and phase."""
        margins = self.lead.cells.margins
        here = margins[margins["margin"] == "phase"].copy()
        here["when"] = here["phase"].map({"pre": "Before", "post": "After"}).astype(str)
        here["who"] = (
            here["role"].map({"treated": "Pilots", "comparator": "Comparators"}).astype(str)
        )
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
            level = {"rates": {"rate": ("y_sum", "events")}}
        else:
            here["rate"] = here["y_sum"] / here["events"]
            columns["rate"] = Column("Mean", self.unit, 1)
            level = {"statistics": {"rate": "events"}}
        return safe_table(
            here,
            columns=columns,
            count_columns=("children", "events"),
            authorities_column="las",
            title=f"Who was counted, by {_DEFINED[self.lead.definition]}",
            caption="Before matching. Cases in the embedding period are left out. An authority "
            "that serves several pilots counts once. Rates are raw: they are not the estimate.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            **level,
        )

    def estimates(self) -> SafeTable:
        """Both specifications under both definitions."""
        rows = []
        for definition, found in self.fits.items():
            for name, e in (("Original's", found.original), ("Preferred", found.preferred)):
                low, high = self.pair(_interval(e))
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
            rows,
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
                f"{_method(original)}, second p by {original.primary}, as it was reported. SE: "
                "standard error. CRV1, which the original reports, is too small with few pilots "
                "and stands here for comparison only."
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
            rows,
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

    def parameters(self) -> SafeTable:
        """Parameters of this run."""
        rows = [
            {"name": name, "value": _parameter(value), "help": self.spec.parameters[name].help}
            for name, value in self.chosen.items()
        ]
        return safe_table(
            rows,
            columns={
                "name": Column("Parameter"),
                "value": Column("Value here"),
                "help": Column("Meaning"),
            },
            category_columns=("value",),
            title="Parameters of this run",
            source="Parameters cell of the notebook",
            origin="design",
            rules=self.study.disclosure,
        )

    # --- figures -----------------------------------------------------------------------------

    def effect(self) -> SafeFigure:
        """Estimates with intervals; on made-up data beside the planted effect."""
        rows = []
        for definition, found in self.fits.items():
            for name, e in (("preferred", found.preferred), ("original's", found.original)):
                low, high = self.pair(_interval(e))
                rows.append(
                    {
                        "label": f"{definition.capitalize()} definition, {name} specification",
                        "value": self.shown(e.att),
                        "low": low,
                        "high": high,
                    }
                )
        claim = self.claims[f"{self.prefix}.{self.lead.definition}.preferred.att"]
        form = "full" if claim.low is not None else "text"
        title = f"{self._example()}The estimate is {claim.render(form)}"
        return safe_figure(
            "estimates",
            rows,
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
        margins = self.lead.cells.margins
        here = margins[margins["margin"] == "calendar"].copy()
        here["series"] = (
            here["role"].map({"treated": "Pilots", "comparator": "Comparators"}).astype(str)
        )
        here["time"] = here["level"].astype(int)
        here = here.sort_values(["series", "time"])
        guards: dict[str, Any]
        if self.outcome.scale == 100:
            guards = {"rates": {"value": ("y_sum", "events")}}
        else:
            here["value"] = here["y_sum"] / here["events"]
            guards = {"statistics": {"value": "events"}}
        groups = self.lead.sample.groups
        return safe_figure(
            "trend",
            here[["series", "time", "value", "y_sum", "events", "las"]]
            if "value" in here
            else here[["series", "time", "y_sum", "events", "las"]],
            title=f"{self._example()}Pilots and comparators, year by year",
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
            **guards,
        )

    def _example(self) -> str:
        return "Worked example: " if self.made_up else ""

    # --- checks, verdict, words --------------------------------------------------------------

    def checks(self) -> tuple[CheckResult, ...]:
        """Threats to validity that this chapter can look at."""
        e, study = self.lead.preferred, self.lead.event_study
        made = [check.few_clusters(e.n_clusters, e.n_treated_clusters)]
        if math.isfinite(study.p_pretrend) and study.n_pre:
            early = [abs(a) for t, a in zip(study.times, study.att, strict=True) if t < study.base]
            finite = [self.shown(float(a)) for a in early if math.isfinite(a)]
            made.append(
                check.pre_trends(
                    study.p_pretrend, study.n_pre, largest=max(finite), unit=self._points()
                )
            )
        if math.isfinite(e.p_primary) and math.isfinite(e.p_secondary):
            made.append(check.agreement(e.p_primary, e.p_secondary, e.primary, e.secondary))
        if self.lead.sample.cem:
            made.append(check.balance(self.lead.sample.l1_before, self.lead.sample.l1_after))
        if self.outcome.group == "referrals":
            made.append(self._denominator())
        true = self.claims.get(f"{self.prefix}.truth")
        if true is not None and all(map(math.isfinite, e.ci)):
            made.append(
                check.covers_truth(*self.pair(e.ci), float(true.value), self.unit, self.decimals)
            )
        return tuple(made)

    def _denominator(self) -> CheckResult:
        """Change in the share of referrals closed with no further action, by role."""
        from sos_analysis.workspace import cells_for

        cells = cells_for(
            self.study, self.chosen["extract"], "nfa_share", self.chosen["definition"]
        )
        margins = cells.margins[cells.margins["margin"] == "phase"]
        share = margins.groupby(["role", "phase"], observed=True)[["y_sum", "events"]].sum()
        rate = 100 * share["y_sum"] / share["events"]
        change = {
            role: float(rate[(role, "post")] - rate[(role, "pre")])
            for role in ("treated", "comparator")
        }
        return check.denominator_stability(
            change["treated"], change["comparator"], "closed with no further action"
        )

    def _points(self) -> str:
        return "percentage points" if self.outcome.scale == 100 else self.unit

    def verdict(self, checks: tuple[CheckResult, ...]) -> Verdict | None:
        """Effect class, rating (real records alone) and sentence."""
        e = self.lead.preferred
        if not all(map(math.isfinite, (*e.ci, e.p_primary, e.p_secondary))):
            return None
        low, high = self.pair(e.ci)
        return verdict(
            value=self.shown(e.att),
            low=low,
            high=high,
            mid=self.outcome.minimum_important_difference,
            p_primary=e.p_primary,
            p_secondary=e.p_secondary,
            outcome=self.words.noun,
            origin=self.origin,
            checks=checks,
            good=self.words.good,
        )

    def prose(self, found: Verdict | None) -> dict[str, str]:
        """Sentences with places for claims."""
        p, d = self.prefix, self.lead.definition
        att = f"{{{p}.{d}.preferred.att:full}}"
        sentence = (
            found.sentence
            if found
            else "The two methods could not both be computed on this sample."
        )
        e = self.lead.preferred
        answer = f"<strong>{sentence}</strong> The preferred specification gives {att}"
        if f"{p}.truth" in self.claims:
            answer += (
                f"; the true effect in the made-up records is {{{p}.truth}}."
                if self.claims[f"{p}.truth"].value
                else "; no effect was planted in the made-up records."
            )
        else:
            answer += "."
        return {
            "published": self._published(),
            "companion": self._companion(),
            "answer": answer,
            "counted": (
                f"The estimates rest on {{{p}.events}} {self.words.events}, in {{{p}.pilots}} and "
                f"their comparators, {{{p}.clusters}} in all. Comparators are weighted so that "
                "children of like characteristics are compared."
            ),
            "estimates": (
                "The preferred specification compares each authority with itself, before and "
                "after. The original's does not. Both definitions of the outcome stand side by "
                "side: the original's as its code reads, and a stricter one of ours."
            ),
            "event_study": (
                "Read the chart from left to right. Points before embedding should lie near zero, "
                "or the two groups were on different paths already. Points after it show the "
                f"effect year by year. Joint test of the points before embedding: "
                f"{{{self._pre_claim()}}}."
            ),
            "rule_out": self._rule_out(found, e),
            "analysts": (
                f"Primary: {e.primary}; secondary: {e.secondary}; {{{p}.draws}} draws. {e.ssc} "
                f"{_notes(e)}"
            ),
        }

    def _pre_claim(self) -> str:
        study = self.lead.event_study
        if math.isfinite(study.p_pretrend):
            text = f"{study.test}, p = {study.p_pretrend:.3f}"
        else:
            text = "not possible, too few years before embedding"
        return self.claim("pretrend", text, source="sos_analysis.estimation.event_study")

    def _published(self) -> str:
        found = published()
        made = finding_claims(f"{self.prefix}.published", found.finding(self.outcome.name))
        if self.outcome.name == "kinship":
            made += finding_claims(f"{self.prefix}.published_size", found.finding("kinship.size"))
        for claim in made:
            self.claims[claim.id] = claim
        text = f"<strong>Published evaluation.</strong> {{{self.prefix}.published.statement}}"
        if self.outcome.name == "kinship":
            text += f" The size given is a reduction of {{{self.prefix}.published_size.size:size}}."
        unknown = found.finding(self.outcome.name).unknown
        return f"{text} Not published where we could read it: {', '.join(unknown)}."

    def _companion(self) -> str:
        if self.words.public is not None:
            return f"<strong>Public statistics.</strong> {self.words.public}"
        from sos_analysis.chapters import public

        sentence = public.sentence("rereferral", self.chosen["public_data"])
        name = self.claim("companion", sentence, origin="public", source="public_statistics")
        return (
            f"<strong>Public statistics.</strong> {{{name}}} That figure counts every re-referral "
            "within 12 months, by authority and year; it is not the outcome of this chapter."
        )

    def _rule_out(self, found: Verdict | None, e: Estimate) -> str:
        p, d = self.prefix, self.lead.definition
        lines = []
        if self.claims[f"{p}.{d}.preferred.att"].low is not None:
            lines.append(
                f"Differences outside {{{p}.{d}.preferred.att:interval}} {self._points()} are hard "
                "to square with these data."
            )
        if f"{p}.mde" in self.claims:
            lines.append(
                f"The design would find a true difference of {{{p}.mde}} four times in five; the "
                f"smallest one we call important is {{{p}.mid}}."
            )
        mid = self.outcome.minimum_important_difference
        if all(map(math.isfinite, e.ci90)):
            same = equivalence(self.pair(e.ci90), mid).equivalent
            lines.append(
                "An important difference in either direction is ruled out at the 5% level."
                if same
                else "An important difference is not ruled out at the 5% level."
            )
        if self.made_up:
            lines.append("All this is about the made-up records, and not about Signs of Safety.")
        return " ".join(lines)

    def result(self) -> ChapterResult:
        """Everything together."""
        self._estimate_claims()
        checks = self.checks()
        found = self.verdict(checks)
        prose = self.prose(found)
        beside = self.companions()
        return ChapterResult(
            name=self.spec.name,
            title=self.spec.title,
            origin=self.origin,
            parameters=dict(self.chosen),
            claims=self.claims,
            tables={
                "counts": self.counts(),
                "estimates": self.estimates(),
                **({"companions": beside} if beside else {}),
                "event_times": self.event_times(),
                "parameters": self.parameters(),
            },
            figures={
                "effect": self.effect(),
                "event_study": self.event_study(),
                "trend": self.trend(),
            },
            checks=checks,
            verdict=found,
            prose=prose,
            hashes=self.hashes,
        )


def _bootstrapped(e: Estimate) -> bool:
    """The original's specification reports CRV1; a bare CRV1 interval is never shown."""
    return e.specification == "original" and all(map(math.isfinite, e.ci_secondary))


def _interval(e: Estimate) -> tuple[float, float]:
    return e.ci_secondary if _bootstrapped(e) else e.ci


def _method(e: Estimate) -> str:
    return e.secondary if _bootstrapped(e) else e.primary


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "(default)"


def _notes(e: Estimate) -> str:
    found = [*e.notes]
    if e.dropped:
        found.append(f"Left out as collinear: {', '.join(e.dropped)}.")
    return " ".join(note if note.endswith(".") else note + "." for note in found)


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fiscal(day: Any) -> int:
    return int(day.year + (day.month >= 4))
