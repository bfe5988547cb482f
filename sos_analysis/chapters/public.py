"""The companion on public statistics: real evidence, from published figures of authorities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sos_analysis import checks as check
from sos_analysis import companion
from sos_analysis.chapters import CHAPTERS, ChapterSpec
from sos_analysis.chapters.ledger import Ledger, parameters_table
from sos_analysis.chapters.natural import natural
from sos_analysis.chapters.public_brief import brief, headline
from sos_analysis.chapters.public_checks import AFTER_NFA, checks_of, verdict_of
from sos_analysis.chapters.public_figures import Exhibits
from sos_analysis.chapters.public_split import (
    claim_split,
    differences_table,
    groups_table,
)
from sos_analysis.chapters.public_tables import WAVES, heading, status_of
from sos_analysis.chapters.public_words import prose
from sos_analysis.checks import CheckResult
from sos_analysis.companion import MAIN, CompanionResult, Design
from sos_analysis.companion.types import PanelEstimate
from sos_analysis.disclosure import ALREADY_PUBLISHED, SafeFigure, SafeTable
from sos_analysis.records.public import RELEASED, PublicOutcome, find_file, public_sources
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.rules import CANNOT_TELL
from sos_analysis.sources import ROOT, file_hash

NAME = "public_statistics"
#: Variants that pages may quote, each a claim.
QUOTED = tuple(v for v in companion.VARIANTS if v != MAIN)
_CHOICES = ("comparators", "weights", "boundaries")


def hashes(spec: ChapterSpec, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the result rests on: what is declared, public files or released results, code."""
    declared = [repr(d) for d in (*companion.DESIGNS, *public_sources().outcomes)]
    return {
        "study": content_hash(declared),
        "data": data_hash(chosen["public_data"]),
        "code": code_hash(spec.room),
        "parameters": content_hash(dict(chosen)),
    }


def data_hash(public_data: str) -> str:
    """Identity of the public figures in use: files at hand, and the released results."""
    place = Path(public_data) if public_data else ROOT / "data" / "public"
    parts = [file_hash(RELEASED)] if RELEASED.is_file() else []
    if public_data or place.exists():
        for file in public_sources().pinned:
            try:
                parts.append(find_file(place, file).sha256())
            except (OSError, ValueError):
                parts.append(f"no {file.id}")
    return content_hash(parts)


def designs(chosen: Mapping[str, Any]) -> tuple[Design, ...]:
    """The main design of each wave: choices for both, years for the wave that is named."""
    made = []
    for own in companion.DESIGNS:
        years = {k: chosen[k] for k in ("first_year", "last_year", "post_from")}
        if own.wave != chosen["wave"]:
            years = {}
        left: tuple[int, ...] = ()
        if chosen["transition"] == "left out":
            left = (companion.TRANSITION[own.wave],)
        choices = {k: chosen[k] for k in _CHOICES}
        made.append(Design(wave=own.wave, **years, leave_out_years=left, **choices))
    return tuple(made)


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter on public statistics."""
    found = companion.run(
        chosen["public_data"] or None,
        designs=designs(chosen),
        draws=chosen["draws"] or companion.DRAWS,
        seed=chosen["seed"] or companion.SEED,
    )
    return build(spec, chosen, found)


def build(spec: ChapterSpec, chosen: Mapping[str, Any], found: CompanionResult) -> ChapterResult:
    """The chapter that shows a companion's results."""
    return _Companion(spec, chosen, found).result()


@cache
def sentence(short: str, public_data: str) -> str:
    """What public statistics say on one outcome, as other chapters quote it."""
    spec = CHAPTERS[NAME]
    chosen = {n: p.default for n, p in spec.parameters.items()} | {"public_data": public_data}
    from sos_analysis.chapters import stored

    kept = stored(spec, chosen)
    if kept is not None:
        return str(kept.claim(f"public.{short}.sentence").value)
    # The whole companion takes half a minute; one outcome's main estimate a second.
    wanted = public_sources().outcome(short)
    # The rating looks at the share closed with no further action too, where that decides who is
    # assessed.
    needed = {wanted.id: None}
    if short in AFTER_NFA:
        needed[public_sources().outcome("nfa").id] = None
    found = companion.run(
        public_data or None, designs=companion.DESIGNS, outcomes=tuple(needed), only_main=True
    )
    judged = verdict_of(found, wanted, 2, checks_of(found, wanted, 2))
    return heading(judged.sentence)


def released() -> CompanionResult | None:
    """The released results, for a page that quotes several of them."""
    return companion.released() if RELEASED.is_file() else None


def quoted(
    short: str, wave: int, variant: str = MAIN, found: CompanionResult | None = None
) -> PanelEstimate | None:
    """A released estimate, for a page that quotes more than the sentence; None if there is none."""
    found = found or released()
    if found is None:
        return None
    wanted = next((o.id for o in found.outcomes if o.short == short), "")
    return next(
        (e for e in found.estimates if (e.outcome, e.wave, e.variant) == (wanted, wave, variant)),
        None,
    )


def prefix(outcome: PublicOutcome, wave: int) -> str:
    """Claims of the second wave go by the outcome alone."""
    return outcome.short if wave == 2 else f"wave{wave}.{outcome.short}"


def _direction(e: PanelEstimate) -> int:
    """-1 or 1 where the 95 % interval lies on one side of zero, else 0."""
    return int(e.ci[0] > 0) - int(e.ci[1] < 0)


class _Companion:
    def __init__(
        self, spec: ChapterSpec, chosen: Mapping[str, Any], found: CompanionResult
    ) -> None:
        self.spec, self.chosen, self.found = spec, chosen, found
        self.hashes = hashes(spec, chosen)
        ledger = Ledger(
            "public",
            NAME,
            origin="public",
            source="sos_analysis.companion.run",
            hashes=self.hashes,
            note=found.attribution,
        )
        self.claims, self.claim = ledger.claims, ledger.claim
        keys = [(o, w) for w in WAVES for o in found.outcomes if found.has(o.id, MAIN, w)]
        self.checks = {(o.id, w): checks_of(found, o, w) for o, w in keys}
        self.verdicts = {(o.id, w): verdict_of(found, o, w, self.checks[o.id, w]) for o, w in keys}
        self.exhibits = Exhibits(found, self.verdicts, self.checks)

    # --- claims ------------------------------------------------------------------------------

    def _all_claims(self) -> None:
        for outcome, wave in self.exhibits.keys:
            self._claims_of(outcome, wave)
        for outcome in self.found.outcomes:
            for year in self.exhibits.gap_years:
                gap = self.exhibits.gap(outcome, year)
                if gap is not None:
                    self.claim(f"{outcome.short}.gap_{year}", gap, outcome.unit, decimals=1)
        for h in self.found.histories:
            short = self.found.outcome(h.outcome).short
            unit = self.found.outcome(h.outcome).unit
            self.claim(f"history.{short}.att", h.att, unit, ends=h.ci, decimals=1)
            self.claim(f"history.{short}.two_way", h.two_way, unit, decimals=1)
        later = [
            100 * sum(w.weight for w in h.weights if w.comparison.startswith("later"))
            for h in self.found.histories
        ]
        if later:
            self.claim("history.later_weight", max(later), "%", decimals=1)
        claim_split(self.found, self.claim)
        self._claim_practice()
        mains = [e for e in self.found.estimates if e.variant == MAIN]
        for wave in WAVES:
            mine = [e for e in mains if e.wave == wave]
            if mine:
                name = "pilots" if wave == 2 else f"wave{wave}.pilots"
                self.claim(name, max(e.pilots for e in mine), "pilots", origin="programme")
                design = self.found.designs[f"wave{wave}"]
                for part, key in (("first", "first_year"), ("last", "last_year"),
                                  ("post", "post_from")):  # fmt: skip
                    name = f"year.{part}" if wave == 2 else f"wave{wave}.year.{part}"
                    self.claim(name, str(design[key]), origin="design")
        self.claim("authorities", max(e.authorities for e in mains), "authorities")
        self.claim("draws", max(e.draws for e in mains), origin="design")
        self.claim("draws_variants", min(companion.FEWER, max(e.draws for e in mains)),
                   origin="design")  # fmt: skip
        self.claim("tests", len(mains))
        below = [e for e in mains if max(e.p_primary, e.p_secondary) < check.ALPHA]
        self.claim("tests_below", len(below))
        self.claim("tests_by_chance", len(mains) * check.ALPHA, decimals=1)
        failed = [k for k, c in self.checks.items() if status_of(c, "pre_trends") == "fail"]
        self.claim("pretrends_failed", len(failed))
        self.claim("latest", str(max(m.year for m in self.found.means)))
        self.claim("released", sum(e.source == "released" for e in mains))
        nfa = next((j for j in self.found.jumps if j.outcome == "no_further_action_percent"), None)
        if nfa is not None:
            self.claim("nfa.jump_by", nfa.by, "per 100")
            self.claim("nfa.jump_largest", nfa.largest, "per 100")
            for role in ("pilots", "others"):
                self.claim(f"nfa.jumped_{role}", getattr(nfa, f"{role}_jumped"))
                self.claim(f"nfa.jumped_{role}_of", getattr(nfa, role))
        self.claim("message", self._message(2))
        second = [v for (_, w), v in self.verdicts.items() if w == 2]
        self.claim("headline", headline(second) or self._message(2))
        self.claim("wave1.message", self._message(1))

    def _claims_of(self, outcome: PublicOutcome, wave: int) -> None:
        start, unit = prefix(outcome, wave), outcome.unit
        e, events = self.found.estimate(outcome.id, MAIN, wave), self.found.events(outcome.id, wave)
        judged = self.verdicts[outcome.id, wave]
        self.claim(f"{start}.sentence", heading(judged.sentence))
        self.claim(f"{start}.certainty", heading(judged.certainty or ""))
        self.claim(f"{start}.brief", brief(outcome.short_label, judged, e.att))
        self.claim(f"{start}.caution", self._caution(outcome, wave))
        self.claim(f"{start}.att", e.att, unit, ends=e.ci, decimals=1)
        self.claim(f"{start}.natural", natural(outcome, e.att, *e.ci))
        self.claim(f"{start}.p_primary", e.p_primary, "p", decimals=3)
        self.claim(f"{start}.p_secondary", e.p_secondary, "p", decimals=3)
        self.claim(f"{start}.baseline", e.baseline, unit, decimals=1)
        self.claim(f"{start}.mde", e.mde, unit, decimals=1)
        mid = outcome.minimum_important_difference
        self.claim(f"{start}.mid", mid, unit, decimals=1, origin="design")
        self.claim(f"{start}.pretrend", events.joint_p, "p", decimals=3)
        self.claim(f"{start}.trend_p", events.trend_p, "p", decimals=3)
        self.claim(f"{start}.trend", events.trend, unit, ends=events.trend_ci, decimals=1)
        for variant in QUOTED:
            if self.found.has(outcome.id, variant, wave):
                v = self.found.estimate(outcome.id, variant, wave)
                self.claim(f"{start}.{variant}", v.att, unit, ends=v.ci, decimals=1)

    def _claim_practice(self) -> None:
        """Claims `public.practice.…`: figures that read otherwise without authorities named."""
        pairs = [
            (self.found.estimate(o.id, MAIN, 2), self.found.estimate(o.id, "not_named", 2))
            for o in self.found.outcomes
            if self.found.has(o.id, MAIN, 2) and self.found.has(o.id, "not_named", 2)
        ]
        if not pairs:
            self.claim("practice.sentence", "Not assessed here: no reports at hand.")
            return
        others = sum(_direction(a) != _direction(b) for a, b in pairs)
        reading = "changes how some figures read" if others else "leaves every figure as it reads"
        self.claim(
            "practice.sentence",
            "Public statistics cannot tell: leaving out authorities whose Ofsted reports name the "
            f"model {reading}, but reports are a noisy sign of who used it.",
        )

    def _caution(self, outcome: PublicOutcome, wave: int) -> str:
        """What the years before allow one to conclude."""
        status = status_of(self.checks[outcome.id, wave], "pre_trends")
        if status == "fail":
            return (
                "Pilots and other authorities were already moving apart before, so this "
                "comparison cannot carry a conclusion."
            )
        few = len(self.found.events(outcome.id, wave).joint_years) < 2
        if few:
            return (
                "There is one difference between years before to look at, too little to tell "
                "whether pilots and other authorities were on different paths."
            )
        if status == "info":
            return "Pilots and other authorities may have been moving apart before."
        return "Pilots and other authorities showed no clear sign of moving apart before."

    def _message(self, wave: int) -> str:
        """A wave in a sentence or a few: what was decided, then the rest."""
        mine = [v for (_, w), v in self.verdicts.items() if w == wave]
        undecided = [v for v in mine if v.effect_class == CANNOT_TELL or v.certainty == "very low"]
        if len(undecided) == len(mine):
            return (
                f"Public statistics are too imprecise to tell whether the {WAVES[wave]} of pilots "
                "changed any of these figures."
            )
        decided = [v.sentence for v in mine if v not in undecided]
        rest = (
            " On the other figures, public statistics cannot tell whether it changed anything."
            if undecided
            else ""
        )
        return " ".join(heading(t) for t in decided) + rest

    # --- everything --------------------------------------------------------------------------

    def result(self) -> ChapterResult:
        """Everything together."""
        self._all_claims()
        lead = self.found.outcomes[0]
        if self.chosen["outcome"]:
            lead = self.found.outcome(self.chosen["outcome"])
        wave = self.chosen["wave"] if (lead.id, self.chosen["wave"]) in self.verdicts else 2
        tagged = tuple(
            CheckResult(
                f"{outcome.short}_wave{w}_{c.id}",
                f"{outcome.short_label}, {WAVES[w]}: {c.title}",
                c.status,
                c.sentence,
                c.figures,
            )
            for number, (outcome, w) in enumerate(self.exhibits.keys)
            for c in self.checks[outcome.id, w]
            # The same for every figure, so told once.
            if number == 0 or c.id != "design"
        )
        return ChapterResult(
            name=NAME,
            title=self.spec.title,
            origin="public",
            parameters=dict(self.chosen),
            claims=self.claims,
            tables=self._tables(),
            figures=self._figures(),
            checks=tagged,
            verdict=self.verdicts.get((lead.id, wave)),
            prose=prose(self.found, self.claims, lead),
            hashes=self.hashes,
            notes={
                "provenance": self.found.source,
                "command": self.found.command,
                "attribution": self.found.attribution,
                **{f"file {f.name}": f.sha256 for f in self.found.files},
                **{f"absent {i}": text for i, text in enumerate(self.found.absent)},
            },
        )

    def _tables(self) -> dict[str, SafeTable]:
        e = self.exhibits
        made = {
            "findings": e.findings(),
            "ratings": e.ratings(),
            "counts": e.counts(),
            "estimates": e.estimates(),
            "sensitivity": e.sensitivity(),
            "ways": e.ways(),
            "gaps": e.gaps(),
            "checks": e.checks_matrix(),
            "ruled_out": e.ruled_out(),
            "files": e.files(),
            "parameters": parameters_table(self.spec, self.chosen, ALREADY_PUBLISHED),
        }
        if self.found.histories:
            made["history"] = e.histories()
        if self.found.splits:
            made["by_rating"] = groups_table(self.found, e.table)
            made["by_rating_differences"] = differences_table(self.found, e.table)
        if self.found.jumps:
            made["jumps"] = e.jumps()
        for outcome in self.found.outcomes:
            if any(x.outcome == outcome.id for x in self.found.estimates):
                made[f"variants_{outcome.short}"] = e.variants(outcome)
        return made

    def _figures(self) -> dict[str, SafeFigure]:
        e = self.exhibits
        made = {"effect": e.effect()}
        for outcome, wave in e.keys:
            name = outcome.short
            if wave == 2:
                made[f"trend_{name}"] = e.trend(outcome)
            end = "" if wave == 2 else f"_wave{wave}"
            made[f"event_study_{name}{end}"] = e.event_study(outcome, wave)
        mapped = e.england(self.chosen["public_data"] or None)
        return made | ({"england": mapped} if mapped else {})
