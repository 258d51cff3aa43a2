"""What is in force in this workspace, for people to see; it is changed in ``propend.toml``."""

from __future__ import annotations

import platform

from fastapi import APIRouter, Response

from propend.server.pages.shell import View
from propend.workspace.settings import SETTINGS_FILE, in_force

router = APIRouter()
PARTS = {
    "runs": "Runs",
    "retraining": "Training anew",
    "retention": "What is kept, and how long",
    "serving": "Serving scores",
    "uploads": "Uploads",
    "data": "Data at addresses",
    "mirrors": "Rows of databases that are kept",
    "alerts": "Alerts",
    "exports": "Destinations",
    "access": "Access",
    "policies": "Labelled columns",
}
"""What the parts of the settings are called, in the order of the page."""


@router.get("/settings")
def settings(page: View) -> Response:
    """Every setting with its value and what it says; the folder, the catalog, the version."""
    found = in_force(page.space.settings)
    return page.html(
        "settings.html.j2",
        parts=[(title, [s for s in found if s.key.startswith(f"{part}.")]) for part, title in PARTS.items()],
        file=page.space.home / SETTINGS_FILE,
        catalog="PostgreSQL" if page.space.catalog.url.startswith("postgresql") else "SQLite, in the workspace",
        python=platform.python_version(),
    )


@router.get("/settings/disk")
def disk(page: View) -> Response:
    """What the workspace takes on the disk, which may take a moment to find out."""
    return page.html("settings_disk_part.html.j2", room=page.request.app.state.measured.room())
