"""Destinations of a workspace: pushed to after a run, tried again, taken back, cleared of people."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from postgres import databases
from propend.cli import app
from propend.errors import (
    ConfigurationError,
    DestinationNotFoundError,
    DestinationRefusedError,
    ForgettingFailedError,
    InstanceNotFoundError,
    PushFailedError,
    StatusError,
)
from propend.segments import Rule
from propend.store.catalog import DestinationRow, PushRow, RunRow, now
from propend.workspace import Workspace, score_file
from propend.workspace.dispatch import Dispatcher, follow
from propend.workspace.execution import after
from propend.workspace.score_file import ScoreFile
from propend.workspace.segments import Segments
from workspaces import document, made


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one run, to be copied."""
    workspace = Workspace.open(made(tmp_path_factory.mktemp("ran") / "shop"))
    workspace.instances.create(document())
    assert follow(workspace, workspace.runs.start("buyers").id, lambda _run: None).state == "succeeded"
    workspace.close()
    return workspace.home


@pytest.fixture
def workspace(ran: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with one run and, below, what ``settings`` asks for."""
    subprocess.run(["cp", "-r", ran, tmp_path / "shop"], check=True)
    found = Workspace.open(tmp_path / "shop")
    yield found
    found.close()


@pytest.fixture
def crm(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A database of others."""
    url = databases(request).new()
    with psycopg.connect(url, autocommit=True) as connection:
        yield Crm(url, connection)


class Crm:
    """A database that scores are pushed to."""

    def __init__(self, url: str, connection: psycopg.Connection[Any]) -> None:
        self.url, self._connection = url, connection

    @property
    def options(self) -> dict[str, Any]:
        return {"url": self.url, "table": "scores"}

    def ask(self, text: str) -> list[Any]:
        found = self._connection.execute(text)  # type: ignore[call-overload]
        return list(found.fetchall()) if found.description else []

    def ids(self) -> list[str]:
        return [row[0] for row in self.ask('SELECT profile_id FROM scores ORDER BY profile_id COLLATE "C"')]


def served(workspace: Workspace) -> RunRow:
    return workspace.runs.served("buyers")


def ids_of(workspace: Workspace) -> list[str]:
    table = pq.read_table(workspace.runs.folder(served(workspace)) / "scores.parquet")
    return list(table.column("profile_id").to_pylist())


def in_file(workspace: Workspace, name: str = "buyers-all.csv") -> list[str]:
    return list(pacsv.read_csv(workspace.home / "exports" / name).column("profile_id").to_pylist())


def states(workspace: Workspace, destination_id: int) -> list[tuple[str, str, int]]:
    return [(p.what, p.state, p.tries) for p in workspace.destinations.pushes(destination_id)]


def add(workspace: Workspace, name: str = "Sheet", kind: str = "file", **more: Any) -> int:
    options = more.pop("options", {})
    return workspace.destinations.create("buyers", name, kind, options, **more).id


# --- saved places ---------------------------------------------------------------------------------------------


def test_destinations_are_saved_changed_and_removed(workspace: Workspace) -> None:
    where = workspace.destinations
    one = where.create("buyers", "Sheet", "file", {"gzip": True}, by="ana")
    assert one.options == {"gzip": True}
    with pytest.raises(StatusError, match="has a destination 'Sheet' already"):
        where.create("buyers", "Sheet", "file", {})
    with pytest.raises(StatusError, match="pushes the same profiles to the same place"):
        where.create("buyers", "Twin", "file", {"gzip": True})
    with pytest.raises(InstanceNotFoundError):
        where.create("nobody", "Sheet", "file", {})
    with pytest.raises(DestinationNotFoundError, match="no segment 9"):
        where.create("buyers", "Some", "file", {}, segment_id=9)
    with pytest.raises(ConfigurationError, match="nmae"):
        where.create("buyers", "Some", "file", {"nmae": "x"})
    with pytest.raises(DestinationRefusedError, match="No file may be written"):
        where.create("buyers", "Some", "file", {"folder": "/etc"})
    changed = where.change(one.id, name="Zip", options={"gzip": True}, segment_id=None, enabled=False, by="bo")
    assert (changed.name, changed.enabled, changed.changed_by) == ("Zip", False, "bo")
    where.remove(one.id, "bo")
    with pytest.raises(DestinationNotFoundError):
        where.get(one.id)
    log = [(e.who, e.action, (e.after or {}).get("name")) for e in workspace.audit.entries(kind="destination")]
    assert log == [("bo", "delete", None), ("bo", "update", "Zip"), ("ana", "create", "Sheet")]


def test_folders_are_allowed_by_the_settings(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.home / "propend.toml").write_text(f'[exports]\nfolders = ["{tmp_path}/out"]\n')
    again = Workspace.open(workspace.home)
    number = add(again, options={"folder": str(tmp_path / "out" / "crm"), "format": "parquet"})
    assert again.pushing.work(again.pushing.ask(number).id).state == "succeeded"
    again.close()
    assert pq.read_table(tmp_path / "out" / "crm" / "buyers-all.parquet").num_rows == len(ids_of(workspace))


# --- after a run ----------------------------------------------------------------------------------------------


def test_a_run_is_pushed_to_every_enabled_destination(workspace: Workspace, crm: Crm) -> None:
    sheet, table = add(workspace), add(workspace, "CRM", "postgres", options=crm.options)
    off = add(workspace, "Off", options={"format": "jsonl"}, enabled=False)
    few = workspace.pushing._segments.create("buyers", "Few", "percentile >= 90").id
    best = add(workspace, "Best", options={"format": "csv"}, segment_id=few)
    broken = add(workspace, "Away", "postgres", options={"url": "postgresql://x@127.0.0.1:1/x", "table": "scores"})
    run = follow(workspace, workspace.runs.start("buyers", by="ana").id, lambda _run: None)
    assert run.state == "succeeded"  # though one of them is away
    whom = ids_of(workspace)
    assert (in_file(workspace), crm.ids()) == (whom, whom)
    with pytest.raises(StatusError, match="'Best' pushes members of 'Few'"):
        workspace.pushing._segments.remove(few)
    chosen = in_file(workspace, f"buyers-segment-{few}.csv")
    assert 0 < len(chosen) < len(whom) / 5
    found = {n: states(workspace, n) for n in (sheet, table, off, best, broken)}
    done = [("push", "succeeded", 1)]
    assert found == {sheet: done, table: done, off: [], best: done, broken: [("push", "waiting", 1)]}
    push = workspace.destinations.pushes(table)[0]
    assert (push.run_id, push.asked_by, push.rows, push.added, push.updated, push.retracted) == (
        run.id, "ana", len(whom), len(whom), 0, 0,
    )  # fmt: skip
    failed = workspace.destinations.pushes(broken)[0]
    assert failed.error is not None and failed.error["code"] == "PROPEND-261"
    assert failed.due_at is not None and timedelta(seconds=20) < failed.due_at - failed.asked_at < timedelta(seconds=90)


def test_a_push_is_tried_again_until_it_is_given_up(workspace: Workspace, crm: Crm) -> None:
    crm.ask("CREATE TABLE scores (profile_id text PRIMARY KEY, score text NOT NULL, probability int)")
    number = add(workspace, "CRM", "postgres", options=crm.options)
    push = workspace.pushing.ask(number, "ana")
    tried = [workspace.pushing.work(push.id) for _ in range(5)]
    assert [(p.state, p.tries) for p in tried] == [("waiting", n) for n in range(1, 6)]
    waits = [(p.due_at - now()).total_seconds() for p in tried if p.due_at is not None]
    assert waits == sorted(waits) and waits[0] > 15
    assert workspace.pushing.due() == []
    last = workspace.pushing.work(push.id)
    assert (last.state, last.tries, last.due_at) == ("failed", 6, None)
    crm.ask("DROP TABLE scores")
    assert workspace.pushing.work(workspace.pushing.ask(number).id).state == "succeeded"


def test_a_server_makes_what_is_due(workspace: Workspace, crm: Crm) -> None:
    number = add(workspace, "CRM", "postgres", options=crm.options)
    push = workspace.pushing.ask(number)
    dispatcher = Dispatcher(workspace)
    limit = time.monotonic() + 60
    while workspace.destinations.push(push.id).state != "succeeded":
        dispatcher.look()
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert dispatcher._courier is not None and dispatcher._courier.wait(30) == 0
    assert crm.ids() == ids_of(workspace)


def test_an_older_run_replaces_nothing(workspace: Workspace) -> None:
    number, first = add(workspace), served(workspace)
    waiting = workspace.destinations.ask(number, first)
    second = follow(workspace, workspace.runs.start("buyers", kind="score").id, lambda _run: None)
    assert [p.run_id for p in workspace.destinations.pushes(number)] == [second.id, first.id]
    assert workspace.destinations.push(waiting.id).state == "superseded"
    late = workspace.pushing.work(workspace.destinations.ask(number, first).id)
    assert (late.state, (late.error or {})["code"]) == ("failed", "PROPEND-263")


# --- what is killed -------------------------------------------------------------------------------------------

HALTING = """
import sys, time
from propend.exports.postgres import Merge
from propend.workspace import Workspace, score_file
whole = Merge._stage
def halting(self, delivery):
    rows = whole(self, delivery)
    print("half", flush=True)
    time.sleep(60)
    return rows
Merge._stage = halting
workspace = Workspace.open(sys.argv[1])
workspace.pushing.work(int(sys.argv[2]))
"""
"""A process that halts in the middle of a push."""


def test_a_process_killed_in_the_middle_of_a_push(workspace: Workspace, crm: Crm) -> None:
    number = add(workspace, "CRM", "postgres", options=crm.options)
    assert workspace.pushing.work(workspace.pushing.ask(number).id).state == "succeeded"
    crm.ask("DELETE FROM scores WHERE profile_id < 'p0100'")
    before, push = crm.ids(), workspace.pushing.ask(number)
    command = [sys.executable, "-c", HALTING, str(workspace.home), str(push.id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"half\n"
        workspace.pushing.reap()  # somebody is at it
        assert workspace.destinations.push(push.id).state == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert crm.ids() == before
    workspace.refresh()
    broken = workspace.destinations.push(push.id)
    assert (broken.state, broken.tries) == ("waiting", 1)
    assert workspace.pushing.work(push.id).state == "succeeded"
    assert crm.ids() == ids_of(workspace)


# --- taking back ----------------------------------------------------------------------------------------------


def test_what_was_pushed_goes_with_the_instance(workspace: Workspace, crm: Crm) -> None:
    add(workspace)
    add(workspace, "CRM", "postgres", options=crm.options)
    after(workspace, served(workspace).id)
    assert crm.ids() == in_file(workspace) == ids_of(workspace)
    workspace.delete("buyers", "ana")
    assert (crm.ids(), list((workspace.home / "exports").iterdir())) == ([], [])
    assert workspace.instances.all() == []
    log = [(e.who, e.action) for e in workspace.audit.entries(who="ana")]
    assert log.count(("ana", "retract")) == log.count(("ana", "disable")) == 2


def test_what_was_pushed_stays_where_that_is_wanted(workspace: Workspace) -> None:
    add(workspace)
    after(workspace, served(workspace).id)
    whom = ids_of(workspace)
    workspace.delete("buyers", keep_exports=True)
    assert in_file(workspace) == whom


def test_an_instance_stays_where_a_place_cannot_be_cleared(workspace: Workspace, crm: Crm) -> None:
    sheet, table = add(workspace), add(workspace, "CRM", "postgres", options=crm.options)
    after(workspace, served(workspace).id)
    with workspace.catalog.writing() as session:
        away = crm.options | {"url": "postgresql://x@127.0.0.1:1/x"}
        session.execute(update(DestinationRow).where(DestinationRow.id == table).values(options=away))
    with pytest.raises(PushFailedError, match="keep_exports=true"):
        workspace.delete("buyers")
    assert [i.id for i in workspace.instances.all()] == ["buyers"]
    assert not workspace.destinations.get(sheet).enabled
    workspace.delete("buyers", keep_exports=True)


def test_a_destination_takes_back_what_it_leaves_behind(workspace: Workspace) -> None:
    number = add(workspace)
    workspace.pushing.work(workspace.pushing.ask(number).id)
    path = workspace.home / "exports" / "buyers-all.csv"
    same = {"retract_expired": True}
    workspace.pushing.change(number, name="Sheet", options=same, segment_id=None, enabled=True)
    assert path.is_file()
    workspace.pushing.change(number, name="Sheet", options={"gzip": True}, segment_id=None, enabled=True)
    assert not path.exists()
    assert workspace.pushing.retract(number) is None  # nothing stands there
    workspace.pushing.work(workspace.pushing.ask(number).id)
    packed = path.with_name("buyers-all.csv.gz")
    assert packed.is_file()
    workspace.pushing.remove(number, keep=True)
    assert packed.is_file()


def test_scores_that_have_expired_are_taken_back(workspace: Workspace, crm: Crm) -> None:
    kept = add(workspace, options={"format": "jsonl"})
    number = add(workspace, "CRM", "postgres", options=crm.options | {"retract_expired": True})
    after(workspace, served(workspace).id)
    with workspace.catalog.writing() as session:
        run = session.get(RunRow, served(workspace).id)
        assert run is not None
        run.summary = dict(run.summary or {}) | {"expires_at": (now() + timedelta(days=1)).isoformat()}
    assert workspace.pushing.ask_expired() == []
    with workspace.catalog.writing() as session:
        run = session.get(RunRow, served(workspace).id)
        assert run is not None
        run.summary = dict(run.summary or {}) | {"expires_at": (now() - timedelta(days=1)).isoformat()}
    asked = workspace.pushing.ask_expired()
    assert [workspace.pushing.work(n).state for n in asked] == ["succeeded"]
    assert (crm.ids(), workspace.pushing.ask_expired()) == ([], [])
    assert states(workspace, number) == [("expire", "succeeded", 1), ("push", "succeeded", 1)]
    assert states(workspace, kept) == [("push", "succeeded", 1)]


# --- people ---------------------------------------------------------------------------------------------------


def test_who_is_forgotten_is_taken_out_of_every_place(workspace: Workspace, crm: Crm) -> None:
    add(workspace)
    table = add(workspace, "CRM", "postgres", options=crm.options)
    after(workspace, served(workspace).id)
    gone, *rest = ids_of(workspace)
    removal = workspace.privacy.forget(gone)
    assert (removal.pushed, removal.out_of_reach) == (2, [])
    assert crm.ids() == in_file(workspace) == rest
    workspace.pushing.work(workspace.pushing.ask(table).id)
    assert crm.ids() == rest


def test_a_place_that_is_away_is_cleared_later(workspace: Workspace, crm: Crm) -> None:
    table = add(workspace, "CRM", "postgres", options=crm.options)
    workspace.pushing.work(workspace.pushing.ask(table).id)
    gone, *rest = ids_of(workspace)
    crm.ask("ALTER TABLE scores RENAME TO away; CREATE VIEW scores AS SELECT 1 AS profile_id FROM away GROUP BY 1")
    with pytest.raises(ForgettingFailedError, match="A destination could not be cleared"):
        workspace.privacy.forget(gone)
    crm.ask("DROP VIEW scores; ALTER TABLE away RENAME TO scores")
    assert gone in crm.ids()
    workspace.refresh()
    assert crm.ids() == rest


def test_rows_of_pushes_are_of_their_destination(workspace: Workspace) -> None:
    number = add(workspace)
    workspace.pushing.work(workspace.pushing.ask(number).id)
    workspace.destinations.remove(number)
    with workspace.catalog.reading() as session:
        assert session.query(PushRow).all() == []


# --- the command line -----------------------------------------------------------------------------------------


def test_the_command_line_saves_lists_pushes_and_removes(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    at, whom = ("--workspace", str(workspace.home)), ids_of(workspace)

    def propend(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app([*arguments, *at])
        found = capsys.readouterr()
        return found.out if ended.value.code == 0 else found.err

    assert propend("destination", "list", "buyers").startswith("no destinations yet")
    added = propend("destination", "add", "buyers", "Sheet", "--option", "gzip=true", "--option", "format=jsonl")
    assert added == "destination 1 of buyers: every run is pushed there from now on\n"
    assert propend("destination", "add", "buyers", "Bad", "--option", "gzip").startswith("PROPEND-100")
    assert workspace.destinations.get(1).options == {"format": "jsonl", "gzip": True}
    tried = json.loads(propend("destination", "try", "1", "--json"))
    assert tried["shown"].split('"')[3] in whom
    assert tried["says"][0].startswith("5 rows were written")
    assert propend("destination", "try", "1") == "\n".join([*tried["says"], tried["shown"].rstrip()]) + "\n"
    assert not (workspace.home / "exports").exists()
    assert propend("destination", "push", "1") == f"run {served(workspace).id}: {len(whom)} rows\n"
    listed = json.loads(propend("destination", "list", "buyers", "--json"))
    assert [(d["name"], d["enabled"], d["last"]["state"]) for d in listed] == [("Sheet", True, "succeeded")]
    assert propend("destination", "list", "buyers").split()[-2:] == [f"{len(whom)}", "rows"]
    assert propend("destination", "remove", "1") == "destination 1 is removed; what it was given is, too\n"
    assert propend("destination", "push", "1").startswith("PROPEND-260")
    assert list((workspace.home / "exports").iterdir()) == []


def test_an_export_by_hand(workspace: Workspace, crm: Crm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at, whom, run = ("--workspace", str(workspace.home)), ids_of(workspace), served(workspace).id

    def export(to: str, *more: str) -> str:
        with pytest.raises(SystemExit):
            app(["export", "buyers", "--to", to, *more, *at])
        found = capsys.readouterr()
        return found.out + found.err

    path = tmp_path / "out" / "best.parquet"
    assert export(str(path)) == f"{len(whom)} rows of run {run} are in {path}\n"
    assert pq.read_table(path).column("profile_id").to_pylist() == whom
    high = workspace.pushing._segments.create("buyers", "High", "bucket = 'high'").id
    export(str(path.with_suffix(".csv.gz")), "--where", "percentile >= 50", "--segment", str(high))
    found = pacsv.read_csv(path.with_suffix(".csv.gz"))
    assert found.num_rows and set(found.column("bucket").to_pylist()) == {"high"}
    assert json.loads(export(crm.url, "--table", "scores", "--json")) == {"run": run, "to": "scores", "rows": len(whom)}
    assert crm.ids() == whom
    mistaken = export("scores.xls")
    assert mistaken.startswith("PROPEND-100")
    assert ("correct these places." in mistaken, "propend check" in mistaken) == (True, False)
    assert export(crm.url).startswith("PROPEND-100")
    assert export(str(path), "--where", "age > 3").startswith("PROPEND-100")


def test_the_schema_of_a_form_of_xdm_is_printed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    def schema(*more: str) -> str:
        with pytest.raises(SystemExit):
            app(["export", "buyers", *more, "--workspace", str(workspace.home)])
        found = capsys.readouterr()
        return found.out + found.err

    for form, first in (("xdm-profile", "identityMap"), ("xdm-event", "_id")):
        options = {"tenant": "acme", "namespace": "ECID"}
        number = add(workspace, form, form, options=options)
        assert workspace.pushing.work(workspace.pushing.ask(number).id).state == "succeeded"
        (beside,) = (workspace.home / "exports").glob(f"*{'events' if form == 'xdm-event' else 'all'}*.schema.json")
        printed = json.loads(schema("--schema", form, "--option", "tenant=acme", "--option", "namespace=ECID"))
        assert printed == json.loads(beside.read_text())
        assert next(iter(printed["properties"])) == first
        workspace.pushing.remove(number)
    assert "tenant: is missing and needed" in schema("--schema", "xdm-profile")
    assert "'csv' has no schema; there are: xdm-profile, xdm-event" in schema("--schema", "csv")
    assert "one of them is needed" in schema()


@pytest.mark.parametrize("where", [None, "probability >= 0.5", "bucket = 'high'", "percentile > 200"])
def test_whole_rows_are_read_a_few_groups_at_a_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    """In groups of a few rows, and parts that end within groups: the rows of the whole file, in its order."""
    folder = workspace.runs.folder(served(workspace))
    whole = pq.read_table(folder / "scores.parquet")
    pq.write_table(whole, folder / "scores.parquet", row_group_size=7)
    monkeypatch.setattr(score_file, "FACTOR_ROWS", 5)
    rule = Rule.read(where) if where else Rule()
    parts = list(ScoreFile.open(folder).batches(rule))
    asked = rule.expression(whole.column_names)
    assert pa.Table.from_batches(parts, whole.schema) == (whole if asked is None else whole.filter(asked))
    assert all(part.num_rows <= 5 for part in parts)


# --- trying ---------------------------------------------------------------------------------------------------


def test_a_place_is_tried_before_it_is_saved(workspace: Workspace, tmp_path: Path) -> None:
    rehearse = workspace.pushing.rehearse
    found = rehearse("buyers", "file", {"format": "jsonl"}, by="ana")
    assert [json.loads(line)["profile_id"] for line in found.shown.splitlines()[:1]] == ids_of(workspace)[:1]
    assert not (workspace.home / "exports").exists()
    with pytest.raises(ConfigurationError):
        rehearse("buyers", "file", {"format": "pdf"})
    with pytest.raises(DestinationRefusedError, match="No file may be written"):
        rehearse("buyers", "file", {"folder": "/etc"})
    with pytest.raises(DestinationNotFoundError):
        rehearse("buyers", "pigeon", {})
    with pytest.raises(InstanceNotFoundError):
        rehearse("nobody", "file", {})
    assert workspace.destinations.every() == []
    (entry,) = workspace.audit.entries(kind="destination")
    assert (entry.who, entry.action, entry.after["instance"]) == ("ana", "try", "buyers")


def test_a_place_is_tried_with_members_of_a_segment_and_before_there_are_scores(workspace: Workspace) -> None:
    few = Segments(workspace.catalog, workspace.instances).create("buyers", "Best", "percentile >= 100").id
    members = ScoreFile.open(workspace.runs.folder(served(workspace))).members(Rule.read("percentile >= 100"))
    found = workspace.pushing.rehearse("buyers", "file", {"format": "jsonl"}, few)
    assert [json.loads(line)["profile_id"] for line in found.shown.splitlines()] == members.ids.to_pylist()[:5]
    workspace.instances.create(document("Fresh"))
    assert workspace.pushing.rehearse("fresh", "file", {}).says[0].startswith("A file without rows was written")


def test_a_kind_that_cannot_be_tried_says_so(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("propend.exports.files.FileDestination.rehearse")
    with pytest.raises(DestinationRefusedError, match="cannot be tried without pushing"):
        workspace.pushing.rehearse("buyers", "file", {})
