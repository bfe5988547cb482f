"""A made-up case keeps the order of a case: every rule on a whole extract, with and without errors.

The rules are those a census return must keep (numbers in brackets are the Department's own) and
those that follow from the life of a case. Each is one query for what breaks it. Without the
deliberate errors nothing may; with them only the rules that an error concerns, and rarely.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from sos_analysis.records import synthetic
from sos_analysis.study import load_study

SCALE = 0.02

VIEWS = {
    "cin": """
        SELECT coalesce(CIN_LA_LGR, CIN_LA) AS la, CIN_LAchildID_Anon AS child,
               CIN_ACADYR + 1 AS year, make_date(CIN_ACADYR + 1, 3, 31) AS ends,
               CIN_ReferralDate AS referral, coalesce(CIN_ReferralNFA, false) AS nfa,
               CIN_CINClosureDate AS closed, trim(CIN_ReasonForClosure) AS reason,
               CIN_DateOfInitialCPC AS icpc, CIN_CPPstartDate AS plan, CIN_CPPendDate AS plan_end,
               CIN_AnyPoint AS in_need, CIN_CINAt31March AS open_still, CIN_DOB AS born,
               CIN_ExpectedDOB AS expected, CIN_Gender AS gender
        FROM read_parquet('{folder}/cin_*.parquet', union_by_name = true)
    """,
    "cases": """
        SELECT *, lead(referral) OVER (PARTITION BY la, child ORDER BY referral) AS following,
               lag(closed) OVER (PARTITION BY la, child ORDER BY referral) AS closed_before
        FROM (SELECT la, child, referral, bool_or(nfa) AS nfa, arg_max(closed, year) AS closed,
                     arg_max(reason, year) AS reason, min(year) AS first_year,
                     max(year) AS last_year, count(DISTINCT year) AS years,
                     max(in_need) AS in_need, max(plan) AS plan
              FROM cin GROUP BY la, child, referral)
    """,
    "assessments": """
        SELECT *, lead(start) OVER (PARTITION BY la, child ORDER BY start) AS following
        FROM (SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, AssessmentStartDate AS start,
                     min(AssessmentAuthorisationDate) AS finish, min(AssessmentType) AS type
              FROM read_parquet('{folder}/assessments_*.parquet') GROUP BY ALL)
    """,
    "enquiries": """
        SELECT *, lead(start) OVER (PARTITION BY la, child ORDER BY start) AS following
        FROM (SELECT CIN_LA AS la, CIN_LAchildID_Anon AS child, CIN_ReferralDate AS referral,
                     S47ActualStartDate AS start, max(DateOfInitialCPC) AS icpc,
                     min(ICPCnotRequired) AS needless,
                     max(CASE WHEN DateOfInitialCPC IS NOT NULL THEN CIN_ACADYR + 1 END)
                     AS icpc_year
              FROM read_parquet('{folder}/section47_*.parquet') GROUP BY ALL)
    """,
    "plans": """
        SELECT *, lead(plan) OVER (PARTITION BY la, child ORDER BY plan) AS following
        FROM (SELECT la, child, referral, plan, max(plan_end) AS ended
              FROM cin WHERE plan IS NOT NULL GROUP BY ALL)
    """,
    "episodes": """
        SELECT LA AS la, CHILD_ID_ANON AS child, poc_start, poc_length, RNE AS begins,
               date_episode_started AS start, date_episode_ceased AS finish,
               legal_status AS legal, placement, reason_episode_ceased AS reason,
               make_date(dob_Year, dob_Month, 1) AS born,
               lead(start) OVER period AS next_start, lag(finish) OVER period AS last_finish,
               lag(legal) OVER period AS last_legal, lag(placement) OVER period AS last_placement
        FROM read_parquet('{folder}/cla_episodes.parquet')
        WINDOW period AS (PARTITION BY la, child, poc_start ORDER BY date_episode_started)
    """,
    "periods": """
        SELECT la, child, poc_start, max(finish) AS finish, bool_or(finish IS NULL) AS open_still,
               lead(poc_start) OVER (PARTITION BY la, child ORDER BY poc_start) AS following,
               min(born) AS born
        FROM episodes GROUP BY la, child, poc_start
    """,
    # Each assessment and period of care with the case it belongs to: the child's latest referral.
    "assessed": """
        SELECT a.*, c.referral, c.nfa, c.closed, c.reason FROM assessments a
        ASOF LEFT JOIN cases c ON a.la = c.la AND a.child = c.child AND a.start >= c.referral
    """,
    "cared": """
        SELECT p.*, c.referral, c.nfa, c.closed FROM periods p
        ASOF LEFT JOIN cases c ON p.la = c.la AND p.child = c.child AND p.poc_start >= c.referral
    """,
    "enquired": """
        SELECT e.*, c.nfa, c.closed, c.referral AS found FROM enquiries e
        LEFT JOIN cases c USING (la, child, referral)
    """,
}

_HISTORY = "DATE '2008-04-01'"  # cases closed before are in no return

RULES = {
    "a referral flagged NFA has no assessment (8831)": "FROM assessed WHERE nfa",
    "... no enquiry (8831)": "FROM enquired WHERE nfa",
    "... no conference, no plan, and is never in need (8831)": (
        "FROM cin WHERE nfa AND (icpc IS NOT NULL OR plan IS NOT NULL OR in_need = 1)"
    ),
    "... no care begins in it": f"FROM cared WHERE nfa AND poc_start >= {_HISTORY}",
    "an assessment follows a referral (1103)": (
        f"FROM assessed WHERE referral IS NULL AND start >= {_HISTORY}"
    ),
    "an assessment ends after it starts and before its case closes": (
        "FROM assessed WHERE finish < start OR finish > closed OR (finish IS NULL AND closed "
        "IS NOT NULL)"
    ),
    "no two assessments are open at once (8896)": "FROM assessments WHERE following < finish",
    "core assessments end with March 2013": (
        "FROM assessments WHERE (type = 'core') <> (start <= DATE '2013-03-31')"
    ),
    "an enquiry follows its referral and precedes the closure": (
        "FROM enquired WHERE start < referral OR start > closed"
    ),
    "an enquiry belongs to a case": f"FROM enquired WHERE found IS NULL AND start >= {_HISTORY}",
    "enquiries do not overlap (8890)": "FROM enquiries WHERE following <= coalesce(icpc, start)",
    "a conference follows its enquiry (8615)": "FROM enquiries WHERE icpc < start",
    "a conference is returned in the year it was held (8715)": (
        "FROM (SELECT icpc, year FROM cin UNION ALL SELECT icpc, icpc_year FROM enquiries) "
        "WHERE year(icpc) + CAST(month(icpc) >= 4 AS INTEGER) <> year"
    ),
    "a conference held was required": "FROM enquiries WHERE icpc IS NOT NULL AND needless = 1",
    "a conference falls in its case": (
        "FROM cin WHERE icpc < referral OR (icpc > closed AND closed >= referral)"
    ),
    "a plan starts in its case (1105)": (
        "FROM plans p JOIN cases c USING (la, child, referral) "
        "WHERE p.plan < referral OR p.plan > c.closed OR p.ended > c.closed"
    ),
    "a plan ends after it starts (8925)": "FROM plans WHERE ended < plan",
    "plans of a child do not overlap": (
        "FROM plans WHERE following IS NOT NULL AND (ended IS NULL OR following <= ended)"
    ),
    "a child with a plan is in need": "FROM cin WHERE plan IS NOT NULL AND in_need = 0",
    "a case closes after its referral": "FROM cases WHERE closed < referral",
    "a closure has a reason, a reason a closure": (
        "FROM cin WHERE (closed IS NULL) <> (reason IS NULL)"
    ),
    "no referral is recorded while a case of the child is open": (
        "FROM cases WHERE following IS NOT NULL AND NOT nfa "
        "AND (closed IS NULL OR following <= closed)"
    ),
    "a closed case is in need no longer": "FROM cin WHERE open_still = 1 AND closed IS NOT NULL",
    "no child returns after death": (
        "FROM cases WHERE reason = 'RC2' AND following IS NOT NULL AND closed >= referral"
    ),
    "nothing is known that happened after the return's year": (
        "FROM cin WHERE referral > ends OR closed > ends OR plan > ends OR plan_end > ends "
        "OR icpc > ends OR (born > ends AND born < DATE '2030-01-01')"
    ),
    "a case is in every return while it is open, and in no other": (
        "FROM cases WHERE last_year - first_year + 1 <> years OR (NOT nfa AND closed IS NULL "
        "AND last_year < 2019)"
    ),
    "age at referral is from nine months before birth to 18 (child)": (
        "FROM cin WHERE coalesce(born, expected) > referral + INTERVAL 300 DAY "
        "OR referral > coalesce(born, expected) + INTERVAL 18 YEAR + INTERVAL 1 DAY"
    ),
    "a child has one date of birth": (
        "FROM (SELECT la, child FROM cin WHERE born IS NOT NULL GROUP BY ALL "
        "HAVING count(DISTINCT born) > 1)"
    ),
    "the unborn have an expected date and no gender": (
        "FROM cin WHERE (born IS NULL) <> (expected IS NOT NULL) "
        "OR (born IS NULL AND gender NOT IN ('0', '3'))"
    ),
    "gender is a known code": "FROM cin WHERE gender NOT IN ('0', '1', '2', '9')",
    "an episode follows the one before without a gap": (
        "FROM episodes WHERE next_start IS NOT NULL AND finish IS DISTINCT FROM next_start"
    ),
    "only the last episode of a period does not continue (X1)": (
        "FROM episodes WHERE (next_start IS NULL) = coalesce(reason = 'X1', false)"
    ),
    "the first episode of a period begins it, and no other": (
        "FROM episodes WHERE (begins = 'S') <> (start = poc_start)"
    ),
    "an open episode has neither end nor reason": (
        "FROM episodes WHERE (finish IS NULL) <> (reason IS NULL) OR finish < start"
    ),
    "a change of legal status alone changes it": (
        "FROM episodes WHERE begins = 'L' AND legal = last_legal"
    ),
    "a change of placement alone leaves the legal status": (
        "FROM episodes WHERE begins IN ('P', 'T') AND legal <> last_legal"
    ),
    "a period's length is that of its episodes": (
        "FROM episodes WHERE next_start IS NULL AND finish - poc_start IS DISTINCT FROM poc_length"
    ),
    "periods of care do not overlap": (
        "FROM periods WHERE following IS NOT NULL AND (open_still OR following < finish)"
    ),
    "care begins and ends in a case of the child": (
        f"FROM cared WHERE poc_start >= {_HISTORY} "
        "AND (referral IS NULL OR finish > closed OR (open_still AND closed IS NOT NULL))"
    ),
    "a child in care is born and under 18": (
        "FROM cared WHERE poc_start < born OR finish > born + INTERVAL 18 YEAR + INTERVAL 1 MONTH"
    ),
    "placement codes are those of their day": (
        "FROM episodes WHERE (placement IN ('U1', 'U2', 'U3', 'U4', 'U5', 'U6')) AND "
        "start < DATE '2015-04-01' OR placement IN ('Q1', 'Q2', 'F1', 'F4') "
        "AND start >= DATE '2015-04-01'"
    ),
    "a child is adopted from a placement order": (
        "FROM episodes WHERE reason IN ('E11', 'E12') AND legal <> 'E1'"
    ),
}

#: What the deliberate errors break, and the largest share of rows they may.
BROKEN_BY_ERRORS = {
    "a case closes after its referral": 0.002,
    "a conference falls in its case": 0.001,
    "a plan starts in its case (1105)": 0.01,
    "an assessment ends after it starts and before its case closes": 0.006,
    "an enquiry follows its referral and precedes the closure": 0.006,
    "care begins and ends in a case of the child": 0.02,
    "age at referral is from nine months before birth to 18 (child)": 0.002,
    "a child has one date of birth": 0.01,
    "nothing is known that happened after the return's year": 0.001,
    "gender is a known code": 0.002,
    "the unborn have an expected date and no gender": 0.002,
}


@pytest.fixture(scope="module", params=["without errors", "with errors"])
def extract(request, tmp_path_factory):
    """A whole small England, as views of an engine."""
    folder: Path = tmp_path_factory.mktemp("rules")
    dirty = request.param == "with errors"
    study = load_study("synthetic")
    synthetic.generate(study, folder / "x", folder / "t", scale=SCALE, dirt=dirty)
    with duckdb.connect() as engine:
        for name, query in VIEWS.items():
            engine.execute(f"CREATE TEMP TABLE {name} AS {query.format(folder=folder / 'x')}")
        yield engine, dirty


@pytest.mark.parametrize("rule", RULES)
def test_rule(extract, rule):
    engine, dirty = extract
    query = RULES[rule]
    broken = engine.execute(f"SELECT count(*) {query}").fetchone()[0]
    allowed = BROKEN_BY_ERRORS.get(rule, 0.0) if dirty else 0.0
    if not broken or not allowed:
        examples = engine.execute(f"SELECT * {query} LIMIT 3").fetchall()
        assert broken == 0, examples
        return
    table = "cases" if "FROM cin" in query else query.split()[1].strip("(")
    rows = engine.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    assert broken <= allowed * rows, f"{broken} of {rows}"


def test_the_errors_do_break_rules(extract):
    """The rules can fail: most of those the errors concern are broken where there are errors."""
    engine, dirty = extract
    broken = [
        rule
        for rule in BROKEN_BY_ERRORS
        if engine.execute(f"SELECT count(*) {RULES[rule]}").fetchone()[0]
    ]
    assert (len(broken) >= len(BROKEN_BY_ERRORS) - 3) == dirty
