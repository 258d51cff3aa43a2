"""PostgreSQL through ADBC: rows come as Arrow, in the server's binary form, and are read as of one moment."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pyarrow as pa
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi

from propend.connectors.origins import Links, Since, Table
from propend.connectors.secrets import Address
from propend.document import nearest
from propend.errors import DatabaseRefusedError, DatabaseUnreachableError, PropendError
from propend.predicates import quote_name

CONNECT_SECONDS = 15
STATEMENT_TIMEOUT = "-c statement_timeout=1h"
"""Unless the address says otherwise."""
_ALWAYS = (
    "-c default_transaction_read_only=on", r"-c default_transaction_isolation=repeatable\ read", "-c TimeZone=UTC",
    "-c standard_conforming_strings=on",  # a backslash in a literal is one, whatever the database says otherwise
)  # fmt: skip
_PLAIN = frozenset(
    (
        *("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "name", "bytea"),
        *("_text", "_varchar", "_int2", "_int4", "_int8", "_float4", "_float8", "_bool"),
    )
)
"""Types whose Arrow form is read as it is; others are cast by the server."""
_WHOLE_DIGITS = 18
"""Whole numbers of so many digits are counted exactly in 64 bits."""


def stream(address: Address, wanted: Table, links: Links) -> PostgresStream:
    """The rows of a table or query.

    Raises:
        DatabaseUnreachableError, DatabaseRefusedError: as when connecting, and as when asking.
    """
    connection = links.of(address.url, lambda: _connected(address))
    return PostgresStream(connection, address, wanted)


class PostgresStream:
    """Rows of one table or query (``Stream``)."""

    def __init__(self, connection: Any, address: Address, wanted: Table) -> None:
        """Looks the columns up.

        Raises:
            DatabaseRefusedError: there is no such table, or it may not be read.
        """
        self._connection, self._address, self._wanted = connection, address, wanted
        named = ".".join(quote_name(part) for part in (wanted.table or "").split("."))
        self._rows = f"(\n{(wanted.query or '').strip().rstrip(';')}\n)" if wanted.query is not None else named
        with connection.cursor() as cursor:
            try:
                self._schema: pa.Schema = cursor.adbc_execute_schema(f"SELECT * FROM {self._rows} AS q")
            except Error as error:
                raise self._refused(error) from None

    def read(self, since: Since | None = None) -> pa.RecordBatchReader:
        columns = ", ".join(_selected(field) for field in self._schema)
        where = f" WHERE {_not_before(since)}" if since is not None else ""
        cursor = self._connection.cursor()
        try:
            cursor.execute(f"SELECT {columns} FROM {self._rows} AS q{where}")
            reader = cursor.fetch_record_batch()
        except Error as error:
            cursor.close()
            raise self._refused(error) from None
        return pa.RecordBatchReader.from_batches(reader.schema.remove_metadata(), self._batches(cursor, reader))

    def _batches(self, cursor: Any, reader: pa.RecordBatchReader) -> Any:
        schema = reader.schema.remove_metadata()
        try:
            for batch in reader:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
        except (Error, pa.ArrowException, OSError) as error:
            raise self._refused(error) from None
        finally:
            cursor.close()

    def _refused(self, error: Exception) -> PropendError:
        """What the server says, in words for whoever wrote the document."""
        state, said = str(getattr(error, "sqlstate", None) or ""), _said(error, self._address)
        table, place = self._wanted.table, self._address.place
        what = f"the table {table!r}" if table is not None else "the query"
        facts = {"database": place, "table": table, "sqlstate": state}
        if not state and "onnect" in said:
            message = f"The connection to {place!r} broke off: {said}"
            return DatabaseUnreachableError(message, "run it again.", **facts)
        message = f"Reading {what} of {place!r} fails: {said}"
        hint = "correct the query, or the name of the table."
        if state in ("42P01", "3F000") and table is not None:
            near = self._nearest_table(table)
            message = f"There is no table {table!r} in {place!r}."
            hint = f"did you mean {near!r}?" if near else "name it as schema.table, as the account sees it."
        elif state == "42501":
            message = f"The account may not read {what} of {place!r}: {said}"
            hint = "GRANT SELECT on it, and USAGE on its schema, to the account."
        elif state == "57014" or "statement timeout" in said:
            message = f"Reading {what} of {place!r} was stopped by the server: {said}"
            hint = (
                "read less, or allow it more time at the end of the address, as ?options=-c%20statement_timeout%3D3h "
                "(an hour otherwise)."
            )
        elif state == "25006" or "read-only transaction" in said:
            message, hint = "The query would write, and data is only ever read.", "write a SELECT."
        return DatabaseRefusedError(message, hint, **facts)

    def _nearest_table(self, wanted: str) -> str:
        """The name, with its schema, of the table most like it; the failed transaction is given up first."""
        try:
            self._connection.rollback()
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "SELECT table_schema || '.' || table_name, table_name FROM information_schema.tables "
                    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1 LIMIT 5000"
                )
                rows = cursor.fetchall()
        except Error:
            return ""  # the refusal that is being told matters more
        by_name = {str(row["." not in wanted]): str(row[0]) for row in reversed(rows)}
        return by_name.get(nearest(wanted, by_name), "")


def _selected(field: pa.Field) -> str:
    """A column in a type that everything after it reads; what Arrow has no form of, as NaN or infinity, is empty."""
    name, metadata = quote_name(field.name), field.metadata or {}
    kind = metadata.get(b"POSTGRESQL:type", b"").decode()
    if kind in ("date", "timestamp", "timestamptz"):
        return f"CASE WHEN isfinite(q.{name}) THEN q.{name} END AS {name}"
    if kind in _PLAIN:
        return f"q.{name}"
    if kind == "numeric":
        whole = _is_whole(int(metadata.get(b"POSTGRESQL:typmod", b"-1")))
        return f"nullif(q.{name}, 'NaN')::{'bigint' if whole else 'float8'} AS {name}"
    return f"q.{name}::numeric::float8 AS {name}" if kind == "money" else f"q.{name}::text AS {name}"


def _not_before(since: Since) -> str:
    """Whether a row is of that time or later, or has none; texts are compared by their bytes, as they are here."""
    name = f"q.{quote_name(since.column)}"
    if isinstance(since.begins, str):
        return f'({name}::text COLLATE "C" >= {since.literal} OR {name} IS NULL)'
    return f"({name} >= {since.literal} OR {name} IS NULL OR {name} = '-infinity')"


def _is_whole(modifier: int) -> bool:
    """Whether numeric(p, s) is declared without decimals, and short enough."""
    return modifier >= 4 and (modifier - 4) & 0xFFFF == 0 and (modifier - 4) >> 16 <= _WHOLE_DIGITS


def _connected(address: Address) -> Any:
    """A connection that reads only, as of the moment of its first statement.

    Raises:
        DatabaseUnreachableError: nobody answers there, or does not let us in.
    """
    parts = urlsplit(address.url)
    options = dict(parse_qsl(parts.query))
    options["options"] = " ".join((STATEMENT_TIMEOUT, options.get("options", ""), *_ALWAYS))
    options.setdefault("connect_timeout", str(CONNECT_SECONDS))
    options.setdefault("application_name", "propend")
    if not address.takes_common_password:
        options["password"] = ""
    url = parts._replace(scheme="postgresql", query=urlencode(options, quote_via=quote)).geturl()
    try:
        return dbapi.connect(url)
    except Error as error:
        said = _said(error, address)
        raise DatabaseUnreachableError(
            f"The database {address.place!r} cannot be reached: {said}", _hint(said), database=address.place
        ) from None


def _hint(said: str) -> str:
    if "translate host name" in said:
        return "look at the host's name in the address; it is looked up where propend runs."
    if "password" in said or "authentication" in said or "pg_hba" in said or "role" in said:
        return (
            "look at user and password: in the address that a variable holds (database: env:NAME), or in "
            "PROPEND_DB_PASSWORD_ and the host's name."
        )
    if "does not exist" in said:
        return "look at the name of the database at the end of the address."
    return "look at host and port, and whether the server lets this machine in."


def _said(error: Exception, address: Address) -> str:
    """The first line of what the server or the driver says, without secrets and without the driver's own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = re.sub(r"^[A-Z_]+: |\[libpq\] |Failed to [a-z ]+('.*?')?: |could not begin COPY: ", "", lines[0])
    text = re.sub(r"^.*?(ERROR|FATAL):\s+", "", text)
    return address.without_secrets(text)[:300].rstrip(".") + "."
