"""Engines deliver canonical events, partitioned by profile and sorted; everything after is the same for all."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from propend.document import nearest
from propend.errors import ConfigurationError, Mistake
from propend.events import EventLog, EventRequest, OpenedEvents
from propend.instance import Data
from propend.protection import ANYWHERE, Mirrors, Reach

ENGINES = {"duckdb": ("propend.engines.duckdb", "DuckdbEngine"), "spark": ("propend.engines.spark", "SparkEngine")}
"""Where each engine is; what it needs is loaded only when it is asked for."""
EXTRAS = {"pyspark": "spark"}
"""What must be installed with propend for a library that an engine needs."""


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


def connect(
    engine: Any = "duckdb",
    *,
    memory: str | None = None,
    temp_folder: str | Path | None = None,
    reach: Reach = ANYWHERE,
    mirrors: Mirrors | None = None,
) -> Engine:
    """A session of an engine, to be used as a context manager.

    Args:
        engine: its name, or a SparkSession.
        memory: the most it may use, such as ``2GB``; it goes to disk beyond.
        temp_folder: where it may keep files while it works; the system's where None.
        reach: what addresses of sources may lead to.
        mirrors: where rows of incremental sources are kept; all are read where None.

    Raises:
        ConfigurationError: there is no such engine, it is not installed, or the memory cannot be read.
    """
    name = engine_name(engine)
    if name not in ENGINES:
        problem = f"there is no engine {name!r}; there are: {', '.join(ENGINES)}"
        raise ConfigurationError([Mistake("engine", problem, nearest(name, ENGINES))])
    module, kind = ENGINES[name]
    try:
        made = getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        problem = f"the engine {name!r} needs {error.name}: pip install 'propend[{EXTRAS[error.name]}]'"
        raise ConfigurationError([Mistake("engine", problem)]) from None
    given = () if engine == name else (engine,)
    found: Engine = made(memory, temp_folder, reach, mirrors, *given)
    return found


def engine_name(engine: Any) -> str:
    """The name of an engine that is given by name or as a session of it."""
    kind = type(engine)
    if kind.__name__ == "SparkSession" and kind.__module__.startswith("pyspark."):
        return "spark"
    return str(engine)
