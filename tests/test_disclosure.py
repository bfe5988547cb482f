"""The guard: what may be shown, what is hidden, and that nothing gets round it."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Rules
from hypothesis import given, settings
from hypothesis import strategies as st

from sos_analysis.disclosure import (
    ALREADY_PUBLISHED,
    KINDS,
    ORIGINS,
    SYMBOLS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    round_count,
    safe_count,
    safe_figure,
    safe_rate,
    safe_table,
)
from sos_analysis.disclosure.safe import _seal
from sos_analysis.errors import DisclosureError

RULES = Rules()


def make(rows: Any, columns: dict[str, Any], **more: Any) -> SafeTable:
    given: dict[str, Any] = {
        "title": "Children counted",
        "source": "Test records",
        "origin": "restricted",
        "rules": RULES,
        "authorities": 9,
        "population": "test",
    }
    return safe_table(rows, columns=columns, **{**given, **more})


def figure(kind: str = "estimates", rows: Any = None, **more: Any) -> SafeFigure:
    values = {"label": "a", "time": 1, "series": "Pilots", "value": 1.0, "low": 0.0, "high": 2.0}
    values["region"] = "London"
    given: dict[str, Any] = {
        "title": "A message",
        "subtitle": "Measure, England, 2019",
        "alt": "One point",
        "source": "Test records",
        "origin": "restricted",
        "rules": RULES,
        "options": FigureOptions("Difference", "per 100"),
        "residual_dof": 26,
        "authorities": 9,
        "population": "test",
    }
    default = [{k: v for k, v in values.items() if k in KINDS.get(kind, ())}]
    if kind in ("trend", "bars", "panels", "tiles"):
        default[0]["n"] = 100
        given["statistics"] = {"value": "n"}
    return safe_figure(kind, default if rows is None else rows, **{**given, **more})


# --- counts -----------------------------------------------------------------------------------


@given(
    count=st.integers(0, 10**7),
    threshold=st.integers(3, 30),
    base=st.sampled_from([1, 2, 3, 5, 7, 10]),
)
def test_a_count_is_hidden_or_rounded_and_never_shows_less_than_the_threshold(
    count: int, threshold: int, base: int
) -> None:
    rules = Rules(threshold, base)
    shown = safe_count(count, rules)
    if count < threshold:
        assert shown == "[c]"
        return
    assert isinstance(shown, int)
    assert shown % base == 0
    assert shown >= threshold
    # At most half a base away; one base where the threshold is no multiple of it.
    assert abs(shown - count) <= (base / 2 if shown == round_half(count, base) else base)


def round_half(count: int, base: int) -> int:
    return int(np.floor(count / base + 0.5)) * base


@pytest.mark.parametrize("bad", [-1, 2.5, float("nan"), "12", None, True, [3]])
def test_what_is_no_count_is_refused(bad: Any) -> None:
    with pytest.raises(DisclosureError, match="whole number"):
        safe_count(bad, RULES)


@given(bottom=st.integers(0, 5000), data=st.data())
def test_a_rate_is_hidden_for_small_and_for_nearly_full_cells(bottom: int, data: Any) -> None:
    top = data.draw(st.integers(0, bottom))
    shown = safe_rate(top, bottom, RULES)
    if min(top, bottom - top, bottom) < 10:
        assert shown == "[c]"
    else:
        # From the rounded counts alone: the exact ones cannot be found from it.
        assert shown == 100 * round_count(top, RULES) / round_count(bottom, RULES)


@pytest.mark.parametrize(
    ("more", "hidden"),
    [
        ({"people": (30, 30), "authorities": 2}, False),
        ({"people": (9, 30)}, True),
        ({"people": (30, 9)}, True),
        ({"authorities": 1}, True),
    ],
)
def test_a_single_rate_is_of_enough_children_and_authorities(more: Any, hidden: bool) -> None:
    assert (safe_rate(40, 90, RULES, **more) == "[c]") is hidden
    alone = dataclasses.replace(RULES, local="North")
    assert safe_rate(40, 90, alone, authorities=1) != "[c]"


# --- every kind of column ---------------------------------------------------------------------


def test_every_role_is_guarded_in_one_table() -> None:
    frame = pd.DataFrame(
        {
            "group": ["Large", "Few children", "Few with it", "Nearly all", "One authority"],
            "year": [2015, 2016, 2017, 2018, 2019],
            "n": [1003, 9, 500, 500, 800],
            "k": [207, 4, 3, 495, 400],
            "days": [31.234, 12.0, 30.0, 29.0, 28.0],
            "att": [-8.123, 1.0, 1.0, 1.0, 1.0],
            "las": [9, 4, 4, 4, 1],
            "dof": [26, 26, 26, 9, 26],
        }
    )
    table = make(
        frame,
        {
            "group": "Group",
            "year": "Year",
            "n": Column("Children", "children"),
            "k": Column("With kin", "children"),
            "rate": Column("Rate", "per 100", 1),
            "days": Column("Mean", "working days", 1),
            "att": Column("Difference", "per 100", 1, signed=True),
            "las": Column("Authorities"),
        },
        count_columns=("n", "k"),
        rates={"rate": ("k", "n")},
        statistics={"days": "n"},
        estimates=("att",),
        residual_dof_column="dof",
        authorities=None,
        authorities_column="las",
        category_columns=("year",),
    )
    shown = [[table.text(i, key) for key in table.keys] for i in range(5)]
    c = "[c]"
    assert shown == [
        ["Large", "2015", "1,005", "205", "20.4", "31.2", "\u22128.1", "9"],
        ["Few children", "2016", c, c, c, c, c, "4"],
        ["Few with it", "2017", "500", c, c, "30.0", c, "4"],
        ["Nearly all", "2018", "500", c, c, "29.0", c, "4"],
        ["One authority", "2019", c, c, c, c, c, c],
    ]
    assert table.record.suppressed == sum(row.count(c) for row in shown)
    assert table.record.status == "pass"
    assert "too few authorities" in table.record.actions
    # No exact value is anywhere in what is kept.
    kept = json.dumps(table.to_dict())
    for secret in ("1003", "207", "495", "31.234", "8.123"):
        assert secret not in kept


def test_every_symbol_has_its_cause_and_its_key() -> None:
    table = make(
        [
            {"group": "a", "n": 3, "k": 1, "m": 1.0, "z": "[z]"},
            {"group": "b", "n": 50_000, "k": 12, "m": None, "z": 2.0},
        ],
        {
            "group": "Group",
            "n": "Children",
            "rate": Column("Rate", "per 100", 1),
            "m": Column("Mean", "days", 1),
            "z": Column("Other", "days", 1),
        },
        count_columns=("n",),
        rates={"rate": ("k", "n")},
        statistics={"m": "n", "z": "n"},
    )
    assert table.rows[0][1:] == ("[c]", "[c]", "[c]", "[c]")
    assert table.rows[1][1:] == (50_000, "[low]", "[x]", 2.0)
    given_symbol = make(
        [{"g": "a", "v": "[z]"}], {"g": "G", "v": "V"}, estimates=("v",), residual_dof=20
    )
    assert given_symbol.rows == (("a", "[z]"),)
    assert {"[c]", "[low]", "[x]"} == set(table.symbols)
    assert set(SYMBOLS) == {"[c]", "[low]", "[x]", "[z]"}


SMUGGLED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a count without a role": ({"n": 3}, {}, "without a role"),
    "a numpy count without a role": ({"n": np.int64(3)}, {}, "without a role"),
    "a float without a role": ({"n": 3.0}, {}, "without a role"),
    "a count written as text": ({"n": "3"}, {}, "number written as text"),
    "a count with a unit sign": ({"n": "~3 %"}, {}, "number written as text"),
    "a negative number as text": ({"n": "\u22123.5"}, {}, "number written as text"),
    "a list": ({"n": [3, 4]}, {}, "list in a column"),
    "an array": ({"n": np.array([3, 4])}, {}, "ndarray in a column"),
    "a dict": ({"n": {"children": 3}}, {}, "dict in a column"),
    "a count as a statistic": (
        {"n": 3, "big": 500},
        {"columns": {"n": Column("N", "children")}, "statistics": {"n": "big"}},
        "it is a count",
    ),
    "a count as an estimate": (
        {"n": 3},
        {"columns": {"n": Column("N", "children")}, "estimates": ("n",), "residual_dof": 99},
        "it is a count",
    ),
    "a count as a number of authorities": (
        {"n": 30},
        {"columns": {"n": "Children"}, "authorities_column": "n", "authorities": None},
        "it is a count",
    ),
    "a count in a label": ({"n": "Girls (7 children)"}, {}, "typed in words"),
    "a count in brackets in a label": ({"n": "Girls, n = 7"}, {}, "typed in words"),
    "a count in a title": ({"n": "word"}, {"title": "Only 7 referrals"}, "typed in words"),
    "a statistic nobody guards": ({"n": 3.2}, {"statistics": {"n": ()}}, "no count that guards"),
    "a guard that is not there": ({"n": 3.2}, {"statistics": {"n": "ghost"}}, "no column 'ghost'"),
    "a maximum": (
        {"max_days": 300.0, "big": 500},
        {"columns": {"max_days": "Longest"}, "statistics": {"max_days": "big"}},
        "one child's value",
    ),
    "a longest, in its heading": (
        {"days": 300.0, "big": 500},
        {"columns": {"days": "Longest assessment"}, "statistics": {"days": "big"}},
        "one child's value",
    ),
    "a range": (
        {"days": 300.0, "big": 500},
        {"columns": {"days": "Range"}, "statistics": {"days": "big"}},
        "one child's value",
    ),
    "a largest count": (
        {"n": 300},
        {"columns": {"n": "Largest authority's cases"}, "count_columns": ("n",)},
        "one child's value",
    ),
    "a lowest rate": (
        {"n": 500, "k": 100},
        {"columns": {"r": "Lowest rate"}, "rates": {"r": ("k", "n")}},
        "one child's value",
    ),
    "a highest number as a label": (
        {"n": 300},
        {"columns": {"n": "Highest age"}, "category_columns": ("n",)},
        "one child's value",
    ),
    "a row with the oldest": (
        {"which": "The oldest child", "days": 12.0, "big": 500},
        {"columns": {"which": "Which", "days": "Days"}, "statistics": {"days": "big"}},
        "one child's value",
    ),
    "a row with the maximum": (
        {"which": "Max.", "n": 500},
        {"columns": {"which": "Which", "n": "N"}, "count_columns": ("n",)},
        "one child's value",
    ),
    "a rate of itself": (
        {"n": 50},
        {"columns": {"r": "Rate"}, "rates": {"r": ("n", "n")}},
        "one column",
    ),
    "a rate above one": (
        {"n": 50, "k": 60},
        {"columns": {"r": "Rate"}, "rates": {"r": ("k", "n")}},
        "exceeds denominator",
    ),
    "an estimate without degrees of freedom": (
        {"n": 3.2},
        {"estimates": ("n",), "residual_dof": None},
        "residual degrees of freedom",
    ),
    "counts without authorities": (
        {"n": 300},
        {"count_columns": ("n",), "authorities": None},
        "how many local authorities",
    ),
    "two roles": ({"n": 300}, {"count_columns": ("n",), "estimates": ("n",)}, "two roles"),
    "half a child": ({"n": 12.5}, {"count_columns": ("n",)}, "whole number"),
    "an infinite estimate": (
        {"n": float("inf")},
        {"estimates": ("n",), "residual_dof": 20},
        "not a finite number",
    ),
    "a fraction as a category": ({"n": 3.5}, {"category_columns": ("n",)}, "category"),
    "a count as a category": (
        {"n": 3},
        {"columns": {"n": "Children"}, "category_columns": ("n",)},
        "not as a category",
    ),
    "rules of published data on records": (
        {"n": 3},
        {"count_columns": ("n",), "rules": ALREADY_PUBLISHED},
        "cannot be used on restricted",
    ),
    "a threshold of two": (
        {"n": 3},
        {"count_columns": ("n",), "rules": Rules(threshold=2)},
        "cannot be used on restricted",
    ),
    "an unknown origin": ({"n": "word"}, {"origin": "real"}, "allowed: published"),
    "no title": ({"n": "word"}, {"title": " "}, "title is missing"),
    "no source": ({"n": "word"}, {"source": ""}, "source is missing"),
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_small_numbers_cannot_be_smuggled_in(case: str) -> None:
    row, more, message = SMUGGLED[case]
    more = {"columns": {k: k.upper() for k in row}, "residual_dof": None, **more}
    columns = more.pop("columns")
    if more["residual_dof"] is None:
        del more["residual_dof"]
    with pytest.raises(DisclosureError, match=message):
        make([row], columns, **more)


def test_the_lowest_of_several_estimates_may_be_shown() -> None:
    """Results of models with one authority left out, of which nobody says which."""
    rows = [{"what": "Largest differences apart", "least": -1.2, "most": 0.4}]
    columns = {"what": "What", "least": "Lowest", "most": "Highest"}
    table = make(rows, columns, estimates=("least", "most"), residual_dof=20)
    assert table.rows == (("Largest differences apart", -1.0, 0.0),)
    # In numbers that anyone can read it is no secret.
    public = {"origin": "public", "rules": ALREADY_PUBLISHED, "statistics": {"n": ()}}
    assert make([{"n": 3.0}], {"n": "Largest"}, **public).rows == ((3,),)
    # A table stored before there was the rule is refused when it is read.
    kept = make([{"g": "a", "n": 500}], {"g": "G", "n": "N"}, count_columns=("n",)).to_dict()
    kept["columns"][1]["label"] = "Largest"
    body = {k: v for k, v in kept.items() if k != "seal"}
    with pytest.raises(DisclosureError, match="one child's value"):
        SafeTable.from_dict({**body, "seal": _seal(body)})


def test_safe_types_cannot_be_made_without_the_guard() -> None:
    table = make([{"g": "a", "n": 500}], {"g": "G", "n": "N"}, count_columns=("n",))
    with pytest.raises(DisclosureError, match="safe_table"):
        SafeTable("t", "", "s", "public", table.columns, (("a", 3),), table.record)
    with pytest.raises(DisclosureError, match="safe_table"):
        SafeTable("t", "", "s", "public", (), (), table.record, token=object())
    with pytest.raises((DisclosureError, ValueError)):
        dataclasses.replace(table, rows=(("a", 3),))
    with pytest.raises(DisclosureError, match="safe_figure"):
        SafeFigure("bars", table, "s", "a", FigureOptions("m"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.rows = (("a", 3),)  # type: ignore[misc]


def test_a_changed_number_in_stored_json_is_noticed() -> None:
    table = make([{"g": "a", "n": 500}], {"g": "G", "n": "N"}, count_columns=("n",))
    stored = json.loads(json.dumps(table.to_dict()))
    assert SafeTable.from_dict(stored) == table
    stored["rows"][0][1] = -500
    with pytest.raises(DisclosureError, match="seal"):
        SafeTable.from_dict(stored)
    drawn = json.loads(json.dumps(figure().to_dict()))
    assert SafeFigure.from_dict(drawn) == figure()
    drawn["data"]["rows"][0][1] = 99.0
    with pytest.raises(DisclosureError, match="seal"):
        SafeFigure.from_dict(drawn)


# --- totals -----------------------------------------------------------------------------------


def test_a_total_row_is_recomputed_from_rounded_cells_or_hidden() -> None:
    columns = {"g": "G", "n": "N", "k": "K", "r": Column("Rate", "per 100", 1)}
    roles = {"count_columns": ("n", "k"), "rates": {"r": ("k", "n")}, "total_row": "All"}
    open_ = make([{"g": "a", "n": 102, "k": 33}, {"g": "b", "n": 203, "k": 48}], columns, **roles)
    # 100 + 205 and 35 + 50: sums of what is shown, not of what is known (305 and 81).
    assert open_.rows[-1] == ("All", 305, 85, 27.9)
    shut = make([{"g": "a", "n": 102, "k": 33}, {"g": "b", "n": 203, "k": 8}], columns, **roles)
    assert shut.rows[-1] == ("All", 305, "[c]", "[c]")


@pytest.mark.parametrize(
    "rows",
    [
        [("Girls", 500), ("Boys", 400), ("Not known", 4), ("All children", 904)],
        [("Girls", 500), ("Boys", 400), ("Not known", 4), ("Whole group", 904)],
        # Distinct children: a child in two rows makes the whole smaller than the parts.
        [("Girls", 500), ("Boys", 400), ("Not known", 4), ("Whole group", 899)],
        [("Overall", 904), ("Girls", 500), ("Not known", 4)],
    ],
)
def test_a_total_that_would_give_a_hidden_part_away_is_hidden(rows: list[tuple[str, int]]) -> None:
    table = make([{"g": g, "n": n} for g, n in rows], {"g": "G", "n": "N"}, count_columns=("n",))
    shown = dict(table.rows)
    assert shown["Not known"] == "[c]"
    total = next(g for g, n in rows if n > 800)
    assert shown[total] == "[c]"
    assert shown["Girls"] == 500
    assert table.record.secondary == 1


def test_a_column_total_is_worked_out_from_rounded_parts_or_hidden() -> None:
    rows = [{"g": "a", "p": 102, "c": 203}, {"g": "b", "p": 4, "c": 203}]
    columns = {"g": "G", "p": "Pilots", "c": "Comparators", "all": "Both"}
    declared = make(rows, columns, count_columns=("p", "c"), totals={"all": ("p", "c")})
    assert declared.values("all") == (305, "[c]")
    sly = [{**r, "all": r["p"] + r["c"]} for r in rows]
    undeclared = make(sly, columns, count_columns=("p", "c", "all"))
    assert undeclared.values("all") == (305, "[c]")


@settings(deadline=None)  # the first attack loads the solver
@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=6),
    st.booleans(),
)
def test_no_hidden_count_can_be_found_by_subtraction(counts: list[int], declared: bool) -> None:
    rows = [{"g": f"group {chr(97 + i)}", "n": n} for i, n in enumerate(counts)]
    if not declared:
        rows.append({"g": "Total", "n": sum(counts)})
    table = make(
        rows,
        {"g": "G", "n": "N"},
        count_columns=("n",),
        total_row="Total" if declared else "",
    )
    shown = dict(table.rows)
    parts = [shown[r["g"]] for r in rows if r["g"] != "Total"]
    for exact, cell in zip(counts, parts, strict=True):
        assert cell == "[c]" or (exact >= 10 and cell % 5 == 0)
    if "[c]" in parts:
        assert shown["Total"] == "[c]"


# --- published numbers, CSV -------------------------------------------------------------------


def test_published_numbers_pass_unrounded_and_say_so() -> None:
    table = make(
        [{"g": "a", "n": 3, "v": 1.26}],
        {"g": "G", "n": "N", "v": Column("V", "%", 1)},
        count_columns=("n",),
        statistics={"v": ()},
        rules=ALREADY_PUBLISHED,
        origin="public",
        authorities=None,
    )
    assert table.rows == (("a", 3, 1.3),)
    assert table.record.status == "already published"


def test_csv_leads_with_origin_and_source_and_cannot_run_as_a_formula() -> None:
    table = make(
        [
            {"g": "=HYPERLINK(1)", "n": 1200, "v": -8.14},
            {"g": 'Quote "and", comma\nline', "n": 3, "v": 0.04},
            {"g": "+44", "n": 30, "v": -0.01},
        ],
        {
            "g": Column("Group"),
            "n": Column("Children", "children"),
            "v": Column("Diff", "per 100", 1),
        },
        count_columns=("n",),
        estimates=("v",),
        residual_dof=20,
        origin="synthetic",
        category_columns=("g",),
    )
    read = pd.read_csv(io.StringIO(table.to_csv()))
    assert list(read.columns) == [
        "origin",
        "source",
        "Group",
        "Children (children)",
        "Diff (per 100)",
    ]
    assert set(read["origin"]) == {"Made-up data"}
    assert list(read["Group"]) == ["'=HYPERLINK(1)", 'Quote "and", comma\nline', "'+44"]
    assert list(read["Children (children)"]) == ["1200", "[c]", "30"]
    assert list(read["Diff (per 100)"]) == ["-8.1", "[c]", "0.0"]


def test_the_frame_is_left_as_it_was_and_may_be_any_of_three_shapes() -> None:
    rows = [{"g": "a", "n": 123}]
    frame = pd.DataFrame(rows)
    before = frame.copy()
    tables = [
        make(x, {"g": "G", "n": "N"}, count_columns=("n",)) for x in (rows, frame, tuple(rows))
    ]
    assert tables[0] == tables[1] == tables[2]
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(DisclosureError, match="no rows"):
        make([], {"g": "G"})
    double = pd.DataFrame([[1, 2]], columns=["n", "n"])
    with pytest.raises(DisclosureError, match="two columns of one name"):
        make(double, {"n": "N"}, count_columns=("n",))


# --- figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["title", "subtitle", "alt", "source"])
def test_a_chart_without_its_words_is_refused(kind: str, text: str) -> None:
    figure(kind)  # as given, it is fine
    with pytest.raises(DisclosureError, match="missing"):
        figure(kind, **{text: "  "})


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_on_made_up_data_says_so_in_its_subtitle(kind: str) -> None:
    with pytest.raises(DisclosureError, match="Made-up data"):
        figure(kind, origin="synthetic")
    made = figure(kind, origin="synthetic", subtitle="Made-up data. Difference per 100")
    assert made.subtitle.startswith(ORIGINS["synthetic"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"kind": "pie"}, "allowed: estimates"),
        ({"rows": [{"label": "a", "value": 1.0, "low": 0.0}]}, "no column 'high'"),
        (
            {"rows": [{"label": "a", "value": 1.0, "low": 0.0, "high": {"n": 3}}]},
            "not a finite number",
        ),
        ({"rows": [{"label": {"n": 3}, "value": 1.0, "low": 0.0, "high": 1.0}]}, "dict in a"),
        ({"residual_dof": None}, "residual degrees of freedom"),
        ({"options": {"measure": "x"}}, "FigureOptions"),
        ({"kind": "trend", "statistics": {}}, "without a role"),
        (
            {
                "kind": "bars",
                "rows": [
                    {"label": "a", "series": s, "value": 1.0, "n": 50} for s in ("x", "y", "z")
                ],
            },
            "at most 2",
        ),
    ],
)
def test_charts_refuse_what_they_cannot_guard(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DisclosureError, match=message):
        figure(**more)


@pytest.mark.parametrize("bad", [{"n": 3}, [3], "x", True, float("nan")])
def test_chart_options_take_no_data(bad: Any) -> None:
    with pytest.raises(DisclosureError, match="must be a number"):
        FigureOptions("m", mid=bad)
    if not isinstance(bad, str):
        with pytest.raises(DisclosureError, match="must be text"):
            FigureOptions("m", adoption=bad)


def test_points_behind_small_counts_or_one_authority_are_not_in_a_chart() -> None:
    rows = [
        {"time": 0, "value": -5.0, "low": -9.0, "high": -1.0, "n": 400, "las": 9},
        {"time": 1, "value": -6.5, "low": -9.5, "high": -1.5, "n": 6, "las": 9},
        {"time": 2, "value": -7.5, "low": -9.9, "high": -1.9, "n": 400, "las": 1},
        {"time": -1, "value": 0.0, "low": None, "high": None, "n": 400, "las": 9},
    ]
    drawn = figure(
        "event_study",
        rows,
        options=FigureOptions("Difference", "per 100", base=-1.0),
        count_columns=("n",),
        authorities=None,
        authorities_column="las",
    )
    assert drawn.data.values("value") == (-5.0, "[c]", "[c]", 0.0)
    assert drawn.data.values("low")[3] == "[z]"
    # Authorities alone guard estimates as well, where no count is at hand.
    bare = [{k: v for k, v in row.items() if k != "n"} for row in rows]
    alone = figure("event_study", bare, authorities=None, authorities_column="las")
    assert alone.data.values("value") == (-5.0, -6.5, "[c]", 0.0)
