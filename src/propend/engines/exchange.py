"""Events on their way from where they are read to where their profiles are kept, on several machines.

Each reading task numbers texts by itself, and sends to every partition a parcel: packed rows, and what their numbers
stand for. Who keeps a partition puts its parcels together. Neither looks at a row of its own, so that what travels are
few long pieces of bytes; nothing here knows by what they travel.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from propend.engines import event_rows
from propend.engines.event_rows import Layout, Rows
from propend.engines.gathering import Cluster, Gathering, Tally, order_of

Words = tuple[str, ...]
PIECE_BYTES = 4 << 20
"""Bytes travel in pieces: a machine that moves them holds several at once."""


@dataclass(frozen=True)
class Parcel:
    """Events of some profiles of one partition, as one reading task found them.

    Attributes:
        profile_ids: in the order of (key, id); ``keys`` likewise.
        starts: int64[P + 1].
        rows: uint64[E, words], profile by profile; codes are places among the words below.
        kinds: ascending.
        vocabularies: of each text field, ascending.
    """

    profile_ids: pa.Array
    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]
    rows: Rows
    kinds: Words
    vocabularies: tuple[Words, ...]


@dataclass(frozen=True)
class Joined:
    """A partition with all its parcels.

    Attributes:
        profile_ids, keys: in the order of (key, id).
        cluster: its events in order; codes are places among the words below.
        kinds, vocabularies: as in ``Parcel``, of this partition alone.
    """

    profile_ids: pa.Array
    keys: NDArray[np.uint64]
    cluster: Cluster
    kinds: Words
    vocabularies: tuple[Words, ...]


def parcels_of(gathering: Gathering) -> Iterator[tuple[int, Parcel]]:
    """Partition and parcel, of all that was gathered; once.

    Raises:
        OSError: the spool's folder cannot be read.
    """
    ordered, layout = gathering.ordered(), gathering.layout
    for partition, first, end in ordered.parts():
        starts, rows = ordered.grouped(partition, first, end)
        vocabularies = _keep_used(rows, layout, ordered.kinds, ordered.vocabularies)
        ids = pa.concat_arrays([ordered.profile_ids[first:end]])  # not a view of those of all partitions
        yield partition, Parcel(ids, ordered.keys[first:end].copy(), starts, rows, ordered.kinds, vocabularies)


def _keep_used(rows: Rows, layout: Layout, kinds: Words, vocabularies: Sequence[Words]) -> tuple[Words, ...]:
    """The words that rows use, whose codes become places among these, in place."""
    kept, places = [], []
    for i, words in enumerate(vocabularies):
        used = np.unique(event_rows.text_codes(rows, layout, i))
        used = used[used >= 0]
        place = np.full(len(words) + 1, -1, dtype=np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        kept.append(tuple(words[code] for code in used.tolist()))
        places.append(place)
    _recode(rows, layout, np.r_[np.arange(len(kinds)), -1].astype(np.int32), places)
    return tuple(kept)


def join(parcels: Iterable[Parcel], layout: Layout) -> Joined:
    """Put together all parcels of a partition; at least one. Their rows are changed on the way."""
    found = list(parcels)
    kinds = ascending(p.kinds for p in found)
    vocabularies = tuple(ascending(p.vocabularies[i] for p in found) for i in range(layout.texts))
    ids, keys, places = _profiles_of(found)
    starts = np.zeros(len(ids) + 1, dtype=np.int64)
    for parcel, place in zip(found, places, strict=True):
        starts[place + 1] += np.diff(parcel.starts)  # a parcel has a profile once
    starts = np.cumsum(starts)
    rows, free = np.empty((starts[-1], layout.words), dtype=np.uint64), starts[:-1].copy()
    while found:
        parcel, place = found.pop(0), places.pop(0)  # given back as soon as it is copied
        words = [_places_among(v, of) for v, of in zip(parcel.vocabularies, vocabularies, strict=True)]
        _recode(parcel.rows, layout, _places_among(parcel.kinds, kinds), words)
        profiles = np.repeat(place, np.diff(parcel.starts))
        event_rows.set_profiles(parcel.rows, profiles)  # each task had a code of its own, which order must not see
        event_rows.put_by_group(parcel.rows, profiles, free, rows)
    copies = np.zeros(len(ids), dtype=np.int64)
    event_rows.sort_within(rows, starts, copies)
    return Joined(ids, keys, Cluster((0, len(ids)), starts, rows, copies), kinds, vocabularies)


def _profiles_of(parcels: Sequence[Parcel]) -> tuple[pa.Array, NDArray[np.uint64], list[NDArray[np.int32]]]:
    """All profiles in order with their keys, and the place of each parcel's among them."""
    coded = pa.concat_arrays([p.profile_ids for p in parcels]).dictionary_encode()
    codes, ids = coded.indices.to_numpy(), coded.dictionary
    keys = np.empty(len(ids), dtype=np.uint64)
    keys[codes] = np.concatenate([p.keys for p in parcels])
    order = order_of(keys, ids)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    ends = np.cumsum([len(p.profile_ids) for p in parcels])
    return ids.take(pa.array(order)), keys[order], np.split(place[codes], ends[:-1])


def ascending(words: Iterable[Words]) -> Words:
    """All words, in the order of their bytes."""
    return tuple(sorted(set().union(*words), key=str.encode))


def _places_among(words: Words, all_words: Words) -> NDArray[np.int32]:
    """int32[len + 1]: where each word is among all; the last, of none, -1."""
    place = {word: i for i, word in enumerate(all_words)}
    return np.array([*(place[w] for w in words), -1], dtype=np.int32)


def _recode(rows: Rows, layout: Layout, kinds: NDArray[np.int32], texts: Sequence[NDArray[np.int32]]) -> None:
    starts = np.cumsum([0, *map(len, texts)])
    event_rows.recode(rows, kinds, np.concatenate([np.empty(0, np.int32), *texts]), starts, layout.first_text)


def recoded(codes: NDArray[np.int32], words: Words, all_words: Words) -> NDArray[np.int32]:
    """Places among some words, -1 for none, as places among all."""
    return _places_among(words, all_words)[codes]


def together(tallies: Sequence[Tally]) -> Tally:
    """What several tasks counted, as one."""
    days = np.unique(np.concatenate([t.days for t in tallies]))
    events, last = np.zeros(len(days), dtype=np.int64), np.zeros(len(days), dtype=np.int64)
    for tally in tallies:
        at = np.searchsorted(days, tally.days)
        events[at] += tally.events
        last[at] = np.maximum(last[at], tally.last)
    return Tally(
        np.sum([t.reasons for t in tallies], axis=0),
        sum(t.bad_values for t in tallies),
        min(t.first_at for t in tallies),
        days,
        events,
        last,
    )


# --- pieces of bytes ------------------------------------------------------------------------------------------


def pieces_of(value: Any) -> Iterator[bytes]:
    """Any value, of our own making, as pieces of bytes for another of our own processes."""
    body = memoryview(pickle.dumps(value, protocol=5))
    for start in range(0, len(body), PIECE_BYTES):
        yield bytes(body[start : start + PIECE_BYTES])


def value_of(pieces: Iterable[bytes]) -> Any:
    """The value of all its pieces, in order."""
    return pickle.loads(b"".join(pieces))  # made by pieces_of, in this very job
