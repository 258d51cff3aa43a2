"""The pages of ``propend serve``: what people see, over the same workspace as the REST routes.

``shell`` is what every page is made with; every other module is the pages of one place, its templates under the same
name in ``templates/``. They are listed here, and described with their roles in ``docs/pages.md``.
"""

from __future__ import annotations

from fastapi import FastAPI

from propend.server.pages import (
    actions,
    audiences,
    begin,
    builder,
    changes,
    data,
    destinations,
    entrance,
    home,
    insights,
    people,
    performance,
    profiles,
    runs,
    segments,
    settings,
    shell,
)
from propend.workspace.looks import Looks

ROUTERS = (
    *(home.router, entrance.router, begin.router, builder.router, data.router),
    *(audiences.router, segments.router, profiles.router),
    *(destinations.router, insights.router, performance.router, runs.router, actions.router),
    *(people.router, changes.router, settings.router),
)
"""In the order in which they are asked: fixed addresses, such as ``/instances/new``, before ``/instances/ID``."""


def install(app: FastAPI) -> None:
    """Put the pages into an application; they are not part of its description as an API."""
    app.state.looks = Looks(app.state.workspace.settings.data.reach)
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    shell.install(app)
