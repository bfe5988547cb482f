"""What was wrong with the returns, counted: nothing is left out or repaired silently.

Counts are of rows or children, never a value of one. Faults of single rows come as boolean columns
from the readers (`FAULTS`); what only shows when copies are put together is counted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sos_analysis.records.calendar import age_at
from sos_analysis.records.tables import CHILD, KEY, OLDEST, YOUNGEST, Problem, Severity, tally

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class Fault:
    """What a true value in a column of `FAULTS` means."""

    severity: Severity
    field: str
    message: str
    remedy: str


FAULTS: Mapping[str, Fault] = {
    "fault_nfa": Fault("warning", "nfa_flag", "is neither yes nor no", "taken as not stated"),
    "fault_need": Fault(
        "warning", "primary_need", "is no need code (N0 to N9)", "taken as not stated"
    ),
    "repaired_need": Fault("info", "primary_need", "was padded or in small letters", "repaired"),
    "fault_closure_reason": Fault(
        "warning", "closure_reason", "is no reason for closure (RC1 to RC9)", "taken as not stated"
    ),
    "repaired_closure_reason": Fault(
        "info", "closure_reason", "was padded or misspelt", "repaired"
    ),
    "fault_plan_previous": Fault(
        "warning", "n_previous", "is no whole number", "taken as not stated"
    ),
    "fault_sex": Fault(
        "warning", "sex", "is outside the codes 0, 1, 2, 9 (from 2025 M, F, U)", "taken as unknown"
    ),
    "fault_ethnicity": Fault("warning", "ethnicity", "is no ethnicity code", "taken as not stated"),
    "fault_year": Fault(
        "warning",
        "return_year",
        "differs from the year of the file",
        "the file's year was used; check that the file is the right one",
    ),
    **{
        f"fault_{name}": Fault(
            "warning", name, f"is no {what} of the list", "kept as stated; it belongs to no group"
        )
        for name, what in {
            "rne": "reason for a new episode",
            "legal_status": "legal status",
            "placement": "placement",
            "end_reason": "reason for ceasing",
        }.items()
    },
    **{
        f"repaired_{name}": Fault("info", name, "was padded or in small letters", "repaired")
        for name in ("rne", "legal_status", "placement", "end_reason")
    },
}


def count_faults(
    name: str,
    table: ibis.Table,
    files: Sequence[str] = (),
    unit: Mapping[int, str] | None = None,
    counted: Mapping[str, int] | None = None,
) -> list[Problem]:
    """Count what is marked in a table of rows.

    Parameters
    ----------
    files : names of files by their number, where rows carry their place.
    unit : number of a file -> what its places count ('row' where it is not there).
    counted : what was counted before, by name.
    """
    known = dict(counted or {})
    counts: dict[str, Any] = {c: table[c].sum() for c in table.columns if c in FAULTS}
    counts |= {key: table[key].isnull().sum() for key in KEY}
    found = known | tally(table, {c: sums for c, sums in counts.items() if c not in known})
    problems = []
    for fault, told in FAULTS.items():
        if not found.get(fault):
            continue
        first = _first(table, fault, files, unit or {})
        problems.append(
            Problem(
                told.severity, name, told.field, told.message, found[fault], told.remedy, *first
            )
        )
    for key, message in (("child_id", "is empty"), ("la", "is empty or no code of an authority")):
        if found[key]:
            problems.append(Problem("error", name, key, message, found[key], "rows left out"))
    return problems


def _first(
    table: ibis.Table, fault: str, files: Sequence[str], unit: Mapping[int, str]
) -> tuple[str, str, str]:
    """File, place and shape of the first row that is marked; empty where rows carry no place."""
    import ibis

    if "row_" not in table.columns:
        return "", "", ""
    column = fault.partition("_")[2]
    shape = f"masked_{column}"
    rows = table.filter(table[fault]).order_by("file_", "row_").limit(1)
    held = rows.select(
        "file_",
        "row_",
        shape=rows[shape] if shape in rows.columns else ibis.null("string"),
    )
    row = held.to_pyarrow().to_pylist()[0]
    file = files[row["file_"]] if row["file_"] is not None and files else ""
    place = "" if row["row_"] is None else f"{unit.get(row['file_'], 'row')} {row['row_']}"
    return file, place, row["shape"] or ""


def several_dobs(votes: ibis.Table) -> list[Problem]:
    stated = votes.filter(votes["rank"] == 3)
    children = stated.group_by(*KEY).agg(n=stated.count())
    several = tally(children, {"n": (children.n > 1).sum()})["n"]
    remedy = "the most frequent was used, among equals the earliest"
    message = "children with more than one"
    return [Problem("warning", "children", "dob", message, several, remedy)] if several else []


def referral_problems(
    referrals: ibis.Table, children: ibis.Table, cin: ibis.Table
) -> list[Problem]:
    undated = tally(cin, {"n": cin.referral_date.isnull().sum()})["n"]
    aged = referrals.left_join(children.select(CHILD, "dob"), CHILD)
    age = age_at(aged.dob, aged.referral_date)
    found = tally(
        aged,
        {
            "early": aged.closed_before_referral.sum(),
            "age": ((age < YOUNGEST) | (age > OLDEST)).sum(),
            "unknown": aged.dob.isnull().sum(),
            "differs": aged.nfa_differs.sum(),
        },
    )
    told = [
        ("error", "referral_date", "is empty", undated, "rows give no referral"),
        (
            "error",
            "closure_date",
            "is before the referral",
            found["early"],
            "the referral is no event; its date still counts as a referral",
        ),
        (
            "warning",
            "nfa_flag",
            "differs between copies of a referral",
            found["differs"],
            "no further action only if every copy that states the flag says so",
        ),
        (
            "error",
            "dob",
            f"gives an age outside {YOUNGEST} to {OLDEST} at referral",
            found["age"],
            "the referral is no event",
        ),
        ("info", "dob", "is not known", found["unknown"], "age is 'missing'"),
    ]
    return [Problem(s, "referrals", f, m, n, r) for s, f, m, n, r in told if n]  # type: ignore[arg-type]


def date_problems(rows: ibis.Table, once: ibis.Table, care: ibis.Table) -> list[Problem]:
    stated = tally(rows, {"n": rows.count(), "undated": rows.start_date.isnull().sum()})
    kept = tally(once, {"n": once.count(), "backward": (once.end_date < once.start_date).sum()})
    ended = tally(
        care,
        {
            "undated": care.episode_start.isnull().sum(),
            "backward": (care.episode_end < care.episode_start).sum(),
        },
    )
    told = [
        ("error", "assessments", "start_date", "is empty", stated["undated"], "rows left out"),
        (
            "info",
            "assessments",
            "start_date",
            "stands more than once for a child",
            stated["n"] - stated["undated"] - kept["n"],
            "one assessment, with the later end",
        ),
        (
            "error",
            "assessments",
            "end_date",
            "is before the start",
            kept["backward"],
            "the assessment is no event",
        ),
        ("error", "episodes", "episode_start", "is empty", ended["undated"], "rows left out"),
        (
            "warning",
            "episodes",
            "episode_end",
            "is before the start",
            ended["backward"],
            "kept as stated; check the source",
        ),
    ]
    return [Problem(s, t, f, m, n, r) for s, t, f, m, n, r in told if n]  # type: ignore[arg-type]


def stated_starts(care: ibis.Table, episodes: ibis.Table) -> list[Problem]:
    stated = care.filter(care.stated_start.notnull()).select(
        *KEY, "episode_start", "legal_status", "placement", "stated_start"
    )
    both = stated.inner_join(episodes, [*KEY, "episode_start", "legal_status", "placement"])
    n = tally(both, {"n": (both.stated_start != both.period_start).sum()})["n"]
    message = "differs from the start of the period the episodes make"
    remedy = "periods were built from the episodes (start S, or no X1 on the same day)"
    return [Problem("warning", "care_periods", "period_start", message, n, remedy)] if n else []


def episode_problems(care: ibis.Table, episodes: ibis.Table) -> list[Problem]:
    """Episodes coded anew by a later copy, and episodes that run into the next."""
    import ibis

    def coded(rows: ibis.Table) -> int:
        lasting = (rows.episode_end > rows.episode_start).fill_null(True)
        kept = rows.filter(rows.episode_start.notnull(), lasting)
        kept = kept.select(*KEY, "episode_start", "legal_status", "placement").distinct()
        return tally(kept, {"n": kept.count()})["n"]

    order = [episodes.episode_start, episodes.episode_end.fill_null(ibis.date(9999, 1, 1))]
    rows = episodes.mutate(
        next_start=episodes.episode_start.lead().over(
            group_by=list(KEY), order_by=[*order, episodes.legal_status, episodes.placement]
        )
    )
    late = (rows.episode_end.isnull() | (rows.episode_end > rows.next_start)).fill_null(False)
    over = tally(rows, {"n": (late & rows.next_start.notnull()).sum()})["n"]
    told = [
        (
            "info",
            "legal_status, placement",
            "were coded otherwise in another copy of an episode",
            coded(care) - coded(episodes),
            "one episode a child and day, as the last return has it (else with the later end)",
        ),
        (
            "warning",
            "episode_end",
            "is empty, or after the start of the child's next episode",
            over,
            "kept as stated; the next episode begins a period of its own unless X1 leads to it",
        ),
    ]
    return [Problem(s, "episodes", f, m, n, r) for s, f, m, n, r in told if n]  # type: ignore[arg-type]
