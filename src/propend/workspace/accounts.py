"""Who may come in: users with passwords or by OpenID Connect, and the first of them by a secret that is shown once.

Of passwords argon2 hashes are kept. An unknown name, a wrong password and a disabled user get the same answer after
the same work. Every change is in the log of changes, never a secret.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from propend.errors import (
    InstanceNotFoundError,
    NotAllowedError,
    NotLoggedInError,
    RequestInvalidError,
    StatusError,
)
from propend.store.catalog import Catalog, SettingRow, UserRow, alone, now
from propend.workspace.attempts import Attempt, Attempts
from propend.workspace.audit import LOCAL, SCHEDULE, note
from propend.workspace.sessions import Role, Sessions, Tokens, digest
from propend.workspace.settings import AccessSettings

ROLES: tuple[Role, ...] = ("view", "manage")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024
FIRST_TOKEN_KEY = "first token"
FIRST_TOKEN_LASTS = timedelta(hours=24)
HASHES_AT_ONCE = 2
"""Each takes 64 MB and a core for a twentieth of a second: more at a time would only crowd out everything else."""
_NAME = re.compile(r"[\w.@+-]{1,200}")
_RESERVED = {LOCAL, SCHEDULE, "anonymous"}
"""Names that the log of changes has for others."""


@dataclass(frozen=True)
class Entered:
    """Somebody who has just come in: who, and the secret of their session."""

    name: str
    role: str
    secret: str


class Accounts:
    """Users, and what they come in with.

    Attributes:
        sessions: of browsers.
        tokens: of programs.
    """

    def __init__(self, catalog: Catalog, settings: AccessSettings, hasher: PasswordHasher | None = None) -> None:
        """``hasher`` has the parameters of new hashes; by default those of RFC 9106 for little memory."""
        self._catalog = catalog
        self._hasher = hasher or PasswordHasher()
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._attempts = Attempts(catalog)
        self._nobodys = self._hashed(secrets.token_urlsafe(32))
        self.sessions, self.tokens = Sessions(catalog, settings), Tokens(catalog)

    # --- users ----------------------------------------------------------------------------------------------

    def users(self) -> Sequence[UserRow]:
        """All, by name."""
        with self._catalog.reading() as session:
            return list(session.scalars(select(UserRow).order_by(UserRow.name)))

    def user(self, name: str) -> UserRow:
        """One of them.

        Raises:
            InstanceNotFoundError: there is none of that name.
        """
        with self._catalog.reading() as session:
            return _user(session, name)

    def add(self, name: str, role: Role, password: str | None, by: str) -> UserRow:
        """A new user; without a password one who comes by OpenID Connect, with the name as e-mail address.

        Raises:
            RequestInvalidError: the name or password is not fit.
            StatusError: there is a user of that name.
        """
        name = fit_name(name)
        hashed = None if password is None else self._hashed(fit_password(password, name))
        with self._catalog.writing() as session:
            return _add(session, name, role, hashed, by)

    def change(self, name: str, by: str, *, role: Role | None = None, disabled: bool | None = None) -> UserRow:
        """Give somebody another role, or let them in no more, or again. Whoever is disabled is logged out.

        Raises:
            InstanceNotFoundError: there is none of that name.
            StatusError: nobody who manages would be left.
        """
        with self._catalog.writing() as session:
            alone(session, "users")
            user = _user(session, name)
            before = _shown(user)
            user.role = role or user.role
            user.disabled = user.disabled if disabled is None else disabled
            session.flush()
            managed = before["role"] == "manage" and not before["disabled"]
            if managed and not _managing(session):
                raise StatusError(
                    f"{user.name!r} is the last user who manages, and must go on doing so.", "add another one first."
                )
            if user.disabled:
                self.sessions.end_all(session, user.id)
            if _shown(user) != before:
                action = {(False, True): "disable", (True, False): "enable"}
                word = action.get((bool(before["disabled"]), user.disabled), "update")
                note(session, by, word, "user", user.name, before, _shown(user))
            return user

    def set_password(self, name: str, password: str, by: str) -> UserRow:
        """Give somebody a new password; all their sessions end.

        Raises:
            InstanceNotFoundError: there is none of that name.
            RequestInvalidError: the password is not fit.
        """
        hashed = self._hashed(fit_password(password, self.user(name).name))
        with self._catalog.writing() as session:
            user = _user(session, name)
            user.password = hashed
            self.sessions.end_all(session, user.id)
            note(session, by, "set password", "user", user.name)
            return user

    # --- coming in ------------------------------------------------------------------------------------------

    def log_in(self, name: str, password: str, address: str, old: str | None = None) -> Entered:
        """Start a session for whoever has the right password.

        Args:
            address: where the request comes from; failures are counted by it, and by the name.
            old: secret of the session that the browser had before; it ends.

        Raises:
            TooManyAttemptsError: too many failed lately.
            NotLoggedInError: no such name, a wrong password, or a disabled user: which, is not said.
        """
        user = self._checked(name, password, address)
        secret = self.sessions.start(user.id, old)
        return Entered(user.name, user.role, secret)

    def check_password(self, name: str, password: str, address: str) -> None:
        """See whether a password is somebody's, as ``log_in`` does.

        Raises:
            TooManyAttemptsError: too many failed lately.
            NotLoggedInError: it is not.
        """
        self._checked(name, password, address)

    def first_token(self) -> str | None:
        """A new secret with which the first user is made, within a day; the one before it ends. None with users."""
        secret = secrets.token_urlsafe(32)
        kept = {"digest": digest(secret), "until": (now() + FIRST_TOKEN_LASTS).isoformat()}
        with self._catalog.writing() as session:
            alone(session, "users")
            if session.scalar(select(func.count()).select_from(UserRow)):
                return None
            session.merge(SettingRow(key=FIRST_TOKEN_KEY, value=json.dumps(kept)))
        return secret

    def set_up(self, token: str, name: str, password: str, address: str) -> Entered:
        """Make the first user, who manages, and start a session.

        Raises:
            TooManyAttemptsError: too many wrong tokens came lately.
            NotLoggedInError: the token is wrong, used or too old.
            RequestInvalidError: the name or password is not fit.
        """
        name = fit_name(name)
        password = fit_password(password, name)
        attempt = self._attempts.begin(FIRST_TOKEN_KEY, address)
        hashed = self._hashed(password)
        with self._catalog.writing() as session:
            alone(session, "users")
            kept = session.get(SettingRow, FIRST_TOKEN_KEY)
            if kept is None or not _is_first(json.loads(kept.value), token):
                raise NotLoggedInError(
                    "The token for the first start is wrong, used or more than a day old.",
                    "start the server anew: it prints another one as long as there is no user.",
                )
            user = _add(session, name, "manage", hashed, name)
            self._attempts.succeeded(session, attempt)
            return Entered(user.name, user.role, self.sessions.add(session, user.id))

    def arrive(self, subject: str, name: str, newcomers: Role | None, old: str | None = None) -> Entered:
        """Start a session for somebody whom an OpenID provider vouches for.

        Args:
            subject: issuer and subject, by which they are known again.
            name: their e-mail address, which the provider has verified.
            newcomers: role of those who come for the first time; None: only those that were added before may.

        Raises:
            NotAllowedError: they may not come, or their name is that of somebody with a password.
            NotLoggedInError: they are disabled.
        """
        name = fit_name(name)
        with self._catalog.writing() as session:
            alone(session, "users")
            user = session.scalars(select(UserRow).where(UserRow.subject == subject)).one_or_none()
            user = user or self._newcomer(session, subject, name, newcomers)
            if user.disabled:
                raise NotLoggedInError(f"{user.name!r} may not log in any more.", "ask somebody who manages.")
            note(session, user.name, "log in", "user", user.name)
            entered = user.id, user.name, user.role
        return Entered(*entered[1:], self.sessions.start(entered[0], old))

    @staticmethod
    def _newcomer(session: Session, subject: str, name: str, newcomers: Role | None) -> UserRow:
        """Whoever was added without a password is the one with that address; nobody takes over another's account."""
        user = _named(session, name)
        if user is not None and (user.password is not None or user.subject is not None):
            raise NotAllowedError(
                f"There is another user {name!r}, who comes in otherwise.", "ask somebody who manages to add you."
            )
        if user is None and newcomers is None:
            raise NotAllowedError(f"{name!r} is not a user here.", "ask somebody who manages to add you.")
        user = user or _add(session, name, newcomers or "view", None, name)
        user.subject = subject
        session.flush()
        return user

    def _checked(self, name: str, password: str, address: str) -> UserRow:
        folded = name.strip().casefold()
        attempt = self._attempts.begin(folded, address)
        with self._catalog.reading() as session:
            user = _named(session, folded)
        hashed = user.password if user is not None and user.password and not user.disabled else self._nobodys
        right = self._verified(hashed, password) and hashed is not self._nobodys
        if user is None or not right:
            who, subject = (user.name,) * 2 if user is not None else ("anonymous", "unknown name")
            with self._catalog.writing() as session:
                note(session, who, "fail to log in", "user", subject)
            raise NotLoggedInError("The name or the password is not right.", "try again; mind capital letters.")
        self._succeeded(user, password, attempt)
        return user

    def _succeeded(self, user: UserRow, password: str, attempt: Attempt) -> None:
        """Forget the failures, and hash the password anew where its hash is of weaker parameters than today's."""
        old = user.password or ""
        better = self._hashed(password) if self._hasher.check_needs_rehash(old) else None
        with self._catalog.writing() as session:
            self._attempts.succeeded(session, attempt)
            note(session, user.name, "log in", "user", user.name)
            row = session.get(UserRow, user.id)
            if better is not None and row is not None and row.password == old:
                row.password = better

    def _hashed(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _verified(self, hashed: str, password: str) -> bool:
        if len(password) > LONGEST_PASSWORD:
            return False
        try:
            with self._hashing:
                return self._hasher.verify(hashed, password)
        except VerificationError:
            return False


def fit_name(name: str) -> str:
    """A user's name as it is kept: in small letters.

    Raises:
        RequestInvalidError: it has other characters than letters, digits and ``. @ + - _``, or is taken by the log.
    """
    folded = name.strip().casefold()
    if not _NAME.fullmatch(folded) or folded in _RESERVED:
        raise RequestInvalidError(
            f"{name[:60]!r} cannot be a user's name.",
            "use 1 to 200 letters, digits or . @ + - _; not " + ", ".join(sorted(_RESERVED)) + ".",
        )
    return folded


def fit_password(password: str, name: str) -> str:
    """A password that is long enough.

    Raises:
        RequestInvalidError: it is too short, too long, or the name.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or password.casefold() == name:
        raise RequestInvalidError(
            f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD:,} characters, and is not the name; this one "
            f"has {len(password):,}.",
            "take a longer one, such as four or five words.",
        )
    return password


def _is_first(kept: dict[str, str], token: str) -> bool:
    right = secrets.compare_digest(kept["digest"], digest(token))
    return right and now() < datetime.fromisoformat(kept["until"])


def _user(session: Session, name: str) -> UserRow:
    found = _named(session, name.strip().casefold())
    if found is None:
        raise InstanceNotFoundError(f"There is no user {name[:200]!r}.", "the list of users shows those there are.")
    return found


def _named(session: Session, folded: str) -> UserRow | None:
    """The user of a name; where no user can have it, the database is not asked: PostgreSQL takes no zero bytes."""
    asked = folded if _NAME.fullmatch(folded) else ""
    return session.scalars(select(UserRow).where(UserRow.name == asked)).one_or_none()


def _add(session: Session, name: str, role: Role, hashed: str | None, by: str) -> UserRow:
    alone(session, "users")
    if session.scalars(select(UserRow.id).where(UserRow.name == name)).first() is not None:
        raise StatusError(f"There is a user {name!r} already.", "choose another name.")
    user = UserRow(name=name, password=hashed, role=role, disabled=False, created_at=now())
    session.add(user)
    session.flush()
    session.execute(delete(SettingRow).where(SettingRow.key == FIRST_TOKEN_KEY))
    note(session, by, "create", "user", name, after=_shown(user))
    return user


def _managing(session: Session) -> int:
    asked = select(func.count()).select_from(UserRow).where(UserRow.role == "manage", UserRow.disabled.is_(False))
    return session.scalar(asked) or 0


def _shown(user: UserRow) -> dict[str, object]:
    """A user for the log of changes."""
    return {"role": user.role, "disabled": user.disabled, "comes_by": "password" if user.password else "oidc"}
