"""What the SQL of an engine is run by: the few calls everything else needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.dataset as pads

from propend.connectors.origins import Links
from propend.protection import Mirrors, Reach


class Database(Protocol):
    """A connection to an SQL engine with a scratch folder."""

    scratch: Path
    reach: Reach
    mirrors: Mirrors | None
    """Where rows of incremental sources are kept; nowhere where None."""
    links: Links
    """To the databases that sources are read from."""

    def run(self, sql: str) -> None:
        """Run a statement."""
        ...

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        ...

    def arrays(self, sql: str) -> dict[str, Any]:
        """A query's columns as NumPy arrays, by name."""
        ...

    def batches(self, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A query's rows as they come, in any order, about so many at a time."""
        ...

    def accepts(self, sql: str) -> bool:
        """Whether a query can be run."""
        ...

    def register(self, name: str, table: pa.Table | pads.Dataset | pa.RecordBatchReader) -> None:
        """Make an Arrow table or data set readable by a name; what is passed as it comes can be read once."""
        ...

    def release(self, name: str) -> None:
        """Forget what was registered by a name."""
        ...

    def new_name(self, stem: str) -> str:
        """A name that no table or type has yet."""
        ...

    def run_query(self, table: str, query: str, folder: Path, place: str) -> None:
        """Keep what a document's own query gives as a table.

        Raises:
            SourceUnreadableError: it is not a single reading statement, or it fails.
        """
        ...

    def reading(self, place: str) -> AbstractContextManager[None]:
        """Failures inside become ``SourceUnreadableError`` of the named source."""
        ...
