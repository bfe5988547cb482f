"""A specification curve: every estimate in order of size, and below it the choices behind each.

The further text columns of the figure's data are the choices: one block a column, one row an
answer, a stroke where an estimate made that choice.
"""

from __future__ import annotations

from sos_analysis.charts import drawings as d
from sos_analysis.charts.svg import Canvas, colour, text_width, wrap
from sos_analysis.disclosure.safe import SafeFigure

_OWN = ("label", "series", "value", "low", "high")
_ROW = 17.0
_ZERO_IN, _ZERO_OUT = "interval takes in zero", "interval leaves out zero"


def choices(figure: SafeFigure) -> list[tuple[str, str, list[str]]]:
    """Key, heading and answers, in order of appearance, of each choice that varies."""
    data = figure.data
    found = []
    for column in data.columns:
        if column.key in _OWN or column.role not in ("text", "category"):
            continue
        answers = list(dict.fromkeys(data.text(i, column.key) for i in range(len(data.rows))))
        if len(answers) > 1:
            found.append((column.key, column.label, answers))
    return found


def draw(figure: SafeFigure, size: d.Size) -> Canvas:
    """Curve above, choices below."""
    o, names = figure.options, d.series_names(figure)
    found = sorted(d.points(figure), key=lambda p: (p.value, p.row))
    options = choices(figure)
    key: d.Key = [("interval", f"Estimate whose {_ZERO_OUT}", 0)]
    key.append(("hollow", f"Estimate whose {_ZERO_IN}", 0))
    if len(names) > 1:
        key.append(("diamond", names[1], 1))
    if o.mid is not None:
        key.append(("band", d.mid_words(o), 0))
    # As wide as the longest answer, so that none is cut.
    answers_of = [a for *_, answers in options for a in answers]
    widest = max((text_width(a, size.font - 2) for a in answers_of), default=0.0)
    column = 0.0 if size.narrow else min(max(widest + 18, 150.0), 280.0)
    head = d.room_for_made_up(figure, size)
    ticks = d.domain(figure, found, zero=True)
    title = wrap(d.axis_words(o), size.width - 8, size.font - 1)
    top = head + d.key_height(key, size) + len(title) * size.line + 16
    plot = 190.0 if size.narrow else 240.0
    per_row = _ROW + (size.line if size.narrow else 0)
    below = sum(size.line + 6 + len(answers) * per_row for *_, answers in options)
    c = Canvas(size.width, top + plot + 14 + below)
    d.made_up_line(c, figure, size)
    d.draw_key(c, key, size, head)
    for k, line in enumerate(title):
        c.text(4, top - 14 - (len(title) - 1 - k) * size.line, line, size.font - 1,
               colour=colour("muted"))  # fmt: skip
    margin = max(len(d.tick_text(ticks, t)) for t in ticks) * (size.font - 1) * 0.58 + 12
    left, right = max(column, margin), size.width - 8
    x = d.scale([-0.5, max(len(found), 1) - 0.5], left, right)
    y = d.scale(ticks, top + plot, top)
    if o.mid is not None:
        c.rect(left, y(o.mid), right - left, y(-o.mid) - y(o.mid), colour("band"))
    for tick in ticks:
        c.line(left, y(tick), right, y(tick), colour("grid"), 1)
        c.text(left - 6, y(tick) + size.font * 0.33, d.tick_text(ticks, tick), size.font - 1,
               anchor="end")  # fmt: skip
    c.line(left, y(0), right, y(0), colour("ink"), 1.5)
    d.made_up(c, figure, left, right, top, top + plot)
    _estimates(c, figure, found, x, y, (right - left) / max(len(found), 1))
    base = top + plot + 14
    for choice, heading, answers in options:
        c.text(4, base + size.font, heading, size.font - 1, bold=True)
        base += size.line + 6
        for answer in answers:
            who = [i for i, p in enumerate(found) if figure.data.text(p.row, choice) == answer]
            wide = size.width - 12 if size.narrow else column - 16
            words = wrap(answer, wide, size.font - 2)
            shown = words[0] + (" …" if len(words) > 1 else "")
            at = base + (size.line if size.narrow else 0)
            c.text(8, base + size.font - 2, shown, size.font - 2 if not size.narrow else 13)
            c.line(left, at + _ROW - 3, right, at + _ROW - 3, colour("grid"), 1)
            c.strokes(
                [(x(i), at + 1, at + _ROW - 4) for i in who],
                colour("1"),
                min(max((right - left) / max(len(found), 1) * 0.7, 0.8), 6),
            )
            base += per_row
    return c


def _estimates(c: Canvas, figure: SafeFigure, found: list[d.Point], x: d.Place, y: d.Place,
               room: float) -> None:  # fmt: skip
    out: list[tuple[float, float, float]] = []
    across: list[tuple[float, float, float]] = []
    for i, p in enumerate(found):
        if p.low is None or p.high is None:
            continue
        kind = out if p.low > 0 or p.high < 0 else across
        kind.append((x(i), y(p.high), y(p.low)))
    stroke = min(max(room * 0.55, 0.6), 2.5)
    c.strokes(across, colour("grid"), stroke)
    c.strokes(out, colour("1"), stroke)
    radius = min(max(room * 0.6, 1.4), 5)
    clear = [p.low is not None and p.high is not None and (p.low > 0 or p.high < 0) for p in found]
    for solid in (False, True):
        mine = [i for i, p in enumerate(found) if not p.series and clear[i] is solid]
        c.dots([(x(i), y(found[i].value)) for i in mine], radius, colour("1"), hollow=not solid,
               data=[figure.data.text(found[i].row, "value") for i in mine])  # fmt: skip
    for i, p in enumerate(found):
        if p.series:
            c.marker("diamond", x(i), y(p.value), 7, colour("2"), tip=d.tip(figure, p),
                     data=figure.data.text(p.row, "value"))  # fmt: skip
