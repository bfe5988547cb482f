"""The ways to run an analysis that were declared in advance, from one small TOML file.

``data/specifications/curve.toml`` lists the answers to each choice; the specification curve is
their full cross. What is not listed is not run, so the file is the whole universe.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sos_analysis.errors import StudyError
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Frozen, Section, content_hash, parse

UNIVERSE = ROOT / "data" / "specifications" / "curve.toml"

#: Every choice and the answers that the code knows.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "definition": ("original", "strict"),
    "comparators": ("all", "first", "other_models", "england"),
    "effects": ("none", "authority", "group"),
    "weights": ("matched", "cases", "authorities"),
    "covariates": ("none", "child", "child_authority"),
    "embedding": ("left_out", "counted", "widened"),
    "window": ("all", "close", "first"),
    "period": ("all", "recent"),
}
_NUMBERS = ("draws", "fewest_groups", "first_year", "years_before", "years_after")
_NAMED = ("original", "preferred")

Way = Mapping[str, str]


@dataclass(frozen=True)
class Universe:
    """Declared specifications.

    Attributes
    ----------
    answers : mapping of choice to the answers declared, in order.
    named : 'original' and 'preferred' as (choice, answer) mappings; both are in the universe.
    draws, fewest_groups, first_year, years_before, years_after : see the file.
    hash : SHA-256 of the content (comments do not count).
    """

    answers: Mapping[str, tuple[str, ...]]
    named: Mapping[str, Way]
    draws: int
    fewest_groups: int
    first_year: int
    years_before: int
    years_after: int
    hash: str

    def ways(self) -> tuple[Way, ...]:
        """The full cross, in the order of the file."""
        crossed = itertools.product(*(self.answers[choice] for choice in CHOICES))
        return tuple(Frozen(zip(CHOICES, answers, strict=True)) for answers in crossed)


def load_universe(path: Path | str = UNIVERSE) -> Universe:
    """Read and check a file of specifications.

    Raises
    ------
    StudyError : names the file, the key, what was found and what is allowed.
    """
    path = Path(path)
    content = parse(path, StudyError)
    top = Section(content, "", ("curve", "named"), file=path.name, error=StudyError)
    head = top.section("curve", (*_NUMBERS, *CHOICES))
    answers: dict[str, tuple[str, ...]] = {}
    for choice, known in CHOICES.items():
        answers[choice] = head.texts(choice, known)
        if not answers[choice]:
            head.fail(choice, "found an empty list; give at least one answer.")
    table = top.section("named", _NAMED)
    named = {}
    for name in _NAMED:
        section = table.section(name, tuple(CHOICES))
        # A named way outside the universe could not be marked on the curve.
        named[name] = Frozen({c: section.text(c, answers[c]) for c in CHOICES})
    return Universe(
        answers=Frozen(answers),
        named=Frozen(named),
        draws=head.whole("draws", 99, 99_999),
        fewest_groups=head.whole("fewest_groups", 2, 100),
        first_year=head.whole("first_year", 2000, 2100),
        years_before=head.whole("years_before", 1, 20),
        years_after=head.whole("years_after", 1, 20),
        hash=content_hash(content),
    )
