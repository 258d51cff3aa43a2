"""The curve over horizons: its labels, the hazards learnt from them, and how they did at the proof's cutoff.

The snapshots that the model learnt from are joined by those of the level's weekly cutoffs, which are described
already: a short window is known much sooner than the goal's own, and the steps of the goal's own are too wide for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propend.language import numeral, say
from propend.model.checks import Notice
from propend.model.evaluate import evaluate
from propend.model.horizons import HazardColumns, Horizons, fit_horizons
from propend.model.metrics import METRICS
from propend.preparation import Prepared
from propend.snapshots.build import Rows
from propend.snapshots.horizons import MET, UNKNOWN, UNMET, outcomes_at
from propend.snapshots.plan import Op, Plan
from propend.snapshots.program import compile_program, lines_of

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]

PACE_OPS = (Op.DAYS_SINCE_LAST, Op.DAYS_SINCE_FIRST, Op.OVERDUE, Op.GAP_MEAN, Op.GAP_DEVIATION, Op.TREND)
PACE_WINDOW_OPS = (Op.COUNT, Op.ACTIVE_DAYS, Op.SUM)
PACE_WINDOWS_DAYS = (7, 14, 30, 60, 90, 180)


@dataclass(frozen=True)
class Described:
    """Snapshots with all their features, float32[N, F]."""

    rows: Rows
    X: Matrix


@dataclass(frozen=True)
class Curves:
    """What is learnt of horizons.

    Attributes:
        proof: hazards from what was known at the proof's cutoff.
        now: hazards from all that is known.
        figures: of each horizon at the proof's cutoff.
        notices: horizons that were left out.
    """

    proof: Horizons
    now: Horizons
    figures: list[dict[str, Any]]
    notices: tuple[Notice, ...]


def pace_columns(plan: Plan, channel: int, used: NDArray[np.int64], twins: Mapping[int, int]) -> HazardColumns:
    """Features that say how soon: recency, rhythm, and the counts of many windows, of the goal's own event.

    Args:
        channel: of the goal's event.
        used: int64[C], features that the model uses.
        twins: of dropped features, the one each is a copy of.
    """
    windows = {plan.lookback_days, *PACE_WINDOWS_DAYS}
    wanted = [
        twins.get(j, j)
        for j, f in enumerate(plan.features)
        if (f.channel == channel and (f.op in PACE_OPS or (f.op in PACE_WINDOW_OPS and f.window_days in windows)))
        or (f.channel == 0 and f.op is Op.DAYS_SINCE_LAST)
    ]
    columns = np.intersect1d(used, np.array(wanted, dtype=np.int64))
    return HazardColumns(columns, np.array([plan.features[j].heavy for j in columns], dtype=bool))


def learn_curves(
    prepared: Prepared,
    columns: HazardColumns,
    train: Described,
    proof: Described,
    weekly: Described,
    probability: Float,
) -> Curves:
    """Hazards as of the proof's cutoff, measured there, and as of now.

    Args:
        columns: what hazards see.
        train, proof: the labelled snapshots of the two sides.
        weekly: a sample of the population at the level's cutoffs.
        probability: float64[N], what the proof's model gives the proof's rows.
    """
    task = _Task.of(prepared, columns)
    timeline = prepared.timeline
    until = timeline.observation.until_day
    later = timeline.proof_kind == "out-of-time"
    # held-out profiles of the same period are in the weekly sample, too
    before = [task.seen(train), task.seen(weekly)] if later else [task.seen(train)]
    everything = [task.seen(train), task.seen(proof), task.seen(weekly)]
    then, _ = task.fit(before, timeline.proof if later else until)
    now, left_out = task.fit(everything, until)
    curve = then.curve(proof.X, probability)
    return Curves(then, now, task.figures(everything[1], then, curve), left_out)


@dataclass(frozen=True)
class _Seen:
    """What hazards see of snapshots, and what happened: uint8[H, N], the goal itself, met or not or not known."""

    rows: Rows
    X: Matrix
    outcome: NDArray[np.uint8]


@dataclass(frozen=True)
class _Task:
    """The horizons of an instance: days, and from a cutoff to the day their outcome is known."""

    prepared: Prepared
    columns: HazardColumns
    days: tuple[int, ...]
    gaps_days: tuple[int, ...]

    @classmethod
    def of(cls, prepared: Prepared, columns: HazardColumns) -> _Task:
        instance = prepared.instance
        goals = [instance.goal.within(days) for days in instance.horizons]
        gaps = tuple(goal.reach_days + instance.options.settle for goal in goals)
        return cls(prepared, columns, instance.horizons, gaps)

    @property
    def falling(self) -> bool:
        return self.prepared.instance.goal.course == "falling"

    def seen(self, given: Described) -> _Seen:
        instance, log = self.prepared.instance, self.prepared.log
        lines = lines_of(instance)
        programs = [compile_program(lines, instance.goal.within(days), log.request) for days in self.days]
        return _Seen(given.rows, given.X[:, self.columns.columns], outcomes_at(log, programs, given.rows))

    def fit(self, parts: Sequence[_Seen], known_at: int) -> tuple[Horizons, tuple[Notice, ...]]:
        """Hazards of the horizons with enough outcomes known at a day, and notices for the others."""
        cutoff = np.concatenate([part.rows.cutoff for part in parts])
        outcome = np.concatenate([part.outcome for part in parts], axis=1)
        outcome[cutoff[None, :] + np.array(self.gaps_days)[:, None] > known_at] = UNKNOWN
        profile = self.prepared.survey.persons(np.concatenate([part.rows.profile for part in parts]))
        own, least = self.prepared.instance.goal.within_days, self.prepared.instance.options.minimum
        kept, notices = [], []
        for h, days in enumerate(self.days):
            met, unmet = (len(np.unique(profile[outcome[h] == value])) for value in (MET, UNMET))
            if days == own or min(met, unmet) >= least:
                kept.append(h)
            else:
                notices.append(_left_out(days, met, unmet, least))
        happened = outcome[kept]
        if self.falling:
            happened = np.where(happened == UNKNOWN, UNKNOWN, 1 - happened).astype(np.uint8)
        days_kept = tuple(self.days[h] for h in kept)
        X = np.concatenate([part.X for part in parts])
        return (
            fit_horizons(days_kept, days_kept.index(own), self.falling, self.columns, X, happened),
            tuple(notices),
        )

    def figures(self, proof: _Seen, horizons: Horizons, curve: Float) -> list[dict[str, Any]]:
        """Every horizon at the proof's cutoff; one that is not observed there has no figures."""
        timeline = self.prepared.timeline
        room = timeline.observation.until_day - timeline.proof
        found = []
        for h, (days, gap) in enumerate(zip(self.days, self.gaps_days, strict=True)):
            known = proof.outcome[h] != UNKNOWN
            if gap > room or days not in horizons.days or not known.any():
                nothing = {"value": None, "low": None, "high": None}
                figures: dict[str, Any] = {"n": 0, "positives": 0, "base_rate": None, "expected_rate": None}
                found.append({"days": days} | figures | dict.fromkeys(METRICS, nothing))
                continue
            label, expected = proof.outcome[h, known], curve[known, horizons.days.index(days)]
            metrics = evaluate(label, expected, self.prepared.survey.persons(proof.rows.profile[known]))
            rates = {
                "n": len(label),
                "positives": int(label.sum()),
                "base_rate": float(label.mean()),
                "expected_rate": float(expected.mean()),
            }
            found.append({"days": days} | rates | {name: m.to_dict() for name, m in metrics.items()})
        return found


def _left_out(days: int, met: int, unmet: int, least: int) -> Notice:
    message = (
        say(
            "there is no probability within {days} days: of windows of that length {met} profiles met the goal and "
            "{unmet} did not, {least} of either outcome are needed.",
            days=days,
            met=numeral(f"{met:,}"),
            unmet=numeral(f"{unmet:,}"),
            least=least,
        )
        if met + unmet
        else say(
            "there is no probability within {days} days: of windows of that length none was observed to its end, "
            "{least} of either outcome are needed.",
            days=days,
            least=least,
        )
    )
    hint = say("take the horizon out of `options.horizons`, or add older data.")
    return Notice("PROPEND-320", "HORIZON_LEFT_OUT", message, hint)
