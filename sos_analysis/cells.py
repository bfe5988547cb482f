"""Collapse events to integer counts and sums, once, in the engine that holds the records.

A cell is an authority x calendar interval of the event x calendar interval of the end of its
window x stratum of covariates. The calendar is cut wherever a date of the study's design could
tell two days apart (edges and anniversaries of every embedding period, fiscal years), and all
authorities share the cuts, so any authority's events can be placed in any matched group's dates.
Cells hold integers only: the same bytes on every run and engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.errors import ParameterError, RecordsError, StudyError
from sos_analysis.margins import COLUMNS, margins_of, memtable
from sos_analysis.placing import (
    DONUT,
    PHASES,
    POST,
    PRE,
    Clock,
    Placement,
    anniversary,
    calendar,
    clock_of,
    placement,
)

if TYPE_CHECKING:
    import ibis

    from sos_analysis.study import Study

__all__ = [
    "DONUT", "PHASES", "POST", "PRE", "REST", "Cells", "Clock", "Placement", "anniversary",
    "calendar", "clock_of", "collapse", "load", "place_events", "placement", "save", "select",
]  # fmt: skip
_TABLES = ("frame", "intervals", "margins")
#: Name under which the authorities outside a study's groups stand as one.
REST = "rest"
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Cells:
    """Sufficient statistics of one outcome, with the calendar they are cut by.

    Attributes
    ----------
    frame : one row a cell: `la`, `first` (interval of the event), `last` (interval of the end of
        its window), the covariates (categories), `n` events, `y_sum`, `y_sq` (sums of the outcome
        and of its square, in internal units), `children` (distinct in the cell). Sorted by key.
    intervals : `interval`, `first_day`, `last_day`, `year` (fiscal, by its end). The last interval
        is open: it holds every day after the data.
    margins : exact distinct counts for disclosure, by `margin` ('phase', 'event_time', 'year' or a
        covariate, over events outside the donut; 'calendar' over all), `role` ('treated',
        'comparator'), `phase` and `level` (text): `las`, `children`, `events`, `y_sum`, and
        `largest`, `second` (events of the largest two authorities). An event that several groups
        share counts once.
    covariates : columns of `frame` that make up the stratum.
    meta : outcome, study, study hash, events, groups behind the margins, and what the caller adds.
    """

    frame: pd.DataFrame
    intervals: pd.DataFrame
    margins: pd.DataFrame
    covariates: tuple[str, ...]
    meta: Mapping[str, Any]


def collapse(
    events: ibis.Table,
    study: Study,
    outcome: str,
    *,
    covariates: Sequence[str],
    meta: Mapping[str, Any] | None = None,
    rest: bool = False,
) -> Cells:
    """Count an outcome's events by cell, in the engine.

    Parameters
    ----------
    events : one row an eligible event: `la`, `child_id`, `event_date`, `window_end`, `y` (0/1, or
        working days) and the covariates. Authorities outside the outcome's groups are left out.
    covariates : columns that make up the stratum; none may be null (use a category 'missing').
    meta : provenance to keep beside outcome and study (definition, data hash, code hash).
    rest : count the authorities that are neither pilots of the study nor in the outcome's groups,
        all under the one name `REST`; `meta['authorities']` says how many. No margins are counted.

    Raises
    ------
    ParameterError : a column is missing from `events`.
    RecordsError : an event has a null, a date outside the study or a window that ends before it.
    StudyError : the outcome has no matched group.
    """
    groups = study.groups(outcome, exclude=False)
    if not groups:
        raise StudyError(
            f"outcome {outcome!r}: no pilot has a comparator in comparator group "
            f"{study.outcome(outcome).group!r}; add one under pilots[].comparators."
        )
    covariates = tuple(covariates)
    intervals = calendar(study, outcome)
    sample = sorted({la for g in groups for la in (g.pilot, *g.comparators)})
    chosen = select(events, outcome, covariates, sample)
    if rest:
        inside = {*sample, *(pilot.la for pilot in study.pilots)}
        chosen = _pooled(select(events, outcome, covariates, None), sorted(inside))
    placed = place_events(chosen, intervals)
    # Materialised for as long as it is needed: the definition of the events may be costly.
    with placed.cache() as held:
        _check_events(held, study, outcome)
        frame = _frame(held, covariates)
        margins = pd.DataFrame(columns=list(COLUMNS))
        if not rest:
            margins = margins_of(held, frame, study, outcome, intervals, covariates)
        pooled = {"authorities": int(held["home"].nunique().to_pyarrow().as_py())} if rest else {}
    about = {
        "outcome": outcome,
        "study": study.id,
        "study_hash": study.hash,
        "events": int(frame["n"].sum()),
        "groups": [g.id for g in study.groups(outcome)],
        **pooled,
        **(dict(meta) if meta else {}),
    }
    return Cells(frame, intervals, margins, covariates, about)


def select(
    events: ibis.Table, outcome: str, covariates: tuple[str, ...], sample: list[str] | None
) -> ibis.Table:
    """The columns that count, of the authorities named (all, if none are)."""
    needed = ("la", "child_id", "event_date", "window_end", "y", *covariates)
    absent = [name for name in needed if name not in events.columns]
    if absent:
        raise ParameterError(
            f"events of outcome {outcome!r} lack column {absent[0]!r}; they have "
            f"{', '.join(events.columns)}. Covariates must be columns of the events."
        )
    kept = events if sample is None else events.filter(events["la"].cast("string").isin(sample))
    return kept.select(
        la=events["la"].cast("string"),
        child_id=events["child_id"].cast("string"),
        event_date=events["event_date"].cast("date"),
        window_end=events["window_end"].cast("date"),
        y=events["y"].cast("int64"),
        **{name: events[name].cast("string") for name in covariates},
    )


def _pooled(events: ibis.Table, inside: list[str]) -> ibis.Table:
    """Authorities that are not `inside`, as one; `home` keeps which. A child stays its own."""
    import ibis

    left = events.filter(events["la"].notin(inside))
    return left.mutate(
        home=left["la"],
        la=ibis.literal(REST),
        child_id=left["la"] + ibis.literal("/") + left["child_id"],
    )


def place_events(events: ibis.Table, intervals: pd.DataFrame) -> ibis.Table:
    """Events with the interval of their date and of their window's end, by two equi-joins.

    Outer joins, so that an event outside the calendar is found and not lost.
    """
    import ibis

    opens: list[date] = list(intervals["first_day"])
    closes: list[date] = list(intervals["last_day"])
    days: list[date] = []
    index: list[int] = []
    for i, (opened, closed) in enumerate(zip(opens, closes, strict=True)):
        length = (closed - opened).days + 1
        days += [opened + k * _DAY for k in range(length)]
        index += [i] * length
    codes = np.array(index, dtype=np.int16)
    by_event = memtable({"event_day": days, "first": codes})
    by_window = memtable({"window_day": days, "last": codes})
    window_day = ibis.least(events["window_end"], ibis.literal(closes[-1]))
    once = events.left_join(by_event, events["event_date"] == by_event["event_day"])
    placed = once.left_join(by_window, window_day == by_window["window_day"])
    return placed.select(*events.columns, "first", "last")


def _check_events(placed: ibis.Table, study: Study, outcome: str) -> None:
    from ibis import literal

    start, end = literal(study.data_start), literal(study.data_end)
    given = [name for name in placed.columns if name not in ("first", "last")]
    faults = {
        **{f"null {name!r}": placed[name].isnull() for name in given},  # noqa: PD003
        f"'event_date' before data_start ({study.data_start})": placed["event_date"] < start,
        f"'event_date' after data_end ({study.data_end})": placed["event_date"] > end,
        "'window_end' before 'event_date'": placed["window_end"] < placed["event_date"],
    }
    counts = placed.aggregate(
        rows=placed.count(),
        **{f"fault_{i}": fault.sum().cast("int64") for i, fault in enumerate(faults.values())},
    )
    found = counts.to_pyarrow().to_pylist()[0]
    if not found["rows"]:
        raise RecordsError(
            f"outcome {outcome!r}: no event in any authority of the study's matched groups. "
            "Check that the LA codes of the study file are those of the extract."
        )
    for i, fault in enumerate(faults):
        if found[f"fault_{i}"]:
            raise RecordsError(
                f"outcome {outcome!r}: {found[f'fault_{i}']} of {found['rows']} events have "
                f"{fault}. Correct or drop them where outcomes are defined; a covariate that is "
                "not known takes the category 'missing'."
            )


def _frame(placed: ibis.Table, covariates: tuple[str, ...]) -> pd.DataFrame:
    keys = ["la", "first", "last", *covariates]
    # Child first, then cell: counting distinct children in one step holds a set for every cell.
    by_child = placed.group_by([*keys, "child_id"]).aggregate(
        n=placed.count(), y_sum=placed["y"].sum(), y_sq=(placed["y"] * placed["y"]).sum()
    )
    counted = by_child.group_by(keys).aggregate(
        n=by_child["n"].sum().cast("int64"),
        y_sum=by_child["y_sum"].sum().cast("int64"),
        y_sq=by_child["y_sq"].sum().cast("int64"),
        children=by_child.count().cast("int64"),
    )
    frame = _to_pandas(counted, ["la", *covariates])
    frame = frame.astype({"first": np.int16, "last": np.int16, "n": np.int32, "children": np.int32})
    return frame.sort_values(keys, ignore_index=True)


def _to_pandas(table: ibis.Table, categories: Iterable[str]) -> pd.DataFrame:
    """Fetch a result; texts become categories in alphabetical order, whatever the engine gave."""
    fetched = table.to_pyarrow()
    columns: dict[str, Any] = {}
    wanted = set(categories)
    for name in fetched.column_names:
        column = fetched.column(name)
        if name in wanted:
            coded = column.dictionary_encode().combine_chunks().to_pandas()
            columns[name] = coded.cat.set_categories(sorted(map(str, coded.cat.categories)))
        else:
            columns[name] = column.to_numpy()
    return pd.DataFrame(columns)


def save(cells: Cells, path: Path) -> None:
    """Write cells to a folder, so that a reader finds the old ones or the new, never a mixture.

    The tables are Parquet files named by their content; `meta.json`, written last and renamed
    into place, says which ones belong together.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    for name in _TABLES:
        scratch = path / f".{name}.{os.getpid()}.parquet"
        getattr(cells, name).to_parquet(scratch, index=False, compression="zstd")
        files[name] = f"{name}-{hashlib.sha256(scratch.read_bytes()).hexdigest()[:16]}.parquet"
        os.replace(scratch, path / files[name])
    content = {"files": files, "covariates": list(cells.covariates), "meta": dict(cells.meta)}
    scratch = path / f".meta.{os.getpid()}.json"
    scratch.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(scratch, path / "meta.json")
    for stale in path.glob("*-*.parquet"):
        if stale.name not in files.values():
            stale.unlink()


def load(path: Path) -> Cells:
    """Read cells written by `save`; RecordsError if a file is absent or not the one written."""
    path = Path(path)
    try:
        content = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        tables: dict[str, pd.DataFrame] = {}
        for name in _TABLES:
            file = path / content["files"][name]
            if hashlib.sha256(file.read_bytes()).hexdigest()[:16] != file.stem.split("-")[-1]:
                raise RecordsError(
                    f"{file}: content is not what was written. Delete the folder {path} and "
                    "build it again."
                )
            tables[name] = pd.read_parquet(file)
    except (OSError, KeyError, json.JSONDecodeError) as problem:
        raise RecordsError(
            f"{path}: no complete cells there ({problem}). Delete the folder and build it again."
        ) from problem
    return Cells(**tables, covariates=tuple(content["covariates"]), meta=content["meta"])
