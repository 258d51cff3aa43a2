"""What a run did, as its page and REST tell it: stages with their times and the log, whatever came of the run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

import propend
from propend.store.catalog import RunRow
from propend.store.runs import read_json
from propend.workspace import Workspace
from propend.workspace.alerts import Alerts
from propend.workspace.dispatch import follow
from propend.workspace.execution import execute
from propend.workspace.journal import MOST_BYTES, MOST_LINES, Journal, folder_of
from servers import serving
from workspaces import document, made, opened


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    found = opened(tmp_path / "shop")
    found.instances.create(document())
    yield found
    found.close()


def executed(workspace: Workspace, **options: str) -> RunRow:
    run = workspace.runs.start("buyers", options=options)
    assert execute(workspace, run.id)
    return workspace.runs.get(run.id)


def test_a_run_that_succeeded_and_one_that_failed_have_stages_and_a_log(workspace: Workspace) -> None:
    done, failed = executed(workspace), executed(workspace, as_of="1990-01-01")
    record = read_json(workspace.runs.folder(done) / "run.json")
    stages = Journal(workspace.home, done).stages()
    assert [s.name for s in stages] == [*(s["name"] for s in record["stages"]), "write"]
    assert done.started_at is not None and done.finished_at is not None
    ends = [s.began_at + timedelta(seconds=s.seconds) for s in stages]
    assert [*(s.began_at for s in stages[1:]), done.finished_at] == ends
    told = [text.split(" ", 1)[1] for text in Journal(workspace.home, done).lines().texts]
    assert [t for t in told if " stage: " in t] == [f"INFO propend.journal stage: {s.name}" for s in stages]
    assert f"done: {record['counts']['population']} profiles scored" in told[-1 - len(record["warnings"])]
    assert failed.error is not None
    last, said = Journal(workspace.home, failed).lines().texts[-1], failed.error
    assert last.endswith(f" ERROR propend.run {said['code']} {said['symbol']}: {said['message']}")
    assert [s.name for s in Journal(workspace.home, failed).stages()] == ["read"]
    assert not workspace.runs.folder(failed).exists()
    workspace.delete("buyers")
    assert not folder_of(workspace.home, "buyers").exists()


def test_only_the_end_of_a_long_log_is_told_and_no_password(workspace: Workspace) -> None:
    run = workspace.runs.start("buyers")
    journal = Journal(workspace.home, run)
    assert (journal.stages(), journal.lines().texts, journal.lines().cut) == ([], (), False)
    journal.log.parent.mkdir(parents=True)
    journal.log.write_text("cannot reach postgresql://ana:s3cret@db/shop\n" * MOST_LINES, encoding="utf-8")
    assert journal.lines().texts == ("cannot reach postgresql://ana:hidden@db/shop",) * MOST_LINES
    assert not journal.lines().cut
    with journal.log.open("a", encoding="utf-8") as file:
        file.write("x" * MOST_BYTES + "\nthe last one\n")
    assert (journal.lines().texts, journal.lines().cut) == (("the last one",), True)
    journal.began("read")
    with (journal.log.with_suffix(".stages")).open("ab") as file:
        file.write(b'{"stage": "fi')  # killed at this moment
    assert [s.name for s in journal.stages()] == ["read"]


class Take(BaseHTTPRequestHandler):
    """Takes whatever is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.server.told = True  # type: ignore[attr-defined]

    def log_message(self, *_arguments: object) -> None:
        pass


def test_the_address_that_is_told_of_failures_is_in_no_log(tmp_path: Path) -> None:
    """It is a secret of its own: whoever has it can post there."""
    with HTTPServer(("127.0.0.1", 0), Take) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{receiver.server_port}/T0/s3cret"
        workspace = opened(tmp_path / "shop", f'[alerts]\nwebhook = "{address}"\n')
        workspace.instances.create(document(minimum=100_000))
        ended = follow(workspace, workspace.runs.start("buyers").id, lambda _run: None)
        receiver.shutdown()
        assert (ended.state, receiver.told) == ("failed", True)  # type: ignore[attr-defined]
        journal = Journal(workspace.home, ended)
        workspace.close()
    assert "propend.run run " in journal.log.read_text(encoding="utf-8")
    assert "s3cret" not in journal.log.read_text(encoding="utf-8")


def test_nor_is_it_where_nobody_answers(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propend.workspace.alerts.WAIT_SECONDS", 0.01)
    assert not Alerts("http://127.0.0.1:1/T0/s3cret").tell("drift", workspace.runs.start("buyers"), {})
    assert ("http://127.0.0.1/…" in caplog.text, "s3cret" in caplog.text) == (True, False)


def test_pages_and_rest_tell_of_a_run_under_way_and_of_one_that_failed(tmp_path: Path) -> None:
    home = made(tmp_path / "shop")
    workspace = Workspace.open(home)
    workspace.instances.create(document())
    failed = executed(workspace, as_of="1990-01-01")
    run = workspace.runs.start("buyers")
    with workspace.runs.lock(run.id) as free, serving(home, "--no-auth") as server, propend.connect(server.url) as api:
        assert free
        assert workspace.runs.claim(run.id, os.getpid()) is not None
        journal = Journal(home, run)
        with journal.recording():
            journal.began("read")
            journal.began("fit")
        found, html = api.log(run.id), {"Accept": "text/html"}
        assert [s["stage"] for s in found["stages"]] == ["read", "fit"]
        assert ([text.rsplit(" ", 1)[-1] for text in found["lines"]], found["cut"]) == (["read", "fit"], False)
        page = httpx.get(f"{server.url}/runs/{run.id}", headers=html).text
        part = httpx.get(f"{server.url}/runs/{run.id}/progress", headers=html).text
        brief = httpx.get(f"{server.url}/runs/{run.id}/progress?brief=true", headers=html).text
        assert [("Reading the events" in text, "Learning from the past …" in text) for text in (page, part, brief)] == [
            (True, True), (True, True), (False, False),
        ]  # fmt: skip
        log = httpx.get(f"{server.url}/runs/{run.id}/log", headers=html)
        assert (log.status_code, "propend.journal stage: fit" in log.text) == (200, True)
        ended = httpx.get(f"{server.url}/runs/{failed.id}", headers=html).text
        assert ("How far it came" in ended, "ERROR propend.run PROPEND-" in ended) == (True, True)
        assert httpx.get(f"{server.url}/runs/{failed.id}/log", headers=html).status_code == 286  # htmx stops asking
        assert api.log(failed.id)["lines"][-1].endswith(str((failed.error or {})["message"]))
    workspace.close()
