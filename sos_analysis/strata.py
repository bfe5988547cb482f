"""Covariates as one number: what is counted by several words is counted by one small key.

Words are wide, and each of them is compared and copied wherever rows are grouped or held. A
stratum is the place of a combination of words in a table of them all, in mixed base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class Choice:
    """The words a covariate can be, and the place among them of the one that holds (a column)."""

    words: Sequence[str]
    number: Any

    def word(self) -> Any:
        """The word, as a column."""
        return self.number.cases(*enumerate(self.words))


@dataclass(frozen=True)
class Coded:
    """Events whose covariates are one number.

    Attributes
    ----------
    rows : `la`, `child_id` (of any type), `event_date`, `window_end`, `y` and `stratum`.
    strata : the covariates of each stratum (categories), by number (the index).
    source : the events as given, where their words may be at fault; else none.
    child : columns that together tell a child from all others.
    window : days from each event to its `window_end`; none where they differ.
    """

    rows: ibis.Table
    strata: pd.DataFrame
    source: ibis.Table | None = None
    child: tuple[str, ...] = ("la", "child_id")
    window: int | None = None


def numbered(choices: Mapping[str, Choice]) -> tuple[Any, pd.DataFrame]:
    """The stratum as a column, and what each number stands for."""
    import ibis

    stratum: Any = ibis.literal(0, "int32")
    for choice in choices.values():
        stratum = stratum * len(choice.words) + choice.number.cast("int32")
    sizes = [len(choice.words) for choice in choices.values()]
    places = np.unravel_index(np.arange(int(np.prod(sizes, dtype=np.int64))), sizes or (1,))
    words = {
        name: pd.Categorical.from_codes(place, pd.Index(list(choice.words)))
        for (name, choice), place in zip(choices.items(), places, strict=False)
    }
    return stratum.cast("int32"), pd.DataFrame(words, index=range(len(places[0])))


def from_words(events: ibis.Table, covariates: tuple[str, ...]) -> Coded:
    """Number the combinations that are there. A row with an empty word has no stratum."""
    import ibis
    import pyarrow as pa

    if not covariates:
        strata = pd.DataFrame(index=[0])
        return Coded(events.mutate(stratum=ibis.literal(0, "int32")), strata, events)
    there = events.select(*covariates).distinct().to_pyarrow().to_pandas()
    strata = there.dropna().sort_values(list(covariates), ignore_index=True)
    numbers = strata.assign(stratum=np.arange(len(strata), dtype=np.int32))
    table = ibis.memtable(pa.Table.from_pandas(numbers, preserve_index=False))
    both = events.left_join(table, list(covariates))
    return Coded(both.select(*events.columns, "stratum"), strata.astype("category"), events)
