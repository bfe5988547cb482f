"""Both waves at once: authorities by the year in which they first took part.

Cohorts: the first wave from the year ending March 2015, Bexley from that ending March 2018;
authorities in neither wave are the comparison. Staggered dates make plain two-way fixed effects
average in comparisons with authorities that had already begun (Goodman-Bacon 2021); Callaway and
Sant'Anna's (2021) effects do not. Both need every year of an authority, so those with a gap are
left out, and the two are compared on the same authorities.
"""

from __future__ import annotations

import math

import numpy as np

from sos_analysis.companion.design import EARLIEST, TRANSITION, WINDOWS, funded
from sos_analysis.companion.estimates import effect_on
from sos_analysis.companion.panel import Figures
from sos_analysis.companion.types import COMPUTED, BaconPart, History
from sos_analysis.estimation import inference, staggered
from sos_analysis.records.public import PublicOutcome

FIRST, LAST = EARLIEST, WINDOWS[2][1]


def history(figures: Figures, outcome: PublicOutcome) -> History | None:
    """Effect over both waves of an outcome; None where it does not reach back to before the first.

    The standard error comes from the estimator's influence functions, one an authority, with the
    interval of Student's t with (authorities that took part less one) degrees of freedom: with
    eleven of them it is a guide, not the report's declared inference.
    """
    frame = figures.figure(outcome)
    first = min(TRANSITION.values())
    if len({y for y in frame["year"] if FIRST <= y < first}) < 2:
        return None
    frame = frame[frame["year"].between(FIRST, LAST)]
    begun = {p.dfe_code: TRANSITION[min(p.waves)] for p in funded()}
    frame = frame.assign(cohort=frame["la"].map(lambda code: begun.get(code, 0)))
    complete = frame.dropna(subset=["y"]).groupby("la")["year"].nunique() == LAST - FIRST + 1
    kept = frame[frame["la"].map(complete).fillna(False).astype(bool)]
    y, year, cohort, la = (kept[c].to_numpy() for c in ("y", "year", "cohort", "la"))
    treated = len({code for code in begun if code in set(la)})
    effects = staggered.callaway_santanna(y, year, cohort, unit=la, control="never")
    overall = staggered.aggregate(effects, "simple")
    att, se = float(overall.overall), float(overall.overall_se)
    bacon = staggered.goodman_bacon(y, year, cohort, la)
    two_way, two_way_se = effect_on(
        kept.assign(
            pilot=(kept["cohort"] > 0).astype(int),
            post=((kept["cohort"] > 0) & (kept["year"] >= kept["cohort"])).astype(int),
            weight=1.0,
        )
    )
    assert math.isclose(two_way, bacon.twfe, abs_tol=1e-8)
    return History(
        outcome=outcome.id,
        source=COMPUTED,
        first=FIRST,
        last=LAST,
        cohorts=tuple(sorted(int(c) for c in np.unique(cohort) if c)),
        authorities=len(set(la)),
        treated=treated,
        left_out=frame["la"].nunique() - len(set(la)),
        att=att,
        se=se,
        ci=inference.t_test(att, se, treated - 1)[1],
        two_way=two_way,
        two_way_se=two_way_se,
        weights=tuple(
            BaconPart(kind, float(weight), float(estimate))
            for kind, (weight, estimate) in bacon.by_kind().items()
        ),
    )
