"""Directives for pages of prose: the plan, and words of one edition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis.errors import SosError
from sos_analysis.results import Bundle
from sos_book.numbers import rests_on

if TYPE_CHECKING:
    from sphinx.application import Sphinx


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


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("edition", EditionDirective)
    app.add_directive("plan", PlanDirective)
