"""XML as events: no tree is built, so that memory does not grow with the file.

Entities, document types and the network are off. A file is fed to the parser in pieces; what the
parser finds is handed to a target, group by group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sos_analysis.errors import RecordsError
from sos_analysis.records.files.text import open_binary

_PIECE = 1 << 20
_START = 1 << 16
_SKIPPED = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
_NO_TYPES = (
    "declares a document type or entities. Returns never do; such a file may be made to do harm. "
    "Export it again from the case system."
)


def root_of(path: Path) -> str | None:
    """Local name of the root element, from the start of a file; none if it shows none.

    Raises
    ------
    RecordsError : the file cannot be opened, or declares a document type.
    """
    try:
        with open_binary(path) as raw:
            start = raw.read(_START)
    except (OSError, EOFError) as error:
        raise RecordsError(f"{path}: cannot be read ({error}). Restore it.") from error
    text = _decoded(start)
    at = 0
    while found := _SKIPPED.match(text, at):
        at = found.end()
    if text.startswith("<!", at):
        raise RecordsError(f"{path}: {_NO_TYPES}")
    named = _ROOT.match(text, at)
    return named[1] if named else None


def _decoded(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return start.decode("utf-16", "replace")
    if start[:4].count(0) == 2:
        return start.decode("utf-16-be" if start[0] == 0 else "utf-16-le", "replace")
    return start.decode("latin-1").removeprefix("\xef\xbb\xbf")


Held = dict[str, Any]


@dataclass
class Groups:
    """Target of the parser: text of wanted elements, gathered by the group they stand in.

    Attributes
    ----------
    wanted : group -> elements whose text is kept (first occurrence; the rest is counted).
    lists : elements kept as lists, all occurrences.
    closed : called with name, content and the content of the group around it, when a group ends.
    repeated : element -> how often it stood again where it may stand once.
    """

    wanted: Mapping[str, frozenset[str]]
    lists: frozenset[str]
    closed: Callable[[str, Held, Held | None], None]
    repeated: dict[str, int] = field(default_factory=dict)
    _stack: list[tuple[str, Held]] = field(default_factory=list)
    _text: list[str] = field(default_factory=list)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._text.clear()
        name = tag if tag[0] != "{" else tag.rpartition("}")[2]
        if name in self.wanted:
            self._stack.append((name, {}))

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        name = tag if tag[0] != "{" else tag.rpartition("}")[2]
        if name in self.wanted:
            _, held = self._stack.pop()
            self.closed(name, held, self._stack[-1][1] if self._stack else None)
        elif self._text and self._stack:
            group, held = self._stack[-1]
            if name in self.wanted[group]:
                self._keep(name, "".join(self._text).strip(), held)
        self._text.clear()

    def _keep(self, name: str, text: str, held: Held) -> None:
        if not text:
            return
        if name in self.lists:
            held.setdefault(name, []).append(text)
        elif name not in held:
            held[name] = text
        elif held[name] != text:
            self.repeated[name] = self.repeated.get(name, 0) + 1

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise RecordsError(_NO_TYPES)

    def close(self) -> None:
        return None


def parse(path: Path, target: Groups) -> None:
    """Feed a file to the parser, piece by piece.

    Raises
    ------
    RecordsError : the file is no well-formed XML, breaks off, is not in the encoding it declares,
        or declares a document type. The message gives the line.
    """
    from lxml import etree

    parser = etree.XMLParser(
        target=target,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
    )
    try:
        with open_binary(path) as raw:
            while piece := raw.read(_PIECE):
                parser.feed(piece)
        parser.close()
    except etree.XMLSyntaxError as error:
        raise RecordsError(
            f"{path}: is no well-formed XML at line {error.lineno or '?'} ({_brief(error)}). It "
            "may be cut short or in another encoding than it says; export it again."
        ) from error
    except RecordsError as error:
        raise RecordsError(f"{path}: {error}") from error
    except (OSError, EOFError) as error:
        raise RecordsError(f"{path}: cannot be read to its end ({error}). Restore it.") from error


def _brief(error: Any) -> str:
    """What the parser found, without what it quotes."""
    first = str(error).splitlines()[0] if str(error) else "cut short"
    return re.sub(r", line \d+, column \d+.*|\(.*?\)$", "", first)[:120]
