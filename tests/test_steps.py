"""Steps: what runs again and why, what a failure leaves, and what stopping leaves."""

from __future__ import annotations

import ast
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import copy_repository

from sos_analysis import chapters, sources
from sos_analysis.chapters import CHAPTERS
from sos_analysis.errors import SosError
from sos_analysis.freshness import stale
from sos_analysis.pipeline.steps import Console, Run, Step, one_build, ranks

WORKER = """
import os, sys, time
from pathlib import Path
from sos_analysis.errors import SosError
from sos_analysis.pipeline.work import serve


def join(out, parts, add):
    text = "".join(Path(p).read_text() for p in parts)
    if "bad" in text:
        print("about to fail")
        raise SosError("the part is bad")
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(text + add)
    return {"summary": "joined"}


def slow(out, seconds):
    part = Path(out).with_name(".part")
    try:
        part.write_text("half")
        time.sleep(seconds)
        part.write_text("whole")
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return {}


sys.exit(serve({"join": join, "slow": slow}))
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with a worker that joins files, and a way to run three steps there."""
    (tmp_path / "toy_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(sources.ROOT)]))
    source = tmp_path / "source.txt"
    source.write_text("a")
    one, two, page = (tmp_path / "made" / name for name in ("one", "two", "page"))

    def steps(run: Run) -> list[Step]:
        def of(*paths: Path):
            return lambda: {p.name: run.hashes.of(p) for p in paths}

        def join(out: Path, *parts: Path):
            return {"out": str(out), "parts": [str(p) for p in parts], "add": f"+{out.name}"}

        return [
            Step("one", "join", join(one, source), of(source), (one,)),
            Step("two", "join", join(two, one), of(one), (two,), needs=("one",)),
            Step("page", "join", join(page), lambda: {"words": "w"}, (page,), after=("two",)),
        ]

    def build() -> tuple[bool, dict[str, str], str]:
        out = io.StringIO()
        run = Run(tmp_path / "_build", Console("normal", out), jobs=2, worker="toy_worker")
        good = run.all(steps(run))
        return good, {name: r.status for name, r in run.results.items()}, out.getvalue()

    return tmp_path, source, build


def test_only_what_changed_runs_again(room):
    folder, source, build = room
    assert build()[1] == {"one": "ran", "two": "ran", "page": "ran"}
    assert (folder / "made" / "two").read_text() == "a+one+two"
    assert build()[1] == {"one": "cached", "two": "cached", "page": "cached"}

    source.write_text("b")
    assert build()[1] == {"one": "ran", "two": "ran", "page": "cached"}
    assert (folder / "made" / "two").read_text() == "b+one+two"

    os.utime(source)  # a new time stamp on the same bytes is no change
    assert build()[1] == {"one": "cached", "two": "cached", "page": "cached"}

    (folder / "made" / "two").write_text("meddled")
    assert build()[1] == {"one": "cached", "two": "ran", "page": "cached"}
    assert (folder / "made" / "two").read_text() == "b+one+two"


def test_what_most_hangs_on_goes_first(room):
    """Of three steps set free together, the head of the longest chain, not of the dearest step."""
    folder, _, _ = room

    def step(name: str, cost: float, **more: tuple[str, ...]) -> Step:
        out = folder / "made" / name
        arguments = {"out": str(out), "parts": [], "add": name}
        return Step(name, "join", arguments, lambda: {"a": "1"}, (out,), cost=cost, **more)

    steps = [
        step("root", 1),
        step("dear", 30, needs=("root",)),
        step("light", 5, needs=("root",)),
        step("head", 2, needs=("root",)),
        step("tail", 40, after=("head",)),
        step("end", 1, needs=("dear", "light"), after=("tail",)),
    ]
    assert ranks(steps)["head"] == 2 + 40 + 1
    run = Run(folder / "_build", Console("quiet"), jobs=1, worker="toy_worker")
    assert run.all(steps)
    assert list(run.results) == ["root", "head", "tail", "dear", "light", "end"]


def test_a_failure_keeps_the_last_good_result_and_stops_only_what_needs_it(room):
    folder, source, build = room
    build()
    source.write_text("bad")
    good, status, said = build()
    assert not good
    assert status == {"one": "failed", "two": "skipped", "page": "cached"}
    assert (folder / "made" / "one").read_text() == "a+one"
    assert "the part is bad" in said
    assert "needs one" in said
    log = (folder / "_build" / "failed" / "one.log").read_text()
    assert "about to fail" in log

    source.write_text("a")  # back to what was built: nothing to do
    assert build()[1] == {"one": "cached", "two": "cached", "page": "cached"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopping_leaves_nothing_half_written(tmp_path, how):
    """A build stopped at any moment gives, when started again, the bytes of an undisturbed one."""
    (tmp_path / "toy_worker.py").write_text(WORKER)
    script = tmp_path / "toy_build.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from sos_analysis.pipeline.steps import Console, Run, Step
            here = Path(sys.argv[1])
            def arguments(name):
                return {"out": str(here / name), "seconds": float(sys.argv[2])}
            run = Run(here / "_build", Console("normal"), jobs=1, worker="toy_worker")
            steps = [
                Step("quick", "join", {"out": str(here / "quick"), "parts": [], "add": "q"},
                     lambda: {"a": "1"}, (here / "quick",)),
                Step("slow", "slow", arguments("slow"), lambda: {"a": "1"}, (here / "slow",),
                     needs=("quick",)),
            ]
            try:
                sys.exit(0 if run.all(steps) else 1)
            except KeyboardInterrupt:
                sys.exit(130)
            """
        )
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(sources.ROOT)]),
    }
    command = [sys.executable, str(script), str(tmp_path)]
    first = subprocess.Popen(
        [*command, "60"], env=environment, stdout=subprocess.PIPE, start_new_session=True, text=True
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / ".part").exists():
        assert time.monotonic() < deadline, "the slow step never started"
        time.sleep(0.05)
    first.send_signal(how)
    first.communicate(timeout=30)
    assert first.returncode == (-how if how == signal.SIGKILL else 130)
    deadline = time.monotonic() + 10
    while (tmp_path / ".part").exists():  # the step's process ends itself when its parent is gone
        assert time.monotonic() < deadline, "the slow step went on alone"
        time.sleep(0.05)
    assert not (tmp_path / "slow").exists()

    again = subprocess.run(
        [*command, "0"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "cached" in again.stdout.splitlines()[0]
    assert (tmp_path / "slow").read_text() == "whole"


def test_two_builds_do_not_meet(tmp_path):
    with (
        one_build(tmp_path),
        pytest.raises(SosError, match="another build is at work"),
        one_build(tmp_path),
    ):
        pass
    with one_build(tmp_path):
        pass


def test_a_closure_names_what_a_result_rests_on_and_no_more():
    def rooms(*modules: str) -> set[str]:
        found = (p.relative_to(sources.PACKAGE).parts[0] for p in sources.closure(*modules))
        return {name.removesuffix(".py") for name in found}

    extract = rooms("records.synthetic")
    assert {"study", "records", "errors"} <= extract
    cells = rooms("records.extract", "outcomes", "cells")
    assert {"outcomes", "cells", "study"} <= cells
    assert not {"estimation", "chapters", "results", "steps", "pipeline"} & (extract | cells)
    # Rooms of chapters are loaded by name: each result names its own, and none may be left out.
    every = set((sources.PACKAGE / "chapters").glob("*.py"))
    named = {*(spec.room for spec in CHAPTERS.values()), "reference", "england", "explore"}
    covered = {path for room in named for path in sources.closure(f"chapters.{room}")}
    assert every <= covered
    for room in named:
        own = set(sources.closure(f"chapters.{room}"))
        assert sources.PACKAGE / "chapters" / f"{room}.py" in own
    assert {"estimation", "results"} <= rooms("chapters.question")
    assert "estimation" not in rooms("chapters.england")
    with pytest.raises(ValueError, match=r"no module sos_analysis\.nonsense"):
        sources.closure("nonsense")


def test_imports_are_found_without_a_parser():
    """Every import that Python's own parser sees, in every file of the package."""

    def seen(path: Path) -> set[str]:
        package, names = sources.package_of(path), set()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                kept = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*(kept if node.level else []), *filter(None, [node.module])])
                names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        own = sources.PACKAGE.name
        return {name for name in names if name.startswith(f"{own}.")}

    files = sorted(sources.PACKAGE.rglob("*.py"))
    total = 0
    for path in files:
        wanted = seen(path)
        found = sources.imported(path.read_text("utf-8"), sources.package_of(path))
        assert wanted <= found, (path, wanted - found)
        assert len(found - wanted) <= 1, (path, found - wanted)
        total += len(wanted)
    assert total > 1000


def test_a_change_in_one_module_changes_the_hashes_that_rest_on_it(tmp_path):
    """Run on a copy: a comment in estimation must not regenerate the extract."""
    script = (
        "from sos_analysis.sources import code_hash; import json;"
        "print(json.dumps([code_hash('records.synthetic'),"
        " code_hash('records.extract', 'outcomes', 'cells'), code_hash('chapters.question')]))"
    )
    copy = tmp_path / "sos_analysis"
    for path in sources.PACKAGE.rglob("*.py"):
        target = copy / path.relative_to(sources.PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())

    def hashes() -> list[str]:
        made = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=True
        )
        return json.loads(made.stdout)

    def comment(name: str) -> None:
        with (copy / name).open("a") as handle:
            handle.write("\n# a remark\n")

    before = hashes()
    comment("estimation/__init__.py")
    after = hashes()
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]
    comment("outcomes/__init__.py")
    then = hashes()
    assert [a == b for a, b in zip(after, then, strict=True)] == [True, False, False]


INPUTS = """
import json, sys
from pathlib import Path
from sos_analysis.pipeline import BUILD, Options, plan
from sos_analysis.pipeline.steps import Console, Run
from sos_analysis.sources import digest
run = Run(BUILD, Console("quiet"), jobs=1)
print(json.dumps({step.name: digest(step.inputs()) for step in plan(Options(), run)}))
"""


def test_a_change_reaches_the_steps_that_rest_on_it_and_no_others(tmp_path):
    """Inputs of every step of the build, in a copy in which one thing after another changes."""
    copy_repository(tmp_path)
    for name in CHAPTERS:  # as if built before: only then is the book among the steps
        made = tmp_path / "book" / "chapters" / f"{name}.ipynb"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("{}")

    def inputs() -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        made = subprocess.run(
            [sys.executable, "-c", INPUTS],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(made.stdout)

    before = inputs()

    def reached(name: str, remark: str) -> set[str]:
        nonlocal before
        with (tmp_path / name).open("a", encoding="utf-8") as handle:
            handle.write(remark)
        after = inputs()
        changed = {step for step in after if after[step] != before[step]}
        before = after
        return changed

    assert reached("book/glossary.md", "\nA remark.\n") == {"book"}
    assert reached("notebooks/rq4_kinship_care.ipynb", "\n") == {"notebook rq4_kinship_care"}
    one = "comparator_practice_models"
    assert reached("sos_analysis/chapters/practice_models.py", "\n# remark\n") == {
        f"results {one}",
        f"notebook {one}",
    }
    estimation = reached("sos_analysis/estimation/did.py", "\n# remark\n")
    assert {"results rq4_kinship_care", "results robustness"} <= estimation
    assert not {"extract", "cells", "facts", "made-up England", "downloads"} & estimation
    outcomes = reached("sos_analysis/outcomes/__init__.py", "\n# remark\n")
    assert "cells" in outcomes
    assert "extract" not in outcomes
    assert "extract" in reached("sos_analysis/records/synthetic_life.py", "\n# remark\n")


def test_freshness_and_the_build_agree_on_what_code_a_result_rests_on():
    """The page that warns of stale results and the build that mends them use one hash."""
    facts = chapters.facts()
    assert stale([facts]) == ()
    assert sources.code_hash("chapters.reference").startswith(facts.hashes["code"])
    old = replace(facts, claims={}, hashes={**facts.hashes, "code": "0" * 12})
    assert stale([old]) == (f"{facts.name} rests on other code than is here now",)
