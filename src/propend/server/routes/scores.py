"""The scores of an instance: pages of JSON, and whole tables as a stream of CSV, Arrow or Parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from propend.errors import RequestInvalidError
from propend.segments import Rule
from propend.server.access import Viewer
from propend.server.cursors import cursor_of, place_of
from propend.server.serving import MEDIA, ScoreFile, stream
from propend.server.shapes import Cursor, Limit, ScoreOut, ScorePage, refusals
from propend.server.state import InstanceId, Scores
from propend.store.catalog import RunRow

router = APIRouter(tags=["scores"])
Order = Annotated[
    Literal["profile", "-probability"],
    Query(description="by id of the profile, or the most probable first; streams come as the scores stand"),
]  # fmt: skip
Form = Annotated[Literal["json", "csv", "arrow", "parquet"] | None, Query(description="in place of an `Accept` header")]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=1000)]
Share = Annotated[float | None, Query(ge=0, le=1)]
TABLES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page as JSON, or all rows as a stream. The `ETag` is the run.",
        "content": {media: {} for media in MEDIA.values()},
    },
    304: {"description": "These are the scores that you have."},
}


@router.get("/instances/{instance_id}/scores", response_model=ScorePage, responses={**TABLES, **refusals(404)})
def get_scores(
    request: Request,
    instance_id: InstanceId,
    scores: Scores,
    _caller: Viewer,
    bucket: Literal["low", "medium", "high"] | None = None,
    min_probability: Share = None,
    max_probability: Share = None,
    factor: Annotated[str | None, Query(min_length=1, max_length=500, description="Code of a factor.")] = None,
    where: Annotated[str | None, Query(min_length=1, max_length=20_000, description="A rule, as of a segment.")] = None,
    order: Order = "profile",
    limit: Limit = 100,
    cursor: Cursor = None,
    format: Form = None,  # noqa: A002  what everybody calls it
    known: IfNoneMatch = None,
) -> Any:
    """Scores that are served, filtered: a page as JSON, or all of them as CSV, Arrow or Parquet."""
    rule = Rule.of(bucket=bucket, min_probability=min_probability, max_probability=max_probability, factor=factor)
    rule += Rule.read(where) if where is not None else Rule()
    run = scores.served(instance_id)
    others = [scores.served(other).id for other in rule.elsewhere]  # which may have new scores, too
    etag = "-".join([run.id, *([digest_of(others)] if others else [])])
    return table_or_page(request, run, scores.scores(run), rule, (order, limit, cursor, format, known), etag)


def digest_of(parts: Sequence[str]) -> str:
    """Some letters that change with any of these texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def table_or_page(
    request: Request,
    run: RunRow,
    scores: ScoreFile,
    rule: Rule,
    asked: tuple[str, int, str | None, str | None, str | None],
    etag: str,
) -> Response:
    """The rows that a rule means, in the form that is asked for.

    Args:
        asked: order, limit, cursor, form and the ETags that the caller has.
        etag: changes when the answer to this address may.

    Raises:
        RequestInvalidError: the cursor is none of this list.
    """
    order, limit, cursor, form, known = asked
    form = form or _accepted(request.headers.get("accept", ""))
    tag = f'"{etag}"'
    headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "private, no-cache"}
    if known is not None and tag in [t.strip().removeprefix("W/") for t in known.split(",")]:
        return Response(status_code=304, headers=headers)
    if form != "json":
        name = f"{run.instance_id}-{run.id}.{form}"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        rows = stream(scores, rule, form)  # what is refused is refused before the answer begins
        return StreamingResponse(rows, media_type=MEDIA[form], headers=headers)
    page = _page(run, scores, rule, order, limit, cursor)
    return Response(page.model_dump_json(), media_type="application/json", headers=headers)


def _page(run: RunRow, scores: ScoreFile, rule: Rule, order: str, limit: int, cursor: str | None) -> ScorePage:
    after = None
    if cursor is not None:
        before, profile_id, probability = place_of(cursor, str, str, float)
        if before != order:
            raise RequestInvalidError(
                f"The cursor is of a list in the order {before!r:.20}.", "keep the order from page to page."
            )
        after = {"profile_id": profile_id, "probability": probability}
    rows = scores.page(rule, order, after, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    more = cursor_of(order, last["profile_id"], last["probability"]) if last else None
    return ScorePage(run=run.id, items=[ScoreOut.model_validate(row) for row in rows[:limit]], next=more)


def _accepted(header: str) -> str:
    """The form that an ``Accept`` header asks for: the first that there is; JSON where it asks for none."""
    for part in header.split(","):
        media = part.split(";")[0].strip().lower()
        for form, of_form in MEDIA.items():
            if media == of_form:
                return form
        if media in ("application/json", "*/*"):
            return "json"
    return "json"
