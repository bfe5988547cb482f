"""Made-up returns: what is written is what happened, in the codes and order of the standards."""

from __future__ import annotations

import csv
import re
import tempfile
import tomllib
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lxml import etree

from sos_analysis.errors import ParameterError, StudyError
from sos_analysis.outcomes import events
from sos_analysis.records.extract import open_extract
from sos_analysis.records.returns import cin_layout, ssda903_layout
from sos_analysis.records.writing import write_returns
from sos_analysis.study import load_study, study_from

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "data" / "study" / "restricted.template.toml"


@pytest.fixture(scope="module")
def written(tmp_path_factory, small_study) -> Path:
    """One authority as returns of all years, and as an NPD extract."""
    return _all_kinds(small_study, tmp_path_factory.mktemp("returns"), scale=0.1)


def _all_kinds(study, place: Path, **drawn) -> Path:
    for kind in ("cin-census", "ssda903", "npd"):
        write_returns(study, kind, place / kind, **drawn)
    both = place / "both"
    both.mkdir()
    for source in (place / "cin-census").glob("*.xml"):
        (both / source.name).write_bytes(source.read_bytes())
    for folder in (place / "ssda903").glob("ssda903_*"):
        for file in folder.glob("*.csv"):
            target = both / folder.name / file.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    return place


def test_census_keeps_the_schema_s_order_codes_and_rules(written) -> None:
    files = sorted((written / "cin-census").glob("*.xml"))
    assert [int(f.stem[-4:]) for f in files] == list(range(2013, 2020))
    for file in files[-2:]:
        year = int(file.stem[-4:])
        begins, ends = date(year - 1, 4, 1), date(year, 3, 31)
        root = etree.parse(str(file)).getroot()
        ids = [e.text for e in root.iter("LAchildID")]
        assert len(ids) == len(set(ids))
        assert all(i.startswith("MU") for i in ids)
        _check_group(root.find("Header"), cin_layout.HEADER_GROUP, year)
        for child in root.find("Children"):
            _check_group(child, cin_layout.CHILD_GROUP, year)
        for details in root.iter("CINdetails"):
            referral = date.fromisoformat(details.findtext("CINreferralDate"))
            parts = [d for d in details if d.tag in ("Assessments", "Section47")]
            parts += details.findall("ChildProtectionPlans")
            if details.findtext("ReferralNFA") == "1":
                assert not parts  # 8831, 8832
            opened = [a for a in details.findall("Assessments") if a.find(_DONE) is None]
            assert len(opened) <= 1  # 8896
            for found in details.iter("DateOfInitialCPC"):
                assert begins <= date.fromisoformat(found.text) <= ends  # 8715
            assert len(list(details.iter("DateOfInitialCPC"))) <= 1  # 2884
            for part in parts:
                start = date.fromisoformat(part[0].text)
                assert start >= referral  # 1103, 1105
                factors = part.find("FactorsIdentifiedAtAssessment")
                if part.tag == "Assessments":
                    assert (factors is not None) == (part.find(_DONE) is not None)  # 8614
                held = part.findtext("DateOfInitialCPC")
                assert held is None or date.fromisoformat(held) >= start  # 8615
                ended = part.findtext("CPPendDate")
                assert ended is None or date.fromisoformat(ended) > start  # 8925, 8840


_DONE = "AssessmentAuthorisationDate"


def _check_group(element, group, year) -> None:
    """Tags in the layout's order, codes of its lists, what it needs."""
    known = {getattr(p, "within", "") or p.name: p for p in cin_layout.parts(group, year)}
    order = [list(known).index(child.tag) for child in element]
    assert order == sorted(order), element.tag
    for part in cin_layout.parts(group, year):
        if part.needed:
            assert element.find(part.name) is not None, (element.tag, part.name)
    for child in element:
        part = known[child.tag]
        if isinstance(part, cin_layout.Group):
            _check_group(child, part, year)
        elif part.codes:
            for value in child if part.within else [child]:
                assert value.text in cin_layout.codes(part.codes, year), part.name


def test_ssda903_has_the_columns_and_codes_of_the_return(written) -> None:
    folder = written / "ssda903" / "ssda903_004_2019"
    rows: dict[str, list[dict[str, str]]] = {}
    for name in ("Header", "Episodes", "UASC", "OC2"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            assert tuple(reader.fieldnames or ()) == ssda903_layout.TABLES[name].columns
            rows[name] = list(reader)
    headers = {row["CHILD"] for row in rows["Header"]}
    assert headers == {row["CHILD"] for row in rows["Episodes"]}
    for row in rows["Episodes"]:
        for field in ("RNE", "LS", "CIN", "PLACE", "PLACE_PROVIDER"):
            assert row[field] in ssda903_layout.CODES[field]
        assert not {row["PLACE"]} & set(ssda903_layout.OLD_PLACES)
        assert (row["DEC"] == "") == (row["REC"] == "")
        assert row["REC"] in ("", *ssda903_layout.CODES["REC"])
        assert re.fullmatch(r"\d\d/\d\d/\d{4}", row["DECOM"])
    xml = etree.parse(str(written / "ssda903" / "xml" / "ssda903_004_2019.xml")).getroot()
    assert len(xml.findall(".//EPISODE")) == len(rows["Episodes"])


def test_returns_and_extract_tell_the_same_outcomes(written, small_study) -> None:
    """Row by row, over the years that both cover and definitions that need no derived mark."""

    names = ("duration", "rereferral", "escalation", "kinship")
    keys = ["la", "child_id", "event_date"]

    def rows(folder: Path) -> list[pd.DataFrame]:
        with open_extract(folder, authority="004") as records:
            found = [
                events(records, small_study, name, "strict").to_pyarrow().to_pandas()
                for name in names
            ]
        later = [rows[rows["event_date"] >= date(2013, 4, 1)] for rows in found]
        return [rows[[*keys, "y"]].sort_values(keys, ignore_index=True) for rows in later]

    for name, theirs, ours in zip(
        names, rows(written / "npd"), rows(written / "both"), strict=True
    ):
        assert len(ours) > 20
        pd.testing.assert_frame_equal(ours, theirs, obj=name)


def test_returns_and_extract_hold_the_same_records(written) -> None:
    _assert_same_records(written, "004")


@pytest.mark.full
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(la=st.sampled_from(["001", "013", "150"]), seed=st.integers(0, 2**31 - 1))
def test_any_made_up_authority_is_read_back_the_same_from_every_return(
    small_study, la: str, seed: int
) -> None:
    """Drawn anew each time: a few dozen children, each written in three forms."""
    with tempfile.TemporaryDirectory() as place:
        _assert_same_records(_all_kinds(small_study, Path(place), la=la, scale=0.01, seed=seed), la)


def _assert_same_records(written: Path, la: str) -> None:
    """Every table from April 2013, row by row; what differs differs for a reason of the returns."""

    def tables(folder: Path) -> dict[str, pd.DataFrame]:
        with open_extract(folder, authority=la) as records:
            return {
                name: records.tables[name].to_pyarrow().to_pandas().astype(object)
                for name in _SINCE
            }

    def rows(table: pd.DataFrame, name: str) -> set[tuple[str, ...]]:
        table = table[table[_SINCE[name]] >= date(2013, 4, 1)]
        table = table.drop(columns=["cin_any", "first_return", "last_return"], errors="ignore")
        plain = table.convert_dtypes().astype("string").fillna("")
        return set(plain.itertuples(index=False, name=None))

    theirs, ours = tables(written / "npd"), tables(written / "both")
    only = {name: rows(theirs[name], name) - rows(ours[name], name) for name in _SINCE}
    mine = {name: rows(ours[name], name) - rows(theirs[name], name) for name in _SINCE}
    # Short breaks are written in the extract alone.
    assert all(row[5] in ("V3", "V4") for row in only.pop("episodes"))
    assert all(row[5] in ("V3", "V4") for row in only.pop("care_periods"))
    # An assessment past its limit at the end of the data stands in the return that completes it.
    assert all(row[3] == "" for row in only.pop("assessments"))
    # The census wants a need for every case: N0, not stated, where the extract leaves it empty.
    needs = list(theirs["referrals"].columns).index("primary_need")
    empty = {row for row in only.pop("referrals") if row[needs] == ""}
    assert mine.pop("referrals") == {(*r[:needs], "N0", *r[needs + 1 :]) for r in empty}
    assert not any(only.values()), only
    assert not any(mine.values()), mine


#: Table -> the day by which its rows are of the years that both forms cover.
_SINCE = {
    "referrals": "referral_date",
    "assessments": "start_date",
    "s47_icpc": "s47_date",
    "conferences": "icpc_date",
    "cpp": "start_date",
    "episodes": "period_start",
    "care_periods": "period_start",
}


def test_a_later_year_has_its_own_shape_and_wrong_requests_are_refused(
    tmp_path, small_study
) -> None:
    write_returns(small_study, "cin-census", tmp_path / "late", scale=0.02, years=[2025])
    root = etree.parse(str(tmp_path / "late" / "cin_census_004_2025.xml")).getroot()
    assert root.find(".//GenderCurrent") is None
    assert root.find(".//Sex") is not None
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    wrong = ({"la": "999"}, {"years": [2031]}, {"scale": 0.0}, {"out": mine})
    for options in wrong:
        given = {"out": tmp_path / "new", **options}
        with pytest.raises(ParameterError):
            write_returns(small_study, "ssda903", **given)
    assert (mine / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_template_lists_what_is_to_fill_and_runs_when_filled(tmp_path, small_study) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(TEMPLATE)
    message = str(caught.value)
    text = TEMPLATE.read_text("utf-8")
    assert message.count("embedding_start") == text.count("embedding_start = ") == 11
    for word in ("study.title", "pilots[0].embedding_end", "authorities[11].code"):
        assert word in message
    content = tomllib.loads(text)
    content["study"].update(title="A trial", assumption="Made-up dates, for a test")
    content["pilots"] = content["pilots"][:1]
    pilot = content["pilots"][0]
    pilot.update(
        la="004",
        embedding_start=date(2013, 1, 7),
        embedding_end=date(2015, 9, 30),
        delivery_score=0.5,
        comparators={g: ["011"] for g in ("duration", "referrals", "kinship", "icpc")},
    )
    content["authorities"] = [
        {"code": c, "name": f"{c} (made up)", "ofsted": [], "practice_model": "none"}
        for c in ("004", "011")
    ]
    study = study_from(content, tmp_path / "filled.toml")
    assert study.origin == "restricted"
    from sos_analysis import cells
    from sos_analysis.records.synthetic import generate

    generate(small_study, tmp_path / "x", tmp_path / "t", scale=0.05, authorities=["004", "011"])
    with open_extract(tmp_path / "x", authorities=["004", "011"]) as records:
        made = cells.collapse(
            events(records, study, "rereferral"),
            study,
            "rereferral",
            covariates=study.outcome("rereferral").cell_covariates,
        )
    assert made.meta["events"] > 100
