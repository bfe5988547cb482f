"""Compare every number on the built pages with the results it claims to come from."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from sos_analysis.errors import SosError

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"]
)
_UNSPOKEN = frozenset(["script", "style"])
_LITERAL = ("{claim}", "{glue", "{cite")


@dataclass(frozen=True)
class Report:
    """What was looked at, and one sentence for each thing found wrong."""

    pages: int
    numbers: int
    problems: tuple[str, ...]


class _Page(HTMLParser):
    """Texts of the elements that name a claim, and the page's text outside code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.claims: list[tuple[str, str, list[str]]] = []
        self.text: list[str] = []
        self._open: list[tuple[str, int | None]] = []
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        attributes = dict(attrs)
        number = None
        claim = attributes.get("data-claim")
        if claim:
            number = len(self.claims)
            self.claims.append((claim, attributes.get("data-form") or "text", []))
        self._open.append((tag, number))
        self._code += tag in ("code", "pre", *_UNSPOKEN)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            opened, _ = self._open.pop()
            self._code -= opened in ("code", "pre", *_UNSPOKEN)
            if opened == tag:
                break

    def handle_data(self, data: str) -> None:
        if any(tag in _UNSPOKEN for tag, _ in self._open):
            return
        for _, number in self._open:
            if number is not None:
                self.claims[number][2].append(data)
        if not self._code:
            self.text.append(data)


def _plain(text: str) -> str:
    return " ".join(text.split())


def verify(site: Path, results: Path) -> Report:
    """Check each element with `data-claim` against the bundle, and look for unresolved roles.

    Raises
    ------
    SosError
        If there are no pages or no results; says how to make them.
    """
    from sos_analysis.pipeline.verify_grids import check_grids
    from sos_analysis.results import load_bundle

    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)
    if not pages:
        raise SosError(f"no pages in {site}; run 'python -m sos_analysis build' first")
    bundle = load_bundle(results)
    problems: list[str] = []
    numbers = 0
    for path in pages:
        page = _Page()
        page.feed(path.read_text("utf-8"))
        shown = path.relative_to(site).as_posix()
        text = "".join(page.text)
        problems += [f"{shown}: unresolved {mark}" for mark in _LITERAL if mark in text]
        for name, form, parts in page.claims:
            numbers += 1
            if name not in bundle.claims:
                problems.append(f"{shown}: no result holds the number {name!r}")
                continue
            expected = _plain(bundle.claims[name].render(form))
            found = _plain("".join(parts))
            if found != expected:
                problems.append(f"{shown}: {name} shows {found!r}, the results say {expected!r}")
    held, wrong = check_grids(site, bundle)
    return Report(len(pages), numbers + held, (*problems, *wrong))
