"""Faithfulness: taking away what is named moves a profile, giving it alone makes the profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from propend.explain.factors import Explainer, build_explainer
from propend.explain.faithfulness import STEPS, curves, faithfulness, named_order, random_order, typical_row
from propend.model.calibrate import Calibration
from propend.model.members import Logistic, Scaling
from propend.model.train import Model
from propend.snapshots.plan import Factor, Feature, Op

Matrix = NDArray[np.float32]
COEFFICIENTS = np.array([3.0, -2.0, 1.0, 0.5, 0.0, 0.0])
FACTORS = (0, 1, 1, 2, 3, 4)


@pytest.fixture(scope="module", name="X")
def rows() -> Matrix:
    return np.random.default_rng(1).normal(size=(400, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def explainer(X: Matrix) -> Explainer:
    """One line over six features of five factors; the scaling leaves them as they are."""
    plain = Scaling.fit(X, np.zeros(6, bool))
    as_is = replace(plain, center=np.zeros(6), scale=np.ones(6), low=np.full(6, -9.0), high=np.full(6, 9.0))
    line = Logistic(np.arange(6), as_is, COEFFICIENTS, 0.2, np.zeros(6))
    model = Model(np.arange(6), (), 0.0, (line,), (1.0,), Calibration(1.0, 0.0), 0.5)
    features = [
        Feature(f"f{j}", f"feature {j}", Op.COUNT, 0, 30, Factor(f"factor{g}", f"Factor {g}"), "count")
        for j, g in enumerate(FACTORS)
    ]
    return build_explainer(model, features, X)


def test_curves_of_a_line_are_its_terms(explainer: Explainer, X: Matrix) -> None:
    nothing = np.zeros(6, dtype=np.float32)
    found = curves(explainer, X, np.array([0, 1, 2, 3, 4]), nothing)
    terms = X * COEFFICIENTS
    of_factors = np.stack([terms[:, np.array(FACTORS) == g].sum(axis=1) for g in range(5)])
    taken = [0.0, *(np.abs(of_factors[: k + 1].sum(axis=0)).mean() for k in range(5))]
    left = [np.abs(of_factors[k:].sum(axis=0)).mean() for k in range(6)]
    np.testing.assert_allclose(found.deletion, taken, atol=1e-5)
    np.testing.assert_allclose(found.insertion, left, atol=1e-5)


def test_the_named_order_moves_most_and_comes_near_soonest(explainer: Explainer, X: Matrix) -> None:
    typical = typical_row(X)
    named, chance = (
        curves(explainer, X, order, typical) for order in (named_order(explainer, X), random_order(explainer, 400, 3))
    )
    assert named.deletion[1] > 2 * chance.deletion[1]
    assert (named.insertion[1:3] < 0.7 * chance.insertion[1:3]).all()
    assert named.insertion[-1] == pytest.approx(0.0, abs=1e-6)


def test_an_order_of_ones_own_is_a_permutation(explainer: Explainer) -> None:
    order = random_order(explainer, 50, 1)
    assert (np.sort(order, axis=1) == np.arange(5)).all()
    assert len(np.unique(order, axis=0)) > 20


def test_what_is_typical_is_missing_where_most_miss_it() -> None:
    nan = np.nan
    X = np.array([[1, nan, nan], [2, nan, 4], [9, 3, 4], [9, 3, nan], [4, nan, 7]], dtype=np.float32)
    np.testing.assert_array_equal(typical_row(X), np.array([5, nan, 5], dtype=np.float32))


def test_a_run_says_both_curves_as_plain_data(explainer: Explainer, X: Matrix) -> None:
    found = faithfulness(explainer, np.tile(X, (4, 1)), 1)
    assert found["profiles"] == 500
    for name in ("named", "random"):
        assert [len(found[name][side]) for side in ("deletion", "insertion")] == [STEPS + 1] * 2
        assert found[name]["deletion"][0] == 0.0
    assert found["named"]["deletion"][1] > found["random"]["deletion"][1]


def test_fewer_factors_than_steps(explainer: Explainer, X: Matrix) -> None:
    one = replace(explainer, factors=explainer.factors[:1], group=np.zeros(6, dtype=np.int64))
    found = curves(one, X, np.array([0]), typical_row(X))
    assert (len(found.deletion), len(found.insertion)) == (2, 2)
    assert found.insertion[1] == pytest.approx(0.0, abs=1e-6)
