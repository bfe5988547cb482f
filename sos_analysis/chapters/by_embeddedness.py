"""Do effects differ by how well the approach was embedded?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.secondary import (
    PLACES,
    form,
    hashes,
    listed,
    multiplicity,
    same_side,
    sentence,
    spoken,
)
from sos_analysis.chapters.subgroups import Split, Subgroups
from sos_analysis.checks import ALPHA, CheckResult, covers_truth
from sos_analysis.disclosure import Column, SafeTable
from sos_analysis.estimation.heterogeneity import Moderation, moderation
from sos_analysis.estimation.multiplicity import holm
from sos_analysis.results import ChapterResult
from sos_analysis.study import Outcome

__all__ = ["compute", "hashes"]

#: A dose is a score from 0 to 1; slopes are told for a tenth of it.
TENTH = 0.1


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter by embeddedness."""
    return _Embeddedness(spec, chosen).result()


class _Embeddedness(Subgroups):
    """By the delivery score of each pilot."""

    prefix, finding = "embed", "secondary.embeddedness"
    first, second = "less embedded", "better embedded"

    def __init__(self, spec: ChapterSpec, chosen: Mapping[str, Any]) -> None:
        super().__init__(spec, chosen)
        self.score = {p.la: p.delivery_score for p in self.study.pilots}
        self.middle = median(self.score.values())
        self.labels = {
            la: self.second if score > self.middle else self.first
            for la, score in self.score.items()
        }

    def slopes(self, splits: Mapping[str, Split]) -> dict[str, Moderation]:
        return {
            name: moderation(
                s.effects, self.score, series=s.of.series, draws=self.draws, seed=self.seed
            )
            for name, s in splits.items()
        }  # fmt: skip

    def _slope_claims(
        self, slopes: Mapping[str, Moderation], splits: Mapping[str, Split]
    ) -> dict[str, float]:
        adjusted = dict(zip(slopes, holm([m.labels.p for m in slopes.values()]), strict=True))
        for name, m in slopes.items():
            outcome = splits[name].of.outcome
            note = "A tenth of the delivery score."
            self.number(f"{name}.slope", outcome, m.estimate, m.labels.ci, by=TENTH, note=note)
            self.number(f"{name}.slope_mde", outcome, m.mde, by=TENTH, note=note)
            self.p(f"{name}.slope_p", m.labels.p)
            self.p(f"{name}.slope_p_holm", adjusted[name])
            self.p(f"{name}.slope_p_smallest", m.labels.smallest_p)
            if m.slots is not None:
                self.p(f"{name}.slope_p_slots", m.slots.p)
        return adjusted

    def _slopes_table(
        self,
        slopes: Mapping[str, Moderation],
        splits: Mapping[str, Split],
        adjusted: Mapping[str, float],
    ) -> SafeTable:
        rows = []
        for name, m in slopes.items():
            outcome = splits[name].of.outcome
            scale = outcome.scale * TENTH
            rows.append(
                {
                    "outcome": f"{outcome.short_label}, {outcome.unit}",
                    "pilots": m.treated,
                    "value": m.estimate * scale,
                    "low": m.labels.ci[0] * scale,
                    "high": m.labels.ci[1] * scale,
                    "p": m.labels.p,
                    "holm": adjusted[name],
                    "slots": m.slots.p if m.slots else math.nan,
                    "mde": m.mde * scale,
                    "dof": splits[name].of.authorities - 2,
                }
            )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "pilots": Column("Number of pilots"),
                "value": Column("Change for a tenth of the score", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
                "p": Column("p", "p", 3),
                "holm": Column("p for all outcomes together", "p", 3),
                "slots": Column("p, second method", "p", 3),
                "mde": Column("Found four times in five", "", PLACES),
            },
            "How the effect changes with the delivery score",
            "Interval and p: the scores are permuted over the pilots' own effects. 'Together' "
            "allows for the number of outcomes (Holm). Second method: permutation of series over "
            "the design. Last column: the smallest true change that would be found four times in "
            "five (from CRV3).",
            estimates=("value", "low", "high", "p", "holm", "slots", "mde"),
        )

    def result(self) -> ChapterResult:
        """Everything together."""
        splits = self.splits()
        slopes = self.slopes(splits)
        adjusted = self._slope_claims(slopes, splits)
        by_group = self.difference_claims(splits)
        for key, label in (("first", self.first), ("second", self.second)):
            number = sum(v == label for v in self.labels.values())
            self.claim(f"pilots_{key}", number, "pilots", origin="design")
        checks = [
            self.sizes_check(splits),
            multiplicity(self.labelled(adjusted), "dose-response"),
            same_side(
                self.labelled(
                    {n: (m.labels.p, m.slots.p) for n, m in slopes.items() if m.slots is not None}
                )
            ),
            *self._kinship_checks(slopes, splits),
        ]
        tables = {
            "slopes": self._slopes_table(slopes, splits, adjusted),
            "groups": self.groups_table(splits),
            "differences": self.differences_table(
                splits, by_group, "Better embedded pilots less the others"
            ),
        }
        return self.gathered(
            tables,
            {"dose_response": self._figure(slopes, splits, adjusted)},
            checks,
            self._prose(slopes, splits, adjusted),
        )

    def _kinship_checks(
        self, slopes: Mapping[str, Moderation], splits: Mapping[str, Split]
    ) -> list[CheckResult]:
        if "kinship" not in slopes:
            return []

        split, ends = splits["kinship"], slopes["kinship"].labels.ci
        steady = self.hangs_on_one(split, self.score, ends, TENTH)
        true = self.true_slope(split, self.score)
        if true is None or not all(map(math.isfinite, ends)):
            return steady
        outcome = split.of.outcome
        low, high = (end * outcome.scale * TENTH for end in ends)
        planted = true * outcome.scale * TENTH
        return [*steady, covers_truth(low, high, planted, outcome.unit, PLACES)]

    def _figure(
        self,
        slopes: Mapping[str, Moderation],
        splits: Mapping[str, Split],
        adjusted: Mapping[str, float],
    ) -> Any:
        named = self.named(adjusted)
        return self.important(
            [(splits[n].of, m.estimate, m.labels.ci) for n, m in slopes.items()],
            title=f"The effect changes with the delivery score for {listed(named)}"
            if named
            else "No clear change of the effect with the delivery score",
            subtitle="Change of the effect for a tenth of the delivery score",
            measure="Change for a tenth of the score",
            alt="One slope for each outcome, with its interval. The same numbers, in each "
            "outcome's own unit, stand in the first table.",
            sides=("lower if better embedded", "higher"),
            by=TENTH,
        )

    def _prose(
        self,
        slopes: Mapping[str, Moderation],
        splits: Mapping[str, Split],
        adjusted: Mapping[str, float],
    ) -> dict[str, str]:
        p, named = self.prefix, self.named(adjusted)
        lead = "kinship" if "kinship" in slopes else next(iter(slopes))
        of, m = splits[lead].of, slopes[lead]
        label = spoken(of.outcome)
        verdict = (
            f"the effect changes with how well the approach was embedded, for {listed(named)}"
            if named
            else "there is no clear sign that the effect changes with how well the approach was "
            "embedded"
        )
        slope = f"{p}.{lead}.slope"
        answer = (
            f"<strong>{sentence(self.example + verdict)}.</strong> For {label} the effect changes "
            f"by {{{slope}{form(self.claims, slope)}}} for each tenth of the score, p = "
            f"{{{slope}_p}}"
        )
        true = self.true_slope(splits[lead], self.score)
        if true is not None:
            self.number("truth", of.outcome, true, by=TENTH)
            answer += f"; the true change in the made-up records is {{{p}.truth}}"
        return {
            "published": self.publication(),
            "answer": f"{answer}. A null here is weak evidence: see what it can and cannot rule "
            "out.",
            "counted": (
                "Each pilot has one score for the quality of its delivery, from poor to as "
                "intended. "
                + (
                    "Scores in the worked example are made up; how the original scored delivery is "
                    "not published. "
                    if self.made_up
                    else ""
                )
                + f"Before looking at results the pilots were split at the middle score: "
                f"{{{p}.pilots_second}} above it, {{{p}.pilots_first}} at or below it. A chart of "
                "single pilots is not shown: it would point at authorities."
            ),
            "slopes": (
                "A negative change means that the outcome falls more, or rises less, where the "
                "approach was better embedded. The p-value counts how often dealing the scores to "
                "the pilots at random gives a change as clear as the one seen."
            ),
            "groups": (
                "The same question with two groups instead of the score itself. It uses less of "
                "the score, and does not rest on a straight line."
            ),
            "rule_out": self._rule_out(lead, of.outcome, m) + self.closing(),
            "analysts": (
                "The slope is that of one regression of the preferred specification with the "
                "score times treatment. Primary: label permutation of the scores over the pilots, "
                "studentised, interval by inversion; secondary: slot permutation of the "
                f"interaction. {{{self.claim('draws', self.draws)}}} draws where not all orders "
                f"were listed. Correlation of scores with ratings before embedding is not removed."
            ),
        }

    def _rule_out(self, lead: str, outcome: Outcome, m: Moderation) -> str:
        p, label = self.prefix, spoken(outcome)
        span = max(self.score.values()) - min(self.score.values())
        text = (
            f"For {label}, this design would find a change of {{{p}.{lead}.slope_mde}} for each "
            "tenth of the score four times in five."
        )
        ends = m.labels.ci
        if all(map(math.isfinite, ends)):
            widest = max(abs(end) for end in ends) * span
            self.number("widest", outcome, widest, note="Between lowest and highest score.")
            text += (
                f" The interval still allows effects that differ by up to {{{p}.widest}} between "
                "the pilot with the lowest and the one with the highest score."
            )
            beyond = widest * outcome.scale > outcome.minimum_important_difference
            if beyond and m.labels.p >= ALPHA:
                text += (
                    " So quality of delivery may matter a good deal and not show: finding no "
                    "change among so few pilots does not mean that embedding is unimportant."
                )
        return text + (
            " Nor would a change mean that better delivery caused it: pilots that deliver well "
            "may differ in other ways."
        )
