"""The compiled pass over a partition's events: labels and population in one, features in the other.

Everything is integer arithmetic on local microseconds and exact comparisons, in a fixed order, so that
the same events give the same bits on every engine and with any number of threads. Features walk from
the newest event before the cutoff to the oldest in the look-back and read nothing else.
"""

from __future__ import annotations

import numba
import numpy as np

DAY_US = 86_400_000_000
SESSION_GAP_US = 30 * 60 * 1_000_000
SUM_SLACK = 1e-9
"""Sums and means of a goal are compared up to this share of what was added: ten payments of 0.10 do reach 1."""
LARGEST = 1e30
"""What a larger feature is given as: trees refuse infinite ones, and sums of many must fit into a float32."""


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


@numba.njit(cache=True, parallel=True)
def compute_features(  # type: ignore[no-untyped-def]
    offsets, at, kind, bits, value, numbers, texts,
    attribute_offsets, attribute_at, attribute_numbers, attribute_texts,
    row_profile, row_cutoff, windows, table,
    channel_of_kind, channel_of_bit, value_offsets, channel_of_value, n_channels, vocabulary_sizes,
    blocks, out,
):  # fmt: skip
    """Fill ``out[N, F]`` (float32) for rows (profile, cutoff in local microseconds).

    Args:
        windows: int64[B] lengths in days, ascending; the last is the look-back.
        table: int64[F, 4] from ``Plan.table``.
        channel_of_kind: int64[kinds], -1 for none; channel 0 is every event.
        channel_of_bit: int64[64], -1 for none.
        value_offsets: int64[T + 1] into ``channel_of_value`` per text field.
        vocabulary_sizes: int64[T].
        blocks: int64[n + 1] bounds of row ranges worked on in parallel.
    """
    n_bands, n_texts, n_numbers = len(windows), texts.shape[0], numbers.shape[0]
    lookback = windows[n_bands - 1]
    band_of_age = np.empty(lookback, dtype=np.int64)
    band = 0
    for age in range(lookback):
        while age >= windows[band]:
            band += 1
        band_of_age[age] = band
    zero, one = np.uint64(0), np.uint64(1)
    active_bits = zero
    for b in range(64):
        if channel_of_bit[b] >= 0:
            active_bits |= one << np.uint64(b)
    for block in numba.prange(len(blocks) - 1):
        count = np.zeros((n_channels, n_bands), dtype=np.int64)
        total = np.zeros((n_channels, n_bands), dtype=np.float64)
        highest = np.empty((n_channels, n_bands), dtype=np.float64)
        days = np.zeros((n_channels, n_bands), dtype=np.int64)
        valued = np.zeros((n_channels, n_bands), dtype=np.int64)
        latest = np.empty(n_channels, dtype=np.float64)
        newest = np.empty(n_channels, dtype=np.int64)
        oldest = np.empty(n_channels, dtype=np.int64)
        newest_day = np.empty(n_channels, dtype=np.int64)
        oldest_day = np.empty(n_channels, dtype=np.int64)
        gaps = np.zeros(n_channels, dtype=np.int64)
        gap_sum = np.zeros(n_channels, dtype=np.int64)
        gap_squares = np.zeros(n_channels, dtype=np.int64)
        sessions = np.zeros(n_bands, dtype=np.int64)
        distinct = np.zeros((n_texts, n_bands), dtype=np.int64)
        latest_text = np.empty(n_texts, dtype=np.int64)
        number_n = np.zeros(n_numbers, dtype=np.int64)
        number_sum = np.zeros(n_numbers, dtype=np.float64)
        number_latest = np.empty(n_numbers, dtype=np.float64)
        part = np.zeros(4, dtype=np.int64)
        stamp_start = np.zeros(n_texts + 1, dtype=np.int64)
        for t in range(n_texts):
            stamp_start[t + 1] = stamp_start[t] + vocabulary_sizes[t]
        stamps = np.full(stamp_start[n_texts], -1, dtype=np.int64)
        touched = np.empty(66 + n_texts, dtype=np.int64)
        for row in range(blocks[block], blocks[block + 1]):
            p, cutoff = row_profile[row], row_cutoff[row]
            count[:] = 0
            total[:] = 0.0
            highest[:] = -np.inf
            days[:] = 0
            valued[:] = 0
            latest[:] = np.nan
            newest_day[:] = -1
            gaps[:] = 0
            gap_sum[:] = 0
            gap_squares[:] = 0
            sessions[:] = 0
            distinct[:] = 0
            latest_text[:] = -1
            number_n[:] = 0
            number_sum[:] = 0.0
            number_latest[:] = np.nan
            part[:] = 0
            weekend = 0
            times = at[offsets[p] : offsets[p + 1]]
            end = offsets[p] + np.searchsorted(times, cutoff)
            first = offsets[p] + np.searchsorted(times, cutoff - lookback * DAY_US)
            later_at = np.int64(0)
            for e in range(end - 1, first - 1, -1):
                since = cutoff - at[e]
                age = (since - 1) // DAY_US
                b = band_of_age[age]
                x = value[e]
                n_touched = 1
                touched[0] = 0
                c = channel_of_kind[kind[e]]
                if c >= 0:
                    touched[n_touched] = c
                    n_touched += 1
                rest = bits[e] & active_bits
                bit = 0
                while rest != zero:
                    if (rest & one) != zero:
                        touched[n_touched] = channel_of_bit[bit]
                        n_touched += 1
                    rest = rest >> one
                    bit += 1
                for t in range(n_texts):
                    code = texts[t, e]
                    if code < 0:
                        continue
                    if latest_text[t] < 0:
                        latest_text[t] = code
                    place = stamp_start[t] + code
                    if stamps[place] != row:
                        stamps[place] = row
                        distinct[t, b] += 1
                    c = channel_of_value[value_offsets[t] + code]
                    if c >= 0:
                        touched[n_touched] = c
                        n_touched += 1
                for i in range(n_touched):
                    c = touched[i]
                    if newest_day[c] < 0:
                        newest[c] = since
                        newest_day[c] = age
                        days[c, b] += 1
                    elif oldest_day[c] != age:
                        gap = age - oldest_day[c]
                        gaps[c] += 1
                        gap_sum[c] += gap
                        gap_squares[c] += gap * gap
                        days[c, b] += 1
                    oldest[c] = since
                    oldest_day[c] = age
                    count[c, b] += 1
                    if not np.isnan(x):
                        if np.isnan(latest[c]):
                            latest[c] = x
                        valued[c, b] += 1
                        total[c, b] += x
                        highest[c, b] = max(highest[c, b], x)
                for j in range(n_numbers):
                    y = numbers[j, e]
                    if not np.isnan(y):
                        if number_n[j] == 0:
                            number_latest[j] = y
                        number_n[j] += 1
                        number_sum[j] += y
                if e == end - 1 or later_at - at[e] > SESSION_GAP_US:
                    sessions[b] += 1
                later_at = at[e]
                part[((at[e] % DAY_US) * 4) // DAY_US] += 1
                if (at[e] // DAY_US + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
                    weekend += 1
            for b in range(1, n_bands):
                for c in range(n_channels):
                    count[c, b] += count[c, b - 1]
                    valued[c, b] += valued[c, b - 1]
                    total[c, b] += total[c, b - 1]
                    highest[c, b] = max(highest[c, b], highest[c, b - 1])
                    days[c, b] += days[c, b - 1]
                sessions[b] += sessions[b - 1]
                for t in range(n_texts):
                    distinct[t, b] += distinct[t, b - 1]
            attribute_row = -1
            if len(attribute_offsets) > 1:
                known = attribute_at[attribute_offsets[p] : attribute_offsets[p + 1]]
                before = np.searchsorted(known, cutoff)
                if before > 0:
                    attribute_row = attribute_offsets[p] + before - 1
            for f in range(table.shape[0]):
                op, c, w, argument = table[f, 0], table[f, 1], table[f, 2], table[f, 3]
                result = np.nan
                if op == 0:
                    result = float(count[c, w])
                elif op == 1:
                    result = total[c, w]
                elif op == 2:
                    if highest[c, w] > -np.inf:
                        result = highest[c, w]
                elif op == 3:
                    result = float(days[c, w])
                elif op == 4:
                    if newest_day[c] >= 0:
                        result = newest[c] / DAY_US
                elif op == 5:
                    if newest_day[c] >= 0:
                        result = oldest[c] / DAY_US
                elif op == 6:
                    if gaps[c] > 0:
                        result = gap_sum[c] / gaps[c]
                elif op == 7:
                    if gaps[c] > 1:
                        mean = gap_sum[c] / gaps[c]
                        result = np.sqrt(max(gap_squares[c] / gaps[c] - mean * mean, 0.0))
                elif op == 8:
                    if gaps[c] > 0:
                        result = newest_day[c] / (gap_sum[c] / gaps[c])
                elif op == 9:
                    if count[c, argument] > 0:
                        result = count[c, w] / count[c, argument]
                elif op == 10:
                    if valued[c, w] > 0:
                        result = total[c, w] / valued[c, w]
                elif op == 11:
                    result = latest[c]
                elif op == 12:
                    if count[0, w] > 0:
                        result = count[c, w] / count[0, w]
                elif op == 13:
                    result = float(distinct[c, w])
                elif op == 14:
                    if number_n[c] > 0:
                        result = number_sum[c] / number_n[c]
                elif op == 15:
                    result = number_latest[c]
                elif op == 16:
                    result = number_sum[c]
                elif op == 17:
                    if latest_text[c] >= 0:
                        result = 1.0 if latest_text[c] == argument else 0.0
                elif op == 18:
                    if count[0, n_bands - 1] > 0:
                        result = part[argument] / count[0, n_bands - 1]
                elif op == 19:
                    if count[0, n_bands - 1] > 0:
                        result = weekend / count[0, n_bands - 1]
                elif op == 20:
                    result = float(sessions[w])
                elif op == 21:
                    if attribute_row >= 0:
                        result = attribute_numbers[c, attribute_row]
                elif op == 22:
                    if attribute_row >= 0 and attribute_texts[c, attribute_row] >= 0:
                        result = 1.0 if attribute_texts[c, attribute_row] == argument else 0.0
                elif op == 23:
                    if newest_day[c] >= 0:
                        result = float(oldest_day[c] - newest_day[c])
                elif op == 24:
                    result = float(count[c, w] - count[c, argument])
                elif op == 25:
                    if latest_text[c] >= 0:
                        result = float(latest_text[c])
                elif op == 26:
                    if attribute_row >= 0 and attribute_texts[c, attribute_row] >= 0:
                        result = float(attribute_texts[c, attribute_row])
                if result > LARGEST:
                    result = LARGEST
                elif result < -LARGEST:
                    result = -LARGEST
                out[row, f] = result
