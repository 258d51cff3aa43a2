"""The DuckDB engine against a slow and obvious oracle, and what it makes of sources that differ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_events import Raw, canonical, key_of, load, local_us, look, named, rows_of, simple_rows, utc
from propend.conditions import Condition
from propend.engines import connect
from propend.errors import (
    ColumnNotFoundError,
    ConfigurationError,
    NoEventDataError,
    NoInputDataError,
    NotEnoughMemoryError,
    SourceUnreadableError,
)
from propend.events import EventLog, EventRequest, Selector
from propend.goal import NamedEvent
from propend.instance import Data
from shops import shop, shuffled

COLUMNS = {"profile": "who", "at": "when", "event": "what", "value": "amount", "id": "ref"}
SELECTORS = (
    Selector("buy", named(kinds=["buy"])),
    Selector("big", named("amount >= 10", kinds=["buy", "gift"])),
    Selector("red", named("colour in ('red', 'blue') and size exists")),
    Selector("unknown", named("amount not exists and colour not exists")),
    Selector("anything", named()),
)
EXCLUDE = (named("colour = 'grey'"), named(kinds=["test"]))


# --- against the oracle -------------------------------------------------------------------------------------

TIMES = [
    "2024-01-01", "2024-03-31T00:59:59Z", "2024-03-31T01:00:00Z", "2024-10-27 02:30:00", "2024-10-27T00:30:00+00:00",
    "2024-10-27T01:30:00+00:00", "2024-02-29 23:59:59.999999", "2024-01-01T00:30:00+14:00", "1970-01-01",
    "1969-12-31 23:59:59", "1970-01-01T00:00:00+01:00", "2999-01-01", "soon", "2024-02-30", "", "  ", None,
]  # fmt: skip
raw_rows = st.builds(
    Raw,
    profile=st.sampled_from(["ann", "ben", "ann ", "é", "007", "7", "x" * 300, "", " ", None]),
    at=st.sampled_from(TIMES),
    kind=st.sampled_from(["buy", "gift", "test", "visit", "", None]),
    value=st.none() | st.sampled_from([0.0, -1.5, 9.99, 10.0, 1e300]),
    id=st.none() | st.sampled_from(["", "e1", "e2", "e3", "e4"]),
    fields=st.fixed_dictionaries(
        {
            "colour": st.sampled_from(["red", "blue", "grey", "", None]),
            "size": st.none() | st.sampled_from([1.0, 2.5, -3.0]),
        }
    ),
)
requests = st.builds(
    EventRequest,
    st.just(SELECTORS),
    exclude=st.sampled_from([(), EXCLUDE]),
    number_fields=st.sampled_from([(), ("size",), ("amount", "size")]),
    text_fields=st.sampled_from([(), ("colour",)]),
    as_of=st.sampled_from([None, date(2024, 3, 31), date(2024, 1, 1)]),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)


def _table(rows: list[Raw]) -> pa.Table:
    columns = {
        "who": pa.array([r.profile for r in rows], pa.string()),
        "when": pa.array([r.at for r in rows], pa.string()),
        "what": pa.array([r.kind for r in rows], pa.string()),
        "amount": pa.array([r.value for r in rows], pa.float64()),
        "ref": pa.array([r.id for r in rows], pa.string()),
        "colour": pa.array([r.fields["colour"] for r in rows], pa.string()),
        "size": pa.array([r.fields["size"] for r in rows], pa.float64()),
    }
    return pa.table(columns)


SOME = Raw("dot", "2023-01-01", "visit", None, None, {"colour": "blue", "size": None})
"""A row that is always used, so that there is always something to deliver."""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(raw_rows, max_size=25), requests, st.randoms(use_true_random=False))
def test_events_are_those_of_the_oracle_in_any_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Raw], request: EventRequest, random: Any
) -> None:
    rows = [SOME, *rows]
    random.shuffle(rows)
    with connect() as session:
        log = session.load(Data(columns=COLUMNS), Path(), request, {"events": _table(rows)})
        delivered, facts = rows_of(log), log.facts
    expected, aside = canonical(rows, request, datetime.now(UTC))
    assert delivered == expected
    assert {reason: n for reason, n in facts.set_aside.items() if n} == aside
    assert (facts.read, facts.used) == (len(rows), len(expected))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(raw_rows, min_size=5, max_size=40), st.integers(1, 10))
def test_partitions_of_any_size_hold_the_same_events(rows: list[Raw], most: int) -> None:
    request = EventRequest(SELECTORS, number_fields=("size",), text_fields=("colour",))
    tables = {"events": _table([SOME, *rows])}
    with pytest.MonkeyPatch.context() as patch, connect() as session:
        whole = rows_of(session.load(Data(columns=COLUMNS), Path(), request, tables))
        patch.setattr("propend.engines.event_log.EVENTS_PER_PARTITION", most)
        log = session.load(Data(columns=COLUMNS), Path(), request, tables)
        parts = list(log.partitions())
        assert rows_of(log) == whole
    keys = [int(k) for part in parts for k in part.keys]
    assert keys == sorted(keys)
    ids = [i for part in parts for i in part.profile_ids.tolist()]
    assert len(set(ids)) == len(ids), "a profile is in one partition"
    bits = (len(rows) // most).bit_length()
    assert len(parts) <= 1 << bits
    assert all(len({int(k) >> (64 - bits) for k in part.keys}) == 1 for part in parts if len(parts) > 1)


def test_a_small_memory_makes_several_partitions_with_the_same_events() -> None:
    big = pa.concat_tables([shop(4000, 300, seed=3)] * 8)
    data = Data(columns={"profile": "profile_id", "at": "at", "event": "event", "value": "amount"})

    def summed(memory: str) -> tuple[int, list[Any]]:
        with connect(memory=memory) as session:
            log = session.load(data, Path(), EventRequest(()), {"events": big})
            parts = list(log.partitions())
        columns = ("profile_ids", "keys", "at", "kind", "value")
        return len(parts), [np.concatenate([getattr(p, name) for p in parts]).tolist() for name in columns]

    (one, whole), (several, parted) = summed("4GB"), summed("100MB")
    assert (one, several > 1) == (1, True)
    assert str(parted) == str(whole)


def test_too_little_memory_is_said() -> None:
    with (
        pytest.raises(NotEnoughMemoryError, match="The engine ran out of memory or disk"),
        connect(memory="1MB") as session,
    ):
        session.load(Data(), Path(), EventRequest(()), {"events": shop(300)})


def test_shuffled_rows_give_the_same_bytes() -> None:
    events = shop(300, 200).append_column("ref", pa.array([f"e{i // 2}" for i in range(len(shop(300, 200)))]))
    request = EventRequest((Selector("buy", named(kinds=["purchase"])),), text_fields=("category",))
    columns = {"profile": "profile_id", "at": "at", "event": "event", "value": "amount", "id": "ref"}

    def delivered(table: pa.Table) -> list[bytes]:
        with connect() as session:
            log = session.load(Data(columns=columns), Path(), request, {"events": table})
            return [
                a.tobytes()
                for p in log.partitions()
                for a in (p.keys, p.offsets, p.at, p.kind, p.bits, p.value, p.texts)
            ]

    assert delivered(events) == delivered(shuffled(events))


# --- rows set aside -----------------------------------------------------------------------------------------

REASONS: dict[str, list[tuple[Any, ...]]] = {
    "no_profile": [(None, "2024-01-01"), ("", "2024-01-01"), (" \t", "2024-01-01")],
    "no_time": [("ann", None), ("ann", ""), ("ann", "  ")],
    "unparsable_time": [("ann", "soon"), ("ann", "2024-02-30")],
    "before_1970": [("ann", "1969-12-31 23:59:59.999999")],
    "in_the_future": [("ann", "2999-01-01"), ("ann", "9999-12-31")],
    "duplicate": [("ann", "2024-01-02", "buy", "e1"), ("ben", "2024-03-02", "buy", "e1")],
    "excluded": [("ann", "2024-01-01", "test"), ("ben", "2024-01-01", "test", "e7")],
    "after_as_of": [("ann", "2024-03-01"), ("ann", "2024-03-01 00:00:00.000001")],
}


def test_every_reason_is_counted() -> None:
    given = [("ann", "2024-01-01", "buy", "e1"), ("ann", "2024-02-29 23:59:59", "visit")]
    rows = [(*row, None, None)[:4] for row in [*given, *(row for some in REASONS.values() for row in some)]]
    table = pa.table({name: [r[i] for r in rows] for i, name in enumerate(("who", "when", "what", "ref"))})
    columns = {"profile": "who", "at": "when", "event": "what", "id": "ref"}
    log = load({"columns": columns}, Path(), {"events": table}, exclude=EXCLUDE[1:], as_of=date(2024, 3, 1))
    assert log.facts.set_aside == {reason: len(some) for reason, some in REASONS.items()}
    assert [row[:3] for row in simple_rows(log)] == [
        ("ann", "2024-01-01 00:00:00", "buy"),
        ("ann", "2024-02-29 23:59:59", "visit"),
    ]


@pytest.mark.parametrize("reason", [*[*REASONS][:5], "after_as_of"])
def test_nothing_left_says_why_and_what_to_look_at(reason: str) -> None:
    rows = REASONS[reason]
    table = pa.table({"who": pa.array([r[0] for r in rows], pa.string()), "when": [r[1] for r in rows]})
    columns = {"profile": "who", "at": "when"}
    if reason == "unparsable_time":  # all of them are refused before; one that can be read is in the future
        table = pa.concat_tables([table, pa.table({"who": ["ann"], "when": ["2999-01-01"]})])
    with pytest.raises(NoInputDataError, match=f"{len(rows)} {reason.replace('_', ' ')}") as caught:
        load({"columns": columns}, Path(), {"events": table}, as_of=date(2024, 3, 1))
    assert caught.value.facts["set_aside"][reason] == len(rows)
    assert caught.value.hint


def test_nothing_left_but_attributes_is_another_error(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("who,country\nann,DE\n")
    data = {"columns": {"profile": "who", "at": "when"}, "attributes": {"path": "people.csv", "constant": True}}
    table = pa.table({"who": ["ann"], "when": ["2999-01-01"]})
    with pytest.raises(NoEventDataError, match="1 in the future"):
        load(data, tmp_path, {"events": table})


def test_rows_equal_in_every_column_are_counted_and_kept() -> None:
    table = pa.table({"who": ["a", "a", "a", "b"], "when": ["2024-01-01"] * 4, "x": [1, 1, 2, 1]})
    log = load({"columns": {"profile": "who", "at": "when"}}, Path(), {"events": table})
    assert (log.facts.used, log.facts.exact_duplicates) == (4, 1)


def test_values_that_are_no_numbers_are_counted_and_left_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "who,when,amount\na,2024-01-01,5\na,2024-01-02,oops\na,2024-01-03,\na,2024-01-04,1e400\n"
    )
    log = load({"events": "a.csv", "columns": {"profile": "who", "at": "when", "value": "amount"}}, tmp_path)
    assert [row[3] for row in simple_rows(log)] == [5.0, None, None, None]
    assert log.facts.unparsable_values == 2


def test_values_that_are_not_finite_are_empty() -> None:
    amounts = [float("nan"), float("inf"), -float("inf"), 1e300, -0.0, 5e-324]
    days = [f"2024-01-0{i + 1}" for i in range(6)]
    table = pa.table({"who": ["a"] * 6, "when": days, "amount": amounts})
    log = load({"columns": {"profile": "who", "at": "when", "value": "amount"}}, Path(), {"events": table},
               number_fields=("amount",))  # fmt: skip
    found = [(row[4], row[5][0]) for row in rows_of(log)]
    assert str(found) == str([(None, None)] * 3 + [(1e300, 1e300), (0.0, 0.0), (5e-324, 5e-324)])


# --- facts --------------------------------------------------------------------------------------------------


def test_the_facts_of_a_log() -> None:
    table = pa.table(
        {
            "who": ["ann", "ben", "ann", "ann"],
            "when": ["2024-01-01 10:00", "2024-01-01 12:00", "2024-01-03", "2024-01-03 00:00:00.5"],
            "what": ["buy", "buy", None, "visit"],
        }
    )
    facts = load({"columns": {"profile": "who", "at": "when", "event": "what"}}, Path(), {"events": table}).facts
    first = local_us(datetime(2024, 1, 1, 10))
    day = local_us(datetime(2024, 1, 1)) // 86_400_000_000
    assert (facts.profiles, facts.first_at, facts.last_at) == (2, first, local_us(datetime(2024, 1, 3)) + 500_000)
    assert facts.kinds == (("buy", 2, 2), ("(none)", 1, 1), ("visit", 1, 1))
    assert facts.days.tolist() == [day, day + 2]
    assert facts.events_per_day.tolist() == [2, 2]
    assert facts.last_time_of_day.tolist() == [12 * 3600 * 10**6, 500_000]


def test_profiles_are_in_the_order_of_their_keys() -> None:
    names = [f"p{i}" for i in range(200)]
    table = pa.table({"who": names, "when": ["2024-01-01"] * 200})
    log = load({"columns": {"profile": "who", "at": "when"}}, Path(), {"events": table})
    (part,) = log.partitions()
    assert part.profile_ids.tolist() == sorted(names, key=lambda n: (key_of(n), n))
    assert part.keys.tolist() == sorted(map(key_of, names))


# --- sources that differ ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text(
        "who,when,what,amount,colour\nann,2024-01-01,buy,5,red\nben,2024-01-02,buy,7,\n"
    )
    (tmp_path / "old.csv").write_text("who,when,what,shop\ncem,2023-01-01,buy,north\n")
    (tmp_path / "logins.csv").write_text("user_id,time,colour\nann,2024-01-03T10:00:00Z,9\n")
    pq.write_table(
        pa.table({"who": [1], "when": ["2024-01-04"], "what": ["buy"], "amount": [1.5]}), tmp_path / "a.parquet"
    )
    pq.write_table(
        pa.table({"WHO": ["x"], "when": ["2024-01-05"], "what": ["buy"], "amount": ["no"]}), tmp_path / "b.parquet"
    )
    pq.write_table(pa.table({"who": ["x"], "what": ["buy"]}), tmp_path / "c.parquet")
    return tmp_path


WHO = {"profile": "who", "at": "when", "event": "what"}


def test_several_sources_with_different_columns_are_one_log(folder: Path) -> None:
    login = {"path": "logins.csv", "columns": {"profile": "user_id", "at": "time"}, "kind": "login"}
    data = {"events": ["orders.csv", "old.csv", login], "columns": WHO | {"value": "amount"}}
    log = load(data, folder, text_fields=("colour", "shop"))
    assert sorted((*r[:1], *r[2:3], *r[4:]) for r in rows_of(log)) == [
        ("ann", "buy", 5.0, (), ("red", None)),
        ("ann", "login", None, (), ("9", None)),
        ("ben", "buy", 7.0, (), (None, None)),
        ("cem", "buy", None, (), (None, "north")),
    ]
    assert {n: f.type for n, f in look(data, folder).fields.items()} == {
        "amount": "number",
        "colour": "text",
        "shop": "text",
    }
    assert [(s.path, s.rows) for s in log.facts.sources] == [("orders.csv", 2), ("old.csv", 1), ("logins.csv", 1)]


def test_files_of_one_source_are_put_together_by_name(folder: Path) -> None:
    log = load({"events": {"path": ["orders.csv", "old.csv", "a.parquet", "b.parquet"]}, "columns": WHO}, folder)
    assert sorted(r[0] for r in simple_rows(log)) == ["1", "ann", "ben", "cem", "x"]


@pytest.mark.parametrize(
    ("paths", "lacking"),
    [
        (
            ["orders.csv", "logins.csv"],
            "1 of the 2 files of 'orders.csv, logins.csv' have no column 'who', which is the profile's id: logins.csv.",
        ),
        (["a.parquet", "b.parquet", "c.parquet"], "have no column 'when', which is the event's time: c.parquet."),
    ],
)  # fmt: skip
def test_a_file_that_lacks_what_every_event_needs_is_named(folder: Path, paths: list[str], lacking: str) -> None:
    with pytest.raises(ColumnNotFoundError) as caught:
        look({"events": {"path": paths}, "columns": WHO}, folder)
    assert lacking in caught.value.message


def test_a_named_column_that_only_some_sources_have(folder: Path) -> None:
    with pytest.raises(ColumnNotFoundError, match=r"'logins\.csv' has no column 'who' for the role 'profile'"):
        look({"events": ["orders.csv", "logins.csv"], "columns": WHO}, folder)
    with pytest.raises(ColumnNotFoundError, match=r"'orders\.csv' has no column 'total' for the role 'value'"):
        look({"events": ["orders.csv", "old.csv"], "columns": WHO | {"value": "total"}}, folder)


def test_no_source_at_all() -> None:
    with pytest.raises(ConfigurationError, match=r"data\.events: no source of events is named"):
        look({}, Path())


def test_a_field_that_no_source_has(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no column 'color'.*Did you mean 'colour'"):
        load({"events": "orders.csv", "columns": WHO}, folder, text_fields=("color",))


def test_a_pattern_that_only_the_engine_refuses(folder: Path) -> None:
    condition = Condition.model_construct(field="colour", operator="matches", value="(red")
    selector = Selector("odd", NamedEvent.model_construct(kinds=(), where=(condition,)))
    with pytest.raises(
        ConfigurationError, match=r"events\.odd\.where: the pattern '\(red' is not valid in RE2's syntax"
    ):
        load({"events": "orders.csv", "columns": WHO}, folder, selectors=(selector,))


# --- queries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "SELECT who, \"when\", what FROM 'orders.csv'",
        "FROM 'orders.csv';",
        "WITH o AS (SELECT * FROM 'orders.csv') SELECT * FROM o -- all of them",
        "SELECT * FROM read_csv('orders.csv') ORDER BY 1",
        "VALUES ('ann', DATE '2024-01-01', 'buy'), ('ben', DATE '2024-01-02', 'buy')",
    ],
)
def test_a_query_that_reads(query: str, folder: Path) -> None:
    columns = {"profile": "col0", "at": "col1", "event": "col2"} if query.startswith("VALUES") else WHO
    log = load({"events": {"query": query}, "columns": columns}, folder)
    assert [r[:3] for r in simple_rows(log)] == [
        ("ann", "2024-01-01 00:00:00", "buy"),
        ("ben", "2024-01-02 00:00:00", "buy"),
    ]


REFUSED = {
    "SELECT 1; SELECT 2": "is not a single reading statement: SELECT, SELECT.",
    "DROP TABLE x": "is not a single reading statement: DROP.",
    "COPY (SELECT 1) TO 'out.csv'": "is not a single reading statement: COPY.",
    "ATTACH 'x.db'": "is not a single reading statement: ATTACH.",
    "INSTALL httpfs": "is not a single reading statement: LOAD.",
    "SET threads = 1": "is not a single reading statement: SET.",
    "EXPLAIN SELECT 1": "is not a single reading statement: EXPLAIN.",
    "WITH x AS (SELECT 1) INSERT INTO y SELECT * FROM x": "is not a single reading statement: INSERT.",
    "": "is not a single reading statement: nothing.",
    "SELECT 1) ; DROP TABLE x; SELECT * FROM (SELECT 2": "is not SQL: syntax error",
    "SELEC *": "is not SQL: syntax error",
    "SELECT * FROM 'ordrs.csv'": "fails: No files found that match the pattern",
    "SELECT whom FROM 'orders.csv'": 'fails: Referenced column "whom" not found',
    "SELECT error('boom') AS who, DATE '2024-01-01' AS \"when\"": "fails: boom.",
    "SELECT * FROM 'https://127.0.0.1:9/x.csv'": "fails: ",
}


@pytest.mark.parametrize("query", REFUSED)
def test_a_query_that_does_not_only_read_or_fails(query: str, folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(SourceUnreadableError) as caught:
        look({"events": {"query": query, "name": "mine"}}, folder)
    assert f"The query of 'mine' {REFUSED[query]}" in caught.value.message
    assert caught.value.hint
    assert sorted(folder.iterdir()) == before


def test_a_query_means_the_data_folder_not_the_current_one(
    folder: Path, tmp_path_factory: Any, monkeypatch: Any
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "orders.csv").write_text("who,when,what\neve,2024-01-01,buy\n")
    monkeypatch.chdir(elsewhere)
    with pytest.raises(SourceUnreadableError, match="would be read from the current folder, not from the data folder"):
        look({"events": {"query": "FROM 'orders.csv'"}}, folder)


# --- attributes ---------------------------------------------------------------------------------------------

EVENTS = pa.table({"who": ["ann", "ben", "cem"], "when": ["2024-01-01"] * 3})


@pytest.fixture
def people(tmp_path: Path) -> Path:
    (tmp_path / "plan.csv").write_text(
        "who,since,plan,seats\nann,2024-01-05,gold,5\nann,2024-01-01,free,\nben,2024-02-01T00:30:00+02:00,gold,2.5\n"
        "eve,2024-01-01,gold,9\n,2024-01-01,gold,9\nann,soon,lost,1\nann,,lost,1\n"
    )
    (tmp_path / "home.csv").write_text("who,country,since,plan\nann,DE,x,a\nben,FR,y,b\n")
    (tmp_path / "mood.csv").write_text("who,when,mood\nann,2024-01-03,good\nann,2024-01-07,\n")
    return tmp_path


def _facts(log: EventLog) -> Iterator[tuple[Any, ...]]:
    """(profile, local time from which it is true, numbers, texts) of every row, in order."""
    for part in log.partitions():
        known = part.attributes
        assert known is not None
        for i, profile in enumerate(part.profile_ids):
            for j in range(known.offsets[i], known.offsets[i + 1]):
                numbers = tuple(None if np.isnan(x) else float(x) for x in known.numbers[:, j])
                texts = tuple(
                    None if c < 0 else log.attribute_vocabularies[k][c] for k, c in enumerate(known.texts[:, j])
                )
                yield str(profile), int(known.at[j]), numbers, texts


def _attributes(folder: Path, *tables: dict[str, Any], **request: Any) -> EventLog:
    data = {"columns": {"profile": "who", "at": "when"}, "attributes": list(tables)}
    return load(data, folder, {"events": EVENTS}, **request)


PLAN = {"path": "plan.csv", "effective": "since"}
HOME = {"path": "home.csv", "constant": True, "columns": ["country"]}
ALWAYS = int(np.iinfo(np.int64).min)


def _day(day: int, month: int = 1) -> int:
    return local_us(datetime(2024, month, day))


def test_attributes_with_the_time_from_which_they_are_true(people: Path) -> None:
    log = _attributes(people, PLAN, time_zone="Europe/Berlin")
    assert (log.attribute_numbers, log.attribute_texts) == (("seats",), ("plan",))
    assert sorted(_facts(log)) == [
        ("ann", _day(1), (None,), ("free",)),
        ("ann", _day(5), (5.0,), ("gold",)),
        ("ben", local_us(utc(2024, 1, 31, 22, 30), "Europe/Berlin"), (2.5,), ("gold",)),
    ]


def test_attributes_from_as_of_on_are_not_read(people: Path) -> None:
    log = _attributes(people, PLAN, as_of=date(2024, 1, 5))
    assert list(_facts(log)) == [("ann", _day(1), (None,), ("free",))]


def test_constant_attributes_are_true_of_always(people: Path) -> None:
    assert sorted(_facts(_attributes(people, HOME))) == [("ann", ALWAYS, (), ("DE",)), ("ben", ALWAYS, (), ("FR",))]


def test_of_several_tables_each_row_says_what_all_said_last(people: Path) -> None:
    log = _attributes(people, PLAN, HOME, {"path": "mood.csv", "effective": "when"})
    assert log.attribute_texts == ("plan", "country", "mood")
    assert [row[1:] for row in _facts(log) if row[0] == "ann"] == [
        (ALWAYS, (None,), (None, "DE", None)),
        (_day(1), (None,), ("free", "DE", None)),
        (_day(3), (None,), ("free", "DE", "good")),
        (_day(5), (5.0,), ("gold", "DE", "good")),
        (_day(7), (5.0,), ("gold", "DE", None)),
    ]


def test_a_name_that_two_tables_have_carries_the_table_s(people: Path) -> None:
    log = _attributes(people, PLAN, HOME | {"columns": ["country", "plan"]})
    assert log.attribute_texts == ("plan", "country", "home.plan")


def test_attributes_without_time_are_left_out_and_named(people: Path) -> None:
    facts = _attributes(people, PLAN, {"path": "home.csv"}).facts
    assert facts.attributes_without_time == ("country", "since", "plan")
    assert [f.name for f in facts.attribute_fields] == ["seats", "plan"]


def test_attributes_whose_ids_are_written_as_decimals(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("who,country\n17850.0,DE\n,FR\n")
    table = pa.table({"who": [17850], "when": ["2024-01-01"]})
    data = {"columns": {"profile": "who", "at": "when"}, "attributes": {"path": "people.csv", "constant": True}}
    assert list(_facts(load(data, tmp_path, {"events": table}))) == [("17850", ALWAYS, (), ("DE",))]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PLAN | {"profile": "whom"}, "'plan.csv' has no column 'whom'"),
        (PLAN | {"effective": "from"}, "'plan.csv' has no column 'from'"),
        (PLAN | {"columns": ["plans"]}, "'plan.csv' has no column 'plans'"),
    ],
)
def test_columns_of_attributes_that_are_not_there(people: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ColumnNotFoundError, match=message):
        _attributes(people, given)


def test_attributes_whose_profile_cannot_be_told(people: Path) -> None:
    (people / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ColumnNotFoundError, match=r"Which column of 'odd.csv' is the profile's id cannot be told"):
        _attributes(people, {"path": "odd.csv", "constant": True})


# --- strange texts ------------------------------------------------------------------------------------------


def test_kinds_and_categories_of_strange_texts() -> None:
    strange = ["é", "日本", "🙂", "a\x00b", "'; DROP TABLE x --", "%", "<b>&", "x" * 10_000, "x" * 9_999 + "y", "\n"]
    table = pa.table(
        {"who": ["ann"] * 10, "when": [f"2024-01-{i + 1:02d}" for i in range(10)], "what": strange, "c": strange}
    )
    log = load({"columns": WHO}, Path(), {"events": table}, text_fields=("c",))
    kinds = [row[2] for row in rows_of(log)]
    assert [k for k in kinds if len(k) < 100] == [s for s in strange if len(s) < 100]
    assert [len(k) for k in kinds if len(k) > 100] == [200, 200]
    assert len(set(kinds)) == 10
    assert [row[6][0] for row in rows_of(log)] == kinds


def test_a_time_with_a_zone_is_compared_as_the_instant_it_is(tmp_path: Path) -> None:
    rows = [utc(2024, 1, 31, 0), utc(2024, 1, 31, 1)]
    table = pa.table(
        {
            "who": ["a", "b"],
            "when": pa.array([utc(2024, 2, 1)] * 2, pa.timestamp("us", tz="UTC")),
            "trial_end": pa.array(rows, pa.timestamp("us", tz="UTC")),
        }
    )
    chosen = {"at": {"eq": "2024-01-31T01:00:00Z"}, "same": {"eq": "2024-01-31T03:00:00+02:00"},
              "until": {"lt": "2024-01-31T02:30:00+02:00"}}  # fmt: skip
    selectors = tuple(Selector(n, NamedEvent.model_validate({"where": {"trial_end": w}})) for n, w in chosen.items())
    log = load({"columns": {"profile": "who", "at": "when"}}, tmp_path, {"events": table}, selectors=selectors)
    assert {row[0]: row[3] for row in rows_of(log)} == {"a": 0b100, "b": 0b011}
