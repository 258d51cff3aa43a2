"""What is predicted and for whom: the typed model and its plain form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from propend.document import write_yaml
from propend.goal import (
    COMBINATORS,
    Did,
    Eligibility,
    Goal,
    Group,
    Measure,
    NamedEvent,
    Part,
    Then,
    read_days,
    read_measured,
    write_measured,
)
from strategies import eligibilities, goals, groups, named_events, names

OPPOSITES = {"any_of": "none_of", "none_of": "any_of", "all_of": "not_all_of", "not_all_of": "all_of"}


def complaint(model: type[Part], plain: Any) -> str:
    """The one complaint about a document's part."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(plain)
    (one,) = caught.value.errors()
    return str(one["msg"]).removeprefix("Value error, ")


def goal(plain: Any) -> Goal:
    return Goal.model_validate(plain)


# --- durations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "days"),
    [(30, 30), ("30", 30), ("30d", 30), ("30 days", 30), ("1 day", 1), (" 8W ", 56), ("8 weeks", 56), ("0d", 0)],
)
def test_durations_are_whole_days_or_weeks(written: Any, days: int) -> None:
    assert read_days(written) == days


@pytest.mark.parametrize(
    "written",
    [30.0, 1.5, "1.5d", "-5d", -1, True, False, None, [30], "", "d", "3 months", "30 d d", "30d\n30d", "9" * 5000],
)
def test_other_durations_are_refused(written: Any) -> None:
    or_weeks = " or weeks such as 30d or 8w" if type(written) in (str, int) else " such as 30d"
    problem = f"a whole number of days{or_weeks} is needed, not {written!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        read_days(written)


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        ({"within": "0d"}, "Input should be greater than or equal to 1"),
        ({"within": "3651d"}, "Input should be less than or equal to 3650"),
        ({"within": "522w"}, "Input should be less than or equal to 3650"),
        ({"within": -1}, "a whole number of days or weeks such as 30d or 8w is needed, not -1"),
        ({"within": 30, "from": 1.5}, "a whole number of days such as 30d is needed, not 1.5"),
        (
            {"within": 30, "from": "1 month"},
            "a whole number of days or weeks such as 30d or 8w is needed, not '1 month'",
        ),
    ],
)
def test_windows_have_1_to_3650_days(window: dict[str, Any], problem: str) -> None:
    assert complaint(Goal, {"any_of": ["buy", "visit"], **window}) == problem
    assert complaint(Did, {"did": "buy", **window}) == problem


@pytest.mark.parametrize("days", [1, 3650])
def test_the_shortest_and_the_longest_window(days: int) -> None:
    asked = goal({"did": "buy", "within": days})
    assert (asked.within_days, asked.from_days, asked.reach_days) == (days, 0, days)


# --- forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"did": "buy", "within": "4w"}, {"all_of": ["buy"], "within": "28d"}),
        ({"any_of": "buy", "within": 30}, {"all_of": ["buy"], "within": "30d"}),
        ({"any_of": {"did": "buy", "at_least": 2}, "within": 30},
         {"all_of": [{"did": "buy", "at_least": 2}], "within": "30d"}),
        ({"not_all_of": ["buy"], "within": 30}, {"none_of": ["buy"], "within": "30d"}),
        ({"any_of": [{"did": "buy", "at_least": 1}, "visit"], "within": 30},
         {"any_of": ["buy", "visit"], "within": "30d"}),
        ({"did": "buy", "at_least": 0, "at_most": 3, "within": 30},
         {"all_of": [{"did": "buy", "at_most": 3}], "within": "30d"}),
        ({"did": "buy", "first_time": True, "from": "1w", "within": "21d"},
         {"all_of": [{"did": "buy", "first_time": True}], "from": "7d", "within": "21d"}),
        ({"all_of": [{"did": "buy", "from": 0, "within": "1 week"}], "from": "0d", "within": 30},
         {"all_of": [{"did": "buy", "from": "0d", "within": "7d"}], "within": "30d"}),
        ({"sum": "buy.amount", "gte": 100.0, "within": 30},
         {"all_of": [{"sum": "buy.amount", "gte": 100}], "within": "30d"}),
        ({"avg": "buy.commerce.price", "lt": 1.5, "within": 30},
         {"all_of": [{"avg": "buy.commerce.price", "lt": 1.5}], "within": "30d"}),
        ({"max": "`a.b`.c", "eq": 1e16, "within": 30}, {"all_of": [{"max": "`a.b`.c", "eq": 1e16}], "within": "30d"}),
        ({"then": ["cart", "buy"], "within": 30}, {"all_of": [{"then": ["cart", "buy"]}], "within": "30d"}),
        ({"all_of": ["a", {"any_of": ["b", {"none_of": "c"}]}], "within": 30},
         {"all_of": ["a", {"any_of": ["b", {"none_of": ["c"]}]}], "within": "30d"}),
        ({"all_of": ["any_of"], "within": 30}, {"all_of": ["any_of"], "within": "30d"}),
    ],
)  # fmt: skip
def test_one_meaning_has_one_form(written: dict[str, Any], meant: dict[str, Any]) -> None:
    assert json.loads(json.dumps(goal(written).model_dump(by_alias=True))) == meant
    assert goal(meant) == goal(written)


@settings(max_examples=200, deadline=None)
@given(goals, eligibilities, named_events)
def test_plain_data_is_read_back_to_the_same_model(goal: Goal, eligible: Eligibility, event: NamedEvent) -> None:
    parts = (goal, eligible, event)
    plain = json.loads(json.dumps([p.model_dump(by_alias=True) for p in parts]))
    assert tuple(type(p).model_validate(d) for p, d in zip(parts, plain, strict=True)) == parts


@settings(max_examples=100, deadline=None)
@given(goals, eligibilities)
def test_yaml_is_read_back_to_the_same_model(goal: Goal, eligible: Eligibility) -> None:
    document = {"name": "x", "goal": goal.model_dump(by_alias=True), "eligible": eligible.model_dump(by_alias=True)}
    again = yaml.safe_load(write_yaml(document))
    assert (Goal.model_validate(again["goal"]), Eligibility.model_validate(again["eligible"])) == (goal, eligible)


@given(names, names)
def test_a_measured_field_may_have_any_names(event: str, field: str) -> None:
    assert read_measured(write_measured(event, field)) == (event, field)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("buy.amount", ("buy", "amount")),
        ("buy.commerce.order.priceTotal", ("buy", "commerce.order.priceTotal")),
        ("`commerce.purchases`.priceTotal", ("commerce.purchases", "priceTotal")),
        ("`a``b`.c", ("a`b", "c")),
        ("amount", None),
        (".amount", None),
        ("buy.", None),
        ("`buy.amount", None),
        ("`buy`amount", None),
        (5, None),
    ],
)
def test_event_and_field_of_a_measure(path: Any, expected: tuple[str, str] | None) -> None:
    assert read_measured(path) == expected


@pytest.mark.parametrize(
    ("plain", "kinds"),
    [({"is": "a"}, ("a",)), ({"is": ["a", "b"]}, ("a", "b")), ({"is": [1, "b"]}, ("1", "b")), ({}, ())],
)
def test_kinds_of_a_named_event(plain: dict[str, Any], kinds: tuple[str, ...]) -> None:
    assert NamedEvent.model_validate(plain).kinds == kinds


# --- meaning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        ({}, 1, None),
        ({"at_least": 3}, 3, None),
        ({"at_most": 0}, 0, 0),
        ({"at_most": 2}, 0, 2),
        ({"at_least": 2, "at_most": 2}, 2, 2),
    ],
)
def test_how_often(count: dict[str, int], low: int, high: int | None) -> None:
    did = Did.model_validate({"did": "buy", **count})
    assert (did.low, did.high) == (low, high)


def test_windows_of_a_goal_and_of_its_atoms() -> None:
    asked = goal(
        {
            "all_of": [
                "buy",
                {"did": "visit", "within": 7},
                {"sum": "buy.amount", "gt": 1, "from": 20},
                {"any_of": [{"then": ["a", "b"], "from": 0, "within": 3}]},
            ],
            "from": "5d",
            "within": "30d",
        }
    )
    assert [asked.window_of(a) for a in asked.group.atoms()] == [(5, 35), (5, 12), (20, 50), (0, 3)]
    assert (asked.lead_days, asked.reach_days, asked.group.depth) == (0, 50, 2)
    assert asked.group.events == ("buy", "visit", "a", "b")


def test_look_backs_and_lines_of_an_eligibility() -> None:
    both = [{"did": "a", "within": 90}, {"any_of": [{"sum": "b.c", "gt": 0, "within": 400}, "d"]}]
    every, some, ever = map(Eligibility.model_validate, ({"all_of": both}, {"any_of": both}, {"did": "a"}))
    assert [e.longest_lookback_days for e in (every, some, ever)] == [400, 400, 0]
    assert [e.lines for e in (every, some, ever)] == [every.group.items, (some.group,), (Did(did="a"),)]


@given(groups(ahead=True), st.integers(1, 400), st.integers(0, 400))
def test_will_not_occur_is_asked_on_the_same_windows_as_will_occur(group: Group, within: int, start: int) -> None:
    opposite = Group(combinator=OPPOSITES[group.combinator], items=group.items)
    asked, other = (Goal(group=g, within_days=within, from_days=start) for g in (group, opposite))
    assert asked.negative is not other.negative
    assert Group(combinator=OPPOSITES[opposite.combinator], items=group.items) == group
    assert (asked.lead_days, asked.reach_days, group.items) == (other.lead_days, other.reach_days, opposite.items)


def test_negative_goals() -> None:
    negative = [goal({c: ["a", "b"], "within": 1}).negative for c in COMBINATORS]
    assert dict(zip(COMBINATORS, negative, strict=True)) == {
        "all_of": False,
        "any_of": False,
        "none_of": True,
        "not_all_of": True,
    }


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        goal({"did": "buy", "within": 30}).within_days = 31  # type: ignore[misc]


# --- mistakes -------------------------------------------------------------------------------------------------

DEEP: Any = "buy"
for _ in range(21):
    DEEP = {"all_of": ["visit", DEEP]}


@pytest.mark.parametrize(
    ("model", "plain", "expected"),
    [
        (Did, {"did": "a", "at_least": 3, "at_most": 2}, "at_least 3 is more than at_most 2"),
        (Did, {"did": "a", "at_least": 0}, "at_least: 0 is always true; give at_least: 1 or more, or at_most"),
        (Did, {"did": "a", "first_time": True, "at_most": 3},
         "first_time asks for something to happen; at_most asks for it not to"),
        (Did, {"did": "a", "at_least": True}, "Input should be a valid integer"),
        (Did, {"did": "a", "at_least": "1"}, "Input should be a valid integer"),
        (Did, {"did": "a", "at_least": 1_000_001}, "Input should be less than or equal to 1000000"),
        (Did, {"did": ""}, "String should have at least 1 character"),
        (Did, {"did": "x" * 201}, "String should have at most 200 characters"),
        (Measure, {"gte": 1}, "one of sum, avg, max, min, count_distinct is needed, found none"),
        (Measure, {"sum": "a.b", "avg": "a.b", "gte": 1},
         "one of sum, avg, max, min, count_distinct is needed, found ['sum', 'avg']"),
        (Measure, {"sum": "a.b"}, "one bound of gt, gte, lt, lte, eq is needed, found none"),
        (Measure, {"sum": "a.b", "gt": 1, "lt": 2}, "one bound of gt, gte, lt, lte, eq is needed, found ['gt', 'lt']"),
        (Measure, {"sum": "amount", "gt": 1}, "sum needs event.field such as buy.amount, not 'amount'"),
        (Measure, {"sum": "a.b", "gt": "1"}, "Input should be a valid number"),
        (Measure, {"sum": "a.b", "gt": True}, "Input should be a valid number"),
        (Measure, {"sum": "a.b", "gt": float("nan")}, "Input should be a finite number"),
        (Measure, {"sum": "a.b", "gt": float("inf")}, "Input should be a finite number"),
        (Then, {"then": ["a"]}, "Tuple should have at least 2 items after validation, not 1"),
        (Then, {"then": ["a"] * 9}, "Tuple should have at most 8 items after validation, not 9"),
        (Group, {"any_of": []}, "Tuple should have at least 1 item after validation, not 0"),
        (Group, {"any_of": ["a"] * 65}, "Tuple should have at most 64 items after validation, not 65"),
        (Group, {}, "one of all_of, any_of, none_of, not_all_of is needed, found none"),
        (Group, {"any_of": ["a"], "all_of": ["b"]},
         "one of all_of, any_of, none_of, not_all_of is needed, found all_of and any_of; nest one inside the other"),
        (Group, DEEP, "groups are nested more than 20 deep"),
        (Goal, {"did": "a", "from": 3000, "within": 651}, "the outcome window ends 3651 days ahead; 3650 is the most"),
        (Goal, {"all_of": [{"did": "a", "from": 3000}], "within": 651},
         "the outcome window ends 3651 days ahead; 3650 is the most"),
        (Goal, {"all_of": ["a"]}, "Field required"),
        (Eligibility, {"did": "a", "from": 0}, "eligibility looks back from the cutoff: `from` has no meaning in "
         "{'did': 'a', 'from': '0d'}"),
        (Eligibility, {"any_of": ["b", {"did": "a", "first_time": True}]},
         "first_time belongs in the goal, not in {'did': 'a', 'first_time': True}; here write at_most: 0"),
        (NamedEvent, {"is": True}, "a kind of event, or a list of kinds, is needed, not True"),
        (NamedEvent, {"is": ["a", None]}, "a kind of event, or a list of kinds, is needed, not None"),
    ],
    ids=lambda v: str(v)[:30],
)  # fmt: skip
def test_mistakes(model: type[Part], plain: dict[str, Any], expected: str) -> None:
    assert complaint(model, plain) == expected


def test_twenty_groups_deep_is_the_most() -> None:
    assert Group.model_validate(DEEP["all_of"][1]).depth == 20


def test_items_are_told_apart_by_their_keys() -> None:
    plain: list[Any] = ["a", {"did": "a"}, {"sum": "a.b", "gt": 1}, {"then": ["a", "b"]}, {"none_of": ["a"]}]
    items = TypeAdapter(Group).validate_python({"all_of": plain}).items
    assert [type(i) for i in items] == [Did, Did, Measure, Then, Group]
