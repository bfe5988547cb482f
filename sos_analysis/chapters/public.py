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
from sos_analysis.checks import CheckResult
from sos_analysis.companion import CompanionResult, PanelEstimate
from sos_analysis.disclosure import (
    ALREADY_PUBLISHED,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.evidence import Verdict, verdict
from sos_analysis.records.public_statistics import PublicOutcome
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.sources import file_hash

NAME = "public_statistics"
#: Short name in claims; how the outcome is spoken of; the wanted direction.
SPOKEN: Mapping[str, tuple[str, str, str | None]] = {
    "rereferral_percent": ("rereferral", "re-referral within twelve months", "down"),
    "no_further_action_percent": ("nfa", "the share of referrals closed at once", None),
    "not_in_need_percent": ("not_in_need", "the share assessed and found not in need", None),
}
SUBJECT = "the second wave of Signs of Safety pilots"


def hashes(chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the result rests on: public files or released results, code, parameters."""
    return {
        "data": data_hash(chosen["public_data"]),
        "code": code_hash(),
        "parameters": content_hash(dict(chosen)),
    }


def data_hash(public_data: str) -> str:
    """Identity of the public figures in use: files at hand, or the released results."""
    from sos_analysis.records.public_statistics import find_file, public_sources

    folder = Path(public_data) if public_data else companion.ROOT / "data" / "public"
    if public_data or folder.is_dir():
        parts = []
        for file in public_sources().files:
            try:
                parts.append(file_hash(find_file(folder, file)))
            except (OSError, ValueError):
                break
        else:
            return content_hash(parts)
    return content_hash(file_hash(companion.RELEASED))


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter on public statistics."""
    keep = {k: v for k, v in chosen.items() if k in ("first_year", "last_year", "post_from")}
    found = companion.run(
        chosen["public_data"] or None,
        **keep,
        draws=chosen["draws"] or companion.DRAWS,
        seed=chosen["seed"] or companion.SEED,
    )
    return _Companion(spec, chosen, found).result()


@cache
def sentence(short: str, public_data: str) -> str:
    """What public statistics say on one outcome, as other chapters quote it."""
    spec = CHAPTERS[NAME]
    chosen = {n: p.default for n, p in spec.parameters.items()} | {"public_data": public_data}
    from sos_analysis.chapters import chapter

    made = chapter(NAME, **chosen)
    return str(made.claim(f"public.{short}.sentence").value)


class _Companion:
    def __init__(
        self, spec: ChapterSpec, chosen: Mapping[str, Any], found: CompanionResult
    ) -> None:
        self.spec, self.chosen, self.found = spec, chosen, found
        self.hashes = hashes(chosen)
        ledger = Ledger(
            "public",
            NAME,
            origin="public",
            source="sos_analysis.companion.run",
            hashes=self.hashes,
            note=found.attribution,
        )
        self.claims, self.claim = ledger.claims, ledger.claim
        years = found.parameters
        self.first, self.last, self.post = (
            years["first_year"],
            years["last_year"],
            years["post_from"],
        )
        self.source = "Children in need, by authority and year; our analysis"
        self.place = f"England, authorities, years ending 31 March {self.first} to {self.last}"
        self.checks = {o.id: self._checks(o) for o in found.outcomes}
        self.verdicts = {o.id: self._verdict(o) for o in found.outcomes}

    # --- evidence ----------------------------------------------------------------------------

    def _checks(self, outcome: PublicOutcome) -> tuple[CheckResult, ...]:
        e, events = self.found.estimate(outcome.id), self.found.events(outcome.id)
        early = [abs(y.att) for y in events.years if y.year < events.base]
        there = e.authority_years / (e.authority_years + e.not_given)
        return (
            check.few_clusters(e.authorities, e.pilots),
            check.pre_trends(
                events.joint_p, len(events.joint_years), largest=max(early), unit="per 100"
            ),
            check.agreement(e.p_primary, e.p_secondary, e.primary, e.secondary),
            check.leave_one_out(e.att, e.left_out, "per 100", half_width=(e.ci[1] - e.ci[0]) / 2),
            check.completeness(there, "yearly figures of authorities"),
        )

    def _verdict(self, outcome: PublicOutcome) -> Verdict:
        e = self.found.estimate(outcome.id)
        _, noun, good = SPOKEN[outcome.id]
        made = verdict(
            value=e.att,
            low=e.ci[0],
            high=e.ci[1],
            mid=outcome.minimum_important_difference,
            p_primary=e.p_primary,
            p_secondary=e.p_secondary,
            outcome=noun,
            origin="public",
            checks=self.checks[outcome.id],
            good=good,
            subject=SUBJECT,
        )
        return made

    # --- claims ------------------------------------------------------------------------------

    def _all_claims(self) -> None:
        for outcome in self.found.outcomes:
            short = SPOKEN[outcome.id][0]
            e, events = self.found.estimate(outcome.id), self.found.events(outcome.id)
            judged = self.verdicts[outcome.id]
            text = judged.sentence
            self.claim(f"{short}.sentence", text[:1].upper() + text[1:])
            self.claim(f"{short}.certainty", (judged.certainty or "").capitalize())
            self.claim(f"{short}.att", e.att, "per 100", ends=e.ci, decimals=1)
            self.claim(f"{short}.p_primary", e.p_primary, "p", decimals=3)
            self.claim(f"{short}.p_secondary", e.p_secondary, "p", decimals=3)
            self.claim(f"{short}.baseline", e.baseline, "per 100", decimals=1)
            self.claim(f"{short}.mde", e.mde, "per 100", decimals=1)
            mid = outcome.minimum_important_difference
            self.claim(f"{short}.mid", mid, "per 100", decimals=1, origin="design")
            self.claim(f"{short}.pretrend", events.joint_p, "p", decimals=2)
            self.claim(f"{short}.trend", events.trend, "per 100", ends=events.trend_ci, decimals=1)
            for variant in ("transition_out", "weighted", "both_waves"):
                v = self.found.estimate(outcome.id, variant)
                self.claim(f"{short}.{variant}", v.att, "per 100", ends=v.ci, decimals=1)
        first = self.found.estimate(self.found.outcomes[0].id)
        self.claim("pilots", first.pilots, "pilots", origin="programme")
        self.claim("authorities", max(e.authorities for e in self.found.estimates), "authorities")
        self.claim("draws", first.draws, origin="design")
        for name, year in (("first", self.first), ("last", self.last), ("post", self.post)):
            self.claim(f"year.{name}", str(year), origin="design")
        self.claim("message", self._message())

    def _message(self) -> str:
        undecided = [
            v for v in self.verdicts.values() if v.effect_class in ("cannot tell", "inconclusive")
        ]
        if len(undecided) == len(self.verdicts):
            return (
                "They are too imprecise to tell whether the second wave of pilots changed "
                "re-referral or how cases are closed."
            )
        decided = [v.sentence for v in self.verdicts.values() if v not in undecided]
        rest = " On the other figures they are too imprecise to tell." if undecided else ""
        return " ".join(t[:1].upper() + t[1:] for t in decided) + rest

    # --- tables and figures ------------------------------------------------------------------

    def _safe(self, rows: list[dict[str, Any]], **options: Any) -> SafeTable:
        return safe_table(
            rows, source=self.source, origin="public", rules=ALREADY_PUBLISHED, **options
        )

    def findings(self) -> SafeTable:
        """One row an outcome."""
        rows = []
        for outcome in self.found.outcomes:
            e, judged = self.found.estimate(outcome.id), self.verdicts[outcome.id]
            text = judged.sentence
            rows.append(
                {
                    "outcome": outcome.label,
                    "baseline": e.baseline,
                    "value": e.att,
                    "low": e.ci[0],
                    "high": e.ci[1],
                    "mid": outcome.minimum_important_difference,
                    "sure": (judged.certainty or "").capitalize(),
                    "words": text[:1].upper() + text[1:],
                }
            )
        return self._safe(
            rows,
            columns={
                "outcome": Column("Figure"),
                "baseline": Column("Expected without", "", 1),
                "value": Column("Difference", "", 1, signed=True),
                "low": Column("95% from", "", 1, signed=True),
                "high": Column("95% to", "", 1, signed=True),
                "mid": Column("Smallest important", "", 1),
                "sure": Column("How sure"),
                "words": Column("In words"),
            },
            estimates=("baseline", "value", "low", "high", "mid"),
            residual_dof=100,
            title="What public statistics say about the second wave, per 100 referrals",
            caption="All figures are per 100 referrals of an authority. 'Expected without' is the "
            "pilots' mean after the start of the second wave, less the difference.",
        )

    def counts(self) -> SafeTable:
        """Authorities and years behind each estimate."""
        rows = [
            {
                "outcome": o.label,
                "pilots": e.pilots,
                "others": e.authorities - e.pilots,
                "years": e.authority_years,
                "none": e.not_given,
            }
            for o in self.found.outcomes
            for e in [self.found.estimate(o.id)]
        ]
        return self._safe(
            rows,
            columns={
                "outcome": Column("Figure"),
                "pilots": Column("Pilots"),
                "others": Column("Other authorities"),
                "years": Column("Yearly figures"),
                "none": Column("Not given"),
            },
            category_columns=("pilots", "others", "years", "none"),
            title="Authorities and yearly figures behind each estimate",
            caption="An authority that was reorganised counts as coded in each year. 'Not given': "
            "withheld or not returned, so left out.",
        )

    def estimates(self) -> SafeTable:
        """Every figure in every variant."""
        rows = [self._row(o, e) for o in self.found.outcomes for e in self._variants(o)]
        return self._safe(
            rows,
            columns={
                "outcome": Column("Figure"),
                "variant": Column("Variant"),
                "value": Column("Difference", "", 1, signed=True),
                "low": Column("95% from", "", 1, signed=True),
                "high": Column("95% to", "", 1, signed=True),
                "p1": Column("p, WCR-31", "p", 3),
                "p2": Column("p, RI-t", "p", 3),
                "crv3": Column("SE, CRV3", "", 2),
                "crv1": Column("SE, CRV1", "", 2),
            },
            estimates=("value", "low", "high", "p1", "p2", "crv3", "crv1"),
            residual_dof=100,
            title="Differences between pilots and other authorities, per 100 referrals",
            caption="Intervals: restricted wild cluster bootstrap with jackknifed scores (WCR-31). "
            "RI-t: permutation of adoption dates. SE: standard error; CRV1 stands for comparison "
            f"only. {self.found.ssc[:1].upper()}{self.found.ssc[1:]}.",
        )

    def _variants(self, outcome: PublicOutcome) -> list[PanelEstimate]:
        return [e for e in self.found.estimates if e.outcome == outcome.id]

    def _row(self, outcome: PublicOutcome, e: PanelEstimate) -> dict[str, Any]:
        return {
            "outcome": outcome.short_label,
            "variant": self.found.variants[e.variant],
            "value": e.att,
            "low": e.ci[0],
            "high": e.ci[1],
            "p1": e.p_primary,
            "p2": e.p_secondary,
            "crv3": e.se_crv3,
            "crv1": e.se_crv1,
        }

    def effect(self) -> SafeFigure:
        """The three differences."""
        rows: list[dict[str, Any]] = [
            {"label": o.label, "value": e.att, "low": e.ci[0], "high": e.ci[1]}
            for o in self.found.outcomes
            for e in [self.found.estimate(o.id)]
        ]
        crossing = sum(r["low"] < 0 < r["high"] for r in rows)
        title = (
            "Every interval takes in both falls and rises"
            if crossing == len(rows)
            else "Some intervals leave out zero"
        )
        return safe_figure(
            "estimates",
            rows,
            title=title,
            subtitle="Difference between second-wave pilots and all other authorities, per 100 "
            f"referrals, with 95% intervals. {self.place}",
            alt="Three differences with their intervals, one for each public figure. The same "
            "numbers stand in the table below the chart.",
            source=self.source,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure="Difference",
                unit="per 100",
                decimals=1,
                lower="lower in pilots",
                higher="higher in pilots",
            ),
            residual_dof=100,
        )

    def event_study(self, outcome: PublicOutcome) -> SafeFigure:
        """Differences by year, against the last year before the second wave."""
        events = self.found.events(outcome.id)
        rows: list[dict[str, Any]] = [
            {"time": y.year, "value": y.att, "low": y.ci[0], "high": y.ci[1]} for y in events.years
        ]
        rows.append({"time": events.base, "value": 0.0, "low": None, "high": None})
        rows.sort(key=lambda r: r["time"])
        quiet = events.joint_p >= check.PRE_TREND_LEVEL
        path = "no clear sign of" if quiet else "signs of"
        return safe_figure(
            "event_study",
            rows,
            title=f"{outcome.short_label}: {path} different paths before the second wave",
            subtitle=f"Pilots less other authorities, against the year ending March {events.base}, "
            f"per 100 referrals, with 95% intervals. {self.place}",
            alt=f"Differences by year for: {outcome.label}. Points before {self.post} should lie "
            "near zero. The same numbers stand in the table below the chart.",
            source=self.source,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure="Difference",
                unit="per 100",
                decimals=1,
                adopted_from=self.post - 0.5,
                adopted_to=self.post - 0.5,
                adoption="Second wave",
                base=float(events.base),
                time="Year ending 31 March",
            ),
            residual_dof=100,
        )

    def trend(self, outcome: PublicOutcome) -> SafeFigure:
        """Means of pilots and others by year."""
        rows = [
            {
                "time": m.year,
                "value": m.mean,
                "series": "Pilots" if role == "pilots" else "Other authorities",
                "n": m.authorities,
            }
            for role in companion.ROLES
            for m in self.found.means_of(outcome.id, role)
        ]
        return safe_figure(
            "trend",
            rows,
            title=f"{outcome.short_label}, year by year",
            subtitle=f"{outcome.label}, per 100 referrals, mean of authorities. {self.place}",
            alt=f"Two lines, pilots and other authorities, for: {outcome.label}. The same numbers "
            "stand in the table below the chart.",
            source=self.source,
            origin="public",
            rules=ALREADY_PUBLISHED,
            options=FigureOptions(
                measure=outcome.short_label,
                unit="per 100",
                decimals=1,
                adopted_from=self.post - 0.5,
                adopted_to=self.post - 0.5,
                adoption="Second wave",
                time="Year ending 31 March",
            ),
            statistics={"value": "n"},
        )

    # --- words -------------------------------------------------------------------------------

    def prose(self) -> dict[str, str]:
        """Sentences with places for claims."""
        shorts = [(SPOKEN[o.id][0], o) for o in self.found.outcomes]
        answers = "<br>".join(
            f"<strong>{o.short_label}.</strong> {{public.{s}.sentence}} The difference is "
            f"{{public.{s}.att:full}}."
            for s, o in shorts
        )
        where = (
            "These numbers were computed from the public files in this build."
            if self.found.source == "computed"
            else "The public files are not at hand in this build. These numbers are the results "
            "this project released, with the version of the files and of the code."
        )
        ruled = " ".join(
            f"{o.short_label}: differences outside {{public.{s}.att:interval}} per 100 are hard to "
            f"square with the figures; a true difference of {{public.{s}.mde}} would be found four "
            "times in five."
            for s, o in shorts
        )
        trends = " ".join(
            f"{o.short_label}: joint test of the years before, p = {{public.{s}.pretrend:value}}; "
            f"difference in yearly trend {{public.{s}.trend:full}}."
            for s, o in shorts
        )
        return {
            "answer": answers,
            "message": "{public.message}",
            "provenance": where,
            "published": "The published evaluation followed single children in the pilots it "
            "analysed. These figures are yearly totals of authorities. They add real evidence; "
            "they do not repeat the study.",
            "counted": "The {public.pilots} of the second wave are compared with all other "
            "authorities, from the year ending March {public.year.first} to {public.year.last}. "
            "The year ending March {public.year.post} is the first that counts as after.",
            "estimates": "Each authority counts the same, whatever its size; a variant counts them "
            "by their referrals. The estimate has an effect for each authority and for each year. "
            "By that variant, referrals assessed and found not in need changed by "
            "{public.not_in_need.weighted:full}: the choice of weights matters.",
            "event_study": "Points before the second wave show whether pilots and others were on "
            f"different paths already. {trends}",
            "rule_out": f"{ruled} The smallest differences we call important are smaller than "
            "that, so these figures alone cannot show that little changed.",
            "analysts": "Primary: restricted wild cluster bootstrap with jackknifed scores; "
            "secondary: studentised permutation of adoption dates; {public.draws} draws. "
            f"{where}",
        }

    def result(self) -> ChapterResult:
        """Everything together."""
        self._all_claims()
        first = self.found.outcomes[0]
        tagged = tuple(
            CheckResult(
                f"{SPOKEN[o.id][0]}_{c.id}",
                f"{o.short_label}: {c.title}",
                c.status,
                c.sentence,
                c.figures,
            )
            for o in self.found.outcomes
            for c in self.checks[o.id]
        )
        figures: dict[str, SafeFigure] = {"effect": self.effect()}
        for o in self.found.outcomes:
            figures[f"event_study_{SPOKEN[o.id][0]}"] = self.event_study(o)
            figures[f"trend_{SPOKEN[o.id][0]}"] = self.trend(o)
        return ChapterResult(
            name=NAME,
            title=self.spec.title,
            origin="public",
            parameters=dict(self.chosen),
            claims=self.claims,
            tables={
                "findings": self.findings(),
                "counts": self.counts(),
                "estimates": self.estimates(),
                "parameters": parameters_table(self.spec, self.chosen, ALREADY_PUBLISHED),
            },
            figures=figures,
            checks=tagged,
            verdict=self.verdicts[first.id],
            prose=self.prose(),
            hashes=self.hashes,
            notes={
                "provenance": self.found.source,
                "command": self.found.command,
                "attribution": self.found.attribution,
                **{f"file {f.name}": f.sha256 for f in self.found.files},
            },
        )
