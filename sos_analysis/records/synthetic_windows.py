"""What a comparison of pilots and comparators over the matched groups' windows would pick up.

Contaminated comparators have effects of their own, before and after; pilots may drift. Both enter a
difference-in-differences; here they are counted from the potential outcomes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_analysis.records.synthetic_days import day_number
from sos_analysis.study import Group, Study, Truth


@dataclass(frozen=True)
class Window:
    """Events of one authority in one phase: number, summed effect, summed years of drift."""

    events: int = 0
    effect: float = 0.0
    years: float = 0.0


class Windows:
    """Counts of events and effects by group, authority and phase."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._found: dict[tuple[str, str, str, str], tuple[Window, Window]] = {}

    def add(
        self,
        la: str,
        outcome: str,
        definition: str,
        events: Mapping[str, npt.NDArray[Any]],
        ended: npt.NDArray[Any] | None,
    ) -> None:
        """Count the events of an authority in every matched group it belongs to.

        Parameters
        ----------
        la, outcome, definition : whose events.
        events : as from `synthetic_truth.potential_outcomes`.
        ended : last day of each event where the outcome asks that it has ended before embedding.
        """
        about = self._study.outcome(outcome)
        day = events["date"].astype(np.int64)
        closes = day + about.window_days if ended is None else ended
        change = events["y1"].astype(np.float64) - events["y0"]
        seen = day + about.censor_days < day_number(about.censor_date)
        seen &= day >= day_number(self._study.data_start.replace(year=about.first_year - 1))
        for group in self._study.groups(outcome):
            if la not in (group.pilot, *group.comparators):
                continue
            start, end = day_number(group.start), day_number(group.end)
            phases = tuple(
                Window(
                    int(rows.sum()),
                    float(change[rows].sum()),
                    float((day[rows] - start).sum()) / 365.25,
                )
                for rows in (seen & (closes < start), seen & (day > end))
            )
            self._found[outcome, definition, group.id, la] = (phases[0], phases[1])

    def bias(
        self, groups: Sequence[Group], outcome: str, definition: str, truth: Truth
    ) -> tuple[float, float]:
        """Drift of pilots, and effects in comparators, between the two windows.

        Returns
        -------
        two numbers : pilots' drift, and comparators' effect after less before; both means over
            groups, weighted by the pilots' events after embedding.
        """
        drifts, others, weights = [], [], []
        a_year = truth.drift.get(outcome, 0.0) if truth.switches.drifting else 0.0
        for group in groups:
            own = self._found.get((outcome, definition, group.id, group.pilot))
            if own is None or not own[1].events:
                continue
            before, after = (w.years / max(w.events, 1) for w in own)
            drifts.append(a_year * (after - before))
            theirs = [
                self._found.get((outcome, definition, group.id, c)) for c in group.comparators
            ]
            others.append(_mean(theirs, 1) - _mean(theirs, 0))
            weights.append(own[1].events)
        if not weights:
            return 0.0, 0.0
        return float(np.average(drifts, weights=weights)), float(
            np.average(others, weights=weights)
        )


def _mean(windows: Sequence[tuple[Window, Window] | None], phase: int) -> float:
    """Mean effect over comparators, each alike; none where nothing acts in them."""
    effects = [0.0 if w is None else w[phase].effect / max(w[phase].events, 1) for w in windows]
    return float(np.mean(effects)) if effects else 0.0
