"""Batches of judged events, coded as they come and put by partition; then partition by partition in order.

Profiles go to partitions by the first bits of their keys, so that partitions in turn are profiles in the order of keys,
whatever their number is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from propend.engines import event_rows
from propend.engines.event_rows import Layout, Rows
from propend.engines.spool import Spool
from propend.engines.staging import FORGOTTEN, MARKETER_MADE, REASONS
from propend.engines.texts import TextCodes
from propend.engines.times import DAY_US
from propend.persons import Persons
from propend.protection import Forgotten
from propend.wall_clock import now_local_us

_FUTURE_DAYS = 3
"""Nothing later than a day from now is used; the clock may stand in another zone."""


@dataclass(frozen=True)
class Cluster:
    """All events of one partition, profile by profile in the order of keys, each profile's in the order of events.

    Attributes:
        profiles: first and end among all profiles.
        starts: int64[P + 1].
        rows: uint64[E, words].
        copies: int64[P], events of each that are alike as far as they are read, but for the first.
    """

    profiles: tuple[int, int]
    starts: NDArray[np.int64]
    rows: Rows
    copies: NDArray[np.int64]


@dataclass(frozen=True)
class Tally:
    """What is counted while rows are taken in.

    Attributes:
        reasons: int64[reasons + 2]: rows by the place of their reason, first those used, last those forgotten.
        bad_values: used rows whose value is a text that is not a number.
        first_at: local microseconds of the first used event.
        days: local day numbers since 1970 that have events, ascending.
        events, last: how many on each, and microseconds after midnight of the latest.
    """

    reasons: NDArray[np.int64]
    bad_values: int
    first_at: int
    days: NDArray[np.int64]
    events: NDArray[np.int64]
    last: NDArray[np.int64]

    @property
    def read(self) -> int:
        """All rows."""
        return int(self.reasons.sum())

    @property
    def used(self) -> int:
        """Rows that became events."""
        return int(self.reasons[0])

    @property
    def set_aside(self) -> dict[str, int]:
        """Rows left out, by reason."""
        aside = {name: int(self.reasons[i]) for i, name in enumerate(REASONS, 1)}
        rare = {"forgotten": int(self.reasons[FORGOTTEN]), MARKETER_MADE: aside.pop(MARKETER_MADE)}
        return aside | {name: n for name, n in rare.items() if n}

    @property
    def last_at(self) -> int:
        """Local microseconds of the last used event."""
        return int(self.days[-1]) * DAY_US + int(self.last[-1])


class Gathering:
    """Events on their way from a query to partitions, and what is counted on the way."""

    def __init__(
        self,
        layout: Layout,
        partition_bits: int,
        spool: Spool,
        pool: Executor,
        forgotten: Forgotten | None = None,
        persons: Persons | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            pool: where columns are coded side by side.
            partition_bits: bits of the keys that name the partition.
            spool: with one partition for each value of these bits.
            forgotten: whose rows are left out.
            persons: whose ids have one key, so that they are in one partition.
        """
        self.layout = layout
        self._bits, self._spool, self._pool = partition_bits, spool, pool
        self._profiles, self._kinds = TextCodes(), TextCodes()
        self._texts = tuple(TextCodes() for _ in range(layout.texts))
        self._keys = np.zeros(1, dtype=np.uint64)
        self._known = 0
        self._rooms = [np.empty((0, layout.words), dtype=np.uint64) for _ in range(2)]
        self._putting: Future[None] | None = None
        self._coding: list[Future[NDArray[np.int32]]] = []
        self._called: Mapping[bytes, bytes] = persons.called if persons else {}
        self._absent = _Absent(forgotten, persons.forgotten if persons else frozenset()) if forgotten else None
        self._reasons = np.zeros(FORGOTTEN + 1, dtype=np.int64)
        self._bad_values, self._first_at = 0, int(np.iinfo(np.int64).max)
        days = now_local_us("UTC") // DAY_US + _FUTURE_DAYS
        self._events, self._last = np.zeros(days, dtype=np.int64), np.zeros(days, dtype=np.int64)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in the rows of a batch of ``Staged.query``; what comes after coding is done while the next is coded.

        Raises:
            OSError: the spool's folder is full.
        """
        reason = _numbers(batch, "reason")
        if self._absent is not None:
            reason = np.where(self._absent.rows(batch.column("profile"), reason == 0), FORGOTTEN, reason)
        self._reasons += np.bincount(reason, minlength=len(self._reasons))
        used = reason == 0
        wait(self._coding)  # a column's texts are numbered batch after batch
        columns = {"kind": self._kinds} | {f"t{i}": codes for i, codes in enumerate(self._texts)}
        self._coding = [self._pool.submit(codes.codes, batch.column(name), used) for name, codes in columns.items()]
        profile = self._profiles.codes(batch.column("profile"), used)
        partition = self._partitions_of(profile)
        self.finish()
        self._putting = self._pool.submit(self._put, batch, used, profile, self._coding, partition)

    def finish(self) -> None:
        """Wait until what has been taken in is in the spool."""
        if self._putting is not None:
            self._putting.result()

    def among(self, profile_ids: pa.Array) -> int:
        """How many of some different ids events have."""
        return int(pc.sum(pc.is_in(profile_ids.cast(pa.large_string()), value_set=self._profiles.texts())).as_py() or 0)

    def know(self, profile_ids: pa.Array) -> None:
        """Take in profiles that may have no events, as of ids that only attributes have."""
        self._partitions_of(self._profiles.codes(profile_ids, np.ones(len(profile_ids), dtype=np.bool_)))

    def _partitions_of(self, profile: NDArray[np.int32]) -> NDArray[np.int32]:
        """int32[n]; new profiles get their keys first."""
        known, count = self._known, len(self._profiles)
        if count > len(self._keys):
            self._keys = np.concatenate([self._keys[:known], np.zeros(2 * count - known, dtype=np.uint64)])
        new = self._profiles.encoded(known)
        self._keys[known:count] = _keys([self._called.get(i, i) for i in new] if self._called else new)
        self._known = count
        if self._bits == 0:
            return np.zeros(len(profile), dtype=np.int32)
        return (self._keys[profile] >> np.uint64(64 - self._bits)).astype(np.int32)

    def _put(
        self,
        batch: pa.RecordBatch,
        used: NDArray[np.bool_],
        profile: NDArray[np.int32],
        coding: Sequence[Future[NDArray[np.int32]]],
        partition: NDArray[np.int32],
    ) -> None:
        at, bad = _numbers(batch, "moment"), _numbers(batch, "bad_value")
        self._bad_values += int((bad[used] != 0).sum())
        if used.any():
            self._first_at = min(self._first_at, int(at[used].min()))
        event_rows.count_days(at, used, DAY_US, self._events, self._last)
        kind, *texts = (column.result() for column in coding)
        numbers = [_numbers(batch, f"n{i}") for i in range(self.layout.numbers)]
        rows, out = (self._room(i, len(at)) for i in range(2))
        event_rows.pack(
            self.layout, at, profile, kind, _numbers(batch, "value"), _numbers(batch, "bits"), numbers, texts, rows
        )
        if not used.all():
            rows, partition = rows[used], partition[used]
        starts = np.zeros((1 << self._bits) + 1, dtype=np.int64)
        event_rows.count_groups(partition, starts)
        starts = np.cumsum(starts)
        event_rows.put_by_group(rows, partition, starts[:-1].copy(), out)
        for p in np.flatnonzero(np.diff(starts)):
            # of its own, so that a partition that is taken leaves the memory
            self._spool.add(int(p), out[starts[p] : starts[p + 1]].copy())

    def _room(self, which: int, rows: int) -> Rows:
        """Memory for the rows of a batch; the same for every batch, for new memory has to be cleared first."""
        if len(self._rooms[which]) < rows:
            self._rooms[which] = np.empty((rows, self.layout.words), dtype=np.uint64)
        return self._rooms[which][:rows]

    def tally(self) -> Tally:
        """What has been counted of the rows in the spool."""
        days = np.flatnonzero(self._events)
        return Tally(
            self._reasons, self._bad_values, self._first_at,
            days.astype(np.int64), self._events[days], self._last[days],
        )  # fmt: skip

    def ordered(self) -> Ordered:
        """What the codes of the rows stand for, now that all rows are there."""
        kinds, kind_places = self._kinds.ascending()
        texts = [codes.ascending() for codes in self._texts]
        ids = self._profiles.texts()
        order = order_of(self._keys[: self._known], ids)
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        of_texts = [places for _, places in texts]
        text_starts = np.cumsum([0, *map(len, of_texts)])
        return Ordered(
            kinds, tuple(words for words, _ in texts), ids.take(pa.array(order)), self._keys[order], place,
            kind_places, np.concatenate([np.empty(0, np.int32), *of_texts]), text_starts,
            self._spool, self.layout, self._bits,
        )  # fmt: skip


class _Absent:
    """Which rows are of people who are to be forgotten; each id is looked up once."""

    def __init__(self, forgotten: Forgotten, also: frozenset[bytes]) -> None:
        """``also``: further ids of these people."""
        self._forgotten, self._also, self._ids = forgotten, also, TextCodes()
        self._known = np.zeros(1, dtype=np.bool_)  # of each id, by its number

    def rows(self, profiles: pa.Array, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool[n]: of the rows used, those that are left out."""
        before = len(self._ids)
        codes = self._ids.codes(profiles, used)
        if len(self._ids) > before:
            met = self._ids.encoded(before)
            new = [gone or i in self._also for i, gone in zip(met, self._forgotten.among(met), strict=True)]
            self._known = np.concatenate([self._known[:before], np.array(new, dtype=np.bool_)])
        found: NDArray[np.bool_] = used & self._known[np.maximum(codes, 0)]
        return found


@dataclass(frozen=True)
class Ordered:
    """Rows of all partitions, and what their codes become in canonical order.

    Attributes:
        kinds: ascending.
        vocabularies: of each text field, ascending.
        profile_ids: in the order of (key, id); ``keys`` likewise.
    """

    kinds: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    profile_ids: pa.Array
    keys: NDArray[np.uint64]
    _place: NDArray[np.int32]
    _kind_places: NDArray[np.int32]
    _text_places: NDArray[np.int32]
    _text_starts: NDArray[np.int64]
    _spool: Spool
    _layout: Layout
    _bits: int

    def parts(self) -> list[tuple[int, int, int]]:
        """Partitions that have profiles: the number of each, and its first and end among all profiles."""
        edges = np.searchsorted(self.keys, _first_keys(self._bits), side="left").tolist()
        ends = [*edges[1:], len(self.keys)]
        return [(i, first, end) for i, (first, end) in enumerate(zip(edges, ends, strict=True)) if end > first]

    def cluster(self, partition: int, first: int, end: int) -> Cluster:
        """One of ``parts``, once: its rows are no longer in the spool then. Several may be made side by side.

        Raises:
            OSError: the spool's folder cannot be read.
        """
        starts, rows = self.grouped(partition, first, end)
        copies = np.zeros(end - first, dtype=np.int64)
        event_rows.sort_within(rows, starts, copies)
        return Cluster((first, end), starts, rows, copies)

    def grouped(self, partition: int, first: int, end: int) -> tuple[NDArray[np.int64], Rows]:
        """Starts and rows of one of ``parts``, as of a ``Cluster``, but each profile's in the order they came."""
        pieces = self._spool.take(partition)
        places = [self._place[event_rows.profiles_of(rows)] - np.int32(first) for rows in pieces]
        starts = np.zeros(end - first + 1, dtype=np.int64)
        for place in places:
            event_rows.count_groups(place, starts)
        starts = np.cumsum(starts)
        rows, free = np.empty((starts[-1], self._layout.words), dtype=np.uint64), starts[:-1].copy()
        for place in places:
            event_rows.put_by_group(pieces.pop(0), place, free, rows)  # given back as soon as it is copied
        event_rows.recode(rows, self._kind_places, self._text_places, self._text_starts, self._layout.first_text)
        return starts, rows


def _first_keys(bits: int) -> NDArray[np.uint64]:
    """The least key of each partition."""
    partitions = np.arange(1 << bits, dtype=np.uint64)
    return partitions << np.uint64(64 - bits) if bits else partitions


def order_of(keys: NDArray[np.uint64], ids: pa.Array) -> NDArray[np.int64]:
    """int64[P]: positions of different ids in canonical order: that of (key, id)."""
    order = np.argsort(keys, kind="stable")
    for first, end in _ties(keys[order]):
        order[first:end] = sorted(order[first:end].tolist(), key=lambda code: ids[code].as_py().encode())
    return order


def _ties(keys: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """First and end of every run of equal keys among ascending ones."""
    same = np.flatnonzero(keys[1:] == keys[:-1])
    for first in same[np.r_[True, np.diff(same) > 1]] if len(same) else ():
        end = first + 1
        while end < len(keys) and keys[end] == keys[first]:
            end += 1
        yield int(first), int(end)


def _keys(ids: Sequence[bytes]) -> NDArray[np.uint64]:
    """The first eight bytes of the MD5 of each id: the same on every engine and machine."""
    digests = b"".join(hashlib.md5(i, usedforsecurity=False).digest()[:8] for i in ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    column: NDArray[Any] = batch.column(name).to_numpy()
    return column
