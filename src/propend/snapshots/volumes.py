"""How many events of each kind came week by week, and what they were worth: broken tracking shows there first.

Beside it, for people who look at their data: how many came in each month of all the time there is.
"""

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


# --- by month -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Months:
    """Events by kind and calendar month, of every month from that of the first event to that of the last.

    Attributes:
        first: the first month, counted from January 1970.
        kinds: names of those with the most events, the most first.
        events: int64[K + 1, M]; the last row has all other kinds together.
    """

    first: int
    kinds: tuple[str, ...]
    events: NDArray[np.int64]


def monthly_volumes(log: EventLog, most: int) -> Months:
    """Count a log's events by kind and month of the local clock.

    Args:
        most: so many kinds are told apart.
    """
    first, last = (int(month) for month in _months(np.array([log.facts.first_at, log.facts.last_at])))
    kinds = tuple(name for name, _events, _profiles in log.facts.kinds[:most])
    place = np.array([kinds.index(name) if name in kinds else len(kinds) for name in log.kinds])
    counted = log.visit(partial(_count_months, first, place, (len(kinds) + 1, last - first + 1)))
    return Months(first, kinds, np.sum(list(counted), axis=0))


def _months(at: NDArray[np.int64]) -> NDArray[np.int64]:
    return at.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _count_months(first: int, place: NDArray[np.int64], shape: tuple[int, int], part: Partition) -> NDArray[np.int64]:
    at = place[part.kind] * shape[1] + (_months(part.at) - first)
    return np.bincount(at, minlength=shape[0] * shape[1]).astype(np.int64).reshape(shape)
