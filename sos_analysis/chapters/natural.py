"""Differences of public figures as people count: of 100 referrals, about so many fewer."""

from __future__ import annotations

import re

from sos_analysis.evidence import natural_frequency
from sos_analysis.records.public import PublicOutcome

#: What happened to so many of 100 or 10,000, by figure.
HAPPENED = {
    "rereferral": "came within twelve months of an earlier one",
    "nfa": "were closed with no further action",
    "not_in_need": "were assessed and found not in need",
    "within_45": "were completed in time",
    "s47": "were the subject of a protection enquiry in a year",
    "icpc": "were the subject of a conference in a year",
    "icpc_per_referral": "were followed by a conference",
    "cpp": "became the subject of a protection plan in a year",
    "looked_after": "were looked after at the end of the year",
}


def natural(outcome: PublicOutcome, value: float, low: float, high: float) -> str:
    """The difference as people count: of 100 referrals, about so many fewer, or as many."""
    text = natural_frequency(
        value, low, high, who=outcome.of, what=HAPPENED[outcome.short], per=int(outcome.per)
    )
    # Rounded to none, it is neither fewer nor more.
    return re.sub(r"\babout 0 (?:fewer|more)\b", "about as many", text)
