"""Engines deliver canonical events, partitioned by profile and sorted; everything after is the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from propend.document import nearest
from propend.engines.duckdb import DuckdbEngine
from propend.errors import ConfigurationError, Mistake
from propend.events import EventLog, EventRequest, OpenedEvents
from propend.instance import Data

ENGINES = {"duckdb": DuckdbEngine}


class Engine(Protocol):
    """A session of an engine; what it delivers lives as long as the context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def open(
        self, data: Data, folder: Path, tables: Mapping[str, Any] | None = None, time_zone: str = "UTC"
    ) -> OpenedEvents:
        """Columns, roles and kinds of the sources: a look, nothing is coded yet.

        Args:
            data: the data section of an instance.
            folder: what its paths are relative to.
            tables: in-memory tables by name; ``events`` stands in for all event sources.
            time_zone: the zone of times that carry none.

        Raises:
            SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError, ColumnTypeError: 200 to 203.
        """
        ...

    def load(
        self, data: Data, folder: Path, request: EventRequest, tables: Mapping[str, Any] | None = None
    ) -> EventLog:
        """The canonical events that the request asks for.

        Raises:
            NoInputDataError: no event is usable, and there are no attributes.
            NoEventDataError: no event is usable, but there are attributes.
            ConfigurationError: the request names a field that no source has.
            SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError, ColumnTypeError: as ``open``.
        """
        ...


def connect(engine: str = "duckdb", *, memory: str | None = None, temp_folder: str | Path | None = None) -> Engine:
    """A session of an engine, to be used as a context manager.

    Args:
        engine: its name.
        memory: the most it may use, such as ``2GB``; it goes to disk beyond.
        temp_folder: where it may keep files while it works; the system's where None.

    Raises:
        ConfigurationError: there is no such engine, or the memory cannot be read.
    """
    if engine not in ENGINES:
        problem = f"there is no engine {engine!r}; there are: {', '.join(ENGINES)}"
        raise ConfigurationError([Mistake("engine", problem, nearest(engine, ENGINES))])
    return ENGINES[engine](memory, temp_folder)
