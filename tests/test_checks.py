"""Gates that refuse and checks that warn."""

from __future__ import annotations

import numpy as np
import pytest

from propend.errors import (
    BadModelError,
    IneligibleScoresError,
    NoObjectiveError,
    NoPopulationError,
    NotEnoughObjectiveError,
    NotEnoughPopulationError,
    PropendError,
    SingleValueError,
)
from propend.model.checks import (
    OutcomeCounts,
    Reference,
    drift_notices,
    few_outcomes_notice,
    gate_outcomes,
    gate_quality,
    gate_scores,
    population_stability,
    score_drift_notices,
)
from propend.snapshots.plan import Factor, Feature, Op


@pytest.mark.parametrize(
    ("eligible", "met", "unmet", "error"),
    [
        (0, 0, 0, NoPopulationError),
        (900, 0, 900, NoObjectiveError),
        (900, 900, 0, SingleValueError),
        (499, 200, 299, NotEnoughPopulationError),
        (2000, 499, 1600, NotEnoughObjectiveError),
        (2000, 1600, 499, NotEnoughPopulationError),
    ],
)
def test_each_shortage_has_its_own_refusal(eligible: int, met: int, unmet: int, error: type[PropendError]) -> None:
    with pytest.raises(error) as caught:
        gate_outcomes(OutcomeCounts(eligible, met, unmet), 500, "between two days")
    assert caught.value.facts["minimum"] == 500
    assert caught.value.exit_status == 3
    assert "Hint:" in str(caught.value)


def test_enough_passes() -> None:
    assert gate_outcomes(OutcomeCounts(1000, 500, 500), 500, "now") is None


def _evaluation(value: float) -> dict[str, dict[str, float]]:
    auc = {"value": value, "low": value - 0.02, "high": value + 0.02}
    return {"auc": auc, "verdict": {"better_than_chance": True}}


def test_quality_bar_is_the_reference_s() -> None:
    with pytest.raises(BadModelError, match=r"0\.649"):
        gate_quality(_evaluation(0.649), 0.65)
    assert gate_quality(_evaluation(0.65), 0.65) is None


def test_few_outcomes_are_said() -> None:
    assert [n.symbol for n in few_outcomes_notice(OutcomeCounts(900, 60, 840))] == ["FEW_OUTCOMES"]
    assert few_outcomes_notice(OutcomeCounts(9000, 600, 8400)) == []


def _feature(op: Op) -> Feature:
    return Feature(f"f{op}", "a number", op, 0, 30, Factor("f", "F"), "number")


def test_drift_is_found_where_it_is() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(4000, 2)).astype(np.float32)
    reference = Reference.of(X, rng.random(4000))
    features = [_feature(Op.COUNT), _feature(Op.SUM)]
    assert drift_notices(reference, rng.normal(size=(4000, 2)).astype(np.float32), features) == []
    X[:, 1] += 3
    notices = drift_notices(reference, X, features)
    assert [n.symbol for n in notices] == ["INPUT_DRIFT"]
    assert notices[0].message.startswith("1 of 2 inputs")


def test_scores_of_another_world_are_refused() -> None:
    rng = np.random.default_rng(3)
    usual = rng.beta(2, 8, 5000)
    reference = Reference.of(np.zeros((5000, 1), np.float32), usual)
    assert gate_scores(reference, rng.beta(2, 8, 5000)) < 0.05
    with pytest.raises(IneligibleScoresError):
        gate_scores(reference, np.full(5000, 0.97))


def test_a_hair_s_breadth_refuses_nobody() -> None:
    """Where all profiles have nearly the same probability, any shift changes every share and matters little."""
    rng = np.random.default_rng(4)
    reference = Reference.of(np.zeros((5000, 1), np.float32), rng.normal(0.250, 0.001, 5000))
    assert gate_scores(reference, rng.normal(0.260, 0.001, 5000)) > 4
    with pytest.raises(IneligibleScoresError, match="odds differ by a factor of 2"):
        gate_scores(reference, rng.normal(0.420, 0.001, 5000))


def test_scores_that_moved_are_said() -> None:
    assert score_drift_notices(0.5) == []
    (notice,) = score_drift_notices(2.2)
    assert (notice.code, notice.symbol) == ("PROPEND-309", "SCORE_DRIFT")
    assert "population stability index 2.20" in notice.message


def test_stability_of_equal_shares_is_zero() -> None:
    assert population_stability(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.0
