"""What analysts call: one estimate, the rows behind it, or the values of a year by authority."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sos_analysis.companion import panel as panels
from sos_analysis.companion.design import Design, funded
from sos_analysis.companion.estimates import DRAWS, SEED, estimate_on, event_years
from sos_analysis.companion.types import EventYears, PanelEstimate
from sos_analysis.errors import ParameterError
from sos_analysis.records.public import (
    AbsentError,
    PublicOutcome,
    find_file,
    public_sources,
)
from sos_analysis.records.public.reading import NOT_GIVEN
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import listed, nearest

if TYPE_CHECKING:
    import pandas as pd

#: Name of a variant that an analyst made.
OWN = "own"


def _outcome(id: str) -> PublicOutcome:
    known = public_sources().outcomes
    for outcome in known:
        if id in (outcome.id, outcome.short):
            return outcome
    ids = [o.id for o in known]
    raise ParameterError(f"outcome is {id!r}; allowed: {listed(ids)}.{nearest(id, ids)}")


def _figures(data_dir: Path | str | None) -> panels.Figures:
    place = Path(data_dir) if data_dir else ROOT / "data" / "public"
    sources = public_sources()
    find_file(place, sources.file("referrals"))
    return panels.Figures(place, sources)


def panel(
    outcome: str, design: Design | None = None, *, data_dir: Path | str | None = None
) -> pd.DataFrame:
    """Authority-years of an outcome as a design uses them: see `companion.panel.panel`.

    Parameters
    ----------
    outcome
        Id or short name of an outcome, such as ``icpc_rate`` or ``icpc``.
    design
        The comparison; the report's second wave by default.
    data_dir
        Folder or ZIP of the public files; `data/public` by default.

    Raises
    ------
    ParameterError
        An unknown outcome (with the nearest known one), or years that it does not have.
    AbsentError
        A file is not there; says how to get it.
    """
    return panels.panel(_figures(data_dir), _outcome(outcome), design or Design())


def estimate(
    outcome: str,
    design: Design | None = None,
    *,
    data_dir: Path | str | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> PanelEstimate:
    """Difference-in-differences of an outcome in a design; parameters and errors as `panel`."""
    found = _outcome(outcome)
    chosen = design or Design()
    rows = panel(found.id, chosen, data_dir=data_dir)
    return estimate_on(
        rows, outcome=found.id, wave=chosen.wave, variant=OWN, draws=draws, seed=seed
    )


def events(
    outcome: str,
    design: Design | None = None,
    *,
    data_dir: Path | str | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> EventYears:
    """Event study of an outcome in a design; parameters and errors as `panel`."""
    found = _outcome(outcome)
    chosen = design or Design()
    rows = panel(found.id, chosen, data_dir=data_dir)
    return event_years(
        rows,
        outcome=found.id,
        wave=chosen.wave,
        post_from=chosen.post_from,
        draws=draws,
        seed=seed,
    )


class MapRow(NamedTuple):
    """An authority's figure in a year, or in words why there is none; the waves it was in."""

    code: str
    name: str
    region: str
    value: float | str
    waves: tuple[int, ...]


@dataclass(frozen=True)
class MapRows:
    """Rows for a map; none, with the reason, where the files are absent."""

    rows: tuple[MapRow, ...]
    reason: str = ""

    def __iter__(self) -> Iterator[MapRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def map_rows(outcome: str, year: int, data_dir: Path | str | None = None) -> MapRows:
    """Figures of a year by authority, for a map.

    They are rows of the published files, so they are never among the released results.

    Raises
    ------
    ParameterError
        An unknown outcome, or a year that it does not have.
    """
    found = _outcome(outcome)
    try:
        frame = _figures(data_dir).figure(found)
    except AbsentError as absent:
        return MapRows((), f"the public files are not at hand: {absent}")
    rows = frame[frame["year"] == year]
    if rows.empty:
        years = sorted(set(frame["year"]))
        raise ParameterError(f"{found.id} has the years {years[0]} to {years[-1]}, not {year}.")
    waves = {p.dfe_code: p.waves for p in funded()}
    given = rows["y"].notna()
    return MapRows(
        tuple(
            MapRow(
                la, name, region, float(y) if ok else NOT_GIVEN.get(code, code), waves.get(la, ())
            )
            for la, name, region, y, code, ok in zip(
                rows["la"],
                rows["name"],
                rows["region"],
                rows["y"],
                rows["code"],
                given,
                strict=True,
            )
        )
    )
