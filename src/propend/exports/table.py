"""One row for each profile, with columns of every instance: what tools of reverse ETL read.

Several instances share one table of PostgreSQL, or one Parquet file. A profile that leaves one of them has nulls there.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import Field, field_validator, model_validator

from propend.errors import OlderRunError, PushFailedError, first_line
from propend.exports.delivery import Delivery, Options, Past, Place, Pushed, Rehearsed, secret_name
from propend.exports.files import replaced, stands, tried, wrote
from propend.exports.postgres import KEY, NAME, SAYS, Column, Merge, checked_address, connected, rehearsed, type_of
from propend.exports.xdm import key_of
from propend.store.erasure import Who

TAKEN = ("score", "probability", "percentile", "bucket", "scored_at", "expires_at", "run_id")
"""Columns of the scores that are of use to others."""


class TableOptions(Options):
    """A table that several instances share.

    Attributes:
        url, password, table: of PostgreSQL, as for the kind ``postgres``.
        file: of a Parquet file below ``folder``, in place of PostgreSQL.
        prefix: of the columns' names; the instance's id by default.
    """

    how: ClassVar[frozenset[str]] = Options.how | {"password"}
    enriches: ClassVar[bool] = True

    url: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    password: str | None = None
    table: Annotated[str, Field(pattern=rf"^({NAME}\.)?{NAME}$")] = "propend_profiles"
    file: Annotated[str, Field(pattern=r"^[^/].{0,190}\.parquet$")] | None = None
    folder: Annotated[str, Field(min_length=1, max_length=500)] = "exports"
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,40}$")] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TableOptions:
        if (self.url is None) == (self.file is None):
            raise ValueError("either `url` of PostgreSQL or the name of a `file` is needed")
        return self

    @field_validator("url")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        return value if value is None else checked_address(value)

    @field_validator("password")
    @classmethod
    def _only_named(cls, value: str | None) -> str | None:
        return value if value is None else secret_name(value)


class TableDestination:
    """The columns of one instance in a table of profiles."""

    kind: ClassVar[str] = "table"
    options: ClassVar[type[Options]] = TableOptions

    def __init__(self, options: Any, place: Place) -> None:
        self._options, self._place = options, place

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        prefix = self._prefix(delivery.instance)
        if self._options.file is not None:
            return self._into_file(delivery, prefix)
        with connected(self._options) as cursor:
            merge = Merge(cursor, self._options.table, _columns(delivery, prefix), prefix, "null")
            merge.gate(delivery)
            return merge.run(delivery)

    def rehearse(self, delivery: Delivery) -> Rehearsed:
        """A few rows are merged in a transaction that is taken back, or written beside the file and removed."""
        prefix = self._prefix(delivery.instance)
        if self._options.file is None:
            return rehearsed(self._options, _columns(delivery, prefix), prefix, "null", delivery)
        path = self._place.file(self._options.folder, self._options.file)
        try:
            self._gate(_read(path), delivery, prefix)
            rows, shown = tried(path, "parquet", False, delivery, lambda batch: _own(batch, prefix))
            return Rehearsed((wrote(rows, self._options.folder), stands(path)), shown)
        except (OSError, pa.ArrowException) as error:
            problem = f"{path.name!r} cannot be read or written: {first_line(error):.200}."
            raise PushFailedError(problem, "see to the file and its folder.") from None

    def retract(self, source: str, past: Past) -> Pushed:
        prefix = self._prefix(source.partition("/")[0])
        if self._options.file is not None:
            return self._out_of_file(source, prefix)
        columns = [Column(prefix + n, "", n, "") for n in TAKEN]
        with connected(self._options) as cursor:
            return Merge(cursor, self._options.table, columns, prefix, "null").take_back(source)

    def forget(self, who: Who, past: Past) -> int:
        """Their rows, with what other instances say of them."""
        if self._options.file is None:
            with connected(self._options) as cursor:
                return Merge(cursor, self._options.table, [], "", "delete").forget(who)
        with self._locked() as path:
            table = _read(path)
            kept = table.filter(pa.array([not theirs for theirs in who(table.column(KEY))], pa.bool_()))
            _write(path, kept)
            return int(table.num_rows - kept.num_rows)

    def _prefix(self, instance: str) -> str:
        return (self._options.prefix or key_of(instance)) + "_"

    def _locked(self) -> _Locked:
        return _Locked(self._place, self._options)

    def _into_file(self, delivery: Delivery, prefix: str) -> Pushed:
        """The file with these columns anew; it is joined in memory, where the few columns of all profiles fit."""
        names = [KEY, *TAKEN]
        parts = [batch.select(names) for batch in delivery.parts()]
        fresh = pa.Table.from_batches(parts, pa.schema([delivery.schema.field(n) for n in names]))
        fresh = fresh.rename_columns([KEY, *(prefix + n for n in TAKEN)])
        with self._locked() as path:
            before = _read(path)
            self._gate(before, delivery, prefix)
            others = _others(before, prefix)
            merged = before.select(others).join(fresh, KEY, join_type="full outer").sort_by(KEY)
            mark = {f"propend.{prefix}": f"{delivery.source} {delivery.made_at.isoformat()} {delivery.run_id}"}
            _write(path, merged.replace_schema_metadata(_notes(before) | mark))
            was = set(before.column(KEY).to_pylist())
        added = sum(i not in was for i in fresh.column(KEY).to_pylist())
        return Pushed(fresh.num_rows, added=added, facts={"shared": str(path)})

    def _gate(self, before: pa.Table, delivery: Delivery, prefix: str) -> None:
        note = _notes(before).get(f"propend.{prefix}", "")
        if note and note.split()[1] > delivery.made_at.isoformat():
            raise OlderRunError(
                f"{self._options.file} has scores of {note.split()[0]} from a newer run.", "push the newest run."
            )

    def _out_of_file(self, source: str, prefix: str) -> Pushed:
        with self._locked() as path:
            before = _read(path)
            notes = {k: v for k, v in _notes(before).items() if k != f"propend.{prefix}"}
            rest = before.select(_others(before, prefix))
            _write(path, rest.replace_schema_metadata(notes))
        return Pushed(retracted=before.num_rows if rest.num_columns < before.num_columns else 0)


def _columns(delivery: Delivery, prefix: str) -> list[Column]:
    """In PostgreSQL."""
    kinds = {f.name: f.type for f in delivery.schema}
    return [Column(prefix + n, type_of(kinds[n]), n, SAYS.get(n, "")) for n in TAKEN]


def _own(batch: pa.RecordBatch, prefix: str) -> pa.RecordBatch:
    """The columns that are pushed, under their names in the file."""
    chosen = batch.select([KEY, *TAKEN])
    return pa.RecordBatch.from_arrays(chosen.columns, names=[KEY, *(prefix + n for n in TAKEN)])


class _Locked:
    """The file, with nobody else at it."""

    def __init__(self, place: Place, options: Any) -> None:
        self._path = place.file(options.folder, options.file)

    def __enter__(self) -> Any:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._path.with_name(f".{self._path.name}.lock"))
        self._lock.acquire()
        return self._path

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def _read(path: Any) -> pa.Table:
    return pq.read_table(path) if path.is_file() else pa.table({KEY: pa.array([], pa.string())})


def _write(path: Any, table: pa.Table) -> None:
    try:
        with replaced(path) as out:
            pq.write_table(table, out, compression="snappy")
    except OSError as error:
        raise PushFailedError(f"{path.name!r} cannot be written: {error.strerror}.", "see to the folder.") from None


def _others(table: pa.Table, prefix: str) -> list[str]:
    """Columns that are not those of a prefix."""
    own = {prefix + name for name in TAKEN}
    return [name for name in table.column_names if name not in own]


def _notes(table: pa.Table) -> dict[str, str]:
    found = table.schema.metadata or {}
    return {k.decode(): v.decode() for k, v in found.items() if k.startswith(b"propend.")}
