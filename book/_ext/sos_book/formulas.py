"""Formulas become MathML: no script, no font, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx


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


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(_inline_math, None),
        block_renderers=(_display_math, None),
    )
