"""How sure a probability is: an interval for each profile, and whose history is too short to say anything.

The interval is for the probability, that is, for the rate among profiles alike; it is not about what one of
them will do. Everything is measured on the scale ``angle = arcsin(sqrt(probability))``, on which a rate has
the same error wherever it lies (Anscombe 1948) and no interval leaves 0 to 1. Four errors add up, as variances:

- *apart*: by how much the trees and the straight lines disagree on a profile, drawn towards how much they do
  on average. Two ways to describe the same profiles are wrong in different places, so their distance tells how
  wrong their blend may be (Krogh and Vedelsby 1995); ``APART`` says how much of it, as measured on the
  simulator, where the true probabilities are known (decision 0014);
- *sampling*: by how much the ensembles that lack one fold of the profiles each differ: the delete-a-group
  jackknife (Shao and Wu 1989);
- *line*: the uncertainty of the calibration's straight line, from its Fisher information;
- *level*: the error to expect of the level's forecast, which all profiles share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from propend.model.calibrate import Calibration, logit, sigmoid
from propend.model.members import Matrix, matrix_for_trees
from propend.model.train import Model
from propend.snapshots.plan import Op, Plan

Float = NDArray[np.float64]
Labels = NDArray[np.uint8]

Z_95 = 1.959963984540054
APART, SAMPLING, LINE = 0.5, 0.33, 3.0
"""How much of each variance is the blend's own error. Of the ensembles' only a third: each has, beside its profiles,
chances of its own in columns and rows, which the jackknife counts several times and their mean averages out. Of the
line's three times as much: slope and intercept are two of many quantities that the same profiles had to tell."""
OWN_SHARE = 0.25
"""Of the distance of a profile's members; the rest is the mean over profiles."""
NEAR = 1.75
"""An end of the scale that is no farther away than so many half widths is taken in: who has left for good has a
probability of 0, not of almost 0."""
USUAL_APART = 0.06
"""Of members where there is only one."""
MOST_THIN_DAYS = 3
"""A profile with more active days is never said to have too little history."""
JUDGED_OUTCOMES = 10
"""Outcomes of the rarer kind from which it can be told whether a group is ranked better than by chance."""
CHANCE = 0.025


def angle(probability: Float) -> Float:
    """``arcsin(sqrt(p))``, from 0 to pi / 2."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(probability, 0.0, 1.0))))


def _slope_of_angle(probability: Float) -> Float:
    """How much the angle moves with the log-odds."""
    return 0.5 * np.sqrt(probability * (1.0 - probability))


@dataclass(frozen=True)
class Margins:
    """Calibrated log-odds of rows.

    Attributes:
        whole: float64[N], by all members together.
        leading: float64[N], by the trees alone; without trees, by the first line.
        others: float64[N], by the other members together; NaN where there are none.
    """

    whole: Float
    leading: Float
    others: Float

    @classmethod
    def of(cls, whole: Float, leading: Float, share: float, offset: float) -> Margins:
        """From what the leading member adds to the whole, its share in the blend, and the calibration's offset."""
        rest = whole - leading - offset
        others = rest / (1.0 - share) + offset if share < 1.0 else np.full(len(whole), np.nan)
        return cls(whole, leading / share + offset, others)

    @property
    def apart(self) -> Float:
        """float64[N]: squared distance of the members, as angles; NaN where there is only one."""
        return np.asarray((angle(sigmoid(self.leading)) - angle(sigmoid(self.others))) ** 2)


def leading_share(model: Model) -> float:
    """The leading member's share in the blend."""
    return model.tree_weight if model.trees else model.linear_weights[0]


@dataclass(frozen=True)
class Certainty:
    """What tells how sure each probability is.

    Attributes:
        apart: mean squared distance, as angles, of the members at the proof.
        sampling: mean variance of the blend from ensemble to ensemble, likewise.
        line: variance of the calibration's slope, their covariance, variance of the intercept, in log-odds.
        days_column: position in the plan of active days over the whole look-back; -1 for none.
        thin_days: with at most so many active days a profile has too little history to say; 0 is nobody.
    """

    apart: float
    sampling: float
    line: tuple[float, float, float]
    days_column: int
    thin_days: int

    def deviation(self, margins: Margins, calibration: Calibration) -> Float:
        """float64[N]: standard deviation of angles."""
        p = sigmoid(margins.whole)
        raw = (margins.whole - calibration.offset) / calibration.slope
        slope, both, intercept = self.line
        line = np.maximum(slope * raw**2 + 2.0 * both * raw + intercept, 0.0)
        own = np.where(np.isnan(margins.apart), self.apart, margins.apart)
        apart = OWN_SHARE * own + (1.0 - OWN_SHARE) * self.apart
        shared = _slope_of_angle(p) ** 2 * (LINE * line + calibration.level_error**2)
        return np.asarray(np.sqrt(APART * apart + SAMPLING * self.sampling + shared))

    def interval(self, margins: Margins, calibration: Calibration) -> tuple[Float, Float]:
        """Two float64[N]: the 95 % interval of each probability."""
        centre, half = angle(sigmoid(margins.whole)), Z_95 * self.deviation(margins, calibration)
        low = np.where(centre < NEAR * half, 0.0, centre - half)
        high = np.where(np.pi / 2 - centre < NEAR * half, np.pi / 2, centre + half)
        return np.sin(low) ** 2, np.sin(high) ** 2

    def document(self) -> dict[str, Any]:
        """What a run says of it: standard deviations, as angles, and the most active days of the flag."""
        apart, sampling = (float(np.sqrt(v)) for v in (APART * self.apart, SAMPLING * self.sampling))
        return {"apart": apart, "sampling": sampling, "thin_days": self.thin_days}

    def thin(self, X: Matrix) -> NDArray[np.bool_]:
        """bool[N]: too little history to say."""
        if self.days_column < 0:
            return np.zeros(len(X), dtype=bool)
        return np.asarray(X[:, self.days_column] <= self.thin_days) & (self.thin_days > 0)


def days_column(plan: Plan) -> int:
    """Position in the plan of active days over the whole look-back; -1 for none."""
    return next(
        (
            j
            for j, f in enumerate(plan.features)
            if f.op is Op.ACTIVE_DAYS and f.channel == 0 and f.window_days == plan.lookback_days
        ),
        -1,
    )


def fit_certainty(
    margins: Margins, sampling: float, calibration: Calibration, X: Matrix, label: Labels, column: int
) -> Certainty:
    """From profiles that the model has not learnt from.

    Args:
        margins, sampling: as ``margins_of`` gives them.
        calibration: the model's.
        X: float32[M, F], all of the plan's features.
        label: uint8[M].
        column: as ``days_column`` gives it.
    """
    apart = float(np.mean(margins.apart))
    return Certainty(
        apart=apart if np.isfinite(apart) else USUAL_APART**2,
        sampling=sampling,
        line=line_variances(margins.whole, calibration),
        days_column=column,
        thin_days=0 if column < 0 else thin_days(X[:, column], label, sigmoid(margins.whole)),
    )


def margins_of(model: Model, X: Matrix) -> tuple[Margins, float]:
    """Log-odds of the members, and the mean variance, as angles, from ensemble to ensemble (0 without trees)."""
    calibration, share, used = model.calibration, leading_share(model), model.inputs(X)
    lines = [w * line.margin(used) for line, w in zip(model.linear, model.linear_weights, strict=True)]
    if not model.trees:
        whole = calibration(np.sum(lines, axis=0))
        return Margins.of(whole, calibration.slope * lines[0], share, calibration.offset), 0.0
    data = matrix_for_trees(used)
    each = share * np.array([t.predict(data, output_margin=True) for t in model.trees], dtype=np.float64)
    leading = each.mean(axis=0)
    whole = calibration(np.sum([leading, *lines], axis=0))
    variance = (calibration.slope * _slope_of_angle(sigmoid(whole))) ** 2 * jackknife_variance(each)
    margins = Margins.of(whole, calibration.slope * leading, share, calibration.offset)
    return margins, float(np.mean(variance))


def jackknife_variance(each: Float) -> Float:
    """float64[M]: variance of the mean of float64[K, M], each row by a model without one of K groups of profiles."""
    k = len(each)
    return np.asarray((k - 1) / k * np.sum((each - each.mean(axis=0)) ** 2, axis=0))


def line_variances(margin: Float, calibration: Calibration) -> tuple[float, float, float]:
    """Variance of a line's slope, their covariance, variance of its intercept, from its Fisher information.

    Args:
        margin: float64[M], calibrated log-odds of as many profiles as the line was fitted to: snapshots of one
            profile say much the same.
    """
    raw, p = (margin - calibration.offset) / calibration.slope, sigmoid(margin)
    w = p * (1.0 - p)
    # the pull to slope 1 that the line is fitted with
    information = np.array([[np.sum(w * raw**2) + 2.0, np.sum(w * raw)], [np.sum(w * raw), np.sum(w)]])
    found = np.linalg.inv(information + 1e-9 * np.eye(2))
    return float(found[0, 0]), float(found[0, 1]), float(found[1, 1])


def thin_days(days: Matrix, label: Labels, probability: Float) -> int:
    """The most active days up to which the proof does not show a better ranking than chance; 0 for none.

    Args:
        days: float32[M], active days.
        label: uint8[M].
        probability: float64[M].
    """
    found = 0
    for most in range(1, MOST_THIN_DAYS + 1):
        rows = (days <= most) & (days > found)
        if ranked_better_than_chance(label[rows], probability[rows]):
            break
        found = most if rows.any() else found
    return found


def ranked_better_than_chance(label: Labels, probability: Float) -> bool:
    """Whether those who met the goal rank higher than chance would have it in one case of forty (rank-sum test)."""
    met, unmet = int(label.sum()), int(len(label) - label.sum())
    if min(met, unmet) < JUDGED_OUTCOMES:
        return False
    ranks = rankdata(probability)
    expected = met * (len(label) + 1) / 2.0
    deviation = np.sqrt(unmet * met / (len(label) - 1) * np.var(ranks))
    return bool(deviation > 0 and norm.sf((ranks[label == 1].sum() - expected) / deviation) < CHANCE)


def interval_rows(
    certainty: Certainty, margins: Margins, label: Labels, calibration: Calibration
) -> list[dict[str, Any]]:
    """Whether intervals held in a proof: per tenth of its profiles the mean limits, and the share that met the goal.

    The limits are widened by what chance does to a share of so many. Errors of single profiles cancel in a
    tenth, so that more than 95 of 100 tenths should lie inside.
    """
    probability = sigmoid(margins.whole)
    low, high = certainty.interval(margins, calibration)
    rows = []
    for tenth in np.array_split(np.argsort(-probability, kind="stable"), 10):
        if not len(tenth):
            continue
        p = probability[tenth]
        expected, realised = float(p.mean()), float(label[tenth].mean())
        chance = Z_95 * float(np.sqrt(np.sum(p * (1.0 - p)))) / len(tenth)
        below = expected - float(np.hypot(expected - low[tenth].mean(), chance))
        above = expected + float(np.hypot(high[tenth].mean() - expected, chance))
        rows.append(
            {
                "n": len(tenth),
                "expected": expected,
                "low": max(below, 0.0),
                "high": min(above, 1.0),
                "realised": realised,
                "inside": below <= realised <= above,
            }
        )
    return rows


class Expected:
    """How many of some profiles are expected to meet the goal, added up a part at a time.

    The 95 % interval has two errors: that of the level, which all profiles share, and chance, for which every profile
    is a throw of its own with its own probability (the variance of a Poisson-binomial number).
    """

    def __init__(self, level_error: float) -> None:
        """``level_error``: root mean square error to expect of the level, in log-odds."""
        self._shift = Z_95 * level_error
        self.profiles, self.total, self._low, self._high, self._variance = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, probability: Float) -> Expected:
        """Some more profiles, float64[N]; gives itself."""
        margin = logit(probability)
        self.profiles += len(probability)
        self.total += float(probability.sum())
        self._low += float(sigmoid(margin - self._shift).sum())
        self._high += float(sigmoid(margin + self._shift).sum())
        self._variance += float(np.sum(probability * (1.0 - probability)))
        return self

    @property
    def interval(self) -> dict[str, float]:
        """``value``, ``low`` and ``high``."""
        chance = Z_95 * float(np.sqrt(self._variance))
        return {
            "value": self.total,
            "low": max(self.total - float(np.hypot(self.total - self._low, chance)), 0.0),
            "high": min(self.total + float(np.hypot(self._high - self.total, chance)), float(self.profiles)),
        }


def total_interval(probability: Float, level_error: float) -> dict[str, float]:
    """How many are expected to meet the goal, with the 95 % interval (``Expected``).

    Args:
        probability: float64[N].
        level_error: root mean square error to expect of the level, in log-odds.
    """
    return Expected(level_error).add(probability).interval
