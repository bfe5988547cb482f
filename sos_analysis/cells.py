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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sos_analysis.errors import ParameterError, RecordsError, StudyError
from sos_analysis.event_checks import check_events, no_event
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
    from numpy.typing import NDArray

    from sos_analysis.strata import Coded
    from sos_analysis.study import Study

__all__ = [
    "DONUT", "PHASES", "POST", "PRE", "REST", "Cells", "Clock", "Placement", "anniversary",
    "calendar", "clock_of", "collapse", "collapse_coded", "load", "place_events", "placement",
    "sample_of", "save", "select",
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
        'comparator'), `phase` and `level` (text): `las`, `children`, `events`, `y_sum`, distinct
        `children_with` the outcome and `children_without` it (empty where it is no 0 or 1, and by
        covariate), and
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
    from sos_analysis.strata import from_words

    covariates = tuple(covariates)
    _needed(events, outcome, covariates)
    coded = from_words(_typed(events, covariates), covariates)
    made, others = collapse_coded(
        coded, study, outcome, covariates=covariates, meta=meta, groups=not rest, rest=rest
    )
    return cast(Cells, others if rest else made)


def collapse_coded(
    coded: Coded,
    study: Study,
    outcome: str,
    *,
    covariates: tuple[str, ...],
    meta: Mapping[str, Any] | None = None,
    groups: bool = True,
    rest: bool = False,
) -> tuple[Cells | None, Cells | None]:
    """Cells of the groups, and of the rest, counted at one time (see `collapse`)."""
    if not study.groups(outcome, exclude=False):
        raise StudyError(
            f"outcome {outcome!r}: no pilot has a comparator in comparator group "
            f"{study.outcome(outcome).group!r}; add one under pilots[].comparators."
        )
    intervals = calendar(study, outcome)
    sample, inside = sample_of(study, outcome), _inside(study, outcome)
    whole = len(intervals) ** 2 * len(coded.strata)
    about = {"outcome": outcome, "study": study.id, "study_hash": study.hash}
    extra = dict(meta) if meta else {}
    # Materialised for as long as it is needed: the definition of the events may be costly.
    with _held(coded, intervals, sample, inside, study, groups, rest).cache() as held:
        _check(held, coded, study, outcome, intervals, len(sample) * whole, (groups, rest))
        # Of groups alone, the cell tells the authority.
        found = _counted(held, tuple(name for name in coded.child if name in held.columns))
        parts: list[Cells | None] = []
        for wanted, pooled in ((groups, False), (rest, True)):
            if not wanted:
                parts.append(None)
                continue
            own = found[(found["cell"] >= len(sample) * whole) == pooled]
            frame = _frame(own, [REST] if pooled else sample, coded.strata, intervals, pooled)
            margins = pd.DataFrame(columns=list(COLUMNS))
            more: dict[str, Any] = {}
            if pooled:
                left = held.filter(held["cell"] >= len(sample) * whole)
                more["authorities"] = int(left["la"].nunique().to_pyarrow().as_py())
            else:
                ours = held.filter(held["cell"] < len(sample) * whole) if rest else held
                margins = margins_of(ours, frame, study, outcome, intervals, coded.strata, sample)
            told = {
                **about,
                "events": int(frame["n"].sum()),
                "groups": [g.id for g in study.groups(outcome)],
                **more,
                **extra,
            }
            parts.append(Cells(frame, intervals, margins, covariates, told))
    return parts[0], parts[1]


def sample_of(study: Study, outcome: str) -> list[str]:
    """Authorities of an outcome's groups, those it leaves out included."""
    groups = study.groups(outcome, exclude=False)
    return sorted({la for g in groups for la in (g.pilot, *g.comparators)})


def _inside(study: Study, outcome: str) -> list[str]:
    """Authorities that are not of the rest."""
    return sorted({*sample_of(study, outcome), *(pilot.la for pilot in study.pilots)})


def _held(
    coded: Coded,
    intervals: pd.DataFrame,
    sample: list[str],
    inside: list[str],
    study: Study,
    groups: bool,
    rest: bool,
) -> ibis.Table:
    """`child_id`, `y`, whether an event is at fault, and its cell as one number; `la` of the rest.

    A cell's number is the authority's place in the sample (its size: the rest), the intervals of
    the event and of its window's end, and the stratum, in mixed base.
    """
    import ibis

    rows = coded.rows
    if not rest:
        # At once, so that the engine need not work out what is not counted.
        rows = rows.filter(rows["la"].isin(sample))
    left_out = [la for la in inside if la not in sample or not groups]
    if rest:
        rows = rows.filter(rows["la"].notnull())  # noqa: PD004
    if left_out:
        rows = rows.filter(rows["la"].notin(left_out))
    places = memtable({"la": sample, "place": np.arange(len(sample), dtype=np.int64)})
    placed = place_events(rows, intervals, coded.window)
    placed = placed.left_join(places, "la").drop("la_right")
    size = len(intervals)
    cell = (placed["place"].fill_null(len(sample)) * size + placed["first"]) * size
    cell = (cell + placed["last"]) * len(coded.strata) + placed["stratum"]
    start, end = ibis.literal(study.data_start), ibis.literal(study.data_end)
    event, ended = placed["event_date"], placed["window_end"]
    good = event.between(start, end)
    if coded.window is None:
        good = good & (ended >= event)
    for column in (cell, placed["y"], placed["child_id"]):
        good = good & column.notnull()  # noqa: PD004
    return placed.select(
        # Of the rest alone: the place of the others tells which they are.
        **({"la": placed["la"]} if rest else {}),
        child_id=placed["child_id"],
        y=placed["y"],
        cell=cell.cast("int64"),
        good=good.fill_null(False),
    )


def _needed(events: ibis.Table, outcome: str, covariates: tuple[str, ...]) -> None:
    needed = ("la", "child_id", "event_date", "window_end", "y", *covariates)
    absent = [name for name in needed if name not in events.columns]
    if absent:
        raise ParameterError(
            f"events of outcome {outcome!r} lack column {absent[0]!r}; they have "
            f"{', '.join(events.columns)}. Covariates must be columns of the events."
        )


def select(
    events: ibis.Table, outcome: str, covariates: tuple[str, ...], sample: list[str]
) -> ibis.Table:
    """The columns that count, of the authorities named."""
    _needed(events, outcome, covariates)
    return _typed(events.filter(events["la"].cast("string").isin(sample)), covariates)


def _typed(events: ibis.Table, covariates: tuple[str, ...]) -> ibis.Table:
    return events.select(
        la=events["la"].cast("string"),
        child_id=events["child_id"],
        event_date=events["event_date"].cast("date"),
        window_end=events["window_end"].cast("date"),
        y=events["y"].cast("int64"),
        **{name: events[name].cast("string") for name in covariates},
    )


def place_events(
    events: ibis.Table, intervals: pd.DataFrame, window: int | None = None
) -> ibis.Table:
    """Events with the interval of their date and of their window's end, by equi-joins.

    Outer joins, so that an event outside the calendar is found and not lost. Where all windows
    last equally long (`window`, in days), the event's day tells both.
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
    if window is not None:
        last = codes[np.minimum(np.arange(len(days)) + window, len(days) - 1)]
        both = memtable({"event_day": days, "first": codes, "last": last})
        placed = events.left_join(both, events["event_date"] == both["event_day"])
        return placed.select(*events.columns, "first", "last")
    by_event = memtable({"event_day": days, "first": codes})
    by_window = memtable({"window_day": days, "last": codes})
    window_day = ibis.least(events["window_end"], ibis.literal(closes[-1]))
    once = events.left_join(by_event, events["event_date"] == by_event["event_day"])
    placed = once.left_join(by_window, window_day == by_window["window_day"])
    return placed.select(*events.columns, "first", "last")


def _check(
    held: ibis.Table,
    coded: Coded,
    study: Study,
    outcome: str,
    intervals: pd.DataFrame,
    rest_from: int,
    wanted: tuple[bool, bool],
) -> None:
    """Refuse no events, and events at fault; what is at fault is looked for only where one is."""
    of_rest = (held["cell"] >= rest_from).fill_null(False)
    counts = held.aggregate(
        bad=(~held["good"]).sum().cast("int64"),
        rows=held.count(),
        rest=of_rest.sum().cast("int64"),
    )
    found = {k: int(v or 0) for k, v in counts.to_pyarrow().to_pylist()[0].items()}
    if found["bad"]:
        given = coded.rows if coded.source is None else coded.source
        for rest in (False, True):
            if wanted[rest]:
                las = _inside(study, outcome) if rest else sample_of(study, outcome)
                inside = given["la"].isin(las)
                own = given.filter(~inside if rest else inside)
                check_events(place_events(own, intervals), study, outcome)
    there = (found["rows"] - found["rest"], found["rest"])
    if any(asked and not n for asked, n in zip(wanted, there, strict=True)):
        raise RecordsError(no_event(outcome))


def _counted(held: ibis.Table, child: tuple[str, ...]) -> pd.DataFrame:
    """Events, sums and distinct children by number of cell."""
    # Child first, then cell: counting distinct children in one step holds a set for every cell.
    by_child = held.group_by(["cell", *child]).aggregate(
        n=held.count(), y_sum=held["y"].sum(), y_sq=(held["y"] * held["y"]).sum()
    )
    counted = by_child.group_by("cell").aggregate(
        n=by_child["n"].sum().cast("int64"),
        y_sum=by_child["y_sum"].sum().cast("int64"),
        y_sq=by_child["y_sq"].sum().cast("int64"),
        children=by_child.count().cast("int64"),
    )
    return counted.to_pyarrow().to_pandas()


def _frame(
    counted: pd.DataFrame,
    las: Sequence[str],
    strata: pd.DataFrame,
    intervals: pd.DataFrame,
    pooled: bool,
) -> pd.DataFrame:
    """Cells by their keys; texts become categories in alphabetical order."""
    rest, stratum = np.divmod(counted["cell"].to_numpy(np.int64), len(strata))
    rest, last = np.divmod(rest, len(intervals))
    place, first = np.divmod(rest, len(intervals))
    frame = pd.DataFrame(
        {
            "la": _category(np.zeros_like(place) if pooled else place, las),
            "first": first.astype(np.int16),
            "last": last.astype(np.int16),
            **{
                name: _category(
                    strata[name].cat.codes.to_numpy()[stratum], strata[name].cat.categories
                )
                for name in strata
            },
            "n": counted["n"].to_numpy(np.int32),
            "y_sum": counted["y_sum"].to_numpy(np.int64),
            "y_sq": counted["y_sq"].to_numpy(np.int64),
            "children": counted["children"].to_numpy(np.int32),
        }
    )
    return frame.sort_values(["la", "first", "last", *strata], ignore_index=True)


def _category(place: NDArray[Any], words: Sequence[Any] | pd.Index[Any]) -> Any:
    """Words by their place, as categories of those that are there."""
    held = np.bincount(place, minlength=len(words)) > 0
    there = {str(word): i for i, word in enumerate(words) if held[i]}
    kept = sorted(there)
    code = np.full(len(words), -1, dtype=np.int64)
    code[[there[word] for word in kept]] = np.arange(len(kept))
    return pd.Categorical.from_codes(code[place], pd.Index(kept))


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
