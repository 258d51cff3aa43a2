"""Conditions on one event, as a mapping and as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from propend.conditions import OPERATORS, Condition, parse_conditions, read_where
from propend.goal import NamedEvent
from strategies import AWKWARD, conditions

PAGE = (Path(__file__).parents[1] / "docs" / "goal_language.md").read_text(encoding="utf-8")
TABLE = PAGE.split("<!-- table: operators -->")[1].split("\n\n")[1]
ROWS = [[c.strip().strip("`") for c in line.strip("|").split("|")] for line in TABLE.splitlines()[2:]]


def where(value: Any) -> tuple[Condition, ...]:
    """Conditions as a named event has them."""
    return NamedEvent.model_validate({"where": value}).where


def triples(value: Any) -> list[tuple[str, str, Any]]:
    return [(c.field, c.operator, c.value) for c in where(value)]


def problem(value: Any) -> str:
    """The one complaint about conditions."""
    with pytest.raises(ValidationError) as caught:
        where(value)
    (complaint,) = caught.value.errors()
    return str(complaint["msg"]).removeprefix("Value error, ")


# --- mapping and text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operator", "mapping", "text", "_"), ROWS, ids=[row[0] for row in ROWS])
def test_every_operator_in_both_forms(operator: str, mapping: str, text: str, _: str) -> None:
    assert where(yaml.safe_load(mapping)) == where(text)
    assert [c.operator for c in where(text)] == [operator.removeprefix("not `").replace(" ", "_")]


def test_the_table_has_every_operator() -> None:
    assert {c.operator for row in ROWS for c in where(row[2])} == set(OPERATORS)


def as_text(condition: Condition) -> str:
    """A condition in its text form."""

    def plain(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

    field, operator, value = '"' + condition.field.replace('"', '""') + '"', condition.operator, condition.value
    if isinstance(value, tuple):
        if operator == "between":
            return f"{field} between {plain(value[0])} and {plain(value[1])}"
        return f"{field} {operator.replace('_', ' ')} ({', '.join(map(plain, value))})"
    if operator == "exists":
        return f"{field} exists" if value else f"{field} not exists"
    symbols = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    return f"{field} {symbols.get(operator, operator)} {plain(value)}"


@settings(max_examples=300, deadline=None)
@given(st.lists(conditions, min_size=1, max_size=3).map(tuple))
def test_mapping_and_text_are_the_same_model(many: tuple[Condition, ...]) -> None:
    event = NamedEvent(where=many)
    mapping = NamedEvent.model_validate(event.model_dump(by_alias=True))
    text = NamedEvent.model_validate({"where": " and ".join(map(as_text, many))})
    assert repr(mapping) == repr(text) == repr(event)  # by repr: True is not 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": "x"}, [("a", "eq", "x")]),
        ({"a": True, "b": 5.0}, [("a", "eq", True), ("b", "eq", 5)]),
        ({"a": ["x", 1]}, [("a", "in", ("x", 1))]),
        ({"a": {"gt": 0, "lt": 9}}, [("a", "gt", 0), ("a", "lt", 9)]),
        ({"a": {">=": 1}, "b": {"Starts  With": "x"}}, [("a", "gte", 1), ("b", "starts_with", "x")]),
        ({"a": {"not exists": True}, "b": {"not_exists": False}}, [("a", "exists", False), ("b", "exists", True)]),
        ({"a": {"gte": date(2024, 1, 31)}}, [("a", "gte", "2024-01-31")]),
        ({"a": {"in": [datetime(2024, 1, 31, 18)]}}, [("a", "in", ("2024-01-31T18:00:00",))]),
        ([{"a": 1}, "b = 2 and c exists", {"a": {"lt": 9}}],
         [("a", "eq", 1), ("b", "eq", 2), ("c", "exists", True), ("a", "lt", 9)]),
        ([{"field": "a", "operator": "lt", "value": 3}], [("a", "lt", 3)]),
        ({"field": "a", "operator": "b", "value": 3},
         [("field", "eq", "a"), ("operator", "eq", "b"), ("value", "eq", 3)]),
        ([Condition(field="a", operator="lt", value=3), {"b": 1}], [("a", "lt", 3), ("b", "eq", 1)]),
        (None, []),
        ({}, []),
        ("amount>=100 AND category In('a','b')", [("amount", "gte", 100), ("category", "in", ("a", "b"))]),
        ("a is 'x' and b is not 2", [("a", "eq", "x"), ("b", "ne", 2)]),
        ("a <> 1 and b == 2", [("a", "ne", 1), ("b", "eq", 2)]),
        ("in in ('in') and not not in (1)", [("in", "in", ("in",)), ("not", "not_in", (1,))]),
        (
            "and = 1 and exists exists and is is true",
            [("and", "eq", 1), ("exists", "exists", True), ("is", "eq", True)],
        ),
        ("a between -1.5 and +2e3 and b = 1", [("a", "between", (-1.5, 2000)), ("b", "eq", 1)]),
        ("commerce.order.purchaseID exists", [("commerce.order.purchaseID", "exists", True)]),
        ('"net amount" > .5 and "a""b" = \'o\'\'clock\'', [("net amount", "gt", 0.5), ('a"b', "eq", "o'clock")]),
        ('a = "shoes" and b contains "or"', [("a", "eq", "shoes"), ("b", "contains", "or")]),
        ("größe = '購入 🙂' and a\n\tstarts\n with\t''", [("größe", "eq", "購入 🙂"), ("a", "starts_with", "")]),
    ],
)  # fmt: skip
def test_what_is_read(value: Any, expected: list[tuple[str, str, Any]]) -> None:
    assert triples(value) == expected


# --- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"between": [5, 1]}}, "between needs the lower value first, not 5 before 1"),
        ({"a": {"between": ["b", "a"]}}, "between needs the lower value first, not 'b' before 'a'"),
        ({"a": {"between": [1, "b"]}}, "between needs two numbers or two texts, not [1, 'b']"),
        ({"a": {"between": [1, 2, 3]}}, "between needs two numbers or two texts, not [1, 2, 3]"),
        ({"a": {"between": [False, True]}}, "between needs two numbers or two texts, not [False, True]"),
        ({"a": {"between": 3}}, "between needs a list, not 3"),
        ({"a": {"in": "x"}}, "in needs a list, not 'x'"),
        ({"a": {"in": []}}, "in needs 1 to 10,000 values, not 0"),
        ({"a": {"in": list(range(10_001))}}, "in needs 1 to 10,000 values, not 10,001"),
        ({"a": {"eq": [1]}}, "eq needs one value, not a list"),
        ({"a": {"gt": True}}, "gt needs a number or a text, not True"),
        ({"a": {"gt": float("nan")}}, "a number is needed, not NaN"),
        ({"a": {"in": [1, float("nan")]}}, "a number is needed, not NaN"),
        ({"a": {"between": [0, float("inf")]}}, "a finite number is needed, not inf"),
        ("a > -1e999", "a finite number is needed, not -inf"),
        ({"a": {"eq": 10**400}}, "a number of more than 300 digits compares with nothing"),
        ({"a": None}, "a number, a text, true or false is needed, not None"),
        ({"a": {"in": [[1]]}}, "a number, a text, true or false is needed, not (1,)"),
        ({"a": {"exists": "yes"}}, "exists needs true or false, not 'yes'"),
        ({"a": {"not exists": 1}}, "a: not exists needs true or false, not 1"),
        ({"a": {"starts with": 3}}, "starts_with needs a text, not 3"),
        ({"a": "x" * 10_001}, "a text has at most 10,000 characters, not 10,001"),
        ({"a": {}}, f"a: an operator is needed, one of {', '.join(OPERATORS)}"),
        ({"a": {"gtt": 3}},
         "Input should be 'exists', 'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'between', 'in', 'not_in', "
         "'starts_with', 'ends_with', 'contains' or 'matches'"),
        ({"": 1}, "String should have at least 1 character"),
        (5, "conditions are a mapping or a text, not 5"),
        ("a = 1e99 and b = 1 and c between 3 and 2", "between needs the lower value first, not 3 before 2"),
        ("x" * 200_001, "a condition text has at most 200,000 characters, not 200,001"),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_values_must_fit_their_operator(value: Any, expected: str) -> None:
    assert problem(value) == expected


OR = "there is no `or` here: use `in (...)`, or a second named event under any_of"
FORM = "write field, operator, value: amount >= 100 and category in ('a', 'b')"
NULL = "a field without value is written: category not exists"
LIKE = "a part of a text is written: starts with 'a', ends with 'a', contains 'a', or matches '^a'"
QUOTES = "texts stand in quotes: category = 'shoes'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", f"at character 1, near ''; {FORM}"),
        ("amount", f"at character 7, near 'amount'; {FORM}"),
        ("amount > 3 or amount < 1", f"at character 12, near 'amount > 3 or amount < 1'; {OR}"),
        ("name = 'this or that' OR b = 1", f"at character 23, near ''this or that' OR b = 1'; {OR}"),
        ("name = 'this or that' > 1", f"at character 23, near ''this or that' > 1'; {FORM}"),
        ("category = shoes", f"at character 12, near 'category = shoes'; {QUOTES}"),
        ("amount >> 3", f"at character 9, near 'amount >> 3'; {FORM}"),
        ("not a = 1", f"at character 5, near 'not a = 1'; {QUOTES}"),
        ("a = 1 and (b = 2)", "at character 11, near 'a = 1 and (b = 2)'; parentheses only hold the values of `in`; "
         "every condition joined by `and` holds on the same event"),
        ("a is not null", f"at character 10, near 'a is not null'; {NULL}"),
        ("a like 'x%'", f"at character 3, near 'a like 'x%''; {LIKE}"),
        ("a in ()", f"at character 7, near 'a in ()'; {FORM}"),
        ("a = 'x", "at character 5, near 'a = 'x'; a text ends with the quote that it begins with"),
        ("a starts with 3", f"at character 15, near 'a starts with 3'; {FORM}"),
        ("a > 1; drop table events", f"at character 6, near 'a > 1; drop table ev'; {FORM}"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_read(text: str, expected: str) -> None:
    shown = re.escape(f"the condition cannot be read {expected}")
    with pytest.raises(ValueError, match=f"^{shown}$"):
        parse_conditions(text)


def test_long_texts_are_read() -> None:
    longest = "'" * 5_000 + "x" * 5_000
    values = ", ".join(f"'value {i}'" for i in range(10_000))
    found = where("a = '" + longest.replace("'", "''") + f"' and b in ({values})")
    assert (found[0].value, len(found[1].plain_value)) == (longest, 10_000)


@pytest.mark.parametrize("text", AWKWARD)
def test_what_looks_like_code_stays_a_literal(text: str) -> None:
    as_value = "a = '" + text.replace("'", "''") + "'"
    as_field = '"' + text.replace('"', '""') + '" exists'
    assert (triples(as_value), triples(as_field)) == ([("a", "eq", text)], [(text, "exists", True)])


# --- patterns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("x" * 501, "a pattern has at most 500 characters, not 501"),
        ("(", "the pattern is not valid: missing ), unterminated subpattern at position 0"),
        ("[[:alpha:]]", "the pattern is not valid: Possible nested set at position 1"),
        ("a(?=b)", "'(?=b'"),
        ("(?<!a)b", "'(?<!'"),
        ("(?>a)", "'(?>a'"),
        (r"(a)\1", r"'\\1'"),
        ("(?P<n>a)(?P=n)", "'(?P='"),
        ("a++", "'++'"),
        ("a{1,2}+", "'{1,2}+'"),
        ("a{,3}", "'{,'"),
        (r"[\Z]", "the pattern is not valid: bad escape \\Z at position 1"),
        (r"a\Z", r"'\\Z'"),
        (r"\u00e9", r"'\\u'"),
        ("a{1001}", "a pattern repeats a part at most 1,000 times"),
        ("((a{20}){20}){20}", "a pattern repeats a part at most 1,000 times"),
        ("(" * 250 + ")" * 250, ""),
    ],
    ids=lambda v: v[:20],
)
def test_patterns_that_engines_would_not_take(pattern: str, expected: str) -> None:
    try:
        where({"a": {"matches": pattern}})
    except ValidationError as error:
        assert expected in str(error.errors()[0]["msg"])
    else:
        assert expected == ""


def test_usual_patterns_are_taken() -> None:
    usual = [
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}$",
        "(?i)^(red|blue) (shoe|bag)s?$",
        r"\\1",
        "[(?=]",
        r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$",
    ]
    assert [c.value for p in usual for c in where({"a": {"matches": p}})] == usual


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    yield connection
    connection.close()


PIECES = [
    "a", "b", ".", "^", "$", "|", "(", ")", "(?:", "(?i)", "(?i:", "(?P<n>", "[a-z]", "[^x]", "[", "]", "]a]", "[]a]",
    "[^]a]", r"\d", r"\w", r"\b", r"\B", r"\A", r"\Z", r"\1", r"\0", r"\x41", r"\u0041", r"\Q", r"\_", r"\-", r"\é",
    r"\.", r"\\", "*", "+", "?", "??", "*?", "{2}", "{2,}", "{,3}", "{1,3}", "{100}", "{500}", "{1001}", "{", "}",
    "++", "(?=", "(?<", "(?>", "(?#c)", "(?P=n)", "(?-i:", "(?x)", "(?a)", "(?s)", r"\a", r"\v", r"\C", r"\pL",
    "[[:alpha:]]", r"[\b]", r"[\d-z]", r"[\A]", "\n", "é", r"[\x41-\x50]", "&&", "[a&&b]", "[a--b]", "{a}", r"\ ",
    r"[\_]",
]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join),
    st.text(st.sampled_from("abxA1 _-zé]{2\\"), min_size=1, max_size=6),
)
def test_a_pattern_that_is_taken_means_the_same_in_the_engine(
    connection: duckdb.DuckDBPyConnection, pattern: str, text: str
) -> None:
    try:
        Condition(field="a", operator="matches", value=pattern)
    except ValidationError:
        return
    found = connection.execute("SELECT regexp_matches(?, ?)", [text, pattern]).fetchall()
    assert found == [(re.search(pattern, text, re.ASCII) is not None,)]


def test_a_condition_is_read_once() -> None:
    many = read_where("a = 1 and b = 2")
    assert read_where(where(many)) == where(many)
