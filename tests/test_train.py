"""Members, blend and the model they make."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.members import (
    Logistic,
    Scaling,
    cross_fit_logistic,
    cross_fit_trees,
    fit_logistic,
    full_form,
    simple_form,
    workers,
)
from propend.model.train import (
    Columns,
    Dropped,
    Model,
    TrainingSet,
    blend_weights,
    choose,
    fit,
    fold_count,
    folds_of,
    useful_columns,
)
from propend.training import HOLD_OUT_BITS, HOLD_OUT_FOLDS


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


HEAVY = np.zeros(6, dtype=bool)
COLUMNS = Columns(np.arange(6), HEAVY, np.array([0, 3]))


@pytest.fixture(scope="module")
def model() -> Model:
    train = _planted(4000, 1)
    return choose(train, COLUMNS, 1)[1]


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
    first, second = (choose(train, COLUMNS, 1)[1] for _ in range(2))
    np.testing.assert_array_equal(first.probability(new.X), second.probability(new.X))


def test_few_outcomes_leave_the_lead_to_the_linear_member() -> None:
    train = _planted(60, 5)
    found, _ = choose(train, COLUMNS, 1)
    assert found.rounds == 0
    assert fit(train, COLUMNS, found, 1).trees == ()


def test_no_profile_is_in_two_folds() -> None:
    key = np.repeat(np.random.default_rng(6).integers(0, 2**63, 50).astype(np.uint64), 4)
    fold = folds_of(key, 5)
    assert all(len(set(fold[key == k])) == 1 for k in key)
    assert set(fold) <= set(range(5))


def test_no_fold_is_empty() -> None:
    """Not even among the profiles that a hold-out by the same residues would leave."""
    key = np.arange(3000, dtype=np.uint64) << np.uint64(3)
    left = key[folds_of(key, 3) != 0]
    assert np.bincount(folds_of(left, 3)).tolist() == [1000, 1000]
    rng = np.random.default_rng(12)
    key = rng.integers(0, 2**63, 6000).astype(np.uint64)
    left = key[folds_of(key >> HOLD_OUT_BITS, HOLD_OUT_FOLDS) != 0]
    assert np.bincount(folds_of(left, 3)).min() > 1200


def test_fewer_folds_for_larger_data() -> None:
    assert [fold_count(n, 1000) for n in (500, 50_000, 500_000)] == [5, 3, 3]


def test_useless_columns_are_named_with_their_reason() -> None:
    X = np.array([[1, 5, 1, np.nan, 2], [2, 5, 2, np.nan, 1]], dtype=np.float32)
    kept, dropped = useful_columns(X)
    assert kept.tolist() == [0, 4]
    assert dropped == [Dropped(1, "never varies"), Dropped(2, "same as column 0", twin=0), Dropped(3, "never varies")]


def test_what_differs_from_cutoff_to_cutoff_alone_is_useless() -> None:
    cutoff = np.array([1, 2, 1, 2])
    X = np.array([[1, 1, 5, np.nan], [2, 2, 5, 0], [1, 1, 5, np.nan], [2, 3, 5, 0]], dtype=np.float32)
    assert useful_columns(X)[0].tolist() == [0, 1, 3]
    kept, dropped = useful_columns(X, cutoff)
    assert kept.tolist() == [1]
    assert [d.reason for d in dropped] == ["never varies"] * 3


def test_a_column_only_sometimes_there_is_kept() -> None:
    assert useful_columns(np.array([[1], [np.nan]], dtype=np.float32))[0].tolist() == [0]


def test_blend_prefers_the_better_member_by_sample_size() -> None:
    rng = np.random.default_rng(7)
    label = rng.integers(0, 2, 2000).astype(np.uint8)
    margins = {name: rng.normal(size=2000) for name in ("logistic", "simple")} | {"trees": 3.0 * label - 1.5}
    weights = [blend_weights(label, margins, rarer) for rarer in (1_000_000, 200, 50)]
    assert [round(sum(w.values()), 9) for w in weights] == [1.0, 1.0, 1.0]
    assert weights[0] == {"logistic": 0.0, "simple": 0.0, "trees": 1.0}
    assert 0.6 < weights[1]["trees"] < 0.75
    assert weights[2]["simple"] > weights[2]["trees"] > weights[2]["logistic"]


def test_rows_of_one_profile_count_once() -> None:
    train = _planted(400, 10)
    again = TrainingSet(
        np.repeat(train.X, 5, axis=0), np.repeat(train.label, 5), np.repeat(train.key, 5), np.repeat(train.cutoff, 5)
    )
    assert again.rarer == train.rarer == min(train.label.sum(), (1 - train.label).sum())


def test_scaling_shows_missing_values_by_an_indicator() -> None:
    X = np.array([[1, 0], [np.nan, 10], [3, 1e9], [5, np.inf]], dtype=np.float32)
    scaling = Scaling.fit(X, np.array([False, True]))
    Z = scaling(X)
    assert Z.shape == (4, 4)
    assert np.isfinite(Z).all()
    assert Z[1, 0] == 0.0
    assert scaling.feature_of_column.tolist() == [0, 1, 0, 1]


def test_a_line_is_not_extended_beyond_what_was_seen() -> None:
    X = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)
    scaling = Scaling.fit(X, np.array([False]), squares=True)
    np.testing.assert_array_equal(scaling(np.array([[-50.0], [1e9]], dtype=np.float32)), scaling(X)[[0, 2]])
    assert scaling.feature_of_column.tolist() == [0, 0]


def test_cross_fitting_does_not_see_the_row_itself() -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(600, 6)).astype(np.float32)
    label = rng.integers(0, 2, 600).astype(np.uint8)
    fold = np.arange(600) % 4
    with workers() as pool:
        trees = cross_fit_trees(X, label, fold, 1, pool)
        line = cross_fit_logistic(X, label, full_form(HEAVY), fold, pool)
    assert 0.4 < _auc(label, trees.margin) < 0.6
    assert 0.4 < _auc(label, line.margin) < 0.6


def test_a_profile_is_judged_alike_in_any_company(model: Model) -> None:
    X, parts = _planted(4000, 9).X, ((0, 1), (7, 10), (5, 1029), (2000, 4000))
    wide = np.tile(X, 7)
    scaling = Scaling.fit(wide, np.zeros(42, dtype=bool))
    width = scaling(wide).shape[1]
    line = Logistic(np.arange(42), scaling, np.sin(np.arange(float(width))), 0.3, np.zeros(width))
    for margin, rows in ((model.margin, X), (line.margin, wide)):
        whole = margin(rows)
        for first, end in parts:
            assert margin(rows[first:end]).tobytes() == whole[first:end].tobytes()


def test_linear_margins_are_linear_in_their_columns() -> None:
    train = _planted(500, 9)
    for form in (full_form(HEAVY), simple_form(HEAVY, np.array([0, 3]))):
        member = fit_logistic(train.X, train.label, form, 0.1)
        Z = member.columns_of(train.X).astype(np.float64)
        np.testing.assert_allclose(member.margin(train.X), Z @ member.coefficients + member.intercept)
        assert len(member.feature_of_column) == Z.shape[1]
        assert set(member.feature_of_column) == set(form.columns)
