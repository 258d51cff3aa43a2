"""Scores as files: CSV for sheets, Parquet, JSON lines, and the two forms of XDM.

A file is written beside its place and takes it by one rename: whoever reads meanwhile reads the old one or the new one.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from propend.errors import PushFailedError, free_near
from propend.exports import xdm
from propend.exports.delivery import Delivery, Options, Past, Place, Pushed, Rehearsed
from propend.exports.sheets import as_csv
from propend.exports.texts import rows_as_json
from propend.phrasing import count
from propend.store.erasure import Who
from propend.writing import trial_file, whole_file

Plain = dict[str, Any]
SCHEMA_ENDING = ".schema.json"
GROUP_ROWS, RECORDS_AT_ONCE = 32_768, 10_000
MOST_SHOWN = 6_000
"""Letters of a rehearsal's rows that are shown."""
FIELDS = ("instance", "audience", "run_id", "scored_at")
"""What a name can have in braces."""
Shape = Callable[[pa.RecordBatch], pa.RecordBatch]


class _Written(Options):
    """What is common to files.

    Attributes:
        folder: where they go, relative to the workspace.
        name: of a file, without its ending; ``{instance}``, ``{audience}`` (``all`` or ``segment-3``), ``{run_id}`` and
            ``{scored_at}`` (a day) stand for what they say.
        gzip: whether texts are compressed.
    """

    folder: Annotated[str, Field(min_length=1, max_length=500)] = "exports"
    name: Annotated[str, Field(min_length=1, max_length=200)] = "{instance}-{audience}"
    gzip: bool = False

    @field_validator("name")
    @classmethod
    def _known_fields(cls, value: str) -> str:
        try:
            named(value, dict.fromkeys(FIELDS, "x"))
        except (KeyError, ValueError, IndexError, AttributeError):
            raise ValueError(f"{value!r:.80} is not a name; in braces may stand {', '.join(FIELDS)}") from None
        return value


class FileOptions(_Written):
    """Of files of scores; ``format``: ``csv``, ``parquet`` or ``jsonl``."""

    format: Literal["csv", "parquet", "jsonl"] = "csv"


class XdmOptions(_Written, xdm.Naming):
    """Of files of XDM; ``format``: ``jsonl`` or ``parquet``."""

    enriches: ClassVar[bool] = True

    format: Literal["parquet", "jsonl"] = "jsonl"


class XdmEventOptions(XdmOptions):
    """The same, with a file for every run: a history, which is nobody's fact."""

    enriches: ClassVar[bool] = False

    name: Annotated[str, Field(min_length=1, max_length=200)] = "{instance}-{audience}-events-{run_id}"


def named(template: str, values: dict[str, str]) -> str:
    """A name from its template, which may use nothing but ``FIELDS``."""
    return template.format_map({k: v.replace("/", "-") for k, v in values.items()})


class FileDestination:
    """One file that each run replaces; or one for each run, where the name says ``{run_id}`` or ``{scored_at}``."""

    kind: ClassVar[str] = "file"
    options: ClassVar[type[Options]] = FileOptions

    def __init__(self, options: Any, place: Place) -> None:
        """Refused at once where the folder is not allowed."""
        self._options, self._place = options, place
        place.file(options.folder, "scores")

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        path = self._path(delivery)
        with _telling(path):
            rows = self._write(path, delivery)
        return Pushed(rows, facts={"files": [str(path)], "form": self._options.format})

    def rehearse(self, delivery: Delivery) -> Rehearsed:
        """A few rows are written beside the file, read again, and removed."""
        path, form, packed = self._path(delivery), self._options.format, self._options.gzip
        with _telling(path):
            rows, shown = tried(path, form, packed, delivery, self._shape(delivery))
            return Rehearsed((wrote(rows, self._options.folder), stands(path)), shown)

    def retract(self, source: str, past: Past) -> Pushed:
        gone = 0
        for path in self._files(past):
            with _telling(path):
                gone += path.is_file()
                path.unlink(missing_ok=True)
        return Pushed(facts={"files_removed": gone})

    def forget(self, who: Who, past: Past) -> int:
        """Every file that was written and is still there is written anew without them."""
        total = 0
        for path in self._files(past):
            if path.is_file() and not path.name.endswith(SCHEMA_ENDING):
                with _telling(path):
                    total += self._without(path, who)
        return total

    def _files(self, past: Past) -> list[Path]:
        """What was written and is still there.

        Raises:
            DestinationRefusedError: a link leads elsewhere by now.
        """
        names = dict.fromkeys(str(name) for facts in past.facts for name in facts.get("files", ()))
        return [self._place.written(name) for name in names if os.path.lexists(name)]

    def _path(self, delivery: Delivery) -> Path:
        values = {"instance": delivery.instance, "audience": delivery.audience, "run_id": delivery.run_id,
                  "scored_at": f"{delivery.scored_at:%Y-%m-%d}"}  # fmt: skip
        ending = {"csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}[self._options.format]
        packed = ".gz" if self._options.gzip and self._options.format != "parquet" else ""
        return self._place.file(self._options.folder, named(self._options.name, values) + ending + packed)

    def _write(self, path: Path, delivery: Delivery) -> int:
        return write_rows(path, self._options.format, self._options.gzip, delivery, self._shape(delivery))

    def _shape(self, delivery: Delivery) -> Shape | None:
        return None

    def _ids(self, batch: pa.RecordBatch) -> pa.Array:
        return batch.column("profile_id")

    def _id_of(self, row: Plain) -> str:
        return str(row["profile_id"])

    def _without(self, path: Path, who: Who) -> int:
        """Write a file anew without people; gives how many rows it had of them, and leaves it where it had none."""
        if path.suffix == ".parquet":
            return _parquet_without(path, self._ids, who)
        packed = path.suffix == ".gz"
        csv_rows = path.name.removesuffix(".gz").endswith(".csv")
        with replaced(path) as out, _writer(out, packed) as to, _reader(path, packed) as lines:
            if csv_rows:
                to.write(next(lines).encode())
            gone = 0
            records = _csv_records(lines) if csv_rows else lines
            while some := list(islice(records, RECORDS_AT_ONCE)):
                ids = [_first_cell(line) if csv_rows else self._id_of(json.loads(line)) for line in some]
                kept = [line for line, theirs in zip(some, who(pa.array(ids, pa.string())), strict=True) if not theirs]
                gone += len(some) - len(kept)
                to.write("".join(kept).encode())
        return gone


class XdmProfileDestination(FileDestination):
    """Files in the form of an Individual Profile: one that each run replaces, and its schema beside it."""

    kind: ClassVar[str] = "xdm-profile"
    options: ClassVar[type[Options]] = XdmOptions
    form: ClassVar[xdm.Form] = "profile"

    def push(self, delivery: Delivery, past: Past) -> Pushed:
        """Besides the rows, the schema of a row."""
        done = super().push(delivery, past)
        path = self._path(delivery)
        schema = path.with_name(path.name.removesuffix(".gz").rpartition(".")[0] + SCHEMA_ENDING)
        text = json.dumps(xdm.schema_of(self.form, self._options, delivery.instance), indent=1)
        with _telling(schema), replaced(schema) as out:
            out.write(text.encode())
        return Pushed(done.rows, facts=done.facts | {"files": [*done.facts["files"], str(schema)]})

    def _shape(self, delivery: Delivery) -> Shape | None:
        return lambda batch: xdm.shaped(batch, self.form, self._options, delivery.instance)

    def _ids(self, batch: pa.RecordBatch) -> pa.Array:
        return xdm.ids_of(batch, self._options.namespace)

    def _id_of(self, row: Plain) -> str:
        return str(row["identityMap"][self._options.namespace][0]["id"])


class XdmEventDestination(XdmProfileDestination):
    """Files in the form of ExperienceEvents: one for each run, which together are a history."""

    kind: ClassVar[str] = "xdm-event"
    options: ClassVar[type[Options]] = XdmEventOptions
    form: ClassVar[xdm.Form] = "event"


# --- writing ----------------------------------------------------------------------------------------------------


def write_file(path: Path, form: str, packed: bool, delivery: Delivery) -> int:
    """``write_rows``, and what a disk may refuse is told.

    Raises:
        PushFailedError: the file cannot be written.
    """
    with _telling(path):
        return write_rows(path, form, packed, delivery)


def write_rows(path: Path, form: str, packed: bool, delivery: Delivery, shape: Shape | None = None) -> int:
    """Write the rows of a delivery to a file, a part at a time; gives how many.

    Args:
        form: ``csv``, ``jsonl`` or ``parquet``.
        packed: whether texts are compressed.
        shape: makes other rows of rows.
    """
    with replaced(path) as out:
        return _into(out, form, packed, delivery, shape)


def _into(out: IO[bytes], form: str, packed: bool, delivery: Delivery, shape: Shape | None) -> int:
    """``write_rows`` into a file that is open."""
    parts: Iterator[pa.RecordBatch] = delivery.parts()
    if shape is not None:
        parts = map(shape, parts)
    if form == "parquet":
        empty = delivery.schema.empty_table().to_batches() or [_empty(delivery.schema)]
        schema = shape(empty[0]).schema if shape is not None else delivery.schema
        return _parquet(out, parts, schema)
    with _writer(out, packed) as to:
        rows = 0
        if form == "csv":
            to.write(as_csv(delivery.schema.empty_table(), True))
        for batch in parts:
            rows += batch.num_rows
            to.write(as_csv(pa.Table.from_batches([batch]), False) if form == "csv" else lines_of(batch))
        return rows


def tried(path: Path, form: str, packed: bool, delivery: Delivery, shape: Shape | None) -> tuple[int, str]:
    """How many of the first rows of a delivery were written beside a file, as ``write_rows`` writes it, and the text
    that was read again; nothing of it stays."""
    with trial_file(path) as file:
        rows = _into(file, form, packed, delivery.few(), shape)
        file.seek(0)
        if form == "parquet":
            batches = pq.read_table(pa.PythonFile(file, mode="r")).to_batches()
            return rows, _shortened(b"".join(map(lines_of, batches)).decode())
        with gzip.GzipFile(fileobj=file, mode="rb") if packed else file as texts:
            return rows, _shortened(texts.read().decode())


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …"


def wrote(rows: int, folder: str) -> str:
    """What came of a rehearsal in a folder."""
    if not rows:
        return f"A file without rows was written in {folder} and removed again: there is nobody to be pushed yet."
    return f"{rows} {'rows were' if rows > 1 else 'row was'} written in {folder} and removed again."


def stands(path: Path) -> str:
    """What a push would find."""
    megabytes = free_near(str(path)) // 1_000_000
    free = f"{count(megabytes // 1000)} GB" if megabytes >= 10_000 else f"{count(megabytes)} MB"
    free += " are free there."
    if not path.is_file():
        return f"There is no {path.name} yet: the first push makes it. {free}"
    found = path.stat()
    day = f"{datetime.fromtimestamp(found.st_mtime, UTC):%Y-%m-%d}"
    return f"{path.name} is there, {count(found.st_size)} bytes of {day}: a push replaces it. {free}"


def lines_of(batch: pa.RecordBatch) -> bytes:
    """Rows as JSON, one on each line; what is missing is left out."""
    texts = rows_as_json(batch, sparse=True).to_pylist()
    return "".join(f"{text}\n" for text in texts).encode()


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)


def _parquet(out: IO[bytes], parts: Iterator[pa.RecordBatch], schema: pa.Schema) -> int:
    rows, waiting, held = 0, list[pa.RecordBatch](), 0
    with pq.ParquetWriter(pa.PythonFile(out, mode="w"), schema, compression="snappy") as writer:
        for batch in parts:
            waiting.append(batch)
            rows, held = rows + batch.num_rows, held + batch.num_rows
            if held >= GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting, held = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))
    return rows


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of another at the end, or not at all."""
    with whole_file(path, 0o640) as file:
        yield file


@contextmanager
def _writer(out: IO[bytes], packed: bool) -> Iterator[Any]:
    if not packed:
        yield out
        return
    with gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0, compresslevel=6) as to:  # the same bytes again
        yield to


@contextmanager
def _reader(path: Path, packed: bool) -> Iterator[Iterator[str]]:
    with (
        gzip.open(path, "rt", encoding="utf-8", newline="") if packed else path.open(encoding="utf-8", newline="") as f
    ):
        yield iter(f)


def _csv_records(lines: Iterator[str]) -> Iterator[str]:
    """Lines of CSV, those that belong together in one: where a text has line breaks its quotes are not even."""
    held = ""
    for line in lines:
        held += line
        if held.count('"') % 2 == 0:
            yield held
            held = ""


def _first_cell(record: str) -> str:
    """The id of a profile, without the apostrophe that guards it."""
    cell = next(csv.reader(io.StringIO(record)))[0]
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and cell[1] in "=+-@\t\r" else cell


def _parquet_without(path: Path, ids: Callable[[pa.RecordBatch], pa.Array], who: Who) -> int:
    with pq.ParquetFile(path) as file, replaced(path) as out:
        gone = 0

        def kept() -> Iterator[pa.RecordBatch]:
            nonlocal gone
            for batch in file.iter_batches(GROUP_ROWS):
                theirs = pa.array(list(who(ids(batch))), pa.bool_())
                gone += theirs.true_count
                yield batch.filter(pc.invert(theirs))

        _parquet(out, kept(), file.schema_arrow)
        return gone


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PushFailedError(
            f"{str(path)!r} cannot be written: {error.strerror or type(error).__name__}.",
            "see to the folder and the disk.",
        ) from None
