"""The truth of a made-up world, as its study file states it: effects, switches and their sizes."""

from __future__ import annotations

from collections.abc import Sequence

from sos_analysis.study.reading import Frozen, Section
from sos_analysis.study.types import (
    OUTCOMES,
    RATINGS,
    ByDelivery,
    Contamination,
    IncompleteReturns,
    Pilot,
    RecordingShift,
    Switches,
    Truth,
)


def by_outcome(s: Section, key: str, low: float, high: float, rate: float) -> Frozen[str, float]:
    """One number an outcome: `low` to `high` in days, `rate` times that for proportions."""
    table = s.section(key, OUTCOMES)
    span = {o: (1.0 if o == "duration" else rate) for o in OUTCOMES}
    return Frozen({o: table.number(o, low * span[o], high * span[o]) for o in OUTCOMES})


def read_truth(s: Section, pilots: Sequence[Pilot]) -> Truth:
    """The ``[truth]`` table; every switch and every size must be given.

    Parameters
    ----------
    s : the table.
    pilots : those whose recording may shift.
    """
    switch = s.section("switches", tuple(Switches.__dataclass_fields__))
    rating = s.section("by_rating", RATINGS)
    dose = s.section("by_delivery", tuple(ByDelivery.__dataclass_fields__))
    like = s.section("contamination", tuple(Contamination.__dataclass_fields__))
    ids = tuple(pilot.id for pilot in pilots)
    shifts = s.section("nfa_recording", ids)
    gaps = s.section("icpc_incomplete", tuple(IncompleteReturns.__dataclass_fields__))
    return Truth(
        effects=by_outcome(s, "effects", -100, 100, 0.01),
        note=s.text("note"),
        switches=Switches(**{name: switch.flag(name) for name in switch.keys}),
        by_rating=Frozen({r: rating.number(r, -5, 5) for r in RATINGS}),
        by_delivery=ByDelivery(dose.number("at_zero", -5, 5), dose.number("at_one", -5, 5)),
        contamination=Contamination(
            like.day("start"), like.number("same", 0, 1), like.number("partial", 0, 1)
        ),
        drift=by_outcome(s, "drift", -20, 20, 0.005),
        nfa_recording=Frozen({id: _shift(shifts, id) for id in ids if id in shifts.data}),
        icpc_incomplete=_gaps(gaps),
    )


def _shift(s: Section, pilot: str) -> RecordingShift:
    one = s.section(pilot, tuple(RecordingShift.__dataclass_fields__))
    first, last = one.whole("from_year", 2000, 2100), one.whole("to_year", 2000, 2100)
    if last <= first:
        one.refuse("to_year", last, f"a year after from_year ({first})")
    return RecordingShift(one.number("before", 0, 0.6), one.number("after", 0, 0.6), first, last)


def _gaps(s: Section) -> IncompleteReturns:
    least, most = s.number("least", 0, 1), s.number("most", 0, 1)
    if most < least:
        s.refuse("most", most, f"at least `least` ({least:g})")
    return IncompleteReturns(s.number("authority_years", 0, 1), least, most)
