"""The addendum on conferences: the question's chapter, a logit, and what incomplete returns do.

Dates of conferences are incomplete in some returns. So the page says by which rule a return is
complete enough, what the complete part says, and how far the missing part could move the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sos_analysis import checks as check
from sos_analysis.chapters import ChapterSpec, question
from sos_analysis.chapters.exhibits import _first_upper
from sos_analysis.chapters.icpc_exhibits import ConferenceExhibits
from sos_analysis.chapters.question import hashes
from sos_analysis.checks import CheckResult
from sos_analysis.errors import ClaimError
from sos_analysis.estimation.estimate import Estimate
from sos_analysis.evidence import Verdict
from sos_analysis.records.completeness import LOOKS
from sos_analysis.results import ChapterResult

__all__ = ["compute", "hashes"]

#: What public statistics hold on conferences, by the companion's short names.
PUBLIC = ("icpc", "icpc_per_referral")


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter on conferences."""
    return question.compute(spec, chosen, page=_Conferences)


class _Conferences(ConferenceExhibits):
    """What the page says, and the numbers it says it with."""

    # --- claims ------------------------------------------------------------------------------

    def _estimate_claims(self) -> None:
        super()._estimate_claims()
        for definition, by in self.logit.items():
            for name, e in by.items():
                if math.isfinite(e.ame):
                    self._difference(
                        f"{definition}.logit_{name}",
                        e.ame,
                        e.ci,
                        "sos_analysis.estimation.binary",
                        "Average marginal effect of a logit; interval by the linearised cluster "
                        "jackknife.",
                    )
        where = "sos_analysis.estimation.incomplete"
        if self.missing.complete is not None:
            c = self.missing.complete
            self._difference("complete.att", c.att, c.ci, "sos_analysis.estimation.did", "")
        if self.missing.weighted is not None:
            w = self.missing.weighted
            self._difference("weighted.att", w.att, w.ci, where, "Interval by CRV3.")
        b = self.missing.bounds
        if b is not None:
            self._difference("bounds.worst", b.recorded, (b.low, b.high), where, "A range.")
            self._difference("bounds.sampling", b.recorded, b.ci, where, "A range with sampling.")
            self._difference("bounds.all_had", b.all_had, None, where, "")
            if math.isfinite(b.capped_low):
                ends = (b.capped_low, b.capped_high)
                self._difference("bounds.capped", b.recorded, ends, where, "A range.")
        self._return_claims()

    def _difference(
        self, name: str, value: float, ends: tuple[float, float] | None, source: str, note: str
    ) -> None:
        known = ends is not None and all(map(math.isfinite, ends))
        self.claim(
            name,
            self.shown(value),
            self.unit,
            ends=self.pair(ends) if known and ends is not None else None,
            decimals=self.decimals,
            source=source,
            note=note,
        )

    def _return_claims(self) -> None:
        where = "sos_analysis.records.completeness"
        judged = self.missing.judged
        self.claim("returns.all", len(judged), "yearly returns", source=where)
        self.claim(
            "returns.failed", int((~judged["complete"]).sum()), "yearly returns", source=where
        )
        self.claim("returns.lost_groups", self.missing.lost, source=where)
        for name in LOOKS:
            self.claim(
                f"rule.{name}",
                100 * getattr(self.study.completeness, name),
                "per 100",
                origin="design",
                source=f"study file {self.study.path.name}",
                note=self.study.completeness.reason,
            )
        if self.missing.bounds is not None:
            share = 100 * self.missing.bounds.share_unsure
            self.claim("returns.unsure", share, "per 100", decimals=1, source=where)

    # --- checks ------------------------------------------------------------------------------

    def checks(self) -> tuple[CheckResult, ...]:
        """Those of every question, the completeness of the returns and what gaps could do."""
        kept = self.missing.kept.set_index(["treated", "post"])
        share = (100 * kept["complete"] / kept["events"]).to_dict()
        made = [
            *super().checks(),
            check.complete_returns(
                self.missing.share,
                share[1, 1] - share[1, 0],
                share[0, 1] - share[0, 0],
            ),
        ]
        if self.missing.bounds is not None:
            low, high = self.pair((self.missing.bounds.low, self.missing.bounds.high))
            mid = self.outcome.minimum_important_difference
            made.append(check.bounds_width(low, high, mid, self.unit, self.decimals))
        return tuple(made)

    # --- words -------------------------------------------------------------------------------

    def prose(self, found: Verdict | None) -> dict[str, str]:
        """Sentences of every question, and those on the logit and the returns."""
        return {
            **super().prose(found),
            "logit": self._logit_words(),
            "completeness": self._returns_words(),
            "complete": self._complete_words(),
            "bounds": self._bounds_words(),
        }

    def _companion(self) -> str:
        from sos_analysis.chapters import public

        said = []
        for short in PUBLIC:
            try:
                text = public.sentence(short, self.chosen["public_data"])
            except ClaimError:  # the companion does not hold this figure
                continue
            name = f"companion_{short}"
            said.append(
                f"{{{self.claim(name, text, origin='public', source='public_statistics')}}}"
            )
        if not said:
            return super()._companion()
        return (
            f"<strong>Public statistics.</strong> {' '.join(said)} {self._first_wave()}These "
            "figures count every conference an authority reports in a year, whenever the referral "
            "was made; they are real evidence, but not the outcome of this chapter."
        )

    def _first_wave(self) -> str:
        """What the figures of the first wave give, from the released results."""
        from sos_analysis.chapters import public

        said, released = [], None if self.chosen["public_data"] else public.released()
        for short, of in (("icpc_per_referral", "referrals"), ("icpc", "children")):
            found = None if released is None else public.quoted(short, 1, found=released)
            if found is None:
                continue
            unit = "per 100" if of == "referrals" else "per 10,000"
            name = self.claim(
                f"companion_{short}_wave1", found.att, unit, decimals=1, ends=found.ci,
                origin="public", source="sos_analysis.companion.estimates",
            )  # fmt: skip
            said.append(f"by {of}, {{{name}:full}}")
        if not said:
            return ""
        return (
            f"For the first wave the difference in conferences is, {' and, '.join(said)}; an "
            "interval that takes in zero fits with a fall, a rise and neither. "
        )

    def _logit_words(self) -> str:
        d = self.lead.definition
        e = self.logit[d]["preferred"]
        why = (
            "Conferences follow few referrals, and a straight line can send a small chance below "
            "zero. So the same columns are fitted by a logit as well, read as a difference "
            f"{self.unit} cases in pilots after embedding. "
        )
        if not math.isfinite(e.ame):
            return why + _first_upper("; ".join(e.notes)) + "."
        p = self.prefix
        said = f"{why}It gives {{{p}.{d}.logit_preferred:full}}"
        gap = abs(self.shown(e.ame - self.lead.preferred.att))
        near = gap <= self.outcome.minimum_important_difference / 2
        return said + (
            ", close to the linear model: the choice between the two does not matter here."
            if near
            else ", some way from the linear model: with different starting levels, equal changes "
            "in points and equal changes in odds are different things."
        )

    def _returns_words(self) -> str:
        p = self.prefix
        rule = (
            "A yearly return is complete enough if, of its section 47 enquiries, at least "
            f"{{{p}.rule.enquiries_answered}} say what came of them, if at least "
            f"{{{p}.rule.recorded_in_section47}} of conferences dated anywhere are dated in the "
            "section 47 module (for the original's definition, which reads no other), and if there "
            f"are at least {{{p}.rule.own_rate}} of the conferences, or of the enquiries that say "
            "why there were fewer, that the authority's other years lead to expect. The rule was "
            "declared before any estimate. "
        )
        if self.missing.bounds is None:
            return rule + f"None of {{{p}.returns.all}} fails it."
        return rule + (
            f"Of {{{p}.returns.all}}, {{{p}.returns.failed:value}} fail it; "
            f"{{{p}.returns.unsure}} cases rest on them."
        )

    def _complete_words(self) -> str:
        p = self.prefix
        said = []
        if self.missing.complete is None:
            said.append("On complete returns alone there is no estimate.")
        else:
            lost = (
                f"Matched groups that drop out because a role has no complete return left: "
                f"{{{p}.returns.lost_groups}}."
                if self.missing.lost
                else "No matched group drops out."
            )
            said.append(
                f"On complete returns alone the estimate is {{{p}.complete.att:full}}. {lost}"
            )
        if self.missing.weighted is not None:
            said.append(
                "If the chance of a complete return depends only on the size of the authority, "
                "the year and whether it is a pilot, complete returns can stand in for missing "
                f"ones: weighted so, the estimate is {{{p}.weighted.att:full}}."
            )
        # Nothing missing needs no word on why nothing was weighted.
        if self.missing.bounds is not None:
            said += self.missing.notes
        return " ".join(said)

    def _bounds_words(self) -> str:
        p, b = self.prefix, self.missing.bounds
        if b is None:
            return "No return is set aside, so there is nothing to bound."
        said = (
            "Recorded conferences are taken as true; cases of incomplete returns without one may "
            f"have had one. If none had, the estimate is {{{p}.bounds.worst}}; if all had, "
            f"{{{p}.bounds.all_had}}. Over every pattern of what is missing it lies within "
            f"{{{p}.bounds.worst:interval}}."
        )
        if f"{p}.bounds.capped" in self.claims:
            said += (
                " If an authority can lack no more conferences than it has enquiries without an "
                f"answer, it lies within {{{p}.bounds.capped:interval}}."
            )
        return said

    def _rule_out(self, found: Verdict | None, e: Estimate) -> str:
        b, p = self.missing.bounds, self.prefix
        said = super()._rule_out(found, e)
        if b is None:
            return said
        sign = b.low > 0 or b.high < 0
        words = (
            "Missing records alone could not turn the sign of the estimate."
            if sign
            else "Missing records alone could turn the sign of the estimate: their range "
            f"({{{p}.bounds.worst:interval}}) takes in both falls and rises."
        )
        return f"{words} {said}"

    def result(self) -> ChapterResult:
        """Everything together."""
        made = super().result()
        return replace(
            made,
            tables={
                **made.tables,
                "logit": self.logit_table(),
                "completeness": self.completeness(),
                "kept": self.kept(),
                "missing": self.missing_table(),
            },
            figures={**made.figures, "missing_range": self.missing_figure()},
        )
