"""Shape of the probabilities: a straight line on the log-odds.

It is fitted out of fold (Platt 1999) and keeps contributions exact sums. The level is moved by an
intercept of its own, which ``model.level`` forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize

Float = NDArray[np.float64]

SLOPE_RANGE = (0.2, 3.0)


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
        level_error: root mean square error to expect of the level, in log-odds.
    """

    slope: float
    intercept: float
    level_shift: float = 0.0
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
