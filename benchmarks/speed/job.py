"""The whole job on one log, in a process of its own so that its memory is its own: data to explained scores on disk.

python -m benchmarks.speed.job LOG MEMORY     # MEMORY such as 4GB, or - for the default
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import propend

MODEL_STAGES = ("fit", "level", "prove", "refit")


def document(log: Path) -> dict[str, Any]:
    """Who will purchase within 30 days, of those seen in the last 90?"""
    columns = {"profile": "customer", "at": "at", "event": "event", "value": "value"}
    return {
        "name": "speed",
        "type": "conversion",
        "data": {"events": str(log / "*.parquet"), "columns": columns},
        "events": {"buy": {"is": "purchase"}},
        "goal": {"all_of": ["buy"], "within": "30d"},
    }


def run(log: Path, memory: str | None) -> dict[str, Any]:
    """Seconds of every stage, of the whole and of scoring again with the model; peak memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        first = propend.run(document(log), out=Path(folder) / "run", memory=memory)
        whole = time.perf_counter() - started
        peak = first.record["peak_memory_bytes"]
        started = time.perf_counter()
        propend.score(Path(folder) / "run", out=Path(folder) / "again", memory=memory)
        again = time.perf_counter() - started
    stages: dict[str, float] = {}
    for stage in first.record["stages"]:
        stages[stage["name"]] = stages.get(stage["name"], 0.0) + stage["seconds"]
    counts = first.record["counts"]
    return {
        "stages": stages,
        "whole": whole,
        "again": again,
        "peak": peak,
        "events": counts["events_used"],
        "profiles": counts["profiles"],
        "scored": counts["population"],
        "features": first.record["model"]["features"],
        "auc": first.evaluation["auc"]["value"],
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), None if sys.argv[2] == "-" else sys.argv[2])))
