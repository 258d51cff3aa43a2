"""The compiled passes that evaluate lines (goal, eligibility, exits) and count what a plan is made from.

Integer arithmetic on local microseconds and exact comparisons, in a fixed order, so that the same events give the
same bits on every engine and with any number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

DAY_US = 86_400_000_000
SUM_SLACK = 1e-9
"""Sums and means of a goal are compared up to this share of what was added: ten payments of 0.10 do reach 1."""


@numba.njit(cache=True, inline="never")
def _meets(code, threshold, x, slack):  # type: ignore[no-untyped-def]
    """Whether ``x`` lies within a bound; what differs by no more than ``slack`` is equal."""
    if code == 0:
        return x >= threshold - slack
    if code == 1:
        return x <= threshold + slack
    if code == 2:
        return x > threshold + slack
    if code == 3:
        return x < threshold - slack
    return abs(x - threshold) <= slack


@numba.njit(cache=True)
def _distinct(codes, first, end, bits, bit):  # type: ignore[no-untyped-def]
    found = np.empty(end - first, dtype=np.int32)
    n = 0
    for e in range(first, end):
        if codes[e] >= 0 and (bit < 0 or (bits[e] >> np.uint64(bit)) & np.uint64(1)):
            found[n] = codes[e]
            n += 1
    found[:n].sort()
    distinct = 0
    for i in range(n):
        if i == 0 or found[i] != found[i - 1]:
            distinct += 1
    return distinct


@numba.njit(cache=True)
def _follows(at, bits, first, end, sequence):  # type: ignore[no-untyped-def]
    """Whether the bits of ``sequence`` occur one strictly after another in events first..end."""
    step, after = 0, np.iinfo(np.int64).min
    for e in range(first, end):
        bit = sequence[step]
        if at[e] > after and (bit < 0 or (bits[e] >> np.uint64(bit)) & np.uint64(1)):
            after = at[e]
            step += 1
            if step == len(sequence):
                return True
    return False


@numba.njit(cache=True)
def _happened(bits, first, end, bit, low, high):  # type: ignore[no-untyped-def]
    """Whether events first..end have ``bit`` (-1 is any event) between low and high times."""
    if bit < 0:
        return low <= end - first <= high
    n = 0
    for e in range(first, end):
        if (bits[e] >> np.uint64(bit)) & np.uint64(1):
            n += 1
            if n > high:
                return False
            if n >= low and high == np.inf:
                return True
    return n >= low


@numba.njit(cache=True)
def _atom(atom, bound, at, bits, numbers, texts, first, end, sequence):  # type: ignore[no-untyped-def]
    """Whether one atom holds over the events first..end of a profile."""
    aggregate, bit, field = atom[0], atom[1], atom[4]
    if aggregate == 0:
        return _happened(bits, first, end, bit, bound[1], bound[2])
    if aggregate == 6:
        return _follows(at, bits, first, end, sequence[atom[5] : atom[6]])
    if aggregate == 5:
        return _meets(bound[0], bound[1], float(_distinct(texts[field], first, end, bits, bit)), 0.0)
    n, total, size, highest, lowest = 0, 0.0, 0.0, -np.inf, np.inf
    for e in range(first, end):
        if bit >= 0 and not (bits[e] >> np.uint64(bit)) & np.uint64(1):
            continue
        x = numbers[field, e]
        if np.isnan(x):
            continue
        n += 1
        total += x
        size += abs(x)
        highest = max(highest, x)
        lowest = min(lowest, x)
    slack = SUM_SLACK * size
    if aggregate == 1:
        return _meets(bound[0], bound[1], total, slack)
    if n == 0:
        return False
    if aggregate == 2:
        return _meets(bound[0], bound[1], total / n, slack / n)
    return _meets(bound[0], bound[1], highest if aggregate == 3 else lowest, 0.0)


@numba.njit(cache=True, parallel=True)
def evaluate_lines(  # type: ignore[no-untyped-def]
    offsets, at, bits, numbers, texts, cutoffs, atoms, bounds, steps, line_offsets, sequence, out
):
    """Fill ``out[P, K]`` (uint64): bit ``j`` says whether line ``j`` holds for profile p at cutoff k.

    ``cutoffs`` are local microseconds. An atom's window is ``[cutoff + start, cutoff + end)``.
    """
    for p in numba.prange(len(offsets) - 1):
        stack = np.empty(len(steps) + 1, dtype=np.bool_)
        times = at[offsets[p] : offsets[p + 1]]
        for k in range(len(cutoffs)):
            mask = np.uint64(0)
            for line in range(len(line_offsets) - 1):
                top = 0
                for s in range(line_offsets[line], line_offsets[line + 1]):
                    operation, argument = steps[s, 0], steps[s, 1]
                    if operation == 0:
                        start = cutoffs[k] + atoms[argument, 2] * DAY_US
                        end = cutoffs[k] + atoms[argument, 3] * DAY_US
                        first = offsets[p] + np.searchsorted(times, start)
                        last = offsets[p] + np.searchsorted(times, end)
                        stack[top] = _atom(
                            atoms[argument], bounds[argument], at, bits, numbers, texts, first, last, sequence
                        )
                        top += 1
                        continue
                    met = 0
                    for i in range(top - argument, top):
                        met += stack[i]
                    top -= argument
                    if operation == 1:
                        stack[top] = met == argument
                    elif operation == 2:
                        stack[top] = met > 0
                    elif operation == 3:
                        stack[top] = met == 0
                    else:
                        stack[top] = met < argument
                    top += 1
                if stack[top - 1]:
                    mask |= np.uint64(1) << np.uint64(line)
            out[p, k] = mask


@numba.njit(cache=True)
def count_past(  # type: ignore[no-untyped-def]
    offsets, at, kind, bits, value, texts, start, limit, value_offsets,
    kind_profiles, bit_profiles, value_profiles, bit_events, valued_kinds, valued_bits, whole,
):  # fmt: skip
    """Add to the counts what a partition's events from ``start`` and before ``limit`` (local microseconds) hold.

    Args:
        value_offsets: int64[T + 1], where each text field's values begin in ``value_profiles``.
        kind_profiles, bit_profiles, value_profiles: int64, profiles with an event of each kind, bit and value.
        bit_events: int64[64], events of each bit.
        valued_kinds, valued_bits: int64, events of each kind and bit that have a value.
        whole: int64[3]: profiles, events, events that have a time of day.
    """
    seen_kind = np.full(len(kind_profiles), -1, dtype=np.int64)
    seen_bit = np.full(64, -1, dtype=np.int64)
    seen_value = np.full(len(value_profiles), -1, dtype=np.int64)
    zero, one = np.uint64(0), np.uint64(1)
    for p in range(len(offsets) - 1):
        times = at[offsets[p] : offsets[p + 1]]
        first = offsets[p] + np.searchsorted(times, start)
        end = offsets[p] + np.searchsorted(times, limit)
        whole[0] += end > first
        whole[1] += end - first
        for e in range(first, end):
            k = kind[e]
            has_value = not np.isnan(value[e])
            whole[2] += at[e] % DAY_US != 0
            valued_kinds[k] += has_value
            if seen_kind[k] != p:
                seen_kind[k] = p
                kind_profiles[k] += 1
            rest = bits[e]
            b = 0
            while rest != zero:
                if rest & one != zero:
                    bit_events[b] += 1
                    valued_bits[b] += has_value
                    if seen_bit[b] != p:
                        seen_bit[b] = p
                        bit_profiles[b] += 1
                rest = rest >> one
                b += 1
            for t in range(texts.shape[0]):
                if texts[t, e] >= 0:
                    place = value_offsets[t] + texts[t, e]
                    if seen_value[place] != p:
                        seen_value[place] = p
                        value_profiles[place] += 1
