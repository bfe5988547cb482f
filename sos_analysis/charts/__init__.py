"""Charts from safe figures: static SVG at once, Plotly on demand, table and CSV from one source.

What a page gets from `render` (the contract with the site's script and style sheet)::

    <figure class="sos-figure" id="fig-NAME" data-figure="NAME" data-kind="KIND"
            data-origin="ORIGIN">
      <figcaption class="sos-figure-head">
        <p class="sos-figure-title">message</p>
        <p class="sos-figure-subtitle">measure, place, period</p>
      </figcaption>
      <div class="sos-canvas">
        <svg class="sos-svg sos-svg-wide" role="img" …>…</svg>       720 units wide
        <svg class="sos-svg sos-svg-narrow" role="img" … style="…display:none">…</svg>   340
        <div class="sos-plot" aria-hidden="true" hidden></div>
        <script type="application/json" class="sos-plotly">{"data": [...], "layout": {...},
          "config": {...}, "dark": {"#12436D": "#8AB8E6", …}, "height": 420}</script>
      </div>
      <p class="sos-caption">…</p><p class="sos-key">…</p><p class="sos-source">…</p>
      <details class="sos-data"><summary>Show the data</summary> table </details>
      <p class="sos-take-away"><a class="sos-download" download href="…">…</a></p>
    </figure>

Kinds of `STATIC` have no ``sos-plot`` and no script: their pictures carry tooltips.

For the script:

* for each ``script.sos-plotly`` that comes into view, load the one local bundle (basic: scatter
  and bar suffice), parse the JSON, draw with ``Plotly.newPlot(div.sos-plot, data, layout,
  config)``, then hide the SVGs visually (they stay the accessible image; the Plotly layer is
  ``aria-hidden`` and must hold no tab stop) and show ``div.sos-plot``;
* in dark mode replace each colour named in ``dark`` in the JSON text before parsing it (an exact
  string replacement of ``"#12436D"`` and the like); draw again when the mode changes;
* set ``layout.height`` to the height of the SVG that was shown, so that nothing moves;
* leave the SVG alone where `.sos-canvas` is narrower than 544 px (34rem): the narrow drawing is
  better;
* in print show the SVG and hide the Plotly layer.

`css()` gives the rules the figure needs: colours of the series in light and dark, which SVG shows
at what width, print. The site sets ``--sos-paper``, ``--sos-ink`` and ``--sos-muted``. Without
any style sheet (JupyterLab) the wide SVG shows as a white card.
"""

from __future__ import annotations

import json
from typing import Any

from sos_analysis import tables
from sos_analysis.charts import curve, drawings, panels, plotly_spec, tiles
from sos_analysis.charts.svg import COLOURS
from sos_analysis.disclosure.safe import KINDS, STATIC, SafeFigure
from sos_analysis.disclosure.suppression import CONFIDENTIAL
from sos_analysis.errors import DisclosureError
from sos_analysis.formats import Rendered, escape

_DRAWN = {**drawings.DRAWN, "panels": panels.draw, "tiles": tiles.draw, "curve": curve.draw}


def svg(figure: SafeFigure, name: str, *, narrow: bool = False) -> str:
    """Static drawing of a figure; 720 units wide, or 340 for a phone."""
    _require(figure)
    size = drawings.NARROW if narrow else drawings.WIDE
    return _DRAWN[figure.kind](figure, size).render(
        name=name,
        title=f"Chart: {figure.title}",
        description=figure.alt,
        css=f"sos-svg sos-svg-{'narrow' if narrow else 'wide'}",
        hidden=narrow,
    )


def plotly(figure: SafeFigure) -> dict[str, Any]:
    """Plain Plotly figure: keys data, layout, config, dark, height.

    Raises
    ------
    DisclosureError
        The kind is one of `STATIC`, which are pictures alone.
    """
    _require(figure)
    if figure.kind in STATIC:
        raise DisclosureError(
            f"a {figure.kind} chart has no Plotly form; only these have: "
            f"{', '.join(k for k in KINDS if k not in STATIC)}"
        )
    return plotly_spec.spec(figure)


def render(figure: SafeFigure, name: str, *, href: str = "") -> Rendered:
    """Figure as HTML for a page, and its alternative text.

    Parameters
    ----------
    figure : SafeFigure
    name : str
        Unique on the page; used for ids.
    href : str
        Address of the CSV; '' leaves the link out.

    Raises
    ------
    TypeError
        The figure is not a SafeFigure.
    """
    _require(figure)
    key = escape(name)
    caption = f'<p class="sos-caption">{escape(figure.data.caption)}</p>'
    link = tables.download(href, "chart's data")
    html = (
        f'<figure class="sos-figure" id="fig-{key}" data-figure="{key}" '
        f'data-kind="{figure.kind}" data-origin="{figure.origin}">'
        '<figcaption class="sos-figure-head">'
        f'<p class="sos-figure-title"><strong>{escape(figure.title)}</strong></p>'
        f'<p class="sos-figure-subtitle">{escape(figure.subtitle)}</p></figcaption>'
        f'<div class="sos-canvas">{svg(figure, f"{name}-w")}{svg(figure, f"{name}-n", narrow=True)}'
        f"{'' if figure.kind in STATIC else _interactive(figure)}</div>"
        f"{caption if figure.data.caption else ''}{_not_drawn(figure)}"
        f"{tables.source_line(figure.source, figure.origin)}"
        '<details class="sos-data"><summary>Show the data</summary>'
        f"{tables.body(figure.data, f'{name}-data', quiet=True)}{tables.key_line(figure.data)}"
        "</details>" + (f'<p class="sos-take-away">{link}</p>' if link else "") + "</figure>"
    )
    text = f"{figure.title}\n{figure.subtitle}\n{figure.alt}\nSource: {figure.source}"
    return Rendered(html, text)


def _interactive(figure: SafeFigure) -> str:
    """Where the script draws, and what."""
    # "<" never appears in the JSON, so no text in the data can end the script element.
    spec = json.dumps(plotly(figure), sort_keys=True, ensure_ascii=False, allow_nan=False)
    spec = spec.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return (
        '<div class="sos-plot" aria-hidden="true" hidden></div>'
        f'<script type="application/json" class="sos-plotly">{spec}</script>'
    )


def css() -> str:
    """Style rules the figures need: colours, width switch, print."""
    own = {k: v for k, v in COLOURS.items() if k not in ("paper", "ink", "muted")}
    light = ";".join(f"--sos-{k}:{a}" for k, (a, _) in own.items())
    dark = ";".join(f"--sos-{k}:{b}" for k, (_, b) in own.items())
    return f"""\
:root{{{light}}}
html[data-theme="dark"]{{{dark}}}
.sos-figure{{container-type:inline-size;margin:1.5rem 0}}
.sos-figure-head{{text-align:left}}
.sos-figure-title{{font-size:1.15rem;margin:0}}
.sos-figure-subtitle{{margin:.15rem 0 .6rem}}
.sos-svg{{width:100%}}
@container (max-width:34rem){{
  .sos-svg-wide{{display:none!important}}
  .sos-svg-narrow{{display:block!important;max-width:30rem}}
}}
.sos-drawn .sos-svg{{position:absolute;width:1px;height:1px!important;overflow:hidden;\
clip-path:inset(50%)}}
.sos-canvas{{position:relative}}
@media print{{
  html[data-theme="dark"]{{{light}}}
  .sos-plot{{display:none!important}}
  .sos-drawn .sos-svg-wide{{position:static;width:100%;height:auto!important;clip-path:none}}
}}
"""


def _not_drawn(figure: SafeFigure) -> str:
    hidden = sum(v == CONFIDENTIAL for v in figure.data.values("value"))
    if not hidden:
        return ""
    noun = "value is" if hidden == 1 else "values are"
    return (
        f'<p class="sos-key">{hidden} {noun} not drawn, to protect confidentiality '
        f"(<strong>{CONFIDENTIAL}</strong> in the data).</p>"
    )


def _require(figure: object) -> None:
    if not isinstance(figure, SafeFigure):
        raise TypeError(
            f"only a SafeFigure can be drawn, not {type(figure).__name__}; "
            "make one with disclosure.safe_figure"
        )
