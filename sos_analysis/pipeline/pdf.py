"""The whole report as one PDF: the built pages in one document, printed by Chromium.

One document, and not pages printed one by one and merged: merging loses the tags that screen
readers need. Scripts are left out, so the charts are the drawings that stand in the pages. Pages of
worked examples carry a line at their head that says so, on each sheet.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sos_analysis import __version__
from sos_analysis.errors import SosError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

#: Below `book/_extra` and below the site.
FOLDER, STAMP = "report", "report.json"
_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome",
          "msedge")  # fmt: skip
_SECONDS = 240
#: Ids that other attributes point to.
_POINTERS = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "headers")
_DROPPED = (
    *("script", "link", "style", "template", ".headerlink", ".sos-plot", ".sos-svg-narrow"),
    *("#sos-explore", "button", ".prev-next-area", ".sd-stretched-link", ".sos-take-away"),
    *(".sos-not-printed", ".sos-breadcrumbs"),
)
#: Rows of a chart's data that are printed; longer ones are for the CSV file.
_ROWS = 24
MADE_UP = "Contains MADE-UP DATA, named as such: those numbers say nothing about Signs of Safety."
_STYLE = """
@page { size: A4; margin: 18mm 16mm 18mm 16mm;
  @bottom-right { content: counter(page); font: 9pt sans-serif; color: #333; }
  @bottom-left { content: "%(title)s, version %(version)s"; font: 9pt sans-serif; color: #333; } }
@page made-up { @top-left { content: "%(made_up)s"; font: bold 9pt sans-serif; color: #8a3c00; } }
html { font-size: 10pt; background: #fff; }
body { margin: 0; padding: 0; min-height: 0; display: block; color: #1c2430;
  font: 10pt/1.45 system-ui, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif; }
article :is(p, li, dd) { line-height: 1.45 !important; margin-block: 0.3em; }
article :is(h2, h3) { margin-top: 1.1em !important; padding-top: 0.5em !important; }
main > article { break-before: page; display: block; }
main > article.sos-made-up { page: made-up; }
article p, article li, article dl { max-width: none !important; }
h1, h2, h3, h4, summary, caption { break-after: avoid; }
tr, figure, .sos-check { break-inside: avoid; }
thead { display: table-header-group; }
table { font-size: 8pt; line-height: 1.25; width: 100%%; border-collapse: collapse; }
article :is(th, td), article :is(th, td) p { padding: 1.5pt 4pt !important; line-height: 1.25;
  overflow-wrap: break-word; hyphens: auto; vertical-align: top; }
.sos-table, .sos-math, pre { overflow: visible !important; max-height: none !important; }
pre, code { white-space: pre-wrap; overflow-wrap: anywhere; }
.sd-tab-content { display: block !important; height: auto !important; }
details > summary { list-style: none; font-weight: 650; }
.sos-svg { max-height: 170mm; }
.sos-cover h1 { font-size: 26pt; margin-top: 45mm; }
"""


def find_browser() -> str:
    """Chromium or a browser of its kind; SOS_CHROMIUM names another.

    Raises
    ------
    SosError
        There is none.
    """
    named = os.environ.get("SOS_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        raise SosError(
            "no Chromium or Chrome found, which prints the PDF; install it (Debian: apt-get "
            "install chromium) or name its path in SOS_CHROMIUM"
        )
    return found


# --- does a PDF fit the pages? ----------------------------------------------------------------


def digest(root: Path) -> str:
    """Hash of what pages are made from: a PDF of other results or words is not linked."""
    total = sha256()
    for pattern in ("results/*.json", "book/*.md", "notebooks/*.ipynb", "_toc.yml"):
        for path in sorted(root.glob(pattern)):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            total.update(f"{path.relative_to(root).as_posix()} {len(content)} ".encode() + content)
    return total.hexdigest()


def present(root: Path) -> dict[str, Any] | None:
    """Name, size and number of pages of the PDF that fits these pages; None where there is none."""
    folder = root / "book" / "_extra" / FOLDER
    try:
        stamp = json.loads((folder / STAMP).read_text("utf-8"))
        there = (folder / stamp["file"]).stat().st_size == stamp["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stamp if there and stamp.get("digest") == digest(root) else None


# --- one document -----------------------------------------------------------------------------


def pages_of(toc: dict[str, Any]) -> list[str]:
    """Names of the pages in reading order."""
    parts: Sequence[dict[str, Any]] = toc.get("parts", [toc])
    return [toc["root"], *(c["file"] for part in parts for c in part.get("chapters", []))]


def one_document(site: Path, names: Sequence[str], title: str) -> str:
    """All pages of a built site as one HTML document, links between them turned inward.

    Raises
    ------
    SosError
        A page is missing or has no content.
    """
    from bs4 import BeautifulSoup

    articles, contents = [], []
    made_up = False
    for name in names:
        path = site / f"{name}.html"
        if not path.is_file():
            raise SosError(
                f"no page {path.name} in {site}; run 'python -m sos_analysis build' first"
            )
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        article = page.select_one("article.bd-article")
        banner = page.select_one("aside.sos-banner")
        if article is None or banner is None:
            raise SosError(f"{path.name} has no article or no banner; build the report again")
        origin = str(banner.get("data-origin", ""))
        _turn_inward(page, article, name, set(names))
        heading = article.find("h1")
        words = heading.get_text(" ", strip=True) if heading else name
        contents.append(f'<li><a href="#{_anchor(name)}">{escape(words)}</a></li>')
        css = "bd-article sos-made-up" if "synthetic" in origin.split() else "bd-article"
        made_up = made_up or "sos-made-up" in css
        articles.append(
            f'<article class="{css}" id="{_anchor(name)}">{banner}{article.decode_contents()}'
            "</article>"
        )
    said = (
        "<p><strong>This report holds real findings and worked examples on made-up data.</strong> "
        "Chapters that hold made-up data say so at the head of each sheet. Made-up numbers say "
        "nothing about Signs of Safety.</p>"
        if made_up
        else ""
    )
    sheets = "".join(
        f'<link rel="stylesheet" href="{sheet.resolve().as_uri()}">'
        for sheet in sorted((site / "_static").glob("sos*.css"))
    )
    style = _STYLE % {
        "title": title.replace('"', ""),
        "version": __version__,
        "made_up": MADE_UP,
    }
    return (
        f'<!DOCTYPE html><html lang="en-GB" data-theme="light" data-mode="light"><head>'
        f'<meta charset="utf-8"><title>{escape(title)}</title>{sheets}<style>{style}</style></head>'
        f'<body><main><section class="sos-cover"><h1>{escape(title)}</h1>'
        f"<p>Version {escape(__version__)}</p>{said}"
        f'<h2>Contents</h2><ol class="sos-contents">{"".join(contents)}</ol></section>'
        f"{''.join(articles)}</main></body></html>"
    )


def _anchor(name: str, id: str = "") -> str:
    page = re.sub(r"[^A-Za-z0-9]+", "-", name)
    return f"{page}--{id}" if id else page


def _turn_inward(page: BeautifulSoup, article: Tag, name: str, known: set[str]) -> None:
    """Ids become unique, links between pages lead within the document, all is open and static."""
    for noscript in article.select("noscript"):
        noscript.name = "div"
    for selector in _DROPPED:
        for element in article.select(selector):
            element.decompose()
    for data in article.select("details.sos-data"):
        rows = len(data.select("tbody tr"))
        if rows > _ROWS:
            words = page.new_tag("p", attrs={"class": "sos-key"})
            words.string = f"The {rows} rows behind this chart are in its CSV file."
            data.replace_with(words)
    for details in article.select("details"):
        details["open"] = ""
    for element in article.find_all(True):
        if element.get("id"):
            element["id"] = _anchor(name, str(element["id"]))
        for pointer in _POINTERS:
            if element.get(pointer):
                value = element[pointer]
                ids = value if isinstance(value, list) else str(value).split()
                element[pointer] = " ".join(_anchor(name, one) for one in ids)
        for key, value in list(element.attrs.items()):
            if isinstance(value, str) and "url(#" in value:
                element[key] = re.sub(
                    r"url\(#([^)]+)\)", lambda m: f"url(#{_anchor(name, m[1])})", value
                )
    for link in article.select("a[href]"):
        link["href"] = _inward(str(link["href"]), name, known)
        if not link["href"]:
            link.unwrap()


def _inward(href: str, name: str, known: set[str]) -> str:
    """Address within the document; '' for a file that a PDF cannot reach."""
    if re.match(r"[a-z]+:", href):
        return href
    path, _, id = href.partition("#")
    if not path:
        return f"#{_anchor(name, id)}" if id else f"#{_anchor(name)}"
    target = os.path.normpath(os.path.join(os.path.dirname(name), path)).replace(os.sep, "/")
    page = target.removesuffix(".html")
    if page in known:
        return f"#{_anchor(page, id)}" if id else f"#{_anchor(page)}"
    return ""


# --- printing ---------------------------------------------------------------------------------


def print_document(html: str, out: Path) -> None:
    """Print a document to a tagged PDF with an outline, whole or not at all.

    Raises
    ------
    SosError
        There is no browser, it takes too long, or it writes nothing.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="sos-pdf-") as place:
        source, made = Path(place, "report.html"), Path(place, "report.pdf")
        source.write_text(html, encoding="utf-8", newline="\n")
        command = [
            *(browser, "--headless", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
            f"--user-data-dir={Path(place, 'profile')}",
            "--allow-file-access-from-files",
            # Nothing is fetched: the document and its style sheets are files.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--generate-pdf-document-outline",
            "--no-pdf-header-footer",
            f"--print-to-pdf={made}",
            source.as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses its sandbox to root
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
                check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SosError(f"{browser} did not print the report: {error}") from error
        if not made.is_file() or not made.read_bytes().startswith(b"%PDF"):
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SosError(f"{browser} printed no PDF (status {done.returncode}): {last}")
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(made, part)
            os.replace(part, out)
        finally:
            part.unlink(missing_ok=True)


def make_pdf(root: Path, site: Path) -> Iterator[str]:
    """Print the built site into `book/_extra/report`; yields lines of progress.

    Raises
    ------
    SosError
        There are no pages, no browser, or a printed document without tags.
    """
    import yaml

    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    title = str(config["title"])
    html = one_document(site, pages_of(toc), title)
    yield f"{len(pages_of(toc))} pages of the site in one document, {len(html) // 1000} kB"
    mixed = "sos-made-up" in html.partition("<body>")[2]
    name = "signs-of-safety-evaluated-again"
    file = f"{name}{'-with-made-up-examples' if mixed else ''}.pdf"
    folder = root / "book" / "_extra" / FOLDER
    (folder / STAMP).unlink(missing_ok=True)
    for old in folder.glob("*.pdf") if folder.is_dir() else ():
        if old.name != file:
            old.unlink()
    print_document(html, folder / file)
    content = (folder / file).read_bytes()
    if b"/StructTreeRoot" not in content or b"/MarkInfo" not in content:
        (folder / file).unlink()
        raise SosError("the browser printed a PDF without tags; use a newer Chromium")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    stamp = {"file": file, "bytes": len(content), "pages": pages, "digest": digest(root)}
    (folder / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8", newline="\n")
    yield f"PDF: {folder / file}, {pages} sheets, {len(content) / 1_000_000:.1f} MB"
