"""Tables and words of the methods chapter: effects that differ, comparators that take it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sos_analysis.disclosure import Column, SafeTable
from sos_analysis.formats import number
from sos_analysis.simulation.differences import DESIGNS, DIFFERENCES
from sos_analysis.validation import Validation

#: A test that finds a planted difference less often than this misses too many (ours).
ENOUGH = 0.8
#: Short name in claims; test of the tally.
TAKEN_UP: Mapping[str, str] = {
    "usual": "usual",
    "predicted": "as predicted",
    "exposure": "exposure model",
}


def claim_all(found: Validation, claim: Callable[..., str]) -> None:
    """Claims on rates and on bias."""
    for design in DESIGNS:
        for name in DIFFERENCES:
            t = found.differing(f"{name}_{design}")
            where = f"differ.{name.replace('_', '.')}.{design}"
            claim(f"{where}.reports", 100 * t.rejected)
            claim(f"{where}.covers", 100 * t.covered)
        for key, test in TAKEN_UP.items():
            t = found.differing(f"taken_up_{design}", test)
            where = f"taken.{design}.{key}"
            note = f"Mean over {t.runs} made-up data sets; {found.source}."
            for what, value in (
                ("bias", t.bias),
                ("error", t.bias_error),
                ("truth", t.truth),
            ):
                claim(f"{where}.{what}", 100 * value, "points", decimals=1, note=note)
            claim(f"{where}.reports", 100 * t.rejected, note=note)
        usual, expected = (
            found.differing(f"taken_up_{design}", TAKEN_UP[k]).truth for k in ("usual", "predicted")
        )
        claim(
            f"taken.{design}.predicted.bias.amount",
            100 * (expected - usual),
            "points",
            decimals=1,
            note=note,
        )
    claim("differ.gap.rating", 100 * DIFFERENCES["rating_planted"][1], "points")
    claim("differ.gap.dose", 100 * DIFFERENCES["dose_planted"][1], "points")


def differences(found: Validation, safe: Callable[..., SafeTable]) -> SafeTable:
    """How often a difference between pilots is reported, planted and not."""
    rows: list[dict[str, Any]] = []
    for design, design_words in DESIGNS.items():
        for name, (words, *_) in DIFFERENCES.items():
            t = found.differing(f"{name}_{design}")
            rows.append(
                {
                    "design": design_words,
                    "what": words,
                    "truth": 100 * t.truth,
                    "reports": 100 * t.rejected,
                    "error": 100 * t.rejected_error,
                    "bias": 100 * t.bias,
                    "bias_error": 100 * t.bias_error,
                    "covers": 100 * t.covered,
                }
            )
    return safe(
        rows,
        columns={
            "design": Column("Design"),
            "what": Column("Difference between pilots"),
            "truth": Column("Planted difference", "points", 1, signed=True),
            "reports": Column("Reported, in 100", "", 1),
            "error": Column("Error", "", 1),
            "bias": Column("Bias", "points", 2, signed=True),
            "bias_error": Column("Error of the bias", "points", 2),
            "covers": Column("Interval holds it, in 100", "", 1),
        },
        estimates=("truth", "reports", "error", "bias", "bias_error", "covers"),
        title="Is a difference between pilots found where it is planted, and not elsewhere?",
        caption="Label permutation, the first method of the chapters on ratings and on "
        "embedding. Which pilots have which rating (half of them the better one) or dose (0 to "
        "1, all values alike likely) is dealt anew in each of "
        f"{number(t.runs)} data sets. Planted: between the two ratings, or between dose 0 and "
        "dose 1. Errors are Monte Carlo standard errors.",
    )


def taken_up(found: Validation, safe: Callable[..., SafeTable]) -> SafeTable:
    """What comparators that take the approach up do to the estimates."""
    words = {
        "usual": "Usual estimate, against the true effect",
        "predicted": "Usual estimate, against the amount predicted for it",
        "exposure": "Exposure model, against the true effect",
    }
    rows: list[dict[str, Any]] = []
    for design, design_words in DESIGNS.items():
        for key, test in TAKEN_UP.items():
            t = found.differing(f"taken_up_{design}", test)
            rows.append(
                {
                    "design": design_words,
                    "what": words[key],
                    "against": 100 * t.truth,
                    "mean": 100 * t.mean,
                    "gap": 100 * t.bias,
                    "error": 100 * t.bias_error,
                    "reports": 100 * t.rejected,
                    "covers": 100 * t.covered,
                }
            )
    return safe(
        rows,
        columns={
            "design": Column("Design"),
            "what": Column("Estimate"),
            "against": Column("Held against", "points", 2, signed=True),
            "mean": Column("Mean estimate", "points", 2, signed=True),
            "gap": Column("Gap", "points", 2, signed=True),
            "error": Column("Error of the gap", "points", 2),
            "reports": Column("Reports an effect, in 100", "", 0),
            "covers": Column("Interval holds it, in 100", "", 0),
        },
        estimates=("against", "mean", "gap", "error", "reports", "covers"),
        title="Where comparators take the approach up, is the bias as predicted, and does the "
        "exposure model remove it?",
        caption=f"{number(t.runs)} data sets of each kind. From the year in which half of the "
        "pilots have begun, two in ten comparators have the whole effect and four in ten half "
        "of it; which ones is dealt anew for every 50 data sets. The exposure model is told "
        "the shares. Errors are Monte Carlo standard errors.",
    )


def prose(found: Validation) -> dict[str, str]:
    """Sentences with places for claims."""
    planted = [found.differing(f"{name}_planted_own").rejected for name in ("rating", "dose")]
    missed = (
        " So a difference that is not reported there may well exist."
        if min(planted) < ENOUGH
        else ""
    )
    return {
        "differences": "With many cases and small yearly swings, a planted difference of "
        "{validation.differ.gap.rating} between two ratings is found in "
        "{validation.differ.rating.planted.calm.reports} of 100 data sets. One of "
        "{validation.differ.gap.dose} between the lowest and the highest dose is found in "
        "{validation.differ.dose.planted.calm.reports}. Where no difference is planted, one is "
        "reported in {validation.differ.rating.none.calm.reports} and "
        "{validation.differ.dose.none.calm.reports}. With the worked example's own counts and "
        "swings false alarms are "
        "{validation.differ.rating.none.own.reports} and "
        "{validation.differ.dose.none.own.reports}, and the same planted differences are found "
        "in {validation.differ.rating.planted.own.reports} and "
        "{validation.differ.dose.planted.own.reports}." + missed,
        "taken_up": "Comparators that take the approach up pull the usual estimate towards "
        "zero. With many cases and small swings the prediction is a pull of "
        "{validation.taken.calm.predicted.bias.amount}; the mean pull is "
        "{validation.taken.calm.usual.bias}, with an error of "
        "{validation.taken.calm.usual.error}. The exposure model, told what comparators took "
        "up, is off by {validation.taken.calm.exposure.bias} on average, with an error of "
        "{validation.taken.calm.exposure.error}. It reports the effect in "
        "{validation.taken.calm.exposure.reports} of 100 data sets, the usual estimate in "
        "{validation.taken.calm.usual.reports}. What it cannot do is tell who took up what: "
        "that must be known.",
    }
