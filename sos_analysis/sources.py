"""What a result rests on: source files, data files and library versions, as hashes.

A module's closure is the module and every module of this package that it imports, however deep,
imports inside functions included. So a change in `estimation` leaves the extract alone, and a
change in a docstring of `outcomes` does not pass unnoticed by the cells built from it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
_NAME = PACKAGE.name


def _path(module: str) -> Path | None:
    """File of a dotted module of this package, or None if there is no such module."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file() and candidate.parent.is_relative_to(PACKAGE):
            return candidate
    return None


def _imported(tree: ast.AST, package: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base]) if base else ".".join(kept)
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == _NAME and name != _NAME}


@cache
def _direct(path: Path) -> frozenset[str]:
    relative = path.relative_to(PACKAGE.parent).with_suffix("")
    parts = relative.parts if path.name == "__init__.py" else relative.parts[:-1]
    package = ".".join(part for part in parts if part != "__init__")
    return frozenset(_imported(ast.parse(path.read_bytes()), package))


def closure(*modules: str) -> tuple[Path, ...]:
    """Files of the modules and of all package modules they import.

    Parameters
    ----------
    *modules
        Names within the package, such as ``"records.synthetic"``.

    Raises
    ------
    ValueError
        If a named module does not exist.
    """
    waiting = [f"{_NAME}.{module}" for module in modules]
    for name in waiting:
        if _path(name) is None:
            raise ValueError(f"no module {name} in {PACKAGE}")
    found: set[Path] = set()
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if path is None or path in found:
            continue
        found.add(path)
        parent = name.rpartition(".")[0]
        waiting += [*_direct(path), *([parent] if parent != _NAME else [])]
    return tuple(sorted(found))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(parts: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """One SHA-256 over named parts, whatever their order."""
    pairs = parts.items() if isinstance(parts, Mapping) else parts
    text = "\n".join(f"{name}={value}" for name, value in sorted(pairs))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_hash(*modules: str) -> str:
    """Hash of a closure; line endings do not count, so that a Windows checkout agrees."""
    return digest(
        (
            str(path.relative_to(PACKAGE).as_posix()),
            hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest(),
        )
        for path in closure(*modules)
    )


def versions(*distributions: str) -> dict[str, str]:
    """Installed version of each library; ``"absent"`` where it is not installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
