"""Breaks in a year of history: values on another level, values that are missing, a kind that takes another's place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.language import numeral, say
from propend.model.checks import LEAST_VALUED, Notice, first_of
from propend.snapshots.volumes import Volumes

SPAN_WEEKS = 4
LEAST_SIDE, LEVEL_TIMES = 2, 4.0
"""Spans on either side of a break, and times by which the middle of one side is above that of the other."""
USUALLY_VALUED, SELDOM_VALUED = 0.9, 0.5
"""Of a kind whose events usually have a value, and the share under which a span's do not."""
LEAST_ENDED, RATIO_ENDED, LEAST_WEEKS = 20, 3.0, 2
"""Events of either kind, by how many times their weekly numbers may differ, and weeks that both must have."""


def break_notices(volumes: Volumes, most: int = 3) -> list[Notice]:
    """Every break that a year of weekly counts shows."""
    return _level_notices(volumes, most) + _replaced_notices(volumes, most)


def _level_notices(volumes: Volumes, most: int) -> list[Notice]:
    told = []
    for k, kind in enumerate(volumes.kinds):
        events, valued, value = (_by_span(x[k]) for x in (volumes.events, volumes.valued, volumes.value))
        ago = _level_break(valued, value)
        if ago:
            mean = value / np.maximum(valued, 1)
            there = valued >= LEAST_VALUED
            told.append(
                say(
                    "{kind} worth {now} on average since {weeks} weeks before now, and {then} before",
                    kind=repr(kind),
                    weeks=ago * SPAN_WEEKS,
                    now=numeral(f"{float(np.median(mean[:ago][there[:ago]])):,.4g}"),
                    then=numeral(f"{float(np.median(mean[ago:][there[ago:]])):,.4g}"),
                )
            )
        told += _unvalued(kind, events, valued)
    if not told:
        return []
    message = say("values changed within the past year: {named}.", named=first_of(told, most))
    hint = say("look for another unit or currency, and for values that were not recorded; bring all to one form.")
    return [Notice("PROPEND-357", "VALUES_BROKEN", message, hint)]


def _level_break(valued: NDArray[np.int64], value: NDArray[np.float64]) -> int:
    """How many newest spans are on another level, 0 if none; a span that the change divides may be mixed."""
    there = np.flatnonzero((valued >= LEAST_VALUED) & (value > 0) & np.isfinite(value))
    if len(there) < 2 * LEAST_SIDE + 1:
        return 0
    logs = np.log(value[there] / valued[there])
    best = (math.log(LEVEL_TIMES), 0)
    for i in range(LEAST_SIDE, len(there) - LEAST_SIDE + 1):
        for after in (i, i + 1):
            new, old = logs[:i], logs[after:]
            if len(old) < LEAST_SIDE or (new.min() <= old.max() and old.min() <= new.max()):
                continue
            apart = abs(float(np.median(new) - np.median(old)))
            if apart > best[0]:
                best = apart, int(there[i - 1]) + 1
    return best[1]


def _unvalued(kind: str, events: NDArray[np.int64], valued: NDArray[np.int64]) -> list[str]:
    """Spans in which events of a kind lack their value, though most others have it."""
    many = np.flatnonzero(events >= LEAST_VALUED)
    if len(many) < LEAST_SIDE + 1:
        return []
    share = valued[many] / events[many]
    lacking = many[share < SELDOM_VALUED]
    if np.quantile(share, 0.75) < USUALLY_VALUED or not len(lacking):
        return []
    without = int((events - valued)[lacking].sum())
    return [
        say(
            "{n} {kind} without a value between {oldest} and {newest} weeks before now",
            n=numeral(f"{without:,}"),
            kind=repr(kind),
            oldest=int(lacking.max() + 1) * SPAN_WEEKS,
            newest=int(lacking.min()) * SPAN_WEEKS,
        )
    ]


def _by_span(weekly: NDArray[Any]) -> NDArray[Any]:
    whole = len(weekly) // SPAN_WEEKS
    with np.errstate(over="ignore", invalid="ignore"):  # sums that are no number are of no level
        return np.asarray(weekly[: whole * SPAN_WEEKS].reshape(whole, SPAN_WEEKS).sum(axis=1))


def _replaced_notices(volumes: Volumes, most: int) -> list[Notice]:
    """A kind that ends in the week in which another, about as frequent, begins."""
    weeks = volumes.events.shape[1]
    spans = {}
    for kind, events in zip(volumes.kinds, volumes.events, strict=True):
        there = np.flatnonzero(events)
        if events.sum() >= LEAST_ENDED and len(there) >= LEAST_WEEKS:
            spans[kind] = int(there[0]), int(there[-1]), float(np.median(events[there[0] : there[-1] + 1]))
    told = [
        say(
            "{old} ends and {new} begins {weeks} weeks before now, with {before} and {after} a week",
            old=repr(old),
            new=repr(new),
            weeks=begins + 1,
            before=numeral(f"{before:,.0f}"),
            after=numeral(f"{after:,.0f}"),
        )
        for old, (ends, _, before) in spans.items()
        for new, (_, begins, after) in spans.items()
        if old != new and ends and begins < weeks - 1 and abs(ends - begins) <= 1
        and 1 / RATIO_ENDED <= max(before, 1) / max(after, 1) <= RATIO_ENDED
    ]  # fmt: skip
    if not told:
        return []
    message = say("a kind of event seems to have been renamed: {named}.", named=first_of(told, most))
    hint = say("give both one name under `events` and use it in the goal.")
    return [Notice("PROPEND-354", "KIND_REPLACED", message, hint)]
