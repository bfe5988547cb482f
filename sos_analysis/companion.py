"""The real companion: pilots against all other authorities, on published authority-year statistics.

What this can and cannot say. Nine of the ten authorities of the second wave had been in the first
(2014 to 2016), so the contrast before and after the second wave estimates the increment of that
wave, not the effect of having Signs of Safety. The figures are percentages of an authority's
referrals in a year: nothing here is about single children, and nothing about kinship care, for
which no authority-level figures are published. The second wave began on 29 September 2017, so the
year ending March 2018 is half before and half after: it counts as after in the main estimate, and
a variant leaves it out.

All values are per 100 referrals (0 to 100). Numbers only: words and charts are made elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis import __version__
from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.estimation import inference, power
from sos_analysis.estimation.estimate import Interval, disagree
from sos_analysis.estimation.frames import CellTable, cell_table, dummies
from sos_analysis.facts import programme
from sos_analysis.records.public_statistics import (
    RELEASED,
    PublicOutcome,
    PublicSources,
    Statistics,
    find_file,
    public_sources,
    read_released,
    read_statistics,
    release_public,
)
from sos_analysis.sources import ROOT, code_hash, digest, versions
from sos_analysis.study.reading import listed

if TYPE_CHECKING:
    import pandas as pd

WAVE = 2
ROLES = ("pilots", "others")
FIRST_YEAR, LAST_YEAR, POST_FROM = 2013, 2020, 2018
#: Wave 2 was launched on 29 September 2017: the year ending March 2018 is half before, half after.
TRANSITION = 2018
DRAWS, SEED = 9999, 20190331
PRIMARY, SECONDARY = "WCR-31", "RI-t"
LIBRARIES = ("linearmodels", "numpy", "pandas", "scipy")

MAIN = "main"
VARIANTS: Mapping[str, str] = {
    MAIN: "All authorities, each counted the same",
    "transition_out": "The transition year left out",
    "weighted": "Authorities counted by their referrals",
    "never_funded": "Compared with never-funded authorities alone",
    "both_waves": "Pilots that were in both waves alone",
    "confidential_as_zero": "Confidential figures read as zero",
}

#: How standard errors are scaled, for the table.
SSC = (
    "clustered on authorities; N/(N-K), K counting the effects of authorities and years "
    "(linearmodels); CRV3 is the cluster jackknife"
)


@dataclass(frozen=True)
class Source:
    """Which bytes a result rests on."""

    id: str
    name: str
    url: str
    sha256: str
    pinned: bool


@dataclass(frozen=True)
class PanelEstimate:
    """A difference-in-differences estimate on authority-years, per 100 referrals.

    ``att`` and ``se_crv1`` come from linearmodels, ``se_crv3`` from the cluster jackknife with
    ``df`` (pilots less one) degrees of freedom. ``p_primary``, ``ci`` and ``ci90`` are the
    restricted wild cluster bootstrap (WCR-31), ``p_secondary`` and ``ci_secondary`` studentised
    randomisation inference (RI-t). ``inconclusive``: the two p-values lie on opposite sides of
    5%. ``baseline``: the pilots' mean after, less ``att``. ``mde``: minimum detectable effect at
    80% power, from CRV3. ``left_out``: the estimate with each pilot left out, smallest first.
    ``not_given``: authority-years in the design without a published number.
    """

    outcome: str
    variant: str
    att: float
    se_crv1: float
    se_crv3: float
    df: int
    p_crv1: float
    p_crv3: float
    primary: str
    p_primary: float
    ci: Interval
    ci90: Interval
    secondary: str
    p_secondary: float
    ci_secondary: Interval
    inconclusive: bool
    baseline: float
    mde: float
    left_out: tuple[float, ...]
    authority_years: int
    authorities: int
    pilots: int
    not_given: int
    draws: int


@dataclass(frozen=True)
class EventYear:
    """Difference between pilots and others in a year, less that of the base year."""

    year: int
    att: float
    se_crv3: float
    ci: Interval
    p: float


@dataclass(frozen=True)
class EventYears:
    """An event study by calendar year.

    ``years`` leaves out the base, whose difference is zero by construction. Intervals and
    p-values are WCR-31, one year at a time. ``joint_p`` tests all years before the base at once
    (WCR-31, Wald statistic). ``trend`` is the difference in linear trend before adoption, per
    100 referrals a year, with its WCR-31 interval and p-value.
    """

    outcome: str
    base: int
    years: tuple[EventYear, ...]
    joint_years: tuple[int, ...]
    joint_p: float
    trend: float
    trend_ci: Interval
    trend_p: float


@dataclass(frozen=True)
class YearMean:
    """Mean over the authorities of a role in a year, per 100 referrals.

    ``mean`` counts each authority the same, ``weighted`` by its referrals. ``referrals`` is the
    sum over the authorities counted, ``not_given`` how many have no published number.
    """

    outcome: str
    role: str
    year: int
    mean: float
    weighted: float
    authorities: int
    not_given: int
    referrals: int


@dataclass(frozen=True)
class CompanionResult:
    """Everything the chapter on public statistics shows, with where it comes from.

    ``source`` is ``"computed"`` from files at hand or ``"released"``, read from this project's
    released results. ``parameters`` holds first_year, last_year, post_from, draws and seed.
    """

    source: str
    parameters: Mapping[str, int]
    outcomes: tuple[PublicOutcome, ...]
    pilots: tuple[tuple[str, str], ...]
    variants: Mapping[str, str]
    estimates: tuple[PanelEstimate, ...]
    event_years: tuple[EventYears, ...]
    means: tuple[YearMean, ...]
    files: tuple[Source, ...]
    attribution: str
    ssc: str
    command: str
    package: str
    data_hash: str
    code_hash: str
    libraries: Mapping[str, str]

    def outcome(self, id: str) -> PublicOutcome:
        """The outcome of that id."""
        return _only([o for o in self.outcomes if o.id == id], "outcome", id)

    def estimate(self, outcome: str, variant: str = MAIN) -> PanelEstimate:
        """The estimate of an outcome in a variant."""
        found = [e for e in self.estimates if (e.outcome, e.variant) == (outcome, variant)]
        return _only(found, "estimate", f"{outcome}, {variant}")

    def events(self, outcome: str) -> EventYears:
        """The event study of an outcome."""
        return _only([e for e in self.event_years if e.outcome == outcome], "event study", outcome)

    def means_of(self, outcome: str, role: str) -> tuple[YearMean, ...]:
        """Yearly means of an outcome in a role, oldest first."""
        return tuple(m for m in self.means if (m.outcome, m.role) == (outcome, role))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content; numbers that are not finite become words."""
        content = _plain(asdict(self))
        assert isinstance(content, dict)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CompanionResult:
        """Result from `to_dict`.

        Raises
        ------
        RecordsError
            A field is missing or unknown.
        """
        parts = {
            "outcomes": PublicOutcome,
            "estimates": PanelEstimate,
            "event_years": EventYears,
            "means": YearMean,
            "files": Source,
        }
        try:
            values = dict(content)
            for name, kind in parts.items():
                values[name] = tuple(_made(kind, item) for item in content[name])
            values["pilots"] = tuple((code, name) for code, name in content["pilots"])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as cause:
            raise RecordsError(
                f"released results of the public companion do not fit this version ({cause}). "
                "Release them again from the public files."
            ) from cause


def _only(found: Sequence[Any], what: str, id: str) -> Any:
    if not found:
        raise RecordsError(f"the public companion has no {what} for {id}.")
    return found[0]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _made(kind: type[Any], content: Mapping[str, Any]) -> Any:
    values = dict(content)
    for field in fields(kind):
        value = values[field.name]
        if kind is EventYears and field.name == "years":
            value = tuple(_made(EventYear, year) for year in value)
        elif isinstance(value, list):
            value = tuple(
                float(v) if "float" in field.type or "Interval" in field.type else v for v in value
            )
        elif field.type == "float":
            value = float(value)
        values[field.name] = value
    return kind(**values)


# --- the panel -----------------------------------------------------------------------------------
def panel(
    statistics: Statistics,
    outcome: PublicOutcome,
    *,
    first_year: int = FIRST_YEAR,
    last_year: int = LAST_YEAR,
    post_from: int = POST_FROM,
) -> pd.DataFrame:
    """Authority-years of one outcome, one row each, those without a number included.

    Columns: ``la`` (the authority's three-digit DfE code in that year), ``name``, ``year``,
    ``pilot`` (second wave) and ``post`` (0/1), ``waves`` (how many waves the authority was in),
    ``y`` (per 100 referrals, NaN if not given), ``code`` (what stands instead of it) and
    ``referrals`` (NaN if not given). An authority that was reorganised changes its code, so it
    enters as several authorities, as coded in each year.
    """
    import pandas as pd

    values = statistics.values
    kept = values["geographic_level"].eq("Local authority")
    kept &= values["year"].between(first_year, last_year)
    rows = values[kept]
    waves = {p.dfe_code: p.waves for p in programme().pilots}
    funded = rows["old_la_code"].map(lambda code: waves.get(code, ()))
    frame = pd.DataFrame(
        {
            "la": rows["old_la_code"],
            "name": rows["la_name"],
            "year": rows["year"],
            "pilot": funded.map(lambda w: int(WAVE in w)),
            "post": (rows["year"] >= post_from).astype(int),
            "waves": funded.map(len),
            "y": rows[outcome.id],
            "code": statistics.codes.loc[rows.index, outcome.id],
            "referrals": rows[outcome.weight],
        }
    )
    return frame.sort_values(["la", "year"], kind="stable").reset_index(drop=True)


def _variant(frame: pd.DataFrame, variant: str) -> pd.DataFrame | None:
    """The rows of a variant with their ``weight``; None where it would be the main one again."""
    frame = frame.assign(weight=1.0)
    if variant == "transition_out":
        kept = frame[frame["year"] != TRANSITION]
        return kept if len(kept) < len(frame) and kept["post"].any() else None
    if variant == "weighted":
        given = frame["y"].where(frame["referrals"].notna())
        # In units of the mean authority: the scale does not matter to the estimate.
        return frame.assign(y=given, weight=frame["referrals"] / frame["referrals"].mean())
    if variant == "never_funded":
        return frame[(frame["pilot"] == 1) | (frame["waves"] == 0)]
    if variant == "both_waves":
        return frame[(frame["pilot"] == 0) | (frame["waves"] == 2)]
    if variant == "confidential_as_zero":
        confidential = frame["code"] == "c"
        # A percentage is also withheld to protect another one; only where small numbers are
        # withheld often is reading them as zero worth showing.
        if confidential.sum() < len(frame) / 50:
            return None
        return frame.assign(y=frame["y"].mask(confidential, 0.0))
    return frame


# --- estimates -----------------------------------------------------------------------------------
def _table(frame: pd.DataFrame) -> CellTable:
    """One cell an authority-year, so that authority-years are what is counted."""
    given = frame.dropna(subset=["y"])
    cells = given.rename(columns={"pilot": "treated", "year": "period", "y": "y_sum"})
    columns = ["la", "treated", "post", "period", "y_sum", "weight"]
    return cell_table(cells[columns].assign(n=1), period="period")


def _gram(table: CellTable, columns: Mapping[str, Any]) -> inference.Grams:
    """Gram matrices with the given columns first, then years; authorities taken out."""
    years = np.unique(table.period)
    codes = np.searchsorted(years, table.period).astype(np.int64)
    names, block = dummies(codes, [str(y) for y in years], "year")
    x = np.column_stack([*columns.values(), block])
    return inference.gram(
        x, table.y, table.w, table.n, table.la, table.las, [*columns, *names], within=table.la
    )


def _two_way(table: CellTable) -> tuple[float, float]:
    """Estimate and clustered standard error of the two-way fixed effects fit by linearmodels."""
    import pandas as pd
    from linearmodels.panel import PanelOLS

    index = pd.MultiIndex.from_arrays([table.la, table.period], names=["la", "year"])
    frame = pd.DataFrame({"y": table.y, "effect": table.exposure, "w": table.w}, index=index)
    fitted = PanelOLS(
        frame["y"], frame[["effect"]], weights=frame["w"], entity_effects=True, time_effects=True
    ).fit(cov_type="clustered", cluster_entity=True)
    return float(fitted.params["effect"]), float(fitted.std_errors["effect"])


def _estimate(
    frame: pd.DataFrame, outcome: str, variant: str, *, draws: int, seed: int
) -> PanelEstimate:
    table = _table(frame)
    att, se = _two_way(table)
    grams = _gram(table, {"effect": table.exposure})
    pilots = np.flatnonzero([la in table.treated_las for la in table.las])
    df = len(pilots) - 1
    se_crv3 = math.sqrt(float(inference.crv3(grams)[0, 0]))
    first = inference.wcr(grams, kind="31", draws=draws, seed=seed)
    second = inference.ri_t(table, draws=draws, seed=seed)
    after = (table.treated == 1) & (table.post == 1)
    return PanelEstimate(
        outcome=outcome,
        variant=variant,
        att=att,
        se_crv1=se,
        se_crv3=se_crv3,
        df=df,
        p_crv1=inference.t_test(att, se, len(table.las) - 1)[0],
        p_crv3=inference.t_test(att, se_crv3, df)[0],
        primary=PRIMARY,
        p_primary=first.p,
        ci=first.ci,
        ci90=first.ci90,
        secondary=SECONDARY,
        p_secondary=second.p,
        ci_secondary=second.ci,
        inconclusive=disagree(first.p, second.p),
        baseline=float(np.average(table.y[after], weights=table.w[after])) - att,
        mde=power.mde(se_crv3, df).effect,
        left_out=tuple(sorted(float(v) for v in inference.leave_one_out(grams)[pilots, 0])),
        authority_years=len(table.la),
        authorities=len(table.las),
        pilots=len(pilots),
        not_given=int(frame["y"].isna().sum()),
        draws=first.draws,
    )


def _event_years(
    frame: pd.DataFrame, outcome: str, post_from: int, *, draws: int, seed: int
) -> EventYears:
    table = _table(frame)
    base = post_from - 1
    years = [int(y) for y in np.unique(table.period) if y != base]
    early = [y for y in years if y < base]
    columns = {f"pilot x {y}": table.treated * (table.period == y) for y in years}

    def ordered(first: Sequence[int]) -> inference.Grams:
        names = [f"pilot x {y}" for y in [*first, *(y for y in years if y not in first)]]
        return _gram(table, {name: columns[name] for name in names})

    found = []
    for year in years:
        grams = ordered([year])
        test = inference.wcr(grams, kind="31", draws=draws, seed=seed)
        se = math.sqrt(float(inference.crv3(grams)[0, 0]))
        found.append(EventYear(year, test.estimate, se, test.ci, test.p))
    joint = inference.wcr_joint(ordered(early), len(early), kind="31", draws=draws, seed=seed)
    before = _table(frame[frame["year"] < post_from])
    slope = _gram(before, {"trend": before.treated * (before.period - base)})
    trend = inference.wcr(slope, kind="31", draws=draws, seed=seed)
    return EventYears(
        outcome, base, tuple(found), tuple(early), joint[1], trend.estimate, trend.ci, trend.p
    )


def _means(frame: pd.DataFrame, outcome: str) -> list[YearMean]:
    found = []
    for role, pilot in (("pilots", 1), ("others", 0)):
        for year, rows in frame[frame["pilot"] == pilot].groupby("year"):
            given = rows.dropna(subset=["y"])
            if given.empty:
                continue
            counted = given.dropna(subset=["referrals"])
            weighted = np.average(counted["y"], weights=counted["referrals"])
            found.append(
                YearMean(
                    outcome=outcome,
                    role=role,
                    year=int(str(year)),
                    mean=float(given["y"].mean()),
                    weighted=float(weighted),
                    authorities=len(given),
                    not_given=len(rows) - len(given),
                    referrals=int(counted["referrals"].sum()),
                )
            )
    return found


# --- running -------------------------------------------------------------------------------------
def _check(first_year: int, last_year: int, post_from: int, draws: int, seed: int) -> None:
    given = {"first_year": first_year, "last_year": last_year, "post_from": post_from}
    for name, value in (given | {"draws": draws, "seed": seed}).items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParameterError(f"{name} must be a whole number, not {value!r}.")
    if draws < 99:
        raise ParameterError(f"draws is {draws}; give 99 or more (the report uses {DRAWS}).")
    if seed < 0:
        raise ParameterError(f"seed is {seed}; give 0 or more.")
    if post_from - first_year < 3 or last_year < post_from:
        raise ParameterError(
            f"years do not fit: first_year {first_year}, post_from {post_from}, last_year "
            f"{last_year}. Needed: three or more years before post_from, and one or more from it "
            f"to last_year (the report uses {FIRST_YEAR}, {POST_FROM}, {LAST_YEAR})."
        )


def run(
    data_dir: Path | str | None = None,
    *,
    first_year: int = FIRST_YEAR,
    last_year: int = LAST_YEAR,
    post_from: int = POST_FROM,
    draws: int = DRAWS,
    seed: int = SEED,
) -> CompanionResult:
    """Estimate the companion from public files, or take the released results where they are absent.

    Parameters
    ----------
    data_dir
        Folder of public files (flat or nested). None: `data/public` if the files are there, else
        this project's released results.
    first_year, last_year
        First and last year, named by their end: 2013 is the year ending 31 March 2013.
    post_from
        First year that counts as after. Wave 2 began on 29 September 2017, so 2018 (the default)
        is in transition; the variant ``transition_out`` leaves that year out.
    draws, seed
        Of the bootstrap and the permutations.

    Raises
    ------
    ParameterError
        Years or draws that do not fit, or years other than the released ones without files.
    RecordsError
        A file that is missing or cannot be read as what it should be.
    """
    _check(first_year, last_year, post_from, draws, seed)
    sources = public_sources()
    years = {"first_year": first_year, "last_year": last_year, "post_from": post_from}
    if data_dir is None:
        data_dir = ROOT / "data" / "public"
        if not _there(data_dir, sources):
            result = released()
            had = {name: result.parameters[name] for name in years}
            if had != years:
                raise ParameterError(
                    f"the released results are for {had}, not {years}, and the public files are "
                    "not here. Run `python -m sos_analysis fetch-public` or name their folder."
                )
            return result
    statistics = {f.id: read_statistics(find_file(Path(data_dir), f), f) for f in sources.files}
    for read in statistics.values():
        held = sorted(set(read.values["year"]))
        if first_year < held[0] or last_year > held[-1]:
            raise ParameterError(
                f"{read.name} holds the years {held[0]} to {held[-1]}, not {first_year} to "
                f"{last_year}."
            )
    estimates: list[PanelEstimate] = []
    event_years: list[EventYears] = []
    means: list[YearMean] = []
    for outcome in sources.outcomes:
        frame = panel(statistics[outcome.file], outcome, **years)
        _check_pilots(frame, outcome.id)
        for variant in VARIANTS:
            rows = _variant(frame, variant)
            if rows is not None:
                estimates.append(_estimate(rows, outcome.id, variant, draws=draws, seed=seed))
        main = frame.assign(weight=1.0)
        event_years.append(_event_years(main, outcome.id, post_from, draws=draws, seed=seed))
        means += _means(frame, outcome.id)
    files = tuple(
        Source(s.file.id, s.name, s.file.url if s.pinned else "", s.sha256, s.pinned)
        for s in statistics.values()
    )
    call = ", ".join(f"{k}={v}" for k, v in (years | {"draws": draws, "seed": seed}).items())
    return CompanionResult(
        source="computed",
        parameters=years | {"draws": draws, "seed": seed},
        outcomes=sources.outcomes,
        pilots=tuple((p.dfe_code, p.name) for p in programme().in_wave(WAVE)),
        variants={v: VARIANTS[v] for v in VARIANTS if any(e.variant == v for e in estimates)},
        estimates=tuple(estimates),
        event_years=tuple(event_years),
        means=tuple(means),
        files=files,
        attribution=sources.attribution,
        ssc=SSC,
        command=f"sos_analysis.companion.run(PUBLIC_DATA, {call})",
        package=__version__,
        data_hash=digest((f.name, f.sha256) for f in files),
        code_hash=code_hash("companion"),
        libraries=versions(*LIBRARIES),
    )


def _there(folder: Path, sources: PublicSources) -> bool:
    try:
        return all(find_file(folder, file).is_file() for file in sources.files)
    except RecordsError:
        return False


def _check_pilots(frame: pd.DataFrame, outcome: str) -> None:
    wanted = {p.dfe_code: p.name for p in programme().in_wave(WAVE)}
    lost = [name for code, name in wanted.items() if code not in set(frame["la"])]
    if lost:
        raise RecordsError(
            f"{outcome}: pilots not found by their three-digit code: {listed(lost)}. Their codes "
            "are in data/programme/programme.toml."
        )


def released(path: Path = RELEASED) -> CompanionResult:
    """The results this project has released, for where the public files are absent."""
    content = read_released(path)
    return CompanionResult.from_dict(content | {"source": "released"})


def release(data_dir: Path | str, path: Path = RELEASED, **parameters: int) -> Path:
    """Compute the companion from public files and write it as released results.

    Raises
    ------
    RecordsError
        A file is not the pinned release: only what others can fetch again is released.
    """
    result = run(data_dir, **parameters)
    odd = [f.name for f in result.files if not f.pinned]
    if odd:
        raise RecordsError(
            f"{listed(odd)}: not the pinned release, so its results are not released. Change "
            "commit, name and sha256 in data/programme/public_sources.toml first."
        )
    return release_public(result.to_dict(), path)
