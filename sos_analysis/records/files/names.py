"""Names that are nearly right, and what names of files and folders tell."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import PurePath

#: Three figures that stand alone; 903 is the name of a return, not of an authority.
_CODE = re.compile(r"(?<!\d)(\d{3})(?!\d)")
_YEARS = re.compile(r"(?<!\d)((?:19|20)\d{2})(?:[-_/]?(?:(?:19|20)\d{2}|\d{2}))?(?!\d)")


def near(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' where a known name is near, else nothing."""
    by_small = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), list(by_small), n=1, cutoff=0.7)
    return f" Did you mean {by_small[close[0]]!r}?" if close else ""


def authority_in(path: PurePath) -> str | None:
    """The authority's code (three figures) in the name of a file, or of the nearest folder."""
    for part in reversed(path.parts):
        found = {code for code in _CODE.findall(part) if code != "903"}
        if len(found) == 1:
            return found.pop()
    return None


def year_in(name: str) -> int | None:
    """The one year in a name; of a pair such as 2018_19 the first; none if not exactly one."""
    found = {int(m[1]) for m in _YEARS.finditer(name)}
    return found.pop() if len(found) == 1 else None
