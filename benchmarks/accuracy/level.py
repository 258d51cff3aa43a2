"""The level: how far the mean probability is from the rate that came, with and without a forecast of it.

Readings at the same cutoff: the same recipe without any care for the level, its trees not knowing the time
("plain"); the model as it was learnt ("none"); moved to the rate of the newest outcomes known then ("last");
as propend moves it; and what came. Beside them, what chance alone makes of a level that is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.model.calibrate import logit, shift_to_rate, sigmoid

Float = NDArray[np.float64]
WAYS = ("plain", "none", "last", "propend")
MEAN_OF_NORMAL = float(np.sqrt(2 / np.pi))
"""Mean absolute value of a standard normal number."""


@dataclass(frozen=True)
class Level:
    """Mean probabilities at one cutoff.

    Attributes:
        cutoff: its date.
        realised: the rate that came.
        plain: the mean probability of a model that neither knows the time nor is corrected.
        none, last, propend: that of the model without a correction, moved to the last known rate, and as propend
            gives it.
        chance: standard deviation of the rate that comes, where every probability is right.
    """

    cutoff: str
    realised: float
    plain: float
    none: float
    last: float
    propend: float
    chance: float

    @classmethod
    def of(
        cls, cutoff: str, label: Float, probability: Float, level_shift: float, last_rate: float, plain: Float
    ) -> Level:
        """From a model's probabilities, the shift they contain, the newest rate known at the cutoff, and a plain
        model's probabilities."""
        learnt = logit(probability) - level_shift
        moved = sigmoid(learnt + shift_to_rate(learnt, last_rate))
        means = (float(np.mean(p)) for p in (label, plain, sigmoid(learnt), moved, probability))
        chance = float(np.sqrt(np.sum(probability * (1 - probability))) / len(label))
        return cls(cutoff, *means, chance)

    def error(self, way: str) -> float:
        return abs(float(getattr(self, way)) - self.realised)

    def error_in_log_odds(self, way: str) -> float:
        return abs(float(logit(getattr(self, way)) - logit(self.realised)))

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of the ways, as rates and in log-odds, and of chance alone as a rate."""

    cutoffs: int
    rate: dict[str, float]
    log_odds: dict[str, float]
    chance: float

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Errors:
        return cls(
            len(levels),
            {w: float(np.mean([x.error(w) for x in levels])) for w in WAYS},
            {w: float(np.mean([x.error_in_log_odds(w) for x in levels])) for w in WAYS},
            float(np.mean([x.chance for x in levels])) * MEAN_OF_NORMAL,
        )


def level_table(given: Iterable[tuple[str, Sequence[Level]]]) -> str:
    """Mean absolute errors per study, over all cutoffs, and over studies with equal weight."""
    studies = [(name, levels) for name, levels in given if levels]
    rows = [(name, Errors.of(levels)) for name, levels in studies]
    if not rows:
        return "No cutoff has a level.\n"
    every = Errors.of([x for _, levels in studies for x in levels])
    mean = Errors(
        every.cutoffs,
        {w: float(np.mean([e.rate[w] for _, e in rows])) for w in WAYS},
        {w: float(np.mean([e.log_odds[w] for _, e in rows])) for w in WAYS},
        float(np.mean([e.chance for _, e in rows])),
    )
    names = ["plain", "no correction", "last rate", "propend"]
    head = ["study", "cutoffs", "chance alone", *names, "propend / plain", "propend / none"]
    head += [f"log-odds: {names[0]}", *names[1:], "propend / plain"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, e in [*rows, ("**all cutoffs**", every), ("**mean of the studies**", mean)]:
        rate, log_odds = e.rate, e.log_odds
        cells = [name, str(e.cutoffs), f"{e.chance:.4f}", *(f"{rate[w]:.4f}" for w in WAYS)]
        cells += [_ratio(rate["propend"], rate["plain"]), _ratio(rate["propend"], rate["none"])]
        cells += [*(f"{log_odds[w]:.3f}" for w in WAYS), _ratio(log_odds["propend"], log_odds["plain"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole > 0 else ""
