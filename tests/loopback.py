"""Applications served on loopback by a real server in a thread, and the answers to errors as the server gives them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from propend.errors import (
    InstanceNotFoundError,
    NotAllowedError,
    NotLoggedInError,
    PropendError,
    ProviderFailedError,
    RequestInvalidError,
    StatusError,
    TooManyAttemptsError,
)
from propend.server.access import install
from propend.server.routes import audit, sessions
from propend.workspace import Workspace

STATUSES = {
    NotLoggedInError: 401,
    NotAllowedError: 403,
    InstanceNotFoundError: 404,
    StatusError: 409,
    TooManyAttemptsError: 429,
    ProviderFailedError: 502,
}


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of an application that listens on a free port of 127.0.0.1 until the end."""
    # with the protocol's number asyncio sends small answers at once, without waiting for the other side's word
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="info", log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the server has not started within 20 seconds")
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)


def application(workspace: Workspace, enabled: bool = True) -> FastAPI:
    """The routes of access alone, with their gate."""
    app = FastAPI()
    app.state.workspace = workspace
    app.add_exception_handler(PropendError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    for router in (sessions.router, audit.router):
        app.include_router(router, prefix="/api/v1")
    install(app, workspace, enabled)
    return app


async def _told(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PropendError)
    status = STATUSES.get(type(error), 422)
    headers = {"Retry-After": str(error.facts["retry_seconds"])} if status == 429 else None
    return JSONResponse({"error": error.to_dict()}, status, headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    told = RequestInvalidError("; ".join(str(e["msg"]) for e in error.errors()))  # the values are not repeated
    return JSONResponse({"error": told.to_dict()}, 422)
