"""Everything that the results can put on a page or into a file, so that it can be recognised."""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sos_analysis import charts, tables
from sos_analysis.errors import ClaimError
from sos_analysis.formats import escape
from sos_analysis.pipeline.notebooks import download_name
from sos_analysis.results import Bundle, ChapterResult
from sos_analysis.sources import ROOT

_CLAIM = re.compile(
    r'<span class="claim claim-\w+" data-claim="([^"]+)"(?: data-form="(\w+)")?>(.*?)</span>', re.S
)


@dataclass(frozen=True)
class Known:
    """What results can show.

    Attributes
    ----------
    fragments : HTML of safe tables, charts, checks, verdicts and sentences, longest first.
    plain : the same as text, as notebooks keep it.
    files : text of each download by its path below ``downloads/``.
    names : words of titles and labels that results bring to headings.
    """

    bundle: Bundle
    fragments: tuple[str, ...]
    plain: frozenset[str]
    files: dict[str, str]

    def strip(self, page: str) -> str:
        """HTML without what is known to be safe: what is left has to answer for itself."""
        for fragment in self.fragments:
            if fragment in page:
                page = page.replace(fragment, " ")
        return _CLAIM.sub(self._claim, page)

    def _claim(self, match: re.Match[str]) -> str:
        claim_id, form, inner = match[1], match[2] or "text", match[3]
        text = html.unescape(re.sub(r"<[^>]*>", "", inner))
        try:
            same = self.bundle.claim(claim_id).render(form) == text
        except ClaimError:
            same = False
        # Kept with words that are never allowed around a number, so that it is reported.
        return " " if same else f" claim {escape(claim_id)} shows {match[3]} "


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
    ordered = sorted((f for f in fragments if len(f) > 12), key=lambda f: (-len(f), f))
    return Known(bundle, tuple(ordered), frozenset(plain), files)


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
    pieces = [result.say(name) for name in result.prose]
    if result.checks:
        pieces.append(result.checks_table())
        fragments |= set(re.findall(r"<li class=.*?</li>", pieces[-1].html, re.S))
    if result.verdict is not None:
        pieces.append(result.verdict_card())
    fragments |= {piece.html for piece in pieces}
    plain |= {piece.text for piece in pieces}


def _summary(title: str) -> str:
    return f"<summary>{escape(title)}</summary>"


# --- files of the theme -----------------------------------------------------------------------

_STATIC_PACKAGES = (
    *("sphinx", "pydata_sphinx_theme", "sphinx_book_theme", "sphinx_copybutton", "sphinx_design"),
    *("myst_nb", "jupyter_book", "sphinx_togglebutton"),
)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, whatever its line ends."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


@cache
def theme_files() -> frozenset[str]:
    """Hashes of the files that the installed theme and its parts bring, and this book's own."""
    import importlib.util

    wanted = {
        *(".css", ".js", ".json", ".map", ".txt", ".po", ".mo", ".svg", ".png", ".gif", ".ico"),
        *(".woff2", ".woff", ".ttf"),
    }
    found = set()
    for package in _STATIC_PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in Path(place).rglob("*"):
                inside = {"static", "_static", "themes", "locales", "theme", "package_data"}
                if path.suffix in wanted and inside & set(path.parts) and path.is_file():
                    found.add(file_digest(path))
    for path in (ROOT / "book" / "_static").rglob("*"):
        if path.is_file():
            found.add(file_digest(path))
    plotly = importlib.util.find_spec("plotly")
    for place in (plotly.submodule_search_locations or []) if plotly else []:
        found.add(file_digest(Path(place, "package_data", "plotly.min.js")))
    found.add(hashlib.sha256(charts.css().encode()).hexdigest())
    return frozenset(found)


@cache
def theme_lines() -> frozenset[str]:
    """Lines of the theme's templates, and of the code that writes the few other files."""
    import importlib.util

    found: set[str] = set()
    for package in _STATIC_PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in [*Path(place).rglob("*_t"), *Path(place).glob("search/en.py")]:
                found |= {line.strip() for line in path.read_text("utf-8").splitlines()}
    return frozenset(found)


@cache
def template_cells(chapter: str) -> frozenset[str]:
    """Sources of the cells of a chapter's notebook as it is committed."""
    path = ROOT / "notebooks" / f"{chapter}.ipynb"
    if not path.is_file():
        return frozenset()
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return frozenset("".join(cell["source"]) for cell in cells)
