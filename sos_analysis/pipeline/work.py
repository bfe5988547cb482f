"""The tasks of the build, each run in a process of its own by `sos_analysis.pipeline.steps`.

``python -m sos_analysis.pipeline.work TASK`` reads its arguments as a line of JSON from standard
input. It says how far it is in lines that start with ``@progress``, and ends with ``@answer``
(files made, one line about them) or ``@error`` (one line). Everything else printed goes to the
step's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sos_analysis.errors import SosError
from sos_analysis.refusals import refused_by_system
from sos_analysis.sources import ROOT

Answer = dict[str, Any]
_TASKS: dict[str, Callable[..., Answer]] = {}


def _task(function: Callable[..., Answer]) -> Callable[..., Answer]:
    _TASKS[function.__name__] = function
    return function


def _progress(text: str) -> None:
    print("@progress " + " ".join(str(text).split()), flush=True)


@_task
def extract(study: str, out: str, truth: str, scale: float, seed: int | None) -> Answer:
    """Make the synthetic extract of a study."""
    from sos_analysis.records.synthetic import generate
    from sos_analysis.study import load_study

    manifest = generate(
        load_study(study), Path(out), Path(truth), scale=scale, seed=seed, progress=_progress
    )
    rows = dict(manifest.rows)
    authorities = rows.pop("authorities", 0)
    referrals = sum(count for name, count in rows.items() if name.startswith("cin"))
    shown = f"{referrals:,}".replace(",", " ")
    text = f"{authorities} made-up authorities, {shown} referral rows at scale {scale:g}"
    files = [str(Path(out) / name) for name in manifest.files]
    return {"outputs": files, "summary": text}


@_task
def cells(study: str, extract: str, outcomes: list[str]) -> Answer:
    """Collapse the records to cells for all outcomes and definitions."""
    from sos_analysis.study import load_study
    from sos_analysis.workspace import build_cells

    made = build_cells(
        load_study(study), extract or None, outcomes=tuple(outcomes), progress=_progress
    )
    return {"outputs": [str(path) for path in made.values()], "summary": f"{len(made)} sets"}


@_task
def curves(study: str, extract: str, outcomes: list[str]) -> Answer:
    """The specification curve of each outcome, kept beside the cells."""
    from sos_analysis import chapters

    made = chapters.curves(study, extract, outcomes, _progress)
    text = f"{len(made)} of {len(outcomes)} outcomes"
    return {"outputs": [str(path) for path in made], "summary": text}


@_task
def facts(out: str, study: str) -> Answer:
    """Published findings, programme facts and design quantities as claims."""
    from sos_analysis import chapters

    result = chapters.facts(study=study)
    result.save(Path(out))
    return {"summary": f"{len(result.claims)} facts"}


@_task
def england(out: str, study: str, extract: str) -> Answer:
    """The made-up extract measured against its targets."""
    from sos_analysis import chapters

    result = chapters.england(study=study, extract=extract)
    result.save(Path(out))
    found = result.claims
    return {
        "summary": f"{found['england.within'].value} of {found['england.targets'].value} figures "
        "within what is allowed"
    }


@_task
def unpack(release: str, out: str) -> Answer:
    """Put the results of a release in the place of what is there."""
    from sos_analysis.pipeline.release import check
    from sos_analysis.workspace import RELEASED_MARK

    found = check(Path(release))
    folder = Path(out)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        for name in found:
            shutil.copyfile(Path(release, "results", f"{name}.json"), staging / f"{name}.json")
        (staging / RELEASED_MARK).write_text("results of a release\n", encoding="utf-8")
        replace_folder(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {"summary": f"{len(found)} results, every checksum whole"}


@_task
def explore_public(out: str, public_data: str) -> Answer:
    """Every way to compare, on public statistics."""
    from sos_analysis import chapters

    result = chapters.explore_public(public_data)
    result.save(Path(out))
    ways = result.claims[f"{result.name}.ways"].value
    return {"summary": f"{ways} ways, {result.notes['provenance']}"}


@_task
def explore_example(out: str, study: str, extract: str) -> Answer:
    """Every declared way to run the analysis on the records."""
    from sos_analysis import chapters

    result = chapters.explore_example(study, extract)
    result.save(Path(out))
    return {"summary": f"{result.origin}, {result.claims[f'{result.name}.ways'].value} ways"}


@_task
def estimate(chapter: str, parameters: dict[str, Any], out: str) -> Answer:
    """Compute a chapter's results and keep them."""
    from sos_analysis import chapters

    result = chapters.chapter(chapter, **parameters)
    result.save(Path(out))
    return {"summary": f"{result.origin}, {len(result.claims)} numbers"}


@_task
def notebook(
    template: str, out: str, failed: str, parameters: dict[str, Any], result: str
) -> Answer:
    """Execute a chapter's notebook."""
    from sos_analysis.pipeline.notebooks import run_notebook

    held = json.loads(Path(result).read_text("utf-8"))
    run_notebook(
        Path(template),
        Path(out),
        parameters,
        origin=str(held["origin"]),
        seal=str(held["seal"]),
        failed=Path(failed),
    )
    return {}


@_task
def downloads(results: str, chapters: list[str], notebooks: str, out: str) -> Answer:
    """A CSV file for each table and figure, results, executed notebooks, and their descriptions."""
    from sos_analysis.pipeline.takeaway import write_all
    from sos_analysis.results import ChapterResult

    folder = Path(out)
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        paths = [Path(results) / f"{name}.json" for name in chapters]
        found = (ChapterResult.load(path) for path in paths if path.is_file())
        items = write_all(staging, found, Path(notebooks), Path(results))
        replace_folder(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    files = [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    count = sum(one.kind == "csv" for one in items)
    return {"outputs": files, "summary": f"{count} CSV files"}


@_task
def book(out: str, work: str) -> Answer:
    """Build the pages; the site changes only if they are without a warning."""
    staging = Path(work)
    made = staging / "_build" / "html"
    # Pages that no longer exist must not linger; what was read stays, so this costs little.
    shutil.rmtree(made, ignore_errors=True)
    staging.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-c", "from jupyter_book.cli.main import main; main()"),
        *("build", str(ROOT)),
        *("-W", "--keep-going", "--path-output", str(staging)),
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    warnings: list[str] = []
    assert process.stdout is not None
    for raw in process.stdout:
        text = re.sub(r"\x1b\[[0-9;]*m", "", raw.rstrip("\n"))
        print(text)
        if re.search(r"\b(WARNING|ERROR|Error|Exception):", text):
            warnings.append(text.replace(f"{ROOT}{os.sep}", ""))
        elif match := re.match(r"(reading sources|writing output)\.*\s*\[\s*(\d+)%\]", text):
            _progress(f"{match[1]} {match[2]} %")
    if process.wait() != 0 or not (made / "index.html").is_file():
        # Sphinx would not warn again about pages that it keeps as read.
        shutil.rmtree(staging, ignore_errors=True)
        first = warnings[0] if warnings else "see the log"
        raise SosError(f"{len(warnings)} warnings; the first: {first}")
    site = Path(out)
    copy = site.with_name(f".{site.name}.{os.getpid()}.tmp")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        shutil.copytree(made, copy)
        replace_folder(copy, site)
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    pages = len(list(site.rglob("*.html")))
    files = [str(path) for path in sorted(site.rglob("*")) if path.is_file()]
    return {"outputs": files, "summary": f"{pages} pages"}


def replace_folder(new: Path, old: Path) -> None:
    """Put a finished folder in the place of another; never a mixture of the two."""
    aside = old.with_name(f".{old.name}.{os.getpid()}.old")
    shutil.rmtree(aside, ignore_errors=True)
    old.parent.mkdir(parents=True, exist_ok=True)
    if old.exists():
        os.replace(old, aside)
    os.replace(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def serve(tasks: Mapping[str, Callable[..., Answer]]) -> int:
    """Run the task named on the command line; gives the exit status."""

    def stop(signum: int, frame: Any) -> None:
        # As an exception, so that temporary files go and a notebook's kernel is shut down.
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        arguments = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        answer = tasks[sys.argv[1]](**arguments)
    except KeyboardInterrupt:
        return 130
    except SosError as error:
        print("@error " + json.dumps(" ".join(str(error).split())), flush=True)
        return 2
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, OSError):
            text = refused_by_system(error)
        print("@error " + json.dumps(text[:500]), flush=True)
        return 1
    with contextlib.suppress(BrokenPipeError):
        print("@answer " + json.dumps(answer), flush=True)
    return 0


def _end_with_parent() -> None:
    """Standard input ends when the build is gone, even if it was killed: stop then too."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(serve(_TASKS))
