"""The life of made-up cases: children, their referrals, how each ends, and who comes back.

A child is referred; the referral ends in no further action, is passed on, ends in an assessment
that finds no need, or in a child in need case (`synthetic_need`). After the case has closed the
same child may be referred again: re-referrals are chains, not labels. An authority's cases are
drawn generation by generation, each in a few array operations.

Planted effects act through potential outcomes that share one random number (``u < p`` against
``u < p + effect``; for kinship, arrangements are turned by count). An effect on kinship changes
placements and reasons for leaving care alone; other effects move what follows, and with it the
later referrals of the authority's children.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sos_analysis.records.synthetic_case import (
    END,
    NEED,
    NFA,
    NOT_IN_NEED,
    PASSED_ON,
    START,
    Cases,
    Children,
    Ints,
    Small,
    blank_rows,
    gather,
    happened,
    pick,
)
from sos_analysis.records.synthetic_days import NEVER, Days, calendar, day_number
from sos_analysis.records.synthetic_effects import Effects
from sos_analysis.records.synthetic_need import NeedCases
from sos_analysis.records.synthetic_rates import YEARS, Floats, Plan, Rates

_AGE_BANDS = (365, 1826, 3652, 5844)  # days: under 1, 1-4, 5-9, 10-15, 16-17 years
_NFA_BY_AGE = np.array([0.85, 0.98, 1.03, 1.05, 0.98])  # ours
_SIX_MONTHS, _YEAR = 183, 365


def simulate(
    plan: Plan, position: int, arrivals: Floats, effects: Effects, rng: np.random.Generator
) -> tuple[Children, Cases]:
    """All children and referrals of one authority.

    Parameters
    ----------
    plan, position : the rates, and which authority's.
    arrivals : shape (days,), expected new children on each day from `START` to `END`.
    effects : planted effects.
    rng : this authority's own stream.
    """
    per_day = rng.poisson(arrivals)
    referral = np.repeat(np.arange(len(arrivals), dtype=np.int32) + START, per_day)
    children = draw_children(plan, position, referral, rng)
    generation = _Generation(plan.rates(position), plan.choices, children, effects, rng)
    child = np.arange(len(referral), dtype=np.int64)
    inherited: Floats | None = None
    found: list[dict[str, Any]] = []
    while len(child):
        rows, following, inherited = generation.draw(child, referral, inherited)
        found.append(rows)
        back = happened(following)
        child, referral, inherited = child[back], following[back], inherited[:, back]
    return children, gather(found)


def draw_children(
    plan: Plan,
    position: int,
    first: Days,
    rng: np.random.Generator,
    born: Ints | None = None,
) -> Children:
    """Children at their first referral; none seeks asylum where dates of birth are given."""
    n, choices = len(first), plan.choices
    age = choices["age"]
    bands = np.array([[-0.55, 0.0], *age["bands_years"]]) * 365.25
    band = pick(rng, [age["unborn"], *age["shares"]], n)
    days_old = bands[band, 0] + rng.random(n) * (bands[band, 1] - bands[band, 0])
    asylum = rng.random(n) < choices["asylum"]["share_of_new_children"]
    days_old = np.where(asylum, 365.25 * (15 + 2.9 * np.sqrt(rng.random(n))), days_old)
    asylum &= born is None
    ethnic = choices["ethnicity"]
    white = np.array([code.startswith("W") for code in ethnic["codes"]])
    shares, here = np.array(ethnic["shares"]), float(plan.white[position, 0])
    part = np.where(white, here / shares[white].sum(), (1 - here) / shares[~white].sum())
    group = pick(rng, part * shares, n)
    elsewhere = asylum & (rng.random(n) < 0.6)
    poor = choices["low_income"]
    log_odds = np.log(poor["ever_fsm"] / (1 - poor["ever_fsm"]))
    level = 1 / (1 + np.exp(-(log_odds + poor["between"] * rng.standard_normal())))
    ever = rng.random(n) < level
    return Children(
        born=(first - days_old if born is None else born).astype(np.int32),
        male=rng.random(n) < np.where(asylum, 0.9, choices["sex"]["male"]),
        sex_recorded=rng.random(n) >= choices["sex"]["not_recorded"],
        ethnicity=np.where(elsewhere, ethnic["codes"].index("OOTH"), group).astype(np.int8),
        disabled=(rng.random(n) < choices["disability"]["share"]) & ~asylum,
        ever_fsm=ever & ~asylum,
        early_years=ever & (rng.random(n) < poor["early_years"] / poor["ever_fsm"]),
        asylum=asylum,
    )


class _Generation:
    """One generation of referrals: what becomes of each, and who comes back when."""

    def __init__(
        self,
        rates: Rates,
        choices: Mapping[str, Any],
        children: Children,
        effects: Effects,
        rng: np.random.Generator,
    ) -> None:
        self.rates, self.choices, self.children = rates, choices, children
        self.effects, self.rng, self.calendar = effects, rng, calendar()
        self.core_until = day_number(choices["assessment"]["core_until"])
        self.need = NeedCases(rates, choices, children, effects, rng)

    def draw(
        self, child: Ints, referral: Days, inherited: Floats | None
    ) -> tuple[dict[str, Any], Days, Floats]:
        """Rows of this generation, each child's next referral, what that one inherits.

        `inherited` holds the drift in and the planted effect on escalation (two rows) from the
        case closed before; None for children never referred before.
        """
        rows = blank_rows(child, referral)
        at = self._year(referral)
        band = np.searchsorted(_AGE_BANDS, referral - self.children.born[child], "right")
        rows["kind"], rows["kind_before"] = self._kind(at, band, referral, child)
        self._assess(rows, at)
        self._close_at_once(rows, at)
        self._close_not_in_need(rows, np.flatnonzero(rows["kind"] == NOT_IN_NEED))
        need = np.flatnonzero(rows["kind"] == NEED)
        carried = None
        if inherited is not None:
            # Only a child in need case can escalate, so it carries the effect for the others too.
            likely = 1 - self.rates.nfa[at[need]] - self.rates.not_in_need[at[need]]
            likely = likely - self.choices["referral"]["passed_on"]
            carried = inherited[:, need] / np.maximum(likely, 0.2)
        for name, values in self.need.draw(
            child[need], referral[need], at[need], band[need], rows["assessed_end"][need], carried
        ).items():
            rows[name][need] = values
        self._assess_again(rows, need)
        following, carried_on = self._return(rows, child)
        return rows, following, carried_on

    def _year(self, day: Days) -> Ints:
        return np.clip(self.calendar.year(day) - YEARS[0], 0, len(YEARS) - 1)

    def _kind(self, at: Ints, band: Ints, referral: Days, child: Ints) -> tuple[Small, Small]:
        """What each referral comes to, with and without the effect on the share of no action."""
        u, passed = self.rng.random(len(at)), self.choices["referral"]["passed_on"]
        nfa = self.rates.nfa[at] * _NFA_BY_AGE[band]
        both = nfa + self.rates.not_in_need[at]
        drift = self.effects.drifted("nfa_share", referral)
        shift = self.effects.on("nfa_share", referral)  # shared between both in proportion

        def kinds(change: Floats) -> Small:
            more = np.clip(both + change, 0, 1 - passed) / both
            kind = np.select(
                [u < nfa * more, u < both * more, u < both * more + passed],
                [NFA, NOT_IN_NEED, PASSED_ON],
                NEED,
            )
            return np.where(self.children.asylum[child], NEED, kind).astype(np.int8)

        before = kinds(drift)
        return (kinds(drift + shift) if shift.any() else before), before

    def _durations(self, at: Ints, core: Any, need: Any) -> Ints:
        """Working days an assessment takes: piled up under the limit, with a long tail.

        Those that find a need take longer and are late more often.
        """
        own, rng, n = self.choices["assessment"], self.rng, len(at)
        u = rng.random((5, n))
        shapes = np.array([own["short_shape_not_in_need"], own["short_shape_in_need"]])
        first, second = shapes[np.where(need, 1, 0)].T
        late_share = (1 - self.rates.within45[at]) * np.where(
            need, own["late_in_need"], own["late_not_in_need"]
        )
        spike = np.where(need, own["spike_in_need"], own["spike_not_in_need"])
        limit = np.where(core, own["core_limit_days"], own["limit_days"])
        piled = limit - np.floor(own["spike_width"] * u[2] ** 1.7)
        short = 1 + np.floor((limit - 1) * rng.beta(first, second, n))
        late = limit + 1 + np.floor(-own["late_mean"] * np.log1p(-u[3]))
        much_later = np.floor(-own["very_late_mean"] * np.log1p(-u[2]))
        late += np.where(u[4] < own["very_late_share"], much_later, 0)
        early = np.where(u[1] < spike, piled, short)
        return np.where(u[0] < late_share, late, early).astype(np.int64)

    def _assess(self, rows: dict[str, Any], at: Ints) -> None:
        """Assessments; before the single assessment only core ones were collected."""
        own, rng = self.choices["assessment"], self.rng
        who = np.flatnonzero((rows["kind"] == NEED) | (rows["kind"] == NOT_IN_NEED))
        n = len(who)
        wait = (rng.random(n) ** 4 * 5).astype(np.int32)
        begun = self.calendar.on_or_after(rows["referral"][who] + wait)
        core = begun <= self.core_until
        in_need = rows["kind"][who] == NEED
        core_share = np.where(in_need, own["core_share_in_need"], own["core_share_not_in_need"])
        held = rng.random(n) < np.where(core, core_share, 1.0 - own["missing_share"])
        took, part = self._durations(at[who], core, in_need), rng.random(n)
        drift, shift = self.effects.drifted("duration", begun), self.effects.on("duration", begun)
        after = np.maximum(took + np.floor(drift + shift + part).astype(np.int64), 0)
        took = np.maximum(took + np.floor(drift + part).astype(np.int64), 0)
        ended = self.calendar.add(begun, after)
        for name, values in (
            ("assessed", begun),
            ("assessed_end", ended),
            ("days_before", took),
            ("days_after", after),
        ):
            rows[name][who[held]] = values[held]

    def _assess_again(self, rows: dict[str, Any], who: Ints) -> None:
        """Some long cases are assessed again, after the first assessment has ended."""
        who = who[happened(rows["assessed_end"][who])]
        chance = np.array(self.choices["assessment"]["second_chance"])
        chance = chance[self._year(rows["assessed_end"][who])]
        who = who[self.rng.random(len(who)) < chance]
        day = rows["assessed_end"][who] + 45 + (self.rng.random(len(who)) * 300).astype(np.int32)
        day = self.calendar.on_or_after(day)
        ended = self.calendar.add(
            day, self._durations(self._year(day), day <= self.core_until, True)
        )
        fits = ended <= rows["closed"][who]
        rows["again"][who[fits]] = day[fits]
        rows["again_end"][who[fits]] = ended[fits]

    def _close_at_once(self, rows: dict[str, Any], at: Ints) -> None:
        """Closure within days and within the year: always of cases passed on, and of some NFA."""
        stated = self.choices["referral"]["nfa_closure_stated"]
        closes = (rows["kind"] == NFA) & (self.rng.random(len(at)) < stated)
        stated = np.flatnonzero(closes | (rows["kind"] == PASSED_ON))
        referral = rows["referral"][stated]
        wait = (self.rng.random(len(stated)) ** 3 * 6).astype(np.int32)
        same_year = self._year(referral + wait) == at[stated]
        rows["closed"][stated] = referral + wait * same_year

    def _close_not_in_need(self, rows: dict[str, Any], who: Ints) -> None:
        """Closure soon after the assessment; some had a section 47 enquiry, none a conference."""
        rng, n = self.rng, len(who)
        ended = rows["assessed_end"][who]
        unrecorded = rows["referral"][who] + 7 + (rng.random(n) * 18).astype(np.int32)
        after = (rng.random(n) ** 2 * 10).astype(np.int32)
        closed = np.where(happened(ended), ended + after, unrecorded)
        rows["closed"][who] = closed
        wait = (rng.random(n) ** 2 * 15).astype(np.int32)
        day = self.calendar.on_or_after(rows["referral"][who] + wait)
        enquired = rng.random(n) < self.rates.section47_none[self._year(rows["referral"][who])]
        rows["section47"][who] = np.where(enquired & (day <= closed), day, NEVER)

    def _return(self, rows: dict[str, Any], child: Ints) -> tuple[Days, Floats]:
        """Each child's next referral (`NEVER`: none in the data) and what it inherits."""
        own, effects, n = self.choices["rereferral"], self.effects, len(child)
        referral = rows["referral"]
        no_need = (rows["kind"] == NFA) | (rows["kind"] == NOT_IN_NEED)
        base = np.where(happened(rows["closed"]), rows["closed"], referral)
        mean = float(own["mean_gap_days"])
        half = (1 - np.exp(-_SIX_MONTHS / mean)) / (1 - np.exp(-_YEAR / mean))
        year = np.where(rows["kind"] == NEED, own["need_year"], own["nfa_year"])
        year = np.minimum(year * self.rates.rereferral[self._year(base)], 0.75)
        drift = np.where(no_need, effects.drifted("rereferral", base), 0.0)
        drift = drift + effects.drifted("rereferral_all", base)
        shift = np.where(no_need, effects.on("rereferral", base), 0.0)
        u = self.rng.random((3, n))
        plain = np.clip(year * half + drift, 0, 0.95)
        soon = np.clip(plain + shift, 0, 0.95)
        before = self._next(child, base, year, plain, u)
        following = self._next(child, base, year, soon, u) if shift.any() else before
        everyone = effects.on("rereferral_all", referral)
        if everyone.any():
            following = self._turn(following, child, referral, base, everyone)
        for side, day in (("before", before), ("after", following)):
            soon_again, again = day - base <= _SIX_MONTHS, day - referral <= _SIX_MONTHS
            rows[f"returned_{side}"] = np.where(no_need, soon_again, -1).astype(np.int8)
            rows[f"back_{side}"] = again.astype(np.int8)
        carried = np.stack([effects.drifted("escalation", base), effects.on("escalation", base)])
        returned = rows["returned_after"] == 1
        return following, np.where(returned, carried / np.maximum(soon, 0.02), 0.0)

    def _next(self, child: Ints, base: Ints, year: Floats, soon: Floats, u: Floats) -> Days:
        """The next referral with the chance `soon` of one within six months of `base`."""
        own = self.choices["rereferral"]
        mean, (u, v, w) = float(own["mean_gap_days"]), u
        whole = 1 - np.exp(-_YEAR / mean)
        half = (1 - np.exp(-_SIX_MONTHS / mean)) / whole
        within_year = np.maximum(year, soon)
        gap = np.select(
            [u < soon, u < within_year, u < within_year + own["later"] * (1 - year)],
            [
                np.ceil(-mean * np.log1p(-v * half * whole)),
                np.ceil(-mean * np.log1p(-whole * (half + v * (1 - half)))),
                _YEAR - own["later_mean_days"] * np.log1p(-v),
            ],
            NEVER,
        )
        following = base + np.maximum(gap, 1).astype(np.int64)
        # Few referrals arrive on days off: most wait for a working day, within the six months.
        monday = self.calendar.on_or_after(np.minimum(following, END + 400).astype(np.int32))
        waits = (w < own["days_off_shift"]) & (following <= END)
        waits &= (gap > _SIX_MONTHS) | (monday - base <= _SIX_MONTHS)
        return self._possible(child, np.where(waits, monday, following))

    def _possible(self, child: Ints, following: Ints) -> Days:
        """`NEVER` for referrals after the data, of adults, and of asylum-seeking children."""
        grown = self.children.born[child] + self.choices["rereferral"]["adult_days"]
        possible = (following <= END) & (following < grown) & ~self.children.asylum[child]
        return np.where(possible, following, NEVER).astype(np.int32)

    def _turn(
        self, following: Days, child: Ints, referral: Days, base: Ints, change: Floats
    ) -> Days:
        """Add or take away returns within six months of the referral, as many as `change` says."""
        u, v = self.rng.random((2, len(following)))
        back = following - referral <= _SIX_MONTHS
        room = referral + _SIX_MONTHS - base
        day = self._possible(child, base + 1 + np.floor(v * np.maximum(room, 1)).astype(np.int64))
        able = ~back & (room > 0) & (day < NEVER)
        concerned = change != 0
        lost = back & (u < -change / max(back[concerned].mean(), 1e-9))
        gained = able & (u < change / max(able[concerned].mean(), 1e-9))
        later = referral + _SIX_MONTHS + 1 + np.floor(v * 180).astype(np.int64)
        later = self._possible(child, np.maximum(later, base + 1))
        return np.where(lost, later, np.where(gained, day, following)).astype(np.int32)
