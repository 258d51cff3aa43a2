"""The Spark engine gives what the DuckDB engine gives, to the last bit; in a real Spark on this machine."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml
from deltalake import write_deltalake
from typer.testing import CliRunner

import propend
from propend import pipeline
from propend.cli import app
from propend.engines import connect
from propend.errors import (
    ConfigurationError,
    NoInputDataError,
    PropendError,
    SourceNotFoundError,
    SourceUnreadableError,
    StitchedElsewhereError,
    WriteFailedError,
)
from propend.events import EventLog, EventRequest, Partition, Selector
from propend.goal import NamedEvent
from propend.instance import Data
from propend.live import LiveModel
from propend.protection import Forgotten, Protection, digest_of
from propend.store.lookup import ScoreIndex
from shops import instance, shop

COLUMNS = {"profile": "profile_id", "at": "at", "event": "event", "value": "amount"}
REQUEST = EventRequest(
    (Selector("buy", NamedEvent(kinds=("purchase",))),), number_fields=("amount",), text_fields=("category",)
)


def java_is_there() -> bool:
    java = shutil.which("java") or (f"{os.environ['JAVA_HOME']}/bin/java" if "JAVA_HOME" in os.environ else None)
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not java_is_there(), reason="no Java: Spark needs Java 17 or newer")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A Spark on this machine."""
    module = pytest.importorskip("propend.engines.spark", reason="no pyspark: pip install 'propend[spark]'")
    before = os.environ.get("PYTHONPATH")
    ways = [str(Path(__file__).parent), *([before] if before else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(ways)  # its workers must find this very module
    session = module._session_here()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before
    session.sparkContext.setLogLevel("OFF")  # tests make tasks fail on purpose
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propend.engines.spark.EVENTS_PER_TASK", 400)
    monkeypatch.setattr("propend.engines.scans.ROWS_PER_SCAN", 700)


# --- logs ---------------------------------------------------------------------------------------------------


def contents(log: EventLog) -> dict[str, Any]:
    """All that a log holds, as bytes and plain values."""
    parts = list(log.visit(_itself))
    found: dict[str, Any] = {"kinds": log.kinds, "vocabularies": log.vocabularies}
    for name in ("profile_ids", "keys", "at", "kind", "bits", "value", "numbers", "texts"):
        joined = np.concatenate([getattr(p, name) for p in parts], axis=-1)
        found[name] = joined.tolist() if joined.dtype == object else joined.tobytes()
    found["sizes"] = np.concatenate([np.diff(p.offsets) for p in parts]).tolist()
    if log.attribute_numbers or log.attribute_texts:
        found["attributes"] = log.attribute_numbers, log.attribute_texts, log.attribute_vocabularies
        for name in ("at", "numbers", "texts"):
            found[f"attribute {name}"] = np.concatenate([getattr(p.attributes, name) for p in parts], axis=-1).tobytes()
    facts = dataclasses.asdict(log.facts)
    return found | {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in facts.items()}


def _itself(part: Partition) -> Partition:
    return part


def loaded(engine: Any, data: dict[str, Any], folder: Path, tables: Any = None, request: EventRequest = REQUEST) -> Any:
    with connect(engine) as session:
        return contents(session.load(Data(**data), folder, request, tables))


def write_parts(folder: Path, table: pa.Table, parts: int) -> None:
    folder.mkdir()
    for i in range(parts):
        own = table.filter(pa.array(np.arange(table.num_rows) % parts == i))
        pq.write_table(own, folder / f"part-{i}.parquet", row_group_size=1_000)


def test_files_are_read_to_the_same_log(spark: Any, tmp_path: Path) -> None:
    table = shop(200, 200)
    write_parts(tmp_path / "events", table, 3)
    data = {"events": {"path": "events/*.parquet"}, "columns": COLUMNS}
    assert loaded(spark, data, tmp_path) == loaded("duckdb", data, tmp_path)


def test_folders_of_partitions_and_tables_of_lakes_are_read_to_the_same_log(spark: Any, tmp_path: Path) -> None:
    table = shop(120, 200)
    for i, month in enumerate(("2024-01-01", "2024-02-01", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"x=1/events/month={month}/shelf={i}"
        folder.mkdir(parents=True)
        pq.write_table(table.filter(pa.array(np.arange(table.num_rows) % 3 == i)), folder / "part-0.parquet")
    write_deltalake(tmp_path / "table", table)
    for path in ("x=1/events", "table"):
        data = {"events": {"path": path}, "columns": COLUMNS}
        assert loaded(spark, data, tmp_path) == loaded("duckdb", data, tmp_path)


def test_files_that_differ_in_columns_and_types_are_read_alike(spark: Any, tmp_path: Path) -> None:
    table = shop(120, 200)
    (tmp_path / "events").mkdir()
    half = table.num_rows // 2
    first = table.slice(0, half).drop_columns("category")
    first = first.set_column(3, "amount", first.column("amount").cast(pa.int64(), safe=False))
    pq.write_table(first, tmp_path / "events" / "a.parquet")
    pq.write_table(table.slice(half), tmp_path / "events" / "b.parquet")
    data = {"events": {"path": "events/*.parquet"}, "columns": COLUMNS}
    assert loaded(spark, data, tmp_path) == loaded("duckdb", data, tmp_path)


def test_databases_are_read_to_the_same_log(spark: Any, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "base.duckdb")) as connection:
        connection.register("given", shop(200, 200))
        connection.execute("CREATE TABLE events AS FROM given")
    data = {"events": [{"database": "base.duckdb", "table": "events"}], "columns": COLUMNS}
    assert loaded(spark, data, tmp_path) == loaded("duckdb", data, tmp_path)


def test_ids_given_twice_attributes_and_sources_of_other_forms(spark: Any, tmp_path: Path) -> None:
    table = shop(150, 200)
    ids = [f"e{i // 2 if i % 5 == 0 else i}" for i in range(table.num_rows)]
    pq.write_table(table.append_column("ref", pa.array(ids)), tmp_path / "a.parquet")
    pacsv.write_csv(pa.concat_tables([table.slice(0, 500), table.slice(0, 40)]), tmp_path / "b.csv")
    profiles = sorted(set(table["profile_id"].to_pylist()))
    people = pa.table(
        {
            "profile_id": [*profiles[:100], *profiles[:50], "nobody"],
            "since": ["2022-01-01"] * 100 + ["2022-05-01"] * 50 + ["2022-01-01"],
            "town": ["Rio", "Bonn", None, "Oslo", "Lima"] * 30 + ["Atlantis"],
            "age": [float(i % 60) for i in range(151)],
        }
    )
    pq.write_table(people, tmp_path / "people.parquet")
    data = {
        "events": [{"path": "a.parquet", "columns": COLUMNS | {"id": "ref"}}, {"path": "b.csv", "columns": COLUMNS}],
        "attributes": {"path": "people.parquet", "profile": "profile_id", "effective": "since"},
    }
    request = dataclasses.replace(REQUEST, as_of=date(2022, 6, 1), exclude=(NamedEvent(kinds=("call",)),))
    found = loaded(spark, data, tmp_path, request=request)
    assert found == loaded("duckdb", data, tmp_path, request=request)
    assert found["set_aside"]["duplicate"] > 50
    assert 10 < found["exact_duplicates"] < 40, "those excluded or too late are no copies"
    assert found["attributes"][1] == ("town",)


XDM_REQUEST = EventRequest(
    (Selector("item", NamedEvent.model_validate({"where": {"productListItems.SKU": {"in": ["s1", "s2"]}}})),),
    text_fields=("productListItems.SKU", "web.webPageDetails.name"),
)


def xdm_hits(folder: Path) -> Path:
    """Events of XDM as Parquet, with a map of identities, and some that were done to profiles."""
    count = pa.struct([("value", pa.float64())])
    items = pa.list_(pa.struct([("SKU", pa.string()), ("quantity", pa.int32()), ("priceTotal", pa.float64())]))
    identity = pa.list_(pa.struct([("id", pa.string()), ("primary", pa.bool_())]))
    schema = pa.schema({
        "_id": pa.string(), "timestamp": pa.timestamp("us"), "identityMap": pa.map_(pa.string(), identity),
        "commerce": pa.struct([("purchases", count), ("checkouts", count)]), "productListItems": items,
        "web": pa.struct([("webPageDetails", pa.struct([("name", pa.string())]))]),
        "directMarketing": pa.struct([("sends", count)]),
    })  # fmt: skip
    rows = [
        {
            "_id": f"e{i % 1900}", "timestamp": 1_700_000_000_000_000 + i % 1900 * 3_600_000_000,
            "identityMap": [("ECID", [{"id": f"p{i % 1900 % 97}", "primary": True}])],
            "commerce": {"purchases": {"value": float(i % 1900 % 5 == 0)}, "checkouts": {"value": 1.0}},
            "productListItems": [{"SKU": f"s{i % 1900 % k}", "priceTotal": i % 1900 / k} for k in (3, 7)],
            "web": {"webPageDetails": {"name": f"page {i % 1900 % 11}"}},
            "directMarketing": {"sends": {"value": float(i % 1900 % 13 == 0)}},
        }
        for i in range(2000)
    ]  # fmt: skip
    write_parts(folder / "hits", pa.Table.from_pylist(rows, schema), 3)
    return folder / "hits"


def test_events_of_xdm_are_read_to_the_same_log(spark: Any, tmp_path: Path) -> None:
    """Kinds, values, ids and items are expressions over the rows: of files, and of a table of Spark."""
    folder = xdm_hits(tmp_path)
    one = loaded("duckdb", {"events": "hits"}, tmp_path, request=XDM_REQUEST)
    assert loaded(spark, {"events": "hits"}, tmp_path, request=XDM_REQUEST) == one
    kept = ("kinds", "bits", "value", "texts", "vocabularies", "profile_ids", "set_aside")
    table = loaded(spark, {}, tmp_path, {"events": spark.read.parquet(str(folder))}, XDM_REQUEST)
    assert {k: table[k] for k in kept} == {k: one[k] for k in kept}


def test_tables_of_spark_are_read_where_they_are(spark: Any, tmp_path: Path) -> None:
    table = shop(150, 200)
    pq.write_table(table, tmp_path / "events.parquet")
    expected = loaded("duckdb", {"columns": COLUMNS}, tmp_path, {"events": table})
    frame = spark.read.parquet(str(tmp_path / "events.parquet"))
    frame.createOrReplaceTempView("shop_events")
    in_memory = loaded(spark, {"columns": COLUMNS}, tmp_path, {"events": table})
    passed = loaded(spark, {"columns": COLUMNS}, tmp_path, {"events": frame})
    named = loaded(spark, {"columns": COLUMNS, "events": {"path": "table:shop_events"}}, tmp_path)
    address = {"path": f"file://{tmp_path}/events.parquet"}
    at_address = loaded(spark, {"columns": COLUMNS, "events": address}, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("propend.engines.spark.LOOK_ROWS", 300)
        labelled = {"path": "table:shop_events", "name": "the shop"}
        by_label = loaded(spark, {"columns": COLUMNS, "events": labelled}, tmp_path)
    assert (by_label["read"], by_label["sources"][0]["path"]) == (table.num_rows, "the shop")
    by_label["fields"] = expected["fields"]  # of some rows
    for found in (in_memory, passed, named, at_address, by_label):
        found["sources"] = expected["sources"]  # they are called otherwise
        assert found == expected


def test_spark_reads_the_columns_that_are_needed(spark: Any, tmp_path: Path) -> None:
    table = shop(100, 100)
    page = pa.StructArray.from_arrays([table["category"].combine_chunks()], ["page"])
    wide = table.append_column("context", page).append_column("a note", pa.array(["x"] * table.num_rows))
    pq.write_table(wide, tmp_path / "events.parquet")
    frame = spark.read.parquet(str(tmp_path / "events.parquet"))
    request = dataclasses.replace(REQUEST, number_fields=(), text_fields=("context.page",))
    expected = loaded("duckdb", {"columns": COLUMNS}, tmp_path, {"events": wide}, request)
    found = loaded(spark, {"columns": COLUMNS}, tmp_path, {"events": frame}, request)
    assert found == expected | {"sources": found["sources"]}
    assert found["vocabularies"] == (("bags", "hats", "shoes"),)
    narrowed = importlib.import_module("propend.engines.spark")._narrowed
    assert narrowed(frame, {"at", "context.page"}).columns == ["at", "context"]
    assert narrowed(frame, {"a note"}).columns == ["a note"]


def test_of_a_large_table_the_driver_sees_some_rows_and_counts_all(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propend.engines.spark.LOOK_ROWS", 500)
    table = shop(300, 200)
    pq.write_table(table, tmp_path / "events.parquet")
    frame = spark.read.parquet(str(tmp_path / "events.parquet"))
    expected = loaded("duckdb", {"columns": COLUMNS}, tmp_path, {"events": table})
    with connect(spark) as session:
        opened = session.open(Data(columns=COLUMNS), tmp_path, {"events": frame})
        found = contents(session.load(Data(columns=COLUMNS), tmp_path, REQUEST, {"events": frame}))
    assert opened.kinds == {kind: events for kind, events, _ in expected["kinds"]}
    assert opened.sources[0].rows == table.num_rows
    looked_at = {"sources", "fields"}
    assert {n: v for n, v in found.items() if n not in looked_at} == {
        n: v for n, v in expected.items() if n not in looked_at
    }


def test_a_profile_with_very_many_events_is_one_of_many(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("propend.engines.scans.ROWS_PER_SCAN", 100_000)
    table = shop(50, 200)
    rng, n = np.random.default_rng(3), 300_000
    start = int(table["at"].combine_chunks().cast(pa.int64())[0].as_py())
    bot = pa.table(
        {
            "profile_id": pa.array(["bot"] * n),
            "at": pa.array(start + rng.integers(0, 10**13, n), pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "event": pa.array(["visit"] * n),
            "amount": pa.array([None] * n, pa.float64()),
            "category": pa.array(rng.choice(["a", "b", "c"], n)),
        }
    )
    pq.write_table(pa.concat_tables([table, bot]), tmp_path / "events.parquet", row_group_size=50_000)
    data = {"events": {"path": "events.parquet"}, "columns": COLUMNS}
    assert loaded(spark, data, tmp_path) == loaded("duckdb", data, tmp_path)


def test_a_share_of_the_profiles_is_visited_where_it_is(spark: Any) -> None:
    tables = {"events": shop(200, 200)}
    found = {}
    for engine in ("duckdb", spark):
        with connect(engine) as session:
            log = session.load(Data(columns=COLUMNS), Path(), REQUEST, tables)
            seen = {share: list(log.visit(_ids, share)) for share in (0.001, 0.3, 0.8, 1.0)}
            found[str(engine)] = {share: [i for ids in parts for i in ids] for share, parts in seen.items()}
    one, other = found.values()
    assert one == other
    assert [len(ids) > 0 for ids in one.values()] == [False, True, True, True]


def _ids(part: Partition) -> list[str]:
    return list(part.profile_ids.tolist())


# --- runs -------------------------------------------------------------------------------------------------------


def written(run: propend.Run) -> dict[str, Any]:
    """All that a run left, but for what names the run and the machine."""
    record = {k: v for k, v in run.record.items() if k not in OF_THE_RUN}
    record["model"] = {k: v for k, v in run.record["model"].items() if k != "trained_at"}
    scores = run.scores.drop_columns(["run_id"])
    return {
        "scores": scores.to_pydict(),
        "types": scores.schema,
        "contributions": {name: run.contributions.column(name).to_pylist() for name in run.contributions.column_names},
        "attributes": attributes_of(run),
        "evaluation": run.evaluation,
        "insights": run.insights,
        "record": record,
    }


def attributes_of(run: propend.Run) -> dict[str, Any] | None:
    """What was kept of everybody; None where nothing was."""
    path = run.folder / "attributes.parquet"
    return pq.read_table(path).sort_by("profile_id").to_pydict() if path.exists() else None


BORN = date(1990, 5, 17)
OF_THE_RUN = ("run_id", "engine", "started_at", "finished_at", "seconds", "peak_memory_bytes", "stages")


def test_a_run_gives_the_same_to_the_last_bit(spark: Any, tmp_path: Path) -> None:
    table = shop(600, 300)
    write_parts(tmp_path / "events", table, 2)
    document = instance(options={"horizons": [7, 14, 30], "fairness": ["category"], "language": "pt"})
    document["data"] = {**document["data"], "events": {"path": "events/*.parquet"}, "folder": str(tmp_path)}
    one = propend.run(document, out=tmp_path / "one")
    several = propend.run(document, out=tmp_path / "several", engine=spark)
    assert written(several) == written(one)
    assert (one.record["engine"], several.record["engine"]) == ("duckdb", "spark")
    parts = sorted((tmp_path / "several" / "scores.parquet").iterdir())
    assert len(parts) > 1
    assert sum(pq.read_metadata(part).num_rows for part in parts) == one.scores.num_rows
    who = one.scores["profile_id"][7].as_py()
    assert {**several.explain(who), "run_id": ""} == {**one.explain(who), "run_id": ""}
    rows = {row["profile_id"]: row for row in several.scores.to_pylist()}
    assert ScoreIndex.open(several.folder).find_many(list(rows)) == rows
    model = LiveModel.load(several.folder)
    mine = table.filter(pc.equal(table["profile_id"], who)).to_pylist()
    assert rows[who].items() <= model.score(mine, profile_id=who).items()
    model.close()

    later = {}
    for engine in ("duckdb", spark):
        out = tmp_path / f"later_{later.__len__()}"
        later[str(engine)] = written(propend.score(tmp_path / "one", out=out, engine=engine, as_of=date(2022, 10, 1)))
    first, second = later.values()
    assert first == second
    assert first["scores"]["probability"] != written(one)["scores"]["probability"]


def test_consent_labels_and_forgotten_people_are_the_same(spark: Any, tmp_path: Path) -> None:
    table, ids = shop(400, 300), [f"p{i:04d}" for i in range(400)]
    write_parts(tmp_path / "events", table, 2)
    people = {
        "profile_id": [*ids, *ids[::9]],
        "since": ["2022-01-01"] * 400 + ["2022-08-01"] * len(ids[::9]),
        "consent": [i % 5 > 0 for i in range(400)] + [False] * len(ids[::9]),
        "town": ["Rio", "Bonn"] * 200 + ["Rio"] * len(ids[::9]),
        "plan": ["free", "pro", None, "pro"] * 100 + ["late"] * len(ids[::9]),
    }
    facts = {"profile_id": ids, "seats": [None, 1.5, 2.0, 3.0] * 100, "vip": [True, False] * 200, "born": [BORN] * 400}
    pq.write_table(pa.table(facts), tmp_path / "facts.parquet")
    pq.write_table(pa.table(people), tmp_path / "people.parquet")
    attributes = {"path": str(tmp_path / "people.parquet"), "profile": "profile_id", "effective": "since"}
    data = {"events": str(tmp_path / "events" / "*.parquet"), "columns": COLUMNS}
    data["attributes"] = [attributes, {"path": str(tmp_path / "facts.parquet"), "profile": "profile_id"}]
    data |= {"consent": {"column": "consent", "learn": True}, "labels": {"town": "sensitive"}}
    key = b"k" * 32
    forgotten = Forgotten(key, frozenset(digest_of(i.encode(), key) for i in ids[1:40:7]))
    document = instance(data=data, options={"quality_bar": 0.5})
    here, there = (
        pipeline.run(document, out=tmp_path / name, engine=engine, protection=Protection(forgotten=forgotten))
        for name, engine in (("one", "duckdb"), ("several", spark))
    )
    assert here.scores.drop_columns("run_id").equals(there.scores.drop_columns("run_id"))
    assert set(here.scores["profile_id"].to_pylist()).isdisjoint({*ids[::5], *ids[::9], *ids[1:40:7]})
    assert attributes_of(here) == attributes_of(there)
    assert here.record["attributes"] == there.record["attributes"] == ["seats", "born", "plan", "vip"]
    assert here.record["counts"] == there.record["counts"]
    assert here.record["counts"]["without_consent"] > 0
    assert here.record["counts"]["set_aside"]["forgotten"] > 0


def test_of_very_many_profiles_some_are_learnt_from_and_all_are_scored(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shop(900, 300)
    everybody = propend.run(instance(), data=table, out=tmp_path / "all").scores
    monkeypatch.setattr("propend.preparation.MAX_SURVEYED", 450)
    one = propend.run(instance(), data=table, out=tmp_path / "one")
    several = propend.run(instance(), data=table, out=tmp_path / "several", engine=spark)
    assert written(several) == written(one)
    assert one.scores["profile_id"].to_pylist() == everybody["profile_id"].to_pylist()
    assert [w["code"] for w in one.record["warnings"] if w["symbol"] == "MANY_PROFILES"] == ["PROPEND-316"]
    proof, population = (one.evaluation["n"], one.record["counts"]["population"])
    assert 0.4 < proof / population < 0.6


def test_a_check_says_the_same(spark: Any) -> None:
    events = shop(300, 300)
    checks = [propend.check(instance(), data=events, engine=engine).to_dict() for engine in ("duckdb", spark)]
    assert checks[0] == checks[1]
    assert len(checks[0]["examples"]) == 20


def test_the_command_line_runs_on_the_session_there_is(spark: Any, tmp_path: Path) -> None:
    pq.write_table(shop(300, 300), tmp_path / "events.parquet")
    document = instance()
    document["data"] = {**document["data"], "events": {"path": "events.parquet"}}
    (tmp_path / "buyers.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    given = ["run", str(tmp_path / "buyers.yaml"), "--engine", "spark", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "report.html").is_file()
    assert (
        propend.Run.load(tmp_path / "out").scores.num_rows == json.loads(result.stdout)["run"]["counts"]["population"]
    )
    assert spark.range(3).count() == 3, "a session that was there before stays"


def test_machines_that_do_not_share_the_folder_are_told(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*_: object) -> str:
        return "part-000000000000.parquet"

    monkeypatch.setattr("propend.population._write", nowhere)
    with pytest.raises(WriteFailedError, match="another folder of that name"):
        propend.run(instance(), data=shop(300, 300), out=tmp_path / "out", engine=spark)
    assert list(tmp_path.iterdir()) == []


# --- what cannot be done ------------------------------------------------------------------------------------


def test_what_is_not_there_is_told(spark: Any, tmp_path: Path) -> None:
    cases = [
        ({"events": {"path": "table:no.such_table"}}, SourceNotFoundError, "table:no.such_table"),
        ({"events": {"path": "nothing.parquet"}}, SourceNotFoundError, "nothing.parquet"),
        ({"events": {"path": ["table:a", "table:b"]}}, SourceUnreadableError, "one table or address for each"),
    ]
    for data, kind, text in cases:
        with connect(spark) as session, pytest.raises(kind, match=text):
            session.open(Data(**data), tmp_path)


def test_joining_ids_is_refused(spark: Any, tmp_path: Path) -> None:
    data = Data(identities=[{"events": {"from": "device", "to": "login"}}])  # type: ignore[arg-type]
    with connect(spark) as session, pytest.raises(StitchedElsewhereError):
        session.load(data, tmp_path, EventRequest(()))


def test_a_file_that_vanishes_under_way_is_told_by_its_machine(spark: Any, tmp_path: Path) -> None:
    write_parts(tmp_path / "events", shop(100, 100), 3)
    data = Data(events={"path": "events/*.parquet"}, columns=COLUMNS)
    with connect(spark) as session:
        session.open(data, tmp_path)
        scans = session._scans(session._opened)
        (tmp_path / "events" / "part-1.parquet").write_bytes(b"no longer Parquet")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(session), "_scans", lambda *_: scans)
            with pytest.raises(SourceUnreadableError, match="part-1"):
                session.load(data, tmp_path, REQUEST)


def test_nothing_left_is_told_as_by_the_other_engine(spark: Any) -> None:
    told = []
    for engine in ("duckdb", spark):
        with connect(engine) as session, pytest.raises(NoInputDataError) as raised:
            session.load(
                Data(columns=COLUMNS), Path(), dataclasses.replace(REQUEST, as_of=date(2000, 1, 1)),
                {"events": shop(20, 50)},
            )  # fmt: skip
        told.append(str(raised.value))
    assert told[0] == told[1]


def test_a_refusal_of_a_visitor_comes_back(spark: Any) -> None:
    with connect(spark) as session:
        log = session.load(Data(columns=COLUMNS), Path(), REQUEST, {"events": shop(50, 50)})
        with pytest.raises(ConfigurationError, match="never"):
            list(log.visit(_refuse))


def _refuse(part: Partition) -> PropendError:
    raise ConfigurationError([], "never")


def test_an_engine_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="pyspark")

    monkeypatch.setattr("propend.engines.importlib.import_module", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'propend\[spark\]'"):
        connect("spark")
