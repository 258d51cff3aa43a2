"""The pages of ``propend serve``: what people see, over the same workspace as the REST routes.

``shell`` is what every page is made with; every other module is the pages of one place, its templates under the same
name in ``templates/``. They are listed here, and described with their roles in ``docs/pages.md``.
"""

from __future__ import annotations

from fastapi import FastAPI

from propend.server.pages import changes, entrance, home, people, settings, shell

ROUTERS = (
    *(home.router, entrance.router),
    *(people.router, changes.router, settings.router),
)


def install(app: FastAPI) -> None:
    """Put the pages into an application; they are not part of its description as an API."""
    for router in ROUTERS:
        app.include_router(router, include_in_schema=False)
    shell.install(app)
