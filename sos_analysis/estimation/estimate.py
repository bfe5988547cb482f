"""What an estimator hands to the rooms after it."""

from __future__ import annotations

from dataclasses import dataclass, field

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A difference-in-differences estimate with few-cluster inference. Units: the outcome's own.

    Attributes
    ----------
    specification : str
        ``"original"`` or ``"preferred"``.
    att : float
        Coefficient on treated x post.
    se_crv1, se_crv3 : float
        Cluster-robust and cluster-jackknife standard errors. `se_crv3` is NaN if leaving out one
        cluster leaves the effect unidentified (a single treated cluster).
    df : int
        Degrees of freedom for CRV3: treated clusters less one.
    primary, secondary : str
        Names of the two procedures, declared before results.
    p_primary, p_secondary, ci, ci90, ci_secondary
        Their p-values and intervals; `ci90` is the primary 90 % interval (for equivalence tests).
    p_crv1, p_crv3 : float
        p-values from t(G-1) and t(treated clusters - 1), for comparison only.
    inconclusive : bool
        Primary and secondary p fall on opposite sides of 5 %: declared beforehand to mean that no
        conclusion is drawn.
    n_rows, n_events, n_cells : int
        Individual rows in the regression (copies counted each time), distinct events (copies
        counted once), and cells.
    n_clusters, n_treated_clusters : int
    draws : int
        Permutations or bootstrap draws behind the primary p-value (identity not counted).
    exact : bool
        True if they were all that exist.
    ssc : str
        Small-sample convention in words.
    baseline : float
        Counterfactual mean of the treated after adoption: their mean less `att`.
    mde : float
        Minimum detectable effect at 80 % power, 5 % two-sided, from CRV3 and t(df).
    att_primary : float
        The point estimate inside the primary procedure. It differs from `att` where the procedure
        acts on slot means (unmatched weights, other covariate handling); NaN if not applicable.
    dropped : tuple of str
        Collinear columns left out.
    notes : tuple of str
        What a reader of the table should know (windows filled in, few treated clusters ...).
    """

    specification: str
    att: float
    se_crv1: float
    se_crv3: float
    df: int
    primary: str
    secondary: str
    p_primary: float
    p_secondary: float
    ci: Interval
    ci90: Interval
    ci_secondary: Interval
    p_crv1: float
    p_crv3: float
    inconclusive: bool
    n_rows: int
    n_events: int
    n_cells: int
    n_clusters: int
    n_treated_clusters: int
    draws: int
    exact: bool
    ssc: str
    baseline: float
    mde: float
    att_primary: float = float("nan")
    level: float = 0.95
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def disagree(p_first: float, p_second: float, alpha: float = 0.05) -> bool:
    """Whether two p-values fall on opposite sides of `alpha` (domain rule: inconclusive).

    A p-value that could not be computed (NaN) agrees with nothing, so it counts as disagreement.
    """
    if p_first != p_first or p_second != p_second:
        return True
    return (p_first <= alpha) != (p_second <= alpha)
