"""One function a chapter: it composes the rooms of the package into a `ChapterResult`.

``chapter(name, **parameters)`` is what notebooks call. It checks the parameters (Papermill does
not), gives back the stored result where study, data, code and parameters are the same, and
computes it otherwise. It never writes: only the build stores results.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sos_analysis.errors import ClaimError, DisclosureError, ParameterError

if TYPE_CHECKING:
    from pathlib import Path

    from sos_analysis.results import ChapterResult


class Parameter(NamedTuple):
    """Type, default, help, and the values allowed ('' : any)."""

    type: type
    default: Any
    help: str
    allowed: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ChapterSpec:
    """What a chapter is called, takes and needs.

    Attributes
    ----------
    outcomes : outcomes whose cells it needs; none for the public companion.
    room : module in this package with a function ``compute(spec, parameters)`` and one
        ``data_hash(parameters)``.
    """

    name: str
    title: str
    question: str
    outcomes: tuple[str, ...]
    room: str
    parameters: Mapping[str, Parameter]


_DRAWS = Parameter(int, 0, "draws of both tests; 0 takes the study file's")
_SEED = Parameter(int, 0, "seed of all draws; 0 takes the study file's")
_PUBLIC = Parameter(str, "", "folder of the public statistics; empty: data/public or released")
_QUESTION = {
    "study": Parameter(str, "synthetic", "id of a study in data/study, or path of a study file"),
    "extract": Parameter(str, "", "folder of the records; empty: the study's own made-up extract"),
    "definition": Parameter(
        str, "original", "definition of the outcome that leads", ("original", "strict")
    ),
    "cem": Parameter(bool, True, "match children exactly on coarse characteristics"),
    "covariates": Parameter(bool, True, "adjust for characteristics of the child"),
    "draws": _DRAWS,
    "seed": _SEED,
    "public_data": _PUBLIC,
}
_SECONDARY = {k: v for k, v in _QUESTION.items() if k != "public_data"}
_SHARES = {
    "same_share": Parameter(
        float, 1.0, "exposure of comparators with the same model; a pilot's is one"
    ),
    "partial_share": Parameter(float, 0.5, "exposure of comparators with parts of it"),
    "counts_from_year": Parameter(
        int,
        0,
        "first year of comparators' use; 0: as planted, or from embedding",
        (0, *range(2009, 2020)),
    ),
}
_COMPANION = {
    "public_data": Parameter(
        str, "", "folder or ZIP of the public statistics; empty: data/public or released"
    ),
    "outcome": Parameter(
        str,
        "",
        "figure that leads the page; empty: re-referrals",
        (
            "",
            "rereferral_percent",
            "no_further_action_percent",
            "not_in_need_percent",
            "within_45_days_percent",
            "section_47_rate",
            "icpc_rate",
            "icpc_per_referral",
            "cpp_start_rate",
            "looked_after_rate",
        ),
    ),
    "wave": Parameter(int, 2, "wave that leads, and that the years below are for", (1, 2)),
    "comparators": Parameter(
        str,
        "all others",
        "who pilots are compared with",
        (
            "all others",
            "never funded",
            "statistical neighbours",
            "statistical neighbours 2025",
            "Signs of Safety not named",
        ),
    ),
    "weights": Parameter(
        str, "equal", "authorities count the same, or by size", ("equal", "denominator")
    ),
    "boundaries": Parameter(
        str, "as coded", "reorganised authorities, as coded or joined", ("as coded", "joined")
    ),
    "transition": Parameter(str, "after", "the year in which a wave began", ("after", "left out")),
    "first_year": Parameter(
        int, 0, "first year, by its end (31 March); 0: the wave's own", (*range(2013, 2018), 0)
    ),
    "last_year": Parameter(
        int, 0, "last year, by its end; 0: the wave's own", (*range(2015, 2026), 0)
    ),
    "post_from": Parameter(
        int, 0, "first year that counts as after; 0: the wave's own", (*range(2014, 2021), 0)
    ),
    "draws": Parameter(int, 0, "draws of both tests; 0: the report's own"),
    "seed": Parameter(int, 0, "seed of all draws; 0: the report's own"),
}

_VALIDATION = {
    "study": _QUESTION["study"],
    "extract": _QUESTION["extract"],
    "runs": Parameter(
        int, 0, "data sets for each setting; 0 takes the released results where they fit, else 200"
    ),
    "draws": Parameter(int, 0, "draws of each test; 0 takes 399"),
    "seed": _SEED,
}


def _question(
    name: str, title: str, question: str, *outcomes: str, room: str = "question"
) -> tuple[str, ChapterSpec]:
    return name, ChapterSpec(name, title, question, outcomes, room, _QUESTION)


def _secondary(
    name: str,
    title: str,
    question: str,
    room: str,
    more: Mapping[str, Parameter] | None = None,
) -> tuple[str, ChapterSpec]:
    outcomes = ("duration", "rereferral", "escalation", "kinship", "icpc")
    return name, ChapterSpec(name, title, question, outcomes, room, {**_SECONDARY, **(more or {})})


CHAPTERS: Mapping[str, ChapterSpec] = dict(
    [
        _question(
            "rq1_assessment_duration",
            "Length of assessments",
            "Does Signs of Safety change how long assessments take?",
            "duration",
        ),
        _question(
            "rq2_rereferral_after_nfa",
            "Re-referral after 'no further action'",
            "Does Signs of Safety change how often children are referred again within six months "
            "after 'no further action'?",
            *("rereferral", "nfa_share", "rereferral_all"),
        ),
        _question(
            "rq3_escalation_on_rereferral",
            "Re-referral that escalates",
            "Does Signs of Safety change how often a re-referral leads to a protection plan or to "
            "care?",
            *("escalation", "nfa_share"),
        ),
        _question(
            "rq4_kinship_care",
            "Kinship care",
            "Does Signs of Safety change how often children in care live with relatives or "
            "friends?",
            "kinship",
        ),
        _question(
            "addendum_icpc",
            "Addendum: initial child protection conferences",
            "Does Signs of Safety change how often a referral leads to an initial child protection "
            "conference?",
            "icpc",
            room="icpc",
        ),
        _secondary(
            "subgroup_ofsted_rating",
            "By Ofsted rating",
            "Does the effect differ between authorities that Ofsted had rated better or worse?",
            "by_rating",
        ),
        _secondary(
            "subgroup_embeddedness",
            "By how well it was embedded",
            "Does the effect differ with how well the approach was embedded and delivered?",
            "by_embeddedness",
        ),
        _secondary(
            "comparator_practice_models",
            "Similar practice models elsewhere",
            "Does the effect change once comparators' use of similar models is allowed for?",
            "practice_models",
            _SHARES,
        ),
        (
            "robustness",
            ChapterSpec(
                "robustness",
                "Do the conclusions hold?",
                "Which conclusions move when the choices behind them move?",
                ("duration", "rereferral", "escalation", "kinship", "icpc"),
                "robustness",
                {key: p for key, p in _QUESTION.items() if key != "public_data"},
            ),
        ),
        (
            "method_validation",
            ChapterSpec(
                "method_validation",
                "Does the method recover the truth?",
                "Which methods find the truth where it is known, and when does each of them fail?",
                ("rereferral", "kinship"),
                "validation",
                _VALIDATION,
            ),
        ),
        (
            "public_statistics",
            ChapterSpec(
                "public_statistics",
                "What public statistics say",
                "What do published figures of authorities show around each wave of pilots?",
                (),
                "public",
                _COMPANION,
            ),
        ),
    ]
)


def chapter(name: str, **parameters: Any) -> ChapterResult:
    """The result of a chapter: stored where nothing differs, else computed.

    Parameters
    ----------
    name : one of `CHAPTERS`.
    **parameters : those of its `ChapterSpec`; what is left out takes its default.

    Raises
    ------
    ParameterError : an unknown chapter or parameter, a wrong type or a value that is not allowed;
        names what is allowed.
    SosError : the study, the records or the public files cannot be used; says why.
    """
    spec = _spec(name)
    chosen = checked(spec, {**_injected(), **parameters})
    return stored(spec, chosen) or compute(spec, chosen)


def _injected() -> dict[str, Any]:
    """What Papermill set in this notebook: it passes a misspelt name on with a mere warning."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    space: Mapping[str, Any] = shell.user_ns if shell else {}
    for cell in space.get("In", ()):
        if cell.startswith("# Parameters\n"):
            lines = [line for line in ast.parse(cell).body if isinstance(line, ast.Assign)]
            names = [t.id for line in lines for t in line.targets if isinstance(t, ast.Name)]
            return {name: space[name] for name in names if name in space}
    return {}


def compute(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult:
    """The result of a chapter, computed, whatever is stored."""
    made: ChapterResult = _room(spec).compute(spec, chosen)
    return made


def current_hashes(name: str, chosen: Mapping[str, Any]) -> Mapping[str, str]:
    """What a chapter's result would rest on, were it computed now."""
    found: Mapping[str, str] = _room(_spec(name)).hashes(_spec(name), chosen)
    return found


def facts(study: str = "synthetic") -> ChapterResult:
    """Published findings, facts about the programme and design quantities, as claims."""
    return _result(_load("reference").facts(study))


def england(study: str = "synthetic", extract: str = "") -> ChapterResult:
    """The made-up England measured against published figures."""
    return _result(_load("england").england(study, extract))


def explore_public(public_data: str = "") -> ChapterResult:
    """Every way to compare, on public statistics."""
    return _result(_load("explore").public(public_data))


def explore_example(study: str = "synthetic", extract: str = "") -> ChapterResult:
    """Every declared way to run the analysis on the records of a study."""
    return _result(_load("explore").example(study, extract))


def curves(
    study: str, extract: str, outcomes: Sequence[str], progress: Callable[[str], None]
) -> list[Path]:
    """Make the specification curves of outcomes and keep them; gives their files."""
    made: list[Path] = _load("kept_curve").keep_curves(study, extract, outcomes, progress=progress)
    return made


def checked(spec: ChapterSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a chapter, those given checked, the others at their defaults."""
    for name, value in given.items():
        if name not in spec.parameters:
            near = difflib.get_close_matches(name, spec.parameters, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ParameterError(
                f"{spec.name} has no parameter {name!r}{hint}; it has: {', '.join(spec.parameters)}"
            )
        wanted = spec.parameters[name]
        # bool is an int to Python, not to a reader who typed True where a number belongs.
        if type(value) is not wanted.type:
            raise ParameterError(
                f"{spec.name}: parameter {name} must be {wanted.type.__name__} ({wanted.help}), "
                f"not {value!r} ({type(value).__name__})"
            )
        if wanted.allowed and value not in wanted.allowed:
            raise ParameterError(
                f"{spec.name}: parameter {name} is {value!r}; allowed: "
                f"{', '.join(map(str, wanted.allowed))}"
            )
        if name == "draws" and value != 0 and int(str(value)) < 99:
            raise ParameterError(
                f"{spec.name}: parameter draws is {value}; give at least 99, or p-values mean "
                "nothing"
            )
        if name == "runs" and int(str(value)) not in (0, *range(20, 100_001)):
            raise ParameterError(
                f"{spec.name}: parameter runs is {value}; give 0, or 20 to 100,000 data sets"
            )
        if name == "seed" and int(str(value)) < 0:
            raise ParameterError(f"{spec.name}: parameter seed is {value}; give 0 or more")
    return {name: given.get(name, spec.parameters[name].default) for name in spec.parameters}


def _spec(name: str) -> ChapterSpec:
    if name not in CHAPTERS:
        near = difflib.get_close_matches(name, CHAPTERS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ParameterError(
            f"there is no chapter {name!r}{hint}; the chapters are: {', '.join(CHAPTERS)}"
        )
    return CHAPTERS[name]


def _room(spec: ChapterSpec) -> Any:
    return _load(spec.room)


def _load(room: str) -> Any:
    # By its name: were all rooms imported here, each would rest on the code of every other. What
    # rests on a room's code names the room itself (`code_hash`), so that none is left out.
    return importlib.import_module(f"{__name__}.{room}")


def _result(made: ChapterResult) -> ChapterResult:
    return made


def stored(spec: ChapterSpec, chosen: Mapping[str, Any]) -> ChapterResult | None:
    """The stored result, if study, data, code and parameters are those asked for."""
    from sos_analysis.results import ChapterResult, without_places
    from sos_analysis.workspace import RELEASED_MARK, RESULTS

    path = RESULTS / f"{spec.name}.json"
    if not path.is_file():
        return None
    try:
        found = ChapterResult.load(path)
    except (ClaimError, DisclosureError):
        return None  # of another version of this code
    asked = without_places(chosen)
    if (RESULTS / RELEASED_MARK).is_file():
        # Results of a release: their records are elsewhere, so where they lie does not count.
        elsewhere = ("study", "extract", "public_data")
        alike = all(v == asked.get(k) for k, v in found.parameters.items() if k not in elsewhere)
        return found if alike else None
    same = dict(found.parameters) == asked and dict(found.hashes) == _room(spec).hashes(
        spec, chosen
    )
    return found if same else None
