"""Population, labels, support and plans over in-memory logs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from logs import (
    DAYS,
    FIRST_DAY,
    NAMES,
    PROFILES,
    REQUEST,
    Event,
    Fact,
    MemoryLog,
    any_day,
    any_event,
    any_events,
    any_fact,
    any_log,
    key_of,
    log_of,
    moment,
    request_for,
)
from oracle_events import load
from propend.events import DAY_US, Selector
from propend.goal import NamedEvent
from propend.instance import Instance
from propend.snapshots import build
from propend.snapshots.build import Rows, Survey, count_support, feature_matrix, plan_input, rows_at, survey
from propend.snapshots.plan import Plan, make_plan
from propend.snapshots.program import compile_program, lines_of, selectors_of

WINDOWS = (7, 30)


@pytest.fixture(autouse=True)
def _values_of_few_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four profiles are too few for a value to count; here one is enough."""
    monkeypatch.setattr(build, "MIN_VALUE_PROFILES", 1)


def plan_of(log: MemoryLog, before: int, windows: tuple[int, ...] = WINDOWS) -> Plan:
    fields = REQUEST.number_fields, REQUEST.text_fields
    return make_plan(plan_input(log, count_support(log, before), windows, "amount", *fields))


def surveyed(log: MemoryLog, given_instance: Instance, cutoffs: list[int]) -> Survey:
    lines = lines_of(given_instance)
    return survey(log, compile_program(lines, given_instance.goal, log.request), cutoffs)


def instance(**sections: object) -> Instance:
    return Instance.load({"name": "x", "data": {"events": "x.csv"}, **sections})


# --- support ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(any_events, st.lists(any_fact, max_size=6), any_day, any_day, st.integers(1, 3))
def test_support_counts_what_features_may_look_at(
    events: list[Event], facts: list[Fact], one_day: int, other_day: int, partitions: int
) -> None:
    log = any_log(events, facts, partitions)
    since, before = (FIRST_DAY + day for day in sorted((one_day, other_day)))
    found = count_support(log, before, since)
    past = [e for e in log.events if since * DAY_US <= e.at < before * DAY_US]
    known = [f for f in log.known if f.at < before * DAY_US]
    assert (found.profiles, found.events) == (len({e.profile for e in past}), len(past))
    assert found.timed == any(e.at % DAY_US for e in past)
    assert dict(zip(log.kinds, found.kinds, strict=True)) == {
        k: profiles(e for e in past if e.kind == k) for k in log.kinds
    }
    assert found.bits.tolist()[:3] == [profiles(e for e in past if n in e.names) for n in NAMES] + [0]
    assert found.bit_events.tolist()[:3] == [sum(n in e.names for e in past) for n in NAMES] + [0]
    valued = [e for e in past if e.value is not None]
    assert dict(zip(log.kinds, found.valued_kinds, strict=True)) == {
        k: sum(e.kind == k for e in valued) for k in log.kinds
    }
    assert found.valued_bits.tolist()[:3] == [sum(n in e.names for e in valued) for n in NAMES] + [0]
    for t, words in enumerate(log.vocabularies):
        assert found.values[t].tolist() == [profiles(e for e in past if e.texts[t] == word) for word in words]
    (regions,), (counts,) = log.attribute_vocabularies, found.attribute_values
    assert counts.tolist() == [profiles(f for f in known if f.texts[0] == region) for region in regions]


def profiles(rows: object) -> int:
    return len({row.profile for row in rows})  # type: ignore[attr-defined]


# --- what becomes a channel ---------------------------------------------------------------------------------


def channel_keys(log: MemoryLog, before: str = "2024-03-01") -> list[str]:
    support = count_support(log, moment(before) // DAY_US)
    return [c.key for c in plan_input(log, support, WINDOWS, "amount", (), log.request.text_fields).channels]


def at_noon(profile: str, kind: str, *names: str, texts: tuple[str | None, ...] = (), day: str = "2024-02-01") -> Event:
    return Event(profile, moment(f"{day} 12:00"), kind, names=frozenset(names), texts=texts)


def test_channels_are_named_events_then_kinds_then_values_by_support() -> None:
    request = request_for(("buy", "never"), (), ("colour",))
    events = [
        at_noon("ann", "order", "buy", texts=("red",)),
        at_noon("ann", "page", texts=("blue",)),
        at_noon("ben", "page", texts=("blue",)),
        at_noon("ben", "later", texts=("green",), day="2024-03-01"),
    ]
    assert channel_keys(log_of(events, request)) == ["any", "buy", "page", "order", "colour=blue", "colour=red"]


def test_a_kind_that_is_a_named_event_has_one_channel() -> None:
    given_instance = instance(goal={"any_of": ["order", "visit"], "within": "7d"}, events={"visit": {"is": "page"}})
    lines = lines_of(given_instance)
    request = replace(request_for(), selectors=selectors_of(given_instance, lines))
    log = log_of([at_noon("ann", "order"), at_noon("ann", "page"), at_noon("ann", "call")], request)
    assert channel_keys(log) == ["any", "order", "visit", "call"]


def test_a_kind_called_like_another_named_event_is_told_apart() -> None:
    log = log_of([at_noon("ann", "buy"), at_noon("ann", "page", "buy"), at_noon("ann", "any")], request_for(("buy",)))
    assert channel_keys(log) == ["any", "buy", "any__2", "kind_buy", "page"]


def test_all_events_speak_for_a_named_event_that_makes_up_nearly_all() -> None:
    events = [at_noon("ann", "page", "visit")] * 8 + [at_noon("ann", "order")] * 2
    for log, voice in (
        (log_of(events, request_for(("visit",))), "visit"),
        (log_of(events[1:], request_for(("visit",))), "any"),
    ):
        support = count_support(log, moment("2024-03-01") // DAY_US)
        assert plan_input(log, support, WINDOWS, "amount", (), ()).channels[0].voice[0] == voice


def test_values_need_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MIN_VALUE_PROFILES", 2)
    texts: list[tuple[str, str]] = [("ann", "red"), ("ben", "red"), ("ann", "blue"), ("ann", "blue")]
    log = log_of([at_noon(p, "page", texts=(t,)) for p, t in texts], request_for((), (), ("colour",)))
    assert channel_keys(log) == ["any", "colour=red"]


# --- the plan of a log, computed --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(any_events, st.lists(any_fact, max_size=6), st.integers(FIRST_DAY + 1, FIRST_DAY + DAYS))
def test_a_plan_says_the_same_of_data_whose_codes_have_moved(
    events: list[Event], facts: list[Fact], cutoff: int
) -> None:
    """A saved plan names kinds, values and fields; the codes of a later log are others."""
    log = any_log(events, facts)
    plan = plan_of(log, cutoff)
    stranger = Event("zoe", FIRST_DAY * DAY_US, "a new kind", None, frozenset(), (1.0, 1.0), ("azure", "A"))
    known = Fact("zoe", FIRST_DAY * DAY_US, (1.0,), ("east",))
    later = any_log([*events, stranger, replace(stranger, kind="zz", texts=("zinc", "ZZ"))], [*facts, known])
    assert described(later, plan, cutoff) == described(log, plan, cutoff)


def everyone_at(log: MemoryLog, cutoff: int) -> Rows:
    n = len(log.profiles)
    return Rows(np.arange(n), np.full(n, cutoff), np.zeros(n, np.uint8))


def described(log: MemoryLog, plan: Plan, cutoff: int) -> dict[str, bytes]:
    """The features of each of the usual profiles, to the bit."""
    found = feature_matrix(log, plan, everyone_at(log, cutoff))
    return {p: found[i].tobytes() for i, p in enumerate(log.profiles) if p in PROFILES}


# --- snapshots ----------------------------------------------------------------------------------------------

LOYAL = instance(
    events={"big": {"is": "buy"}, "loyal": {"is": "call"}},
    goal={"all_of": ["big"], "from": "2d", "within": "7d"},
    eligible={"did": "anything", "within": "10d"},
    exits=["loyal"],
)


@settings(max_examples=60, deadline=None)
@given(any_events, st.sets(st.integers(FIRST_DAY, FIRST_DAY + DAYS), min_size=1, max_size=3), st.integers(1, 3))
def test_population_and_labels_by_definition(events: list[Event], cutoffs: set[int], partitions: int) -> None:
    log = any_log(events, partitions=partitions)
    found = surveyed(log, LOYAL, sorted(cutoffs))
    rows = rows_at(found, sorted(cutoffs), labelled=True)
    everybody = rows_at(found, sorted(cutoffs), labelled=False)

    def did(profile: str, name: str, start: int, end: int) -> bool:
        return any(start * DAY_US <= e.at < end * DAY_US for e in oracle.named(log.of(profile), name))

    eligible = [
        (p, c)
        for p in log.profiles
        for c in sorted(cutoffs)
        if did(p, "anything", c - 10, c) and not did(p, "loyal", 0, c)
    ]
    known = {
        (p, c): did(p, "big", c + 2, c + 9)
        for p, c in eligible
        if not did(p, "loyal", c, c + 9) and not did(p, "big", c, c + 2)
    }
    assert [(log.profiles[p], c) for p, c in zip(everybody.profile, everybody.cutoff, strict=True)] == eligible
    assert {
        (log.profiles[p], c): bool(y) for p, c, y in zip(rows.profile, rows.cutoff, rows.label, strict=True)
    } == known
    assert not everybody.label.any()


def test_a_share_is_of_profiles_and_does_not_depend_on_the_others() -> None:
    ids = [f"p{i}" for i in range(400)]
    log = log_of([Event(i, (FIRST_DAY + 1) * DAY_US, "buy") for i in ids], request_for(NAMES), partitions=3)
    found = surveyed(log, LOYAL, [FIRST_DAY + 2, FIRST_DAY + 3])
    rows = rows_at(found, found.cutoffs, labelled=False, share=0.25)
    kept = Counter(found.profile_ids[rows.profile].tolist())
    assert kept == dict.fromkeys([i for i in ids if key_of(i) < 2**62], 2)
    assert 60 < len(kept) < 140


@settings(max_examples=20, deadline=None)
@given(st.lists(any_event, min_size=20, max_size=60), st.integers(1, 4))
def test_order_of_input_and_partitions_change_nothing(events: list[Event], partitions: int) -> None:
    cutoffs = [FIRST_DAY + 15, FIRST_DAY + 30]
    one, other = any_log(events), any_log(sorted(events, key=lambda e: -e.at), partitions=partitions)
    assert plan_of(one, cutoffs[0]) == plan_of(other, cutoffs[0])
    first, second = (surveyed(log, LOYAL, cutoffs) for log in (one, other))
    assert (first.profile_ids.tolist(), first.masks.tolist()) == (second.profile_ids.tolist(), second.masks.tolist())


# --- the engine and the log in memory -------------------------------------------------------------------------

COLUMNS = {"profile": "profile", "at": "at", "event": "kind", "value": "value"}
CONDITIONED = tuple(Selector(name, NamedEvent.model_validate({"where": {name: {"eq": 1}}})) for name in NAMES)


def as_table(events: list[Event]) -> pa.Table:
    """The events as raw rows; a named event is a column of ones and zeros."""
    columns: dict[str, pa.Array] = {
        "profile": pa.array([e.profile for e in events], pa.string()),
        "at": pa.array([e.at for e in events], pa.timestamp("us")),
        "kind": pa.array([e.kind for e in events], pa.string()),
        "value": pa.array([e.value for e in events], pa.float64()),
    }
    columns |= {name: pa.array([int(name in e.names) for e in events]) for name in NAMES}
    for j, name in enumerate(REQUEST.number_fields):
        columns[name] = pa.array([e.numbers[j] for e in events], pa.float64())
    for j, name in enumerate(REQUEST.text_fields):
        columns[name] = pa.array([e.texts[j] for e in events], pa.string())
    return pa.table(columns)


@settings(max_examples=8, deadline=None)
@given(st.lists(any_event, min_size=30, max_size=60), st.randoms(use_true_random=False))
def test_the_engine_gives_the_same_bits_from_rows_in_any_order(events: list[Event], random: Random) -> None:
    cutoff = FIRST_DAY + 30
    raw = random.sample(events, len(events))
    fields = {"number_fields": REQUEST.number_fields, "text_fields": REQUEST.text_fields}
    engine = load({"columns": COLUMNS}, Path(), {"events": as_table(raw)}, selectors=CONDITIONED, **fields)
    memory = log_of(events, REQUEST)
    assert (engine.kinds, engine.vocabularies) == (memory.kinds, memory.vocabularies)
    plan = plan_of(memory, cutoff)
    assert plan_of(engine, cutoff) == plan  # type: ignore[arg-type]
    first, second = (surveyed(log, LOYAL, [cutoff - 10, cutoff]) for log in (memory, engine))  # type: ignore[arg-type]
    assert (first.profile_ids.tolist(), first.masks.tolist()) == (second.profile_ids.tolist(), second.masks.tolist())
    rows = everyone_at(memory, cutoff)
    assert feature_matrix(engine, plan, rows).tobytes() == feature_matrix(memory, plan, rows).tobytes()


# --- windows that begin before the data ---------------------------------------------------------------------


def test_amounts_are_stretched_where_the_window_begins_before_the_data() -> None:
    """The data begin on day 0. At day 10 a window of 30 days shows 10 of its days: amounts count three times."""
    days = [(0, 2.0), (1, 3.0), (6, 5.0), (20, 7.0)]
    events = [Event("ann", (FIRST_DAY + d) * DAY_US + 1, "buy", value=v) for d, v in days]
    log = log_of([*events, Event("ann", (FIRST_DAY + 20) * DAY_US + 2, "visit")], request_for())
    support = count_support(log, FIRST_DAY + 40)
    plan = make_plan(plan_input(log, support, (7, 30), "amount", (), (), since_day=FIRST_DAY))
    rows = Rows(np.zeros(3, np.int64), FIRST_DAY + np.array([10, 30, 40]), np.zeros(3, np.uint8))
    found = dict(zip([f.name for f in plan.features], feature_matrix(log, plan, rows).T.tolist(), strict=True))
    assert found["count__buy__30d"] == [9.0, 4.0, 1.0]
    assert found["sum__buy__30d"] == [30.0, 17.0, 7.0]
    assert found["active_days__buy__30d"] == [9.0, 4.0, 1.0]
    assert found["sessions__30d"] == [9.0, 4.0, 1.0]
    assert found["count__buy__7d"] == [1.0, 0.0, 0.0]
    assert found["mean__buy__30d"] == pytest.approx([10 / 3, 17 / 4, 7.0])
    assert found["days_since_last__buy"] == [4.0, 10.0, 20.0]
