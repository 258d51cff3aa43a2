"""Errors as answers: one body for every refusal, its HTTP status by the class of the error."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from propend.errors import (
    CatalogUnavailableError,
    ChangedMeanwhileError,
    InstanceNotFoundError,
    KeyUsedError,
    NotAllowedError,
    NotLoggedInError,
    OutputExistsError,
    PolicyError,
    ProfileNotFoundError,
    PropendError,
    ProviderFailedError,
    PushFailedError,
    RequestInvalidError,
    RunWaitingError,
    ServerBusyError,
    StatusError,
    TooManyAttemptsError,
    UnexpectedError,
    told_of,
)
from propend.store.runs import plain

STATUSES: dict[type[PropendError], int] = {
    NotLoggedInError: 401,
    NotAllowedError: 403,
    InstanceNotFoundError: 404,
    ProfileNotFoundError: 404,
    StatusError: 409,
    RunWaitingError: 409,
    KeyUsedError: 409,
    OutputExistsError: 409,
    ChangedMeanwhileError: 412,
    RequestInvalidError: 422,
    PolicyError: 422,
    TooManyAttemptsError: 429,
    ProviderFailedError: 502,
    PushFailedError: 502,
    CatalogUnavailableError: 503,
    ServerBusyError: 503,
}
UNPROCESSABLE = (2, 3, 4)
"""Exit statuses of refusals that a different request or better data would not get: 422."""


def status_of(error: PropendError) -> int:
    """The HTTP status of an error."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 422 if error.exit_status in UNPROCESSABLE else 500


def answer(error: PropendError, status: int | None = None) -> JSONResponse:
    """An error as a response: ``{"error": {code, symbol, stage, message, hint, facts}}``."""
    status = status or status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = str(error.facts.get("retry_seconds", 5))
    told = json.loads(json.dumps(plain(error.to_dict()), default=str))
    return JSONResponse({"error": told}, status, headers)


def unexpected(error: BaseException, request_id: str) -> JSONResponse:
    """What is said of a fault of the server: its kind, and what finds it in the log; never what it was about."""
    told = told_of(error)
    if not isinstance(told, UnexpectedError):  # the disk is full; no place on it is named to who asks
        return answer(type(told)(told.message.replace(f" ({told.facts['path']!r})", ""), told.hint), 500)
    name = type(error).__name__
    return answer(
        UnexpectedError(
            f"The server failed with {name}.",
            f"this is a fault of propend; the server's log has the place, as request {request_id}.",
            exception=name,
            request_id=request_id,
        ),
        500,
    )


def install(app: FastAPI) -> None:
    """Answer every refusal in this form, those of the framework as well."""
    for kind in (PropendError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)


async def refused(request: Request, error: Exception) -> JSONResponse:
    """Any refusal of a request as a response."""
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _of_framework(request, error)
    return answer(error if isinstance(error, PropendError) else UnexpectedError.of(error))


def _invalid(error: RequestValidationError) -> JSONResponse:
    """All mistakes of a request at once; the values themselves are not repeated."""
    mistakes = [{"place": ".".join(map(str, e["loc"])), "problem": str(e["msg"])} for e in error.errors()]
    lines = "; ".join(f"{m['place']}: {m['problem']}" for m in mistakes)
    return answer(
        RequestInvalidError(
            f"The request is not what this route takes: {lines:.2000}.", "/openapi.json says what it takes.",
            mistakes=mistakes,
        )
    )  # fmt: skip


def _of_framework(request: Request, error: HTTPException) -> JSONResponse:
    status = error.status_code
    if status == 404:
        return answer(InstanceNotFoundError("There is no such address.", "/openapi.json lists those there are."), 404)
    if status == 405:
        told = RequestInvalidError(f"This address does not take {request.method}.", "/openapi.json says what it takes.")
        found = answer(told, 405)
        found.headers.update(getattr(error, "headers", None) or {})
        return found
    if status < 500:
        return answer(
            RequestInvalidError("The request cannot be read.", "send JSON in UTF-8 as /openapi.json says."), 422
        )
    return answer(UnexpectedError.of(error), status)
