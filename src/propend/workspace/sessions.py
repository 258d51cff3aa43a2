"""Sessions of browsers and tokens of programs: long random secrets, of which only the SHA-256 is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from propend.errors import InstanceNotFoundError, NotAllowedError, RequestInvalidError
from propend.store.catalog import Catalog, SessionRow, TokenRow, UserRow, now
from propend.workspace.audit import note
from propend.workspace.settings import AccessSettings

Role = Literal["view", "manage"]
TOKEN_PREFIX = "pp_"
SHOWN = 9
"""Letters of a token that are kept and shown, to know it by: 36 bits of 256."""
NOTED_EVERY = timedelta(minutes=1)
"""How often it is written down that a session or token is in use."""
MOST_TOKEN_DAYS = 3660


@dataclass(frozen=True)
class Known:
    """Somebody whose secret is right.

    Attributes:
        name, role: of the user; a token's role is not above its scope.
        csrf: the SHA-256 of what comes beside a session's changes; empty for tokens.
        expires_at: when the secret ends if it is not used again.
    """

    name: str
    role: str
    csrf: str
    expires_at: datetime | None


def digest(secret: str) -> str:
    """What is kept of a secret of 256 random bits: it cannot be guessed, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_of(secret: str) -> str:
    """What a page sends beside each change, made from the session's secret: another site cannot know it."""
    return hmac.new(secret.encode(), b"propend csrf", hashlib.sha256).hexdigest()


class Sessions:
    """Log-ins of browsers."""

    def __init__(self, catalog: Catalog, settings: AccessSettings) -> None:
        """``settings`` say how long a session lasts, in use and idle."""
        self._catalog = catalog
        self.longest = timedelta(hours=settings.session_hours)
        self._idle = timedelta(minutes=settings.idle_minutes)

    def start(self, user_id: int, old: str | None = None) -> str:
        """A new session's secret; the session that the browser had before ends."""
        with self._catalog.writing() as session:
            if old is not None:
                session.execute(delete(SessionRow).where(SessionRow.digest == digest(old)))
            return self.add(session, user_id)

    def add(self, session: Session, user_id: int) -> str:
        """The same within a transaction; sessions that have ended are removed."""
        secret, instant = secrets.token_urlsafe(32), now()
        session.execute(delete(SessionRow).where(SessionRow.expires_at < instant))
        ends = instant + min(self._idle, self.longest)
        row = SessionRow(digest=digest(secret), user_id=user_id, csrf=digest(csrf_of(secret)))
        row.created_at, row.expires_at = instant, ends
        session.add(row)
        return secret

    def find(self, secret: str) -> Known | None:
        """Whose session it is; None where there is none, it has ended, or its user may not come in any more."""
        asked = select(SessionRow, UserRow).join(UserRow).where(SessionRow.digest == digest(secret))
        with self._catalog.reading() as session:
            found = session.execute(asked).one_or_none()
        instant = now()
        if found is None or found[1].disabled or found[0].expires_at <= instant:
            return None
        row, user = found
        ends = min(instant + self._idle, row.created_at + self.longest)
        if ends - row.expires_at >= NOTED_EVERY:
            with self._catalog.writing() as session:
                session.execute(update(SessionRow).where(SessionRow.digest == row.digest).values(expires_at=ends))
        return Known(user.name, user.role, row.csrf, max(ends, row.expires_at))

    def end(self, secret: str, by: str) -> None:
        """Log out."""
        with self._catalog.writing() as session:
            session.execute(delete(SessionRow).where(SessionRow.digest == digest(secret)))
            note(session, by, "log out", "user", by)

    @staticmethod
    def end_all(session: Session, user_id: int) -> None:
        """End all sessions of somebody, within a transaction."""
        session.execute(delete(SessionRow).where(SessionRow.user_id == user_id))


class Tokens:
    """Secrets of programs."""

    def __init__(self, catalog: Catalog) -> None:
        """Kept in the catalog."""
        self._catalog = catalog

    def create(self, owner: str, name: str, scope: Role, days: int | None, by: str) -> tuple[str, TokenRow]:
        """A new token for a user: its secret, which is not shown again, and what is kept.

        Args:
            scope: what it may do; not above the owner's role.
            days: after which it ends; never where None.

        Raises:
            InstanceNotFoundError: there is no such user.
            NotAllowedError: the owner is disabled, or may do less than the scope says.
            RequestInvalidError: no name, or too long a time.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise RequestInvalidError("A token needs a name of 1 to 100 printable characters.", "name what uses it.")
        if days is not None and not 1 <= days <= MOST_TOKEN_DAYS:
            raise RequestInvalidError(f"A token lasts 1 to {MOST_TOKEN_DAYS:,} days; {days:,} were asked for.")
        secret, instant = TOKEN_PREFIX + secrets.token_urlsafe(32), now()
        with self._catalog.writing() as session:
            user = session.scalars(select(UserRow).where(UserRow.name == owner)).one_or_none()
            if user is None:
                raise InstanceNotFoundError(f"There is no user {owner!r}.", "a token belongs to a user: add one first.")
            if user.disabled or (scope == "manage" and user.role != "manage"):
                raise NotAllowedError(
                    f"{owner!r} {'is disabled' if user.disabled else 'may view only'}: a token cannot do more.",
                    "ask for the scope `view`, or somebody who manages for the role.",
                )
            row = TokenRow(user_id=user.id, name=name, first=secret[:SHOWN], digest=digest(secret), scopes=[scope])
            row.created_at, row.expires_at = instant, None if days is None else instant + timedelta(days=days)
            session.add(row)
            session.flush()
            note(session, by, "create", "token", str(row.id), after=_audited(row, owner))
        return secret, row

    def find(self, secret: str) -> Known | None:
        """Whose token it is; None where there is none, it has ended or was revoked, or its user is disabled."""
        if not secret.startswith(TOKEN_PREFIX):
            return None
        asked = select(TokenRow, UserRow).join(UserRow).where(TokenRow.digest == digest(secret))
        with self._catalog.reading() as session:
            found = session.execute(asked).one_or_none()
        instant = now()
        if found is None or found[1].disabled or found[0].revoked_at is not None:
            return None
        row, user = found
        if row.expires_at is not None and row.expires_at <= instant:
            return None
        if row.used_at is None or instant - row.used_at >= NOTED_EVERY:
            with self._catalog.writing() as session:
                session.execute(update(TokenRow).where(TokenRow.id == row.id).values(used_at=instant))
        manages = user.role == "manage" and "manage" in row.scopes
        return Known(user.name, "manage" if manages else "view", "", row.expires_at)

    def rows(self, owner: str | None = None) -> Sequence[tuple[TokenRow, str]]:
        """Tokens with the names of their owners, newest first; of everybody, or of one user."""
        asked = select(TokenRow, UserRow.name).join(UserRow).order_by(TokenRow.id.desc())
        if owner is not None:
            asked = asked.where(UserRow.name == owner)
        with self._catalog.reading() as session:
            return [(row, name) for row, name in session.execute(asked)]

    def revoke(self, token_id: int, by: str, owner: str | None = None) -> None:
        """End a token for good; one that has been revoked already stays as it is.

        Args:
            owner: only where it is this user's.

        Raises:
            InstanceNotFoundError: there is no such token.
        """
        with self._catalog.writing() as session:
            row = session.get(TokenRow, token_id)
            user = row and session.get(UserRow, row.user_id)
            if row is None or user is None or owner not in (None, user.name):
                raise InstanceNotFoundError(
                    f"There is no token {token_id}.", "the list of tokens shows those there are."
                )
            if row.revoked_at is None:
                row.revoked_at = now()
                note(session, by, "revoke", "token", str(row.id), before=_audited(row, user.name))


def _audited(row: TokenRow, owner: str) -> dict[str, object]:
    return {
        "owner": owner, "name": row.name, "first": row.first, "scopes": row.scopes,
        "expires_at": row.expires_at and row.expires_at.isoformat(),
    }  # fmt: skip
