"""Sensitivity to departures from parallel trends: one door to the modules of this room.

========================  ======================================================================
`coefficients`            leads and effects of an event study, with their covariance;
                          `coefficients_of` the same from times, effects, covariance
`relative_magnitudes`     departures up to a multiple of those before adoption; breakdown value
`smoothness`              departures whose slope changes slowly; breakdown value
`pretrend_power`          what the test of pre-trends would find or miss; `slope_for_power`
`pretrend_equivalence`    the smallest bounds on pre-trends the data support
========================  ======================================================================
"""

from __future__ import annotations

from .departures import Bound, Coefficients, Sensitivity, coefficients, coefficients_of
from .pretrends import (
    PretrendEquivalence,
    PretrendPower,
    pretrend_equivalence,
    pretrend_power,
    slope_for_power,
    smallest_bound,
)
from .relative_magnitudes import relative_magnitudes
from .smoothness import folded_quantile, smoothness

__all__ = [
    "Bound",
    "Coefficients",
    "PretrendEquivalence",
    "PretrendPower",
    "Sensitivity",
    "coefficients",
    "coefficients_of",
    "folded_quantile",
    "pretrend_equivalence",
    "pretrend_power",
    "relative_magnitudes",
    "slope_for_power",
    "smallest_bound",
    "smoothness",
]
