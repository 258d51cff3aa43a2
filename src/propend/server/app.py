"""The application: routers, errors, what goes around requests, and what is described as OpenAPI."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from propend.server import failures, pages
from propend.server.access import install
from propend.server.metrics import Metrics
from propend.server.pages import shell
from propend.server.requests import OPENAPI, PREFIX, Watch
from propend.server.routes import (
    audit,
    checks,
    destinations,
    health,
    instances,
    live,
    privacy,
    profiles,
    runs,
    scores,
    segments,
    sessions,
)
from propend.server.serving import Serving
from propend.server.state import HeavyWork
from propend.version import __version__
from propend.workspace import Workspace
from propend.workspace.overview import Overview
from propend.workspace.room import Measured

ROUTERS = (
    *(profiles.router, live.router, instances.router, checks.router, runs.router, scores.router, segments.router),
    *(destinations.router, privacy.router, sessions.router, audit.router),
)
"""Under the prefix; what is asked for most comes first, for routes are tried one after the other."""
OPEN = ("/healthz", "/readyz")
"""Which anybody may ask for, besides what log-in needs."""
ABOUT = (
    "For every profile, how likely it is to do something, and why. Lists are `{items, next}`: `next` is the "
    "`cursor` of the page that follows, or null. Errors are `{error: {code, symbol, stage, message, hint, facts}}`, "
    "with stable codes. What creates takes an `Idempotency-Key`."
)


def create_app(workspace: Workspace, *, access: bool = True) -> FastAPI:
    """The application of an open workspace.

    Args:
        access: whether callers must be known; without it everybody manages, which is for this machine alone.
    """
    app = FastAPI(
        title="propend", version=__version__, description=ABOUT, docs_url=None, redoc_url=None,
        openapi_url=OPENAPI, separate_input_output_schemas=False,
    )  # fmt: skip
    app.state.workspace, app.state.serving = workspace, Serving(workspace)
    app.state.heavy, app.state.metrics = HeavyWork(), Metrics(workspace)
    app.state.overview, app.state.measured = Overview(workspace), Measured(workspace.home)
    failures.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(health.router)
    pages.install(app)
    install(app, workspace, access, shell.for_people)
    most = workspace.settings.uploads.most_bytes
    app.add_middleware(Watch, metrics=app.state.metrics, shown=shell.for_people, most_upload=most)  # outermost
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """OpenAPI, with how callers are known."""

    def described() -> dict[str, object]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )  # fmt: skip
            found.setdefault("components", {})["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of the workspace (`pp_…`)."}
            }
            for path, methods in found["paths"].items():
                for operation in methods.values():
                    operation["security"] = [] if path in OPEN else [{"token": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
