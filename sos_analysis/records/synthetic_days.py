"""Days as whole numbers: calendar arithmetic for millions of made-up events at once.

A day is the number of days since 1 January 1970, as Arrow's ``date32`` counts them. `NEVER` stands
for what has not happened: later than every day, so that 'not by the end of the year' covers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Days = npt.NDArray[np.int32]

NEVER = 1_000_000
_EPOCH = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Days since 1 January 1970."""
    return day.toordinal() - _EPOCH


def year_end(year: int) -> int:
    """31 March that ends fiscal year `year`."""
    return day_number(date(year, 3, 31))


@dataclass(frozen=True)
class Calendar:
    """Look-up tables over days from 2004 to 2026 (weekends and English bank holidays are off)."""

    first: int
    is_working: npt.NDArray[np.bool_]
    before: Days  # working days before each day
    working: Days  # the working days in order
    fiscal_year: npt.NDArray[np.int16]

    def year(self, day: Days) -> npt.NDArray[np.int64]:
        """Fiscal year (by its end) of each day; days outside the table take its ends."""
        place = np.clip(day - self.first, 0, len(self.fiscal_year) - 1)
        return self.fiscal_year[place].astype(np.int64)

    def add(self, start: Days, working_days: npt.NDArray[np.int64]) -> Days:
        """The day such that `working_days` working days lie in [start, day)."""
        place = np.clip(start - self.first, 0, len(self.before) - 1)
        return self.working[np.minimum(self.before[place] + working_days, len(self.working) - 1)]

    def on_or_after(self, day: Days) -> Days:
        """The day itself where it is a working day, else the next one."""
        return self.add(day, np.zeros(len(day), dtype=np.int64))


@lru_cache(maxsize=1)
def calendar() -> Calendar:
    """The calendar, built once."""
    import holidays

    begin, end = date(2004, 1, 1), date(2026, 12, 31)
    off = set(holidays.country_holidays("GB", subdiv="ENG", years=range(begin.year, end.year + 1)))
    days = [begin + timedelta(i) for i in range((end - begin).days + 1)]
    is_working = np.array([d.weekday() < 5 and d not in off for d in days])
    first = day_number(begin)
    return Calendar(
        first=first,
        is_working=is_working,
        before=np.concatenate([[0], np.cumsum(is_working)[:-1]]).astype(np.int32),
        working=(np.flatnonzero(is_working) + first).astype(np.int32),
        fiscal_year=np.array([d.year + (d.month >= 4) for d in days], dtype=np.int16),
    )
