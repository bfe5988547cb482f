"""What is true in a made-up world, and outcomes drawn from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sos_analysis.estimation.frames import Floats

from .worlds import World


@dataclass(frozen=True)
class Regime:
    """What happens in a made-up world. All effects in the outcome's own unit.

    Attributes
    ----------
    level, between : mean outcome, and standard deviation of units' lasting differences.
    shock_sd, rho : AR(1) shocks of unit and year: stationary standard deviation, correlation.
    sd : standard deviation of single outcomes; None for yes or no (binomial).
    effect : effect of full treatment.
    growth : what each further whole year adds to it.
    spread : standard deviation over treated units of their effects around `effect`.
    drift : what treated units gain a year, treated or not.
    contamination : share of the effect that comparators get once half the treated have begun.
    recording, recording_level : at full exposure this share of individuals is no longer counted,
        and their mean outcome.
    volatility : how many times larger shocks of treated units are.
    """

    level: float
    shock_sd: float
    rho: float
    between: float = 0.05
    sd: float | None = None
    effect: float = 0.0
    growth: float = 0.0
    spread: float = 0.0
    drift: float = 0.0
    contamination: float = 0.0
    recording: float = 0.0
    recording_level: float = 0.0
    volatility: float = 1.0


@dataclass(frozen=True)
class Drawn:
    """Sums by cell (L x T), and the true mean effect on the treated of that draw."""

    y_sum: Floats
    truth: float


def draw(
    world: World,
    regime: Regime,
    rng: np.random.Generator,
    *,
    tilt: Floats | None = None,
    taken: Floats | None = None,
) -> Drawn:
    """One made-up data set: shocks, then single outcomes, added up by cell.

    Parameters
    ----------
    tilt : array, L
        What each unit's own effect differs by.
    taken : array, L x T
        Share of the effect that comparators get in a cell.
    """
    units, years = len(world.units), int(world.year.max()) + 1
    treated = world.treated[:, None].astype(float)
    sd = regime.shock_sd * np.where(treated > 0, regime.volatility, 1.0)
    steps = rng.standard_normal((units, years))
    shock = np.empty((units, years))
    shock[:, 0] = steps[:, 0]
    for t in range(1, years):
        shock[:, t] = regime.rho * shock[:, t - 1] + np.sqrt(1 - regime.rho**2) * steps[:, t]
    lasting = rng.normal(0.0, regime.between, (units, 1)) + rng.normal(0.0, 0.01, years)[None]
    mean = (regime.level + lasting + sd * shock + regime.drift * treated * np.arange(years))[
        :, world.year
    ]
    own = (
        regime.effect + rng.normal(0.0, regime.spread, (units, 1))
        if regime.spread
        else (np.full((units, 1), regime.effect))
    )
    if tilt is not None:
        own = own + tilt[:, None]
    gain = world.exposure * (own + regime.growth * world.since)
    begun = (world.exposure[world.treated == 1] > 0).mean(axis=0) >= 0.5
    other = regime.contamination * regime.effect * begun[None, :] * (1 - treated)
    if taken is not None:
        other = other + regime.effect * taken * (1 - treated)
    after = (world.exposure == 1) & (treated == 1)
    # Cases no longer counted took their own outcomes with them.
    gone = regime.recording * after
    mean = (mean - gone * regime.recording_level) / (1 - gone) + gain + other
    truth = float((gain * world.n * after).sum() / (world.n * after).sum())
    if regime.sd is not None:
        noise = regime.sd * rng.standard_normal(world.n.shape) / np.sqrt(np.maximum(world.n, 1))
        return Drawn(world.n * (mean + noise), truth)
    count = np.rint(world.n).astype(np.int64)
    return Drawn(rng.binomial(count, np.clip(mean, 0.001, 0.999)).astype(float), truth)
