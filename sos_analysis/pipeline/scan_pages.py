"""HTML and Markdown as the texts that a reader, a machine or a screen reader can get at."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from html.parser import HTMLParser
from typing import Any

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
_INLINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "cite", "code", "em", "i", "kbd", "mark", "q", "s", "samp"),
        *("small", "span", "strong", "sub", "sup", "time", "u", "var"),
    )
)
#: Attributes whose value is read out, shown, or picked up by other programs.
_SPOKEN = frozenset(
    (
        *("title", "alt", "aria-label", "aria-description", "aria-valuetext", "placeholder"),
        *("aria-roledescription", "content", "value", "label", "summary", "caption", "alttext"),
        *("srcdoc", "abbr", "download", "datetime"),
    )
)
_QUIET_DATA = re.compile(
    r"^data-(claim|form|table|figure|check|kind|origin|bs-(?!title|content|original).*|theme|mode|content[-_]root"
    r"|search-.*|docs-.*|default-.*|toggle|target|cfasync|tippy(?!-content).*|sphinx.*|line.*|copied)$"
)
#: Attributes that nobody reads out, but that can carry something.
_QUIET = frozenset(("id", "class", "href", "src", "srcset", "poster", "style", "name", "for"))
#: Attributes that name a place of a page.
_PLACES = frozenset(
    (
        *("id", "name", "for", "headers", "list", "form", "usemap", "itemid", "itemref"),
        *("data-table", "data-figure", "data-check", "aria-labelledby", "aria-describedby"),
        *("aria-controls", "aria-owns", "aria-details", "aria-activedescendant"),
        *("aria-errormessage", "aria-flowto"),
    )
)
#: Attributes that hold the address of a page or file.
_ADDRESSES = frozenset(("href", "src", "srcset", "poster", "action", "cite"))
#: Attributes in which the builder has figures of layout, and those that draw.
_LAYS_OUT = frozenset(("aria-level", "tabindex", "charset", "xmlns", "version"))
_DRAWS = frozenset(
    (
        *("circle", "clippath", "defs", "ellipse", "g", "line", "path", "polygon", "polyline"),
        *("rect", "svg", "symbol", "text", "tspan", "use"),
    )
)
_GEOMETRY = re.compile(
    r"^(?:[cdrxy]|[cfr][xy]|[dxy][12xy]?|points|width|height|viewbox|transform|font-size"
    r"|font-weight|(?:stroke|fill)(?:-\w+)?|opacity)$"
)
#: The styles that the builder writes at an element.
_STYLES = frozenset(("width: 33%; vertical-align: top;", "width: 100%"))
_LAYOUT = ("viewport", "generator", "docsearch:version")
#: Width and height of the picture that other sites show beside a link.
_PREVIEW = (("og:image:width", "1200"), ("og:image:height", "630"))
#: Mathematics: numbers of formulas are part of the text of a method.
_FORMULA = re.compile(r"<math\b.*?</math>", re.DOTALL)


#: In a description of files, what is no number of a result.
_OF_FILES = frozenset(
    (
        *("name", "path", "@id", "bytes", "hash", "sha256", "contentSize", "version", "@context"),
        *("softwareVersion", "datePublished", "dateCreated", "dateModified", "created"),
        *("endTime", "startTime"),
    )
)


class Page(HTMLParser):
    """Texts of a page: its words, what is read out, its comments and its scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.code: list[str] = []
        self.spoken: list[tuple[str, str]] = []
        self.quiet: list[tuple[str, str]] = []
        self.places: list[tuple[str, str]] = []
        self.odd: list[tuple[str, str]] = []
        self.comments: list[str] = []
        self.declared: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.headings: list[str] = []
        self.formulas: list[str] = []
        self._open: list[str] = []
        self._kind = ""
        self._heading = -1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        for name, value in found.items():
            data = name.startswith("data-") and not _QUIET_DATA.match(name)
            layout = tag == "meta" and (
                "http-equiv" in found
                or found.get("name") in _LAYOUT
                or (found.get("property"), found.get("content")) in _PREVIEW
            )
            if not value:
                continue
            if name in _PLACES:
                self.places += [(f"{tag} {name}", word) for word in value.split()]
            elif name in _ADDRESSES and not re.match(r"[a-z]+:|//", value):
                for address in re.split(r",\s+", value):
                    page, _, place = address.strip().partition("#")
                    page = page.split("?")[0]
                    # Files of the theme are compared whole; their names are the theme's.
                    if "_static/" not in page:
                        self.places += [(f"{tag} {name}", part) for part in page.split("/")]
                    self.places.append((f"{tag} {name}", place))
            if not layout and (name in _SPOKEN or data or name.startswith("on")):
                self.spoken.append((f"{tag} {name}", value))
            elif name in _QUIET:
                self.quiet.append((f"{tag} {name}", value))
            elif not (
                layout
                or _QUIET_DATA.match(name)
                or name in _PLACES | _LAYS_OUT
                or (tag in _DRAWS and _GEOMETRY.match(name))
            ):
                self.odd.append((f"{tag} {name}", value))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag not in _INLINE or tag in ("sub", "sup"):
            self.words.append(" | ")
        if tag == "script":
            self._kind = found.get("type", "")
        if re.fullmatch(r"h[1-6]|title|dt", tag):
            self._heading = len(self.words)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._open:
            return
        while self._open and self._open.pop() != tag:
            pass
        if re.fullmatch(r"h[1-6]|title|dt", tag) and self._heading >= 0:
            text = "".join(self.words[self._heading :]).replace(" | ", " ")
            self.headings.append(" ".join(text.rstrip("#").split()))
            self._heading = -1
        if tag not in _INLINE:
            self.words.append(" | ")

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts.append((self._kind, data))
        elif "style" in self._open:
            self.comments += re.findall(r"/\*.*?\*/", data, re.DOTALL)
            self.comments += re.findall(r"content\s*:\s*([\"'].*?[\"'])", data, re.DOTALL)
            self.quiet.append(("style", data))
        elif "pre" in self._open:
            self.code.append(data)
            self.words.append(" ")
        else:
            self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    # What no browser shows, but stands in the file.

    def handle_decl(self, decl: str) -> None:
        if decl != "DOCTYPE html":
            self.declared.append(decl)

    def handle_pi(self, data: str) -> None:
        self.declared.append(data)

    def unknown_decl(self, data: str) -> None:
        self.declared.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def read(html: str) -> Page:
    """A page, parsed; formulas stand apart from the words."""
    page = Page()
    page.feed(_FORMULA.sub(" ", html))
    page.close()
    page.formulas = [re.sub(r"<[^>]*>", " ", found) for found in _FORMULA.findall(html)]
    return page


def hidden(
    page: Page, known_class: Callable[[str], bool], styles: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """What carries something that nobody reads: (where, 'fault' or 'number', text).

    Declarations, figures in attributes that pages do not have, numbers in the query of an address,
    styles that the builder does not write, and numbers in names of classes but those known.
    `styles` are the lines of styles that stand in a page.
    """
    for value in page.declared:
        yield "declaration", "fault", f"a declaration that pages have not: {value[:40]!r}"
    for where, value in page.odd:
        if re.search(r"\d", value):
            yield f"attribute {where}", "fault", f"a number where pages have none: {value[:40]!r}"
    for where, value in page.quiet:
        place = f"attribute {where}"
        if where.endswith((" href", " src")):
            query = re.match(r"[^#?]*\?([^#]*)", value)
            if query:
                yield place, "number", re.sub(r"[=&;+]", " | ", query[1])
        elif where.endswith(" class"):
            for name in value.split():
                if re.search(r"\d", name) and not known_class(name):
                    yield place, "fault", f"a number in the name of a class: {name!r}"
        elif where.endswith(" style"):
            if value.strip() not in _STYLES:
                yield place, "fault", f"a style of its own: {value[:60]!r}"
        elif where == "style":
            for line in value.splitlines():
                if line.strip() and line.strip() not in styles:
                    yield "style", "fault", f"a style that no template has: {line.strip()[:60]!r}"


def markdown(source: str) -> str:
    """Words of a page's source: no roles, no code, no addresses."""
    text = re.sub(r"^```.*?^```", " | ", source, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\{(?:claim|cite[^}]*|doc|ref|numref|math|download)\}`[^`]*`", " claim ", text)
    text = re.sub(r"\$[^$\n]+\$", " ", text)
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    text = re.sub(r"^\s*:{3,}.*$|^\s*:[\w-]+:.*$", " | ", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*\d{1,2}\. ", " | ", text, flags=re.MULTILINE)
    return text


def said_of_files(value: Any) -> Iterator[str]:
    """Words of a description of files: no sizes, fingerprints, versions, days of making."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in _OF_FILES:
                yield from said_of_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from said_of_files(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def fenced(source: str) -> str:
    """Code of a page's source."""
    return "\n".join(re.findall(r"^```.*?^```", source, re.MULTILINE | re.DOTALL))


def data_rows(text: str) -> Iterator[str]:
    """Lines of code that are a frame or a traceback, not commands."""
    if "Traceback (most recent call last)" in text:
        yield "a traceback, which may print records"
    for line in text.splitlines():
        columns = re.match(r"^\s*(\d+(\s{2,}\S+){2,}|\S.*?(\s{2,}\d[\d,.]*){2,})\s*$", line)
        if columns or re.search(
            r"\b\d+\s+(?:child|children|people|cases|events|referrals|pupils)\b", line
        ):
            yield f"a row of data: {line.strip()[:80]!r}"
