"""Whether the server lives, whether it can work, and what it measures."""

from __future__ import annotations

import tempfile

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import text

from propend.errors import CatalogUnavailableError
from propend.server.access import Viewer
from propend.server.metrics import MEDIA_TYPE, Metrics
from propend.server.shapes import ErrorBody, Health, refusals
from propend.server.state import Space
from propend.store.runs import WORK_FOLDER
from propend.version import __version__

router = APIRouter(tags=["health"])
UNWELL = {status: {"model": ErrorBody, "description": "It cannot work now."} for status in (500, 503)}


@router.get("/healthz", responses={500: UNWELL[500]})
def get_health() -> Health:
    """The process lives. Nothing is asked of the catalog, and nobody needs to be logged in."""
    return Health(status="ok", version=__version__)


@router.get("/readyz", responses={s: UNWELL[s] for s in (500, 503)})
def get_readiness(space: Space) -> Health:
    """The catalog answers and the workspace can be written. Nobody needs to be logged in."""
    with space.catalog.reading() as session:
        session.scalar(text("SELECT 1"))
    try:
        with tempfile.TemporaryFile(dir=space.home / WORK_FOLDER):
            pass
    except OSError as error:
        raise CatalogUnavailableError(
            f"The workspace cannot be written: {error.strerror}.", "see to the disk and its permissions."
        ) from None
    return Health(status="ready", version=__version__)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}, "description": "Figures in Prometheus's form."}, **refusals()},
)
def get_metrics(request: Request, _caller: Viewer) -> PlainTextResponse:
    """Requests by route and status with their seconds; runs by state; scores that are served and their age."""
    metrics: Metrics = request.app.state.metrics
    return PlainTextResponse(metrics.text(), media_type=MEDIA_TYPE)
