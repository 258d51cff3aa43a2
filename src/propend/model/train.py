"""From snapshots to a model: members, their blend, their calibration.

``choose`` settles rounds, strength, blend and shape out of fold, grouped by profile; ``fit`` fits with
settled choices. The pipeline calls both for the proof's model, then ``fit`` again on all matured
snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from propend.model.calibrate import (
    Calibration,
    LevelHistory,
    fit_shape,
    level_history,
    mean_log_loss,
    sigmoid,
)
from propend.model.members import (
    Labels,
    Logistic,
    Matrix,
    cross_fit_logistic,
    cross_fit_trees,
    fit_logistic,
    fit_trees,
    matrix_for_trees,
)

Float = NDArray[np.float64]

MAX_TRAINING_ROWS = 200_000
FEW_OUTCOMES = 100
"""Below so many outcomes of the rarer kind the linear member leads (reference/science.md, finding 2)."""
VERY_FEW_OUTCOMES = 40
BLEND_GRID = np.linspace(0.0, 1.0, 21)
BLEND_SHRINKAGE_OUTCOMES = 500


@dataclass(frozen=True)
class TrainingSet:
    """Labelled snapshots.

    Attributes:
        X: float32[N, F].
        label: uint8[N].
        key: uint64[N], the stable hash of each row's profile.
        cutoff: int64[N], day numbers.
    """

    X: Matrix
    label: Labels
    key: NDArray[np.uint64]
    cutoff: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def rarer(self) -> int:
        """Outcomes of the rarer kind."""
        positives = int(self.label.sum())
        return min(positives, len(self.label) - positives)


@dataclass(frozen=True)
class Choices:
    """What was settled out of fold.

    Attributes:
        rounds: boosting rounds; 0 without trees.
        strength: inverse regularisation of the logistic member.
        tree_weight: weight of the trees' log-odds in the blend.
        shape: Platt's line.
        level: level errors per training cutoff, after the shape.
        losses: out-of-fold log loss of each member and of the blend.
    """

    rounds: int
    strength: float
    tree_weight: float
    shape: Calibration
    level: LevelHistory
    losses: dict[str, float]


@dataclass(frozen=True)
class Model:
    """A fitted, calibrated model over the columns it was given.

    Attributes:
        columns: int64[C], features of the plan that are used.
        trees: one ensemble per seed; empty without trees.
        logistic: the linear member; None when the trees stand alone.
        tree_weight: weight of the trees.
        calibration: from blended log-odds to calibrated log-odds.
        base_rate: of the training snapshots.
    """

    columns: NDArray[np.int64]
    trees: tuple[xgb.Booster, ...]
    logistic: Logistic | None
    tree_weight: float
    calibration: Calibration
    base_rate: float

    def raw_margin(self, X: Matrix) -> Float:
        """float64[N]: blended log-odds before calibration. ``X`` has all of the plan's features."""
        used = np.ascontiguousarray(X[:, self.columns])
        margin = np.zeros(len(X), dtype=np.float64)
        if self.trees:
            data = matrix_for_trees(used)
            for booster in self.trees:
                margin += booster.predict(data, output_margin=True) * (self.tree_weight / len(self.trees))
        if self.logistic is not None:
            margin += self.logistic.margin(used) * (1.0 - self.tree_weight)
        return margin

    def margin(self, X: Matrix) -> Float:
        """float64[N]: calibrated log-odds."""
        return self.calibration(self.raw_margin(X))

    def probability(self, X: Matrix) -> Float:
        """float64[N]: calibrated probabilities."""
        return sigmoid(self.margin(X))

    def with_level(self, shift: float, method: str, error: float) -> Model:
        """The same model with its level moved."""
        moved = replace(self.calibration, level_shift=shift, level_method=method, level_error=error)
        return replace(self, calibration=moved)


def useful_columns(X: Matrix) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Columns that vary and are not exact copies of an earlier one, and the others with the reason."""
    seen: dict[bytes, int] = {}
    kept: list[int] = []
    dropped: list[tuple[int, str]] = []
    for j in range(X.shape[1]):
        column = np.ascontiguousarray(X[:, j])
        known = column[~np.isnan(column)]
        if len(known) == 0 or (len(known) == len(column) and known.min() == known.max()):
            dropped.append((j, "never varies"))
            continue
        twin = seen.setdefault(column.tobytes(), j)
        if twin != j:
            dropped.append((j, f"same as column {twin}"))
        else:
            kept.append(j)
    return np.array(kept, dtype=np.int64), dropped


def fold_count(rows: int, rarer: int) -> int:
    """Fewer folds for larger data: there the estimate is good enough and the fits are dear."""
    if rows > 100_000:
        return 2
    return 3 if rows > 30_000 else 5 if rarer >= 50 else 4


def folds_of(key: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """int64[N] folds by profile, from the low bits of the keys (samples use the high ones)."""
    return ((key >> np.uint64(3)) % np.uint64(count)).astype(np.int64)


def choose(train: TrainingSet, columns: NDArray[np.int64], heavy: NDArray[np.bool_], seed: int) -> Choices:
    """Rounds, strength, blend and shape, all out of fold and grouped by profile.

    Args:
        train: labelled snapshots of the training cutoffs only.
        columns: features to use.
        heavy: bool[F], features the linear member sees as logarithms.
    """
    X = np.ascontiguousarray(train.X[:, columns])
    fold = folds_of(train.key, fold_count(len(train), train.rarer))
    linear = cross_fit_logistic(X, train.label, heavy[columns], fold)
    losses = {"logistic": mean_log_loss(train.label, linear.margin)}
    if train.rarer < VERY_FEW_OUTCOMES:
        margin, weight, rounds = linear.margin, 0.0, 0
    else:
        trees = cross_fit_trees(X, train.label, fold, seed)
        losses["trees"] = mean_log_loss(train.label, trees.margin)
        weight, rounds = (
            blend_weight(train.label, trees.margin, linear.margin, train.rarer),
            int(trees.choice),
        )
        margin = weight * trees.margin + (1.0 - weight) * linear.margin
    losses["blend"] = mean_log_loss(train.label, margin)
    shape = fit_shape(train.label, margin)
    level = level_history(np.unique(train.cutoff).tolist(), train.cutoff, train.label, shape(margin))
    return Choices(rounds, linear.choice, weight, shape, level, losses)


def blend_weight(label: Labels, trees: Float, linear: Float, rarer: int) -> float:
    """Weight of the trees with the least out-of-fold log loss, shrunk towards a half by sample size."""
    losses = [mean_log_loss(label, w * trees + (1.0 - w) * linear) for w in BLEND_GRID]
    best = float(BLEND_GRID[int(np.argmin(losses))])
    trust = rarer / (rarer + BLEND_SHRINKAGE_OUTCOMES)
    weight = trust * best + (1.0 - trust) * 0.5
    return min(weight, 0.25) if rarer < FEW_OUTCOMES else weight


def seeds_of(seed: int, rows: int) -> tuple[int, ...]:
    """Several averaged seeds while they are cheap (reference/science.md, finding 3)."""
    return (seed, seed + 1000, seed + 2000) if rows <= 100_000 else (seed, seed + 1000)


def fit(train: TrainingSet, columns: NDArray[np.int64], heavy: NDArray[np.bool_], choices: Choices, seed: int) -> Model:
    """The model with settled choices, on all rows given."""
    X = np.ascontiguousarray(train.X[:, columns])
    trees = fit_trees(X, train.label, choices.rounds, seeds_of(seed, len(train))) if choices.rounds else ()
    weight = choices.tree_weight if trees else 0.0
    logistic = fit_logistic(X, train.label, heavy[columns], choices.strength) if weight < 1.0 else None
    return Model(columns, trees, logistic, weight, choices.shape, float(train.label.mean()))
