"""Run estimators and tests on many made-up data sets whose truth is known, and count.

Every data set has a seed of its own, made from the number of the setting and of the data set, and
data sets go through estimators in blocks of fixed size. So results are the same to the last digit
whatever the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from sos_analysis.estimation.frames import Floats, FrameError

from .batch import PanelTests, Regression, SlotTests, Tests, normal_tests
from .by_dates import ByDates
from .regimes import Regime, draw
from .worlds import World, original, preferred, two_way, world_hash

#: Data sets that go through an estimator together.
BLOCK = 50
ALPHA = 0.05

Methods = Mapping[str, tuple[str, ...]]
#: Estimators and, for each, the tests that go with it ("own": the estimator's own error, normal).
METHODS: Methods = {
    "original": ("CRV1",),
    "two_way": ("CRV1", "WCR-31"),
    "imputation": ("own",),
    "preferred": ("CRV1", "CRV3", "WCR-31", "slots, plain", "slots"),
}
#: The same with Callaway and Sant'Anna's, which takes seconds to set up.
ALL_METHODS: Methods = {**METHODS, "callaway": ("own",)}


@dataclass(frozen=True)
class Setting:
    """A world and what is true in it.

    `family` numbers the seeds: equal numbers, equal draws. `complete` is the share of returns that
    are there, which one of the checks asks for; outcomes are drawn as if none were missing.
    """

    name: str
    world: World
    regime: Regime
    family: int
    complete: float = 1.0


@dataclass(frozen=True)
class Tally:
    """How one test of one estimator did in one setting. Effects in the outcome's own unit.

    Attributes
    ----------
    runs : data sets.
    truth, mean : mean true effect and mean estimate.
    spread : standard deviation of (estimate - truth).
    rejected : share of data sets in which 'no effect' was rejected at 5 %.
    covered : share in which the true effect was not rejected, that is, lies in the 95 % interval.
    """

    setting: str
    estimator: str
    test: str
    runs: int
    truth: float
    mean: float
    spread: float
    rejected: float
    covered: float

    @property
    def bias(self) -> float:
        return self.mean - self.truth

    @property
    def bias_error(self) -> float:
        """Monte Carlo standard error of the bias."""
        return self.spread / math.sqrt(self.runs)

    @property
    def rejected_error(self) -> float:
        """Monte Carlo standard error of the share rejected."""
        return share_error(self.rejected, self.runs)

    @property
    def covered_error(self) -> float:
        """Monte Carlo standard error of the coverage."""
        return share_error(self.covered, self.runs)


@dataclass(frozen=True)
class Result:
    """All tallies of a run, and what was run."""

    tallies: tuple[Tally, ...]
    runs: int
    draws: int
    seed: int
    extra: Mapping[str, object] = field(default_factory=dict)

    def of(self, setting: str, estimator: str, test: str) -> Tally:
        """One tally.

        Raises
        ------
        FrameError
            It was not run.
        """
        for tally in self.tallies:
            if (tally.setting, tally.estimator, tally.test) == (setting, estimator, test):
                return tally
        raise FrameError(f"no Monte Carlo result for {setting}, {estimator}, {test}")

    def to_list(self) -> list[dict[str, object]]:
        """JSON-ready tallies."""
        return [asdict(t) for t in self.tallies]


def share_error(share: float, runs: int) -> float:
    """Standard error of a share of `runs` independent data sets."""
    return math.sqrt(share * (1 - share) / runs)


def blocks(runs: int) -> Iterator[range]:
    """Numbers of data sets, block by block."""
    for start in range(0, runs, BLOCK):
        yield range(start, min(start + BLOCK, runs))


def drawn(setting: Setting, numbers: Sequence[int], seed: int) -> tuple[Floats, Floats]:
    """Sums by cell (R x L x T) and true effects (R) of the data sets with these numbers."""
    made = [
        draw(setting.world, setting.regime, np.random.default_rng([seed, setting.family, i]))
        for i in numbers
    ]
    return np.stack([d.y_sum for d in made]), np.array([d.truth for d in made])


class Machine:
    """The estimators of one world, ready for any number of data sets."""

    def __init__(self, world: World, methods: Methods = METHODS) -> None:
        builders = {"original": original, "two_way": two_way, "preferred": preferred}
        self.methods = methods
        self.regressions = {n: Regression(builders[n](world)) for n in methods if n in builders}
        self.by_dates = {n: ByDates(world, n) for n in methods if n not in builders}
        wanted = {test for tests in methods.values() for test in tests}
        self.slots = SlotTests(world) if wanted & {"slots", "slots, plain"} else None
        self.panel = PanelTests(world) if wanted & {"RI-t", "RI-t, plain"} else None

    def run(
        self, y_sum: Floats, truth: Floats, draws: int, seeds: list[int]
    ) -> dict[tuple[str, str], tuple[Floats, Floats, Floats]]:
        """By estimator and test: estimates, p-values of zero, p-values of the truth."""
        out: dict[tuple[str, str], tuple[Floats, Floats, Floats]] = {}
        for name, regression in self.regressions.items():
            xy = regression.cross_products(y_sum)
            found: list[Tests] = [regression.t_tests(xy, truth)]
            if "WCR-31" in self.methods[name]:
                found.append(regression.wcr(xy, truth, draws, seeds))
            if name == "preferred" and self.slots is not None:
                found.append(self.slots.run(y_sum, truth, draws, seeds))
            if name == "preferred" and self.panel is not None:
                found.append(self.panel.run(y_sum, truth, draws, seeds))
            for tests in found:
                for test in tests.p_zero:
                    if test in self.methods[name]:
                        key = (name, test)
                        out[key] = (tests.estimate, tests.p_zero[test], tests.p_true[test])
        for name, estimator in self.by_dates.items():
            estimate, se = estimator.run(y_sum)
            tests = normal_tests(estimate, se, truth)
            out[name, "own"] = (estimate, tests.p_zero["own"], tests.p_true["own"])
        return out


def _block(
    setting: Setting,
    numbers: range,
    draws: int,
    seed: int,
    methods: Methods,
) -> dict[tuple[str, str], tuple[Floats, Floats, Floats, Floats]]:
    y_sum, truth = drawn(setting, numbers, seed)
    machine = _machine(setting, methods)
    seeds = [seed + 1_000_003 * setting.family + i for i in numbers]
    found = machine.run(y_sum, truth, draws, seeds)
    return {key: (*values, truth) for key, values in found.items()}


_MACHINES: dict[tuple[str, str], Machine] = {}


def _machine(setting: Setting, methods: Methods) -> Machine:
    """The world's estimators, made once in each process; the last few are kept."""
    key = (world_hash(setting.world), repr(methods))
    if key not in _MACHINES:
        while len(_MACHINES) >= 4:
            _MACHINES.pop(next(iter(_MACHINES)))
        _MACHINES[key] = Machine(setting.world, methods)
    return _MACHINES[key]


def monte_carlo(
    settings: Sequence[Setting],
    *,
    runs: int,
    draws: int = 399,
    seed: int,
    jobs: int = 1,
    methods: Methods = METHODS,
) -> Result:
    """Bias, coverage, size and power of each estimator and test in each setting.

    Parameters
    ----------
    runs : data sets in each setting, at least 2.
    draws : bootstrap draws and permutations for each test. 399 make a 5 % test exact (Davidson
        and MacKinnon 2000) and cost a little power against the 9,999 of a real estimate.
    jobs : processes.

    Raises
    ------
    FrameError
        Fewer than 2 runs or 19 draws, or a design in which the effect is not identified.
    """
    if runs < 2 or draws < 19:
        raise FrameError(f"runs must be at least 2 and draws at least 19, not {runs} and {draws}")
    work = [(setting, numbers) for setting in settings for numbers in blocks(runs)]
    if jobs == 1:
        found = [_block(s, numbers, draws, seed, methods) for s, numbers in work]
    else:
        from joblib import Parallel, delayed

        found = Parallel(n_jobs=jobs)(
            delayed(_block)(s, numbers, draws, seed, methods) for s, numbers in work
        )
    tallies = []
    for setting in settings:
        mine = [f for (s, _), f in zip(work, found, strict=True) if s.name == setting.name]
        for estimator, test in mine[0]:
            parts = [
                np.concatenate(column)
                for column in zip(*(m[estimator, test] for m in mine), strict=True)
            ]
            estimate, p_zero, p_true, truth = parts
            tallies.append(
                Tally(
                    setting.name,
                    estimator,
                    test,
                    runs,
                    truth=float(truth.mean()),
                    mean=float(estimate.mean()),
                    spread=float(np.std(estimate - truth, ddof=1)),
                    rejected=float((p_zero <= ALPHA).mean()),
                    covered=float((p_true > ALPHA).mean()),
                )
            )
    return Result(tuple(tallies), runs, draws, seed)
