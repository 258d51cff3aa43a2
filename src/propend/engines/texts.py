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
_FIRST_SLOTS, _FIRST_BYTES = 1 << 10, 1 << 14
_PRIME = 0x9E3779B97F4A7C15
BLOCK = 512


class TextCodes:
    """Distinct texts met so far, each with its number."""

    def __init__(self) -> None:
        self._slots = np.full(_FIRST_SLOTS, MISSING, dtype=np.int32)
        self._hashes = np.empty(_FIRST_SLOTS // 2, dtype=np.uint64)
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
                places, letters, given, done, self._slots, self._hashes, self._ends, self._arena, self._count, out
            )
            if done < n:
                self._grow(int(places[-1] - places[done]))
        return out

    def _grow(self, coming: int) -> None:
        """More room: for twice as many texts, and for as many bytes as there are again, or as a batch brings."""
        if 2 * self._count >= len(self._slots) - 2:
            self._slots = np.full(4 * len(self._slots), MISSING, dtype=np.int32)
            self._hashes = np.concatenate([self._hashes, np.empty(3 * len(self._hashes), dtype=np.uint64)])
            self._ends = np.concatenate([self._ends, np.empty(3 * (len(self._ends) - 1), dtype=np.int64)])
            _refill(self._slots, self._hashes, self._count)
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


@numba.njit(cache=True, nogil=True)
def _hash(letters, start, length):  # type: ignore[no-untyped-def]
    """Of whole words and of the last one, which overlaps them; of fewer than eight bytes one by one."""
    eight, found = np.uint64(8), np.uint64(length)
    if length < eight:
        word = np.uint64(0)
        for i in range(length):
            word = word << eight | np.uint64(letters[start + np.uint64(i)])
        found = _mixed(found, word)
    else:
        at = np.uint64(0)
        while at + eight < length:
            found = _mixed(found, _word(letters, start + at))
            at += eight
        found = _mixed(found, _word(letters, start + length - eight))
    return _mixed(_mixed(found, np.uint64(0)), np.uint64(0))


@numba.njit(cache=True, nogil=True)
def _same(arena, begin, letters, start, length):  # type: ignore[no-untyped-def]
    """Whether as many bytes are alike."""
    eight = np.uint64(8)
    if length < eight:
        different = np.uint8(0)
        for i in range(length):
            different |= arena[begin + np.uint64(i)] ^ letters[start + np.uint64(i)]
        return different == 0
    at = np.uint64(0)
    while at + eight < length:
        if _word(arena, begin + at) != _word(letters, start + at):
            return False
        at += eight
    return _word(arena, begin + length - eight) == _word(letters, start + length - eight)


@numba.njit(cache=True, nogil=True)
def _code(places, letters, given, first, slots, hashes, ends, arena, count, out):  # type: ignore[no-untyped-def]
    """Number texts from ``first`` on; gives where it stopped for want of room, and how many texts there are.

    In blocks: first the hashes of all, then the first slot of each, then the texts that stand there. The memory they
    lie in is waited for once per block and not once per text.
    """
    mask = np.uint64(len(slots) - 1)
    found = np.empty(BLOCK, dtype=np.uint64)
    likely = np.empty(BLOCK, dtype=np.int32)
    alike = np.empty(BLOCK, dtype=np.bool_)
    for block in range(first, len(out), BLOCK):
        stop = min(block + BLOCK, len(out))
        for i in range(block, stop):
            start = np.uint64(places[i])
            found[i - block] = _hash(letters, start, np.uint64(places[i + 1]) - start)
        for i in range(stop - block):
            likely[i] = slots[found[i] & mask]
        for i in range(stop - block):
            alike[i] = likely[i] >= 0 and hashes[max(likely[i], 0)] == found[i]
        for i in range(block, stop):
            if not given[i]:
                out[i] = MISSING
                continue
            start, length = np.uint64(places[i]), np.uint64(places[i + 1] - places[i])
            code = likely[i - block]
            if (
                alike[i - block]
                and np.uint64(ends[code + 1] - ends[code]) == length
                and _same(arena, np.uint64(ends[code]), letters, start, length)
            ):
                out[i] = code
                continue
            slot = found[i - block] & mask
            while True:
                code = slots[slot]
                if code < 0:
                    end = ends[count] + np.int64(length)
                    if 2 * count >= len(slots) - 2 or end > len(arena):
                        return i, count
                    code = count
                    slots[slot] = code
                    hashes[code] = found[i - block]
                    arena[ends[code] : end] = letters[places[i] : places[i + 1]]
                    ends[code + 1] = end
                    count += 1
                    break
                if (
                    hashes[code] == found[i - block]
                    and np.uint64(ends[code + 1] - ends[code]) == length
                    and _same(arena, np.uint64(ends[code]), letters, start, length)
                ):
                    break
                slot = (slot + np.uint64(1)) & mask
            out[i] = code
    return len(out), count


@numba.njit(cache=True, nogil=True)
def _refill(slots, hashes, count):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for code in range(count):
        slot = hashes[code] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = code
