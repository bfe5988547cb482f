"""Sentences never contradict their numbers; the sixteen rules of wording, each tested or placed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from sos_analysis import checks, evidence, rules
from sos_analysis.checks import CheckResult
from sos_analysis.disclosure import ORIGINS
from sos_analysis.formats import spoken

KIN = "kinship care"
BANNED = ("no effect", "prove", "significant", "confirm", "show that", "impact")

estimates = st.tuples(
    st.floats(-40, 40, allow_nan=False),
    st.floats(0, 30),
    st.floats(0, 30),
    st.floats(0.1, 15),
    st.floats(0, 1),
    st.floats(0, 1),
)


@settings(max_examples=400, deadline=None)
@given(
    numbers=estimates,
    failed=st.sets(st.sampled_from([r.check for r in rules.RULES])),
    absent=st.sets(st.sampled_from([r.check for r in rules.RULES])),
    origin=st.sampled_from(["public", "restricted", "synthetic"]),
    good=st.sampled_from([None, "down", "up"]),
    tiny=st.booleans(),
)
def test_a_sentence_never_contradicts_its_numbers(
    numbers: tuple[float, ...],
    failed: set[str],
    absent: set[str],
    origin: str,
    good: str | None,
    tiny: bool,
) -> None:
    value, below, above, mid, p1, p2 = numbers
    if tiny:  # decided results are rare among random ones
        p1, p2, below, above = p1 / 50, p2 / 50, below / 20, above / 20
    low, high = value - below, value + above
    made = evidence.verdict(
        value=value, low=low, high=high, mid=mid, p_primary=p1, p_secondary=p2, outcome=KIN,
        origin=origin, good=good,
        checks=[
            CheckResult(r.check, "A question?", "fail" if r.check in failed else "pass", "Words.")
            for r in rules.RULES
            if r.check not in absent
        ],
    )  # fmt: skip
    text = made.sentence
    assert not any(word in text.lower() for word in BANNED)
    assert not re.search(r"\d", text)
    told = re.search(r"\b(reduce|increase)s?\b|reports a (fall|rise)\b", text)
    if told:
        down = (told[1] or told[2]) in ("reduce", "fall")
        assert high < 0 if down else low > 0, "a change is named though the interval holds zero"
        assert max(p1, p2) < 0.05, "a change is named though a method cannot tell it"
        sure_of_size = max(low, -high) >= mid
        assert ("may or may not matter" in text or "uncertain size" in text) is not sure_of_size
    if "little or no difference" in text:
        assert -mid < low <= high < mid
    if "cannot tell" in text or "too imprecise" in text:
        assert low <= -mid or high >= mid, "an important change is said to be possible and is not"
    harm = bool(told) and good is not None and good != ("down" if value < 0 else "up")
    assert made.harm is (harm and origin != "synthetic")
    assert bool(re.match(r"A (probable |possible )?harm: ", text)) is made.harm
    if origin == "synthetic":
        assert made.certainty is None
        assert "Signs of Safety" not in text
    else:
        # The verb carries the certainty.
        decided = bool(told) or "little or no" in text
        assert ("probably" in text) is (decided and made.certainty == "moderate")
        verb = text.removesuffix(", by an amount that may or may not matter.")
        assert (" may " in verb) is (decided and made.certainty == "low")
        assert ("very unsure" in text) is (made.certainty == "very low")
        assert made.reasons
        assert made.what_would_change


@settings(max_examples=150, deadline=None)
@given(
    value=st.floats(-40, 40), below=st.floats(0, 30), above=st.floats(0, 30),
    unit=st.sampled_from(["per 100", "per 10,000"]),
)  # fmt: skip
def test_natural_frequencies_keep_sides_and_order(
    value: float, below: float, above: float, unit: str
) -> None:
    low, high = value - below, value + above
    text = spoken(value, low, high, unit)
    if text.startswith("about as many ("):
        assert abs(value) <= 0.5
    else:
        size, side = re.match(r"about ([\d,]+) (fewer|more) \(", text).groups()  # type: ignore[union-attr]
        assert (side == "fewer") is (value < 0)
        assert int(size.replace(",", "")) > 0
        assert abs(int(size.replace(",", "")) - abs(value)) <= 0.5
    ends = [int(n.replace(",", "")) for n in re.findall(r"[\d,]+", text.split("(")[1])]
    if low < 0 < high:
        assert re.search(r"\(between [\d,]+ fewer and [\d,]+ more\)", text)
    else:
        assert ends == sorted(ends), "the smaller number comes first"
        assert text.startswith("about as") or text.count("fewer") in (0, 2)


# --- the sixteen rules ------------------------------------------------------------------------


def _page(site: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((site / "book" / f"{name}.html").read_text("utf-8"), "lxml")


def _words(site: Path, name: str) -> str:
    page = _page(site, name).select_one("article")
    assert page is not None
    for link in page.select(".sos-how"):  # the quiet links are not read as part of a sentence
        link.decompose()
    return " ".join(page.get_text(" ").split())


def _dials(site: Path) -> None:
    """Effect, certainty and cost are three; cost is never blank; certainty is not size."""
    cards = _page(site, "chapters/public_statistics").select(".sos-verdict")
    assert cards
    for card in cards:
        assert [t.get_text() for t in card.select("dt")] == ["What was found", "How sure", "Cost"]
        assert card.select("dd")[2].get_text() == "not estimated here"
    assert "How sure is not how large" in _words(site, "chapters/public_statistics")


def _nulls(site: Path) -> None:
    """Little difference, too imprecise, not tested: three classes, three sentences."""
    assert {rules.LITTLE, rules.CANNOT_TELL} < set(rules.EFFECT_CLASSES)
    assert "Not assessed here" in _words(site, "findings")
    # No rating or class has a colour of its own, so two nulls cannot share one.
    css = (site / "_static" / "sos.css").read_text("utf-8")
    assert not re.search(r"\.sos-(certainty|effect)-", css)


def _harm(site: Path) -> None:
    """Harm is named first; the landing page leads with kinship."""
    public = json.loads((site.parent.parent / "results" / "public_statistics.json").read_text())
    said = [c["value"] for i, c in public["claims"].items() if i.endswith(".sentence")]
    assert all("harm" not in s or re.match(r"A (probable |possible )?harm:", s) for s in said)
    first = _page(site, "intro").select_one("article ol li, article ul li")
    assert first is not None
    assert "inship" in first.get_text()


def _short(site: Path) -> None:
    """One page of messages, no call for more research."""
    text = _words(site, "intro")
    assert len(text.split()) < 900
    for name in ("intro", "findings", "decisions", "certainty"):
        assert not re.search(r"more research is needed|further research", _words(site, name), re.I)


def _six(site: Path) -> None:
    """At most six main messages."""
    listed = _page(site, "intro").select_one("section#main-messages ol")
    assert listed is not None
    assert 1 <= len(listed.find_all("li", recursive=False)) <= 6


def _grid(site: Path) -> None:
    """The grid of words stands on the methods page, every cell of it."""
    text = _words(site, "methods")
    for (effect, sure), sentence in rules.SENTENCES.items():
        if sentence is not None:
            filled = sentence.format(
                subject="Signs of Safety", verb="reduce", outcome="the outcome"
            )
            assert filled in text, (effect, sure)
    for rule in rules.RULES:
        assert rule.asks in text.replace("’", "'").replace("‘", "'"), rule.check


def _summary(site: Path) -> None:
    """One table of findings with certainty; rates with and without are not published."""
    table = _page(site, "findings").select_one("table")
    assert table is not None
    assert "sure" in table.select_one("thead").get_text().lower()  # type: ignore[union-attr]
    assert len(table.select("tbody tr")) <= 7


def _natural(site: Path) -> None:
    """Of 100 children, about so many fewer (between a and b)."""
    form = r"[Oo]f 100 [^,.]+, about [\d,]+ (fewer|more) \(between [^)]+\)"
    for name in ("rq2_rereferral_after_nfa", "rq4_kinship_care", "public_statistics"):
        assert re.search(form, _words(site, f"chapters/{name}")), name


def _uncertainty(site: Path) -> None:
    """A number that leaves the site takes its interval and its kind with it."""
    for path in (site / "downloads").rglob("*effect*.csv"):
        text = path.read_text("utf-8")
        assert "Interval" in text.splitlines()[0], path.name
        assert any(kind in text for kind in ORIGINS.values()), path.name


def _tables(site: Path) -> None:
    """No merged cells in tables of results; a symbol has its key."""
    for path in (site / "book" / "chapters").glob("*.html"):
        page = BeautifulSoup(path.read_text("utf-8"), "lxml")
        for block in page.select(".sos-table-block"):
            assert not block.select("[colspan], [rowspan]"), path.name
            for symbol in ("[c]", "[low]", "[x]", "[z]"):
                if any(symbol in td.get_text() for td in block.select("td")):
                    key = block.select_one(".sos-key")
                    assert key is not None, (path.name, symbol)
                    assert symbol in key.get_text(), (path.name, symbol)


def _readers(site: Path) -> None:
    """Reasonable to do, think twice, ask your own data."""
    text = _words(site, "decisions").lower()
    for part in ("reasonable to do", "think twice", "ask your"):
        assert part in text


def _bounded(site: Path) -> None:
    """An average of pilots is not an authority; a values framework is not tested here."""
    text = _words(site, "intro")
    assert "your authority" in text
    assert "values framework" in text


def _placeholders(site: Path) -> None:
    """No dummy text anywhere."""
    for path in site.rglob("*.html"):
        if "_static" not in path.parts:
            text = path.read_text("utf-8")
            assert not re.search(r"lorem|ipsum|\bTBC\b|\bTODO\b|\bXXX\b", text), path.name


#: Each rule of `anchors.md`, section 7: its test here, or where else it is tested.
RULES: dict[int, Callable[[Path], None] | str] = {
    1: _dials,
    2: _nulls,
    3: _harm,
    4: _short,
    5: _six,
    6: _grid,
    7: _summary,
    8: _natural,
    9: _uncertainty,
    10: "charts: test_charts_tables.py looks at titles, subtitles, alternatives and colours",
    11: _tables,
    12: "lengths of sentences and plain words of prose pages have a test of readability",
    13: _readers,
    14: _bounded,
    15: _placeholders,
    16: "banner, subtitle, file name: test_site.py on every page, chart and download",
}


def test_all_sixteen_rules_have_a_place() -> None:
    assert sorted(RULES) == list(range(1, 17))


@pytest.mark.parametrize("rule", [n for n, r in RULES.items() if callable(r)])
def test_rule_of_wording(rule: int, built_site) -> None:
    check = RULES[rule]
    assert callable(check)
    check(built_site.site)


def test_conventional_levels_are_one_number() -> None:
    """What pages call the level of tests is the level that classes use."""
    from sos_analysis.chapters import facts

    held = facts().claims
    assert held["design.level"].value == 100 * checks.ALPHA
    assert held["design.coverage"].value == 100 * (1 - checks.ALPHA)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ((20.0, 30.0), (15.0, 30.0), "pilots stood below comparators, and further below after"),
        ((20.0, 30.0), (25.0, 30.0), "pilots stood below comparators, and less far below after"),
        ((20.0, 30.0), (20.5, 30.0), "below comparators, about as far after embedding as before"),
        ((20.0, 30.0), (31.0, 30.0), "below comparators before embedding and above them after"),
        ((20.0, 20.04), (25.0, 20.0), "level with comparators before embedding and above them"),
        ((20.0, 20.0), (25.0, 25.0), "were level, before and after"),
        (None, (25.0, 25.0), "Pilots and comparators, year by year"),
    ],
)
def test_the_title_of_a_chart_by_year_says_where_pilots_stood(before, after, says) -> None:
    from sos_analysis.chapters.trend_title import Phase, trend_title

    title = trend_title(before and Phase(*before), Phase(*after))
    assert says in title
    assert len(title) < 110
    assert not re.search(r"effect|cause|because|led to|fell|rose", title)
