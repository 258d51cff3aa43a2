"""Runs of a workspace: asked for, waiting, executed, kept.

    queued ──► running ──► succeeded | failed | cancelled | interrupted

One run of an instance is executed at a time and one may wait; of all instances so many at once as the settings allow.
Who executes a run holds a lock file of its own while it does: the system gives the lock up when the process ends,
however it ends, and whoever finds a running run whose lock is free knows that nobody is at work on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from propend.errors import (
    InstanceNotFoundError,
    PropendError,
    RunCancelledError,
    RunInterruptedError,
    RunWaitingError,
    StatusError,
)
from propend.instance import Instance
from propend.labels import gate_policies
from propend.pipeline import new_run_id
from propend.store.catalog import Catalog, InstanceRow, RunRow, alone, now
from propend.store.membership import MEMBERS
from propend.store.runs import WORK_FOLDER, plain
from propend.workspace.audit import LOCAL, note
from propend.workspace.instances import Instances
from propend.workspace.settings import Settings
from propend.writing import remove

ENDED = ("succeeded", "failed", "cancelled", "interrupted")
KINDS = ("auto", "train", "score")
Plain = dict[str, Any]


class Runs:
    """The runs of a workspace."""

    def __init__(self, home: Path, catalog: Catalog, instances: Instances, settings: Settings) -> None:
        """``home``: the workspace's folder."""
        self._home, self._catalog, self._instances, self._settings = home, catalog, instances, settings
        self._work = home / WORK_FOLDER

    # --- looking ------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRow:
        """One run.

        Raises:
            InstanceNotFoundError: there is none of that id.
        """
        with self._catalog.reading() as session:
            return self._row(session, run_id)

    def history(
        self,
        instance_id: str | None = None,
        *,
        state: str | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[RunRow]:
        """Runs, the newest first.

        Args:
            before: only those asked for before this instant: the next page.
        """
        asked = select(RunRow).join(InstanceRow).where(InstanceRow.status != "deleting")
        if instance_id is not None:
            asked = asked.where(RunRow.instance_id == instance_id)
        if state is not None:
            asked = asked.where(RunRow.state == state)
        if before is not None:
            asked = asked.where(RunRow.queued_at < before)
        with self._catalog.reading() as session:
            return list(session.scalars(asked.order_by(RunRow.queued_at.desc()).limit(limit)))

    def serving(self, instance_id: str) -> RunRow | None:
        """The run whose scores are served: the newest that succeeded."""
        with self._catalog.reading() as session:
            return _newest_succeeded(session, instance_id)

    def served(self, instance_id: str) -> RunRow:
        """The same, where there must be one.

        Raises:
            InstanceNotFoundError: there is no such instance, or it has no scores yet.
        """
        self._instances.get(instance_id)
        found = self.serving(instance_id)
        if found is None:
            raise InstanceNotFoundError(f"{instance_id!r} has no scores yet.", "run it.", instance=instance_id)
        return found

    def all_serving(self) -> list[RunRow]:
        """The serving run of every instance that has one, by instance."""
        return self._last("finished_at", state="succeeded")

    def newest(self, instance_ids: Collection[str]) -> dict[str, RunRow]:
        """The run of each of these instances that was asked for last, whatever its state; not of those without."""
        return {run.instance_id: run for run in self._last("queued_at", ids=instance_ids)}

    def scored_since(self, since: datetime) -> int:
        """How many scores runs have given since an instant: a profile counts once for each run."""
        given = func.sum(RunRow.summary["population"].as_integer())
        asked = select(given).where(RunRow.state == "succeeded", RunRow.finished_at >= since)
        with self._catalog.reading() as session:
            return int(session.scalar(asked) or 0)

    def folder(self, run: RunRow) -> Path:
        """Where its files are."""
        return self._home / run.folder

    def scratch(self, run: RunRow) -> Path:
        """What it may fill while it is executed, and what is removed with it."""
        return self._work / "tmp" / run.id

    # --- asking -------------------------------------------------------------------------------------------

    def start(
        self,
        instance_id: str,
        *,
        by: str = LOCAL,
        kind: str = "auto",
        trigger: str = "manual",
        options: Plain | None = None,
    ) -> RunRow:
        """Ask for a run of the newest version; it waits until it can be executed.

        Args:
            kind: ``auto`` trains where the policy says so and scores else; ``train`` and ``score`` do as they say.
            options: ``as_of``, a date; ``memory``; ``engine``; ``full``, to read tables of databases as a whole.

        Raises:
            StatusError: the instance is a draft or disabled, or ``score`` is asked for without a model.
            RunWaitingError: a run of it waits already.
            PolicyError: a policy forbids what it does with a labelled column.
        """
        with self._catalog.writing() as session:
            alone(session, "runs")
            instance = self._instances.row(session, instance_id)
            if instance.status != "enabled":
                done = "publish it" if instance.status == "draft" else "enable it"
                raise StatusError(
                    f"{instance_id!r} is {_worded(instance.status)}.", f"{done} first.", status=instance.status
                )
            if kind == "score" and instance.champion is None:
                raise StatusError(f"{instance_id!r} has no model to score with.", "train it: run it with kind auto.")
            version = self._instances.version_row(session, instance_id, instance.version)
            gate_policies(Instance.load(version.document), self._settings.policies)
            self._gate_waiting(session, instance_id)
            queued_at = now()
            run_id = new_run_id(queued_at)
            found = RunRow(
                id=run_id, instance_id=instance_id, version=instance.version, kind=kind, trigger=trigger,
                state="queued", options=options or {}, folder=f"{WORK_FOLDER}/runs/{instance_id}/{run_id}", asked_by=by,
                queued_at=queued_at, progress=0.0, scores_kept=False, cancel_asked=False,
            )  # fmt: skip
            session.add(found)
            note(session, by, "run", "instance", instance_id, after={"run": run_id, "kind": kind, "trigger": trigger})
            return found

    def cancel(self, run_id: str, by: str = LOCAL) -> RunRow:
        """Stop a run: at once if it waits, within moments if it is executed.

        Raises:
            StatusError: it has ended already.
        """
        with self._catalog.writing() as session:
            alone(session, "runs")
            found = self._row(session, run_id)
            if found.state in ENDED:
                raise StatusError(
                    f"Run {run_id} has {_worded(found.state)}.",
                    "only a run that waits or is executed can be cancelled.",
                )
            found.cancel_asked = True
            if found.state == "queued":
                _end(found, "cancelled", _cancelled(found))
            note(session, by, "cancel", "run", run_id, after={"instance": found.instance_id})
            return found

    def abandon(self, instance_id: str) -> None:
        """Stop every run of an instance that is being removed; waits until its folders are nobody's."""
        with self._catalog.writing() as session:
            alone(session, "runs")
            asked = select(RunRow).where(RunRow.instance_id == instance_id, RunRow.state.in_(("queued", "running")))
            stopped = list(session.scalars(asked))
            for run in stopped:
                run.cancel_asked = True
                if run.state == "queued":
                    _end(run, "cancelled", _cancelled(run))
        for run in stopped:
            with FileLock(self._lock_path(run.id)):  # given up by whoever executes it
                pass

    # --- executing ----------------------------------------------------------------------------------------

    def next_waiting(self) -> RunRow | None:
        """The run that is to be executed next, if one can be."""
        with self._catalog.reading() as session:
            return self._claimable(session)

    def claim(self, run_id: str, process: int) -> RunRow | None:
        """Make a waiting run a running one, if it is its turn; call it with the run's lock held.

        Args:
            process: the id of the process that executes it.
        """
        with self._catalog.writing() as session:
            alone(session, "runs")
            found = self._claimable(session, run_id)
            if found is None:
                return None
            found.state, found.started_at, found.process = "running", now(), process
            instance = session.get(InstanceRow, found.instance_id)
            if instance is not None:
                found.version = instance.version
            return found

    def tell(self, run_id: str, stage: str, progress: float) -> bool:
        """Say how far a running run is; False where it should stop."""
        with self._catalog.writing() as session:
            found = session.get(RunRow, run_id)
            if found is None or found.state != "running" or found.cancel_asked:
                return False
            found.stage, found.progress = stage[:40], progress
            return True

    def wanted(self, run_id: str) -> bool:
        """Whether a running run should go on."""
        with self._catalog.reading() as session:
            found = session.get(RunRow, run_id)
            return found is not None and found.state == "running" and not found.cancel_asked

    def succeed(
        self, run_id: str, summary: Plain, model_run: str, may: Callable[[Session], bool] | None = None
    ) -> bool:
        """The one commit by which a run's scores are served; False where it was ended meanwhile, and nothing changes.

        Args:
            model_run: run whose model it scored with.
            may: asked within the transaction; where it says no, nothing changes either.
        """
        with self._catalog.writing() as session:
            alone(session, "runs")
            found = session.get(RunRow, run_id)
            if found is None or found.state != "running" or (may is not None and not may(session)):
                return False
            before = _newest_succeeded(session, found.instance_id)
            _end(found, "succeeded", None)
            if before is not None and before.finished_at is not None and found.finished_at is not None:
                # what came later is served, also where the clock was put back in between
                found.finished_at = max(found.finished_at, before.finished_at + timedelta(microseconds=1))
            found.summary, found.model_run, found.scores_kept = plain(summary), model_run, True
            instance = session.get(InstanceRow, found.instance_id)
            if instance is not None:
                instance.champion = model_run
            return True

    def keep_verdict(self, run_id: str, verdict: Plain) -> None:
        """Keep what came of a run, with its summary."""
        with self._catalog.writing() as session:
            found = self._row(session, run_id)
            found.summary = dict(found.summary or {}) | {"realised": plain(verdict)}

    def end(self, run_id: str, state: str, error: PropendError) -> bool:
        """A running run failed, or was stopped; its files are removed and the scores before it stay.

        False where it had ended before: then nothing is changed, and nothing removed.
        """
        with self._catalog.writing() as session:
            found = session.get(RunRow, run_id)
            if found is None or found.state != "running":
                return False
            _end(found, state, error)
        self._remove_files(found)
        return True

    @contextmanager
    def lock(self, run_id: str) -> Iterator[bool]:
        """The lock of who executes a run; False where somebody else has it."""
        lock = FileLock(self._lock_path(run_id))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def reap(self) -> list[str]:
        """End runs that nobody is at work on any more, and remove what they left; gives their ids."""
        with self._catalog.reading() as session:
            running = list(session.scalars(select(RunRow.id).where(RunRow.state == "running")))
        ended = []
        for run_id in running:
            with self.lock(run_id) as free:
                if not free:
                    continue
                found = self.get(run_id)
                if found.state == "running":
                    self.end(run_id, *_broken_off(found))
                    ended.append(run_id)
        self._remove_locks()
        self._remove_left()
        return ended

    def prune(self) -> None:
        """Remove the scores of runs that are older than is kept and not served; models, proofs and reports stay."""
        limit = now() - timedelta(days=self._settings.retention.scores_days)
        with self._catalog.reading() as session:
            served = {
                found.id for i in session.scalars(select(InstanceRow.id)) if (found := _newest_succeeded(session, i))
            }
            old = select(RunRow).where(RunRow.scores_kept.is_(True), RunRow.finished_at < limit)
            due = [run for run in session.scalars(old) if run.id not in served]
        for run in due:
            self.remove_scores(self.folder(run))  # before it is said: who is killed in between does it again
            with self._catalog.writing() as session:
                self._row(session, run.id).scores_kept = False
            self.remove_scores(self.folder(run))  # somebody who was being forgotten may have been taken out meanwhile

    @staticmethod
    def remove_scores(folder: Path) -> None:
        """Remove scores, contributions, attributes and members of segments of a run; model, proof and report stay."""
        for name in ("scores", "contributions", "attributes"):
            remove(folder / f"{name}.parquet")
        remove(folder / MEMBERS)

    def _lock_path(self, run_id: str) -> Path:
        path = self._work / "locks" / f"{run_id}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    # --- within ---------------------------------------------------------------------------------------------

    def _last(self, by: str, state: str | None = None, ids: Collection[str] | None = None) -> list[RunRow]:
        """Of each instance the run that comes last by a time; by instance. An index finds it without the others.

        Args:
            by: ``queued_at`` or ``finished_at``.
            state: only runs in it; ids: only of these instances.
        """
        one = aliased(RunRow)
        found = select(one.id).where(one.instance_id == InstanceRow.id).limit(1)
        found = found.order_by(getattr(one, by).desc(), one.id.desc())
        if state is not None:
            found = found.where(one.state == state)
        last = select(found.scalar_subquery()).where(InstanceRow.status != "deleting")
        if ids is not None:
            last = last.where(InstanceRow.id.in_(ids))
        asked = select(RunRow).where(RunRow.id.in_(last)).order_by(RunRow.instance_id)
        with self._catalog.reading() as session:
            return list(session.scalars(asked))

    @staticmethod
    def _row(session: Session, run_id: str) -> RunRow:
        found = session.get(RunRow, run_id)
        if found is None:
            raise InstanceNotFoundError(
                f"There is no run {run_id!r} in this workspace.", "`propend list` shows those there are.", run=run_id
            )
        return found

    @staticmethod
    def _gate_waiting(session: Session, instance_id: str) -> None:
        asked = select(RunRow.id).where(RunRow.instance_id == instance_id, RunRow.state == "queued")
        waiting = session.scalars(asked).first()
        if waiting is not None:
            raise RunWaitingError(
                f"Run {waiting} of {instance_id!r} waits already, and reads the same data and version.",
                "wait for it, or cancel it first.",
                instance=instance_id, run=waiting,
            )  # fmt: skip

    def _claimable(self, session: Session, run_id: str | None = None) -> RunRow | None:
        """The first waiting run, or one of them, if it can be executed now."""
        busy = set(session.scalars(select(RunRow.instance_id).where(RunRow.state == "running")))
        running = session.scalar(select(func.count()).select_from(RunRow).where(RunRow.state == "running")) or 0
        if running >= self._settings.runs.at_once:
            return None
        waiting = select(RunRow).where(RunRow.state == "queued").order_by(RunRow.queued_at, RunRow.id)
        if run_id is not None:
            waiting = waiting.where(RunRow.id == run_id)
        return next((run for run in session.scalars(waiting) if run.instance_id not in busy), None)

    def _remove_files(self, run: RunRow) -> None:
        """The folder of a run that did not succeed, those it was being written in, and its scratch."""
        folder = self.folder(run)
        for path in (folder, self.scratch(run), *folder.parent.glob(f".{run.id}-*.tmp")):
            remove(path)

    def _remove_left(self) -> None:
        """Files of runs that have ended without scores, whose process was killed before it had removed them."""
        scratch = [path.name for path in self._work.glob("tmp/*")]
        there = {path.name for path in self._work.glob("runs/*/*")}  # looked at first: what is there has its row
        with self._catalog.reading() as session:
            without = select(RunRow.id).where(RunRow.state.in_(ENDED), RunRow.state != "succeeded")
            wanted = there.intersection(session.scalars(without))
            ended = select(RunRow).where(RunRow.id.in_([*wanted, *scratch]), RunRow.state.in_(ENDED))
            found = list(session.scalars(ended)) if wanted or scratch else []
        for run in found:
            remove(self.scratch(run))
            if run.state != "succeeded":
                self._remove_files(run)

    def _remove_locks(self) -> None:
        """Lock files of runs that have ended."""
        paths = list((self._work / "locks").glob("*.lock"))
        if not paths:
            return
        with self._catalog.reading() as session:
            live = set(session.scalars(select(RunRow.id).where(RunRow.state.in_(("queued", "running")))))
        for path in paths:
            if path.stem not in live:
                with self.lock(path.stem) as free:
                    if free:
                        path.unlink(missing_ok=True)


def _newest_succeeded(session: Session, instance_id: str) -> RunRow | None:
    asked = select(RunRow).where(RunRow.instance_id == instance_id, RunRow.state == "succeeded")
    return session.scalars(asked.order_by(RunRow.finished_at.desc(), RunRow.id.desc()).limit(1)).first()


def _end(run: RunRow, state: str, error: PropendError | None) -> None:
    run.state, run.finished_at = state, now()
    run.error = plain(error.to_dict()) if error is not None else None
    if state == "succeeded":
        run.progress = 1.0


def _broken_off(run: RunRow) -> tuple[str, PropendError]:
    if run.cancel_asked:
        return "cancelled", _cancelled(run)
    return "interrupted", RunInterruptedError(
        f"The process {run.process} of run {run.id} ended in stage {run.stage or 'start'!r} before it was done.",
        "run it again; if it happens again, look for what ended it: memory, a restart, somebody's kill.",
        stage=run.stage,
    )


def _cancelled(run: RunRow) -> RunCancelledError:
    return RunCancelledError(f"Run {run.id} of {run.instance_id!r} was cancelled.", "start it again when it is wanted.")


def _worded(state: str) -> str:
    return {"draft": "a draft", "cancelled": "been cancelled", "interrupted": "been interrupted"}.get(state, state)
