"""Who competes, and what everybody predicts."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta

import duckdb
import numpy as np
from benchmarks.accuracy import handmade
from benchmarks.accuracy.apart import FailedError, in_own_process, peak_megabytes
from benchmarks.accuracy.bgnbd import BgNbd
from benchmarks.accuracy.level import Level
from benchmarks.accuracy.studies import FIRST, Study, load_events, observed_snapshots
from numpy.typing import NDArray

from propend.errors import PropendError
from propend.model.baselines import BaselineInputs, baseline_probabilities
from propend.model.train import choose
from propend.preparation import Prepared, Stages, prepare, read_inputs
from propend.snapshots.build import feature_matrix
from propend.timeline import day_date, day_number
from propend.training import build_plan, gather, settle_columns, sides, train_stage

Float = NDArray[np.float64]
MOST_CUTOFFS, LEAST_HISTORY_DAYS = 8, 30
NAMES = ("propend", "recency", "frequency", "rfm_logistic", "bgnbd", "bgnbd_count", "lightgbm", "featuretools")
ORDINARY_LIMIT, LIMITS = 1_800.0, {"featuretools": 300.0}
"""Seconds after which a contender is stopped."""
MOST_SYNTHESISED = 100_000
"""Training snapshots that deep feature synthesis describes: about a thousand a second."""
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
    """What a contender gave.

    Attributes:
        probability: by profile; empty where it refused or did not finish.
        seconds, megabytes: what it took; the peak.
        refused: the reason why there are no probabilities.
        remark: what a reader of its figures should know.
        label: propend's own labels of the tested profiles, if it came that far.
        cutoff: the day tested; 0 if propend did not come that far.
        same_period: propend's proof is a hold-out of profiles at one cutoff.
        level: propend's level at the cutoff.
    """

    probability: dict[str, float]
    seconds: float
    megabytes: float
    refused: str = ""
    remark: str = ""
    label: dict[str, int] | None = None
    cutoff: int = 0
    same_period: bool = False
    level: Level | None = None


def run_propend(study: Study, cutoff: int) -> Outcome:
    """The real pipeline up to and with the proof; ``cutoff`` 0 leaves the choice to it."""
    settle = study.settle_days + study.within_days
    as_of = str(day_date(cutoff) + timedelta(days=settle)) if cutoff else study.as_of or None
    started, stages = time.perf_counter(), Stages()
    try:
        with prepare(read_inputs(study.document(), study.table(), as_of), stages) as prepared:
            found = _proven(prepared, stages)
    except PropendError as error:
        found = Outcome({}, 0.0, 0.0, _reason(error))
    passed = dict(stages.seconds)
    spent = time.perf_counter() - started - passed.get("refit", 0.0) - passed.get("plain", 0.0)
    return replace(found, seconds=spent, megabytes=peak_megabytes())


def _reason(error: PropendError) -> str:
    return f"{error.code}: {error.message}"


def _proven(prepared: Prepared, stages: Stages) -> Outcome:
    """Probabilities of the proof's rows, or why there are none."""
    timeline = prepared.timeline
    empty = Outcome({}, 0.0, 0.0, cutoff=timeline.proof, same_period=timeline.proof_kind == "same-period")
    try:
        sample, rows = sides(prepared)
        learnt = sample.rows
    except PropendError as error:
        return replace(empty, refused=_reason(error))
    ids = [str(p) for p in prepared.survey.profile_ids[rows.profile]]
    labelled = replace(empty, label=dict(zip(ids, rows.label.tolist(), strict=True)))
    try:
        trained = train_stage(prepared, stages)
    except PropendError as error:
        return replace(labelled, refused=_reason(error))
    model = trained.saved.proof_model
    p = model.probability(feature_matrix(prepared.log, trained.saved.plan, rows))
    newest = float(learnt.label[learnt.cutoff == learnt.cutoff.max()].mean())
    day, y = str(day_date(timeline.proof)), rows.label.astype(np.float64)
    with stages("plain"):
        plain = _plain(prepared)
    level = Level.of(day, y, p, model.calibration.level_shift, newest, plain)
    return replace(labelled, probability=dict(zip(ids, p.tolist(), strict=True)), level=level)


def _plain(prepared: Prepared) -> Float:
    """Probabilities of the same recipe without any care for the level: to its trees all cutoffs are one."""
    plan = build_plan(prepared)
    learning = gather(prepared, plan)
    columns, _, _ = settle_columns(prepared, plan, learning)
    timeless = replace(learning.train, cutoff=np.zeros_like(learning.train.cutoff))
    _, model = choose(timeless, columns, prepared.instance.options.seed)
    return model.probability(learning.proof.X)


def run_other(name: str, task: Task) -> Outcome:
    """One contender, from the events to probabilities of the test's profiles."""
    started, remark = time.perf_counter(), ""
    if name == "truth":
        return _truth(task)
    session = load_events(task.study)
    ids = list(task.test)
    rows = training_rows(session, task)
    if name == "featuretools" and len(rows) > MOST_SYNTHESISED:
        share = MOST_SYNTHESISED / len(rows)
        kept = [r for r in rows if handmade.hash_share(r[0]) < share]
        remark = f"deep feature synthesis learns from {len(kept):,} of {len(rows):,} snapshots, whole profiles"
        rows = kept
    profile, at, y = [r[0] for r in rows], np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
    n = len(rows)
    handmade.register_snapshots(session, profile + ids, np.concatenate([at, np.full(len(ids), task.cutoff)]))
    if name in ("bgnbd", "bgnbd_count"):
        p = _bgnbd(handmade.goal_history(session, task.study), n, y, task.study, counts=name == "bgnbd_count")
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
    spent = time.perf_counter() - started
    return Outcome(dict(zip(ids, clipped.tolist(), strict=True)), spent, peak_megabytes(), remark=remark)


def training_rows(session: duckdb.DuckDBPyConnection, task: Task) -> list[tuple[str, int, int]]:
    """(profile, cutoff, label) of everything known at the task's cutoff, or of the profiles that are not tested."""
    return [
        (p, day, y)
        for day in task.training_cutoffs()
        for p, y in observed_snapshots(session, task.study, day).items()
        if not (task.same_period and p in task.test)
    ]


def _truth(task: Task) -> Outcome:
    """The simulator's own probability, given the events before the cutoff: nobody can do better with them."""
    started = time.perf_counter()
    ids, p = task.study.simulation().truth(task.cutoff - day_number(FIRST), task.study.within_days)
    known = dict(zip((str(i) for i in ids), np.clip(p, EDGE, 1 - EDGE).tolist(), strict=True))
    return Outcome({i: known[i] for i in task.test}, time.perf_counter() - started, peak_megabytes())


def _rule(name: str, history: Float, n: int, y: Float) -> Float:
    def inputs(rows: Float, label: Float) -> BaselineInputs:
        return BaselineInputs(rows[:, 0], rows[:, 1], rows[:, 2], label.astype(np.uint8))

    new = history[n:]
    return baseline_probabilities(inputs(history[:n], y), inputs(new, np.zeros(len(new))))[name]


def _bgnbd(history: Float, n: int, y: Float, study: Study, *, counts: bool) -> Float:
    """Fitted on what is known of the tested profiles before the cutoff; those without a goal event get the base rate
    that such profiles had in training. By counts: the probability of any under a Poisson count of the mean expected."""
    old, new = history[:n], history[n:]
    known = np.isfinite(new[:, 5])
    never = ~np.isfinite(old[:, 5])
    base = float(y[never].mean()) if never.any() else float(y.mean())
    p = np.full(len(new), base)
    model = BgNbd.fit(new[known, 3], new[known, 4], new[known, 5])
    given = (new[known, 3], new[known, 4], new[known, 5], study.within_days)
    any_purchase = 1 - np.exp(-model.expected_count(*given)) if counts else model.any_purchase(*given)
    p[known] = 1 - any_purchase if study.quiet else any_purchase
    return p


def tasks_of(study: Study, count: int) -> tuple[list[tuple[Task, Outcome]], list[str]]:
    """Propend's own newest proof, then earlier ones, and what there is to remark.

    Propend may refuse the newest ones: the others still predict them. Once it has given figures, its next refusal ends
    the list.

    Raises:
        FailedError: propend's rows or labels differ from those of the SQL.
        TooSlowError: propend did not finish.
    """
    session = load_events(study)
    first = day_number(session.execute("select min(ts)::date from ev").fetchone()[0])
    found: list[tuple[Task, Outcome]] = []
    remarks: list[str] = []
    wanted = 0
    for _ in range(count):
        ours = in_own_process(run_propend, study, wanted, limit=ORDINARY_LIMIT)
        if ours.refused:
            day = ours.cutoff or wanted
            remarks.append(f"propend refuses {f'the cutoff {day_date(day)}' if day else 'the data'}: {ours.refused}")
            if not ours.cutoff or any(not o.refused for _, o in found):
                break
        label = observed_snapshots(session, study, ours.cutoff)
        if ours.label is None:  # refused before it had rows: the others still show theirs
            test = {p: y for p, y in label.items() if not ours.same_period or handmade.hash_share(p) < 1 / 3}
        else:
            check_labels(study, ours, label)
            test = {p: label[p] for p in ours.label}
        found.append((Task(study, ours.cutoff, test, ours.same_period, first), ours))
        if ours.same_period:
            break
        wanted = ours.cutoff - study.within_days
    return found, remarks


def check_labels(study: Study, ours: Outcome, label: dict[str, int]) -> None:
    """Propend's rows and labels against the SQL's.

    Raises:
        FailedError: they differ.
    """
    theirs = ours.label or {}
    missing = 0 if ours.same_period else len(label.keys() - theirs.keys())
    extra = len(theirs.keys() - label.keys())
    other = sum(label[p] != y for p, y in theirs.items() if p in label)
    if missing or extra or other:
        raise FailedError(
            f"{study.name} at {day_date(ours.cutoff)}: {missing} profiles only in SQL, {extra} only in propend, "
            f"{other} with another label"
        )


def threads_are_two() -> None:
    """Every contender gets two threads."""
    os.environ.setdefault("OMP_NUM_THREADS", "2")
