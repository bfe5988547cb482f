"""What a chart of raw rates by year says in its title: where pilots stood, and where they went."""

from __future__ import annotations

from typing import NamedTuple

#: The title where the two phases cannot be compared.
PLAIN = "Pilots and comparators, year by year"
#: Smallest change of the distance, as a share of the distance before, that is called a change.
_SHARE = 0.1


class Phase(NamedTuple):
    """Raw means of pilots and comparators over a phase, as shown."""

    pilots: float
    comparators: float


def trend_title(before: Phase | None, after: Phase | None, decimals: int = 1) -> str:
    """The message of the chart, by rule, from means that are shown in the table of counts.

    Describes raw rates: it says nothing of why they moved, and uses no word of effect.

    Parameters
    ----------
    before, after : Phase or None
        Before and after embedding; None where a mean is hidden or missing.
    decimals : int
        Decimals with which means are shown: what looks equal is called level.
    """
    if before is None or after is None:
        return PLAIN
    start = round(before.pilots - before.comparators, decimals)
    end = round(after.pilots - after.comparators, decimals)
    then, now = _side(start), _side(end)
    if not start and not end:
        return "Before matching, pilots and comparators were level, before and after embedding"
    lead = f"Before matching, pilots stood {then} comparators"
    if then != now:
        return f"{lead} before embedding and {now} them after"
    change = round(abs(end) - abs(start), decimals)
    if abs(change) <= max(_SHARE * abs(start), 10.0**-decimals):
        return f"{lead}, about as far after embedding as before"
    return f"{lead}, and {'further' if change > 0 else 'less far'} {now} after embedding"


def _side(gap: float) -> str:
    return "above" if gap > 0 else "below" if gap < 0 else "level with"
