"""One training for five horizons, beside five trainings of propend for one horizon each.

Everybody stands at the same cutoff, late enough for the longest horizon to be known since, and learns from what was
known there. Profiles and labels are the same for both: those of the goal with that window, as the whole data tell.
Positive ratios mean that the curve has the larger log loss.

    python benchmarks/horizons.py            # two goals, a few minutes
    FULL=1 python benchmarks/horizons.py     # more goals and earlier cutoffs

Needs the public data in ``../shared/data``; goals whose data are not there are left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

import propend
from propend.errors import PropendError
from propend.model.metrics import METRICS
from propend.preparation import Stages, prepare, read_inputs
from propend.snapshots.build import survey
from propend.snapshots.program import compile_program, lines_of
from propend.timeline import day_date

Float = NDArray[np.float64]

EXAMPLES = Path(__file__).parents[1] / "examples"
DAYS = (7, 14, 30, 60, 90)
ALLOWED = 0.01


@dataclass(frozen=True)
class Goal:
    """A document under ``examples`` with a window of its own, at a cutoff some days before the newest possible."""

    name: str
    example: str
    within_days: int
    earlier_days: int = 0

    def document(self, within_days: int, **options: Any) -> dict[str, Any]:
        [path] = EXAMPLES.rglob(f"{self.example}.yaml")
        found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        found["data"]["folder"] = str((path.parent / found["data"]["folder"]).resolve())
        found["goal"] = found["goal"] | {"within": f"{within_days}d"}
        found["options"] = found.get("options", {}) | {"quality_bar": 0.5} | options
        return found


SHORT = (
    Goal("Online Retail II, purchase", "online_retail_ii_purchase", 30),
    Goal("CDNOW, no purchase", "cdnow_churn", 30),
)
FULL = (
    *SHORT,
    Goal("Online Retail II, purchase", "online_retail_ii_purchase", 90),
    Goal("Online Retail II, purchase", "online_retail_ii_purchase", 30, 60),
    Goal("CDNOW, no purchase", "cdnow_churn", 90),
    Goal("Complete Journey, no basket", "complete_journey_churn_30", 30),
    Goal("Contoso, online purchase", "contoso_online", 30),
)


@dataclass(frozen=True)
class Truth:
    """Where everybody stands, and what happened since: uint8[H, N], 2 where it is not known."""

    cutoff: int
    ids: list[str]
    outcome: NDArray[np.uint8]


def truth_of(goal: Goal) -> Truth:
    """Labels of every horizon at the newest cutoff at which all are known."""
    with prepare(read_inputs(goal.document(goal.within_days)), Stages()) as prepared:
        instance, log = prepared.instance, prepared.log
        cutoff = prepared.timeline.observation.until_day - max(DAYS) - goal.earlier_days
        seen = [
            survey(log, compile_program(lines_of(instance), instance.goal.within(d), log.request), [cutoff])
            for d in DAYS
        ]
        outcome = np.array([np.where(s.labelled[:, 0], s.met[:, 0], 2) for s in seen], dtype=np.uint8)
        return Truth(cutoff, [str(i) for i in prepared.survey.profile_ids], outcome)


def scored(document: dict[str, Any], cutoff: int) -> tuple[pa.Table, float]:
    """The scores as of the cutoff, and the seconds of the whole run."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        table = propend.run(document, as_of=day_date(cutoff), out=Path(folder) / "run").scores
    return table, time.perf_counter() - started


def compared(goal: Goal) -> list[float]:
    """Log loss of the curve over that of separate trainings, minus 1, per horizon; prints every figure."""
    truth = truth_of(goal)
    place = {profile: i for i, profile in enumerate(truth.ids)}
    table, seconds = scored(goal.document(goal.within_days, horizons=list(DAYS)), truth.cutoff)
    rows = np.array([place[i] for i in table.column("profile_id").to_pylist()])
    curve = {h["days"]: k for k, h in enumerate(table.column("horizons")[0].as_py())}
    values = np.array([[h["probability"] for h in row] for row in table.column("horizons").to_pylist()])
    print(f"\n{goal.name}, own window {goal.within_days} d, as of {day_date(truth.cutoff)}: {len(rows):,} profiles")
    print("days   rate   log loss: one   alone   ratio     AUC: one  alone   mean: one  alone")
    ratios, alone_seconds = [], 0.0
    for h, days in enumerate(DAYS):
        try:
            alone, spent = scored(goal.document(days), truth.cutoff)
        except PropendError as error:
            ratios.append(np.nan)
            print(f"{days:4d}  alone it is refused: {error.code}", flush=True)
            continue
        alone_seconds += spent
        if alone.column("profile_id") != table.column("profile_id") or days not in curve:
            raise RuntimeError(f"{goal.name}: other profiles, or no curve, at {days} days")
        known = truth.outcome[h, rows] <= 1
        label = truth.outcome[h, rows][known]
        p = [values[known, curve[days]], alone.column("probability").to_numpy()[known]]
        loss, auc = ([METRICS[m](label, q) for q in p] for m in ("log_loss", "auc"))
        ratios.append(loss[0] / loss[1] - 1.0)
        print(
            f"{days:4d}  {label.mean():.3f}          {loss[0]:.4f}  {loss[1]:.4f}  {100 * ratios[-1]:+5.2f} %"
            f"         {auc[0]:.3f}  {auc[1]:.3f}       {p[0].mean():.3f}  {p[1].mean():.3f}",
            flush=True,
        )
    print(f"seconds: one training {seconds:.1f}, five {alone_seconds:.1f}", flush=True)
    return ratios


def main() -> int:
    """Non-zero where, on average over goals, a horizon is more than 1 % worse than alone."""
    wanted = FULL if os.environ.get("FULL") == "1" else SHORT
    goals = [g for g in wanted if Path(g.document(7)["data"]["folder"]).is_dir()]
    if not goals:
        print("no data: nothing was measured")
        return 0
    ratios = np.array([compared(goal) for goal in goals])
    shown = ", ".join(f"{days} d {100 * r:+.2f} %" for days, r in zip(DAYS, np.nanmean(ratios, axis=0), strict=True))
    print(
        f"\nOne training for five horizons against one for each, log loss, mean of {len(goals)} goals: {shown}; "
        f"worst {100 * np.nanmax(ratios):+.2f} %."
    )
    return int(np.nanmean(ratios, axis=0).max() > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
