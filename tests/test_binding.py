"""Names and types of an instance against the data."""

from __future__ import annotations

import pytest

from propend.binding import binding_mistakes, check_behaviour
from propend.errors import NoBehaviourError
from propend.events import Field, OpenedEvents
from propend.instance import Instance

OPENED = OpenedEvents(
    fields={n: Field(n, t) for n, t in (("amount", "number"), ("category", "text"), ("member", "boolean"))},  # type: ignore[arg-type]
    kinds={"purchase": 1200, "page_view": 9000, "login": 40},
)


def _places(document: dict) -> list[tuple[str, str]]:
    return [(m.place, m.nearest) for m in binding_mistakes(document, OPENED)]


def test_a_document_that_fits_has_no_mistakes() -> None:
    document = {
        "events": {"buy": {"is": "purchase", "where": "amount > 0 and category starts with 's' and member = true"}},
        "goal": {"all_of": ["buy", {"sum": "buy.amount", "gte": 5}, {"then": ["page_view", "buy"]}], "within": 30},
        "eligible": {"did": "anything", "within": 60},
        "exits": ["login"],
        "data": {"events": "x", "fields": ["category"]},
    }
    assert binding_mistakes(document, OPENED) == []


def test_unknown_names_come_with_the_nearest_one() -> None:
    document = {
        "events": {"buy": {"is": "purchse", "where": {"amont": {"gt": 0}}}},
        "goal": {"any_of": ["by", {"none_of": [{"did": "pageview"}]}], "within": 30},
        "eligible": {"all_of": [{"did": "logn"}]},
        "exits": ["lgin"],
        "data": {"events": "x", "fields": ["categry"]},
    }
    assert _places(document) == [
        ("events.buy.is", "purchase"),
        ("events.buy.where.amont", "amount"),
        ("goal.any_of[1]", "buy"),
        ("goal.any_of[2].none_of[1]", "page_view"),
        ("eligible.all_of[1]", "login"),
        ("exits[1]", "login"),
        ("data.fields", "category"),
    ]


def test_messages_carry_counts() -> None:
    (mistake,) = binding_mistakes({"events": {"buy": {"is": "purchse"}}}, OPENED)
    assert "0 of 10,240 events" in mistake.problem
    assert "purchase (1,200)" in mistake.problem


@pytest.mark.parametrize(
    ("events", "listed"),
    [
        ({}, "purchase (1,200), page_view (9,000), login (40)"),
        ({"buy": {"is": "purchase"}}, "buy, login (40)"),
        ({"logon": {"is": "login"}}, "logon"),
    ],
)
def test_an_unknown_event_lists_what_there_is_once(events: dict, listed: str) -> None:
    (mistake,) = binding_mistakes({"events": events, "goal": {"any_of": ["logn"]}}, OPENED)
    assert mistake.problem == f"'logn' is neither a named event nor a kind of event; there are: {listed}"


def test_the_nearest_kind_is_listed_though_others_are_more_frequent() -> None:
    many = OpenedEvents(fields={}, kinds={f"k{i}": 100 - i for i in range(12)} | {"zebra": 1})
    (mistake,) = binding_mistakes({"goal": {"any_of": ["zebr"]}}, many)
    assert mistake.problem.endswith("k6 (94), k7 (93), zebra (1) and 4 more")


@pytest.mark.parametrize(
    "where",
    ["amount starts with 'a'", "category > 5", "member > 1", "amount >= 'x'"],
)
def test_operators_must_fit_the_type(where: str) -> None:
    found = binding_mistakes({"events": {"e": {"is": "purchase", "where": where}}}, OPENED)
    assert len(found) == 1
    assert found[0].place.startswith("events.e.where.")


def test_measures_need_numbers() -> None:
    goal = {"any_of": [{"sum": "purchase.category", "gte": 1}, {"count_distinct": "purchase.category", "gte": 1}]}
    (mistake,) = binding_mistakes({"goal": goal}, OPENED)
    assert mistake.problem == "sum needs a column of numbers; 'category' holds text values"


def test_at_most_64_named_events() -> None:
    events = {f"e{i}": {"is": "login"} for i in range(65)}
    (mistake,) = binding_mistakes({"events": events}, OPENED)
    assert "at most 64" in mistake.problem


def test_the_outcome_s_bare_times_alone_are_refused() -> None:
    bare = OpenedEvents(fields={}, kinds={"purchase": 1200})
    alone = Instance.load({"name": "x", "goal": {"did": "purchase", "within": 30}})
    named = Instance.load({"name": "x", "events": {"buy": {"is": "purchase"}}, "goal": {"did": "buy", "within": 30}})
    with pytest.raises(NoBehaviourError, match="1,200 events"):
        check_behaviour(alone, bare)
    assert check_behaviour(named, bare) is None
    assert check_behaviour(alone, OPENED) is None
