"""Text files: their encoding found, their rows read as text in chunks.

UTF-8 (with or without a byte order mark), UTF-16 and, where neither fits, Windows-1252, which is
noted. A row with more or fewer fields than the header is left out and counted. Values that stand
for 'nothing' in exports of common tools are empty.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from sos_analysis.errors import RecordsError

NOTHING = ("", "NULL", "null", "Null", "NA", "N/A", "#N/A", "n/a", "NaN", "nan", "None", ".")
DELIMITERS = ",;\t|"
_CHUNK = 1 << 20
_BLOCK = 8 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass
class TextFile:
    """A delimited file, its header read.

    Attributes
    ----------
    path, encoding, delimiter : how it is read.
    columns : names in its header, without surrounding space.
    guessed : the encoding is not marked and is not UTF-8.
    ragged : rows left out so far for a wrong number of fields; `first_ragged` the first of them.
    unended : the last line has no end; the file may be cut short.
    """

    path: Path
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    guessed: bool = False
    unended: bool = False
    ragged: int = 0
    first_ragged: int = 0
    _seen: int = field(default=0, repr=False)


def open_binary(path: Path) -> IO[bytes]:
    """Open a file, through gzip if its name ends in .gz."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def read_header(path: Path) -> TextFile:
    """Find encoding, delimiter and header of a delimited file.

    Raises
    ------
    RecordsError : it cannot be read as text, or holds no header.
    """
    encoding, guessed, unended = _encoding(path)
    try:
        with open_binary(path) as raw, io.TextIOWrapper(raw, encoding, newline="") as text:
            first = text.readline(1 << 20)
    except (OSError, EOFError, UnicodeError) as error:
        raise RecordsError(
            f"{path}: cannot be read as text ({_brief(error)}). Save it as CSV in UTF-8."
        ) from error
    if not first.strip():
        raise RecordsError(f"{path}: has no header line. Its first line must name the columns.")
    delimiter = max(DELIMITERS, key=first.count)
    try:
        names = next(csv.reader([first], delimiter=delimiter))
    except (csv.Error, StopIteration) as error:
        raise RecordsError(f"{path}: its header line cannot be read ({error}).") from error
    return TextFile(
        path, encoding, delimiter, tuple(n.strip() for n in names), guessed, unended=unended
    )


def _encoding(path: Path) -> tuple[str, bool, bool]:
    """Encoding, whether it is a guess, and whether the last line has no end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    last = b"\n"
    try:
        with open_binary(path) as raw:
            start = raw.read(4096)
            for mark, name in _MARKS:
                if start.startswith(mark):
                    return name, False, False
            if b"\0" in start:
                even, odd = start[::2].count(0), start[1::2].count(0)
                return ("utf-16-be" if even > odd else "utf-16-le"), True, False
            chunk, valid = start, True
            while chunk:
                last = chunk[-1:]
                if valid:
                    try:
                        decoder.decode(chunk)
                    except UnicodeDecodeError:
                        valid = False
                chunk = raw.read(_CHUNK)
            if valid:
                try:
                    decoder.decode(b"", final=True)
                except UnicodeDecodeError:
                    valid = False
    except (OSError, EOFError) as error:
        raise RecordsError(
            f"{path}: cannot be read to its end ({_brief(error)}). Restore it from its source."
        ) from error
    return ("utf-8" if valid else "cp1252"), not valid, last not in (b"\n", b"\r")


def chunks(file: TextFile, wanted: Sequence[str]) -> Iterator[tuple[dict[str, pa.Array], range]]:
    """Rows of the file, in chunks, as text.

    Parameters
    ----------
    file : from `read_header`; its counts of ragged rows are kept up.
    wanted : names of columns, as in the header.

    Yields
    ------
    Arrays by column, and the numbers of the rows (the header is row 1).

    Raises
    ------
    RecordsError : the file breaks off, is not in its encoding, or a quotation mark is not closed.
    """
    try:
        with open_binary(file.path) as raw:
            yield from _chunks(file, raw, wanted)
    except (pa.ArrowInvalid, UnicodeError, OSError, EOFError) as error:
        raise RecordsError(
            f"{file.path}: cannot be read after row {file._seen + 1} ({_brief(error)}). It may be "
            "cut short, in another encoding, or have a quotation mark that is not closed; "
            "export it again as CSV in UTF-8."
        ) from error


def _chunks(
    file: TextFile, raw: IO[bytes], wanted: Sequence[str]
) -> Iterator[tuple[dict[str, pa.Array], range]]:
    keys = [f"c{i}" for i in range(len(file.columns))]
    index = {name: keys[file.columns.index(name)] for name in wanted}
    stream = raw
    if not file.encoding.startswith("utf-8"):
        stream = cast("IO[bytes]", _Recoded(raw, file.encoding))
    elif file.encoding == "utf-8-sig":
        raw.read(3)
    header = stream.readline()
    if not header.endswith((b"\n", b"\r")):  # nothing but a header
        return
    reader = None
    try:
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(column_names=keys, block_size=_BLOCK, use_threads=False),
            parse_options=pacsv.ParseOptions(
                delimiter=file.delimiter,
                newlines_in_values=True,
                invalid_row_handler=_counting(file),
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(keys, pa.string()),
                null_values=list(NOTHING),
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "empty" in str(error).lower():
            return
        raise
    for batch in reader:
        for column in batch.columns:
            _refuse_swallowed(column, file)
        start = file._seen + 2
        file._seen += batch.num_rows
        yield (
            {name: batch.column(key) for name, key in index.items()},
            range(start, start + batch.num_rows),
        )


def _counting(file: TextFile) -> Callable[[Any], str]:
    def skip(row: Any) -> str:
        if "\n" in (row.text or "").strip():
            # What an unclosed quotation mark swallowed would be lost without a word.
            return "error"
        file.ragged += 1
        file.first_ragged = file.first_ragged or (row.number or file._seen + 1) + 1
        return "skip"

    return skip


def _refuse_swallowed(column: pa.Array, file: TextFile) -> None:
    """Refuse a value that holds whole rows: the mark of a quotation mark that is not closed."""
    broken = pc.match_substring(column, "\n")
    if not pc.any(broken).as_py():
        return
    fields = len(file.columns) - 1
    for value in column.filter(broken).to_pylist():
        if any(line.count(file.delimiter) >= max(fields, 1) for line in value.split("\n")[1:]):
            raise pa.ArrowInvalid("a value holds whole rows")


class _Recoded(io.RawIOBase):
    """A stream in another encoding, as UTF-8."""

    def __init__(self, raw: IO[bytes], encoding: str) -> None:
        self._text = io.TextIOWrapper(cast("Any", raw), encoding, newline="")
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            made, self._left = self._left + self._text.read().encode(), b""
            return made
        while len(self._left) < size:
            more = self._text.read(_CHUNK)
            if not more:
                break
            self._left += more.encode()
        made, self._left = self._left[:size], self._left[size:]
        return made

    def readline(self, size: int | None = -1) -> bytes:
        return self._text.readline().encode() if not self._left else super().readline(size)


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    # Parsers quote the row they stumble over: say no more than what they found.
    return lines[0].split(": ")[0][:80] if lines else type(error).__name__
