"""The specification curve as a chart, and the words for its choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sos_analysis.chapters.words import OUTCOME_WORDS
from sos_analysis.disclosure import (
    NOT_AVAILABLE,
    Column,
    FigureOptions,
    SafeFigure,
    safe_figure,
)
from sos_analysis.estimation.specifications import Curve
from sos_analysis.study import Study
from sos_analysis.study.universe import Universe

#: Ways drawn in a chart: an even selection along the curve.
SHOWN = 120
#: Words for choices and answers, in the order of the chart.
CHOICE_WORDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "effects": (
        "Fixed effects",
        {"none": "None", "authority": "Authority", "group": "Group by authority and by year"},
    ),
    "definition": ("Definition", {"original": "Original's", "strict": "Strict"}),
    "comparators": (
        "Comparators",
        {
            "all": "All matched",
            "first": "First named",
            "other_models": "Not the same model",
            "england": "Matched, and the rest of England",
        },
    ),
    "weights": (
        "Weights",
        {"matched": "Matched", "cases": "All cases alike", "authorities": "Authorities alike"},
    ),
    "covariates": (
        "Adjusted for",
        {"none": "Nothing", "child": "Child", "child_authority": "Child and authority by year"},
    ),
    "embedding": (
        "Embedding period",
        {"left_out": "Left out", "counted": "Counted as after", "widened": "Left out, a year more"},
    ),
    "window": (
        "Years around embedding",
        {"all": "All", "close": "Last before alone", "first": "First after alone"},
    ),
    "period": ("Calendar years", {"all": "All", "recent": "Recent"}),
}


def curve_figure(
    c: Curve,
    universe: Universe,
    study: Study,
    name: str,
    *,
    place: str,
    source: str,
    decimals: int,
) -> SafeFigure:
    """An even selection of the ways of one outcome, those named in advance always among them."""
    outcome = study.outcome(name)
    noun, unit, scale = OUTCOME_WORDS[name].noun, outcome.unit, outcome.scale
    order = np.argsort(c.estimate, kind="stable")
    step = max(1, math.ceil(len(order) / SHOWN))
    named = {
        int(np.flatnonzero(c.where(**way))[0]): label
        for label, way in universe.named.items()
        if c.where(**way).any()
    }
    picked = sorted({*order[step // 2 :: step].tolist(), *named}, key=lambda i: c.estimate[i])
    words = {"original": "The original's", "preferred": "Preferred"}
    rows = [
        {
            "label": words[named[i]] if i in named else f"Way at place {at + 1} of the chart",
            "value": scale * c.estimate[i],
            "low": scale * c.low[i],
            "high": scale * c.high[i],
            "dof": int(c.clusters[i]) - 1,
            "series": "The original's and the preferred way" if i in named else "Other ways",
            **{choice: answers[c.ways[i][choice]] for choice, (_, answers) in CHOICE_WORDS.items()},
        }
        for at, i in enumerate(picked)
    ]
    # The first series is the plain one.
    rows.sort(key=lambda row: row["series"] != "Other ways")
    below = int((c.estimate < 0).sum())
    lead = "Worked example: " if study.origin == "synthetic" else ""
    return safe_figure(
        "curve",
        [known(row) for row in rows],
        title=f"{lead}{below:,} of {len(c.ways):,} ways put {noun} lower in pilots",
        subtitle=f"{place}. Difference in {noun}, {unit}, in {len(rows)} of "
        f"{len(c.ways):,} ways to run the analysis, with 95% intervals",
        alt=f"Estimates of the difference in {noun} in order of size with their intervals, and "
        "below them the choices behind each. The same numbers stand in the table below.",
        source=source,
        origin=study.origin,
        rules=study.disclosure,
        options=FigureOptions(
            measure=f"Difference in {noun}",
            unit=unit,
            decimals=decimals,
            mid=outcome.minimum_important_difference,
            lower="lower in pilots",
            higher="higher in pilots",
        ),
        columns={choice: Column(heading) for choice, (heading, _) in CHOICE_WORDS.items()},
        residual_dof_column="dof",
    )


def known(row: dict[str, Any]) -> dict[str, Any]:
    """A row in which a number that could not be computed is marked 'not available'."""
    return {
        key: NOT_AVAILABLE if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
