"""What routes ask for: the open workspace, the scores it serves, its segments, and a turn at heavy work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Path, Request

from propend.errors import ServerBusyError
from propend.server.serving import Serving
from propend.workspace import Workspace
from propend.workspace.segments import Segments

WAIT_SECONDS = 30.0
MOST_WAITING = 4


class HeavyWork:
    """Turns at work that reads all events, one at a time, so that look-ups stay quick and memory bounded."""

    def __init__(self, wait_seconds: float = WAIT_SECONDS, most_waiting: int = MOST_WAITING) -> None:
        """``wait_seconds``: how long one waits; ``most_waiting``: how many may."""
        self._seconds = wait_seconds
        self._turn, self._queue = threading.Lock(), threading.BoundedSemaphore(most_waiting + 1)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, nobody else does such work in this process.

        Raises:
            ServerBusyError: too many wait already, or it took too long.
        """
        if not self._queue.acquire(blocking=False):
            raise _busy()
        try:
            if not self._turn.acquire(timeout=self._seconds):
                raise _busy()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._queue.release()


def _busy() -> ServerBusyError:
    return ServerBusyError(
        "The server reads events for others now.", "try again in a while, or start a run, which waits for its turn.",
        retry_seconds=10,
    )  # fmt: skip


# asynchronous, for what does not wait needs no thread of its own: that costs more than what it does
async def _workspace(request: Request) -> Workspace:
    found: Workspace = request.app.state.workspace
    return found


async def _serving(request: Request) -> Serving:
    found: Serving = request.app.state.serving
    return found


async def _heavy(request: Request) -> HeavyWork:
    found: HeavyWork = request.app.state.heavy
    return found


async def _segments(request: Request) -> Segments:
    workspace = await _workspace(request)
    return Segments(workspace.catalog, workspace.instances)


Space = Annotated[Workspace, Depends(_workspace)]
Scores = Annotated[Serving, Depends(_serving)]
Heavy = Annotated[HeavyWork, Depends(_heavy)]
Rules = Annotated[Segments, Depends(_segments)]
InstanceId = Annotated[
    str, Path(pattern=r"^[a-z0-9-]{1,80}$", description="Id of the instance.", examples=["buyers"])
]  # fmt: skip
RunId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9-]{1,40}$", description="Id of the run.", examples=["20260301T040000-1f2e3d"])
]  # fmt: skip
Number = Annotated[int, Path(ge=1, le=2_000_000_000, examples=[1])]
