"""Pages of prose in a real browser, offline: wide and narrow, light and dark, printed.

One visit a page serves all questions, since opening a page is what costs time. The chapters stand
in `test_browser_chapters`, so that two processes share the work.
"""

from __future__ import annotations

from site_look import look
from site_visit import toc_pages


def test_pages_of_prose(built_site, visit_of):
    """Start page, search and all pages that are no chapters."""
    names = [n for n in toc_pages(built_site.root) if "/chapters/" not in n]
    faults = [
        f"{name}: {fault}" for name in ["search", *names] for fault in look(visit_of(name), name)
    ]
    assert not faults, "\n".join(faults)


def test_start_page_leads_on(built_site, visit_of):
    """The address of the site opens the first page of the contents."""
    visit = visit_of("index")
    visit.page.wait_for_url(f"**/{toc_pages(built_site.root)[0]}.html")
