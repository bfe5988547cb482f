"""The bundle: what leaves a secure setting, its log, and the book that is built from it alone."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import BuiltBook, Rules, sos

from sos_analysis.checks import CheckResult
from sos_analysis.disclosure import Column, safe_table
from sos_analysis.errors import SosError
from sos_analysis.pipeline.release import LOG, check, release
from sos_analysis.pipeline.release_judge import Output, judge
from sos_analysis.pipeline.release_log import as_csv, row
from sos_analysis.results import ChapterResult, Claim, bundle, load_bundle, without_places
from sos_analysis.results.claims import content_hash


@pytest.fixture(scope="module")
def results(built_site) -> Path:
    return built_site.root / "results"


@pytest.fixture(scope="module")
def released(results, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "release"
    lines = list(release(out, results))
    assert "to review" in lines[-1]
    return out


def test_a_release_holds_results_tables_and_a_log_of_every_output(released, results) -> None:
    log = json.loads((released / LOG).read_text("utf-8"))
    made = load_bundle(results)
    names = {o["name"] for o in log["outputs"]}
    wanted = set()
    for r in made:
        wanted |= {f"{r.name}/{k}" for k in (*r.tables, *r.figures, "numbers", "sentences")}
    assert names == wanted
    for o in log["outputs"]:
        file = released / o["file"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == o["sha256"], o["name"]
        assert o["status"] in ("pass", "review", "already published"), o["name"]
        assert o["what"].strip()
        assert o["rule"].strip()
        assert o["command"].startswith("python -m sos_analysis build")
        assert o["reasons"] or o["status"] != "review"
        if o["origin"] == "public":
            assert o["status"] == "already published", o["name"]
    # The log says of each table how many of its cells are hidden, and is right.
    for o in log["outputs"]:
        if o["file"].endswith(".csv"):
            rows = list(csv.reader((released / o["file"]).read_text("utf-8").splitlines()[1:]))
            assert o["suppressed"] == sum(cell == "[c]" for row in rows for cell in row), o["name"]
    listed = {entry["file"] for entry in log["files"]}
    found = {p.relative_to(released).as_posix() for p in released.rglob("*") if p.is_file()}
    assert found == listed | {LOG}
    assert {p.name for p in (released / "results").iterdir()} == {p.name for p in results.glob("*")}


def test_the_log_is_for_people(released) -> None:
    rows = list(csv.DictReader((released / "log.csv").open(encoding="utf-8")))
    log = json.loads((released / LOG).read_text("utf-8"))
    assert len(rows) == len(log["outputs"])
    text = (released / "log.md").read_text("utf-8")
    page = (released / "summary.html").read_text("utf-8")
    asked = [o for o in log["outputs"] if o["status"] == "review"]
    for o in log["outputs"]:
        assert f"| {o['name'].partition('/')[2]} |" in text
        assert f">{o['name']}</th>" in page.replace("<wbr>", "")
    for o in asked:
        assert f"**review** `{o['name']}`" in text
        assert f"<strong>review</strong> {o['name']}" in page
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page), "nothing is fetched"
    assert "Made-up data" in page
    # Nothing of the machine it was made on.
    assert str(Path.home()) not in page + text + json.dumps(log)


def test_the_same_results_give_the_same_bytes(released, results, tmp_path) -> None:
    list(release(tmp_path / "again", results))
    for path in released.rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes() == (tmp_path / "again" / path.relative_to(released)).read_bytes()
            )


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("results/rq4_kinship_care.json", "edit", "was changed"),
        ("tables/rq4_kinship_care/made-up-counts.csv", "edit", "was changed"),
        ("summary.html", "edit", "was changed"),
        ("tables/rq4_kinship_care/made-up-trend.csv", "remove", "is missing"),
        ("tables/more.csv", "add", "is not part of the release"),
        (LOG, "edit", "not the log of a release"),
        (LOG, "remove", "no release at"),
        (LOG, "refuse", "not a release of version"),
        (LOG, "nest", "not the log of a release"),
        ("results/rq4_kinship_care.json", "link", "is a link"),
        ("tables/elsewhere", "link", "is a link"),
    ],
)
def test_a_tampered_release_gives_one_clear_error(
    released, tmp_path, name: str, change: str, says: str
) -> None:
    folder = tmp_path / "release"
    shutil.copytree(released, folder)
    path = folder / name
    if change == "remove":
        path.unlink()
    elif change == "nest":
        path.write_text("[" * 100_000)
    elif change == "link":
        elsewhere = tmp_path / "elsewhere"
        if path.is_file():
            path.rename(elsewhere)
        else:
            elsewhere.mkdir()
        path.symlink_to(elsewhere)
    elif change == "refuse":
        path.write_text(path.read_text("utf-8").replace('"refused": false', '"refused": true'))
    else:
        before = path.read_text("utf-8") if path.is_file() else ""
        path.write_text("{" + before + " 7", "utf-8")
    with pytest.raises(SosError, match=says) as found:
        check(folder)
    assert "\n" not in str(found.value)
    assert change == "refuse" or name in str(found.value) or LOG in str(found.value)


def test_a_forged_log_does_not_carry_a_forged_table(released, tmp_path) -> None:
    """Whoever can change a file can change its checksum: seals and rules still hold."""
    folder = tmp_path / "release"
    shutil.copytree(released, folder)
    path = folder / "results" / "rq4_kinship_care.json"
    content = json.loads(path.read_text("utf-8"))
    content["tables"]["counts"]["rows"][0][3] = 7
    path.write_text(json.dumps(content), "utf-8")
    log = json.loads((folder / LOG).read_text("utf-8"))
    for entry in log["files"]:
        entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    (folder / LOG).write_text(json.dumps(log), "utf-8")
    with pytest.raises(SosError, match="seal"):
        check(folder)


def _shape(content: dict[str, Any], key: str, value: Any) -> bytes:
    body = {k: v for k, v in content.items() if k != "seal"} | {key: value}
    return json.dumps({**body, "seal": content_hash(body)}).encode()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: b"\xff\xfe\x00", "not UTF-8"),
        (lambda content: b"[" * 100_000, "not JSON"),
        (lambda content: b"null", "not a sos-results file"),
        (lambda content: b'{"schema": "sos-results", "version": NaN}', "version nan"),
        (lambda content: _shape(content, "claims", ["=cmd"]), "not in the shape"),
        (lambda content: _shape(content, "tables", {"counts": None}), "not in the shape"),
        (lambda content: _shape(content, "checks", [{"name": "x"}]), "not in the shape"),
        (lambda content: _shape(content, "hashes", "=cmd"), "not in the shape"),
    ],
)
def test_a_forged_result_of_another_shape_is_one_line(released, tmp_path, spoil, says) -> None:
    """Checksum and seal may fit and the content still be no result."""
    path = tmp_path / "rq4_kinship_care.json"
    path.write_bytes(spoil(json.loads((released / "results" / path.name).read_text("utf-8"))))
    with pytest.raises(SosError, match=says) as found:
        ChapterResult.load(path)
    assert "\n" not in str(found.value)


# --- what fails, what is for a person ----------------------------------------------------------


def table(rows: Any, labels: tuple[str, ...] = ("g",), **more: Any):
    return safe_table(
        rows,
        columns={**{k: k.upper() for k in labels}, "n": Column("Children", "children")},
        count_columns=("n",),
        population=more.pop("population", "alone"),
        category_columns=labels,
        title=more.pop("title", "Counted"),
        source="Records",
        origin="restricted",
        rules=Rules(),
        authorities=9,
        **more,
    )


def result(**more: Any) -> ChapterResult:
    return ChapterResult("c", "A chapter", "restricted", **more)


def claim(**more: Any) -> dict[str, Claim]:
    given = {"id": "c.n", "value": 40, "unit": "children", "decimals": 0, "origin": "restricted"}
    made = Claim(**{**given, "chapter": "c", "source": "test", **more})
    return {made.id: made}


def check_(sentence: str) -> tuple[CheckResult, ...]:
    return (CheckResult("c.x", "A check", "info", sentence),)


OPEN = [{"g": "North", "n": 40}, {"g": "South", "n": 60}]
PARTS = [{"g": "North", "s": s, "n": n} for s, n in (("Girls", 37), ("Boys", 3))] + [
    {"g": "South", "s": s, "n": n} for s, n in (("Girls", 30), ("Boys", 30))
]
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a good table": ({"tables": {"t": table(OPEN)}}, "pass", ""),
    "a total that gives a cell of another table away": (
        {
            "tables": {
                "whole": table([{"g": "North", "n": 47}, {"g": "South", "n": 60}], population="p"),
                "parts": table(
                    [{**r, "n": 43 if r["n"] == 37 else r["n"]} for r in PARTS],
                    ("g", "s"),
                    population="p",
                ),
            }
        },
        "fail",
        "can be found to lie from",
    ),
    "a small count in a sentence": ({"claims": claim(value=7)}, "fail", "c.n is a count"),
    "a count that is not rounded": ({"claims": claim(value=43)}, "fail", "not rounded: 43"),
    "a small whole number of something": (
        {"claims": claim(value=7, unit="")},
        "review",
        "c.n is 7",
    ),
    "a small whole number that a sentence quotes": (
        {
            "claims": claim(value=7, unit=""),
            "prose": {"x": "By this rule it was so in {c.n} of the years before."},
        },
        "review",
        "c.n is 7 in 'By this rule it was so in 7 of the years before.'",
    ),
    "a longest of something": (
        {"claims": claim(id="c.longest", value=312.5, unit="working days", decimals=1)},
        "review",
        "please confirm that none of these is the lowest or highest value of a record: "
        "c.longest is 312.5",
    ),
    "a smallest p-value": (
        {"claims": claim(id="c.p_smallest", value=0.008, unit="p", decimals=3)},
        "pass",
        "",
    ),
    "a part that was never compared with its whole": (
        {
            "tables": {
                "all": table([{"g": "North", "n": 102}], population="p"),
                "left": table(
                    [{"g": "North", "n": 101, "whole": 400}],
                    within="p",
                    population="matched",
                    parts_of={"n": "whole"},
                ),
            }
        },
        "fail",
        "less Children of North can be found to lie from 0 to 4",
    ),
    "many numbers of one kind": (
        {
            "claims": {
                k: v
                for i in range(5)
                for k, v in claim(id=f"c.m{i}.reports", value=i + 2, unit="").items()
            }
        },
        "review",
        "5 numbers named 'reports' (such as c.m0.reports), from 2 to 6, all made by test",
    ),
    "a count typed into a check": (
        {"checks": check_("Only 7 children moved.")},
        "fail",
        "'7 children'",
    ),
    "a count typed into prose": ({"prose": {"x": "We saw 12 referrals."}}, "fail", "12 referrals"),
    "an identifier in a check": (
        {"checks": check_("The child C000431 moved.")},
        "fail",
        "C000431",
    ),
    "a path in prose": ({"notes": {"x": "read from /home/ann/x"}}, "fail", "/home/ann/x"),
    "a unit in a check": ({"checks": check_("It rose by 2 per 100 children.")}, "pass", ""),
    "whole numbers as labels": (
        {
            "tables": {
                "t": table([{"g": "a", "ways": 3, "n": 40}], ("g", "ways")),
            }
        },
        "review",
        "as small as 3",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_pass_fail_or_go_to_a_person(case: str, tmp_path) -> None:
    content, status, says = CASES[case]
    made = result(**content)
    worst = {"fail": 0, "review": 1, "pass": 2}
    outputs = judge(bundle([made]))
    found = min(outputs, key=lambda o: worst.get(o.status, 3))
    assert found.status == status, outputs
    assert says in " ".join(found.reasons)
    made.save(tmp_path / "results" / "c.json")
    out = tmp_path / "out"
    if status != "fail":
        list(release(out, tmp_path / "results"))
        assert (out / LOG).is_file()
        return
    with pytest.raises(SosError, match="nothing was released"):
        list(release(out, tmp_path / "results"))
    assert not out.exists()
    log = (tmp_path / "out-refused" / "log.md").read_text("utf-8")
    assert says in log
    assert not list((tmp_path / "out-refused").rglob("*.csv"))[1:], "the log alone"
    with pytest.raises(SosError, match="not a release"):
        check(tmp_path / "out-refused")


def test_a_failed_release_leaves_the_last_good_one(tmp_path) -> None:
    results = tmp_path / "results"
    result(tables={"t": table(OPEN)}).save(results / "c.json")
    out = tmp_path / "out"
    list(release(out, results))
    before = (out / LOG).read_bytes()
    result(claims=claim(value=7)).save(results / "c.json")
    with pytest.raises(SosError):
        list(release(out, results))
    assert (out / LOG).read_bytes() == before
    assert not list(tmp_path.glob(".*tmp"))


def test_paths_of_parameters_stand_nowhere_in_results() -> None:
    made = result(parameters={"extract": "/home/jsmith/x", "study": "C:\\s.toml", "draws": 99})
    assert made.parameters["draws"] == 99
    text = made.to_json()
    assert "jsmith" not in text
    assert "s.toml" not in text
    assert dict(made.parameters) == without_places(made.parameters)


# --- a book without records --------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_records(built_site, released, tmp_path_factory) -> BuiltBook:
    """A copy of the project that holds no extract, no cells and no results."""
    copy = tmp_path_factory.mktemp("elsewhere") / "book"
    skip = shutil.ignore_patterns("extract", "cells", "truth", "_build", "results", "_extra")

    def ignore(folder: str, names: list[str]) -> set[str]:
        # Packages are called as folders of data are.
        inside = Path(folder).relative_to(built_site.root)
        return skip(folder, names) if inside.parts in ((), ("data",), ("book",)) else set()

    shutil.copytree(built_site.root, copy, ignore=ignore)
    shutil.rmtree(copy / "book" / "chapters", ignore_errors=True)
    shutil.copytree(released, copy / "release")
    return BuiltBook(copy, copy / "_build" / "html", "")


def test_a_chapter_from_a_release_is_the_chapter_from_records(without_records, built_site) -> None:
    made = sos(
        without_records.root, "build", "--from-release", "release", "--only", "rq4_kinship_care"
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "every checksum whole" in made.stdout
    name = Path("book", "chapters", "rq4_kinship_care.ipynb")
    assert (without_records.root / name).read_bytes() == (built_site.root / name).read_bytes()
    assert not (without_records.root / "data" / "extract").exists()


@pytest.mark.full
def test_the_book_from_a_release_shows_the_same_numbers(without_records, built_site) -> None:
    made = sos(without_records.root, "build", "--from-release", "release")
    assert made.returncode == 0, made.stdout + made.stderr
    pages = sorted(p for p in built_site.site.rglob("*.html") if "_static" not in p.parts)
    assert len(pages) > 20
    for page in pages:
        twin = without_records.site / page.relative_to(built_site.site)
        assert twin.read_text("utf-8") == page.read_text("utf-8"), page.name
    for file in (built_site.site / "downloads").rglob("*"):
        if file.is_file():
            twin = without_records.site / file.relative_to(built_site.site)
            assert twin.read_bytes() == file.read_bytes(), file.name
    clean = sos(without_records.root, "verify", "--disclosure")
    assert clean.returncode == 0, clean.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from-release", "nowhere"], "no release at"),
        (["--from-release", "release", "--extract", "x"], "reads no records"),
        (["--from-release", "release", "--only", "rq9"], "no chapter 'rq9'"),
    ],
)
def test_a_wrong_request_gets_one_plain_line(without_records, arguments, says) -> None:
    made = sos(without_records.root, "build", *arguments)
    assert made.returncode == 2, made.stdout + made.stderr
    assert says in made.stderr
    assert made.stderr.count("\n") == 1


def test_the_log_as_a_table_holds_no_formula() -> None:
    """A spreadsheet of the output checker would run a title that begins like one."""
    output = Output("x", "table", "=HYPERLINK(1)", "y", "restricted", "", "pass", ("-1+1", "more"))
    (read,) = csv.DictReader(as_csv([row(output, {})]).splitlines())
    assert read["what"] == "'=HYPERLINK(1)"
    assert read["reasons"] == "'-1+1; more"
