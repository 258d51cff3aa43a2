"""The data: files of the workspace, what instances read, what each column holds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from propend.server.pages.shell import Manage
from propend.server.requests import UPLOAD
from propend.workspace.uploads import BUFFER_BYTES, Arrival, StoredFile

router = APIRouter()


@router.post(UPLOAD[1])
async def upload(request: Request, page: Manage, name: Annotated[str, Query(max_length=500)] = "") -> Response:
    """A file as it comes: the body is its content, written to disk in parts, seen by nobody before it is whole."""
    arrival: Arrival = await run_in_threadpool(page.space.data.begin, name)
    try:
        kept = await _receive(request, arrival, page.name)
    except BaseException:
        arrival.drop()  # whatever broke it off, nothing of it stays
        raise
    told: dict[str, Any] = {"path": kept.path, "bytes": kept.size}
    return JSONResponse(told, 201)


async def _receive(request: Request, arrival: Arrival, by: str) -> StoredFile:
    waiting = bytearray()
    async for part in request.stream():
        waiting += part
        if len(waiting) >= BUFFER_BYTES:
            await run_in_threadpool(arrival.write, bytes(waiting))
            waiting.clear()
    if waiting:
        await run_in_threadpool(arrival.write, bytes(waiting))
    return await run_in_threadpool(arrival.keep, by)
