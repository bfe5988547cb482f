"""Names of places in a site (ids, addresses, files, cells), and what their figures belong to.

A figure in a name is that of a heading, of a result, or of the builder, which counts references.
"""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sos_analysis.pipeline.scan_known import Known
from sos_analysis.pipeline.scan_pages import Page

#: An id that the builder counts: of a reference in a sentence, or of what it refers to.
_COUNTED = re.compile(r"id(\d+)")
_KINDS = re.compile(r"\.(?:html|ipynb|md|txt|svg|pdf|json|csv)\b")


@dataclass(frozen=True)
class Name:
    """A name, and the file and place in which it stands."""

    path: Path
    where: str
    value: str


@dataclass
class Names:
    """All names of a site, and the ids and headings of its pages."""

    found: list[Name] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    headings: set[str] = field(default_factory=set)
    counted: dict[Path, dict[str, bool]] = field(default_factory=dict)

    def add(self, path: Path, where: str, value: str) -> None:
        self.found.append(Name(path, where, value))

    def file(self, path: Path, inside: str) -> None:
        """The parts of a file's address."""
        for part in inside.split("/"):
            self.add(path, "name of the file", part)

    def page(self, path: Path, whole: Page) -> None:
        """Headings, ids and addresses of a page."""
        ids = [(where, value) for where, value in whole.places if where.endswith(" id")]
        self.ids |= {value for _, value in ids}
        self.headings |= {letters(heading) for heading in whole.headings}
        self.counted[path] = _counted(ids)
        for where, value in whole.places:
            self.found.append(Name(path, f"attribute {where}", value))

    def inventory(self, path: Path, body: bytes) -> Iterator[str]:
        """Entries of an inventory of anchors; gives those that are none."""
        for line in zlib.decompress(body).decode().splitlines():
            match = re.fullmatch(r"(.+?) \S+:\S+ -?1 (\S*) (.*)", line)
            if not match:
                yield f"no entry of an inventory: {line[:40]!r}"
                continue
            name, address, shown = match.groups()
            page, _, place = address.partition("#")
            said = {"name": name, "page": page, "anchor": place.replace("$", name)}
            said |= {"heading": "" if shown == "-" else shown}
            for what, value in said.items():
                last = value.rpartition("/")[2] if what in ("name", "page") else value
                self.add(path, what, last.replace(" ", "-"))

    def strange(self, can: Known) -> Iterator[tuple[Path, str]]:
        """Names with a figure that is in none of those known."""
        led = {name.value for name in self.found if name.where == "attribute a href"}
        for name in self.found:
            if re.search(r"\d", name.value) and not self._known(name, can, led):
                said = f"{name.where}: a number that is in no name: {name.value[:40]!r}"
                yield name.path, said

    def _known(self, name: Name, can: Known, led: set[str]) -> bool:
        """Whether all figures of a name are those of a heading, of a result, or of the builder."""
        plain = re.sub(r"[._]", "-", _KINDS.sub("", name.value.lower()))
        said = letters(plain)
        if said in self.headings or said.removeprefix("term") in self.headings:
            return True
        if plain in ("pst-page-navigation-heading-2", "404"):
            return True
        if _COUNTED.fullmatch(plain):
            if not name.where.endswith(" id"):
                return name.value in self.ids
            linked = self.counted.get(name.path, {}).get(name.value)
            return linked is not None and (not linked or name.value in led)
        for known in can.anchors:
            if known in plain:
                rest = re.sub(rf"(?<![a-z0-9]){re.escape(known)}(?![a-z0-9])", " ", plain)
                if not re.search(r"\d", rest):
                    return True
        return False


def _counted(ids: list[tuple[str, str]]) -> dict[str, bool]:
    """Those of a page's ids that the builder counts, and whether a link leads there.

    References are numbered one by one as they stand; the list of what they refer to, and all in
    it, have higher numbers, each its own. None, if a page is not counted so.
    """
    found = [(where, value) for where, value in ids if _COUNTED.fullmatch(value)]
    spans = [value for where, value in found if where == "span id"]
    others = [value for where, value in found if where == "div id"]
    if spans != [f"id{n}" for n in range(1, len(spans) + 1)]:
        return {}
    known = dict.fromkeys(spans, False)
    for value in others:
        if others.count(value) == 1 and int(value[2:]) > len(spans):
            known[value] = len(others) == 1 or value != f"id{len(spans) + 1}"
    return known


def letters(text: str) -> str:
    """Letters and figures alone."""
    return re.sub(r"\W+", "", html.unescape(text)).lower()
