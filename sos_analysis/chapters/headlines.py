"""Titles that say the message of a chart, worked out from what the chart holds."""

from __future__ import annotations

from collections.abc import Mapping


def side_by_side(
    first: Mapping[int, float], second: Mapping[int, float], names: tuple[str, str]
) -> str:
    """How one line lies to another over the years both have.

    Parameters
    ----------
    first, second : year to value.
    names : what each line is called, as in ('pilots', 'other authorities').

    Returns
    -------
    str
        'pilots below other authorities in every year', or which way they changed over, without
        digits; the two names alone where there is no common year.
    """
    years = sorted(set(first) & set(second))
    above = [first[y] > second[y] for y in years]
    one, other = names
    if not years:
        return f"{one} and {other}"
    if all(above) or not any(above):
        side = "above" if above[0] else "below"
        return f"{one} {side} {other} in every year"
    if above[0] == above[-1]:
        side = "above" if above[0] else "below"
        return f"{one} {side} {other} in the first and last year, but not in all"
    then, now = ("above", "below") if above[0] else ("below", "above")
    return f"{one} {then} {other} at first, {now} at last"
