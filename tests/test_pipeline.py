"""The build as a whole: what runs, what does not, what it says, and plain errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SCALE, BuiltBook, sos


@pytest.fixture(scope="module")
def own_book(built_site, tmp_path_factory) -> BuiltBook:
    """A book of this module's own, which its tests may spoil and mend."""
    copy = tmp_path_factory.mktemp("own") / "book"
    shutil.copytree(built_site.root, copy, copy_function=shutil.copy2)
    return BuiltBook(copy, copy / "_build" / "html", built_site.log)


def statuses(log: str) -> dict[str, str]:
    """Step to status, read from what the build prints."""
    lines = re.findall(r"^(ran|cached|failed|skipped) +[\d.]+ s  ([^:\n]+)", log, re.MULTILINE)
    return {name: status for status, name in lines}


def test_a_second_build_does_nothing_in_seconds(own_book):
    best = 99.0
    for _ in range(3):  # the machine may be busy with other tests
        started = time.perf_counter()
        again = own_book.run("build", "--scale", SCALE)
        best = min(best, time.perf_counter() - started)
    assert again.returncode == 0, again.stdout + again.stderr
    found = statuses(again.stdout)
    assert len(found) >= 17
    assert set(found.values()) == {"cached"}, again.stdout
    assert "nothing has changed" in again.stdout
    assert again.stdout.splitlines()[-1].endswith("index.html")
    # Beside other tests; `benchmarks/book.py` measures it alone.
    assert best < 6.0, f"{best:.1f} s"
    quiet = own_book.run("build", "--scale", SCALE, "--quiet")
    assert quiet.stdout.count("\n") == 1, "only where the result lies"


def test_the_package_is_light_to_import():
    """Heavy libraries load where they are used; half a second is the promise, of a warm start."""
    script = (
        "import time, sys; t = time.perf_counter(); import sos_analysis, sos_analysis.pipeline;"
        "print(time.perf_counter() - t);"
        "print([m for m in ('pandas', 'ibis', 'duckdb', 'plotly', 'statsmodels', 'scipy',"
        " 'linearmodels', 'papermill', 'pyarrow') if m in sys.modules])"
    )
    made = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert made[0].stdout.splitlines()[1] == "[]"
    assert min(float(m.stdout.splitlines()[0]) for m in made) < 0.5


def test_words_rebuild_pages_alone(own_book):
    page = own_book.root / "book" / "glossary.md"
    before = page.read_text("utf-8")
    try:
        page.write_text(before + "\nOne more sentence.\n", encoding="utf-8")
        made = own_book.run("build", "--scale", SCALE)
        found = statuses(made.stdout)
        assert {name for name, status in found.items() if status == "ran"} == {"book"}, made.stdout
        assert "One more sentence." in (own_book.site / "book" / "glossary.html").read_text()
    finally:
        page.write_text(before, encoding="utf-8")
    made = own_book.run("build", "--scale", SCALE)
    assert "One more sentence." not in (own_book.site / "book" / "glossary.html").read_text()


def test_a_file_to_hand_out_is_added_where_no_page_has_to_be_read_again(own_book):
    """As the second build of `make pdf` does."""
    extra = own_book.root / "book" / "_extra" / "handout.txt"
    try:
        extra.write_text("Take me along.\n", encoding="utf-8")
        made = own_book.run("build", "--scale", SCALE)
        assert made.returncode == 0, made.stdout
        assert (own_book.site / "handout.txt").is_file()
        assert 'class="sos-crumbs' in (own_book.site / "book" / "glossary.html").read_text()
    finally:
        extra.unlink()
    assert own_book.run("build", "--scale", SCALE).returncode == 0


def test_an_unknown_number_fails_the_build_and_leaves_the_last_good_site(own_book):
    page = own_book.root / "book" / "glossary.md"
    before = page.read_text("utf-8")
    good = (own_book.site / "book" / "glossary.html").read_bytes()
    try:
        page.write_text(before + "\nIt is {claim}`rq4.no.such`.\n", encoding="utf-8")
        for _ in range(2):  # the second build must not take the page for read and well
            made = own_book.run("build", "--scale", SCALE)
            assert made.returncode == 1
            assert "no claim 'rq4.no.such'" in made.stdout
            assert "the last good one stays" in made.stdout
            assert (own_book.site / "book" / "glossary.html").read_bytes() == good
    finally:
        page.write_text(before, encoding="utf-8")
    made = own_book.run("build", "--scale", SCALE)
    assert made.returncode == 0, made.stdout
    assert (own_book.site / "book" / "glossary.html").read_bytes() == good


def test_stale_numbers_never_stay_on_a_page(own_book):
    """Change a result behind the build's back: the build makes it again, not the page wrong."""
    path = own_book.root / "results" / "public_statistics.json"
    kept = path.read_bytes()
    content = json.loads(kept)
    content["claims"]["public.rereferral.att"]["value"] = 77.7
    path.write_text(json.dumps(content), encoding="utf-8")
    made = own_book.run("build", "--scale", SCALE)
    assert made.returncode == 0, made.stdout
    assert statuses(made.stdout)["results public_statistics"] == "ran"
    assert path.read_bytes() == kept
    assert "77.7" not in (own_book.site / "book" / "findings.html").read_text("utf-8")


def test_a_failing_chapter_does_not_stop_the_others(own_book):
    template = own_book.root / "notebooks" / "addendum_icpc.ipynb"
    executed = own_book.root / "book" / "chapters" / "addendum_icpc.ipynb"
    before, good = template.read_text("utf-8"), executed.read_bytes()
    try:
        template.write_text(before.replace('result.say(\\"answer\\")', "1 / 0"), encoding="utf-8")
        made = own_book.run("build", "--scale", SCALE)
        found = statuses(made.stdout)
        assert made.returncode == 1
        assert found["notebook addendum_icpc"] == "failed"
        assert {s for n, s in found.items() if n != "notebook addendum_icpc"} <= {"cached", "ran"}
        assert "ZeroDivisionError" in made.stdout
        assert "addendum_icpc: the last good version stays in the book" in made.stdout
        assert executed.read_bytes() == good
        assert (own_book.root / "_build" / "failed" / "addendum_icpc.ipynb").is_file()
    finally:
        template.write_text(before, encoding="utf-8")
    assert own_book.run("build", "--scale", SCALE).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "--only", "rq4_kinship"], r"no chapter 'rq4_kinship'.*rq4_kinship_care"),
        (["build", "--study", "nowhere"], "nowhere"),
        (["build", "--extract", "no/such/folder"], r"no extract at .*no/such/folder"),
        (["check-extract", "no/such/folder"], r"no folder or file no/such/folder"),
        (["verify", "--site", "no/such/folder"], r"no pages in no/such/folder"),
        (["release", "--out", "sos_analysis"], r"sos_analysis is not a release"),
        (["build", "--scale", "0"], "above 0"),
        (["bild"], r"invalid choice: '?bild'?"),
    ],
)
def test_a_wrong_request_gets_one_plain_line(own_book, arguments, says):
    made = own_book.run(*arguments)
    assert made.returncode == 2, made.stdout + made.stderr
    assert re.search(says, made.stderr), made.stderr
    assert "Traceback" not in made.stderr
    assert len([x for x in made.stderr.splitlines() if x.startswith(("error", "python -m"))]) == 1


def test_a_broken_study_file_is_named_with_its_key(own_book, tmp_path):
    text = (own_book.root / "data" / "study" / "synthetic.toml").read_text("utf-8")
    wrong = re.sub(r"(?m)^embedding_start\b", "embedding_strat", text, count=1)
    assert wrong != text
    (tmp_path / "mine.toml").write_text(wrong, encoding="utf-8")
    made = own_book.run("build", "--study", str(tmp_path / "mine.toml"))
    assert made.returncode == 2
    assert "embedding_strat" in made.stderr
    assert "embedding_start" in made.stderr


def test_check_extract_says_what_is_there_and_what_is_wrong(own_book, tmp_path):
    extract = own_book.root / "data" / "extract" / "synthetic"
    made = own_book.run("check-extract", str(extract))
    assert made.returncode == 0, made.stdout + made.stderr
    # The made-up records hold recording faults on purpose: each is named, with what is done.
    assert re.search(r"referrals\.closure_date *│ is before the referral", made.stdout)
    assert re.search(r"^Usable; \d+ kinds of error, ", made.stdout, re.MULTILINE)
    broken = tmp_path / "extract"
    shutil.copytree(extract, broken)
    (broken / "cla_episodes.parquet").unlink()
    made = own_book.run("check-extract", str(broken))
    assert made.returncode == 1
    assert "cla_episodes" in made.stdout + made.stderr
    assert "Traceback" not in made.stderr


def test_release_holds_safe_tables_sealed_results_and_a_log(own_book, tmp_path):
    out = tmp_path / "release"
    for _ in range(2):  # a second release replaces the first
        made = own_book.run("release", "--out", str(out))
        assert made.returncode == 0, made.stdout + made.stderr
    log = json.loads((out / "release.json").read_text("utf-8"))
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert names == {entry["file"] for entry in log["files"]} | {"release.json"}
    sealed = out / "results" / "rq4_kinship_care.json"
    sealed.write_text(sealed.read_text("utf-8").replace("per 100", "per 10"), encoding="utf-8")
    from sos_analysis.errors import ClaimError
    from sos_analysis.results import ChapterResult

    with pytest.raises(ClaimError, match="seal"):
        ChapterResult.load(sealed)


def test_the_same_chapters_on_records_of_ones_own(own_book, tmp_path):
    """A restricted study on a given extract: its own heading, banner kind and file names."""
    text = (own_book.root / "data" / "study" / "synthetic.toml").read_text("utf-8")
    text = text.replace('id = "synthetic"', 'id = "mine"', 1)
    text = text.replace('origin = "synthetic"', 'origin = "restricted"', 1)
    text = re.sub(r"(?ms)^\[(truth|synthetic)\b.*?(?=^\[|\Z)", "", text)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    extract = tmp_path / "records"
    shutil.copytree(own_book.root / "data" / "extract" / "synthetic", extract)
    arguments = ["build", "--study", str(tmp_path / "mine.toml")]
    made = own_book.run(*arguments)
    assert made.returncode == 2
    assert "--extract FOLDER" in made.stderr
    name = "rq1_assessment_duration"
    made = own_book.run(*arguments, "--extract", str(extract), "--only", name)
    found = statuses(made.stdout)
    assert found[f"notebook {name}"] == "ran", made.stdout + made.stderr
    assert "extract" not in found, "the records given are not made anew"
    executed = (own_book.root / "book" / "chapters" / f"{name}.ipynb").read_text("utf-8")
    assert "## Results on the restricted records" in executed
    for mark in ("Made-up data", "made-up records", "claim-synthetic", "worked example"):
        assert mark not in executed, mark
    result = json.loads((own_book.root / "results" / f"{name}.json").read_text("utf-8"))
    assert result["origin"] == "restricted"
    # Where the records and the study lie stands nowhere: a path names machines and people.
    assert str(tmp_path) not in executed + json.dumps(result)


def test_one_chapter_alone_in_a_fresh_copy(built_site, tmp_path):
    """`--only` builds what the chapter needs, says where it is, and asks for no other chapter."""
    fresh = tmp_path / "fresh"
    kept = (built_site.root / ".copied").read_text("utf-8").splitlines()
    for name in kept:
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built_site.root / name, fresh / name)
    made = sos(fresh, "build", "--only", "public_statistics")
    assert made.returncode == 0, made.stdout + made.stderr
    found = statuses(made.stdout)
    assert set(found) == {"facts", "results public_statistics", "notebook public_statistics"}
    assert (fresh / "book" / "chapters" / "public_statistics.ipynb").is_file()
    assert "run the build without --only" in made.stdout


def test_the_stock_command_builds_the_book(built_site, tmp_path):
    """`jupyter-book build .` works as it stands once the chapters are executed."""
    copy = tmp_path / "book"
    shutil.copytree(
        built_site.root, copy, ignore=shutil.ignore_patterns("_build", "extract", "truth", "cells")
    )
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    made = subprocess.run(
        [*command, "build", ".", "-W"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]

    def pages(folder: Path) -> dict[str, bytes]:
        found = (p for p in folder.rglob("*.html") if "_static" not in p.parts)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}

    assert pages(copy / "_build" / "html") == pages(built_site.site), "the same bytes"
