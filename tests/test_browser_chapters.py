"""The chapters in a real browser; what is asked of a page stands in `site_look`."""

from __future__ import annotations

from site_look import look
from site_visit import toc_pages


def test_chapters(built_site, visit_of):
    """Every chart drawn with its numbers, in light and dark, wide, narrow and printed."""
    names = [n for n in toc_pages(built_site.root) if "/chapters/" in n]
    faults = [f"{name}: {fault}" for name in names for fault in look(visit_of(name), name)]
    assert not faults, "\n".join(faults)
