"""The study design is data: pilots, comparators, outcomes, rules, in one validated TOML file.

Everything an analyst may want to change without touching code stands in ``data/study/*.toml``:
who the pilots are and when they embedded the model, their matched comparators, how each outcome
is defined and what difference would matter, the disclosure rules, how to infer, and (for made-up
data only) the truth that was planted. Indices in messages count from 0, as in ``pilots[3]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sos_analysis.errors import StudyError
from sos_analysis.sources import ROOT
from sos_analysis.study.reading import Frozen, Section, content_hash, listed, nearest, parse
from sos_analysis.study.truth import by_outcome, read_truth
from sos_analysis.study.types import (
    CHAPTERS,
    COVARIATES,
    DEFINITIONS,
    GROUPS,
    KINSHIP_EXITS,
    KINSHIP_PLACEMENTS,
    MATCHING_ONLY,
    OUTCOMES,
    PRACTICE_MODELS,
    PROCEDURES,
    RATINGS,
    Authority,
    ByDelivery,
    CompletenessRules,
    Contamination,
    DisclosureRules,
    Group,
    IncompleteReturns,
    InferenceRules,
    Outcome,
    Pilot,
    RecordingShift,
    Study,
    Switches,
    SyntheticSettings,
    Truth,
)

__all__ = [
    "CHAPTERS",
    "COVARIATES",
    "DEFINITIONS",
    "FIRST_REAL_CODE",
    "GROUPS",
    "KINSHIP_EXITS",
    "KINSHIP_PLACEMENTS",
    "MATCHING_ONLY",
    "MOST_MADE_UP",
    "OUTCOMES",
    "PRACTICE_MODELS",
    "PROCEDURES",
    "RATINGS",
    "Authority",
    "ByDelivery",
    "CompletenessRules",
    "Contamination",
    "DisclosureRules",
    "Group",
    "IncompleteReturns",
    "InferenceRules",
    "Outcome",
    "Pilot",
    "RecordingShift",
    "Study",
    "Switches",
    "SyntheticSettings",
    "Truth",
    "load_study",
    "study_from",
]

# Real DfE codes of English authorities start here; made-up ones stay below 200.
FIRST_REAL_CODE = 201
MOST_MADE_UP = 199

_UNITS = {"working days": 1, "per 100": 100}


def load_study(path_or_id: str | Path = "synthetic") -> Study:
    """Read and check a study file.

    Parameters
    ----------
    path_or_id : a path to a TOML file, or the name of one in ``data/study`` without its suffix.

    Raises
    ------
    StudyError : naming the file, the key path, what was found, what is allowed.
    """
    path = _locate(path_or_id)
    return study_from(parse(path, StudyError), path)


def study_from(content: Mapping[str, Any], path: Path) -> Study:
    """A checked study from parsed content; `path` names it in messages."""
    _check_filled(content, path.name)
    top = Section(content, "", tuple(_KEYS), file=path.name, error=StudyError)
    head = top.section("study", _KEYS["study"])
    origin = head.text("origin", ("synthetic", "restricted"))
    made_up = origin == "synthetic"
    for key in ("truth", "synthetic"):
        if made_up:
            top.section(key, _KEYS[key])
        elif key in content:
            top.fail(key, "a study with origin 'restricted' cannot have this table; remove it.")
    start, end = head.day("data_start"), head.day("data_end")
    if start >= end:
        head.fail("data_end", f"found {end}; expected a date after data_start ({start}).")
    authorities = top.sections("authorities", _KEYS["authorities"], _authority)
    _unique(top, "authorities", "code", [a.code for a in authorities])
    _unique(top, "authorities", "name", [a.name for a in authorities])
    pilots = top.sections("pilots", _KEYS["pilots"], _pilot)
    _check_pilots(top, pilots, authorities, start, end)
    outcomes = top.sections("outcomes", _KEYS["outcomes"], _outcome)
    _check_outcomes(top, outcomes, pilots, start, end)
    truth = read_truth(top.section("truth", _KEYS["truth"]), pilots) if made_up else None
    settings = _synthetic(top.section("synthetic", _KEYS["synthetic"])) if made_up else None
    if settings is not None:
        _check_made_up(top, authorities, settings)
    return Study(
        id=head.text("id"),
        title=head.text("title"),
        origin=origin,
        assumption=head.text("assumption"),
        data_start=start,
        data_end=end,
        pilots=pilots,
        authorities=authorities,
        outcomes=outcomes,
        completeness=_completeness(top.section("completeness", _KEYS["completeness"])),
        disclosure=_disclosure(
            top.section("disclosure", _KEYS["disclosure"]), tuple(a.name for a in authorities)
        ),
        inference=_inference(top.section("inference", _KEYS["inference"])),
        truth=truth,
        synthetic=settings,
        path=path,
        hash=content_hash(content),
    )


#: What a value of a template begins with until it is filled in.
UNFILLED = "FILL"


def _check_filled(content: Mapping[str, Any], file: str) -> None:
    """StudyError that lists every value of a template still to be filled in."""
    found: list[str] = []

    def look(value: object, where: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                look(inner, f"{where}.{key}" if where else str(key))
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                look(inner, f"{where}[{i}]")
        elif isinstance(value, str) and value.startswith(UNFILLED):
            found.append(where)

    look(content, "")
    if found:
        raise StudyError(
            f"{file}: {len(found)} values are still to be filled in: {', '.join(found)}. Write "
            "each as the comments in the file say, or delete the pilot or authority it belongs to."
        )


_KEYS: Mapping[str, Sequence[str]] = {
    "study": ("id", "title", "origin", "assumption", "data_start", "data_end"),
    "pilots": (
        "id",
        "la",
        "waves",
        "embedding_start",
        "embedding_end",
        "delivery_score",
        "comparators",
    ),
    "authorities": ("code", "name", "ofsted", "practice_model"),
    "outcomes": tuple(f for f in Outcome.__dataclass_fields__),
    "completeness": tuple(CompletenessRules.__dataclass_fields__),
    "disclosure": tuple(
        f for f in DisclosureRules.__dataclass_fields__ if f not in ("names", "local")
    ),
    "inference": tuple(InferenceRules.__dataclass_fields__),
    "truth": tuple(Truth.__dataclass_fields__),
    "synthetic": tuple(SyntheticSettings.__dataclass_fields__),
}

# The options of each outcome's definitions and how each is read.
_OPTIONS: Mapping[str, Sequence[str]] = {
    "duration": ("trim", "beyond"),
    "rereferral": ("nfa",),
    "escalation": ("nfa", "second_referral", "prior_start", "short_breaks"),
    "kinship": ("placements", "legacy_until", "exits", "legal"),
    "icpc": ("within", "source", "censor"),
    "nfa_share": ("nfa",),
    "rereferral_all": (),
}
_WORDS: Mapping[str, Sequence[str]] = {
    "nfa": ("wide", "flag"),
    "second_referral": ("last", "first"),
    "prior_start": ("drop", "keep"),
    "legal": ("care_orders", "all"),
    "within": ("fewer_than", "at_most"),
    "source": ("s47", "either"),
}


def _locate(path_or_id: str | Path) -> Path:
    folder = ROOT / "data" / "study"
    named = folder / f"{path_or_id}.toml"
    if named.is_file():
        return named
    path = Path(path_or_id)
    if path.is_file():
        return path
    known = sorted(p.stem for p in folder.glob("*.toml"))
    raise StudyError(
        f"no study {str(path_or_id)!r}: give a path to a TOML file, or one of {listed(known)} "
        f"from data/study.{nearest(path_or_id, known)}"
    )


def _code(section: Section, key: str) -> str:
    code = section.text(key)
    if not re.fullmatch(r"\d{3}", code):
        section.refuse(key, code, "a code of three digits in quotes, such as '004'")
    return code


def _authority(s: Section) -> Authority:
    history = s.sections(
        "ofsted", ("date", "rating"), lambda r: (r.day("date"), r.text("rating", RATINGS))
    )
    days = [day for day, _ in history]
    for i in range(1, len(days)):
        if days[i] <= days[i - 1]:
            s.fail(f"ofsted[{i}].date", f"found {days[i]}; expected a date after {days[i - 1]}.")
    return Authority(
        code=_code(s, "code"),
        name=s.text("name"),
        ofsted=history,
        practice_model=s.text("practice_model", PRACTICE_MODELS),
    )


def _pilot(s: Section) -> Pilot:
    chosen = s.section("comparators", GROUPS)
    return Pilot(
        id=s.text("id"),
        la=_code(s, "la"),
        waves=s.wholes("waves", (1, 2)),
        embedding_start=s.day("embedding_start"),
        embedding_end=s.day("embedding_end"),
        delivery_score=s.number("delivery_score", 0, 1),
        comparators=Frozen({g: chosen.texts(g, most=2) for g in GROUPS if g in chosen.data}),
    )


def _outcome(s: Section) -> Outcome:
    name = s.text("name", OUTCOMES)
    unit = s.text("unit", tuple(_UNITS))
    scale = s.whole("scale", 1)
    if scale != _UNITS[unit]:
        s.refuse("scale", scale, f"{_UNITS[unit]} where the unit is {unit!r}")
    definitions = s.section("definitions", DEFINITIONS)
    late = "exclude_embedded_from"
    return Outcome(
        name=name,
        label=s.text("label"),
        short_label=s.text("short_label"),
        chapter=s.text("chapter", CHAPTERS),
        group=s.text("group", GROUPS),
        unit=unit,
        scale=scale,
        minimum_important_difference=s.number(
            "minimum_important_difference", 0, 100, open_low=True
        ),
        mid_reason=s.text("mid_reason"),
        window_days=s.whole("window_days", 0, 3660),
        censor_days=s.whole("censor_days", 0, 3660),
        censor_date=s.day("censor_date"),
        pre_rule=s.text("pre_rule", ("window_end", "event_end")),
        first_year=s.whole("first_year", 1990, 2100),
        excluded_pilots=s.texts("excluded_pilots"),
        exclude_embedded_from=s.day(late) if late in s.data else None,
        elevated_risk=s.flag("elevated_risk"),
        covariates=s.texts("covariates", COVARIATES),
        definitions=Frozen(
            {d: _options(definitions.section(d, _OPTIONS[name]), name) for d in DEFINITIONS}
        ),
    )


def _options(s: Section, outcome: str) -> Mapping[str, Any]:
    return Frozen({key: _option(s, key) for key in _OPTIONS[outcome]})


def _option(s: Section, key: str) -> Any:
    if key in _WORDS:
        return s.text(key, _WORDS[key])
    if key in ("short_breaks", "censor"):
        return s.flag(key)
    if key == "legacy_until":
        return s.day(key)
    if key == "placements":
        return s.texts(key, KINSHIP_PLACEMENTS)
    if key == "exits":
        return s.texts(key, KINSHIP_EXITS)
    if key == "beyond":
        return s.whole(key, 0, 365)
    # trim: working days above which an assessment is dropped, or a word.
    expected = "a whole number of working days above 0, or 'fence', or 'none'"
    value = s.raw(key, expected)
    if value in ("fence", "none"):
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        s.refuse(key, value, expected)
    return int(value)


def _completeness(s: Section) -> CompletenessRules:
    return CompletenessRules(
        enquiries_answered=s.number("enquiries_answered", 0, 1),
        recorded_in_section47=s.number("recorded_in_section47", 0, 1),
        own_rate=s.number("own_rate", 0, 1),
        fewest=s.whole("fewest", 1, 10_000),
        reason=s.text("reason"),
    )


def _disclosure(s: Section, names: tuple[str, ...]) -> DisclosureRules:
    limits = {
        "dominant_authorities": (1, 2),
        "dominant_share": (50, 100),
        "p_percent": (0, 100),
        "residual_dof": (1, 1000),
    }
    # Rules of common practice hold where a study file says nothing.
    given = {key: s.whole(key, *span) for key, span in limits.items() if key in s.data}
    return DisclosureRules(
        threshold=s.whole("threshold", 1, 1000),
        rounding_base=s.whole("rounding_base", 1, 1000),
        minimum_authorities=s.whole("minimum_authorities", 1, 200),
        source=s.text("source"),
        names=names,
        **given,  # type: ignore[arg-type]
    )


def _inference(s: Section) -> InferenceRules:
    return InferenceRules(
        draws=s.whole("draws", 99, 1_000_000),
        seed=s.whole("seed", 0, 2**63 - 1),
        level=s.number("level", 0.5, 0.999),
        matched_primary=s.text("matched_primary", PROCEDURES),
        matched_secondary=s.text("matched_secondary", PROCEDURES),
        unmatched_primary=s.text("unmatched_primary", PROCEDURES),
        unmatched_secondary=s.text("unmatched_secondary", PROCEDURES),
    )


def _synthetic(s: Section) -> SyntheticSettings:
    return SyntheticSettings(
        authorities=s.whole("authorities", 10, MOST_MADE_UP),
        seed=s.whole("seed", 0, 2**63 - 1),
        shock_rho=by_outcome(s, "shock_rho", 0, 0.999, 1),
        shock_sd=by_outcome(s, "shock_sd", 0, 50, 0.01),
    )


def _unique(top: Section, table: str, key: str, values: Sequence[str]) -> None:
    for i, value in enumerate(values):
        first = values.index(value)
        if first < i:
            path = f"{table}[{i}].{key}"
            top.fail(path, f"{value!r} is already in {table}[{first}]; each may occur once.")


def _check_pilots(
    top: Section,
    pilots: Sequence[Pilot],
    authorities: Sequence[Authority],
    start: date,
    end: date,
) -> None:
    if not pilots:
        top.fail("pilots", "found none; expected at least one [[pilots]] table.")
    _unique(top, "pilots", "id", [p.id for p in pilots])
    _unique(top, "pilots", "la", [p.la for p in pilots])
    codes = [a.code for a in authorities]
    own = {p.la for p in pilots}
    for i, p in enumerate(pilots):
        here = f"pilots[{i}]"
        if p.la not in codes:
            top.fail(f"{here}.la", f"{p.la!r} has no entry in [[authorities]]; add one.")
        for key in ("embedding_start", "embedding_end"):
            day = getattr(p, key)
            if not start < day < end:
                top.fail(f"{here}.{key}", f"found {day}; expected between {start} and {end}.")
        if p.embedding_start >= p.embedding_end:
            top.fail(
                f"{here}.embedding_end",
                f"found {p.embedding_end}; expected after embedding_start ({p.embedding_start}).",
            )
        for group, chosen in p.comparators.items():
            for j, code in enumerate(chosen):
                path = f"{here}.comparators.{group}[{j}]"
                if code in own:
                    top.fail(path, f"{code!r} is a pilot and cannot be a comparator.")
                if code not in codes:
                    allowed = listed(c for c in codes if c not in own)
                    top.fail(path, f"{code!r} has no entry in [[authorities]]; known: {allowed}.")


def _check_outcomes(
    top: Section, outcomes: Sequence[Outcome], pilots: Sequence[Pilot], start: date, end: date
) -> None:
    names = [o.name for o in outcomes]
    _unique(top, "outcomes", "name", names)
    missing = [o for o in OUTCOMES if o not in names]
    if missing:
        top.fail("outcomes", f"no entry for {listed(missing)}; all of {listed(OUTCOMES)} needed.")
    ids = [p.id for p in pilots]
    for i, o in enumerate(outcomes):
        for j, pilot in enumerate(o.excluded_pilots):
            if pilot not in ids:
                path = f"outcomes[{i}].excluded_pilots[{j}]"
                top.fail(path, f"found {pilot!r}; expected one of {listed(ids)}.")
        if not start < o.censor_date <= end:
            path = f"outcomes[{i}].censor_date"
            top.fail(path, f"found {o.censor_date}; expected after {start}, at the latest {end}.")
        if not start.year < o.first_year <= end.year:
            path = f"outcomes[{i}].first_year"
            top.fail(path, f"found {o.first_year}; expected from {start.year + 1} to {end.year}.")


def _check_made_up(
    top: Section, authorities: Sequence[Authority], settings: SyntheticSettings
) -> None:
    """Made-up authorities must be out of the range of real codes and say that they are made up."""
    for i, a in enumerate(authorities):
        if not 1 <= int(a.code) <= settings.authorities:
            top.fail(
                f"authorities[{i}].code",
                f"found {a.code!r}; a synthetic study uses '001' to '{settings.authorities:03d}', "
                f"because real authorities have codes from {FIRST_REAL_CODE}.",
            )
        if not a.name.endswith(" (made up)"):
            top.fail(
                f"authorities[{i}].name",
                f"found {a.name!r}; in a synthetic study every name must end in ' (made up)'.",
            )
