"""What goes over the wire about people: who asks, users, tokens, the log of changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from propend.server.shapes import ErrorBody
from propend.workspace.sessions import MOST_TOKEN_DAYS

Role = Literal["view", "manage"]
NAME = Field(min_length=1, max_length=200, examples=["ana"], description="Letters, digits and . @ + - _")
PASSWORD = Field(min_length=1, max_length=1024, examples=["four or five long words"], repr=False)
AT = "2026-03-01T09:30:00Z"


class Wire(BaseModel):
    """Nothing beside what is written here is taken."""

    model_config = ConfigDict(extra="forbid")


class LogIn(Wire):
    """A name and its password."""

    name: str = NAME
    password: str = PASSWORD


class SetUp(Wire):
    """The first user, who manages, and the token that the server printed when it was started."""

    token: str = Field(
        min_length=1, max_length=200, examples=["Zk9c3wqkVQ0l2mT4yB1dHn8sXf6rGa5uEj7oPi0vCt0"], repr=False
    )
    name: str = NAME
    password: str = PASSWORD


class Who(BaseModel):
    """Who asks.

    ``csrf`` goes with every change that a session makes, as header ``X-CSRF-Token``; tokens need none.
    """

    name: str = Field(examples=["ana"])
    role: Role = Field(examples=["manage"])
    csrf: str | None = Field(examples=["5f2d7c0e9b"])


class User(BaseModel):
    """Somebody who may come in."""

    name: str = Field(examples=["ana"])
    role: Role = Field(examples=["manage"])
    disabled: bool = Field(examples=[False])
    comes_by: Literal["password", "oidc"] = Field(examples=["password"])
    created_at: datetime = Field(examples=[AT])


class Users(BaseModel):
    """A page of users."""

    items: list[User]
    next: str | None = Field(examples=[None], description="`cursor` of the next page")


class NewUser(Wire):
    """Somebody new; without a password one who comes by OpenID Connect, named by their e-mail address."""

    name: str = NAME
    role: Role = Field(examples=["view"])
    password: str | None = Field(
        default=None, min_length=1, max_length=1024, examples=["four or five long words"], repr=False
    )


class UserChange(Wire):
    """What becomes of a user; what is absent stays."""

    role: Role | None = Field(default=None, examples=["manage"])
    disabled: bool | None = Field(default=None, examples=[True])


class PasswordChange(Wire):
    """A new password; one's own is changed with the present one."""

    password: str = PASSWORD
    present: str | None = Field(default=None, max_length=1024, examples=["the one until now"], repr=False)


class NewToken(Wire):
    """A token for a program."""

    name: str = Field(min_length=1, max_length=100, examples=["nightly export"], description="what uses it")
    scope: Role = Field(default="view", examples=["view"])
    days: int | None = Field(default=90, ge=1, le=MOST_TOKEN_DAYS, examples=[90], description="null: it does not end")


class Token(BaseModel):
    """A token, without its secret."""

    id: int = Field(examples=[7])
    owner: str = Field(examples=["ana"])
    name: str = Field(examples=["nightly export"])
    first: str = Field(examples=["pp_Zk9c3w"], description="the secret's first letters")
    scope: Role = Field(examples=["view"])
    created_at: datetime = Field(examples=[AT])
    expires_at: datetime | None = Field(examples=["2026-05-30T09:30:00Z"])
    used_at: datetime | None = Field(examples=[None], description="to the minute")
    revoked_at: datetime | None = Field(examples=[None])


class MadeToken(Token):
    """A new token, with its secret; it is not shown again."""

    secret: str = Field(examples=["pp_Zk9c3wqkVQ0l2mT4yB1dHn8sXf6rGa5uEj7oPi0vCt0"], repr=False)


class TokenList(BaseModel):
    """A page of tokens, newest first."""

    items: list[Token]
    next: str | None = Field(examples=[None], description="`cursor` of the next page")


class Entry(BaseModel):
    """One change: who did what to what, and what it was before and after."""

    id: int = Field(examples=[41])
    at: datetime = Field(examples=[AT])
    who: str = Field(examples=["ana"])
    action: str = Field(examples=["update"])
    kind: str = Field(examples=["user"])
    subject: str = Field(examples=["bo"])
    before: dict[str, Any] | None = Field(examples=[{"role": "view"}])
    after: dict[str, Any] | None = Field(examples=[{"role": "manage"}])


class Entries(BaseModel):
    """A page of the log of changes, newest first."""

    items: list[Entry]
    next: str | None = Field(examples=["41"], description="`cursor` of the next page")


WHEN = {
    401: "nobody is known to ask, or name, password or token is wrong",
    403: "whoever asks may not do this, or a page of another site asked",
    404: "there is none",
    409: "it is not in a state in which this can be done",
    422: "the request is not what the route takes",
    429: "too many failed lately; `Retry-After` says how long to wait",
    502: "the OpenID provider does not answer as it should",
    500: "A fault of the server.",
    503: "the catalog cannot be reached",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for OpenAPI; 503 may come everywhere."""
    return {status: {"model": ErrorBody, "description": WHEN[status]} for status in sorted({*statuses, 500, 503})}
