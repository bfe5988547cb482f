"""The banner of a page: whether its numbers are real."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from sphinx.util import logging

from sos_analysis.disclosure import ORIGINS
from sos_analysis.results import Bundle
from sos_book.numbers import CHAPTERS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)

# The kind that needs most care first.
_ORDER = ("synthetic", "restricted", "published", "public", "design", "programme")
_BANNERS = {
    "synthetic": (
        "Made-up data",
        "Numbers under ‘Worked example on made-up data’ are computed on invented records. "
        "They say nothing about Signs of Safety.",
    ),
    "synthetic public": (
        "Real and made up",
        "Public statistics here are real, computed from what the Department for Education "
        "publishes. Whatever is marked as made up says nothing about Signs of Safety.",
    ),
    "restricted": (
        "Restricted records",
        "Numbers are computed on individual records that are not public. "
        "They have passed disclosure control.",
    ),
    "public": (
        "Real public statistics",
        "Numbers are computed from statistics that the Department for Education publishes.",
    ),
    "published": (
        "Published findings",
        "Numbers are as the original evaluation published them.",
    ),
    "published public": (
        "Real findings",
        "Numbers on this page were published by the original evaluation, or are computed from "
        "statistics that the Department for Education publishes. None is made up.",
    ),
    "design": (
        "About the method",
        "This page holds no finding. Its numbers are choices of the design or facts about the "
        "programme.",
    ),
    "": (
        "Real or made up?",
        "Each page of the report says here what kind of numbers it holds.",
    ),
}


def page_origin(app: Sphinx, pagename: str) -> str:
    """Origin of a page: a chapter's from its results, another's from its front matter."""
    bundle: Bundle = app.sos_bundle  # type: ignore[attr-defined]
    name = pagename.removeprefix(f"{CHAPTERS}/")
    if name != pagename and name in bundle.chapters:
        return bundle.chapters[name].origin
    origin = str(app.env.metadata.get(pagename, {}).get("origin", ""))
    names = [name for name in _ORDER if name in origin.split()]
    unknown = [n for n in origin.split() if n not in ORIGINS]
    if unknown or (not names and pagename in app.env.found_docs):
        wrong = f"origin {unknown[0]!r} is unknown" if unknown else "the front matter has no origin"
        logger.warning(f"{wrong}; allowed: {', '.join(ORIGINS)}", location=pagename, type="sos")
    return " ".join(names)


def banner(origin: str) -> str:
    """What the numbers of a page are, for its top."""
    key = origin
    if key not in _BANNERS:
        key = next((o for o in _ORDER if o in origin.split()), "")
        key = "design" if key == "programme" else key
    title, text = _BANNERS[key]
    kind = key.replace(" ", "-") or "none"
    return (
        f'<aside class="sos-banner sos-banner-{kind}" aria-label="What kind of numbers" '
        f'data-origin="{escape(key)}"><p><strong>{escape(title)}.</strong> {escape(text)}</p>'
        "</aside>"
    )
