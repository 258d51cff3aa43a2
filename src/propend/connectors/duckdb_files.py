"""DuckDB files: opened beside the session's own database, read only, and kept from reading anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from propend.connectors.origins import Links, Since, Table
from propend.document import nearest
from propend.errors import DatabaseRefusedError, DatabaseUnreachableError, PropendError
from propend.predicates import quote_name

BATCH_ROWS = 200_000
_KEPT_SHUT = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET preserve_insertion_order = false",
)
_CASTS = {"HUGEINT": "DOUBLE", "UHUGEINT": "DOUBLE", "UUID": "VARCHAR", "INTERVAL": "VARCHAR", "BIT": "VARCHAR"}
"""Types that are read in another one."""


def stream(file: Path, wanted: Table, links: Links) -> DuckdbStream:
    """The rows of a table or query.

    Raises:
        DatabaseUnreachableError: the file is of another version, damaged, or being written by somebody.
        DatabaseRefusedError: there is no such table.
    """
    return DuckdbStream(links.of(str(file), lambda: _connected(file)), file, wanted)


class DuckdbStream:
    """Rows of one table or query (``Stream``)."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, file: Path, wanted: Table) -> None:
        """Looks the columns up.

        Raises:
            DatabaseRefusedError: there is no such table.
        """
        self._connection, self._file, self._wanted = connection, file, wanted
        named = ".".join(quote_name(part) for part in (wanted.table or "").split("."))
        query = (wanted.query or "").strip().rstrip(";")
        self._rows = f"(\n{query}\n)" if wanted.query is not None else named
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {self._rows} AS q").fetchall()
        except duckdb.Error as error:
            raise self._refused(error) from None
        self._columns = ", ".join(_selected(str(row[0]), str(row[1])) for row in described)

    def read(self, since: Since | None = None) -> pa.RecordBatchReader:
        where = ""
        if since is not None:
            name = f"q.{quote_name(since.column)}"
            where = f" WHERE {name} >= {since.literal} OR {name} IS NULL"
        try:
            relation = self._connection.sql(f"SELECT {self._columns} FROM {self._rows} AS q{where}")
            read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
            reader = read(BATCH_ROWS)
        except duckdb.Error as error:
            raise self._refused(error) from None
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> PropendError:
        table = self._wanted.table
        if table is not None and isinstance(error, duckdb.CatalogException):
            known = self._connection.execute(
                "SELECT table_schema || '.' || table_name, table_name FROM information_schema.tables"
            ).fetchall()
            near = nearest(table, [str(row[0 if "." in table else 1]) for row in known])
            there = ", ".join(str(row[1]) for row in known[:8])
            return DatabaseRefusedError(
                f"There is no table {table!r} in {self._file.name!r}.",
                f"did you mean {near!r}?" if near else f"there are: {there or 'none'}.",
                database=self._file.name, table=table, nearest=near,
            )  # fmt: skip
        what = f"the table {table!r}" if table is not None else "the query"
        return DatabaseRefusedError(
            f"Reading {what} of {self._file.name!r} fails: {_said(error)}",
            "correct the query; it sees what is in this file, and nothing else.",
            database=self._file.name, table=table,
        )  # fmt: skip


def _selected(name: str, kind: str) -> str:
    cast = _CASTS.get(kind)
    return f"CAST(q.{quote_name(name)} AS {cast}) AS {quote_name(name)}" if cast else f"q.{quote_name(name)}"


def _connected(file: Path) -> duckdb.DuckDBPyConnection:
    """A connection to a file that nothing else can be read by.

    Raises:
        DatabaseUnreachableError: it cannot be opened.
    """
    try:
        connection = duckdb.connect(str(file), read_only=True)
        for setting in _KEPT_SHUT:
            connection.execute(setting)
    except duckdb.Error as error:
        raise DatabaseUnreachableError(
            f"{file.name!r} cannot be opened: {_said(error)}",
            "close it where it is open for writing; a file of another version of DuckDB must be exported.",
            database=file.name,
        ) from None
    return connection


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"^(\w+( \w+)? Error: )+", "", lines[0])[:300].rstrip(".") + "."
