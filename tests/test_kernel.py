"""The compiled pass against the definitions of what it computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from logs import (
    DAYS,
    FIRST_DAY,
    Event,
    MemoryLog,
    any_cutoffs,
    any_day,
    any_event,
    any_events,
    any_fact,
    any_log,
    log_of,
    moment,
)
from propend.snapshots import kernel
from propend.snapshots.build import Rows, feature_matrix
from propend.snapshots.plan import CODE_OPS, NUMBER_OPS, TEXT_OPS, WHOLE_OPS, Channel, Factor, Feature, Op, Plan

CHANNELS = (
    Channel("any", "", "", "any", "event", "events"),
    Channel("kind", "buy", "", "buy", "buy", "buys"),
    Channel("kind", "gone", "", "gone", "gone", "gone"),
    Channel("bit", "big", "", "big", "big", "big"),
    Channel("bit", "loyal", "", "loyal", "loyal", "loyal"),
    Channel("value", "colour", "red", "red", "red", "red"),
    Channel("value", "size", "XXL", "XXL", "XXL", "XXL"),
)
TOLD: tuple[tuple[str, ...], ...] = ((), ("north", "red"))
"""Values that have a position: not all that there are."""
any_windows = st.sets(any_day.map(lambda day: max(day, 1)), min_size=1, max_size=3).map(
    lambda days: tuple(sorted(days))
)


def every_feature(windows: tuple[int, ...]) -> Plan:
    """Every aggregate over every channel, field and window that it can have."""
    asked = [f for op in Op for f in _of_op(op, windows)]
    factor = Factor("", "")
    made = [
        Feature(
            f"f{i}", "", op, c, w, factor, "number", argument=a, field=field, value=value, values=TOLD[op in CODE_OPS]
        )
        for i, (op, c, w, a, field, value) in enumerate(asked)
    ]
    return Plan(CHANNELS, windows, tuple(made))


def _of_op(op: Op, windows: tuple[int, ...]) -> Iterator[tuple[Op, int, int, int, str, str]]:
    channels, arguments, fields, values = [0], [0], [""], [""]
    if op in TEXT_OPS:
        fields, values = ["colour", "size"], [""] if op in CODE_OPS else ["red", "XXL"]
    elif op in NUMBER_OPS:
        fields = ["price", "weight"]
    elif op is Op.ATTRIBUTE_NUMBER:
        fields = ["age"]
    elif op in (Op.ATTRIBUTE_TEXT_IS, Op.ATTRIBUTE_TEXT):
        fields, values = ["region"], [""] if op in CODE_OPS else ["north", "west"]
    elif op is Op.PART_OF_DAY:
        arguments = [0, 1, 2, 3]
    elif op not in (Op.WEEKEND, Op.SESSIONS):
        channels = list(range(len(CHANNELS)))
    if op in (Op.TREND, Op.COUNT_BETWEEN):
        arguments = list(windows)
    days = windows[-1:] if op in WHOLE_OPS else windows
    return itertools.product([op], channels, days, arguments, fields, values)  # type: ignore[return-value]


def snapshots(log: MemoryLog, cutoffs: Iterable[int]) -> tuple[Rows, list[tuple[str, int]]]:
    """Every profile at every cutoff, as rows and in words."""
    pairs = list(itertools.product(range(len(log.profiles)), sorted(cutoffs)))
    profile, cutoff = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    rows = Rows(profile, cutoff, np.zeros(len(pairs), dtype=np.uint8))
    return rows, [(log.profiles[p], c) for p, c in pairs]


def unsigned(log: MemoryLog) -> MemoryLog:
    """The same log with all numbers positive: sums become what their last digits are measured against."""

    def positive(event: Event) -> Event:
        value = None if event.value is None else abs(event.value)
        return replace(event, value=value, numbers=tuple(None if n is None else abs(n) for n in event.numbers))

    return replace(log, events=tuple(positive(e) for e in log.events))


def differences(log: MemoryLog, plan: Plan, cutoffs: Iterable[int]) -> list[tuple[object, ...]]:
    """Every cell where the kernel and the definitions disagree, with both answers."""
    rows, named = snapshots(log, cutoffs)
    found = feature_matrix(log, plan, rows).astype(np.float64)
    expected = oracle.features(log, plan, named).astype(np.float64)
    added_up = np.array([f.op in oracle.ADDED_UP for f in plan.features])
    slack = 1e-6 * np.nan_to_num(oracle.features(unsigned(log), plan, named).astype(np.float64)) * added_up
    same = (np.isnan(found) & np.isnan(expected)) | (np.abs(found - expected) <= slack)
    return [(named[i], plan.features[j], found[i, j], expected[i, j]) for i, j in np.argwhere(~same)]


@settings(max_examples=60, deadline=None)
@given(any_events, st.lists(any_fact, max_size=6), any_windows, any_cutoffs)
def test_every_aggregate_is_what_its_definition_says(
    events: list[Event], facts: list[oracle.Fact], windows: tuple[int, ...], cutoffs: set[int]
) -> None:
    assert differences(any_log(events, facts), every_feature(windows), cutoffs) == []


def test_aggregates_have_the_same_numbers_in_the_kernel_as_in_plans() -> None:
    assert {op.name: getattr(kernel, op.name) for op in Op} | {"OPS": kernel.OPS} == {
        **{op.name: op.value for op in Op},
        "OPS": len(Op),
    }


# --- what single aggregates say, by hand ------------------------------------------------------------------


def answers(events: list[Event], *features: tuple[Op, int], cutoff: str = "2024-03-01") -> list[float]:
    """Aggregates of all of one profile's events at a cutoff, each over so many days."""
    asked = [Feature(str(i), "", op, 0, days, Factor("", ""), "") for i, (op, days) in enumerate(features)]
    windows = tuple(sorted({f.window_days for f in asked}))
    log = log_of(events)
    rows = Rows(np.zeros(1, np.int64), np.array([moment(cutoff) // 86_400_000_000]), np.zeros(1, np.uint8))
    return [float(x) for x in feature_matrix(log, Plan(CHANNELS[:1], windows, tuple(asked)), rows)[0]]


def test_an_event_on_an_edge_is_in_the_window_that_it_begins() -> None:
    events = [Event("ann", moment(at), "buy") for at in ("2024-02-23 00:00", "2024-02-22 23:59", "2024-03-01 00:00")]
    assert answers(events, (Op.COUNT, 7), (Op.COUNT, 8), (Op.DAYS_SINCE_LAST, 8)) == [1, 2, 7]


def test_what_is_too_large_to_reckon_with_is_the_largest_there_is() -> None:
    events = [Event("ann", moment("2024-02-20"), "buy", value) for value in (1e300, 1e300, -1e300)]
    largest = float(np.float32(1e30))
    assert answers(events, (Op.SUM, 30), (Op.MAX, 30)) == [largest, largest]


def test_rhythm_counts_days_without_events() -> None:
    events = [Event("ann", moment(f"2024-02-{day} 12:00"), "buy") for day in ("05", "13", "13", "21")]
    asked = [Op.GAP_MEAN, Op.GAP_DEVIATION, Op.OVERDUE, Op.REPEAT_SPAN, Op.ACTIVE_DAYS, Op.DAYS_SINCE_FIRST]
    assert answers(events, *((op, 60) for op in asked)) == [8, 0, 1, 16, 3, 24.5]


# --- nothing but the events decides -----------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.lists(any_event, min_size=150, max_size=200), any_windows, any_cutoffs, st.integers(1, 5))
def test_threads_partitions_and_repetition_change_no_bit(
    events: list[Event], windows: tuple[int, ...], cutoffs: set[int], partitions: int
) -> None:
    events = [replace(e, profile=f"{e.profile}{i % 40}") for i, e in enumerate(events)]
    plan = every_feature(windows)
    log = any_log(events)
    rows, _ = snapshots(log, [*cutoffs, *range(FIRST_DAY, FIRST_DAY + DAYS, 10)])
    once = feature_matrix(log, plan, rows).tobytes()
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    alone = feature_matrix(log, plan, rows).tobytes()
    numba.set_num_threads(threads)
    apart = feature_matrix(any_log(reversed(events), partitions=partitions), plan, rows).tobytes()
    assert (alone, apart, feature_matrix(log, plan, rows).tobytes()) == (once, once, once)


@settings(max_examples=15, deadline=None)
@given(any_events, st.lists(any_fact, max_size=6), any_windows, st.integers(0, 1000))
def test_no_cutoff_changes_what_another_is_told(
    events: list[Event], facts: list[oracle.Fact], windows: tuple[int, ...], seed: int
) -> None:
    """Nor does the order in which they are asked for; there are more than one visit of a profile describes."""
    log, plan, chance = any_log(events, facts), every_feature(windows), np.random.default_rng(seed)
    rows, _ = snapshots(log, range(FIRST_DAY, FIRST_DAY + 2 * kernel.AT_ONCE))
    together = feature_matrix(log, plan, rows)
    for i in chance.choice(len(rows), 10):
        alone = feature_matrix(log, plan, rows.where(np.arange(len(rows)) == i))
        assert alone.tobytes() == together[i].tobytes()
    mixed = np.lexsort((chance.random(len(rows)), rows.profile))
    shuffled = Rows(rows.profile[mixed], rows.cutoff[mixed], rows.label[mixed])
    assert feature_matrix(log, plan, shuffled).tobytes() == together[mixed].tobytes()
