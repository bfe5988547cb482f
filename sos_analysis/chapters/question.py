"""A question's chapter: answer, who was counted, estimates, event study, checks, what it rules out.

Numbers come from `fit`; this module names them as claims, passes tables and charts through the
guard, and fills the sentences. On made-up data it speaks of the worked example alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from sos_analysis import checks as check
from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.exhibits import DEFINED, Exhibits, interval_of, method_of
from sos_analysis.chapters.fit import OutcomeFit, fit
from sos_analysis.chapters.ledger import Ledger, parameters_table
from sos_analysis.chapters.minutes import minute
from sos_analysis.chapters.rating_checks import rating_checks
from sos_analysis.chapters.reference import finding_claims
from sos_analysis.chapters.threats import threat_checks
from sos_analysis.checks import CheckResult
from sos_analysis.disclosure import safe_count, safe_rate
from sos_analysis.estimation.estimate import Estimate
from sos_analysis.estimation.power import equivalence
from sos_analysis.evidence import Verdict, natural_frequency, verdict
from sos_analysis.facts import published
from sos_analysis.formats import spoken
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.study import DEFINITIONS, Outcome, Study, load_study
from sos_analysis.workspace import extract_folder, extract_hash

PREFIX = {
    "duration": "rq1",
    "rereferral": "rq2",
    "escalation": "rq3",
    "kinship": "rq4",
    "icpc": "icpc",
}


def hashes(spec: ChapterSpec, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What a question's result rests on: study, records, public figures, code, parameters."""
    from sos_analysis.chapters import public

    study = load_study(chosen["study"])
    return {
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, chosen["extract"]))[:12],
        "public": public.data_hash(chosen["public_data"]),
        "code": code_hash(spec.room),
        "parameters": content_hash(dict(chosen)),
    }


def compute(
    spec: ChapterSpec, chosen: Mapping[str, Any], page: type[_Chapter] | None = None
) -> ChapterResult:
    """The chapter of one research question; `page` for one with sections of its own."""
    study = load_study(chosen["study"])
    outcome = study.outcome(spec.outcomes[0])
    fits = {
        d: fit(study, outcome.name, d, chosen, with_threats=d == chosen["definition"])
        for d in DEFINITIONS
    }
    return (page or _Chapter)(spec, chosen, study, outcome, fits).result()


class _Chapter(Exhibits):
    """Collects what one chapter says."""

    def __init__(
        self,
        spec: ChapterSpec,
        chosen: Mapping[str, Any],
        study: Study,
        outcome: Outcome,
        fits: Mapping[str, OutcomeFit],
    ) -> None:
        super().__init__(spec, chosen, study, outcome, fits)
        self.prefix = PREFIX[outcome.name]
        self.hashes = hashes(spec, chosen)
        ledger = Ledger(
            self.prefix,
            spec.name,
            origin=self.origin,
            source="sos_analysis.chapters.question",
            hashes=self.hashes,
        )
        self.claims, self.claim = ledger.claims, ledger.claim

    # --- claims ------------------------------------------------------------------------------

    def _estimate_claims(self) -> None:
        for definition, found in self.fits.items():
            for name, e in (("original", found.original), ("preferred", found.preferred)):
                key = f"{definition}.{name}"
                where = f"sos_analysis.estimation.did.{name}"
                note = f"Interval: {method_of(e)}; {e.ssc}"
                ends = interval_of(e)
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
                note=f"True effect on the treated, by {DEFINED[self.lead.definition]}.",
            )

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
        if self.lead.threats is not None:
            made += threat_checks(
                self.lead.threats,
                e,
                scale=self.outcome.scale,
                unit=self.unit,
                decimals=self.decimals,
                mid=self.outcome.minimum_important_difference,
            )
        if self.lead.sample.cem:
            made.append(check.balance(self.lead.sample.l1_before, self.lead.sample.l1_after))
        if self.outcome.group == "referrals":
            made += filter(None, [self._denominator()])
        made += rating_checks(self.study, self.lead, self.chosen, self.origin)
        true = self.claims.get(f"{self.prefix}.truth")
        if true is not None and all(map(math.isfinite, e.ci)):
            made.append(
                check.covers_truth(*self.pair(e.ci), float(true.value), self.unit, self.decimals)
            )
        return tuple(made)

    def _denominator(self) -> CheckResult | None:
        """Change in the share of referrals closed with no further action, by role.

        From rounded counts, as a table would show it; None where one is too small to show.
        """
        from sos_analysis.workspace import cells_for

        cells = cells_for(
            self.study, self.chosen["extract"], "nfa_share", self.chosen["definition"]
        )
        rules, rate = self.study.disclosure, {}
        for row in cells.margins[cells.margins["margin"] == "phase"].to_dict("records"):
            people = (row["children_with"], row["children_without"])
            shown = safe_rate(
                row["y_sum"], row["events"], rules, people=people, authorities=row["las"]
            )
            if isinstance(shown, str):
                return None
            rate[row["role"], row["phase"]] = round(shown, 1)
        change = {
            role: round(rate[role, "post"] - rate[role, "pre"], 1)
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
        shown = self.claims[f"{p}.{d}.preferred.att"].low is not None
        att = f"{{{p}.{d}.preferred.att:{'full' if shown else 'text'}}}"
        sentence = (
            found.sentence
            if found
            else "The two methods could not both be computed on this sample."
        )
        e = self.lead.preferred
        said = self.claim("sentence", sentence, source="sos_analysis.evidence.verdict")
        answer = f"<strong>{{{said}}}</strong> The preferred specification gives {att}"
        if f"{p}.truth" in self.claims:
            answer += (
                f"; the true effect in the made-up records is {{{p}.truth}}."
                if self.claims[f"{p}.truth"].value
                else "; no effect was planted in the made-up records."
            )
        else:
            answer += "."
        if shown:
            answer += f" {{{self._natural_claim()}}}"
        if found is not None and found.certainty:
            # Ratings are for real records alone.
            why = " ".join(found.reasons)
            answer += f" How sure we are: <strong>{found.certainty}</strong>. {why}"
        return {
            "minute": minute(self.spec.name, self.made_up),
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
                f"{{{self._pre_claim()}}}.{self._missed()}"
            ),
            "rule_out": self._rule_out(found, e),
            "analysts": (
                f"Primary: {e.primary}; secondary: {e.secondary}; {{{p}.draws}} draws. "
                f"{{{self._note_claim(e)}}}"
            ),
        }

    def _natural_claim(self) -> str:
        """The difference as people count: of 100 cases, about so many fewer."""
        e = self.lead.preferred
        value, (low, high) = self.shown(e.att), self.pair(e.ci)
        if self.words.happened:
            text = natural_frequency(
                value, low, high, who=self.words.events, what=self.words.happened
            )
        else:
            told = spoken(value, low, high, self.unit, self.decimals)
            text = f"On average, {self.words.noun} is {told}."
        if self.made_up:
            text = f"In the made-up records: {text[:1].lower()}{text[1:]}"
        return self.claim("natural", text, source="sos_analysis.evidence.natural_frequency")

    def _note_claim(self, e: Estimate) -> str:
        text = f"{e.ssc} {_notes(e)}".strip()
        return self.claim("note", text, source="sos_analysis.estimation.did.preferred")

    def _pre_claim(self) -> str:
        study = self.lead.event_study
        if math.isfinite(study.p_pretrend):
            text = f"{study.test}, p = {study.p_pretrend:.3f}"
        else:
            text = "not possible, too few years before embedding"
        return self.claim("pretrend", text, source="sos_analysis.estimation.event_study")

    def _missed(self) -> str:
        """The power of that test, in words."""
        found = self.lead.threats.trends if self.lead.threats else None
        if found is None:
            return ""
        name = self.claim(
            "missed_drift",
            self.shown(abs(found.missed)),
            self.unit,
            decimals=self.decimals,
            source="sos_analysis.estimation.sensitivity.slope_for_power",
        )
        return f" A steady drift of {{{name}}} a year would be missed half the time."

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

        short, apart = self.words.near
        sentence = public.sentence(short, self.chosen["public_data"])
        name = self.claim("companion", sentence, origin="public", source="public_statistics")
        return f"<strong>Public statistics.</strong> {{{name}}} {apart}"

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
            level = self.claim("level", 100 * check.ALPHA, "%", origin="design")
            lines.append(
                f"An important difference in either direction is ruled out at the {{{level}}} "
                "level."
                if same
                else f"An important difference is not ruled out at the {{{level}}} level."
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
                "parameters": parameters_table(self.spec, self.chosen, self.study.disclosure),
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


def _notes(e: Estimate) -> str:
    found = [*e.notes]
    if e.dropped:
        found.append(f"Left out as collinear: {', '.join(e.dropped)}.")
    text = " ".join(f"{note[:1].upper()}{note[1:].removesuffix('.')}." for note in found)
    return re.sub(r"(\d+) of about (\d\.\d)e\+(\d+)", _spelt, text)


def _spelt(drawn: re.Match[str]) -> str:
    """'9999 of about 6.4e+15' as readers write it: '9,999 of about 6.4 × 10¹⁵'."""
    power = str(int(drawn[3])).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{int(drawn[1]):,} of about {drawn[2]} × 10{power}"
