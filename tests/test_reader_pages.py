"""The pages of words: how they are made, terms, plain language, the restricted edition."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup, NavigableString, Tag

from sos_analysis import messages
from sos_analysis.chapters import CHAPTERS
from sos_analysis.chapters.minutes import MINUTES
from sos_analysis.evidence import Verdict
from sos_analysis.facts import published
from sos_analysis.guidance import READERS
from sos_analysis.results import Bundle, ChapterResult, bundle, load_bundle
from sos_analysis.workspace import RELEASED_MARK

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from sos_book.readers import Term, link_terms, names  # noqa: E402

#: On average, as government style guides ask for.
WORDS_A_SENTENCE = 25
ROLE = re.compile(r"\{claim\}`([^`:]+)(?::([a-z_]+))?`")
#: Words that promise too much, or that only statisticians read as meant.
BANNED = re.compile(
    r"\bpro(?:ves?|ven|ved)\b|\bno effect\b|\bhad no impact\b|\bstatistically significant\b"
    r"|\bsignifican(?:t|tly|ce)\b|\bobviously\b|\bclearly shows?\b|\butili[sz]e|\bgame.chang",
    re.IGNORECASE,
)
#: Of data that we made up, the truth is known: there 'no effect' is what was put in.
KNOWN = re.compile(
    r"no effect was planted|was given no effect|^No effect(?=$|[.,]| in )", re.IGNORECASE
)


@pytest.fixture(scope="module")
def shipped(built_site) -> Bundle:
    """Results of the shared book."""
    return load_bundle(built_site.root / "results")


#: What the records are made to say, in a restricted edition.
SAID = {
    "kinship": ("little or no difference", "moderate", False, "Kinship, said."),
    "rereferral": ("change", "moderate", True, "A probable harm: re-referral, said."),
    "escalation": ("cannot tell", "low", False, "Escalation, said."),
    "duration": ("change, size uncertain", "low", False, "Duration, said."),
}


def _as_restricted(result: ChapterResult, outcome: str) -> ChapterResult:
    """A chapter on made-up records as one on restricted records, with a verdict of our choice."""
    effect, certainty, harm, sentence = SAID[outcome]
    return dataclasses.replace(
        result,
        origin="restricted",
        claims={
            k: dataclasses.replace(c, origin="restricted" if c.origin == "synthetic" else c.origin)
            for k, c in result.claims.items()
        },
        tables={},
        figures={},
        verdict=Verdict(effect, certainty, sentence, (), (), "restricted", harm),
    )


@pytest.fixture(scope="module")
def restricted(shipped) -> Bundle:
    """The same book as if its records were real; conferences were not analysed."""
    rows = {r.chapter: r.outcome for r in messages.OUTCOMES if r.outcome in SAID}
    made = [
        _as_restricted(c, rows[c.name]) if c.name in rows else c
        for c in shipped
        if c.name not in ("addendum_icpc", "made_up_england")
    ]
    for i, c in enumerate(made):
        if c.name.startswith("subgroup_ofsted"):
            said = {"answer": "<strong>Ratings, said.</strong> {rating.outcomes}."}
            claims = dict(c.claims.items())
            first = next(k for k, v in claims.items() if not isinstance(v.value, str))
            said = {"answer": f"<strong>Ratings, said.</strong> {{{first}}}."}
            claims = {k: dataclasses.replace(v, origin="restricted") for k, v in claims.items()}
            made[i] = dataclasses.replace(
                c, origin="restricted", claims=claims, prose=said, tables={}, figures={}
            )
    return bundle(made)


# --- what is generated ------------------------------------------------------------------------


def _every_part(found: Bundle) -> dict[str, str]:
    parts = ("messages", "glance", "findings", "secondary", "published", "in-short", "criteria")
    return {p: messages.parts(found, p) for p in (*parts, *(f"guidance-{r}" for r in READERS))}


@pytest.mark.parametrize("edition", ["shipped", "restricted"])
def test_every_number_of_the_pages_is_a_claim(edition, request):
    found = request.getfixturevalue(edition)
    for name, text in _every_part(found).items():
        for id, form in ROLE.findall(text):
            assert found.claim(id).render(form or "text"), (name, id)
        plain = ROLE.sub("", re.sub(r"\]\([^)]*\)|`[^`]*`|^\d\. ", "", text, flags=re.MULTILINE))
        typed = re.findall(r".{20}\d.*", plain)
        # The name of a return, and the years in the names of sources.
        typed = [t for t in typed if "SSDA903" not in t and name != "published"]
        assert not typed, (name, typed)
        assert not BANNED.search(plain), (name, BANNED.search(plain))


@pytest.mark.parametrize("edition", ["shipped", "restricted"])
def test_at_most_six_messages_of_one_sentence_each(edition, request):
    found = request.getfixturevalue(edition)
    lines = messages.main_messages(found).splitlines()
    assert len(lines) <= messages.MOST_MESSAGES
    for line in lines:
        _, _, text = line.partition("** ")
        said = ROLE.sub(lambda m: found.claim(m[1]).render(m[2] or "text"), text)
        assert re.findall(r"[.!?](?=\s|$)", said) == ["."], f"one sentence: {said}"
        assert re.search(
            r"moderate strength|no strong|may |cannot|could not|probab|do not|never|none|said", said
        ), f"its certainty stands in it: {said}"
    assert "kinship" in lines[0].lower() or edition == "restricted", "the harm comes first"


def test_the_shipped_edition_has_no_column_for_records_and_none_of_made_up(shipped):
    for text in _every_part(shipped).values():
        assert "analysed here |" not in text.splitlines()[0]
        assert not any(shipped.claim(id).origin == "synthetic" for id, _ in ROLE.findall(text))
    head, _, *rows = messages.findings_table(shipped).splitlines()
    assert head == "| Outcome | Published finding | Public statistics | How sure |"
    assert len(rows) == len(messages.OUTCOMES)
    assert "Kinship" in rows[0]
    # Published and public never share a cell; what is not there says so.
    for row in rows:
        _, published_, public, _ = row.strip("| ").split(" | ")
        assert {i.split(".")[0] for i, _ in ROLE.findall(published_)} == {"published"}
        assert {i.split(".")[0] for i, _ in ROLE.findall(public)} <= {"public"}
        assert ROLE.search(public) or public.startswith("Nothing: ")


def test_a_restricted_edition_adds_a_third_column_and_its_harm_leads(restricted):
    head, _, *rows = messages.findings_table(restricted).splitlines()
    assert head.split(" | ")[3] == "Individual records analysed here"
    cells = {r.split("/")[-1].split(")")[0]: r.strip("| ").split(" | ")[3] for r in rows}
    assert cells["rq4_kinship_care"].startswith("Kinship, said.")
    assert cells["addendum_icpc"] == "Not assessed here"
    first = messages.main_messages(restricted).splitlines()[0]
    assert "Individual records, analysed here" in first
    assert first.index("A probable harm") < first.index("inship, said")
    secondary = messages.secondary_table(restricted).splitlines()
    assert "Ratings, said. {claim}`" in secondary[2]
    assert "Not assessed here" in secondary[3].split(" | ")[-1]
    # Public statistics speak to all but embeddedness, each with a sentence of its own.
    public = [row.split(" | ")[2] for row in secondary[2:]]
    assert [bool(ROLE.search(cell)) for cell in public] == [True, False, True, True]
    using = messages.guidance_page(restricted, "using")
    assert "Do not extend it yet" in using
    assert "do not bear that out" in using
    assert "re-referral within six months (moderate certainty)" in messages.criteria_table(
        restricted
    )


def test_what_was_not_published_says_so():
    text = messages.published_table()
    rows = text.splitlines()[2:]
    assert len(rows) == len(published().findings)
    for finding, row in zip(published().findings, rows, strict=True):
        assert finding.url in row
        assert ("Not published where we could read it" in row) == (finding.value is None)
        assert (".unknown`" in row) == bool(finding.unknown)


def test_every_chapter_can_be_told_in_a_minute(built_site):
    assert set(MINUTES) == set(CHAPTERS)
    for name in CHAPTERS:
        page = _soup(built_site.site / "book" / "chapters" / f"{name}.html")
        box = page.select_one("section#in-one-minute")
        assert box is not None, name
        said = box.get_text(" ")
        assert "This page adds" in said, name
        assert "It cannot tell" in said, name
        # Adults read some 230 words of English in a minute.
        assert len(said.split()) < 230, f"{name}: more than a minute"
        assert not box.select(".claim-synthetic"), f"{name}: a made-up number"
        first = page.select_one("article section h2")
        assert first.get_text().startswith("In one minute"), f"{name}: something comes first"


# --- the pages built as a restricted edition ------------------------------------------------------

_CONF = """
extensions = ["myst_parser", "sphinx_design", "sphinxcontrib.bibtex", "sos_book"]
import sys
sys.path.insert(0, {ext!r})
html_theme = "basic"
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "smartquotes"]
bibtex_bibfiles = ["references.bib"]
root_doc = "index"
language = "en-GB"
"""


@pytest.fixture(scope="module")
def restricted_site(restricted, tmp_path_factory) -> Path:
    """Pages of words built by Sphinx from the restricted results."""
    folder = tmp_path_factory.mktemp("restricted")
    source, out = folder / "source", folder / "out"
    (source / "book").mkdir(parents=True)
    pages = ("intro", "findings", "decisions", "certainty", "summary", "glossary", "reading")
    for page in pages:
        shutil.copy(ROOT / "book" / f"{page}.md", source / "book")
    links = "\n".join(f"book/{p}" for p in pages)
    (source / "index.md").write_text(
        f"---\norigin: design\n---\n# I\n```{{toctree}}\n{links}\n```\n"
    )
    for result in restricted:
        result.save(source / "results" / f"{result.name}.json")
    # As from a release: what they rest on is not here.
    (source / "results" / RELEASED_MARK).touch()
    for file in ("book/references.bib", "CITATION.cff"):
        shutil.copy(ROOT / file, source)
    (source / "conf.py").write_text(_CONF.format(ext=str(ROOT / "book" / "_ext")))
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", "-q", str(source), str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    # Chapters, methods and its references are no part of this small book; all else is.
    strange = [
        line
        for line in made.stderr.splitlines()
        if re.search("WARNING|ERROR", line)
        and not re.search(
            r"chapters/|methods|changes|reproduce|how-to-cite|bibtex key|cross-ref", line
        )
    ]
    assert not strange, "\n".join(strange)
    return out / "book"


def test_the_restricted_edition_reads_as_one(restricted_site):
    findings = _soup(restricted_site / "findings.html")
    table = findings.select_one("table")
    assert [h.get_text() for h in table.select("thead th")] == [
        "Outcome",
        "Published finding",
        "Public statistics",
        "Individual records analysed here",
        "How sure",
    ]
    assert "Kinship, said." in table.get_text()
    decisions = " ".join(_soup(restricted_site / "decisions.html").get_text(" ").split())
    assert "Do not extend it yet. The records analysed here point to harm: re-referral" in decisions
    assert "What the records analysed here add" in decisions
    intro = " ".join(_soup(restricted_site / "intro.html").get_text(" ").split())
    assert "Individual records, analysed here. A probable harm" in intro
    assert "every worked example" not in intro
    for path in restricted_site.glob("*.html"):
        assert "claim-synthetic" not in path.read_text("utf-8"), path.name


# --- terms ------------------------------------------------------------------------------------

TERMS = (
    Term("t-plan", ("Child protection plan", "CPP")),
    Term("t-care", ("Kinship care",)),
    Term("t-order", ("Care order",)),
    Term("t-ref", ("Referral",)),
    Term("t-reref", ("Re-referral",)),
)


def _linked(body: str) -> list[tuple[str, str]]:
    made = link_terms(body, TERMS, "glossary.html")
    stripped = re.sub(r'<a class="sos-term"[^>]*>(.*?)</a>', r"\1", made)
    assert stripped == body, "nothing else of the page is touched"
    return re.findall(r'<a class="sos-term" href="glossary.html#([\w-]+)">(.*?)</a>', made)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("<p>Kinship care, then kinship care.</p>", [("t-care", "Kinship care")]),
        ("<p>A CPP or a child protection plan.</p>", [("t-plan", "CPP")]),
        ("<p>cpp and Cppx</p>", []),
        ("<p>Two care orders.</p>", [("t-order", "care orders")]),
        ("<p>Re-referrals.</p>", [("t-reref", "Re-referrals")]),
        ("<p>A non-referral, referral-based; a/referral</p>", []),
        ("<h2>Kinship care</h2><p>no</p>", []),
        ("<h2>Kinship care</h2><p>kinship care</p>", [("t-care", "kinship care")]),
        ('<a href="x">kinship <b>care</b></a><code>CPP</code><p>CPP</p>', [("t-plan", "CPP")]),
        ("<figure><p>CPP</p></figure><svg><text>CPP</text></svg>", []),
        ('<div class="sos-table"><table><tr><td>CPP</td></tr></table></div><p>CPP</p>',
         [("t-plan", "CPP")]),
        ("<p>a &amp; b &lt; c<br/>\n<img alt='CPP'>é kinship care</p>",
         [("t-care", "kinship care")]),
        ('<span class="claim" data-claim="a.b">kinship care</span>', [("t-care", "kinship care")]),
        ("<script>var a = '<p>CPP</p>';</script><p>none</p>", []),
        ("<p>the referral's date, the referral</p>", [("t-ref", "referral")]),
    ],
)  # fmt: skip
def test_a_term_is_linked_where_it_is_first_used(body, wanted):
    assert _linked(body) == wanted


def test_names_of_a_term():
    assert names("Child protection plan (CPP)") == ("Child protection plan", "CPP")
    assert names("CRV1, CRV3") == ("CRV1", "CRV3")
    assert names("Certainty") == ("Certainty",)


def _soup(path: Path) -> BeautifulSoup:
    """The page without scripts, styles and pictures, which are most of a large one."""
    text = re.sub(r"(?s)<(script|style|svg)\b.*?</\1>", "", path.read_text("utf-8"))
    return BeautifulSoup(text, "lxml")


def _contents(site: Path) -> list[Path]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    pages = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    return [site / f"{p}.html" for p in pages]


_NOT_RUNNING = [
    "a",
    "code",
    "pre",
    "script",
    "style",
    "svg",
    "math",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "button",
    "summary",
    "label",
    "figcaption",
    "caption",
    "dt",
    "th",
    "title",
    "nav",
    "template",
    "figure",
]
_NOT_RUNNING_CLASSES = {
    "sos-table",
    "sos-source",
    "sos-verdict",
    "sos-cell-head",
    "sos-how",
    "bibliography",
    "citation",
}
_NOT_RUNNING_DATA = {"data-table", "data-figure", "data-check"}


def _running(article: Tag) -> list[NavigableString]:
    """Texts of an article that are read as running text, and the links of terms."""

    def shut(parent: Tag) -> bool:
        if "sos-term" in (parent.get("class") or []):
            return False
        return (
            parent.name in _NOT_RUNNING
            or bool(_NOT_RUNNING_CLASSES & set(parent.get("class") or []))
            or bool(_NOT_RUNNING_DATA & set(parent.attrs))
        )

    texts = article.find_all(string=True)
    return [t for t in texts if type(t) is NavigableString and not any(map(shut, t.parents))]


def test_each_page_links_each_term_at_its_first_use_and_nowhere_else(built_site):
    """A slow second way to the same links: by tree, term for term."""
    glossary = _soup(built_site.site / "book" / "glossary.html")
    terms = {dt["id"]: names(dt.find(string=True)) for dt in glossary.select("dl.glossary dt")}
    assert len(terms) > 30
    linked = 0
    for path in _contents(built_site.site):
        article = _soup(path).select_one("article")
        links = article.select("a.sos-term")
        if path.name == "glossary.html":
            assert not links
            continue
        anchors = [a["href"].partition("#")[2] for a in links]
        assert len(anchors) == len(set(anchors)), f"{path.name}: a term linked twice"
        linked += len(anchors)
        texts = _running(article)
        for anchor, words in terms.items():
            # Where a longer term holds this one, that is the one in use.
            longer = [w for a, ws in terms.items() if a != anchor for w in ws]
            for text in texts:
                said = str(text)
                for other in longer:
                    if any(w.lower() in other.lower() for w in words):
                        said = re.sub(re.escape(other), " ", said, flags=re.IGNORECASE)
                hit = any(
                    re.search(
                        rf"(?<![\w/'’.-]){re.escape(w)}(?:s|es)?(?![\w/'’-])",
                        said,
                        0 if re.search("[A-Z]{2}", w) else re.IGNORECASE,
                    )
                    for w in words
                )
                if hit:
                    parent = text.parent
                    assert parent.name == "a", f"{path.name}: {words[0]} first in {text!r}"
                    assert parent["href"].endswith(f"glossary.html#{anchor}"), (path.name, words)
                    break
    assert linked > 100


# --- plain language ----------------------------------------------------------------------------


def _sentences(article: Tag) -> str:
    """Paragraphs and points of a page as text, each ended; tables and detail folded away apart."""
    for gone in article.select(
        "table, figure, script, style, pre, details, nav, .sos-banner, .headerlink, h1, h2, h3, "
        ".sos-table, .sos-checks, .sos-how, .bibliography, math, .sos-math, cite"
    ):
        gone.decompose()
    blocks = [
        " ".join(block.get_text(" ").split())
        for block in article.select("p, li, dd")
        if not block.select("p, li")
    ]
    whole = [b if b.endswith((".", "?", "!")) else f"{b}." for b in blocks if len(b.split()) > 2]
    text = re.sub(r"(\d)[.,](\d)", r"\1\2", " ".join(whole))
    # A colon followed by a list, and abbreviations, end no sentence.
    return re.sub(r"\b(?:e\.g|i\.e|vs)\.", "", text)


def test_sentences_are_short_on_every_page(built_site):
    import textstat

    long = {}
    for path in _contents(built_site.site):
        text = _sentences(_soup(path).select_one("article"))
        if len(text.split()) < 40:
            continue
        average = textstat.words_per_sentence(text)
        if average > WORDS_A_SENTENCE:
            long[path.name] = round(average, 1)
    assert not long, f"words a sentence, on average: {long}"


def test_no_page_uses_a_word_that_promises_too_much(built_site):
    found = []
    for path in _contents(built_site.site):
        article = _soup(path).select_one("article")
        for gone in article.select("code, pre, script, style, .bibliography"):
            gone.decompose()
        for block in article.find_all(["p", "li", "td", "th", "figcaption", "caption", "h1", "h2"]):
            text = " ".join(block.get_text(" ").split())
            # What may not be said is quoted on the page that says so.
            text = re.sub(r"[‘'][^’']*[’']", "", text) if path.name == "summary.html" else text
            if hit := BANNED.search(KNOWN.sub("", text)):
                found.append(f"{path.name}: {hit[0]!r} in {text[:90]}")
    assert not found, "\n".join(sorted(set(found)))
