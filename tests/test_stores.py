"""Data at addresses: an S3 store on this machine (moto), a web server on this machine, and what may not be reached."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import httpx
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from lakes import catalog_at, close, mark_deleted
from loopback import served
from oracle_events import look, simple_rows
from propend import pipeline
from propend.cli import app
from propend.connectors.hosts import refuse_private_number
from propend.connectors.stores import refusal_of
from propend.document import read_text
from propend.engines import connect
from propend.errors import ConfigurationError, PropendError, SourceNotFoundError, SourceUnreadableError
from propend.events import EventRequest
from propend.instance import Data, Instance
from propend.protection import ANYWHERE, Protection, Reach
from propend.server.app import create_app
from propend.workspace.looks import Looks
from propend.workspace.settings import Settings
from shops import SHOP, shop
from test_lakes import DAYS, SHOWN, by_day, events
from workspaces import opened

TEXT = "customer_id,at,kind,amount\n" + "".join(
    f"{p},{day} 00:00:00,buy,{amount:.0f}\n" for (p, _, _, amount), day in zip(SHOWN, DAYS, strict=True)
)


def rows(path: Any, reach: Reach = ANYWHERE, **more: Any) -> list[tuple[Any, ...]]:
    with connect(reach=reach) as session:
        return simple_rows(session.load(Data(events=({"path": path} | more,)), Path(), EventRequest(())))


def refusal(path: str, expected: type[PropendError], reach: Reach = ANYWHERE, **more: Any) -> PropendError:
    with pytest.raises(PropendError) as caught, connect(reach=reach) as session:
        session.open(Data(events=({"path": path} | more,)), Path())
    assert (type(caught.value), bool(caught.value.hint)) == (expected, True), str(caught.value)
    return caught.value


# --- a store ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    yield "http://{}:{}".format(*started.get_host_and_port())
    started.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket ``shop``, and what is asked of it in the environment."""
    given = {"AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in (given | {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="shop")
    yield client
    for entry in client.list_objects_v2(Bucket="shop").get("Contents", []):
        client.delete_object(Bucket="shop", Key=entry["Key"])
    client.delete_bucket(Bucket="shop")
    client.close()


def put(store: Any, folder: Path) -> None:
    """All files of a folder, under their names in it."""
    for path in (p for p in folder.rglob("*") if p.is_file()):
        store.put_object(Bucket="shop", Key=path.relative_to(folder).as_posix(), Body=path.read_bytes())


@pytest.mark.parametrize("path", ["s3://shop/orders", "s3://shop/orders/**/*.parquet", "s3a://shop/orders/dt=*/*"])
def test_folders_of_partitions_in_a_store(path: str, store: Any, tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    (tmp_path / "orders/_SUCCESS").touch()
    put(store, tmp_path)
    assert rows(path) == SHOWN
    assert {n: f.type for n, f in look({"events": path}, Path()).fields.items()} == {"amount": "number", "dt": "time"}


def test_a_workspace_is_begun_with_an_address(store: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(shop(), tmp_path / "in" / "events.parquet")
    put(store, tmp_path)
    home, address = tmp_path / "shop", "s3://shop/in/events.parquet"
    done = CliRunner().invoke(app, ["init", str(home), "--data", address])
    assert done.exit_code == 0, done.output
    assert read_text((home / "instances" / "first.yaml").read_text(encoding="utf-8"))[0]["data"]["events"] == address
    assert pipeline.check(home / "instances" / "first.yaml").ready


def test_days_before_are_not_opened_in_a_store(store: Any, tmp_path: Path) -> None:
    by_day(tmp_path / "orders")
    (tmp_path / "orders/dt=2024-01-01/part-0.parquet").write_bytes(b"nothing that anybody could read")
    put(store, tmp_path)
    found = look({"events": [{"path": "s3://shop/orders", "since": "2024-01-02"}]}, Path()).sources[0]
    assert (found.rows, found.left_out) == (3, 1)


def test_files_of_a_store_that_differ_in_columns(store: Any, tmp_path: Path) -> None:
    pq.write_table(events(0, 2).drop_columns(["amount"]), tmp_path / "a.parquet")
    pq.write_table(events(2, 4), tmp_path / "b.parquet")
    put(store, tmp_path)
    assert rows("s3://shop/?.parquet") == [(*SHOWN[0][:3], None), (*SHOWN[1][:3], None), *SHOWN[2:]]


@pytest.mark.parametrize("name", ["orders.csv.gz", "orders.csv"])
def test_text_files_are_copied_from_a_store(name: str, store: Any) -> None:
    body = gzip.compress(TEXT.encode()) if name.endswith(".gz") else TEXT.encode()
    store.put_object(Bucket="shop", Key=f"in/{name}", Body=body)
    assert rows(f"s3://shop/in/{name}") == SHOWN
    assert rows(["s3://shop/in/*"]) == SHOWN


def test_tables_of_lakes_in_a_store(store: Any, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "delta", events())
    write_deltalake(tmp_path / "marked", events())
    mark_deleted(tmp_path / "marked", [0, 2])
    put(store, tmp_path)
    assert rows("s3://shop/delta") == SHOWN
    assert rows("s3://shop/marked") == [SHOWN[1], SHOWN[3]]
    assert rows("s3://shop/marked", version=0) == SHOWN
    assert "a Delta table" in str(refusal("s3://shop/marked/*.parquet", SourceUnreadableError))


def test_an_iceberg_table_in_a_store(store: Any, server: str, tmp_path: Path) -> None:
    catalog = catalog_at(tmp_path, **{"s3.endpoint": server})
    table = catalog.create_table("shop.orders", events().schema, location="s3://shop/ice")
    table.append(events(0, 2))
    first = table.current_snapshot().snapshot_id  # type: ignore[union-attr]
    table.append(events(2, 4))
    close(catalog)
    assert rows("s3://shop/ice") == SHOWN
    assert rows("s3://shop/ice", version=first) == SHOWN[:2]


def test_one_source_may_be_at_several_places(store: Any, tmp_path: Path) -> None:
    pq.write_table(events(0, 2), tmp_path / "a.parquet")
    put(store, tmp_path)
    pq.write_table(events(2, 4), tmp_path / "b.parquet")
    assert rows(["s3://shop/a.parquet", str(tmp_path / "b.parquet")]) == SHOWN


@pytest.mark.parametrize(
    ("path", "expected", "told"),
    [
        ("s3://no-bucket-of-this-name/x", SourceNotFoundError, "there is no such bucket"),
        ("s3://shop/nothing", SourceNotFoundError, "holds no data files"),
        ("s3://shop/x/*.parquet", SourceNotFoundError, "holds no data files"),
        ("s3:///x", SourceUnreadableError, "names no bucket"),
        ("az://container/x", SourceUnreadableError, "does not say which storage account"),
    ],
)
def test_what_is_not_in_a_store(path: str, expected: type[PropendError], told: str, store: Any) -> None:
    assert told in str(refusal(path, expected))


@pytest.mark.parametrize("said", ["AWS Error ACCESS_DENIED during GetObject", "403 Forbidden", "INVALID_ACCESS_KEY_ID"])
def test_a_store_that_denies_access(said: str) -> None:
    problem = refusal_of(OSError(said), "s3://shop/x")
    assert (problem.number, problem.message) == (201, "'s3://shop/x' cannot be read: access is denied.")


def test_a_store_that_cannot_be_reached(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "AWS_ENDPOINT_URL" in refusal("s3://shop/x", SourceUnreadableError).hint


def test_a_file_that_is_too_large_is_not_copied(store: Any) -> None:
    store.put_object(Bucket="shop", Key="x.csv", Body=TEXT.encode() + b"e,2024-01-01,buy,1\n" * 60_000)
    assert "1 MB" in str(refusal("s3://shop/x.csv", SourceUnreadableError, Reach(most_mb=1)))


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("s3://AKIAX:secret-text@shop/x", "a password"),
        ("https://ana@example.com/x.csv", "a name to log in with"),
        ("https://a.blob.core.windows.net/c/x.csv?sv=1&sig=secret-text", "a key (sig)"),
        ("https://example.com/x.csv?X-Amz-Security-Token=secret-text", "a key (X-Amz-Security-Token)"),
    ],
)
def test_keys_in_addresses_are_refused_and_not_repeated(address: str, held: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Instance.load({"name": "x", "data": {"events": address}, "goal": {"did": "buy", "within": "30d"}})
    assert f"holds {held}:" in str(caught.value)
    assert "secret-text" not in str(caught.value)


# --- web addresses ------------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Files by name, and what else a server may answer."""

    def do_GET(self) -> None:
        moved = {"/moved.csv": "/orders.csv", "/round.csv": "/round.csv", "/file.csv": "file:///etc/passwd"}
        if self.path in moved:
            self.send_response(302)
            self.send_header("Location", moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = {"/orders.csv": TEXT.encode(), "/big.csv": TEXT.encode() + b"e,2024-01-01,buy,1\n" * 60_000}
        status = {"/none.csv": 404, "/closed.csv": 403}.get(self.path, 200)
        body = found.get(self.path, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is written to the terminal."""


@pytest.fixture
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as httpd:
        thread = threading.Thread(target=partial(httpd.serve_forever, 0.05))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_files_of_web_servers_are_copied(web: str) -> None:
    assert rows(f"{web}/orders.csv") == SHOWN
    assert rows(f"{web}/moved.csv") == SHOWN


@pytest.mark.parametrize(
    ("name", "expected", "told"),
    [
        ("none.csv", SourceNotFoundError, "is not there"),
        ("closed.csv", SourceUnreadableError, "the server answers 403"),
        ("round.csv", SourceUnreadableError, "leads on more than 5 times"),
        ("file.csv", SourceUnreadableError, "leads to what is no web address"),
        ("big.csv", SourceUnreadableError, "1 MB"),
    ],
)
def test_what_web_servers_do_not_give(name: str, expected: type[PropendError], told: str, web: str) -> None:
    assert told in str(refusal(f"{web}/{name}", expected, Reach(most_mb=1)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.1.2.3", "0.0.0.0"])
def test_private_hosts_are_refused_unless_they_may_be_reached(host: str) -> None:
    problem = refusal(f"http://{host}:9/x.csv", SourceUnreadableError, Reach(private_hosts=False))
    assert "private network" in problem.message
    assert "private_hosts" in problem.hint


@pytest.mark.parametrize("number", ["::ffff:127.0.0.1", "100.64.0.1", "fe80::1%eth0", "224.0.0.1", "fd00::1"])
def test_numbers_that_are_not_public(number: str) -> None:
    with pytest.raises(SourceUnreadableError):
        refuse_private_number("x", number)
    refuse_private_number("x", "93.184.216.34")


def test_who_answers_is_looked_at_and_not_only_the_name(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propend.connectors.web.refuse_private_host", lambda *_: None)  # a name that led elsewhere then
    told = refusal(f"{web}/orders.csv", SourceUnreadableError, Reach(private_hosts=False))
    assert "127.0.0.1" in str(told)
    assert "private network" in str(told)


def test_a_workspace_reaches_no_private_host_unless_its_settings_say_so(web: str, tmp_path: Path) -> None:
    data = Data(events=({"path": f"{web}/orders.csv"},))
    assert Settings().data.reach == Reach(private_hosts=False)
    problem = Looks().of(data, tmp_path).problem
    assert problem is not None
    assert "private network" in problem.message
    assert (
        Looks(Settings.model_validate({"data": {"private_hosts": True}}).data.reach).of(data, tmp_path).problem is None
    )
    home = opened(tmp_path / "shop")
    with served(create_app(home, access=False)) as server, httpx.Client(base_url=server, timeout=60) as client:
        page = client.post("/instances/new/own", data={"source": f"{web}/orders.csv"}, headers={"Accept": "text/html"})
    home.close()
    assert (page.status_code, "private network" in page.text) == (422, True)
    kept = Protection(reach=Settings().data.reach)
    for broken in ({}, {"goal": {"any_of": ["nothing"], "within": "x"}}):
        document = SHOP | {"data": {"events": f"{web}/orders.csv"}} | broken
        with pytest.raises(PropendError) as caught:
            pipeline.check(document, protection=kept)
        assert "private network" in str(caught.value)
