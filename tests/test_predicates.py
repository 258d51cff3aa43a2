"""Conditions as SQL against their slow evaluation in Python."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_events import matches
from propend.conditions import Condition, read_where
from propend.engines.relations import typed_column
from propend.errors import ConfigurationError
from propend.goal import NamedEvent
from propend.predicates import MISSING, Column, condition_predicate, event_predicate, quote_name, quote_text

NATIVE = {"n": "DOUBLE", "i": "BIGINT", "s": "VARCHAR", "b": "BOOLEAN", "t": "TIMESTAMP"}
TYPES = {"n": "number", "i": "number", "s": "text", "b": "boolean", "t": "time"}
COLUMNS: dict[str, Column] = {c: typed_column(quote_name(c), NATIVE[c], TYPES[c]) for c in NATIVE} | {"gone": MISSING}  # type: ignore[arg-type]

HOSTILE = ["", " ", "'", "''", "' OR 1=1 --", '"', "\\", "%", "_", "a'b", "$$", "é", "İ", "日本", "🙂", "\n", "\t1", "1",
           "01", "1.0", "1e3", "-0", "nan", "inf", "true", "TRUE", "false", "2024-01-01", "2024-01-01 10:00:00", "null",
           "1_0", "x" * 10_000, "?", ";", "{}", "a", "ab", "Abc"]  # fmt: skip
plain_text = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=6)
texts = st.one_of(st.sampled_from(HOSTILE), plain_text)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.sampled_from([0.1, 1e15, 1e16, -0.0]),
)
moments = st.sampled_from([datetime(2024, 1, 1), datetime(2024, 1, 1, 10), datetime(1999, 12, 31, 23, 59, 59, 999999)])
rows = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.floats(), st.sampled_from([0.0, 1.0, 2.5, 1000.0])),
        "i": st.one_of(st.none(), st.integers(-(2**53), 2**53), st.integers(-2, 2)),
        "s": st.one_of(st.none(), texts),
        "b": st.one_of(st.none(), st.booleans()),
        "t": st.one_of(st.none(), moments),
    }
)
PATTERNS = ["a", "^a", "[^x]", "a|b", r"\d{2}", r"^\s", "é+", r"\.", "(?i)abc", "^.$", r"\w+'"]
scalars = st.one_of(st.booleans(), numbers, texts)
ordered = st.one_of(numbers, texts)


@st.composite
def conditions(draw: Any) -> Condition:
    operator = draw(st.sampled_from([
        "exists", "eq", "ne", "gt", "gte", "lt", "lte", "between", "in", "not_in", "starts_with", "ends_with",
        "contains", "matches",
    ]))  # fmt: skip
    values: dict[str, Any] = {
        "exists": st.booleans(),
        "eq": scalars,
        "ne": scalars,
        "between": st.one_of(st.tuples(numbers, numbers), st.tuples(texts, texts)).map(lambda p: tuple(sorted(p))),
        "in": st.lists(scalars, min_size=1, max_size=4).map(tuple),
        "not_in": st.lists(scalars, min_size=1, max_size=4).map(tuple),
        "matches": st.sampled_from(PATTERNS),
    }
    if operator in ("starts_with", "ends_with", "contains"):
        values[operator] = texts
    value = draw(values.get(operator, ordered))
    return Condition(field=draw(st.sampled_from([*NATIVE, "gone"])), operator=operator, value=value)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    yield connection
    connection.close()


def _evaluate(connection: duckdb.DuckDBPyConnection, condition: Condition, table: list[dict[str, Any]]) -> list[bool]:
    schema = pa.schema(
        [("n", pa.float64()), ("i", pa.int64()), ("s", pa.string()), ("b", pa.bool_()), ("t", pa.timestamp("us"))]
    )
    connection.register("rows", pa.Table.from_pylist(table, schema))
    sql = condition_predicate(condition, COLUMNS[condition.field])
    return [bool(r[0]) for r in connection.execute(f"SELECT coalesce({sql}, FALSE) FROM rows").fetchall()]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(condition=conditions(), table=st.lists(rows, min_size=1, max_size=8))
def test_a_condition_means_in_sql_what_it_means_in_python(
    connection: duckdb.DuckDBPyConnection, condition: Condition, table: list[dict[str, Any]]
) -> None:
    assert _evaluate(connection, condition, table) == [matches(condition, row) for row in table]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_comes_back_from_its_literal(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute(f"SELECT {quote_text(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_a_text_that_no_data_can_have_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="has a character that no text in data can have"):
        quote_text(text)


def test_missing_values_match_only_exists_false(connection: duckdb.DuckDBPyConnection) -> None:
    table: list[dict[str, Any]] = [{"s": None, "n": math.nan}, {"s": "", "n": math.inf}, {"s": "a", "n": 1.0}]
    found = {
        text: _evaluate(connection, Condition.model_validate(read_where(text)[0]), table)
        for text in ("s not exists", "n not exists", "s exists", "s != 'b'", "s not in ('b')", "n != 7", "n < 5")
    }
    assert found == {
        "s not exists": [True, True, False],
        "n not exists": [True, True, False],
        "s exists": [False, False, True],
        "s != 'b'": [False, False, True],
        "s not in ('b')": [False, False, True],
        "n != 7": [False, False, True],
        "n < 5": [False, False, True],
    }


def test_a_named_event_needs_its_kind_and_every_condition(connection: duckdb.DuckDBPyConnection) -> None:
    event = NamedEvent.model_validate({"is": ["buy", "o'hara"], "where": "n >= 10 and s in ('x', 'y')"})
    sql = event_predicate(event, "kind", COLUMNS)
    cases = "('buy', 10, 'x'), ('o''hara', 11, 'y'), ('buy', 9, 'x'), ('buy', NULL, 'x'), ('visit', 10, 'x'), (NULL, 10, 'x')"
    found = connection.execute(f"SELECT {sql} FROM (VALUES {cases}) AS v(kind, n, s)").fetchall()
    assert [f[0] for f in found] == [True, True, False, False, False, False]


def test_an_event_without_kind_and_condition_is_every_event() -> None:
    assert event_predicate(NamedEvent(), "kind", {}) == "TRUE"
