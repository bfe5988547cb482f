"""The tables and the chart that the addendum on conferences adds to a question's chapter.

Returns are shown as counts of authority-years, never as a list: who returned what could point at
an authority.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.exhibits import _known
from sos_analysis.chapters.fit import OutcomeFit
from sos_analysis.chapters.icpc_fit import IncompleteFit, incomplete, logits
from sos_analysis.chapters.question import _Chapter
from sos_analysis.disclosure import (
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.estimation.binary import BinaryEstimate
from sos_analysis.estimation.estimate import Estimate
from sos_analysis.records.completeness import FAIL, LOOKS, NOT_JUDGED, PASS
from sos_analysis.study import Outcome, Study

#: How each look is put to a reader, and the column with its share.
ASKED = {
    "enquiries_answered": (
        "Section 47 enquiries that say what came of them, per 100",
        "answered_share",
    ),
    "recorded_in_section47": (
        "Conferences dated in the section 47 module, per 100 dated anywhere",
        "module_share",
    ),
    "own_rate": (
        "Conferences (or enquiries, if these say what came of them) per referral, per 100 of what "
        "the authority's other years lead to expect",
        "own_ratio",
    ),
}
SPECIFICATIONS = {"preferred": "Preferred", "original": "Original's"}


_WITH_SAMPLING = "range and CRV3"


class ConferenceExhibits(_Chapter):
    """A question's chapter with the tables and the chart that conferences add."""

    def __init__(
        self,
        spec: ChapterSpec,
        chosen: Mapping[str, Any],
        study: Study,
        outcome: Outcome,
        fits: Mapping[str, OutcomeFit],
    ) -> None:
        super().__init__(spec, chosen, study, outcome, fits)
        self.logit: Mapping[str, Mapping[str, BinaryEstimate]] = {
            definition: logits(found) for definition, found in fits.items()
        }
        self.missing: IncompleteFit = incomplete(study, self.lead, chosen)

    # --- tables ------------------------------------------------------------------------------

    def _table(self, rows: list[dict[str, Any]], **options: Any) -> SafeTable:
        return safe_table(
            [_known(row) for row in rows],
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            **options,
        )

    def logit_table(self) -> SafeTable:
        """The logit's difference beside the linear one."""
        rows = []
        for definition, by in self.logit.items():
            for name, label in SPECIFICATIONS.items():
                e, linear = by[name], getattr(self.fits[definition], name)
                low, high = self.pair(e.ci)
                rows.append(
                    {
                        "definition": definition.capitalize(),
                        "specification": label,
                        "linear": self.shown(linear.att),
                        "value": self.shown(e.ame),
                        "low": low,
                        "high": high,
                        "p": e.p,
                        "jackknife": self.shown(e.se_jackknife),
                        "delta": self.shown(e.se_delta),
                        "dof": e.n_clusters - 1,
                    }
                )
        d = self.decimals
        return self._table(
            rows,
            columns={
                "definition": Column("Definition"),
                "specification": Column("Specification"),
                "linear": Column("Linear model", "", d, signed=True),
                "value": Column("Logit", "", d, signed=True),
                "low": Column("95% from", "", d, signed=True),
                "high": Column("95% to", "", d, signed=True),
                "p": Column("p", "p", 3),
                "jackknife": Column("SE, jackknife", "", d + 1),
                "delta": Column("SE, delta method", "", d + 1),
            },
            estimates=("linear", "value", "low", "high", "p", "jackknife", "delta"),
            residual_dof_column="dof",
            title=f"A logit beside the linear model, {self.unit}",
            caption="Logit: the mean change in the chance of a conference over cases in pilots "
            "after embedding (average marginal effect). Interval and p by the cluster jackknife "
            "with t and one degree of freedom fewer than pilots; the delta method stands for "
            "comparison only.",
        )

    def completeness(self) -> SafeTable:
        """How the returns fare, as numbers of authority-years and spread of the shares."""
        judged = self.missing.judged
        rows = []
        for name in LOOKS:
            asked, column = ASKED[name]
            share = 100 * judged.loc[judged[name] != NOT_JUDGED, column]
            if share.empty:
                continue  # a rule that is off, or does not apply to this definition
            low, middle, high = share.quantile([0.1, 0.5, 0.9])
            status = judged[name].value_counts()
            rows.append(
                {
                    "look": asked,
                    "least": 100 * getattr(self.study.completeness, name),
                    "tenth": low,
                    "middle": middle,
                    "ninetieth": high,
                    "passed": int(status.get(PASS, 0)),
                    "failed": int(status.get(FAIL, 0)),
                    "unjudged": int(status.get(NOT_JUDGED, 0)),
                    "returns": len(share),
                }
            )
        spread = ("tenth", "middle", "ninetieth")
        return self._table(
            rows,
            columns={
                "look": Column("What is looked at"),
                "least": Column("Needed"),
                "tenth": Column("A tenth of returns are below", "", 1),
                "middle": Column("Half are below", "", 1),
                "ninetieth": Column("Nine tenths are below", "", 1),
                "passed": Column("Returns that pass"),
                "failed": Column("Fail"),
                "unjudged": Column("Not judged"),
            },
            category_columns=("least", "passed", "failed", "unjudged"),
            statistics=dict.fromkeys(spread, "returns"),
            authorities=int(judged["la"].nunique()),
            title="How complete the yearly returns of conferences are",
            caption="A return is one authority and year. Needed: declared in the study file before "
            "any estimate. Not judged: too few cases. A return that fails one rule is set aside.",
        )

    def kept(self) -> SafeTable:
        """Who is left on complete returns."""
        who, when = ("Comparators", "Pilots"), ("Before", "After")
        rows = [
            {
                "who": who[row["treated"]],
                "when": when[row["post"]],
                **{name: row[name] for name in ("las", "children", "all", "events", "complete")},
            }
            for row in self.missing.kept.sort_values(
                ["treated", "post"], ascending=[False, True]
            ).to_dict("records")
        ]
        return self._table(
            rows,
            columns={
                "who": Column("Group"),
                "when": Column("Time"),
                "las": Column("Authorities"),
                "events": Column("Cases, all returns"),
                "complete": Column("Cases, complete returns"),
            },
            count_columns=("events", "complete"),
            # What matching drops is a group as well: the table of counts shows all before it.
            parts_of={"complete": "events", "events": "all"},
            children_column="children",
            authorities_column="las",
            within=self.population,
            population="matched",
            title="Cases that rest on complete returns",
            caption="After matching. A case counts as complete if every yearly return that its "
            "window touches is.",
        )

    def variants(self) -> list[dict[str, Any]]:
        """What incomplete returns do to the preferred estimate, a row each."""
        e, m = self.lead.preferred, self.missing
        rows: list[tuple[str, str, float, tuple[float, float], int]] = [
            ("All returns, as recorded", e.primary, e.att, e.ci, e.n_clusters)
        ]
        if m.complete is not None:
            c: Estimate = m.complete
            rows.append(("Complete returns alone", c.primary, c.att, c.ci, c.n_clusters))
        if m.weighted is not None:
            w = m.weighted
            label = "Complete returns, weighted for the missing ones"
            rows.append((label, "CRV3", w.att, w.ci, w.n_clusters))
        if m.bounds is not None:
            b, n = m.bounds, e.n_clusters
            if math.isfinite(b.capped_low):
                ends = (b.capped_low, b.capped_high)
                label = "Range: no more missing than unanswered enquiries"
                rows.append((label, "range", b.recorded, ends, n))
            rows.append(("Range: anything may be missing", "range", b.recorded, (b.low, b.high), n))
            label = "Range: the same, with sampling error"
            rows.append((label, _WITH_SAMPLING, b.recorded, b.ci, n))
        return [
            _known(
                {
                    "label": label,
                    "method": method,
                    "value": self.shown(value),
                    "low": self.shown(low),
                    "high": self.shown(high),
                    "dof": clusters - 1,
                }
            )
            for label, method, value, (low, high), clusters in rows
        ]

    def missing_table(self) -> SafeTable:
        """The variants as numbers."""
        d = self.decimals
        return self._table(
            self.variants(),
            columns={
                "label": Column("Returns used"),
                "method": Column("From and to by"),
                "value": Column("Difference", "", d, signed=True),
                "low": Column("From", "", d, signed=True),
                "high": Column("To", "", d, signed=True),
            },
            estimates=("value", "low", "high"),
            residual_dof_column="dof",
            title=f"What incomplete returns could do to the estimate, {self.unit}",
            caption="Preferred specification. Rows that name a method of inference have 95% "
            "intervals. A range "
            "holds every value the estimate could take, whatever happened in the cases of "
            "incomplete returns that have no conference recorded; its difference is the one as "
            "recorded.",
        )

    def missing_figure(self) -> SafeFigure:
        """The variants as a chart."""
        return safe_figure(
            "estimates",
            [
                {k: row[k] for k in ("label", "value", "low", "high")}
                for row in self.variants()
                if row["method"] != _WITH_SAMPLING  # so wide that the others would be dots
            ],
            title=self._example() + self._moved(),
            subtitle=f"{self.place}. Difference in {self.words.noun}, {self.unit}: 95% intervals, "
            "and ranges of what missing records allow",
            alt=f"Differences in {self.words.noun}: as recorded, on complete returns alone, "
            "weighted, and the ranges that missing records allow. The same numbers stand in the "
            "table below the chart.",
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

    def _moved(self) -> str:
        b = self.missing.bounds
        if b is None:
            return "No return fails the rule for complete enough"
        width = self.shown(b.high - b.low)
        wide = width > self.outcome.minimum_important_difference
        return (
            "What is missing could move the estimate by more than an important difference"
            if wide
            else "What is missing cannot move the estimate by an important difference"
        )
