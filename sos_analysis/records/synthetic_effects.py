"""What is planted in one made-up authority: effects that phase in, and drift that is no effect.

A pilot's effect acts from the start of embedding and is full after its end. A contaminated
comparator has a share of it from one day on. Drift is part of both potential outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_analysis.records.synthetic_days import NEVER, day_number
from sos_analysis.study import Pilot, Study

_YEAR = 365.25


@dataclass(frozen=True)
class Effects:
    """Sizes by outcome (proportions; duration: working days).

    They act from `start`, grow linearly and are full after `end`; `drift` is by year, counted from
    the day `origin`.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    start: int = NEVER
    end: int = NEVER
    drift: Mapping[str, float] = field(default_factory=dict)
    origin: int = NEVER

    def on(self, outcome: str, day: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Effect on each event: 0 before `start`, in full after `end`."""
        size = self.sizes.get(outcome, 0.0)
        if not size or self.start >= NEVER:
            return np.zeros(len(day))
        return size * np.clip((day - self.start) / max(self.end - self.start, 1), 0.0, 1.0)

    def drifted(self, outcome: str, day: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """What drift adds to each event, below zero before `origin`."""
        a_year = self.drift.get(outcome, 0.0)
        if not a_year or self.origin >= NEVER:
            return np.zeros(len(day))
        return a_year * (day - self.origin) / _YEAR

    @property
    def any(self) -> bool:
        """Whether anything has an effect here."""
        return self.start < NEVER and any(self.sizes.values())


def effects_of(study: Study, la: str) -> Effects:
    """What is planted in an authority: a pilot's effect and drift, a comparator's contamination."""
    truth = study.truth
    if truth is None:
        return Effects()
    for pilot in study.pilots:
        if pilot.la == la:
            begun = day_number(pilot.embedding_start)
            return Effects(
                pilot_sizes(study, pilot),
                begun,
                day_number(pilot.embedding_end),
                truth.drift if truth.switches.drifting else {},
                begun,
            )
    model = {a.code: a.practice_model for a in study.authorities}.get(la, "none")
    share = {"same": truth.contamination.same, "partial": truth.contamination.partial}.get(model, 0)
    if not truth.switches.contaminated or not share:
        return Effects()
    begun = day_number(truth.contamination.start)
    return Effects({o: share * size for o, size in truth.sizes.items()}, begun, begun)


def baseline_rating(study: Study, pilot: Pilot) -> str | None:
    """A pilot's rating when it began to embed the model."""
    return study.authority(pilot.la).ofsted_at(pilot.embedding_start)


def pilot_sizes(study: Study, pilot: Pilot) -> dict[str, float]:
    """Planted effects of a pilot, by outcome, as its rating and delivery make them."""
    assert study.truth is not None
    rating = baseline_rating(study, pilot)
    return {o: study.truth.size(o, rating, pilot.delivery_score) for o in study.truth.effects}
