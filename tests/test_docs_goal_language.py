"""The page on the goal language: what it shows can be read, and its limits are those of the code."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from propend import conditions, document, events, goal
from propend.conditions import Condition
from propend.goal import Goal, Group, Then, read_days
from propend.instance import Instance
from propend.sentence import read_sentence, write_sentence

PAGE = (Path(__file__).parents[1] / "docs" / "goal_language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GOALS = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
SENTENCES = re.findall(r"^> (.*)$", PAGE, re.MULTILINE)


def section(heading: str) -> str:
    """What stands under a heading of the second level."""
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_every_goal_is_followed_by_its_sentence() -> None:
    loaded = [Instance.load({"name": "x", **plain}) for plain in GOALS]
    assert [write_sentence(i.goal, i.eligible) for i in loaded] == SENTENCES
    assert [read_sentence(text) for text in SENTENCES] == [(i.goal, i.eligible) for i in loaded]
    assert len(loaded) > 10


def test_every_block_is_a_goal_named_events_or_python() -> None:
    [named] = [yaml.safe_load(text) for language, text in BLOCKS if not language]
    instance = Instance.load({"name": "x", "goal": {"did": "big", "within": 1}, **named})
    assert (list(instance.events), instance.events["big"]) == (["buy", "big", "the_same"], instance.events["the_same"])
    assert sorted({language for language, _ in BLOCKS}) == ["", "python", "yaml"]


def test_the_python_shown_gives_what_its_comments_say() -> None:
    [shown] = [text for language, text in BLOCKS if language == "python"]
    names: dict[str, Any] = {}
    exec(shown, names)
    said = re.search(r"^write_sentence\(goal, eligible\) +# '(.*)'$", shown, re.MULTILINE)
    assert said is not None
    assert (names["eligible"], write_sentence(names["goal"], names["eligible"])) == (None, said[1])


def test_the_durations_shown_are_read() -> None:
    first = section("Windows").split(";", 1)[0]
    assert [read_days(yaml.safe_load(d)) for d in re.findall("`(.*?)`", first)] == [30, 30, 30, 56, 56]


def test_combinators_of_one_item_are_what_the_page_says() -> None:
    one, other = re.findall(r"`(\w+)` is `(\w+)`", section("Combinators"))
    for left, right in (one, other):
        assert Group.model_validate({left: ["a"]}) == Group.model_validate({right: ["a"]})


LIMITS = dict(re.findall(r"^\| ([a-z].*?) \| (\d.*?) \|$", section("Limits"), re.MULTILINE))


def nested(depth: int) -> dict[str, Any]:
    inner: Any = "a"
    for _ in range(depth):
        inner = {"all_of": ["b", inner]}
    return dict(inner)


MOST: dict[str, Callable[[int], object]] = {
    "items of a group": lambda n: Group.model_validate({"any_of": ["a"] * n}),
    "groups within groups": lambda n: Group.model_validate(nested(n)),
    "events of a sequence": lambda n: Then.model_validate({"then": ["a"] * n}),
    "days of a window": lambda n: Goal.model_validate({"did": "a", "within": n}),
    "times of a count": lambda n: Goal.model_validate({"did": "a", "at_least": n, "within": 1}),
    "values of `in`": lambda n: Condition(field="a", operator="in", value=("b",) * n),
}


@pytest.mark.parametrize("what", MOST)
def test_the_most_is_taken_and_one_more_is_not(what: str) -> None:
    most = int(LIMITS[what].replace(",", ""))
    MOST[what](most)
    with pytest.raises(ValidationError):
        MOST[what](most + 1)


def test_the_other_limits_are_those_of_the_code() -> None:
    lengths = (conditions.MAX_TEXT_LENGTH, 200, conditions.MAX_PATTERN_LENGTH)
    assert {what: most for what, most in LIMITS.items() if what not in MOST} == {
        "named events": str(events.MAX_SELECTORS),
        "characters of a text, of a name, of a pattern": ", ".join(f"{n:,}" for n in lengths),
        "bytes of a document": f"{document.MAX_DOCUMENT_BYTES:,}",
    }
    assert LIMITS["days of a window"] == f"{goal.MAX_WINDOW_DAYS:,}"
