"""Contributions of trees against XGBoost's own, against the definition, and against themselves."""

from __future__ import annotations

import itertools
import math
from typing import Any
from unittest.mock import patch

import numba
import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from propend.explain import shap
from propend.explain.shap import (
    Trees,
    factor_contributions,
    linear_factor_contributions,
)

Matrix = NDArray[np.float32]


def table(seed: int, rows: int, features: int, missing: float = 0.2) -> tuple[Matrix, NDArray[np.int64]]:
    """A matrix with missing, tied and constant columns, and labels that depend on several of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).astype(np.float32)
    X[:, 1::3] = np.round(X[:, 1::3])
    X[rng.random(X.shape) < missing] = np.nan
    X[:, -1] = 4.0
    z = np.nan_to_num(X)
    margin = z[:, 0] + np.sin(2 * z[:, 1]) * z[:, 0] + z[:, (features - 1) // 2] ** 2 - 0.8
    return X, (margin + 0.5 * rng.logistic(size=rows) > 0).astype(np.int64)


def boosted(X: Matrix, label: NDArray[Any], rounds: int, **options: object) -> xgb.Booster:
    settled = {"objective": "binary:logistic", "base_score": 0.3, "nthread": 1, "seed": 5, **options}
    return xgb.train(settled, xgb.DMatrix(X, label=label), num_boost_round=rounds)


def each_feature(trees: Trees, X: Matrix) -> NDArray[np.float64]:
    """float64[N, F + 1]: contributions with the base last, as XGBoost lays them out."""
    given_, base = factor_contributions(trees, X, np.arange(trees.n_features), trees.n_features)
    return np.column_stack([given_, np.full(len(X), base)]).astype(np.float64)


def assert_as_xgboost(booster: xgb.Booster, X: Matrix) -> None:
    trees, data = Trees.from_booster(booster), xgb.DMatrix(X)
    ours = each_feature(trees, X)
    np.testing.assert_allclose(ours, booster.predict(data, pred_contribs=True), atol=2e-5)
    np.testing.assert_allclose(ours.sum(axis=1), booster.predict(data, output_margin=True), atol=2e-5)
    np.testing.assert_allclose(ours.sum(axis=1), margins(trees, X), atol=5e-6)


def margins(trees: Trees, X: Matrix) -> NDArray[np.float64]:
    """float64[N]: the values of the leaves each row reaches, by the rule as it is written."""
    out = np.full(len(X), trees.base_margin)
    for first in trees.offsets[:-1]:
        at = np.full(len(X), first)
        while (trees.left[at] >= 0).any():
            inner, x = trees.left[at] >= 0, X[np.arange(len(X)), trees.feature[at]]
            goes_left = np.where(np.isnan(x), trees.default_left[at], x < trees.threshold[at])
            at = np.where(inner, first + np.where(goes_left, trees.left[at], trees.right[at]), at)
        out += trees.value[at]
    return out


# --- against XGBoost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6, 8])
def test_contributions_are_those_of_xgboost(depth: int) -> None:
    X, label = table(depth, 700, 12)
    assert_as_xgboost(boosted(X, label, 20, max_depth=depth, colsample_bytree=0.6), X)


@pytest.mark.parametrize("features", [2, 9, 40])
def test_deep_trees_that_ask_about_a_feature_again_and_again(features: int) -> None:
    X, label = table(features, 1500, features)
    booster = boosted(X, label, 4, max_depth=14, min_child_weight=0.05, **{"lambda": 0.1})
    assert shap._related(Trees.from_booster(booster))[0].depth.max() == 14
    assert_as_xgboost(booster, X[:400])


def test_a_chain_of_many_features() -> None:
    """Where the library's own recursion divides itself to 1e15, quadrature keeps every digit."""
    X = np.tile(np.eye(90, dtype=np.float32), (7, 1))
    label = np.tile(np.arange(90), 7) + np.random.default_rng(0).normal(size=len(X))
    exact = {"objective": "reg:squarederror", "base_score": 0.0, "eta": 1.0, "lambda": 0.0, "min_child_weight": 0.0}
    booster = boosted(X, label, 1, grow_policy="lossguide", max_leaves=90, max_depth=0, **exact)
    trees = Trees.from_booster(booster)
    ours = each_feature(trees, X)
    assert shap._related(trees)[0].depth.max() > 64
    np.testing.assert_allclose(ours.sum(axis=1), booster.predict(xgb.DMatrix(X)), atol=1e-4)
    for row, feature in ((0, 0), (40, 40), (40, 3), (88, 89)):
        assert ours[row, feature] == pytest.approx(by_sizes(trees, X[row], feature), abs=1e-5)


def by_sizes(trees: Trees, row: Matrix, feature: int) -> float:
    """One Shapley value of one tree, from the sums over coalitions of each size."""
    nodes = shap._related(trees)[0]
    up, share = nodes.up, nodes.share
    total = 0.0
    for leaf in np.flatnonzero(trees.left < 0):
        met: dict[int, bool] = {}
        part: dict[int, float] = {}
        at = int(leaf)
        while up[at] >= 0:
            parent = int(up[at])
            f = int(trees.feature[parent])
            stays = (row[f] < trees.threshold[parent]) == (trees.left[parent] == at)
            met[f], part[f] = met.get(f, True) and bool(stays), part.get(f, 1.0) * float(share[at])
            at = parent
        if feature in met:
            sums = np.ones(1)
            for f in met.keys() - {feature}:
                sums = np.convolve(sums, (part[f], float(met[f])))
            weights = [1.0 / (len(met) * math.comb(len(met) - 1, size)) for size in range(len(met))]
            total += float(trees.value[leaf]) * (met[feature] - part[feature]) * float(sums @ weights)
    return total


def test_trees_without_a_split_and_no_trees_at_all() -> None:
    X, label = table(3, 200, 5)
    stumps = boosted(X, label, 3, gamma=1e9)
    assert_as_xgboost(stumps, X)
    assert not each_feature(Trees.from_booster(stumps), X)[:, :-1].any()
    nothing = Trees.from_booster(boosted(X, label, 0))
    assert each_feature(nothing, X[:1]).tolist() == [[0.0] * 5 + [pytest.approx(math.log(0.3 / 0.7))]]


def test_branches_cut_back_after_growing() -> None:
    """Pruning leaves nodes in the arrays that no row reaches."""
    X, label = table(13, 500, 6)
    booster = boosted(X, label, 8, max_depth=6, tree_method="exact", gamma=1.5)
    trees = Trees.from_booster(booster)
    assert len(trees.left) > 2 * int((trees.left >= 0).sum()) + len(trees.offsets) - 1
    assert_as_xgboost(booster, X)


def test_a_base_score_estimated_by_the_library() -> None:
    X, label = table(14, 400, 6)
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3}, xgb.DMatrix(X, label=label), 3)
    assert_as_xgboost(booster, X)


@pytest.mark.parametrize("written", ["3E-1", "[3E-1]", 0.3])
def test_a_base_score_as_each_release_writes_it(written: str | float) -> None:
    """XGBoost 3.0 writes a number, 3.1 and later a list of one."""
    assert shap._base_margin(written, "binary:logistic") == pytest.approx(math.log(0.3 / 0.7))
    assert shap._base_margin(written, "reg:squarederror") == 0.3


def test_values_exactly_at_thresholds_and_their_neighbours() -> None:
    X, label = table(4, 600, 6)
    booster = boosted(X, label, 10, max_depth=4)
    trees = Trees.from_booster(booster)
    splits = np.flatnonzero(trees.feature >= 0)[:120]
    edge = X[np.arange(len(splits) * 3) % len(X)].copy()
    for i, node in enumerate(splits):
        cut = trees.threshold[node]
        around = (np.nextafter(cut, np.float32(-np.inf)), cut, np.nextafter(cut, np.float32(np.inf)))
        edge[3 * i : 3 * i + 3, trees.feature[node]] = around
    assert_as_xgboost(booster, edge)


def test_infinities_are_beyond_every_threshold() -> None:
    X, label = table(6, 400, 6)
    trees = Trees.from_booster(boosted(X, label, 10, max_depth=4))
    rng = np.random.default_rng(0)
    endless, huge = X.copy(), X.copy()
    for sign in (1, -1):
        where = rng.random(X.shape) < 0.2
        endless[where], huge[where] = sign * np.inf, sign * 3e38
    assert np.array_equal(each_feature(trees, endless), each_feature(trees, huge))
    assert np.array_equal(margins(trees, endless), margins(trees, huge))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(2, 60),
    features=st.integers(2, 5),
    depth=st.integers(1, 7),
    rounds=st.integers(1, 4),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_small_ensembles_are_explained_as_xgboost_does(
    seed: int, rows: int, features: int, depth: int, rounds: int, missing: float
) -> None:
    X, label = table(seed, rows, features, missing)
    assert_as_xgboost(boosted(X, label, rounds, max_depth=depth, min_child_weight=0.1), X)


# --- against the definition -----------------------------------------------------------------------------

LEVELS = np.array([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf, np.nan], dtype=np.float32)


def random_trees(rng: np.random.Generator, count: int, depth: int, features: int) -> Trees:
    """Trees with thresholds and covers as they come: tied, infinite, without a row below."""
    columns: dict[str, list[float]] = {name: [] for name in ("feature", "threshold", "left", "right", "cover", "value")}
    offsets = [0]

    def grow(above: int, cover: float, first: int) -> int:
        at = len(columns["left"])
        leaf = above == depth or rng.random() < 0.2
        row = (-1, 0.0, -1, -1, cover, rng.normal()) if leaf else (int(rng.integers(features)), 0.0, 0, 0, cover, 0.0)
        for name, x in zip(columns, row, strict=True):
            columns[name].append(x)
        if not leaf:
            part = float(rng.choice([0.0, 0.1, 0.5, 0.9]))
            columns["threshold"][at] = float(rng.choice(LEVELS[:-1]))
            columns["left"][at] = grow(above + 1, part * cover, first)
            columns["right"][at] = grow(above + 1, (1 - part) * cover, first)
        return at - first

    for _ in range(count):
        grow(0, 100.0, offsets[-1])
        offsets.append(len(columns["left"]))
    return Trees(
        feature=np.array(columns["feature"], np.int32),
        threshold=np.array(columns["threshold"], np.float32),
        left=np.array(columns["left"], np.int32),
        right=np.array(columns["right"], np.int32),
        default_left=rng.random(offsets[-1]) < 0.5,
        cover=np.array(columns["cover"]),
        value=np.array(columns["value"]),
        offsets=np.array(offsets, np.int64),
        base_margin=0.25,
        n_features=features,
    )


def worth(trees: Trees, first: int, at: int, row: Matrix, known: frozenset[int]) -> float:
    """Expected value below a node when only some features of the row are known."""
    place = first + at
    left, right = int(trees.left[place]), int(trees.right[place])
    if left < 0:
        return float(trees.value[place])
    x = row[trees.feature[place]]
    if int(trees.feature[place]) in known:
        goes_left = trees.default_left[place] if np.isnan(x) else x < trees.threshold[place]
        return worth(trees, first, left if goes_left else right, row, known)
    covers = trees.cover[first + left], trees.cover[first + right]
    part = covers[0] / sum(covers) if sum(covers) > 0 else 0.5
    below = [worth(trees, first, child, row, known) for child in (left, right)]
    return float(part * below[0] + (1 - part) * below[1])


def shapley(trees: Trees, row: Matrix, background: Matrix | None = None) -> list[float]:
    """Shapley values by enumeration of all coalitions, then the value of the empty one.

    A feature outside the coalition is unknown, or has the value of a row of the background.
    """
    n = trees.n_features

    def total(known: tuple[int, ...]) -> float:
        if background is not None:
            mixed = background.copy()
            mixed[:, known] = row[list(known)]
            return float(margins(trees, mixed).mean()) - trees.base_margin
        return sum(worth(trees, int(first), 0, row, frozenset(known)) for first in trees.offsets[:-1])

    values = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        gain = 0.0
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            gain += weight * sum(total((*s, i)) - total(s) for s in itertools.combinations(others, size))
        values.append(gain)
    return [*values, trees.base_margin + total(())]


@pytest.mark.parametrize("most", [shap.MAX_ANSWERS, 3, 0], ids=["tables", "both", "integrals"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), depth=st.integers(0, 6), features=st.integers(1, 4))
def test_contributions_are_shapley_values(most: int, seed: int, depth: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    trees = random_trees(rng, 2, depth, features)
    X = rng.choice(LEVELS, size=(3, features))
    with patch.object(shap, "MAX_ANSWERS", most):
        ours = each_feature(trees, X)
    np.testing.assert_allclose(ours, [shapley(trees, row) for row in X], atol=2e-6)
    np.testing.assert_allclose(ours.sum(axis=1), margins(trees, X), atol=2e-6)


@pytest.mark.parametrize("most", [shap.MAX_ANSWERS, 3, 0], ids=["tables", "both", "integrals"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), depth=st.integers(0, 6), features=st.integers(1, 4), rows=st.integers(1, 5))
def test_with_a_background_they_are_interventional(most: int, seed: int, depth: int, features: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    trees = random_trees(rng, 2, depth, features)
    X, background = (rng.choice(LEVELS, size=(n, features)) for n in (3, rows))
    with patch.object(shap, "MAX_ANSWERS", most):
        ours, base = factor_contributions(trees, X, np.arange(features), features, background)
    expected = np.array([shapley(trees, row, background) for row in X])
    np.testing.assert_allclose(ours, expected[:, :-1], atol=2e-6)
    np.testing.assert_allclose(base, expected[:, -1], atol=2e-6)
    np.testing.assert_allclose(base, margins(trees, background).mean(), atol=2e-6)


def test_a_feature_as_in_the_whole_background_gets_nothing() -> None:
    X, label = table(8, 1100, 14)
    trees = Trees.from_booster(boosted(X, label, 15, max_depth=9, min_child_weight=0.2))
    background = X[:50].copy()
    background[:, 3] = X[700, 3]
    found, _ = factor_contributions(trees, X[700:701], np.arange(14), 14, background)
    assert np.abs(found[0, 3]) < 1e-6
    assert np.abs(found).sum() > 0.1


# --- against themselves ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case() -> tuple[Trees, Matrix]:
    X, label = table(8, 1100, 14)
    return Trees.from_booster(boosted(X, label, 15, max_depth=9, min_child_weight=0.2)), X


def test_a_group_gets_the_sum_of_its_features(case: tuple[Trees, Matrix]) -> None:
    trees, X = case
    groups = np.array([2, 0, 0, 4, 2, 1, 1, 1, 2, 0, 4, 4, 2, 0])
    summed, base = factor_contributions(trees, X, groups, 5)
    single = each_feature(trees, X)
    expected = np.column_stack([single[:, :-1][:, groups == g].sum(axis=1) for g in range(5)])
    np.testing.assert_allclose(summed, expected, atol=2e-6)
    assert (base, not summed[:, 3].any()) == (single[0, -1], True)


def test_threads_and_company_do_not_change_a_bit(case: tuple[Trees, Matrix]) -> None:
    trees, X = case
    before, answers = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            weighed = linear_factor_contributions(
                np.arange(14) / 7, np.ones(14), np.nan_to_num(X), np.arange(14) % 3, 3
            )
            answers.append((each_feature(trees, X).tobytes(), weighed.tobytes()))
    finally:
        numba.set_num_threads(before)
    alone = np.vstack([each_feature(trees, X[r : r + 1]) for r in range(0, len(X), 50)])
    assert answers[0] == answers[1]
    assert alone.tobytes() == each_feature(trees, X)[::50].tobytes()


def test_tables_shrink_to_the_memory_allowed(case: tuple[Trees, Matrix]) -> None:
    trees, X = case
    nodes, _ = shap._related(trees)
    generous = shap._planned(nodes, np.arange(14), 14)
    with patch.object(shap, "MAX_TABLE_CELLS", len(generous.table) // 50):
        frugal = shap._planned(nodes, np.arange(14), 14)
        given_ = each_feature(trees, X)
    assert 0 < len(frugal.table) <= len(generous.table) // 50
    np.testing.assert_allclose(given_, each_feature(trees, X), atol=2e-6)


def test_several_ensembles_count_by_their_weights() -> None:
    X, label = table(9, 900, 14)
    boosters = [boosted(X, label, 6, max_depth=d, seed=d, subsample=0.7, base_score=d / 10) for d in (2, 5, 7)]
    weights, data = (0.5, -2.0, 0.3), xgb.DMatrix(X)
    together = Trees.concat([Trees.from_booster(b) for b in boosters], weights)
    expected = sum(w * b.predict(data, pred_contribs=True) for w, b in zip(weights, boosters, strict=True))
    np.testing.assert_allclose(each_feature(together, X), expected, atol=2e-5)


def test_linear_contributions_add_up_to_the_margin() -> None:
    rng = np.random.default_rng(11)
    Z = rng.normal(size=(700, 7)).astype(np.float32)
    coef, center = rng.normal(size=7), rng.normal(size=7)
    groups = np.array([1, 0, 3, 1, 1, 0, 3])
    ours = linear_factor_contributions(coef, center, Z, groups, 4)
    parts = coef * (Z - center)
    expected = np.column_stack([parts[:, groups == g].sum(axis=1) for g in range(4)])
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_allclose(ours.sum(axis=1), Z @ coef - center @ coef, atol=1e-5)


# --- refusals -------------------------------------------------------------------------------------------


def test_a_background_of_nobody_is_refused(case: tuple[Trees, Matrix]) -> None:
    with pytest.raises(ValueError, match="the background has no row"):
        factor_contributions(case[0], case[1], np.arange(14), 14, case[1][:0])


def test_what_cannot_be_explained_is_refused() -> None:
    X, label = table(12, 200, 4, missing=0.0)
    with pytest.raises(ValueError, match=r"kind 'dart'"):
        Trees.from_booster(boosted(X, label, 2, booster="dart"))
    with pytest.raises(ValueError, match=r"several outputs"):
        Trees.from_booster(boosted(X, label, 2, objective="multi:softprob", num_class=2, base_score=0.5))
    with pytest.raises(ValueError, match=r"count:poisson"):
        Trees.from_booster(boosted(X, label, 2, objective="count:poisson", base_score=0.5))


def test_categorical_splits_are_refused_by_tree() -> None:
    code = np.arange(300) % 5
    rows = np.column_stack([code, np.zeros(300)]).astype(np.float32)
    data = xgb.DMatrix(rows, label=np.isin(code, [1, 4]), feature_types=["c", "float"], enable_categorical=True)
    booster = xgb.train({"objective": "binary:logistic", "max_cat_to_onehot": 1}, data, num_boost_round=1)
    with pytest.raises(ValueError, match="tree 0 splits on a categorical feature"):
        Trees.from_booster(booster)


def test_shapes_that_do_not_fit_are_refused(case: tuple[Trees, Matrix]) -> None:
    trees, X = case
    with pytest.raises(ValueError, match=r"read 14 features, the matrix is \(1100, 13\)"):
        factor_contributions(trees, X[:, 1:], np.zeros(14, np.int64), 1)
    with pytest.raises(ValueError, match="a group from 0 to 1"):
        factor_contributions(trees, X, np.arange(14), 2)
    with pytest.raises(ValueError, match=r"ensembles of \[14\] features, 2 weights"):
        Trees.concat([trees], [0.5, 0.5])
    with pytest.raises(ValueError, match="3 coefficients"):
        linear_factor_contributions(np.ones(3), np.ones(3), X, [0, 0, 0], 1)
    assert factor_contributions(trees, X[:0], np.zeros(14, np.int64), 1)[0].shape == (0, 1)
