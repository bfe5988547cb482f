"""Files to take away, each checked by the library that its readers use; the PDF; odds and ends."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import yaml
from bs4 import BeautifulSoup

from sos_analysis import __version__
from sos_analysis.errors import SosError
from sos_analysis.pipeline import pdf, takeaway
from sos_analysis.pipeline.metadata import results_schema
from sos_analysis.results import load_bundle

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(built_site) -> Path:
    return built_site.site / "downloads"


@pytest.fixture(scope="module")
def extension():
    """The Sphinx extension: what it writes in heads and beside the pages."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from sos_book import beside, head

    return SimpleNamespace(beside=beside, head=head)


def _pages(site: Path) -> list[Path]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    return [site / f"{name}.html" for name in pdf.pages_of(toc)]


# --- descriptions for machines ----------------------------------------------------------------


def test_the_data_package_describes_every_table(folder: Path) -> None:
    """Frictionless reads the package; a sample of tables is read row by row, hashes included."""
    from frictionless import Package, Resource

    package = Package(str(folder / "datapackage.json"))
    paths = {r.path for r in package.resources}
    assert paths == {p.relative_to(folder).as_posix() for p in folder.rglob("*.csv")}
    assert len({r.name for r in package.resources}) == len(paths)
    wanted = [r for r in package.resources if "public_statistics" in r.path][:3]
    wanted += [r for r in package.resources if r.path.endswith("main.csv")]
    wanted += [r for r in package.resources if "curve_kinship" in r.path]
    assert len(wanted) >= 6
    for resource in wanted:
        report = resource.validate()
        assert report.valid, report.flatten(["type", "note"])
    # It can fail: a changed table is noticed.
    spoilt = wanted[0].to_descriptor() | {"hash": "sha256:" + "0" * 64}
    found = Resource.from_descriptor(spoilt, basepath=str(folder)).validate()
    assert "hash-count" in {e[0] for e in found.flatten(["type"])}


def test_the_crate_names_every_file_and_what_made_it(folder: Path) -> None:
    from rocrate.rocrate import ROCrate

    crate = ROCrate(str(folder))
    named = {e.id for e in crate.get_entities() if e.type == "File"}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert named == there - {"ro-crate-metadata.json"}
    root = crate.root_dataset
    assert root["version"] == __version__
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", root["datePublished"])
    assert root["license"].id == "https://creativecommons.org/licenses/by/4.0/"
    made_up = crate.dereference("rq4_kinship_care/made-up-rq4_kinship_care.json")
    assert made_up["description"].startswith("Made-up data.")
    runs = [e for e in crate.get_entities() if e.type == "CreateAction"]
    assert {e["instrument"].id for e in runs} == {"#software"}
    assert {p.id for run in runs for p in run["result"]} | {
        *("results.schema.json", "datapackage.json")
    } == named


def test_the_files_carry_the_day_of_the_version_and_never_that_of_the_clock(
    monkeypatch, tmp_path
) -> None:
    """Two faked days, one date: builds of the same inputs are the same bytes on any day."""
    cited = str(yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["date-released"])
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    crates = []
    for day in (dt.datetime(2020, 2, 3, tzinfo=dt.UTC), dt.datetime(2031, 5, 6, tzinfo=dt.UTC)):

        class Clock(dt.datetime):
            @classmethod
            def now(cls, tz=None, day=day):
                return day

            @classmethod
            def today(cls, day=day):
                return day

        monkeypatch.setattr(takeaway.dt, "datetime", Clock)
        place = tmp_path / str(day.year)
        place.mkdir()
        takeaway.write_all(place, [], tmp_path, tmp_path)
        crates.append((place / takeaway.CRATE).read_bytes())
    assert crates[0] == crates[1]
    assert f'"datePublished": "{cited}"'.encode() in crates[0]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert takeaway.made_on() == "1970-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(SosError, match="SOURCE_DATE_EPOCH is 'soon'"):
        takeaway.made_on()
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    undated = tmp_path / "CITATION.cff"
    undated.write_text("version: 1\n", "utf-8")
    with pytest.raises(SosError, match="date-released"):
        takeaway.made_on(undated)


def test_results_follow_their_schema(folder: Path) -> None:
    from jsonschema import Draft202012Validator

    schema = json.loads((folder / takeaway.SCHEMA).read_text("utf-8"))
    assert schema == json.loads(json.dumps(results_schema()))
    Draft202012Validator.check_schema(schema)
    judge = Draft202012Validator(schema)
    files = sorted(folder.glob("*/*.json"))
    assert len(files) > 12
    for path in files:
        problems = [e.message for e in judge.iter_errors(json.loads(path.read_text("utf-8")))]
        assert not problems, (path.name, problems[:3])
    odd = json.loads(files[0].read_text("utf-8"))
    claim = next(iter(odd["claims"].values()))
    claim["origin"] = "guess"
    del odd["seal"]
    assert {e.validator for e in judge.iter_errors(odd)} == {"enum", "required"}


def test_every_page_tells_machines_what_it_is(built_site) -> None:
    """schema.org through a JSON-LD processor; previews; nothing that is not known is claimed."""
    from pyld import jsonld

    def offline(address: str, options: object) -> dict[str, object]:
        assert address.rstrip("/") in ("https://schema.org", "http://schema.org"), address
        context = {"@context": {"@vocab": "https://schema.org/"}}
        return {"document": context, "documentUrl": address, "contextUrl": None,
                "contentType": "application/ld+json"}  # fmt: skip

    kinds: dict[str, str] = {}
    for path in _pages(built_site.site):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        found = page.select('script[type="application/ld+json"]')
        assert len(found) == 1, path.name
        (node,) = jsonld.expand(json.loads(found[0].string), {"documentLoader": offline})
        kinds[path.stem] = node["@type"][0].rpartition("/")[2]
        s = "https://schema.org/"
        assert node[f"{s}version"][0]["@value"] == __version__
        assert "@id" not in node, "an address is known only where it is given"
        held = [node, *node.get(f"{s}hasPart", [])]
        for file in (f for one in held for f in one.get(f"{s}distribution", [])):
            url = file[f"{s}contentUrl"][0].get("@value") or file[f"{s}contentUrl"][0]["@id"]
            assert (path.parent / url).is_file(), url
        meta = {m.get("property"): m["content"] for m in page.select("meta[property]")}
        assert meta["og:title"]
        assert meta["og:site_name"] == "Signs of Safety, evaluated again"
        assert 20 < len(meta["og:description"]) <= 200, path.name
        assert "og:url" not in meta
        origin = page.select_one("aside.sos-banner")["data-origin"]
        if origin == "synthetic" and path.parent.name == "chapters":
            assert "made-up data" in meta["og:description"].lower(), path.name
        assert page.select_one('link[rel="icon"]'), path.name
    assert kinds["intro"] == "Report"
    assert kinds["take_away"] == "Dataset"
    assert kinds["rq4_kinship_care"] == "ScholarlyArticle"


# --- what readers get -------------------------------------------------------------------------


def test_each_file_holds_its_origin_and_nothing_a_spreadsheet_runs(folder: Path) -> None:
    """Every cell of every CSV file; intervals stand beside estimates."""
    with_ends = 0
    for path in folder.rglob("*.csv"):
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
        assert rows[0][:2] == ["origin", "source"], path
        assert all(row[0] and row[1] for row in rows[1:]), path
        assert ("Made-up" in rows[1][0]) == path.name.startswith("made-up-"), path
        for cell in (c for row in rows for c in row):
            starts = cell[:1] in ("=", "+", "-", "@", "\t", "\r")
            assert not starts or re.fullmatch(r"-\d+(\.\d+)?", cell), (path, cell)
        with_ends += any("95%" in head or "nterval" in head for head in rows[0])
    assert with_ends > 20


def test_the_page_lists_every_file_with_its_size(built_site, folder: Path) -> None:
    page = BeautifulSoup(
        (built_site.site / "book/take_away.html").read_text("utf-8"), "html.parser"
    )
    links = {a["href"] for a in page.select("article a.sos-download")}
    there = {f"../downloads/{p.relative_to(folder).as_posix()}" for p in folder.rglob("*.*")}
    assert {link for link in links if "/report/" not in link} == there
    for link in links:
        assert (built_site.site / "book" / link).is_file()
    row = page.find("a", string="variants_rereferral.csv").find_parent("tr")
    size = (folder / "public_statistics/variants_rereferral.csv").stat().st_size
    assert takeaway.spoken_size(size) in row.get_text()
    assert [takeaway.spoken_size(n) for n in (812, 14_200, 1_240_000)] == [
        *("812 bytes", "14 kB", "1.2 MB")
    ]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == __version__
    assert f"Version {__version__}." in page.get_text()
    assert f"version = {{{__version__}}}" in page.get_text()


def test_lost_readers_are_led_back_and_a_site_map_needs_an_address(
    built_site, extension, tmp_path, monkeypatch
) -> None:
    lost = BeautifulSoup((built_site.site / "404.html").read_text("utf-8"), "html.parser")
    assert lost.html["lang"] == "en-GB"
    assert all((built_site.site / a["href"]).is_file() for a in lost.select("a"))
    assert not (built_site.site / "sitemap.xml").exists(), "no address was given"
    monkeypatch.setenv("SOS_BASE_URL", "https://example.org/report")
    assert takeaway.base_address() == "https://example.org/report/"
    app = SimpleNamespace(
        env=SimpleNamespace(found_docs={"book/intro", "book/a&b"}),
        builder=SimpleNamespace(get_target_uri=lambda page: f"{page}.html"),
    )
    extension.beside._site_map(app, tmp_path, takeaway.base_address())
    spaces = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
    tree = ElementTree.parse(tmp_path / "sitemap.xml")
    found = [e.text for e in tree.findall("s:url/s:loc", spaces)]
    assert found == [f"https://example.org/report/book/{p}.html" for p in ("a&b", "intro")]
    assert "Sitemap: https://example.org/report/sitemap.xml" in (tmp_path / "robots.txt").read_text(
        "utf-8"
    )
    monkeypatch.setenv("SOS_BASE_URL", "report")
    with pytest.raises(SosError, match="give an address such as https://"):
        takeaway.base_address()


def test_where_the_address_is_known_every_path_in_a_head_leads_somewhere(
    built_site, extension, monkeypatch
) -> None:
    """Previews, canonical addresses and descriptions, of all pages and the start page."""
    from sos_book.assets import start_page

    base = "https://example.org/x/"
    monkeypatch.setenv("SOS_BASE_URL", base.rstrip("/"))
    config = SimpleNamespace(
        root_doc="book/intro", project="Signs of Safety", language="en-GB", html_baseurl=""
    )
    extension.beside._address(None, config)
    assert config.html_baseurl == base, "Sphinx joins it with a page for the canonical address"
    names = [p.relative_to(built_site.site).with_suffix("") for p in _pages(built_site.site)]
    app = SimpleNamespace(
        env=SimpleNamespace(metadata={}),
        builder=SimpleNamespace(get_target_uri=lambda page: f"{page}.html"),
        config=config,
        srcdir=built_site.root,
    )
    for name in map(Path.as_posix, names):
        context = {"title": "A title", "body": "<p>What the page is about, in a sentence.</p>"}
        extension.head._head(app, name, "page.html", context, object())
        head = BeautifulSoup(context["metatags"], "html.parser")
        meta = {m["property"]: m["content"] for m in head.select("meta[property]")}
        assert meta["og:url"] == f"{base}{name}.html"
        assert meta["og:image"] == f"{base}_static/preview.png"
        card = head.select_one('meta[name="twitter:card"]')
        assert card["content"] == "summary_large_image"
        linked = head.select_one("script").string
        told = [meta["og:url"], meta["og:image"], *re.findall(rf'"({base}[^"]*)"', linked)]
        for address in told:
            path = urlsplit(address).path.removeprefix("/x/")
            assert (built_site.site / path).is_file(), (name, address)
    size = (built_site.site / "_static/preview.png").read_bytes()[16:24]
    assert (int.from_bytes(size[:4]), int.from_bytes(size[4:])) == (1200, 630)
    start = BeautifulSoup(start_page("en-GB", "Title", "book/intro.html"), "html.parser")
    assert start.select_one("link[rel=canonical]")["href"] == f"{base}book/intro.html"
    assert start.select_one("a")["href"] == "book/intro.html", "works from a folder too"


# --- the PDF ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(built_site, tmp_path_factory, browser):
    """Some pages of the site, printed as the whole is."""
    from pypdf import PdfReader

    names = ["book/intro", "book/chapters/rq4_kinship_care", "book/explore", "book/take_away"]
    html = pdf.one_document(built_site.site, names, "Signs of Safety, evaluated again")
    out = tmp_path_factory.mktemp("pdf") / "part.pdf"
    pdf.print_document(html, out)
    return html, PdfReader(out)


def test_one_document_keeps_its_parts_apart(printed) -> None:
    html, _ = printed
    page = BeautifulSoup(html, "html.parser")
    ids = [e["id"] for e in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    for link in page.select("a[href]"):
        assert link["href"].startswith(("#", "https://", "http://")), link
    within = [a["href"][1:] for a in page.select("article a[href^='#']")]
    assert within
    loose = {i for i in within if i not in ids and i.partition("--")[0] in ids}
    assert not loose, loose
    assert not page.select("script, .sos-explore, details:not([open])")
    for pointer in page.select("[aria-labelledby]"):
        assert all(i in ids for i in pointer["aria-labelledby"].split()), pointer["aria-labelledby"]
    loads = [urlsplit(e["href"]) for e in page.select("link")]
    assert loads
    assert all(part.scheme == "file" for part in loads)


def test_the_pdf_is_tagged_outlined_and_marked(built_site, printed) -> None:
    _, reader = printed
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en-GB"
    assert reader.metadata.title == "Signs of Safety, evaluated again"
    assert reader.outline, "no outline"
    texts = [" ".join(p.extract_text().split()) for p in reader.pages]
    whole = " ".join(texts)
    claims = load_bundle(built_site.root / "results").claims
    for name in ("rq4.published.statement", "public.message"):
        assert " ".join(str(claims[name].value).split())[:60] in whole, name
    # Each sheet of a chapter with made-up data says so; the start page's do not.
    first = next(i for i, t in enumerate(texts) if "How often children in care" in t
                 or t.count("MADE-UP DATA"))  # fmt: skip
    assert first >= 2
    assert not any("MADE-UP DATA" in t for t in texts[:first])
    assert all("MADE-UP DATA" in t for t in texts[first:])
    assert texts[-1].rstrip().endswith(str(len(texts))) or f" {len(texts)}" in texts[-1]


def test_a_pdf_of_other_numbers_is_not_linked(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "results").mkdir()
    result = tmp_path / "results" / "a.json"
    result.write_text("{}", encoding="utf-8")
    place = tmp_path / "book" / "_extra" / pdf.FOLDER
    place.mkdir(parents=True)
    (place / "r.pdf").write_bytes(b"%PDF")
    assert pdf.present(tmp_path) is None
    stamp = {"file": "r.pdf", "bytes": 4, "pages": 1, "digest": pdf.digest(tmp_path)}
    (place / pdf.STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    assert pdf.present(tmp_path) == stamp
    result.write_text("{ }", encoding="utf-8")
    assert pdf.present(tmp_path) is None
    monkeypatch.setenv("SOS_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(SosError, match="did not print the report"):
        pdf.print_document("<p>x</p>", tmp_path / "x.pdf")
    assert not (tmp_path / "x.pdf").exists()
    with pytest.raises(SosError, match=r"sos_analysis build' first"):
        pdf.one_document(tmp_path, ["book/intro"], "x")
