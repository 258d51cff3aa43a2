"""How fast factors are explained, and whether they are right: propend's kernel beside XGBoost's ``pred_contribs``.

Both explain the same ensembles on the same rows with the same number of threads, in turns, in one run; of several
turns the median counts. What is done once for a model or a matrix is done before the clocks start: the library's
``DMatrix``, our reading of its trees. Its contributions are summed into the same factors and compared. The run fails
if they differ by more than 1e-5 log-odds, or if contributions do not sum to the margin.

    python benchmarks/explain.py            # under a minute
    FULL=1 python benchmarks/explain.py     # 100,000 rows, then a million for the memory they need
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from propend.explain.shap import Trees, factor_contributions
from propend.model.members import fit_trees, workers

Matrix = NDArray[np.float32]

FEATURES, FACTORS, ROUNDS = 150, 20, 200
ENSEMBLES = 3
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Size:
    """Rows to fit on, for our kernel, for the library, and for the memory (0: not measured)."""

    fit: int
    ours: int
    library: int
    memory: int
    turns: int


SHORT, FULL = Size(10_000, 20_000, 800, 0, 3), Size(50_000, 100_000, 5_000, 1_000_000, 5)


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


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Measure, print, compare."""
    size, threads = FULL if os.environ.get("FULL") else SHORT, numba.get_num_threads()
    with workers() as pool:
        boosters = fit_trees(*profiles(size.fit, 1), ROUNDS, np.arange(size.fit) % ENSEMBLES, 1, pool)
    for booster in boosters:
        booster.set_param({"nthread": threads})
    weights = [1.0 / len(boosters)] * len(boosters)
    X, every = profiles(size.ours, 2)[0], np.arange(FEATURES)
    group = every * FACTORS // FEATURES
    some = xgb.DMatrix(X[: size.library], nthread=threads)
    print(f"XGBoost {xgb.__version__}, Numba {numba.__version__}, {threads} threads")

    start = time.perf_counter()
    trees = Trees.concat([Trees.from_booster(b) for b in boosters], weights)
    read = time.perf_counter()
    factor_contributions(trees, X[:1], group, FACTORS)
    print(f"reading the trees {read - start:.1f} s, compiling or loading the kernel {time.perf_counter() - read:.1f} s")

    speed, given = in_turns(
        size.turns,
        {
            "ours, into factors": (len(X), lambda: factor_contributions(trees, X, group, FACTORS)),
            "library, pred_contribs": (size.library, lambda: [b.predict(some, pred_contribs=True) for b in boosters]),
            "ours, per feature": (len(X), lambda: factor_contributions(trees, X, every, FEATURES)),
            "library, margins only": (len(X), lambda: [b.inplace_predict(X, predict_type="margin") for b in boosters]),
        },
    )
    for name, rate in speed.items():
        print(f"{name:24}{rate:12,.0f} rows/s")

    ours, base = given["ours, into factors"]
    theirs = np.mean(np.asarray(given["library, pred_contribs"], dtype=np.float64), axis=0)
    into = np.eye(FACTORS)[group]
    apart = float(np.abs(theirs[:, :-1] @ into - ours[: size.library]).max())
    margin = np.mean(np.asarray(given["library, margins only"], dtype=np.float64), axis=0)
    unsummed = float(np.abs(base + ours.sum(axis=1, dtype=np.float64) - margin).max())
    print(f"largest differences, in log-odds: of a contribution {apart:.1e}, of a sum from the margin {unsummed:.1e}")
    if size.memory:
        many = np.empty((size.memory, FEATURES), dtype=np.float32)
        for first in range(0, size.memory, len(X)):
            many[first : first + len(X)] = X[: size.memory - first]
        before, start = peak_megabytes(), time.perf_counter()
        factor_contributions(trees, many, group, FACTORS)
        taken, result = time.perf_counter() - start, size.memory * FACTORS * 4 / 2**20
        print(
            f"{size.memory:,} rows in {taken:.1f} s, with {peak_megabytes() - before:.0f} MB more than the matrix, "
            f"of which the result is {result:.0f} MB"
        )
    if max(apart, unsummed) > TOLERANCE:
        sys.exit(f"contributions differ by more than {TOLERANCE:.0e}")
    fast, slow, plain = (speed[k] for k in ("ours, into factors", "library, pred_contribs", "library, margins only"))
    print(
        f"Contributions of {len(boosters)} x {ROUNDS} trees over {FEATURES} features, summed into {FACTORS} factors, "
        f"come at {fast:,.0f} rows/s, {fast / slow:.0f} times the {slow:,.0f} of XGBoost's pred_contribs and "
        f"{fast / plain:.2f} times its plain prediction, and equal the library's to {apart:.0e}."
    )


if __name__ == "__main__":
    main()
