"""Tables in databases of three kinds that grow, for tests of reading only what is new."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
import pyarrow as pa

from postgres import Databases


class Growing(Protocol):
    """A table of shop events: ``source`` is how a document names it."""

    source: dict[str, Any]

    def add(self, events: pa.Table) -> None:
        """Put rows into the table, which is made with the first."""
        ...

    def run(self, sql: str) -> None:
        """Change the table, whose name is ``orders``."""
        ...


@dataclass
class InPostgres:
    """A table of PostgreSQL.

    Attributes:
        url: of its database.
        at: the type of the column of the time.
    """

    url: str
    at: str = "timestamptz"

    @property
    def source(self) -> dict[str, Any]:
        return {"database": self.url, "table": "orders"}

    def add(self, events: pa.Table) -> None:
        kinds = {"profile_id": "text", "at": self.at, "event": "text", "amount": "float8", "category": "text"}
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            columns = ", ".join(f'"{n}" {kinds[n]}' for n in events.schema.names)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS orders ({columns})")  # type: ignore[arg-type]
            with cursor.copy("COPY orders FROM STDIN") as copy:
                for row in events.to_pylist():
                    copy.write_row(list(row.values()))

    def run(self, sql: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(sql)  # type: ignore[arg-type]


@dataclass
class InSqlite:
    """A table of an SQLite file, in which texts stand for times."""

    path: Path

    @property
    def source(self) -> dict[str, Any]:
        return {"database": str(self.path), "table": "orders"}

    def add(self, events: pa.Table) -> None:
        rows = [
            [v.isoformat(" ") if isinstance(v, datetime) else v for v in row.values()] for row in events.to_pylist()
        ]
        with self._open() as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS orders ({', '.join(events.column_names)})")
            connection.executemany(f"INSERT INTO orders VALUES ({', '.join('?' * events.num_columns)})", rows)

    def run(self, sql: str) -> None:
        with self._open() as connection:
            connection.execute(sql)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                yield connection
        finally:
            connection.close()


@dataclass
class InDuckdb:
    """A table of a DuckDB file."""

    path: Path

    @property
    def source(self) -> dict[str, Any]:
        return {"database": str(self.path), "table": "orders"}

    def add(self, events: pa.Table) -> None:
        with duckdb.connect(str(self.path)) as connection:
            connection.register("given", events)
            connection.execute("CREATE TABLE IF NOT EXISTS orders AS FROM given LIMIT 0; INSERT INTO orders FROM given")

    def run(self, sql: str) -> None:
        with duckdb.connect(str(self.path)) as connection:
            connection.execute(sql)


KINDS = ("postgresql", "sqlite", "duckdb")


def growing(kind: str, folder: Path, server: Databases | None = None) -> Growing:
    """An empty table in a database of a kind."""
    if kind == "postgresql":
        assert server is not None
        return InPostgres(server.new())
    return InSqlite(folder / "shop.sqlite") if kind == "sqlite" else InDuckdb(folder / "shop.duckdb")
