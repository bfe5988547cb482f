"""Whole builds from nothing: same bytes twice, after being killed, and on other Pythons.

Slow (each build takes a minute or more), so they run in ``make test-full``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, SCALE, copy_repository, sos

pytestmark = pytest.mark.full
KILLS = 4


def contents(folder: Path) -> dict[str, str]:
    """Hash of each file that a reader or an analyst gets."""
    parts = ("_build/html", "book/chapters", "book/_extra", "results")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Names of the files that differ or are in one alone."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A book built from nothing."""
    folder = tmp_path_factory.mktemp("undisturbed") / "book"
    copy_repository(folder)
    made = sos(folder, "build", "--scale", SCALE)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_two_clean_builds_are_the_same_bytes(undisturbed, tmp_path, monkeypatch):
    """Another folder, one step at a time, another hash seed: nothing of it may show."""
    folder = tmp_path / "another" / "place"
    copy_repository(folder)
    monkeypatch.setenv("PYTHONHASHSEED", "4711")
    made = sos(folder, "build", "--scale", SCALE, "--jobs", "1")
    assert made.returncode == 0, made.stdout + made.stderr
    assert differences(contents(undisturbed), contents(folder)) == []


def test_killed_at_random_and_built_again_is_the_same_bytes(undisturbed, tmp_path):
    """SIGKILL to the build and all it started, at moments drawn at random."""
    folder = tmp_path / "book"
    copy_repository(folder)
    moments = random.Random(20190331)
    killed = []
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-m", "sos_analysis", "build", "--scale", SCALE],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait = moments.uniform(3.0, 45.0)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed.append(round(wait, 1))
            time.sleep(1.0)  # its steps end themselves once it is gone
    assert killed, "the build ended before it could be killed"
    made = sos(folder, "build", "--scale", SCALE)
    assert made.returncode == 0, made.stdout + made.stderr
    assert differences(contents(undisturbed), contents(folder)) == [], killed


def other_pythons() -> list[str]:
    """Supported Pythons on this machine other than the one that runs the tests."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [v for v in ("3.11", "3.12", "3.13") if v != mine]
    return [v for v in names if shutil.which(f"python{v}") and _runs(f"python{v}")]


def _runs(command: str) -> bool:
    """Whether it starts at all: a version manager's stand-in may not."""
    made = subprocess.run([command, "--version"], capture_output=True, check=False)
    return made.returncode == 0


def test_printed_results_are_the_same_on_other_pythons(undisturbed, tmp_path):
    """Each claim as it is printed; needs python3.12 or python3.13 beside the one in use."""
    found = other_pythons()
    if not found:
        pytest.skip("no other supported Python on this machine; the workflow runs all three")
    wanted = printed(undisturbed)
    for version in found:
        folder = tmp_path / version
        copy_repository(folder)
        made = subprocess.run(
            ["make", "book", f"PYTHON=python{version}", f"ARGS=--scale {SCALE} --quiet"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
        assert printed(folder) == wanted, version


def printed(folder: Path) -> dict[str, str]:
    """Claims of a build in their full form."""
    sys.path.insert(0, str(ROOT))
    from sos_analysis.results import load_bundle

    bundle = load_bundle(folder / "results")
    return json.loads(json.dumps({name: c.render("text") for name, c in bundle.claims.items()}))
