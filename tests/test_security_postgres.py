"""Attacks on PostgreSQL by names, values and queries, on a real server: only what is meant is read or written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from deliveries import delivery, scores
from postgres import databases
from propend.connectors import Links, Origin, Table, locate
from propend.connectors.origins import Since
from propend.errors import ConfigurationError, DatabaseRefusedError, PropendError, PushFailedError
from propend.exports import Past, Place, destination, options_of
from propend.store.erasure import exactly

HOSTILE = [
    "a'; DROP TABLE victim; --",
    'a"; DROP TABLE victim; --',
    "\\'; DROP TABLE victim; --",
    "$$; DROP TABLE victim; $$",
    "%s %(x)s {0} {x}",
    "/* a */ -- b\n; DELETE FROM victim",
    "E'\\''; COPY victim TO PROGRAM 'id'",
    "Ünï\u202e\U0001f642",
    "SELECT",
    "a\tb\rc",
]
"""Names and values: ends of texts and names, placeholders, remarks, directions of writing."""


@pytest.fixture(scope="module", params=["on", "off"])
def url(request: pytest.FixtureRequest) -> str:
    """A database; also one where a backslash in a text is no plain letter."""
    found = databases(request).new()
    with psycopg.connect(found, autocommit=True) as connection:
        name = sql.Identifier(found.rpartition("/")[2])
        wanted = sql.SQL("ALTER DATABASE {} SET standard_conforming_strings = {}").format(name, sql.SQL(request.param))
        try:
            connection.execute(wanted)
        except psycopg.Error:
            pytest.skip("this PostgreSQL knows no other texts")
    return found


@pytest.fixture
def ask(url: str) -> Iterator[Any]:
    """Asks the database, in which nothing is but a table of somebody else's; that one is as it was in the end."""
    with psycopg.connect(url, autocommit=True) as connection:
        made = "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        for (schema,) in connection.execute(made).fetchall():
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        connection.execute("CREATE SCHEMA public; CREATE TABLE victim (id text); INSERT INTO victim VALUES ('here')")

        def asked(text: Any, *values: Any) -> list[Any]:
            found = connection.execute(text, values or None)
            return list(found.fetchall()) if found.description else []

        yield asked
        assert connection.execute("SELECT id FROM victim").fetchall() == [("here",)], "the victim was reached"


def read(url: str, since: Since | None = None, **wanted: str) -> list[dict[str, Any]]:
    """What a connector reads."""
    links = Links()
    try:
        origin = Origin((), Path(), {}, Path(), table=Table(url, **wanted), links=links)
        rows: list[dict[str, Any]] = locate(origin).streams[0].read(since).read_all().to_pylist()
        return rows
    finally:
        links.close()


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_names_of_tables_and_columns_are_names(url: str, ask: Any, text: str) -> None:
    """In a schema, as a table, as a column, and as what rows are asked for by."""
    name = text[:60].replace(".", "")
    table, column = sql.Identifier(name, name), sql.Identifier(name)
    ask(sql.SQL("CREATE SCHEMA {}").format(column))
    ask(sql.SQL("CREATE TABLE {} ({} text, at timestamptz)").format(table, column))
    ask(sql.SQL("INSERT INTO {} VALUES ({}, now())").format(table, sql.Literal(text)))
    assert [row[name] for row in read(url, table=f"{name}.{name}")] == [text]
    assert [row[name] for row in read(url, Since(name, text, {}), table=f"{name}.{name}")] == [text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_that_is_not_there_is_told_by_its_name(url: str, ask: Any, text: str) -> None:
    with pytest.raises(DatabaseRefusedError) as refused:
        read(url, table=text)
    assert refused.value.facts["table"] == text


@pytest.mark.parametrize("begins", HOSTILE)
def test_a_time_that_rows_are_asked_from_is_a_value(url: str, ask: Any, begins: str) -> None:
    """It comes from the data of the run before: texts as they stand there, compared by their bytes."""
    ask("CREATE TABLE events (at text)")
    texts = [*HOSTILE, "", "z", "\U0010ffff"]
    for text in texts:
        ask("INSERT INTO events VALUES (%s)", text)
    found = [row["at"] for row in read(url, Since("at", begins, {}), table="events")]
    assert sorted(found) == sorted(t for t in texts if t.encode() >= begins.encode())


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM victim RETURNING *",
        "SELECT 1; DROP TABLE victim",
        "SELECT 1) AS q; DROP TABLE victim; --",
        "SELECT a$b$ FROM (SELECT 1 AS a$b$) AS q) AS q; DROP TABLE victim; --$b$",
        "SELECT a$b$, 1 AS x FROM (SELECT 1 AS a$b$) AS s; DROP TABLE victim; SELECT 1 --$b$",
        "WITH gone AS (DELETE FROM victim RETURNING *) SELECT * FROM gone",
        "WITH x AS (SELECT set_config('transaction_read_only', 'off', true)), "
        "y AS (DELETE FROM victim RETURNING *) SELECT * FROM x, y",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT lo_create(0)",
        "SELECT nextval('counted')",
        "SELECT * FROM victim FOR UPDATE",
        "TABLE victim) TO PROGRAM 'touch /tmp/reached'; --",
        "SELECT 1 /* /* ; */ DROP TABLE victim */; DROP TABLE victim",
        "SELECT E'\\'; DROP TABLE victim; --'",
        "COPY victim TO '/tmp/reached'",
        "DO $$ BEGIN DELETE FROM victim; END $$",
        "CALL x()",
        "EXPLAIN ANALYZE DELETE FROM victim",
        "VALUES (1)); DROP TABLE victim; VALUES ((1)",
    ],
)
def test_a_query_reads(url: str, ask: Any, query: str) -> None:
    """Whatever a document asks: refused as it is written, by the transaction, or answered without a change."""
    ask("CREATE SEQUENCE counted")
    objects = "SELECT oid FROM pg_largeobject_metadata"
    try:
        read(url, query=query)
    except PropendError as refused:
        assert isinstance(refused, DatabaseRefusedError), refused
    assert ask(objects) == []
    assert ask("SELECT is_called FROM counted") == [(False,)]
    assert not Path("/tmp/reached").exists()


# --- pushing -----------------------------------------------------------------------------------------------------


def table_of(url: str, **options: Any) -> Any:
    return destination("postgres", {"url": url, "table": "scores"} | options, Place(Path()))


def test_ids_and_texts_that_are_pushed_are_values(url: str, ask: Any) -> None:
    """Ids, buckets, runs, instances and their audiences, in rows, notes and remarks, and who is forgotten by id."""
    table = scores(HOSTILE)
    for name in ("bucket", "propensity_type", "instance", "run_id"):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(sorted(HOSTILE)))
    given = dataclasses.replace(delivery(table), instance=HOSTILE[2], audience=HOSTILE[0], run_id=HOSTILE[3])
    assert table_of(url).push(given, Past()).added == len(HOSTILE)
    found = ask("SELECT profile_id, bucket, propensity_type, instance, run_id FROM scores")
    assert sorted(found) == sorted((text,) * 5 for text in HOSTILE)
    assert ask("SELECT source, run_id FROM propend_pushes") == [(f"{HOSTILE[2]}/{HOSTILE[0]}", HOSTILE[3])]
    assert given.source in ask("SELECT obj_description('scores'::regclass)")[0][0]
    assert table_of(url).forget(exactly(HOSTILE[2]), Past()) == 1
    assert table_of(url).retract(given.source, Past()).retracted == len(HOSTILE) - 1


def test_names_of_columns_that_are_pushed_are_names(url: str, ask: Any) -> None:
    """Of scores with further columns, as a run with more of them may have."""
    names = [text[:60] for text in HOSTILE]
    table = scores(["a", "b"])
    for name in names:
        table = table.append_column(name, pa.array([name, None]))
    given = dataclasses.replace(
        delivery(table), schema=table.schema, parts=lambda: iter(table.combine_chunks().to_batches())
    )
    assert table_of(url).push(given, Past()).added == 2
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    asked = sql.SQL("SELECT {} FROM scores ORDER BY profile_id").format(columns)
    assert ask(asked) == [tuple(names), (None,) * len(names)]


@pytest.mark.parametrize("text", [*HOSTILE, "a.b.c", ".a", "a.", "a" * 60, "a-b", " a"])
def test_tables_that_are_pushed_to_have_plain_names(text: str) -> None:
    with pytest.raises(ConfigurationError, match="table"):
        options_of("postgres", {"url": "postgresql://db/x", "table": text}) if text != "SELECT" else options_of(
            "table", {"url": "postgresql://db/x", "table": "SELECT;"}
        )


@pytest.mark.parametrize("name", ["Scores", "select", "public.Select", "Crm.User"])
def test_names_mean_what_is_written(url: str, ask: Any, name: str) -> None:
    """Capital letters and words of SQL: the same table is found again, and no other."""
    ask('CREATE SCHEMA "Crm"; CREATE TABLE scores (id int)')
    given = delivery(scores(["a", "b"]))
    done = [table_of(url, table=name).push(given, Past()).added for _ in range(2)]
    assert done == [2, 0]
    assert table_of(url, table=name).forget(exactly("a"), Past()) == 1
    assert table_of(url, table=name).retract(given.source, Past()).retracted == 1
    assert ask("SELECT count(*) FROM scores") == [(0,)]


def test_the_common_password_goes_to_its_own_host(url: str, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``PGPASSWORD`` is for the host that ``PGHOST`` names, not for whichever a destination does."""
    given, sent = delivery(scores(["a"])), list[str]()
    real = psycopg.connect

    def connect(whole: str, **more: Any) -> Any:
        sent.append(whole)
        return real(whole, **more)

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setenv("PGPASSWORD", "geheim")
    monkeypatch.setenv("PGHOST", "db.example")
    assert table_of(url).push(given, Past()).rows == 1
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    assert table_of(url).push(given, Past()).rows == 1
    passwords = [psycopg.conninfo.conninfo_to_dict(whole).get("password") for whole in sent]
    assert passwords == ["", None]  # none at all; and what the process itself is told
    with pytest.raises(PushFailedError):
        table_of("postgresql://ana@127.0.0.1:1,e.example/x").push(given, Past())
    assert psycopg.conninfo.conninfo_to_dict(sent[-1])["password"] == ""
