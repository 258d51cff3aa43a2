"""Scores as a table that a spreadsheet opens: factors as labels, and no text that it would take for a formula."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv


def as_csv(table: pa.Table, head: bool) -> bytes:
    """Rows of scores as CSV; ``head``: with the names of the columns before them."""
    sink = pa.BufferOutputStream()
    pacsv.write_csv(for_sheets(table), sink, pacsv.WriteOptions(include_header=head))
    return bytes(sink.getvalue())


def for_sheets(table: pa.Table) -> pa.Table:
    """The columns of a sheet: ``raised_by`` and ``lowered_by`` in place of factors, one for each horizon."""
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks() if table.num_rows else pa.array([], table.schema.field(name).type)
        if name == "factors":
            columns["raised_by"], columns["lowered_by"] = (guarded(_labels(column, up)) for up in (True, False))
        elif name == "horizons":
            columns |= _of_horizons(column)
        else:
            columns[name] = guarded(column) if pa.types.is_string(column.type) else column
    return pa.table(columns)


def guarded(texts: pa.Array) -> pa.Array:
    """Texts that begin as a formula does, with an apostrophe before them."""
    return pc.replace_substring_regex(texts, pattern=r"^([=+\-@\t\r])", replacement=r"'\1")


def _labels(lists: pa.Array, raises: bool) -> pa.Array:
    """For each profile the labels of the factors that raise, or lower, its score, strongest first."""
    factors = pc.list_flatten(lists)
    impact = pc.struct_field(factors, "impact")
    meant = pc.greater(impact, 0) if raises else pc.less(impact, 0)
    labels = pc.if_else(meant, pc.struct_field(factors, "label"), pa.scalar(None, pa.string()))
    counts = pc.fill_null(pc.list_value_length(lists), 0)
    ends = pc.cumulative_sum(pc.cast(counts, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    kept = pa.ListArray.from_arrays(offsets, labels)
    return pa.array(["; ".join(t for t in texts if t is not None) for texts in kept.to_pylist()], pa.string())


def _of_horizons(column: pa.Array) -> dict[str, Any]:
    """One column for each horizon; every row has the same ones."""
    rows = column.to_pylist()
    days = [h["days"] for h in next((row for row in rows if row), [])]
    return {f"probability_{d}_days": pa.array([r[i]["probability"] for r in rows]) for i, d in enumerate(days)}
