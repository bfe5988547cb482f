"""Only safe tables and figures can be shown or released, and only this module can make them.

`safe_table` and `safe_figure` take a frame in which every column has a declared role, apply the
rules of the study file and keep nothing more exact than what is shown:

==============  ==================================================================================
role            what the guard does
==============  ==================================================================================
text, category  labels; a text cell that is only a number is refused, a category must be declared
count           below the threshold: ``[c]``; else rounded to the base
authorities     number of local authorities behind the row; below the minimum the row is ``[c]``
rate            recomputed from the rounded numerator and denominator; ``[c]`` if either, or their
                difference, is below the threshold
statistic       a mean or a standard deviation: ``[c]`` where a count that guards it is
estimate        a model coefficient: ``[c]`` with too few residual degrees of freedom
==============  ==================================================================================

A total is recomputed from the rounded cells, or is ``[c]`` too where a part is: otherwise the
hidden part could be found by subtraction. Rules follow common UK secure-setting practice and are
declared in the study file. They are a domain rule of this project, not a proof against every
attack.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, field, fields, replace
from typing import Any, Protocol

from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite, fixed, quantity

SYMBOLS = {
    "[c]": "not shown, to protect confidentiality",
    "[low]": "rounds to zero, but is not zero",
    "[x]": "not available",
    "[z]": "not applicable",
}
CONFIDENTIAL, LOW, NOT_AVAILABLE, NOT_APPLICABLE = SYMBOLS

ORIGINS = {
    "published": "Published by What Works for Children's Social Care",
    "programme": "Fact about the programme",
    "design": "Choice of this study's design",
    "public": "Department for Education published statistics",
    "restricted": "Individual records held by the Department for Education",
    "synthetic": "Made-up data",
}
#: Origins whose numbers come from records of children, or look as if they did.
RECORD_ORIGINS = ("restricted", "synthetic")

#: Fewest residual degrees of freedom of a fit whose coefficients may be shown (SRS and ACRO: 10).
RESIDUAL_DOF = 10
#: Units that are counts of people or cases, so never a "statistic".
COUNT_UNITS = (
    *("children", "child", "people", "cases", "events", "referrals", "assessments"),
    *("conferences", "plans", "periods of care", "episodes", "n"),
)
_MARGIN = re.compile(r"^\W*(total|all|overall|both|any|england|sum|everyone)\b", re.IGNORECASE)
_ONLY_A_NUMBER = re.compile(r"^[\s<>=~+\-−£%(]*\d[\d,.\s]*[%)\s]*$")


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
class Column:
    """How one column is shown.

    Attributes
    ----------
    label : str
        Heading for readers.
    unit : str
        Unit for the heading ('per 100', 'working days'; 'p' for a p-value).
    decimals : int
        Digits after the point; the safe table holds no more than these.
    signed : bool
        Put '+' before positive numbers (differences).
    align : str
        'auto' (numbers right), 'left' or 'right'.
    key, role : str
        Filled by the guard.
    """

    label: str
    unit: str = ""
    decimals: int = 0
    signed: bool = False
    align: str = "auto"
    key: str = ""
    role: str = ""

    @property
    def numeric(self) -> bool:
        return self.role not in ("text", "category")

    @property
    def heading(self) -> str:
        """Label with its unit, for one-line headings and CSV."""
        return f"{self.label} ({self.unit})" if self.unit not in ("", "p") else self.label


@dataclass(frozen=True)
class Rate:
    """A rate the guard works out itself: `scale` × numerator / denominator."""

    numerator: str
    denominator: str
    scale: float = 100.0


@dataclass(frozen=True)
class DisclosureRecord:
    """What the guard did to one table or figure.

    `status` is 'pass', or 'already published' when no record of a child is behind the numbers.
    """

    rule: str
    status: str
    cells: int
    suppressed: int
    secondary: int
    actions: tuple[str, ...] = ()


Cell = float | int | str
_TOKEN = object()


def _refuse(token: object, name: str, maker: str) -> None:
    if token is not _TOKEN:
        raise DisclosureError(
            f"{name} cannot be made directly: call disclosure.{maker}(...), which applies the "
            "threshold and the rounding"
        )


def _seal(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SafeTable:
    """A table that passed the guard; made by `safe_table` alone.

    `rows` hold text, rounded numbers or a symbol of `SYMBOLS`: nothing more exact than is shown.
    """

    title: str
    caption: str
    source: str
    origin: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    record: DisclosureRecord
    token: InitVar[object] = None

    def __post_init__(self, token: object) -> None:
        _refuse(token, "SafeTable", "safe_table")

    def text(self, row: int, key: str) -> str:
        """Cell as readers see it."""
        index = self.keys.index(key)
        return cell_text(self.rows[row][index], self.columns[index])

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(c.key for c in self.columns)

    def values(self, key: str) -> tuple[Cell, ...]:
        """One column of cells, as held (rounded numbers, symbols, text)."""
        if key not in self.keys:
            raise DisclosureError(f"no column {key!r}; columns: {', '.join(self.keys)}")
        index = self.keys.index(key)
        return tuple(row[index] for row in self.rows)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in use, in the order of the key."""
        used = {c for row in self.rows for c in row if isinstance(c, str)}
        return tuple(s for s in SYMBOLS if s in used)

    def to_csv(self) -> str:
        """CSV text: `origin` and `source` first, then the columns with units; LF line ends."""
        head = ["origin", "source", *(c.heading for c in self.columns)]
        lead = [ORIGINS[self.origin], self.source]
        body = [
            [*lead, *(_csv_cell(v, c) for v, c in zip(row, self.columns, strict=True))]
            for row in self.rows
        ]
        return "".join(",".join(_quote(v) for v in line) + "\n" for line in [head, *body])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content with a seal, so that a bundle edited by hand is noticed."""
        content = {f.name: _plain(getattr(self, f.name)) for f in fields(self)}
        return {**content, "seal": _seal(content)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SafeTable:
        """Table from `to_dict`; DisclosureError if a value was changed since."""
        body = _unsealed(content, f"table {content.get('title')!r}")
        try:
            return cls(
                **{k: body[k] for k in ("title", "caption", "source", "origin")},
                columns=tuple(Column(**c) for c in body["columns"]),
                rows=tuple(tuple(r) for r in body["rows"]),
                record=_record(body["record"]),
                token=_TOKEN,
            )
        except (KeyError, TypeError) as error:
            raise DisclosureError(f"table {content.get('title')!r}: {error}") from error


#: Columns a chart reads, by kind; those in brackets of `OPTIONAL` may be absent.
KINDS: dict[str, tuple[str, ...]] = {
    "estimates": ("label", "value", "low", "high"),
    "event_study": ("time", "value", "low", "high"),
    "trend": ("time", "value", "series"),
    "bars": ("label", "value"),
}


@dataclass(frozen=True)
class FigureOptions:
    """What a chart shows besides its data: plain words and numbers only.

    Attributes
    ----------
    measure, unit : str
        Axis title and unit of `value`.
    decimals : int
        Digits shown.
    mid : float or None
        Minimum important difference: a band from -mid to +mid.
    lower, higher : str
        What the two sides of zero mean ('fewer with kin', 'more with kin').
    adopted_from, adopted_to : float or None
        Ends of the band (or, if equal, place of the line) that marks adoption on the time axis.
    adoption : str
        Its label.
    base : float or None
        Reference period of an event study.
    time : str
        Title of the time axis.
    """

    measure: str
    unit: str = ""
    decimals: int = 1
    mid: float | None = None
    lower: str = ""
    higher: str = ""
    adopted_from: float | None = None
    adopted_to: float | None = None
    adoption: str = ""
    base: float | None = None
    time: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            words = item.name in ("measure", "unit", "lower", "higher", "adoption", "time")
            allowed = isinstance(value, str) if words else value is None or finite(value)
            if not allowed:
                kind = "text" if words else "a number"
                raise DisclosureError(f"chart option {item.name!r} must be {kind}, not {value!r}")


@dataclass(frozen=True)
class SafeFigure:
    """A chart that passed the guard; made by `safe_figure` alone.

    Picture, hover text, table and CSV are all drawn from `data`, which is a `SafeTable`.
    """

    kind: str
    data: SafeTable
    subtitle: str
    alt: str
    options: FigureOptions
    token: InitVar[object] = None

    def __post_init__(self, token: object) -> None:
        _refuse(token, "SafeFigure", "safe_figure")

    @property
    def title(self) -> str:
        return self.data.title

    @property
    def source(self) -> str:
        return self.data.source

    @property
    def origin(self) -> str:
        return self.data.origin

    @property
    def record(self) -> DisclosureRecord:
        return self.data.record

    def to_csv(self) -> str:
        """The data of the chart as CSV."""
        return self.data.to_csv()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content with a seal."""
        content = {
            **{k: getattr(self, k) for k in ("kind", "subtitle", "alt")},
            "data": self.data.to_dict(),
            "options": asdict(self.options),
        }
        return {**content, "seal": _seal(content)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SafeFigure:
        """Figure from `to_dict`; DisclosureError if a value was changed since."""
        body = _unsealed(content, "figure")
        try:
            return cls(
                **{k: body[k] for k in ("kind", "subtitle", "alt")},
                data=SafeTable.from_dict(body["data"]),
                options=FigureOptions(**body["options"]),
                token=_TOKEN,
            )
        except (KeyError, TypeError) as error:
            raise DisclosureError(f"figure: {error}") from error


# --- counts -----------------------------------------------------------------------------------


def round_count(count: int, rules: Rules) -> int:
    """Count rounded to the base; never shown below the threshold it has passed."""
    base = max(int(rules.rounding_base), 1)
    rounded = (2 * int(count) + base) // (2 * base) * base
    # A threshold that is no multiple of the base must not let 7 appear as 5.
    return rounded if rounded >= rules.threshold else rounded + base


def safe_count(count: int, rules: Rules) -> int | str:
    """One count for a claim: rounded, or ``[c]`` below the threshold (zero included).

    Raises
    ------
    DisclosureError
        The count is negative or not a whole number.
    """
    whole = _whole(count, "count")
    return CONFIDENTIAL if whole < rules.threshold else round_count(whole, rules)


def safe_rate(numerator: int, denominator: int, rules: Rules, scale: float = 100.0) -> float | str:
    """`scale` × numerator / denominator from the rounded counts, or ``[c]``."""
    top, bottom = _whole(numerator, "numerator"), _whole(denominator, "denominator")
    if top > bottom:
        raise DisclosureError(f"numerator {top} is larger than denominator {bottom}")
    if min(top, bottom, bottom - top) < rules.threshold or bottom == 0:
        return CONFIDENTIAL
    return scale * round_count(top, rules) / round_count(bottom, rules)


def _whole(value: object, what: str) -> int:
    if not finite(value) or float(value) != int(value) or int(value) < 0:  # type: ignore[arg-type, call-overload]
        raise DisclosureError(f"{what}: {value!r} is not a whole number of 0 or more")
    return int(value)  # type: ignore[call-overload]


# --- the guard --------------------------------------------------------------------------------


@dataclass
class _Sheet:
    """Working copy of a table inside the guard."""

    rows: list[dict[str, Any]]
    rules: Rules
    counts: tuple[str, ...]
    rates: dict[str, Rate]
    statistics: dict[str, tuple[str, ...]]
    estimates: tuple[str, ...]
    labels: tuple[str, ...]
    hidden: dict[tuple[int, str], str] = field(default_factory=dict)

    def hide(self, row: int, key: str, why: str) -> None:
        self.hidden.setdefault((row, key), why)

    def number(self, row: int, key: str) -> int | None:
        """Exact count of a cell; None where it is missing or given as a symbol."""
        value = self.rows[row].get(key)
        return _whole(value, f"row {row + 1}, column {key!r}") if not _missing(value) else None


def safe_table(
    frame: Any,
    *,
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    title: str,
    source: str,
    origin: str,
    rules: Rules,
    caption: str = "",
    count_columns: Sequence[str] = (),
    authorities_column: str | None = None,
    authorities: int | None = None,
    rates: Mapping[str, Rate | tuple[str, str]] | None = None,
    statistics: Mapping[str, Sequence[str] | str] | None = None,
    estimates: Sequence[str] = (),
    residual_dof_column: str | None = None,
    residual_dof: float | None = None,
    category_columns: Sequence[str] = (),
    totals: Mapping[str, Sequence[str]] | None = None,
    total_row: str = "",
) -> SafeTable:
    """Make a table that may be shown.

    Parameters
    ----------
    frame : DataFrame or sequence of mappings
        Exact values. Columns not in `columns` may serve as guards and are then dropped.
    columns : mapping of key to Column (or mapping of its fields, or label)
        What is shown, in order.
    title, caption, source : str
        Message of the table; how to read it; where the numbers come from.
    origin : str
        One of `ORIGINS`.
    rules : Rules
        `study.disclosure`; `ALREADY_PUBLISHED` for numbers anyone can read.
    count_columns : sequence of str
        Counts of distinct children or of cases.
    authorities_column, authorities : str, int
        Column with the number of local authorities behind each row, or one number for all rows.
        One of them is needed where counts, rates or statistics are shown.
    rates : mapping of key to Rate or (numerator, denominator)
        Recomputed from rounded counts; the counts need not be shown.
    statistics : mapping of key to count column(s)
        Means and the like, and the counts that guard them.
    estimates : sequence of str
        Coefficients, standard errors, interval ends, p-values of a fitted model.
    residual_dof_column, residual_dof : str, float
        Residual degrees of freedom of the fit of each row, or of all.
    category_columns : sequence of str
        Numbers that are labels (years, event time), declared as such.
    totals : mapping of key to count columns
        Row sums, worked out here from the rounded parts.
    total_row : str
        Label of a last row worked out here from the rounded cells ('' for none).

    Raises
    ------
    DisclosureError
        A column has no role or two, a text cell is a bare number or an object, a guard is
        missing, or the rules are too weak for the origin.

    Notes
    -----
    Domain rules; threshold, base and minimum of authorities come from `rules`.
    """
    _check_origin(origin, rules)
    for name, text in (("title", title), ("source", source)):
        _words(text, name)
    rows = _records(frame)
    rate_map = {k: r if isinstance(r, Rate) else Rate(*r) for k, r in (rates or {}).items()}
    guards = {k: (g,) if isinstance(g, str) else tuple(g) for k, g in (statistics or {}).items()}
    sums = {k: tuple(parts) for k, parts in (totals or {}).items()}
    specs = _roles(
        columns,
        rows,
        {
            "count": (*count_columns, *sums),
            "rate": tuple(rate_map),
            "statistic": tuple(guards),
            "estimate": tuple(estimates),
            "category": tuple(category_columns),
            "authorities": [k for k in (authorities_column,) if k is not None and k in columns],
        },
    )
    counted = {*count_columns, *itertools.chain.from_iterable(sums.values())}
    counted |= {k for r in rate_map.values() for k in (r.numerator, r.denominator)}
    counted |= set(itertools.chain.from_iterable(guards.values()))
    counted -= set(sums)
    _need(rows, [*counted, authorities_column, residual_dof_column])
    for key, rate in rate_map.items():
        if rate.numerator == rate.denominator:
            raise DisclosureError(f"rate {key!r}: numerator and denominator are one column")
    for key, guard in guards.items():
        unit = next((c.unit for c in specs if c.key == key), "")
        if unit.lower() in COUNT_UNITS:
            raise DisclosureError(
                f"column {key!r} is in {unit!r}, so it is a count: declare it in count_columns"
            )
        if not guard and rules.threshold > 0:
            raise DisclosureError(f"statistic {key!r} names no count that guards it")

    sheet = _Sheet(
        rows,
        rules,
        tuple(sorted(counted)),
        rate_map,
        guards,
        tuple(estimates),
        tuple(c.key for c in specs if c.role in ("text", "category")),
    )
    _primary(sheet)
    _guard_authorities(sheet, authorities_column, authorities)
    _guard_estimates(sheet, residual_dof_column, residual_dof)
    first = len(sheet.hidden)
    _margins(sheet)
    _carry(sheet)
    cells = [
        tuple(_cell(sheet, i, c, sums, authorities_column) for c in specs) for i in range(len(rows))
    ]
    if total_row:
        cells.append(_total(cells, specs, rate_map, total_row))
    return _finish(title, caption, source, origin, specs, cells, sheet, first)


def _finish(
    title: str,
    caption: str,
    source: str,
    origin: str,
    specs: list[Column],
    cells: list[tuple[Cell, ...]],
    sheet: _Sheet,
    primary: int,
) -> SafeTable:
    rules = sheet.rules
    shown = {c.key for c in specs}
    hidden = {k: why for k, why in sheet.hidden.items() if k[1] in shown}
    later = len([k for i, k in enumerate(sheet.hidden) if i >= primary and k in hidden])
    published = rules.threshold <= 0
    record = DisclosureRecord(
        rule=(
            rules.source
            if published
            else f"fewest children {rules.threshold}, rounded to {rules.rounding_base}, "
            f"fewest authorities {rules.minimum_authorities}"
        ),
        status="already published" if published else "pass",
        cells=len(cells) * len(specs),
        suppressed=sum(v == CONFIDENTIAL for row in cells for v in row),
        secondary=later,
        actions=tuple(sorted(set(hidden.values()))),
    )
    return SafeTable(
        title, caption, source, origin, tuple(specs), tuple(cells), record, token=_TOKEN
    )


def _check_origin(origin: str, rules: Rules) -> None:
    if origin not in ORIGINS:
        raise DisclosureError(f"origin {origin!r} is unknown; allowed: {', '.join(ORIGINS)}")
    # A cell of two tells each of the two about the other.
    if origin in RECORD_ORIGINS and rules.threshold < 3:
        raise DisclosureError(
            f"rules with threshold {rules.threshold} cannot be used on {origin} data; "
            "use the rules of the study file"
        )


def _words(text: object, name: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise DisclosureError(f"{name} is missing: give it in words")


def _missing(value: object) -> bool:
    if value is None or value in SYMBOLS:
        return True
    # NaN and pandas' NA and NaT are the values that differ from themselves or cannot say.
    try:
        return bool(value != value)
    except TypeError:
        return True


def _records(frame: Any) -> list[dict[str, Any]]:
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        if len(set(frame.columns)) != len(frame.columns):
            raise DisclosureError("the frame has two columns of one name")
        rows = frame.to_dict("records")
    else:
        rows = [dict(row) for row in frame]
    if not rows:
        raise DisclosureError("the frame has no rows: show a sentence instead of an empty table")
    return [{str(k): getattr(v, "item", lambda v=v: v)() for k, v in row.items()} for row in rows]


def _need(rows: list[dict[str, Any]], keys: Sequence[str | None]) -> None:
    have = set(rows[0])
    for key in keys:
        if key is not None and any(key not in row for row in rows):
            raise DisclosureError(f"no column {key!r} in the frame; it has: {sorted(have)}")


def _roles(
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    rows: list[dict[str, Any]],
    roles: Mapping[str, Sequence[str]],
) -> list[Column]:
    """Column specs with their role; every numeric column must have exactly one."""
    specs = []
    for key, given in columns.items():
        spec = given if isinstance(given, Column) else None
        if spec is None:
            try:
                spec = Column(given) if isinstance(given, str) else Column(**dict(given))  # type: ignore[arg-type]
            except TypeError as error:
                raise DisclosureError(f"column {key!r}: {error}") from error
        named = [role for role, keys in roles.items() if key in keys]
        if len(named) > 1:
            raise DisclosureError(f"column {key!r} has two roles: {' and '.join(named)}")
        role = named[0] if named else "text"
        if role not in ("rate", "count"):
            _need(rows, [key])
        _words(spec.label, f"label of column {key!r}")
        specs.append(replace(spec, key=key, role=role))
        if role in ("text", "category"):
            for i, row in enumerate(rows):
                _check_label(row[key], i, key, role)
    if not specs:
        raise DisclosureError("name at least one column to show")
    return specs


def _check_label(value: object, row: int, key: str, role: str) -> None:
    where = f"row {row + 1}, column {key!r}"
    if _missing(value) or isinstance(value, bool):
        return
    if role == "category":
        if isinstance(value, str) or (finite(value) and float(value) == int(value)):  # type: ignore[arg-type, call-overload]
            return
        raise DisclosureError(f"{where}: a category is a whole number or text, not {value!r}")
    if not isinstance(value, str):
        raise DisclosureError(
            f"{where}: {type(value).__name__} in a column without a role; declare it in "
            "count_columns, rates, statistics, estimates or category_columns"
        )
    if _ONLY_A_NUMBER.match(value):
        raise DisclosureError(
            f"{where}: {value!r} is a number written as text; declare the column's role"
        )


def _primary(sheet: _Sheet) -> None:
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


def _guard_authorities(sheet: _Sheet, column: str | None, constant: int | None) -> None:
    minimum = sheet.rules.minimum_authorities
    guarded = [*sheet.counts, *sheet.rates, *sheet.statistics]
    if minimum <= 1 or not guarded:
        return
    if column is None and constant is None:
        raise DisclosureError(
            "say how many local authorities are behind each row: authorities_column=… or "
            f"authorities=… (the rules ask for {minimum})"
        )
    for i in range(len(sheet.rows)):
        number = sheet.number(i, column) if column is not None else _whole(constant, "authorities")
        if number is None or number < minimum:
            for key in [*guarded, *sheet.estimates, *([column] if column else [])]:
                sheet.hide(i, key, "too few authorities")


def _guard_estimates(sheet: _Sheet, column: str | None, constant: float | None) -> None:
    if not sheet.estimates or sheet.rules.threshold <= 0:
        return
    if column is None and constant is None:
        raise DisclosureError(
            "say how many residual degrees of freedom the fit has: residual_dof_column=… or "
            f"residual_dof=… (at least {RESIDUAL_DOF})"
        )
    for i, row in enumerate(sheet.rows):
        dof = row[column] if column is not None else constant
        thin = any((i, key) in sheet.hidden for key in sheet.counts)
        if not finite(dof) or float(dof) < RESIDUAL_DOF or thin:  # type: ignore[arg-type]
            why = "behind a count below the threshold" if thin else "too few degrees of freedom"
            for key in sheet.estimates:
                sheet.hide(i, key, why)


def _margins(sheet: _Sheet) -> None:
    """Hide any total from which a hidden part could be found by subtraction."""
    size, slack = len(sheet.rows), max(sheet.rules.threshold, 1)
    label = sheet.labels[0] if sheet.labels else None
    for key in sheet.counts:
        if not any((i, key) in sheet.hidden for i in range(size)):
            continue
        values = [sheet.number(i, key) or 0 for i in range(size)]
        for i in range(size):
            named = label is not None and bool(_MARGIN.match(str(sheet.rows[i].get(label, ""))))
            # Distinct children of the parts may add to a little more than those of the whole.
            adds_up = size > 2 and abs(2 * values[i] - sum(values)) < slack
            if named or adds_up:
                sheet.hide(i, key, "a total that would reveal a part")
    for whole, parts in _column_sums(sheet, slack):
        for i in range(size):
            if any((i, part) in sheet.hidden for part in parts):
                sheet.hide(i, whole, "a total that would reveal a part")


def _column_sums(sheet: _Sheet, slack: int) -> list[tuple[str, tuple[str, ...]]]:
    """Count columns that are, row by row, (nearly) the sum of two or more others."""
    if len(sheet.counts) < 3 or len(sheet.counts) > 8:
        return []
    found = []
    table = {k: [sheet.number(i, k) for i in range(len(sheet.rows))] for k in sheet.counts}
    for whole in sheet.counts:
        others = [k for k in sheet.counts if k != whole]
        for size in range(2, len(others) + 1):
            for parts in itertools.combinations(others, size):
                rows = zip(table[whole], zip(*(table[p] for p in parts), strict=True), strict=True)
                gaps = [
                    abs(w - sum(v or 0 for v in ps))
                    for w, ps in rows
                    if w is not None and not all(v is None for v in ps)
                ]
                if gaps and max(gaps) < slack:
                    found.append((whole, parts))
    return found


def _carry(sheet: _Sheet) -> None:
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


def _cell(
    sheet: _Sheet,
    i: int,
    column: Column,
    sums: Mapping[str, tuple[str, ...]],
    authorities_column: str | None,
) -> Cell:
    """What a reader may see of one cell."""
    key, row = column.key, sheet.rows[i]
    if (i, key) in sheet.hidden:
        return CONFIDENTIAL
    if key in sums:
        parts = [_count_cell(sheet, i, part) for part in sums[key]]
        texts = [p for p in parts if isinstance(p, str)]
        if texts:
            return CONFIDENTIAL if CONFIDENTIAL in texts else texts[0]
        return sum(parts)  # type: ignore[arg-type]
    if key in sheet.rates:
        rate = sheet.rates[key]
        top, bottom = sheet.number(i, rate.numerator), sheet.number(i, rate.denominator)
        if top is None or bottom is None or bottom == 0:
            return NOT_AVAILABLE
        ratio = round_count(top, sheet.rules) / round_count(bottom, sheet.rules)
        return _rounded(rate.scale * ratio, column)
    value = row.get(key)
    if _missing(value):
        return value if isinstance(value, str) and value in SYMBOLS else NOT_AVAILABLE
    if column.role == "count":
        return _count_cell(sheet, i, key)
    if key == authorities_column:
        return _whole(value, f"row {i + 1}, column {key!r}")
    if column.role in ("statistic", "estimate"):
        if not finite(value):
            raise DisclosureError(f"row {i + 1}, column {key!r}: {value!r} is not a finite number")
        return _rounded(float(value), column)  # type: ignore[arg-type]
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) else int(value)  # type: ignore[arg-type]


def _count_cell(sheet: _Sheet, i: int, key: str) -> Cell:
    if (i, key) in sheet.hidden:
        return CONFIDENTIAL
    count = sheet.number(i, key)
    return NOT_AVAILABLE if count is None else round_count(count, sheet.rules)


def _rounded(value: float, column: Column) -> Cell:
    kept = float(fixed(value, column.decimals))
    if kept == 0 and value != 0 and column.role in ("rate", "statistic"):
        return LOW
    return int(kept) if column.decimals == 0 else kept


def _total(
    cells: list[tuple[Cell, ...]], specs: list[Column], rates: Mapping[str, Rate], label: str
) -> tuple[Cell, ...]:
    """Last row from the rounded cells; a hidden part hides the total."""
    sums: dict[str, Cell] = {}
    for index, column in enumerate(specs):
        if column.role != "count":
            continue
        values = [row[index] for row in cells]
        texts = [v for v in values if isinstance(v, str)]
        # With a part hidden or unknown no total is known to be safe.
        sums[column.key] = CONFIDENTIAL if texts else sum(values)  # type: ignore[arg-type]
    row: list[Cell] = []
    for index, column in enumerate(specs):
        if index == 0:
            row.append(label)
        elif column.key in sums:
            row.append(sums[column.key])
        elif column.key in rates:
            rate = rates[column.key]
            top, bottom = sums.get(rate.numerator), sums.get(rate.denominator)
            if isinstance(top, (int, float)) and isinstance(bottom, (int, float)) and bottom:
                row.append(_rounded(rate.scale * top / bottom, column))
            else:
                row.append(CONFIDENTIAL if CONFIDENTIAL in (top, bottom) else NOT_APPLICABLE)
        else:
            row.append(NOT_APPLICABLE)
    return tuple(row)


# --- figures ----------------------------------------------------------------------------------


def safe_figure(
    kind: str,
    frame: Any,
    *,
    title: str,
    subtitle: str,
    alt: str,
    source: str,
    origin: str,
    rules: Rules,
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str] | None = None,
    caption: str = "",
    **guards: Any,
) -> SafeFigure:
    """Make a chart that may be shown.

    Parameters
    ----------
    kind : str
        One of `KINDS`, which says the columns of `frame` it reads: label, value, low, high, time,
        series. Others (counts, authorities) may be shown in its table through `columns`.
    frame : DataFrame or sequence of mappings
        Exact values, as for `safe_table`.
    title, subtitle, alt, source : str
        The message; measure, place and period (on made-up data it begins 'Made-up data'); the
        picture in words; where the numbers come from. All needed.
    options : FigureOptions
        Axis words, unit, minimum important difference, adoption mark.
    columns : mapping, optional
        More columns for the table under the chart, or other labels for the chart's own.
    **guards
        As in `safe_table`: count_columns, authorities, rates, statistics, estimates, residual_dof.
        In estimates and event_study charts, value, low and high are estimates unless declared
        otherwise.

    Raises
    ------
    DisclosureError
        As `safe_table`; or the kind is unknown, or a text is missing.
    """
    if kind not in KINDS:
        raise DisclosureError(f"no chart kind {kind!r}; allowed: {', '.join(KINDS)}")
    for name, text in (("title", title), ("subtitle", subtitle), ("alt text", alt)):
        _words(text, name)
    if origin == "synthetic" and not subtitle.startswith(ORIGINS["synthetic"]):
        raise DisclosureError("the subtitle of a chart on made-up data must begin 'Made-up data'")
    if not isinstance(options, FigureOptions):
        raise DisclosureError("options must be a FigureOptions")
    rows = _records(frame)
    _need(rows, [k for k in KINDS[kind] if k not in (guards.get("rates") or {})])
    specs = _figure_columns(kind, rows, options, columns or {}, guards)
    categories = [k for k in ("time",) if k in specs]
    if kind in ("estimates", "event_study"):
        taken = {*(guards.get("rates") or {}), *(guards.get("statistics") or {})}
        mine = [k for k in ("value", "low", "high") if k not in taken]
        guards["estimates"] = tuple(dict.fromkeys([*mine, *guards.get("estimates", ())]))
    guards["category_columns"] = tuple(
        dict.fromkeys([*categories, *guards.get("category_columns", ())])
    )
    if kind == "event_study" and options.base is not None:
        for row in rows:
            # The reference period is zero by construction: it has no interval.
            if row["time"] == options.base:
                row.update({k: NOT_APPLICABLE for k in ("low", "high") if _missing(row[k])})
    data = safe_table(
        rows,
        columns=specs,
        title=title,
        caption=caption,
        source=source,
        origin=origin,
        rules=rules,
        **guards,
    )
    return SafeFigure(kind, data, subtitle, alt, options, token=_TOKEN)


def _figure_columns(
    kind: str,
    rows: list[dict[str, Any]],
    options: FigureOptions,
    columns: Mapping[str, Column | Mapping[str, Any] | str],
    guards: Mapping[str, Any],
) -> dict[str, Any]:
    difference = kind in ("estimates", "event_study")
    number = {"unit": options.unit, "decimals": options.decimals, "signed": difference}
    own: dict[str, Any] = {
        "label": Column("What is compared"),
        "time": Column(options.time or "Time"),
        "series": Column("Group"),
        "value": Column(options.measure, **number),  # type: ignore[arg-type]
        "low": Column("Interval from", **number),  # type: ignore[arg-type]
        "high": Column("Interval to", **number),  # type: ignore[arg-type]
    }
    present = {k: v for k, v in own.items() if k in rows[0] or k in (guards.get("rates") or {})}
    return {**present, **columns}


# --- plain text -------------------------------------------------------------------------------


def cell_text(value: Cell, column: Column) -> str:
    """A cell as readers see it: thousands commas, true minus, fixed decimals, or its symbol."""
    if isinstance(value, str):
        return value
    if column.role == "category":
        # A year takes no thousands comma, an event time keeps its sign.
        return str(value).replace("-", "\u2212")
    text = quantity(value, "p" if column.unit == "p" else "", column.decimals)
    return f"+{text}" if column.signed and value > 0 else text


def _csv_cell(value: Cell, column: Column) -> str:
    if not isinstance(value, str):
        return fixed(value, 0 if column.role == "category" else column.decimals)
    # A spreadsheet would run a label that begins like a formula.
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _quote(text: str) -> str:
    if any(c in text for c in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, (Column, DisclosureRecord)):
        return {k: _plain(v) for k, v in asdict(value).items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _record(content: Mapping[str, Any]) -> DisclosureRecord:
    return DisclosureRecord(**{**content, "actions": tuple(content["actions"])})


def _unsealed(content: Mapping[str, Any], what: str) -> dict[str, Any]:
    body = {k: v for k, v in content.items() if k != "seal"}
    if content.get("seal") != _seal(body):
        raise DisclosureError(
            f"{what}: its content no longer matches its seal; make the results again with "
            "`python -m sos_analysis build`"
        )
    return body
