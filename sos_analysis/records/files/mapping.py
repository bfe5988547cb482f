"""`extract.toml`, beside the records: names that differ, and the authority where files name none.

    authority = "801"                      # of returns that carry no code (SSDA903)
    database = "postgres://..."            # tables there are read too
    [columns]                              # name this project knows = name in your files
    CIN_ReferralDate = "ReferralReceived"
    [files]                                # kind = name of your files, {year} for the year
    cin = "CIN_Census_{year}.csv"

Years in names of files are the first year of the return (2018 for 2018/19).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sos_analysis.errors import RecordsError

NAME = "extract.toml"
_KEYS = ("authority", "database", "columns", "files")


@dataclass(frozen=True)
class Mapped:
    """What the mapping file says; all empty where there is none.

    Attributes
    ----------
    authority : code for files that carry none.
    columns : known name in small letters -> name in the files.
    files : kind of file -> pattern of its name, with `{year}`.
    database : address whose tables are read too.
    source : the file, for messages.
    """

    authority: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    source: Path | None = None

    def kind_of(self, name: str) -> tuple[str, int | None] | None:
        """Kind and year of a file the mapping names; none if it names no such file."""
        for kind, pattern in self.files.items():
            shape = re.escape(pattern).replace(re.escape("{year}"), r"(\d{4})")
            if m := re.fullmatch(shape, name, re.IGNORECASE):
                return kind, int(m[1]) if m.groups() else None
        return None


def read_mapping(path: Path, *, kinds: tuple[str, ...], known: Mapping[str, str]) -> Mapped:
    """Read a mapping file.

    Parameters
    ----------
    path : of the file; where it does not exist, nothing is mapped.
    kinds : kinds of files it may name.
    known : columns it may name, small letters -> as written.

    Raises
    ------
    RecordsError : it is no valid TOML, or names a key, kind or column this project does not know;
        the message suggests the nearest.
    """
    from sos_analysis.records.files.names import near

    if not path.is_file():
        return Mapped()
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise RecordsError(f"{path}: is no valid TOML in UTF-8 ({error}). Correct it.") from error
    for key in told:
        if key not in _KEYS:
            raise RecordsError(
                f"{path}: key {key!r} is unknown; allowed: {', '.join(_KEYS)}.{near(key, _KEYS)}"
            )
    tables: dict[str, dict[str, str]] = {}
    for key, allowed in (("columns", tuple(known.values())), ("files", kinds)):
        table = told.get(key, {})
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise RecordsError(f'{path}: [{key}] must hold lines such as {allowed[0]} = "name".')
        small = {a.lower() for a in allowed}
        for name in table:
            if name.lower() not in small:
                raise RecordsError(
                    f"{path}: [{key}] {name!r} is no name this project knows."
                    f"{near(name, allowed)} Allowed: {', '.join(allowed)}."
                )
        tables[key] = {name.lower(): value for name, value in table.items()}
    for key, such in (("authority", "801"), ("database", "postgres://server/name")):
        value = told.get(key, such)
        if not (isinstance(value, str) and value.strip()):
            raise RecordsError(f'{path}: {key} must be text in quotes, such as "{such}".')
    return Mapped(
        told.get("authority"), tables["columns"], tables["files"], told.get("database"), path
    )
