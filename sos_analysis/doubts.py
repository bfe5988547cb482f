"""Threats to what can be concluded, as data: which way each pushes, its check, what it means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sos_analysis.errors import StudyError
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Section, parse

PATH = ROOT / "data" / "guidance" / "threats.toml"
#: Outcomes, each of which a threat must speak of, and their names in the table.
SPOKEN = {
    "kinship": "Kinship",
    "duration": "Assessments",
    "rereferral": "Re-referral",
    "escalation": "Escalation",
    "icpc": "Conferences",
}


@dataclass(frozen=True)
class Threat:
    """`means` has one sentence for each outcome of `SPOKEN`, in that order."""

    name: str
    direction: str
    check: str
    means: tuple[str, ...]


def load_threats(path: Path = PATH) -> tuple[Threat, ...]:
    """Read the file; StudyError names what is missing or unknown and where."""
    top = Section(parse(path, StudyError), "", ("threats",), file=path.name, error=StudyError)

    def threat(s: Section) -> Threat:
        told = tuple(s.text(key) for key in SPOKEN)
        return Threat(s.text("name"), s.text("direction"), s.text("check"), told)

    return top.sections("threats", ("name", "direction", "check", *SPOKEN), threat)


def threats_page(threats: tuple[Threat, ...]) -> str:
    """Table of threats in MyST; outcomes of which the same is said share a line."""
    lines = [
        "| Threat | Which way it pushes | How it is checked | What it means |",
        "|---|---|---|---|",
    ]
    for t in threats:
        said: dict[str, list[str]] = {}
        for name, text in zip(SPOKEN.values(), t.means, strict=True):
            said.setdefault(text, []).append(name)
        whole = len(said) == 1
        means = "<br>".join(
            f"**{'All' if whole else ', '.join(names)}:** {text}" for text, names in said.items()
        )
        lines.append(f"| **{t.name}** | {t.direction} | {t.check} | {means} |")
    return "\n".join(lines)
