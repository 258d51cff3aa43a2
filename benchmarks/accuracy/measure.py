"""Figures of all contenders on the same rows, and differences to propend under the same profile weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.model.evaluate import SEED
from propend.model.metrics import METRICS, Ranking

Float = NDArray[np.float64]
REPLICATES = 200
LEVEL = "calibration_in_the_large"
FIGURES = (*METRICS, LEVEL)
HIGHER_IS_BETTER = frozenset({"auc", "average_precision", "top_decile_lift"})


@dataclass(frozen=True)
class Cell:
    """One figure of one contender, the mean of the cutoffs, and the difference *contender minus propend*.

    Attributes:
        difference, low, high: with its 95 % paired interval by profile; NaN for propend itself.
    """

    value: float
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Tested:
    """One cutoff: profiles, labels and the probabilities of each contender for them."""

    profile: Sequence[str]
    label: Float
    probability: Mapping[str, Float]


def compare(tested: Sequence[Tested], reference: str) -> dict[str, dict[str, Cell]]:
    """Contender to figure to cell; profiles are drawn whole, over all cutoffs at once."""
    everybody = {p: i for i, p in enumerate(sorted({p for t in tested for p in t.profile}))}
    places = [np.array([everybody[p] for p in t.profile]) for t in tested]
    rankings = [{n: Ranking.of(t.label, p) for n, p in t.probability.items()} for t in tested]
    names = list(tested[0].probability)
    rng, drawn = np.random.default_rng(SEED), np.zeros((REPLICATES + 1, len(names), len(FIGURES)))
    for i in range(REPLICATES + 1):
        weight = np.bincount(rng.integers(0, len(everybody), len(everybody)), minlength=len(everybody))
        weight = np.ones(len(everybody)) if i == 0 else weight.astype(float)
        for c, name in enumerate(names):
            drawn[i, c] = np.mean(
                [_figures(r[name], weight[at]) for r, at in zip(rankings, places, strict=True)], axis=0
            )
    found: dict[str, dict[str, Cell]] = {}
    for c, name in enumerate(names):
        found[name] = {}
        for f, figure in enumerate(FIGURES):
            against = drawn[:, c, f] - drawn[:, names.index(reference), f] if reference in names else None
            found[name][figure] = _cell(drawn[0, c, f], against if name != reference else None)
    return found


def _figures(ranking: Ranking, weight: Float) -> Float:
    tally = ranking.tally(weight)
    level = abs(tally.expected_rate - tally.realised_rate)
    return np.array([*(m.of(tally) for m in METRICS.values()), level])


def _cell(value: float, against: Float | None) -> Cell:
    if against is None or not np.isfinite(against[1:]).any():
        return Cell(float(value))
    low, high = np.nanpercentile(against[1:], [2.5, 97.5])
    return Cell(float(value), float(against[0]), float(low), float(high))
