"""Shape and level of the probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from propend.model.calibrate import (
    MAX_LEVEL_SHIFT,
    Calibration,
    LevelHistory,
    fit_shape,
    forecast_level,
    level_history,
    logit,
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


def test_level_history_measures_each_cutoff() -> None:
    cutoff = np.repeat([100, 130], 5000)
    rng = np.random.default_rng(4)
    truth = np.where(cutoff == 100, 0.2, 0.4)
    label = (rng.random(10_000) < truth).astype(np.uint8)
    history = level_history([100, 130], cutoff, label, np.full(10_000, float(logit(0.3))))
    assert history.cutoffs == (100, 130)
    assert history.shifts[0] == pytest.approx(float(logit(0.2) - logit(0.3)), abs=0.1)
    assert history.shifts[1] == pytest.approx(float(logit(0.4) - logit(0.3)), abs=0.1)


def test_level_without_history_does_nothing() -> None:
    assert forecast_level(LevelHistory((), (), ()), 500, 30) == (0.0, "none", 0.0)


def test_steady_drift_is_followed() -> None:
    days = tuple(range(0, 300, 30))
    shifts = tuple(0.5 + 0.01 * i for i in range(10))
    shift, method, error = forecast_level(LevelHistory(days, shifts, (1000.0,) * 10), 300, 30)
    assert method == "last"
    assert 0.3 < shift < 0.6
    assert error < 0.3


def test_noise_around_zero_is_not_followed() -> None:
    days = tuple(range(0, 300, 30))
    shifts = (0.3, -0.3) * 5
    assert forecast_level(LevelHistory(days, shifts, (1000.0,) * 10), 300, 30)[:2] == (0.0, "none")


def test_a_season_is_remembered_from_last_year() -> None:
    days = tuple(range(0, 730, 30))
    shifts = tuple(0.8 * np.sin(2 * np.pi * d / 365) for d in days)
    shift, method, _ = forecast_level(LevelHistory(days, shifts, (5000.0,) * len(days)), 735, 30)
    assert method == "season"
    assert shift == pytest.approx(0.75 * 0.8 * np.sin(2 * np.pi * 5 / 365), abs=0.25)


def test_level_knows_only_what_had_matured() -> None:
    history = LevelHistory((0, 30, 60, 90), (5.0, 5.0, 5.0, 5.0), (1e6,) * 4)
    assert forecast_level(history, 100, 200)[0] == 0.0
    assert forecast_level(history, 120, 30)[0] == MAX_LEVEL_SHIFT


def test_calibration_is_affine_in_log_odds() -> None:
    calibration = Calibration(0.5, 0.2, level_shift=0.1)
    np.testing.assert_allclose(calibration(np.array([0.0, 2.0])), [0.3, 1.3])
