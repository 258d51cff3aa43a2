"""Databases: PostgreSQL through ADBC, others through SQLAlchemy, and DuckDB and SQLite files where they lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from propend.connectors.files import DUCKDB, SQLITE, find_files
from propend.connectors.libraries import load
from propend.connectors.origins import Located, Origin, Stream, Table
from propend.connectors.secrets import Address, address_of
from propend.errors import DatabaseRefusedError, SourceUnreadableError

POSTGRES = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+adbc")
SQLITE_URL = re.compile(r"sqlite(\+\w+)?:///", re.IGNORECASE)
"""A file, by whichever driver: it is looked at before anything opens it."""
OWN_FOLDER = ".propend"
"""What a workspace keeps for itself is no source."""
_STARTS = re.compile(r"\s*(\(\s*)*(select|with|values|table|from)\b", re.IGNORECASE)
_APART = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)
"""Texts, names and remarks, in which a semicolon ends nothing."""


class DatabaseConnector:
    """Tables of databases, and queries that databases answer."""

    name = "databases"

    def accepts(self, origin: Origin) -> bool:
        return origin.table is not None

    def locate(self, origin: Origin) -> Located:
        """One stream of rows.

        Raises:
            DatabaseUnreachableError: nothing is kept under the name of the address, or nobody answers there.
            DatabaseRefusedError: there is no such table, or the query is not a single reading statement.
            SourceNotFoundError, SourceUnreadableError: a file is not there, or is no database.
        """
        wanted = origin.table or Table("")
        if wanted.query is not None:
            check_single_select(wanted.query)
        address = address_of(wanted.database)
        stream, kind = _stream(address, wanted, origin)
        return Located(wanted.name, kind, streams=(stream,))


def _stream(address: Address, wanted: Table, origin: Origin) -> tuple[Stream, str]:
    """The rows, and what kind of database they are in."""
    if address.scheme in POSTGRES:
        stream: Any = load("propend.connectors.postgres").stream(address, wanted, origin.links)
        return stream, "postgresql"
    alchemy = load("propend.connectors.alchemy")
    if address.scheme and not SQLITE_URL.match(address.url):
        return alchemy.stream(address, wanted, origin.links), address.scheme.partition("+")[0]
    file = _file(SQLITE_URL.sub("", address.url, count=1), origin.folder)
    kind = kind_of_file(file)
    if kind == "duckdb":
        return load("propend.connectors.duckdb_files").stream(file, wanted, origin.links), kind
    return alchemy.sqlite_stream(file, wanted, origin.links), kind


def _file(path: str, folder: Path) -> Path:
    found = find_files(path, folder)
    if len(found) != 1 or OWN_FOLDER in found[0].resolve().parts:
        raise SourceUnreadableError(
            f"{path!r} is not one file with a database of yours.", "name the file of a DuckDB or SQLite database."
        )
    return found[0]


def kind_of_file(path: Path) -> str:
    """``duckdb`` or ``sqlite``, by the first bytes.

    Raises:
        SourceUnreadableError: it is neither.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise SourceUnreadableError(
            f"{path.name!r} cannot be opened: {error.strerror}.",
            "give the account that runs propend the right to read it.",
            path=str(path),
        ) from None
    if head.startswith(SQLITE):
        return "sqlite"
    if head[8:12] == DUCKDB:
        return "duckdb"
    raise SourceUnreadableError(
        f"{path.name!r} is neither a DuckDB nor an SQLite database: it begins with {head[:12]!r}.",
        "name Parquet, CSV and JSON files as `path:`, and databases on servers by their address.",
        path=str(path),
    )


def check_single_select(query: str) -> None:
    """Refuse what is not one reading statement; that nothing is written, the connection sees to.

    Raises:
        DatabaseRefusedError: as said.
    """
    bare = _APART.sub(lambda m: " " if m.group().startswith(("--", "/*")) else "''", query).strip().rstrip(";")
    if not _STARTS.match(bare) or ";" in bare:
        raise DatabaseRefusedError(
            "The query is not a single reading statement.",
            "write one SELECT or WITH; what it gives is narrowed further by propend.",
        )
