"""Small multiples: many measures side by side, each with the same two lines over time.

Each panel has its own scale, from a round number below its lowest value to one above its highest:
panels are compared in shape, and the numbers stand in the table.
"""

from __future__ import annotations

from sos_analysis.charts import drawings as d
from sos_analysis.charts.svg import Canvas, colour, nice_ticks, text_width, wrap
from sos_analysis.disclosure.safe import SafeFigure

_PLOT = 84.0
#: Between a heading and the highest label of its panel.
_AIR = 8
_GAP = 20.0
_HOLLOW = (True, False)


def draw(figure: SafeFigure, size: d.Size) -> Canvas:
    """Panels in rows of three, or of one on a phone."""
    found, names = d.points(figure), d.series_names(figure)
    labels = list(dict.fromkeys(p.label for p in _labelled(figure, found)))
    columns = 1 if size.narrow else 3
    width = (size.width - (columns - 1) * _GAP) / columns
    heads = {label: wrap(label, width - 4, size.font) for label in labels}
    key = [("line", name, i) for i, name in enumerate(names)] if names != ("",) else []
    top = (size.line + 4 if figure.origin == "synthetic" else 0) + d.key_height(key, size) + 4
    rows = [labels[i : i + columns] for i in range(0, len(labels), columns)]
    heights = [
        max(len(heads[label]) for label in row) * size.line + _PLOT + 2 * size.line + 8 + _AIR
        for row in rows
    ]
    c = Canvas(size.width, top + sum(heights))
    if figure.origin == "synthetic":
        c.text(4, size.font, d.MADE_UP, size.font, bold=True, colour=colour("muted"),
               role="sos-made-up")  # fmt: skip
        d.draw_key(c, key, size, size.line + 4)
    else:
        d.draw_key(c, key, size, 0)
    y = top
    for row, height in zip(rows, heights, strict=True):
        lines = max(len(heads[label]) for label in row)
        for k, label in enumerate(row):
            mine = [p for p in _labelled(figure, found) if p.label == label]
            _panel(c, figure, size, heads[label], mine, k * (width + _GAP), y, width, lines)
        y += height
    return c


def _labelled(figure: SafeFigure, found: list[d.Point]) -> list[d.Point]:
    """Points with their panel as label; `drawings.points` labels them by time."""
    return [
        d.Point(p.row, p.place, figure.data.text(p.row, "label"), p.value, None, None, p.series)
        for p in found
    ]


def _panel(
    c: Canvas,
    figure: SafeFigure,
    size: d.Size,
    head: list[str],
    mine: list[d.Point],
    left: float,
    top: float,
    width: float,
    lines: int,
) -> None:
    for k, line in enumerate(head):
        c.text(left, top + size.font + k * size.line, line, size.font, bold=True)
    ticks = nice_ticks(min(p.value for p in mine), max(p.value for p in mine), 2)
    ends = [d.tick_text(ticks, t) for t in (ticks[0], ticks[-1])]
    font = size.font - 1
    x0 = left + max(text_width(t, font) for t in ends) + 8
    y0 = top + lines * size.line + 8 + _AIR
    y1 = y0 + _PLOT
    places = sorted({p.place for p in mine})
    x = d.scale([places[0], places[-1]] if len(places) > 1 else [places[0] - 1, places[0] + 1],
                x0 + 6, left + width - 8)  # fmt: skip
    y = d.scale([ticks[0], ticks[-1]], y1, y0)
    for tick, text in zip((ticks[0], ticks[-1]), ends, strict=True):
        c.line(x0, y(tick), left + width, y(tick), colour("grid"), 1)
        c.text(x0 - 6, y(tick) + font * 0.33, text, font, anchor="end")
    shown = [places[0], places[-1]] if len(places) > 1 else places
    for place in shown:
        row = next(p.row for p in mine if p.place == place)
        c.text(x(place), y1 + font + 7, figure.data.text(row, "time"), font, anchor="middle")
    for s in range(len(d.series_names(figure))):
        path = sorted((p for p in mine if p.series == s), key=lambda p: p.place)
        tint = colour(str(s + 1))
        if len(path) > 1:
            c.polyline([(x(p.place), y(p.value)) for p in path], tint, 2, d.DASHES[s])
        for p in path:
            c.marker(
                d.SHAPES[s],
                x(p.place),
                y(p.value),
                4,
                tint,
                hollow=_HOLLOW[s],
                tip=f"{p.label}, {d.tip(figure, _timed(figure, p))}",
                data=figure.data.text(p.row, "value"),
            )


def _timed(figure: SafeFigure, p: d.Point) -> d.Point:
    return d.Point(p.row, p.place, figure.data.text(p.row, "time"), p.value, None, None, p.series)
