"""Forgetting people: nothing of them is left in a workspace, and nothing of them comes back."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import select
from typer.testing import CliRunner

from cluster import across
from postgres import databases
from propend import cli, pipeline
from propend.engines import connect
from propend.errors import ForgettingFailedError, NoInputDataError, NoProfileGivenError, PropendError
from propend.events import EventRequest
from propend.instance import Data
from propend.protection import Forgotten, Protection, digest_of
from propend.server.access import Caller
from propend.server.routes import privacy as privacy_routes
from propend.server.serving import Serving
from propend.store.catalog import ForgottenRow, RunRow, SettingRow
from propend.store.erasure import any_of, erase, exactly
from propend.store.runs import read_contributions, read_scores
from propend.workspace import Workspace, protection_near
from propend.workspace.dispatch import follow, spawn
from shops import SHOP, shop
from workspaces import document, made, opened

KEY = b"k" * 32


def quietly(_run: RunRow) -> None:
    pass


def until(condition: Any, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def finished(workspace: Workspace, kind: str = "auto") -> RunRow:
    run = follow(workspace, workspace.runs.start("buyers", kind=kind).id, quietly)
    assert run.state == "succeeded", run.error
    return run


def ids_of(workspace: Workspace, run: RunRow) -> set[str]:
    found = set(read_scores(workspace.runs.folder(run)).column("profile_id").to_pylist())
    assert found == set(read_contributions(workspace.runs.folder(run)).column("profile_id").to_pylist())
    return found


def an_example(workspace: Workspace, run: RunRow) -> str:
    """A profile that reports show."""
    found: str = pipeline.Run.load(workspace.runs.folder(run)).insights["examples"][0]["profile_id"]
    return found


def where_found(home: Path, profile_id: str) -> list[str]:
    """Every file of the workspace's own that has the id as a word, tables read and databases with their logs."""
    word = re.compile(rf"(?<![\w.]){re.escape(profile_id)}(?!\w)".encode())
    escaped = json.dumps(profile_id)[1:-1].encode()
    found = []
    for path in sorted(p for p in (home / ".propend").rglob("*") if p.is_file()):
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            raw += json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
        if word.search(raw) or (escaped in raw and not profile_id.isdigit()):
            found.append(str(path.relative_to(home)))
    return found


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two finished runs of one instance, and one made on the command line; to be copied."""
    home = tmp_path_factory.mktemp("privacy") / "shop"
    workspace = opened(home)
    workspace.instances.create(document())
    finished(workspace)
    finished(workspace, "score")
    workspace.close()
    pipeline.run(SHOP, data=shop(), out=home / "by-hand")
    return home


@pytest.fixture
def workspace(two_runs: Path, tmp_path: Path) -> Iterator[Workspace]:
    shutil.copytree(two_runs, tmp_path / "shop")
    found = Workspace.open(tmp_path / "shop")
    yield found
    found.close()


# --- reading --------------------------------------------------------------------------------------------------

REQUEST = EventRequest(selectors=(), number_fields=("amount",), text_fields=("category",))
DATA = Data(columns=SHOP["data"]["columns"])


def forgotten(*ids: str) -> Forgotten:
    return Forgotten(KEY, frozenset(digest_of(i.encode(), KEY) for i in ids))


def contents(engine: Any, data: Data, folder: Path, table: pa.Table | None, who: Forgotten | None) -> dict[str, Any]:
    with connect(engine) as session:
        request = EventRequest(**{**REQUEST.__dict__, "forgotten": who})
        log = session.load(data, folder, request, None if table is None else {"events": table})
        parts = list(log.visit(_all_of))
        ids = [i for p in parts for i in p["ids"]]
        facts = log.facts
        return {
            "ids": ids, "parts": parts, "kinds": facts.kinds, "used": facts.used, "profiles": facts.profiles,
            "aside": {k: n for k, n in facts.set_aside.items() if n}, "words": log.vocabularies,
            "days": facts.days.tolist(), "facts": log.attribute_vocabularies, "copies": facts.exact_duplicates,
        }  # fmt: skip


def _all_of(part: Any) -> dict[str, Any]:
    found = {"ids": part.profile_ids.tolist(), "at": part.at.tolist(), "value": part.value.tobytes()}
    return found | {"facts": None if part.attributes is None else part.attributes.texts.tolist()}


def test_who_is_forgotten_is_read_as_if_never_there() -> None:
    table, who = shop(60, 100), ("p0003", "p0017", "p0059")
    without = table.filter(pc.invert(pc.is_in(table.column("profile_id"), pa.array(who))))
    found = contents("duckdb", DATA, Path(), table, forgotten(*who, "nobody"))
    expected = contents("duckdb", DATA, Path(), without, None)
    assert found.pop("aside") == {"forgotten": len(table) - len(without)}
    assert expected.pop("aside") == {}
    assert found == expected


def test_their_words_and_attributes_are_not_read_either(tmp_path: Path) -> None:
    table = shop(60, 100)
    only = pa.array([f"secret of {i}" if i == "p0003" else "x" for i in table.column("profile_id").to_pylist()])
    table = table.set_column(table.schema.get_field_index("category"), "category", only)
    pq.write_table(pa.table({"profile_id": ["p0003", "p0004"], "town": ["Atlantis", "Rio"]}), tmp_path / "f.parquet")
    data = Data(columns=SHOP["data"]["columns"], attributes={"path": "f.parquet", "constant": True})
    found = contents("duckdb", data, tmp_path, table, forgotten("p0003"))
    assert (found["words"], found["facts"]) == ((("x",),), (("Rio",),))


def test_where_everybody_is_forgotten_nothing_is_left() -> None:
    table = shop(2, 100)
    with pytest.raises(NoInputDataError, match="forgotten") as caught:
        contents("duckdb", DATA, Path(), table, forgotten("p0000", "p0001"))
    assert caught.value.facts["set_aside"]["forgotten"] == len(table)


@pytest.mark.parametrize(
    ("ids", "one"),
    [
        (pa.array(range(7)), "3"),
        (pa.array([float(i) for i in range(7)]), "3"),
        (pa.array(["ü", "Ω 1", "名前", " ", "0", "none", "a/b?c"]), "名前"),
        (pa.array(["ü", "Ω 1", "名前", "null", "0", "none", "a/b?c"]), "null"),
        (pa.array(["x'); DROP", "<b>", "%", "-", "0", "none", "a/b?c"]), "x'); DROP"),
        (pa.array(["a", "b", "c", "d", "e", "f", "g" * 3000]), "g" * 3000),
    ],
)
def test_ids_of_every_type_are_met_again(ids: pa.Array, one: str) -> None:
    table = shop(7, 200)
    place = [int(i[1:]) for i in table.column("profile_id").to_pylist()]
    table = table.set_column(0, "profile_id", ids.take(pa.array(place)))
    before = contents("duckdb", DATA, Path(), table, None)["ids"]
    assert one in before
    assert contents("duckdb", DATA, Path(), table, forgotten(one))["ids"] == [i for i in before if i != one]


def test_a_cluster_leaves_the_same_people_out() -> None:
    """What its machines do, in this process; on Spark itself it is tested beside the engine."""
    table = shop(60, 100)
    request = EventRequest(**{**REQUEST.__dict__, "forgotten": forgotten("p0003", "p0017")})
    here = contents("duckdb", DATA, Path(), table, request.forgotten)
    parts, tally, _ = across(table, DATA, request, machines=3, bits=2, seed=1)
    assert [i for p in parts for i in p.profile_ids.tolist()] == here["ids"]
    assert np.concatenate([p.value for p in parts]).tobytes() == b"".join(p["value"] for p in here["parts"])
    assert ({k: n for k, n in tally.set_aside.items() if n}, tally.used) == (here["aside"], here["used"])


def test_forgotten_people_are_neither_learnt_from_nor_scored(tmp_path: Path) -> None:
    table = shop()
    who = [f"p{i:04d}" for i in range(0, 500, 7)]
    protection = Protection(forgotten=forgotten(*who))
    run = pipeline.run(SHOP, data=table, out=tmp_path / "run", protection=protection)
    without = table.filter(pc.invert(pc.is_in(table.column("profile_id"), pa.array(who))))
    plain = pipeline.run(SHOP, data=without, out=tmp_path / "plain")
    assert run.scores.column("profile_id").equals(plain.scores.column("profile_id"))
    assert run.scores.column("probability").equals(plain.scores.column("probability"))
    assert run.record["model"]["training_snapshots"] == plain.record["model"]["training_snapshots"]
    aside = len(table) - len(without)
    assert run.record["counts"]["set_aside"]["forgotten"] == aside
    told = [n["message"] for n in run.record["warnings"] if n["code"] == "PROPEND-317"]
    assert told == [f"{aside:,} rows of people who asked to be forgotten were left out."]
    again = pipeline.score(run.folder, data=table, out=tmp_path / "again", protection=protection)
    assert set(again.scores.column("profile_id").to_pylist()).isdisjoint(who)


def test_what_is_kept_of_them_is_not_shown() -> None:
    who = forgotten("ana")
    assert "kkk" not in repr(who)
    assert repr(digest_of(b"ana", KEY)) not in repr(who)
    assert who.among([b"ana", b"bo", b""]) == [True, False, False]
    assert digest_of(b"ana", KEY) != digest_of(b"ana", b"x" * 32)
    assert not Forgotten(KEY, frozenset())


# --- the workspace --------------------------------------------------------------------------------------------


def test_nothing_of_a_person_is_left_in_any_byte(workspace: Workspace) -> None:
    newest, oldest = workspace.runs.history("buyers")
    who = an_example(workspace, newest)
    before = ids_of(workspace, newest)
    assert len(where_found(workspace.home, who)) >= 8
    removal = workspace.privacy.forget(who, "ana")
    assert (removal.runs, removal.rows, removal.known) == (3, 6, False)
    assert removal.examples >= 2
    assert where_found(workspace.home, who) == []
    assert {
        i
        for path in (workspace.home / "by-hand").glob("*.parquet")
        for i in pq.read_table(path)["profile_id"].to_pylist()
    } == (before - {who})
    for run in (newest, oldest):
        assert ids_of(workspace, run) == before - {who}
    entries = [(e.who, e.action, e.subject) for e in workspace.audit.entries()][:2]
    assert entries == [("ana", "erase", removal.mark), ("ana", "forget", removal.mark)]
    assert workspace.privacy.is_forgotten(who)
    assert not workspace.privacy.is_forgotten(who + "0")


def test_reports_are_written_again_without_the_example(workspace: Workspace) -> None:
    run = workspace.runs.history("buyers")[0]
    folder, who = workspace.runs.folder(run), an_example(workspace, run)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert who in page
    workspace.privacy.forget(who)
    after = (folder / "report.html").read_text(encoding="utf-8")
    assert who not in after
    assert len(after) > 0.9 * len(page)
    loaded = pipeline.Run.load(folder)
    assert loaded.report().to_html() == after
    assert who not in {e["profile_id"] for e in loaded.insights["examples"]}


def test_later_runs_do_not_bring_them_back(workspace: Workspace) -> None:
    who = sorted(ids_of(workspace, workspace.runs.history("buyers")[0]))[5]
    before = pipeline.Run.load(workspace.runs.folder(workspace.runs.history("buyers")[1])).record
    workspace.privacy.forget(who)
    for kind in ("score", "train"):
        run = finished(workspace, kind)
        assert who not in ids_of(workspace, run)
        counts = pipeline.Run.load(workspace.runs.folder(run)).record["counts"]
        assert counts["set_aside"]["forgotten"] > 0
        assert counts["profiles"] == before["counts"]["profiles"] - 1
    assert where_found(workspace.home, who) == []


def test_who_asks_again_is_forgotten_as_before(workspace: Workspace) -> None:
    first = workspace.privacy.forget("p0001")
    again = workspace.privacy.forget("p0001")
    assert (again.mark, again.runs, again.rows, again.known) == (first.mark, 0, 0, True)
    assert workspace.privacy.forget("never seen").runs == 0
    with pytest.raises(NoProfileGivenError):
        workspace.privacy.forget("")


def test_a_run_that_is_executed_meanwhile_does_not_bring_them_back(workspace: Workspace) -> None:
    ids = sorted(ids_of(workspace, workspace.runs.history("buyers")[0]))
    run = workspace.runs.start("buyers", kind="score")
    process = spawn(workspace, run.id)
    until(lambda: workspace.runs.get(run.id).stage not in (None, "read"))  # its data are read
    for who in ids[:3]:
        workspace.privacy.forget(who)
    process.wait()
    ended = workspace.runs.get(run.id)
    assert ended.state == "succeeded"
    assert ids_of(workspace, ended) == set(ids[3:])
    assert [where_found(workspace.home, who) for who in ids[:3]] == [[], [], []]


def test_a_run_is_not_committed_past_somebody_who_was_just_forgotten(workspace: Workspace) -> None:
    before = workspace.privacy.forgotten()
    with workspace.catalog.reading() as session:
        assert workspace.privacy.as_many(session, before)
    workspace.privacy.forget("p0001")
    with workspace.catalog.reading() as session:
        assert not workspace.privacy.as_many(session, before)
        assert workspace.privacy.as_many(session, workspace.privacy.forgotten())


KILLED = """
import os, sys
import propend.store.erasure as erasure
import propend.workspace.privacy as privacy
from propend.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
real, times = getattr({module}, {name!r}), [0]
def dying(*args, **kwargs):
    times[0] += 1
    if times[0] > {after}:
        os._exit(9)
    return real(*args, **kwargs)
{module}.{name} = dying
workspace.privacy.forget(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("module", "name", "after"),
    [
        ("privacy", "erase", 0),
        ("privacy", "erase", 1),
        ("erasure", "_put", 0),
        ("erasure", "_put", 1),
        ("erasure", "write_json", 0),
        ("erasure", "write_json", 1),
    ],
)
def test_killed_half_way_the_next_look_goes_on(workspace: Workspace, module: str, name: str, after: int) -> None:
    who = an_example(workspace, workspace.runs.history("buyers")[0])
    code = KILLED.format(module=module, name=name, after=after)
    done = subprocess.run([sys.executable, "-c", code, str(workspace.home), who], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert workspace.privacy.is_forgotten(who)
    assert where_found(workspace.home, who) != []
    workspace.refresh()
    assert where_found(workspace.home, who) == []
    assert list(workspace.home.rglob("*.erasing")) == []
    assert workspace.privacy.resume() == 0
    for run in workspace.runs.history("buyers"):
        assert len(ids_of(workspace, run)) > 100


def test_a_folder_that_cannot_be_written_is_said_and_tried_again(workspace: Workspace) -> None:
    run = workspace.runs.history("buyers")[0]
    who = an_example(workspace, run)
    path = min(workspace.home.rglob("insights.json"))  # the first of them: the others are cleared all the same
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-50], encoding="utf-8")  # damaged: nobody can tell what is in it
    with pytest.raises(ForgettingFailedError) as caught:
        workspace.privacy.forget(who)
    assert who not in str(caught.value)
    left = {Path(p).parent for p in where_found(workspace.home, who)}
    assert left <= {path.parent.relative_to(workspace.home)}
    workspace.refresh()  # goes on without it
    path.write_text(whole, encoding="utf-8")
    workspace.refresh()
    assert where_found(workspace.home, who) == []


def test_several_at_the_same_time(workspace: Workspace) -> None:
    before = ids_of(workspace, workspace.runs.history("buyers")[0])
    some = [*sorted(before)[:6], sorted(before)[0]]
    others = [Workspace.open(workspace.home) for _ in some]
    with ThreadPoolExecutor(len(some)) as pool:
        list(pool.map(lambda pair: pair[0].privacy.forget(pair[1]), zip(others, some, strict=True)))
    for other in others:
        other.close()
    for run in workspace.runs.history("buyers"):
        assert ids_of(workspace, run) == before - set(some)
    with workspace.catalog.reading() as session:
        rows = list(session.scalars(select(ForgottenRow)))
    assert (len(rows), any(r.pending for r in rows)) == (6, False)


def test_exports_and_caches_are_made_anew(workspace: Workspace) -> None:
    for name in ("exports", "cache"):
        (workspace.home / ".propend" / name).mkdir()
        (workspace.home / ".propend" / name / "scores.csv").write_text("profile_id\np0001\n", encoding="utf-8")
    workspace.privacy.forget("p0001")
    assert where_found(workspace.home, "p0001") == []


def test_tables_in_parts_and_scores_that_are_kept_no_longer(workspace: Workspace, tmp_path: Path) -> None:
    table = pa.table({"profile_id": ["a", "b", "c"], "probability": [0.1, 0.2, 0.3]})
    parts = tmp_path / "run" / "scores.parquet"
    parts.mkdir(parents=True)
    for i in range(3):
        pq.write_table(table.slice(i, 1), parts / f"part-{i}.parquet")
    assert erase(tmp_path / "run", exactly("b")).rows == 1
    assert erase(tmp_path / "run", any_of(forgotten("b", "c"))).rows == 1
    assert read_scores(tmp_path / "run").column("profile_id").to_pylist() == ["a"]
    run = workspace.runs.history("buyers")[1]
    with workspace.catalog.writing() as session:
        session.get_one(RunRow, run.id).scores_kept = False
    workspace.privacy.forget("p0001")
    assert not (workspace.runs.folder(run) / "scores.parquet").exists()


def test_on_postgresql_it_is_the_same(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    workspace = Workspace.open(made(tmp_path / "shop"), databases(request).new())
    workspace.instances.create(document())
    run = finished(workspace)
    some = sorted(ids_of(workspace, run))[:4]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(workspace.privacy.forget, some))
    assert ids_of(workspace, run).isdisjoint(some)
    with workspace.catalog.reading() as session:
        assert len(list(session.scalars(select(SettingRow)))) == 1
    assert ids_of(workspace, finished(workspace, "score")).isdisjoint(some)
    workspace.close()


# --- command line and REST ------------------------------------------------------------------------------------


def test_on_the_command_line_the_id_may_come_from_the_input(workspace: Workspace) -> None:
    run, home = workspace.runs.history("buyers")[0], str(workspace.home)
    one, other = sorted(ids_of(workspace, run))[:2]
    said = CliRunner().invoke(cli.app, ["forget", one, "--workspace", home])
    assert said.exit_code == 0, said.output
    assert "removed: 6 rows" in said.output
    assert one not in said.output
    said = CliRunner().invoke(cli.app, ["forget", "--workspace", home, "--json"], input=f"{other}\n")
    assert json.loads(said.output)["rows"] == 6
    assert ids_of(workspace, run).isdisjoint({one, other})
    assert CliRunner().invoke(cli.app, ["forget", "--workspace", home], input="").exit_code == 2


def test_commands_within_a_workspace_leave_them_out_too(workspace: Workspace, tmp_path: Path) -> None:
    """Nobody comes back by way of the command line; outside of a workspace nobody is forgotten."""
    who = sorted(ids_of(workspace, workspace.runs.history("buyers")[0]))[3]
    path = workspace.home / "instances" / "buyers.yaml"
    assert protection_near(path).forgotten is None
    workspace.privacy.forget(who)
    assert protection_near(tmp_path) == Protection()
    said = CliRunner().invoke(cli.app, ["run", str(path), "--out", str(workspace.home / "new")])
    assert said.exit_code == 0, said.output
    run = pipeline.Run.load(workspace.home / "new")
    assert who not in run.scores.column("profile_id").to_pylist()
    (workspace.home / "propend.toml").write_text('[policies.sensitive]\ngoals = "allow"\n', encoding="utf-8")
    assert protection_near(run.folder).policies.sensitive.goals == "allow"


@pytest.fixture
def address(workspace: Workspace) -> Iterator[str]:
    """A real server with the routes, and who asks in a header."""
    app = FastAPI()
    app.state.workspace, app.state.serving = workspace, Serving(workspace)
    app.include_router(privacy_routes.router, prefix="/api/v1")

    @app.middleware("http")
    async def who_asks(request: Request, call_next: Any) -> Any:
        if role := request.headers.get("x-role"):
            request.state.caller = Caller("ana", role)
        return await call_next(request)

    @app.exception_handler(PropendError)
    async def refused(_request: Request, error: PropendError) -> JSONResponse:
        return JSONResponse({"error": error.to_dict()}, {130: 401, 131: 403}.get(error.number, 422))

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_over_rest_only_who_manages_may(address: str, workspace: Workspace) -> None:
    run = workspace.runs.history("buyers")[0]
    one = sorted(ids_of(workspace, run))[0]
    where = f"{address}/api/v1/profiles/{one}"
    assert httpx.delete(where).status_code == 401
    assert httpx.delete(where, headers={"x-role": "view"}).status_code == 403
    assert one in ids_of(workspace, run)
    found = httpx.delete(where, headers={"x-role": "manage"})
    assert found.status_code == 200
    assert found.json().items() >= {"runs": 3, "rows": 6, "known": False}.items()
    assert one not in ids_of(workspace, run)
    assert [e.who for e in workspace.audit.entries(limit=2)] == ["ana", "ana"]
    odd = httpx.delete(f"{address}/api/v1/profiles/a%2Fb%3F%C3%BC", headers={"x-role": "manage"})
    assert (odd.status_code, workspace.privacy.is_forgotten("a/b?ü")) == (200, True)


def test_the_routes_are_described_with_examples(address: str) -> None:
    described = httpx.get(f"{address}/openapi.json").json()
    route = described["paths"]["/api/v1/profiles/{profile_id}"]["delete"]
    assert {"200", "401", "403", "422", "500", "503"} <= route["responses"].keys()
    assert described["components"]["schemas"]["RemovalShape"]["examples"]
