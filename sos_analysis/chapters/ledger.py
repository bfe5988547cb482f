"""The claims of one chapter as they are made, and the table of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sos_analysis.disclosure import Column, SafeTable, safe_table
from sos_analysis.disclosure.suppression import Rules
from sos_analysis.results import Claim, without_places

if TYPE_CHECKING:
    from sos_analysis.chapters import ChapterSpec


class Ledger:
    """Names numbers of one chapter.

    Attributes
    ----------
    claims : what was made so far, by id.
    """

    def __init__(
        self,
        prefix: str,
        chapter: str,
        *,
        origin: str,
        source: str,
        hashes: Mapping[str, str],
        note: str = "",
    ) -> None:
        self.prefix, self.chapter, self.hashes = prefix, chapter, hashes
        self.origin, self.source, self.note = origin, source, note
        self.claims: dict[str, Claim] = {}

    def claim(
        self,
        name: str,
        value: float | str,
        unit: str = "",
        *,
        ends: tuple[float, float] | None = None,
        decimals: int = 0,
        origin: str = "",
        source: str = "",
        note: str = "",
    ) -> str:
        """Make a claim and give its id; what is left out is the chapter's own."""
        low, high = ends or (None, None)
        made = Claim(
            f"{self.prefix}.{name}",
            value,
            unit,
            low,
            high,
            decimals,
            origin=origin or self.origin,
            chapter=self.chapter,
            source=source or self.source,
            note=note or self.note,
            hashes=self.hashes,
        )
        self.claims[made.id] = made
        return made.id


def parameters_table(spec: ChapterSpec, chosen: Mapping[str, Any], rules: Rules) -> SafeTable:
    """Parameters of a run, with what they mean."""
    return safe_table(
        [
            {"name": name, "value": _word(value), "help": spec.parameters[name].help}
            for name, value in without_places(chosen).items()
        ],
        columns={
            "name": Column("Parameter"),
            "value": Column("Value here"),
            "help": Column("Meaning"),
        },
        category_columns=("value",),
        title="Parameters of this run",
        source="Parameters cell of the notebook",
        origin="design",
        rules=rules,
    )


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value != "" else "(default)"
