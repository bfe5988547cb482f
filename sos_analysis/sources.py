"""What a result rests on: source files, data files and library versions, as hashes.

A module's closure is the module and every module of this package that it imports, however deep,
imports inside functions included. So a change in `estimation` leaves the extract alone, and a
change in a docstring of `outcomes` does not pass unnoticed by the cells built from it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
_NAME = PACKAGE.name


@cache
def _path(module: str) -> Path | None:
    """File of a dotted module of this package, or None if there is no such module."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file() and candidate.parent.is_relative_to(PACKAGE):
            return candidate
    return None


#: An import statement at the start of a line. The words of a docstring may look like one: then a
#: module rests on one more, which does no harm. A parser finds the same in ten times the time.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)|import[ \t]+([^\n#]+))",
    re.MULTILINE,
)


def imported(text: str, package: str) -> set[str]:
    """Modules of this package that a source file imports; `package` is the one it lies in."""
    names: set[str] = set()
    for base, several, plain in _IMPORT.findall(text):
        parts = re.sub(r"#[^\n]*|[()\\]", " ", several or plain).split(",")
        listed = [part.split()[0] for part in parts if part.split()]
        if plain:
            names.update(listed)
            continue
        level = len(base) - len(base.lstrip("."))
        base = base[level:]
        if level:
            parents = package.split(".")
            kept = parents[: len(parents) - level + 1]
            base = ".".join([*kept, base]) if base else ".".join(kept)
        names.add(base)
        names |= {f"{base}.{name}" for name in listed}
    return {name for name in names if name.split(".")[0] == _NAME and name != _NAME}


@cache
def _direct(path: Path) -> frozenset[str]:
    return frozenset(imported(path.read_text("utf-8"), package_of(path)))


def package_of(path: Path) -> str:
    """Dotted name of the package that a source file lies in."""
    return ".".join(path.relative_to(PACKAGE.parent).parent.parts)


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
        (str(path.relative_to(PACKAGE).as_posix()), _source_hash(path))
        for path in closure(*modules)
    )


@cache
def _source_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def versions(*distributions: str) -> dict[str, str]:
    """Installed version of each library; ``"absent"`` where it is not installed."""
    return {name: _version(name) for name in distributions}


@cache
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
