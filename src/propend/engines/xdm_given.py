"""XDM events that somebody gives one by one: in the columns that the same events of a source have."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from propend.connectors import xdm
from propend.engines.database import Database
from propend.engines.relations import RawColumn
from propend.engines.sources import open_relation
from propend.engines.xdm import KIND
from propend.errors import EventsInvalidError, PropendError
from propend.instance import Source

_PLACE = "propend_place"


def read_given(db: Database, events: Sequence[Mapping[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """Events in their order, without those that the marketer made (``connectors.xdm.MARKETER_MADE``).

    Args:
        events: as they would stand in JSON, with a ``timestamp``.
        names: the columns that are wanted, also those that are made (``engines.xdm``).

    Returns:
        of each event the wanted columns that these events have: lists where an event may have several.

    Raises:
        EventsInvalidError: they cannot be written as JSON, or are not read as XDM.
    """
    path = db.scratch / f"given-{uuid4().hex}.jsonl"
    try:
        lines = [json.dumps({**e, _PLACE: i}, default=_plain, allow_nan=False) for i, e in enumerate(events)]
        path.write_text("\n".join(lines), encoding="utf-8")
        wanted, rows = _read(db, path, {*names, KIND})
    except (PropendError, ValueError, TypeError) as error:
        problem = error.message if isinstance(error, PropendError) else str(error)
        raise EventsInvalidError(
            f"The events cannot be read as XDM: {problem}",
            "give each as it stands in an export, or by at, event and value.",
        ) from None
    finally:
        path.unlink(missing_ok=True)
    found = [
        dict(zip(wanted, row, strict=True)) | {xdm.AT: _in_utc(event)} for event, row in zip(events, rows, strict=True)
    ]
    return [one for one in found if one[KIND] not in xdm.MARKETER_MADE or KIND not in names]


def _read(db: Database, path: Path, names: Collection[str]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns that there are, and the rows in the order of the file."""
    relation = open_relation(db, Source(path=str(path), name="events", format="xdm"), path.parent, {})
    try:
        wanted = [name for name in sorted(names) if name in relation.columns]
        forms = ", ".join(f"{_form(relation.columns[name])} AS c{i}" for i, name in enumerate(wanted))
        with db.reading("events"):
            return wanted, db.rows(f"SELECT {forms} FROM {relation.table} ORDER BY {_PLACE}")
    finally:
        db.run(f"DROP TABLE {relation.table}")


def is_xdm(event: Mapping[str, Any]) -> bool:
    """Whether it has XDM's time, and is not given by the names of roles."""
    return any(key in event for key in _TIMES) and not {"at", "event"} & event.keys()


_TIMES = (xdm.AT, f"xdm:{xdm.AT}")


def _in_utc(event: Mapping[str, Any]) -> Any:
    """Its time, which is in UTC where it carries no zone."""
    value = next(event[key] for key in _TIMES if key in event)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return value
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return value


def _form(column: RawColumn) -> str:
    forms = column.column
    return forms.items or (forms.number if column.type == "number" else forms.text)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"a value is of type {type(value).__name__}")
