"""Tables of the chapter on public statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sos_analysis import companion
from sos_analysis.chapters.natural import natural
from sos_analysis.checks import CheckResult
from sos_analysis.companion import MAIN, CompanionResult, PanelEstimate
from sos_analysis.disclosure import (
    ALREADY_PUBLISHED,
    Column,
    SafeTable,
    safe_table,
)
from sos_analysis.evidence import Verdict
from sos_analysis.records.public import PublicOutcome

SOURCE = "Children in need and children looked after, by authority and year; our analysis"
#: How the waves are spoken of, the leading one first.
WAVES: Mapping[int, str] = {2: "second wave", 1: "first wave"}
#: Two fits with about a thousand authority-years: the guard asks for residual degrees of freedom.
DOF = 100

Key = tuple[str, int]


def heading(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]


def status_of(checks: Sequence[CheckResult], id: str) -> str:
    """Status of a check by its id."""
    return next(c.status for c in checks if c.id == id)


class Tables:
    """Makes what is shown from a companion's results and the verdicts on them."""

    def __init__(
        self,
        found: CompanionResult,
        verdicts: Mapping[Key, Verdict],
        checks: Mapping[Key, tuple[CheckResult, ...]],
    ) -> None:
        self.found, self.verdicts, self.checks = found, verdicts, checks

    @property
    def keys(self) -> list[tuple[PublicOutcome, int]]:
        """Outcomes and waves that have an estimate, the second wave first."""
        return [(o, w) for w in WAVES for o in self.found.outcomes if (o.id, w) in self.verdicts]

    def main(self, outcome: PublicOutcome, wave: int) -> PanelEstimate:
        """The main estimate of an outcome around a wave."""
        return self.found.estimate(outcome.id, MAIN, wave)

    def table(self, rows: list[dict[str, Any]], **options: Any) -> SafeTable:
        return safe_table(rows, source=SOURCE, origin="public", rules=ALREADY_PUBLISHED, **options)

    # --- tables ------------------------------------------------------------------------------

    def findings(self) -> SafeTable:
        """One row a figure and wave: what was found, how sure, in words."""
        rows = [
            {
                "outcome": o.label,
                "wave": heading(WAVES[wave]),
                "words": heading(judged.sentence),
                "natural": natural(o, e.att, *e.ci),
                "sure": heading(judged.certainty or ""),
            }
            for o, wave in self.keys
            for judged, e in [(self.verdicts[o.id, wave], self.main(o, wave))]
        ]
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                "words": Column("What public statistics say"),
                "natural": Column("In round numbers"),
                "sure": Column("How sure"),
            },
            title="What public statistics say about each wave of pilots",
            caption="Sizes stand in the chart above and under 'The estimates'.",
        )

    def ratings(self) -> SafeTable:
        """Why each figure is rated as it is, and what would change that."""
        rows = [
            {
                "outcome": f"{o.short_label}, {WAVES[wave]}",
                "sure": heading(judged.certainty or ""),
                "why": " ".join(judged.reasons),
                "change": " ".join(judged.what_would_change),
            }
            for o, wave in self.keys
            for judged in [self.verdicts[o.id, wave]]
        ]
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "sure": Column("How sure"),
                "why": Column("Why"),
                "change": Column("What would change it"),
            },
            title="Why each rating is what it is, and what would change it",
            caption="By the rule table on the page 'Methods'. How sure is not how large. Cost: not "
            "estimated here.",
        )

    def counts(self) -> SafeTable:
        """Authorities and years behind each estimate."""
        rows = [
            {
                "outcome": o.label,
                "wave": heading(WAVES[wave]),
                "first": e.first,
                "last": e.last,
                "pilots": e.pilots,
                "others": e.authorities - e.pilots,
                "years": e.authority_years,
                "none": e.not_given,
                "from": heading(e.source),
            }
            for o, wave in self.keys
            for e in [self.main(o, wave)]
        ]
        numbers = ("first", "last", "pilots", "others", "years", "none")
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                "first": Column("From"),
                "last": Column("To"),
                "pilots": Column("Pilots"),
                "others": Column("Other authorities"),
                "years": Column("Yearly figures"),
                "none": Column("Not given"),
                "from": Column("In this build"),
            },
            category_columns=numbers,
            title="Authorities and yearly figures behind each estimate",
            caption="Years by their end (31 March). An authority that was reorganised counts as "
            "coded in each year. 'Not given': withheld or not returned, so left out. 'Released': "
            "this project's released results, since a file that the figure rests on is not here.",
        )

    def estimates(self) -> SafeTable:
        """The main estimates with both procedures."""
        rows = [
            {"outcome": o.short_label, "wave": heading(WAVES[w]), **_numbers(self.main(o, w))}
            for o, w in self.keys
        ]
        return self.table(
            rows,
            columns={"outcome": Column("Figure"), "wave": Column("Wave"), **_COLUMNS},
            estimates=_ESTIMATES,
            residual_dof=DOF,
            title="Main estimates: pilots and all other authorities, before and after",
            caption=_INFERENCE + f" {heading(self.found.ssc)}.",
        )

    def variants(self, outcome: PublicOutcome) -> SafeTable:
        """Every variant of one figure, both waves."""
        rows = [
            {
                "wave": heading(WAVES[e.wave]),
                "variant": self.found.variants[e.variant],
                "authorities": e.authorities,
                **_numbers(e),
            }
            for wave in WAVES
            for e in self.found.estimates
            if (e.outcome, e.wave) == (outcome.id, wave)
        ]
        columns = {
            "wave": Column("Wave"),
            "variant": Column("Choice"),
            **_COLUMNS,
            "authorities": Column("Authorities"),
        }
        return self.table(
            rows,
            columns=columns,
            estimates=_ESTIMATES,
            category_columns=("authorities",),
            residual_dof=DOF,
            title=f"{outcome.short_label}: the difference under other choices, {outcome.unit} "
            f"{outcome.of}",
            caption=f"One choice differs at a time. {_INFERENCE} Variants take "
            f"{companion.FEWER} draws.",
        )

    def sensitivity(self) -> SafeTable:
        """How far the choices move each figure."""
        rows = []
        for o, wave in self.keys:
            main = self.main(o, wave)
            others = [
                e
                for e in self.found.estimates
                if (e.outcome, e.wave) == (o.id, wave) and e.variant not in (MAIN, "long")
            ]
            apart = sum(e.ci[0] > 0 or e.ci[1] < 0 for e in others)
            rows.append(
                {
                    "outcome": o.short_label,
                    "wave": heading(WAVES[wave]),
                    "value": main.att,
                    "low": min(e.att for e in others) if others else main.att,
                    "high": max(e.att for e in others) if others else main.att,
                    "variants": len(others),
                    "apart": apart,
                    "main": "Yes" if main.ci[0] > 0 or main.ci[1] < 0 else "No",
                }
            )
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                "value": Column("Main", "", 1, signed=True),
                "low": Column("Lowest variant", "", 1, signed=True),
                "high": Column("Highest variant", "", 1, signed=True),
                "main": Column("Main interval leaves out zero"),
                "apart": Column("Variants that do"),
                "variants": Column("Variants"),
            },
            estimates=("value", "low", "high"),
            category_columns=("apart", "variants"),
            residual_dof=DOF,
            title="How far other choices move each figure",
            caption="The table of each figure below has every variant. The long view is not among "
            "these variants.",
        )

    def ways(self) -> SafeTable:
        """All ways to compare, judged as one."""
        rows = [
            {
                "outcome": self.found.outcome(c.outcome).short_label,
                "wave": heading(WAVES[c.wave]),
                "ways": c.ways,
                "same": c.same,
                "told": c.told,
                "low": c.low,
                "value": c.median,
                "high": c.high,
                "p": c.p,
            }
            for c in self.found.curves
        ]
        draws = max((c.draws for c in self.found.curves), default=0)
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                "ways": Column("Ways"),
                "same": Column("In the main one's direction"),
                "told": Column("Of these, told from zero"),
                "low": Column("Lowest", "", 1, signed=True),
                "value": Column("Middle", "", 1, signed=True),
                "high": Column("Highest", "", 1, signed=True),
                "p": Column("p of the middle", "p", 3),
            },
            estimates=("low", "value", "high", "p"),
            category_columns=("ways", "same", "told"),
            residual_dof=DOF,
            title="Every way to compare, judged as one",
            caption="Comparison group, weights, years and pilots crossed. The figures of "
            f"authorities were exchanged {draws:,} times, in all ways at once; p is the share of "
            "exchanges in which the middle way lies as far from zero. Told from zero: by that "
            "exchange, way by way, at 5%.",
        )

    def gaps(self) -> SafeTable:
        """Pilots less others in chosen years, each authority counted the same."""
        years = self.gap_years
        rows = []
        for o in self.found.outcomes:
            values = {year: self.gap(o, year) for year in years}
            if any(v is not None for v in values.values()):
                rows.append({"outcome": o.label, "unit": f"{o.unit} {o.of}"} | {
                    f"y{year}": v for year, v in values.items()
                })  # fmt: skip
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "unit": Column("Counted"),
                **{f"y{y}": Column(str(y), "", 1, signed=True) for y in years},
            },
            estimates=tuple(f"y{y}" for y in years),
            residual_dof=DOF,
            title="Second-wave pilots less other authorities, in chosen years",
            caption="Plain differences of means, not effects: the last year before each wave, the "
            "last year of the main window, and the latest year published.",
        )

    @property
    def gap_years(self) -> tuple[int, ...]:
        """Last year before each wave, last of the window, latest."""
        known = {m.year for m in self.found.means if m.wave == 2}
        return tuple(sorted({y for y in (2014, 2017, 2020, max(known)) if y in known}))

    def gap(self, outcome: PublicOutcome, year: int) -> float | None:
        """Pilots less others in a year."""
        means = [
            next((m.mean for m in self.found.means_of(outcome.id, r) if m.year == year), None)
            for r in companion.ROLES
        ]
        return None if means[0] is None or means[1] is None else means[0] - means[1]

    def histories(self) -> SafeTable:
        """Both waves at once: cohort effects beside plain two-way fixed effects."""
        rows = [
            {
                "outcome": self.found.outcome(h.outcome).short_label,
                "value": h.att,
                "low": h.ci[0],
                "high": h.ci[1],
                "two_way": h.two_way,
                "se": h.two_way_se,
                "clean": 100 * sum(w.weight for w in h.weights if w.comparison == _CLEAN),
                "later": 100 * sum(w.weight for w in h.weights if w.comparison.startswith("later")),
                "authorities": h.authorities,
                "left_out": h.left_out,
            }
            for h in self.found.histories
        ]
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "value": Column("By cohort", "", 1, signed=True),
                "low": Column("95% from", "", 1, signed=True),
                "high": Column("95% to", "", 1, signed=True),
                "two_way": Column("Two-way", "", 1, signed=True),
                "se": Column("SE, CRV3", "", 2),
                "clean": Column("Weight against never funded", "%", 1),
                "later": Column("Weight against already begun", "%", 1),
                "authorities": Column("Authorities"),
                "left_out": Column("Left out: a year missing"),
            },
            estimates=("value", "low", "high", "two_way", "se", "clean", "later"),
            category_columns=("authorities", "left_out"),
            residual_dof=DOF,
            title="Both waves at once: effect since an authority first took part",
            caption="By cohort: Callaway and Sant'Anna, overall, with an interval from its "
            "influence functions and Student's t. Two-way: plain fixed effects of authorities and "
            "years on the same authorities. Weights: Goodman-Bacon.",
        )

    def jumps(self) -> SafeTable:
        """Authorities whose figure jumped between two years."""
        rows = [
            {
                "outcome": self.found.outcome(j.outcome).short_label,
                "wave": heading(WAVES[j.wave]),
                "pilots": f"{j.pilots_jumped} of {j.pilots}",
                "others": f"{j.others_jumped} of {j.others}",
                "largest": j.largest,
            }
            for j in self.found.jumps
        ]
        by = max((j.by for j in self.found.jumps), default=0.0)
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Window of the"),
                "pilots": Column("Pilots"),
                "others": Column("Other authorities"),
                "largest": Column("Largest jump of a pilot", "per 100", 1),
            },
            estimates=("largest",),
            residual_dof=DOF,
            title=f"Authorities whose figure moved by {by:.0f} per 100 or more from one year to "
            "the next",
            caption="So large a step in one year is more often a new way of recording than a new "
            "practice.",
        )

    def checks_matrix(self) -> SafeTable:
        """Status of every check, a row a figure and wave."""
        names = dict.fromkeys(c.id for found in self.checks.values() for c in found)
        titles = {c.id: c.title for found in self.checks.values() for c in found}
        rows = [
            {"outcome": o.short_label, "wave": heading(WAVES[w])}
            | {c.id: c.word for c in self.checks[o.id, w]}
            for o, w in self.keys
        ]
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                **{n: Column(titles[n]) for n in names},
            },
            title="Checks on each comparison",
            caption="A pass says that the threat was not seen, never that it is absent.",
        )

    def ruled_out(self) -> SafeTable:
        """What is hard to square with the figures, and what would have been found."""
        rows = [
            {
                "outcome": o.short_label,
                "wave": heading(WAVES[w]),
                "unit": f"{o.unit} {o.of}",
                "low": e.ci[0],
                "high": e.ci[1],
                "mde": e.mde,
                "mid": o.minimum_important_difference,
            }
            for o, w in self.keys
            for e in [self.main(o, w)]
        ]
        return self.table(
            rows,
            columns={
                "outcome": Column("Figure"),
                "wave": Column("Wave"),
                "unit": Column("Counted"),
                "low": Column("Hard to square: below", "", 1, signed=True),
                "high": Column("Hard to square: above", "", 1, signed=True),
                "mde": Column("Found four times in five", "", 1),
                "mid": Column("Smallest important", "", 1),
            },
            estimates=("low", "high", "mde", "mid"),
            residual_dof=DOF,
            title="What these figures can and cannot rule out",
        )

    def files(self) -> SafeTable:
        """Which bytes the results rest on."""
        kinds = {True: "Derived, cannot be fetched", False: "Published"}
        rows = [
            {"name": f.name, "kind": kinds[f.derived], "hash": f"SHA-256 {f.sha256[:16]}…"}
            for f in self.found.files
        ]
        return self.table(
            rows,
            columns={"name": Column("File"), "kind": Column("Kind"), "hash": Column("Its hash")},
            title="Files behind these results",
            caption="Full hashes and addresses are in the released results and in "
            "data/programme/public_sources.toml.",
        )


_CLEAN = "treated v untreated"
_ESTIMATES = ("value", "low", "high", "p1", "p2", "crv3", "crv1")
_COLUMNS = {
    "value": Column("Difference", "", 1, signed=True),
    "low": Column("95% from", "", 1, signed=True),
    "high": Column("95% to", "", 1, signed=True),
    "p1": Column("p, WCR-31", "p", 3),
    "p2": Column("p, RI-t", "p", 3),
    "crv3": Column("SE, CRV3", "", 2),
    "crv1": Column("SE, CRV1", "", 2),
}
_INFERENCE = (
    "Intervals: restricted wild cluster bootstrap with jackknifed scores (WCR-31). RI-t: "
    "permutation of adoption dates. SE: standard error; CRV1 stands for comparison only."
)


def _numbers(e: PanelEstimate) -> dict[str, float]:
    return {
        "value": e.att,
        "low": e.ci[0],
        "high": e.ci[1],
        "p1": e.p_primary,
        "p2": e.p_secondary,
        "crv3": e.se_crv3,
        "crv1": e.se_crv1,
    }
