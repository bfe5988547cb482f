"""Claims, sentences, chapter results and the bundle."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Rules
from hypothesis import given
from hypothesis import strategies as st

from sos_analysis import checks, evidence, results
from sos_analysis.disclosure import Column, FigureOptions, safe_figure, safe_table
from sos_analysis.errors import ClaimError, DisclosureError
from sos_analysis.formats import MINUS, escape, number, quantity, spoken
from sos_analysis.results import Bundle, ChapterResult, Claim, content_hash, load_bundle

XSS = '<script>alert("x")</script>&\'"\x00 council'


def claim(claim_id: str = "rq4.att", value: Any = -8.14, **more: Any) -> Claim:
    given: dict[str, Any] = {
        "unit": "per 100",
        "origin": "synthetic",
        "chapter": "rq4_kinship_care",
        "source": "did.preferred",
    }
    return Claim(claim_id, value, **{**given, **more})


def chapter(name: str = "rq4_kinship_care", **more: Any) -> ChapterResult:
    att = claim(low=-12.04, high=-3.06)
    p = claim("rq4.p", 0.0004, unit="p", decimals=3)
    shown: dict[str, Any] = {
        "title": "Test records",
        "source": "Test records",
        "origin": "synthetic",
        "rules": Rules(),
    }
    table = safe_table(
        [{"g": XSS, "n": 1234}, {"g": "Small", "n": 4}],
        columns={"g": "Group", "n": Column("Children", "children")},
        count_columns=("n",),
        population="test",
        authorities=9,
        **shown,
    )
    figure = safe_figure(
        "estimates",
        [{"label": XSS, "value": -8.14, "low": -12.04, "high": -3.06}],
        subtitle="Made-up data. Difference per 100",
        alt="One estimate",
        options=FigureOptions("Difference", "per 100", mid=3),
        residual_dof=26,
        **shown,
    )
    given: dict[str, Any] = {
        "title": "Kinship",
        "origin": "synthetic",
        "parameters": {"study": "synthetic", "draws": 99, "cem": True, "list": (1, 2)},
        "claims": {c.id: c for c in (att, p)},
        "tables": {"counts": table},
        "figures": {"effect": figure},
        "checks": (checks.few_clusters(27, 9), checks.covers_truth(-12, -3, -2, "per 100")),
        "verdict": evidence.verdict(
            value=-8,
            low=-12,
            high=-3.1,
            mid=3,
            p_primary=0.01,
            p_secondary=0.02,
            outcome="kinship care",
            origin="synthetic",
        ),
        "prose": {"answer": "A fall of {rq4.att:size}, <em>{rq4.att:interval}</em> (p {rq4.p})."},
        "hashes": {"study": "abc", "code": results.code_hash("question")},
        "notes": {"run": "in the test"},
    }
    return ChapterResult(name, **{**given, **more})


# --- numbers in words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "text"),
    [
        (-8.14, "per 100", 1, "−8.1 per 100"),
        (1234567.4, "", 0, "1,234,567"),
        (-1234.5, "", 1, "−1,234.5"),
        (-0.04, "", 1, "0.0"),
        (1, "working days", 0, "1 working day"),
        (-1, "working days", 0, "−1 working day"),
        (1.0, "working days", 1, "1.0 working days"),
        (2, "children", 0, "2 children"),
        (1, "children", 0, "1 child"),
        (12.34, "%", 1, "12.3%"),
        (3.4, "percentage points", 1, "3.4 percentage points"),
        (0.03, "p", 2, "0.03"),
        (0.0004, "p", 3, "<0.001"),
        (0.001, "p", 3, "0.001"),
        (0.0, "p", 3, "<0.001"),
    ],
)
def test_a_quantity_in_words(value: float, unit: str, decimals: int, text: str) -> None:
    assert quantity(value, unit, decimals) == text


@given(st.floats(-1e9, 1e9), st.integers(0, 4))
def test_a_number_reads_back_as_itself(value: float, decimals: int) -> None:
    text = number(value, decimals)
    assert "-" not in text
    back = float(text.replace(",", "").replace(MINUS, "-"))
    # Rounded to half a unit of the last digit shown; the rest is float noise at 1e9.
    assert abs(back - value) <= 0.5 * 10**-decimals + 1e-6
    assert not text.startswith(MINUS) or back < 0


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (-8.1, -12.0, -3.1, "per 100", "about 8 fewer (between 3 and 12 fewer)"),
        (8.1, 3.1, 12.0, "per 100", "about 8 more (between 3 and 12 more)"),
        (-1.2, -5.0, 3.0, "per 100", "about 1 fewer (between 5 fewer and 3 more)"),
        (0.2, -5.0, 3.0, "per 100", "about as many (between 5 fewer and 3 more)"),
        (-2.0, -3.0, -1.0, "working days",
         "about 2 working days shorter (between 1 and 3 shorter)"),
        (1.0, None, None, "working days", "about 1 working day longer"),
        (-0.2, -1.0, 1.0, "percentage points",
         "about as high (between 1 lower and 1 higher)"),
    ],
)  # fmt: skip
def test_a_difference_as_people_say_it(
    value: float, low: float | None, high: float | None, unit: str, text: str
) -> None:
    assert spoken(value, low, high, unit) == text


# --- claims -----------------------------------------------------------------------------------


def test_every_form_of_a_claim() -> None:
    made = claim(low=-12.04, high=-3.06)
    assert {f: made.render(f) for f in Claim.forms} == {
        "text": "−8.1 per 100",
        "value": "−8.1",
        "signed": "−8.1",
        "size": "8.1 per 100",
        "interval": "−12.0 to −3.1",
        "size_interval": "3.1 to 12.0",
        "full": "−8.1 per 100 (95% interval −12.0 to −3.1)",
        "natural": "about 8 fewer (between 3 and 12 fewer)",
        "direction": "lower",
    }
    assert made.text() == "−8.1 per 100"
    assert made.interval_text() == "−12.0 to −3.1"
    up = claim(value=np.float64(2.25), low=-1.0, high=np.float32(5.5), level=0.9)
    assert up.render("signed") == "+2.2"
    assert up.render("direction") == "higher"
    assert up.render("full") == "2.2 per 100 (90% interval −1.0 to 5.5)"
    assert claim(value=0.01).render("direction") == "the same"
    with pytest.raises(ClaimError, match="crosses zero"):
        up.render("size_interval")


def test_a_claim_holds_no_more_than_it_shows() -> None:
    made = claim(value=-8.123456, low=-12.0456, high=-3.0654)
    assert (made.value, made.low, made.high) == (-8.1, -12.0, -3.1)
    counted = claim(value=np.int64(1235), unit="children", decimals=0)
    assert counted.value == 1235
    assert type(counted.value) is int
    assert json.loads(json.dumps(made.to_dict()))["value"] == -8.1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"claim_id": "att"}, "dots"),
        ({"claim_id": "RQ4.att"}, "lower-case"),
        ({"claim_id": 'rq4."><script>'}, "lower-case"),
        ({"origin": "real"}, "allowed: published, programme, design, public, restricted"),
        ({"chapter": ""}, "chapter is empty"),
        ({"source": " "}, "source is empty"),
        ({"unit": "<b>"}, "unit"),
        ({"decimals": -1}, "decimals"),
        ({"value": float("nan")}, "not a finite number"),
        ({"value": None}, "not a finite number"),
        ({"value": True}, "not a finite number"),
        ({"value": ""}, "empty"),
        ({"low": 1.0}, "both ends"),
        ({"low": 2.0, "high": 1.0}, "runs from"),
        ({"value": 8.1, "low": -12.0, "high": -3.1}, "outside its own interval"),
        ({"value": "words", "low": 1.0, "high": 2.0}, "words have no interval"),
    ],
)
def test_what_no_claim_may_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        claim(**more)


@pytest.mark.parametrize("form", Claim.forms)
def test_forms_that_do_not_suit_are_refused(form: str) -> None:
    words = claim(value="no strong evidence", unit="")
    if form in ("text", "value", "full"):
        assert words.render(form) == "no strong evidence"
    else:
        with pytest.raises(ClaimError, match="is words"):
            words.render(form)
    if form in ("interval", "size_interval", "full"):
        with pytest.raises(ClaimError, match="no interval"):
            claim().render(form)
    with pytest.raises(ClaimError, match="allowed: text, value"):
        claim().render(f"{form}?")


def test_html_of_a_claim_names_it_and_is_escaped() -> None:
    made = claim(value=XSS, unit="", origin="published")
    text = made.to_html()
    assert "<script" not in text
    assert text.startswith('<span class="claim claim-published" data-claim="rq4.att">&lt;script')
    plain = claim(low=-12, high=-3).to_html("interval")
    assert plain == (
        '<span class="claim claim-synthetic" data-claim="rq4.att" data-form="interval">'
        "−12.0 to −3.0</span>"
    )
    assert "\x00" not in escape(XSS)


# --- chapters ---------------------------------------------------------------------------------


class _Outline(html.parser.HTMLParser):
    """Tags that were opened and never closed, scripts and event handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.open.append(tag)
        if tag == "script" and dict(attrs).get("type") != "application/json":
            self.bad.append("script")
        self.bad += [k for k, v in attrs if k.startswith("on") or "javascript:" in (v or "")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.bad += [k for k, _ in attrs if k.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def pieces(result: ChapterResult) -> dict[str, results.Rendered]:
    return {
        "say": result.say("answer"),
        "table": result.table("counts"),
        "figure": result.figure("effect"),
        "fold": result.fold("counts"),
        "checks": result.checks_table(),
        "verdict": result.verdict_card(),
        "value": result.value("rq4.att", "full"),
    }


def test_all_pieces_render_as_sound_html_with_a_text_beside_it() -> None:
    for name, piece in pieces(chapter()).items():
        outline = _Outline()
        outline.feed(piece.html)
        assert outline.open == [], name
        assert outline.bad == [], name
        assert "<script>" not in piece.html, name
        bundle = piece._repr_mimebundle_()
        assert list(bundle) == ["text/html", "text/plain"]
        assert bundle["text/plain"].strip(), name


def test_a_sentence_is_filled_from_claims_and_changes_with_them() -> None:
    said = chapter().say("answer")
    assert str(said) == "A fall of 8.1 per 100, −12.0 to −3.1 (p <0.001)."
    assert said.html.count("data-claim=") == 3
    assert "&lt;0.001" in said.html
    moved = claim(value=-5.0, low=-9.0, high=-1.0)
    other = chapter(claims={"rq4.att": moved, "rq4.p": chapter().claims["rq4.p"]})
    assert "5.0 per 100, −9.0 to −1.0" in str(other.say("answer"))


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("A fall of {rq4.ate}.", r"did you mean rq4\.att"),
        ("A fall of {rq4.att:median}.", "no form 'median'"),
        ("A fall of {}.", "no claim ''"),
        ("A fall of {rq4.att.", "'{' is not allowed"),
        ("A <script>x</script>.", "'<' is not allowed"),
        ('A <a href="javascript:x">.</a>', "'<' is not allowed"),
        ('A <em onclick="x">.</em>', "'<' is not allowed"),
    ],
)
def test_sentences_with_unknown_claims_or_mark_up_are_refused(sentence: str, message: str) -> None:
    with pytest.raises(ClaimError, match=message):
        chapter(prose={"answer": sentence})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": "../evil"}, "notebook stem"),
        ({"origin": "real"}, "allowed: published"),
        ({"origin": "public"}, "but its verdict is synthetic"),
        ({"claims": {"other.id": claim()}}, "filed under"),
        ({"tables": {"counts": [{"n": 3}]}}, "only a SafeTable"),
        ({"figures": {"effect": {"data": [3]}}}, "only a SafeFigure"),
        ({"tables": {"../x": None}}, "only a SafeTable"),
        ({"parameters": {"x": {1, 2}}}, "cannot hash"),
        ({"parameters": {"x": float("nan")}}, "cannot hash"),
    ],
)
def test_what_no_chapter_may_hold(more: dict[str, Any], message: str) -> None:
    more = {"prose": {}, **more}
    with pytest.raises(ClaimError, match=message):
        chapter(**more)


def test_unknown_names_are_errors_that_list_what_there_is() -> None:
    result = chapter()
    for call, message in (
        (lambda: result.table("count"), "it has: counts"),
        (lambda: result.figure("trend"), "it has: effect"),
        (lambda: result.say("answers"), "it has: answer"),
        (lambda: result.claim("rq4.attt"), r"did you mean rq4\.att"),
        (lambda: chapter(verdict=None).verdict_card(), "no verdict"),
        (lambda: chapter(checks=()).checks_table(), "no checks"),
    ):
        with pytest.raises(ClaimError, match=message):
            call()


def test_checks_are_listed_fails_first_and_made_up_results_are_not_rated() -> None:
    text = str(chapter().checks_table())
    assert text.index("Fail: ") < text.index("Pass: ")
    card = chapter().verdict_card()
    assert "not rated: the data are made up" in card.html
    assert "not estimated here" in card.html
    assert "Signs of Safety" not in card.html
    # Where a rating would stand, made-up data get a sentence that says why there is none.
    assert "because the data are made up" in chapter().rating_card().text


def test_a_rated_result_shows_three_dials_why_and_what_would_change_it() -> None:
    rated = evidence.verdict(
        value=-8, low=-12, high=-3.1, mid=3, p_primary=0.01, p_secondary=0.02, origin="public",
        outcome="kinship care", good="up",
    )  # fmt: skip
    card = chapter(origin="public", verdict=rated, claims={}, prose={}).rating_card()
    for words in ("What was found", "How sure", "Cost", "Why this rating", "What would change it"):
        assert words in card.html
    assert card.html.index("A possible harm") < card.html.index("What was found")
    assert all(escape(reason) in card.html for reason in rated.reasons)


def test_a_claim_takes_the_fingerprints_of_its_chapter_and_says_how_it_was_made() -> None:
    own = claim("rq4.own", 3.0, hashes={"data": "own"})
    made = chapter(claims={"rq4.att": claim(low=-12.04, high=-3.06), own.id: own}, prose={},
                   hashes={"study": "s1", "data": "d1", "code": "c1"})  # fmt: skip
    assert dict(made.claims["rq4.att"].hashes) == {"study": "s1", "data": "d1", "code": "c1"}
    assert made.claims["rq4.own"].hashes["data"] == "own"
    assert results.bundle([made]).unfounded() == ()
    assert "no hash of its data" in results.bundle([chapter()]).unfounded()[0]
    shown = made.provenance(["rq4.att"]).html
    assert '<tr id="how-rq4-att">' in shown
    for words in ("−8.1 per 100 (95% interval −12.0 to −3.1)", "Made-up data", "did.preferred",
                  "Decimals kept: 1", "s1", "d1", "c1"):  # fmt: skip
        assert words in shown, words
    assert made.seal == ChapterResult.from_json(made.to_json()).seal
    assert made.seal != chapter().seal


def test_downloads_carry_their_origin_in_name_and_content() -> None:
    files = chapter().csv_files()
    assert set(files) == {
        "rq4_kinship_care/made-up-counts.csv",
        "rq4_kinship_care/made-up-effect.csv",
    }
    assert all(text.startswith("origin,source,") for text in files.values())
    shown = chapter().figure("effect").html
    assert 'href="../../downloads/rq4_kinship_care/made-up-effect.csv"' in shown


# --- on disk ----------------------------------------------------------------------------------


def test_a_result_is_the_same_after_a_round_trip_and_the_same_bytes_each_time(
    tmp_path: Path,
) -> None:
    first = chapter()
    path = first.save(tmp_path / "deep" / "rq4_kinship_care.json")
    again = ChapterResult.load(path)
    assert again == first
    assert again.to_json() == first.to_json() == chapter().to_json()
    assert {k: v.html for k, v in pieces(again).items()} == {
        k: v.html for k, v in pieces(first).items()
    }
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"value": -8.1', '"value": 8.1', "seal"),
        ('"A fall of', '"A rise of', "seal"),
        ('"version": 1', '"version": 99', "version 99"),
        ('"schema": "sos-results"', '"schema": "other"', "not a sos-results"),
        ("{", "", "not JSON"),
    ],
)
def test_a_result_changed_by_hand_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = chapter().save(tmp_path / "a.json")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ClaimError, match=message):
        ChapterResult.load(path)


def test_a_failed_save_leaves_the_last_good_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = chapter().save(tmp_path / "a.json")
    good = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        chapter(title="Other").save(path)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_bundle_joins_chapters_and_refuses_doubles(tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="no results"):
        load_bundle(tmp_path)
    chapter().save(tmp_path / "rq4_kinship_care.json")
    other = claim("rq1.att", 1.0, chapter="rq1_assessment_duration")
    one = ChapterResult("rq1_assessment_duration", "D", "synthetic", claims={other.id: other})
    one.save(tmp_path / "rq1_assessment_duration.json")
    loaded = load_bundle(tmp_path)
    assert isinstance(loaded, Bundle)
    assert sorted(loaded.claims) == ["rq1.att", "rq4.att", "rq4.p"]
    assert loaded.claim("rq4.att").text() == "−8.1 per 100"
    assert [c.name for c in loaded] == ["rq1_assessment_duration", "rq4_kinship_care"]
    assert loaded.chapter("rq4_kinship_care").title == "Kinship"
    with pytest.raises(ClaimError, match=r"no claim 'rq4\.at' in the results; did you mean"):
        loaded.claim("rq4.at")
    with pytest.raises(ClaimError, match="no chapter"):
        loaded.chapter("rq9")
    twin = ChapterResult("rq3_x", "E", "synthetic", claims={"rq4.att": claim()})
    twin.save(tmp_path / "rq3_x.json")
    with pytest.raises(ClaimError, match=r"'rq4\.att' is made twice"):
        load_bundle(tmp_path)


def test_results_are_frozen() -> None:
    result = chapter()
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.title = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        result.claims["rq4.att"] = claim()  # type: ignore[index]
    with pytest.raises(DisclosureError):
        dataclasses.replace(result.tables["counts"], title="x")


def test_hashes_are_stable_and_depend_on_content_alone() -> None:
    assert content_hash({"a": 1, "b": [1, 2]}) == content_hash({"b": [1, 2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    assert len(results.code_hash("question")) == 12
    assert results.code_hash("question") == results.code_hash("question")


def test_the_room_is_light_to_enter() -> None:
    code = (
        "import sys, sos_analysis.results\n"
        "heavy = {'pandas', 'numpy', 'plotly', 'statsmodels', 'ibis'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_release_is_compared_with_the_one_before(tmp_path: Path) -> None:
    """New, gone and changed claims are told apart; the newest earlier record counts."""
    from sos_analysis.results import history

    before = results.bundle([chapter()])
    for version in ("0.9.0", "0.10.0", "1.0.0"):
        text = json.dumps(history.record(before, version))
        (tmp_path / f"{version}.json").write_text(text, encoding="utf-8")
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    path = history.latest(tmp_path, "1.0.0")
    assert path is not None
    assert path.stem == "0.10.0"
    assert history.latest(tmp_path, "0.9.0") is None
    version, old = history.load_record(path)
    assert not history.compare(version, old, history.said(before))
    moved = {k: v for k, v in old.items() if k != "rq4.p"}
    moved["rq4.att"] = dataclasses.replace(old["rq4.att"], text="other")
    moved["rq4.new"] = old["rq4.p"]
    changes = history.compare(version, old, moved)
    assert (list(changes.new), list(changes.gone)) == (["rq4.new"], ["rq4.p"])
    assert changes.changed == {"rq4.att": (old["rq4.att"], moved["rq4.att"])}
    assert "95% interval" in old["rq4.att"].text
    with pytest.raises(ClaimError, match=r"notes\.json is no record"):
        history.load_record(tmp_path / "notes.json")
