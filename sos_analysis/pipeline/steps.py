"""Steps that run only when what they rest on has changed, each in a process of its own.

doit orders the steps and runs them side by side. What counts as changed is decided here: a step
keeps a small state file with the hashes of its inputs and of what it made, written after the
step has succeeded, so a build that is killed at any moment starts again where it was. The parent
process imports nothing heavy; a build with nothing to do takes well under a second of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from sos_analysis.errors import SosError
from sos_analysis.sources import ROOT, file_hash
from sos_analysis.whole_files import write_whole

Verbosity = Literal["quiet", "normal", "verbose"]
Status = Literal["ran", "cached", "failed", "skipped", "stopped"]

_PROGRESS_SECONDS = 10.0
_STOP_GRACE_SECONDS = 8.0
#: The steps that one sets free come a moment later, one by one; until then no other starts.
_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Attributes
    ----------
    name
        Unique, shown to the reader of the log.
    task
        Name of a function in `sos_analysis.pipeline.work`.
    arguments
        Its keyword arguments; anything JSON can hold.
    inputs
        Called when the step's turn comes; gives named hashes of all that the step rests on.
    outputs
        Files that must exist afterwards. The task may report further ones.
    needs
        Steps without whose success this one cannot run.
    after
        Steps that come first, but whose failure does not stop this one.
    cost
        Seconds it takes, roughly: of steps that could run, those go first on which the most hangs.
    """

    name: str
    task: str
    arguments: Mapping[str, Any]
    inputs: Callable[[], Mapping[str, str]]
    outputs: tuple[Path, ...] = ()
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    cost: float = 1.0

    @property
    def slug(self) -> str:
        """The name as a file name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-")


@dataclass(frozen=True)
class StepResult:
    """What became of a step; `reason` says why it ran, failed or was skipped."""

    name: str
    status: Status
    seconds: float
    reason: str = ""
    summary: str = ""


class Hashes:
    """Content hashes of files; a file is read again only if its size or time stamp changed."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        with contextlib.suppress(OSError, ValueError):
            self._known = json.loads(store.read_text("utf-8"))

    def of(self, path: Path) -> str:
        """Hash of a file, or ``"absent"``."""
        try:
            stat = path.stat()
        except OSError:
            return "absent"
        key = str(path)
        mark = [stat.st_size, stat.st_mtime_ns]
        with self._lock:
            known = self._known.get(key)
        if known and known[:2] == mark:
            return str(known[2])
        value = file_hash(path)
        with self._lock:
            self._known[key] = [*mark, value]
            self._changed = True
        return value

    def of_tree(self, folder: Path, pattern: str = "**/*") -> dict[str, str]:
        """Hashes of the files below a folder by relative name."""
        files = sorted(p for p in folder.glob(pattern) if p.is_file())
        return {p.relative_to(folder).as_posix(): self.of(p) for p in files}

    def save(self) -> None:
        """Keep what was learned for the next run."""
        if self._changed:
            with self._lock:
                write_whole(self._store, json.dumps(self._known, sort_keys=True))
            self._changed = False


def ranks(steps: Sequence[Step]) -> dict[str, float]:
    """Seconds from the start of each step to the end of all that hangs on it, alone."""
    found: dict[str, float] = {}
    behind = {step.name: [s for s in steps if step.name in (*s.needs, *s.after)] for step in steps}

    def rank(step: Step) -> float:
        if step.name not in found:
            found[step.name] = step.cost + max(map(rank, behind[step.name]), default=0.0)
        return found[step.name]

    for step in steps:
        rank(step)
    return found


@contextlib.contextmanager
def one_build(folder: Path) -> Iterator[None]:
    """Hold the folder for one build; the system lets go when the process ends, however it ends.

    Raises
    ------
    SosError
        If another build is at work in the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+b") as handle:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SosError(
                f"another build is at work in {folder}; wait for it, or stop it"
            ) from error
        yield


class Console:
    """One line a step. On a terminal the line below shows what is running now."""

    def __init__(self, verbosity: Verbosity, stream: TextIO | None = None) -> None:
        self.verbosity = verbosity
        self._out = stream or sys.stdout
        self._lock = threading.Lock()
        self._live = verbosity != "quiet" and self._out.isatty()
        self._last: dict[str, float] = {}
        self._width = 0

    def _clear(self) -> None:
        if self._width:
            self._out.write("\r" + " " * self._width + "\r")
            self._width = 0

    def line(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._clear()
            self._out.write(text + "\n")
            self._out.flush()

    def say(self, text: str) -> None:
        """A line that `--quiet` leaves out."""
        if self.verbosity != "quiet":
            self.line(text)

    def progress(self, name: str, seconds: float, text: str) -> None:
        """How far a running step is: in place on a terminal, now and then elsewhere."""
        if self.verbosity == "quiet":
            return
        message = f"         {seconds:6.1f} s  {name}: {text}"
        if self._live:
            with self._lock:
                self._clear()
                columns = max(20, os.get_terminal_size(self._out.fileno()).columns - 1)
                shown = message[:columns]
                self._out.write("\r" + shown)
                self._out.flush()
                self._width = len(shown)
        elif seconds - self._last.get(name, 0.0) >= _PROGRESS_SECONDS:
            self._last[name] = seconds
            self.line(message)

    def result(self, result: StepResult) -> None:
        """The line of a finished step."""
        bad = result.status in ("failed", "skipped", "stopped")
        if self.verbosity == "quiet" and not bad:
            return
        note = result.reason if bad or self.verbosity == "verbose" else result.summary
        if self.verbosity == "verbose" and result.summary:
            note = "; ".join(part for part in (result.reason, result.summary) if part)
        text = f"{result.status:<8} {result.seconds:6.1f} s  {result.name}"
        self.line(f"{text}: {note}" if note else text)


@dataclass
class _Process:
    """A task in a process of its own, and what it says on the way."""

    task: str
    arguments: Mapping[str, Any]
    on_progress: Callable[[str], None]
    on_output: Callable[[str], None]
    environment: Mapping[str, str]
    worker: str
    process: subprocess.Popen[str] | None = None
    log: list[str] = field(default_factory=list)

    def run(self) -> tuple[int, dict[str, Any], str]:
        """Exit status, the task's answer, and its error in one line."""
        answer: dict[str, Any] = {}
        error = ""
        own_group: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.worker, self.task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=dict(self.environment),
            **own_group,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            # Left open: the process ends itself when this one is gone and the pipe closes.
            self.process.stdin.write(json.dumps(self.arguments) + "\n")
            self.process.stdin.flush()
        for raw in self.process.stdout:
            text = raw.rstrip("\n")
            kind, _, rest = text.partition(" ")
            if kind == "@progress":
                self.on_progress(rest)
            elif kind == "@answer":
                answer = json.loads(rest)
            elif kind == "@error":
                error = json.loads(rest)
            else:
                self.log.append(text)
                self.on_output(text)
        code = self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        return code, answer, error

    def stop(self, *, force: bool = False) -> None:
        """Ask the process and all it started to end; with `force`, end them."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self.process.kill() if force else self.process.terminate()
            else:
                os.killpg(self.process.pid, signal.SIGKILL if force else signal.SIGTERM)


class Run:
    """Runs steps with doit and says what became of each."""

    def __init__(
        self,
        folder: Path,
        console: Console,
        *,
        jobs: int,
        worker: str = "sos_analysis.pipeline.work",
    ) -> None:
        """
        Parameters
        ----------
        folder
            Holds the state of the steps and the logs of failed ones (`_build`).
        console
            Where progress goes.
        jobs
            Steps running at the same time.
        worker
            Module that does the tasks, run as ``python -m``.
        """
        self.folder = folder
        self.console = console
        self.jobs = max(1, jobs)
        self.worker = worker
        self.hashes = Hashes(folder / "state" / "hashes.json")
        self.results: dict[str, StepResult] = {}
        self._running: dict[str, _Process] = {}
        self._pending: dict[str, tuple[dict[str, str], str]] = {}
        self._stopped = False
        self._lock = threading.Lock()
        self._places = threading.Condition()
        self._settled = 0.0
        self._waiting: set[str] = set()
        self._busy = 0
        self._ranks: dict[str, float] = {}

    # --- state -------------------------------------------------------------------------------

    def state(self, name: str) -> dict[str, Any]:
        """What is kept about the last success of the step of that name."""
        slug = Step(name, "", {}, dict).slug
        try:
            found = json.loads((self.folder / "state" / f"{slug}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _key(self, path: Path) -> str:
        """Name of an output in the state: relative, so that a moved copy is still up to date."""
        root = self.folder.parent
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def made(self, name: str) -> str:
        """Hash over what a step made: what later steps rest on."""
        return json.dumps(self.state(name).get("outputs", {}), sort_keys=True)

    def _why(self, step: Step, inputs: Mapping[str, str]) -> str:
        """Why the step must run; empty if it need not."""
        state = self.state(step.name)
        if not state:
            return "first time"
        before = state.get("inputs", {})
        changed = sorted(key for key in {*before, *inputs} if before.get(key) != inputs.get(key))
        if changed:
            return "changed: " + ", ".join(changed[:4]) + (" …" if len(changed) > 4 else "")
        for name, value in state.get("outputs", {}).items():
            if self.hashes.of(self.folder.parent / name) != value:
                return f"missing or altered: {Path(name).name}"
        return ""

    # --- one step ----------------------------------------------------------------------------

    def _up_to_date(self, step: Step) -> bool:
        if self._stopped or self._blocked(step):
            return False  # decided, and said, when its turn to run comes
        started = time.perf_counter()
        try:
            inputs = dict(step.inputs())
        except (OSError, ValueError) as error:
            self._pending[step.name] = ({}, str(error))
            return False
        why = self._why(step, inputs)
        if why:
            self._pending[step.name] = (inputs, why)
            return False
        summary = str(self.state(step.name).get("summary", ""))
        seconds = time.perf_counter() - started
        self._finish(StepResult(step.name, "cached", seconds, "", summary))
        return True

    def _blocked(self, step: Step) -> str:
        bad = ("failed", "skipped", "stopped")
        missing = [n for n in step.needs if self.results[n].status in bad]
        return f"needs {missing[0]}" if missing else ""

    def _finish(self, result: StepResult) -> None:
        with self._lock:
            self.results[result.name] = result
        self.console.result(result)

    @contextlib.contextmanager
    def _turn(self, step: Step) -> Iterator[None]:
        """A place among the running: for whom the most waits, once one is free."""
        with self._places:
            self._waiting.add(step.name)
            self._settled = time.monotonic() + _SETTLE_SECONDS
            while not self._stopped and not self._may_start(step.name):
                self._places.wait(_SETTLE_SECONDS / 2)  # a signal wakes nobody
            self._waiting.discard(step.name)
            self._busy += 1
        try:
            yield
        finally:
            with self._places:
                self._busy -= 1
                self._settled = time.monotonic() + _SETTLE_SECONDS

    def _may_start(self, name: str) -> bool:
        if self._busy >= self.jobs or time.monotonic() < self._settled:
            return False
        return name == max(self._waiting, key=lambda one: (self._ranks.get(one, 0.0), one))

    def _execute(self, step: Step) -> None:
        with self._turn(step):
            self._run_now(step)

    def _run_now(self, step: Step) -> None:
        started = time.perf_counter()

        def done(status: Status, reason: str = "", summary: str = "") -> None:
            elapsed = time.perf_counter() - started
            self._finish(StepResult(step.name, status, elapsed, reason, summary))

        blocked = self._blocked(step)
        if self._stopped:  # before it began: one line about each would bury what was stopped
            with self._lock:
                self.results[step.name] = StepResult(step.name, "stopped", 0.0, "interrupted")
            return None
        if blocked:
            return done("skipped", blocked)
        inputs, why = self._pending[step.name]
        if not inputs:
            return done("failed", why)

        process = _Process(
            step.task,
            step.arguments,
            lambda text: self.console.progress(step.name, time.perf_counter() - started, text),
            self._echo(step),
            worker_environment(self.folder),
            self.worker,
        )
        with self._lock:
            self._running[step.name] = process
        try:
            code, answer, error = process.run()
        except OSError as problem:
            code, answer, error = 1, {}, str(problem)
        finally:
            with self._lock:
                self._running.pop(step.name, None)
        if self._stopped and code != 0:
            return done("stopped", "interrupted; the last good result stays")
        log = self.folder / "failed" / f"{step.slug}.log"
        outputs = [*step.outputs, *(Path(name) for name in answer.get("outputs", []))]
        absent = [path for path in outputs if not path.exists()]
        if code == 0 and absent:
            code, error = 1, f"did not make {absent[0]}"
        if code != 0:
            write_whole(log, "\n".join([*process.log, error, ""]))
            where = "" if answer.get("told") else f" (log: {_relative(log)})"
            return done("failed", (error or f"ended with status {code}") + where)
        log.unlink(missing_ok=True)
        state = {
            "inputs": inputs,
            "outputs": {self._key(path): self.hashes.of(path) for path in outputs},
            "summary": answer.get("summary", ""),
        }
        write_whole(
            self.folder / "state" / f"{step.slug}.json",
            json.dumps(state, indent=1, sort_keys=True),
        )
        done("ran", why, str(answer.get("summary", "")))

    def _echo(self, step: Step) -> Callable[[str], None]:
        if self.console.verbosity != "verbose":
            return lambda text: None
        return lambda text: self.console.line(f"    {step.name} | {text}")

    # --- all steps ---------------------------------------------------------------------------

    def all(self, steps: Sequence[Step]) -> bool:
        """Run what must run; True if every step is good.

        Interrupting (Ctrl-C) ends the running steps, keeps the last good result of each, and
        raises KeyboardInterrupt.
        """
        from doit.api import run_tasks
        from doit.cmd_base import TaskLoader2
        from doit.task import dict_to_task

        run = self
        self._ranks = ranks(steps)

        class Loader(TaskLoader2):  # type: ignore[misc]
            """Gives doit the steps as tasks; nothing is read from disk."""

            def setup(self, opt_values: Any) -> None:
                pass

            def load_doit_config(self) -> dict[str, Any]:
                return {}

            def load_tasks(self, cmd: Any, pos_args: Any) -> list[Any]:
                return [dict_to_task(run._doit_task(step)) for step in steps]

        settings = {
            "GLOBAL": {
                "backend": "json",
                "dep_file": str(self.folder / "state" / ".doit.json"),
                "reporter": "zero",
                # A thread a step, most of which wait: `_turn` says whose turn it is.
                "num_process": len(steps),
                "par_type": "thread",
                "continue": True,
                "verbosity": 2,
            }
        }
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        (self.folder / "state" / ".doit.json").unlink(missing_ok=True)
        with self._interruptible():
            status = run_tasks(Loader(), {step.name: {} for step in steps}, settings)
        self.hashes.save()
        if self._stopped:
            raise KeyboardInterrupt
        good = all(result.status in ("ran", "cached") for result in self.results.values())
        if status not in (0, None) and good:
            raise RuntimeError("the task runner failed; run again with --verbose")
        return good and len(self.results) == len(steps)

    def _doit_task(self, step: Step) -> dict[str, Any]:
        return {
            "name": step.name,
            "actions": [(self._execute, [step])],
            "uptodate": [lambda task, values: self._up_to_date(step)],
            "task_dep": [*step.needs, *step.after],
            "io": {"capture": False},
        }

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(signum: int, frame: Any) -> None:
            if not self._stopped:
                self._stopped = True
                self.console.line("stopping; finished steps are kept")
                for process in list(self._running.values()):
                    process.stop()
                timer = threading.Timer(_STOP_GRACE_SECONDS, stop, (signum, None))
                timer.daemon = True
                timer.start()
            else:
                for process in list(self._running.values()):
                    process.stop(force=True)

        previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def worker_environment(folder: Path) -> dict[str, str]:
    """Environment of a step's process: one thread in numerical libraries, nothing of the user's.

    One thread, because two steps run side by side, and because sums must come out the same on
    machines with different numbers of cores.
    """
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    # Steps and kernels use the package that runs the build, wherever they are started.
    path = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    environment["PYTHONHASHSEED"] = "0"
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONUTF8"] = "1"
    environment["IPYTHONDIR"] = str(folder / "ipython")
    return environment


def _relative(path: Path) -> Path:
    with contextlib.suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path
