"""A small hand-written SVG writer: same input, same bytes; no fonts, scripts or addresses.

Colours are CSS variables with a fallback (``var(--sos-1,#12436D)``), so that a site can change
them in dark mode, and a file taken out of the site still has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sos_analysis.formats import escape

#: Name to colour in (light, dark). Series 1 to 6 after the UK Analysis Function's palette, with
#: turquoise, orange and purple darkened: 4.5:1 on paper, where they also colour names, and 3:1 on
#: the bands. Ink and muted have 4.5:1 everywhere.
COLOURS = {
    "1": ("#12436D", "#8AB8E6"),
    "2": ("#C2480B", "#FFA36B"),
    "3": ("#1C7E76", "#5FD4C8"),
    "4": ("#801650", "#F29CC8"),
    "5": ("#3D3D3D", "#E6E6E6"),
    "6": ("#7F5FBB", "#C7B2EC"),
    "paper": ("#FFFFFF", "#14181E"),
    "ink": ("#222222", "#F0F0F0"),
    "muted": ("#505A5F", "#BDC4CC"),
    "grid": ("#D8DCE0", "#3A424C"),
    "band": ("#E3EAF1", "#263442"),
    "adopt": ("#F6E3C5", "#4A3B1E"),
    # Five classes from low to high: lightness carries them, so they read without colour too.
    "c1": ("#E2ECF4", "#22313F"),
    "c2": ("#B5CDE2", "#34536E"),
    "c3": ("#7FA8CB", "#4C7CA3"),
    "c4": ("#4478A8", "#79AAD3"),
    "c5": ("#17426B", "#BFDDF5"),
}
#: Classes of a value, from low to high.
CLASSES = ("c1", "c2", "c3", "c4", "c5")


def colour(name: str) -> str:
    """CSS value of a named colour: the site's variable, or the light colour without one."""
    return f"var(--sos-{name},{COLOURS[name][0]})"


FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

#: Mean advance of a character, in em, for wrapping and for keeping text inside the frame. Wide
#: enough for DejaVu Sans, the widest usual fallback.
_ADVANCE = 0.58
_PAPER, _INK = colour("paper"), colour("ink")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Upper estimate of the width of a text, in the units of `size`."""
    return len(text) * size * _ADVANCE * (1.07 if bold else 1.0)


def wrap(text: str, width: float, size: float) -> list[str]:
    """Lines no wider than `width`; a longer word stands on its own line."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round tick values that cover [low, high]; about `about` of them."""
    if high - low <= 1e-6 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def num(value: float) -> str:
    """Coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Canvas:
    """Shapes in drawing order, then `render`."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._parts: list[str] = []
        #: Lines of one kind to the part that holds them all.
        self._lines: dict[tuple[str, float, str], int] = {}

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        colour: str,
        width: float = 1.0,
        dash: str = "",
    ) -> None:
        """A straight line; one path holds all of a kind, since each element costs a phone time.

        A surface laid over the lines before it ends their path.
        """
        if y1 == y2:
            path = f"M{num(x1)} {num(y1)}H{num(x2)}"
        elif x1 == x2:
            path = f"M{num(x1)} {num(y1)}V{num(y2)}"
        else:
            path = f"M{num(x1)} {num(y1)}L{num(x2)} {num(y2)}"
        kind = (colour, width, dash)
        if kind in self._lines:
            self._parts[self._lines[kind]] += path
            return
        self._lines[kind] = len(self._parts)
        self._parts.append(path)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        opacity: float = 1.0,
        outline: bool = False,
        *,
        tip: str = "",
        data: str = "",
    ) -> None:
        """A rectangle, filled or as an outline, with an optional tooltip."""
        self._close_lines()
        if outline:
            # Drawn inside the edge, so that the bar ends where its value is.
            x, y, width, height = x + 1.25, y + 1.25, width - 2.5, height - 2.5
        style = f"fill:{_PAPER};stroke:{colour};stroke-width:2.5" if outline else f"fill:{colour}"
        faint = f' fill-opacity="{num(opacity)}"' if opacity < 1 else ""
        mark = f' data-value="{escape(data)}"' if data else ""
        end = f"><title>{escape(tip)}</title></rect>" if tip else "/>"
        self._parts.append(
            f'<rect x="{num(x)}" y="{num(y)}" width="{num(max(width, 0))}" '
            f'height="{num(max(height, 0))}"{faint}{mark} style="{style}"{end}'
        )

    def _close_lines(self) -> None:
        """Write out the lines drawn so far."""
        for (colour, width, dash), at in self._lines.items():
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            self._parts[at] = (
                f'<path d="{self._parts[at]}" fill="none" stroke-width="{num(width)}"{dashed} '
                f'style="stroke:{colour}"/>'
            )
        self._lines.clear()

    def strokes(
        self, spans: Sequence[tuple[float, float, float]], colour: str, width: float
    ) -> None:
        """Upright strokes (x, from y, to y) as one path: hundreds cost little."""
        if not spans:
            return
        path = "".join(f"M{num(x)} {num(a)}V{num(b)}" for x, a, b in spans)
        self._parts.append(
            f'<path d="{path}" fill="none" stroke-width="{num(width)}" style="stroke:{colour}"/>'
        )

    def dots(
        self,
        at: Sequence[tuple[float, float]],
        r: float,
        colour: str,
        *,
        hollow: bool = False,
        data: Sequence[str] = (),
    ) -> None:
        """Round marks as one path: strokes without length, with round ends."""
        if not at:
            return
        path = "".join(f"M{num(x)} {num(y)}h.01" for x, y in at)
        mark = f' data-value="{escape(" ".join(data))}"' if data else ""
        sizes = [(2 * r + 2, colour, mark), *([(2 * r - 2, _PAPER, "")] if hollow else [])]
        for width, tint, said in sizes:
            self._parts.append(
                f'<path d="{path}" fill="none" stroke-linecap="round" '
                f'stroke-width="{num(width)}"{said} style="stroke:{tint}"/>'
            )

    def frame(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        stroke: float,
        dash: str = "",
        *,
        tint: str = _INK,
    ) -> None:
        """An empty frame."""
        self._close_lines()
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<rect x="{num(x)}" y="{num(y)}" width="{num(width)}" height="{num(height)}" '
            f'fill="none" stroke-width="{num(stroke)}"{dashed} style="stroke:{tint}"/>'
        )

    def polyline(
        self, points: Sequence[tuple[float, float]], colour: str, width: float, dash: str = ""
    ) -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        path = " ".join(f"{num(x)},{num(y)}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke-width="{num(width)}" '
            f'stroke-linejoin="round"{dashed} style="stroke:{colour}"/>'
        )

    def marker(
        self,
        shape: str,
        x: float,
        y: float,
        r: float,
        colour: str,
        *,
        hollow: bool = False,
        tip: str = "",
        data: str = "",
    ) -> None:
        """A 'circle', 'square', 'diamond' or 'triangle', with an optional tooltip."""
        fill = _PAPER if hollow else colour
        style = f'stroke-width="2" style="fill:{fill};stroke:{colour}"'
        mark = f' data-value="{escape(data)}"' if data else ""
        if shape == "circle":
            body = f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(r)}" {style}{mark}'
        else:
            if shape == "square":
                corners = [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
            elif shape == "diamond":
                corners = [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]
            else:
                corners = [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)]
            points = " ".join(f"{num(x + r * a)},{num(y + r * b)}" for a, b in corners)
            body = f'<polygon points="{points}" {style}{mark}'
        inner = f"><title>{escape(tip)}</title></{body[1:].split()[0]}>" if tip else "/>"
        self._parts.append(body + inner)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        anchor: str = "start",
        colour: str = _INK,
        bold: bool = False,
        opacity: float = 1.0,
        role: str = "",
    ) -> None:
        """One line of text; `x` is moved so that the line stays inside the frame."""
        wide = text_width(text, size, bold=bold)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        shift = max(2 - left, 0) or min(self.width - 2 - (left + wide), 0)
        if shift and wide <= self.width - 4:
            x += shift
        weight = ' font-weight="600"' if bold else ""
        faint = f' fill-opacity="{num(opacity)}"' if opacity < 1 else ""
        kind = f' class="{role}"' if role else ""
        self._parts.append(
            f'<text x="{num(x)}" y="{num(y)}" font-size="{num(size)}" text-anchor="{anchor}"'
            f'{weight}{faint}{kind} style="fill:{colour}">{escape(text)}</text>'
        )

    def render(self, *, name: str, title: str, description: str, css: str, hidden: bool) -> str:
        """The SVG element, labelled by its title and described by its description."""
        self._close_lines()
        key = escape(name)
        style = f"background:{_PAPER};height:auto;max-width:100%"
        style += ";display:none" if hidden else ";display:block"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{css}" role="img" '
            f'aria-labelledby="{key}-t {key}-d" width="{num(self.width)}" '
            f'height="{num(self.height)}" viewBox="0 0 {num(self.width)} {num(self.height)}" '
            f'font-family="{escape(FONT)}" style="{style}">'
            f'<title id="{key}-t">{escape(title)}</title>'
            f'<desc id="{key}-d">{escape(description)}</desc>{"".join(self._parts)}</svg>'
        )
