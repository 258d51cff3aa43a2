"""The slow and obvious form of what the kernel computes: one definition per aggregate, over lists of events."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from logs import Event, Fact, MemoryLog
from propend.events import DAY_US
from propend.goal import ANYTHING, Did, Group, Measure, Then
from propend.snapshots.plan import Channel, Feature, Op, Plan

HALF_HOUR_US = 1_800_000_000
LARGEST = 1e30
NAN = math.nan


# --- features -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A feature of one profile at one cutoff.

    Attributes:
        feature: what is asked.
        channel: which events it is asked of.
        past: the profile's events strictly before the cutoff, oldest first.
        facts: what is known of the profile, oldest first.
        cutoff: the day it is asked on.
        log: names and positions of fields.
    """

    feature: Feature
    channel: Channel
    past: Sequence[Event]
    facts: Sequence[Fact]
    cutoff: int
    log: MemoryLog

    def within(self, days: int) -> list[Event]:
        """All events of the last so many days."""
        return [e for e in self.past if e.at >= (self.cutoff - days) * DAY_US]

    def chosen(self, days: int) -> list[Event]:
        """Those of the channel."""
        return [e for e in self.within(days) if belongs(e, self.channel, self.log)]

    @cached_property
    def everything(self) -> list[Event]:
        return self.within(self.feature.window_days)

    @cached_property
    def events(self) -> list[Event]:
        return self.chosen(self.feature.window_days)

    @property
    def values(self) -> list[float]:
        return [e.value for e in self.events if e.value is not None]

    @property
    def ages(self) -> list[float]:
        """Days from each event to the cutoff, oldest first."""
        return [(self.cutoff * DAY_US - e.at) / DAY_US for e in self.events]

    @property
    def active(self) -> list[int]:
        """Days with an event, oldest first."""
        return sorted({e.at // DAY_US for e in self.events})

    @property
    def gaps(self) -> list[int]:
        return [b - a for a, b in itertools.pairwise(self.active)]

    @property
    def texts(self) -> list[str]:
        place = self.log.request.text_fields.index(self.feature.field)
        return [t for e in self.everything if (t := e.texts[place]) is not None]

    @property
    def numbers(self) -> list[float]:
        place = self.log.request.number_fields.index(self.feature.field)
        return [n for e in self.everything if (n := e.numbers[place]) is not None]

    @property
    def number_known(self) -> float:
        place = self.log.attribute_numbers.index(self.feature.field)
        number = self.facts[-1].numbers[place] if self.facts else None
        return NAN if number is None else number

    @property
    def text_known(self) -> str | None:
        place = self.log.attribute_texts.index(self.feature.field)
        return self.facts[-1].texts[place] if self.facts else None


def belongs(event: Event, channel: Channel, log: MemoryLog) -> bool:
    """Whether an event is one of a channel's."""
    if channel.source == "kind":
        return event.kind == channel.name
    if channel.source == "bit":
        return channel.name in event.names
    if channel.source == "value":
        return event.texts[log.request.text_fields.index(channel.name)] == channel.value
    return True


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else NAN


def share(part: float, whole: float) -> float:
    return part / whole if whole else NAN


def visits(events: Sequence[Event]) -> int:
    """Runs of events with at most half an hour between one and the next."""
    times = [e.at for e in events]
    return bool(times) + sum(b - a > HALF_HOUR_US for a, b in itertools.pairwise(times))


def quarter(event: Event) -> int:
    return event.at % DAY_US // (DAY_US // 4)


def coded(value: str, values: Sequence[str]) -> int:
    return values.index(value) if value in values else len(values)


def at_weekend(event: Event) -> bool:
    return bool(np.datetime64(event.at, "us").item().weekday() >= 5)


DEFINITIONS: dict[Op, Callable[[Question], float]] = {
    Op.COUNT: lambda q: len(q.events),
    Op.SUM: lambda q: math.fsum(q.values),
    Op.MAX: lambda q: max(q.values, default=NAN),
    Op.ACTIVE_DAYS: lambda q: len(q.active),
    Op.DAYS_SINCE_LAST: lambda q: min(q.ages, default=NAN),
    Op.DAYS_SINCE_FIRST: lambda q: max(q.ages, default=NAN),
    Op.GAP_MEAN: lambda q: mean(q.gaps),
    Op.GAP_DEVIATION: lambda q: statistics.pstdev(q.gaps) if len(q.gaps) > 1 else NAN,
    Op.OVERDUE: lambda q: (q.cutoff - 1 - q.active[-1]) / mean(q.gaps) if q.gaps else NAN,
    Op.TREND: lambda q: share(len(q.events), len(q.chosen(q.feature.argument))),
    Op.VALUE_MEAN: lambda q: mean(q.values),
    Op.VALUE_LAST: lambda q: q.values[-1] if q.values else NAN,
    Op.SHARE: lambda q: share(len(q.events), len(q.everything)),
    Op.DISTINCT: lambda q: len(set(q.texts)),
    Op.NUMBER_MEAN: lambda q: mean(q.numbers),
    Op.NUMBER_LAST: lambda q: q.numbers[-1] if q.numbers else NAN,
    Op.NUMBER_SUM: lambda q: math.fsum(q.numbers),
    Op.TEXT_LAST_IS: lambda q: q.texts[-1] == q.feature.value if q.texts else NAN,
    Op.PART_OF_DAY: lambda q: share(sum(quarter(e) == q.feature.argument for e in q.everything), len(q.everything)),
    Op.WEEKEND: lambda q: share(sum(map(at_weekend, q.everything)), len(q.everything)),
    Op.SESSIONS: lambda q: visits(q.everything),
    Op.ATTRIBUTE_NUMBER: lambda q: q.number_known,
    Op.ATTRIBUTE_TEXT_IS: lambda q: NAN if q.text_known is None else q.text_known == q.feature.value,
    Op.TEXT_LAST: lambda q: coded(q.texts[-1], q.feature.values) if q.texts else NAN,
    Op.ATTRIBUTE_TEXT: lambda q: NAN if q.text_known is None else coded(q.text_known, q.feature.values),
    Op.COUNT_BETWEEN: lambda q: len(q.events) - len(q.chosen(q.feature.argument)),
    Op.REPEAT_SPAN: lambda q: q.active[-1] - q.active[0] if q.active else NAN,
}

ADDED_UP = frozenset({Op.SUM, Op.NUMBER_SUM, Op.VALUE_MEAN, Op.NUMBER_MEAN, Op.GAP_DEVIATION})
"""Aggregates whose last digits depend on the order of addition."""


def features(log: MemoryLog, plan: Plan, rows: Iterable[tuple[str, int]]) -> NDArray[np.float32]:
    """float32[N, F] for rows of (profile, cutoff day), by definition; what is too large is the largest there is."""
    table = [[_answer(log, plan, f, profile, cutoff) for f in plan.features] for profile, cutoff in rows]
    wide = np.array(table, dtype=np.float64).reshape(len(table), len(plan.features))
    return np.clip(wide, -LARGEST, LARGEST).astype(np.float32)


def _answer(log: MemoryLog, plan: Plan, feature: Feature, profile: str, cutoff: int) -> float:
    past = [e for e in log.of(profile) if e.at < cutoff * DAY_US]
    facts = [f for f in log.known if f.profile == profile and f.at < cutoff * DAY_US]
    question = Question(feature, plan.channels[feature.channel], past, facts, cutoff, log)
    return float(DEFINITIONS[feature.op](question))


# --- goals and eligibility ----------------------------------------------------------------------------------

Item = Group | Did | Measure | Then
Window = Callable[[Did | Measure | Then], tuple[int, int]]
"""First and end day of an atom's window, counted from the cutoff."""

COMBINED: dict[str, Callable[[list[bool]], bool]] = {
    "all_of": all,
    "any_of": any,
    "none_of": lambda held: not any(held),
    "not_all_of": lambda held: not all(held),
}
BOUNDS: dict[str, Callable[[float, float, float], bool]] = {
    "gte": lambda x, threshold, slack: x >= threshold - slack,
    "lte": lambda x, threshold, slack: x <= threshold + slack,
    "gt": lambda x, threshold, slack: x > threshold + slack,
    "lt": lambda x, threshold, slack: x < threshold - slack,
    "eq": lambda x, threshold, slack: abs(x - threshold) <= slack,
}
"""What is added up is equal to a threshold up to a billionth of what was added."""


def holds(item: Item, events: Sequence[Event], cutoff: int, window: Window, log: MemoryLog) -> bool:
    """Whether a goal or an eligibility holds for a profile's events, by definition."""
    if isinstance(item, Group):
        return COMBINED[item.combinator]([holds(i, events, cutoff, window, log) for i in item.items])
    start, end = window(item)
    inside = [e for e in events if (cutoff + start) * DAY_US <= e.at < (cutoff + end) * DAY_US]
    if isinstance(item, Did):
        return item.low <= len(named(inside, item.did)) <= (math.inf if item.high is None else item.high)
    if isinstance(item, Then):
        return follows(inside, item.then)
    return measures(item, named(inside, item.event), log)


def named(events: Sequence[Event], name: str) -> list[Event]:
    return [e for e in events if name == ANYTHING or name in e.names]


def follows(events: Sequence[Event], names: Sequence[str]) -> bool:
    """Whether there is an event of the first name, one of the second strictly later than it, and so on."""
    if not names:
        return True
    return any(follows([x for x in events if x.at > e.at], names[1:]) for e in named(events, names[0]))


def measures(item: Measure, events: Sequence[Event], log: MemoryLog) -> bool:
    """Whether an aggregate of a field lies within the bound; mean and extremes of nothing lie within none."""
    bound, threshold = BOUNDS[item.bound], item.threshold
    if item.aggregate == "count_distinct":
        place = log.request.text_fields.index(item.field)
        return bound(len({e.texts[place] for e in events} - {None}), threshold, 0.0)
    place = log.request.number_fields.index(item.field)
    numbers = [n for e in events if (n := e.numbers[place]) is not None]
    added = 1e-9 * math.fsum(map(abs, numbers))
    if item.aggregate == "sum":
        return bound(math.fsum(numbers), threshold, added)
    if item.aggregate == "avg":
        return bool(numbers) and bound(mean(numbers), threshold, added / len(numbers))
    return bool(numbers) and bound({"max": max, "min": min}[item.aggregate](numbers), threshold, 0.0)


def looking_back(atom: Did | Measure | Then) -> tuple[int, int]:
    """The window of an atom of an eligibility: the last so many days, or ever."""
    return -(atom.within_days or 10**6), 0
