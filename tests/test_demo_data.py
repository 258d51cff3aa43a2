"""The shipped order log: its schema and facts, held against its source where that is at hand."""

from __future__ import annotations

import importlib.util
import os
from datetime import datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from propend.demo import instance_texts, orders_path
from propend.goal import Did
from propend.instance import Instance

ROOT = Path(__file__).parents[1]
LIMIT_BYTES = 1_200_000


def shared_file(relative: str) -> Path:
    """A file of the development data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("PROPEND_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / relative).is_file():
        pytest.skip(f"needs {relative} in $PROPEND_SHARED_DATA or in ../shared/data")
    return folder / relative


def derivation() -> ModuleType:
    """The script that derives the shipped file."""
    spec = importlib.util.spec_from_file_location("derive", ROOT / "benchmarks" / "derive_demo_orders.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    return pq.read_table(orders_path()).to_pandas()


def facts(orders: pd.DataFrame) -> dict[str, tuple[int, int, float]]:
    """Per kind: orders, profiles, sum of amounts."""
    grouped = orders.groupby("kind")
    return {
        str(kind): (len(part), part.customer_id.nunique(), round(float(part.amount.sum()), 2)) for kind, part in grouped
    }


def test_schema_is_compact_and_complete() -> None:
    schema = pq.read_schema(orders_path())
    assert {n: str(t) for n, t in zip(schema.names, schema.types, strict=True)} == {
        "customer_id": "string",
        "ordered_at": "timestamp[us]",
        "kind": "string",
        "amount": "double",
        "country": "string",
        "category": "string",
        "items": "int16",
    }
    assert orders_path().stat().st_size < LIMIT_BYTES
    column = pq.read_metadata(orders_path()).row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_facts_of_the_shipped_orders(orders: pd.DataFrame) -> None:
    assert facts(orders) == {
        "purchase": (29_534, 5_224, 13_478_726.70),
        "cancellation": (6_152, 2_167, 454_217.53),
    }
    assert orders.customer_id.nunique() == 5_248
    assert (orders.ordered_at.min(), orders.ordered_at.max()) == (
        datetime(2009, 12, 1, 7, 45),
        datetime(2011, 8, 31, 17, 31),
    )
    assert orders.ordered_at.is_monotonic_increasing
    assert not orders.isna().to_numpy().any()
    assert (orders.amount > 0).all() and (orders["items"] > 0).all()
    assert orders.category.nunique() == 16
    assert (orders.category == "other").mean() < 0.05
    assert (orders.country == "United Kingdom").mean() == pytest.approx(0.912, abs=0.001)


def test_demo_instances_are_valid_and_ask_what_they_say() -> None:
    loaded = {name: Instance.load(yaml.safe_load(text)) for name, text in instance_texts().items()}
    assert {n: (i.type, i.goal.group.combinator, i.goal.within_days) for n, i in loaded.items()} == {
        "purchase": ("conversion", "all_of", 30),
        "churn": ("churn", "none_of", 90),
    }
    for instance in loaded.values():
        assert instance.eligible is not None
        assert instance.eligible.lines == (Did(did="buy", within_days=365),)
        (source,) = instance.data.events
        assert source.path == orders_path().name
        columns = instance.data.columns
        roles = {columns.profile, columns.at, columns.event, columns.value}
        assert roles <= set(pq.read_schema(orders_path()).names)


def test_shipped_orders_are_those_of_the_source(orders: pd.DataFrame) -> None:
    lines = pq.read_table(shared_file("online_retail_ii/lines.parquet")).to_pandas().drop_duplicates()
    goods = lines[lines.CustomerID.notna() & lines.StockCode.str.match(r"\d{5}") & (lines.UnitPrice > 0)]
    goods = goods.assign(worth=(goods.Quantity * goods.UnitPrice).abs())
    invoices = goods.groupby("InvoiceNo").agg(
        customer_id=("CustomerID", "first"),
        ordered_at=("InvoiceDate", "min"),
        amount=("worth", "sum"),
        items=("worth", "size"),
    )
    invoices["kind"] = np.where(invoices.index.str.startswith("C"), "cancellation", "purchase")
    again = invoices.sort_values(["ordered_at", "customer_id", "amount"])
    shipped = orders.sort_values(["ordered_at", "customer_id", "amount"])
    for column in ("customer_id", "ordered_at", "kind", "items"):
        assert shipped[column].tolist() == again[column].tolist(), column
    assert shipped.amount.to_numpy() == pytest.approx(again.amount.to_numpy(), abs=0.006)


def test_deriving_again_gives_the_shipped_rows(tmp_path: Path) -> None:
    source = shared_file("online_retail_ii/lines.parquet")
    assert derivation().derive(source, tmp_path / "orders.parquet") == 35_686
    assert pq.read_table(tmp_path / "orders.parquet").equals(pq.read_table(orders_path()))


def test_credits_name_source_licence_and_author() -> None:
    text = (orders_path().parent / "CREDITS.md").read_text(encoding="utf-8")
    assert [w in text for w in ("Daqing Chen", "CC BY 4.0", "data set 502", "What was changed")] == [True] * 4
