"""From contributions to influential factors: what raises and what lowers a probability, in words.

Contributions are exact Shapley values of the calibrated log-odds (trees path-dependent, logistic member
linear), summed over the features that say one thing. They describe associations the model uses, not
causes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.errors import NoInfluentialFactorsError
from propend.explain.shap import Trees, factor_contributions, feature_importance, linear_factor_contributions
from propend.model.train import Model
from propend.snapshots.plan import Factor, Feature, Op

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]

HIGH_SHARE, MEDIUM_SHARE, NAMED_SHARE = 0.20, 0.08, 0.02
"""Cuts of importance, as shares of a profile's total absolute impact; below the last it is not named."""

SAMPLE_ROWS = 4_000


@dataclass(frozen=True)
class Explainer:
    """The fitted model, taken apart so that contributions come out summed into factors.

    Attributes:
        columns: int64[C], features of the plan the model uses.
        features: those features.
        factors: G factors, in the order of the contribution columns.
        group: int64[C], factor of each feature.
        representative: int64[G], position in ``columns`` of the feature shown for each factor.
        trees: all ensembles as one weighted sum, in calibrated log-odds; None without trees.
        linear: coefficients in calibrated log-odds, their centre and the factor of each column.
        base: log-odds of a profile about whom nothing is known.
    """

    columns: NDArray[np.int64]
    features: tuple[Feature, ...]
    factors: tuple[Factor, ...]
    group: NDArray[np.int64]
    representative: NDArray[np.int64]
    trees: Trees | None
    linear: tuple[Float, Float, NDArray[np.int64]] | None
    base: float
    model: Model

    def contributions(self, X: Matrix) -> NDArray[np.float32]:
        """float32[N, G]; ``base`` plus a row's sum is the row's calibrated log-odds."""
        used = np.ascontiguousarray(X[:, self.columns])
        return _contributions(self.trees, self.linear, self.model, used, self.group, len(self.factors))

    def shown(self, X: Matrix) -> Matrix:
        """float32[N, G]: the value shown for each factor."""
        return X[:, self.columns[self.representative]]


def _contributions(
    trees: Trees | None,
    linear: tuple[Float, Float, NDArray[np.int64]] | None,
    model: Model,
    used: Matrix,
    group: NDArray[np.int64],
    n_groups: int,
) -> NDArray[np.float32]:
    out = np.zeros((len(used), n_groups), dtype=np.float32)
    if trees is not None:
        out += factor_contributions(trees, used, group, n_groups)[0]
    if linear is not None and model.logistic is not None:
        coefficients, center, column_group = linear
        for first in range(0, len(used), 50_000):
            rows = slice(first, first + 50_000)
            Z = model.logistic.scaling(used[rows])
            out[rows] += linear_factor_contributions(coefficients, center, Z, column_group, n_groups)
    return out


def build_explainer(model: Model, features: Sequence[Feature], sample: Matrix) -> Explainer:
    """Take a model apart and choose, per factor, the feature that carries most.

    Args:
        model: fitted and calibrated.
        features: all features of the plan.
        sample: float32[N, F] rows to judge by which feature of a factor carries most.

    Raises:
        NoInfluentialFactorsError: the model gives every profile the same log-odds.
    """
    used = tuple(features[j] for j in model.columns)
    factors = tuple(dict.fromkeys(f.factor for f in used))
    group = np.array([factors.index(f.factor) for f in used], dtype=np.int64)
    slope, weight = model.calibration.slope, model.tree_weight
    trees = None
    if model.trees:
        share = slope * weight / len(model.trees)
        trees = Trees.concat([Trees.from_booster(b) for b in model.trees], [share] * len(model.trees))
    linear = None
    if model.logistic is not None:
        scale = slope * (1.0 - weight)
        column_group = group[model.logistic.scaling.feature_of_column]
        linear = (model.logistic.coefficients * scale, model.logistic.center, column_group)
    sample = np.ascontiguousarray(sample[:SAMPLE_ROWS, model.columns])
    carried = _carried(trees, linear, model, sample)
    if not np.isfinite(carried).all() or carried.max(initial=0.0) <= 0.0:
        raise NoInfluentialFactorsError(
            f"None of {len(used)} features moves the prediction: every profile gets the same probability.",
            "name further events, add data sources, or lengthen the history.",
            features=len(used),
        )
    representative = np.array(
        [int(np.flatnonzero(group == g)[np.argmax(carried[group == g])]) for g in range(len(factors))],
        dtype=np.int64,
    )
    base = model.calibration.offset + _expected(trees, model)
    return Explainer(model.columns, used, factors, group, representative, trees, linear, base, model)


def _carried(
    trees: Trees | None, linear: tuple[Float, Float, NDArray[np.int64]] | None, model: Model, sample: Matrix
) -> Float:
    """float64[C]: mean absolute contribution of each feature over the sample."""
    carried = np.zeros(sample.shape[1])
    if trees is not None:
        carried += feature_importance(trees, sample)
    if linear is not None and model.logistic is not None:
        Z = model.logistic.scaling(sample).astype(np.float64)
        np.add.at(
            carried,
            model.logistic.scaling.feature_of_column,
            np.abs((Z - linear[1]) * linear[0]).mean(axis=0),
        )
    return carried


def _expected(trees: Trees | None, model: Model) -> float:
    expected = 0.0
    if trees is not None:
        nothing = np.zeros((1, len(model.columns)), dtype=np.float32)
        expected += factor_contributions(trees, nothing, np.zeros(len(model.columns), dtype=np.int64), 1)[1]
    if model.logistic is not None:
        at_center = float(model.logistic.coefficients @ model.logistic.center) + model.logistic.intercept
        expected += model.calibration.slope * (1.0 - model.tree_weight) * at_center
    return expected


@dataclass(frozen=True)
class NamedFactors:
    """The factors named for each profile, strongest raising first, then strongest lowering first.

    Attributes:
        offsets: int64[N + 1].
        factor: int64[M], positions in ``Explainer.factors``.
        impact: float32[M], signed log-odds.
        importance: int8[M]: 0 low, 1 medium, 2 high.
    """

    offsets: NDArray[np.int64]
    factor: NDArray[np.int64]
    impact: NDArray[np.float32]
    importance: NDArray[np.int8]

    def of(self, row: int) -> slice:
        return slice(int(self.offsets[row]), int(self.offsets[row + 1]))


IMPORTANCES = ("low", "medium", "high")


def name_factors(contributions: NDArray[np.float32], most: int) -> NamedFactors:
    """The strongest factors of each row, at most ``most`` in each direction.

    Importance is the share of the row's total absolute impact: high from 20 %, medium from 8 %.
    """
    offsets, factors, impacts, levels = [np.zeros(1, np.int64)], [], [], []
    for first in range(0, len(contributions), 50_000):
        chunk = contributions[first : first + 50_000]
        k = min(most, chunk.shape[1])
        total = np.abs(chunk).sum(axis=1, keepdims=True)
        order = np.argsort(-chunk, axis=1, kind="stable")
        picked = np.hstack([order[:, :k], order[:, ::-1][:, :k]])
        impact = np.take_along_axis(chunk, picked, axis=1)
        share = np.abs(impact) / np.where(total > 0, total, 1.0)
        wanted = np.hstack([impact[:, :k] > 0, impact[:, k:] < 0]) & (share >= NAMED_SHARE)
        offsets.append(offsets[-1][-1] + np.cumsum(wanted.sum(axis=1)))
        factors.append(picked[wanted])
        impacts.append(impact[wanted])
        levels.append(importance_of(share[wanted]))
    return NamedFactors(
        np.concatenate(offsets).astype(np.int64),
        np.concatenate(factors).astype(np.int64) if factors else np.zeros(0, np.int64),
        np.concatenate(impacts).astype(np.float32) if impacts else np.zeros(0, np.float32),
        np.concatenate(levels) if levels else np.zeros(0, np.int8),
    )


def importance_of(share: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """0 low, 1 medium, 2 high by share of total absolute impact."""
    return (np.asarray(share >= MEDIUM_SHARE, np.int8) + np.asarray(share >= HIGH_SHARE, np.int8)).astype(np.int8)


# --- words ----------------------------------------------------------------------------------------------


def value_text(feature: Feature, value: float) -> str:
    """A feature's value as it is read: ``12 days``, ``3``, ``1,240``, ``35 %``, ``yes``, ``never``."""
    if np.isnan(value):
        return "never" if feature.name.startswith("days_since") else "none"
    if feature.unit == "days":
        shown = f"{value:,.1f}" if abs(value) < 2 and value % 1 else f"{value:,.0f}"
        return f"{shown} day" if shown == "1" else f"{shown} days"
    if feature.unit == "share":
        return f"{100 * value:.0f} %"
    if feature.unit == "yes":
        return "yes" if value >= 0.5 else "no"
    if feature.unit == "count":
        return f"{value:,.0f}"
    if feature.unit == "ratio":
        return f"{value:,.1f} times"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    if value == 0 or not np.isfinite(value):
        return "0" if value == 0 else str(value)
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


WINDOWED = frozenset({Op.COUNT, Op.SUM, Op.ACTIVE_DAYS, Op.DISTINCT, Op.SESSIONS, Op.NUMBER_SUM})
"""Aggregates whose value means nothing without the length of its window."""


def value_texts(feature: Feature, values: NDArray[np.float32]) -> NDArray[np.object_]:
    """A whole column as it is read, with the window where one belongs to it: ``4 in 30 days``."""
    distinct, place = np.unique(values, return_inverse=True)
    window = f" in {feature.window_days} days" if feature.op in WINDOWED else ""
    texts = np.array([f"{value_text(feature, float(v))}{window}" for v in distinct], dtype=object)
    return texts[place.reshape(-1)]


def typical_text(feature: Feature, values: NDArray[np.float32]) -> str:
    """What is usual in a population: the median, or for yes-or-no the share of yes."""
    if len(values) == 0:
        return "none"
    if feature.unit == "yes":
        return f"yes for {100 * float(np.nanmean(values == 1)):.0f} %"
    known = values[~np.isnan(values)]
    if len(known) * 2 < len(values):
        return value_text(feature, float("nan"))
    return value_text(feature, float(np.median(known)))


# --- pictures of many profiles --------------------------------------------------------------------------

MAX_FACTORS_PER_BUCKET = 10
MAX_BINS = 8


@dataclass(frozen=True)
class Explained:
    """Rows with their contributions and shown values, as the pictures need them.

    Attributes:
        contributions: float32[N, G].
        shown: float32[N, G].
        named: factors named per row.
    """

    contributions: NDArray[np.float32]
    shown: Matrix
    named: NamedFactors

    @property
    def named_table(self) -> NDArray[np.bool_]:
        """bool[N, G]: whether a factor is among a row's named ones."""
        table = np.zeros(self.contributions.shape, dtype=bool)
        rows = np.repeat(np.arange(len(table)), np.diff(self.named.offsets))
        table[rows, self.named.factor] = True
        return table


def global_factors(explainer: Explainer, given: Explained) -> list[dict[str, Any]]:
    """Every factor by share of total absolute impact, strongest first, with its dependence."""
    strength = np.abs(given.contributions).mean(axis=0, dtype=np.float64)
    total = float(strength.sum()) or 1.0
    out = []
    for g in np.argsort(-strength, kind="stable"):
        feature = explainer.features[explainer.representative[g]]
        values, impact = given.shown[:, g], given.contributions[:, g]
        out.append(
            {
                "code": explainer.factors[g].code,
                "label": explainer.factors[g].label,
                "share": float(strength[g]) / total,
                "mean_abs_impact": float(strength[g]),
                "direction": _direction(values, impact),
                "value_label": feature.sentence,
                "typical": typical_text(feature, values),
                "dependence": _dependence(feature, values, impact),
            }
        )
    return out


def _direction(values: NDArray[np.float32], impact: NDArray[np.float32]) -> str:
    known = ~np.isnan(values)
    if known.sum() < 10 or np.ptp(values[known]) == 0 or np.ptp(impact[known]) == 0:
        return "mixed"
    ranks = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
    moved = np.argsort(np.argsort(impact[known], kind="stable"), kind="stable")
    correlation = float(np.corrcoef(ranks, moved)[0, 1])
    return "more raises" if correlation > 0.4 else "more lowers" if correlation < -0.4 else "mixed"


@dataclass(frozen=True)
class _Bins:
    edges: Float
    labels: tuple[str, ...]

    def place(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """Bin of each value; the last bin is for missing ones."""
        inner = np.searchsorted(self.edges[1:-1], values, side="right")
        return np.where(np.isnan(values), len(self.labels) - 1, inner).astype(np.int64)


def _bins(feature: Feature, values: NDArray[np.float32]) -> _Bins:
    known = np.unique(values[~np.isnan(values)])
    missing = value_text(feature, float("nan"))
    if feature.unit == "yes":
        return _Bins(np.array([-0.5, 0.5, 1.5]), ("no", "yes", missing))
    if len(known) == 0:
        return _Bins(np.array([0.0, 0.0]), ("any", missing))
    if len(known) <= MAX_BINS:
        edges = np.concatenate([known, [np.inf]]).astype(np.float64)
        return _Bins(edges, (*(value_text(feature, float(v)) for v in known), missing))
    levels = np.quantile(values[~np.isnan(values)], np.linspace(0, 1, MAX_BINS - 1))
    edges = np.unique(levels.astype(np.float64))
    if len(edges) < 3:
        edges = np.array([known[0], float(np.median(known)), known[-1]])
    texts = [value_text(feature, float(v)) for v in edges]
    labels = [f"{_bare(low)} to {high}" for low, high in itertools.pairwise(texts)]
    return _Bins(edges, (*labels, missing))


def _bare(text: str) -> str:
    return text.removesuffix(" days").removesuffix(" day").removesuffix(" %")


def _dependence(feature: Feature, values: NDArray[np.float32], impact: NDArray[np.float32]) -> list[dict[str, Any]]:
    bins = _bins(feature, values)
    place = bins.place(values)
    return [
        {"label": label, "mean_impact": float(impact[place == b].mean()), "n": int((place == b).sum())}
        for b, label in enumerate(bins.labels)
        if (place == b).any()
    ]


def bucket_factors(explainer: Explainer, given: Explained, inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The ten factors that make a bucket what it is, by absolute mean impact inside it.

    Args:
        inside: bool[N], rows of the bucket.
    """
    if not inside.any():
        return []
    mean = given.contributions[inside].mean(axis=0, dtype=np.float64)
    share = np.abs(mean) / (np.abs(mean).sum() or 1.0)
    named = given.named_table
    out = []
    for g in np.argsort(-np.abs(mean), kind="stable")[:MAX_FACTORS_PER_BUCKET]:
        if share[g] <= 0:
            continue
        feature = explainer.features[explainer.representative[g]]
        values = given.shown[:, g]
        out.append(
            {
                "code": explainer.factors[g].code,
                "label": explainer.factors[g].label,
                "mean_impact": float(mean[g]),
                "importance": IMPORTANCES[int(importance_of(share[g : g + 1].astype(np.float32))[0])],
                "coverage": float(named[inside, g].mean()),
                "value_kind": "boolean" if feature.unit == "yes" else "numeric",
                "value_label": feature.sentence,
                "typical_inside": typical_text(feature, values[inside]),
                "typical_outside": typical_text(feature, values[~inside]),
                "distribution": _distribution(feature, values, inside),
            }
        )
    return out


def _distribution(feature: Feature, values: NDArray[np.float32], inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    bins = _bins(feature, values)
    place = bins.place(values)
    n_in, n_out = max(int(inside.sum()), 1), max(int((~inside).sum()), 1)
    rows = []
    for b, label in enumerate(bins.labels):
        here = place == b
        if here.any():
            rows.append(
                {
                    "label": label,
                    "inside": float((here & inside).sum() / n_in),
                    "outside": float((here & ~inside).sum() / n_out),
                }
            )
    return rows
