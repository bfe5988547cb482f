"""Files of the site beside its pages: start page, chart style, what is left out."""

from __future__ import annotations

import re
import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sos_analysis.pipeline.takeaway import base_address
from sos_book.trim import trim, words_of

if TYPE_CHECKING:
    from sphinx.application import Sphinx

CHART_STYLE = "sos-charts.css"
_IMPORT = '@import "../basic.css";'

_START = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{base}{target}">
</head>
<body>
<main>
<h1>{title}</h1>
<p><a href="{target}">Go to the report</a></p>
</main>
</body>
</html>
"""


def start_page(language: str, title: str, target: str) -> str:
    """Leads from the address of the site to its first page."""
    # Search engines want the whole address of a page; a relative one serves where none is known.
    return _START.format(lang=language, title=escape(title), target=target, base=base_address())


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    start = app.builder.get_target_uri(app.config.root_doc)
    if start != "index.html":
        page = start_page(app.config.language, app.config.html_title, start)
        (out / "index.html").write_text(page, encoding="utf-8", newline="\n")
    for path in out.rglob("*.html"):
        text = path.read_text("utf-8")
        # The theme has colours for light and dark alone; a script makes one of them of "auto".
        plain = text.replace('data-theme="auto">', 'data-theme="light">', 1)
        # A fingerprint that happens to hold no letter would look like a number of children.
        plain = re.sub(r'(\?v=)(\d{8}")', r"\1v\2", plain)
        if plain != text:
            path.write_text(plain, encoding="utf-8", newline="\n")
    _leave_out(out / "_static")
    _trim_styles(out)


def _leave_out(static: Path) -> None:
    """Files of the theme that no page loads: icon fonts and their script, logos, translations."""
    for folder in ("vendor/fontawesome", "locales", "images"):
        shutil.rmtree(static / folder, ignore_errors=True)
    for unused in (
        *("scripts/fontawesome.js", "sbt-webpack-macros.html", "webpack-macros.html"),
        *("file.png", "minus.png", "plus.png"),
    ):
        (static / unused).unlink(missing_ok=True)
    for pattern in ("*.map", "*.LICENSE.txt"):
        for path in static.rglob(pattern):
            if not path.is_relative_to(static / "vendor"):
                path.unlink()


def _trim_styles(out: Path) -> None:
    """Leave out the style rules that no page and no script of the site can use."""
    sources = list(out.rglob("*.html"))
    sources += [p for p in (out / "_static").rglob("*.js") if "vendor" not in p.parts]
    words = words_of(sources)
    # A style sheet that only names another costs a phone a second journey.
    theme = out / "_static" / "styles" / "theme.css"
    if (
        theme.is_file()
        and re.sub(r"(?s)/\*.*?\*/", "", theme.read_text("utf-8")).strip() == _IMPORT
    ):
        shutil.copyfile(out / "_static" / "basic.css", theme)
    for path in (out / "_static").rglob("*.css"):
        path.write_text(trim(path.read_text("utf-8"), words), encoding="utf-8", newline="\n")


def _write_chart_style(app: Sphinx) -> None:
    """The rules that charts need, from the module that draws them; before pages name the file."""
    if app.builder.format != "html":
        return
    from sos_analysis.charts import css

    target = Path(app.outdir, "_static", CHART_STYLE)
    # Trimmed for the pages of an earlier build; Sphinx would leave them as they are.
    for old in target.parent.rglob("*.css"):
        old.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(css(), encoding="utf-8", newline="\n")


def setup(app: Sphinx) -> None:
    """Register what is written before and after the pages."""
    app.add_css_file(CHART_STYLE)
    app.connect("builder-inited", _write_chart_style)
    app.connect("build-finished", _finish)
