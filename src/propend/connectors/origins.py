"""What connectors are asked and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa

FileFormat = Literal["parquet", "csv", "json"]
Compression = Literal["none", "gzip", "zstd"]


@dataclass(frozen=True)
class Origin:
    """Where a document says that data is.

    Attributes:
        paths: one or several paths, globs, addresses or names of tables, as written.
        folder: what relative paths are relative to.
        tables: in-memory tables by name.
        scratch: a folder for files made on the way; removed with the session.
    """

    paths: tuple[str, ...]
    folder: Path
    tables: Mapping[str, Any]
    scratch: Path

    @property
    def name(self) -> str:
        return ", ".join(self.paths[:3]) + (f" and {len(self.paths) - 3} more" if len(self.paths) > 3 else "")


@dataclass(frozen=True)
class FileGroup:
    """Files of one format that are read alike.

    Attributes:
        paths: absolute, sorted.
        encoding: what a text file was written in; what is read is always UTF-8.
        columns: of CSV: names of the header, all read as text.
        delimiter, quote, escape: of CSV.
    """

    format: FileFormat
    paths: tuple[Path, ...]
    compression: Compression = "none"
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'


@dataclass(frozen=True)
class Located:
    """What to read: groups of files, or a table; several are put together by name of column."""

    name: str
    format: str
    groups: tuple[FileGroup, ...] = ()
    tables: tuple[pa.Table, ...] = field(default=())


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
