"""A folder of results fit to leave a secure setting: safe tables, sealed results, and a log.

Only what `SafeTable` and `SafeFigure` hold is written, and only from results whose seal is whole.
The log names each file with its hash and where it comes from, for whoever checks outputs.
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
from sos_analysis.pipeline.work import replace_folder
from sos_analysis.results import load_bundle
from sos_analysis.results.history import record
from sos_analysis.workspace import RESULTS

LOG = "release.json"
#: What the release says; kept as data/releases/VERSION.json, the next one is compared with it.
CLAIMS = "claims.json"


def release(out: Path, results: Path = RESULTS) -> Iterator[str]:
    """Write the release and yield a line a chapter.

    Parameters
    ----------
    out
        Folder; an earlier release there is replaced as a whole, anything else is refused.
    results
        Folder of the results to release.

    Raises
    ------
    SosError
        If there are no results, a result was changed since it was made, or `out` holds other
        files than a release.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / LOG).is_file())):
        raise SosError(f"{out} is not a release; give a new folder with --out")
    bundle = load_bundle(results)
    staging = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    entries = []
    try:
        for result in bundle:
            files = {f"results/{result.name}.json": result.to_json()}
            files |= {f"tables/{name}": text for name, text in result.csv_files().items()}
            for name, text in files.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
                entries.append(
                    {
                        "file": name,
                        "sha256": hashlib.sha256(text.encode()).hexdigest(),
                        "chapter": result.name,
                        "origin": result.origin,
                        "parameters": dict(result.parameters),
                        "hashes": dict(result.hashes),
                    }
                )
            yield f"{result.name}: {result.origin}, {len(files)} files"
        said = json.dumps(record(bundle, __version__), indent=1, ensure_ascii=False) + "\n"
        (staging / CLAIMS).write_text(said, encoding="utf-8", newline="\n")
        digest = hashlib.sha256(said.encode()).hexdigest()
        entries.append({"file": CLAIMS, "sha256": digest})
        log = {"schema": "sos-release", "version": __version__, "files": entries}
        text = json.dumps(log, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (staging / LOG).write_text(text, encoding="utf-8", newline="\n")
        replace_folder(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    yield f"release: {out}, {len(entries)} files and their log {LOG}"
