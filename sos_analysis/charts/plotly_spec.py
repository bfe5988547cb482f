"""Charts of estimates, time and bars as plain Plotly specifications: scatter and bar traces only.

Nothing but the safe figure goes in: hover text is written here from its cells. Intervals are
lines from `low` to `high`, so the numbers in the JSON are those of the CSV. Colours are the light
ones; `dark` maps each to its partner for dark mode.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from sos_analysis.charts import drawings as d
from sos_analysis.charts.svg import COLOURS, wrap
from sos_analysis.disclosure.safe import FigureOptions, SafeFigure
from sos_analysis.formats import number

CONFIG = {
    "displayModeBar": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "scrollZoom": False,
    "doubleClick": False,
    "showTips": False,
}
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
DASHES = ("solid", "dash", "dot", "dashdot")
HEIGHTS = {"event_study": 420, "trend": 400}


def spec(figure: SafeFigure) -> dict[str, Any]:
    """Keys data, layout, config, dark, height."""
    makers = {
        "estimates": _estimates,
        "event_study": _event_study,
        "trend": _trend,
        "bars": _bars,
    }
    data, layout = makers[figure.kind](figure)
    rows = len(figure.data.rows)
    height = HEIGHTS.get(figure.kind, 150 + 46 * rows)
    base = _layout(figure, height)
    base = _merged(base, layout)
    base["shapes"] = layout.get("shapes", [])
    base["annotations"] = [*_watermark(figure), *layout.get("annotations", [])]
    dark = dict(COLOURS.values())
    return {"data": data, "layout": base, "config": dict(CONFIG), "dark": dark, "height": height}


def _merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`base` with `more` laid over it, dictionary by dictionary."""
    both = dict(base)
    for key, value in more.items():
        inner = both.get(key)
        nested = isinstance(value, dict) and isinstance(inner, dict)
        both[key] = _merged(inner, value) if nested else value  # type: ignore[arg-type]
    return both


def _c(name: str) -> str:
    return COLOURS[name][0]


def safe_text(text: str) -> str:
    """Plotly reads a little HTML in its labels; data must not be read as such."""
    return html.escape(text, quote=False)


def _lines(text: str, width: float) -> str:
    return "<br>".join(safe_text(line) for line in wrap(text, width, 14))


def _axis() -> dict[str, Any]:
    return {
        "automargin": True,
        "fixedrange": True,
        "gridcolor": _c("grid"),
        "linecolor": _c("muted"),
        "showline": False,
        "zeroline": False,
        "tickfont": {"color": _c("ink"), "size": 14},
        "ticks": "outside",
        "ticklen": 5,
        "tickcolor": "rgba(0,0,0,0)",
        "title": {"font": {"color": _c("muted"), "size": 14}, "text": ""},
    }


def _layout(figure: SafeFigure, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "autosize": True,
        "dragmode": False,
        "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 14, "color": _c("ink")},
        "hoverlabel": {
            "bgcolor": _c("paper"),
            "bordercolor": _c("muted"),
            "font": {"color": _c("ink"), "size": 14},
            "align": "left",
        },
        "margin": {"l": 10, "r": 16, "t": 12, "b": 10},
        "showlegend": False,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom",
                   "itemclick": False, "itemdoubleclick": False},
        "xaxis": _axis(),
        "yaxis": _axis(),
        "meta": {
            "title": figure.title,
            "subtitle": figure.subtitle,
            "source": figure.source,
            "origin": figure.origin,
        },
    }  # fmt: skip


def _watermark(figure: SafeFigure) -> list[dict[str, Any]]:
    if figure.origin != "synthetic":
        return []
    # Row labels leave little room beside them, and bars would lie over the words: smaller, and
    # for bars above them.
    beside, above = figure.kind in ("estimates", "bars"), figure.kind == "bars"
    return [
        {
            "text": f"<b>{d.MADE_UP}</b>",
            "name": "made-up",
            "xref": "paper",
            "yref": "paper",
            "x": 1 if above else 0.5,
            "y": 1 if above else 0.5,
            **({"xanchor": "right", "yanchor": "bottom"} if above else {}),
            "showarrow": False,
            "opacity": 0.6 if above else 0.2,
            "font": {"size": 16 if above else 26 if beside else 34, "color": _c("muted")},
        }
    ]


def _band(axis: str, low: float, high: float, colour: str) -> dict[str, Any]:
    other = "y" if axis == "x" else "x"
    return {
        "type": "rect",
        "layer": "below",
        "line": {"width": 0},
        "fillcolor": colour,
        f"{axis}0": low,
        f"{axis}1": high,
        f"{axis}ref": axis,
        f"{other}0": 0,
        f"{other}1": 1,
        f"{other}ref": "paper",
    }


def _rule(axis: str, at: float, dash: str = "solid") -> dict[str, Any]:
    shape = _band(axis, at, at, _c("ink"))
    return {
        **shape,
        "type": "line",
        "line": {"width": 1.5, "color": _c("ink"), "dash": dash},
    }


def _ticks(values: Sequence[float]) -> dict[str, Any]:
    return {
        "tickmode": "array",
        "tickvals": list(values),
        "ticktext": [d.tick_text(values, v) for v in values],
        "range": [values[0], values[-1]],
    }


#: Pixels: a letter of the axis, and the axis in the narrowest place where Plotly draws.
_LETTER, _TIME_WIDTH = 8, 420


def _time_axis(figure: SafeFigure, pad: float) -> dict[str, Any]:
    places = d.position(figure.data.values("time"))
    texts = [safe_text(figure.data.text(i, "time")) for i in range(len(places))]
    marks = sorted(dict(zip(places, texts, strict=True)).items())
    # Labels that would touch or be turned give way to every second or third; the last one stays.
    wanted = sum(len(text) * _LETTER + _LETTER for _, text in marks)
    step = math.ceil(wanted / _TIME_WIDTH)
    told = marks[::-1][::step][::-1]
    return {
        "tickmode": "array",
        "tickvals": [place for place, _ in told],
        "ticktext": [text for _, text in told],
        "tickangle": 0,
        "range": [marks[0][0] - pad, marks[-1][0] + pad],
        "showgrid": False,
        "title": {"text": safe_text(figure.options.time)},
    }


def _shaded(o: FigureOptions) -> str:
    words = d.mid_words(o)
    return safe_text(f"Shaded: {words[0].lower()}{words[1:]}")


def _marks(
    figure: SafeFigure, found: Sequence[d.Point], x: list[float], y: list[float], series: int
) -> dict[str, Any]:
    tint = _c(str(series + 1))
    hollow = [figure.kind == "event_study" and p.place < 0 for p in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": safe_text(d.series_names(figure)[series]),
        "x": x,
        "y": y,
        "text": [safe_text(d.tip(figure, p)) for p in found],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "symbol": SYMBOLS[series],
            "size": 12,
            "color": [_c("paper") if h else tint for h in hollow],
            "line": {"width": 2, "color": tint},
        },
    }


def _spans(
    found: Sequence[d.Point], at: Sequence[float], series: int, upright: bool
) -> dict[str, Any]:
    ends: list[float | None] = []
    where: list[float | None] = []
    for p, place in zip(found, at, strict=True):
        if p.low is not None and p.high is not None:
            ends += [p.low, p.high, None]
            where += [place, place, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "interval",
        "x": where if upright else ends,
        "y": ends if upright else where,
        "line": {"color": _c(str(series + 1)), "width": 2.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _estimates(figure: SafeFigure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    o, found = figure.options, d.points(figure)
    data = []
    for s in range(len(d.series_names(figure))):
        mine = [p for p in found if p.series == s]
        at = [float(found.index(p)) for p in mine]
        data += [
            _spans(mine, at, s, upright=False),
            _marks(figure, mine, [p.value for p in mine], at, s),
        ]
    shapes = [_rule("x", 0)]
    if o.mid is not None:
        shapes.insert(0, _band("x", -o.mid, o.mid, _c("band")))
    told = [
        {
            "text": safe_text(d.value_words(o, p)),
            "xref": "paper",
            "x": 1,
            "xanchor": "left",
            "xshift": 12,
            "y": i,
            "showarrow": False,
            "font": {"color": _c("ink"), "size": 14},
        }
        for i, p in enumerate(found)
    ]
    title = [safe_text(d.axis_words(o))]
    if o.lower or o.higher:
        title.insert(0, safe_text(f"← {o.lower}   |   {o.higher} →"))
    if o.mid is not None:
        title.append(_shaded(o))
    layout = {
        "xaxis": {**_ticks(d.domain(figure, found, zero=True)),
                  "title": {"text": "<br>".join(title)}},
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(found))),
            "ticktext": [_lines(p.label, 220) for p in found],
            "range": [len(found) - 0.5, -0.5],
            "showgrid": False,
        },
        "shapes": shapes,
        "annotations": told,
        "margin": {"r": 180},
        "showlegend": len(data) > 2,
    }  # fmt: skip
    return data, layout


def _adoption(figure: SafeFigure) -> list[dict[str, Any]]:
    o = figure.options
    shaded = []
    if o.shaded_from is not None and o.shaded_to is not None:
        shaded = [_band("x", o.shaded_from, o.shaded_to, _c("band"))]
    if o.adopted_from is None:
        return shaded
    if o.adopted_to is not None and o.adopted_to > o.adopted_from:
        return [*shaded, _band("x", o.adopted_from, o.adopted_to, _c("adopt"))]
    return [*shaded, _rule("x", o.adopted_from, "dash")]


def _adoption_note(figure: SafeFigure) -> list[dict[str, Any]]:
    o = figure.options
    told = []
    if o.adopted_from is not None:
        end = o.adopted_to if o.adopted_to is not None else o.adopted_from
        told.append((o.adoption or "Adoption", (o.adopted_from + end) / 2))
    if o.shaded_from is not None and o.shaded_to is not None and o.shaded:
        told.append((o.shaded, (o.shaded_from + o.shaded_to) / 2))
    return [
        {
            "text": safe_text(words),
            "x": place,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"color": _c("ink"), "size": 13},
        }
        for words, place in told
    ]


#: Pixels that the title of the value axis may take.
_MEASURE_WIDTH = 720


def _above(figure: SafeFigure) -> int:
    """Room above a chart over time: the title of its value axis, and what marks carry."""
    lines = 1 + _lines(d.axis_words(figure.options), _MEASURE_WIDTH).count("<br>")
    return 30 + 18 * lines + (0 if figure.options.adopted_from is None else 10)


def _measure(figure: SafeFigure) -> dict[str, Any]:
    """Title of the value axis, lying above it: nobody need turn their head."""
    return {
        "text": _lines(d.axis_words(figure.options), _MEASURE_WIDTH),
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "yshift": 8 if figure.options.adopted_from is None else 28,
        "align": "left",
        "showarrow": False,
        "font": {"color": _c("muted"), "size": 14},
    }


def _event_study(figure: SafeFigure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    o, found, names = figure.options, d.points(figure), d.series_names(figure)
    data = []
    for s in range(len(names)):
        mine = [p for p in found if p.series == s]
        at = [round(p.place + (s - (len(names) - 1) / 2) * 0.22, 4) for p in mine]
        data += [
            _spans(mine, at, s, upright=True),
            _marks(figure, mine, at, [p.value for p in mine], s),
        ]
    shapes = [*_adoption(figure), _rule("y", 0)]
    axis = _time_axis(figure, 0.6)
    if o.mid is not None:
        shapes.insert(0, _band("y", -o.mid, o.mid, _c("band")))
        lines = [w for w in (axis["title"]["text"], _shaded(o)) if w]
        axis["title"] = {"text": "<br>".join(lines)}
    return data, {
        "xaxis": axis,
        "yaxis": _ticks(d.domain(figure, found, zero=True)),
        "shapes": shapes,
        "annotations": [_measure(figure), *_adoption_note(figure)],
        "margin": {"t": _above(figure)},
        "showlegend": len(names) > 1,
        "legend": {"x": 1, "xanchor": "right", "y": 1.12},
    }


def _trend(figure: SafeFigure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found = d.points(figure)
    data, ends = [], []
    for s, name in enumerate(d.series_names(figure)):
        mine = sorted((p for p in found if p.series == s), key=lambda p: p.place)
        x, y, told = [], [], []
        for run in d.runs(figure, mine):
            x += [*(p.place for p in run), None]
            y += [*(p.value for p in run), None]
            told += [*(safe_text(d.tip(figure, p)) for p in run), None]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "connectgaps": False,
                "name": safe_text(name),
                "x": x[:-1],
                "y": y[:-1],
                "text": told[:-1],
                "hovertemplate": "%{text}<extra></extra>",
                "line": {"color": _c(str(s + 1)), "width": 2.5, "dash": DASHES[s]},
                "marker": {"symbol": SYMBOLS[s], "size": 9, "color": _c(str(s + 1))},
            }
        )
        if mine:
            ends.append((mine[-1], name))
    return data, {
        "xaxis": _time_axis(figure, 0.25),
        "yaxis": _ticks(d.domain(figure, found, zero=False)),
        "shapes": _adoption(figure),
        "annotations": [
            _measure(figure),
            *_adoption_note(figure),
            *_end_names(ends, d.domain(figure, found, zero=False)),
        ],
        "margin": {"t": _above(figure), "r": 170},
    }


def _end_names(ends: list[tuple[d.Point, str]], ticks: Sequence[float]) -> list[dict[str, Any]]:
    """Names at the ends of the lines, pushed apart where they would touch."""
    scale = 300 / (ticks[-1] - ticks[0])  # pixels a unit, roughly: the plot is about 300 high
    notes, floor = [], float("inf")
    for point, name in sorted(ends, key=lambda e: -e[0].value):
        here = min(point.value * scale, floor)
        text = _lines(name, 150)
        floor = here - 20 * (1 + text.count("<br>"))
        notes.append(
            {
                "text": text,
                "x": point.place,
                "y": point.value,
                "xanchor": "left",
                "xshift": 10,
                "yshift": round(here - point.value * scale),
                "align": "left",
                "showarrow": False,
                "font": {"color": _c(str(point.series + 1)), "size": 14},
            }
        )
    return notes


def _bars(figure: SafeFigure) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    o, found, names = figure.options, d.points(figure), d.series_names(figure)
    labels = list(dict.fromkeys(p.label for p in found))
    data = []
    for s, name in enumerate(names):
        mine = [p for p in found if p.series == s]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": safe_text(name),
                "x": [p.value for p in mine],
                "y": [labels.index(p.label) for p in mine],
                "text": [number(p.value, o.decimals) for p in mine],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertext": [safe_text(d.tip(figure, p)) for p in mine],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "marker": {
                    "color": _c("paper") if s else _c(str(s + 1)),
                    "line": {"color": _c(str(s + 1)), "width": 2.5 if s else 0},
                },
            }
        )
    return data, {
        "barmode": "group",
        "xaxis": {
            **_ticks(d.domain(figure, found, zero=True)),
            "title": {"text": safe_text(d.axis_words(o))},
        },
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(labels))),
            "ticktext": [_lines(label, 200) for label in labels],
            "range": [len(labels) - 0.5, -0.5],
            "showgrid": False,
        },
        "shapes": [_rule("x", 0)],
        "margin": {"r": 60, "t": 34},
        "showlegend": len(names) > 1,
    }
