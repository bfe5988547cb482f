"""Chapters on secondary analyses: groups, refusals, wording, and use of similar models."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from test_chapters import _restricted

from sos_analysis.chapters import CHAPTERS, chapter, secondary
from sos_analysis.errors import ParameterError, StudyError
from sos_analysis.estimation.multiplicity import holm
from sos_analysis.results import ChapterResult
from sos_analysis.study import load_study

pytestmark = pytest.mark.xdist_group("chapters")

RATING, DOSE, MODELS = (
    "subgroup_ofsted_rating",
    "subgroup_embeddedness",
    "comparator_practice_models",
)
DRAWS = 199  # enough for the machinery; no test here reads a p-value's size


@pytest.fixture(scope="module")
def ran(study_extract: Path) -> Callable[[str], ChapterResult]:
    """Each chapter once, on the small extract."""
    return functools.cache(lambda name: chapter(name, extract=str(study_extract), draws=DRAWS))


@pytest.fixture
def same_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that differs in nothing that cells hold takes those of the shipped one."""
    real = secondary.cells_for
    monkeypatch.setattr(secondary, "cells_for", lambda study, *rest: real(load_study(), *rest))


def _study(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """The worked example's study file with some text changed."""
    text = load_study().path.read_text("utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / "changed.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", [RATING, DOSE, MODELS])
def test_made_up_results_never_speak_of_the_programme(
    ran: Callable[[str], ChapterResult], name: str
) -> None:
    result = ran(name)
    assert result.origin == "synthetic"
    assert result.verdict is None, "made-up data are never rated"
    for key in result.prose:
        if key not in ("published", "companion", "rule_out"):
            assert "Signs of Safety" not in result.say(key).text, key
    assert result.say("published").text.startswith("Published evaluation.")
    assert result.say("answer").text.startswith("In the worked example, ")
    assert "not about Signs of Safety" in result.say("rule_out").text
    for figure in result.figures.values():
        assert figure.title.startswith("Worked example")
        assert figure.subtitle.startswith("Made-up data")
    for claim in result.claims.values():
        if claim.origin == "synthetic" and isinstance(claim.value, str):
            assert "Signs of Safety" not in claim.value
    assert len(result.figures) == 1
    assert not set(result.figures) & set(result.tables), "both become files of that name"
    text = " ".join(result.say(key).text for key in result.prose)
    assert not re.search(r"\bprove|\bsignifican", text)


def test_pilots_are_grouped_by_the_rating_before_embedding(
    ran: Callable[[str], ChapterResult],
) -> None:
    study, result = load_study(), ran(RATING)
    before = [
        study.authority(p.la).ofsted_at(p.embedding_start - timedelta(days=1)) for p in study.pilots
    ]
    good = sum(rating in ("good", "outstanding") for rating in before)
    assert result.claim("rating.pilots_second").value == good
    assert result.claim("rating.pilots_first").value == len(before) - good
    groups = result.tables["groups"]
    for outcome, pilots, ways, las in zip(
        *(groups.values(key) for key in ("outcome", "pilots", "ways", "las")), strict=True
    ):
        assert int(pilots) >= 3, outcome
        assert int(ways) > int(las)
    # The difference is that of the two rows, to the digits shown.
    for name in ("duration", "rereferral", "kinship", "icpc"):
        first, second, gap = (
            float(result.claim(f"rating.{name}.{key}").value)
            for key in ("first.att", "second.att", "difference")
        )
        assert gap == pytest.approx(second - first, abs=0.011)
    shown = [[float(v) for v in result.tables["differences"].values(key)] for key in ("p", "holm")]
    # p-values are shown to three decimals, and five of them are added up.
    assert shown[1] == pytest.approx(list(holm(shown[0])), abs=0.003)
    sizes = next(c for c in result.checks if c.id == "group_sizes")
    assert sizes.status == "fail"
    assert "cannot settle it" in sizes.sentence
    assert "bootstrap is not shown" in groups.caption
    # 9 choose 4: the smallest p there is.
    assert result.claim("rating.duration.difference_p_smallest").value == 0.008


@pytest.mark.usefixtures("same_cells")
def test_a_judgement_on_the_day_embedding_begins_does_not_count(
    study_extract: Path, tmp_path: Path
) -> None:
    """P2 was rated 'requires improvement'; a better rating on its first day changes nothing."""
    common = {"extract": str(study_extract), "draws": 99}
    line = '  { date = 2015-01-20, rating = "good" },\n  { date = 2018-07-10'
    day = '  { date = 2013-09-02, rating = "good" },\n' + line
    on_the_day = _study(tmp_path, (line, day))
    assert chapter(RATING, study=on_the_day, **common).claim("rating.pilots_second").value == 4
    eve = _study(tmp_path, (line, day.replace("2013-09-02", "2013-09-01")))
    assert chapter(RATING, study=eve, **common).claim("rating.pilots_second").value == 5
    unknown = _study(tmp_path, ('  { date = 2009-11-03, rating = "requires improvement" },\n', ""))
    with pytest.raises(
        StudyError, match=r"authority 013 has no Ofsted judgement before 2013-09-02"
    ):
        chapter(RATING, study=unknown, **common)


@pytest.mark.usefixtures("same_cells")
def test_single_ratings_are_shown_where_three_have_enough_pilots(
    study_extract: Path, tmp_path: Path, ran: Callable[[str], ChapterResult]
) -> None:
    assert "ratings" not in ran(RATING).tables
    worse = [
        ("2010-06-15", "good", "requires improvement"),
        ("2011-03-22", "requires improvement", "inadequate"),
        ("2012-05-08", "requires improvement", "inadequate"),
        ("2014-05-13", "requires improvement", "inadequate"),
    ]
    changes = [
        (f'date = {day}, rating = "{old}"', f'date = {day}, rating = "{new}"')
        for day, old, new in worse
    ]
    result = chapter(RATING, study=_study(tmp_path, *changes), extract=str(study_extract), draws=99)
    shown = result.tables["ratings"]
    rows = zip(shown.values("outcome"), shown.values("group"), shown.values("pilots"), strict=True)
    of_duration = [(g, n) for o, g, n in rows if str(o).startswith("Assessment duration")]
    assert of_duration == [("Good", 3), ("Inadequate", 3), ("Requires improvement", 3)]
    # Kinship care leaves out P9, one of three rated good: two are too few for a group.
    assert "rating.kinship.difference" not in result.claims


def test_the_dose_is_the_delivery_score(ran: Callable[[str], ChapterResult]) -> None:
    study, result = load_study(), ran(DOSE)
    scores = [p.delivery_score for p in study.pilots]
    above = sum(s > median(scores) for s in scores)
    assert result.claim("embed.pilots_second").value == above
    slope = result.claim("embed.kinship.slope")
    assert slope.low is not None
    assert slope.high is not None
    assert slope.low < float(slope.value) < slope.high
    # The widest difference still allowed, from lowest to highest score, follows from the interval.
    span = (max(scores) - min(scores)) / 0.1
    widest = span * max(abs(slope.low), abs(slope.high))
    assert float(result.claim("embed.widest").value) == pytest.approx(
        widest, abs=0.005 * span + 0.01
    )
    assert "does not mean that embedding is unimportant" in result.say("rule_out").text
    # Effects of single pilots never leave the chapter.
    assert not any("P1" in claim for claim in result.claims)


def test_practice_models_are_left_out_and_modelled(ran: Callable[[str], ChapterResult]) -> None:
    study, result = load_study(), ran(MODELS)
    pilots = {p.la for p in study.pilots}
    models = [a.practice_model for a in study.authorities if a.code not in pilots]
    for model in ("none", "partial", "same"):
        assert result.claim(f"models.comparators_{model}").value == models.count(model)
    keeps = sum(
        any(study.authority(la).practice_model == "none" for la in group.comparators)
        for group in study.groups("duration")
    )
    assert result.claim("models.duration.without_any.pilots").value == keeps
    table = result.tables["estimates"]
    hidden = [
        value
        for value, las in zip(table.values("value"), table.values("las"), strict=True)
        if value == "[c]"
    ]
    assert hidden, "so few authorities that an estimate would point at them"
    assert "models.kinship.without_any.att" not in result.claims
    for name in ("duration", "rereferral", "escalation", "kinship", "icpc"):
        kept = 1 - float(result.claim(f"models.{name}.hidden").value) / 100
        full = float(result.claim(f"models.{name}.modelled.att").value)
        # The share is shown in whole per cent, estimates to two decimals.
        assert float(result.claim(f"models.{name}.predicted").value) == pytest.approx(
            kept * full, abs=0.005 * abs(full) + 0.011
        )


def test_planted_use_in_comparators_shows_on_the_page(
    study_extract: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparators get their share of -8 points from April 2015 on, in the cells themselves."""
    common = {"extract": str(study_extract), "draws": 99, "counts_from_year": 2016}
    before = chapter(MODELS, **common)
    study, real = load_study(), secondary.cells_for
    pilots = {p.la for p in study.pilots}
    share = {
        a.code: {"same": 1.0, "partial": 0.5}.get(a.practice_model, 0.0)
        for a in study.authorities
        if a.code not in pilots
    }

    def contaminated(*given: object) -> object:
        cells = real(*given)  # type: ignore[arg-type]
        if given[2] != "kinship":
            return cells
        frame = cells.frame.copy()
        year = cells.intervals["year"].to_numpy()[frame["first"].to_numpy()]
        part = frame["la"].astype(str).map(share).fillna(0).to_numpy() * (year >= 2016)
        less = 0.08 * part * frame["n"].to_numpy()
        # Whole children, owed from cell to cell, so that each authority's number is right.
        taken = np.diff(np.floor(np.cumsum(less) + 0.5), prepend=0.0)
        frame["y_sum"] -= taken.astype(np.int64)
        object.__setattr__(cells, "frame", frame)
        return cells

    monkeypatch.setattr(secondary, "cells_for", contaminated)
    after = chapter(MODELS, **common)

    def value(result: ChapterResult, key: str) -> float:
        return float(result.claim(f"models.kinship.{key}").value)

    hidden = value(before, "hidden") / 100
    assert hidden > 0.15
    # Children owed fall into one stratum rather than another, whose weights differ: with some
    # hundred of them that moves a rate by half a point or so.
    moved = value(after, "all.att") - value(before, "all.att")
    assert moved == pytest.approx(8 * hidden, abs=1.5)
    # What use hides is given back by the model, whatever chance made of so small an extract.
    assert value(after, "modelled.att") < value(after, "all.att")
    for result in (before, after):
        larger = abs(value(result, "modelled.att")) > abs(value(result, "all.att"))
        assert ("estimate for kinship care is larger once" in result.say("answer").text) == larger
        title = result.figures["effects"].title
        assert title.endswith("is larger once similar models are counted") == larger


@pytest.mark.usefixtures("same_cells")
@pytest.mark.parametrize("name", [RATING, DOSE, MODELS])
def test_restricted_records_are_not_called_made_up(
    study_extract: Path, tmp_path: Path, name: str
) -> None:
    result = chapter(name, study=str(_restricted(tmp_path)), extract=str(study_extract), draws=99)
    said = " ".join(result.say(key).text for key in result.prose)
    said += "".join(f.title + f.subtitle + f.source for f in result.figures.values())
    said += "".join(t.caption + t.source for t in result.tables.values())
    assert "ade-up" not in said
    assert "made up" not in said
    assert "worked example" not in said.lower()
    assert not [c.id for c in result.claims.values() if c.origin == "synthetic"]
    assert "covers_truth" not in {c.id for c in result.checks}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"same_share": 1.5}, "same_share is 1.5; give a number from 0 to 1"),
        ({"same_share": 1}, "must be float"),
        ({"counts_from_year": 1999}, "allowed: 0, 2009"),
        ({"public_data": "x"}, "has no parameter 'public_data'"),
    ],
)
def test_parameters_are_checked(given: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        chapter(MODELS, **given)


def test_the_three_chapters_are_registered_in_reading_order() -> None:
    names = list(CHAPTERS)
    first = names.index(RATING)
    assert names[first : first + 3] == [RATING, DOSE, MODELS]
