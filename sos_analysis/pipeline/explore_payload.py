"""The grid as the page's script reads it: short whole numbers, taken from safe tables alone.

A way has a place: its answers counted through like the digits of a number (mixed radix, the last
choice fastest). Each column is a list by place; `null` is a way that was not or cannot be run. A
value times ten to its decimals is a whole number, so the script holds exactly what the tables say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sos_analysis.chapters.explore import (
    CHOICES,
    EXAMPLE,
    OUTCOMES,
    PUBLIC,
    Choice,
    outcome_label,
)
from sos_analysis.disclosure import ORIGINS, SafeTable
from sos_analysis.errors import ClaimError
from sos_analysis.records.public import public_sources
from sos_analysis.results import Bundle, ChapterResult

#: Prefix of the tables that hold ways.
GRID = "grid_"
_P_DECIMALS = 3
_EXTRA = ("pilots_count", "authorities", "first", "last")


def place(choices: Mapping[str, Choice], way: Mapping[str, str]) -> int:
    """Place of a way, from the ids of its answers.

    Raises
    ------
    ClaimError : an answer that is not among the choices.
    """
    at = 0
    for key, choice in choices.items():
        ids = list(choice.answers)
        if way[key] not in ids:
            raise ClaimError(f"no answer {way[key]!r} to {key!r}; allowed: {', '.join(ids)}")
        at = at * len(ids) + ids.index(way[key])
    return at


def ways_of(choices: Mapping[str, Choice], table: SafeTable) -> list[dict[str, str]]:
    """Answers by id of every row of a grid."""
    by_word = {key: {word: id for id, word in c.answers.items()} for key, c in choices.items()}
    columns = {key: table.values(key) for key in choices}
    return [
        {key: by_word[key][str(columns[key][row])] for key in choices}
        for row in range(len(table.rows))
    ]


def payload(bundle: Bundle, name: str) -> dict[str, Any]:
    """What the script needs of one result.

    Parameters
    ----------
    name : `PUBLIC` or `EXAMPLE`.

    Raises
    ------
    ClaimError : the bundle has no such result.
    """
    result = bundle.chapter(name)
    choices = CHOICES[name]
    return {
        "id": "public" if name == PUBLIC else "example",
        "origin": result.origin,
        "origin_words": ORIGINS[result.origin],
        "choices": [
            {
                "id": key,
                "label": choice.label,
                "answers": [{"id": _slug(id), "label": w} for id, w in choice.answers.items()],
            }
            for key, choice in choices.items()
        ],
        "path": "the report's own path" if name == PUBLIC else "the path declared in advance",
        "named": _named(name, result),
        "outcomes": [
            _outcome(bundle, result, short, of, choices)
            for short, of in _in_order(name)
            if f"{GRID}{short}" in result.tables
        ],
    }


def _in_order(name: str) -> list[tuple[str, str]]:
    """Short names of the outcomes in the order of the report, and what the unit is of."""
    if name == EXAMPLE:
        return [(short, "") for short in OUTCOMES]
    return [(o.short, o.of) for o in public_sources().outcomes]


def script(content: Mapping[str, Any]) -> str:
    """A classic script that hands the content over: works from a file, where fetching does not."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    # As the text of a string it is parsed faster than as code, and nothing in it can run.
    return f"(window.sosGrids=window.sosGrids||[]).push(JSON.parse({json.dumps(text)}));\n"


def _slug(text: str) -> str:
    return text.lower().replace(" ", "-").replace("_", "-")


def _named(name: str, result: ChapterResult) -> list[dict[str, Any]]:
    """Ways named in advance: what the reader is told where a choice is one of them, or is not."""
    words = {
        "main": "the report's main way",
        "preferred": "the preferred way",
        "original": "the original's way",
    }
    given: Mapping[str, Mapping[str, str]] = result.parameters["named"]
    order = sorted(given, key=lambda label: list(words).index(label))
    return [
        {
            "id": label,
            "label": words[label],
            "way": {key: _slug(answer) for key, answer in given[label].items()},
        }
        for label in order
    ]


def _outcome(
    bundle: Bundle, result: ChapterResult, short: str, of: str, choices: Mapping[str, Choice]
) -> dict[str, Any]:
    key = f"{GRID}{short}"
    table = result.tables[key]
    decimals = next(c.decimals for c in table.columns if c.key == "value")
    mid = result.claims[f"{result.name}.{short}.mid"]
    size = math.prod(len(c.answers) for c in choices.values())
    places = [place(choices, way) for way in ways_of(choices, table)]
    digits = {"value": decimals, "low": decimals, "high": decimals, "p": _P_DECIMALS}
    if "p2" in table.keys:
        digits["p2"] = _P_DECIMALS
    digits |= {extra: 0 for extra in _EXTRA if extra in table.keys}
    columns = {}
    for name, power in digits.items():
        column: list[int | None] = [None] * size
        for at, value in zip(places, table.values(name), strict=True):
            # A symbol (withheld, not available) has no place in a chart.
            column[at] = None if isinstance(value, str) else round(float(value) * 10**power)
        columns[name] = column
    found: dict[str, Any] = {
        "id": short.replace("_", "-"),
        "label": outcome_label(result, key),
        "unit": f"{mid.unit} {of}".strip(),
        "decimals": decimals,
        "mid": mid.value,
        "columns": columns,
    }
    if result.name == PUBLIC:
        found["concluded"] = _concluded(bundle, short)
    if result.name == EXAMPLE:
        found["truth"] = {
            definition: claim.text()
            for definition in choices["definition"].answers
            if (claim := result.claims.get(f"{EXAMPLE}.{short}.truth_{definition}"))
        }
    return found


def _concluded(bundle: Bundle, short: str) -> dict[str, str]:
    """What the report says of the outcome from its main way, by wave."""
    found = {}
    for wave, start in (("2", f"public.{short}"), ("1", f"public.wave1.{short}")):
        parts = [bundle.claims.get(f"{start}.{part}") for part in ("sentence", "caution")]
        words = [str(claim.value) for claim in parts if claim is not None]
        if words:
            found[wave] = " ".join(w if w.endswith(".") else f"{w}." for w in words)
    return found
