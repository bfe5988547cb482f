"""Text files written as a whole, and those a command is asked for looked at before it works."""

from __future__ import annotations

import os
from pathlib import Path

from sos_analysis.errors import SosError


def check_target(path: Path) -> None:
    """Refuse a file that could not be written, before minutes go into what it should hold.

    Raises
    ------
    SosError : it is a folder, or its folder cannot be made or written into.
    """
    if path.is_dir():
        raise SosError(f"{path} is a folder; name a file in it, such as {path}/page.html")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SosError(
            f"{path.parent}: the folder cannot be made ({error.strerror}); name a file elsewhere"
        ) from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SosError(f"{path.parent}: may not be written into; name a file in another folder")


def write_whole(path: Path, text: str) -> None:
    """Write a text file; where that fails, what was there before is still there, and no scrap."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(text, encoding="utf-8", newline="\n")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """The same for a file that a person has named; see `check_target`."""
    check_target(path)
    write_whole(path, text)
