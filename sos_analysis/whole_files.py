"""Files a command is asked to write: looked at before the work begins, replaced as a whole."""

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


def replace_text(path: Path, text: str) -> None:
    """Write a text file; where that fails, what was there before is still there, and no scrap."""
    check_target(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
