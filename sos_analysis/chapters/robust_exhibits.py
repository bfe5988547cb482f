"""Tables and charts of the chapter on robustness, each through the guard."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.curve_figure import CHOICE_WORDS, curve_figure, known
from sos_analysis.chapters.robust import RobustFit
from sos_analysis.disclosure import (
    NOT_APPLICABLE,
    NOT_AVAILABLE,
    ORIGINS,
    Column,
    SafeFigure,
    SafeTable,
    safe_rate,
    safe_table,
)
from sos_analysis.estimation.multiplicity import Adjusted
from sos_analysis.study import Study
from sos_analysis.study.universe import Universe
from sos_analysis.workspace import truth


class RobustExhibits:
    """What the chapter shows, in the reader's units."""

    def __init__(
        self,
        spec: ChapterSpec,
        chosen: Mapping[str, Any],
        study: Study,
        universe: Universe,
        fits: Mapping[str, RobustFit],
    ) -> None:
        self.spec, self.chosen, self.study, self.universe = spec, chosen, study, universe
        self.fits = fits
        self.origin = study.origin
        self.truth = truth(study, chosen["extract"])
        self.made_up = study.origin == "synthetic"
        self.source = (
            "Synthetic extract of this project"
            if self.made_up
            else "Individual records held by the Department for Education"
        )
        self.place = ORIGINS["synthetic"] if self.made_up else "England"

    def scaled(self, name: str) -> Callable[[float], float]:
        """From the internal unit of an outcome to the reader's."""
        scale = self.study.outcome(name).scale
        return lambda value: float(value) * scale

    def unit(self, name: str) -> str:
        return self.study.outcome(name).unit

    def decimals(self, name: str) -> int:
        outcome = self.study.outcome(name)
        days = outcome.unit == "working days"
        return 1 if days or outcome.minimum_important_difference >= 2 else 2

    def label(self, name: str) -> str:
        return f"{self.study.outcome(name).short_label}, {self.unit(name)}"

    def _table(
        self, rows: list[dict[str, Any]], columns: dict[str, Column], title: str, caption: str,
        dof: bool = True,
    ) -> SafeTable:  # fmt: skip
        """A table in which every number is of a model."""
        numbers = [
            key for key in columns if any(isinstance(row[key], (int, float)) for row in rows)
        ]
        return safe_table(
            [known(row) for row in rows],
            columns=columns,
            estimates=tuple(numbers),
            residual_dof_column="dof" if dof else None,
            title=title,
            caption=caption,
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
        )

    def tables(self, families: Mapping[str, Adjusted]) -> dict[str, SafeTable]:
        """All tables by name; those without a row are left out."""
        made = {
            "summary": self._summary(families["all"]),
            "choices": self._choices(),
            "curve_tests": self._curve_tests(),
            "family": self._family(families),
            "left_out": self._left_out(),
            "placebos": self._placebos(),
            "trends": self._trends(),
            "staggered": self._staggered(),
            "two_way": self._two_way(),
            "missing": self._missing(),
            "children": self._children(),
        }
        return {name: table for name, table in made.items() if table is not None}

    def _dof(self, name: str) -> int:
        return self.fits[name].preferred.n_clusters - 1

    def _summary(self, family: Adjusted) -> SafeTable:
        rows = []
        for name, found in self.fits.items():
            e, curve, shown = found.preferred, found.curve, self.scaled(name)
            same = curve.estimate * math.copysign(1.0, e.att) > 0
            true = self.truth.get((name, found.definition))
            rows.append(
                {
                    "label": self.label(name),
                    "value": shown(e.att),
                    "low": shown(e.ci[0]),
                    "high": shown(e.ci[1]),
                    "truth": NOT_AVAILABLE if true is None else shown(true),
                    "p": e.p_primary,
                    "same": 100 * float(same.mean()),
                    "told": 100 * float((same & (curve.p <= 0.05)).mean()),
                    "curve": curve.median.p,
                    "holm": family.holm[name],
                    "dof": self._dof(name),
                }
            )
        known = any(not isinstance(row["truth"], str) for row in rows)
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "value": Column("Main estimate", "", 2, signed=True),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
                **({"truth": Column("True value", "", 2, signed=True)} if known else {}),
                "p": Column("p, main", "p", 3),
                "same": Column("Ways in its direction", "%", 0),
                "told": Column("of all, tell it alone", "%", 0),
                "curve": Column("p, all ways as one", "p", 3),
                "holm": Column("p, corrected", "p", 3),
            },
            "What the main analysis says, and whether it stays",
            "Preferred specification; p by permuting authorities. Corrected: Holm, all outcomes of "
            "the table.",
        )

    def _choices(self) -> SafeTable:
        rows = []
        for choice, (heading, answers) in CHOICE_WORDS.items():
            for answer in self.universe.answers[choice]:
                row: dict[str, Any] = {"choice": heading, "answer": answers[answer]}
                for name, found in self.fits.items():
                    mine = found.curve.where(**{choice: answer})
                    middle = float(np.median(found.curve.estimate[mine])) if mine.any() else None
                    row[name] = float("nan") if middle is None else self.scaled(name)(middle)
                row["dof"] = min(map(self._dof, self.fits))
                rows.append(row)
        return self._table(
            rows,
            {
                "choice": Column("Choice"),
                "answer": Column("Answer"),
                **{
                    name: Column(
                        self.study.outcome(name).short_label, self.unit(name), 2, signed=True
                    )
                    for name in self.fits
                },
            },
            "Which choices move the estimate",
            "The middle estimate over all ways that made the choice.",
        )

    def _curve_tests(self) -> SafeTable:
        rows = []
        for name, found in self.fits.items():
            c, shown = found.curve, self.scaled(name)
            quarter, three = np.quantile(c.estimate, [0.25, 0.75])
            rows.append(
                {
                    "label": self.label(name),
                    "ways": float(len(c.ways)),
                    "skipped": float(len(c.skipped)),
                    "median": shown(c.median.value),
                    "from": shown(quarter),
                    "to": shown(three),
                    "p_median": c.median.p,
                    "share": 100 * c.share.value,
                    "p_share": c.share.p,
                    "mean_t": c.mean_t.value,
                    "p_t": c.mean_t.p,
                    "dof": self._dof(name),
                }
            )
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "ways": Column("Ways run"),
                "skipped": Column("Not run"),
                "median": Column("Middle", "", 2, signed=True),
                "from": Column("Half from", "", 2, signed=True),
                "to": Column("Half to", "", 2, signed=True),
                "p_median": Column("p, middle", "p", 3),
                "share": Column("Tell it", "%", 1),
                "p_share": Column("p, share", "p", 3),
                "mean_t": Column("Mean t", "", 2, signed=True),
                "p_t": Column("p, mean t", "p", 3),
            },
            "All ways judged as one",
            "Tell it: ways with the sign of the middle estimate and p of at most 0.05. Every p "
            "here is by permuting authorities in all ways at once.",
        )

    def _family(self, families: Mapping[str, Adjusted]) -> SafeTable:
        rows = []
        for name, found in self.fits.items():
            row = {
                "label": self.study.outcome(name).short_label,
                "p": found.preferred.p_primary,
                "p_wild": families["all"].p_wild[name],
                "dof": self._dof(name),
            }
            for key, family in families.items():
                row[f"holm_{key}"] = family.holm.get(name, NOT_APPLICABLE)
                row[f"wolf_{key}"] = family.romano_wolf.get(name, NOT_APPLICABLE)
            rows.append(row)
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "p": Column("p, permutation", "p", 3),
                "holm_four": Column("Holm, four", "p", 3),
                "holm_all": Column("Holm, with conferences", "p", 3),
                "p_wild": Column("p, bootstrap", "p", 3),
                "wolf_four": Column("Romano and Wolf, four", "p", 3),
                "wolf_all": Column("Romano and Wolf, with conferences", "p", 3),
            },
            "p-values, corrected for several outcomes",
            "Holm acts on the permutation's p, Romano and Wolf on the wild bootstrap's (WCR-31).",
        )

    def _left_out(self) -> SafeTable:
        rows = []
        for name, found in self.fits.items():
            shown = self.scaled(name)
            row: dict[str, Any] = {"label": self.label(name), "value": shown(found.preferred.att)}
            for key, values in (
                ("pilot", found.threats.without_pilot),
                ("other", found.threats.without_comparator),
            ):
                ends = (min(values), max(values)) if values else (math.nan, math.nan)
                row[f"{key}_from"], row[f"{key}_to"] = (shown(v) for v in ends)
            # With one left out there is one authority fewer.
            rows.append({**row, "dof": self._dof(name) - 1})
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "value": Column("With all", "", 2, signed=True),
                "pilot_from": Column("Without one pilot, from", "", 2, signed=True),
                "pilot_to": Column("Without one pilot, to", "", 2, signed=True),
                "other_from": Column("Without one comparator, from", "", 2, signed=True),
                "other_to": Column("Without one comparator, to", "", 2, signed=True),
            },
            "One authority left out at a time",
            "The ends over all authorities; none is named.",
        )

    def _placebos(self) -> SafeTable | None:
        rows = [
            {
                "label": self.study.outcome(name).short_label,
                "test": p.label + (", per 100" if p.label.startswith("Share") else f", {unit}"),
                "value": scale * p.value,
                "low": scale * p.interval[0],
                "high": scale * p.interval[1],
                "p": p.p,
                "dof": self._dof(name),
            }
            for name, found in self.fits.items()
            for unit in [self.unit(name)]
            for p in found.placebos
            for scale in [100 if p.label.startswith("Share") else self.study.outcome(name).scale]
        ]
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "test": Column("Where nothing can have happened"),
                "value": Column("Difference", "", 2, signed=True),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
                "p": Column("p, permutation", "p", 3),
            },
            "Placebos: what the method finds where there is nothing to find",
            "One in twenty lies below 0.05 by chance. Shares of boys and of White children: among "
            "the cases that the outcome counts, without matching. Intervals: CRV3 and t.",
        )

    def _trends(self) -> SafeTable | None:
        rows = []
        for name, found in self.fits.items():
            t, shown = found.threats.trends, self.scaled(name)
            if t is None:
                continue
            once = next(
                ((low, high) for m, low, high in t.bounds if m == 1.0), (math.nan, math.nan)
            )
            rows.append(
                {
                    "label": self.label(name),
                    "value": shown(t.estimate),
                    "low": shown(t.interval[0]),
                    "high": shown(t.interval[1]),
                    "once_low": shown(once[0]),
                    "once_high": shown(once[1]),
                    "breakdown": t.breakdown if math.isfinite(t.breakdown) else "over ten",
                    "slope": shown(t.breakdown_slope),
                    "missed": shown(t.missed),
                    "largest": shown(t.largest),
                    "dof": self._dof(name),
                }
            )
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "value": Column("First years after", "", 2, signed=True),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
                "once_low": Column("Departures as before, from", "", 2, signed=True),
                "once_high": Column("Departures as before, to", "", 2, signed=True),
                "breakdown": Column("Breakdown, multiple", "", 1),
                "slope": Column("Breakdown, slope", "", 2),
                "missed": Column("Drift missed half the time", "", 2),
                "largest": Column("Early differences below", "", 2),
            },
            "If trends were not parallel",
            "Mean of up to two years after embedding against the last year before it: less precise "
            "than the main estimate, which uses all years. Departures as before: after embedding "
            "as large as the largest change from year to year before it (Rambachan and Roth). "
            "Breakdown: smallest departure with which no difference is not ruled out; none at all "
            "where it is zero. Drift: a year, that the test of early differences would miss half "
            "the time. Errors: CRV3, widened to Student's t.",
        )

    def _staggered(self) -> SafeTable | None:
        rows = []
        for name, found in self.fits.items():
            if found.staggered is None:
                continue
            e, shown = found.preferred, self.scaled(name)
            own = [("Matched groups, stacked (main)", e.att, e.ci, e.p_primary)]
            own += [(s.label, s.value, s.interval, s.p) for s in found.staggered.estimates]
            rows += [
                {
                    "label": self.label(name),
                    "estimator": label,
                    "value": shown(value),
                    "low": shown(ends[0]),
                    "high": shown(ends[1]),
                    "p": p if math.isfinite(p) else NOT_APPLICABLE,
                    "dof": self._dof(name),
                }
                for label, value, ends, p in own
            ]
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "estimator": Column("Estimator"),
                "value": Column("Difference", "", 2, signed=True),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
                "p": Column("p, permutation", "p", 3),
            },
            "Estimators for staggered dates, side by side",
            "Errors: cluster jackknife (two-way, synthetic: weights held fixed), else each "
            "estimator's own, clustered on authority: with few pilots these tend to be too small. "
            "p: slot permutation (main), else dates dealt anew to authorities.",
        )

    def _two_way(self) -> SafeTable | None:
        rows = [
            {
                "label": self.study.outcome(name).short_label,
                "forbidden": 100 * found.staggered.forbidden,
                "negative": abs(100 * found.staggered.negative),
                "cells": float(found.staggered.cells),
                "dof": self._dof(name),
            }
            for name, found in self.fits.items()
            if found.staggered is not None
        ]
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "forbidden": Column("Comparisons with pilots begun before", "%", 1),
                "negative": Column("Negative weight", "%", 1),
                "cells": Column("Authority-years with it"),
            },
            "What the two-way estimate is an average of",
            "Goodman-Bacon's weights, where every authority has cases in every year (embedding "
            "years count as before there); de Chaisemartin and D'Haultfoeuille's weights.",
        )

    def _missing(self) -> SafeTable | None:
        rows = []
        for name, found in self.fits.items():
            if found.missing is None:
                continue
            e, pooled, shown = found.preferred, found.missing.pooled, self.scaled(name)
            low, high = (shown(v) for v in pooled.ci)
            rows.append(
                {
                    "label": self.label(name),
                    # A share of cases, so by the rules of counts, not of models.
                    "gap": safe_rate(
                        max(found.missing.gaps.values()),
                        found.missing.cases,
                        self.study.disclosure,
                    ),
                    "value": shown(e.att),
                    "se": shown(e.se_crv3),
                    "pooled": shown(pooled.estimate),
                    "pooled_se": shown(pooled.se),
                    "low": low,
                    "high": high,
                    "df": pooled.df,
                    "share": 100 * pooled.share,
                    "dof": self._dof(name),
                }
            )
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "gap": Column("Without an answer", "%", 1),
                "value": Column("As a category", "", 2, signed=True),
                "se": Column("SE", "", 2),
                "pooled": Column("Imputed", "", 2, signed=True),
                "pooled_se": Column("SE, imputed", "", 2),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
                "df": Column("df", "", 1),
                "share": Column("Due to gaps", "%", 2),
            },
            "Missing answers: a category of their own, or five imputations",
            "Without an answer: share of cases, of the covariate that lacks most. SE: "
            "cluster jackknife. df: Barnard and Rubin's. Due to gaps: share of the variance.",
        )

    def _children(self) -> SafeTable | None:
        rows = [
            {
                "label": self.label(name),
                "value": self.scaled(name)(found.preferred.att),
                "se": self.scaled(name)(found.preferred.se_crv3),
                "within": self.scaled(name)(found.children.value),
                "within_se": self.scaled(name)(found.children.se),
                "crv1": self.scaled(name)(found.children.se_crv1),
                "low": self.scaled(name)(found.children.interval[0]),
                "high": self.scaled(name)(found.children.interval[1]),
                "dof": self._dof(name),
            }
            for name, found in self.fits.items()
            if found.children is not None
        ]
        if not rows:
            return None
        return self._table(
            rows,
            {
                "label": Column("Outcome"),
                "value": Column("Main", "", 2, signed=True),
                "se": Column("SE", "", 2),
                "within": Column("Within children", "", 2, signed=True),
                "within_se": Column("SE, jackknife", "", 2),
                "crv1": Column("SE, CRV1", "", 2),
                "low": Column("95% from", "", 2, signed=True),
                "high": Column("95% to", "", 2, signed=True),
            },
            "An effect for each child",
            "Child by group and group by period effects, every case alike. Only children with "
            "cases in several years around embedding count, once in each group. Errors clustered "
            "on authority; intervals by Student's t with pilots less one degrees of freedom.",
        )

    def curve(self, name: str) -> SafeFigure:
        """The specification curve of one outcome."""
        return curve_figure(
            self.fits[name].curve,
            self.universe,
            self.study,
            name,
            place=self.place,
            source=self.source,
            decimals=self.decimals(name),
        )
