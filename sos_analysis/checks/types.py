"""A check as a type: what was asked, how it came out, one sentence, the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sos_analysis.errors import SosError
from sos_analysis.formats import finite, number, quantity

STATUSES = {"pass": "Pass", "fail": "Fail", "info": "For information"}

#: Conventional level of the tests.
ALPHA = 0.05
#: Pre-trend tests have little power, so they pass only well above `ALPHA` (domain rule).
PRE_TREND_LEVEL = 0.10
#: Fewest treated clusters for which the bootstrap held its size in published simulations
#: (MacKinnon and Webb 2017; below six, randomisation inference alone).
FEW_TREATED = 6
#: Largest tolerated change of a denominator's share, pilots against comparators, in points.
DENOMINATOR_POINTS = 5.0
#: Largest tolerated imbalance after matching (L1 of Iacus, King and Porro 2012, 0 to 1).
L1_LIMIT = 0.10
#: Smallest share of returns or fields that must be there.
COMPLETE_SHARE = 0.95
#: Largest share of comparators with a like practice model that is taken as harmless.
CONTAMINATED_SHARE = 0.10


@dataclass(frozen=True)
class CheckResult:
    """One check: what was asked, how it came out, one sentence, the numbers behind it.

    Attributes
    ----------
    id : str
        Short name the evidence rules use ('pre_trends').
    title : str
        The question in a few words.
    status : str
        'pass', 'fail' or 'info'.
    sentence : str
        Plain words for readers.
    figures : mapping of str to float
        Numbers in the sentence and behind it, already safe to show.
    """

    id: str
    title: str
    status: str
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise SosError(
                f"check {self.id!r}: status {self.status!r} is unknown; "
                f"allowed: {', '.join(STATUSES)}"
            )
        if not self.sentence.strip() or not self.title.strip():
            raise SosError(f"check {self.id!r} needs a title and a sentence")
        bad = [k for k, v in self.figures.items() if not finite(v)]
        if bad:
            raise SosError(f"check {self.id!r}: not finite numbers: {', '.join(bad)}")
        frozen = {k: float(v) for k, v in self.figures.items()}
        object.__setattr__(self, "figures", MappingProxyType(frozen))

    @property
    def word(self) -> str:
        """Status for readers."""
        return STATUSES[self.status]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "sentence": self.sentence,
            "figures": dict(self.figures),
        }


def probability(p: float, what: str) -> float:
    """`p` as a float; SosError if it is not between 0 and 1."""
    if not finite(p) or not 0 <= p <= 1:
        raise SosError(f"{what}: {p!r} is not a probability between 0 and 1")
    return float(p)


def p_words(p: float) -> str:
    """'p = 0.031' or 'p <0.001'."""
    return f"p {quantity(p, 'p', 3)}" if p < 0.001 else f"p = {number(p, 3)}"
