"""Requests that create are done once: the same key with the same request gets the same answer again.

A row with the key is written before the work, with status 0, and filled with the answer after it; a failure removes it,
so that the request can be repeated. A server that died between the two leaves a row without an answer, which is void
after a minute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from propend.errors import KeyUsedError
from propend.server.access import Manager
from propend.store.catalog import Catalog, ReplyRow, now

KEPT = timedelta(days=1)
VOID_AFTER = timedelta(minutes=1)

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request, within a day, gets the same answer and does nothing.",
    ),
]  # fmt: skip


class Once:
    """One request that creates something."""

    def __init__(self, catalog: Catalog, key: str | None, who: str, digest: str) -> None:
        """``digest``: of method, address and body."""
        self._catalog, self._key, self._who, self._digest = catalog, key, who, digest

    def answer(self, status: int, work: Callable[[], BaseModel]) -> JSONResponse:
        """Do the work and answer with what it gives; or, where it was done for this key, with what it gave then.

        Raises:
            KeyUsedError: the key came with another request, or with this one and its work is not done yet.
        """
        if self._key is None:
            return JSONResponse(work().model_dump(mode="json"), status)
        known = self._claim()
        if known is not None:
            return JSONResponse(known.body, known.status, {"Idempotent-Replay": "true"})
        try:
            body = work().model_dump(mode="json")
        except BaseException:
            self._release()
            raise
        self._keep(status, body)
        return JSONResponse(body, status)

    def _claim(self) -> ReplyRow | None:
        """Take the key for this request; the earlier answer where it was given."""
        row = ReplyRow(key=self._key, who=self._who, request=self._digest, status=0, body={}, at=now())
        try:
            with self._catalog.writing() as session:
                session.execute(delete(ReplyRow).where(ReplyRow.at < now() - KEPT))
                session.execute(delete(ReplyRow).where(ReplyRow.status == 0, ReplyRow.at < now() - VOID_AFTER))
                known = session.get(ReplyRow, (self._key, self._who))
                if known is None:
                    session.add(row)
        except IntegrityError:  # somebody was first, this moment
            with self._catalog.reading() as session:
                known = session.get(ReplyRow, (self._key, self._who))
        if known is None:
            return None
        if known.request != self._digest:
            raise KeyUsedError("The idempotency key came with another request before.", "take a new key.")
        if known.status == 0:
            raise KeyUsedError("The request with this idempotency key is being worked on.", "ask again in a moment.")
        return known

    def _release(self) -> None:
        with self._catalog.writing() as session:
            session.execute(delete(ReplyRow).where(ReplyRow.key == self._key, ReplyRow.who == self._who))

    def _keep(self, status: int, body: dict[str, Any]) -> None:
        with self._catalog.writing() as session:
            found = session.get(ReplyRow, (self._key, self._who))
            if found is not None:
                found.status, found.body = status, body


async def _once(request: Request, caller: Manager, key: Key = None) -> Once:
    said = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return Once(request.app.state.workspace.catalog, key, caller.name, hashlib.sha256(said).hexdigest())


Creating = Annotated[Once, Depends(_once)]
