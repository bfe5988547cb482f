"""What a reader can work out about a hidden count, by linear programming.

A reader knows the rounding, that counts are not negative, and how cells add up: within a table,
across tables of one population, and across columns. The smallest and the largest value that a
hidden count can have under all of that are its bounds. A hidden count is protected if they take
in everything from 1 to threshold - 1; one that is hidden to protect another needs bounds as wide.

Source: the audit of cell suppression in Willenborg and de Waal, Elements of Statistical Disclosure
Control (Springer, 2001), chapter 6; solved with HiGHS through `scipy.optimize.linprog`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sos_analysis.errors import DisclosureError

#: Name of a count: (table, row, column), in whatever way the caller counts tables and rows.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Equation:
    """Sum over cells of coefficient times count lies between `low` and `high` (may be infinite)."""

    terms: Mapping[Key, float]
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class Bounds:
    """Least and largest value that a hidden count can have; `high` may be infinite."""

    low: float
    high: float

    def spans(self, threshold: int) -> bool:
        """Whether everything from 1 to threshold - 1 stays possible."""
        return self.low <= 1 + _CLOSE and self.high >= threshold - 1 - _CLOSE

    def wide(self, threshold: int) -> bool:
        """Whether the bounds are as wide as from 1 to threshold - 1."""
        return self.high - self.low >= threshold - 2 - _CLOSE

    def above(self, threshold: int) -> bool:
        """Whether no small number is possible."""
        return self.low >= threshold - _CLOSE


_CLOSE = 1e-6


def knowledge(shown: int, base: int, threshold: int) -> tuple[int, int]:
    """Smallest and largest count that is shown as `shown` by `round_count`.

    Parameters
    ----------
    shown, base, threshold : int
        Rounded count, rounding base, smallest count that is shown at all.
    """
    low = shown - base // 2
    high = shown + (base - 1) // 2
    if shown - base < threshold:
        low -= base  # what would round to less than the threshold is put up to `shown`
    return max(low, threshold, 0), max(high, threshold, 0)


def bounds(
    known: Mapping[Key, tuple[float, float]],
    hidden: Iterable[Key],
    equations: Sequence[Equation],
) -> dict[Key, Bounds]:
    """Bounds of each hidden count.

    Parameters
    ----------
    known : mapping of cell to (least, most)
        What is known of each published count.
    hidden : cells
        What is not shown: anything from zero up.
    equations : sequence of Equation
        How counts add up.

    Raises
    ------
    DisclosureError
        No counts at all agree with what is published, so nothing can be said about the bounds.
    """
    return dict(_one_by_one(known, hidden, equations))


def _one_by_one(
    known: Mapping[Key, tuple[float, float]],
    hidden: Iterable[Key],
    equations: Sequence[Equation],
) -> Iterator[tuple[Key, Bounds]]:
    """Bounds of each hidden count in turn; whoever has seen enough can stop."""
    wanted = list(dict.fromkeys(hidden))
    part_of: dict[Key, tuple[list[Key], list[Equation]]] = {}
    for part in _components(wanted, equations):
        part_of |= dict.fromkeys(part[0], part)
    solvers: dict[int, Callable[[Key], Bounds]] = {}
    for key in wanted:
        cells, own = part_of[key]
        if not own:
            yield key, Bounds(0.0, float("inf"))
            continue
        if id(own) not in solvers:
            solvers[id(own)] = _programme(cells, known, own)
        yield key, solvers[id(own)](key)


def _components(
    hidden: Sequence[Key], equations: Sequence[Equation]
) -> list[tuple[list[Key], list[Equation]]]:
    """Cells and equations that hang together through hidden cells.

    A published count that sits in two equations also ties them, so every cell joins.
    """
    parent: dict[Key, Key] = {}

    def root(key: Key) -> Key:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for equation in equations:
        first, *rest = equation.terms
        for other in rest:
            parent[root(other)] = root(first)
    groups: dict[Key, tuple[list[Key], list[Equation]]] = {}
    for key in dict.fromkeys([*parent, *hidden]):
        groups.setdefault(root(key), ([], []))[0].append(key)
    for equation in equations:
        groups[root(next(iter(equation.terms)))][1].append(equation)
    return list(groups.values())


def _programme(
    cells: Sequence[Key],
    known: Mapping[Key, tuple[float, float]],
    equations: Sequence[Equation],
) -> Callable[[Key], Bounds]:
    """What finds the bounds of any of these cells."""
    import numpy as np
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    place = {key: i for i, key in enumerate(cells)}
    data, rows, columns = [], [], []
    for row, equation in enumerate(equations):
        for key, coefficient in equation.terms.items():
            data.append(coefficient)
            rows.append(row)
            columns.append(place[key])
    matrix = csr_array((data, (rows, columns)), shape=(len(equations), len(cells)))
    low = np.array([e.low for e in equations])
    high = np.array([e.high for e in equations])
    exact = low == high
    box = [known.get(key, (0.0, None)) for key in cells]
    problem: dict[str, Any] = {"bounds": box, "method": "highs"}
    if exact.any():
        problem |= {"A_eq": matrix[exact], "b_eq": low[exact]}
    if not exact.all():
        from scipy.sparse import vstack

        below, above = ~exact & np.isfinite(high), ~exact & np.isfinite(low)
        problem |= {
            "A_ub": vstack([matrix[below], -matrix[above]]),
            "b_ub": np.r_[high[below], -low[above]],
        }

    def solve(key: Key) -> Bounds:
        ends = []
        for sign in (1.0, -1.0):
            cost = np.zeros(len(cells))
            cost[place[key]] = sign
            solved = linprog(cost, **problem)
            if solved.status == 2:
                raise DisclosureError(
                    "the published counts contradict each other: totals and parts that were "
                    "given as one population are not"
                )
            ends.append(sign * solved.fun if solved.status == 0 else sign * -np.inf)
        return Bounds(float(ends[0]), float(ends[1]))

    return solve


def shielded(bounds: Bounds, threshold: int, *, rest: bool = False) -> bool:
    """Whether bounds protect, for a judge who does not know the count.

    All from 1 to threshold - 1 is possible; or the count is known to be above, and stays as
    uncertain. A rest, which nobody publishes, is as safe as any count once it is above.
    """
    if bounds.spans(threshold):
        return True
    return bounds.above(threshold) and (rest or bounds.wide(threshold))


def protect(
    exact: Mapping[Key, int],
    hidden: Iterable[Key],
    equations: Sequence[Equation],
    *,
    base: int,
    threshold: int,
    shown: Mapping[Key, int],
    rests: Mapping[Key, tuple[Key, ...]] | None = None,
    fixed: Iterable[Key] = (),
) -> tuple[Key, ...]:
    """Further counts to hide, so that every hidden one is protected.

    One at a time: of the counts that stand in an equation with an unprotected one, first a total
    (a count alone on its side), then the smallest.

    Parameters
    ----------
    exact : mapping of cell to count
    hidden : cells hidden already
    equations : sequence of Equation
    base, threshold : int
        Rules of the guard.
    shown : mapping of cell to rounded count
        What readers see of the cells that are not hidden.
    rests : mapping of cell to the counts it hangs on
        What nobody publishes, but can be found from others: what is left of a whole without its
        part (`rest_of`), the children behind an outcome. `equations` say how.
    fixed : cells
        What can be read elsewhere, so that hiding it here would protect nothing.

    Returns
    -------
    tuple of cells, in the order in which they are to be hidden.
    """
    gone = list(dict.fromkeys(hidden))
    small = {k for k in gone if exact.get(k, 0) < threshold}
    added: list[Key] = []
    touched = [e for e in equations if len(e.terms) > 1]
    left, stay = dict(rests or {}), list(fixed)
    while gone and touched:
        unseen = set(gone)
        known: dict[Key, tuple[float, float]] = {
            key: knowledge(value, base, threshold)
            for key, value in shown.items()
            if key not in unseen
        }
        open_rests = [key for key, pair in left.items() if unseen & {*pair}]
        # Of a whole and a part that are both shown a reader knows the rule: they differ enough.
        known |= dict.fromkeys(left.keys() - {*open_rests}, (float(threshold), float("inf")))
        barred = [*gone, *left, *stay]
        # Those hidden for their size first, and no further than to the first that gives way.
        order = sorted([*gone, *open_rests], key=lambda key: key not in small)
        chosen = None
        for key, found in _one_by_one(known, order, touched):
            if shielded(found, threshold, rest=key in left):
                continue
            # A rest is found through what it hangs on, so what stands beside these may go.
            tried = (key, *reversed(left.get(key, ())))
            chosen = next(
                filter(None, (_candidate(k, barred, exact, touched) for k in tried)), None
            )
            if chosen is not None:
                break
        if chosen is None:
            break  # nothing more can be hidden: the rest follows from counts being whole
        gone.append(chosen)
        added.append(chosen)
    return tuple(added)


def rest_of(whole: Key, part: Key, rest: Key) -> Equation:
    """The whole is its part and the rest."""
    return Equation({whole: 1.0, part: -1.0, rest: -1.0})


def _candidate(
    key: Key, gone: Sequence[Key], exact: Mapping[Key, int], equations: Sequence[Equation]
) -> Key | None:
    hidden = set(gone)
    best: tuple[int, int, str] | None = None
    chosen = None
    for equation in equations:
        if key not in equation.terms:
            continue
        signs = list(equation.terms.values())
        for other, coefficient in equation.terms.items():
            if other in hidden:
                continue
            alone = sum(s * coefficient > 0 for s in signs) == 1 and len(signs) > 2
            rank = (0 if alone else 1, exact.get(other, 0), repr(other))
            if best is None or rank < best:
                best, chosen = rank, other
    return chosen
