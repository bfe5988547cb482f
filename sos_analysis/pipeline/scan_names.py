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

#: What the builder gives ids that it counts: references and boxes.
_COUNTED = ("attribute div id", "attribute span id")
_KINDS = re.compile(r"\.(?:html|ipynb|md|txt|svg|pdf|json|csv)\b")


@dataclass(frozen=True)
class Name:
    """A name, the file and place in which it stands, and how many ids its page has (0: none)."""

    path: Path
    where: str
    value: str
    own: int = 0


@dataclass
class Names:
    """All names of a site, and the ids and headings of its pages."""

    found: list[Name] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    headings: set[str] = field(default_factory=set)

    def add(self, path: Path, where: str, value: str) -> None:
        self.found.append(Name(path, where, value))

    def file(self, path: Path, inside: str) -> None:
        """The parts of a file's address."""
        for part in inside.split("/"):
            self.add(path, "name of the file", part)

    def page(self, path: Path, whole: Page) -> None:
        """Headings, ids and addresses of a page."""
        ids = [value for where, value in whole.places if where.endswith(" id")]
        self.ids |= set(ids)
        self.headings |= {letters(heading) for heading in whole.headings}
        for where, value in whole.places:
            own = len(ids) if where.endswith(" id") else 0
            self.found.append(Name(path, f"attribute {where}", value, own))

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
        for name in self.found:
            if re.search(r"\d", name.value) and not self._known(name, can):
                said = f"{name.where}: a number that is in no name: {name.value[:40]!r}"
                yield name.path, said

    def _known(self, name: Name, can: Known) -> bool:
        """Whether all figures of a name are those of a heading, of a result, or of the builder.

        The builder counts the references of a page, some of them twice: the figures in their ids
        stay near the number of ids.
        """
        plain = re.sub(r"[._]", "-", _KINDS.sub("", name.value.lower()))
        said = letters(plain)
        if said in self.headings or said.removeprefix("term") in self.headings:
            return True
        if plain in ("pst-page-navigation-heading-2", "404"):
            return True
        counted = re.fullmatch(r"id(\d+)", plain)
        if counted:
            if not name.own:
                return name.value in self.ids
            return name.where in _COUNTED and int(counted[1]) <= 2 * name.own
        for known in can.anchors:
            if known in plain:
                rest = re.sub(rf"(?<![a-z0-9]){re.escape(known)}(?![a-z0-9])", " ", plain)
                if not re.search(r"\d", rest):
                    return True
        return False


def letters(text: str) -> str:
    """Letters and figures alone."""
    return re.sub(r"\W+", "", html.unescape(text)).lower()
