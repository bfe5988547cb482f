"""Figures of an extract, measured with SQL on its Parquet files alone.

Everything is read the plain way: a referral is a distinct authority, child and day of referral; a
year is the fiscal year, by its end, of the event's own day. Nothing here knows how the extract was
made, so that a mistake of the generator cannot hide in its own measurement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sos_analysis.errors import RecordsError

if TYPE_CHECKING:
    import duckdb

#: A measured figure is found by its id, year (None where it spans years) and statistic.
Key = tuple[str, int | None, str]

_KEY = "la, child"
_FISCAL = "year({0}) + CAST(month({0}) >= 4 AS INTEGER)"

_SOURCES = {
    "cin": """
        SELECT coalesce(CIN_LA_LGR, CIN_LA) AS la, CIN_LAchildID_Anon AS child,
               CIN_ACADYR + 1 AS year, CIN_ReferralDate AS referral,
               coalesce(CAST(CIN_ReferralNFA AS INTEGER), 0) AS nfa,
               CIN_CINClosureDate AS closed, trim(CIN_ReasonForClosure) AS reason,
               CIN_DateOfInitialCPC AS icpc, CIN_CPPstartDate AS plan,
               CIN_CPPendDate AS plan_end, CIN_NumberOfPreviousCPP AS previous,
               CIN_AnyPoint AS in_need, CIN_CINAt31March AS open_still,
               CIN_Gender AS gender, left(CIN_Ethnicity, 1) AS ethnicity,
               upper(CIN_PrimaryNeedCode) AS need, CIN_Disability AS disabled
        FROM read_parquet('{folder}/cin_*.parquet', union_by_name = true)
    """,
    "referrals": f"""
        SELECT *, {_FISCAL.format("referral")} AS year,
               lag(referral) OVER (PARTITION BY {_KEY} ORDER BY referral) AS earlier
        FROM (SELECT {_KEY}, referral, max(nfa) AS nfa,
                     max(CAST(coalesce(reason = 'RC8', false) AND nfa = 0 AS INTEGER)) AS none,
                     max(closed) AS closed, max(in_need) AS in_need
              FROM cin GROUP BY {_KEY}, referral)
    """,
    "enquiries": f"""
        SELECT la, child, started, {_FISCAL.format("started")} AS year,
               max(icpc) AS icpc
        FROM (SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, S47ActualStartDate AS started,
                     DateOfInitialCPC AS icpc
              FROM read_parquet('{{folder}}/section47_*.parquet'))
        GROUP BY la, child, started
    """,
    "meetings": f"""
        SELECT *, {_FISCAL.format("icpc")} AS year
        FROM (SELECT {_KEY}, icpc FROM cin WHERE icpc IS NOT NULL
              UNION SELECT {_KEY}, icpc FROM enquiries WHERE icpc IS NOT NULL)
    """,
    "plans": f"""
        SELECT {_KEY}, plan, {_FISCAL.format("plan")} AS year, max(plan_end) AS ended,
               max(previous) AS previous
        FROM cin WHERE plan IS NOT NULL GROUP BY {_KEY}, plan
    """,
    "assessments": f"""
        SELECT a.*, {_FISCAL.format("finish")} AS year, until.n - since.n AS days
        FROM (SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, AssessmentStartDate AS start,
                     min(AssessmentAuthorisationDate) AS finish
              FROM read_parquet('{{folder}}/assessments_*.parquet')
              GROUP BY ALL) a
        JOIN working_days since ON since.day = a.start
        JOIN working_days until ON until.day = a.finish
    """,
    "episodes": """
        SELECT LA AS la, CHILD_ID_ANON AS child, poc_start, date_episode_started AS start,
               date_episode_ceased AS finish, RNE AS begins, legal_status AS legal, cin AS need,
               placement, reason_episode_ceased AS reason, left(ethnic_or, 1) AS ethnicity,
               SEX AS sex, uasc_status AS asylum, make_date(dob_Year, dob_Month, 15) AS born
        FROM read_parquet('{folder}/cla_episodes.parquet')
        WHERE legal_status NOT IN ('V3', 'V4')
    """,
    "la_years": """
        SELECT la, year, population_0_17 AS population
        FROM read_parquet('{folder}/la_years.parquet')
    """,
}

# Yearly figures of the country: id, query with columns year and value; 'n' is divided by the scale.
_YEARLY = {
    "referrals": ("n", "SELECT year, count(*) / 1e3 FROM referrals GROUP BY year"),
    "children": ("n", f"SELECT year, count(DISTINCT ({_KEY})) / 1e3 FROM referrals GROUP BY year"),
    "rereferral": (
        "",
        "SELECT year, 100 * avg(CAST(coalesce(referral - earlier <= 365, false) AS INTEGER)) "
        "FROM referrals GROUP BY year",
    ),
    "nfa": ("", "SELECT year, 100 * avg(nfa) FROM referrals GROUP BY year"),
    "not_in_need": ("", "SELECT year, 100 * avg(none) FROM referrals GROUP BY year"),
    "cin_any": (
        "n",
        f"SELECT year, count(DISTINCT ({_KEY}, referral)) / 1e3 FROM cin "
        "WHERE in_need = 1 GROUP BY year",
    ),
    "cin_open": (
        "n",
        f"SELECT year, count(DISTINCT ({_KEY}, referral)) / 1e3 FROM cin "
        "WHERE open_still = 1 GROUP BY year",
    ),
    "cin_any_by_dates": (
        "n",
        "SELECT y.year, count(*) / 1e3 FROM years y JOIN referrals ON referral <= day AND nfa = 0 "
        "AND none = 0 AND (closed IS NULL OR closed > day - INTERVAL 1 YEAR) GROUP BY y.year",
    ),
    "cin_open_by_dates": (
        "n",
        "SELECT y.year, count(*) / 1e3 FROM years y JOIN referrals ON referral <= day AND nfa = 0 "
        "AND none = 0 AND (closed IS NULL OR closed > day) GROUP BY y.year",
    ),
    "section47": ("n", "SELECT year, count(*) / 1e3 FROM enquiries GROUP BY year"),
    "icpc": ("n", "SELECT year, count(*) / 1e3 FROM meetings GROUP BY year"),
    "plan": ("n", "SELECT year, count(*) / 1e3 FROM plans GROUP BY year"),
    "second_plan": (
        "",
        "SELECT year, 100 * avg(CAST(previous > 0 AS INTEGER)) FROM plans GROUP BY year",
    ),
    "plan_open": (
        "n",
        "SELECT y.year, count(*) / 1e3 FROM years y JOIN plans ON plan <= day "
        "AND (ended IS NULL OR ended > day) GROUP BY y.year",
    ),
    "care_open": (
        "n",
        f"SELECT y.year, count(DISTINCT ({_KEY})) / 1e3 FROM years y JOIN episodes "
        "ON start <= day AND (finish IS NULL OR finish > day) GROUP BY y.year",
    ),
    "care": (
        "n",
        f"SELECT {_FISCAL.format('start')} AS year, count(*) / 1e3 FROM episodes "
        "WHERE begins = 'S' GROUP BY 1",
    ),
    "care_ceased": (
        "n",
        f"SELECT {_FISCAL.format('finish')} AS year, count(*) / 1e3 FROM episodes "
        "WHERE reason <> 'X1' GROUP BY 1",
    ),
    "assessments": ("n", "SELECT year, count(*) / 1e3 FROM assessments GROUP BY year"),
    "within45": (
        "",
        "SELECT year, 100 * avg(CAST(days <= 45 AS INTEGER)) FROM assessments GROUP BY year",
    ),
    "population": ("", "SELECT year, sum(population) / 1e6 FROM la_years GROUP BY year"),
}

# Rates of an authority in a year, for spread and quantiles.
_COUNTS = """
    SELECT p.la, p.year, p.population, r.*, c.icpc, s.section47, a.within45, k.care,
           coalesce(o.care_open, 0) AS care_open
    FROM la_years p
    JOIN (SELECT la AS _r, year AS _ry, count(*) AS referrals, 100 * avg(nfa) AS nfa,
                 100 * avg(none) AS not_in_need,
                 100 * avg(CAST(coalesce(referral - earlier <= 365, false) AS INTEGER))
                 AS rereferral
          FROM referrals GROUP BY la, year) r ON _r = p.la AND _ry = p.year
    LEFT JOIN (SELECT la, year, count(*) AS icpc FROM meetings GROUP BY ALL) c USING (la, year)
    LEFT JOIN (SELECT la, year, count(*) AS section47 FROM enquiries GROUP BY ALL) s
         USING (la, year)
    LEFT JOIN (SELECT la, year, 100 * avg(CAST(days <= 45 AS INTEGER)) AS within45
               FROM assessments GROUP BY la, year) a USING (la, year)
    LEFT JOIN (SELECT la, year(start) + CAST(month(start) >= 4 AS INTEGER) AS year,
                      count(*) AS care FROM episodes WHERE begins = 'S' GROUP BY ALL) k
         USING (la, year)
    LEFT JOIN (SELECT la, y.year, count(DISTINCT child) AS care_open
               FROM years y JOIN episodes ON start <= day AND (finish IS NULL OR finish > day)
               GROUP BY la, y.year) o USING (la, year)
"""
_RATES = {
    "rereferral": "rereferral",
    "nfa": "nfa",
    "not_in_need": "not_in_need",
    "within45": "within45",
    "icpc_rate": "1e4 * icpc / population / {scale}",
    "icpc_per_referral": "100.0 * icpc / referrals",
    "referral_rate": "1e4 * referrals / population / {scale}",
    "section47_rate": "1e4 * section47 / population / {scale}",
    "care_rate": "1e4 * care_open / population / {scale}",
}
_SIZES = {
    "population": "population",
    "referrals": "referrals / {scale}",
    "icpc": "icpc / {scale}",
    "care": "care / {scale}",
    "rereferral": "rereferral",
    "nfa": "nfa",
    "not_in_need": "not_in_need",
    "within45": "within45",
}
#: Rates that the published spread covers from 2016 on, the others from 2014.
_LATE = ("within45", "care_rate")
_QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
_FEWEST_REFERRALS = 200

# Shares in 100: id, year, and a query with the columns category and value.
_CLASSES = {
    "age": "CASE WHEN age < 1 THEN 'under 1' WHEN age < 5 THEN '1 to 4' WHEN age < 10 THEN "
    "'5 to 9' WHEN age < 16 THEN '10 to 15' ELSE '16 and over' END",
    "sex": "CASE sex WHEN '1' THEN 'male' ELSE 'female' END",
    "need": "need",
    "ethnicity": "CASE WHEN ethnicity = 'W' THEN 'White' WHEN ethnicity = 'M' THEN 'Mixed' "
    "WHEN ethnicity = 'B' THEN 'Black' WHEN ethnicity IN ('A', 'C') THEN 'Asian' ELSE 'Other' END",
    "legal": "CASE WHEN legal = 'V2' THEN 'section 20' WHEN legal = 'C1' THEN 'interim care order' "
    "WHEN legal = 'C2' THEN 'full care order' WHEN legal = 'E1' THEN 'placement order' "
    "WHEN legal = 'L1' THEN 'police protection' ELSE 'other' END",
    "placement": "CASE WHEN placement IN ('U1', 'U2', 'U3', 'Q1', 'F1', 'F4') THEN "
    "'relative or friend' WHEN placement IN ('U4', 'U5', 'U6', 'Q2') THEN 'other foster carer' "
    "WHEN placement = 'P1' THEN 'parents' WHEN placement IN ('A3', 'A4', 'A5', 'A6') THEN "
    "'adoption' WHEN placement IN ('K1', 'K2') THEN 'homes' WHEN placement IN ('P2', 'H5') THEN "
    "'semi-independent' ELSE 'other' END",
    "asylum": "CASE WHEN asylum = 1 THEN 'unaccompanied' ELSE 'not' END",
    "reason": "CASE WHEN reason IN ('E11', 'E12') THEN 'adopted' WHEN reason IN ('E43', 'E44', "
    "'E45', 'E46', 'E47', 'E48') THEN 'special guardianship' WHEN reason = 'E41' THEN "
    "'child arrangements' WHEN reason IN ('E4A', 'E4') THEN 'home, planned' WHEN reason = 'E4B' "
    "THEN 'home, unplanned' WHEN reason = 'E13' THEN 'relatives and others' WHEN reason IN "
    "('E5', 'E6') THEN 'independent living' ELSE 'other' END",
}
_OPEN_CARE = "start <= DATE '{y}-03-31' AND (finish IS NULL OR finish > DATE '{y}-03-31')"
_STARTED = "begins = 'S' AND start BETWEEN DATE '{p}-04-01' AND DATE '{y}-03-31'"
_CEASED = "reason <> 'X1' AND finish BETWEEN DATE '{p}-04-01' AND DATE '{y}-03-31'"
_CARE_SHARES = {
    "care_open": (_OPEN_CARE, "DATE '{y}-03-31'", ("age", "sex", "need", "ethnicity", "legal",
                                                  "placement", "asylum")),
    "care_start": (_STARTED, "start", ("age", "sex", "need", "legal", "asylum")),
    "care_end": (_CEASED, "finish", ("reason", "sex")),
}  # fmt: skip
_MONTHS = (
    "CASE WHEN age < 91 THEN 'under 3 months' WHEN age < 183 THEN '3 to 6 months' "
    "WHEN age < 365 THEN '6 to 12 months' WHEN age < 730 THEN '1 to 2 years' "
    "ELSE '2 years or more' END"
)
_CIN_SHARES = {
    "cin_sex": (
        2019,
        "SELECT CASE gender WHEN '1' THEN 'male' WHEN '2' THEN 'female' ELSE 'unknown' END, 1 AS w "
        "FROM cin WHERE year = 2019 AND open_still = 1",
    ),
    "cin_ethnicity": (
        2019,
        "SELECT CASE ethnicity WHEN 'W' THEN 'White' ELSE 'other' END, 1 AS w "
        "FROM cin WHERE year = 2019 AND open_still = 1",
    ),
    "cin_need": (
        2014,
        "SELECT need, 1 AS w FROM cin WHERE year = 2014 AND in_need = 1 AND need IS NOT NULL",
    ),
    "cin_open_duration": (
        2019,
        f"SELECT {_MONTHS}, 1 AS w FROM (SELECT DATE '2019-03-31' - referral AS age FROM cin "
        "WHERE year = 2019 AND open_still = 1)",
    ),
    "cin_ended_duration": (
        2019,
        f"SELECT {_MONTHS}, 1 AS w FROM (SELECT closed - referral AS age FROM cin WHERE "
        "year = 2019 AND in_need = 1 AND closed BETWEEN DATE '2018-04-01' AND DATE '2019-03-31')",
    ),
    "conference_band": (
        2019,
        "SELECT CASE WHEN icpc - started BETWEEN 11 AND 15 THEN '11 to 15 days' ELSE 'other' END, "
        "1 AS w FROM enquiries WHERE icpc IS NOT NULL AND year = 2019",
    ),
}


def figures(extract: Path, scale: float = 1.0) -> Mapping[Key, float]:
    """Every figure that has, or may have, a target.

    Parameters
    ----------
    extract : folder of the Parquet files.
    scale : share of England's number of cases; counts are divided by it.

    Raises
    ------
    RecordsError : if files of the extract are missing.
    """
    missing = [
        name
        for name in ("cin_*", "section47_*", "assessments_*", "cla_episodes", "la_years")
        if not any(extract.glob(f"{name}.parquet"))
    ]
    if missing:
        raise RecordsError(f"{extract}: no {missing[0]}.parquet; expected an extract's folder.")
    import duckdb

    with duckdb.connect() as engine:
        _load(engine, extract)
        found: dict[Key, float] = {}
        for part in (_yearly, _spread, _shares):
            found.update(part(engine, scale))
    return found


def _load(engine: duckdb.DuckDBPyConnection, extract: Path) -> None:
    import numpy as np
    import pandas as pd

    from sos_analysis.records.calendar import bank_holidays

    days = np.arange("2005-01-01", "2023-01-01", dtype="datetime64[D]")
    off = np.array(sorted(bank_holidays(2005, 2022)), dtype="datetime64[D]")
    count = np.busday_count(days[0], days, holidays=off)
    engine.register("_days", pd.DataFrame({"day": days, "n": count}))
    engine.execute(
        "CREATE TEMP TABLE working_days AS SELECT CAST(day AS DATE) AS day, n FROM _days"
    )
    engine.execute(
        "CREATE TEMP TABLE years AS SELECT year, make_date(year, 3, 31) AS day "
        "FROM (SELECT unnest(range(2009, 2020)) AS year)"
    )
    folder = str(extract).replace("'", "''")
    for name, query in _SOURCES.items():
        engine.execute(f"CREATE TEMP TABLE {name} AS {query.format(folder=folder)}")


def _yearly(engine: duckdb.DuckDBPyConnection, scale: float) -> Iterator[tuple[Key, float]]:
    for name, (kind, query) in _YEARLY.items():
        for year, value in engine.execute(query).fetchall():
            if year is not None and value is not None:
                yield (name, int(year), ""), float(value) / (scale if kind else 1.0)


def _spread(engine: duckdb.DuckDBPyConnection, scale: float) -> Iterator[tuple[Key, float]]:
    """Spread of authorities' means, swing around them, correlation of neighbouring years."""
    import numpy as np

    names = {name: text.format(scale=scale) for name, text in (_RATES | _SIZES).items()}
    columns = ", ".join(f"{text} AS v{i}" for i, text in enumerate(names.values()))
    engine.execute(f"CREATE TEMP TABLE _rates AS SELECT la, year, referrals, {columns} "
                   f"FROM ({_COUNTS})")  # fmt: skip
    fewest = _FEWEST_REFERRALS * scale
    for i, name in enumerate(names):
        if name in _RATES:
            first = 2016 if name in _LATE else 2014
            rows = engine.execute(
                f"SELECT la, year, v{i} FROM _rates WHERE year >= {first} AND v{i} IS NOT NULL "
                f"AND referrals > {fewest}"
            ).fetchnumpy()
            values = np.asarray(rows[f"v{i}"], dtype=np.float64)
            la, place = np.unique(np.asarray(rows["la"], dtype=str), return_inverse=True)
            table = np.full((len(la), 2020 - first), np.nan)
            table[place, np.asarray(rows["year"]) - first] = values
            net = table - np.nanmean(table, axis=0)
            own = np.nanmean(net, axis=1, keepdims=True)
            now, later = net[:, :-1].ravel(), net[:, 1:].ravel()
            both = np.isfinite(now) & np.isfinite(later)
            yield (name, None, "mean"), float(values.mean())
            yield (name, None, "between"), float(own.std(ddof=1))
            yield (name, None, "within"), float(np.sqrt(np.nanmean((net - own) ** 2)))
            yield (name, None, "lag1"), float(np.corrcoef(now[both], later[both])[0, 1])
        if name in _SIZES:
            levels = list(_QUANTILES.values())
            found = engine.execute(
                f"SELECT quantile_cont(v{i}, {levels}) FROM _rates WHERE year = 2019"
            ).fetchone()
            for statistic, value in zip(_QUANTILES, found[0] if found else (), strict=True):
                yield (name, 2019, statistic), float(value)


def _shares(engine: duckdb.DuckDBPyConnection, scale: float) -> Iterator[tuple[Key, float]]:
    queries: dict[str, list[tuple[int, str]]] = {k: [v] for k, v in _CIN_SHARES.items()}
    for name, (where, day, classes) in _CARE_SHARES.items():
        for year in (2016, 2017, 2018, 2019):
            chosen = (
                f"SELECT *, datediff('day', born, {day}) / 365.25 AS age FROM episodes "
                f"WHERE {where}"
            ).format(y=year, p=year - 1)
            for of in classes:
                query = f"SELECT {_CLASSES[of]}, 1 AS w FROM ({chosen})"
                queries.setdefault(f"{name}_{of}", []).append((year, query))
    for name, asked in queries.items():
        for year, query in asked:
            rows = engine.execute(
                f"SELECT k, 100.0 * sum(w) / sum(sum(w)) OVER () FROM ({query}) t(k, w) GROUP BY k"
            ).fetchall()
            for category, value in rows:
                yield (name, year, str(category)), float(value)
    quartiles = engine.execute(
        "SELECT quantile_cont(icpc - started, [0.25, 0.5, 0.75]) FROM enquiries "
        "WHERE icpc IS NOT NULL AND year = 2019"
    ).fetchone()
    if quartiles and quartiles[0]:
        for statistic, value in zip(("p25", "median", "p75"), quartiles[0], strict=True):
            yield ("conference_days", 2019, statistic), float(value)
    mean = engine.execute("SELECT avg(days) FROM assessments WHERE year = 2019").fetchone()
    if mean and mean[0] is not None:
        yield ("assessment_days", 2019, "mean"), float(mean[0])
