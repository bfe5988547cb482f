"""Read a TOML file key by key, so that whatever is wrong is named by its key.

A `Section` is one table of the file. It refuses unknown keys when it is opened (with the nearest
known name, because a misspelt key is the commonest fault) and refuses missing or mistyped ones
when they are taken.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from sos_analysis.errors import SosError

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Frozen(Mapping[K, V], Generic[K, V]):
    """A mapping that cannot change; unlike ``MappingProxyType`` it can be hashed and pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Frozen({self._items!r})"


def listed(values: Iterable[object]) -> str:
    """Allowed values as words: ``'good', 'outstanding'``."""
    return ", ".join(repr(v) for v in values)


def nearest(found: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` where a known name is near, else nothing."""
    close = difflib.get_close_matches(str(found), list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """A found value and its type, short enough for a message."""
    if isinstance(value, date):
        return f"{value.isoformat()} ({type(value).__name__})"
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the content as canonical JSON; comments do not count."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"no canonical form for {type(value).__name__}")


class Section:
    """One table of a TOML file.

    Parameters
    ----------
    data : the table as parsed.
    where : key path of the table, such as ``pilots[3]``; empty at the top of the file.
    keys : all keys the table may have.
    file : name shown in messages.
    error : the class raised, a subclass of ``SosError``.
    """

    def __init__(
        self,
        data: object,
        where: str,
        keys: Sequence[str],
        *,
        file: str,
        error: type[SosError],
    ) -> None:
        self.where, self.keys, self.file, self.error = where, tuple(keys), file, error
        if not isinstance(data, Mapping):
            raise error(f"{file}: {where}: found {shown(data)}; expected a table with {keys}.")
        self.data = data
        for key in data:
            if key not in self.keys:
                hint = nearest(key, self.keys)
                allowed = f"allowed here: {listed(self.keys)}" if self.keys else "none is allowed"
                self.fail(str(key), f"unknown key; {allowed}.{hint}")

    def path(self, key: str) -> str:
        """Key path of `key`, as messages show it."""
        return f"{self.where}.{key}" if self.where else key

    def fail(self, key: str, message: str) -> None:
        """Raise the error of this file for `key`."""
        raise self.error(f"{self.file}: {self.path(key)}: {message}")

    def refuse(self, key: str, found: object, expected: str) -> None:
        """Raise: what was found and what is allowed."""
        self.fail(key, f"found {shown(found)}; expected {expected}.")

    def raw(self, key: str, expected: str) -> Any:
        """The value as parsed; a missing key is an error that says what to write."""
        if key not in self.data:
            self.fail(key, f"missing; write {expected}.")
        return self.data[key]

    def text(self, key: str, allowed: Sequence[str] | None = None) -> str:
        """A string that is not blank, from `allowed` where that is given."""
        expected = f"one of {listed(allowed)}" if allowed is not None else "a text in quotes"
        value = self.raw(key, expected)
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, value, expected)
        if allowed is not None and value not in allowed:
            found = shown(value)
            self.fail(key, f"found {found}; expected {expected}.{nearest(value, allowed)}")
        return str(value)

    def whole(self, key: str, low: int, high: int | None = None) -> int:
        """A whole number from `low` to `high`, both included."""
        span = f"{low} or more" if high is None else f"from {low} to {high}"
        value = self.raw(key, f"a whole number, {span}")
        bad = isinstance(value, bool) or not isinstance(value, int)
        if bad or value < low or (high is not None and value > high):
            self.refuse(key, value, f"a whole number, {span}")
        return int(value)

    def number(self, key: str, low: float, high: float, *, open_low: bool = False) -> float:
        """A number from `low` to `high`; `open_low` leaves `low` itself out."""
        expected = f"a number {'above' if open_low else 'from'} {low:g}, at most {high:g}"
        value = self.raw(key, expected)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(key, value, expected)
        # Written so that NaN, which compares false with everything, is refused too.
        if not (low <= value <= high) or (open_low and value == low):
            self.refuse(key, value, expected)
        return float(value)

    def flag(self, key: str) -> bool:
        """``true`` or ``false``."""
        value = self.raw(key, "true or false")
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false (no quotes)")
        return bool(value)

    def day(self, key: str) -> date:
        """A date without a time."""
        expected = "a date such as 2015-04-01 (no quotes, no time)"
        value = self.raw(key, expected)
        if isinstance(value, datetime) or not isinstance(value, date):
            self.refuse(key, value, expected)
        return date(value.year, value.month, value.day)

    def texts(
        self, key: str, allowed: Sequence[str] | None = None, *, most: int | None = None
    ) -> tuple[str, ...]:
        """A list of different strings, at most `most`, each from `allowed` where given."""
        kind = f"from {listed(allowed)}" if allowed is not None else "of texts"
        limit = "" if most is None else f" of at most {most}"
        expected = f"a list{limit} {kind}, none twice"
        value = self.raw(key, expected)
        if not isinstance(value, list) or any(not isinstance(v, str) for v in value):
            self.refuse(key, value, expected)
        if len(set(value)) < len(value) or (most is not None and len(value) > most):
            self.refuse(key, value, expected)
        for i, item in enumerate(value):
            if allowed is not None and item not in allowed:
                self.fail(
                    f"{key}[{i}]",
                    f"found {shown(item)}; expected one of {listed(allowed)}."
                    f"{nearest(item, allowed)}",
                )
        return tuple(value)

    def wholes(self, key: str, allowed: Sequence[int]) -> tuple[int, ...]:
        """A list of different whole numbers from `allowed`."""
        expected = f"a list of whole numbers from {listed(allowed)}, none twice"
        value = self.raw(key, expected)
        if (
            not isinstance(value, list)
            or any(isinstance(v, bool) or v not in allowed for v in value)
            or len(set(value)) < len(value)
        ):
            self.refuse(key, value, expected)
        return tuple(int(v) for v in value)

    def section(self, key: str, keys: Sequence[str]) -> Section:
        """The table `key`, opened with its allowed keys."""
        data = self.raw(key, f"a table with {listed(keys)}")
        return Section(data, self.path(key), keys, file=self.file, error=self.error)

    def sections(
        self, key: str, keys: Sequence[str], read: Callable[[Section], T]
    ) -> tuple[T, ...]:
        """Every entry of the array of tables `key`, each read by `read`."""
        data = self.raw(key, f"one or more [[{key}]] tables with {listed(keys)}")
        if not isinstance(data, list):
            self.refuse(key, data, f"a list of tables with {listed(keys)}")
        return tuple(
            read(Section(d, f"{self.path(key)}[{i}]", keys, file=self.file, error=self.error))
            for i, d in enumerate(data)
        )


def parse(path: Path, error: type[SosError]) -> dict[str, Any]:
    """The file as parsed by ``tomllib``; a file that cannot be read is an `error` saying why."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file.") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not a UTF-8 text file; save it as UTF-8.") from cause
    except tomllib.TOMLDecodeError as cause:
        raise error(f"{path}: not valid TOML: {cause}.") from cause
