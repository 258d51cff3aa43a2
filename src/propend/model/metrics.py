"""How well probabilities rank and how right they are: figures that count under any row weights.

Every figure is a function of a ``Tally``: positives and rows at each distinct probability, best first.
Probabilities are sorted once; a bootstrap replicate only recounts with its own weights. Equal
probabilities are one level: within it positives are taken to be spread evenly, so that no figure
depends on the order of rows. A metric is added by one decorated function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Integers = NDArray[np.int64]

CALIBRATION_BINS = 10


# --- counting -------------------------------------------------------------------------------------------


def rows_at(percent: ArrayLike, n: int) -> Integers:
    """int64: whole rows in the best ``percent`` of ``n``, rounded half up, at least one above 0 %."""
    p = np.asarray(percent, dtype=np.int64)
    return np.maximum((p * n + 50) // 100, (p > 0).astype(np.int64))


@dataclass(frozen=True)
class Ranking:
    """Rows by falling score, equal scores together.

    Attributes:
        order: int64[N], best row first.
        label: float64[N] in that order.
        starts: int64[G], where each level (distinct score) begins in that order.
        score: float64[G], strictly falling.
        bins: int64[B], the level at which each of up to ten equal-count bins begins; no level is split.
    """

    order: Integers
    label: Float
    starts: Integers
    score: Float
    bins: Integers

    @classmethod
    def of(cls, label: ArrayLike, score: ArrayLike) -> Ranking:
        """Sorts once. Args: 0/1 labels and any finite scores, both [N]."""
        s = np.asarray(score, dtype=np.float64)
        order = np.argsort(-s, kind="stable").astype(np.int64)
        ranked = s[order]
        starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])).astype(np.int64)
        labels = np.asarray(label, dtype=np.float64)[order]
        return cls(order, labels, starts, ranked[starts], _bin_starts(starts, len(s)))

    def __len__(self) -> int:
        return len(self.order)

    @cached_property
    def log_loss_parts(self) -> tuple[Float, Float]:
        """Loss of a negative at each level, and how much more a positive loses there.

        Probabilities are kept one rounding step from 0 and 1.
        """
        eps = float(np.finfo(np.float64).eps)
        p = np.clip(self.score, eps, 1.0 - eps)
        return -np.log1p(-p), np.log1p(-p) - np.log(p)

    @cached_property
    def brier_parts(self) -> tuple[Float, Float]:
        """The same for the squared error."""
        return self.score**2, 1.0 - 2.0 * self.score

    def tally(self, weight: Float | None = None) -> Tally:
        """Counts under row weights float64[N] (in the original order; all one by default)."""
        w = np.ones(len(self)) if weight is None else np.asarray(weight, dtype=np.float64)[self.order]
        positive = w * self.label
        if len(self.starts) < len(self):
            w, positive = np.add.reduceat(w, self.starts), np.add.reduceat(positive, self.starts)
        return Tally(self, positive, w)


def _bin_starts(starts: Integers, n: int) -> Integers:
    """First level of each equal-count bin, every edge moved to the nearest boundary between levels."""
    edges = np.append(starts, n)
    wanted = np.arange(1, CALIBRATION_BINS) * n / CALIBRATION_BINS
    above = np.searchsorted(edges, wanted)
    nearer_below = wanted - edges[above - 1] < edges[above] - wanted
    levels = np.unique(np.concatenate([[0], above - nearer_below]))
    return levels[levels < len(starts)].astype(np.int64)


@dataclass(frozen=True)
class Tally:
    """What one set of row weights makes of a ranking.

    Attributes:
        ranking: the order and the levels.
        positive: float64[G], weight of the positives at each level.
        total: float64[G], weight of all rows at each level.
    """

    ranking: Ranking
    positive: Float
    total: Float

    @cached_property
    def seen_total(self) -> Float:
        """float64[G], weight down to and including each level."""
        return np.cumsum(self.total)

    @cached_property
    def seen_positive(self) -> Float:
        """float64[G], weight of positives down to and including each level."""
        return np.cumsum(self.positive)

    @property
    def expected_rate(self) -> float:
        return ratio(float(self.total @ self.ranking.score), float(self.seen_total[-1]))

    @property
    def realised_rate(self) -> float:
        return ratio(float(self.seen_positive[-1]), float(self.seen_total[-1]))

    def top(self, percents: Sequence[int]) -> Float:
        """Positives among the best ``percents`` of rows, as shares of all rows."""
        n, weight = len(self.ranking), float(self.seen_total[-1])
        at = rows_at(percents, n) / n * weight
        level = np.minimum(np.searchsorted(self.seen_total, at), len(self.total) - 1)
        inside, found = self.total[level], self.positive[level]
        beyond = np.maximum(self.seen_total[level] - at, 0.0) / np.where(inside > 0, inside, 1.0)
        return np.asarray((self.seen_positive[level] - beyond * found) / (weight or math.nan))


def ratio(part: float, whole: float) -> float:
    """NaN where the whole is 0."""
    return part / whole if whole > 0 else math.nan


# --- metrics --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MetricFunction:
    """One registered metric: ``metric(label, probability, weight)``, or ``metric.of(tally)``.

    Attributes:
        of: the formula.
        recentre: the formula grows with noise, so its replicates lie above the value by nature and
            are moved back around it before an interval is read off them.
    """

    of: Callable[[Tally], float]
    recentre: bool = False

    def __call__(self, label: ArrayLike, probability: ArrayLike, weight: Float | None = None) -> float:
        return self.of(Ranking.of(label, probability).tally(weight))


METRICS: dict[str, MetricFunction] = {}


def metric(*, recentre: bool = False) -> Callable[[Callable[[Tally], float]], MetricFunction]:
    """Registers a formula under its own name; it is then in every evaluation."""

    def register(formula: Callable[[Tally], float]) -> MetricFunction:
        METRICS[formula.__name__] = MetricFunction(formula, recentre)
        return METRICS[formula.__name__]

    return register


@metric()
def auc(tally: Tally) -> float:
    """Chance that a positive ranks above a negative, ties counting half; NaN with one class only."""
    positives = float(tally.seen_positive[-1])
    negatives = float(tally.seen_total[-1]) - positives
    positive = tally.positive
    # dot products only: a replicate makes no temporary arrays, which would cost more than the sums
    not_below = positive @ tally.seen_total - positive @ tally.seen_positive
    tied = positive @ tally.total - positive @ positive
    return ratio(positives * negatives - float(not_below) + 0.5 * float(tied), positives * negatives)


@metric()
def average_precision(tally: Tally) -> float:
    """Precision at each level, averaged over the positives found there; NaN without positives."""
    k = int(np.searchsorted(tally.seen_total, 0.0, side="right"))
    precision = tally.seen_positive[k:] / tally.seen_total[k:]
    return ratio(float(tally.positive[k:] @ precision), float(tally.seen_positive[-1]))


@metric()
def log_loss(tally: Tally) -> float:
    """Mean negative log likelihood, in nats."""
    negative, more = tally.ranking.log_loss_parts
    loss = tally.total @ negative + tally.positive @ more
    return ratio(float(loss), float(tally.seen_total[-1]))


@metric()
def brier(tally: Tally) -> float:
    """Mean squared difference of probability and label."""
    negative, more = tally.ranking.brier_parts
    loss = tally.total @ negative + tally.positive @ more
    return ratio(float(loss), float(tally.seen_total[-1]))


@metric(recentre=True)
def calibration_error(tally: Tally) -> float:
    """Mean absolute difference of expected and realised rate over ten equal-count bins of the sample."""
    bins = tally.ranking.bins
    gap = np.add.reduceat(tally.positive - tally.total * tally.ranking.score, bins)
    return ratio(float(np.abs(gap).sum()), float(tally.seen_total[-1]))


@metric()
def top_decile_lift(tally: Tally) -> float:
    """Rate among the best tenth of rows over the rate of all; NaN without positives."""
    n = len(tally.ranking)
    return ratio(float(tally.top([10])[0]) * n / float(rows_at(10, n)), tally.realised_rate)
