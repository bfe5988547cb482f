"""``python -m sos_analysis``: few verbs, plain errors.

Exit status: 0 all is well; 1 a step failed, or a number on a page is wrong; 2 the request itself
was wrong (one line on standard error says what, and what is allowed); 130 stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sos_analysis.errors import SosError
from sos_analysis.pipeline.steps import Verbosity
from sos_analysis.refusals import refused_by_system


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 100, not {text}")
    return value


def _jobs(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise argparse.ArgumentTypeError(f"must be from 1 to 64, not {text}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sos_analysis",
        description="Signs of Safety, evaluated again: build the report, or a part of it.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        loudness = made.add_mutually_exclusive_group()
        loudness.add_argument("--quiet", action="store_true", help="say only what went wrong")
        loudness.add_argument("--verbose", action="store_true", help="say everything")
        return made

    def study(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--study",
            default="synthetic",
            metavar="ID|FILE",
            help="study in data/study, or a study file (default: synthetic)",
        )

    def size(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--scale",
            type=_positive,
            default=1.0,
            help="size of the synthetic extract; 1 is all of England (default); below about 0.05 "
            "kinship care has too few cases to be estimated",
        )
        made.add_argument("--seed", type=int, help="seed of the synthetic extract")

    def memory(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--memory-limit",
            default="",
            metavar="SIZE",
            help="of the embedded engine, such as 2GB; beyond it, it uses the disk (default: 4GB)",
        )

    build = verb("build", "build the report; only what has changed is run")
    study(build)
    size(build)
    build.add_argument(
        "--extract", default="", metavar="FOLDER", help="records to use; default: made-up ones"
    )
    build.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CHAPTER",
        help="this chapter and what it needs; may be given more than once",
    )
    build.add_argument(
        "--jobs",
        type=_jobs,
        default=min(2, os.cpu_count() or 1),
        help="steps at the same time (default: 2)",
    )
    build.add_argument(
        "--public-data",
        default="",
        metavar="PATH",
        help="folder or ZIP of public statistics; default: data/public, or else the released "
        "results",
    )

    build.add_argument(
        "--from-release",
        default="",
        metavar="FOLDER",
        help="make the book of a release, without any record",
    )
    memory(build)
    build.add_argument(
        "--engine",
        default="",
        metavar="ADDRESS",
        help="engine for the records: duckdb (default), spark-local, spark://HOST:PORT, or the "
        "address of another Ibis backend",
    )

    synthesise = verb("synthesise", "make the synthetic extract")
    study(synthesise)
    size(synthesise)
    synthesise.add_argument(
        "--out", default="", metavar="FOLDER", help="default: data/extract/<study>"
    )

    synthesise.add_argument(
        "--as",
        dest="kind",
        default="",
        choices=("", "cin-census", "ssda903", "npd"),
        metavar="KIND",
        help="one made-up authority as returns: cin-census, ssda903 or npd",
    )
    synthesise.add_argument("--la", default="004", metavar="CODE", help="with --as (default: 004)")
    synthesise.add_argument(
        "--year",
        type=int,
        action="append",
        default=[],
        metavar="YEAR",
        help="with --as: year of return by its end; may be given more than once (default: all)",
    )

    profile = verb("local-profile", "one authority's outcomes over time, as a page")
    profile.add_argument("path", metavar="PATH", help="folder of the authority's records")
    profile.add_argument("--out", required=True, metavar="FILE", help="HTML file to write")
    study(profile)
    memory(profile)
    profile.add_argument("--la", default="", metavar="CODE", help="needed where there are several")

    check = verb(
        "check-extract",
        "say what records hold, what can be computed from them, and what is wrong with them "
        "(status 0: usable; 1: unreadable, broken, or over 1 in 100 rows of a table left out; "
        "2: no such path)",
    )
    check.add_argument(
        "path", metavar="PATH", help="folder, ZIP, file, or the address of a database"
    )
    check.add_argument("--html", default="", metavar="FILE", help="write a page as well")
    check.add_argument("--la", metavar="CODE", help="authority of files that carry none (SSDA903)")

    fetch = verb("fetch-public", "download the public statistics and check each file")
    fetch.add_argument("--out", default="", metavar="FOLDER", help="default: data/public")
    fetch.add_argument(
        "--release",
        default="",
        metavar="NAME",
        help="a release in data/programme/public_sources.toml, or the path of a file like it",
    )

    validate = verb("validate", "run thousands of made-up data sets through every method")
    study(validate)
    validate.add_argument(
        "--extract", default="", metavar="FOLDER", help="records whose counts to use"
    )
    validate.add_argument("--runs", type=int, help="data sets for each setting (default: 4000)")
    validate.add_argument("--jobs", type=_jobs, default=min(2, os.cpu_count() or 1))
    validate.add_argument(
        "--out", default="", metavar="FILE", help="default: data/released/method_validation.json"
    )

    release = verb("release", "put disclosure-checked results into a folder, with a log")
    release.add_argument("--out", default="release", metavar="FOLDER", help="default: release")
    release.add_argument(
        "--earlier",
        default="",
        metavar="FOLDER",
        help="a release that was cleared before: what both tell together goes to review",
    )

    verify = verb("verify", "compare every number on the built pages with the results")
    verify.add_argument(
        "--site", default="", metavar="FOLDER", help="built pages (default: _build/html)"
    )
    verify.add_argument(
        "--disclosure",
        action="store_true",
        help="look through every file for numbers that come from no safe table, for values of "
        "records, paths and names",
    )
    verify.add_argument(
        "--extract", default="", metavar="FOLDER", help="records whose identifiers to look for"
    )

    pdf = verb("pdf", "print the built pages as one tagged PDF (needs Chromium)")
    pdf.add_argument(
        "--site", default="", metavar="FOLDER", help="built pages (default: _build/html)"
    )
    return parser


def _verbosity(arguments: argparse.Namespace) -> Verbosity:
    if arguments.quiet:
        return "quiet"
    return "verbose" if arguments.verbose else "normal"


def _choose_engine(arguments: argparse.Namespace) -> None:
    """Engine and memory of every step of the build, which run in processes of their own."""
    from sos_analysis.records.engine import ENGINE, MEMORY, checked_limit

    if getattr(arguments, "engine", ""):
        os.environ[ENGINE] = arguments.engine
    if arguments.memory_limit:
        os.environ[MEMORY] = checked_limit(arguments.memory_limit)


def _build(arguments: argparse.Namespace) -> int:
    from sos_analysis.pipeline import Options, build

    if arguments.from_release and (arguments.extract or arguments.public_data):
        raise SosError("--from-release reads no records: leave out --extract and --public-data")
    _choose_engine(arguments)
    return build(
        Options(
            study=arguments.study,
            extract=arguments.extract,
            only=tuple(arguments.only),
            jobs=arguments.jobs,
            scale=arguments.scale,
            seed=arguments.seed,
            public_data=arguments.public_data,
            from_release=arguments.from_release,
            verbosity=_verbosity(arguments),
        )
    )


def _local_profile(arguments: argparse.Namespace) -> int:
    from sos_analysis.local.profile import local_profile
    from sos_analysis.study import load_study

    _choose_engine(arguments)
    path = local_profile(
        Path(arguments.path), Path(arguments.out), load_study(arguments.study), la=arguments.la
    )
    if not arguments.quiet:
        print(f"local profile: {path}")
    return 0


def _synthesise(arguments: argparse.Namespace) -> int:
    if arguments.kind:
        from sos_analysis.records.writing import write_returns
        from sos_analysis.study import load_study
        from sos_analysis.workspace import DATA

        folder = DATA / "returns" / f"{arguments.kind}_{arguments.la}"
        written = write_returns(
            load_study(arguments.study),
            arguments.kind,
            Path(arguments.out) if arguments.out else folder,
            la=arguments.la,
            years=arguments.year,
            scale=arguments.scale,
            seed=arguments.seed,
            progress=print if _verbosity(arguments) == "verbose" else None,
        )
        if not arguments.quiet:
            print(f"made-up returns: {len(written)} files in {arguments.out or folder}")
        return 0
    from sos_analysis.pipeline import synthesise

    return synthesise(
        arguments.study,
        out=arguments.out,
        scale=arguments.scale,
        seed=arguments.seed,
        verbosity=_verbosity(arguments),
    )


def _check_extract(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from sos_analysis.errors import RecordsError
    from sos_analysis.records import inspection, inspection_view
    from sos_analysis.whole_files import check_target

    path = arguments.path
    if not path.strip():
        raise SosError("the path is empty; give the folder, ZIP or file of the records")
    if "://" not in path and not Path(path).exists():
        raise SosError(f"no folder or file {path}; give the folder, ZIP or file of the records")
    if arguments.html:
        check_target(Path(arguments.html))
    try:
        seen = inspection.inspect(path, authority=arguments.la)
    except RecordsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not arguments.quiet:
        inspection_view.show(seen, Console(width=None if sys.stdout.isatty() else 160))
    if arguments.html:
        inspection_view.write_html(seen, Path(arguments.html))
        print(f"page: {arguments.html}")
    return 1 if seen.has_errors else 0


def _validate(arguments: argparse.Namespace) -> int:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # small matrices: threads only get in each other's way
    from sos_analysis import validation
    from sos_analysis.study import load_study

    runs = arguments.runs or validation.LONG
    path = validation.release(
        load_study(arguments.study),
        arguments.extract,
        Path(arguments.out) if arguments.out else validation.RELEASED,
        runs=runs,
        rated=min(runs, validation.RATED_LONG),
        jobs=arguments.jobs,
        progress=(lambda text: None) if arguments.quiet else print,
    )
    print(f"method validation: {path}")
    return 0


def _fetch_public(arguments: argparse.Namespace) -> int:
    from sos_analysis.records.public import fetch_public
    from sos_analysis.workspace import DATA

    quiet = arguments.quiet
    folder = Path(arguments.out) if arguments.out else DATA / "public"
    fetch_public(
        folder, progress=(lambda text: None) if quiet else print, release=arguments.release
    )
    print(f"public statistics: {folder}")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from sos_analysis.pipeline.release import release

    earlier = Path(arguments.earlier) if arguments.earlier else None
    for line in release(Path(arguments.out), earlier=earlier):
        if not arguments.quiet:
            print(line)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from sos_analysis.freshness import stale
    from sos_analysis.pipeline.verify import verify
    from sos_analysis.workspace import RESULTS, ROOT

    site = Path(arguments.site) if arguments.site else ROOT / "_build" / "html"
    if arguments.disclosure:
        return _scan(site, arguments)
    report = verify(site, RESULTS)
    problems = (*report.problems, *(stale(report.bundle) if report.bundle else ()))
    for problem in problems:
        print(f"problem: {problem}")
    if not arguments.quiet:
        print(f"{report.pages} pages, {report.numbers} numbers, {len(problems)} problems")
    return 1 if problems else 0


def _scan(site: Path, arguments: argparse.Namespace) -> int:
    from sos_analysis.pipeline.scan import scan
    from sos_analysis.workspace import RESULTS

    extract = Path(arguments.extract) if arguments.extract else None
    if extract is not None and not extract.is_dir():
        raise SosError(f"no folder {extract}; give the folder that holds the extract's files")
    found = scan(site, RESULTS, extract=extract)
    for problem in found.problems:
        print(f"problem: {problem}")
    if not arguments.quiet:
        looked = ", ".join(f"{n} of channel {c}" for c, n in sorted(found.channels.items()))
        print(f"{found.files} files ({looked}), {len(found.problems)} problems")
    return 1 if found.problems else 0


def _pdf(arguments: argparse.Namespace) -> int:
    from sos_analysis.pipeline.pdf import make_pdf
    from sos_analysis.workspace import ROOT

    site = Path(arguments.site) if arguments.site else ROOT / "_build" / "html"
    for line in make_pdf(ROOT, site):
        if not arguments.quiet:
            print(line)
    if not arguments.quiet:
        print("build again, and the page 'Take away' links it")
    return 0


_VERBS = {
    "build": _build,
    "synthesise": _synthesise,
    "local-profile": _local_profile,
    "check-extract": _check_extract,
    "validate": _validate,
    "fetch-public": _fetch_public,
    "release": _release,
    "verify": _verify,
    "pdf": _pdf,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and give the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return _VERBS[arguments.verb](arguments)
    except SosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {refused_by_system(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing is half-written, the next build goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
