"""Each threat to validity as a typed check with one tested sentence.

A builder takes numbers and returns a `CheckResult`; it fits nothing. Status is 'pass', 'fail' or
'info'. A pass says the threat was not seen, never that it is absent.
"""

from __future__ import annotations

from sos_analysis.checks.data import (
    balance,
    bounds_width,
    complete_returns,
    completeness,
    contamination,
    denominator_stability,
    small_cells,
)
from sos_analysis.checks.inference import (
    agreement,
    covers_truth,
    design,
    few_clusters,
    leave_one_out,
    specification_curve,
)
from sos_analysis.checks.trends import breakdown, placebo_date, pre_trend_power, pre_trends
from sos_analysis.checks.types import (
    ALPHA,
    COMPLETE_SHARE,
    CONTAMINATED_SHARE,
    DENOMINATOR_POINTS,
    FEW_TREATED,
    L1_LIMIT,
    PRE_TREND_LEVEL,
    STATUSES,
    CheckResult,
)

__all__ = [
    "ALPHA",
    "COMPLETE_SHARE",
    "CONTAMINATED_SHARE",
    "DENOMINATOR_POINTS",
    "FEW_TREATED",
    "L1_LIMIT",
    "PRE_TREND_LEVEL",
    "STATUSES",
    "CheckResult",
    "agreement",
    "balance",
    "bounds_width",
    "breakdown",
    "complete_returns",
    "completeness",
    "contamination",
    "covers_truth",
    "denominator_stability",
    "design",
    "few_clusters",
    "leave_one_out",
    "placebo_date",
    "pre_trend_power",
    "pre_trends",
    "small_cells",
    "specification_curve",
]
