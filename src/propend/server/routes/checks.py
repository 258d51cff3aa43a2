"""What a definition means, before anything is trained."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, RootModel

from propend import pipeline
from propend.instance import Instance
from propend.server.access import Manager
from propend.server.shapes import CheckBody, Plain, refusals
from propend.server.state import Heavy, Space
from propend.store.runs import plain

router = APIRouter(tags=["checks"])


class CheckOut(RootModel[Plain]):
    """The definition-time page: funnel, outcomes, timeline, examples, leaks, warnings, refusals, expected seconds."""

    root: Annotated[Plain, Field(examples=[{"sentence": "Who will buy?", "refusals": [], "expected_seconds": 12.0}])]


@router.post("/check", responses=refusals(404))
def check(body: CheckBody, space: Space, heavy: Heavy, _caller: Manager) -> CheckOut:
    """Read the events and say what a definition means, as `propend check --json`; one at a time."""
    if body.document is not None:
        asked: Instance | Plain = body.document
    else:
        asked = Instance.load(space.instances.version(body.instance or "").document)
    as_of = body.as_of.isoformat() if body.as_of is not None else None
    with heavy.turn():
        found = pipeline.check(asked, as_of=as_of, home=space.instances.folder)
    return CheckOut(plain(found.to_dict()))
