"""Databases as sources: the events of files, secrets that stay where they are kept, refusals in plain words."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import keyring
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from keyring.backend import KeyringBackend

import propend
import shops
from oracle_events import load, look, simple_rows
from postgres import Databases, databases
from propend import cli
from propend.cards import with_sources
from propend.connectors import Links, Origin, Table, locate
from propend.connectors.secrets import address_of, variable_of
from propend.errors import ConfigurationError, PropendError
from propend.instance import Instance, source_at
from propend.proposal import propose

WHEN = datetime(2024, 1, 1, 12, tzinfo=UTC)
EVENTS = pa.table(
    {
        "customer_id": ["ann", "ben", "ann", None],
        "at": pa.array(
            [WHEN, datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC), WHEN], pa.timestamp("us", "UTC")
        ),
        "kind": ["buy", "visit", "buy", "buy"],
        "amount": [5.0, None, 7.5, 1.0],
    }
)
ROWS = [
    ("ann", "2024-01-01 12:00:00", "buy", 5.0),
    ("ann", "2024-01-03 00:00:00", "buy", 7.5),
    ("ben", "2024-01-02 00:00:00", "visit", None),
]


def in_postgres(events: pa.Table, folder: Path, server: Databases | None) -> str:
    """The address of a new database with the table ``shop.orders``."""
    assert server is not None
    url = server.new()
    kinds = {"string": "text", "double": "float8", "timestamp[us, tz=UTC]": "timestamptz"}
    columns = ", ".join(f'"{f.name}" {kinds[str(f.type)]}' for f in events.schema)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA shop; CREATE TABLE shop.orders ({columns})")  # type: ignore[arg-type]
        with cursor.copy("COPY shop.orders FROM STDIN") as copy:
            for row in events.to_pylist():
                copy.write_row(list(row.values()))
    return url


def in_sqlite(events: pa.Table, folder: Path, server: Databases | None) -> str:
    """A file with the table ``orders``; SQLite has no times, and texts stand for them."""
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(events.column_names)})")
        rows = [[v.isoformat() if isinstance(v, datetime) else v for v in row.values()] for row in events.to_pylist()]
        connection.executemany(f"INSERT INTO orders VALUES ({', '.join('?' * events.num_columns)})", rows)
    connection.close()
    return "shop.db"


def in_duckdb(events: pa.Table, folder: Path, server: Databases | None) -> str:
    """A file with the table ``shop.orders``."""
    with duckdb.connect(str(folder / "base.duckdb")) as connection:
        connection.register("given", events)
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS FROM given")
    return "base.duckdb"


KINDS: dict[str, tuple[Callable[[pa.Table, Path, Databases | None], str], str]] = {
    "postgresql": (in_postgres, "shop.orders"),
    "sqlite": (in_sqlite, "orders"),
    "duckdb": (in_duckdb, "shop.orders"),
}
Stored = Callable[[pa.Table], dict[str, Any]]


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    """Puts a table into a database of each kind; gives the source."""
    make, table = KINDS[request.param]
    server = databases(request) if request.param == "postgresql" else None
    return lambda events: {"database": make(events, tmp_path, server), "table": table}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Databases:
    return databases(request)


def read(database: str, folder: Path = Path(), **wanted: str) -> pa.Table:
    """What a connector reads."""
    links = Links()
    try:
        origin = Origin((), folder, {}, folder, table=Table(database, **wanted), links=links)
        return locate(origin).streams[0].read().read_all()
    finally:
        links.close()


def refusal(database: str, folder: Path = Path(), **wanted: str) -> tuple[str, str, str]:
    with pytest.raises(PropendError) as caught:
        read(database, folder, **wanted)
    return caught.value.symbol, caught.value.message, caught.value.hint


# --- the same events ------------------------------------------------------------------------------------------


def test_a_table_gives_its_events(stored: Stored, tmp_path: Path) -> None:
    log = load({"events": [stored(EVENTS)]}, tmp_path)
    assert (simple_rows(log), log.facts.set_aside["no_profile"]) == (ROWS, 1)


def test_a_query_gives_its_events(stored: Stored, tmp_path: Path) -> None:
    source = stored(EVENTS)
    chosen = f'select customer_id, "at", kind as event, amount as value\nfrom {source["table"]} -- all'
    query = f"{chosen}\nwhere amount > 4;"
    log = load({"events": [{"database": source["database"], "query": query}]}, tmp_path)
    assert simple_rows(log) == [row for row in ROWS if row[2] == "buy"]


def test_a_run_gives_the_scores_of_the_same_rows_in_a_file(stored: Stored, tmp_path: Path) -> None:
    events = shops.shop()
    pq.write_table(events, tmp_path / "events.parquet")
    runs = []
    for name, source in (("file", {"path": "events.parquet"}), ("database", stored(events))):
        document = shops.SHOP | {"data": shops.SHOP["data"] | {"events": [source], "folder": str(tmp_path)}}
        runs.append(propend.run(document, out=tmp_path / name, as_of=shops.last_day()))
    one, other = (run.scores.drop(["run_id"]) for run in runs)
    assert one.equals(other)
    told = json.loads((tmp_path / "database" / "run.json").read_text())["data"]["sources"][0]
    assert told["rows"] == events.num_rows


def test_attributes_come_from_databases_too(stored: Stored, tmp_path: Path) -> None:
    source = stored(pa.table({"customer_id": ["ann", "ben"], "city": ["Rome", "Oslo"], "age": [31.0, 42.0]}))
    log = load({"events": "events", "attributes": [source | {"constant": True}]}, tmp_path, {"events": EVENTS})
    assert (log.attribute_numbers, log.attribute_texts) == (("age",), ("city",))


def test_an_empty_table_is_a_table(stored: Stored, tmp_path: Path) -> None:
    named = {"profile": "customer_id", "at": "at"}
    source = stored(EVENTS.slice(0, 0))
    assert look({"events": [source], "columns": named}, tmp_path).kinds == {}


# --- types ----------------------------------------------------------------------------------------------------


def test_types_of_postgresql(server: Databases) -> None:
    url = server.new()
    with psycopg.connect(url) as connection:
        connection.execute("""
            CREATE TABLE t (i int, price numeric(12,2), n numeric(9,0), wide numeric, m money, at timestamptz,
                local timestamp, day date, ok bool, code char(4), doc jsonb, span interval, many int[], raw bytea)""")
        connection.execute("""
            INSERT INTO t VALUES (1, 12.5, 7, 1e20, 9.99, '2024-03-01 12:00+02', '2024-03-01 12:00', '2024-03-01', true,
                'ab', '{"a": 1}', '1 day', '{1,2}', 'x')""")
        connection.execute("""
            INSERT INTO t (price, n, wide, at, local, day)
            VALUES ('NaN', 'NaN', 'NaN', 'infinity', '-infinity', 'infinity')""")
    first, second = read(url, table="t").to_pylist()
    assert first == {
        "i": 1, "price": 12.5, "n": 7, "wide": 1e20, "m": 9.99, "at": datetime(2024, 3, 1, 10, tzinfo=UTC),
        "local": datetime(2024, 3, 1, 12), "day": date(2024, 3, 1), "ok": True, "code": "ab", "doc": '{"a": 1}',
        "span": "1 day", "many": [1, 2], "raw": b"x",
    }  # fmt: skip
    assert set(second.values()) == {None}


def test_values_of_several_types_in_one_column(tmp_path: Path) -> None:
    """SQLite allows it; that a whole number is none is seen late, and the rows are read again."""
    rows = [(i, i, "3") for i in range(50_000)] + [("x1", 0.5, None)]
    with sqlite3.connect(tmp_path / "odd.db") as connection:
        connection.execute("CREATE TABLE t (a, b, c)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.close()
    log = look({"events": [{"database": "odd.db", "query": "select a, b, c, '2024-01-01' as at from t"}],
                "columns": {"profile": "a", "at": "at"}, "kind": "x"}, tmp_path)  # fmt: skip
    assert ({n: f.type for n, f in log.fields.items()}, log.sources[0].rows) == ({"b": "number", "c": "text"}, 50_001)


def test_types_of_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "t.duckdb")) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT 1::HUGEINT AS h, uuid() AS u, {'a': 1} AS s, 1.5::DECIMAL(9,2) AS d"
        )
    (row,) = read("t.duckdb", tmp_path, table="t").to_pylist()
    assert (row["h"], len(row["u"]), row["s"], float(row["d"])) == (1.0, 36, {"a": 1}, 1.5)


# --- refusals -------------------------------------------------------------------------------------------------


def test_what_postgresql_refuses(server: Databases) -> None:
    url = in_postgres(EVENTS, Path(), server)
    place = url.partition("@")[2]
    host, _, name = place.partition("/")
    port = host.partition(":")[2]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SEQUENCE s; CREATE ROLE reads LOGIN")
    reads = url.replace("propend@", "reads@")
    slow = f"{url}?options=-c%20statement_timeout%3D50ms"
    unknown = url.replace("127.0.0.1", "nosuch.invalid")
    gone = url.replace(f":{port}/", ":1/")
    asked: list[tuple[str, dict[str, str]]] = [
        (url, {"table": "oders"}),
        (url, {"query": "select nope from shop.orders"}),
        (url, {"query": "select nextval('s')"}),
        (url, {"query": "select 1; drop table shop.orders"}),
        (reads, {"table": "shop.orders"}),
        (slow, {"query": "select pg_sleep(9)"}),
        (f"{url}x", {"table": "t"}),
        (unknown, {"table": "t"}),
        (gone, {"table": "t"}),
    ]
    told = []
    for database, wanted in asked:
        symbol, message, _ = refusal(database, **wanted)
        told.append((symbol, message.replace(database.partition("@")[2].partition("?")[0], "DB")))
    assert told == [
        ("DATABASE_REFUSED", "There is no table 'oders' in 'DB'."),
        ("DATABASE_REFUSED", "Reading the query of 'DB' fails: column \"nope\" does not exist."),
        ("DATABASE_REFUSED", "The query would write, and data is only ever read."),
        ("DATABASE_REFUSED", "The query is not a single reading statement."),
        ("DATABASE_REFUSED", "The account may not read the table 'shop.orders' of 'DB': permission denied for schema "
         "shop."),
        ("DATABASE_REFUSED", "Reading the query of 'DB' was stopped by the server: canceling statement due to "
         "statement timeout."),
        ("DATABASE_UNREACHABLE", f"The database 'DB' cannot be reached: database \"{name}x\" does not exist."),
        ("DATABASE_UNREACHABLE", "The database 'DB' cannot be reached: could not translate host name "
         "\"nosuch.invalid\" to address: Name or service not known."),
        ("DATABASE_UNREACHABLE", "The database 'DB' cannot be reached: connection to server at "
         "\"127.0.0.1\", port 1 failed: Connection refused."),
    ]  # fmt: skip
    assert refusal(url, table="oders")[2] == "did you mean 'shop.orders'?"


def test_what_files_refuse(tmp_path: Path) -> None:
    in_sqlite(EVENTS, tmp_path, None)
    in_duckdb(EVENTS, tmp_path, None)
    (tmp_path / "text.db").write_text("who,at\n")
    (tmp_path / ".propend").mkdir()
    (tmp_path / ".propend" / "catalog.db").write_bytes((tmp_path / "shop.db").read_bytes())
    (tmp_path / "secret.csv").write_text("a\n1\n")
    asked: list[tuple[str, dict[str, str]]] = [
        ("shop.db", {"table": "oders"}),
        ("shop.db", {"query": "select nope from orders"}),
        ("base.duckdb", {"table": "shop.oders"}),
        ("base.duckdb", {"query": f"select * from read_csv('{tmp_path / 'secret.csv'}')"}),
        ("base.duckdb", {"query": "drop table shop.orders"}),
        ("text.db", {"table": "t"}),
        ("shop.dbb", {"table": "t"}),
        (".propend/catalog.db", {"table": "orders"}),
        ("sqlite+aiosqlite:///.propend/catalog.db", {"table": "orders"}),
        ("mysql+nosuch://ana@127.0.0.1/shop", {"table": "t"}),
    ]
    told = [refusal(database, tmp_path, **wanted) for database, wanted in asked]
    assert [(symbol, message.partition(" Cannot access")[0]) for symbol, message, _ in told] == [
        ("DATABASE_REFUSED", "There is no table 'oders' in 'shop.db'."),
        ("DATABASE_REFUSED", "Reading the query of 'shop.db' fails: no such column: nope."),
        ("DATABASE_REFUSED", "There is no table 'shop.oders' in 'base.duckdb'."),
        ("DATABASE_REFUSED", "Reading the query of 'base.duckdb' fails:"),
        ("DATABASE_REFUSED", "The query is not a single reading statement."),
        ("SOURCE_UNREADABLE", "'text.db' is neither a DuckDB nor an SQLite database: it begins with b'who,at\\n'."),
        ("SOURCE_NOT_FOUND", "'shop.dbb' is not there."),
        ("SOURCE_UNREADABLE", "'.propend/catalog.db' is not one file with a database of yours."),
        ("SOURCE_UNREADABLE", "'.propend/catalog.db' is not one file with a database of yours."),
        ("DATABASE_UNREACHABLE", "No database is known by 'mysql+nosuch': Can't load plugin: "
         "sqlalchemy.dialects:mysql.nosuch."),
    ]  # fmt: skip
    assert [hint for _, _, hint in told[:3:2]] == ["did you mean 'orders'?", "did you mean 'shop.orders'?"]


def test_columns_of_one_name_are_refused(server: Databases, tmp_path: Path) -> None:
    url = server.new()
    with psycopg.connect(url) as connection:
        connection.execute('CREATE TABLE t ("at" timestamptz, id text, "At" text)')
    with pytest.raises(PropendError) as caught:
        look({"events": [{"database": url, "table": "t"}]}, tmp_path)
    assert caught.value.message == "'t' has columns of one name: 'At', 'at'."


DOCUMENTS = {
    "password": ({"database": "postgresql://ana:geheim@db/shop", "table": "t"}, "a password stands in the address"),
    "password in a part": ({"database": "postgresql://db/shop?password=geheim", "table": "t"}, "a password stands in"),
    "table alone": ({"table": "t"}, "a table is one of a database: name that too, as database: env:NAME"),
    "nothing asked": ({"database": "env:URL"}, "of a database either a table or a query is read"),
    "both": (
        {"database": "env:URL", "table": "t", "query": "select 1"},
        "of a database either a table or a query is read",
    ),
    "path": ({"database": "env:URL", "table": "t", "path": "x.csv"}, "of a database either a table or a query is read"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("key", ["events", "attributes"])
def test_mistakes_of_documents(name: str, key: str) -> None:
    source, problem = DOCUMENTS[name]
    with pytest.raises(ConfigurationError) as caught:
        Instance.load({"name": "x", "goal": {"did": "buy", "within": "30d"}, "data": {key: [source]}})
    assert problem in caught.value.message
    assert "geheim" not in str(caught.value) + json.dumps(caught.value.facts)


# --- secrets --------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(server: Databases) -> str:
    """An address without password of a database whose user ``ana`` needs one."""
    url = in_postgres(EVENTS, Path(), server)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS ana")
        connection.execute("CREATE ROLE ana LOGIN SUPERUSER PASSWORD 'ge:h@im'")
        (place,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        rules = Path(place).read_text(encoding="utf-8")
        if "ana" not in rules:
            Path(place).write_text(f"host all ana 127.0.0.1/32 scram-sha-256\n{rules}", encoding="utf-8")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_sleep(0.5)")
    return url.replace("propend@", "ana@")


def test_a_password_is_taken_from_where_it_is_kept(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = guarded.replace("ana@", "ana:ge%3Ah%40im@")
    place = guarded.partition("@")[2]
    wrong = (
        "DATABASE_UNREACHABLE",
        f'The database {place!r} cannot be reached: password authentication failed for user "ana".',
    )
    monkeypatch.setenv("PGPASSWORD", "ge:h@im")  # for the host in PGHOST, not for whatever a document names
    assert refusal(guarded, table="shop.orders")[1].endswith("no password supplied.")
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    assert read(guarded, table="shop.orders").num_rows == 4
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("PROPEND_DB_PASSWORD_127_0_0_1", "wrong")
    assert refusal(guarded, table="shop.orders")[:2] == wrong
    monkeypatch.setenv("PROPEND_DB_PASSWORD_127_0_0_1", "ge:h@im")
    assert read(guarded, table="shop.orders").num_rows == 4
    assert refusal(f"{guarded}?hostaddr=127.0.0.1", table="shop.orders")[1].endswith("no password supplied.")
    monkeypatch.delenv("PROPEND_DB_PASSWORD_127_0_0_1")
    monkeypatch.setenv("SHOP_URL", whole)
    assert read("env:SHOP_URL", table="shop.orders").num_rows == 4
    monkeypatch.setenv("SHOP_URL", whole.replace("ge%3Ah%40im", "ge%3Awrong"))
    told = refusal("env:SHOP_URL", table="shop.orders")
    assert told[:2] == (wrong[0], wrong[1].replace(repr(place), "'env:SHOP_URL'"))


def test_a_run_tells_no_secret(guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    url = guarded.replace("ana@", "ana:ge%3Ah%40im@")
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE events (profile_id text, at timestamptz, event text, amount float8, category text)"
        )
        with cursor.copy("COPY events FROM STDIN") as copy:
            for row in shops.shop().to_pylist():
                copy.write_row(list(row.values()))
    monkeypatch.setenv("SHOP_URL", url)
    document = shops.SHOP | {"data": shops.SHOP["data"] | {"events": [{"database": "env:SHOP_URL", "table": "events"}]}}
    propend.run(document, out=tmp_path / "run", as_of=shops.last_day())
    files = [p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()]
    told = "".join(capfd.readouterr())
    assert [s for s in ("ge:h@im", "ge%3Ah%40im", guarded) if s in told or any(s.encode() in f for f in files)] == []


class Pockets(KeyringBackend):
    """A keyring of one entry."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return "sqlite:///shop.db" if (service, username) == ("shop", "ana") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(service)

    def delete_password(self, service: str, username: str) -> None:
        raise RuntimeError(service)


@pytest.fixture
def pockets() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(Pockets())
    yield
    keyring.set_keyring(before)


def test_an_address_is_taken_from_the_keyring(pockets: None, tmp_path: Path) -> None:
    in_sqlite(EVENTS, tmp_path, None)
    assert read("keyring:shop/ana", tmp_path, table="orders").num_rows == 4
    assert refusal("keyring:shop/ben", tmp_path, table="orders")[1] == "The keyring has nothing under 'shop' for 'ben'."


def test_which_variables_hold_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPEND_DATABASE_URL", "postgresql://db/catalog")
    monkeypatch.setenv("WORDS", "geheim")
    monkeypatch.setenv("BROKEN", "postgresql://ana:ge[heim@db/shop")
    assert [
        refusal(f"env:{name}", table="t")[1] for name in ("MISSING", "PROPEND_DATABASE_URL", "WORDS", "BROKEN")
    ] == [
        "The environment variable 'MISSING' is not set.",
        "'PROPEND_DATABASE_URL' is no variable that an address can be in.",
        "'env:WORDS' holds no address of a database.",
        "The address of 'env:BROKEN' cannot be taken apart.",
    ]


def test_hosts_do_not_share_variables() -> None:
    names = ["db.shop.com", "db-shop.com", "db-shop-com", "DB.SHOP.COM", "db_shop.com", "a,b", ""]
    assert [variable_of(n).removeprefix("PROPEND_DB_PASSWORD_") for n in names] == [
        "DB_SHOP_COM", "DB__SHOP_COM", "DB__SHOP__COM", "DB_SHOP_COM", "", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize("part", ["host=evil.com", "hostaddr=6.6.6.6", "service=x", "odbc_connect=x", "unix_socket=x"])
def test_a_kept_password_goes_to_no_other_host(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPEND_DB_PASSWORD_DB", "geheim")
    one, other = (
        address_of("mysql+pymysql://ana@db/shop?charset=utf8"),
        address_of(f"mysql+pymysql://ana@db/shop?{part}"),
    )
    assert (one.url, other.password) == ("mysql+pymysql://ana:geheim@db/shop?charset=utf8", "")


# --- naming them ----------------------------------------------------------------------------------------------


def test_an_address_in_one_line() -> None:
    asked = [
        "env:URL?table=shop.orders",
        "postgresql://db/shop?sslmode=require&table=t",
        "shop.db?query=select 1",
        "shop.db",
        "a?b=c",
    ]
    named = [source_at(text) for text in asked]
    assert [s and s.model_dump(exclude_none=True) for s in named] == [
        {"database": "env:URL", "table": "shop.orders"},
        {"database": "postgresql://db/shop?sslmode=require", "table": "t"},
        {"database": "shop.db", "query": "select 1"},
        None,
        None,
    ]
    with pytest.raises(ConfigurationError, match="a password stands in the address"):
        source_at("postgresql://ana:geheim@db/shop?table=t")


def test_init_check_and_run_read_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    in_sqlite(shops.shop(), tmp_path, None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    first, day = "home/instances/first.yaml", str(shops.last_day())
    calls = [
        ["init", "home", "--data", "shop.db?table=orders"],
        ["check", first, "--as-of", day],
        ["check", first, "--as-of", day, "--data", "env:SHOP_URL?table=orders"],
        ["run", first, "--as-of", day, "--out", "results"],
    ]
    for call in calls:
        monkeypatch.setattr(sys, "argv", ["propend", *call])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert (left.value.code or 0, call) == (0, call), capsys.readouterr().err
    document = Instance.load(Path(first)).document()
    assert document["data"]["events"] == [{"database": "../shop.db", "table": "orders"}]
    assert {p.name for p in Path("results").iterdir()} > {"scores.parquet", "run.json"}


def test_a_proposal_of_several_tables(tmp_path: Path) -> None:
    in_duckdb(shops.shop(), tmp_path, None)
    with duckdb.connect(str(tmp_path / "base.duckdb")) as connection:
        connection.execute("CREATE TABLE visits AS SELECT profile_id, \"at\" FROM shop.orders WHERE event = 'visit'")
    found = propose([f"{tmp_path / 'base.duckdb'}?table={t}" for t in ("shop.orders", "visits")], tmp_path / "home")
    named = [(s.database, s.table, s.kind) for s in found.instance.data.events]
    assert named == [("../base.duckdb", "shop.orders", None), ("../base.duckdb", "visits", "visits")]


def test_cards_keep_and_change_databases() -> None:
    section = {"events": [{"database": "env:URL", "table": "a"}, "x.csv"], "folder": ".."}
    form = {"sources": [{"database": "env:URL", "table": "b"}, {"path": "x.csv"}], "add": ["env:URL?table=c"]}
    assert with_sources(section, form)["events"] == [
        {"database": "env:URL", "table": "b"}, "x.csv", {"database": "env:URL", "table": "c"},
    ]  # fmt: skip
