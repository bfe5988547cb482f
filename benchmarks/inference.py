"""Time inference with few treated clusters against other packages, on the same file in one run.

``make benchmark`` writes ``benchmarks/results/inference.json`` and ``.md``. Two million rows,
150 clusters, 32 periods, nine of them treated at different dates, four categorical covariates.
Three tasks:

1. from a Parquet file to the estimate and its cluster-robust error;
2. 9,999 draws of the restricted wild cluster bootstrap, from the fitted model (kind 11, which
   other packages run too);
3. 1,000 permutations of adoption dates, each an exact refit.

Every package's estimate is compared with ours in the same run. Refits and draws of packages that
would take hours are timed a few times and multiplied; the results say so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

THREADS = os.cpu_count() or 1
#: Threads of BLAS, for every package alike; engines (DuckDB, pyfixest's Rust) take all processors.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))

import numpy as np  # noqa: E402  (after the threads are set)

from sos_analysis.estimation import counts, inference  # noqa: E402
from sos_analysis.estimation.assignment import ri_inversion  # noqa: E402
from sos_analysis.sources import versions  # noqa: E402

HERE = Path(__file__).resolve().parent
CLUSTERS, PERIODS, TREATED = 150, 32, 9
COVARIATES = {"sex": 2, "age": 4, "ethnicity": 6, "need": 5}
DRAWS, PERMUTATIONS = 9_999, 1_000
TARGETS = {"estimate": 15, "bootstrap": 300, "permutation": 1_000}


def make(path: Path, rows: int, seed: int = 20190331) -> np.ndarray:
    """Write the rows; gives exposure, clusters x periods."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(0.0, 0.7, CLUSTERS))
    la = rng.choice(CLUSTERS, rows, p=size / size.sum()).astype(np.int16)
    period = rng.integers(0, PERIODS, rows).astype(np.int8)
    start = np.full(CLUSTERS, 10**6)
    start[rng.choice(CLUSTERS, TREATED, replace=False)] = np.linspace(10, 25, TREATED).astype(int)
    exposure = (np.arange(PERIODS)[None, :] >= start[:, None]).astype(float)
    codes = {}
    chance = 0.25 + rng.normal(0, 0.04, CLUSTERS)[la] + 0.002 * period + 0.01 * exposure[la, period]
    for name, levels in COVARIATES.items():
        share = np.sort(rng.dirichlet(np.ones(levels)))[::-1]
        codes[name] = rng.choice(levels, rows, p=share).astype(np.int8)
        chance += rng.normal(0, 0.02, levels)[codes[name]]
    shock = np.zeros((CLUSTERS, PERIODS))
    for t in range(PERIODS):
        before = shock[:, t - 1] if t else 0.0
        shock[:, t] = 0.7 * before + rng.normal(0, 0.015, CLUSTERS)
    chance += shock[la, period]
    y = (rng.random(rows) < np.clip(chance, 0.01, 0.99)).astype(np.int8)
    table = pa.table({"la": la, "period": period, **codes, "y": y})
    pq.write_table(table, path, compression="zstd")
    return exposure


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Best wall time of some runs, and the last answer."""
    best, answer = float("inf"), None
    for _ in range(repeats):
        began = time.perf_counter()
        answer = function()
        best = min(best, time.perf_counter() - began)
    return best, answer


def ours(path: Path, exposure: np.ndarray, repeats: int) -> dict[str, Any]:
    """Our three tasks."""

    def estimate() -> Any:
        table = counts.count_rows(
            path, cluster="la", period="period", outcome="y", covariates=list(COVARIATES)
        )
        moments = counts.moments(table, exposure)
        grams = counts.panel_grams(table, moments)
        return grams, moments, inference.fit(grams).beta[0], inference.crv1(grams)[0, 0] ** 0.5

    seconds, (grams, moments, beta, se) = timed(estimate, repeats)
    boot, p = timed(lambda: inference.wcr_p(grams, kind="11", draws=DRAWS, seed=1), repeats)
    jackknifed, _ = timed(lambda: inference.wcr_p(grams, kind="31", draws=DRAWS, seed=1), repeats)
    permute, (inversion, _) = timed(
        lambda: ri_inversion(moments, draws=PERMUTATIONS, seed=1), repeats
    )
    return {
        "estimate": seconds,
        "bootstrap": boot,
        "bootstrap_31": jackknifed,
        "permutation": permute,
        "beta": float(beta),
        "se": float(se),
        "p_bootstrap": p,
        "p_permutation": inversion.p(0.0),
        "factor": inference_factor(grams),
        "inversion": inversion,
    }


def inference_factor(grams: inference.Grams) -> float:
    """The factor of our CRV1, to take out before errors are compared."""
    from sos_analysis.estimation.grams import small_sample

    return small_sample(grams)


def frame_of(path: Path, exposure: np.ndarray) -> Any:
    """The rows as a frame with the exposure of each, as other packages want them."""
    import pandas as pd

    frame = pd.read_parquet(path)
    frame["d"] = exposure[frame["la"].to_numpy(), frame["period"].to_numpy()]
    return frame


def with_pyfixest(path: Path, exposure: np.ndarray, repeats: int) -> tuple[float, float, float]:
    """Seconds, estimate and error (no small-sample factor) by pyfixest."""
    import pyfixest as pf

    formula = f"y ~ d + {' + '.join(f'C({c})' for c in COVARIATES)} | la + period"

    def run() -> Any:
        return pf.feols(
            formula,
            frame_of(path, exposure),
            vcov={"CRV1": "la"},
            ssc=pf.ssc(k_adj=False, G_adj=False),
        )

    seconds, found = timed(run, repeats)
    return seconds, float(found.coef()["d"]), float(found.se()["d"])


def with_linearmodels(path: Path, exposure: np.ndarray) -> tuple[float, float, float]:
    """The same by linearmodels' AbsorbingLS, once."""
    import pandas as pd
    from linearmodels.iv.absorbing import AbsorbingLS

    def run() -> Any:
        frame = frame_of(path, exposure)
        absorb = frame[["la", "period", *COVARIATES]].astype("category")
        model = AbsorbingLS(frame["y"].astype(float), frame[["d"]], absorb=absorb)
        clusters = pd.Series(frame["la"].to_numpy(), index=frame.index)
        return model.fit(cov_type="clustered", clusters=clusters, debiased=False)

    seconds, found = timed(run, 1)
    return seconds, float(found.params["d"]), float(found.std_errors["d"])


def with_statsmodels(path: Path, exposure: np.ndarray, share: int) -> tuple[float, float, float]:
    """Dense dummies by statsmodels on every `share`-th row: seconds there, times `share`."""
    import pandas as pd
    import statsmodels.api as sm

    def run() -> Any:
        frame = frame_of(path, exposure).iloc[::share]
        blocks = [
            pd.get_dummies(frame[c], drop_first=True).to_numpy(float)
            for c in ("period", *COVARIATES)
        ]
        x = np.hstack(
            [frame[["d"]].to_numpy(float), pd.get_dummies(frame["la"]).to_numpy(float), *blocks]
        )
        return sm.OLS(frame["y"].to_numpy(float), x).fit(
            cov_type="cluster", cov_kwds={"groups": frame["la"].to_numpy(), "use_correction": False}
        )

    seconds, found = timed(run, 1)
    return seconds * share, float(found.params[0]), float(found.bse[0])


def with_wildboottest(path: Path, exposure: np.ndarray) -> tuple[float, float, float]:
    """Seconds for `DRAWS` draws through pyfixest, from its fitted model; its statistic and p.

    Without covariates, whose dummies of all rows would not fit into memory, and of kind 11: it
    refits on all rows without each cluster for kind 31. Both favour it.
    """
    import pyfixest as pf

    fitted = pf.feols(
        "y ~ d | la + period",
        frame_of(path, exposure),
        vcov={"CRV1": "la"},
        ssc=pf.ssc(k_fixef="full"),
    )

    def run(draws: int) -> Any:
        return fitted.wildboottest(param="d", cluster="la", reps=draws, seed=1)

    began = time.perf_counter()
    found = run(DRAWS)
    return time.perf_counter() - began, float(found["t value"]), float(found["Pr(>|t|)"])


def check_permutations(
    path: Path, exposure: np.ndarray, mine: dict[str, Any], refits: int
) -> float:
    """Seconds of a refit by pyfixest; its coefficients must be those of our permutations."""
    import pyfixest as pf

    frame = frame_of(path, exposure)
    formula = f"y ~ d + {' + '.join(f'C({c})' for c in COVARIATES)} | la + period"
    rng = np.random.default_rng(1)
    kinds, code = np.unique(exposure, axis=0, return_inverse=True)
    assigned = rng.permuted(np.tile(code.reshape(-1), (PERMUTATIONS, 1)), axis=1)
    drawn = mine["inversion"].a
    spent = []
    for b in range(refits + 1):
        permuted = kinds[assigned[b]]
        frame["d"] = permuted[frame["la"].to_numpy(), frame["period"].to_numpy()]
        began = time.perf_counter()
        found = pf.feols(
            formula, frame, vcov={"CRV1": "la"}, ssc=pf.ssc(k_fixef="full"), copy_data=False
        )
        spent.append(time.perf_counter() - began)
        same(float(found.coef()["d"]), float(drawn[b]), 1e-6, f"permutation {b}")
    return min(spent[1:])


def same(found: float, wanted: float, tolerance: float, what: str) -> None:
    """Stop if two numbers that must agree do not."""
    if not abs(found - wanted) <= tolerance * max(abs(wanted), 1e-4):
        raise SystemExit(f"{what}: {found!r} is not {wanted!r}")


def run(rows: int, repeats: int, refits: int, quick: bool) -> dict[str, Any]:
    """All timings of one run, estimates compared."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        exposure = make(path, rows)
        mine = ours(path, exposure, max(repeats, 5))
        plain = mine["se"] / np.sqrt(mine["factor"])
        timings: dict[str, dict[str, float]] = {"estimate": {}, "bootstrap": {}, "permutation": {}}
        for name, call in (
            ("pyfixest", lambda: with_pyfixest(path, exposure, repeats)),
            ("linearmodels", lambda: with_linearmodels(path, exposure)),
        ):
            seconds, beta, se = call()
            same(beta, mine["beta"], 1e-6, f"{name}: estimate")
            same(se, float(plain), 1e-4, f"{name}: error")
            timings["estimate"][name] = seconds
        if not quick:
            timings["estimate"]["statsmodels (a tenth of the rows, times ten)"] = with_statsmodels(
                path, exposure, 10
            )[0]
        seconds, _, p = with_wildboottest(path, exposure)
        timings["bootstrap"]["pyfixest with wildboottest, no covariates"] = seconds
        # The same model here: two independent sets of draws, four of their Monte Carlo errors.
        plain_table = counts.count_rows(path, cluster="la", period="period", outcome="y")
        same_model = counts.panel_grams(plain_table, counts.moments(plain_table, exposure))
        check = inference.wcr_p(same_model, kind="11", draws=DRAWS, seed=2)
        if abs(check - p) > 4 * np.sqrt(2 * check * (1 - check) / DRAWS):
            raise SystemExit(f"wildboottest: p is {p}, ours {check}")
        mine["p_without_covariates"], mine["p_wildboottest"] = check, p
        refit = check_permutations(path, exposure, mine, refits)
        timings["permutation"][f"pyfixest ({refits} refits, multiplied)"] = refit * PERMUTATIONS
    mine.pop("inversion")
    return {"rows": rows, "ours": mine, "others": timings}


def report(found: dict[str, Any]) -> dict[str, Any]:
    """What was measured, on what, and how it compares with the targets."""
    out: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()}",
        "load": [round(v, 1) for v in os.getloadavg()],
        "threads": {"blas": int(os.environ["OMP_NUM_THREADS"]), "engines": THREADS},
        "python": platform.python_version(),
        "versions": versions(
            "numpy",
            "duckdb",
            "pyarrow",
            "pandas",
            "statsmodels",
            "linearmodels",
            "pyfixest",
            "wildboottest",
        ),
        **found,
        "ratios": {},
    }
    for task, target in TARGETS.items():
        fastest = min(found["others"][task], key=found["others"][task].get)
        ratio = found["others"][task][fastest] / found["ours"][task]
        out["ratios"][task] = {"against": fastest, "times": round(ratio, 1), "target": target}
    return out


def markdown(made: dict[str, Any]) -> str:
    """The report as a page."""
    threads, packages = made["threads"], ", ".join(f"{k} {v}" for k, v in made["versions"].items())
    head = (
        "# Inference, timed\n\n"
        f"{made['rows']:,} rows, {CLUSTERS} clusters, {PERIODS} periods, {TREATED} treated at "
        f"different dates, {len(COVARIATES)} categorical covariates. {made['date']}; "
        f"{made['machine']}; {threads['blas']} BLAS threads for every package, "
        f"{threads['engines']} for DuckDB and pyfixest; load at the end {made['load'][0]}; Python "
        f"{made['python']}; {packages}.\n\n"
        "Estimates and errors of all packages were the same as ours in this run.\n\n"
        "| Task | Ours, s | Fastest other, s | Times faster | Target |\n|---|---|---|---|---|\n"
    )
    names = {
        "estimate": "From Parquet to estimate and error",
        "bootstrap": f"{DRAWS:,} bootstrap draws (WCR-11)",
        "permutation": f"{PERMUTATIONS:,} permutations, exact",
    }
    lines = []
    for task, found in made["ratios"].items():
        other = made["others"][task][found["against"]]
        lines.append(
            f"| {names[task]} | {made['ours'][task]:.3f} | {other:,.1f} ({found['against']}) | "
            f"{found['times']:,.0f} | {found['target']:,} |"
        )
    rest = [
        f"| {names[task]} | {name} | {seconds:,.1f} |"
        for task, others in made["others"].items()
        for name, seconds in others.items()
    ]
    return (
        head
        + "\n".join(lines)
        + f"\n\nWCR-31, which this report uses: {made['ours']['bootstrap_31']:.3f} s."
        + "\n\n| Task | Package | Seconds |\n|---|---|---|\n"
        + "\n".join(rest)
        + "\n"
    )


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--refits", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="leave statsmodels out")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    chosen = parser.parse_args()
    made = report(run(chosen.rows, chosen.repeats, chosen.refits, chosen.quick))
    chosen.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(made, indent=1, sort_keys=True)
    (chosen.out / "inference.json").write_text(text + "\n", encoding="utf-8")
    (chosen.out / "inference.md").write_text(markdown(made), encoding="utf-8")
    print(markdown(made))


if __name__ == "__main__":
    main()
