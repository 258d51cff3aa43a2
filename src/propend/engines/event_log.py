"""Staged events as canonical ones: profiles coded by key, vocabularies, one sorted table, partitions of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from propend.engines.attributes import NO_ATTRIBUTES, AttributeTable, load_attributes
from propend.engines.coding import coded, number, plain, vocabulary
from propend.engines.database import Database
from propend.engines.sources import EventSource
from propend.engines.staging import Staged, stage, tie_order
from propend.engines.times import DAY_US
from propend.errors import NoEventDataError, NoInputDataError
from propend.events import EventFacts, EventRequest, OpenedEvents, Partition
from propend.instance import Data
from propend.predicates import quote_name

EVENTS_PER_PARTITION = 20_000_000
_COPIES = 6
"""How often an event is in memory while its partition is handed over, with what the features take."""


@dataclass(frozen=True)
class DuckdbEventLog:
    """Canonical events in a session's database (``EventLog``)."""

    facts: EventFacts
    request: EventRequest
    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    attribute_numbers: tuple[str, ...]
    attribute_texts: tuple[str, ...]
    attribute_vocabularies: tuple[tuple[str, ...], ...]
    _db: Database
    _events: str
    _profiles: str
    _attributes: AttributeTable
    _bounds: tuple[int, ...]

    def partitions(self) -> Iterator[Partition]:
        """Each partition once, in ascending order of keys."""
        for start, end in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            yield self._partition(start, end)

    def close(self) -> None:
        """Give back what the log keeps in the database; the session's end does so too."""
        for table in (self._events, self._profiles, self._attributes.table):
            if table:
                self._db.run(f"DROP TABLE IF EXISTS {table}")

    def _partition(self, start: int, end: int) -> Partition:
        profiles = self._db.arrays(
            f"SELECT profile, key, events FROM {self._profiles} WHERE code >= {start} AND code < {end} ORDER BY code"
        )
        # rows come as they were inserted, which is in order: no second sort
        events = self._db.arrays(f"SELECT * EXCLUDE (code) FROM {self._events} WHERE code >= {start} AND code < {end}")
        count = len(events["moment"])
        numbers = [events[f"n{i}"] for i in range(len(self.request.number_fields))]
        texts = [events[f"t{i}"] for i in range(len(self.request.text_fields))]
        return Partition(
            profile_ids=np.asarray(profiles["profile"], dtype=object),
            keys=np.asarray(profiles["key"], dtype=np.uint64),
            offsets=np.concatenate([[0], np.cumsum(profiles["events"])]).astype(np.int64),
            at=plain(events["moment"], np.int64),
            kind=plain(events["kind"], np.int32),
            bits=plain(events["bits"], np.uint64),
            value=plain(events["value"], np.float64),
            numbers=np.stack(numbers) if numbers else np.empty((0, count)),
            texts=np.stack(texts) if texts else np.empty((0, count), dtype=np.int32),
            attributes=self._attributes.rows_of(self._db, start, end),
        )


def load_log(
    db: Database,
    sources: Sequence[EventSource],
    opened: OpenedEvents,
    data: Data,
    folder: Path,
    tables: Mapping[str, Any],
    request: EventRequest,
    memory_bytes: int,
) -> DuckdbEventLog:
    """The canonical events of open sources; see ``Engine.load``."""
    staged = stage(db, sources, request)
    if staged.used == 0:
        raise _nothing_left(staged, data)
    profiles = _code_profiles(db, staged.table)
    kinds_type, kinds = vocabulary(db, f"SELECT kind FROM {staged.table} WHERE reason = 0")
    words = [
        vocabulary(db, f"SELECT t{i} FROM {staged.table} WHERE reason = 0") for i in range(len(request.text_fields))
    ]
    events = _sort_events(db, staged.table, profiles, request, kinds_type, [w[0] for w in words])
    db.run(f"DROP TABLE {staged.table}")
    attributes = NO_ATTRIBUTES
    if data.attributes:
        names = tuple(dict.fromkeys(s.roles["profile"] for s in sources))
        attributes = load_attributes(db, data, folder, tables, profiles, names, request)
    return DuckdbEventLog(
        facts=_facts(db, sources, opened, staged, events, profiles, kinds, attributes),
        request=request,
        kinds=kinds,
        vocabularies=tuple(w[1] for w in words),
        attribute_numbers=attributes.numbers,
        attribute_texts=attributes.texts,
        attribute_vocabularies=attributes.vocabularies,
        _db=db,
        _events=events,
        _profiles=profiles,
        _attributes=attributes,
        _bounds=_bounds(db, profiles, request, memory_bytes),
    )


def _nothing_left(staged: Staged, data: Data) -> NoInputDataError | NoEventDataError:
    reasons = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in staged.set_aside.items() if n)
    left = f"No events are left of {staged.read:,} rows read" + (f": {reasons}." if reasons else ".")
    most = max(staged.set_aside, key=lambda reason: staged.set_aside[reason])
    kind = NoEventDataError if data.attributes else NoInputDataError
    return kind(left, _REMEDIES[most], read=staged.read, set_aside=dict(staged.set_aside))


_REMEDIES = {
    "no_profile": "check the column of the profile's id (`columns: {profile: ...}`).",
    "no_time": "check the column of the event's time (`columns: {at: ...}`).",
    "unparsable_time": "check the column of the event's time (`columns: {at: ...}`); write times as 2024-04-03 17:30.",
    "before_1970": "check the column of the event's time (`columns: {at: ...}`) and the unit of its numbers.",
    "in_the_future": "check the column of the event's time (`columns: {at: ...}`) and the unit of its numbers.",
    "duplicate": "check the column of the event's id (`columns: {id: ...}`).",
    "excluded": "check what `exclude` names: it matches every event.",
    "after_as_of": "name a later date: nothing at or after --as-of is read.",
}


def _code_profiles(db: Database, staged: str) -> str:
    """Profiles numbered in the order of (key, id), with the number of their events."""
    table = quote_name(db.new_name("profiles"))
    db.run(f"""
        CREATE TABLE {table} AS
        SELECT CAST(row_number() OVER (ORDER BY key, profile) - 1 AS INTEGER) AS code, profile, key, events
        FROM (SELECT profile, CAST('0x' || left(md5(profile), 16) AS UBIGINT) AS key, count(*) AS events
              FROM {staged} WHERE reason = 0 GROUP BY profile)
        ORDER BY code""")
    return table


def _sort_events(
    db: Database, staged: str, profiles: str, request: EventRequest, kinds: str, words: Sequence[str]
) -> str:
    table = quote_name(db.new_name("events"))
    numbers = [f"{number(f's.n{i}')} AS n{i}" for i in range(len(request.number_fields))]
    texts = [f"{coded(f's.t{i}', word)} AS t{i}" for i, word in enumerate(words)]
    selected = ["p.code AS code", "s.moment AS moment", f"{coded('s.kind', kinds)} AS kind", "s.bits AS bits"]
    selected += [f"{number('s.value')} AS value", *numbers, *texts]
    db.run(f"""
        CREATE TABLE {table} AS
        SELECT {", ".join(selected)} FROM {staged} s JOIN {profiles} p ON s.profile = p.profile
        WHERE s.reason = 0 ORDER BY {", ".join(["code", "moment", *tie_order(request)])}""")
    return table


def _bounds(db: Database, profiles: str, request: EventRequest, memory_bytes: int) -> tuple[int, ...]:
    """First profile of each partition, and the number of profiles."""
    event_bytes = 28 + 8 * len(request.number_fields) + 4 * len(request.text_fields)
    most = max(1, min(EVENTS_PER_PARTITION, memory_bytes // (_COPIES * event_bytes)))
    rows = db.rows(f"""
        SELECT min(code) FROM (
            SELECT code, (sum(events) OVER (ORDER BY code) - events) // {most} AS part FROM {profiles})
        GROUP BY part ORDER BY 1""")
    count = int(db.rows(f"SELECT count(*) FROM {profiles}")[0][0])
    return (*(int(r[0]) for r in rows), count)


# --- facts --------------------------------------------------------------------------------------------------


def _facts(
    db: Database,
    sources: Sequence[EventSource],
    opened: OpenedEvents,
    staged: Staged,
    events: str,
    profiles: str,
    kinds: tuple[str, ...],
    attributes: AttributeTable,
) -> EventFacts:
    days = db.arrays(f"""
        SELECT moment // {DAY_US} AS day, count(*) AS events, max(moment % {DAY_US}) AS last FROM {events}
        GROUP BY 1 ORDER BY 1""")
    count, first, last = db.rows(f"SELECT (SELECT count(*) FROM {profiles}), min(moment), max(moment) FROM {events}")[0]
    of_kind = db.rows(f"SELECT kind, count(*), count(DISTINCT code) FROM {events} GROUP BY 1")
    named = [(kinds[int(k)], int(n), int(p)) for k, n, p in of_kind]
    return EventFacts(
        sources=opened.sources,
        read=staged.read,
        used=staged.used,
        set_aside=staged.set_aside,
        profiles=int(count),
        first_at=int(first),
        last_at=int(last),
        kinds=tuple(sorted(named, key=lambda k: (-k[1], k[0]))),
        days=plain(days["day"], np.int64),
        events_per_day=plain(days["events"], np.int64),
        last_time_of_day=plain(days["last"], np.int64),
        fields=opened.field_facts,
        attribute_fields=attributes.fields,
        exact_duplicates=staged.exact_duplicates,
        unparsable_values=staged.unparsable_values,
        attributes_without_time=attributes.without_time,
        short_rows=sum(s.relation.short_rows for s in sources),
    )
