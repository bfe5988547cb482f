"""Which methods to trust when: what they report on made-up data whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sos_analysis import validation
from sos_analysis.chapters import ChapterSpec, differing
from sos_analysis.chapters.ledger import Ledger, parameters_table
from sos_analysis.chapters.minutes import minute
from sos_analysis.checks import ALPHA, CheckResult
from sos_analysis.disclosure import (
    ORIGINS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.formats import number
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.rules import CERTAINTIES
from sos_analysis.simulation.montecarlo import Tally, share_error
from sos_analysis.sources import file_hash
from sos_analysis.study import Study, load_study
from sos_analysis.validation import KINDS, LADDER, Validation
from sos_analysis.workspace import extract_folder, extract_hash

#: Short name in claims; heading; estimator and test. In the order of the tables.
METHODS: Mapping[str, tuple[str, str, str]] = {
    "original": ("Original's, usual errors", "original", "CRV1"),
    "twoway": ("Two-way effects, usual errors", "two_way", "CRV1"),
    "callaway": ("Callaway-Sant'Anna", "callaway", "own"),
    "imputation": ("Imputation", "imputation", "own"),
    "usual": ("Preferred, usual errors", "preferred", "CRV1"),
    "jackknife": ("Preferred, jackknife", "preferred", "CRV3"),
    "bootstrap": ("Preferred, bootstrap (second)", "preferred", "WCR-31"),
    "plain": ("Preferred, plain permutation", "preferred", "slots, plain"),
    "slots": ("Preferred, studentised permutation, RI-t (first)", "preferred", "slots"),
}
ESTIMATORS: Mapping[str, str] = {
    "original": "Original's specification",
    "two_way": "Two-way effects",
    "callaway": "Callaway-Sant'Anna",
    "imputation": "Imputation",
    "preferred": "Preferred specification",
}
#: Where the share of false alarms of a test at 5 % should lie (ours).
LOW, HIGH = 3.5, 6.5
#: Numbers here are shares of made-up data sets: the guard's least degrees of freedom do not bind.
DOF = 100


def hashes(spec: ChapterSpec, chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the chapter rests on: study, records' counts, released results, code, parameters."""
    study = load_study(chosen["study"])
    kept = validation.RELEASED
    return {
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, chosen["extract"]))[:12],
        "released": file_hash(kept)[:12] if kept.is_file() else "none",
        "code": code_hash(spec.room),
        "parameters": content_hash(dict(chosen)),
    }


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The chapter on methods."""
    study = load_study(chosen["study"])
    found = validation.found_or_run(
        study, chosen["extract"], chosen["runs"], chosen["draws"], chosen["seed"]
    )
    return _Methods(spec, chosen, study, found).result()


class _Methods:
    """Turns tallies into claims, tables, a chart and sentences."""

    def __init__(
        self, spec: ChapterSpec, chosen: Mapping[str, Any], study: Study, found: Validation
    ) -> None:
        self.spec, self.chosen, self.study, self.found = spec, chosen, study, found
        self.hashes = hashes(spec, chosen)
        ledger = Ledger(
            "validation",
            spec.name,
            origin="synthetic",
            source="sos_analysis.validation.run",
            hashes=self.hashes,
            note=f"Share of {found.runs} made-up data sets; {found.source}.",
        )
        self.claims, self.claim = ledger.claims, ledger.claim
        self.source = "Outcomes drawn by this project on the counts of its made-up records"
        self.place = f"{ORIGINS['synthetic']}, {number(found.runs)} data sets of each kind"
        self.methods = {k: v for k, v in METHODS.items() if self._run(v[1], v[2])}

    def _run(self, estimator: str, test: str) -> bool:
        return any((t.estimator, t.test) == (estimator, test) for t in self.found.tallies)

    def tally(self, setting: str, method: str) -> Tally:
        """What one method did in one setting."""
        return self.found.of(setting, *METHODS[method][1:])

    # --- claims ------------------------------------------------------------------------------

    def _claims(self) -> None:
        for setting in KINDS:
            for method in self.methods:
                t = self.tally(setting, method)
                where = f"{setting.replace('_', '.')}.{method}"
                self.claim(f"{where}.reports", 100 * t.rejected)
                self.claim(f"{where}.covers", 100 * t.covered)
        self.claim("runs", self.found.runs, "data sets")
        self.claim("draws", self.found.draws)
        self.claim("level", 100 * ALPHA, origin="design")
        self.claim("rated", self.found.rated, "data sets")
        for name in LADDER:
            kept = self.found.rated_as(name).certainty
            self.claim(f"ladder.{name.replace('_', '.')}", 100 * (kept["moderate"] + kept["high"]))
        self._claim_sizes()
        differing.claim_all(self.found, self.claim)
        worst = max(t.rejected_error for t in self.found.tallies)
        self.claim("error", 100 * worst, "points", decimals=1)

    def _claim_sizes(self) -> None:
        """How often the first method raises a false alarm over the designs of the table."""
        shares = {
            label: 100 * t.rejected
            for label, (_, primary) in validation.SIZE_DESIGNS.items()
            for t in self.found.sizes
            if (t.setting, t.test) == (label, primary)
        }
        self.claim("sizes.low", min(shares.values()), decimals=1)
        self.claim("sizes.high", max(shares.values()), decimals=1)
        over = [label.lower() for label, share in shares.items() if share > HIGH]
        self.claim(
            "sizes.over",
            f"It leaves that band here: {'; '.join(over)}. Look at the jackknife as well there."
            if over
            else "No design leaves that band.",
        )
        self.claim("sizes.band", f"{number(LOW, 1)} to {number(HIGH, 1)}", origin="design")

    # --- tables ------------------------------------------------------------------------------

    def _safe(self, rows: list[dict[str, Any]], **rest: Any) -> SafeTable:
        return safe_table(
            rows,
            source=self.source,
            origin="synthetic",
            rules=self.study.disclosure,
            residual_dof=DOF,
            **rest,
        )

    def kinds(self) -> SafeTable:
        """What happens in each kind of made-up world."""
        return self._safe(
            [
                {"kind": name, "what": words, "holds": "yes" if holds else "no"}
                for name, words, holds in KINDS.values()
            ],
            columns={
                "kind": Column("Kind of data"),
                "what": Column("What happens in it"),
                "holds": Column("Is the comparison fair?"),
            },
            title="The kinds of made-up data",
            caption="Pilots, comparators, dates and counts of cases are those of the worked "
            "example, but for the kind with shared comparators and unequal sizes. A comparison is "
            "fair if pilots would have moved like their comparators without the programme.",
        )

    def _wide(self, value: str, title: str, caption: str) -> SafeTable:
        rows = []
        for setting, (name, _, _) in KINDS.items():
            row: dict[str, Any] = {"kind": name, "truth": 100 * self.tally(setting, "slots").truth}
            for method in self.methods:
                row[method] = 100 * getattr(self.tally(setting, method), value)
            rows.append(row)
        return self._safe(
            rows,
            columns={
                "kind": Column("Kind of data"),
                "truth": Column("True effect", "points", 1, signed=True),
                **{m: Column(words, "", 1) for m, (words, _, _) in self.methods.items()},
            },
            estimates=("truth", *self.methods),
            title=title,
            caption=caption,
        )

    def reports(self) -> SafeTable:
        """Shares of data sets in which each method reports an effect."""
        return self._wide(
            "rejected",
            "How often each method reports an effect, in 100 data sets",
            "Where the true effect is 0 these are false alarms: 5 in 100 are what a test at 5% "
            "allows itself. Elsewhere more is better. Both permutations deal the same series to "
            "places; the studentised one (RI-t) divides each estimate by its jackknife error. "
            + self._errors("rejected_error"),
        )

    def covers(self) -> SafeTable:
        """Shares of data sets whose interval holds the true effect."""
        return self._wide(
            "covered",
            "How often the 95% interval holds the true effect, in 100 data sets",
            "95 is what it should be. " + self._errors("covered_error"),
        )

    def _errors(self, name: str) -> str:
        worst = max(100 * getattr(t, name) for t in self.found.tallies)
        return (
            f"Each number carries the error of {number(self.found.runs)} random data sets: a "
            f"standard error of at most {number(worst, 1)}."
        )

    def bias(self) -> SafeTable:
        """Bias and spread of each estimator."""
        rows = []
        for setting, (name, _, _) in KINDS.items():
            for estimator, words in ESTIMATORS.items():
                mine = [
                    t
                    for t in self.found.tallies
                    if (t.setting, t.estimator) == (setting, estimator)
                ]
                for t in mine[:1]:
                    rows.append(
                        {
                            "kind": name,
                            "estimator": words,
                            "truth": 100 * t.truth,
                            "bias": 100 * t.bias,
                            "error": 100 * t.bias_error,
                            "spread": 100 * t.spread,
                        }
                    )
        return self._safe(
            rows,
            columns={
                "kind": Column("Kind of data"),
                "estimator": Column("Estimator"),
                "truth": Column("True effect", "", 2, signed=True),
                "bias": Column("Bias", "", 2, signed=True),
                "error": Column("Error of the bias", "", 2),
                "spread": Column("Spread of estimates", "", 2),
            },
            estimates=("truth", "bias", "error", "spread"),
            title="How far estimators are off on average, in points",
            caption="Bias: mean of estimates less the true effect. Its error is the Monte Carlo "
            "standard error. Spread: standard deviation of estimates around the truth.",
        )

    def ladder(self) -> SafeTable:
        """Ratings that real records of each kind would get."""
        rows = []
        for name, (words, _, _, _) in LADDER.items():
            rated = self.found.rated_as(name)
            rows.append(
                {
                    "step": words,
                    **{word.replace(" ", "_"): 100 * rated.certainty[word] for word in CERTAINTIES},
                    "wrong": 100 * rated.wrong,
                }
            )
        return self._safe(
            rows,
            columns={
                "step": Column("What is wrong with the data"),
                **{w.replace(" ", "_"): Column(w.capitalize(), "", 0) for w in CERTAINTIES},
                "wrong": Column("Wrong verdict", "", 0),
            },
            estimates=(*(w.replace(" ", "_") for w in CERTAINTIES), "wrong"),
            title="The rating that real records of each kind would get, in 100 data sets",
            caption="Made-up data are never rated in this report; here the rating itself is on "
            "trial. All steps start from twice the planted effect on kinship care. 'High' also "
            "needs placebo tests and bounds on departures, which are not run here. Wrong verdict: "
            "a change in the wrong direction, or 'little or no difference' where it is large.",
        )

    def sizes(self) -> SafeTable:
        """False alarms of every test with nine pilots among 27, 40 and 150."""
        rows = []
        for label, (_, primary) in validation.SIZE_DESIGNS.items():
            mine = {t.test: t for t in self.found.sizes if t.setting == label}
            row: dict[str, Any] = {"design": label, "first": "bootstrap"}
            if primary == "slots":
                row["first"] = "permutation"
            for key, test in (("usual", "CRV1"), ("jackknife", "CRV3"), ("bootstrap", "WCR-31")):
                row[key] = 100 * mine[test].rejected
            permuted = "slots" if primary == "slots" else "RI-t"
            row["slots"] = 100 * mine[permuted].rejected
            row["plain"] = 100 * mine[f"{permuted}, plain"].rejected
            row["error"] = 100 * mine[primary].rejected_error
            rows.append(row)
        runs = self.found.sizes[0].runs
        return self._safe(
            rows,
            columns={
                "design": Column("Design, nine pilots"),
                "first": Column("First method"),
                "usual": Column("Usual errors", "", 1),
                "jackknife": Column("Jackknife", "", 1),
                "bootstrap": Column("Bootstrap", "", 1),
                "plain": Column("Plain permutation", "", 1),
                "slots": Column("Studentised permutation (RI-t)", "", 1),
                "error": Column("Error", "", 1),
            },
            estimates=("usual", "jackknife", "bootstrap", "plain", "slots", "error"),
            title="False alarms in 100 data sets, by design",
            caption=f"{number(runs)} data sets without an effect in each row, spread over four "
            "designs drawn at random; sizes log-normal. Permutation: of series over places in "
            "matched groups, of adoption dates over authorities in panels; plain, and divided by "
            "the standard error (RI-t: jackknife in matched groups, CRV1 in panels). Error: Monte "
            "Carlo standard error of the first method.",
        )

    # --- chart -------------------------------------------------------------------------------

    def false_alarms(self) -> SafeFigure:
        """False alarms where nothing happened."""
        rows = [
            {"label": words, "value": 100 * self.tally("null", method).rejected}
            for method, (words, _, _) in self.methods.items()
        ]
        worst = self.tally("null", "usual").rejected
        best = self.tally("null", "slots").rejected
        return safe_figure(
            "bars",
            rows,
            title=f"Where nothing happened, usual errors raise {number(100 * worst)} false alarms "
            f"in 100; the permutation raises {number(100 * best)}",
            subtitle=f"{self.place}. Share in which a method reports an effect that is not there; "
            "a sound method does so 5 times in 100",
            alt="Bars, one for each method: false alarms in 100 data sets without an effect. The "
            "same numbers stand in the table below the chart.",
            source=self.source,
            origin="synthetic",
            rules=self.study.disclosure,
            options=FigureOptions(measure="False alarms", unit="per 100", decimals=1),
            estimates=("value",),
            residual_dof=DOF,
        )

    # --- words -------------------------------------------------------------------------------

    def checks(self) -> tuple[CheckResult, ...]:
        """Does the first method keep to its level where the comparison is fair?"""
        fair = [k for k in KINDS if KINDS[k][2] and self.tally(k, "slots").truth == 0]
        tallies = [self.tally(k, "slots") for k in fair]
        shares = [100 * t.rejected for t in tallies]
        error = 100 * max(share_error(t.rejected or 0.05, t.runs) for t in tallies)
        good = all(LOW - 2 * error <= v <= HIGH + 2 * error for v in shares)
        low, high = min(shares), max(shares)
        return (
            CheckResult(
                "size",
                "Does the first method keep to its own standard?",
                "pass" if good else "fail",
                f"Where the comparison is fair and nothing happened, the permutation raises "
                f"between {number(low, 1)} and {number(high, 1)} false alarms in 100 data sets. "
                f"We call {number(LOW, 1)} to {number(HIGH, 1)} good, give or take twice the "
                f"Monte Carlo error of {number(error, 1)}.",
                {"lowest": low, "highest": high, "error": error},
            ),
        )

    def prose(self, good: bool) -> dict[str, str]:
        """Sentences with places for claims."""
        released = self.found.source == "released"
        lead = (
            "Trust the permutation; do not trust the usual errors, and trust nothing where the "
            "comparison is unfair."
            if good
            else "No method here keeps to its own standard everywhere; see the table below."
        )
        where = (
            "These are results this project has released: {validation.runs} of each kind, run by "
            "'make validate' on the same study, the same counts and the same code."
            if released
            else "These numbers were computed in this build, on {validation.runs} of each kind, "
            "because no released results of the same study, counts and code are at hand. They "
            "carry more chance than those of 'make validate'."
        )
        return {
            "answer": f"<strong>{lead}</strong> Where nothing happened, a sound method still "
            "reports an effect in {validation.level} of 100 data sets. The original's "
            "specification with usual errors does so in {validation.null.original.reports}, ours "
            "with the same kind of errors in {validation.null.usual.reports}, and the permutation "
            "of places, which this report puts first, in {validation.null.slots.reports}. Where "
            "kinship care really falls as planted, the permutation finds it in "
            "{validation.planted.slots.reports} of 100, and its interval holds the truth in "
            "{validation.planted.slots.covers}.",
            "limits": "No test mends an unfair comparison. Where pilots drift on a path of their "
            "own, the permutation reports an effect that is not there in "
            "{validation.trends.slots.reports} of 100 data sets; where recording changes, in "
            "{validation.recording.slots.reports}. Where comparators take the approach up too, it "
            "finds a real effect in {validation.contaminated.slots.reports} instead of "
            "{validation.planted.slots.reports}. Where pilots' yearly swings are twice those of "
            "comparators, it raises {validation.volatile.slots.reports} false alarms, because it "
            "first brings each series to the swing usual in its new place. Exchanging series as "
            "they are is exact only where all swing alike: the plain permutation raises "
            "{validation.volatile.plain.reports} there, the jackknife on its own "
            "{validation.volatile.jackknife.reports}, and the bootstrap "
            "{validation.volatile.bootstrap.reports}.",
            "sizes": "Over these designs the first method raises between {validation.sizes.low} "
            "and {validation.sizes.high} false alarms in 100; we call {validation.sizes.band} "
            "good. {validation.sizes.over}",
            "ladder": "With nothing wrong, {validation.ladder.clean} of 100 data sets would be "
            "rated moderate or better. With missing returns, other recording and another path "
            "together it is {validation.ladder.together}. But the rating sees only what a check "
            "looks at: of data sets in which pilots are on another path, "
            "{validation.ladder.diverging} of 100 still keep it, because a test of earlier years "
            "often misses a drift.",
            **differing.prose(self.found),
            "provenance": where,
            "analysts": "Outcomes are drawn by authority and calendar interval: the study's own "
            "counts, a yearly AR(1) shock of each authority sized from the study file, and "
            "binomial chance. Every test uses {validation.draws} draws. The interval holds the "
            "truth where the test at the truth does not reject. Usual errors: CRV1, t(G-1), with "
            "G/(G-1) x (N-1)/(N-K). Jackknife: CRV3, t(pilots - 1). Bootstrap: WCR-31. "
            "Permutation: places; studentised (RI-t) by the jackknife, or plain. "
            "Callaway-Sant'Anna and imputation: their own clustered error and the normal "
            f"distribution, as packages print them. {where}",
        }

    def result(self) -> ChapterResult:
        """Everything together."""
        self._claims()
        checks = self.checks()
        return ChapterResult(
            name=self.spec.name,
            title=self.spec.title,
            origin="synthetic",
            parameters=dict(self.chosen),
            claims=self.claims,
            tables={
                "kinds": self.kinds(),
                "reports": self.reports(),
                "covers": self.covers(),
                "bias": self.bias(),
                "ladder": self.ladder(),
                "sizes": self.sizes(),
                "differences": differing.differences(self.found, self._safe),
                "taken_up": differing.taken_up(self.found, self._safe),
                "parameters": parameters_table(self.spec, self.chosen, self.study.disclosure),
            },
            figures={"false_alarms": self.false_alarms()},
            checks=checks,
            prose={
                "minute": minute(self.spec.name, made_up=True),
                **self.prose(checks[0].status == "pass"),
            },
            hashes=self.hashes,
            notes={"provenance": self.found.source, **self.found.hashes},
        )
