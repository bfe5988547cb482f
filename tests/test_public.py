"""The public companion: fetching, reading, estimating and releasing DfE statistics.

The published files are not in this repository. Tests that need them look in `SOS_PUBLIC_DATA`, in
`data/public` (where `fetch-public` puts them) and beside the repository, and say so when they are
in none of these; everything else runs on small made-up files in the same layout.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sos_analysis import companion
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.facts import programme
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


# --- the published files, where they are ---------------------------------------------------------
def published() -> Path:
    """Folder of the published files; skips, saying why, where they are not."""
    root = Path(__file__).resolve().parents[1]
    named = os.environ.get("SOS_PUBLIC_DATA")
    beside = root.parent / "shared" / "reference-data"
    for folder in (Path(named) if named else None, root / "data" / "public", beside):
        if folder is not None and folder.is_dir():
            return folder
    pytest.skip(
        "the published files are not here; `python -m sos_analysis fetch-public` gets them. The "
        "released results were checked against the same values all the same."
    )


@pytest.fixture(scope="module")
def computed() -> companion.CompanionResult:
    return companion.run(published())


#: Unweighted two-way fixed effects, all authorities as coded each year, after from the year ending
#: March 2018, clustered on authorities: computed by others from the same files, to two decimals.
KNOWN = {
    "rereferral_percent": (-0.40, 1.80),
    "no_further_action_percent": (-2.80, 3.04),
    "not_in_need_percent": (5.19, 3.06),
}
ROUNDING = 0.01  # the known values are rounded to two decimals


def check_known(result: companion.CompanionResult) -> None:
    for outcome, (att, se) in KNOWN.items():
        found = result.estimate(outcome)
        assert found.att == pytest.approx(att, abs=ROUNDING)
        assert found.se_crv1 == pytest.approx(se, abs=ROUNDING)
        assert found.pilots == 10
        # England had 152 authorities; two were merged into others as of 2019/20, and those codes
        # count too, as do authorities without a published number in some years.
        assert 150 <= found.authorities <= 155


def test_released_results_hold_the_known_values() -> None:
    result = companion.released()
    check_known(result)
    assert result.source == "released"
    assert result.files == tuple(
        companion.Source(f.id, f.name, f.url, f.sha256, True) for f in SOURCES.files
    )
    assert result.attribution == SOURCES.attribution


def test_published_files_give_the_known_and_the_released_values(
    computed: companion.CompanionResult,
) -> None:
    check_known(computed)
    released = companion.released()
    assert computed.means == released.means
    assert computed.data_hash == released.data_hash
    for mine, theirs in zip(computed.estimates, released.estimates, strict=True):
        # Linear algebra differs between machines in the last digits; a draw may tie or not.
        assert mine.att == pytest.approx(theirs.att, abs=1e-9)
        assert mine.se_crv3 == pytest.approx(theirs.se_crv3, abs=1e-9)
        assert mine.p_primary == pytest.approx(theirs.p_primary, abs=2e-4)
        assert mine.p_secondary == pytest.approx(theirs.p_secondary, abs=2e-4)
        # Intervals end where the count of draws jumps, so a tie moves them a little.
        assert mine.ci == pytest.approx(theirs.ci, abs=0.01)


def test_national_rows_are_what_the_release_says() -> None:
    """England totals of the release (rounded to 10), so the right rows and years are read."""
    read = public.read_statistics(public.find_file(published(), REFERRALS), REFERRALS)
    england = read.values[read.values["geographic_level"] == "National"].set_index("year")
    assert england.loc[2014, "referral_count"] == pytest.approx(657_800, abs=50)
    assert england.loc[2019, "no_further_action_percent"] == 8.1
    local = read.values[read.values["geographic_level"] == "Local authority"]
    # Totals are rounded to 10 and some authorities' counts are not given: within half a per cent.
    total = local[local["year"] == 2019]["referral_count"].sum()
    assert total == pytest.approx(england.loc[2019, "referral_count"], rel=0.005)
    assert local.groupby("year")["old_la_code"].nunique().loc[2013:2021].tolist() == [
        *[152] * 7,
        151,
        151,
    ]


# --- made-up files with known answers ------------------------------------------------------------
PILOTS = [p.dfe_code for p in programme().in_wave(2)]
OTHERS = ["211", *(str(c) for c in range(940, 961))]  # 211 was funded in the first wave alone
YEARS = range(2013, 2021)
QUICK = {"draws": 199, "seed": 1}


def made_up(folder: Path, value: Callable[[str, int], float], weight: Callable[[str], int]) -> Path:
    rows = [
        line(
            year,
            code,
            referral_count=weight(code),
            rereferral_percent=value(code, year),
            no_further_action_percent="c" if code == "945" and year > 2016 else value(code, year),
            not_in_need_percent=50,
        )
        for year in YEARS
        for code in (*PILOTS, *OTHERS)
    ]
    write(folder / REFERRALS.name, rows)
    return folder


def smooth(code: str, year: int) -> float:
    """Authority and year effects, a trend in pilots and a jump of 4 from 2018."""
    pilot = code in PILOTS
    return (
        int(code) / 100
        + (year - 2013) ** 2 / 10
        + pilot * (0.5 * (year - 2013) + 4 * (year >= 2018))
    )


def noisy(code: str, year: int) -> float:
    rng = np.random.default_rng([int(code), year])
    return float(np.round(20 + int(code) % 7 + rng.normal(0, 2) + 3 * (code in PILOTS), 1))


def size(code: str) -> int:
    return 500 + 37 * (int(code) % 50)


def test_event_years_and_trend_without_noise(tmp_path: Path) -> None:
    """With no noise the numbers follow from the formula above: exact but for rounding."""
    folder = made_up(tmp_path, smooth, size)
    result = companion.run(folder, **QUICK)
    events = result.events("rereferral_percent")
    assert events.base == 2017
    assert events.joint_years == (2013, 2014, 2015, 2016)
    for found in events.years:
        expected = 0.5 * (found.year - 2017) + 4 * (found.year >= 2018)
        assert found.att == pytest.approx(expected, abs=1e-9)
    assert events.trend == pytest.approx(0.5, abs=1e-9)
    # Two-way fixed effects: mean after less mean before, trend included (2019 less 2015).
    assert result.estimate("rereferral_percent").att == pytest.approx(4 + 0.5 * 4, abs=1e-9)
    pilots = result.means_of("rereferral_percent", "pilots")
    assert [m.year for m in pilots] == list(YEARS)
    assert pilots[0].mean == pytest.approx(np.mean([int(c) / 100 for c in PILOTS]), abs=1e-9)
    assert result.estimate("not_in_need_percent").att == pytest.approx(0, abs=1e-9)


def test_estimates_agree_with_dummy_regressions(tmp_path: Path) -> None:
    """Each variant against statsmodels with a dummy for every authority and year."""
    import pandas as pd
    import statsmodels.formula.api as smf

    folder = made_up(tmp_path, noisy, size)
    result = companion.run(folder, **QUICK)
    rows = pd.DataFrame(
        [
            {"la": c, "year": y, "y": noisy(c, y), "w": size(c), "pilot": c in PILOTS}
            for c in (*PILOTS, *OTHERS)
            for y in YEARS
        ]
    )
    rows["effect"] = (rows["pilot"] & (rows["year"] >= 2018)).astype(int)
    samples = {
        "main": rows.assign(w=1),
        "transition_out": rows[rows["year"] != 2018].assign(w=1),
        "weighted": rows,
        "never_funded": rows[rows["la"] != "211"].assign(w=1),
        "both_waves": rows[rows["la"] != "303"].assign(w=1),
    }
    for variant, sample in samples.items():
        fitted = smf.wls("y ~ effect + C(la) + C(year)", sample, weights=sample["w"]).fit(
            cov_type="cluster", cov_kwds={"groups": pd.factorize(sample["la"])[0]}
        )
        found = result.estimate("rereferral_percent", variant)
        g, n = sample["la"].nunique(), len(sample)
        assert (found.authorities, found.authority_years, found.not_given) == (g, n, 0)
        # Exact algebra on about 250 rows: only rounding is left.
        assert found.att == pytest.approx(fitted.params["effect"], abs=1e-9)
        # statsmodels scales by G/(G-1) x (N-1)/(N-K), linearmodels by N/(N-K).
        scale = np.sqrt((g - 1) / g * n / (n - 1))
        assert found.se_crv1 == pytest.approx(scale * fitted.bse["effect"], rel=1e-8)
        assert found.ci[0] < found.att < found.ci[1]
        assert found.ci[0] < found.ci90[0] < found.ci90[1] < found.ci[1]
        assert len(found.left_out) == found.pilots == 10 - (variant == "both_waves")
    withheld = result.estimate("no_further_action_percent")
    assert withheld.not_given == 4
    # Four of 256 are fewer than one in fifty: no variant that reads them as zero.
    assert "confidential_as_zero" not in result.variants


def test_the_transition_year_is_that_of_the_launch() -> None:
    """Left out whatever counts as after; no variant where nothing would be left after."""
    import pandas as pd

    launch = programme().fact("wave2.launch").value
    assert isinstance(launch, dt.date)
    assert launch.year + (launch.month > 3) == companion.TRANSITION
    years = np.arange(2013, 2021)
    for post_from, last, expected in ((2018, 2020, True), (2019, 2020, True), (2018, 2018, False)):
        kept = years[years <= last]
        frame = pd.DataFrame({"year": kept, "post": (kept >= post_from).astype(int)})
        found = companion._variant(frame, "transition_out")
        assert (found is not None) == expected
        if found is not None:
            assert 2018 not in set(found["year"])
            assert 2019 in set(found["year"])


def test_confidential_figures_may_be_read_as_zero() -> None:
    import pandas as pd

    frame = pd.DataFrame({"y": [5.0, np.nan, np.nan], "code": ["", "c", "x"]})
    read = companion._variant(frame, "confidential_as_zero")
    assert read is not None
    assert read["y"].fillna(-1).tolist() == [5, 0, -1]


def test_results_survive_json_and_only_pinned_ones_are_released(tmp_path: Path) -> None:
    folder = made_up(tmp_path / "data", noisy, size)
    result = companion.run(folder, **QUICK)
    path = public.release_public(result.to_dict(), tmp_path / "out" / "released.json")
    again = companion.released(path)
    # As content, since a constant outcome gives NaN, which equals nothing.
    assert again.to_dict() == result.to_dict() | {"source": "released"}
    before = path.read_bytes()
    with pytest.raises(RecordsError, match="not the pinned release"):
        companion.release(folder, path, **QUICK)
    with pytest.raises(ValueError, match="JSON"):
        public.release_public({"a": float("nan")}, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["released.json"]
    path.write_text(path.read_text(encoding="utf-8").replace('"att"', '"effect"'), encoding="utf-8")
    with pytest.raises(RecordsError, match="do not fit this version"):
        companion.released(path)


def test_parameters_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="three or more years before"):
        companion.run(tmp_path, first_year=2016)
    with pytest.raises(ParameterError, match="whole number"):
        companion.run(tmp_path, post_from="2018")  # type: ignore[arg-type]
    folder = made_up(tmp_path, noisy, size)
    with pytest.raises(ParameterError, match="holds the years 2013 to 2020"):
        companion.run(folder, last_year=2024, **QUICK)
    # Without files: the released results, for their own years alone.
    monkeypatch.setattr(companion, "ROOT", tmp_path / "nowhere")
    assert companion.run(draws=999).source == "released"
    with pytest.raises(ParameterError, match="fetch-public"):
        companion.run(last_year=2019)
