"""Shared by all tests: where things are, a small extract, and a book built once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from repository_copy import copy_repository

# Before numpy is imported: the matrices here are small, and threads only get in each other's way.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ROOT = Path(__file__).resolve().parents[1]
#: Size of the extract behind the book that tests look at.
SCALE = "0.05"


@dataclass(frozen=True)
class Rules:
    """Rules of disclosure as a secure setting has them, for tests of the guard."""

    threshold: int = 10
    rounding_base: int = 5
    minimum_authorities: int = 2
    source: str = "test"
    names: tuple[str, ...] = ()
    local: str = ""


@contextlib.contextmanager
def one_at_a_time(name: str, folder: Path, seconds: float = 900) -> Iterator[None]:
    """Hold a lock that the other test processes respect; a dead holder's lock is taken over."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{name}.lock"
    deadline = time.monotonic() + seconds
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(handle, str(os.getpid()).encode())
            os.close(handle)
            break
        except FileExistsError:
            with contextlib.suppress(OSError, ValueError):
                if not _alive(int(lock.read_text() or os.getpid())):
                    lock.unlink()
                    continue
            assert time.monotonic() < deadline, f"another test process holds {lock}"
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


def find_reference_data() -> Path | None:
    """Folder with the public statistics: SOS_REFERENCE_DATA, the sibling folder, or data/public."""
    named = os.environ.get("SOS_REFERENCE_DATA")
    places = [Path(named)] if named else []
    places += [ROOT.parent / "shared" / "reference-data", ROOT / "data" / "public"]
    return next((place for place in places if place.is_dir() and any(place.iterdir())), None)


def pytest_report_header() -> str:
    """Say at the top what the machine offers, as no test is skipped in silence."""
    data = find_reference_data()
    shown = data or "absent: chapters show the released results (make fetch-public gets the files)"
    return f"public statistics: {shown}; browser: {find_chromium() or 'absent'}"


@pytest.fixture(scope="session")
def reference_data() -> Path | None:
    """Folder with the files of the public statistics, or None where they are absent."""
    return find_reference_data()


@pytest.fixture(scope="session")
def small_study():
    """The study of the worked example."""
    from sos_analysis.study import load_study

    return load_study("synthetic")


@pytest.fixture(scope="session")
def small_extract(small_study) -> Path:
    """A hundredth of the made-up extract, made once for all test processes."""
    from sos_analysis.records.synthetic import generate, generator_hash

    place = ROOT / "_build" / "tests"
    folder = place / f"extract-{small_study.hash[:8]}-{generator_hash()[:8]}"
    with one_at_a_time("small-extract", place):
        if not (folder / "manifest.json").is_file():
            generate(small_study, folder, folder.with_name(f"{folder.name}-truth"), scale=0.01)
    return folder


@pytest.fixture(scope="session")
def study_extract(small_study) -> Path:
    """The study's own authorities at a seventh of their size: every matched group is filled."""
    from sos_analysis import workspace
    from sos_analysis.chapters import CHAPTERS
    from sos_analysis.records.synthetic import generate
    from sos_analysis.sources import code_hash

    place = ROOT / "_build" / "tests"
    name = f"study-{small_study.hash[:8]}-{code_hash('records.synthetic')[:8]}"
    folder = place / name
    with one_at_a_time("study-extract", place):
        if not (folder / "npd" / "manifest.json").is_file():
            codes = [a.code for a in small_study.authorities]
            generate(small_study, folder / "npd", folder / "truth", scale=0.15, authorities=codes)
        # All outcomes in one run of the engine, as the build does it.
        wanted = tuple({o: None for spec in CHAPTERS.values() for o in spec.outcomes})
        workspace.build_cells(small_study, folder / "npd", outcomes=wanted)
    return folder / "npd"


@dataclass(frozen=True)
class BuiltBook:
    """A book built from a copy of this repository, so that the real one stays untouched."""

    root: Path
    site: Path
    log: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``python -m sos_analysis`` in the copy."""
        return sos(self.root, *arguments)


def sos(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m sos_analysis`` with the package of that folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "sos_analysis", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=1200,
    )


@pytest.fixture(scope="session")
def built_site() -> BuiltBook:
    """The whole book at a twentieth of England, built once; the next test run rebuilds changes."""
    place = ROOT / "_build" / "tests"
    folder = place / "book"
    with one_at_a_time("book", place):
        copy_repository(folder)
        made = sos(folder, "build", "--scale", SCALE)
    log = made.stdout + made.stderr
    assert made.returncode == 0, f"the book could not be built:\n{log}"
    return BuiltBook(folder, folder / "_build" / "html", log)


def find_chromium() -> str | None:
    """A Chromium or Chrome on this machine."""
    named = os.environ.get("SOS_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
    return named or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser():
    """Chromium from the system. Its absence is a failure: pages nobody opened are not tested."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        pytest.fail(
            "no Chromium found; install it (Debian: apt-get install chromium) or name its path in "
            "SOS_CHROMIUM"
        )
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        yield made
        made.close()


@pytest.fixture(scope="module")
def visit_of(built_site, browser) -> Iterator[Callable[[str], Any]]:
    """Opens a page of the site by name, served and watched; one browser context for all."""
    from site_visit import WIDE, Visit, serve

    with serve(built_site.site) as base, Visit(browser, base, viewport=WIDE) as visit:

        def open_page(name: str) -> Visit:
            visit.page.emulate_media(color_scheme="light", media="screen")
            visit.page.set_viewport_size(WIDE)
            visit.open(f"{base}/{name}.html")
            return visit

        yield open_page
