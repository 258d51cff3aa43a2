"""The level that is coming: by how much the next window's base rate will be off, forecast from earlier ones.

Base rates move with seasons and growth, and there, not in the ranking, most log loss is lost
(reference/science.md, finding 8). The model stands at many cutoffs of the past; the *shift* of a cutoff is
what has to be added to its log-odds to make the mean probability right there. A ridge regression over these
cutoffs says how much of the last known shift, of what a shorter window has shown since, and of the same
weeks a year ago to expect of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.model.calibrate import shift_to_rate

Float = NDArray[np.float64]

MAX_SHIFT = 1.5
"""The most, in log-odds, that the level is moved: a factor of about four in odds."""
YEAR_DAYS = 364
"""Whole weeks, so that weekdays agree."""
HALF_LIFE_DAYS = 240.0
NOISY_OUTCOMES = 30.0
"""Outcomes of the rarer kind at which half of a shift is chance: the variance of a level is taken to be 1/30, in
log-odds, and that of a shift seen in n outcomes is about 1/n. A cutoff counts, and is counted on, accordingly."""
PENALTY = 0.05
DRIVERS = ("last", "lately", "season")
PRIOR_SLOPES = (0.0, 0.4, 0.0)
"""How much of each is to be expected again, before any back-test; decision 0013 has how they were found."""
PRIOR_SLOPE_ALONE = 0.5
"""Of the last shift where there is no shorter window."""
PRIOR_ERROR = 0.25
REMEMBERED_CUTOFFS = 8
"""Cutoffs that the level of a model trained at some day in the past is taken to be centred on."""


@dataclass(frozen=True)
class Span:
    """Shifts as seen through outcome windows of one length.

    Attributes:
        gap_days: days from a cutoff until its outcome is known.
        cutoffs: int64[K], day numbers, ascending.
        shifts: float64[K], in log-odds.
        weights: float64[K] in 0..1, the share of each shift that is not chance.
    """

    gap_days: int
    cutoffs: NDArray[np.int64]
    shifts: Float
    weights: Float

    def near(self, day: int, tolerance: int) -> int:
        """Position of the cutoff nearest to a day, -1 where none is near enough."""
        if not len(self.cutoffs):
            return -1
        place = int(np.argmin(np.abs(self.cutoffs - day)))
        return place if abs(int(self.cutoffs[place]) - day) <= tolerance else -1

    def newest(self, day: int) -> int:
        """Position of the newest cutoff whose outcome is known at a day, -1 where none is."""
        return int(np.searchsorted(self.cutoffs, day - self.gap_days, side="right")) - 1


@dataclass(frozen=True)
class LevelHistory:
    """What earlier cutoffs say of the level.

    Attributes:
        spans: the outcome window itself, then a shorter one where there is one.
        step_days: from one cutoff to the next.
        outcome_days: length of the outcome window.
        trained: day numbers of the cutoffs that the model learnt from, which its level is right for.
    """

    spans: tuple[Span, ...]
    step_days: int
    outcome_days: int
    trained: tuple[int, ...]


@dataclass(frozen=True)
class LevelForecast:
    """The level to expect at a cutoff.

    Attributes:
        shift: to add to the log-odds.
        error: root mean square error to expect of it, in log-odds.
        drivers: what each of ``DRIVERS`` adds to the shift; empty where nothing is known.
        backtested: cutoffs of the past that the slopes rest on.
    """

    shift: float
    error: float
    drivers: dict[str, float]
    backtested: int


NO_FORECAST = LevelForecast(0.0, PRIOR_ERROR, {}, 0)


def measure_span(
    gap_days: int,
    cutoffs: Sequence[int],
    met: NDArray[np.int64],
    labelled: NDArray[np.int64],
    margins: Sequence[Float],
    trained: Sequence[int],
    offset: bool,
) -> Span:
    """Shifts at every cutoff with both outcomes.

    Args:
        gap_days: days from a cutoff until its outcome is known.
        cutoffs: day numbers, ascending.
        met, labelled: int64[K], profiles that met the goal in this span, and all whose outcome is known.
        margins: log-odds of a sample of the population at each cutoff.
        trained: cutoffs that the model learnt from.
        offset: whether the span is another one than the model's own: then shifts are counted from the one
            that fits the cutoffs it learnt from.
    """
    usable = [k for k in range(len(cutoffs)) if 0 < met[k] < labelled[k] and len(margins[k])]
    days = np.array([cutoffs[k] for k in usable], dtype=np.int64)
    shifts = np.array([shift_to_rate(margins[k], met[k] / labelled[k]) for k in usable], dtype=np.float64)
    rarer = np.array([min(met[k], labelled[k] - met[k]) for k in usable], dtype=np.float64)
    found = Span(gap_days, days, shifts, rarer / (rarer + NOISY_OUTCOMES))
    if not offset or not len(days):
        return found
    places = [int(np.argmin(np.abs(days - day))) for day in trained]
    return Span(gap_days, days, shifts - float(np.mean(shifts[places])), found.weights)


def forecast_level(history: LevelHistory, cutoff: int) -> LevelForecast:
    """The level at a later cutoff, from what is known at that day.

    Args:
        history: shifts at earlier cutoffs.
        cutoff: day number to forecast for.
    """
    now = _drivers(history, cutoff, centred=False)
    if now is None:
        return NO_FORECAST
    days, X, y, w = _backtest(history, cutoff)
    prior = np.array(PRIOR_SLOPES if len(history.spans) > 1 else (PRIOR_SLOPE_ALONE, 0.0, 0.0))
    slopes = _slopes(X, y, w, prior)
    parts = slopes * now
    apart = np.abs(days[:, None] - days[None, :]) >= history.outcome_days
    misses = np.array([y[i] - X[i] @ _slopes(X[apart[i]], y[apart[i]], w[apart[i]], prior) for i in range(len(y))])
    error = float(np.sqrt((np.sum(w * misses**2) + PRIOR_ERROR**2) / (np.sum(w) + 1.0)))
    shift = float(np.clip(parts.sum(), -MAX_SHIFT, MAX_SHIFT))
    return LevelForecast(shift, error, dict(zip(DRIVERS, parts.tolist(), strict=True)), len(y))


def _slopes(X: Float, y: Float, w: Float, prior: Float) -> Float:
    """Ridge regression towards the prior; a level does not repeat itself more than once, nor turn round."""
    weighted = X.T * w
    penalty = PENALTY * np.eye(len(prior))
    found = np.linalg.solve(weighted @ X + penalty, weighted @ y + PENALTY * prior)
    return np.asarray(np.clip(found, 0.0, 1.0), dtype=np.float64)


def _backtest(history: LevelHistory, cutoff: int) -> tuple[NDArray[np.int64], Float, Float, Float]:
    """Every earlier cutoff as if it had been the one to forecast: its day, drivers, shift and weight.

    A model trained at that day would have been right on average over the cutoffs before it, so shifts are
    counted from their mean.
    """
    whole = history.spans[0]
    days, rows, shifts, weights = [], [], [], []
    for k in range(whole.newest(cutoff) + 1):
        day = int(whole.cutoffs[k])
        before = _grid(history, whole, day, whole.gap_days)
        found = _drivers(history, day, centred=True)
        if len(before) < 2 or found is None:
            continue
        days.append(day)
        rows.append(found)
        shifts.append(float(whole.shifts[k] - np.mean(whole.shifts[before])))
        fading = 0.5 ** ((cutoff - day) / HALF_LIFE_DAYS)
        weights.append(whole.weights[k] * fading * min(1.0, history.step_days / history.outcome_days))
    X = np.array(rows, dtype=np.float64).reshape(-1, len(DRIVERS))
    return np.array(days, dtype=np.int64), X, np.array(shifts, dtype=np.float64), np.array(weights, dtype=np.float64)


def _grid(history: LevelHistory, span: Span, day: int, gap_days: int) -> list[int]:
    """Positions in a span of the cutoffs that a model trained at a day would have learnt from."""
    tolerance = history.step_days // 2
    wanted = (day - gap_days - history.outcome_days * i for i in range(REMEMBERED_CUTOFFS))
    found = {span.near(c, tolerance) for c in wanted} - {-1}
    return sorted(p for p in found if int(span.cutoffs[p]) + span.gap_days <= day)


def _drivers(history: LevelHistory, day: int, *, centred: bool) -> Float | None:
    """float64[3]: the last shift, the shorter window's last, the change of a year ago, each as far as it is not chance;
    None if nothing is known."""
    whole = history.spans[0]
    last = whole.newest(day)
    if last < 0:
        return None
    found = np.zeros(len(DRIVERS))
    for i, span in enumerate(history.spans[:2]):
        newest = span.newest(day)
        if newest >= 0:
            before = _grid(history, span, day, whole.gap_days) if centred else []
            apart = span.shifts[newest] - (float(np.mean(span.shifts[before])) if before else 0.0)
            found[i] = span.weights[newest] * apart
    tolerance = history.step_days // 2
    then, earlier = (whole.near(day - YEAR_DAYS - gap, tolerance) for gap in (0, whole.gap_days))
    if then >= 0 and earlier >= 0:
        found[2] = whole.weights[[then, earlier]].min() * (whole.shifts[then] - whole.shifts[earlier])
    return found
