"""What all benchmarks share: one process a measurement, the machine, the files written."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ROOT = HERE.parent


def machine(*libraries: str) -> dict[str, Any]:
    """Where and with what the figures were taken."""
    from sos_analysis.sources import versions

    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "python": platform.python_version(),
        "load": [round(part, 1) for part in os.getloadavg()],
        "versions": versions(*libraries),
    }


def measured(arguments: Sequence[str], **more: Any) -> dict[str, Any]:
    """Run a command in a process of its own.

    Returns
    -------
    `seconds` of wall time, `cpu` seconds of processors (its children's too: what to compare where
    other work shares the machine), `peak_mb` (largest resident set of it or of a child of its own),
    `answer` (the last line it printed, as JSON, or None).

    Raises
    ------
    RuntimeError : the command failed; its last lines are in the message.
    """
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **more
    )
    watched = watch(process.pid)
    out, err = process.communicate()
    seconds = time.perf_counter() - began
    peak, after = watched(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}\n{err[-2000:]}")
    last = out.strip().splitlines()[-1:] or [""]
    try:
        answer = json.loads(last[0])
    except ValueError:
        answer = None
    return {"seconds": seconds, "cpu": round(cpu, 2), "peak_mb": peak, "answer": answer}


def watch(pid: int) -> Callable[[], float]:
    """Sample the memory of a process and all below it; gives the peak in MB when called."""
    import threading

    import psutil

    stop, peak = threading.Event(), [0.0]

    def look() -> None:
        while not stop.wait(0.05):
            try:
                top = psutil.Process(pid)
                whole = [top, *top.children(recursive=True)]
                peak[0] = max(peak[0], sum(p.memory_info().rss for p in whole) / 1e6)
            except psutil.Error:
                continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()

    def done() -> float:
        stop.set()
        thread.join()
        return round(peak[0], 0)

    return done


def python(code: str) -> list[str]:
    """Command line that runs code with this interpreter."""
    return [sys.executable, "-c", code]


def store(name: str, made: Mapping[str, Any], page: str, out: Path) -> None:
    """Write JSON and Markdown, and print the page."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made, indent=1, sort_keys=True)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)
