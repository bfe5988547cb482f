"""How complete each authority's yearly return of child protection conferences is.

Three looks, none of which needs another source: whether section 47 enquiries say what came of
them; whether conferences dated anywhere are dated in the section 47 module; whether an authority
holds fewer conferences, and fewer enquiries, per referral than in its own other years, net of what
all share. Counts are made in the engine, one row an authority and fiscal year; the study file says
what is complete enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sos_analysis.records.tables import KEY

if TYPE_CHECKING:
    import ibis

    from sos_analysis.records.tables import Records
    from sos_analysis.study import CompletenessRules, Study

#: An enquiry is answered by a conference of the child so many days after it began.
ANSWERED_WITHIN = 90
COUNTS = ("referrals", "conferences", "conferences_s47", "enquiries", "answered")
#: Looks, in the order of the study file's keys.
LOOKS = ("enquiries_answered", "recorded_in_section47", "own_rate")
PASS, FAIL, NOT_JUDGED = "pass", "fail", "not judged"


def conference_returns(records: Records, study: Study) -> pd.DataFrame:
    """Count what each authority of the matched groups returned, by fiscal year.

    Returns
    -------
    DataFrame with `la`, `year` (by its end), `referrals` (child and day), `conferences` (child and
    day, recorded anywhere), `conferences_s47` (of those, in the section 47 module), `enquiries`
    (child and day) and `answered` (with a conference of the child within `ANSWERED_WITHIN` days,
    recorded anywhere, or marked as needing none; missing where the return never states the mark).
    Every authority has every year of the data; what is not there is 0.
    """
    groups = study.groups("icpc", exclude=False)
    las = sorted({la for g in groups for la in (g.pilot, *g.comparators)})
    years = range(_fiscal(study.data_start), _fiscal(study.data_end) + 1)
    grid = pd.MultiIndex.from_product([las, years], names=["la", "year"])
    tables = (records.tables[name] for name in ("referrals", "conferences", "s47_icpc"))
    referrals, held, enquiries = (table.filter(table["la"].isin(las)) for table in tables)
    days = held.group_by(*KEY, day=held.icpc_date).agg(
        conferences_s47=(held["source"] == "s47").any()
    )
    found = pd.concat(
        [
            _by_year(referrals.select("la", day=referrals.referral_date), "referrals"),
            _by_year(days, "conferences", "conferences_s47"),
            _by_year(_answers(enquiries, days), "enquiries", "answered", "stated"),
        ],
        axis=1,
    )
    table = found.reindex(grid).fillna(0).reset_index()
    table = table.astype(dict.fromkeys((*COUNTS, "stated"), np.int64))
    silent = (table["stated"] == 0) & (table["enquiries"] > 0)
    table["answered"] = table["answered"].astype(float).mask(silent)
    return table[["la", "year", *COUNTS]]


def _answers(enquiries: ibis.Table, conferences: ibis.Table) -> ibis.Table:
    """One row an enquiry (child and day), with whether it says what came of it."""
    rows = enquiries.filter(enquiries.s47_date.notnull())  # noqa: PD004
    pooled = rows.group_by(*KEY, "s47_date").agg(
        dated=rows.icpc_date.notnull().any(),  # noqa: PD004
        needless=rows.not_required.fill_null(False).any(),
        stated=rows.not_required.notnull().any(),  # noqa: PD004
    )
    pairs = pooled.select(*KEY, "s47_date").inner_join(conferences.select(*KEY, "day"), KEY)
    gap = pairs.day.delta(pairs.s47_date, unit="day")
    pairs = pairs.filter(gap >= 0, gap <= ANSWERED_WITHIN).select(*KEY, "s47_date").distinct()
    met = pooled.left_join(pairs.mutate(met=True), [*KEY, "s47_date"])
    return met.select(
        "la",
        day=met.s47_date,
        answered=met.dated | met.needless | met.met.fill_null(False),
        stated=met.stated,
    )


def _by_year(days: ibis.Table, name: str, *holding: str) -> pd.DataFrame:
    """Rows by authority and fiscal year: all, under a name, and those for which columns hold."""
    year = (days.day.year() + (days.day.month() >= 4).cast("int32")).cast("int64")
    counted = days.group_by("la", year=year).agg(
        **{name: days.count()}, **{column: days[column].sum() for column in holding}
    )
    rows = counted.to_pyarrow().to_pandas().astype({"la": str, "year": np.int64})
    return rows.set_index(["la", "year"])


def _fiscal(day: Any) -> int:
    return int(day.year + (day.month >= 4))


def judge(returns: pd.DataFrame, rules: CompletenessRules, *, source: str) -> pd.DataFrame:
    """Which yearly returns are complete enough, by the rules of the study file.

    Parameters
    ----------
    returns : as `conference_returns` gives them.
    source : where the definition reads conferences: 's47', or 'either' place; in the second case
        it does not matter in which place they stand.

    Returns
    -------
    The returns with a share for each look (`answered_share`, `module_share`, `own_ratio`; missing
    where it has no cases), its status under its name in `LOOKS` ('pass', 'fail', 'not judged'),
    `unanswered` enquiries (missing where that cannot be known) and `complete`: no look failed.
    """
    made = returns.copy()
    enquiries, conferences = made["enquiries"].to_numpy(float), made["conferences"].to_numpy(float)
    expected, expected_enquiries = (
        _usual_rate(made, name) * made["referrals"].to_numpy(float)
        for name in ("conferences", "enquiries")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        made["answered_share"] = made["answered"].to_numpy(float) / enquiries
        made["module_share"] = made["conferences_s47"].to_numpy(float) / conferences
        ratio, of_enquiries = conferences / expected, enquiries / expected_enquiries
    # Few conferences beside the usual number of enquiries that say why is a fall, not a gap: then
    # the ratio of enquiries stands in, so that the rule hardly selects on the outcome.
    explained = np.isfinite(made["answered_share"]) & (enquiries >= rules.fewest)
    made["own_ratio"] = np.where(explained, np.fmax(ratio, of_enquiries), ratio)
    made["unanswered"] = enquiries - made["answered"].to_numpy(float)
    looks = (
        (made["answered_share"], enquiries, rules.enquiries_answered),
        (made["module_share"], conferences, rules.recorded_in_section47),
        (made["own_ratio"], expected, rules.own_rate),
    )
    failed = np.zeros(len(made), dtype=bool)
    for name, (share, cases, least) in zip(LOOKS, looks, strict=True):
        value = share.to_numpy(float)
        off = least == 0 or (name == "recorded_in_section47" and source != "s47")
        seen = np.isfinite(value) & (np.nan_to_num(cases) >= rules.fewest) & (not off)
        low = seen & (value < least)
        made[name] = np.where(low, FAIL, np.where(seen, PASS, NOT_JUDGED))
        failed |= low
    made["complete"] = ~failed
    return made


def _usual_rate(returns: pd.DataFrame, counted: str) -> Any:
    """What to expect for each referral: all authorities' rate, times the usual ratio to it.

    The ratio to all authorities' rate is the median over the authority's other years, so that a
    movement all share is nobody's gap.
    """
    held, made = returns[counted].to_numpy(float), returns["referrals"].to_numpy(float)
    year, la = returns["year"].to_numpy(), returns["la"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        common = np.array([held[year == y].sum() / made[year == y].sum() for y in year])
        ratio = held / made / common
    usual = np.full(len(ratio), np.nan)
    for i in range(len(ratio)):
        others = ratio[(la == la[i]) & (year != year[i])]
        others = others[np.isfinite(others)]
        if len(others):
            usual[i] = np.median(others)
    return usual * common
