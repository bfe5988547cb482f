"""The canonical tables: the one shape every source of records is brought into.

Whatever the source (an extract of the National Pupil Database, an authority's own returns,
made-up records), outcomes see these tables alone. They are Ibis tables in the engine that holds
the records, materialised once, after filtering to the authorities of the study.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    import ibis

    from sos_analysis.records.engine import Engine

Severity = Literal["error", "warning", "info"]
Kind = Literal["string", "date", "boolean", "integer", "number"]

KEY = ("la", "child_id")  # a child; the same person in another authority is another child
CHILD = "child"  # the same as one number, to join by; beside the key in every table of children
YOUNGEST, OLDEST = -1, 17  # completed years at an event; -1 is unborn

SEXES = ("male", "female", "unknown")
ETHNICITIES = ("White", "Mixed", "Asian", "Black", "Chinese", "Other", "Unclassified")
#: RC9 (closed after assessment, to early help) is in returns from 2023.
CLOSURE_REASONS = tuple(f"RC{n}" for n in range(1, 10))
NEEDS = tuple(f"N{n}" for n in range(10))


@dataclass(frozen=True)
class Problem:
    """Something in the records that was left out, repaired, or worth knowing, with its count.

    Attributes
    ----------
    severity : 'error' (rows left out), 'warning' (repaired or doubtful) or 'info'.
    table, field : where. Never an identifying value.
    message : what was found.
    count : rows (or children, where the message says so).
    remedy : what was done, and what the reader may do.
    file, place : the first of them, where the source was looked at closely: its file, and the row
        or child it stands in (numbers as counted in the file).
    sample : the shape of what stood there (letters a and A, figures 9), never the value.
    """

    severity: Severity
    table: str
    field: str
    message: str
    count: int
    remedy: str
    file: str = ""
    place: str = ""
    sample: str = ""


@dataclass(frozen=True)
class Column:
    """Type of a canonical column, whether it may be empty, and the values it may take."""

    kind: Kind
    nullable: bool = False
    allowed: tuple[str, ...] | None = None


_TEXT, _DAY, _FLAG, _WHOLE = (Column(k) for k in ("string", "date", "boolean", "integer"))
_TEXT_OR_NONE, _DAY_OR_NONE, _FLAG_OR_NONE, _WHOLE_OR_NONE = (
    Column(k, nullable=True) for k in ("string", "date", "boolean", "integer")
)
_CHILD = {"la": _TEXT, "child_id": _TEXT}

#: Table -> column -> what it holds.
CANONICAL: Mapping[str, Mapping[str, Column]] = {
    # One row a child of an authority.
    "children": {
        **_CHILD,
        "dob": _DAY_OR_NONE,
        "sex": Column("string", allowed=SEXES),
        "ethnicity": Column("string", nullable=True, allowed=ETHNICITIES),
        "disabled": _FLAG_OR_NONE,
        "low_income": _FLAG_OR_NONE,
        "uasc": _FLAG,
    },
    # One row a child and day of referral, copies over years of return put together.
    "referrals": {
        **_CHILD,
        "referral_date": _DAY,
        "nfa_flag": _FLAG_OR_NONE,
        "closure_date": _DAY_OR_NONE,
        "closure_reason": Column("string", nullable=True, allowed=CLOSURE_REASONS),
        "primary_need": Column("string", nullable=True, allowed=NEEDS),
        "icpc_date": _DAY_OR_NONE,  # earliest stated with the referral itself
        "has_icpc": _FLAG,  # a conference under this referral, wherever recorded
        "has_plan": _FLAG,  # a protection plan under this referral
        "cin_any": _FLAG_OR_NONE,  # the extract's own derived marks; none if it has none
        "closed_before_referral": _FLAG,
        "first_return": _WHOLE,
        "last_return": _WHOLE,
    },
    "assessments": {**_CHILD, "start_date": _DAY, "end_date": _DAY_OR_NONE},
    "s47_icpc": {
        **_CHILD,
        "s47_date": _DAY_OR_NONE,
        "icpc_date": _DAY_OR_NONE,
        "not_required": _FLAG_OR_NONE,  # marked as needing no conference
    },
    # Every day of a conference, by where it is recorded: 's47' or 'cin'.
    "conferences": {
        **_CHILD,
        "icpc_date": _DAY,
        "source": Column("string", allowed=("cin", "s47")),
    },
    "cpp": {
        **_CHILD,
        "start_date": _DAY,
        "end_date": _DAY_OR_NONE,
        "n_previous": _WHOLE_OR_NONE,
    },
    "care_periods": {
        **_CHILD,
        "period_start": _DAY,
        "period_end": _DAY_OR_NONE,
        "period_end_reason": _TEXT_OR_NONE,
        "first_legal_status": _TEXT_OR_NONE,
        "first_placement": _TEXT_OR_NONE,
    },
    "episodes": {
        **_CHILD,
        "period_start": _DAY,
        "episode_start": _DAY,
        "episode_end": _DAY_OR_NONE,
        "legal_status": _TEXT_OR_NONE,
        "placement": _TEXT_OR_NONE,
        "need": _TEXT_OR_NONE,
        "end_reason": _TEXT_OR_NONE,
    },
    "calendar": {
        "day": _DAY,
        "working_before": _WHOLE,
        "elevated_risk": _FLAG,
    },
}


@dataclass(frozen=True)
class Records:
    """Canonical tables in an engine, what was wrong with the source, and what the source was.

    Use as a context manager, or call `close`.

    Attributes
    ----------
    engine : holds the tables; `con` is its Ibis backend.
    tables : the canonical tables (see `CANONICAL`), and `la_years` where the source has it.
    problems : what was left out, repaired or noted, with counts.
    shared : what several outcomes rest on, held once it was asked for (see `once`).
    only : authorities that count just now; none: all that were read (see `within`).
    manifest : what the source says of itself, with `files` (name -> SHA-256 as found) and
        `authorities` (those asked for; none: all).
    """

    engine: Engine
    tables: Mapping[str, ibis.Table]
    problems: tuple[Problem, ...]
    manifest: Mapping[str, Any]
    shared: dict[Any, ibis.Table] = field(default_factory=dict, repr=False, compare=False)
    only: tuple[str, ...] | None = None

    def once(self, made: ibis.Table) -> ibis.Table:
        """A table worked out the first time it is asked for, and held until `close`."""
        key = made.op()
        if key not in self.shared:
            self.shared[key] = self.engine.keep(made)
        return self.shared[key]

    def within(self, table: ibis.Table) -> ibis.Table:
        """Rows of the authorities that count: of what is shared, those that are asked for."""
        return table if self.only is None else table.filter(table["la"].isin(self.only))

    @property
    def con(self) -> Any:
        """The Ibis backend that holds the tables."""
        return self.engine.con

    @property
    def data_hash(self) -> str:
        """SHA-256 over the source's files and the authorities read, for provenance."""
        told = {key: self.manifest.get(key) for key in ("files", "authorities")}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        """Drop the tables and leave the engine."""
        self.engine.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def validate(records: Records) -> list[Problem]:
    """Check the canonical tables against their schema.

    Returns
    -------
    One `Problem` a column that is empty where it must not be or holds a value not allowed.

    Raises
    ------
    RecordsError : a table or column is missing, or a column has the wrong type.
    """
    found: list[Problem] = []
    for name, columns in CANONICAL.items():
        if name not in records.tables:
            raise RecordsError(
                f"canonical table {name!r} is missing; a reader must give {', '.join(CANONICAL)}."
            )
        table = records.tables[name]
        _check_types(name, table, columns)
        found += _faults(name, table, columns)
    return found


def kind_of(dtype: Any) -> Kind | None:
    """Kind of an Ibis data type; none for types no table of ours holds."""
    if dtype.is_string():
        return "string"
    if dtype.is_date():
        return "date"
    if dtype.is_boolean():
        return "boolean"
    if dtype.is_integer():
        return "integer"
    return "number" if dtype.is_floating() or dtype.is_decimal() else None


def _check_types(name: str, table: ibis.Table, columns: Mapping[str, Column]) -> None:
    schema = table.schema()
    for column, wanted in columns.items():
        if column not in schema:
            raise RecordsError(
                f"table {name!r} lacks column {column!r}; it has {', '.join(schema.names)}."
            )
        if kind_of(schema[column]) != wanted.kind:
            raise RecordsError(
                f"table {name!r}, column {column!r} is {schema[column]}, not {wanted.kind}; "
                "correct the reader or the source."
            )


def _faults(name: str, table: ibis.Table, columns: Mapping[str, Column]) -> list[Problem]:
    counts: dict[str, Any] = {}
    for column, wanted in columns.items():
        if not wanted.nullable:
            counts[f"empty:{column}"] = table[column].isnull().sum()
        if wanted.allowed is not None:
            counts[f"value:{column}"] = table[column].notin(wanted.allowed).sum()
    found = []
    for key, count in tally(table, counts).items():
        if not count:
            continue
        kind, _, column = key.partition(":")
        message = "is empty" if kind == "empty" else "holds a value that is not allowed"
        allowed = columns[column].allowed
        remedy = f"allowed: {', '.join(allowed)}" if allowed else "every row needs a value"
        found.append(Problem("error", name, column, message, count, remedy))
    return found


def tally(table: ibis.Table, counts: Mapping[str, Any]) -> dict[str, int]:
    """Whole-number aggregates of a table, by name, in one query; a sum over no rows is 0."""
    if not counts:
        return {}
    row = table.aggregate(**counts).to_pyarrow().to_pylist()[0]
    return {name: int(row[name] or 0) for name in counts}
