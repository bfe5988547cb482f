"""How long the estimates of each chapter take with 9,999 bootstrap and 9,999 permutation draws.

``python benchmarks/chapters.py`` writes ``benchmarks/results/chapters.json`` and ``.md``. Each
chapter is computed from its cells in a process of its own, on one thread: both definitions, both
specifications, event studies, checks, tables and charts. Loading the libraries is timed apart,
since a session pays for it once.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from common import RESULTS, machine, measured, python, store

DRAWS = 9_999
TARGET = 5.0
CHAPTERS = (
    "rq1_assessment_duration",
    "rq2_rereferral_after_nfa",
    "rq3_escalation_on_rereferral",
    "rq4_kinship_care",
    "subgroup_ofsted_rating",
    "subgroup_embeddedness",
    "comparator_practice_models",
    "addendum_icpc",
)
CODE = """
import json, sys, time
began = time.perf_counter()
import pandas, scipy.stats, statsmodels.api, linearmodels.iv.absorbing
from sos_analysis.chapters import CHAPTERS, checked, compute
spec = CHAPTERS[{name!r}]
loaded = time.perf_counter()
result = compute(spec, checked(spec, {{"draws": {draws}}}))
print(json.dumps({{"load": loaded - began, "seconds": time.perf_counter() - loaded,
                   "processor": time.process_time(), "claims": len(result.claims)}}))
"""


def page(made: dict[str, Any]) -> str:
    """The report in words."""
    v = ", ".join(f"{k} {n}" for k, n in made["versions"].items())
    lines = "\n".join(
        f"| {row['chapter']} | {row['seconds']:.1f} | {row['load']:.1f} | {row['peak_mb']:,.0f} |"
        for row in made["chapters"]
    )
    return f"""# Estimates of each chapter

{DRAWS:,} bootstrap and {DRAWS:,} permutation draws, from cells; wanted: {TARGET:g} s a chapter.
{made["machine"]}, Python {made["python"]}, {made["date"]}; load before: {made["load"]}. {v}.

| Chapter | Seconds | Loading libraries, once | Peak, MB |
|---|---|---|---|
{lines}
"""


def main() -> None:
    """Time every chapter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=CHAPTERS, choices=CHAPTERS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    from sos_analysis.study import load_study
    from sos_analysis.workspace import build_cells

    build_cells(load_study("synthetic"))  # where they are not there yet
    made: dict[str, Any] = machine("numpy", "pandas", "scipy", "statsmodels", "linearmodels")
    one_thread = {f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL")}
    rows = []
    for name in given.only:
        code = CODE.format(name=name, draws=DRAWS)
        found = measured(python(code), env={**os.environ, **one_thread})
        rows.append({"chapter": name, "peak_mb": found["peak_mb"], **found["answer"]})
        print(f"{name}: {rows[-1]['seconds']:.1f} s", file=sys.stderr)
    made["chapters"] = rows
    store("chapters", made, page(made), given.out)


if __name__ == "__main__":
    main()
