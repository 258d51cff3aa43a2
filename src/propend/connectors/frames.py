"""Tables passed from Python: pandas, polars, Arrow or anything that speaks the Arrow C stream."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from propend.connectors.origins import Located, Origin
from propend.errors import SourceUnreadableError


class FrameConnector:
    """In-memory tables by their name in ``tables``."""

    name = "tables"

    def accepts(self, origin: Origin) -> bool:
        return bool(origin.paths) and all(p in origin.tables for p in origin.paths)

    def locate(self, origin: Origin) -> Located:
        """The named tables, as Arrow.

        Raises:
            SourceUnreadableError: one is not a table, or its columns cannot be told apart.
        """
        tables = tuple(as_arrow(origin.tables[p], p) for p in origin.paths)
        return Located(origin.name, "table", tables=tables)


def as_arrow(table: Any, name: str) -> pa.Table:
    """Any table as an Arrow table; rows are not copied where the other library allows it.

    Raises:
        SourceUnreadableError: it is not a table, or column names repeat.
    """
    try:
        found = _arrow_table(table)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise SourceUnreadableError(
            f"The table {name!r} of type {type(table).__name__} cannot be read: {_first_line(error)}.",
            "pass a pandas, polars or Arrow table whose columns each hold one type.",
            path=name,
        ) from None
    folded = [c.casefold() for c in found.column_names]
    twice = sorted({c for c in found.column_names if folded.count(c.casefold()) > 1})
    if twice:
        raise SourceUnreadableError(
            f"The table {name!r} has columns of one name: {', '.join(map(repr, twice))}.",
            "give each column its own name; case does not count.",
            path=name,
        )
    return found


def _arrow_table(table: Any) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, pa.RecordBatchReader):
        return table.read_all()
    if hasattr(table, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(table).read_all()
    return pa.table(table)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
