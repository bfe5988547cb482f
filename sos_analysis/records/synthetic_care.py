"""Episodes of made-up periods of care, of the kinds SSDA903 records.

A period of care is a handful of dated changes (legal status, placement), sorted, filled forward
and cut at its end; each stretch between changes is an episode. Codes follow
the date of the episode: Q1 and Q2 gave way to U1-U3 and U4-U6 in April 2015, E43 and E44 to
E45-E48 in April 2017 (both years ours: the change is documented, its date is not).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from sos_analysis.records.synthetic_case import (
    ADOPTION,
    ADULT,
    BREAKS,
    END,
    FULL,
    JUSTICE,
    LEFT_TO_FAMILY,
    NO_KIN,
    POLICE,
    WITH_KIN,
    WITH_PARENTS,
    Bools,
    Cases,
    Children,
    Ints,
)
from sos_analysis.records.synthetic_days import NEVER, Days, day_number
from sos_analysis.records.synthetic_rates import Floats, calibration

LEGAL = ("V2", "C1", "L1", "C2", "L2", "J1", "V3", "V4", "E1")
PLACEMENTS = (
    "U1", "U2", "U3", "Q1", "F1", "F4", "U4", "U5", "U6", "Q2",
    "P1", "K2", "R3", "H5", "A3", "A4", "A5", "A6", "P2", "K1", "R1", "R5",
)  # fmt: skip
REASONS = (
    "X1", "E11", "E12", "E13", "E2", "E3", "E4", "E41", "E43", "E44", "E45", "E46", "E47", "E48",
    "E4A", "E4B", "E5", "E6", "E8", "E9", "E15", "E16", "E17",
)  # fmt: skip
STARTS = ("S", "L", "P", "T", "B", "U")

_L = {code: i for i, code in enumerate(LEGAL)}
_P = {code: i for i, code in enumerate(PLACEMENTS)}
_R = {code: i for i, code in enumerate(REASONS)}
# Kinds of foster home, coded by date at the end; above every position in PLACEMENTS.
_KIN, _FOSTER = 100, 101

PLACEMENT_CHANGE = day_number(date(2015, 4, 1))
GUARDIANSHIP_CHANGE = day_number(date(2017, 4, 1))
LEGACY_FOSTER = day_number(date(2012, 4, 1))
HOME_CHANGE = day_number(date(2013, 4, 1))
_DEATHS = 0.002  # of periods that end; 50 of 29,570 in 2019, DfE


@dataclass(frozen=True)
class Episodes:
    """One row an episode, in order; codes index the tuples above, end reason -1 while open."""

    case: Ints
    period_start: Days
    period_end: Days
    start: Days
    end: Days
    begins: Ints
    legal: Ints
    placement: Ints
    reason: Ints


def episodes(children: Children, cases: Cases, rng: np.random.Generator) -> Episodes:
    """Episodes of every period of care begun by the end of the data.

    Parameters
    ----------
    children, cases : one authority's.
    rng : this authority's stream for care.
    """
    case = np.flatnonzero(cases.care <= END)
    n = len(case)
    begun, route, order = (
        cases.care[case],
        cases.route[case].astype(np.int64),
        cases.order[case].astype(np.int64),
    )
    length = (cases.care_end[case] - begun).astype(np.int64)
    kin = cases.kin[case].astype(np.int64)
    child = cases.child[case]
    age = (begun - children.born[child]) / 365.25
    day, legal, place = _changes(route, order, length, kin, age, children.asylum[child], rng)
    adopted = (legal[:, 5] >= 0) & (day[:, 6] < length)

    by_day = np.argsort(day, axis=1, kind="stable")
    day = np.take_along_axis(day, by_day, 1)
    legal = _fill(np.take_along_axis(legal, by_day, 1))
    place = _fill(np.take_along_axis(place, by_day, 1))
    at = begun[:, None] + day
    visible = (day < length[:, None]) & (at <= END)
    coded = _code_placements(place, at, rng.random((5, n)))
    # Of changes on one day the last stands for the day.
    last_of_day = np.ones_like(visible)
    last_of_day[:, :-1] = day[:, 1:] != day[:, :-1]
    visible &= last_of_day
    # An episode like the one before it is no episode: neither status nor place changed.
    before_legal = np.concatenate([np.full((n, 1), -1), legal[:, :-1]], axis=1)
    before_place = np.concatenate([np.full((n, 1), -1), place[:, :-1]], axis=1)
    same_day = np.zeros_like(visible)
    same_day[:, 1:] = day[:, 1:] == day[:, :-1]
    changed = (legal != before_legal) | (place != before_place) | same_day
    visible &= changed

    row, column = np.nonzero(visible)
    start = at[row, column].astype(np.int32)
    opens = np.concatenate([[True], row[1:] != row[:-1]]) if len(row) else np.empty(0, bool)
    closes = np.concatenate([row[1:] != row[:-1], [True]]) if len(row) else np.empty(0, bool)
    period_end = (begun + length).astype(np.int32)
    end = np.where(closes, period_end[row], np.concatenate([start[1:], [NEVER]])[: len(row)])
    final = place[row, column][closes]
    last = np.ones(len(cases.child), dtype=bool)
    last[:-1] = cases.child[1:] != cases.child[:-1]
    reasons = _reasons(begun, length, order, kin, route, age, adopted, final, rng)
    # Death does not depend on where a child lives, so that no planted effect moves it.
    died = (rng.random(n) < _DEATHS) & ~adopted & (cases.kin_before[case] != LEFT_TO_FAMILY)
    reasons = np.where(died & (route != BREAKS), _R["E2"], reasons)
    reasons = np.where((reasons == _R["E2"]) & ~last[case], _R["E8"], reasons)
    reason = np.where(closes, reasons[row], _R["X1"])
    open_still = end > END
    ls, pl = legal[row, column], coded[row, column]
    kinds = place[row, column]
    return Episodes(
        case=case[row],
        period_start=begun[row],
        period_end=np.where(period_end[row] > END, NEVER, period_end[row]).astype(np.int32),
        start=start,
        end=np.where(open_still, NEVER, end).astype(np.int32),
        begins=_begins(opens, ls, kinds, rng),
        legal=ls,
        placement=pl,
        reason=np.where(open_still, -1, reason),
    )


def _changes(
    route: Ints, order: Ints, length: Ints, kin: Ints, age: Floats, asylum: Bools,
    rng: np.random.Generator,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """Eight possible changes a period: day in care, legal status, placement (-1: unchanged).

    Columns: start; order or voluntary status after police protection; full order; move in the
    first year; later move; placement order; placement for adoption; move towards independence.
    """
    n, own = len(route), calibration("choices")["care"]
    day = np.full((n, 8), NEVER, dtype=np.int64)
    legal = np.full((n, 8), -1, dtype=np.int64)
    place = np.full((n, 8), -1, dtype=np.int64)
    u = rng.random((12, n))
    day[:, 0] = 0
    first = np.array([_L["V2"], _L["C1"], _L["L1"], _L["C2"], _L["L2"], _L["J1"], _L["V4"]])
    legal[:, 0] = first[np.maximum(route, 0)]
    legal[(route == BREAKS) & (length < 10), 0] = _L["V3"]
    ordered = order < NEVER

    own_home = _elsewhere(age, asylum, route, u[0], u[1])
    place[:, 0] = own_home
    # Police protection that is not followed by an order becomes a voluntary arrangement.
    moved = (ordered & (order > 0)) | ((route == POLICE) & ~ordered & (length > 4))
    day[moved, 1] = np.where(ordered[moved], order[moved], 2)
    legal[:, 1] = np.where(ordered, _L["C1"], _L["V2"])
    begins = np.where(ordered, order, 0)
    full = begins + np.exp(np.log(own["order_days"]) + 0.35 * _normal(u[2], u[3])).astype(np.int64)
    gets_full = ordered & (route != FULL) & (full < length) & (u[4] < 0.93)
    day[gets_full, 2] = full[gets_full]
    legal[:, 2] = _L["C2"]

    # Where the family arrangement is a placement it begins under the order and within a year.
    last = np.minimum(350, length - 3)
    with_kin = kin == WITH_KIN
    at_once = with_kin & (u[5] < 0.55)
    place[at_once & (route != BREAKS), 0] = _KIN
    moves = (with_kin & ~at_once) | (kin == WITH_PARENTS)
    moves &= (route != BREAKS) & (route != JUSTICE) & (last > begins)
    to = begins + 1 + np.floor(u[6] ** 1.5 * np.maximum(last - begins, 1)).astype(np.int64)
    day[moves, 3] = np.minimum(to, last)[moves]
    place[moves, 3] = np.where(with_kin, _KIN, _P["P1"])[moves]
    # Other children may move among carers.
    shifts = ~moves & ~with_kin & (u[6] < 0.45) & (route != BREAKS)
    day[shifts, 3] = (15 + np.floor(u[7] * 320)).astype(np.int64)[shifts]
    place[shifts, 3] = _elsewhere(age, asylum, route, u[8], u[1])[shifts]

    later = (length > 420) & (u[9] < 0.40) & (route != BREAKS)
    when = 385 + np.floor(u[7] * 700).astype(np.int64)
    day[later, 4] = when[later]
    where = _elsewhere(age + 1.5, asylum, route, u[8], u[5])
    where = np.where(u[10] < 0.09, _KIN, np.where(u[10] < 0.14, _P["P1"], where))
    place[later, 4] = where[later]

    # From 16 on some move into supported or independent accommodation.
    grows = (age < 16) & (u[11] < 0.42) & ~with_kin & (route != BREAKS) & (route != JUSTICE)
    when = np.floor((16 + 1.2 * u[9] - age) * 365.25).astype(np.int64)
    grows &= (when > 30) & (when < length)
    day[grows, 7] = when[grows]
    place[grows, 7] = np.where(u[2] < 0.75, _P["H5"], _P["P2"])[grows]

    adopted = (age < 1826 / 365.25) & (kin == NO_KIN) & ordered
    adopted &= (length >= ADOPTION[0]) & (length <= ADOPTION[1])
    share = 0.30 + 0.2 * u[3]
    day[adopted, 5] = np.floor(begins + share * (length - begins)).astype(np.int64)[adopted]
    legal[adopted, 5] = _L["E1"]
    to = day[:, 5] + np.floor((0.2 + 0.4 * u[8]) * (length - day[:, 5]))
    day[adopted, 6] = to[adopted].astype(np.int64)
    codes = np.array([_P["A6"], _P["A5"], _P["A4"], _P["A3"]])
    place[adopted, 6] = codes[np.searchsorted([0.80, 0.96, 0.985], u[10], "right")][adopted]
    # After a placement order neither a full order nor another move is recorded.
    day[adopted, 2] = np.where(day[adopted, 2] >= day[adopted, 5], NEVER, day[adopted, 2])
    day[adopted, 4] = NEVER
    day[adopted, 3] = np.where(day[adopted, 3] >= day[adopted, 5], NEVER, day[adopted, 3])
    return day, legal, place


def _normal(u: Floats, v: Floats) -> Floats:
    return np.sqrt(-2 * np.log1p(-u * (1 - 1e-12))) * np.cos(2 * np.pi * v)


def _elsewhere(age: Floats, asylum: Bools, route: Ints, u: Floats, v: Floats) -> Ints:
    """A placement outside the family, by age."""
    teen = np.select(
        [u < 0.68, u < 0.93, u < 0.95, u < 0.965], [_FOSTER, _P["K2"], _P["R1"], _P["K1"]], _P["H5"]
    )
    oldest = np.select([u < 0.40, u < 0.60, u < 0.88], [_FOSTER, _P["K2"], _P["H5"]], _P["P2"])
    child = np.where(u < 0.955, _FOSTER, _P["K2"])
    baby = np.where(u < 0.93, _FOSTER, _P["R3"])
    place = np.select([age < 1, age < 10, age < 16], [baby, child, teen], oldest)
    place = np.where(
        asylum, np.where(u < 0.6, _FOSTER, np.where(u < 0.93, _P["H5"], _P["P2"])), place
    )
    place = np.where(route == JUSTICE, np.where(v < 0.5, _P["R5"], _P["K1"]), place)
    return np.where(route == BREAKS, np.where(v < 0.55, _FOSTER, _P["R1"]), place)


def _fill(values: Ints) -> Ints:
    """Carry each row's last known value forward."""
    filled = values.copy()
    for column in range(1, filled.shape[1]):
        filled[:, column] = np.where(
            filled[:, column] < 0, filled[:, column - 1], filled[:, column]
        )
    return filled


def _code_placements(place: Ints, at: Ints, u: Floats) -> Ints:
    """Placement codes as recorded on the day; a period's foster homes keep their kind."""
    kin_new = np.select([u[0] < 0.80, u[0] < 0.95], [_P["U3"], _P["U1"]], _P["U2"])[:, None]
    kin_old = np.where(
        (at < LEGACY_FOSTER) & (u[1][:, None] < 0.04),
        np.where(u[2][:, None] < 0.6, _P["F1"], _P["F4"]),
        _P["Q1"],
    )
    foster_new = np.select([u[3] < 0.72, u[3] < 0.96], [_P["U6"], _P["U4"]], _P["U5"])[:, None]
    recent = at >= PLACEMENT_CHANGE
    coded = np.where(place == _KIN, np.where(recent, kin_new, kin_old), place)
    return np.where(place == _FOSTER, np.where(recent, foster_new, _P["Q2"]), coded)


def _begins(opens: Bools, legal: Ints, place: Ints, rng: np.random.Generator) -> Ints:
    """Why each episode began."""
    if not len(opens):
        return np.empty(0, dtype=np.int64)
    new_legal = np.concatenate([[True], legal[1:] != legal[:-1]])
    new_place = np.concatenate([[True], place[1:] != place[:-1]])
    same_carer = rng.random(len(opens)) < 0.04
    codes = {name: i for i, name in enumerate(STARTS)}
    moved = np.where(
        new_legal,
        np.where(same_carer, codes["U"], codes["B"]),
        np.where(same_carer, codes["T"], codes["P"]),
    )
    return np.where(opens, codes["S"], np.where(new_place, moved, codes["L"]))


def _reasons(
    begun: Days, length: Ints, order: Ints, kin: Ints, route: Ints, age: Floats,
    adopted: Bools, last_place: Ints, rng: np.random.Generator,
) -> Ints:  # fmt: skip
    """Why each period ended.

    Within a year, children under orders without a family arrangement leave only for reasons that
    the original's kinship outcome does not count; so the outcome is what `kin` says.
    """
    n = len(begun)
    u, v = rng.random((2, n))
    ends = begun + length
    old_codes = ends < GUARDIANSHIP_CHANGE
    home = np.where((ends < HOME_CHANGE) & (v < 0.03), _R["E4"], _R["E4A"])
    kin_guardian = np.where(
        old_codes,
        np.where(v < 0.6, _R["E43"], _R["E44"]),
        np.where(v < 0.7, _R["E45"], _R["E47"]),
    )
    family_guardian = np.where(
        old_codes,
        np.where(v < 0.3, _R["E43"], _R["E44"]),
        np.where(v < 0.25, _R["E45"], _R["E47"]),
    )
    other_guardian = np.where(
        old_codes,
        np.where(v < 0.6, _R["E43"], _R["E44"]),
        np.where(v < 0.7, _R["E46"], _R["E48"]),
    )
    other = np.select(
        [u < 0.25, u < 0.50, u < 0.64, (u < 0.78) & ~old_codes],
        [_R["E4B"], _R["E41"], _R["E3"], other_guardian],
        _R["E8"],
    )
    to_family = np.select([u < 0.56, u < 0.82], [home, family_guardian], _R["E13"])
    from_kin = np.select(
        [u < 0.72, u < 0.80, u < 0.90, u < 0.94],
        [kin_guardian, home, _R["E41"], _R["E13"]],
        _R["E8"],
    )
    from_parents = np.where(u < 0.85, home, _R["E8"])
    long_other = np.select(
        [u < 0.17, u < 0.43, u < 0.49, u < 0.54, u < 0.62, u < 0.66],
        [home, other_guardian, _R["E4B"], _R["E13"], _R["E41"], _R["E3"]],
        _R["E8"],
    )
    voluntary = np.select(
        [u < 0.36, u < 0.46, u < 0.58, u < 0.62, u < 0.65],
        [home, _R["E4B"], _R["E13"], _R["E41"], _R["E3"]],
        _R["E8"],
    )
    ordered = order < NEVER
    soon = length <= 365
    reason = np.where(ordered, long_other, voluntary)
    at_kin = last_place == _KIN
    reason = np.where(~soon & at_kin, from_kin, reason)
    reason = np.where(~soon & (last_place == _P["P1"]), from_parents, reason)
    reason = np.where(soon & ordered & (kin == WITH_KIN), from_kin, reason)
    reason = np.where(soon & ordered & (kin == WITH_PARENTS), from_parents, reason)
    reason = np.where(soon & ordered & (kin == NO_KIN), other, reason)
    reason = np.where(soon & ordered & (kin == LEFT_TO_FAMILY), to_family, reason)
    reason = np.where(adopted, np.where(u < 0.3, _R["E11"], _R["E12"]), reason)
    leaver = age * 365.25 + length >= ADULT - 40
    recent = ends >= GUARDIANSHIP_CHANGE
    grown = np.select(
        [u < 0.38, u < 0.48, (u < 0.74) & recent], [_R["E5"], _R["E6"], _R["E17"]], _R["E8"]
    )
    reason = np.where(leaver & ~(soon & (kin == LEFT_TO_FAMILY)), grown, reason)
    reason = np.where(route == BREAKS, _R["E8"], reason)
    reason = np.where((route == JUSTICE) & (u < 0.5), _R["E9"], reason)
    return np.asarray(reason, dtype=np.int64)
