"""Time the build of the book: cold, unchanged, one notebook changed; and against doing it by hand.

``python benchmarks/book.py`` writes ``benchmarks/results/book.json`` and ``.md``. It works in
copies of the checkout, so nothing of yours is touched. By hand means: make the extract, run each
notebook with Papermill in turn, then ``jupyter-book build``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, machine, measured, store

# The tests build in such a copy too.
sys.path.insert(0, str(ROOT / "tests"))
from repository_copy import copy_repository

TARGETS = {"cold": 240.0, "unchanged": 2.0, "one notebook": 20.0, "import": 0.5}
NAMES = {
    "cold": "Whole book, from nothing",
    "unchanged": "Nothing changed",
    "one notebook": "One notebook changed",
    "import": "`import sos_analysis`",
    "by hand": "By hand: extract, Papermill in turn, jupyter-book",
}


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """A command of this package in a copy."""
    return _timed(folder, f"-m {' '.join(arguments)}")


def _timed(folder: Path, arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = f"cd {folder} && exec {sys.executable} {arguments}"
    return measured(["sh", "-c", command], env=environment)


def by_hand(folder: Path, built: Path, scale: float) -> dict[str, Any]:
    """Seconds without this project's build; pages take the numbers it made."""
    parts = {"extract": run(folder, "sos_analysis", "synthesise", "--scale", str(scale))["seconds"]}
    chapters = folder / "book" / "chapters"
    chapters.mkdir(parents=True, exist_ok=True)
    for notebook in sorted((folder / "notebooks").glob("*.ipynb")):
        made = run(folder, "papermill", str(notebook), str(chapters / notebook.name))
        parts[notebook.stem] = made["seconds"]
    shutil.copytree(built / "results", folder / "results", dirs_exist_ok=True)
    shutil.copytree(built / "book" / "_extra", folder / "book" / "_extra", dirs_exist_ok=True)
    # Pages check that notebooks are those of the results; the ones just run are timed, not shown.
    shutil.copytree(built / "book" / "chapters", chapters, dirs_exist_ok=True)
    # The module does nothing when run by itself.
    book = "-c 'from jupyter_book.cli.main import main; main()' build ."
    parts["jupyter-book"] = _timed(folder, book)["seconds"]
    if not (folder / "_build" / "html" / "index.html").is_file():
        raise RuntimeError("jupyter-book made no pages")
    return {"seconds": sum(parts.values()), "parts": {k: round(v, 1) for k, v in parts.items()}}


def page(made: dict[str, Any]) -> str:
    """The report in words."""
    v = ", ".join(f"{k} {n}" for k, n in made["versions"].items())
    lines = "\n".join(
        f"| {NAMES[name]} | {seconds:.2f} | {TARGETS.get(name, '')} |"
        for name, seconds in made["seconds"].items()
    )
    return (
        "# The build, timed\n\n"
        f"At {made['scale'] * 100:g}% of England. {made['date']}; {made['machine']}; load at the "
        f"end {made['load'][0]}; Python {made['python']}; {v}.\n\n"
        "| Task | Seconds | Wanted |\n|---|---|---|\n"
        f"{lines}\n\n"
        f"By hand over the build from nothing: {made['times']:.1f}. Peak memory of the build: "
        f"{made['peak_mb']:,.0f} MB.\n"
    )


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch) / "build", Path(scratch) / "by-hand"
        copy_repository(first)
        copy_repository(second)
        build = ["sos_analysis", "build", "--quiet", "--scale", str(chosen.scale)]
        cold = run(first, *build)
        unchanged = run(first, *build)
        notebook = first / "notebooks" / "rq4_kinship_care.ipynb"
        told = json.loads(notebook.read_text("utf-8"))
        last = next(c for c in reversed(told["cells"]) if c["cell_type"] == "markdown")
        last["source"] = [*last["source"], "\n\nRead it again."]
        notebook.write_text(json.dumps(told, indent=1), encoding="utf-8")
        changed = run(first, *build)
        imported = run(first, "timeit", "-n1", "-r1", "'import sos_analysis'")
        hand = by_hand(second, first, chosen.scale)
    made = {
        **machine("papermill", "jupyter-book", "sphinx", "myst-nb"),
        "scale": chosen.scale,
        "seconds": {
            "cold": cold["seconds"],
            "unchanged": unchanged["seconds"],
            "one notebook": changed["seconds"],
            "import": imported["seconds"],
            "by hand": hand["seconds"],
        },
        "by_hand": hand["parts"],
        "times": hand["seconds"] / cold["seconds"],
        "peak_mb": cold["peak_mb"],
    }
    store("book", made, page(made), chosen.out)


if __name__ == "__main__":
    main()
