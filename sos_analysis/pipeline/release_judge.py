"""What an output checker would ask of each output: what is it, which rule, pass, review or fail.

'fail': a rule is broken, nothing may be released. 'review': no rule is broken, but a person must
look, because the rule cannot see what the number is a count of. 'already published': numbers that
anyone can read, and words and choices of the design.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sos_analysis.disclosure import COUNT_UNITS, RECORD_ORIGINS, SafeFigure, SafeTable
from sos_analysis.disclosure.audit import attack, told
from sos_analysis.disclosure.columns import typed_counts
from sos_analysis.disclosure.extremes import says_extreme
from sos_analysis.disclosure.safe import faults
from sos_analysis.errors import DisclosureError, SosError
from sos_analysis.pipeline.editions import differences
from sos_analysis.pipeline.scan_marks import (
    known_dates,
    machine_names,
    record_level,
    traces,
)
from sos_analysis.results import Bundle, ChapterResult, Claim

#: Labels that are whole numbers and no counts.
_TIMES = frozenset(["time", "year", "years", "first", "last", "draws", "period"])
_STANDARD = (10, 5)
#: Most numbers of one kind that a reviewer is shown one by one.
_ALONE = 3
#: Words shown on each side of a number that a person must look at.
_AROUND = 7


@dataclass(frozen=True)
class Output:
    """One output and its judgement; `file` is where it stands in the release.

    `attacked`: hidden counts and differences that all tables together do not give away.
    """

    name: str
    kind: str
    what: str
    chapter: str
    origin: str
    rule: str
    status: str
    reasons: tuple[str, ...] = ()
    cells: int = 0
    suppressed: int = 0
    secondary: int = 0
    actions: tuple[str, ...] = ()
    attacked: int = 0
    file: str = ""
    command: str = ""


def judge(bundle: Bundle, earlier: Bundle | None = None) -> tuple[Output, ...]:
    """Every output of all results, judged; the attack runs over all tables together.

    Parameters
    ----------
    earlier
        Results of a release about the same children: what both tell together is for a person.
    """
    tables = tables_of(bundle)
    compared = differences(tables_of(earlier), tables) if earlier is not None else {}
    reasons: dict[str, list[str]] = {}
    held: Counter[str] = Counter()
    try:
        for hidden in attack(tables):
            if hidden.protected:
                held[hidden.table] += 1
            else:
                words = f"not shown, but {told(hidden, tables[hidden.table])}"
                reasons.setdefault(hidden.table, []).append(words)
    except DisclosureError as error:
        raise SosError(f"the attack on the tables could not be run: {error}") from error
    found: list[Output] = []
    for result in bundle:
        found += _outputs(result, reasons, held, compared)
    return tuple(found)


def tables_of(bundle: Bundle) -> dict[str, SafeTable]:
    """Tables of all results, those of charts among them, by result and name."""
    tables: dict[str, SafeTable] = {}
    for result in bundle:
        items: Mapping[str, SafeTable | SafeFigure] = {**result.tables, **result.figures}
        for name, item in items.items():
            tables[f"{result.name}/{name}"] = item if isinstance(item, SafeTable) else item.data
    return tables


def _outputs(
    result: ChapterResult,
    attacked: Mapping[str, list[str]],
    held: Mapping[str, int],
    compared: Mapping[str, list[str]],
) -> Iterator[Output]:
    command = _command(result)
    items: Mapping[str, SafeTable | SafeFigure] = {**result.tables, **result.figures}
    files = dict(zip(items, result.csv_files(), strict=True))
    for name, item in items.items():
        table = item if isinstance(item, SafeTable) else item.data
        words = [table.title, table.caption]
        kind = "table"
        if isinstance(item, SafeFigure):
            kind = f"chart ({item.kind.replace('_', ' ')})"
            words += [item.subtitle, item.alt]
        words += [v for row in table.rows for v in row if isinstance(v, str)]
        bad = [*faults(table), *attacked.get(f"{result.name}/{name}", [])]
        bad += typed_counts(
            " | ".join(words), table.origin, table.record.threshold, table.record.base
        )
        look = [*_labels(table), *compared.get(f"{result.name}/{name}", [])]
        record = table.record
        status = "fail" if bad else "review" if look else record.status
        yield Output(
            name=f"{result.name}/{name}",
            kind=kind,
            what=table.title,
            origin=table.origin,
            rule=_rule(table),
            status=status,
            reasons=tuple(bad or look),
            cells=record.cells,
            suppressed=record.suppressed,
            secondary=record.secondary,
            actions=record.actions,
            attacked=held.get(f"{result.name}/{name}", 0),
            file=f"tables/{files[name]}",
            chapter=result.name,
            command=command,
        )
    yield _numbers(result)
    yield _sentences(result)


def _rule(table: SafeTable) -> str:
    roles = {c.role for c in table.columns}
    if table.record.status != "pass":
        return table.record.rule
    parts = [table.record.rule] if roles & {"count", "rate", "statistic", "authorities"} else []
    if "count" in roles and table.record.population:
        parts[0] += f"; counts of the cases '{table.record.population}'"
    if "rate" in roles:
        parts.append("rates of rounded counts, hidden where nearly all or few have the outcome")
    if "estimate" in roles:
        parts.append("model results: enough residual degrees of freedom")
    return "; ".join(parts) or "words and labels alone"


def _labels(table: SafeTable) -> list[str]:
    """Whole numbers declared as labels that could be counts; a person must look at them."""
    if table.origin not in RECORD_ORIGINS:
        return []
    found = []
    for column in table.columns:
        values = [v for v in table.values(column.key) if not isinstance(v, str)]
        small = [v for v in values if 0 < v < table.record.threshold]
        if column.role == "category" and column.key not in _TIMES and small:
            found.append(
                f"column {column.label!r} holds whole numbers as small as {min(small):g} that are "
                "declared as labels: please confirm that they count authorities, returns or runs, "
                "and no children"
            )
    return found


def _numbers(result: ChapterResult) -> Output:
    threshold, step = _rules_of(result)
    bad: list[str] = []
    look: list[Claim] = []
    odd: list[str] = []
    for claim in result.claims.values():
        wrong = _count_fault(claim, threshold, step)
        if wrong:
            bad.append(wrong)
        elif _maybe_count(claim, threshold):
            look.append(claim)
        elif _maybe_extreme(claim):
            odd.append(f"{claim.id} is {claim.value}{_quoted(claim, result)}")
    numbers = sum(not isinstance(c.value, str) for c in result.claims.values())
    asked = []
    if look:
        asked.append(
            f"please confirm that these whole numbers below {threshold} count no children: "
            f"{_gathered(look, result)}"
        )
    if odd:
        asked.append(
            "please confirm that none of these is the lowest or highest value of a record: "
            f"{'; '.join(odd)}"
        )
    reasons = tuple(bad or asked)
    from_records = any(c.origin in RECORD_ORIGINS for c in result.claims.values())
    return Output(
        name=f"{result.name}/numbers",
        kind="numbers in sentences",
        what=f"{numbers} numbers that sentences quote: estimates, intervals, choices of the design",
        origin=result.origin,
        rule=f"counts of children at least {threshold} and rounded to {step}; estimates as in the "
        "tables"
        if from_records
        else "published numbers and choices of the design",
        status="fail" if bad else "review" if asked else _plain_status(result),
        reasons=reasons,
        cells=numbers,
        suppressed=sum(c.value == "[c]" for c in result.claims.values()),
        file=f"results/{result.name}.json",
        chapter=result.name,
        command=_command(result),
    )


def _quoted(claim: Claim, result: ChapterResult) -> str:
    """The words around a number where a sentence quotes it, so that a person knows what it is."""
    place = re.compile(rf"\{{{re.escape(claim.id)}(?::\w+)?\}}")
    for sentence in result.prose.values():
        match = place.search(sentence)
        if match:
            before, after = (
                " ".join(re.sub(r"\{[^{}]*\}", "…", text).split())
                for text in (sentence[: match.start()], sentence[match.end() :])
            )
            left, right = before.split()[-_AROUND:], after.split()[:_AROUND]
            return f" in '{' '.join([*left, claim.render(), *right])}'"
    return ""


def _gathered(claims: Sequence[Claim], result: ChapterResult) -> str:
    """The numbers for a person: one by one, but those of one kind and one function together."""
    kinds: dict[tuple[str, str, str], list[Claim]] = {}
    for claim in claims:
        kinds.setdefault((claim.id.rpartition(".")[2], claim.unit, claim.source), []).append(claim)
    told = []
    for (name, unit, source), own in kinds.items():
        words = f" {unit}" if unit else ""
        if len(own) <= _ALONE:
            told += [f"{c.id} is {c.value}{words}{_quoted(c, result)}" for c in own]
            continue
        values = sorted(float(c.value) for c in own)
        told.append(
            f"{len(own)} numbers named {name!r} (such as {own[0].id}), from {values[0]:g} to "
            f"{values[-1]:g}{words}, all made by {source}"
        )
    return "; ".join(told)


def _sentences(result: ChapterResult) -> Output:
    threshold, step = _rules_of(result)
    texts = [re.sub(r"\{[^{}]*\}", " ", s) for s in result.prose.values()]
    texts += [f"{c.title} {c.sentence}" for c in result.checks]
    if result.verdict is not None:
        v = result.verdict
        texts += [v.sentence, *v.reasons, *v.what_would_change]
    texts += [*result.notes.values(), result.title]
    bad = [*typed_counts(" | ".join(texts), result.origin, threshold, step), *_marks(result)]
    return Output(
        name=f"{result.name}/sentences",
        kind="checks, verdict and sentences",
        what=f"{len(result.checks)} checks and {len(result.prose)} sentences in words",
        origin=result.origin,
        rule="no count of children typed into a sentence; no value of a record, path or name",
        status="fail" if bad else _plain_status(result),
        reasons=tuple(bad),
        file=f"results/{result.name}.json",
        chapter=result.name,
        command=_command(result),
    )


def _marks(result: ChapterResult) -> list[str]:
    """Values of records, paths and names anywhere in a result; hashes and seals left out."""
    text = json.dumps(_words(result.to_dict()), ensure_ascii=False)
    found = [*traces(text, machine_names())]
    if result.origin in RECORD_ORIGINS:
        found += record_level(text, known_dates())
    return [f"in the result stands {mark}" for mark in found]


def _words(content: object) -> object:
    if isinstance(content, dict):
        return {k: _words(v) for k, v in content.items() if k not in ("hashes", "seal")}
    if isinstance(content, list):
        return [_words(v) for v in content]
    return content if isinstance(content, str) else None


def _plain_status(result: ChapterResult) -> str:
    return "pass" if result.origin in RECORD_ORIGINS else "already published"


def _rules_of(result: ChapterResult) -> tuple[int, int]:
    """Threshold and base of the strictest table of a result."""
    records = [t.record for t in result.tables.values()]
    records += [f.record for f in result.figures.values()]
    used = [(r.threshold, r.base) for r in records if r.threshold > 0]
    return max(used) if used else _STANDARD


def _count_fault(claim: Claim, threshold: int, step: int) -> str:
    if claim.origin not in RECORD_ORIGINS or isinstance(claim.value, str):
        return ""
    if claim.unit.lower() not in COUNT_UNITS:
        return ""
    if claim.value < threshold or claim.value % step:
        return f"{claim.id} is a count of {claim.unit} that is small or not rounded: {claim.value}"
    return ""


def _maybe_count(claim: Claim, threshold: int) -> bool:
    return (
        claim.origin in RECORD_ORIGINS
        and isinstance(claim.value, int)
        and claim.decimals == 0
        and claim.low is None
        and 0 < claim.value < threshold
    )


def _maybe_extreme(claim: Claim) -> bool:
    """A number named as a lowest or highest value; of p-values and intervals it is no child's."""
    name = re.sub(r"[._]", " ", claim.id)
    return (
        claim.origin in RECORD_ORIGINS
        and not isinstance(claim.value, str)
        and claim.unit != "p"
        and claim.low is None
        and says_extreme(name)
    )


def _command(result: ChapterResult) -> str:
    """What makes this result again; paths stand as the name of what is needed."""
    if result.name == "facts" or result.name == "made_up_england":
        return "python -m sos_analysis build"
    words = [f"python -m sos_analysis build --only {result.name}"]
    study = str(result.parameters.get("study", "synthetic"))
    if study != "synthetic":
        words.append(f"--study {study}")
    if result.parameters.get("extract"):
        words.append("--extract FOLDER")
    return " ".join(words)
