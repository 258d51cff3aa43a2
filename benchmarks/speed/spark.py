"""The same job by the Spark engine and by DuckDB, on one log and the same cores: equal scores, and the overhead.

Each runs twice in a process of its own, and the second run counts. A log may be given a profile of ten million events.

    python -m benchmarks.speed.spark                 # 300,000 events
    FULL=1 python -m benchmarks.speed.spark          # 5 million, then the same with a bot of 10 million; some minutes
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.speed.job import document
from benchmarks.speed.logs import DAY_US, DAYS, FIRST_DAY, Size, make_log

import propend
from propend import Run

FULL = os.environ.get("FULL") == "1"
FOLDER = Path(os.environ.get("OUT") or ".bench/speed")
SIZE = Size(5_000_000, 100_000) if FULL else Size(300_000, 6_000)
BOT_EVENTS = 10_000_000
SHOWN = ("read", "survey", "features", "fit", "level", "prove", "refit", "describe", "score", "whole")
RUN_ONLY = ("run_id",)


def with_bot(log: Path, events: int) -> Path:
    """A log with one more profile, of very many events; made once."""
    target = log.with_name(f"{log.name}_bot_{events}")
    if not target.is_dir():
        shutil.copytree(log, target)
        rng, step = np.random.default_rng(7), 1_000_000
        for i in range(0, events, step):
            n = min(step, events - i)
            at = FIRST_DAY + rng.integers(0, DAYS * DAY_US, n)
            table = pa.table(
                {
                    "customer": pa.array(["bot"] * n),
                    "at": pa.array(at).cast(pa.timestamp("us")),
                    "event": pa.array(["page_view"] * n),
                    "category": pa.array(rng.choice(["c01", "c02"], n)),
                    "sku": pa.array(rng.choice(["s1", "s2", "s3"], n)),
                    "value": pa.nulls(n, pa.float64()),
                }
            )
            pq.write_table(table, target / f"bot-{i // step:03d}.parquet", row_group_size=1 << 17)
    return target


def timed(engine: str, log: Path, out: Path) -> dict[str, Any]:
    """Seconds by stage of a run in a process of its own."""
    own = [sys.executable, "-m", "benchmarks.speed.spark", engine, str(log), str(out)]
    printed = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return found


def one_run(engine: str, log: Path, out: Path) -> dict[str, float]:
    """Seconds by stage of a second run in one process: sessions are started, and passes loaded, once."""
    for _ in range(2):
        record = propend.run(document(log), out=out, engine=engine).record
    stages: dict[str, float] = {}
    for stage in record["stages"]:
        stages[stage["name"]] = stages.get(stage["name"], 0.0) + stage["seconds"]
    return stages | {"whole": record["seconds"], "events": record["counts"]["events_used"]}


def equal(one: Path, other: Path) -> int:
    """How many scores there are, which are the same to the last bit.

    Raises:
        SystemExit: they are not.
    """
    tables = [Run.load(folder).scores.drop_columns(list(RUN_ONLY)) for folder in (one, other)]
    if not tables[0].equals(tables[1]):
        unlike = [c for c in tables[0].column_names if not tables[0].column(c).equals(tables[1].column(c))]
        sys.exit(f"the engines' scores differ in {', '.join(unlike)}")
    return int(tables[0].num_rows)


def compare(log: Path, name: str) -> str:
    """Both engines on one log; prints a table, and gives a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        outs = {engine: Path(folder) / engine for engine in ("duckdb", "spark")}
        found = {engine: timed(engine, log, out) for engine, out in outs.items()}
        scores = equal(*outs.values())
    print(f"{name}: {int(found['spark']['events']):,} events, {scores:,} scores equal to the last bit")
    print(f"| engine | {' | '.join(SHOWN)} |\n| --- |{' ---: |' * len(SHOWN)}")
    for engine, stages in found.items():
        print(f"| {engine} | {' | '.join(f'{stages.get(s, 0.0):.1f}' for s in SHOWN)} |", flush=True)
    reading, whole = (found["spark"][s] / found["duckdb"][s] for s in ("read", "whole"))
    return (
        f"{name}: equal scores; Spark takes {reading:.1f} times as long to read, {whole:.1f} times for the whole job."
    )


def main() -> None:
    """Print figures; the last line is one sentence of ratios."""
    log = make_log(SIZE, FOLDER)
    said = [compare(log, SIZE.name)]
    if FULL:
        said.append(compare(with_bot(log, BOT_EVENTS), f"{SIZE.name} and a bot's {BOT_EVENTS:,}"))
    print(" ".join(said))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one_run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
