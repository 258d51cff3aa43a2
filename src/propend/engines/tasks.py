"""What one machine of a cluster does: reads its portion, puts partitions together, lets visitors see them.

Each task takes Arrow batches and gives Arrow batches. What travels between tasks are values in pieces of bytes, each
with what it is, the partition it is for, who sends it and its place; refusals travel the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.engines import event_rows
from propend.engines.coding import plain
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.event_log import BATCH_ROWS, columns_of
from propend.engines.event_rows import Layout
from propend.engines.exchange import Words, join, parcels_of, pieces_of, recoded, value_of
from propend.engines.gathering import Gathering
from propend.engines.scans import Scan
from propend.engines.spool import Spool
from propend.engines.staging import delivered, mark_duplicates
from propend.errors import NotEnoughMemoryError, PropendError
from propend.events import AttributeRows, EventRequest, Partition
from propend.predicates import quote_name

MESSAGE = pa.schema(
    [
        ("what", pa.string()),
        ("partition", pa.int32()),
        ("sender", pa.int64()),
        ("piece", pa.int32()),
        ("body", pa.binary()),
    ]
)
MESSAGE_SQL = "what string, partition int, sender bigint, piece int, body binary"
PARCEL, TALLY, ROWS, EVENTS, HEADER, FACTS, SEEN, REFUSAL = (
    *("parcel", "tally", "rows", "events", "header", "facts", "seen", "refusal"),
)
"""What a message may be: events on their way, what was counted of them, judged rows on their way to those of the same
id; a partition, what the driver must know of it, its attributes; what a visitor made of it; an error."""
SPOOL_BYTES = 256 << 20
_HASH_MIDDLE = 1 << 63

Batches = Iterable[pa.RecordBatch]
Messages = Iterator[pa.RecordBatch]
Work = Callable[[DuckdbDatabase, int, int], Messages]
"""What is done with a portion: a database that has it, which source it is of, who does it."""


@dataclass(frozen=True)
class Reading:
    """How portions are read, the same by all.

    Attributes:
        request: what is asked for.
        layout: of rows of events.
        bits: of the keys that name a partition.
        queries: by source, the statement over its table: judged events, with ids where any source has them.
        memory: what one reader may use.
        slots: places where rows of the same ids meet; 0 where events have none.
    """

    request: EventRequest
    layout: Layout
    bits: int
    queries: tuple[str, ...]
    memory: str
    slots: int


@dataclass(frozen=True)
class Header:
    """What the driver must know of a partition.

    Attributes:
        partition: its number.
        profiles: how many it has.
        kinds, vocabularies: its words, ascending.
        kind_events, kind_profiles: int64[kinds].
        alike: profiles with events that are alike as far as they are read.
        profile_ids: all of them, where they were asked for.
    """

    partition: int
    profiles: int
    kinds: Words
    vocabularies: tuple[Words, ...]
    kind_events: NDArray[np.int64]
    kind_profiles: NDArray[np.int64]
    alike: pa.Array
    profile_ids: pa.Array | None


@dataclass(frozen=True)
class Whole:
    """What a partition must know of all others, to be one of them.

    Attributes:
        kinds, vocabularies: of the log.
        first_profile: position of the first profile of each partition.
    """

    kinds: Words
    vocabularies: tuple[Words, ...]
    first_profile: Mapping[int, int]


# --- messages -------------------------------------------------------------------------------------------------


def messages(what: str, partition: int, sender: int, value: Any) -> Messages:
    """A value in its pieces, one a batch."""
    for place, piece in enumerate(pieces_of(value)):
        row = (what, partition, sender, place, piece)
        columns = [pa.array([x], field.type) for x, field in zip(row, MESSAGE, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=MESSAGE)


def _values(batches: Batches, *wanted: str) -> Iterator[tuple[str, int, Any]]:
    """What, partition and value of messages that come whole, piece after piece."""

    def rows() -> Iterator[tuple[tuple[str, int, int], bytes]]:
        for batch in batches:
            columns = (batch.column(name).to_pylist() for name in ("what", "partition", "sender"))
            for i, key in enumerate(zip(*columns, strict=True)):
                if key[0] in wanted:
                    yield key, batch.column("body")[i].as_py()

    for (what, partition, _), pieces in groupby(rows(), key=lambda row: row[0]):
        yield what, partition, value_of(body for _, body in pieces)


def _assembled(batches: Batches) -> Iterator[tuple[int, Iterator[Any]]]:
    """Partition and values of messages that come in any order; each value is given back as soon as it is taken."""
    found: dict[int, dict[int, dict[int, bytes]]] = {}
    for batch in batches:
        for row in batch.to_pylist():
            found.setdefault(row["partition"], {}).setdefault(row["sender"], {})[row["piece"]] = row["body"]

    def values(senders: dict[int, dict[int, bytes]]) -> Iterator[Any]:
        for sender in sorted(senders):
            pieces = senders.pop(sender)
            yield value_of(pieces[place] for place in sorted(pieces))

    for partition in sorted(found):
        yield partition, values(found.pop(partition))


def _told(work: Callable[[], Messages]) -> Messages:
    """What some work gives; a refusal on the way becomes the last message."""
    numba.set_num_threads(1)  # a cluster gives each task one core
    try:
        yield from work()
    except PropendError as error:
        yield from messages(REFUSAL, -1, 0, error)
    except OSError as error:
        full = f"The temporary folder of a machine is full, or cannot be written: {error.strerror or error}."
        told = NotEnoughMemoryError(full, "free some space there, or name another folder in spark.local.dir.")
        yield from messages(REFUSAL, -1, 0, told)


def carry(sender: Callable[[], int], batches: Batches) -> Messages:
    """All batches, as they are."""
    coming = list(batches)
    if any(len(batch) for batch in coming):
        yield from messages(SEEN, -1, sender(), coming)


# --- reading --------------------------------------------------------------------------------------------------


@contextmanager
def _database(memory: str) -> Iterator[DuckdbDatabase]:
    with closing(DuckdbDatabase(memory, None, threads=1)) as db:
        yield db


def over_scans(scans: tuple[Scan, ...], memory: str, work: Work, batches: Batches) -> Batches:
    """What some work gives of the portions whose numbers come."""

    def all_of_it() -> Messages:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                scan = scans[number]
                with _database(memory) as db, db.reading(scan.name):
                    db.run(f"CREATE TEMP VIEW {scan.table} AS {scan.sql}")
                    yield from work(db, scan.source, number)

    return _told(all_of_it)


def over_rows(source: int, table: str, memory: str, work: Work, sender: Callable[[], int], batches: Batches) -> Batches:
    """What some work gives of those rows of a source that come."""

    def all_of_it() -> Messages:
        coming = iter(batches)
        first = next(coming, None)
        if first is None:
            return
        with _database(memory) as db:
            rows = (batch for part in ((first,), coming) for batch in part)
            db.register(table.strip('"'), pa.RecordBatchReader.from_batches(first.schema, rows))
            yield from work(db, source, sender())

    return _told(all_of_it)


def count_kinds(queries: tuple[str, ...], db: DuckdbDatabase, source: int, sender: int) -> Messages:
    """Kinds of a portion and how many events of each."""
    yield from messages(TALLY, -1, sender, db.rows(queries[source]))


def send(reading: Reading, db: DuckdbDatabase, source: int, sender: int) -> Messages:
    """A portion as parcels and a tally; as judged rows where ids must be compared first."""
    if reading.slots:
        yield from _send_rows(db, reading, reading.queries[source], sender)
    else:
        query = f"SELECT {delivered(reading.request)} FROM ({reading.queries[source]})"
        yield from _send_parcels(db, reading, query, sender)


def send_hashes(queries: tuple[str, ...], suspects: pa.Table, db: DuckdbDatabase, source: int, sender: int) -> Messages:
    """Hashes of those rows of a portion that are of suspects (``staging.count_copies``)."""
    db.register("suspects", suspects)
    found = db.arrays(f"""
        SELECT CAST(CAST(row_hash AS HUGEINT) - {_HASH_MIDDLE} AS BIGINT) AS hash
        FROM ({queries[source]}) JOIN suspects ON profile = suspect WHERE reason = 0 AND row_hash IS NOT NULL""")
    hashes = plain(found["hash"], np.int64)
    yield pa.RecordBatch.from_arrays([pa.array(hashes)], ["hash"])


def _send_rows(db: DuckdbDatabase, reading: Reading, query: str, sender: int) -> Messages:
    """Rows of one id to one place, those without one anywhere."""
    slotted = f"SELECT *, coalesce(hash(id), hash(profile, moment)) % {reading.slots} AS row_slot FROM ({query})"
    for place, batch in enumerate(db.batches(slotted, BATCH_ROWS)):
        table = pa.Table.from_batches([batch])
        slots = table.column("row_slot").to_numpy()
        rows = table.drop_columns("row_slot")
        for slot in np.unique(slots).tolist():
            own = rows.filter(pa.array(slots == slot)).combine_chunks()
            yield from messages(ROWS, slot, (sender << 20) + place, own)


def judge_rows(reading: Reading, batches: Batches) -> Messages:
    """Of rows with ids, all those of an id at one place: each id once, as parcels and tallies."""

    def work() -> Messages:
        for slot, tables in _assembled(batches):
            with _database(reading.memory) as db:
                name = quote_name("rows")
                for place, table in enumerate(tables):
                    db.register("coming", table)
                    how = f"INSERT INTO {name}" if place else f"CREATE TABLE {name} AS"
                    db.run(f"{how} SELECT * FROM coming")
                mark_duplicates(db, name, reading.request)
                query = f"SELECT {delivered(reading.request)} FROM {name}"
                yield from _send_parcels(db, reading, query, slot)

    return _told(work)


def _send_parcels(db: DuckdbDatabase, reading: Reading, query: str, sender: int) -> Messages:
    layout, bits = reading.layout, reading.bits
    with TemporaryDirectory(prefix="propend-") as scratch, ThreadPoolExecutor(1) as pool:
        spool = Spool(Path(scratch), 1 << bits, layout.words, SPOOL_BYTES)
        gathering = Gathering(layout, bits, spool, pool, reading.request.forgotten)
        for batch in db.batches(query, BATCH_ROWS):
            gathering.add(batch)
        gathering.finish()
        yield from messages(TALLY, -1, sender, gathering.tally())
        for partition, parcel in parcels_of(gathering):
            yield from messages(PARCEL, partition, sender, parcel)


# --- partitions -----------------------------------------------------------------------------------------------


def keep_partitions(layout: Layout, with_ids: bool, batches: Batches) -> Messages:
    """Parcels that come in any order, all those of a partition at one place, as partitions with their headers."""

    def work() -> Messages:
        for partition, parcels in _assembled(batches):
            joined = join(parcels, layout)
            columns = columns_of(joined.cluster, layout)
            events, profiles = (np.zeros(len(joined.kinds), dtype=np.int64) for _ in range(2))
            event_rows.count_kinds(joined.cluster.starts, columns["kind"], events, profiles)
            header = Header(
                partition, len(joined.keys), joined.kinds, joined.vocabularies, events, profiles,
                joined.profile_ids.filter(pa.array(joined.cluster.copies > 0)),
                joined.profile_ids if with_ids else None,
            )  # fmt: skip
            yield from messages(HEADER, partition, 0, header)
            kept = (joined.profile_ids, joined.keys, joined.kinds, joined.vocabularies, columns)
            yield from messages(EVENTS, partition, 0, kept)

    return _told(work)


def visit_partitions(visitor: Callable[[Partition], Any], share: float, whole: Whole, batches: Batches) -> Messages:
    """What a visitor makes of each partition."""

    def work() -> Messages:
        for partition, part in _partitions(whole, batches):
            yield from messages(SEEN, partition, 0, visitor(part.of_share(share)))

    return _told(work)


def _partitions(whole: Whole, batches: Batches) -> Iterator[tuple[int, Partition]]:
    """Partitions of messages in order: of each its attributes, if there are any, before its events."""
    attributes: AttributeRows | None = None
    for what, number, value in _values(batches, FACTS, EVENTS):
        if what == FACTS:
            attributes = value
            continue
        ids, keys, kinds, vocabularies, columns = value
        columns["kind"] = recoded(columns["kind"], kinds, whole.kinds)
        for i, words in enumerate(vocabularies):
            columns["texts"][i] = recoded(columns["texts"][i], words, whole.vocabularies[i])
        yield (
            number,
            Partition(
                profile_ids=np.asarray(ids.to_numpy(zero_copy_only=False), dtype=object),
                keys=keys,
                attributes=attributes,
                first_profile=whole.first_profile[number],
                **columns,
            ),
        )
        attributes = None
