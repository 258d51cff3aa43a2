"""The DuckDB engine: everything on one machine, on disk where memory is short.

No extension is ever fetched; what is used (Parquet, JSON) is built into the package.
"""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from propend.connectors import Links
from propend.engines.event_log import DuckdbEventLog, load_log
from propend.engines.previews import SourcePreview, preview, preview_attributes
from propend.engines.sources import EventSource, open_sources, summarise
from propend.errors import ConfigurationError, Mistake, NotEnoughMemoryError, SourceChangedError, SourceUnreadableError
from propend.events import EventRequest, OpenedEvents
from propend.instance import Attributes, Data
from propend.predicates import quote_name, quote_text
from propend.protection import ANYWHERE, Mirrors, Reach

_SETTINGS = (
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET preserve_insertion_order = true",
)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_DATA_FILE = re.compile(r"'([^']*\.(?:parquet|pq|csv|tsv|txt|dat|json|jsonl|ndjson)(?:\.gz|\.zst)?)'", re.IGNORECASE)


@dataclass(frozen=True)
class _Opened:
    """Sources as last opened, so that loading after opening reads nothing twice."""

    data: Data
    folder: Path
    tables: Mapping[str, Any] | None
    sources: tuple[EventSource, ...]
    summary: OpenedEvents


class DuckdbEngine:
    """A DuckDB session with its own database in its own temporary folder, removed at the end."""

    def __init__(
        self,
        memory: str | None = None,
        temp_folder: str | Path | None = None,
        reach: Reach = ANYWHERE,
        mirrors: Mirrors | None = None,
    ) -> None:
        """Nothing is opened before the session is entered.

        Raises:
            ConfigurationError: the memory is not one that DuckDB reads.
        """
        self._memory, self._temp_folder, self._reach, self._mirrors = memory, temp_folder, reach, mirrors
        self._database: DuckdbDatabase | None = None
        self._opened: _Opened | None = None

    def __enter__(self) -> Self:
        self._database = DuckdbDatabase(self._memory, self._temp_folder, reach=self._reach, mirrors=self._mirrors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._database is not None:
            self._database.close()
        self._database = self._opened = None

    def open(
        self, data: Data, folder: Path, tables: Mapping[str, Any] | None = None, time_zone: str = "UTC"
    ) -> OpenedEvents:
        """See ``Engine.open``; the zone is not needed before times are read, which ``load`` does."""
        return self._look(data, Path(folder), tables).summary

    def load(
        self, data: Data, folder: Path, request: EventRequest, tables: Mapping[str, Any] | None = None
    ) -> DuckdbEventLog:
        """See ``Engine.load``."""
        opened = self._look(data, Path(folder), tables)
        try:
            return load_log(
                self._db, opened.sources, opened.summary, data, Path(folder), tables or {}, request,
                self._db.memory_bytes(),
            )  # fmt: skip
        finally:
            self._db.links.close()

    def preview(self, data: Data, folder: Path) -> tuple[SourcePreview, ...]:
        """Each source of events as people look at it, whether or not events can be made of it.

        Raises:
            SourceNotFoundError, SourceUnreadableError: 200 and 201.
        """
        return tuple(preview(self._db, source, data, Path(folder)) for source in data.events)

    def preview_attributes(self, table: Attributes, names: Sequence[str], folder: Path) -> SourcePreview:
        """A table of attributes as people look at it; see ``previews.preview_attributes``."""
        return preview_attributes(self._db, table, names, Path(folder))

    @property
    def _db(self) -> DuckdbDatabase:
        if self._database is None:
            raise RuntimeError("an engine is used inside `with connect() as session:`")
        return self._database

    def _look(self, data: Data, folder: Path, tables: Mapping[str, Any] | None) -> _Opened:
        last = self._opened
        if last is None or last.tables is not tables or (last.data, last.folder) != (data, folder):
            sources = open_sources(self._db, data, folder, tables or {})
            sources, summary = summarise(self._db, sources)
            self._opened = last = _Opened(data, folder, tables, sources, summary)
        return last


class DuckdbDatabase:
    """A connection to a database of its own (``Database``)."""

    def __init__(
        self,
        memory: str | None,
        temp_folder: str | Path | None,
        threads: int | None = None,
        reach: Reach = ANYWHERE,
        mirrors: Mirrors | None = None,
    ) -> None:
        """Make the folder and the database in it.

        Args:
            threads: as many as the machine has cores where None.
            reach: what addresses of sources may lead to.
            mirrors: where rows of incremental sources are kept.

        Raises:
            NotEnoughMemoryError: the temporary folder cannot be written.
            ConfigurationError: the memory is not one that DuckDB reads.
        """
        self.reach, self.mirrors = reach, mirrors
        self.scratch = _scratch_folder(temp_folder)
        self.links = Links()
        try:
            with _memory_told():
                self._connection = duckdb.connect(str(self.scratch / "events.duckdb"))
        except BaseException:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise
        self._names = 0
        for setting in (*_SETTINGS, f"SET temp_directory = {quote_text(str(self.scratch / 'spill'))}"):
            self._connection.execute(setting)
        self.accepts("SET enable_progress_bar = false")  # not in Jupyter without widgets, and then there is none anyway
        self.accepts("SET TimeZone = 'UTC'")  # not without ICU, and then it is UTC anyway
        if threads is not None:
            self._connection.execute(f"SET threads = {threads}")
        if memory is not None:
            self._limit(memory)

    def _limit(self, memory: str) -> None:
        try:
            self._connection.execute(f"SET memory_limit = {quote_text(memory)}")
        except duckdb.Error:
            self.close()
            problem = f"{memory!r} is not an amount of memory such as 2GB"
            raise ConfigurationError([Mistake("memory", problem)]) from None

    def close(self) -> None:
        """Remove the database and its folder."""
        self.links.close()
        self._connection.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def memory_bytes(self) -> int:
        """The limit in force."""
        text = str(self.rows("SELECT current_setting('memory_limit')")[0][0])
        number, unit = text.split()
        return int(float(number) * 1024 ** _UNITS.index(unit))

    # --- Database -----------------------------------------------------------------------------------------

    def run(self, sql: str) -> None:
        with _memory_told():
            self._connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with _memory_told():
            found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return found

    def arrays(self, sql: str) -> dict[str, Any]:
        with _memory_told():
            found: dict[str, Any] = self._connection.execute(sql).fetchnumpy()
        return found

    def batches(self, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
        with _memory_told():
            self._connection.execute("SET preserve_insertion_order = false")
            try:
                relation = self._connection.sql(sql)
                # older versions have it by its first name only
                read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
                yield from read(rows)
            finally:
                self._connection.execute("SET preserve_insertion_order = true")

    def accepts(self, sql: str) -> bool:
        try:
            self._connection.execute(sql).fetchall()
        except duckdb.Error:
            return False
        return True

    def register(self, name: str, table: pa.Table | pads.Dataset | pa.RecordBatchReader) -> None:
        self._connection.register(name, table)

    def release(self, name: str) -> None:
        self._connection.unregister(name)

    def new_name(self, stem: str) -> str:
        self._names += 1
        return f"propend_{stem}_{self._names}"

    def run_query(self, table: str, query: str, folder: Path, place: str) -> None:
        _check_single_select(self._connection, query, place)
        _check_unambiguous(query, folder)
        self._connection.execute(f"SET file_search_path = {quote_text(str(self._search_path(folder)))}")
        text = query.strip().rstrip(";")
        try:
            self.run(f"CREATE TABLE {quote_name(table)} AS SELECT * FROM (\n{text}\n)")
        except duckdb.Error as error:
            raise SourceUnreadableError(
                f"The query of {place!r} fails: {_first_line(error)}",
                "correct the query; files it names are looked for in the data folder.",
                path=place,
            ) from None

    def _search_path(self, folder: Path) -> Path:
        """The folder, by another name if its own has the comma that separates several."""
        found = folder.resolve()
        if "," not in str(found):
            return found
        link = self.scratch / self.new_name("folder")
        link.symlink_to(found, target_is_directory=True)
        return link

    @contextmanager
    def reading(self, place: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            if _GONE.search(str(error)):
                raise SourceChangedError(
                    f"A file of {place!r} was there when the files were listed, and is gone: {_first_line(error)}",
                    "run it again when whoever writes the files is done.",
                    path=place,
                ) from None
            raise SourceUnreadableError(
                f"{place!r} cannot be read: {_first_line(error)}",
                "look at that place in the data; a copy that broke off must be made again.",
                path=place,
            ) from None


@contextmanager
def _memory_told() -> Iterator[None]:
    """Failures for want of memory or disk become ``NotEnoughMemoryError``."""
    try:
        yield
    except duckdb.Error as error:
        if not isinstance(error, duckdb.OutOfMemoryException) and not _NO_ROOM.search(str(error)):
            raise
        raise NotEnoughMemoryError(
            f"The engine ran out of memory or disk: {_first_line(error)}",
            "give it more memory (--memory), or a temporary folder with more room (TMPDIR).",
        ) from None


_GONE = re.compile(r"No files found that match|No such file or directory")
_NO_ROOM = re.compile(
    r"No space left|[Dd]isk quota|File too large|Could not write|Read-only file system|failed to offload"
)


def _scratch_folder(parent: str | Path | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="propend-", dir=parent))
    except OSError as error:
        place = str(parent or error.filename or "the system's")
        raise NotEnoughMemoryError(
            f"The temporary folder {place!r} cannot be written: {error.strerror}.",
            "free some space there, or name another in TMPDIR.",
            path=place,
        ) from None


def _first_line(error: Exception) -> str:
    """The first line of an engine's message, without its class and with the line's number if it has one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = re.sub(r"^(\w+( \w+)? Error: )+", "", lines[0])
    if text.startswith("CSV Error") and len(lines) > 2:
        text = f"{text}: {lines[2]}"
    if "reached an invalid state" in text:
        text = "lines end in several ways, or a quote stands where none may"
    return text[:400].rstrip(".") + "."


def _check_single_select(connection: duckdb.DuckDBPyConnection, query: str, place: str) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise SourceUnreadableError(
            f"The query of {place!r} is not SQL: {_first_line(error)}", "correct the query.", path=place
        ) from None
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(str(s.type).rsplit(".", 1)[-1] for s in statements) or "nothing"
        raise SourceUnreadableError(
            f"The query of {place!r} is not a single reading statement: {kinds}.",
            "write one SELECT, WITH or FROM; data is only ever read.",
            path=place,
        )


def _check_unambiguous(query: str, folder: Path) -> None:
    """DuckDB looks in the current folder first: refuse a name that means another file there."""
    here, there = Path.cwd(), folder.resolve()
    for name in _DATA_FILE.findall(query) if here != there else ():
        if not Path(name).is_absolute() and _matched(name, here) not in (set(), _matched(name, there)):
            raise SourceUnreadableError(
                f"{name!r} of a query would be read from the current folder, not from the data folder.",
                "run from another folder, or write the whole path.",
                path=name,
            )


def _matched(name: str, folder: Path) -> set[Path]:
    return {(folder / n).resolve() for n in glob.glob(name, root_dir=folder, recursive=True)}  # noqa: PTH207
