"""p-values and intervals from statistics that are linear in a hypothesised effect.

Every procedure here tests the constant effect tau with draws t_b(tau) = (a_b - tau c_b) / se_b(tau)
whose squared standard error is quadratic in tau. So five numbers a draw give the p-value at any
tau, and the interval of all tau not rejected, with no refitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .estimate import Interval
from .frames import Floats

#: Two draws that are the same by construction (a sign vector and its mirror image, two ways to
#: fill the same slots) differ by rounding, about 1e-12 of t. Draws that really differ do so by far
#: more. Ties count as 'at least as extreme', which can only raise the p-value.
TIE = 1e-9

#: Eigenvalues of a variance below this share of the largest are rounding.
SINGULAR = 1e-10


@dataclass(frozen=True)
class Inversion:
    """Observed and drawn statistics as functions of the hypothesised effect.

    Attributes
    ----------
    a, c : array, B
        Drawn numerator a - tau c.
    v0, v1, v2 : array, B
        Drawn variance v0 - 2 tau v1 + tau^2 v2.
    observed : tuple of five floats
        The same five numbers for the data.
    sampled : bool
        True if draws are a random sample and the data are not among them: then p is
        (1 + count) / (1 + B). False if all possible draws were enumerated: count / B, at least 1/B.
    """

    a: Floats
    c: Floats
    v0: Floats
    v1: Floats
    v2: Floats
    observed: tuple[float, float, float, float, float]
    sampled: bool

    @property
    def estimate(self) -> float:
        """The effect at which the observed statistic is zero."""
        return self.observed[0] / self.observed[1]

    def statistic(self, tau: float) -> float:
        """Observed studentised statistic at `tau`."""
        return float(_t(tau, *(np.array([v]) for v in self.observed))[0])

    def p(self, tau: float) -> float:
        """Two-sided p-value of the hypothesis that the effect is `tau`."""
        count = self._as_extreme(tau, abs(self.statistic(tau)) * (1 - TIE))
        if self.sampled:
            return (1 + count) / (1 + len(self.a))
        # Jackknifed scores leave the data outside the enumerated draws; p is never below one draw.
        return max(count, 1) / len(self.a)

    def _as_extreme(self, tau: float, seen: float) -> int:
        """Draws with |t| of at least `seen`; in squares, as an interval asks this 300 times."""
        if seen == 0 or not np.isfinite(seen):
            drawn = np.abs(_t(tau, self.a, self.c, self.v0, self.v1, self.v2))
            return int(np.count_nonzero(drawn >= seen))
        top = self.c * -tau
        top += self.a
        top *= top
        limit = self.v1 * (-2 * tau)
        limit += self.v0
        limit += self.v2 * (tau * tau)
        limit *= seen * seen
        # 0/0 is 0, and so below what was seen; x/0 is above.
        np.maximum(limit, np.finfo(float).smallest_subnormal, out=limit)
        return int(np.count_nonzero(top >= limit))

    def ties(self, tau: float) -> int:
        """Draws exactly as extreme as the data, which p counts and a strict convention does not."""
        drawn = np.abs(_t(tau, self.a, self.c, self.v0, self.v1, self.v2))
        seen = abs(self.statistic(tau))
        near = (drawn >= seen * (1 - TIE)) & (drawn <= seen * (1 + TIE))
        return int(np.count_nonzero(near))

    @property
    def smallest(self) -> float:
        """The smallest p-value the draws can give if no other draw ties with the data."""
        return 1 / (1 + len(self.a)) if self.sampled else 1 / len(self.a)

    def interval(self, level: float = 0.95) -> Interval:
        """All effects not rejected at 1 - `level`: the smallest interval that holds them.

        Each side is searched outwards from the estimate to 4,096 standard errors, and the border
        beyond the outermost effect found not rejected is bisected. Infinite if none is found.
        """
        return self.intervals((level,))[0]

    def intervals(self, levels: Sequence[float]) -> list[Interval]:
        """The same at several levels: the search outwards is made once."""
        centre = self.estimate
        variance = _variance(centre, *(np.array([v]) for v in self.observed[2:]))
        step = float(np.sqrt(variance[0])) / abs(self.observed[1])
        if not np.isfinite(step) or step <= 0:
            return [(float("nan"), float("nan")) for _ in levels]
        # p, a fraction of draws, may equal 1 - level: that rejects, whatever the rounding.
        alphas = [1 - level + 1e-12 for level in levels]
        low, high = (self._borders(centre, sign * step, alphas) for sign in (-1.0, 1.0))
        return list(zip(low, high, strict=True))

    def _borders(self, centre: float, step: float, alphas: Sequence[float]) -> list[float]:
        multiples = np.r_[0.0, np.arange(0.25, 12.25, 0.25), 16.0 * 2.0 ** np.arange(9)]
        p = np.array([self.p(centre + m * step) for m in multiples])
        found = []
        for alpha in alphas:
            last = int(np.flatnonzero(p > alpha)[-1])
            if last == len(multiples) - 1:
                found.append(float(np.copysign(np.inf, step)))
                continue
            inside, outside = multiples[last], multiples[last + 1]
            # 40 halvings: the border is known to 1e-11 standard errors.
            for _ in range(40):
                middle = (inside + outside) / 2
                if self.p(centre + middle * step) > alpha:
                    inside = middle
                else:
                    outside = middle
            found.append(float(centre + inside * step))
        return found


@dataclass(frozen=True)
class InferenceResult:
    """A test of one effect and the interval of effects it does not reject.

    Attributes
    ----------
    name : str
    estimate, statistic : float
        Point estimate inside the procedure and its studentised statistic at `null`.
    p : float
    ci, ci90 : (low, high)
        Interval at `level` and the 90 % interval.
    draws : int
        Draws used (the data themselves not counted).
    exact : bool
        All possible draws were enumerated.
    smallest_p : float
        Smallest attainable p-value.
    ties : int
        Draws exactly as extreme as the data, which `p` counts (the data themselves among them
        where all draws were enumerated).
    notes : tuple of str
    """

    name: str
    estimate: float
    statistic: float
    p: float
    ci: Interval
    ci90: Interval
    draws: int
    exact: bool
    smallest_p: float
    null: float = 0.0
    level: float = 0.95
    notes: tuple[str, ...] = ()
    ties: int = 0


def report(
    name: str,
    inversion: Inversion,
    *,
    null: float = 0.0,
    level: float = 0.95,
    smallest_p: float | None = None,
    notes: tuple[str, ...] = (),
) -> InferenceResult:
    """Evaluate an inversion at `null` and turn it into a result."""
    ci, ci90 = inversion.intervals((level, 0.90))
    return InferenceResult(
        name=name,
        estimate=inversion.estimate,
        statistic=inversion.statistic(null),
        p=inversion.p(null),
        ci=ci,
        ci90=ci90,
        draws=len(inversion.a),
        exact=not inversion.sampled,
        smallest_p=inversion.smallest if smallest_p is None else smallest_p,
        null=null,
        level=level,
        notes=notes,
        ties=inversion.ties(null),
    )


def _variance(tau: float, v0: Floats, v1: Floats, v2: Floats) -> Floats:
    return np.maximum(v0 - 2 * tau * v1 + tau * tau * v2, 0.0)


def _t(tau: float, a: Floats, c: Floats, v0: Floats, v1: Floats, v2: Floats) -> Floats:
    """Studentised statistics; 0/0 is 0 (no effect, no spread) and x/0 is infinite."""
    top = a - tau * c
    spread = np.sqrt(_variance(tau, v0, v1, v2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(top == 0.0, 0.0, top / spread)


def wald(beta: Floats, influence: Floats) -> Floats:
    """beta' V^+ beta with V = influence' influence, for a batch: B x q and B x G x q.

    Where every V is far from singular the pseudo-inverse is the inverse, found many times faster.
    """
    variance = influence.transpose(0, 2, 1) @ influence
    try:
        inverse = np.linalg.inv(variance)
        # Of symmetric matrices this bounds the ratio of the largest eigenvalue to the smallest.
        condition = np.abs(variance).sum(axis=2).max(axis=1) * np.abs(inverse).sum(axis=2).max(
            axis=1
        )
        plain = bool((condition < 0.1 / SINGULAR).all())
    except np.linalg.LinAlgError:
        plain = False
    if not plain:
        inverse = np.linalg.pinv(variance, rcond=SINGULAR, hermitian=True)
    return np.asarray(np.einsum("bi,bij,bj->b", beta, inverse, beta))
