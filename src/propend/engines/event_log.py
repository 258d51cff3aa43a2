"""Events as an engine's query gives them become canonical ones: coded, partitioned by key, in order, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.engines import event_rows
from propend.engines.attributes import NO_ATTRIBUTES, AttributeTable, load_attributes
from propend.engines.database import Database
from propend.engines.event_rows import Layout
from propend.engines.gathering import Cluster, Gathering, Ordered, Tally
from propend.engines.links import read_persons
from propend.engines.sources import EventSource
from propend.engines.spool import Spool
from propend.engines.staging import MARKETER_MADE, count_copies, stage
from propend.errors import NoEventDataError, NoInputDataError, NotEnoughMemoryError
from propend.events import EventFacts, EventRequest, OpenedEvents, Partition, least_key
from propend.instance import Data
from propend.persons import Persons
from propend.predicates import quote_name

T = TypeVar("T")
BATCH_ROWS = 1 << 17
EVENTS_PER_PARTITION = 4_000_000
MAX_PARTITIONS = 1024
_COPIES = 6
"""How often an event is in memory while its partition is put in order and described."""
_SPOOL_SHARE = 3
"""The part of the memory that events may take before they go to disk."""


@dataclass(frozen=True)
class _Kept:
    """One partition: its columns in memory, or in a file of the scratch folder.

    Attributes:
        profiles: first and end among all profiles.
        columns: arrays by the names of ``Partition``, or where they are.
        kind_events, kind_profiles: int64[kinds], its events and profiles of each kind.
        alike: bool[P]: profiles with events that are alike as far as they are read.
    """

    profiles: tuple[int, int]
    columns: dict[str, NDArray[Any]] | Path
    kind_events: NDArray[np.int64]
    kind_profiles: NDArray[np.int64]
    alike: NDArray[np.bool_]

    def read(self) -> dict[str, Any]:
        if not isinstance(self.columns, Path):
            return self.columns
        with np.load(self.columns) as file:
            return {name: file[name] for name in file.files}


@dataclass(frozen=True)
class DuckdbEventLog:
    """Canonical events in memory, or in a session's scratch folder (``EventLog``)."""

    facts: EventFacts
    request: EventRequest
    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    attribute_numbers: tuple[str, ...]
    attribute_texts: tuple[str, ...]
    attribute_vocabularies: tuple[tuple[str, ...], ...]
    persons: Persons | None
    _db: Database
    _profile_ids: pa.Array
    _keys: NDArray[np.uint64]
    _kept: list[_Kept]
    _attributes: AttributeTable
    elsewhere: ClassVar[bool] = False

    def visit(self, visitor: Callable[[Partition], T], share: float = 1.0) -> Iterator[T]:
        """See ``EventLog.visit``."""
        for part in self.partitions(share):
            yield visitor(part.of_share(share))

    def partitions(self, share: float = 1.0) -> Iterator[Partition]:
        """Each partition that has profiles of a share, and the first in any case, in ascending order of keys."""
        for kept in self._kept:
            first, end = kept.profiles
            if first and share < 1.0 and self._keys[first] >= least_key(share):
                return
            yield Partition(
                profile_ids=np.asarray(self._profile_ids[first:end].to_numpy(zero_copy_only=False), dtype=object),
                keys=self._keys[first:end],
                attributes=self._attributes.rows_of(self._db, first, end),
                first_profile=first,
                **kept.read(),
            )

    def close(self) -> None:
        """Give back what the log keeps; the session's end does so too."""
        for kept in self._kept:
            if isinstance(kept.columns, Path):
                kept.columns.unlink(missing_ok=True)
        self._kept.clear()
        if self._attributes.table:
            self._db.run(f"DROP TABLE IF EXISTS {self._attributes.table}")


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
    persons = read_persons(db, sources, data, folder, tables, request)
    layout = Layout(len(request.number_fields), len(request.text_fields))
    bits = partition_bits(sum(s.relation.rows for s in sources), layout, memory_bytes)
    scratch = db.scratch / db.new_name("events")
    scratch.mkdir()
    spool = Spool(scratch, 1 << bits, layout.words, memory_bytes // _SPOOL_SHARE)
    try:
        with ThreadPoolExecutor(4) as pool:
            gathering = Gathering(layout, bits, spool, pool, request.forgotten, persons)
            _gather(db, sources, request, gathering, pool)
        tally = gathering.tally()
        if tally.used == 0:
            raise nothing_left(tally, data)
        if persons is not None:
            persons = _met(persons, gathering, bool(data.attributes))
        ordered = gathering.ordered()
        with ThreadPoolExecutor(2) as pool:
            keep = partial(_keep, ordered, layout, scratch if spool.spilled else None)
            kept = list(pool.map(keep, ordered.parts()))
    except OSError as error:
        raise NotEnoughMemoryError(
            f"The temporary folder is full, or cannot be written: {error.strerror or error}.",
            "free some space there, name another in TMPDIR, or give more memory (--memory).",
        ) from None
    attributes = NO_ATTRIBUTES
    if data.attributes:
        names = tuple(dict.fromkeys(s.roles["profile"] for s in sources))
        profiles = profile_table(db, ordered.profile_ids)
        attributes = load_attributes(db, data, folder, tables, profiles, names, request)
    alike = ordered.profile_ids.filter(pa.array(np.concatenate([k.alike for k in kept])))
    copies = count_copies(db, sources, request, alike)
    return DuckdbEventLog(
        facts=event_facts(
            sources,
            opened,
            tally,
            len(ordered.profile_ids),
            ordered.kinds,
            np.sum([k.kind_events for k in kept], axis=0),
            np.sum([k.kind_profiles for k in kept], axis=0),
            attributes,
            copies,
            persons,
        ),
        request=request,
        kinds=ordered.kinds,
        vocabularies=ordered.vocabularies,
        attribute_numbers=attributes.numbers,
        attribute_texts=attributes.texts,
        attribute_vocabularies=attributes.vocabularies,
        persons=persons,
        _db=db,
        _profile_ids=ordered.profile_ids,
        _keys=ordered.keys,
        _kept=kept,
        _attributes=attributes,
    )


def _met(persons: Persons, gathering: Gathering, with_attributes: bool) -> Persons:
    """Persons with the count of ids that no event has; of these, attributes are looked for as well."""
    ids = pa.array([i for i in persons.together.tolist() if i.encode() not in persons.forgotten], pa.string())
    without = len(ids) - gathering.among(ids)
    if with_attributes:
        gathering.know(ids)
    return replace(persons, facts=replace(persons.facts, without_events=without))


def _gather(
    db: Database, sources: Sequence[EventSource], request: EventRequest, gathering: Gathering, pool: Executor
) -> None:
    """While one batch is coded the engine reads the next."""
    staged = stage(db, sources, request)
    with db.reading(", ".join(s.relation.name for s in sources)):
        batches = db.batches(staged.query, BATCH_ROWS)
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            gathering.add(batch)
        gathering.finish()
    if staged.table:
        db.run(f"DROP TABLE {staged.table}")


def partition_bits(rows: int, layout: Layout, memory_bytes: int, partitions: int = MAX_PARTITIONS) -> int:
    """How many bits of the keys name a partition, so that one is no larger than what a pass may take.

    Args:
        partitions: no more than so many.
    """
    most = max(1, min(EVENTS_PER_PARTITION, memory_bytes // (_COPIES * 8 * layout.words)))
    return min(max(rows - 1, 0) // most, partitions - 1).bit_length()


def profile_table(db: Database, profile_ids: pa.Array) -> str:
    """Profiles with their codes, as the database needs them to find attributes."""
    name = db.new_name("profiles")
    db.register(name, pa.table({"profile": profile_ids, "code": np.arange(len(profile_ids), dtype=np.int32)}))
    return quote_name(name)


def _keep(ordered: Ordered, layout: Layout, folder: Path | None, part: tuple[int, int, int]) -> _Kept:
    """One partition, in memory or in a file of the folder."""
    cluster = ordered.cluster(*part)
    columns = columns_of(cluster, layout)
    events, profiles = (np.zeros(len(ordered.kinds), dtype=np.int64) for _ in range(2))
    event_rows.count_kinds(cluster.starts, columns["kind"], events, profiles)
    file = folder / f"{part[0]}.npz" if folder is not None else None
    if file is not None:
        with file.open("wb") as target:
            np.savez(target, allow_pickle=False, **columns)
    return _Kept(cluster.profiles, file or columns, events, profiles, cluster.copies > 0)


def columns_of(cluster: Cluster, layout: Layout) -> dict[str, NDArray[Any]]:
    """Arrays of a partition by their names in ``Partition``."""
    rows = cluster.rows
    numbers = [event_rows.floats_of(rows, event_rows.FIELDS + i) for i in range(layout.numbers)]
    texts = [event_rows.text_codes(rows, layout, i) for i in range(layout.texts)]
    return {
        "offsets": cluster.starts,
        "at": np.ascontiguousarray(rows[:, event_rows.AT]).view(np.int64),
        "kind": event_rows.kinds_of(rows),
        "bits": np.ascontiguousarray(rows[:, event_rows.BITS]),
        "value": event_rows.floats_of(rows, event_rows.VALUE),
        "numbers": np.stack(numbers) if numbers else np.empty((0, len(rows))),
        "texts": np.stack(texts) if texts else np.empty((0, len(rows)), dtype=np.int32),
    }


def nothing_left(tally: Tally, data: Data) -> NoInputDataError | NoEventDataError:
    """Why no event is usable."""
    aside, read = tally.set_aside, tally.read
    reasons = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in aside.items() if n)
    left = f"No events are left of {read:,} rows read" + (f": {reasons}." if reasons else ".")
    most = max(aside, key=lambda reason: aside[reason])
    kind = NoEventDataError if data.attributes else NoInputDataError
    return kind(left, _REMEDIES[most], read=read, set_aside=aside)


_REMEDIES = {
    "no_profile": "check the column of the profile's id (`columns: {profile: ...}`).",
    "no_time": "check the column of the event's time (`columns: {at: ...}`).",
    "unparsable_time": "check the column of the event's time (`columns: {at: ...}`); write times as 2024-04-03 17:30.",
    "before_1970": "check the column of the event's time (`columns: {at: ...}`) and the unit of its numbers.",
    "in_the_future": "check the column of the event's time (`columns: {at: ...}`) and the unit of its numbers.",
    "duplicate": "check the column of the event's id (`columns: {id: ...}`).",
    MARKETER_MADE: "name the column of the kind to use them all the same (`columns: {event: eventType}`).",
    "excluded": "check what `exclude` names: it matches every event.",
    "after_as_of": "name a later date: nothing at or after --as-of is read.",
    "forgotten": "everybody in these data was forgotten: name other data.",
}


# --- facts --------------------------------------------------------------------------------------------------


def event_facts(
    sources: Sequence[EventSource],
    opened: OpenedEvents,
    tally: Tally,
    profiles: int,
    kinds: tuple[str, ...],
    kind_events: NDArray[np.int64],
    kind_profiles: NDArray[np.int64],
    attributes: AttributeTable,
    copies: int,
    persons: Persons | None = None,
) -> EventFacts:
    """The data profile, from what was counted on the way."""
    of_kind = zip(kinds, kind_events.tolist(), kind_profiles.tolist(), strict=True)
    return EventFacts(
        sources=opened.sources,
        read=tally.read,
        used=tally.used,
        set_aside=tally.set_aside,
        profiles=profiles,
        first_at=tally.first_at,
        last_at=tally.last_at,
        kinds=tuple(sorted(of_kind, key=lambda k: (-k[1], k[0]))),
        days=tally.days,
        events_per_day=tally.events,
        last_time_of_day=tally.last,
        fields=opened.field_facts,
        attribute_fields=attributes.fields,
        exact_duplicates=copies,
        unparsable_values=tally.bad_values,
        attributes_without_time=attributes.without_time,
        attributes_beside=attributes.beside,
        attribute_columns=attributes.columns,
        short_rows=sum(s.relation.short_rows for s in sources),
        identities=persons.facts if persons is not None else None,
    )
