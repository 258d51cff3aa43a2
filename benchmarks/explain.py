"""How fast factors are explained, and whether they are right: propend's kernel beside the libraries'.

XGBoost's ``pred_contribs`` and Woodelf explain the same ensembles on the same rows, LightGBM's ``pred_contrib`` one of
its own with as many trees, leaves and levels; all with the same number of threads where they take one, in turns, in one
run; of several turns the median counts. What is done once for a model or a matrix is done before the clocks start: the
libraries' matrices, our reading of the trees. Contributions of the same ensembles are summed into the same factors and
compared, path-dependent with XGBoost's, interventional with Woodelf's. The run fails if they differ by more than 1e-5
log-odds, or if contributions do not sum to the margin.

    python benchmarks/explain.py            # under a minute
    FULL=1 python benchmarks/explain.py     # a million rows, and the memory they need
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numba
import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray
from woodelf import WoodelfExplainer

from propend.explain.shap import Trees, factor_contributions
from propend.model.members import MAX_DEPTH, fit_trees, workers

Matrix = NDArray[np.float32]

OURS, EVERY, INTERVENTIONAL = "propend, into factors", "propend, per feature", "propend, into factors, interventional"
PLAIN, XGBOOST, LIGHTGBM, WOODELF = (
    "XGBoost, plain prediction",
    "XGBoost, pred_contribs",
    "LightGBM, pred_contrib",
    "Woodelf",
)
FEATURES, FACTORS, ROUNDS = 150, 20, 200
ENSEMBLES = 3
BACKGROUND = 100
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Size:
    """Rows to fit on, for our kernel and plain prediction, for the libraries' own contributions, and for Woodelf."""

    fit: int
    ours: int
    library: int
    woodelf: int
    turns: int


SHORT, FULL = Size(10_000, 20_000, 600, 2_000, 3), Size(50_000, 1_000_000, 5_000, 100_000, 3)


def profiles(rows: int, seed: int) -> tuple[Matrix, NDArray[np.uint8]]:
    """Correlated features as a plan makes them: counts, amounts, shares and days, a quarter of the days missing."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(0, 0.4, (12, FEATURES))
    X = (rng.normal(size=(rows, 12)) @ mixing + rng.normal(size=(rows, FEATURES))).astype(np.float32)
    X[:, ::3] = np.round(np.exp(X[:, ::3]))
    margin = (
        0.5 * X[:, 1]
        - 0.1 * np.minimum(X[:, 3], 20)
        + 0.3 * X[:, 4] * X[:, 7]
        + (X[:, 10] > 0)
        + 0.1 * X[:, 13:40].sum(axis=1)
    )
    X[:, 2::4][rng.random(X[:, 2::4].shape) < 0.25] = np.nan
    return X, (rng.random(rows) < 1 / (1 + np.exp(2.5 - np.nan_to_num(margin)))).astype(np.uint8)


def in_turns(turns: int, works: dict[str, tuple[int, Callable[[], Any]]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Rows per second of each work, the median of its turns, and what it gave."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    given: dict[str, Any] = {}
    for _ in range(turns):
        for name, (_, work) in works.items():
            start = time.perf_counter()
            given[name] = work()
            seconds[name].append(time.perf_counter() - start)
    return {name: works[name][0] / float(np.median(taken)) for name, taken in seconds.items()}, given


def megabytes_above(work: Callable[[], Any]) -> float:
    """The most memory that the process held during the work, above what it held before (Linux)."""

    def held(what: str) -> float:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak until now
    before = held("VmRSS")
    work()
    return held("VmHWM") - before


def leaf_for_leaf(rows: Matrix, label: NDArray[np.uint8], threads: int) -> lgb.Booster:
    """LightGBM with as many trees as all our ensembles have, as deep and with as many leaves."""
    settings = {"objective": "binary", "num_leaves": 2**MAX_DEPTH, "max_depth": MAX_DEPTH, "num_threads": threads}
    return lgb.train(settings | {"verbose": -1}, lgb.Dataset(rows, label), ENSEMBLES * ROUNDS)


def woodelf_values(boosters: list[xgb.Booster], rows: Matrix, background: Matrix | None) -> NDArray[np.float64]:
    """float64[N, F]: the mean of the ensembles' contributions, in Woodelf's hands."""
    names = [f"f{i}" for i in range(rows.shape[1])]
    known = None if background is None else pd.DataFrame(background, columns=names)
    many = pd.DataFrame(rows, columns=names)
    found = [WoodelfExplainer(b, known).shap_values(many, verbose=False) for b in boosters]
    return np.mean(np.asarray(found, dtype=np.float64), axis=0)


def main() -> None:
    """Measure, print, compare."""
    size, threads = FULL if os.environ.get("FULL") else SHORT, numba.get_num_threads()
    known, label = profiles(size.fit, 1)
    with workers() as pool:
        boosters = fit_trees(known, label, ROUNDS, np.arange(size.fit) % ENSEMBLES, 1, pool)
    for booster in boosters:
        booster.set_param({"nthread": threads})
    other = leaf_for_leaf(known, label, threads)
    X, every = profiles(size.ours, 2)[0], np.arange(FEATURES)
    group, background = every * FACTORS // FEATURES, known[:BACKGROUND]
    some = xgb.DMatrix(X[: size.library], nthread=threads)
    versions = (f"{m.__name__} {m.__version__}" for m in (xgb, lgb, numba))
    print(f"{', '.join(versions)}, {threads} threads")

    start = time.perf_counter()
    trees = Trees.concat([Trees.from_booster(b) for b in boosters], [1.0 / len(boosters)] * len(boosters))
    read = time.perf_counter()
    factor_contributions(trees, X[:1], group, FACTORS)
    print(f"reading the trees {read - start:.1f} s, compiling or loading the kernel {time.perf_counter() - read:.1f} s")
    held = megabytes_above(lambda: factor_contributions(trees, X, group, FACTORS))
    result = len(X) * FACTORS * 4 / 2**20
    print(f"{len(X):,} rows take {held:.0f} MB above the matrix, of which the result is {result:.0f} MB")

    speed, given = in_turns(
        size.turns,
        {
            OURS: (len(X), lambda: factor_contributions(trees, X, group, FACTORS)),
            PLAIN: (len(X), lambda: [b.inplace_predict(X, predict_type="margin") for b in boosters]),
            XGBOOST: (size.library, lambda: [b.predict(some, pred_contribs=True) for b in boosters]),
            LIGHTGBM: (size.library, lambda: other.predict(X[: size.library], pred_contrib=True)),
            WOODELF: (size.woodelf, lambda: woodelf_values(list(boosters), X[: size.woodelf], None)),
            EVERY: (len(X), lambda: factor_contributions(trees, X, every, FEATURES)),
            INTERVENTIONAL: (len(X), lambda: factor_contributions(trees, X, group, FACTORS, background)),
        },
    )
    for name, rate in speed.items():
        print(f"{name:44}{rate:12,.0f} rows/s")

    into = np.eye(FACTORS)[group]
    ours, base = given[OURS]
    theirs = np.mean(np.asarray(given[XGBOOST], dtype=np.float64), axis=0)[:, :-1]
    margin = np.mean(np.asarray(given[PLAIN], dtype=np.float64), axis=0)
    few = X[: size.library]
    apart = {
        "XGBoost": np.abs(theirs @ into - ours[: len(few)]).max(),
        "Woodelf": np.abs(given[WOODELF] @ into - ours[: size.woodelf]).max(),
        "Woodelf, interventional": np.abs(
            woodelf_values(list(boosters), few, background) @ into - given[INTERVENTIONAL][0][: len(few)]
        ).max(),
        "the margin": np.abs(base + ours.sum(axis=1, dtype=np.float64) - margin).max(),
    }
    print("largest differences, in log-odds: " + ", ".join(f"from {name} {d:.1e}" for name, d in apart.items()))
    judges = {
        name: d for name, d in apart.items() if name != "Woodelf"
    }  # which is itself apart from XGBoost's own here
    if max(judges.values()) > TOLERANCE:
        sys.exit(f"contributions differ by more than {TOLERANCE:.0e}")
    fast = speed[OURS]
    print(
        f"Contributions of {len(boosters)} x {ROUNDS} trees over {FEATURES} features, summed into {FACTORS} factors, "
        f"come at {fast:,.0f} rows/s: {fast / speed[XGBOOST]:.0f} times XGBoost's pred_contribs, "
        f"{fast / speed[LIGHTGBM]:.0f} times LightGBM's pred_contrib, {fast / speed[WOODELF]:.1f} times Woodelf, in "
        f"{speed[PLAIN] / fast:.2f} times the time of XGBoost's plain prediction; interventional against "
        f"{BACKGROUND} rows at {speed[INTERVENTIONAL]:,.0f} rows/s."
    )


if __name__ == "__main__":
    main()
