"""When, not only whether: the probability over several horizons, from one training.

Time is cut at the horizons. In each interval a small logistic regression gives the *hazard*: the chance that
it happens there, among those to whom it has not happened yet (Allison 1982, "Discrete-time methods for the
analysis of event histories"). Hazards say how soon; how likely at all says the model: the cumulative hazards of a
profile are scaled so that its curve passes through its probability at the goal's own outcome window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propend.model.members import LinearForm, Logistic, Matrix, Scaling, fit_logistic

Float = NDArray[np.float64]

STRENGTH = 0.003
"""Inverse regularisation of the hazards: decision 0011 has how it was found."""
FADING = 0.9
"""What is left of a profile's scaling with every doubling away from the goal's own window."""
LEAST_EVENTS = 20
"""In an interval, of either kind: below, everybody has the same hazard there."""
MOST_PROBABLE = 1.0 - 1e-12
LEAST_HAZARD = 1e-12
MEDIAN_HAZARD = float(np.log(2.0))
"""Cumulative hazard at which it is as likely as not to have happened."""
NEVER = -1


@dataclass(frozen=True)
class Horizons:
    """Hazards of the intervals between horizons.

    Attributes:
        days: lengths of outcome windows, ascending.
        own: position of the goal's own among them.
        falling: the goal is that something does not happen: its probability falls as the window grows.
        columns: int64[C], features of the plan that the hazards see.
        hazards: one regression per interval.
    """

    days: tuple[int, ...]
    own: int
    falling: bool
    columns: NDArray[np.int64]
    hazards: tuple[Logistic, ...]

    def curve(self, X: Matrix, probability: Float) -> Float:
        """float64[N, H]: probability of the goal at every horizon, monotone; at its own the one given.

        Args:
            X: float32[N, F], all features of the plan.
            probability: float64[N], the model's.
        """
        seen = np.ascontiguousarray(X[:, self.columns])
        steps = np.column_stack([np.logaddexp(0.0, hazard.margin(seen)) for hazard in self.hazards])
        shape = np.maximum(np.cumsum(steps, axis=1), LEAST_HAZARD)
        reached = cumulative_hazard(1.0 - probability if self.falling else probability)
        scale = np.maximum(reached, LEAST_HAZARD) / shape[:, self.own]
        days = np.array(self.days, dtype=np.float64)
        scaled = shape * scale[:, None] ** (FADING ** np.abs(np.log2(days / days[self.own])))
        found = np.exp(-scaled) if self.falling else -np.expm1(-scaled)
        found[:, self.own] = probability
        return self._ordered(found)

    def _ordered(self, curve: Float) -> Float:
        """Never past a neighbour on the way to the goal's own window: scales fade, and the last bit is rounded."""
        before, after = curve[:, self.own :: -1], curve[:, self.own :]
        less, more = (np.maximum, np.minimum) if self.falling else (np.minimum, np.maximum)
        earlier = less.accumulate(before, axis=1)[:, :0:-1]
        return np.hstack([earlier, more.accumulate(after, axis=1)])

    def expected_days(self, curve: Float) -> NDArray[np.int64]:
        """int64[N]: days from the start of the window to the first midnight by which it is as likely as not to have
        happened; ``NEVER`` where that is beyond the longest horizon.

        Between horizons the cumulative hazard is a straight line.
        """
        hazard = np.zeros((len(curve), len(self.days) + 1))
        hazard[:, 1:] = cumulative_hazard(1.0 - curve if self.falling else curve)
        edges = np.array([0, *self.days], dtype=np.float64)
        place = np.argmax(hazard >= MEDIAN_HAZARD, axis=1)
        rows = np.arange(len(curve))
        low, high = hazard[rows, place - 1], hazard[rows, place]
        share = (MEDIAN_HAZARD - low) / np.where(place > 0, high - low, 1.0)
        day = np.ceil(edges[place - 1] + share * (edges[place] - edges[place - 1]) - 1e-9)
        return np.where(place > 0, np.maximum(day, 1), NEVER).astype(np.int64)


def cumulative_hazard(happens: Float) -> Float:
    """Of the probability that it has happened."""
    return np.asarray(-np.log1p(-np.minimum(happens, MOST_PROBABLE)), dtype=np.float64)


@dataclass(frozen=True)
class HazardColumns:
    """What hazards see.

    Attributes:
        columns: int64[C], features of the plan.
        heavy: bool[C], those seen as logarithms.
    """

    columns: NDArray[np.int64]
    heavy: NDArray[np.bool_]


def fit_horizons(
    days: Sequence[int],
    own: int,
    falling: bool,
    columns: HazardColumns,
    seen: Matrix,
    happened: NDArray[np.uint8],
) -> Horizons:
    """One hazard per interval, each on the rows still at risk whose interval is fully observed.

    Args:
        days: horizons, ascending.
        own: position of the goal's own outcome window.
        falling: the goal is that it does not happen.
        columns: what the hazards see.
        seen: float32[N, C], these features.
        happened: uint8[H, N]: whether it has happened by each horizon; above 1 where that is not known.
    """
    form = LinearForm(np.arange(len(columns.heavy), dtype=np.int64), columns.heavy, True, (STRENGTH,))
    hazards = []
    for h in range(len(days)):
        at_risk = happened[h] <= 1
        if h:
            at_risk &= happened[h - 1] == 0
        hazards.append(_hazard(seen[at_risk], happened[h, at_risk], form))
    return Horizons(tuple(days), own, falling, columns.columns, tuple(hazards))


def _hazard(seen: Matrix, happened: NDArray[np.uint8], form: LinearForm) -> Logistic:
    events = int(happened.sum())
    if len(form.columns) and min(events, len(happened) - events) >= LEAST_EVENTS:
        return fit_logistic(seen, happened, form, STRENGTH)
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    blind = Scaling(np.zeros(0, dtype=bool), nothing, nothing, nothing, nothing, none, nothing, none)
    odds = (events + 0.5) / (len(happened) - events + 0.5)
    return Logistic(none, blind, nothing, float(np.log(odds)), nothing)
