"""Rates for effects that differ between pilots, and for comparators that take the approach up.

A difference between pilots (two groups of them, or a dose) is dealt anew in each data set and
tested by the label permutation. Comparators' shares of the effect are dealt anew in each block of
data sets; the usual estimate is held against what is predicted for it, and against the exposure
model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sos_analysis.estimation.exposure import exposure_model
from sos_analysis.estimation.frames import Floats
from sos_analysis.estimation.heterogeneity import label_inversion, treated_effects

from .as_rows import FIRST_YEAR, Rows
from .batch import SlotTests
from .montecarlo import ALPHA, Tally, blocks
from .regimes import Regime, draw
from .worlds import World, made_up, own_effects

#: What comparators may take up, and how many in ten do (as in the study file: none, parts, all).
SHARES, DEALT = (0.0, 0.5, 1.0), (0.4, 0.4, 0.2)


@dataclass(frozen=True)
class Difference:
    """A world in which effects differ by `gap` between two groups, or from dose 0 to dose 1.

    `family` numbers the seeds, as in `montecarlo.Setting`.
    """

    name: str
    world: World
    regime: Regime
    family: int
    gap: float
    dose: bool = False


@dataclass(frozen=True)
class TakeUp:
    """A world in which comparators get shares of the effect from a year on."""

    name: str
    world: World
    regime: Regime
    family: int

    @property
    def since(self) -> int:
        """The first year in which half of the pilots have begun."""
        begun = (self.world.exposure[self.world.treated == 1] > 0).mean(axis=0) >= 0.5
        return int(self.world.year[begun].min())


#: Kinds of difference: words; planted gap (proportions: between groups, or from dose 0 to dose 1),
#: spread of effects for other reasons, dose. The sizes are ours.
DIFFERENCES: Mapping[str, tuple[str, float, float, bool]] = {
    "rating_none": ("By rating, none planted", 0.0, 0.0, False),
    "rating_other": ("By rating, effects differ for other reasons", 0.0, 0.03, False),
    "rating_planted": ("By rating, planted", 0.10, 0.0, False),
    "dose_none": ("By dose, none planted", 0.0, 0.0, True),
    "dose_planted": ("By dose, planted", 0.15, 0.0, True),
}
#: Designs they are tried in: many cases and small yearly swings, and a study's own.
DESIGNS: Mapping[str, str] = {
    "calm": "Many cases, small swings",
    "own": "The worked example's counts and swings",
}
CALM_SWING = 0.02


def cases(first: World, regime: Regime, seed: int) -> tuple[Difference | TakeUp, ...]:
    """Every kind of difference, and taking up, in both designs.

    Parameters
    ----------
    first : the study's own design. regime : level, shocks and the effect to differ.
    seed : of the made-up design.
    """
    calm = made_up(np.random.default_rng(seed), units=27, mean_size=600.0)
    out: list[Difference | TakeUp] = []
    for number, (design, world, truth) in enumerate(
        (("calm", calm, replace(regime, shock_sd=CALM_SWING)), ("own", first, regime))
    ):
        for name, (_, gap, spread, dose) in DIFFERENCES.items():
            family = 50 + 10 * number + int(dose)
            made = replace(truth, spread=spread)
            out.append(Difference(f"{name}_{design}", world, made, family, gap, dose))
        out.append(TakeUp(f"taken_up_{design}", world, truth, 55 + 10 * number))
    return tuple(out)


#: Arrays over data sets: estimate, true value, p of zero, p of the truth.
_Found = tuple[Floats, Floats, Floats, Floats]


def _differ(case: Difference, numbers: range, draws: int, seed: int) -> dict[str, _Found]:
    world, out = case.world, np.empty((4, len(numbers)))
    pilots = np.flatnonzero(world.treated)
    template, machine = None, own_effects(world)
    for i, number in enumerate(numbers):
        rng = np.random.default_rng([seed, case.family, number])
        m = len(pilots)
        z = rng.uniform(0, 1, m) if case.dose else rng.permutation((np.arange(m) < m // 2) * 1.0)
        tilt = np.zeros(len(world.units))
        tilt[pilots] = case.gap * (z - z.mean())
        y_sum = draw(world, case.regime, rng, tilt=tilt).y_sum
        if template is None:
            template = treated_effects(Rows(world).frame(y_sum))
        made = replace(template, effect=machine(y_sum))
        inversion, _ = label_inversion(made, z, draws=draws, seed=seed + number)
        out[:, i] = inversion.estimate, case.gap, inversion.p(0.0), inversion.p(case.gap)
    return {"labels": (out[0], out[1], out[2], out[3])}


def _take_up(case: TakeUp, numbers: range, draws: int, seed: int) -> dict[str, _Found]:
    world, since = case.world, case.since
    dealer = np.random.default_rng([seed, case.family, 10**6 + numbers.start])
    others = np.flatnonzero(world.treated == 0)
    by_unit = np.zeros(len(world.units))
    count = np.rint(np.cumsum(DEALT) * len(others)).astype(int)
    by_unit[dealer.permutation(others)] = np.repeat(SHARES, np.diff(count, prepend=0))
    share = dict(zip(world.units, by_unit.tolist(), strict=True))
    later = (world.year >= since).astype(float)
    taken = by_unit[:, None] * later[None, :]
    rows, usual_test = Rows(world), SlotTests(world)
    full_test = SlotTests(world, used(world, by_unit, later))
    names = ("usual", "as predicted", "exposure model")
    out = np.empty((len(names), 4, len(numbers)))
    effect = case.regime.effect
    for i, number in enumerate(numbers):
        rng = np.random.default_rng([seed, case.family, number])
        y_sum = draw(world, case.regime, rng, taken=taken).y_sum
        (usual, full), _ = exposure_model(
            rows.frame(y_sum),
            share,
            strengths=(0.0, 1.0),
            counts_from_year=FIRST_YEAR + since,
            seed=seed,
        )
        for k, (estimate, test, truth) in enumerate(
            (
                (usual.att, usual_test, effect),
                (usual.att, usual_test, full.kept * effect),
                (full.att, full_test, effect),
            )
        ):
            inversion = test.inversion(test.means(y_sum[None])[0], draws, seed + number)
            out[k, :, i] = estimate, truth, inversion.p(0.0), inversion.p(truth)
    return {name: (o[0], o[1], o[2], o[3]) for name, o in zip(names, out, strict=True)}


def used(world: World, by_unit: Floats, later: Floats) -> Floats:
    """Exposure each unit would have as a comparator in each place, L x S.

    A place that straddles the start counts by its individuals, whoever they are.
    """
    place, unit = world.place, world.role
    inside = world.inside[place] * world.n[unit]
    size = len(world.place_group)
    after = np.bincount(place, inside @ later, size)
    part: Floats = after / np.bincount(place, inside.sum(axis=1), size)
    return np.asarray(by_unit[:, None] * part[None, :])


def _block(case: Difference | TakeUp, numbers: range, draws: int, seed: int) -> dict[str, _Found]:
    if isinstance(case, Difference):
        return _differ(case, numbers, draws, seed)
    return _take_up(case, numbers, draws, seed)


def rates(
    made: Sequence[Difference | TakeUp],
    *,
    runs: int,
    taken_up: int,
    draws: int,
    seed: int,
    jobs: int = 1,
) -> tuple[Tally, ...]:
    """How often each difference is reported, and what taking up does to the estimates.

    `runs` data sets for each difference, and `taken_up` for each world in which comparators take
    the approach up.

    Returns a tally a case of the first kind (test 'labels'; the truth is the planted difference),
    and three of the second: the usual estimate against the true effect ('usual') and against the
    amount predicted for it ('as predicted'), and the exposure model. All by first methods: label
    permutation, slot permutation.
    """
    count = {c.name: runs if isinstance(c, Difference) else taken_up for c in made}
    # Blocks of taking up are long: they go first.
    work = [(c, numbers) for c in reversed(made) for numbers in blocks(count[c.name])]
    if jobs == 1:
        found = [_block(case, numbers, draws, seed) for case, numbers in work]
    else:
        from joblib import Parallel, delayed

        one = delayed(_block)
        found = Parallel(n_jobs=jobs)(one(case, numbers, draws, seed) for case, numbers in work)
    out = []
    for case in made:
        mine = [f for (c, _), f in zip(work, found, strict=True) if c.name == case.name]
        for name in mine[0]:
            columns = zip(*(part[name] for part in mine), strict=True)
            estimate, truth, p_zero, p_true = (np.concatenate(c) for c in columns)
            out.append(
                Tally(
                    case.name,
                    "differences" if isinstance(case, Difference) else "effect",
                    name,
                    count[case.name],
                    truth=float(truth.mean()),
                    mean=float(estimate.mean()),
                    spread=float(np.std(estimate - truth, ddof=1)),
                    rejected=float((p_zero <= ALPHA).mean()),
                    covered=float((p_true > ALPHA).mean()),
                )
            )
    return tuple(out)
