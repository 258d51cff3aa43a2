"""Intervals: where they lie, what they are made of, and that the truth is inside as often as said."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report_documents import CHANNELS, matrix
from tests.shops import SHOP, shop

import propend
from propend.demo.simulator import simulate
from propend.explain.factors import build_explainer
from propend.model.calibrate import Calibration, sigmoid
from propend.model.certainty import (
    Certainty,
    Margins,
    fit_certainty,
    interval_rows,
    jackknife_variance,
    line_variances,
    margins_of,
    thin_days,
    total_interval,
)
from propend.model.train import Columns, TrainingSet, choose
from propend.snapshots.plan import PlanInput, make_plan

COLUMNS = ["profile_id", "probability", "probability_low", "probability_high", "too_little_history"]
LINE = Calibration(1.1, -0.1, 0.05, 0.12)


# --- the parts --------------------------------------------------------------------------------------------------


def test_jackknife_of_three_by_hand() -> None:
    # the first column: mean 3, squares 4 + 0 + 4, times two thirds
    each = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]])
    assert np.allclose(jackknife_variance(each), [16 / 3, 0.0])


def test_jackknife_is_the_variance_of_a_mean() -> None:
    # leave-one-group-out means of a sample: the formula gives the usual variance of its mean exactly
    sample = np.random.default_rng(1).normal(size=(7, 3))
    without = np.array([np.delete(sample, k, axis=0).mean(axis=0) for k in range(7)])
    assert np.allclose(jackknife_variance(without), sample.var(axis=0, ddof=1) / 7)


def test_line_is_as_uncertain_as_in_repeated_samples() -> None:
    rng = np.random.default_rng(2)
    margin = rng.normal(-1.0, 1.5, 4000)
    slope, both, intercept = line_variances(margin, Calibration(1.0, 0.0))
    # the inverse of the information, of which the pull takes a little
    w = sigmoid(margin) * (1 - sigmoid(margin))
    information = [[np.sum(w * margin**2) + 2, np.sum(w * margin)], [np.sum(w * margin), np.sum(w)]]
    assert np.allclose([[slope, both], [both, intercept]], np.linalg.inv(information))


def test_members_are_taken_apart_alike_by_predicting_and_by_explaining() -> None:
    plan = make_plan(PlanInput(CHANNELS, (30, 90, 365), "amount"))
    X, truth = matrix(plan, 2000, 1)
    label = (np.random.default_rng(3).random(2000) < sigmoid(truth)).astype(np.uint8)
    train = TrainingSet(X, label, np.arange(2000, dtype=np.uint64) * 8, np.repeat(100, 2000))
    used = np.arange(X.shape[1])
    model = choose(train, Columns(used, np.array([f.heavy for f in plan.features]), np.arange(3)), 1)[1]
    found, _ = margins_of(model, X)
    _, explained = build_explainer(model, plan.features, X).explain(X)
    assert model.trees
    for name in ("whole", "leading", "others"):
        assert np.allclose(getattr(found, name), getattr(explained, name), atol=1e-4), name
    assert np.allclose(found.whole, model.margin(X))


# --- the interval -----------------------------------------------------------------------------------------------

margins = st.floats(-40, 40)
variances = st.floats(0, 1)


@given(
    st.lists(st.tuples(margins, margins, margins | st.just(float("nan"))), min_size=1, max_size=20),
    st.tuples(variances, variances, variances, variances, st.floats(0, 2)),
)
def test_probability_lies_in_its_interval_and_that_in_0_to_1(
    rows: list[tuple[float, float, float]], sizes: tuple[float, float, float, float, float]
) -> None:
    apart, sampling, slope, intercept, level = sizes
    given_margins = Margins(*(np.array(column) for column in zip(*rows, strict=True)))
    certainty = Certainty(apart, sampling, (slope, 0.0, intercept), 0, 0)
    low, high = certainty.interval(given_margins, Calibration(1.0, 0.0, 0.0, level))
    p = sigmoid(given_margins.whole)
    assert ((low >= 0) & (low <= p + 1e-12) & (p <= high + 1e-12) & (high <= 1)).all()


def test_more_doubt_of_any_kind_is_a_wider_interval() -> None:
    seen = Margins(np.array([-0.5]), np.array([-0.4]), np.array([-0.7]))
    far = Margins(np.array([-0.5]), np.array([0.4]), np.array([-1.5]))
    base = Certainty(0.003, 0.001, (0.01, 0.0, 0.01), 0, 0)
    more = [
        (base, seen, LINE),
        (base, far, LINE),
        (Certainty(0.006, 0.001, (0.01, 0.0, 0.01), 0, 0), seen, LINE),
        (Certainty(0.003, 0.01, (0.01, 0.0, 0.01), 0, 0), seen, LINE),
        (Certainty(0.003, 0.001, (0.2, 0.0, 0.2), 0, 0), seen, LINE),
        (base, seen, Calibration(1.1, -0.1, 0.05, 0.5)),
    ]
    widths = [float(np.subtract(*c.interval(m, line)[::-1])[0]) for c, m, line in more]
    assert min(widths[1:]) > widths[0]


def test_an_end_of_the_scale_that_is_near_is_taken_in() -> None:
    far = np.array([-9.0, -1.0, 1.0, 9.0])
    low, high = Certainty(0.003, 0.001, (0.0, 0.0, 0.0), 0, 0).interval(Margins(far, far, far), LINE)
    assert (low[0], high[3]) == (0.0, 1.0)
    assert (low[1] > 0, high[2] < 1) == (True, True)


def test_number_expected_has_the_error_of_the_level_and_chance() -> None:
    half = np.full(100, 0.5)
    known = total_interval(half, 0.0)
    assert np.allclose([known["value"], known["low"], known["high"]], [50, 50 - 9.8, 50 + 9.8], atol=0.01)
    told = total_interval(half, 0.2)
    shift = 100 * (sigmoid(np.array([1.96 * 0.2]))[0] - 0.5)
    assert np.isclose(told["high"], 50 + np.hypot(shift, 9.8), atol=0.01)
    assert total_interval(np.array([0.9, 0.9]), 3.0)["high"] == 2.0


def test_tenths_of_a_proof_that_are_as_expected_are_inside_and_others_are_not() -> None:
    rng = np.random.default_rng(4)
    whole = rng.normal(-1, 1, 5000)
    seen, certainty = Margins(whole, whole, whole), Certainty(0.0005, 0.0, (0.0, 0.0, 0.0), 0, 0)
    label = (rng.random(5000) < sigmoid(whole)).astype(np.uint8)
    right, wrong = (interval_rows(certainty, seen, y, Calibration(1.0, 0.0)) for y in (label, 1 - label))
    assert [row["inside"] for row in right] == [True] * 10
    assert sum(row["inside"] for row in wrong) <= 2
    assert sum(row["n"] for row in right) == 5000


# --- too little history -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blind", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_history_is_too_little_as_far_up_as_nothing_is_ranked(blind: int, expected: int) -> None:
    rng = np.random.default_rng(5)
    days = rng.integers(1, 9, 8000).astype(np.float32)
    probability = rng.uniform(0.05, 0.6, 8000)
    told = np.where(days <= blind, 0.3, probability)
    label = (rng.random(8000) < told).astype(np.uint8)
    assert thin_days(days, label, probability) == expected


def test_too_few_outcomes_to_tell_are_too_little_history() -> None:
    days, probability = np.repeat([1.0, 5.0], 60).astype(np.float32), np.linspace(0.1, 0.9, 120)
    label = np.zeros(120, np.uint8)
    label[[57, 58, 59, 100, 110]] = 1
    assert thin_days(days, label, probability) == 1


def test_only_few_active_days_are_flagged() -> None:
    X = np.array([[0.0], [1.0], [2.0], [50.0]], dtype=np.float32)
    flags = [Certainty(0.1, 0.1, (0, 0, 0), *given).thin(X).tolist() for given in ((0, 0), (0, 1), (-1, 3))]
    assert flags == [[False] * 4, [True, True, False, False], [False] * 4]


def test_a_model_of_one_member_has_the_usual_distance() -> None:
    alone = Margins.of(np.array([-1.0, 0.5]), np.array([-0.9, 0.6]), 1.0, -0.1)
    X, label = np.ones((2, 1), np.float32), np.array([0, 1], np.uint8)
    found = fit_certainty(alone, 0.0, Calibration(1.0, -0.1), X, label, 0)
    assert found.apart == 0.06**2
    assert np.isnan(alone.others).all()
    assert np.isfinite(found.interval(alone, Calibration(1.0, -0.1))).all()


# --- in a run ---------------------------------------------------------------------------------------------------


def test_same_data_same_intervals_and_scoring_again_gives_the_same(tmp_path: Path) -> None:
    events = shop()
    first, again = (propend.run(SHOP, data=events, out=tmp_path / name) for name in ("a", "b"))
    rescored = propend.score(tmp_path / "a", data=events, out=tmp_path / "c")
    tables = [run.scores.select(COLUMNS) for run in (first, again, rescored)]
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])
    assert first.insights["expected_positives"] == rescored.insights["expected_positives"]
    flagged = tables[0].column("too_little_history").to_numpy().sum()
    assert first.insights["too_little_history"]["n"] == flagged


def test_true_probabilities_lie_inside_about_as_often_as_said(tmp_path: Path) -> None:
    first = date(2024, 1, 1)
    made = simulate(1200, 360, 41, first=first)
    document = {
        "name": "simulated",
        "data": {"events": "not read"},
        "goal": {"all_of": ["purchase"], "within": "30d"},
        "eligible": {"all_of": [{"did": "anything", "at_least": 1, "within": "90d"}]},
        "options": {"quality_bar": 0.5},
    }
    found = propend.run(document, data=made.events, as_of=first + timedelta(days=330), out=tmp_path / "run")
    ids, truth = made.truth(330, 30)
    place = {profile: i for i, profile in enumerate(ids.tolist())}
    true = truth[[place[i] for i in found.scores.column("profile_id").to_pylist()]]
    low, high = (found.scores.column(f"probability_{end}").to_numpy() for end in ("low", "high"))
    bought = int(made.outcome(330, 30)[1][[place[i] for i in found.scores.column("profile_id").to_pylist()]].sum())
    expected = found.insights["expected_positives"]
    assert 0.88 < np.mean((low <= true) & (true <= high)) < 0.995
    assert np.mean(high - low) < 0.3
    assert expected["low"] <= bought <= expected["high"]
    assert sum(row["inside"] for row in found.evaluation["intervals"]) >= 8
