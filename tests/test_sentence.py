"""Goal and eligibility as one English sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from propend import sentence
from propend.errors import SentenceError
from propend.goal import Did, Eligibility, Goal, Group, Measure, Then
from propend.sentence import read_sentence, write_item_phrase, write_sentence
from strategies import AWKWARD, eligibilities, goals, items

PAGE = (Path(__file__).parents[1] / "docs" / "goal_language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n\n> (.*?)\n", PAGE, re.DOTALL)

Question = tuple[Goal, Eligibility | None]


def question(goal: Any, eligible: Any = None) -> Question:
    return Goal.model_validate(goal), None if eligible is None else Eligibility.model_validate(eligible)


def item(plain: Any) -> Any:
    return Group.model_validate({"all_of": [plain]}).items[0]


@settings(max_examples=500, deadline=None)
@given(goals, st.none() | eligibilities)
def test_a_sentence_is_read_back_to_the_same_model(goal: Goal, eligible: Eligibility | None) -> None:
    assert read_sentence(write_sentence(goal, eligible)) == (goal, eligible)


@pytest.mark.parametrize(("plain", "text"), EXAMPLES, ids=[text[-40:] for _, text in EXAMPLES])
def test_examples_of_the_page(plain: str, text: str) -> None:
    document = yaml.safe_load(plain)
    asked = question(document["goal"], document.get("eligible"))
    assert (write_sentence(*asked), read_sentence(text)) == (text, asked)


def test_the_page_has_every_atom_and_combinator() -> None:
    asked = [read_sentence(text) for _, text in EXAMPLES]
    groups = [part.group for question in asked for part in question if part is not None]
    atoms = [atom for group in groups for atom in group.atoms()]
    assert {type(a) for a in atoms} == {Did, Measure, Then}
    assert {a.aggregate for a in atoms if isinstance(a, Measure)} == {"sum", "avg", "max", "min", "count_distinct"}
    assert {group.combinator for group in groups} == {"all_of", "any_of", "none_of", "not_all_of"}


ELIGIBLE = {"did": "visit", "within": "30d"}
OF_PROFILES = "Of profiles who did visit at least once in the last 30 days, "


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ({"any_of": ["buy"], "within": 30}, "who will do buy in the next 30 days?"),
        ({"all_of": ["buy"], "within": 30}, "who will do buy in the next 30 days?"),
        ({"all_of": ["buy", "visit"], "within": 1}, "who will do all of buy, visit in the next 1 day?"),
        ({"not_all_of": ["buy", "visit"], "within": 7}, "who will not do all of buy, visit in the next 7 days?"),
        ({"did": "buy", "at_most": 0, "within": 30}, "who will never do buy in the next 30 days?"),
        (
            {"did": "buy", "at_least": 3, "from": 7, "within": 3},
            "who will do buy at least 3 times from 7 to 10 days ahead?",
        ),
        (
            {"none_of": [{"did": "buy", "at_least": 3}], "within": 9},
            "who will not do buy at least 3 times in the next 9 days?",
        ),
        (
            {"any_of": [{"sum": "buy.amount", "eq": 0}, "visit"], "within": 9},
            "whose total amount of buy will be exactly 0 or who will do visit in the next 9 days?",
        ),
        (
            {"all_of": [{"any_of": ["a", "b"]}], "within": 9},
            "(who will do any of a, b) in the next 9 days?",
        ),
        (
            {"not_all_of": ["a", {"sum": "b.c", "lt": 0.5}], "within": 9},
            "to whom not all of these apply: (will do a; whose total c of b will be less than 0.5) in the next 9 days?",
        ),
    ],
)
def test_common_goals_read_like_english(goal: dict[str, Any], said: str) -> None:
    assert write_sentence(*question(goal, ELIGIBLE)) == OF_PROFILES + said


@pytest.mark.parametrize(
    ("plain", "phrase"),
    [
        ({"did": "buy", "within": "90d"}, "did buy at least once in the last 90 days"),
        ({"did": "closed_account", "at_most": 0, "within": "365d"}, "never did closed_account in the last 365 days"),
        ({"did": "buy", "at_most": 0}, "never did buy"),
        ({"did": "anything"}, "did anything at least once so far"),
        (
            {"sum": "buy.amount", "gte": 100, "within": 90},
            "whose total amount of buy in the last 90 days is at least 100",
        ),
        ({"then": ["cart", "buy"], "within": 1}, "did cart then buy in the last 1 day"),
        ({"any_of": [{"did": "a", "within": 2}, {"did": "b", "within": 2}]}, "did any of a, b in the last 2 days"),
        (
            {"any_of": [{"did": "a", "within": 2}, {"did": "b"}]},
            "did a at least once in the last 2 days or did b at least once so far",
        ),
        ({"none_of": [{"did": "a"}]}, "did not do a so far"),
        ({"did": "a", "first_time": True}, "will do a for the first time"),
        ({"did": "a", "from": 3, "within": 4}, "will do a (from 3 to 7 days ahead)"),
    ],
)
def test_phrases_of_items(plain: dict[str, Any], phrase: str) -> None:
    assert write_item_phrase(item(plain)) == phrase


@given(items(ahead=False))
def test_the_phrase_of_an_item_is_what_the_sentence_says(one: Group | Did | Measure | Then) -> None:
    group = one if isinstance(one, Group) else Group(combinator="all_of", items=(one,))
    goal = Goal.model_validate({"did": "buy", "within": 30})
    said = write_sentence(goal, Eligibility(group=group))
    assert said.removeprefix("Of profiles ").removeprefix("who ").startswith(write_item_phrase(one) + ", ")


def questions_that_differ_little() -> list[Question]:
    """No two are the same, and the sentences of many differ in a word or a parenthesis."""
    bare: list[Any] = ["a", "b"]
    both = [{"did": "a", "within": 45}, {"did": "b", "within": 45}]
    many: list[Any] = [
        {"did": "anything", "within": 45},
        *[{c: both} for c in ("all_of", "any_of", "none_of", "not_all_of")],
        *[{"all_of": [{c: both}]} for c in ("all_of", "any_of", "none_of", "not_all_of")],
        *[{"all_of": [{"all_of": [{c: both}]}]} for c in ("all_of", "any_of", "none_of", "not_all_of")],
        *[{"none_of": [{c: both}]} for c in ("all_of", "any_of", "none_of", "not_all_of")],
        {"did": "a"}, {"all_of": [{"all_of": ["a"]}]}, {"none_of": ["a"]}, {"did": "a", "at_most": 0},
        {"none_of": [{"none_of": ["a"]}]}, {"none_of": [{"did": "a", "at_most": 0}]}, {"none_of": [{"all_of": ["a"]}]},
        {"any_of": bare}, {"any_of": ["a, b"]}, {"any_of": ["a", "b in the last 45 days"]},
        {"then": bare}, {"did": "a then b"}, {"did": "A"}, {"did": "a", "at_least": 2},
        {"all_of": [{"any_of": ["a", "b"]}, "c"]}, {"any_of": ["a", {"all_of": ["b", "c"]}]},
        {"any_of": [{"all_of": ["a", "b"]}, "c"]}, {"all_of": ["a", {"any_of": ["b", "c"]}]},
    ]  # fmt: skip
    goal = {"did": "buy", "within": 30}
    asked = [question(goal), *[question(goal, eligible) for eligible in many]]
    ahead = [{}, {"from": 0}, {"from": 7}, {"within": 30}, {"from": 0, "within": 30}, {"within": 31}]
    asked += [question({"all_of": [{"did": "buy", **window}], "within": 30}) for window in ahead[1:]]
    return [*asked, question({"did": "buy", "from": 7, "within": 30}), question({"did": "buy", "within": 37})]


def test_models_that_differ_little_have_different_sentences() -> None:
    asked = questions_that_differ_little()
    assert len({write_sentence(*one) for one in asked}) == len(asked)


@pytest.mark.parametrize(
    "text",
    [
        "Of profiles who did buy at least once in the last 14 days, who will do none of buy, visit in the next 60 days",
        "of profiles who did buy in the last 2 weeks, who will do none of buy, visit in the next 60 days",
        "OF PROFILES WHO DID buy IN THE LAST 14 DAYS WHO WILL DO NONE OF buy,visit IN THE NEXT 60 DAYS.",
        'Of profiles\n who did `buy` at least 1 time in the last 14 day, '
        'will do none of "buy" , visit in the next 60 days!',
    ],
)  # fmt: skip
def test_what_does_not_matter(text: str) -> None:
    asked = question({"none_of": ["buy", "visit"], "within": "60d"}, {"did": "buy", "within": "14d"})
    assert read_sentence(text) == asked


@pytest.mark.parametrize(
    "text",
    [
        "Of profiles active in the last 45 days, who will do buy in the next 30 days?",
        "Who will do buy in the next 30 days?",
        "will do buy in the next 30 days",
        "who will do any of buy in the next 30 days",
    ],
)
def test_everybody_active_lately_is_no_eligibility(text: str) -> None:
    assert read_sentence(text) == question({"did": "buy", "within": 30})


def test_another_look_back_of_activity_is_one() -> None:
    text = "Of profiles active in the last 60 days, who will do buy in the next 30 days?"
    assert read_sentence(text) == question({"did": "buy", "within": 30}, {"did": "anything", "within": 60})


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_may_be_said(name: str) -> None:
    ticked = name.replace("`", "``")
    text = f"who will do `{ticked}` in the next 30 days?"
    asked = question({"all_of": [{"did": name}], "within": 30})
    assert (read_sentence(text), read_sentence(write_sentence(*asked))) == (asked, asked)


REFUSED = [
    ("", 1, "it ends too early", "write `will do` and the event's name"),
    ("Of profiles", 12, "it ends too early", "write `did` and the event's name"),
    ("Of profiles who bought", 17, "expected `(` or `did` or `never`", "write `did` and the"),
    ("who buys", 5, "expected `(` or `will`", "write `will do` and the"),
    ("whoo will do a in the next 3 days", 1, "'whoo' was not expected", "did you mean `who`?"),
    ("who will do in in the next 3 days", 13, "or a name", 'double quotes: "in"'),
    ("who will do a and will do b or will do c in the next 3 days", 29, "'or' was not expected", "in parentheses"),
    ("who will do a", 14, "it ends too early", "the goal's days are missing: in the next 30 days"),
    ("who will do a @ in the next 3 days", 15, "'@' was not expected", "reads like"),
    ("who will do a in the next 0 days", 27, "a window has at least 1 day", "goal_language.md"),
    ("who will do a in the next 9999 days", 27, "at most 3,650 is needed, not 9999", ""),
    ("who will do a in the next 1.5 days", 27, "whole number of at most", ""),
    ("who will do a from 3 to 3 days ahead", 20, "3 is not after 3", ""),
    ("who will do a at least 0 times in the next 3 days", 13, "always true", ""),
    ("who will do a 5 to 3 times in the next 3 days", 13, "5 is more than", ""),
    ("who will do a then b for the first time in the next 3 days", 13, "not of a sequence", ""),
    (
        "who will do a then a then a then a then a then a then a then a then a in the next 3 days",
        13,
        "at most 8 items",
        "",
    ),
    ("whose total a of b will be at least 1e999 in the next 3 days", 13, "finite number", ""),
    ("who will do a (from 3000 days ahead) in the next 3000 days", 1, "ends 6000 days ahead", ""),
    (
        "Of profiles who did a for the first time, who will do a in the next 3 days",
        23,
        "'for' was not expected",
        "belongs in the goal",
    ),
    ("who will do a in the next 3 days? And more", 35, "expected the end", ""),
    ('who will do "a in the next 3 days', 13, "was not expected", ""),
    (f"who will do {'x' * 201} in the next 3 days", 13, "at most 200 characters", ""),
    ("(" * 50_000, 50001, "it ends too early", ""),
    ("(" * 30 + "who will do a" + ")" * 30 + " in the next 3 days", 1, "nested more than 20 deep", ""),
    ("x" * 1_000_001, 1000001, "1,000,001 characters; at most 1,000,000", "instance document"),
]


@pytest.mark.parametrize(("text", "position", "problem", "hint"), REFUSED, ids=[r[0][:40] for r in REFUSED])
def test_what_cannot_be_read_is_refused(text: str, position: int, problem: str, hint: str) -> None:
    with pytest.raises(SentenceError) as caught:
        read_sentence(text)
    assert (caught.value.code, caught.value.facts["position"]) == ("PROPEND-101", position)
    assert problem in caught.value.message
    assert caught.value.hint
    assert hint in caught.value.hint


def test_a_refusal_lists_what_was_expected() -> None:
    with pytest.raises(SentenceError) as caught:
        read_sentence("who will do a at last 3 times in the next 3 days")
    assert caught.value.facts == {
        "position": 18,
        "near": "who will do a at last 3 times in the ",
        "expected": ["`least`", "`most`"],
    }
    assert caught.value.hint == "did you mean `least`?"


def test_every_word_of_the_grammar_is_a_reserved_one() -> None:
    words = {t.pattern.value for t in sentence._parser().terminals if t.pattern.value.isalpha()}
    assert words == {w for w in words if sentence._RESERVED.fullmatch(w)} == set(sentence._KEYWORDS.split("|"))


def test_importing_and_writing_compile_no_grammar() -> None:
    code = (
        "import sys, propend; print('lark' in sys.modules)\n"
        "from propend import conditions, sentence; from propend.goal import Goal\n"
        "sentence.write_sentence(Goal.model_validate({'did': 'buy', 'within': 30}), None)\n"
        "print(conditions._parser.cache_info().currsize, sentence._parser.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "0", "0"]
