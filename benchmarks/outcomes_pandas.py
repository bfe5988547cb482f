"""The same outcomes as an analyst would write them in pandas: read, tidy, merge, count.

Strict definitions, for the layout of the made-up extract. It takes what pandas offers: whole
columns at once, no loop over children. Columns that are not needed are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

KEY = ["la", "child"]
_CIN = {
    "CIN_LA": "la",
    "CIN_LAchildID_Anon": "child",
    "CIN_ReferralDate": "referred",
    "CIN_ReferralNFA": "nfa",
    "CIN_CINClosureDate": "closed",
    "CIN_ReasonForClosure": "reason",
    "CIN_DateOfInitialCPC": "icpc",
    "CIN_CPPstartDate": "plan",
    "CIN_DOB": "dob",
    "CIN_ExpectedDOB": "expected",
    "CIN_YearOfBirth": "birth_year",
    "CIN_MonthOfBirth": "birth_month",
    "CIN_AnyPoint": "any_point",
    "CIN_Started": "begun",
    "CIN_Ended": "ended",
    "CIN_CINAt31March": "at_end",
}
_CARE = {
    "CHILD_LA_CODE_ANON": "la",
    "CHILD_ID_ANON": "child",
    "RNE": "rne",
    "date_episode_started": "started",
    "date_episode_ceased": "ceased",
    "legal_status": "legal",
    "placement": "placement",
    "reason_episode_ceased": "reason",
    "dob_Year": "birth_year",
    "dob_Month": "birth_month",
}
_S47 = {
    "CIN_LA": "la",
    "CIN_LAchildID_Anon": "child",
    "CIN_ReferralDate": "referred",
    "DateOfInitialCPC": "icpc",
}
_ASSESSED = {
    "CIN_LA": "la",
    "CIN_LAchildID_Anon": "child",
    "AssessmentStartDate": "day",
    "AssessmentAuthorisationDate": "done",
}
_DATES = ("referred", "closed", "icpc", "plan", "dob", "expected", "started", "ceased", "day")


def _read(folder: Path, stem: str, columns: dict[str, str]) -> pd.DataFrame:
    import pyarrow.parquet as pq

    parts = []
    for path in sorted(folder.glob(f"{stem}*.parquet")):
        there = {name.lower(): name for name in pq.read_schema(path).names}
        wanted = {there[k.lower()]: v for k, v in columns.items() if k.lower() in there}
        if "CIN_LA" in columns and "cin_la" not in there:
            wanted[there["cin_la_lgr"]] = "la"
        part = pd.read_parquet(path, columns=list(wanted)).rename(columns=wanted)
        if stem != "cla_episodes":
            part["year"] = int(path.stem[-4:])
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True).dropna(subset=["child"])
    for name in (*_DATES, "done"):
        if name in rows:
            rows[name] = pd.to_datetime(rows[name])
    return rows


def _month(rows: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(
        pd.DataFrame({"year": rows.birth_year, "month": rows.birth_month, "day": 15}),
        errors="coerce",
    )


def _born(cin: pd.DataFrame, care: pd.DataFrame) -> pd.DataFrame:
    month = _month(cin)
    first = cin[KEY].assign(
        dob=cin.dob.fillna(cin.expected).fillna(month),
        rank=np.where(cin.dob.notna(), 3, np.where(cin.expected.notna(), 2, 1)),
    )
    votes = pd.concat([first, care[KEY].assign(dob=_month(care), rank=1)]).dropna(subset=["dob"])
    votes = votes.groupby([*KEY, "dob", "rank"], as_index=False).size()
    votes = votes.sort_values(["rank", "size", "dob"], ascending=[False, False, True])
    return votes.drop_duplicates(KEY)[[*KEY, "dob"]]


def _referrals(cin: pd.DataFrame, s47: pd.DataFrame) -> pd.DataFrame:
    rows = cin.dropna(subset=["referred"])
    marks = rows[["any_point", "begun", "ended", "at_end"]].fillna(0).sum(axis=1) > 0
    rows = rows.assign(
        code=rows.reason.str.upper()
        .str.replace("[^A-Z0-9]", "", regex=True)
        .str.extract(r"^(?:RC|R|C)?0?([1-9])(?:[A-Z].*)?$")[0]
        .astype("float"),
        marked=marks | rows.icpc.notna() | rows.plan.notna(),
        no=rows.nfa.astype("boolean").eq(False).fillna(False).astype(bool),
        yes=rows.nfa.astype("boolean").fillna(False).astype(bool),
    )
    group = [*KEY, "referred"]
    found = rows.groupby(group, as_index=False).agg(
        yes=("yes", "any"), no=("no", "any"), marked=("marked", "any")
    )
    last = rows.dropna(subset=["closed"]).sort_values(["year", "closed"])
    last = last.drop_duplicates(group, keep="last")[[*group, "closed"]]
    why = rows.dropna(subset=["code"]).sort_values(["year", "closed", "code"], na_position="first")
    why = why.drop_duplicates(group, keep="last")[[*group, "code"]]
    held = s47.dropna(subset=["icpc", "referred"])[group].drop_duplicates().assign(held=True)
    for more in (last, why, held):
        found = found.merge(more, on=group, how="left")
    found["marked"] |= found.held.notna()
    found["nfa"] = found.yes & ~found.no
    return found


def _episodes(care: pd.DataFrame) -> pd.DataFrame:
    rows = care.dropna(subset=["started"]).fillna({"legal": "~", "placement": "~"})
    rows["legal"], rows["placement"] = rows.legal.str.upper(), rows.placement.str.upper()
    rows["until"] = rows.ceased.fillna(pd.Timestamp("2200-01-01"))
    known = rows.ceased.fillna(pd.Timestamp("1900-01-01"))
    rows = rows.assign(known=known).sort_values(
        [*KEY, "started", "legal", "placement", "known"], ascending=[True] * 5 + [False]
    )
    rows = rows.drop_duplicates([*KEY, "started", "legal", "placement"])
    rows = rows.sort_values([*KEY, "started", "until", "legal", "placement"])
    before = rows.groupby(KEY)[["ceased", "reason"]].shift()
    goes_on = (before.reason == "X1") & (before.ceased == rows.started) & (rows.rne != "S")
    rows["began"] = rows.started.where(~goes_on)
    rows["began"] = rows.groupby(KEY).began.ffill()
    return rows


def _count(events: pd.DataFrame, born: pd.DataFrame, unknown: bool) -> list[tuple[Any, ...]]:
    rows = events.merge(born, on=KEY, how="left")
    day, dob = rows.day.dt, rows.dob.dt
    early = (day.month * 100 + day.day) < (dob.month * 100 + dob.day)
    age = day.year - dob.year - early
    rows = rows[age.between(-1, 17) | (age.isna() & unknown)]
    fiscal = rows.day.dt.year + (rows.day.dt.month >= 4)
    counts = rows.groupby(["la", fiscal]).y.agg(["size", "sum"]).sort_index()
    return [(la, int(f), int(n), int(y)) for (la, f), (n, y) in counts.iterrows()]


def _within(events: pd.DataFrame, rule: dict[str, Any]) -> pd.DataFrame:
    first, last, censor = (pd.Timestamp(rule[k]) for k in ("first", "last", "censor"))
    gap = (censor - events.day).dt.days
    return events[events.day.between(first, last) & (gap > rule["censor_days"])]


def run(folder: Path, rules: dict[str, dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """Counts by outcome: rows of authority, fiscal year, events, sum of the outcome."""
    from sos_analysis.records.calendar import calendar_table

    cin, care = _read(folder, "cin_", _CIN), _read(folder, "cla_episodes", _CARE)
    s47, assessed = _read(folder, "section47_", _S47), _read(folder, "assessments_", _ASSESSED)
    born = _born(cin, care)
    referrals = _referrals(cin, s47)
    made: dict[str, list[tuple[Any, ...]]] = {}

    done = assessed.dropna(subset=["day"]).groupby([*KEY, "day"], as_index=False).done.max()
    calendar = calendar_table().to_pandas()
    before = pd.Series(calendar.working_before.to_numpy(), pd.to_datetime(calendar.day))
    done = done[done.done >= done.day]
    done["y"] = done.done.map(before) - done.day.map(before)
    done = done.dropna(subset=["y"])
    made["duration"] = _count(_within(done, rules["duration"]), born, True)

    ok = ~(referrals.closed < referrals.referred)
    rule = rules["rereferral"]
    possible = referrals[ok & referrals.referred.between(rule["first"], rule["last"])]
    cases = possible[possible.nfa]
    cases = cases[KEY].assign(day=cases.closed.fillna(cases.referred)).drop_duplicates()
    pairs = cases.merge(referrals[[*KEY, "referred"]], on=KEY)
    gap = (pairs.referred - pairs.day).dt.days
    again = pairs[gap.between(1, rule["window_days"])]
    again = again.groupby([*KEY, "day"], as_index=False).referred.min()
    cases = cases.merge(again, on=[*KEY, "day"], how="left")
    cases["y"] = cases.referred.notna().astype(int)
    made["rereferral"] = _count(_within(cases, rule), born, True)

    episodes = _episodes(care)
    periods = episodes.drop_duplicates([*KEY, "began"])
    periods = periods[~periods.legal.isin(["V3", "V4"])]
    starts = pd.concat(
        [
            cin.dropna(subset=["plan"])[[*KEY, "plan"]].rename(columns={"plan": "start"}),
            periods[[*KEY, "began"]].rename(columns={"began": "start"}),
        ]
    ).drop_duplicates()
    pairs = cases.dropna(subset=["referred"]).merge(starts, on=KEY)
    soon = pairs[(pairs.start - pairs.referred).dt.days.between(0, 180)]
    soon = soon[[*KEY, "day"]].drop_duplicates().assign(soon=1)
    led = cases.drop(columns="y").merge(soon, on=[*KEY, "day"], how="left")
    led["y"] = led.soon.fillna(0)
    made["escalation"] = _count(_within(led, rules["escalation"]), born, True)

    rule = rules["kinship"]
    inside = (episodes.started - episodes.began).dt.days <= rule["window_days"]
    kept = episodes[inside & episodes.legal.isin(["C1", "C2"])]
    kin = kept.placement.isin(["Q1", "U1", "U2", "U3"])
    kin |= kept.placement.isin(["F1", "F4"]) & (kept.started < pd.Timestamp("2015-04-01"))
    kept = kept.assign(y=kin.astype(int)).groupby([*KEY, "began"], as_index=False).y.max()
    kept = kept.rename(columns={"began": "day"})
    made["kinship"] = _count(_within(kept, rule), born, False)

    rule = rules["icpc"]
    nfa = possible.yes & ~possible.no | (possible.code == 8)
    open_or = possible.closed.isna() | possible.code.between(1, 7)
    need = possible[possible.marked | (open_or & ~nfa)]
    need = need[[*KEY, "referred"]].rename(columns={"referred": "day"})
    held = pd.concat([cin[[*KEY, "icpc"]], s47[[*KEY, "icpc"]]]).dropna().drop_duplicates()
    pairs = need.merge(held, on=KEY)
    hits = pairs[(pairs.icpc - pairs.day).dt.days.between(1, rule["window_days"])]
    hits = hits[[*KEY, "day"]].drop_duplicates().assign(y=1)
    need = need.merge(hits, on=[*KEY, "day"], how="left").fillna({"y": 0})
    made["icpc"] = _count(_within(need, rule), born, True)
    return made
