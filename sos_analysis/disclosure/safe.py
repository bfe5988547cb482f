"""The safe types: what a table or chart may hold once it has passed the guard.

They can be made by `disclosure` alone (a private token), hold nothing more exact than is shown,
and carry a record of what was done. On disk each has a seal, so that a value changed by hand is
noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, fields
from typing import Any

from sos_analysis.disclosure.extremes import extremes
from sos_analysis.disclosure.suppression import SYMBOLS
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import MINUS, finite, fixed, quantity

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
        'auto' (numbers right), 'left' or 'right'. A category on the right is a count, not a year.
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
class DisclosureRecord:
    """What the guard did to one table or figure.

    `status` is 'pass', or 'already published' when no record of a child is behind the numbers.
    `threshold` and `base` are those of the rules used; `population` is whose children the counts
    are of, where tables share them; `parts` are the columns (part, whole) of which one is part of
    the other; `rates` say what each rate is made of: (rate, numerator, denominator, scale).
    """

    rule: str
    status: str
    cells: int
    suppressed: int
    secondary: int
    actions: tuple[str, ...] = ()
    threshold: int = 0
    base: int = 1
    population: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    rates: tuple[tuple[str, str, str, float], ...] = ()


Cell = float | int | str
TOKEN = object()


def _refuse(token: object, name: str, maker: str) -> None:
    if token is not TOKEN:
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
            made = cls(
                **{k: body[k] for k in ("title", "caption", "source", "origin")},
                columns=tuple(Column(**c) for c in body["columns"]),
                rows=tuple(tuple(r) for r in body["rows"]),
                record=_record(body["record"]),
                token=TOKEN,
            )
        except (KeyError, TypeError) as error:
            raise DisclosureError(f"table {content.get('title')!r}: {error}") from error
        # A seal can be computed by anyone; what no guard would have let through is refused too.
        wrong = faults(made)
        if wrong:
            raise DisclosureError(f"table {made.title!r}: {wrong[0]}")
        return made


def faults(table: SafeTable) -> list[str]:
    """What a stored table holds that the guard would not have let through; [] for none."""
    record = table.record
    found: list[str] = []
    if table.origin not in RECORD_ORIGINS:
        return []
    if record.threshold < 3 or record.base < 1:
        return [
            f"made by a guard with threshold {record.threshold}; make the results again with "
            "`python -m sos_analysis build`"
        ]
    found += extremes(
        table.columns, [dict(zip(table.keys, row, strict=False)) for row in table.rows]
    )
    for i, row in enumerate(table.rows):
        if len(row) != len(table.columns):
            return [f"row {i + 1} has {len(row)} cells for {len(table.columns)} columns"]
        for value, column in zip(row, table.columns, strict=True):
            where = f"row {i + 1}, column {column.key!r}"
            if column.role not in _ROLES:
                found.append(f"{where}: no role {column.role!r}")
            elif column.numeric and isinstance(value, str) and value not in SYMBOLS:
                found.append(f"{where}: {value!r} is no number and no symbol")
            elif (
                column.role == "count"
                and not isinstance(value, str)
                and (value < record.threshold or value % record.base)
            ):
                found.append(f"{where}: {value!r} is no guarded count")
    return found


_ROLES = ("text", "category", "count", "authorities", "rate", "statistic", "estimate")
#: Most series a chart of a kind can show and still be read (4 where not named).
MOST_SERIES = {"bars": 2, "panels": 2, "curve": 2}
#: Columns a chart reads, by kind.
KINDS: dict[str, tuple[str, ...]] = {
    "estimates": ("label", "value", "low", "high"),
    "event_study": ("time", "value", "low", "high"),
    "trend": ("time", "value", "series"),
    "bars": ("label", "value"),
    "panels": ("label", "time", "value", "series"),
    "tiles": ("label", "region", "value"),
    "curve": ("label", "value", "low", "high"),
}
#: Kinds whose values are differences between groups, estimated by a model.
DIFFERENCES = ("estimates", "event_study", "curve")
#: Kinds drawn once, as a picture with tooltips: a script would add nothing.
STATIC = ("panels", "tiles", "curve")


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
    shaded_from, shaded_to : float or None
        Ends of a shaded stretch of the time axis that is not like the rest.
    shaded : str
        Its label.
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
    shaded_from: float | None = None
    shaded_to: float | None = None
    shaded: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            words = item.name in (
                *("measure", "unit", "lower", "higher", "adoption", "time", "shaded"),
            )
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
                token=TOKEN,
            )
        except (KeyError, TypeError) as error:
            raise DisclosureError(f"figure: {error}") from error


# --- plain text -------------------------------------------------------------------------------


def cell_text(value: Cell, column: Column) -> str:
    """A cell as readers see it: thousands commas, true minus, fixed decimals, or its symbol."""
    if isinstance(value, str):
        return value
    if column.role == "category":
        # A year takes no thousands comma, an event time keeps its sign; a count has its commas.
        if column.align == "right":
            return quantity(value, "", 0)
        return str(value).replace("-", MINUS)
    text = quantity(value, "p" if column.unit == "p" else "", column.decimals)
    return f"+{text}" if column.signed and value > 0 else text


def _csv_cell(value: Cell, column: Column) -> str:
    if not isinstance(value, str):
        return fixed(value, 0 if column.role == "category" else column.decimals)
    return inert(value)


def inert(text: str) -> str:
    """A text as it may stand in CSV: a spreadsheet would run one that begins like a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _quote(text: str) -> str:
    if any(c in text for c in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, (Column, DisclosureRecord)):
        # Tables without parts keep the form, and the seal, they had before there were any.
        return {k: _plain(v) for k, v in asdict(value).items() if k not in ("parts", "rates") or v}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _record(content: Mapping[str, Any]) -> DisclosureRecord:
    parts = tuple((part, whole) for part, whole in content.get("parts", ()))
    rates = tuple((key, top, bottom, scale) for key, top, bottom, scale in content.get("rates", ()))
    told = {"actions": tuple(content["actions"]), "parts": parts, "rates": rates}
    return DisclosureRecord(**{**content, **told})


def _unsealed(content: Mapping[str, Any], what: str) -> dict[str, Any]:
    body = {k: v for k, v in content.items() if k != "seal"}
    if content.get("seal") != _seal(body):
        raise DisclosureError(
            f"{what}: its content no longer matches its seal; make the results again with "
            "`python -m sos_analysis build`"
        )
    return body
