"""What if? Every combination of choices as a result, for the page on which readers choose.

Two results, never mixed: `public` (real statistics) and `example` (the records at hand: made up, or
restricted). A table for each outcome holds one row a way; the page's numbers are read from these
tables (`pipeline.explore_payload`), so nothing is shown that has not passed the guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from sos_analysis import companion
from sos_analysis.chapters.curve_figure import CHOICE_WORDS, known
from sos_analysis.chapters.kept_curve import OUTCOMES, kept_curve
from sos_analysis.chapters.ledger import Ledger
from sos_analysis.chapters.public_tables import DOF, SOURCE, heading
from sos_analysis.chapters.words import OUTCOME_WORDS
from sos_analysis.companion.grid import MAIN_WAY, Grid, GridPoint, grid_for, is_main
from sos_analysis.disclosure import ALREADY_PUBLISHED, Column, SafeTable, safe_table
from sos_analysis.estimation.specifications import Curve
from sos_analysis.records.public import PublicOutcome, public_sources
from sos_analysis.results import ChapterResult, code_hash, content_hash
from sos_analysis.study import Study, load_study
from sos_analysis.study.universe import Universe, load_universe
from sos_analysis.workspace import extract_folder, extract_hash, truth

PUBLIC, EXAMPLE = "explore_public", "explore_example"


@dataclass(frozen=True)
class Choice:
    """One thing a reader can choose: `answers` maps each id to its words, the main one first."""

    label: str
    answers: Mapping[str, str]


#: Choices of the public companion, in the order of the page.
PUBLIC_CHOICES: Mapping[str, Choice] = MappingProxyType(
    {
        "wave": Choice(
            "Wave of pilots", {"2": "Second wave, from 2017", "1": "First wave, from 2014"}
        ),
        "comparators": Choice(
            "Compared with",
            {
                "all others": "All authorities not in this wave",
                "never funded": "Authorities in neither wave",
                "statistical neighbours": "Statistical neighbours, set of 2021",
                "statistical neighbours 2025": "Statistical neighbours, set of 2025",
                "Signs of Safety not named": "Authorities whose Ofsted reports do not name it",
            },
        ),
        "weights": Choice(
            "Each authority counts",
            {"equal": "The same", "denominator": "By size (referrals or children)"},
        ),
        "years": Choice(
            "Years",
            {
                "own": "The wave's own years",
                "transition left out": "Without the year of transition",
                "to the latest": "To the latest year published",
            },
        ),
        "pilots": Choice(
            "Pilots", {"all": "All pilots of the wave", "both waves": "Those in both waves alone"}
        ),
    }
)
#: Choices of the declared universe, in the words of the chapter on robustness.
EXAMPLE_CHOICES: Mapping[str, Choice] = MappingProxyType(
    {
        key: Choice(CHOICE_WORDS[key][0], CHOICE_WORDS[key][1])
        for key in ("definition", "comparators", "effects", "covariates", "weights",
                    "embedding", "window", "period")
    }
)  # fmt: skip
CHOICES: Mapping[str, Mapping[str, Choice]] = MappingProxyType(
    {PUBLIC: PUBLIC_CHOICES, EXAMPLE: EXAMPLE_CHOICES}
)


# --- public statistics ------------------------------------------------------------------------


def foundation(name: str) -> dict[str, str]:
    """What one of the two results rests on besides its data: what is declared, and code."""
    if name == EXAMPLE:
        return {"universe": load_universe().hash[:12], "code": code_hash("explore")}
    declared = [repr(part) for part in (*companion.DESIGNS, *public_sources().outcomes)]
    return {"study": content_hash(declared), "code": code_hash("explore")}


def public(public_data: str = "") -> ChapterResult:
    """All ways to compare pilots with others on public statistics."""
    return public_result(grid_for(public_data or None), public_data)


def public_result(found: Grid, public_data: str = "") -> ChapterResult:
    """The result that shows a grid."""
    outcomes = [
        o for o in public_sources().outcomes if any(p.outcome == o.id for p in found.points)
    ]
    hashes = {**foundation(PUBLIC), "data": found.data_hash[:12]}
    ledger = Ledger(
        PUBLIC,
        PUBLIC,
        origin="public",
        source="sos_analysis.companion.grid",
        hashes=hashes,
        note=public_sources().attribution,
    )
    for o in outcomes:
        mid = o.minimum_important_difference
        ledger.claim(f"{o.short}.mid", mid, o.unit, decimals=1, origin="design")
    ledger.claim("ways", len(found.points), "ways")
    ledger.claim("outcomes", len(outcomes), "figures", origin="design")
    return ChapterResult(
        name=PUBLIC,
        title="Every way to compare, on public statistics",
        origin="public",
        parameters={"public_data": public_data, "named": {"main": dict(MAIN_WAY)}},
        claims=ledger.claims,
        tables={
            "main": _public_main(found, outcomes),
            **{f"grid_{o.short}": _public_grid(found, o) for o in outcomes},
        },
        hashes=hashes,
        notes={"provenance": found.source, "data hash": found.data_hash},
    )


_PUBLIC_NUMBERS: Mapping[str, Column] = MappingProxyType(
    {
        "value": Column("Difference", "", 1, signed=True),
        "low": Column("95% from", "", 1, signed=True),
        "high": Column("95% to", "", 1, signed=True),
        "p": Column("p, bootstrap", "p", 3),
        "p2": Column("p, permutation", "p", 3),
    }
)
_public_table = partial(
    safe_table,
    source=SOURCE,
    origin="public",
    rules=ALREADY_PUBLISHED,
    estimates=tuple(_PUBLIC_NUMBERS),
    residual_dof=DOF,
)


def _numbers(p: GridPoint) -> dict[str, float]:
    return {"value": p.att, "low": p.low, "high": p.high, "p": p.p_primary, "p2": p.p_secondary}


def _public_grid(found: Grid, outcome: PublicOutcome) -> SafeTable:
    rows = [
        {
            **{key: c.answers[getattr(p, key)] for key, c in PUBLIC_CHOICES.items()},
            **_numbers(p),
            "pilots_count": p.pilots_count,
            "authorities": p.authorities,
            "first": p.first,
            "last": p.last,
        }
        for p in found.points
        if p.outcome == outcome.id
    ]
    return _public_table(
        [known(row) for row in rows],
        columns={
            **{key: Column(c.label) for key, c in PUBLIC_CHOICES.items()},
            **_PUBLIC_NUMBERS,
            "pilots_count": Column("Pilots in it"),
            "authorities": Column("Authorities in all"),
            "first": Column("First year"),
            "last": Column("Last year"),
        },
        category_columns=("pilots_count", "authorities", "first", "last"),
        title=f"{outcome.label}: every way to compare",
        caption=f"Pilots against other authorities, after less before, {outcome.unit} "
        f"{outcome.of}. Interval and first p by the wild cluster bootstrap (WCR-31), second p by "
        "permuting authorities.",
    )


def _public_main(found: Grid, outcomes: list[PublicOutcome]) -> SafeTable:
    rows = [
        {
            "outcome": f"{o.short_label}, {o.unit} {o.of}",
            "wave": PUBLIC_CHOICES["wave"].answers[p.wave],
            **_numbers(p),
        }
        for o in outcomes
        for p in found.points
        if p.outcome == o.id and is_main(p.way)
    ]
    return _public_table(
        rows,
        columns={"outcome": Column("Figure"), "wave": Column("Wave"), **_PUBLIC_NUMBERS},
        title="The report's main way for each figure and wave",
        caption="Pilots against all other authorities, each counted the same, after less before. "
        "A plus means higher in pilots.",
    )


# --- the records at hand ----------------------------------------------------------------------


def example(study_id: str = "synthetic", extract: str = "") -> ChapterResult:
    """All declared ways to run each outcome on the records of a study."""
    study, universe = load_study(study_id), load_universe()
    seed = study.inference.seed
    curves = {
        name: kept_curve(study, name, extract or None, universe, seed=seed) for name in OUTCOMES
    }
    hashes = {
        **foundation(EXAMPLE),
        "study": study.short_hash,
        "data": extract_hash(extract_folder(study, extract or None))[:12],
    }
    return example_result(study, universe, curves, truth(study, extract or None), hashes, extract)


def example_result(
    study: Study,
    universe: Universe,
    curves: Mapping[str, Curve],
    true: Mapping[tuple[str, str], float],
    hashes: Mapping[str, str],
    extract: str = "",
) -> ChapterResult:
    """The result that shows the curves of a study's outcomes."""
    ledger = Ledger(
        EXAMPLE,
        EXAMPLE,
        origin=study.origin,
        source="sos_analysis.estimation.specifications.curve",
        hashes=hashes,
    )
    for name in curves:
        o, decimals = study.outcome(name), _decimals(study, name)
        mid = o.minimum_important_difference
        ledger.claim(f"{name}.mid", mid, o.unit, decimals=decimals, origin="design")
        for definition in universe.answers["definition"]:
            if (name, definition) in true:
                ledger.claim(
                    f"{name}.truth_{definition}",
                    o.scale * true[name, definition],
                    o.unit,
                    decimals=decimals,
                    source="stored potential outcomes of the made-up records",
                )
    ledger.claim("ways", sum(len(c.ways) for c in curves.values()), "ways")
    ledger.claim("outcomes", len(curves), "outcomes", origin="design")
    ledger.claim("draws", universe.draws, origin="design")
    return ChapterResult(
        name=EXAMPLE,
        title="Every declared way to run the analysis",
        origin=study.origin,
        parameters={
            "study": study.id,
            "extract": extract,
            "named": {label: dict(way) for label, way in universe.named.items()},
        },
        claims=ledger.claims,
        tables={
            "main": _example_main(study, universe, curves),
            **{f"grid_{name}": _example_grid(study, name, c) for name, c in curves.items()},
        },
        hashes=dict(hashes),
    )


def _decimals(study: Study, name: str) -> int:
    """As in the chapter on robustness."""
    outcome = study.outcome(name)
    days = outcome.unit == "working days"
    return 1 if days or outcome.minimum_important_difference >= 2 else 2


def _source(study: Study) -> str:
    if study.origin == "synthetic":
        return "Synthetic extract of this project"
    return "Individual records held by the Department for Education"


def _columns(decimals: int) -> dict[str, Column]:
    return {
        "value": Column("Difference", "", decimals, signed=True),
        "low": Column("95% from", "", decimals, signed=True),
        "high": Column("95% to", "", decimals, signed=True),
        "p": Column("p, permutation", "p", 3),
    }


def _row(study: Study, name: str, curve: Curve, i: int) -> dict[str, Any]:
    scale = study.outcome(name).scale
    return known(
        {
            "value": scale * float(curve.estimate[i]),
            "low": scale * float(curve.low[i]),
            "high": scale * float(curve.high[i]),
            "p": float(curve.p[i]),
            "dof": int(curve.clusters[i]) - 1,
        }
    )


def _example_grid(study: Study, name: str, curve: Curve) -> SafeTable:
    outcome = study.outcome(name)
    rows = [
        {
            **{key: c.answers[way[key]] for key, c in EXAMPLE_CHOICES.items()},
            **_row(study, name, curve, i),
        }
        for i, way in enumerate(curve.ways)
    ]
    numbers = _columns(_decimals(study, name))
    lead = "Worked example: " if study.origin == "synthetic" else ""
    return safe_table(
        rows,
        columns={**{key: Column(c.label) for key, c in EXAMPLE_CHOICES.items()}, **numbers},
        estimates=tuple(numbers),
        residual_dof_column="dof",
        title=f"{lead}{outcome.label}: every declared way",
        caption=f"Difference in {OUTCOME_WORDS[name].noun}, {outcome.unit}. Interval and p by "
        f"permuting authorities, {curve.draws} times.",
        source=_source(study),
        origin=study.origin,
        rules=study.disclosure,
    )


def _example_main(study: Study, universe: Universe, curves: Mapping[str, Curve]) -> SafeTable:
    words = {"preferred": "Preferred", "original": "The original's"}
    rows = []
    for name, curve in curves.items():
        for label, text in words.items():
            here = curve.where(**universe.named[label]).nonzero()[0]
            if len(here):
                row = _row(study, name, curve, int(here[0]))
                outcome = study.outcome(name)
                rows.append(
                    {"outcome": f"{outcome.short_label}, {outcome.unit}", "way": text, **row}
                )
    numbers = _columns(2)
    lead = "Worked example: the" if study.origin == "synthetic" else "The"
    return safe_table(
        rows,
        columns={"outcome": Column("Outcome"), "way": Column("Way"), **numbers},
        estimates=tuple(numbers),
        residual_dof_column="dof",
        title=f"{lead} two ways named in advance",
        caption="Difference between pilots and comparators. Interval and p by permuting "
        "authorities, on means of places, so an estimate can differ a little from its chapter's.",
        source=_source(study),
        origin=study.origin,
        rules=study.disclosure,
    )


def outcome_label(result: ChapterResult, table: str) -> str:
    """The outcome's name in the title of its grid."""
    title = result.tables[table].title.removeprefix("Worked example: ")
    return heading(title.rpartition(":")[0])
