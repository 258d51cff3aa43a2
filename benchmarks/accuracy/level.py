"""The level: how far the mean probability is from the rate that came, with and without a forecast of it.

Four readings of the same model at the same cutoff: as it was learnt ("none"), moved to the rate of the newest
outcomes known then ("last rate"), as propend moves it, and what came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.model.calibrate import logit, shift_to_rate, sigmoid

Float = NDArray[np.float64]
WAYS = ("none", "last", "propend")


@dataclass(frozen=True)
class Level:
    """Mean probabilities at one cutoff.

    Attributes:
        cutoff: its date.
        realised: the rate that came.
        none, last, propend: the mean probability without a correction, moved to the last known rate, and as propend
            gives it.
    """

    cutoff: str
    realised: float
    none: float
    last: float
    propend: float

    @classmethod
    def of(cls, cutoff: str, label: Float, probability: Float, level_shift: float, last_rate: float) -> Level:
        """From a model's probabilities, the shift they contain and the newest rate known at the cutoff."""
        plain = logit(probability) - level_shift
        moved = sigmoid(plain + shift_to_rate(plain, last_rate))
        return cls(
            cutoff, float(np.mean(label)), float(sigmoid(plain).mean()), float(moved.mean()), float(probability.mean())
        )

    def error(self, way: str) -> float:
        return abs(float(getattr(self, way)) - self.realised)

    def error_in_log_odds(self, way: str) -> float:
        return abs(float(logit(getattr(self, way)) - logit(self.realised)))

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Errors:
    """Mean absolute errors of the three ways, as rates and in log-odds."""

    cutoffs: int
    rate: dict[str, float]
    log_odds: dict[str, float]

    @classmethod
    def of(cls, levels: Sequence[Level]) -> Errors:
        return cls(
            len(levels),
            {w: float(np.mean([x.error(w) for x in levels])) for w in WAYS},
            {w: float(np.mean([x.error_in_log_odds(w) for x in levels])) for w in WAYS},
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
    )
    head = ["study", "cutoffs", "no correction", "last rate", "propend", "propend / none"]
    head += ["log-odds: no correction", "last rate", "propend", "propend / none"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, e in [*rows, ("**all cutoffs**", every), ("**mean of the studies**", mean)]:
        cells = [name, str(e.cutoffs)]
        for found, digits in ((e.rate, 4), (e.log_odds, 3)):
            cells += [f"{found[w]:.{digits}f}" for w in WAYS] + [_ratio(found["propend"], found["none"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole > 0 else ""
