"""Canonical events in memory: what an engine delivers of plain Python events, without any engine."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from propend.events import DAY_US, AttributeRows, EventFacts, EventRequest, Partition, Selector
from propend.goal import NamedEvent
from propend.persons import Persons

ALWAYS = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        at: local microseconds since 1970.
        names: the named events it is, by whatever conditions.
        numbers, texts: in the order of the request's fields; None where empty.
    """

    profile: str
    at: int
    kind: str
    value: float | None = None
    names: frozenset[str] = frozenset()
    numbers: tuple[float | None, ...] = ()
    texts: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Fact:
    """What is true of a profile from a time on; of always, for a constant."""

    profile: str
    at: int = ALWAYS
    numbers: tuple[float | None, ...] = ()
    texts: tuple[str | None, ...] = ()


def moment(text: str) -> int:
    """Local microseconds of an ISO time such as ``2024-01-31 12:00``."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1)) // datetime.resolution


def key_of(profile: str, persons: Persons | None = None) -> int:
    """The first eight bytes of the MD5 of the id, or of what its person is called in the end."""
    name = profile.encode() if persons is None else persons.called.get(profile.encode(), profile.encode())
    return int.from_bytes(hashlib.md5(name).digest()[:8], "big")


def in_order(event: Event, names: Sequence[str] = ()) -> tuple[object, ...]:
    """The order of events: profile, time, then everything else, empty last."""
    bits = sum(1 << b for b, name in enumerate(names) if name in event.names)
    last = [(x is None, x) for x in (*event.numbers, *event.texts)]
    return key_of(event.profile), event.profile, event.at, event.kind, (event.value is None, event.value), bits, last


@dataclass(frozen=True)
class MemoryLog:
    """An ``EventLog`` over events and facts in their canonical order.

    Attributes:
        events: in order.
        profiles: every profile, in order; one may have no events.
        bounds: first profile of each partition, and the number of profiles.
    """

    events: tuple[Event, ...]
    profiles: tuple[str, ...]
    request: EventRequest
    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    bounds: tuple[int, ...]
    known: tuple[Fact, ...] = ()
    attribute_numbers: tuple[str, ...] = ()
    attribute_texts: tuple[str, ...] = ()
    attribute_vocabularies: tuple[tuple[str, ...], ...] = ()
    persons: Persons | None = None

    def of(self, profile: str) -> list[Event]:
        """A profile's events, oldest first."""
        return [e for e in self.events if e.profile == profile]

    @property
    def facts(self) -> EventFacts:
        at = np.array([e.at for e in self.events], dtype=np.int64)
        days, counts = np.unique(at // DAY_US, return_counts=True)
        last = np.array([(at[at // DAY_US == d] % DAY_US).max() for d in days], dtype=np.int64)
        n = len(self.events)
        return EventFacts(
            sources=(), read=n, used=n, set_aside={}, profiles=len(self.profiles), first_at=int(at.min()),
            last_at=int(at.max()), kinds=_kinds_of(self.events), days=days, events_per_day=counts,
            last_time_of_day=last,
        )  # fmt: skip

    @property
    def elsewhere(self) -> bool:
        return False

    def visit(self, visitor: Callable[[Partition], Any], share: float = 1.0) -> Iterator[Any]:
        for first, end in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            yield visitor(self._partition(self.profiles[first:end], first).of_share(share))

    def _partition(self, ids: Sequence[str], first: int) -> Partition:
        events = [e for i in ids for e in self.of(i)]
        names = [s.name for s in self.request.selectors]
        bits = [sum(1 << b for b, name in enumerate(names) if name in e.names) for e in events]
        return Partition(
            profile_ids=np.array(ids, dtype=object),
            keys=np.array([key_of(i, self.persons) for i in ids], dtype=np.uint64),
            offsets=_offsets(ids, [e.profile for e in events]),
            at=np.array([e.at for e in events], dtype=np.int64),
            kind=np.array([self.kinds.index(e.kind) for e in events], dtype=np.int32),
            bits=np.array(bits, dtype=np.uint64),
            value=_numbers([e.value for e in events]),
            numbers=_stacked([_numbers([e.numbers[j] for e in events]) for j in range(self._n_numbers)], len(events)),
            texts=_coded([e.texts for e in events], self.vocabularies),
            attributes=self._attributes(ids),
            first_profile=first,
        )

    @property
    def _n_numbers(self) -> int:
        return len(self.request.number_fields)

    def _attributes(self, ids: Sequence[str]) -> AttributeRows | None:
        if not self.attribute_numbers and not self.attribute_texts:
            return None
        rows = [f for i in ids for f in self.known if f.profile == i]
        return AttributeRows(
            offsets=_offsets(ids, [f.profile for f in rows]),
            at=np.array([f.at for f in rows], dtype=np.int64),
            numbers=_stacked([_numbers([f.numbers[j] for f in rows]) for j in range(len(self.attribute_numbers))],
                             len(rows)),
            texts=_coded([f.texts for f in rows], self.attribute_vocabularies),
        )  # fmt: skip


def _offsets(ids: Sequence[str], owners: Sequence[str]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([owners.count(i) for i in ids])]).astype(np.int64)


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if v is None else v for v in values], dtype=np.float64)


def _stacked(columns: Sequence[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    return np.stack(columns) if columns else np.zeros((0, rows))


def _coded(rows: Sequence[Sequence[str | None]], vocabularies: Sequence[Sequence[str]]) -> NDArray[np.int32]:
    codes = [
        [-1 if row[t] is None else vocabulary.index(str(row[t])) for row in rows]
        for t, vocabulary in enumerate(vocabularies)
    ]
    return np.array(codes, dtype=np.int32).reshape(len(vocabularies), len(rows))


def request_for(
    names: Iterable[str] = (), number_fields: tuple[str, ...] = (), text_fields: tuple[str, ...] = ()
) -> EventRequest:
    """A request with named events whose conditions the events themselves tell."""
    selectors = tuple(Selector(name, NamedEvent()) for name in names)
    return EventRequest(selectors, number_fields=number_fields, text_fields=text_fields)


def _kinds_of(events: Sequence[Event]) -> tuple[tuple[str, int, int], ...]:
    """Name, events and profiles of each kind, most events first."""
    of = {kind: [e.profile for e in events if e.kind == kind] for kind in sorted({e.kind for e in events})}
    return tuple(sorted(((k, len(p), len(set(p))) for k, p in of.items()), key=lambda k: (-k[1], k[0])))


def log_of(
    events: Iterable[Event],
    request: EventRequest | None = None,
    *,
    partitions: int = 1,
    also: Iterable[str] = (),
    known: Iterable[Fact] = (),
    attribute_numbers: tuple[str, ...] = (),
    attribute_texts: tuple[str, ...] = (),
    persons: Persons | None = None,
) -> MemoryLog:
    """Events in any order as an engine would deliver them.

    Args:
        partitions: how many partitions the profiles are split into, at most.
        also: profiles that are there without an event.
        known: facts about profiles.
        persons: which profiles are one person, none of whom is in two partitions.
    """
    request = request or request_for()
    names = [s.name for s in request.selectors]
    events = [replace(e, names=_names(e, request)) for e in events]
    events.sort(key=lambda e: in_order(e, names))
    profiles = sorted({*(e.profile for e in events), *also}, key=lambda p: (key_of(p, persons), p))
    facts = sorted((f for f in known if f.profile in profiles), key=lambda f: (key_of(f.profile), f.profile, f.at))
    even = np.linspace(0, len(profiles), partitions + 1).astype(int).tolist()
    keys = [key_of(p, persons) for p in profiles]
    bounds = sorted({b if b == len(profiles) else keys.index(keys[b]) for b in even})
    return MemoryLog(
        events=tuple(events),
        profiles=tuple(profiles),
        request=request,
        kinds=tuple(sorted({e.kind for e in events})),
        vocabularies=_vocabularies(request.text_fields, [e.texts for e in events]),
        bounds=tuple(bounds),
        known=tuple(facts),
        attribute_numbers=attribute_numbers,
        attribute_texts=attribute_texts,
        attribute_vocabularies=_vocabularies(attribute_texts, [f.texts for f in facts]),
        persons=persons,
    )


def _names(event: Event, request: EventRequest) -> frozenset[str]:
    """The named events it says it is, and those that are simply its kind."""
    plain = {s.name for s in request.selectors if event.kind in s.event.kinds and not s.event.where}
    return event.names | plain


def _vocabularies(fields: Sequence[str], rows: Sequence[Sequence[str | None]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sorted({str(row[t]) for row in rows if row[t] is not None})) for t in range(len(fields)))


# --- any log ------------------------------------------------------------------------------------------------

FIRST_DAY = 19_700
"""The first day of generated events, a Saturday."""
DAYS = 50
KINDS = ("buy", "call", "visit")
NAMES = ("big", "loyal")
PROFILES = ("ann", "ben", "cem", "dot")
HALF_HOUR_US = 1_800_000_000
EDGES_US = (
    0, 1, DAY_US // 4 - 1, DAY_US // 4, DAY_US // 2, DAY_US // 2 + HALF_HOUR_US, DAY_US // 2 + 2 * HALF_HOUR_US + 1,
    DAY_US - 1,
)  # fmt: skip
"""Times of day where something begins or ends, and visits half an hour apart or a moment more."""
DAYS_OFTEN = (0, 7, 14, 20, 21, 28, 42, DAYS)
"""Days that events, cutoffs and windows often share, so that edges meet."""
REQUEST = request_for(NAMES, ("price", "weight"), ("colour", "size"))

any_day = st.sampled_from(DAYS_OFTEN) | st.integers(0, DAYS)
times = st.builds(
    lambda day, time: (FIRST_DAY + day) * DAY_US + time,
    any_day,
    st.just(0) | st.sampled_from(EDGES_US) | st.integers(0, DAY_US - 1),
)
amounts = (
    st.none()
    | st.sampled_from((0.0, 1.0, 0.1, -5.5, 1e300, -1e300, 1e-300))
    | st.floats(-1e9, 1e9).map(
        lambda x: x + 0.0  # engines know no negative zero
    )
)
any_event = st.builds(
    Event,
    profile=st.sampled_from(PROFILES),
    at=times,
    kind=st.sampled_from(KINDS),
    value=amounts,
    names=st.frozensets(st.sampled_from(NAMES)),
    numbers=st.tuples(amounts, amounts),
    texts=st.tuples(st.sampled_from((None, "blue", "red")), st.sampled_from((None, "L", "M", "S", "XL"))),
)
any_events = st.integers(1, 40).flatmap(lambda n: st.lists(any_event, min_size=n, max_size=n))
any_fact = st.builds(
    Fact,
    profile=st.sampled_from(PROFILES),
    at=times | st.just(ALWAYS),
    numbers=st.tuples(amounts),
    texts=st.tuples(st.sampled_from((None, "north", "south"))),
)
any_cutoffs = st.sets((any_day | st.integers(-1, DAYS + 2)).map(lambda day: FIRST_DAY + day), min_size=1, max_size=3)


def any_log(
    events: Iterable[Event], known: Iterable[Fact] = (), partitions: int = 1, persons: Persons | None = None
) -> MemoryLog:
    """Generated events and facts as a log; every profile is there, with or without events."""
    return log_of(
        events, REQUEST, partitions=partitions, also=PROFILES, known=known,
        attribute_numbers=("age",), attribute_texts=("region",), persons=persons,
    )  # fmt: skip
