"""What helps readers along, as a part of the book's extension.

- ``{generated}`` puts on a page what is made from the results: messages, tables, guidance.
- Terms of the glossary are linked where a page first uses them, in tables and results too.
"""

from __future__ import annotations

import html as html_
import posixpath
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from sos_analysis.pipeline.scan_pages import VOID

if TYPE_CHECKING:
    from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
STYLE = "sos-readers.css"


# --- what is generated ------------------------------------------------------------------------


class GeneratedDirective(SphinxDirective):
    """A part of `sos_analysis.messages.parts`, or the table of ``threats``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from sos_analysis import doubts, guidance, messages
        from sos_analysis.errors import SosError

        for path in (guidance.PATH, doubts.PATH):
            self.env.note_dependency(str(path))
        for path in sorted(Path(self.env.srcdir, "results").glob("*.json")):
            self.env.note_dependency(str(path))
        name = self.arguments[0]
        try:
            if name == "threats":
                text = doubts.threats_page(doubts.load_threats())
            else:
                text = messages.parts(self.env.app.sos_bundle, name)  # type: ignore[attr-defined]
        except SosError as error:
            raise self.error(str(error)) from error
        except KeyError as error:
            allowed = f"threats, {error.args[0]}"
            raise self.error(f"nothing generated is called {name!r}; allowed: {allowed}") from error
        return self.parse_text_to_nodes(text)


# --- glossary ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """One entry: where it stands on the page of terms, and the words that lead there."""

    anchor: str
    words: tuple[str, ...]


def terms(app: Sphinx) -> tuple[Term, ...]:
    """Entries of the glossary page; several names of one entry share a link."""
    kept: tuple[Term, ...] | None = getattr(app, "sos_terms", None)
    if kept is None:
        found = []
        if GLOSSARY in app.env.found_docs:
            for glossary in app.env.get_doctree(GLOSSARY).findall(addnodes.glossary):
                for item in glossary.findall(nodes.definition_list_item):
                    named = list(item.findall(nodes.term))
                    words = tuple(w for n in named for w in names(n.astext()))
                    found.append(Term(named[0]["ids"][0], words))
        kept = tuple(found)
        app.sos_terms = kept  # type: ignore[attr-defined]
    return kept


def names(term: str) -> tuple[str, ...]:
    """'Child protection plan (CPP)' is two names; so is 'CRV1, CRV3'."""
    plain, _, short = term.strip().removesuffix(")").partition(" (")
    return tuple(w.strip() for part in (plain, short) for w in part.split(",") if w.strip())


def pattern(entries: tuple[Term, ...]) -> tuple[re.Pattern[str], dict[str, Term]] | None:
    """Matches any term, longest first, plural too; and which entry a match belongs to."""
    by_word = {_key(word): entry for entry in entries for word in entry.words}
    if not by_word:
        return None
    ordered = sorted((w for e in entries for w in e.words), key=len, reverse=True)
    # An abbreviation is one only in capitals; other terms may begin a sentence.
    parts = [
        re.escape(w) if w.isupper() or re.search(r"[A-Z]{2}", w) else f"(?i:{re.escape(w)})"
        for w in ordered
    ]
    # Not inside a longer word, a compound or a file name.
    return re.compile(rf"(?<![\w/'’.-])(?:{'|'.join(parts)})(?:s|es)?(?![\w/'’-])"), by_word


def _key(word: str) -> str:
    return word if re.search(r"[A-Z]{2}", word) else word.lower()


def _entry(found: str, by_word: dict[str, Term]) -> Term:
    for word in (found, found.removesuffix("s"), found.removesuffix("es")):
        if _key(word) in by_word:
            return by_word[_key(word)]
    raise AssertionError(found)


#: No link within these: links, code, headings, pictures, and what is read out as one name.
_CLOSED = frozenset(
    [
        "a",
        "code",
        "pre",
        "script",
        "style",
        "svg",
        "math",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "button",
        "summary",
        "label",
        "figcaption",
        "caption",
        "dt",
        "th",
        "title",
        "nav",
        "template",
        "figure",
    ]
)
#: Nor within these, which come from results and have words of their own.
_CLOSED_CLASSES = frozenset(
    [
        "sos-table",
        "sos-source",
        "sos-verdict",
        "sos-cell-head",
        "sos-how",
        "bibliography",
        "citation",
    ]
)
#: Nor within exhibits and checks, which are compared with the results to the letter.
_CLOSED_DATA = frozenset(["data-table", "data-figure", "data-check"])


class _Linker(HTMLParser):
    """Finds the first use of each term; positions are kept, so that nothing else is rewritten."""

    def __init__(self, text: str, entries: tuple[Term, ...], href: str) -> None:
        super().__init__(convert_charrefs=False)
        self.source, self.href = text, href
        self.match = pattern(entries)
        self.seen: set[str] = set()
        self.edits: list[tuple[int, int, str]] = []
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self.closed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        given = dict(attrs)
        classes = set((given.get("class") or "").split())
        shut = tag in _CLOSED or classes & _CLOSED_CLASSES or given.keys() & _CLOSED_DATA
        if self.closed or shut:
            self.closed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that holds nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag in self.closed:
            while self.closed.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.closed or self.match is None:
            return
        line, column = self.getpos()
        start = self.starts[line - 1] + column
        regex, by_word = self.match
        for found in regex.finditer(data):
            entry = _entry(found[0], by_word)
            if entry.anchor in self.seen:
                continue
            self.seen.add(entry.anchor)
            address = html_.escape(f"{self.href}#{entry.anchor}")
            link = f'<a class="sos-term" href="{address}">{found[0]}</a>'
            self.edits.append((start + found.start(), start + found.end(), link))


def link_terms(body: str, entries: tuple[Term, ...], href: str) -> str:
    """The HTML of a page with each term linked where it first stands in running text."""
    linker = _Linker(body, entries, href)
    linker.feed(body)
    linker.close()
    for start, end, link in reversed(linker.edits):
        body = body[:start] + link + body[end:]
    return body


def _page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if doctree is None or pagename == GLOSSARY or not context.get("body"):
        return
    here = posixpath.dirname(pagename)
    href = posixpath.relpath(f"{GLOSSARY}.html", here or ".")
    context["body"] = link_terms(context["body"], terms(app), href)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links lead to the glossary, so a page is made again when that changes."""
    app.env.note_dependency(str(Path(app.srcdir, f"{GLOSSARY}.md")))


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_directive("generated", GeneratedDirective)
    app.add_css_file(STYLE)
    app.connect("source-read", _read)
    # Late: after whatever else changes the body.
    app.connect("html-page-context", _page, priority=900)
