"""Words that belong to one outcome: what it is called in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OutcomeWords:
    """How an outcome is spoken of.

    Attributes
    ----------
    noun : as in 'a change in {noun}'.
    good : wanted direction of a change: 'down', 'up', or None where either may be good.
    events : what is counted, plural.
    public : what public statistics can say; or None, and
    near : the companion's figure that comes nearest, with what sets it apart.
    happened : what happened to so many of 100 of them; '' where the outcome is a number of days.
    """

    noun: str
    good: str | None
    events: str
    public: str | None
    near: tuple[str, str] = ("", "")
    happened: str = ""


OUTCOME_WORDS: Mapping[str, OutcomeWords] = {
    "duration": OutcomeWords(
        noun="the length of assessments",
        good=None,
        events="assessments",
        public=None,
        near=(
            "within_45",
            "That figure counts assessments completed within the statutory limit, by authority "
            "and year; it is not the length of an assessment.",
        ),
    ),
    "rereferral": OutcomeWords(
        noun="re-referral within six months",
        good="down",
        events="cases closed with no further action",
        public=None,
        near=(
            "rereferral",
            "That figure counts every re-referral within twelve months, by authority and year; it "
            "is not the outcome of this chapter.",
        ),
        happened="were referred again within six months",
    ),
    "escalation": OutcomeWords(
        noun="re-referral that leads to a protection plan or to care",
        good="down",
        events="cases closed with no further action",
        public="No public figure follows single cases from one referral to a plan or to care.",
        happened="were referred again and had a protection plan or came into care",
    ),
    "kinship": OutcomeWords(
        noun="kinship instead of non-kinship care",
        good="up",
        events="periods of care under a care order",
        public="They say nothing on this: kinship shares of authorities are not published.",
        happened="were in kinship care",
    ),
    "icpc": OutcomeWords(
        noun="initial child protection conferences within ninety days",
        good=None,
        events="referrals that became cases of children in need",
        public="This report does not yet hold a public figure on conferences.",
        happened="led to an initial child protection conference",
    ),
}
