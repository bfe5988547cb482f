"""Checks and verdict of each figure of the companion on public statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from sos_analysis import checks as check
from sos_analysis.chapters.public_tables import WAVES
from sos_analysis.checks import CheckResult
from sos_analysis.companion import MAIN, CompanionResult, EventYears
from sos_analysis.evidence import Verdict, verdict
from sos_analysis.formats import number, quantity
from sos_analysis.records.public import PublicOutcome, public_sources

#: Figures on assessments, which a referral closed with no further action never gets.
AFTER_NFA = ("not_in_need", "within_45")


def checks_of(found: CompanionResult, outcome: PublicOutcome, wave: int) -> tuple[CheckResult, ...]:
    """Checks of one figure around one wave, as the rating asks for them."""
    e, events = found.estimate(outcome.id, MAIN, wave), found.events(outcome.id, wave)
    there = e.authority_years / (e.authority_years + e.not_given)
    half = (e.ci[1] - e.ci[0]) / 2
    curve = found.curve(outcome.id, wave)
    return (
        check.design("public"),
        check.few_clusters(e.authorities, e.pilots),
        _pre_trends(events, outcome.unit),
        _power(events, outcome),
        check.agreement(e.p_primary, e.p_secondary, e.primary, e.secondary),
        check.leave_one_out(e.att, e.left_out, outcome.unit, half_width=half),
        check.specification_curve(
            curve.ways, curve.same, curve.told, curve.p, e.p_primary, value=e.att
        ),
        check.completeness(there, "yearly figures of authorities"),
        _denominator(found, outcome, wave),
        # Two thirds of authorities use the approach in some form; which, and from when, is not
        # published.
        check.contamination(None, e.authorities - e.pilots, "other authorities"),
    )


def _power(events: EventYears, outcome: PublicOutcome) -> CheckResult:
    """The steady drift that the test of a trend before would miss half the time, carried on."""
    # At 5 % a normal estimate is told from zero half the time if the truth is 1.96 errors away;
    # the interval is 2 x 1.96 errors long.
    missed = (events.trend_ci[1] - events.trend_ci[0]) / 2
    after = [y.year - events.base for y in events.years if y.year > events.base]
    return check.pre_trend_power(
        missed, sum(after) / len(after), outcome.minimum_important_difference, outcome.unit
    )


def _denominator(found: CompanionResult, outcome: PublicOutcome, wave: int) -> CheckResult:
    """Did the share closed with no further action change otherwise in pilots?"""
    if outcome.short not in AFTER_NFA:
        return CheckResult(
            "denominator_stability",
            "Did the group that is counted stay the same?",
            "info",
            "Children or referrals are counted here whether or not they are closed with no "
            "further action.",
        )
    nfa, post = public_sources().outcome("nfa").id, int(found.designs[f"wave{wave}"]["post_from"])

    def change(role: str) -> float:
        means = [m for m in found.means if (m.outcome, m.wave, m.role) == (nfa, wave, role)]
        late = [m.mean for m in means if m.year >= post]
        early = [m.mean for m in means if m.year < post]
        return fmean(late) - fmean(early)

    return check.denominator_stability(
        change("pilots"), change("others"), "closed with no further action"
    )


def _pre_trends(events: EventYears, unit: str) -> CheckResult:
    """The joint test, and the test of a steady trend, which finds a drift the joint one misses.

    The worse of the two decides. One earlier difference is too little for a pass.
    """
    early = [abs(y.att) for y in events.years if y.year < events.base]
    years = len(events.joint_years)
    joint = check.pre_trends(events.joint_p, years, largest=max(early), unit=unit)
    if years < 2:
        status = "info" if joint.status == "pass" else joint.status
        tail = " With one earlier difference to look at, that says little."
        return replace(joint, status=status, sentence=f"{joint.sentence}{tail}")
    trend = check.pre_trends(events.trend_p, years)
    p = f"p {quantity(events.trend_p, 'p', 3)}" if events.trend_p < 0.001 else (
        f"p = {number(events.trend_p, 3)}"
    )  # fmt: skip
    worse = min((joint, trend), key=lambda c: ("fail", "info", "pass").index(c.status))
    if worse is joint:
        tail = f" A steady drift before adoption: {p}."
    else:
        drifted = "drifted" if worse.status == "fail" else "may have drifted"
        tail = f" But the difference {drifted} steadily before adoption ({p})."
    return replace(
        joint,
        status=worse.status,
        sentence=f"{joint.sentence}{tail}",
        figures={**joint.figures, "trend_p": events.trend_p},
    )


def verdict_of(
    found: CompanionResult, outcome: PublicOutcome, wave: int, checks: Sequence[CheckResult]
) -> Verdict:
    """Class, rating and sentence of one figure around one wave."""
    e = found.estimate(outcome.id, MAIN, wave)
    return verdict(
        value=e.att,
        low=e.ci[0],
        high=e.ci[1],
        mid=outcome.minimum_important_difference,
        p_primary=e.p_primary,
        p_secondary=e.p_secondary,
        outcome=outcome.spoken,
        origin="public",
        checks=checks,
        good=outcome.good,
        subject=f"the {WAVES[wave]} of Signs of Safety pilots",
    )
