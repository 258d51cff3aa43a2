"""What the speed benchmark itself claims: its results can be merged, its tables and pictures say what was measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from benchmarks.speed import beside, page, pictures
from benchmarks.speed.evidence import shown
from benchmarks.speed.others.request import Asked, Request
from benchmarks.speed.others.sql import meaning
from benchmarks.speed.results import Beside, Job, Results, Snapshots, load

JOB = Job(1_000_000, "1M", "-", 1_000_000, 1.0, 1.0, 20.0, 2.0, 25.0, 3.0, 0.5, 2.0**30, 0.78)
LARGE = replace(JOB, events=100_000_000, size="100M", memory="4GB", read=80.0, whole=250.0, peak=3 * 2.0**30)
SNAPSHOTS = Snapshots(1_000_000, "1M", 0.5, 200, 6, 10_000, 0.1, 0.5, 6e-8)
TEMPORIAN = Beside(1_000_000, "1M", "Temporian", "features", 1, "0.9.0", 500, 126, 2.0, 4.0, 0.02, 126, 200.0, 6e-8)
ACES = Beside(1_000_000, "1M", "ACES", "labels", 9, "0.7.3", 4_000, 1, 1.0, 0.9, 0.02, 1, 45.0, 0.0)
LOST = Beside(1_000_000, "1M", "getML FastProp", "features", 1, not_run="did not finish in 900 s")


def results(*found: Job | Snapshots | Beside) -> Results:
    made = Results()
    for one in found:
        made.add(one)
    return made


def test_runs_of_other_sizes_are_added_and_those_of_the_same_replaced(tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    results(LARGE, JOB, TEMPORIAN).save(target)
    again = load(target)
    quicker = replace(JOB, whole=20.0)
    for one in (quicker, SNAPSHOTS, LOST):
        again.add(one)
    again.save(target)
    assert load(target) == results(quicker, LARGE, SNAPSHOTS, TEMPORIAN, LOST)


def test_tables_say_what_was_measured_and_what_could_not_be() -> None:
    assert page.tables(results(JOB, LARGE, SNAPSHOTS, TEMPORIAN, ACES, LOST)) == (
        "| events | memory | read | survey, features | model | score | whole | over group-by | scoring again "
        "| events/s | peak GiB | AUC |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 1M | - | 1.0 | 1.0 | 20.0 | 2.0 | 25.0 | 50.0 | 3.0 | 40,000 | 1.0 | 0.780 |\n"
        "| 100M | 4GB | 80.0 | 1.0 | 20.0 | 2.0 | 250.0 | 500.0 | 3.0 | 4,000 | 3.0 | 0.780 |\n"
        "\n"
        "| events | group-by, s | one cutoff, s | over group-by | cutoffs | s | over group-by | snapshots | M cells/s "
        "| largest difference from DuckDB |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 1M | 0.50 | 0.10 | 0.20 | 6 | 0.50 | 1.00 | 10,000 | 4 | 6e-08 |\n"
        "\n"
        "| events | tool | makes | cutoffs | rows | features | reading, s | making, s | propend, s | times as long "
        "| compared | largest difference |\n"
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| 1M | Temporian 0.9.0 | features | 1 | 500 | 126 | 2.0 | 4.0 | 0.020 | 200 | 126 features | 6e-08 |\n"
        "| 1M | ACES 0.7.3 | labels | 9 | 4,000 |  | 1.0 | 0.9 | 0.020 | 45 | labels | none |\n"
        "| 1M | getML FastProp | features | 1 | not run: did not finish in 900 s |  |  |  |  |  |  |  |\n"
        "\n"
        "The whole job grows with the 0.50th power of events from 1M to 100M.\n"
    )


def test_pictures_are_titled_by_what_they_show() -> None:
    drawn = pictures.pictures(results(JOB, LARGE, TEMPORIAN, ACES, LOST))
    titles = {name: (sentence, chart.to_dict()["title"]["text"]) for name, (sentence, chart) in drawn.items()}
    assert titles == {
        "speed_stages": ("100 times the events take 10 times the time",) * 2,
        "speed_growth": ("From 1M to 100M events, time grows with the power 0.50 of events",) * 2,
        "speed_memory": ("100M events fit into 3.0 GiB",) * 2,
        "speed_tools": ("Other tools take 45 to 200 times as long as propend",) * 2,
    }


def test_a_page_has_pictures_of_what_there_is() -> None:
    assert shown(results(JOB), {"speed_tools": "Nothing is slower"}).startswith(
        "![Nothing is slower](pictures/speed_tools.svg)\n\n| events | memory |"
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('SELECT COUNT( * ) AS "feature_1_8"\nGROUP BY', ("COUNT", "", "", 700)),
        (
            """SELECT SUM( CASE WHEN t2."event" = 'page_view' THEN 1 ELSE 0 END ) AS "feature_1_1",
            AND ( t2."at, '+7.000000 days'" > t1."cutoff" OR t2."at, '+7.000000 days'" IS NULL )""",
            ("COUNT", "page_view", "", 7),
        ),
        (
            """SELECT SUM( t2."value" ) AS "feature_1_2",
            AND ( t2."at, '+30.000000 days'" > t1."cutoff" ) AND t2."category" = 'category 01'""",
            ("SUM", "", "category 01", 30),
        ),
        (
            """SELECT MIN( t1."cutoff" - t2."at" ) AS "feature_1_3", AND t2."event" = 'search'""",
            ("DAYS_SINCE_LAST", "search", "", 700),
        ),
        ('SELECT AVG_TIME_BETWEEN( * ORDER BY t2."at" ) AS "feature_1_4"', None),
    ],
)
def test_a_feature_of_getml_is_known_by_its_sql(sql: str, expected: object) -> None:
    assert meaning(sql, 700) == expected


def test_a_difference_is_found_wherever_it_is() -> None:
    ours = np.array([[1.0, np.nan], [2.0, 4.0]], dtype=np.float32)
    theirs = ours.astype(np.float64)
    found = [
        beside.largest_gap(ours, theirs, zero_for_missing=False),
        beside.largest_gap(ours, theirs + np.array([[0, 0], [0, 1]]), zero_for_missing=False),
        beside.largest_gap(ours, np.nan_to_num(theirs), zero_for_missing=False),
        beside.largest_gap(ours, np.nan_to_num(theirs), zero_for_missing=True),
    ]
    assert found == [0.0, 0.2, float("inf"), 0.0]


@pytest.fixture
def request_of_nothing() -> tuple[Request, pa.Table]:
    nobody = pa.table({"customer": pa.array([], pa.string())})
    return Request("nowhere", [20_000], 30, 30, 45, "buy", [Asked(0, "COUNT", "", "", 7)]), nobody


def test_why_a_tool_was_not_run_is_told(
    monkeypatch: pytest.MonkeyPatch, request_of_nothing: tuple[Request, pa.Table]
) -> None:
    request, nobody = request_of_nothing
    monkeypatch.setattr(beside, "PYTHON", Path(sys.executable))
    found = [beside.answered(tool, request, nobody, limit=60.0) for tool in ("Compose", "unheard of")]
    monkeypatch.setattr(beside, "PYTHON", Path("nowhere/python"))
    found.append(beside.answered("Compose", request, nobody, limit=60.0))
    assert found == [
        "ModuleNotFoundError: No module named 'composeml'",
        "ended with status 1: KeyError: 'unheard of'",
        "there is no nowhere/python; make bench-speed makes it",
    ]


def test_a_tool_that_takes_too_long_is_stopped(
    monkeypatch: pytest.MonkeyPatch, request_of_nothing: tuple[Request, pa.Table]
) -> None:
    monkeypatch.setattr(beside, "PYTHON", Path(sys.executable))
    assert beside.answered("Compose", *request_of_nothing, limit=0.01) == "did not finish in 0 s"
