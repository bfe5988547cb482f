"""Estimates and their inference on one panel of authority-years.

Numbers only: words and charts are made elsewhere. Inference as everywhere in this report: the
restricted wild cluster bootstrap (WCR-31) leads, studentised randomisation inference (RI-t) is the
second procedure, CRV1 stands for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sos_analysis.companion.types import (
    COMPUTED,
    EventYear,
    EventYears,
    Jumps,
    PanelEstimate,
    YearMean,
)
from sos_analysis.estimation import inference, power
from sos_analysis.estimation.estimate import disagree
from sos_analysis.estimation.frames import CellTable, cell_table, dummies

if TYPE_CHECKING:
    import pandas as pd

ROLES = ("pilots", "others")
DRAWS, SEED = 9999, 20190331
#: Draws of variants and of single years of event studies: enough for a p-value to two decimals.
FEWER = 1999
PRIMARY, SECONDARY = "WCR-31", "RI-t"

#: How standard errors are scaled, for the table.
SSC = (
    "clustered on authorities; N/(N-K), K counting the effects of authorities and years; CRV3 is "
    "the cluster jackknife"
)


def cell_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """One cell an authority-year, so that authority-years are what is counted."""
    given = frame.dropna(subset=["y"])
    cells = given.rename(columns={"pilot": "treated", "year": "period", "y": "y_sum"})
    return cells[["la", "treated", "post", "period", "y_sum", "weight"]].assign(n=1)


def table_of(frame: pd.DataFrame) -> CellTable:
    """The panel as cells, see `cell_rows`."""
    return cell_table(cell_rows(frame), period="period")


def _gram(table: CellTable, columns: Mapping[str, Any]) -> inference.Grams:
    """Gram matrices with the given columns first, then years; authorities taken out."""
    years = np.unique(table.period)
    codes = np.searchsorted(years, table.period).astype(np.int64)
    names, block = dummies(codes, [str(y) for y in years], "year")
    x = np.column_stack([*columns.values(), block])
    return inference.gram(
        x, table.y, table.w, table.n, table.la, table.las, [*columns, *names], within=table.la
    )


def _clustered(table: CellTable, grams: inference.Grams) -> float:
    """Standard error clustered on authorities, scaled by N/(N-K)."""
    found = inference.fit(grams)
    core = float(((found.scores @ found.bread[:, 0]) ** 2).sum())
    n, k = len(table.la), len(grams.names) + grams.absorbed
    return math.sqrt(core * n / (n - k))


def effect_on(frame: pd.DataFrame) -> tuple[float, float]:
    """Two-way fixed effects estimate of a panel and its CRV3 standard error."""
    table = table_of(frame)
    grams = _gram(table, {"effect": table.exposure})
    return float(inference.fit(grams).beta[0]), math.sqrt(float(inference.crv3(grams)[0, 0]))


def estimate_on(
    frame: pd.DataFrame,
    *,
    outcome: str,
    wave: int,
    variant: str,
    draws: int = DRAWS,
    seed: int = SEED,
) -> PanelEstimate:
    """Difference-in-differences of a panel (see `panel`)."""
    table = table_of(frame)
    grams = _gram(table, {"effect": table.exposure})
    att = float(inference.fit(grams).beta[0])
    se = _clustered(table, grams)
    pilots = np.flatnonzero([la in table.treated_las for la in table.las])
    df = len(pilots) - 1
    left_out = inference.leave_one_out(grams)[:, 0]
    # CRV3 is made of these same estimates; taking them once halves the time.
    g = len(table.las)
    se_crv3 = math.sqrt((g - 1) / g * float(((left_out - att) ** 2).sum()))
    first = inference.wcr(grams, kind="31", draws=draws, seed=seed)
    second = inference.ri_t(table, draws=draws, seed=seed)
    after = (table.treated == 1) & (table.post == 1)
    return PanelEstimate(
        outcome=outcome,
        wave=wave,
        variant=variant,
        source=COMPUTED,
        first=int(table.period.min()),
        last=int(table.period.max()),
        att=att,
        se_crv1=se,
        se_crv3=se_crv3,
        df=df,
        p_crv1=inference.t_test(att, se, len(table.las) - 1)[0],
        p_crv3=inference.t_test(att, se_crv3, df)[0],
        primary=PRIMARY,
        p_primary=first.p,
        ci=first.ci,
        ci90=first.ci90,
        secondary=SECONDARY,
        p_secondary=second.p,
        ci_secondary=second.ci,
        inconclusive=disagree(first.p, second.p),
        baseline=float(np.average(table.y[after], weights=table.w[after])) - att,
        mde=power.mde(se_crv3, df).effect,
        left_out=tuple(sorted(float(v) for v in left_out[pilots])),
        authority_years=len(table.la),
        authorities=len(table.las),
        pilots=len(pilots),
        not_given=int(frame["y"].isna().sum()),
        draws=first.draws,
    )


def event_years(
    frame: pd.DataFrame,
    *,
    outcome: str,
    wave: int,
    post_from: int,
    draws: int = DRAWS,
    seed: int = SEED,
) -> EventYears:
    """Differences by calendar year against the last year before, and the test of those before.

    Single years take at most `FEWER` draws, the joint test all of them.
    """
    table = table_of(frame)
    base = int(table.period[table.period < post_from].max())
    years = [int(y) for y in np.unique(table.period) if y != base]
    early = [y for y in years if y < base]
    columns = {f"pilot x {y}": table.treated * (table.period == y) for y in years}
    few = min(draws, FEWER)

    def ordered(first: Sequence[int]) -> inference.Grams:
        names = [f"pilot x {y}" for y in [*first, *(y for y in years if y not in first)]]
        return _gram(table, {name: columns[name] for name in names})

    found = []
    errors = np.sqrt(np.diag(inference.crv3(ordered(years), len(years))))
    for year, se in zip(years, errors, strict=True):
        test = inference.wcr(ordered([year]), kind="31", draws=few, seed=seed)
        found.append(EventYear(year, test.estimate, float(se), test.ci, test.p))
    joint = inference.wcr_joint(ordered(early), len(early), kind="31", draws=draws, seed=seed)
    before = table_of(frame[frame["year"] < post_from])
    slope = _gram(before, {"trend": before.treated * (before.period - base)})
    trend = inference.wcr(slope, kind="31", draws=few, seed=seed)
    return EventYears(
        outcome=outcome,
        wave=wave,
        source=COMPUTED,
        base=base,
        years=tuple(found),
        joint_years=tuple(early),
        joint_p=joint[1],
        trend=trend.estimate,
        trend_ci=trend.ci,
        trend_p=trend.p,
    )


def year_means(frame: pd.DataFrame, *, outcome: str, wave: int) -> list[YearMean]:
    """Means of pilots and others by year."""
    found = []
    for role, pilot in (("pilots", 1), ("others", 0)):
        for year, rows in frame[frame["pilot"] == pilot].groupby("year"):
            given = rows.dropna(subset=["y"])
            if given.empty:
                continue
            counted = given.dropna(subset=["size"])
            weighted = np.average(counted["y"], weights=counted["size"])
            found.append(
                YearMean(
                    outcome=outcome,
                    wave=wave,
                    role=role,
                    year=int(str(year)),
                    mean=float(given["y"].mean()),
                    weighted=float(weighted),
                    authorities=len(given),
                    not_given=len(rows) - len(given),
                    size=int(counted["size"].sum()),
                )
            )
    return found


def jumps(frame: pd.DataFrame, *, outcome: str, wave: int, by: float) -> Jumps:
    """Authorities whose figure changed by `by` or more between two years that follow each other."""
    ordered = frame.sort_values(["la", "year"])
    step = ordered.groupby("la")["y"].diff().abs()
    step = step.where(ordered.groupby("la")["year"].diff() == 1)
    most = step.groupby(ordered["la"]).max()
    pilot = ordered.groupby("la")["pilot"].max() == 1
    # Figures are published to one decimal: a change of exactly `by` is one.
    jumped = most >= by - 1e-9
    return Jumps(
        outcome=outcome,
        wave=wave,
        by=by,
        pilots=int(pilot.sum()),
        pilots_jumped=int((jumped & pilot).sum()),
        others=int((~pilot).sum()),
        others_jumped=int((jumped & ~pilot).sum()),
        largest=float(most[pilot].max()),
    )
