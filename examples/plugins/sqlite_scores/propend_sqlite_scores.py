"""Scores in a table of SQLite, which holds exactly those of the newest run."""

import sqlite3
from contextlib import closing, contextmanager

import pyarrow as pa

from propend.errors import PushFailedError
from propend.exports import Options, Pushed


class SqliteOptions(Options):
    file: str = "scores.db"


class SqliteDestination:
    kind, options = "sqlite", SqliteOptions

    def __init__(self, options, place):
        self._path = place.file("exports", options.file)

    def push(self, delivery, past):
        with self._table() as table:
            table.execute("DELETE FROM scores")
            for part in delivery.parts():
                table.executemany("INSERT INTO scores VALUES (:profile_id, :probability)", part.to_pylist())
            return Pushed(table.execute("SELECT count(*) FROM scores").fetchone()[0])

    def retract(self, source, past):
        with self._table() as table:
            return Pushed(retracted=table.execute("DELETE FROM scores").rowcount)

    def forget(self, who, past):
        with self._table() as table:
            gone = [row for row in table.execute("SELECT profile_id FROM scores") if who(pa.array(row))[0]]
            return table.executemany("DELETE FROM scores WHERE profile_id = ?", gone).rowcount if gone else 0

    @contextmanager
    def _table(self):
        try:
            self._path.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(self._path)) as database, database:  # one transaction, or nothing of it
                database.execute("CREATE TABLE IF NOT EXISTS scores (profile_id TEXT PRIMARY KEY, probability REAL)")
                database.execute("BEGIN IMMEDIATE")
                yield database
        except sqlite3.Error as error:
            raise PushFailedError(f"{self._path.name!r} did not take the scores: {error}.", "try again.") from error
