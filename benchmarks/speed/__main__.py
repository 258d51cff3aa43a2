"""Seconds from data to explained scores, stage by stage, and the same features by other engines, in one run.

The measure of all is one scan and group-by of the same files by DuckDB: customer, count, sum, first and last. The whole
job runs in a process of its own. Snapshots are those of everybody in the population at six cutoffs, described by 200
features of propend's own plan that one aggregate each gives, so that other engines can be asked for the very same; at
the smaller sizes they are compared cell by cell, and the run fails if they differ. Other tools of the field are asked
for those of these features that they have, and for the labels; what cannot run is shown with the reason.

    python -m benchmarks.speed                       # 300,000 events, other tools on 100,000; a minute and a half
    FULL=1 python -m benchmarks.speed                # 1, 5, 50 and 200 million; half an hour, 20 GB of disk
    FULL=1 SIZES=1M,5M python -m benchmarks.speed    # some of them

The full form adds what it measures to ``results.json`` beside this file, size by size, from which
``benchmarks.speed.evidence`` makes tables and pictures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed import page, peers
from benchmarks.speed.beside import TOLERANCE, DifferentError, features_beside, labels_beside
from benchmarks.speed.job import MODEL_STAGES, document
from benchmarks.speed.logs import Size, make_log
from benchmarks.speed.results import Beside, Job, Results, Snapshots, load

from propend.preparation import Prepared, Stages, prepare, read_inputs
from propend.snapshots.build import describe, describer, feature_matrix, rows_at
from propend.snapshots.plan import Plan
from propend.training import build_plan

FULL = os.environ.get("FULL") == "1"
FOLDER = Path(os.environ.get("OUT") or ".bench/speed")
RESULTS = Path(__file__).parent / "results.json" if FULL else FOLDER / "results.json"
SHORT = (Size(300_000, 6_000),)
SIZES = (
    Size(1_000_000, 20_000),
    Size(5_000_000, 100_000),
    Size(50_000_000, 1_000_000),
    Size(200_000_000, 4_000_000),
)
LOWER_MEMORY = {50_000_000: "4GB", 200_000_000: "6GB"}
"""Budgets that are tried beside the default, and at the largest size instead of it."""
FEATURES, CUTOFFS = 200, 6
TOOLS_AT = SIZES[0] if FULL else Size(100_000, 2_000)
"""What the other tools of the field can do in minutes, and in seconds."""
LIMIT = 900.0 if FULL else 60.0
"""Seconds after which a tool is stopped, and shown so."""
PEERS_UP_TO, SNAPSHOTS_UP_TO = 5_000_000, 50_000_000
KINDS = {"buy": "purchase"}
"""Named events of the document, and what the logs call them."""


# --- the whole job --------------------------------------------------------------------------------------


def job(log: Path, memory: str = "-") -> dict[str, Any]:
    """What ``job.py`` says of a log."""
    command = [sys.executable, "-m", "benchmarks.speed.job", str(log), memory]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured_job(size: Size, log: Path, memory: str, group: float) -> Job:
    """One job, its stages put together."""
    found = job(log, memory)
    stages = found["stages"]
    return Job(
        events=size.events, size=size.name, memory=memory, used=found["events"], read=stages["read"],
        describe=stages["survey"] + stages["features"], model=sum(stages[s] for s in MODEL_STAGES),
        score=stages["describe"] + stages["score"], whole=found["whole"], again=found["again"], group=group,
        peak=found["peak"], auc=found["auc"],
    )  # fmt: skip


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
    """The largest relative difference of our features from DuckDB's, over everybody in the population."""
    (table,) = peers.duckdb_features(pattern, plan, [cutoff], KINDS, keep=True)
    theirs = {name: i for i, name in enumerate(table.column("customer").to_pylist())}
    rows = rows_at(prepared.survey, [cutoff], labelled=False)
    ids = prepared.survey.profile_ids[rows.profile]
    ours = feature_matrix(prepared.log, plan, rows)
    return peers.differences(ours, table, np.array([theirs[i] for i in ids]))


def seconds(call: Callable[[], Any], turns: int = 1) -> float:
    """The least of some turns."""
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


@dataclass(frozen=True)
class Described:
    """A prepared log, and how it is described in these measurements.

    Attributes:
        prepared: the log, open.
        plan: features that one aggregate gives.
        newest: the cutoffs.
    """

    prepared: Prepared
    plan: Plan
    newest: tuple[int, ...]

    @staticmethod
    def of(prepared: Prepared) -> Described:
        whole = build_plan(prepared)
        newest = (*prepared.timeline.matured, prepared.timeline.now)[-CUTOFFS:]
        return Described(prepared, replace(aggregates(whole), since_day=whole.since_day), newest)

    def compare(self, pattern: str) -> float:
        """The largest relative difference from DuckDB's features; fails where it is more than rounding."""
        inside = [c for c in self.newest if c - self.plan.since_day >= self.plan.lookback_days]
        # windows that begin before the data are stretched by propend alone
        gap = same(self.prepared, self.plan, (inside or self.newest)[-1], pattern)
        if gap > TOLERANCE:
            raise DifferentError(f"features differ from DuckDB's by {gap:.1e}")
        return gap


def measured_snapshots(size: Size, log: Path, group: float) -> Iterator[Snapshots | Beside]:
    """Ours at one and at six cutoffs, and other engines' at as many where the log is small enough for them."""
    pattern = str(log / "*.parquet")
    with prepare(read_inputs(document(log), None, None), Stages()) as prepared:
        described = Described.of(prepared)
        plan, newest = described.plan, described.newest
        snapshots(prepared, plan, newest[-1:])  # compiled, or loaded from the cache
        one = seconds(lambda: snapshots(prepared, plan, newest[-1:]), 2)
        rows = snapshots(prepared, plan, newest)
        ours = seconds(lambda: snapshots(prepared, plan, newest), 2)
        gap = described.compare(pattern) if size.events <= PEERS_UP_TO else None
    n = len(plan.features)
    yield Snapshots(size.events, size.name, group, n, len(newest), rows, one, ours, gap)
    if size.events > PEERS_UP_TO:
        return
    for name, features, compared in (("Polars", peers.polars_features, None), ("DuckDB", peers.duckdb_features, gap)):
        taken = seconds(lambda features=features: features(pattern, plan, newest, KINDS))
        yield Beside(
            size.events, size.name, name, "features", len(newest), version(name.lower()), rows, n, 0.0, taken, ours, n,
            taken / ours, compared,
        )  # fmt: skip


def measured_tools(size: Size, log: Path) -> Iterator[Beside]:
    """The other tools of the field, one after the other."""
    with prepare(read_inputs(document(log), None, None), Stages()) as prepared:
        described = Described.of(prepared)
        yield from features_beside(size, log, prepared, described.plan, KINDS, LIMIT)
        yield from labels_beside(size, log, prepared, KINDS["buy"], LIMIT)
        yield synthesis(size, log, described)


def synthesis(size: Size, log: Path, described: Described) -> Beside:
    """Ours and featuretools', which has features of its own: seconds per cell."""
    plan, newest = described.plan, described.newest
    ours = seconds(lambda: snapshots(described.prepared, plan, newest), 3)
    n = snapshots(described.prepared, plan, newest)
    started = time.perf_counter()
    rows, features = peers.featuretools_features(str(log / "*.parquet"), plan.lookback_days, newest)
    theirs = time.perf_counter() - started
    ratio = (theirs / (rows * features)) / (ours / (n * len(plan.features)))
    return Beside(
        size.events, size.name, "featuretools", "features", len(newest), version("featuretools"), rows, features, 0.0,
        theirs, ours, 0, ratio,
    )  # fmt: skip


# --- all of it ------------------------------------------------------------------------------------------


def measured(size: Size) -> Iterator[Job | Snapshots | Beside]:
    """The jobs of one size, its snapshots, and the engines beside them."""
    log = make_log(size, FOLDER.resolve())
    group = seconds(lambda: peers.duckdb_group(str(log / "*.parquet")), 3)
    budgets = ["-"] if size.events < SIZES[-1].events else []
    for memory in (*budgets, *([LOWER_MEMORY[size.events]] if size.events in LOWER_MEMORY else [])):
        yield measured_job(size, log, memory, group)
    if size.events <= SNAPSHOTS_UP_TO:
        yield from measured_snapshots(size, log, group)


def all_measured() -> Iterator[Job | Snapshots | Beside]:
    """Size by size, the smallest first; the other tools at theirs."""
    only = [name for name in os.environ.get("SIZES", "").split(",") if name]
    sizes = {*(SIZES if FULL else SHORT), TOOLS_AT}
    for size in sorted(sizes, key=lambda s: s.events):
        if only and size.name not in only:
            continue
        if size == TOOLS_AT:
            yield from measured_tools(size, make_log(size, FOLDER.resolve()))
        if size in (SIZES if FULL else SHORT):
            yield from measured(size)


def main() -> None:
    """Measure, print, and keep what has been measured so far."""
    results = load(RESULTS) if FULL else Results()
    try:
        for found in all_measured():
            results.add(found)
            results.save(RESULTS)
            print(page.line(found), flush=True)
    except DifferentError as error:
        raise SystemExit(str(error)) from None
    print(f"\n{page.tables(results)}")


if __name__ == "__main__":
    main()
