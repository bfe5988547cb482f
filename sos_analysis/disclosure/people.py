"""The distinct children behind a count of outcomes: those who have it, and those who lack it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sos_analysis.disclosure.attack import Equation, Key
from sos_analysis.errors import DisclosureError

if TYPE_CHECKING:
    from sos_analysis.disclosure.suppression import Sheet


def guard_people(sheet: Sheet) -> None:
    """Hide counts of outcomes where few distinct children have the outcome, or few lack it.

    Ten cases can be of six children.
    """
    threshold = sheet.rules.threshold
    for i, (key, columns) in itertools.product(range(len(sheet.rows)), sheet.people.items()):
        count = sheet.number(i, key)
        if count is None or threshold <= 0:
            continue
        having, lacking = (sheet.number(i, column) for column in columns)
        if having is not None and having > count:
            raise DisclosureError(
                f"row {i + 1}: {having} children have the outcome in {count} cases ({key!r})"
            )
        if having is None or having < threshold:
            sheet.hide(i, key, "too few children with the outcome")
        elif lacking is None or lacking < threshold:
            sheet.hide(i, key, "too few children without the outcome")


def people_behind(sheets: Sequence[Sheet]) -> tuple[dict[Key, tuple[Key, ...]], list[Equation]]:
    """The children with an outcome and those without it, whom nobody counts in public.

    They are no more than the cases of each kind, and no more than all children of the row; with
    each other they are at least these.

    Returns
    -------
    Each such number with the counts it hangs on; and how they are related, in equations.
    """
    found: dict[Key, tuple[Key, ...]] = {}
    made: list[Equation] = []

    def at_most(most: dict[Key, float], what: dict[Key, float]) -> None:
        terms = {**most, **{key: -number for key, number in what.items()}}
        made.append(Equation({**terms, ("room", len(made)): -1.0}))

    for t, sheet in enumerate(sheets):
        wholes = {part: whole for part, whole in sheet.pairs if part in sheet.people}
        wholes |= {r.numerator: r.denominator for r in sheet.rates.values()}
        for i, (key, columns) in itertools.product(range(len(sheet.rows)), sheet.people.items()):
            if key not in wholes or sheet.number(i, key) is None:
                continue
            y, n, every = (t, i, key), (t, i, wholes[key]), (t, i, sheet.children)
            having, lacking = ((t, i, "of", column) for column in columns)
            found |= {having: (y,), lacking: (n, y)}
            at_most({y: 1.0}, {having: 1.0})
            at_most({n: 1.0, y: -1.0}, {lacking: 1.0})
            if sheet.children in sheet.counts and sheet.number(i, sheet.children) is not None:
                at_most({having: 1.0, lacking: 1.0}, {every: 1.0})
                at_most({every: 1.0}, {having: 1.0})
                at_most({every: 1.0}, {lacking: 1.0})
    return found, made
