"""Look through all that is about to be published, as an attacker would: `verify --disclosure`.

Each file is of a channel (page, table, results, notebook, source, search index, picture, PDF, part
of the theme). In each, what the results can show is recognised and taken out, piece by piece and
exactly; a number that is left and stands in no allowed context (`scan_marks`) is a problem. So are
record-level values, paths and user names anywhere, and a file of no known channel.

What it cannot see: a number of nobody in words, one drawn as pixels, or one typed in a sentence in
one of the allowed contexts.
"""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sos_analysis.errors import DisclosureError, SosError
from sos_analysis.pipeline import scan_notebooks as notebooks
from sos_analysis.pipeline import scan_pages as pages
from sos_analysis.pipeline import scan_pdf
from sos_analysis.pipeline.scan_known import (
    DRAWN,
    Known,
    file_digest,
    is_built,
    known,
    page_comments,
    page_styles,
    template_cells,
    template_names,
    theme_files,
    theme_lines,
    theme_pictures,
)
from sos_analysis.pipeline.scan_marks import (
    counts_said,
    encoded,
    known_dates,
    machine_names,
    numbers,
    record_level,
    traces,
    typed_people,
)
from sos_analysis.pipeline.scan_names import Names, letters

#: Files that tools leave beside pages.
_TOOLS = (".buildinfo", ".nojekyll", "robots.txt", "sitemap.xml", "objects.inv", "CNAME")
#: Files that describe the others.
_DESCRIPTIONS = ("datapackage.json", "ro-crate-metadata.json")
_MOST = 5
#: What the index makes of an apostrophe that a notebook's output has escaped.
_APOSTROPHE = "x27"


@dataclass(frozen=True)
class Scan:
    """What was looked at, and one sentence for each thing found."""

    files: int
    channels: dict[str, int]
    problems: tuple[str, ...]


def scan(site: Path, results: Path, *, extract: Path | None = None) -> Scan:
    """Look through a folder of pages and all that lies in it.

    Parameters
    ----------
    site : Path
        Built pages (``_build/html``).
    results : Path
        Results that the pages show.
    extract : Path, optional
        The records: then no identifier in them may be anywhere.

    Raises
    ------
    SosError
        There is nothing to look at, or the results cannot be read.
    """
    from sos_analysis.results import load_bundle

    if not site.is_dir() or not any(site.rglob("*.html")):
        raise SosError(f"no pages in {site}; run 'python -m sos_analysis build' first")
    try:
        bundle = load_bundle(results)
    except DisclosureError as error:
        return Scan(0, {}, (f"results: {error}",))
    return look_through(site, known(bundle), extract=extract)


def look_through(site: Path, can: Known, *, extract: Path | None = None) -> Scan:
    """As `scan`, for results whose exhibits are already at hand."""
    looker = _Scanner(site, can)
    for path in sorted(p for p in site.rglob("*") if p.is_file()):
        looker.look(path)
    looker.index()
    looker.named()
    if extract is not None:
        looker.identifiers(extract)
    return Scan(sum(looker.channels.values()), dict(looker.channels), tuple(looker.problems))


class _Scanner:
    def __init__(self, site: Path, can: Known) -> None:
        self.site, self.can = site, can
        self.problems: list[str] = []
        self.channels: dict[str, int] = {}
        self.headings: set[str] = set()
        self.names_of = Names()
        self.tokens: dict[str, set[str]] = {}
        self.dates = known_dates()
        self.names = machine_names()
        self.read: dict[str, str] = {}

    # --- what is said of a text --------------------------------------------------------------

    def tell(self, path: Path, where: str, found: Iterator[str], what: str = "") -> None:
        """Report at most a few of one kind in one place."""
        shown = path.relative_to(self.site).as_posix()
        for count, text in enumerate(found):
            if count == _MOST:
                self.problems.append(f"{shown}, {where}: and more")
                return
            self.problems.append(f"{shown}, {where}: {what}{text}")

    def number(self, path: Path, where: str, text: str) -> None:
        """Numbers that trace to nothing."""
        quoted = (repr(found) for found in numbers(text))
        self.tell(path, where, quoted, "a number from no result: ")

    def marks(self, path: Path, where: str, text: str, *, words: bool = True) -> None:
        """Record-level values, paths and names; every text comes by here once.

        Without `words`, counts in words are not looked for: each word is known from elsewhere.
        """
        self.tell(path, where, record_level(text, self.dates, self.can.hashes))
        self.tell(path, where, traces(text, self.names))
        self.tell(path, where, encoded(text))
        if words:
            self.tell(path, where, counts_said(text, self.can.vouched))

    def fault(self, path: Path, text: str) -> None:
        self.problems.append(f"{path.relative_to(self.site).as_posix()}: {text}")

    # --- channels ----------------------------------------------------------------------------

    def look(self, path: Path) -> None:
        inside = path.relative_to(self.site).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(self.site.resolve()):
            self.fault(path, "a link to a file outside the pages")
            return
        channel, handle = self._channel(inside, path)
        if channel not in ("theme", "table", "results"):
            self.names_of.file(path, inside)
        self.channels[channel] = self.channels.get(channel, 0) + 1
        try:
            handle(path)
        except (UnicodeDecodeError, ValueError, zlib.error) as error:
            self.fault(path, f"cannot be read as a file of its kind ({type(error).__name__})")

    def _channel(self, inside: str, path: Path) -> tuple[str, Any]:
        suffix = path.suffix.lower()
        if inside.startswith("_static/"):
            return "theme", self.theme
        if inside.startswith("downloads/") and suffix in (".csv", ".json"):
            return ("table" if suffix == ".csv" else "results"), self.download
        if suffix == ".ipynb" or inside.endswith(".ipynb.txt"):
            return "notebook", self.notebook
        if suffix in (".html", ".htm", ".xhtml"):
            return "page", self.page
        if suffix == ".pdf":
            return "PDF", self.pdf
        if suffix == ".svg":
            return "picture", self.picture
        if inside == "searchindex.js":
            return "search index", self.search
        if inside.startswith("_sources/") and suffix in (".md", ".txt", ".rst"):
            return "page source", self.source
        if path.name in _TOOLS:
            return "tool", self.tool
        return "unknown", self.unknown

    def text(self, path: Path) -> str:
        found = path.read_text("utf-8")
        self.read[path.relative_to(self.site).as_posix()] = found
        return found

    def page(self, path: Path) -> None:
        raw = self.text(path)
        self._index_words(path, raw)
        left_raw = self.can.strip(raw)
        left = pages.read(left_raw)
        self.tell(path, "text", self.can.wrong_claims(raw))
        self.number(path, "text", self.can.unsaid(left.text))
        self.marks(path, "text", left.text)
        for name, value in left.spoken:
            self.number(path, f"attribute {name}", self.can.unsaid(value))
            self.marks(path, f"attribute {name}", value)
        for comment in left.comments:
            said = " ".join(comment.split())
            if said not in page_comments():
                self.fault(path, f"a comment that no template has: {said[:60]!r}")
            self.marks(path, "comment", comment)
        for name, value in left.quiet:
            self.tell(path, f"attribute {name}", counts_said(value, self.can.vouched))
        for where, kind, value in pages.hidden(left, is_built, page_styles()):
            if kind == "number":
                self.number(path, where, value)
            else:
                self.tell(path, where, iter([value]))
        self.tell(path, "page", encoded(left_raw))
        for formula in left.formulas:
            self.tell(path, "formula", typed_people(formula))
        for block in left.code:
            self.marks(path, "code", block)
            self.tell(path, "code", pages.data_rows(block))
        for kind, body in left.scripts:
            self.marks(path, "script", body)
            if self.can.stands_for(kind, body):
                continue
            if kind == "application/ld+json":
                self.described(path, "description for machines", json.loads(body))
            elif "json" in kind:
                self.tell(path, "script", iter(["data that no chart of the results has"]))
            else:
                self.number(path, "script", body)

    def _index_words(self, path: Path, raw: str) -> None:
        whole = pages.read(raw)
        self.headings |= set(whole.headings)
        self.names_of.page(path, whole)
        name = path.relative_to(self.site).with_suffix("").as_posix()
        # As Sphinx cuts it: tags out, nothing in their place.
        body = re.sub(r"(?is)<(style|script)\b.*?</\1\s*>", "", raw)
        bare = html.unescape(re.sub(r"<[^<]*?>", "", body)).lower()
        spaced = html.unescape(re.sub(r"<[^<]*?>", " ", body)).lower()
        self.tokens[name] = set(re.findall(r"\w+", f"{bare} {spaced}"))

    def download(self, path: Path) -> None:
        inside = path.relative_to(self.site / "downloads").as_posix()
        found = self.text(path)
        if inside not in self.can.files and inside not in _DESCRIPTIONS:
            self.marks(path, "file", found)
        if inside in _DESCRIPTIONS:
            self.described(path, "file", json.loads(found))
        elif inside not in self.can.files:
            self.fault(path, "no result has this file")
        elif found != self.can.files[inside]:
            expected = self.can.files[inside].splitlines()
            lines = found.splitlines()
            pairs = enumerate(zip(lines, expected, strict=False), start=1)
            line = next((n for n, (a, b) in pairs if a != b), min(len(lines), len(expected)) + 1)
            self.fault(path, f"differs from the result it was made of, from line {line}")
        else:
            self.tell(path, "file", traces(found, self.names))

    def source(self, path: Path) -> None:
        found = self.text(path)
        self.number(path, "source", pages.markdown(found))
        for claim in re.findall(r"\{claim\}`([^`]*)`", found):
            self.names_of.add(path, "claim", claim.split(":")[0].replace(".", "-"))
        self.marks(path, "source", found)
        self.tell(path, "source", pages.data_rows(pages.fenced(found)))

    def picture(self, path: Path) -> None:
        left = pages.read(self.can.strip(self.text(path)))
        for name, value in left.spoken:
            self.number(path, f"attribute {name}", value)
        for where, kind, value in pages.hidden(left, is_built, ()):
            self.tell(path, where, numbers(value) if kind == "number" else iter([value]))
        for where, value in left.places:
            self.names_of.add(path, f"attribute {where}", value)
        self.number(path, "text", left.text)
        self.marks(
            path, "text", " ".join([left.text, *left.comments, *(v for _, v in left.spoken)])
        )
        for comment in left.comments:
            self.number(path, "comment", comment)

    def tool(self, path: Path) -> None:
        if path.name != "objects.inv":
            found = self.text(path)
            self.marks(path, "text", found)
            words = re.sub(r"<(?!!)[^>]*>", " ", found)
            self.number(path, "text", words)
            self.tell(path, "text", iter(re.findall(r"\?[^\s<]*\d[^\s<]*", words)), "a query: ")
            if path.name == "CNAME" and re.search(r"\d", found):
                self.fault(path, "a number in the name of the site")
            return
        data = path.read_bytes()
        head, body = data.split(b"zlib.\n", 1)
        text = head.decode() + zlib.decompress(body).decode()
        self.marks(path, "text", text)
        self.tell(path, "text", typed_people(text))
        for wrong in self.names_of.inventory(path, body):
            self.fault(path, wrong)

    def theme(self, path: Path) -> None:
        if file_digest(path) in theme_files():
            return
        if path.name in self.can.scripts:
            if self.text(path) != self.can.scripts[path.name]:
                self.fault(path, "differs from the result it was made of")
            return
        # A few are filled in at build time: their words are looked at, not their code.
        if path.suffix not in (".css", ".js", ".html"):
            self.fault(path, "no part of the theme or of the book has this file")
            return
        lines = self.text(path).splitlines()
        found = "\n".join(line for line in lines if line.strip() not in theme_lines())
        known_pictures = theme_pictures()
        found = DRAWN.sub(lambda m: " " if m[0] in known_pictures else m[0], found)
        self.marks(path, "text", found)
        said = re.findall(r"/\*.*?\*/|(?<![:\w])//[^\n]*|<!--.*?-->", found, re.DOTALL)
        if path.suffix == ".js":
            said += re.findall(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', found)
        for text in said:
            self.number(path, "text", text.strip("\"'"))

    def unknown(self, path: Path) -> None:
        self.fault(path, "a file of a kind that is not published")
        text = path.read_bytes().decode("utf-8", "replace")
        self.marks(path, "file", text)

    def pdf(self, path: Path) -> None:
        faults: dict[str, list[str]] = {}
        texts: list[str] = []
        for where, kind, text in scan_pdf.findings(path, self.printed):
            if kind == "mark":
                self.marks(path, where, text, words=False)
                texts.append(text)
            else:
                faults.setdefault(where, []).append(text)
        for where, found in faults.items():
            self.tell(path, where, iter(found))
        self.read[path.relative_to(self.site).as_posix()] = " ".join(texts)

    @cached_property
    def printed(self) -> scan_pdf.Printed:
        """What a PDF of these pages can say."""
        return scan_pdf.printed(self.site)

    def notebook(self, path: Path) -> None:
        content = json.loads(self.text(path))
        stem = path.name.removesuffix(".txt").removesuffix(".ipynb").removeprefix("made-up-")
        found = notebooks.cells(content, template_cells(stem), self.can)
        named = template_names(stem)
        self.findings(path, (f for f in found if f[1] != "name" or f[2] not in named))

    def findings(self, path: Path, found: Iterator[notebooks.Finding]) -> None:
        for where, kind, text in found:
            if kind == "name":
                self.names_of.add(path, where, text)
                continue
            if kind == "number":
                self.number(path, where, text)
            elif kind == "bare":
                quoted = (repr(found) for found in numbers(text, contexts=False))
                self.tell(path, where, quoted, "a number from no result: ")
            elif kind == "mark":
                self.marks(path, where, text)
            else:
                self.tell(path, where, iter([text]))

    def _json(self, path: Path, where: str, value: Any) -> None:
        self.findings(path, notebooks.json_text(where, value))

    def described(self, path: Path, where: str, value: Any) -> None:
        """Words of a description of files."""
        for text in pages.said_of_files(value):
            self.number(path, where, self.can.unsaid(text))
            self.marks(path, where, text)

    # --- across files ------------------------------------------------------------------------

    def search(self, path: Path) -> None:
        found = self.text(path)
        self.tell(path, "text", record_level(found, self.dates, digits=False))
        self.tell(path, "text", traces(found, self.names))

    def index(self) -> None:
        """The search index holds the words of the pages and no others."""
        path = self.site / "searchindex.js"
        found = self.read.get("searchindex.js")
        if found is None:
            return
        match = re.fullmatch(r"Search\.setIndex\((\{.*\})\)\s*", found, re.DOTALL)
        if not match:
            self.fault(path, "more than an index in it")
            return
        content = json.loads(match[1])
        names = [*content["docnames"], *content["filenames"]]
        for name in names:
            self.names_of.add(path, "page", name.rpartition("/")[2])
        for part, value in content["envversion"].items():
            if not part.startswith(("sphinx", "sos_book")):
                self._json(path, "version", {part: value})
        known_parts = {"alltitles", "docnames", "envversion", "filenames", "indexentries"}
        known_parts |= {"objects", "objnames", "objtypes", "terms", "titles", "titleterms"}
        for part in sorted(set(content) - known_parts):
            self._json(path, f"part {part!r}", content[part])
        for places in content["alltitles"].values():
            for at in places:
                self.names_of.add(path, "anchor", str(at[1]))
        headings = {letters(h) for h in self.headings}
        for title in [*content["titles"], *content["alltitles"], *content["indexentries"]]:
            text = re.sub(r"<[^>]*>", "", str(title))
            if letters(text) not in headings:
                self.number(path, "title", text)
        for part in ("terms", "titleterms"):
            self.tell(path, part, self._strange(content, part))
        for part in ("objects", "objnames", "objtypes", "indexentries"):
            if content[part]:
                held = content[part]
                if part == "indexentries":  # each place begins with the number of its page
                    held = {k: [_spaced(at[1:]) for at in places] for k, places in held.items()}
                self._json(path, part, held)

    def named(self) -> None:
        """Ids and addresses within pages hold no number but those of names and headings."""
        for path, said in self.names_of.strange(self.can):
            self.fault(path, said)

    def _strange(self, content: dict[str, Any], part: str) -> Iterator[str]:
        names = content["docnames"]
        whole = "".join(letters(h) for h in self.headings)
        for term, at in content[part].items():
            if not all(0 <= n < len(names) for n in (at if isinstance(at, list) else [at])):
                yield f"a place of {term!r} that is no page"
                return
            if term == _APOSTROPHE or not any(sign.isdigit() for sign in term):
                continue
            for number in at if isinstance(at, list) else [at]:
                words = self.tokens.get(names[number])
                if words is None:
                    yield f"words of a page that is not there: {names[number]!r}"
                    return
                if term in words or _stemmed(term, words):
                    continue
                if part == "titleterms" and term in whole:
                    continue
                yield f"a number that page {names[number]!r} does not have: {term!r}"

    def identifiers(self, extract: Path) -> None:
        """No identifier of the records is anywhere, whatever its shape."""
        from sos_analysis.pipeline.scan_records import found_in

        words: dict[str, str] = {}
        for name, text in self.read.items():
            for word in set(re.findall(r"[A-Za-z0-9_-]{5,40}", text)):
                if any(c.isdigit() for c in word):
                    words.setdefault(word, name)
        for word in found_in(extract, list(words)):
            self.problems.append(f"{words[word]}: an identifier of the records: {word!r}")


def _stemmed(term: str, words: set[str]) -> bool:
    """Whether a term is one of the words with its end cut off: letters, never figures."""
    if len(term) <= 3 or term.isdigit():
        return False
    figures = re.sub(r"\D", "", term)
    return any(w.startswith(term[:-1]) and re.sub(r"\D", "", w) == figures for w in words)


def _spaced(place: list[Any]) -> list[Any]:
    """The anchor of an entry of the index as words."""
    return [part.replace("-", " ") if isinstance(part, str) else part for part in place]
