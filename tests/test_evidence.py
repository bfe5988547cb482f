"""Checks, effect classes, ratings and every cell of the grid of words."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sos_analysis import checks, evidence, rules
from sos_analysis.checks import CheckResult
from sos_analysis.errors import SosError
from sos_analysis.evidence import certainty, effect_class, natural_frequency, verdict, words
from sos_analysis.rules import (
    CANNOT_TELL,
    CERTAINTIES,
    CHANGE,
    CHANGE_UNCERTAIN,
    CHANGES,
    EFFECT_CLASSES,
    LITTLE,
)

# --- effect classes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "p1", "p2", "expected"),
    [
        (-12.0, -3.1, 0.01, 0.02, CHANGE),
        (3.1, 12.0, 0.01, 0.02, CHANGE),
        (-12.0, -3.0, 0.01, 0.02, CHANGE),  # the end on the MID is not inside it
        (-12.0, -2.9, 0.01, 0.02, CHANGE_UNCERTAIN),
        (0.1, 3.5, 0.04, 0.03, CHANGE_UNCERTAIN),
        (-2.9, 2.9, 0.9, 0.8, LITTLE),
        (-2.9, -0.1, 0.01, 0.01, LITTLE),  # real but too small to matter
        (-2.9, 2.9, 0.04, 0.9, LITTLE),  # precise enough, whatever the p-values
        (-3.0, 2.0, 0.9, 0.9, CANNOT_TELL),  # the end on the MID is not inside it
        (-12.0, 5.0, 0.3, 0.4, CANNOT_TELL),
        (-12.0, 5.0, 0.03, 0.04, CANNOT_TELL),  # p-values below 0.05, zero inside
        (-12.0, -1.0, 0.06, 0.07, CANNOT_TELL),
        (-12.0, -1.0, 0.04, 0.06, CANNOT_TELL),
        (-12.0, 1.0, 0.06, 0.04, CANNOT_TELL),
        (-12.0, -1.0, 0.05, 0.049, CANNOT_TELL),  # 0.05 itself is not below 0.05
    ],
)
def test_effect_class(low: float, high: float, p1: float, p2: float, expected: str) -> None:
    assert effect_class(low, high, 3.0, p1, p2) == expected
    # The class knows no direction.
    assert effect_class(-high, -low, 3.0, p1, p2) == expected


@given(
    ends=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    mid=st.floats(0.1, 20),
    p1=st.floats(0, 1),
    p2=st.floats(0, 1),
)
def test_classes_keep_their_promises(
    ends: tuple[float, float], mid: float, p1: float, p2: float
) -> None:
    low, high = sorted(ends)
    found = effect_class(low, high, mid, p1, p2)
    assert found in EFFECT_CLASSES
    assert (found == LITTLE) == (-mid < low and high < mid)
    if found in CHANGES:
        assert low > 0 or high < 0
        assert max(p1, p2) < 0.05
    if found == CHANGE:
        assert min(abs(low), abs(high)) >= mid
    if found == CANNOT_TELL:
        assert high >= mid or low <= -mid


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ((1, -1, 3, 0.1, 0.1), "swap"),
        ((float("nan"), 1, 3, 0.1, 0.1), "low"),
        ((0, float("inf"), 3, 0.1, 0.1), "high"),
        ((0, 1, 0, 0.1, 0.1), "above zero"),
        ((0, 1, 3, 1.1, 0.1), "p_primary"),
        ((0, 1, 3, 0.1, float("nan")), "p_secondary"),
    ],
)
def test_what_has_no_class(given_: tuple[float, ...], message: str) -> None:
    with pytest.raises(SosError, match=message):
        effect_class(*given_)


# --- the grid of words ------------------------------------------------------------------------

KIN = "kinship care"
SOS = "Signs of Safety"

#: Every cell: (class, certainty) to the sentence for a fall; None where there can be none.
GRID: dict[tuple[str, str], str | None] = {
    (CHANGE, "high"): "Signs of Safety reduces kinship care.",
    (CHANGE, "moderate"): "Signs of Safety probably reduces kinship care.",
    (CHANGE, "low"): "Signs of Safety may reduce kinship care.",
    (CHANGE_UNCERTAIN, "high"): (
        "Signs of Safety reduces kinship care, by an amount that may or may not matter."
    ),
    (CHANGE_UNCERTAIN, "moderate"): (
        "Signs of Safety probably reduces kinship care, by an amount that may or may not matter."
    ),
    (CHANGE_UNCERTAIN, "low"): (
        "Signs of Safety may reduce kinship care, by an amount that may or may not matter."
    ),
    (LITTLE, "high"): "Signs of Safety makes little or no difference to kinship care.",
    (LITTLE, "moderate"): "Signs of Safety probably makes little or no difference to kinship care.",
    (LITTLE, "low"): "Signs of Safety may make little or no difference to kinship care.",
    (CANNOT_TELL, "high"): None,
    (CANNOT_TELL, "moderate"): None,
    (CANNOT_TELL, "low"): (
        "We cannot tell whether Signs of Safety changes kinship care: the evidence is too "
        "imprecise, and an important change cannot be ruled out."
    ),
    **{
        (effect, "very low"): "We are very unsure whether Signs of Safety changes kinship care."
        for effect in EFFECT_CLASSES
    },
}


def test_the_grid_has_every_cell() -> None:
    assert set(GRID) == set(itertools.product(EFFECT_CLASSES, CERTAINTIES))


@pytest.mark.parametrize("origin", ["public", "restricted"])
@pytest.mark.parametrize("cell", GRID, ids=" / ".join)
def test_every_cell_of_the_grid(cell: tuple[str, str], origin: str) -> None:
    effect, sure = cell
    expected = GRID[cell]
    if expected is None:
        with pytest.raises(SosError, match=f"cannot have {sure} certainty"):
            words(effect, sure, outcome=KIN, origin=origin, direction="down")
        return
    assert words(effect, sure, outcome=KIN, origin=origin, direction="down") == expected
    rise = words(effect, sure, outcome=KIN, origin=origin, direction="up")
    assert rise == expected.replace("reduce", "increase")
    # A change in the wanted direction is no harm; a change the other way is named so first.
    assert words(effect, sure, outcome=KIN, origin=origin, direction="up", good="up") == rise
    harm = words(effect, sure, outcome=KIN, origin=origin, direction="down", good="up")
    if effect in CHANGES and sure != "very low":
        lead = {"high": "A harm: ", "moderate": "A probable harm: ", "low": "A possible harm: "}
        assert harm == lead[sure] + expected
    else:
        assert harm == expected


EXAMPLE = {
    CHANGE: "In the worked example the method reports a fall in kinship care.",
    CHANGE_UNCERTAIN: (
        "In the worked example the method reports a fall in kinship care, of uncertain size."
    ),
    LITTLE: "In the worked example the method reports little or no difference in kinship care.",
    CANNOT_TELL: (
        "In the worked example the made-up data are too imprecise to tell whether there was a "
        "change in kinship care."
    ),
}


@pytest.mark.parametrize("effect", EFFECT_CLASSES)
def test_words_on_made_up_data_speak_of_the_worked_example_alone(effect: str) -> None:
    sentence = words(effect, None, outcome=KIN, origin="synthetic", direction="down", good="up")
    assert sentence == EXAMPLE[effect]
    up = words(effect, None, outcome=KIN, origin="synthetic", direction="up")
    assert up == EXAMPLE[effect].replace("a fall", "a rise")
    for sure in CERTAINTIES:
        with pytest.raises(SosError, match="not rated"):
            words(effect, sure, outcome=KIN, origin="synthetic", direction="down")
    with pytest.raises(SosError, match="must not name"):
        words(effect, None, outcome="Signs of safety use", origin="synthetic", direction="down")


def every_sentence() -> list[str]:
    found = list(EXAMPLE.values())
    for (effect, sure), expected in GRID.items():
        if expected is None:
            continue
        for direction, good in itertools.product(("down", "up"), (None, "down", "up")):
            found.append(
                words(effect, sure, outcome=KIN, origin="public", direction=direction, good=good)
            )
    return found


def test_no_sentence_says_too_much() -> None:
    for sentence in every_sentence():
        for banned in ("no effect", "prove", "significant", "show", "confirm", "%"):
            assert banned not in sentence.lower(), sentence
        assert not re.search(r"\d", sentence), sentence
        assert sentence.endswith(".")
        assert sentence.count(".") == 1
        assert len(sentence.split()) <= 25, sentence
        made_up = sentence in EXAMPLE.values()
        assert (SOS in sentence) is not made_up


def test_little_difference_and_cannot_tell_share_no_words() -> None:
    """Words of the outcome, the subject and of grammar aside, the two nulls have none in common."""
    small = {*f"{SOS} {KIN} in the of to a and or is".lower().split()}

    def content(sentences: list[str]) -> set[str]:
        return {w for s in sentences for w in re.findall(r"[a-z-]+", s.lower())} - small

    def cells(effect: str) -> list[str]:
        return [s for (e, c), s in GRID.items() if e == effect and c != "very low" and s]

    assert content(cells(LITTLE)) & content(cells(CANNOT_TELL)) == set()
    frame = {"worked", "example", "method", "methods"}  # how every made-up sentence begins
    assert (content([EXAMPLE[LITTLE]]) & content([EXAMPLE[CANNOT_TELL]])) - frame == set()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"effect": "none"}, "no effect class"),
        ({"certainty": "certain"}, "certainty 'certain'"),
        ({"certainty": None}, "certainty None"),
        ({"origin": "published"}, "no words for origin"),
        ({"origin": "design"}, "no words for origin"),
        ({"direction": None}, "needs a direction"),
        ({"direction": "left"}, "direction is 'left'"),
        ({"good": "more"}, "good is 'more'"),
    ],
)
def test_what_cannot_be_worded(more: dict[str, str | None], message: str) -> None:
    given_ = {
        "effect": CHANGE,
        "certainty": "low",
        "outcome": KIN,
        "origin": "public",
        "direction": "down",
        **more,
    }
    with pytest.raises(SosError, match=message):
        words(**given_)  # type: ignore[arg-type]


# --- certainty --------------------------------------------------------------------------------


def passed(name: str, status: str = "pass") -> CheckResult:
    return CheckResult(name, "A question?", status, "A sentence.")


ALL = [passed(rule.check) for rule in rules.RULES]
#: What the rating needs at least, before it is held down.
NEEDED = [passed(r.check) for r in rules.RULES if r.missing == rules.HOLD_LOW]


def failing(*names: str, base: list[CheckResult] = ALL) -> list[CheckResult]:
    return [passed(c.id, "fail") if c.id in names else c for c in base]


def without(*names: str) -> list[CheckResult]:
    return [c for c in ALL if c.id not in names]


@pytest.mark.parametrize(
    ("given_", "effect", "restricted", "public"),
    [
        (ALL, CHANGE, "high", "moderate"),
        (ALL, LITTLE, "high", "moderate"),
        (ALL, CANNOT_TELL, "low", "low"),
        (NEEDED, CHANGE, "moderate", "low"),
        ([], CHANGE, "low", "low"),
        (failing("pre_trends"), CHANGE, "low", "very low"),
        (failing("pre_trends", "balance"), LITTLE, "very low", "very low"),
        (failing("leave_one_out", "few_clusters", "completeness"), LITTLE, "very low", "very low"),
        (failing("denominator_stability"), CHANGE, "low", "very low"),
        (failing("placebo"), CHANGE, "low", "very low"),
        (failing("specification_curve"), CHANGE, "low", "very low"),
        # A blind test or a low breakdown value keeps a result from 'high'; no more.
        (failing("pre_trend_power"), CHANGE, "moderate", "low"),
        (failing("breakdown"), CHANGE, "moderate", "low"),
        (without("breakdown"), CHANGE, "moderate", "low"),
        # A result of 'little or no difference' has nothing that could break down ...
        (failing("breakdown"), LITTLE, "high", "moderate"),
        # ... but it hides where comparators use the approach too; a change does so in spite of it.
        (failing("contamination"), LITTLE, "low", "very low"),
        (failing("contamination"), CHANGE, "high", "moderate"),
        # Not matched, so nothing to balance; returns not checked, so held at low.
        (without("balance"), CHANGE, "high", "moderate"),
        (without("completeness"), CHANGE, "low", "low"),
        ([*without("pre_trends"), passed("pre_trends", "info")], CHANGE, "moderate", "low"),
        (
            [*without("denominator_stability"), passed("denominator_stability", "info")],
            *(CHANGE, "high", "moderate"),
        ),
        # Of two results of one check the worse counts.
        ([*ALL, passed("leave_one_out", "fail")], CHANGE, "low", "very low"),
    ],
)
def test_certainty(given_: list[CheckResult], effect: str, restricted: str, public: str) -> None:
    assert certainty(given_, effect, "restricted")[0] == restricted
    assert certainty(given_, effect, "public")[0] == public


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda r: r.check)
def test_each_failed_check_lowers_the_rating_and_says_what_would_help(rule: rules.Rule) -> None:
    effect = rule.classes[0] if rule.classes else CHANGE
    full, reasons, change = certainty(ALL, effect, "restricted")
    worse, why, help_ = certainty(failing(rule.check), effect, "restricted")
    assert CERTAINTIES.index(worse) < CERTAINTIES.index(full)
    assert rule.if_failed in why
    assert rule.if_failed not in reasons
    assert rule.would_help in help_
    assert change == (rules.BETTER_DESIGN["restricted"],)
    if rule.if_missing:
        worse, why, help_ = certainty(without(rule.check), effect, "restricted")
        assert CERTAINTIES.index(worse) < CERTAINTIES.index(full)
        assert rule.if_missing in why
        assert rule.would_help in help_


def test_the_reason_says_whether_the_methods_disagree_or_the_interval_is_wide() -> None:
    assert rules.TOO_WIDE in certainty(ALL, CANNOT_TELL, "public")[1]
    assert rules.TORN in certainty(ALL, CANNOT_TELL, "public", torn=True)[1]
    torn = {**ESTIMATE, "p_secondary": 0.2}
    made = verdict(**torn, origin="restricted", checks=ALL)  # type: ignore[arg-type]
    assert made.effect_class == CANNOT_TELL
    assert rules.TORN in made.reasons


@given(st.lists(st.sampled_from([r.check for r in rules.RULES]), unique=True))
def test_more_failures_never_raise_the_rating(names: list[str]) -> None:
    levels = [
        CERTAINTIES.index(certainty(failing(*names[:k], base=ALL), CHANGE, "restricted")[0])
        for k in range(len(names) + 1)
    ]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("origin", ["synthetic", "published", "programme", "design"])
def test_only_public_and_restricted_results_are_rated(origin: str) -> None:
    with pytest.raises(ValueError, match="are not rated"):
        certainty(ALL, CHANGE, origin)


# --- verdict ----------------------------------------------------------------------------------

ESTIMATE = {"value": -8.1, "low": -12.0, "high": -3.1, "mid": 3.0,
            "p_primary": 0.01, "p_secondary": 0.02, "outcome": KIN}  # fmt: skip


def test_a_verdict_joins_class_rating_and_words() -> None:
    made = verdict(**ESTIMATE, origin="restricted", checks=ALL, good="up")  # type: ignore[arg-type]
    assert made.effect_class == CHANGE
    assert made.certainty == "high"
    assert made.sentence == "A harm: Signs of Safety reduces kinship care."
    assert made.harm
    assert made.cost == "not estimated here"
    assert made.reasons[0].startswith("Authorities chose")
    assert evidence.Verdict.from_dict(made.to_dict()) == made
    flipped = {**ESTIMATE, "value": 8.1, "low": 3.1, "high": 12.0}
    other = verdict(**flipped, origin="restricted", checks=ALL, good="up")  # type: ignore[arg-type]
    assert other.sentence == "Signs of Safety increases kinship care."
    assert not other.harm


def test_a_verdict_on_made_up_data_is_not_rated_and_names_no_harm() -> None:
    made = verdict(**ESTIMATE, origin="synthetic", checks=ALL, good="up")  # type: ignore[arg-type]
    assert made.certainty is None
    assert made.sentence == EXAMPLE[CHANGE]
    assert made.reasons == ("Made-up data are not rated.",)
    assert not made.harm


@given(
    ends=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    p1=st.floats(0, 1),
    p2=st.floats(0, 1),
    failed=st.sets(st.sampled_from([r.check for r in rules.RULES])),
    origin=st.sampled_from(["public", "restricted", "synthetic"]),
)
def test_every_estimate_gets_a_sentence(
    ends: tuple[float, float], p1: float, p2: float, failed: set[str], origin: str
) -> None:
    low, high = sorted(ends)
    made = verdict(
        value=(low + high) / 2,
        low=low,
        high=high,
        mid=3,
        p_primary=p1,
        p_secondary=p2,
        outcome=KIN,
        origin=origin,
        checks=failing(*failed),
        good="up",
    )
    assert made.sentence.endswith(".")
    assert (made.certainty is None) == (origin == "synthetic")


def test_natural_frequencies() -> None:
    told = natural_frequency(
        -8.1, -12.0, -3.1, who="looked-after children", what="lived with family or friends"
    )
    assert told == (
        "Of 100 looked-after children, about 8 fewer (between 3 and 12 fewer) lived with family "
        "or friends."
    )
    rare = natural_frequency(0.4, -0.6, 1.4, who="referrals", what="led to a plan", per=1000)
    assert rare == ("Of 1,000 referrals, about as many (between 1 fewer and 1 more) led to a plan.")
    with pytest.raises(ValueError, match="no words for a difference"):
        natural_frequency(1, 0, 2, who="x", what="y", per=7)


# --- checks -----------------------------------------------------------------------------------

CHECKS: list[tuple[Callable[[], CheckResult], str, str]] = [
    (lambda: checks.pre_trends(0.412, 8, largest=-1.26, unit="per 100"), "pass",
     "Pilots and comparators showed no clear sign of moving apart before adoption (joint test "
     "over 8 periods, p = 0.412). The largest early difference was 1.3 per 100. This test can "
     "miss a real difference."),
    (lambda: checks.pre_trends(0.07, 8), "info",
     "Pilots and comparators may have been moving apart before adoption (joint test over 8 "
     "periods, p = 0.070). This test can miss a real difference."),
    (lambda: checks.pre_trends(0.0001, 8), "fail",
     "Pilots and comparators were already moving apart before adoption (joint test over 8 "
     "periods, p <0.001)."),
    (lambda: checks.agreement(0.01, 0.02, "slot permutation", "WCR-31"), "pass",
     "The two methods declared in advance lead to the same reading (slot permutation: p = 0.010; "
     "WCR-31: p = 0.020)."),
    (lambda: checks.agreement(0.04, 0.06, "slot permutation", "WCR-31"), "fail",
     "The two methods declared in advance lead to different readings, so the result cannot "
     "tell (slot permutation: p = 0.040; WCR-31: p = 0.060)."),
    (lambda: checks.few_clusters(27, 9), "pass",
     "The comparison rests on 9 pilot authorities among 27. The inference used here is built for "
     "that few; ordinary clustered errors are not."),
    (lambda: checks.few_clusters(12, 4), "fail",
     "The comparison rests on 4 pilot authorities among 12. That is too few for the main method, "
     "so read the interval with great care."),
    (lambda: checks.denominator_stability(2.0, -1.0), "pass",
     "The share of referrals recorded as needing no further action changed by 2.0 percentage "
     "points in pilots and −1.0 percentage points in comparators, so a change in who is counted "
     "is unlikely to explain the result."),
    (lambda: checks.denominator_stability(8.0, 1.0), "fail",
     "The share of referrals recorded as needing no further action changed by 8.0 percentage "
     "points in pilots and 1.0 percentage points in comparators, so part of the result may come "
     "from a change in who is counted."),
    (lambda: checks.balance(0.31, 0.02), "pass",
     "After matching, children in pilots and comparators are alike on what was recorded "
     "(imbalance 0.31 before, 0.02 after; 0 is alike, 1 is wholly different)."),
    (lambda: checks.balance(0.05, 0.08), "fail",
     "After matching, children in pilots and comparators still differ on what was recorded "
     "(imbalance 0.05 before, 0.08 after; 0 is alike, 1 is wholly different)."),
    (lambda: checks.leave_one_out(-8.0, [-7.0, -9.5, -4.0], "per 100"), "pass",
     "Leaving out one pilot at a time, the estimate keeps its direction and at least half its "
     "size (from −9.5 to −4.0 per 100; −8.0 with all)."),
    # Near zero: a change of sign inside a wide interval is no fault; one beyond it is.
    (lambda: checks.leave_one_out(-0.4, [-1.1, 1.0], "per 100", half_width=3.8), "pass",
     "Leaving out one pilot at a time, the estimate moves by less than a quarter of the length of "
     "its interval (from −1.1 to 1.0 per 100; −0.4 with all)."),
    (lambda: checks.leave_one_out(-0.4, [-1.1, 1.6], "per 100", half_width=3.8), "fail",
     "Leaving out one pilot at a time, the estimate changes direction or loses more than half "
     "its size (from −1.1 to 1.6 per 100; −0.4 with all)."),
    (lambda: checks.leave_one_out(-8.0, [-7.0, -3.9], "per 100"), "fail",
     "Leaving out one pilot at a time, the estimate changes direction or loses more than half "
     "its size (from −7.0 to −3.9 per 100; −8.0 with all)."),
    (lambda: checks.completeness(0.97), "pass", "97.0% of the authority returns needed are there."),
    (lambda: checks.completeness(0.9, "rows"), "fail",
     "90.0% of the rows needed are there, so missing data may have shaped the result."),
    (lambda: checks.small_cells(0, 40), "info",
     "No cell had to be hidden in the tables and charts of this chapter; counts are rounded."),
    (lambda: checks.small_cells(3, 1200), "info",
     "3 of 1,200 cells are hidden in the tables and charts of this chapter; counts are rounded."),
    (lambda: checks.covers_truth(-12.0, -3.1, -8.0, "per 100"), "pass",
     "The interval (−12.0 to −3.1 per 100) holds the effect planted in the made-up data (−8.0)."),
    (lambda: checks.covers_truth(-7.0, -3.1, -8.0, "per 100"), "fail",
     "The interval (−7.0 to −3.1 per 100) misses the effect planted in the made-up data (−8.0). "
     "One interval in twenty does so by chance; see the chapter on method validation."),
    (lambda: checks.design("public"), "info",
     "Yearly totals of pilots are compared with those of other authorities. Pilots were not "
     "chosen by lot, and single children cannot be followed."),
    # 0.8 a year over 1.5 years is 1.2.
    (lambda: checks.pre_trend_power(-0.8, 1.5, 3.0, "per 100"), "pass",
     "A steady drift that the test of early differences misses half the time would move the "
     "result by 1.2 per 100: less than the smallest difference called important (3.0)."),
    (lambda: checks.pre_trend_power(2.4, 1.5, 3.0, "per 100"), "fail",
     "A steady drift that the test of early differences misses half the time would move the "
     "result by 3.6 per 100: more than the smallest difference called important (3.0), so its "
     "pass says little."),
    (lambda: checks.contamination(None, 140), "info",
     "Which comparison authorities used a similar approach, and from when, is not known. Where "
     "they did, the difference is smaller than the effect."),
    (lambda: checks.contamination(1, 18), "pass",
     "1 of 18 comparison authorities used a similar approach, too few to change the result much."),
    (lambda: checks.contamination(6, 18), "fail",
     "6 of 18 comparison authorities used a similar approach, so the difference shows more "
     "against less of it, and may be smaller than the effect."),
    (lambda: checks.placebo_date(0.4, -1.0, 1.8, 0.51, "per 100"), "pass",
     "Taking a date 2 years before the true one, the method finds no clear difference (0.4 per "
     "100, 95% interval −1.0 to 1.8, p = 0.510). This test can miss a real difference."),
    (lambda: checks.breakdown(0.6, 0.9, "per 100", level=0.01), "fail",
     "The result stands until pilots depart from comparators, after embedding, by 0.6 times the "
     "largest change seen before it. The test of early differences would miss a steady drift of "
     "0.9 per 100 a year half the time."),
    (lambda: checks.specification_curve(64, 60, 40, 0.2, 0.3, value=-2.0), "pass",
     "The reading does not change with the way: of 64 ways to run this analysis, 60 gave a lower "
     "figure in pilots, as the main one does, and 40 of these could tell it from no difference by "
     "themselves. Were authorities put in the pilots' places at random, the middle estimate "
     "would lie as far from zero in 20.0% of draws."),
]  # fmt: skip


@pytest.mark.parametrize(("make", "status", "sentence"), CHECKS)
def test_each_check_has_its_status_and_sentence(
    make: Callable[[], CheckResult], status: str, sentence: str
) -> None:
    made = make()
    assert (made.status, made.sentence) == (status, sentence)
    assert made.title.endswith("?")
    for banned in ("no effect", "prove", "significant"):
        assert banned not in made.sentence
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.status = "pass"  # type: ignore[misc]
    assert CheckResult(**made.to_dict()) == made


def test_every_check_the_rules_name_can_be_made() -> None:
    made = {make().id for make, _, _ in CHECKS}
    assert {rule.check for rule in rules.RULES} <= made
    assert len({rule.check for rule in rules.RULES}) == len(rules.RULES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: checks.pre_trends(1.2, 8), "probability"),
        (lambda: checks.agreement(0.1, float("nan"), "a", "b"), "probability"),
        (lambda: checks.few_clusters(9, 9), "treated < clusters"),
        (lambda: checks.balance(-0.1, 0.1), "probability"),
        (lambda: checks.leave_one_out(1.0, [1.0], "x"), "two or more"),
        (lambda: checks.small_cells(5, 4), "not possible"),
        (lambda: checks.contamination(5, 4), "not possible"),
        (lambda: checks.pre_trend_power(1.0, 0.0, 3.0, "x"), "above zero"),
        (lambda: checks.design("synthetic"), "no design of 'synthetic' data"),
        (lambda: checks.covers_truth(1, 0, 0, "x"), "runs from"),
        (lambda: CheckResult("x", "T?", "maybe", "S."), "allowed: pass, fail, info"),
        (lambda: CheckResult("x", "T?", "pass", " "), "sentence"),
        (lambda: CheckResult("x", "T?", "pass", "S.", {"a": float("nan")}), "not finite"),
    ],
)
def test_checks_refuse_nonsense(make: Callable[[], CheckResult], message: str) -> None:
    with pytest.raises(SosError, match=message):
        make()
