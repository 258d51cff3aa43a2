"""The catalog of a workspace: instances and their versions, runs, people, audit, in one database.

SQLite in the workspace's folder by default, PostgreSQL where an address is given. Everything that must not be lost or
half-seen is decided by one committed row here; files are made before that row and removed after it.

    with catalog.reading() as session: ...    # a snapshot; nothing is written
    with catalog.writing() as session: ...    # one transaction, committed at the end or not at all

Tables are described here and made by the migrations beside this file; a test holds the two together.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    JSON,
    DateTime,
    Engine,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    exc,
    false,
    inspect,
    text,
)
from sqlalchemy.engine import Connection, Dialect, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from propend.document import without_passwords
from propend.errors import CatalogUnavailableError, free_near

HEAD = "0006"
"""The newest migration."""
BUSY_SECONDS = 30
_OF_THE_DISK = re.compile("disk is full|disk I/O error|readonly database|unable to open database")
"""What SQLite says where its file cannot be written."""
_MIGRATING = threading.Lock()
"""Alembic works on one database at a time in a process; in the database, transactions take turns."""


class Moment(TypeDecorator[datetime]):
    """An instant: aware and in UTC in Python, without a zone in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class InstanceRow(Base):
    """An instance through its versions.

    Attributes:
        id: a name for addresses and folders, unique for ever.
        status: ``draft`` (no version yet), ``enabled``, ``disabled``, or ``deleting`` while what it left is removed.
        version: number of the version that the next run uses; 0 for a draft.
        draft: a document that is being worked on; nothing runs it.
        file_digest: of ``instances/ID.yaml`` as last read or written.
        champion: run whose model scores; None before the first training.
        due_at: when the schedule asks for the next run.
    """

    __tablename__ = "instances"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(10))
    version: Mapped[int] = mapped_column(default=0)
    draft: Mapped[dict[str, Any] | None]
    file_digest: Mapped[str | None] = mapped_column(String(64))
    champion: Mapped[str | None] = mapped_column(String(40))
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))
    changed_at: Mapped[datetime]


class VersionRow(Base):
    """What an instance was from one change to the next.

    Attributes:
        document: as ``Instance.document()``.
        hash: of everything in it that can change a score.
    """

    __tablename__ = "versions"

    instance_id: Mapped[str] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    hash: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))


class RunRow(Base):
    """One execution of a version.

    Attributes:
        kind: what was asked for: ``auto`` (train where the policy says so, else score), ``train`` or ``score``.
        trigger: ``manual``, ``schedule`` or ``api``.
        state: ``queued``, ``running``, ``succeeded``, ``failed``, ``cancelled`` or ``interrupted``.
        stage, progress: of a running one: the stage's name, and the share done from 0 to 1.
        error: of one that failed, as ``PropendError.to_dict``.
        options: how it was asked for: ``as_of``, ``memory``, ``engine``.
        summary: of one that succeeded: population, AUC, decision between champion and challenger, warnings.
        model_run: run whose model it scored with; its own id where it trained it.
        folder: of its files, relative to the workspace.
        scores_kept: False when its scores are removed (retention, or erasure of its instance).
        cancel_asked: whoever executes it should stop.
    """

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    instance_id: Mapped[str] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(10))
    trigger: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12), index=True)
    stage: Mapped[str | None] = mapped_column(String(40))
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    error: Mapped[dict[str, Any] | None]
    options: Mapped[dict[str, Any]]
    summary: Mapped[dict[str, Any] | None]
    model_run: Mapped[str | None] = mapped_column(String(40))
    folder: Mapped[str]
    scores_kept: Mapped[bool] = mapped_column(default=False)
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    process: Mapped[int | None]
    asked_by: Mapped[str] = mapped_column(String(200))
    queued_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index("runs_of_instance", "instance_id", "queued_at"),
        Index("runs_by_end", "instance_id", "state", "finished_at"),
    )


class AuditRow(Base):
    """One change: who did what to what, and what it was before and after."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    who: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(200))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]


class UserRow(Base):
    """Somebody who may log in.

    Attributes:
        name: what they log in with; an e-mail address where they come by OpenID Connect.
        password: its argon2 hash; None for those who come by OpenID Connect only.
        role: ``view`` or ``manage``.
        subject: issuer and subject of OpenID Connect.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    password: Mapped[str | None] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10))
    subject: Mapped[str | None] = mapped_column(String(400), unique=True)
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class SessionRow(Base):
    """A log-in of a browser; of its secret, and of what forms send beside it, only the SHA-256 is kept.

    Attributes:
        expires_at: moved on while it is used, up to a time from ``created_at``.
    """

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class TokenRow(Base):
    """A token for programs; of its secret only the SHA-256 is kept, and its first letters to know it by.

    Attributes:
        scopes: ``view``, ``manage``; never more than its owner's role.
    """

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    first: Mapped[str] = mapped_column(String(12))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AttemptRow(Base):
    """A log-in that failed lately, or is being tried; several servers count them together.

    Attributes:
        key: the SHA-256 of a name or an address: people mistype passwords into names.
    """

    __tablename__ = "attempts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[datetime] = mapped_column(index=True)


class ReplyRow(Base):
    """The answer to a request with an idempotency key, given again where the request comes again."""

    __tablename__ = "replies"

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    who: Mapped[str] = mapped_column(String(200), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(index=True)


class ForgottenRow(Base):
    """A person who is to be forgotten: the keyed hash of the id, never the id.

    Attributes:
        pending: whether something of the person may still be in finished runs.
    """

    __tablename__ = "forgotten"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    pending: Mapped[bool] = mapped_column(default=False, server_default=false())


class SegmentRow(Base):
    """A saved rule over the scores of an instance.

    Attributes:
        where: conditions on columns of ``scores.parquet``, such as ``bucket = 'high' and probability >= 0.4``.
    """

    __tablename__ = "segments"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    instance_id: Mapped[str] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    where: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))

    __table_args__ = (UniqueConstraint("instance_id", "name"),)


class MembershipRow(Base):
    """A segment by the scores of one run.

    Attributes:
        run_id: the newest of the runs that it speaks of; in its folder is the file of the members.
        where: the rule that they were told by.
        joined, left: since the row before; None where its file was not kept.
        expected, expected_low, expected_high: how many of them are expected to meet the goal, with the 95 % interval.
    """

    __tablename__ = "memberships"

    segment_id: Mapped[int] = mapped_column(ForeignKey("segments.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    where: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    members: Mapped[int]
    joined: Mapped[int | None]
    left: Mapped[int | None]
    expected: Mapped[float] = mapped_column(Float)
    expected_low: Mapped[float] = mapped_column(Float)
    expected_high: Mapped[float] = mapped_column(Float)


class DestinationRow(Base):
    """A saved place that scores of an instance are pushed to.

    Attributes:
        segment_id: only members of this segment; everybody where None.
        kind, options: which kind of place, and what it is told; of secrets only names.
        enabled: whether runs are pushed by themselves.
    """

    __tablename__ = "destinations"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    instance_id: Mapped[str] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    segment_id: Mapped[int | None]
    kind: Mapped[str] = mapped_column(String(60))
    options: Mapped[dict[str, Any]]
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(200))
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(200))

    __table_args__ = (UniqueConstraint("instance_id", "name"),)


class PushRow(Base):
    """One push of a run to a destination, with its further tries; or a retraction.

    Attributes:
        what: ``push``, ``retract`` or ``expire``.
        state: ``waiting`` (until ``due_at``), ``running``, ``succeeded`` or ``failed``.
        tries: how often it was begun.
        rows, added, updated, retracted: profiles; None where nobody can tell.
        error: of the last try, as ``PropendError.to_dict``.
        facts: what the destination wants to know later.
        progress: how far a try came that broke off.
        made_at: when the run was finished.
    """

    __tablename__ = "pushes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    destination_id: Mapped[int] = mapped_column(ForeignKey("destinations.id", ondelete="CASCADE"), index=True)
    run_id: Mapped[str] = mapped_column(String(40))
    what: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(12), index=True)
    tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    made_at: Mapped[datetime | None]
    asked_by: Mapped[str] = mapped_column(String(200))
    asked_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    rows: Mapped[int | None]
    added: Mapped[int | None]
    updated: Mapped[int | None]
    retracted: Mapped[int | None]
    error: Mapped[dict[str, Any] | None]
    facts: Mapped[dict[str, Any] | None]
    progress: Mapped[dict[str, Any] | None]


class SettingRow(Base):
    """What a workspace remembers of itself, such as the secret that ids of forgotten people are hashed with."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


# --- the database ---------------------------------------------------------------------------------------------


class Catalog:
    """A connection to the catalog; safe for threads."""

    def __init__(self, url: str) -> None:
        """Nothing is opened yet; ``migrate`` makes or moves the tables.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://…``, as SQLAlchemy reads them.

        Raises:
            CatalogUnavailableError: no driver is installed for such an address.
        """
        self.url = url
        self.shown = str(without_passwords(url))
        self._reading = _engine(url, self.shown)
        self._writing = self._reading.execution_options(propend_writes=True)

    def migrate(self) -> None:
        """Bring the tables to the newest form; does nothing where they are.

        Raises:
            CatalogUnavailableError: the database cannot be reached, or is of a newer propend.
        """
        with self._told():
            if self.revision() != HEAD:
                with _MIGRATING, self._writing.connect() as connection:
                    _upgrade(connection)

    def revision(self) -> str | None:
        """The migration that the tables are at; None before the first.

        Raises:
            CatalogUnavailableError: the database cannot be reached.
        """
        with self._told(), self._reading.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return None if found is None else str(found)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database; what it changes is thrown away.

        Raises:
            CatalogUnavailableError: the database cannot be reached.
        """
        with self._told(), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: committed at the end, taken back on any error. On SQLite no other writes meanwhile.

        Raises:
            CatalogUnavailableError: the database cannot be reached.
        """
        with self._told(), Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._reading.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except exc.IntegrityError:
            raise
        except exc.DBAPIError as error:
            raise _unavailable(self.shown, error.orig or error) from error
        except CommandError as error:
            raise _unavailable(self.shown, error) from error


def sqlite_url(path: Path) -> str:
    """The address of a catalog in a file."""
    return f"sqlite:///{path}"


def now() -> datetime:
    """This instant, in UTC, to the microsecond."""
    return datetime.now(UTC)


def alone(session: Session, table: str) -> None:
    """Within a transaction: no other decides about a table's rows meanwhile; on SQLite a writer is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"))


def _engine(url: str, shown: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and "+" not in parsed.drivername:
            parsed = parsed.set(drivername="postgresql+psycopg")
        arguments = {"timeout": BUSY_SECONDS} if parsed.get_backend_name() == "sqlite" else {}
        engine = create_engine(parsed, pool_pre_ping=not arguments, connect_args=arguments)
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
        raise _unavailable(shown, error) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    """Readers and a writer at the same time; a commit is on the disk; transactions begin when we say so."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes its lock at once: one that read first and then could not write would have to fail."""
    writes = connection.get_execution_options().get("propend_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _unavailable(shown: str, error: BaseException) -> CatalogUnavailableError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if shown.startswith("sqlite") and _OF_THE_DISK.search(first):
        free = free_near(make_url(shown).database or "")
        return CatalogUnavailableError(
            f"The catalog {shown!r} cannot be written: {first:.300}; {free / 1e6:,.0f} MB are free there.",
            "free some space, or see to the disk and the rights of the folder; what was committed stands.",
            url=shown, free_bytes=free,
        )  # fmt: skip
    return CatalogUnavailableError(
        f"The catalog {shown!r} cannot be used: {without_passwords(first):.300}.",
        "look at PROPEND_DATABASE_URL; without it the catalog is a file in the workspace. For PostgreSQL, "
        "`pip install 'propend[postgres]'`.",
        url=shown,
    )
