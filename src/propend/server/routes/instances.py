"""Instances: made, read, edited, cloned, switched off, removed; their versions and what changed between them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from propend.errors import RequestInvalidError
from propend.server.access import Manager, Viewer
from propend.server.cursors import cursor_of, place_of
from propend.server.idempotency import Creating
from propend.server.shapes import (
    CloneBody,
    Cursor,
    DifferenceOut,
    Differences,
    DocumentBody,
    DraftBody,
    InstanceBody,
    InstanceItem,
    InstanceOut,
    InstancePage,
    KeepExports,
    Limit,
    Refusal,
    RunOut,
    VersionOut,
    VersionPage,
    refusals,
)
from propend.server.state import InstanceId, Number, Space
from propend.store.catalog import InstanceRow
from propend.store.runs import plain
from propend.workspace import Workspace

router = APIRouter(prefix="/instances", tags=["instances"])
IfMatch = Annotated[
    str,
    Header(
        alias="If-Match", max_length=40, examples=['"3"'],
        description="The `ETag` of what was edited: the number of its version, in quotes.",
    ),
]  # fmt: skip


@router.get("", responses=refusals())
def list_instances(space: Space, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None) -> InstancePage:
    """All instances, by id."""
    after = place_of(cursor, str)[0] if cursor is not None else ""
    found = [row for row in space.instances.all() if row.id > after]
    more = cursor_of(found[limit - 1].id) if len(found) > limit else None
    return InstancePage(items=[InstanceItem.of(row) for row in found[:limit]], next=more)


@router.post("", status_code=201, response_model=InstanceOut, responses=refusals(404, 409))
def create_instance(body: InstanceBody, space: Space, caller: Manager, once: Creating) -> Response:
    """A new instance, from a document or as a draft."""

    def work() -> InstanceOut:
        if body.document is not None:
            return shown(space, space.instances.create(body.document, caller.name))
        return shown(space, space.instances.create_draft(body.name or "", body.draft or {}, caller.name))

    return once.answer(201, work)


@router.get("/{instance_id}", responses=refusals(404))
def get_instance(instance_id: InstanceId, space: Space, _caller: Viewer, response: Response) -> InstanceOut:
    """One instance; its `ETag` is the number of its version."""
    row = space.instances.get(instance_id)
    response.headers["ETag"] = f'"{row.version}"'
    return shown(space, row)


@router.put("/{instance_id}", responses=refusals(404, 409, 412))
def edit_instance(
    instance_id: InstanceId, body: DocumentBody, space: Space, caller: Manager, response: Response, match: IfMatch
) -> InstanceOut:
    """A new version, unless nothing changed. `If-Match` must name the version that was edited; without it: 422."""
    found = re.fullmatch(r'"(\d{1,9})"', match.strip())
    if found is None:
        raise RequestInvalidError(
            "If-Match is no version.", 'send the `ETag` of the instance as it was read, such as "3" with its quotes.'
        )
    row = space.instances.edit(instance_id, body.document, caller.name, int(found[1]))
    response.headers["ETag"] = f'"{row.version}"'
    return shown(space, row)


@router.delete("/{instance_id}", status_code=204, responses=refusals(404, 502))
def delete_instance(instance_id: InstanceId, space: Space, caller: Manager, keep_exports: KeepExports = False) -> None:
    """Remove an instance with its versions, runs and scores, and take back what its destinations were given.

    A run of it that is executed is stopped. Where something cannot be taken back the instance stays.
    """
    space.delete(instance_id, caller.name, keep_exports)


@router.post("/{instance_id}/enable", responses=refusals(404, 409))
def enable_instance(instance_id: InstanceId, space: Space, caller: Manager) -> InstanceOut:
    """Let it be run."""
    return shown(space, space.instances.switch(instance_id, True, caller.name))


@router.post("/{instance_id}/disable", responses=refusals(404, 409))
def disable_instance(instance_id: InstanceId, space: Space, caller: Manager) -> InstanceOut:
    """Let it not be run any more; its last scores stay."""
    return shown(space, space.instances.switch(instance_id, False, caller.name))


@router.post("/{instance_id}/clone", status_code=201, response_model=InstanceOut, responses=refusals(404, 409))
def clone_instance(
    instance_id: InstanceId, space: Space, caller: Manager, once: Creating, body: CloneBody | None = None
) -> Response:
    """A draft with the document of this instance."""
    name = body.name if body is not None else None
    return once.answer(201, lambda: shown(space, space.instances.clone(instance_id, caller.name, name)))


@router.post("/{instance_id}/publish", responses=refusals(404, 409))
def publish_instance(instance_id: InstanceId, space: Space, caller: Manager, response: Response) -> InstanceOut:
    """Make the draft the newest version."""
    row = space.instances.publish(instance_id, caller.name)
    response.headers["ETag"] = f'"{row.version}"'
    return shown(space, row)


@router.put("/{instance_id}/draft", responses=refusals(404))
def save_draft(instance_id: InstanceId, body: DraftBody, space: Space, caller: Manager) -> InstanceOut:
    """Keep a document that is being worked on beside the version in force; null throws it away."""
    return shown(space, space.instances.save_draft(instance_id, body.draft, caller.name))


@router.get("/{instance_id}/versions", responses=refusals(404))
def list_versions(
    instance_id: InstanceId, space: Space, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None
) -> VersionPage:
    """Versions, the newest first."""
    before = place_of(cursor, int)[0] if cursor is not None else 2**31
    found = [row for row in space.instances.versions(instance_id) if row.number < before]
    more = cursor_of(found[limit - 1].number) if len(found) > limit else None
    return VersionPage(items=[VersionOut.of(row) for row in found[:limit]], next=more)


@router.get("/{instance_id}/versions/{number}", responses=refusals(404))
def get_version(instance_id: InstanceId, number: Number, space: Space, _caller: Viewer) -> VersionOut:
    """One version."""
    space.instances.get(instance_id)
    return VersionOut.of(space.instances.version(instance_id, number))


@router.get("/{instance_id}/differences", responses=refusals(404))
def list_differences(
    instance_id: InstanceId,
    before: Annotated[int, Query(ge=1, le=2_000_000_000)],
    after: Annotated[int, Query(ge=1, le=2_000_000_000)],
    space: Space,
    _caller: Viewer,
) -> Differences:
    """What changed from one version to another, by place in the document."""
    space.instances.get(instance_id)
    found = space.instances.differences(instance_id, before, after)
    return Differences(items=[DifferenceOut(place=d.place, before=d.before, after=d.after) for d in found])


def shown(space: Workspace, row: InstanceRow) -> InstanceOut:
    """An instance with its document, the run that is served, and what is wrong with its file."""
    problem, serving = space.problems.get(row.id), space.runs.serving(row.id)
    return InstanceOut(
        **InstanceItem.of(row).model_dump(),
        document=space.instances.version(row.id, row.version).document if row.version else None,
        draft=row.draft,
        serving=RunOut.of(serving) if serving is not None else None,
        problem=Refusal.model_validate(plain(problem.to_dict())) if problem is not None else None,
    )
