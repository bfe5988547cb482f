"""Does the second wave's difference differ by the Ofsted rating a pilot had before it?

A rating is the latest judgement published before the wave was launched; later ones may be moved by
the programme. The groups are those of the chapter on made-up records. Pilots of a group are
compared with all other authorities, and with those rated alike. Groups of fewer than three pilots
get no effect of their own. Inference: studentised randomisation inference (RI-t) first, cluster
jackknife second; the difference between the groups by permuting which pilots belong to which.
The first wave has no such split: in the reports held none of its pilots had a judgement before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from sos_analysis.companion.design import Design
from sos_analysis.companion.estimates import cell_rows
from sos_analysis.companion.panel import Figures, panel
from sos_analysis.companion.types import COMPUTED, RatedGroup, RatingSplit
from sos_analysis.errors import RecordsError
from sos_analysis.estimation.frames import FrameError
from sos_analysis.estimation.heterogeneity import (
    FEWEST,
    TreatedEffects,
    group_effects,
    moderation,
    treated_effects,
)
from sos_analysis.facts import programme
from sos_analysis.records.public import PublicOutcome

if TYPE_CHECKING:
    from sos_analysis.estimation.heterogeneity import GroupEffect, Moderation

#: The two groups, the lower first, and the judgements in each.
LOWER, UPPER = "requires improvement or inadequate", "good or outstanding"
GROUP: Mapping[str, str] = {
    "inadequate": LOWER,
    "requires improvement": LOWER,
    "good": UPPER,
    "outstanding": UPPER,
}
ALL, ALIKE = "all others", "rated alike"


def launch() -> date:
    """Day on which the second wave was launched: ratings published before it count."""
    day = programme().fact("wave2.launch").value
    assert isinstance(day, date)
    return day


def rating_split(
    figures: Figures, outcome: PublicOutcome, chosen: Design, *, draws: int, seed: int
) -> RatingSplit:
    """Effects by rating before the wave, and their difference, for one outcome.

    Units: the outcome's own. `difference` is the upper group less the lower.

    Raises
    ------
    AbsentError
        A file it needs is not there.
    RecordsError
        A pilot has no rating before the launch.
    """
    judged = figures.ratings(launch())
    rows = panel(figures, outcome, chosen)
    label = {la: GROUP[judged[la]] for la in set(rows["la"]) if la in judged}
    pilots = sorted(set(rows.loc[rows["pilot"] == 1, "la"]))
    lost = [la for la in pilots if la not in label]
    if lost:
        raise RecordsError(
            f"no Ofsted rating before {launch()} for the pilot(s) {', '.join(lost)}; their reports "
            "must be in the file of inspection reports."
        )
    mine = {la: label[la] for la in pilots}
    effects = treated_effects(cell_rows(rows), period="period")
    found: dict[tuple[str, str], GroupEffect] = {}
    for group in _groups(effects, mine, draws=draws, seed=seed):
        found[group.label, ALL] = group
    for name in (LOWER, UPPER):
        alike = rows[rows["la"].map(label) == name]
        if alike.loc[alike["pilot"] == 1, "la"].nunique() >= FEWEST:
            only = treated_effects(cell_rows(alike), period="period")
            for group in _groups(only, mine, draws=draws, seed=seed):
                found[group.label, ALIKE] = group
    upper = {la: float(mine[la] == UPPER) for la in pilots}
    between: Moderation | None = None
    if 0 < sum(upper.values()) < len(upper):
        between = moderation(effects, upper, draws=draws, seed=seed)
    others = set(rows["la"]) - set(pilots)
    return RatingSplit(
        outcome=outcome.id,
        wave=chosen.wave,
        source=COMPUTED,
        before=launch().isoformat(),
        pilots_lower=sum(v == LOWER for v in mine.values()),
        pilots_upper=sum(v == UPPER for v in mine.values()),
        others_unrated=sum(la not in label for la in others),
        groups=tuple(
            RatedGroup(
                label=name,
                comparators=against,
                pilots=g.treated,
                others=g.clusters - g.treated,
                att=g.att,
                p=g.test.p,
                ci=g.test.ci,
                smallest_p=float(g.test.smallest_p),
                p_crv3=g.p_crv3,
                ci_crv3=g.ci_crv3,
                mde=g.mde,
            )
            for (name, against), g in found.items()
        ),
        **_difference(between),
    )


def _groups(effects: TreatedEffects, mine: Mapping[str, str], **common: Any) -> Any:
    try:
        return group_effects(effects, {la: mine[la] for la in effects.las}, **common)
    except FrameError:  # no group is large enough
        return ()


def _difference(found: Moderation | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "difference": found.estimate,
        "difference_ci": found.labels.ci,
        "difference_p": found.labels.p,
        "difference_smallest_p": float(found.labels.smallest_p),
        "difference_mde": found.mde,
    }
