"""The life of made-up cases: children, their referrals, and what follows from each.

A child is referred; the referral ends in no further action, in an assessment that finds no need,
or in a child in need case with, for some, a section 47 enquiry, a conference, a plan, a period of
care. After the case has closed the same child may be referred again: re-referrals are chains, not
labels. Every authority's cases are drawn in a few array operations a generation.

Planted effects act through potential outcomes that share one random number (``u < p`` against
``u < p + effect``): only pilots differ, only from the start of embedding on, growing linearly up to
its end; everything drawn from other numbers stays the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_analysis.records.synthetic_days import NEVER, Days, calendar, day_number, year_end
from sos_analysis.records.synthetic_rates import YEARS, Floats, Plan, Rates

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

START = day_number(date(YEARS[0] - 1, 4, 1))
END = year_end(YEARS[-1])
ADULT = 6574  # days to the 18th birthday
NFA, NOT_IN_NEED, NEED = 0, 1, 2
# How a child came into care, and what the year brought (the original's outcome and its parts).
VOLUNTARY, INTERIM, POLICE, FULL, EMERGENCY, JUSTICE, BREAKS = range(7)
# Length of care in days, under an order, of children under 5 who are adopted.
ADOPTION = (480, 1000)
NO_KIN, WITH_KIN, WITH_PARENTS, LEFT_TO_FAMILY = range(4)


@dataclass(frozen=True)
class Effects:
    """Planted effects in one authority: sizes by outcome and when they act."""

    sizes: Mapping[str, float] = field(default_factory=dict)
    start: int = NEVER
    end: int = NEVER

    def on(self, outcome: str, day: Days) -> Floats:
        """Effect on each event, 0 before `start`, in full after `end`."""
        size = self.sizes.get(outcome, 0.0)
        if not size or self.start >= NEVER:
            return np.zeros(len(day))
        return size * np.clip((day - self.start) / max(self.end - self.start, 1), 0.0, 1.0)


@dataclass(frozen=True)
class Children:
    """Fixed facts of each child, arrays of one length; the index is the child's number."""

    born: Days
    male: Bools
    sex_recorded: Bools
    ethnicity: npt.NDArray[np.int8]
    disabled: Bools
    ever_fsm: Bools
    early_years: Bools
    asylum: Bools


@dataclass(frozen=True)
class Cases:
    """One row a referral, in order of child and date; days are `NEVER` where nothing happened."""

    child: Ints
    referral: Days
    kind: npt.NDArray[np.int8]
    closed: Days
    assessed: Days
    assessed_end: Days
    again: Days
    again_end: Days
    section47: Days
    section47_again: Days
    conference: Days
    plan: Days
    plan_end: Days
    plan_again: Days
    plan_again_end: Days
    care: Days
    care_end: Days
    route: npt.NDArray[np.int8]
    order: npt.NDArray[np.int32]
    kin: npt.NDArray[np.int8]
    kin_before: npt.NDArray[np.int8]  # without the planted effect
    # Potential outcomes: working days; then 0/1, -1 where the outcome does not apply.
    days_before: npt.NDArray[np.int32]
    days_after: npt.NDArray[np.int32]
    returned_before: npt.NDArray[np.int8]
    returned_after: npt.NDArray[np.int8]
    escalated_before: npt.NDArray[np.int8]
    escalated_after: npt.NDArray[np.int8]
    icpc_before: npt.NDArray[np.int8]
    icpc_after: npt.NDArray[np.int8]


_SMALL = {"kind", "route", "kin", "kin_before"}
_SMALL |= {f"{o}_{s}" for o in ("returned", "escalated", "icpc") for s in ("before", "after")}


def simulate(
    plan: Plan,
    position: int,
    arrivals: Floats,
    effects: Effects,
    rng: np.random.Generator,
) -> tuple[Children, Cases]:
    """All children and referrals of one authority.

    Parameters
    ----------
    plan, position : the authority's rates.
    arrivals : shape (days,), expected new children on each day from `START` to `END`.
    effects : planted effects.
    rng : this authority's own stream.
    """
    per_day = rng.poisson(arrivals)
    first = np.repeat(np.arange(len(arrivals), dtype=np.int32) + START, per_day)
    children = _children(plan.choices, first, rng)
    step = _Step(plan.rates(position), plan.choices, children, effects, rng)
    child = np.arange(len(first), dtype=np.int64)
    referral = first
    pushed: Floats | None = None
    found: list[dict[str, Any]] = []
    while len(child):
        rows, follow, pushed = step.referrals(child, referral, pushed)
        found.append(rows)
        keep = follow < NEVER
        child, referral = child[keep], follow[keep]
        pushed = pushed[keep]
    return children, _gather(found)


def _gather(found: list[dict[str, Any]]) -> Cases:
    joined = {
        f.name: np.concatenate([rows[f.name] for rows in found])
        if found
        else np.empty(0, dtype=np.int64)
        for f in fields(Cases)
    }
    order = np.lexsort((joined["referral"], joined["child"]))
    return Cases(**{name: values[order] for name, values in joined.items()})


def _pick(rng: np.random.Generator, shares: list[float], n: int) -> Ints:
    """Category numbers drawn with these shares."""
    edges = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.minimum(np.searchsorted(edges / edges[-1], rng.random(n), "right"), len(shares) - 1)


def _children(choices: Mapping[str, Any], first: Days, rng: np.random.Generator) -> Children:
    n = len(first)
    age = choices["age"]
    bands = np.array([[-0.55, 0.0], *age["bands_years"]]) * 365.25
    band = _pick(rng, [age["unborn"], *age["shares"]], n)
    days_old = bands[band, 0] + rng.random(n) * (bands[band, 1] - bands[band, 0])
    asylum = rng.random(n) < choices["asylum"]["share_of_new_children"]
    days_old = np.where(asylum, 365.25 * (15 + 2.9 * np.sqrt(rng.random(n))), days_old)
    ethnic = choices["ethnicity"]
    shares = np.array(ethnic["shares"], dtype=np.float64)
    white = np.array([code.startswith("W") for code in ethnic["codes"]])
    tilt = np.exp(ethnic["white_between"] * rng.standard_normal())
    shares = np.where(white, shares * tilt, shares)
    groups = _pick(rng, (shares / shares.sum()).tolist(), n)
    other = ethnic["codes"].index("OOTH")
    groups = np.where(asylum & (rng.random(n) < 0.6), other, groups)
    poor = choices["low_income"]
    log_odds = np.log(poor["ever_fsm"] / (1 - poor["ever_fsm"]))
    level = 1 / (1 + np.exp(-(log_odds + poor["between"] * rng.standard_normal())))
    ever = rng.random(n) < level
    return Children(
        born=(first - days_old).astype(np.int32),
        male=rng.random(n) < np.where(asylum, 0.9, choices["sex"]["male"]),
        sex_recorded=rng.random(n) >= choices["sex"]["not_recorded"],
        ethnicity=groups.astype(np.int8),
        disabled=(rng.random(n) < choices["disability"]["share"]) & ~asylum,
        ever_fsm=ever & ~asylum,
        early_years=ever & (rng.random(n) < poor["early_years"] / poor["ever_fsm"]),
        asylum=asylum,
    )


class _Step:
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
        self.effects, self.rng = effects, rng
        self.calendar = calendar()
        self.core_until = day_number(choices["assessment"]["core_until"])

    def referrals(
        self, child: Ints, referral: Days, pushed: Floats | None
    ) -> tuple[dict[str, Any], Days, Floats]:
        """Rows of this generation, day of each child's next referral, effect carried over to it.

        `pushed` is the planted effect on escalation that a referral inherits from the case closed
        before it; None for children never referred before.
        """
        n = len(child)
        at = self._year(referral)
        c, rng = self.children, self.rng
        age = referral - c.born[child]
        band = np.searchsorted([365, 1826, 3652, 5844], age, "right")
        adult = c.born[child] + ADULT
        out: dict[str, Any] = {
            f.name: np.full(n, -1, dtype=np.int8)
            if f.name in _SMALL
            else np.full(n, NEVER, dtype=np.int32)
            for f in fields(Cases)
        }
        out["child"], out["referral"] = child, referral
        out["days_before"], out["days_after"] = (np.full(n, -1, dtype=np.int32) for _ in range(2))
        kind = self._kind(at, band, referral, c.asylum[child])
        out["kind"] = kind
        self._assess(out, kind, at, referral)
        closed = out["closed"]
        nfa = np.flatnonzero(kind == NFA)
        # Half of these cases carry a closure date, the day of the decision.
        stated = nfa[rng.random(len(nfa)) < 0.5]
        wait = (rng.random(len(stated)) ** 3 * 6).astype(np.int32)
        same_year = self.calendar.year(referral[stated] + wait) == YEARS[0] + at[stated]
        closed[stated] = referral[stated] + wait * same_year
        none = np.flatnonzero(kind == NOT_IN_NEED)
        ended = out["assessed_end"][none]
        early = referral[none] + 7 + (rng.random(len(none)) * 18).astype(np.int32)
        after = (rng.random(len(none)) ** 2 * 10).astype(np.int32)
        closed[none] = np.where(ended < NEVER, ended + after, early)
        need = np.flatnonzero(kind == NEED)
        self._need(out, need, at[need], band[need], adult[need], pushed)
        self._enquire_without_need(out, none)
        self._assess_again(out, need)
        follow, inherited = self._return(out, child, adult)
        return out, follow, inherited

    def _year(self, day: Days) -> Ints:
        return np.clip(self.calendar.year(day) - YEARS[0], 0, len(YEARS) - 1)

    def _kind(self, at: Ints, band: Ints, referral: Days, asylum: Bools) -> npt.NDArray[np.int8]:
        u = self.rng.random(len(at))
        tilt = np.array([0.85, 0.98, 1.03, 1.05, 0.98])[band]
        nfa = self.rates.nfa[at] * tilt
        none = self.rates.not_in_need[at]
        shift = self.effects.on("nfa_share", referral)
        nfa = np.clip(nfa + shift * nfa / (nfa + none), 0, 1)
        none = np.clip(none + shift * none / (nfa + none), 0, 1 - nfa)
        kind = np.where(u < nfa, NFA, np.where(u < nfa + none, NOT_IN_NEED, NEED))
        return np.where(asylum, NEED, kind).astype(np.int8)

    def _durations(self, at: Ints, core: Bools) -> Ints:
        """Working days an assessment takes: piled up under the limit, with a long tail."""
        a, rng, n = self.choices["assessment"], self.rng, len(at)
        u = rng.random((5, n))
        timely = u[0] < self.rates.within45[at]
        limit = np.where(core, a["core_limit_days"], a["limit_days"])
        # Larger of two draws from each shape would need more numbers; a power does as well.
        piled = limit - np.floor(a["spike_width"] * u[2] ** 1.7)
        first, second = a["short_shape"]
        short = 1 + np.floor((limit - 1) * rng.beta(first, second, n))
        late = limit + 1 + np.floor(-a["late_mean"] * np.log1p(-u[3]))
        late += np.where(
            u[4] < a["very_late_share"], np.floor(-a["very_late_mean"] * np.log1p(-u[2])), 0
        )
        early = np.where(u[1] < a["spike_share"], piled, short)
        return np.where(timely, early, late).astype(np.int64)

    def _assess(self, out: dict[str, Any], kind: Ints, at: Ints, referral: Days) -> None:
        a, rng = self.choices["assessment"], self.rng
        rows = np.flatnonzero(kind != NFA)
        n = len(rows)
        wait = (rng.random(n) ** 4 * 5).astype(np.int32)
        begun = self.calendar.on_or_after(referral[rows] + wait)
        core = begun <= self.core_until
        need = kind[rows] == NEED
        held = np.where(
            core,
            np.where(need, a["core_share_in_need"], a["core_share_not_in_need"]),
            1.0 - a["missing_share"],
        )
        took = self._durations(at[rows], core)
        shift = self.effects.on("duration", begun)
        moved = np.floor(shift + rng.random(n)).astype(np.int64)
        after = np.maximum(took + moved, 0)
        ended = self.calendar.add(begun, after)
        kept = rng.random(n) < held
        hold = rows[kept]
        out["assessed"][hold] = begun[kept]
        out["assessed_end"][hold] = ended[kept]
        out["days_before"][hold] = took[kept]
        out["days_after"][hold] = after[kept]

    def _need(
        self,
        out: dict[str, Any],
        rows: Ints,
        at: Ints,
        band: Ints,
        adult: Days,
        pushed: Floats | None,
    ) -> None:
        """Enquiry, conference, plan, care and closure of the child in need cases at `rows`."""
        rng, n = self.rng, len(rows)
        referral = out["referral"][rows]
        last = adult - 1
        conference, section47 = self._conferences(out, rows, at, band, last, pushed is not None)
        plan, plan_end = np.full(n, NEVER), np.full(n, NEVER)
        met = np.flatnonzero(conference < NEVER)
        starts = met[rng.random(len(met)) < self.rates.plan[at[met]]]
        plan[starts] = conference[starts]
        shape = self.choices["plan"]["shape"]
        length = rng.gamma(shape, self.choices["plan"]["mean_days"] / shape, len(starts))
        plan_end[starts] = np.minimum(plan[starts] + 10 + length.astype(np.int64), last[starts])
        again, again_end = np.full(n, NEVER), np.full(n, NEVER)
        second = starts[rng.random(len(starts)) < self.choices["plan"]["second_in_case"]]
        begin = plan_end[second] + 60 + (rng.random(len(second)) * 340).astype(np.int64)
        finish = begin + 30 + (rng.random(len(second)) * 500).astype(np.int64)
        fits = finish < last[second]
        again[second[fits]], again_end[second[fits]] = begin[fits], finish[fits]

        care, care_end = self._care(out, rows, at, band, adult, conference, again, pushed)
        if pushed is not None:
            self._escalate(out, rows, pushed, referral, section47, conference, plan, plan_end, care)
            care_end = np.where(care < NEVER, care_end, NEVER)
        # A plan ends, as a rule, soon after care begins.
        cut = (care < NEVER) & (plan < care) & (plan_end > care)
        shorter = np.minimum(plan_end, care + (rng.random(n) * 60).astype(np.int64))
        plan_end = np.where(cut, np.minimum(shorter, last), plan_end)

        closed = self._closure(out, rows, referral)
        for day, spare in ((plan_end, 150.0), (again_end, 150.0), (care_end, 45.0)):
            happened = day < NEVER
            until = day + (rng.random(n) * spare).astype(np.int64)
            closed = np.where(happened, np.maximum(closed, until), closed)
        for day in (section47, conference):
            closed = np.where(day < NEVER, np.maximum(closed, day + 7), closed)
        floor = np.maximum(
            np.where(plan_end < NEVER, plan_end, 0),
            np.maximum(
                np.where(again_end < NEVER, again_end, 0), np.where(care_end < NEVER, care_end, 0)
            ),
        )
        floor = np.maximum(floor, np.where(conference < NEVER, conference, 0))
        floor = np.maximum(floor, np.where(section47 < NEVER, section47, 0))
        done = out["assessed_end"][rows]
        floor = np.maximum(floor, np.where(done < NEVER, done, 0))
        closed = np.maximum(np.minimum(closed, adult + 20), floor)
        twice = self._second_section47(section47, conference, closed)
        for name, values in (
            ("closed", closed),
            ("section47", section47),
            ("section47_again", twice),
            ("conference", conference),
            ("plan", plan),
            ("plan_end", plan_end),
            ("plan_again", again),
            ("plan_again_end", again_end),
            ("care", care),
            ("care_end", care_end),
        ):
            out[name][rows] = values

    def _conferences(
        self, out: dict[str, Any], rows: Ints, at: Ints, band: Ints, last: Days, back: bool
    ) -> tuple[Ints, Ints]:
        """Days of conference and of the first section 47 enquiry of child in need cases."""
        rng, n, referral = self.rng, len(rows), out["referral"][rows]
        share = self.choices["conference"]
        u = rng.random((5, n))
        chance = self.rates.icpc[at] * np.array(share["age_factor"])[band]
        if back:
            chance = chance * self.rates.escalation[at]
        chance = np.minimum(chance, 0.8)
        soon, later, late = share["delay_shares"]
        # Only conferences within 90 days carry the planted effect.
        shift = self.effects.on("icpc", referral)
        early = np.clip((soon + later) * chance + shift, 0, 0.95)
        kept = u[0] < early
        far = ~kept & (u[4] < late * chance / (1 - (soon + later) * chance))
        out["icpc_before"][rows] = (u[0] < (soon + later) * chance).astype(np.int8)
        out["icpc_after"][rows] = kept.astype(np.int8)
        wait = np.where(
            u[1] * (soon + later) < soon, np.floor(u[2] ** 1.6 * 21), np.floor(21 + u[2] * 30)
        )
        wait = np.where(far, np.floor(91 + u[2] * 310), wait)
        held = kept | far
        enquiry = self.calendar.on_or_after((referral + wait).astype(np.int32)).astype(np.int64)
        band_low = np.array([5, 11, 16, 21])
        width = np.array([6, 5, 5, 15])
        kind = np.searchsorted(np.cumsum(share["days_shares"])[:-1], u[3], "right")
        gap = band_low[kind] + np.floor(rng.random(n) ** 0.7 * width[kind]).astype(np.int64)
        meeting = enquiry + gap
        # Conferences keep off weekends.
        weekday = (meeting + 3) % 7
        meeting = meeting + np.select([weekday == 5, weekday == 6], [-1, 1], 0)
        held &= meeting < last
        conference = np.where(held, meeting, NEVER)
        plain = ~held & (rng.random(n) < self.rates.section47[at])
        section47 = np.where(held | plain, enquiry, NEVER)
        # Enquiries that lead nowhere are made early.
        soon_day = self.calendar.on_or_after(
            (referral + np.floor(u[2] ** 1.6 * 45)).astype(np.int32)
        ).astype(np.int64)
        section47 = np.where(plain & ~held, soon_day, section47)
        return conference, np.where(section47 <= last, section47, NEVER)

    def _care(
        self,
        out: dict[str, Any],
        rows: Ints,
        at: Ints,
        band: Ints,
        adult: Days,
        conference: Ints,
        plan_again: Ints,
        pushed: Floats | None,
    ) -> tuple[Ints, Ints]:
        """Start and end of a period of care for the few it happens to; fills the care columns."""
        rng, n, referral = self.rng, len(rows), out["referral"][rows]
        own = self.choices["care"]
        met = conference < NEVER
        share_met = np.clip(self.rates.icpc[at], 0, 0.8)
        factor = own["conference_factor"]
        plain = np.clip((1 - factor * share_met) / (1 - share_met), 0.2, 1)
        chance = self.rates.care[at] * np.where(met, factor, plain)
        chance = chance * np.array(own["age_factor"])[band]
        if pushed is not None:
            chance = chance * self.rates.escalation[at]
        asylum = self.children.asylum[out["child"][rows]]
        into = (rng.random(n) < chance) | asylum
        disabled = self.children.disabled[out["child"][rows]]
        short = (
            ~into & disabled & (rng.random(n) < own["short_break_share"] * self.rates.care[at] * 6)
        )
        picked = np.flatnonzero(into | short)
        m = len(picked)
        u = rng.random((8, m))
        soon, later, _ = own["delay_shares"]
        wait = np.where(
            u[0] < soon,
            np.floor(u[1] ** 2 * 31),
            np.where(u[0] < soon + later, 31 + np.floor(u[1] * 150), 181 + np.floor(u[1] * 520)),
        ).astype(np.int64)
        wait = np.where(asylum[picked], 0, wait)
        begun = referral[picked] + wait
        # Unborn children come into care at birth or after.
        begun = np.maximum(begun, self.children.born[out["child"][rows[picked]]] + 1)
        left = adult[picked] - begun
        keep = left > 3
        picked, u, begun, left = picked[keep], u[:, keep], begun[keep], left[keep]
        m = len(picked)
        years = self._year(begun.astype(np.int32))
        child = out["child"][rows[picked]]
        route = np.searchsorted(np.cumsum(own["legal_shares"])[:-1], u[2], "right")
        # Codes in the order of the file; map them to routes.
        route = np.array([VOLUNTARY, INTERIM, POLICE, FULL, EMERGENCY, JUSTICE])[route]
        young = self.children.born[child] + 3652 > begun
        route = np.where((route == JUSTICE) & young, VOLUNTARY, route)
        route = np.where(self.children.asylum[child], VOLUNTARY, route)
        route = np.where(short[picked], BREAKS, route)
        order = self._orders(route, left, u[3], u[4], self.children.asylum[child])
        kin, before = self._kinship(years, band[picked], begun, order, u[5], u[6], child)
        length = self._length(route, order, kin, left, begun - self.children.born[child], u[7])
        end = begun + length
        full = rows[picked]
        out["route"][full], out["order"][full] = route, order
        out["kin"][full], out["kin_before"][full] = kin, before
        care, care_end = np.full(n, NEVER), np.full(n, NEVER)
        care[picked], care_end[picked] = begun, end
        return care, care_end

    def _orders(
        self, route: Ints, left: Ints, u: Floats, v: Floats, asylum: Bools
    ) -> npt.NDArray[np.int32]:
        """Day in care on which a care order is made (0 at the start), `NEVER` for none."""
        own = self.choices["care"]
        moved = (route == VOLUNTARY) & ~asylum & (u < own["voluntary_to_order"])
        ends, voluntary, _ = own["emergency_after"]
        taken = (route == POLICE) & (u >= ends + voluntary)
        order = np.full(len(route), NEVER)
        order = np.where((route == INTERIM) | (route == FULL), 0, order)
        order = np.where(moved, 14 + np.floor(v * 270), order)
        order = np.where(taken, 1 + np.floor(v * 3), order)
        order = np.where(route == EMERGENCY, 5 + np.floor(v * 4), order)
        return np.where(order + 25 < left, order, NEVER).astype(np.int32)

    def _kinship(
        self, at: Ints, band: Ints, begun: Ints, order: Ints, u: Floats, v: Floats, child: Ints
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
        """Which family arrangement, if any, the first year brings: with and without the effect."""
        own = self.choices["kinship"]
        under_order = order < NEVER
        chance = self.rates.kinship[at] + np.array([0.03, 0.03, 0.01, -0.03, -0.06])[band]
        effect = self.effects.on("kinship", begun.astype(np.int32))
        chance = np.where(under_order, chance, own["voluntary_kin"])
        chance = np.where(self.children.asylum[child], 0.02, chance)
        effect = np.where(under_order, effect, 0.0)
        types = np.searchsorted(np.cumsum(own["types"])[:-1], v, "right") + WITH_KIN
        types = np.where(under_order, types, WITH_KIN)
        before = np.where(u < chance, types, NO_KIN)
        after = np.where(u < np.clip(chance + effect, 0, 1), types, NO_KIN)
        return after.astype(np.int8), before.astype(np.int8)

    def _length(
        self, route: Ints, order: Ints, kin: Ints, left: Ints, age: Ints, u: Floats
    ) -> Ints:
        """Days in care, never past the 18th birthday; `ADOPTION` days mark a way to adoption."""
        rng, n = self.rng, len(route)
        v = rng.random(n)
        least = np.where(order < NEVER, order, 0)
        ordered = np.where(
            u < 0.10,
            np.floor(np.maximum(least + 15, 60) + v * (360 - np.maximum(least + 15, 60))),
            np.floor(370 - np.where(kin == WITH_KIN, 700, 1900) * np.log1p(-v)),
        )
        first, last = ADOPTION
        adopted = (u >= 0.10) & (u < 0.10 + 0.9 * self.choices["care"]["adopted_share"])
        adopted &= (age < 1826) & (kin == NO_KIN)
        # The others of long stay keep clear of these lengths, which episodes read as adoption.
        young = (age < 1826) & (kin == NO_KIN) & ~adopted & (ordered >= first) & (ordered <= last)
        ordered = np.where(young, ordered + last - first + 1, ordered)
        ordered = np.where(adopted, first + np.floor(v * (last - first)), ordered)
        leaving = np.floor(least + 15 + v * (360 - (least + 15)))
        ordered = np.where(kin == LEFT_TO_FAMILY, leaving, ordered)
        plain = np.select(
            [u < 0.30, u < 0.60, u < 0.75],
            [1 + np.floor(v * 29), 30 + np.floor(v * 150), 180 + np.floor(v * 185)],
            366 - np.floor(800 * np.log1p(-v)),
        )
        length = np.where(order < NEVER, ordered, plain)
        ends, voluntary, _ = self.choices["care"]["emergency_after"]
        released = (route == POLICE) & (order >= NEVER) & (u < ends / (ends + voluntary))
        length = np.where(released, 1 + np.floor(v * 3), length)
        length = np.where(route == JUSTICE, 7 + np.floor(v * 120), length)
        length = np.where(route == BREAKS, np.where(u < 0.4, 2 + v * 4, 60 + v * 500), length)
        return np.minimum(np.maximum(length, 1), left - 1).astype(np.int64)

    def _escalate(
        self,
        out: dict[str, Any],
        rows: Ints,
        pushed: Floats,
        referral: Days,
        section47: Ints,
        conference: Ints,
        plan: Ints,
        plan_end: Ints,
        care: Ints,
    ) -> None:
        """Potential outcomes of escalation, and the planted effect on it, in place."""
        near = np.minimum(plan, care) <= referral + 180
        shift = pushed[rows]
        out["escalated_before"][rows] = near
        if shift.any():
            u = self.rng.random(len(rows))
            rate = near.mean() if len(near) else 0.0
            lost = near & (u < -shift / max(rate, 1e-9))
            for days in (plan, plan_end, care, conference):
                days[lost] = NEVER
            for name, value in (("route", -1), ("kin", -1), ("kin_before", -1), ("order", NEVER)):
                out[name][rows[lost]] = value
            gained = ~near & (u < shift / max(1 - rate, 1e-9)) & (care >= NEVER)
            gained &= self.children.born[out["child"][rows]] + ADULT > referral + 60
            section47[gained] = referral[gained]
            conference[gained] = referral[gained] + 14
            plan[gained] = conference[gained]
            plan_end[gained] = plan[gained] + 40
        out["escalated_after"][rows] = np.minimum(plan, care) <= referral + 180

    def _closure(self, out: dict[str, Any], rows: Ints, referral: Days) -> Ints:
        """Closure before plans and care lengthen the case."""
        own, rng, n = self.choices["case_length"], self.rng, len(rows)
        edges = np.array([20, *own["upper_days"]], dtype=np.float64)
        kind = _pick(rng, own["plain_shares"], n)
        v = rng.random(n)
        low = edges[kind]
        high = np.append(edges, edges[-1])[kind + 1]
        length = np.where(
            kind == len(edges) - 1,
            low - own["long_mean_days"] * np.log1p(-v),
            low + v * (high - low),
        )
        disabled = self.children.disabled[out["child"][rows]]
        length = np.where(disabled, length * self.choices["disability"]["duration_factor"], length)
        closed = referral + length.astype(np.int64)
        done = out["assessed_end"][rows]
        return np.where(
            done < NEVER, np.maximum(closed, done + (rng.random(n) * 10).astype(np.int64)), closed
        )

    def _second_section47(self, first: Ints, conference: Ints, closed: Ints) -> Ints:
        rng, n = self.rng, len(first)
        clear = np.where(conference < NEVER, conference, first) + 40
        room = closed - 7 - clear
        again = clear + (rng.random(n) * np.clip(room, 0, 500)).astype(np.int64)
        chance = 1.4 * self.choices["conference"]["second_section47"]  # only where there is room
        kept = (first < NEVER) & (room > 0) & (rng.random(n) < chance)
        return np.where(kept, again, NEVER)

    def _enquire_without_need(self, out: dict[str, Any], rows: Ints) -> None:
        """Some cases found not in need had a section 47 enquiry without a conference."""
        rng, n = self.rng, len(rows)
        day = self.calendar.on_or_after(
            out["referral"][rows] + (rng.random(n) ** 2 * 15).astype(np.int32)
        )
        kept = rng.random(n) < self.choices["conference"]["not_in_need_section47"]
        kept &= day <= out["closed"][rows]
        out["section47"][rows] = np.where(kept, day, NEVER)

    def _assess_again(self, out: dict[str, Any], rows: Ints) -> None:
        """Some long cases are assessed again, after the first assessment has ended."""
        rng = self.rng
        rows = rows[out["assessed_end"][rows] < NEVER]
        rows = rows[rng.random(len(rows)) < 2.2 * self.choices["assessment"]["second_share"]]
        n = len(rows)
        day = out["assessed_end"][rows] + 45 + (rng.random(n) * 300).astype(np.int32)
        day = self.calendar.on_or_after(day)
        took = self._durations(self._year(day), day <= self.core_until)
        ended = self.calendar.add(day, took)
        fits = ended <= out["closed"][rows]
        out["again"][rows[fits]] = day[fits]
        out["again_end"][rows[fits]] = ended[fits]

    def _return(self, out: dict[str, Any], child: Ints, adult: Days) -> tuple[Days, Floats]:
        """Day of each child's next referral (`NEVER`: none in the data) and what it inherits."""
        own, rng, n = self.choices["rereferral"], self.rng, len(child)
        kind, closed, referral = out["kind"], out["closed"], out["referral"]
        base = np.where((kind == NFA) & (closed >= NEVER), referral, closed)
        at = self._year(base)
        mean = float(own["half_life_days"])
        whole = 1 - np.exp(-365 / mean)
        half = (1 - np.exp(-183 / mean)) / whole
        year = np.where(kind == NEED, own["need_year"], own["nfa_year"]) * self.rates.rereferral[at]
        year = np.minimum(year, 0.75)
        u, v = rng.random((2, n))
        closed_off = kind != NEED
        shift = np.where(closed_off, self.effects.on("rereferral", base), 0.0)
        shift = shift + self.effects.on("rereferral_all", base)
        soon = np.clip(year * half + shift, 0, 0.95)
        gap = np.select(
            [
                u < soon,
                u < np.maximum(year, soon),
                u < np.maximum(year, soon) + own["later"] * (1 - year),
            ],
            [
                np.ceil(-mean * np.log1p(-v * half * whole)),
                np.ceil(-mean * np.log1p(-whole * (half + v * (1 - half)))),
                365 - own["later_mean_days"] * np.log1p(-v),
            ],
            NEVER,
        )
        gap = np.maximum(gap, 1).astype(np.int64)
        follow = base + gap
        # Few referrals arrive on days off: most wait for the next working day.
        shifted = self.calendar.on_or_after(np.minimum(follow, END + 400).astype(np.int32))
        waits = (rng.random(n) < own["same_day_weekend_shift"]) & (follow < NEVER // 2)
        waits &= (gap > 183) | (shifted - base <= 183)
        follow = np.where(waits, np.maximum(shifted, follow), follow)
        ok = (follow <= END) & (follow < adult) & ~self.children.asylum[child]
        follow = np.where(ok, follow, NEVER).astype(np.int32)
        out["returned_before"] = np.where(closed_off, u < year * half, -1).astype(np.int8)
        out["returned_after"] = np.where(closed_off, u < soon, -1).astype(np.int8)
        carried = self.effects.on("escalation", base) / np.maximum(soon, 0.02)
        return follow, np.where(closed_off & (u < soon), carried, 0.0)
