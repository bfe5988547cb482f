"""From evidence to guidance: the published report's advice, changed by rules where records differ.

The texts are data (``data/guidance/decisions.toml``); which of them apply is decided here, from the
verdicts on restricted records and from nothing else. Made-up data never change a word. Harm is
looked at first, so a benefit cannot hide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sos_analysis.errors import SosError, StudyError
from sos_analysis.evidence import CERTAINTIES, CHANGE, CHANGE_UNCERTAIN, LITTLE, Verdict
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Section, listed, parse

PATH = ROOT / "data" / "guidance" / "decisions.toml"
#: The readers, and their heading on the page.
READERS = {
    "using": "You already use Signs of Safety",
    "improving": "You are considering it to improve outcomes or cut costs",
    "values": "You are considering it as a values framework",
}
NOT_ASSESSED = "Not assessed here"
#: Rows of the evidence-to-decision table to which restricted records add.
FROM_RECORDS = ("benefits", "harms", "certainty")

HARM, BENEFIT, MOVED, SMALL, OPEN = "harm", "benefit", "moved", "little", "open"
STANCES = (HARM, BENEFIT, MOVED, SMALL, OPEN)


# --- what restricted records say ---------------------------------------------------------------


@dataclass(frozen=True)
class Signal:
    """What restricted records say on one outcome.

    Attributes
    ----------
    outcome, noun : 'kinship'; 'kinship instead of non-kinship care'.
    stance : one of `STANCES`; `MOVED` is a change of an outcome that has no wanted direction.
    certainty : one of `evidence.CERTAINTIES`.
    """

    outcome: str
    noun: str
    stance: str
    certainty: str

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("stance", self.stance, STANCES),
            ("certainty", self.certainty, CERTAINTIES),
        ):
            if value not in allowed:
                raise SosError(f"{self.outcome}: {name} {value!r}; allowed: {listed(allowed)}")

    def at_least(self, certainty: str) -> bool:
        """Is one as sure as that?"""
        return CERTAINTIES.index(self.certainty) >= CERTAINTIES.index(certainty)


def signal(outcome: str, noun: str, good: str | None, found: Verdict) -> Signal:
    """A verdict on restricted records as a signal.

    Parameters
    ----------
    outcome, noun : as in `Signal`.
    good : wanted direction ('down', 'up'), or None where there is none.
    found : a rated verdict.

    Raises
    ------
    SosError
        The verdict is on other data: made-up and public results never change the guidance.
    """
    if found.origin != "restricted" or found.certainty is None:
        raise SosError(
            f"{outcome}: a verdict on {found.origin} data cannot change the guidance; only one on "
            "restricted records can"
        )
    changed = found.effect_class in (CHANGE, CHANGE_UNCERTAIN)
    stance = OPEN
    if found.certainty == "very low":
        stance = OPEN
    elif found.effect_class == LITTLE:
        stance = SMALL
    elif changed:
        stance = MOVED if good is None else HARM if found.harm else BENEFIT
    return Signal(outcome, noun, stance, found.certainty)


Signals = Sequence[Signal]


def _with(signals: Signals, stance: str, *levels: str) -> tuple[Signal, ...]:
    return tuple(s for s in signals if s.stance == stance and s.certainty in levels)


_SURE = ("moderate", "high")


def _kinship(signals: Signals, *stances: str) -> tuple[Signal, ...]:
    return tuple(s for s in signals if s.outcome == "kinship" and s.stance in stances)


# --- rules --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """One rule: `finds` gives the signals that set it off; none leaves the text as it was.

    Attributes
    ----------
    id : names its text in the data file; starts with the reader it is for.
    part : 'reasonable' (takes its place), 'kinship' (takes the place of the first point to think
        twice about, which is kinship care) or 'think twice' (comes first among those points).
    unless : rules that keep this one silent where they apply.
    """

    id: str
    part: str
    finds: Callable[[Signals], tuple[Signal, ...]]
    unless: tuple[str, ...] = ()

    @property
    def reader(self) -> str:
        return self.id.partition(".")[0]


def _harm_besides_kinship(signals: Signals) -> tuple[Signal, ...]:
    return tuple(s for s in _with(signals, HARM, *_SURE) if s.outcome != "kinship")


#: In the order in which they are looked at. Kinship care has rules of its own for those who use
#: the approach, because the published evaluation has a finding on it.
RULES = (
    Rule("using.harm", "reasonable", _harm_besides_kinship),
    Rule(
        "using.benefit",
        "reasonable",
        lambda s: _with(s, BENEFIT, *_SURE),
        unless=("using.harm",),
    ),
    Rule(
        "using.possible_harm",
        "think twice",
        lambda s: tuple(x for x in _with(s, HARM, "low") if x.outcome != "kinship"),
    ),
    Rule("using.kinship_agrees", "kinship", lambda s: _kinship(s, HARM)),
    Rule("using.kinship_differs", "kinship", lambda s: _kinship(s, BENEFIT, SMALL)),
    Rule("using.kinship_open", "kinship", lambda s: _kinship(s, OPEN)),
    Rule(
        "improving.benefit",
        "reasonable",
        lambda s: _with(s, BENEFIT, *_SURE),
        unless=("improving.harm",),
    ),
    Rule("improving.harm", "think twice", lambda s: _with(s, HARM, *_SURE)),
    Rule(
        "improving.possible_benefit",
        "think twice",
        lambda s: _with(s, BENEFIT, "low"),
        unless=("improving.benefit", "improving.harm"),
    ),
    Rule("improving.little", "think twice", lambda s: _with(s, SMALL, *_SURE)),
    Rule("values.harm", "think twice", lambda s: _with(s, HARM, *_SURE)),
)


# --- guidance -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """A question to one's own returns: what to count, where it is held, what to watch for."""

    what: str
    count: str
    where: str
    watch: str


@dataclass(frozen=True)
class Advice:
    """Guidance for one reader; `rules` names those that changed it."""

    reader: str
    reasonable: str
    think_twice: tuple[str, ...]
    ask: tuple[Ask, ...]
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Criterion:
    """A row of the evidence-to-decision table; without a judgement it is not assessed."""

    id: str
    question: str
    judgement: str | None
    unassessed: str
    records: str | None


@dataclass(frozen=True)
class Decisions:
    """The file: criteria, advice that follows the published evaluation, and texts of rules."""

    criteria: tuple[Criterion, ...]
    readers: tuple[Advice, ...]
    texts: tuple[tuple[str, str], ...]

    def advice(self, reader: str, signals: Signals = ()) -> Advice:
        """Guidance for a reader of `READERS`, with what restricted records say; none: as published.

        Raises
        ------
        SosError : the reader is unknown.
        """
        found = next((a for a in self.readers if a.reader == reader), None)
        if found is None:
            raise SosError(f"no reader {reader!r}; allowed: {listed(READERS)}")
        texts, fired = dict(self.texts), {r.id for r in RULES if r.finds(signals)}
        for rule in RULES:
            if rule.reader == reader and rule.id in fired and not fired & set(rule.unless):
                said = texts[rule.id].replace("{outcomes}", nouns(rule.finds(signals)))
                found = _changed(found, rule, said)
        return found

    def table(self, signals: Signals = ()) -> tuple[tuple[str, ...], ...]:
        """Rows (question, what the report offers[, what restricted records add])."""
        rows: list[tuple[str, ...]] = []
        for c in self.criteria:
            row = (c.question, c.judgement or c.unassessed)
            rows.append((*row, _added(c.records, signals)) if signals else row)
        return tuple(rows)


def _changed(advice: Advice, rule: Rule, said: str) -> Advice:
    rules = (*advice.rules, rule.id)
    if rule.part == "reasonable":
        return replace(advice, reasonable=said, rules=rules)
    first = () if rule.part == "think twice" else (0,)
    kept = tuple(t for i, t in enumerate(advice.think_twice) if i not in first)
    return replace(advice, think_twice=(said, *kept), rules=rules)


def _added(records: str | None, signals: Signals) -> str:
    if records is None:
        return NOT_ASSESSED
    if records == "certainty":
        return "; ".join(f"{s.noun}: {s.certainty}" for s in signals) + "."
    wanted = HARM if records == "harms" else BENEFIT
    found = [s for s in signals if s.stance == wanted]
    if not found:
        return "None found."
    return "; ".join(f"{s.noun} ({s.certainty} certainty)" for s in found) + "."


def nouns(signals: Iterable[Signal]) -> str:
    """'a, b and c', in the order given."""
    names = [s.noun for s in signals]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- reading ------------------------------------------------------------------------------------


def load_decisions(path: Path = PATH) -> Decisions:
    """Read the file.

    Raises
    ------
    StudyError
        A key is missing, unknown or mistyped; a reader or the text of a rule is missing or given
        twice; names the place and what is allowed.
    """
    top = Section(
        parse(path, StudyError),
        "",
        ("criteria", "readers", "rules"),
        file=path.name,
        error=StudyError,
    )
    criteria = top.sections(
        "criteria", ("id", "question", "judgement", "unassessed", "records"), _criterion
    )
    readers = top.sections("readers", ("id", "reasonable", "think_twice", "ask"), _reader)
    texts = top.sections("rules", ("id", "text"), lambda s: (s.text("id"), s.text("text")))
    _complete(top, "readers", [a.reader for a in readers], list(READERS))
    _complete(top, "rules", [id for id, _ in texts], [r.id for r in RULES])
    return Decisions(criteria, readers, texts)


def _complete(top: Section, table: str, found: list[str], wanted: list[str]) -> None:
    for id in wanted:
        if found.count(id) != 1:
            top.fail(table, f"{id!r} occurs {found.count(id)} times; write it once.")
    for id in found:
        if id not in wanted:
            top.fail(table, f"{id!r} is unknown; allowed: {listed(wanted)}.")


def _criterion(s: Section) -> Criterion:
    judgement = s.text("judgement") if "judgement" in s.data else None
    if judgement and "unassessed" in s.data:
        s.fail("unassessed", "a row with a judgement is assessed; leave one of them out.")
    return Criterion(
        s.text("id"),
        s.text("question"),
        judgement,
        s.text("unassessed") if "unassessed" in s.data else NOT_ASSESSED,
        s.text("records", FROM_RECORDS) if "records" in s.data else None,
    )


def _reader(s: Section) -> Advice:
    keys = ("what", "count", "where", "watch")
    return Advice(
        s.text("id", tuple(READERS)),
        s.text("reasonable"),
        tuple(s.texts("think_twice")),
        s.sections("ask", keys, lambda a: Ask(*(a.text(k) for k in keys))),
    )
