"""The life of made-up cases: children, their referrals, how each ends, and who comes back.

A child is referred; the referral ends in no further action, in an assessment that finds no need, or
in a child in need case (`synthetic_need`). After the case has closed the same child may be referred
again: re-referrals are chains, not labels. An authority's cases are drawn generation by generation,
each in a few array operations.

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
    START,
    Cases,
    Children,
    Effects,
    Ints,
    Small,
    blank_rows,
    gather,
    happened,
    pick,
)
from sos_analysis.records.synthetic_days import NEVER, Days, calendar, day_number
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
    children = _children(plan.choices, referral, rng)
    generation = _Generation(plan.rates(position), plan.choices, children, effects, rng)
    child = np.arange(len(referral), dtype=np.int64)
    inherited: Floats | None = None
    found: list[dict[str, Any]] = []
    while len(child):
        rows, following, inherited = generation.draw(child, referral, inherited)
        found.append(rows)
        back = happened(following)
        child, referral, inherited = child[back], following[back], inherited[back]
    return children, gather(found)


def _children(choices: Mapping[str, Any], first: Days, rng: np.random.Generator) -> Children:
    """Children at their first referral."""
    n = len(first)
    age = choices["age"]
    bands = np.array([[-0.55, 0.0], *age["bands_years"]]) * 365.25
    band = pick(rng, [age["unborn"], *age["shares"]], n)
    days_old = bands[band, 0] + rng.random(n) * (bands[band, 1] - bands[band, 0])
    asylum = rng.random(n) < choices["asylum"]["share_of_new_children"]
    days_old = np.where(asylum, 365.25 * (15 + 2.9 * np.sqrt(rng.random(n))), days_old)
    ethnic = choices["ethnicity"]
    white = np.array([code.startswith("W") for code in ethnic["codes"]])
    tilt = np.exp(ethnic["white_between"] * rng.standard_normal())
    group = pick(rng, np.where(white, tilt, 1.0) * ethnic["shares"], n)
    elsewhere = asylum & (rng.random(n) < 0.6)
    poor = choices["low_income"]
    log_odds = np.log(poor["ever_fsm"] / (1 - poor["ever_fsm"]))
    level = 1 / (1 + np.exp(-(log_odds + poor["between"] * rng.standard_normal())))
    ever = rng.random(n) < level
    return Children(
        born=(first - days_old).astype(np.int32),
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

        `inherited` is the planted effect on escalation from the case closed before; None for
        children never referred before.
        """
        rows = blank_rows(child, referral)
        at = self._year(referral)
        band = np.searchsorted(_AGE_BANDS, referral - self.children.born[child], "right")
        rows["kind"] = self._kind(at, band, referral, child)
        self._assess(rows, at)
        self._close_nfa(rows, np.flatnonzero(rows["kind"] == NFA), at)
        self._close_not_in_need(rows, np.flatnonzero(rows["kind"] == NOT_IN_NEED))
        need = np.flatnonzero(rows["kind"] == NEED)
        carried = None
        if inherited is not None:
            # Only a child in need case can escalate, so it carries the effect for the others too.
            likely = 1 - self.rates.nfa[at[need]] - self.rates.not_in_need[at[need]]
            carried = inherited[need] / np.maximum(likely, 0.2)
        for name, values in self.need.draw(
            child[need], referral[need], at[need], band[need], rows["assessed_end"][need], carried
        ).items():
            rows[name][need] = values
        self._assess_again(rows, need)
        following, carried_on = self._return(rows, child)
        return rows, following, carried_on

    def _year(self, day: Days) -> Ints:
        return np.clip(self.calendar.year(day) - YEARS[0], 0, len(YEARS) - 1)

    def _kind(self, at: Ints, band: Ints, referral: Days, child: Ints) -> Small:
        u = self.rng.random(len(at))
        nfa = self.rates.nfa[at] * _NFA_BY_AGE[band]
        none = self.rates.not_in_need[at]
        shift = self.effects.on("nfa_share", referral)  # shared between both in proportion
        both = nfa + none
        more = np.clip(both + shift, 0, 1) / both
        kind = np.where(u < nfa * more, NFA, np.where(u < both * more, NOT_IN_NEED, NEED))
        return np.where(self.children.asylum[child], NEED, kind).astype(np.int8)

    def _durations(self, at: Ints, core: Any) -> Ints:
        """Working days an assessment takes: piled up under the limit, with a long tail."""
        own, rng, n = self.choices["assessment"], self.rng, len(at)
        u = rng.random((5, n))
        first, second = own["short_shape"]
        limit = np.where(core, own["core_limit_days"], own["limit_days"])
        piled = limit - np.floor(own["spike_width"] * u[2] ** 1.7)
        short = 1 + np.floor((limit - 1) * rng.beta(first, second, n))
        late = limit + 1 + np.floor(-own["late_mean"] * np.log1p(-u[3]))
        much_later = np.floor(-own["very_late_mean"] * np.log1p(-u[2]))
        late += np.where(u[4] < own["very_late_share"], much_later, 0)
        early = np.where(u[1] < own["spike_share"], piled, short)
        return np.where(u[0] < self.rates.within45[at], early, late).astype(np.int64)

    def _assess(self, rows: dict[str, Any], at: Ints) -> None:
        """Assessments; before the single assessment only core ones were collected."""
        own, rng = self.choices["assessment"], self.rng
        who = np.flatnonzero(rows["kind"] != NFA)
        n = len(who)
        wait = (rng.random(n) ** 4 * 5).astype(np.int32)
        begun = self.calendar.on_or_after(rows["referral"][who] + wait)
        core = begun <= self.core_until
        in_need = rows["kind"][who] == NEED
        core_share = np.where(in_need, own["core_share_in_need"], own["core_share_not_in_need"])
        held = rng.random(n) < np.where(core, core_share, 1.0 - own["missing_share"])
        took = self._durations(at[who], core)
        shift = np.floor(self.effects.on("duration", begun) + rng.random(n)).astype(np.int64)
        after = np.maximum(took + shift, 0)
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
        chance = self.choices["assessment"]["second_chance"]
        who = who[self.rng.random(len(who)) < chance]
        day = rows["assessed_end"][who] + 45 + (self.rng.random(len(who)) * 300).astype(np.int32)
        day = self.calendar.on_or_after(day)
        ended = self.calendar.add(day, self._durations(self._year(day), day <= self.core_until))
        fits = ended <= rows["closed"][who]
        rows["again"][who[fits]] = day[fits]
        rows["again_end"][who[fits]] = ended[fits]

    def _close_nfa(self, rows: dict[str, Any], who: Ints, at: Ints) -> None:
        """Half of the cases flagged NFA carry a closure date, within days and within the year."""
        stated = who[self.rng.random(len(who)) < 0.5]
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
        enquired = rng.random(n) < self.choices["conference"]["not_in_need_section47"]
        rows["section47"][who] = np.where(enquired & (day <= closed), day, NEVER)

    def _return(self, rows: dict[str, Any], child: Ints) -> tuple[Days, Floats]:
        """Each child's next referral (`NEVER`: none in the data) and what it inherits."""
        own, rng, n = self.choices["rereferral"], self.rng, len(child)
        without_need = rows["kind"] != NEED
        base = np.where(happened(rows["closed"]), rows["closed"], rows["referral"])
        mean = float(own["mean_gap_days"])
        whole = 1 - np.exp(-_YEAR / mean)
        half = (1 - np.exp(-_SIX_MONTHS / mean)) / whole
        year = np.where(without_need, own["nfa_year"], own["need_year"])
        year = np.minimum(year * self.rates.rereferral[self._year(base)], 0.75)
        shift = np.where(without_need, self.effects.on("rereferral", base), 0.0)
        shift = shift + self.effects.on("rereferral_all", base)
        soon = np.clip(year * half + shift, 0, 0.95)
        within_year = np.maximum(year, soon)
        u, v = rng.random((2, n))
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
        waits = (rng.random(n) < own["days_off_shift"]) & (following <= END)
        waits &= (gap > _SIX_MONTHS) | (monday - base <= _SIX_MONTHS)
        following = np.where(waits, monday, following)
        children = self.children
        grown = children.born[child] + own["adult_days"]
        possible = (following <= END) & (following < grown) & ~children.asylum[child]
        following = np.where(possible, following, NEVER).astype(np.int32)
        rows["returned_before"] = np.where(without_need, u < year * half, -1).astype(np.int8)
        rows["returned_after"] = np.where(without_need, u < soon, -1).astype(np.int8)
        carried = self.effects.on("escalation", base) / np.maximum(soon, 0.02)
        return following, np.where(without_need & (u < soon), carried, 0.0)
