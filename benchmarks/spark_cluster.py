"""Records to cells on a Spark cluster of one master and two workers, against embedded DuckDB.

`python benchmarks/spark_cluster.py` starts the cluster on this machine (pyspark brings all of it;
Java 17 is needed), counts every outcome by both definitions on each engine, compares the counts to
the last integer, and stores times and peak memory. Both workers share this machine: the figures
show that the cluster gives the same counts and what it costs to ask one, not how fast many
machines are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from common import machine, measured, python, store, watch

HOST = "127.0.0.1"
STUDY = "data/study/synthetic.toml"
_PACKAGE = "org.apache.spark.deploy"
_START_SECONDS = 60.0

_MAKE = """
from pathlib import Path
from sos_analysis.records.synthetic import generate
from sos_analysis.study import load_study
generate(load_study(Path({study!r})), Path({out!r}), Path({truth!r}), scale={scale})
"""
_COUNT = """
import hashlib, json, time
from pathlib import Path
from sos_analysis import cells
from sos_analysis.outcomes import events
from sos_analysis.records.extract import open_extract
from sos_analysis.study import load_study
study = load_study(Path({study!r}))
made = {{}}
began = time.perf_counter()
with open_extract(Path({folder!r}), engine={engine!r}) as records:
    opened = time.perf_counter() - began
    for outcome in study.outcomes:
        for definition in ("original", "strict"):
            held = cells.collapse(
                events(records, study, outcome.name, definition),
                study,
                outcome.name,
                covariates=outcome.cell_covariates,
            )
            text = held.frame.to_csv(index=False) + held.margins.to_csv(index=False)
            made[f"{{outcome.name}} ({{definition}})"] = [
                int(held.meta["events"]),
                hashlib.sha256(text.encode()).hexdigest(),
            ]
seconds = time.perf_counter() - began
print(json.dumps({{"opened": opened, "seconds": seconds, "counts": made}}))
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def cluster(workers: int, memory: str) -> Iterator[tuple[str, list[int]]]:
    """Start a master and workers of one core each; address and process ids; end them after.

    Raises
    ------
    RuntimeError : pyspark or Java is missing, or the master does not answer.
    """
    try:
        import pyspark
    except ImportError as error:
        raise RuntimeError("install requirements-spark.txt first") from error
    if shutil.which("java") is None:
        raise RuntimeError("no java on the path: Spark needs Java 17")
    jars = Path(pyspark.__file__).parent / "jars"
    port = _free_port()
    address = f"spark://{HOST}:{port}"
    # Without its scripts a worker cannot tell which Scala it is of.
    scala = next(jars.glob("spark-core_*.jar")).name.split("_")[1].split("-")[0]
    given = {**os.environ, "SPARK_LOCAL_IP": HOST, "SPARK_HOME": str(jars.parent)}
    given["SPARK_SCALA_VERSION"] = scala
    java = ["java", "-Xmx512m", "-cp", f"{jars}/*"]
    shared = ["--host", HOST, "--webui-port", "0"]
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sos_cluster_") as scratch:

        def start(name: str, *more: str) -> None:
            quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            line = [*java, f"{_PACKAGE}.{name}", *shared, *more]
            started.append(subprocess.Popen(line, env=given, cwd=scratch, **quiet))

        try:
            start("master.Master", "--port", str(port))
            until = time.monotonic() + _START_SECONDS
            while not _listening(port):
                if time.monotonic() > until or started[0].poll() is not None:
                    raise RuntimeError("the master of the cluster did not start")
                time.sleep(0.2)
            for number in range(workers):
                folder = str(Path(scratch, f"worker_{number}"))
                start("worker.Worker", "-c", "1", "-m", memory, "-d", folder, address)
            yield address, [process.pid for process in started]
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def compare(scale: float, workers: int, memory: str) -> dict[str, Any]:
    """Both engines on made-up England of a size.

    Returns
    -------
    Times, peaks, counts of each engine and whether all counts are equal.
    """
    found: dict[str, Any] = {"scale": scale}
    with tempfile.TemporaryDirectory(prefix="sos_spark_") as made:
        folder, truth = f"{made}/extract", f"{made}/truth"
        measured(python(_MAKE.format(study=STUDY, out=folder, truth=truth, scale=scale)))
        found["extract_mb"] = round(
            sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 1e6, 1
        )
        code = {"study": STUDY, "folder": folder}
        found["duckdb"] = measured(python(_COUNT.format(engine="duckdb", **code)))
        with cluster(workers, memory) as (address, ids):
            peaks = [watch(pid) for pid in ids]
            found["spark"] = measured(python(_COUNT.format(engine=address, **code)))
            found["spark"]["cluster_peak_mb"] = sum(peak() for peak in peaks)
    ours, theirs = (found[engine]["answer"]["counts"] for engine in ("duckdb", "spark"))
    found["different"] = sorted(name for name in ours if ours[name] != theirs.get(name))
    return found


def _page(made: dict[str, Any]) -> str:
    lines = [
        "# Records to cells: a Spark cluster of two workers against embedded DuckDB",
        "",
        "Every outcome by both definitions, on made-up records. Both workers and the driver share "
        "one machine, so these figures show equal counts and overhead, not the speed of many "
        "machines. Memory of Spark is the driver's and, after the plus, master's and workers'.",
        "",
        "| Share of England | Extract, MB | Events counted | DuckDB, s | DuckDB, MB | Spark, s "
        "| Spark, MB | Counts that differ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in made["rows"]:
        duck, spark = row["duckdb"], row["spark"]
        counts = duck["answer"]["counts"]
        lines.append(
            f"| {row['scale']:g} | {row['extract_mb']} | {sum(n for n, _ in counts.values()):,} "
            f"| {duck['answer']['seconds']:.1f} | {duck['peak_mb']:.0f} "
            f"| {spark['answer']['seconds']:.1f} "
            f"| {spark['peak_mb']:.0f} + {spark['cluster_peak_mb']:.0f} "
            f"| {len(row['different'])} of {len(counts)} |"
        )
    versions = ", ".join(f"{k} {v}" for k, v in made["machine"]["versions"].items())
    return "\n".join([*lines, "", f"{made['machine']['date']}; {versions}.", ""])


def main() -> int:
    """Run at each scale; exit status 1 if a count differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, nargs="+", default=[0.01, 0.05])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="1500m", help="of each worker")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    rows = [compare(scale, options.workers, options.memory) for scale in options.scale]
    made = {"machine": machine("duckdb", "ibis-framework", "pyspark"), "rows": rows}
    store("spark_cluster", made, _page(made), options.out)
    return int(any(row["different"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
