"""Data as lakes keep them: folders of partitions, Delta and Iceberg tables, on disks of this machine."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.utils.config import Config

import propend
from lakes import catalog_at, close, delete_by_position, mark_deleted
from oracle_events import load, look, simple_rows
from propend.connectors import Origin, connectors, locate
from propend.engines.duckdb import DuckdbDatabase
from propend.engines.relations import relation_of
from propend.errors import (
    LibraryMissingError,
    PropendError,
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
)
from propend.instance import Data
from propend.workspace.looks import state_of_files
from shops import SHOP, shop

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
SHOWN = [(p, f"{day} 00:00:00", "buy", value) for p, day, value in zip("abcd", DAYS, (1.0, 2.0, 3.0, 4.0), strict=True)]


def events(first: int = 0, end: int = 4) -> pa.Table:
    """One event of each of four profiles, on four days."""
    at = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in DAYS]
    whole = {
        "customer_id": list("abcd"),
        "at": pa.array(at, pa.timestamp("us", "UTC")),
        "kind": ["buy"] * 4,
        "amount": [1.0, 2.0, 3.0, 4.0],
    }
    return pa.table(whole).slice(first, end - first)


def write(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def by_day(folder: Path, name: str = "dt={}/part-0.parquet") -> None:
    for i, day in enumerate(DAYS):
        write(folder / name.format(day), events(i, i + 1))


def source(path: str, **more: Any) -> dict[str, Any]:
    return {"events": [{"path": path} | more]}


def rows(folder: Path, path: str, **more: Any) -> list[tuple[Any, ...]]:
    return simple_rows(load(source(path, **more), folder))


def refusal(folder: Path, path: str, expected: type[PropendError], **more: Any) -> PropendError:
    with pytest.raises(PropendError) as caught:
        look(source(path, **more), folder)
    assert (type(caught.value), bool(caught.value.hint)) == (expected, True), str(caught.value)
    return caught.value


# --- folders of partitions ----------------------------------------------------------------------------------


def fields(folder: Path, path: str, **more: Any) -> dict[str, str]:
    return {name: field.type for name, field in look(source(path, **more), folder).fields.items()}


def test_folders_are_columns_typed_by_what_is_written(tmp_path: Path) -> None:
    for i, (country, shelf) in enumerate([("de", 7), ("a%20b", 12), ("__HIVE_DEFAULT_PARTITION__", -3)]):
        write(tmp_path / f"orders/country={country}/dt={DAYS[i]}/shelf={shelf}/x.parquet", events(i, i + 1))
    found = propend_rows(tmp_path, "orders", ["country", "dt", "shelf"])
    assert found == [("a", "de", "2024-01-01", 7), ("b", "a b", "2024-01-02", 12), ("c", None, "2024-01-03", -3)]
    assert fields(tmp_path, "orders") == {"amount": "number", "country": "text", "dt": "time", "shelf": "number"}


def propend_rows(folder: Path, path: str, names: list[str]) -> list[tuple[Any, ...]]:
    """Columns of a source, as they are read."""
    database = DuckdbDatabase(None, folder)
    try:
        found = relation_of(database, locate(Origin((path,), folder, {}, database.scratch)))
        shown = ", ".join(f"CAST({n} AS VARCHAR)" if n == "dt" else n for n in ["customer_id", *names])
        return database.rows(f"SELECT {shown} FROM {found.table} ORDER BY 1")
    finally:
        database.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x=1/orders", SHOWN),
        ("x=1/orders/*/*.parquet", SHOWN),
        ("x=1/orders/dt=2024-01-0[12]/*", SHOWN[:2]),
        ("x=1/orders/dt=2024-01-02", SHOWN[1:2]),
        ("x=1/orders/dt=2024-01-02/part-0.parquet", SHOWN[1:2]),
    ],
)
def test_however_partitions_are_named_they_have_the_same_columns(
    path: str, expected: list[Any], tmp_path: Path
) -> None:
    by_day(tmp_path / "x=1/orders")
    assert rows(tmp_path, path) == expected
    assert fields(tmp_path, path) == {"amount": "number", "dt": "time"}


def test_files_of_one_folder_are_put_together_by_name(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    later = events(0, 1).append_column("colour", pa.array(["red"])).drop_columns(["amount"])
    write(tmp_path / "orders/dt=2024-01-05/part-0.parquet", later)
    assert rows(tmp_path, "orders") == sorted([*SHOWN, ("a", "2024-01-01 00:00:00", "buy", None)], key=str)
    assert fields(tmp_path, "orders") == {"amount": "number", "colour": "text", "dt": "time"}


def test_what_writers_keep_for_themselves_is_not_read(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    for name in ("_temporary/0/dt=2024-01-01/part-1.parquet", ".spark-staging/x.parquet", "dt=2024-01-01/._x.parquet"):
        write(tmp_path / "orders" / name, events())
    (tmp_path / "orders/dt=2024-01-01/.part-0.parquet.crc").write_bytes(b"crc")
    (tmp_path / "orders/_SUCCESS").touch()
    assert rows(tmp_path, "orders") == SHOWN


def test_a_partition_may_be_named_like_what_is_hidden(tmp_path: Path) -> None:
    by_day(tmp_path / "orders", "_dt={}/x.parquet")
    assert rows(tmp_path, "orders") == SHOWN


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_folders_of_text_files_are_columns_too(encoding: str, tmp_path: Path) -> None:
    for day, name in (("2024-01-01", "bén"), ("2024-01-02", "ann")):
        path = tmp_path / f"orders/dt={day}/part.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(f"customer_id,kind\n{name},buy\n".encode(encoding))
    found = rows(tmp_path, "orders", columns={"at": "dt"})
    assert found == [("ann", "2024-01-02 00:00:00", "buy", None), ("bén", "2024-01-01 00:00:00", "buy", None)]


def test_a_column_may_come_from_folders_alone(tmp_path: Path) -> None:
    for i, day in enumerate(DAYS):
        write(tmp_path / f"orders/dt={day}/x.parquet", events(i, i + 1).drop_columns(["at"]))
    assert rows(tmp_path, "orders", columns={"at": "dt"}) == SHOWN


def test_files_in_folders_of_different_columns_are_refused(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    write(tmp_path / "orders/country=de/x.parquet", events())
    assert "country=…" in str(refusal(tmp_path, "orders", SourceUnreadableError))


# --- days that are not asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "dt={}/x.parquet",
        "country=de/dt={}/x.parquet",
        "day={0:%Y%m%d}/x.parquet",
        "year={0:%Y}/month={0:%m}/day={0:%d}/x.parquet",
    ],
)
def test_files_of_days_before_are_not_opened(name: str, tmp_path: Path) -> None:
    for i, day in enumerate(DAYS):
        shown = name.format(day if "{}" in name else datetime.fromisoformat(day))
        write(tmp_path / "orders" / shown, events(i, i + 1))
        if i < 2:
            (tmp_path / "orders" / shown).write_bytes(b"nothing that anybody could read")
    found = look(source("orders", since="2024-01-03"), tmp_path).sources[0]
    assert (found.rows, found.left_out) == (2, 2)
    assert rows(tmp_path, "orders", since="2024-01-03") == SHOWN[2:]


def test_a_month_is_read_if_a_day_of_it_is_asked_for(tmp_path: Path) -> None:
    for month in (11, 12):
        write(tmp_path / f"orders/year=2023/month={month}/x.parquet", events(month - 11, month - 10))
    write(tmp_path / "orders/year=2024/month=1/x.parquet", events(2, 4))
    found = look(source("orders", since="2023-12-31"), tmp_path).sources[0]
    assert (found.rows, found.left_out) == (3, 1)


def test_what_has_no_day_is_always_read(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    write(tmp_path / "orders/dt=__HIVE_DEFAULT_PARTITION__/x.parquet", events(0, 1))
    assert rows(tmp_path, "orders", since="2024-01-04") == [SHOWN[0], SHOWN[3]]


@pytest.mark.parametrize("path", ["plain.parquet", "by_country"])
def test_days_are_not_asked_of_what_has_none(path: str, tmp_path: Path) -> None:
    write(tmp_path / "plain.parquet", events())
    write(tmp_path / "by_country/country=de/x.parquet", events())
    assert "`since`" in refusal(tmp_path, path, SourceUnreadableError, since="2024-01-01").hint


def test_a_day_after_all_partitions_leaves_nothing(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    assert "2024-02-01" in str(refusal(tmp_path, "orders", SourceNotFoundError, since="2024-02-01"))


# --- Delta --------------------------------------------------------------------------------------------------


def test_a_delta_table_is_read_at_its_newest_or_at_any_version(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "orders", events(0, 2))
    write_deltalake(tmp_path / "orders", events(2, 3), mode="append")
    DeltaTable(tmp_path / "orders").delete("customer_id = 'a'")
    write_deltalake(tmp_path / "orders", events(3, 4), mode="append")
    assert rows(tmp_path, "orders") == SHOWN[1:]
    assert [rows(tmp_path, "orders", version=v) for v in (0, 1, "2")] == [SHOWN[:2], SHOWN[:3], SHOWN[1:3]]
    assert look(source("orders", version=1), tmp_path).sources[0].format == "delta (version 1)"


def test_a_delta_table_is_read_as_of_a_time(tmp_path: Path) -> None:
    for i in range(2):
        write_deltalake(tmp_path / "orders", events(i, i + 1), mode="append")
    for version, day in ((0, "2024-03-01"), (1, "2024-03-03")):
        moment = datetime.fromisoformat(f"{day}T12:00+00:00").timestamp()
        os.utime(tmp_path / f"orders/_delta_log/{version:020}.json", (moment, moment))
    assert rows(tmp_path, "orders", version="2024-03-02") == SHOWN[:1]
    assert rows(tmp_path, "orders", version="2024-03-03T13:00+01:00") == SHOWN[:2]


def test_rows_of_a_delta_table_that_are_marked_as_deleted_are_not_read(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "orders", events())
    mark_deleted(tmp_path / "orders", [1, 3])
    assert rows(tmp_path, "orders") == [SHOWN[0], SHOWN[2]]
    assert rows(tmp_path, "orders", version=0) == SHOWN


def test_a_delta_table_may_be_partitioned_and_change_its_columns(tmp_path: Path) -> None:
    cities = pa.array(["rio", "são paulo"])
    write_deltalake(tmp_path / "orders", events(0, 2).append_column("city", cities), partition_by=["city"])
    more = events(2, 4).append_column("city", cities).append_column("points", pa.array([1, 2]))
    write_deltalake(tmp_path / "orders", more, mode="append", schema_mode="merge")
    assert rows(tmp_path, "orders") == SHOWN
    assert propend_rows(tmp_path, "orders", ["city", "points"]) == [
        ("a", "rio", None), ("b", "são paulo", None), ("c", "rio", 1), ("d", "são paulo", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["orders/*.parquet", "orders/city=rio", "."])
def test_files_of_a_delta_table_are_not_read_beside_its_log(path: str, tmp_path: Path) -> None:
    table = events().append_column("city", pa.array(["rio"] * 4))
    write_deltalake(tmp_path / "orders", table, partition_by=["city"] if "=" in path else None)
    assert "a Delta table" in str(refusal(tmp_path, path, SourceUnreadableError))


@pytest.mark.parametrize("version", [7, "2001-01-01"])
def test_a_version_that_is_not_there_is_told_with_the_newest(version: Any, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "orders", events())
    assert "its newest version is 0" in refusal(tmp_path, "orders", SourceNotFoundError, version=version).hint


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "orders", events())
    (tmp_path / "orders/_delta_log/00000000000000000000.json").write_text("{")
    assert "_delta_log" in refusal(tmp_path, "orders", SourceUnreadableError).hint


def test_files_of_a_table_that_vanished_are_told(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "orders", events())
    gone = next((tmp_path / "orders").glob("*.parquet"))
    gone.unlink()
    assert gone.name in str(refusal(tmp_path, "orders", SourceChangedError))


# --- Iceberg ------------------------------------------------------------------------------------------------


@pytest.fixture
def iceberg(tmp_path: Path) -> Any:
    catalog = catalog_at(tmp_path / "lake")
    yield catalog.create_table("shop.orders", events().schema)
    close(catalog)


def test_an_iceberg_table_is_read_at_its_newest_or_at_any_snapshot(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events(0, 2))
    first = iceberg.current_snapshot()
    iceberg.append(events(2, 4))
    iceberg.delete("customer_id == 'b'")
    assert rows(tmp_path, "lake/shop/orders") == [SHOWN[0], *SHOWN[2:]]
    assert rows(tmp_path, "lake/shop/orders", version=first.snapshot_id) == SHOWN[:2]
    moment = datetime.fromtimestamp(first.timestamp_ms / 1000, tz=UTC).isoformat()
    assert rows(tmp_path, "lake/shop/orders", version=moment) == SHOWN[:2]
    shown = look(source("lake/shop/orders", version=first.snapshot_id), tmp_path).sources[0].format
    assert shown == f"iceberg (snapshot {first.snapshot_id})"


def test_rows_of_an_iceberg_table_that_are_deleted_by_position_are_not_read(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events())
    delete_by_position(iceberg, [0, 2])
    assert rows(tmp_path, "lake/shop/orders") == [SHOWN[1], SHOWN[3]]


def test_columns_of_an_iceberg_table_are_told_by_their_number(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events(0, 2))
    with iceberg.update_schema() as change:
        change.rename_column("amount", "paid")
    with iceberg.update_schema() as change:
        change.add_column("amount", iceberg.schema().find_type("customer_id"))
    more = events(2, 4).rename_columns(["customer_id", "at", "kind", "paid"])
    iceberg.append(more.append_column("amount", pa.array(["x", "y"])))
    assert propend_rows(tmp_path, "lake/shop/orders", ["paid", "amount"]) == [
        ("a", 1.0, None), ("b", 2.0, None), ("c", 3.0, "x"), ("d", 4.0, "y"),
    ]  # fmt: skip


def test_a_column_that_an_iceberg_table_got_later_is_empty_before(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events(0, 2))
    with iceberg.update_schema() as change:
        change.add_column("city", iceberg.schema().find_type("customer_id"))
    iceberg.append(events(2, 4).append_column("city", pa.array(["rio", "ulm"])))
    assert propend_rows(tmp_path, "lake/shop/orders", ["city"]) == [
        ("a", None),
        ("b", None),
        ("c", "rio"),
        ("d", "ulm"),
    ]


def test_an_iceberg_table_is_found_by_its_name_in_a_catalog(
    iceberg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iceberg.append(events())
    monkeypatch.setenv("PYICEBERG_CATALOG__HERE__URI", f"sqlite:///{tmp_path / 'lake/catalog.db'}")
    monkeypatch.setenv("PYICEBERG_CATALOG__HERE__TYPE", "sql")
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", Config())  # read once, at import
    assert rows(tmp_path, "iceberg:here.shop.orders") == SHOWN
    assert "There is no" in str(refusal(tmp_path, "iceberg:here.shop.visits", SourceNotFoundError))
    refusal(tmp_path, "iceberg:other.shop.orders", SourceUnreadableError)


def test_a_table_without_rows_has_no_events(iceberg: Any, tmp_path: Path) -> None:
    assert look(source("lake/shop/orders"), tmp_path).sources[0].rows == 0


def test_a_snapshot_that_is_not_there_is_told_with_those_that_are(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events())
    newest = str(iceberg.current_snapshot().snapshot_id)
    assert newest in str(refusal(tmp_path, "lake/shop/orders", SourceNotFoundError, version=7))
    refusal(tmp_path, "lake/shop/orders", SourceNotFoundError, version="2001-01-01")


def test_metadata_that_cannot_be_read_are_told(iceberg: Any, tmp_path: Path) -> None:
    iceberg.append(events())
    (tmp_path / "lake/shop/orders/metadata/99999-x.metadata.json").write_text("{}")
    told = refusal(tmp_path, "lake/shop/orders", SourceUnreadableError)
    assert "The Iceberg table 'lake/shop/orders' cannot be read" in str(told)


# --- all of them --------------------------------------------------------------------------------------------


def test_one_source_may_be_a_table_and_files(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "newer", events(2, 4))
    write_deltalake(tmp_path / "marked", events(0, 3))
    mark_deleted(tmp_path / "marked", [1, 2])
    write(tmp_path / "older.parquet", events(1, 2))
    found = look({"events": [{"path": ["newer", "marked", "older.parquet"]}]}, tmp_path).sources[0]
    assert (found.rows, found.format) == (4, "delta (version 0) and delta (version 1) and parquet")
    assert simple_rows(load({"events": [{"path": ["newer", "marked", "older.parquet"]}]}, tmp_path)) == SHOWN


def test_versions_are_not_asked_of_files(tmp_path: Path) -> None:
    write(tmp_path / "orders.parquet", events())
    assert "no versions" in str(refusal(tmp_path, "orders.parquet", SourceUnreadableError, version=1))


@pytest.mark.parametrize(("kind", "library"), [("delta", "deltalake"), ("iceberg", "pyiceberg")])
def test_a_library_that_is_missing_is_told_with_what_installs_it(
    kind: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orders/_delta_log").mkdir(parents=True)
    monkeypatch.delitem(sys.modules, f"propend.connectors.{kind}", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    path = "orders" if kind == "delta" else "iceberg:a.b.c"
    assert "propend[lakes]" in refusal(tmp_path, path, LibraryMissingError).hint


@pytest.mark.parametrize("gone", ["listed", "located"])
def test_a_file_that_vanishes_while_data_are_read_is_told(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_day(tmp_path / "orders")
    database = DuckdbDatabase(None, tmp_path)
    if gone == "listed":
        monkeypatch.setattr(
            "propend.connectors.files.values_of", lambda _: shutil.rmtree(tmp_path / "orders", True) or {}
        )
    with pytest.raises(SourceChangedError) as caught:
        located = locate(Origin(("orders",), tmp_path, {}, database.scratch))
        shutil.rmtree(tmp_path / "orders/dt=2024-01-02")
        relation_of(database, located)
    database.close()
    assert caught.value.code == "PROPEND-211"


def test_a_file_that_appears_while_data_are_read_is_not_seen(tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    database = DuckdbDatabase(None, tmp_path)
    located = locate(Origin(("orders",), tmp_path, {}, database.scratch))
    write(tmp_path / "orders/dt=2024-01-05/x.parquet", events())
    found = relation_of(database, located).rows
    database.close()
    assert found == 4


@pytest.mark.parametrize("kind", ["delta", "iceberg", "files"])
def test_a_change_of_a_table_is_seen_by_what_keeps_looks(kind: str, iceberg: Any, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "delta", events())
    iceberg.append(events())
    by_day(tmp_path / "files")
    data = Data(events="lake/shop/orders" if kind == "iceberg" else kind)
    before = state_of_files(data, tmp_path)
    assert state_of_files(data, tmp_path) == before
    mark_deleted(tmp_path / "delta", [0, 1])
    iceberg.delete("customer_id == 'a'")
    write(tmp_path / "files/dt=2024-01-05/x.parquet", events())
    assert state_of_files(data, tmp_path) != before


def test_lakes_are_asked_before_files() -> None:
    assert [c.name for c in connectors() if c.name in ("tables", "lakes", "files")] == ["tables", "lakes", "files"]


def test_the_same_events_give_the_same_scores_wherever_they_are(tmp_path: Path) -> None:
    table = shop()
    write(tmp_path / "shop.parquet", table)
    write_deltalake(tmp_path / "delta", table)
    months = table.append_column("month", pc.strftime(table["at"], "%Y-%m-01"))
    pq.write_to_dataset(months, tmp_path / "hive", partition_cols=["month"])
    scores = []
    for name in ("shop.parquet", "delta", "hive"):
        document = SHOP | {"data": SHOP.get("data", {}) | {"events": name, "folder": str(tmp_path)}}
        run = propend.run(document, out=tmp_path / f"out-{name}")
        scores.append(run.scores.select(["profile_id", "probability"]).to_pylist())
    assert scores[1:] == [scores[0], scores[0]]
