"""The rates of a made-up England: what each authority's cases should look like in each year.

England's published totals and the published spread over authorities (``data/calibration``) become
one `Plan`: for 152 made-up authorities and every year, the expected referrals and the chances that
shape a case. Authorities differ for good and swing from year to year in shocks that fade slowly,
because those swings, not the chance of single children, limit what a comparison of authorities
can see. The plan is always drawn for all authorities, so that one authority's records do not
depend on which others are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sos_analysis.errors import RecordsError
from sos_analysis.sources import ROOT
from sos_analysis.study import Study, SyntheticSettings
from sos_analysis.study.reading import parse

Floats = npt.NDArray[np.float64]

CALIBRATION = ROOT / "data" / "calibration"
#: Years (by their end) that are simulated: two before the extract, then its eleven. What was open
#: before them is added by `synthetic_standing`.
YEARS = tuple(range(2007, 2020))
FIRST_RETURN = 2009


@dataclass(frozen=True)
class Plan:
    """Expected referrals and chances, arrays of shape (authorities, years of `YEARS`).

    ``plan`` and ``second_plan`` are England's, by year alone. ``icpc`` and ``care`` are chances per
    child in need case; ``section47`` per child in need case without a conference,
    ``section47_none`` per case found not in need.
    """

    codes: tuple[str, ...]
    population: Floats
    referrals: Floats
    nfa: Floats
    not_in_need: Floats
    rereferral: Floats
    section47: Floats
    section47_none: Floats
    icpc: Floats
    within45: Floats
    care: Floats
    kinship: Floats
    white: Floats
    escalation: Floats
    plan: Floats
    second_plan: Floats
    choices: Mapping[str, Any]

    def rates(self, position: int) -> Rates:
        """The rows of one authority."""
        return Rates(
            **{
                name: getattr(self, name)[position]
                for name in Rates.__dataclass_fields__
                if name not in ("plan", "second_plan")
            },
            plan=self.plan,
            second_plan=self.second_plan,
        )


@dataclass(frozen=True)
class Rates:
    """One authority's chances by year: the same as in `Plan`, each of shape (years,)."""

    nfa: Floats
    not_in_need: Floats
    rereferral: Floats
    section47: Floats
    section47_none: Floats
    icpc: Floats
    within45: Floats
    care: Floats
    kinship: Floats
    white: Floats
    escalation: Floats
    plan: Floats
    second_plan: Floats


@cache
def calibration(name: str) -> Mapping[str, Any]:
    """Content of ``data/calibration/<name>.toml``; RecordsError if it cannot be read."""
    return parse(CALIBRATION / f"{name}.toml", RecordsError)


def england(name: str) -> Floats:
    """England's series in the unit of its file, one value for each of `YEARS`.

    Raises
    ------
    RecordsError : if the series leaves a year out.
    """
    series = calibration("england")[name]
    known = dict(zip(series["years"], series["values"], strict=True))
    ours = series.get("ours", {"years": [], "values": []})
    known |= dict(zip(ours["years"], ours["values"], strict=True))
    missing = [year for year in YEARS if year not in known]
    if missing:
        raise RecordsError(
            f"data/calibration/england.toml: series {name!r} has no value for {missing}; "
            f"add them under [{name}.ours]"
        )
    return np.array([known[year] for year in YEARS], dtype=np.float64)


def aim(name: str) -> Floats:
    """England's series, times the factors that bring what is measured onto it.

    An event falls in the year of its own date, often not that of the referral which fixed its
    chance. ``fitted.toml`` holds, for each year, how much higher or lower the chance must be.
    """
    factors = calibration("fitted").get(name)
    return england(name) * (1.0 if factors is None else np.array(factors["values"]))


def authority_codes(count: int) -> tuple[str, ...]:
    """Codes "001", "002", ...: below 201, where real codes begin."""
    return tuple(f"{i:03d}" for i in range(1, count + 1))


def draw_plan(study: Study, seed: int) -> Plan:
    """Draw the rates of every authority of a made-up England.

    Parameters
    ----------
    study : names the authorities whose size must suffice, and the sizes of shocks.
    seed : same seed, same plan.
    """
    settings = study.synthetic
    if settings is None:
        raise RecordsError(f"study {study.id!r} has no [synthetic] table: it has no made-up data")
    rng = np.random.default_rng([seed, 0])
    codes = authority_codes(settings.authorities)
    choices = calibration("choices")
    population = _population(rng, codes, {a.code for a in study.authorities})
    size = np.log(population[:, -1:]) - np.log(population[:, -1:]).mean()
    draw = _Draw(rng, size, settings)

    lasting, swing = draw.between("volume"), draw.shock("volume")
    weight = population * np.exp(lasting + swing)
    referrals = weight / weight.sum(axis=0) * aim("referrals") * 1000.0
    nfa, not_in_need = _without_need(draw, study, codes, referrals)
    need = referrals * (1.0 - nfa - not_in_need - choices["referral"]["passed_on"])

    # Enquiries and conferences follow the referrals of an authority, but not in proportion.
    follow = calibration("spread")["volume"]
    activity = population * np.exp(
        follow["conferences_between"] * lasting + follow["conferences_shock"] * swing
    )
    spread = draw.spread("icpc")
    icpc = _share(activity * np.exp(spread), aim("icpc") * 1000, need, 0.6)
    enquired = choices["conference"]
    both = calibration("spread")["section47"]["with_icpc"]
    enquiries = activity * np.exp(both * spread + draw.spread("section47"))
    enquiries *= aim("section47") * 1000 / enquiries.sum(axis=0)
    others = np.maximum(
        enquiries / (1 + enquired["second_section47"]) - icpc * need, 0.15 * enquiries
    )
    idle = enquired["not_in_need_share"]
    section47 = np.clip((1 - idle) * others / np.maximum(need * (1 - icpc), 1.0), 0, 0.9)
    section47_none = np.clip(idle * others / np.maximum(not_in_need * referrals, 1.0), 0, 0.7)
    care = _share(population * np.exp(draw.spread("care")), aim("care") * 1000, need, 0.4)
    rereferral = np.maximum(1 + draw.spread("rereferral"), 0.2)
    rereferral = _relative(rereferral, referrals)
    rereferral *= aim("rereferral") / choices["rereferral"]["reference"]
    kinship = np.full(len(YEARS), choices["kinship"]["wide"])
    return Plan(
        codes=codes,
        population=np.rint(population),
        referrals=referrals,
        nfa=nfa,
        not_in_need=not_in_need,
        rereferral=rereferral,
        section47=section47,
        section47_none=section47_none,
        icpc=icpc,
        within45=_solve(draw.spread("within45"), aim("within45") / 100, referrals, _near_all),
        care=care,
        kinship=_solve(draw.spread("kinship"), kinship, care * need, _clipped(0.1, 0.8)),
        white=_solve(draw.between("white"), _white(choices), referrals, _logistic),
        escalation=_relative(np.exp(draw.spread("escalation")), referrals),
        plan=aim("plan") / aim("icpc") / (1 + choices["plan"]["second_in_case"]),
        second_plan=aim("second_plan") / 100,
        choices=choices,
    )


def _white(choices: Mapping[str, Any]) -> Floats:
    """England's share of White children, the same in every year."""
    ethnic = choices["ethnicity"]
    white = [s for c, s in zip(ethnic["codes"], ethnic["shares"], strict=True) if c[0] == "W"]
    return np.full(len(YEARS), sum(white) / sum(ethnic["shares"]))


def _without_need(
    draw: _Draw, study: Study, codes: tuple[str, ...], referrals: Floats
) -> tuple[Floats, Floats]:
    """Shares of referrals with no further action and found not in need; their shocks offset."""
    deviation = draw.between("nfa") + draw.shock("nfa")
    level = aim("nfa") / 100
    nfa = _solve(deviation, level, referrals, _mostly_none)
    usual = nfa.copy()
    recorded = _recording(study, codes)
    if recorded:
        # These authorities record as the study says; the others bring England back to its mean.
        rows = sorted(recorded)
        rest = np.setdiff1d(np.arange(len(codes)), rows)
        nfa[rows] = [recorded[row] for row in rows]
        total = (referrals * level).sum(axis=0) - (referrals[rows] * nfa[rows]).sum(axis=0)
        left = total / referrals[rest].sum(axis=0)
        nfa[rest] = _solve(deviation[rest], left, referrals[rest], _mostly_none)
    partly = calibration("spread")["not_in_need"]["with_nfa"]
    fading = draw.standard("not_in_need", correlated=partly, other=draw.last("nfa"))
    swing = draw.between("not_in_need") + fading * draw.sd("not_in_need")
    none = _solve(swing, aim("not_in_need") / 100, referrals, _below_ceiling)
    for row in recorded:
        # What is no longer flagged at once is found not in need after an assessment instead: the
        # share without need swings as before, at a level that leaves room for the flags.
        both = usual[row] + none[row]
        none[row] = both + max(0.0, float((nfa[row] + 0.05 - both).max())) - nfa[row]
    return nfa, np.minimum(none, 0.88 - nfa)


def _recording(study: Study, codes: tuple[str, ...]) -> dict[int, Floats]:
    """Share flagged NFA by year of each pilot whose recording the study shifts."""
    truth = study.truth
    if truth is None or not truth.switches.nfa_recording_shift:
        return {}
    years = np.array(YEARS)
    return {
        codes.index(study.pilot(pilot).la): np.interp(
            years, [shift.from_year, shift.to_year], [shift.before, shift.after]
        )
        for pilot, shift in truth.nfa_recording.items()
    }


def _relative(factor: Floats, weight: Floats) -> Floats:
    """Factors whose weighted mean is 1 in every year."""
    return factor / np.average(factor, axis=0, weights=weight)


class _Draw:
    """Lasting differences and fading shocks, drawn once for each rate, in a fixed order.

    Lasting differences are evenly spaced quantiles of a normal, dealt out at random, so that
    their spread is as set in every draw; ``tilt`` adds what goes with an authority's size.
    """

    def __init__(self, rng: np.random.Generator, size: Floats, settings: SyntheticSettings) -> None:
        self._rng = rng
        self._size = size
        self._count = len(size)
        self._settings = settings
        self._standard: dict[str, Floats] = {}

    def between(self, name: str) -> Floats:
        from scipy.special import ndtri

        row = calibration("spread")[name]
        dealt = ndtri((self._rng.permutation(self._count) + 0.5) / self._count)[:, None]
        return np.asarray(row["between"] * dealt + row.get("tilt", 0.0) * self._size)

    def sd(self, name: str) -> float:
        """The shock's standard deviation, scaled by the study's own value where it gives one."""
        row = calibration("spread")[name]
        key = row.get("study_key")
        factor = self._settings.shock_sd[key] / row["study_sd"] if key else 1.0
        return float(row["shock"] * factor)

    def standard(self, name: str, correlated: float = 0.0, other: Floats | None = None) -> Floats:
        """Stationary AR(1) of unit variance; `correlated` with another one of the same length."""
        row = calibration("spread")[name]
        key = row.get("study_key")
        rho = float(self._settings.shock_rho[key]) if key else float(row["rho"])
        noise = self._rng.standard_normal((self._count, len(YEARS)))
        path = np.empty_like(noise)
        path[:, 0] = noise[:, 0]
        for t in range(1, len(YEARS)):
            path[:, t] = rho * path[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
        if other is not None:
            path = correlated * other + np.sqrt(1 - correlated**2) * path
        self._standard[name] = path
        return path

    def last(self, name: str) -> Floats:
        return self._standard[name]

    def shock(self, name: str) -> Floats:
        return self.standard(name) * self.sd(name)

    def spread(self, name: str) -> Floats:
        return self.between(name) + self.shock(name)


def _population(rng: np.random.Generator, codes: tuple[str, ...], studied: set[str]) -> Floats:
    """Children aged 0-17: evenly spaced quantiles of a lognormal, dealt out at random.

    Authorities of the study get quantiles from the part of the distribution that
    ``spread.toml`` sets aside for them.
    """
    from scipy.special import ndtri

    spread = calibration("spread")
    count = len(codes)
    level = (np.arange(count) + 0.5) / count
    low, high = spread["study_authorities"]["lowest"], spread["study_authorities"]["highest"]
    eligible = np.flatnonzero((level >= low) & (level <= high))
    mine = [i for i, code in enumerate(codes) if code in studied]
    if len(mine) > len(eligible):
        eligible = np.arange(count)
    chosen = rng.choice(eligible, size=len(mine), replace=False)
    rest = rng.permutation(np.setdiff1d(np.arange(count), chosen))
    place = np.empty(count, dtype=np.int64)
    place[mine] = chosen
    others = np.setdiff1d(np.arange(count), mine)
    place[others] = rest
    own, z = spread["population"], ndtri(level[place])
    size = own["median"] * np.exp(np.where(z < 0, own["between"], own["between_above"]) * z)
    return (size / size.sum())[:, None] * england("population") * 1e6


def _mostly_none(x: Floats) -> Floats:
    """Share flagged NFA: many authorities near none, a few far above (a power of a normal)."""
    return np.minimum(np.maximum(x, 0.0) ** 3 / 100, 0.6)


def _below_ceiling(x: Floats) -> Floats:
    """Share found not in need: a long tail towards none."""
    return np.clip(0.60 - np.maximum(8.0 - x, 0.0) ** 2 / 100, 0.005, 0.595)


def _near_all(x: Floats) -> Floats:
    """Share of assessments on time: crowded near all, a long tail below."""
    return 1.0 - np.clip(-x, 0.0, 9.0) ** 2 / 100


def _logistic(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _clipped(low: float, high: float) -> Callable[[Floats], Floats]:
    return lambda x: np.clip(x, low, high)


def _solve(
    deviation: Floats, target: Floats, weight: Floats, link: Callable[[Floats], Floats]
) -> Floats:
    """Rates ``link(a_year + deviation)`` whose weighted mean is England's in every year."""
    low, high = np.full(target.shape, -15.0), np.full(target.shape, 15.0)
    for _ in range(60):
        middle = (low + high) / 2
        mean = np.average(link(middle + deviation), axis=0, weights=weight)
        low = np.where(mean < target, middle, low)
        high = np.where(mean < target, high, middle)
    return link((low + high) / 2 + deviation)


def _share(relative: Floats, total: Floats, base: Floats, most: float) -> Floats:
    """Chances up to `most`, proportional to `relative`, that sum to `total` over `base` cases."""
    scale = total / relative.sum(axis=0)
    chance = np.minimum(relative * scale / base, most)
    for _ in range(8):  # what the ceiling cuts off is shared out again
        scale = scale * total / (chance * base).sum(axis=0)
        chance = np.minimum(relative * scale / base, most)
    return chance
