"""What connectors are asked and what they answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.dataset as pads

from propend.predicates import quote_text
from propend.protection import ANYWHERE, Reach

FileFormat = Literal["parquet", "csv", "json"]
Compression = Literal["none", "gzip", "zstd"]


class Links:
    """Connections that stay open while the sources of a data section are read, so that all are of one moment."""

    def __init__(self) -> None:
        """Nothing is open yet."""
        self._open: dict[str, Any] = {}

    def of(self, address: str, connect: Callable[[], Any]) -> Any:
        """The connection to an address, made where there is none yet."""
        if address not in self._open:
            self._open[address] = connect()
        return self._open[address]

    def close(self) -> None:
        """Close them all."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()


@dataclass(frozen=True)
class Table:
    """What a document names in a database.

    Attributes:
        database: as written: an address, where one is kept, or a file.
        table: its name; or else
        query: a SELECT in the database's own SQL.
    """

    database: str
    table: str | None = None
    query: str | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.table if self.table is not None else "query"


@dataclass(frozen=True)
class Origin:
    """Where a document says that data is.

    Attributes:
        paths: one or several paths, globs, addresses or names of tables, as written.
        folder: what relative paths are relative to.
        tables: in-memory tables by name.
        scratch: a folder for files made on the way; removed with the session.
        version: of a Delta or Iceberg table: its version or snapshot, or the time as of which it is read; the newest
            where None.
        since: partitions of days before it are not read.
        reach: what addresses may lead to.
        table: what is named in a database, where there are no paths.
        links: connections that are open already.
    """

    paths: tuple[str, ...]
    folder: Path
    tables: Mapping[str, Any]
    scratch: Path
    version: int | str | None = None
    since: date | None = None
    reach: Reach = ANYWHERE
    table: Table | None = None
    links: Links = field(default_factory=Links, compare=False)

    @property
    def name(self) -> str:
        if self.table is not None:
            return self.table.name
        return ", ".join(self.paths[:3]) + (f" and {len(self.paths) - 3} more" if len(self.paths) > 3 else "")


@dataclass(frozen=True)
class FileGroup:
    """Files of one format that are read alike.

    Attributes:
        paths: absolute, sorted.
        encoding: what a text file was written in; what is read is always UTF-8.
        columns: of CSV: names of the header, all read as text.
        delimiter, quote, escape: of CSV.
        partitions: columns that folders named ``column=value`` give, each with its type in SQL.
    """

    format: FileFormat
    paths: tuple[Path, ...]
    compression: Compression = "none"
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    partitions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Since:
    """Only rows from a time on are asked for, and those without a time.

    Attributes:
        column: of the time.
        begins: the first time, in the column's own clock: a moment with or without a zone, in whole seconds, a date, or
            the text that those of later times do not come before.
        types: of all columns in rows that were read before; for streams that find types in the values.
    """

    column: str
    begins: datetime | date | str
    types: Mapping[str, pa.DataType]

    @property
    def literal(self) -> str:
        """``begins`` as PostgreSQL and DuckDB read it."""
        if isinstance(self.begins, datetime):
            kind = "TIMESTAMP" if self.begins.tzinfo is None else "TIMESTAMPTZ"
            return f"{kind} {quote_text(self.begins.isoformat(' '))}"
        return f"{'DATE ' if isinstance(self.begins, date) else ''}{quote_text(str(self.begins))}"


class RetypedError(Exception):
    """Values came that the types of a stream so far do not hold; it is to be read again, and knows better then."""


class Stream(Protocol):
    """Rows that come in batches."""

    def read(self, since: Since | None = None) -> pa.RecordBatchReader:
        """All rows, in any order; one reader at a time.

        Args:
            since: only these rows.

        Raises:
            RetypedError: while reading, where values are of other types than those seen first.
            DatabaseUnreachableError, DatabaseRefusedError: they do not come.
        """
        ...


@dataclass(frozen=True)
class Located:
    """What to read: groups of files, tables, or both; or streams; all are put together by name of column.

    Attributes:
        tables: in memory; or data sets, of which the engine reads the columns that it needs; or streams, which it reads
            once and keeps as Parquet in its scratch folder, batch by batch.
        left_out: files of partitions that were not asked for (``Origin.since``).
        streams: of databases, which may have to be read twice.
    """

    name: str
    format: str
    groups: tuple[FileGroup, ...] = ()
    tables: tuple[pa.Table | pads.Dataset | pa.RecordBatchReader, ...] = field(default=())
    left_out: int = 0
    streams: tuple[Stream, ...] = field(default=())


def moment_of(time: str) -> int:
    """Milliseconds since 1970 of a time such as ``2024-03-01T12:00:00+01:00``; UTC where it names no zone.

    Raises:
        ValueError: it is none.
    """
    found = datetime.fromisoformat(time)
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def is_address(path: str) -> bool:
    """Whether a path is an address such as ``s3://bucket/orders``, not a name on a disk."""
    return bool(_SCHEME.match(path))


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|iceberg:")


class Connector(Protocol):
    """Recognises origins and says what to read."""

    name: str

    def accepts(self, origin: Origin) -> bool:
        """Whether the origin is of this connector's kind."""
        ...

    def locate(self, origin: Origin) -> Located:
        """What to read.

        Raises:
            SourceNotFoundError: there is nothing there.
            SourceUnreadableError: what is there cannot be read.
        """
        ...
