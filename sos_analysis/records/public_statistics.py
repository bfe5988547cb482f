"""Public statistics about English authorities: fetched at a pinned commit, read by column name.

The files are in the CSV layout of DfE's Explore Education Statistics: one row per place, year and
breakdown, percentages and counts as text in which a letter may stand for a number that is not
given. They are Crown copyright under the Open Government Licence v3 and are never kept in this
repository; `data/programme/public_sources.toml` says which file, from where, with which SHA-256.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import RecordsError
from sos_analysis.sources import ROOT, file_hash
from sos_analysis.study.reading import Frozen, Section, listed, nearest, parse

if TYPE_CHECKING:
    import pandas as pd

SOURCES = ROOT / "data" / "programme" / "public_sources.toml"
RELEASED = ROOT / "data" / "released" / "public_statistics.json"

PLACE = (
    "time_period",
    "time_identifier",
    "geographic_level",
    "country_code",
    "country_name",
    "region_code",
    "region_name",
    "old_la_code",
    "new_la_code",
    "la_name",
)
LEVELS = ("National", "Regional", "Local authority")

# DfE's codes for a number that is not given (domain rule: DfE statistics guidance). 'k' and 'low'
# say that it rounds to zero; the others say nothing about its size.
NOT_GIVEN = {
    "c": "confidential",
    "z": "not applicable",
    "x": "not available",
    ":": "not available",
    "u": "low reliability",
    "": "blank",
}
ROUNDS_TO_ZERO = {"k": "rounds to zero", "low": "rounds to zero"}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PublicFile:
    """One published file: where it lies, its hash, and the columns it may have."""

    id: str
    name: str
    pattern: str
    path: str
    url: str
    sha256: str
    about: str
    indicators: tuple[str, ...]
    ignored: tuple[str, ...]
    keep: Mapping[str, str]
    aliases: Mapping[str, str]


@dataclass(frozen=True)
class PublicOutcome:
    """An outcome measured per 100 referrals of an authority in a year (0 to 100)."""

    id: str
    file: str
    weight: str
    label: str
    short_label: str
    minimum_important_difference: float
    mid_reason: str


@dataclass(frozen=True)
class PublicSources:
    """All public files and outcomes, with the attribution their licence asks for."""

    publisher: str
    publication: str
    attribution: str
    repository: str
    commit: str
    files: tuple[PublicFile, ...]
    outcomes: tuple[PublicOutcome, ...]

    def file(self, id: str) -> PublicFile:
        """The file of that id."""
        return next(f for f in self.files if f.id == id)

    def outcome(self, id: str) -> PublicOutcome:
        """The outcome of that id.

        Raises
        ------
        RecordsError
            If there is none; the message lists those there are.
        """
        for outcome in self.outcomes:
            if outcome.id == id:
                return outcome
        known = [o.id for o in self.outcomes]
        raise RecordsError(f"no public outcome {id!r}; known: {listed(known)}.{nearest(id, known)}")


@dataclass(frozen=True)
class Statistics:
    """A published file as read.

    ``values`` has one row per place and year with the columns of `PLACE`, ``year`` (the one in
    which 31 March falls) and the indicators as floats, NaN where no number is given. ``codes``
    has the same rows and the indicators alone, holding the code that stood in place of a number
    and otherwise nothing. ``pinned`` tells whether the bytes are those of the pinned release.
    """

    file: PublicFile
    name: str
    sha256: str
    pinned: bool
    values: pd.DataFrame
    codes: pd.DataFrame


def public_sources(path: Path = SOURCES) -> PublicSources:
    """Read which public files there are.

    Raises
    ------
    RecordsError
        On a missing, unknown or mistyped key, by its name.
    """
    tables = ("source", "files", "outcomes")
    top = Section(parse(path, RecordsError), "", tables, file=path.name, error=RecordsError)
    place = ("publisher", "publication", "attribution", "host", "repository", "commit", "folder")
    source = top.section("source", place)
    host, repository, commit = (source.text(k) for k in ("host", "repository", "commit"))
    folder = source.text("folder")

    def one_file(section: Section) -> PublicFile:
        name = section.text("name")
        inside = f"{folder}/{name}"
        return PublicFile(
            id=section.text("id"),
            name=name,
            pattern=section.text("pattern"),
            path=inside,
            url=f"{host}/{repository}/{commit}/{inside}",
            sha256=section.text("sha256"),
            about=section.text("about"),
            indicators=section.texts("indicators"),
            ignored=section.texts("ignored"),
            keep=_texts(section, "keep"),
            aliases=_texts(section, "aliases"),
        )

    parts = ("id", "name", "pattern", "sha256", "about", "indicators", "ignored", "keep", "aliases")
    files = top.sections("files", parts, one_file)
    ids = [f.id for f in files]

    def one_outcome(section: Section) -> PublicOutcome:
        return PublicOutcome(
            id=section.text("id"),
            file=section.text("file", ids),
            weight=section.text("weight"),
            label=section.text("label"),
            short_label=section.text("short_label"),
            minimum_important_difference=section.number(
                "minimum_important_difference", 0, 100, open_low=True
            ),
            mid_reason=section.text("mid_reason"),
        )

    important = ("minimum_important_difference", "mid_reason")
    measure = ("id", "file", "weight", "label", "short_label", *important)
    outcomes = top.sections("outcomes", measure, one_outcome)
    return PublicSources(
        publisher=source.text("publisher"),
        publication=source.text("publication"),
        attribution=source.text("attribution"),
        repository=repository,
        commit=commit,
        files=files,
        outcomes=outcomes,
    )


def _texts(section: Section, key: str) -> Frozen[str, str]:
    value = section.raw(key, "a table of texts (it may be empty)")
    if not isinstance(value, dict) or any(not isinstance(v, str) for v in value.values()):
        section.refuse(key, value, "a table of texts")
    return Frozen(value)


# --- fetching ------------------------------------------------------------------------------------
class _Steps:
    """What pooch calls a progress bar: turns bytes into a line at each tenth."""

    def __init__(self, name: str, say: Progress) -> None:
        self.name, self.say, self.total, self.done, self.shown = name, say, 0, 0, 0

    def update(self, size: int) -> None:
        self.done += size
        tenth = min(10, 10 * self.done // self.total) if self.total else 0
        if tenth > self.shown:
            self.shown = tenth
            self.say(f"{self.name}: {10 * tenth}% of {self.total / 1024:.0f} KiB")

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.shown = 0


def fetch_public(
    dest: Path,
    progress: Progress | None = None,
    *,
    host: str | None = None,
    retries: int = 3,
    timeout: float = 30.0,
    sources: PublicSources | None = None,
) -> Path:
    """Download the public files into `dest`, each checked against its SHA-256.

    A file already there with the right hash is not fetched again. Each download goes to a
    temporary name and takes its own only when its hash is right, so a failure leaves whatever
    was there before.

    Parameters
    ----------
    dest
        Folder; made if it is not there.
    progress
        Called with a line of text now and then.
    host
        Another host in place of the pinned one, such as a mirror (``http://127.0.0.1:8000``);
        paths below it stay the same.
    retries
        How often to try again after a failure, waiting one second more each time.
    timeout
        Seconds to wait for the server.

    Returns
    -------
    Path
        `dest`.

    Raises
    ------
    RecordsError
        If a file cannot be had or its hash is wrong; the message says what to do instead.
    """
    import pooch
    import requests

    say: Progress = progress or (lambda line: None)
    found = sources or public_sources()
    dest = Path(dest)
    pooch.get_logger().setLevel("WARNING")
    for file in found.files:
        url = file.url if host is None else host.rstrip("/") + "/" + file.url.split("/", 3)[3]
        target = dest / file.name
        if target.is_file() and file_hash(target) == file.sha256:
            say(f"{file.name}: there already")
            continue
        say(f"{file.name}: fetching from {url}")
        try:
            pooch.create(
                path=dest,
                base_url="",
                registry={file.name: f"sha256:{file.sha256}"},
                urls={file.name: url},
                retry_if_failed=retries,
            ).fetch(
                file.name,
                downloader=pooch.HTTPDownloader(
                    progressbar=_Steps(file.name, say), timeout=timeout
                ),
            )
        except (requests.RequestException, ValueError, OSError) as cause:
            raise RecordsError(_why_not_fetched(file, url, dest, cause)) from cause
        say(f"{file.name}: fetched, SHA-256 as expected")
    return dest


def _why_not_fetched(file: PublicFile, url: str, dest: Path, cause: Exception) -> str:
    import requests

    if isinstance(cause, requests.HTTPError) and cause.response is not None:
        reason = f"the server answered {cause.response.status_code}"
    elif isinstance(cause, requests.exceptions.ChunkedEncodingError):
        reason = "the download broke off before its end"
    elif isinstance(cause, requests.RequestException):
        reason = f"no answer from the server ({type(cause).__name__})"
    elif isinstance(cause, ValueError):
        reason = f"its content is not the pinned one (SHA-256 should be {file.sha256})"
    else:
        reason = f"{type(cause).__name__}: {cause}"
    return (
        f"{file.name}: not fetched from {url}: {reason}. Files already in {dest} are as they were. "
        "Try again when the network is there, or download the file by hand and name its folder "
        "with --public-data DIR; without either the report shows its released results."
    )


# --- reading -------------------------------------------------------------------------------------
def find_file(folder: Path, file: PublicFile) -> Path:
    """The file in `folder` or one folder further down, by its name or else its pattern.

    Raises
    ------
    RecordsError
        If it is not there, or several other releases of it are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordsError(
            f"{folder}: no such folder of public data. Run `python -m sos_analysis fetch-public` "
            "or name one with --public-data DIR."
        )
    for name in (file.name, file.pattern):
        matches = sorted({*folder.glob(name), *folder.glob(f"*/{name}")})
        if len(matches) == 1 or (matches and name == file.name):
            return matches[0]
        if matches:
            raise RecordsError(
                f"{folder}: several files match {name}: {listed(m.name for m in matches)}. "
                "Leave the one to be read."
            )
    there = sorted(p.name for p in (*folder.glob("*.csv"), *folder.glob("*/*.csv")))
    raise RecordsError(
        f"{folder}: {file.name} is not there, nor one folder down.{nearest(file.name, there)} "
        "Run `python -m sos_analysis fetch-public` or name another folder with --public-data DIR."
    )


def read_statistics(path: Path, file: PublicFile) -> Statistics:
    """Read one file of public statistics, columns bound by name and numbers read as text first.

    Raises
    ------
    RecordsError
        Naming the file and the line or column: a column missing or unknown (with the nearest
        known name), a line cut short, a value that is neither a number nor a code for one not
        given, a year or level not understood, a place that occurs twice in a year.
    """
    import pandas as pd

    path = Path(path)
    header, lines = _lines(path)
    header = [file.aliases.get(name, name) for name in header]
    _check_header(path.name, header, file)
    frame = pd.DataFrame([line for _, line in lines], columns=header, dtype=str)
    frame.index = pd.Index([number for number, _ in lines], name="line")
    frame = frame.apply(lambda column: column.str.strip())
    for column, wanted in file.keep.items():
        values = sorted(set(frame[column]))
        if wanted not in values:
            raise RecordsError(
                f"{path.name}: column {column!r} has no {wanted!r}; it has {listed(values)}. "
                f"If the label was changed, change it under [files.keep] in {SOURCES.name}."
            )
        frame = frame[frame[column] == wanted]
    _check_values(path.name, frame, "geographic_level", LEVELS)
    _check_values(path.name, frame, "time_identifier", ("Reporting year",))
    odd = frame[~frame["time_period"].str.fullmatch(r"20\d\d")]
    if len(odd):
        raise RecordsError(
            f"{path.name}, line {odd.index[0]}: time_period {odd['time_period'].iloc[0]!r} is not "
            "a year such as 2019 (the year ending 31 March 2019)."
        )
    values = frame[[c for c in PLACE if c in frame]].copy()
    values["year"] = frame["time_period"].astype(int)
    codes = pd.DataFrame(index=frame.index)
    for name in file.indicators:
        values[name], codes[name] = _numbers(path.name, frame[name])
    _check_unique(path.name, values)
    sha256 = file_hash(path)
    return Statistics(file, path.name, sha256, sha256 == file.sha256, values, codes)


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and numbered lines; a byte order mark is passed over."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, line) for line in reader if line]
    except UnicodeDecodeError as cause:
        raise RecordsError(f"{path.name}: not a UTF-8 text file; download it again.") from cause
    except OSError as cause:
        raise RecordsError(f"{path}: cannot be read ({cause.strerror}).") from cause
    for number, line in lines:
        if len(line) != len(header):
            raise RecordsError(
                f"{path.name}, line {number}: {len(line)} values for {len(header)} columns. The "
                "file is cut short or damaged; download it again."
            )
    return header, lines


def _check_header(name: str, header: Sequence[str], file: PublicFile) -> None:
    needed = (*PLACE, *file.keep, *file.indicators)
    remedy = f"If the release renamed it, add it under [files.aliases] in {SOURCES.name}."
    twice = sorted({c for c in header if header.count(c) > 1})
    if twice:
        raise RecordsError(f"{name}: column {twice[0]!r} occurs twice.")
    unknown = [c for c in header if c not in needed and c not in file.ignored]
    missing = [c for c in needed if c not in header]
    if missing:
        near = nearest(missing[0], unknown).replace("Did you mean", "The nearest column there is")
        raise RecordsError(
            f"{name}: column {missing[0]!r} is missing.{near.rstrip('?')}"
            f"{'.' if near else ''} The file has {listed(header)}. {remedy}"
        )
    if unknown:
        raise RecordsError(
            f"{name}: unknown column {unknown[0]!r}.{nearest(unknown[0], needed)} It may be a "
            f"breakdown that repeats every row. Known: {listed(needed)}. {remedy} If it does not "
            "matter, add it to ignored there."
        )


def _check_values(name: str, frame: pd.DataFrame, column: str, allowed: Iterable[str]) -> None:
    odd = frame[~frame[column].isin(list(allowed))]
    if len(odd):
        raise RecordsError(
            f"{name}, line {odd.index[0]}: {column} {odd[column].iloc[0]!r} is not one of "
            f"{listed(allowed)}."
        )


def _numbers(name: str, text: pd.Series) -> tuple[pd.Series, pd.Series]:
    import pandas as pd

    lower = text.str.lower()
    numbers = pd.to_numeric(text.where(~lower.isin(list(NOT_GIVEN))), errors="coerce")
    zero = lower.isin(list(ROUNDS_TO_ZERO))
    numbers = numbers.mask(zero, 0.0).astype(float)
    coded = zero | lower.isin(list(NOT_GIVEN))
    odd = text[~coded & ~text.str.fullmatch(r"-?\d+(\.\d+)?")]
    if len(odd):
        codes = listed(c for c in (*NOT_GIVEN, *ROUNDS_TO_ZERO) if c)
        raise RecordsError(
            f"{name}, line {odd.index[0]}: column {text.name!r} holds {odd.iloc[0]!r}, neither a "
            f"number nor a code for one not given ({codes})."
        )
    return numbers, lower.where(coded).where(lower != "", "blank").fillna("")


def _check_unique(name: str, values: pd.DataFrame) -> None:
    place = ["year", "geographic_level", "region_code", "old_la_code", "new_la_code"]
    again = values[values.duplicated(place)]
    if len(again):
        row = again.iloc[0]
        where = row["la_name"] or row["region_name"] or row["country_name"]
        raise RecordsError(
            f"{name}, line {again.index[0]}: {where!r} occurs twice in {row['year']}. A column may "
            "be a breakdown; say which of its rows to keep under [files.keep]."
        )


# --- released results ----------------------------------------------------------------------------
def release_public(content: Mapping[str, Any], path: Path = RELEASED) -> Path:
    """Write computed results as JSON, to a temporary name first; returns `path`.

    The content is refused if it holds a number that JSON has no word for (NaN, infinity).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_released(path: Path = RELEASED) -> dict[str, Any]:
    """The released results as written by `release_public`.

    Raises
    ------
    RecordsError
        If the file is missing or is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise RecordsError(f"{path}: no released results of the public companion.") from cause
    except (UnicodeDecodeError, json.JSONDecodeError) as cause:
        raise RecordsError(f"{path}: not valid JSON ({cause}).") from cause
    return content
