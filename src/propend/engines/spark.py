"""The Spark engine: the same events, read and kept by the machines of a cluster.

Every machine does to its part what the DuckDB engine does to all: it reads with the same statements, codes with the
same passes and keeps partitions in the same order, so that what is made of them is the same to the last bit. Spark
moves bytes and says who does what (``mapInArrow``); it looks at no event. The driver looks at the data, and learns.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel, TaskContext
from pyspark.sql import DataFrame, SparkSession

from propend.engines import tasks
from propend.engines.attributes import NO_ATTRIBUTES, AttributeTable, load_attributes
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.event_log import event_facts, nothing_left, partition_bits, profile_table
from propend.engines.event_rows import Layout
from propend.engines.exchange import ascending, together, value_of
from propend.engines.scans import Scan, scans_of
from propend.engines.sources import EVENTS_TABLE, EventSource, open_sources, ordered_kinds, summarise
from propend.engines.staging import check_patterns, judging_sql, wanted_fields
from propend.engines.tasks import EVENTS, FACTS, HEADER, MESSAGE_SQL, PARCEL, REFUSAL, ROWS, SEEN, TALLY
from propend.errors import SourceNotFoundError, SourceUnreadableError, StitchedElsewhereError, first_line
from propend.events import EventFacts, EventRequest, OpenedEvents, Partition, least_key
from propend.instance import Data
from propend.persons import Persons
from propend.protection import ANYWHERE, Mirrors, Reach

T = TypeVar("T")
READER_MEMORY = "1GB"
"""Of one reading task where nobody says; several run on a machine."""
LOOK_ROWS = 5_000_000
"""Rows of a Spark table that the driver looks at, to tell columns and their types."""
ATTRIBUTE_ROWS = 20_000_000
"""Facts about profiles go through the driver."""
TASKS_PER_CORE = 4
MOST_PARTITIONS = 1 << 15
"""Every reader sends to every partition: more would be many small parcels."""
EVENTS_PER_TASK = 50_000
"""Fewer are not worth a task of their own."""
TABLE = "table:"
"""How a path begins that is the name of a Spark table."""


@dataclass(frozen=True)
class _Opened:
    """Sources as last opened.

    Attributes:
        frames: those that Spark reads, by the name of their relation.
    """

    data: Data
    folder: Path
    tables: Mapping[str, Any] | None
    sources: tuple[EventSource, ...]
    summary: OpenedEvents
    frames: Mapping[str, DataFrame]


class SparkEngine:
    """A Spark session, found or made, and a database of the driver's own to look at data with."""

    def __init__(
        self,
        memory: str | None = None,
        temp_folder: str | Path | None = None,
        reach: Reach = ANYWHERE,
        mirrors: Mirrors | None = None,
        session: SparkSession | None = None,
    ) -> None:
        """Nothing is opened before the session is entered.

        Args:
            memory: what each reading task may use, such as ``2GB``.
            temp_folder: for what the driver makes; all machines must see it where data are not Parquet.
            reach: what addresses that the driver reads may lead to.
            mirrors: where rows of incremental sources are kept, on a disk of the driver.
            session: the Spark session; the one that is active, or one on this machine, where None.
        """
        self._memory, self._temp_folder, self._reach, self._given = memory, temp_folder, reach, session
        self._mirrors = mirrors
        self._spark: SparkSession | None = None
        self._database: DuckdbDatabase | None = None
        self._opened: _Opened | None = None
        self._kept: list[DataFrame] = []

    def __enter__(self) -> Self:
        self._database = DuckdbDatabase(self._memory, self._temp_folder, reach=self._reach, mirrors=self._mirrors)
        self._spark = self._given or SparkSession.getActiveSession() or _session_here()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for frame in self._kept:
            frame.unpersist()
        if self._database is not None:
            self._database.close()
        self._kept, self._spark, self._database, self._opened = [], None, None, None

    def open(
        self, data: Data, folder: Path, tables: Mapping[str, Any] | None = None, time_zone: str = "UTC"
    ) -> OpenedEvents:
        """See ``Engine.open``. The driver looks at files itself, and at some rows of Spark's tables."""
        return self._look(data, Path(folder), tables).summary

    def load(
        self, data: Data, folder: Path, request: EventRequest, tables: Mapping[str, Any] | None = None
    ) -> SparkEventLog:
        """See ``Engine.load``.

        Raises:
            StitchedElsewhereError: ids are to be joined, which this engine does not.
        """
        if data.identities is not None:
            raise StitchedElsewhereError(
                f"{len(data.identities.links)} sources of links between ids are named, and Spark does not join ids.",
                "use --engine duckdb, or write each person's id into the events beforehand.",
                links=len(data.identities.links),
            )
        opened = self._look(data, Path(folder), tables)
        fields = wanted_fields(opened.sources, request)
        check_patterns(self._db, request)
        layout = Layout(len(request.number_fields), len(request.text_fields))
        bits = self._bits(sum(s.relation.rows for s in opened.sources), layout)
        ids = ("id",) if any("id" in s.roles for s in opened.sources) else ()
        queries = tuple(judging_sql([s], request, fields, *ids) for s in opened.sources)
        memory = self._memory or READER_MEMORY
        reading = tasks.Reading(request, layout, bits, queries, memory, 1 << bits if ids else 0)
        scans = self._scans(opened)
        sent = self._keep(self._over_all(opened, scans, partial(tasks.send, reading), fields))
        if ids:
            rows = sent.filter(sent.what == ROWS).repartition(1 << bits, "partition")
            sent = self._keep(_map(rows, partial(tasks.judge_rows, reading)))
        tally = together(list(_collected(sent, TALLY).values()))
        if tally.used == 0:
            raise nothing_left(tally, data)
        parcels = sent.filter(sent.what == PARCEL).repartition(1 << bits, "partition")
        stored = self._keep(_map(parcels, partial(tasks.keep_partitions, layout, bool(data.attributes))))
        headers = [h for _, h in sorted(_collected(stored, HEADER).items())]
        attributes = NO_ATTRIBUTES
        if data.attributes:
            attributes, stored = self._with_attributes(opened, data, request, headers, stored, 1 << bits)
        self._db.links.close()
        suspects = pa.concat_arrays([h.alike for h in headers])
        copies = self._copies(opened, request, scans, suspects, memory)
        return _log(opened, request, headers, tally, attributes, copies, stored, bits)

    # --- looking ------------------------------------------------------------------------------------------

    @property
    def _db(self) -> DuckdbDatabase:
        if self._database is None:
            raise RuntimeError("an engine is used inside `with connect() as session:`")
        return self._database

    @property
    def spark(self) -> SparkSession:
        """The session, while the engine is entered."""
        if self._spark is None:
            raise RuntimeError("an engine is used inside `with connect() as session:`")
        return self._spark

    def _look(self, data: Data, folder: Path, tables: Mapping[str, Any] | None) -> _Opened:
        last = self._opened
        if last is not None and last.tables is tables and (last.data, last.folder) == (data, folder):
            return last
        frames = self._frames(data, tables or {})
        rows = {name: int(frame.count()) for name, frame in frames.items()}
        looks = {name: _look_at(frame, name, rows[name], LOOK_ROWS) for name, frame in frames.items()}
        seen = {n: t for n, t in (tables or {}).items() if n not in frames} | looks
        sources = open_sources(self._db, data, folder, seen)
        sources, summary = summarise(self._db, sources)
        called = {s.path: s.name for s in data.events if s.name is not None}
        named = {called.get(name, name): frame for name, frame in frames.items()}
        partly = {called.get(name, name): count for name, count in rows.items() if count > LOOK_ROWS}
        self._opened = self._with_counts(_Opened(data, folder, tables, sources, summary, named), partly)
        return self._opened

    def _frames(self, data: Data, tables: Mapping[str, Any]) -> dict[str, DataFrame]:
        """What Spark reads itself: its tables and addresses among the sources, and tables that a caller passed.

        Raises:
            SourceNotFoundError: Spark finds nothing at one.
            SourceUnreadableError: a source is several of them.
        """
        passed = {name: table for name, table in tables.items() if isinstance(table, DataFrame)}
        if EVENTS_TABLE in tables:
            return passed
        for several in (_paths(source.path) for source in data.events):
            if len(several) > 1 and any(map(_is_of_spark, several)):
                raise SourceUnreadableError(
                    f"{', '.join(several[:3])!r} are one source, and Spark reads one table or address for each.",
                    "name each as a source of its own under `data.events`.",
                    path=several[0],
                )
        paths = [path for source in data.events for path in _paths(source.path) if _is_of_spark(path)]
        return passed | {path: self._frame(path) for path in paths}

    def _frame(self, path: str) -> DataFrame:
        """A table by its name, or files at an address.

        Raises:
            SourceNotFoundError: Spark finds nothing there.
        """
        try:
            if path.startswith(TABLE):
                return self.spark.table(path.removeprefix(TABLE))
            suffix = path.rstrip("/").rsplit(".", 1)[-1].lower()
            form = suffix if suffix in ("csv", "json", "orc") else "parquet"
            return self.spark.read.format(form).options(header=True).load(path)
        except Exception as error:
            first = first_line(error)
            raise SourceNotFoundError(
                f"Spark does not find {path!r}: {first:.300}",
                "name a table as `table:catalog.schema.name`, or files by an address that the cluster can read.",
                path=path,
            ) from None

    def _with_counts(self, opened: _Opened, partly: Mapping[str, int]) -> _Opened:
        """Kinds counted over all, where of some Spark tables, which have so many rows, only some were looked at."""
        if not partly:
            return opened
        sources = tuple(
            replace(s, relation=replace(s.relation, rows=partly[s.relation.name])) if s.relation.name in partly else s
            for s in opened.sources
        )
        opened = replace(opened, sources=sources)
        queries = tuple(
            f"SELECT {s.kind_sql}, count(*) FROM {s.relation.table} WHERE NOT {s.made_sql} GROUP BY 1" for s in sources
        )
        kinds: dict[str, int] = {}
        counting = self._over_all(opened, self._scans(opened), partial(tasks.count_kinds, queries), ())
        for rows in _collected(counting, TALLY).values():
            for kind, count in rows:
                kinds[str(kind)] = kinds.get(str(kind), 0) + int(count)
        ordered = ordered_kinds(kinds)
        return replace(opened, summary=replace(opened.summary, kinds=ordered, sources=tuple(s.facts for s in sources)))

    @property
    def _readers(self) -> int:
        return TASKS_PER_CORE * self.spark.sparkContext.defaultParallelism

    # --- reading ------------------------------------------------------------------------------------------

    def _bits(self, rows: int, layout: Layout) -> int:
        """Partitions no larger than a pass may take, several for each core where there are events enough."""
        least = partition_bits(rows, layout, self._db.memory_bytes(), MOST_PARTITIONS)
        wanted = min(self._readers, -(-rows // EVENTS_PER_TASK))
        return max(least, max(wanted - 1, 0).bit_length())

    def _scans(self, opened: _Opened) -> tuple[Scan, ...]:
        return tuple(
            scan
            for place, source in enumerate(opened.sources)
            if source.relation.name not in opened.frames
            for scan in scans_of(self._db, place, source.relation, self._db.scratch, self._readers)
        )

    def _over_all(
        self,
        opened: _Opened,
        scans: tuple[Scan, ...],
        work: tasks.Work,
        needed: Collection[str] | None = None,
        gives: str = MESSAGE_SQL,
    ) -> DataFrame:
        """What some work gives of every portion of every source.

        Args:
            needed: fields that it looks at beside those of roles; all where None. What Spark reads is narrowed to them.
        """
        memory, parts = self._memory or READER_MEMORY, []
        if scans:
            numbers = self.spark.range(0, len(scans), 1, len(scans))
            parts.append(_map(numbers, partial(tasks.over_scans, scans, memory, work), gives))
        for place, source in enumerate(opened.sources):
            frame = opened.frames.get(source.relation.name)
            if frame is not None:
                sender = partial(_sender, place + 1)
                over = partial(tasks.over_rows, place, source.relation.table, memory, work, sender)
                # of XDM, what is told from several columns needs them all
                wanted = (
                    None if needed is None or source.relation.xdm is not None else {*needed, *source.roles.values()}
                )
                parts.append(_map(frame if wanted is None else _narrowed(frame, wanted), over, gives))
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.union(part)
        return whole

    def _with_attributes(
        self,
        opened: _Opened,
        data: Data,
        request: EventRequest,
        headers: Sequence[tasks.Header],
        stored: DataFrame,
        slots: int,
    ) -> tuple[AttributeTable, DataFrame]:
        """Attributes found by the driver, sent to the partitions that have their profiles."""
        names = tuple(dict.fromkeys(s.roles["profile"] for s in opened.sources))
        profiles = profile_table(self._db, pa.concat_arrays([h.profile_ids for h in headers]))
        seen = {path: _all_of(self._frame(path), path) for path in _spark_paths(data)}
        tables = dict(opened.tables or {}) | seen
        attributes = load_attributes(self._db, data, opened.folder, tables, profiles, names, request)
        if not attributes.table:
            return attributes, stored
        rows, first = [], 0
        for header in headers:
            facts = attributes.rows_of(self._db, first, first + header.profiles)
            first += header.profiles
            for batch in tasks.messages(FACTS, header.partition, 0, facts):
                rows += [tuple(row.values()) for row in batch.to_pylist()]
        both = stored.union(self.spark.createDataFrame(rows, MESSAGE_SQL))
        ordered = both.repartition(slots, "partition").sortWithinPartitions("partition", both.what.desc(), "piece")
        return attributes, self._keep(ordered)

    def _copies(
        self, opened: _Opened, request: EventRequest, scans: tuple[Scan, ...], suspects: pa.Array, memory: str
    ) -> int:
        """See ``staging.count_copies``."""
        without = {place for place, s in enumerate(opened.sources) if "id" not in s.roles}
        if not without or not len(suspects):
            return 0
        fields = wanted_fields(opened.sources, request)
        queries = tuple(judging_sql([s], request, fields, "row_hash") for s in opened.sources)
        table = pa.table({"suspect": suspects})
        found = self._over_all(opened, scans, partial(tasks.send_hashes, queries, table), None, "hash bigint")
        with _small_batches(self.spark):
            total = found.groupBy("hash").count().selectExpr("sum(count - 1)").collect()[0][0]
        return int(total or 0)

    def _keep(self, frame: DataFrame) -> DataFrame:
        """The same, computed now, once, and kept on disks of the cluster.

        Raises:
            PropendError: a task refused.
        """
        kept = frame.persist(StorageLevel.DISK_ONLY)
        self._kept.append(kept)
        with _small_batches(self.spark):
            kept.count()
        _collected(kept, REFUSAL)
        return kept


@dataclass(frozen=True)
class SparkEventLog:
    """Canonical events kept by a cluster (``EventLog``)."""

    facts: EventFacts
    request: EventRequest
    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    attribute_numbers: tuple[str, ...]
    attribute_texts: tuple[str, ...]
    attribute_vocabularies: tuple[tuple[str, ...], ...]
    _stored: DataFrame
    _whole: tasks.Whole
    _bits: int
    elsewhere: ClassVar[bool] = True
    persons: ClassVar[Persons | None] = None

    def visit(self, visitor: Callable[[Partition], T], share: float = 1.0) -> Iterator[T]:
        """See ``EventLog.visit``: it goes to all partitions at once, and comes back in their order."""
        stored = self._stored.filter(self._stored.what.isin(EVENTS, FACTS))
        if share < 1.0:
            last = max(int(least_key(share)) - 1, 0) >> (64 - self._bits) if self._bits else 0
            stored = stored.filter(stored.partition <= max(last, min(self._whole.first_profile)))
        seen = _collected(_map(stored, partial(tasks.visit_partitions, visitor, share, self._whole)), SEEN)
        yield from (seen[partition] for partition in sorted(seen))


def _log(
    opened: _Opened,
    request: EventRequest,
    headers: Sequence[tasks.Header],
    tally: Any,
    attributes: AttributeTable,
    copies: int,
    stored: DataFrame,
    bits: int,
) -> SparkEventLog:
    """The log of partitions whose headers are given in order."""
    kinds = ascending(h.kinds for h in headers)
    vocabularies = tuple(ascending(h.vocabularies[i] for h in headers) for i in range(len(request.text_fields)))
    events, profiles = (np.zeros(len(kinds), dtype=np.int64) for _ in range(2))
    place = {kind: i for i, kind in enumerate(kinds)}
    for header in headers:
        at = [place[kind] for kind in header.kinds]
        events[at] += header.kind_events
        profiles[at] += header.kind_profiles
    ends = np.cumsum([h.profiles for h in headers])
    firsts = [0, *ends[:-1].tolist()]
    return SparkEventLog(
        facts=event_facts(
            opened.sources, opened.summary, tally, int(ends[-1]), kinds, events, profiles, attributes, copies
        ),
        request=request,
        kinds=kinds,
        vocabularies=vocabularies,
        attribute_numbers=attributes.numbers,
        attribute_texts=attributes.texts,
        attribute_vocabularies=attributes.vocabularies,
        _stored=stored,
        _whole=tasks.Whole(kinds, vocabularies, {h.partition: f for h, f in zip(headers, firsts, strict=True)}),
        _bits=bits,
    )


# --- Spark ----------------------------------------------------------------------------------------------------


def _session_here() -> SparkSession:
    """A session: of the cluster that started this process, else one on this machine."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("propend")
    if {"PYSPARK_GATEWAY_PORT", "PYSPARK_SUBMIT_ARGS", "SPARK_REMOTE", "MASTER"} & set(os.environ):
        return builder.getOrCreate()
    here = {
        "spark.master": "local[*]",
        "spark.driver.memory": "2g",
        "spark.driver.maxResultSize": "0",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    for name, value in here.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def _sender(source: int) -> int:
    """A number that no other task of any source has."""
    context = TaskContext.get()
    return (source << 24) + (context.partitionId() if context else 0)


def _map(frame: DataFrame, task: Callable[[Any], Any], gives: str = MESSAGE_SQL) -> DataFrame:
    with warnings.catch_warnings():
        # what is said of pandas does not matter: it must be there, and is not used
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"pyspark\.")
        return frame.mapInArrow(task, gives)


@contextmanager
def _small_batches(session: SparkSession) -> Iterator[None]:
    """Rows that are pieces of megabytes must not come by the ten thousand."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = session.conf.get(name)
    session.conf.set(name, "16")
    try:
        yield
    finally:
        session.conf.set(name, str(before))


def _collected(frame: DataFrame, what: str) -> dict[tuple[int, int] | int, Any]:
    """Values of one kind of message by partition and sender, or by partition where it has one.

    Raises:
        PropendError: a task refused.
    """
    with _small_batches(frame.sparkSession):
        rows = frame.filter(frame.what.isin(what, REFUSAL)).collect()
    pieces: dict[tuple[str, int, int], dict[int, bytes]] = {}
    for row in rows:
        pieces.setdefault((row.what, row.partition, row.sender), {})[row.piece] = row.body
    refusals = sorted(key for key in pieces if key[0] == REFUSAL)
    if refusals:
        raise value_of(body for _, body in sorted(pieces[refusals[0]].items()))
    found = {key[1:]: value_of(body for _, body in sorted(pieces.pop(key).items())) for key in sorted(pieces)}
    return {key if key[0] < 0 else key[0]: value for key, value in found.items()}


def _all_of(frame: DataFrame, name: str) -> pa.Table:
    """A Spark table of attributes.

    Raises:
        SourceUnreadableError: it has too many rows for the driver, or none.
    """
    rows = int(frame.count())
    if rows > ATTRIBUTE_ROWS:
        raise SourceUnreadableError(
            f"{name!r} has {rows:,} rows; attributes go through the driver, which takes {ATTRIBUTE_ROWS:,}.",
            "keep the rows of profiles that have events, or the newest of each.",
            path=name, rows=rows,
        )  # fmt: skip
    return _look_at(frame, name, rows, rows)


def _look_at(frame: DataFrame, name: str, rows: int, most: int) -> pa.Table:
    """Rows of a Spark table that has so many: all, or about the most.

    Raises:
        SourceUnreadableError: it has none.
    """
    some = frame if rows <= most else frame.sample(fraction=most / rows, seed=0)
    found = _collected(_map(some, partial(tasks.carry, partial(_sender, 0))), SEEN)
    batches = [batch for _, batches in sorted(found.items()) for batch in batches]
    if batches:
        return pa.Table.from_batches(batches)
    raise SourceUnreadableError(f"{name!r} has no rows.", "name a table that holds events.", path=name)


def _narrowed(frame: DataFrame, wanted: Collection[str]) -> DataFrame:
    """The columns that are wanted, or that have one within."""
    kept = [c for c in frame.columns if any(name == c or name.startswith(f"{c}.") for name in wanted)]
    return frame.select(*(frame["`" + c.replace("`", "``") + "`"] for c in kept))


def _paths(given: Any) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _spark_paths(data: Data) -> list[str]:
    return [path for given in data.attributes for path in _paths(given.path) if _is_of_spark(path)]


def _is_of_spark(path: str) -> bool:
    return path.startswith(TABLE) or "://" in path
