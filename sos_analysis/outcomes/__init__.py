"""Who is eligible and what happened, for each outcome, under each definition.

`events` gives one row an eligible event, as an Ibis expression that runs where the records live.
The definitions follow the original evaluation's published code where its reading is plain, and
gaps are closed by rules of this project (domain rule, `docs/methods_registry.md`); 'strict' is
ours. Options of a definition stand in the study file, and can be overridden one by one.

duration        assessments, working days from the start (counted) to the authorisation (not).
                Original: above 110 days dropped; strict: none dropped.
rereferral      cases of no further action (NFA): any new referral within six months (183 days)
                of the NFA date. Original: flagged at referral or closed after assessment (RC8),
                and no other mark of a child in need; strict: flagged at referral.
escalation      the same cases: a re-referral, and a plan or care begun within 180 days of it.
kinship         periods of care with a care order within 365 days of their start: placed with
                relatives or friends.
icpc            referrals of children in need: an initial child protection conference of the
                child after the referral day, fewer than 90 days after (strict: within 90).
nfa_share       all referrals: was it a case of no further action?
rereferral_all  all referrals: any new referral within six months of the referral.

For all: events from the start to the end of the data; age -1 to 17 at the event, unknown age
stays (but not in kinship); the window, in days, must end before the censoring date; a referral
closed before it was made is no event, but its date counts as a referral. What is done with the
period of embedding is the comparison's business, not settled here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import ParameterError
from sos_analysis.outcomes.common import (
    COVARIATES,
    censored,
    coded,
    complete,
    days_after,
    in_data,
    with_child,
    with_risk,
)
from sos_analysis.outcomes.referrals import (
    SHORT_BREAKS,
    escalation,
    icpc,
    nfa_share,
    rereferral,
    rereferral_all,
)
from sos_analysis.records.tables import CHILD

if TYPE_CHECKING:
    import ibis

    from sos_analysis.records.tables import Records
    from sos_analysis.strata import Coded
    from sos_analysis.study import Outcome, Study

OUTCOME_COLUMNS = (
    "la",
    "child_id",
    "event_date",
    "window_end",
    "y",
    "year",
    *COVARIATES,
)

CARE_ORDERS = ("C1", "C2")
LEGACY_PLACEMENTS = ("F1", "F4")


def events(
    records: Records,
    study: Study,
    outcome: str,
    definition: str = "original",
    **overrides: Any,
) -> ibis.Table:
    """Eligible events of an outcome, with what happened and the covariates (domain rule).

    Parameters
    ----------
    records : canonical tables.
    study : windows, censoring and options of each definition.
    outcome : name of an outcome of the study.
    definition : 'original' or 'strict'.
    overrides : options of the definition to replace, e.g. ``trim='fence'``.

    Returns
    -------
    Ibis table with `OUTCOME_COLUMNS`: `event_date` and `window_end` (dates; the end of the
    assessment for duration, else the event and the outcome's window in days), `y` (int64: 0 or 1;
    working days for duration), `year` (fiscal, by its end), covariates as words.

    Raises
    ------
    ParameterError : unknown outcome, definition or option.
    """
    found, window = _found(records, study, outcome, definition, overrides)
    return complete(found, records, window).select(*OUTCOME_COLUMNS)


def coded_events(
    records: Records,
    study: Study,
    outcome: str,
    definition: str = "original",
    covariates: Sequence[str] = COVARIATES,
    **overrides: Any,
) -> Coded:
    """The same events, with the covariates named as one number: narrow, to be held and counted."""
    found, window = _found(records, study, outcome, definition, overrides)
    return coded(found, covariates, window)


def _found(
    records: Records,
    study: Study,
    outcome: str,
    definition: str,
    overrides: Mapping[str, Any],
) -> tuple[ibis.Table, int | None]:
    """Events, and the days their windows last; none where these end with what is measured."""
    rule = study.outcome(outcome)
    found = _EVENTS[outcome](records, study, rule, _options(rule, definition, overrides))
    return found, None if "window_end" in found.columns else rule.window_days


def _options(rule: Outcome, definition: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    if definition not in rule.definitions:
        raise ParameterError(
            f"definition {definition!r} of outcome {rule.name!r} is unknown; "
            f"there are {', '.join(rule.definitions)}."
        )
    options = dict(rule.definitions[definition])
    for name in overrides:
        if name not in options:
            near = difflib.get_close_matches(name, options, n=1)
            raise ParameterError(
                f"outcome {rule.name!r} has no option {name!r}; it has "
                f"{', '.join(options) or 'none'}." + (f" Did you mean {near[0]!r}?" if near else "")
            )
    return options | dict(overrides)


def _duration(
    records: Records, study: Study, rule: Outcome, options: Mapping[str, Any]
) -> ibis.Table:
    """Assessments authorised, with their working days (weekends, bank holidays out)."""
    done = records.tables["assessments"]
    done = done.filter(done.end_date.notnull(), done.end_date >= done.start_date)
    days = working_days(records, done, "start_date", "end_date").rename(event_date="start_date")
    days = days.rename(window_end="end_date")
    days = censored(in_data(days, study), rule.censor_days, rule.censor_date)
    # Held: every definition, and every choice of an analyst, is about the same assessments.
    days = records.within(records.once(with_child(days, records)))
    return _beyond(_trimmed(days, study, rule, options["trim"]), rule, options)


def _beyond(found: ibis.Table, rule: Outcome, options: Mapping[str, Any]) -> ibis.Table:
    """The number of working days, or whether there were more than so many."""
    limit = options["beyond"]
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ParameterError(
            f"option 'beyond' of {rule.name!r} is {limit!r}; it must be 0 (the number of working "
            "days) or a whole number of working days."
        )
    return found.mutate(y=(found.y > limit).cast("int64")) if limit else found


def _trimmed(found: ibis.Table, study: Study, rule: Outcome, trim: Any) -> ibis.Table:
    """Very long assessments left out, as the option says."""
    if trim == "none":
        return found
    if trim == "fence":
        return found.filter(found.y <= _upper_fence(found, study.sample(rule.name)))
    if not isinstance(trim, int) or isinstance(trim, bool) or trim < 1:
        raise ParameterError(
            f"option 'trim' of {rule.name!r} is {trim!r}; it must be a whole number of working "
            "days above 0, 'fence' or 'none'."
        )
    return found.filter(found.y <= trim)


def _upper_fence(found: ibis.Table, sample: tuple[str, ...]) -> Any:
    """Q3 + 1.5 x (Q3 - Q1), quartiles by linear interpolation, over the sample's assessments.

    The sample, so that the fence does not depend on which other authorities were read; all that
    were read, if the sample has none.
    """
    own = found.la.isin(sample) if sample else None
    q = found.aggregate(
        low=found.y.quantile(0.25, where=own),
        high=found.y.quantile(0.75, where=own),
        low_all=found.y.quantile(0.25),
        high_all=found.y.quantile(0.75),
    )
    low, high = q.low.coalesce(q.low_all), q.high.coalesce(q.high_all)
    return q.select(fence=high + (high - low) * 1.5).as_scalar()


def working_days(records: Records, table: ibis.Table, start: str, end: str) -> ibis.Table:
    """Add `y`: working days from `start` (counted) up to `end` (not counted); and `risky`.

    That is whether the start is a day of elevated risk. Friday to Monday is 1, Saturday to Monday
    0. Rows with a date outside the calendar (2000 to 2030) are dropped.
    """
    days = records.tables["calendar"]
    starts = days.select(
        **{start: days.day, "from_": days.working_before, "risky": days.elevated_risk}
    )
    ends = days.select(**{end: days.day, "to_": days.working_before})
    both = table.inner_join(starts, start).inner_join(ends, end)
    return both.mutate(y=(both["to_"] - both["from_"]).cast("int64")).drop("from_", "to_")


def _kinship(
    records: Records, study: Study, rule: Outcome, options: Mapping[str, Any]
) -> ibis.Table:
    """Periods of care with a care order within the window; kinship placement or exit.

    Original: placed with relatives or friends (Q1, U1-U3, older F1, F4) or own parents (P1), or
    left to them or to a special guardian by the end of the window. Strict: the placement alone.
    Episodes under other legal statuses are set aside.
    """
    episodes = records.tables["episodes"]
    in_window = days_after(episodes.episode_start, episodes.period_start) <= rule.window_days
    if options["legal"] == "care_orders":
        counted = episodes.legal_status.isin(CARE_ORDERS)
    else:
        counted = episodes.legal_status.notin(SHORT_BREAKS).fill_null(True)
    placements = tuple(options["placements"])
    legacy = tuple(p for p in placements if p in LEGACY_PLACEMENTS)
    plain = tuple(p for p in placements if p not in LEGACY_PLACEMENTS)
    placed = episodes.placement.isin(plain) | (
        episodes.placement.isin(legacy) & (episodes.episode_start < options["legacy_until"])
    )
    counted_rows = episodes.mutate(placed=placed.fill_null(False)).filter(in_window, counted)
    group = [CHILD, "period_start"]
    hits = counted_rows.group_by(*group).agg(placed=counted_rows.placed.any())
    periods = records.within(records.tables["care_periods"])
    both = periods.inner_join(hits, group)
    left = (
        both.period_end_reason.isin(tuple(options["exits"]))
        & (days_after(both.period_end, both.period_start) <= rule.window_days)
    ).fill_null(False)
    found = both.mutate(
        y=(both.placed | left).cast("int64"),
        event_date=both.period_start,
        risk_date=both.period_start,
    )
    found = censored(in_data(found, study), rule.censor_days, rule.censor_date)
    return with_child(with_risk(found, records), records, unknown=False)


_EVENTS: Mapping[str, Callable[[Records, Study, Outcome, Mapping[str, Any]], Any]] = {
    "duration": _duration,
    "rereferral": rereferral,
    "escalation": escalation,
    "kinship": _kinship,
    "icpc": icpc,
    "nfa_share": nfa_share,
    "rereferral_all": rereferral_all,
}
