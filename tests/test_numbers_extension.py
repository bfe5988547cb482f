"""What the book's extension promises of numbers: never stale, never unknown, always traceable."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sos_analysis.chapters import facts
from sos_analysis.results import ChapterResult, Claim

ROOT = Path(__file__).resolve().parents[1]
CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
from sos_book import numbers
extensions = ["myst_parser"]
def _page(app, pagename, templatename, context, doctree):
    numbers.page(app, pagename, context)
def setup(app):
    numbers.setup(app)
    app.connect("html-page-context", _page)
"""


class Book:
    """Two pages and one result, built by Sphinx alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "book").mkdir()
        self.result = folder / "results" / "facts.json"
        (folder / "conf.py").write_text(CONF, encoding="utf-8")
        (folder / "index.md").write_text(
            "# A\n\n```{toctree}\nbook/numbers\nbook/page\n```\n", encoding="utf-8"
        )
        (folder / "book" / "numbers.md").write_text(
            "# Numbers\n\n```{provenance} facts\n```\n", encoding="utf-8"
        )
        self.write("The threshold is {claim}`design.threshold`, of {claim}`design.rounding`.")

    def write(self, text: str) -> None:
        (self.folder / "book" / "page.md").write_text(f"# B\n\n{text}\n", encoding="utf-8")

    def build(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ".", "out"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    def page(self, name: str = "page") -> str:
        return (self.folder / "out" / "book" / f"{name}.html").read_text("utf-8")


def _with(result: ChapterResult, **claims: Claim) -> ChapterResult:
    changed = {c.id: c for c in claims.values()}
    return dataclasses.replace(result, claims={**result.claims, **changed})


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Book:
    made = Book(tmp_path_factory.mktemp("small-book"))
    facts().save(made.result)
    done = made.build()
    assert done.returncode == 0, done.stderr
    return made


def test_a_number_has_one_quiet_link_to_the_row_that_says_how_it_was_made(book: Book) -> None:
    page = book.page()
    links = re.findall(r'<a class="sos-how" href="([^"]*)"', page)
    assert links == ["numbers.html#how-design-threshold"], "one link for the whole paragraph"
    assert '<span class="visually-hidden">How do we know?</span>' in page
    rows = re.findall(r'<tr id="(how-[^"]*)"', book.page("numbers"))
    assert rows == ["how-design-rounding", "how-design-threshold"], "what is shown, no more"
    row = book.page("numbers").partition('<tr id="how-design-threshold"')[2].partition("</tr>")[0]
    held = facts().claims["design.threshold"]
    for value in (held.render(), held.source, *held.hashes.values(), "Choice of this study"):
        assert value in row, value


def test_a_changed_result_is_read_again_whatever_the_clock_says(book: Book) -> None:
    """The file of results keeps its old time, as a checkout or a copy may leave it."""
    assert book.build().returncode == 0
    page, before, times = book.page(), book.result.read_bytes(), book.result.stat()
    result = facts()
    try:
        moved = dataclasses.replace(result.claims["design.threshold"], value=77)
        _with(result, moved=moved).save(book.result)
        os.utime(book.result, ns=(times.st_atime_ns, 0))
        done = book.build()
        assert done.returncode == 0, done.stderr
        assert re.search(r'data-claim="design.threshold">77', book.page())
        assert re.search(r'data-claim="design.threshold">77', book.page("numbers"))
    finally:
        book.result.write_bytes(before)
    assert book.build().returncode == 0
    # Not that no 77 is on it: the hash of the code may have one.
    assert book.page() == page


def test_another_number_on_one_page_is_listed_on_the_other(book: Book) -> None:
    kept = (book.folder / "book" / "page.md").read_text("utf-8")
    try:
        book.write("There are {claim}`design.pilots.study` pilots.")
        assert book.build().returncode == 0
        assert re.findall(r'<tr id="(how-[^"]*)"', book.page("numbers")) == [
            "how-design-pilots-study"
        ]
    finally:
        (book.folder / "book" / "page.md").write_text(kept, encoding="utf-8")
        assert book.build().returncode == 0


def test_results_of_other_code_study_or_data_fail_the_build(book: Book) -> None:
    before = book.result.read_bytes()
    result = facts()
    try:
        for part in ("code", "study", "data"):
            dataclasses.replace(result, hashes={**result.hashes, part: "0" * 12}).save(book.result)
            done = book.build()
            assert done.returncode != 0, part
            words = {"study": "another study file", "data": "other data", "code": "other code"}[
                part
            ]
            assert f"facts rests on {words} than " in done.stderr
            assert "run 'python -m sos_analysis build'" in done.stderr
    finally:
        book.result.write_bytes(before)


def test_an_untyped_origin_or_an_unknown_number_fails_the_build(book: Book) -> None:
    before = book.result.read_bytes()
    kept = (book.folder / "book" / "page.md").read_text("utf-8")
    try:
        text = before.decode().replace('"origin": "published"', '"origin": ""', 1)
        book.result.write_text(text, encoding="utf-8")
        done = book.build()
        assert done.returncode != 0
        assert "seal does not match" in done.stderr
        book.result.write_bytes(before)
        book.write("It is {claim}`design.treshold`.")
        done = book.build()
        assert done.returncode != 0
        assert "no claim 'design.treshold' in the results; did you mean design.threshold" in (
            done.stderr
        )
    finally:
        book.result.write_bytes(before)
        (book.folder / "book" / "page.md").write_text(kept, encoding="utf-8")


def test_a_claim_without_its_fingerprints_has_no_place_in_a_book(book: Book) -> None:
    before = book.result.read_bytes()
    result = facts()
    try:
        bare = {k: dataclasses.replace(c, hashes={}) for k, c in result.claims.items()}
        hashes = {k: v for k, v in result.hashes.items() if k != "data"}
        dataclasses.replace(result, claims=bare, hashes=hashes).save(book.result)
        done = book.build()
        assert done.returncode != 0
        assert "has no hash of its data" in done.stderr
    finally:
        book.result.write_bytes(before)


def test_an_unknown_rule_table_is_refused(book: Book) -> None:
    kept = (book.folder / "book" / "page.md").read_text("utf-8")
    try:
        book.write("```{rules} taste\n```")
        done = book.build()
        assert done.returncode != 0
        assert "allowed: classes, certainty, words" in done.stderr
    finally:
        (book.folder / "book" / "page.md").write_text(kept, encoding="utf-8")
