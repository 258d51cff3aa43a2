"""Simple rules that a model must beat to be worth its trouble: recency, frequency, and both with money."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from propend.model.calibrate import logit, sigmoid
from propend.model.metrics import auc

Float = NDArray[np.float64]

PROBABILITY_EDGE = 1e-4
PRIOR_ROWS = 10.0
"""Rows at the base rate that a group's own rate is shrunk by."""


@dataclass(frozen=True)
class BaselineInputs:
    """What simple rules may look at, one row per snapshot.

    Attributes:
        recency_days: float[N], days since the last event; NaN = never.
        frequency: float[N], number of events.
        monetary: float[N], value; all NaN or 0 where there is none.
        label: 0/1 [N]; only read of training rows.
    """

    recency_days: Float
    frequency: Float
    monetary: Float
    label: NDArray[np.uint8]

    def columns(self) -> list[Float]:
        """The three quantities on a log scale, what is unknown as NaN."""
        return [_log_scale(x) for x in (self.recency_days, self.frequency, self.monetary)]


def baseline_probabilities(train: BaselineInputs, proof: BaselineInputs) -> dict[str, Float]:
    """Probabilities float64 for the proof's rows by three rules fitted on the training rows.

    ``recency`` and ``frequency`` are strictly monotone in their one quantity, in the direction that
    ranked the training rows better; rows without the quantity have a rate of their own.
    ``rfm_logistic`` is a logistic regression on the logarithms of all three and their squares.
    Training rows of a single class give that class's rate, clipped like everything to [1e-4, 1 - 1e-4].
    """
    label = np.asarray(train.label, dtype=np.float64)
    old, new = train.columns(), proof.columns()
    rules = {
        "recency": _monotone_rule(old[0], label, new[0]),
        "frequency": _monotone_rule(old[1], label, new[1]),
        "rfm_logistic": _rfm_rule(old, label, new),
    }
    return {name: np.clip(p, PROBABILITY_EDGE, 1.0 - PROBABILITY_EDGE) for name, p in rules.items()}


def _log_scale(x: ArrayLike) -> Float:
    raw = np.asarray(x, dtype=np.float64)
    return np.log1p(np.maximum(np.where(np.isfinite(raw), raw, np.nan), 0.0))


def _monotone_rule(z: Float, label: Float, new: Float) -> Float:
    known, asked = ~np.isnan(z), ~np.isnan(new)
    base = float(label.mean())
    probability = np.full(len(new), _shrunk_rate(label[~known], base))
    if known.any() and np.ptp(z[known]) > 0 and np.ptp(label[known]) > 0:
        probability[asked] = _monotone_fit(z[known], label[known], new[asked])
    else:
        probability[asked] = _shrunk_rate(label[known], base)
    return probability


def _shrunk_rate(label: Float, base: float) -> float:
    return (float(label.sum()) + PRIOR_ROWS * base) / (len(label) + PRIOR_ROWS)


def _monotone_fit(z: Float, label: Float, new: Float) -> Float:
    """Mean log-odds of an isotonic and a straight fit: the first has the shape, the second no ties."""
    sign = 1.0 if auc(label, z) >= 0.5 else -1.0
    edge = 1.0 / (len(z) + 2)
    steps = IsotonicRegression(y_min=edge, y_max=1.0 - edge, out_of_bounds="clip").fit(sign * z, label)
    center, scale = float(z.mean()), float(z.std())
    line = LogisticRegression().fit((sign * (z - center) / scale)[:, None], label)
    slope = max(float(line.coef_[0, 0]), 0.01)
    straight = slope * sign * (new - center) / scale + float(line.intercept_[0])
    return sigmoid(0.5 * logit(steps.predict(sign * new)) + 0.5 * straight)


def _rfm_rule(old: list[Float], label: Float, new: list[Float]) -> Float:
    if np.ptp(label) == 0:
        return np.full(len(new[0]), float(label.mean()))
    pairs = [_rfm_columns(z, fresh) for z, fresh in zip(old, new, strict=True)]
    fitted = LogisticRegression(solver="newton-cholesky", tol=1e-6).fit(np.hstack([p[0] for p in pairs]), label)
    return np.asarray(fitted.predict_proba(np.hstack([p[1] for p in pairs]))[:, 1], dtype=np.float64)


def _rfm_columns(z: Float, new: Float) -> tuple[Float, Float]:
    """Standardised value, its square and a centred mark of missing, for training and proof rows.

    New values are kept within the range of training: a square must not be extrapolated.
    """
    known = z[~np.isnan(z)]
    center, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)

    absent = float(np.isnan(z).mean())

    def table(x: Float) -> Float:
        missing = np.isnan(x)
        v = np.where(missing, 0.0, (np.clip(x, low, high) - center) / (scale or 1.0))
        return np.column_stack([v, v**2, missing - absent])

    return table(z), table(new)
