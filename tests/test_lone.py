"""Events of one profile, given one by one, are the partition that the engine makes of the same rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propend.conditions import Condition
from propend.engines import connect
from propend.engines.coding import shortened
from propend.engines.lone import LoneReader
from propend.events import EventRequest, Partition, Selector
from propend.goal import NamedEvent
from propend.instance import Columns, Data
from propend.live.given import Given
from propend.predicates import FieldType
from propend.store.bearings import SourceColumns

ZONE = "Europe/Berlin"
SCHEMA = pa.schema(
    [
        ("who", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("event", pa.string()), ("value", pa.float64()),
        ("id", pa.string()), ("price", pa.float64()), ("count", pa.int64()), ("word", pa.string()), ("yes", pa.bool_()),
        ("due", pa.timestamp("us")),
    ]
)  # fmt: skip
COLUMNS = {"profile": "who", "at": "at", "event": "event", "value": "value", "id": "id"}
FIELDS: dict[str, FieldType] = {"price": "number", "count": "number", "word": "text", "yes": "boolean", "due": "time"}


def named(*conditions: tuple[str, str, Any], kinds: tuple[str, ...] = ()) -> NamedEvent:
    where = tuple(Condition(field=f, operator=o, value=v) for f, o, v in conditions)
    return NamedEvent(kinds=kinds, where=where)


REQUEST = EventRequest(
    selectors=tuple(
        Selector(f"s{i}", event)
        for i, event in enumerate(
            [
                named(kinds=("buy",)),
                named(("price", "gte", 10), kinds=("buy", "(none)")),
                named(("price", "ne", 10)),
                named(("count", "in", (1, 2, "3"))),
                named(("word", "matches", "^[a-c]")),
                named(("word", "eq", 12.5)),
                named(("word", "exists", False)),
                named(("yes", "eq", True)),
                named(("due", "gt", "2022-06-01")),
                named(("value", "between", (-5, 5))),
            ]
        )
    ),
    exclude=(named(kinds=("ping",)), named(("price", "lt", -100))),
    number_fields=("price", "count", "value"),
    text_fields=("word", "yes"),
    time_zone=ZONE,
)

numbers = st.none() | st.sampled_from([0.0, -0.0, 10.0, 1e300, -200.0, 0.1]) | st.floats(allow_nan=False, width=64)
words = st.none() | st.sampled_from(
    ["", " ", "a", "b", "ä", "12.50", "12.5", "null", "x" * 201, "🙂" * 199, "🙂" * 201]
)
moments = st.integers(0, 4_000).map(lambda quarter: datetime(2022, 3, 20, tzinfo=UTC) + timedelta(minutes=15 * quarter))
events = st.fixed_dictionaries(
    {
        "at": moments,
        "event": st.none() | st.sampled_from(["buy", "visit", "ping", "", "K" * 250]),
        "value": numbers,
        "id": st.none() | st.sampled_from(["", "1", "2", "3", "4"]),
        "price": numbers,
        "count": st.none() | st.integers(-3, 3) | st.just(2**60),
        "word": words,
        "yes": st.none() | st.booleans(),
        "due": st.none() | st.sampled_from([datetime(2022, 5, 1), datetime(2022, 6, 1, 0, 0, 1)]),
    }
)


@pytest.fixture(scope="module")
def reader() -> Iterator[LoneReader]:
    found = LoneReader(REQUEST, FIELDS | {"value": "number"}, ("points",), ("plan", "city"))
    yield found
    found.close()


def meaning(log: Any, part: Partition) -> dict[str, Any]:
    """A partition with its codes read."""
    assert part.profile_ids.tolist() == ["one"]
    texts = [
        [None if code < 0 else words[code] for code in codes]
        for words, codes in zip(log.vocabularies, part.texts, strict=True)
    ]
    return {
        "keys": part.keys.tolist(),
        "offsets": part.offsets.tolist(),
        "at": part.at.tolist(),
        "kind": [log.kinds[code] for code in part.kind],
        "bits": part.bits.tolist(),
        "value": part.value.view(np.uint64).tolist(),
        "numbers": part.numbers.view(np.uint64).tolist(),
        "texts": texts,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(events, min_size=1, max_size=25), order=st.randoms())
def test_the_partition_is_that_of_the_engine(reader: LoneReader, rows: list[dict[str, Any]], order: Any) -> None:
    rows = [{"who": "one"} | row for row in rows]
    table = pa.Table.from_pylist(
        [*rows, {"who": "two", "at": datetime(2022, 1, 1, tzinfo=UTC), "event": "buy"}], SCHEMA
    )
    with connect() as session:
        data = Data(columns=Columns(**COLUMNS))
        log = session.load(data, Path(), REQUEST, {"events": table})
        found = [
            meaning(log, alone(part, place))
            for part in log.visit(lambda part: part)
            for place, name in enumerate(part.profile_ids)
            if name == "one"
        ]
    given_rows = order.sample(rows, len(rows))
    events_table = Given((SourceColumns(COLUMNS),), FIELDS | {"value": "number"}, ZONE).table(given_rows)
    one_log, one = reader.read("one", events_table, [], [])
    if found:
        assert meaning(one_log, one) == found[0]
    else:  # all of its events are left out: the engine does not know it
        assert len(one.at) == 0


def alone(part: Partition, place: int) -> Partition:
    """One profile of a partition."""
    own = slice(part.offsets[place], part.offsets[place + 1])
    return Partition(
        profile_ids=part.profile_ids[place : place + 1], keys=part.keys[place : place + 1],
        offsets=part.offsets[place : place + 2] - part.offsets[place], at=part.at[own], kind=part.kind[own],
        bits=part.bits[own], value=part.value[own].copy(), numbers=part.numbers[:, own].copy(),
        texts=part.texts[:, own],
    )  # fmt: skip


def test_attributes_are_one_row_that_was_always_true(reader: LoneReader) -> None:
    table = Given((), FIELDS | {"value": "number"}, ZONE).table([{"at": "2022-04-01", "event": "buy"}])
    log, part = reader.read("one", table, [1.5], ["y" * 300, None])
    assert part.attributes is not None
    assert part.attributes.offsets.tolist() == [0, 1]
    assert part.attributes.numbers.tolist() == [[1.5]]
    assert part.attributes.texts.tolist() == [[0], [-1]]
    assert log.attribute_vocabularies == ((shortened("y" * 300),), ())
    _, nothing = reader.read("one", table, [], [])
    assert nothing.attributes is not None
    assert nothing.attributes.offsets.tolist() == [0, 0]
