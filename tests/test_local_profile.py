"""The page of one authority: counts guarded, marked descriptive, accessible, self-contained."""

from __future__ import annotations

import re
from datetime import date

import pytest
from returns_files import cin_xml, ssda903_csv, write

from sos_analysis.errors import RecordsError
from sos_analysis.local.profile import local_profile
from sos_analysis.records.writing import write_returns


def test_page_is_guarded_marked_and_accessible(tmp_path, small_study, browser) -> None:
    from axe_playwright_python.sync_playwright import Axe

    write_returns(small_study, "npd", tmp_path / "npd", scale=0.1)
    page = local_profile(tmp_path / "npd", tmp_path / "profile.html", small_study)
    text = page.read_text("utf-8")
    assert "Descriptive, not causal" in text
    assert "Made-up data" in text
    assert "Characteristics of children in need" in text
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "<script" not in text
    # Counts of children and cases: hidden, or rounded to 5 and never below the threshold.
    shown = [
        int(cell.replace("\u202f", "").replace(",", "").replace(" ", ""))
        for own in re.findall(r'data-origin="synthetic" style.*?</table>', text)
        for row in re.findall(r"<tr>(.*?)</tr>", own)
        for cell in re.findall(r"<td[^>]*>([\d, \u202f]+)</td>", row)
    ]
    assert len(shown) > 50
    assert all(n == 0 or (n >= 10 and n % 5 == 0) for n in shown)
    assert "[c]" in text
    opened = browser.new_page(viewport={"width": 320, "height": 900})
    requests: list[str] = []
    opened.on("request", lambda r: requests.append(r.url))
    opened.goto(page.as_uri())
    assert all(url.startswith("file:") for url in requests)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 320
    violations = Axe().run(opened).response["violations"]
    assert not violations, [(v["id"], v["nodes"][0]["html"][:200]) for v in violations]
    opened.close()


def test_several_authorities_need_a_name(tmp_path, small_extract, small_study) -> None:
    out = tmp_path / "p.html"
    out.write_text("before")
    with pytest.raises(RecordsError, match="--la CODE"):
        local_profile(small_extract, out, small_study)
    assert out.read_text() == "before"


def test_any_code_of_an_authority_serves_and_care_alone_is_refused(tmp_path, small_study) -> None:
    """Codes are not always figures; a page already there stays as it is where none is made."""
    day = date(2018, 5, 1)
    child = {"PersonBirthDate": date(2010, 5, 1), "GenderCurrent": "2", "Ethnicity": "WBRI"}
    case = {"CINreferralDate": day, "ReferralNFA": True}
    children = [{**child, "LAchildID": f"c{i}", "CINdetails": [case]} for i in range(12)]
    census = cin_xml(2019, children, lea="E09000033")
    page = local_profile(
        write(tmp_path / "gss", {"a.xml": census}), tmp_path / "p.html", small_study
    )
    before = page.read_text("utf-8")
    assert "E09000033" in before
    assert "Made-up data" not in before
    care = [{"CHILD": "c1", "DECOM": day, "RNE": "S", "LS": "C2", "PLACE": "U1"}]
    alone = write(tmp_path / "care", {"801/episodes.csv": ssda903_csv("Episodes", care)})
    with pytest.raises(RecordsError, match="takes its years from referrals"):
        local_profile(alone, page, small_study)
    assert page.read_text("utf-8") == before
