"""Arrow columns as JSON, without an object of Python for each row."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def as_json(values: pa.Array, sparse: bool = False) -> pa.StringArray:
    """Each value as JSON text; of a value that is missing, or no finite number, ``null``.

    Args:
        sparse: whether objects leave out what is missing.
    """
    kind = values.type
    if pa.types.is_struct(kind):
        return _objects(values, sparse)
    if pa.types.is_list(kind):
        return _lists(values, sparse)
    if pa.types.is_floating(kind):
        found = pc.if_else(pc.is_finite(values), pc.cast(values, pa.string()), pa.scalar(None, pa.string()))
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        found = pc.cast(values, pa.string())
    else:
        found = _dictionary(values)
    return pc.fill_null(found, "null")


def rows_as_json(batch: pa.RecordBatch, sparse: bool = False) -> pa.StringArray:
    """Each row as a JSON object."""
    return _objects(pa.StructArray.from_arrays(batch.columns, names=batch.schema.names), sparse)


def _dictionary(values: pa.Array) -> pa.StringArray:
    """Texts and instants: each different one is written once."""
    coded = values.dictionary_encode()
    texts = [_text(value) for value in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(coded.indices)


def _text(value: Any) -> str:
    return json.dumps(value if isinstance(value, str) else value.isoformat(), ensure_ascii=False)


def _lists(values: pa.Array, sparse: bool) -> pa.StringArray:
    items = as_json(pc.list_flatten(values), sparse)
    counts = pc.cast(pc.fill_null(pc.list_value_length(values), 0), pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts)])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, items), ",")
    found = pc.binary_join_element_wise("[", joined, "]", "")
    return pc.if_else(pc.is_valid(values), found, "null")


def _objects(values: pa.StructArray, sparse: bool) -> pa.StringArray:
    parts: list[Any] = []
    for field, column in zip(values.type, values.flatten(), strict=True):
        text = pc.binary_join_element_wise(f",{json.dumps(field.name)}:", as_json(column, sparse), "")
        parts.append(pc.if_else(pc.is_valid(column), text, "") if sparse else text)
    joined = pc.binary_join_element_wise(*parts, "")
    found = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")
    return pc.if_else(pc.is_valid(values), found, "null")
