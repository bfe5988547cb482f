"""Chapters: parameters, numbers against an independent count, wording by origin, stored results."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sos_analysis import chapters, workspace
from sos_analysis.chapters import CHAPTERS, chapter
from sos_analysis.chapters.fit import fit, with_la_years
from sos_analysis.disclosure import CONFIDENTIAL
from sos_analysis.errors import ClaimError, ParameterError, RecordsError, StudyError
from sos_analysis.facts import published
from sos_analysis.results import ChapterResult
from sos_analysis.study import load_study

# One worker makes the extract and its cells for all tests of this file.
pytestmark = pytest.mark.xdist_group("chapters")

QUESTIONS = [name for name, spec in CHAPTERS.items() if spec.room == "question"]
DRAWS = 199  # enough for the machinery; no test here reads a p-value's size


@pytest.fixture(scope="module")
def extract(study_extract: Path) -> Path:
    return study_extract


@pytest.fixture(scope="module")
def ran(extract: Path) -> Callable[[str], ChapterResult]:
    """Each chapter once, on the small extract."""
    return functools.cache(lambda name: chapter(name, extract=str(extract), draws=DRAWS))


def _restricted(tmp_path: Path) -> Path:
    """The worked example's study as one on restricted records."""
    text = load_study().path.read_text("utf-8")
    text = text.replace('origin = "synthetic"', 'origin = "restricted"', 1)
    text = re.sub(r"^\[(truth|synthetic)\b[^\[]*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\[(truth|synthetic)[^\]]*\]\n[^\[]*", "", text, flags=re.MULTILINE)
    path = tmp_path / "restricted.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("rq4_kinship", {}, "did you mean 'rq4_kinship_care'"),
        ("rq4_kinship_care", {"defintion": "strict"}, "did you mean 'definition'"),
        ("rq4_kinship_care", {"definition": "narrow"}, "allowed: original, strict"),
        ("rq4_kinship_care", {"draws": "999"}, "must be int"),
        ("rq4_kinship_care", {"draws": True}, "must be int"),
        ("rq4_kinship_care", {"cem": 1}, "must be bool"),
        ("rq4_kinship_care", {"draws": 10}, "at least 99"),
        ("rq4_kinship_care", {"seed": -1}, "0 or more"),
        ("public_statistics", {"first_year": 2001}, "allowed: 2013"),
        ("public_statistics", {"extract": "x"}, "has no parameter 'extract'"),
    ],
)
def test_parameters_are_checked(name: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        chapter(name, **given)


def test_no_extract_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"no extract at .*nowhere.*--extract"):
        chapter("rq4_kinship_care", extract=str(tmp_path / "nowhere"), draws=DRAWS)


@pytest.mark.parametrize("outcome", ["kinship", "rereferral", "duration"])
def test_counts_equal_a_direct_count_of_events(
    extract: Path, ran: Callable[[str], ChapterResult], outcome: str
) -> None:
    """Who was counted, from event rows by plain date arithmetic, against the table shown."""
    from sos_analysis.outcomes import events
    from sos_analysis.records.extract import open_extract

    study = load_study()
    spec = next(s for s in CHAPTERS.values() if s.outcomes[:1] == (outcome,))
    shown = ran(spec.name).tables["counts"]
    records = open_extract(extract, authorities=study.sample(outcome))
    rows = events(records, study, outcome, "original").to_pyarrow().to_pandas()
    records.close()
    kept = []
    for group in study.groups(outcome):
        for la in (group.pilot, *group.comparators):
            own = rows[rows["la"] == la]
            day = pd.to_datetime(own["event_date"])
            ends = pd.to_datetime(own["window_end"])
            for phase, inside in (
                ("Before", ends < pd.Timestamp(group.start)),
                ("After", day > pd.Timestamp(group.end)),
            ):
                who = "Pilots" if la == group.pilot else "Comparators"
                kept.append(own[inside].assign(who=who, when=phase))
    counted = pd.concat(kept).drop_duplicates(["la", "child_id", "event_date", "who", "when"])
    by = counted.groupby(["who", "when"])
    again = {}  # cases of a child that has another: where there are few, children are hidden
    for i, (who, when) in enumerate(zip(shown.values("who"), shown.values("when"), strict=True)):
        rows_here = by.get_group((who, when))
        children = len(rows_here[["la", "child_id"]].drop_duplicates())
        # Half a rounding base: shown counts are rounded to 5.
        assert abs(int(shown.values("events")[i]) - len(rows_here)) <= 2.5
        if shown.values("children")[i] == CONFIDENTIAL:
            again[i] = len(rows_here) - children
        else:
            assert abs(int(shown.values("children")[i]) - children) <= 2.5
        level = rows_here["y"].mean() * study.outcome(outcome).scale
        # Rates are recomputed from rounded counts, so they move by up to base/2 over the count.
        slack = 0.06 + (level * 2.5 / len(rows_here) + 250 / len(rows_here)) * (
            outcome != "duration"
        )
        assert float(shown.values("rate")[i]) == pytest.approx(level, abs=slack)
    assert bool(again) == (outcome == "kinship")
    assert not again or min(again.values()) < study.disclosure.threshold


@pytest.mark.parametrize("name", QUESTIONS)
def test_made_up_results_never_speak_of_the_programme(
    ran: Callable[[str], ChapterResult], name: str
) -> None:
    result = ran(name)
    assert result.origin == "synthetic"
    assert result.verdict is not None
    assert result.verdict.certainty is None
    for key in ("answer", "counted", "estimates", "event_study"):
        assert "Signs of Safety" not in result.say(key).text, key
    assert "not about Signs of Safety" in result.say("rule_out").text
    for figure in result.figures.values():
        assert figure.title.startswith("Worked example")
        assert figure.subtitle.startswith("Made-up data")
        assert "Signs of Safety" not in figure.title + figure.subtitle
    for claim in result.claims.values():
        if claim.origin == "synthetic" and isinstance(claim.value, str):
            assert "Signs of Safety" not in claim.value
    assert {c.id for c in result.checks} >= {
        *("few_clusters", "pre_trends", "agreement", "balance"),
        *("leave_one_out", "placebo", "breakdown"),
    }
    assert "would be missed half the time" in result.say("event_study").text


def test_robustness_says_what_its_tables_hold(ran: Callable[[str], ChapterResult]) -> None:
    result = ran("robustness")
    outcomes = CHAPTERS["robustness"].outcomes
    assert result.origin == "synthetic"
    assert result.verdict is None
    answer = result.say("answer").text
    assert "about made-up records, and not about Signs of Safety" in answer
    others = "".join(result.say(key).text for key in result.prose if key != "answer")
    assert "Signs of Safety" not in others
    assert set(result.figures) == {f"curve_{name}" for name in outcomes}
    for figure in result.figures.values():
        assert figure.title.startswith("Worked example: ")
        assert figure.subtitle.startswith("Made-up data")
        assert {"The original's", "Preferred"} <= set(figure.data.values("label"))
    declared = int(result.claim("robust.declared").value)
    tests = result.tables["curve_tests"]
    for ways, lost in zip(tests.values("ways"), tests.values("skipped"), strict=True):
        assert ways + lost == declared
    for name in outcomes:
        found = {k: result.claim(f"robust.{name}.{k}").value for k in ("ways", "same", "told_same")}
        assert found["told_same"] <= found["same"] <= found["ways"] <= declared
    family = result.tables["family"]
    for alone, corrected in (("p", "holm_all"), ("p_wild", "wolf_all")):
        for one, several in zip(family.values(alone), family.values(corrected), strict=True):
            assert several >= one
    ids = [c.id for c in result.checks]
    assert len(set(ids)) == len(ids)
    assert {f"specification_curve_{name}" for name in outcomes} <= set(ids)
    wanted = ("summary", "choices", "left_out", "placebos", "trends", "staggered", "missing")
    assert set(wanted) <= set(result.tables)
    # The main estimate is that of the question's own chapter.
    own = ran("rq4_kinship_care").claim("rq4.original.preferred.att")
    assert result.claim("robust.kinship.att").value == own.value


def test_restricted_records_are_rated_and_not_called_made_up(extract: Path, tmp_path: Path) -> None:
    path = _restricted(tmp_path)
    result = chapter("rq2_rereferral_after_nfa", study=str(path), extract=str(extract), draws=DRAWS)
    assert result.origin == "restricted"
    assert result.verdict is not None
    assert result.verdict.certainty in ("very low", "low", "moderate")
    assert f"How sure we are: {result.verdict.certainty}." in result.say("answer").text
    text = " ".join(result.say(key).text for key in result.prose)
    text += "".join(f.title + f.subtitle + f.source for f in result.figures.values())
    assert "ade-up" not in text
    assert "worked example" not in text.lower()
    assert not [c.id for c in result.claims.values() if c.origin == "synthetic"]
    assert "covers_truth" not in {c.id for c in result.checks}


def test_a_thin_sample_is_marked_or_refused_never_guessed(
    small_extract: Path, tmp_path: Path
) -> None:
    """One per cent of England or less: what cannot be computed is a symbol, or one clear error."""
    from sos_analysis.records.synthetic import generate

    result = chapter("rq3_escalation_on_rereferral", extract=str(small_extract), draws=DRAWS)
    cells = [v for key in ("low", "high", "crv3") for v in result.tables["estimates"].values(key)]
    assert {"[c]", "[x]"} & set(cells)
    assert all(isinstance(v, str) or math.isfinite(v) for v in cells)
    study = load_study()
    codes = [a.code for a in study.authorities]
    generate(study, tmp_path / "npd", tmp_path / "truth", scale=0.003, authorities=codes)
    with pytest.raises(RecordsError, match=r"no matched group is left.*Use a larger extract"):
        chapter("rq4_kinship_care", extract=str(tmp_path / "npd"), draws=DRAWS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('matched_primary = "slot permutation"', 'matched_primary = "CRV3"', "matched_primary"),
        ("level = 0.95", "level = 0.9", r"inference\.level is 0\.9.*0\.95"),
    ],
)
def test_a_declaration_that_would_be_ignored_is_refused(
    extract: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = load_study().path.read_text("utf-8")
    assert old in text
    path = tmp_path / "declared.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        chapter("rq4_kinship_care", study=str(path), extract=str(extract), draws=DRAWS)


def test_claims_are_the_estimates_in_the_readers_unit(
    extract: Path, ran: Callable[[str], ChapterResult]
) -> None:
    study = load_study()
    chosen = chapters.checked(
        CHAPTERS["rq4_kinship_care"], {"extract": str(extract), "draws": DRAWS}
    )
    found = fit(study, "kinship", "strict", chosen)
    result = ran("rq4_kinship_care")
    claim = result.claim("rq4.strict.preferred.att")
    assert claim.value == pytest.approx(100 * found.preferred.att, abs=0.051)  # one decimal shown
    assert claim.low == pytest.approx(100 * found.preferred.ci[0], abs=0.051)
    assert result.claim("rq4.truth").value == -8
    # The planted effect must not pass for the published one.
    assert result.claim("rq4.truth").value != published().finding("kinship.size").value


def test_stored_result_is_used_only_where_nothing_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chapter("public_statistics")
    monkeypatch.setattr(workspace, "RESULTS", tmp_path)
    made.save(tmp_path / "public_statistics.json")

    def refuse(spec: object, chosen: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(chapters, "compute", refuse)
    assert chapter("public_statistics").to_json() == made.to_json()
    with pytest.raises(AssertionError, match="computed again"):
        chapter("public_statistics", seed=3)
    stored = tmp_path / "public_statistics.json"
    stored.write_text(stored.read_text("utf-8").replace("−", "+", 1), encoding="utf-8")
    with pytest.raises(AssertionError, match="computed again"):
        chapter("public_statistics")  # a file changed by hand is not trusted


def test_public_chapter_says_what_the_companion_found() -> None:
    from sos_analysis import companion

    result, released = chapter("public_statistics"), companion.run(None)
    for outcome, short in (
        ("rereferral_percent", "rereferral"),
        ("no_further_action_percent", "nfa"),
        ("not_in_need_percent", "not_in_need"),
    ):
        e = released.estimate(outcome)
        assert result.claim(f"public.{short}.att").value == pytest.approx(e.att, abs=0.051)
        crosses = e.ci[0] < 0 < e.ci[1]
        sentence = result.claim(f"public.{short}.sentence").text()
        assert ("unsure" in sentence or "cannot tell" in sentence) == crosses
    assert all(c.origin in ("public", "design", "programme") for c in result.claims.values())


def test_facts_name_their_source_and_hold_what_pages_ask_for(root: Path) -> None:
    from sos_analysis.chapters import explore

    facts = chapters.facts()
    for claim in facts.claims.values():
        if claim.origin == "published":
            assert "http" in claim.source or "2021" in claim.source, claim.id
    with pytest.raises(ClaimError, match="published"):
        facts.claim("published.kinship.masage")
    # The made-up England is measured on a whole extract, which this test has not: names alone.
    source = (root / "sos_analysis" / "chapters" / "england.py").read_text("utf-8")
    measured = {f"england.{name}" for name in re.findall(r'self\.claim\(\s*"(\w+)"', source)}
    known = {*facts.claims, *chapter("public_statistics").claims, *measured}
    known |= {*explore.public().claims, f"{explore.EXAMPLE}.ways"}
    for page in sorted((root / "book").glob("*.md")):
        for name in re.findall(r"\{claim\}`([^`:]+)", page.read_text("utf-8")):
            assert name in known, f"{page.name}: {name}"


def test_method_validation_says_what_was_counted(extract: Path, tmp_path: Path) -> None:
    from sos_analysis import validation

    result = chapter("method_validation", extract=str(extract), runs=20, draws=99)
    assert result.origin == "synthetic"
    assert result.notes["provenance"] == "computed"
    found = validation.run(load_study(), str(extract), runs=20, rated=20, draws=99)
    for setting in validation.KINDS:
        share = found.of(setting, "preferred", "slots").rejected
        claim = result.claim(f"validation.{setting.replace('_', '.')}.slots.reports")
        assert claim.value == pytest.approx(100 * share, abs=0.51)  # shown without decimals
    for name in ("rating.none", "rating.planted", "dose.none", "dose.planted"):
        share = found.differing(f"{name.replace('.', '_')}_own").rejected
        claim = result.claim(f"validation.differ.{name}.own.reports")
        assert claim.value == pytest.approx(100 * share, abs=0.51)
    expected = {"kinds", "reports", "covers", "bias", "ladder", "sizes", "differences", "taken_up"}
    assert set(result.tables) >= expected
    text = " ".join(str(result.say(name).text) for name in result.prose)
    assert "Signs of Safety" not in text
    # A study on real records plants nothing; the same page works, on its counts.
    real = chapter(
        "method_validation",
        study=str(_restricted(tmp_path)),
        extract=str(extract),
        runs=20,
        draws=99,
    )
    assert real.origin == "synthetic"


def test_authority_years_are_filled_and_standardised() -> None:
    frame = pd.DataFrame(
        {"la": ["001"] * 3 + ["002"] * 3, "year": [2014, 2015, 2016] * 2, "n": [1, 2, 3, 4, 5, 6]}
    )
    years = frame[["la", "year"]].assign(
        ofsted=[1.0, np.nan, 3.0, 2.0, 2.0, 2.0],
        fsm_primary=[5.0] * 6,
        fsm_secondary=[np.nan] * 3 + [1.0, 2.0, 3.0],
    )
    joined, kept = with_la_years(frame, years)
    # Constant, and unknown for a whole authority: neither can be used.
    assert kept == ("ofsted",)
    filled = np.array([1.0, 2.0, 3.0, 2.0, 2.0, 2.0])
    weight = frame["n"].to_numpy(float)
    mean = np.average(filled, weights=weight)
    spread = math.sqrt(np.average((filled - mean) ** 2, weights=weight))
    assert joined["ofsted"].to_numpy() == pytest.approx((filled - mean) / spread, abs=1e-12)


@pytest.mark.full
def test_planted_kinship_effect_is_found_at_full_size(tmp_path: Path) -> None:
    """Recovery: three made-up Englands, true effect -8 per 100 on the original's definition."""
    from sos_analysis.records.synthetic import generate

    study = load_study()
    codes = [a.code for a in study.authorities]
    misses = []
    for seed in (1, 2, 3):
        folder = tmp_path / str(seed)
        generate(study, folder / "npd", folder / "truth", seed=seed, authorities=codes)
        result = chapter("rq4_kinship_care", extract=str(folder / "npd"), draws=999)
        claim = result.claim("rq4.original.preferred.att")
        assert claim.low is not None
        assert claim.high is not None
        misses.append(not claim.low <= -8 <= claim.high)
        # Authority-year shocks of about 5 points in 8 pilots: standard error near 3 points.
        assert abs(float(claim.value) + 8) < 12
    # One miss in three happens 14 times in 100 at 95 % coverage; two or more, 1 time in 100.
    assert sum(misses) <= 1
