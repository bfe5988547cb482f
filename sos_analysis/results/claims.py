"""Claims: every number a page may show, with its unit, interval, rounding, origin and maker.

A claim renders as ``<span class="claim claim-ORIGIN" data-claim="ID" data-form="FORM">…</span>``
(`data-form` only where the form is not the usual one), so that a page can be compared with the
results number by number. `Claim.forms` lists the forms.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, ClassVar

from sos_analysis import sources
from sos_analysis.disclosure.safe import ORIGINS
from sos_analysis.errors import ClaimError
from sos_analysis.formats import escape, finite, fixed, interval, number, quantity, spoken

_ID = re.compile(r"^[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$")
_UNIT = re.compile(r"^(|%|p|[A-Za-z][A-Za-z0-9 ,'’/-]*)$")


# --- hashes -----------------------------------------------------------------------------------


def code_hash(room: str) -> str:
    """First 12 hex digits of the hash of the code that a room of `chapters` rests on.

    Parameters
    ----------
    room : name of the module, such as ``"question"``.
    """
    return sources.code_hash(f"chapters.{room}")[:12]


def content_hash(content: Any) -> str:
    """First 12 hex digits of the SHA-256 of JSON-ready content (keys sorted).

    Raises
    ------
    ClaimError
        The content holds something JSON does not know, or a NaN.
    """
    try:
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ClaimError(f"cannot hash {content!r}: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:12]


#: What every claim rests on, each by its hash.
FINGERPRINTS = ("study", "data", "code")


def hidden_place(value: Any) -> bool:
    """Whether a parameter is a path that `without_places` took out."""
    return isinstance(value, str) and re.fullmatch(r"path-[0-9a-f]{8}", value) is not None


def without_places(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in which a path stands as a hash: a path names machines, projects and people."""
    return {
        key: f"path-{hashlib.sha256(value.encode()).hexdigest()[:8]}"
        if isinstance(value, str) and ("/" in value or "\\" in value)
        else value
        for key, value in parameters.items()
    }


# --- claims -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """One number (or published wording) a page may show, and where it comes from.

    Numbers are rounded to `decimals` when the claim is made: the bundle holds what is shown.

    Attributes
    ----------
    id : str
        'rq4.preferred.att': lower case, dots between parts.
    value : float, int or str
        In display units (per 100, working days). Text for published wordings, and for a
        symbol such as '[c]'.
    unit : str
        Words after the number; '%' and 'p' are known; '' for none.
    low, high : float, optional
        Ends of the interval; both or neither.
    decimals : int
        Digits shown.
    origin : str
        One of `disclosure.ORIGINS`.
    chapter : str
        Notebook stem that made it.
    source : str
        Function, or citation, that gave it.
    note : str
        Anything a reader must know; shown in 'how do we know?'.
    level : float
        Level of the interval.
    hashes : mapping
        `FINGERPRINTS`: of the study file, the data and the code it rests on; what is left out is
        filled from its chapter.
    """

    id: str
    value: float | int | str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    decimals: int = 1
    origin: str = field(kw_only=True)
    chapter: str = field(kw_only=True)
    source: str = field(kw_only=True)
    note: str = ""
    level: float = 0.95
    hashes: Mapping[str, str] = field(default_factory=dict)

    forms: ClassVar[tuple[str, ...]] = (
        "text",  # −8.1 per 100
        "value",  # −8.1
        "signed",  # +8.1
        "size",  # 8.1 per 100 (no sign)
        "interval",  # −12.0 to −3.1
        "size_interval",  # 3.1 to 12.0 (no sign; only where both ends have one sign)
        "full",  # −8.1 per 100 (95% interval −12.0 to −3.1)
        "natural",  # about 8 fewer (between 3 and 12 fewer)
        "direction",  # lower, higher, the same
    )

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise ClaimError(
                f"claim id {self.id!r}: use lower-case parts joined by dots, as 'rq4.preferred.att'"
            )
        if self.origin not in ORIGINS:
            raise ClaimError(
                f"claim {self.id}: origin {self.origin!r} is unknown; allowed: {', '.join(ORIGINS)}"
            )
        for name in ("chapter", "source"):
            if not str(getattr(self, name)).strip():
                raise ClaimError(f"claim {self.id}: {name} is empty; say who made it")
        if not _UNIT.match(self.unit):
            raise ClaimError(f"claim {self.id}: unit {self.unit!r} must be words, '%' or 'p'")
        if self.decimals not in range(7):
            raise ClaimError(f"claim {self.id}: decimals {self.decimals!r} must be 0 to 6")
        if (self.low is None) != (self.high is None):
            raise ClaimError(f"claim {self.id}: give both ends of the interval or neither")
        self._round()
        object.__setattr__(self, "hashes", MappingProxyType(dict(self.hashes)))

    def _round(self) -> None:
        if isinstance(self.value, str):
            if self.low is not None:
                raise ClaimError(f"claim {self.id}: words have no interval")
            if not self.value.strip():
                raise ClaimError(f"claim {self.id}: the value is empty")
            return
        for name in ("value", "low", "high"):
            given = getattr(self, name)
            if given is None and name != "value":
                continue
            if not finite(given):
                raise ClaimError(f"claim {self.id}: {name} is {given!r}, not a finite number")
            kept = float(fixed(given, self.decimals))
            object.__setattr__(self, name, int(kept) if self.decimals == 0 else kept)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ClaimError(f"claim {self.id}: interval runs from {self.low} to {self.high}")
        ends = (self.low, self.high)
        if None not in ends and not self.low <= float(self.value) <= self.high:  # type: ignore[operator]
            raise ClaimError(
                f"claim {self.id}: {self.value} lies outside its own interval, {self.low} to "
                f"{self.high}"
            )

    def text(self) -> str:
        """Value with its unit: '−8.1 per 100'."""
        if isinstance(self.value, str):
            return self.value
        return quantity(self.value, self.unit, self.decimals)

    def interval_text(self) -> str:
        """'−12.0 to −3.1', without unit."""
        low, high = self._ends()
        return interval(low, high, self.decimals)

    def render(self, form: str = "text") -> str:
        """Plain text of the claim in one of `forms`.

        Raises
        ------
        ClaimError
            The form is unknown or does not suit the claim.
        """
        if form not in self.forms:
            raise ClaimError(f"claim {self.id}: no form {form!r}; allowed: {', '.join(self.forms)}")
        if isinstance(self.value, str):
            if form in ("text", "value", "full"):
                return self.value
            raise ClaimError(f"claim {self.id} is words ({self.value!r}): no form {form!r}")
        if form == "text":
            return self.text()
        if form in ("value", "signed"):
            return number(self.value, self.decimals, signed=form == "signed")
        if form == "size":
            return quantity(abs(self.value), self.unit, self.decimals)
        if form == "direction":
            return "lower" if self.value < 0 else "higher" if self.value > 0 else "the same"
        if form == "natural":
            return spoken(self.value, self.low, self.high, self.unit)
        low, high = self._ends()
        if form == "interval":
            return interval(low, high, self.decimals)
        if form == "size_interval":
            if low * high < 0:
                raise ClaimError(
                    f"claim {self.id}: the interval crosses zero, so its size needs both signs; "
                    "use the form interval or natural"
                )
            near, far = sorted((abs(low), abs(high)))
            return interval(near, far, self.decimals)
        return (
            f"{self.text()} ({fixed(100 * self.level, 0)}% interval "
            f"{interval(low, high, self.decimals)})"
        )

    def to_html(self, form: str = "text") -> str:
        """Span that names the claim it shows."""
        shown = f' data-form="{form}"' if form != "text" else ""
        return (
            f'<span class="claim claim-{self.origin}" data-claim="{self.id}"{shown}>'
            f"{escape(self.render(form))}</span>"
        )

    @property
    def anchor(self) -> str:
        """HTML id of the place that says how it was made."""
        return f"how-{self.id.replace('.', '-')}"

    def _ends(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise ClaimError(f"claim {self.id} has no interval; use the form text or value")
        return self.low, self.high

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": self.text()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        names = [f.name for f in fields(self) if f.name != "hashes"]
        return {**{n: getattr(self, n) for n in names}, "hashes": dict(self.hashes)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Claim:
        """Claim from `to_dict`."""
        try:
            return cls(**content)
        except TypeError as error:
            raise ClaimError(f"claim {content.get('id')!r}: {error}") from error


def unknown(claim_id: str, known: Mapping[str, Any] | list[str], where: str) -> ClaimError:
    """The error for an id that is not there, with near names."""
    near = difflib.get_close_matches(claim_id, list(known), n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return ClaimError(f"no claim {claim_id!r} in {where}{hint}")
