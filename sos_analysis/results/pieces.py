"""Pieces of a page that are neither sentence, table nor chart: checks, verdict, provenance."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sos_analysis.checks import STATUSES, CheckResult
from sos_analysis.disclosure.safe import ORIGINS
from sos_analysis.evidence import COST, Verdict
from sos_analysis.formats import Rendered, escape
from sos_analysis.results.claims import FINGERPRINTS, Claim

_ORDER = {"fail": 0, "info": 1, "pass": 2}


def checks_list(checks: Sequence[CheckResult]) -> Rendered:
    """Checks as a list: fail, then for information, then pass."""
    ranked = sorted(checks, key=lambda c: _ORDER[c.status])
    items = "".join(
        f'<li class="sos-check sos-check-{c.status}" data-check="{escape(c.id)}">'
        f'<p><strong class="sos-check-status">{STATUSES[c.status]}</strong> '
        f'<span class="sos-check-title">{escape(c.title)}</span></p>'
        f"<p>{escape(c.sentence)}</p></li>"
        for c in ranked
    )
    text = "\n".join(f"{c.word}: {c.title} {c.sentence}" for c in ranked)
    return Rendered(f'<ul class="sos-checks">{items}</ul>', text)


def verdict_card(verdict: Verdict) -> Rendered:
    """Sentence, the three dials, reasons and what would change the rating."""
    dials = [("What was found", verdict.effect_class)]
    rating = verdict.certainty or "not rated: the data are made up"
    dials += [("How sure", rating), ("Cost", COST)]
    spoken = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in dials)
    why = _points("Why this rating", verdict.reasons) if verdict.certainty else ""
    change = _points("What would change it", verdict.what_would_change)
    html = (
        f'<div class="sos-verdict claim-{verdict.origin}" data-origin="{verdict.origin}">'
        f'<p class="sos-verdict-sentence">{escape(verdict.sentence)}</p>'
        f'<dl class="sos-dials">{spoken}</dl>{why}{change}</div>'
    )
    text = "\n".join([verdict.sentence, *(f"{k}: {v}" for k, v in dials), *verdict.reasons])
    return Rendered(html, text)


def not_rated(origin: str) -> Rendered:
    """Says why there is no rating, and where the rating itself is on trial."""
    if origin == "synthetic":
        text = (
            "How sure one can be is not rated here, because the data are made up. The chapter on "
            "method validation shows how the rating behaves when data get worse."
        )
    else:
        text = "How sure one can be is not rated: the two methods could not both be computed."
    return Rendered(f'<p class="sos-say">{text}</p>', text)


def provenance(claims: Sequence[Claim], title: str = "this page") -> Rendered:
    """Where numbers come from: what each is, its kind, who made it, and what it rests on.

    Each row has the id `Claim.anchor`, to which the links of the pages lead.
    """
    rows = "".join(
        f'<tr id="{claim.anchor}"><th scope="row">{_shown(claim)}</th>'
        f"<td>{escape(ORIGINS[claim.origin])}</td><td>{_made(claim)}</td>"
        f"<td>{_prints(claim)}</td></tr>"
        for claim in claims
    )
    html = (
        '<div class="sos-table sos-how-list" role="region" tabindex="0" '
        f'aria-label="Where the numbers come from: {escape(title)}"><table>'
        f"<caption>Where the numbers come from: {escape(title)}</caption>"
        '<thead><tr><th scope="col">Number or words</th><th scope="col">Kind</th>'
        '<th scope="col">Made by, or source</th>'
        '<th scope="col">Fingerprints</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    text = "\n".join(f"{c.id}: {c.text()} ({c.source})" for c in claims)
    return Rendered(html, text)


def _shown(claim: Claim) -> str:
    form = "full" if claim.low is not None else "text"
    return f"{claim.to_html(form)} <code>{escape(claim.id)}</code>"


def _made(claim: Claim) -> str:
    kept = "" if isinstance(claim.value, str) else f"Decimals kept: {claim.decimals}"
    parts = [claim.source, claim.note, kept]
    text = escape(". ".join(p.rstrip(".") for p in parts if p)) + "."
    # The name of a function may break after a dot, and nowhere else.
    return re.sub(r"\bsos_analysis[\w.]*\w", lambda m: m[0].replace(".", ".<wbr>"), text)


def _prints(claim: Claim) -> str:
    # One element, a line each: a page has hundreds of them.
    lines = (f"{name} {escape(claim.hashes.get(name, 'not known'))}" for name in FINGERPRINTS)
    return '<code class="sos-prints">' + "\n".join(lines) + "</code>"


def _points(heading: str, items: tuple[str, ...]) -> str:
    if not items:
        return ""
    points = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f'<p class="sos-verdict-heading">{heading}</p><ul>{points}</ul>'
