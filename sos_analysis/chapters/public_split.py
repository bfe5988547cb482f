"""The second wave by Ofsted rating before it: table, claims and sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sos_analysis.chapters.ledger import Ledger
from sos_analysis.checks import ALPHA
from sos_analysis.companion import CompanionResult, RatedGroup, RatingSplit
from sos_analysis.companion.ratings import ALIKE, ALL, LOWER, UPPER
from sos_analysis.disclosure import NOT_AVAILABLE, Column, SafeTable
from sos_analysis.estimation.heterogeneity import FEWEST
from sos_analysis.estimation.multiplicity import holm

#: Residual degrees of freedom are about a thousand authority-years; the guard asks for some.
DOF = 100
FEW = f"fewer than {FEWEST} pilots"


def groups_table(found: CompanionResult, table: Callable[..., SafeTable]) -> SafeTable:
    """Effects in each group of ratings; a group of fewer than three pilots stands without one."""
    rows: list[dict[str, Any]] = []
    for split in found.splits:
        outcome = found.outcome(split.outcome)
        for name, pilots in ((LOWER, split.pilots_lower), (UPPER, split.pilots_upper)):
            mine = [g for g in split.groups if g.label == name]
            start = {
                "outcome": f"{outcome.short_label}, {outcome.unit}",
                "group": name.capitalize(),
                "pilots": pilots,
            }
            empty = dict.fromkeys(("value", "low", "high", "p", "least", "p3"), NOT_AVAILABLE)
            if not mine:
                rows.append({**start, "against": FEW, "others": NOT_AVAILABLE, **empty})
            rows += [
                {
                    **start,
                    "against": g.comparators,
                    "others": g.others,
                    "value": g.att,
                    "low": g.ci[0],
                    "high": g.ci[1],
                    "p": g.p,
                    "least": g.smallest_p,
                    "p3": g.p_crv3,
                }
                for g in mine
            ]
    return table(
        rows,
        columns={
            "outcome": Column("Figure"),
            "group": Column("Pilots rated"),
            "pilots": Column("Number of pilots"),
            "against": Column("Compared with"),
            "others": Column("Other authorities"),
            "value": Column("Difference", "", 1, signed=True),
            "low": Column("95% from", "", 1, signed=True),
            "high": Column("95% to", "", 1, signed=True),
            "p": Column("p, permutation", "p", 3),
            "least": Column("Smallest p possible", "p", 4),
            "p3": Column("p, CRV3", "p", 3),
        },
        estimates=("value", "low", "high", "p", "least", "p3"),
        category_columns=("pilots", "others"),
        residual_dof=DOF,
        title="Second wave, by Ofsted rating before it",
        caption="Authorities each counted the same. Interval and first p: studentised permutation "
        "of who took part (RI-t), with the least it can give. Second p: cluster jackknife (CRV3), "
        "one degree of freedom fewer than pilots. The bootstrap is not shown for so few pilots.",
    )


def differences_table(found: CompanionResult, table: Callable[..., SafeTable]) -> SafeTable:
    """The difference between the groups, tested."""
    formed = _formed(found)
    adjusted = holm([s.difference_p for s in formed])
    return table(
        [
            {
                "outcome": f"{found.outcome(s.outcome).short_label}, "
                f"{found.outcome(s.outcome).unit}",
                "value": s.difference,
                "low": _known(s.difference_ci[0]),
                "high": _known(s.difference_ci[1]),
                "p": s.difference_p,
                "holm": together,
                "least": s.difference_smallest_p,
                "mde": s.difference_mde,
            }
            for s, together in zip(formed, adjusted, strict=True)
        ],
        columns={
            "outcome": Column("Figure"),
            "value": Column("Difference between groups", "", 1, signed=True),
            "low": Column("95% from", "", 1, signed=True),
            "high": Column("95% to", "", 1, signed=True),
            "p": Column("p", "p", 3),
            "holm": Column("p for all figures together", "p", 3),
            "least": Column("Smallest p possible", "p", 3),
            "mde": Column("Found four times in five", "", 1),
        },
        estimates=("value", "low", "high", "p", "holm", "least", "mde"),
        residual_dof=DOF,
        title="Pilots rated good or outstanding less the other pilots",
        caption="p and interval: which pilots belong to which group is permuted, in every way "
        "there is. 'Together' allows for the number of figures (Holm). Last column: the smallest "
        "true difference that would be found four times in five (from CRV3).",
    )


def _formed(found: CompanionResult) -> list[RatingSplit]:
    return [s for s in found.splits if math.isfinite(s.difference)]


def _known(value: float) -> float | str:
    return value if math.isfinite(value) else NOT_AVAILABLE


def lower_group(split: RatingSplit, comparators: str = ALL) -> RatedGroup | None:
    """The group rated lower, where it is large enough."""
    found = [g for g in split.groups if (g.label, g.comparators) == (LOWER, comparators)]
    return found[0] if found else None


def claim_split(found: CompanionResult, claim: Callable[..., str]) -> None:
    """Claims `public.rating.…`: sizes, the least p, and each figure's group and difference."""
    claim("rating.sentence", _in_a_line(found))
    if not found.splits:
        return
    first = found.splits[0]
    claim("rating.pilots_lower", first.pilots_lower, "pilots")
    claim("rating.pilots_upper", first.pilots_upper, "pilots")
    claim("rating.others_unrated", max(s.others_unrated for s in found.splits))
    claim("rating.fewest", FEWEST, origin="design")
    formed = _formed(found)
    if formed:
        claim("rating.smallest_p", formed[0].difference_smallest_p, "p", decimals=3)
        adjusted = holm([s.difference_p for s in formed])
        claim("rating.least_together", min(adjusted), "p", decimals=3)
    for split in found.splits:
        outcome = found.outcome(split.outcome)
        for key, against in (("all", ALL), ("alike", ALIKE)):
            group = lower_group(split, against)
            if group is not None:
                start = f"rating.{outcome.short}.lower_{key}"
                claim(start, group.att, outcome.unit, ends=group.ci, decimals=1)
                claim(f"{start}_p", group.p, "p", decimals=3)
        if split in formed:
            ends = split.difference_ci if all(map(math.isfinite, split.difference_ci)) else None
            start = f"rating.{outcome.short}.difference"
            claim(start, split.difference, outcome.unit, ends=ends, decimals=1)
            claim(f"{start}_p", split.difference_p, "p", decimals=3)


def _differ(formed: Sequence[RatingSplit]) -> bool:
    """Does a figure differ between the groups, once their number is allowed for?"""
    return min(holm([s.difference_p for s in formed])) < ALPHA


def _in_a_line(found: CompanionResult) -> str:
    """The split as the summary of findings tells it."""
    if not found.splits:
        return "Not assessed here: the judgements it needs are not at hand."
    formed, first = _formed(found), found.splits[0]
    if not formed:
        return "Public statistics cannot tell: too few pilots had been judged before to compare."
    small = min(first.pilots_lower, first.pilots_upper) < FEWEST
    if not _differ(formed):
        told = (
            "Public statistics cannot tell: no figure differs between pilots rated higher and "
            "lower by more than chance would give"
        )
        return f"{told}, and one of the two groups is too small to show." if small else f"{told}."
    told = "In public statistics one or more figures differ between pilots rated higher and lower"
    return f"{told}, but one of the two groups is too small to rely on." if small else f"{told}."


def split_words(found: CompanionResult) -> str:
    """What the split can say, with places for claims."""
    if not found.splits:
        return (
            "The judgements of Ofsted reports that this comparison needs are not at hand in this "
            "build."
        )
    text = (
        "Pilots of the second wave are grouped by the latest Ofsted judgement published before "
        "its launch, since later ones may be moved by it. Nine of the ten had been in the first "
        "wave, so these ratings may already be moved by that one. {public.rating.pilots_lower} "
        f"were rated {LOWER}, and {{public.rating.pilots_upper}} {UPPER}. Of groups with fewer "
        "than {public.rating.fewest} pilots no estimate is shown. "
    )
    formed = _formed(found)
    if formed:
        named = _differ(formed)
        text += (
            "With groups of these sizes the p-value of their difference cannot fall below "
            "{public.rating.smallest_p} for one figure. "
        )
        text += (
            "After allowing for the number of figures, one or more differ between the groups. "
            if named
            else "No figure differs between the groups by more than dealing the pilots to groups "
            "at random would give, once the number of figures is allowed for (smallest p "
            "together {public.rating.least_together}). "
        )
    if formed and _differ(formed):
        text += (
            "<strong>The rating may have mattered, or what goes with it.</strong> Pilots were not "
            "given their rating by chance. "
        )
    else:
        text += "<strong>So these figures cannot tell whether the rating mattered.</strong> "
    return text + (
        "Groups so small teach little, whatever the table shows. The second comparison, with "
        "authorities rated alike, asks whether pilots moved differently from others that began "
        "at the same rating. The first wave is not split: in the reports held, none of its "
        "pilots had a judgement before it. Reports were read by a companion project: what rests "
        "on them cannot be fetched and comes from this project's released results unless you "
        "hold them."
    )


def quoted_split(ledger: Ledger) -> str:
    """What the chapter on made-up records quotes, from released results; empty if there are none.

    Claims are made under the quoting page's own prefix.
    """
    from sos_analysis.companion import released
    from sos_analysis.records.public import RELEASED

    if not RELEASED.is_file():
        return ""
    found = released()
    split = found.split("within_45_days_percent") or next(iter(found.splits), None)
    group = lower_group(split, ALL) if split else None
    if split is None or group is None:
        return ""
    outcome = found.outcome(split.outcome)
    public: dict[str, Any] = {"origin": "public", "source": "sos_analysis.companion.ratings"}
    ids = [
        ledger.claim("companion_lower", split.pilots_lower, "pilots", **public),
        ledger.claim("companion_upper", split.pilots_upper, "pilots", **public),
        ledger.claim(
            "companion_figure", group.att, outcome.unit, ends=group.ci, decimals=1, **public
        ),
        ledger.claim("companion_p", group.p, "p", decimals=3, **public),
        ledger.claim("companion_least", split.difference_smallest_p, "p", decimals=3, **public),
        ledger.claim("companion_difference_p", split.difference_p, "p", decimals=3, **public),
    ]
    lower, upper, figure, p, least, between = (f"{{{id}}}" for id in ids)
    return (
        "<strong>Public statistics.</strong> By the latest Ofsted judgement before the second "
        f"wave, {lower} were rated {LOWER} and {upper} {UPPER}. In the lower rated, "
        f"{outcome.spoken} moved by {figure[:-1]}:full}} against all others (p = {p}); the "
        f"other group is too small to show. The difference between the groups has p = {between}, "
        f"and cannot have one below {least}. Public statistics cannot tell whether the rating "
        "mattered. The page on public statistics has all figures."
    )
