"""Find a public file: in a folder, at any depth, or in a ZIP as the statistics service gives it."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath

from sos_analysis.errors import RecordsError
from sos_analysis.records.public.sources import PublicFile
from sos_analysis.study.reading import listed, nearest

#: Files and ZIPs deeper than this below a folder are not looked for.
DEPTH = 3
_ADVICE = (
    "Run `python -m sos_analysis fetch-public` or name another folder or ZIP with "
    "--public-data PATH."
)


class AbsentError(RecordsError):
    """A public file is not where it was looked for: what needs it cannot be computed.

    ``table`` says which.
    """

    def __init__(self, message: str, table: str = "") -> None:
        super().__init__(message)
        self.table = table


@dataclass(frozen=True)
class Located:
    """A file in a folder, or a member of a ZIP."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """Its own name, without folders."""
        return PurePosixPath(self.member).name if self.member else self.path.name

    def content(self) -> bytes:
        """Its bytes, as they lie there.

        Raises
        ------
        RecordsError
            If it cannot be read.
        """
        try:
            if not self.member:
                return self.path.read_bytes()
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.member)
        except (OSError, zipfile.BadZipFile, KeyError) as cause:
            raise RecordsError(f"{self.path}: cannot be read ({cause}).") from cause

    def text(self) -> str:
        """Its content as text; a byte order mark is passed over, a ``.gz`` unpacked.

        Raises
        ------
        RecordsError
            If it is not UTF-8, or a damaged ``.gz``.
        """
        content = self.content()
        try:
            if self.name.endswith(".gz"):
                content = gzip.decompress(content)
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as cause:
            raise RecordsError(f"{self.name}: not a UTF-8 text file; download it again.") from cause
        except (OSError, EOFError) as cause:
            raise RecordsError(f"{self.name}: cannot be unpacked ({cause}).") from cause

    def sha256(self) -> str:
        """Hash of its bytes, in hexadecimal."""
        return hashlib.sha256(self.content()).hexdigest()


def locate(path: Path | str) -> Located:
    """A file by its own path."""
    return Located(Path(path))


def _there(place: Path) -> Iterator[Located]:
    """Everything in a folder (down to `DEPTH`) or a ZIP, ZIPs in the folder included."""
    if place.is_file():
        yield from (Located(place, name) for name in _members(place, place.stat().st_mtime_ns))
        return
    waiting = [(place, 0)]
    for folder, depth in waiting:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                if depth < DEPTH and not path.name.startswith("."):
                    waiting.append((path, depth + 1))
            elif path.suffix.lower() == ".zip":
                yield from _there(path)
            else:
                yield Located(path)


@cache
def _members(path: Path, changed: int) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(n for n in archive.namelist() if not n.endswith("/"))
    except (OSError, zipfile.BadZipFile) as cause:
        raise RecordsError(f"{path}: not a ZIP file that can be read ({cause}).") from cause


def find_file(place: Path | str, file: PublicFile) -> Located:
    """The file in a folder or a ZIP, by its name or else its pattern.

    Raises
    ------
    AbsentError
        If it is not there.
    RecordsError
        If several other releases of it are, or a ZIP cannot be read.
    """
    place = Path(place)
    if not place.exists() or (place.is_file() and place.suffix.lower() != ".zip"):
        raise AbsentError(f"{place}: no such folder or ZIP of public data. {_ADVICE}", file.id)
    there = list(_there(place))
    exact = [f for f in there if f.name == file.name]
    if exact:
        return exact[0]
    matches = [f for f in there if fnmatch(f.name, file.pattern)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RecordsError(
            f"{place}: several files match {file.pattern}: {listed(m.name for m in matches)}. "
            "Leave the one to be read."
        )
    names = sorted({f.name for f in there})
    raise AbsentError(
        f"{place}: {file.name} is not there.{nearest(file.name, names)} {_ADVICE}", file.id
    )
