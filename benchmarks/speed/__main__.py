"""Seconds from data to explained scores, stage by stage, and the same features by other engines, in one run.

The measure of all is one scan and group-by of the same files by DuckDB: customer, count, sum, first and last. The whole
job runs in a process of its own. Snapshots are those of everybody in the population at six cutoffs, described by 200
features of propend's own plan that one aggregate each gives, so that other engines can be asked for the very same; at
the smallest size they are compared cell by cell, and the run fails if they differ. Featuretools describes everybody of
a small log by features of its own.

    python -m benchmarks.speed            # 300,000 events, a minute
    FULL=1 python -m benchmarks.speed     # 5, 50 and 200 million; a quarter of an hour, 20 GB of disk
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed import peers
from benchmarks.speed.job import MODEL_STAGES, document
from benchmarks.speed.logs import Size, make_log

from propend.preparation import Prepared, Stages, prepare, read_inputs
from propend.snapshots.build import describe, describer, feature_matrix, rows_at
from propend.snapshots.plan import Plan
from propend.training import build_plan

FULL = os.environ.get("FULL") == "1"
FOLDER = Path(os.environ.get("OUT") or ".bench/speed")
SHORT = (Size(300_000, 6_000),)
SIZES = (Size(5_000_000, 100_000), Size(50_000_000, 1_000_000), Size(200_000_000, 4_000_000))
LOWER_MEMORY = {50_000_000: "4GB", 200_000_000: "6GB"}
"""Budgets that are tried beside the default, and at the largest size instead of it."""
FEATURES, CUTOFFS = 200, 6
SYNTHESIS = Size(100_000, 2_000)
PEERS_UP_TO = 5_000_000
TOLERANCE = 1e-5
GIB = 2**30


# --- the whole job --------------------------------------------------------------------------------------


def job(log: Path, memory: str = "-") -> dict[str, Any]:
    """What ``job.py`` says of a log."""
    command = [sys.executable, "-m", "benchmarks.speed.job", str(log), memory]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def job_line(size: Size, memory: str, found: dict[str, Any], group: float) -> str:
    stages = found["stages"]
    shown = [stages["read"], stages["survey"] + stages["features"], sum(stages[s] for s in MODEL_STAGES)]
    shown += [stages["describe"] + stages["score"], found["whole"], found["whole"] / group, found["again"]]
    cells = " | ".join(f"{x:.1f}" for x in shown)
    rate = found["events"] / found["whole"]
    return f"| {size.name} | {memory} | {cells} | {rate:,.0f} | {found['peak'] / GIB:.1f} | {found['auc']:.3f} |"


# --- snapshots ------------------------------------------------------------------------------------------


def aggregates(plan: Plan) -> Plan:
    """Two hundred features that one aggregate gives, evenly taken from all of a plan."""
    shared = peers.shared_features(plan)
    places = np.unique(np.linspace(0, len(shared) - 1, min(FEATURES, len(shared))).astype(int))
    return replace(plan, features=tuple(shared[i] for i in places))


def snapshots(prepared: Prepared, plan: Plan, cutoffs: tuple[int, ...]) -> int:
    """Describe the population at all cutoffs, partition by partition; gives how many snapshots there are."""
    rows, by = rows_at(prepared.survey, cutoffs, labelled=False), describer(prepared.log, plan)
    return sum(len(X) for X in prepared.log.visit(partial(describe, by, rows)))


def same(prepared: Prepared, plan: Plan, cutoff: int, pattern: str) -> float:
    """The largest relative difference of our features from DuckDB's, over everybody with an event in the look-back."""
    recent = replace(plan, features=tuple(f for f in plan.features))
    (table,) = peers.duckdb_features(pattern, recent, [cutoff], {"buy": "purchase"}, keep=True)
    theirs = {name: i for i, name in enumerate(table.column("customer").to_pylist())}
    rows = rows_at(prepared.survey, [cutoff], labelled=False)
    ids = prepared.survey.profile_ids[rows.profile]
    ours = feature_matrix(prepared.log, recent, rows)
    return peers.differences(ours, table, np.array([theirs[i] for i in ids]))


def seconds(call: Callable[[], Any], turns: int = 1) -> float:
    """The least of some turns."""
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def snapshot_lines(size: Size, log: Path, group: float) -> list[str]:
    """Ours at one and at six cutoffs, and other engines' at as many as they are asked for."""
    pattern, lines, kinds = str(log / "*.parquet"), [], {"buy": "purchase"}
    with prepare(read_inputs(document(log), None, None), Stages()) as prepared:
        newest = (*prepared.timeline.matured, prepared.timeline.now)[-CUTOFFS:]
        whole = build_plan(prepared)
        plan = replace(aggregates(whole), since_day=whole.since_day)
        # windows that begin before the data are stretched by propend alone
        cutoffs = tuple(c for c in newest if c - plan.since_day >= plan.lookback_days) or newest[-1:]
        snapshots(prepared, plan, cutoffs[-1:])  # compiled, or loaded from the cache
        one = seconds(lambda: snapshots(prepared, plan, newest[-1:]), 2)
        n = snapshots(prepared, plan, newest)
        ours = seconds(lambda: snapshots(prepared, plan, newest), 2)
        if size.events <= PEERS_UP_TO:
            gap = same(prepared, plan, cutoffs[-1], pattern)
            print(f"Largest relative difference from DuckDB's features at {size.name}: {gap:.1e}")
            if gap > TOLERANCE:
                raise SystemExit(f"features differ from DuckDB's by {gap:.1e}")
    cells = n * len(plan.features)
    lines.append(f"| {size.name} | propend, {len(plan.features)} features | 1 | {one:.2f} | {one / group:.2f} | |")
    rate = f"{ours:.2f} | {ours / group:.2f} | {n:,} snapshots, {cells / ours / 1e6:,.0f} M cells/s |"
    lines.append(f"| {size.name} | propend, {len(plan.features)} features | {len(newest)} | {rate}")
    if size.events <= PEERS_UP_TO:
        for name, features in (("DuckDB", peers.duckdb_features), ("Polars", peers.polars_features)):
            taken = seconds(lambda features=features: features(pattern, plan, newest, kinds))
            text = f"{taken:.1f} | {taken / group:.1f} | propend is {taken / ours:.0f} times as fast |"
            lines.append(f"| {size.name} | {name}, the same, one aggregate each | {len(newest)} | {text}")
    return lines


def synthesis_line() -> str:
    """Ours and featuretools' on a log small enough for it."""
    log = make_log(SYNTHESIS, FOLDER.resolve())
    with prepare(read_inputs(document(log), None, None), Stages()) as prepared:
        newest = (*prepared.timeline.matured, prepared.timeline.now)[-CUTOFFS:]
        whole = build_plan(prepared)
        plan = replace(aggregates(whole), since_day=whole.since_day)
        ours = seconds(lambda: snapshots(prepared, plan, newest), 3)
        n = snapshots(prepared, plan, newest)
    started = time.perf_counter()
    rows, features = peers.featuretools_features(str(log / "*.parquet"), plan.lookback_days, newest)
    theirs = time.perf_counter() - started
    cells = (n * len(plan.features) / ours) / (rows * features / theirs)
    text = f"{rows:,} snapshots; propend ({ours:.3f} s, {n:,}) makes {cells:,.0f} times as many cells a second |"
    return (
        f"| {SYNTHESIS.name} | featuretools, {features} features of its own | {len(newest)} | {theirs:.1f} | | {text}"
    )


# --- the tables -----------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print."""
    sizes = SIZES if FULL else SHORT
    jobs, rows, whole = [], [], {}
    for size in sizes:
        log = make_log(size, FOLDER.resolve())
        group = seconds(lambda log=log: peers.duckdb_group(str(log / "*.parquet")), 3)
        rows.append(f"| {size.name} | DuckDB, one scan and group-by, four aggregates | | {group:.2f} | 1 | |")
        budgets = [LOWER_MEMORY[size.events]] if size.events == SIZES[-1].events else ["-"]
        budgets += [LOWER_MEMORY[size.events]] if size.events in LOWER_MEMORY and budgets == ["-"] else []
        for memory in budgets:
            found = job(log, memory)
            whole.setdefault(size.events, found["whole"])
            jobs.append(job_line(size, memory, found, group))
            print(jobs[-1], flush=True)
        if size.events <= SIZES[1].events:
            rows += snapshot_lines(size, log, group)
            print("\n".join(rows[-4:]), flush=True)
    rows.append(synthesis_line())
    print("\n| events | memory | read | survey, features | model | score | whole | over group-by | scoring again "
          "| events/s | peak GiB | AUC |")  # fmt: skip
    print("| --- | --- |" + " ---: |" * 10)
    print("\n".join(jobs))
    print("\n| events | what | cutoffs | s | over group-by | |\n| --- | --- | ---: | ---: | ---: | --- |")
    print("\n".join(rows))
    known = sorted(e for e in whole if e >= 5_000_000)
    if len(known) > 1:
        slope = np.polyfit(np.log(known), np.log([whole[e] for e in known]), 1)[0]
        print(f"\nThe whole job grows with the {slope:.2f}th power of events, from {known[0]:,} to {known[-1]:,}.")


if __name__ == "__main__":
    main()
