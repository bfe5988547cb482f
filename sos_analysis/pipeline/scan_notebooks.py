"""Executed notebooks, cell by cell: what is code, what was put out, and what hides in metadata."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from sos_analysis.pipeline import scan_pages as pages
from sos_analysis.pipeline.scan_known import Known, is_built

_PARTS = {"cells", "metadata", "nbformat", "nbformat_minor"}
_INJECTED = "injected-parameters"
#: Names that the runner makes up for the cell it puts in.
_MADE = re.compile(r"[0-9a-f]{8}")
_METADATA = {"kernelspec", "language_info", "mystnb", "sos"}

#: (where, what to do with the text, the text). What to do: 'number' and 'mark' look at it, 'bare'
#: allows no number at all, 'name' none but those of results, 'fault' reports it as it is.
Finding = tuple[str, str, str]


def cells(content: dict[str, Any], template: frozenset[str], can: Known) -> Iterator[Finding]:
    """Everything in a notebook that the committed template and the results do not explain."""
    extra = {k: v for k, v in content.get("metadata", {}).items() if k not in _METADATA}
    more = {k: v for k, v in content.items() if k not in _PARTS}
    for name, found in (("metadata", extra), ("parts", more)):
        if found:
            yield from json_text(name, found)
    code = sum(cell["cell_type"] == "code" for cell in content["cells"])
    for number, cell in enumerate(content["cells"]):
        names = [*cell.get("metadata", {}).get("tags", []), cell.get("id") or ""]
        made = _MADE.fullmatch(names[-1]) if _INJECTED in names else None
        for name in names[:-1] if made else names:
            yield f"cell {number}, name", "name", str(name)
        if (cell.get("execution_count") or 0) > code:
            yield f"cell {number}", "fault", "a count of runs that is more than there are cells"
        where = f"cell {number}"
        yield from _source(where, cell, template)
        rest = {k: v for k, v in cell.get("metadata", {}).items() if k != "tags"}
        for name in ("metadata", "attachments"):
            value = rest if name == "metadata" else cell.get(name)
            if value:
                yield from json_text(f"{where}, {name}", value)
        for output in cell.get("outputs", []):
            yield from _output(f"{where}, output", output, can)


def _source(where: str, cell: dict[str, Any], template: frozenset[str]) -> Iterator[Finding]:
    source = "".join(cell["source"])
    words = cell["cell_type"] == "markdown"
    if source in template:
        # Committed words and code; a number typed there is one on the page.
        if words:
            yield where, "number", pages.markdown(source)
        return
    yield where, "mark", source
    if words:
        yield where, "number", re.sub(r"<[^>]*>", " ", pages.markdown(source))
    elif _INJECTED not in cell.get("metadata", {}).get("tags", []):
        yield where, "fault", "code that the committed notebook does not have"
    elif not _assignments(source, template):
        yield where, "fault", "more than parameters in their cell"


def _output(where: str, output: dict[str, Any], can: Known) -> Iterator[Finding]:
    kind = output.get("output_type")
    if kind in ("error", "stream"):
        what = "a traceback, which may print records"
        yield (
            where,
            "fault",
            what if kind == "error" else "printed text, which has passed no guard",
        )
        parts = [*output.get("traceback", []), output.get("evalue", ""), *output.get("text", [])]
        yield where, "mark", "\n".join(parts)
        return
    for mime, value in output.get("data", {}).items():
        text = "".join(value) if isinstance(value, list) else value
        if mime == "text/html":
            left = pages.read(can.strip(text))
            said = [left.text, *left.comments, *(v for _, v in left.spoken), *left.code]
            said += [body for _, body in left.scripts]
            yield where, "bare", " | ".join(said)
            yield where, "mark", " ".join(said)
            for place, how, value in pages.hidden(left, is_built, ()):
                yield f"{where}, {place}", "bare" if how == "number" else "fault", value
            for place, value in left.places:
                yield f"{where}, attribute {place}", "name", value
            for wrong in can.wrong_claims(text):
                yield where, "fault", wrong
        elif mime != "text/plain":
            yield where, "fault", f"{mime}, which the guard does not make"
        elif text not in can.plain:
            yield where, "bare", text
            yield where, "mark", text
    if output.get("metadata"):
        yield from json_text(f"{where}, metadata", output["metadata"])


def json_text(where: str, value: Any) -> Iterator[Finding]:
    """Plain data as text to look at."""
    text = json.dumps(value, ensure_ascii=False)
    yield where, "number", re.sub(r'["{}\[\],:]', " | ", text)
    yield where, "mark", text


def _assignments(source: str, template: frozenset[str]) -> bool:
    """Whether code is nothing but parameters of the committed notebook set to plain values."""
    known = set(re.findall(r"^(\w+)\s*[:=]", "\n".join(template), re.MULTILINE))
    lines = [line for line in source.splitlines() if line.strip() and line != "# Parameters"]
    if any("#" in line for line in lines):
        return False
    try:
        tree = ast.parse(source)
        for node in tree.body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                return False
            if node.targets[0].id not in known:
                return False
            ast.literal_eval(node.value)
    except (SyntaxError, ValueError):
        return False
    return True
