"""What a release said, kept as a small file, and how the present claims differ from it.

A record holds each claim as it was shown, so that readers can be told which numbers and wordings
changed between releases. `release` writes one; kept as ``data/releases/VERSION.json`` it is what
the page of changes compares with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sos_analysis.disclosure.safe import ORIGINS
from sos_analysis.errors import ClaimError
from sos_analysis.results import Bundle

SCHEMA = "sos-claims"
_VERSION = re.compile(r"^\d+\.\d+\.\d+$")


@dataclass(frozen=True)
class Said:
    """A claim as a release showed it."""

    text: str
    origin: str
    chapter: str


@dataclass(frozen=True)
class Changes:
    """Claims by id, in order: what is new, what is gone, and what reads differently."""

    version: str
    new: Mapping[str, Said]
    gone: Mapping[str, Said]
    changed: Mapping[str, tuple[Said, Said]]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.changed)


def said(bundle: Bundle) -> dict[str, Said]:
    """Every claim of a bundle as it is shown, with its interval where it has one."""
    return {
        claim.id: Said(
            claim.render("full") if claim.low is not None else claim.render(),
            claim.origin,
            claim.chapter,
        )
        for result in bundle
        for claim in result.claims.values()
    }


def record(bundle: Bundle, version: str) -> dict[str, Any]:
    """JSON-ready record of what a release says."""
    claims = {
        key: {"text": c.text, "origin": c.origin, "chapter": c.chapter}
        for key, c in sorted(said(bundle).items())
    }
    return {"schema": SCHEMA, "version": version, "claims": claims}


def load_record(path: Path) -> tuple[str, dict[str, Said]]:
    """Version and claims of a record.

    Raises
    ------
    ClaimError
        The file is no record; names the file and what is wrong.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA or not _VERSION.match(content["version"]):
            raise ValueError(f"schema must be {SCHEMA!r} and version like '1.2.3'")
        claims = {str(k): Said(**v) for k, v in content["claims"].items()}
        unknown = {c.origin for c in claims.values()} - set(ORIGINS)
        if unknown:
            raise ValueError(f"origin {min(unknown)!r} is unknown; allowed: {', '.join(ORIGINS)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClaimError(
            f"{path.name} is no record of a release ({error}); take claims.json as "
            "`python -m sos_analysis release` writes it"
        ) from error
    return str(content["version"]), claims


def latest(folder: Path, before: str) -> Path | None:
    """Record of the newest release earlier than version `before`; None where there is none."""

    def order(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("."))

    found = [p for p in folder.glob("*.json") if _VERSION.match(p.stem)]
    earlier = [p for p in found if order(p.stem) < order(before)]
    return max(earlier, key=lambda p: order(p.stem), default=None)


def compare(version: str, before: Mapping[str, Said], now: Mapping[str, Said]) -> Changes:
    """Claims that differ between a release and the present."""
    return Changes(
        version,
        {k: now[k] for k in sorted(now.keys() - before.keys())},
        {k: before[k] for k in sorted(before.keys() - now.keys())},
        {
            k: (before[k], now[k])
            for k in sorted(now.keys() & before.keys())
            if (before[k].text, before[k].origin) != (now[k].text, now[k].origin)
        },
    )
