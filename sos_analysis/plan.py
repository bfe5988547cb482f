"""The plan as data: what was to be studied, and what became of each item.

Every item has a status; one that was changed or not done says why. The build reads the file, so a
plan without an answer to one of its items is no report.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sos_analysis.errors import StudyError
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Section, parse

PATH = ROOT / "data" / "study" / "plan.toml"
#: Status and how it is spoken of.
STATUSES = {"done": "Done", "changed": "Done with a change", "not done": "Not done"}
#: Whose item it is.
ORIGINS = {"original": "Planned by the original", "ours": "Added by us"}


@dataclass(frozen=True)
class Item:
    """One outcome or analysis: `chapter` holds it ('' where none does), `why` tells of a change."""

    id: str
    what: str
    whose: str
    status: str
    why: str
    chapter: str


@dataclass(frozen=True)
class Departure:
    """A departure from the original's method; `effect` says what it does to the estimate.

    `effect` is a sentence in which ``{claim}`` roles stand for numbers.
    """

    id: str
    original: str
    here: str
    why: str
    effect: str


@dataclass(frozen=True)
class Plan:
    """Items in reading order, and departures from the original's method."""

    items: tuple[Item, ...]
    departures: tuple[Departure, ...]


def load_plan(path: Path = PATH) -> Plan:
    """Read the plan.

    Raises
    ------
    StudyError
        An item without a status, a change or omission without a reason, an unknown chapter, an
        id used twice; names the item by its place.
    """
    from sos_analysis.chapters import CHAPTERS

    top = Section(
        parse(path, StudyError), "", ("items", "departures"), file=path.name, error=StudyError
    )

    def item(section: Section) -> Item:
        status = section.text("status", tuple(STATUSES))
        chapter = ""
        if status == "not done":
            if "chapter" in section.data:
                section.fail("chapter", "an item that is not done has no chapter; leave it out.")
        else:
            chapter = section.text("chapter", tuple(CHAPTERS))
        if status == "done" and "why" in section.data:
            section.fail("why", "an item that is done as planned needs no reason; leave it out.")
        return Item(
            id=section.text("id"),
            what=section.text("what"),
            whose=section.text("whose", tuple(ORIGINS)),
            status=status,
            why="" if status == "done" else section.text("why"),
            chapter=chapter,
        )

    def departure(section: Section) -> Departure:
        return Departure(*(section.text(key) for key in ("id", *_TOLD)))

    found = Plan(
        top.sections("items", ("id", "what", "whose", "status", "why", "chapter"), item),
        top.sections("departures", ("id", *_TOLD), departure),
    )
    ids = [*(i.id for i in found.items), *(d.id for d in found.departures)]
    twice = sorted({id for id in ids if ids.count(id) > 1})
    if twice:
        raise StudyError(f"{path.name}: the id {twice[0]!r} is used twice; give each its own.")
    return found


_TOLD = ("original", "here", "why", "effect")


def items_page(plan: Plan, whose: str, titles: dict[str, str]) -> str:
    """Table of the items of `whose`, in MyST, with links to chapters by their `titles`."""
    lines = ["| Planned | Status | Where |", "|---|---|---|"]
    for entry in plan.items:
        if entry.whose != whose:
            continue
        status = STATUSES[entry.status] + (f": {entry.why}" if entry.why else "")
        where = "No chapter"
        if entry.chapter:
            where = f"[{titles[entry.chapter]}](chapters/{entry.chapter})"
        lines.append(f"| {entry.what} | {status} | {where} |")
    return "\n".join(lines)


def departures_page(plan: Plan) -> str:
    """Departures from the original's method, each with its reason and its effect, in MyST."""
    return "\n\n".join(
        f"**{entry.here}**\n: The original: {entry.original} *Why:* {entry.why} "
        f"*What it does to the estimate:* {entry.effect}"
        for entry in plan.departures
    )
