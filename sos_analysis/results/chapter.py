"""A chapter's result: claims, safe tables and figures, checks, verdict and sentences."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from sos_analysis import charts, tables
from sos_analysis.checks import CheckResult
from sos_analysis.disclosure.safe import ORIGINS, SafeFigure, SafeTable
from sos_analysis.errors import ClaimError, SosError
from sos_analysis.evidence import Verdict
from sos_analysis.formats import Rendered, escape
from sos_analysis.results import pieces
from sos_analysis.results.claims import (
    FINGERPRINTS,
    Claim,
    content_hash,
    unknown,
    without_places,
)

SCHEMA = "sos-results"
VERSION = 1

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TAG = re.compile(r"</?(?:em|strong|abbr|sub|sup|br|q)\s*/?>|<a href=\"[^\"<>:]*\">|</a>")


# --- one chapter ------------------------------------------------------------------------------


def _short(check: CheckResult) -> CheckResult:
    """Figures no more exact than a page: from all digits of a rate its counts can be found."""
    figures = {k: v if v.is_integer() else float(f"{v:.4g}") for k, v in check.figures.items()}
    return replace(check, figures=figures)


@dataclass(frozen=True)
class ChapterResult:
    """All that a chapter says: claims, safe tables and figures, checks, verdict, sentences.

    Attributes
    ----------
    name, title, origin : str
        Notebook stem; heading; one of `disclosure.ORIGINS`.
    parameters : mapping
        JSON-ready parameters it was made with; a path stands as a hash.
    claims : mapping of id to Claim
    tables, figures : mapping of name to SafeTable, SafeFigure
    checks : tuple of CheckResult
    verdict : Verdict or None
    prose : mapping of name to sentence
        HTML-safe sentences; ``{claim.id}`` or ``{claim.id:form}`` stands for a number.
    hashes : mapping
        'study', 'data', 'code', 'parameters'.
    notes : mapping of str to str
        Provenance in words (where the data were absent, what was run).
    """

    name: str
    title: str
    origin: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    tables: Mapping[str, SafeTable] = field(default_factory=dict)
    figures: Mapping[str, SafeFigure] = field(default_factory=dict)
    checks: tuple[CheckResult, ...] = ()
    verdict: Verdict | None = None
    prose: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    #: Where the CSV files lie, seen from a chapter's page; '' leaves the links out.
    downloads_base: ClassVar[str] = "../../downloads"

    def __post_init__(self) -> None:
        if not re.match(r"^[a-z][a-z0-9_]*$", self.name):
            raise ClaimError(
                f"chapter name {self.name!r}: use a notebook stem, as rq4_kinship_care"
            )
        if self.origin not in ORIGINS:
            raise ClaimError(
                f"chapter {self.name}: origin {self.origin!r} is unknown; "
                f"allowed: {', '.join(ORIGINS)}"
            )
        for key, claim in self.claims.items():
            if key != claim.id:
                raise ClaimError(f"chapter {self.name}: claim {claim.id} is filed under {key!r}")
        for kind, items, wanted in (
            ("table", self.tables, SafeTable),
            ("figure", self.figures, SafeFigure),
        ):
            for key, item in items.items():
                if not isinstance(item, wanted):
                    raise ClaimError(
                        f"chapter {self.name}: {kind} {key!r} is a {type(item).__name__}; only "
                        f"a {wanted.__name__} may be shown"
                    )
                if not re.match(r"^[a-z][a-z0-9_-]*$", key):
                    raise ClaimError(f"chapter {self.name}: {kind} name {key!r} must be a slug")
        if self.verdict is not None and self.verdict.origin != self.origin:
            raise ClaimError(
                f"chapter {self.name} is {self.origin} but its verdict is {self.verdict.origin}"
            )
        content_hash(dict(self.parameters))
        object.__setattr__(self, "claims", {k: self._whole(c) for k, c in self.claims.items()})
        # As JSON reads it back (tuples become lists), so that a loaded result equals the saved.
        kept = without_places(self.parameters)
        object.__setattr__(self, "parameters", json.loads(json.dumps(kept)))
        for key, sentence in self.prose.items():
            self._check_sentence(key, sentence)
        for name in ("parameters", "claims", "tables", "figures", "prose", "hashes", "notes"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "checks", tuple(_short(check) for check in self.checks))

    def _whole(self, claim: Claim) -> Claim:
        """The claim with the chapter's fingerprints where it has none of its own."""
        own = {k: self.hashes[k] for k in FINGERPRINTS if k in self.hashes} | dict(claim.hashes)
        return claim if own == dict(claim.hashes) else replace(claim, hashes=own)

    def _check_sentence(self, key: str, sentence: str) -> None:
        rest = _TAG.sub("", _PLACEHOLDER.sub("", sentence))
        for sign in ("<", ">", "{", "}"):
            if sign in rest:
                raise ClaimError(
                    f"chapter {self.name}, prose {key!r}: {sign!r} is not allowed; write "
                    "{claim.id} for a number, and em, strong, abbr or a plain link for mark-up"
                )
        for match in _PLACEHOLDER.finditer(sentence):
            claim_id, _, form = match[1].partition(":")
            self.claim(claim_id).render(form or "text")

    def claim(self, claim_id: str) -> Claim:
        """Claim of this chapter; ClaimError with near names if there is none."""
        if claim_id not in self.claims:
            raise unknown(claim_id, self.claims, f"chapter {self.name}")
        return self.claims[claim_id]

    def value(self, claim_id: str, form: str = "text") -> Rendered:
        """One claim, to show alone."""
        claim = self.claim(claim_id)
        return Rendered(claim.to_html(form), claim.render(form))

    def say(self, name: str) -> Rendered:
        """Sentences from `prose` with their numbers put in; ``<br>`` begins a new paragraph."""
        sentence = self._named(self.prose, name, "prose")

        def fill(html: bool) -> str:
            def one(match: re.Match[str]) -> str:
                claim_id, _, form = match[1].partition(":")
                claim = self.claim(claim_id)
                chosen = form or "text"
                return claim.to_html(chosen) if html else claim.render(chosen)

            return _PLACEHOLDER.sub(one, sentence)

        plain = re.sub(r"<[^>]*>", "", fill(html=False).replace("<br>", "\n"))
        paragraphs = fill(html=True).split("<br>")
        return Rendered("".join(f'<p class="sos-say">{p}</p>' for p in paragraphs), plain)

    def table(self, name: str, base: str | None = None) -> Rendered:
        """Table, with its CSV link; `base` is the way to the downloads from another page."""
        table = self._named(self.tables, name, "table")
        return tables.render(table, f"{self.slug}-{name}", href=self._href(name, base))

    def figure(self, name: str, base: str | None = None) -> Rendered:
        """Chart, with its data table and CSV link; `base` as for `table`."""
        figure = self._named(self.figures, name, "figure")
        return charts.render(figure, f"{self.slug}-{name}", href=self._href(name, base))

    def fold(self, name: str, base: str | None = None) -> Rendered:
        """Table or chart behind its title: detail that only some readers open."""
        shown = self.table(name, base) if name in self.tables else self.figure(name, base)
        title = (self.tables.get(name) or self.figures[name]).title
        html = f'<details class="sos-fold"><summary>{escape(title)}</summary>{shown.html}</details>'
        return Rendered(html, shown.text)

    def checks_table(self) -> Rendered:
        """Checks as a list: fail, then for information, then pass."""
        if not self.checks:
            raise ClaimError(f"chapter {self.name} has no checks to show")
        return pieces.checks_list(self.checks)

    def folded_checks_table(self) -> Rendered:
        """The same list behind a title, for pages that hold very many checks."""
        shown = self.checks_table()
        html = (
            '<details class="sos-fold"><summary>Every check in words</summary>'
            f"{shown.html}</details>"
        )
        return Rendered(html, shown.text)

    def verdict_card(self) -> Rendered:
        """Sentence, the three dials, reasons and what would change the rating."""
        if self.verdict is None:
            raise ClaimError(f"chapter {self.name} has no verdict to show")
        return pieces.verdict_card(self.verdict)

    def rating_card(self) -> Rendered:
        """The verdict's card where a result is rated; else one sentence that says why not."""
        if self.verdict is None or self.verdict.certainty is None:
            return pieces.not_rated(self.origin)
        return pieces.verdict_card(self.verdict)

    def provenance(self, ids: Iterable[str]) -> Rendered:
        """Where each of these claims comes from: 'how do we know?'."""
        return pieces.provenance([self.claim(i) for i in ids], self.title)

    @property
    def slug(self) -> str:
        """Name for HTML ids."""
        return self.name.replace("_", "-")

    def csv_files(self) -> dict[str, str]:
        """File name (under downloads/) to CSV text, one a table and one a figure.

        Raises
        ------
        ClaimError
            A table and a figure share a name.
        """
        both = set(self.tables) & set(self.figures)
        if both:
            raise ClaimError(
                f"chapter {self.name}: table and figure share the name {sorted(both)[0]!r}"
            )
        items: dict[str, SafeTable | SafeFigure] = {**self.tables, **self.figures}
        return {f"{self.name}/{_file(k, i.origin)}": i.to_csv() for k, i in items.items()}

    def _href(self, name: str, base: str | None) -> str:
        items: dict[str, SafeTable | SafeFigure] = {**self.tables, **self.figures}
        base = self.downloads_base if base is None else base
        return f"{base}/{self.name}/{_file(name, items[name].origin)}" if base else ""

    def _named(self, items: Mapping[str, Any], name: str, kind: str) -> Any:
        if name not in items:
            raise ClaimError(
                f"chapter {self.name} has no {kind} {name!r}; it has: {', '.join(items) or 'none'}"
            )
        return items[name]

    # --- on disk

    @cached_property
    def seal(self) -> str:
        """Hash of all content: two results with one seal are the same."""
        return str(self.to_dict()["seal"])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content with schema, version and seal."""
        body = {
            "schema": SCHEMA,
            "version": VERSION,
            **{k: getattr(self, k) for k in ("name", "title", "origin")},
            **{k: dict(getattr(self, k)) for k in ("parameters", "prose", "hashes", "notes")},
            "claims": {k: c.to_dict() for k, c in self.claims.items()},
            "tables": {k: t.to_dict() for k, t in self.tables.items()},
            "figures": {k: f.to_dict() for k, f in self.figures.items()},
            "checks": [c.to_dict() for c in self.checks],
            "verdict": self.verdict.to_dict() if self.verdict else None,
        }
        return {**body, "seal": content_hash(body)}

    def to_json(self) -> str:
        """JSON text, keys sorted, LF line ends: the same result gives the same bytes."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "results") -> ChapterResult:
        """Result from `to_json`.

        Raises
        ------
        ClaimError
            Not JSON of this schema and version, or its content was changed since it was made.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ClaimError(f"{where}: not JSON ({error}); make the results again") from error
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ClaimError(f"{where}: not a {SCHEMA} file")
        if content.get("version") != VERSION:
            raise ClaimError(
                f"{where}: version {content.get('version')!r}, this code reads {VERSION}; "
                "make the results again"
            )
        body = {k: v for k, v in content.items() if k != "seal"}
        if content.get("seal") != content_hash(body):
            raise ClaimError(f"{where}: changed since it was made (its seal does not match)")
        try:
            return cls._from_body(body)
        except SosError:
            raise
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # Sealed anew after it was changed: the seal fits, the shape does not.
            raise ClaimError(
                f"{where}: not in the shape of version {VERSION} ({type(error).__name__}: "
                f"{str(error)[:80]}); make the results again"
            ) from error

    @classmethod
    def _from_body(cls, body: Mapping[str, Any]) -> ChapterResult:
        return cls(
            **{k: body[k] for k in ("name", "title", "origin")},
            **{k: body[k] for k in ("parameters", "prose", "hashes", "notes")},
            claims={k: Claim.from_dict(c) for k, c in body["claims"].items()},
            tables={k: SafeTable.from_dict(t) for k, t in body["tables"].items()},
            figures={k: SafeFigure.from_dict(f) for k, f in body["figures"].items()},
            checks=tuple(CheckResult(**c) for c in body["checks"]),
            verdict=Verdict.from_dict(body["verdict"]) if body["verdict"] else None,
        )

    def save(self, path: Path | str) -> Path:
        """Write JSON to `path`, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.to_json(), encoding="utf-8", newline="\n")
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: Path | str) -> ChapterResult:
        """Read a result saved by `save`."""
        path = Path(path)
        if not path.is_file():
            raise ClaimError(f"no results file {path.name}; run `python -m sos_analysis build`")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeError as error:
            raise ClaimError(f"{path.name}: not UTF-8; make the results again") from error
        return cls.from_json(text, path.name)


def _file(name: str, origin: str) -> str:
    # The name of a download says that it is made up even when the file has left the site.
    return f"made-up-{name}.csv" if origin == "synthetic" else f"{name}.csv"
