"""What happens in a made-up child in need case: enquiry, conference, plan, care, closure.

The order of a case is kept: an enquiry after the referral, a conference about two weeks after its
enquiry, a plan from the conference on, closure after plans, care and assessment have ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sos_analysis.records.synthetic_case import (
    ADOPTION,
    ADULT,
    BREAKS,
    EMERGENCY,
    FULL,
    INTERIM,
    JUSTICE,
    LEFT_TO_FAMILY,
    NO_KIN,
    POLICE,
    VOLUNTARY,
    WITH_KIN,
    WITH_PARENTS,
    Bools,
    Children,
    Ints,
    Small,
    category,
    happened,
    latest,
    pick,
)
from sos_analysis.records.synthetic_days import NEVER, Days, calendar
from sos_analysis.records.synthetic_effects import Effects
from sos_analysis.records.synthetic_rates import YEARS, Floats, Rates

# Days from the enquiry to its conference: lowest and number of days of each class.
_GAP_LOW, _GAP_WIDTH = np.array([5, 11, 16, 21]), np.array([6, 5, 5, 15])
# Days from the referral to the enquiry: the first two keep the conference within 90 days.
_SOON, _LATER, _LATE = (0, 21), (21, 26), (91, 310)
_KIN_BY_AGE = np.array([0.03, 0.03, 0.01, -0.03, -0.06])  # ours, about 0 on average
_ROUTES = np.array([VOLUNTARY, INTERIM, POLICE, FULL, EMERGENCY, JUSTICE])  # as in the file


class NeedCases:
    """Draws child in need cases of one authority, a generation at a time."""

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
        # Begins part of the way to the first turn, so that the expected number is right.
        start = rng.random(len(YEARS) + 1)
        self._owed = np.copysign(start, effects.sizes.get("kinship", 0.0))

    def draw(
        self,
        child: Ints,
        referral: Days,
        at: Ints,
        band: Ints,
        assessed_end: Days,
        inherited: Floats | None,
    ) -> dict[str, Any]:
        """Columns of `Cases` for these cases.

        Parameters
        ----------
        child, referral, at, band : child, day, year index and age band of each case.
        assessed_end : end of its assessment.
        inherited : drift in and planted effect on escalation, per re-referral, shape (2, cases);
            None for first referrals.
        """
        rng, n = self.rng, len(child)
        adult = self.children.born[child] + np.int64(ADULT)
        row: dict[str, Any] = {}
        self._conferences(row, referral, at, band, adult, inherited is not None)
        self._plans(row, at, adult)
        self._care(row, child, referral, at, band, adult, inherited is not None)
        row["escalated_before"] = row["escalated_after"] = np.full(n, -1, np.int8)
        if inherited is not None:
            self._escalate(row, referral, adult, inherited)
        # A plan ends, as a rule, soon after care begins.
        overlaps = (row["plan"] < row["care"]) & (row["plan_end"] > row["care"])
        overlaps &= happened(row["care"])
        cut = np.minimum(row["care"] + (rng.random(n) * 60).astype(np.int64), adult - 1)
        row["plan_end"] = np.where(overlaps, np.minimum(row["plan_end"], cut), row["plan_end"])
        row["closed"] = self._closure(row, child, referral, adult, assessed_end)
        row["section47_again"] = self._second_enquiry(row)
        return row

    def _conferences(
        self, row: dict[str, Any], referral: Days, at: Ints, band: Ints, adult: Ints, back: bool
    ) -> None:
        """Conferences and the enquiries before them; enquiries that lead nowhere."""
        rng, n, own = self.rng, len(referral), self.choices["conference"]
        u = rng.random((6, n))
        chance = self.rates.icpc[at] * np.array(own["age_factor"])[band]
        chance = np.minimum(chance * self.rates.escalation[at] if back else chance, 0.8)
        soon, later, late = own["delay_shares"]
        # The planted effect is on conferences within 90 days.
        near = (soon + later) * chance
        near = np.clip(near + self.effects.drifted("icpc", referral), 0, 0.95)
        before = u[0] < near
        after = u[0] < np.clip(near + self.effects.on("icpc", referral), 0, 0.95)
        far = ~after & ~before & (u[1] < late * chance / np.maximum(1 - near, 0.05))
        wait = np.where(u[2] * (soon + later) < soon, _spread(u[3] ** 1.6, *_SOON), 0)
        wait = np.where(u[2] * (soon + later) < soon, wait, _spread(u[3], *_LATER))
        wait = np.where(far, _spread(u[3], *_LATE), wait)
        idle = ~after & ~far & (rng.random(n) < self.rates.section47[at])
        wait = np.where(idle, _spread(u[3] ** 1.6, 0, 45), wait)
        day = self.calendar.on_or_after((referral + wait).astype(np.int32)).astype(np.int64)
        kind = category(u[4], own["days_shares"])
        meeting = day + _GAP_LOW[kind] + np.floor(u[5] ** 0.7 * _GAP_WIDTH[kind]).astype(np.int64)
        weekday = (meeting + 3) % 7  # conferences keep off weekends
        meeting += np.select([weekday == 5, weekday == 6], [-1, 1], 0)
        held = (after | far) & (meeting < adult - 1)
        row["conference"] = np.where(held, meeting, NEVER)
        row["section47"] = np.where((held | idle) & (day < adult), day, NEVER)
        row["icpc_before"] = (before & (meeting < adult - 1)).astype(np.int8)
        row["icpc_after"] = (after & held).astype(np.int8)

    def _second_enquiry(self, row: dict[str, Any]) -> Ints:
        """A second enquiry, well after the first and before the case closes."""
        n = len(row["closed"])
        clear = latest(row["section47"], row["conference"]) + 40
        room = row["closed"] - 7 - clear
        day = clear + (self.rng.random(n) * np.clip(room, 0, 500)).astype(np.int64)
        chance = self.choices["conference"]["second_chance"]
        again = happened(row["section47"]) & (room > 0) & (self.rng.random(n) < chance)
        return np.where(again, day, NEVER)

    def _plans(self, row: dict[str, Any], at: Ints, adult: Ints) -> None:
        """Plans from the conference on; a few cases have a second plan."""
        own, rng, n = self.choices["plan"], self.rng, len(at)
        met = happened(row["conference"]) & (rng.random(n) < self.rates.plan[at])
        who = np.flatnonzero(met)
        mean = np.array(own["mean_days"], dtype=np.float64)[at[who]]
        length = mean / own["shape"] * rng.standard_gamma(own["shape"], len(who))
        finish = row["conference"][who] + 10 + length.astype(np.int64)
        row["plan"] = np.where(met, row["conference"], NEVER)
        row["plan_end"] = np.full(n, NEVER, dtype=np.int64)
        row["plan_end"][who] = np.minimum(finish, adult[who] - 1)
        begin = row["plan_end"] + 60 + _spread(rng.random(n), 0, 340)
        end = begin + 30 + _spread(rng.random(n), 0, 500)
        again = met & (rng.random(n) < own["second_in_case"]) & (end < adult - 1)
        row["plan_again"] = np.where(again, begin, NEVER)
        row["plan_again_end"] = np.where(again, end, NEVER)

    def _care(
        self,
        row: dict[str, Any],
        child: Ints,
        referral: Days,
        at: Ints,
        band: Ints,
        adult: Ints,
        back: bool,
    ) -> None:
        """A period of care for the few it happens to."""
        own, rng, n = self.choices["care"], self.rng, len(child)
        enters = self._enters(row, child, at, band, back)
        breaks = ~enters & self.children.disabled[child]
        breaks &= rng.random(n) < own["short_break_chance"] * self.rates.care[at]
        who = np.flatnonzero(enters | breaks)
        u = rng.random((8, len(who)))
        delay = category(u[0], own["delay_shares"])
        delay = np.where(
            band[who] == 0, np.minimum(delay, 1), delay
        )  # babies do not wait for years
        wait = np.select(
            [delay == 0, delay == 1],
            [_spread(u[1] ** 2, 0, 31), _spread(u[1], 31, 150)],
            _spread(u[1], 181, 520),
        )
        asylum = self.children.asylum[child[who]]
        begun = referral[who] + np.where(asylum, 0, wait)
        begun = np.maximum(begun, self.children.born[child[who]] + 1)  # not before birth
        fits = adult[who] - begun > 3
        who, u, begun, asylum = who[fits], u[:, fits], begun[fits], asylum[fits]
        left = adult[who] - begun
        age = begun - self.children.born[child[who]]
        route = _ROUTES[category(u[2], own["legal_shares"])]
        route = np.where(asylum | ((route == JUSTICE) & (age < 3652)), VOLUNTARY, route)
        route = np.where(breaks[who], BREAKS, route)
        order = self._orders(route, left, u[3], u[4], at[who], asylum)
        # No order is sought for those who are almost grown up.
        sought = (route == INTERIM) | (route == FULL) | (route == EMERGENCY)
        route = np.where(sought & ~happened(order), VOLUNTARY, route)
        kin, before = self._kinship(band[who], begun.astype(np.int64), order, u[5], u[6], asylum)
        # The stay is as long as it would have been: the effect changes where a child lives, and
        # nothing that comes after.
        length = self._length(route, order, before, left, age, u[7], at[who], asylum)
        row["care"], row["care_end"], row["order"] = (
            np.full(n, NEVER, dtype=np.int64) for _ in range(3)
        )
        row["care"][who], row["care_end"][who], row["order"][who] = begun, begun + length, order
        row["route"], row["kin"], row["kin_before"] = (np.full(n, -1, np.int8) for _ in range(3))
        row["route"][who], row["kin"][who], row["kin_before"][who] = route, kin, before

    def _enters(self, row: dict[str, Any], child: Ints, at: Ints, band: Ints, back: bool) -> Bools:
        own = self.choices["care"]
        # Likelier after a conference, and less likely otherwise, so that the mean stays.
        factor, met = own["conference_factor"], np.minimum(self.rates.icpc[at], 0.8)
        otherwise = np.clip((1 - factor * met) / (1 - met), 0.2, 1)
        chance = self.rates.care[at] * np.array(own["age_factor"])[band]
        chance = chance * np.where(happened(row["conference"]), factor, otherwise)
        if back:
            chance = chance * self.rates.escalation[at]
        return (self.rng.random(len(at)) < chance) | self.children.asylum[child]

    def _orders(
        self, route: Ints, left: Ints, u: Floats, v: Floats, at: Ints, asylum: Bools
    ) -> Ints:
        """Day in care on which a care order is made (0: at the start), `NEVER` for none."""
        own = self.choices["care"]
        moved = (route == VOLUNTARY) & ~asylum & (u < np.array(own["voluntary_to_order"])[at])
        taken = (route == POLICE) & (category(u, own["emergency_after"]) == 2)
        order = np.select(
            [(route == INTERIM) | (route == FULL), moved, taken, route == EMERGENCY],
            [0, 14 + _spread(v, 0, 270), 1 + _spread(v, 0, 3), 5 + _spread(v, 0, 4)],
            NEVER,
        )
        return np.where(order + 25 < left, order, NEVER)

    def _kinship(
        self, band: Ints, begun: Ints, order: Ints, u: Floats, v: Floats, asylum: Bools
    ) -> tuple[Small, Small]:
        """Which family arrangement the first year brings, with and without the effect."""
        own, ordered = self.choices["kinship"], happened(order)
        at = np.clip(self.calendar.year(begun.astype(np.int32)) - YEARS[0], 0, len(YEARS) - 1)
        chance = np.where(ordered, self.rates.kinship[at] + _KIN_BY_AGE[band], own["voluntary_kin"])
        chance = chance + np.where(ordered, self.effects.drifted("kinship", begun), 0.0)
        chance = np.where(asylum, 0.02, chance)
        effect = np.where(ordered, self.effects.on("kinship", begun.astype(np.int32)), 0.0)
        kind = np.where(ordered, WITH_KIN + category(v, own["types"]), WITH_KIN)
        before = np.where(u < chance, kind, NO_KIN)
        after = self._turn(before, kind, effect, begun, at)
        # A stay that lasts longer than a year cannot have ended with the family within it.
        gained = (before == NO_KIN) & (after == LEFT_TO_FAMILY)
        after = np.where(gained, WITH_PARENTS, after)
        return after.astype(np.int8), before.astype(np.int8)

    def _turn(self, before: Ints, kind: Ints, effect: Floats, begun: Ints, at: Ints) -> Ints:
        """Turn as many family arrangements, in order of date, as the planted effect says.

        Counting what is owed, year by year, rather than drawing lots keeps the effect among the
        few hundred events it concerns close to the size planted.
        """
        after = before.copy()
        concerned = np.flatnonzero(effect)
        year = np.where(begun > self.effects.end, at, len(YEARS))  # the last: phasing in
        for i in concerned[np.lexsort((begun[concerned], year[concerned]))]:
            self._owed[year[i]] += effect[i]
            if self._owed[year[i]] <= -1 and before[i] != NO_KIN:
                after[i] = NO_KIN
                self._owed[year[i]] += 1
            elif self._owed[year[i]] >= 1 and before[i] == NO_KIN:
                after[i] = kind[i]
                self._owed[year[i]] -= 1
        return after

    def _length(
        self,
        route: Ints,
        order: Ints,
        kin: Small,
        left: Ints,
        age: Ints,
        u: Floats,
        at: Ints,
        asylum: Bools,
    ) -> Ints:
        """Days in care, never past the 18th birthday; lengths in `ADOPTION` end in adoption."""
        own, v = self.choices["care"], self.rng.random(len(route))
        least = np.where(happened(order), order, 0) + 15
        short = _spread(v, np.maximum(least, 60), 360 - np.maximum(least, 60))
        brief = own["order_short_share"]
        mean = np.select(
            [kin == WITH_KIN, kin == WITH_PARENTS],
            [own["kin_mean_days"], own["parents_mean_days"]],
            own["order_mean_days"],
        )
        ordered = np.where(u < brief, short, np.floor(370 - mean * np.log1p(-v)))
        ordered = np.where(kin == LEFT_TO_FAMILY, _spread(v, least, 360 - least), ordered)
        low, high = ADOPTION
        young = (age < 1826) & (kin == NO_KIN) & (u >= brief)
        adopted = young & (u < brief + (1 - brief) * np.array(own["adopted_share"])[at])
        clash = young & ~adopted & (ordered >= low) & (ordered <= high)
        ordered = np.where(clash, ordered + high - low + 1, ordered)
        ordered = np.where(adopted, _spread(v, low, high - low), ordered)
        days, weeks, months, _ = np.cumsum(own["voluntary_shares"])
        plain = np.select(
            [u < days, u < weeks, u < months],
            [_spread(v, 1, 29), _spread(v, 30, 150), _spread(v, 180, 185)],
            np.floor(366 - own["voluntary_mean_days"] * np.log1p(-v)),
        )
        plain = (plain * np.array(own["stay_factor"])[at]).astype(np.int64)
        length = np.where(happened(order), ordered, plain)
        ends, voluntary, _ = own["emergency_after"]
        released = (route == POLICE) & ~happened(order) & (u < ends / (ends + voluntary))
        breaks = np.where(u < 0.4, _spread(v, 2, 4), _spread(v, 60, 500))
        length = np.select(
            [released, route == JUSTICE, route == BREAKS],
            [_spread(v, 1, 3), _spread(v, 7, 120), breaks],
            length,
        )
        length = np.where(asylum, left, length)  # they stay until they are grown up
        return np.minimum(np.maximum(length, 1), left - 1).astype(np.int64)

    def _escalate(self, row: dict[str, Any], referral: Days, adult: Ints, shift: Floats) -> None:
        """Escalation on re-referral: drift first, then the effect; both potential outcomes."""
        for side, change in zip(("before", "after"), shift, strict=True):
            self._turn_escalation(row, referral, adult, change)
            if side == "before":
                row["icpc_before"] = (
                    row["icpc_after"].copy() if change.any() else row["icpc_before"]
                )
            near = np.minimum(row["plan"], row["care"]) <= referral + 180
            row[f"escalated_{side}"] = near.astype(np.int8)

    def _turn_escalation(
        self, row: dict[str, Any], referral: Days, adult: Ints, shift: Floats
    ) -> None:
        """Add or take away plans and care soon after a re-referral, as many as `shift` says."""
        if not shift.any():
            return
        near = np.minimum(row["plan"], row["care"]) <= referral + 180
        u, rate = self.rng.random(len(near)), near[shift != 0].mean()
        lost = near & (u < -shift / max(rate, 1e-9))
        for name in ("conference", "plan", "plan_end", "plan_again", "plan_again_end"):
            row[name][lost] = NEVER
        for name in ("care", "care_end", "order"):
            row[name][lost] = NEVER
        for name in ("route", "kin", "kin_before"):
            row[name][lost] = -1
        row["icpc_after"][lost] = 0
        gained = ~near & (u < shift / max(1 - rate, 1e-9)) & ~happened(row["plan"])
        gained &= ~happened(row["care"]) & (adult > referral + 60)
        row["section47"][gained] = referral[gained]
        row["conference"][gained] = row["plan"][gained] = referral[gained] + 14
        row["plan_end"][gained] = referral[gained] + 54
        row["icpc_after"][gained] = 1

    def _closure(
        self, row: dict[str, Any], child: Ints, referral: Days, adult: Ints, assessed_end: Days
    ) -> Ints:
        """Closure: after everything else has ended, by adulthood where that allows it."""
        own, rng, n = self.choices["case_length"], self.rng, len(child)
        edges = np.array([own["shortest_days"], *own["upper_days"]], dtype=np.float64)
        kind, v = pick(rng, own["plain_shares"], n), rng.random(n)
        low, high = edges[kind], np.append(edges, edges[-1])[kind + 1]
        longest = kind == len(edges) - 1
        days = low + np.where(longest, -own["long_mean_days"] * np.log1p(-v), v * (high - low))
        factor = self.choices["disability"]["duration_factor"]
        days = np.where(self.children.disabled[child], factor * days, days)
        closed = referral + days.astype(np.int64)
        for name, spare in (("plan_end", 150), ("plan_again_end", 150), ("care_end", 45)):
            until = row[name] + _spread(rng.random(n), 0, spare)
            closed = np.where(happened(row[name]), np.maximum(closed, until), closed)
        met = latest(row["section47"], row["conference"]) + 7
        written = latest(assessed_end) + _spread(rng.random(n), 0, 10)
        closed = np.minimum(np.maximum(np.maximum(closed, met), written), adult + 20)
        ends = (row["plan_end"], row["plan_again_end"], row["care_end"], assessed_end)
        return np.maximum(closed, latest(*ends, row["section47"], row["conference"]))


def _spread(u: Floats, low: Any, width: Any) -> Ints:
    """Whole days from `low` to below `low + width`."""
    return np.asarray(low + np.floor(u * width)).astype(np.int64)
