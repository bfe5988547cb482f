"""Do stored results rest on the study, the data and the code that are here now?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sos_analysis import chapters
from sos_analysis.errors import RecordsError, SosError
from sos_analysis.results import ChapterResult, code_hash, hidden_place
from sos_analysis.sources import ROOT
from sos_analysis.study import load_study
from sos_analysis.workspace import RELEASED_MARK, RESULTS

_WORDS = {
    "study": "another study file",
    "data": "other data",
    "public": "other public statistics",
    "code": "other code",
}


def stale(results: Iterable[ChapterResult], folder: Path = RESULTS) -> tuple[str, ...]:
    """One sentence for each result that does not fit what is here now.

    Data that are not at hand cannot be compared; their part of the comparison is left out,
    and all of it where a mark in their folder says that they came with a release.
    """
    if (folder / RELEASED_MARK).is_file():
        return ()  # results of a release: study, records and code are elsewhere
    lines = []
    for result in results:
        try:
            now = _now(result)
        except SosError as error:
            lines.append(f"{result.name}: what it rests on cannot be read: {error}")
            continue
        old = [key for key, value in now.items() if result.hashes.get(key) != value]
        if old:
            what = " and ".join(_WORDS.get(key, f"other {key}") for key in old)
            are = "are" if old[-1] in ("data", "public") else "is"
            lines.append(f"{result.name} rests on {what} than {are} here now")
    return tuple(lines)


def _now(result: ChapterResult) -> dict[str, str]:
    """Hashes as they would be now, of all that is at hand."""
    from sos_analysis.chapters import explore, reference
    from sos_analysis.chapters.england import NAME as ENGLAND
    from sos_analysis.chapters.england import hashes as england_hashes

    if result.name in (explore.PUBLIC, explore.EXAMPLE):
        return explore.foundation(result.name)
    chosen = dict(result.parameters)
    if hidden_place(chosen.get("study")):  # a study file, whose place results do not tell
        return {"code": code_hash(_room(result.name))}
    if result.name == reference.NAME:
        return reference.hashes(chosen)
    try:
        if result.name == ENGLAND:
            return england_hashes(chosen)
        now = dict(chapters.current_hashes(result.name, chosen))
    except RecordsError:  # the records are not here
        study = load_study(str(chosen["study"])).short_hash
        return {"study": study, "code": code_hash(_room(result.name))}
    given = str(chosen.get("public_data", ""))
    if not (Path(given) if given else ROOT / "data" / "public").is_dir():
        now.pop("public" if "study" in chosen else "data", None)
    return now


def _room(name: str) -> str:
    """Module of `chapters` that makes a result."""
    from sos_analysis.chapters import reference
    from sos_analysis.chapters.england import NAME as ENGLAND

    others = {reference.NAME: "reference", ENGLAND: "england"}
    return others.get(name) or chapters.CHAPTERS[name].room
