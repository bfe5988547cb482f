"""The design of a comparison as data: who counts as pilot, compared with whom, over which years.

Two waves of pilots. Nine of the ten authorities of the second had been in the first (2014 to
2016), so the second wave's design estimates the increment of that wave, not the effect of having
Signs of Safety. The second wave began on 29 September 2017: the year ending March 2018 is half
before and half after. The first ran from October or November 2014: the year ending March 2015 is
in transition too. Both count as after unless they are left out. The first wave's window ends
before the second began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from sos_analysis.errors import ParameterError
from sos_analysis.facts import ProgrammePilot, programme
from sos_analysis.study.reading import listed, nearest

#: First and last year of the window, and first year that counts as after, by wave. A year is named
#: by its end: 2013 is the year ending 31 March 2013.
WINDOWS: Mapping[int, tuple[int, int, int]] = MappingProxyType(
    {1: (2013, 2017, 2015), 2: (2013, 2020, 2018)}
)
#: The year in which each wave began: part before, part after.
TRANSITION: Mapping[int, int] = MappingProxyType({1: 2015, 2: 2018})
EARLIEST = 2013
#: City of London and Isles of Scilly: a few dozen referrals a year.
TINY = ("201", "420")
#: In the second wave alone, so a comparator in the first wave's design.
BEXLEY = "303"

ALL_OTHERS, NEVER = "all others", "never funded"
NEIGHBOURS, NEIGHBOURS_2025 = "statistical neighbours", "statistical neighbours 2025"
NOT_NAMED = "Signs of Safety not named"
COMPARATORS: Mapping[str, str] = MappingProxyType(
    {
        ALL_OTHERS: "all authorities that were not in this wave",
        NEVER: "authorities that were in neither wave",
        NEIGHBOURS: "statistical neighbours of the pilots, set of April 2021",
        NEIGHBOURS_2025: "statistical neighbours of the pilots, set of 2025",
        NOT_NAMED: "authorities whose Ofsted reports up to mid-2020 do not name Signs of Safety",
    }
)
EQUAL, DENOMINATOR = "equal", "denominator"
WEIGHTS: Mapping[str, str] = MappingProxyType(
    {EQUAL: "each authority counts the same", DENOMINATOR: "by referrals or by children"}
)
CODED, JOINED = "as coded", "joined"
BOUNDARIES: Mapping[str, str] = MappingProxyType(
    {CODED: "as coded in each year", JOINED: "reorganised authorities added up in every year"}
)
LEFT_OUT, ZERO = "left out", "zero"
CONFIDENTIAL: Mapping[str, str] = MappingProxyType(
    {LEFT_OUT: "withheld figures are left out", ZERO: "withheld figures are read as zero"}
)
ALL_PILOTS, BOTH_WAVES = "all", "both waves"
PILOTS: Mapping[str, str] = MappingProxyType(
    {ALL_PILOTS: "all pilots of the wave", BOTH_WAVES: "those that were in both waves"}
)
_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "comparators": COMPARATORS,
        "weights": WEIGHTS,
        "boundaries": BOUNDARIES,
        "confidential": CONFIDENTIAL,
        "pilots": PILOTS,
    }
)


@cache
def funded() -> tuple[ProgrammePilot, ...]:
    """Authorities of either wave; read once, since every panel asks."""
    return programme().pilots


def in_wave(wave: int) -> tuple[ProgrammePilot, ...]:
    """Pilots of a wave."""
    return tuple(p for p in funded() if wave in p.waves)


class YearsError(ParameterError):
    """A window without two years before or one after."""


@dataclass(frozen=True)
class Design:
    """One comparison of pilots with others, before and after.

    Parameters
    ----------
    wave : int
        1 or 2.
    first_year, last_year : int
        Window, each year named by its end (31 March); 0 for the wave's own.
    post_from : int
        First year that counts as after; 0 for the wave's own.
    comparators : str
        One of `COMPARATORS`.
    weights : str
        One of `WEIGHTS`: they answer different questions, since authorities differ in size.
    leave_out_years : tuple of int
        Years not used.
    boundaries : str
        One of `BOUNDARIES`.
    confidential : str
        One of `CONFIDENTIAL`.
    pilots : str
        One of `PILOTS`.
    leave_out : tuple of str
        Three-digit codes of authorities not used.

    Raises
    ------
    ParameterError
        A word is unknown (with the nearest known one), or the years do not fit.
    """

    wave: int = 2
    first_year: int = 0
    last_year: int = 0
    post_from: int = 0
    comparators: str = ALL_OTHERS
    weights: str = EQUAL
    leave_out_years: tuple[int, ...] = ()
    boundaries: str = CODED
    confidential: str = LEFT_OUT
    pilots: str = ALL_PILOTS
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.wave, bool) or self.wave not in WINDOWS:
            raise ParameterError(f"wave is {self.wave!r}; allowed: {listed(WINDOWS)}.")
        for name, own in zip(("first_year", "last_year", "post_from"), WINDOWS[self.wave],
                             strict=True):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise ParameterError(f"{name} must be a whole number, not {value!r}.")
            if value == 0:
                object.__setattr__(self, name, own)
        for name, known in _WORDS.items():
            value = getattr(self, name)
            if value not in known:
                raise ParameterError(
                    f"{name} is {value!r}; allowed: {listed(known)}.{nearest(value, known)}"
                )
        for name, kind, what in (("leave_out_years", int, "years"), ("leave_out", str, "codes")):
            value = getattr(self, name)
            listed_ok = isinstance(value, tuple | list) and all(isinstance(v, kind) for v in value)
            if not listed_ok:
                raise ParameterError(f"{name} must be a list of {what}, not {value!r}.")
            object.__setattr__(self, name, tuple(value))
        lost = {p.dfe_code: p.name for p in in_wave(self.wave)}
        pilots = [lost[code] for code in self.leave_out if code in lost]
        if len(lost) - len(pilots) < 2:
            raise ParameterError("leave_out leaves fewer than two pilots.")
        check_years(self.years, self.post_from, self.first_year, self.last_year)

    @property
    def years(self) -> tuple[int, ...]:
        """Years used."""
        window = range(self.first_year, self.last_year + 1)
        return tuple(y for y in window if y not in self.leave_out_years)

    @property
    def base(self) -> int:
        """Last year before: the reference of the event study."""
        return max(y for y in self.years if y < self.post_from)

    def with_(self, **changes: Any) -> Design:
        """The same design with other choices."""
        return replace(self, **changes)


def check_years(years: tuple[int, ...], post_from: int, first: int, last: int) -> None:
    """Two or more years before, one or more after.

    Raises
    ------
    YearsError
        If not.
    """
    before = [y for y in years if y < post_from]
    if len(before) < 2 or len(before) == len(years):
        raise YearsError(
            f"years do not fit: first_year {first}, post_from {post_from}, last_year {last}"
            f"{'' if len(years) == last - first + 1 else f', used {listed(years)}'}. Needed: two "
            "or more years before post_from, and one or more from it to last_year (the report "
            f"uses {', '.join(f'{w}: {v}' for w, v in WINDOWS.items())} as wave: first, last, "
            "post_from)."
        )


MAIN = "main"
VARIANTS: Mapping[str, str] = MappingProxyType(
    {
        MAIN: "Main: all authorities, each counted the same",
        "weighted": "Authorities counted by size (referrals or children)",
        "transition_out": "The transition year left out",
        "never_funded": "Compared with authorities in neither wave",
        "neighbours": "Compared with statistical neighbours (set of 2021)",
        "neighbours_2025": "Compared with statistical neighbours (set of 2025)",
        "not_named": "Compared with authorities whose Ofsted reports do not name it",
        "both_waves": "Pilots that were in both waves alone",
        "bexley_out": "Bexley, a pilot of the second wave, left out",
        "tiny_out": "City of London and Isles of Scilly left out",
        "confidential_as_zero": "Withheld figures read as zero",
        "joined": "Reorganised authorities joined",
        "long": "Secondary: to the latest year",
    }
)


def variants(main: Design, latest: int) -> dict[str, Design]:
    """The main design and what the report varies, one choice at a time.

    `latest` is the last year there are figures for. A variant that would be the main one again is
    left out.
    """
    made = {
        MAIN: main,
        "weighted": main.with_(weights=DENOMINATOR),
        "never_funded": main.with_(comparators=NEVER),
        "neighbours": main.with_(comparators=NEIGHBOURS),
        "neighbours_2025": main.with_(comparators=NEIGHBOURS_2025),
        "not_named": main.with_(comparators=NOT_NAMED),
        "both_waves": main.with_(pilots=BOTH_WAVES),
        "tiny_out": main.with_(leave_out=tuple(dict.fromkeys((*main.leave_out, *TINY)))),
        "confidential_as_zero": main.with_(confidential=ZERO),
        "joined": main.with_(boundaries=JOINED),
    }
    kept = [y for y in main.years if y != TRANSITION[main.wave]]
    before = [y for y in kept if y < main.post_from]
    if len(before) >= 2 and len(before) < len(kept):
        without = tuple(dict.fromkeys((*main.leave_out_years, TRANSITION[main.wave])))
        made["transition_out"] = main.with_(leave_out_years=without)
    if main.wave == 1:
        made["bexley_out"] = main.with_(leave_out=tuple({*main.leave_out, BEXLEY}))
    elif main.last_year < latest:
        made["long"] = main.with_(last_year=latest)
    return {
        name: made[name]
        for name in VARIANTS
        if name in made and (name == MAIN or made[name] != main)
    }
