"""Facts as a result: published findings, the programme, and quantities of the design.

Prose pages hold no typed numbers; what is not computed by a chapter is a claim made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sos_analysis.checks import ALPHA
from sos_analysis.facts import Finding, Published, programme, published
from sos_analysis.results import ChapterResult, Claim, code_hash, content_hash
from sos_analysis.sources import ROOT, file_hash
from sos_analysis.study import Outcome, Study, load_study

NAME = "facts"
NOT_PUBLISHED = "Not published where we could read it"


def facts(study_id: str = "synthetic") -> ChapterResult:
    """All facts the prose pages speak of."""
    study = load_study(study_id)
    made = [*_published(), *_programme(), *_design(study)]
    return ChapterResult(
        name=NAME,
        title="Facts and design",
        origin="design",
        parameters={"study": study_id},
        claims={c.id: c for c in made},
        hashes=hashes({"study": study_id}),
    )


def hashes(chosen: Mapping[str, Any]) -> dict[str, str]:
    """What the facts rest on: the study file, the files of facts, the code."""
    files = sorted(
        p for name in ("published", "programme") for p in (ROOT / "data" / name).glob("*.toml")
    )
    return {
        "study": load_study(chosen["study"]).short_hash,
        "data": content_hash([file_hash(path) for path in files]),
        "code": code_hash("reference"),
    }


def finding_claims(prefix: str, finding: Finding) -> list[Claim]:
    """A published finding as claims: its verdict in words, and its size where it has one."""
    source = f"{finding.source}, {finding.url}"
    note = f"{NOT_PUBLISHED}: {', '.join(finding.unknown)}." if finding.unknown else ""
    words = finding.words or NOT_PUBLISHED
    made = [
        Claim(
            f"{prefix}.verdict",
            words[:1].upper() + words[1:],
            origin="published",
            chapter=NAME,
            source=source,
            note=note,
        ),
        Claim(
            f"{prefix}.statement",
            finding.statement,
            origin="published",
            chapter=NAME,
            source=source,
            note=note,
        ),
    ]
    if note:
        made.append(
            Claim(f"{prefix}.unknown", note, origin="published", chapter=NAME, source=source)
        )
    if finding.value is not None:
        made.append(
            Claim(
                f"{prefix}.size",
                finding.value,
                finding.unit or "",
                decimals=0,
                origin="published",
                chapter=NAME,
                source=source,
                note=note,
            )
        )
    return made


def _published() -> list[Claim]:
    found = published()
    made: list[Claim] = []
    for finding in found.findings:
        name = finding.id.replace("secondary.", "").replace("kinship.size", "kinship_size")
        made += finding_claims(f"published.{name}", finding)
    size = found.finding("kinship.size")
    kinship = found.finding("kinship")
    points = f"{abs(size.value or 0):.0f} {size.unit}"
    return [
        *made,
        _words(
            "published.kinship.message",
            f"The published evaluation reports {kinship.words} that kinship care fell in the "
            f"pilots, compared with similar authorities, by {points}.",
            f"{kinship.source}; size: {size.source}, {size.url}",
        ),
        _words("published.nulls.message", _nulls(found), kinship.source),
        _words("published.secondary.message", _secondary(found), kinship.source),
    ]


#: How the outcomes without a finding are listed in one sentence.
_LISTED = {
    "duration": "the length of assessments",
    "rereferral": "re-referral after ‘no further action’",
    "escalation": "re-referral that leads to a protection plan or to care",
    "kinship": "kinship care",
}


def _nulls(found: Published) -> str:
    """The main outcomes for which no change was found, in the published words."""
    nulls = [f for f in found.findings if f.analysis == "main" and f.direction == "none found"]
    by_words: dict[str, list[str]] = {}
    for finding in nulls:
        if finding.outcome in _LISTED and finding.words:
            by_words.setdefault(finding.words, []).append(_LISTED[finding.outcome])
    told = " and ".join(
        f"{words} that {', '.join(names[:-1])}{' or ' if names[1:] else ''}{names[-1]} changed"
        for words, names in by_words.items()
    )
    return f"The published evaluation reports {told}; that does not show that nothing changed."


def _secondary(found: Published) -> str:
    """The secondary analyses that could be read, in one sentence."""
    told = {
        "secondary.embeddedness": "how far pilots had embedded the approach and how well they "
        "delivered it do not explain the results",
        "secondary.practice_models": "effects (which ones is not named) "
        "come out larger once comparison authorities that worked in similar ways are allowed for",
    }
    read = [text for id, text in told.items() if found.finding(id).direction != "unknown"]
    return f"The published evaluation reports that {', and that '.join(read)}."


def _programme() -> list[Claim]:
    """Facts about the programme and the law that pages speak of."""
    known = programme()
    use, limit = known.fact("use.england"), known.fact("assessment.limit")
    words = str(use.value).replace("-", " ")
    first, second = known.fact("wave1.funded"), known.fact("wave2.launch")
    began = [str(first.value)[-4:], str(second.value)[:4]]
    return [
        _words("programme.use", words[:1].upper() + words[1:], use.source, "programme"),
        _words("programme.use_inside", words, use.source, "programme"),
        _words(
            "programme.waves",
            f"in {began[0]} and in {began[1]}",
            f"{first.source}; {second.source}",
            "programme",
        ),
        Claim(
            "programme.assessment_limit",
            float(str(limit.value)),
            "working days",
            decimals=0,
            origin="programme",
            chapter=NAME,
            source=limit.source,
        ),
    ]


def _words(id: str, text: str, source: str, origin: str = "published") -> Claim:
    return Claim(id, text, origin=origin, chapter=NAME, source=source)


def _design(study: Study) -> list[Claim]:
    def number(id: str, value: float, unit: str = "", *, source: str, decimals: int = 0) -> Claim:
        origin = "programme" if id == "design.pilots.original" else "design"
        return Claim(id, value, unit, decimals=decimals, origin=origin, chapter=NAME, source=source)

    fact = programme().fact("analysed.count")
    where = f"study file {study.path.name}"
    made = [
        number("design.pilots.original", float(str(fact.value)), source=fact.source),
        number("design.pilots.study", len(study.pilots), source=where),
        number("design.draws", study.inference.draws, source=where),
        number("design.level", 100 * ALPHA, "%", source="sos_analysis.checks"),
        number("design.coverage", 100 * study.inference.level, "%", source=where),
        number("design.threshold", study.disclosure.threshold, source=where),
        number("design.rounding", study.disclosure.rounding_base, source=where),
        _words(
            "design.certainty.scheme",
            "A result starts at moderate for real records and at low for public statistics. A "
            "check that fails lowers it or holds it down; a result too imprecise to read stays "
            "low.",
            "sos_analysis.rules",
            "design",
        ),
    ]
    for outcome in study.outcomes:
        made += _outcome(outcome, where)
    # The pages on data and methods speak of the worked example in every edition.
    shipped = study if study.origin == "synthetic" else load_study("synthetic")
    if shipped.synthetic is not None and shipped.truth is not None:
        made.append(
            number("facts.synthetic.authorities", shipped.synthetic.authorities, source=where)
        )
        kinship = shipped.outcome("kinship")
        made.append(
            Claim(
                "facts.truth.kinship",
                shipped.truth.sizes["kinship"] * kinship.scale,
                kinship.unit,
                decimals=0,
                origin="synthetic",
                chapter=NAME,
                source=f"study file {shipped.path.name}",
            )
        )
    return made


def _outcome(outcome: Outcome, where: str) -> list[Claim]:
    made = [
        Claim(
            f"design.mid.{outcome.name}",
            outcome.minimum_important_difference,
            outcome.unit,
            decimals=0 if float(outcome.minimum_important_difference).is_integer() else 1,
            origin="design",
            chapter=NAME,
            source=where,
            note=outcome.mid_reason,
        )
    ]
    if outcome.window_days:
        made.append(
            Claim(
                f"design.window.{outcome.name}",
                outcome.window_days,
                "days",
                decimals=0,
                origin="design",
                chapter=NAME,
                source=where,
            )
        )
    return made
