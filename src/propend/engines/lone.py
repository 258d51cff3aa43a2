"""The events of one profile, given by whoever asks, as the partition that the same events of a source would become.

The statement that judges rows of sources judges these (``engines.staging``), and the same passes put them in order; so
every condition, limit and order of events is that of a run.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.engines import event_rows
from propend.engines.attributes import ALWAYS
from propend.engines.coding import shortened
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.event_log import columns_of
from propend.engines.event_rows import Layout
from propend.engines.gathering import Cluster
from propend.engines.relations import RawColumn, Relation
from propend.engines.sources import EventSource
from propend.engines.staging import Staged, delivered, judging_sql, stage
from propend.engines.times import NO_TIME, RAW, TimeColumn
from propend.engines.xdm_given import read_given
from propend.events import AttributeRows, EventRequest, Field, Partition
from propend.predicates import FieldType, quote_name

TABLE = "propend_events"
AT, PROFILE, KIND, VALUE, ID = "propend at", "propend profile", "propend kind", "propend value", "propend id"
"""Columns of a table of events that stand for roles; the others are fields by their names."""
_NATIVE = {"int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "string": "VARCHAR", "timestamp[us]": "TIMESTAMP"}


@dataclass(frozen=True)
class LoneLog:
    """What codes of a partition of one profile stand for, as of an ``EventLog``."""

    request: EventRequest
    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    attribute_numbers: tuple[str, ...]
    attribute_texts: tuple[str, ...]
    attribute_vocabularies: tuple[tuple[str, ...], ...]


class LoneReader:
    """Reads one profile after the other, by one thread at a time."""

    def __init__(
        self,
        request: EventRequest,
        fields: Mapping[str, FieldType],
        attribute_numbers: Sequence[str] = (),
        attribute_texts: Sequence[str] = (),
    ) -> None:
        """Open a database of its own; ``close``, or the reader's end, removes it.

        Args:
            request: what is needed of events.
            fields: what each field holds that the request names.
            attribute_numbers, attribute_texts: facts about profiles that are needed.
        """
        self.request = request
        self._types = {name: fields[name] for name in named_fields(request)}
        self._fields = {name: Field(name, kind) for name, kind in self._types.items()}
        self._numbers, self._texts = tuple(attribute_numbers), tuple(attribute_texts)
        self._layout = Layout(len(request.number_fields), len(request.text_fields))
        self._db = DuckdbDatabase(None, None, threads=1)
        self.close = weakref.finalize(self, self._db.close)
        """Removes the database; so does the end of the reader, when nobody reads with it any more."""

    def read(
        self, profile_id: str, events: pa.Table, numbers: Sequence[float | None], texts: Sequence[str | None]
    ) -> tuple[LoneLog, Partition]:
        """The partition of one profile.

        Args:
            profile_id: its id.
            events: ``AT`` (int64, local microseconds), ``PROFILE``, ``KIND`` and ``VALUE``, fields by their names,
                and ``ID`` where events have ids.
            numbers, texts: its attributes, in the order of the reader's; none of both where nothing is known.
        """
        kinds, vocabularies, columns = self._ordered(self._judged(events))
        attributes, words = self._attributes(numbers, texts)
        key = int.from_bytes(md5(profile_id.encode(), usedforsecurity=False).digest()[:8], "big")
        ids, keys = np.array([profile_id], dtype=object), np.array([key], dtype=np.uint64)
        part = Partition(profile_ids=ids, keys=keys, attributes=attributes, first_profile=0, **columns)
        return LoneLog(self.request, kinds, vocabularies, self._numbers, self._texts, words), part

    def as_xdm(self, events: Sequence[Mapping[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
        """Events of XDM in their columns (``xdm_given.read_given``)."""
        return read_given(self._db, events, names)

    def _judged(self, events: pa.Table) -> dict[str, tuple[Any, ...]]:
        """Columns of the rows that are used, as ``staging.delivered`` has them."""
        source = self._source(events)
        self._db.register(TABLE, events)
        if ID in events.column_names and _repeats(events.column(ID)):
            staged = stage(self._db, [source], self.request)
        else:
            judged = judging_sql([source], self.request, self._fields)
            staged = Staged(f"SELECT {delivered(self.request)} FROM ({judged})")
        names = ["moment", "kind", "value", "bits", *(f"n{i}" for i in range(self._layout.numbers))]
        names += [f"t{i}" for i in range(self._layout.texts)]
        rows = self._db.rows(f"SELECT {', '.join(names)} FROM ({staged.query}) WHERE reason = 0")
        if staged.table:
            self._db.run(f"DROP TABLE {staged.table}")
        return dict(zip(names, zip(*rows, strict=True) if rows else ((),) * len(names), strict=True))

    def _source(self, events: pa.Table) -> EventSource:
        types: dict[str, FieldType] = {AT: "number", PROFILE: "text", KIND: "text", VALUE: "number", ID: "text"}
        types |= self._types
        columns = {field.name: _column(field, types[field.name]) for field in events.schema}
        roles = {"profile": PROFILE, "at": AT, "event": KIND, "value": VALUE}
        roles |= {"id": ID} if ID in columns else {}
        relation = Relation("events", "table", quote_name(TABLE), len(events), tuple(columns), columns)
        time = TimeColumn(quote_name(AT), RAW, NO_TIME, f"({RAW} IS NOT NULL)")
        return EventSource(relation, roles, (), None, time)

    def _ordered(
        self, rows: Mapping[str, tuple[Any, ...]]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], dict[str, Any]]:
        """Kinds, vocabularies and the columns of the partition."""
        layout, n = self._layout, len(rows["moment"])
        packed = np.empty((n, layout.words), dtype=np.uint64)
        kinds, kind = _coded(rows["kind"])
        texts = [_coded(rows[f"t{i}"]) for i in range(layout.texts)]
        event_rows.pack(
            layout, np.array(rows["moment"], np.int64), np.zeros(n, np.int32), kind,
            np.array(rows["value"], np.float64), np.array(rows["bits"], np.uint64),
            [np.array(rows[f"n{i}"], np.float64) for i in range(layout.numbers)], [codes for _, codes in texts], packed,
        )  # fmt: skip
        starts = np.array([0, n], dtype=np.int64)
        copies = np.zeros(1, dtype=np.int64)
        event_rows.sort_within(packed, starts, copies)
        return kinds, tuple(words for words, _ in texts), columns_of(Cluster((0, 1), starts, packed, copies), layout)

    def _attributes(
        self, numbers: Sequence[float | None], texts: Sequence[str | None]
    ) -> tuple[AttributeRows | None, tuple[tuple[str, ...], ...]]:
        """One row of facts that has always been true, and the vocabulary of each text."""
        if not self._numbers and not self._texts:
            return None, ()
        known = [None if text is None else shortened(text) for text in texts]
        words = tuple(() if text is None else (text,) for text in known) or ((),) * len(self._texts)
        rows = int(bool(numbers or texts))
        return AttributeRows(
            offsets=np.array([0, rows], dtype=np.int64),
            at=np.full(rows, ALWAYS, dtype=np.int64),
            numbers=np.array([[np.nan if x is None else x] for x in numbers], dtype=np.float64).reshape(
                len(self._numbers), rows
            ),
            texts=np.array([[-1 if text is None else 0] for text in known], dtype=np.int32).reshape(
                len(self._texts), rows
            ),
        ), words


def named_fields(request: EventRequest) -> tuple[str, ...]:
    """Every field that conditions, numbers and texts of a request name, each once."""
    named = [c.field for s in request.selectors for c in s.event.where]
    named += [c.field for event in request.exclude for c in event.where]
    return tuple(dict.fromkeys([*named, *request.number_fields, *request.text_fields]))


def _column(field: pa.Field, kind: FieldType) -> RawColumn:
    sql = quote_name(field.name)
    if pa.types.is_list(field.type):
        return RawColumn(field.name, f"({sql})[1]", _NATIVE[str(field.type.value_type)], kind, many=sql)
    return RawColumn(field.name, sql, _NATIVE[str(field.type)], kind)


def _repeats(ids: pa.ChunkedArray) -> bool:
    known = ids.drop_null()
    return len(known) > len(known.unique())


def _coded(texts: Sequence[str | None]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Distinct texts in ascending order, and each one's place among them; -1 where there is none."""
    words = tuple(sorted({text for text in texts if text is not None}))
    place = {word: i for i, word in enumerate(words)}
    return words, np.array([-1 if text is None else place[text] for text in texts], dtype=np.int32)
