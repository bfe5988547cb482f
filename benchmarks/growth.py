"""How time and memory grow from a hundredth of England to four times England.

``python benchmarks/growth.py`` writes ``benchmarks/results/growth.json`` and ``.md``. At each size
it makes the extract and takes it to cells for all outcomes and definitions, each in a process of
its own. The slope is that of log time on log rows: 1 means twice the rows take twice the time. Time
is that of the clock and that of the processors, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, measured, store

SCALES = (0.01, 0.1, 1.0, 4.0)
TARGETS = {"extract": (45.0, 2_500.0), "cells": (25.0, 4_000.0)}
LOAD = (
    "With a load above the number of processors, other work shared the machine: then seconds say "
    "little, and processor seconds are what to compare."
)
NAMES = {"extract": "Making the extract", "cells": "Records to cells"}


def extract(scale: float, folder: Path) -> dict[str, Any]:
    """Make an extract; gives its rows."""
    from sos_analysis.records.synthetic import generate
    from sos_analysis.study import load_study

    made = generate(load_study("synthetic"), folder, folder.with_name("truth"), scale=scale)
    return {"rows": sum(n for name, n in made.rows.items() if name.startswith("cin"))}


def cells(folder: Path) -> dict[str, Any]:
    """Take an extract to cells for every outcome and definition."""
    from sos_analysis import workspace
    from sos_analysis.study import load_study

    workspace.CELLS = folder.with_name("cells")
    made = workspace.build_cells(load_study("synthetic"), folder)
    return {"sets": len(made)}


def slope(rows: list[int], seconds: list[float]) -> float:
    """Least-squares slope of log time on log rows, over the two largest sizes."""
    x, y = np.log(rows[-2:]), np.log(seconds[-2:])
    return float(np.polyfit(x, y, 1)[0])


def page(made: dict[str, Any]) -> str:
    """The report in words."""
    v = ", ".join(f"{k} {n}" for k, n in made["versions"].items())
    lines = "\n".join(
        f"| {row['scale'] * 100:g}% | {row['rows']:,} | "
        + " | ".join(
            f"{row[what]['seconds']:.1f} | {row[what]['cpu']:.1f} | {row[what]['peak_mb']:,.0f}"
            for what in TARGETS
        )
        + " |"
        for row in made["sizes"]
    )
    wanted = "; ".join(
        f"{NAMES[k].lower()} in {s:g} s and {m:,.0f} MB" for k, (s, m) in TARGETS.items()
    )
    return (
        "# Growth with the size of the records\n\n"
        f"{made['date']}; {made['machine']}; load at the end {made['load'][0]}; Python "
        f"{made['python']}; {v}. Wanted at 100%: {wanted}.\n\n"
        "| Size | Rows of referrals | Extract, s | Processor s | Peak, MB | Cells, s | "
        "Processor s | Peak, MB |\n"
        "|---|---|---|---|---|---|---|---|\n"
        f"{lines}\n\n"
        f"Slope between the two largest sizes: extract {made['slope']['extract']:.2f}, cells "
        f"{made['slope']['cells']:.2f}; of processor time {made['slope_cpu']['extract']:.2f} and "
        f"{made['slope_cpu']['cells']:.2f}. {LOAD}\n"
    )


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument(
        "--largest", type=float, default=max(SCALES), help="leave out sizes above this"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", choices=TARGETS, help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        made = (
            extract(chosen.scale, chosen.folder)
            if chosen.one == "extract"
            else cells(chosen.folder)
        )
        print(json.dumps(made))
        return
    sizes: list[dict[str, Any]] = []
    for scale in sorted(s for s in chosen.scales if s <= chosen.largest):
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, __file__, "--folder", str(Path(scratch) / "extract")]
            made = measured([*command, "--one", "extract", "--scale", str(scale)])
            taken = measured([*command, "--one", "cells"])
        rows = made["answer"]["rows"]
        sizes.append({"scale": scale, "rows": rows, "extract": made, "cells": taken})
        print(f"{scale * 100:g}%: {made['seconds']:.1f} s and {taken['seconds']:.1f} s", flush=True)
    rows = [row["rows"] for row in sizes]
    slopes = {
        name: {
            what: slope(rows, [row[what][unit] for row in sizes]) if len(sizes) > 1 else 0.0
            for what in TARGETS
        }
        for name, unit in (("slope", "seconds"), ("slope_cpu", "cpu"))
    }
    report = {
        **machine("duckdb", "ibis-framework", "pyarrow", "numpy"),
        "sizes": sizes,
        **slopes,
    }
    store("growth", report, page(report), chosen.out)


if __name__ == "__main__":
    main()
