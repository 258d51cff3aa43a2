"""Trees that know the time, without it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost as xgb

from propend.explain.shap import Trees, factor_contributions
from propend.model.newest import settled, with_time

CUTOFFS = np.array([100, 130, 160])


def _rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first feature raises the odds at late cutoffs and lowers them at early ones."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5)).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    cutoff = rng.choice(CUTOFFS, n)
    lifted = np.nan_to_num(X[:, 0]) * (cutoff - 120) / 20 + np.nan_to_num(X[:, 1]) + rng.normal(size=n) > 0
    return X, cutoff, lifted.astype(np.uint8)


def _grown(rounds: int = 60, depth: int = 5, n: int = 3000) -> xgb.Booster:
    X, cutoff, label = _rows(n, 1)
    settings = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.1, "base_score": 0.4}
    return xgb.train(settings, xgb.DMatrix(with_time(X, cutoff), label), rounds)


def _split_columns(booster: xgb.Booster) -> set[int]:
    trees = json.loads(booster.save_raw(raw_format="json"))["learner"]["gradient_booster"]["model"]["trees"]
    return {
        column
        for tree in trees
        for column, left in zip(tree["split_indices"], tree["left_children"], strict=True)
        if left >= 0
    }


@pytest.mark.parametrize("depth", [2, 5, 8])
def test_predictions_are_those_at_the_newest_cutoff_and_after(depth: int) -> None:
    grown = _grown(depth=depth)
    without = settled(grown)
    assert 5 in _split_columns(grown)
    assert _split_columns(without) <= set(range(5))
    assert without.num_features() == 5
    X, _, _ = _rows(400, 2)
    found = without.predict(xgb.DMatrix(X), output_margin=True)
    for day in (160, 170, 20_000):
        known = grown.predict(xgb.DMatrix(with_time(X, np.full(400, day))), output_margin=True)
        np.testing.assert_array_equal(found, known)
    early = grown.predict(xgb.DMatrix(with_time(X, np.full(400, 100))), output_margin=True)
    assert np.abs(found - early).max() > 0.1


def test_a_tree_that_only_asks_for_the_time_becomes_one_leaf() -> None:
    X = np.zeros((300, 1), dtype=np.float32)
    cutoff = np.repeat(CUTOFFS, 100)
    label = (cutoff == 160).astype(np.uint8)
    grown = xgb.train({"objective": "binary:logistic", "max_depth": 2}, xgb.DMatrix(with_time(X, cutoff), label), 3)
    without = settled(grown)
    assert _split_columns(without) == set()
    known = grown.predict(xgb.DMatrix(with_time(X[:1], CUTOFFS[-1:])), output_margin=True)
    np.testing.assert_array_equal(without.predict(xgb.DMatrix(X[:1]), output_margin=True), known)


def test_contributions_of_what_is_left_add_up() -> None:
    without = settled(_grown())
    X, _, _ = _rows(200, 3)
    library = without.predict(xgb.DMatrix(X), pred_contribs=True)
    ours, base = factor_contributions(Trees.from_booster(without), X, np.arange(5), 5)
    np.testing.assert_allclose(ours, library[:, :5], atol=1e-5)
    np.testing.assert_allclose(base, library[0, 5], atol=1e-5)
    np.testing.assert_allclose(ours.sum(axis=1) + base, without.predict(xgb.DMatrix(X), output_margin=True), atol=1e-5)


def test_cover_of_a_node_is_that_of_its_children() -> None:
    trees = json.loads(settled(_grown()).save_raw(raw_format="json"))["learner"]["gradient_booster"]["model"]["trees"]
    for tree in trees:
        for node, (left, right) in enumerate(zip(tree["left_children"], tree["right_children"], strict=True)):
            if left >= 0:
                cover = tree["sum_hessian"]
                assert cover[node] == pytest.approx(cover[left] + cover[right], rel=1e-5)
                assert tree["parents"][left] == tree["parents"][right] == node


def test_the_ensemble_survives_being_written() -> None:
    without = settled(_grown(rounds=5))
    again = xgb.Booster()
    again.load_model(bytearray(without.save_raw(raw_format="json")))
    X, _, _ = _rows(50, 4)
    np.testing.assert_array_equal(again.predict(xgb.DMatrix(X)), without.predict(xgb.DMatrix(X)))
