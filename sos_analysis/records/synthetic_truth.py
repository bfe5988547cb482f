"""The truth planted in made-up records: potential outcomes, kept apart from the extract.

For each event of a pilot after embedding whose window the data cover, two values are stored: what
was recorded (``y1``) and what would have been without the planted effect (``y0``). True effects are
means of their differences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
    WITH_KIN,
    Cases,
    happened,
)
from sos_analysis.records.synthetic_days import NEVER, day_number
from sos_analysis.records.synthetic_effects import Effects
from sos_analysis.study import Study

DEFINITIONS = ("original", "strict")
ESTIMAND = (
    "Mean of y1 - y0 over events of pilots after the end of embedding, each event once (the effect "
    "on the treated). `att` covers the pilots in the outcome's matched groups, `att_all_pilots` "
    "every pilot. Where nothing was planted the two are the same by construction: 0, and no rows. "
    "Null where an effect was planted but does not act through the outcome's own events."
)
_SCHEMA = pa.schema(
    [
        ("outcome", pa.string()),
        ("definition", pa.string()),
        ("la", pa.string()),
        ("child_id", pa.string()),
        ("date", pa.date32()),
        ("y0", pa.int32()),
        ("y1", pa.int32()),
        ("treated", pa.bool_()),
    ]
)
_YEAR = 365
_TRIM = 110  # working days, as in the original's definition of duration


def potential_outcomes(cases: Cases, outcome: str, definition: str) -> dict[str, Any] | None:
    """Events that an outcome counts, with both potential outcomes.

    Parameters
    ----------
    cases : one authority's.
    outcome, definition : as in the study file.

    Returns
    -------
    dict of arrays ``case``, ``date``, ``y0``, ``y1``; None for an outcome without own events here.
    """
    if outcome == "kinship":
        return _kinship(cases, definition)
    if outcome == "duration":
        case = np.flatnonzero(cases.days_before >= 0)
        if definition == "original":
            case = case[np.maximum(cases.days_before, cases.days_after)[case] <= _TRIM]
        return _event(case, cases.assessed, cases.days_before, cases.days_after)
    if outcome == "icpc":
        case = np.flatnonzero(cases.kind == NEED)
        return _event(case, cases.referral, cases.icpc_before, cases.icpc_after)
    if outcome in ("rereferral", "escalation"):
        wanted = cases.kind == NFA if definition == "strict" else cases.kind != NEED
        case = np.flatnonzero(wanted)
        day = np.where(happened(cases.closed), cases.closed, cases.referral)
        if outcome == "rereferral":
            return _event(case, day, cases.returned_before, cases.returned_after)
        return _escalation(cases, case, day)
    return None


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
    """Collects the pilots' potential outcomes and writes them with the effects they imply."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._parts: list[pa.Table] = []

    def add(self, la: str, cases: Cases, effects: Effects, child_id: Any) -> None:
        """Add one authority: its kinship outcomes always, others where an effect is planted."""
        if effects.start >= NEVER:
            return
        for outcome, size in effects.sizes.items():
            if not size and outcome != "kinship":
                continue
            for definition in DEFINITIONS:
                events = potential_outcomes(cases, outcome, definition)
                if events is not None:
                    self._put(outcome, definition, la, cases, effects, events, child_id)

    def _put(
        self,
        outcome: str,
        definition: str,
        la: str,
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
        self._parts.append(
            pa.table(
                [
                    pa.array([outcome] * n, pa.string()),
                    pa.array([definition] * n, pa.string()),
                    pa.array([la] * n, pa.string()),
                    child_id.take(pa.array(cases.child[events["case"][keep]])),
                    pa.array(days, pa.int32()).view(pa.date32()),
                    pa.array(events["y0"][keep].astype(np.int32)),
                    pa.array(events["y1"][keep].astype(np.int32)),
                    pa.array(np.ones(n, dtype=bool)),
                ],
                schema=_SCHEMA,
            )
        )

    def write(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write ``potential_outcomes.parquet`` and ``truth.json``, headed by `about`."""
        table = pa.concat_tables([_SCHEMA.empty_table(), *self._parts])
        pq.write_table(table, folder / "potential_outcomes.parquet", compression="zstd")
        outcome, definition, la = (
            np.asarray(table[name].to_pylist(), dtype=str)
            for name in ("outcome", "definition", "la")
        )
        difference = table["y1"].to_numpy().astype(np.float64) - table["y0"].to_numpy()
        assert self.study.truth is not None
        effects = []
        for name in (o.name for o in self.study.outcomes):
            planted = float(self.study.truth.effects.get(name, 0.0))
            pilots = sorted({group.pilot for group in self.study.groups(name)})
            for which in DEFINITIONS:
                rows = (outcome == name) & (definition == which)
                sample = rows & np.isin(la, pilots)
                effects.append(
                    {
                        "outcome": name,
                        "definition": which,
                        "planted": planted,
                        "att": _mean(difference[sample], planted),
                        "att_all_pilots": _mean(difference[rows], planted),
                        "events": int(sample.sum()),
                        "pilots": pilots,
                    }
                )
        content = {**about, "estimand": ESTIMAND, "effects": effects}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        (folder / "truth.json").write_text(text, encoding="utf-8")


def _mean(difference: npt.NDArray[np.float64], planted: float) -> float | None:
    if len(difference):
        return float(difference.mean())
    return None if planted else 0.0
