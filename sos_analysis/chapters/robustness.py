"""The chapter on robustness: which conclusions move when choices move, all outcomes together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sos_analysis import checks as check
from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.ledger import Ledger, parameters_table
from sos_analysis.chapters.minutes import minute
from sos_analysis.chapters.robust import RobustFit, robust_fit
from sos_analysis.chapters.robust_exhibits import RobustExhibits
from sos_analysis.chapters.threats import threat_checks
from sos_analysis.checks import CheckResult
from sos_analysis.estimation.multiplicity import Adjusted, adjusted
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.study import load_study
from sos_analysis.study.universe import load_universe
from sos_analysis.workspace import extract_folder, extract_hash

#: The family declared beforehand; the addendum makes five.
FAMILY = ("duration", "rereferral", "escalation", "kinship")
LEVEL = check.ALPHA


def hashes(spec: ChapterSpec, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the result rests on: study, declared ways, records, code, parameters."""
    study = load_study(chosen["study"])
    return {
        "study": study.short_hash,
        "universe": load_universe().hash[:12],
        "data": extract_hash(extract_folder(study, chosen["extract"]))[:12],
        "code": code_hash(spec.room),
        "parameters": content_hash(dict(chosen)),
    }


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """All checks of all outcomes."""
    study, universe = load_study(chosen["study"]), load_universe()
    fits = {name: robust_fit(study, name, chosen, universe) for name in spec.outcomes}
    return _Chapter(spec, chosen, study, universe, fits).result()


def family(fits: Mapping[str, RobustFit], names: Sequence[str], seed: int) -> Adjusted:
    """p-values of a family, adjusted for being several."""
    draws = fits[names[0]].preferred.draws
    return adjusted(
        {name: fits[name].threats.grams for name in names},
        {name: fits[name].preferred.p_primary for name in names},
        draws=max(draws, 99),
        seed=seed,
    )


class _Chapter(RobustExhibits):
    """Collects what the chapter says."""

    def __init__(self, spec: ChapterSpec, chosen: Mapping[str, Any], *rest: Any) -> None:
        super().__init__(spec, chosen, *rest)
        seed = chosen["seed"] or self.study.inference.seed
        four = [name for name in FAMILY if name in self.fits]
        self.families = {
            "four": family(self.fits, four, seed),
            "all": family(self.fits, list(self.fits), seed),
        }
        ledger = Ledger(
            "robust",
            spec.name,
            origin=self.origin,
            source="sos_analysis.chapters.robust",
            hashes=hashes(spec, chosen),
        )
        self.claims, self.claim = ledger.claims, ledger.claim

    def told(self, name: str) -> bool:
        """Whether the main analysis tells a difference, by both methods declared."""
        e = self.fits[name].preferred
        return e.p_primary <= LEVEL and not e.inconclusive

    def checks(self) -> tuple[CheckResult, ...]:
        """One check of each kind and outcome; the outcome stands in the title."""
        made: list[CheckResult] = []
        for name, found in self.fits.items():
            e, curve = found.preferred, found.curve
            shown = self.scaled(name)
            sign = math.copysign(1.0, e.att)
            same = curve.estimate * sign > 0
            own = [
                check.specification_curve(
                    len(curve.ways),
                    int(same.sum()),
                    int((same & (curve.p <= LEVEL)).sum()),
                    curve.median.p,
                    e.p_primary,
                    value=shown(e.att),
                )
            ]
            own += threat_checks(
                found.threats,
                e,
                scale=self.study.outcome(name).scale,
                unit=self.unit(name),
                decimals=self.decimals(name),
                mid=self.study.outcome(name).minimum_important_difference,
            )
            label = self.study.outcome(name).short_label
            made += [replace(c, id=f"{c.id}_{name}", title=f"{label}. {c.title}") for c in own]
        return tuple(made)

    def _claims(self) -> None:
        for name, found in self.fits.items():
            e, curve, shown = found.preferred, found.curve, self.scaled(name)
            unit, d = self.unit(name), self.decimals(name)
            ends = tuple(shown(v) for v in e.ci)
            self.claim(
                f"{name}.att", shown(e.att), unit, decimals=d,
                ends=(ends[0], ends[1]) if all(map(math.isfinite, ends)) else None,
                source="sos_analysis.estimation.did.preferred",
            )  # fmt: skip
            self.claim(f"{name}.ways", len(curve.ways))
            same = curve.estimate * math.copysign(1.0, e.att) > 0
            self.claim(f"{name}.same", int(same.sum()))
            told = curve.p <= LEVEL
            self.claim(f"{name}.told_same", int((same & told).sum()))
            self.claim(f"{name}.told", int(told.sum()))
            self.claim(f"{name}.curve_p", curve.median.p, "p", decimals=3)
            self.claim(f"{name}.median", shown(curve.median.value), unit, decimals=d)
            if name in self.families["four"].holm:
                self.claim(f"{name}.holm", self.families["four"].holm[name], "p", decimals=3)
                wolf = self.families["four"].romano_wolf[name]
                self.claim(f"{name}.romano_wolf", wolf, "p", decimals=3)
            if found.missing is not None:
                pooled = found.missing.pooled
                self.claim(
                    f"{name}.imputed", shown(pooled.estimate), unit, decimals=d,
                    ends=(shown(pooled.ci[0]), shown(pooled.ci[1])),
                    source="sos_analysis.estimation.imputation.rubin",
                )  # fmt: skip
            if found.children is not None:
                low, high = (shown(v) for v in found.children.interval)
                self.claim(
                    f"{name}.within_children", shown(found.children.value), unit, decimals=d,
                    ends=(low, high) if math.isfinite(low) and math.isfinite(high) else None,
                    source="sos_analysis.estimation.within_unit.unit_grams",
                )  # fmt: skip
            true = self.truth.get((name, found.definition))
            if true is not None:
                self.claim(
                    f"{name}.truth", shown(true), unit, decimals=d,
                    source="stored potential outcomes of the made-up records",
                )  # fmt: skip
        self.claim("outcomes", len(self.fits), "outcomes", origin="design")
        self.claim("declared", len(self.universe.ways()), "ways", origin="design")
        self.claim("draws", self.universe.draws, origin="design")
        self.claim("tells", sum(map(self.told, self.fits)))
        misses = self._misses()
        if misses is not None:
            self.claim("staggered.misses", misses[0])
            self.claim("staggered.intervals", misses[1], "intervals")

    def _stays(self, name: str) -> bool:
        """A told difference that the curve as one and the correction for several still tell."""
        holm = self.families["all"].holm[name]
        return self.fits[name].curve.median.p <= LEVEL and holm <= LEVEL

    def prose(self) -> dict[str, str]:
        """Sentences with places for claims."""
        told = [name for name in self.fits if self.told(name)]
        quiet = [name for name in self.fits if name not in told]
        parts = []
        if told:
            stays = all(map(self._stays, told))
            lead = "stays" if stays else "does not stay in every respect"
            parts.append(
                f"<strong>The main analysis tells a difference in {{robust.tells}} of "
                f"{{robust.outcomes}}; it {lead} when choices change.</strong>"
            )
            parts += [self._told_sentence(name) for name in told]
        else:
            parts.append(
                "<strong>The main analysis tells a difference in none of {robust.outcomes}."
                "</strong>"
            )
        if quiet:
            parts.append(self._quiet_sentence(quiet))
        if self.made_up:
            parts.append("All this is about made-up records, and not about Signs of Safety.")
        return {
            "answer": " ".join(parts),
            "curve": (
                "An analyst chooses: which comparators, which years, what to adjust for. Each "
                "stroke in the charts is one way to choose, declared before any estimate: "
                "{robust.declared} an outcome, of which a chart shows an even selection. Read from "
                "left to right, from the lowest estimate to the highest; the marks below say what "
                "was chosen. Then authorities are put in each other's places at random, "
                "{robust.draws} times, and all ways are run again. So the curve is judged as one."
            ),
            "family": (
                "With several questions, one will look different by chance more often. Holm's "
                "correction asks nothing of how outcomes hang together. Romano and Wolf's makes "
                "use of it: the same random signs go to an authority in every outcome."
            ),
            "left_out": (
                "Each authority is left out in turn. Only the ends are shown, and no authority is "
                "named. Then the method is tried where nothing can have happened: on an earlier "
                "date, on comparators as if they were pilots, and on what is fixed at birth."
            ),
            "trends": (
                "The method takes pilots and comparators to have moved alike had nothing been "
                "done. That cannot be tested after embedding. What can be said: how far they must "
                "have drifted apart by themselves for a result to fall, and how large a drift the "
                "test of the years before would have missed."
            ),
            "staggered": (
                "Pilots began at different dates. A plain two-way model then compares some pilots "
                "with pilots that had begun before, which can mislead. Other estimators avoid "
                "that. They take authorities by fiscal year and all comparators together, without "
                "matched groups, so they answer a slightly different question. Intervals are by "
                "Student's t with pilots less one degrees of freedom."
                + (
                    " {robust.staggered.misses} of {robust.staggered.intervals} here miss the "
                    "true value; of intervals that hold their promise one in twenty does."
                    if "robust.staggered.misses" in self.claims
                    else ""
                )
            ),
            "missing": (
                "What a record does not state is a category of its own in the main analysis. Here "
                "it is drawn five times from a model of all else, as the original did, and the "
                "results are pooled. For the length of assessments the original also used an "
                "effect for each child. That compares a child with itself, before and after. It "
                "asks about children who come back, which are not all children. It is run in the "
                "engine, from sums over children, and no child leaves it."
            ),
            "analysts": (
                "Preferred specification throughout, by the definition that leads. The curve acts "
                "on means of slots, as the permutation does, so its own value of a named way can "
                "differ a little from the regression on all cells. p of one way: the share of "
                "permutations with a t at least as large; t by errors clustered on authority "
                "(CRV1). The rest of England, authorities neither pilot nor matched, is one "
                "comparator of every pilot. It therefore keeps its place while pilots and matched "
                "authorities change theirs, which is a test of the same hypothesis given the rest. "
                "Ways that leave fewer matched groups than declared are not run and are "
                "counted."
            ),
        }

    def _told_sentence(self, name: str) -> str:
        p = f"robust.{name}"
        truth = ""
        if f"{p}.truth" in self.claims:
            truth = f" The true effect in the made-up records is {{{p}.truth}}."
        family_p = (
            f"; corrected for several outcomes p is {{{p}.holm}} (Holm) and {{{p}.romano_wolf}} "
            "(Romano and Wolf)"
            if f"{p}.holm" in self.claims
            else ""
        )
        return (
            f"{self.study.outcome(name).short_label}: {{{p}.att:full}}. Of {{{p}.ways}} ways to "
            f"run this analysis, {{{p}.same}} point the same way and {{{p}.told_same}} of these "
            f"tell it from no difference by themselves; the curve as one has p = {{{p}.curve_p}}"
            f"{family_p}.{truth}"
        )

    def _quiet_sentence(self, names: list[str]) -> str:
        each = "; ".join(
            f"{_lower_first(self.study.outcome(name).short_label)} {{robust.{name}.told}} of "
            f"{{robust.{name}.ways}}"
            for name in names
        )
        moved = [
            _lower_first(self.study.outcome(name).short_label)
            for name in names
            if self.fits[name].curve.median.p <= LEVEL
        ]
        tail = (
            f" As one, the curve tells a difference for: {', '.join(moved)}."
            if moved
            else " As one, no curve tells a difference."
        )
        planted = [self.truth.get((name, self.fits[name].definition)) for name in names]
        if self.made_up and all(value == 0 for value in planted):
            tail += " None was planted there."
        return f"Where the main analysis tells none, some ways do by themselves: {each}.{tail}"

    def _misses(self) -> tuple[int, int] | None:
        """Intervals of the estimators for staggered dates that miss the planted effect, of all."""
        inside = [
            s.interval[0] <= self.truth[(name, found.definition)] <= s.interval[1]
            for name, found in self.fits.items()
            if found.staggered is not None and (name, found.definition) in self.truth
            for s in found.staggered.estimates
            if all(map(math.isfinite, s.interval))
        ]
        return (inside.count(False), len(inside)) if inside else None

    def result(self) -> ChapterResult:
        """Everything together."""
        self._claims()
        return ChapterResult(
            name=self.spec.name,
            title=self.spec.title,
            origin=self.origin,
            parameters=dict(self.chosen),
            claims=self.claims,
            tables={
                **self.tables(self.families),
                "parameters": parameters_table(self.spec, self.chosen, self.study.disclosure),
            },
            figures={f"curve_{name}": self.curve(name) for name in self.fits},
            checks=self.checks(),
            prose={"minute": minute(self.spec.name, self.made_up), **self.prose()},
            hashes=hashes(self.spec, self.chosen),
        )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
