"""The page on which readers choose: the grid, what the script gets, and the page itself."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from public_files import published

from sos_analysis import companion
from sos_analysis.chapters import explore
from sos_analysis.companion import grid as grids
from sos_analysis.errors import ClaimError, RecordsError
from sos_analysis.estimation.specifications import Curve, JointTest
from sos_analysis.formats import number
from sos_analysis.pipeline.explore_payload import payload, place, script, ways_of
from sos_analysis.results import Bundle, bundle, load_bundle
from sos_analysis.study.universe import load_universe

#: A variant of the report to the choice that makes it; the rest is the main design.
SAME = {
    "main": {},
    "weighted": {"weights": "denominator"},
    "never_funded": {"comparators": "never funded"},
    "neighbours": {"comparators": "statistical neighbours"},
    "neighbours_2025": {"comparators": "statistical neighbours 2025"},
    "not_named": {"comparators": "Signs of Safety not named"},
    "both_waves": {"pilots": "both waves"},
    "transition_out": {"years": "transition left out"},
    "long": {"years": "to the latest"},
}


@pytest.fixture(scope="module")
def released() -> grids.Grid:
    return grids.released_grid()


@pytest.fixture(scope="module")
def shown(small_study) -> Bundle:
    """Both sources: the released grid, and a curve of random numbers in every declared way."""
    universe, rng = load_universe(), np.random.default_rng(20190331)
    curves = {}
    for name in explore.OUTCOMES:
        ways = universe.ways()
        estimate, se = rng.normal(0, 0.03, len(ways)), rng.uniform(0.01, 0.03, len(ways))
        if name == "escalation":  # some ways cannot be run
            ways, estimate, se = ways[:-54], estimate[:-54], se[:-54]
        none = JointTest(0.0, 1.0)
        curves[name] = Curve(
            ways, estimate, se, estimate - 2 * se, estimate + 2 * se,
            rng.uniform(0, 1, len(ways)), np.full(len(ways), 20), (), none, none, none, 999, False,
        )  # fmt: skip
    made = explore.example_result(
        small_study, universe, curves, {("kinship", "original"): -0.08}, {"study": "x"}
    )
    return bundle([explore.public_result(grids.released_grid()), made])


def test_ways_with_few_authorities_are_hidden_by_their_own_number(small_study) -> None:
    """A way that leaves authorities out has fewer degrees of freedom than the outcome."""
    universe = load_universe()
    few = [w for w in universe.ways() if w["comparators"] == "first"]
    ways = (*universe.named.values(), few[0])
    ones, none = np.ones(3), JointTest(0.0, 1.0)
    clusters = np.array([20, 11, 10])
    curves = {
        "kinship": Curve(
            ways, ones, ones, ones - 2, ones + 2, ones, clusters, (), none, none, none, 9, False
        )
    }
    made = explore.example_result(small_study, universe, curves, {}, {"study": "x"})
    table = made.tables["grid_kinship"]
    hidden = [table.values("value")[i] == "[c]" for i in range(3)]
    assert small_study.disclosure.residual_dof == 10
    assert hidden == [False, False, True]


def test_the_grid_gives_the_numbers_of_the_report(released: grids.Grid) -> None:
    """Where a way is in the report, same draws and seed: the same estimate, interval and p."""
    report = companion.released()
    by_way = {(p.outcome, *p.way.values()): p for p in released.points}
    assert len(by_way) == len(released.points), "a way twice"
    seen = 0
    for e in report.estimates:
        if e.variant not in SAME:
            continue
        way = {**grids.MAIN_WAY, "wave": str(e.wave), **SAME[e.variant]}
        point = by_way[(e.outcome, *(way[key] for key in grids.CHOICES))]
        seen += 1
        mine = (point.att, point.low, point.high, point.p_primary, point.p_secondary)
        theirs = (e.att, *e.ci, e.p_primary, e.p_secondary)
        # The grid keeps six figures.
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-9), (e.outcome, e.wave, e.variant)
        assert (point.pilots_count, point.authorities) == (e.pilots, e.authorities)
        assert (point.first, point.last) == (e.first, e.last)
    assert seen > 100


def test_a_way_with_several_choices_is_what_analysts_get() -> None:
    """Recomputed from the published files by the call that analysts use."""
    way = {"wave": "2", "comparators": "never funded", "weights": "denominator",
           "years": "transition left out", "pilots": "both waves"}  # fmt: skip
    e = companion.estimate(
        "rereferral_percent",
        companion.Design(
            comparators="never funded", weights="denominator", leave_out_years=(2018,),
            pilots="both waves",
        ),
        data_dir=published(),
        draws=companion.FEWER,
    )  # fmt: skip
    point = next(
        p
        for p in grids.released_grid().points
        if p.outcome == "rereferral_percent" and p.way == way
    )
    assert (point.att, point.low, point.high) == pytest.approx((e.att, *e.ci), abs=1e-3)
    # A draw may tie or not.
    assert point.p_primary == pytest.approx(e.p_primary, abs=2e-3)


def test_the_first_wave_has_no_later_years_and_a_foreign_file_is_refused(tmp_path) -> None:
    ways = list(grids.ways())
    assert len(ways) == 100
    assert not [w for w in ways if w["wave"] == "1" and w["years"] == "to the latest"]
    assert sum(map(grids.is_main, ways)) == 2
    other = tmp_path / "explore.json"
    other.write_text('{"schema": "else"}', encoding="utf-8")
    with pytest.raises(RecordsError, match=r"explore\.json: not a grid of this version"):
        grids.released_grid(other)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_places_count_through_all_ways(data) -> None:
    choices = explore.CHOICES[data.draw(st.sampled_from([explore.PUBLIC, explore.EXAMPLE]))]
    ids = [list(c.answers) for c in choices.values()]
    index = [data.draw(st.integers(0, len(one) - 1)) for one in ids]
    way = {key: one[i] for key, one, i in zip(choices, ids, index, strict=True)}
    wanted = int(np.ravel_multi_index(index, [len(one) for one in ids]))
    assert place(choices, way) == wanted


def test_what_the_script_gets_is_what_the_tables_hold(shown: Bundle) -> None:
    for name in (explore.PUBLIC, explore.EXAMPLE):
        choices = explore.CHOICES[name]
        text = script(payload(shown, name))
        assert "<" not in text.replace("<\\/", ""), "nothing in it can end a script"
        content = json.loads(json.loads(re.search(r"JSON\.parse\((.*)\)\);$", text.strip())[1]))
        result = shown.chapter(name)
        assert content["origin"] == result.origin
        tables = {key: t for key, t in result.tables.items() if key.startswith("grid_")}
        assert len(content["outcomes"]) == len(tables)
        for outcome in content["outcomes"]:
            table = tables[f"grid_{outcome['id'].replace('-', '_')}"]
            ways = ways_of(choices, table)
            for column, power in (("value", outcome["decimals"]), ("p", 3)):
                held = outcome["columns"][column]
                assert sum(v is not None for v in held) == len(ways)
                back = [held[place(choices, way)] / 10**power for way in ways]
                assert back == pytest.approx(list(table.values(column)), abs=1e-9)
    with pytest.raises(ClaimError, match="no answer 'never'"):
        place(explore.PUBLIC_CHOICES, {"wave": "never"})


def test_the_grid_is_safe_and_its_files_say_what_they_are(shown: Bundle) -> None:
    made = shown.chapter(explore.EXAMPLE).csv_files()
    assert all("/made-up-" in name for name in made)
    for text in made.values():
        assert all(line.startswith("Made-up data,") for line in text.splitlines()[1:])
    head = shown.chapter(explore.PUBLIC).csv_files()["explore_public/grid_rereferral.csv"]
    assert "95% from,95% to" in head.splitlines()[0]


# --- the page in a browser --------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(built_site) -> Iterator[str]:
    """The page from a local server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(built_site.site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book/explore.html"
        server.shutdown()


def _slug(text: str) -> str:
    return text.lower().replace(" ", "-").replace("_", "-")


def _hash(data: str, outcome: str, way: Mapping[str, str]) -> str:
    pairs = {"data": data, "outcome": _slug(outcome), **{k: _slug(v) for k, v in way.items()}}
    return "#" + "&".join(f"{key}={value}" for key, value in pairs.items())


def _open(browser, address: str, **context):
    page = browser.new_context(**context).new_page()
    said: list[str] = []
    page.on("console", lambda m: None if m.text.startswith("[PST]") else said.append(m.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address, wait_until="load")
    page.wait_for_selector("#sos-explore .sos-explore-svg")
    return page, said


#: Goes to each address and gives what stands there.
_VISIT = """async hashes => {
  const out = [];
  for (const hash of hashes) {
    const done = new Promise(resolve => document.addEventListener("sos-explore-shown", resolve,
      {once: true}));
    if (location.hash === hash) { out.push(null); continue; }
    location.hash = hash;
    await done;
    const q = s => document.querySelector("#sos-explore " + s).textContent;
    out.push([q(".sos-explore-status"), q(".sos-explore-label"), q(".sos-explore-path")]);
  }
  return out;
}"""


@pytest.mark.parametrize("data", ["public", "example"])
def test_every_number_on_the_page_is_that_of_the_grid(built_site, browser, address, data) -> None:
    name = explore.PUBLIC if data == "public" else explore.EXAMPLE
    result = load_bundle(built_site.root / "results").chapter(name)
    choices = explore.CHOICES[name]
    wanted, rows = [], []
    for key, table in result.tables.items():
        if not key.startswith("grid_"):
            continue
        ways = ways_of(choices, table)
        # Steps that share no factor with the choices, so that every answer is met.
        for at in range(0, len(ways), 7 if data == "public" else 61):
            row = dict(zip(table.keys, table.rows[at], strict=True))
            if any(isinstance(row[k], str) for k in ("value", "low", "high")):
                continue
            decimals = next(c.decimals for c in table.columns if c.key == "value")
            wanted.append(_hash(data, key.removeprefix("grid_"), ways[at]))
            rows.append((row, decimals, ways[at]))
    page, said = _open(browser, f"{address}#data={data}")
    named = result.parameters["named"]
    for hash, (row, d, way), found in zip(wanted, rows, page.evaluate(_VISIT, wanted), strict=True):
        if found is None:
            continue
        status, label, path = found
        size = number(abs(row["value"]), d)
        ends = f"{number(row['low'], d)} to {number(row['high'], d)}"
        assert f": {size} " in status, (hash, status)
        assert f"95% interval {ends}; p " in status, (hash, status)
        assert label == f"Your choice {number(row['value'], d, signed=True)}", hash
        side = "higher" if row["value"] > 0 else "lower" if row["value"] < 0 else "no difference"
        assert side in status, (hash, status)
        on = any(all(way[k] == v for k, v in one.items()) for one in named.values())
        assert path.startswith("On " if on else "Off "), (hash, path)
    assert len(wanted) > 100
    assert not said
    page.context.close()


def test_by_keyboard_with_the_address_and_the_way_back(browser, address) -> None:
    page, said = _open(browser, address, viewport={"width": 1280, "height": 900})
    first = page.inner_text(".sos-explore-status")
    assert page.get_attribute("#sos-explore", "data-origin") == "public"
    page.focus("#sos-explore-public")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sos-explore-outcome"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sos-explore-comparators"
    page.keyboard.press("ArrowDown")
    page.wait_for_function("location.hash.includes('comparators=never-funded')")
    assert page.evaluate("document.activeElement.id") == "sos-explore-comparators"
    assert page.inner_text(".sos-explore-status") != first
    assert "Off the report's own path" in page.inner_text(".sos-explore-path")
    assert "‘compared with’" in page.inner_text(".sos-explore-path")
    page.go_back()
    page.wait_for_function("!location.hash.includes('never-funded')")
    assert page.inner_text(".sos-explore-status") == first
    page.go_forward()
    page.wait_for_function("location.hash.includes('never-funded')")
    # The made-up source: by arrow key on the radio buttons, marked in words and by its frame.
    page.focus("#sos-explore-public")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#sos-explore[data-origin=synthetic]")
    assert "say nothing about Signs of Safety" in page.inner_text(".sos-explore-origin")
    assert page.text_content(".sos-explore-watermark") == "Made-up data"
    assert "preferred way" in page.inner_text(".sos-explore-path")
    page.focus("#sos-explore-effects")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("location.hash.includes('effects=authority')")
    page.focus("#sos-explore-to-preferred")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('effects=group')")
    live = page.get_attribute(".sos-explore-status", "aria-live")
    assert live == "polite"
    assert not said
    page.context.close()


def test_odd_addresses_files_phones_dark_and_axe(built_site, browser, address) -> None:
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    file = (built_site.site / "book" / "explore.html").as_uri()
    for base, scheme, width in ((address, "light", 1280), (file, "dark", 320)):
        page, said = _open(
            browser, f"{base}#data=example&outcome=kinship&effects=%3Cscript%3E",
            viewport={"width": width, "height": 800}, color_scheme=scheme,
        )  # fmt: skip
        assert page.get_attribute("#sos-explore", "data-origin") == "synthetic"
        assert page.input_value("#sos-explore-outcome") == "kinship"
        assert page.input_value("#sos-explore-effects") == "group"
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(over) <= 1
        assert not said
        found = Axe().run(page, options={"runOnly": tags}).response["violations"]
        assert not found, [(v["id"], v["nodes"][0]["target"]) for v in found]
        # A way that was not run says so, and shows no number.
        page.evaluate(
            "location.hash = '#data=public&outcome=rereferral&wave=1&years=to-the-latest'"
        )
        page.wait_for_function(
            "document.querySelector('.sos-explore-status').textContent.includes('not run')"
        )
        assert not page.is_visible(".sos-explore-svg")
        page.context.close()
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(file)
    assert not plain.is_visible("#sos-explore")
    assert plain.is_visible("[data-table='explore-public-main'] table")
    assert "Choosing needs JavaScript" in plain.inner_text("article")
    plain.context.close()


def test_a_wrong_number_in_a_grid_is_found(shown: Bundle, tmp_path) -> None:
    from sos_analysis.pipeline.verify_grids import check_grids

    place_of = tmp_path / "_static" / "explore-public.js"
    place_of.parent.mkdir()
    content = payload(shown, explore.PUBLIC)
    place_of.write_text(script(content), encoding="utf-8")
    numbers, problems = check_grids(tmp_path, shown)
    assert numbers > 7_000
    assert not problems
    content["outcomes"][0]["columns"]["value"][0] += 10
    place_of.write_text(script(content), encoding="utf-8")
    (problem,) = check_grids(tmp_path, shown)[1]
    assert "explore-public.js: outcomes.rereferral.columns.value.0 holds" in problem
    place_of.write_text("nothing", encoding="utf-8")
    assert "holds no grid" in check_grids(tmp_path, shown)[1][0]
