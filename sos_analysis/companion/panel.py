"""Authority-years of one figure: numbers, what stands in place of them, roles and weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sos_analysis.companion import design as words
from sos_analysis.companion.design import Design, check_years, funded, in_wave
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.facts import ProgrammePilot
from sos_analysis.records.public import (
    POPULATION,
    Located,
    PublicOutcome,
    PublicSources,
    Statistics,
    find_file,
    read_lait,
    read_neighbours,
    read_ratings,
    read_reports,
    read_statistics,
)
from sos_analysis.study.reading import listed

if TYPE_CHECKING:
    import pandas as pd


class _Column(NamedTuple):
    """Values and codes by authority and year, and the years it has."""

    values: pd.Series
    codes: pd.Series
    years: frozenset[int]


@dataclass
class Figures:
    """The public files of one place, read when they are first needed.

    Attributes
    ----------
    place : folder or ZIP.
    sources : tables, outcomes and boundaries.
    read : files read so far, by table.
    """

    place: Path
    sources: PublicSources

    def __post_init__(self) -> None:
        self.read: dict[str, Located] = {}
        self._tables: dict[str, Statistics] = {}
        self._figures: dict[str, pd.DataFrame] = {}
        self._joined: dict[str, pd.DataFrame] = {}
        self._neighbours: dict[str, Mapping[str, tuple[str, ...]]] = {}

    def locate(self, table: str) -> Located:
        """The file of a table; AbsentError where it is not there."""
        found = find_file(self.place, self.sources.file(table))
        self.read[table] = found
        return found

    def statistics(self, table: str) -> Statistics:
        """A table of statistics as read."""
        if table not in self._tables:
            file = self.sources.file(table)
            self._tables[table] = read_statistics(self.locate(table), file)
        return self._tables[table]

    @cached_property
    def lait(self) -> pd.DataFrame:
        """The excerpt of the interactive tool."""
        return read_lait(self.locate("lait"))

    @cached_property
    def reports(self) -> Mapping[str, bool]:
        """Authorities with an Ofsted report: does one name Signs of Safety?"""
        return read_reports(self.locate("ofsted"))

    def ratings(self, before: date) -> Mapping[str, str]:
        """Each authority's latest Ofsted judgement published before a day."""
        return read_ratings(self.locate("ofsted"), before)

    @cached_property
    def population(self) -> Statistics:
        """Mid-year populations, each under the year ending in the next March."""
        read = self.statistics("population")
        return replace(read, values=read.values.assign(year=read.values["year"] + 1))

    def _table(self, table: str) -> Statistics:
        return self.population if table == POPULATION else self.statistics(table)

    def column(self, name: str) -> _Column:
        """A column by 'table.column' (or 'population') of authorities by code and year."""
        table, _, column = name.partition(".")
        if table == "lait":
            rows = self.lait[self.lait["measure"] == column]
            rows = rows.set_index(["old_la_code", "year"])
            values, codes = rows["value"], rows["code"]
        else:
            read = self._table(table)
            column = column or "population_estimate"
            local = read.values[read.values["geographic_level"] == "Local authority"]
            index = ["old_la_code", "year"]
            values = local.set_index(index)[column]
            codes = read.codes.loc[local.index, column].set_axis(values.index)
            # A present and a former authority may both have a row; one of them says 'z'.
            kept = ~values.index.duplicated(keep=False) | (codes != "z")
            values, codes = values[kept], codes[kept]
        return _Column(values, codes, frozenset(values.index.get_level_values("year")))

    def figure(self, outcome: PublicOutcome) -> pd.DataFrame:
        """All authority-years of an outcome, one row each, those without a number included.

        Columns: ``la``, ``name``, ``region``, ``year``, ``numerator``, ``denominator``, ``size``
        (what authorities may be weighted by), ``y`` and ``code`` (what stands in place of y).

        Raises
        ------
        AbsentError
            A file it needs is not there.
        """
        if outcome.id not in self._figures:
            self._figures[outcome.id] = self._made(outcome)
        return self._figures[outcome.id]

    def _made(self, outcome: PublicOutcome) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        # Who existed in a year, by the table that the figure is divided by.
        spine = self._table("referrals" if "referrals" in outcome.tables else POPULATION)
        local = spine.values[spine.values["geographic_level"] == "Local authority"]
        frame = pd.DataFrame(
            {
                "la": local["old_la_code"],
                "name": local["la_name"],
                "region": local["region_name"],
                "year": local["year"],
            }
        ).reset_index(drop=True)
        index = pd.MultiIndex.from_frame(frame[["la", "year"]])

        def at(column: _Column) -> tuple[pd.Series, pd.Series]:
            values = pd.Series(column.values.reindex(index).to_numpy(dtype=float))
            return values, pd.Series(column.codes.reindex(index).fillna("x").to_numpy())

        nothing = pd.Series(np.nan, index=frame.index), pd.Series("", index=frame.index)
        numerator, code = nothing
        years: set[int] = set()
        for name in outcome.numerators:
            column = self.column(name)
            new = frame["year"].isin(sorted(column.years - years))
            found, codes = at(column)
            numerator, code = numerator.where(~new, found), code.where(~new, codes)
            years |= column.years
        denominator = at(self.column(outcome.denominator))[0] if outcome.denominator else nothing[0]
        if outcome.published:
            column = self.column(outcome.published)
            years = set(column.years)
            y, code = at(column)
        else:
            y = outcome.per * numerator / denominator
            code = code.where(y.isna() & (code != ""), "").mask(y.isna() & (code == ""), "x")
        frame = frame.assign(
            numerator=numerator,
            denominator=denominator,
            size=at(self.column(outcome.weight))[0],
            y=y,
            code=code,
        )
        frame = frame[frame["year"].isin(sorted(years))]
        return frame.sort_values(["la", "year"], kind="stable").reset_index(drop=True)

    def joined(self, outcome: PublicOutcome) -> pd.DataFrame:
        """As `figure`, reorganised authorities added up over all their parts in every year.

        The figure of a joined place is recomputed from counts; it is not given where a part's
        count is not, or where an outcome is published without its counts. Where ONS gives no
        population for the parts, theirs is that of the region less the region's others.
        """
        if outcome.id not in self._joined:
            self._joined[outcome.id] = self._made_joined(outcome)
        return self._joined[outcome.id]

    def _made_joined(self, outcome: PublicOutcome) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        frame = self.figure(outcome)
        made = [frame]
        for boundary in self.sources.boundaries:
            parts = frame["la"].isin(boundary.codes)
            if not parts.any():
                continue
            columns = ["numerator", "denominator", "size"]
            together = frame[parts].groupby("year", sort=True)
            whole = together[columns].count().eq(together.size(), axis=0)
            sums = together[columns].sum().where(whole)
            for column, name in (("denominator", outcome.denominator), ("size", outcome.weight)):
                if name == POPULATION:
                    rest = self._region_less(boundary.codes, frame[parts]["region"].iloc[0])
                    sums[column] = sums[column].fillna(rest)
            code = frame[parts & (frame["code"] != "")].groupby("year")["code"].first()
            code = code.reindex(sums.index).fillna("")
            new = sums.reset_index().assign(
                la=boundary.id, name=boundary.name, region=frame[parts]["region"].iloc[0]
            )
            new["y"] = outcome.per * new["numerator"] / new["denominator"]
            new["code"] = np.where(new["y"].notna(), "", code.to_numpy())
            new.loc[new["y"].isna() & (new["code"] == ""), "code"] = "x"
            made = [m[~m["la"].isin(boundary.codes)] for m in made] + [new[frame.columns]]
        return pd.concat(made).sort_values(["la", "year"], kind="stable").reset_index(drop=True)

    def _region_less(self, codes: Iterable[str], region: str) -> pd.Series:
        """Children in a region outside its other authorities, by year."""
        values = self.population.values
        mine = values[values["region_name"] == region]
        column = "population_estimate"
        whole = mine[mine["geographic_level"] == "Regional"].set_index("year")[column]
        local = mine["geographic_level"] == "Local authority"
        others = mine[local & ~mine["old_la_code"].isin(list(codes))].groupby("year")[column]
        # A missing part elsewhere in the region would end up in the difference.
        return (whole - others.sum()).where(others.count() == others.size())

    def comparators(self, chosen: Design) -> set[str] | None:
        """Codes that may be comparators; None where the files have no say in it."""
        if chosen.comparators == words.NOT_NAMED:
            return self._with_parts({la for la, found in self.reports.items() if not found})
        if chosen.comparators in (words.NEIGHBOURS, words.NEIGHBOURS_2025):
            table = f"neighbours_{2025 if chosen.comparators == words.NEIGHBOURS_2025 else 2021}"
            if table not in self._neighbours:
                self._neighbours[table] = read_neighbours(self.locate(table))
            sets = self._neighbours[table]
            mine = [p.dfe_code for p in pilots(chosen)]
            lost = [code for code in mine if code not in sets]
            if lost:
                raise RecordsError(f"{self.read[table].name}: no neighbours for {listed(lost)}.")
            return self._with_parts({near for code in mine for near in sets[code]})
        return None

    def _with_parts(self, codes: set[str]) -> set[str]:
        """Codes of today may name an authority under another code in the years of the study."""
        for boundary in self.sources.boundaries:
            if codes & set(boundary.codes):
                codes = codes | {boundary.id, *boundary.codes}
        return codes


def pilots(chosen: Design) -> tuple[ProgrammePilot, ...]:
    """Pilots of the design's wave that it uses."""
    return tuple(
        p
        for p in in_wave(chosen.wave)
        if (chosen.pilots == words.ALL_PILOTS or len(p.waves) == 2)
        and p.dfe_code not in chosen.leave_out
    )


def panel(figures: Figures, outcome: PublicOutcome, chosen: Design) -> pd.DataFrame:
    """Authority-years of one outcome as a design uses them, those without a number included.

    Columns: ``la`` (three-digit DfE code in that year, or the name of a joined place), ``name``,
    ``region``, ``year``, ``pilot`` and ``post`` (0/1), ``waves`` (how many waves the authority
    was in), ``numerator``, ``denominator``, ``y`` (in the outcome's unit, NaN if not given),
    ``code`` (what stands instead of it), ``size`` and ``weight``. An authority that was
    reorganised enters as several, as coded in each year, unless boundaries are joined. Years
    before the figure was first published are left out.

    Raises
    ------
    AbsentError
        A file it needs is not there.
    ParameterError
        The figure has no such years.
    RecordsError
        A pilot is not in the files.
    """
    joined = chosen.boundaries == words.JOINED
    frame = figures.joined(outcome) if joined else figures.figure(outcome)
    held = sorted(set(frame["year"]))
    if chosen.last_year > held[-1] or chosen.first_year < words.EARLIEST:
        raise ParameterError(
            f"{outcome.id} holds the years {held[0]} to {held[-1]}, not {chosen.first_year} to "
            f"{chosen.last_year}."
        )
    years = tuple(y for y in chosen.years if y in held)
    check_years(years, chosen.post_from, max(chosen.first_year, held[0]), chosen.last_year)
    frame = frame[frame["year"].isin(years) & ~frame["la"].isin(chosen.leave_out)]
    waves = frame["la"].map({p.dfe_code: len(p.waves) for p in funded()}).fillna(0).astype(int)
    mine = pilots(chosen)
    frame = frame.assign(
        pilot=frame["la"].isin([p.dfe_code for p in mine]).astype(int),
        post=(frame["year"] >= chosen.post_from).astype(int),
        waves=waves,
    )
    # A pilot of this wave that the design does not use is no comparator either.
    other = ~frame["la"].isin([p.dfe_code for p in in_wave(chosen.wave)])
    allowed = figures.comparators(chosen)
    if chosen.comparators == words.NEVER:
        other &= frame["waves"] == 0
    if allowed is not None:
        other &= frame["la"].isin(sorted(allowed))
    frame = frame[(frame["pilot"] == 1) | other]
    there = set(frame["la"])
    lost = [p.name for p in mine if p.dfe_code not in there]
    if lost:
        raise RecordsError(
            f"{outcome.id}: pilots not found by their three-digit code: {listed(lost)}. Their "
            "codes are in data/programme/programme.toml."
        )
    y = frame["y"]
    if chosen.confidential == words.ZERO:
        y = y.mask(y.isna() & (frame["code"] == "c"), 0.0)
    weight = frame["size"] * 0 + 1.0
    if chosen.weights == words.DENOMINATOR:
        y = y.where(frame["size"].notna())
        # In units of the mean authority: the scale does not matter to the estimate.
        weight = frame["size"] / frame["size"].mean()
    else:
        weight = weight.fillna(1.0)
    return frame.assign(y=y, weight=weight).reset_index(drop=True)
