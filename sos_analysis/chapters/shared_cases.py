"""Outcomes that count the same cases: what one table leaves out of another is a group as well.

Escalation looks at the cases of re-referral, with a longer window and often in fewer authorities,
and an escalation is a re-referral. Two chapters show them, and a reader can subtract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sos_analysis.placing import clock_of
from sos_analysis.workspace import cells_for

if TYPE_CHECKING:
    import pandas as pd

    from sos_analysis.study import Study

#: Outcome -> outcome whose cases, and whose cases with the outcome, its own are part of.
PART_OF = {"escalation": "rereferral"}
_KEY = ["margin", "role", "phase", "level"]


def whole_of(study: Study, outcome: str, definition: str) -> str:
    """Outcome whose cases this one's are part of, in every authority and phase; '' if none.

    Their definition of a case is the same, their groups and dates are among its own, and a case
    that is followed for long enough is also followed for less.
    """
    name = PART_OF.get(outcome, "")
    if not name:
        return ""
    inner, outer = study.outcome(outcome), study.outcome(name)
    alike = (
        inner.definitions[definition].get("nfa") == outer.definitions[definition].get("nfa")
        and clock_of(inner) == clock_of(outer)
        and inner.window_days >= outer.window_days
        and inner.censor_days >= outer.censor_days
        and inner.censor_date <= outer.censor_date
        and set(study.groups(outcome)) <= set(study.groups(name))
    )
    return name if alike else ""


def margins_of_whole(
    study: Study, extract: Any, outcome: str, definition: str
) -> pd.DataFrame | None:
    """Margins of the outcome that this one is part of; None if it is part of none."""
    name = whole_of(study, outcome, definition)
    return cells_for(study, extract, name, definition).margins if name else None


def beside_whole(margins: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """Margins with those of the whole in columns `…_whole`: authorities, children, cases."""
    names = ["las", "children", "events", "y_sum"]
    other = whole[[*_KEY, *names]].rename(columns={name: f"{name}_whole" for name in names})
    return margins.merge(other, on=_KEY, how="left", validate="many_to_one")
