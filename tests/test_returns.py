"""Statutory returns and files as they come: read back as written, repaired aloud, or refused."""

from __future__ import annotations

import gzip
import io
import re
import sqlite3
import tempfile
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns_files import cin_xml, ssda903_csv, ssda903_xml, write
from test_records import extract, rows

from sos_analysis.__main__ import main
from sos_analysis.errors import RecordsError
from sos_analysis.records.extract import open_extract
from sos_analysis.records.files import days
from sos_analysis.records.files.staging import mask
from sos_analysis.records.inspection import inspect
from sos_analysis.records.returns import cin_census, cin_layout, ssda903, ssda903_layout

D = date
SECRET = "Zq7Secret"  # stands for whatever must never be shown


# --- a child in every form ------------------------------------------------------------------------
def census(year: int, referrals: list[dict[str, Any]], **more: Any) -> str:
    sex = {"Sex": "F"} if year >= 2025 else {"GenderCurrent": "2"}
    child = {
        **{"LAchildID": SECRET, "PersonBirthDate": D(2010, 5, 1), **sex, "Ethnicity": "WBRI"},
        **{"Disability": ["NONE"], "CINdetails": referrals, **more},
    }
    return cin_xml(year, [child])


OPEN = {
    **{"CINreferralDate": D(2018, 5, 1), "ReferralSource": "6", "PrimaryNeedCode": "n1 "},
    **{"ReferralNFA": False, "DateOfInitialCPC": D(2018, 5, 20)},
}
CLOSED = {**OPEN, "CINclosureDate": D(2019, 6, 1), "ReasonForClosure": "RC7"}
INNER = {
    "Assessments": [
        {
            "AssessmentActualStartDate": D(2018, 5, 2),
            "AssessmentAuthorisationDate": D(2018, 6, 5),
        }
    ],
    "Section47": [
        {
            "S47ActualStartDate": D(2018, 5, 6),
            "DateOfInitialCPC": D(2018, 5, 21),
            "ICPCnotRequired": False,
        }
    ],
    "ChildProtectionPlans": [
        {"CPPstartDate": D(2018, 5, 22), "NumberOfPreviousCPP": 1},
        {"CPPstartDate": D(2019, 2, 1), "CPPendDate": D(2019, 5, 1), "NumberOfPreviousCPP": 2},
    ],
}
HEADER = [{"CHILD": SECRET, "SEX": "2", "DOB": D(2010, 5, 1), "ETHNIC": "WBRI", "UPN": "X"}]
EPISODES = [
    {
        **{"CHILD": SECRET, "DECOM": D(2018, 6, 1), "RNE": "S", "LS": "C1", "CIN": "N1"},
        **{"PLACE": "Q1", "DEC": D(2018, 9, 1), "REC": "X1"},
    },
    {
        **{"CHILD": SECRET, "DECOM": D(2018, 9, 1), "RNE": "P", "LS": "C2", "CIN": "N1"},
        **{"PLACE": "u3 ", "DEC": D(2019, 1, 5), "REC": "E4A"},
    },
    {
        **{"CHILD": SECRET, "DECOM": D(2019, 2, 1), "RNE": "S", "LS": "V4", "CIN": "N2"},
        **{"PLACE": "U6"},
    },
]
FILES: dict[str, str | bytes] = {
    "2019/census.xml": census(2019, [{**OPEN, **INNER}]),
    "2020/census.xml": census(2020, [CLOSED]),
    "care/header.csv": ssda903_csv("Header", HEADER),
    "care/episodes.csv": ssda903_csv("Episodes", EPISODES),
    "care/uasc.csv": ssda903_csv("UASC", [{**HEADER[0], "DUC": D(2028, 5, 1)}]),
    "care/reviews.csv": ssda903_csv("Reviews", [{"CHILD": SECRET, "REVIEW": D(2018, 7, 1)}]),
}


@pytest.fixture(scope="module")
def returns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("returns"), FILES)


def test_returns_of_two_years_and_two_kinds_become_one_set_of_records(returns: Path) -> None:
    with open_extract(returns) as records:
        (child,) = rows(records, "children")
        assert (child["la"], child["child_id"], child["dob"]) == ("801", SECRET, D(2010, 5, 1))
        assert (child["sex"], child["ethnicity"], child["disabled"], child["uasc"]) == (
            *("female", "White", False, True),
        )
        (referral,) = rows(records, "referrals")
        assert referral["closure_reason"] == "RC7"
        assert referral["primary_need"] == "N1"
        assert (referral["nfa_flag"], referral["has_icpc"], referral["has_plan"]) == (
            *(False, True, True),
        )
        # Returns are named by their first year in every form.
        assert (referral["first_return"], referral["last_return"]) == (2018, 2019)
        assert {(r["icpc_date"], r["source"]) for r in rows(records, "conferences")} == {
            (D(2018, 5, 20), "cin"),
            (D(2018, 5, 21), "s47"),
        }
        assert {r["n_previous"] for r in rows(records, "cpp")} == {1, 2}
        (assessment,) = rows(records, "assessments")
        assert assessment["end_date"] == D(2018, 6, 5)
        periods = sorted(rows(records, "care_periods"), key=lambda r: r["period_start"])
        assert [(p["period_start"], p["period_end"], p["period_end_reason"]) for p in periods] == [
            (D(2018, 6, 1), D(2019, 1, 5), "E4A"),
            (D(2019, 2, 1), None, None),
        ]
        assert {e["placement"] for e in rows(records, "episodes")} == {"Q1", "U3", "U6"}
        told = {(p.table, p.field, p.message): p.count for p in records.problems}
        assert told["care", "placement", "was padded or in small letters"] == 1
        assert told["care", "legal_status", "is a short break (V3, V4)"] == 1
        assert any("Reviews" in p.message for p in records.problems)


def test_xml_and_zip_of_care_give_the_same_records(returns: Path, tmp_path: Path) -> None:
    same = {name: content for name, content in FILES.items() if not name.startswith("care")}
    uasc = [{"CHILD": SECRET}]
    same["care.xml.gz"] = gzip.compress(ssda903_xml(HEADER, EPISODES, uasc).encode())
    folder = write(tmp_path / "xml", same)
    packed = tmp_path / "records.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, f"inside/{file.relative_to(folder)}")
    with open_extract(returns) as one, open_extract(packed) as other:
        for name in ("children", "referrals", "episodes", "care_periods", "cpp"):
            assert sorted(map(str, rows(one, name))) == sorted(map(str, rows(other, name)))


# --- properties of the readers --------------------------------------------------------------------
DAYS = st.dates(D(2000, 1, 1), D(2030, 12, 31))
MAYBE = st.none() | DAYS
NAMES = st.text("ABCabc0123456789-/&<>'é ", min_size=1, max_size=12).map(str.strip).filter(bool)


def staged(found: Any, kind: str, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    table = pq.read_table(found.staged[kind]).select(names)
    return [tuple(row[n] for n in names) for row in table.to_pylist()]


@settings(max_examples=60, deadline=None)
@given(
    year=st.sampled_from(list(cin_layout.YEARS)),
    words=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    children=st.lists(st.tuples(NAMES, MAYBE, DAYS, MAYBE, MAYBE, st.booleans()), max_size=5),
)
def test_any_census_is_read_as_it_was_written(
    year: int, words: bool, encoding: str, children: list[tuple[Any, ...]]
) -> None:
    nodes, expected = [], []
    for name, dob, referral, closure, icpc, nfa in children:
        detail = {"CINreferralDate": referral, "CINclosureDate": closure, "ReferralNFA": nfa}
        inner = [{"S47ActualStartDate": referral, "DateOfInitialCPC": icpc}]
        nodes.append(
            {
                "LAchildID": name,
                "PersonBirthDate": dob,
                "CINdetails": [{**detail, "Section47": inner}],
            }
        )
        flag = ("true" if nfa else "false") if words else str(int(nfa))
        expected.append(("801", name, str(year - 1), dob, referral, closure, flag, icpc))
    made = cin_xml(year, nodes, words=words, namespace="urn:x" if words else "")
    made = made.replace('encoding="UTF-8"', f'encoding="{encoding.removesuffix("-sig")}"')
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "census.xml"
        path.write_bytes(made.encode(encoding))
        found = cin_census.stage_census(path, 0, Path(scratch))
        names = (*("la", "child_id", "return_year", "dob", "referral_date", "closure_date", "nfa"),)
        got = staged(found, "cin", names)
        icpcs = [r[0] for r in staged(found, "section47", ("icpc_date",))]
        assert [(*r, i) for r, i in zip(got, icpcs, strict=True)] == expected
        assert not any(told.faults for told in found.told.values())


@settings(max_examples=60, deadline=None)
@given(
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    episodes=st.lists(
        st.tuples(
            NAMES,
            DAYS,
            MAYBE,
            st.sampled_from(ssda903_layout.CODES["PLACE"]),
            st.sampled_from(ssda903_layout.CODES["LS"]),
        ),
        max_size=6,
    ),
)
def test_any_care_return_is_read_as_it_was_written(
    encoding: str, episodes: list[tuple[Any, ...]]
) -> None:
    nodes = [
        {"CHILD": c, "DECOM": a, "DEC": b, "PLACE": p, "LS": s, "RNE": "S"}
        for c, a, b, p, s in episodes
    ]
    names = ("child_id", "episode_start", "episode_end", "placement", "legal_status")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "episodes.csv"
        path.write_bytes(ssda903_csv("Episodes", nodes).encode(encoding))
        file, table = ssda903.read_table(path)
        assert table is not None
        assert table.name == "Episodes"
        found = ssda903.stage_table(file, table, 0, Path(scratch), authority="801")
        assert staged(found, "care", names) == episodes
        path = Path(scratch) / "return.xml"
        header = [{"CHILD": c} for c in dict.fromkeys(e[0] for e in episodes)]
        path.write_text(ssda903_xml(header, nodes), encoding="utf-8")
        found = ssda903.stage_xml(path, 1, Path(scratch), authority="801")
        assert sorted(map(str, staged(found, "care", names))) == sorted(map(str, episodes))


@given(day=st.dates(D(1970, 1, 1), D(2069, 12, 31)))
def test_a_date_is_read_in_every_form_and_never_turned_round(day: date) -> None:
    for form in ("%Y-%m-%d", "%d/%m/%Y", "%d-%m-%y", "%d%b%Y", "%d-%b-%Y", "%Y-%m-%d 00:00:00.000"):
        assert days.read_day(day.strftime(form)).day == day
    american = days.read_day(day.strftime("%m/%d/%Y"))
    assert american.day == (D(day.year, day.day, day.month) if day.day <= 12 else None)
    assert american.month_first == (day.day > 12)


@given(st.text(max_size=30))
def test_a_mask_holds_no_letter_or_figure_of_the_text(value: str) -> None:
    shown = mask(value)
    assert len(shown) <= 21
    assert not re.search(r"[b-zB-Z0-8]", shown)


# --- the extract in other clothes -----------------------------------------------------------------
TREES = {
    2017: [{"child": "a", "ref": D(2017, 5, 1), "nfa": True, "fsm": 1}],
    2018: [
        {"child": "a", "ref": D(2018, 5, 1), "closed": D(2018, 6, 2), "why": "RC8", "need": "N4"},
        {"child": "b", "ref": D(2018, 7, 9), "plan": D(2018, 8, 1), "previous": 0},
    ],
}
EPISODE = {
    **{"CHILD_ID_ANON": "b", "date_episode_started": D(2018, 9, 3), "RNE": "S"},
    **{"legal_status": "C2", "placement": "U1", "dob_Year": 2010, "dob_Month": 4},
}


def test_the_extract_as_csv_or_database_gives_the_same_records(tmp_path: Path) -> None:
    plain = extract(tmp_path / "plain", TREES, care=[EPISODE])
    as_csv, base = tmp_path / "csv", tmp_path / "base" / "npd.duckdb"
    light = tmp_path / "light" / "npd.sqlite"
    for folder in (as_csv, base.parent, light.parent):
        folder.mkdir()
    with duckdb.connect(str(base)) as con, sqlite3.connect(light) as other:
        for file in plain.glob("*.parquet"):
            table = pq.read_table(file)
            con.execute(f"CREATE TABLE \"{file.stem}\" AS SELECT * FROM read_parquet('{file}')")
            names = ", ".join(f'"{n}"' for n in table.column_names)
            other.execute(f'CREATE TABLE "{file.stem}" ({names})')
            marks = ", ".join("?" * table.num_columns)
            values = [tuple(_plain(v) for v in r.values()) for r in table.to_pylist()]
            other.executemany(f'INSERT INTO "{file.stem}" VALUES ({marks})', values)
            # Day-first dates, Windows encoding, semicolons, an old name, a suffix, a prefix.
            frame = table.to_pandas().rename(
                columns={
                    "CIN_ReferralNFA": f"CIN_ReferralNFA_{file.stem[-2:]}",
                    "CIN_ReferralDate": "Recibido é",
                    "cin": "cla_cat_need",
                    "placement": "cla_placement",
                }
            )
            name = "Episode_final_CLA" if file.stem == "cla_episodes" else file.stem.upper()
            frame.to_csv(
                as_csv / f"{name}.csv",
                sep=";",
                index=False,
                encoding="cp1252",
                date_format="%d/%m/%Y",
            )
    (as_csv / "extract.toml").write_text('[columns]\nCIN_ReferralDate = "Recibido é"\n', "utf-8")
    with open_extract(plain) as one:
        for path in (as_csv, base, light):
            with open_extract(path) as records:
                for name in ("children", "referrals", "cpp", "episodes"):
                    assert sorted(map(str, rows(records, name))) == sorted(
                        map(str, rows(one, name))
                    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


# --- broken, hostile, empty -----------------------------------------------------------------------
GOOD = census(2019, [OPEN])
HEAD = "CHILD,DECOM,RNE,LS,CIN,PLACE,DEC,REC\r\n"
LINE = "c1,01/06/2018,S,C2,N1,U1,,\r\n"
BOMB = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
TURNED = "".join(f"c{i},03/{d}/2018,S,C2,N1,U1,,\r\n" for i, d in enumerate((5, 13, 25, 28)))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "holds no records this project knows. It is empty"),
        ({"notes.docx": b"x", "a.csv": "x,y\n1,2\n"}, "no file of records by its name"),
        ({"a.xml": GOOD[:400]}, "no well-formed XML at line"),
        ({"a.xml": GOOD.encode("utf-16")[2:60]}, "is no XML"),
        ({"a.xml": GOOD.replace("WBRI", "Wé").encode("cp1252")}, "no well-formed XML"),
        ({"a.xml": GOOD.replace("<Message>", BOMB + "<Message>")}, "document type or entities"),
        ({"a.xml": GOOD.replace("WBRI", "&x;")}, "no well-formed XML"),
        ({"a.xml": GOOD.replace("<LEA>801</LEA>", "")}, "Header/LEA is missing"),
        ({"a.xml": GOOD.replace("<LEA>801<", "<LEA>=cmd|'/c x'!A1<")}, "Header/LEA is no code"),
        ({"a.xml": GOOD.replace(">2019</Year>", ">next</Year>")}, "Header/Year is no year"),
        ({"a.xml": GOOD.replace(">CIN<", ">CLA<")}, "Header/Collection"),
        ({"a.xml": "no xml at all"}, "shows no element"),
        ({"a.xml": "<Massage><x/></Massage>"}, "Did you mean 'Message'"),
        ({"801/episodes.csv": HEAD + TURNED}, "month first (3 of 4"),
        ({"episodes.csv": HEAD + LINE}, "carry no authority"),
        ({"801/episodes.csv": HEAD.replace("DECOM", "DECON") + LINE}, "Did you mean 'DECON'"),
        ({"801/episodes.csv": HEAD + 'c1,"01/06/2018,S,C2,N1,U1,,\r\n' + LINE * 3}, "not closed"),
        ({"801/episodes.csv": HEAD}, "files of episodes have no rows"),
        ({"a.xml.gz": gzip.compress(GOOD.encode())[:-20]}, "read"),
        ({"a.duckdb": b"nothing"}, "cannot be read as a database"),
        ({"extract.toml": "[colums]\n", "a.xml": GOOD}, "Did you mean 'columns'"),
        ({"extract.toml": '[columns]\nCIN_ReferalDate = "x"\n', "a.xml": GOOD}, "CIN_ReferralDate"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    files: dict[str, str | bytes], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "x", files)
    folder.mkdir(exist_ok=True)
    with pytest.raises(RecordsError) as caught:
        open_extract(folder).close()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


def archive(names: list[str], content: bytes = b"x", **more: Any) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = more.get("attributes", 0)
            made.writestr(info, content)
    return held.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (archive(["../evil.csv"]), "points outside"),
        (archive(["a/../../evil.csv"]), "points outside"),
        (archive(["/etc/evil.csv"]), "points outside"),
        (archive(["C:\\evil.csv"]), "points outside"),
        (archive(["link.csv"], attributes=0o120777 << 16), "is a link"),
        (archive(["a.csv", "A.csv"]), "twice"),
        (archive(["a.csv"])[:-30], "no readable ZIP"),
        (b"PK but no archive", "no readable ZIP"),
    ],
)
def test_archives_with_path_tricks_are_refused_and_write_nothing(
    content: bytes, says: str, tmp_path: Path
) -> None:
    packed = tmp_path / "in" / "records.zip"
    packed.parent.mkdir()
    packed.write_bytes(content)
    with pytest.raises(RecordsError, match=says):
        open_extract(packed).close()
    assert [p.name for p in tmp_path.rglob("*.*")] == ["records.zip"]


def test_repairs_are_counted_with_place_and_shape_and_show_no_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = census(2019, [{**OPEN, "PrimaryNeedCode": SECRET, "CINreferralDate": "31/02/2018"}])
    lines = [
        f"{SECRET},2018-06-01,S,C2,N1,U1,,",  # another form of date
        f"{SECRET},01/09/18,S,=cmd|'/c x'!A1,N1,{SECRET},,",  # a formula, a name as code
        "12.0,01/06/2018,S,C2,N1,U1,,",
        f"{SECRET},too,few",
    ]
    folder = write(
        tmp_path / "x",
        {
            "a.xml": broken.replace("</Children>", f"<Child/>{SECRET}</Children>"),
            "801/episodes.csv": HEAD + "\r\n".join(lines),
            "801/header.csv": "CHILD,SEX,DOB,ETHNIC\r\n" + f"{SECRET},7,{SECRET},WBRI\r\n",
        },
    )
    page = tmp_path / "page.html"
    status = main(["check-extract", str(folder), "--html", str(page)])
    shown = capsys.readouterr()
    assert status == 1  # a row has too few fields: more than the rules settle
    with open_extract(folder) as records:
        told = {(p.table, p.field, p.message): p.count for p in records.problems}
        assert {r["child_id"] for r in rows(records, "episodes")} == {SECRET, "12"}
    assert told["cin", "referral_date", "is no date"] == 1
    assert told["cin", "primary_need", "is no need code (N0 to N9)"] == 1
    assert told["cin", "child_id", "is empty"] == 1
    assert told["care", "episode_start", "has a year of two figures"] == 1
    assert told["care", "episode_start", "is not written day first as the rest"] == 1
    assert told["care", "child_id", "was written as a decimal"] == 1
    assert told["care", "legal_status", "is no legal status of the list"] == 1
    assert told["people", "dob", "is no date"] == 1
    assert told["Episodes", "", "row has more or fewer fields than the header"] == 1
    html = page.read_text("utf-8")
    for output in (shown.out, shown.err, html):
        assert SECRET not in output
    assert "99/99/9999" in html
    assert "801/episodes.csv, row" in html
    assert "a.xml, child 1" in html
    assert "Not usable as it is" in shown.out


def test_a_wrong_value_far_down_is_found_and_named(tmp_path: Path) -> None:
    far = 120_000
    good = "c{},01/06/2018,S,C2,N1,U1,,\r\n"
    body = "".join(good.format(i) for i in range(far)) + "c,1st June,S,C2,N1,U1,,\r\n"
    path = tmp_path / "episodes.csv"
    path.write_text(HEAD + body, encoding="utf-8", newline="")
    file, table = ssda903.read_table(path)
    assert table is not None
    found = ssda903.stage_table(file, table, 0, tmp_path, authority="801")
    wrong = found.told["care"].faults["episode_start", "801"]
    assert (wrong.count, wrong.row, wrong.masked) == (1, far + 2, "9aa Aaaa")
    assert found.told["care"].rows == far + 1


@pytest.mark.parametrize("mark", ["", "no data"])
def test_an_authority_without_rows_or_a_return_without_care_is_said(
    mark: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "x", {"a.xml": GOOD})
    if mark:
        with pytest.raises(RecordsError, match="no rows of authority '802'"):
            open_extract(folder, authorities=["801", "802"]).close()
        return
    with open_extract(folder, authorities=["801"]) as records:
        assert any(p.table == "care" and "no rows of" in p.message for p in records.problems)
        assert rows(records, "care_periods") == []


def test_the_invented_samples_load() -> None:
    samples = Path(__file__).resolve().parents[2] / "shared" / "reference-data" / "samples"
    if not samples.is_dir():
        pytest.skip(f"the sector's invented samples are not at {samples}")
    seen = inspect(samples, authority="201")
    assert {(s.file, s.rows) for s in seen.sources} >= {
        ("fake_CIN_data.xml", 332),
        ("fake_ssda903_episodes.csv", 5050),
        ("fake_ssda903.xml.gz", 253),
    }
    assert any("Missing of the SSDA903 return" in p.message for p in seen.problems)
    counts = {name: sum(seen.rows[name].values()) for name in ("referrals", "episodes")}
    # 402 + 1 + 1 referrals of which one recurs in the next return; 5 050 + 459 episodes.
    assert counts == {"referrals": 403, "episodes": 5509}
    for line in (samples / "fake_ssda903_header.csv").read_text("utf-8").splitlines()[1:50]:
        assert line.split(",")[0] not in {word for p in seen.problems for word in p.sample.split()}


# --- an episode that later returns state otherwise ------------------------------------------------
def _lives(seed: int, children: int = 150) -> tuple[dict[int, list[dict[str, Any]]], list[Any]]:
    """Episodes of made-up children as returns of three years state them, and periods of care.

    Each child has runs of episodes that follow by X1. A return holds what was open in its year,
    as known at its end, and may code an episode otherwise than the return before did.
    """
    rng = np.random.default_rng(seed)
    years: dict[int, list[dict[str, str]]] = {2017: [], 2018: [], 2019: []}
    periods = []
    for number in range(children):
        day = date(2016, 4, 1) + timedelta(int(rng.integers(0, 900)))
        for _ in range(int(rng.integers(1, 4))):
            began, last = day, int(rng.integers(1, 4))
            for place in range(last):
                # Every eighth stay goes on the day it began, under another order.
                length = 0 if place < last - 1 and rng.random() < 0.125 else 1
                end = day + timedelta(length * int(rng.integers(1, 400)))
                reason = "X1" if place < last - 1 else "E8"
                told = {"CHILD": f"C{number}", "DECOM": day, "RNE": "L" if place else "S"}
                for year in years:
                    first, closing = date(year - 1, 4, 1), date(year, 3, 31)
                    if day > closing or end < first:
                        continue
                    codes = rng.choice(["C1", "C2", "V2"]), rng.choice(["U1", "U4", "K2"])
                    if not length:
                        codes = ("L1", "U4")
                    over = end <= closing
                    row = {**told, "CIN": "N1", "LS": codes[0], "PLACE": codes[1]}
                    years[year].append(row | ({"DEC": end, "REC": reason} if over else {}))
                day = end
            if began <= date(2019, 3, 31):
                periods.append((f"C{number}", began, day if day <= date(2019, 3, 31) else None))
            day += timedelta(int(rng.integers(1, 60)))
    return years, sorted(periods, key=str)


@pytest.mark.parametrize("named", [True, False])
def test_an_episode_coded_anew_by_a_later_return_splits_no_period(
    tmp_path: Path, named: bool
) -> None:
    """Periods are those lived, codes those of the last return, whatever names tell the years."""
    years, periods = _lives(7)
    for year, stated in years.items():
        folder = tmp_path / "801" / (str(year) if named else "abc"[year - 2017])
        folder.mkdir(parents=True)
        (folder / "Episodes.csv").write_text(ssda903_csv("Episodes", stated), encoding="utf-8")
    last: dict[tuple[str, date, bool], tuple[str, str]] = {}
    coded: set[tuple[Any, ...]] = set()
    for stated in years.values():
        for row in stated:
            passing = row["DECOM"] == row.get("DEC")
            last[row["CHILD"], row["DECOM"], passing] = (row["LS"], row["PLACE"])
            if not passing:
                coded.add((row["CHILD"], row["DECOM"], row["LS"], row["PLACE"]))
    with open_extract(tmp_path, authority="801") as records:
        made = records.tables["care_periods"].to_pyarrow().to_pylist()
        kept = records.tables["episodes"].to_pyarrow().to_pylist()
        notes = {(p.table, p.field): p.count for p in records.problems}
    assert sorted(((p["child_id"], p["period_start"], p["period_end"]) for p in made), key=str) == (
        periods
    )
    assert len(kept) == len(last)
    for row in kept:
        start = row["episode_start"]
        key = (row["child_id"], start, row["episode_end"] == start)
        assert (row["legal_status"], row["placement"]) == last[key]
    lasting = sum(not passing for *_, passing in last)
    assert notes["episodes", "legal_status, placement"] == len(coded) - lasting > 100
    assert ("episodes", "episode_end") not in notes
