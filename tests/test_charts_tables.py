"""Drawings, Plotly specifications, tables: sound, accessible, and with the same numbers."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from conftest import Rules
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sos_analysis import charts, tables
from sos_analysis.charts import drawings
from sos_analysis.charts.svg import CLASSES, COLOURS, nice_ticks, text_width, wrap
from sos_analysis.disclosure import (
    KINDS,
    STATIC,
    Column,
    FigureOptions,
    SafeFigure,
    SafeTable,
    safe_figure,
    safe_table,
)
from sos_analysis.errors import DisclosureError

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "</script><svg onload=alert(1)> & \"Co\" 'uncil' \u2028 end"


OPTIONS = {
    "estimates": FigureOptions(
        "Difference in kinship care", "per 100", 1, mid=3, lower="fewer with kin", higher="more"
    ),
    "event_study": FigureOptions(
        "Difference",
        "per 100",
        1,
        mid=3,
        adopted_from=-0.75,
        adopted_to=-0.25,
        adoption="Embedding period (left out)",
        base=-1,
        time="Years from embedding",
    ),
    "trend": FigureOptions(
        "Children with kin", "per 100", 1, adopted_from=2016.5, adoption="Adoption", time="Year"
    ),
    "bars": FigureOptions("Children", "per 100", 1),
    "panels": FigureOptions("Value", "", 1, time="Year"),
    "tiles": FigureOptions("Referrals closed at once", "per 100", 1),
    "curve": FigureOptions("Difference in kinship care", "per 100", 1, mid=5),
}
#: Kinds that Plotly draws too.
MOVING = [kind for kind in KINDS if kind not in STATIC]
#: Kinds whose values are means or rates.
PLAIN = ("trend", "bars", "panels", "tiles")


def rows(kind: str, *, series: bool = False, label: str = "A longer label of one estimate") -> Any:
    names = (
        ["Pilot authorities", "Comparator authorities"]
        if series or kind in ("trend", "panels")
        else [None]
    )
    found = []
    for s, name in enumerate(names):
        extra = {"series": name} if name else {}
        if kind in ("estimates", "bars", "tiles", "curve"):
            more = {"tiles": {"region": "London"}, "curve": {"fixed": f"Effects {s}"}}.get(kind, {})
            found += [
                {"label": f"{label} {w}", "value": v - s, "low": v - 4, "high": v + 3.26, **extra,
                 **more}
                for w, v in (("one", -6.94), ("two", 2.41), ("three", 0.0))
            ]  # fmt: skip
        elif kind == "event_study":
            found += [
                {
                    "time": t,
                    "value": 0.0 if t == -1 else t * 0.83 - s,
                    "low": None if t == -1 else t * 0.83 - 5.17,
                    "high": None if t == -1 else t * 0.83 + 5.25,
                    **extra,
                }
                for t in range(-9, 4)
            ]
        else:
            panel = {"label": label} if kind == "panels" else {}
            found += [{**panel, "time": y, "value": 40.04 - s * 1.37 + y % 3, **extra}
                      for y in range(2010, 2020)]  # fmt: skip
    return [{**row, "n": 400} for row in found]


def make(kind: str, data: Any = None, *, origin: str = "restricted", **more: Any) -> SafeFigure:
    given: dict[str, Any] = {
        "title": "Kinship care fell in pilots",
        "subtitle": "Made-up data. Difference per 100, England, 2008 to 2019",
        "alt": "A chart of differences. Most lie below zero.",
        "source": "Test records",
        "origin": origin,
        "rules": Rules(),
        "options": OPTIONS[kind],
        "count_columns": ("n",),
        "population": "test",
        "authorities": 9,
        "caption": "Bars are intervals.",
    }
    if kind in PLAIN:
        given["statistics"] = {"value": "n"}
    else:
        given["residual_dof"] = 26
    rendered = rows(kind) if data is None else data
    if kind == "curve" and "fixed" in rendered[0]:
        given["columns"] = {"fixed": Column("Fixed effects")}
    if kind in PLAIN:
        rendered = [{k: v for k, v in r.items() if k not in ("low", "high")} for r in rendered]
    return safe_figure(kind, rendered, **{**given, **more})


def csv_rows(figure: SafeFigure | SafeTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(figure.to_csv())))


def csv_numbers(figure: SafeFigure, key: str) -> list[float]:
    data = figure.data
    heading = next(c.heading for c in data.columns if c.key == key)
    return [float(r[heading]) for r in csv_rows(figure) if re.match(r"^-?[\d.]+$", r[heading])]


# --- one source of numbers --------------------------------------------------------------------


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_svg_plotly_table_and_csv_show_the_same_numbers(kind: str, series: bool) -> None:
    figure = make(kind, rows(kind, series=series))
    expected = sorted(csv_numbers(figure, "value"))
    assert len(expected) > 2
    spec = charts.plotly(figure) if kind in MOVING else {"data": []}
    axis = "x" if kind in ("estimates", "bars") else "y"
    drawn = [
        v
        for trace in spec["data"]
        if trace["name"] != "interval"
        for v in trace[axis]
        if v is not None
    ]
    assert sorted(drawn) == (expected if kind in MOVING else [])
    if kind in ("estimates", "event_study"):
        ends = [
            v for t in spec["data"] if t["name"] == "interval" for v in t[axis] if v is not None
        ]
        both = csv_numbers(figure, "low") + csv_numbers(figure, "high")
        assert sorted(ends) == sorted(both)
    for narrow in (False, True):
        root = ET.fromstring(charts.svg(figure, "x", narrow=narrow))
        if kind == "bars":
            texts = [t.text for t in root.iter(f"{SVG}text")]
            for value in expected:
                assert f"{value:.1f}".replace("-", "\u2212") in texts
        else:
            # A curve draws many marks as one path, which holds their values in order.
            marks = " ".join(e.get("data-value") or "" for e in root.iter()).split()
            plain = [float(m.replace("\u2212", "-").replace("+", "")) for m in marks]
            assert sorted(plain) == expected
    body = tables.body(figure.data, "t")
    for i in range(len(figure.data.rows)):
        assert f">{figure.data.text(i, 'value')}<" in body


def test_positions_in_the_drawing_follow_the_numbers() -> None:
    figure = make("estimates")
    root = ET.fromstring(charts.svg(figure, "x"))
    marks = [e for e in root.iter(f"{SVG}circle") if e.get("data-value")]
    at = [float(e.get("cx") or "nan") for e in marks]
    values = [float(v) for v in figure.data.values("value")]
    slope = (at[0] - at[1]) / (values[0] - values[1])
    assert slope > 0
    # Coordinates are written with two decimals, so half a hundredth of a unit either way.
    assert at[2] == pytest.approx(at[0] + slope * (values[2] - values[0]), abs=0.02)


def test_hidden_points_are_in_no_channel() -> None:
    data = rows("trend")
    data[3] = {**data[3], "value": 77.7, "n": 6}
    figure = make("trend", data)
    html = charts.render(figure, "x").html
    assert "77.7" not in html
    assert "77.7" not in figure.to_csv()
    assert "1 value is not drawn" in html
    # The line has a gap: it must not bridge the hidden year.
    assert charts.plotly(figure)["data"][0]["y"][3] is None
    root = ET.fromstring(charts.svg(figure, "x"))
    assert len(list(root.iter(f"{SVG}polyline"))) == 3


def test_exact_values_are_in_no_channel() -> None:
    data = [{"label": "a", "value": -8.123456, "low": -12.987654, "high": -3.456789, "n": 1234}]
    figure = make("estimates", data, columns={"n": Column("Children", "children")})
    html = charts.render(figure, "x").html + figure.to_csv() + json.dumps(figure.to_dict())
    for secret in ("8.123", "12.98765", "3.4567", "1234", "1,234"):
        assert secret not in html
    assert "1,235" in html


# --- sound and safe ---------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    label=st.text(min_size=1, max_size=60),
    narrow=st.booleans(),
)
@example(kind="bars", values=[0.03125], label="0", narrow=True)  # a rate of a case or two: hidden
@example(kind="estimates", values=[0.03125], label="0", narrow=True)
def test_any_data_draws_as_well_formed_xml(
    kind: str, values: list[float], label: str, narrow: bool
) -> None:
    data = [
        {"label": f"Label {label}{i}x", "time": i, "series": "S", "value": v,
         "low": v - 1, "high": v + 1, "n": 100, "region": f"Region {label}"}
        for i, v in enumerate(values)
    ]  # fmt: skip
    keep = {*KINDS[kind], "n"}
    figure = make(kind, [{k: v for k, v in row.items() if k in keep} for row in data])
    root = ET.fromstring(charts.svg(figure, "x", narrow=narrow))
    assert root.get("role") == "img"
    numbers = re.findall(r' (?:x|y|cx|cy|x1|x2|y1|y2)="([^"]*)"', charts.svg(figure, "x"))
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", n) for n in numbers)
    if kind in MOVING:
        json.dumps(charts.plotly(figure), allow_nan=False)


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_can_become_mark_up(kind: str) -> None:
    data = [
        {k: (f"{NASTY} {v}" if isinstance(v, str) else v) for k, v in row.items()}
        for row in rows(kind, series=True)
    ]
    options = OPTIONS[kind]
    given = {f: getattr(options, f) for f in options.__dataclass_fields__}
    nasty = FigureOptions(**{**given, "measure": NASTY, "time": NASTY, "adoption": NASTY})
    figure = make(
        kind, data, title=NASTY, subtitle=NASTY, alt=NASTY, source=NASTY, caption=NASTY,
        options=nasty,
    )  # fmt: skip
    html = charts.render(figure, 'x"onclick="y').html
    assert "<svg onload" not in html
    assert 'onclick="y' not in html
    for narrow in (False, True):
        ET.fromstring(charts.svg(figure, "n", narrow=narrow))
    assert html.count("</script>") == int(kind in MOVING)
    if kind in STATIC:
        return
    script = re.search(r'class="sos-plotly">(.*?)</script>', html, re.S)
    assert script is not None
    assert "<" not in script[1]
    spec = json.loads(script[1])
    drawn_by_plotly = json.dumps({k: v for k, v in spec["layout"].items() if k != "meta"})
    # Plotly reads a little HTML in its labels; only our own <b> and <br> may be there.
    assert set(re.findall(r"<[^>]*>", drawn_by_plotly + json.dumps(spec["data"]))) <= {
        "<br>", "<b>", "</b>", "<extra>", "</extra>",
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_charts_say_so_in_picture_spec_table_and_file(kind: str) -> None:
    real, made = make(kind), make(kind, origin="synthetic")
    for narrow in (False, True):
        assert "MADE-UP DATA" in charts.svg(made, "x", narrow=narrow)
        assert "MADE-UP DATA" not in charts.svg(real, "x", narrow=narrow)
    if kind in MOVING:
        notes = charts.plotly(made)["layout"]["annotations"]
        assert any("MADE-UP DATA" in n["text"] for n in notes)
        assert "MADE-UP" not in json.dumps(charts.plotly(real))
        assert charts.plotly(made)["layout"]["meta"]["origin"] == "synthetic"
    else:
        with pytest.raises(DisclosureError, match="no Plotly form; only these have: estimates"):
            charts.plotly(made)
    assert {r["origin"] for r in csv_rows(made)} == {"Made-up data"}
    assert "Made-up data" in charts.render(made, "x").html.split("<details")[1]


def test_only_safe_figures_are_drawn() -> None:
    for call in (charts.svg, charts.render):
        with pytest.raises(TypeError, match="only a SafeFigure"):
            call({"kind": "bars"}, "x")  # type: ignore[operator]
    with pytest.raises(TypeError, match="only a SafeFigure"):
        charts.plotly({"data": [3]})  # type: ignore[arg-type]


# --- accessible -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_all_that_a_reader_needs(kind: str) -> None:
    figure = make(kind)
    html = charts.render(figure, "rq4-x", href="../../downloads/rq4/x.csv").html
    root = ET.fromstring(html.replace(" hidden>", ' hidden="">'))
    assert root.tag == "figure"
    assert root[0].tag == "figcaption"
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for drawing in root.iter(f"{SVG}svg"):
        named = (drawing.get("aria-labelledby") or "").split()
        assert len(named) == 2
        assert set(named) <= set(ids)
        texts = {e.get("id"): e.text for e in drawing if e.get("id")}
        assert texts[named[0]] == f"Chart: {figure.title}"
        assert texts[named[1]] == figure.alt
    for text in ("Test records", "Show the data", "Bars are intervals.", figure.subtitle):
        assert text in html
    link = next(e for e in root.iter("a"))
    assert link.get("href") == "../../downloads/rq4/x.csv"
    assert link.get("download") == "x.csv"
    assert "CSV" in (link.text or "")
    plots = [e for e in root.iter("div") if e.get("class") == "sos-plot"]
    assert [e.get("aria-hidden") for e in plots] == (["true"] if kind in MOVING else [])


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("narrow", [False, True])
def test_no_word_leaves_the_frame(kind: str, series: bool, narrow: bool) -> None:
    figure = make(kind, rows(kind, series=series), origin="synthetic")
    root = ET.fromstring(charts.svg(figure, "x", narrow=narrow))
    width, height = (float(root.get(k) or 0) for k in ("width", "height"))
    assert width <= (340 if narrow else 720)
    for text in root.iter(f"{SVG}text"):
        size, x, y = (float(text.get(k) or 0) for k in ("font-size", "x", "y"))
        wide = text_width(text.text or "", size, bold=text.get("font-weight") is not None)
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[text.get("text-anchor") or ""]
        # A coordinate is written to two decimals.
        assert left >= -0.01, text.text
        assert left + wide <= width + 0.01, text.text
        assert size * 0.7 <= y <= height, text.text
        # Read at 320 px, a drawing of 340 units shrinks by a tenth: still above 11 px.
        assert size >= 13, text.text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_colours_pass_contrast_in_both_modes(mode: int) -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    # WCAG 2.2: 1.4.3 asks 4.5:1 of text, 1.4.11 asks 3:1 of graphics.
    for name in ("ink", "muted"):
        for ground in ("paper", "band", "adopt"):
            assert contrast(COLOURS[name][mode], COLOURS[ground][mode]) >= 4.5, (name, ground)
    for series in "123456":
        for ground in ("paper", "band", "adopt"):
            assert contrast(COLOURS[series][mode], COLOURS[ground][mode]) >= 3, (series, ground)
    # Names at the ends of lines are text in the colour of their series.
    for series in "123456":
        assert contrast(COLOURS[series][mode], COLOURS["paper"][mode]) >= 4.5, series
    assert len(set(COLOURS.values())) == len(COLOURS)
    # Classes of a map go one way in lightness, so they read without colour.
    shades = [luminance(COLOURS[name][mode]) for name in CLASSES]
    assert shades == sorted(shades, reverse=mode == 0)


def test_series_differ_by_more_than_colour() -> None:
    spec = charts.plotly(make("trend"))["data"]
    assert len({t["marker"]["symbol"] for t in spec}) == 2
    assert len({t["line"]["dash"] for t in spec}) == 2
    root = ET.fromstring(charts.svg(make("trend"), "x"))
    assert len({p.get("stroke-dasharray") for p in root.iter(f"{SVG}polyline")}) == 2
    forest = ET.fromstring(charts.svg(make("estimates", rows("estimates", series=True)), "x"))
    shapes = {e.tag for e in forest.iter() if e.get("data-value")}
    assert shapes == {f"{SVG}circle", f"{SVG}polygon"}
    bars = charts.plotly(make("bars", rows("bars", series=True)))["data"]
    assert [t["marker"]["line"]["width"] > 0 for t in bars] == [False, True]


# --- kinds that are pictures alone --------------------------------------------------------------


def test_a_map_letters_the_marked_and_shades_by_fifths() -> None:
    data = [
        {"label": f"Place {i:02}", "region": ("North East", "Outer London", "Elsewhere")[i % 3],
         "value": float(i), "series": "Pilot" if i in (3, 7) else "Other"}
        for i in range(20)
    ]  # fmt: skip
    data.append({"label": "Unknown", "region": "London", "value": None, "series": "Other"})
    figure = make("tiles", [{**r, "n": 90} for r in data])
    for narrow in (False, True):
        root = ET.fromstring(charts.svg(figure, "x", narrow=narrow))
        tiles = {t[0].text: t for t in root.iter(f"{SVG}rect") if len(t)}
        assert len(tiles) == 21
        assert "Place 03, Pilot: 3.0 per 100" in tiles
        assert "Unknown: no figure given" in tiles
        shades = [tiles[f"Place {i:02}: {i}.0 per 100"].get("style") for i in (0, 5, 9, 13, 19)]
        assert len(set(shades)) == 5
        texts = [t.text for t in root.iter(f"{SVG}text")]
        assert {"A", "B"} <= set(texts)
        assert "Pilot: A Place 03; B Place 07" in " ".join(t or "" for t in texts)
    places = {(t.get("x"), t.get("y")) for t in tiles.values()}
    assert len(places) == 21  # no two tiles on one place


def test_a_curve_is_in_order_and_each_choice_marks_its_estimates() -> None:
    values = (3.0, -7.5, 0.5, -2.0)
    data = [
        {"label": f"Way {i}", "value": v, "low": v - 1, "high": v + 1, "n": 90,
         "fixed": "Both" if i % 2 else "One", "same": "As ever",
         "series": "Other ways" if i < 3 else "Pre-specified"}
        for i, v in enumerate(values)
    ]  # fmt: skip
    figure = make("curve", data)
    figure = make("curve", data, columns={"fixed": Column("Fixed effects"), "same": Column("Same")})
    root = ET.fromstring(charts.svg(figure, "x"))
    marks = [e for e in root.iter(f"{SVG}path") if e.get("data-value")]
    told = [(e.get("data-value") or "").split() for e in marks]
    assert told == [["+0.5"], ["\u22127.5", "+3.0"]], "takes in zero, then leaves it out"
    at = [
        (float(px), float(py), float(value.replace("\u2212", "-")))
        for e, values in zip(marks, told, strict=True)
        for (px, py), value in zip(
            re.findall(r"M([\d.]+) ([\d.]+)h", e.get("d") or ""), values, strict=True
        )
    ]
    assert [v for *_, v in sorted(at)] == [-7.5, 0.5, 3.0], "from left to right"
    ups = [(py - at[0][1]) / (v - at[0][2]) for _, py, v in at[1:]]
    # Coordinates have two decimals.
    assert ups[0] == pytest.approx(ups[1], abs=0.01)
    assert ups[0] < 0
    # Two paths of intervals (with and without zero), one a choice; 'Same' does not vary.
    upright = [
        path.count("M")
        for e in root.iter(f"{SVG}path")
        if "V" in (path := e.get("d") or "") and "muted" not in (e.get("style") or "")
    ]
    assert sorted(upright) == [1, 2, 2, 3]
    texts = {t.text for t in root.iter(f"{SVG}text")}
    assert {"Fixed effects", "Both", "One"} <= texts
    assert "Same" not in texts


# --- Plotly -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MOVING)
def test_plotly_spec_is_plain_quiet_and_needs_the_basic_bundle_alone(kind: str) -> None:
    spec = charts.plotly(make(kind))
    assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    assert {t["type"] for t in spec["data"]} <= {"scatter", "bar"}
    config = spec["config"]
    assert config["displayModeBar"] is False
    assert config["showSendToCloud"] is False
    assert config["plotlyServerURL"] == ""
    assert config["responsive"] is True
    addresses = re.findall(r"https?:", json.dumps(spec))
    assert addresses == []
    text = json.dumps(spec)
    hexes = set(re.findall(r"#[0-9A-Fa-f]{6}", text.split('"dark"')[0]))
    assert hexes <= set(spec["dark"])
    import plotly.graph_objects as go

    go.Figure({"data": spec["data"], "layout": spec["layout"]})  # raises on an unknown property


def test_drawing_is_the_same_each_time() -> None:
    for kind in KINDS:
        assert charts.render(make(kind), "x").html == charts.render(make(kind), "x").html


def test_style_rules_name_every_series_colour_in_both_modes() -> None:
    css = charts.css()
    for name in "123456":
        assert f"--sos-{name}:{COLOURS[name][0]}" in css
        assert f"--sos-{name}:{COLOURS[name][1]}" in css
    assert css.count("{") == css.count("}")


# --- parts ------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 8))
def test_ticks_cover_the_data_and_are_few(low: float, span: float, about: int) -> None:
    ticks = nice_ticks(low, low + span, about)
    # Numbers on a chart have at most six decimals; ticks are built to a billionth of a step.
    assert ticks[0] <= low + 1e-6 + span * 1e-6
    assert ticks[-1] >= low + span - 1e-6 - span * 1e-6
    assert 2 <= len(ticks) <= about + 3
    assert ticks == sorted(set(ticks))


@given(st.lists(st.text("abcdefghij", min_size=1, max_size=12), max_size=20), st.floats(60, 400))
def test_wrapping_keeps_every_word(words: list[str], width: float) -> None:
    lines = wrap(" ".join(words), width, 15)
    assert " ".join(lines).split() == words
    for line in lines:
        assert text_width(line, 15) <= width or " " not in line


def test_words_as_time_keep_their_order() -> None:
    data = [
        {"time": t, "series": "Pilots", "value": v, "n": 100}
        for t, v in (("2017/18", 4.0), ("2018/19", 5.0), ("2019/20", 3.0))
    ]
    figure = make("trend", data, options=FigureOptions("Share", "per 100"))
    axis = charts.plotly(figure)["layout"]["xaxis"]
    assert axis["ticktext"] == ["2017/18", "2018/19", "2019/20"]
    assert drawings.position(("b", "a", "b")) == [0.0, 1.0, 0.0]


# --- tables -----------------------------------------------------------------------------------


def table(**more: Any) -> SafeTable:
    return safe_table(
        [{"g": NASTY, "n": 1234, "v": -8.14}, {"g": "Small", "n": 4, "v": 1.0}],
        columns={
            "g": Column("Group"),
            "n": Column("Children", "children"),
            "v": Column("Difference", "per 100", 1, signed=True),
        },
        count_columns=("n",),
        population="test",
        estimates=("v",),
        residual_dof=26,
        authorities=9,
        rules=Rules(),
        **{"title": "Counted", "caption": "All years.", "source": "Test records",
           "origin": "synthetic", **more},
    )  # fmt: skip


def test_a_table_has_caption_scopes_units_and_a_key() -> None:
    html = tables.render(table(), "rq4-counts", href="../../downloads/rq4/counts.csv").html
    root = ET.fromstring(html)
    region = root[0]
    assert region.get("role") == "region"
    assert region.get("tabindex") == "0"
    caption = next(root.iter("caption"))
    assert caption.get("id") == region.get("aria-labelledby")
    assert "Made-up data" in "".join(caption.itertext())
    heads = [h for h in root.iter("th") if h.get("scope") == "col"]
    assert ["".join(h.itertext()) for h in heads] == [
        "Group",
        "Children (children)",
        "Difference (per 100)",
    ]
    assert all("".join(h.itertext()).strip() for h in root.iter("th"))
    assert len([h for h in root.iter("th") if h.get("scope") == "row"]) == 2
    cells = ["".join(c.itertext()) for c in root.iter("td")]
    assert cells == ["1,235", "\u22128.1", "[c]", "[c]"]
    assert all("sos-num" in (c.get("class") or "") for c in root.iter("td"))
    assert not any(c.get("colspan") or c.get("rowspan") for c in root.iter())
    assert "[c] not shown, to protect confidentiality." in "".join(root.itertext())
    assert "<svg onload" not in html


@pytest.mark.parametrize(
    ("columns", "rows", "listed"), [(5, 4, True), (4, 4, False), (8, 17, False)]
)
def test_a_wide_table_of_few_rows_is_a_list_on_a_phone(columns, rows, listed) -> None:
    """Each cell then names its column; a table under a chart stays a table."""
    names = {"g": "Group"} | {f"n{i}": f"Figure {i}" for i in range(columns - 1)}
    made = safe_table(
        [{"g": f"row {k}"} | {f"n{i}": 100 + i for i in range(columns - 1)} for k in range(rows)],
        columns=names,
        category_columns=tuple(names)[1:],
        authorities=9,
        rules=Rules(),
        title="T",
        source="S",
        origin="restricted",
    )
    root = ET.fromstring(tables.body(made, "x"))
    labels = [c.get("data-label") for c in root.iter("td")]
    assert ("sos-pairs" in (root[0].get("class") or "")) == listed
    assert labels == ([*names.values()][1:] if listed else [None] * (columns - 1)) * rows
    assert "sos-pairs" not in tables.body(made, "x", quiet=True)


def test_a_table_without_symbols_has_no_key_and_plain_text_lines_up() -> None:
    plain = tables.render(
        safe_table(
            [{"g": "a", "n": 1000}, {"g": "bb", "n": 20}],
            columns={"g": "Group", "n": "Children"},
            count_columns=("n",),
            population="test",
            authorities=9,
            rules=Rules(),
            title="T",
            source="S",
            origin="restricted",
        ),
        "x",
    )
    assert "sos-key" not in plain.html
    lines = str(plain).splitlines()
    assert lines[2:5] == ["Group  Children", "a         1,000", "bb           20"]
