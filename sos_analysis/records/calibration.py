"""Does a made-up extract look like England? Its figures beside the published ones.

Targets, tolerances, their reasons and sources stand in ``data/calibration``; the figures are
measured on the Parquet files alone (`calibration_sql`), as a reader of the extract would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sos_analysis.records.synthetic_rates import FIRST_RETURN, YEARS, calibration

_COUNTS = ("thousand", "million")
#: First year measured: in the first of the extract no earlier referral is known, assessments had
#: another limit at first, and earlier plans were not counted for some years.
_NOT_MEASURED = {"rereferral": 2010, "within45": 2014, "second_plan": 2013}


@dataclass(frozen=True)
class Target:
    """One figure the made-up England is calibrated to.

    ``group`` is 'year', 'spread', 'quantile' or 'share'; ``statistic`` is '' for yearly figures,
    else 'mean', 'between', 'within', 'lag1', a quantile such as 'p5', or a category. ``tolerance``
    is a share of ``value`` where ``relative``, else in ``unit`` (for 'lag1' in correlation).
    ``ours`` marks a choice of this project: no figure about England.
    """

    id: str
    group: str
    label: str
    unit: str
    year: int | None
    statistic: str
    value: float
    tolerance: float
    relative: bool
    tolerance_reason: str
    source: str
    ours: bool

    @property
    def allowed(self) -> float:
        """Largest difference allowed, in ``unit``."""
        return self.tolerance * abs(self.value) if self.relative else self.tolerance


@dataclass(frozen=True)
class Comparison:
    """A target and what was measured."""

    target: Target
    measured: float
    within: bool


def targets() -> tuple[Target, ...]:
    """Every target of ``data/calibration`` for the years of the extract, in order of the files."""
    return (*_yearly(), *_spread(), *_quantiles(), *_shares())


def measure(extract: Path, *, scale: float = 1.0) -> tuple[Comparison, ...]:
    """Measure an extract against every target.

    Parameters
    ----------
    extract : folder of a made-up extract.
    scale : share of England's number of cases it was made with. Below 1 the spread over
        authorities holds more chance than England's, and tolerances allow for none of it.

    Raises
    ------
    RecordsError : if files of the extract are missing.
    """
    from sos_analysis.records.calibration_sql import figures

    found = figures(Path(extract), scale)
    compared = []
    for target in targets():
        # A category or a year that does not occur was measured too: there is none of it.
        value = found.get((target.id, target.year, target.statistic), 0.0)
        compared.append(Comparison(target, value, abs(value - target.value) <= target.allowed))
    return tuple(compared)


def _target(group: str, id: str, row: Mapping[str, Any], value: float, **given: Any) -> Target:
    known = {
        "label": row["label"],
        "unit": row["unit"],
        "year": row.get("year"),
        "statistic": "",
        "tolerance": float(row["tolerance"]),
        "relative": False,
        "tolerance_reason": row["tolerance_reason"],
        "source": row.get("source", ""),
        "ours": False,
    }
    return Target(id=id, group=group, value=float(value), **(known | given))


def _yearly() -> Iterator[Target]:
    for id, row in calibration("england").items():
        counts = row["unit"] in _COUNTS
        for ours in (False, True):
            series = row.get("ours", {}) if ours else row
            for year, value in zip(series.get("years", ()), series.get("values", ()), strict=True):
                if not max(FIRST_RETURN, _NOT_MEASURED.get(id, 0)) <= year <= YEARS[-1]:
                    continue
                given: dict[str, Any] = {"year": year, "relative": counts, "ours": ours}
                if ours:
                    given["source"] = "no published figure: ours"
                    given["tolerance"] = 3 * float(row["tolerance"])
                    given["tolerance_reason"] = "A choice of ours, not fitted closely."
                yield _target("year", id, row, value, **given)


def _spread() -> Iterator[Target]:
    for id, row in calibration("targets")["spread"].items():
        for statistic in ("mean", "between", "within", "lag1"):
            given: dict[str, Any] = {"statistic": statistic, "relative": statistic != "lag1"}
            if statistic == "lag1":
                given |= {"tolerance": float(row["lag1_tolerance"]), "unit": "correlation"}
            yield _target("spread", id, row, row[statistic], **given)


def _quantiles() -> Iterator[Target]:
    for id, row in calibration("targets")["quantile"].items():
        for statistic in ("p5", "p25", "median", "p75", "p95"):
            allowed = max(row["tolerance"] * row[statistic], row["least"])
            yield _target(
                "quantile", id, row, row[statistic], statistic=statistic, tolerance=allowed
            )


def _shares() -> Iterator[Target]:
    for id, row in calibration("targets")["share"].items():
        for statistic, value in row["values"].items():
            yield _target("share", id, row, value, statistic=statistic)
