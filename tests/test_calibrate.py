"""Shape of the probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.calibrate import (
    Calibration,
    fit_shape,
    mean_log_loss,
    shift_to_rate,
    sigmoid,
)


def test_shape_undoes_overconfidence_and_offset() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(-1.0, 1.2, 40_000)
    label = (rng.random(40_000) < sigmoid(truth)).astype(np.uint8)
    margin = 2.0 * truth + 0.7
    found = fit_shape(label, margin)
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.intercept == pytest.approx(-0.35, abs=0.05)
    assert mean_log_loss(label, found(margin)) < mean_log_loss(label, margin)


def test_shape_keeps_rank_even_when_margins_are_backwards() -> None:
    rng = np.random.default_rng(2)
    margin = rng.normal(size=500)
    label = (rng.random(500) < sigmoid(-margin)).astype(np.uint8)
    assert fit_shape(label, margin).slope > 0


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.5, 0.97])
def test_shift_to_rate_hits_the_rate(rate: float) -> None:
    margin = np.random.default_rng(3).normal(size=1000)
    assert sigmoid(margin + shift_to_rate(margin, rate)).mean() == pytest.approx(rate, abs=1e-5)


def test_calibration_is_affine_in_log_odds() -> None:
    calibration = Calibration(0.5, 0.2, level_shift=0.1)
    np.testing.assert_allclose(calibration(np.array([0.0, 2.0])), [0.3, 1.3])
