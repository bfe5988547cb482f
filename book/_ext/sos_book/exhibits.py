"""Directives that put a result on a page of prose: exhibits, the plan, words of one edition."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from sos_analysis.errors import SosError
from sos_analysis.results import Bundle
from sos_book.claims import RESULTS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOWNLOADS = "downloads"


class EditionDirective(SphinxDirective):
    """Content for one edition alone: ``synthetic`` (worked examples) or ``restricted``."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0]
        if wanted not in ("synthetic", "restricted"):
            raise self.error(f"edition {wanted!r} is unknown; allowed: synthetic, restricted")
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        for name, result in bundle.chapters.items():
            if result.origin in ("synthetic", "restricted"):
                self.env.note_dependency(str(Path(self.env.srcdir, RESULTS, f"{name}.json")))
        if edition(bundle) != wanted:
            return []
        return self.parse_content_to_nodes(allow_section_headings=True)


class ExhibitDirective(SphinxDirective):
    """A table or chart of the results by ``RESULT NAME``; its content stands in where it is absent.

    With ``:fold:`` it stands behind its title.

    Without content an absent one fails the build. One with content is for what rests on files
    that a build may lack.
    """

    has_content = True
    required_arguments = 2
    option_spec: ClassVar[dict[str, Any]] = {"fold": directives.flag}

    def run(self) -> list[nodes.Node]:
        result_name, name = self.arguments
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        for path in sorted(Path(self.env.srcdir, RESULTS).glob(f"{result_name}.json")):
            self.env.note_dependency(str(path))
        result = bundle.chapters.get(result_name)
        items = {**result.tables, **result.figures} if result else {}
        if result is None or name not in items:
            if self.content:
                return self.parse_content_to_nodes()
            have = ", ".join(items) if result else f"no result {result_name!r}"
            raise self.error(f"no exhibit {name!r} of {result_name!r}; there is: {have}")
        show = result.table if name in result.tables else result.figure
        show = result.fold if "fold" in self.options else show
        here = posixpath.dirname(self.env.docname)
        html = show(name, base=posixpath.relpath(DOWNLOADS, here or ".")).html
        return [nodes.raw("", html, format="html")]


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
    app.add_directive("exhibit", ExhibitDirective)
    app.add_directive("plan", PlanDirective)
