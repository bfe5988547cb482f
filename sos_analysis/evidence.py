"""From checks and precision to a rating, and from the rating to a sentence.

Three dials, never one: the effect class says what was found, the certainty how sure one can be,
and cost is 'not estimated here'. Certainty is not size.

The tables that decide are data (`sos_analysis.rules`): this module applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_analysis.checks import ALPHA, CheckResult
from sos_analysis.errors import SosError
from sos_analysis.formats import finite, spoken
from sos_analysis.rules import (
    BETTER_DESIGN,
    CANNOT_TELL,
    CERTAINTIES,
    CHANGE,
    CHANGE_UNCERTAIN,
    CHANGES,
    EFFECT_CLASSES,
    EXAMPLES,
    HARMS,
    HOLD_LOW,
    HOLD_MODERATE,
    LITTLE,
    LOWER,
    NARROWER,
    NOTHING,
    NOUNS,
    RAISED,
    RULES,
    SENTENCES,
    START,
    TOO_WIDE,
    TORN,
    VERBS,
    WOULD_RAISE,
    Rule,
)

COST = "not estimated here"
RATED_ORIGINS = ("public", "restricted")
_CAPS = {HOLD_LOW: "low", HOLD_MODERATE: "moderate"}


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
    if (low > 0 or high < 0) and max(p_primary, p_secondary) < ALPHA:
        return CHANGE if low >= mid or high <= -mid else CHANGE_UNCERTAIN
    return CANNOT_TELL


# --- certainty --------------------------------------------------------------------------------


def certainty(
    checks: Sequence[CheckResult], effect: str, origin: str, *, torn: bool = False
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Rating of `public` or `restricted` results from the rule table.

    Parameters
    ----------
    checks : sequence of CheckResult
        Ids that `RULES` knows; others are ignored. Of several with one id the worst counts.
    effect : str
        One of `EFFECT_CLASSES`; 'cannot tell' holds the rating at low.
    origin : str
        'public' or 'restricted'.
    torn : bool
        Whether the two methods of inference disagree; decides the reason given.

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
    word, why = START[origin]
    level, cap = CERTAINTIES.index(word), len(CERTAINTIES) - 1
    reasons, change, clean = [why], list[str](), True
    for rule in RULES:
        if rule.classes and effect not in rule.classes:
            continue
        action, reason, good = _judged(rule, checks)
        clean &= good
        level -= action == LOWER
        if action in _CAPS:
            cap = min(cap, CERTAINTIES.index(_CAPS[action]))
        if reason:
            reasons.append(reason)
            change.append(rule.would_help)
    if clean:
        level += 1
        reasons.append(RAISED)
        change.append(BETTER_DESIGN[origin])
    elif not change:
        change.append(WOULD_RAISE)
    if effect == CANNOT_TELL:
        cap = min(cap, CERTAINTIES.index("low"))
        reasons.append(TORN if torn else TOO_WIDE)
        change.append(NARROWER)
    return CERTAINTIES[max(0, min(level, cap))], tuple(reasons), tuple(change)


def _judged(rule: Rule, checks: Sequence[CheckResult]) -> tuple[str, str, bool]:
    """What the rule does, the reason it gives, and whether the check stands in no one's way."""
    found = {c.status for c in checks if c.id == rule.check}
    if "fail" in found:
        return rule.failed, rule.if_failed, False
    if not found:
        return rule.missing, rule.if_missing, rule.missing == NOTHING
    return NOTHING, "", rule.inform or found == {"pass"}


# --- words ------------------------------------------------------------------------------------


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
        return EXAMPLES[effect].format(noun=NOUNS.get(direction or "", ""), outcome=outcome)
    rated = certainty or ""
    sentence = (SENTENCES[effect, rated] or "").format(
        subject=subject, verb=VERBS.get(direction or "", ""), outcome=outcome
    )
    if rated in HARMS and _is_harm(effect, direction, good):
        return HARMS[rated] + sentence
    return sentence[:1].upper() + sentence[1:]


def _is_harm(effect: str, direction: str | None, good: str | None) -> bool:
    return effect in CHANGES and good is not None and direction != good


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
    if effect in CHANGES and direction is None:
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
    if SENTENCES[effect, certainty] is None:
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
        torn = (p_primary < ALPHA) != (p_secondary < ALPHA)
        rating, reasons, change = certainty(  # type: ignore[assignment]
            checks, effect, origin, torn=torn
        )
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
