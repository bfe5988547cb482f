"""Estimators for staggered dates: one door to the modules of this room.

======================  ========================================================================
`callaway_santanna`     effects by cohort and period; `aggregate`, `pretest` act on them
`sun_abraham`           interaction-weighted event study; `extended_twfe` its regression kin
`imputation`            effects as outcomes less what untreated rows predict
`goodman_bacon`         what a two-way fixed effects estimate averages; `twfe_weights` by cell
`synthetic_did`         synthetic DiD, synthetic control
`permute_dates`         randomisation inference for any of them
======================  ========================================================================

All take arrays: outcome, period, first treated period (0 or inf: never), unit.
"""

from __future__ import annotations

from .aggregation import Aggregate, aggregate, pretest, simultaneous
from .bacon import Bacon, CellWeights, goodman_bacon, twfe_weights
from .callaway import GroupTime, callaway_santanna
from .drdid import TwoByTwo, cross_section_2x2, panel_2x2
from .imputed import Imputed, imputation
from .permuted_dates import DatePermutation, permute_dates
from .saturated import Saturated, extended_twfe, sun_abraham
from .synthetic_did import SyntheticDiD, synthetic_did

__all__ = [
    "Aggregate",
    "Bacon",
    "CellWeights",
    "DatePermutation",
    "GroupTime",
    "Imputed",
    "Saturated",
    "SyntheticDiD",
    "TwoByTwo",
    "aggregate",
    "callaway_santanna",
    "cross_section_2x2",
    "extended_twfe",
    "goodman_bacon",
    "imputation",
    "panel_2x2",
    "permute_dates",
    "pretest",
    "simultaneous",
    "sun_abraham",
    "synthetic_did",
    "twfe_weights",
]
