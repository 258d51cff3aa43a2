"""Tables passed from Python: pandas, polars, Arrow or anything that speaks the Arrow C stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
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
        SourceUnreadableError: it is not a table, or column names are missing or repeat.
    """
    if _is_pandas(table):
        _check_names(list(map(str, table.columns)), name)  # Arrow says it worse
    try:
        found = _arrow_table(table)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise SourceUnreadableError(
            f"The table {name!r} of type {type(table).__name__} cannot be read: {_first_line(error)}.",
            "pass a pandas, polars or Arrow table, in memory, whose columns each hold one type.",
            path=name,
        ) from None
    _check_names(found.column_names, name)
    return _readable(found)


def _is_pandas(table: Any) -> bool:
    return all(hasattr(table, a) for a in ("reset_index", "dtypes", "columns"))


def _check_names(names: list[str], name: str) -> None:
    """Columns must be there, and be told apart without case."""
    folded = [n.casefold() for n in names]
    twice = sorted({n for n in names if folded.count(n.casefold()) > 1})
    if names and not twice:
        return
    problem = f"columns of one name: {', '.join(map(repr, twice))}" if twice else "no columns"
    hint = "give each column its own name; case does not count." if twice else "pass a table that holds events."
    raise SourceUnreadableError(f"The table {name!r} has {problem}.", hint, path=name)


def _arrow_table(table: Any) -> pa.Table:
    if isinstance(table, pa.Table):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if isinstance(table, pa.RecordBatchReader):
        return table.read_all()
    if _is_pandas(table):
        return _from_pandas(table)
    if hasattr(table, "collect") and not hasattr(table, "__arrow_c_stream__"):
        raise TypeError("it is not computed yet")
    _check_no_objects(table)
    if hasattr(table, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(table).read_all()
    return pa.table(table)


def _from_pandas(frame: Any) -> pa.Table:
    """A pandas table; columns of mixed Python values, as worksheets give them, become texts."""
    try:
        return pa.Table.from_pandas(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        mixed = [c for c, kind in frame.dtypes.items() if str(kind) == "object" and _is_mixed(frame[c])]
        if not mixed:
            raise
        return pa.Table.from_pandas(frame.assign(**{c: frame[c].map(_as_text) for c in mixed}))


_ROW_NUMBERS = re.compile(r"__index_level_\d+__")
_PLAIN = (str, int, float, Decimal, date, time, UUID, np.generic)


def _is_mixed(values: Any) -> bool:
    """Whether plain values of several types stand in a column of objects."""
    kinds = {type(v) for v in values if not _is_missing(v)}
    return len(kinds) > 1 and all(issubclass(k, _PLAIN) for k in kinds)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NaTType", "NAType") or (value != value)  # noqa: PLR0124  NaN


def _as_text(value: Any) -> str | None:
    """A value as it would stand in a CSV; whole numbers without decimals."""
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating | Decimal) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    return str(value)


def _check_no_objects(table: Any) -> None:
    """Polars hands Python objects over as bare addresses."""
    kinds: Any = getattr(table, "schema", None)
    objects = [n for n, kind in kinds.items() if str(kind) == "Object"] if isinstance(kinds, Mapping) else []
    if objects:
        raise TypeError(f"columns of Python objects: {', '.join(map(repr, objects))}")


def _readable(table: pa.Table) -> pa.Table:
    """The table in types that every engine reads, without the row numbers that pandas adds as a column."""
    kept = table.select([n for n in table.column_names if not _ROW_NUMBERS.fullmatch(n)])
    for i, column in enumerate(kept.schema):
        if pa.types.is_float16(column.type):
            kept = kept.set_column(i, column.name, kept.column(i).cast(pa.float32()))
    return kept


def _first_line(error: Exception) -> str:
    """An error's text on one line; Arrow gives a reason and a place apart."""
    parts = [str(a) for a in error.args] or [type(error).__name__]
    return "; ".join(part.splitlines()[0].rstrip(".") for part in parts if part.strip())
