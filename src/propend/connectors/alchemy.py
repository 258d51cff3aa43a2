"""Any database that SQLAlchemy knows a driver of, and SQLite files: rows in batches, types found in the values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from propend.connectors.origins import Links, RetypedError, Since, Table
from propend.connectors.secrets import Address
from propend.document import nearest
from propend.errors import DatabaseRefusedError, DatabaseUnreachableError, PropendError

BATCH_ROWS = 20_000
_BEGINS = "propend_begins"
"""The parameter of a time."""
_BEGINNINGS = {
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"),
    "oracle": ("SET TRANSACTION READ ONLY",),
    "sqlite": ("PRAGMA query_only = ON", "BEGIN"),
}
"""What makes a connection one that only reads, as of one moment where the database can."""


def stream(address: Address, wanted: Table, links: Links) -> AlchemyStream:
    """The rows of a table or query.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: as when connecting, and as when asking.
    """
    return AlchemyStream(links.of(address.url, lambda: _connected(address)), address, wanted)


def sqlite_stream(file: Path, wanted: Table, links: Links) -> AlchemyStream:
    """The rows of a table or query of an SQLite file, which is not written to.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: as ``stream``.
    """
    url = f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true"
    return stream(Address(file.name, url), wanted, links)


class AlchemyStream:
    """Rows of one table or query (``Stream``)."""

    def __init__(self, connection: Connection, address: Address, wanted: Table) -> None:
        """Looks the table up.

        Raises:
            DatabaseRefusedError: there is no such table.
        """
        self._connection, self._address, self._wanted = connection, address, wanted
        self._quoted = connection.dialect.identifier_preparer.quote
        named = ".".join(self._quoted(part) for part in (wanted.table or "").split("."))
        query = (wanted.query or "").strip().rstrip(";")
        self._rows = f"(\n{query}\n) q" if wanted.query is not None else f"{named} q"
        self._types: list[pa.DataType] | None = None
        if wanted.table is not None:
            self._check_table(wanted.table)

    def _check_table(self, table: str) -> None:
        schema, _, name = table.rpartition(".")
        try:
            there = inspect(self._connection)
            known = [*there.get_table_names(schema or None), *there.get_view_names(schema or None)]
        except SQLAlchemyError as error:
            raise self._refused(error) from None
        if name.casefold() in (k.casefold() for k in known):
            return
        near = nearest(name, known)
        near = f"{schema}.{near}" if schema and near else near
        raise DatabaseRefusedError(
            f"There is no table {table!r} in {self._address.place!r}.",
            f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(known)[:8]) or 'none'}.",
            database=self._address.place, table=table, nearest=near,
        )  # fmt: skip

    def read(self, since: Since | None = None) -> pa.RecordBatchReader:
        sql = re.sub(r"(?<!\\):(?=\w)", r"\\:", f"SELECT * FROM {self._rows}")
        bound = {}
        if since is not None:
            name = f"q.{self._quoted(since.column)}"
            sql, bound = f"{sql} WHERE {name} >= :{_BEGINS} OR {name} IS NULL", {_BEGINS: since.begins}
        try:
            result = self._connection.execute(text(sql).bindparams(**bound))
        except (SQLAlchemyError, ValueError) as error:
            raise self._refused(error) from None
        names = list(result.keys())
        if self._types is None and since is not None and names == list(since.types):
            self._types = list(since.types.values())
        batches = self._rows_of(result)
        first = next(batches, [])
        if self._types is None:
            self._types = [_type_of(column) for column in _columns(first, len(names))]
        exposed = pa.schema([(n, _shown(t)) for n, t in zip(names, self._types, strict=True)])
        return pa.RecordBatchReader.from_batches(exposed, self._batches(first, batches, exposed))

    def _rows_of(self, result: Any) -> Iterator[Sequence[Any]]:
        try:
            while rows := result.fetchmany(BATCH_ROWS):
                yield rows
        except SQLAlchemyError as error:
            raise self._refused(error) from None
        finally:
            result.close()

    def _batches(
        self, first: Sequence[Any], others: Iterator[Sequence[Any]], exposed: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """Rows as Arrow; where values are of other types, the rest is only looked at, for the types to begin with."""
        known, fits = list(self._types or ()), True
        for rows in _chained(first, others):
            columns = _columns(rows, len(known))
            seen = [_unified(t, _type_of(c)) for t, c in zip(known, columns, strict=True)]
            fits = fits and all(_shown(a) == f.type for a, f in zip(seen, exposed, strict=True))
            known = seen
            if fits:
                arrays = [_array(c, f.type) for c, f in zip(columns, exposed, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=exposed)
        self._types = known
        if not fits:
            raise RetypedError

    def _refused(self, error: Exception) -> PropendError:
        what = f"the table {self._wanted.table!r}" if self._wanted.table is not None else "the query"
        return DatabaseRefusedError(
            f"Reading {what} of {self._address.place!r} fails: {_said(error, self._address)}",
            "correct the query or the name of the table, or give the account the right to read it.",
            database=self._address.place, table=self._wanted.table,
        )  # fmt: skip


def _chained(first: Sequence[Any], others: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    if first:
        yield first
    yield from others


def _columns(rows: Sequence[Any], count: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


# --- types --------------------------------------------------------------------------------------------------

_MOMENT, _ZONED = pa.timestamp("us"), pa.timestamp("us", "UTC")


def _type_of(values: Sequence[Any]) -> pa.DataType:
    """The narrowest type that holds all values."""
    found = pa.null()
    for kind in {type(v) if not isinstance(v, datetime) else (_zone_of, bool(v.tzinfo)) for v in values}:
        found = _unified(found, _of_kind(kind))
    if pa.types.is_int64(found) and any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values):
        return pa.string()
    return found


def _zone_of() -> None:
    """Marks moments among the types of values."""


def _of_kind(kind: Any) -> pa.DataType:
    if kind is type(None):
        return pa.null()
    if isinstance(kind, tuple):
        return _ZONED if kind[1] else _MOMENT
    for python, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64()), (Decimal, pa.float64())):
        if issubclass(kind, python):
            return arrow
    if issubclass(kind, date):
        return pa.date32()
    return pa.binary() if issubclass(kind, bytes | bytearray | memoryview) else pa.string()


def _unified(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """What holds values of both types; a text where nothing else does."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {pa.int64(), pa.float64()}:
        return pa.float64()
    return _MOMENT if {one, other} == {pa.date32(), _MOMENT} else pa.string()


def _shown(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_null(kind) else kind


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([_as_text(v) for v in values], kind)
    if pa.types.is_float64(kind):
        return pa.array([None if v is None else float(v) for v in values], kind)
    if pa.types.is_timestamp(kind):
        return pa.array([_as_moment(v, kind) for v in values], kind)
    return pa.array([bytes(v) if isinstance(v, memoryview | bytearray) else v for v in values], kind)


def _as_moment(value: Any, kind: pa.DataType) -> Any:
    if value is None or isinstance(value, datetime):
        return value.astimezone(UTC) if value is not None and kind.tz else value
    return datetime(value.year, value.month, value.day)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


# --- connecting ---------------------------------------------------------------------------------------------


def _connected(address: Address) -> Connection:
    """A connection that only reads, as far as the database knows of such.

    Raises:
        DatabaseUnreachableError: nobody answers there, or does not let us in, or the driver is not installed.
    """
    try:
        engine = create_engine(address.url, poolclass=NullPool, hide_parameters=True)
        connection = engine.connect().execution_options(stream_results=True, max_row_buffer=BATCH_ROWS)
    except ModuleNotFoundError as error:
        raise DatabaseUnreachableError(
            f"The driver {error.name!r} for {address.scheme!r} is not installed.",
            "install it, or name another in the address, such as mysql+pymysql://.",
            library=error.name,
        ) from None
    except (NoSuchModuleError, ArgumentError) as error:
        raise DatabaseUnreachableError(
            f"No database is known by {address.scheme!r}: {_said(error, address)}",
            "SQLAlchemy's name of it is needed, such as postgresql, mysql+pymysql, mssql+pyodbc, oracle+oracledb.",
        ) from None
    except (SQLAlchemyError, ValueError) as error:
        raise DatabaseUnreachableError(
            f"The database {address.place!r} cannot be reached: {_said(error, address)}",
            "look at host, port, user and database in the address, and at the password where it is kept.",
            database=address.place,
        ) from None
    try:
        for statement in _BEGINNINGS.get(connection.dialect.name, ()):
            connection.exec_driver_sql(statement)
    except SQLAlchemyError as error:
        connection.close()
        raise DatabaseUnreachableError(
            f"The database {address.place!r} cannot be read: {_said(error, address)}",
            "see that it is whole, and that the account may read it.",
            database=address.place,
        ) from None
    return connection


def _said(error: Exception, address: Address) -> str:
    """The first line of what the database says, without secrets and without SQLAlchemy's own words."""
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = next((line.strip() for line in str(original).splitlines() if line.strip()), type(original).__name__)
    return address.without_secrets(said)[:300].rstrip(".") + "."
