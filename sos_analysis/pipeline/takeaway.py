"""Files to take away: tables, results, notebooks of each chapter, and what describes them."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sos_analysis import __version__
from sos_analysis.errors import SosError
from sos_analysis.pipeline.metadata import (
    Item,
    csv_items,
    data_package,
    item,
    results_schema,
    ro_crate,
)
from sos_analysis.pipeline.notebooks import download_name
from sos_analysis.results import ChapterResult
from sos_analysis.sources import ROOT

#: How this version is cited; it holds the day of the version.
CITED = ROOT / "CITATION.cff"
#: Files about all others, at the top of the folder.
SCHEMA, PACKAGE, CRATE = "results.schema.json", "datapackage.json", "ro-crate-metadata.json"
#: What the page on downloads is written from.
LISTING = "listing.json"
_ABOUT = {
    SCHEMA: ("Schema of the results files", "JSON Schema: what each field of a results file is."),
    PACKAGE: (
        "Data package of all tables",
        "Frictionless data package: columns, units, symbols and hashes of every CSV file.",
    ),
    CRATE: ("RO-Crate of all files", "What each file is and which run made it, for archives."),
}


def base_address() -> str:
    """Address of the published site from SOS_BASE_URL, with a slash at its end; '' if unknown.

    Raises
    ------
    SosError
        It is not an address.
    """
    given = os.environ.get("SOS_BASE_URL", "").strip()
    if given and not given.startswith(("https://", "http://")):
        raise SosError(f"SOS_BASE_URL is {given!r}; give an address such as https://host/path/")
    return f"{given.rstrip('/')}/" if given else ""


def made_on(cited: Path = CITED) -> str:
    """Date that the files carry: SOURCE_DATE_EPOCH where it is set, else the version's.

    Never the clock's: the same inputs then make the same bytes on any day.

    Raises
    ------
    SosError
        SOURCE_DATE_EPOCH is no number of seconds, or the citation has no date.
    """
    import yaml

    given = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    try:
        if given:
            return dt.datetime.fromtimestamp(int(given), dt.UTC).date().isoformat()
        found = yaml.safe_load(cited.read_text("utf-8")).get("date-released")
        return dt.date.fromisoformat(str(found)).isoformat()
    except (OSError, ValueError, OverflowError, AttributeError) as error:
        what = f"SOURCE_DATE_EPOCH is {given!r}" if given else f"{cited.name}: date-released"
        asks = "seconds since 1970" if given else "the day of this version, as 2026-11-24"
        raise SosError(f"{what}; give {asks} ({error})") from error


def write_all(
    folder: Path, results: Iterable[ChapterResult], notebooks: Path, stored: Path
) -> list[Item]:
    """Write every file of every result, and the descriptions.

    Parameters
    ----------
    folder : empty folder to fill.
    results : in the order of the page on downloads.
    notebooks : folder of executed notebooks.
    stored : folder of the results files, copied byte for byte.
    """
    items: list[Item] = []
    for result in results:
        (folder / result.name).mkdir(parents=True)
        for one, text in csv_items(result):
            (folder / one.path).write_text(text, encoding="utf-8", newline="\n")
            items.append(one)
        for kind, source, title in (
            ("json", stored / f"{result.name}.json", "Results"),
            ("ipynb", notebooks / f"{result.name}.ipynb", "Executed notebook"),
        ):
            if not source.is_file():
                continue
            content = source.read_bytes()
            path = f"{result.name}/{download_name(result.name, kind, result.origin)}"
            (folder / path).write_bytes(content)
            items.append(
                item(
                    path,
                    content,
                    title=f"{title}: {result.title}",
                    description=f"{title} of this chapter.",
                    result=result,
                )
            )
    return [*items, *_describe(folder, items)]


def _describe(folder: Path, items: Sequence[Item]) -> list[Item]:
    made: list[Item] = []
    base = base_address()

    def write(name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        if name in _ABOUT:
            title, words = _ABOUT[name]
            made.append(_about(name, text.encode(), title, words))

    write(SCHEMA, results_schema())
    write(PACKAGE, data_package(items, __version__))
    crate = ro_crate([*items, *made], __version__, made_on(), f"{base}downloads/" if base else "")
    write(CRATE, crate)
    kept = [{k: v for k, v in asdict(i).items() if k != "table"} for i in [*items, *made]]
    write(LISTING, kept)
    return made


def _about(name: str, content: bytes, title: str, words: str) -> Item:
    import hashlib

    return Item(
        path=name,
        title=title,
        description=words,
        origin="",
        chapter="",
        chapter_title="",
        kind="json",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def listing(folder: Path) -> list[Item]:
    """The items of a folder that `write_all` filled; empty where there is none.

    Raises
    ------
    SosError
        The listing cannot be read.
    """
    path = folder / LISTING
    if not path.is_file():
        return []
    try:
        return [Item(**content) for content in json.loads(path.read_text("utf-8"))]
    except (TypeError, ValueError) as error:
        raise SosError(f"{path.name}: {error}; build the report again") from error


def spoken_size(count: int) -> str:
    """Size of a file as people read it: 812 bytes, 14 kB, 1.2 MB."""
    if count < 1000:
        return f"{count} bytes"
    if count < 1_000_000:
        return f"{max(1, round(count / 1000))} kB"
    return f"{count / 1_000_000:.1f} MB"
