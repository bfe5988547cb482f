"""The public files: fetched, found in folders and ZIPs, and read in every layout.

All on small made-up files in the layouts of the published ones.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from public_files import HEADER, REFERRALS, SOURCES, line, write

from sos_analysis.errors import RecordsError
from sos_analysis.records import public


# --- fetching ------------------------------------------------------------------------------------
class Server:
    """Serves one file from memory, and counts how often it is asked."""

    def __init__(self) -> None:
        self.body, self.claimed, self.status, self.asked, self.paths = b"", None, 200, 0, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.paths.append(self.path)
                # The first answer may be a failure, to see whether it is tried again.
                status = outer.status if outer.asked > outer.fail_first else 503
                self.send_response(status)
                length = len(outer.body) if outer.claimed is None else outer.claimed
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *args: object) -> None:
                pass

        self.fail_first = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


CONTENT = b"time_period\n2019\n" * 20_000
SERVED = replace(SOURCES, files=(replace(REFERRALS, sha256=hashlib.sha256(CONTENT).hexdigest()),))


def test_fetch_downloads_checks_and_does_not_fetch_twice(server: Server, tmp_path: Path) -> None:
    server.body, server.fail_first = CONTENT, 1
    said: list[str] = []
    dest = public.fetch_public(
        tmp_path / "new", said.append, host=server.url, retries=1, sources=SERVED
    )
    assert (dest / REFERRALS.name).read_bytes() == CONTENT
    assert [p.name for p in dest.iterdir()] == [REFERRALS.name]  # no temporary file left
    assert server.asked == 2  # one failure, one retry
    # The path below the host is that of the pinned commit in the public repository.
    assert server.paths[0] == f"/{REFERRALS.repository}/{REFERRALS.commit}/{REFERRALS.path}"
    assert any("100%" in s for s in said)
    assert said[-1].endswith("SHA-256 as expected")
    public.fetch_public(dest, said.append, host=server.url, retries=0, sources=SERVED)
    assert server.asked == 2
    assert said[-1].endswith("there already")


@pytest.mark.parametrize("fault", ["wrong hash", "truncated", "missing", "unreachable"])
def test_failed_fetch_says_why_and_leaves_files_alone(
    server: Server, tmp_path: Path, fault: str
) -> None:
    host = server.url
    server.body = CONTENT
    if fault == "wrong hash":
        server.body = CONTENT + b"2020\n"
        reason = "not the pinned one"
    elif fault == "truncated":
        server.body, server.claimed = CONTENT[:5000], len(CONTENT)
        reason = "broke off"
    elif fault == "missing":
        server.status, reason = 404, "answered 404"
    else:
        server.server.shutdown()
        server.server.server_close()
        reason = "no answer"
    earlier = tmp_path / REFERRALS.name
    earlier.write_bytes(b"an earlier release")
    with pytest.raises(RecordsError) as caught:
        public.fetch_public(tmp_path, host=host, retries=0, timeout=5, sources=SERVED)
    message = str(caught.value)
    assert REFERRALS.name in message
    assert reason in message
    assert "--public-data" in message  # the remedy
    assert earlier.read_bytes() == b"an earlier release"
    assert [p.name for p in tmp_path.iterdir()] == [REFERRALS.name]


# --- finding -------------------------------------------------------------------------------------
def test_release_and_own_file_of_sources(tmp_path: Path, server: Server) -> None:
    with pytest.raises(RecordsError, match=r"no release .*'2052'; known: '2025'"):
        public.fetch_public(tmp_path, release="2052")
    text = public.SOURCES.read_text(encoding="utf-8").replace(REFERRALS.sha256, "0" * 64)
    own = tmp_path / "own.toml"
    own.write_text(text.replace('name = "2025"', 'name = "mine"').replace(
        'default_release = "2025"', 'default_release = "mine"'
    ), encoding="utf-8")  # fmt: skip
    assert public.public_sources(own).release == "mine"
    with pytest.raises(RecordsError, match=r"c1_.*SHA-256 should be 000"):
        public.fetch_public(
            tmp_path / "to", release=str(own), host=server.url, retries=0, timeout=5
        )


def test_derived_files_are_not_fetched(tmp_path: Path) -> None:
    derived = [f for f in SOURCES.pinned if not f.fetch]
    assert {f.id for f in derived} == {"lait", "ofsted"}
    said: list[str] = []
    public.fetch_public(tmp_path, said.append, sources=replace(SOURCES, files=tuple(derived)))
    assert list(tmp_path.iterdir()) == []
    assert all("not published as such" in s for s in said)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sha256 =", "sha265 =", r"releases\[0\]\.files\[0\]\.sha265: unknown key.*'sha256'"),
        ('table = "plans"', 'table = "plan"', r"files\[2\]\.table.*'plans'"),
        ('weight = "population"', 'weight = "populace"', r"outcomes\[4\]\.weight.*table"),
        ('kind = "reports"', 'kind = "report"', r"tables\[10\]\.kind.*'reports'"),
        ('good = "up"', 'good = "upwards"', r"outcomes\[3\]\.good"),
        ('default_release = "2025"', 'default_release = "2026"', "default_release.*'2025'"),
    ],
)
def test_sources_name_a_wrong_key_or_word(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = public.SOURCES.read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / "public_sources.toml"
    broken.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecordsError, match=message):
        public.public_sources(broken)


def test_folder_may_be_flat_or_nested_and_hold_another_release(tmp_path: Path) -> None:
    with pytest.raises(public.AbsentError, match="no such folder"):
        public.find_file(tmp_path / "nowhere", REFERRALS)
    near = write(tmp_path / REFERRALS.name.replace("c1_", "C1-"), [line(2018, "901")])
    with pytest.raises(public.AbsentError, match=r"is not there.*Did you mean 'C1-"):
        public.find_file(tmp_path, REFERRALS)
    near.unlink()
    later = REFERRALS.name.replace("2025", "2026")
    nested = write(tmp_path / "a" / "b" / later, [line(2018, "901")])
    assert public.find_file(tmp_path, REFERRALS).path == nested
    second = write(tmp_path / "old" / REFERRALS.name.replace("2025", "2024"), [line(2018, "901")])
    with pytest.raises(RecordsError, match="several files"):
        public.find_file(tmp_path, REFERRALS)
    second.unlink()
    exact = write(tmp_path / REFERRALS.name, [line(2018, "901")])
    assert public.find_file(tmp_path, REFERRALS).path == exact


def test_zip_of_a_release_is_read_by_itself_or_in_a_folder(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.csv", [line(2018, "901", rereferral_percent=31)])
    archive = tmp_path / "download" / "children-in-need.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as out:
        out.write(plain, f"data/{REFERRALS.name.replace('2025', '2026')}")
        out.writestr("data-guidance/data-guidance.txt", "words")
    for place in (archive, archive.parent):
        found = public.find_file(place, REFERRALS)
        assert found.name.endswith("2013_to_2026.csv")
        assert found.sha256() == hashlib.sha256(plain.read_bytes()).hexdigest()
        read = public.read_statistics(found, REFERRALS)
        assert read.values["rereferral_percent"].tolist() == [31.0]
    archive.write_bytes(b"no archive")
    with pytest.raises(RecordsError, match="not a ZIP file"):
        public.find_file(archive, REFERRALS)
    packed = tmp_path / f"{REFERRALS.name}.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert len(public.read_statistics(public.locate(packed), REFERRALS).values) == 1


# --- reading -------------------------------------------------------------------------------------
def test_reader_binds_by_name_and_reads_codes(tmp_path: Path) -> None:
    rows = [
        line(2018, "901", rereferral_percent="21.5", no_further_action_percent="c"),
        line(2019, "901", rereferral_percent="low", not_in_need_percent=":"),
        line(2019, "902", rereferral_percent="", no_further_action_percent=" 7 "),
    ]
    path = write(tmp_path / REFERRALS.name, rows, list(reversed(HEADER)))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # byte order mark
    read = public.read_statistics(public.locate(path), REFERRALS)
    assert read.values["year"].tolist() == [2018, 2019, 2019]
    assert read.values["rereferral_percent"].fillna(-1).tolist() == [21.5, 0.0, -1]
    assert read.values["no_further_action_percent"].fillna(-1).tolist() == [-1, 100, 7]
    assert read.codes["no_further_action_percent"].tolist() == ["c", "", ""]
    assert read.codes["rereferral_percent"].tolist() == ["", "low", "blank"]
    assert not read.pinned


#: Headers as published: children in need in the 2024 release, children looked after in three.
C1_2024 = (
    "time_period,time_identifier,geographic_level,country_code,country_name,region_code,"
    "region_name,old_la_code,new_la_code,la_name,category,Referrals,Referrals_rate,Re_referrals,"
    "Re_referrals_percent,No_Further_Action,No_Further_Action_percent,Not_in_Need,"
    "Not_in_Need_percent,Referrals_child,Referrals_child_rate,Re_referrals_child,"
    "Re_referrals_child_percent"
)
PLACES = (
    "time_period,time_identifier,geographic_level,country_code,country_name,region_code,"
    "region_name,old_la_code,la_name,new_la_code"
)
FIRST = "2024,Reporting year,Local authority,E92000001,England,E12000001,Somewhere"


def test_layouts_of_two_releases_mean_the_same(tmp_path: Path) -> None:
    def read(name: str, table: str, text: str) -> public.Statistics:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8-sig")
        return public.read_statistics(public.locate(path), SOURCES.file(table))

    values = "400,55.5,80,20,c,c,100,25,350,50.1,70,20"
    old = read(
        "c1.csv", "referrals",
        f"{C1_2024}\n{FIRST},901,E901,Place,Referrals and Re-referrals,{values}\n",
    )  # fmt: skip
    row = old.values.iloc[0]
    assert (row["referral_count"], row["rereferral_percent"], row["not_in_need_count"]) == (
        400, 20, 100,
    )  # fmt: skip
    assert old.codes["no_further_action_percent"].tolist() == ["c"]

    # The label of the rows moved with the column: 'at 31 March', 'on 31 March'.
    cla = [
        ("population_count,population_estimate,number,rate_per_10000", "at"),
        ("population_type,population_estimate,children_count,rate_per_10000", "on"),
    ]
    for names, word in cla:
        rows = "\n".join(
            f"{FIRST},901,Place,E901,{label},20417,{number},{rate}"
            for label, number, rate in (
                ("Children ceasing to be looked after each year", 114, 56),
                (f"Children looked after {word} 31 March each year", 334, 164),
            )
        )
        made = read("cla.csv", "looked_after", f"{PLACES},{names}\n{rows}\n")
        assert made.values["children_count"].tolist() == [334]

    # 'characteristic' held in 2023 what 'breakdown' holds in 2025, and Gender became Sex.
    both = []
    for names, topic in (
        ("cla_group,characteristic,number,percentage", "Gender"),
        ("characteristic,breakdown,children_count,children_percent", "Sex"),
    ):
        text = f"{PLACES},{names}\n{FIRST},901,Place,E901,{topic},Female,47,15\n"
        for table in ("looked_after_characteristics", "starting_characteristics"):
            made = read(f"{table}.csv", table, text)
            both.append(
                made.values[["characteristic", "breakdown", "children_count"]].values.tolist()
            )
    assert both == [[["Sex", "Female", 47.0]]] * 4


def test_near_spelling_of_a_column_is_the_column(tmp_path: Path) -> None:
    drifted = [
        c.replace("rereferral_percent", "Rereferral_Percentage").replace("la_name", "LA name")
        for c in HEADER
    ]
    rows = [dict(zip(drifted, line(2018, "901", rereferral_percent=3).values(), strict=True))]
    path = write(tmp_path / "c1.csv", rows)
    read = public.read_statistics(public.locate(path), REFERRALS)
    assert read.values["rereferral_percent"].tolist() == [3.0]


def test_reader_names_what_is_wrong(tmp_path: Path) -> None:
    good = [line(2018, "901"), line(2019, "901")]

    def refused(rows: list[dict[str, object]], header: list[str], *parts: str) -> None:
        path = write(tmp_path / "c1.csv", rows, header)
        with pytest.raises(RecordsError) as caught:
            public.read_statistics(public.locate(path), REFERRALS)
        for part in ("c1.csv", *parts):
            assert part in str(caught.value)

    drifted = [c.replace("rereferral_percent", "rereferrals_share") for c in HEADER]
    refused(good, drifted, "'rereferral_percent' is missing", "'rereferrals_share'", "layouts")
    refused(good, [*HEADER, "sex"], "unknown column 'sex'", "ignored")
    refused(good, [*HEADER, "referral_counts"], "Did you mean 'referral_count'")
    refused(good, [*HEADER, "la_name"], "'la_name' occurs twice")
    refused([*good, line(2019, "901")], HEADER, "line 4", "twice in 2019")
    refused([line(2018, "901", not_in_need_percent="n/a")], HEADER, "line 2", "'n/a'", "code")
    refused([line(2018, "901", time_period="201819")], HEADER, "line 2", "'201819'")
    refused([line(2018, "901", geographic_level="Ward")], HEADER, "line 2", "'Ward'")
    refused([line(2018, "901", category="Referrals")], HEADER, "category", "[tables.keep]")
    path = write(tmp_path / "c1.csv", good)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(RecordsError, match=r"line 3: .*cut short"):
        public.read_statistics(public.locate(path), REFERRALS)


# --- layouts of their own ------------------------------------------------------------------------
def test_neighbours_in_both_published_forms(tmp_path: Path) -> None:
    near = [str(c) for c in range(801, 811)]
    old = "LA num,LA Name,LA number,GOInd,GOReg," + ",".join(f"SN{i},SNP" for i in range(1, 11))
    new = "old_la_code,la_name,region_ind,region_name," + ",".join(
        f"SN_{i},SN_{i}P" for i in range(1, 11)
    )
    pairs = ",".join(f"{code},Close" for code in near)
    for header, lead in ((f"{old},", "901,Place,901,3,There"), (new, "901,Place,3,There")):
        path = tmp_path / "n.csv"
        path.write_text(f"{header}\n{lead},{pairs}{',' * header.endswith(',')}\n,,\n", "utf-8-sig")
        assert public.read_neighbours(public.locate(path)) == {"901": tuple(near)}
    path.write_text(f"{new}\n901,Place,3,There,{pairs.replace('801', 'Bath')}\n", "utf-8")
    with pytest.raises(RecordsError, match="line 2: neighbour 'Bath'"):
        public.read_neighbours(public.locate(path))
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(RecordsError, match="no column with the authority's code"):
        public.read_neighbours(public.locate(path))


def test_excerpt_and_reports(tmp_path: Path) -> None:
    path = tmp_path / "lait.csv.gz"
    text = (
        "measure_code,year,area,old_la_code,region,value\nLAC,2015,P,901,R,60\nLAC,2016,P,901,R,-\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    made = public.read_lait(public.locate(path))
    assert made["value"].fillna(-1).tolist() == [60, -1]
    assert made["code"].tolist() == ["", "x"]
    for old, new, message in (
        (",60", ",sixty", "'sixty' is no number"),
        ("2016", "2015", "twice in 2015"),
        ("old_la_code", "la_code", "'old_la_code' is missing"),
    ):
        path.write_bytes(gzip.compress(text.replace(old, new).encode()))
        with pytest.raises(RecordsError, match=message):
            public.read_lait(public.locate(path))
    path.write_bytes(b"no gzip")
    with pytest.raises(RecordsError, match="cannot be unpacked"):
        public.read_lait(public.locate(path))
    reports = tmp_path / "reports.csv"
    reports.write_text(
        "old_la_code,published,n_signs_of_safety\n901,2015-01-01,0\n901,2019-01-01,2\n"
        "902,2018-05-05,\n903,2021-01-01,9\n",
        encoding="utf-8",
    )
    # 903 was first reported on after the study: nothing is known of it.
    assert public.read_reports(public.locate(reports)) == {"901": True, "902": False}
