"""Guidance follows the published report; rules alone change it, and each branch is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sos_analysis.doubts import SPOKEN, load_threats, threats_page
from sos_analysis.errors import SosError, StudyError
from sos_analysis.evidence import CERTAINTIES, Verdict
from sos_analysis.guidance import (
    BENEFIT,
    HARM,
    MOVED,
    NOT_ASSESSED,
    OPEN,
    PATH,
    READERS,
    RULES,
    SMALL,
    STANCES,
    Signal,
    load_decisions,
    signal,
)

NOUNS = {"kinship": "kinship care", "rereferral": "re-referral", "duration": "assessments"}


def say(outcome: str, stance: str, certainty: str) -> Signal:
    return Signal(outcome, NOUNS[outcome], stance, certainty)


@pytest.fixture(scope="module")
def decisions():
    return load_decisions()


def test_without_restricted_records_the_guidance_is_the_published_one(decisions):
    for reader in READERS:
        advice = decisions.advice(reader)
        assert advice.rules == ()
        assert advice.ask[0].what == "Kinship care, first"
        assert 2 < len(advice.ask) < 6, "a short checklist"
    assert decisions.advice("using").reasonable.startswith("Carry on, and watch kinship care")
    assert "{claim}`published.kinship.message`" in decisions.advice("using").think_twice[0]
    assert decisions.advice("improving").reasonable.startswith("Look at other ways")
    assert decisions.advice("values").reasonable.startswith("Judge it on other grounds")
    rows = dict(decisions.table())
    assert [q for q, told in rows.items() if told == NOT_ASSESSED] == [
        "Is the problem a priority for us?",
        "What do families value?",
        "Is it fair to all groups of children?",
        "Is it acceptable to families and staff?",
        "Can it be done with our staff and training?",
    ]
    assert rows["What does it cost?"] == "Not estimated here"


#: What records say; which rules must speak; what the text then says; what it no longer says.
BRANCHES = [
    ([say("rereferral", HARM, "moderate")], "using.harm", "Do not extend it yet", "Carry on"),
    ([say("rereferral", HARM, "high")], "using.harm", "re-referral", "Carry on"),
    ([say("rereferral", HARM, "low")], "using.possible_harm", "with low certainty", None),
    ([say("rereferral", BENEFIT, "moderate")], "using.benefit", "point to a benefit", None),
    ([say("kinship", HARM, "low")], "using.kinship_agrees", "point the same way", "Do not treat"),
    ([say("kinship", HARM, "high")], "using.kinship_agrees", "point the same way", "Do not treat"),
    ([say("kinship", SMALL, "low")], "using.kinship_differs", "do not bear that out", None),
    ([say("kinship", BENEFIT, "moderate")], "using.kinship_differs", "while the two", None),
    ([say("kinship", OPEN, "low")], "using.kinship_open", "too imprecise", None),
    ([say("rereferral", HARM, "moderate")], "improving.harm", "reason not to adopt", None),
    ([say("kinship", HARM, "moderate")], "improving.harm", "kinship care", None),
    (
        [say("rereferral", BENEFIT, "moderate")],
        "improving.benefit",
        "one option, for this alone: re-referral",
        "Look at other ways",
    ),
    ([say("rereferral", BENEFIT, "low")], "improving.possible_benefit", "too little", None),
    ([say("rereferral", SMALL, "moderate")], "improving.little", "hoping for more", None),
    ([say("kinship", HARM, "moderate")], "values.harm", "can still do harm", None),
]


@pytest.mark.parametrize(("told", "rule", "wanted", "gone"), BRANCHES)
def test_a_rule_changes_the_text(decisions, told, rule, wanted, gone):
    advice = decisions.advice(rule.partition(".")[0], told)
    assert rule in advice.rules
    text = " ".join([advice.reasonable, *advice.think_twice])
    assert wanted in text
    assert gone is None or gone not in text
    assert "{outcomes}" not in text


def test_every_rule_has_a_branch_above():
    assert {rule for _, rule, _, _ in BRANCHES} == {r.id for r in RULES}


@pytest.mark.parametrize(
    ("told", "reader", "silent"),
    [
        ([say("rereferral", HARM, "low")], "using", "using.harm"),
        ([say("rereferral", HARM, "low")], "improving", "improving.harm"),
        ([say("kinship", HARM, "high")], "using", "using.harm"),
        ([say("rereferral", BENEFIT, "low")], "improving", "improving.benefit"),
        ([say("rereferral", BENEFIT, "low")], "using", "using.benefit"),
        ([say("rereferral", SMALL, "low")], "improving", "improving.little"),
        ([say("kinship", HARM, "low")], "values", "values.harm"),
        ([say("duration", MOVED, "high")], "improving", "improving.benefit"),
    ],
)
def test_too_little_certainty_changes_nothing(decisions, told, reader, silent):
    assert silent not in decisions.advice(reader, told).rules


def test_harm_comes_before_benefit(decisions):
    both = [say("rereferral", BENEFIT, "high"), say("kinship", HARM, "moderate")]
    improving = decisions.advice("improving", both)
    assert improving.reasonable == decisions.advice("improving").reasonable
    assert improving.rules == ("improving.harm",)
    assert improving.think_twice[0].startswith("**About harm.**")
    also = [say("duration", BENEFIT, "high"), say("rereferral", HARM, "moderate")]
    assert decisions.advice("using", also).reasonable.startswith("Do not extend it yet")


def test_the_table_names_what_records_add(decisions):
    rows = {r[0]: r[2] for r in decisions.table([say("kinship", HARM, "low")])}
    assert rows["Are there harms?"] == "kinship care (low certainty)."
    assert rows["Are there benefits?"] == "None found."
    assert rows["How certain is the evidence?"] == "kinship care: low."
    assert rows["What does it cost?"] == NOT_ASSESSED


_SIGNALS = st.lists(
    st.builds(
        say, st.sampled_from([*NOUNS]), st.sampled_from(STANCES), st.sampled_from(CERTAINTIES)
    ),
    max_size=3,
    unique_by=lambda s: s.outcome,
)


@settings(max_examples=60, deadline=None)
@given(_SIGNALS)
def test_whatever_records_say_the_guidance_is_whole(told):
    for reader in READERS:
        advice = load_decisions().advice(reader, told)
        text = " ".join([advice.reasonable, *advice.think_twice])
        assert advice.ask[0].what == "Kinship care, first"
        assert advice.think_twice
        assert len(set(advice.rules)) == len(advice.rules)
        assert not re.search(r"\d", text), "a number typed"
        if all(s.stance == MOVED for s in told):
            assert advice.rules == (), "a change without a wanted direction advises nobody"


def _verdict(effect: str, certainty: str | None, origin: str, harm: bool = False) -> Verdict:
    return Verdict(effect, certainty, "Said.", (), (), origin, harm)


@pytest.mark.parametrize(
    ("effect", "certainty", "good", "harm", "stance"),
    [
        ("change", "moderate", "down", True, HARM),
        ("change, size uncertain", "low", "down", True, HARM),
        ("change", "low", "down", False, BENEFIT),
        ("change", "moderate", None, False, MOVED),
        ("little or no difference", "moderate", "up", False, SMALL),
        ("cannot tell", "low", "up", False, OPEN),
        ("inconclusive", "low", "up", False, OPEN),
        ("change", "very low", "down", False, OPEN),
        ("little or no difference", "very low", "up", False, OPEN),
    ],
)
def test_a_verdict_becomes_a_signal(effect, certainty, good, harm, stance):
    found = signal(
        "rereferral", "re-referral", good, _verdict(effect, certainty, "restricted", harm)
    )
    assert (found.stance, found.certainty) == (stance, certainty)


@pytest.mark.parametrize(("certainty", "origin"), [(None, "synthetic"), ("low", "public")])
def test_only_restricted_records_change_the_guidance(certainty, origin):
    with pytest.raises(SosError, match=f"{origin} data cannot change the guidance"):
        signal("kinship", "kinship care", "up", _verdict("change", certainty, origin))


def test_what_is_wrong_is_named(decisions, tmp_path: Path):
    with pytest.raises(SosError, match=r"no reader 'users'; allowed: 'using'"):
        decisions.advice("users")
    with pytest.raises(SosError, match=r"stance 'bad'; allowed: 'harm'"):
        say("kinship", "bad", "low")
    text = PATH.read_text("utf-8")
    for old, new, message in (
        ('id = "using.harm"', 'id = "using.harms"', r"rules: 'using\.harm' occurs 0 times"),
        (
            'id = "values"\nreasonable',
            'id = "using"\nreasonable',
            "readers: 'using' occurs 2 times",
        ),
        ('records = "harms"', 'records = "hurts"', r"criteria\[2\]\.records: found 'hurts'"),
        ("reasonable =", "sensible =", r"sensible: unknown key"),
    ):
        assert old in text
        path = tmp_path / "decisions.toml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(StudyError, match=message):
            load_decisions(path)


def test_every_threat_speaks_of_every_outcome(tmp_path: Path):
    threats = load_threats()
    page = threats_page(threats)
    assert page.count("\n") == len(threats) + 1
    assert all(len(t.means) == len(SPOKEN) for t in threats)
    assert {"Either way", "Towards no difference"} <= {t.direction for t in threats}
    assert not re.search(r"\d", re.sub(r"\(.*?\)", "", page)), "a number typed"
    path = tmp_path / "threats.toml"
    path.write_text('[[threats]]\nname = "A"\ndirection = "B"\ncheck = "C"\nkinship = "D"\n')
    with pytest.raises(StudyError, match=r"threats\[0\]\.duration: missing"):
        load_threats(path)
