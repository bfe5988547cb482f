"""Comparators that use a practice model like the programme's: what that does to the estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.secondary import (
    OUTCOMES,
    PLACES,
    Sampled,
    Secondary,
    form,
    hashes,
    known,
    listed,
    sampled,
    sentence,
    spoken,
)
from sos_analysis.checks import FEW_TREATED, CheckResult
from sos_analysis.disclosure import (
    RESIDUAL_DOF,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
)
from sos_analysis.errors import ParameterError
from sos_analysis.estimation.exposure import ExposureEstimate, UseEstimate, exposure_model
from sos_analysis.results import ChapterResult
from sos_analysis.study import Group
from sos_analysis.workspace import truth

__all__ = ["compute", "hashes"]

#: Public figures shown with and without authorities whose inspection reports name the model.
PROXIED = (
    ("rereferral", "re-referrals"),
    ("within_45", "assessments completed in time"),
    ("icpc_per_referral", "conferences per referral"),
)

#: Variants in the order shown: key, label, practice models of comparators left out, strength at
#: which the others' use counts.
VARIANTS: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("all", "All, use ignored", (), 0.0),
    ("without_same", "Without the same model", ("same",), 0.0),
    ("without_any", "Without any use of it", ("same", "partial"), 0.0),
    ("modelled", "All, use counted in full", (), 1.0),
    ("half", "All, use counted at half", (), 0.5),
)


@dataclass(frozen=True)
class Variant:
    """One estimate of one outcome."""

    key: str
    label: str
    of: Sampled
    found: ExposureEstimate

    @property
    def ends(self) -> tuple[float, float]:
        return self.found.ci_crv3 if self.found.test is None else self.found.test.ci

    @property
    def p(self) -> float:
        return math.nan if self.found.test is None else self.found.test.p

    @property
    def dof(self) -> int:
        return self.of.authorities - 1


@dataclass(frozen=True)
class Fitted:
    """All estimates of one outcome, by key of `VARIANTS`, and what comparators' use did."""

    variants: Mapping[str, Variant]
    use: UseEstimate

    @property
    def of(self) -> Sampled:
        return self.variants["all"].of

    @property
    def grows(self) -> bool:
        """Whether the modelled effect is larger than the usual one, to the digits shown."""
        modelled, usual = (
            abs(self.variants[key].found.att) * self.of.outcome.scale for key in ("modelled", "all")
        )
        return round(modelled, PLACES) > round(usual, PLACES)


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter on similar practice models."""
    for name in ("same_share", "partial_share"):
        if not 0 <= chosen[name] <= 1:
            raise ParameterError(
                f"{spec.name}: parameter {name} is {chosen[name]}; give a number from 0 to 1"
            )
    return _PracticeModels(spec, chosen).result()


class _PracticeModels(Secondary):
    """The effect with similar models ignored, left out, and modelled."""

    prefix, finding = "models", "secondary.practice_models"

    def __init__(self, spec: ChapterSpec, chosen: Mapping[str, Any]) -> None:
        super().__init__(spec, chosen)
        self.truth = truth(self.study, chosen["extract"])
        self.model = {a.code: a.practice_model for a in self.study.authorities}
        strength = {"same": chosen["same_share"], "partial": chosen["partial_share"], "none": 0.0}
        pilots = {p.la for p in self.study.pilots}
        self.share = {la: strength[m] for la, m in self.model.items() if la not in pilots}

    @property
    def since(self) -> int | None:
        """First year of comparators' use: as chosen, else where the study plants it."""
        if self.chosen["counts_from_year"]:
            return int(self.chosen["counts_from_year"])
        if self.study.truth is not None and self.study.truth.switches.contaminated:
            begun = self.study.truth.contamination.start
            return begun.year + (begun.month >= 4)
        return None

    def _fitted(self, name: str) -> Fitted:
        """All variants of one outcome; one without any pilot left is not there."""
        full = sampled(self.study, name, self.chosen)
        made: dict[tuple[str, ...], tuple[Sampled, dict[float, ExposureEstimate], UseEstimate]] = {}
        for left_out in dict.fromkeys(out for _, _, out, _ in VARIANTS):
            groups = self._without(full.sample.groups, left_out)
            if not groups:
                continue
            of = full
            if left_out:
                of = sampled(self.study, name, self.chosen, groups, full.cells)
            found, use = exposure_model(
                of.sample.frame,
                self.share,
                of.covariates,
                strengths=[s for _, _, out, s in VARIANTS if out == left_out],
                series=of.series,
                counts_from_year=self.since,
                draws=self.draws,
                seed=self.seed,
            )
            made[left_out] = (of, {e.strength: e for e in found}, use)
        return Fitted(
            {
                key: Variant(key, label, made[out][0], made[out][1][strength])
                for key, label, out, strength in VARIANTS
                if out in made
            },
            made[()][2],
        )

    def _without(self, groups: Sequence[Group], left_out: tuple[str, ...]) -> list[Group]:
        """Groups with the comparators that stay; a pilot that keeps none drops out."""
        kept = []
        for group in groups:
            stay = tuple(la for la in group.comparators if self.model[la] not in left_out)
            if stay:
                kept.append(replace(group, comparators=stay))
        return kept

    # --- claims, tables, chart ---------------------------------------------------------------

    def _claims(self, made: Mapping[str, Fitted]) -> None:
        for name, fitted in made.items():
            outcome = fitted.of.outcome
            for key, v in fitted.variants.items():
                self.claim(f"{name}.{key}.pilots", v.of.pilots, "pilots", origin="design")
                if v.dof < RESIDUAL_DOF:
                    continue  # as in the tables: an estimate on so few authorities is not shown
                self.number(f"{name}.{key}.att", outcome, v.found.att, v.ends)
                self.p(f"{name}.{key}.p", v.p)
            e = fitted.variants["modelled"].found
            self.claim(f"{name}.hidden", 100 * (1 - e.kept), "%", decimals=0)
            self.number(f"{name}.predicted", outcome, e.kept * e.att)
            self.number(f"{name}.use", outcome, fitted.use.estimate, fitted.use.ci)

    def _estimates(self, made: Mapping[str, Fitted]) -> SafeTable:
        rows = []
        for fitted in made.values():
            outcome = fitted.of.outcome
            for v in fitted.variants.values():
                rows.append(
                    {
                        "outcome": f"{outcome.short_label}, {outcome.unit}",
                        "variant": v.label,
                        "pilots": v.of.pilots,
                        "las": v.of.authorities - v.of.pilots,
                        "value": v.found.att * outcome.scale,
                        "low": v.ends[0] * outcome.scale,
                        "high": v.ends[1] * outcome.scale,
                        "p": v.p,
                        "p3": v.found.p_crv3,
                        "dof": v.dof,
                    }
                )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "variant": Column("Comparators"),
                "pilots": Column("Number of pilots"),
                "las": Column("Number of comparators"),
                "value": Column("Effect", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
                "p": Column("p, permutation", "p", 3),
                "p3": Column("p, CRV3", "p", 3),
            },
            "The effect with similar models ignored, left out and counted",
            "Preferred specification. Interval and first p: slot permutation; second p: cluster "
            "jackknife (CRV3). Comparators are matched again where some are left out, and a pilot "
            "that keeps none drops out.",
            estimates=("value", "low", "high", "p", "p3"),
            categories=("las",),
        )

    def _predictions(self, made: Mapping[str, Fitted]) -> SafeTable:
        rows = []
        for fitted in made.values():
            outcome, e, use = fitted.of.outcome, fitted.variants["modelled"].found, fitted.use
            rows.append(
                {
                    "outcome": f"{outcome.short_label}, {outcome.unit}",
                    "pilots": fitted.of.pilots,
                    "hidden": 100 * (1 - e.kept),
                    "predicted": e.kept * e.att * outcome.scale,
                    "usual": fitted.variants["all"].found.att * outcome.scale,
                    "users": use.users,
                    "use": use.estimate * outcome.scale,
                    "low": use.ci[0] * outcome.scale,
                    "high": use.ci[1] * outcome.scale,
                    "dof": fitted.of.authorities - 2,
                }
            )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "hidden": Column("Share of a full effect that use hides", "%", 0),
                "predicted": Column("Effect expected with use ignored", "", PLACES, signed=True),
                "usual": Column("Effect found with use ignored", "", PLACES, signed=True),
                "users": Column("Comparators with any use"),
                "use": Column("Change that goes with their use", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
            },
            "What use in comparators would do, if it worked as it does in pilots",
            "First three columns of numbers: if use counts in full, ignoring it hides that share "
            "of the effect, and leaves the next. Last three: comparators that use similar models "
            "against those of the same pilot that use less. If use worked in full, the change "
            "would be the effect itself. Interval: CRV3.",
            estimates=("hidden", "predicted", "usual", "use", "low", "high"),
            categories=("users",),
        )

    def _figure(self, fitted: Fitted) -> SafeFigure:
        outcome = fitted.of.outcome
        rows = [
            {
                "label": v.label,
                "value": v.found.att * outcome.scale,
                "low": v.ends[0] * outcome.scale,
                "high": v.ends[1] * outcome.scale,
                "dof": v.dof,
            }
            for v in fitted.variants.values()
            if v.dof >= RESIDUAL_DOF
        ]
        title = f"The estimate is {_larger(fitted)} once similar models are counted"
        return safe_figure(
            "estimates",
            [known(row) for row in rows],
            title=f"{'Worked example: ' if self.made_up else ''}{title}",
            subtitle=f"{self.place}. {outcome.label}, {outcome.unit}, by comparators "
            "and how their use of similar models is treated, with 95% intervals. The band is the "
            "smallest difference called important",
            alt=f"Estimates for {spoken(outcome)} with their intervals, one for each way to treat "
            "comparators that use similar practice models. The same numbers stand in the table.",
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            options=FigureOptions(
                measure=f"Effect on {spoken(outcome)}",
                unit=outcome.unit,
                decimals=1,
                mid=outcome.minimum_important_difference,
                lower="lower in pilots",
                higher="higher in pilots",
            ),
            residual_dof_column="dof",
        )

    # --- checks and words --------------------------------------------------------------------

    def _checks(self, made: Mapping[str, Fitted]) -> list[CheckResult]:
        fewest = min(v.of.pilots for fitted in made.values() for v in fitted.variants.values())
        grown = [spoken(fitted.of.outcome) for fitted in made.values() if fitted.grows]
        known_dates = self.since is not None
        return [
            CheckResult(
                "pilots_left",
                "Are there enough pilots where comparators are left out?",
                "pass" if fewest >= FEW_TREATED else "fail",
                f"At the fewest, {fewest} pilots keep a comparator. "
                + (
                    "That is enough for the inference used here."
                    if fewest >= FEW_TREATED
                    else "A change of the estimate there can come from the pilots that dropped out."
                ),
                {"fewest": fewest},
            ),
            CheckResult(
                "direction",
                "Do effects grow when similar models are counted?",
                "info",
                f"The estimate moves away from zero for {len(grown)} of {len(made)} outcomes"
                + (f" ({listed(grown)})." if grown else "."),
                {"grown": len(grown), "outcomes": len(made)},
            ),
            CheckResult(
                "dates",
                "Is it known from when comparators used a similar model?",
                "info",
                "Use counts from the year that is given."
                if known_dates
                else "No: use is counted from the embedding of the pilot that a comparator serves. "
                "If it began earlier, the years before embedding are touched too.",
            ),
        ]

    def _switched_on(self) -> bool | None:
        """Whether made-up comparators really share the effect; None where nobody knows."""
        if self.study.truth is None:
            return None
        return self.study.truth.switches.contaminated

    def result(self) -> ChapterResult:
        """Everything together."""
        made = {name: self._fitted(name) for name in OUTCOMES}
        self._claims(made)
        for model in ("same", "partial", "none"):
            number = sum(self.model[la] == model for la in self.share)
            self.claim(f"comparators_{model}", number, "comparators", origin="design")
        self.claim("same_share", 100 * self.chosen["same_share"], "%", origin="design", decimals=0)
        self.claim(
            "partial_share", 100 * self.chosen["partial_share"], "%", origin="design", decimals=0
        )
        lead = made["kinship"]
        return self.gathered(
            {"estimates": self._estimates(made), "predictions": self._predictions(made)},
            {"effects": self._figure(lead)},
            self._checks(made),
            self._prose(lead),
        )

    def _prose(self, lead: Fitted) -> dict[str, str]:
        outcome, p = lead.of.outcome, self.prefix
        name, label = outcome.name, spoken(outcome)
        usual, full = f"{p}.{name}.all.att", f"{p}.{name}.modelled.att"
        verdict = (
            f"the estimate for {label} is {_larger(lead)} once comparators' use of similar models "
            "is counted"
        )
        answer = (
            f"<strong>{sentence(self.example + verdict)}.</strong> With their use ignored it is "
            f"{{{usual}{form(self.claims, usual)}}}, with their use counted in full "
            f"{{{full}{form(self.claims, full)}}}."
        )
        on, true = self._switched_on(), self.truth.get((name, self.chosen["definition"]))
        if on is not None and true is not None:
            self.number("truth", outcome, true)
            answer += (
                " Here the answer is known: comparators that use similar models share the effect, "
                f"and the true effect in pilots is {{{p}.truth}}."
                if on
                else " Here the answer is known: comparators' use was given no effect, and the "
                f"true effect in pilots is {{{p}.truth}}. So ignoring their use is right, and any "
                "change on counting it is chance or comes from counting what does not act."
            )
        return {
            "published": self.publication(),
            "companion": self._companion(),
            "answer": answer,
            "counted": (
                f"Of the comparators, {{{p}.comparators_same:value}} use the same model, "
                f"{{{p}.comparators_partial:value}} parts of it and "
                f"{{{p}.comparators_none:value}} another or none. We count the same model at "
                f"{{{p}.same_share}} of a pilot's exposure and parts at {{{p}.partial_share}}. "
                "Both are assumptions of ours; the original's coding is not published."
            ),
            "estimates": (
                "A comparator that does as the pilots do moves as they do, and hides part of the "
                "effect. There are two remedies. Leaving such comparators out is simple, and costs "
                "comparators and whole pilots. Counting their use as exposure keeps everyone, and "
                "rests on the assumption that use works alike in both."
            ),
            "predictions": (
                f"For {label}, comparators' use would hide {{{p}.{name}.hidden}} of a full "
                f"effect. An effect as modelled should then appear as {{{p}.{name}.predicted}} "
                f"with use ignored; what was found is {{{usual}}}."
            ),
            "rule_out": (
                "A larger estimate on counting comparators' use fits with use that hides an "
                "effect. It does not show that: the model leans on the comparators that use "
                "little, and chance in those few weighs more. Among comparators of one pilot, "
                "those that use a similar model and those that use less moved apart by "
                f"{{{p}.{name}.use{form(self.claims, f'{p}.{name}.use')}}}. If use worked in full, "
                "that would be the effect itself; where its interval holds both the effect and "
                "zero, these data cannot tell." + self.closing()
            ),
            "analysts": (
                "Exposure is one for pilots after embedding and a comparator's share where it "
                "counts; its coefficient takes the place of treated x post in the preferred "
                "specification, with slot permutation of series that lose the effect times their "
                "own exposure. The effect is identified from differences of exposure inside "
                "matched groups. "
                f"{{{self.claim('draws', self.draws)}}} draws. Set the shares, and the year from "
                "which use counts, in the parameters."
            ),
        }

    def _companion(self) -> str:
        """The second wave with and without authorities whose inspection reports name the model."""
        from sos_analysis.chapters import public

        lead = (
            "<strong>Public statistics.</strong> No public list says which authorities used which "
            "model. Reports of Ofsted inspections name the model in some. "
        )
        said, found = [], public.released()
        for short, noun in PROXIED:
            every, fewer = (public.quoted(short, 2, v, found) for v in ("main", "not_named"))
            if every is None or fewer is None:
                continue
            ids = [
                self.claim(
                    f"companion_{short}_{key}", e.att, "per 100", decimals=1, ends=e.ci,
                    origin="public", source="sos_analysis.companion.estimates",
                )
                for key, e in (("all", every), ("not_named", fewer))
            ]  # fmt: skip
            heading = f"<strong>{noun[:1].upper()}{noun[1:]}.</strong>"
            said.append(
                f"{heading} {{{ids[0]}:full}} against all others, {{{ids[1]}:full}} against those "
                "whose reports do not name it"
            )
        if not said:
            return lead + "The released results hold no comparison by it."
        return (
            f"{lead}The second wave, pilots less others:<br>{'.<br>'.join(said)}.<br>"
            "The sign is noisy: a report that names no model does not say that there is none, one "
            "that names it does not say how much it was used, and authorities without a report are "
            "left out. Use that is marked wrongly pulls the two figures together, so their "
            "nearness does not show that others' use hid nothing."
        )


def _larger(fitted: Fitted) -> str:
    return "larger" if fitted.grows else "no larger"
