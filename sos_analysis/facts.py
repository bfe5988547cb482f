"""Facts about the programme and what the original published, with source and certainty.

Nothing here is estimated. Each entry says where it was read and how sure it is; what nobody has
published stays an entry too, marked unknown and without a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

from sos_analysis.errors import StudyError
from sos_analysis.sources import ROOT
from sos_analysis.study import OUTCOMES, RATINGS
from sos_analysis.study.reading import Section, listed, nearest, parse

CERTAINTIES = ("read", "derived", "judgement", "unknown")
DIRECTIONS = ("decrease", "increase", "none found", "larger", "unknown")
ANALYSES = ("main", "secondary", "addendum")

T = TypeVar("T")
Value = str | int | float | date


@dataclass(frozen=True)
class Fact:
    """One fact: ``value`` is None exactly where the certainty is ``unknown``."""

    id: str
    statement: str
    value: Value | None
    certainty: str
    source: str
    url: str | None


@dataclass(frozen=True)
class ProgrammePilot:
    """A real authority of the programme with its DfE and ONS codes and Ofsted judgements."""

    name: str
    dfe_code: str
    ons_code: str
    waves: tuple[int, ...]
    ofsted: tuple[tuple[date, str], ...]
    certainty: str
    source: str

    def ofsted_at(self, day: date) -> str | None:
        """Latest judgement published on or before `day`; None before the first held here."""
        before = [rating for published, rating in self.ofsted if published <= day]
        return before[-1] if before else None


@dataclass(frozen=True)
class Programme:
    """Facts about the programme and the eleven authorities that took part in it."""

    facts: tuple[Fact, ...]
    pilots: tuple[ProgrammePilot, ...]

    def fact(self, id: str) -> Fact:
        """The fact with this id; StudyError with the known ids otherwise."""
        return _pick(id, {f.id: f for f in self.facts}, "fact")

    def in_wave(self, wave: int) -> tuple[ProgrammePilot, ...]:
        """Authorities funded in this wave, in the order of the file."""
        return tuple(p for p in self.pilots if wave in p.waves)


@dataclass(frozen=True)
class Finding:
    """A published finding of the original: its exact verdict words, its value where it has one.

    ``value`` is in ``unit``; ``unknown`` lists what was not published where it could be read.
    """

    id: str
    analysis: str
    outcome: str | None
    statement: str
    words: str | None
    direction: str
    value: float | None
    unit: str | None
    unknown: tuple[str, ...]
    certainty: str
    source: str
    url: str


@dataclass(frozen=True)
class Published:
    """All published findings."""

    findings: tuple[Finding, ...]

    def finding(self, id: str) -> Finding:
        """The finding with this id; StudyError with the known ids otherwise."""
        return _pick(id, {f.id: f for f in self.findings}, "finding")


def programme(path: Path | None = None) -> Programme:
    """Facts about the programme, from ``data/programme/programme.toml`` unless `path` is given."""
    path = path or ROOT / "data" / "programme" / "programme.toml"
    top = Section(
        parse(path, StudyError), "", ("facts", "pilots"), file=path.name, error=StudyError
    )
    facts = top.sections("facts", ("id", "statement", "value", "certainty", "source", "url"), _fact)
    pilots = top.sections(
        "pilots",
        ("name", "dfe_code", "ons_code", "waves", "ofsted", "certainty", "source"),
        _pilot,
    )
    _once(top, "facts", [f.id for f in facts])
    _once(top, "pilots", [p.dfe_code for p in pilots])
    return Programme(facts, pilots)


def published(path: Path | None = None) -> Published:
    """Published findings, from ``data/published/findings.toml`` unless `path` is given."""
    path = path or ROOT / "data" / "published" / "findings.toml"
    top = Section(parse(path, StudyError), "", ("findings",), file=path.name, error=StudyError)
    findings = top.sections("findings", tuple(Finding.__dataclass_fields__), _finding)
    _once(top, "findings", [f.id for f in findings])
    return Published(findings)


def _pick(id: str, known: dict[str, T], kind: str) -> T:
    if id not in known:
        raise StudyError(f"no {kind} {id!r}; known: {listed(known)}.{nearest(id, known)}")
    return known[id]


def _once(top: Section, table: str, ids: list[str]) -> None:
    for i, id in enumerate(ids):
        if id in ids[:i]:
            top.fail(f"{table}[{i}]", f"{id!r} occurs twice; each may occur once.")


def _fact(s: Section) -> Fact:
    certainty = s.text("certainty", CERTAINTIES)
    value: Value | None = None
    if certainty == "unknown":
        if "value" in s.data:
            s.fail("value", "an unknown fact cannot have a value; remove it.")
    else:
        expected = "a text, a number or a date"
        value = s.raw("value", expected)
        if isinstance(value, bool | datetime) or not isinstance(value, str | int | float | date):
            s.refuse("value", value, expected)
    return Fact(
        id=s.text("id"),
        statement=s.text("statement"),
        value=value,
        certainty=certainty,
        source=s.text("source"),
        url=s.text("url") if "url" in s.data else None,
    )


def _pilot(s: Section) -> ProgrammePilot:
    return ProgrammePilot(
        name=s.text("name"),
        dfe_code=s.text("dfe_code"),
        ons_code=s.text("ons_code"),
        waves=s.wholes("waves", (1, 2)),
        ofsted=s.sections(
            "ofsted", ("date", "rating"), lambda r: (r.day("date"), r.text("rating", RATINGS))
        ),
        certainty=s.text("certainty", CERTAINTIES),
        source=s.text("source"),
    )


def _finding(s: Section) -> Finding:
    has_value = "value" in s.data
    if has_value != ("unit" in s.data):
        s.fail("unit", "value and unit go together; write both or neither.")
    return Finding(
        id=s.text("id"),
        analysis=s.text("analysis", ANALYSES),
        outcome=s.text("outcome", OUTCOMES) if "outcome" in s.data else None,
        statement=s.text("statement"),
        words=s.text("words") if "words" in s.data else None,
        direction=s.text("direction", DIRECTIONS),
        value=s.number("value", -100, 100) if has_value else None,
        unit=s.text("unit", ("percentage points", "working days")) if has_value else None,
        unknown=s.texts("unknown"),
        certainty=s.text("certainty", CERTAINTIES),
        source=s.text("source"),
        url=s.text("url"),
    )
