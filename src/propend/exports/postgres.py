"""Scores in a table of PostgreSQL: what changed is merged in one transaction, and who left is taken out by it.

Rows are copied into a temporary table and merged from there, so that nobody sees a half of them and a process that is
killed leaves the state before. What fills a table is noted in ``propend_pushes`` beside it, by the same transaction: an
older run does not replace a newer one, whoever pushes it, and two sources do not fill the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field, field_validator

from propend.connectors.secrets import Address
from propend.document import without_passwords
from propend.errors import DestinationRefusedError, OlderRunError, PushFailedError
from propend.exports.delivery import (
    Delivery,
    Options,
    Past,
    Place,
    Pushed,
    Rehearsed,
    is_secret_name,
    secret_name,
    secret_of,
)
from propend.exports.texts import as_json
from propend.store.erasure import Who

KEY = "profile_id"
LEDGER = "propend_pushes"
MARK = "retracted_at"
WAIT_SECONDS, CONNECT_SECONDS, REHEARSAL_SECONDS = 600, 15, 10
"""For others who have the table, for the server to answer, and for others while somebody looks on."""
NAME = r"[A-Za-z_][A-Za-z0-9_]{0,50}"
IDS_AT_ONCE = 50_000
Cursor = psycopg.Cursor[Any]


@dataclass(frozen=True)
class Column:
    """One column that is filled: its name and type in the table, where it comes from, and what it says."""

    name: str
    kind: str
    source: str
    says: str


SAYS = {
    "score": "0 to 100, odds relative to those of the average profile; not a probability",
    "probability": "calibrated chance, 0 to 1",
    "percentile": "1 to 100, rank in the run",
    "bucket": "low, medium or high",
    "times_average": "probability over the mean of all that were scored",
    "propensity_type": "conversion or churn",
    "scored_at": "nothing from this instant on was seen",
    "expires_at": "end of the window that the score speaks of",
    "factors": "what raises and lowers the score, with its impact in log-odds",
    "run_id": "the run that made the score",
}


class PostgresOptions(Options):
    """A table of its own for each destination.

    Attributes:
        url: ``postgresql://user@host/database`` without a password, or the name of a secret that has all of it.
        password: name of the secret that has the password.
        table: with its schema, if it is not ``public``.
        leavers: whether rows of profiles that left are deleted, or marked with ``retracted_at``.
    """

    how: ClassVar[frozenset[str]] = Options.how | {"password", "leavers"}

    url: Annotated[str, Field(min_length=1, max_length=500)]
    password: str | None = None
    table: Annotated[str, Field(pattern=rf"^({NAME}\.)?{NAME}$")]
    leavers: Literal["delete", "mark"] = "delete"

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str) -> str:
        return checked_address(value)

    @field_validator("password")
    @classmethod
    def _only_named(cls, value: str | None) -> str | None:
        return value if value is None else secret_name(value)


def checked_address(value: str) -> str:
    """An address of PostgreSQL that has no password, or the name of a secret.

    Raises:
        ValueError: it has one, or is none.
    """
    if value.startswith(("env:", "keyring:")):
        return secret_name(value)
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("an address such as postgresql://propend@db.example.com/crm is needed")
    if without_passwords(value) != value:
        raise ValueError("the address has a password; name it by `password: env:NAME`, and put it in that variable")
    return value


class PostgresDestination:
    """A table that holds the scores of the newest run of one source."""

    kind: ClassVar[str] = "postgres"
    options: ClassVar[type[Options]] = PostgresOptions

    def __init__(self, options: Any, place: Place) -> None:
        self._options = options

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        with connected(self._options) as cursor:
            merge = Merge(cursor, self._options.table, _columns(delivery), "", self._options.leavers)
            merge.gate(delivery)
            return merge.run(delivery)

    def rehearse(self, delivery: Delivery) -> Rehearsed:
        """A few rows are merged in a transaction that is taken back."""
        return rehearsed(self._options, _columns(delivery), "", self._options.leavers, delivery)

    def retract(self, source: str, past: Past) -> Pushed:
        with connected(self._options) as cursor:
            return Merge(cursor, self._options.table, [], "", self._options.leavers).take_back(source)

    def forget(self, who: Who, past: Past) -> int:
        with connected(self._options) as cursor:
            return Merge(cursor, self._options.table, [], "", "delete").forget(who)


def _columns(delivery: Delivery) -> list[Column]:
    return [Column(f.name, type_of(f.type), f.name, SAYS.get(f.name, "")) for f in delivery.schema if f.name != KEY]


def rehearsed(options: Any, columns: Sequence[Column], prefix: str, leave: str, delivery: Delivery) -> Rehearsed:
    """All that a push does, with a few rows, in a transaction that is taken back; the others' rows are not touched.

    Raises:
        PushFailedError: the database cannot be reached, refuses, or others keep it busy.
        OlderRunError, DestinationRefusedError: as a push is refused.
    """
    with connected(options, REHEARSAL_SECONDS) as cursor:
        merge = Merge(cursor, options.table, columns, prefix, leave)
        merge.gate(delivery)
        was_there, lacks = merge.is_there, merge.lacks()
        done = merge.run(delivery.few(), let_go=False)
        cursor.execute("SHOW server_version")
        version = str((cursor.fetchone() or ("",))[0]).partition(" ")[0]
        cursor.connection.rollback()
    taken = f"{done.rows} {'row' if done.rows == 1 else 'rows'}" if done.rows else "a push without rows"
    says = [f"PostgreSQL {version} took {taken} for {merge.name}, and put everything back: nothing was changed."]
    if not was_there:
        says.append("The table is not there yet: the first push makes it.")
    elif lacks:
        says.append(f"The table is there, without {', '.join(lacks)}: the first push adds them.")
    else:
        says.append(f"The table is there: of these rows {done.added} would be new, and {done.updated} change.")
    return Rehearsed(tuple(says))


class Merge:
    """What is done to one table, within one transaction that has the table for itself.

    Attributes:
        name: of the table, with its schema.
        is_there: whether it was there when the transaction began.
    """

    def __init__(self, cursor: Cursor, table: str, columns: Sequence[Column], prefix: str, leave: str) -> None:
        """``columns``: that are filled; ``prefix``: of their names, which tells sources apart that share the table;
        ``leave``: ``delete``, ``mark`` or ``null`` rows of profiles that left."""
        schema, _, name = table.rpartition(".")
        self._cursor, self._columns, self._prefix, self._leave = cursor, list(columns), prefix, leave
        self.name = f"{schema or 'public'}.{name}"
        self._table = sql.Identifier(schema or "public", name)
        self._ledger = sql.Identifier(schema or "public", LEDGER)
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"propend:{schema or 'public'}"])
        self.is_there = self._has(self._table)
        self._is_noted = self._has(self._ledger)

    def gate(self, delivery: Delivery) -> None:
        """Refuse what would replace newer scores, or those of others.

        Raises:
            OlderRunError: a newer run was pushed.
            DestinationRefusedError: something else fills these columns.
        """
        for source, prefix, run_id, made_at in self._notes():
            if prefix != self._prefix and "" in (prefix, self._prefix):
                raise _filled(self.name, source)
            if prefix == self._prefix and source != delivery.source:
                raise _filled(self.name, source)
            if prefix == self._prefix and made_at > delivery.made_at:
                raise OlderRunError(
                    f"{self.name} has the scores of run {run_id}, which is newer than {delivery.run_id}.",
                    "push the newest run; an older one replaces nothing.", run=run_id,
                )  # fmt: skip

    def lacks(self) -> list[str]:
        """The columns that a table which is there has not yet."""
        known = set(self._known_columns()) if self.is_there else set()
        return [column.name for column in self._columns if column.name not in known]

    def run(self, delivery: Delivery, let_go: bool = True) -> Pushed:
        """Merge all rows of a delivery; those that are not in it are let go, or only asked whether they might be."""
        self._make(delivery)
        rows = self._stage(delivery)
        names = [sql.Identifier(c.name) for c in self._columns]
        theirs, ours = (sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.Identifier(t), n) for n in names) for t in "ts")
        back = sql.SQL(", {} = NULL").format(sql.Identifier(MARK)) if self._leave == "mark" else sql.SQL("")
        again = sql.SQL(" OR t.{} IS NOT NULL").format(sql.Identifier(MARK)) if back.as_string() else sql.SQL("")
        sets = sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(n) for n in names)
        updated = self._done(
            "UPDATE {table} AS t SET {sets}{back} FROM staged AS s WHERE t.{key} = s.{key} "
            "AND (ROW({theirs}) IS DISTINCT FROM ROW({ours}){again})",
            sets=sets, back=back, theirs=theirs, ours=ours, again=again,
        )  # fmt: skip
        added = self._done(
            "INSERT INTO {table} ({key}, {names}) SELECT {key}, {names} FROM staged AS s "
            "WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE t.{key} = s.{key})",
            names=sql.SQL(", ").join(names),
        )
        left = "NOT EXISTS (SELECT FROM staged AS s WHERE s.{key} = t.{key})" if let_go else "false"
        gone = self._let_go(sql.SQL(left).format(key=sql.Identifier(KEY)))
        self._note(delivery, rows)
        return Pushed(rows, added, updated, gone)

    def take_back(self, source: str) -> Pushed:
        """Take back all rows of a source; of a table that others fill, nothing."""
        found = [note for note in self._notes() if note[:2] == (source, self._prefix)] if self.is_there else []
        if not found:
            return Pushed(retracted=0)
        gone = self._let_go(sql.SQL("true"))
        self._cursor.execute(
            sql.SQL("DELETE FROM {} WHERE table_name = %s AND source = %s").format(self._ledger), [self.name, source]
        )
        return Pushed(retracted=gone)

    def forget(self, who: Who) -> int:
        """Delete the rows of people, whatever else they have."""
        if not self.is_there or not self._notes():
            return 0
        gone: list[str] = []
        with self._cursor.connection.cursor("ids") as ids:
            ids.itersize = IDS_AT_ONCE
            ids.execute(sql.SQL("SELECT {} FROM {}").format(sql.Identifier(KEY), self._table))
            while some := [str(row[0]) for row in ids.fetchmany(IDS_AT_ONCE)]:
                gone += [i for i, theirs in zip(some, who(pa.array(some, pa.string())), strict=True) if theirs]
        return self._done("DELETE FROM {table} WHERE {key} = ANY(%s)", [gone])

    # --- within -------------------------------------------------------------------------------------------

    def _done(self, text: str, values: Sequence[Any] = (), **parts: sql.Composable) -> int:
        parts |= {"table": self._table, "key": sql.Identifier(KEY)}
        self._cursor.execute(sql.SQL(text).format(**parts), values or None)  # else a % in a name asks for a value
        return max(self._cursor.rowcount, 0)

    def _has(self, name: sql.Identifier) -> bool:
        """Whether there is such a table; a name that is not quoted would be looked up in small letters."""
        self._cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name.as_string()])
        found = self._cursor.fetchone()
        return bool(found and found[0])

    def _notes(self) -> list[tuple[Any, ...]]:
        """What fills the table: source, prefix, run, when the run was made."""
        if not self._is_noted:
            return []
        asked = sql.SQL("SELECT source, prefix, run_id, made_at FROM {} WHERE table_name = %s").format(self._ledger)
        return list(self._cursor.execute(asked, [self.name]).fetchall())

    def _note(self, delivery: Delivery, rows: int) -> None:
        """The run that fills the table from now on; the same again changes nothing."""
        self._cursor.execute(
            sql.SQL(
                "INSERT INTO {} AS l (table_name, source, prefix, run_id, made_at, rows) "
                "VALUES (%s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (table_name, source, prefix) DO UPDATE SET run_id = excluded.run_id, "
                "made_at = excluded.made_at, rows = excluded.rows, pushed_at = now() WHERE (l.run_id, l.rows) "
                "IS DISTINCT FROM (excluded.run_id, excluded.rows)"
            ).format(self._ledger),
            [self.name, delivery.source, self._prefix, delivery.run_id, delivery.made_at, rows],
        )

    def _make(self, delivery: Delivery) -> None:
        """The ledger, the table and its columns, where they are missing."""
        if not self._is_noted:
            self._cursor.execute(
                sql.SQL(
                    "CREATE TABLE {} (table_name text, source text, prefix text, run_id text NOT NULL, "
                    "made_at timestamptz NOT NULL, rows bigint NOT NULL, pushed_at timestamptz NOT NULL DEFAULT now(), "
                    "PRIMARY KEY (table_name, source, prefix))"
                ).format(self._ledger)
            )
        if not self.is_there:
            self._done("CREATE TABLE {table} ({key} text PRIMARY KEY)")
            says = sql.Literal(f"Scores of propend, one row for each profile; filled by {delivery.source}")
            self._done("COMMENT ON TABLE {table} IS {says}", says=says)
        self._gate_key()
        known = set(self._known_columns())
        marked = (
            [Column(MARK, "timestamptz", "", "since when the profile has no score")] if self._leave == "mark" else []
        )
        for column in [*self._columns, *marked]:
            if column.name not in known:
                name, kind = sql.Identifier(column.name), sql.SQL(column.kind)
                self._done("ALTER TABLE {table} ADD COLUMN {name} {kind}", name=name, kind=kind)
                if column.says:
                    says = sql.Literal(column.says)
                    self._done("COMMENT ON COLUMN {table}.{name} IS {says}", name=name, says=says)

    def _gate_key(self) -> None:
        asked = (
            "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
            "WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indnkeyatts = 1 AND a.attname = %s"
        )
        found = self._cursor.execute(asked, [self._table.as_string(), KEY]).fetchone()
        if not found or not found[0]:
            raise DestinationRefusedError(
                f"The table {self.name} is there, and its column {KEY} is not unique, or missing.",
                f"name another table, or give it `{KEY} text PRIMARY KEY`.", table=self.name,
            )  # fmt: skip

    def _known_columns(self) -> list[str]:
        asked = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        return [str(row[0]) for row in self._cursor.execute(asked, [self._table.as_string()]).fetchall()]

    def _stage(self, delivery: Delivery) -> int:
        """Copy the rows into a temporary table; gives how many they are."""
        kinds = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(c.kind)) for c in self._columns
        )
        self._done("CREATE TEMP TABLE staged ({key} text PRIMARY KEY, {kinds}) ON COMMIT DROP", kinds=kinds)
        rows = 0
        with self._cursor.copy("COPY staged FROM STDIN (FORMAT csv)") as copy:
            for batch in delivery.parts():
                rows += batch.num_rows
                copy.write(self._as_csv(batch))
        self._cursor.execute("ANALYZE staged")
        return rows

    def _as_csv(self, batch: pa.RecordBatch) -> bytes:
        columns = [batch.column(KEY), *(_plain(batch.column(c.source)) for c in self._columns)]
        sink = pa.BufferOutputStream()
        table = pa.table(columns, names=[str(i) for i in range(len(columns))])
        pacsv.write_csv(table, sink, pacsv.WriteOptions(include_header=False))
        return bytes(sink.getvalue())

    def _let_go(self, who_left: sql.Composable) -> int:
        """Rows of profiles that left; rows that others put there have nothing of ours, and stay."""
        run = sql.Identifier(f"{self._prefix}run_id")
        if self._leave == "delete":
            return self._done("DELETE FROM {table} AS t WHERE {who} AND t.{run} IS NOT NULL", who=who_left, run=run)
        if self._leave == "mark":
            text = "UPDATE {table} AS t SET {mark} = now() WHERE {who} AND t.{run} IS NOT NULL AND t.{mark} IS NULL"
            return self._done(text, who=who_left, run=run, mark=sql.Identifier(MARK))
        sets = sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(c.name)) for c in self._columns)
        text = "UPDATE {table} AS t SET {sets} WHERE {who} AND t.{run} IS NOT NULL"
        return self._done(text, who=who_left, run=run, sets=sets)


def type_of(kind: pa.DataType) -> str:
    """The type of PostgreSQL that holds a type of Arrow."""
    if pa.types.is_list(kind) or pa.types.is_struct(kind):
        return "jsonb"
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    names = {"float": "real", "double": "double precision", "int8": "smallint", "int16": "smallint", "int32": "integer",
             "int64": "bigint", "bool": "boolean"}  # fmt: skip
    return names.get(str(kind), "text")


def _plain(column: pa.Array) -> pa.Array:
    if not pa.types.is_nested(column.type):
        return column
    return pc.if_else(pc.is_valid(column), as_json(column), pa.scalar(None, pa.string()))


@contextmanager
def connected(options: Any, wait_seconds: int = WAIT_SECONDS) -> Iterator[Cursor]:
    """A transaction, committed at the end or not at all.

    Args:
        wait_seconds: for a table that others have locked.

    Raises:
        PushFailedError: the database cannot be reached, or refuses.
    """
    address = secret_of(options.url) if is_secret_name(options.url) else options.url
    password = secret_of(options.password) if options.password is not None else None
    try:
        if password is None and not Address(options.url, address, _password_in(address)).takes_common_password:
            password = ""  # else PGPASSWORD would go to whichever host a destination names
        whole = make_conninfo(address, **({} if password is None else {"password": password}))
        with (
            psycopg.connect(whole, connect_timeout=CONNECT_SECONDS, application_name="propend") as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SET LOCAL lock_timeout = '{wait_seconds}s'")
            cursor.execute("SET LOCAL client_encoding = 'UTF8'")
            yield cursor
    except psycopg.Error as error:
        raise _failed(error, [s for s in (address, password) if s]) from None


def _password_in(address: str) -> str:
    return str(conninfo_to_dict(address).get("password") or "")


def _failed(error: psycopg.Error, secrets: Sequence[str]) -> PushFailedError:
    text = (error.diag.message_primary or str(error) or type(error).__name__).strip().splitlines()[0]
    for secret in secrets:
        text = text.replace(secret, "hidden")
    return PushFailedError(
        f"PostgreSQL did not take the scores: {without_passwords(text):.300}.",
        "what was there before stands; the push may be repeated.", state=error.sqlstate,
    )  # fmt: skip


def _filled(table: str, source: str) -> DestinationRefusedError:
    return DestinationRefusedError(
        f"The table {table} is filled by {source!r}.", "name another table, or take that one back first.", table=table
    )
