"""``propend.connect``: every verb of the client against a real server; errors are those of the library."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import propend
from propend.client import Client
from propend.errors import (
    BadModelError,
    ChangedMeanwhileError,
    ConfigurationError,
    InstanceNotFoundError,
    Mistake,
    NoOutcomeKnownError,
    ProfileNotFoundError,
    RequestInvalidError,
    RunCancelledError,
    ServerUnreachableError,
    StatusError,
    UnexpectedError,
    error_of,
)
from servers import Server, serving
from shops import last_day
from workspaces import document, made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(made(tmp_path_factory.mktemp("client") / "shop"), "--no-auth") as found:
        yield found


@pytest.fixture(scope="module")
def served(server: Server) -> Iterator[Client]:
    """A client of a server with one instance that was run."""
    with propend.connect(server.url) as client:
        client.create(document())
        told: list[str] = []
        run = client.run("buyers", as_of=last_day(), told=lambda r: told.append(r["state"]))
        assert (run["state"], told[-1]) == ("succeeded", "succeeded")
        yield client


def test_instances_through_their_lives(served: Client) -> None:
    made_one = served.create_draft("Leavers")
    assert (made_one["id"], made_one["status"]) == ("leavers", "draft")
    served.save_draft("leavers", document("Leavers"))
    assert served.publish("leavers")["version"] == 1
    changed = served.edit("leavers", document("Leavers", minimum=60), 1)
    assert changed["version"] == 2
    with pytest.raises(ChangedMeanwhileError, match="version 2; version 1 was edited"):
        served.edit("leavers", document("Leavers"), 1)
    assert [v["number"] for v in served.versions("leavers")] == [2, 1]
    assert [d["place"] for d in served.differences("leavers", 1, 2)] == ["options"]
    assert served.disable("leavers")["status"] == "disabled"
    assert served.enable("leavers")["status"] == "enabled"
    assert served.clone("leavers", "Copy")["id"] == "copy"
    assert [i["id"] for i in served.instances()] == ["buyers", "copy", "leavers"]
    for name in ("copy", "leavers"):
        served.delete(name)
    with pytest.raises(InstanceNotFoundError, match="no instance 'leavers'"):
        served.instance("leavers")


def test_mistakes_come_back_as_the_library_raises_them(served: Client) -> None:
    bad = document() | {"goal": {"any_off": ["buy"], "within": "30d"}}
    with pytest.raises(ConfigurationError) as there:
        served.create(bad)
    with pytest.raises(ConfigurationError) as here:
        propend.Instance.load(bad)
    assert there.value.mistakes == here.value.mistakes
    assert str(there.value) == str(here.value)
    with pytest.raises(RequestInvalidError):
        served.check()


def test_checks_and_runs(served: Client) -> None:
    assert served.check(instance="buyers")["refusals"] == []
    assert served.check(document(), as_of=last_day() - timedelta(days=30))["sentence"]
    started = served.run("buyers", kind="score", wait=False)
    served.cancel(started["id"])
    with pytest.raises(RunCancelledError):
        served.follow(started["id"], seconds=60)
    with pytest.raises(StatusError):
        served.cancel(started["id"])
    done = next(served.runs("buyers", "succeeded"))
    assert served.get_run(done["id"]) == done
    assert {r["id"] for r in served.runs()} == {done["id"], started["id"]}
    assert served.document(done["id"], "record")["name"] == "Buyers"
    assert served.document(done["id"], "evaluation") == served.evaluation("buyers")
    assert served.report(done["id"]).startswith("<!doctype html>")
    told = served.log(done["id"])
    assert sum(stage["seconds"] for stage in told["stages"]) > 0
    assert told["lines"]
    assert served.comparison(done["id"], done["id"])["profiles"]["new"] == 0
    assert served.factors("buyers")["run"] == done["id"]
    with pytest.raises(NoOutcomeKnownError):
        served.realised("buyers")


def test_scores_are_tables_and_profiles_plain(served: Client) -> None:
    table = served.scores("buyers")
    assert isinstance(table, pa.Table)
    ids = table.column("profile_id").to_pylist()
    assert ids == sorted(ids) and len(ids) > 400
    high = served.scores("buyers", bucket="high", min_probability=0.1)
    assert set(high.column("bucket").to_pylist()) == {"high"}
    ends = served.scores("buyers", where="bucket = 'high' or probability < 0.1", max_probability=0.9)
    wanted = pc.field("probability") < 0.1
    assert ends == table.filter((wanted | (pc.field("bucket") == "high")) & (pc.field("probability") <= 0.9))
    with pytest.raises(ConfigurationError):
        served.scores("buyers", where="bucket =")
    one = served.profile(ids[0])["scores"]["buyers"]
    assert one["probability"] == table.column("probability")[0].as_py()
    assert served.profiles([*ids[:3], "nobody"]) == {i: served.profile(i)["scores"] for i in ids[:3]}
    assert len(served.profiles(ids * 12, ["buyers"])) == len(ids)  # more than one look-up takes
    for nobody in ("nobody", "a/b?c#d", "..", "."):
        with pytest.raises(ProfileNotFoundError):
            served.profile(nobody)


def test_segments(served: Client) -> None:
    found = served.create_segment("buyers", "Likely", "bucket = 'high'")
    assert found["count"] == served.members(found["id"]).num_rows > 0
    assert [(r["members"], r["joined"], r["left"]) for r in served.history(found["id"])] == [
        (found["count"],) * 2 + (0,)
    ]
    assert {c["change"] for c in served.changes(found["id"])} == {"joined"}
    assert len(served.changes(found["id"], "joined")) == found["count"]
    assert served.changes(found["id"], "left") == []
    changed = served.change_segment(found["id"], "Unlikely", "bucket = 'low'")
    assert served.segment(found["id"]) == changed
    assert [s["name"] for s in served.segments("buyers")] == ["Unlikely"]
    served.delete_segment(found["id"])
    assert served.segments("buyers") == []


def test_every_verb_of_the_client_reaches_a_route(server: Server) -> None:
    """And says what it gives; the tests above call each."""
    with open(__file__, encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    verbs = [n for n, _ in inspect.getmembers(Client, inspect.isfunction) if not n.startswith("_") and n != "close"]
    assert [v for v in verbs if f"served.{v}(" not in text] == []


def test_nobody_there_and_somebody_else(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with propend.connect(f"http://127.0.0.1:{port}") as client, pytest.raises(ServerUnreachableError, match="reached"):
        client.instances()
    with propend.connect(f"{server.url}/elsewhere") as client, pytest.raises(InstanceNotFoundError):
        client.instances()
    for odd in ("nothing", "ftp://example.com", "http://"):
        with propend.connect(odd) as client, pytest.raises(ServerUnreachableError):
            client.instances()


def test_errors_of_a_newer_server_are_told() -> None:
    told = {"code": "PROPEND-999", "symbol": "NEW", "stage": "x", "message": "Something new.", "hint": "", "facts": {}}
    assert isinstance(error_of(told), UnexpectedError)
    assert error_of(told).message == "Something new."
    known = error_of(BadModelError("Bad.", "Try.", auc=0.5).to_dict())
    assert (type(known), known.facts, str(known)) == (BadModelError, {"auc": 0.5}, str(BadModelError("Bad.", "Try.")))
    wrong = ConfigurationError([Mistake("goal", "odd", "god")])
    assert str(error_of(wrong.to_dict())) == str(wrong)
    assert httpx.__version__
