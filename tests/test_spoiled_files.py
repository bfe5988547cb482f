"""Records of the wrong kind in the right place: each is one clear line, or a counted repair."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_records import BORN, LA, extract, rows

from sos_analysis.__main__ import main
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records.extract import open_extract
from sos_analysis.records.synthetic import generate
from sos_analysis.study import load_study

DAY = date(2014, 5, 1)
PLAN = {"child": "a", "ref": DAY, "plan": date(2014, 6, 1), "previous": 1, "closed": DAY}
FILE = "cin_2014.parquet"
FAR = "a day far away"
FORMULA = "=cmd|'/c calc'!A1"
Spoil = Callable[[Path], None]


def cell(column: str, value: Any, kind: pa.DataType, file: str = FILE) -> Spoil:
    """Puts one value, of a kind, into each row of a column."""

    def spoil(folder: Path) -> None:
        table = pq.read_table(folder / file)
        # Days are given by number: Python knows none of these.
        held = pa.array([value] * table.num_rows, pa.int32() if kind is FAR else kind)
        held = held.cast(pa.date32()) if kind is FAR else held
        at = table.column_names.index(column)
        pq.write_table(table.set_column(at, column, held), folder / file)

    return spoil


def more(column: str, file: str = FILE) -> Spoil:
    """Adds a column of days, of a name that should not be there."""

    def spoil(folder: Path) -> None:
        table = pq.read_table(folder / file)
        days = pa.array([DAY] * table.num_rows, pa.date32())
        pq.write_table(table.append_column(column, days), folder / file)

    return spoil


def years(**columns: Any) -> Spoil:
    """Covariates of authorities by year."""

    def spoil(folder: Path) -> None:
        told = {"la": [LA, "005"], "year": [2015, 2015], **columns}
        pq.write_table(pa.table(told), folder / "la_years.parquet")

    return spoil


def text(name: str, content: str | bytes) -> Spoil:
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw) and None


ZONED = pa.timestamp("us", "Europe/London")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cell("CIN_LA", FORMULA, pa.string()), "stands \"=aaa|'/a aaaa'!A9\""),
        (cell("CIN_LA", "+1", pa.string()), "has the code of an authority"),
        (cell("CIN_LA", "@x", pa.string()), "up to 12 letters or figures"),
        (cell("CIN_LA", "  ", pa.string()), "stands nothing"),
        (cell("CIN_LA", None, pa.string()), "stands nothing"),
        (cell("CIN_ReferralDate", datetime(2014, 5, 1), ZONED), "a time without a zone"),
        (cell("CIN_ReferralDate", [DAY], pa.list_(pa.date32())), "must be date"),
        (cell("CIN_LAchildID_Anon", ["a"], pa.list_(pa.string())), "string or integer"),
        (cell("CIN_ReferralNFA", {"x": 1}, pa.struct({"x": pa.int8()})), "boolean or integer"),
        (more("cin_referraldate"), "stands twice"),
        (more("CIN_ReferralDate"), "stands twice"),
        (years(year=["soon", "later"]), "'year' is of type string"),
        (years(la=[LA, LA]), "stand in more than one row"),
        (years(ofsted=["good", FORMULA]), "'ofsted' is of type string"),
        (years(white_british=[float("inf"), 1.0]), "'white_british' is infinite in 1 rows"),
        (text("la_years.parquet", b"la,year\n"), "no readable Parquet"),
        (text("manifest.json", "[" * 100_000), "not valid JSON"),
        (text("manifest.json", '["ab"]'), "holds no object"),
        (text("manifest.json", b'{"a": "\xe9"}'), "not valid JSON"),
        (text("extract.toml", b"\xff\xfe\x00a"), "no valid TOML"),
    ],
)
def test_what_no_rule_settles_is_refused_in_one_line(
    spoil: Spoil, says: str, tmp_path: Path
) -> None:
    folder = extract(tmp_path / "x", {2014: [PLAN]})
    spoil(folder)
    with pytest.raises(RecordsError) as caught:
        open_extract(folder).close()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "calc" not in str(caught.value)


@pytest.mark.parametrize(("children", "refused"), [(20, False), (21, True)])
def test_a_column_of_dates_that_are_none_is_refused_unless_they_are_few(
    children: int, refused: bool, tmp_path: Path
) -> None:
    whole = [{**PLAN, "child": f"c{i}"} for i in range(children)]
    folder = extract(tmp_path / "x", {2014: whole, 2015: [PLAN]})
    cell("CIN_ReferralDate", "some day", pa.string())(folder)
    if refused:
        with pytest.raises(RecordsError, match=r"21 of 21 dates .* looks like 'aaaa aaa'"):
            open_extract(folder)
    else:
        with open_extract(folder) as records:
            told = {(p.field, p.message): p.count for p in records.problems}
        assert told["referral_date", "is no date"] == children


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize(
    ("column", "value", "kind", "problem"),
    [
        # Days no calendar of ours holds: one engine fails on them, another counts with them.
        ("CIN_DOB", 2_147_483_000, FAR, ("cin", "dob", "is no date")),
        ("CIN_CINClosureDate", 5_000_000, FAR, ("cin", "closure_date", "is no date")),
        ("CIN_CPPstartDate", -300_000, FAR, ("cin", "plan_start", "is no date")),
        ("CIN_ReferralDate", -2_147_483_000, FAR, ("cin", "referral_date", "is no date")),
        *(
            ("CIN_NumberOfPreviousCPP", value, kind, ("cin", "n_previous", "is no whole number"))
            for value, kind in (
                (10**15, pa.int64()),
                (-1, pa.int8()),
                (0.5, pa.float64()),
                (float("inf"), pa.float64()),
                ("1e300", pa.string()),
                ("-1", pa.string()),
                (FORMULA, pa.string()),
            )
        ),
        ("CIN_YearOfBirth", 10**12, pa.int64(), None),
        ("CIN_ACADYR", FORMULA, pa.string(), None),
    ],
)
def test_values_that_are_none_are_left_empty_and_counted(
    column: str, value: Any, kind: Any, problem: Any, looked: bool, tmp_path: Path
) -> None:
    folder = extract(tmp_path / "x", {2014: [PLAN, {**PLAN, "child": "b"}]})
    cell(column, value, kind)(folder)
    with open_extract(folder, look=(lambda reading: None) if looked else None) as records:
        told = {(p.table, p.field, p.message): p.count for p in records.problems}
        if problem:
            assert told[problem] == 2
        assert {r["dob"] for r in rows(records, "children")} <= {BORN, None}
        assert {r["n_previous"] for r in rows(records, "cpp")} <= {1, None}
        for r in rows(records, "referrals"):
            assert r["referral_date"] == DAY
            assert r["closure_date"] in (DAY, None)


@pytest.mark.parametrize("name", ["file_row_number", "row_", "file_", "return_year", 'a"; --'])
@pytest.mark.parametrize("looked", [False, True])
def test_a_column_of_another_name_changes_nothing(name: str, looked: bool, tmp_path: Path) -> None:
    folder = extract(tmp_path / "x", {2014: [PLAN]})
    more(name)(folder)
    with open_extract(folder, look=(lambda reading: None) if looked else None) as records:
        (referral,) = rows(records, "referrals")
    assert (referral["first_return"], referral["referral_date"]) == (2014, DAY)


# --- what a command is asked to write -------------------------------------------------------------
def test_a_page_that_cannot_be_written_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The records do not even exist: the place of the page is looked at first."""
    folder = extract(tmp_path / "x", {2014: [PLAN]})
    taken = tmp_path / "taken"
    (taken / "page.html").mkdir(parents=True)
    places = {
        taken / "page.html": "is a folder; name a file in it",
        folder / FILE / "page.html": "the folder cannot be made",
    }
    for place, says in places.items():
        for verb in (["check-extract", str(folder), "--html"], ["local-profile", "/no", "--out"]):
            assert main([*verb, str(place)]) == 2
            shown = capsys.readouterr()
            assert says in shown.err
            assert shown.err.count("\n") == 1
            assert not shown.out
    assert main(["check-extract", ""]) == 2
    assert "the path is empty" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_the_page_that_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = extract(tmp_path / "x", {2014: [PLAN]})
    page = tmp_path / "page.html"
    page.write_text("before")

    def full(self: Path, *args: Any, **given: Any) -> None:
        self.touch()  # a scrap is left, as on a disk that fills up
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["check-extract", str(folder), "--html", str(page)]) == 2
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert told.count("\n") == 1
    assert page.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "x"]


@pytest.mark.parametrize("held", ["a file", "records", "a manifest of another"])
def test_made_up_records_replace_nothing_but_made_up_records(held: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if held == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "cin_2014.csv").write_text("mine")
        if held != "records":
            (out / "manifest.json").write_text('{"files": {}}')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ParameterError, match="holds something else than a made-up extract"):
        generate(load_study("synthetic"), out, tmp_path / "truth", scale=0.01, authorities=[LA])
    assert sorted(tmp_path.rglob("*")) == before
