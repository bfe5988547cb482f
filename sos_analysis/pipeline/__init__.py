"""The build: records to cells to results to executed notebooks to pages.

This module says which steps there are and what each rests on; `steps` runs them, `work` does
them. A step's inputs name the code it needs and no more, so that a change in estimation leaves
the extract alone and a change in prose rebuilds pages only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sos_analysis.errors import ParameterError, RecordsError
from sos_analysis.pipeline.steps import Console, Run, Step, Verbosity, one_build
from sos_analysis.sources import ROOT, code_hash, versions
from sos_analysis.workspace import CELL_MODULES, DATA, RELEASED_MARK, RESULTS, extract_hash

BUILD = ROOT / "_build"
SITE = BUILD / "html"
TEMPLATES = ROOT / "notebooks"
EXECUTED = ROOT / "book" / "chapters"
DOWNLOADS = ROOT / "book" / "_extra" / "downloads"

#: A result that the page on data shows; it has no notebook.
ENGLAND = "made_up_england"
#: Results that the page on which readers choose shows; see `chapters.explore`.
EXPLORE_PUBLIC, EXPLORE_EXAMPLE = "explore_public", "explore_example"
CURVES = "specification curves"
_ENGINE = ("duckdb", "ibis-framework", "pyarrow", "numpy", "pandas", "holidays")
_ESTIMATION = ("numpy", "pandas", "scipy", "statsmodels", "linearmodels", "formulaic", "plotly")
_NOTEBOOK = ("papermill", "nbclient", "nbformat", "ipykernel")
_BOOK = (
    *("jupyter-book", "sphinx", "myst-nb", "myst-parser", "sphinx-book-theme"),
    *("pydata-sphinx-theme", "sphinx-design", "sphinxcontrib-bibtex", "plotly"),
)


#: Seconds that steps take on all of England, roughly; they decide what goes first, and no more.
_COSTS = {"extract": 30, "cells": 40, "england": 10, "curves": 25, "estimate": 7, "book": 15}
_CHAPTER_COSTS = {"robustness": 30, "addendum_icpc": 14}
_OTHER_COST = 4.0


@dataclass(frozen=True)
class Options:
    """What to build, and how.

    Attributes
    ----------
    study
        Id of a study in `data/study`, or the path of a study file.
    extract
        Folder of the records; empty for the study's own synthetic extract, made when needed.
    only
        Chapters to run; empty for the whole book.
    jobs
        Steps running at the same time.
    scale, seed
        Size of the synthetic extract (1 is England) and its seed (the study's own if None).
    public_data
        Folder of the public statistics; empty for `data/public`, or else the released results.
    from_release
        Folder of a release: the book is made of its results, and no record is read.
    """

    study: str = "synthetic"
    extract: str = ""
    only: tuple[str, ...] = ()
    jobs: int = 2
    scale: float = 1.0
    seed: int | None = None
    public_data: str = ""
    from_release: str = ""
    verbosity: Verbosity = "normal"


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve()) if path else ""


class _Plan:
    """Collects the steps of one build."""

    def __init__(self, options: Options, run: Run) -> None:
        from sos_analysis.chapters import CHAPTERS
        from sos_analysis.study import load_study

        self.options = options
        self.run = run
        self.specs = CHAPTERS
        unknown = [name for name in options.only if name not in CHAPTERS]
        if unknown:
            raise ParameterError(
                f"there is no chapter {unknown[0]!r}; the chapters are: {', '.join(CHAPTERS)}"
            )
        study_file = Path(options.study)
        self.study_argument = _absolute(options.study) if study_file.suffix else options.study
        self.study = load_study(self.study_argument)
        self.extract_argument = _absolute(options.extract)
        self.chapters = list(options.only) or list(CHAPTERS)
        self.steps: list[Step] = []

    # --- inputs shared by steps ---------------------------------------------------------------

    def ordered(self) -> list[Step]:
        """The steps, each with what it costs."""
        return [replace(step, cost=float(_cost(step))) for step in self.steps]

    def _files(self, *folders: Path) -> dict[str, str]:
        """Hashes of all files in folders, named from the root."""
        found = {}
        for folder in folders:
            inside = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
            if folder.is_file():
                found[inside.as_posix()] = self.run.hashes.of(folder)
                continue
            for name, value in self.run.hashes.of_tree(folder).items():
                found[f"{inside.as_posix()}/{name}"] = value
        return found

    def extract_folder(self) -> Path:
        """Folder of the records: the one given, or the study's own."""
        return Path(self.extract_argument or DATA / "extract" / self.study.id)

    @property
    def records(self) -> dict[str, str]:
        """Which study and which records: what a step on them is told."""
        return {"study": self.study_argument, "extract": self.extract_argument}

    # --- steps --------------------------------------------------------------------------------

    def extract(self, out: Path | None = None) -> str | None:
        """Make the records, unless they are given."""
        folder = out or self.extract_folder()
        if self.extract_argument:
            if not folder.exists():
                raise RecordsError(f"no extract at {folder}; give the folder that holds the files")
            return None
        if self.study.origin != "synthetic":
            raise RecordsError(
                f"the study {self.study.id!r} is on restricted records: "
                "say where they are with --extract FOLDER"
            )
        truth = folder.with_name(f"{folder.name}-truth") if out else DATA / "truth" / self.study.id
        settings = {"scale": repr(self.options.scale), "seed": repr(self.options.seed)}
        self.steps.append(
            Step(
                f"extract {folder}" if out else "extract",
                "extract",
                {
                    "study": self.study_argument,
                    "out": str(folder),
                    "truth": str(truth),
                    "scale": self.options.scale,
                    "seed": self.options.seed,
                },
                lambda: {
                    "study": self.study.hash,
                    "code": code_hash("records.synthetic"),
                    **settings,
                    **self._files(DATA / "calibration"),
                    **versions("numpy", "pandas", "pyarrow", "duckdb"),
                },
                (folder / "manifest.json",),
            )
        )
        return "extract"

    def cells(self, outcomes: tuple[str, ...]) -> str:
        """Collapse the records for the outcomes that the chapters need."""
        first = self.extract()
        self.steps.append(
            Step(
                "cells",
                "cells",
                {**self.records, "outcomes": list(outcomes)},
                lambda: {
                    "study": self.study.hash,
                    "extract": extract_hash(self.extract_folder()),
                    "code": code_hash(*CELL_MODULES, "workspace"),
                    "outcomes": ",".join(outcomes),
                    **versions(*_ENGINE),
                },
                needs=(first,) if first else (),
            )
        )
        return "cells"

    def curves(self, cells: str, outcomes: tuple[str, ...]) -> str:
        """The specification curve of each outcome, which several results show."""
        self.steps.append(
            Step(
                CURVES,
                "curves",
                {**self.records, "outcomes": list(outcomes)},
                lambda: {
                    "study": self.study.hash,
                    "extract": extract_hash(self.extract_folder()),
                    "cells": self.run.made(cells),
                    "code": code_hash("chapters.kept_curve"),
                    "outcomes": ",".join(outcomes),
                    **self._files(DATA / "specifications"),
                    **versions("numpy", "pandas", "scipy"),
                },
                needs=(cells,),
            )
        )
        return CURVES

    def facts(self) -> str:
        """Published findings and design quantities."""
        out = RESULTS / "facts.json"
        self.steps.append(
            Step(
                "facts",
                "facts",
                {"out": str(out), "study": self.study_argument},
                lambda: {
                    "study": self.study.hash,
                    "code": code_hash("chapters.reference"),
                    **self._files(DATA / "published", DATA / "programme", DATA / "released"),
                },
                (out,),
            )
        )
        return "facts"

    def england(self, extract: str | None) -> str | None:
        """The made-up extract against its targets; none where records are real."""
        made_here = extract or (self.extract_folder() / "manifest.json").is_file()
        if self.study.origin != "synthetic" or not made_here:
            return None
        out = RESULTS / f"{ENGLAND}.json"
        self.steps.append(
            Step(
                "made-up England",
                "england",
                {"out": str(out), **self.records},
                lambda: {
                    "study": self.study.hash,
                    "extract": extract_hash(self.extract_folder()),
                    "code": code_hash("chapters.england"),
                    **self._files(DATA / "calibration"),
                    **versions("duckdb"),
                },
                (out,),
                needs=(extract,) if extract else (),
            )
        )
        return "made-up England"

    def unpack(self) -> str:
        """Take the results of a release, after each file was compared with its checksum."""
        from sos_analysis.pipeline.release import check

        folder = Path(_absolute(self.options.from_release))
        found = check(folder)  # before anything is changed
        lacking = [name for name in self.chapters if name not in found]
        if lacking:
            raise ParameterError(
                f"the release has no chapter {lacking[0]!r}; it has: {', '.join(found)}"
            )
        self.steps.append(
            Step(
                "results of the release",
                "unpack",
                {"release": str(folder), "out": str(RESULTS)},
                lambda: self._files(folder),
                tuple(RESULTS / f"{name}.json" for name in found),
            )
        )
        return "results of the release"

    def explore(self, curves: str) -> list[str]:
        """Every combination of choices, on public statistics and on the records at hand."""
        public = Path(self.options.public_data or DATA / "public")
        made = []
        for name, arguments, needs in (
            (EXPLORE_PUBLIC, {"public_data": _absolute(self.options.public_data)}, None),
            (EXPLORE_EXAMPLE, self.records, curves),
        ):
            out = RESULTS / f"{name}.json"

            def inputs(needs: str | None = needs) -> Mapping[str, str]:
                found = {
                    "code": code_hash("chapters.explore"),
                    **versions(*_ESTIMATION, *_ENGINE),
                }
                if needs is None:
                    return found | self._files(DATA / "released", DATA / "programme", public)
                return found | {
                    "study": self.study.hash,
                    "extract": extract_hash(self.extract_folder()),
                    "curves": self.run.made(needs),
                    **self._files(DATA / "specifications"),
                }

            step = f"results {name}"
            self.steps.append(
                Step(
                    step,
                    name,
                    {"out": str(out), **arguments},
                    inputs,
                    (out,),
                    needs=(needs,) if needs else (),
                )
            )
            made.append(step)
        return made

    def room(self, name: str) -> str:
        """Module that computes a chapter."""
        return f"chapters.{self.specs[name].room}"

    def parameters(self, name: str) -> dict[str, Any]:
        """Parameters of a chapter that differ from its defaults."""
        if self.options.from_release:
            return self._released_parameters(name)
        given = {**self.records, "public_data": _absolute(self.options.public_data)}
        known = self.specs[name].parameters
        return {
            key: value
            for key, value in given.items()
            if key in known and value != _default(known[key])
        }

    def _released_parameters(self, name: str) -> dict[str, Any]:
        """Those the released result was made with; where its records lay does not count."""
        from sos_analysis.results import ChapterResult

        path = Path(self.options.from_release) / "results" / f"{name}.json"
        known = self.specs[name].parameters
        made = ChapterResult.load(path).parameters
        return {
            key: value
            for key, value in made.items()
            if key in known
            and key not in ("study", "extract", "public_data")
            and value != _default(known[key])
        }

    def curves_of(self, name: str) -> tuple[str, ...]:
        """Outcomes whose curves a chapter shows: a question only that of a result to be rated."""
        spec = self.specs[name]
        if name == "robustness":
            return spec.outcomes
        rated = self.study.origin != "synthetic" and spec.room == "question"
        return spec.outcomes[:1] if rated else ()

    def estimate(self, name: str, cells: str | None, curves: str | None) -> str:
        """Compute a chapter."""
        out = RESULTS / f"{name}.json"
        parameters = self.parameters(name)
        public = Path(self.options.public_data or DATA / "public")
        takes_public = "public_data" in self.specs[name].parameters

        def inputs() -> Mapping[str, str]:
            found = {
                "study": self.study.hash,
                "code": code_hash(self.room(name)),
                "parameters": json.dumps(parameters, sort_keys=True),
                **self._files(DATA / "published", DATA / "programme", DATA / "released"),
                **self._files(DATA / "specifications"),
                **versions(*_ESTIMATION, *_ENGINE),
            }
            if cells:
                found["extract"] = extract_hash(self.extract_folder())
                found["cells"] = self.run.made(cells)
            if curves:
                found["curves"] = self.run.made(curves)
            if takes_public:
                found |= self._files(public.resolve())
            return found

        step = f"results {name}"
        self.steps.append(
            Step(
                step,
                "estimate",
                {"chapter": name, "parameters": parameters, "out": str(out)},
                inputs,
                (out,),
                needs=tuple(filter(None, (cells, curves))),
            )
        )
        return step

    def notebook(self, name: str, estimate: str) -> str:
        """Execute a chapter's notebook."""
        template = TEMPLATES / f"{name}.ipynb"
        out = EXECUTED / f"{name}.ipynb"
        result = RESULTS / f"{name}.json"
        parameters = self.parameters(name)
        step = f"notebook {name}"
        self.steps.append(
            Step(
                step,
                "notebook",
                {
                    "template": str(template),
                    "out": str(out),
                    "failed": str(BUILD / "failed" / f"{name}.ipynb"),
                    "parameters": parameters,
                    "result": str(result),
                },
                lambda: {
                    "template": self.run.hashes.of(template),
                    "result": self.run.hashes.of(result),
                    "code": code_hash("pipeline.notebooks", self.room(name)),
                    "parameters": json.dumps(parameters, sort_keys=True),
                    **versions(*_NOTEBOOK),
                },
                (out,),
                needs=(estimate,),
            )
        )
        return step

    def downloads(self, after: tuple[str, ...]) -> str:
        """Files to take away."""
        names = [*self.specs]
        if self.options.from_release or any(step.task == "england" for step in self.steps):
            names.append(ENGLAND)
        # Those of an earlier build too: a build of one chapter does not make them anew.
        names += [EXPLORE_PUBLIC, EXPLORE_EXAMPLE]
        self.steps.append(
            Step(
                "downloads",
                "downloads",
                {
                    "results": str(RESULTS),
                    "chapters": names,
                    "notebooks": str(EXECUTED),
                    "out": str(DOWNLOADS),
                },
                lambda: {
                    "code": code_hash("results", "pipeline.work", "pipeline.takeaway"),
                    "base": os.environ.get("SOS_BASE_URL", ""),
                    "day": os.environ.get("SOURCE_DATE_EPOCH", ""),
                    "citation": self.run.hashes.of(ROOT / "CITATION.cff"),
                    **self._files(RESULTS, EXECUTED),
                },
                after=after,
            )
        )
        return "downloads"

    def book(self, after: tuple[str, ...]) -> str:
        """Build the pages."""
        self.steps.append(
            Step(
                "book",
                "book",
                {"out": str(SITE), "work": str(BUILD / "site")},
                lambda: {
                    "code": code_hash(
                        *("results", "pipeline.work", "pipeline.takeaway"),
                        *("pipeline.explore_payload", "messages", "guidance", "plan"),
                    ),
                    **self._files(DATA / "guidance", DATA / "study" / "plan.toml"),
                    "base": os.environ.get("SOS_BASE_URL", ""),
                    "citation": self.run.hashes.of(ROOT / "CITATION.cff"),
                    **{
                        name: value
                        for name, value in self._files(
                            ROOT / "book", RESULTS, ROOT / "_config.yml", ROOT / "_toc.yml"
                        ).items()
                        if "__pycache__" not in name
                    },
                    **versions(*_BOOK),
                },
                (SITE / "index.html",),
                after=after,
            )
        )
        return "book"


def _cost(step: Step) -> float:
    of_task = _COSTS.get(step.task, _OTHER_COST)
    return _CHAPTER_COSTS.get(str(step.arguments.get("chapter")), of_task)


def _default(parameter: Any) -> Any:
    """Default of a parameter, held as (type, default, help)."""
    return parameter[1]


def plan(options: Options, run: Run) -> list[Step]:
    """Steps of a build in an order in which they could run."""
    made = _Plan(options, run)
    if options.from_release:
        first = made.unpack()
        last = [first, *(made.notebook(name, first) for name in made.chapters)]
        if _all_chapters(made):
            last.append(made.downloads(tuple(last)))
            made.book(tuple(last))
        return made.ordered()
    (RESULTS / RELEASED_MARK).unlink(missing_ok=True)
    facts = made.facts()
    wanted = {outcome: None for name in made.chapters for outcome in made.specs[name].outcomes}
    cells = made.cells(tuple(wanted)) if wanted else None
    england = made.england("extract" if cells and not made.extract_argument else None)
    last = [facts, *([england] if england else [])]
    of_curves = {outcome: None for name in made.chapters for outcome in made.curves_of(name)}
    curves = made.curves(cells, tuple(of_curves)) if cells and of_curves else None
    for name in made.chapters:
        needs_cells = cells if made.specs[name].outcomes else None
        shown = curves if made.curves_of(name) else None
        last.append(made.notebook(name, made.estimate(name, needs_cells, shown)))
    if _all_chapters(made):
        last += made.explore(curves) if curves and not options.only else []
        last.append(made.downloads(tuple(last)))
        made.book(tuple(last))
    return made.ordered()


def _all_chapters(made: _Plan) -> bool:
    """Whether the book can be built: each chapter is part of this build, or was built before."""
    return all(
        name in made.chapters or (EXECUTED / f"{name}.ipynb").is_file() for name in made.specs
    )


def build(options: Options, *, tell: Callable[[Console], None] | None = None) -> int:
    """Build what has changed. Gives the exit status: 0, or 1 if a step failed.

    Raises
    ------
    SosError
        If the study, a parameter or the extract is not as it must be.
    KeyboardInterrupt
        If stopped; what was finished is kept and nothing is left half-written.
    """
    console = Console(options.verbosity)
    with one_build(BUILD):
        run = Run(BUILD, console, jobs=options.jobs)
        steps = plan(options, run)
        good = run.all(steps)
    return _conclude(options, run, console, good)


def _conclude(options: Options, run: Run, console: Console, good: bool) -> int:
    ran = [r for r in run.results.values() if r.status == "ran"]
    bad = [r for r in run.results.values() if r.status in ("failed", "skipped")]
    if not ran and good:
        console.say("nothing has changed")
    for result in bad:
        chapter = result.name.partition(" ")[2]
        if result.name.startswith("notebook ") and (EXECUTED / f"{chapter}.ipynb").is_file():
            console.line(f"{chapter}: the last good version stays in the book")
    if "book" not in run.results:
        for name in options.only:
            console.line(f"chapter: {(EXECUTED / f'{name}.ipynb')}")
        console.line("the pages need all chapters: run the build without --only once")
    elif run.results["book"].status in ("ran", "cached"):
        console.line(
            f"{'book' if good else 'book, with what could be built'}: {SITE / 'index.html'}"
        )
    else:
        console.line("the book was not built" + (_stays() if SITE.exists() else ""))
    return 0 if good else 1


def _stays() -> str:
    return f"; the last good one stays at {SITE / 'index.html'}"


def synthesise(
    study: str = "synthetic",
    *,
    out: str = "",
    scale: float = 1.0,
    seed: int | None = None,
    verbosity: Verbosity = "normal",
) -> int:
    """Make the synthetic extract alone; gives the exit status."""
    console = Console(verbosity)
    with one_build(BUILD):
        run = Run(BUILD, console, jobs=1)
        made = _Plan(Options(study=study, scale=scale, seed=seed), run)
        made.extract(Path(_absolute(out)) if out else None)
        good = run.all(made.steps)
    if good:
        console.line(f"extract: {_absolute(out) or made.extract_folder()}")
    return 0 if good else 1
