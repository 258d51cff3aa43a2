"""Commands about people: who may log in to the server, and the tokens of their programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from propend.cli.screen import JsonOption, fail, out, tell
from propend.cli.workspace import WorkspaceOption
from propend.errors import ConfigurationError, Mistake, PropendError

user_app = typer.Typer(help="Who may log in to the server.", no_args_is_help=True)
token_app = typer.Typer(help="Secrets of programs that ask the server.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Name of the user.")]


@contextmanager
def _accounts(home: Path, as_json: bool = False) -> Iterator[Any]:
    """The people of a workspace; what is refused within is told, and ends the command."""
    try:
        from propend.workspace import Workspace  # noqa: PLC0415
        from propend.workspace.accounts import Accounts  # noqa: PLC0415
    except ModuleNotFoundError as error:
        needed = Mistake("propend", f"{error.name} is not installed; `pip install 'propend[server]'` brings it")
        fail(ConfigurationError([needed], "this installation"), as_json)
    try:
        workspace = Workspace.open(home)
        try:
            yield Accounts(workspace.catalog, workspace.settings.access)
        finally:
            workspace.close()
    except PropendError as error:
        fail(error, as_json)


def _role(value: str) -> str:
    if value not in ("view", "manage"):
        raise typer.BadParameter("view or manage")
    return value


def _days(value: str) -> int | None:
    """``90d`` as a number; None for ``never``."""
    if value == "never":
        return None
    if not (value.endswith("d") and value[:-1].isascii() and value[:-1].isdigit()):
        raise typer.BadParameter("a number of days such as 90d, or never")
    return int(value[:-1])


def _password() -> str:
    """From the terminal, unseen and twice; else the first line of standard input. Never an argument: others see it."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


@user_app.command("add")
def add_user(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", callback=_role, help="view or manage.")] = "view",
    elsewhere: Annotated[bool, typer.Option("--oidc", help="Comes by OpenID Connect, without a password.")] = False,
    home: WorkspaceOption = Path(),
) -> None:
    """Let somebody in; the password is asked for, or read from standard input."""
    password = None if elsewhere else _password()
    with _accounts(home) as accounts:
        added = accounts.add(name, role, password, "local")
    tell(f"{added.name} may {added.role} from now on")


@user_app.command("list")
def list_users(home: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Everybody who may log in."""
    from propend.screen.listing import users_document, users_text  # noqa: PLC0415

    with _accounts(home, as_json) as accounts:
        found = users_document(accounts.users())
    if as_json:
        out.print_json(json.dumps(found))
    else:
        tell(users_text(found))


@user_app.command("password")
def set_password(name: NameArgument, home: WorkspaceOption = Path()) -> None:
    """Give somebody a new password, which is asked for; all their sessions end."""
    password = _password()
    with _accounts(home) as accounts:
        changed = accounts.set_password(name, password, "local")
    tell(f"{changed.name} has a new password, and is logged out everywhere")


@user_app.command("disable")
def disable_user(name: NameArgument, home: WorkspaceOption = Path()) -> None:
    """Let somebody in no more; their sessions and tokens end at once."""
    with _accounts(home) as accounts:
        changed = accounts.change(name, "local", disabled=True)
    tell(f"{changed.name} may not log in any more")


@user_app.command("enable")
def enable_user(name: NameArgument, home: WorkspaceOption = Path()) -> None:
    """Let somebody in again who was disabled."""
    with _accounts(home) as accounts:
        changed = accounts.change(name, "local", disabled=False)
    tell(f"{changed.name} may log in again")


@token_app.command("create")
def create_token(
    name: NameArgument,
    scope: Annotated[str, typer.Option("--scope", callback=_role, help="view or manage.")] = "view",
    expires: Annotated[str, typer.Option("--expires", help="After so many days, such as 90d; or never.")] = "90d",
    label: Annotated[str, typer.Option("--label", help="What uses it.")] = "command line",
    home: WorkspaceOption = Path(),
) -> None:
    """A token of a user, for a program; it is printed once."""
    days = _days(expires)
    with _accounts(home) as accounts:
        secret, _ = accounts.tokens.create(name, label, scope, days, "local")
    out.print(secret, markup=False)
