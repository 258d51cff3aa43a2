"""A hundred ways of being broken, each done to real orders: what propend answers is what is stated of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import propend
from corruptions import CORRUPTIONS, DOCUMENT, GROUPS, Corruption, Rows, as_csv, canonical, good_orders

RUN_ONLY = frozenset({"PROPEND-315"})
"""Notices that compare with what was learnt from, or with the newest weeks: a check does not have them."""
OF_DOUBT = frozenset(f"PROPEND-{n}" for n in range(350, 359))


@pytest.fixture(scope="module")
def orders() -> Rows:
    return good_orders()


@pytest.fixture(scope="module")
def good(orders: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_csv(orders, tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def usual(good: Path) -> dict[str, Any]:
    return propend.check(DOCUMENT, data=good).document


@pytest.fixture(scope="module")
def good_events(good: Path) -> str:
    return canonical(DOCUMENT, good)


def checked(one: Corruption, orders: Rows, folder: Path) -> dict[str, Any]:
    """What ``check`` says of broken orders; of a refusal its code only."""
    try:
        return propend.check(one.document, data=one.make(orders, folder)).document
    except propend.PropendError as refusal:
        assert refusal.hint
        return {"refusals": [refusal.to_dict()]}


def said(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(w["code"], w["message"]) for w in document["warnings"]}


def named(*answers: str) -> list[str]:
    return [name for name, one in CORRUPTIONS.items() if one.answer in answers]


def test_there_are_many_ways_and_each_is_said_in_a_line() -> None:
    assert len(CORRUPTIONS) > 100
    assert [c.name for c in CORRUPTIONS.values() if not c.does or "\n" in c.does or len(c.does) > 120] == []
    assert {c.answer for c in CORRUPTIONS.values() if not c.code} <= {"same", "within", "unnoticed"}
    assert len(GROUPS) == 4


def test_good_orders_raise_no_doubt(usual: dict[str, Any]) -> None:
    assert usual["refusals"] == []
    assert {w["code"] for w in usual["warnings"]} & OF_DOUBT == set()


@pytest.mark.parametrize("name", named("refused"))
def test_it_is_refused(name: str, orders: Rows, tmp_path: Path) -> None:
    one = CORRUPTIONS[name]
    found = checked(one, orders, tmp_path)
    assert [r["code"] for r in found["refusals"]] == [one.code], found["refusals"]


@pytest.mark.parametrize("name", [n for n in named("warned") if CORRUPTIONS[n].code not in RUN_ONLY])
def test_it_is_warned_of(name: str, orders: Rows, usual: dict[str, Any], tmp_path: Path) -> None:
    one = CORRUPTIONS[name]
    found = checked(one, orders, tmp_path)
    assert found["refusals"] == []
    assert one.code in {code for code, _ in said(found) - said(usual)}


@pytest.mark.parametrize("name", named("set aside"))
def test_rows_are_set_aside_and_counted(name: str, orders: Rows, tmp_path: Path) -> None:
    one = CORRUPTIONS[name]
    found = checked(one, orders, tmp_path)
    assert found["refusals"] == []
    aside = {reason for reason, n in found["counts"]["set_aside"].items() if n}
    assert aside == {one.code}


@pytest.mark.parametrize("name", named("same"))
def test_events_are_the_same_to_the_last_bit(name: str, orders: Rows, good_events: str, tmp_path: Path) -> None:
    one = CORRUPTIONS[name]
    assert canonical(one.document, one.make(orders, tmp_path)) == good_events
