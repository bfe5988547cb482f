"""What a study is: pilots, comparators, outcomes and rules as frozen, typed values.

`sos_analysis.study` reads and checks them; import from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from sos_analysis.errors import StudyError
from sos_analysis.study.reading import Frozen, listed, nearest

OUTCOMES = (
    "duration",
    "rereferral",
    "escalation",
    "kinship",
    "icpc",
    "nfa_share",
    "rereferral_all",
)
GROUPS = ("duration", "referrals", "kinship", "icpc")
DEFINITIONS = ("original", "strict")
RATINGS = ("inadequate", "requires improvement", "good", "outstanding")
PRACTICE_MODELS = ("none", "partial", "same")
PROCEDURES = ("slot permutation", "WCR-31", "WCR-11", "RI-t", "CRV3")
CHAPTERS = (
    "rq1_assessment_duration",
    "rq2_rereferral_after_nfa",
    "rq3_escalation_on_rereferral",
    "rq4_kinship_care",
    "addendum_icpc",
)
COVARIATES = (
    "sex",
    "age_band",
    "ethnicity",
    "school_phase",
    "disabled",
    "low_income",
    "previous_cpp",
    "uasc",
)
# Used to match children, not to adjust the regression, as in the original.
MATCHING_ONLY = ("previous_cpp", "uasc")
# Codes of relative-or-friend placements, own parents, and the exits the original also counted.
KINSHIP_PLACEMENTS = ("Q1", "U1", "U2", "U3", "F1", "F4", "P1")
KINSHIP_EXITS = ("E43", "E44", "E45", "E47", "E13", "E4A", "E4")


@dataclass(frozen=True)
class Pilot:
    """A pilot authority and its matched comparators.

    ``embedding_start`` is the implementation date, ``embedding_end`` the day from which the model
    counts as fully embedded; events between the two belong to neither phase. ``comparators`` maps
    each comparator group to at most two LA codes; a missing or empty group drops the pilot there.
    ``delivery_score`` runs from 0 (poor) to 1 (as intended).
    """

    id: str
    la: str
    waves: tuple[int, ...]
    embedding_start: date
    embedding_end: date
    delivery_score: float
    comparators: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Authority:
    """A local authority: code, name, dated Ofsted judgements, exposure to the practice model."""

    code: str
    name: str
    ofsted: tuple[tuple[date, str], ...]
    practice_model: str

    def ofsted_at(self, day: date) -> str | None:
        """Latest judgement published on or before `day`; None before the first."""
        found: str | None = None
        for published, rating in self.ofsted:
            if published <= day:
                found = rating
        return found


@dataclass(frozen=True)
class Outcome:
    """How one outcome is defined, windowed, censored and shown.

    ``minimum_important_difference`` is in display units (working days, or per 100 events);
    ``scale`` turns the internal unit (days, or proportions from 0 to 1) into those. ``covariates``
    are matched on; ``first_year`` is a fiscal year named by its end.
    """

    name: str
    label: str
    short_label: str
    chapter: str
    group: str
    unit: str
    scale: int
    minimum_important_difference: float
    mid_reason: str
    window_days: int
    censor_days: int
    censor_date: date
    pre_rule: str
    first_year: int
    excluded_pilots: tuple[str, ...]
    exclude_embedded_from: date | None
    elevated_risk: bool
    covariates: tuple[str, ...]
    definitions: Mapping[str, Mapping[str, Any]]

    @property
    def cell_covariates(self) -> tuple[str, ...]:
        """All covariates that cells must carry for this outcome."""
        return (*self.covariates, "elevated_risk") if self.elevated_risk else self.covariates

    @property
    def model_covariates(self) -> tuple[str, ...]:
        """Covariates of the regression: those of the cells less the ones only matched on."""
        return tuple(c for c in self.cell_covariates if c not in MATCHING_ONLY)


@dataclass(frozen=True)
class Group:
    """A matched group: one pilot, its comparators and the embedding dates they all take."""

    id: str
    pilot: str
    comparators: tuple[str, ...]
    start: date
    end: date


@dataclass(frozen=True)
class CompletenessRules:
    """When an authority's return of conferences for a year is complete enough, set in advance.

    ``enquiries_answered`` is the smallest share of section 47 enquiries with a conference or
    marked as needing none; ``recorded_in_section47`` the smallest share of conferences dated in
    that module; ``own_rate`` the smallest ratio of conferences per referral (or of enquiries,
    where they say what came of them) to what the authority's other years, and the movement of all
    authorities, lead to expect. 0 leaves a rule out. A rule with fewer than ``fewest`` cases
    behind it is not judged.
    """

    enquiries_answered: float
    recorded_in_section47: float
    own_rate: float
    fewest: int
    reason: str


@dataclass(frozen=True)
class DisclosureRules:
    """What may be shown: see `disclosure`, which applies it.

    Smallest count, rounding base, fewest authorities behind a cell; the largest
    `dominant_authorities` may hold at most `dominant_share` percent, and what is left beside the
    largest two must be at least `p_percent` of the largest; fewest residual degrees of freedom of
    a fit. `names` are those of the study's authorities, which no table may give; `local` is the
    one authority that a local profile is about ('' elsewhere).
    """

    threshold: int
    rounding_base: int
    minimum_authorities: int
    source: str
    dominant_authorities: int = 2
    dominant_share: int = 90
    p_percent: int = 10
    residual_dof: int = 10
    names: tuple[str, ...] = ()
    local: str = ""

    def for_local_profile(self, name: str) -> DisclosureRules:
        """Rules of a profile of one authority: no minimum of authorities; all else holds.

        Raises
        ------
        ValueError
            The authority is not one of the study's.
        """
        if name not in self.names:
            raise ValueError(f"no authority {name!r} in the study")
        return replace(self, minimum_authorities=1, local=name)


@dataclass(frozen=True)
class InferenceRules:
    """Declared in advance: draws, seed, level and which procedure is primary and secondary."""

    draws: int
    seed: int
    level: float
    matched_primary: str
    matched_secondary: str
    unmatched_primary: str
    unmatched_secondary: str


@dataclass(frozen=True)
class Switches:
    """What a made-up world contains; each switch has its sizes beside it in `Truth`."""

    planted: bool = True
    by_rating: bool = False
    by_delivery: bool = False
    contaminated: bool = False
    drifting: bool = False
    nfa_recording_shift: bool = False
    icpc_incomplete: bool = False


@dataclass(frozen=True)
class ByDelivery:
    """Multiple of an effect at a delivery score of 0 and of 1, linear between."""

    at_zero: float = 1.0
    at_one: float = 1.0


@dataclass(frozen=True)
class Contamination:
    """Share of the effect that comparators with a like practice model have, from a day on."""

    start: date = date(2015, 4, 1)
    same: float = 0.0
    partial: float = 0.0


@dataclass(frozen=True)
class RecordingShift:
    """A pilot's share of referrals flagged NFA: `before` until one year, `after` from another."""

    before: float
    after: float
    from_year: int
    to_year: int


@dataclass(frozen=True)
class IncompleteReturns:
    """Share of authority-years whose return lacks conferences, and the range of what it lacks."""

    authority_years: float = 0.0
    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True)
class Truth:
    """What was planted. Made-up data only.

    ``effects`` are by outcome, in proportions (duration: working days), before any switch changes
    them; ``drift`` is what pilots gain a year, whether or not anything was planted.
    """

    effects: Mapping[str, float]
    note: str
    switches: Switches = Switches()
    by_rating: Mapping[str, float] = field(default_factory=Frozen)
    by_delivery: ByDelivery = ByDelivery()
    contamination: Contamination = Contamination()
    drift: Mapping[str, float] = field(default_factory=Frozen)
    nfa_recording: Mapping[str, RecordingShift] = field(default_factory=Frozen)
    icpc_incomplete: IncompleteReturns = IncompleteReturns()

    @property
    def sizes(self) -> Mapping[str, float]:
        """Effects that are really planted: none with the switch ``planted`` off."""
        return {o: size if self.switches.planted else 0.0 for o, size in self.effects.items()}

    @property
    def varies(self) -> bool:
        """Whether pilots' effects differ."""
        return self.switches.by_rating or self.switches.by_delivery

    def size(self, outcome: str, rating: str | None, delivery: float) -> float:
        """Effect in a pilot with this rating at the start of embedding and this delivery score."""
        size = self.sizes.get(outcome, 0.0)
        if self.switches.by_rating:
            size *= self.by_rating[rating] if rating is not None else 1.0
        if self.switches.by_delivery:
            dose = self.by_delivery
            size *= dose.at_zero + (dose.at_one - dose.at_zero) * delivery
        return size


@dataclass(frozen=True)
class SyntheticSettings:
    """Size and noise of a made-up extract.

    ``shock_sd`` is the standard deviation within authorities of the yearly rate behind each
    outcome, in proportions (duration: working days), to which the shocks are scaled; ``shock_rho``
    is the correlation of the shocks from one year to the next.
    """

    authorities: int
    seed: int
    shock_rho: Mapping[str, float]
    shock_sd: Mapping[str, float]


@dataclass(frozen=True)
class Study:
    """A validated study. ``hash`` is the SHA-256 of its content (comments do not count)."""

    id: str
    title: str
    origin: str
    assumption: str
    data_start: date
    data_end: date
    pilots: tuple[Pilot, ...]
    authorities: tuple[Authority, ...]
    outcomes: tuple[Outcome, ...]
    completeness: CompletenessRules
    disclosure: DisclosureRules
    inference: InferenceRules
    truth: Truth | None
    synthetic: SyntheticSettings | None
    path: Path = field(compare=False)
    hash: str

    @property
    def short_hash(self) -> str:
        """First 12 hex digits of the hash, the form pages show."""
        return self.hash[:12]

    def outcome(self, name: str) -> Outcome:
        """The outcome called `name`; StudyError with the known names otherwise."""
        return _find(name, {o.name: o for o in self.outcomes}, "outcome", self.id)

    def pilot(self, id: str) -> Pilot:
        """The pilot with this id; StudyError with the known ids otherwise."""
        return _find(id, {p.id: p for p in self.pilots}, "pilot", self.id)

    def authority(self, code: str) -> Authority:
        """The authority with this code; StudyError with the known codes otherwise."""
        return _find(code, {a.code: a for a in self.authorities}, "authority", self.id)

    def groups(self, outcome_name: str, exclude: bool = True) -> tuple[Group, ...]:
        """Matched groups of an outcome, in the order of the pilots.

        A pilot without a comparator has no group. With `exclude`, groups that the outcome leaves
        out (too few cases after embedding, or embedded too late) are dropped too.
        """
        outcome = self.outcome(outcome_name)
        late = outcome.exclude_embedded_from
        return tuple(
            Group(p.id, p.la, p.comparators[outcome.group], p.embedding_start, p.embedding_end)
            for p in self.pilots
            if p.comparators.get(outcome.group)
            and not (exclude and p.id in outcome.excluded_pilots)
            and not (exclude and late is not None and p.embedding_end >= late)
        )

    def sample(self, outcome_name: str) -> tuple[str, ...]:
        """Sorted codes of every authority in the groups of an outcome."""
        groups = self.groups(outcome_name)
        return tuple(sorted({la for g in groups for la in (g.pilot, *g.comparators)}))


def _find(name: str, known: Mapping[str, Any], kind: str, study: str) -> Any:
    if name not in known:
        raise StudyError(
            f"study {study!r} has no {kind} {name!r}; it has {listed(known)}.{nearest(name, known)}"
        )
    return known[name]
