"""Everything published about the same children, attacked at once by an attacker written here.

The attacker knows the rules, that a count is a whole number of people, which groups are part of
which (those left after matching, complete cases, distinct children of cases, cases that escalate
of those that come back), and how cells add up. What is small, be it hidden, the difference of two
counts that are shown, or the children behind an outcome, must stay able to be anything from 1 to
threshold - 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Rules
from scipy.optimize import linprog

from sos_analysis.chapters.exhibits import Exhibits
from sos_analysis.chapters.icpc_exhibits import ConferenceExhibits
from sos_analysis.chapters.words import OUTCOME_WORDS
from sos_analysis.disclosure import (
    CONFIDENTIAL,
    Column,
    SafeTable,
    round_count,
    safe_table,
    safe_tables,
)
from sos_analysis.disclosure.audit import attack
from sos_analysis.errors import DisclosureError

RULES = (Rules(10, 5), Rules(20, 5), Rules(7, 3), Rules(5, 1))
WHO, WHEN = ("Pilots", "Comparators"), ("Before", "After")


@dataclass
class Attacker:
    """A linear programme over named counts; numbers are added as they are read."""

    rules: Rules
    truth: dict[Any, float]
    rows: list[tuple[dict[Any, float], float, float]] = field(default_factory=list)

    def knows(self, terms: Mapping[Any, float], low: float, high: float = np.inf) -> None:
        true = sum(c * self.truth[k] for k, c in terms.items())
        assert low - 1e-6 <= true <= high + 1e-6, f"told what is not so: {terms}"
        self.rows.append((dict(terms), low, high))

    def reads(self, name: Any, shown: Any) -> bool:
        """A cell of a table: whether it is shown."""
        if isinstance(shown, str):
            assert shown == CONFIDENTIAL
            return False
        t, b = self.rules.threshold, self.rules.rounding_base
        near = range(t, int(shown) + 2 * b + 1)
        alike = [c for c in near if round_count(c, self.rules) == shown]
        self.knows({name: 1.0}, min(alike), max(alike))
        return True

    def differ(self, whole: Any, part: Any, shown: bool) -> None:
        """A part of a whole; where both are shown they differ by the threshold, says the rule."""
        self.knows({whole: 1.0, part: -1.0}, self.rules.threshold if shown else 0.0)

    def range(self, terms: Mapping[Any, float]) -> tuple[float, float]:
        names = list(self.truth)
        place = {k: i for i, k in enumerate(names)}
        matrix, most = [], []
        for known, low, high in self.rows:
            row = np.zeros(len(names))
            for k, c in known.items():
                row[place[k]] = c
            if np.isfinite(high):
                matrix.append(row)
                most.append(high)
            matrix.append(-row)
            most.append(-low)
        cost = np.zeros(len(names))
        for k, c in terms.items():
            cost[place[k]] = c
        ends = []
        for sign in (1.0, -1.0):
            solved = linprog(sign * cost, A_ub=np.array(matrix), b_ub=most, bounds=(0, None))
            assert solved.status in (0, 3), solved.message
            ends.append(sign * solved.fun if solved.status == 0 else -sign * np.inf)
        return ends[0], ends[1]

    def cannot_tell(self, terms: Mapping[Any, float]) -> bool:
        """Whether a small number keeps its range; False where it is not small."""
        true = sum(c * self.truth[k] for k, c in terms.items())
        if true >= self.rules.threshold:
            return False
        low, high = self.range(terms)
        assert low <= 1 + 1e-6, (terms, low, high)
        assert high >= self.rules.threshold - 1 - 1e-6, (terms, low, high)
        return True


# --- the tables of a question, as its chapter makes them ------------------------------------------


def edition(seed: int, rules: Rules, study: Any) -> tuple[dict[str, SafeTable], dict[Any, float]]:
    """Counts, yearly rates and complete cases by the chapters' own code, over made-up counts.

    Few are dropped by matching, few are incomplete, few children come twice: differences are small.
    """
    rng = np.random.default_rng(seed)
    years = range(2014, 2020)
    rows, truth, left = [], {}, []
    for role, who in zip(("treated", "comparator"), WHO, strict=True):
        n = rng.integers(rules.threshold // 2, 6 * rules.threshold, len(years))
        y = rng.binomial(n, rng.choice([0.05, 0.4, 0.95], len(years)))
        twice = rng.binomial(np.minimum(n, 4), 0.3)
        for i, year in enumerate(years):
            truth |= {("n", who, year): n[i], ("y", who, year): y[i]}
            rows.append(["calendar", role, "all", str(year), n[i] - twice[i], n[i], y[i]])
        for when, phase, mine in (("Before", "pre", slice(0, 3)), ("After", "post", slice(3, 6))):
            total, outcome = int(n[mine].sum()), int(y[mine].sum())
            children = total - int(rng.choice([0, 2, rules.threshold + 3]))
            rows.append(["phase", role, phase, phase, children, total, outcome])
            kept = total - int(rng.choice([0, 3, rules.threshold - 1, rules.threshold + 2]))
            complete = max(0, kept - int(rng.choice([0, 4, rules.threshold + 1])))
            names = ("events", "children", "kept", "complete", "outcome")
            values = (total, children, kept, complete, outcome)
            truth |= {(k, who, when): v for k, v in zip(names, values, strict=True)}
            left.append(
                {
                    "treated": int(role == "treated"),
                    "post": int(phase == "post"),
                    "las": 8,
                    "children": max(0, children - (total - kept)),
                    "all": total,
                    "events": kept,
                    "complete": complete,
                }
            )
    names = ["margin", "role", "phase", "level", "children", "events", "y_sum"]
    margins = pd.DataFrame(rows, columns=names)
    # As many children as cases of each kind: what hides them is tried in `two_chapters`.
    margins = margins.assign(
        children_with=margins["y_sum"], children_without=margins["events"] - margins["y_sum"]
    )
    page = page_of(ConferenceExhibits, "icpc", margins, rules, study)
    vars(page).update(missing=SimpleNamespace(kept=pd.DataFrame(left)))
    made = {
        "counts": Exhibits.counts(page),
        "trend": Exhibits.trend(page).data,
        "kept": ConferenceExhibits.kept(page),
    }
    return made, {k: float(v) for k, v in truth.items()}


def page_of(kind: Any, outcome: str, margins: pd.DataFrame, rules: Rules, study: Any) -> Any:
    """A chapter's exhibits over counts made up here."""
    margins = margins.assign(
        **{"las": 8, "largest": margins["events"] // 4, "second": margins["events"] // 5}
        | {k: margins[k] for k in ("las",) if k in margins}
    )
    counted = ["events", "children", "y_sum", "children_with", "children_without"]
    page = object.__new__(kind)
    vars(page).update(
        study=SimpleNamespace(disclosure=rules),
        outcome=study.outcome(outcome),
        words=OUTCOME_WORDS[outcome],
        origin="restricted",
        made_up=False,
        source="Records",
        place="England",
        unit="per 100",
        decimals=1,
        lead=SimpleNamespace(
            definition="original",
            cells=SimpleNamespace(margins=margins.astype(dict.fromkeys(counted, int))),
            sample=SimpleNamespace(groups=study.groups(outcome)),
        ),
        whole=None,
    )
    return page


def rate(who_reads: Attacker, shown: Any, top: Any, bottom: Any, whole: Any = "") -> bool:
    """A rate of two counts, of which the second may be shown as well: whether it is shown."""
    if isinstance(shown, str):
        who_reads.differ(bottom, top, False)
        return False
    rules = who_reads.rules
    who_reads.differ(bottom, top, True)
    who_reads.knows({top: 1.0}, rules.threshold)
    if not isinstance(whole, str):
        near = range(rules.threshold, int(whole) + 2 * rules.rounding_base)
        alike = [c for c in near if abs(100 * round_count(c, rules) / whole - shown) <= 0.0501]
        who_reads.knows({top: 1.0}, min(alike), max(alike))
    # Shown is the rate of rounded counts, each off by half a base (by a base just above a
    # threshold that is no multiple of it), to one decimal.
    off = rules.rounding_base / (1 if rules.threshold % rules.rounding_base else 2)
    for sign, end in ((1.0, shown - 0.05), (-1.0, shown + 0.05)):
        room = off * (100.0 + abs(end))
        who_reads.knows({top: sign * 100.0, bottom: -sign * end}, -room)
    return True


def read(made: Mapping[str, SafeTable], rules: Rules, truth: dict[Any, float]) -> Attacker:
    """All that the tables of a question say."""
    who_reads = Attacker(rules, truth)

    cells = {}
    counts, kept = made["counts"], made["kept"]
    for i, row in enumerate(counts.rows):
        at = (row[0], row[1])
        for name in ("events", "children"):
            cells[(name, *at)] = who_reads.reads((name, *at), counts.values(name)[i])
        shown, whole = (counts.values(key)[i] for key in ("rate", "events"))
        rate(who_reads, shown, ("outcome", *at), ("events", *at), whole)
    for i, row in enumerate(kept.rows):
        at = (row[0], row[1])
        for name, key in (("kept", "events"), ("complete", "complete")):
            cells[(name, *at)] = who_reads.reads((name, *at), kept.values(key)[i])
    for at in itertools.product(WHO, WHEN):
        for whole, part in (("events", "children"), ("events", "kept"), ("kept", "complete")):
            pair = (whole, *at), (part, *at)
            who_reads.differ(*pair, cells[pair[0]] and cells[pair[1]])
    trend = made["trend"]
    for i in range(len(trend.rows)):
        at = (trend.values("series")[i], int(trend.values("time")[i]))
        rate(who_reads, trend.values("value")[i], ("y", *at), ("n", *at))
    for who, (when, years) in itertools.product(
        WHO, (("Before", range(2014, 2017)), ("After", range(2017, 2020)))
    ):
        for whole, part in (("events", "n"), ("outcome", "y")):
            terms = {(whole, who, when): 1.0, **{(part, who, t): -1.0 for t in years}}
            who_reads.knows(terms, 0.0, 0.0)
    return who_reads


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_nothing_small_can_be_found_from_all_tables_of_a_question(
    seed: int, rules: Rules, small_study
) -> None:
    made, truth = edition(seed, rules, small_study)
    attacker = read(made, rules, truth)
    looked = 0
    for at in itertools.product(WHO, WHEN):
        for name in ("events", "children", "kept", "complete"):
            looked += attacker.cannot_tell({(name, *at): 1.0})
        for whole, part in (("events", "children"), ("events", "kept"), ("kept", "complete")):
            looked += attacker.cannot_tell({(whole, *at): 1.0, (part, *at): -1.0})
        looked += attacker.cannot_tell({("outcome", *at): 1.0})
        looked += attacker.cannot_tell({("events", *at): 1.0, ("outcome", *at): -1.0})
    assert looked >= 3, "too little that is small was attacked"
    assert all(h.protected for h in attack(made))
    # What is part of what is kept with the table, so that the attack at release knows it.
    stored = {name: SafeTable.from_dict(table.to_dict()) for name, table in made.items()}
    assert stored == made
    assert stored["kept"].record.parts == (("complete", "events"),)


#: Other rules than those of the first test, exact rounding among them; each with seeds that gave a
#: yearly number away while years and phases were protected each by themselves.
YEARLY = [(Rules(10, 5), 14), (Rules(20, 1), 5), (Rules(20, 1), 11), (Rules(20, 5), 5),
          (Rules(7, 3), 5)]  # fmt: skip


def _years(attacker: Attacker) -> int:
    looked = 0
    for who, year in itertools.product(WHO, range(2014, 2020)):
        y, n = ("y", who, year), ("n", who, year)
        looked += attacker.cannot_tell({y: 1.0})
        looked += attacker.cannot_tell({n: 1.0, y: -1.0})
    return looked


@pytest.mark.parametrize(("rules", "seed"), YEARLY, ids=str)
def test_a_phase_without_embedding_does_not_give_a_year_away(
    rules: Rules, seed: int, small_study, monkeypatch
) -> None:
    """Where no case lies between, a phase is the sum of its years, which no label says."""
    made, truth = edition(seed, rules, small_study)
    assert _years(read(made, rules, truth)) >= 3
    # The trend made without the counts beside it: then this attacker narrows a year.
    monkeypatch.setattr("sos_analysis.disclosure.guard.linked", lambda sheets: False)
    made, truth = edition(seed, rules, small_study)
    with pytest.raises(AssertionError):
        _years(read(made, rules, truth))


def test_without_the_rule_on_parts_the_same_attacker_finds_them(small_study) -> None:
    """The attacker is strong enough: rounding alone narrows what matching dropped."""
    rules = RULES[0]
    found = 0
    for seed in range(5):
        _, truth = edition(seed, rules, small_study)
        attacker = Attacker(rules, truth)
        for at in itertools.product(WHO, WHEN):
            whole, part = ("events", *at), ("kept", *at)
            for name in (whole, part):
                attacker.reads(name, round_count(int(truth[name]), rules))
            attacker.differ(whole, part, False)
            low, high = attacker.range({whole: 1.0, part: -1.0})
            found += truth[whole] - truth[part] < rules.threshold and (low > 1 or high < 9)
    assert found >= 5


# --- two chapters that count the same cases -------------------------------------------------------


NAMES = ("events", "children", "y", "with", "without")
TIMES = (*WHEN, *range(2014, 2020))


def two_chapters(
    seed: int, rules: Rules, study: Any, *, knowing: bool = True
) -> tuple[dict[str, SafeTable], dict[Any, float]]:
    """Re-referral and, of the same cases, escalation; few differ, few children have much.

    Truth by outcome ('back', 'worse'), kind, group and time; `("both", …)` are the cases of
    escalation that came back.
    """
    rng = np.random.default_rng(seed)
    t, truth = rules.threshold, {}
    rows: dict[str, list[dict[str, Any]]] = {"back": [], "worse": []}
    for role, who in zip(("treated", "comparator"), WHO, strict=True):
        share, apart = rng.choice([0.1, 0.5, 0.95]), rng.choice([0, 1, 2], p=[0.5, 0.2, 0.3])
        found: dict[Any, dict[Any, int]] = {time: {} for time in TIMES}
        # A year is that of cases in a phase and of cases while the approach was brought in.
        for year, inside in itertools.product(TIMES[2:], (True, False)):
            n = int(rng.integers(t, 5 * t)) if inside else int(rng.integers(0, 2 * t))
            y = int(rng.binomial(n, share))
            gone = int(rng.choice([0, 1, t // 3]))
            back_of_gone = int(rng.binomial(min(gone, y), 0.5))
            gone = min(gone, n - y + back_of_gone)
            both = y - back_of_gone
            worse = int(rng.binomial(both, rng.choice([0.2, 0.9])))
            counted = {
                ("back", "events", who): n,
                ("back", "y", who): y,
                ("worse", "events", who): n - gone,
                ("worse", "y", who): worse,
                ("both", who): both,
            }
            for time in (year, "Before" if year < 2017 else "After") if inside else (year,):
                for key, number in counted.items():
                    found[time][key] = found[time].get(key, 0) + number
        truth |= {(*key, time): v for time, by in found.items() for key, v in by.items()}
        for of, time in itertools.product(("back", "worse"), TIMES):
            n, y = (truth[of, name, who, time] for name in ("events", "y"))
            # Each kind of case is of as many children, or of half as many.
            people = [int(-(-k // rng.choice([1, 1, 2]))) for k in (y, n - y)]
            some = int(rng.choice([0, min(people) // 2]))
            values = (sum(people) - some, *people)
            if of == "worse":  # no child that the whole does not have
                over = max(0, values[0] - truth["back", "children", who, time])
                values = (values[0] - over, min(people[0], values[0] - over), people[1])
                values = (*values[:2], min(values[2], values[0]))
            names = ("children", "with", "without")
            truth |= {(of, k, who, time): v for k, v in zip(names, values, strict=True)}
            margin = "phase" if time in WHEN else "calendar"
            phase = {"Before": "pre", "After": "post"}.get(time, "all")
            rows[of].append(
                {
                    **{"margin": margin, "role": role, "phase": phase},
                    "level": phase if margin == "phase" else str(time),
                    "las": 8 if of == "back" else 8 - apart,
                    "events": n,
                    "y_sum": y,
                    "children": values[0],
                    "children_with": values[1],
                    "children_without": values[2],
                }
            )
    frames = {of: pd.DataFrame(found) for of, found in rows.items()}
    made = {}
    for of, outcome in (("back", "rereferral"), ("worse", "escalation")):
        page = page_of(Exhibits, outcome, frames[of], rules, study)
        if of == "worse" and knowing:
            page.whole = frames["back"]
        made |= {f"{of}/counts": page.counts(), f"{of}/trend": page.trend().data}
    return made, {k: float(v) for k, v in truth.items()}


def read_both(made: Mapping[str, SafeTable], rules: Rules, truth: dict[Any, float]) -> Attacker:
    """All that the tables of both chapters say together."""
    reads = Attacker(rules, truth)
    cells: dict[Any, bool] = {}
    for of in ("back", "worse"):
        counts, trend = made[f"{of}/counts"], made[f"{of}/trend"]
        for i, row in enumerate(counts.rows):
            at = (row[0], row[1])
            for name in ("events", "children"):
                cells[of, name, *at] = reads.reads((of, name, *at), counts.values(name)[i])
            shown, whole = (counts.values(key)[i] for key in ("rate", "events"))
            cells[of, "y", *at] = rate(reads, shown, (of, "y", *at), (of, "events", *at), whole)
        for i in range(len(trend.rows)):
            at = (trend.values("series")[i], int(trend.values("time")[i]))
            shown = trend.values("value")[i]
            cells[of, "y", *at] = rate(reads, shown, (of, "y", *at), (of, "events", *at))
        for at in itertools.product(WHO, TIMES):
            n, c, y, w, o = ((of, name, *at) for name in NAMES)
            least = rules.threshold if cells[of, "y", *at] else 0.0
            reads.knows({w: 1.0}, least)
            reads.knows({o: 1.0}, least)
            reads.knows({y: 1.0, w: -1.0}, 0.0)
            reads.knows({n: 1.0, y: -1.0, o: -1.0}, 0.0)
            reads.knows({c: 1.0, w: -1.0}, 0.0)
            reads.knows({c: 1.0, o: -1.0}, 0.0)
            reads.knows({w: 1.0, o: 1.0, c: -1.0}, 0.0)
            reads.differ(n, c, cells.get(n, False) and cells.get(c, False))
    for at in itertools.product(WHO, TIMES):
        for name in ("events", "children", "y"):
            pair = ("back", name, *at), ("worse", name, *at)
            reads.differ(*pair, cells.get(pair[0], False) and cells.get(pair[1], False))
        both, back, worse = ("both", *at), ("back", "y", *at), ("worse", "y", *at)
        whole, part = ("back", "events", *at), ("worse", "events", *at)
        reads.differ(both, worse, False)
        reads.differ(back, both, False)
        reads.differ(part, both, False)
        reads.knows({whole: 1.0, part: -1.0, back: -1.0, both: 1.0}, 0.0)
    for of, name, who in itertools.product(("back", "worse"), ("events", "y"), WHO):
        for when, years in (("Before", TIMES[2:5]), ("After", TIMES[5:])):
            terms = {(of, name, who, when): -1.0, **{(of, name, who, year): 1.0 for year in years}}
            reads.knows(terms, 0.0)
    return reads


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_small_can_be_found_from_two_chapters_on_the_same_cases(
    seed: int, rules: Rules, small_study
) -> None:
    made, truth = two_chapters(seed, rules, small_study)
    attacker = read_both(made, rules, truth)
    assert small_in_both(attacker) >= 20, "too little that is small was attacked"
    assert all(h.protected for h in attack(made))


def test_chapters_that_do_not_know_of_each_other_give_way(small_study) -> None:
    """The same attacker against the same counts, each chapter guarded by itself."""
    gave_way = 0
    for seed in range(2):
        made, truth = two_chapters(seed, RULES[0], small_study, knowing=False)
        try:
            small_in_both(read_both(made, RULES[0], truth))
        except AssertionError:
            gave_way += 1
    assert gave_way == 2


def small_in_both(attacker: Attacker) -> int:
    """How many small numbers were attacked; an AssertionError where one gives way."""
    looked = 0
    for at in itertools.product(WHO, TIMES):
        for name in NAMES:
            for of in ("back", "worse"):
                looked += attacker.cannot_tell({(of, name, *at): 1.0})
        pairs = [(("back", name, *at), ("worse", name, *at)) for name in ("events", "y")]
        pairs += [((of, "events", *at), (of, "y", *at)) for of in ("back", "worse")]
        if at[1] in WHEN:
            pairs.append((("back", "children", *at), ("worse", "children", *at)))
        for whole, part in pairs:
            looked += attacker.cannot_tell({whole: 1.0, part: -1.0})
    return looked


# --- subgroups and totals, before and after matching ----------------------------------------------


GROUPS = ("a", "b")


def subgroups(seed: int, rules: Rules) -> tuple[dict[str, Any], dict[Any, float]]:
    """Two groups and their total, in tables of their own, before and after some are dropped."""
    rng = np.random.default_rng(seed)
    t = rules.threshold
    n = rng.integers(2 * t, 8 * t, len(GROUPS))
    dropped = rng.choice([0, 2, t // 2, t - 1, 2 * t], len(GROUPS))
    before = dict(zip((*GROUPS, "All"), (*n.tolist(), int(n.sum())), strict=True))
    gone = dict(zip((*GROUPS, "All"), (*dropped.tolist(), int(dropped.sum())), strict=True))
    shared = {
        "columns": {"group": "Group", "n": Column("N", "cases")},
        "count_columns": ("n",),
        "title": "Cases counted",
        "source": "Records",
        "origin": "restricted",
        "rules": rules,
        "authorities": 9,
    }
    whole = {**shared, "population": "all"}
    part = {**shared, "within": "all", "population": "matched", "parts_of": {"n": "whole"}}
    rows = [{"group": g, "n": v} for g, v in before.items()]
    left = [{"group": g, "n": v - gone[g], "whole": v} for g, v in before.items()]
    requests = {
        "before": {**whole, "frame": rows[:-1]},
        "before all": {**whole, "frame": rows[-1:]},
        "after": {**part, "frame": left[:-1]},
        "after all": {**part, "frame": left[-1:]},
    }
    truth = {("before", g): float(v) for g, v in before.items()}
    return requests, truth | {("after", g): float(v - gone[g]) for g, v in before.items()}


def one_by_one(requests: dict[str, Any]) -> dict[str, SafeTable]:
    return {name: safe_table(**given) for name, given in requests.items()}


def small_ones(made: Mapping[str, SafeTable], rules: Rules, truth: dict[Any, float]) -> int:
    """How many small numbers were attacked; an AssertionError where one gives way."""
    attacker = Attacker(rules, truth)
    shown = {}
    for name, table in made.items():
        for row in table.rows:
            key = (name.split()[0], row[0])
            shown[key] = attacker.reads(key, row[1])
    for when in ("before", "after"):
        terms = {(when, "All"): 1.0, **{(when, g): -1.0 for g in GROUPS}}
        attacker.knows(terms, 0.0, 0.0)
    for g in (*GROUPS, "All"):
        whole, part = ("before", g), ("after", g)
        attacker.differ(whole, part, shown[whole] and shown[part])
    looked = 0
    for g in (*GROUPS, "All"):
        looked += attacker.cannot_tell({("after", g): 1.0})
        looked += attacker.cannot_tell({("before", g): 1.0, ("after", g): -1.0})
    return looked


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_what_matching_drops_in_a_subgroup_cannot_be_found_from_totals(rules: Rules) -> None:
    looked = gave_way = 0
    for seed in range(12):
        requests, truth = subgroups(seed, rules)
        made = safe_tables(requests)
        looked += small_ones(made, rules, truth)
        assert all(h.protected for h in attack(made)), seed
        # Made one by one, without knowing of each other, some give way; the audit sees each.
        alone = one_by_one(requests)
        try:
            small_ones(alone, rules, truth)
        except AssertionError:
            gave_way += 1
            assert not all(h.protected for h in attack(alone)), seed
    assert looked >= 6
    assert gave_way >= 1


def test_the_audit_sees_a_part_that_no_guard_compared_with_its_whole() -> None:
    """Two tables made apart, with the name of a part and no rule: refused at release."""
    rules = RULES[0]
    requests, _ = subgroups(0, rules)
    whole = {**requests["before"], "frame": [{"group": "a", "n": 102}]}
    part = {**requests["after"], "frame": [{"group": "a", "n": 101, "whole": 301}]}
    made = one_by_one({"before": whole, "after": part})
    bad = [h for h in attack(made) if not h.protected]
    # 102 and 101 are shown as 100 and 100: at most four were dropped.
    assert [(h.table, h.column, h.low, h.high) for h in bad] == [
        ("after", "n of before less n", 0.0, 4.0)
    ]


def test_a_part_of_a_population_says_what_its_counts_are_part_of() -> None:
    requests, _ = subgroups(0, RULES[0])
    frame_with_more = [{"group": "a", "n": 300, "m": 100, "whole": 500}]
    for wrong in ({"parts_of": {}}, {"parts_of": {"m": "whole"}, "frame": frame_with_more}):
        with pytest.raises(DisclosureError, match="count of the whole"):
            safe_table(**{**requests["after"], **wrong})
    # By name a part and by number more than the whole: one of the two is wrong.
    frame = [{"group": "a", "n": 400, "whole": 500}]
    before = {**requests["before"], "frame": [{"group": "a", "n": 300}]}
    with pytest.raises(DisclosureError, match="exceeds"):
        safe_tables({"before": before, "after": {**requests["after"], "frame": frame}})


# --- distinct children ----------------------------------------------------------------------------


def test_few_children_with_many_cases_are_too_few() -> None:
    given = {
        "columns": {"g": "Group", "n": Column("N", "cases"), "r": Column("R", "per 100", 1)},
        "count_columns": ("n",),
        "rates": {"r": ("y", "n")},
        "children_column": "children",
        "title": "Cases",
        "source": "Records",
        "origin": "restricted",
        "rules": RULES[0],
        "authorities": 9,
        "population": "p",
    }
    rows = [
        {"g": "few children", "n": 60, "y": 30, "children": 9},
        {"g": "enough", "n": 61, "y": 30, "children": 10},
    ]
    table = safe_table(rows, **given)
    assert table.rows[0] == ("few children", CONFIDENTIAL, CONFIDENTIAL)
    assert table.rows[1] == ("enough", 60, 50.0)
    assert "too few children" in table.record.actions
    # A rate goes with its count: nothing was hidden to protect another.
    assert (table.record.suppressed, table.record.secondary) == (2, 0)


# --- distinct children behind an outcome ----------------------------------------------------------


def outcomes(rows: list[dict[str, Any]], rules: Rules, **more: Any) -> SafeTable:
    """Cases by group with their children, and how many have the outcome."""
    given: dict[str, Any] = {
        "columns": {
            "g": Column("Group"),
            "children": Column("Children", "children"),
            "n": Column("N", "cases"),
            "r": Column("R", "per 100", 1),
        },
        "count_columns": ("n", "children"),
        "rates": {"r": ("y", "n")},
        "parts_of": {"children": "n"},
        "children_column": "children",
        "outcome_children": {"y": ("having", "lacking")},
        "title": "Cases",
        "source": "Records",
        "origin": "restricted",
        "rules": rules,
        "authorities": 9,
        "population": "p",
    }
    return safe_table(rows, **{**given, **more})


def test_cases_with_an_outcome_may_be_of_few_children() -> None:
    both = {"children": 60, "n": 90, "y": 30}
    rows = [
        {**both, "g": "Enough", "having": 20, "lacking": 45},
        {**both, "g": "Few have it", "having": 9, "lacking": 55},
        {**both, "g": "Few lack it", "y": 70, "having": 55, "lacking": 9},
        {**both, "g": "Not counted", "having": None, "lacking": None},
    ]
    table = outcomes(rows, RULES[0])
    assert table.values("r") == (33.3, CONFIDENTIAL, CONFIDENTIAL, CONFIDENTIAL)
    assert set(table.values("n")) == {90}
    assert {
        "too few children with the outcome",
        "too few children without the outcome",
    } <= set(table.record.actions)
    with pytest.raises(DisclosureError, match="31 children have the outcome in 30 cases"):
        outcomes([{**rows[0], "having": 31}], RULES[0])


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_few_children_behind_an_outcome_cannot_be_found(rules: Rules) -> None:
    """Groups and their total: an attacker who knows how children and cases hang together."""
    looked = 0
    t = rules.threshold
    for seed in range(8):
        rng = np.random.default_rng(seed)
        rows, truth = [], {}
        for g in ("a", "b", "c"):
            y, without = (int(v) for v in rng.integers(t, 4 * t, 2))
            few = int(rng.integers(1, t))
            having = few if rng.random() < 0.5 else y
            lacking = without - int(rng.choice([0, without // 2]))
            children = having + lacking - int(rng.integers(0, min(having, lacking) + 1))
            rows.append({"g": g, "n": y + without, "y": y, "children": children,
                         "having": having, "lacking": lacking})  # fmt: skip
        names = ("n", "y", "children", "having", "lacking")
        rows.append({"g": "All", **{k: sum(r[k] for r in rows) for k in names}})
        truth = {(k, r["g"]): float(r[k]) for r in rows for k in names}
        table = outcomes(rows, rules)
        attacker = Attacker(rules, truth)
        for i, row in enumerate(table.rows):
            n, y, c, w, o = ((k, row[0]) for k in names)
            shown = [attacker.reads(k, table.values(k[0])[i]) for k in (n, c)]
            attacker.differ(n, c, all(shown))
            told = rate(attacker, table.values("r")[i], y, n, table.values("n")[i])
            least = float(t) if told else 0.0
            attacker.knows({w: 1.0}, least)
            attacker.knows({o: 1.0}, least)
            attacker.knows({y: 1.0, w: -1.0}, 0.0)
            attacker.knows({n: 1.0, y: -1.0, o: -1.0}, 0.0)
            attacker.knows({c: 1.0, w: -1.0}, 0.0)
            attacker.knows({c: 1.0, o: -1.0}, 0.0)
            attacker.knows({w: 1.0, o: 1.0, c: -1.0}, 0.0)
        for k in names:
            attacker.knows({(k, "All"): 1.0, **{(k, g): -1.0 for g in "abc"}}, 0.0, 0.0)
        for key in truth:
            looked += attacker.cannot_tell({key: 1.0})
    assert looked >= 8


# --- the attack at release reads rates ------------------------------------------------------------


def test_the_audit_finds_what_a_rate_gives_away_of_a_part() -> None:
    """Nearly all who come back escalate: told by two rates, made by chapters apart."""
    rules = RULES[0]
    given = {"columns": {"g": Column("Group"), "n": Column("N", "cases"),
                         "r": Column("R", "per 100", 1)},
             "count_columns": ("n",), "rates": {"r": ("y", "n")}, "title": "Cases",
             "source": "Records", "origin": "restricted", "rules": rules,
             "authorities": 9}  # fmt: skip
    whole = safe_table([{"g": "a", "n": 200, "y": 100}], population="p", **given)
    rows = [{"g": "a", "n": 150, "y": 99, "whole": 200, "back": 400}]
    within = {"within": "p", "population": "q"}
    part = safe_table(rows, **given, **within, parts_of={"n": "whole", "y": "back"})
    bad = [h for h in attack({"whole": whole, "part": part}) if not h.protected]
    assert [(h.table, h.column) for h in bad] == [("part", "y of whole less y")]
    assert bad[0].high < rules.threshold
    # With the true number of those who came back the guard does not show it at all.
    told = safe_table([{**rows[0], "back": 100}], **given, **within,
                      parts_of={"n": "whole", "y": "back"})  # fmt: skip
    assert told.values("r") == (CONFIDENTIAL,)
    assert all(h.protected for h in attack({"whole": whole, "part": told}))
    with pytest.raises(DisclosureError, match="count of the whole"):
        safe_table(rows, **given, **within, parts_of={"n": "whole"})


def test_what_one_authority_adds_is_not_shown_by_subtraction() -> None:
    given = {"columns": {"g": Column("Group"), "n": Column("N", "cases")},
             "count_columns": ("n",), "title": "Cases", "source": "Records",
             "origin": "restricted", "rules": RULES[0], "authorities_column": "las",
             "within": "p", "population": "q", "parts_of": {"n": "whole"},
             "authorities_within": "every"}  # fmt: skip
    same = {"n": 200, "whole": 400, "las": 7}
    rows = [{"g": g, **same, "every": k} for g, k in (("a", 7), ("b", 8), ("c", 9))]
    table = safe_table(rows, **given)
    assert table.values("n") == (200, CONFIDENTIAL, 200)
    assert "too few authorities make up the difference" in table.record.actions
