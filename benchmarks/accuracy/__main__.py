"""Run the studies: ``python -m benchmarks.accuracy``.

By environment variable: ``FULL=1`` runs all studies with all contenders and cutoffs, ``BRIEF=1`` a small one,
``ONLY=text`` those named so, ``RESUME=1`` leaves out what has a result already, ``REMAKE=1`` runs nothing.

Needs ``pip install 'propend[bench]'`` and, but for the simulator, the public data in ``../shared/data``. Every study
leaves ``results/NAME.json`` in ``OUT`` (``.bench/accuracy``, or ``.bench/accuracy-full``) as it finishes;
``tables.md`` and ``charts.html`` are made of all there are. The last line is a sentence of ratios.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.accuracy import page, published
from benchmarks.accuracy.apart import FailedError, TooSlowError, in_own_process
from benchmarks.accuracy.contenders import (
    LIMITS,
    NAMES,
    ORDINARY_LIMIT,
    Outcome,
    Task,
    run_other,
    tasks_of,
    threads_are_two,
)
from benchmarks.accuracy.measure import Tested, compare
from benchmarks.accuracy.results import Result, Speed, file_of, load_all, save
from benchmarks.accuracy.speed import measure_speed
from benchmarks.accuracy.studies import BRIEF, FULL, SHORT, Study

from propend.model.metrics import METRICS
from propend.timeline import day_date

LEVEL_CUTOFFS = 6
"""So many cutoffs show the level; propend alone runs on those that are not a study's own."""


def measured(study: Study, names: Sequence[str], *, full: bool) -> Result:
    """All contenders on a study's cutoffs, propend's level on more, and its speed.

    Raises:
        FailedError: labels that differ from the SQL's, or a fault in propend.
        TooSlowError: propend did not finish.
    """
    pairs, remarks = tasks_of(study, max(LEVEL_CUTOFFS, study.cutoffs) if full else 1)
    proven = [(t, o) for t, o in pairs if not o.refused]
    shown = (proven or pairs)[: study.cutoffs if full else 1]
    if shown and full and len(shown) < study.cutoffs:
        remarks.append(f"figures of {len(shown)} of {study.cutoffs} cutoffs")
    if any(t.same_period for t, _ in shown):
        remarks.append("too little history for a later period: profiles are split at one cutoff")
    given: dict[str, list[Outcome]] = {"propend": [o for _, o in shown]}
    missing = {} if proven else {"propend": f"refused: {_code(pairs, remarks)}"}
    for name in [*names, "truth"] if study.simulated else names:
        if name == "propend" or not shown:
            continue
        try:
            given[name] = [in_own_process(run_other, name, t, limit=LIMITS.get(name, ORDINARY_LIMIT)) for t, _ in shown]
        except (TooSlowError, FailedError) as error:
            missing[name] = str(error)
        else:
            remarks += dict.fromkeys(f"{day_date(t.cutoff)}: {o.remark}" for (t, _), o in
                                     zip(shown, given[name], strict=True) if o.remark)  # fmt: skip
    compared = [n for n in given if n not in missing]
    tested = [_tested(t, {n: given[n][i] for n in compared}) for i, (t, _) in enumerate(shown)]
    return Result(
        study=study.name,
        cutoffs=[str(day_date(t.cutoff)) for t, _ in shown],
        rows=sum(len(t.test) for t, _ in shown),
        positives=sum(sum(t.test.values()) for t, _ in shown),
        cells=compare(tested, "propend") if tested else {},
        missing=missing,
        seconds={n: float(np.mean([o.seconds for o in given[n]])) for n in compared},
        megabytes={n: float(max(o.megabytes for o in given[n])) for n in compared},
        levels=[o.level for _, o in proven if o.level],
        truth_error=_truth_error(tested),
        speed=_speed(study, remarks) if proven else None,
        remarks=remarks,
    )


def _code(pairs: Sequence[tuple[Task, Outcome]], remarks: Sequence[str]) -> str:
    """The code of the refusal of the newest cutoff, or of the data."""
    return pairs[0][1].refused.split(":")[0] if pairs else remarks[0].split(": ")[1]


def _tested(task: Task, outcomes: dict[str, Outcome]) -> Tested:
    ids = list(task.test)
    p = {n: np.array([o.probability[i] for i in ids]) for n, o in outcomes.items()}
    return Tested(ids, np.array([task.test[i] for i in ids], dtype=float), p)


def _truth_error(tested: Sequence[Tested]) -> float:
    """Calibration error of propend's probabilities against the true ones, the mean of the cutoffs."""
    both = [t.probability for t in tested if {"truth", "propend"} <= t.probability.keys()]
    return float(np.mean([METRICS["calibration_error"](p["truth"], p["propend"]) for p in both])) if both else np.nan


def _speed(study: Study, remarks: list[str]) -> Speed | None:
    try:
        found: Speed = in_own_process(measure_speed, study, limit=2 * ORDINARY_LIMIT)
    except (TooSlowError, FailedError) as error:
        remarks.append(f"no speed: {error}")
        return None
    return found


def run(studies: Sequence[Study], out: Path, *, full: bool, resume: bool) -> list[str]:
    """Run and save them one by one; gives what failed."""
    names = NAMES if full else tuple(n for n in NAMES if n != "featuretools")
    failed: list[str] = []
    for study in studies:
        target = file_of(out, study.name)
        if resume and target.exists():
            continue
        if not study.has_data():
            print(f"{study.name}: skipped, its data are not here", flush=True)
            continue
        started = time.perf_counter()
        print(f"{study.name} ...", end=" ", flush=True)
        try:
            save(target, measured(study, names, full=full))
        except (FailedError, TooSlowError) as error:
            failed.append(f"ERROR {study.name}: {error}")
            print(f"failed: {error}", flush=True)
        else:
            print(f"{time.perf_counter() - started:.0f} s", flush=True)
    return failed


def main() -> int:
    """Non-zero where a study failed, labels that differ from the SQL's included."""
    threads_are_two()
    full, resume, remake, only = (os.environ.get(k, "") for k in ("FULL", "RESUME", "REMAKE", "ONLY"))
    out = Path(os.environ.get("OUT") or (".bench/accuracy-full" if full else ".bench/accuracy"))
    every = FULL if full else BRIEF if os.environ.get("BRIEF") else SHORT
    chosen = [] if remake else [s for s in every if only in s.name]
    failed = run(chosen, out, full=bool(full), resume=bool(resume))
    if full and not remake and only in published.NAME:
        failed += published.run(out, resume=bool(resume))
    results = load_all(out, [s.name for s in every if remake or full or s in chosen])
    text = page.tables(results, published.load(out))
    (out / "tables.md").write_text(text, encoding="utf-8")
    page.charts(results, out / "charts.html")
    print(text)
    print("\n".join(failed), file=sys.stderr)
    print(page.sentence(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
