"""How a value becomes words: numbers, units, intervals, escaping, what a notebook shows.

Everything a reader sees passes through here, so that a number looks the same in a sentence, a
table, a chart and a download.
"""

from __future__ import annotations

import html as _html
import math
from dataclasses import dataclass
from typing import Any

from sos_analysis.errors import ClaimError

MINUS = "\u2212"  # a true minus sign: a screen reader says "minus", a line does not break after it

#: How a difference in each unit is told: smaller, larger (after the number), no different.
DIRECTIONS = {
    "working days": ("shorter", "longer", "as long"),
    "days": ("shorter", "longer", "as long"),
    "percentage points": ("lower", "higher", "as high"),
    "per 100": ("fewer", "more", "as many"),
    "per 1,000": ("fewer", "more", "as many"),
    "per 10,000": ("fewer", "more", "as many"),
}
_SINGULAR = {
    "working days": "working day",
    "days": "day",
    "percentage points": "percentage point",
    "children": "child",
    "authorities": "authority",
    "local authorities": "local authority",
}


def escape(text: object) -> str:
    """Text made safe for HTML and XML, in content and in double-quoted attributes."""
    # Control characters are not allowed in XML at all; the SVG would not parse.
    kept = "".join(c for c in str(text) if c in "\t\n\r" or ord(c) >= 32)
    return _html.escape(kept, quote=True).replace("'", "&#x27;")


def finite(value: object) -> bool:
    """True for a real, finite number (numpy scalars too); False for bool, None, text, NaN."""
    if isinstance(value, (bool, str, bytes)) or value is None:
        return False
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def fixed(value: float, decimals: int) -> str:
    """Number with an ASCII minus and no thousands separator, for CSV: never '-0.0'."""
    if not finite(value):
        raise ClaimError(f"cannot write {value!r} as a number: give a finite number")
    text = f"{float(value):.{decimals}f}"
    return text[1:] if text.startswith("-") and float(text) == 0 else text


def number(value: float, decimals: int = 0, *, signed: bool = False) -> str:
    """Number for readers: thousands commas, a true minus, fixed decimals.

    Parameters
    ----------
    value : float
        A finite number.
    decimals : int
        Digits after the point.
    signed : bool
        Put '+' before a positive number (for differences in charts and tables).

    Raises
    ------
    ClaimError
        The value is not a finite number.
    """
    plain = fixed(value, decimals)
    sign = MINUS if plain.startswith("-") else ""
    body = plain.lstrip("-")
    whole, _, fraction = body.partition(".")
    body = f"{int(whole):,}" + (f".{fraction}" if fraction else "")
    if signed and not sign and float(plain) != 0:
        sign = "+"
    return sign + body


def quantity(value: float, unit: str = "", decimals: int = 0) -> str:
    """Number with its unit in words: '−8.1 per 100', '1 working day', '<0.001' for unit 'p'."""
    if unit == "p":
        floor = 10**-decimals if decimals else 0.001
        return f"<{fixed(floor, decimals or 3)}" if value < floor else number(value, decimals)
    text = number(value, decimals)
    if unit == "%":
        return f"{text}%"
    if not unit:
        return text
    if text in ("1", f"{MINUS}1"):
        unit = _SINGULAR.get(unit, unit)
    return f"{text} {unit}"


def interval(low: float, high: float, decimals: int = 0) -> str:
    """'−12.0 to −3.1': 'to', because a dash beside a minus sign cannot be read."""
    return f"{number(low, decimals)} to {number(high, decimals)}"


def spoken(
    value: float,
    low: float | None,
    high: float | None,
    unit: str,
    decimals: int = 0,
) -> str:
    """A difference as people say it: 'about 8 fewer (between 3 and 12 fewer)'.

    One that rounds to nothing is 'about as many'.

    Parameters
    ----------
    value, low, high : float
        Difference and its interval in the display unit; `low` and `high` may be None.
    unit : str
        One of `DIRECTIONS`.
    decimals : int
        0 keeps whole people and days.

    Raises
    ------
    ClaimError
        The unit has no words for smaller and larger.
    """
    if unit not in DIRECTIONS:
        raise ClaimError(
            f"no words for a difference in {unit!r}; allowed units: {', '.join(sorted(DIRECTIONS))}"
        )
    smaller, larger, same = DIRECTIONS[unit]
    noun = "" if unit.startswith("per ") else f" {unit}"

    def side(x: float) -> str:
        return smaller if x < 0 else larger

    def size(x: float) -> str:
        return number(abs(x), decimals)

    head = f"about {size(value)}{_one(size(value), noun)} {side(value)}"
    if float(size(value).replace(",", "")) == 0:
        head = f"about {same}"
    if low is None or high is None:
        return head
    if low >= 0 or high <= 0:
        near, far = sorted((abs(low), abs(high)))
        return f"{head} (between {size(near)} and {size(far)} {side(low if low < 0 else high)})"
    return f"{head} (between {size(low)} {smaller} and {size(high)} {larger})"


def _one(text: str, noun: str) -> str:
    return f" {_SINGULAR.get(noun.strip(), noun.strip())}" if text == "1" and noun else noun


@dataclass(frozen=True)
class Rendered:
    """What a notebook or page shows: HTML first, plain text where HTML is not read.

    Attributes
    ----------
    html : str
        Complete, escaped HTML fragment.
    text : str
        The same in words (for a figure, its alternative text).
    """

    html: str
    text: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def _repr_html_(self) -> str:
        return self.html

    def __str__(self) -> str:
        return self.text
