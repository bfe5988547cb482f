"""Time records to outcomes against pandas and against bare SQL, on the same files in one run.

``python benchmarks/outcomes.py`` writes ``benchmarks/results/outcomes.json`` and ``.md``. From the
Parquet files of a made-up extract to the events and outcomes of the four questions and the
addendum (strict definitions), counted by authority and fiscal year. Each way runs in a process of
its own and gives its counts; all three must give the same counts, or there is no result.

Ours reads any layout it knows, checks and repairs codes and lists problems; the others do not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import RESULTS, ROOT, machine, measured, store

WAYS = ("ours", "sql", "pandas")
NAMES = {"ours": "This project", "sql": "Bare SQL (DuckDB)", "pandas": "pandas"}
OUTCOMES = ("duration", "rereferral", "escalation", "kinship", "icpc")
LIMIT = 3.0


def rules(study: Any) -> dict[str, dict[str, Any]]:
    """Dates and windows of each outcome, as the study file has them."""
    return {
        name: {
            "first": study.data_start.isoformat(),
            "last": study.data_end.isoformat(),
            "censor": study.outcome(name).censor_date.isoformat(),
            "censor_days": study.outcome(name).censor_days,
            "window": study.outcome(name).window_days,
            "window_days": study.outcome(name).window_days,
        }
        for name in OUTCOMES
    }


def ours(folder: Path, study: Any, memory: str) -> dict[str, list[Any]]:
    """Counts through this project's own rooms."""
    from sos_analysis.outcomes import events
    from sos_analysis.records.extract import open_extract

    made = {}
    with open_extract(folder, memory_limit=memory) as records:
        for name in OUTCOMES:
            rows = events(records, study, name, "strict")
            counted = rows.group_by("la", "year").agg(n=rows.count(), y=rows.y.sum())
            table = counted.order_by("la", "year").to_pyarrow().to_pylist()
            made[name] = [(r["la"], r["year"], r["n"], int(r["y"])) for r in table]
    return made


def one(way: str, folder: Path, memory: str, out: Path) -> None:
    """Run one way and write its counts."""
    from sos_analysis.study import load_study

    study = load_study("synthetic")
    if way == "ours":
        made = ours(folder, study, memory)
    elif way == "sql":
        import outcomes_sql

        made = outcomes_sql.run(folder, rules(study), memory, os.cpu_count() or 1)
    else:
        import outcomes_pandas

        made = outcomes_pandas.run(folder, rules(study))
    out.write_text(json.dumps(made, sort_keys=True), encoding="utf-8")


def compare(found: dict[str, dict[str, list[Any]]]) -> int:
    """Number of counts compared; an error names the first that differs."""
    total = 0
    for outcome in OUTCOMES:
        base = {(r[0], r[1]): tuple(r[2:]) for r in found["ours"][outcome]}
        for way in WAYS[1:]:
            other = {(r[0], r[1]): tuple(r[2:]) for r in found[way][outcome]}
            wrong = sorted(k for k in {*base, *other} if base.get(k) != other.get(k))
            if wrong:
                key = wrong[0]
                sys.exit(
                    f"{outcome}, authority and year {key}: ours {base.get(key)}, "
                    f"{way} {other.get(key)} ({len(wrong)} of {len(base)} differ)"
                )
        total += len(base)
    return total


def page(made: dict[str, Any]) -> str:
    """The report in words."""
    v = ", ".join(f"{k} {n}" for k, n in made["versions"].items())
    lines = "\n".join(
        f"| {NAMES[w]} | {made['ways'][w]['seconds']:.1f} | {made['ways'][w]['cpu']:.1f} | "
        f"{made['ways'][w]['peak_mb']:,.0f} | {made['ways'][w]['times']:.2f} | "
        f"{made['ways'][w]['times_cpu']:.2f} |"
        for w in WAYS
    )
    return (
        "# Records to outcomes, timed\n\n"
        f"{made['rows']:,} referrals in the files, {len(OUTCOMES)} outcomes, "
        f"{made['compared']:,} counts by authority and year, the same in all three ways. "
        f"{made['date']}; {made['machine']}; load at the end {made['load'][0]}; Python "
        f"{made['python']}; {v}.\n\n"
        "| Way | Seconds | Processor seconds | Peak memory, MB | Times ours | By processor |\n"
        "|---|---|---|---|---|---|\n"
        f"{lines}\n\n"
        f"Ours over bare SQL: {made['over_sql']:.2f}, by processor time {made['over_sql_cpu']:.2f} "
        f"(at most {LIMIT:g} wanted). pandas over ours: {made['pandas_over']:.1f}, by processor "
        f"time {made['pandas_over_cpu']:.1f}.\n\n"
        "Whole processes, start of Python included. Ours reads other layouts too, repairs codes "
        "and lists problems; the others read this one layout and check nothing.\n"
    )


def main() -> None:
    """Run, compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extract", type=Path, default=ROOT / "data" / "extract" / "synthetic")
    parser.add_argument("--scale", type=float, help="make an extract of this share of England")
    parser.add_argument("--memory-limit", default="4GB")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--counts", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        one(chosen.one, chosen.extract, chosen.memory_limit, chosen.counts)
        return
    ways: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[str, list[Any]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.scale:
            from sos_analysis.records.synthetic import generate
            from sos_analysis.study import load_study

            chosen.extract = Path(scratch) / "extract"
            truth = Path(scratch) / "truth"
            generate(load_study("synthetic"), chosen.extract, truth, scale=chosen.scale)
        manifest = chosen.extract / "manifest.json"
        if not manifest.is_file():
            sys.exit(f"no extract in {chosen.extract}; make one: python -m sos_analysis synthesise")
        told = json.loads(manifest.read_text("utf-8"))
        for way in WAYS:
            counts = Path(scratch) / f"{way}.json"
            command = [sys.executable, __file__, "--one", way, "--counts", str(counts)]
            command += ["--extract", str(chosen.extract), "--memory-limit", chosen.memory_limit]
            ways[way] = measured(command)
            found[way] = json.loads(counts.read_text("utf-8"))
    seconds, cpu = ({w: ways[w][unit] for w in WAYS} for unit in ("seconds", "cpu"))
    made = {
        **machine("duckdb", "ibis-framework", "pandas", "pyarrow", "numpy"),
        "rows": told.get("rows", {}).get("referrals", 0) or told.get("referrals", 0),
        "compared": compare(found),
        "ways": {
            w: {
                "seconds": round(seconds[w], 2),
                "peak_mb": ways[w]["peak_mb"],
                "cpu": cpu[w],
                "times": round(seconds[w] / seconds["ours"], 3),
                "times_cpu": round(cpu[w] / cpu["ours"], 3),
            }
            for w in WAYS
        },
        "over_sql": round(seconds["ours"] / seconds["sql"], 3),
        "over_sql_cpu": round(cpu["ours"] / cpu["sql"], 3),
        "pandas_over": round(seconds["pandas"] / seconds["ours"], 3),
        "pandas_over_cpu": round(cpu["pandas"] / cpu["ours"], 3),
    }
    store("outcomes", made, page(made), chosen.out)


if __name__ == "__main__":
    main()
