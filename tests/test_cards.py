"""A goal as cards: what cards show comes back from their form as it was, and what they do not show survives."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from propend import cards
from propend.errors import ConfigurationError, RequestInvalidError
from propend.goal import Eligibility, Goal
from propend.instance import Instance

TYPES: dict[str, Any] = {"amount": "number", "category": "text", "first": "boolean", "sent_at": "time"}
DOCUMENT: dict[str, Any] = {
    "name": "All there is",
    "data": {"events": "x.csv"},
    "events": {
        "big": {"is": "purchase", "where": {"amount": {"gte": 99.5}, "category": {"in": ["shoes", "a, b", 'c"d']}}},
        "any": {},
        "odd": {"is": ["a", "b"], "where": [{"amount": {"gt": 1}}, {"amount": {"lt": 9}}]},
        "late": {"where": {"sent_at": {"gte": "2026-01-31"}, "first": {"eq": True}, "coupon": {"exists": False}}},
        "words": {"where": {"category": {"starts_with": "a"}, "amount": {"between": [1, 2.5]}}},
    },
    "goal": {
        "any_of": [
            "big",
            {"did": "visit", "at_least": 3},
            {"did": "visit", "at_most": 0, "within": "7d"},
            {"did": "visit", "at_least": 2, "at_most": 2},
            {"did": "visit", "first_time": True},
            {"sum": "big.amount", "gte": 100},
            {"count_distinct": "`a.b`.category", "gt": 2, "from": "3d"},
            {"then": ["visit", "big"]},
            {"all_of": ["visit", {"did": "big", "at_least": 2}]},
            {"did": "visit", "at_least": 2, "at_most": 5},
        ],
        "from": "7d",
        "within": "30d",
    },
    "eligible": {
        "all_of": [
            {"did": "big", "within": "90d"},
            {"did": "visit", "at_most": 0, "within": "30d"},
            {"did": "visit", "at_most": 4, "within": "30d"},
            {"avg": "big.amount", "lt": 3, "within": "365d"},
            {"any_of": ["visit", "big"]},
        ]
    },
    "exits": ["late"],
    "exclude": ["words", "elsewhere"],
}


def filled(document: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends of the cards of a document, as nested data."""

    def item(card: cards.ItemCard, ahead: bool) -> dict[str, Any]:
        if not card.editable:
            return {"plain": card.plain}
        hidden = ("phrase", "editable", *(("within", "side") if ahead else ()))
        return {key: value for key, value in asdict(card).items() if key not in hidden}

    goal, population = cards.goal_of(document), cards.population_of(document)
    events = [
        {"was": e.name, "name": e.name, "kinds": list(e.kinds), "where": [asdict(c) for c in e.where], "kept": e.kept}
        | ({"exits": "yes"} if e.exits else {})
        | ({"exclude": "yes"} if e.exclude else {})
        for e in cards.events_of(document)
    ]
    return {
        "goal": {"will": goal.will, "how": goal.how, "within": goal.within, "lead": goal.lead}
        | {"items": [item(c, True) for c in goal.items]},
        "population": {"how": population.how, "lines": [item(c, False) for c in population.lines]}
        | ({"kept": "yes"} if population.phrase else {}),
        "events": events,
    }


def test_what_cards_show_comes_back_as_it_was() -> None:
    back = cards.with_cards(DOCUMENT, filled(DOCUMENT), TYPES)
    assert back == DOCUMENT | {"exclude": ["elsewhere", "words"]}
    assert [c.editable for c in cards.goal_of(DOCUMENT).items] == [True] * 7 + [False] * 3
    assert [c.side for c in cards.population_of(DOCUMENT).lines][:3] == ["include", "exclude", "exclude"]


@pytest.mark.parametrize("combinator", ["all_of", "any_of", "none_of", "not_all_of"])
def test_every_combinator_has_its_words(combinator: str) -> None:
    document = {"goal": {combinator: ["a", "b"], "within": "9d"}, "eligible": {combinator: ["a", "b"]}}
    back = cards.with_cards(document, filled(document), {})
    assert back == document
    Goal.model_validate(back["goal"])
    Eligibility.model_validate(back["eligible"])


@pytest.mark.parametrize(
    "goal",
    [
        {"did": "buy", "within": 30},
        {"sum": "buy.amount", "gte": 3, "within": "8w"},
        {"none_of": "buy", "within": "30 days"},
    ],
)
def test_other_ways_of_writing_mean_the_same(goal: dict[str, Any]) -> None:
    document = {"goal": goal}
    back = cards.with_cards(document, filled(document), {})
    assert Goal.model_validate(back["goal"]) == Goal.model_validate(goal)


def test_an_event_that_is_renamed_is_renamed_everywhere() -> None:
    form = filled(DOCUMENT)
    form["events"][0]["name"] = "huge"
    back = cards.with_cards(DOCUMENT, form, TYPES)
    assert json.dumps(back) == json.dumps(DOCUMENT | {"exclude": ["elsewhere", "words"]}).replace('"big', '"huge')


def test_a_form_that_is_sent_twice_says_the_same_twice() -> None:
    form = filled(DOCUMENT)
    form["events"][3]["name"], form["events"][4]["name"] = "later", "other words"
    once = cards.with_cards(DOCUMENT, form, TYPES)
    assert (once["exits"], once["exclude"]) == (["later"], ["elsewhere", "other words"])
    assert cards.with_cards(once, form, TYPES) == once


def test_two_events_exchange_their_names_in_one_save() -> None:
    document = {
        "events": {"a": {"is": "visit"}, "b": {"is": "purchase"}},
        "goal": {"all_of": ["a", {"sum": "b.amount", "gte": 9}], "within": "30d"},
        "eligible": {"all_of": [{"did": "a", "within": "9d"}]},
        "exits": ["b"],
    }
    form = filled(document)
    form["events"][0]["name"], form["events"][1]["name"] = "b", "a"
    once = cards.with_cards(document, form, TYPES)
    assert once == {
        "events": {"b": {"is": "visit"}, "a": {"is": "purchase"}},
        "goal": {"all_of": ["b", {"sum": "a.amount", "gte": 9}], "within": "30d"},
        "eligible": {"all_of": [{"did": "b", "within": "9d"}]},
        "exits": ["a"],
    }
    assert (cards.with_cards(once, form, TYPES), cards.with_cards(once, filled(once), TYPES)) == (once, once)


def test_an_event_keeps_its_name_when_another_is_given_it() -> None:
    document = {"events": {"a": {"is": "visit"}, "b": {"is": "purchase"}}, "goal": {"all_of": ["b"], "within": "9d"}}
    form = filled(document)
    form["events"][0]["name"] = "b"
    back = cards.with_cards(document, form, TYPES)
    assert (back["events"], back["goal"]) == (
        {"b_2": {"is": "visit"}, "b": {"is": "purchase"}},
        {"all_of": ["b"], "within": "9d"},
    )


def test_cards_come_and_go() -> None:
    document = {"goal": {"all_of": ["purchase"], "within": "30d"}}
    names, fields = ("purchase", "visit"), ("amount",)
    for what in ("goal.add", "population.add.include", "population.add.exclude", "goal.items.0.define"):
        document = cards.done(document, what, names, fields)
    document = cards.done(document, "events.0.where.add", names, fields)
    assert document == {
        "goal": {"all_of": ["chosen_purchase", "visit"], "within": "30d"},
        "eligible": {
            "all_of": [{"did": "purchase", "within": "90d"}, {"did": "purchase", "within": "90d", "at_most": 0}]
        },
        "events": {"chosen_purchase": {"is": "purchase", "where": [{"amount": {"exists": True}}]}},
    }
    for what in (
        "goal.items.1.remove",
        "population.lines.1.remove",
        "population.lines.0.remove",
        "events.0.where.0.remove",
    ):
        document = cards.done(document, what, names, fields)
    assert document == {
        "goal": {"all_of": ["chosen_purchase"], "within": "30d"},
        "events": {"chosen_purchase": {"is": "purchase"}},
    }
    for wrong in ("goal.items.7.remove", "goal.items.x.remove", "", "events.0.drop", "population.lines.²", "a.b"):
        with pytest.raises(RequestInvalidError):
            cards.done(document, wrong, names, fields)


@pytest.mark.parametrize(
    "form",
    [
        {"goal": "x", "population": ["y"], "events": {"a": "b"}},
        {"goal": {"items": [{"plain": "[1]", "event": "a"}, {"plain": "3"}]}},
        {"events": [{"was": "a", "where": [{}]}, {"was": "a"}, {}]},
        {"goal": {"items": [{"event": "a", "count": "sum", "number": "x", "within": "y"}], "within": "soon"}},
    ],
)
def test_no_form_is_a_fault(form: dict[str, Any]) -> None:
    """Whatever is sent becomes a document, right or wrong, and its mistakes are told as such."""
    document = cards.with_cards(DOCUMENT, form, TYPES)
    assert json.loads(json.dumps(document)) == document
    with pytest.raises(ConfigurationError):
        Instance.load(document)


def test_what_is_no_form_of_cards_is_refused() -> None:
    with pytest.raises(RequestInvalidError):
        cards.with_cards(DOCUMENT, {"goal": {"items": [{"plain": "{"}]}}, TYPES)


def test_fields_of_forms_nest() -> None:
    deep = ".".join(["a"] * 5000)
    found = cards.nested(
        [
            ("goal.items.10.event", "c"),
            ("goal.items.2.event", "b"),
            ("k[]", "x"),
            ("k[]", "y"),
            ("k.z", "-"),
            (deep, "1"),
        ]
    )
    assert found["goal"] == {"items": [{"event": "b"}, {"event": "c"}]}
    assert found["k"] == ["x", "y"]


def test_operators_are_those_that_fit() -> None:
    assert cards.operators_for("boolean") == ("exists", "missing", "eq", "ne")
    assert "contains" not in cards.operators_for("number")
    assert "gt" not in cards.operators_for("text")
    assert set(cards.operators_for(None)) == set(cards.OPERATOR_WORDS)


def test_sources_keep_what_cards_do_not_show() -> None:
    section = {"events": "a.csv", "columns": {"profile": "who"}, "attributes": {"path": "b.csv"}, "folder": ".."}
    one = cards.with_sources(section, {"sources": [{"path": "a.csv", "columns": {"profile": "id"}, "kind": "visit"}]})
    assert one == section | {"columns": {"profile": "id"}, "kind": "visit"}
    two = cards.with_sources(one, {"add": ["c.csv", ""]})
    own = {"path": "a.csv", "columns": {"profile": "id"}, "kind": "visit"}
    assert two["events"] == [own, "c.csv"]
    assert cards.with_sources(two, {"sources": [{"path": "a.csv"}, {"remove": "yes"}]})["events"] == "a.csv"
    first = cards.with_sources({}, {"add": "data/x.csv"})
    assert first == {"events": "data/x.csv", "folder": ".."}
    Instance.model_validate({"name": "x", "data": two, "goal": {"did": "visit", "within": 3}})
