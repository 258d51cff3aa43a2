"""What is known of profiles, as cards: what they show comes back as it was, and what they do not show survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from propend import cards
from propend.errors import PropendError, RequestInvalidError
from propend.instance import Data
from propend.workspace.looks import Looks

SECTION: dict[str, Any] = {
    "events": "orders.csv",
    "attributes": [
        {"path": "people.csv", "profile": "id", "effective": "since", "columns": ["plan", "gone"], "version": 3},
        {"database": "env:SHOP", "table": "people", "constant": True},
        {"query": "SELECT 1", "effective": "at"},
        "more.csv",
    ],
    "fields": ["amount"],
    "labels": {"mail": "identifier", "faith": ["no-data-science", "sensitive"]},
    "consent": {"column": "marketing", "given": [True, "a, b"], "learn": True},
    "identities": {
        "links": [
            {"events": {"from": "cookie", "to": "id"}},
            {"path": "pairs.csv", "columns": {"a": "x", "b": "y"}, "constant": True},
            {"query": "SELECT 2", "columns": {"a": "x", "b": "y", "at": "z"}},
        ],
        "most": 9,
    },
}
SHOWN = ("plan", "age")


def filled(section: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends of the cards of a section, as nested data; of the first table two columns were shown."""
    tables: list[dict[str, Any]]
    tables = [{"place": t.place[1], "profile": t.profile, "holds": t.holds} for t in cards.tables_of(section)]
    if tables:
        columns = cards.tables_of(section)[0].columns
        tables[0] |= {"offered": list(SHOWN), "columns": [c for c in SHOWN if columns is None or c in columns]}
    consent = cards.consent_of(section)
    asks = {"column": f"{consent.source}:{consent.column}" if consent.column else "", "given": consent.given}
    return {
        "facts": "yes",
        "tables": tables,
        "consent": asks | ({"learn": "yes"} if consent.learn else {}),
        "labels": [{"column": c, "labels": list(many)} for c, many in cards.labels_of(section).items()],
        "links": [
            {"a": k.a, "b": k.b, "at": k.at, "path": k.path} | ({"constant": "yes"} if k.constant else {})
            for k in cards.links_of(section)
        ],
    }


@pytest.mark.parametrize(
    "section",
    [
        SECTION,
        {"events": "orders.csv"},
        {"attributes": "people.csv", "identities": {"events": {"from": "a", "to": "b"}, "prefer": "a"}},
        {"attributes": {"path": ["a.csv", "b.csv"]}, "consent": {"column": "ok", "in": "events", "given": "yes"}},
        {"attributes": 7, "labels": ["x"], "consent": "x", "identities": "y"},
    ],
)
def test_what_cards_show_comes_back_as_it_was(section: dict[str, Any]) -> None:
    assert (cards.with_facts(section, filled(section)), cards.with_facts(section, {"sources": []})) == (section,) * 2


def test_what_is_changed_is_all_that_changes() -> None:
    form = filled(SECTION)
    form["tables"][0] |= {"place": "who.csv", "holds": "always", "columns": ["age"]}
    form["tables"][1] |= {"profile": "customer", "holds": ""}
    form["tables"][3] |= {"remove": "yes"}
    form |= {"add_table": ["", " new.csv "], "add_label": {"column": "notes", "label": "sensitive"}}
    form["labels"][1]["labels"] = ["sensitive"]
    form["labels"][0]["labels"] = []
    form["consent"] = {"column": "events:opted", "given": 'yes, "a, b"'}
    form["links"][0] |= {"a": "device"}
    form["links"][1] |= {"remove": "yes"}
    form["add_link"] = {"path": "p.csv", "table_a": "x", "table_b": "y", "table_at": "t"}
    back = cards.with_facts(SECTION, form)
    assert back == {
        "events": "orders.csv",
        "fields": ["amount"],
        "attributes": [
            {"path": "who.csv", "profile": "id", "constant": True, "columns": ["age", "gone"], "version": 3},
            {"database": "env:SHOP", "table": "people", "profile": "customer"},
            {"query": "SELECT 1", "effective": "at"},
            "new.csv",
        ],
        "labels": {"faith": "sensitive", "notes": "sensitive"},
        "consent": {"column": "opted", "in": "events", "given": ["yes", "a, b"]},
        "identities": {
            "links": [
                {"events": {"from": "device", "to": "id"}},
                {"query": "SELECT 2", "columns": {"a": "x", "b": "y", "at": "z"}},
                {"path": "p.csv", "columns": {"a": "x", "b": "y", "at": "t"}},
            ],
            "most": 9,
        },
    }


def test_the_first_of_each_and_the_last() -> None:
    form = {
        "facts": "yes",
        "add_table": ["people.csv"],
        "consent": {"column": "attributes:ok", "given": ""},
        "add_label": {"column": "mail", "label": "identifier"},
        "add_link": {"a": "cookie", "b": "id"},
    }
    first = cards.with_facts({"events": "x.csv"}, form)
    assert first == {
        "events": "x.csv",
        "attributes": "people.csv",
        "consent": {"column": "ok"},
        "labels": {"mail": "identifier"},
        "identities": [{"events": {"from": "cookie", "to": "id"}}],
    }
    chosen = {"holds": "since:since", "offered": ["since", "plan", "age"], "columns": ["since", "age"]}
    assert cards.with_facts(first, {"facts": "yes", "tables": [chosen]})["attributes"] == {
        "path": "people.csv",
        "effective": "since",
        "columns": ["age"],
    }
    gone = {"facts": "yes", "tables": [{"remove": "yes"}], "labels": [{"column": "mail"}], "links": [{"remove": "yes"}]}
    assert cards.with_facts(first, gone) == {"events": "x.csv"}
    with pytest.raises(RequestInvalidError):
        cards.with_facts(first, {"facts": "yes", "consent": {"column": "events:ok", "given": "x" * 200_000}})


def test_a_look_tells_tables_of_attributes_or_why_not(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("customer,day,what\na,2025-01-01,buy\nb,2025-02-01,see\n", encoding="utf-8")
    (tmp_path / "p.csv").write_text("plan,customer,since\ngold,a,2024-01-01\n,b,2024-06-01\n", encoding="utf-8")
    asked = {"events": "x.csv", "attributes": [{"path": "p.csv", "effective": "since"}, {"path": "none.csv"}]}
    seen, missing = Looks().of(Data.model_validate(asked), tmp_path).tables
    assert not isinstance(seen, PropendError)
    assert [(c.name, c.role, c.reason, c.filled) for c in seen.columns] == [
        ("plan", "", "", 0.5),
        ("customer", "profile", "it is called as in the events", 1.0),
        ("since", "at", "", 1.0),
    ]
    assert (isinstance(missing, PropendError) and missing.code, seen.rows) == ("PROPEND-200", 2)
