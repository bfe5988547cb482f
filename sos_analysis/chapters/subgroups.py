"""Two groups of pilots, named beforehand: the effect in each, and their difference, tested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sos_analysis.chapters.secondary import (
    OUTCOMES,
    PLACES,
    Sampled,
    Secondary,
    sampled,
    spoken,
)
from sos_analysis.checks import ALPHA, FEW_TREATED, CheckResult, covers_truth, leave_one_out
from sos_analysis.disclosure import Column, SafeTable
from sos_analysis.errors import StudyError
from sos_analysis.estimation.estimate import Interval
from sos_analysis.estimation.heterogeneity import (
    FEWEST,
    GroupEffect,
    Moderation,
    TreatedEffects,
    group_effects,
    moderation,
    slope,
    treated_effects,
)
from sos_analysis.estimation.multiplicity import holm


@dataclass(frozen=True)
class Split:
    """One outcome's effects in two groups of pilots, and their difference (second less first)."""

    of: Sampled
    effects: TreatedEffects
    groups: tuple[GroupEffect, ...]
    difference: Moderation


class Subgroups(Secondary):
    """Two groups of pilots, named beforehand."""

    first: str
    second: str
    labels: Mapping[str, str]

    def split(self, name: str) -> Split | None:
        """Effects by group; None where fewer than three pilots of either group are left."""
        of = sampled(self.study, name, self.chosen)
        sizes = [
            sum(self.labels[g.pilot] == label for g in of.sample.groups)
            for label in (self.first, self.second)
        ]
        if min(sizes) < FEWEST:
            return None
        effects = treated_effects(of.sample.frame, of.covariates)
        common: dict[str, Any] = {"series": of.series, "draws": self.draws, "seed": self.seed}
        return Split(
            of,
            effects,
            group_effects(effects, self.labels, **common),
            moderation(effects, self.in_second, **common),
        )

    def splits(self) -> dict[str, Split]:
        made = {name: self.split(name) for name in OUTCOMES}
        found = {name: split for name, split in made.items() if split is not None}
        if not found:
            raise StudyError(
                f"{self.study.path.name}: for no outcome are there {FEWEST} pilots in each of the "
                f"groups '{self.first}' and '{self.second}'; the analysis needs that many."
            )
        return found

    def difference_claims(self, splits: Mapping[str, Split]) -> dict[str, float]:
        """Claims on groups and differences; gives the Holm-adjusted p by outcome."""
        adjusted = dict(
            zip(splits, holm([s.difference.labels.p for s in splits.values()]), strict=True)
        )
        for name, split in splits.items():
            outcome, d = split.of.outcome, split.difference
            for key, group in zip(("first", "second"), self.pair(split), strict=True):
                self.number(f"{name}.{key}.att", outcome, group.att, group.test.ci)
                self.p(f"{name}.{key}.p", group.test.p)
                self.claim(f"{name}.{key}.pilots", group.treated, "pilots", origin="design")
            self.number(f"{name}.difference", outcome, d.estimate, d.labels.ci)
            self.number(f"{name}.difference_mde", outcome, d.mde)
            self.p(f"{name}.difference_p", d.labels.p)
            self.p(f"{name}.difference_p_holm", adjusted[name])
            self.p(f"{name}.difference_p_smallest", d.labels.smallest_p)
            if d.slots is not None:
                self.p(f"{name}.difference_p_slots", d.slots.p)
        return adjusted

    def pair(self, split: Split) -> tuple[GroupEffect, GroupEffect]:
        by = {g.label: g for g in split.groups}
        return by[self.first], by[self.second]

    def groups_table(self, splits: Mapping[str, Split]) -> SafeTable:
        """Effects by group with their sizes."""
        rows = []
        for split in splits.values():
            outcome = split.of.outcome
            for group in self.pair(split):
                rows.append(
                    {
                        "outcome": f"{outcome.short_label}, {outcome.unit}",
                        "group": group.label.capitalize(),
                        "pilots": group.treated,
                        "las": group.clusters,
                        "ways": math.comb(group.clusters, group.treated),
                        "value": group.att * outcome.scale,
                        "low": group.test.ci[0] * outcome.scale,
                        "high": group.test.ci[1] * outcome.scale,
                        "p": group.test.p,
                        "least": group.test.smallest_p,
                        "p3": group.p_crv3,
                        "dof": split.of.authorities - 2,
                    }
                )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "group": Column("Pilots"),
                "pilots": Column("Number of pilots"),
                "las": Column("Authorities compared"),
                "ways": Column("Ways to choose the pilots", align="right"),
                "value": Column("Difference", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
                "p": Column("p, permutation", "p", 3),
                "least": Column("Smallest p possible", "p", 4),
                "p3": Column("p, CRV3", "p", 3),
            },
            "Pilots against their comparators, by group of pilots",
            "Preferred specification. Interval and first p: studentised permutation of series over "
            "the places of the group's own matched groups. Second p: cluster jackknife (CRV3) with "
            "one degree of freedom fewer than pilots. The bootstrap is not shown: with so few "
            "pilots it hardly ever finds anything.",
            estimates=("value", "low", "high", "p", "least", "p3"),
            categories=("las", "ways"),
        )

    def differences_table(
        self, splits: Mapping[str, Split], adjusted: Mapping[str, float], title: str
    ) -> SafeTable:
        """Differences between the two groups, tested."""
        rows = []
        for name, split in splits.items():
            outcome, d = split.of.outcome, split.difference
            rows.append(
                {
                    "outcome": f"{outcome.short_label}, {outcome.unit}",
                    "pilots": d.treated,
                    "value": d.estimate * outcome.scale,
                    "low": d.labels.ci[0] * outcome.scale,
                    "high": d.labels.ci[1] * outcome.scale,
                    "p": d.labels.p,
                    "holm": adjusted[name],
                    "least": d.labels.smallest_p,
                    "slots": d.slots.p if d.slots else math.nan,
                    "mde": d.mde * outcome.scale,
                    "dof": split.of.authorities - 2,
                }
            )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "value": Column("Difference between groups", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
                "p": Column("p", "p", 3),
                "holm": Column("p for all outcomes together", "p", 3),
                "least": Column("Smallest p possible", "p", 3),
                "slots": Column("p, second method", "p", 3),
                "mde": Column("Found four times in five", "", PLACES),
            },
            title,
            "Interval and p: which pilots belong to which group is permuted over the pilots' own "
            "effects, in every way there is or in as many draws as declared. 'Together' allows for "
            "the number of outcomes (Holm). Second method: permutation of series over the design, "
            "under one effect for all pilots. Last column: the smallest true difference that "
            "would be found four times in five (from CRV3).",
            estimates=("value", "low", "high", "p", "holm", "least", "slots", "mde"),
        )

    def sizes_check(self, splits: Mapping[str, Split]) -> CheckResult:
        """The refusal to read much into a few authorities."""
        sizes = [g.treated for s in splits.values() for g in self.pair(s)]
        few = min(sizes) < FEW_TREATED
        return CheckResult(
            "group_sizes",
            "Are the groups large enough?",
            "fail" if few else "pass",
            f"The smallest group has {min(sizes)} pilots and the largest {max(sizes)}. "
            + (
                "With so few, one authority can make or hide a difference: these results may "
                "raise a question and cannot settle it."
                if few
                else "The inference used here is built for that few."
            ),
            {"smallest": min(sizes), "largest": max(sizes)},
        )

    def recovery(self, splits: Mapping[str, Split], name: str = "kinship") -> list[CheckResult]:
        """Made-up data: does the interval hold the difference that was planted?"""
        split = splits.get(name)
        if split is None:
            return []
        outcome, d = split.of.outcome, split.difference
        true = self.true_slope(split, self.in_second)
        if true is None or not all(map(math.isfinite, d.labels.ci)):
            return []

        low, high = (end * outcome.scale for end in d.labels.ci)
        return [covers_truth(low, high, true * outcome.scale, outcome.unit, PLACES)]

    def hangs_on_one(
        self, split: Split, z: Mapping[str, float], ends: Interval, by: float = 1.0
    ) -> list[CheckResult]:
        """Does a difference, or a slope, hang on one pilot? No pilot is named."""
        found, scale = split.effects, split.of.outcome.scale * by
        left = [slope(found, z, without=(la,)) * scale for la in found.las]
        if not all(map(math.isfinite, [*left, *ends])):
            return []
        unit = f"{split.of.outcome.unit}, {spoken(split.of.outcome)}"
        half = (ends[1] - ends[0]) * scale / 2
        return [leave_one_out(slope(found, z) * scale, left, unit, PLACES, half_width=half)]

    def true_slope(self, split: Split, z: Mapping[str, float]) -> float | None:
        """What the regression would give without noise, from the effects planted in each pilot."""
        sizes = [self.planted(split.of.outcome.name, self.pilot_of[la]) for la in split.effects.las]
        if any(size is None for size in sizes):
            return None
        return slope(replace(split.effects, effect=np.array(sizes, dtype=float)), z)

    @property
    def in_second(self) -> dict[str, float]:
        """1 for pilots of the second group, 0 for the others."""
        return {la: float(label == self.second) for la, label in self.labels.items()}

    def named(self, adjusted: Mapping[str, float]) -> list[str]:
        return [spoken(self.study.outcome(n)) for n, p in adjusted.items() if p < ALPHA]

    def labelled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {spoken(self.study.outcome(n)): v for n, v in values.items()}
