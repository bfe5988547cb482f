"""How counts add up: what a reader could use to find a hidden one by subtraction.

Relations come from three places. Labels say which cell is the total of which, within a table and
across tables of one population. Numbers give away a total that no label names: a count that is
(nearly) the sum of a run of rows. Columns add up row by row. Distinct children may be fewer in
the whole than in its parts, so a relation holds up to a gap, which the attacker is taken to know.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sos_analysis.disclosure.attack import Equation, Key

#: First words of a label that sums others up.
_MARGIN = re.compile(
    r"^\W*(total|all|overall|both|any|england|sum|everyone|everybody|whole|combined|together)\b",
    re.IGNORECASE,
)
_MOST_COLUMNS = 8

Range = tuple[float, float]


@dataclass(frozen=True)
class Count:
    """One count of a table: what it is a count of, where it stands, and what is known of it."""

    key: Key
    population: str
    measure: str
    place: Mapping[str, str]
    known: Range


def is_part(population: str, of: str) -> bool:
    """Whether one population is part of another, by name: 'all, matched' is part of 'all'."""
    return population.startswith(f"{of}, ")


def by_nesting(counts: Sequence[Count]) -> Iterator[tuple[Count, Count]]:
    """A count and the same count of a part of its population, in pairs."""
    places: dict[tuple[str, tuple[tuple[str, str], ...]], list[Count]] = defaultdict(list)
    for count in counts:
        if count.population:
            places[(count.measure, tuple(sorted(count.place.items())))].append(count)
    for here in places.values():
        for whole, part in itertools.permutations(here, 2):
            if is_part(part.population, whole.population):
                yield whole, part


def is_margin(label: object) -> bool:
    """Whether a label says that its row sums others up."""
    return bool(_MARGIN.match(str(label)))


def place_of(labels: Mapping[str, object]) -> dict[str, str]:
    """Coordinates of a row: its labels but those that sum up."""
    return {
        key: " ".join(str(value).split()).casefold()
        for key, value in labels.items()
        if str(value).strip() and not is_margin(value)
    }


def by_labels(counts: Sequence[Count], slack: float) -> Iterator[Equation]:
    """Totals and their parts, and one count in two places, by coordinates."""
    groups: dict[tuple[str, str], list[Count]] = defaultdict(list)
    for count in counts:
        groups[(count.population, count.measure)].append(count)
    for members in groups.values():
        by_dimensions: dict[frozenset[str], list[Count]] = defaultdict(list)
        for count in members:
            by_dimensions[frozenset(count.place)].append(count)
        for dimensions, wholes in by_dimensions.items():
            yield from _same(wholes, slack)
            for finer, parts in by_dimensions.items():
                if not dimensions < finer:
                    continue
                under: dict[tuple[str, ...], dict[tuple[str, ...], Count]] = defaultdict(dict)
                order = sorted(dimensions)
                for part in parts:
                    at = tuple(part.place[d] for d in order)
                    under[at].setdefault(tuple(part.place[d] for d in sorted(finer)), part)
                for whole in wholes:
                    found = list(under[tuple(whole.place[d] for d in order)].values())
                    if len(found) > 1:
                        yield from _sum([whole], found, slack)


def _same(cells: Sequence[Count], slack: float) -> Iterator[Equation]:
    first: dict[tuple[tuple[str, str], ...], Count] = {}
    for cell in cells:
        at = tuple(sorted(cell.place.items()))
        if at in first:
            yield from _sum([cell], [first[at]], slack)
        else:
            first[at] = cell


def _sum(one: Sequence[Count], other: Sequence[Count], slack: float) -> Iterator[Equation]:
    """One side equals the other, if what is known of them allows it."""
    low = sum(c.known[0] for c in one) - sum(c.known[1] for c in other)
    high = sum(c.known[1] for c in one) - sum(c.known[0] for c in other)
    if low > slack or high < -slack:
        return  # they do not add up: not a whole and its parts
    # Exact counts leave one gap. Published ones leave a range, in which no gap is the best guess.
    gap = low if low == high else min(max(0.0, low), high)
    terms: dict[Key, float] = {}
    for sign, cells in ((1.0, one), (-1.0, other)):
        for cell in cells:
            terms[cell.key] = terms.get(cell.key, 0.0) + sign
    terms = {k: v for k, v in terms.items() if v}
    if len(terms) > 1:
        yield Equation(terms, gap, gap)


def by_names(column: Sequence[Count]) -> Iterator[Equation]:
    """Rows that are called a total, over whatever rows they could be the total of.

    Whether or not the rows add up: the missing part may stand elsewhere.
    """
    for whole in column:
        parts = [
            c
            for c in column
            if len(c.place) > len(whole.place)
            and all(c.place.get(d) == level for d, level in whole.place.items())
        ]
        if parts:
            yield Equation({whole.key: 1.0, **{c.key: -1.0 for c in parts}})


def by_rows(column: Sequence[Count], slack: float) -> Iterator[Equation]:
    """Counts of one column that are (nearly) the sum of rows beside them; exact counts only.

    All other rows within `slack`. A block right above or below exactly, because two counts often
    come near a third by chance. Two blocks that make up the table and have the same sum (two
    breakdowns of one group without its total).
    """
    size = len(column)
    values = [c.known[0] for c in column]
    sums = [0.0, *itertools.accumulate(values)]
    for i, value in enumerate(values):
        if value <= 0:
            continue
        if size > 2 and abs(sums[size] - 2 * value) < slack:
            yield from _sum([column[i]], [*column[:i], *column[i + 1 :]], slack)
        blocks = [(a, i) for a in range(i - 1)] + [(i + 1, b) for b in range(i + 3, size + 1)]
        for a, b in blocks:
            if sums[b] - sums[a] == value:
                yield from _sum([column[i]], column[a:b], slack)
    for cut in range(2, size - 1):
        if sums[size] > 0 and sums[cut] * 2 == sums[size]:
            yield from _sum(column[:cut], column[cut:], slack)


def by_runs(tables: Sequence[Mapping[str, Sequence[Count]]], slack: float) -> Iterator[Equation]:
    """Counts that are (nearly) the sum of the first or last rows of another table; exact alone.

    A phase is the sum of its years where no case lies between: no label says so. Of tables of one
    population whose labels differ, and of rows that share a label (a group), if any do. Because
    sums come near a count by chance, two counts of the row have to agree, if there are two.
    """
    for one, other in itertools.permutations(tables, 2):
        shared = sorted(one.keys() & other.keys())
        for i, first in enumerate(one[shared[0]] if shared else ()):
            at = other[shared[0]]
            rows = [k for k, row in enumerate(at) if _of_other_labels(first, row)]
            labels = set(first.place.values())
            rows = [k for k in rows if labels & set(at[k].place.values())] or rows
            runs = [rows[:n] for n in range(1, len(rows))] + [rows[n:] for n in range(len(rows))]
            for run in runs:
                sums = [(one[m][i], [other[m][k] for k in run]) for m in shared]
                near = [pair for pair in sums if _near(*pair, slack if len(shared) > 1 else 1.0)]
                if len(near) >= min(2, len(shared)):
                    for whole, parts in near:
                        yield from _sum([whole], parts, slack)


def _of_other_labels(one: Count, other: Count) -> bool:
    """Whether two counts are of one population, and neither's labels are among the other's."""
    mine, others = one.place.keys(), other.place.keys()
    apart = not (mine <= others or others <= mine)
    return bool(one.population) and one.population == other.population and apart


def _near(whole: Count, parts: Sequence[Count], slack: float) -> bool:
    gap = whole.known[0] - sum(c.known[0] for c in parts)
    return whole.known[0] > 0 and abs(gap) < slack


def by_columns(table: Mapping[str, Sequence[Count]], slack: float) -> Iterator[Equation]:
    """Columns that are, in every row, (nearly) the sum of two or more others."""
    names = list(table)
    if not 3 <= len(names) <= _MOST_COLUMNS:
        return
    for whole in names:
        others = [k for k in names if k != whole]
        for size in range(2, len(others) + 1):
            for parts in itertools.combinations(others, size):
                rows = list(zip(table[whole], *(table[p] for p in parts), strict=True))
                gaps = [abs(r[0].known[0] - sum(c.known[0] for c in r[1:])) for r in rows]
                if gaps and max(gaps) < slack:
                    for r in rows:
                        yield from _sum([r[0]], r[1:], slack)
