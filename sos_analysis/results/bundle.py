"""The results bundle: the results of all chapters, and every claim by its id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from sos_analysis.errors import ClaimError
from sos_analysis.results.chapter import ChapterResult
from sos_analysis.results.claims import FINGERPRINTS, Claim, unknown


@dataclass(frozen=True)
class Bundle:
    """Results of all chapters, and every claim by its id."""

    chapters: Mapping[str, ChapterResult]
    claims: Mapping[str, Claim]

    def claim(self, claim_id: str) -> Claim:
        """Claim by id; ClaimError with near names if no chapter holds it."""
        if claim_id not in self.claims:
            raise unknown(claim_id, self.claims, "the results")
        return self.claims[claim_id]

    def chapter(self, name: str) -> ChapterResult:
        """Chapter by name."""
        if name not in self.chapters:
            raise ClaimError(
                f"no chapter {name!r}; there are: {', '.join(self.chapters) or 'none'}"
            )
        return self.chapters[name]

    @cached_property
    def makers(self) -> Mapping[str, str]:
        """Claim id to the name of the result that holds it."""
        return MappingProxyType({i: c.name for c in self for i in c.claims})

    @cached_property
    def seals(self) -> Mapping[str, str]:
        """Name of a result to the hash of its content."""
        return MappingProxyType({c.name: c.seal for c in self})

    def unfounded(self) -> tuple[str, ...]:
        """A sentence for each result with a claim that does not say what it rests on."""
        lines = []
        for chapter in self:
            for claim in chapter.claims.values():
                gone = [k for k in FINGERPRINTS if not claim.hashes.get(k)]
                if gone:
                    lines.append(f"claim {claim.id} of {chapter.name} has no hash of its {gone[0]}")
                    break
        return tuple(lines)

    def __iter__(self) -> Iterator[ChapterResult]:
        return iter(self.chapters.values())


def bundle(chapters: list[ChapterResult]) -> Bundle:
    """Bundle of chapters; ClaimError if two name a chapter or a claim alike."""
    by_name: dict[str, ChapterResult] = {}
    claims: dict[str, Claim] = {}
    for chapter in sorted(chapters, key=lambda c: c.name):
        if chapter.name in by_name:
            raise ClaimError(f"two results for chapter {chapter.name!r}")
        by_name[chapter.name] = chapter
        for claim_id, claim in chapter.claims.items():
            if claim_id in claims:
                raise ClaimError(
                    f"claim {claim_id!r} is made twice: in {claims[claim_id].chapter} and in "
                    f"{chapter.name}"
                )
            claims[claim_id] = claim
    return Bundle(MappingProxyType(by_name), MappingProxyType(claims))


def load_bundle(folder: Path | str) -> Bundle:
    """All `*.json` results of a folder.

    Raises
    ------
    ClaimError
        The folder has no results, one cannot be read, or an id is used twice.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise ClaimError(
            f"no results in folder {Path(folder).name!r}; run `python -m sos_analysis build`"
        )
    return bundle([ChapterResult.load(path) for path in paths])
