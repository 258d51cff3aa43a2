"""Conditions as SQL against their slow evaluation in Python."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracle_events import as_number, load, matches, named, rows_of
from propend.conditions import OPERATORS, Condition, Operator, read_where
from propend.engines.relations import typed_column
from propend.errors import ConfigurationError
from propend.events import Selector
from propend.goal import NamedEvent
from propend.predicates import MISSING, Column, condition_predicate, event_predicate, quote_name, quote_text

NATIVE = {"n": "DOUBLE", "i": "BIGINT", "s": "VARCHAR", "b": "BOOLEAN", "t": "TIMESTAMP"}
TYPES = {"n": "number", "i": "number", "s": "text", "b": "boolean", "t": "time"}
COLUMNS: dict[str, Column] = {c: typed_column(quote_name(c), NATIVE[c], TYPES[c]) for c in NATIVE} | {"gone": MISSING}  # type: ignore[arg-type]

HOSTILE = ["", " ", "'", "''", "' OR 1=1 --", '"', "\\", "%", "_", "a'b", "$$", "é", "İ", "日本", "🙂", "\n", "\t1",
           "1", "01", "1.0", "1e3", "-0", "nan", "inf", "true", "TRUE", "false", "2024-01-01", "2024-01-01 10:00:00",
           "null", "1_0", "x" * 10_000, "?", ";", "{}", "a", "ab", "Abc"]  # fmt: skip
plain_text = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=6)
texts = st.one_of(st.sampled_from(HOSTILE), plain_text)
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
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


# --- every operator on every type of field ---------------------------------------------------------------------

VALUES: dict[str, tuple[str, str, list[Any]]] = {
    "double": ("DOUBLE", "number", [0.0, -0.0, 1.0, 2.5, -3.0, 1e300, math.nan, math.inf, 1e16, None]),
    "float": ("FLOAT", "number", [0.0, 1.0, 2.5, -3.0, None]),
    "bigint": ("BIGINT", "number", [0, 1, -3, 2**53, None]),
    "unsigned": ("UBIGINT", "number", [0, 1, 2**53, None]),
    "decimal": ("DECIMAL(10,2)", "number", [Decimal("1.00"), Decimal("2.50"), Decimal("-3.00"), Decimal("0.00"), None]),
    "text": ("VARCHAR", "text", ["1", "01", "a", "ab", "Ab", "", "true", "n/a", "é", "2024-01-01", "a'b", None]),
    "text of numbers": ("VARCHAR", "number", ["1", "1.0", "2.5", "-3", "", None]),
    "text of truth": ("VARCHAR", "boolean", ["true", "False", "TRUE", "", None]),
    "text of days": ("VARCHAR", "text", ["2024-01-01", "1999-12-31", "", None]),
    "enumeration": ("ENUM('a', 'ab', '1')", "text", ["a", "ab", "1", None]),
    "boolean": ("BOOLEAN", "boolean", [True, False, None]),
    "timestamp": ("TIMESTAMP", "time", [datetime(2024, 1, 1), datetime(2024, 1, 1, 10, 0, 0, 1), None]),
    "date": ("DATE", "time", [date(2024, 1, 1), date(1999, 12, 31), None]),
    "universal id": ("UUID", "text", ["00000000-0000-0000-0000-000000000001", None]),
    "bytes": ("BLOB", "text", [b"a", b"\xff\x00", None]),
}  # fmt: skip
SCALARS = [0, 1, 2.5, -3, 1e300, 2**53, "", "1", "1.0", "a", "ab", "A", "true", "2024-01-01", "2024-01-01 10:00", "61",
           "é", "'", True, False, "00000000-0000-0000-0000-000000000001"]  # fmt: skip
COMPARED = [v for v in SCALARS if not isinstance(v, bool)]
TEXTS = [v for v in SCALARS if isinstance(v, str)]
OPERANDS: dict[str, list[Any]] = {
    "exists": [True, False],
    "eq": SCALARS,
    "ne": SCALARS,
    "gt": COMPARED,
    "gte": COMPARED,
    "lt": COMPARED,
    "lte": COMPARED,
    "between": [
        (0, 1),
        (-3, 2.5),
        (1, 1),
        ("", "ab"),
        ("1", "a"),
        ("2024-01-01", "2024-01-02"),
        ("1999-12-31", "2024"),
    ],
    "in": [(1, "a"), (True, "ab"), (2.5, 0, "2024-01-01"), ("true", False), ("", "x"), (-3,)],
    "not_in": [(1, "a"), (True, "ab"), (2.5, 0, "2024-01-01"), ("true", False), ("", "x"), (-3,)],
    "starts_with": TEXTS,
    "ends_with": TEXTS,
    "contains": TEXTS,
    "matches": PATTERNS,
}


def _typed(value: Any, kind: str, condition: Condition) -> Any:
    """What true and false are compared with: a number in a column of numbers, though it be written as a text."""
    wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    truth = condition.operator != "exists" and any(isinstance(w, bool) for w in wanted)
    return as_number(value) if truth and kind == "number" and isinstance(value, str) else value


def test_the_grid_has_every_operator() -> None:
    assert set(OPERANDS) == set(OPERATORS)


@pytest.mark.parametrize("operator", OPERANDS)
@pytest.mark.parametrize("name", VALUES)
def test_every_operator_on_every_type_of_field(
    connection: duckdb.DuckDBPyConnection, name: str, operator: Operator
) -> None:
    native, kind, values = VALUES[name]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE grid (place INTEGER, x {native})")
    connection.executemany("INSERT INTO grid VALUES (?, ?)", [list(pair) for pair in enumerate(values)])
    asked = [Condition(field="x", operator=operator, value=value) for value in OPERANDS[operator]]
    column = typed_column("x", native, kind)  # type: ignore[arg-type]
    tests = ", ".join(f"coalesce({condition_predicate(c, column)}, FALSE)" for c in asked)
    found = connection.execute(f"SELECT {tests} FROM grid ORDER BY place").fetchall()
    expected = [tuple(matches(c, {"x": _typed(value, kind, c)}) for c in asked) for value in values]
    assert dict(zip(map(repr, values), found, strict=True)) == dict(zip(map(repr, values), expected, strict=True))


def test_what_is_no_number_is_missing_in_a_column_of_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    column = typed_column("x", "VARCHAR", "number")
    asked = ["x exists", "x not exists", "x != 1", "x not in (1, 2)", "x < 5", "x = 'n/a'"]
    tests = [condition_predicate(Condition.model_validate(read_where(text)[0]), column) for text in asked]
    (found,) = connection.execute(
        f"SELECT {', '.join(f'coalesce({t}, FALSE)' for t in tests)} FROM (SELECT 'n/a' AS x)"
    ).fetchall()
    assert dict(zip(asked, found, strict=True)) == dict(
        zip(asked, [False, True, False, False, False, True], strict=True)
    )


def test_a_field_of_json_with_values_of_several_kinds(tmp_path: Path) -> None:
    rows = [{"x": 1}, {"x": "a"}, {"x": True}, {"x": None}, {"x": {"y": 2}}, {}]
    lines = [json.dumps({"who": str(i), "when": "2024-01-01"} | row) for i, row in enumerate(rows)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    asked = ["x = 1", "x = 'a'", "x = true", "x exists", "x > 0", "x in ('a', 1)", "x contains 'y'"]
    selectors = tuple(Selector(text, named(text)) for text in asked)
    data = {"events": "a.jsonl", "columns": {"profile": "who", "at": "when"}}
    bits = {int(row[0]): row[3] for row in rows_of(load(data, tmp_path, selectors=selectors))}
    assert {text: [who for who in sorted(bits) if bits[who] >> i & 1] for i, text in enumerate(asked)} == {
        "x = 1": [0], "x = 'a'": [1], "x = true": [2], "x exists": [0, 1, 2, 4], "x > 0": [0], "x in ('a', 1)": [0, 1],
        "x contains 'y'": [4],
    }  # fmt: skip


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
    yes, no = "('buy', 10, 'x'), ('o''hara', 11, 'y')", "('buy', 9, 'x'), ('buy', NULL, 'x'), ('visit', 10, 'x')"
    cases = f"{yes}, {no}, (NULL, 10, 'x')"
    found = connection.execute(f"SELECT {sql} FROM (VALUES {cases}) AS v(kind, n, s)").fetchall()
    assert [f[0] for f in found] == [True, True, False, False, False, False]


def test_an_event_without_kind_and_condition_is_every_event() -> None:
    assert event_predicate(NamedEvent(), "kind", {}) == "TRUE"
