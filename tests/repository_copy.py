"""A copy of the repository to build in, so that the real one stays untouched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copy_repository(target: Path) -> None:
    """Copy what git would hold, the uncommitted included; remove what is gone."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    wanted = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in wanted:
        source, copy = ROOT / name, target / name
        if not copy.is_file() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    kept = target / ".copied"
    before = set(kept.read_text("utf-8").splitlines()) if kept.is_file() else set()
    for name in before - wanted:
        (target / name).unlink(missing_ok=True)
    kept.write_text("\n".join(sorted(wanted)), encoding="utf-8")
