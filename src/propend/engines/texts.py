"""Texts as numbers, straight from Arrow's buffers: no Python object per event.

A hash table with open addressing over an arena of bytes, grown as texts come. Numbers are given in the order in which
texts are first met; ``ascending`` gives the order that does not depend on it.
"""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MISSING = -1
LENGTH, FIRST, LAST, HASH = range(4)
"""Words of a text's entry: bytes, the first eight and the last eight of them, and its hash. Half a cache line."""
_FIRST_SLOTS, _FIRST_BYTES = 1 << 10, 1 << 14
_PRIME = 0x9E3779B97F4A7C15
BLOCK = 512


class TextCodes:
    """Distinct texts met so far, each with its number."""

    def __init__(self) -> None:
        self._slots = np.zeros(_FIRST_SLOTS, dtype=np.uint64)
        self._entries = np.empty((_FIRST_SLOTS // 2, 4), dtype=np.uint64)
        self._ends = np.zeros(_FIRST_SLOTS // 2 + 1, dtype=np.int64)
        self._arena = np.empty(_FIRST_BYTES, dtype=np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def codes(self, texts: pa.Array, used: NDArray[np.bool_]) -> NDArray[np.int32]:
        """int32[n]: the number of each text, ``MISSING`` where it is null or not used.

        Args:
            texts: strings.
            used: bool[n]; what is not used is not numbered.
        """
        n = len(texts)
        given = used & ~np.asarray(texts.is_null()) if texts.null_count else used
        _, offsets, data = texts.buffers()
        places = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + n + 1]
        letters = np.frombuffer(data, dtype=np.uint8) if data is not None else np.empty(0, dtype=np.uint8)
        places.flags.writeable = letters.flags.writeable = False  # always, so that one form is compiled
        out = np.empty(n, dtype=np.int32)
        done = 0
        while done < n:
            done, self._count = _code(
                places, letters, given, done, self._slots, self._entries, self._ends, self._arena, self._count, out
            )
            if done < n:
                self._grow(int(places[-1] - places[done]))
        return out

    def _grow(self, coming: int) -> None:
        """More room: for four times as many texts, or for as many bytes as there are again, or as a batch brings."""
        if 2 * self._count >= len(self._slots) - 2:
            self._slots = np.zeros(4 * len(self._slots), dtype=np.uint64)
            more = np.empty((3 * len(self._entries), 4), dtype=np.uint64)
            self._entries = np.concatenate([self._entries, more])
            self._ends = np.concatenate([self._ends, np.empty(3 * (len(self._ends) - 1), dtype=np.int64)])
            _refill(self._slots, self._entries, self._count)
        else:
            self._arena = np.concatenate([self._arena, np.empty(max(len(self._arena), coming), dtype=np.uint8)])

    def texts(self) -> pa.Array:
        """All texts by their numbers."""
        ends, size = self._ends[: self._count + 1], int(self._ends[self._count])
        return pa.LargeStringArray.from_buffers(self._count, pa.py_buffer(ends), pa.py_buffer(self._arena[:size]))

    def encoded(self, first: int) -> list[bytes]:
        """The texts from one number on, as UTF-8."""
        start, arena = int(self._ends[first]), self._arena[self._ends[first] : self._ends[self._count]].tobytes()
        ends = (self._ends[first : self._count + 1] - start).tolist()
        return [arena[a:b] for a, b in itertools.pairwise(ends)]

    def ascending(self) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """The texts in ascending order of their bytes, and int32[len + 1] their places there; the last, of none, -1."""
        encoded = self.encoded(0)
        order = sorted(range(len(encoded)), key=encoded.__getitem__)
        places = np.full(len(encoded) + 1, MISSING, dtype=np.int32)
        places[order] = np.arange(len(order), dtype=np.int32)
        return tuple(encoded[i].decode() for i in order), places


@numba.njit(cache=True, nogil=True, inline="always")
def _word(letters, at):  # type: ignore[no-untyped-def]
    """Eight bytes as a number; places without a sign, so that it is one load and no test."""
    word = np.uint64(letters[at])
    word |= np.uint64(letters[at + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(letters[at + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(letters[at + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(letters[at + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(letters[at + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(letters[at + np.uint64(6)]) << np.uint64(48)
    return word | np.uint64(letters[at + np.uint64(7)]) << np.uint64(56)


@numba.njit(cache=True, nogil=True, inline="always")
def _mixed(found, word):  # type: ignore[no-untyped-def]
    found = (found ^ word) * np.uint64(_PRIME)
    return found ^ (found >> np.uint64(29))


@numba.njit(cache=True, nogil=True, inline="always")
def _edges(letters, start, length):  # type: ignore[no-untyped-def]
    """The first and the last eight bytes as numbers; they overlap in a short text, and one is all of a shorter one."""
    eight = np.uint64(8)
    if length >= eight:
        return _word(letters, start), _word(letters, start + length - eight)
    word = np.uint64(0)
    for i in range(length):
        word = word << eight | np.uint64(letters[start + np.uint64(i)])
    return word, word


@numba.njit(cache=True, nogil=True)
def _hash(letters, start, length, first, last):  # type: ignore[no-untyped-def]
    found = _mixed(_mixed(length, first), last)
    eight = np.uint64(8)
    at = eight
    while at + eight < length:
        found = _mixed(found, _word(letters, start + at))
        at += eight
    return _mixed(_mixed(found, np.uint64(0)), np.uint64(0))


@numba.njit(cache=True, nogil=True)
def _same_middle(arena, begin, letters, start, length):  # type: ignore[no-untyped-def]
    """Whether texts are alike between their first and last eight bytes."""
    different = np.uint8(0)
    for i in range(np.uint64(8), length - np.uint64(8)):
        different |= arena[begin + i] ^ letters[start + i]
    return different == 0


@numba.njit(cache=True, nogil=True)
def _code(places, letters, given, begun, slots, entries, ends, arena, count, out):  # type: ignore[no-untyped-def]
    """Number texts from ``begun`` on; gives where it stopped for want of room, and how many texts there are.

    A slot has the upper half of a hash and, below, a code plus one. In blocks: first the hashes of all, then the first
    slot of each, then the entry it names. The memory they lie in is waited for once per block and not once per text.
    """
    mask, half, low, short = np.uint64(len(slots) - 1), np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(16)
    wanted = np.empty((BLOCK, 4), dtype=np.uint64)
    likely = np.empty(BLOCK, dtype=np.uint64)
    sizes = np.empty(BLOCK, dtype=np.uint64)
    for block in range(begun, len(out), BLOCK):
        stop = min(block + BLOCK, len(out))
        for i in range(block, stop):
            start, length = np.uint64(places[i]), np.uint64(places[i + 1] - places[i])
            first, last = _edges(letters, start, length)
            wanted[i - block, LENGTH], wanted[i - block, FIRST], wanted[i - block, LAST] = length, first, last
            wanted[i - block, HASH] = _hash(letters, start, length, first, last)
        for i in range(stop - block):
            likely[i] = slots[wanted[i, HASH] & mask]
        for i in range(stop - block):
            code = likely[i] & low
            sizes[i] = entries[np.int64(max(code, np.uint64(1))) - 1, LENGTH]
        for i in range(block, stop):
            if not given[i]:
                out[i] = MISSING
                continue
            length, found = wanted[i - block, LENGTH], wanted[i - block, HASH]
            slot, held = found & mask, likely[i - block]
            while True:
                if held == 0:
                    held = slots[slot]  # it may have been taken within this block
                    if held != 0:
                        continue
                    end = ends[count] + np.int64(length)
                    if 2 * count >= len(slots) - 2 or end > len(arena):
                        return i, count
                    slots[slot] = found >> half << half | np.uint64(count + 1)
                    for w in range(4):
                        entries[count, w] = wanted[i - block, w]
                    arena[ends[count] : end] = letters[places[i] : places[i + 1]]
                    ends[count + 1] = end
                    out[i] = count
                    count += 1
                    break
                code = np.int64(held & low) - 1
                if (
                    held >> half == found >> half
                    and entries[code, LENGTH] == length
                    and entries[code, FIRST] == wanted[i - block, FIRST]
                    and entries[code, LAST] == wanted[i - block, LAST]
                    and (
                        length <= short
                        or _same_middle(arena, np.uint64(ends[code]), letters, np.uint64(places[i]), length)
                    )
                ):
                    out[i] = code
                    break
                slot = (slot + np.uint64(1)) & mask
                held = slots[slot]
    return len(out), count


@numba.njit(cache=True, nogil=True)
def _refill(slots, entries, count):  # type: ignore[no-untyped-def]
    mask, half = np.uint64(len(slots) - 1), np.uint64(32)
    for code in range(count):
        found = entries[code, HASH]
        slot = found & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = found >> half << half | np.uint64(code + 1)
