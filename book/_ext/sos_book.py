"""The book's one Sphinx extension.

- Numbers, exhibits and what pages rest on are in `sos_numbers`.
- ``{plan}`` writes out the plan and what became of it.
- ``{generated}`` and links to the glossary come from `sos_readers`.
- ``{edition}`` holds words for one edition alone: made-up worked examples, or restricted records.
- Every page gets a banner that says whether its numbers are real.
- Formulas become MathML: no script, no font, no network.
- The theme is mended where it would shut readers out, and a proper start page is written.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sos_numbers
from docutils import nodes
from sos_numbers import CHAPTERS, rests_on
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.math import get_node_equation_number

from sos_analysis.disclosure import ORIGINS
from sos_analysis.errors import SosError
from sos_analysis.results import Bundle

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)

CHART_STYLE = "sos-charts.css"


# --- editions ---------------------------------------------------------------------------------


class EditionDirective(SphinxDirective):
    """Content for one edition alone: ``synthetic`` (worked examples) or ``restricted``."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0]
        if wanted not in ("synthetic", "restricted"):
            raise self.error(f"edition {wanted!r} is unknown; allowed: synthetic, restricted")
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        rests_on(self.env, [c.name for c in bundle if c.origin in ("synthetic", "restricted")])
        if edition(bundle) != wanted:
            return []
        return self.parse_content_to_nodes(allow_section_headings=True)


class PlanDirective(SphinxDirective):
    """The plan's items of ``original`` or ``ours``, or the ``departures`` from the original."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from sos_analysis.chapters import CHAPTERS
        from sos_analysis.plan import ORIGINS as WHOSE
        from sos_analysis.plan import PATH, departures_page, items_page, load_plan

        self.env.note_dependency(str(PATH))
        try:
            plan = load_plan()
        except SosError as error:
            raise self.error(str(error)) from error
        part = self.arguments[0]
        if part == "departures":
            return self.parse_text_to_nodes(departures_page(plan))
        if part not in WHOSE:
            raise self.error(f"plan {part!r} is unknown; allowed: departures, {', '.join(WHOSE)}")
        titles = {name: spec.title for name, spec in CHAPTERS.items()}
        return self.parse_text_to_nodes(items_page(plan, part, titles))


def edition(bundle: Bundle) -> str:
    """``restricted`` if any chapter rests on restricted records, else ``synthetic``."""
    origins = {result.origin for result in bundle}
    return "restricted" if "restricted" in origins else "synthetic"


# --- banner -----------------------------------------------------------------------------------

# The kind that needs most care first.
_ORDER = ("synthetic", "restricted", "published", "public", "design", "programme")
_BANNERS = {
    "synthetic": (
        "Made-up data",
        "Numbers under 'Worked example on made-up data' are computed on synthetic records. "
        "They say nothing about Signs of Safety.",
    ),
    "restricted": (
        "Restricted records",
        "Numbers are computed on individual records that are not public. "
        "They have passed disclosure control.",
    ),
    "public": (
        "Real public statistics",
        "Numbers are computed from statistics that the Department for Education publishes.",
    ),
    "published": (
        "Published findings",
        "Numbers are as the original evaluation published them.",
    ),
    "published public": (
        "Real findings",
        "Numbers on this page were published by the original evaluation, or are computed from "
        "statistics that the Department for Education publishes. None is made up.",
    ),
    "design": (
        "About the method",
        "This page holds no finding. Its numbers are choices of the design or facts about the "
        "programme.",
    ),
    "": (
        "Real or made up?",
        "Each page of the report says here what kind of numbers it holds.",
    ),
}


def page_origin(app: Sphinx, pagename: str) -> str:
    """Origin of a page: a chapter's from its results, another's from its front matter."""
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    name = pagename.removeprefix(f"{CHAPTERS}/")
    if name != pagename and name in bundle.chapters:
        return bundle.chapters[name].origin
    origin = str(app.env.metadata.get(pagename, {}).get("origin", ""))
    names = [name for name in _ORDER if name in origin.split()]
    unknown = [n for n in origin.split() if n not in ORIGINS]
    if unknown or (not names and pagename in app.env.found_docs):
        wrong = f"origin {unknown[0]!r} is unknown" if unknown else "the front matter has no origin"
        logger.warning(f"{wrong}; allowed: {', '.join(ORIGINS)}", location=pagename, type="sos")
    return " ".join(names)


def banner(origin: str) -> str:
    """What the numbers of a page are, for its top."""
    key = origin
    if key not in _BANNERS:
        key = next((o for o in _ORDER if o in origin.split()), "")
        key = "design" if key == "programme" else key
    title, text = _BANNERS[key]
    kind = key.replace(" ", "-") or "none"
    return (
        f'<aside class="sos-banner sos-banner-{kind}" aria-label="What kind of numbers" '
        f'data-origin="{escape(key)}"><p><strong>{escape(title)}.</strong> {escape(text)}</p>'
        "</aside>"
    )


# --- pages ------------------------------------------------------------------------------------


def _mend(body: str) -> str:
    """Mark-up of other extensions that assistive technology stumbles over."""
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = re.sub(r'(<summary[^>]*?) aria-label="[^"]*"', r"\1", body)
    return body


def _page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    context["sos_banner"] = banner(page_origin(app, pagename))
    if context.get("body"):
        context["body"] = _mend(context["body"])
        sos_numbers.page(app, pagename, context)
    meta = app.env.metadata.get(pagename, {})
    context["sos_description"] = str(meta.get("description", ""))


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


# --- formulas ---------------------------------------------------------------------------------


def _mathml(latex: str, display: str) -> str:
    from latex2mathml.converter import convert

    made: str = convert(latex, display=display)
    return made.replace("<math ", f'<math alttext="{escape(latex)}" ', 1)


def _inline_math(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _display_math(translator: Any, node: nodes.Element) -> None:
    number = ""
    if node.get("number"):
        number = f'<span class="eqno">({get_node_equation_number(translator, node)})</span>'
    ids = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    translator.body.append(
        f'<div class="sos-math" role="group" tabindex="0" aria-label="Equation"{ids}>{number}'
        f"{_mathml(node.astext(), 'block')}</div>"
    )
    raise nodes.SkipNode


# --- set-up -----------------------------------------------------------------------------------


def _register_math(app: Sphinx) -> None:
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(_inline_math, None),
        block_renderers=(_display_math, None),
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    # Jupyter Book sets this for an extension that this book leaves out.
    app.add_config_value("comments_config", {}, "env")
    app.add_directive("edition", EditionDirective)
    app.add_directive("plan", PlanDirective)
    sos_numbers.connect(app)
    _register_math(app)
    app.setup_extension("sos_readers")
    app.add_css_file(CHART_STYLE)
    app.connect("builder-inited", _write_chart_style)
    app.connect("html-page-context", _page, priority=600)
    app.connect("build-finished", _finish)
    source = b"".join(Path(name).read_bytes() for name in (__file__, sos_numbers.__file__))
    return {
        "version": "1",
        # A change of these files makes Sphinx read every page again.
        "env_version": int(hashlib.sha256(source).hexdigest()[:7], 16),
        "parallel_read_safe": False,
        "parallel_write_safe": True,
    }
