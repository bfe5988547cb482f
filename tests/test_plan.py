"""The plan: every item answered, and a wrong one named by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from sos_analysis.chapters import CHAPTERS
from sos_analysis.errors import StudyError
from sos_analysis.plan import PATH, departures_page, items_page, load_plan

GOOD = """
[[items]]
id = "a"
what = "A thing"
whose = "ours"
status = "done"
chapter = "rq4_kinship_care"

[[departures]]
id = "d"
original = "So."
here = "Otherwise"
why = "Because."
effect = "This much."
"""


def test_the_shipped_plan_answers_every_item_and_names_what_the_original_studied() -> None:
    plan = load_plan()
    assert {"duration", "rereferral", "escalation", "kinship", "icpc", "ofsted", "embeddedness",
            "practice_models"} <= {i.id for i in plan.items if i.whose == "original"}  # fmt: skip
    for item in plan.items:
        assert bool(item.why) == (item.status != "done"), item.id
        assert (item.chapter in CHAPTERS) == (item.status != "not done"), item.id
    # No number is typed: a size in a departure is a claim.
    for departure in plan.departures:
        assert not any(c.isdigit() for c in departure.effect.replace("rq", "").split("{claim}")[0])


def test_pages_link_to_chapters_and_keep_claims() -> None:
    plan = load_plan()
    titles = {name: spec.title for name, spec in CHAPTERS.items()}
    table = items_page(plan, "original", titles)
    assert "](chapters/rq4_kinship_care) |" in table
    assert "Not done: " in table
    assert "No chapter" in table
    assert "{claim}`rq4.strict.preferred.att`" in departures_page(plan)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('status = "done"\n', "", r"items\[0\]\.status: missing; write one of 'done'"),
        ('status = "done"', 'status = "begun"', r"items\[0\]\.status: found 'begun'"),
        ('status = "done"', 'status = "changed"', r"items\[0\]\.why: missing"),
        ('status = "done"', 'status = "not done"\nwhy = "x"', "not done has no chapter"),
        ('"rq4_kinship_care"', '"rq4_kinship"', "Did you mean 'rq4_kinship_care'"),
        ('chapter = "rq', 'why = "x"\nchapter = "rq', "needs no reason"),
        ('id = "d"', 'id = "a"', "'a' is used twice"),
        ("whose", "who", r"unknown key.*Did you mean 'whose'"),
    ],
)
def test_a_plan_without_an_answer_is_refused_by_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert len(load_plan(path).items) == 1
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_plan(path)
    assert PATH.is_file()
