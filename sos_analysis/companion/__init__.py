"""The real companion: pilots against other authorities, on published authority-year statistics.

What this can and cannot say. The figures are yearly totals of authorities: nothing here is about
single children, and nothing about kinship care, for which no authority-level figures are
published. For analysts::

    from sos_analysis import companion

    design = companion.Design(wave=1, comparators="never funded", weights="denominator")
    companion.estimate("icpc_rate", design, data_dir="data/public")
    companion.panel("icpc_rate", design, data_dir="data/public")  # the rows behind it

`run` makes everything the chapter shows; `release` writes the released results.
"""

from sos_analysis.companion.api import MapRow, MapRows, estimate, events, map_rows, panel
from sos_analysis.companion.design import MAIN, TRANSITION, VARIANTS, Design, variants
from sos_analysis.companion.estimates import DRAWS, FEWER, ROLES, SEED
from sos_analysis.companion.running import DESIGNS, release, released, run
from sos_analysis.companion.types import (
    BaconPart,
    CompanionResult,
    EventYear,
    EventYears,
    History,
    JointCurve,
    Jumps,
    PanelEstimate,
    RatedGroup,
    RatingSplit,
    Source,
    YearMean,
)

__all__ = [
    "DESIGNS",
    "DRAWS",
    "FEWER",
    "MAIN",
    "ROLES",
    "SEED",
    "TRANSITION",
    "VARIANTS",
    "BaconPart",
    "CompanionResult",
    "Design",
    "EventYear",
    "EventYears",
    "History",
    "JointCurve",
    "Jumps",
    "MapRow",
    "MapRows",
    "PanelEstimate",
    "RatedGroup",
    "RatingSplit",
    "Source",
    "YearMean",
    "estimate",
    "events",
    "map_rows",
    "panel",
    "release",
    "released",
    "run",
    "variants",
]
