"""Around every request: its id, its line in the log, its figures, headers that browsers obey, a bound for bodies.

A line of the log has the route's template and never an address, a query, a body or a token: these name people.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from propend.errors import RequestInvalidError
from propend.server.failures import answer, unexpected
from propend.server.metrics import Metrics

PREFIX, OPENAPI = "/api/v1", "/openapi.json"
MOST_BODY_BYTES = 8_000_000
UPLOAD = ("POST", "/data/files")
"""The one route whose body is a file: it is written to disk as it comes, and has a bound of its own."""
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Where an answer does not say otherwise."""
Shown = Callable[[Request, JSONResponse], Response]
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("propend.requests")


class _TooLargeError(Exception):
    """The body is longer than is read."""


class _NoAddressError(Exception):
    """The query is not ASCII, as servers hand it on and nothing behind them reads it."""


def _too_large(most: int) -> RequestInvalidError:
    if most == MOST_BODY_BYTES:
        return RequestInvalidError(f"A body has at most {most:,} bytes.", "ask in several requests.")
    return RequestInvalidError(
        f"The file is too large: at most {most / 1e6:,.0f} MB can be uploaded.",
        "copy it into the workspace's data folder and point at it, or raise `[uploads] most_mb` in propend.toml.",
    )


class Watch:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics, shown: Shown, most_upload: int = MOST_BODY_BYTES) -> None:
        """Around an application.

        Args:
            app: what answers.
            shown: makes a refusal a page where a browser asked for one.
            most_upload: bytes of a file that is uploaded.
        """
        self._app, self._metrics, self._shown, self._most_upload = app, metrics, shown, most_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request be answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = (scope["method"], scope["path"]) == UPLOAD
        request = _Request(scope, receive, send, self._most_upload if is_upload else MOST_BODY_BYTES)
        began = time.perf_counter()
        try:
            await self._answered(request)
        finally:
            self._told(request, time.perf_counter() - began)

    async def _answered(self, request: _Request) -> None:
        scope = request.scope
        length = Headers(scope=scope).get("content-length", "0")
        try:
            if not length.isdecimal() or len(length) > 20 or int(length) > request.most:
                raise _TooLargeError
            if not scope.get("query_string", b"").isascii():
                raise _NoAddressError
            await self._app(scope, request.receive, request.send)
        except _NoAddressError:
            scope["query_string"] = b""  # a page of the refusal names its own address
            told = RequestInvalidError("The address has signs that no address can have.", "write them as %XX.")
            await self._instead(request, answer(told))
        except _TooLargeError:
            await self._instead(request, answer(_too_large(request.most)))
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))  # without the message, which may name people
            log.error("request %s failed with %s\n%s", request.id, type(error).__name__, frames)
            await self._instead(request, unexpected(error, request.id))

    async def _instead(self, request: _Request, plain: JSONResponse) -> None:
        """Answer so, where nothing was sent yet; what is sent half is broken off, and the caller sees that."""
        if request.status is None:
            await self._page(request, plain)(request.scope, request.receive, request.send)
        else:
            raise ConnectionAbortedError(f"request {request.id} was broken off")

    def _page(self, request: _Request, plain: JSONResponse) -> Response:
        try:
            return self._shown(Request(request.scope), plain)
        except Exception as error:  # whatever failed may be what pages are made with: the plain answer needs none of it
            log.error("request %s has no page for its fault: %s", request.id, type(error).__name__)
            return plain

    def _told(self, request: _Request, seconds: float) -> None:
        scope, status = request.scope, request.status or 500
        route = template_of(scope)
        method = scope["method"] if route != "unmatched" else "any"
        self._metrics.answered(method, route, status, seconds)
        caller = scope.get("state", {}).get("caller")
        log.info(
            "%s %s %s",
            scope["method"][:20],
            route,
            status,
            extra={
                "fields": {
                    "method": scope["method"][:20],
                    "route": route,
                    "status": status,
                    "milliseconds": round(seconds * 1000, 2),
                    "request_id": request.id,
                    "caller": getattr(caller, "name", None),
                }
            },
        )


class _Request:
    """One request on its way: what comes is counted, what goes gets its headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        self.scope, self._receive, self._send, self.most = scope, receive, send, most
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        self.status: int | None = None
        self._read = 0
        scope.setdefault("state", {})["request_id"] = self.id

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self.most:
            raise _TooLargeError
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.id
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
        await self._send(message)


def template_of(scope: Any) -> str:
    """The template of the route that answered, such as ``/api/v1/profiles/{profile_id}``."""
    route, path = scope.get("route"), str(scope.get("path", ""))
    template = str(getattr(route, "path_format", None) or getattr(route, "path", None) or "")
    if not template:
        return path if path == OPENAPI else "unmatched"
    # newer FastAPI names a route as its router does, without the prefix that the router was included under
    return PREFIX + template if path.startswith(PREFIX) and not template.startswith(PREFIX) else template
