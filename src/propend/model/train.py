"""From snapshots to a model: members, their blend, their calibration.

``choose`` settles rounds, strength, blend and shape out of fold, grouped by profile; the members fitted on
the way are the proof's model. ``fit`` makes the same kind of model with settled choices, on all matured
snapshots.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from propend.language import say
from propend.model.calibrate import (
    Calibration,
    fit_shape,
    logit,
    mean_log_loss,
    sigmoid,
)
from propend.model.encodings import Encoding, encode_out_of_fold
from propend.model.members import (
    Labels,
    LinearForm,
    Logistic,
    Matrix,
    cross_fit_logistic,
    cross_fit_trees,
    fit_logistic,
    fit_trees,
    full_form,
    learning_rate,
    matrix_for_trees,
    simple_form,
    workers,
)
from propend.model.newest import settled, with_time

Float = NDArray[np.float64]

FEW_OUTCOMES = 100
"""Below so many outcomes of the rarer kind the linear member leads (reference/science.md, finding 2)."""
VERY_FEW_OUTCOMES = 40
BLEND_STEPS = 20
MAX_BLEND_ROWS = 20_000
BLEND_SHRINKAGE_OUTCOMES = 200
PRIORS = {"trees": 1.0, "logistic": 1.0, "simple": 3.0}
"""Weights to start from where outcomes are few."""
LEAST_WEIGHT = 0.04
"""A member that gets less is left out."""


@dataclass(frozen=True)
class TrainingSet:
    """Labelled snapshots.

    Attributes:
        X: float32[N, F].
        label: uint8[N].
        key: uint64[N], the stable hash of each row's profile.
        cutoff: int64[N], day numbers.
        odds_shift: by how much the log-odds of label 1 are higher in these rows than in the population, where a rare
            outcome is drawn more often than the other.
    """

    X: Matrix
    label: Labels
    key: NDArray[np.uint64]
    cutoff: NDArray[np.int64]
    odds_shift: float = 0.0

    def __len__(self) -> int:
        return len(self.label)

    def where(self, chosen: NDArray[np.bool_], odds_shift: float) -> TrainingSet:
        """Those snapshots of which bool[N] is true, drawn so that the log-odds are so much higher."""
        return TrainingSet(self.X[chosen], self.label[chosen], self.key[chosen], self.cutoff[chosen], odds_shift)

    @property
    def rarer(self) -> int:
        """Profiles with an outcome of the rarer kind: rows of one profile say much the same."""
        return min(len(np.unique(self.key[self.label == value])) for value in (0, 1))


@dataclass(frozen=True)
class Columns:
    """Which features of the plan a model uses, and how.

    Attributes:
        used: int64[C], features of the plan.
        heavy: bool[C], those that linear members see as logarithms.
        simple: int64[S], positions in ``used`` of recency, frequency, money and age of the goal's event.
        coded: positions in ``used`` of columns of codes, and how many values each has.
    """

    used: NDArray[np.int64]
    heavy: NDArray[np.bool_]
    simple: NDArray[np.int64]
    coded: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Choices:
    """What was settled out of fold.

    Attributes:
        rounds: boosting rounds; 0 without trees.
        rate: the learning rate they were settled at.
        strengths: inverse regularisation of each linear member: all features, the simple ones.
        weights: of the log-odds of the trees and of each linear member; they sum to 1.
        shape: Platt's line, to the odds of the population.
        losses: out-of-fold log loss of each member and of the blend.
    """

    rounds: int
    rate: float
    strengths: tuple[float, float]
    weights: tuple[float, float, float]
    shape: Calibration
    losses: dict[str, float]


@dataclass(frozen=True)
class Model:
    """A fitted, calibrated model over the columns it was given.

    Attributes:
        columns: int64[C], features of the plan that are used.
        trees: one ensemble without each fold; empty without trees.
        tree_weight: weight of the trees.
        linear: the linear members that have a weight.
        linear_weights: one each; with the trees' they sum to 1.
        calibration: from blended log-odds to calibrated log-odds.
        base_rate: of all snapshots that the training ones were drawn from.
        encodings: of the columns of codes.
    """

    columns: NDArray[np.int64]
    trees: tuple[xgb.Booster, ...]
    tree_weight: float
    linear: tuple[Logistic, ...]
    linear_weights: tuple[float, ...]
    calibration: Calibration
    base_rate: float
    encodings: tuple[Encoding, ...] = ()

    def inputs(self, X: Matrix) -> Matrix:
        """float32[N, C]: what the members see. ``X`` has all of the plan's features."""
        used = np.take(X, self.columns, axis=1)
        for encoding in self.encodings:
            used[:, encoding.place] = encoding(used[:, encoding.place])
        return used

    def raw_margin(self, X: Matrix) -> Float:
        """float64[N]: blended log-odds before calibration. ``X`` has all of the plan's features."""
        used = self.inputs(X)
        margin = np.zeros(len(X), dtype=np.float64)
        if self.trees:
            data = matrix_for_trees(used)
            for booster in self.trees:
                margin += booster.predict(data, output_margin=True) * (self.tree_weight / len(self.trees))
        for member, weight in zip(self.linear, self.linear_weights, strict=True):
            margin += member.margin(used) * weight
        return margin

    def margin(self, X: Matrix) -> Float:
        """float64[N]: calibrated log-odds."""
        return self.calibration(self.raw_margin(X))

    def probability(self, X: Matrix) -> Float:
        """float64[N]: calibrated probabilities."""
        return sigmoid(self.margin(X))

    def with_level(self, shift: float, error: float) -> Model:
        """The same model with its level moved, and the error to expect of that; both in log-odds."""
        moved = replace(self.calibration, level_shift=shift, level_error=error)
        return replace(self, calibration=moved)


@dataclass(frozen=True)
class Dropped:
    """A column that is not used.

    Attributes:
        column: its position in the plan.
        reason: in words.
        twin: the earlier column it is a copy of, or -1.
    """

    column: int
    reason: str
    twin: int = -1


def useful_columns(X: Matrix, cutoff: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], list[Dropped]]:
    """Columns that vary and are not exact copies of an earlier one, and the others with the reason.

    Args:
        X: float32[N, F].
        cutoff: int64[N], of the rows: what differs from cutoff to cutoff alone says nothing of profiles.
    """
    varied = _varied(X, np.zeros(len(X), np.int64) if cutoff is None else cutoff)
    seen: dict[bytes, int] = {}
    kept: list[int] = []
    dropped: list[Dropped] = []
    for j in range(X.shape[1]):
        column = np.ascontiguousarray(X[:, j])
        if not varied[j]:
            dropped.append(Dropped(j, say("never varies")))
            continue
        twin = seen.setdefault(column.tobytes(), j)
        if twin != j:
            dropped.append(Dropped(j, say("same as column {twin}", twin=twin), twin))
        else:
            kept.append(j)
    return np.array(kept, dtype=np.int64), dropped


def _varied(X: Matrix, cutoff: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[F]: whether a column tells any two rows of one cutoff apart."""
    varied = np.zeros(X.shape[1], dtype=bool)
    for day in np.unique(cutoff):
        rows = X[cutoff == day]
        missing = np.isnan(rows)
        low, high = (fold(np.where(missing, rows[0], rows), axis=0) for fold in (np.min, np.max))
        varied |= (missing.any(axis=0) & ~missing.all(axis=0)) | (~missing.any(axis=0) & (low < high))
    return varied


def fold_count(rows: int, rarer: int) -> int:
    """Fewer folds for larger data: there the estimate is good enough and the fits are dear."""
    return 3 if rows > 10_000 else 5 if rarer >= 50 else 4


def folds_of(key: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """int64[N] folds by profile, from the low bits of the keys (samples use the high ones); none is empty."""
    fold = (key >> np.uint64(3)) % np.uint64(count)
    return np.asarray(np.unique(fold, return_inverse=True)[1], dtype=np.int64)


def choose(train: TrainingSet, columns: Columns, seed: int) -> tuple[Choices, Model]:
    """Rounds, strengths, weights and shape, all out of fold and grouped by profile, and the model they make.

    The members without one fold each are the model, averaged: that costs no further fit and, their trees
    having grown on different profiles, is as good as averaging seeds on all of them (Breiman 1996).

    Args:
        train: labelled snapshots of the training cutoffs only.
        columns: features to use.
    """
    rarer = train.rarer
    fold = folds_of(train.key, fold_count(len(train), rarer))
    X, encodings = _described(train, columns, fold)
    forms, y = _linear_forms(columns), train.label
    with workers() as pool, ThreadPoolExecutor(1 + len(forms)) as waiting:
        growing = (
            waiting.submit(cross_fit_trees, with_time(X, train.cutoff), y, fold, seed, pool)
            if rarer >= VERY_FEW_OUTCOMES
            else None
        )
        fitting = {name: waiting.submit(cross_fit_logistic, X, y, form, fold, pool) for name, form in forms.items()}
        lines = {name: found.result() for name, found in fitting.items()}
        trees = growing.result() if growing else None
    margins = {name: line.margin for name, line in lines.items()} | ({"trees": trees.margin} if trees else {})
    weights = blend_weights(train.label, margins, rarer)
    margin = np.sum([weights[name] * m for name, m in margins.items()], axis=0)
    choices = Choices(
        rounds=int(trees.choice) if trees and weights["trees"] > 0 else 0,
        rate=learning_rate(len(train)),
        strengths=(lines["logistic"].choice, lines["simple"].choice if "simple" in lines else 0.0),
        weights=(weights.get("trees", 0.0), weights["logistic"], weights.get("simple", 0.0)),
        shape=_of_population(fit_shape(train.label, margin), train),
        losses={name: mean_log_loss(train.label, m) for name, m in (margins | {"blend": margin}).items()},
    )
    members = [line.members[0] for line in lines.values()]
    ensembles = trees.members if trees and choices.rounds else ()
    return choices, _model(train, columns, choices, ensembles, members, encodings)


def _described(train: TrainingSet, columns: Columns, fold: NDArray[np.int64]) -> tuple[Matrix, tuple[Encoding, ...]]:
    """The columns to use, codes as log-odds that no profile's own outcome has part in; and those for new rows."""
    X = np.take(train.X, columns.used, axis=1)
    return encode_out_of_fold(X, columns.coded, train.label, train.key, fold)


def _of_population(shape: Calibration, train: TrainingSet) -> Calibration:
    """The shape that gives the population's odds, not those of the sample."""
    return replace(shape, intercept=shape.intercept - train.odds_shift)


def _linear_forms(columns: Columns) -> dict[str, LinearForm]:
    forms = {"logistic": full_form(columns.heavy)}
    if len(columns.simple):
        forms["simple"] = simple_form(columns.heavy, columns.simple)
    return forms


def blend_weights(label: Labels, margins: dict[str, Float], rarer: int) -> dict[str, float]:
    """Weights of the members with the least out-of-fold log loss, shrunk towards a prior by sample size.

    The prior is even; with few outcomes what is simple leads (reference/science.md, finding 2).
    """
    names = list(margins)
    thin = slice(None, None, max(1, len(label) // MAX_BLEND_ROWS))
    Z, seen = np.column_stack([margins[name][thin] for name in names]), label[thin]
    best, least = np.full(len(names), 1.0 / len(names)), np.inf
    for grid in itertools.product(range(BLEND_STEPS + 1), repeat=len(names) - 1):
        if sum(grid) <= BLEND_STEPS:
            w = np.array([*grid, BLEND_STEPS - sum(grid)]) / BLEND_STEPS
            loss = mean_log_loss(seen, Z @ w)
            if loss < least - 1e-9:
                best, least = w, loss
    prior = np.array([PRIORS[name] if rarer < FEW_OUTCOMES else 1.0 for name in names])
    trust = rarer / (rarer + BLEND_SHRINKAGE_OUTCOMES)
    weights = trust * best + (1.0 - trust) * prior / prior.sum()
    weights[weights < LEAST_WEIGHT] = 0.0
    return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))


def fit(train: TrainingSet, columns: Columns, choices: Choices, seed: int) -> Model:
    """The model with settled choices, on all rows given."""
    fold = folds_of(train.key, fold_count(len(train), train.rarer))
    X, encodings = _described(train, columns, fold)
    timed = with_time(X, train.cutoff)
    forms = _linear_forms(columns).values()
    with workers() as pool, ThreadPoolExecutor(1) as waiting:
        growing = (
            waiting.submit(fit_trees, timed, train.label, choices.rounds, fold, seed, pool, choices.rate)
            if choices.rounds
            else None
        )
        lines = [
            fit_logistic(X, train.label, form, strength) if weight > 0 else None
            for form, strength, weight in zip(forms, choices.strengths, choices.weights[1:], strict=False)
        ]
        trees = growing.result() if growing else ()
    return _model(train, columns, choices, trees, lines, encodings)


def _model(
    train: TrainingSet,
    columns: Columns,
    choices: Choices,
    trees: tuple[xgb.Booster, ...],
    lines: Sequence[Logistic | None],
    encodings: tuple[Encoding, ...],
) -> Model:
    """The members that have a weight, with the choices' weights and shape; trees as of the newest cutoff."""
    weighed = [(line, w) for line, w in zip(lines, choices.weights[1:], strict=False) if line and w > 0]
    return Model(
        columns=columns.used,
        trees=tuple(settled(booster) for booster in trees),
        tree_weight=choices.weights[0],
        linear=tuple(line for line, _ in weighed),
        linear_weights=tuple(w for _, w in weighed),
        calibration=choices.shape,
        base_rate=float(sigmoid(logit(train.label.mean()) - train.odds_shift)),
        encodings=encodings,
    )
