"""Everything that the results can put on a page or into a file, so that it can be recognised."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sos_analysis import charts, tables
from sos_analysis.errors import ClaimError
from sos_analysis.formats import escape
from sos_analysis.pipeline.explore_payload import payload, script
from sos_analysis.pipeline.metadata import results_schema
from sos_analysis.pipeline.notebooks import download_name
from sos_analysis.pipeline.scan_marks import Vouched, plainly
from sos_analysis.pipeline.takeaway import SCHEMA
from sos_analysis.pipeline.verify_grids import SCRIPTS
from sos_analysis.results import Bundle, ChapterResult, pieces
from sos_analysis.sources import ROOT

_CLAIM = re.compile(
    r'<span class="claim claim-\w+" data-claim="([^"]+)"(?: data-form="(\w+)")?>(.*?)</span>', re.S
)
_ROW = re.compile(r'<tr id="([^"]+)">.*?</tr>', re.S)


@dataclass(frozen=True)
class Known:
    """What results can show.

    Attributes
    ----------
    fragments : HTML of safe tables, charts, checks, verdicts and sentences, longest first.
    plain : the same as text, as notebooks keep it.
    files : text of each download by its path below ``downloads/``.
    scripts : text of each script that hands results to a page, by its path below ``_static/``.
    rows : HTML of the row that says how a number was made, by its anchor.
    said : titles, captions and other words of safe objects that hold a number, longest first.
    """

    bundle: Bundle
    fragments: tuple[str, ...]
    plain: frozenset[str]
    files: dict[str, str]
    scripts: dict[str, str]
    rows: dict[str, str]
    said: tuple[str, ...]

    @cached_property
    def hashes(self) -> frozenset[str]:
        """Seals of results, and hashes of what they and their claims rest on."""
        found = set(self.bundle.seals.values())
        for result in self.bundle:
            found |= set(result.hashes.values())
            found |= {h for claim in result.claims.values() for h in claim.hashes.values()}
        return frozenset(found)

    @cached_property
    def vouched(self) -> Vouched:
        """Words that results say, and those of the committed pages."""
        said = [*self.plain, *(re.sub(r"<[^>]*>", " ", f) for f in self.fragments)]
        return Vouched(plainly(html.unescape(" | ".join(sorted(said)))), committed_words())

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Names of results, exhibits and rows with a figure in them, as ids are made of them."""
        found = {*self.rows, *(row.removeprefix("how-") for row in self.rows)}
        for result in self.bundle:
            exhibits = {*result.tables, *result.figures}
            found |= {result.slug, *exhibits, *(f"{result.slug}-{name}" for name in exhibits)}
            found |= {check.id for check in result.checks}
        return frozenset(_name(name) for name in found if re.search(r"\d", name))

    def unsaid(self, text: str) -> str:
        """Text without the words of safe objects, which other pages and descriptions repeat."""
        text = " ".join(text.split())
        for known_words in self.said:
            if known_words in text:
                text = text.replace(known_words, " ")
        return text

    def strip(self, page: str) -> str:
        """HTML without what is known to be safe: what is left has to answer for itself."""
        for fragment in self.fragments:
            if fragment in page:
                page = page.replace(fragment, " ")
        page = _ROW.sub(lambda m: " " if self.rows.get(m[1]) == m[0] else m[0], page)
        return _CLAIM.sub(" ", page)

    def wrong_claims(self, page: str) -> Iterator[str]:
        """Claims that show what the results do not, whatever words stand around the number."""
        for match in _CLAIM.finditer(page):
            claim_id, form = match[1], match[2] or "text"
            text = html.unescape(re.sub(r"<[^>]*>", "", match[3]))
            try:
                same = self.bundle.claim(claim_id).render(form) == text
            except ClaimError:
                same = False
            if not same:
                yield f"claim {claim_id!r} shows {text!r}, which is not in the results"

    def stands_for(self, kind: str, body: str) -> bool:
        """Whether a block of data in a page says only which results the page was made with."""
        try:
            held = json.loads(body)
        except ValueError:
            return False
        if "json" not in kind or not isinstance(held, dict) or set(held) != {"results", "claims"}:
            return False
        seals = self.bundle.seals
        return all(seals.get(k) == v for k, v in held["results"].items()) and all(
            name in self.bundle.claims for name in held["claims"]
        )


def known(bundle: Bundle) -> Known:
    """All that the results of a bundle can show."""
    fragments: set[str] = set()
    plain: set[str] = set()
    files: dict[str, str] = {}
    for result in bundle:
        _exhibits(result, fragments, plain)
        for claim in result.claims.values():
            for form in claim.forms:
                try:
                    plain.add(claim.render(form))
                except ClaimError:
                    continue
        files |= result.csv_files()
        name = download_name(result.name, "json", result.origin)
        files[f"{result.name}/{name}"] = result.to_json()
    files[SCHEMA] = json.dumps(results_schema(), indent=1, ensure_ascii=False) + "\n"
    ordered = sorted((f for f in fragments if len(f) > 12), key=lambda f: (-len(f), f))
    rows = {c.anchor: _row(pieces.provenance([c]).html) for c in bundle.claims.values()}
    return Known(
        bundle, tuple(ordered), frozenset(plain), files, _scripts(bundle), rows, _said(bundle)
    )


def _said(bundle: Bundle) -> tuple[str, ...]:
    """Words of tables and charts that hold a digit."""
    found: set[str] = set()
    for result in bundle:
        shown = [*result.tables.values(), *(f.data for f in result.figures.values())]
        for item in (*shown, *result.figures.values()):
            for name in ("title", "caption", "subtitle", "source", "alt"):
                found.add(" ".join(str(getattr(item, name, "") or "").split()))
    kept = (text for text in found if len(text) > 12 and re.search(r"\d", text))
    return tuple(sorted(kept, key=lambda text: (-len(text), text)))


def _row(html_: str) -> str:
    found = _ROW.search(html_)
    return found[0] if found else ""


def _scripts(bundle: Bundle) -> dict[str, str]:
    return {
        Path(name).name: script(payload(bundle, result))
        for name, result in SCRIPTS.items()
        if result in bundle.chapters
    }


def _exhibits(result: ChapterResult, fragments: set[str], plain: set[str]) -> None:
    # Without links, which differ from page to page.
    for name, table in result.tables.items():
        key = f"{result.slug}-{name}"
        fragments |= {tables.body(table, key), tables.key_line(table), _summary(table.title)}
        fragments.add(tables.source_line(table.source, table.origin))
        plain.add(tables.plain(table))
    for name, figure in result.figures.items():
        key, data = f"{result.slug}-{name}", figure.data
        fragments |= {charts.svg(figure, f"{key}-w"), charts.svg(figure, f"{key}-n", narrow=True)}
        fragments |= {tables.body(data, f"{key}-data", quiet=True), tables.key_line(data)}
        fragments |= {_summary(figure.title), tables.source_line(figure.source, figure.origin)}
        fragments.add(f"<strong>{escape(figure.title)}</strong>")
        fragments.add(f'<p class="sos-figure-subtitle">{escape(figure.subtitle)}</p>')
        if data.caption:
            fragments.add(f'<p class="sos-caption">{escape(data.caption)}</p>')
        whole = charts.render(figure, key)
        fragments |= set(
            re.findall(r'<script type="application/json".*?</script>', whole.html, re.S)
        )
        fragments |= set(re.findall(r'<p class="sos-key">.*?</p>', whole.html, re.S))
        plain.add(whole.text)
    said = [result.say(name) for name in result.prose]
    if result.checks:
        said.append(result.checks_table())
        fragments |= set(re.findall(r"<li class=.*?</li>", said[-1].html, re.S))
    if result.verdict is not None:
        said.append(result.verdict_card())
    fragments |= {piece.html for piece in said}
    plain |= {piece.text for piece in said}


def _name(text: str) -> str:
    return re.sub(r"[._]", "-", text.lower())


def _summary(title: str) -> str:
    return f"<summary>{escape(title)}</summary>"


# --- files of the theme -----------------------------------------------------------------------

_STATIC_PACKAGES = (
    *("sphinx", "pydata_sphinx_theme", "sphinx_book_theme", "sphinx_copybutton", "sphinx_design"),
    *("myst_nb", "jupyter_book", "sphinx_togglebutton"),
)


def _packages(*names: str) -> Iterator[Path]:
    """Folders of the packages that are installed."""
    import importlib.util

    for name in names:
        spec = importlib.util.find_spec(name)
        yield from map(Path, (spec.submodule_search_locations or []) if spec else [])


def file_digest(path: Path) -> str:
    """SHA-256 of a file, whatever its line ends."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


@cache
def theme_files() -> frozenset[str]:
    """Hashes of the files that the installed theme and its parts bring, and this book's own."""
    wanted = {
        *(".css", ".js", ".json", ".map", ".txt", ".po", ".mo", ".svg", ".png", ".gif", ".ico"),
        *(".woff2", ".woff", ".ttf"),
    }
    found = set()
    for place in _packages(*_STATIC_PACKAGES):
        for path in place.rglob("*"):
            inside = {"static", "_static", "themes", "locales", "theme", "package_data"}
            if path.suffix in wanted and inside & set(path.parts) and path.is_file():
                found.add(file_digest(path))
    for path in (ROOT / "book" / "_static").rglob("*"):
        if path.is_file():
            found.add(file_digest(path))
    for place in _packages("plotly"):
        found.add(file_digest(place / "package_data" / "plotly.min.js"))
    found.add(hashlib.sha256(charts.css().encode()).hexdigest())
    return frozenset(found)


#: Names of classes with a figure in them that the builder gives: lists of contents, grids of cards.
_BUILT = re.compile(
    r"tex2jax_ignore|toctree-l[1-4]|toc-h[2-4]|sd-w-100|sd-mb-[34]"
    r"|sd-row-cols(?:-(?:xs|sm|md|lg))?-[1-4]|sd-g(?:-(?:xs|sm|md|lg))?-3"
)


def is_built(name: str) -> bool:
    """Whether the builder, or the colouring of code, gives a class of this name."""
    return bool(_BUILT.fullmatch(name)) or name in _code_classes()


@cache
def _code_classes() -> frozenset[str]:
    from pygments.token import STANDARD_TYPES

    return frozenset(STANDARD_TYPES.values())


@cache
def _templates() -> tuple[str, ...]:
    """The theme's templates of pages, and the code of the book that writes into pages."""
    found = []
    for place in _packages(*_STATIC_PACKAGES):
        found += [path.read_text("utf-8") for path in place.rglob("*.html")]
    for path in (ROOT / "book" / "_ext").rglob("*.py"):
        found.append(path.read_text("utf-8").replace("{{", "{").replace("}}", "}"))
    return tuple(found)


@cache
def page_styles() -> frozenset[str]:
    """Lines of styles within pages."""
    return frozenset(line.strip() for text in _templates() for line in text.splitlines())


@cache
def page_comments() -> frozenset[str]:
    """Comments within pages."""
    said = (c for text in _templates() for c in re.findall(r"<!--(.*?)-->", text, re.DOTALL))
    return frozenset(" ".join(comment.split()) for comment in said)


#: A picture within a style sheet.
DRAWN = re.compile(r"""url\((?:"data:[^"]*"|'data:[^']*'|data:[^)]*)\)""")


@cache
def theme_pictures() -> frozenset[str]:
    """Pictures within the style sheets of the theme and of the book."""
    sheets = [*(ROOT / "book" / "_static").rglob("*.css")]
    for place in _packages(*_STATIC_PACKAGES):
        sheets += place.rglob("*.css")
    return frozenset(d for sheet in sheets for d in DRAWN.findall(sheet.read_text("utf-8")))


@cache
def theme_lines() -> frozenset[str]:
    """Lines of the theme's templates, and of the code that writes the few other files."""
    found: set[str] = set()
    for place in _packages(*_STATIC_PACKAGES):
        for path in [*place.rglob("*_t"), *place.glob("search/en.py")]:
            found |= {line.strip() for line in path.read_text("utf-8").splitlines()}
    return frozenset(found)


@cache
def _template(chapter: str) -> list[dict[str, Any]]:
    """Cells of a chapter's notebook as it is committed; none where there is no such chapter."""
    path = ROOT / "notebooks" / f"{chapter}.ipynb"
    if not path.is_file():
        return []
    cells: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return cells


@cache
def committed_words() -> str:
    """All words of the sources of pages, as they are committed."""
    found = [path.read_text("utf-8") for path in sorted((ROOT / "book").rglob("*.md"))]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = _template(path.stem)
        found += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return plainly(" | ".join(found))


@cache
def template_cells(chapter: str) -> frozenset[str]:
    """Sources of the cells of a chapter's notebook as it is committed."""
    return frozenset("".join(cell["source"]) for cell in _template(chapter))


@cache
def template_names(chapter: str) -> frozenset[str]:
    """Names and tags of the cells of a chapter's notebook as it is committed."""
    cells = _template(chapter)
    tags = {tag for cell in cells for tag in cell.get("metadata", {}).get("tags", [])}
    return frozenset(tags | {cell.get("id", "") for cell in cells})
