"""Members, blend and the model they make."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.members import Scaling, cross_fit_logistic, cross_fit_trees, fit_logistic
from propend.model.train import (
    Model,
    TrainingSet,
    blend_weight,
    choose,
    fit,
    fold_count,
    folds_of,
    useful_columns,
)


def _planted(n: int, seed: int, strength: float = 1.0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    X[rng.random(n) < 0.2, 3] = np.nan
    margin = strength * (X[:, 0] + np.where(X[:, 1] > 0, 1.0, -1.0) * X[:, 2]) - 0.5
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.uint8)
    key = rng.integers(0, 2**63, n).astype(np.uint64)
    return TrainingSet(X, label, key, np.repeat([100, 130], n // 2 + 1)[:n])


def _auc(label: np.ndarray, score: np.ndarray) -> float:
    order = np.argsort(score)
    rank = np.empty(len(score))
    rank[order] = np.arange(1, len(score) + 1)
    ones = label == 1
    return float((rank[ones].sum() - ones.sum() * (ones.sum() + 1) / 2) / (ones.sum() * (~ones).sum()))


COLUMNS, HEAVY = np.arange(6), np.zeros(6, dtype=bool)


@pytest.fixture(scope="module")
def model() -> Model:
    train = _planted(4000, 1)
    return fit(train, COLUMNS, HEAVY, choose(train, COLUMNS, HEAVY, 1), 1)


def test_model_ranks_and_is_calibrated_on_new_rows(model: Model) -> None:
    new = _planted(4000, 2)
    p = model.probability(new.X)
    truth = new.X[:, 0] + np.where(new.X[:, 1] > 0, 1.0, -1.0) * new.X[:, 2]
    assert _auc(new.label, p) > _auc(new.label, truth) - 0.03
    assert abs(p.mean() - new.label.mean()) < 0.02
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 1.0)):
        inside = (p >= low) & (p < high)
        assert abs(p[inside].mean() - new.label[inside].mean()) < 0.06


def test_same_data_gives_the_same_model() -> None:
    train, new = _planted(1500, 3), _planted(300, 4)
    first, second = (fit(train, COLUMNS, HEAVY, choose(train, COLUMNS, HEAVY, 1), 1) for _ in range(2))
    np.testing.assert_array_equal(first.probability(new.X), second.probability(new.X))


def test_few_outcomes_leave_the_lead_to_the_linear_member() -> None:
    train = _planted(60, 5)
    found = choose(train, COLUMNS, HEAVY, 1)
    assert found.rounds == 0
    assert fit(train, COLUMNS, HEAVY, found, 1).trees == ()


def test_no_profile_is_in_two_folds() -> None:
    key = np.repeat(np.random.default_rng(6).integers(0, 2**63, 50).astype(np.uint64), 4)
    fold = folds_of(key, 5)
    assert all(len(set(fold[key == k])) == 1 for k in key)
    assert set(fold) <= set(range(5))


def test_fewer_folds_for_larger_data() -> None:
    assert [fold_count(n, 1000) for n in (500, 50_000, 500_000)] == [5, 3, 2]


def test_useless_columns_are_named_with_their_reason() -> None:
    X = np.array([[1, 5, 1, np.nan, 2], [2, 5, 2, np.nan, 1]], dtype=np.float32)
    kept, dropped = useful_columns(X)
    assert kept.tolist() == [0, 4]
    assert dropped == [(1, "never varies"), (2, "same as column 0"), (3, "never varies")]


def test_a_column_only_sometimes_there_is_kept() -> None:
    assert useful_columns(np.array([[1], [np.nan]], dtype=np.float32))[0].tolist() == [0]


def test_blend_prefers_the_better_member_by_sample_size() -> None:
    rng = np.random.default_rng(7)
    label = rng.integers(0, 2, 2000).astype(np.uint8)
    good, bad = 3.0 * label - 1.5, rng.normal(size=2000)
    assert blend_weight(label, good, bad, 1_000_000) > 0.9
    assert 0.5 <= blend_weight(label, good, bad, 200) < 0.75
    assert blend_weight(label, good, bad, 50) <= 0.25


def test_scaling_shows_missing_values_by_an_indicator() -> None:
    X = np.array([[1, 0], [np.nan, 10], [3, 1e9], [5, np.inf]], dtype=np.float32)
    scaling = Scaling.fit(X, np.array([False, True]))
    Z = scaling(X)
    assert Z.shape == (4, 4)
    assert np.isfinite(Z).all()
    assert Z[1, 0] == 0.0
    assert scaling.feature_of_column.tolist() == [0, 1, 0, 1]


def test_cross_fitting_does_not_see_the_row_itself() -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(600, 6)).astype(np.float32)
    label = rng.integers(0, 2, 600).astype(np.uint8)
    fold = np.arange(600) % 4
    for found in (cross_fit_trees(X, label, fold, 1), cross_fit_logistic(X, label, HEAVY, fold)):
        assert 0.4 < _auc(label, found.margin) < 0.6


def test_logistic_margin_is_linear_in_its_columns() -> None:
    train = _planted(500, 9)
    member = fit_logistic(train.X, train.label, HEAVY, 0.1)
    Z = member.scaling(train.X).astype(np.float64)
    np.testing.assert_allclose(member.margin(train.X), Z @ member.coefficients + member.intercept)
