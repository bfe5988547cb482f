"""From checks and precision to a rating, and from the rating to a sentence.

Three dials, never one: the effect class says what was found, the certainty how sure one can be,
and cost is 'not estimated here'. Certainty is not size.

Effect classes use the 95 % interval, the minimum important difference (MID) declared beforehand
and the two declared p-values (0.05 on either):

1. interval inside ±MID: little or no difference;
2. p-values on opposite sides: inconclusive;
3. interval excludes zero and both p-values are below 0.05: a change, its size uncertain where
   the interval reaches inside the MID;
4. else: cannot tell.

The rules and the grid of words are this project's own (after the GRADE pattern of wording); they
are not the scheme of the published evaluation, whose rule could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_analysis.checks import ALPHA, CheckResult
from sos_analysis.errors import SosError
from sos_analysis.formats import finite, spoken

CHANGE = "change"
CHANGE_UNCERTAIN = "change, size uncertain"
LITTLE = "little or no difference"
CANNOT_TELL = "cannot tell"
INCONCLUSIVE = "inconclusive"
EFFECT_CLASSES = (CHANGE, CHANGE_UNCERTAIN, LITTLE, CANNOT_TELL, INCONCLUSIVE)

CERTAINTIES = ("very low", "low", "moderate", "high")
COST = "not estimated here"
RATED_ORIGINS = ("public", "restricted")

#: Too imprecise for any certainty above low.
_UNDECIDED = (CANNOT_TELL, INCONCLUSIVE)


@dataclass(frozen=True)
class Verdict:
    """What was found, how sure, in words, and why.

    `certainty` is None on made-up data, which is never rated. `harm` is True where the change
    goes the unwanted way.
    """

    effect_class: str
    certainty: str | None
    sentence: str
    reasons: tuple[str, ...]
    what_would_change: tuple[str, ...]
    origin: str
    harm: bool = False

    @property
    def cost(self) -> str:
        """The third dial, never blank."""
        return COST

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "effect_class": self.effect_class,
            "certainty": self.certainty,
            "sentence": self.sentence,
            "reasons": list(self.reasons),
            "what_would_change": list(self.what_would_change),
            "origin": self.origin,
            "harm": self.harm,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Verdict:
        """Verdict from `to_dict`."""
        lists = ("reasons", "what_would_change")
        values: dict[str, Any] = {k: tuple(v) if k in lists else v for k, v in content.items()}
        return cls(**values)


def effect_class(low: float, high: float, mid: float, p_primary: float, p_secondary: float) -> str:
    """Class of an effect from its 95 % interval, the MID and the two p-values.

    Parameters
    ----------
    low, high : float
        Ends of the primary interval, in the unit of `mid`.
    mid : float
        Minimum important difference, above zero.
    p_primary, p_secondary : float
        P-values of the two declared procedures.

    Returns
    -------
    str
        One of `EFFECT_CLASSES`.

    Raises
    ------
    SosError
        An end is not finite, the ends are swapped, the MID is not positive, or a p-value is not
        between 0 and 1.
    """
    for name, value in (("low", low), ("high", high), ("mid", mid)):
        if not finite(value):
            raise SosError(f"effect_class: {name} is {value!r}; give a finite number")
    if low > high:
        raise SosError(f"effect_class: the interval runs from {low} to {high}; swap the ends")
    if mid <= 0:
        raise SosError(f"effect_class: mid is {mid}; it must be above zero")
    for name, p in (("p_primary", p_primary), ("p_secondary", p_secondary)):
        if not finite(p) or not 0 <= p <= 1:
            raise SosError(f"effect_class: {name} is {p!r}; give a number between 0 and 1")
    if -mid < low and high < mid:
        return LITTLE
    if (p_primary < ALPHA) != (p_secondary < ALPHA):
        return INCONCLUSIVE
    if (low > 0 or high < 0) and p_primary < ALPHA:
        return CHANGE if low >= mid or high <= -mid else CHANGE_UNCERTAIN
    return CANNOT_TELL


# --- certainty --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """One row of the certainty table: a check that, if it fails, costs a step."""

    check: str
    if_failed: str
    if_missing: str
    would_help: str


#: Where each kind of data starts, and why.
START = {
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

#: Published rule table: each failed check costs one step; a missing one holds the rating at low.
RULES = (
    Rule(
        "pre_trends",
        "Pilots and comparators were already moving apart before adoption.",
        "Trends before adoption were not tested.",
        "Comparators that moved like the pilots before adoption.",
    ),
    Rule(
        "few_clusters",
        "Too few pilot authorities for the main method.",
        "The number of authorities was not checked.",
        "More authorities that take up the approach at known dates.",
    ),
    Rule(
        "leave_one_out",
        "The result hangs on one authority.",
        "It was not tested whether the result hangs on one authority.",
        "A result that stays when any one authority is left out.",
    ),
    Rule(
        "denominator_stability",
        "The group that is counted changed differently in pilots.",
        "It was not tested whether the group that is counted changed.",
        "The same recording of referrals in pilots and comparators.",
    ),
    Rule(
        "completeness",
        "Part of the data is missing.",
        "Completeness of the data was not checked.",
        "Complete returns from every authority.",
    ),
    Rule(
        "balance",
        "The matched children still differ on what was recorded.",
        "",
        "Closer matches between pilots and comparators.",
    ),
)
#: Both must pass, with nothing failed or missing, for one step up.
RAISING = ("placebo", "breakdown")


def certainty(
    checks: Sequence[CheckResult], effect: str, origin: str
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Rating of `public` or `restricted` results from the rule table.

    Parameters
    ----------
    checks : sequence of CheckResult
        Ids that `RULES` and `RAISING` know; others are ignored.
    effect : str
        One of `EFFECT_CLASSES`; an undecided one holds the rating at low.
    origin : str
        'public' or 'restricted'.

    Returns
    -------
    (rating, reasons, what would change it)

    Raises
    ------
    SosError
        Results on made-up data, or of another origin, are not rated; the class is unknown.
    """
    if origin not in RATED_ORIGINS:
        raise SosError(
            f"results of origin {origin!r} are not rated; allowed: {', '.join(RATED_ORIGINS)}"
        )
    if effect not in EFFECT_CLASSES:
        raise SosError(f"no effect class {effect!r}; allowed: {', '.join(EFFECT_CLASSES)}")
    status = {c.id: c.status for c in checks}
    word, why = START[origin]
    level, reasons, change = CERTAINTIES.index(word), [why], []
    missing = False
    for rule in RULES:
        if status.get(rule.check) == "fail":
            level -= 1
            reasons.append(rule.if_failed)
            change.append(rule.would_help)
        elif rule.check not in status and rule.if_missing:
            missing = True
            reasons.append(rule.if_missing)
            change.append(rule.would_help)
    clean = not change and not missing
    if clean and all(status.get(name) == "pass" for name in RAISING):
        level += 1
        reasons.append("Placebo tests and the breakdown value support the result.")
    elif clean:
        change.append("Placebo tests and a breakdown value that support the result.")
    if effect in _UNDECIDED:
        reasons.append(
            "The two methods of inference disagree."
            if effect == INCONCLUSIVE
            else "The interval is too wide to decide."
        )
        change.append("More authorities or more years, for a narrower interval.")
    cap = CERTAINTIES.index("low") if missing or effect in _UNDECIDED else len(CERTAINTIES) - 1
    return CERTAINTIES[max(0, min(level, cap))], tuple(reasons), tuple(change)


# --- words ------------------------------------------------------------------------------------

_VERBS = {
    "high": ("{verb}s", "makes"),
    "moderate": ("probably {verb}s", "probably makes"),
    "low": ("may {verb}", "may make"),
}
_HARM = {"high": "A harm: ", "moderate": "A probable harm: ", "low": "A possible harm: "}
_DIRECTIONS = {"down": "reduce", "up": "increase"}


def words(
    effect: str,
    certainty: str | None,
    *,
    outcome: str,
    origin: str,
    direction: str | None = None,
    good: str | None = None,
    subject: str = "Signs of Safety",
) -> str:
    """The sentence for an effect class and a certainty.

    Parameters
    ----------
    effect : str
        One of `EFFECT_CLASSES`.
    certainty : str or None
        One of `CERTAINTIES`; None on made-up data.
    outcome : str
        As in 'reduces {outcome}': 're-referral within six months'.
    origin : str
        'public', 'restricted' or 'synthetic'.
    direction : {'down', 'up'}, optional
        Needed where the class is a change.
    good : {'down', 'up'}, optional
        The wanted direction; a change the other way is named as a harm first.
    subject : str
        Who does it; not used on made-up data, where only the worked example is spoken of.

    Returns
    -------
    str
        One sentence without digits.

    Raises
    ------
    SosError
        A value is unknown, a direction is missing, a rating is given to made-up data, made-up
        data would name the programme, or a high or moderate certainty is given to a result that
        cannot tell.
    """
    _check_words(effect, certainty, outcome, origin, direction, good)
    if origin == "synthetic":
        return _example(effect, outcome, direction)
    if certainty == "very low":
        return f"We are very unsure whether {subject} changes {outcome}."
    if effect == CANNOT_TELL:
        return (
            f"We cannot tell whether {subject} changes {outcome}: the evidence is too imprecise, "
            "and an important change cannot be ruled out."
        )
    if effect == INCONCLUSIVE:
        return (
            f"We cannot tell whether {subject} changes {outcome}: the two methods declared in "
            "advance disagree."
        )
    change, make = _VERBS[certainty or ""]
    if effect == LITTLE:
        return f"{subject} {make} little or no difference to {outcome}."
    sentence = f"{subject} {change.format(verb=_DIRECTIONS[direction or ''])} {outcome}"
    if effect == CHANGE_UNCERTAIN:
        sentence += ", by an amount that may or may not matter"
    lead = _HARM[certainty or ""] if _is_harm(effect, direction, good) else ""
    return f"{lead}{sentence}."


def _is_harm(effect: str, direction: str | None, good: str | None) -> bool:
    return effect in (CHANGE, CHANGE_UNCERTAIN) and good is not None and direction != good


def _example(effect: str, outcome: str, direction: str | None) -> str:
    """Worked example: speaks of made-up authorities and of nothing else."""
    if effect in (CHANGE, CHANGE_UNCERTAIN):
        noun = "a fall" if direction == "down" else "a rise"
        tail = ", of uncertain size" if effect == CHANGE_UNCERTAIN else ""
        return f"In the worked example the method reports {noun} in {outcome}{tail}."
    if effect == LITTLE:
        return f"In the worked example the method reports little or no difference in {outcome}."
    if effect == INCONCLUSIVE:
        return (
            f"In the worked example the two methods of inference disagree about {outcome}, "
            "so it is called inconclusive."
        )
    return (
        "In the worked example the made-up data are too imprecise to tell whether there was a "
        f"change in {outcome}."
    )


def _check_words(
    effect: str,
    certainty: str | None,
    outcome: str,
    origin: str,
    direction: str | None,
    good: str | None,
) -> None:
    if effect not in EFFECT_CLASSES:
        raise SosError(f"no effect class {effect!r}; allowed: {', '.join(EFFECT_CLASSES)}")
    for name, value in (("direction", direction), ("good", good)):
        if value not in (None, "down", "up"):
            raise SosError(f"{name} is {value!r}; allowed: down, up")
    if effect in (CHANGE, CHANGE_UNCERTAIN) and direction is None:
        raise SosError(f"effect {effect!r} needs a direction: down or up")
    if origin == "synthetic":
        if certainty is not None:
            raise SosError("results on made-up data are not rated: certainty must be None")
        if "signs of safety" in outcome.lower():
            raise SosError("a sentence on made-up data must not name Signs of Safety")
        return
    if origin not in RATED_ORIGINS:
        raise SosError(
            f"no words for origin {origin!r}; allowed: {', '.join(RATED_ORIGINS)}, synthetic"
        )
    if certainty not in CERTAINTIES:
        raise SosError(f"certainty {certainty!r} is unknown; allowed: {', '.join(CERTAINTIES)}")
    if effect in _UNDECIDED and certainty in ("high", "moderate"):
        raise SosError(f"a result that is {effect!r} cannot have {certainty} certainty")


def verdict(
    *,
    value: float,
    low: float,
    high: float,
    mid: float,
    p_primary: float,
    p_secondary: float,
    outcome: str,
    origin: str,
    checks: Sequence[CheckResult] = (),
    good: str | None = None,
    subject: str = "Signs of Safety",
) -> Verdict:
    """Class, rating (not on made-up data) and sentence of one estimate, with the reasons.

    Parameters as in `effect_class`, `certainty` and `words`; `value` gives the direction.
    """
    effect = effect_class(low, high, mid, p_primary, p_secondary)
    direction = "down" if value < 0 else "up"
    if origin == "synthetic":
        rating, reasons, change = None, ("Made-up data are not rated.",), ()
    else:
        rating, reasons, change = certainty(checks, effect, origin)  # type: ignore[assignment]
    sentence = words(
        effect,
        rating,
        outcome=outcome,
        origin=origin,
        direction=direction,
        good=good,
        subject=subject,
    )
    harm = origin != "synthetic" and rating != "very low" and _is_harm(effect, direction, good)
    return Verdict(effect, rating, sentence, reasons, change, origin, harm)


def natural_frequency(
    value: float,
    low: float | None,
    high: float | None,
    *,
    who: str,
    what: str,
    per: int = 100,
    decimals: int = 0,
) -> str:
    """'Of 100 looked-after children, about 8 fewer (between 3 and 12 fewer) lived with kin.'

    Parameters
    ----------
    value, low, high : float
        Difference and interval, per `per` people.
    who : str
        The people ('looked-after children').
    what : str
        What happened to them ('lived with family or friends').
    per : int
        100, 1,000 or 10,000; keep one for a whole column.
    """
    told = spoken(value, low, high, f"per {per:,}", decimals)
    return f"Of {per:,} {who}, {told} {what}."
