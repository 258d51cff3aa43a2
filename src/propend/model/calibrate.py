"""Shape and level of the probabilities.

Shape: a straight line on the log-odds fitted out of fold (Platt 1999), so that contributions stay exact
sums. Level: an intercept that moves the mean probability towards the base rate that is coming; base
rates move with seasons and growth, and there most log loss is lost (reference/science.md, finding 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

Float = NDArray[np.float64]

SLOPE_RANGE = (0.2, 3.0)
MAX_LEVEL_SHIFT = 1.5
"""The most, in log-odds, that history may move the level: a factor of about four in odds."""
YEAR_DAYS = 365
SEASON_TOLERANCE_DAYS = 20


def sigmoid(margin: Float) -> Float:
    """Probability of a log-odds."""
    return 1.0 / (1.0 + np.exp(-np.clip(margin, -60.0, 60.0)))


def logit(probability: Float | float) -> Float:
    """Log-odds of a probability, clipped to 1e-9 from 0 and 1."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)


def mean_log_loss(label: NDArray[np.uint8], margin: Float) -> float:
    """Mean log loss of log-odds."""
    return float(np.mean(np.logaddexp(0.0, margin) - label * margin))


@dataclass(frozen=True)
class Calibration:
    """``log-odds = slope * margin + intercept + level_shift``.

    Attributes:
        slope, intercept: the shape.
        level_shift: the level.
        level_method: how the level was forecast: ``none``, ``last``, ``season``.
        level_error: root mean square error, in log-odds, of that method on earlier cutoffs.
    """

    slope: float
    intercept: float
    level_shift: float = 0.0
    level_method: str = "none"
    level_error: float = 0.0

    @property
    def offset(self) -> float:
        return self.intercept + self.level_shift

    def __call__(self, margin: Float) -> Float:
        return self.slope * margin + self.offset


def fit_shape(label: NDArray[np.uint8], margin: Float) -> Calibration:
    """Platt's line through out-of-fold margins, its slope kept positive.

    Args:
        label: uint8[N].
        margin: float64[N], log-odds the model gave to rows it had not seen.
    """
    a_low, a_high = SLOPE_RANGE

    def loss(theta: Float) -> tuple[float, Float]:
        z = theta[0] * margin + theta[1]
        residual = sigmoid(z) - label
        # a weak pull to slope 1: with few positives the fitted slope is noise
        pull = 1.0 / len(label)
        value = mean_log_loss(label, z) + pull * (theta[0] - 1.0) ** 2
        slope_gradient = float(np.mean(residual * margin)) + 2 * pull * (theta[0] - 1.0)
        return value, np.array([slope_gradient, float(np.mean(residual))])

    start = np.array([1.0, 0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(a_low, a_high), (-20, 20)])
    return Calibration(float(found.x[0]), float(found.x[1]))


def shift_to_rate(margin: Float, rate: float) -> float:
    """The intercept that makes the mean probability equal a rate."""
    rate = float(np.clip(rate, 1e-6, 1 - 1e-6))
    return float(brentq(lambda d: float(np.mean(sigmoid(margin + d))) - rate, -30.0, 30.0, xtol=1e-6))


@dataclass(frozen=True)
class LevelHistory:
    """By how much the level was off at earlier cutoffs.

    Attributes:
        cutoffs: day numbers, ascending.
        shifts: log-odds that would have made the mean probability right at each.
        weights: how many positives or negatives, whichever fewer, each rests on.
    """

    cutoffs: tuple[int, ...]
    shifts: tuple[float, ...]
    weights: tuple[float, ...]


def level_history(
    cutoffs: Sequence[int], row_cutoff: NDArray[np.int64], label: NDArray[np.uint8], margin: Float
) -> LevelHistory:
    """The level errors of out-of-fold log-odds, cutoff by cutoff."""
    shifts, weights, days = [], [], []
    for day in sorted(set(cutoffs)):
        rows = row_cutoff == day
        n, positives = int(rows.sum()), int(label[rows].sum())
        if positives in (0, n):
            continue
        shifts.append(shift_to_rate(margin[rows], positives / n))
        weights.append(float(min(positives, n - positives)))
        days.append(day)
    return LevelHistory(tuple(days), tuple(shifts), tuple(weights))


def forecast_level(history: LevelHistory, cutoff: int, gap_days: int) -> tuple[float, str, float]:
    """The level shift to expect at a later cutoff: (shift, method, root mean square error).

    Candidates: none; the last matured cutoffs, shrunk; the cutoff a year before, shrunk. The method is
    chosen by how well each would have done at the earlier cutoffs, knowing only what had matured then.

    Args:
        history: level errors at matured cutoffs.
        cutoff: day number to forecast for.
        gap_days: days that must lie between a cutoff and the forecast for its label to be known.
    """
    methods = {"none": _no_shift, "last": _last_shift, "season": _season_shift}
    errors: dict[str, list[float]] = {name: [] for name in methods}
    for i, day in enumerate(history.cutoffs):
        known = _known_at(history, day, gap_days)
        if not known.cutoffs:
            continue
        for name, method in methods.items():
            guess = method(known, day)
            if guess is not None:
                errors[name].append(history.shifts[i] - guess)
    best = min(
        (name for name in methods if len(errors[name]) >= 2),
        key=lambda name: float(np.mean(np.square(errors[name]))) * (1.0 if name == "none" else 1.05),
        default="none",
    )
    known = _known_at(history, cutoff, gap_days)
    shift = methods[best](known, cutoff) if known.cutoffs else None
    error = float(np.sqrt(np.mean(np.square(errors[best])))) if errors[best] else 0.0
    if shift is None:
        return 0.0, "none", error
    return float(np.clip(shift, -MAX_LEVEL_SHIFT, MAX_LEVEL_SHIFT)), best, error


def _known_at(history: LevelHistory, day: int, gap_days: int) -> LevelHistory:
    keep = [i for i, c in enumerate(history.cutoffs) if c + gap_days <= day]
    return LevelHistory(
        tuple(history.cutoffs[i] for i in keep),
        tuple(history.shifts[i] for i in keep),
        tuple(history.weights[i] for i in keep),
    )


def _no_shift(_known: LevelHistory, _day: int) -> float | None:
    return 0.0


def _last_shift(known: LevelHistory, _day: int) -> float | None:
    return _shrunk(known, len(known.cutoffs) - 1)


def _season_shift(known: LevelHistory, day: int) -> float | None:
    """The shift a year before, where a cutoff stood within a few weeks of that day."""
    if not known.cutoffs:
        return None
    distance = [abs(day - YEAR_DAYS - c) for c in known.cutoffs]
    i = int(np.argmin(distance))
    return _shrunk(known, i) if distance[i] <= SEASON_TOLERANCE_DAYS else None


def _shrunk(known: LevelHistory, i: int) -> float | None:
    if not known.cutoffs:
        return None
    # half weight at 30 outcomes of the rarer kind: below that a rate says little
    weight = known.weights[i] / (known.weights[i] + 30.0)
    return known.shifts[i] * weight * 0.75
