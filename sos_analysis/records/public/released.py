"""Released results of the public companion: computed numbers as JSON, never rows of the files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sos_analysis.errors import RecordsError
from sos_analysis.sources import ROOT
from sos_analysis.whole_files import write_whole

RELEASED = ROOT / "data" / "released" / "public_statistics.json"


def release_public(content: Mapping[str, Any], path: Path = RELEASED) -> Path:
    """Write computed results as JSON, to a temporary name first; returns `path`.

    The content is refused if it holds a number that JSON has no word for (NaN, infinity).
    """
    path = Path(path)
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
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
