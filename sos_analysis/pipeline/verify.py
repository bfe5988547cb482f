"""Compare every number on the built pages with the results it claims to come from.

A number on a page is a claim (compared with the bundle, and its kind too), part of a table, chart,
check or rating (compared whole, tables cell by cell), or on the short list of digits allowed
(`stray`). Every other digit is told, with the words around it. Each page also says which results
it was made with, and which claims it holds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis.errors import ClaimError, SosError
from sos_analysis.pipeline.stray import ALLOWED, CHECKED, allowed, strays

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

    from sos_analysis.results import Bundle, ChapterResult, Claim

_LITERAL = ("{claim}", "{glue", "{cite", "{exhibit}", "{provenance}", "{rules}")
#: Addresses differ between pages; the library of tooltips leaves nothing else behind.
_FREE = frozenset(["href", "download"])


@dataclass(frozen=True)
class Report:
    """What was looked at, and one sentence for each thing found wrong.

    `numbers` counts claims, `exhibits` tables, charts, checks and ratings; `bundle` is what the
    pages were compared with.
    """

    pages: int
    numbers: int
    problems: tuple[str, ...]
    exhibits: int = 0
    bundle: Bundle | None = None


def verify(site: Path, results: Path, *, allow: Path = ALLOWED) -> Report:
    """Compare all pages of a site with the bundle, and list digits that nothing vouches for.

    Raises
    ------
    SosError
        If there are no pages or no results; says how to make them.
    """
    from bs4 import BeautifulSoup

    from sos_analysis.pipeline.verify_grids import check_grids
    from sos_analysis.results import load_bundle

    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)
    if not pages:
        raise SosError(f"no pages in {site}; run 'python -m sos_analysis build' first")
    entries = allowed(allow)
    bundle = load_bundle(results)
    known = _Known(bundle)
    problems: list[str] = []
    numbers = exhibits = 0
    for path in pages:
        shown = path.relative_to(site).as_posix()
        page = BeautifulSoup(path.read_text("utf-8"), "lxml")
        found = _Page(page, path.stem, known)
        problems += [f"{shown}: {text}" for text in found.compare()]
        problems += [
            f"{shown}: stray number {s.number}: … {s.around} …"
            for s in strays(page, path.stem, entries)
        ]
        numbers += found.numbers
        exhibits += found.exhibits
    held, wrong = check_grids(site, bundle)
    return Report(len(pages), numbers + held, (*problems, *wrong), exhibits, bundle)


class _Known:
    """What the bundle holds, by the names that pages use."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.exhibits: dict[str, tuple[ChapterResult, str]] = {}
        for result in bundle:
            for name in (*result.tables, *result.figures):
                self.exhibits[f"{result.slug}-{name}"] = result, name
        self.anchors: Mapping[str, Claim] = {c.anchor: c for c in bundle.claims.values()}
        self._made: dict[str, tuple[Tag, str]] = {}

    def exhibit(self, key: str) -> tuple[Tag, str]:
        """A table or chart as the bundle gives it, and its title."""
        if key not in self._made:
            result, name = self.exhibits[key]
            table = name in result.tables
            shown = result.table(name) if table else result.figure(name)
            title = (result.tables if table else result.figures)[name].title
            self._made[key] = _fragment(shown.html), title
        return self._made[key]


class _Page:
    """One page: what it shows against what the bundle holds. Takes out what it has compared."""

    def __init__(self, page: BeautifulSoup, name: str, known: _Known) -> None:
        self.page, self.name, self.known = page, name, known
        self.numbers = self.exhibits = 0

    def compare(self) -> Iterator[str]:
        """One sentence for each difference."""
        yield from self._literal()
        yield from self._stale()
        yield from self._exhibits()
        yield from self._pieces()
        yield from self._claims()

    def _literal(self) -> Iterator[str]:
        from bs4 import BeautifulSoup

        copy = BeautifulSoup(str(self.page), "lxml")
        for element in copy.select("script, style, pre, code"):
            element.decompose()
        text = copy.get_text()
        yield from (f"unresolved {mark}" for mark in _LITERAL if mark in text)

    def _stale(self) -> Iterator[str]:
        """What the page says it was made with, and that its claims are all there."""
        held = self.page.select_one("script#sos-provenance")
        if held is None:
            return
        content: dict[str, Any] = json.loads(held.get_text())
        seals = self.known.bundle.seals
        for result, seal in content["results"].items():
            if seals.get(result) != seal:
                yield f"stale: made with other results of {result} than these"
        said = Counter(content["claims"])
        there = Counter(str(e["data-claim"]) for e in self.page.select("[data-claim]"))
        yield from (f"the number {i!r} was taken off the page" for i in said - there)
        yield from (f"the number {i!r} was put on the page" for i in there - said)

    def _claims(self) -> Iterator[str]:
        for element in self.page.select("[data-claim]"):
            self.numbers += 1
            yield from self._claim(element)
            element.replace_with(CHECKED)

    def _claim(self, element: Tag) -> Iterator[str]:
        name, form = str(element["data-claim"]), str(element.get("data-form") or "text")
        claim = self.known.bundle.claims.get(name)
        if claim is None:
            yield f"no result holds the number {name!r}"
            return
        try:
            expected = _plain(claim.render(form))
        except ClaimError as error:
            yield str(error)
            return
        found = _plain(element.get_text())
        if found != expected:
            yield f"{name} shows {found!r}, the results say {expected!r}"
        kinds = [c.removeprefix("claim-") for c in element.get("class") or [] if c != "claim"]
        if kinds != [claim.origin]:
            yield f"{name} is marked {' '.join(kinds) or 'nothing'}, but it is {claim.origin}"

    def _exhibits(self) -> Iterator[str]:
        for fold in self.page.select("details.sos-fold"):
            inner = fold.select_one(".sos-table[data-table], figure[data-figure]")
            key = str(inner.get("data-figure") or inner.get("data-table")) if inner else ""
            summary = fold.find("summary")
            if summary is not None and key in self.known.exhibits:
                title = self.known.exhibit(key)[1]
                if _plain(summary.get_text()) != _plain(title):
                    yield f"{key}: the title is not that of the results"
                summary.replace_with(CHECKED)
        for element in self.page.select("figure[data-figure], .sos-table-block"):
            inner = element if element.name == "figure" else element.select_one("[data-table]")
            key = str(inner.get("data-figure") or inner.get("data-table")) if inner else ""
            self.exhibits += 1
            if key not in self.known.exhibits:
                yield f"no result holds the table or chart {key!r}"
            else:
                yield from _differences(key, element, self.known.exhibit(key)[0])
            element.replace_with(CHECKED)
        for element in self.page.select("[data-table], [data-figure]"):
            yield f"{element.get('data-table') or element.get('data-figure')}: out of its place"

    def _pieces(self) -> Iterator[str]:
        """Checks, the rating, and where numbers come from."""
        from sos_analysis.results import pieces

        result = self.known.bundle.chapters.get(self.name)
        checks: dict[str, list[Tag | None]] = {}
        for check in result.checks if result else ():
            item = _fragment(pieces.checks_list([check]).html).select_one("li")
            checks.setdefault(check.id, []).append(item)
        for element in self.page.select("li.sos-check"):
            self.exhibits += 1
            name = str(element.get("data-check"))
            if name not in checks:
                yield f"no result holds the check {name!r}"
            else:
                # Two looks at one threat share an id.
                told = [list(_differences(f"check {name}", element, c)) for c in checks[name]]
                yield from min(told, key=len)
            element.replace_with(CHECKED)
        for element in self.page.select(".sos-verdict"):
            self.exhibits += 1
            if result is None or result.verdict is None:
                yield "no result holds this rating"
            else:
                expected = _fragment(pieces.verdict_card(result.verdict).html)
                yield from _differences("the rating", element, expected)
            element.replace_with(CHECKED)
        for row in self.page.select(".sos-how-list tbody tr"):
            claim = self.known.anchors.get(str(row.get("id")))
            if claim is None:
                yield f"no result holds what {row.get('id')!r} explains"
            else:
                made = _fragment(pieces.provenance([claim]).html).select_one("tbody tr")
                yield from _differences(f"how {claim.id} was made", row, made)
            self.numbers += len(row.select("[data-claim]"))
            row.decompose()


def _fragment(html: str) -> Tag:
    from bs4 import BeautifulSoup

    parsed = BeautifulSoup(html if not html.startswith("<tr") else f"<table>{html}", "lxml")
    element = parsed.body.find(True) if parsed.body else None
    if element is None:
        raise SosError("a piece of the results has no mark-up")
    return element


def _differences(what: str, found: Tag, expected: Tag | None) -> Iterator[str]:
    """The first difference between two elements: mark-up, attributes or text."""
    if expected is None:
        yield f"{what}: the results do not show it"
        return
    for here, there in zip_longest(_parts(found), _parts(expected)):
        if here != there:
            yield f"{what} shows {_short(here)}, the results say {_short(there)}"
            return


def _parts(element: Tag) -> Iterator[str]:
    """Tags with their attributes, and texts, in order."""
    from bs4 import Tag

    attributes = {
        k: " ".join(v) if isinstance(v, list) else str(v)
        for k, v in element.attrs.items()
        if k not in _FREE
    }
    yield f"<{element.name} {json.dumps(attributes, sort_keys=True, ensure_ascii=False)}>"
    for child in element.children:
        if isinstance(child, Tag):
            yield from _parts(child)
        elif _plain(str(child)):
            yield _plain(str(child))


def _short(part: str | None) -> str:
    return "nothing" if part is None else repr(part if len(part) < 120 else f"{part[:117]}…")


def _plain(text: str) -> str:
    return " ".join(text.split())
