"""The first page: every instance with how it stands."""

from __future__ import annotations

from fastapi import APIRouter, Response

from propend.server.pages.shell import View

router = APIRouter()


@router.get("/")
def home(page: View) -> Response:
    """All instances; where there are none, how to begin."""
    instances = page.space.instances.all()
    serving = {run.instance_id: run for run in page.scores.runs()}
    return page.html("home.html.j2", instances=instances, serving=serving)
