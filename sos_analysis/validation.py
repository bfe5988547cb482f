"""Do the methods find the truth? Settings, the run, and the released results of it.

Settings take pilots, comparators, dates and counts of cells from the study's own matched samples
and draw outcomes anew, so that what is true is known. A short run takes seconds and is made in the
build; thousands of data sets are run by `make validate` and kept as released results, which are
used where study, records and code are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sos_analysis.simulation.differences import Difference, TakeUp, cases, rates
from sos_analysis.simulation.from_cells import world_of
from sos_analysis.simulation.montecarlo import (
    ALL_METHODS,
    METHODS,
    Result,
    Setting,
    Tally,
    monte_carlo,
)
from sos_analysis.simulation.ratings import Ratings, rate
from sos_analysis.simulation.regimes import Regime
from sos_analysis.simulation.worlds import World, made_up, world_hash
from sos_analysis.sources import ROOT, code_hash, digest, versions
from sos_analysis.study import Study, load_study

RELEASED = ROOT / "data" / "released" / "method_validation.json"
LIBRARIES = ("numpy", "scipy")
#: Data sets for each setting: in the build, by `make validate`, and of these rated.
SHORT, LONG = 200, 4000
RATED_SHORT, RATED_LONG = 20, 200
#: Data sets for each world in which comparators take the approach up.
TAKEN_SHORT, TAKEN_LONG = 20, 500
DRAWS = 399
#: Runs for each design of the table of sizes, spread over several made-up designs.
SIZE_RUNS, SIZE_WORLDS = 4000, 4
#: Published swings are standard deviations within authorities over so many years.
SWING_YEARS = 6

#: What each setting is called, and whether the comparison identifies the effect in it.
KINDS: Mapping[str, tuple[str, str, bool]] = {
    "null": (
        "No effect",
        "Pilots and comparators share all that moves them. Nothing happens at embedding.",
        True,
    ),
    "null_kinship": (
        "No effect, few cases",
        "The same with the few cases of kinship care.",
        True,
    ),
    "planted": (
        "An effect as large as the planted one",
        "Kinship care falls in pilots after embedding, by what the study file plants.",
        True,
    ),
    "growing": (
        "An effect that grows",
        "Re-referral falls a little more with each year after embedding.",
        True,
    ),
    "uneven": (
        "Shared comparators, unequal sizes",
        "No effect. Few comparators serve all pilots, and some authorities are ten times as large "
        "as others.",
        True,
    ),
    "volatile": (
        "Pilots swing more",
        "No effect. Pilots' yearly swings are twice as large as those of comparators.",
        True,
    ),
    "trends": (
        "Different trends",
        "No effect. Pilots drift upwards a little each year, whatever the programme does.",
        False,
    ),
    "contaminated": (
        "Comparators take it up too",
        "Kinship care falls in pilots, and by half as much in comparators.",
        False,
    ),
    "recording": (
        "Recording changes",
        "No effect. From embedding on, pilots no longer count a quarter of cases, those seldom "
        "referred again.",
        False,
    ),
}
#: How strong each departure is (ours): proportions, the drift and the growth a year.
GROWTH, START = -0.015, -0.02
DRIFT, CONTAMINATION, RECORDING, VOLATILITY = 0.005, 0.5, 0.25, 2.0


@dataclass(frozen=True)
class Validation:
    """Tallies and ratings of every setting, sizes of the primary tests, and what was run.

    `differences` are tallies of effects that differ and of comparators that take the approach up.
    `source` is 'computed' or 'released'.
    """

    tallies: tuple[Tally, ...]
    ratings: tuple[Ratings, ...]
    sizes: tuple[Tally, ...]
    differences: tuple[Tally, ...]
    runs: int
    rated: int
    draws: int
    seed: int
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    source: str = "computed"

    def of(self, setting: str, estimator: str, test: str) -> Tally:
        """One tally."""
        return Result(self.tallies, self.runs, self.draws, self.seed).of(setting, estimator, test)

    def differing(self, setting: str, test: str = "labels") -> Tally:
        """Tally of a world in which effects differ, or comparators take the approach up."""
        return next(t for t in self.differences if (t.setting, t.test) == (setting, test))

    def rated_as(self, setting: str) -> Ratings:
        """Ratings of one setting or step of the ladder."""
        return next(r for r in self.ratings if r.setting == setting)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "command": "python -m sos_analysis validate",
            **{k: getattr(self, k) for k in ("runs", "rated", "draws", "seed")},
            "hashes": dict(self.hashes),
            "versions": dict(self.versions),
            **{
                name: [_rounded(asdict(item)) for item in getattr(self, name)]
                for name in ("tallies", "ratings", "sizes", "differences")
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str) -> Validation:
        """What `to_dict` gave."""
        return cls(
            tuple(Tally(**t) for t in content["tallies"]),
            tuple(Ratings(**r) for r in content["ratings"]),
            tuple(Tally(**t) for t in content["sizes"]),
            tuple(Tally(**t) for t in content["differences"]),
            **{k: content[k] for k in ("runs", "rated", "draws", "seed", "hashes", "versions")},
            source=source,
        )


def _rounded(value: Any) -> Any:
    """Ten digits: far below Monte Carlo error, far above rounding of other machines."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    return value


def stationary(swing: float, rho: float, years: int = SWING_YEARS) -> float:
    """Standard deviation of an AR(1) whose expected swing within `years` years is `swing`.

    The mean of `years` values takes part of a slow shock with it: the expected variance around it
    is that of the process times (1 - mean correlation) n/(n-1).
    """
    gaps = np.abs(np.subtract.outer(np.arange(years), np.arange(years)))
    shown = (1 - float((rho**gaps).mean())) * years / (years - 1)
    return swing / math.sqrt(shown)


def settings(study: Study, extract: str) -> tuple[Setting, ...]:
    """The settings of a study: counts and dates of its own cells, shocks of its study file."""
    from sos_analysis.comparison import matched
    from sos_analysis.workspace import cells_for

    worlds: dict[str, World] = {}
    common: dict[str, dict[str, float]] = {}
    # A study on real records plants nothing: it takes shocks and effect of the shipped one.
    example = study if study.synthetic and study.truth else load_study("synthetic")
    made, truth = example.synthetic, example.truth
    assert made is not None
    assert truth is not None
    for outcome in ("rereferral", "kinship"):
        cells = cells_for(study, extract, outcome, "original")
        sample = matched(cells, study, outcome, thin_groups="drop")
        worlds[outcome] = world_of(cells, study, sample)
        totals = cells.frame.groupby("la", observed=True)[["n", "y_sum"]].sum()
        rates = totals["y_sum"] / totals["n"]
        rho = made.shock_rho[outcome]
        common[outcome] = {
            "level": float(totals["y_sum"].sum() / totals["n"].sum()),
            "between": float(rates.std()),
            "shock_sd": stationary(made.shock_sd[outcome], rho),
            "rho": rho,
        }
    cases, kin = common["rereferral"], common["kinship"]
    effect = truth.effects["kinship"]
    uneven = made_up(np.random.default_rng(made.seed), units=17, size_sd=1.0, mean_size=300.0)
    first, second = worlds["rereferral"], worlds["kinship"]
    recorded = {"recording": RECORDING, "recording_level": cases["level"] / 2}
    return (
        Setting("null", first, Regime(**cases), 1),
        Setting("null_kinship", second, Regime(**kin), 2),
        Setting("planted", second, Regime(**kin, effect=effect), 2),
        Setting("growing", first, Regime(**cases, effect=START, growth=GROWTH), 1),
        Setting("uneven", uneven, Regime(**cases), 3),
        Setting("volatile", first, Regime(**cases, volatility=VOLATILITY), 1),
        Setting("trends", first, Regime(**cases, drift=DRIFT), 1),
        Setting(
            "contaminated", second, Regime(**kin, effect=effect, contamination=CONTAMINATION), 2
        ),
        Setting("recording", first, Regime(**cases, **recorded), 1),
    )


#: Data made worse step by step, from twice the planted effect: what a rating is made of.
LADDER: Mapping[str, tuple[str, dict[str, float], float, int]] = {
    # name: (words, what is true besides, share of returns that are there, pilots; 0 for all)
    "clean": ("Nothing wrong", {}, 1.0, 0),
    "few_pilots": ("Five pilots alone", {}, 1.0, 5),
    "swings": ("Yearly swings three times as large", {"swings": 3.0}, 1.0, 0),
    "incomplete": ("A fifth of returns missing", {}, 0.8, 0),
    "recoded": ("Pilots record differently", {"recording": RECORDING}, 1.0, 0),
    "contaminated_too": ("Comparators take it up too", {"contamination": CONTAMINATION}, 1.0, 0),
    "diverging": ("Pilots on another path", {"drift": 0.04}, 1.0, 0),
    "together": (
        "Missing returns, other recording and another path",
        {"recording": RECORDING, "drift": 0.04},
        0.8,
        0,
    ),
}


def ladder(made: Sequence[Setting]) -> tuple[Setting, ...]:
    """The steps of `LADDER`, on the counts and shocks of the setting with the planted effect."""
    base = next(s for s in made if s.name == "planted")
    out = []
    for name, (_, change, complete, pilots) in LADDER.items():
        regime = base.regime
        rest = {k: v for k, v in change.items() if k != "swings"}
        if "recording" in rest:
            rest["recording_level"] = regime.level
        regime = replace(
            regime,
            effect=2 * regime.effect,
            shock_sd=regime.shock_sd * change.get("swings", 1.0),
            **rest,
        )
        world = base.world
        if pilots:
            world = world.with_groups(np.unique(world.place_group)[:pilots].tolist())
        out.append(Setting(name, world, regime, base.family, complete))
    return tuple(out)


def differing_cases(made: Sequence[Setting], study: Study) -> tuple[Difference | TakeUp, ...]:
    """Effects that differ: the design with most pilots, the level and effect of kinship care."""
    by_name = {s.name: s for s in made}
    return cases(by_name["null"].world, by_name["planted"].regime, study.inference.seed)


def hashes(made: Sequence[Setting], study: Study) -> dict[str, str]:
    """What a run rests on: its settings (counts, dates, truths), what is important, the code.

    Other parts of the study and other rooms of the code may change without making it stale.
    """
    parts = {s.name: world_hash(s.world) + repr(s.regime) for s in (*made, *ladder(made))}
    parts |= {
        c.name: world_hash(c.world) + repr(replace(c, world=None))  # type: ignore[arg-type]
        for c in differing_cases(made, study)
    }
    important = {name: repr(_important(study, name)) for name in ("rereferral", "kinship")}
    sizes = {"sizes": repr((SIZE_DESIGNS, _NULL, _SWINGING, SIZE_WORLDS))}
    return {
        "settings": digest(parts | important | sizes)[:12],
        "code": code_hash("simulation.montecarlo", "simulation.ratings", "simulation.differences")[
            :12
        ],
    }


def _important(study: Study, outcome: str) -> float:
    """Minimum important difference of an outcome, in its own unit."""
    chosen = study.outcome(outcome)
    return chosen.minimum_important_difference / chosen.scale


def run(
    study: Study,
    extract: str = "",
    *,
    runs: int = SHORT,
    rated: int = RATED_SHORT,
    draws: int = DRAWS,
    seed: int = 0,
    jobs: int = 1,
    full: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Validation:
    """Run all settings.

    Parameters
    ----------
    runs, rated : data sets for each setting, and of these given a rating.
    full : every estimator, and as many runs for the table of sizes as a release needs.
    """
    tell = progress or (lambda text: None)
    made = settings(study, extract)
    seed = seed or study.inference.seed
    tell(f"{len(made)} settings, {runs} data sets each")
    methods = ALL_METHODS if full else METHODS
    found = monte_carlo(made, runs=runs, draws=draws, seed=seed, jobs=jobs, methods=methods)
    tell("effects that differ, comparators that take it up")
    differences = rates(
        differing_cases(made, study),
        runs=runs,
        taken_up=min(runs, TAKEN_LONG if full else TAKEN_SHORT),
        draws=draws,
        seed=seed,
        jobs=jobs,
    )
    tell("ratings")
    ratings = _ratings(study, (*made, *ladder(made)), rated, draws, seed, jobs)
    return Validation(
        found.tallies,
        ratings,
        size_table(seed, draws, SIZE_RUNS if full else SHORT, jobs, tell),
        differences,
        runs,
        rated,
        draws,
        seed,
        hashes(made, study),
        versions(*LIBRARIES),
    )


def _ratings(
    study: Study, made: Sequence[Setting], runs: int, draws: int, seed: int, jobs: int
) -> tuple[Ratings, ...]:
    work = []
    for setting in made:
        mid = _important(study, "kinship" if setting.family == 2 else "rereferral")
        work.append((setting, mid))
    if jobs == 1:
        return tuple(rate(s, runs=runs, draws=draws, seed=seed, mid=mid) for s, mid in work)
    from joblib import Parallel, delayed

    one = delayed(rate)
    found = Parallel(n_jobs=jobs)(
        one(s, runs=runs, draws=draws, seed=seed, mid=mid) for s, mid in work
    )
    return tuple(found)


#: Designs of the table of sizes: label, arguments of `made_up`, primary test. In those named after
#: swings, yearly swings of pilots are `VOLATILITY` times those of the others.
SIZE_DESIGNS: Mapping[str, tuple[dict[str, Any], str]] = {
    "Matched groups, 27 authorities to draw from, comparators shared": ({"units": 27}, "slots"),
    "Matched groups, 27 authorities, none shared": ({"units": 27, "shared": False}, "slots"),
    "Matched groups, pilots small": ({"units": 27, "sizes": "small"}, "slots"),
    "Matched groups, pilots large": ({"units": 27, "sizes": "large"}, "slots"),
    "Matched groups, pilots swing twice as much": ({"units": 27}, "slots"),
    "Panel of 27": ({"units": 27, "matched": False}, "WCR-31"),
    "Panel of 40": ({"units": 40, "matched": False}, "WCR-31"),
    "Panel of 40, pilots small": ({"units": 40, "matched": False, "sizes": "small"}, "WCR-31"),
    "Panel of 40, pilots swing twice as much": ({"units": 40, "matched": False}, "WCR-31"),
    "Panel of 150": ({"units": 150, "matched": False}, "WCR-31"),
    "Panel of 150, pilots large": ({"units": 150, "matched": False, "sizes": "large"}, "WCR-31"),
    "Panel of 27, pilots swing twice as much": ({"units": 27, "matched": False}, "WCR-31"),
}
_NULL = Regime(level=0.25, shock_sd=0.04, rho=0.65)
_SWINGING = replace(_NULL, volatility=VOLATILITY)


def size_table(
    seed: int, draws: int, runs: int, jobs: int = 1, tell: Callable[[str], None] = lambda text: None
) -> tuple[Tally, ...]:
    """Size of tests with nine treated of 27, 40 and 150, averaged over several made-up designs."""
    out = []
    for number, (label, (arguments, primary)) in enumerate(SIZE_DESIGNS.items()):
        tell(f"sizes: {label}")
        tests = (
            "CRV1",
            "CRV3",
            "WCR-31",
            *(("slots", "slots, plain") if primary == "slots" else ("RI-t", "RI-t, plain")),
        )
        parts = [
            monte_carlo(
                [
                    Setting(
                        label,
                        made_up(np.random.default_rng([seed, number, w]), **arguments),
                        _SWINGING if "swing" in label else _NULL,
                        1000 + 10 * number + w,
                    )
                ],
                runs=runs // SIZE_WORLDS,
                draws=draws,
                seed=seed,
                jobs=jobs,
                methods={"preferred": tests},
            ).tallies
            for w in range(SIZE_WORLDS)
        ]
        out += [_pooled(column) for column in zip(*parts, strict=True)]
    return tuple(out)


def _pooled(tallies: Sequence[Tally]) -> Tally:
    """One tally of equally long runs in several designs."""
    first = tallies[0]
    mean = {
        name: float(np.mean([getattr(t, name) for t in tallies]))
        for name in ("truth", "mean", "rejected", "covered")
    }
    spread = float(np.sqrt(np.mean([t.spread**2 for t in tallies])))
    runs = sum(t.runs for t in tallies)
    return Tally(first.setting, first.estimator, first.test, runs, spread=spread, **mean)


def found_or_run(study: Study, extract: str, runs: int, draws: int, seed: int) -> Validation:
    """The released results where they are of this study, records, code and choice; else a run."""
    if not (runs or draws or seed):
        kept = released()
        if kept is not None and dict(kept.hashes) == hashes(settings(study, extract), study):
            return kept
    runs = runs or SHORT
    return run(
        study, extract, runs=runs, rated=min(RATED_SHORT, runs), draws=draws or DRAWS, seed=seed
    )


def released(path: Path = RELEASED) -> Validation | None:
    """The released results, if there are any that this code can read."""
    try:
        return Validation.from_dict(json.loads(path.read_text("utf-8")), "released")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def release(
    study: Study,
    extract: str = "",
    path: Path = RELEASED,
    *,
    runs: int = LONG,
    rated: int = RATED_LONG,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Run thousands of data sets and write the results with what they rest on."""
    from sos_analysis.whole_files import write_whole

    found = run(study, extract, runs=runs, rated=rated, jobs=jobs, full=True, progress=progress)
    text = json.dumps(found.to_dict(), indent=1, sort_keys=True, ensure_ascii=False)
    write_whole(path, text + "\n")
    return path
