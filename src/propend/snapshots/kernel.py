"""The compiled pass over a partition's events that fills the features: a profile's events are visited once.

However many cutoffs are asked for, each event is seen once, in the order of time (``_visit``). What a feature needs of
a cutoff is then read off at *marks*: the places among a profile's events where a window of some cutoff begins or ends.
How many events of a channel a window has is the difference between what came before its two marks, and so are active
days, sessions and whatever else is counted: exact, for these are whole numbers. Cost grows with events, with marks (no
more than events) and with what is written. Sums of amounts are no whole numbers: they are added per window, from the
newest event to the oldest, so that they do not depend on the other cutoffs.

Windows begin and end at midnights, and end at a cutoff: nothing from there on is counted in any feature.
All is integer arithmetic and additions in a fixed order: the same events give the same bits on every engine and with
any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

DAY_US = 86_400_000_000
SESSION_GAP_US = 30 * 60 * 1_000_000
LARGEST = 1e30
"""What a larger feature is given as: trees refuse infinite ones, and sums of many must fit into a float32."""
AT_ONCE = 64
"""So many cutoffs of a profile are described together at the most: what they share stays in the nearest cache."""

# the members of ``plan.Op``, by number: a compiled function is cached with the constants of its own file only
COUNT, SUM, MAX, ACTIVE_DAYS, DAYS_SINCE_LAST, DAYS_SINCE_FIRST, GAP_MEAN, GAP_DEVIATION, OVERDUE = range(9)
TREND, VALUE_MEAN, VALUE_LAST, SHARE, DISTINCT, NUMBER_MEAN, NUMBER_LAST, NUMBER_SUM, TEXT_LAST_IS = range(9, 18)
PART_OF_DAY, WEEKEND, SESSIONS, ATTRIBUTE_NUMBER, ATTRIBUTE_TEXT_IS, REPEAT_SPAN = range(18, 24)
COUNT_BETWEEN, TEXT_LAST, ATTRIBUTE_TEXT, OPS = range(24, 28)

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Index = NDArray[np.uint32]
Floats = NDArray[np.float64]


class Events(NamedTuple):
    """The events of a partition (``events.Partition``)."""

    offsets: Ints
    at: Ints
    kind: Small
    bits: NDArray[np.uint64]
    value: Floats
    numbers: Floats
    texts: Small


class Facts(NamedTuple):
    """The attributes of the same profiles (``events.AttributeRows``); one offset if there are none."""

    offsets: Ints
    at: Ints
    numbers: Floats
    texts: Small


class Routes(NamedTuple):
    """Which channel an event belongs to, by its kind, its bits and its values; channel 0 is every event.

    Attributes:
        of_kind: int64[kinds], -1 for none.
        of_bit: int64[64], -1 for none.
        value_offsets: int64[T + 1] into ``of_value`` per text field.
        of_value: int64[values], -1 for none.
        active_bits, texts: the bits, and int64 the text fields, that have a channel.
        channels: how many there are.
    """

    of_kind: Ints
    of_bit: Ints
    value_offsets: Ints
    of_value: Ints
    active_bits: np.uint64
    texts: Ints
    channels: int


class Asked(NamedTuple):
    """The features, in the order of their aggregates.

    Attributes:
        windows: int64[W] lengths in days, ascending; the last is the look-back.
        ops: int64[OPS + 1], those of aggregate ``op`` are ``ops[op]:ops[op + 1]``.
        column: uint32[F] where each is written.
        place: uint32[F] channel, field or attribute.
        window: uint32[F] position in ``windows``.
        argument: int64[F] second window, quarter of the day, or code of a value.
        amounts, rhythms: int64 channels with a feature of their values, and of the days between active ones.
    """

    windows: Ints
    ops: Ints
    column: Index
    place: Index
    window: Index
    argument: Ints
    amounts: Ints
    rhythms: Ints


def asked_for(windows: Ints, table: Ints) -> Asked:
    """Features ready for the kernel.

    Args:
        windows: int64[W] lengths in days, ascending; the last is the look-back.
        table: int64[F, 4]: op, channel or field, position of the window, argument.
    """
    order = np.lexsort((table[:, 2], table[:, 1], table[:, 0]))
    op, place, window, argument = table[order].T
    amounts = np.unique(place[np.isin(op, (SUM, MAX, VALUE_MEAN, VALUE_LAST))])
    rhythms = np.unique(place[np.isin(op, (GAP_MEAN, GAP_DEVIATION, OVERDUE, REPEAT_SPAN))])
    ops = np.searchsorted(op, np.arange(OPS + 1))
    column, place, window = (x.astype(np.uint32) for x in (order, place, window))
    return Asked(windows, ops, column, place, window, argument.copy(), amounts, rhythms)


class _Marks(NamedTuple):
    """Where the windows of some cutoffs begin and end among a profile's events.

    Attributes:
        begins: int64[W, AT_ONCE], mark at which each window of each cutoff begins.
        ends: int64[AT_ONCE], mark of each cutoff.
        position: int64, how many events come before each mark.
        of: int64[events + 1], mark at each position; -1 for none.
    """

    begins: Ints
    ends: Ints
    position: Ints
    of: Ints


class _Before(NamedTuple):
    """What came before each mark: events, active days and amounts per channel, and habits (``_clock``)."""

    events: Small
    days: Small
    amounts: Small
    habits: Ints


class _Lists(NamedTuple):
    """The events of each channel, oldest first, those of channel c from ``c * n`` on, with n the profile's events.

    Attributes:
        event: which of the profile's.
        squares: of the days between one active day and the next, added up from some origin.
        amount: of those that have one, without gaps.
    """

    event: Small
    squares: Ints
    amount: Floats


class _Tally(NamedTuple):
    """Per channel, while events are visited: events, active days, amounts, the newest day and the sum of squares.

    Attributes:
        told: int64, channels of the event at hand.
    """

    events: Small
    days: Small
    amounts: Small
    newest: Ints
    squares: Ints
    told: Ints


class _Windows(NamedTuple):
    """What each window [W] of the cutoff at hand has of each channel [C]."""

    events: Small
    days: Small
    total: Floats
    highest: Floats


class _Gaps(NamedTuple):
    """Days between active days per channel: how many gaps, their sum, mean and squares; days since the newest."""

    number: Ints
    span: Floats
    mean: Floats
    squares: Ints
    since: Ints


class _Same(NamedTuple):
    """Events with the same value: the previous and the following one of each; where a value was met last."""

    previous: Ints
    following: Ints
    last: Ints


@numba.njit(cache=True, parallel=True)
def compute_features(events, facts, routes, asked, row_profile, row_day, blocks, out):  # type: ignore[no-untyped-def]
    """Fill ``out[N, F]`` (float32) for rows (profile, cutoff as day number).

    Rows of one profile that stand together in the order of time share one visit of its events.

    Args:
        blocks: int64[n + 1] bounds of row ranges worked on in parallel.
    """
    for block in numba.prange(len(blocks) - 1):
        _describe(events, facts, routes, asked, row_profile, row_day, blocks[block], blocks[block + 1], out)


@numba.njit(cache=True, error_model="numpy")
def _describe(events, facts, routes, asked, row_profile, row_day, row, last_row, out):  # type: ignore[no-untyped-def]
    """Describe the rows from ``row`` to before ``last_row``."""
    largest = 0
    for r in range(row, last_row):
        largest = max(largest, events.offsets[row_profile[r] + 1] - events.offsets[row_profile[r]])
    lookback, shape = asked.windows[-1], (len(asked.windows), routes.channels)
    most_marks = min(largest + 1, AT_ONCE * (shape[0] + 1))
    marks = _Marks(
        np.empty((shape[0], AT_ONCE), np.int64), np.empty(AT_ONCE, np.int64),
        np.empty(most_marks, np.int64), np.empty(largest + 1, np.int64),
    )  # fmt: skip
    at_marks = (most_marks, shape[1])
    before = _Before(
        np.empty(at_marks, np.int32), np.empty(at_marks, np.int32), np.empty(at_marks, np.int32),
        np.empty((most_marks, 6), np.int64),
    )  # fmt: skip
    room = largest * shape[1]  # most of it is never touched, and takes no memory
    lists = _Lists(
        np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room if len(asked.amounts) else 0, np.float64)
    )
    tally = _Tally(
        np.empty(shape[1], np.int32), np.empty(shape[1], np.int32), np.empty(shape[1], np.int32),
        np.empty(shape[1], np.int64), np.empty(shape[1], np.int64), np.empty(67 + len(routes.texts), np.int64),
    )  # fmt: skip
    windows = _Windows(np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape), np.empty(shape))
    gaps = _Gaps(
        np.zeros(shape[1], np.int64), np.empty(shape[1]), np.empty(shape[1]),
        np.zeros(shape[1], np.int64), np.zeros(shape[1], np.int64),
    )  # fmt: skip
    same = _Same(
        np.empty(largest, np.int64), np.empty(largest, np.int64), np.full(routes.value_offsets[-1], -1, np.int64)
    )
    day, latest = np.empty(largest, np.int64), np.empty(AT_ONCE, np.int64)
    while row < last_row:
        end = _end_of_visit(row_profile, row_day, row, last_row)
        p, cutoffs, own = row_profile[row], row_day[row:end], out[row:end]
        times = events.at[events.offsets[p] : events.offsets[p + 1]]
        start = events.offsets[p] + np.searchsorted(times, (cutoffs[0] - lookback) * DAY_US)
        n = events.offsets[p] + np.searchsorted(times, cutoffs[-1] * DAY_US) - start
        for i in range(n):
            day[i] = events.at[start + i] // DAY_US
        n_marks = _mark(day[:n], cutoffs, asked.windows, marks)
        _visit(events, routes, len(asked.amounts) > 0, start, day[:n], marks.position[:n_marks], tally, before, lists)
        _counts(asked, marks, before, windows, own)
        _rhythm(asked, marks, before, lists, cutoffs, events.at[start : start + n], day, gaps, own)
        _amounts(asked, marks, before, lists, n, windows, own)
        _numbers(asked, marks, events.numbers, start, own)
        _distinct(asked, marks, events.texts, start, n, routes.value_offsets, same, own)
        _last_texts(asked, marks, events.texts, start, latest, own)
        _clock(asked, marks, events.at[start : start + n], day, n_marks, before.habits, own)
        if len(facts.offsets) > 1:
            _attributes(asked, facts, p, cutoffs, own)
        row = end


@numba.njit(cache=True, error_model="numpy")
def _end_of_visit(row_profile, row_day, row, last_row):  # type: ignore[no-untyped-def]
    """The end of the rows that one visit is enough for: of one profile, in the order of time."""
    end = row + 1
    last = min(last_row, row + AT_ONCE)
    while end < last and row_profile[end] == row_profile[row] and row_day[end] >= row_day[end - 1]:
        end += 1
    return end


@numba.njit(cache=True, error_model="numpy")
def _mark(day, cutoffs, windows, marks):  # type: ignore[no-untyped-def]
    """Set the marks among events of these days; gives how many there are."""
    n, begins, ends, of = len(day), marks.begins, marks.ends, marks.of
    of[: n + 1] = -1
    end = 0
    for k in range(len(cutoffs)):
        while end < n and day[end] < cutoffs[k]:
            end += 1
        ends[k] = end
        of[end] = 0
        begin = 0
        for w in range(len(windows) - 1, -1, -1):
            if k > 0:
                begin = max(begin, begins[w, k - 1])
            while begin < end and day[begin] < cutoffs[k] - windows[w]:
                begin += 1
            begins[w, k] = begin
            of[begin] = 0
    n_marks = 0
    for i in range(n + 1):
        if of[i] == 0:
            of[i] = n_marks
            marks.position[n_marks] = i
            n_marks += 1
    for k in range(len(cutoffs)):
        ends[k] = of[ends[k]]
        for w in range(len(windows)):
            begins[w, k] = of[begins[w, k]]
    return n_marks


@numba.njit(cache=True, error_model="numpy")
def _visit(events, routes, amounts, start, day, position, tally, before, lists):  # type: ignore[no-untyped-def]
    """The one visit: tell every event's channels, and note at every mark what came before it.

    Args:
        amounts: whether any feature is of values.
    """
    n, channels, told = len(day), routes.channels, tally.told
    zero, one = np.uint64(0), np.uint64(1)
    for c in range(channels):
        tally.events[c], tally.days[c], tally.amounts[c], tally.newest[c], tally.squares[c] = 0, 0, 0, -1, 0
    mark = 0
    for i in range(n + 1):
        if mark < len(position) and position[mark] == i:
            for c in range(channels):  # three loops: compilers copy many numbers at a time from one place to another
                before.events[mark, c] = tally.events[c]
            for c in range(channels):
                before.days[mark, c] = tally.days[c]
            if amounts:
                for c in range(channels):
                    before.amounts[mark, c] = tally.amounts[c]
            mark += 1
        if i == n:
            break
        # branches that nobody can foresee cost more than a store: what is no channel is overwritten by the next
        told[0], n_told = 0, 1
        told[n_told] = routes.of_kind[events.kind[start + i]]
        n_told += told[n_told] >= 0
        rest, bit = events.bits[start + i] & routes.active_bits, 0
        while rest != zero:
            told[n_told] = routes.of_bit[bit]
            n_told += rest & one != zero
            rest >>= one
            bit += 1
        for t in routes.texts:
            code = events.texts[t, start + i]
            if code >= 0:
                told[n_told] = routes.of_value[routes.value_offsets[t] + code]
                n_told += told[n_told] >= 0
        today, amount = day[i], events.value[start + i]
        for j in range(n_told):
            own = np.uint32(told[j])
            gap, nth = today - tally.newest[own], tally.events[own]
            squares = tally.squares[own] + gap * gap
            tally.newest[own], tally.events[own], tally.squares[own] = today, nth + 1, squares
            tally.days[own] += gap != 0
            lists.event[own * n + nth], lists.squares[own * n + nth] = i, squares
        if amounts and not np.isnan(amount):
            for j in range(n_told):
                own = np.uint32(told[j])
                lists.amount[own * n + tally.amounts[own]] = amount
                tally.amounts[own] += 1


@numba.njit(cache=True, error_model="numpy")
def _bounded(x):  # type: ignore[no-untyped-def]
    if x > LARGEST:
        return LARGEST
    if x < -LARGEST:
        return -LARGEST
    return x


@numba.njit(cache=True, error_model="numpy")
def _counts(asked, marks, before, windows, out):  # type: ignore[no-untyped-def]
    """How often, on how many days, and what follows from that."""
    ops, column, place, window, argument = asked.ops, asked.column, asked.place, asked.window, asked.argument
    count, days = windows.events, windows.days
    for k in range(len(out)):
        end = marks.ends[k]
        for w in range(len(asked.windows)):
            begin = marks.begins[w, k]
            for c in range(count.shape[1]):
                count[w, c] = before.events[end, c] - before.events[begin, c]
            for c in range(count.shape[1]):
                days[w, c] = before.days[end, c] - before.days[begin, c]
        for i in range(ops[COUNT], ops[COUNT + 1]):
            out[k, column[i]] = count[window[i], place[i]]
        for i in range(ops[ACTIVE_DAYS], ops[ACTIVE_DAYS + 1]):
            out[k, column[i]] = days[window[i], place[i]]
        for i in range(ops[COUNT_BETWEEN], ops[COUNT_BETWEEN + 1]):
            out[k, column[i]] = count[window[i], place[i]] - count[argument[i], place[i]]
        for i in range(ops[TREND], ops[TREND + 1]):
            longer = count[argument[i], place[i]]
            out[k, column[i]] = count[window[i], place[i]] / longer if longer > 0 else np.nan
        for i in range(ops[SHARE], ops[SHARE + 1]):
            everything = count[window[i], 0]
            out[k, column[i]] = count[window[i], place[i]] / everything if everything > 0 else np.nan


@numba.njit(cache=True, error_model="numpy")
def _rhythm(asked, marks, before, lists, cutoffs, at, day, gaps, out):  # type: ignore[no-untyped-def]
    """The first and the last event of the look-back, and the days between active days."""
    n, ops, column, place = len(at), asked.ops, asked.column, asked.place
    for k in range(len(out)):
        begin, end = marks.begins[len(asked.windows) - 1, k], marks.ends[k]
        now = cutoffs[k] * DAY_US
        for i in range(ops[DAYS_SINCE_LAST], ops[DAYS_SINCE_LAST + 1]):
            c, result = place[i], np.nan
            if before.events[end, c] > before.events[begin, c]:
                result = (now - at[lists.event[c * n + before.events[end, c] - 1]]) / DAY_US
            out[k, column[i]] = result
        for i in range(ops[DAYS_SINCE_FIRST], ops[DAYS_SINCE_FIRST + 1]):
            c, result = place[i], np.nan
            if before.events[end, c] > before.events[begin, c]:
                result = (now - at[lists.event[c * n + before.events[begin, c]]]) / DAY_US
            out[k, column[i]] = result
        for c in asked.rhythms:
            gaps.span[c], gaps.mean[c], gaps.number[c] = np.nan, np.nan, 0
            if before.events[end, c] > before.events[begin, c]:
                first, last = c * n + before.events[begin, c], c * n + before.events[end, c] - 1
                gaps.number[c] = before.days[end, c] - before.days[begin, c] - 1
                gaps.span[c] = day[lists.event[last]] - day[lists.event[first]]
                gaps.since[c] = cutoffs[k] - 1 - day[lists.event[last]]
                gaps.squares[c] = lists.squares[last] - lists.squares[first]
                if gaps.number[c] > 0:
                    gaps.mean[c] = gaps.span[c] / gaps.number[c]
        for i in range(ops[GAP_MEAN], ops[GAP_MEAN + 1]):
            out[k, column[i]] = gaps.mean[place[i]]
        for i in range(ops[GAP_DEVIATION], ops[GAP_DEVIATION + 1]):
            c, result = place[i], np.nan
            if gaps.number[c] > 1:
                result = np.sqrt(max(gaps.squares[c] / gaps.number[c] - gaps.mean[c] * gaps.mean[c], 0.0))
            out[k, column[i]] = result
        for i in range(ops[OVERDUE], ops[OVERDUE + 1]):
            out[k, column[i]] = gaps.since[place[i]] / gaps.mean[place[i]]
        for i in range(ops[REPEAT_SPAN], ops[REPEAT_SPAN + 1]):
            out[k, column[i]] = gaps.span[place[i]]


@numba.njit(cache=True, error_model="numpy")
def _amounts(asked, marks, before, lists, n, windows, out):  # type: ignore[no-untyped-def]
    """Sums, maxima, means and the latest of the values of a channel's events."""
    ops, column, place, window, n_windows = asked.ops, asked.column, asked.place, asked.window, len(asked.windows)
    if len(asked.amounts) == 0:
        return
    total, highest = windows.total, windows.highest
    for k in range(len(out)):
        for c in asked.amounts:
            end = c * n + before.amounts[marks.ends[k], c]
            added, high = 0.0, -np.inf
            for w in range(n_windows):
                begin, band = c * n + before.amounts[marks.begins[w, k], c], 0.0
                for i in range(end - 1, begin - 1, -1):
                    band += lists.amount[i]
                    high = max(high, lists.amount[i])
                added += band
                total[w, c], highest[w, c], end = added, high, begin
        for i in range(ops[SUM], ops[SUM + 1]):
            out[k, column[i]] = _bounded(total[window[i], place[i]])
        for i in range(ops[MAX], ops[MAX + 1]):
            high = highest[window[i], place[i]]
            out[k, column[i]] = _bounded(high) if high > -np.inf else np.nan
        for op in (VALUE_MEAN, VALUE_LAST):
            for i in range(ops[op], ops[op + 1]):
                c, result = place[i], np.nan
                last = before.amounts[marks.ends[k], c]
                size = last - before.amounts[marks.begins[window[i], k], c]
                if size > 0:
                    result = total[window[i], c] / size if op == VALUE_MEAN else lists.amount[c * n + last - 1]
                out[k, column[i]] = _bounded(result)


@numba.njit(cache=True, error_model="numpy")
def _numbers(asked, marks, numbers, start, out):  # type: ignore[no-untyped-def]
    """Mean, latest and total of numeric fields."""
    for op in (NUMBER_MEAN, NUMBER_LAST, NUMBER_SUM):
        for j in range(asked.ops[op], asked.ops[op + 1]):
            for k in range(len(out)):
                first, end = marks.position[marks.begins[asked.window[j], k]], marks.position[marks.ends[k]]
                size, total, latest = 0, 0.0, np.nan
                for i in range(end - 1, first - 1, -1):
                    number = numbers[asked.place[j], start + i]
                    if not np.isnan(number):
                        if size == 0:
                            latest = number
                        size += 1
                        total += number
                if op == NUMBER_MEAN:
                    total = total / size if size > 0 else np.nan
                out[k, asked.column[j]] = _bounded(latest if op == NUMBER_LAST else total)


@numba.njit(cache=True, error_model="numpy")
def _distinct(asked, marks, texts, start, n, value_offsets, same, out):  # type: ignore[no-untyped-def]
    """How many different values of a text field windows have.

    An event counts while the one before it with the same value is not in the window, too. As the window moves on, its
    newest events come in and its oldest go out.
    """
    ops, position, previous, following = asked.ops, marks.position, same.previous, same.following
    for j in range(ops[DISTINCT], ops[DISTINCT + 1]):
        t, w = asked.place[j], asked.window[j]
        if j == ops[DISTINCT] or t != asked.place[j - 1]:
            for i in range(n):
                code = texts[t, start + i]
                if code < 0:
                    previous[i], following[i] = n, -1  # never counts
                    continue
                earlier = same.last[value_offsets[t] + code] - start
                same.last[value_offsets[t] + code] = start + i
                previous[i], following[i] = -1, n
                if 0 <= earlier < i:  # else it is another profile's, or left by another visit
                    previous[i], following[earlier] = earlier, i
        low = position[marks.begins[w, 0]]
        high, different = low, 0
        for k in range(len(out)):
            begin, end = position[marks.begins[w, k]], position[marks.ends[k]]
            for i in range(high, end):
                different += previous[i] < low
            for i in range(low, begin):
                different -= following[i] >= end
            low, high = begin, end
            out[k, asked.column[j]] = different


@numba.njit(cache=True, error_model="numpy")
def _last_texts(asked, marks, texts, start, latest, out):  # type: ignore[no-untyped-def]
    """The latest value of text fields."""
    for op in (TEXT_LAST_IS, TEXT_LAST):
        for j in range(asked.ops[op], asked.ops[op + 1]):
            t, w = asked.place[j], asked.window[j]
            if j == asked.ops[op] or t != asked.place[j - 1]:
                begin = 0
                for k in range(len(out)):
                    end = marks.position[marks.ends[k]]
                    i = end - 1
                    while i >= begin and texts[t, start + i] < 0:
                        i -= 1
                    latest[k] = i if i >= begin else latest[k - 1] if k > 0 else -1
                    begin = end
            for k in range(len(out)):
                result = np.nan
                if latest[k] >= marks.position[marks.begins[w, k]]:
                    code = texts[t, start + latest[k]]
                    result = float(code if op == TEXT_LAST else code == asked.argument[j])
                out[k, asked.column[j]] = result


@numba.njit(cache=True, error_model="numpy")
def _clock(asked, marks, at, day, n_marks, habits, out):  # type: ignore[no-untyped-def]
    """Quarters of the day, weekends and sessions.

    Args:
        habits: int64[marks, 6], filled: events before each mark in each quarter of the day and at weekends, and
            sessions begun.
    """
    n, ops, position = len(at), asked.ops, marks.position
    if ops[SESSIONS + 1] == ops[PART_OF_DAY]:
        return
    before_six, before_noon, before_eighteen, weekend, sessions, mark = 0, 0, 0, 0, 0, 0
    for i in range(n + 1):
        if mark < n_marks and position[mark] == i:
            habits[mark, 0], habits[mark, 1] = before_six, before_noon - before_six
            habits[mark, 2], habits[mark, 3] = before_eighteen - before_noon, i - before_eighteen
            habits[mark, 4], habits[mark, 5] = weekend, sessions
            mark += 1
        if i < n:
            time = at[i] - day[i] * DAY_US
            before_six += time < DAY_US // 4
            before_noon += time < DAY_US // 2
            before_eighteen += time < DAY_US // 4 * 3
            weekend += (day[i] + 3) % 7 >= 5  # 1970-01-01 was a Thursday
            sessions += i == 0 or at[i] - at[i - 1] > SESSION_GAP_US
    for op in (PART_OF_DAY, WEEKEND, SESSIONS):
        for j in range(ops[op], ops[op + 1]):
            which = asked.argument[j] if op == PART_OF_DAY else 4 if op == WEEKEND else 5
            for k in range(len(out)):
                begin, end = marks.begins[asked.window[j], k], marks.ends[k]
                first, size = position[begin], position[end] - position[begin]
                result = float(habits[end, which] - habits[begin, which])
                if op != SESSIONS:
                    result = result / size if size > 0 else np.nan
                elif size > 0 and first > 0 and at[first] - at[first - 1] <= SESSION_GAP_US:
                    result += 1  # one that goes on as the window begins
                out[k, asked.column[j]] = result


@numba.njit(cache=True, error_model="numpy")
def _attributes(asked, facts, p, cutoffs, out):  # type: ignore[no-untyped-def]
    """Facts about the profile as they were known before the cutoffs."""
    first = facts.offsets[p]
    known = facts.at[first : facts.offsets[p + 1]]
    for k in range(len(out)):
        newest = first + np.searchsorted(known, cutoffs[k] * DAY_US) - 1
        for op in (ATTRIBUTE_NUMBER, ATTRIBUTE_TEXT_IS, ATTRIBUTE_TEXT):
            for j in range(asked.ops[op], asked.ops[op + 1]):
                result = np.nan
                if newest >= first and op == ATTRIBUTE_NUMBER:
                    result = _bounded(facts.numbers[asked.place[j], newest])
                elif newest >= first:
                    code = facts.texts[asked.place[j], newest]
                    if code >= 0:
                        result = float(code if op == ATTRIBUTE_TEXT else code == asked.argument[j])
                out[k, asked.column[j]] = result
