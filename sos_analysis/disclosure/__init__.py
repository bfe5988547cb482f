"""Only safe tables and figures can be shown or released, and only this module can make them.

`safe_table` and `safe_figure` take a frame in which every column has a declared role, apply the
rules of the study file and keep nothing more exact than what is shown:

==============  ==================================================================================
role            what the guard does
==============  ==================================================================================
text, category  labels; a text cell that is only a number is refused, a category must be declared
count           below the threshold: ``[c]``; else rounded to the base
authorities     number of local authorities behind the row; below the minimum the row is ``[c]``
rate            recomputed from the rounded numerator and denominator; ``[c]`` if either, or their
                difference, is below the threshold
statistic       a mean or a standard deviation: ``[c]`` where a count that guards it is
estimate        a model coefficient: ``[c]`` with too few residual degrees of freedom
==============  ==================================================================================

A total is recomputed from the rounded cells, or is ``[c]`` too where a part is: otherwise the
hidden part could be found by subtraction. `safe_tables` does so across tables, and `attack` works
out by linear programming what a reader could still find. Rules are those of the study file; what
they are and are not good for is said in ``SECURITY.md`` and ``docs/disclosure.md``.
"""

from __future__ import annotations

from sos_analysis.disclosure.columns import COUNT_UNITS
from sos_analysis.disclosure.counts import safe_count, safe_rate
from sos_analysis.disclosure.figures import safe_figure
from sos_analysis.disclosure.guard import safe_table, safe_tables
from sos_analysis.disclosure.safe import (
    DIFFERENCES,
    KINDS,
    MOST_SERIES,
    ORIGINS,
    RECORD_ORIGINS,
    STATIC,
    Cell,
    Column,
    DisclosureRecord,
    FigureOptions,
    SafeFigure,
    SafeTable,
)
from sos_analysis.disclosure.suppression import (
    ALREADY_PUBLISHED,
    CONFIDENTIAL,
    LOW,
    NOT_APPLICABLE,
    NOT_AVAILABLE,
    RESIDUAL_DOF,
    SYMBOLS,
    Rate,
    Rules,
    round_count,
)

__all__ = [
    "ALREADY_PUBLISHED",
    "CONFIDENTIAL",
    "COUNT_UNITS",
    "DIFFERENCES",
    "KINDS",
    "LOW",
    "MOST_SERIES",
    "NOT_APPLICABLE",
    "NOT_AVAILABLE",
    "ORIGINS",
    "RECORD_ORIGINS",
    "RESIDUAL_DOF",
    "STATIC",
    "SYMBOLS",
    "Cell",
    "Column",
    "DisclosureRecord",
    "FigureOptions",
    "Rate",
    "Rules",
    "SafeFigure",
    "SafeTable",
    "round_count",
    "safe_count",
    "safe_figure",
    "safe_rate",
    "safe_table",
    "safe_tables",
]
