"""Tables passed from Python: pandas, polars and Arrow give the same events; what is no table is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from oracle_events import load, simple_rows
from propend.connectors.frames import as_arrow
from propend.errors import NoInputDataError, SourceUnreadableError

NOON = datetime(2024, 1, 1, 12)
COLUMNS: dict[str, Any] = {
    "customer_id": ["ann", "ben", "ann"],
    "at": [NOON, datetime(2024, 1, 2), datetime(2024, 1, 3)],
    "kind": ["buy", "visit", "buy"],
    "amount": [5.0, None, 7.5],
}
ROWS = [
    ("ann", "2024-01-01 12:00:00", "buy", 5.0),
    ("ann", "2024-01-03 00:00:00", "buy", 7.5),
    ("ben", "2024-01-02 00:00:00", "visit", None),
]
ARROW = pa.table(COLUMNS)
TABLES: dict[str, Callable[[], Any]] = {
    "arrow": lambda: ARROW,
    "arrow batch": lambda: ARROW.to_batches()[0],
    "arrow reader": ARROW.to_reader,
    "arrow, large texts": lambda: ARROW.set_column(0, "customer_id", ARROW["customer_id"].cast(pa.large_string())),
    "arrow, coded texts": lambda: ARROW.set_column(0, "customer_id", ARROW["customer_id"].dictionary_encode()),
    "arrow, half floats": lambda: ARROW.set_column(3, "amount", ARROW["amount"].cast(pa.float16())),
    "arrow, decimals": lambda: ARROW.set_column(3, "amount", ARROW["amount"].cast(pa.decimal128(10, 2))),
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas, rows chosen": lambda: pd.DataFrame(COLUMNS).iloc[[2, 0, 1]],
    "pandas, index of times": lambda: pd.DataFrame(COLUMNS).set_index("at"),
    "pandas, categories": lambda: pd.DataFrame(COLUMNS).astype({"customer_id": "category", "kind": "category"}),
    "pandas, Arrow types": lambda: pd.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
    "pandas, nullable types": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars, categories": lambda: pl.DataFrame(COLUMNS, schema_overrides={"kind": pl.Categorical}),
    "polars, enumeration": lambda: pl.DataFrame(COLUMNS, schema_overrides={"kind": pl.Enum(["buy", "visit"])}),
    "a mapping of lists": lambda: COLUMNS,
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_the_same_events(name: str, tmp_path: Any) -> None:
    log = load({}, tmp_path, {"events": TABLES[name]()})
    assert (simple_rows(log), [f.field.name for f in log.facts.fields]) == (ROWS, [])


def test_the_row_numbers_of_pandas_are_no_column() -> None:
    chosen = pd.DataFrame({"a": [1, 2, 3]}).iloc[[2, 0]]
    assert as_arrow(chosen, "events").to_pydict() == {"a": [3, 1]}


MIXED: list[Any] = [
    536365, "C536379", 17850.0, 2.5, True, None, float("nan"), pd.NaT, pd.NA, NOON, date(2024, 1, 1), Decimal("1.50"),
    UUID(int=1), np.int64(7), np.float64(8.0),
]  # fmt: skip
AS_TEXTS = [
    "536365", "C536379", "17850", "2.5", "true", None, None, None, None, "2024-01-01 12:00:00", "2024-01-01", "1.50",
    "00000000-0000-0000-0000-000000000001", "7", "8",
]  # fmt: skip


def test_a_column_of_mixed_values_becomes_texts() -> None:
    frame = pd.DataFrame({"id": pd.Series(MIXED, dtype=object), "n": range(len(MIXED))})
    assert as_arrow(frame, "events").to_pydict() == {"id": AS_TEXTS, "n": list(range(len(MIXED)))}


def test_ids_of_mixed_type_are_those_that_a_worksheet_shows(tmp_path: Any) -> None:
    frame = pd.DataFrame({"customer_id": [17850.0, "C7", 12], "at": ["2024-01-01", NOON, None], "kind": "buy"})
    log = load({}, tmp_path, {"events": frame})
    assert simple_rows(log) == [
        ("17850", "2024-01-01 00:00:00", "buy", None),
        ("C7", "2024-01-01 12:00:00", "buy", None),
    ]
    assert log.facts.set_aside["no_time"] == 1


NO_TABLES: dict[str, tuple[Callable[[], Any], str]] = {
    "a number": (lambda: 5, "of type int cannot be read"),
    "a list": (lambda: [1, 2], "of type list cannot be read"),
    "a series": (lambda: pd.Series([1, 2]), "of type Series cannot be read"),
    "columns of two lengths": (lambda: {"a": [1], "b": [1, 2]}, "of type dict cannot be read"),
    "a frame not computed yet": (lambda: pl.DataFrame(COLUMNS).lazy(), "cannot be read: it is not computed yet."),
    "objects in polars": (
        lambda: pl.DataFrame({"kind": pl.Series([object()], dtype=pl.Object)}),
        "cannot be read: columns of Python objects: 'kind'.",
    ),
    "lists and mappings in one column": (
        lambda: pd.DataFrame({"id": [{}, [1], "a"]}),
        "Conversion failed for column id with type object.",
    ),
    "no columns in pandas": (pd.DataFrame, "The table 'events' has no columns."),
    "no columns in polars": (pl.DataFrame, "The table 'events' has no columns."),
    "one name twice in pandas": (
        lambda: pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]),
        "The table 'events' has columns of one name: 'a'.",
    ),
    "one name twice in Arrow": (
        lambda: pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
        "The table 'events' has columns of one name: 'a'.",
    ),
    "names that differ in case": (lambda: {"id": [1], "Id": [2]}, "has columns of one name: 'Id', 'id'."),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_is_refused(name: str) -> None:
    make, message = NO_TABLES[name]
    with pytest.raises(SourceUnreadableError) as caught:
        as_arrow(make(), "events")
    assert message in caught.value.message
    assert caught.value.hint


def test_a_column_without_any_value_is_there_all_the_same(tmp_path: Any) -> None:
    table = ARROW.append_column("note", pa.nulls(3))
    log = load({"columns": {"profile": "customer_id", "value": "note"}}, tmp_path, {"events": table})
    assert [row[3] for row in simple_rows(log)] == [None, None, None]
    with pytest.raises(NoInputDataError, match="3 no profile"):
        load({"columns": {"profile": "note"}}, tmp_path, {"events": table})


def test_tables_stand_in_for_paths_of_their_name(tmp_path: Any) -> None:
    tables = {
        "orders": ARROW,
        "logins": pl.DataFrame({"customer_id": ["cem"], "at": [datetime(2024, 1, 4, tzinfo=UTC)]}),
    }
    data = {"events": ["orders", {"path": "logins", "kind": "login"}]}
    assert simple_rows(load(data, tmp_path, tables)) == [*ROWS, ("cem", "2024-01-04 00:00:00", "login", None)]
