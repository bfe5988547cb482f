"""A made-up extract read the plain way with pandas, for tests of the generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


def read(folder: Path, table: str) -> pd.DataFrame:
    """All years of a table, with the year (by its end) and one name for the authority."""
    frames = []
    for path in sorted(folder.glob(f"{table}_*.parquet")):
        frame = pq.read_table(path).to_pandas(date_as_object=False)
        frame = frame.rename(columns={"CIN_LA_LGR": "CIN_LA"})
        frame.columns = [c.rsplit("_SPR", 1)[0] for c in frame.columns]
        frames.append(frame.assign(year=frame["CIN_ACADYR"] + 1))
    return pd.concat(frames, ignore_index=True)


def fiscal(day: pd.Series) -> pd.Series:
    """Fiscal year by its end."""
    return day.dt.year + (day.dt.month >= 4)


def referrals_of(cin: pd.DataFrame) -> pd.DataFrame:
    """One row a referral: flag, last stated closure and reason, whether ever a child in need."""
    flag = cin["CIN_ReferralNFA"].astype("boolean").astype("Float64")  # not stated stays open
    cin = cin.assign(flag=flag).sort_values("year")
    key = ["CIN_LA", "CIN_LAchildID_Anon", "CIN_ReferralDate"]
    found = cin.groupby(key, sort=True).agg(
        nfa=("flag", "min"),
        closed=("CIN_CINClosureDate", "last"),
        reason=("CIN_ReasonForClosure", "last"),
        in_need=("CIN_AnyPoint", "max"),
    )
    found["nfa"] = found["nfa"].fillna(0) == 1
    return found.reset_index().rename(
        columns=dict(zip(key, ["la", "child_id", "referral"], strict=True))
    )


def working_days(start: pd.Series, end: pd.Series) -> np.ndarray:
    """Working days in [start, end), bank holidays of England out."""
    import holidays

    off = list(holidays.country_holidays("GB", subdiv="ENG", years=range(2008, 2021)))
    first, last = start.to_numpy("datetime64[D]"), end.to_numpy("datetime64[D]")
    return np.busday_count(first, last, holidays=np.array(off, dtype="datetime64[D]"))
