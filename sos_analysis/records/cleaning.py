"""Codes as they are written in real returns, brought to the codes the standards define.

Each function takes an Ibis column and gives an Ibis column: what cannot be read becomes empty and
is counted by the caller, never guessed. The faults repaired are those the original evaluation
met in its extract (domain rule): lower-case or unmapped need codes, padded or misspelt closure
reasons, sexes outside the code list, flags written as true/false or 1/0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sos_analysis.records.returns.ssda903_layout import CODES as CARE_CODES
from sos_analysis.records.tables import CLOSURE_REASONS, NEEDS

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

LONGEST_MASK = 20
LARGEST = 2**31 - 1
_FEW = 8  # codes tried in turn before a row is left as it stands
YES = ("1", "1.0", "true", "t", "yes", "y")
NO = ("0", "0.0", "false", "f", "no", "n")

#: The 20 ethnicity codes of the returns, in the seven groups of the original.
ETHNIC_GROUPS = {
    "WBRI": "White",
    "WIRI": "White",
    "WIRT": "White",
    "WROM": "White",
    "WOTH": "White",
    "MWBC": "Mixed",
    "MWBA": "Mixed",
    "MWAS": "Mixed",
    "MOTH": "Mixed",
    "AIND": "Asian",
    "APKN": "Asian",
    "ABAN": "Asian",
    "AOTH": "Asian",
    "BCRB": "Black",
    "BAFR": "Black",
    "BOTH": "Black",
    "CHNE": "Chinese",
    "OOTH": "Other",
    "REFU": "Unclassified",
    "NOBT": "Unclassified",
}


def text(column: ir.Value) -> Any:
    """Text without surrounding space; blank is empty."""
    return column.cast("string").strip().nullif("")


def code(column: ir.Value) -> Any:
    """A code: text in capitals."""
    return text(column).upper()


def flag(column: ir.Value) -> Any:
    """Yes, no or empty, from a boolean, 1/0, or words."""
    dtype = column.type()
    if dtype.is_boolean():
        return column
    if dtype.is_numeric():
        return column.cases((1, True), (0, False))
    word = text(column).lower()
    return _cases(word.isin(YES), True, word.isin(NO), False)


def whole(column: ir.Value) -> Any:
    """A whole number from 0 on, from a number or digits; empty for all else."""
    import ibis

    if column.type().is_string():
        column = text(column).try_cast("float64")
    fit = column.between(0, LARGEST)
    if not column.type().is_integer():
        fit = fit & (column == column.floor())
    # What does not fit is empty before it is cast: engines fail on it else.
    return ibis.cases((fit, column)).cast("int32")


def need(column: ir.Value) -> Any:
    """Primary need N0 to N9."""
    return _only(code(column), NEEDS)


def closure_reason(column: ir.Value) -> Any:
    """Reason for closure RC1 to RC9, from 'rc8 ', 'RC 8', 'RC08', 'R8', '8' or 'RC8: closed'."""
    import ibis

    squeezed = code(column).re_replace("[^A-Z0-9]", "")
    prefixed = squeezed.re_extract("^RC0?([1-9])([A-Z].*)?$", 1).nullif("")
    short = squeezed.re_extract("^[RC]?0?([1-9])$", 1).nullif("")
    return _only(ibis.literal("RC") + prefixed.coalesce(short), CLOSURE_REASONS)


def sex(column: ir.Value) -> Any:
    """'male', 'female', 'unknown' (not recorded, unborn, indeterminate); empty for other codes.

    Codes are 1, 2, 0, 9 until the returns of 2024, and M, F, U from 2025 on.
    """
    return code(column).cases(
        *(("1", "male"), ("2", "female"), ("0", "unknown"), ("9", "unknown")),
        *(("M", "male"), ("F", "female"), ("U", "unknown")),
    )


def known(field: str) -> Callable[[Any], Any]:
    """Reads codes of a field of the SSDA903 return: in capitals; others stay as they are.

    A code outside the list is kept: it belongs to none of the groups the definitions name, and
    an older list may have had it. `with_codes` counts it.
    """
    allowed = CARE_CODES[field]

    def read(column: ir.Value) -> Any:
        return code(column)

    read.allowed = allowed  # type: ignore[attr-defined]
    return read


def ethnicity(column: ir.Value) -> Any:
    """One of seven groups; empty where not stated or not a code of the list."""
    return code(column).cases(*ETHNIC_GROUPS.items())


def masked(column: ir.Value) -> Any:
    """The shape of a text, as `files.staging.mask` gives it."""
    shape = column.re_replace("[a-z]", "a").re_replace("[A-Z]", "A").re_replace("[0-9]", "9")
    return shape.re_replace(r"[^aA9 ./:-]", "?").substr(0, LONGEST_MASK)


def with_codes(rows: ibis.Table, **readers: Callable[[Any], Any]) -> ibis.Table:
    """Replace columns of codes by what is read from them, each row marked where it is at fault.

    Each distinct code is read once and joined back: reading is costly, distinct codes are few.

    Parameters
    ----------
    rows : table with the columns named in `readers`, as stated.
    readers : column -> function of this module.

    Returns
    -------
    `rows` with the columns read, and booleans `fault_<column>` (stated, but nothing read from it)
    and `repaired_<column>` (read otherwise than it stood). Where rows carry their place, also
    `masked_<column>`: the shape of what could not be read or was repaired.
    """
    import ibis

    for name, read in readers.items():
        located = "row_" in rows.columns
        seen = _seen(rows.select(stated_=rows[name].cast("string")).distinct(), read)
        if located:
            seen = seen.mutate(
                masked_=ibis.cases((seen.fault_ | seen.repaired_, masked(seen.stated_)))
            )
        others = [column for column in rows.columns if column != name]
        rows = rows.left_join(seen, rows[name].cast("string") == seen.stated_)
        rows = rows.select(
            *others,
            **{
                name: rows.read_,
                f"fault_{name}": rows.fault_.fill_null(False),
                f"repaired_{name}": rows.repaired_.fill_null(False),
                **({f"masked_{name}": rows.masked_} if located else {}),
            },
        )
    return rows


def read_codes(
    rows: ibis.Table,
    readers: Mapping[str, Callable[[Any], Any]],
    marks: Sequence[str] = (),
    numbers: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[ibis.Table, dict[str, int]]:
    """The same codes read, with the rows at fault counted and not marked: less to carry along.

    Parameters
    ----------
    marks : columns of rows marked already, counted along.
    numbers : column -> number of each word; a column so named becomes that number.

    Returns
    -------
    `rows` with the columns read, and the rows by name of `fault_<column>`, `repaired_<column>` and
    of `marks`.
    """
    import ibis
    import pyarrow as pa

    if not readers:
        return rows, {}
    stated = rows.select(*marks, **{name: rows[name].cast("string") for name in readers})
    alike = stated.group_by(*readers).agg(
        n=stated.count(), **{mark: stated[mark].sum() for mark in marks}
    )
    alike = alike.to_pyarrow().to_pandas()
    parts = []
    for i, (name, read) in enumerate(readers.items()):
        known = alike.dropna(subset=[name])
        counts = known.groupby(name, sort=True)["n"].sum()
        words = pa.array([str(word) for word in counts.index], pa.string())
        table = pa.table({"stated_": words, "n": pa.array(counts.to_numpy("int64"))})
        seen = _seen(ibis.memtable(table), read)
        parts.append(
            seen.select(
                "stated_", "n", "read_", "fault_", "repaired_", column=ibis.literal(i, "int64")
            )
        )
    found = (ibis.union(*parts) if parts[1:] else parts[0]).to_pyarrow().to_pylist()
    faults = {mark: int(alike[mark].sum()) for mark in marks}
    changed: dict[str, Any] = {}
    for i, name in enumerate(readers):
        # The most frequent first: where few differ, the engine tries them in turn.
        own = sorted((r for r in found if r["column"] == i), key=lambda r: (-r["n"], r["stated_"]))
        for mark in ("fault", "repaired"):
            faults[f"{mark}_{name}"] = sum(r["n"] for r in own if r[f"{mark}_"])
        told = {r["stated_"]: r["read_"] for r in own}
        stated_so = rows[name].cast("string")
        if numbers and name in numbers:
            changed[name] = _looked_up(
                stated_so, {word: numbers[name].get(of) for word, of in told.items()}, "int32"
            )
        else:
            changed[name] = _mapped(stated_so, told)
    others = [column for column in rows.columns if column not in readers]
    return rows.select(*others, **changed), faults


def _mapped(column: Any, read: Mapping[str, str | None]) -> Any:
    """What is read from each code that was seen; a code that reads as it stands is left alone."""
    import ibis

    differ = [(word, known) for word, known in read.items() if word != known]
    if not differ:
        return column
    if len(differ) <= _FEW:
        known = [(word, ibis.literal(value, "string")) for word, value in differ]
        return column.cases(*known, else_=column)
    return _looked_up(column, read, "string")


def _looked_up(column: Any, values: Mapping[str, Any], kind: str) -> Any:
    """The value of each code, by a map: engines look it up once for each code of a file."""
    import ibis

    told = {word: value for word, value in values.items() if value is not None}
    return ibis.map(told).get(column).cast(kind) if told else ibis.null(kind)


def numbered(rows: ibis.Table, numbers: Mapping[str, Mapping[str, int]]) -> ibis.Table:
    """Words read before as their numbers."""
    return rows.mutate(
        **{name: rows[name].cases(*told.items()).cast("int32") for name, told in numbers.items()}
    )


def _seen(stated: ibis.Table, read: Callable[[Any], Any]) -> ibis.Table:
    """What is read from each of some codes, and whether it could be, or was repaired."""
    seen = stated.mutate(read_=read(stated.stated_))
    allowed = getattr(read, "allowed", None)
    odd = seen.read_.isnull() if allowed is None else seen.read_.notin(allowed)
    return seen.mutate(
        fault_=(text(seen.stated_).notnull() & odd).fill_null(False),
        repaired_=(seen.stated_ != seen.read_).fill_null(False),
    )


def unread(stated: ir.Value, read: Any) -> Any:
    """Whether something was stated of which nothing could be read."""
    if stated.type().is_string():
        stated = text(stated)
    return stated.notnull() & read.isnull()


def any_true(columns: Sequence[Any]) -> Any:
    """Yes if any says so, no if one is stated, else empty."""
    import ibis

    if not columns:
        return ibis.null("boolean")
    # Empty ones are passed over by engines, and no is less than yes.
    return ibis.greatest(*columns) if columns[1:] else columns[0]


def _only(column: Any, allowed: tuple[str, ...]) -> Any:
    import ibis

    return ibis.cases((column.isin(allowed), column))


def _cases(first: Any, then: Any, second: Any, otherwise: Any) -> Any:
    import ibis

    return ibis.cases((first, then), (second, otherwise))
