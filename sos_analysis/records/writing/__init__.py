"""The way back: a made-up authority as the returns it would send.

CIN Census (XML, a file a year), SSDA903 (CSV files and XML, a folder a year) and the NPD extract
(CSV files, a file a year and kind), so that tests, training and demonstrations need no real record.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from sos_analysis.errors import ParameterError
from sos_analysis.records.returns import cin_layout
from sos_analysis.records.synthetic_rates import YEARS
from sos_analysis.records.synthetic_tables import YEARLY
from sos_analysis.records.writing import ssda903
from sos_analysis.records.writing.cin_census import NOTE, write_census
from sos_analysis.records.writing.history import LAST_YEAR, History, draw_history, returned_years
from sos_analysis.study import Study

KINDS = ("cin-census", "ssda903", "npd")
_README = (
    "{note}\n\nAuthority {la}, years ending 31 March {years}; written as {kind}.\n"
    "Use: tests, training, demonstrations. Never report a figure from these files.\n"
)


def write_returns(
    study: Study,
    kind: str,
    out: Path,
    *,
    la: str = "004",
    years: Sequence[int] = (),
    scale: float = 1.0,
    seed: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write one made-up authority as a kind of return; the folder changes as a whole.

    Parameters
    ----------
    study : a study on made-up data.
    kind : of `KINDS`.
    out : folder of the files; replaced.
    la : code of the made-up authority.
    years : of return, by their ends; none: all that the made-up records cover (NPD: one extract).
    scale, seed : size of the authority, and of the draw.
    progress : called with one line at a time.

    Returns
    -------
    Files written.

    Raises
    ------
    ParameterError : unknown kind, authority or year; or `out` is a file, or a folder that this
        command did not write.
    """
    if kind not in KINDS:
        raise ParameterError(f"as: found {kind!r}; allowed are {', '.join(KINDS)}.")
    first, last = (2009, YEARS[-1]) if kind == "npd" else (cin_layout.FIRST_YEAR, LAST_YEAR)
    wanted = returned_years(years, first, last)
    out = Path(out)
    _may_replace(out)
    say = progress or (lambda line: None)
    say(f"made-up authority {la}")
    history = draw_history(study, la, scale=scale, seed=seed, last=wanted[-1])
    staging = out.with_name(f".{out.name}.part-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        for year in wanted:
            say(f"{kind}, year ending 31 March {year}")
            _WRITERS[kind](history, year, staging)
        if kind == "npd":
            history.tables.care = ssda903.as_returned(history)
            _csv(history.tables.cla_episodes(), staging / "cla_episodes.csv")
        text = _README.format(note=NOTE, la=la, years=", ".join(map(str, wanted)), kind=kind)
        (staging / _MARK).write_text(text, encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.replace(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sorted(path for path in out.rglob("*") if path.is_file())


_MARK = "MADE_UP.txt"


def _may_replace(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / _MARK).is_file()):
        raise ParameterError(
            f"out: {out} holds something else than made-up returns; give a new or empty folder."
        )


def _census(history: History, year: int, folder: Path) -> None:
    with (folder / f"cin_census_{history.la}_{year}.xml").open("w", encoding="utf-8") as file:
        write_census(history, year, file)


def _care(history: History, year: int, folder: Path) -> None:
    rows = ssda903.return_rows(history, year)
    own = folder / f"ssda903_{history.la}_{year}"
    own.mkdir()
    for name in ssda903.FILES:
        with (own / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            ssda903.write_table(rows, name, file)
    (folder / "xml").mkdir(exist_ok=True)
    with (folder / "xml" / f"ssda903_{history.la}_{year}.xml").open("w", encoding="utf-8") as file:
        ssda903.write_xml(rows, NOTE, file)


def _extract(history: History, year: int, folder: Path) -> None:
    for name, years in YEARLY.items():
        if year in years:
            _csv(history.tables.table(name, year), folder / f"{name}_{year - 1}.csv")


def _csv(table: object, path: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, path)


_WRITERS = {"cin-census": _census, "ssda903": _care, "npd": _extract}
