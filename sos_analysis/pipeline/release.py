"""A folder of results fit to leave a secure setting, with a log that an output checker can read.

``results/`` holds the sealed results from which the whole book is built, ``tables/`` the same
tables and charts as CSV, ``release.json`` every output with what it is, the rule, the judgement
and its checksum; ``log.md``, ``log.csv`` and ``summary.html`` say the same for people. Only what
`SafeTable` and `SafeFigure` hold is written. An output that fails stops the release.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sos_analysis import __version__
from sos_analysis.errors import SosError
from sos_analysis.pipeline import release_log
from sos_analysis.pipeline.editions import differences
from sos_analysis.pipeline.release_judge import Output, judge, tables_of
from sos_analysis.pipeline.work import replace_folder
from sos_analysis.results import Bundle, ChapterResult, load_bundle
from sos_analysis.results.history import record
from sos_analysis.workspace import RESULTS

LOG = "release.json"
#: What the release says; kept as data/releases/VERSION.json, the next one is compared with it.
CLAIMS = "claims.json"
SCHEMA = "sos-release"
VERSION = 2


def release(out: Path, results: Path = RESULTS, *, earlier: Path | None = None) -> Iterator[str]:
    """Write the release and yield a line a chapter.

    Parameters
    ----------
    out
        Folder; an earlier release there is replaced as a whole, anything else is refused.
    results
        Folder of the results to release.
    earlier
        A release about the same children that left the setting: what both tell together is in
        the log, for review. Without it, a line says what `out` held before.

    Raises
    ------
    SosError
        If there are no results, a result was changed since it was made, an output fails, or
        `out` holds other files than a release. What is wrong with a failed output is then in the
        log alone, in a folder named as `out` with ``-refused``.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / LOG).is_file())):
        raise SosError(f"{out} is not a release; give a new folder with --out")
    bundle = load_bundle(results)
    before = _bundle(earlier) if earlier is not None else None
    outputs = judge(bundle, before)
    refused = out.with_name(f"{out.name}-refused")
    bad = [o for o in outputs if o.status == "fail"]
    if bad:
        _write({}, outputs, refused, refused=True)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise SosError(
            f"{bad[0].name}: {bad[0].reasons[0]}{more}; nothing was released, the log is "
            f"{refused / 'log.md'}"
        )
    files: dict[str, str] = {}
    for result in bundle:
        own = {f"results/{result.name}.json": result.to_json()}
        own |= {f"tables/{name}": text for name, text in result.csv_files().items()}
        files |= own
        yield f"{result.name}: {result.origin}, {len(own)} files"
    said = json.dumps(record(bundle, __version__), indent=1, ensure_ascii=False)
    files[CLAIMS] = f"{said}\n"
    if earlier is None and (out / LOG).is_file():
        yield _replaced(out, bundle)
    _write(files, outputs, out)
    if (refused / LOG).is_file():
        shutil.rmtree(refused)
    review = sum(o.status == "review" for o in outputs)
    yield (
        f"release: {out}, {len(files)} files, {len(outputs)} outputs, {review} to review; "
        f"for the output checker: {out / 'summary.html'}"
    )


def _write(
    files: dict[str, str], outputs: tuple[Output, ...], out: Path, *, refused: bool = False
) -> None:
    sums = {name: _digest(text) for name, text in files.items()}
    rows = [release_log.row(output, sums) for output in outputs]
    told = {
        "log.csv": release_log.as_csv(rows),
        "log.md": release_log.as_markdown(rows, refused=refused),
        "summary.html": release_log.as_html(rows, refused=refused),
    }
    sums |= {name: _digest(text) for name, text in told.items()}
    log = {
        "schema": SCHEMA,
        "version": VERSION,
        "software": __version__,
        "refused": refused,
        "outputs": rows,
        "files": [{"file": name, "sha256": sums[name]} for name in sorted(sums)],
    }
    text = json.dumps(log, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    staging = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for name, content in {**files, **told, LOG: text}.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8", newline="\n")
        replace_folder(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _bundle(folder: Path) -> Bundle:
    """Results of an earlier release, each with its seal; its rules may have been others."""
    if not (folder / LOG).is_file():
        raise SosError(f"no release at {folder}: it has no {LOG}; name the folder that was cleared")
    return load_bundle(folder / "results")


def _replaced(out: Path, bundle: Bundle) -> str:
    """What the release that is about to be replaced and the new one tell together."""
    told = f"an earlier release exists at {out} and is replaced"
    try:
        found = differences(tables_of(_bundle(out)), tables_of(bundle))
    except SosError:
        return f"{told}; it could not be read, so it was not compared"
    if not found:
        return f"{told}; compared: no count differs by a little"
    return (
        f"{told}; compared: {len(found)} tables, {min(found)} first, show small differences. If "
        "it left the setting, keep it in another folder and name that with --earlier"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check(folder: Path) -> dict[str, ChapterResult]:
    """Results of a release, after every file was compared with its checksum in the log.

    Raises
    ------
    SosError
        The folder is no release of this version; a file is missing, was changed or added; names
        the first.
    """
    path = folder / LOG
    if not path.is_file():
        raise SosError(f"no release at {folder}: it has no {LOG}; make one with the verb release")
    try:
        log = json.loads(path.read_text("utf-8"))
        listed = {entry["file"]: entry["sha256"] for entry in log["files"]}
        schema, version, refused = log["schema"], log["version"], log["refused"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SosError(f"{path}: not the log of a release ({error})") from error
    if schema != SCHEMA or version != VERSION or refused:
        raise SosError(f"{path}: not a release of version {VERSION}; make the release again")
    remedy = "ask its sender for it again"
    found = {}
    for place in sorted(folder.rglob("*")):
        name = place.relative_to(folder).as_posix()
        if place.is_symlink():  # what it leads to can change after it was looked at
            raise SosError(f"{folder}: {name} is a link; {remedy}")
        if place.is_file() and name != LOG:
            found[name] = place
    for name in sorted({*listed, *found}):
        if name not in found:
            raise SosError(f"{folder}: {name} is missing; {remedy}")
        if name not in listed:
            raise SosError(f"{folder}: {name} is not part of the release; {remedy}")
        if hashlib.sha256(found[name].read_bytes()).hexdigest() != listed[name]:
            raise SosError(f"{folder}: {name} was changed since the release was made; {remedy}")
    bundle = load_bundle(folder / "results")
    # The checksums are in the folder too, so someone who can change one can change the other.
    bad = [o for o in judge(bundle) if o.status == "fail"]
    if bad:
        raise SosError(f"{folder}: {bad[0].name}: {bad[0].reasons[0]}; {remedy}")
    return dict(bundle.chapters)
