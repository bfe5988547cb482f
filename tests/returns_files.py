"""Statutory returns of a few made-up children, written as plainly as can be, for tests of readers.

These writers share nothing with the package but the layouts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from sos_analysis.records.returns import cin_layout, ssda903_layout

Node = Mapping[str, Any]


def cin_xml(
    year: int,
    children: Sequence[Node],
    *,
    lea: str = "801",
    words: bool = False,
    namespace: str = "",
) -> str:
    """A census: each child a mapping of element to value; `CINdetails` and what is in it lists.

    `words` writes flags as true and false.
    """

    def text(value: Any) -> str:
        if isinstance(value, bool):
            return ("true" if value else "false") if words else str(int(value))
        return value.isoformat() if isinstance(value, date) else escape(str(value))

    def group(told: cin_layout.Group, node: Node) -> str:
        made = []
        for part in cin_layout.parts(told, year):
            if isinstance(part, cin_layout.Group):
                nodes = node.get(part.name, [])
                made += [group(part, n) for n in nodes]
                continue
            value = node.get(part.name)
            if value is None:
                continue
            values = value if part.many else [value]
            inner = "".join(f"<{part.name}>{text(v)}</{part.name}>" for v in values)
            made.append(f"<{part.within}>{inner}</{part.within}>" if part.within else inner)
        return f"<{told.name}>{''.join(made)}</{told.name}>"

    def child(node: Node) -> str:
        return (
            "<Child>"
            + group(cin_layout.IDENTIFIERS, node)
            + group(cin_layout.CHARACTERISTICS, node)
            + "".join(group(cin_layout.DETAILS, n) for n in node.get("CINdetails", []))
            + "</Child>"
        )

    head = (
        f"<Header><CollectionDetails><Collection>CIN</Collection><Year>{year}</Year>"
        f"<ReferenceDate>{year}-03-31</ReferenceDate></CollectionDetails>"
        f"<Source><SourceLevel>L</SourceLevel><LEA>{lea}</LEA></Source></Header>"
    )
    space = f' xmlns="{namespace}"' if namespace else ""
    body = "".join(child(node) for node in children)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Message{space}>{head}'
        f"<Children>{body}</Children></Message>\n"
    )


def ssda903_csv(name: str, rows: Sequence[Node]) -> str:
    """One file of the SSDA903 return."""
    out = io.StringIO()
    columns = ssda903_layout.TABLES[name].columns
    writer = csv.DictWriter(out, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({c: _day_first(row.get(c)) for c in columns} for row in rows)
    return out.getvalue()


def ssda903_xml(header: Sequence[Node], episodes: Sequence[Node], uasc: Sequence[Node] = ()) -> str:
    """The same return as XML."""
    alone = {row["CHILD"] for row in uasc}

    def tags(node: Node, order: Sequence[str], names: Mapping[str, str]) -> str:
        made = []
        for tag in order:
            value = _day_first(node.get(names.get(tag, tag)))
            made.append(f"<{tag}>{escape(value)}</{tag}>" if value else f"<{tag} />")
        return "".join(made)

    parts = []
    for row in header:
        told = {**row, "UASC": "1" if row["CHILD"] in alone else None}
        mine = [e for e in episodes if e["CHILD"] == row["CHILD"]]
        inner = "".join(
            f"<EPISODE>{tags(e, ssda903_layout.EPISODE_ORDER, ssda903_layout.EPISODE_TAGS)}"
            "</EPISODE>"
            for e in mine
        )
        head = tags(told, ssda903_layout.HEADER_ORDER, ssda903_layout.HEADER_TAGS)
        parts.append(f"<CHILD><HEADER>{head}</HEADER>{inner}</CHILD>")
    return f"<?xml version='1.0' encoding='utf-8'?><EXPSSDA903>{''.join(parts)}</EXPSSDA903>"


def _day_first(value: Any) -> str:
    if value is None:
        return ""
    return value.strftime("%d/%m/%Y") if isinstance(value, date) else str(value)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
