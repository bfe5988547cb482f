"""Single counts and rates, for claims."""

from __future__ import annotations

from sos_analysis.disclosure.suppression import CONFIDENTIAL, Rules, local, round_count, whole
from sos_analysis.errors import DisclosureError


def safe_count(count: int, rules: Rules) -> int | str:
    """One count for a claim: rounded, or ``[c]`` below the threshold (zero included).

    Raises
    ------
    DisclosureError
        The count is negative or not a whole number.
    """
    exact = whole(count, "count")
    return CONFIDENTIAL if exact < rules.threshold else round_count(exact, rules)


def safe_rate(
    numerator: int,
    denominator: int,
    rules: Rules,
    scale: float = 100.0,
    *,
    people: tuple[int, int] | None = None,
    authorities: int | None = None,
) -> float | str:
    """`scale` × numerator / denominator from the rounded counts, or ``[c]``.

    `people` are the distinct children behind the cases with the outcome, and behind those without
    it; `authorities` how many stand behind all cases. Too few of either hide the rate.
    """
    fewest = 1 if local(rules) else rules.minimum_authorities
    if people is not None and min(people) < rules.threshold:
        return CONFIDENTIAL
    if authorities is not None and authorities < fewest:
        return CONFIDENTIAL
    top, bottom = whole(numerator, "numerator"), whole(denominator, "denominator")
    if top > bottom:
        raise DisclosureError(f"numerator {top} is larger than denominator {bottom}")
    if min(top, bottom, bottom - top) < rules.threshold or bottom == 0:
        return CONFIDENTIAL
    return scale * round_count(top, rules) / round_count(bottom, rules)
