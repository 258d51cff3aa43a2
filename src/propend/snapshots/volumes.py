"""How many events of each kind came week by week, and what they were worth: broken tracking shows there first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from propend.events import DAY_US, EventLog, Partition

WEEKS = 61
"""A year, and the weeks that are compared with it."""


@dataclass(frozen=True)
class Volumes:
    """Whole weeks before a day, the newest first, as far back as there are events and at most ``WEEKS``.

    Attributes:
        kinds: names.
        events: int64[K, W].
        valued: int64[K, W], those with a value.
        value: float64[K, W], sum of values.
    """

    kinds: tuple[str, ...]
    events: NDArray[np.int64]
    valued: NDArray[np.int64]
    value: NDArray[np.float64]


def weekly_volumes(log: EventLog, now: int) -> Volumes:
    """Count a log's events by kind and week.

    Args:
        now: day number; nothing from it on is counted.
    """
    weeks = max(0, min(WEEKS, (now - log.facts.first_at // DAY_US) // 7))
    counted = zip(*log.visit(partial(_count_weeks, now, (len(log.kinds), weeks))), strict=True)
    events, valued, value = (np.sum(counts, axis=0) for counts in counted)
    return Volumes(tuple(log.kinds), events, valued, value)


def _count_weeks(
    now: int, shape: tuple[int, int], part: Partition
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    weeks, size = shape[1], shape[0] * shape[1]
    week = (now - 1 - part.at // DAY_US) // 7
    seen = (week >= 0) & (week < weeks)
    place, worth = part.kind[seen] * weeks + week[seen], part.value[seen]
    known = ~np.isnan(worth)
    events, valued = (np.bincount(at, minlength=size).astype(np.int64).reshape(shape) for at in (place, place[known]))
    value = np.bincount(place[known], weights=worth[known], minlength=size).astype(np.float64).reshape(shape)
    return events, valued, value
