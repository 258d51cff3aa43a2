"""People who ask to be forgotten, over REST."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from propend.server.access import Manager
from propend.server.shapes import refusals
from propend.server.state import Scores
from propend.workspace import Workspace

router = APIRouter(prefix="/profiles", tags=["privacy"])


class RemovalShape(BaseModel):
    """What was removed of a person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mark": "5f1c22ab",
                    "runs": 12,
                    "rows": 24,
                    "examples": 1,
                    "pushed": 1,
                    "mirrored": 57,
                    "out_of_reach": [],
                    "known": False,
                }
            ],
        }
    )

    mark: Annotated[
        str, Field(description="First letters of the keyed hash, by which the log of changes speaks of it.")
    ]
    runs: Annotated[int, Field(description="Finished runs that had anything of the person.", ge=0)]
    rows: Annotated[int, Field(description="Rows of scores and contributions that were removed.", ge=0)]
    examples: Annotated[int, Field(description="Entries of reports and documents that were removed.", ge=0)]
    pushed: Annotated[int, Field(description="Rows of destinations that were removed.", ge=0)]
    mirrored: Annotated[int, Field(description="Rows of databases, kept from run to run, that were removed.", ge=0)]
    out_of_reach: Annotated[
        list[str], Field(description="Destinations that the person cannot be taken back from; ask those who keep them.")
    ]
    known: Annotated[bool, Field(description="Whether the person had been forgotten before.")]


@router.delete("/{profile_id:path}", responses=refusals())
def forget(
    request: Request,
    caller: Manager,
    scores: Scores,
    profile_id: Annotated[str, Path(description="As in your data.", examples=["c-10482"], max_length=2000)],
) -> RemovalShape:
    """Remove a person from scores, contributions, reports and their examples of every run, and from later runs.

    May be repeated: who has been forgotten stays so. Models that are trained already hold no ids; what they learnt goes
    with the next training.
    """
    workspace: Workspace = request.app.state.workspace
    removed = workspace.privacy.forget(profile_id, caller.name)
    scores.renew()  # out of this server's memory, too
    return RemovalShape(**removed.document())
