"""Same data, configuration and version: the same scores, whatever machine, settings, order and files they came by.

Engines are held against each other in ``test_spark.py``, partitions and threads of the kernel in ``test_kernel.py``.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from propend.demo.simulator import simulate
from propend.store.runs import read_json

NOW = date(2024, 9, 1)
OF_THE_RUN = ("run_id", "started_at", "finished_at", "seconds", "peak_memory_bytes", "stages")
OF_THE_FORM = {"data", "instance", "instance_hash"}  # names of files stand there


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return simulate(500, 244, 11, first=date(2024, 1, 1)).events


def run(folder: Path, tables: list[pa.Table], **environment: str) -> dict[str, Any]:
    """What a run in a process of its own leaves, but for what is of the run itself."""
    (folder / "events").mkdir(parents=True)
    for i, table in enumerate(tables):
        pq.write_table(table, folder / "events" / f"part-{i}.parquet")
    document = {
        "name": "shop",
        "data": {"events": "events/*.parquet", "columns": {"profile": "profile_id", "event": "kind"}},
        "goal": {"did": "purchase", "within": "30d"},
        "eligible": {"did": "anything", "at_least": 1, "within": "90d"},
        "options": {"quality_bar": 0.5, "horizons": [7, 30]},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [sys.executable, "-m", "propend", "run", "shop.yaml", "--as-of", str(NOW), "--out", "out"]
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (out,) = (path.parent for path in folder.glob("out*/**/run.json"))
    record = read_json(out / "run.json")
    kept = {key: value for key, value in record.items() if key not in {*OF_THE_RUN, *OF_THE_FORM}}
    kept["model"] |= {"trained_at": ""}
    scores = pq.read_table(out / "scores.parquet").drop_columns("run_id")
    return {
        "scores": scores.to_pydict(),
        "contributions": pq.read_table(out / "contributions.parquet").to_pydict(),
        "evaluation": read_json(out / "evaluation.json") | {"run_id": ""},
        "record": kept,
    }


@pytest.fixture(scope="module")
def usual(events: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("usual"), [events])


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1"},
        {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4", "NUMBA_NUM_THREADS": "2"},
        {"TZ": "Pacific/Auckland", "LC_ALL": "C", "LANG": "C"},
    ],
    ids=["again", "one thread", "four threads", "another place"],
)
def test_threads_hashes_and_places_change_no_bit(
    environment: dict[str, str], events: pa.Table, usual: dict[str, Any], tmp_path: Path
) -> None:
    assert run(tmp_path, [events], **environment) == usual


def test_order_of_rows_and_number_of_files_change_no_bit(
    events: pa.Table, usual: dict[str, Any], tmp_path: Path
) -> None:
    shuffled = events.take(np.random.default_rng(5).permutation(len(events)))
    cuts = [0, len(events) // 7, len(events) // 2, len(events)]
    parts = [shuffled.slice(low, high - low) for low, high in itertools.pairwise(cuts)]
    assert run(tmp_path, parts) == usual


def test_another_event_changes_scores(events: pa.Table, usual: dict[str, Any], tmp_path: Path) -> None:
    """What the comparisons above rest on: they would see it."""
    changed = run(tmp_path, [events.slice(1)])
    assert changed["scores"]["probability"] != usual["scores"]["probability"]
