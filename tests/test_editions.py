"""Two releases about the same children: what both tell together goes to a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Rules
from hypothesis import given
from hypothesis import strategies as st

from sos_analysis.disclosure import CONFIDENTIAL, Column, SafeTable, round_count, safe_table
from sos_analysis.errors import SosError
from sos_analysis.pipeline.editions import differences
from sos_analysis.pipeline.release import LOG, release
from sos_analysis.results import ChapterResult


def table(rows: list[dict[str, Any]], rules: Rules | None = None, **more: Any) -> SafeTable:
    labels = [k for k in rows[0] if k not in ("n", "las")]
    return safe_table(
        rows,
        **{
            "columns": {
                **{k: k.capitalize() for k in labels},
                "las": Column("Authorities"),
                "n": Column("Cases", "cases"),
            },
            "count_columns": ("n",),
            "authorities_column": "las",
            "population": "p",
            "title": "Cases counted",
            "source": "Records",
            "origin": "restricted",
            "rules": rules or Rules(),
            **more,
        },
    )


def row(group: str, n: int, las: int = 8, **more: str) -> dict[str, Any]:
    return {"group": group, **more, "las": las, "n": n}


CASES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], str]] = {
    "the same records": ([row("a", 104), row("b", 4)], [row("a", 104), row("b", 4)], ""),
    "a year more": ([row("a", 104)], [row("a", 291)], ""),
    "a corrected study file": (
        [row("a", 102)],
        [row("a", 108)],
        "Cases of a went from 100 to 110: fewer than 10 may have come or gone",
    ),
    "fewer than before": ([row("a", 108)], [row("a", 102)], "went from 110 to 100"),
    "one authority more": (
        [row("a", 104)],
        [row("a", 291, las=9)],
        "Authorities of a went from 8 to 9: the counts of whoever came or went",
    ),
    "two authorities more, by the rule enough": ([row("a", 104)], [row("a", 291, las=10)], ""),
    "small at last": (
        [row("a", 12)],
        [row("a", 9)],
        "Cases of a: the new release hides what the other shows (10)",
    ),
    "small at first": (
        [row("a", 9)],
        [row("a", 12)],
        "Cases of a: the earlier release hides what the other shows (10)",
    ),
    "another group": ([row("a", 104)], [row("b", 108)], ""),
}


@pytest.mark.parametrize("case", CASES)
def test_what_two_releases_tell_together_is_told(case: str) -> None:
    before, now, says = CASES[case]
    found = differences({"c/t": table(before)}, {"c/t": table(now)})
    assert bool(found) is bool(says), found
    assert says in " ".join(found.get("c/t", []))


def test_a_total_of_the_earlier_release_gives_a_cell_of_the_new_one_away() -> None:
    rules = Rules(10, 1)
    earlier = {"c/all": table([row("all", 104)], rules)}
    parts = [row("all", 100, sex="girls"), row("all", 4, sex="boys")]
    now = {"c/parts": table(parts, rules)}
    assert now["c/parts"].values("n") == (100, CONFIDENTIAL)
    found = differences(earlier, now)
    says = "from both releases Cases of all, boys can be found to lie from 4 to 4"
    assert [says in words for words in found["c/parts"]] == [True]
    # Made by other rules or about other children there is nothing to subtract.
    other = {"c/all": table([row("all", 104)], rules, population="q")}
    assert differences(other, now) == {}


@given(
    old=st.integers(10, 400),
    change=st.integers(-60, 60),
    base=st.sampled_from([1, 3, 5, 10]),
    threshold=st.sampled_from([5, 10, 20]),
)
def test_a_small_change_that_is_seen_at_all_is_never_missed(
    old: int, change: int, base: int, threshold: int
) -> None:
    rules = Rules(threshold, base)
    old, new = max(old, threshold), max(old + change, threshold)
    seen = round_count(old, rules) != round_count(new, rules)
    found = differences(
        {"c/t": table([row("a", old)], rules)}, {"c/t": table([row("a", new)], rules)}
    )
    if seen and abs(new - old) < threshold:
        assert found
    # What rounding hides stays hidden; what is surely large is not told.
    if not seen or abs(new - old) >= threshold + 4 * base:
        assert not found


def test_a_release_is_compared_with_the_one_that_was_cleared(tmp_path: Path) -> None:
    def save(n: int) -> Path:
        made = ChapterResult("c", "A chapter", "restricted", tables={"t": table([row("a", n)])})
        made.save(tmp_path / "results" / "c.json")
        return tmp_path / "results"

    first, second = tmp_path / "first", tmp_path / "second"
    lines = list(release(first, save(102)))
    assert not any("earlier release" in line for line in lines)
    lines = list(release(first, save(102)))
    assert any("no count differs by a little" in line for line in lines)
    lines = list(release(second, save(108), earlier=first))
    outputs = {o["name"]: o for o in json.loads((second / LOG).read_text("utf-8"))["outputs"]}
    assert outputs["c/t"]["status"] == "review"
    assert "went from 100 to 110" in outputs["c/t"]["reasons"][0]
    for name in ("log.md", "summary.html"):
        assert "went from 100 to 110" in (second / name).read_text("utf-8")
    # In the same folder the earlier one is gone afterwards, so it is said aloud.
    lines = list(release(first, save(108)))
    assert any(f"exists at {first} and is replaced" in x and "--earlier" in x for x in lines)
    with pytest.raises(SosError, match="no release at"):
        list(release(second, save(108), earlier=tmp_path / "nowhere"))
