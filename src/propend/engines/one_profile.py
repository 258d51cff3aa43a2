"""The events of one profile, read from where they are without the rest: to be looked at, not to be learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from propend.engines.duckdb import DuckdbDatabase
from propend.engines.sources import open_sources
from propend.engines.staging import judging_sql, wanted_fields
from propend.events import EventRequest
from propend.instance import Data
from propend.predicates import quote_text

THREADS = 1
"""Somebody waits for it, and others for the machine."""


@dataclass(frozen=True)
class Happened:
    """One event.

    Attributes:
        at: microseconds of the local wall clock since 1970.
        kind: as in the data.
        value: its number; None where it has none.
    """

    at: int
    kind: str
    value: float | None


def events_of(
    data: Data, folder: Path, request: EventRequest, profile_id: str, most: int, memory: str | None = None
) -> tuple[list[Happened], int]:
    """The newest events of a profile, oldest first, and how many there are.

    Parquet files are read in place, of each only the columns that say who, when and what; other files are read whole.

    Args:
        data: the data section of an instance.
        folder: what its paths are relative to.
        request: what is excluded, and the zone of the wall clock.
        most: events at the most.
        memory: what the engine may use.

    Raises:
        SourceNotFoundError, SourceUnreadableError, ColumnNotFoundError, ColumnTypeError: as ``Engine.open``.
        NotEnoughMemoryError: there is too little memory, or room on disk.
    """
    db = DuckdbDatabase(memory, None, THREADS)
    try:
        sources = open_sources(db, data, folder, {})
        judged = judging_sql(sources, request, wanted_fields(sources, request))
        with db.reading(", ".join(s.relation.name for s in sources)):
            rows = db.rows(
                f"SELECT moment, kind, value, count(*) OVER () FROM ({judged}) "
                f"WHERE profile = {quote_text(profile_id)} AND reason = 0 "
                f"ORDER BY moment DESC, kind, value LIMIT {int(most)}"
            )
    finally:
        db.close()
    found = [Happened(int(at), str(kind), None if value is None else float(value)) for at, kind, value, _ in rows]
    return found[::-1], int(rows[0][3]) if rows else 0
