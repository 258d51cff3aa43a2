"""Run the studies: ``python -m benchmarks.accuracy``; ``FULL=1`` runs all, ``ONLY=text`` those named so.

Needs ``pip install 'propend[bench]'`` and the public data in ``../shared/data``. Writes ``table.md`` and
``charts.html`` into ``OUT`` (``.bench/accuracy`` by default); its last line is a sentence of ratios.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.accuracy.contenders import NAMES, Outcome, Task, in_own_process, run_other, tasks_of, threads_are_two
from benchmarks.accuracy.measure import Tested, compare
from benchmarks.accuracy.page import Result, charts, sentence, table
from benchmarks.accuracy.studies import FULL, SHORT, Study

from propend.timeline import day_date


def measured(study: Study, names: Sequence[str], cutoffs: int) -> Result:
    """All contenders on all cutoffs of one study."""
    tasks = tasks_of(study, cutoffs)
    given: list[dict[str, Outcome]] = []
    for task, ours in tasks:
        given.append({"propend": ours} | {n: in_own_process(run_other, n, task) for n in names if n != "propend"})
    refused = [f"propend refused at {day_date(t.cutoff)}: {o.refused}" for t, o in tasks if o.refused]
    shown = [n for n in names if n != "propend" or not refused]
    tested = [_tested(task, outcomes, shown) for (task, _), outcomes in zip(tasks, given, strict=True)]
    remarks = list(refused)
    if len(tasks) < cutoffs:
        remarks.append(f"history allows {len(tasks)} of {cutoffs} cutoffs")
    if tasks[0][0].same_period:
        remarks.append("too little history for a later period: profiles are split at one cutoff")
    return Result(
        study=study.name,
        cutoffs=[str(day_date(t.cutoff)) for t, _ in tasks],
        rows=sum(len(t.test) for t, _ in tasks),
        cells=compare(tested, "propend"),
        seconds={n: float(np.mean([g[n].seconds for g in given])) for n in names},
        megabytes={n: float(max(g[n].megabytes for g in given)) for n in names},
        remarks=remarks,
    )


def _tested(task: Task, outcomes: dict[str, Outcome], names: Sequence[str]) -> Tested:
    ids = list(task.test)
    p = {n: np.array([outcomes[n].probability[i] for i in ids]) for n in names}
    return Tested(ids, np.array([task.test[i] for i in ids], dtype=float), p)


def main() -> int:
    """Non-zero where a study failed, labels that differ from the SQL's included."""
    threads_are_two()
    full, only = os.environ.get("FULL") == "1", os.environ.get("ONLY", "")
    studies = [s for s in (FULL if full else SHORT) if only in s.name]
    names = NAMES if full else tuple(n for n in NAMES if n != "featuretools")
    results, failed = [], []
    for study in studies:
        print(f"{study.name} ...", flush=True)
        try:
            results.append(measured(study, names, study.cutoffs if full else 1))
        except RuntimeError as error:
            failed.append(f"ERROR {study.name}: {error}")
            print(failed[-1], file=sys.stderr, flush=True)
    target = Path(os.environ.get("OUT", ".bench/accuracy"))
    target.mkdir(parents=True, exist_ok=True)
    text = table(results)
    (target / "table.md").write_text(text, encoding="utf-8")
    charts(results, target / "charts.html")
    print(text)
    if failed:
        print("\n".join(failed))
    print(sentence(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
