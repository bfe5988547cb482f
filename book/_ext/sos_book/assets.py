"""Files of the site beside its pages: start page, chart style, drawing library."""

from __future__ import annotations

import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CHART_STYLE = "sos-charts.css"

_START = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{target}">
</head>
<body>
<main>
<h1>{title}</h1>
<p><a href="{target}">Go to the report</a></p>
</main>
</body>
</html>
"""


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    start = app.builder.get_target_uri(app.config.root_doc)
    if start != "index.html":
        page = _START.format(
            lang=app.config.language, title=escape(app.config.html_title), target=start
        )
        (out / "index.html").write_text(page, encoding="utf-8", newline="\n")
    _copy_plotly(out / "_static" / "vendor" / "plotly.min.js")
    for unused in ("scripts/fontawesome.js", "scripts/fontawesome.js.map"):
        (out / "_static" / unused).unlink(missing_ok=True)
    for pattern in ("*.map", "*.LICENSE.txt.map"):
        for path in (out / "_static").rglob(pattern):
            path.unlink()


def _write_chart_style(app: Sphinx) -> None:
    """The rules that charts need, from the module that draws them; before pages name the file."""
    if app.builder.format != "html":
        return
    from sos_analysis.charts import css

    target = Path(app.outdir, "_static", CHART_STYLE)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(css(), encoding="utf-8", newline="\n")


def _copy_plotly(target: Path) -> None:
    """The drawing library of the installed plotly, so that versions always agree."""
    import plotly

    source = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def setup(app: Sphinx) -> None:
    """Register what is written before and after the pages."""
    app.add_css_file(CHART_STYLE)
    app.connect("builder-inited", _write_chart_style)
    app.connect("build-finished", _finish)
