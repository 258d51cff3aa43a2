"""Destinations: places that scores are pushed to, and what came of every push."""

from __future__ import annotations

from fastapi import APIRouter, Response

from propend.server.access import Manager, Viewer
from propend.server.cursors import cursor_of, place_of
from propend.server.idempotency import Creating
from propend.server.shapes import Cursor, KeepExports, Limit, refusals
from propend.server.shapes_destinations import (
    DestinationBody,
    DestinationChange,
    DestinationOut,
    DestinationPage,
    PushOut,
    PushPage,
    TriedOut,
)
from propend.server.state import InstanceId, Number, Space
from propend.store.catalog import DestinationRow
from propend.workspace import Workspace

router = APIRouter(tags=["destinations"])


@router.get("/instances/{instance_id}/destinations", responses=refusals(404))
def list_destinations(
    instance_id: InstanceId, space: Space, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None
) -> DestinationPage:
    """The destinations of an instance, in the order in which they were made, each with its last push."""
    after = place_of(cursor, int)[0] if cursor is not None else 0
    found = space.destinations.all(instance_id, after, limit + 1)
    more = cursor_of(found[limit - 1].id) if len(found) > limit else None
    last = space.destinations.last([row.id for row in found])
    return DestinationPage(items=[DestinationOut.of(row, last.get(row.id)) for row in found[:limit]], next=more)


@router.post(
    "/instances/{instance_id}/destinations", status_code=201, response_model=DestinationOut,
    responses=refusals(404, 409),
)  # fmt: skip
def create_destination(
    instance_id: InstanceId, body: DestinationBody, space: Space, caller: Manager, once: Creating
) -> Response:
    """Save a place that scores are pushed to; nothing is pushed yet."""

    def work() -> DestinationOut:
        row = space.destinations.create(
            instance_id, body.name, body.kind, body.options, segment_id=body.segment, enabled=body.enabled,
            by=caller.name,
        )  # fmt: skip
        return _shown(space, row)

    return once.answer(201, work)


@router.get("/destinations/{destination_id}", responses=refusals(404))
def get_destination(destination_id: Number, space: Space, _caller: Viewer) -> DestinationOut:
    """One destination, with its last push."""
    return _shown(space, space.destinations.get(destination_id))


@router.put("/destinations/{destination_id}", responses=refusals(404, 409, 502))
def change_destination(
    destination_id: Number, body: DestinationChange, space: Space, caller: Manager
) -> DestinationOut:
    """Another name, other options or profiles, on or off; what stands at a place that it leaves is taken back."""
    row = space.pushing.change(
        destination_id, name=body.name, options=body.options, segment_id=body.segment, enabled=body.enabled,
        by=caller.name,
    )  # fmt: skip
    return _shown(space, row)


@router.delete("/destinations/{destination_id}", status_code=204, responses=refusals(404, 502))
def delete_destination(
    destination_id: Number, space: Space, caller: Manager, keep_exports: KeepExports = False
) -> None:
    """Remove a destination, and take back what it was given."""
    space.pushing.remove(destination_id, caller.name, keep_exports)


@router.post(
    "/destinations/{destination_id}/push", status_code=201, response_model=PushOut, responses=refusals(404, 409)
)  # fmt: skip
def push(destination_id: Number, space: Space, caller: Manager, once: Creating) -> Response:
    """Ask for a push of the newest run; it is done by itself within moments, and its state tells when."""
    return once.answer(201, lambda: PushOut.of(space.pushing.ask(destination_id, caller.name)))


@router.post("/destinations/{destination_id}/try", responses=refusals(404, 409, 502))
def try_destination(destination_id: Number, space: Space, caller: Manager) -> TriedOut:
    """Do, now, with a few rows of the newest run what a push needs; the place is left as it was."""
    tried = space.pushing.rehearse_saved(destination_id, caller.name)
    return TriedOut(says=list(tried.says), shown=tried.shown)


@router.get("/destinations/{destination_id}/pushes", responses=refusals(404))
def list_pushes(
    destination_id: Number, space: Space, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None
) -> PushPage:
    """Pushes and retractions, the newest first."""
    before = place_of(cursor, int)[0] if cursor is not None else None
    found = space.destinations.pushes(destination_id, before, limit + 1)
    more = cursor_of(found[limit - 1].id) if len(found) > limit else None
    return PushPage(items=[PushOut.of(row) for row in found[:limit]], next=more)


def _shown(space: Workspace, row: DestinationRow) -> DestinationOut:
    return DestinationOut.of(row, space.destinations.last([row.id]).get(row.id))
