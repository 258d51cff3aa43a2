"""``POST /api/v1/instances/ID/score`` of a real server, over a real connection."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint

from propend.errors import InstanceNotFoundError, NotLoggedInError, PropendError, StatusError
from propend.pipeline import Run
from propend.server.access import Caller
from propend.server.live_models import LiveModels
from propend.server.routes import live
from propend.store.runs import plain
from propend.workspace import Workspace
from propend.workspace.dispatch import follow
from workspaces import document, opened

STATUSES: dict[type[PropendError], int] = {InstanceNotFoundError: 404, NotLoggedInError: 401, StatusError: 409}


def application(workspace: Workspace) -> FastAPI:
    """The router alone; whoever sends a name is known."""
    app = FastAPI()
    app.state.workspace = workspace
    app.include_router(live.router, prefix="/api/v1")

    @app.middleware("http")
    async def who(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if "x-name" in request.headers:
            request.state.caller = Caller(request.headers["x-name"], "view")
        return await call_next(request)

    @app.exception_handler(PropendError)
    def refused(_: Request, error: PropendError) -> JSONResponse:
        status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 422)
        return JSONResponse({"error": error.to_dict()}, status)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": {"code": "PROPEND-133", "message": str(error.errors()[0]["msg"])}}, 422)

    return app


@dataclass(frozen=True)
class Served:
    """A server with a workspace of one instance that has run."""

    workspace: Workspace
    client: httpx.Client
    run: Run
    events: dict[str, list[dict[str, Any]]]

    def post(self, body: dict[str, Any], instance: str = "buyers") -> httpx.Response:
        return self.client.post(f"/api/v1/instances/{instance}/score", json=body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    workspace = opened(tmp_path_factory.mktemp("served") / "shop")
    workspace.instances.create(document())
    started = workspace.runs.start("buyers")
    follow(workspace, started.id, lambda _: None)
    found = Run.load(workspace.runs.folder(workspace.runs.get(started.id)))
    events: dict[str, list[dict[str, Any]]] = {}
    for row in pq.read_table(workspace.home / "events.parquet").to_pylist():
        events.setdefault(row["profile_id"], []).append(json.loads(json.dumps(row, default=lambda at: at.isoformat())))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application(workspace), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=address, headers={"x-name": "ann"}, timeout=60) as client:
            yield Served(workspace, client, found, events)
        server.should_exit = True
        thread.join()
    workspace.close()


def test_the_answer_is_what_the_run_says(served: Served) -> None:
    rows = {r["profile_id"]: r for r in served.run.scores.to_pylist()}
    for profile_id in list(rows)[:50]:
        answer = served.post({"profile_id": profile_id, "events": served.events[profile_id]})
        assert answer.status_code == 200
        found = answer.json()
        expected = json.loads(json.dumps(plain(rows[profile_id]), default=lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ")))
        assert {key: found[key] for key in expected} == expected
        assert (found["eligible"], found["reason"]) == (True, None)


def test_many_ask_at_once(served: Served) -> None:
    rows = {r["profile_id"]: r["probability"] for r in served.run.scores.to_pylist()}

    def right(profile_id: str) -> bool:
        answer = served.post({"events": served.events[profile_id]}).json()
        return bool(answer["probability"] == rows[profile_id])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, list(rows)[:80]))


def test_who_is_not_eligible_is_told_why(served: Served) -> None:
    body = {"events": [{"at": "2022-02-01T10:00:00", "event": "visit"}], "profile_id": "x/1"}
    answer = served.post(body)
    assert (answer.status_code, answer.json()["probability"]) == (200, None)
    assert (answer.json()["eligible"], "90 days" in answer.json()["reason"]) == (False, True)
    offered = served.post(body | {"regardless": True}).json()
    assert (offered["eligible"], offered["profile_id"], 0 < offered["probability"] < 1) == (False, "x/1", True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"events": [{"event": "visit"}]}, "PROPEND-160"),
        ({"events": [{"at": "2022-11-07", "event": "visit"}], "now": "2022-11-07T00:00:00Z"}, "PROPEND-161"),
        ({"events": [{"at": "2022-11-07", "event": "visit"}] * 10_001}, "PROPEND-133"),
        ({"events": "visit"}, "PROPEND-133"),
        ({"events": [], "nothing": 1}, "PROPEND-133"),
        ({}, "PROPEND-133"),
    ],
)
def test_what_cannot_be_read_is_refused(served: Served, body: dict[str, Any], code: str) -> None:
    answer = served.post(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)


def test_nobody_and_nothing_are_told(served: Served) -> None:
    assert served.post({"events": []}, "nobody").status_code == 404
    served.workspace.instances.create(document("Not yet"))
    missing = served.post({"events": []}, "not-yet")
    assert (missing.status_code, "no scores yet" in missing.json()["error"]["message"]) == (404, True)
    stranger = httpx.post(f"{served.client.base_url}/api/v1/instances/buyers/score", json={"events": []})
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "PROPEND-130")


def test_a_newer_run_takes_over(served: Served) -> None:
    models = LiveModels(served.workspace)
    before = models.of("buyers")
    assert models.of("buyers") is before
    scratch = Path(before._reader._db.scratch)
    again = served.workspace.runs.start("buyers", kind="score")
    follow(served.workspace, again.id, lambda _: None)
    after = models.of("buyers")
    assert after is not before
    assert after.run_id != before.run_id
    del before
    assert not scratch.exists()
