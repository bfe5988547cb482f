"""Errors planted in a copy of the built pages, or in their results, are all caught."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sos_analysis.errors import ClaimError, SosError
from sos_analysis.pipeline.stray import ALLOWED, allowed, contexts_allowed
from sos_analysis.pipeline.verify import verify
from sos_analysis.results import content_hash

FINDINGS = "book/findings.html"
PUBLIC = "book/chapters/public_statistics.html"
EXAMPLE = "book/chapters/rq4_kinship_care.html"


class Copy:
    """One page of the site, and all results, in a folder of their own."""

    def __init__(self, site: Path, results: Path, folder: Path, page: str) -> None:
        self.site, self.results = folder / "site", folder / "results"
        self.page = self.site / page
        self.page.parent.mkdir(parents=True)
        shutil.copyfile(site / page, self.page)
        shutil.copytree(results, self.results)

    def rewrite(self, change: Callable[[str], str]) -> None:
        before = self.page.read_text("utf-8")
        after = change(before)
        assert after != before, "nothing was planted"
        self.page.write_text(after, encoding="utf-8")

    def result(self, name: str, change: Callable[[dict[str, Any]], None], *, seal: bool) -> None:
        path = self.results / f"{name}.json"
        content = json.loads(path.read_text("utf-8"))
        change(content)
        if seal:
            content["seal"] = content_hash({k: v for k, v in content.items() if k != "seal"})
        path.write_text(json.dumps(content), encoding="utf-8")

    @property
    def problems(self) -> list[str]:
        return list(verify(self.site, self.results).problems)


@pytest.fixture
def copy(built_site, tmp_path, request) -> Copy:
    return Copy(built_site.site, built_site.root / "results", tmp_path, request.param)


def on(page: str) -> Any:
    return pytest.mark.parametrize("copy", [page], indirect=True, ids=[Path(page).stem])


def test_the_built_site_holds_no_stray_digit_and_every_exhibit_is_compared(built_site) -> None:
    report = verify(built_site.site, built_site.root / "results")
    assert report.problems == ()
    assert report.numbers > 500
    assert report.exhibits > 100


# --- 1: a typed number ------------------------------------------------------------------------


@on(FINDINGS)
@pytest.mark.parametrize(
    "planted",
    [
        "<p>Kinship care fell by 13 percentage points.</p>",
        "<p>Kinship care fell by <b>1</b>3 percentage points.</p>",
        '<img src="x.png" alt="A fall of 13 points">',
        '<p><a href="findings.html" title="A fall of 13 points">See</a></p>',
        '<div aria-label="A fall of 13 points"></div>',
        '<script type="application/ld+json">{"description": "A fall of 13 points"}</script>',
        "<table><tr><td>13</td></tr></table>",
        "<svg><text>13</text></svg>",
        "<p>Between 2017 per 100 and more.</p>",
        "<p>Seven in ten stayed with relatives.</p>",
        '<img src="x.png" alt="A fall of thirteen percentage points">',
        "<figcaption>Kinship care doubled.</figcaption>",
        "<title>Kinship care fell by 13 points</title>",
        "<video><track label='A fall of 13 points'></video>",
    ],
    ids=[
        *("text", "split", "alt", "title", "label", "json-ld", "cell", "svg", "year-like"),
        *("in words", "words in alt", "words in caption", "title of page", "label of track"),
    ],
)
def test_a_typed_number_is_told_with_the_words_around_it(copy: Copy, planted: str) -> None:
    copy.rewrite(lambda text: text.replace("</article>", f"{planted}</article>", 1))
    told = [p for p in copy.problems if "stray number" in p]
    assert len(told) == 1, copy.problems
    assert told[0].startswith("book/findings.html: stray number ")
    assert re.search(r"\[(13|2017|Seven in ten|thirteen percentage points|doubled)\]", told[0])


@on(FINDINGS)
def test_a_number_in_the_description_for_search_engines_counts(copy: Copy) -> None:
    meta = '<meta name="description" content="Kinship care fell by 13 points">'
    copy.rewrite(lambda text: text.replace("</head>", f"{meta}</head>", 1))
    assert any("stray number 13" in p for p in copy.problems)


@on(FINDINGS)
def test_code_dates_and_names_of_sections_are_no_stray_numbers(copy: Copy) -> None:
    fine = (
        "<p>On 29 September 2017, wave 2, RQ3, section 47, of 100 children, <code>x = 13</code>."
        "</p>"
    )
    copy.rewrite(lambda text: text.replace("</article>", f"{fine}</article>", 1))
    assert copy.problems == []


# --- 2: a wrong origin ------------------------------------------------------------------------


@on(FINDINGS)
def test_a_wrong_origin_is_caught(copy: Copy) -> None:
    copy.rewrite(lambda text: text.replace("claim claim-public", "claim claim-published", 1))
    assert any("is marked published, but it is public" in p for p in copy.problems)


@on(FINDINGS)
@pytest.mark.parametrize("origin", ["", "certain", None])
def test_an_untyped_origin_cannot_be_loaded(copy: Copy, origin: str | None) -> None:
    def untype(content: dict[str, Any]) -> None:
        content["claims"]["public.rereferral.att"]["origin"] = origin

    copy.result("public_statistics", untype, seal=True)
    with pytest.raises(ClaimError, match=r"public\.rereferral\.att: origin .* is unknown"):
        verify(copy.site, copy.results)


# --- 3: a swapped sign in the bundle ----------------------------------------------------------


def _swap(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        held = content["claims"]["public.within_45.att"]
        for name in names:
            held[name] = -held[name]
        if "low" in names:
            held["low"], held["high"] = held["high"], held["low"]

    return change


@on(PUBLIC)
def test_a_swapped_sign_is_caught_however_well_it_is_hidden(copy: Copy) -> None:
    kept = (copy.results / "public_statistics.json").read_bytes()
    copy.result("public_statistics", _swap("value"), seal=False)
    with pytest.raises(ClaimError, match="its seal does not match"):
        verify(copy.site, copy.results)
    (copy.results / "public_statistics.json").write_bytes(kept)
    copy.result("public_statistics", _swap("value"), seal=True)
    with pytest.raises(ClaimError, match="outside its own interval"):
        verify(copy.site, copy.results)
    (copy.results / "public_statistics.json").write_bytes(kept)
    copy.result("public_statistics", _swap("value", "low", "high"), seal=True)
    told = "\n".join(copy.problems)
    assert re.search(r"public\.within_45\.att shows '.*', the results say", told)
    assert "stale: made with other results of public_statistics" in told


# --- 4: a deleted claim -----------------------------------------------------------------------


@on(FINDINGS)
def test_a_claim_deleted_from_the_results_is_caught(copy: Copy) -> None:
    def delete(content: dict[str, Any]) -> None:
        del content["claims"]["public.rereferral.sentence"]
        content["prose"] = {}

    copy.result("public_statistics", delete, seal=True)
    assert any("no result holds the number 'public.rereferral.sentence'" in p
               for p in copy.problems)  # fmt: skip


@on(FINDINGS)
def test_a_claim_deleted_from_the_page_is_caught(copy: Copy) -> None:
    copy.rewrite(
        lambda text: re.sub(r'<span class="claim[^>]*data-claim="published.kinship.verdict"[^<]*'
                            r"</span>", "", text)
    )  # fmt: skip
    assert "book/findings.html: the number 'published.kinship.verdict' was taken off the page" in (
        copy.problems
    )


# --- 5: a stale page --------------------------------------------------------------------------


@on(EXAMPLE)
def test_a_stale_page_is_caught_though_its_numbers_are_the_same(copy: Copy) -> None:
    copy.result("rq4_kinship_care", lambda c: c["notes"].update(run="again"), seal=True)
    assert copy.problems == [
        f"{EXAMPLE}: stale: made with other results of rq4_kinship_care than these"
    ]


# --- exhibits ---------------------------------------------------------------------------------


def _first(pattern: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, new, text, count=1)


@on(PUBLIC)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_first(r'(<td class="sos-num"[^>]*>)(\d)', r"\g<1>7\2"), "shows '7"),
        (_first(r"(<text[^>]*>)(\d+)(</text>)", r"\g<1>9\2\3"), "shows '9"),
        (_first(r'("x": \[)', r"\g<1>8, "), "the results say"),
        (_first(r'(aria-label="[^"]*?|<desc[^>]*>[^<]*?)(\d)', r"\g<1>6\2"), "the results say"),
        (_first(r"(Leaving out one pilot at a time[^<]*?from .)(\d)", r"\g<1>5\2"), "check "),
        (_first(r"(sos-verdict-sentence\">)([^<]*)", r"\g<1>It works."), "the rating shows"),
        (_first(r"sos-check-pass(\" data-check)", r"sos-check-fail\1"), "check "),
        (_first(r'data-figure="public-statistics-effect"', 'data-figure="x"'), "no result holds"),
        (_first(r'(sos-prints">study )(.)', r"\1z"), "was made shows"),
    ],
    ids=["cell", "svg", "plotly", "alternative", "check", "verdict", "status", "unknown", "how"],
)  # fmt: skip
def test_a_changed_exhibit_is_caught(copy: Copy, change: Callable[[str], str], says: str) -> None:
    copy.rewrite(change)
    told = "\n".join(copy.problems)
    assert says in told, told


# --- the command and its list -----------------------------------------------------------------


def test_the_command_prints_page_and_words_and_fails(built_site, tmp_path) -> None:
    copy = Copy(built_site.site, built_site.root / "results", tmp_path, FINDINGS)
    copy.rewrite(lambda t: t.replace("</article>", "<p>It rose by 4.5 points.</p></article>", 1))
    made = built_site.run("verify", "--site", str(copy.site))
    assert made.returncode == 1
    assert re.search(
        r"findings\.html: stray number 4\.5: … It rose by \[4\.5\] points", made.stdout
    )


def test_the_command_tells_results_that_are_older_than_what_they_rest_on(built_site) -> None:
    """The pages agree with the results, and both are of yesterday."""
    published = built_site.root / "data" / "published" / "findings.toml"
    kept = published.read_bytes()
    try:
        published.write_bytes(kept.replace(b"value = -13.0", b"value = -12.0"))
        made = built_site.run("verify", "--quiet")
        assert made.returncode == 1
        assert made.stdout == "problem: facts rests on other data than are here now\n"
    finally:
        published.write_bytes(kept)
    assert built_site.run("verify", "--quiet").stdout == ""


def test_the_list_of_allowed_digits_is_short_reasoned_and_all_in_use(built_site) -> None:
    """An entry that nothing needs is taken off: each is needed by a page of this book."""
    entries = allowed()
    assert 5 <= sum(e.kind != "context" for e in entries) <= 20
    assert sum(e.kind == "context" for e in entries) <= 20
    assert all(len(e.reason) > 15 for e in entries)
    text = "\n".join(
        re.sub(r"<[^>]*>", "", p.read_text("utf-8"))
        for p in built_site.site.rglob("*.html")
        if "_static" not in p.parts
    )
    unused = [e.text for e in entries if e.kind == "pattern" and not re.search(e.text, text)]
    assert unused == []
    for folder in ("_sources", "downloads"):
        text += "".join(p.read_text("utf-8") for p in (built_site.site / folder).rglob("*.*"))
    assert [c.pattern for c in contexts_allowed() if not c.search(text)] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[patterns]]\npattern = "a"\n', "needs a pattern and a reason"),
        ('[[patterns]]\npattern = "("\nreason = "because of it"\n', "is no pattern"),
        ('[[elements]]\nselector = "p"\nreason = "x y"\nwhere = "b"\n', "knows selector"),
        (
            '[names]\nn = "["\n[[contexts]]\npattern = "<n>"\nreason = "because of it"\n',
            "is no pattern",
        ),
        ("[[patterns", "allowed.toml"),
    ],
)
def test_a_wrong_list_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "allowed.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SosError, match=message):
        allowed(path)
    assert ALLOWED.is_file()
