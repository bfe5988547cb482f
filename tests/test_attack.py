"""What a reader can find out: linear programming over everything published, and no way round."""

from __future__ import annotations

import ast
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Rules
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sos_analysis.disclosure import (
    CONFIDENTIAL,
    DIFFERENCES,
    KINDS,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    round_count,
    safe_figure,
    safe_table,
    safe_tables,
)
from sos_analysis.disclosure.attack import Equation, bounds, knowledge, protect
from sos_analysis.disclosure.audit import attack
from sos_analysis.errors import DisclosureError

RULES = Rules()


def request(rows: Any, labels: dict[str, str], counts: tuple[str, ...] = ("n",), **more: Any):
    return {
        "frame": rows,
        "columns": {**labels, **{c: Column(c.upper(), "children") for c in counts}},
        "count_columns": counts,
        "population": "test",
        "category_columns": tuple(labels),
        "title": "Children counted",
        "source": "Test records",
        "origin": "restricted",
        "rules": RULES,
        "authorities": 9,
        **more,
    }


# --- the attacker is as strong as the rules say ------------------------------------------------


@given(
    count=st.integers(3, 5000),
    threshold=st.integers(3, 30),
    base=st.sampled_from([1, 2, 3, 5, 7, 10]),
)
def test_the_attacker_knows_exactly_which_counts_round_to_what_is_shown(
    count: int, threshold: int, base: int
) -> None:
    rules = Rules(threshold, base)
    count = max(count, threshold)
    shown = round_count(count, rules)
    low, high = knowledge(shown, base, threshold)
    near = range(max(threshold, shown - 3 * base), shown + 3 * base + 1)
    alike = [c for c in near if round_count(c, rules) == shown]
    assert (low, high) == (min(alike), max(alike))


def test_bounds_are_those_of_a_direct_linear_programme() -> None:
    """A two-way table with two hidden cells in different rows, all margins shown unrounded."""
    exact = np.array([[3.0, 20.0, 30.0], [15.0, 6.0, 40.0]])
    hidden = [(0, 0), (1, 1)]
    keys = {(i, j): ("t", i, j) for i, j in itertools.product(range(2), range(3))}
    known = {k: (exact[ij], exact[ij]) for ij, k in keys.items() if ij not in hidden}
    sums = [
        Equation({keys[i, j]: 1.0 for j in range(3)}, exact[i].sum(), exact[i].sum())
        for i in range(2)
    ]
    found = bounds(known, [keys[h] for h in hidden], sums)
    # One hidden cell a row: subtraction finds both.
    assert [(b.low, b.high) for b in found.values()] == [(3.0, 3.0), (6.0, 6.0)]
    columns = [
        Equation({keys[i, j]: 1.0 for i in range(2)}, exact[:, j].sum(), exact[:, j].sum())
        for j in range(3)
    ]
    gone = [(0, 0), (0, 1), (1, 0), (1, 1)]
    known = {k: (exact[ij], exact[ij]) for ij, k in keys.items() if ij not in gone}
    found = bounds(known, [keys[g] for g in gone], [*sums, *columns])
    matrix = np.zeros((4, 4))  # rows 0, 1, columns 0, 1 over the four hidden cells
    for place, (i, j) in enumerate(gone):
        matrix[i, place] = matrix[2 + j, place] = 1
    total = np.array([23.0, 21.0, 18.0, 26.0])
    for place, cell in enumerate(gone):
        ends = [
            sign * linprog(sign * np.eye(4)[place], A_eq=matrix, b_eq=total).fun for sign in (1, -1)
        ]
        assert (found[keys[cell]].low, found[keys[cell]].high) == pytest.approx(ends)


def test_contradicting_totals_are_an_error_not_a_bound() -> None:
    known = {("t", 0): (100.0, 100.0), ("t", 1): (200.0, 200.0)}
    with pytest.raises(DisclosureError, match="contradict"):
        bounds(known, [("t", 2)], [Equation({("t", 0): 1, ("t", 1): -1, ("t", 2): -1})])


def test_protection_hides_no_more_than_it_needs() -> None:
    exact = {("t", i): n for i, n in enumerate([3, 400, 60, 463])}
    shown = {k: round_count(n, RULES) for k, n in exact.items() if n >= 10}
    whole = Equation({("t", 3): 1.0, ("t", 0): -1.0, ("t", 1): -1.0, ("t", 2): -1.0})
    added = protect(exact, [("t", 0)], [whole], base=1, threshold=10, shown=shown)
    assert added == (("t", 3),)
    # Rounding to 5 leaves three published terms, and a range from 0 to 11: nothing to add.
    assert protect(exact, [("t", 0)], [whole], base=5, threshold=10, shown=shown) == ()


# --- the leaks of other tools ------------------------------------------------------------------

SMALL = [
    {"la": "North", "post": "Before", "n": 120},
    {"la": "North", "post": "After", "n": 3},
    {"la": "South", "post": "Before", "n": 80},
    {"la": "South", "post": "After", "n": 1},
]
#: Every margin of a cross table, as pandas and ACRO make it (`margins=True`).
MARGINS = [
    *SMALL,
    {"la": "North", "post": "All", "n": 123},
    {"la": "South", "post": "All", "n": 81},
    {"la": "All", "post": "Before", "n": 200},
    {"la": "All", "post": "After", "n": 4},
    {"la": "All", "post": "All", "n": 204},
]


@pytest.mark.parametrize("name", ["All", "Total", "England", "Everyone", "Both groups"])
def test_margins_of_a_cross_table_do_not_return_the_cells(name: str) -> None:
    """ACRO 1.0.2 with suppress=True and margins=True gives [3, 1, 4] back."""
    rows = [{k: name if v == "All" else v for k, v in row.items()} for row in MARGINS]
    table = safe_table(**request(rows, {"la": "Area", "post": "Time"}))
    shown = {(row[0], row[1]): row[2] for row in table.rows}
    for la, when in itertools.product(("North", "South", name), ("After", name)):
        assert shown[(la, when)] == CONFIDENTIAL, (la, when)
    assert shown[("North", "Before")] == 120
    assert all(h.protected for h in attack({"t": table}))
    # The same rows in any order, and with margins that no label names.
    coded = [{**row, "la": row["la"].replace(name, "Group Q")} for row in reversed(rows)]
    again = safe_table(**request(coded, {"la": "Area", "post": "Time"}))
    assert CONFIDENTIAL in [r[2] for r in again.rows if r[:2] == ("Group Q", "After")]
    assert [r[2] for r in again.rows if r[:2] == ("Group Q", name)] == [CONFIDENTIAL]


@pytest.mark.parametrize("guard", ["n", ("n",)])
def test_means_and_deviations_of_small_cells_are_hidden_however_they_are_asked_for(
    guard: Any,
) -> None:
    """ACRO 1.0.2: pivot_table with lists gives the mean and SD of three and of one person."""
    rows = [{**row, "mean": 31.5 + i, "sd": 4.2 + i} for i, row in enumerate(SMALL)]
    given = request(rows, {"la": "Area", "post": "Time"})
    given["columns"] = {
        **given["columns"],
        "mean": Column("Mean", "working days", 1),
        "sd": Column("SD", "working days", 1),
    }
    table = safe_table(**given, statistics={"mean": guard, "sd": guard})
    for row in table.rows:
        small = row[1] == "After"
        assert [c == CONFIDENTIAL for c in row[2:]] == [small] * 3
    kept = repr(table.to_dict())
    assert not any(secret in kept for secret in ("32.5", "34.5", "5.2", "7.2"))


def test_two_breakdowns_in_one_table_do_not_give_each_other_away() -> None:
    """Girls and boys, younger and older, no total: the same sum twice."""
    rows = [{"g": g, "n": n} for g, n in (("A", 4), ("B", 496), ("Under", 230), ("Over", 270))]
    table = safe_table(**request(rows, {"g": "Group"}, rules=replace(RULES, rounding_base=1)))
    hidden = [g for g, cell in table.rows if cell == CONFIDENTIAL]
    assert "A" in hidden
    assert {"Under", "Over"} & set(hidden)


# --- across tables -----------------------------------------------------------------------------


def pair(base: int = 1, population: str = "referrals") -> dict[str, Any]:
    rules = replace(RULES, rounding_base=base)
    total = [{"la": "North", "n": 123}, {"la": "South", "n": 381}]
    parts = [
        {"la": "North", "sex": "Girls", "n": 119},
        {"la": "North", "sex": "Boys", "n": 4},
        {"la": "South", "sex": "Girls", "n": 181},
        {"la": "South", "sex": "Boys", "n": 200},
    ]
    more = {"rules": rules, "population": population}
    return {
        "total": request(total, {"la": "Area"}, **more),
        "parts": request(parts, {"la": "Area", "sex": "Sex"}, **more),
    }


def test_a_total_in_one_table_does_not_give_away_a_cell_of_another() -> None:
    made = safe_tables(pair())
    assert dict(made["total"].rows) == {"North": CONFIDENTIAL, "South": 381}
    assert [r[2] for r in made["parts"].rows] == [119, CONFIDENTIAL, 181, 200]
    assert made["total"].record.secondary == 1
    assert all(h.protected for h in attack(made))
    # One by one nobody can see it; the attack over both, at release, does.
    alone = {name: safe_table(**given) for name, given in pair().items()}
    assert alone["total"].rows[0] == ("North", 123)
    bad = [h for h in attack(alone) if not h.protected]
    assert [(h.table, h.low, h.high) for h in bad] == [("parts", 4.0, 4.0)]
    # Different children: nothing to find.
    apart = pair()
    apart["parts"] = {**apart["parts"], "population": "assessments"}
    assert safe_tables(apart)["total"].rows[0] == ("North", 123)


def test_one_count_in_two_tables_is_hidden_in_both() -> None:
    rows = [{"g": "Few", "n": 30, "m": 4}, {"g": "Many", "n": 300, "m": 90}]
    given = {"rules": RULES, "population": "p"}
    shown = request(rows, {"g": "Group"}, **given)
    hides = request(rows, {"g": "Group"}, ("n", "m"), parts_of={"n": "n2"}, **given)
    hides["frame"] = [{**r, "n2": r["n"] + (2 if r["g"] == "Few" else 100)} for r in rows]
    made = safe_tables({"a": shown, "b": hides})
    assert made["b"].rows[0] == ("Few", CONFIDENTIAL, CONFIDENTIAL)
    assert made["a"].rows[0] == ("Few", CONFIDENTIAL)
    assert made["a"].rows[1] == ("Many", 300)


tables_of_counts = st.integers(2, 4).flatmap(
    lambda columns: st.lists(
        st.lists(
            st.one_of(st.integers(0, 14), st.integers(0, 400)),
            min_size=columns,
            max_size=columns,
        ),
        min_size=2,
        max_size=4,
    )
)


@settings(max_examples=30, deadline=None)
@given(cells=tables_of_counts, base=st.sampled_from([1, 3, 5]), threshold=st.sampled_from([5, 10]))
def test_no_hidden_cell_of_any_edition_can_be_found(
    cells: list[list[int]], base: int, threshold: int
) -> None:
    """A cross table, both its margins and its total, published as four tables and attacked."""
    exact = np.array(cells)
    rules = Rules(threshold, base)
    a, b = ([f"{x}{i}" for i in range(size)] for x, size in zip("ab", exact.shape, strict=True))
    shared = {"rules": rules, "population": "all"}
    inner = [
        {"a": i, "b": j, "n": int(exact[x, y])} for x, i in enumerate(a) for y, j in enumerate(b)
    ]
    rows = [{"a": i, "n": int(exact[x].sum())} for x, i in enumerate(a)]
    columns = [{"b": j, "n": int(exact[:, y].sum())} for y, j in enumerate(b)]
    made = safe_tables(
        {
            "cells": request(inner, {"a": "A", "b": "B"}, **shared),
            "rows": request(rows, {"a": "A"}, **shared),
            "columns": request(columns, {"b": "B"}, **shared),
            "total": request([{"w": "All", "n": int(exact.sum())}], {"w": "Who"}, **shared),
        }
    )
    truth = {(r["a"], r["b"]): r["n"] for r in inner}
    truth |= {(r["a"],): r["n"] for r in rows} | {(r["b"],): r["n"] for r in columns}
    truth[("All",)] = int(exact.sum())
    # Independent of the guard: an integer attacker's linear relaxation, written out here.
    keys = list(truth)
    place = {k: i for i, k in enumerate(keys)}
    box: list[tuple[float, float | None]] = [(0.0, None)] * len(keys)
    gone = []
    for table in made.values():
        for row in table.rows:
            key, value = row[:-1], row[-1]
            if value == CONFIDENTIAL:
                gone.append(key)
            else:
                assert value % base == 0
                assert value >= threshold
                alike = [
                    c for c in range(threshold, value + base + 1) if round_count(c, rules) == value
                ]
                box[place[key]] = (min(alike), max(alike))
                assert min(alike) <= truth[key] <= max(alike)
    sums = []
    for x in a:
        sums.append(({(x,)}, {(x, y) for y in b}))
    for y in b:
        sums.append(({(y,)}, {(x, y) for x in a}))
    sums += [({("All",)}, {(x,) for x in a}), ({("All",)}, {(y,) for y in b})]
    matrix = np.zeros((len(sums), len(keys)))
    for i, (whole, parts) in enumerate(sums):
        for k in whole:
            matrix[i, place[k]] = 1
        for k in parts:
            matrix[i, place[k]] = -1
    for key in gone:
        cost = np.eye(len(keys))[place[key]]
        ends = []
        for sign in (1, -1):
            solved = linprog(sign * cost, A_eq=matrix, b_eq=np.zeros(len(sums)), bounds=box)
            ends.append(sign * solved.fun if solved.status == 0 else sign * -np.inf)
        low, high = ends
        if truth[key] < threshold:
            assert low <= 1 + 1e-6, (key, ends)
            assert high >= threshold - 1 - 1e-6, (key, ends)
        else:
            assert high - low >= threshold - 2 - 1e-6, (key, ends)


@pytest.mark.parametrize("rules", [RULES, Rules(20, 5), Rules(7, 3), Rules(30, 10), Rules(5, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_counts_and_yearly_rates_together_give_no_count_away(rules: Any, seed: int) -> None:
    """Tables of counts and of rates alone, at once, for an attacker written out here.

    Who was counted (two phases, with the rate) and a trend of rates by year whose counts are not
    shown. Unknown: events and outcomes of each year and phase. A year with a hidden rate keeps
    its outcomes open, or those without.
    """
    rng = np.random.default_rng(seed)
    years = 6
    n = rng.integers(rules.threshold, 400, years)
    y = rng.binomial(n, rng.choice([0.03, 0.3, 0.97], years))
    phase = [range(0, 3), range(3, years)]
    sums = [(int(n[list(p)].sum()), int(y[list(p)].sum())) for p in phase]
    shared = {"rules": rules, "population": "p"}
    when = [
        {"when": w, "n": a, "y": b} for w, (a, b) in zip(("Before", "After"), sums, strict=True)
    ]
    made = safe_tables(
        {
            "counts": {
                **request(when, {"when": "Time"}, **shared),
                "columns": {"when": "Time", "n": Column("N", "cases"), "r": Column("R", "", 1)},
                "rates": {"r": ("y", "n")},
            },
            "trend": {
                **request(
                    [{"time": t, "n": int(n[t]), "y": int(y[t])} for t in range(years)],
                    {"time": "Year"},
                    (),
                    **shared,
                ),
                "columns": {"time": "Year", "r": Column("R", "", 1)},
                "rates": {"r": ("y", "n")},
            },
        }
    )
    t, b = rules.threshold, rules.rounding_base
    # The cells n_0.., y_0.., then their sums by phase; what rounding and the guard say of them.
    size = 2 * years + 4
    box: list[tuple[float, float | None]] = [(0.0, None)] * size
    below: list[tuple[np.ndarray, float]] = []
    equal: list[np.ndarray] = []

    def rate(shown: Any, top: int, bottom: int) -> None:
        if not isinstance(shown, (int, float)):
            return
        box[top], box[bottom] = (t, None), (t, None)
        # Shown is the rate of rounded counts, each at most a base off, to one decimal.
        for sign, end in ((1, shown + 0.05), (-1, shown - 0.05)):
            row = np.zeros(size)
            row[top], row[bottom] = sign * 100.0, -sign * end
            below.append((row, 100.0 * b + abs(end) * b))

    for i in range(years):
        rate(made["trend"].rows[i][1], years + i, i)
        below.append((np.eye(size)[years + i] - np.eye(size)[i], 0.0))
    for k, p in enumerate(phase):
        whole, part = 2 * years + k, 2 * years + 2 + k
        for offset, cell in ((0, whole), (years, part)):
            row = -np.eye(size)[cell]
            row[[offset + i for i in p]] = 1.0
            equal.append(row)
        rate(made["counts"].rows[k][2], part, whole)
        shown = made["counts"].rows[k][1]
        if shown != CONFIDENTIAL:
            box[whole] = knowledge(int(shown), b, t)
    truth = np.r_[n, y, [s[0] for s in sums], [s[1] for s in sums]].astype(float)
    assert all(row @ truth <= high + 1e-9 for row, high in below), "the attacker knows what is true"
    looked = 0
    for i in range(years):
        if made["trend"].rows[i][1] != CONFIDENTIAL:
            continue
        small = int(y[i]) if y[i] < t else int(n[i] - y[i])
        # The small one: the outcomes, or those without.
        cost = np.eye(size)[years + i] if y[i] < t else np.eye(size)[i] - np.eye(size)[years + i]
        ends = []
        for sign in (1, -1):
            solved = linprog(
                sign * cost,
                A_ub=np.array([r for r, _ in below]),
                b_ub=[h for _, h in below],
                A_eq=np.array(equal),
                b_eq=np.zeros(len(equal)),
                bounds=box,
            )
            ends.append(sign * solved.fun if solved.status == 0 else sign * -np.inf)
        if small < t:
            assert ends[0] <= 1 + 1e-6, (i, ends)
            assert ends[1] >= t - 1 - 1e-6, (i, ends)
        else:  # hidden so that another cannot be found
            assert ends[1] - ends[0] >= t - 2 - 1e-6, (i, ends)
        looked += 1
    assert looked, "nothing was hidden, so nothing was attacked"


def test_counts_from_records_say_whose_they_are_in_every_kind_of_table_and_chart() -> None:
    """Without a population no count of records can be shown, so none escapes the joint attack."""
    given = request([{"g": "a", "n": 40}, {"g": "b", "n": 4}], {"g": "G"}, population="")
    with pytest.raises(DisclosureError, match="say whose children"):
        safe_table(**given)
    for kind, columns in KINDS.items():
        row = {"label": "a", "time": 1, "series": "Pilots", "region": "London"}
        row |= {"value": 1.0, "low": 0.0, "high": 2.0}
        row = {k: row[k] for k in columns}
        other = {"label": "b", "time": 2, "region": "South East"}
        small = {**row, "n": 4, **{k: v for k, v in other.items() if k in row}}
        shown = {
            "title": "A message",
            "subtitle": "Measure",
            "alt": "Points",
            "source": "Records",
            "origin": "restricted",
            "rules": RULES,
            "options": FigureOptions("Difference", "per 100"),
            "residual_dof": 26,
            "authorities": 9,
            "columns": {"n": Column("Children", "children")},
            "count_columns": ("n",),
        }
        if kind not in DIFFERENCES:
            shown["statistics"] = {k: "n" for k in ("value", "low", "high") if k in row}
        with pytest.raises(DisclosureError, match="say whose children"):
            safe_figure(kind, [{**row, "n": 40}, small], **shown)
        figure = safe_figure(kind, [{**row, "n": 40}, small], **shown, population="p")
        assert CONFIDENTIAL in figure.data.rows[1], kind
        assert 4 not in figure.data.rows[1], kind
        assert all(h.protected for h in attack({kind: figure.data})), kind


# --- the other rules ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "first", "second", "hidden"),
    [
        (1000, 400, 300, False),
        (1000, 700, 201, True),  # two hold more than 90%
        (1000, 850, 50, False),
        (1000, 950, 20, True),  # 30 left beside 950: the second can estimate the first
        (1000, 880, 20, False),
        (30, 15, 15, True),
    ],
)
def test_rows_that_one_or_two_authorities_dominate_are_hidden(
    every: int, first: int, second: int, hidden: bool
) -> None:
    rows = [{"g": "a", "n": every, "one": first, "two": second}]
    given = request(rows, {"g": "G"}, dominance=("n", "one", "two"))
    table = safe_table(**given)
    assert (table.rows[0][1] == CONFIDENTIAL) is hidden
    with pytest.raises(DisclosureError, match="largest two authorities"):
        safe_table(**{**given, "frame": [{**rows[0], "one": every + 1}]})


def test_a_local_profile_is_exempt_from_the_minimum_of_authorities_and_from_nothing_else(
    small_study,
) -> None:
    rules = small_study.disclosure
    own, other = rules.names[0], rules.names[1]
    profile = rules.for_local_profile(own)
    rows = [{"g": "Girls", "n": 40}, {"g": "Boys", "n": 4}]
    given = request(rows, {"g": "Group"}, authorities=1, title=f"Children in {own}")
    with pytest.raises(DisclosureError, match="named beside"):
        safe_table(**{**given, "rules": rules})
    whole = {**given, "title": "Children"}
    assert {r[1] for r in safe_table(**{**whole, "rules": rules}).rows} == {CONFIDENTIAL}
    table = safe_table(**{**given, "rules": profile})
    assert table.rows == (("Girls", 40), ("Boys", CONFIDENTIAL))
    with pytest.raises(DisclosureError, match="named beside"):
        safe_table(**{**given, "rules": profile, "title": f"{own} and {other}"})
    with pytest.raises(ValueError, match="no authority"):
        rules.for_local_profile("Nowhere")
    assert dataclass_without(profile) == dataclass_without(rules)


def dataclass_without(rules: Any) -> dict[str, Any]:
    skip = ("minimum_authorities", "local")
    return {k: v for k, v in vars(rules).items() if k not in skip}


def test_results_with_one_left_out_stay_without_names(small_study) -> None:
    names = small_study.disclosure.names
    rows = [{"label": f"Without {names[3]}", "value": -3.0, "low": -5.0, "high": -1.0}]
    options = FigureOptions("Difference", "per 100")
    given = {
        "title": "One left out",
        "subtitle": "Measure",
        "alt": "Points",
        "source": "Records",
        "origin": "restricted",
        "rules": small_study.disclosure,
        "residual_dof": 20,
        "options": options,
    }
    with pytest.raises(DisclosureError, match="without names"):
        safe_figure("estimates", rows, **given)
    rows[0]["label"] = "Without one pilot"
    safe_figure("estimates", rows, **given)
    with pytest.raises(DisclosureError, match="without names"):
        safe_figure("estimates", rows, **{**given, "alt": f"{names[5]} stands out"})


def test_the_study_file_holds_the_rules_with_their_source(small_study) -> None:
    rules = small_study.disclosure
    assert (rules.threshold, rules.rounding_base) == (10, 5)
    assert (rules.dominant_authorities, rules.dominant_share, rules.p_percent) == (2, 90, 10)
    assert rules.residual_dof == 10
    assert "secure research settings" in rules.source
    assert "ACRO" in rules.source


def test_fewer_degrees_of_freedom_than_the_study_asks_for_hide_an_estimate(small_study) -> None:
    strict = replace(small_study.disclosure, residual_dof=25)
    rows = [{"g": "a", "v": 1.5}]
    given = {**request(rows, {"g": "G"}, ()), "columns": {"g": "G", "v": Column("V", "", 1)}}
    for rules, shown in ((small_study.disclosure, 1.5), (strict, CONFIDENTIAL)):
        table = safe_table(**{**given, "rules": rules}, estimates=("v",), residual_dof=20)
        assert table.rows[0][1] == shown


# --- no way round ------------------------------------------------------------------------------


def test_a_resealed_table_that_no_guard_made_is_refused() -> None:
    from sos_analysis.disclosure.safe import _seal

    rows = [{"g": "a", "n": 40}, {"g": "b", "n": 70}]
    stored = safe_table(**request(rows, {"g": "G"})).to_dict()
    for forge in (
        {"rows": [["a", 3], ["b", 70]]},
        {"rows": [["a", 41], ["b", 70]]},
        {"rows": [["a", "3"], ["b", 70]]},
        {"record": {**stored["record"], "threshold": 1, "base": 1}},
    ):
        body = {k: v for k, v in {**stored, **forge}.items() if k != "seal"}
        with pytest.raises(DisclosureError):
            SafeTable.from_dict({**body, "seal": _seal(body)})


def _calls(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
    return found


def test_no_other_code_makes_safe_objects_or_shows_anything_else(root: Path) -> None:
    """Only `disclosure` makes safe objects, only `results` revives stored ones."""
    package = root / "sos_analysis"
    shows = {"to_html", "to_markdown", "to_latex", "_repr_html_", "display", "savefig", "HTML"}
    shows |= {"to_clipboard", "to_excel", "glue", "print_html"}
    seen = 0
    for path in [*package.rglob("*.py"), *(root / "book" / "_ext").glob("*.py")]:
        inside = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        names = _calls(tree)
        seen += 1
        if "/disclosure/" in inside:
            continue
        assert "TOKEN" not in names, inside
        assert (
            not {"__setattr__", "__new__"} & names
            or "SafeTable" not in names
            or (inside == "sos_analysis/results/chapter.py")
        ), inside
        made = [
            n.func.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        ]
        assert not {"SafeTable", "SafeFigure"} & set(made), inside
        revived = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute)
            and n.attr == "from_dict"
            and isinstance(n.value, ast.Name)
            and n.value.id in ("SafeTable", "SafeFigure")
        ]
        assert not revived or inside == "sos_analysis/results/chapter.py", inside
        if inside.startswith(("sos_analysis/chapters", "sos_analysis/charts", "book/")):
            # Of claims and formulas, in the book's extension.
            used = (shows - {"to_html", "display"} if inside.startswith("book/") else shows) & names
            assert not used, f"{inside}: {used}"
    assert seen > 100
    # Results take nothing but safe objects, at run time too.
    from sos_analysis.errors import ClaimError
    from sos_analysis.results import ChapterResult

    for kind in ("tables", "figures"):
        with pytest.raises(ClaimError, match="may be shown"):
            ChapterResult("c", "C", "restricted", **{kind: {"t": {"rows": [[3]]}}})
    assert SafeFigure.__dataclass_params__.frozen  # type: ignore[attr-defined]
