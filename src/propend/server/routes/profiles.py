"""Profiles: the scores that are served of one, or of thousands."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from propend.errors import ProfileNotFoundError
from propend.server.access import Viewer
from propend.server.shapes import HeldScoreOut, LookupBody, LookupOut, ProfileItem, ProfileOut, refusals
from propend.server.state import Scores

router = APIRouter(prefix="/profiles", tags=["profiles"])
ProfileId = Annotated[str, Path(max_length=1000, description="Id of the profile, as in the data.", examples=["c-1042"])]


@router.post("/lookup", response_model=LookupOut, responses=refusals(404))
def look_up(body: LookupBody, scores: Scores, _caller: Viewer) -> Response:
    """Many profiles at once, up to 5000: their served scores with factors, by instance."""
    ids = list(dict.fromkeys(body.ids))
    found = scores.profiles(ids, body.instances)
    items = [
        ProfileItem.model_validate({"profile_id": profile_id, "scores": found.rows[profile_id]})
        for profile_id in ids
        if profile_id in found.rows
    ]
    missing = [profile_id for profile_id in ids if profile_id not in found.rows]
    hidden = {"unreadable": list(found.unreadable), "not_shown": list(found.not_shown)}
    return _as_json(LookupOut(items=items, missing=missing, **hidden))


@router.get("/{profile_id:path}", response_model=ProfileOut, responses=refusals(404))
async def get_profile(profile_id: ProfileId, scores: Scores, _caller: Viewer) -> Response:
    """One profile: its served score of every instance, with factors. The id may have slashes."""
    # decoding one group takes a millisecond or two; threads that take turns at it would take several times as long
    if not scores.is_fresh:
        await run_in_threadpool(scores.renew)
    found = scores.profiles([profile_id])
    rows = found.of(profile_id)
    hidden = {"unreadable": list(found.unreadable), "not_shown": list(found.not_shown)}
    if not rows:
        raise _nowhere(**hidden)
    shown = {i: HeldScoreOut.model_validate(row) for i, row in rows.items()}
    return _as_json(ProfileOut(profile_id=profile_id, scores=shown, **hidden))


def _nowhere(unreadable: list[str], not_shown: list[str]) -> ProfileNotFoundError:
    beside = {"not_shown": not_shown} if not_shown else {}
    if unreadable:
        return ProfileNotFoundError(
            f"No instance whose scores can be read has one of this profile; of {', '.join(unreadable)} they cannot.",
            "run these instances again, or restore their files.",
            unreadable=unreadable, **beside,
        )  # fmt: skip
    if not_shown:
        return ProfileNotFoundError(
            f"No instance that enriches profiles serves a score of this one; {', '.join(not_shown)} "
            f"{'does' if len(not_shown) == 1 else 'do'} not.",
            "ask for the scores of these instances themselves, or set options.enrich there.", **beside,
        )  # fmt: skip
    return ProfileNotFoundError(
        "No instance serves a score of this profile.",
        "it may not have been eligible at the last runs, or its id is written otherwise.",
    )


def _as_json(found: BaseModel) -> Response:
    """The answer as it was checked: the framework would check it again, which takes as long as finding it."""
    return Response(found.model_dump_json(by_alias=True), media_type="application/json")
