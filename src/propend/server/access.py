"""Who asks, and what they may: viewers read, managers change (spec OPS-01)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from propend.errors import NotAllowedError, NotLoggedInError


@dataclass(frozen=True)
class Caller:
    """Somebody who asks.

    Attributes:
        name: as in the log of changes.
        role: ``view`` or ``manage``.
    """

    name: str
    role: str


def viewer(request: Request) -> Caller:
    """Anybody who may read.

    Raises:
        NotLoggedInError: nobody is known to ask.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise NotLoggedInError("Nobody is logged in.", "log in, or send a token: `Authorization: Bearer TOKEN`.")
    return caller


def manager(request: Request) -> Caller:
    """Anybody who may change things.

    Raises:
        NotLoggedInError: nobody is known to ask.
        NotAllowedError: they may only read.
    """
    caller = viewer(request)
    if caller.role != "manage":
        raise NotAllowedError(f"{caller.name!r} may view, and not change anything.", "ask somebody who manages.")
    return caller


Viewer = Annotated[Caller, Depends(viewer)]
Manager = Annotated[Caller, Depends(manager)]
