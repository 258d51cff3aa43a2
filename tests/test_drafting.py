"""Drafts, what the data say of them, and proposals of several files: what the builder's pages go by."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from oracle_events import shared_data
from propend.errors import ConfigurationError, RequestInvalidError, SentenceError
from propend.instance import Data, Source
from propend.proposal import Note, kind_of_file, propose
from propend.workspace.drafting import (
    document_of_yaml,
    draft_of,
    folder_of,
    mistakes_in_yaml,
    sentence_of,
    with_sentence,
    with_values,
)
from propend.workspace.looks import Look, Looks
from propend.workspace.proposals import Proposals, Said
from workspaces import document, opened

LINES = """customer;day;what;paid;note
a;2024-01-01;buy;1,50;
a;2025-12-01;buy;2,50;x
b;2025-12-24;see;;x
b;2025-12-31;see;;
"""


def written(folder: Path, name: str, text: str) -> Data:
    (folder / name).write_text(text, encoding="utf-8")
    return Data(events=(Source(path=name, columns={"profile": "customer", "at": "day", "event": "what"}),))


def test_a_look_tells_columns_values_and_completeness_of_the_last_year(tmp_path: Path) -> None:
    look = Looks().of(written(tmp_path, "x.csv", LINES), tmp_path)
    (seen,) = look.previews
    told = [(c.name, c.type, c.role, c.filled, c.values) for c in seen.columns]
    assert told == [
        ("customer", "text", "profile", 1.0, ("a", "b")),
        ("day", "time", "at", 1.0, ()),
        ("what", "text", "event", 1.0, ("buy", "see")),
        ("paid", "number", "value", pytest.approx(1 / 3), ()),
        ("note", "text", "", pytest.approx(2 / 3), ("x",)),
    ]
    assert (seen.rows, seen.lately, seen.rows_shown[0], round(seen.filled, 2)) == (
        4, True, ["a", "2024-01-01", "buy", "1.50", None], 0.8,
    )  # fmt: skip
    assert look.opened is not None
    assert dict(look.opened.kinds) == {"buy": 2, "see": 2}


def test_what_is_empty_by_nature_is_no_fault(tmp_path: Path) -> None:
    kinds = ("buy", "see", "call")
    cells = [";".join("x" if kind == kinds[c // 3] else "" for c in range(9)) for kind in kinds]
    rows = [f"c{i};2025-12-{i + 1:02};{kind};{cells[k]}\n" for i in range(20) for k, kind in enumerate(kinds)]
    head = "customer;day;what;" + ";".join("abcdefghi") + "\n"
    (natural,) = Looks().of(written(tmp_path, "kinds.csv", head + "".join(rows)), tmp_path).previews
    lost = [f"c{i};2025-12-{i + 1:02};buy;{'x' if not i else ''};;;;;;;;\n" for i in range(20)]
    (empty,) = Looks().of(written(tmp_path, "lost.csv", head + "".join(lost)), tmp_path).previews
    assert (round(natural.filled, 2), natural.due, natural.much_empty, empty.much_empty) == (0.5, 1.0, False, True)
    events = shared_data("luma_xdm/events.parquet")
    (xdm,) = Looks().of(Data(events=(Source(path=str(events / "luma_xdm/events.parquet")),)), tmp_path).previews
    assert (xdm.filled < 0.6, xdm.much_empty) == (True, False)


def test_looks_are_kept_until_the_file_changes(tmp_path: Path) -> None:
    looks, data = Looks(), written(tmp_path, "x.csv", LINES)
    assert looks.known(data, tmp_path) is None
    first = looks.of(data, tmp_path)
    assert looks.of(data, tmp_path) is first
    assert looks.known(data, tmp_path) is first
    (tmp_path / "x.csv").write_text(LINES + "c;2026-01-01;buy;1;\n", encoding="utf-8")
    os.utime(tmp_path / "x.csv", (1, 1))
    assert looks.of(data, tmp_path).previews[0].rows == 5
    assert int(looks.counted(data, tmp_path).facts.used) == 5


def test_what_cannot_be_read_is_part_of_the_look(tmp_path: Path) -> None:
    missing = Looks().of(Data(events=(Source(path="none.csv"),)), tmp_path)
    assert (missing.previews, missing.problem and missing.problem.code) == ((), "PROPEND-200")
    (tmp_path / "odd.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    odd = Looks().of(Data(events=(Source(path="odd.csv"),)), tmp_path)
    assert (len(odd.previews), odd.opened, odd.problem and odd.problem.code) == (1, None, "PROPEND-202")
    assert Looks().of(Data(), tmp_path) == Look()


def test_a_draft_tells_mistakes_of_form_and_of_names(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "shop")
    row = workspace.instances.create_draft("x", document("x"))
    asked: dict[str, Any] = document("x")
    asked["goal"] = {"any_of": ["bought"], "within": "30d"}
    folder = folder_of(asked, workspace.instances.folder)
    look = Looks().of(Data(events=(Source(path="../events.parquet"),)), folder)
    draft = draft_of(row, asked, look, workspace.settings.policies)
    assert [m.place for m in draft.mistakes] == ["goal.any_of[1]"]
    assert (draft.ready, draft.sentence.endswith("who will do bought in the next 30 days?")) == (False, True)
    assert draft.event_names == ("buy", "visit", "purchase", "call", "anything")
    good = draft_of(row, document("x"), look, workspace.settings.policies)
    assert (good.ready, good.types["amount"], good.begun) == (True, "number", True)
    unfinished = draft_of(row, {"name": "x"}, look, workspace.settings.policies)
    assert (unfinished.sentence, [m.place for m in unfinished.mistakes]) == ("", ["goal"])
    workspace.close()


def test_the_sentence_and_yaml_become_the_document() -> None:
    before = {"name": "x", "eligible": {"did": "a"}, "goal": {"did": "b", "within": "3d"}}
    after = with_sentence(before, "Of profiles active in the last 45 days, who will not do b in the next 9 days?")
    assert after == {"name": "x", "goal": {"none_of": ["b"], "within": "9d"}}
    assert with_sentence(after, sentence_of(before))["eligible"] == {"all_of": ["a"]}
    with pytest.raises(SentenceError):
        with_sentence(before, "who?")
    assert document_of_yaml("name: x\nsince: 2026-01-31\n") == {"name": "x", "since": "2026-01-31"}
    for text in ("- a\n", "a: 1\na: 2\n", "a: .inf\n", "a: [", ""):
        with pytest.raises(ConfigurationError):
            document_of_yaml(text)
    assert [m.place for m in mistakes_in_yaml("name: x\ngoal: {did: a, within: 3x}\n")] == ["goal.within (line 2)"]
    assert with_values({"goal": {}}, {"options.minimum": 30, "name": None}) == {"goal": {}, "options": {"minimum": 30}}


def test_drafts_have_their_own_name_and_do_not_bury_the_log(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "shop")
    row = workspace.instances.create_draft("First", {"name": "First"})
    for name in ("Second", "Third"):
        workspace.instances.save_draft(row.id, {"name": name})
    assert (workspace.instances.get(row.id).name, len(workspace.audit.entries(subject=row.id))) == ("Third", 1)
    assert workspace.instances.create_draft("New", {}).id == "new-2"
    workspace.close()


def test_what_was_said_of_a_proposal_is_kept_and_goes_with_the_instance(tmp_path: Path) -> None:
    workspace = opened(tmp_path / "shop")
    row, said = workspace.instances.create_draft("x", {"name": "x"}), Proposals(tmp_path / "shop")
    notes = (Note("data", "35 events"), Note("goal", "'buy' sounds <b>best</b>"))
    assert said.of(row.id) == Said()
    said.keep(row.id, notes, None)
    said.stand_at(row.id, "2026-01-31")
    assert said.of(row.id) == Said(notes, date(2026, 1, 31))
    with pytest.raises(RequestInvalidError):
        said.stand_at(row.id, "soon")
    workspace.delete(row.id)
    assert said.of(row.id) == Said()
    workspace.close()


def test_a_proposed_name_follows_the_goal_and_a_written_one_stays(tmp_path: Path) -> None:
    said, goal = Proposals(tmp_path), {"all_of": ["buy"], "within": "30d"}
    said.keep("x", (), date(2026, 1, 31), "Buy within 30 days")
    first = {"name": "Buy within 30 days", "goal": goal}
    second = said.named("x", first, first | {"goal": goal | {"within": "60d"}})
    assert (second["name"], said.of("x")) == ("Buy within 60 days", Said((), date(2026, 1, 31), "Buy within 60 days"))
    unfinished = {"name": second["name"], "goal": {"all_of": []}}
    assert said.named("x", second, unfinished) == unfinished
    written = second | {"name": "Mine within 60 days"}
    later = written | {"goal": goal | {"within": "90d"}}
    assert (said.named("x", second, written), said.named("x", written, later)) == (written, later)
    assert said.named("y", first, second) == second


@pytest.mark.parametrize(
    ("path", "kind"),
    [("data/orders-2024.csv.gz", "orders"), ("Web Visits (2).parquet", "web_visits"), ("2024.csv", "event")],
)
def test_rows_are_named_for_their_file(path: str, kind: str) -> None:
    assert kind_of_file(path) == kind


def test_several_files_are_proposed_with_their_own_columns(tmp_path: Path) -> None:
    days = [f"2025-{m:02}-{d:02}" for m in range(1, 13) for d in range(1, 28)]
    orders = [f"c{i % 60},{day},{i % 7}" for i, day in enumerate(days * 3)]
    visits = [f"{day}\tc{i % 97}" for i, day in enumerate(days * 5)]
    (tmp_path / "orders.csv").write_text("customer_id,ordered_at,amount\n" + "\n".join(orders), encoding="utf-8")
    (tmp_path / "visits.csv").write_text("timestamp\tuser_id\n" + "\n".join(visits), encoding="utf-8")
    found = propose([str(tmp_path / n) for n in ("orders.csv", "visits.csv")], tmp_path)
    columns = {"profile": "customer_id", "at": "ordered_at", "value": "amount"}
    assert found.instance.document()["data"]["events"] == [
        {"path": "orders.csv", "columns": columns, "kind": "orders"},
        {"path": "visits.csv", "columns": {"profile": "user_id", "at": "timestamp"}, "kind": "visits"},
    ]  # fmt: skip
    assert found.instance.goal.group.events == ("orders",)
