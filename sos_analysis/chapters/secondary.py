"""What the chapters on secondary analyses share: samples of all outcomes, and their exhibits.

They look at every outcome at once, so units differ from row to row. Tables give each row its own
unit; charts show multiples of the smallest difference called important.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sos_analysis.chapters import ChapterSpec
from sos_analysis.chapters.fit import drawn
from sos_analysis.chapters.ledger import Ledger, parameters_table
from sos_analysis.chapters.minutes import minute
from sos_analysis.chapters.reference import finding_claims
from sos_analysis.checks import ALPHA, CheckResult
from sos_analysis.comparison import MatchedSample, Series, matched, series
from sos_analysis.disclosure import (
    NOT_AVAILABLE,
    ORIGINS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.facts import published
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.study import Group, Outcome, Pilot, Study, load_study
from sos_analysis.workspace import cells_for, extract_folder, extract_hash

if TYPE_CHECKING:
    from sos_analysis.cells import Cells

#: The original's four outcomes and its addendum, in the order of the report.
OUTCOMES = ("duration", "rereferral", "escalation", "kinship", "icpc")
#: Decimals of estimates: escalation is rare, and differs in the second place.
PLACES = 2


@dataclass(frozen=True)
class Sampled:
    """One outcome's matched sample and the series of its authorities."""

    outcome: Outcome
    cells: Cells
    sample: MatchedSample
    series: Series
    covariates: tuple[str, ...]

    @property
    def pilots(self) -> int:
        return len(self.sample.groups)

    @property
    def authorities(self) -> int:
        return len({la for g in self.sample.groups for la in (g.pilot, *g.comparators)})


def hashes(spec: ChapterSpec, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What a secondary analysis rests on: study, records, public figures, code, parameters."""
    from sos_analysis.chapters import public

    study = load_study(chosen["study"])
    return {
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, chosen["extract"]))[:12],
        "public": public.data_hash(""),
        "code": code_hash(spec.room),
        "parameters": content_hash(dict(chosen)),
    }


def sampled(
    study: Study,
    name: str,
    chosen: Mapping[str, Any],
    groups: Sequence[Group] | None = None,
    cells: Cells | None = None,
) -> Sampled:
    """Matched sample and series of an outcome, with all its groups or those given.

    `cells`: the outcome's, where they are at hand.
    """
    outcome = study.outcome(name)
    if cells is None:
        cells = cells_for(study, chosen["extract"], name, chosen["definition"])
    sample = matched(cells, study, name, cem=chosen["cem"], groups=groups, thin_groups="drop")
    wanted = outcome.model_covariates if chosen["covariates"] else ()
    covariates = tuple(c for c in wanted if c in cells.covariates)
    placed = series(cells, study, name, sample=sample, adjust=covariates)
    return Sampled(outcome, cells, sample, placed, covariates)


class Secondary:
    """Collects what a chapter on a secondary analysis says."""

    #: First part of claim ids, and the id of the published finding on the same question.
    prefix: str
    finding: str

    def __init__(self, spec: ChapterSpec, chosen: Mapping[str, Any]) -> None:
        self.spec, self.chosen = spec, chosen
        self.study = load_study(chosen["study"])
        self.draws, self.seed = drawn(self.study, chosen)
        self.hashes = hashes(spec, chosen)
        self.origin = self.study.origin
        self.made_up = self.origin == "synthetic"
        self.example = "In the worked example, " if self.made_up else ""
        self.place = ORIGINS["synthetic"] if self.made_up else "England"
        self.source = (
            "Synthetic extract of this project"
            if self.made_up
            else "Individual records held by the Department for Education"
        )
        ledger = Ledger(
            self.prefix,
            spec.name,
            origin=self.origin,
            source=f"sos_analysis.chapters.{spec.room}",
            hashes=self.hashes,
        )
        self.ledger = ledger
        self.claims, self.claim = ledger.claims, ledger.claim
        self.pilot_of = {p.la: p for p in self.study.pilots}

    # --- numbers -----------------------------------------------------------------------------

    def number(
        self,
        name: str,
        outcome: Outcome,
        value: float,
        ends: tuple[float, float] | None = None,
        *,
        by: float = 1.0,
        note: str = "",
    ) -> str:
        """Claim an effect in the outcome's display unit; not made where it is not finite."""
        scale = outcome.scale * by
        shown = None if ends is None else (ends[0] * scale, ends[1] * scale)
        if shown is not None and not all(map(math.isfinite, shown)):
            shown = None
        if not math.isfinite(value):
            return self.claim(name, NOT_AVAILABLE, note=note)
        return self.claim(name, value * scale, outcome.unit, ends=shown, decimals=PLACES, note=note)

    def p(self, name: str, value: float, note: str = "") -> str:
        """Claim a p-value."""
        if not math.isfinite(value):
            return self.claim(name, NOT_AVAILABLE, note=note)
        return self.claim(name, value, "p", decimals=3, note=note)

    def planted(self, outcome: str, pilot: Pilot) -> float | None:
        """Effect planted in a pilot on made-up data, by the original's definition."""
        truth = self.study.truth
        if truth is None or self.chosen["definition"] != "original":
            return None
        rating = self.study.authority(pilot.la).ofsted_at(pilot.embedding_start)
        return truth.size(outcome, rating, pilot.delivery_score)

    # --- exhibits ----------------------------------------------------------------------------

    def table(
        self,
        rows: Iterable[Mapping[str, Any]],
        columns: Mapping[str, Column],
        title: str,
        caption: str,
        *,
        estimates: Sequence[str],
        categories: Sequence[str] = (),
    ) -> SafeTable:
        """Rows with `pilots` and `dof`; numbers that could not be computed are marked."""
        return safe_table(
            [known(row) for row in rows],
            columns=columns,
            title=title,
            caption=caption,
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            estimates=tuple(k for k in estimates if k in columns),
            category_columns=tuple(categories),
            authorities_column="pilots",
            residual_dof_column="dof",
        )

    def important(
        self,
        rows: Iterable[tuple[Sampled, float, tuple[float, float]]],
        *,
        title: str,
        subtitle: str,
        measure: str,
        alt: str,
        sides: tuple[str, str],
        by: float = 1.0,
    ) -> SafeFigure:
        """Differences of all outcomes on one axis, in multiples of the smallest important one."""
        shown = []
        for of, value, ends in rows:
            outcome = of.outcome
            scale = outcome.scale * by / outcome.minimum_important_difference
            shown.append(
                {
                    "label": outcome.short_label,
                    "value": value * scale,
                    "low": ends[0] * scale,
                    "high": ends[1] * scale,
                    "dof": of.authorities - 2,
                }
            )
        return safe_figure(
            "estimates",
            [known(row) for row in shown],
            title=f"{'Worked example: ' if self.made_up else ''}{title}",
            subtitle=f"{self.place}. {subtitle}, in multiples of the smallest difference called "
            "important, with 95% intervals. The band marks that smallest difference",
            alt=alt,
            source=self.source,
            origin=self.origin,
            rules=self.study.disclosure,
            options=FigureOptions(
                measure=measure,
                unit="multiple",
                decimals=1,
                mid=1.0,
                lower=sides[0],
                higher=sides[1],
            ),
            residual_dof_column="dof",
        )

    def publication(self) -> str:
        """The published verdict on the same question, and what was not published."""
        found = published().finding(self.finding)
        for claim in finding_claims(f"{self.prefix}.published", found):
            self.claims[claim.id] = claim
        return (
            f"<strong>Published evaluation.</strong> {{{self.prefix}.published.statement}} "
            f"Not published where we could read it: {', '.join(found.unknown)}."
        )

    def closing(self) -> str:
        return (
            " All this is about the made-up records, and not about Signs of Safety."
            if self.made_up
            else ""
        )

    def gathered(
        self,
        tables: Mapping[str, SafeTable],
        figures: Mapping[str, SafeFigure],
        checks: Sequence[CheckResult],
        prose: Mapping[str, str],
    ) -> ChapterResult:
        """Everything together."""
        parameters = parameters_table(self.spec, self.chosen, self.study.disclosure)
        return ChapterResult(
            name=self.spec.name,
            title=self.spec.title,
            origin=self.origin,
            parameters=dict(self.chosen),
            claims=self.claims,
            tables={**tables, "parameters": parameters},
            figures=dict(figures),
            checks=tuple(checks),
            prose={"minute": minute(self.spec.name, self.made_up), **prose},
            hashes=self.hashes,
        )


def known(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in which a number that could not be computed is marked 'not available'."""
    return {
        key: NOT_AVAILABLE if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def multiplicity(adjusted: Mapping[str, float], what: str) -> CheckResult:
    """Which outcomes are left after allowing for their number (Holm)."""
    tested = {k: p for k, p in adjusted.items() if math.isfinite(p)}
    left = [k for k, p in tested.items() if p < ALPHA]
    words = f"the {what} stands out for {listed(left)}" if left else f"no {what} stands out"
    return CheckResult(
        "multiplicity",
        "Were several outcomes tested?",
        "info",
        f"{len(tested)} outcomes were tested. After allowing for their number, {words} "
        f"(smallest adjusted p = {min(tested.values(), default=1.0):.3f}).",
        {"tested": len(tested), "left": len(left)},
    )


def same_side(pairs: Mapping[str, tuple[float, float]]) -> CheckResult:
    """Do the two permutations fall on the same side of 0.05 for every outcome?"""
    apart = [k for k, (a, b) in pairs.items() if (a < ALPHA) != (b < ALPHA)]
    words = (
        f"lead to different readings for {listed(apart)}, which counts as too uncertain to tell"
        if apart
        else "lead to the same reading for every outcome"
    )
    return CheckResult(
        "agreement",
        "Do the two methods of inference agree?",
        "fail" if apart else "pass",
        f"Permuting labels over pilots, and permuting series over the design, {words}.",
        {"outcomes": len(pairs), "apart": len(apart)},
    )


def spoken(outcome: Outcome) -> str:
    """The outcome's short name inside a sentence."""
    return outcome.short_label[:1].lower() + outcome.short_label[1:]


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def form(claims: Mapping[str, Any], id: str) -> str:
    """':full' where the claim has an interval to show."""
    return ":full" if claims[id].low is not None else ""
