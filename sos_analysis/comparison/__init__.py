"""Matched groups on cells: pseudo-dates, embedding donut, coarsened exact matching, balance.

Every comparator is copied into each matched group it serves and takes that group's embedding
dates. Inside a group and phase, children are matched exactly on coarse strata; a child-event that
several groups keep shares its weight among its copies. All of it works on integer cells, and is
exact: whatever decides about an event is constant within a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import pandas as pd

from sos_analysis.cells import DONUT, PHASES, POST, PRE, Cells, Clock, clock_of, placement
from sos_analysis.comparison.balance import (
    balance,
    count_events,
    flow_table,
    imbalance_table,
    margin_table,
)
from sos_analysis.comparison.matching import Array, Copies, cem_weights, strata, sums
from sos_analysis.comparison.slots import Series, place_all
from sos_analysis.errors import ParameterError, RecordsError, StudyError
from sos_analysis.numbering import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sos_analysis.study import Group, Study

__all__ = ["MatchedSample", "Series", "balance", "matched", "series"]

ThinRule = Literal["error", "drop"]


@dataclass(frozen=True)
class MatchedSample:
    """The analysis sample of one outcome, one row a (copied) cell.

    Attributes
    ----------
    frame : `group`, `la` (the cluster), `treated`, `post` (0/1), `phase`, `event_time` (whole
        years: -1 the last before embedding, 0 the first after it), `year` (fiscal), covariates,
        `n` events, `y_sum`, `y_sq`, `children` (at least so many distinct), `copies` (groups that
        keep these events), `cem_weight` (pilots 1) and `weight` = cem_weight / copies, the weight
        of one event in the regression. Sorted by key.
    groups : the matched groups in it. covariates : all strata columns; match_on : those matched.
    eligible : events before matching by group, phase, role, stratum and `copies` (then).
    imbalance : for each group and phase the events and L1 before and after matching; `l1_year_*`
        adds the fiscal year, on which nothing is matched.
    l1_before, l1_after : their means, weighted by the pilots' events. On the variables matched on,
        `l1_after` is 0 by construction: a check more than a finding.
    counts : `events` (distinct) and `copies` in the groups' authorities; copies dropped by `donut`
        and as `unmatched`; `kept` copies and `kept_events` (distinct).
    flow : the same by group and role. dropped : (group, reason) where thin groups may be dropped.
    margins : counts behind tables and charts, for disclosure: `margin` ('phase', 'event_time',
        'year', or a covariate), `role` ('treated', 'comparator'), `phase`, `level` (text): `las`,
        `events` (distinct), `copies`, `y_sum` (over distinct events) and `children`, at least so
        many distinct ones (exact where nothing was unmatched and no group left out).
    """

    outcome: str
    frame: pd.DataFrame
    groups: tuple[Group, ...]
    covariates: tuple[str, ...]
    match_on: tuple[str, ...]
    cem: bool
    clock: Clock
    eligible: pd.DataFrame
    imbalance: pd.DataFrame
    l1_before: float
    l1_after: float
    counts: Mapping[str, int]
    flow: pd.DataFrame
    dropped: tuple[tuple[str, str], ...]
    margins: pd.DataFrame


def matched(
    cells: Cells,
    study: Study,
    outcome: str,
    *,
    cem: bool = True,
    match_on: Sequence[str] | None = None,
    groups: Sequence[Group | str] | None = None,
    clock: Clock | None = None,
    thin_groups: ThinRule = "error",
) -> MatchedSample:
    """Place cells in the matched groups of an outcome and weight them.

    Coarsened exact matching (Iacus, King and Porro 2012): strata are group x phase x `match_on`;
    strata without both pilot and comparator events are dropped; a pilot's event weighs 1, a
    comparator's (nT_s / nC_s) x (nC / nT), with nT, nC the matched events of its group and phase,
    so that comparators' weights sum to their number. Both are divided by the number of copies of
    the event that the sample keeps (domain rule, as in the original).

    Parameters
    ----------
    cem : without it every event outside the donut stays, weighted 1 / copies.
    match_on : covariates to match on; the outcome's own by default.
    groups : matched groups, or ids of pilots, to keep; all of the outcome's by default.
    clock : what dates an event before embedding (see `cells.clock_of`).
    thin_groups : what to do with a group that has no event in one of its four parts (pilot or
        comparators, before or after): an error, or drop the group and say so in `dropped`.

    Raises
    ------
    StudyError : no group, or a group without comparator or with its pilot as comparator.
    RecordsError : an authority has no events, or a part of a group is empty.
    ParameterError : a group or covariate is not known.
    """
    if cells.meta.get("outcome", outcome) != outcome:
        raise ParameterError(
            f"outcome: asked for {outcome!r}, but the cells hold {cells.meta['outcome']!r}."
        )
    chosen = _chosen(study, outcome, groups)
    match_on = _match_on(cells, study, outcome, match_on, required=cem)
    clock = clock or clock_of(study.outcome(outcome))
    thin = _Thin(outcome, thin_groups)
    chosen = thin.present(chosen, cells)

    long = _place_copies(cells, chosen, clock)
    n = cells.frame["n"].to_numpy(np.int64)
    count = np.where(long.phase == DONUT, 0, n[long.row])
    ok = thin.parts(chosen, long, count, "outside the embedding donut")
    stratum = strata(cells.frame, match_on)
    cem_weight = np.where(count > 0, 1.0, 0.0)
    if cem:
        block = long.group * 2 + (long.phase == POST)
        cem_weight = cem_weights(block, stratum[long.row], long.treated, count)
        ok = thin.parts(chosen, long, np.where(cem_weight > 0, count, 0), "that could be matched")
    chosen, long, cem_weight = _without(chosen, ok, long, cem_weight)
    inside = long.phase != DONUT
    kept = cem_weight > 0

    year = cells.intervals["year"].to_numpy()[cells.frame["first"].to_numpy()]
    frame = _sample_frame(cells, chosen, long, kept, cem_weight, year)
    imbalance = imbalance_table(chosen, long, inside, stratum, year, n, cem_weight)
    pilots = imbalance["pilots"].to_numpy(float)
    # The engine's exact counts are of all the outcome's groups, by the outcome's own clock.
    same = chosen == study.groups(outcome)
    same &= [g.id for g in chosen] == list(cells.meta.get("groups", ()))
    exact = cells.margins if same and clock == clock_of(study.outcome(outcome)) else None
    return MatchedSample(
        outcome=outcome,
        frame=frame,
        groups=chosen,
        covariates=cells.covariates,
        match_on=match_on,
        cem=cem,
        clock=clock,
        eligible=_eligible(cells, chosen, long, inside),
        imbalance=imbalance,
        l1_before=float(np.average(imbalance["l1_before"], weights=pilots)),
        l1_after=float(np.average(imbalance["l1_after"], weights=pilots)),
        counts=count_events(long, inside, kept, n),
        flow=flow_table(chosen, long, inside, kept, n),
        dropped=tuple(thin.dropped),
        margins=margin_table(cells, long.where(kept), year, exact),
    )


def _chosen(study: Study, outcome: str, groups: Sequence[Group | str] | None) -> tuple[Group, ...]:
    """The groups asked for, in the study's order, each with a pilot and other comparators."""
    own = study.groups(outcome)
    if groups is not None:
        known = {g.id: g for g in own}
        for group in groups:
            if isinstance(group, str) and group not in known:
                raise ParameterError(
                    f"groups: {group!r} is no matched group of outcome {outcome!r}; those are "
                    f"{', '.join(known) or 'none'}."
                )
        own = tuple(known[g] if isinstance(g, str) else g for g in groups)
    if not own:
        raise StudyError(
            f"outcome {outcome!r} has no matched group: no pilot is left after exclusions. Give "
            "pilots comparators (pilots[].comparators) or exclude fewer (excluded_pilots)."
        )
    for group in own:
        if not group.comparators:
            raise StudyError(
                f"outcome {outcome!r}: group {group.id} (pilot LA {group.pilot}) has no "
                "comparator. Name one under pilots[].comparators, or leave the pilot out."
            )
        if group.pilot in group.comparators or len(set(group.comparators)) < len(group.comparators):
            raise StudyError(
                f"outcome {outcome!r}: group {group.id} (pilot LA {group.pilot}) names an "
                f"authority twice; its comparators are {', '.join(group.comparators)}. "
                "Use each authority once."
            )
    return own


def _match_on(
    cells: Cells, study: Study, outcome: str, match_on: Sequence[str] | None, required: bool
) -> tuple[str, ...]:
    wanted = tuple(study.outcome(outcome).covariates if match_on is None else match_on)
    absent = [name for name in wanted if name not in cells.covariates]
    if absent and (required or match_on is not None):
        raise ParameterError(
            f"match_on: the cells of outcome {outcome!r} do not carry {absent[0]!r}; they carry "
            f"{', '.join(cells.covariates) or 'no covariate'}. Collapse with it, or leave it out."
        )
    return tuple(name for name in wanted if name not in absent)


class _Thin:
    """Groups with an empty part: an error that says what to do, or a note of what was dropped."""

    def __init__(self, outcome: str, rule: str) -> None:
        if rule not in ("error", "drop"):
            raise ParameterError(f"thin_groups: found {rule!r}; allowed are 'error' and 'drop'.")
        self.outcome, self.rule = outcome, rule
        self.dropped: list[tuple[str, str]] = []

    def note(self, group: Group, reason: str) -> None:
        if self.rule == "error":
            raise RecordsError(
                f"outcome {self.outcome!r}, group {group.id} (pilot LA {group.pilot}): {reason}. "
                "Check the authority's code and its returns in the extract, name the pilot in "
                f"excluded_pilots of {self.outcome!r}, or pass thin_groups='drop'."
            )
        self.dropped.append((group.id, reason))

    def present(self, groups: tuple[Group, ...], cells: Cells) -> tuple[Group, ...]:
        """Groups whose pilot and at least one comparator (all, unless dropping) have cells."""
        found = set(pd.Categorical(cells.frame["la"]).remove_unused_categories().categories)
        if not any(g.pilot in found for g in groups):
            raise RecordsError(
                f"outcome {self.outcome!r}: no pilot present in the cells; expected LA "
                f"{', '.join(g.pilot for g in groups)}. Check that the study's LA codes are those "
                "of the extract, and that pilots were not filtered out."
            )
        kept: list[Group] = []
        for group in groups:
            if group.pilot not in found:
                self.note(group, f"the pilot, LA {group.pilot}, has no events")
                continue
            for la in group.comparators:
                if la not in found:
                    self.note(group, f"comparator LA {la} has no events")
            if any(la in found for la in group.comparators):
                kept.append(group)
        if not kept:
            self.nothing_left()
        return tuple(kept)

    def parts(
        self, groups: tuple[Group, ...], long: Copies, n: Array, which: str
    ) -> NDArray[np.bool_]:
        """Whether each group has events among `n` in all four parts."""
        part = long.group * 4 + long.treated * 2 + (long.phase == POST)
        total = np.bincount(part, weights=n, minlength=4 * len(groups)).reshape(-1, 2, 2)
        for group, table in zip(groups, total, strict=True):
            empty = [
                f"the {role} no event {phase} embedding"
                for role, row in (("pilot has", table[1]), ("comparators have", table[0]))
                for phase, number in (("before", row[0]), ("after", row[1]))
                if not number
            ]
            if empty and group.id not in {name for name, _ in self.dropped}:
                self.note(group, f"among events {which}, {empty[0]}")
        ok = np.asarray((total > 0).all(axis=(1, 2)))
        if not ok.any():
            self.nothing_left()
        return ok

    def nothing_left(self) -> NoReturn:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self.dropped)
        raise RecordsError(
            f"outcome {self.outcome!r}: no matched group is left ({reasons}). Use a larger "
            "extract, or match on fewer covariates."
        )


def _place_copies(cells: Cells, groups: tuple[Group, ...], clock: Clock) -> Copies:
    la = pd.Categorical(cells.frame["la"])
    first, last = cells.frame["first"].to_numpy(), cells.frame["last"].to_numpy()
    rows_of = {str(name): np.flatnonzero(la.codes == i) for i, name in enumerate(la.categories)}
    parts: list[tuple[Array, ...]] = []
    for i, group in enumerate(groups):
        place = placement(cells.intervals, group, clock)
        for name in (group.pilot, *group.comparators):
            row = rows_of.get(name, np.empty(0, dtype=np.intp))
            phase, time = place.of(first[row], last[row])
            treated = np.full(len(row), int(name == group.pilot))
            parts.append((row, np.full(len(row), i), treated, phase, time))
    return Copies(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _without(
    groups: tuple[Group, ...], ok: NDArray[np.bool_], long: Copies, weight: Array
) -> tuple[tuple[Group, ...], Copies, Array]:
    """Leave out the groups that are not `ok` and number the rest again."""
    mask = ok[long.group]
    left = long.where(mask)
    renumbered = (np.cumsum(ok) - 1)[left.group]
    return (
        tuple(g for g, keep in zip(groups, ok, strict=True) if keep),
        Copies(left.row, renumbered, left.treated, left.phase, left.time),
        weight[mask],
    )


def _sample_frame(
    cells: Cells,
    groups: tuple[Group, ...],
    long: Copies,
    kept: NDArray[np.bool_],
    cem_weight: Array,
    year: Array,
) -> pd.DataFrame:
    """Kept copies, with the intervals of one event time and year put together."""
    copies = np.bincount(long.row[kept], minlength=len(cells.frame))
    left, weight = long.where(kept), cem_weight[kept]
    row = left.row
    la = pd.Categorical(cells.frame["la"])
    full = strata(cells.frame, cells.covariates)[row]
    keys = [left.group, la.codes[row], left.phase, left.time, year[row], full, copies[row]]
    at, number = distinct(keys)
    n, y_sum, y_sq = sums(
        number, *(cells.frame[name].to_numpy(np.int64)[row] for name in ("n", "y_sum", "y_sq"))
    )
    children = np.zeros(len(at), dtype=np.int64)
    np.maximum.at(children, number, cells.frame["children"].to_numpy(np.int64)[row])
    shared = copies[row[at]]
    return pd.DataFrame(
        {
            "group": _named(left.group[at], [g.id for g in groups]),
            "la": la[row[at]].remove_unused_categories(),
            "treated": left.treated[at].astype(np.int8),
            "post": (left.phase[at] == POST).astype(np.int8),
            "phase": _named(left.phase[at], [PHASES[PRE], PHASES[POST]]),
            "event_time": left.time[at].astype(np.int16),
            "year": year[row[at]].astype(np.int16),
            **_covariates(cells, row[at]),
            "n": n,
            "y_sum": y_sum,
            "y_sq": y_sq,
            "children": children,
            "copies": shared.astype(np.int16),
            "cem_weight": weight[at],
            "weight": weight[at] / shared,
        }
    )


def _named(codes: Array, names: list[str]) -> Any:
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names))


def _covariates(cells: Cells, row: Array) -> dict[str, Any]:
    return {name: pd.Categorical(cells.frame[name])[row] for name in cells.covariates}


def _eligible(
    cells: Cells, groups: tuple[Group, ...], long: Copies, inside: NDArray[np.bool_]
) -> pd.DataFrame:
    left = long.where(inside)
    copies = np.bincount(left.row, minlength=len(cells.frame))[left.row]
    full = strata(cells.frame, cells.covariates)[left.row]
    at, number = distinct([left.group, left.phase, left.treated, full, copies])
    (n,) = sums(number, cells.frame["n"].to_numpy(np.int64)[left.row])
    return pd.DataFrame(
        {
            "group": _named(left.group[at], [g.id for g in groups]),
            "phase": _named(left.phase[at], [PHASES[PRE], PHASES[POST]]),
            "treated": left.treated[at].astype(np.int8),
            **_covariates(cells, left.row[at]),
            "copies": copies[at].astype(np.int16),
            "n": n,
        }
    )


def series(
    cells: Cells,
    study: Study,
    outcome: str,
    *,
    sample: MatchedSample | None = None,
    adjust: Sequence[str] | None = None,
    groups: Sequence[Group | str] | None = None,
    clock: Clock | None = None,
    thin_groups: ThinRule = "error",
) -> Series:
    """Place every authority of the sample in every group's dates, for permuting slots.

    Parameters
    ----------
    sample : the matched sample whose groups, clock, places and weights to take; without it, the
        unmatched one (`cem=False`) of `groups` and `clock`.
    adjust : covariates to take off the outcome (see `slots.place_all`); the outcome's regression
        covariates by default, of those the cells carry; () for none.
    """
    if sample is None:
        sample = matched(
            cells, study, outcome, cem=False, groups=groups, clock=clock, thin_groups=thin_groups
        )
    if adjust is None:
        wanted = study.outcome(outcome).model_covariates
        adjust = [name for name in wanted if name in cells.covariates]
    return place_all(cells, study, outcome, sample, adjust)
