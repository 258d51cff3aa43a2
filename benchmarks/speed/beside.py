"""Other tools of the field asked for the same features and labels, each in a process of an environment of its own.

Propend's own are made from the same files at the same cutoffs in the same run, and compared: features cell by cell,
labels one by one. Times are of making them; what reading and bringing events into a tool's form takes stands apart.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.speed.logs import Size
from benchmarks.speed.others.request import Answer, Asked, Request
from benchmarks.speed.results import Beside
from numpy.typing import NDArray

from propend.preparation import Prepared
from propend.snapshots.build import Rows, feature_matrix, rows_at, survey
from propend.snapshots.plan import Feature, Plan

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("PEERS") or ".venv-bench-peers") / "bin" / "python"
FEATURE_TOOLS, LABEL_TOOLS = ("Temporian", "getML FastProp"), ("Compose", "ACES")
TOLERANCE = 1e-5
TURNS = 5


class DifferentError(Exception):
    """Another tool's figures are not propend's."""


def answered(tool: str, request: Request, people: pa.Table, limit: float) -> tuple[Answer, str] | str:
    """The answer and the tool's version; or why there is none.

    Args:
        limit: seconds, after which the tool is stopped.
    """
    if not PYTHON.exists():
        return f"there is no {PYTHON}; make bench-speed makes it"
    with tempfile.TemporaryDirectory() as folder:
        request.write(Path(folder), people)
        status, out, errors = _run([str(PYTHON.absolute()), "-m", "benchmarks.speed.others", tool, folder], limit)
        if status is None:
            return f"did not finish in {limit:.0f} s"
        said = (out.strip().splitlines() or [""])[-1]
        if status or not said.startswith("{"):
            return f"ended with status {status}: {(errors.strip().splitlines() or [''])[-1]}"
        found: dict[str, Any] = json.loads(said)
        if "not_run" in found:
            return str(found["not_run"])
        version = found.pop("version")
        return Answer(pq.read_table(Path(folder) / "answer.parquet"), **found), version


def _run(command: list[str], limit: float) -> tuple[int | None, str, str]:
    """Status, what it printed and its errors; without status where it was stopped, with all that it had started."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # an engine that outlives its client keeps its port and its memory
            return None, "", ""
        return process.returncode, out, errors


def best(call: Callable[[], Any]) -> float:
    """Least seconds of some turns."""
    taken = []
    for _ in range(TURNS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


# --- features -------------------------------------------------------------------------------------------


def asked(plan: Plan, place: int, feature: Feature, kinds: dict[str, str]) -> Asked:
    """A feature as others are told of it."""
    channel = plan.channels[feature.channel]
    kind = kinds.get(channel.name, channel.name) if channel.source in ("kind", "bit") else ""
    category = channel.value if channel.source == "value" else ""
    return Asked(place, feature.op.name, kind, category, feature.window_days)


def features_beside(
    size: Size, log: Path, prepared: Prepared, plan: Plan, kinds: dict[str, str], limit: float
) -> list[Beside]:
    """At the proof's cutoff, whose labels are known, as FastProp wants some."""
    cutoff = prepared.timeline.proof
    rows = rows_at(prepared.survey, [cutoff], labelled=True)
    request = Request(
        events=str(log), cutoffs=[cutoff], lookback_days=plan.lookback_days,
        outcome_days=prepared.timeline.windows.outcome_days, eligibility_days=0, goal="",
        features=[asked(plan, i, f, kinds) for i, f in enumerate(plan.features)],
    )  # fmt: skip
    ids = prepared.survey.profile_ids[rows.profile].astype(str)
    people = pa.table({"customer": ids, "label": rows.label.astype(np.float64)})
    return [_features(tool, size, request, people, prepared, plan, rows, limit) for tool in FEATURE_TOOLS]


def _features(
    tool: str, size: Size, request: Request, people: pa.Table, prepared: Prepared, plan: Plan, rows: Rows, limit: float
) -> Beside:
    found = answered(tool, request, people, limit)
    base = Beside(size.events, size.name, tool, "features", 1)
    if isinstance(found, str):
        return replace(base, not_run=found)
    answer, version = found
    names = [name for name in answer.table.column_names if name != "customer"]
    shared = replace(plan, features=tuple(plan.features[int(name[1:])] for name in names))
    ours = feature_matrix(prepared.log, shared, rows)
    theirs = _in_order(answer.table, names, people)
    gap = largest_gap(ours, theirs, zero_for_missing=answer.zero_for_missing)
    if gap > TOLERANCE:
        raise DifferentError(f"features of {tool} differ from propend's by {gap:.1e}")
    seconds = best(lambda: feature_matrix(prepared.log, shared, rows))
    ratio = (answer.make / answer.features) / (seconds / len(names))
    return replace(
        base, version=version, rows=len(rows), features=answer.features, load=answer.load, seconds=answer.make,
        ours=seconds, shared=len(names), ratio=ratio, gap=gap,
    )  # fmt: skip


def _in_order(table: pa.Table, names: list[str], people: pa.Table) -> NDArray[np.float64]:
    """float64[people, names], in the order of the people."""
    where = {name: i for i, name in enumerate(_texts(table.column("customer")))}
    order = np.array([where[name] for name in _texts(people.column("customer"))])
    return np.column_stack([table.column(n).to_numpy() for n in names]).astype(np.float64)[order]


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Texts, also of a column of bytes."""
    values: list[str] = column.cast(pa.string()).to_pylist()
    return values


def largest_gap(ours: NDArray[np.float32], theirs: NDArray[np.float64], *, zero_for_missing: bool) -> float:
    """The largest relative difference of any cell; infinite where one side alone misses one."""
    mine = ours.astype(np.float64)
    if zero_for_missing:
        theirs = np.where(np.isnan(mine) & (theirs == 0), np.nan, theirs)
    if (np.isnan(mine) != np.isnan(theirs)).any():
        return float("inf")
    return float(np.nanmax(np.abs(mine - theirs) / np.maximum(np.abs(theirs), 1.0), initial=0.0))


# --- labels ---------------------------------------------------------------------------------------------


def labels_beside(size: Size, log: Path, prepared: Prepared, goal: str, limit: float) -> list[Beside]:
    """At every cutoff whose labels are known; propend's survey says who is in the population as well."""
    cutoffs, windows = prepared.timeline.matured, prepared.timeline.windows
    rows = rows_at(prepared.survey, cutoffs, labelled=True)
    ids = prepared.survey.profile_ids[rows.profile].astype(str)
    ours = {(who, int(c)): int(x) for who, c, x in zip(ids, rows.cutoff, rows.label, strict=True)}
    seconds = best(lambda: survey(prepared.log, prepared.program, cutoffs))
    request = Request(str(log), cutoffs, 0, windows.outcome_days, windows.eligibility_days, goal)
    nobody = pa.table({"customer": pa.array([], pa.string())})
    lines = []
    for tool in LABEL_TOOLS:
        base = Beside(size.events, size.name, tool, "labels", len(cutoffs))
        found = answered(tool, request, nobody, limit)
        if isinstance(found, str):
            lines.append(replace(base, not_run=found))
            continue
        answer, version = found
        differing = _differing(ours, answer.table, whole=tool == "ACES")
        if differing:
            raise DifferentError(f"{differing} labels of {tool} differ from propend's")
        lines.append(replace(
            base, version=version, rows=answer.table.num_rows, features=1, load=answer.load, seconds=answer.make,
            ours=seconds, shared=1, ratio=answer.make / seconds, gap=0.0,
        ))  # fmt: skip
    return lines


def _differing(ours: dict[tuple[str, int], int], table: pa.Table, *, whole: bool) -> int:
    """Labels that differ or are missing; with ``whole``, also those of others than propend's population."""
    who, when, label = (table.column(n).to_pylist() for n in ("customer", "cutoff", "label"))
    theirs = dict(zip(zip(who, when, strict=True), label, strict=True))
    return sum(theirs.get(key) != x for key, x in ours.items()) + (len(theirs.keys() - ours.keys()) if whole else 0)
