"""Signs of Safety, evaluated again: an executable report on a matched difference-in-differences."""

from __future__ import annotations

from typing import Any

__version__ = "0.3.0"

__all__ = ["__version__", "chapter", "load_study"]


def __getattr__(name: str) -> Any:
    # Imported where used: `import sos_analysis` stays under half a second.
    if name == "chapter":
        from sos_analysis.chapters import chapter

        return chapter
    if name == "load_study":
        from sos_analysis.study import load_study

        return load_study
    raise AttributeError(f"module 'sos_analysis' has no attribute {name!r}")
