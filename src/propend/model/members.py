"""The members of the model: boosted trees, and logistic regressions on all features and on a simple few.

Both are fitted on fixed numbers of threads with fixed seeds, so that a result does not depend on the
machine's cores. Settings follow reference/science.md, recommended recipe 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from propend.model.calibrate import mean_log_loss

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]
Labels = NDArray[np.uint8]
Member = TypeVar("Member")

LEARNING_RATE, FAST_RATE = 0.08, 0.12
MANY_ROWS = 100_000
MAX_ROUNDS = 250
PATIENCE = 25
MAX_DEPTH = 5
THREADS_PER_FIT = 1
"""Sums depend on the number of threads, XGBoost's and BLAS's alike: one each, several fits side by side."""

LOGISTIC_ROWS = 12_000
LOGISTIC_CELLS = 1_500_000
"""Rows that settle a line: so many, and as many more as make so many cells."""
SMALL_ROWS = 5_000
"""Up to here every fold has a say in the strength of a line; of more rows two folds tell as well."""
STRENGTHS = (0.0003, 0.003, 0.03, 0.3)
SIMPLE_STRENGTHS = (0.01, 1.0)
Z_LIMIT = 6.0


@contextmanager
def plain_sums() -> Iterator[None]:
    """Sums over matrices within are made by one thread each: alike on every machine, and none waits for another."""
    with threadpool_limits(THREADS_PER_FIT, "blas"):
        yield


@contextmanager
def workers() -> Iterator[Executor]:
    """Two workers for fits of one thread each; whatever is fitted on them, and in which order, comes out the same."""
    with plain_sums(), ThreadPoolExecutor(2) as pool:
        yield pool


# --- boosted trees --------------------------------------------------------------------------------------


def learning_rate(rows: int) -> float:
    """How much of what a tree finds is taken: of many rows more, which takes fewer trees."""
    return LEARNING_RATE if rows <= MANY_ROWS else FAST_RATE


def tree_parameters(base_rate: float, seed: int, rate: float = LEARNING_RATE) -> dict[str, object]:
    """XGBoost's settings; a leaf holds about thirty rows' worth of information."""
    information = base_rate * (1.0 - base_rate)
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "max_bin": 128,
        "eta": rate,
        "max_depth": MAX_DEPTH,
        "min_child_weight": float(np.clip(30.0 * information, 1.0, 8.0)),
        "colsample_bytree": 0.5,
        "subsample": 0.8,
        "lambda": 8.0,
        "base_score": float(np.clip(base_rate, 1e-6, 1 - 1e-6)),
        "nthread": THREADS_PER_FIT,
        "seed": seed,
    }


def matrix_for_trees(X: Matrix, label: Labels | None = None) -> xgb.DMatrix:
    """The library's own form of a matrix; NaN is missing."""
    return xgb.DMatrix(X, label=label, missing=np.nan, nthread=THREADS_PER_FIT)


@dataclass(frozen=True)
class CrossFit(Generic[Member]):
    """Members fitted without one fold each, and what they say of the rows of theirs.

    Attributes:
        margin: float64[N], log-odds of each row by the member that had not seen its profile.
        choice: rounds or strength, settled by the log loss of these.
        members: what stands for the fit: for trees one ensemble per fold; for a line one, their mean.
    """

    margin: Float
    choice: float
    members: tuple[Member, ...]


def cross_fit_trees(
    X: Matrix, label: Labels, fold: NDArray[np.int64], seed: int, pool: Executor
) -> CrossFit[xgb.Booster]:
    """One ensemble without each fold, at the number of rounds with the least mean log loss out of fold.

    Args:
        fold: int64[N]; all rows of a profile are in one fold.
    """
    rate = learning_rate(len(label))

    def grow(k: int) -> tuple[xgb.Booster, list[float]]:
        inside, outside = fold != k, fold == k
        log: dict[str, dict[str, list[float]]] = {}
        held = matrix_for_trees(X[outside], label[outside])
        booster = xgb.train(
            tree_parameters(float(label[inside].mean()), seed + k, rate),
            matrix_for_trees(X[inside], label[inside]),
            num_boost_round=MAX_ROUNDS,
            evals=[(held, "held")],
            evals_result=log,
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
        return booster, log["held"]["logloss"]

    grown = list(pool.map(grow, _numbers(fold)))
    shortest = min(len(curve) for _, curve in grown)
    mean_curve = np.average([curve[:shortest] for _, curve in grown], axis=0, weights=np.bincount(fold))
    rounds = int(np.argmin(mean_curve)) + 1
    members = tuple(booster[:rounds] for booster, _ in grown)
    margin = np.empty(len(label), dtype=np.float64)
    for k, booster in enumerate(members):
        rows = fold == k
        margin[rows] = booster.predict(matrix_for_trees(X[rows]), output_margin=True)
    return CrossFit(margin, rounds, members)


def fit_trees(
    X: Matrix,
    label: Labels,
    rounds: int,
    fold: NDArray[np.int64],
    seed: int,
    pool: Executor,
    rate: float = LEARNING_RATE,
) -> tuple[xgb.Booster, ...]:
    """One ensemble without each fold, as in the cross-fit, with settled rounds at the rate that settled them."""

    def grow(k: int) -> xgb.Booster:
        inside = fold != k
        parameters = tree_parameters(float(label[inside].mean()), seed + k, rate)
        return xgb.train(parameters, matrix_for_trees(X[inside], label[inside]), num_boost_round=rounds)

    return tuple(pool.map(grow, _numbers(fold)))


def _numbers(fold: NDArray[np.int64]) -> range:
    return range(int(fold.max()) + 1)


# --- logistic regression --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """How features become the columns of the linear member.

    Heavy-tailed features enter as signed logarithms; missing values stand at the mean and are told by
    an indicator column where they are neither rare nor nearly everywhere. Values beyond those of training
    count as the most extreme ones seen there: a line must not be extended into what nobody has observed.

    Attributes:
        heavy: bool[F].
        center, scale: float64[F] of the transformed feature.
        low, high: float64[F], the range of the standardised feature in training.
        indicated: int64[M] features with an indicator column.
        missing_share: float64[M] their share of missing values.
        squared: int64[S] features whose square enters, too.
    """

    heavy: NDArray[np.bool_]
    center: Float
    scale: Float
    low: Float
    high: Float
    indicated: NDArray[np.int64]
    missing_share: Float
    squared: NDArray[np.int64]

    @classmethod
    def fit(cls, X: Matrix, heavy: NDArray[np.bool_], squares: bool = False) -> Scaling:
        """Centers and scales of rows, float32[N, C]: heavy columns as logarithms, squares beside if asked for."""
        raw, missing = _transform(X, heavy)
        share = missing.mean(axis=0)
        known = np.maximum(len(raw) - missing.sum(axis=0), 1)
        raw[missing] = 0.0
        center = raw.sum(axis=0, dtype=np.float64) / known
        raw -= center.astype(np.float32)
        raw[missing] = 0.0
        spread = np.einsum("ij,ij->j", raw, raw, dtype=np.float64) / known
        scale = np.where(spread > 1e-14, np.sqrt(spread), 1.0)
        edges = raw.min(axis=0), raw.max(axis=0)
        low, high = (np.clip(e / scale.astype(np.float32), -Z_LIMIT, Z_LIMIT).astype(np.float64) for e in edges)
        indicated = np.flatnonzero((share > 0.01) & (share < 0.99)).astype(np.int64)
        squared = np.arange(len(heavy) if squares else 0, dtype=np.int64)
        return cls(heavy, center, scale, low, high, indicated, share[indicated], squared)

    def __call__(self, X: Matrix) -> Matrix:
        """float32[N, F + M + S]: standardised features, centred indicators, squares."""
        raw, missing = _transform(X, self.heavy)
        center, scale, low, high, share = (
            a.astype(np.float32) for a in (self.center, self.scale, self.low, self.high, self.missing_share)
        )
        raw -= center
        raw /= scale
        raw[missing] = 0.0
        z = np.clip(raw, low, high, out=raw)
        return np.hstack([z, missing[:, self.indicated].astype(np.float32) - share, z[:, self.squared] ** 2])

    @property
    def feature_of_column(self) -> NDArray[np.int64]:
        """int64[F + M + S]: the feature each column belongs to."""
        return np.concatenate([np.arange(len(self.heavy)), self.indicated, self.squared]).astype(np.int64)


def _transform(X: Matrix, heavy: NDArray[np.bool_]) -> tuple[Matrix, NDArray[np.bool_]]:
    """float32[N, C] of our own, heavy columns as logarithms, and bool[N, C]: where there is no finite value."""
    raw = np.array(X, dtype=np.float32)
    missing = ~np.isfinite(raw)
    tail = raw[:, heavy]
    raw[:, heavy] = np.copysign(np.log1p(np.abs(tail)), tail)
    return raw, missing


@dataclass(frozen=True)
class Logistic:
    """A fitted linear member: ``margin = Z @ coefficients + intercept``.

    Attributes:
        columns: int64[C], features it sees, of those the model uses.
        scaling: from these features to the columns of Z.
        coefficients, intercept: of the fit.
        center: float64, mean of each column of Z in training.
    """

    columns: NDArray[np.int64]
    scaling: Scaling
    coefficients: Float
    intercept: float
    center: Float

    def columns_of(self, X: Matrix) -> Matrix:
        """float32[N, K]: Z. ``X`` has the features the model uses."""
        return self.scaling(X[:, self.columns])

    def margin(self, X: Matrix) -> Float:
        """float64[N], log-odds. ``X`` has the features the model uses."""
        z = self.columns_of(X).astype(np.float64, order="C")
        # not ``@``: how that adds up a row depends on the rows around it, and profiles are judged in any company
        return np.asarray(np.einsum("ij,j->i", z, self.coefficients) + self.intercept, dtype=np.float64)

    @property
    def feature_of_column(self) -> NDArray[np.int64]:
        """int64[K]: the feature, of those the model uses, that each column of Z belongs to."""
        return self.columns[self.scaling.feature_of_column]


@dataclass(frozen=True)
class LinearForm:
    """Which features a linear member sees, and how.

    Attributes:
        columns: int64[C], of the features the model uses.
        heavy: bool[C], those seen as logarithms.
        squares: whether squares enter.
        strengths: inverse regularisations to choose from, ascending.
    """

    columns: NDArray[np.int64]
    heavy: NDArray[np.bool_]
    squares: bool
    strengths: tuple[float, ...]


def full_form(heavy: NDArray[np.bool_]) -> LinearForm:
    """Every feature, strongly regularised."""
    return LinearForm(np.arange(len(heavy), dtype=np.int64), heavy, False, STRENGTHS)


def simple_form(heavy: NDArray[np.bool_], columns: NDArray[np.int64]) -> LinearForm:
    """A few features with their squares, hardly regularised: recency, frequency, money and age of one event."""
    return LinearForm(columns, heavy[columns], True, SIMPLE_STRENGTHS)


class _Regression:
    """Ridge-penalised logistic regression of one set of rows; each strength starts from where the last one ended.

    Newton's method takes four or five steps here, where lbfgs takes up to hundreds and stops short.
    """

    def __init__(self, Z: Float, label: Labels) -> None:
        self._rows = Z, label
        self._fit = LogisticRegression(solver="newton-cholesky", max_iter=100, tol=1e-5, warm_start=True)

    def __call__(self, strength: float) -> Float:
        """float64[K + 1]: coefficients, and the intercept last."""
        self._fit.set_params(C=strength).fit(*self._rows)
        return np.append(self._fit.coef_[0], self._fit.intercept_[0]).astype(np.float64)


def _thin(rows: NDArray[np.int64], columns: int) -> NDArray[np.int64]:
    """Evenly taken rows, enough for so many columns."""
    return rows[:: max(1, round(len(rows) / max(LOGISTIC_ROWS, LOGISTIC_CELLS // columns)))]


def fit_logistic(X: Matrix, label: Labels, form: LinearForm, strength: float) -> Logistic:
    """A linear member at one strength, on evenly taken rows."""
    rows = _thin(np.arange(len(label)), len(form.columns))
    seen = X[rows][:, form.columns]
    scaling = Scaling.fit(seen, form.heavy, form.squares)
    Z = scaling(seen).astype(np.float64)
    with plain_sums():
        theta = _Regression(Z, label[rows])(strength)
    return Logistic(form.columns, scaling, theta[:-1], float(theta[-1]), Z.mean(axis=0))


def cross_fit_logistic(
    X: Matrix, label: Labels, form: LinearForm, fold: NDArray[np.int64], pool: Executor
) -> CrossFit[Logistic]:
    """The mean of the lines without each fold, at the strength with the least log loss out of fold.

    Of large data two folds settle the strength. Columns are scaled alike in all folds: that takes no outcome.
    """
    folds = list(_numbers(fold))
    settling = folds if len(label) < SMALL_ROWS else folds[:2]
    scaling = Scaling.fit(X[:, form.columns], form.heavy, form.squares)
    Z = scaling(X[:, form.columns]).astype(np.float64)
    lines: dict[tuple[int, float], Float] = {}
    held = {strength: np.empty(len(label), dtype=np.float64) for strength in form.strengths}

    def fit(k: int, strengths: Sequence[float]) -> None:
        inside, outside = _thin(np.flatnonzero(fold != k), len(form.columns)), fold == k
        regression = _Regression(Z[inside], label[inside])
        for strength in strengths:
            line = lines[k, strength] = regression(strength)
            held[strength][outside] = Z[outside] @ line[:-1] + line[-1]

    list(pool.map(lambda k: fit(k, form.strengths), settling))
    settled = np.isin(fold, settling)
    best = min(form.strengths, key=lambda s: mean_log_loss(label[settled], held[s][settled]))
    list(pool.map(lambda k: fit(k, (best,)), folds[len(settling) :]))
    line = np.mean([lines[k, best] for k in folds], axis=0)
    return CrossFit(held[best], best, (Logistic(form.columns, scaling, line[:-1], float(line[-1]), Z.mean(axis=0)),))
