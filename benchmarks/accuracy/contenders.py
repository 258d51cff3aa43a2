"""Who competes: each in a process of its own, so that its seconds and memory are its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy import handmade
from benchmarks.accuracy.bgnbd import BgNbd
from benchmarks.accuracy.studies import Study, load_events, observed_snapshots
from numpy.typing import NDArray

from propend.errors import PropendError
from propend.model.baselines import BaselineInputs, baseline_probabilities
from propend.preparation import Stages, prepare, read_inputs
from propend.timeline import day_date, day_number
from propend.training import sides, train_stage

Float = NDArray[np.float64]
MOST_CUTOFFS, LEAST_HISTORY_DAYS = 8, 30
NAMES = ("propend", "recency", "frequency", "rfm_logistic", "bgnbd", "lightgbm", "featuretools")
EDGE = 1e-6


@dataclass(frozen=True)
class Task:
    """One study at one cutoff.

    Attributes:
        test: profile to label, the rows that everybody predicts.
        same_period: too little history: training rows are the other profiles at the same cutoff.
        first_day: of the events.
    """

    study: Study
    cutoff: int
    test: dict[str, int]
    same_period: bool
    first_day: int

    def training_cutoffs(self) -> list[int]:
        """Those whose windows end by the cutoff of the test, in steps of the window."""
        if self.same_period:
            return [self.cutoff]
        s = self.study
        least = self.first_day + max(s.eligible_days, LEAST_HISTORY_DAYS)
        newest = self.cutoff - s.within_days
        found = list(range(newest, least - 1, -s.within_days))[:MOST_CUTOFFS]
        return sorted(found or [newest])


@dataclass(frozen=True)
class Outcome:
    """What a contender gave: probabilities by profile, or the reason why not; seconds and peak megabytes."""

    probability: dict[str, float]
    seconds: float
    megabytes: float
    refused: str = ""
    label: dict[str, int] | None = None
    cutoff: int = 0
    same_period: bool = False


def in_own_process(work: Callable[..., Any], *arguments: Any) -> Outcome:
    """Run in a fresh interpreter; its failure is raised here.

    Raises:
        RuntimeError: the process died without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, work, arguments))
    process.start()
    there.close()
    try:
        found = here.recv()
    except EOFError as error:
        raise RuntimeError(f"{work.__name__} ended without an answer") from error
    finally:
        process.join()
    if isinstance(found, BaseException):
        raise found
    return found


def _answer(pipe: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        pipe.send(work(*arguments))
    except Exception as error:
        pipe.send(RuntimeError(f"{work.__name__}: {type(error).__name__}: {error}"))


def peak_megabytes() -> float:
    """The most memory this process held (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def run_propend(study: Study, cutoff: int) -> Outcome:
    """The real pipeline up to and with the proof; ``cutoff`` 0 leaves the choice to it."""
    settle = study.settle_days + study.within_days
    as_of = str(day_date(cutoff) + timedelta(days=settle)) if cutoff else study.as_of or None
    started, stages = time.perf_counter(), Stages()
    with prepare(read_inputs(study.document(), study.table(), as_of), stages) as prepared:
        timeline = prepared.timeline
        same = timeline.proof_kind == "same-period"
        try:
            rows = sides(prepared)[1]
        except PropendError as error:
            spent = time.perf_counter() - started
            return Outcome({}, spent, peak_megabytes(), f"{error.code}: {error.message}", None, timeline.proof, same)
        ids = [str(p) for p in prepared.survey.profile_ids[rows.profile]]
        label = dict(zip(ids, rows.label.tolist(), strict=True))
        try:
            trained = train_stage(prepared, stages)
            margin = trained.saved.proof_model.probability(trained.sample)
            probability, refused = dict(zip(ids, margin.tolist(), strict=True)), ""
        except PropendError as error:
            probability, refused = {}, f"{error.code}: {error.message}"
    spent = time.perf_counter() - started - dict(stages.seconds).get("refit", 0.0)
    return Outcome(probability, spent, peak_megabytes(), refused, label, timeline.proof, same)


def run_other(name: str, task: Task) -> Outcome:
    """One contender, from the events to probabilities of the test's profiles."""
    started = time.perf_counter()
    session = load_events(task.study)
    ids = list(task.test)
    profile, cutoff, label = [], [], []
    for day in task.training_cutoffs():
        for p, y in observed_snapshots(session, task.study, day).items():
            if not (task.same_period and p in task.test):
                profile.append(p), cutoff.append(day), label.append(y)
    n, y, at = len(profile), np.array(label, dtype=float), np.array(cutoff, dtype=float)
    handmade.register_snapshots(session, profile + ids, np.concatenate([at, np.full(len(ids), task.cutoff)]))
    if name == "bgnbd":
        p = _bgnbd(handmade.goal_history(session, task.study), n, y, task.study)
    elif name == "lightgbm":
        X = handmade.windowed_features(session, task.study, task.cutoff)
        p = handmade.train_and_predict(X[:n], y, at, profile, task.study.within_days, X[n:])
    elif name == "featuretools":
        from benchmarks.accuracy.synthesis import deep_features  # noqa: PLC0415  featuretools is for the full form only

        X = deep_features(session)
        p = handmade.train_and_predict(X[:n], y, at, profile, task.study.within_days, X[n:])
    else:
        p = _rule(name, handmade.goal_history(session, task.study), n, y)
    clipped = np.clip(p, EDGE, 1 - EDGE)
    return Outcome(dict(zip(ids, clipped.tolist(), strict=True)), time.perf_counter() - started, peak_megabytes())


def _rule(name: str, history: Float, n: int, y: Float) -> Float:
    def inputs(rows: Float, label: Float) -> BaselineInputs:
        return BaselineInputs(rows[:, 0], rows[:, 1], rows[:, 2], label.astype(np.uint8))

    new = history[n:]
    return baseline_probabilities(inputs(history[:n], y), inputs(new, np.zeros(len(new))))[name]


def _bgnbd(history: Float, n: int, y: Float, study: Study) -> Float:
    """Fitted on what is known of the tested profiles before the cutoff; those without a goal event get the base rate
    that such profiles had in training."""
    old, new = history[:n], history[n:]
    known = np.isfinite(new[:, 5])
    never = ~np.isfinite(old[:, 5])
    base = float(y[never].mean()) if never.any() else float(y.mean())
    p = np.full(len(new), base)
    model = BgNbd.fit(new[known, 3], new[known, 4], new[known, 5])
    any_purchase = model.any_purchase(new[known, 3], new[known, 4], new[known, 5], study.within_days)
    p[known] = 1 - any_purchase if study.quiet else any_purchase
    return p


def tasks_of(study: Study, count: int) -> list[tuple[Task, Outcome]]:
    """Propend's own newest proof, then earlier ones; labels are recomputed in SQL and must be the same.

    Raises:
        RuntimeError: propend's rows or labels differ from those of the SQL.
    """
    session = load_events(study)
    first = day_number(session.execute("select min(ts)::date from ev").fetchone()[0])
    found: list[tuple[Task, Outcome]] = []
    wanted = 0
    for _ in range(count):
        try:
            ours = in_own_process(run_propend, study, wanted)
        except RuntimeError as error:
            if not found or "NotEnoughHistoryError" not in str(error):
                raise
            break
        label = observed_snapshots(session, study, ours.cutoff)
        if ours.label is None:  # refused before it had rows: the others still show theirs
            test = {p: y for p, y in label.items() if not ours.same_period or handmade.hash_share(p) < 1 / 3}
        else:
            _compare(study, ours, label)
            test = {p: label[p] for p in ours.label}
        found.append((Task(study, ours.cutoff, test, ours.same_period, first), ours))
        if ours.same_period:
            break
        wanted = ours.cutoff - study.within_days
    return found


def _compare(study: Study, ours: Outcome, label: dict[str, int]) -> None:
    theirs = ours.label or {}
    missing = 0 if ours.same_period else len(label.keys() - theirs.keys())
    extra = len(theirs.keys() - label.keys())
    other = sum(label[p] != y for p, y in theirs.items() if p in label)
    if missing or extra or other:
        raise RuntimeError(
            f"{study.name} at {day_date(ours.cutoff)}: {missing} profiles only in SQL, {extra} only in propend, "
            f"{other} with another label"
        )


def threads_are_two() -> None:
    """Every contender gets two threads."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
