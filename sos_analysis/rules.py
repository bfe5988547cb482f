"""The published rules: from checks to a rating, and from class and rating to a sentence.

Data alone, in one place: the pages show these tables, `evidence` applies them, tests walk them.
They are this project's own (wording after the pattern of GRADE); they are not the scheme of the
published evaluation, whose rule could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# --- effect classes ---------------------------------------------------------------------------

CHANGE = "change"
CHANGE_UNCERTAIN = "change, size uncertain"
LITTLE = "little or no difference"
CANNOT_TELL = "cannot tell"

#: Class to what it takes, in the order in which it is decided.
CLASSES: Mapping[str, str] = {
    LITTLE: "The whole interval lies inside the smallest important difference.",
    CHANGE: "Otherwise: the interval leaves out zero, and both methods tell a difference. The "
    "interval lies wholly beyond the smallest important difference.",
    CHANGE_UNCERTAIN: "The same, but the interval reaches inside the smallest important "
    "difference.",
    CANNOT_TELL: "Otherwise.",
}
EFFECT_CLASSES = (CHANGE, CHANGE_UNCERTAIN, LITTLE, CANNOT_TELL)
#: A change, whatever is known of its size.
CHANGES = (CHANGE, CHANGE_UNCERTAIN)

# --- certainty --------------------------------------------------------------------------------

CERTAINTIES = ("very low", "low", "moderate", "high")

#: Where each kind of data starts (the check 'design'), and why.
START: Mapping[str, tuple[str, str]] = {
    "restricted": (
        "moderate",
        "Authorities chose to take part, so other causes cannot be ruled out: the rating starts "
        "at moderate.",
    ),
    "public": (
        "low",
        "Totals of whole authorities stand for children, and pilots chose to take part: the "
        "rating starts at low.",
    ),
}

#: What would raise a result of this design of which every check has passed.
BETTER_DESIGN: Mapping[str, str] = {
    "public": "Records of single children, who can be followed and matched.",
    "restricted": "Authorities that take up the approach in an order decided by lot.",
}

#: What a rule does to the rating.
LOWER, HOLD_LOW, HOLD_MODERATE, NOTHING = (
    "lowers it by a step",
    "holds it at low",
    "holds it at moderate",
    "changes nothing",
)


@dataclass(frozen=True)
class Rule:
    """One row of the table: what a check that failed, or was not made, does to the rating.

    Attributes
    ----------
    check : id of the `CheckResult`.
    asks : the threat in a few words.
    failed, missing : one of the effects above.
    if_failed, if_missing : the reason a reader is given.
    would_help : what would change the rating.
    classes : effect classes that it bears on; empty for all.
    inform : whether 'for information' counts as nothing against the result.
    """

    check: str
    asks: str
    failed: str
    missing: str
    if_failed: str
    if_missing: str
    would_help: str
    classes: tuple[str, ...] = ()
    inform: bool = False


#: The rating goes up a step where every check that bears on the result was made and passed.
RULES: tuple[Rule, ...] = (
    Rule(
        "few_clusters",
        "Inference with few authorities",
        LOWER,
        HOLD_LOW,
        "Too few pilot authorities for the main method.",
        "The number of authorities was not checked.",
        "More authorities that take up the approach at known dates.",
    ),
    Rule(
        "pre_trends",
        "Different paths before adoption",
        LOWER,
        HOLD_LOW,
        "Pilots and comparators were already moving apart before adoption.",
        "Trends before adoption were not tested.",
        "Comparators that moved like the pilots before adoption.",
    ),
    Rule(
        "pre_trend_power",
        "Whether a drift would have been seen",
        HOLD_MODERATE,
        HOLD_MODERATE,
        "A drift large enough to matter could have gone unnoticed before adoption.",
        "It was not worked out how large a drift could have gone unnoticed.",
        "More years before adoption, in which a drift would show.",
    ),
    Rule(
        "breakdown",
        "Other trends after adoption (breakdown value)",
        HOLD_MODERATE,
        HOLD_MODERATE,
        "A drift after adoption as large as one seen before it would undo the result.",
        "It was not worked out how large a drift would undo the result.",
        "A result that stands even if pilots drift as far as they did before adoption.",
        (CHANGE, CHANGE_UNCERTAIN),
        inform=True,
    ),
    Rule(
        "placebo",
        "A false date",
        LOWER,
        HOLD_MODERATE,
        "The method finds a difference at a date when nothing happened.",
        "No false date was tried.",
        "Nothing found where nothing happened.",
    ),
    Rule(
        "leave_one_out",
        "One authority alone",
        LOWER,
        HOLD_LOW,
        "The result hangs on one authority.",
        "It was not tested whether the result hangs on one authority.",
        "A result that stays when any one authority is left out.",
    ),
    Rule(
        "specification_curve",
        "Choices of the analyst",
        LOWER,
        HOLD_MODERATE,
        "The reading hangs on choices of the analyst.",
        "Not every way to run the analysis was tried.",
        "The same reading whichever way the analysis is run.",
    ),
    Rule(
        "completeness",
        "Missing data",
        LOWER,
        HOLD_LOW,
        "Part of the data is missing.",
        "Completeness of the data was not checked.",
        "Complete returns from every authority.",
    ),
    Rule(
        "denominator_stability",
        "A shift in who is counted ('no further action')",
        LOWER,
        HOLD_LOW,
        "The group that is counted changed differently in pilots.",
        "It was not tested whether the group that is counted changed.",
        "The same recording of referrals in pilots and comparators.",
        inform=True,
    ),
    Rule(
        "contamination",
        "Comparators that use a similar approach",
        LOWER,
        HOLD_MODERATE,
        "Comparators used a similar approach, which hides differences.",
        "It was not looked at which comparators used a similar approach.",
        "Comparators that did not use a similar approach.",
        # It pulls towards zero: a change that is found in spite of it is no less sure.
        (LITTLE,),
    ),
    Rule(
        "balance",
        "Children who are not alike",
        LOWER,
        NOTHING,
        "The matched children still differ on what was recorded.",
        "",
        "Closer matches between pilots and comparators.",
    ),
)
#: Said of a result that cannot tell, which is held at low.
TOO_WIDE = "The interval is too wide to decide."
TORN = "The two methods of inference disagree."
NARROWER = "More authorities or more years, for a narrower interval."
RAISED = "Every check was made and passed: the rating goes up a step."
WOULD_RAISE = "Every check made, and passed: a placebo date, bounds and other analyses included."

# --- words ------------------------------------------------------------------------------------

_UNSURE = "We are very unsure whether {subject} changes {outcome}."
_SIZE = ", by an amount that may or may not matter."

#: (class, certainty) to the sentence; None where there can be none. {verb} is reduce or increase.
SENTENCES: Mapping[tuple[str, str], str | None] = {
    (CHANGE, "high"): "{subject} {verb}s {outcome}.",
    (CHANGE, "moderate"): "{subject} probably {verb}s {outcome}.",
    (CHANGE, "low"): "{subject} may {verb} {outcome}.",
    (CHANGE, "very low"): _UNSURE,
    (CHANGE_UNCERTAIN, "high"): "{subject} {verb}s {outcome}" + _SIZE,
    (CHANGE_UNCERTAIN, "moderate"): "{subject} probably {verb}s {outcome}" + _SIZE,
    (CHANGE_UNCERTAIN, "low"): "{subject} may {verb} {outcome}" + _SIZE,
    (CHANGE_UNCERTAIN, "very low"): _UNSURE,
    (LITTLE, "high"): "{subject} makes little or no difference to {outcome}.",
    (LITTLE, "moderate"): "{subject} probably makes little or no difference to {outcome}.",
    (LITTLE, "low"): "{subject} may make little or no difference to {outcome}.",
    (LITTLE, "very low"): _UNSURE,
    (CANNOT_TELL, "high"): None,
    (CANNOT_TELL, "moderate"): None,
    (CANNOT_TELL, "low"): (
        "We cannot tell whether {subject} changes {outcome}: the evidence is too imprecise, and "
        "an important change cannot be ruled out."
    ),
    (CANNOT_TELL, "very low"): _UNSURE,
}
#: Said first where a change goes the unwanted way.
HARMS: Mapping[str, str] = {
    "high": "A harm: ",
    "moderate": "A probable harm: ",
    "low": "A possible harm: ",
}
VERBS: Mapping[str, str] = {"down": "reduce", "up": "increase"}
#: On made-up data: class to the sentence, which speaks of the worked example alone.
EXAMPLES: Mapping[str, str] = {
    CHANGE: "In the worked example the method reports {noun} in {outcome}.",
    CHANGE_UNCERTAIN: (
        "In the worked example the method reports {noun} in {outcome}, of uncertain size."
    ),
    LITTLE: "In the worked example the method reports little or no difference in {outcome}.",
    CANNOT_TELL: (
        "In the worked example the made-up data are too imprecise to tell whether there was a "
        "change in {outcome}."
    ),
}
NOUNS: Mapping[str, str] = {"down": "a fall", "up": "a rise"}
