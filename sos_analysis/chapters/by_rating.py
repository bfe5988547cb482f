"""Do effects differ by the Ofsted rating a pilot had before it embedded the approach?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.public_split import quoted_split
from sos_analysis.chapters.secondary import (
    PLACES,
    Sampled,
    form,
    hashes,
    listed,
    multiplicity,
    same_side,
    sentence,
    spoken,
)
from sos_analysis.chapters.subgroups import Split, Subgroups
from sos_analysis.checks import CheckResult
from sos_analysis.disclosure import Column, SafeTable
from sos_analysis.errors import StudyError
from sos_analysis.estimation.did import preferred_grams
from sos_analysis.estimation.estimate import Interval
from sos_analysis.estimation.frames import cell_table
from sos_analysis.estimation.grams import crv3, fit
from sos_analysis.estimation.heterogeneity import (
    FEWEST,
    group_effects,
)
from sos_analysis.estimation.inference import t_test
from sos_analysis.results import ChapterResult

__all__ = ["compute", "hashes"]


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter by rating."""
    return _Rating(spec, chosen).result()


class _Rating(Subgroups):
    """By the rating published before embedding began."""

    prefix, finding = "rating", "secondary.ofsted"
    first, second = "requires improvement or inadequate", "good or outstanding"

    def __init__(self, spec: ChapterSpec, chosen: Mapping[str, Any]) -> None:
        super().__init__(spec, chosen)
        self.rating = {p.la: self._before(p.la, p.embedding_start) for p in self.study.pilots}
        self.labels = {la: self._group(rating) for la, rating in self.rating.items()}

    def _before(self, la: str, start: date) -> str:
        found = self.study.authority(la).ofsted_at(start - timedelta(days=1))
        if found is None:
            raise StudyError(
                f"{self.study.path.name}: authority {la} has no Ofsted judgement before {start}, "
                "the start of embedding; add it under authorities[].ofsted."
            )
        return found

    def _group(self, rating: str) -> str:
        return self.second if rating in ("good", "outstanding") else self.first

    def _carried(self, la: str, year: int) -> float:
        """1 where the rating carried to a year is good or better: forward, then back."""
        authority = self.study.authority(la)
        rating = authority.ofsted_at(date(year, 3, 31)) or authority.ofsted[0][1]
        return float(self._group(rating) == self.second)

    def carried(self, of: Sampled) -> tuple[float, Interval]:
        """The original's way: the rating of each year, which may move after embedding."""

        keys = of.sample.frame[["la", "year"]].astype({"la": str}).drop_duplicates()
        keys["good"] = [
            self._carried(la, y) for la, y in zip(keys["la"], keys["year"], strict=True)
        ]
        frame = of.sample.frame.assign(la=of.sample.frame["la"].astype(str)).merge(
            keys, on=["la", "year"], how="left"
        )
        table = cell_table(frame, of.covariates, ["good"])
        good = table.numeric["good"]
        columns = np.stack([table.exposure * good, table.exposure], axis=1)
        grams = preferred_grams(table, effects=(["difference", "effect"], columns))
        value, se = float(fit(grams).beta[0]), float(np.sqrt(crv3(grams)[0, 0]))
        return value, t_test(value, se, len(table.treated_las) - 2)[1]

    def _carried_table(self, splits: Mapping[str, Split]) -> SafeTable:
        rows = []
        for name, split in splits.items():
            outcome = split.of.outcome
            value, ends = self.carried(split.of)
            self.number(f"{name}.carried", outcome, value, ends)
            rows.append(
                {
                    "outcome": f"{outcome.short_label}, {outcome.unit}",
                    "pilots": split.of.pilots,
                    "before": split.difference.estimate * outcome.scale,
                    "value": value * outcome.scale,
                    "low": ends[0] * outcome.scale,
                    "high": ends[1] * outcome.scale,
                    "dof": split.of.authorities - 2,
                }
            )
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "before": Column("Rating before embedding", "", PLACES, signed=True),
                "value": Column("Rating of each year", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
            },
            "The same difference with the rating of each year instead",
            "As the original carried ratings: forward from each judgement, and back from the "
            "first. The rating itself stands in the regression too. Interval: CRV3 with two "
            "degrees of freedom fewer than pilots.",
            estimates=("before", "value", "low", "high"),
        )

    def _moved(self) -> CheckResult:
        moved = 0
        for pilot in self.study.pilots:
            authority = self.study.authority(pilot.la)
            after = authority.ofsted_at(self.study.data_end)
            moved += after is not None and self._group(after) != self.labels[pilot.la]
        self.claim("moved", moved, "pilots", origin="design")
        return CheckResult(
            "ratings_moved",
            "Did ratings change after embedding began?",
            "info",
            f"{moved} of {len(self.study.pilots)} pilots had crossed the line between the two "
            "groups by the end of the data. A later rating may be an effect of the programme, so "
            "pilots are grouped by the rating before it.",
            {"moved": moved, "pilots": len(self.study.pilots)},
        )

    def _one_out(self, splits: Mapping[str, Split]) -> list[CheckResult]:
        split = splits.get("kinship")
        if split is None:
            return []
        return self.hangs_on_one(split, self.in_second, split.difference.labels.ci)

    def result(self) -> ChapterResult:
        """Everything together."""
        splits = self.splits()
        adjusted = self.difference_claims(splits)
        labelled = self.labelled(adjusted)
        for key, label in (("first", self.first), ("second", self.second)):
            number = sum(v == label for v in self.labels.values())
            self.claim(f"pilots_{key}", number, "pilots", origin="design")
        levels = {r: list(self.rating.values()).count(r) for r in sorted(set(self.rating.values()))}
        tables = {
            "groups": self.groups_table(splits),
            "differences": self.differences_table(
                splits, adjusted, f"Pilots rated {self.second} less the others"
            ),
            "carried": self._carried_table(splits),
        }
        finer = self._three(splits, levels)
        if finer is not None:
            tables["ratings"] = finer
        checks = [
            self.sizes_check(splits),
            multiplicity(labelled, "difference between the groups"),
            same_side(
                self.labelled(
                    {
                        n: (s.difference.labels.p, s.difference.slots.p)
                        for n, s in splits.items()
                        if s.difference.slots is not None
                    }
                )
            ),
            self._moved(),
            *self._one_out(splits),
            *self.recovery(splits),
        ]
        return self.gathered(
            tables, {"contrast": self._figure(splits, adjusted)}, checks,
            self._prose(splits, adjusted, levels),
        )  # fmt: skip

    def _three(self, splits: Mapping[str, Split], levels: Mapping[str, int]) -> SafeTable | None:
        """Effects by each single rating, where more than two ratings have enough pilots."""
        if sum(n >= FEWEST for n in levels.values()) < 3:
            return None
        rows = []
        for split in splits.values():
            outcome = split.of.outcome
            found = group_effects(
                split.effects, self.rating, series=split.of.series, draws=self.draws, seed=self.seed
            )
            rows += [
                {
                    "outcome": f"{outcome.short_label}, {outcome.unit}",
                    "group": group.label.capitalize(),
                    "pilots": group.treated,
                    "value": group.att * outcome.scale,
                    "low": group.test.ci[0] * outcome.scale,
                    "high": group.test.ci[1] * outcome.scale,
                    "p": group.test.p,
                    "dof": split.of.authorities - len(levels),
                }
                for group in found
            ]
        return self.table(
            rows,
            {
                "outcome": Column("Outcome"),
                "group": Column("Rating before embedding"),
                "pilots": Column("Number of pilots"),
                "value": Column("Difference", "", PLACES, signed=True),
                "low": Column("95% from", "", PLACES, signed=True),
                "high": Column("95% to", "", PLACES, signed=True),
                "p": Column("p, permutation", "p", 3),
            },
            "Pilots against their comparators, by single rating",
            "Only ratings that enough pilots had. Not part of the declared contrast.",
            estimates=("value", "low", "high", "p"),
        )

    def _figure(self, splits: Mapping[str, Split], adjusted: Mapping[str, float]) -> Any:
        named = self.named(adjusted)
        return self.important(
            [(s.of, s.difference.estimate, s.difference.labels.ci) for s in splits.values()],
            title=f"The two groups of pilots differ for {listed(named)}"
            if named
            else "No clear difference between better and worse rated pilots",
            subtitle=f"Effect in pilots rated {self.second} before embedding, less the effect in "
            "the other pilots",
            measure="Difference between the groups",
            alt="One difference between the two groups of pilots for each outcome, with its "
            "interval. The same numbers, in each outcome's own unit, stand in the table of "
            "differences.",
            sides=("lower if better rated", "higher"),
        )  # fmt: skip

    def _prose(
        self,
        splits: Mapping[str, Split],
        adjusted: Mapping[str, float],
        levels: Mapping[str, int],
    ) -> dict[str, str]:
        p, named = self.prefix, self.named(adjusted)
        lead = "kinship" if "kinship" in splits else next(iter(splits))
        verdict = (
            f"the two groups of pilots differ for {listed(named)}, even after allowing for "
            "the number of outcomes"
            if named
            else "no outcome shows a difference between better and worse rated pilots that would "
            "hold up to the number of outcomes tested"
        )
        label = spoken(splits[lead].of.outcome)
        true = self.true_slope(splits[lead], self.in_second)
        answer = (
            f"<strong>{sentence(self.example + verdict)}.</strong> For {label}, the effect in "
            f"pilots rated {self.second} less that in the others is "
            f"{{{p}.{lead}.difference{form(self.claims, f'{p}.{lead}.difference')}}}, p = "
            f"{{{p}.{lead}.difference_p}}"
        )
        if true is not None:
            self.number("truth", splits[lead].of.outcome, true)
            answer += f"; the true difference in the made-up records is {{{p}.truth}}"
        absent = [r for r in ("inadequate", "requires improvement", "good", "outstanding")
                  if r not in levels]  # fmt: skip
        return {
            "published": self.publication(),
            "companion": quoted_split(self.ledger)
            or "<strong>Public statistics.</strong> The released results hold no split by rating.",
            "answer": f"{answer}. With {{{p}.pilots_first}} in one group and "
            f"{{{p}.pilots_second}} in the other, this can raise a question and not settle one.",
            "counted": (
                "A pilot's rating is the latest one that Ofsted had published before the pilot "
                "began to embed the approach; a later one may already be moved by it. Before "
                "looking at results the ratings were merged to two groups: "
                f"{{{p}.pilots_second}} rated {self.second}, {{{p}.pilots_first}} rated "
                f"{self.first}."
                + (f" No pilot was then rated {' or '.join(absent)}." if absent else "")
                + " An outcome that leaves a pilot out has smaller groups; the table gives them."
            ),
            "groups": (
                "An effect that passes a test in one group and not in the other is no evidence "
                "that the groups differ: the smaller group is simply vaguer. The difference itself "
                "is tested in the next table."
            ),
            "differences": (
                "If the rating made no difference, the pilots' effects could be dealt to the "
                "groups in any way. The p-value counts how often dealing them at random gives a "
                "difference as clear as the one seen."
            ),
            "carried": (
                f"{{{p}.moved}} crossed the line between the groups after embedding began. The "
                "original let the rating follow each year, so that such pilots change group on "
                "the way, for reasons the programme may have a part in. Shown for comparison."
            ),
            "rule_out": self._rule_out(splits) + self.closing(),
            "analysts": (
                "Effects by group come from one regression of the preferred specification with an "
                "effect for each group. Primary test of the difference: label permutation, "
                "studentised; secondary: slot permutation of the interaction. "
                f"{{{self.claim('draws', self.draws)}}} draws where not all ways were listed. "
                "Groups with fewer than "
                f"{{{self.claim('fewest', FEWEST, origin='design')}}} pilots are not shown."
            ),
        }

    def _rule_out(self, splits: Mapping[str, Split]) -> str:
        wide = [
            spoken(s.of.outcome)
            for s in splits.values()
            if s.difference.mde * s.of.outcome.scale > s.of.outcome.minimum_important_difference
        ]
        text = (
            "For each outcome, differences outside the interval in the table are hard to square "
            "with these data."
        )
        if wide:
            which = "every outcome" if len(wide) == len(splits) else listed(wide)
            text += (
                " The last column gives what the design could see: for "
                f"{which} only differences larger than the smallest one we call important. "
                "So a difference that matters may be there and not be seen."
            )
        return text
