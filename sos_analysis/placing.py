"""When an event happened, as seen from a matched group: intervals of the calendar and phases.

The calendar is cut wherever a date of the study's design could tell two days apart, so that no
rule of `placement` changes inside an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sos_analysis.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.study import Group, Outcome, Study

Clock = Literal["window_end", "event_date"]

PRE, POST, DONUT = 0, 1, -1
PHASES = {PRE: "pre", POST: "post", DONUT: "donut"}
_DAY = timedelta(days=1)


def anniversary(day: date, years: int) -> date:
    """The same day `years` later (earlier if negative); 29 February becomes the 28th."""
    year = day.year + years
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def calendar(study: Study, outcome: str) -> pd.DataFrame:
    """Intervals between the cut dates of an outcome's design (domain rule).

    Cuts: 1 April of each year; for each matched group, those the outcome leaves out included,
    the start of embedding and its earlier anniversaries, the day after its end and that day's
    later anniversaries. No rule of `placement` changes inside an interval.

    Returns
    -------
    DataFrame with `interval` (int16, from 0), `first_day`, `last_day` (dates), `year` (int16).
    """
    first, open_day = study.data_start, study.data_end + _DAY
    cuts = {first, open_day}
    cuts.update(date(year, 4, 1) for year in range(first.year, open_day.year + 1))
    span = open_day.year - first.year + 1
    for group in study.groups(outcome, exclude=False):
        cuts.update(anniversary(group.start, -k) for k in range(span + 1))
        cuts.update(anniversary(group.end + _DAY, k) for k in range(span + 1))
    starts = sorted(day for day in cuts if first <= day <= open_day)
    ends = [day - _DAY for day in starts[1:]] + [open_day]
    return pd.DataFrame(
        {
            "interval": np.arange(len(starts), dtype=np.int16),
            "first_day": starts,
            "last_day": ends,
            "year": np.array([_fiscal_year(day) for day in starts], dtype=np.int16),
        }
    )


def _fiscal_year(day: date) -> int:
    return day.year + (day.month >= 4)


@dataclass(frozen=True)
class Placement:
    """Which intervals lie before and after one group's embedding, and how far.

    `after` and `since` are indexed by the interval of the event; `before` by the interval of the
    window's end; `until` by the latter (clock 'window_end') or the former ('event_date').
    """

    after: NDArray[np.bool_]
    before: NDArray[np.bool_]
    since: NDArray[np.int16]
    until: NDArray[np.int16]
    clock: Clock

    def of(
        self, first: NDArray[Any], last: NDArray[Any]
    ) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
        """Phase (PRE, POST, DONUT) and event time of cells; event time is 0 in the donut."""
        phase = np.where(self.after[first], POST, np.where(self.before[last], PRE, DONUT))
        back = self.until[last if self.clock == "window_end" else first]
        time = np.where(phase == POST, self.since[first], np.where(phase == PRE, back, 0))
        return phase.astype(np.int8), time.astype(np.int16)


def clock_of(outcome: Outcome) -> Clock:
    """The date that dates an event before embedding: the end of its window, where that is fixed.

    Counted by the event, the year before embedding would be empty for an outcome with a window of
    a year: all its events end inside embedding. Counted by the window's end, year -1 is the last
    full year of events that count as 'pre'. Where the window ends with the event itself
    (duration), the end depends on the outcome, so the event's own date is used.
    """
    return "window_end" if outcome.pre_rule == "window_end" else "event_date"


def placement(intervals: pd.DataFrame, group: Group, clock: Clock) -> Placement:
    """Embedding donut and event time of one group, by interval (domain rule).

    Post: the event falls after the end of embedding; event time counts whole years since. Pre:
    the whole window ends before embedding starts; event time -1 is the year up to the start,
    by `clock`. The rest is the donut.

    Raises
    ------
    ParameterError : the intervals are not cut at the group's dates; or an unknown clock.
    """
    if clock not in ("window_end", "event_date"):
        raise ParameterError(
            f"clock: found {clock!r}; allowed are 'window_end' and 'event_date'. Leave it out "
            "to take the outcome's own."
        )
    opens: list[date] = list(intervals["first_day"])
    closes: list[date] = list(intervals["last_day"])
    after_end = group.end + _DAY
    before = [day < group.start for day in closes]
    before[-1] = False  # open interval: its true last day is unknown
    since, until = (
        [[_whole_years(origin, day) for day in days] for days in (opens, closes)]
        for origin in (after_end, group.start)
    )
    for i, opened in enumerate(opens):
        # Within an interval the event must stay on one side of each edge, and in one year.
        if (opened < group.start and until[0][i] != until[1][i]) or (
            closes[i] >= after_end and since[0][i] != since[1][i]
        ):
            raise ParameterError(
                f"group {group.id}: the cells are not cut at the embedding dates {group.start} and "
                f"{group.end} or their anniversaries ({opened} to {closes[i]} lies across one). "
                "Collapse again with a study that has these dates."
            )
    return Placement(
        after=np.array([day > group.end for day in opens]),
        before=np.array(before),
        since=np.array(since[0], dtype=np.int16),
        until=np.array(until[0], dtype=np.int16),
        clock=clock,
    )


def _whole_years(origin: date, day: date) -> int:
    """Number k of the year [origin + k years, origin + k + 1 years) in which a day falls."""
    years = day.year - origin.year
    return years if anniversary(origin, years) <= day else years - 1
