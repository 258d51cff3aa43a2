"""One profile scored now, from the events that are sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from propend.errors import ProfileNotFoundError
from propend.live import MAX_EVENTS, UNNAMED
from propend.server.access import Viewer
from propend.server.live_models import live_models
from propend.server.shapes import Asked, refusals
from propend.server.state import InstanceId
from propend.store.runs import plain
from propend.workspace import Workspace

router = APIRouter(prefix="/instances", tags=["scores"])

_ASKED: dict[str, Any] = {
    "profile_id": "c-1042",
    "events": [
        {"at": "2026-03-01T09:12:00", "event": "visit"},
        {"at": "2026-03-02T18:40:05", "event": "purchase", "value": 39.9},
    ],
    "attributes": {"plan": "gold"},
}


class LiveBody(Asked):
    """A profile as it is known now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ASKED]})

    profile_id: Annotated[str, Field(max_length=1000, description="Only given back.")] = UNNAMED
    events: Annotated[
        list[dict[str, JsonValue]],
        Field(
            max_length=MAX_EVENTS,
            description="All its events, in any order: by the columns of the instance's data, or by `at`, `event`, "
            "`value` and further fields by their names.",
        ),
    ]
    attributes: Annotated[
        dict[str, JsonValue] | None, Field(description="Facts about it as they are now, by their names.")
    ] = None
    now: Annotated[
        datetime | None,
        Field(
            description="The cutoff is the first midnight of the instance's zone from then on. By default the midnight "
            "after the newest event, and not before the cutoff of the run that is served."
        ),
    ] = None
    regardless: Annotated[bool, Field(description="Score it even if it is not in the population.")] = False


class LiveFactor(BaseModel):
    """What raises or lowers the score."""

    code: str
    label: str
    value: str
    typical: str
    impact: float
    importance: str


class LiveHorizon(BaseModel):
    """The probability within so many days."""

    days: int
    probability: float


class LiveOut(BaseModel):
    """The profile's row as ``scores.parquet`` would have it; nothing but the reason where it is not eligible."""

    profile_id: str
    eligible: bool
    reason: Annotated[str | None, Field(description="The first line of the population that does not hold.")]
    score: float | None = None
    probability: float | None = None
    probability_low: float | None = None
    probability_high: float | None = None
    too_little_history: bool | None = None
    percentile: int | None = None
    bucket: str | None = None
    times_average: float | None = None
    propensity_type: str | None = None
    scored_at: datetime | None = None
    expires_at: datetime | None = None
    factors: list[LiveFactor] | None = None
    run_id: str | None = None
    instance: str | None = None
    horizons: list[LiveHorizon] | None = None
    expected_days: int | None = None


@router.post("/{instance_id}/score", responses=refusals(404, 409))
def score_profile(instance_id: InstanceId, body: LiveBody, request: Request, _caller: Viewer) -> LiveOut:
    """One profile's probability, score and factors from its events as sent: what a run would say of the same events.

    The model is that of the run whose scores are served. Nothing is kept of what is sent.
    """
    workspace: Workspace = request.app.state.workspace
    if body.profile_id != UNNAMED and workspace.privacy.is_forgotten(body.profile_id):
        raise ProfileNotFoundError("The profile is to be forgotten.", "it is not scored.")
    model = live_models(request.app).of(instance_id)
    found = model.score(
        body.events, body.attributes, profile_id=body.profile_id, now=body.now, regardless=body.regardless
    )
    return LiveOut.model_validate(plain(found))
