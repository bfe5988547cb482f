"""A second opinion on a table of counts by ACRO, in an environment of its own.

ACRO (AI-SDC/ACRO, MIT licence) pins an older pandas, so it cannot share this project's
environment, and it gives margins and pivoted means away in ways that `tests/test_attack.py` holds
against our guard. It is a second look, never the guard::

    python3 -m venv acro-env && acro-env/bin/pip install acro==1.0.2
    acro-env/bin/python benchmarks/acro_opinion.py EXACT.csv RELEASED.csv --count Children

EXACT.csv holds the unrounded counts (it never leaves the secure setting): one or two columns of
labels, then the count, with the headings of RELEASED.csv. Says for each cell what the two think;
exit status 1 if ACRO would hide a cell that the release shows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
from pathlib import Path

import pandas as pd


def opinion(exact: pd.DataFrame, labels: list[str], count: str) -> dict[tuple[str, ...], bool]:
    """Cell to whether ACRO hides it, by its own default rules.

    Parameters
    ----------
    exact : DataFrame of labels and counts.
    labels : one or two columns that say what a row counts.
    count : column of counts.
    """
    from acro import ACRO

    logging.disable(logging.WARNING)  # it tells every step on standard error

    people = exact.loc[exact.index.repeat(exact[count])].reset_index(drop=True)
    rows = people[labels[0]]
    columns = people[labels[1]] if len(labels) > 1 else pd.Series(["all"] * len(people), name="of")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        table = ACRO(suppress=True).crosstab(rows, columns)
    found = {}
    for _, row in exact.iterrows():
        key = tuple(str(row[name]) for name in labels)
        second = row[labels[1]] if len(labels) > 1 else "all"
        there = row[labels[0]] in table.index and second in table.columns
        found[key] = not there or bool(pd.isna(table.loc[row[labels[0]], second]))
    return found


def main() -> int:
    """Compare the two and print a line a cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exact", type=Path)
    parser.add_argument("released", type=Path)
    parser.add_argument("--count", required=True, help="heading of the column of counts")
    given = parser.parse_args()
    exact, released = pd.read_csv(given.exact), pd.read_csv(given.released, dtype=str)
    labels = [c for c in exact.columns if c != given.count]
    missing = [c for c in (*labels, given.count) if c not in released.columns]
    if missing or not 1 <= len(labels) <= 2 or given.count not in exact.columns:
        print(f"error: need one or two labels and {given.count!r} in both files", file=sys.stderr)
        return 2
    theirs = opinion(exact, labels, given.count)
    worse = 0
    for _, row in released.iterrows():
        key = tuple(row[name] for name in labels)
        if key not in theirs:
            continue  # a total that the release works out from rounded cells
        ours, acro = row[given.count] == "[c]", theirs[key]
        worse += acro and not ours
        said = "both hide" if ours and acro else "both show" if not ours and not acro else ""
        print(f"{' / '.join(key)}: {said or ('only ACRO hides' if acro else 'only we hide')}")
    print(f"{worse} cells shown that ACRO would hide")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
