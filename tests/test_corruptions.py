"""A hundred ways of being broken, each done to real orders: what propend answers is what is stated of it.

What only scores show is tried on a model of the good orders, trained once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import bad_data

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


# --- what scores show -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return propend.train(DOCUMENT, data=good, out=tmp_path_factory.mktemp("learnt") / "model")


@pytest.fixture(scope="module")
def scored(model: Path, good: Path, tmp_path_factory: pytest.TempPathFactory) -> propend.Run:
    return propend.score(model, data=good, out=tmp_path_factory.mktemp("scored") / "run")


@pytest.mark.parametrize("name", named("within"))
def test_probabilities_hardly_move(name: str, orders: Rows, model: Path, scored: propend.Run, tmp_path: Path) -> None:
    found = propend.score(model, data=CORRUPTIONS[name].make(orders, tmp_path), out=tmp_path / "run")
    change = bad_data.moved(bad_data.moved_from(scored.scores), found.scores)
    assert max(change["median"], change["lost"]) <= bad_data.MOST_MEDIAN
    assert change["most"] <= bad_data.MOST_OF_95


@pytest.mark.parametrize("name", [n for n in named("warned") if CORRUPTIONS[n].code in RUN_ONLY])
def test_scores_are_warned_of(name: str, orders: Rows, model: Path, scored: propend.Run, tmp_path: Path) -> None:
    one = CORRUPTIONS[name]
    found = propend.score(model, data=one.make(orders, tmp_path), out=tmp_path / "run")
    assert one.code in {code for code, _ in said(found.record) - said(scored.record)}


def test_another_folder_stands_in_for_files_of_whole_paths(orders: Rows, model: Path, tmp_path: Path) -> None:
    """The model was trained on a file that was named by its whole path: what is handed over is read all the same."""
    as_csv(orders[:-500], tmp_path / "other")
    found = propend.score(model, data=tmp_path / "other", out=tmp_path / "run")
    assert found.record["counts"]["events_read"] == len(orders) - 500


# --- the page -----------------------------------------------------------------------------------------------------


def test_what_was_measured_is_what_is_stated() -> None:
    measured = json.loads(bad_data.MEASURED.read_text(encoding="utf-8"))
    assert list(measured) == list(CORRUPTIONS)
    found = {name: bad_data.verdict_of(CORRUPTIONS[name], one) for name, one in measured.items()}
    assert found == {name: one.answer for name, one in CORRUPTIONS.items()}
    assert [name for name in named("unnoticed") if not CORRUPTIONS[name].why] == []


def test_the_page_is_of_what_was_measured() -> None:
    assert bad_data.PAGE.read_text(encoding="utf-8") == bad_data.page()
