"""The catalog: migrations make the tables that the code describes, transactions are whole, errors are told."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, select, text

from postgres import databases
from propend.errors import CatalogUnavailableError
from propend.store.catalog import HEAD, AuditRow, Base, Catalog, InstanceRow, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "catalog.db") if request.param == "sqlite" else databases(request).new()


def entry(at: datetime, who: str = "ana") -> AuditRow:
    return AuditRow(at=at, who=who, action="create", kind="instance", subject="x")


def test_migrations_make_the_tables_that_are_described(url: str) -> None:
    catalog = Catalog(url)
    assert catalog.revision() is None
    catalog.migrate()
    catalog.migrate()
    assert catalog.revision() == HEAD
    with catalog.reading() as session:
        found = compare_metadata(MigrationContext.configure(session.connection()), Base.metadata)
    assert found == []
    catalog.close()


def test_a_transaction_is_whole_or_not_at_all(url: str) -> None:
    catalog = Catalog(url)
    catalog.migrate()
    with pytest.raises(ZeroDivisionError), catalog.writing() as session:
        session.add(entry(datetime.now(UTC)))
        session.flush()
        _ = 1 / 0
    with catalog.reading() as session:
        assert list(session.scalars(select(AuditRow))) == []
        session.add(entry(datetime.now(UTC)))
        session.flush()  # what a reader changes is thrown away
    with catalog.writing() as session:
        session.add(entry(datetime.now(UTC), "bo"))
    with catalog.reading() as session:
        assert [a.who for a in session.scalars(select(AuditRow))] == ["bo"]
    catalog.close()


def test_instants_come_back_in_utc_whatever_zone_they_had(url: str) -> None:
    catalog = Catalog(url)
    catalog.migrate()
    at = datetime(2026, 3, 29, 3, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with catalog.writing() as session:
        session.add(entry(at))
    with catalog.reading() as session:
        found = session.scalars(select(AuditRow)).one().at
    assert (found, found.tzinfo) == (at, UTC)
    catalog.close()


def test_writers_wait_for_each_other_and_none_is_lost(url: str) -> None:
    catalog = Catalog(url)
    catalog.migrate()
    with catalog.writing() as session:
        session.add(
            InstanceRow(id="x", name="x", status="enabled", version=0, created_at=datetime.now(UTC), created_by="ana",
                        changed_at=datetime.now(UTC))
        )  # fmt: skip

    def count_up() -> None:
        own = Catalog(url)
        for _ in range(10):
            with own.writing() as session:
                row = session.get(InstanceRow, "x", with_for_update=True)
                assert row is not None
                row.version += 1
        own.close()

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalog.reading() as session:
        assert session.get(InstanceRow, "x").version == 40  # type: ignore[union-attr]
    catalog.close()


def test_several_that_start_at_once_migrate_once(url: str) -> None:
    failed: list[Exception] = []

    def start() -> None:
        own = Catalog(url)
        try:
            own.migrate()
        except Exception as error:
            failed.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    catalog = Catalog(url)
    assert catalog.revision() == HEAD
    catalog.close()


def test_a_catalog_that_cannot_be_reached_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnavailableError) as refused:
        Catalog("postgresql://ana:geheim@127.0.0.1:1/shop").migrate()
    assert "geheim" not in str(refused.value)
    assert "ana" in str(refused.value)
    with pytest.raises(CatalogUnavailableError):
        Catalog("nosuch://x")
    (tmp_path / "text.db").write_text("this is not a database, but a text that is long enough to be looked at")
    with pytest.raises(CatalogUnavailableError):
        Catalog(sqlite_url(tmp_path / "text.db")).migrate()


def test_a_catalog_of_a_newer_propend_is_not_touched(url: str) -> None:
    catalog = Catalog(url)
    catalog.migrate()
    with catalog.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogUnavailableError, match="9999"):
        catalog.migrate()
    catalog.close()


def test_sqlite_commits_reach_the_disk_and_readers_do_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    catalog = Catalog(sqlite_url(path))
    catalog.migrate()
    with catalog.reading() as session:
        pragmas = [
            session.execute(text(f"PRAGMA {p}")).scalar() for p in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    with catalog.writing() as session:
        session.add(entry(datetime.now(UTC)))
        session.flush()
        other = sqlite3.connect(path, timeout=0)
        assert other.execute("SELECT count(*) FROM audit").fetchone() == (0,)
        other.close()
    catalog.close()


def test_what_the_database_says_of_an_old_one(tmp_path: Path) -> None:
    """A database without our tables gets them; what was in it stays."""
    engine = create_engine(sqlite_url(tmp_path / "c.db"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE others (x INTEGER)"))
        connection.execute(text("INSERT INTO others VALUES (7)"))
    catalog = Catalog(sqlite_url(tmp_path / "c.db"))
    catalog.migrate()
    with catalog.reading() as session:
        assert session.execute(text("SELECT x FROM others")).scalar() == 7
    catalog.close()
