"""The level that is coming, from the levels that were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from propend.model.calibrate import logit, sigmoid
from propend.model.level import (
    MAX_SHIFT,
    NO_FORECAST,
    PRIOR_ERROR,
    LevelHistory,
    Span,
    forecast_level,
    measure_span,
)

OUTCOME_DAYS, SHORT_DAYS, STEP_DAYS = 28, 14, 7


def history_of(days: int, whole: np.ndarray, short: np.ndarray | None = None) -> LevelHistory:
    """Weekly cutoffs over some days; shifts of both windows as given per cutoff."""
    cutoffs = np.arange(0, days, STEP_DAYS)
    spans = [
        Span(gap, cutoffs, np.asarray(shifts, dtype=np.float64), np.full(len(cutoffs), 0.99))
        for gap, shifts in ((OUTCOME_DAYS, whole), (SHORT_DAYS, short))
        if shifts is not None
    ]
    trained = tuple(
        range((days - OUTCOME_DAYS) // STEP_DAYS * STEP_DAYS % OUTCOME_DAYS, days - OUTCOME_DAYS, OUTCOME_DAYS)
    )
    return LevelHistory(tuple(spans), STEP_DAYS, OUTCOME_DAYS, trained)


def test_shifts_make_the_mean_probability_right_at_each_cutoff() -> None:
    margin = np.random.default_rng(3).normal(size=2000)
    met, labelled = np.array([300, 900, 0]), np.array([2000, 2000, 2000])
    span = measure_span(30, (100, 130, 160), met, labelled, [margin] * 3, (100,), offset=False)
    assert span.cutoffs.tolist() == [100, 130]  # where nobody met the goal, no shift is right
    np.testing.assert_allclose([sigmoid(margin + s).mean() for s in span.shifts], [0.15, 0.45], atol=1e-5)
    np.testing.assert_allclose(span.weights, [300 / 330, 900 / 930])


def test_shifts_of_another_window_count_from_the_cutoffs_learnt_from() -> None:
    margin = np.full(500, float(logit(0.5)))
    found = measure_span(14, (100, 130), np.array([50, 100]), np.array([500, 500]), [margin] * 2, (100,), offset=True)
    np.testing.assert_allclose(found.shifts, [0.0, float(logit(0.2) - logit(0.1))], atol=1e-4)


def test_nothing_known_moves_nothing() -> None:
    assert forecast_level(history_of(0, np.zeros(0)), 500) == NO_FORECAST
    assert forecast_level(history_of(70, np.ones(10)), 20) == NO_FORECAST  # no window had ended then


def test_a_steady_drift_is_followed() -> None:
    drift = 0.02 * np.arange(52)
    found = forecast_level(history_of(364, drift, drift), 364)
    assert found.backtested > 20
    # counted from the cutoffs learnt from, the drift of the next window lies beyond the last one known
    assert 0.5 * drift[-1] < found.shift < 1.2 * drift[-1]
    assert found.shift == pytest.approx(sum(found.drivers.values()))
    assert found.error < PRIOR_ERROR


def test_noise_is_not_followed() -> None:
    noise = np.random.default_rng(5).normal(0.0, 0.3, 52)
    found = forecast_level(history_of(364, noise), 364)
    assert abs(found.shift) < 0.1
    assert 0.2 < found.error < 0.45


def test_the_shorter_window_tells_of_a_change_sooner() -> None:
    """A level that jumps every few weeks: when the longer window knows of it, it is over."""
    jumps = np.repeat(np.random.default_rng(8).normal(0.0, 0.5, 26), 2)
    ahead = np.concatenate([jumps[2:], jumps[-2:]])  # what two weeks show now is what four weeks will show
    found = forecast_level(history_of(364, jumps, ahead), 364)
    assert found.drivers["lately"] == pytest.approx(ahead[50], abs=0.3)
    assert abs(found.drivers["lately"]) > 2 * abs(found.drivers["last"])


def test_a_season_is_remembered_from_last_year() -> None:
    end = 3 * 364 + 6 * 28  # the same month comes a fourth time
    month = (np.arange(0, end, STEP_DAYS) % 364) // 28
    found = forecast_level(history_of(end, np.where(month == 6, 1.0, 0.0)), end)
    assert found.drivers["season"] > 0.4
    assert abs(found.drivers["last"]) < 0.1


def test_only_what_was_known_at_the_day_counts() -> None:
    known = np.random.default_rng(6).normal(0.0, 0.2, 52)
    later = known.copy()
    later[44:] = 9.0  # day 308 on: no such window has ended at day 330
    assert forecast_level(history_of(364, known), 330) == forecast_level(history_of(364, later), 330)
    assert forecast_level(history_of(364, later), 364).shift > 0.5


def test_the_shift_is_limited() -> None:
    assert forecast_level(history_of(364, np.full(52, 9.0)), 364).shift == MAX_SHIFT


def test_cutoffs_that_say_little_count_little() -> None:
    drift = 0.02 * np.arange(52)
    firm = history_of(364, drift)
    thin = replace(firm, spans=(replace(firm.spans[0], weights=np.full(52, 0.01)),))
    assert forecast_level(thin, 364).error > forecast_level(firm, 364).error
