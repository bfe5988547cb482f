"""Missing covariates: what a category of its own gives beside five imputations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.chapters.fit import model_covariates
from sos_analysis.comparison import matched
from sos_analysis.comparison.variants import merged
from sos_analysis.errors import SosError
from sos_analysis.estimation.did import preferred_grams
from sos_analysis.estimation.frames import cell_table
from sos_analysis.estimation.grams import crv3, fit
from sos_analysis.estimation.imputation import LevelModel, Pooled, impute, level_model, rubin
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    import pandas as pd

    from sos_analysis.cells import Cells
    from sos_analysis.study import Study

#: As many as the original made.
IMPUTATIONS = 5
#: Levels that stand for 'not known'. 'Unclassified' ethnicity is an answer of the census.
MISSING = ("missing", "unknown")
#: The question does not arise below school age.
STRUCTURAL = {"low_income": ("under school age",)}
#: Known or unknown together, because both are read from the age.
_AGE = ("age_band", "school_phase")
_JOINED = "age_band and school_phase"


@dataclass(frozen=True)
class MissingFit:
    """Imputation beside 'missing' as a category, preferred specification, internal units.

    `gaps` is the number of events without an answer, by covariate, of `cases` in all.
    """

    pooled: Pooled
    gaps: Mapping[str, int]
    cases: int


def imputed(
    study: Study, outcome: str, cells: Cells, chosen: Mapping[str, Any], *, seed: int
) -> MissingFit | None:
    """The preferred estimate over five imputations; None where no covariate has a gap.

    Matching and regression are done anew in each. A binary outcome is a predictor, case by case;
    of a number of days only the mean of the cell is known, and its sum is shared out in
    proportion, which draws the categories' means together where the two hang together.

    Raises
    ------
    SosError : an imputed sample gives no estimate.
    """
    total = int(cells.frame["n"].sum())
    gaps = {
        name: int(cells.frame.loc[cells.frame[name].astype(str).isin(MISSING), "n"].sum())
        for name in cells.covariates
    }
    gaps = {name: number for name, number in gaps.items() if number > 0}
    if not gaps:
        return None
    covariates = model_covariates(study, outcome, cells, chosen)
    estimates, variances, df = [], [], 1
    cells = merged(cells, study, outcome)
    for frame in _frames(study, outcome, cells, list(gaps), seed):
        sample = matched(
            replace(cells, frame=frame), study, outcome, cem=chosen["cem"], thin_groups="drop"
        )
        table = cell_table(sample.frame, covariates)
        grams = preferred_grams(table)
        estimates.append(float(fit(grams).beta[0]))
        variances.append(float(crv3(grams)[0, 0]))
        df = len(table.treated_las) - 1
    if not np.isfinite(variances).all() or df < 1:
        raise SosError(f"outcome {outcome!r}: too few pilots to pool imputations")
    return MissingFit(rubin(estimates, variances, df), gaps, total)


def _frames(
    study: Study, outcome: str, cells: Cells, gaps: list[str], seed: int
) -> Iterator[pd.DataFrame]:
    binary = study.outcome(outcome).scale == 100
    rows = _split_by_outcome(cells, binary)
    if set(gaps) & set(_AGE):
        both = rows[_AGE[0]].astype(str) + "|" + rows[_AGE[1]].astype(str)
        gone = rows[_AGE[0]].isin(MISSING) | rows[_AGE[1]].isin(MISSING)
        rows[_JOINED] = both.mask(gone, "missing").astype("category")
        gaps = [_JOINED, *(name for name in gaps if name not in _AGE)]
    models = [_model(rows, cells, target, binary) for target in gaps]
    sums = () if binary else ("y_sum", "y_sq")
    for k in range(IMPUTATIONS):
        rng = np.random.default_rng([seed, 8, k])
        filled = rows
        for model in models:
            filled = impute(filled, model, rng, sums)
            if model.target == _JOINED:
                filled = _unjoined(filled)
        yield _collapsed(filled, cells, binary)


def _model(rows: pd.DataFrame, cells: Cells, target: str, binary: bool) -> LevelModel:
    own = _AGE if target == _JOINED else (target,)
    others = [name for name in cells.covariates if name not in own]
    # School phase says no more than age does, nearly; low income is not asked below school age.
    if target != _JOINED:
        others = [name for name in others if name != "age_band"]
    return level_model(
        rows,
        target,
        predictors=["la", "year", *others],
        numeric=["y"] if binary else ["mean_outcome"],
        missing=MISSING,
        structural=STRUCTURAL.get(target, ()),
    )


def _split_by_outcome(cells: Cells, binary: bool) -> pd.DataFrame:
    """Cells with their year; a cell of a binary outcome is parted into its ones and zeros."""
    import pandas as pd

    year = cells.intervals["year"].to_numpy()[cells.frame["first"].to_numpy()]
    frame = cells.frame.assign(year=year)
    if not binary:
        mean = frame["y_sum"] / frame["n"]
        centred = mean - np.average(mean, weights=frame["n"])
        # Coarse, so that like cells are counted together: the model needs no more.
        spread = float(np.sqrt(np.average(centred**2, weights=frame["n"]))) or 1.0
        return frame.assign(mean_outcome=(2 * centred / spread).round() / 2)
    ones = frame.assign(y=1, n=frame["y_sum"])
    zeros = frame.assign(y=0, n=frame["n"] - frame["y_sum"])
    both = pd.concat([ones, zeros], ignore_index=True)
    return both[both["n"] > 0].reset_index(drop=True)


def _unjoined(frame: pd.DataFrame) -> pd.DataFrame:
    """Age and school phase from the joint draw; below school age low income is not asked."""
    import pandas as pd

    age, phase = frame[_JOINED].astype(str).str.split("|", expand=True).to_numpy().T
    made = frame.assign(
        **{name: pd.Categorical(v) for name, v in zip(_AGE, (age, phase), strict=True)}
    )
    if "low_income" in made:
        asked = made["low_income"].astype(str).mask(phase == "none", "under school age")
        made["low_income"] = asked.astype("category")
    return made


def _collapsed(frame: pd.DataFrame, cells: Cells, binary: bool) -> pd.DataFrame:
    """Cells again: sums by key, categories in order."""
    import pandas as pd

    if binary:
        frame = frame.assign(y_sum=frame["n"] * frame["y"])
        frame["y_sq"] = frame["y_sum"]
    names = ["la", *cells.covariates]
    coded = {name: pd.Categorical(frame[name]).remove_unused_categories() for name in names}
    order = {name: c.reorder_categories(sorted(c.categories)) for name, c in coded.items()}
    keys = [order["la"].codes, frame["first"].to_numpy(), frame["last"].to_numpy()]
    at, number = distinct([*keys, *(order[name].codes for name in cells.covariates)])
    sums = {name: np.bincount(number, weights=frame[name]) for name in ("n", "y_sum", "y_sq")}
    return pd.DataFrame(
        {
            "la": order["la"][at],
            "first": frame["first"].to_numpy()[at],
            "last": frame["last"].to_numpy()[at],
            **{name: order[name][at] for name in cells.covariates},
            **sums,
            # Distinct children are not known after a draw; nothing that is shown rests on them.
            "children": 1,
        }
    )
