"""Numbers on pages: the claim role, exhibits, and what each page rests on.

- ``{claim}`` puts a number from the results into a sentence. A quiet link after it leads to the
  place that says how it was made.
- ``{exhibit}`` puts a table or a chart of a result on a page of prose.
- ``{provenance}`` lists the claims of a result that pages show, with source and fingerprints;
  chapters get that list of their own.
- ``{rules}`` writes out a published rule table.
- Results that do not rest on the study, data and code at hand fail the build, and a page whose
  results changed is read again, whatever the clock says.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from sos_analysis.errors import ClaimError, SosError
from sos_analysis.formats import escape
from sos_analysis.freshness import stale
from sos_analysis.results import Bundle, ChapterResult, Claim, load_bundle

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)

RESULTS = "results"
CHAPTERS = "book/chapters"
#: Where results without a chapter of their own say how they were made.
NUMBERS = "book/numbers"
DOWNLOADS = "downloads"
HOW = "How do we know?"
_BLOCKS = (nodes.paragraph, nodes.entry, nodes.list_item, nodes.definition, nodes.term)


# --- what pages rest on -----------------------------------------------------------------------


def load(app: Sphinx) -> None:
    """The bundle; an error if it is not whole, or rests on other study, data or code."""
    try:
        bundle = load_bundle(Path(app.srcdir, RESULTS))
        wrong = [*bundle.unfounded(), *stale(bundle, Path(app.srcdir, RESULTS))]
    except SosError as error:
        raise ExtensionError(str(error)) from error
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ExtensionError(
            f"the results are not those of this project as it stands: {wrong[0]}{more}; run "
            "'python -m sos_analysis build'"
        )
    app.sos_bundle = bundle  # type: ignore[attr-defined]


def rests_on(env: BuildEnvironment, names: Iterable[str]) -> None:
    """Note that the page being read shows something of these results."""
    bundle: Bundle = env.app.sos_bundle  # type: ignore[attr-defined]
    kept = env.metadata[env.docname].setdefault("sos_results", {})  # type: ignore[arg-type]
    for name in names:
        env.note_dependency(str(Path(env.srcdir, RESULTS, f"{name}.json")))
        if name in bundle.seals:
            kept[name] = bundle.seals[name]  # type: ignore[index]


def _outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pages read with other results than these, whatever the files' times are."""
    seals = app.sos_bundle.seals  # type: ignore[attr-defined]
    return [
        page
        for page, meta in env.metadata.items()
        if page not in removed
        and any(seals.get(name) != seal for name, seal in _kept(meta).items())
    ]


def _kept(meta: Any) -> dict[str, str]:
    found = meta.get("sos_results", {})
    return found if isinstance(found, dict) else {}


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    """A chapter shows what its notebook holds: of these results, or the build fails."""
    name = docname.removeprefix(f"{CHAPTERS}/")
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    if name == docname or name not in bundle.chapters:
        return
    rests_on(app.env, [name])
    try:
        notebook = json.loads(Path(app.env.doc2path(docname)).read_text("utf-8"))
        held = notebook["metadata"]["sos"]["seal"]
    except (OSError, ValueError, KeyError):
        held = ""
    if held != bundle.seals[name]:
        logger.warning(
            "the notebook was executed with other results than these; run 'python -m "
            "sos_analysis build'",
            location=docname,
            type="sos",
            subtype="stale",
        )


# --- numbers in sentences ---------------------------------------------------------------------


class claim_node(nodes.Inline, nodes.Element):
    """A number; its text is there for search and for builders other than HTML."""


class how_node(nodes.Inline, nodes.Element):
    """The quiet link from a number to how it was made."""


class ClaimRole(SphinxRole):
    """A claim's id, with a colon and a form of `Claim.forms` if it is not the usual one."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        claim_id, _, form = self.text.strip().partition(":")
        form = form or "text"
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        try:
            claim = bundle.claim(claim_id)
            shown = claim.render(form)
        except ClaimError as error:
            # The page is read again once the results have changed.
            for path in sorted(Path(self.env.srcdir, RESULTS).glob("*.json")):
                self.env.note_dependency(str(path))
            logger.warning(str(error), location=self.get_location(), type="sos", subtype="claim")
            return [nodes.problematic(self.rawtext, self.rawtext)], []
        rests_on(self.env, [bundle.makers[claim_id]])
        node = claim_node("", nodes.Text(shown), html=claim.to_html(form), claim=claim_id)
        return [node], []


def _mark_how(app: Sphinx, doctree: nodes.document) -> None:
    """One link a paragraph or cell for each place that made its numbers, after the last one."""
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    env = app.env
    used: dict[str, None] = {}
    last: dict[tuple[int, str], tuple[nodes.Node, str]] = {}
    for node in doctree.findall(claim_node):
        used[node["claim"]] = None
        maker = bundle.makers[node["claim"]]
        block: nodes.Node = node
        while block.parent is not None and not isinstance(block, _BLOCKS):
            block = block.parent
        first = last.get((id(block), maker), (node, node["claim"]))[1]
        last[id(block), maker] = (node, first)
    for (_, maker), (node, claim_id) in last.items():
        page = _page_of(env, maker)
        if page:
            anchor = bundle.claims[claim_id].anchor
            here = posixpath.dirname(env.docname)
            link = "" if page == env.docname else posixpath.relpath(f"{page}.html", here or ".")
            node.parent.insert(node.parent.index(node) + 1, how_node("", href=f"{link}#{anchor}"))
    env.metadata[env.docname]["sos_claims"] = list(used)  # type: ignore[assignment]


def how_link(href: str) -> str:
    """The link: two words for the ear, a small mark for the eye, reached with the keyboard."""
    return (
        f'<a class="sos-how" href="{escape(href)}" title="{HOW}"><span aria-hidden="true">i</span>'
        f'<span class="visually-hidden">{HOW}</span></a>'
    )


def _page_of(env: BuildEnvironment, maker: str) -> str:
    chapter = f"{CHAPTERS}/{maker}"
    if chapter in env.found_docs:
        return chapter
    return NUMBERS if NUMBERS in env.found_docs else ""


# --- where numbers come from ------------------------------------------------------------------


def _shown(env: BuildEnvironment, result: ChapterResult) -> list[str]:
    """Claims of a result that any page shows, in the order of the result."""
    used = {i for meta in env.metadata.values() for i in meta.get("sos_claims", ())}
    used |= {i.partition(":")[0] for s in result.prose.values() for i in re.findall(r"{(.*?)}", s)}
    return [i for i in result.claims if i in used]


def _updated(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Pages that list where numbers come from, where other pages now show other numbers."""
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    before = getattr(env, "sos_shown", {})
    now = {c.name: _shown(env, c) for c in bundle}
    env.sos_shown = now  # type: ignore[attr-defined]
    pages = {_page_of(env, name) for name in now if now[name] != before.get(name)}
    return sorted(pages & env.found_docs)


class provenance_node(nodes.General, nodes.Element):
    """The list of a result's claims; filled when pages are written, once all have been read."""


class ProvenanceDirective(SphinxDirective):
    """Where the numbers of a result without a chapter come from."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        bundle: Bundle = self.env.app.sos_bundle  # type: ignore[attr-defined]
        name = self.arguments[0]
        rests_on(self.env, [name])
        if name not in bundle.chapters:
            # An edition on real records has no made-up England.
            return self.parse_text_to_nodes("Not part of this edition.")
        return [provenance_node("", result=name)]


def _section(env: BuildEnvironment, result: ChapterResult) -> str:
    ids = _shown(env, result)
    if not ids:
        return ""
    words = (
        "Each number and computed sentence of this chapter that a page shows, with what made it. "
        "Fingerprints name the study file, the data and the code it rests on."
    )
    return (
        f'<section id="how-do-we-know"><h2>{HOW}</h2><p>{words}</p>'
        f"{result.provenance(ids).html}</section>"
    )


def page(app: Sphinx, pagename: str, context: dict[str, Any]) -> None:
    """Put the list on a chapter's page, and on every page what it rests on, for `verify`."""
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    body = context.get("body")
    if not body or pagename not in app.env.found_docs:
        return
    name = pagename.removeprefix(f"{CHAPTERS}/")
    if name != pagename and name in bundle.chapters:
        shown = set(_shown(app.env, bundle.chapters[name]))
        body = re.sub(r'(<p class="sos-say">)(.*?)(</p>)', _say(bundle, shown), body, flags=re.S)
        body += _section(app.env, bundle.chapters[name])
    held = {
        "results": _kept(app.env.metadata.get(pagename, {})),
        "claims": re.findall(r'data-claim="([^"]*)"', body),
    }
    text = json.dumps(held, sort_keys=True).replace("<", "\\u003c")
    context["body"] = f'{body}<script type="application/json" id="sos-provenance">{text}</script>'


def _say(bundle: Bundle, listed: set[str]) -> Any:
    """A link at the end of each computed sentence, to the first of its numbers that is listed."""

    def one(match: re.Match[str]) -> str:
        found = [i for i in re.findall(r'data-claim="([^"]*)"', match[2]) if i in listed]
        if not found:
            return match[0]
        return f"{match[1]}{match[2]}{how_link('#' + bundle.claims[found[0]].anchor)}{match[3]}"

    return one


# --- exhibits and rules -----------------------------------------------------------------------


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
        rests_on(self.env, [result_name] if result_name in bundle.chapters else [])
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


class RulesDirective(SphinxDirective):
    """A published rule table: ``classes``, ``certainty`` or ``words``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from sos_analysis import rules

        tables = {"classes": _classes, "certainty": _certainty, "words": _words}
        name = self.arguments[0]
        if name not in tables:
            raise self.error(f"rules {name!r} are unknown; allowed: {', '.join(tables)}")
        self.env.note_dependency(str(rules.__file__))
        return self.parse_text_to_nodes("\n".join(_markdown(tables[name]())))


def _markdown(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield "| " + " | ".join(row) + " |"
        if number == 0:
            yield "|" + "---|" * len(row)


def _classes() -> Iterator[tuple[str, ...]]:
    from sos_analysis.rules import CLASSES

    yield "Class", "What it takes, in this order"
    for name, text in CLASSES.items():
        yield name[:1].upper() + name[1:], text


def _certainty() -> Iterator[tuple[str, ...]]:
    from sos_analysis.rules import RAISED, RULES, START

    yield "What is asked", "If the check fails", "If it was not made", "What would help"
    for origin, (word, why) in START.items():
        where = {"restricted": "real records", "public": "public statistics"}[origin]
        yield f"Design: {where}", f"Starts at {word}", "", why
    for rule in RULES:
        only = f" (only for: {', '.join(rule.classes)})" if rule.classes else ""
        missing = rule.missing[:1].upper() + rule.missing[1:]
        failed = rule.failed[:1].upper() + rule.failed[1:]
        yield rule.asks, failed + only, missing, rule.would_help
    yield "All of these together", RAISED, "", ""


def _words() -> Iterator[tuple[str, ...]]:
    from sos_analysis.rules import CERTAINTIES, EFFECT_CLASSES, SENTENCES

    yield "What was found", *(c[:1].upper() + c[1:] for c in reversed(CERTAINTIES))
    for effect in EFFECT_CLASSES:
        cells = (SENTENCES[effect, c] for c in reversed(CERTAINTIES))
        yield (
            effect[:1].upper() + effect[1:],
            *(
                "Cannot be: held at low"
                if cell is None
                else cell.format(subject="Signs of Safety", verb="reduce", outcome="the outcome")
                for cell in cells
            ),
        )


# --- writing ----------------------------------------------------------------------------------


def _html_claim(translator: Any, node: nodes.Element) -> None:
    translator.body.append(node["html"])
    raise nodes.SkipNode


def _html_how(translator: Any, node: nodes.Element) -> None:
    translator.body.append(how_link(node["href"]))
    raise nodes.SkipNode


def _html_provenance(translator: Any, node: nodes.Element) -> None:
    env = translator.builder.env
    result = env.app.sos_bundle.chapters[node["result"]]
    ids = _shown(env, result)
    translator.body.append(result.provenance(ids).html if ids else "<p>None is shown.</p>")
    raise nodes.SkipNode


def _plain(translator: Any, node: nodes.Element) -> None:
    """Elsewhere the number is text, and there is nothing to link to."""


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_role("claim", ClaimRole())
    app.add_directive("exhibit", ExhibitDirective)
    app.add_directive("provenance", ProvenanceDirective)
    app.add_directive("rules", RulesDirective)
    plain = (_plain, _plain)
    for kind, html in (
        (claim_node, _html_claim),
        (how_node, _html_how),
        (provenance_node, _html_provenance),
    ):
        app.add_node(kind, html=(html, None), text=plain, latex=plain)
    app.connect("builder-inited", load)
    app.connect("env-get-outdated", _outdated)
    app.connect("source-read", _read)
    app.connect("doctree-read", _mark_how)
    app.connect("env-updated", _updated)


__all__ = ["CHAPTERS", "RESULTS", "Claim", "page", "rests_on", "setup"]
