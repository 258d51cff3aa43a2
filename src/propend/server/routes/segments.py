"""Segments: saved rules over the scores of an instance, and who is in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from propend.segments import Rule
from propend.server.access import Manager, Viewer
from propend.server.cursors import cursor_of, place_of
from propend.server.idempotency import Creating
from propend.server.routes.scores import TABLES, Form, IfNoneMatch, Order, digest_of, table_or_page
from propend.server.serving import Serving
from propend.server.shapes import (
    ChangeItem,
    ChangePage,
    Cursor,
    Limit,
    MembershipItem,
    MembershipPage,
    ScorePage,
    SegmentBody,
    SegmentItem,
    SegmentOut,
    SegmentPage,
    refusals,
)
from propend.server.state import InstanceId, Number, Rules, Scores, Space
from propend.store.catalog import SegmentRow

router = APIRouter(tags=["segments"])
MOST_RUNS = 1_000_000
Change = Annotated[
    Literal["joined", "stayed", "left", "any"] | None,
    Query(description="in place of scores, what became of each by the newest run: only these, or any"),
]


@router.get("/instances/{instance_id}/segments", responses=refusals(404))
def list_segments(
    instance_id: InstanceId, rules: Rules, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None
) -> SegmentPage:
    """The segments of an instance, in the order in which they were made."""
    after = place_of(cursor, int)[0] if cursor is not None else 0
    found = rules.all(instance_id, after, limit + 1)
    more = cursor_of(found[limit - 1].id) if len(found) > limit else None
    return SegmentPage(items=[SegmentItem.of(row, Rule.read(row.where).sentence) for row in found[:limit]], next=more)


@router.post(
    "/instances/{instance_id}/segments", status_code=201, response_model=SegmentOut, responses=refusals(404, 409)
)
def create_segment(
    instance_id: InstanceId, body: SegmentBody, rules: Rules, scores: Scores, caller: Manager, once: Creating
) -> Response:
    """Save a rule."""

    def work() -> SegmentOut:
        scores.gate(instance_id, Rule.read(body.where))
        return _shown(rules.create(instance_id, body.name, body.where, caller.name), scores)

    return once.answer(201, work)


@router.get("/segments/{segment_id}", responses=refusals(404))
def get_segment(segment_id: Number, rules: Rules, scores: Scores, _caller: Viewer) -> SegmentOut:
    """One segment: its rule in English, and how many profiles it has now."""
    return _shown(rules.get(segment_id), scores)


@router.put("/segments/{segment_id}", responses=refusals(404, 409))
def change_segment(segment_id: Number, body: SegmentBody, rules: Rules, scores: Scores, caller: Manager) -> SegmentOut:
    """Give it another name or rule."""
    scores.gate(rules.get(segment_id).instance_id, Rule.read(body.where))
    return _shown(rules.change(segment_id, body.name, body.where, caller.name), scores)


@router.delete("/segments/{segment_id}", status_code=204, responses=refusals(404, 409))
def delete_segment(segment_id: Number, space: Space, caller: Manager) -> None:
    """Remove a segment, and who its members were."""
    space.membership.remove(segment_id, caller.name)


@router.get("/segments/{segment_id}/history", responses=refusals(404))
def get_history(
    segment_id: Number, space: Space, _caller: Viewer, limit: Limit = 100, cursor: Cursor = None
) -> MembershipPage:
    """The segment run by run, the newest first: how many members, who joined and who left, what to expect."""
    offset = min(max(place_of(cursor, int)[0], 0), MOST_RUNS) if cursor is not None else 0
    found = space.membership.history(segment_id, limit + 1, offset)
    more = cursor_of(offset + limit) if len(found) > limit else None
    return MembershipPage(items=[MembershipItem.of(row) for row in found[:limit]], next=more)


@router.get(
    "/segments/{segment_id}/members",
    response_model=ScorePage | ChangePage,
    responses={**TABLES, **refusals(404, 409)},
)
def get_members(
    request: Request,
    segment_id: Number,
    rules: Rules,
    scores: Scores,
    space: Space,
    _caller: Viewer,
    change: Change = None,
    order: Order = "profile",
    limit: Limit = 100,
    cursor: Cursor = None,
    format: Form = None,  # noqa: A002  what everybody calls it
    known: IfNoneMatch = None,
) -> Any:
    """The scores of its profiles, in the same forms as those of an instance; or who joined, stayed or left, by id."""
    row = rules.get(segment_id)
    if change is not None:
        return _changes(space, segment_id, change, limit, cursor)
    run = scores.served(row.instance_id)
    asked = (order, limit, cursor, format, known)
    rule = Rule.read(row.where)
    others = [scores.served(instance_id).id for instance_id in rule.elsewhere]
    etag = f"{run.id}-{digest_of([row.where, *others])}"  # the rule may be changed, too, and what others are scored
    return table_or_page(request, run, scores.scores(run), rule, asked, etag)


def _changes(space: Space, segment_id: int, change: str, limit: int, cursor: str | None) -> ChangePage:
    after = place_of(cursor, str)[0] if cursor is not None else None
    run, found = space.membership.page(segment_id, None if change == "any" else change, after, limit + 1)
    more = cursor_of(found[limit - 1]["profile_id"]) if len(found) > limit else None
    return ChangePage(run=run, items=[ChangeItem.model_validate(one) for one in found[:limit]], next=more)


def _shown(row: SegmentRow, serving: Serving) -> SegmentOut:
    return SegmentOut.of(row, Rule.read(row.where).sentence, **asdict(serving.counted(row)))
