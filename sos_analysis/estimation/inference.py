"""Inference with few treated clusters: one door to the procedures of this room.

=====================  =========================================================================
`gram`                 per-cluster Gram matrices of a design
`crv1`, `crv3`         cluster-robust and cluster-jackknife covariance
`crv2`                 leverage-corrected variance with its own degrees of freedom
`wcr`                  wild cluster bootstrap, kinds 11 and 31, restricted or not
`slot_permutation`     permutation of series over the roles of a matched design
`ri_t`                 randomisation inference for a panel without matching
`cluster_summary`      partial leverage, effective number of clusters, leave-one-out
=====================  =========================================================================
"""

from __future__ import annotations

import math

import numpy as np

from .assignment import ri_t
from .bootstrap import wcr, wcr_inversion, wcr_joint, wcr_p
from .estimate import Interval
from .grams import (
    ClusterSummary,
    Grams,
    cluster_summary,
    crv1,
    crv2,
    crv3,
    fit,
    gram,
    gram_of_codes,
    leave_one_out,
)
from .inversion import InferenceResult, Inversion
from .permutation import Series, SlotSeries, size_strata, slot_design, slot_permutation

__all__ = [
    "ClusterSummary",
    "Grams",
    "InferenceResult",
    "Inversion",
    "Series",
    "SlotSeries",
    "cluster_summary",
    "crv1",
    "crv2",
    "crv3",
    "fit",
    "gram",
    "gram_of_codes",
    "leave_one_out",
    "ri_t",
    "size_strata",
    "slot_design",
    "slot_permutation",
    "t_test",
    "wcr",
    "wcr_inversion",
    "wcr_joint",
    "wcr_p",
]


def t_test(
    estimate: float, se: float, df: float, level: float = 0.95, null: float = 0.0
) -> tuple[float, Interval]:
    """Two-sided p-value and interval from Student's t; NaN where `df` < 1 or `se` is NaN."""
    from scipy import stats

    if df < 1 or not math.isfinite(se) or se <= 0:
        return float("nan"), (float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    p = float(2 * stats.t.sf(np.abs(estimate - null) / se, df))
    return p, (estimate - half, estimate + half)
