"""What a frame must be before the guard looks at it: rows, columns with a role, labels in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sos_analysis.disclosure.extremes import extremes
from sos_analysis.disclosure.safe import ORIGINS, RECORD_ORIGINS, Column
from sos_analysis.disclosure.suppression import Rules, local, missing
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import finite

#: Units that are counts of people or cases, so never a "statistic".
COUNT_UNITS = (
    *("children", "child", "people", "cases", "events", "referrals", "assessments"),
    *("conferences", "plans", "periods of care", "episodes", "n"),
)
_COUNTED = set(COUNT_UNITS)
_ONLY_A_NUMBER = re.compile(r"^[\s<>=~+\-−£%(]*\d[\d,.\s]*[%)\s]*$")


def check_origin(origin: str, rules: Rules) -> None:
    if origin not in ORIGINS:
        raise DisclosureError(f"origin {origin!r} is unknown; allowed: {', '.join(ORIGINS)}")
    # A cell of two tells each of the two about the other.
    if origin in RECORD_ORIGINS and rules.threshold < 3:
        raise DisclosureError(
            f"rules with threshold {rules.threshold} cannot be used on {origin} data; "
            "use the rules of the study file"
        )


def check_words(text: object, name: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise DisclosureError(f"{name} is missing: give it in words")


_UNITS = "|".join(sorted((re.escape(u) for u in COUNT_UNITS if len(u) > 1), key=len, reverse=True))
_TYPED = re.compile(
    rf"(?<![\w.,])(\d[\d,]*)\s+(?:\w+\s+)?(?:{_UNITS})\b|\bn\s*=\s*(\d[\d,]*)", re.IGNORECASE
)
_PER = re.compile(r"\b(?:per|of|in|for|each|every)\s*$")


def typed_counts(text: str, origin: str, threshold: int, base: int) -> list[str]:
    """Counts of people or cases in words that no guard would have let through.

    A count is a number before a unit of `COUNT_UNITS`, or after ``n =``; a rate's unit ('per 100
    children') is none.
    """
    if origin not in RECORD_ORIGINS:
        return []
    found = []
    for match in _TYPED.finditer(text):
        count = int((match[1] or match[2]).replace(",", ""))
        per = _PER.search(text[: match.start()])
        if not per and (count < max(threshold, 1) or count % max(base, 1)):
            found.append(f"a count is typed in words: {match[0]!r}")
    return found


def check_untyped(texts: Sequence[object], origin: str, rules: Rules) -> None:
    """Refuse a small or unrounded count that stands in a title, a label or any other words.

    Raises
    ------
    DisclosureError
    """
    for text in texts:
        if isinstance(text, str):
            for wrong in typed_counts(text, origin, rules.threshold, rules.rounding_base):
                raise DisclosureError(f"{wrong}; show it in a column of counts")


def check_counts(specs: Sequence[Column]) -> None:
    """Refuse a column that says it counts children or cases and has the role of something else.

    Raises
    ------
    DisclosureError
    """
    for spec in specs:
        if spec.role not in ("estimate", "statistic", "authorities"):
            continue
        # The unit decides; without one the heading, where 'n' is short for much else.
        said = {spec.unit.lower() or spec.label.lower()} & _COUNTED
        if not spec.unit:
            said -= {"n"}
        if said:
            raise DisclosureError(
                f"column {spec.key!r} counts {said.pop()}, so it is a count: declare it in "
                "count_columns"
            )


def check_extremes(specs: Sequence[Column], rows: Sequence[Mapping[str, Any]], origin: str) -> None:
    """Refuse columns and rows that say they hold a lowest or highest value from records.

    It is the value of one child, case or authority, however many it was chosen from. Results of
    models are no such value: the lowest of several estimates may be shown, if it is not said whose.

    Raises
    ------
    DisclosureError
    """
    if origin not in RECORD_ORIGINS:
        return
    for wrong in extremes(specs, rows):
        raise DisclosureError(wrong)


def check_unnamed(texts: Sequence[object], origin: str, rules: Rules) -> None:
    """Refuse the name of an authority beside numbers from records.

    A row about one authority, a leave-one-out result among them, is shown without its name. In a
    local profile the authority it is about may be named, and no other.

    Raises
    ------
    DisclosureError
    """
    names = getattr(rules, "names", ())
    if origin not in RECORD_ORIGINS or not names:
        return
    own = local(rules).removesuffix("(made up)").strip()
    # With its capital letter: Reading and Bury are words as well.
    said = " | ".join(text for text in texts if isinstance(text, str))
    for name in names:
        bare = name.removesuffix("(made up)").strip()
        if bare and bare != own and re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", said):
            raise DisclosureError(
                f"{name!r} is named beside numbers from records; results about single "
                "authorities, and those with one left out, are shown without names"
            )


def records(frame: Any) -> list[dict[str, Any]]:
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        if len(set(frame.columns)) != len(frame.columns):
            raise DisclosureError("the frame has two columns of one name")
        rows = frame.to_dict("records")
    else:
        rows = [dict(row) for row in frame]
    if not rows:
        raise DisclosureError("the frame has no rows: show a sentence instead of an empty table")
    return [{str(k): _scalar(v) for k, v in row.items()} for row in rows]


def _scalar(value: Any) -> Any:
    """A numpy scalar as Python's own; everything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def need(rows: list[dict[str, Any]], keys: Sequence[str | None]) -> None:
    have = set(rows[0])
    for key in keys:
        if key is not None and any(key not in row for row in rows):
            raise DisclosureError(f"no column {key!r} in the frame; it has: {sorted(have)}")


def roles_of(
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
            need(rows, [key])
        check_words(spec.label, f"label of column {key!r}")
        specs.append(replace(spec, key=key, role=role))
        numbers = any(finite(row.get(key)) for row in rows)
        if role == "category" and numbers and {spec.unit.lower(), spec.label.lower()} & _COUNTED:
            raise DisclosureError(
                f"column {key!r} counts {spec.unit or spec.label.lower()}: declare it in "
                "count_columns, not as a category"
            )
        if role in ("text", "category"):
            for i, row in enumerate(rows):
                _check_label(row[key], i, key, role)
    if not specs:
        raise DisclosureError("name at least one column to show")
    return specs


def _check_label(value: object, row: int, key: str, role: str) -> None:
    where = f"row {row + 1}, column {key!r}"
    if missing(value) or isinstance(value, bool):
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
