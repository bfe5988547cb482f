"""What the companion finds, as frozen records that survive JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sos_analysis.companion.design import MAIN
from sos_analysis.errors import RecordsError
from sos_analysis.estimation.estimate import Interval
from sos_analysis.records.public import PublicOutcome

#: Where a number comes from: computed from files at hand, or this project's released results.
COMPUTED, RELEASED_RESULTS = "computed", "released"


@dataclass(frozen=True)
class Source:
    """Which bytes a result rests on.

    ``derived``: an excerpt or counts made from the original at ``url``, so that nobody can fetch
    these bytes; results from it are released results for everyone else.
    """

    id: str
    name: str
    url: str
    sha256: str
    pinned: bool
    derived: bool


@dataclass(frozen=True)
class PanelEstimate:
    """A difference-in-differences estimate on authority-years, in the unit of its outcome.

    Two-way fixed effects. ``se_crv1`` is clustered on authorities, scaled by N/(N-K), K counting
    the effects of authorities and years; ``se_crv3`` is the cluster jackknife with ``df`` (pilots
    less one) degrees of freedom. ``p_primary``, ``ci`` and ``ci90`` are the
    restricted wild cluster bootstrap (WCR-31), ``p_secondary`` and ``ci_secondary`` studentised
    randomisation inference (RI-t). ``inconclusive``: the two p-values lie on opposite sides of
    5%. ``baseline``: the pilots' mean after, less ``att``. ``mde``: minimum detectable effect at
    80% power, from CRV3. ``left_out``: the estimate with each pilot left out, smallest first.
    ``not_given``: authority-years in the design without a published number. ``first`` and ``last``
    are the years used, which may begin later than the design's where the figure does.
    """

    outcome: str
    wave: int
    variant: str
    source: str
    first: int
    last: int
    att: float
    se_crv1: float
    se_crv3: float
    df: int
    p_crv1: float
    p_crv3: float
    primary: str
    p_primary: float
    ci: Interval
    ci90: Interval
    secondary: str
    p_secondary: float
    ci_secondary: Interval
    inconclusive: bool
    baseline: float
    mde: float
    left_out: tuple[float, ...]
    authority_years: int
    authorities: int
    pilots: int
    not_given: int
    draws: int


@dataclass(frozen=True)
class EventYear:
    """Difference between pilots and others in a year, less that of the base year."""

    year: int
    att: float
    se_crv3: float
    ci: Interval
    p: float


@dataclass(frozen=True)
class EventYears:
    """An event study by calendar year.

    ``years`` leaves out the base, whose difference is zero by construction. Intervals and
    p-values are WCR-31, one year at a time. ``joint_p`` tests all years before the base at once
    (WCR-31, Wald statistic). ``trend`` is the difference in linear trend before adoption, in the
    outcome's unit a year, with its WCR-31 interval and p-value.
    """

    outcome: str
    wave: int
    source: str
    base: int
    years: tuple[EventYear, ...]
    joint_years: tuple[int, ...]
    joint_p: float
    trend: float
    trend_ci: Interval
    trend_p: float


@dataclass(frozen=True)
class JointCurve:
    """All ways to compare one outcome around one wave, judged as one.

    ``ways`` were run, ``same`` give the direction of the main one, ``told`` of these can tell it
    from no difference by the exchange of authorities alone. ``low``, ``median`` and ``high`` are of
    the ways' estimates. ``p``: share of exchanges whose median lies as far from zero, the data
    among them. ``authorities`` are all that any way uses.
    """

    outcome: str
    wave: int
    source: str
    ways: int
    same: int
    told: int
    low: float
    median: float
    high: float
    p: float
    authorities: int
    draws: int


@dataclass(frozen=True)
class YearMean:
    """Mean over the authorities of a role in a year, in the outcome's unit.

    ``mean`` counts each authority the same, ``weighted`` by size. ``size`` is the sum over the
    authorities counted (of referrals or of children), ``not_given`` how many have no number.
    """

    outcome: str
    wave: int
    role: str
    year: int
    mean: float
    weighted: float
    authorities: int
    not_given: int
    size: int


@dataclass(frozen=True)
class Jumps:
    """Authorities whose figure jumped between two years of the window, by role.

    A jump is a change of ``by`` or more, in the outcome's unit, from one year to the next: more
    often a change in recording than in practice. ``largest`` is the largest one of a pilot.
    """

    outcome: str
    wave: int
    by: float
    pilots: int
    pilots_jumped: int
    others: int
    others_jumped: int
    largest: float


@dataclass(frozen=True)
class BaconPart:
    """One kind of two-group comparison inside plain two-way fixed effects.

    ``weight`` is its share (all shares add up to one) and ``estimate`` its weighted mean.
    """

    comparison: str
    weight: float
    estimate: float


@dataclass(frozen=True)
class History:
    """Both waves at once: authorities by the year in which they first took part.

    Callaway and Sant'Anna's overall effect over cohorts and years (``att``, with standard error
    and interval clustered on authorities), beside plain two-way fixed effects (``two_way``) on the
    same authorities, and its Goodman-Bacon parts.
    """

    outcome: str
    source: str
    first: int
    last: int
    cohorts: tuple[int, ...]
    authorities: int
    treated: int
    left_out: int
    att: float
    se: float
    ci: Interval
    two_way: float
    two_way_se: float
    weights: tuple[BaconPart, ...]


@dataclass(frozen=True)
class RatedGroup:
    """The effect in pilots of one group of ratings, against others.

    ``comparators``: all others, or those rated alike. ``p``, ``ci``: studentised randomisation
    inference (RI-t); ``smallest_p`` the least it can give. ``p_crv3``, ``ci_crv3``: cluster
    jackknife with one degree of freedom fewer than pilots.
    """

    label: str
    comparators: str
    pilots: int
    others: int
    att: float
    p: float
    ci: Interval
    smallest_p: float
    p_crv3: float
    ci_crv3: Interval
    mde: float


@dataclass(frozen=True)
class RatingSplit:
    """An outcome's effects by the Ofsted rating before ``before``, and their difference.

    ``groups`` holds groups of three or more pilots alone. ``difference``: upper group less lower,
    tested by permuting which pilots belong to which (``difference_smallest_p`` is the least that
    can give; a difference that cannot be formed is not a number).
    """

    outcome: str
    wave: int
    source: str
    before: str
    pilots_lower: int
    pilots_upper: int
    others_unrated: int
    groups: tuple[RatedGroup, ...]
    difference: float = math.nan
    difference_ci: Interval = (math.nan, math.nan)
    difference_p: float = math.nan
    difference_smallest_p: float = math.nan
    difference_mde: float = math.nan


@dataclass(frozen=True)
class CompanionResult:
    """Everything the chapter on public statistics shows, with where it comes from.

    ``source`` is ``"computed"`` from files at hand or ``"released"``, read from this project's
    released results; each estimate says the same of itself, since some rest on files that cannot
    be fetched. ``absent`` says in words what could be had from neither. ``designs`` holds the
    main design of each wave as words and numbers, ``parameters`` draws and seed.
    """

    source: str
    designs: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, int]
    outcomes: tuple[PublicOutcome, ...]
    pilots: Mapping[str, tuple[tuple[str, str], ...]]
    variants: Mapping[str, str]
    estimates: tuple[PanelEstimate, ...]
    event_years: tuple[EventYears, ...]
    curves: tuple[JointCurve, ...]
    means: tuple[YearMean, ...]
    jumps: tuple[Jumps, ...]
    histories: tuple[History, ...]
    splits: tuple[RatingSplit, ...]
    absent: tuple[str, ...]
    files: tuple[Source, ...]
    attribution: str
    ssc: str
    command: str
    package: str
    data_hash: str
    code_hash: str
    libraries: Mapping[str, str]

    def outcome(self, id: str) -> PublicOutcome:
        """The outcome of that id."""
        return _only([o for o in self.outcomes if o.id == id], "outcome", id)

    def estimate(self, outcome: str, variant: str = MAIN, wave: int = 2) -> PanelEstimate:
        """The estimate of an outcome in a variant of a wave's design."""
        wanted = (outcome, variant, wave)
        found = [e for e in self.estimates if (e.outcome, e.variant, e.wave) == wanted]
        return _only(found, "estimate", f"{outcome}, {variant}, wave {wave}")

    def has(self, outcome: str, variant: str = MAIN, wave: int = 2) -> bool:
        """Is there such an estimate?"""
        wanted = (outcome, variant, wave)
        return any((e.outcome, e.variant, e.wave) == wanted for e in self.estimates)

    def events(self, outcome: str, wave: int = 2) -> EventYears:
        """The event study of an outcome around a wave."""
        found = [e for e in self.event_years if (e.outcome, e.wave) == (outcome, wave)]
        return _only(found, "event study", f"{outcome}, wave {wave}")

    def curve(self, outcome: str, wave: int = 2) -> JointCurve:
        """All ways to compare an outcome, judged as one."""
        found = [c for c in self.curves if (c.outcome, c.wave) == (outcome, wave)]
        return _only(found, "curve of ways", f"{outcome}, wave {wave}")

    def means_of(self, outcome: str, role: str, wave: int = 2) -> tuple[YearMean, ...]:
        """Yearly means of an outcome in a role, oldest first."""
        wanted = (outcome, role, wave)
        return tuple(m for m in self.means if (m.outcome, m.role, m.wave) == wanted)

    def jumps_of(self, outcome: str, wave: int = 2) -> Jumps:
        """How many authorities' figures jumped."""
        found = [j for j in self.jumps if (j.outcome, j.wave) == (outcome, wave)]
        return _only(found, "count of jumps", f"{outcome}, wave {wave}")

    def history(self, outcome: str) -> History | None:
        """Both waves at once, for outcomes that reach back to before the first."""
        return next((h for h in self.histories if h.outcome == outcome), None)

    def split(self, outcome: str) -> RatingSplit | None:
        """The split of an outcome by rating; None where it is not held."""
        return next((s for s in self.splits if s.outcome == outcome), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content; numbers that are not finite become words."""
        content = _plain(asdict(self))
        assert isinstance(content, dict)
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CompanionResult:
        """Result from `to_dict`.

        Raises
        ------
        RecordsError
            A field is missing or unknown.
        """
        parts = {
            "outcomes": PublicOutcome,
            "estimates": PanelEstimate,
            "event_years": EventYears,
            "curves": JointCurve,
            "means": YearMean,
            "jumps": Jumps,
            "histories": History,
            "splits": RatingSplit,
            "files": Source,
        }
        try:
            values = dict(content)
            for name, kind in parts.items():
                values[name] = tuple(_made(kind, item) for item in content[name])
            values["absent"] = tuple(content["absent"])
            values["pilots"] = {
                wave: tuple((code, name) for code, name in found)
                for wave, found in content["pilots"].items()
            }
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as cause:
            raise RecordsError(
                f"released results of the public companion do not fit this version ({cause}). "
                "Release them again from the public files."
            ) from cause


def _only(found: Sequence[Any], what: str, id: str) -> Any:
    if not found:
        raise RecordsError(f"the public companion has no {what} for {id}.")
    return found[0]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


#: Records inside records, by the class and the field that holds them.
_INSIDE: Mapping[tuple[str, str], type[Any]] = {
    ("EventYears", "years"): EventYear,
    ("History", "weights"): BaconPart,
    ("RatingSplit", "groups"): RatedGroup,
}


def _made(kind: type[Any], content: Mapping[str, Any]) -> Any:
    values = dict(content)
    for field in fields(kind):
        value = values[field.name]
        inside = _INSIDE.get((kind.__name__, field.name))
        if inside is not None:
            value = tuple(_made(inside, item) for item in value)
        elif isinstance(value, list):
            value = tuple(
                float(v) if "float" in field.type or "Interval" in field.type else v for v in value
            )
        elif field.type == "float":
            value = float(value)
        values[field.name] = value
    return kind(**values)
