"""The events of one profile, read from Parquet and CSV, on the clock of the instance, without what is excluded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from propend.engines.one_profile import Happened, events_of
from propend.errors import SourceNotFoundError
from propend.events import DAY_US, EventRequest
from propend.goal import NamedEvent
from propend.instance import Data
from shops import shop


def data(*paths: str) -> Data:
    return Data.model_validate({
        "events": list(paths),
        "columns": {"profile": "profile_id", "at": "at", "event": "event", "value": "amount"},
    })  # fmt: skip


def told(table: pa.Table, profile_id: str) -> list[Happened]:
    """What a table has of a profile."""
    own = table.filter(pc.equal(table.column("profile_id"), profile_id)).to_pylist()
    found = [
        Happened(int(r["at"].timestamp()) * 1_000_000, r["event"], None if r["amount"] is None else float(r["amount"]))
        for r in own
    ]
    return sorted(found, key=lambda e: (e.at, e.kind))


def seen(events: list[Happened]) -> list[tuple[int, str, float | None]]:
    return sorted((e.at, e.kind, e.value if e.value == e.value else None) for e in events)


def test_it_is_the_same_from_parquet_and_csv(tmp_path: Path) -> None:
    table = shop(60, 120)
    one = table.column("profile_id")[0].as_py()
    pq.write_table(table, tmp_path / "events.parquet")
    pacsv.write_csv(table, tmp_path / "events.csv")
    wanted = seen(told(table, one))
    for name in ("events.parquet", "events.csv"):
        found, total = events_of(data(name), tmp_path, EventRequest(()), one, 1000)
        assert (seen(found), total) == (wanted, len(wanted))


def test_the_newest_are_told_oldest_first_and_all_are_counted(tmp_path: Path) -> None:
    table = shop(60, 120)
    one = table.column("profile_id")[0].as_py()
    pq.write_table(table, tmp_path / "events.parquet")
    wanted = told(table, one)
    found, total = events_of(data("events.parquet"), tmp_path, EventRequest(()), one, 3)
    assert ([e.at for e in found], total) == ([e.at for e in wanted[-3:]], len(wanted))


def test_it_is_on_the_clock_of_the_instance_and_without_what_is_excluded(tmp_path: Path) -> None:
    at = [datetime.fromisoformat(t) for t in ("2024-06-30T22:30:00+00:00", "2024-07-02T10:00:00+00:00")]
    rows = {"profile_id": ["it's", "it's"], "at": at, "event": ["buy", "test"], "amount": [1.5, None]}
    pq.write_table(pa.table(rows), tmp_path / "events.parquet")
    exclude = (NamedEvent.model_validate({"is": "test"}),)
    asked = EventRequest((), exclude=exclude, time_zone="Europe/Berlin")
    found, total = events_of(data("events.parquet"), tmp_path, asked, "it's", 10)
    day = (datetime(2024, 7, 1) - datetime(1970, 1, 1)).days
    assert (found, total) == ([Happened(day * DAY_US + 1_800_000_000, "buy", 1.5)], 1)
    assert events_of(data("events.parquet"), tmp_path, asked, "nobody", 10) == ([], 0)


def test_data_that_are_gone_are_told_of(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        events_of(data("gone.parquet"), tmp_path, EventRequest(()), "x", 10)
