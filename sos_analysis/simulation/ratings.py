"""The rating that real records would get, on made-up data whose truth is known.

Made-up results are never rated. Here the machinery itself is on trial: each made-up data set is
handed to the checks and rules as if it were real, and the ratings are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sos_analysis import checks, evidence, rules
from sos_analysis.estimation.frames import Floats

from .batch import LeadTests, Regression, SlotTests
from .montecarlo import Setting, blocks, drawn
from .worlds import preferred

ORIGIN = "restricted"


@dataclass(frozen=True)
class Ratings:
    """How often each rating and each class of effect was given, and which checks failed.

    `wrong` is the share of data sets whose verdict names a change although there is none, or one
    in the wrong direction, or calls an important effect little or no difference.
    """

    setting: str
    runs: int
    certainty: Mapping[str, float]
    effect: Mapping[str, float]
    failed: Mapping[str, float]
    wrong: float


def rate(setting: Setting, *, runs: int, draws: int, seed: int, mid: float) -> Ratings:
    """Rate `runs` data sets of a setting; `mid` is the minimum important difference."""
    world = setting.world
    regression, slots, leads = Regression(preferred(world)), SlotTests(world), LeadTests(world)
    pilots = np.flatnonzero(world.treated)
    words, effects, failed = Counter[str](), Counter[str](), Counter[str]()
    wrong = 0
    for numbers in blocks(runs):
        y_sum, truth = drawn(setting, numbers, seed)
        seeds = [seed + 1_000_003 * setting.family + i for i in numbers]
        xy = regression.cross_products(y_sum)
        second = regression.wcr(xy, truth, draws, seeds)
        left = np.einsum("gk,rgk->rg", regression.left, xy.sum(axis=1)[:, None] - xy)
        for r, means in enumerate(slots.means(y_sum)):
            inversion = slots.inversion(means, draws, seeds[r])
            low, high = inversion.interval()
            found = _checks(
                setting,
                second.estimate[r],
                left[r, pilots],
                (high - low) / 2,
                leads.p(means - second.estimate[r] * slots.design.exposure, draws, seeds[r]),
                leads.tested,
            )
            effect = evidence.effect_class(
                max(low, -1e6), min(high, 1e6), mid, inversion.p(0.0), second.p_zero["WCR-31"][r]
            )
            words[evidence.certainty(found, effect, ORIGIN)[0]] += 1
            effects[effect] += 1
            failed.update(c.id for c in found if c.status == "fail")
            wrong += _wrong(effect, float(second.estimate[r]), float(truth[r]), mid)
    return Ratings(
        setting.name,
        runs,
        {word: words[word] / runs for word in rules.CERTAINTIES},
        {name: effects[name] / runs for name in rules.EFFECT_CLASSES},
        {name: count / runs for name, count in sorted(failed.items())},
        wrong / runs,
    )


def _checks(
    setting: Setting, estimate: float, left: Floats, half_width: float, pretrend: float, leads: int
) -> list[checks.CheckResult]:
    world = setting.world
    moved = 100 * setting.regime.recording
    comparators = int((~world.treated.astype(bool)).sum())
    found = [
        checks.few_clusters(len(world.units), int(world.treated.sum())),
        checks.denominator_stability(-moved, 0.0),
        checks.completeness(setting.complete),
        checks.contamination(
            comparators if setting.regime.contamination else 0, max(comparators, 1)
        ),
    ]
    if leads:
        found.append(checks.pre_trends(pretrend, leads))
    kept = [float(v) for v in left if np.isfinite(v)]
    if len(kept) > 1:
        found.append(checks.leave_one_out(float(estimate), kept, "per 100", half_width=half_width))
    return found


def _wrong(effect: str, estimate: float, truth: float, mid: float) -> bool:
    if effect in rules.CHANGES:
        return estimate * truth <= 0
    return effect == rules.LITTLE and abs(truth) >= mid
