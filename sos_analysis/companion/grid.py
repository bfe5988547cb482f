"""Every combination of the companion's main choices, for readers who want to change one.

The report's own estimates change one choice at a time. Here choices are crossed, so that a reader
can see what any combination would have given. Where a way is also in the report (the main design,
or one choice changed), draws and seed are the same and so is the number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sos_analysis.companion.design import (
    ALL_OTHERS,
    ALL_PILOTS,
    BOTH_WAVES,
    COMPARATORS,
    DENOMINATOR,
    EQUAL,
    TRANSITION,
    Design,
    YearsError,
)
from sos_analysis.companion.estimates import DRAWS, FEWER, SEED, estimate_on
from sos_analysis.companion.panel import Figures, panel
from sos_analysis.errors import RecordsError
from sos_analysis.records.public import (
    AbsentError,
    PublicOutcome,
    public_sources,
    read_released,
    release_public,
)
from sos_analysis.sources import ROOT, code_hash, digest

GRID = ROOT / "data" / "released" / "explore.json"
OWN_YEARS, WITHOUT_TRANSITION, TO_LATEST = "own", "transition left out", "to the latest"

#: Every choice with its answers, the report's main one first. A wave is a choice as well.
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "wave": ("2", "1"),
        "comparators": tuple(COMPARATORS),
        "weights": (EQUAL, DENOMINATOR),
        "years": (OWN_YEARS, WITHOUT_TRANSITION, TO_LATEST),
        "pilots": (ALL_PILOTS, BOTH_WAVES),
    }
)
#: The report's main answers; each wave has its own main design.
MAIN_WAY: Mapping[str, str] = MappingProxyType(
    {"comparators": ALL_OTHERS, "weights": EQUAL, "years": OWN_YEARS, "pilots": ALL_PILOTS}
)
Way = Mapping[str, str]


@dataclass(frozen=True)
class GridPoint:
    """One way to estimate one outcome, in the outcome's unit; see `PanelEstimate`."""

    outcome: str
    wave: str
    comparators: str
    weights: str
    years: str
    pilots: str
    att: float
    low: float
    high: float
    p_primary: float
    p_secondary: float
    pilots_count: int
    authorities: int
    first: int
    last: int

    @property
    def way(self) -> dict[str, str]:
        """What was chosen."""
        return {choice: getattr(self, choice) for choice in CHOICES}


@dataclass(frozen=True)
class Grid:
    """All points, and what they rest on; `source` is 'computed' or 'released'."""

    source: str
    points: tuple[GridPoint, ...]
    data_hash: str
    code_hash: str


def ways() -> Iterator[Way]:
    """Every combination, in the order of `CHOICES`; the first wave's years end in a fixed year."""
    for answers in itertools.product(*CHOICES.values()):
        way = dict(zip(CHOICES, answers, strict=True))
        if way["wave"] == "2" or way["years"] != TO_LATEST:
            yield way


def is_main(way: Way) -> bool:
    """Whether it is the main design of its wave."""
    return all(way[choice] == answer for choice, answer in MAIN_WAY.items())


def design_of(way: Way, latest: int, around: Design | None = None) -> Design:
    """The design of a way; `latest` is the last year there are figures for.

    `around` is the design whose other choices stay: the main one of the wave by default.

    Raises
    ------
    YearsError
        The years left do not suffice.
    """
    wave = int(way["wave"])
    own = (around or Design(wave=wave)).with_(
        comparators=way["comparators"],
        weights=way["weights"],
        pilots=way["pilots"],
    )
    if way["years"] == TO_LATEST:
        return own.with_(last_year=max(latest, own.last_year))
    if way["years"] == WITHOUT_TRANSITION:
        return own.with_(leave_out_years=tuple({*own.leave_out_years, TRANSITION[wave]}))
    return own


def designs_around(main: Design, latest: int) -> list[Design]:
    """A design and every other way to compare that its figure has years for."""
    made = [main]
    for way in ways():
        if way["wave"] == str(main.wave):
            try:
                made.append(design_of(way, latest, main))
            except YearsError:
                continue
    return list(dict.fromkeys(made))


def grid(
    data_dir: Path | str,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    outcomes: tuple[str, ...] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> Grid:
    """Estimate every way from public files.

    Parameters
    ----------
    data_dir
        Folder or ZIP of the public files.
    draws, seed
        Of the main designs; other ways take at most `FEWER` draws.
    outcomes
        Ids; all by default.

    Raises
    ------
    AbsentError
        The table of referrals is not there. A way that rests on another absent file is left out.
    """
    figures = Figures(Path(data_dir), public_sources())
    figures.locate("referrals")
    wanted = [figures.sources.outcome(id) for id in outcomes] or list(figures.sources.outcomes)
    points: list[GridPoint] = []
    for outcome in wanted:
        points += _points(figures, outcome, draws, seed)
        progress(f"{outcome.short_label}: {sum(p.outcome == outcome.id for p in points)} ways")
    read = [(f.name, f.sha256()) for f in figures.read.values()]
    return Grid("computed", tuple(points), digest(read), code_hash("companion"))


def _points(figures: Figures, outcome: PublicOutcome, draws: int, seed: int) -> Iterator[GridPoint]:
    try:
        latest = int(figures.figure(outcome)["year"].max())
    except AbsentError:
        return
    for way in ways():
        try:
            rows = panel(figures, outcome, design_of(way, latest))
        except (AbsentError, YearsError):
            continue
        few = draws if is_main(way) else min(draws, FEWER)
        e = estimate_on(
            rows, outcome=outcome.id, wave=int(way["wave"]), variant="grid", draws=few, seed=seed
        )
        yield GridPoint(
            outcome=outcome.id,
            **way,
            att=e.att,
            low=e.ci[0],
            high=e.ci[1],
            p_primary=e.p_primary,
            p_secondary=e.p_secondary,
            pilots_count=e.pilots,
            authorities=e.authorities,
            first=e.first,
            last=e.last,
        )


def release_grid(
    data_dir: Path | str,
    path: Path = GRID,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> Path:
    """Compute the grid from public files and keep it as released results (a few minutes)."""
    made = grid(data_dir, progress=progress)
    content = {
        "schema": "sos-grid",
        "data_hash": made.data_hash,
        "code_hash": made.code_hash,
        "draws": DRAWS,
        "draws_other": FEWER,
        "seed": SEED,
        "columns": [f.name for f in fields(GridPoint)],
        # Six figures: more than is shown, and no last digits that differ between machines.
        "rows": [
            [float(f"{v:.6g}") if isinstance(v, float) else v for v in astuple(p)]
            for p in made.points
        ],
    }
    return release_public(content, path)


def released_grid(path: Path = GRID) -> Grid:
    """The grid this project has released.

    Raises
    ------
    RecordsError
        The file is absent, or not of this version.
    """
    content: dict[str, Any] = read_released(path)
    names = [f.name for f in fields(GridPoint)]
    if content.get("schema") != "sos-grid" or content.get("columns") != names:
        raise RecordsError(f"{path.name}: not a grid of this version; release it again.")
    points = tuple(GridPoint(**dict(zip(names, row, strict=True))) for row in content["rows"])
    return Grid("released", points, content["data_hash"], content["code_hash"])


def grid_for(data_dir: Path | str | None = None) -> Grid:
    """The released grid where it fits the files at hand or there are none; else computed anew.

    Raises
    ------
    AbsentError
        A folder is named that does not hold the files.
    """
    place = Path(data_dir) if data_dir else ROOT / "data" / "public"
    if not data_dir and not place.is_dir():
        return released_grid()
    kept = released_grid()
    sources = public_sources()
    try:
        figures = Figures(place, sources)
        figures.locate("referrals")
    except AbsentError:
        if data_dir:
            raise
        return kept
    # Bytes of the pinned release, and the same code: what was released is what would come out.
    pinned = figures.read["referrals"].sha256() == sources.file("referrals").sha256
    if pinned and kept.code_hash == code_hash("companion"):
        return replace(kept, source="released")
    return grid(place)
