"""The public companion: fetching, reading, estimating and releasing DfE statistics.

The published files are not in this repository. Tests that need them look in `SOS_PUBLIC_DATA`, in
`data/public` (where `fetch-public` puts them) and beside the repository, and say so when they are
in none of these; everything else runs on small made-up files in the same layout.
"""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sos_analysis.errors import RecordsError
from sos_analysis.records import public_statistics as public

SOURCES = public.public_sources()
REFERRALS = SOURCES.file("referrals")
HEADER = [*public.PLACE, "category", *REFERRALS.indicators]


def line(year: int, code: str, **values: object) -> dict[str, object]:
    """One row for a made-up authority; percentages default to plain numbers."""
    row: dict[str, object] = {
        "time_period": year,
        "time_identifier": "Reporting year",
        "geographic_level": "Local authority",
        "country_code": "E92000001",
        "country_name": "England",
        "region_code": "E12000001",
        "region_name": "Somewhere",
        "old_la_code": code,
        "new_la_code": f"E{code}",
        "la_name": f"Place {code}",
        "category": "Referrals and Re-referrals",
    }
    row |= dict.fromkeys(REFERRALS.indicators, 100)
    return row | values


def write(path: Path, rows: list[dict[str, object]], header: list[str] | None = None) -> Path:
    names = header or list(rows[0])
    body = [",".join(f'"{row.get(name, "")}"' for name in names) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(names), *body]) + "\n", encoding="utf-8")
    return path


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
    assert server.paths[0] == f"/{SOURCES.repository}/{SOURCES.commit}/{REFERRALS.path}"
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


# --- reading -------------------------------------------------------------------------------------
def test_reader_binds_by_name_and_reads_codes(tmp_path: Path) -> None:
    rows = [
        line(2018, "901", rereferral_percent="21.5", no_further_action_percent="c"),
        line(2019, "901", rereferral_percent="low", not_in_need_percent=":"),
        line(2019, "902", rereferral_percent="", no_further_action_percent=" 7 "),
    ]
    path = write(tmp_path / REFERRALS.name, rows, list(reversed(HEADER)))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # byte order mark
    read = public.read_statistics(path, REFERRALS)
    assert read.values["year"].tolist() == [2018, 2019, 2019]
    assert read.values["rereferral_percent"].fillna(-1).tolist() == [21.5, 0.0, -1]
    assert read.values["no_further_action_percent"].fillna(-1).tolist() == [-1, 100, 7]
    assert read.codes["no_further_action_percent"].tolist() == ["c", "", ""]
    assert read.codes["rereferral_percent"].tolist() == ["", "low", "blank"]
    assert not read.pinned


def test_reader_names_what_is_wrong(tmp_path: Path) -> None:
    good = [line(2018, "901"), line(2019, "901")]

    def refused(rows: list[dict[str, object]], header: list[str], *parts: str) -> None:
        path = write(tmp_path / "c1.csv", rows, header)
        with pytest.raises(RecordsError) as caught:
            public.read_statistics(path, REFERRALS)
        for part in ("c1.csv", *parts):
            assert part in str(caught.value)

    drifted = [c.replace("rereferral_percent", "rereferral_percentage") for c in HEADER]
    refused(good, drifted, "'rereferral_percent' is missing", "'rereferral_percentage'")
    refused(good, [*HEADER, "sex"], "unknown column 'sex'", "aliases")
    refused([*good, line(2019, "901")], HEADER, "line 4", "twice in 2019")
    refused([line(2018, "901", not_in_need_percent="n/a")], HEADER, "line 2", "'n/a'", "code")
    refused([line(2018, "901", time_period="201819")], HEADER, "line 2", "'201819'")
    refused([line(2018, "901", geographic_level="Ward")], HEADER, "line 2", "'Ward'")
    refused([line(2018, "901", category="Referrals")], HEADER, "category", "[files.keep]")
    path = write(tmp_path / "c1.csv", good)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(RecordsError, match=r"line 3: .*cut short"):
        public.read_statistics(path, REFERRALS)
    # A renamed column is read once the sources name it.
    path = write(tmp_path / "c1.csv", good, drifted)
    alias = replace(REFERRALS, aliases={"rereferral_percentage": "rereferral_percent"})
    assert "rereferral_percent" in public.read_statistics(path, alias).values


def test_folder_may_be_flat_or_nested_and_hold_another_release(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="no such folder"):
        public.find_file(tmp_path / "nowhere", REFERRALS)
    near = write(tmp_path / REFERRALS.name.replace("c1_", "C1-"), [line(2018, "901")])
    with pytest.raises(RecordsError, match=r"is not there.*Did you mean 'C1-"):
        public.find_file(tmp_path, REFERRALS)
    near.unlink()
    later = REFERRALS.name.replace("2025", "2026")
    nested = write(tmp_path / "dfe-cin" / later, [line(2018, "901")])
    assert public.find_file(tmp_path, REFERRALS) == nested
    second = write(tmp_path / "old" / REFERRALS.name.replace("2025", "2024"), [line(2018, "901")])
    with pytest.raises(RecordsError, match="several files"):
        public.find_file(tmp_path, REFERRALS)
    second.unlink()
    exact = write(tmp_path / REFERRALS.name, [line(2018, "901")])
    assert public.find_file(tmp_path, REFERRALS) == exact


def test_sources_name_a_wrong_key(tmp_path: Path) -> None:
    text = public.SOURCES.read_text(encoding="utf-8")
    broken = tmp_path / "public_sources.toml"
    broken.write_text(text.replace("sha256 =", "sha265 ="), encoding="utf-8")
    with pytest.raises(RecordsError, match=r"files\[0\]\.sha265: unknown key.*'sha256'"):
        public.public_sources(broken)
