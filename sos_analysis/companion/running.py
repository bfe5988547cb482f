"""The whole companion in one run, or its released results where the files are absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis import __version__
from sos_analysis.companion.design import (
    JOINED,
    MAIN,
    VARIANTS,
    ZERO,
    Design,
    YearsError,
    variants,
)
from sos_analysis.companion.estimates import (
    DRAWS,
    FEWER,
    SEED,
    SSC,
    estimate_on,
    event_years,
    jumps,
    year_means,
)
from sos_analysis.companion.grid import designs_around
from sos_analysis.companion.history import history
from sos_analysis.companion.panel import Figures, panel, pilots
from sos_analysis.companion.ratings import rating_split
from sos_analysis.companion.types import (
    RELEASED_RESULTS,
    CompanionResult,
    EventYears,
    History,
    JointCurve,
    Jumps,
    PanelEstimate,
    RatingSplit,
    Source,
    YearMean,
)
from sos_analysis.companion.ways import joint_curve
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.records.public import (
    RELEASED,
    AbsentError,
    PublicOutcome,
    find_file,
    public_sources,
    read_released,
    release_public,
)
from sos_analysis.sources import ROOT, code_hash, digest, versions
from sos_analysis.study.reading import listed

if TYPE_CHECKING:
    import pandas as pd

LIBRARIES = ("numpy", "pandas", "scipy")
#: Main designs of the report: the second wave leads.
DESIGNS = (Design(wave=2), Design(wave=1))
#: A figure jumped if it changed by this share of its unit from one year to the next (ours).
JUMP = {"per 100": 10.0}
#: Withheld figures are read as zero where they are at least this share; below that it changes
#: nothing, and a figure may be withheld to protect another one.
WITHHELD = 1 / 50


@dataclass
class _Found:
    """What a run has made so far."""

    estimates: list[PanelEstimate] = field(default_factory=list)
    event_years: list[EventYears] = field(default_factory=list)
    curves: list[JointCurve] = field(default_factory=list)
    means: list[YearMean] = field(default_factory=list)
    jumps: list[Jumps] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    splits: list[RatingSplit] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    #: Tables whose released results stand in.
    borrowed: set[str] = field(default_factory=set)


def run(
    data_dir: Path | str | None = None,
    *,
    designs: Sequence[Design] = DESIGNS,
    outcomes: Sequence[str] = (),
    only_main: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
) -> CompanionResult:
    """Estimate the companion from public files, or take the released results where they are absent.

    Parameters
    ----------
    data_dir
        Folder or ZIP of public files. None: `data/public` if the files are there, else this
        project's released results. An outcome or a comparison that rests on a file which is not
        there takes its released results too, as long as the designs are the report's own.
    designs
        Main design of each wave, at most one a wave; variants change one choice at a time.
    outcomes
        Ids of the outcomes wanted; all by default.
    only_main
        No variants one by one, and not both waves at once.
    draws, seed
        Of the bootstrap and the permutations. Variants, and single years of event studies, take
        at most `FEWER` draws.

    Raises
    ------
    ParameterError
        Draws that do not fit, or designs other than the released ones without files.
    RecordsError
        A file that cannot be read as what it should be.
    """
    _check(designs, draws, seed)
    sources = public_sources()
    if data_dir is None:
        data_dir = ROOT / "data" / "public"
        if not _there(data_dir):
            if tuple(designs) != DESIGNS:
                raise ParameterError(
                    "the released results are for the report's own designs alone, and the public "
                    "files are not here. Run `python -m sos_analysis fetch-public` or name their "
                    "folder."
                )
            return released()
    figures = Figures(Path(data_dir), sources)
    figures.locate("referrals")
    found = _Found()
    wanted = tuple(sources.outcome(id) for id in outcomes) or sources.outcomes
    for chosen in designs:
        for outcome in wanted:
            _run_one(figures, outcome, chosen, found, draws, seed, only_main)
    for outcome in () if only_main else wanted:
        try:
            made = history(figures, outcome)
        except AbsentError:
            continue
        found.histories += [made] if made else []
    for chosen in () if only_main else (d for d in designs if d.wave == 2):
        for outcome in wanted:
            _split(figures, outcome, chosen, found, draws, seed)
    files = _files(figures, found.borrowed)
    had = {e.variant for e in found.estimates}
    return CompanionResult(
        source="computed",
        designs={f"wave{d.wave}": _design(d) for d in designs},
        parameters={"draws": draws, "seed": seed},
        outcomes=wanted,
        pilots={f"wave{d.wave}": tuple((p.dfe_code, p.name) for p in pilots(d)) for d in designs},
        variants={v: VARIANTS[v] for v in VARIANTS if v in had},
        estimates=tuple(found.estimates),
        event_years=tuple(found.event_years),
        curves=tuple(found.curves),
        means=tuple(found.means),
        jumps=tuple(found.jumps),
        histories=tuple(found.histories),
        splits=tuple(found.splits),
        absent=tuple(dict.fromkeys(found.absent)),
        files=files,
        attribution=sources.attribution,
        ssc=SSC,
        command=f"sos_analysis.companion.run(PUBLIC_DATA, draws={draws}, seed={seed})",
        package=__version__,
        data_hash=digest((f.name, f.sha256) for f in files),
        code_hash=code_hash("companion"),
        libraries=versions(*LIBRARIES),
    )


def _run_one(
    figures: Figures,
    outcome: PublicOutcome,
    chosen: Design,
    found: _Found,
    draws: int,
    seed: int,
    only_main: bool,
) -> None:
    """One outcome in one wave's design and its variants."""
    id, wave = outcome.id, chosen.wave
    try:
        main = panel(figures, outcome, chosen)
    except AbsentError as absent:
        _borrow(outcome, chosen, None, absent.table, found)
        return
    except YearsError:
        found.absent.append(
            f"{outcome.short_label}, wave {chosen.wave}: not published for two years before "
            f"{chosen.post_from}."
        )
        return
    latest = int(figures.figure(outcome)["year"].max())
    chosen_variants = {MAIN: chosen} if only_main else variants(chosen, latest)
    for variant, design in chosen_variants.items():
        try:
            rows = panel(figures, outcome, design)
        except AbsentError as absent:
            _borrow(outcome, chosen, variant, absent.table, found)
            continue
        if variant != MAIN and not _differs(rows, main, design):
            continue
        few = draws if variant == MAIN else min(draws, FEWER)
        found.estimates.append(
            estimate_on(rows, outcome=id, wave=wave, variant=variant, draws=few, seed=seed)
        )
    found.event_years.append(
        event_years(main, outcome=id, wave=wave, post_from=chosen.post_from, draws=draws, seed=seed)
    )
    _curve(figures, outcome, chosen, found, draws, seed)
    whole = main
    if chosen.wave == 2 and chosen.last_year < latest:
        whole = panel(figures, outcome, chosen.with_(last_year=latest))
    found.means += year_means(whole, outcome=id, wave=wave)
    if outcome.unit in JUMP:
        found.jumps.append(jumps(main, outcome=id, wave=wave, by=JUMP[outcome.unit]))


def _curve(
    figures: Figures, outcome: PublicOutcome, chosen: Design, found: _Found, draws: int, seed: int
) -> None:
    """All ways around a design judged as one; released ones where a file for some is not here."""
    panels = []
    for design in designs_around(chosen, int(figures.figure(outcome)["year"].max())):
        try:
            panels.append(panel(figures, outcome, design))
        except YearsError:
            continue
        except AbsentError as absent:
            if chosen not in DESIGNS or not RELEASED.is_file():
                continue
            found.borrowed.add(absent.table)
            found.curves.append(released().curve(outcome.id, chosen.wave))
            return
    few = min(draws, FEWER)
    found.curves.append(
        joint_curve(panels, outcome=outcome.id, wave=chosen.wave, draws=few, seed=seed)
    )


def _split(
    figures: Figures, outcome: PublicOutcome, chosen: Design, found: _Found, draws: int, seed: int
) -> None:
    """By rating before the second wave; released results where the ratings are not here."""
    try:
        split = rating_split(figures, outcome, chosen, draws=draws, seed=seed)
    except (YearsError, RecordsError) as cause:
        if not isinstance(cause, AbsentError):
            found.absent.append(f"{outcome.short_label}, by rating: {cause}")
            return
        if chosen in DESIGNS and RELEASED.is_file():
            kept = released().split(outcome.id)
            if kept is not None:
                found.borrowed.update((cause.table, *outcome.tables))
                found.splits.append(kept)
    else:
        found.splits.append(split)


def _differs(rows: pd.DataFrame, main: pd.DataFrame, design: Design) -> bool:
    """Is a variant worth showing: other rows or other weights, and enough withheld figures?"""
    if design.confidential == ZERO:
        return bool((main["code"] == "c").sum() >= len(main) * WITHHELD)
    if design.boundaries == JOINED:
        # An authority under another code in no year of the window is the same place.
        return len(rows) != len(main)
    return not rows[["la", "year", "y", "weight"]].equals(main[["la", "year", "y", "weight"]])


def _borrow(
    outcome: PublicOutcome, chosen: Design, variant: str | None, table: str, found: _Found
) -> None:
    """Released results in place of what rests on a file that is not here."""
    what = f"{outcome.short_label}, wave {chosen.wave}"
    if variant:
        what += f", {VARIANTS[variant].lower()}"
    if chosen not in DESIGNS or not RELEASED.is_file():
        found.absent.append(f"{what}: a file it needs ({table}) is not here.")
        return
    kept = released()

    def mine(item: Any) -> bool:
        return bool((item.outcome, item.wave) == (outcome.id, chosen.wave))

    taken = [e for e in kept.estimates if mine(e) and variant in (None, e.variant)]
    if not taken:
        return
    found.borrowed.update((table,) if variant else (table, *outcome.tables))
    found.estimates += taken
    if variant is None:
        found.event_years += [e for e in kept.event_years if mine(e)]
        found.curves += [c for c in kept.curves if mine(c)]
        found.means += [m for m in kept.means if mine(m)]
        found.jumps += [j for j in kept.jumps if mine(j)]


def _files(figures: Figures, borrowed: set[str]) -> tuple[Source, ...]:
    """Files read here, then those that released results rest on."""
    made = []
    for table, located in figures.read.items():
        file = figures.sources.file(table)
        sha256 = located.sha256()
        pinned = sha256 == file.sha256
        url = file.url if pinned else ""
        made.append(Source(table, located.name, url, sha256, pinned, not file.fetch and pinned))
    if borrowed:
        had = {s.id for s in made}
        made += [s for s in released().files if s.id in borrowed and s.id not in had]
    order = [f.id for f in figures.sources.files]
    return tuple(sorted(made, key=lambda s: order.index(s.id)))


def _design(chosen: Design) -> Mapping[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(chosen).items()}


def _check(designs: Sequence[Design], draws: int, seed: int) -> None:
    for name, value in (("draws", draws), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParameterError(f"{name} must be a whole number, not {value!r}.")
    if draws < 99:
        raise ParameterError(f"draws is {draws}; give 99 or more (the report uses {DRAWS}).")
    if seed < 0:
        raise ParameterError(f"seed is {seed}; give 0 or more.")
    waves = [d.wave for d in designs]
    if not waves or len(set(waves)) < len(waves):
        raise ParameterError(f"give one design a wave, not {len(waves)} for waves {waves}.")


def _there(place: Path) -> bool:
    try:
        find_file(place, public_sources().file("referrals"))
    except AbsentError:
        return False
    return True


def released(path: Path = RELEASED) -> CompanionResult:
    """The results this project has released, for where the public files are absent."""
    content = dict(read_released(path))
    for part in ("estimates", "event_years", "curves", "histories", "splits"):
        if isinstance(content.get(part), list):
            content[part] = [{**item, "source": RELEASED_RESULTS} for item in content[part]]
    return CompanionResult.from_dict(content | {"source": RELEASED_RESULTS})


def release(
    data_dir: Path | str, path: Path = RELEASED, *, draws: int = DRAWS, seed: int = SEED
) -> Path:
    """Compute the companion from public files and write it as released results.

    Raises
    ------
    RecordsError
        A file is not the pinned release, or is absent: only what rests on known bytes is released.
    """
    # Nothing may be borrowed from an earlier release of results.
    figures = Figures(Path(data_dir), public_sources())
    needed = {t for o in figures.sources.outcomes for t in o.tables}
    for table in sorted({*needed, "neighbours_2021", "neighbours_2025", "ofsted"}):
        figures.locate(table)
    odd = [f.name for f in _files(figures, set()) if not f.pinned]
    if odd:
        raise RecordsError(
            f"{listed(odd)}: not the pinned release, so its results are not released. Add a "
            "release to data/programme/public_sources.toml first."
        )
    return release_public(run(data_dir, draws=draws, seed=seed).to_dict(), path)
