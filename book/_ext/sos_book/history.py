"""``{changed-claims}``: which numbers and wordings changed since the release before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis import __version__
from sos_analysis.errors import SosError
from sos_analysis.results import Bundle
from sos_analysis.results.history import Changes, Said, compare, latest, load_record, said
from sos_book.numbers import RESULTS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

RELEASES = Path("data", "releases")
_NONE = (
    "No release before this one kept its claims, so there is nothing to compare with yet. "
    "From this version on each release keeps them, and this page will list every number and "
    "wording that differs.\n"
)
_MADE_UP = (
    "Numbers on made-up data are left out: they follow the program that makes the records, and "
    "say nothing about Signs of Safety.\n"
)


class ChangedClaims(SphinxDirective):
    """The comparison in words and one table a kind of change."""

    def run(self) -> list[nodes.Node]:
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        for path in sorted(Path(self.env.srcdir, RESULTS).glob("*.json")):
            self.env.note_dependency(str(path))
        path = latest(Path(self.env.srcdir, RELEASES), __version__)
        if path is None:
            return self.parse_text_to_nodes(_NONE)
        self.env.note_dependency(str(path))
        try:
            version, before = load_record(path)
        except SosError as error:
            raise self.error(str(error)) from error
        changes = compare(version, _real(before), _real(said(bundle)))
        return self.parse_text_to_nodes(page(changes))


def _real(claims: dict[str, Said]) -> dict[str, Said]:
    return {key: claim for key, claim in claims.items() if claim.origin != "synthetic"}


def page(changes: Changes) -> str:
    """Markdown for the changes since a release."""
    since = f"since version {changes.version}"
    if not changes:
        return f"No claim on real data, on the design or on the programme changed {since}.\n"
    parts = [_MADE_UP]
    if changes.changed:
        parts.append(f"These read differently {since}:\n\n| Claim | Before | Now |\n|---|---|---|")
        parts += [
            f"| {_code(key)} | {_cell(a.text)} | {_cell(b.text)} |"
            for key, (a, b) in changes.changed.items()
        ]
    for title, group in (("New", changes.new), ("No longer claimed", changes.gone)):
        if group:
            parts.append(f"\n{title} {since}:\n\n| Claim | What it says |\n|---|---|")
            parts += [f"| {_code(key)} | {_cell(c.text)} |" for key, c in group.items()]
    return "\n".join(parts) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    """Text that no Markdown can take for mark-up."""
    marked = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|$~^" else c for c in text)
    return " ".join(marked.split())


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("changed-claims", ChangedClaims)
