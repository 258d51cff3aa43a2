"""What the machines of a cluster do, done one after the other in this process, with nothing in between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from propend.engines import tasks
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.event_rows import Layout
from propend.engines.exchange import ascending, together, value_of
from propend.engines.gathering import Tally
from propend.engines.sources import open_sources
from propend.engines.staging import judging_sql, wanted_fields
from propend.events import EventRequest, Partition
from propend.instance import Data

MEMORY = "200MB"


def across(
    table: pa.Table, data: Data, request: EventRequest, machines: int, bits: int, seed: int
) -> tuple[list[Partition], Tally, tasks.Whole]:
    """Partitions, in order, of rows that so many machines read a part of each; messages arrive in any order."""
    layout = Layout(len(request.number_fields), len(request.text_fields))
    db = DuckdbDatabase(MEMORY, None)
    try:
        (source,) = open_sources(db, data, Path(), {"events": table})
    finally:
        db.close()
    ids = ("id",) if "id" in source.roles else ()
    query = judging_sql([source], request, wanted_fields([source], request), *ids)
    reading = tasks.Reading(request, layout, bits, (query,), MEMORY, 1 << bits if ids else 0)
    mixed = random.Random(seed)
    owner = [mixed.randrange(machines) for _ in range(table.num_rows)]
    sent: list[pa.RecordBatch] = []
    for machine in range(machines):
        portion = table.filter(pa.array([o == machine for o in owner]))
        send = partial(tasks.send, reading)
        sent += tasks.over_rows(
            0,
            source.relation.table,
            MEMORY,
            send,
            lambda m=machine: m,
            portion.to_batches(),  # type: ignore[misc]
        )
    if ids:
        rows = of_kind(sent, tasks.ROWS)
        mixed.shuffle(rows)
        sent = list(tasks.judge_rows(reading, rows))
    parcels = of_kind(sent, tasks.PARCEL)
    mixed.shuffle(parcels)
    kept = list(tasks.keep_partitions(layout, True, parcels))
    headers: list[tasks.Header] = list(values(kept, tasks.HEADER))
    firsts = {h.partition: sum(x.profiles for x in headers[:i]) for i, h in enumerate(headers)}
    words = tuple(ascending(h.vocabularies[i] for h in headers) for i in range(layout.texts))
    whole = tasks.Whole(ascending(h.kinds for h in headers), words, firsts)
    seen = tasks.visit_partitions(_itself, 1.0, whole, of_kind(kept, tasks.EVENTS))
    return list(values(list(seen), tasks.SEEN)), together(list(values(sent, tasks.TALLY))), whole


def _itself(part: Partition) -> Partition:
    return part


def of_kind(batches: list[pa.RecordBatch], what: str) -> list[pa.RecordBatch]:
    """Messages of one kind; a refusal among them is raised."""
    for batch in batches:
        if batch.column("what")[0].as_py() == tasks.REFUSAL:
            raise value_of([batch.column("body")[0].as_py()])
    return [b for b in batches if b.column("what")[0].as_py() == what]


def values(batches: list[pa.RecordBatch], what: str) -> Iterator[Any]:
    """Values of messages of one kind, whose pieces come one after the other."""
    pieces: list[bytes] = []
    for batch in of_kind(batches, what):
        (row,) = batch.to_pylist()
        if row["piece"] == 0 and pieces:
            yield value_of(pieces)
            pieces = []
        pieces.append(row["body"])
    if pieces:
        yield value_of(pieces)
