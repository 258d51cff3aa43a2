"""Events that several machines read and keep are those that one reads and keeps."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import across
from oracle_events import Raw, canonical, load, rows_of
from propend.engines import event_rows, exchange
from propend.engines.event_rows import Layout, Rows
from propend.engines.exchange import Parcel
from propend.events import EventRequest, Partition
from propend.instance import Data
from shops import shop
from test_duckdb_engine import COLUMNS, SOME, _table, raw_rows, requests


class Across:
    """Partitions as a log, as far as ``rows_of`` asks."""

    def __init__(self, parts: list[Partition], kinds: Any, vocabularies: Any) -> None:
        self.parts, self.kinds, self.vocabularies = parts, kinds, vocabularies

    def partitions(self) -> list[Partition]:
        return self.parts


def test_of_equal_events_those_without_a_text_come_last() -> None:
    """Events that differ in a text alone have one order, whoever reads them: what came last is a feature."""
    alike = [
        Raw("ben", "2024-01-01", "buy", -1.5, None, {"colour": c, "size": None}) for c in ("red", "", None, "blue")
    ]
    request = EventRequest(selectors=(), text_fields=("colour",))
    for machines in (1, 2):
        parts, _, whole = across(_table([SOME, *alike]), Data(columns=COLUMNS), request, machines, 1, 0)
        found = rows_of(Across(parts, whole.kinds, whole.vocabularies))  # type: ignore[arg-type]
        assert [row[-1] for row in found if row[0] == "ben"] == [("blue",), ("red",), (None,), (None,)]


@pytest.mark.parametrize("seed", range(6))
def test_events_at_one_instant_are_in_order_whatever_each_machine_calls_their_profile(seed: int) -> None:
    """Every machine numbers profiles as it meets them; order within a profile, and what is alike, must not see it."""
    rows = [
        Raw(profile, "2024-01-01", "buy", value, None, {"colour": None, "size": value})
        for value in (3.0, 1.0, 2.0, 1.0)
        for profile in ("ann", "ben", "cat", "dot")
    ]
    random.Random(seed).shuffle(rows)
    rows = [SOME, *rows]
    request = EventRequest((), number_fields=("size",))
    parts, _, whole = across(_table(rows), Data(columns=COLUMNS), request, 3, 1, seed)
    expected, _ = canonical(rows, request, datetime.now(UTC))
    assert rows_of(Across(parts, whole.kinds, whole.vocabularies)) == expected  # type: ignore[arg-type]
    layout, ids = Layout(1, 0), pa.array(["ann"], pa.large_string())
    parcels = [
        Parcel(ids, np.zeros(1, np.uint64), np.array([0, 1]), _one_event(layout, code), ("buy",), ())
        for code in (0, seed + 1)
    ]
    assert exchange.join(parcels, layout).cluster.copies.tolist() == [1]


def _one_event(layout: Layout, profile: int) -> Rows:
    rows = np.empty((1, layout.words), np.uint64)
    nothing, value = np.zeros(1, np.int32), np.ones(1)
    at, bits = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    return event_rows.pack(layout, at, np.full(1, profile, np.int32), nothing, value, bits, [value], [], rows)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(raw_rows, max_size=25), requests, st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_events_read_by_several_machines_are_those_of_the_oracle(
    rows: list[Raw], request: EventRequest, machines: int, bits: int, seed: int
) -> None:
    rows = [SOME, *rows]
    parts, tally, whole = across(_table(rows), Data(columns=COLUMNS), request, machines, bits, seed)
    expected, aside = canonical(rows, request, datetime.now(UTC))
    assert rows_of(Across(parts, whole.kinds, whole.vocabularies)) == expected  # type: ignore[arg-type]
    assert {reason: n for reason, n in tally.set_aside.items() if n} == aside
    assert (tally.read, tally.used) == (len(rows), len(expected))


@pytest.mark.parametrize("pieces", [1 << 10, 1 << 22])
def test_partitions_of_several_machines_are_to_the_bit_those_of_one(
    monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr(exchange, "PIECE_BYTES", pieces)
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event", "value": "amount"})
    request = EventRequest((), number_fields=("amount",), text_fields=("category",))
    events = shop(300, 200)
    alone = load(data.model_dump(exclude_none=True), Path(), {"events": events}, number_fields=("amount",),
                 text_fields=("category",))  # fmt: skip
    parts, tally, whole = across(events, data, request, 3, 2, 5)
    assert (whole.kinds, whole.vocabularies) == (alone.kinds, alone.vocabularies)
    assert [p.first_profile for p in parts] == np.cumsum([0, *(p.profiles for p in parts)])[:-1].tolist()
    for name in ("profile_ids", "keys", "at", "kind", "bits", "value", "numbers", "texts"):
        (one,) = (getattr(p, name) for p in alone.partitions())
        several = np.concatenate([getattr(p, name) for p in parts], axis=-1)
        assert several.tobytes() == one.tobytes() if one.dtype != object else several.tolist() == one.tolist(), name
    facts = alone.facts
    assert (tally.read, tally.used, tally.first_at, tally.last_at) == (
        *(facts.read, facts.used, facts.first_at, facts.last_at),
    )
    for name, found in (("days", tally.days), ("events_per_day", tally.events), ("last_time_of_day", tally.last)):
        assert found.tolist() == getattr(facts, name).tolist()


def test_profiles_with_equal_keys_come_in_the_order_of_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propend.engines.gathering._keys", lambda ids: np.full(len(ids), 7, dtype=np.uint64))
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event"})
    events = shop(60, 100)
    (part,), _, _ = across(events, data, EventRequest(()), 3, 2, 1)
    assert part.profile_ids.tolist() == sorted(set(events["profile_id"].to_pylist()))


def test_words_that_a_parcel_does_not_use_do_not_travel() -> None:
    rows = exchange.event_rows.pack(
        Layout(0, 1), np.zeros(3, np.int64), np.zeros(3, np.int32), np.array([0, 1, 0], np.int32),
        np.zeros(3), np.zeros(3, np.uint64), [], [np.array([2, -1, 0], np.int32)],
        np.empty((3, 5), np.uint64),
    )  # fmt: skip
    kept = exchange._keep_used(rows, Layout(0, 1), ("a", "b"), (("red", "blue", "grey"),))
    assert kept == (("red", "grey"),)
    assert exchange.event_rows.text_codes(rows, Layout(0, 1), 0).tolist() == [1, -1, 0]
    assert exchange.event_rows.kinds_of(rows).tolist() == [0, 1, 0]
