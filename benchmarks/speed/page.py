"""Tables in Markdown of what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from benchmarks.speed.results import Beside, Job, Results, Snapshots

GIB = 2**30
Measured = TypeVar("Measured", Job, Snapshots, Beside)
JOB_HEAD = (
    "events", "memory", "read", "survey, features", "model", "score", "whole", "over group-by", "scoring again",
    "events/s", "peak GiB", "AUC",
)  # fmt: skip
SNAPSHOT_HEAD = (
    "events", "group-by, s", "one cutoff, s", "over group-by", "cutoffs", "s", "over group-by", "snapshots",
    "M cells/s", "largest difference from DuckDB",
)  # fmt: skip
BESIDE_HEAD = (
    "events", "tool", "makes", "cutoffs", "rows", "features", "reading, s", "making, s", "propend, s",
    "times as long", "compared", "largest difference",
)  # fmt: skip


def line(found: Job | Snapshots | Beside) -> str:
    """Its row in its table."""
    if isinstance(found, Job):
        return job_line(found)
    return snapshot_line(found) if isinstance(found, Snapshots) else beside_line(found)


def job_line(job: Job) -> str:
    """One row of the first table."""
    shown = [job.read, job.describe, job.model, job.score, job.whole, job.whole / job.group, job.again]
    cells = [f"{x:.1f}" for x in shown]
    return _row(job.size, job.memory, *cells, f"{job.used / job.whole:,.0f}", f"{job.peak / GIB:.1f}", f"{job.auc:.3f}")


def snapshot_line(s: Snapshots) -> str:
    """One row of the second table."""
    rate = s.rows * s.features / s.all / 1e6
    gap = "" if s.gap is None else f"{s.gap:.0e}"
    return _row(s.size, f"{s.group:.2f}", f"{s.one:.2f}", f"{s.one / s.group:.2f}", str(s.cutoffs), f"{s.all:.2f}",
                f"{s.all / s.group:.2f}", f"{s.rows:,}", f"{rate:,.0f}", gap)  # fmt: skip


def beside_line(b: Beside) -> str:
    """One row of the third table; where the tool was not run, why."""
    name = f"{b.tool} {b.version}".strip()
    if b.not_run:
        return _row(b.size, name, b.task, str(b.cutoffs), f"not run: {b.not_run}", *[""] * 7)
    features = f"{b.features:,}" if b.task == "features" else ""
    compared = "" if b.gap is None else f"{b.shared} features" if b.task == "features" else "labels"
    gap = "" if b.gap is None else "none" if b.gap == 0 else f"{b.gap:.0e}"
    return _row(b.size, name, b.task, str(b.cutoffs), f"{b.rows:,}", features, f"{b.load:.1f}" if b.load else "",
                f"{b.seconds:.1f}", f"{b.ours:.3f}", times(b.ratio), compared, gap)  # fmt: skip


def times(ratio: float) -> str:
    """Two figures of a ratio."""
    digits = 1 - math.floor(math.log10(ratio))
    return f"{round(ratio, digits):,.{max(digits, 0)}f}"


def growth(jobs: Sequence[Job]) -> tuple[float, Job, Job]:
    """The power of events that seconds grow with between the two largest logs."""
    *_, small, large = jobs
    return math.log(large.whole / small.whole) / math.log(large.events / small.events), small, large


def default_jobs(results: Results) -> list[Job]:
    """One job per size, that with the default memory where there is one, by size."""
    found: dict[int, Job] = {}
    for job in sorted(results.jobs.values(), key=lambda j: (j.events, j.memory != "-")):
        found.setdefault(job.events, job)
    return list(found.values())


def growth_sentence(results: Results) -> str:
    """How the whole job grows; empty where there are fewer than two sizes."""
    jobs = default_jobs(results)
    if len(jobs) < 2:
        return ""
    power, small, large = growth(jobs)
    first = jobs[0]
    whole = math.log(large.whole / first.whole) / math.log(large.events / first.events)
    said = f"The whole job grows with the {whole:.2f}th power of events from {first.size} to {large.size}"
    return f"{said}, with the {power:.2f}th from {small.size} to {large.size}.\n" if len(jobs) > 2 else f"{said}.\n"


def tables(results: Results) -> str:
    """All that there are."""
    parts = []
    if results.jobs:
        parts.append(_table(JOB_HEAD, 2, [line(j) for j in _ordered(results.jobs.values())]))
    if results.snapshots:
        parts.append(_table(SNAPSHOT_HEAD, 1, [line(s) for s in _ordered(results.snapshots.values())]))
    if results.beside:
        parts.append(_table(BESIDE_HEAD, 3, [line(b) for b in _ordered(results.beside.values())]))
    return "\n".join([*parts, growth_sentence(results)])


def _ordered(kept: Iterable[Measured]) -> list[Measured]:
    return sorted(kept, key=lambda x: x.events)


def _table(head: Sequence[str], texts: int, lines: Sequence[str]) -> str:
    """The first columns are texts, the others figures."""
    rule = "|" + " --- |" * texts + " ---: |" * (len(head) - texts)
    return "\n".join([_row(*head), rule, *lines]) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
