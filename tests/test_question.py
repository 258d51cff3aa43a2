"""The question in the language of the context: English as in documents, Portuguese with the same parts."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propend import question
from propend.goal import Did, Eligibility, Goal, Group, Measure, Then
from propend.instance import Instance
from propend.language import speaking
from propend.question import spoken_item_phrase, spoken_sentence
from propend.sentence import _KEYWORDS, write_item_phrase, write_sentence
from propend.snapshots.program import lines_of
from strategies import eligibilities, goals, items
from test_sentence import item, questions_that_differ_little
from test_sentence import question as asked

Question = tuple[Goal, Eligibility | None]
questions = st.tuples(goals, st.none() | eligibilities)
ENGLISH_WORDS = {*_KEYWORDS.split("|"), "anything", "had", "have", "fit", "a", "an"} - {"a", "do", "total"}
"""Without those that are Portuguese words, too."""


@given(questions)
def test_in_english_it_is_the_sentence_of_the_document(one: Question) -> None:
    assert spoken_sentence(*one) == write_sentence(*one)


@given(items(ahead=True))
def test_in_english_a_phrase_is_that_of_the_document(one: Group | Did | Measure | Then) -> None:
    assert spoken_item_phrase(one) == write_item_phrase(one)


@settings(max_examples=300, deadline=None)
@given(questions)
def test_a_portuguese_sentence_has_no_english_word(one: Question) -> None:
    with patch.object(question, "quoted_name", lambda name: "zz"), speaking("pt"):
        said = spoken_sentence(*one)
    assert {w.lower() for w in re.findall(r"[^\W\d]+", said)} & ENGLISH_WORDS == set()
    assert not re.search(r"[{}]|  | [,?)]", said)


def in_portuguese(one: Question) -> str:
    with speaking("pt"):
        return spoken_sentence(*one)


@settings(deadline=None)
@given(questions, questions)
def test_different_questions_have_different_portuguese_sentences(one: Question, other: Question) -> None:
    assert (in_portuguese(one) == in_portuguese(other)) == (one == other)


def test_questions_that_differ_little_have_different_portuguese_sentences() -> None:
    many = questions_that_differ_little()
    assert len({in_portuguese(one) for one in many}) == len(many)


@pytest.mark.parametrize(
    ("goal", "eligible", "said"),
    [
        (
            {"none_of": ["buy", "visit"], "within": 60},
            {"all_of": [{"did": "buy", "within": 90}, {"did": "closed_account", "at_most": 0, "within": 365}]},
            "Dos perfis que fizeram buy pelo menos uma vez nos últimos 90 dias e nunca fizeram closed_account nos "
            "últimos 365 dias, quais não farão nenhum dos eventos buy, visit nos próximos 60 dias?",
        ),
        ({"did": "buy", "within": 1}, None, "Dos perfis ativos nos últimos 45 dias, quais farão buy no próximo dia?"),
        (
            {"sum": "buy.amount", "gte": 99.5, "within": 30},
            {"any_of": ["buy", {"all_of": ["visit", {"did": "buy", "at_most": 0}]}]},
            "Dos perfis que fizeram buy pelo menos uma vez até agora ou (fizeram visit pelo menos uma vez até agora e "
            "nunca fizeram buy), quais terão um total de amount em buy de no mínimo 99,5 nos próximos 30 dias?",
        ),
        (
            {"did": "subscribe", "first_time": True, "from": 7, "within": 21},
            {"none_of": [{"avg": "buy.amount", "lt": 5, "within": 1}, {"did": "visit", "at_most": 2}]},
            "Dos perfis que não atenderam a nenhuma destas condições: (tiveram uma média de amount em buy abaixo de 5 "
            "no último dia; fizeram visit no máximo 2 vezes até agora), quais farão subscribe pela primeira vez entre "
            "7 e 28 dias à frente?",
        ),
    ],
)
def test_common_questions_read_like_portuguese(goal: dict[str, Any], eligible: Any, said: str) -> None:
    assert in_portuguese(asked(goal, eligible)) == said


@pytest.mark.parametrize(
    ("plain", "phrase"),
    [
        ({"then": ["cart", "buy"], "within": 7}, "fizeram cart e depois buy nos últimos 7 dias"),
        ({"did": "anything", "at_most": 3}, "fizeram qualquer evento no máximo 3 vezes até agora"),
        ({"did": "a", "from": 3, "within": 4}, "farão a (entre 3 e 7 dias à frente)"),
        ({"not_all_of": ["a", "b"]}, "deixaram de fazer pelo menos um dos eventos a, b até agora"),
    ],
)
def test_phrases_of_items_in_portuguese(plain: dict[str, Any], phrase: str) -> None:
    with speaking("pt"):
        assert spoken_item_phrase(item(plain)) == phrase


def test_lines_of_the_funnel_are_in_the_language() -> None:
    document = {
        "name": "x",
        "type": "conversion",
        "data": {"events": "e.csv"},
        "goal": {"none_of": ["buy"], "from": 7, "within": 30},
        "exits": ["closed"],
    }
    with speaking("pt"):
        texts = [line.text for line in lines_of(Instance.load(document))]
    assert texts == [
        "vistos antes da data de corte",
        "ativos nos últimos 45 dias",
        "já faziam isso antes: fizeram buy pelo menos uma vez nos últimos 45 dias",
        "sem closed antes da data de corte",
        "sem closed até o resultado ser conhecido",
        "atingiram a meta",
    ]
