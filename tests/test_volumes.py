"""Volumes by kind and week, against counting one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import propend
from logs import Event, MemoryLog, log_of, moment
from propend.events import DAY_US
from propend.record import events_by_kind
from propend.snapshots.volumes import WEEKS, Volumes, monthly_volumes, weekly_volumes
from shops import SHOP, last_day, shop

NOW = moment("2024-03-01") // DAY_US


def plain(found: Volumes) -> dict[str, list[list[float]]]:
    tables = (found.events, found.valued, found.value)
    return {kind: [t[k].tolist() for t in tables] for k, kind in enumerate(found.kinds)}


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [
        Event("a", moment("2024-02-29 23:59:59"), "buy", 5.0),
        Event("b", moment("2024-02-23 00:00"), "buy"),
        Event("b", moment("2024-02-22 23:59"), "buy", 2.0),
        Event("b", moment("2024-02-22 12:00"), "visit"),
        Event("c", moment("2024-02-02 10:00"), "visit"),
        Event("a", moment("2024-03-01 00:00"), "buy", 100.0),  # not before the day
        Event("c", moment("2024-01-30 10:00"), "visit"),  # of an unfinished week
    ]


@pytest.mark.parametrize("partitions", [1, 3])
def test_whole_weeks_the_newest_first(events: list[Event], partitions: int) -> None:
    assert plain(weekly_volumes(log_of(events, partitions=partitions), NOW)) == {
        "buy": [[2, 1, 0, 0], [1, 1, 0, 0], [5.0, 2.0, 0.0, 0.0]],
        "visit": [[0, 1, 0, 1], [0] * 4, [0.0] * 4],
    }


def test_a_year_and_not_more(events: list[Event]) -> None:
    old = [replace(events[0], at=moment("2015-01-01"))]
    found = weekly_volumes(log_of([*events, *old]), NOW)
    assert found.events.shape == (2, WEEKS)
    assert found.events.sum() == 6


def test_less_than_a_week(events: list[Event]) -> None:
    log: MemoryLog = log_of(events[:2])
    assert np.shape(weekly_volumes(log, NOW - 5).events) == (1, 0)


@pytest.mark.parametrize("partitions", [1, 3])
def test_every_month_of_each_kind_and_of_all_others(events: list[Event], partitions: int) -> None:
    far = [replace(events[0], at=moment("2023-11-30 23:59:59"), kind="open")]
    log = log_of([*events, *far], partitions=partitions)
    assert events_by_kind(monthly_volumes(log, 1), "others") == [
        {"month": month, "kind": kind, "events": n}
        for kind, counts in (("buy", [0, 0, 0, 3, 1]), ("others", [1, 0, 1, 2, 0]))
        for month, n in zip(("2023-11", "2023-12", "2024-01", "2024-02", "2024-03"), counts, strict=True)
    ]
    assert {row["kind"] for row in events_by_kind(monthly_volumes(log, 8), "others")} == {"buy", "visit", "open"}


def test_scoring_says_that_a_kind_has_stopped(tmp_path: Path) -> None:
    """No purchases in the last four weeks, visits as ever: said by code, and only where it is so."""
    table, since = shop(), np.datetime64(last_day() - timedelta(days=28))
    kept = (table["at"].to_numpy().astype("datetime64[us]") < since) | (table["event"].to_numpy() != "purchase")
    model = propend.train(SHOP, data=table, as_of=last_day() - timedelta(days=35), out=tmp_path / "model")
    said = {
        name: [w["code"] for w in propend.score(model, data=data, out=tmp_path / name).record["warnings"]]
        for name, data in (("whole", table), ("broken", table.filter(pa.array(kept))))
    }
    assert {name: "PROPEND-315" in codes for name, codes in said.items()} == {"whole": False, "broken": True}
