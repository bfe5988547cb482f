"""'In one minute': what each chapter adds and what it cannot tell, in words alone."""

from __future__ import annotations

from collections.abc import Mapping

_EXAMPLE = "a worked example on made-up records, which shows how the analysis runs"
_REAL = "an analysis of the individual records"

#: For each chapter: what it adds on made-up and on real records, and what it cannot tell.
MINUTES: Mapping[str, tuple[str, str, str]] = {
    "rq1_assessment_duration": (
        _EXAMPLE,
        _REAL,
        "whether a shorter or a longer assessment is a better one",
    ),
    "rq2_rereferral_after_nfa": (
        _EXAMPLE,
        _REAL,
        "whether a child who is not referred again is safe, or only unseen",
    ),
    "rq3_escalation_on_rereferral": (
        _EXAMPLE,
        _REAL,
        "whether a plan or care was the right decision for the child",
    ),
    "rq4_kinship_care": (
        _EXAMPLE,
        _REAL,
        "whether a child fares better with relatives than with other carers",
    ),
    "addendum_icpc": (
        f"{_EXAMPLE}, and what gaps in the returns can do to it",
        f"{_REAL}, and what gaps in the returns can do to it",
        "whether fewer conferences mean fewer children at risk or a higher threshold",
    ),
    "subgroup_ofsted_rating": (
        _EXAMPLE,
        _REAL,
        "whether a rating made the difference, or what lies behind a rating",
    ),
    "subgroup_embeddedness": (
        _EXAMPLE,
        _REAL,
        "whether better delivery would have helped a pilot that delivered less well",
    ),
    "comparator_practice_models": (
        _EXAMPLE,
        _REAL,
        "what the approach does where nobody uses anything like it",
    ),
    "robustness": (
        "the worked example run in every reasonable way, to see which of its conclusions hold",
        "the analysis run in every reasonable way, to see which conclusions hold",
        "whether all these ways share one fault",
    ),
    "method_validation": (
        "a trial of the methods on made-up data whose truth is known",
        "a trial of the methods on made-up data whose truth is known",
        "anything about the approach itself",
    ),
    "public_statistics": (
        "real evidence on whole authorities",
        "real evidence on whole authorities",
        "what became of single children, or anything about kinship care",
    ),
}


def minute(name: str, made_up: bool) -> str:
    """What a chapter adds, and what it cannot tell.

    Raises
    ------
    KeyError : there is no chapter of that name.
    """
    example, real, cannot = MINUTES[name]
    adds = example if made_up else real
    return f"<strong>This page adds</strong> {adds}. <strong>It cannot tell</strong> {cannot}."
