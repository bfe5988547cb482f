"""An effect for each child: what changes within children seen before and after embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.estimation.grams import crv1, crv3, fit
from sos_analysis.estimation.inference import t_test
from sos_analysis.estimation.within_unit import unit_grams
from sos_analysis.workspace import CHILD_OUTCOMES, child_sums_for

if TYPE_CHECKING:
    from sos_analysis.study import Study


@dataclass(frozen=True)
class ChildFit:
    """Child and group x period effects, every case alike, internal units.

    `se` and `interval` by the cluster jackknife (CRV3) with t(pilots - 1); `se_crv1` beside it.
    """

    value: float
    se: float
    se_crv1: float
    interval: tuple[float, float]


def within_children(
    study: Study, outcome: str, definition: str, chosen: Mapping[str, Any]
) -> ChildFit | None:
    """The effect within children; None for outcomes the original had no such model for.

    Raises
    ------
    FrameError : no child of a pilot is seen both before and after.
    """
    if outcome not in CHILD_OUTCOMES:
        return None
    sums = child_sums_for(study, chosen["extract"], outcome, definition)
    grams = unit_grams(sums.single, sums.pairs, sums.children)
    treated = sums.single["treated"] == 1
    pilots = int(sums.single.loc[treated, "la"].nunique())
    value = float(fit(grams).beta[0])
    se = float(np.sqrt(crv3(grams)[0, 0]))
    return ChildFit(
        value=value,
        se=se,
        se_crv1=float(np.sqrt(crv1(grams)[0, 0])),
        interval=t_test(value, se, pilots - 1)[1],
    )
