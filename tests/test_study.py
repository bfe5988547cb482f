"""The study file: loads, names every fault by its key, and describes nothing real."""

from __future__ import annotations

import copy
import csv
import os
import pickle
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from sos_analysis.errors import StudyError
from sos_analysis.facts import programme, published
from sos_analysis.study import GROUPS, OUTCOMES, load_study, study_from

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "data" / "study" / "synthetic.toml"
CONTENT = tomllib.loads(FILE.read_text(encoding="utf-8"))

Content = dict[str, Any]


def changed(change: Callable[[Content], object]) -> Content:
    content = copy.deepcopy(CONTENT)
    change(content)
    return content


def outcome(content: Content, name: str) -> Content:
    return next(o for o in content["outcomes"] if o["name"] == name)


# --- what the shipped study is ------------------------------------------------------------------


def test_shipped_study_has_the_design_it_claims() -> None:
    study = load_study("synthetic")
    assert study == load_study(FILE)
    assert study.origin == "synthetic"
    assert (study.data_start, study.data_end) == (date(2008, 4, 1), date(2019, 3, 31))
    assert [p.id for p in study.pilots] == [f"P{i}" for i in range(1, 10)]
    assert {o.name for o in study.outcomes} == set(OUTCOMES)
    # Relative years must run from -9 to +3 and no further, as the original's do.
    earliest = min(p.embedding_end for p in study.pilots)
    latest = max(p.embedding_start for p in study.pilots)
    assert 3 <= (study.data_end - earliest).days / 365.25 <= 4
    assert 8 < (latest - study.data_start).days / 365.25 <= 9
    assert any(p.embedding_end >= date(2018, 1, 1) for p in study.pilots)
    # Staggered, with comparators shared by up to three pilots and sets that differ by group.
    assert len({p.embedding_end for p in study.pilots}) == 9
    for group in GROUPS:
        served = Counter(c for p in study.pilots for c in p.comparators.get(group, ()))
        assert max(served.values()) >= 2, group
    assert any(len(set(map(tuple, p.comparators.values()))) > 1 for p in study.pilots)
    # Nothing listed is unused, nothing used is unlisted.
    used = {c for p in study.pilots for cs in p.comparators.values() for c in cs}
    assert {a.code for a in study.authorities} == used | {p.la for p in study.pilots}
    # Planted truth differs visibly from the published 13 points, and only kinship has an effect.
    assert study.truth is not None
    assert {k: v for k, v in study.truth.effects.items() if v} == {"kinship": -0.08}


def test_groups_and_samples_follow_the_exclusions() -> None:
    study = load_study()

    def ids(name: str, exclude: bool = True) -> list[str]:
        return [g.id for g in study.groups(name, exclude)]

    every = [p.id for p in study.pilots]
    assert ids("duration") == ids("rereferral") == ids("nfa_share") == every
    assert ids("escalation") == [p for p in every if p not in ("P8", "P9")]
    assert ids("escalation", exclude=False) == every
    late = {p.id for p in study.pilots if p.embedding_end >= date(2018, 1, 1)}
    assert late
    assert ids("kinship") == [p for p in every if p not in late]
    assert ids("icpc", exclude=False) == [p for p in every if p != "P5"]  # P5 has no match there
    assert [g.id for g in study.groups("kinship") if len(g.comparators) == 1] == ["P3"]

    for name in OUTCOMES:
        groups = study.groups(name)
        members = {la for g in groups for la in (g.pilot, *g.comparators)}
        assert study.sample(name) == tuple(sorted(members))
        for g in groups:
            pilot = study.pilot(g.id)
            assert (g.pilot, g.start, g.end) == (
                pilot.la,
                pilot.embedding_start,
                pilot.embedding_end,
            )
            assert 1 <= len(g.comparators) <= 2
    dropped = set(study.sample("rereferral")) - set(study.sample("escalation"))
    assert {study.pilot(p).la for p in ("P8", "P9")} <= dropped


def test_outcomes_carry_what_the_definitions_need() -> None:
    study = load_study()
    windows = {o.name: (o.window_days, o.censor_days) for o in study.outcomes}
    assert windows["duration"] == (0, 53)
    assert windows["rereferral"] == windows["rereferral_all"] == (183, 183)
    assert windows["escalation"] == (360, 360)
    assert windows["kinship"] == (365, 365)
    assert windows["icpc"] == (90, 90)
    assert study.outcome("duration").censor_date == date(2019, 3, 29)
    assert study.outcome("duration").pre_rule == "event_end"
    kinship = study.outcome("kinship")
    assert "P1" in kinship.definitions["original"]["placements"]
    assert "P1" not in kinship.definitions["strict"]["placements"]
    assert kinship.definitions["strict"]["exits"] == ()
    assert kinship.definitions["strict"]["legacy_until"] == date(2015, 4, 1)
    rereferral = study.outcome("rereferral")
    assert rereferral.cell_covariates[-1] == "elevated_risk"
    assert "elevated_risk" in rereferral.model_covariates
    assert "previous_cpp" in rereferral.cell_covariates
    assert "previous_cpp" not in rereferral.model_covariates
    assert "uasc" not in kinship.model_covariates


def test_ofsted_rating_at_a_date_is_the_latest_published() -> None:
    azurite = load_study().authority("004")
    (first, rating), (second, later) = azurite.ofsted[:2]
    assert azurite.ofsted_at(first.replace(year=first.year - 1)) is None
    assert azurite.ofsted_at(first) == rating
    assert azurite.ofsted_at(second) == later != rating
    ratings = {a.ofsted_at(date(2012, 12, 31)) for a in load_study().authorities}
    assert None not in ratings  # each has a rating before the first pilot starts


def test_study_is_frozen_and_travels_between_processes() -> None:
    study = load_study()
    with pytest.raises(AttributeError):
        study.id = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        study.pilots[0].comparators["duration"] = ()  # type: ignore[index]
    copied = pickle.loads(pickle.dumps(study))
    assert copied == study
    assert hash(copied) == hash(study)


def test_hash_follows_the_content_alone(tmp_path: Path) -> None:
    study = load_study()
    assert re.fullmatch(r"[0-9a-f]{64}", study.hash)
    assert study.short_hash == study.hash[:12]
    commented = tmp_path / "commented.toml"
    commented.write_text("# a remark\n" + FILE.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_study(commented).hash == study.hash
    moved = changed(lambda c: c["pilots"][0].update(embedding_end=date(2015, 10, 1)))
    assert study_from(moved, FILE).hash != study.hash


# --- what a broken study says -------------------------------------------------------------------

# (name, change, key path the message must name, words it must hold)
BROKEN: list[tuple[str, Callable[[Content], object], str, tuple[str, ...]]] = [
    (
        "missing key",
        lambda c: c["pilots"][3].pop("embedding_start"),
        "pilots[3].embedding_start",
        ("missing", "2015-04-01"),
    ),
    (
        "misspelt key",
        lambda c: c["pilots"][3].update(embeding_start=c["pilots"][3].pop("embedding_start")),
        "pilots[3].embeding_start",
        ("unknown key", "Did you mean 'embedding_start'?", "'delivery_score'"),
    ),
    (
        "text for a date",
        lambda c: c["pilots"][3].update(embedding_start="2014-11-03"),
        "pilots[3].embedding_start",
        ("'2014-11-03' (str)", "no quotes"),
    ),
    (
        "date with a time",
        lambda c: c["pilots"][0].update(embedding_end=datetime(2015, 9, 30, 12)),
        "pilots[0].embedding_end",
        ("no time",),
    ),
    (
        "end before start",
        lambda c: c["pilots"][1].update(embedding_end=date(2013, 1, 1)),
        "pilots[1].embedding_end",
        ("2013-01-01", "after embedding_start (2013-09-02)"),
    ),
    (
        "outside the data",
        lambda c: c["pilots"][8].update(embedding_end=date(2019, 6, 30)),
        "pilots[8].embedding_end",
        ("2019-06-30", "between 2008-04-01 and 2019-03-31"),
    ),
    (
        "pilot twice",
        lambda c: c["pilots"][2].update(la="004"),
        "pilots[2].la",
        ("'004' is already in pilots[0]",),
    ),
    (
        "pilot as comparator",
        lambda c: c["pilots"][0]["comparators"].update(kinship=["013"]),
        "pilots[0].comparators.kinship[0]",
        ("'013' is a pilot",),
    ),
    (
        "three comparators",
        lambda c: c["pilots"][0]["comparators"].update(icpc=["002", "025", "008"]),
        "pilots[0].comparators.icpc",
        ("at most 2",),
    ),
    (
        "comparator without entry",
        lambda c: c["pilots"][0]["comparators"].update(icpc=["150"]),
        "pilots[0].comparators.icpc[0]",
        ("'150' has no entry", "'002'"),
    ),
    (
        "unknown comparator group",
        lambda c: c["pilots"][0]["comparators"].update(referral=["002"]),
        "pilots[0].comparators.referral",
        ("Did you mean 'referrals'?", "'kinship'"),
    ),
    (
        "wave that was not",
        lambda c: c["pilots"][0].update(waves=[1, 3]),
        "pilots[0].waves",
        ("[1, 3]", "1, 2"),
    ),
    (
        "score out of range",
        lambda c: c["pilots"][5].update(delivery_score=1.2),
        "pilots[5].delivery_score",
        ("1.2", "from 0", "at most 1"),
    ),
    (
        "unknown rating",
        lambda c: c["authorities"][0]["ofsted"][1].update(rating="requires improvment"),
        "authorities[0].ofsted[1].rating",
        ("'inadequate'", "Did you mean 'requires improvement'?"),
    ),
    (
        "ratings out of order",
        lambda c: c["authorities"][0]["ofsted"].reverse(),
        "authorities[0].ofsted[1].date",
        ("after 2018-08-14",),
    ),
    (
        "unknown practice model",
        lambda c: c["authorities"][3].update(practice_model="some"),
        "authorities[3].practice_model",
        ("'none', 'partial', 'same'",),
    ),
    (
        "code in the real range",
        lambda c: c["authorities"].append(
            {"code": "926", "name": "Quartz (made up)", "ofsted": [], "practice_model": "none"}
        ),
        "authorities[31].code",
        ("'926'", "'001' to '152'"),
    ),
    (
        "name that could be real",
        lambda c: c["authorities"][0].update(name="Azurite"),
        "authorities[0].name",
        ("' (made up)'",),
    ),
    (
        "outcome missing",
        lambda c: c["outcomes"].pop(4),
        "outcomes",
        ("'icpc'", "all of"),
    ),
    (
        "option missing",
        lambda c: outcome(c, "escalation")["definitions"]["strict"].pop("prior_start"),
        "outcomes[2].definitions.strict.prior_start",
        ("missing", "'drop', 'keep'"),
    ),
    (
        "option of another outcome",
        lambda c: outcome(c, "duration")["definitions"]["strict"].update(nfa="wide"),
        "outcomes[0].definitions.strict.nfa",
        ("unknown key", "'trim'"),
    ),
    (
        "option with a wrong word",
        lambda c: outcome(c, "icpc")["definitions"]["original"].update(source="section47"),
        "outcomes[4].definitions.original.source",
        ("'section47'", "'s47', 'either'"),
    ),
    (
        "trim that is neither number nor word",
        lambda c: outcome(c, "duration")["definitions"]["original"].update(trim="fences"),
        "outcomes[0].definitions.original.trim",
        ("'fences'", "'fence'", "'none'"),
    ),
    (
        "placement that is no kinship code",
        lambda c: outcome(c, "kinship")["definitions"]["strict"].update(placements=["U1", "U4"]),
        "outcomes[3].definitions.strict.placements[1]",
        ("'U4'", "'U3'"),
    ),
    (
        "definition missing",
        lambda c: outcome(c, "kinship")["definitions"].pop("strict"),
        "outcomes[3].definitions.strict",
        ("missing", "'placements'"),
    ),
    (
        "difference of nothing",
        lambda c: outcome(c, "kinship").update(minimum_important_difference=0),
        "outcomes[3].minimum_important_difference",
        ("above 0",),
    ),
    (
        "scale against unit",
        lambda c: outcome(c, "kinship").update(scale=1),
        "outcomes[3].scale",
        ("100", "'per 100'"),
    ),
    (
        "exclusion of no pilot",
        lambda c: outcome(c, "escalation").update(excluded_pilots=["P8", "P10"]),
        "outcomes[2].excluded_pilots[1]",
        ("'P10'", "'P9'"),
    ),
    (
        "unknown covariate",
        lambda c: outcome(c, "icpc")["covariates"].append("gender"),
        "outcomes[4].covariates[7]",
        ("'gender'", "'sex'"),
    ),
    (
        "true for a number",
        lambda c: c["disclosure"].update(threshold=True),
        "disclosure.threshold",
        ("True (bool)", "1"),
    ),
    (
        "threshold of nothing",
        lambda c: c["disclosure"].update(threshold=0),
        "disclosure.threshold",
        ("0 (int)", "from 1"),
    ),
    (
        "rounding to nothing",
        lambda c: c["disclosure"].update(rounding_base=0),
        "disclosure.rounding_base",
        ("from 1",),
    ),
    (
        "unknown procedure",
        lambda c: c["inference"].update(matched_primary="slot permutations"),
        "inference.matched_primary",
        ("Did you mean 'slot permutation'?", "'WCR-31'"),
    ),
    (
        "not a number",
        lambda c: c["inference"].update(level=float("nan")),
        "inference.level",
        ("nan",),
    ),
    (
        "truth missing",
        lambda c: c.pop("truth"),
        "truth",
        ("missing", "'effects'"),
    ),
    (
        "truth in points, not proportions",
        lambda c: c["truth"]["effects"].update(kinship=-8),
        "truth.effects.kinship",
        ("-8", "at most 1"),
    ),
    (
        "truth of a restricted study",
        lambda c: c["study"].update(origin="restricted"),
        "truth",
        ("'restricted'", "remove it"),
    ),
    (
        "unknown table",
        lambda c: c.update(subgroups={}),
        "subgroups",
        ("unknown key", "'pilots'"),
    ),
    (
        "table for a list of tables",
        lambda c: c.update(pilots=c["pilots"][0]),
        "pilots",
        ("list of tables",),
    ),
]


@pytest.mark.parametrize(
    ("change", "key", "words"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_a_broken_study_is_told_by_its_key(
    change: Callable[[Content], object], key: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(StudyError) as caught:
        study_from(changed(change), FILE)
    message = str(caught.value)
    assert message.startswith(f"synthetic.toml: {key}: "), message
    for word in words:
        assert word in message, message


def test_a_restricted_study_needs_neither_truth_nor_made_up_names() -> None:
    def restricted(c: Content) -> None:
        c["study"]["origin"] = "restricted"
        del c["truth"], c["synthetic"]
        c["authorities"][0]["name"] = "Azurite"

    study = study_from(changed(restricted), FILE)
    assert study.truth is None
    assert study.synthetic is None


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"Did you mean 'synthetic'\?"):
        load_study("sinthetic")
    bad = tmp_path / "bad.toml"
    bad.write_text("[study]\nid = synthetic\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"not valid TOML.*line 2"):
        load_study(bad)
    bad.write_bytes("[study]\ntitle = 'Café'\n".encode("latin-1"))
    with pytest.raises(StudyError, match="UTF-8"):
        load_study(bad)
    with pytest.raises(StudyError, match="Did you mean 'kinship'"):
        load_study().outcome("kinshp")


# --- nothing in it is real ----------------------------------------------------------------------


def reference_data() -> Path | None:
    named = os.environ.get("SOS_REFERENCE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "reference-data"
    return folder if (folder / "geography").is_dir() else None


CODE_COLUMNS = {"la_code", "old_la_code", "LA Number", "LA num", "LA number"}
NAME_COLUMNS = {
    "la_name",
    "LA Name",
    "region_name",
    "local_authority_ons_name",
    "also_known_as",
    "LTLA23NM",
    "UTLA23NM",
    "ltla23nm",
    "utla23nm",
}


def real_authorities(folder: Path) -> tuple[set[str], set[str]]:
    """Codes and lower-case names of authorities, districts and regions in the public lists."""
    codes: set[str] = set()
    names: set[str] = set()
    for path in sorted((folder / "geography").glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream):
                codes |= {row[c].strip() for c in CODE_COLUMNS & row.keys() if row[c]}
                names |= {row[c].strip().casefold() for c in NAME_COLUMNS & row.keys() if row[c]}
    return {c for c in codes if re.fullmatch(r"\d{3}", c)}, names


def test_no_authority_of_the_made_up_study_is_real(capsys: pytest.CaptureFixture[str]) -> None:
    study = load_study()
    assert all(1 <= int(a.code) <= 152 for a in study.authorities)
    assert all(a.name.endswith(" (made up)") for a in study.authorities)
    pilots = programme().pilots
    real_codes = {p.dfe_code for p in pilots}
    real_names = {p.name.casefold() for p in pilots}
    folder = reference_data()
    if folder is None:
        with capsys.disabled():
            print(
                "\nreference data absent (set SOS_REFERENCE_DATA): codes checked against the "
                "range rule and the eleven programme authorities only"
            )
    else:
        codes, names = real_authorities(folder)
        assert len(codes) >= 150, "the lists of codes were not understood"
        assert {"norfolk", "wokingham"} <= names, "the lists of names were not understood"
        real_codes |= codes
        real_names |= names
    assert min(map(int, real_codes)) > 200  # the rule that keeps made-up codes apart
    words = {word for name in real_names for word in re.findall(r"[a-z]+", name)}
    for a in study.authorities:
        assert a.code not in real_codes
        stem = a.name.removesuffix(" (made up)").casefold()
        assert stem not in real_names
        assert stem not in words, f"{stem} is part of a real authority's name"


# --- facts and published findings ---------------------------------------------------------------


def test_programme_facts_have_sources_and_unknowns_have_no_value() -> None:
    facts = programme()
    assert len(facts.pilots) == 11
    assert len(facts.in_wave(1)) == len(facts.in_wave(2)) == 10
    assert facts.fact("analysed.which").value is None
    assert facts.fact("embedding.dates").value is None
    assert facts.fact("wave2.launch").value == date(2017, 9, 29)
    assert all(f.source for f in facts.facts)
    bexley = facts.in_wave(2)[0]
    assert (bexley.name, bexley.waves) == ("Bexley", (2,))
    assert bexley.ofsted_at(date(2017, 9, 29)) == "requires improvement"
    assert bexley.ofsted_at(date(2010, 1, 1)) is None
    with pytest.raises(StudyError, match=r"embedding\.dates"):
        facts.fact("embedding.date")
    folder = reference_data()
    if folder is not None:
        with (folder / "geography" / "la_region_codes.csv").open(encoding="utf-8-sig") as stream:
            ons = {r["old_la_code"]: r["new_la_code"] for r in csv.DictReader(stream)}
        assert {p.dfe_code: p.ons_code for p in facts.pilots} == {
            p.dfe_code: ons[p.dfe_code] for p in facts.pilots
        }


def test_published_findings_hold_one_number_and_say_what_is_unknown() -> None:
    findings = published().findings
    for name in ("duration", "rereferral", "escalation", "kinship", "icpc"):
        finding = published().finding(name)
        assert finding.outcome == name
        assert finding.unknown
    # The only effect size that could be read; planted truth must not equal it.
    assert [(f.id, f.value, f.unit) for f in findings if f.value is not None] == [
        ("kinship.size", -13.0, "percentage points")
    ]
    assert all(f.url.startswith("https://") for f in findings)
    assert published().finding("icpc").words is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('value = "2018"\ncertainty = "unknown"', r"facts\[0\]\.value.*cannot have a value"),
        ('certainty = "read"', r"facts\[0\]\.value.*missing"),
        ('value = 1\ncertainty = "sure"', r"facts\[0\]\.certainty.*'read', 'derived'"),
    ],
)
def test_a_broken_fact_is_told_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "programme.toml"
    path.write_text(
        f'[[facts]]\nid = "x"\nstatement = "y"\nsource = "z"\n{text}\n', encoding="utf-8"
    )
    with pytest.raises(StudyError, match=message):
        programme(path)


def test_every_cited_source_has_a_complete_entry() -> None:
    """No key twice, the fields a reader needs, no unbalanced brace, DOIs in their form."""
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    entries = re.findall(r"@(\w+)\{(\w+),(.*?)\n\}", text, re.DOTALL)
    keys = [key for _, key, _ in entries]
    assert len(keys) == len(set(keys)) == text.count("\n@")
    for kind, key, body in entries:
        fields = set(re.findall(r"^\s*(\w+)\s*=", body, re.MULTILINE))
        assert {"author", "title"} <= fields, key
        if kind == "article":
            assert {"journal", "volume", "pages", "year"} <= fields, key
            assert fields & {"doi", "url"}, key
        else:
            assert fields & {"url", "institution"}, key
        for doi in re.findall(r"doi\s*=\s*\{(.*?)\}", body):
            assert re.fullmatch(r"10\.\d{4,}/\S+", doi), key


def test_every_citation_on_a_page_has_an_entry() -> None:
    text = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE))
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    cited = {
        key.strip()
        for page in pages
        for keys in re.findall(r"\{cite:?\w*\}`([^`]+)`", page.read_text(encoding="utf-8"))
        for key in keys.split(",")
    }
    assert cited, "no page cites anything: the pattern no longer fits"
    assert cited <= known, sorted(cited - known)


# --- the data dictionary keeps up ---------------------------------------------------------------


def test_data_dictionary_names_every_key_and_column() -> None:
    from sos_analysis import facts, study
    from sos_analysis.outcomes import OUTCOME_COLUMNS
    from sos_analysis.records.tables import CANONICAL

    text = (ROOT / "docs" / "data_dictionary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`\"?([A-Za-z0-9_ -]+)\"?`", text))
    keys = {k for table in study._KEYS.values() for k in table}
    keys |= {k for options in study._OPTIONS.values() for k in options}
    keys |= set(study.OUTCOMES) | set(study.GROUPS) | set(study.COVARIATES)
    keys |= set(facts.Finding.__dataclass_fields__) | set(facts.Fact.__dataclass_fields__)
    keys |= set(CANONICAL) | {c for columns in CANONICAL.values() for c in columns}
    keys |= set(OUTCOME_COLUMNS)
    assert keys <= named, f"not in the data dictionary: {sorted(keys - named)}"


def test_methods_registry_names_tests_and_sources_that_exist() -> None:
    text = (ROOT / "docs" / "methods_registry.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", text)
    assert len(named) > 20
    for path, test in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in source, f"{path} holds no {test}"
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    keys = set(re.findall(r"`([a-z]+\d{4}[a-z]+)`", text))
    assert len(keys) > 15
    for key in keys:
        assert f"{{{key}," in bibliography, f"references.bib holds no {key}"
    for option in re.findall(r"`(wide|flag|fence)`", text):
        assert f'"{option}"' in (ROOT / "sos_analysis" / "study" / "__init__.py").read_text(
            encoding="utf-8"
        )
