"""The rules by which a cell is hidden: counts, authorities, dominance, degrees of freedom, totals.

Works on a `Sheet`, the exact copy of a table inside the guard. Nothing here is shown; `disclosure`
turns a sheet into a safe table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sos_analysis.disclosure.attack import Equation, Key, protect, rest_of
from sos_analysis.disclosure.people import people_behind
from sos_analysis.disclosure.relations import (
    Count,
    by_columns,
    by_labels,
    by_names,
    by_nesting,
    by_rows,
    by_runs,
    place_of,
)
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite

SYMBOLS = {
    "[c]": "not shown, to protect confidentiality",
    "[low]": "rounds to zero, but is not zero",
    "[x]": "not available",
    "[z]": "not applicable",
}
CONFIDENTIAL, LOW, NOT_AVAILABLE, NOT_APPLICABLE = SYMBOLS

#: Why a count is hidden that protects another.
BY_SUBTRACTION = "would reveal a hidden count by subtraction"
BY_TOTAL = "a total that would reveal a part"

#: Fewest residual degrees of freedom of a fit whose coefficients may be shown (SRS and ACRO: 10).
RESIDUAL_DOF = 10
#: What holds where the study file leaves a rule out; the defaults of ACRO (AI-SDC/ACRO,
#: `default.yaml`), in percent.
DEFAULTS = {
    "residual_dof": RESIDUAL_DOF,
    "dominant_authorities": 2,
    "dominant_share": 90,
    "p_percent": 10,
}


def limit(rules: Rules, name: str) -> int:
    """One of `DEFAULTS`, as the study file has it or at its default."""
    return int(getattr(rules, name, DEFAULTS[name]))


def local(rules: Rules) -> str:
    """The one authority of a local profile; '' where the rules are not those of one."""
    return str(getattr(rules, "local", ""))


class Rules(Protocol):
    """What the guard needs of `study.DisclosureRules`."""

    @property
    def threshold(self) -> int: ...
    @property
    def rounding_base(self) -> int: ...
    @property
    def minimum_authorities(self) -> int: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class _Published:
    threshold: int = 0
    rounding_base: int = 1
    minimum_authorities: int = 0
    source: str = "already published by its owner, who applied their own disclosure control"


#: Rules for numbers anyone can already read (refused for `RECORD_ORIGINS`).
ALREADY_PUBLISHED = _Published()


@dataclass(frozen=True)
class Rate:
    """A rate the guard works out itself: `scale` × numerator / denominator."""

    numerator: str
    denominator: str
    scale: float = 100.0


def round_count(count: int, rules: Rules) -> int:
    """Count rounded to the base; never shown below the threshold it has passed."""
    base = max(int(rules.rounding_base), 1)
    rounded = (2 * int(count) + base) // (2 * base) * base
    # A threshold that is no multiple of the base must not let 7 appear as 5.
    return rounded if rounded >= rules.threshold else rounded + base


def whole(value: object, what: str) -> int:
    if not finite(value) or float(value) != int(value) or int(value) < 0:  # type: ignore[arg-type, call-overload]
        raise DisclosureError(f"{what}: {value!r} is not a whole number of 0 or more")
    return int(value)  # type: ignore[call-overload]


def missing(value: object) -> bool:
    if value is None or isinstance(value, str):
        return value is None or value in SYMBOLS
    # NaN and pandas' NA and NaT are the values that differ from themselves or cannot say.
    try:
        return bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array: no missing value, and refused further on
        return False


@dataclass
class Sheet:
    """Working copy of a table inside the guard.

    `parts` names, for a count of those with some property, the counts of all they belong to;
    `people` the columns with the distinct children behind a count of outcomes and behind the rest;
    `dominance` the columns with the whole and the contributions of the largest two authorities;
    `fixed` the counts that another table shows, so that hiding them here protects nothing.
    """

    rows: list[dict[str, Any]]
    rules: Rules
    counts: tuple[str, ...]
    rates: dict[str, Rate]
    statistics: dict[str, tuple[str, ...]]
    estimates: tuple[str, ...]
    labels: tuple[str, ...]
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    people: dict[str, tuple[str, str]] = field(default_factory=dict)
    dominance: tuple[str, str, str] | None = None
    population: str = ""
    children: str = ""
    fixed: tuple[str, ...] = ()
    hidden: dict[tuple[int, str], str] = field(default_factory=dict)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each part with each whole it belongs to."""
        return [(part, whole) for part, wholes in self.parts.items() for whole in wholes]

    def hide(self, row: int, key: str, why: str) -> None:
        self.hidden.setdefault((row, key), why)

    def number(self, row: int, key: str) -> int | None:
        """Exact count of a cell; None where it is missing or given as a symbol."""
        value = self.rows[row].get(key)
        return whole(value, f"row {row + 1}, column {key!r}") if not missing(value) else None

    def exact(self, table: int = 0) -> dict[str, list[Count]]:
        """The counts as the relations know them, by column; a missing one as zero."""
        places = [place_of({k: row.get(k, "") for k in self.labels}) for row in self.rows]
        found: dict[str, list[Count]] = {}
        for key in self.counts:
            numbers = [float(self.number(i, key) or 0) for i in range(len(self.rows))]
            found[key] = [
                Count((table, i, key), self.population, key, place, (n, n))
                for i, (place, n) in enumerate(zip(places, numbers, strict=True))
            ]
        return found


def primary(sheet: Sheet) -> None:
    threshold = sheet.rules.threshold
    for i in range(len(sheet.rows)):
        for key in sheet.counts:
            count = sheet.number(i, key)
            if count is not None and count < threshold:
                sheet.hide(i, key, "count below the threshold")
        for key, rate in sheet.rates.items():
            top, bottom = sheet.number(i, rate.numerator), sheet.number(i, rate.denominator)
            if top is None or bottom is None:
                continue
            if top > bottom:
                raise DisclosureError(
                    f"row {i + 1}, rate {key!r}: numerator {top} exceeds denominator {bottom}"
                )
            if bottom - top < threshold:
                # Nearly all have the outcome: the few who have not are as exposed.
                sheet.hide(i, rate.numerator, "nearly all of the group")
        for part, group in sheet.pairs:
            some, everyone = sheet.number(i, part), sheet.number(i, group)
            if some is None or everyone is None:
                continue
            if some > everyone:
                raise DisclosureError(f"row {i + 1}: {part!r} {some} exceeds {group!r} {everyone}")
            if everyone - some < threshold:
                sheet.hide(i, part, "nearly all of the group")


def guard_authorities(
    sheet: Sheet, column: str | None, constant: int | None, whole_column: str | None = None
) -> None:
    # A local profile is about one authority: this rule, and no other, does not hold there.
    minimum = 1 if local(sheet.rules) else sheet.rules.minimum_authorities
    guarded = [*sheet.counts, *sheet.rates, *sheet.statistics]
    told = column is not None or constant is not None
    if minimum <= 1 or not (guarded or told):
        return
    if not told:
        raise DisclosureError(
            "say how many local authorities are behind each row: authorities_column=… or "
            f"authorities=… (the rules ask for {minimum})"
        )
    for i in range(len(sheet.rows)):
        number = sheet.number(i, column) if column is not None else whole(constant, "authorities")
        if number is None or number < minimum:
            for key in [*guarded, *sheet.estimates, *([column] if column else [])]:
                sheet.hide(i, key, "too few authorities")
        elif whole_column is not None:
            # What only the whole has may not be that of one authority either.
            every = sheet.number(i, whole_column)
            if every is not None and 0 < every - number < minimum:
                for key in guarded:
                    sheet.hide(i, key, "too few authorities make up the difference")


def guard_children(sheet: Sheet, column: str | None) -> None:
    """Hide rows with too few distinct children, however many cases they have between them."""
    if column is None or sheet.rules.threshold <= 0:
        return
    for i in range(len(sheet.rows)):
        number = sheet.number(i, column)
        if number is None or number < sheet.rules.threshold:
            for key in (*sheet.counts, *sheet.rates, *sheet.statistics, *sheet.estimates):
                sheet.hide(i, key, "too few children")


def guard_dominance(sheet: Sheet) -> None:
    """Hide rows in which one or two authorities make up nearly everything.

    The (n, k) rule: the largest n hold more than k percent. The p% rule: what is left after the
    largest two is less than p percent of the largest, so that the second could estimate it.
    Source: Hundepool and others, Statistical Disclosure Control (Wiley, 2012), section 4.2.
    """
    if sheet.dominance is None or sheet.rules.threshold <= 0 or local(sheet.rules):
        return
    largest = limit(sheet.rules, "dominant_authorities")
    for i in range(len(sheet.rows)):
        every, first, second = (sheet.number(i, key) for key in sheet.dominance)
        if every is None or first is None or second is None:
            continue
        if first + second > every or second > first:
            raise DisclosureError(
                f"row {i + 1}: the largest two authorities hold {first} and {second} of {every}"
            )
        held = first + (second if largest > 1 else 0)
        by_share = 100 * held > limit(sheet.rules, "dominant_share") * every
        by_rest = 100 * (every - first - second) < limit(sheet.rules, "p_percent") * first
        if by_share or by_rest:
            for key in (*sheet.counts, *sheet.rates, *sheet.statistics, *sheet.estimates):
                sheet.hide(i, key, "one or two authorities dominate")


def guard_estimates(sheet: Sheet, column: str | None, constant: float | None) -> None:
    if not sheet.estimates or sheet.rules.threshold <= 0:
        return
    if column is None and constant is None:
        raise DisclosureError(
            "say how many residual degrees of freedom the fit has: residual_dof_column=… or "
            f"residual_dof=… (at least {limit(sheet.rules, 'residual_dof')})"
        )
    for i, row in enumerate(sheet.rows):
        dof = row[column] if column is not None else constant
        thin = any((i, key) in sheet.hidden for key in sheet.counts)
        if not finite(dof) or float(dof) < limit(sheet.rules, "residual_dof") or thin:  # type: ignore[arg-type]
            why = "behind a count below the threshold" if thin else "too few degrees of freedom"
            for key in sheet.estimates:
                sheet.hide(i, key, why)


def secondary(sheets: Sequence[Sheet]) -> None:
    """Hide what would give a hidden count away, in each table and across tables of a population.

    A total over a hidden part is hidden. Then the attack is run (`attack.protect`), and counts
    are hidden until every hidden one can be anything from 1 to threshold - 1, and so can what is
    left of a group without its part.
    """
    rules = sheets[0].rules
    if rules.threshold <= 0:
        return
    tables = [sheet.exact(t) for t, sheet in enumerate(sheets)]
    shared = [c for table in tables for column in table.values() for c in column if c.population]
    rests = {(*part, whole): (whole, part) for whole, part in _rests(sheets, shared)}
    people, known_of_people = people_behind(sheets)
    if not any(key in sheet.counts for sheet in sheets for _, key in sheet.hidden):
        return
    slack = float(max(rules.threshold, 1))
    named: list[Equation] = []
    inside: list[Equation] = []
    across: list[Equation] = []
    for t, table in enumerate(tables):
        for column in table.values():
            named += by_names(column)
            inside += by_rows(column, slack)
            own = [_named(count, f"table {t}") for count in column]
            inside += by_labels(own, slack)
        inside += by_columns(table, slack)
    across += by_labels(shared, slack)
    across += by_runs(tables, slack)
    _hide_totals(sheets, named, inside)
    every = [*inside, *across, *known_of_people]
    every += [rest_of(*pair, rest) for rest, pair in rests.items()]
    exact = {c.key: int(c.known[0]) for t in tables for col in t.values() for c in col}
    gone = [(t, i, k) for t, s in enumerate(sheets) for i, k in s.hidden if k in s.counts]
    shown = {key: round_count(n, rules) for key, n in exact.items() if key not in set(gone)}
    exact |= {key: exact[whole] - exact[part] for key, (whole, part) in rests.items()}
    added = protect(
        exact,
        gone,
        every,
        base=rules.rounding_base,
        threshold=rules.threshold,
        shown=shown,
        rests={**rests, **people},
        fixed=[
            *((t, i, k) for t, s in enumerate(sheets) for k in s.fixed for i in range(len(s.rows))),
            *(key for equation in known_of_people for key in equation.terms if key not in exact),
        ],
    )
    for t, i, key in added:
        sheets[t].hide(i, key, BY_SUBTRACTION)
    if added:
        _hide_totals(sheets, named, inside)


def linked(sheets: Sequence[Sheet]) -> bool:
    """Whether numbers of one table are sums of rows of another."""
    tables = [sheet.exact(t) for t, sheet in enumerate(sheets)]
    return any(True for _ in by_runs(tables, float(max(sheets[0].rules.threshold, 1))))


def _rests(sheets: Sequence[Sheet], shared: Sequence[Count]) -> Iterator[tuple[Key, Key]]:
    """Every whole and its part: within a row, and across populations that are part of another."""
    for t, sheet in enumerate(sheets):
        pairs = [(whole, part) for part, whole in sheet.pairs]
        pairs += [(r.denominator, r.numerator) for r in sheet.rates.values()]
        for i, (whole, part) in itertools.product(range(len(sheet.rows)), dict.fromkeys(pairs)):
            if sheet.number(i, whole) is not None and sheet.number(i, part) is not None:
                yield (t, i, whole), (t, i, part)
    for one, other in by_nesting(shared):
        if one.known[0] < other.known[0]:
            raise DisclosureError(
                f"{other.measure!r} of {other.population!r} is {other.known[0]:.0f} and exceeds "
                f"that of {one.population!r}, whose part it is by name"
            )
        yield one.key, other.key


def _named(count: Count, population: str) -> Count:
    return Count(count.key, population, count.measure, count.place, count.known)


def _hide_totals(
    sheets: Sequence[Sheet], named: Sequence[Equation], others: Sequence[Equation]
) -> None:
    def gone(key: Key) -> bool:
        return (key[1], key[2]) in sheets[key[0]].hidden

    found = True
    while found:
        found = False
        for number, equation in enumerate([*named, *others]):
            wholes = [k for k, c in equation.terms.items() if c > 0]
            parts = [k for k, c in equation.terms.items() if c < 0]
            # One count in two places is no total: there the attack decides.
            is_total = len(wholes) == 1 and (len(parts) > 1 or number < len(named))
            if is_total and not gone(wholes[0]) and any(map(gone, parts)):
                table, row, key = wholes[0]
                sheets[table].hide(row, key, BY_TOTAL)
                found = True


def carry(sheet: Sheet) -> None:
    """A rate or statistic whose counts are hidden is hidden as well."""
    for i in range(len(sheet.rows)):
        for key, rate in sheet.rates.items():
            for part in (rate.numerator, rate.denominator):
                if (i, part) in sheet.hidden:
                    sheet.hide(i, key, sheet.hidden[(i, part)])
        for key, guard in sheet.statistics.items():
            for part in guard:
                if (i, part) in sheet.hidden or (
                    sheet.rules.threshold > 0 and sheet.number(i, part) is None
                ):
                    sheet.hide(i, key, "behind a count below the threshold")
