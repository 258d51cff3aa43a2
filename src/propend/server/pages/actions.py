"""What can be done with an instance: run it, name it, copy it, switch it off and on, delete it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Response

from propend.errors import RunWaitingError
from propend.server.pages.shell import Manage, invalid, path
from propend.server.state import InstanceId

router = APIRouter()
Text = Annotated[str, Form(max_length=5000)]
Kind = Annotated[Literal["auto", "train", "score"], Form()]
Version = Annotated[int, Form(ge=1, le=2_000_000_000)]


@router.post("/instances/{instance_id}/runs")
def run_now(
    instance_id: InstanceId, page: Manage, kind: Kind = "auto", full: Annotated[bool, Form()] = False
) -> Response:
    """Ask for a run, and show it; where one waits already, that one. ``full``: databases are read as a whole again."""
    try:
        options = {"full": True} if full else {}
        run_id = page.space.runs.start(instance_id, by=page.who, kind=kind, options=options).id
    except RunWaitingError as error:
        run_id = str(error.facts["run"])
    return page.go(path("runs", run_id))


@router.post("/instances/{instance_id}/enable")
def enable(instance_id: InstanceId, page: Manage) -> Response:
    """Let it run again."""
    page.space.instances.switch(instance_id, True, page.who)
    return page.go(f"{path('instances', instance_id)}?happened=enabled")


@router.post("/instances/{instance_id}/disable")
def disable(instance_id: InstanceId, page: Manage) -> Response:
    """Let it not run any more; its last scores stay."""
    page.space.instances.switch(instance_id, False, page.who)
    return page.go(f"{path('instances', instance_id)}?happened=disabled")


@router.post("/instances/{instance_id}/clone")
def clone(instance_id: InstanceId, page: Manage) -> Response:
    """A draft with the same document, opened to be changed."""
    found = page.space.instances.clone(instance_id, page.who)
    return page.go(path("instances", found.id, "edit"))


@router.post("/instances/{instance_id}/rename")
def rename(
    instance_id: InstanceId,
    page: Manage,
    version: Version,
    name: Text = "",
    description: Text = "",
    schedule: Text = "",
) -> Response:
    """Another name, description or schedule: a new version, by which no score changes."""
    if not name.strip():
        raise invalid("The name is empty.", "give it a name that says what is predicted.")
    page.space.instances.present(
        instance_id, version, page.who, name=name.strip(), description=description.strip(), schedule=schedule or None
    )  # fmt: skip
    return page.go(f"{path('instances', instance_id)}?happened=renamed")


@router.post("/instances/{instance_id}/discard")
def discard(instance_id: InstanceId, page: Manage) -> Response:
    """Throw changes away that are not in force; what is in force stays as it is."""
    if page.space.instances.get(instance_id).version == 0:
        raise invalid("This instance is nothing but its draft.", "delete it, if it is not wanted.")
    page.space.instances.save_draft(instance_id, None, page.who)
    return page.go(f"{path('instances', instance_id)}?happened=discarded")


@router.post("/instances/{instance_id}/delete")
def delete(instance_id: InstanceId, page: Manage) -> Response:
    """Remove it with its versions, runs, scores and segments."""
    page.space.delete(instance_id, page.who)
    return page.go("/")
