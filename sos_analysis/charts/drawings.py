"""Charts of estimates, time and bars as static SVG; parts that the other kinds share.

Each is drawn wide for a desktop and narrow for a phone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sos_analysis.charts.svg import Canvas, colour, nice_ticks, text_width, wrap
from sos_analysis.disclosure.safe import DIFFERENCES, Cell, FigureOptions, SafeFigure
from sos_analysis.formats import MINUS, interval, number, quantity

SHAPES = ("circle", "square", "diamond", "triangle")
DASHES = ("", "7 4", "2 3", "9 3 2 3")
MADE_UP = "MADE-UP DATA"


@dataclass(frozen=True)
class Point:
    """One drawable row: position, value, interval, series number, words."""

    row: int
    place: float
    label: str
    value: float
    low: float | None
    high: float | None
    series: int


@dataclass(frozen=True)
class Size:
    """Proportions of a drawing."""

    width: float
    font: float
    narrow: bool

    @property
    def line(self) -> float:
        return self.font * 1.3


WIDE = Size(720, 15, False)
NARROW = Size(340, 14, True)

Key = list[tuple[str, str, int]]  # (what is drawn, words, series)
Place = Callable[[float], float]  # from a value to a coordinate


# --- what the data say ------------------------------------------------------------------------


def series_names(figure: SafeFigure) -> tuple[str, ...]:
    """Series in order of appearance; ('',) where there is one."""
    if "series" not in figure.data.keys:
        return ("",)
    return tuple(dict.fromkeys(str(v) for v in figure.data.values("series")))


def points(figure: SafeFigure) -> list[Point]:
    """Rows that can be drawn: those whose value is a number."""
    data, names = figure.data, series_names(figure)
    keys = data.keys
    place_key = "time" if "time" in keys else "label"
    places = position(data.values(place_key))
    found = []
    for i, value in enumerate(data.values("value")):
        if isinstance(value, str):
            continue
        low, high = (data.values(k)[i] if k in keys else None for k in ("low", "high"))
        found.append(
            Point(
                row=i,
                place=places[i],
                label=data.text(i, place_key),
                value=float(value),
                low=None if isinstance(low, str) or low is None else float(low),
                high=None if isinstance(high, str) or high is None else float(high),
                series=names.index(str(data.values("series")[i])) if "series" in keys else 0,
            )
        )
    return found


def position(values: Sequence[Cell]) -> list[float]:
    """Numbers as they are; words by order of appearance (0, 1, 2 …)."""
    if all(not isinstance(v, str) for v in values):
        return [float(v) for v in values]
    order = list(dict.fromkeys(values))
    return [float(order.index(v)) for v in values]


def tip(figure: SafeFigure, point: Point) -> str:
    """Words for one point: what, value with unit, interval. Hover text and tooltips use it."""
    o, names = figure.options, series_names(figure)
    who = ", ".join(w for w in (point.label, names[point.series]) if w)
    text = f"{who}: {quantity(point.value, o.unit, o.decimals)}"
    if point.low is not None and point.high is not None:
        text += f" ({interval(point.low, point.high, o.decimals)})"
    return text


def value_words(o: FigureOptions, point: Point) -> str:
    """Value and interval without unit: '−8.1 (−12.0 to −3.1)'."""
    text = number(point.value, o.decimals)
    if point.low is not None and point.high is not None:
        text += f" ({interval(point.low, point.high, o.decimals)})"
    return text


def mid_words(o: FigureOptions) -> str:
    """What the shaded band means."""
    size = quantity(o.mid or 0, o.unit, 0 if float(o.mid or 0).is_integer() else o.decimals)
    return f"Too small to matter: less than {size} either way"


def axis_words(o: FigureOptions) -> str:
    """Title of the value axis, with the unit."""
    return f"{o.measure} ({o.unit})" if o.unit and o.unit not in o.measure else o.measure


def domain(figure: SafeFigure, found: Sequence[Point], *, zero: bool) -> list[float]:
    """Ticks of the value axis; they cover every value, interval and band."""
    o = figure.options
    values = [v for p in found for v in (p.value, p.low, p.high) if v is not None]
    if zero:
        values.append(0.0)
    if o.mid is not None and figure.kind in DIFFERENCES:
        values += [-o.mid, o.mid]
    return nice_ticks(min(values, default=0.0), max(values, default=1.0))


def tick_text(ticks: Sequence[float], value: float) -> str:
    """Tick label with as many decimals as the step needs."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = next(d for d in range(7) if round(step, d) == round(step, 9) or d == 6)
    return number(value, decimals)


# --- parts ------------------------------------------------------------------------------------


def key_height(key: Key, size: Size) -> float:
    lines = sum(len(wrap(words, size.width - 40, size.font - 1)) for _, words, _ in key)
    return lines * size.line + (6 if key else 0)


def draw_key(c: Canvas, key: Key, size: Size, top: float) -> None:
    y = top + size.font
    for what, words, series in key:
        mid = y - size.font * 0.32
        tint = colour(str(series + 1))
        if what in ("band", "adopt"):
            c.rect(6, mid - 7, 22, 14, colour(what))
            c.line(6, mid - 7, 6, mid + 7, colour("muted"), 1)
            c.line(28, mid - 7, 28, mid + 7, colour("muted"), 1)
        elif what in ("bar", "outline"):
            c.rect(6, mid - 7, 22, 14, tint, outline=what == "outline")
        elif what == "rule":
            c.line(17, mid - 8, 17, mid + 8, colour("ink"), 1.5, "5 3")
        elif what in ("hollow", "filled"):
            c.marker(SHAPES[series], 17, mid, 5, tint, hollow=what == "hollow")
        elif what == "diamond":
            c.marker("diamond", 17, mid, 6, tint)
        else:
            c.line(4, mid, 30, mid, tint, 2.5, DASHES[series] if what == "line" else "")
            c.marker(SHAPES[series], 17, mid, 5, tint)
        for line in wrap(words, size.width - 40, size.font - 1):
            c.text(36, y, line, size.font - 1)
            y += size.line


def room_for_made_up(figure: SafeFigure, size: Size) -> float:
    """Height of a line of its own, where the label would lie behind words."""
    return size.line + 4 if size.narrow and figure.origin == "synthetic" else 0.0


def made_up_line(c: Canvas, figure: SafeFigure, size: Size) -> None:
    if room_for_made_up(figure, size):
        c.text(4, size.font, MADE_UP, size.font, bold=True, colour=colour("muted"),
               role="sos-made-up")  # fmt: skip


def made_up(c: Canvas, figure: SafeFigure, x0: float, x1: float, y0: float, y1: float) -> None:
    if figure.origin != "synthetic":
        return
    font = min((x1 - x0) / (len(MADE_UP) * 0.72), (y1 - y0) * 0.6, 46)
    c.text(
        (x0 + x1) / 2,
        (y0 + y1) / 2 + font * 0.35,
        MADE_UP,
        font,
        anchor="middle",
        bold=True,
        colour=colour("muted"),
        opacity=0.2,
        role="sos-made-up",
    )


def _x_axis(
    c: Canvas,
    ticks: Sequence[float],
    at: Callable[[float], float],
    strips: Sequence[tuple[float, float]],
    size: Size,
) -> None:
    texts = [tick_text(ticks, t) for t in ticks]
    gap = at(ticks[1]) - at(ticks[0]) if len(ticks) > 1 else size.width
    every = 1 + int(max(text_width(t, size.font - 1) for t in texts) + 8 > gap)
    keep = next((i % every for i, t in enumerate(ticks) if t == 0), 0)
    for i, (tick, text) in enumerate(zip(ticks, texts, strict=True)):
        for start, end in strips:
            c.line(at(tick), start, at(tick), end, colour("grid"), 1)
        if i % every == keep:
            c.text(at(tick), strips[-1][1] + size.font + 6, text, size.font - 1, anchor="middle")


def _below(c: Canvas, o: FigureOptions, x0: float, x1: float, y: float, size: Size) -> None:
    """Which way is which, and the title of the value axis."""
    if o.lower or o.higher:
        c.text(x0, y, f"← {o.lower}", size.font - 1, colour=colour("muted"))
        c.text(x1, y, f"{o.higher} →", size.font - 1, anchor="end", colour=colour("muted"))
        y += size.line
    for line in wrap(axis_words(o), size.width - 8, size.font - 1):
        c.text((x0 + x1) / 2, y, line, size.font - 1, anchor="middle", colour=colour("muted"))
        y += size.line


def _below_height(o: FigureOptions, size: Size) -> float:
    lines = len(wrap(axis_words(o), size.width - 8, size.font - 1))
    return size.font + 20 + (lines + bool(o.lower or o.higher)) * size.line


def scale(ticks: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = ticks[0], ticks[-1]
    return lambda v: start + (v - low) / (high - low) * (end - start)


def _series_key(figure: SafeFigure, what: str) -> Key:
    names = series_names(figure)
    return [(what, name, i) for i, name in enumerate(names)] if names != ("",) else []


# --- kinds ------------------------------------------------------------------------------------


def _estimates(figure: SafeFigure, size: Size) -> Canvas:
    """Forest: a row an estimate, band of the minimum important difference, line at zero."""
    o, found = figure.options, points(figure)
    key: Key = _series_key(figure, "interval")
    if o.mid is not None:
        key.append(("band", mid_words(o), 0))
    column = 0 if size.narrow else 230
    right = 14 if size.narrow else 190
    rows = []
    for p in found:
        label_lines = wrap(p.label, (size.width - 8) if size.narrow else column - 14, size.font)
        text = value_words(o, p)
        extra = size.line + 24 if size.narrow else 18
        rows.append((p, label_lines, text, len(label_lines) * size.line + extra))
    head = room_for_made_up(figure, size)
    top = head + key_height(key, size) + 6
    bottom = top + sum(r[3] for r in rows) + 6
    c = Canvas(size.width, bottom + _below_height(o, size))
    ticks = domain(figure, found, zero=True)
    x0, x1 = column + 14, size.width - right
    at = scale(ticks, x0, x1)
    made_up_line(c, figure, size)
    draw_key(c, key, size, head)
    strips = [(top, bottom)]
    if size.narrow and rows:
        # Words stand above each mark, so grid and band are drawn behind the marks alone.
        ends = list(itertools.accumulate((r[3] for r in rows), initial=top))[1:]
        strips = [(end - 25, end - 1) for end in ends]
    for start, end in strips:
        if o.mid is not None:
            c.rect(at(-o.mid), start, at(o.mid) - at(-o.mid), end - start, colour("band"))
    _x_axis(c, ticks, at, strips, size)
    for start, end in strips:
        c.line(at(0), start, at(0), end, colour("ink"), 1.5)
    if not size.narrow:
        made_up(c, figure, x0, x1, top, bottom)
    y = top
    for p, label_lines, text, height in rows:
        tint = colour(str(p.series + 1))
        if size.narrow:
            base = y + size.font + 3
            for k, line in enumerate(label_lines):
                c.text(4, base + k * size.line, line, size.font, bold=True)
            c.text(4, base + len(label_lines) * size.line, text, size.font)
            mark = y + height - 13
        else:
            mark = y + height / 2
            start = mark - (len(label_lines) - 1) * size.line / 2 + size.font * 0.35
            for k, line in enumerate(label_lines):
                c.text(4, start + k * size.line, line, size.font)
            c.text(size.width - 4, mark + size.font * 0.35, text, size.font, anchor="end")
        if p.low is not None and p.high is not None:
            c.line(at(p.low), mark, at(p.high), mark, tint, 2.5)
            for end in (p.low, p.high):
                c.line(at(end), mark - 5, at(end), mark + 5, tint, 2.5)
        c.marker(
            SHAPES[p.series],
            at(p.value),
            mark,
            6,
            tint,
            tip=tip(figure, p),
            data=figure.data.text(p.row, "value"),
        )
        y += height
    _below(c, o, x0, x1, bottom + size.font + 12 + size.line, size)
    return c


@dataclass(frozen=True)
class _Plane:
    """Plot area of a chart over time."""

    canvas: Canvas
    x: Callable[[float], float]
    y: Callable[[float], float]
    left: float
    right: float
    top: float
    bottom: float


def _plane(
    figure: SafeFigure, size: Size, key: Key, ticks: list[float], right: float, pad: float
) -> _Plane:
    """Axes, grid, key, adoption mark and band of a chart over time."""
    o, data = figure.options, figure.data
    times = sorted(set(zip(position(data.values("time")), _times(figure), strict=True)))
    lines = wrap(axis_words(o), size.width - 8, size.font - 1)
    top = key_height(key, size) + len(lines) * size.line + 10
    height = 215.0 if size.narrow else 290.0
    left = max(text_width(tick_text(ticks, t), size.font - 1) for t in ticks) + 12
    end, bottom = size.width - right, top + height
    c = Canvas(size.width, bottom + size.font * 1.3 + 10 + (size.line if o.time else 0))
    low, high = times[0][0] - pad, times[-1][0] + pad
    x = scale([low, high] if high > low else [low - 0.5, low + 0.5], left, end)
    y = scale(ticks, bottom, top)
    draw_key(c, key, size, 0)
    for k, line in enumerate(lines):
        # The title of the value axis lies above it: nobody need turn their head.
        c.text(4, key_height(key, size) + size.font + k * size.line, line, size.font - 1,
               colour=colour("muted"))  # fmt: skip
    if o.shaded_from is not None and o.shaded_to is not None:
        c.rect(x(o.shaded_from), top, x(o.shaded_to) - x(o.shaded_from), height, colour("band"))
    if o.adopted_from is not None:
        start, stop = o.adopted_from, o.adopted_to if o.adopted_to is not None else o.adopted_from
        if stop > start:
            c.rect(x(start), top, x(stop) - x(start), height, colour("adopt"))
    if o.mid is not None and figure.kind == "event_study":
        c.rect(left, y(o.mid), end - left, y(-o.mid) - y(o.mid), colour("band"))
        if o.adopted_from is not None and (o.adopted_to or o.adopted_from) > o.adopted_from:
            c.rect(x(o.adopted_from), top, x(o.adopted_to or 0) - x(o.adopted_from), height,
                   colour("adopt"), 0.6)  # fmt: skip
    for tick in ticks:
        c.line(left, y(tick), end, y(tick), colour("grid"), 1)
        c.text(left - 6, y(tick) + size.font * 0.33, tick_text(ticks, tick), size.font - 1,
               anchor="end")  # fmt: skip
    widest = max(text_width(w, size.font - 1) for _, w in times) + 8
    each = (end - left) / max(len(times), 1)
    every = max(1, -int(-widest // each))
    # Counting from the last pre-adoption period or the last year keeps the labels that matter.
    anchor = next((i for i, (t, _) in enumerate(times) if t == 0), len(times) - 1)
    for i, (place, words) in enumerate(times):
        if (i - anchor) % every == 0:
            c.line(x(place), bottom, x(place), bottom + 5, colour("muted"), 1)
            c.text(x(place), bottom + size.font + 6, words, size.font - 1, anchor="middle")
    c.line(left, bottom, end, bottom, colour("muted"), 1)
    if o.time:
        c.text((left + end) / 2, bottom + size.font + 6 + size.line, o.time, size.font - 1,
               anchor="middle", colour=colour("muted"))  # fmt: skip
    if o.adopted_from is not None and (o.adopted_to is None or o.adopted_to == o.adopted_from):
        c.line(x(o.adopted_from), top, x(o.adopted_from), bottom, colour("ink"), 1.5, "5 3")
    made_up(c, figure, left, end, top, bottom)
    return _Plane(c, x, y, left, end, top, bottom)


def _times(figure: SafeFigure) -> list[str]:
    return [figure.data.text(i, "time") for i in range(len(figure.data.rows))]


def _adoption_key(o: FigureOptions) -> Key:
    shaded: Key = [("band", o.shaded, 0)] if o.shaded else []
    if o.adopted_from is None:
        return shaded
    band = o.adopted_to is not None and o.adopted_to > o.adopted_from
    return [("adopt" if band else "rule", o.adoption or "Adoption", 0), *shaded]


def _event_study(figure: SafeFigure, size: Size) -> Canvas:
    """Points and intervals by time from adoption; hollow before, filled after."""
    o, found = figure.options, points(figure)
    names = series_names(figure)
    key: Key = _series_key(figure, "interval") or [
        ("hollow", "Before adoption", 0),
        ("filled", "After adoption", 0),
    ]
    key += _adoption_key(o)
    if o.mid is not None:
        key.append(("band", mid_words(o), 0))
    ticks = domain(figure, found, zero=True)
    plane = _plane(figure, size, key, ticks, 10, 0.6)
    c, x, y = plane.canvas, plane.x, plane.y
    c.line(plane.left, y(0), plane.right, y(0), colour("ink"), 1.5)
    for p in found:
        shift = (p.series - (len(names) - 1) / 2) * 0.22
        px, tint = x(p.place + shift), colour(str(p.series + 1))
        if p.low is not None and p.high is not None:
            c.line(px, y(p.low), px, y(p.high), tint, 2.5)
            for end in (p.low, p.high):
                c.line(px - 4, y(end), px + 4, y(end), tint, 2.5)
        c.marker(
            SHAPES[p.series],
            px,
            y(p.value),
            5 if size.narrow else 6,
            tint,
            hollow=p.place < 0,
            tip=tip(figure, p),
            data=figure.data.text(p.row, "value"),
        )
    return c


def _trend(figure: SafeFigure, size: Size) -> Canvas:
    """Lines over time, each with its name at its end (above the chart on a phone)."""
    found, names = points(figure), series_names(figure)
    key = (_series_key(figure, "line") if size.narrow else []) + _adoption_key(figure.options)
    widest = max((text_width(n, size.font) for n in names), default=0)
    room = min(max(widest, 40) + 16, 190)
    ticks = domain(figure, found, zero=False)
    plane = _plane(figure, size, key, ticks, 12 if size.narrow else room, 0.25)
    c, x, y = plane.canvas, plane.x, plane.y
    ends = []
    for s, name in enumerate(names):
        mine = sorted((p for p in found if p.series == s), key=lambda p: p.place)
        tint = colour(str(s + 1))
        for run in runs(figure, mine):
            c.polyline([(x(p.place), y(p.value)) for p in run], tint, 2.5, DASHES[s])
        for p in mine:
            c.marker(
                SHAPES[s],
                x(p.place),
                y(p.value),
                4.5,
                tint,
                tip=tip(figure, p),
                data=figure.data.text(p.row, "value"),
            )
        if mine:
            ends.append((y(mine[-1].value), x(mine[-1].place), s, name))
    if not size.narrow:
        _end_labels(c, ends, size, plane)
    return c


def runs(figure: SafeFigure, mine: Sequence[Point]) -> list[list[Point]]:
    """Stretches without a hidden period: a line must not bridge what is not shown."""
    times = sorted(set(position(figure.data.values("time"))))
    runs: list[list[Point]] = []
    for p in mine:
        if runs and times.index(p.place) == times.index(runs[-1][-1].place) + 1:
            runs[-1].append(p)
        else:
            runs.append([p])
    return runs


def _end_labels(
    c: Canvas, ends: list[tuple[float, float, int, str]], size: Size, plane: _Plane
) -> None:
    """Names at the ends of the lines, pushed apart where they would touch."""
    placed = []
    floor = plane.top - 99.0
    for y, x, s, name in sorted(ends):
        lines = wrap(name, size.width - plane.right - 14, size.font)
        height = len(lines) * size.line
        middle = max(y, floor + height / 2)
        floor = middle + height / 2 + 2
        placed.append((middle, height, x, s, lines))
    over = max((m + h / 2 for m, h, *_ in placed), default=0) - plane.bottom
    for middle, height, x, s, lines in placed:
        start = middle - max(over, 0) - height / 2 + size.font
        for k, line in enumerate(lines):
            c.text(
                max(x, plane.right - 8) + 12,
                start + k * size.line,
                line,
                size.font,
                bold=True,
                colour=colour(str(s + 1)),
            )


def _bars(figure: SafeFigure, size: Size) -> Canvas:
    """Horizontal bars from zero, value at the end of each."""
    o, found, names = figure.options, points(figure), series_names(figure)
    # The second group is an outline: colour alone must not tell the two apart.
    what = ("bar", "outline")
    key = [(what[i], name, i) for i, name in enumerate(names)] if names != ("",) else []
    column = 0 if size.narrow else 200
    labels = list(dict.fromkeys(p.label for p in found))
    thick = 20 if size.narrow else 22
    blocks = []
    for label in labels:
        mine = [p for p in found if p.label == label]
        lines = wrap(label, (size.width - 8) if size.narrow else column - 14, size.font)
        text_height = len(lines) * size.line
        bars = len(mine) * (thick + 3)
        height = text_height + bars + 12 if size.narrow else max(text_height, bars) + 14
        blocks.append((mine, lines, height))
    head = room_for_made_up(figure, size)
    top = head + key_height(key, size) + 6
    bottom = top + sum(b[2] for b in blocks)
    c = Canvas(size.width, bottom + _below_height(o, size))
    ticks = domain(figure, found, zero=True)
    widest = max((text_width(number(p.value, o.decimals), size.font) for p in found), default=0)
    x0 = column + 14 + (widest + 8 if ticks[0] < 0 else 0)
    x1 = size.width - widest - 12
    at = scale(ticks, x0, x1)
    made_up_line(c, figure, size)
    draw_key(c, key, size, head)
    strips = [(top, bottom)]
    if size.narrow and blocks:
        ends = list(itertools.accumulate((b[2] for b in blocks), initial=top))[1:]
        strips = [
            (end - b[2] + len(b[1]) * size.line + 2, end - 5)
            for end, b in zip(ends, blocks, strict=True)
        ]
    _x_axis(c, ticks, at, strips, size)
    if not size.narrow:
        made_up(c, figure, x0, x1, top, bottom)
    y = top
    for mine, lines, height in blocks:
        bars = len(mine) * (thick + 3)
        text_height = len(lines) * size.line
        first = y + size.font + 3
        if not size.narrow:
            first = y + (height - text_height) / 2 + size.font
        for k, line in enumerate(lines):
            c.text(4, first + k * size.line, line, size.font, bold=size.narrow)
        by = y + text_height + 4 if size.narrow else y + (height - bars) / 2
        for p in mine:
            tint = colour(str(p.series + 1))
            left, wide = min(at(0), at(p.value)), abs(at(p.value) - at(0))
            c.rect(left, by, wide, thick, tint, outline=p.series > 0)
            text = number(p.value, o.decimals)
            anchor, tx = ("start", left + wide + 5) if p.value >= 0 else ("end", left - 5)
            c.text(tx, by + thick / 2 + size.font * 0.35, text, size.font, anchor=anchor)
            by += thick + 3
        y += height
    for start, end in strips:
        c.line(at(0), start, at(0), end, colour("ink"), 1.5)
    _below(c, o, x0, x1, bottom + size.font + 12 + size.line, size)
    return c


DRAWN: dict[str, Callable[[SafeFigure, Size], Canvas]] = {
    "estimates": _estimates,
    "event_study": _event_study,
    "trend": _trend,
    "bars": _bars,
}

__all__ = ["DRAWN", "MADE_UP", "MINUS", "points", "series_names", "tip"]
