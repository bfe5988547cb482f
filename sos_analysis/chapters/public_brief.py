"""The companion's verdicts in a few words, for the start page."""

from __future__ import annotations

from collections.abc import Sequence

from sos_analysis.evidence import CHANGE, CHANGE_UNCERTAIN, LITTLE, Verdict

_VERBS = {"high": "{verb}s", "moderate": "probably {verb}s", "low": "may {verb}"}
_HARM = {"high": "a harm", "moderate": "a probable harm", "low": "a possible harm"}
_LITTLE = {"high": "", "moderate": "probably ", "low": "perhaps "}


def decided(found: Verdict) -> bool:
    """Does the verdict say anything but that we cannot tell?"""
    told = (CHANGE, CHANGE_UNCERTAIN, LITTLE)
    return found.effect_class in told and found.certainty not in (None, "very low")


def brief(label: str, found: Verdict, value: float) -> str:
    """A rated verdict for a narrow cell: 'Assessed in time: may fall, a possible harm'.

    Parameters
    ----------
    label : the figure's short name.
    found : a rated verdict.
    value : the estimate, for its direction.
    """
    certainty = found.certainty or "very low"
    if certainty == "very low":
        return f"{label}: very unsure"
    if not decided(found):
        return f"{label}: cannot tell"
    if found.effect_class == LITTLE:
        return f"{label}: {_LITTLE[certainty]}little or no difference"
    verb = _VERBS[certainty].format(verb="fall" if value < 0 else "rise")
    return f"{label}: {verb}, {_HARM[certainty]}" if found.harm else f"{label}: {verb}"


def headline(found: Sequence[Verdict]) -> str:
    """Several verdicts in one sentence, harm first; '' where none decides anything."""
    told = sorted((v for v in found if decided(v)), key=lambda v: not v.harm)
    if not told:
        return ""
    first, *others = (v.sentence.removesuffix(".") for v in told)
    parts = [first[:1].upper() + first[1:], *(o[:1].lower() + o[1:] for o in others)]
    if len(told) < len(found):
        parts.append("public statistics cannot tell whether it changed any other figure")
    return f"{'; '.join(parts)}."
