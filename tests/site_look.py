"""What is asked of a page in a browser: `look` gives its faults, one line each."""

from __future__ import annotations

import csv
import io
import re
from typing import Any
from urllib.parse import urljoin

from site_visit import LOOKS, NARROW, WIDE, ZOOMED, Visit

#: Gzip sizes of all that a first visit loads, in bytes: the start page, and any other page with
#: every chart drawn. Set by the project's own aims for phones and slow lines.
LANDING_BYTES, PAGE_BYTES = 450_000, 850_000
#: Shift of layout that browsers' makers call good is 0.1; ours is a tenth of that.
SHIFT = 0.01


def look(visit: Visit, name: str) -> list[str]:
    """Faults of the open page, in every light."""
    page, limit = visit.page, LANDING_BYTES if name == "book/intro" else PAGE_BYTES
    faults = []
    if any("plotly" in url for url in visit.sizes) and page.evaluate(
        "![...document.querySelectorAll('script.sos-plotly')].some(s =>"
        " s.closest('figure').getBoundingClientRect().top < innerHeight + 300)"
    ):
        faults.append("loads the chart library although no chart is in view")
    visit.see_all()
    weight = sum(visit.sizes.values())
    if weight > limit:
        most = sorted(visit.sizes.items(), key=lambda s: -s[1])[:4]
        faults.append(f"weighs {weight} bytes, allowed are {limit}; most of it: {most}")
    shift = page.evaluate("window.sosShift")
    if shift > SHIFT:
        faults.append(f"moves while it loads: {shift:.3f}")
    faults += charts(page)
    faults += structure(page)
    faults += [f"wide, light: {fault}" for fault in visit.axe(whole=True)]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    faults += [f"wide, dark: {fault}" for fault in visit.axe(rules=LOOKS)]
    page.set_viewport_size(NARROW)
    # Charts give way to pictures drawn for a phone.
    page.wait_for_function("!document.querySelector('figure.sos-drawn')", timeout=15_000)
    faults += [f"narrow, dark: {fault}" for fault in visit.axe()]
    if (over := visit.overflow()) > 1:
        faults.append(f"narrow: {over} px wider than the window")
    faults += spaced(page)
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    faults += [f"narrow, light: {fault}" for fault in visit.axe(rules=LOOKS)]
    # At 400 % a desktop window is as narrow as NARROW; at 200 % it is ZOOMED.
    for name, size in (("at 200 %", ZOOMED), ("wide", WIDE)):
        page.set_viewport_size(size)
        if (over := visit.overflow()) > 1:
            faults.append(f"{name}: {over} px wider than the window")
    faults += printed(page)
    faults += [f"asked for {address}" for address in visit.outside]
    faults += [f"console: {text}" for text in visit.said]
    return faults


def spaced(page: Any) -> list[str]:
    """On a phone no list of rows is cut, and text spaced as WCAG 1.4.12 asks still fits."""
    return page.evaluate(
        """() => {
          const faults = [], root = document.documentElement;
          const cut = when => document.querySelectorAll('.sos-table:has(.sos-stack)').forEach(t => {
            if (t.scrollWidth > t.clientWidth + 1) {
              faults.push(`narrow, ${when}: a list of rows is cut: ` + t.dataset.table); } });
          cut('as it is');
          const style = document.createElement('style');
          style.textContent = `* { line-height: 1.5 !important; letter-spacing: .12em !important;
            word-spacing: .16em !important; } p { margin-bottom: 2em !important; }`;
          document.head.append(style);
          cut('spaced');
          const over = root.scrollWidth - root.clientWidth;
          if (over > 1) { faults.push(`narrow, spaced: ${over} px wider than the window`); }
          style.remove();
          return faults;
        }"""
    )


def forced(page: Any) -> list[str]:
    """In forced colours icons show, focus shows, and charts can be read.

    4.5 and 3 are the contrasts that WCAG asks of text and of marks.
    """
    return page.evaluate(
        r"""() => {
          const faults = [], seen = e => e.getBoundingClientRect().width > 1;
          const light = text => {
            const [r, g, b] = text.match(/[\d.]+/g).slice(0, 3).map(v => {
              v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
            return .2126 * r + .7152 * g + .0722 * b; };
          const contrast = (a, b) => {
            const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
            return (high + .05) / (low + .05); };
          const paper = e => {
            for (; e; e = e.parentElement) {
              const colour = getComputedStyle(e).backgroundColor;
              if (!/^rgba.*, 0\)$/.test(colour)) { return colour; } }
            return getComputedStyle(document.body).backgroundColor; };
          document.querySelectorAll('.bd-header-article .fa-solid').forEach(icon => {
            if (seen(icon) && contrast(paper(icon), paper(icon.parentElement)) < 3) {
              faults.push('an icon is not to be seen: ' + icon.className); } });
          document.querySelectorAll('figure.sos-drawn .sos-plot').forEach(plot => {
            const text = plot.querySelector('.xtick text'), line = plot.querySelector('.js-line');
            if (contrast(getComputedStyle(text).fill, paper(plot)) < 4.5 ||
                contrast(getComputedStyle(line).stroke, paper(plot)) < 3) {
              faults.push('a chart cannot be read: ' + plot.closest('figure').id); } });
          const link = document.querySelector('article a[href]:not(.headerlink)');
          link.focus({focusVisible: true});
          if (getComputedStyle(link).outlineStyle === 'none') {
            faults.push('focus is not to be seen'); }
          return faults;
        }"""
    )


def charts(page: Any) -> list[str]:
    """What Plotly holds is what the CSV beside the chart holds; nothing offers to share it."""
    faults = []
    for figure in page.evaluate(
        """() => [...document.querySelectorAll('figure.sos-figure')].map(f => {
          const plot = f.querySelector('.sos-plot');
          return {
            id: f.id,
            pictures: f.querySelectorAll('svg.sos-svg[role=img] > title').length,
            table: Boolean(f.querySelector('.sos-data table caption')),
            csv: f.querySelector('a.sos-download')?.href,
            moving: Boolean(f.querySelector('script.sos-plotly')),
            drawn: Boolean(f.querySelector('.js-plotly-plot .main-svg')),
            held: plot?.data?.flatMap(t => [...t.x, ...t.y]) ?? [],
            tabs: plot ? plot.querySelectorAll('a, button, [tabindex="0"]').length : 0,
            says: plot ? plot.innerText : '',
          };
        })"""
    ):
        key = figure["id"]
        if figure["pictures"] != 2 or not figure["table"] or not figure["csv"]:
            faults.append(f"{key}: wants two pictures with a title, a table and a CSV")
            continue
        answer = page.request.get(urljoin(page.url, figure["csv"]))
        if not answer.ok:
            faults.append(f"{key}: its CSV cannot be had")
            continue
        rows = list(csv.reader(io.StringIO(answer.text())))
        if not figure["moving"]:
            continue
        if not figure["drawn"]:
            faults.append(f"{key}: is not drawn")
            continue
        text = " ".join(cell for row in rows for cell in row)
        known = {round(float(n), 6) for n in re.findall(r"-?\d+(?:\.\d+)?", text)}
        # Rows are placed by their rank, which is no number of the table.
        known |= {float(k) for k in range(len(rows))}
        numbers = [v for v in figure["held"] if isinstance(v, int | float)]
        strange = [v for v in numbers if round(v, 6) not in known]
        if not numbers or strange:
            faults.append(f"{key}: holds numbers that its CSV does not: {strange[:5]}")
        if figure["tabs"]:
            faults.append(f"{key}: the drawn layer holds a tab stop")
        if "Share" in figure["says"]:
            faults.append(f"{key}: offers to share its data")
    return faults


def structure(page: Any) -> list[str]:
    """Captions, scopes, headings in order, links that make sense, the way through the pages."""
    return page.evaluate(
        r"""() => {
          const faults = [], all = s => [...document.querySelectorAll(s)];
          const main = document.querySelector('article.bd-article') || document.body;
          main.querySelectorAll('table').forEach(t => {
            const name = (t.caption?.textContent || '').trim();
            if (!name) { faults.push('a table without a caption: ' + t.innerText.slice(0, 60)); }
            t.querySelectorAll('thead th:not([scope])').forEach(
              h => faults.push('a heading without a scope: ' + h.innerText));
            if (!t.querySelector('tbody th[scope=row]')) {
              faults.push('a table without row headings: ' + name); }
          });
          main.querySelectorAll('a[href]').forEach(a => {
            const text = (a.getAttribute('aria-label') || a.textContent).trim().toLowerCase();
            if (/^(here|click here|link|this|more|read more|#)?$/.test(text) &&
                !a.classList.contains('headerlink')) {
              faults.push('a link that says nothing: ' + a.outerHTML.slice(0, 100)); }
          });
          let before = 1;
          main.querySelectorAll('h1,h2,h3,h4,h5').forEach(h => {
            const level = Number(h.tagName[1]);
            if (level > before + 1) { faults.push('a heading too deep: ' + h.innerText); }
            before = level;
          });
          const ids = new Set();
          all('[id]').forEach(e => {
            if (ids.has(e.id)) { faults.push('two elements with the id ' + e.id); }
            ids.add(e.id); });
          if (document.documentElement.lang !== 'en-GB') { faults.push('language is not said'); }
          if (/book\//.test(location.pathname)) {
            if (!document.querySelector('.sos-banner')) { faults.push('no banner'); }
            if (!/intro/.test(location.pathname) &&
                !document.querySelector('.sos-crumbs [aria-current=page]')) {
              faults.push('no breadcrumbs'); }
            if (!document.querySelector('.prev-next-area a')) { faults.push('no way on'); }
          }
          return faults;
        }"""
    )


def printed(page: Any) -> list[str]:
    """In print nothing is lost: folded parts open, charts are the pictures, tables are whole."""
    page.emulate_media(media="print")
    faults = page.evaluate(
        """() => {
          const faults = [], box = e => e.getBoundingClientRect();
          document.querySelectorAll('article details').forEach(d => {
            const inside = d.querySelector(':scope > :not(summary)');
            if (inside && box(inside).height < 5) {
              faults.push('print loses what is folded: ' + d.querySelector('summary').innerText);
            } });
          document.querySelectorAll('.sd-tab-content').forEach(t => {
            if (box(t).height < 5) { faults.push('print loses a tab'); } });
          document.querySelectorAll('figure.sos-figure').forEach(f => {
            if (box(f.querySelector('svg.sos-svg-wide')).width < 300) {
              faults.push('print loses the picture of ' + f.id); }
            if (f.querySelector('.sos-plot')?.offsetHeight) {
              faults.push('print shows the moving chart of ' + f.id); } });
          document.querySelectorAll('.sos-table').forEach(t => {
            if (getComputedStyle(t).overflowX !== 'visible') {
              faults.push('print cuts the table ' + t.dataset.table); } });
          if (!document.querySelector('aside.sos-banner').offsetHeight &&
              /book/.test(location.pathname)) { faults.push('print loses the banner'); }
          return faults;
        }"""
    )
    page.emulate_media(media="screen")
    return faults
