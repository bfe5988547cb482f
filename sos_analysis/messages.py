"""What the first pages say, made from the results: main messages, summary of findings, guidance.

Everything comes back as MyST in which ``{claim}`` roles stand for numbers and for published words,
so that each can be traced. Published findings, public statistics and restricted records have a
column each and are never added together; made-up data have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sos_analysis.chapters import CHAPTERS
from sos_analysis.chapters.words import OUTCOME_WORDS
from sos_analysis.facts import Published, published
from sos_analysis.guidance import (
    HARM,
    NOT_ASSESSED,
    OPEN,
    READERS,
    Advice,
    Decisions,
    Signal,
    load_decisions,
    signal,
)
from sos_analysis.results import Bundle, ChapterResult

MOST_MESSAGES = 6
_UNREAD = "Not published where we could read it"


@dataclass(frozen=True)
class Row:
    """One outcome of the summary of findings; `public` is the companion's figure, '' for none."""

    outcome: str
    label: str
    public: str
    nothing_public: str = ""

    @property
    def chapter(self) -> str:
        """The chapter on this outcome."""
        return next(
            name
            for name, spec in CHAPTERS.items()
            if spec.outcomes[:1] == (self.outcome,) and spec.room in ("question", "icpc")
        )


#: In reading order: the possible harm first.
OUTCOMES = (
    Row(
        "kinship",
        "Kinship care, with relatives or friends",
        "",
        "Nothing: kinship shares of authorities are not published",
    ),
    Row("duration", "Length of assessments", "within_45"),
    Row("rereferral", "Re-referral after ‘no further action’", "rereferral"),
    Row(
        "escalation",
        "Re-referral that escalates to a plan or to care",
        "",
        "Nothing: no public figure follows single cases",
    ),
    Row("icpc", "Initial child protection conference", "icpc_per_referral"),
)

#: Secondary analyses: published finding, chapter, and what is asked.
SECONDARY = (
    ("ofsted", "subgroup_ofsted_rating", "Does it differ by Ofsted rating?"),
    (
        "embeddedness",
        "subgroup_embeddedness",
        "Does it matter how well the approach was embedded and delivered?",
    ),
    (
        "practice_models",
        "comparator_practice_models",
        "What if comparators used similar practice models?",
    ),
    ("icpc", "addendum_icpc", "What became of conferences (the addendum)?"),
)
#: Claims of the companion on public statistics that speak to them.
PUBLIC_SECONDARY = {
    "ofsted": "public.rating",
    "practice_models": "public.practice",
    "icpc": "public.icpc_per_referral",
}


# --- restricted records ------------------------------------------------------------------------


def restricted(bundle: Bundle) -> dict[str, ChapterResult]:
    """Chapters on restricted records by outcome; none in the shipped edition."""
    found = {row.outcome: bundle.chapters.get(row.chapter) for row in OUTCOMES}
    return {k: r for k, r in found.items() if r is not None and r.origin == "restricted"}


def signals(bundle: Bundle) -> tuple[Signal, ...]:
    """What restricted records say on each outcome, for the guidance."""
    return tuple(
        signal(outcome, OUTCOME_WORDS[outcome].noun, OUTCOME_WORDS[outcome].good, result.verdict)
        for outcome, result in restricted(bundle).items()
        if result.verdict is not None
    )


# --- main messages -----------------------------------------------------------------------------


def main_messages(bundle: Bundle) -> str:
    """At most six messages, one sentence each, as a numbered list."""
    found = signals(bundle)
    said = [
        (
            "Kinship care (living with relatives or friends), a possible harm.",
            _role("published.kinship.message"),
        ),
        ("The other outcomes.", _role("published.nulls.message")),
        (f"Public statistics{_weak(bundle)}.", _role("public.headline")),
        ("Where and how.", _role("published.secondary.message")),
        (
            "What nobody can tell from this.",
            "This evidence cannot say whether Signs of Safety is a good values framework for "
            "practice, or what it would do in your authority.",
        ),
    ]
    if restricted(bundle):
        said.insert(0, ("Individual records, analysed here.", _records_message(bundle, found)))
    else:
        said.append(
            (
                "Real and made up.",
                "Individual records are not public: every worked example runs on made-up ones, "
                "never a finding.",
            )
        )
    assert len(said) <= MOST_MESSAGES
    return "\n".join(f"{i}. **{label}** {text}" for i, (label, text) in enumerate(said, 1))


def _weak(bundle: Bundle) -> str:
    """', weak evidence' where no public figure is rated above low."""
    rated = [
        str(claim.value)
        for id, claim in bundle.claims.items()
        if id.startswith("public.") and id.endswith(".certainty")
    ]
    return ", weak evidence" if rated and set(rated) <= {"Low", "Very low"} else ""


def _records_message(bundle: Bundle, found: Sequence[Signal]) -> str:
    """Restricted records in one sentence, harm first."""
    decided = sorted((s for s in found if s.stance != OPEN), key=lambda s: s.stance != HARM)
    results = restricted(bundle)
    told = []
    for s in decided:
        verdict = results[s.outcome].verdict
        if verdict is not None:
            told.append(verdict.sentence.removesuffix("."))
    if not told:
        return "The records analysed here are too imprecise to tell whether any outcome changed."
    first, *others = told
    others = [o[:1].lower() + o[1:] if not o.startswith("Signs") else o for o in others]
    if len(told) < len(OUTCOMES):
        others.append("on the other outcomes they cannot tell")
    return f"{'; '.join([first, *others])}."


# --- summary of findings -----------------------------------------------------------------------


def findings_table(bundle: Bundle) -> str:
    """Outcome; published finding; public companion; restricted records, if any; certainty."""
    real = restricted(bundle)
    head = ["Outcome", "Published finding", "Public statistics"]
    head += ["Individual records analysed here"] if real else []
    rows = []
    for row in OUTCOMES:
        certain = [f"Published: {_role(f'published.{row.outcome}.verdict')}"]
        cells = [f"[{row.label}](chapters/{row.chapter})", _published_cell(row.outcome)]
        if row.public:
            cells.append(_role(f"public.{row.public}.sentence"))
            certain.append(f"Public: {_role(f'public.{row.public}.certainty')}")
        else:
            cells.append(row.nothing_public)
            certain.append("Public: not assessed")
        if real:
            cells.append(_records_cell(real.get(row.outcome)))
            certain.append(f"Records: {_rating(real.get(row.outcome))}")
        rows.append([*cells, "<br>".join(certain)])
    return _table([*head, "How sure"], rows)


def glance_table(bundle: Bundle) -> str:
    """The same for the start page: a few words a cell."""
    real = restricted(bundle)
    head = ["Outcome", "Published finding", "Public statistics (our rating)"]
    head += ["Individual records (our rating)"] if real else []
    rows = []
    for row in OUTCOMES:
        start = f"public.{row.public}"
        public = (
            f"{_role(f'{start}.brief')} ({_role(f'{start}.certainty')})"
            if row.public
            else "No public figure on this"
        )
        cells = [f"[{row.label}](chapters/{row.chapter})", _published_brief(row.outcome), public]
        if real:
            found = real.get(row.outcome)
            cells.append(
                f"{found.verdict.effect_class.capitalize()} ({_rating(found)})"
                if found and found.verdict
                else NOT_ASSESSED
            )
        rows.append(cells)
    return _table(head, rows)


def _published_cell(outcome: str) -> str:
    said = _role(f"published.{outcome}.statement")
    if outcome == "kinship":
        return f"{said} Size: {_role('published.kinship_size.size', 'size')} lower."
    return said


def _published_brief(outcome: str) -> str:
    """The verdict in the published words; the outcome stands beside it."""
    finding = next(f for f in published().findings if f.id == outcome)
    verdict = _role(f"published.{outcome}.verdict")
    if not finding.words:
        return verdict
    if outcome == "kinship":
        return f"{verdict} of a fall: {_role('published.kinship_size.size', 'size')} lower"
    return f"{verdict} of a change"


def _records_cell(result: ChapterResult | None) -> str:
    if result is None or result.verdict is None:
        return NOT_ASSESSED
    att = next((c for c in result.claims if c.endswith("original.preferred.att")), "")
    size = (
        f" Difference: {_role(att, 'full')}." if att and result.claims[att].low is not None else ""
    )
    return f"{result.verdict.sentence}{size}"


def _rating(result: ChapterResult | None) -> str:
    found = result.verdict.certainty if result and result.verdict else None
    return found or "not assessed"


def secondary_table(bundle: Bundle) -> str:
    """The secondary analyses, a line each."""
    real = any(
        r.origin == "restricted"
        for name, r in bundle.chapters.items()
        if name in _secondary_names()
    )
    head = ["Question", "Published finding", "Public statistics"]
    head += ["Individual records analysed here"] if real else []
    rows = []
    for finding, chapter, question in SECONDARY:
        cells = [
            f"[{question}](chapters/{chapter})",
            _role(f"published.{finding}.statement"),
            _secondary_public(finding),
        ]
        rows.append([*cells, *([_told(bundle.chapters.get(chapter))] if real else [])])
    return _table(head, rows)


def _secondary_public(finding: str) -> str:
    """What public statistics say on a secondary analysis."""
    claim = PUBLIC_SECONDARY.get(finding)
    if claim is None:
        return NOT_ASSESSED
    rated = f" Certainty: {_role(f'{claim}.certainty')}." if finding == "icpc" else ""
    return f"{_role(f'{claim}.sentence')}{rated}"


def _secondary_names() -> set[str]:
    return {chapter for _, chapter, _ in SECONDARY}


def _told(result: ChapterResult | None) -> str:
    """The answer of a chapter on restricted records, its numbers as roles."""
    if result is None or result.origin != "restricted" or "answer" not in result.prose:
        return NOT_ASSESSED

    def role(match: re.Match[str]) -> str:
        id, _, form = match[1].partition(":")
        return _role(id, form)

    text = re.sub(r"</?[a-z][^>]*>", "", result.prose["answer"])
    return re.sub(r"\{([^{}]*)\}", role, text)


def published_table(found: Published | None = None) -> str:
    """The original's findings in its own scheme, what it leaves unknown, and sources."""
    found = found or published()
    rows = []
    for f in found.findings:
        name = f.id.replace("secondary.", "").replace("kinship.size", "kinship_size")
        unknown = _role(f"published.{name}.unknown") if f.unknown else "–"
        verdict = _role(f"published.{name}.verdict")
        size = _role(f"published.{name}.size") if f.value is not None else _UNREAD
        statement = _role(f"published.{name}.statement")
        rows.append([statement, verdict, size, unknown, f"[{f.source}]({f.url})"])
    head = ["Finding", "In the original's words", "Size", "What is not known of it", "Source"]
    return _table(head, rows)


# --- guidance ----------------------------------------------------------------------------------


def guidance_page(bundle: Bundle, reader: str, decisions: Decisions | None = None) -> str:
    """Reasonable to do, think twice, ask your own data: for one reader of `guidance.READERS`."""
    advice = (decisions or load_decisions()).advice(reader, signals(bundle))
    return "\n\n".join([*_advice(advice), *_asks(advice)])


def in_short(bundle: Bundle, decisions: Decisions | None = None) -> str:
    """What is reasonable for each reader, and why, in two sentences."""
    found, real = decisions or load_decisions(), signals(bundle)
    return "\n".join(
        f"- **{heading}.** {_sentences(found.advice(reader, real).reasonable, 2)}"
        for reader, heading in READERS.items()
    )


def _sentences(text: str, count: int) -> str:
    """The first sentences of a text."""
    return " ".join(re.split(r"(?<=[.])\s+", text)[:count])


def _advice(advice: Advice) -> Iterable[str]:
    yield f":::{{div}} sos-advice sos-advice-do\n**Reasonable to do.** {advice.reasonable}\n:::"
    points = "\n".join(f"- {text}" for text in advice.think_twice)
    yield f":::{{div}} sos-advice sos-advice-think\n**Think twice.**\n\n{points}\n:::"


def _asks(advice: Advice) -> Iterable[str]:
    yield "**Ask your own data.** A checklist you can run on your own returns:"
    asked = "\n".join(
        f"{i}. **{a.what}.** {a.count}\n\n   *Where:* {a.where}\n\n   *Watch for:* {a.watch}\n"
        for i, a in enumerate(advice.ask, 1)
    )
    yield f":::{{div}} sos-ask\n{asked}\n:::"


def criteria_table(bundle: Bundle, decisions: Decisions | None = None) -> str:
    """The evidence-to-decision table; what was not assessed says so."""
    rows = (decisions or load_decisions()).table(signals(bundle))
    head = ["Question", "What this report can offer"]
    wide = bool(rows) and len(rows[0]) > len(head)
    return _table([*head, "What the records analysed here add"] if wide else head, rows)


def parts(bundle: Bundle, name: str) -> str:
    """MyST of a part by its name, as the directive ``{generated}`` asks for it.

    Raises
    ------
    KeyError : no part has that name; holds the known names.
    """
    reader = name.removeprefix("guidance-")
    if reader != name and reader in READERS:
        return guidance_page(bundle, reader)
    if name not in _PARTS:
        raise KeyError(", ".join([*_PARTS, *(f"guidance-{r}" for r in READERS)]))
    return _PARTS[name](bundle)


_PARTS: dict[str, Callable[[Bundle], str]] = {
    "messages": main_messages,
    "glance": glance_table,
    "findings": findings_table,
    "secondary": secondary_table,
    "published": lambda _: published_table(),
    "in-short": in_short,
    "criteria": criteria_table,
}


# --- MyST --------------------------------------------------------------------------------------


def _role(id: str, form: str = "") -> str:
    return f"{{claim}}`{id}:{form}`" if form else f"{{claim}}`{id}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(c.replace('|', '&#124;') for c in row)} |" for row in rows]
    return "\n".join(lines)
