"""The same outcomes in bare SQL over the files of a made-up extract: the limit of the engine.

Written by hand for this one layout: no checks, no other spellings of columns, no problems report.
Strict definitions (docs/methods_registry.md); counts of events and of outcomes by authority and
fiscal year.
"""

from __future__ import annotations

from pathlib import Path

READ = """
CREATE TEMP TABLE cin AS
SELECT coalesce(CIN_LA, CIN_LA_LGR) AS la, CIN_LAchildID_Anon AS child,
    CIN_ReferralDate AS referred,
    CIN_ReferralNFA AS nfa, CIN_CINClosureDate AS closed,
    CASE WHEN squeezed SIMILAR TO 'RC0?[1-9]([A-Z].*)?'
        THEN regexp_extract(squeezed, '^RC0?([1-9])', 1)::INT
        WHEN squeezed SIMILAR TO '[RC]?0?[1-9]'
        THEN regexp_extract(squeezed, '([1-9])$', 1)::INT END AS reason,
    CIN_DateOfInitialCPC AS icpc, CIN_CPPstartDate AS plan,
    coalesce(CIN_AnyPoint, 0) + coalesce(CIN_Started, 0) + coalesce(CIN_Ended, 0)
        + coalesce(CIN_CINAt31March, 0) > 0 AS in_need,
    CASE WHEN CIN_DOB IS NOT NULL THEN 3 WHEN CIN_ExpectedDOB IS NOT NULL THEN 2 ELSE 1 END AS rank,
    coalesce(CIN_DOB, CIN_ExpectedDOB, make_date(CIN_YearOfBirth, CIN_MonthOfBirth, 15)) AS dob,
    year_of_return
FROM (
    SELECT *, regexp_replace(upper(CIN_ReasonForClosure), '[^A-Z0-9]', '', 'g') AS squeezed,
        regexp_extract(filename, '_(\\d{{4}})[.]', 1)::INT AS year_of_return
    FROM read_parquet('{folder}/cin_*.parquet', union_by_name = true, filename = true))
WHERE child IS NOT NULL;

CREATE TEMP TABLE care AS
SELECT CHILD_LA_CODE_ANON AS la, CHILD_ID_ANON AS child, RNE AS rne,
    date_episode_started AS started, date_episode_ceased AS ceased, upper(legal_status) AS legal,
    upper(placement) AS placement, reason_episode_ceased AS reason,
    make_date(dob_Year, dob_Month, 15) AS dob
FROM read_parquet('{folder}/cla_episodes.parquet') WHERE child IS NOT NULL;

CREATE TEMP TABLE s47 AS
SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, CIN_ReferralDate AS referred,
    DateOfInitialCPC AS icpc
FROM read_parquet('{folder}/section47_*.parquet', union_by_name = true) WHERE child IS NOT NULL;

CREATE TEMP TABLE born AS
SELECT la, child, arg_max(dob, rank * 10000000000 + n * 10000 - date_diff('day', DATE '2000-01-01',
    dob) / 100000.0) AS dob
FROM (SELECT la, child, dob, rank, count(*) AS n
      FROM (SELECT la, child, dob, rank FROM cin UNION ALL SELECT la, child, dob, 1 FROM care)
      WHERE dob IS NOT NULL GROUP BY ALL)
GROUP BY la, child;

CREATE TEMP TABLE referrals AS
SELECT la, child, referred, bool_and(nfa) AS nfa,
    arg_max(closed, year_of_return * 100000 + date_diff('day', DATE '1990-01-01', closed))
        FILTER (closed IS NOT NULL) AS closed,
    arg_max(reason, (year_of_return * 100000
        + coalesce(date_diff('day', DATE '1990-01-01', closed), 0)) * 10 + reason)
        FILTER (reason IS NOT NULL) AS reason,
    bool_or(icpc IS NOT NULL OR plan IS NOT NULL OR in_need) AS marked
FROM cin WHERE referred IS NOT NULL GROUP BY la, child, referred;

CREATE TEMP TABLE possible AS
SELECT *, EXISTS (SELECT 1 FROM s47 WHERE s47.la = r.la AND s47.child = r.child
    AND s47.referred = r.referred AND s47.icpc IS NOT NULL) OR coalesce(marked, false) AS mark
FROM referrals r
WHERE NOT coalesce(closed < referred, false)
    AND referred BETWEEN DATE '{first}' AND DATE '{last}';

CREATE TEMP TABLE cases AS
SELECT DISTINCT la, child, coalesce(closed, referred) AS day FROM possible WHERE nfa;

CREATE TEMP TABLE again AS
SELECT c.la, c.child, c.day, min(r.referred) AS back
FROM cases c JOIN referrals r USING (la, child)
WHERE r.referred - c.day BETWEEN 1 AND {window} GROUP BY c.la, c.child, c.day;

CREATE TEMP TABLE ordered AS
SELECT la, child, started, ceased, legal, placement, reason, rne,
    lag(ceased) OVER w AS ceased_before, lag(reason) OVER w AS reason_before
FROM (SELECT DISTINCT * FROM care WHERE started IS NOT NULL
      QUALIFY row_number() OVER (PARTITION BY la, child, started, legal, placement
        ORDER BY ceased DESC NULLS LAST, coalesce(reason, '~'), coalesce(rne, '~')) = 1)
WINDOW w AS (PARTITION BY la, child ORDER BY started, ceased NULLS LAST,
    coalesce(legal, '~'), coalesce(placement, '~'));

CREATE TEMP TABLE episodes AS
SELECT *, max(CASE WHEN rne = 'S' OR NOT coalesce(reason_before = 'X1'
        AND ceased_before = started, false) THEN started END)
    OVER (PARTITION BY la, child ORDER BY started, ceased NULLS LAST, coalesce(legal, '~'),
        coalesce(placement, '~') ROWS UNBOUNDED PRECEDING) AS began
FROM ordered;

CREATE TEMP TABLE periods AS
SELECT la, child, began, arg_min(legal, strftime(started, '%Y%m%d')
    || coalesce(strftime(ceased, '%Y%m%d'), '~') || coalesce(legal, '~')
    || coalesce(placement, '~')) AS first_legal
FROM episodes GROUP BY la, child, began;

CREATE TEMP TABLE starts AS
SELECT la, child, plan AS day FROM cin WHERE plan IS NOT NULL
UNION
SELECT la, child, began FROM periods WHERE coalesce(first_legal NOT IN ('V3', 'V4'), true);

CREATE TEMP TABLE assessments AS
SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, AssessmentStartDate AS day,
    max(AssessmentAuthorisationDate) AS done
FROM read_parquet('{folder}/assessments_*.parquet', union_by_name = true)
WHERE child IS NOT NULL AND day IS NOT NULL GROUP BY ALL;
"""

EVENTS = {
    "duration": """
SELECT a.la, a.child, a.day, e.working_before - s.working_before AS y
FROM assessments a JOIN calendar s ON s.day = a.day JOIN calendar e ON e.day = a.done
WHERE a.done >= a.day AND a.day BETWEEN DATE '{first}' AND DATE '{last}'
    AND DATE '{censor}' - a.day > {censor_days}""",
    "rereferral": """
SELECT c.la, c.child, c.day, (a.back IS NOT NULL)::INT AS y
FROM cases c LEFT JOIN again a USING (la, child, day)
WHERE c.day BETWEEN DATE '{first}' AND DATE '{last}' AND DATE '{censor}' - c.day > {censor_days}""",
    "escalation": """
SELECT c.la, c.child, c.day, coalesce(bool_or(s.day - a.back BETWEEN 0 AND 180), false)::INT AS y
FROM cases c LEFT JOIN again a USING (la, child, day)
    LEFT JOIN starts s ON s.la = a.la AND s.child = a.child
WHERE c.day BETWEEN DATE '{first}' AND DATE '{last}' AND DATE '{censor}' - c.day > {censor_days}
GROUP BY c.la, c.child, c.day""",
    "kinship": """
SELECT la, child, began AS day, max((placement IN ('Q1', 'U1', 'U2', 'U3')
    OR (placement IN ('F1', 'F4') AND started < DATE '2015-04-01'))::INT) AS y
FROM episodes
WHERE started - began <= {window} AND legal IN ('C1', 'C2')
    AND began BETWEEN DATE '{first}' AND DATE '{last}' AND DATE '{censor}' - began > {censor_days}
GROUP BY la, child, began""",
    "icpc": """
SELECT r.la, r.child, r.referred AS day, coalesce(bool_or(h.icpc - r.referred
    BETWEEN 1 AND {window}), false)::INT AS y
FROM possible r LEFT JOIN (SELECT la, child, icpc FROM cin WHERE icpc IS NOT NULL
    UNION SELECT la, child, icpc FROM s47 WHERE icpc IS NOT NULL) h USING (la, child)
WHERE (mark OR ((closed IS NULL OR coalesce(reason BETWEEN 1 AND 7, false))
        AND NOT (coalesce(nfa, false) OR coalesce(reason = 8, false))))
    AND DATE '{censor}' - r.referred > {censor_days}
GROUP BY r.la, r.child, r.referred""",
}

#: Ages -1 to 17; children of unknown age stay, but not in kinship.
COUNT = """
SELECT la, year(day) + (month(day) >= 4)::INT AS fiscal, count(*) AS n, sum(y)::BIGINT AS y
FROM (SELECT e.*, year(day) - year(dob)
        - (month(day) * 100 + day(day) < month(dob) * 100 + day(dob))::INT AS age
      FROM ({events}) e LEFT JOIN born USING (la, child))
WHERE coalesce(age BETWEEN -1 AND 17, {unknown}) GROUP BY ALL ORDER BY ALL
"""


def run(folder: Path, rules: dict[str, dict[str, object]], memory: str, threads: int) -> dict:
    """Counts by outcome: rows of authority, fiscal year, events, sum of the outcome."""
    import duckdb

    from sos_analysis.records.calendar import calendar_table

    con = duckdb.connect(config={"memory_limit": memory, "threads": threads})
    # As this project sets the engine: blocks given back are taken up again.
    con.execute(f"SET block_allocator_memory = '{memory}'")
    calendar = calendar_table()
    con.register("calendar", calendar)
    con.execute(READ.format(folder=folder, **rules["rereferral"]))
    return {
        name: con.execute(
            COUNT.format(
                events=events.format(**rules[name]),
                unknown="false" if name == "kinship" else "true",
            )
        ).fetchall()
        for name, events in EVENTS.items()
    }
