"""Events as rows of machine words whose order as numbers is the order of events.

A row is one event: when, its kind and profile, its value, its bits, then numbers and texts. Floats are turned so that
they compare as unsigned integers do, and what is missing is the largest number, so one comparison of words from left to
right is the whole order within a profile, and moving an event is moving a few words that lie together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint64]
AT, KIND, VALUE, BITS, FIELDS = range(5)
"""Words of a row. The kind's has the profile's code in its lower half, which is the same throughout a profile."""
_HALF = np.uint64(32)
_SMALL = 24


@dataclass(frozen=True)
class Layout:
    """How many numbers and texts a row has beside what all have."""

    numbers: int
    texts: int

    @property
    def words(self) -> int:
        """Words of a row; two texts share one."""
        return FIELDS + self.numbers + (self.texts + 1) // 2

    @property
    def first_text(self) -> int:
        """The first word that has texts."""
        return FIELDS + self.numbers

    def place_of_text(self, text: int) -> tuple[int, np.uint64]:
        """The word that has a text's code, and by how many bits it stands above the word's end."""
        return self.first_text + text // 2, np.uint64(0 if text % 2 else 32)


def pack(
    layout: Layout,
    at: NDArray[np.int64],
    profile: NDArray[np.int32],
    kind: NDArray[np.int32],
    value: NDArray[np.float64],
    bits: NDArray[np.uint64],
    numbers: Sequence[NDArray[np.float64]],
    texts: Sequence[NDArray[np.int32]],
    rows: Rows,
) -> Rows:
    """Fill ``rows``, uint64[n, words], with events from their columns, and give it back.

    Codes of -1 and floats that are not numbers are missing.
    """
    rows[:, AT] = at.view(np.uint64)
    rows[:, KIND] = _codes(kind) << _HALF | _codes(profile)
    _turn(_bits_of(value), rows, VALUE)
    rows[:, BITS] = bits
    for i, number in enumerate(numbers):
        _turn(_bits_of(number), rows, FIELDS + i)
    for i in range(0, len(texts), 2):
        low = _codes(texts[i + 1]) if i + 1 < len(texts) else np.uint64(0)
        rows[:, layout.place_of_text(i)[0]] = _codes(texts[i]) << _HALF | low
    return rows


def profiles_of(rows: Rows) -> NDArray[np.int32]:
    """int32[n]: the profile's code of each event."""
    return rows[:, KIND].astype(np.uint32).view(np.int32)


def set_profiles(rows: Rows, profile: NDArray[np.int32]) -> None:
    """Give events other codes of their profiles, int32[n], in place."""
    rows[:, KIND] = rows[:, KIND] >> _HALF << _HALF | _codes(profile)


def kinds_of(rows: Rows) -> NDArray[np.int32]:
    """int32[n]: the kind's code of each event."""
    return (rows[:, KIND] >> _HALF).astype(np.uint32).view(np.int32)


def text_codes(rows: Rows, layout: Layout, text: int) -> NDArray[np.int32]:
    """int32[n]: codes of one text field."""
    word, shift = layout.place_of_text(text)
    return (rows[:, word] >> shift).astype(np.uint32).view(np.int32)


def floats_of(rows: Rows, word: int) -> NDArray[np.float64]:
    """float64[n]: the value or a number, as it was before it was turned."""
    plain = np.empty(len(rows), dtype=np.uint64)
    _turn_back(rows, word, plain)
    return plain.view(np.float64)


def _bits_of(values: NDArray[np.float64]) -> Rows:
    """The bits of floats, always marked as not to be written to, so that one form is compiled."""
    bits = values.view(np.uint64)
    bits.flags.writeable = False
    return bits


def _codes(codes: NDArray[np.int32]) -> Rows:
    return codes.view(np.uint32).astype(np.uint64)


@numba.njit(cache=True, nogil=True)
def _turn(plain, rows, word):  # type: ignore[no-untyped-def]
    """Floats, as the integers of their bits, to integers of the same order; what is not a number comes last.

    0 and -0 are one.
    """
    sign, exponent, every = np.uint64(1 << 63), np.uint64(0x7FF0000000000000), np.uint64(2**64 - 1)
    for i in range(len(plain)):
        x = plain[i]
        if x & ~sign > exponent:
            rows[i, word] = every
        elif x & sign and x != sign:
            rows[i, word] = ~x
        else:
            rows[i, word] = x | sign


@numba.njit(cache=True, nogil=True)
def _turn_back(rows, word, plain):  # type: ignore[no-untyped-def]
    sign, missing, every = np.uint64(1 << 63), np.uint64(0x7FF8000000000000), np.uint64(2**64 - 1)
    for i in range(len(plain)):
        x = rows[i, word]
        if x == every:
            plain[i] = missing
        elif x & sign:
            plain[i] = x ^ sign
        else:
            plain[i] = ~x


@numba.njit(cache=True, nogil=True)
def count_groups(group, starts):  # type: ignore[no-untyped-def]
    """Add to ``starts[g + 1]``, int64[groups + 1], how many there are of each group."""
    for i in range(len(group)):
        starts[group[i] + 1] += 1


@numba.njit(cache=True, nogil=True)
def put_by_group(rows, group, free, out):  # type: ignore[no-untyped-def]
    """Write rows, uint64[n, words], to the next free places of their groups in ``out``, in the order given.

    Args:
        group: int32[n].
        free: int64[groups], the next free place of each, moved on.
    """
    for i in range(len(group)):
        target = free[group[i]]
        free[group[i]] += 1
        for w in range(rows.shape[1]):
            out[target, w] = rows[i, w]


@numba.njit(cache=True, nogil=True)
def recode(rows, kinds, texts, text_starts, first_word):  # type: ignore[no-untyped-def]
    """Replace codes of kinds and texts, in place.

    Args:
        kinds: int32[kinds + 1], what each code becomes; the last element is for what is missing.
        texts: int32, the same for all text fields, end to end.
        text_starts: int64[fields + 1], where each field's begin.
        first_word: the first word with texts; two are in each.
    """
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    n_texts = len(text_starts) - 1
    for i in range(len(rows)):
        word = rows[i, 1]
        code = np.int64(word >> half)
        place = kinds[min(code, len(kinds) - 1)]
        rows[i, 1] = np.uint64(np.uint32(place)) << half | word & low
        for t in range(0, n_texts, 2):
            word = rows[i, first_word + t // 2]
            code = min(np.int64(word >> half), text_starts[t + 1] - text_starts[t] - 1)
            new = np.uint64(np.uint32(texts[text_starts[t] + code])) << half
            if t + 1 < n_texts:
                code = min(np.int64(word & low), text_starts[t + 2] - text_starts[t + 1] - 1)
                new |= np.uint64(np.uint32(texts[text_starts[t + 1] + code]))
            rows[i, first_word + t // 2] = new


@numba.njit(cache=True, nogil=True)
def _before(rows, a, b):  # type: ignore[no-untyped-def]
    for w in range(rows.shape[1]):
        if rows[a, w] != rows[b, w]:
            return rows[a, w] < rows[b, w]
    return False


@numba.njit(cache=True, nogil=True)
def _sorted_positions(rows, first, end):  # type: ignore[no-untyped-def]
    """Positions first..end in the order of their rows: short runs by insertion, merged from the bottom up."""
    n = end - first
    order = np.arange(first, end)
    for start in range(0, n, _SMALL):
        for i in range(start + 1, min(start + _SMALL, n)):
            moved = order[i]
            j = i
            while j > start and _before(rows, moved, order[j - 1]):
                order[j] = order[j - 1]
                j -= 1
            order[j] = moved
    other = np.empty_like(order)
    width = _SMALL
    while width < n:
        for start in range(0, n, 2 * width):
            middle, stop = min(start + width, n), min(start + 2 * width, n)
            left, right = start, middle
            for place in range(start, stop):
                if right >= stop or (left < middle and not _before(rows, order[right], order[left])):
                    other[place] = order[left]
                    left += 1
                else:
                    other[place] = order[right]
                    right += 1
        order, other = other, order
        width *= 2
    return order


@numba.njit(cache=True, nogil=True)
def sort_within(rows, starts, copies):  # type: ignore[no-untyped-def]
    """Sort each profile's rows in place.

    Args:
        rows: uint64[n, words], profile by profile.
        starts: int64[profiles + 1].
        copies: int64[profiles], filled with the number of rows of each that equal another before them.
    """
    for p in range(len(starts) - 1):
        first, end = starts[p], starts[p + 1]
        for i in range(first + 1, end):
            if _before(rows, i, i - 1):
                order = _sorted_positions(rows, first, end)
                moved = np.empty((end - first, rows.shape[1]), dtype=rows.dtype)
                for j in range(end - first):
                    for w in range(rows.shape[1]):
                        moved[j, w] = rows[order[j], w]
                for j in range(end - first):
                    for w in range(rows.shape[1]):
                        rows[first + j, w] = moved[j, w]
                break
        same = 0
        for i in range(first + 1, end):
            same += not _before(rows, i - 1, i)
        copies[p] = same


@numba.njit(cache=True, nogil=True)
def count_kinds(starts, kind, events, profiles):  # type: ignore[no-untyped-def]
    """Add events, and profiles with any, per kind: int64[kinds] each."""
    seen = np.full(len(events), -1, dtype=np.int64)
    for p in range(len(starts) - 1):
        for e in range(starts[p], starts[p + 1]):
            events[kind[e]] += 1
            if seen[kind[e]] != p:
                seen[kind[e]] = p
                profiles[kind[e]] += 1


@numba.njit(cache=True, nogil=True)
def count_days(at, used, day_us, events, last):  # type: ignore[no-untyped-def]
    """Add events per day since 1970, and raise the latest time of each day: int64[days] each."""
    for i in range(len(at)):
        if used[i]:
            day = at[i] // day_us
            events[day] += 1
            last[day] = max(last[day], at[i] - day * day_us)
