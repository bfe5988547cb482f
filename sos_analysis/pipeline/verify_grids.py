"""Compare the grids that the page on which readers choose reads with the results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sos_analysis.chapters.explore import EXAMPLE, PUBLIC
from sos_analysis.pipeline.explore_payload import payload
from sos_analysis.results import Bundle

#: Scripts that hold the grids, below the site, and the results they are made from.
SCRIPTS = {"_static/explore-public.js": PUBLIC, "_static/explore-example.js": EXAMPLE}
_HANDED = re.compile(r'\.push\(JSON\.parse\((".*")\)\);\s*$', re.DOTALL)


def check_grids(site: Path, bundle: Bundle) -> tuple[int, list[str]]:
    """Numbers looked at, and a sentence for each script that does not hold what the results say."""
    numbers, problems = 0, []
    for name, result in SCRIPTS.items():
        path = site / name
        if not path.is_file():
            continue
        if result not in bundle.chapters:
            problems.append(f"{name}: no result {result!r} stands behind it")
            continue
        found = _content(path.read_text("utf-8"))
        wanted = json.loads(json.dumps(payload(bundle, result)))
        numbers += sum(
            value is not None
            for outcome in wanted["outcomes"]
            for column in outcome["columns"].values()
            for value in column
        )
        if found is None:
            problems.append(f"{name}: holds no grid; build the report again")
        elif found != wanted:
            problems.append(f"{name}: {_difference(found, wanted)}")
    return numbers, problems


def _content(text: str) -> Any:
    match = _HANDED.search(text)
    try:
        return json.loads(json.loads(match[1])) if match else None
    except ValueError:
        return None


def _difference(found: Any, wanted: Any, where: str = "") -> str:
    """The first place at which two contents differ, in words."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        pairs = [(str(key), found[key], wanted[key]) for key in wanted]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [
            (str(b["id"]) if isinstance(b, dict) and "id" in b else str(at), a, b)
            for at, (a, b) in enumerate(zip(found, wanted, strict=True))
        ]
    else:
        return f"{where or 'the grid'} holds {str(found)[:40]}, the results say {str(wanted)[:40]}"
    key, a, b = next((key, a, b) for key, a, b in pairs if a != b)
    return _difference(a, b, f"{where}.{key}".strip("."))
