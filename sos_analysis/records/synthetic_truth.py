"""The truth planted in made-up records: potential outcomes, kept apart from the extract.

For each event that the programme could have changed and whose window the data cover, two values are
stored: what was recorded (``y1``) and what would have been without the planted effect (``y0``).
True effects are means of their differences; what a comparison with contaminated or differently
drifting comparators would find in their place is stored beside them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sos_analysis.records.synthetic_case import (
    BREAKS,
    NEED,
    NFA,
    NO_KIN,
    NOT_IN_NEED,
    PASSED_ON,
    WITH_KIN,
    Cases,
    happened,
)
from sos_analysis.records.synthetic_days import day_number
from sos_analysis.records.synthetic_effects import Effects, baseline_rating
from sos_analysis.records.synthetic_windows import Windows
from sos_analysis.study import Pilot, Study

DEFINITIONS = ("original", "strict")
ESTIMANDS = {
    "att": "Mean of y1 - y0 over events after the end of embedding of the pilots in the outcome's "
    "matched groups, each event once: the effect on the treated. 0 where nothing was planted.",
    "att_equal_pilots": "Mean over the same pilots of each pilot's own effect, each pilot once.",
    "att_all_pilots": "As att, over every pilot, in a matched group or not.",
    "by_pilot": "Each pilot's own effect and its number of events.",
    "by_rating": "As att, by the pilot's Ofsted rating when it began to embed.",
    "by_delivery": "As att, by delivery score: 'high' from the pilots' median score on.",
    "predicted_naive": "What pilots less comparators, after less before, comes to on average: att, "
    "plus the pilots' drift between the two windows, less what comparators' own effects add. "
    "Windows of the matched groups, groups weighted by the pilot's events after embedding. Shocks, "
    "matching of children and shifts of recording are left out.",
    "events": "Where an effect on one outcome moves who is counted in another, the other's events "
    "are those that occurred. Conferences count as held, returned or not.",
}
_SCHEMA = pa.schema(
    [
        ("outcome", pa.string()),
        ("definition", pa.string()),
        ("la", pa.string()),
        ("role", pa.string()),
        ("child_id", pa.string()),
        ("date", pa.date32()),
        ("y0", pa.int32()),
        ("y1", pa.int32()),
    ]
)
_YEAR = 365
_TRIM = 110  # working days, as in the original's definition of duration


def potential_outcomes(cases: Cases, outcome: str, definition: str) -> dict[str, Any]:
    """Events that an outcome counts, with both potential outcomes.

    Parameters
    ----------
    cases : one authority's.
    outcome, definition : as in the study file.

    Returns
    -------
    dict of arrays ``case``, ``date``, ``y0``, ``y1``.
    """
    strict = definition == "strict"
    kinds = (NFA,) if strict else (NFA, NOT_IN_NEED)
    if outcome == "kinship":
        return _kinship(cases, definition)
    if outcome == "duration":
        case = np.flatnonzero(cases.days_before >= 0)
        if not strict:
            case = case[np.maximum(cases.days_before, cases.days_after)[case] <= _TRIM]
        return _event(case, cases.assessed, cases.days_before, cases.days_after)
    if outcome == "icpc":
        case = np.flatnonzero((cases.kind == NEED) | (cases.kind == PASSED_ON))
        return _event(case, cases.referral, cases.icpc_before == 1, cases.icpc_after == 1)
    every = np.arange(len(cases.child))
    if outcome == "nfa_share":
        y0, y1 = np.isin(cases.kind_before, kinds), np.isin(cases.kind, kinds)
        return _event(every, cases.referral, y0, y1)
    if outcome == "rereferral_all":
        return _event(every, cases.referral, cases.back_before, cases.back_after)
    case = np.flatnonzero(np.isin(cases.kind, kinds))
    day = np.where(happened(cases.closed), cases.closed, cases.referral)
    if outcome == "rereferral":
        return _event(case, day, cases.returned_before, cases.returned_after)
    return _escalation(cases, case, day)


def _event(case: Any, day: Any, before: Any, after: Any) -> dict[str, Any]:
    return {"case": case, "date": day[case], "y0": before[case], "y1": after[case]}


def _kinship(cases: Cases, definition: str) -> dict[str, Any]:
    """Periods of care that begin under a care order, or get one within a year while they last.

    ``original`` counts any family arrangement, ``strict`` placements with relatives or friends
    alone.
    """
    counted = happened(cases.care) & (cases.order < _YEAR) & (cases.route != BREAKS)
    counted &= cases.order < cases.care_end - cases.care
    case = np.flatnonzero(counted)
    both = (cases.kin_before, cases.kin)
    y0, y1 = (kin != NO_KIN if definition == "original" else kin == WITH_KIN for kin in both)
    return _event(case, cases.care, y0, y1)


def _escalation(cases: Cases, case: Any, day: Any) -> dict[str, Any]:
    """Re-referred within six months, and a plan or care within 180 days of that referral."""
    following = np.minimum(case + 1, len(cases.child) - 1)
    back = (cases.child[following] == cases.child[case]) & (following > case)
    back &= cases.returned_after[case] == 1
    y0 = back & (cases.escalated_before[following] == 1)
    y1 = back & (cases.escalated_after[following] == 1)
    return {"case": case, "date": day[case], "y0": y0, "y1": y1}


class Truth:
    """Collects potential outcomes and writes them with the effects they imply."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._parts: list[pa.Table] = []
        self._pilots = {pilot.la: pilot for pilot in study.pilots}
        self._effects: dict[tuple[str, str, str], tuple[float, int]] = {}
        self._windows = Windows(study)

    def add(self, la: str, cases: Cases, effects: Effects, child_id: Any) -> None:
        """Add one authority: a pilot's kinship outcomes always, others where anything acts."""
        pilot = self._pilots.get(la)
        for outcome in (o.name for o in self.study.outcomes):
            acts = bool(effects.any and effects.sizes.get(outcome)) or bool(
                effects.drift.get(outcome)
            )
            if not acts and not (pilot and outcome == "kinship"):
                continue
            for definition in DEFINITIONS:
                events = potential_outcomes(cases, outcome, definition)
                ended = cases.assessed_end[events["case"]] if outcome == "duration" else None
                self._windows.add(la, outcome, definition, events, ended)
                self._put(outcome, definition, la, pilot, cases, effects, events, child_id)

    def _put(
        self,
        outcome: str,
        definition: str,
        la: str,
        pilot: Pilot | None,
        cases: Cases,
        effects: Effects,
        events: Mapping[str, npt.NDArray[Any]],
        child_id: Any,
    ) -> None:
        about = self.study.outcome(outcome)
        seen = events["date"] + about.censor_days < day_number(about.censor_date)
        keep = (events["date"] > effects.end) & seen
        n = int(keep.sum())
        days = events["date"][keep].astype(np.int32)
        y0, y1 = (events[name][keep].astype(np.int32) for name in ("y0", "y1"))
        if pilot and n:
            self._effects[outcome, definition, pilot.id] = (float((y1 - y0).mean()), n)
        self._parts.append(
            pa.table(
                [
                    pa.array([outcome] * n, pa.string()),
                    pa.array([definition] * n, pa.string()),
                    pa.array([la] * n, pa.string()),
                    pa.array(["pilot" if pilot else "comparator"] * n, pa.string()),
                    child_id.take(pa.array(cases.child[events["case"][keep]])),
                    pa.array(days, pa.int32()).view(pa.date32()),
                    pa.array(y0),
                    pa.array(y1),
                ],
                schema=_SCHEMA,
            )
        )

    def write(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write ``potential_outcomes.parquet`` and ``truth.json``, headed by `about`."""
        table = pa.concat_tables([_SCHEMA.empty_table(), *self._parts])
        pq.write_table(table, folder / "potential_outcomes.parquet", compression="zstd")
        truth = self.study.truth
        assert truth is not None
        content = {
            **about,
            "estimands": ESTIMANDS,
            "switches": {name: getattr(truth.switches, name) for name in vars(truth.switches)},
            "effects": [
                self._row(outcome.name, definition)
                for outcome in self.study.outcomes
                for definition in DEFINITIONS
            ],
        }
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        (folder / "truth.json").write_text(text, encoding="utf-8")

    def _row(self, outcome: str, definition: str) -> dict[str, Any]:
        """All true effects on one outcome."""
        truth, study = self.study.truth, self.study
        assert truth is not None
        groups = study.groups(outcome)
        inside = [group.id for group in groups]
        own = {
            pilot: value
            for (name, which, pilot), value in self._effects.items()
            if (name, which) == (outcome, definition)
        }
        rated, delivered = defaultdict(list), defaultdict(list)
        median = float(np.median([pilot.delivery_score for pilot in study.pilots]))
        for id in inside:
            pilot = study.pilot(id)
            rated[baseline_rating(study, pilot) or "not rated"].append(id)
            delivered["high" if pilot.delivery_score >= median else "low"].append(id)
        att = _pooled(own, inside)
        drift, comparators = self._windows.bias(groups, outcome, definition, truth)
        return {
            "outcome": outcome,
            "definition": definition,
            "planted": float(truth.sizes.get(outcome, 0.0)),
            "att": att,
            "att_equal_pilots": float(np.mean([own[i][0] for i in inside if i in own] or [0.0])),
            "att_all_pilots": _pooled(own, [pilot.id for pilot in study.pilots]),
            "by_pilot": {id: {"effect": e, "events": n} for id, (e, n) in own.items()},
            "by_rating": {name: _pooled(own, ids) for name, ids in rated.items()},
            "by_delivery": {name: _pooled(own, ids) for name, ids in delivered.items()},
            "comparators": comparators,
            "drift": drift,
            "predicted_naive": att + drift - comparators,
            "events": sum(own[id][1] for id in inside if id in own),
            "pilots": sorted(group.pilot for group in groups),
        }


def _pooled(own: Mapping[str, tuple[float, int]], ids: Sequence[str]) -> float:
    """Mean effect over the events of these pilots; 0 where nothing was planted."""
    found = [own[id] for id in ids if id in own]
    events = sum(n for _, n in found)
    return sum(effect * n for effect, n in found) / events if events else 0.0
