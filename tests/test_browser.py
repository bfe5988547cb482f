"""Pages of prose in a real browser, offline: wide and narrow, light and dark, printed.

One visit a page serves all questions, since opening a page is what costs time. The chapters stand
in `test_browser_chapters`, so that two processes share the work.
"""

from __future__ import annotations

from site_look import forced, look
from site_visit import WIDE, Visit, serve, toc_pages


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


def test_forced_colours(built_site, browser):
    """Colours of the system, light and dark, against a mode that the reader chose before."""
    names, faults = ("book/intro", "book/chapters/rq4_kinship_care", "book/explore"), []
    with serve(built_site.site) as base:
        for scheme, chosen in (("light", "dark"), ("dark", "light")):
            context = browser.new_context(
                forced_colors="active", color_scheme=scheme, reduced_motion="reduce",
                viewport=WIDE,
            )  # fmt: skip
            kept = f"localStorage.mode = localStorage.theme = '{chosen}'"
            context.add_init_script(kept)
            page = context.new_page()
            for name in names:
                page.goto(f"{base}/{name}.html", wait_until="load")
                assert page.evaluate("document.documentElement.dataset.theme") == chosen
                if "/chapters/" in name:
                    page.locator("figure.sos-figure").first.scroll_into_view_if_needed()
                    page.wait_for_selector("figure.sos-drawn")
                faults += [f"{name}, {scheme}: {fault}" for fault in forced(page)]
            context.close()
    assert not faults, "\n".join(faults)


def test_from_the_dark_paper_stays_light(built_site, browser):
    """Printed by a reader who chose dark, words and charts have the colours of paper."""
    ink = """() => ['article p', 'article h1', '.sos-svg-wide text'].map(e =>
      getComputedStyle(document.querySelector(e))).flatMap(s =>
        [s.fill, s.color].map(c => Math.max(...c.match(/[\\d.]+/g).slice(0, 3).map(Number))))"""
    with serve(built_site.site) as base, Visit(browser, base, color_scheme="dark") as visit:
        page = visit.open(f"{base}/book/chapters/rq4_kinship_care.html")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        # 127 of 255 is half of full light: dark words lie below it, pale ones above.
        assert max(page.evaluate(ink)) > 127
        page.emulate_media(media="print")
        page.wait_for_function("document.documentElement.dataset.theme === 'light'")
        assert max(page.evaluate(ink)) < 127
        page.emulate_media(media="screen")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        assert not visit.said
