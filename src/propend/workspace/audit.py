"""The log of changes: who did what, to what, when, and what it was before and after (spec OPS-03)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from propend.document import without_passwords
from propend.store.catalog import AuditRow, Catalog, now

LOCAL = "local"
"""Who does what is done on the command line, in Python, or by editing a file of the workspace."""
SCHEDULE = "schedule"


def note(
    session: Session,
    who: str,
    action: str,
    kind: str,
    subject: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Write a change down in the transaction that makes it.

    Args:
        action: ``create``, ``update``, ``delete``, ``enable``, ``disable``, ``run``, ``cancel``, ``log in`` and such.
        kind: of the subject: ``instance``, ``run``, ``user``, ``token``, ``segment``, ``profile``, ``destination``.
        before, after: what changed, as plain data, without secrets.
    """
    hidden = [value and without_passwords(value) for value in (before, after)]
    session.add(
        AuditRow(at=now(), who=who, action=action, kind=kind, subject=subject, before=hidden[0], after=hidden[1])
    )


KINDS = ("instance", "run", "user", "token", "segment", "profile", "destination")
"""What changes are made to."""


class Audit:
    """The log, to be read."""

    def __init__(self, catalog: Catalog, days: int) -> None:
        """``days``: how long entries are kept."""
        self._catalog, self._days = catalog, days

    def entries(
        self,
        *,
        subject: str | None = None,
        who: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_id: int | None = None,
        limit: int = 1000,
    ) -> list[AuditRow]:
        """The newest entries first.

        Args:
            subject, who, kind: only entries with exactly these.
            since, until: only entries from the first instant on, and before the second.
            before_id: only those older than this one: the next page.
        """
        asked = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        for column, value in ((AuditRow.subject, subject), (AuditRow.who, who), (AuditRow.kind, kind)):
            if value is not None:
                asked = asked.where(column == value)
        if since is not None:
            asked = asked.where(AuditRow.at >= since)
        if until is not None:
            asked = asked.where(AuditRow.at < until)
        if before_id is not None:
            asked = asked.where(AuditRow.id < before_id)
        with self._catalog.reading() as session:
            return list(session.scalars(asked))

    def prune(self) -> None:
        """Remove what is older than is kept."""
        with self._catalog.writing() as session:
            session.execute(delete(AuditRow).where(AuditRow.at < now() - timedelta(days=self._days)))
