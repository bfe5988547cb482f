"""ZIP archives, unpacked with care: nothing outside the folder meant for it, no bombs."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from sos_analysis.errors import RecordsError

MOST_FILES = 20_000
MOST_BYTES = 200 << 30
#: A member that grows by more than this is refused, if it grows beyond `FREELY`.
MOST_GROWTH = 400
FREELY = 256 << 20


def is_archive(path: Path) -> bool:
    """Whether the file is meant to be a ZIP archive."""
    return path.suffix.lower() == ".zip"


def unpack(path: Path, folder: Path) -> None:
    """Unpack a ZIP archive into a folder.

    Raises
    ------
    RecordsError : it is no archive, is damaged or encrypted, or a member points outside the
        folder, is a link, or grows out of all proportion. Nothing is written outside `folder`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(path, members)
            for member in members:
                _write(archive, member, folder)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError) as error:
        raise RecordsError(
            f"{path}: is no readable ZIP archive ({error}). Make it again, or give a folder."
        ) from error
    except RuntimeError as error:  # what zipfile raises for an encrypted member
        raise RecordsError(
            f"{path}: is encrypted. Unpack it yourself and give the folder."
        ) from error
    except OSError as error:
        raise RecordsError(f"{path}: cannot be unpacked ({error.strerror or error}).") from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_FILES:
        raise RecordsError(f"{path}: holds more than {MOST_FILES} files; that is no extract.")
    if sum(m.file_size for m in members) > MOST_BYTES:
        raise RecordsError(f"{path}: unpacks to more than {MOST_BYTES >> 30} GB; give a folder.")
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        outside = name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\0" in name
        link = stat.S_ISLNK(member.external_attr >> 16)
        if outside or link:
            what = "is a link" if link else "points outside the archive"
            raise RecordsError(
                f"{path}: member {name[:80]!r} {what}. Archives of records hold plain files; "
                "nothing was unpacked."
            )
        if name.lower() in seen and not member.is_dir():
            raise RecordsError(f"{path}: holds {name[:80]!r} twice; nothing was unpacked.")
        seen.add(name.lower())
        grown = member.file_size > MOST_GROWTH * max(member.compress_size, 1)
        if grown and member.file_size > FREELY:
            raise RecordsError(
                f"{path}: member {name[:80]!r} grows out of all proportion when unpacked; "
                "nothing was unpacked."
            )


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename.replace("\\", "/")).parts)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise RecordsError(f"member {member.filename[:80]!r} points outside the archive.")
    if member.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as made:
        # zipfile checks length and CRC at the end: more than was declared never gets through.
        shutil.copyfileobj(source, made, 1 << 20)


def member(path: Path, name: str) -> bytes | None:
    """Content of one small file of an archive, by its bare name; none if it is not there.

    Raises
    ------
    RecordsError : it is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if PurePosixPath(info.filename).name == name and info.file_size < FREELY:
                    return archive.read(info)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise RecordsError(f"{path}: is no readable ZIP archive ({error}).") from error
    return None
