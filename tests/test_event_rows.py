"""Texts as codes and events as rows of words: the same as Python's own dictionaries and sorting, only faster."""

from __future__ import annotations

import math
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propend.engines import connect, event_rows
from propend.engines.event_rows import Layout
from propend.engines.spool import Spool
from propend.engines.texts import TextCodes
from propend.errors import NotEnoughMemoryError
from propend.events import EventRequest
from propend.instance import Data
from shops import shop

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


# --- texts ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.none() | words, st.booleans()), max_size=40), max_size=6))
def test_codes_number_texts_as_they_are_first_met(batches: list[list[tuple[str | None, bool]]]) -> None:
    codes, known = TextCodes(), dict[str, int]()
    for batch in batches:
        texts, used = [t for t, _ in batch], np.array([u for _, u in batch], dtype=bool)
        expected = [known.setdefault(t, len(known)) if u and t is not None else -1 for t, u in batch]
        assert codes.codes(pa.array(texts, pa.string()), used).tolist() == expected
    assert (codes.texts().to_pylist(), len(codes)) == (list(known), len(known))
    ordered, places = codes.ascending()
    assert list(ordered) == sorted(known, key=str.encode)
    assert places.tolist() == [ordered.index(t) for t in known] + [-1]


def test_codes_of_very_many_and_of_very_long_texts() -> None:
    texts = [f"{'x' * (i % 50)}{i}" for i in range(30_000)] + ["y" * 100_000, "y" * 99_999]
    codes = TextCodes()
    once, again = (codes.codes(pa.array(texts), np.ones(len(texts), dtype=bool)) for _ in range(2))
    assert once.tolist() == again.tolist() == list(range(len(texts)))
    assert codes.encoded(30_000) == [b"y" * 100_000, b"y" * 99_999]


def test_codes_of_a_slice_are_those_of_its_texts() -> None:
    codes = TextCodes()
    assert codes.codes(pa.array(["a", "b", "a", "c"]).slice(1, 2), np.ones(2, dtype=bool)).tolist() == [0, 1]
    assert codes.texts().to_pylist() == ["b", "a"]


# --- rows -------------------------------------------------------------------------------------------------------

floats = st.floats(width=64) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])
small = st.integers(-1, 3)
events = st.tuples(st.integers(0, 5), small, floats, st.integers(0, 2), floats, small, small, small)
LAYOUT = Layout(numbers=1, texts=3)


def packed(rows: list[tuple[int, int, float, int, float, int, int, int]], profile: list[int]) -> event_rows.Rows:
    at, kind, value, bits, number, *texts = zip(*rows, strict=True)
    return event_rows.pack(
        LAYOUT, np.array(at, np.int64), np.array(profile, np.int32), np.array(kind, np.int32), np.array(value, float),
        np.array(bits, np.uint64), [np.array(number, float)], [np.array(t, np.int32) for t in texts],
        np.empty((len(at), LAYOUT.words), np.uint64),
    )  # fmt: skip


def unpacked(rows: event_rows.Rows) -> list[tuple[float, ...]]:
    columns = [
        rows[:, event_rows.AT], event_rows.kinds_of(rows), event_rows.floats_of(rows, event_rows.VALUE),
        rows[:, event_rows.BITS], event_rows.floats_of(rows, event_rows.FIELDS),
        *(event_rows.text_codes(rows, LAYOUT, i) for i in range(3)),
    ]  # fmt: skip
    return list(zip(*(c.tolist() for c in columns), strict=True))


def grouped(rows: event_rows.Rows, group: list[int], n: int) -> tuple[event_rows.Rows, np.ndarray]:
    starts, groups, out = np.zeros(n + 1, dtype=np.int64), np.array(group, dtype=np.int32), np.empty_like(rows)
    event_rows.count_groups(groups, starts)
    starts = np.cumsum(starts)
    event_rows.put_by_group(rows, groups, starts[:-1].copy(), out)
    return out, starts


def in_order(event: tuple[float, ...]) -> tuple[tuple[bool, float], ...]:
    """What is missing comes last, as databases order it."""
    at, kind, value, bits, number, *texts = event
    plain = [(c < 0, c) for c in (kind, *texts)]
    real = [(math.isnan(x), 0.0 if math.isnan(x) else x) for x in (value, number)]
    return (False, at), plain[0], real[0], (False, bits), real[1], *plain[1:]


def same_bits(rows: list[tuple[float, ...]]) -> list[tuple[bytes, ...]]:
    return [tuple(struct.pack("d", math.nan if math.isnan(x) else x + 0.0) for x in map(float, r)) for r in rows]


@settings(deadline=None)
@given(st.lists(st.tuples(events, st.integers(0, 4)), min_size=1, max_size=80))
def test_rows_are_ordered_by_profile_and_then_as_events_are(given: list[tuple[tuple[float, ...], int]]) -> None:
    rows, profile = [e for e, _ in given], [p for _, p in given]
    words, starts = grouped(packed(rows, profile), profile, 5)  # type: ignore[arg-type]
    copies = np.zeros(5, dtype=np.int64)
    event_rows.sort_within(words, starts, copies)
    expected = [sorted((e for e, p in given if p == q), key=in_order) for q in range(5)]
    assert same_bits(unpacked(words)) == same_bits([e for of_profile in expected for e in of_profile])
    assert starts.tolist() == [sum(p < q for p in profile) for q in range(6)]
    assert event_rows.profiles_of(words).tolist() == sorted(profile)
    alike = [len(same_bits(e)) - len(set(same_bits(e))) for e in expected]
    assert copies.tolist() == alike


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=20))
def test_codes_are_replaced_and_nothing_else(rows: list[tuple[int, ...]]) -> None:
    words = packed(rows, [7] * len(rows))  # type: ignore[arg-type]
    places = np.array([10, 20, 30, 40, -1], dtype=np.int32)
    event_rows.recode(words, places, np.tile(places, 3), np.arange(0, 20, 5), LAYOUT.first_text)
    expected = [(e[0], places[e[1]], *e[2:5], *(places[t] for t in e[5:])) for e in rows]
    assert same_bits(unpacked(words)) == same_bits(expected)
    assert set(event_rows.profiles_of(words).tolist()) == {7}


# --- on disk ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30), st.integers(0, 600))
def test_a_spool_gives_back_what_it_took_whatever_it_holds_in_memory(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[int, int]], most: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 4, 2, most)
    taken: list[list[list[int]]] = [[], [], [], []]
    for number, (partition, n) in enumerate(batches):
        rows = np.full((n, 2), number, dtype=np.uint64)
        spool.add(partition, rows)
        taken[partition] += rows.tolist()
    assert [[row for piece in spool.take(p) for row in piece.tolist()] for p in range(4)] == taken
    assert list(folder.iterdir()) == []


def test_events_on_disk_are_those_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event", "value": "amount"})
    request = EventRequest((), number_fields=("amount",), text_fields=("category",))

    def delivered() -> tuple[int, list[list[object]]]:
        names = ("profile_ids", "at", "kind", "texts")
        with connect(temp_folder=tmp_path) as session:
            log = session.load(data, Path(), request, {"events": shop(300, 200)})
            once, again = ([[getattr(p, n).tolist() for n in names] for p in log.partitions()] for _ in range(2))
            files = len(list(tmp_path.rglob("*.npz")))
        assert once == again, "a partition is read as often as asked for"
        return files, once

    files, in_memory = delivered()
    monkeypatch.setattr("propend.engines.event_log._SPOOL_SHARE", 1 << 40)
    assert (files, delivered()) == (0, (len(in_memory), in_memory))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("propend.engines.event_log._SPOOL_SHARE", 1 << 40)
    monkeypatch.setattr("propend.engines.spool.Spool._spill", full)
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event"})
    with connect(temp_folder=tmp_path) as session, pytest.raises(NotEnoughMemoryError, match="No space left"):
        session.load(data, Path(), EventRequest(()), {"events": shop(50, 100)})
    assert list(tmp_path.iterdir()) == []


def test_texts_of_a_column_are_numbered_batch_after_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: set[int] = set()
    together: list[int] = []
    slowly = TextCodes.codes

    def codes(self: TextCodes, texts: pa.Array, used: np.ndarray[Any, Any]) -> Any:
        together.append(id(self)) if id(self) in inside else inside.add(id(self))
        time.sleep(0.005)
        found = slowly(self, texts, used)
        inside.discard(id(self))
        return found

    monkeypatch.setattr("propend.engines.event_log.BATCH_ROWS", 2_048)
    monkeypatch.setattr(TextCodes, "codes", codes)
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event"})
    events = pa.concat_tables([shop(300, 200)] * 4)
    with connect() as session:
        log = session.load(data, Path(), EventRequest((), text_fields=("category",)), {"events": events})
        counted = {kind: n for kind, n, _ in log.facts.kinds}
    assert together == []
    assert counted == {v["values"]: v["counts"] for v in events["event"].value_counts().to_pylist()}


def test_profiles_whose_keys_are_alike_come_in_the_order_of_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propend.engines.gathering._keys", lambda ids: np.full(len(ids), 7, dtype=np.uint64))
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event"})
    events = shop(60, 100)
    with connect() as session:
        (part,) = session.load(data, Path(), EventRequest(()), {"events": events}).partitions()
    assert part.profile_ids.tolist() == sorted(set(events["profile_id"].to_pylist()))
