"""Commands on a workspace, as a script sees them; what is told by alerts; what came of earlier runs."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from propend.errors import ConfigurationError, NotEnoughObjectiveError, RunWaitingError, UnexpectedError, error_of
from propend.instance import Instance
from propend.workspace import Workspace
from propend.workspace.dispatch import follow
from propend.workspace.execution import execute
from propend.workspace.settings import Settings
from shops import last_day
from test_cli import propend
from test_docs import page, rows, section
from workspaces import document, made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = made(tmp_path / "shop")
    (found / "instances").mkdir()
    (found / "instances" / "buyers.yaml").write_text(Instance.load(document()).to_yaml())
    return found


def test_run_of_a_document_in_a_workspace_is_recorded(home: Path) -> None:
    done = propend("run", home / "instances" / "buyers.yaml", "--json")
    assert (done.status, done.err) == (0, "")
    folder = Path(done.json["folder"])
    assert folder.parent == home / ".propend" / "runs" / "buyers"
    again = propend("run", "buyers", "--workspace", home)
    assert again.status == 0
    assert "Buyers" in again.out
    history = propend("history", "--workspace", home, "--json").json
    assert [(r["instance"], r["state"], r["summary"]["decision"]["kind"]) for r in history] == [
        ("buyers", "succeeded", "score"),
        ("buyers", "succeeded", "train"),
    ]
    assert history[1]["run_id"] == folder.name
    assert "succeeded" in propend("history", "buyers", "--workspace", home).out
    assert propend("history", "nobody", "--workspace", home).status == 2


def test_run_to_a_folder_of_its_own_is_not_recorded(home: Path, tmp_path: Path) -> None:
    assert propend("run", home / "instances" / "buyers.yaml", "--out", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "scores.parquet").exists()
    assert propend("history", "--workspace", home, "--json").json == []


def test_refusals_of_a_run_come_with_their_status(home: Path) -> None:
    path = home / "instances" / "buyers.yaml"
    path.write_text(Instance.load(document(minimum=100_000)).to_yaml())
    refused = propend("run", path)
    assert refused.status == 3
    assert refused.err.splitlines()[0] in ("PROPEND-400 NOT_ENOUGH_OBJECTIVE", "PROPEND-401 NOT_ENOUGH_POPULATION")
    path.write_text(yaml.safe_dump(document() | {"goal": {}}))
    assert propend("run", path).err.splitlines()[0] == "PROPEND-100 CONFIGURATION_INVALID"
    wrong = propend("run", "buyers", "--workspace", home, "--kind", "twice")
    assert (wrong.status, "--kind" in wrong.err) == (2, True)
    assert (
        propend("history", "--workspace", home / "instances").err.splitlines()[0] == "PROPEND-110 WORKSPACE_NOT_FOUND"
    )


def test_versions_switches_and_removal(home: Path) -> None:
    propend("history", "--workspace", home)
    path = home / "instances" / "buyers.yaml"
    path.write_text(Instance.load(document(minimum=50, schedule="daily")).to_yaml())
    assert [v["version"] for v in propend("versions", "buyers", "--workspace", home, "--json").json] == [2, 1]
    assert "version" in propend("versions", "buyers", "--workspace", home).out
    changed = propend("versions", "buyers", "--before", 1, "--workspace", home)
    assert changed.out.splitlines() == ["options", '  + {"schedule": "daily", "minimum": 50}']
    assert propend("disable", "buyers", "--workspace", home).out == "buyers is disabled; its last scores stay\n"
    assert propend("run", "buyers", "--workspace", home).err.splitlines()[0] == "PROPEND-113 NOT_IN_THIS_STATE"
    assert "due at" in propend("enable", "buyers", "--workspace", home).out
    assert propend("delete", "buyers", "--yes", "--workspace", home).out.startswith("buyers is removed")
    assert not path.exists()
    assert propend("versions", "buyers", "--workspace", home).status == 2


def test_cancelling_from_the_command_line(home: Path) -> None:
    workspace = Workspace.open(home)
    run = workspace.runs.start("buyers")
    assert propend("cancel", run.id, "--workspace", home).out == f"run {run.id} of buyers is cancelled\n"
    assert propend("cancel", run.id, "--workspace", home).status == 2
    workspace.close()


def test_errors_come_back_from_their_documents() -> None:
    for error in (NotEnoughObjectiveError("few", "more", met=3), RunWaitingError("one waits")):
        back = error_of(error.to_dict())
        assert (type(back), back.to_dict(), str(back)) == (type(error), error.to_dict(), str(error))
    with pytest.raises(ConfigurationError) as refused:
        Instance.load({"name": "x", "goal": 7})
    back = error_of(refused.value.to_dict())
    assert isinstance(back, ConfigurationError)
    assert back.mistakes == refused.value.mistakes
    assert type(error_of({"code": "PROPEND-9999", "message": "?"})) is UnexpectedError


def test_every_setting_is_described() -> None:
    told = {row[0].strip("`") for row in rows(section(page("docs/workspace.md"), "## Settings"))}
    parts = Settings.model_fields
    keys = {part: type(getattr(Settings(), part)).document_keys() for part in parts}
    assert {f"{part}.{key}" for part, names in keys.items() for key in names} == told


# --- alerts and outcomes --------------------------------------------------------------------------------------


class Receiver:
    """A webhook: what arrives, and how it answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[Any] = []
        self.answers: list[int] = []
        outer = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                outer.headers.append(self.headers)
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Take)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(b) for b in self.bodies]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()
    found.thread.join()


def test_a_failed_run_is_told_signed_and_tried_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROPEND_WEBHOOK_SECRET", "geheim")
    monkeypatch.setattr("propend.workspace.alerts.WAIT_SECONDS", 0.01)
    receiver.answers += [500, 503]
    workspace = Workspace.open(made(tmp_path / "shop", f'[alerts]\nwebhook = "{receiver.address}"\n'))
    workspace.instances.create(document(minimum=100_000))
    run = workspace.runs.start("buyers")
    assert execute(workspace, run.id)
    assert len(receiver.bodies) == 3
    told = receiver.documents[-1]
    assert (told["kind"], told["instance"], told["run"], told["state"]) == ("run_failed", "buyers", run.id, "failed")
    assert told["error"]["code"] in ("PROPEND-400", "PROPEND-401")
    signature = hmac.new(b"geheim", receiver.bodies[-1], hashlib.sha256).hexdigest()
    assert receiver.headers[-1]["X-Propend-Signature"] == f"sha256={signature}"
    workspace.close()


def test_what_came_of_a_run_is_kept_and_told_where_it_is_not_as_expected(tmp_path: Path, receiver: Receiver) -> None:
    settings = f'[alerts]\nwebhook = "{receiver.address}"\n'
    workspace = Workspace.open(made(tmp_path / "shop", settings))
    workspace.instances.create(document())
    first = workspace.runs.start("buyers", options={"as_of": "2022-09-15"})
    assert execute(workspace, first.id)
    assert workspace.runs.get(first.id).state == "succeeded"
    second = workspace.runs.start("buyers", options={"as_of": str(last_day())})
    assert execute(workspace, second.id)
    run = workspace.runs.get(first.id)
    assert run.summary is not None
    verdict = run.summary["realised"]
    assert verdict["level"] in ("as expected", "more than expected", "fewer than expected")
    assert (workspace.home / ".propend" / "outcomes" / "buyers" / "aftermath.html").exists()
    told = [d for d in receiver.documents if d["kind"] == "not_as_expected"]
    assert bool(told) == (verdict["level"] != "as expected" or verdict["ranking"] == "worse than promised")
    third = follow(workspace, workspace.runs.start("buyers").id, lambda _run: None)
    assert third.state == "succeeded"
    assert workspace.runs.get(first.id).summary == run.summary
    workspace.close()


# --- segments ---------------------------------------------------------------------------------------------------


def test_segments_are_made_shown_changed_and_taken_along(home: Path, tmp_path: Path) -> None:
    at = ("--workspace", home)
    assert "no segments yet" in propend("segment", "list", *at).out
    run = Path(propend("run", home / "instances" / "buyers.yaml", "--json").json["folder"])
    rows = pq.read_table(run / "scores.parquet").to_pylist()
    wanted = [r["profile_id"] for r in rows if r["bucket"] == "high" or r["probability"] < 0.1]
    rule = "bucket = 'high' or probability < 0.1"
    made_one = propend("segment", "create", "buyers", "Ends", rule, *at, "--json").json
    named = {k: made_one[k] for k in ("id", "instance", "name", "where", "run", "count", "problem", "created_by")}
    assert named == {
        "id": 1, "instance": "buyers", "name": "Ends", "where": rule, "run": run.name, "count": len(wanted),
        "problem": None, "created_by": "local",
    }  # fmt: skip
    shown = propend("segment", "show", "1", *at).out
    assert shown.splitlines() == [
        "1  Ends  (buyers)",
        f"    {rule}",
        "    Profiles of whom bucket is high or probability is below 0.1.",
        f"    {len(wanted):,} profiles by run {run.name}",
    ]
    assert propend("segment", "list", *at, "--json").json == [made_one]
    sheet = propend("segment", "members", "1", *at).out
    assert [line["profile_id"] for line in csv.DictReader(io.StringIO(sheet))] == wanted
    history = propend("segment", "show", "1", "--history", *at, "--json").json
    assert [(r["run"], r["members"], r["joined"], r["left"]) for r in history] == [(run.name, *[len(wanted)] * 2, 0)]
    line = propend("segment", "show", "1", "--history", *at).out.splitlines()[1]
    assert line.split()[:4] == [run.name, str(len(wanted)), str(len(wanted)), "0"]
    joined = propend("segment", "members", "1", "--change", "joined", *at).out
    assert joined.splitlines() == ["profile_id,change", *(f"{i},joined" for i in wanted)]
    assert propend("segment", "members", "1", "--change", "left", *at).out == "profile_id,change\n"
    refused = propend("segment", "members", "1", "--change", "gone", *at)
    assert (refused.status, "there is no change 'gone'; there are: any, joined, stayed, left" in refused.err) == (
        2,
        True,
    )
    for name in ("members.csv", "members.parquet", "members.arrow"):
        told = propend("segment", "members", "1", "--out", tmp_path / name, *at)
        assert (told.status, told.out) == (0, f"{len(wanted):,} profiles in {tmp_path / name}\n")
    assert (tmp_path / "members.csv").read_text() == sheet
    assert pq.read_table(tmp_path / "members.parquet").column("profile_id").to_pylist() == wanted
    taken = propend("segment", "take", run, "--where", rule, "--out", tmp_path / "taken.csv")
    assert (taken.status, (tmp_path / "taken.csv").read_text()) == (0, sheet)
    assert propend("segment", "take", run, "--where", rule).out == sheet
    changed = propend("segment", "change", "1", "--name", "Top", "--where", "bucket = 'high'", *at, "--json").json
    high = sum(r["bucket"] == "high" for r in rows)
    assert (changed["name"], changed["where"], changed["count"]) == ("Top", "bucket = 'high'", high)
    assert propend("segment", "delete", "1", *at).out == "segment 1, 'Top', is removed\n"
    assert propend("segment", "list", "buyers", *at, "--json").json == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "members.arrow", "members.csv", "members.parquet", "shop", "taken.csv",
    ]  # fmt: skip


def test_segments_that_cannot_be_are_refused(home: Path, tmp_path: Path) -> None:
    at = ("--workspace", home)
    run = Path(propend("run", home / "instances" / "buyers.yaml", "--json").json["folder"])
    (tmp_path / "there.csv").touch()
    refused = {
        ("create", "buyers", "A", "bucket =", *at): ("PROPEND-100", 2),
        ("create", "buyers", "A", "value.nothing > 3", *at): ("PROPEND-100", 2),
        ("create", "nobody", "A", "score > 3", *at): ("PROPEND-103", 2),
        ("show", "7", *at): ("PROPEND-103", 2),
        ("take", run, "--where", "churn:score > 3"): ("PROPEND-103", 2),
        ("take", run, "--where", "score > 3", "--out", tmp_path / "there.csv"): ("PROPEND-102", 2),
        ("take", run, "--where", "score > 3", "--out", tmp_path / "a.xlsx"): ("PROPEND-100", 2),
        ("take", run, "--where", "score > 3", "--out", tmp_path / "there.csv" / "a.csv"): ("PROPEND-204", 1),
        ("take", tmp_path, "--where", "score > 3"): ("PROPEND-103", 2),
    }
    found = {asked: propend("segment", *asked) for asked in refused}
    assert {asked: (called.err.split()[0], called.status) for asked, called in found.items()} == refused
    (run / "contributions.parquet").unlink()
    assert propend("segment", "take", run, "--where", "value.x > 3").err.split()[0] == "PROPEND-265"
